-- availability.sql: one SKU, many, and why; the three agree with a plain computation from the ledgers.
\pset pager off
CREATE DATABASE oms_availability;
\c oms_availability
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';
SELECT oms.upsert_items('[{"sku":"CUP"},{"sku":"JUG"},{"sku":"TIN","backorder":false},{"sku":"CARD","kind":"digital"}]');
SELECT oms.upsert_channels('[{"code":"web","backorder":true},{"code":"shop"}]');
SELECT oms.upsert_locations('[{"code":"north","rank":1},{"code":"south","rank":2,"channels":[{"channel":"web"}]},
    {"code":"east","channels":[{"channel":"web"}]},{"code":"west","channels":[{"channel":"web"}]}]');
SELECT oms.receive_stock(l, 'CUP', n) FROM (VALUES ('north', 10), ('south', 20), ('east', 30), ('west', 40)) v(l, n);
SELECT oms.receive_stock('south', 'JUG', 5), oms.receive_stock('south', 'TIN', 1);
SELECT oms.set_stock_limits('south', 'CUP', 3, 7), oms.set_stock_limits('south', 'TIN', 2, 4);

-- Every term, and every location left out with its reason; an outage and a closed location give nothing.
SELECT oms.place_order('{"channel":"web","external_ref":"1","lines":[{"sku":"CUP","quantity":4,"location":"south"}]}') ->> 'status' AS placed;
SELECT oms.reserve('[{"sku":"CUP","quantity":2,"location":"south"}]', '10 minutes', 'web') ->> 'complete' AS held;
SELECT oms.reserve('[{"sku":"CUP","quantity":5,"location":"south"}]', '1 minute', 'web') ->> 'complete' AS held;
SET oms.clock = '2026-03-02 12:05:00+00';
SELECT oms.upsert_locations('[{"code":"east","closed_until":"2026-03-02 13:00:00+00"},{"code":"west","active":false}]');
SELECT * FROM oms.explain_available('CUP', 'web');
SELECT * FROM oms.available('CUP', 'web');
SELECT * FROM oms.explain_available('TIN', 'web');
SELECT * FROM oms.explain_available('CUP', 'shop') WHERE location = 'south';
SELECT oms.preview_order('{"channel":"web","external_ref":"2","lines":[{"sku":"CUP","quantity":15}]}');
SELECT oms.reserve('[{"sku":"CUP","quantity":1,"location":"east"}]', '10 minutes', 'web');

-- After the outage the location is there again, without anything being called.
SET oms.clock = '2026-03-02 13:00:00+00';
SELECT location, available FROM oms.available('CUP', 'web');
SET oms.clock = '2026-03-02 12:05:00+00';

-- Many: one row per element, in its order; null for the whole channel.
SELECT * FROM oms.available_many('web', ARRAY['TIN', 'NONE', 'CUP', 'CARD', 'CUP', 'JUG']);
SELECT * FROM oms.available_many('shop');
SELECT * FROM oms.available_many(NULL, ARRAY['CUP']);
SELECT count(*) FROM oms.available_many('web', '{}');
SELECT oms.available_many('nowhere', ARRAY['CUP']);
SELECT oms.available_many('web', ARRAY['CUP', NULL]);
SELECT count(*), sum(quantity) FROM oms.available_many('web', (SELECT array_agg('CUP'::text) FROM generate_series(1, 100000)));
SELECT count(*) FROM oms.available_many('web', (SELECT array_agg('CUP'::text) FROM generate_series(1, 100001)));

-- A plain computation of the same rules, from ledgers and configuration.
CREATE FUNCTION model_available(wanted_sku text, wanted_channel text) RETURNS bigint LANGUAGE sql AS $$
    SELECT coalesce(sum(greatest(0, units)), 0) FROM (
        SELECT coalesce((SELECT sum(on_hand_delta) FROM oms.stock_movements m WHERE m.item_id = i.item_id AND m.location_id = l.location_id), 0)
             - coalesce((SELECT sum(promised - shipped - cancelled) FROM oms.allocations a WHERE a.item_id = i.item_id AND a.location_id = l.location_id), 0)
             - coalesce((SELECT sum(quantity) FROM oms.reservation_lines h JOIN oms.reservations r USING (reservation_id)
                         WHERE h.item_id = i.item_id AND h.location_id = l.location_id AND r.expires_at > oms.current_time()), 0)
             - s.safety AS units
        FROM oms.items i JOIN oms.stock s USING (item_id) JOIN oms.locations l USING (location_id)
        WHERE i.sku = wanted_sku AND l.active AND coalesce(l.closed_until, '-infinity') <= oms.current_time()
          AND (NOT EXISTS (SELECT FROM oms.channel_locations JOIN oms.channels c USING (channel_id) WHERE c.code = wanted_channel)
               OR EXISTS (SELECT FROM oms.channel_locations x JOIN oms.channels c USING (channel_id)
                          WHERE c.code = wanted_channel AND x.location_id = l.location_id))) u
$$;

-- Random operations; after each, four ways to the same figure for every SKU and channel.
CREATE FUNCTION random_operations(seed float8, steps int) RETURNS TABLE (step int, operation text, sku text, channel text, model bigint,
    single bigint, many bigint, explained bigint) LANGUAGE plpgsql AS $$
DECLARE
    kind int;
    item text;
    place text;
    chosen_channel text;
    start timestamptz := oms.current_time();
    victim bigint;
BEGIN
    PERFORM setseed(seed);
    FOR n IN 1 .. steps LOOP
        kind := floor(random() * 10);
        item := (ARRAY['CUP', 'JUG', 'TIN'])[1 + floor(random() * 3)::int];
        place := (ARRAY['north', 'south', 'east', 'west'])[1 + floor(random() * 4)::int];
        chosen_channel := (ARRAY['web', 'shop'])[1 + floor(random() * 2)::int];
        PERFORM set_config('oms.clock', (start + n * interval '20 seconds')::text, false);
        BEGIN
            CASE kind
                WHEN 0 THEN PERFORM oms.receive_stock(place, item, 1 + floor(random() * 9)::int);
                WHEN 1 THEN PERFORM oms.count_stock(place, item, floor(random() * 12)::int);
                WHEN 2 THEN PERFORM oms.set_stock_limits(place, item, floor(random() * 4)::int, floor(random() * 6)::int);
                WHEN 3, 4 THEN PERFORM oms.reserve(jsonb_build_array(jsonb_build_object('sku', item, 'quantity', 1 + floor(random() * 6)::int)),
                    make_interval(secs => 10 + floor(random() * 200)), chosen_channel, 'cart ' || floor(random() * 4)::int, random() < 0.5);
                WHEN 5 THEN SELECT order_id INTO victim FROM oms.orders WHERE status = 'placed' ORDER BY random() LIMIT 1;
                    IF victim IS NOT NULL THEN PERFORM oms.cancel_order(victim); END IF;
                WHEN 6 THEN PERFORM oms.upsert_locations(jsonb_build_array(jsonb_build_object('code', place, 'active', random() < 0.8,
                    'closed_until', start + (n + floor(random() * 4)::int) * interval '20 seconds')));
                ELSE PERFORM oms.place_order(jsonb_build_object('channel', chosen_channel, 'external_ref', 'p' || n, 'lines',
                    jsonb_build_array(jsonb_build_object('sku', item, 'quantity', 1 + floor(random() * 8)::int))));
            END CASE;
        EXCEPTION WHEN SQLSTATE 'OM001' OR SQLSTATE 'OM008' THEN NULL;
        END;
        RETURN QUERY SELECT n, kind::text, s, c, model_available(s, c), (SELECT coalesce(sum(a.available), 0)::bigint FROM oms.available(s, c) a),
            (SELECT m.quantity FROM oms.available_many(c, ARRAY[s]) m), (SELECT coalesce(sum(e.quantity), 0)::bigint FROM oms.explain_available(s, c) e)
            FROM unnest(ARRAY['CUP', 'JUG', 'TIN']) s, unnest(ARRAY['web', 'shop']) c;
    END LOOP;
END $$;
SELECT count(*), count(*) FILTER (WHERE model > 0) > 100 AS some_units, count(DISTINCT operation) AS operations
FROM random_operations(0.25, 150) r WHERE model = ALL (ARRAY[single, many, explained]);
SELECT * FROM oms.audit();
