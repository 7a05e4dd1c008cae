-- available_by_date.sql: what is promised for when, what can be promised for when, and what moves when supplies move.
\pset pager off
CREATE DATABASE oms_available_by_date;
\c oms_available_by_date
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';
SET timezone = 'UTC';
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"CUP"},{"sku":"JUG"},{"sku":"TIN","backorder":false},{"sku":"SET","kind":"kit","components":[{"sku":"CUP","quantity":2}]},{"sku":"CARD","kind":"digital"}]'),
       oms.upsert_channels('[{"code":"web","backorder":true},{"code":"shop"}]'), oms.upsert_locations('[{"code":"north","rank":1},{"code":"south","rank":2},{"code":"away","active":false}]');
CREATE FUNCTION place(reference text, sku text, quantity int, more text DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s%s', l ->> 'quantity', f ->> 'location', coalesce(' on ' || to_char((f ->> 'supplied_at')::timestamptz, 'DD HH24:MI'),
                      CASE WHEN (f ->> 'backordered')::boolean THEN ' undated' END)), ', ' ORDER BY n)
    FROM oms.place_order(jsonb_build_object('channel', 'web', 'external_ref', reference,
        'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity))) || more::jsonb) p, jsonb_array_elements(p -> 'fulfillments') WITH ORDINALITY x(f, n),
        jsonb_array_elements(f -> 'lines') l $$;
CREATE VIEW moments AS SELECT i.sku, a.* FROM oms.items i CROSS JOIN LATERAL oms.available_by_date(i.sku, 'web') a WHERE kind = 'stocked';
CREATE VIEW waiting AS SELECT o.external_ref, i.sku, l.code, a.promised - a.cancelled AS units, f.supplied_at, f.ship_by FROM oms.fulfillments f JOIN oms.allocations a USING (fulfillment_id)
    JOIN oms.orders o ON o.order_id = f.order_id JOIN oms.items i USING (item_id) JOIN oms.locations l ON l.location_id = f.location_id WHERE f.backordered AND a.promised > a.cancelled ORDER BY 1, 2;
CREATE VIEW redated AS SELECT o.external_ref, e.reason, e.data - 'lines' AS data FROM oms.events e JOIN oms.orders o USING (order_id) WHERE e.type = 'fulfillment.redated' ORDER BY event_id;

-- A moment for all that comes or is taken; available is what a promise for it could have, and at now the counter.
SELECT oms.receive_stock('north', 'CUP', 3), oms.set_stock_limits('north', 'CUP', safety => 1);
SELECT oms.expect_supply('north', 'CUP', 5, '2026-03-05 08:00+00', 'PO-1') AS po1, oms.expect_supply('north', 'CUP', 4, '2026-03-09 08:00+00', 'PO-2') AS po2,
       oms.expect_supply('south', 'CUP', 2, '2026-03-04 08:00+00', 'PO-3') AS po3 \gset
SELECT * FROM moments WHERE sku = 'CUP';
SELECT location, at, available FROM oms.available_by_date('CUP', 'web', 'north', '2026-03-05 08:00+00');
SELECT location, at, available FROM oms.available_by_date('CUP', 'shop', 'north');
SELECT at, needed.available, m.available FROM moments m CROSS JOIN LATERAL oms.available('CUP', 'web', m.location, m.at) needed WHERE m.location = 'north';
SELECT oms.preview_order('{"channel":"web","external_ref":"p","lines":[{"sku":"CUP","quantity":7,"location":"north"}]}') #>> '{fulfillments,1,supplied_at}';
SELECT oms.preview_order('{"channel":"web","external_ref":"p","lines":[{"sku":"CUP","quantity":8,"location":"north"}]}') #>> '{fulfillments,1,supplied_at}';
SELECT oms.available_by_date('SET', 'web');
SELECT oms.available_by_date('CARD', 'web');
SELECT oms.available_by_date('CUP', 'web', 'nowhere');

-- A promise for a later day takes nothing from one for an earlier, and leaves what it does not need till then.
SELECT place('a', 'CUP', 7, '{"lines":[{"sku":"CUP","quantity":7,"location":"north"}]}');
SELECT place('b', 'CUP', 3, '{"lines":[{"sku":"CUP","quantity":3,"location":"north"}]}');
SELECT oms.cancel_order(oms.find_order('web', 'a'), '[{"line_no":1,"quantity":3}]') ->> 'status';
SELECT * FROM moments WHERE location = 'north' AND sku = 'CUP';
SELECT place('c', 'CUP', 3, '{"lines":[{"sku":"CUP","quantity":3,"location":"north"}]}');
SELECT place('d', 'CUP', 1, '{"lines":[{"sku":"CUP","quantity":1,"location":"north"}]}');
SELECT * FROM waiting;
SELECT * FROM moments WHERE location = 'north' AND sku = 'CUP';
SELECT * FROM oms.audit();
-- Whatever arrives goes to the promises in the order of their dates: b waits although it is older than c.
SELECT oms.receive_supply(:po1, 4);
SELECT order_id = oms.find_order('web', 'c') AS is_c, quantity FROM oms.fill_backorders();
SELECT * FROM waiting;
-- A part that arrived moves only itself; the rest still comes when it was to come.
SELECT * FROM moments WHERE location = 'north' AND sku = 'CUP';
SELECT oms.receive_supply(:po1);
SELECT count(*) FROM oms.fill_backorders();

-- An order that says when it wants the goods rests on what comes until then, wherever that is.
SELECT oms.expect_supply('north', 'JUG', 5, '2026-03-20 08:00+00', 'J-1') AS j1, oms.expect_supply('south', 'JUG', 2, '2026-03-06 08:00+00', 'J-2') AS j2 \gset
SELECT place('j1', 'JUG', 2);
SELECT oms.cancel_order(oms.find_order('web', 'j1')) ->> 'status';
SELECT place('j2', 'JUG', 2, '{"requested_at":"2026-03-10T00:00:00Z"}');
SELECT place('j3', 'JUG', 1, '{"requested_at":"2026-03-10T00:00:00Z"}');
-- The deliveries of one order rest on units of their own.
SELECT place('j4', 'JUG', 1, '{"deliveries":[{"delivery_no":1},{"delivery_no":2}],"lines":[{"sku":"JUG","quantity":2,"delivery_no":1},{"sku":"JUG","quantity":2,"delivery_no":2}]}');
SELECT * FROM oms.audit();

-- Moving a supply moves the promises that rest on it, each with an event; so does taking units off it.
SELECT * FROM waiting;
SELECT oms.expect_supply('north', 'CUP', 4, '2026-03-12 08:00+00', 'PO-2') = :po2;
SELECT * FROM redated;
SELECT oms.expect_supply('north', 'CUP', 4, '2026-03-03 08:00+00', 'PO-2') = :po2;
SELECT oms.expect_supply('north', 'CUP', 4, '2026-03-03 08:00+00', 'PO-2') = :po2;
SELECT * FROM redated OFFSET 1;
SELECT external_ref, supplied_at, ship_by FROM waiting;
SELECT * FROM oms.audit();
-- A cancelled one takes promises along, which say so and wait; what is announced instead dates them again.
SELECT jsonb_array_length(oms.cancel_supply(:j1, 'sold out') -> 'withdrawn');
SELECT o.external_ref, e.type, e.reason FROM oms.events e JOIN oms.orders o USING (order_id) WHERE e.type = 'fulfillment.promise_withdrawn' ORDER BY event_id;
SELECT external_ref, supplied_at FROM waiting;
SELECT oms.set_stock_limits('south', 'JUG', backorder_limit => 3);
SELECT place('j5', 'JUG', 3);
SELECT * FROM moments WHERE sku = 'JUG' AND location = 'south';
SELECT * FROM oms.available('JUG', 'web', needed_by => '2026-04-01');
SELECT oms.expect_supply('south', 'JUG', 4, '2026-03-08 08:00+00', 'J-3') AS j3 \gset
SELECT external_ref, units, supplied_at FROM waiting WHERE external_ref = 'j5';
SELECT * FROM oms.available('JUG', 'web', needed_by => '2026-04-01');
SELECT * FROM oms.audit();
-- What waits together goes together: it has the last date of its items, and moves with each of them.
SELECT oms.expect_supply('north', 'CUP', 5, '2026-03-15 08:00+00', 'PO-5') > 0, oms.expect_supply('north', 'JUG', 5, '2026-03-10 08:00+00', 'J-5') > 0;
SELECT place('both', 'CUP', 1, '{"lines":[{"sku":"CUP","quantity":2,"location":"north"},{"sku":"JUG","quantity":2,"location":"north"}]}');
SELECT oms.expect_supply('north', 'CUP', 5, '2026-03-05 08:00+00', 'PO-5') > 0;
SELECT * FROM waiting WHERE external_ref = 'both';
SELECT oms.expect_supply('north', 'JUG', 5, '2026-03-04 08:00+00', 'J-5') > 0;
SELECT * FROM waiting WHERE external_ref = 'both';
SELECT * FROM oms.audit();

-- A supply that is late still counts, not now but from now on; after the set days it does not, and date_backorders says so.
SET oms.clock = '2026-03-16 12:00:00+00';
SELECT * FROM moments WHERE location = 'north';
SELECT oms.date_backorders();
SELECT place('late', 'CUP', 1);
SELECT available FROM oms.available('CUP', 'web', 'north', needed_by => '2026-03-16 12:00+00');
SELECT available FROM oms.available('CUP', 'web', 'north', needed_by => '2026-03-16 12:01+00');
UPDATE oms.atp_rules SET overdue_days = 3;
INSERT INTO oms.atp_rules (tenant_id, overdue_days) VALUES (1, 3);
SELECT oms.date_backorders(1), oms.date_backorders(), oms.date_backorders();
SELECT * FROM waiting;
SELECT available FROM oms.available('CUP', 'web', 'north', needed_by => '2026-04-01');
-- An item may have a rule of its own.
INSERT INTO oms.atp_rules (tenant_id, item_id) SELECT 1, item_id FROM oms.items WHERE sku = 'CUP';
SELECT oms.date_backorders();
SELECT external_ref, sku, supplied_at FROM waiting;
SELECT oms.date_backorders(0);
SELECT oms.date_backorders(10001);
SELECT oms.date_backorders(10000);
SELECT * FROM oms.audit();

-- Windows: how far ahead promises take dates from supplies, and how long units wait for the rest of a promise.
SELECT oms.upsert_items('[{"sku":"MUG"}]'), oms.expect_supply('north', 'MUG', 5, '2026-03-18 12:00+00', 'M-1') > 0, oms.expect_supply('north', 'MUG', 5, '2026-03-23 12:00+00', 'M-2') > 0;
INSERT INTO oms.atp_rules (tenant_id, item_id, consumption_days) SELECT 1, item_id, 7 FROM oms.items WHERE sku = 'MUG';
SELECT at, available FROM moments WHERE sku = 'MUG';
UPDATE oms.atp_rules SET consumption_days = 6 WHERE consumption_days = 7;
SELECT at, available FROM moments WHERE sku = 'MUG';
SELECT oms.preview_order('{"channel":"web","external_ref":"p","lines":[{"sku":"MUG","quantity":6}]}') #> '{fulfillments,0,supplied_at}';
UPDATE oms.atp_rules SET consumption_days = NULL, accumulation_days = 5 WHERE consumption_days = 6;
SELECT at, available FROM moments WHERE sku = 'MUG';
UPDATE oms.atp_rules SET accumulation_days = 4 WHERE accumulation_days = 5;
SELECT at, available FROM moments WHERE sku = 'MUG';
SELECT oms.preview_order('{"channel":"web","external_ref":"p","lines":[{"sku":"MUG","quantity":6}]}') #> '{fulfillments,0,supplied_at}';
SELECT oms.preview_order('{"channel":"web","external_ref":"p","lines":[{"sku":"MUG","quantity":5}]}') #> '{fulfillments,0,supplied_at}';
UPDATE oms.atp_rules SET accumulation_days = -1;

-- Every answer is the same.
SELECT i.sku, c.code, d, a.available, m.quantity, e.quantity FROM oms.items i, oms.channels c, unnest(ARRAY['2026-03-16 12:00+00', '2026-03-17', '2026-03-20', '2026-04-01']::timestamptz[]) d,
    LATERAL (SELECT coalesce(sum(available), 0) AS available FROM oms.available(i.sku, c.code, needed_by => d)) a, LATERAL (SELECT quantity FROM oms.available_many(c.code, ARRAY[i.sku], d)) m,
    LATERAL (SELECT sum(quantity) AS quantity FROM oms.explain_available(i.sku, c.code, d)) e
    WHERE i.kind IN ('stocked', 'kit') AND (a.available <> m.quantity OR a.available <> e.quantity);
SELECT location, term, quantity, reason FROM oms.explain_available('MUG', 'web', '2026-03-20');
SELECT location, term, quantity, reason FROM oms.explain_available('SET', 'web', '2026-03-20');

-- Rows of what is promised for when are joined when they have become many; every corruption is found.
DO $$ BEGIN FOR n IN 1 .. 80 LOOP PERFORM place('m' || n, 'MUG', 1); PERFORM oms.cancel_order(oms.find_order('web', 'm' || n)); END LOOP; END $$;
SELECT count(*) BETWEEN 1 AND 66 FROM oms.dated_promises JOIN oms.items USING (item_id) WHERE sku = 'MUG';
SELECT * FROM oms.audit();
UPDATE oms.dated_promises SET units = units + 1 WHERE entry_id = (SELECT min(entry_id) FROM oms.dated_promises WHERE item_id = 1);
UPDATE oms.fulfillments SET supplied_at = '2030-01-01' WHERE fulfillment_id = (SELECT max(fulfillment_id) FROM oms.fulfillments WHERE backordered AND supplied_at IS NOT NULL AND status = 'planned');
SELECT "check", object, expected, found FROM oms.audit();
\c postgres
DROP DATABASE oms_available_by_date;
