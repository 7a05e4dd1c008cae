-- Random calls of everything that moves or keeps units: after each of them available, available_many and explain_available say the
-- same number of every SKU and channel, a cart that takes all it can get takes exactly that many, audit() is empty, a refused call has
-- changed nothing; and stock_as_of tells of every moment what the counters showed then.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(7);

SET LOCAL timezone = 'UTC';
SET LOCAL oms.clock = '2026-03-02 06:00+00';
SELECT setseed(0.41) IS NULL AS ready \gset
SELECT oms.upsert_channels('[{"code":"default","backorder":true},{"code":"web"},{"code":"shop"}]'),
    oms.upsert_locations('[{"code":"default","active":false},{"code":"north","rank":1,"groups":[{"group":"cold"}]},{"code":"south","rank":2},{"code":"east","rank":3,"groups":[{"group":"cold"}],
        "channels":[{"channel":"shop"},{"channel":"default"}]},{"code":"west","rank":4,"channels":[{"channel":"shop"}]}]'),
    oms.upsert_items('[{"sku":"A","price":1},{"sku":"B","price":1},{"sku":"M","price":1,"tracking":"lot","minimum_life_days":1},{"sku":"P","price":1,"tracking":"serial"},
        {"sku":"KIT","kind":"kit","price":3,"components":[{"sku":"A","quantity":2},{"sku":"B","quantity":1}]},
        {"sku":"PAIR","kind":"kit","price":3,"ship_together":true,"components":[{"sku":"A","quantity":1},{"sku":"M","quantity":1}]}]') \g /dev/null

CREATE TEMPORARY TABLE breach (step int, call text, what text);
CREATE TEMPORARY TABLE trace (step int, operation text, sqlstate text, message text);
CREATE TEMPORARY TABLE past (at timestamptz, sku text, location text, state text, on_hand bigint, reserved bigint);

CREATE FUNCTION pg_temp.some(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $f$
    SELECT choices[1 + floor(random() * cardinality(choices))::int] $f$;
CREATE FUNCTION pg_temp.up_to(most int) RETURNS int LANGUAGE sql VOLATILE AS $f$ SELECT 1 + floor(random() * most)::int $f$;

CREATE FUNCTION pg_temp.everything() RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    parts text := '';
    part  text;
    name  text;
BEGIN
    FOREACH name IN ARRAY ARRAY['stock_counters', 'stock_movements', 'stock_states', 'lots', 'lot_movements', 'reservations', 'reservation_lines', 'supplies', 'transfers',
        'channel_quotas', 'order_lines', 'allocations', 'fulfillments'] LOOP
        EXECUTE format('SELECT md5(string_agg(t::text, '' '' ORDER BY t::text)) FROM oms.%I t', name) INTO part;
        parts := parts || coalesce(part, '-');
    END LOOP;
    RETURN parts || (SELECT count(*) FROM oms.events);
END
$f$;

CREATE FUNCTION pg_temp.lots_for(item text, units int, number int) RETURNS text LANGUAGE sql VOLATILE AS $f$
    SELECT CASE item
        WHEN 'M' THEN quote_literal(jsonb_build_array(jsonb_build_object('lot', 'L' || number, 'quantity', units, 'expires_at', oms.current_time() + pg_temp.up_to(8) * interval '9 hours')))
        WHEN 'P' THEN quote_literal((SELECT jsonb_agg(jsonb_build_object('lot', 'P' || number || '-' || n)) FROM generate_series(1, units) n))
        ELSE 'NULL' END $f$;

CREATE FUNCTION pg_temp.call_of(operation text, number int) RETURNS text LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    item    text := pg_temp.some('A', 'A', 'B', 'B', 'M', 'P');
    thing   text := pg_temp.some('A', 'B', 'M', 'P', 'KIT', 'PAIR');
    place   text := pg_temp.some('north', 'south', 'east', 'west');
    channel text := pg_temp.some('default', 'web', 'shop');
    units   int := pg_temp.up_to(6);
    cart    bigint := (SELECT reservation_id FROM oms.reservations WHERE status = 'held' ORDER BY random() LIMIT 1);
    one     bigint := (SELECT fulfillment_id FROM oms.fulfillments WHERE status IN ('planned', 'released') ORDER BY random() LIMIT 1);
    supply  bigint := (SELECT supply_id FROM oms.supplies WHERE status IN ('expected', 'partially_received') AND transfer_id IS NULL ORDER BY random() LIMIT 1);
    moving  bigint := (SELECT transfer_id FROM oms.transfers WHERE status IN ('shipped', 'partially_received') ORDER BY random() LIMIT 1);
BEGIN
    RETURN CASE operation
        WHEN 'receive' THEN format('SELECT oms.receive_stock(%L, %L, %s, lots => %s)', place, item, units + 3, pg_temp.lots_for(item, units + 3, number))
        WHEN 'adjust' THEN format('SELECT oms.adjust_stock(%L, %L, %s, ''why'')', place, item, -units)
        WHEN 'count' THEN format('SELECT oms.count_stock(%L, %L, %s)', place, pg_temp.some('A', 'B'), units * 2)
        WHEN 'load' THEN format('SELECT oms.load_stock(%L, ''count'')', jsonb_build_array(jsonb_build_object('location', place, 'sku', 'A', 'quantity', units),
                jsonb_build_object('location', place, 'sku', 'B', 'quantity', units + 4)))
        WHEN 'move' THEN format('SELECT oms.move_stock_state(%L, %L, ''sellable'', ''damaged'', %s, ''why'')', place, item, pg_temp.up_to(2))
        WHEN 'move_back' THEN format('SELECT oms.move_stock_state(%L, %L, ''damaged'', ''sellable'', 1, ''why'', lots => %s)', place, item, pg_temp.lots_for(item, 1, number))
        WHEN 'limits' THEN format('SELECT oms.set_stock_limits(%L, %L, safety => %s, backorder_limit => %s)', place, item, pg_temp.up_to(3) - 1, pg_temp.up_to(4) - 1)
        WHEN 'quota' THEN format('SELECT oms.set_channel_quota(%L, %s)', channel, (ARRAY[
                format('%L, %L, safety => %s', item, place, pg_temp.up_to(3)), format('%L, safety => %s', item, pg_temp.up_to(2)), format('safety => %s', pg_temp.up_to(2) - 1),
                format('%s, safety => %s, location_group => ''cold''', pg_temp.some('NULL', quote_literal(item)), pg_temp.up_to(3)),
                format('%L, network_safety => %s', item, units), format('%L, guaranteed => %s', item, units), format('%L, cap => %s', item, 20 + units * 4),
                format('%L, guaranteed => 0, network_safety => 0, cap => 1000', item)])[pg_temp.up_to(8)])
        WHEN 'reserve' THEN format('SELECT oms.reserve(%L, %L, %L, %L, %s)', (SELECT jsonb_agg(jsonb_build_object('sku', pg_temp.some('A', 'B', 'M', 'P'), 'quantity', pg_temp.up_to(5))
                || CASE pg_temp.up_to(3) WHEN 1 THEN jsonb_build_object('location', place) WHEN 2 THEN '{"group":"cold"}' ELSE '{}' END) FROM generate_series(1, pg_temp.up_to(2))),
                pg_temp.some('30 minutes', '5 hours'), channel, 'c' || number % 12, (random() < 0.5)::text)
        WHEN 'reserve_kit' THEN format('SELECT oms.reserve(%L, ''3 hours'', %L)', jsonb_build_array(jsonb_build_object('sku', pg_temp.some('KIT', 'PAIR'), 'quantity', pg_temp.up_to(2))), channel)
        WHEN 'extend' THEN format('SELECT oms.extend_reservation(%s, ''4 hours'')', cart)
        WHEN 'release_cart' THEN format('SELECT oms.release_reservation(%s)', cart)
        WHEN 'expire' THEN 'SELECT oms.expire_reservations()'
        WHEN 'place' THEN format('SELECT oms.place_order(%L)', jsonb_build_object('channel', channel, 'external_ref', 'o' || number,
                'lines', jsonb_build_array(jsonb_build_object('sku', thing, 'quantity', pg_temp.up_to(4)))))
        WHEN 'buy' THEN (SELECT format('SELECT oms.place_order(%L)', jsonb_build_object('channel', c.code, 'external_ref', 'o' || number, 'reservation_id', cart,
                'lines', (SELECT jsonb_agg(x) FROM (SELECT jsonb_build_object('sku', i.sku, 'quantity', sum(l.quantity)) AS x FROM oms.reservation_lines l JOIN oms.items i USING (item_id)
                          WHERE l.reservation_id = cart GROUP BY i.sku) y)))
            FROM oms.reservations r JOIN oms.channels c USING (channel_id) WHERE reservation_id = cart AND EXISTS (SELECT FROM oms.reservation_lines l WHERE l.reservation_id = cart))
        WHEN 'cancel' THEN (SELECT format('SELECT oms.cancel_order(%s)', order_id) FROM oms.orders WHERE status = 'placed' ORDER BY random() LIMIT 1)
        WHEN 'release' THEN format('SELECT oms.release_fulfillment(%s)', one)
        WHEN 'ship' THEN format('SELECT oms.ship_fulfillment(%s)', one)
        WHEN 'fill' THEN 'SELECT count(*) FROM oms.fill_backorders()'
        WHEN 'expect' THEN format('SELECT oms.expect_supply(%L, %L, %s, %L, promisable => %s)', place, item, units, oms.current_time() + units * interval '7 hours', (random() < 0.7)::text)
        WHEN 'receive_supply' THEN (SELECT format('SELECT oms.receive_supply(%s, 1, %s)', supply, pg_temp.lots_for(i.sku, 1, number)) FROM oms.supplies JOIN oms.items i USING (item_id) WHERE supply_id = supply)
        WHEN 'cancel_supply' THEN format('SELECT oms.cancel_supply(%s)', supply)
        WHEN 'request_transfer' THEN format('SELECT oms.request_transfer(%L, %L, %L, %s, %L, promisable => %s)', place, pg_temp.some('north', 'south', 'east', 'west'), item, pg_temp.up_to(3),
                oms.current_time() + interval '9 hours', (random() < 0.7)::text)
        WHEN 'ship_transfer' THEN (SELECT format('SELECT oms.ship_transfer(%s, %s)', transfer_id, greatest(1, quantity - pg_temp.up_to(2) + 1)) FROM oms.transfers WHERE status = 'requested' ORDER BY random() LIMIT 1)
        WHEN 'cancel_transfer' THEN (SELECT format('SELECT oms.cancel_transfer(%s)', transfer_id) FROM oms.transfers WHERE status = 'requested' ORDER BY random() LIMIT 1)
        WHEN 'receive_transfer' THEN format('SELECT oms.receive_transfer(%s, %s)', moving, pg_temp.some('NULL', '1'))
        WHEN 'close_transfer' THEN format('SELECT oms.close_transfer(%s)', moving)
        WHEN 'outage' THEN format('SELECT oms.upsert_locations(%L)', jsonb_build_array(jsonb_build_object('code', place, 'closed_until', oms.current_time() + (pg_temp.up_to(6) - 4) * interval '1 hour')))
        END;
END $f$;

-- What each SKU has in each channel, said three ways, and what a cart gets of it.
CREATE FUNCTION pg_temp.disagreements() RETURNS SETOF text LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    one    record;
    grants bigint;
BEGIN
    FOR one IN
        SELECT c.code, i.sku, i.kind, (SELECT coalesce(sum(available), 0) FROM oms.available(i.sku, c.code)) AS single,
               (SELECT quantity FROM oms.available_many(c.code, ARRAY[i.sku])) AS many, (SELECT coalesce(sum(quantity), 0) FROM oms.explain_available(i.sku, c.code)) AS explained
        FROM oms.channels c, oms.items i
    LOOP
        IF one.single IS DISTINCT FROM one.many OR one.single IS DISTINCT FROM one.explained THEN
            RETURN NEXT format('%s in %s: available %s, available_many %s, explained %s', one.sku, one.code, one.single, one.many, one.explained);
        END IF;
        grants := NULL;
        BEGIN
            IF one.kind = 'kit' THEN
                -- Set by set: each of those that ship together has a location of its own.
                grants := 0;
                BEGIN
                    FOR n IN 1 .. one.single + 1 LOOP
                        PERFORM oms.reserve(jsonb_build_array(jsonb_build_object('sku', one.sku, 'quantity', 1)), '1 hour', one.code);
                        grants := n;
                    END LOOP;
                EXCEPTION WHEN SQLSTATE 'OM001' THEN NULL;
                END;
            ELSE
                grants := (oms.reserve(jsonb_build_array(jsonb_build_object('sku', one.sku, 'quantity', 1000000)), '1 hour', one.code, partial => true) #>> '{lines,0,granted}')::bigint;
            END IF;
            RAISE EXCEPTION USING ERRCODE = 'XX999';
        EXCEPTION WHEN SQLSTATE 'XX999' THEN NULL;
        WHEN SQLSTATE 'OM001' THEN grants := -1;
        END;
        IF grants IS DISTINCT FROM one.single THEN
            RETURN NEXT format('%s in %s: available %s, a cart gets %s', one.sku, one.code, one.single, grants);
        END IF;
    END LOOP;
END $f$;

CREATE FUNCTION pg_temp.now_there() RETURNS TABLE (sku text, location text, state text, on_hand bigint, reserved bigint) LANGUAGE sql STABLE AS $f$
    SELECT i.sku, l.code, 'sellable', s.on_hand::bigint, s.reserved::bigint FROM oms.stock s JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id) WHERE s.on_hand <> 0 OR s.reserved <> 0
    UNION ALL SELECT i.sku, l.code, s.state, s.quantity::bigint, 0::bigint FROM oms.stock_states s JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id) WHERE s.quantity <> 0 $f$;

CREATE FUNCTION pg_temp.step(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    operation text := pg_temp.some(VARIADIC ARRAY['receive', 'receive', 'receive', 'receive', 'receive', 'adjust', 'count', 'load', 'move', 'move_back', 'limits', 'limits', 'quota', 'quota', 'quota',
        'reserve', 'reserve', 'reserve', 'reserve', 'reserve_kit', 'extend', 'release_cart', 'expire', 'place', 'place', 'place', 'place', 'buy', 'buy', 'cancel', 'release', 'release', 'ship', 'ship',
        'fill', 'expect', 'expect', 'receive_supply', 'receive_supply', 'cancel_supply', 'request_transfer', 'request_transfer', 'ship_transfer', 'ship_transfer', 'cancel_transfer',
        'receive_transfer', 'receive_transfer', 'close_transfer', 'outage']);
    call   text;
    before text := pg_temp.everything();
    fault  record;
BEGIN
    PERFORM set_config('oms.clock', (timestamptz '2026-03-02 06:00+00' + number * interval '23 minutes')::text, true);
    call := pg_temp.call_of(operation, number);
    IF call IS NULL OR call LIKE '%(, %' OR (call LIKE '%()' AND operation NOT IN ('expire', 'fill')) THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE call;
        INSERT INTO trace VALUES (number, operation, '00000', NULL);
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO trace VALUES (number, operation, SQLSTATE, SQLERRM);
        IF before IS DISTINCT FROM pg_temp.everything() THEN
            INSERT INTO breach VALUES (number, call, 'a refused call changed something');
        END IF;
        IF SQLSTATE !~ '^OM' THEN
            INSERT INTO breach VALUES (number, call, SQLSTATE || ' ' || SQLERRM);
        END IF;
    END;
    FOR fault IN SELECT * FROM oms.audit() LOOP
        INSERT INTO breach VALUES (number, call, format('%s %s: expected %s, found %s', fault.check, fault.object, fault.expected, fault.found));
    END LOOP;
    before := pg_temp.everything();
    IF number % 3 = 0 THEN
        INSERT INTO breach SELECT number, call, d FROM pg_temp.disagreements() d;
    END IF;
    IF before IS DISTINCT FROM pg_temp.everything() THEN
        INSERT INTO breach VALUES (number, call, 'looking changed something');
    END IF;
    IF number % 10 = 0 THEN
        INSERT INTO past SELECT oms.current_time(), n.* FROM pg_temp.now_there() n;
    END IF;
END
$f$;

SELECT count(pg_temp.step(n)::text) AS ready FROM generate_series(1, 360) n \gset

SELECT is_empty('SELECT step, left(call, 300), left(what, 500) FROM breach ORDER BY step LIMIT 10', 'all say the same, carts get it, audit() is empty, refused calls change nothing');
SELECT is_empty($$SELECT at, sku, location, state, p.on_hand, p.reserved, s.on_hand, s.reserved FROM past p
    FULL JOIN (SELECT t.at, s.* FROM (SELECT DISTINCT at FROM past) t, oms.stock_as_of(t.at) s WHERE s.on_hand <> 0 OR s.reserved <> 0) s USING (at, sku, location, state)
    WHERE (p.on_hand, p.reserved) IS DISTINCT FROM (s.on_hand, coalesce(s.reserved, 0)) ORDER BY at LIMIT 5$$, 'the stock of the past is what it was');
SELECT cmp_ok((SELECT count(*) FROM past), '>', 150::bigint, 'many counters are looked at');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate = '00000'), '>', 140::bigint, 'many calls succeed');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate <> '00000'), '>', 25::bigint, 'many calls are refused');
SELECT cmp_ok((SELECT count(DISTINCT operation) FROM trace WHERE sqlstate = '00000'), '>', 22::bigint, 'nearly every kind of call succeeds');
SELECT is_empty($$SELECT * FROM trace WHERE sqlstate NOT IN ('00000', 'OM001', 'OM002', 'OM006', 'OM008')$$, 'refusals are those of stock, states, documents and places');
SELECT * FROM finish();
ROLLBACK;
