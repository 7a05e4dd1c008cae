-- Random inventory calls against a plain model of the same rules: every number after every call, and every past
-- moment afterwards.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(6);

SELECT oms.upsert_locations('[{"code":"north"},{"code":"south"}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_items('[{"sku":"A"},{"sku":"B"},{"sku":"C"}]') IS NOT NULL AS ready \gset

CREATE TEMPORARY TABLE units (location text, sku text, state text, quantity int NOT NULL, PRIMARY KEY (location, sku, state));
CREATE TEMPORARY TABLE promises (order_id bigint PRIMARY KEY, location text, sku text, open int);
CREATE TEMPORARY TABLE holds (reservation_id bigint PRIMARY KEY, location text, sku text, quantity int, expires_at timestamptz);
CREATE TEMPORARY TABLE trace (step int, call text, sqlstate text, expected boolean);
CREATE TEMPORARY TABLE breach (step int, call text, what text);
CREATE TEMPORARY TABLE snapshots (step int, at timestamptz, location text, sku text, state text, on_hand bigint, reserved bigint);
INSERT INTO units SELECT l, s, t, 0 FROM unnest(ARRAY['north', 'south']) l, unnest(ARRAY['A', 'B', 'C']) s,
    unnest(ARRAY['sellable', 'damaged', 'quality_hold']) t;

CREATE FUNCTION pg_temp.on_hand(place text, item text, what text DEFAULT 'sellable') RETURNS int LANGUAGE sql AS $f$
    SELECT quantity FROM units WHERE location = place AND sku = item AND state = what
$f$;

-- Units that orders and living carts need.
CREATE FUNCTION pg_temp.needed(place text, item text, clock timestamptz) RETURNS int LANGUAGE sql AS $f$
    SELECT (SELECT coalesce(sum(open), 0) FROM promises WHERE location = place AND sku = item)
         + (SELECT coalesce(sum(quantity), 0) FROM holds WHERE location = place AND sku = item AND expires_at > clock)
$f$;

-- On hand becomes what was counted: carts lose first, those that have expired before the rest, then the newest orders.
CREATE FUNCTION pg_temp.model_count(place text, item text, counted int, clock timestamptz) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    loser  record;
    excess int;
    cut    int;
BEGIN
    UPDATE units SET quantity = counted WHERE location = place AND sku = item AND state = 'sellable';
    -- Expired holds count until somebody ends them, which a count does not: it only cuts them.
    excess := (SELECT coalesce(sum(open), 0) FROM promises WHERE location = place AND sku = item)
            + (SELECT coalesce(sum(quantity), 0) FROM holds WHERE location = place AND sku = item) - counted;
    FOR loser IN SELECT * FROM holds WHERE location = place AND sku = item ORDER BY expires_at > clock, reservation_id DESC LOOP
        EXIT WHEN excess <= 0;
        cut := least(excess, loser.quantity);
        UPDATE holds SET quantity = quantity - cut WHERE reservation_id = loser.reservation_id;
        excess := excess - cut;
    END LOOP;
    FOR loser IN SELECT * FROM promises WHERE location = place AND sku = item ORDER BY order_id DESC LOOP
        EXIT WHEN excess <= 0;
        cut := least(excess, loser.open);
        UPDATE promises SET open = open - cut WHERE order_id = loser.order_id;
        excess := excess - cut;
    END LOOP;
END
$f$;

CREATE FUNCTION pg_temp.step(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    clock     timestamptz := '2026-03-02 08:00:00+00'::timestamptz + number * interval '1 second';
    dice      float8 := random();
    place     text := (ARRAY['north', 'south'])[1 + floor(random() * 2)::int];
    item      text := (ARRAY['A', 'B', 'C'])[1 + floor(random() * 3)::int];
    amount    int := 1 + floor(random() * 9)::int;
    other     text := (ARRAY['damaged', 'quality_hold'])[1 + floor(random() * 2)::int];
    one       record;
    one_hold  bigint := (SELECT reservation_id FROM holds ORDER BY random() LIMIT 1);
    free      int := pg_temp.on_hand(place, item) - pg_temp.needed(place, item, clock);
    call      text;
    may       boolean := true;
    answer    text;
    fault     record;
BEGIN
    PERFORM set_config('oms.clock', clock::text, false);
    SELECT * INTO one FROM promises WHERE open > 0 ORDER BY random() LIMIT 1;
    IF dice < 0.22 THEN
        call := format('SELECT oms.place_order(%L) ->> ''order_id''', jsonb_build_object('external_ref', 's' || number,
                    'lines', jsonb_build_array(jsonb_build_object('sku', item, 'quantity', amount, 'location', place))));
        may := free >= amount;
    ELSIF dice < 0.32 THEN
        call := format('SELECT oms.reserve(%L, ''20 seconds'') ->> ''reservation_id''',
                    jsonb_build_array(jsonb_build_object('sku', item, 'quantity', amount, 'location', place)));
        may := free >= amount;
    ELSIF dice < 0.36 THEN
        call := format('SELECT oms.release_reservation(%s)', one_hold);
    ELSIF dice < 0.40 THEN
        call := format('SELECT oms.cancel_order(%s) ->> ''status''', one.order_id);
    ELSIF dice < 0.50 THEN
        call := format('SELECT count(oms.ship_fulfillment(fulfillment_id)) FROM (SELECT fulfillment_id, oms.release_fulfillment(fulfillment_id)'
                    ' FROM oms.fulfillments WHERE order_id = %s AND status = ''planned'' OFFSET 0) f', one.order_id);
    ELSIF dice < 0.64 THEN
        call := format('SELECT oms.receive_stock(%L, %L, %s)', place, item, amount);
    ELSIF dice < 0.67 THEN
        call := format('SELECT oms.receive_stock(%L, %L, %s, state => %L)', place, item, amount, other);
    ELSIF dice < 0.75 THEN
        call := format('SELECT oms.adjust_stock(%L, %L, %s, ''lost'')', place, item, -amount);
        may := free >= amount AND pg_temp.on_hand(place, item) >= amount;
    ELSIF dice < 0.80 THEN
        call := format('SELECT oms.move_stock_state(%L, %L, ''sellable'', %L, %s, ''dropped'')', place, item, other, amount);
        may := free >= amount AND pg_temp.on_hand(place, item) >= amount;
    ELSIF dice < 0.85 THEN
        call := format('SELECT oms.move_stock_state(%L, %L, %L, ''sellable'', %s, ''mended'')', place, item, other, amount);
        may := pg_temp.on_hand(place, item, other) >= amount;
    ELSIF dice < 0.87 THEN
        call := format('SELECT oms.move_stock_state(%L, %L, %L, NULL, %s, ''scrapped'')', place, item, other, amount);
        may := pg_temp.on_hand(place, item, other) >= amount;
    ELSIF dice < 0.92 THEN
        call := format('SELECT oms.count_stock(%L, %L, %s)', place, item, amount);
    ELSIF dice < 0.95 THEN
        call := format('SELECT oms.load_stock(%L, ''delta'')', jsonb_build_array(
                    jsonb_build_object('location', place, 'sku', item, 'quantity', amount - 5)));
        may := pg_temp.on_hand(place, item) + amount - 5 >= 0;
    ELSIF dice < 0.98 THEN
        call := format('SELECT oms.load_stock(%L, ''full'', %L)', jsonb_build_array(
                    jsonb_build_object('location', place, 'sku', item, 'quantity', amount)), clock);
    ELSE
        call := 'SELECT oms.expire_reservations()';
    END IF;
    IF call IS NULL OR call LIKE '%()%' AND dice < 0.98 OR (one.order_id IS NULL AND dice >= 0.36 AND dice < 0.50) THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE call INTO answer;
        INSERT INTO trace VALUES (number, call, '00000', may);
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO trace VALUES (number, call, SQLSTATE, may);
        IF may OR SQLSTATE <> 'OM001' THEN
            INSERT INTO breach VALUES (number, call, SQLSTATE || ' ' || SQLERRM);
        END IF;
        RETURN;
    END;
    IF NOT may THEN
        INSERT INTO breach VALUES (number, call, 'the model refuses this');
    END IF;

    IF dice < 0.22 THEN
        INSERT INTO promises VALUES (answer::bigint, place, item, amount);
    ELSIF dice < 0.32 THEN
        INSERT INTO holds VALUES (answer::bigint, place, item, amount, clock + interval '20 seconds');
    ELSIF dice < 0.36 THEN
        DELETE FROM holds WHERE reservation_id = one_hold;
    ELSIF dice < 0.40 THEN
        UPDATE promises SET open = 0 WHERE order_id = one.order_id;
    ELSIF dice < 0.50 THEN
        UPDATE units SET quantity = quantity - one.open WHERE location = one.location AND sku = one.sku AND state = 'sellable';
        UPDATE promises SET open = 0 WHERE order_id = one.order_id;
    ELSIF dice < 0.67 THEN
        UPDATE units SET quantity = quantity + amount
            WHERE location = place AND sku = item AND state = CASE WHEN dice < 0.64 THEN 'sellable' ELSE other END;
    ELSIF dice < 0.75 THEN
        UPDATE units SET quantity = quantity - amount WHERE location = place AND sku = item AND state = 'sellable';
    ELSIF dice < 0.87 THEN
        UPDATE units SET quantity = quantity + CASE WHEN state = 'sellable' THEN CASE WHEN dice < 0.80 THEN -amount WHEN dice < 0.85 THEN amount ELSE 0 END
                                                    WHEN dice < 0.80 THEN amount ELSE -amount END
            WHERE location = place AND sku = item AND state IN ('sellable', other);
    ELSIF dice < 0.92 THEN
        PERFORM pg_temp.model_count(place, item, amount, clock);
    ELSIF dice < 0.95 THEN
        PERFORM pg_temp.model_count(place, item, pg_temp.on_hand(place, item) + amount - 5, clock);
    ELSIF dice < 0.98 THEN
        PERFORM pg_temp.model_count(place, s, CASE WHEN s = item THEN amount ELSE 0 END, clock)
            FROM unnest(ARRAY['A', 'B', 'C']) s;
    END IF;
    -- Whoever ends an expired hold may do so when he likes: the model follows.
    DELETE FROM holds h WHERE expires_at <= clock
        AND EXISTS (SELECT FROM oms.reservations r WHERE r.reservation_id = h.reservation_id AND r.status <> 'held');

    INSERT INTO breach
        SELECT number, call, format('%s %s at %s: counted %s, the model %s', u.sku, u.state, u.location, c.on_hand, u.quantity)
        FROM units u LEFT JOIN (
            SELECT l.code, i.sku, s.state, s.on_hand FROM (SELECT item_id, location_id, 'sellable' AS state, on_hand FROM oms.stock
                UNION ALL SELECT item_id, location_id, state, quantity FROM oms.stock_states) s
            JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id)) c
            ON c.code = u.location AND c.sku = u.sku AND c.state = u.state
        WHERE coalesce(c.on_hand, 0) <> u.quantity
        UNION ALL
        SELECT number, call, format('%s at %s: %s reserved, the model %s', i.sku, l.code, s.reserved, m.units)
        FROM oms.stock s JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id),
             LATERAL (SELECT (SELECT coalesce(sum(open), 0) FROM promises WHERE location = l.code AND sku = i.sku)
                           + (SELECT coalesce(sum(quantity), 0) FROM holds WHERE location = l.code AND sku = i.sku) AS units) m
        WHERE s.reserved <> m.units
        UNION ALL
        SELECT number, call, format('%s at %s: %s available, the model %s', s, a.location, a.available, m.free)
        FROM unnest(ARRAY['A', 'B', 'C']) s, LATERAL oms.available(s) a,
             LATERAL (SELECT pg_temp.on_hand(a.location, s) - pg_temp.needed(a.location, s, clock) AS free) m
        WHERE a.available <> m.free;
    FOR fault IN SELECT * FROM oms.audit() WHERE number % 10 = 0 LOOP
        INSERT INTO breach VALUES (number, call, format('%s %s: expected %s, found %s', fault.check, fault.object,
                                                        fault.expected, fault.found));
    END LOOP;
    INSERT INTO snapshots
        SELECT number, clock, l.code, i.sku, s.state, s.on_hand, s.reserved
        FROM (SELECT item_id, location_id, 'sellable' AS state, on_hand, reserved FROM oms.stock
              UNION ALL SELECT item_id, location_id, state, quantity, 0 FROM oms.stock_states) s
             JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id)
        WHERE s.on_hand <> 0 OR s.reserved <> 0;
END
$f$;

SELECT setseed(0.25) IS NOT NULL AS ready \gset
SELECT count(pg_temp.step(n)) AS steps FROM generate_series(1, 800) n \gset
SELECT set_config('oms.clock', '2026-03-03 08:00:00+00', false) IS NOT NULL AS ready \gset

SELECT is((SELECT string_agg(format('%s: %s: %s', step, call, what), E'\n' ORDER BY step) FROM (SELECT * FROM breach ORDER BY step LIMIT 5) b),
          NULL, 'every number is that of the model after every call');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate = '00000'), '>', 400::bigint, 'most calls were carried out');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate = 'OM001'), '>', 50::bigint, 'and many were refused');
SELECT cmp_ok((SELECT count(*) FROM oms.events WHERE type = 'fulfillment.promise_withdrawn'), '>', 10::bigint, 'promises were withdrawn on the way');
SELECT is((SELECT string_agg(DISTINCT w.step || ': ' || d.location || ' ' || d.sku || ' ' || d.state, ', ')
           FROM (SELECT DISTINCT step, at FROM snapshots) w,
                LATERAL ((SELECT location, sku, state, on_hand, reserved FROM oms.stock_as_of(w.at)
                          EXCEPT SELECT location, sku, state, on_hand, reserved FROM snapshots s WHERE s.step = w.step)
                         UNION ALL (SELECT location, sku, state, on_hand, reserved FROM snapshots s WHERE s.step = w.step
                          EXCEPT SELECT location, sku, state, on_hand, reserved FROM oms.stock_as_of(w.at))) d),
          NULL, 'stock as of every moment is the snapshot taken then');
SELECT is((SELECT count(*) FROM oms.audit()), 0::bigint, 'audit finds nothing');

SELECT * FROM finish();
ROLLBACK;
