-- Random carts, orders, backorders, supplies, lots and states against a plain model of the rules: what is granted, what is
-- refused, and every number after every call.  Where a call may choose among locations the model takes its choice and checks
-- that it was allowed; how much there is to choose from, it says itself.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(6);

SELECT oms.upsert_channels('[{"code":"default","backorder":true}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_locations('[{"code":"north","rank":1,"groups":[{"group":"stores"},{"group":"coast"}]},{"code":"south","rank":2,"groups":[{"group":"stores"}]},
    {"code":"depot","rank":3,"groups":[{"group":"coast"}]}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_items('[{"sku":"A"},{"sku":"B","backorder":true},{"sku":"M","tracking":"lot"}]') IS NOT NULL AS ready \gset

CREATE TEMPORARY TABLE units (location text, sku text, on_hand int NOT NULL DEFAULT 0, damaged int NOT NULL DEFAULT 0, own_limit int NOT NULL DEFAULT 0,
                              PRIMARY KEY (location, sku));
CREATE TEMPORARY TABLE lots (location text, lot text PRIMARY KEY, quantity int NOT NULL, expires_at timestamptz NOT NULL);
CREATE TEMPORARY TABLE supplies (supply_id bigint PRIMARY KEY, location text, open int NOT NULL);
CREATE TEMPORARY TABLE orders (order_id bigint PRIMARY KEY, sku text, places text[], shipped boolean NOT NULL DEFAULT false);
CREATE TEMPORARY TABLE promises (order_id bigint, location text, firm int NOT NULL DEFAULT 0, owed int NOT NULL DEFAULT 0, PRIMARY KEY (order_id, location));
CREATE TEMPORARY TABLE carts (reservation_id bigint PRIMARY KEY, reference text NOT NULL, expires_at timestamptz NOT NULL);
CREATE TEMPORARY TABLE holds (reservation_id bigint REFERENCES carts ON DELETE CASCADE, sku text, location text, quantity int NOT NULL,
                              PRIMARY KEY (reservation_id, sku, location));
CREATE TEMPORARY TABLE trace (step int, operation text, sqlstate text, expected text);
CREATE TEMPORARY TABLE breach (step int, call text, what text);
INSERT INTO units (location, sku) SELECT l, s FROM unnest(ARRAY['north', 'south', 'depot']) l, unnest(ARRAY['A', 'B', 'M']) s;

-- Units that orders and carts need that still live; the asker's own cart does not count.
CREATE FUNCTION pg_temp.needed(place text, item text, clock timestamptz, own bigint DEFAULT NULL) RETURNS int LANGUAGE sql AS $f$
    SELECT (SELECT coalesce(sum(firm + owed), 0) FROM promises JOIN orders USING (order_id) WHERE location = place AND sku = item)::int
         + (SELECT coalesce(sum(quantity), 0) FROM holds JOIN carts USING (reservation_id)
            WHERE location = place AND sku = item AND expires_at > clock AND reservation_id IS DISTINCT FROM own)::int
$f$;

-- On hand and not kept back, and not needed by anybody.
CREATE FUNCTION pg_temp.free(place text, item text, clock timestamptz, own bigint DEFAULT NULL) RETURNS int LANGUAGE sql AS $f$
    SELECT greatest(0, on_hand - CASE WHEN item = 'M' THEN (SELECT coalesce(sum(quantity), 0) FROM lots l
                                                           WHERE l.location = place AND expires_at <= clock)::int ELSE 0 END
                       - pg_temp.needed(place, item, clock, own))
    FROM units WHERE location = place AND sku = item
$f$;

CREATE FUNCTION pg_temp.free_at(places text[], item text, clock timestamptz, own bigint DEFAULT NULL) RETURNS int LANGUAGE sql AS $f$
    SELECT sum(pg_temp.free(place, item, clock, own))::int FROM unnest(places) place
$f$;

CREATE FUNCTION pg_temp.allowed_debt(place text, item text) RETURNS int LANGUAGE sql AS $f$
    SELECT own_limit + CASE WHEN item = 'B' THEN (SELECT coalesce(sum(open), 0) FROM supplies s WHERE s.location = place)::int ELSE 0 END
    FROM units WHERE location = place AND sku = item
$f$;

-- Promises that rest on units on hand, and all holds, expired ones too.
CREATE FUNCTION pg_temp.covered(place text, item text) RETURNS int LANGUAGE sql AS $f$
    SELECT (SELECT coalesce(sum(firm), 0) FROM promises JOIN orders USING (order_id) WHERE location = place AND sku = item)::int
         + (SELECT coalesce(sum(quantity), 0) FROM holds WHERE location = place AND sku = item)::int
$f$;

-- What may leave without breaking a promise.
CREATE FUNCTION pg_temp.removable(place text, item text, clock timestamptz) RETURNS int LANGUAGE sql AS $f$
    SELECT greatest(0, least(on_hand, on_hand + pg_temp.allowed_debt(place, item) - pg_temp.needed(place, item, clock),
        on_hand - pg_temp.covered(place, item) + (SELECT coalesce(sum(quantity), 0) FROM holds JOIN carts USING (reservation_id)
                                                  WHERE location = place AND sku = item AND expires_at <= clock)::int))
    FROM units WHERE location = place AND sku = item
$f$;

CREATE FUNCTION pg_temp.places_of(line jsonb) RETURNS text[] LANGUAGE sql AS $f$
    SELECT CASE WHEN line ? 'location' THEN ARRAY[line ->> 'location'] WHEN line ->> 'group' = 'stores' THEN ARRAY['north', 'south']
                WHEN line ? 'group' THEN ARRAY['north', 'depot']
                ELSE ARRAY['north', 'south', 'depot'] END
$f$;

CREATE FUNCTION pg_temp.random_line(groups boolean) RETURNS jsonb LANGUAGE sql VOLATILE AS $f$
    SELECT jsonb_build_object('sku', (ARRAY['A', 'B', 'M'])[1 + floor(random() * 3)::int], 'quantity', 1 + floor(random() * 8)::int)
        || CASE WHEN dice < 0.4 THEN jsonb_build_object('location', (ARRAY['north', 'south', 'depot'])[1 + floor(random() * 3)::int])
                WHEN dice < 0.6 AND groups THEN '{"group":"stores"}' WHEN dice < 0.8 AND groups THEN '{"group":"coast"}' ELSE '{}' END
    FROM (SELECT random() AS dice OFFSET 0) d
$f$;

-- Takes the promises of an order as they are written; says what is wrong with them.
CREATE FUNCTION pg_temp.adopt_order(placed bigint, line jsonb, free_before int) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    wanted int := (line ->> 'quantity')::int;
    firm   int;
BEGIN
    INSERT INTO orders VALUES (placed, line ->> 'sku', pg_temp.places_of(line));
    INSERT INTO promises SELECT placed, l.code, coalesce(sum(promised) FILTER (WHERE NOT f.backordered), 0),
                                coalesce(sum(promised) FILTER (WHERE f.backordered), 0)
        FROM oms.allocations a JOIN oms.fulfillments f USING (fulfillment_id) JOIN oms.locations l ON l.location_id = a.location_id
        WHERE a.order_id = placed GROUP BY l.code;
    SELECT sum(p.firm) INTO firm FROM promises p WHERE order_id = placed;
    IF (SELECT sum(p.firm + owed) FROM promises p WHERE order_id = placed) <> wanted THEN
        RETURN 'not all units are promised';
    ELSIF firm <> least(wanted, free_before) THEN
        RETURN format('%s units are firm, the model %s', firm, least(wanted, free_before));
    ELSIF EXISTS (SELECT FROM promises WHERE order_id = placed AND location <> ALL (pg_temp.places_of(line))) THEN
        RETURN 'units are promised at a place that the line does not allow';
    END IF;
    RETURN NULL;
END
$f$;

-- Takes what a cart was granted; says what is wrong with it.
CREATE FUNCTION pg_temp.adopt_cart(answer jsonb, lines jsonb, cart text) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    one   record;
    fault text;
BEGIN
    INSERT INTO carts VALUES ((answer ->> 'reservation_id')::bigint, cart, (answer ->> 'expires_at')::timestamptz);
    FOR one IN SELECT l.line, g.granted FROM jsonb_array_elements(lines) WITH ORDINALITY l(line, n)
               JOIN jsonb_array_elements(answer -> 'lines') WITH ORDINALITY g(granted, n) USING (n) LOOP
        INSERT INTO holds SELECT (answer ->> 'reservation_id')::bigint, one.line ->> 'sku', f ->> 'location', (f ->> 'quantity')::int
            FROM jsonb_array_elements(one.granted -> 'from') f
            ON CONFLICT (reservation_id, sku, location) DO UPDATE SET quantity = holds.quantity + excluded.quantity;
        IF (SELECT coalesce(sum((f ->> 'quantity')::int), 0) FROM jsonb_array_elements(one.granted -> 'from') f) <> (one.granted ->> 'granted')::int
            OR (one.granted ->> 'granted')::int + (one.granted ->> 'missing')::int <> (one.line ->> 'quantity')::int THEN
            fault := 'the answer does not add up';
        ELSIF EXISTS (SELECT FROM jsonb_array_elements(one.granted -> 'from') f WHERE f ->> 'location' <> ALL (pg_temp.places_of(one.line))) THEN
            fault := 'units are held at a place that the line does not allow';
        END IF;
    END LOOP;
    RETURN fault;
END
$f$;

-- Units of a counter or of its limit have gone: carts lose first, expired ones before the rest, then the newest; the rest is as answered.
CREATE FUNCTION pg_temp.adopt_withdrawal(place text, answer jsonb, clock timestamptz) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    excess int := (SELECT coalesce(sum(firm + owed), 0) FROM promises JOIN orders USING (order_id) WHERE location = place AND sku = 'B')
                + (SELECT coalesce(sum(quantity), 0) FROM holds WHERE location = place AND sku = 'B')
                - (SELECT on_hand FROM units WHERE location = place AND sku = 'B') - pg_temp.allowed_debt(place, 'B');
    loser  record;
    cut    int;
BEGIN
    -- Whatever may be owed, firm promises rest on units on hand.
    IF pg_temp.allowed_debt(place, 'B') > 0 THEN
        excess := greatest(excess, pg_temp.covered(place, 'B') - (SELECT on_hand FROM units WHERE location = place AND sku = 'B'));
    END IF;
    FOR loser IN SELECT h.*, c.expires_at FROM holds h JOIN carts c USING (reservation_id) WHERE location = place AND sku = 'B'
                 ORDER BY c.expires_at > clock, reservation_id DESC LOOP
        EXIT WHEN excess <= 0;
        cut := least(excess, loser.quantity);
        UPDATE holds h SET quantity = quantity - cut WHERE h.reservation_id = loser.reservation_id AND location = place AND sku = 'B';
        excess := excess - cut;
    END LOOP;
    FOR loser IN SELECT w.order_id, w.quantity, f.backordered FROM jsonb_to_recordset(answer -> 'withdrawn') w(order_id bigint, fulfillment_id bigint, quantity int)
                 JOIN oms.fulfillments f USING (fulfillment_id) LOOP
        UPDATE promises SET firm = firm - CASE WHEN loser.backordered THEN 0 ELSE loser.quantity END,
                            owed = owed - CASE WHEN loser.backordered THEN loser.quantity ELSE 0 END
            WHERE order_id = loser.order_id AND location = place;
        INSERT INTO promises VALUES (loser.order_id, '', 0, loser.quantity)
            ON CONFLICT (order_id, location) DO UPDATE SET owed = promises.owed + excluded.owed;
        excess := excess - loser.quantity;
    END LOOP;
    IF excess > 0 THEN
        RETURN format('%s units rest on nothing', excess);
    ELSIF excess < 0 AND jsonb_array_length(answer -> 'withdrawn') > 0 THEN
        RETURN format('%s promises too many are withdrawn', -excess);
    END IF;
    RETURN NULL;
END
$f$;

CREATE FUNCTION pg_temp.adopt_filling() RETURNS text LANGUAGE plpgsql AS $f$
BEGIN
    IF EXISTS (SELECT FROM filled f JOIN orders o USING (order_id) WHERE f.location <> ALL (o.places)) THEN
        RETURN 'filled from a place that the line does not allow';
    END IF;
    UPDATE promises p SET owed = owed - f.units
        FROM (SELECT order_id, coalesce(from_location, '') AS location, sum(quantity) AS units FROM filled GROUP BY 1, 2) f
        WHERE p.order_id = f.order_id AND p.location = f.location;
    INSERT INTO promises SELECT order_id, location, sum(quantity), 0 FROM filled GROUP BY 1, 2
        ON CONFLICT (order_id, location) DO UPDATE SET firm = promises.firm + excluded.firm;
    IF EXISTS (SELECT FROM promises WHERE owed < 0) THEN
        RETURN 'filled more than was owed';
    END IF;
    RETURN (SELECT format('order %s waits though %s has %s units', o.order_id, l.location, l.units)
            FROM orders o JOIN promises p USING (order_id), LATERAL (
                SELECT u.location, u.on_hand - (SELECT coalesce(sum(firm), 0) FROM promises x JOIN orders y USING (order_id)
                                                WHERE x.location = u.location AND y.sku = o.sku)
                                             - (SELECT coalesce(sum(quantity), 0) FROM holds h WHERE h.location = u.location AND h.sku = o.sku) AS units
                FROM units u WHERE u.sku = o.sku AND u.location = ANY (o.places)) l
            WHERE p.owed > 0 AND l.units > 0 LIMIT 1);
END
$f$;

CREATE TEMPORARY TABLE filled (order_id bigint, quantity int, from_location text, location text);

CREATE FUNCTION pg_temp.step(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    clock     timestamptz := '2026-03-02 08:00:00+00'::timestamptz + number * interval '1 minute';
    dice      float8 := random();
    place     text := (ARRAY['north', 'south', 'depot'])[1 + floor(random() * 3)::int];
    item      text := (ARRAY['A', 'B'])[1 + floor(random() * 2)::int];
    amount    int := 1 + floor(random() * 7)::int;
    line      jsonb := pg_temp.random_line(false);
    lines     jsonb := jsonb_build_array(pg_temp.random_line(true));
    second    jsonb := pg_temp.random_line(true);
    cart      text := 'cart ' || 1 + floor(random() * 6)::int;
    own       bigint;
    old       record;
    supply    record;
    parcel    record;
    one_order bigint := (SELECT order_id FROM orders JOIN promises USING (order_id) WHERE NOT shipped AND firm + owed > 0 ORDER BY random() LIMIT 1);
    operation text;
    call      text;
    expected  text := '00000';
    free      int;
    granted   int[];
    answer    text;
    fault     text;
    what      record;
BEGIN
    PERFORM set_config('oms.clock', clock::text, false);
    SELECT * INTO old FROM carts ORDER BY random() LIMIT 1;
    SELECT * INTO supply FROM supplies WHERE open > 0 ORDER BY random() LIMIT 1;
    SELECT f.fulfillment_id, f.order_id, l.code, a.units INTO parcel FROM oms.fulfillments f JOIN oms.locations l USING (location_id), LATERAL (
        SELECT sum(promised - shipped - cancelled) AS units FROM oms.allocations WHERE fulfillment_id = f.fulfillment_id) a
        WHERE f.status = 'planned' AND NOT backordered AND a.units > 0 ORDER BY random() LIMIT 1;

    IF dice < 0.20 THEN
        operation := 'place_order';
        own := CASE WHEN random() < 0.4 THEN old.reservation_id END;
        call := format('SELECT oms.place_order(%L) ->> ''order_id''', jsonb_strip_nulls(jsonb_build_object('external_ref', 'o' || number,
                    'reservation_id', own, 'lines', jsonb_build_array(line))));
        free := pg_temp.free_at(pg_temp.places_of(line), line ->> 'sku', clock, own);
        IF (line ->> 'quantity')::int > (CASE WHEN line ->> 'sku' = 'B'
                THEN (SELECT sum(greatest(0, on_hand + pg_temp.allowed_debt(location, 'B') - pg_temp.needed(location, 'B', clock, own)))
                      FROM units WHERE sku = 'B' AND location = ANY (pg_temp.places_of(line))) ELSE free END) THEN
            expected := 'OM001';
        END IF;
    ELSIF dice < 0.36 THEN
        operation := 'reserve';
        own := (SELECT reservation_id FROM carts c WHERE c.reference = cart);
        IF random() < 0.4 THEN
            lines := lines || second;
        END IF;
        call := format('SELECT oms.reserve(%L, ''20 minutes'', reference => %L)', lines, cart);
        -- Each line alone, and both together where they want the same item.
        IF EXISTS (SELECT FROM jsonb_array_elements(lines) l
                   WHERE (l ->> 'quantity')::int > pg_temp.free_at(pg_temp.places_of(l), l ->> 'sku', clock, own))
            OR (jsonb_array_length(lines) = 2 AND lines -> 0 -> 'sku' = lines -> 1 -> 'sku'
                AND (lines -> 0 ->> 'quantity')::int + (lines -> 1 ->> 'quantity')::int
                    > (SELECT sum(pg_temp.free(p, lines -> 0 ->> 'sku', clock, own)) FROM unnest(ARRAY['north', 'south', 'depot']) p
                       WHERE p = ANY (pg_temp.places_of(lines -> 0) || pg_temp.places_of(lines -> 1)))) THEN
            expected := 'OM001';
        END IF;
    ELSIF dice < 0.44 THEN
        operation := 'reserve partial';
        own := (SELECT reservation_id FROM carts c WHERE c.reference = cart);
        IF second ->> 'sku' <> lines -> 0 ->> 'sku' THEN
            lines := lines || (second || jsonb_build_object('least', least(4, (second ->> 'quantity')::int)));
        END IF;
        call := format('SELECT oms.reserve(%L, ''20 minutes'', reference => %L, partial => true)', lines, cart);
        granted := ARRAY(SELECT CASE WHEN least((l ->> 'quantity')::int, f) >= coalesce((l ->> 'least')::int, 0)
                                     THEN least((l ->> 'quantity')::int, f) ELSE 0 END
                         FROM jsonb_array_elements(lines) WITH ORDINALITY x(l, n),
                              LATERAL pg_temp.free_at(pg_temp.places_of(l), l ->> 'sku', clock, own) f ORDER BY n);
    ELSIF dice < 0.48 THEN
        operation := 'extend_reservation';
        call := 'SELECT oms.extend_reservation(' || old.reservation_id || ', ''30 minutes'')';
        IF old.expires_at <= clock THEN
            expected := 'OM002';
        END IF;
    ELSIF dice < 0.51 THEN
        operation := 'release_reservation';
        call := 'SELECT oms.release_reservation(' || old.reservation_id || ')';
    ELSIF dice < 0.53 THEN
        operation := 'expire_reservations';
        call := 'SELECT oms.expire_reservations()';
    ELSIF dice < 0.57 THEN
        operation := 'cancel_order';
        call := 'SELECT oms.cancel_order(' || one_order || ') ->> ''status''';
    ELSIF dice < 0.67 THEN
        operation := 'ship_fulfillment';
        call := 'SELECT oms.ship_fulfillment(id) FROM (SELECT ' || parcel.fulfillment_id || ' AS id, oms.release_fulfillment('
            || parcel.fulfillment_id || ') OFFSET 0) f';
        -- What has expired does not ship.
        IF EXISTS (SELECT FROM orders WHERE order_id = parcel.order_id AND sku = 'M')
            AND parcel.units > (SELECT coalesce(sum(quantity), 0) FROM lots WHERE location = parcel.code AND expires_at > clock) THEN
            expected := 'OM001';
        END IF;
    ELSIF dice < 0.75 THEN
        operation := 'receive_stock';
        call := format('SELECT oms.receive_stock(%L, %L, %s)', place, item, amount);
    ELSIF dice < 0.80 THEN
        operation := 'receive_stock lot';
        call := format('SELECT oms.receive_stock(%L, ''M'', %s, lots => %L)', place, amount, jsonb_build_array(jsonb_build_object(
                    'lot', 'L' || number, 'quantity', amount, 'expires_at', clock + amount * interval '20 minutes')));
    ELSIF dice < 0.84 THEN
        operation := 'adjust_stock';
        call := format('SELECT oms.adjust_stock(%L, %L, %s, ''lost'')', place, item, -amount);
        expected := CASE WHEN pg_temp.removable(place, item, clock) < amount THEN 'OM001' ELSE expected END;
    ELSIF dice < 0.87 THEN
        operation := 'move_stock_state';
        call := format('SELECT oms.move_stock_state(%L, %L, ''sellable'', ''damaged'', %s, ''dropped'')', place, item, amount);
        expected := CASE WHEN pg_temp.removable(place, item, clock) < amount THEN 'OM001' ELSE expected END;
    ELSIF dice < 0.91 THEN
        operation := 'expect_supply';
        call := format('SELECT oms.expect_supply(%L, ''B'', %s, %L, %L)', place, amount, clock + interval '1 day', 's' || number);
    ELSIF dice < 0.94 THEN
        operation := 'receive_supply';
        amount := least(amount, supply.open);
        call := 'SELECT oms.receive_supply(' || supply.supply_id || ', ' || amount || ')';
    ELSIF dice < 0.955 THEN
        operation := 'cancel_supply';
        call := 'SELECT oms.cancel_supply(' || supply.supply_id || ')';
    ELSIF dice < 0.97 THEN
        operation := 'count_stock';
        amount := amount - 1;
        call := format('SELECT oms.count_stock(%L, ''B'', %s)', place, amount);
    ELSIF dice < 0.985 THEN
        operation := 'set_stock_limits';
        amount := amount * (number % 2);
        call := format('SELECT oms.set_stock_limits(%L, ''B'', backorder_limit => %s)', place, amount);
        expected := CASE WHEN pg_temp.needed(place, 'B', clock) > (SELECT on_hand FROM units WHERE location = place AND sku = 'B')
                              + amount + pg_temp.allowed_debt(place, 'B') - (SELECT own_limit FROM units WHERE location = place AND sku = 'B')
                         THEN 'OM001' ELSE expected END;
    ELSE
        operation := 'fill_backorders';
        DELETE FROM filled;
        call := 'INSERT INTO filled SELECT order_id, quantity, from_location, location FROM oms.fill_backorders() RETURNING NULL';
    END IF;
    -- Nothing there to do it with.
    IF call IS NULL THEN
        RETURN;
    END IF;

    BEGIN
        IF operation = 'fill_backorders' THEN
            EXECUTE call;
        ELSE
            EXECUTE call INTO answer;
        END IF;
        INSERT INTO trace VALUES (number, operation, '00000', expected);
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO trace VALUES (number, operation, SQLSTATE, expected);
        IF SQLSTATE <> expected THEN
            INSERT INTO breach VALUES (number, call, format('%s %s, the model %s', SQLSTATE, SQLERRM, expected));
        END IF;
        RETURN;
    END;
    IF expected <> '00000' THEN
        INSERT INTO breach VALUES (number, call, 'the model refuses this: ' || expected);
        RETURN;
    END IF;

    CASE operation
        WHEN 'place_order' THEN
            DELETE FROM carts WHERE reservation_id = own;
            fault := pg_temp.adopt_order(answer::bigint, line, free);
        WHEN 'reserve', 'reserve partial' THEN
            DELETE FROM carts WHERE reservation_id = own;
            fault := pg_temp.adopt_cart(answer::jsonb, lines, cart);
            IF granted <> ARRAY(SELECT (l ->> 'granted')::int FROM jsonb_array_elements(answer::jsonb -> 'lines') l) THEN
                fault := format('granted %s, the model %s', answer, granted);
            END IF;
        WHEN 'extend_reservation' THEN
            UPDATE carts SET expires_at = clock + interval '30 minutes' WHERE reservation_id = old.reservation_id;
        WHEN 'release_reservation' THEN
            DELETE FROM carts WHERE reservation_id = old.reservation_id;
        WHEN 'expire_reservations' THEN
            DELETE FROM carts WHERE expires_at <= clock;
        WHEN 'cancel_order' THEN
            DELETE FROM promises WHERE order_id = one_order;
        WHEN 'ship_fulfillment' THEN
            UPDATE orders SET shipped = true WHERE order_id = parcel.order_id;
            UPDATE promises SET firm = firm - parcel.units WHERE order_id = parcel.order_id AND location = parcel.code;
            UPDATE units u SET on_hand = on_hand - parcel.units FROM orders o
                WHERE o.order_id = parcel.order_id AND u.location = parcel.code AND u.sku = o.sku;
            -- What expires first goes first; what has expired stays.
            UPDATE lots l SET quantity = quantity - least(l.quantity, greatest(0, parcel.units - x.before))
                FROM (SELECT lot, sum(quantity) OVER (ORDER BY expires_at, substr(lot, 2)::int) - quantity AS before FROM lots
                      WHERE location = parcel.code AND expires_at > clock) x
                WHERE x.lot = l.lot AND EXISTS (SELECT FROM orders WHERE order_id = parcel.order_id AND sku = 'M');
        WHEN 'receive_stock' THEN
            UPDATE units SET on_hand = on_hand + amount WHERE location = place AND sku = item;
        WHEN 'receive_stock lot' THEN
            UPDATE units SET on_hand = on_hand + amount WHERE location = place AND sku = 'M';
            INSERT INTO lots VALUES (place, 'L' || number, amount, clock + amount * interval '20 minutes');
        WHEN 'adjust_stock' THEN
            UPDATE units SET on_hand = on_hand - amount WHERE location = place AND sku = item;
        WHEN 'move_stock_state' THEN
            UPDATE units SET on_hand = on_hand - amount, damaged = damaged + amount WHERE location = place AND sku = item;
        WHEN 'expect_supply' THEN
            INSERT INTO supplies VALUES (answer::bigint, place, amount);
        WHEN 'receive_supply' THEN
            UPDATE supplies SET open = open - amount WHERE supply_id = supply.supply_id;
            UPDATE units SET on_hand = on_hand + amount WHERE location = supply.location AND sku = 'B';
        WHEN 'cancel_supply' THEN
            UPDATE supplies SET open = 0 WHERE supply_id = supply.supply_id;
            fault := pg_temp.adopt_withdrawal(supply.location, answer::jsonb, clock);
        WHEN 'count_stock' THEN
            UPDATE units SET on_hand = amount WHERE location = place AND sku = 'B';
            fault := pg_temp.adopt_withdrawal(place, answer::jsonb, clock);
        WHEN 'set_stock_limits' THEN
            UPDATE units SET own_limit = amount WHERE location = place AND sku = 'B';
        WHEN 'fill_backorders' THEN
            fault := pg_temp.adopt_filling();
    END CASE;
    IF fault IS NOT NULL THEN
        INSERT INTO breach VALUES (number, call, fault);
    END IF;
    -- Whoever ends an expired hold may do so when he likes: the model follows.
    DELETE FROM carts c WHERE expires_at <= clock
        AND EXISTS (SELECT FROM oms.reservations r WHERE r.reservation_id = c.reservation_id AND r.status <> 'held');

    INSERT INTO breach
        SELECT number, call, format('%s: %s, the model %s', coalesce(found.key, model.key), found.value, model.value)
        FROM (SELECT format('counter %s %s', i.sku, l.code) AS key, format('%s on hand, %s reserved, limit %s', on_hand, reserved, backorder_limit) AS value
              FROM oms.stock JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id)
              UNION ALL
              SELECT format('damaged %s %s', i.sku, l.code), quantity::text
              FROM oms.stock_states JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id) WHERE quantity <> 0
              UNION ALL
              SELECT format('available %s %s', s, a.location), a.available::text FROM unnest(ARRAY['A', 'B', 'M']) s, oms.available(s) a
              UNION ALL
              SELECT format('line of %s', order_id), format('%s firm, %s owed', allocated - shipped, backordered) FROM oms.order_lines
              WHERE allocated - shipped + backordered > 0
              UNION ALL
              SELECT format('hold of %s: %s %s', reservation_id, i.sku, l.code), quantity::text
              FROM oms.reservation_lines JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id) WHERE quantity > 0
              UNION ALL
              SELECT format('cart %s', reservation_id), format('%s until %s', reference, expires_at) FROM oms.reservations WHERE status = 'held'
              UNION ALL
              SELECT format('supply %s', supply_id), (quantity - received - cancelled)::text FROM oms.supplies
              UNION ALL
              SELECT format('lot %s', lot), format('%s at %s', quantity, l.code) FROM oms.lots JOIN oms.locations l USING (location_id)) found
        FULL JOIN (SELECT format('counter %s %s', sku, location) AS key, format('%s on hand, %s reserved, limit %s', on_hand,
                        (SELECT coalesce(sum(firm + owed), 0) FROM promises p JOIN orders o USING (order_id) WHERE p.location = u.location AND o.sku = u.sku)
                        + (SELECT coalesce(sum(quantity), 0) FROM holds h WHERE h.location = u.location AND h.sku = u.sku),
                        pg_temp.allowed_debt(location, sku)) AS value FROM units u
                   UNION ALL SELECT format('damaged %s %s', sku, location), damaged::text FROM units WHERE damaged <> 0
                   UNION ALL SELECT format('available %s %s', sku, location), pg_temp.free(location, sku, clock)::text FROM units
                   UNION ALL SELECT format('line of %s', order_id), format('%s firm, %s owed', sum(firm), sum(owed))
                             FROM promises GROUP BY order_id HAVING sum(firm + owed) > 0
                   UNION ALL SELECT format('hold of %s: %s %s', reservation_id, sku, location), quantity::text FROM holds WHERE quantity > 0
                   UNION ALL SELECT format('cart %s', reservation_id), format('%s until %s', c.reference, expires_at) FROM carts c
                   UNION ALL SELECT format('supply %s', supply_id), open::text FROM supplies
                   UNION ALL SELECT format('lot %s', lot), format('%s at %s', quantity, location) FROM lots WHERE quantity > 0) model USING (key)
        WHERE found.value IS DISTINCT FROM model.value
            -- A counter that nothing has ever come to has no row.
            AND NOT (found.value IS NULL AND model.value IN ('0', '0 on hand, 0 reserved, limit 0') AND model.key ~ '^(counter|available)');
    INSERT INTO breach
        SELECT number, call, format('%s at %s: %s units are promised for certain, %s are there', sku, location, pg_temp.covered(location, sku), on_hand)
        FROM units WHERE pg_temp.covered(location, sku) > on_hand;
    FOR what IN SELECT * FROM oms.audit() WHERE number % 10 = 0 LOOP
        INSERT INTO breach VALUES (number, call, format('%s %s: expected %s, found %s', what.check, what.object, what.expected, what.found));
    END LOOP;
END
$f$;

SELECT setseed(0.5) IS NOT NULL AS ready \gset
SELECT count(pg_temp.step(n)) AS steps FROM generate_series(1, 1000) n \gset

SELECT is((SELECT string_agg(format('%s: %s: %s', step, call, what), E'\n' ORDER BY step) FROM (SELECT * FROM breach ORDER BY step LIMIT 5) b),
          NULL, 'every answer and every number is that of the model after every call');
SELECT is((SELECT string_agg(operation, ', ') FROM (SELECT operation FROM trace WHERE sqlstate = '00000' GROUP BY 1 HAVING count(*) >= 5 ORDER BY 1) o),
          'adjust_stock, cancel_order, cancel_supply, count_stock, expect_supply, expire_reservations, extend_reservation, fill_backorders, move_stock_state, '
          'place_order, receive_stock, receive_stock lot, receive_supply, release_reservation, reserve, reserve partial, set_stock_limits, ship_fulfillment',
          'every operation was carried out several times');
SELECT is((SELECT string_agg(o, ', ') FROM unnest(ARRAY['adjust_stock', 'extend_reservation', 'place_order', 'reserve']) o
           WHERE o NOT IN (SELECT operation FROM trace WHERE sqlstate <> '00000')), NULL, 'and those that fail most were refused, too');
SELECT cmp_ok((SELECT count(*) FROM oms.reservations WHERE status = 'expired'), '>', 3::bigint, 'carts expired on the way');
SELECT cmp_ok((SELECT count(*) FROM oms.events WHERE type = 'order.backorder_filled'), '>', 5::bigint, 'what was owed was filled');
SELECT is((SELECT count(*) FROM oms.audit()), 0::bigint, 'audit finds nothing');

SELECT * FROM finish();
ROLLBACK;
