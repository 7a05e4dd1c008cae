-- backorder_order.sql: backordered units are filled in a declared order, and nobody is overtaken without end.
\pset pager off
CREATE DATABASE oms_backorder_order;
\c oms_backorder_order
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';
SET TIME ZONE 'UTC';
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"CUP","price":10},{"sku":"JUG","price":10}]'),
       oms.upsert_channels('[{"code":"web","backorder":true,"priority":5,"class_priorities":[{"class":"gold","priority":50}]}]'),
       oms.upsert_locations('[{"code":"north","rank":1},{"code":"south","rank":2},{"code":"default","active":false}]');
SELECT oms.receive_stock('north', 'CUP', 1), oms.set_stock_limits('north', 'CUP', 0, 100);
CREATE FUNCTION place(reference text, quantity int, more jsonb DEFAULT '{}', line jsonb DEFAULT '{}', sku text DEFAULT 'CUP') RETURNS text LANGUAGE sql AS $$
    SELECT oms.place_order(jsonb_build_object('channel', 'web', 'external_ref', reference,
        'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity) || line)) || more) ->> 'fulfillment_status' $$;
CREATE FUNCTION fill(order_by text DEFAULT NULL, dry_run boolean DEFAULT false, max_orders int DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: %s %s from %s at %s', o.external_ref, f.quantity, f.sku, coalesce(f.from_location, 'nowhere'), f.location)
    FROM oms.fill_backorders(dry_run, max_orders, order_by) WITH ORDINALITY f(order_id, line_no, sku, quantity, from_location, location, n)
    JOIN oms.orders o USING (order_id) ORDER BY n $$;
CREATE FUNCTION at(minutes int) RETURNS void LANGUAGE sql AS $$
    SELECT set_config('oms.clock', (timestamptz '2026-03-02 12:00+00' + minutes * interval '1 minute')::text, false) IS NULL $$;

-- Priorities: of the document, of the class of the customer, of the channel; the greater goes first.
SELECT place('a', 1), place('b', 1, '{"priority":-1000}');
SELECT at(1), place('c', 1, '{"customer":{"ref":"k","class":"gold"}}', '{"unit_price":9}');
SELECT at(2), place('d', 1, '{"requested_at":"2026-03-05T00:00:00Z"}', '{"unit_price":30,"adjustments":[{"type":"discount","amount":25}]}');
SELECT at(3), place('e', 1, '{"customer":{"ref":"k","class":"gold"},"priority":7,"requested_at":"2026-03-04T00:00:00Z"}', '{"unit_price":8}');
SELECT external_ref, priority, oms.get_order(order_id) -> 'priority' FROM oms.orders ORDER BY order_id;
SELECT place('x', 1, '{"priority":1001}');
SELECT oms.upsert_channels('[{"code":"web","priority":1001,"class_priorities":[{"class":"a","priority":1},{"class":"a","priority":2}],"displacement":"maybe","displacement_lock_hours":8761}]');
-- Each order to fill by says who would be first.
SELECT oms.receive_stock('north', 'CUP', 4);
SELECT order_by, string_agg(left(f, 1), ' ' ORDER BY n) FROM unnest(ARRAY['first_come', 'priority', 'date', 'margin']) order_by, LATERAL fill(order_by, true) WITH ORDINALITY f(f, n) GROUP BY 1 ORDER BY 1;
SELECT fill('cheapest');
-- Who is left out by the limit of the call is overtaken all the same, and so it counts.
SELECT fill('priority', max_orders => 1);
SELECT external_ref, overtaken FROM oms.orders WHERE overtaken IS NOT NULL ORDER BY 1;
-- The tenant declares it; an edit changes the priority.
INSERT INTO oms.backorder_rules (tenant_id, fill_order, overtakes_max) VALUES (1, 'priority', 2);
SELECT oms.edit_order(oms.find_order('web', 'b'), '{"priority":100}') -> 'order' -> 'priority', oms.edit_order(oms.find_order('web', 'd'), '{"priority":null}') -> 'order' -> 'priority';
SELECT fill(dry_run => true);
SELECT fill();
SELECT * FROM oms.audit();

-- An order of a low priority is overtaken twice, then it goes first.
SELECT oms.set_stock_limits('north', 'CUP', 0, 100), at(10), place('low', 2, '{"priority":-5}');
SELECT at(11), place('h1', 1), place('h2', 1), place('h3', 1), place('h4', 1);
SELECT oms.receive_stock('north', 'CUP', 1);
SELECT fill();
SELECT overtaken FROM oms.orders WHERE external_ref = 'low';
SELECT oms.receive_stock('north', 'CUP', 1);
SELECT fill(dry_run => true);
SELECT overtaken FROM oms.orders WHERE external_ref = 'low';
SELECT oms.receive_stock('north', 'CUP', 1);
SELECT fill();
SELECT overtaken FROM oms.orders WHERE external_ref = 'low';
SELECT oms.receive_stock('north', 'CUP', 1);
SELECT fill();
SELECT oms.receive_stock('north', 'CUP', 2);
SELECT fill();
SELECT external_ref, overtaken FROM oms.orders WHERE overtaken IS NOT NULL ORDER BY 1;
SELECT o.external_ref, e.reason FROM oms.events e JOIN oms.orders o USING (order_id) WHERE e.type = 'order.overtaken';
SELECT * FROM oms.audit();
UPDATE oms.orders SET overtaken = 5 WHERE external_ref = 'low';
SELECT * FROM oms.audit();
UPDATE oms.orders SET overtaken = 2 WHERE external_ref = 'low';

-- Scarce arrivals: an order that a count left without a promise goes before a later one that waits at the place. That one
-- keeps its promise where the place may owe more, and waits without one where it may not.
UPDATE oms.backorder_rules SET fill_order = 'first_come';
SELECT oms.receive_stock('north', 'JUG', 1), oms.set_stock_limits('north', 'JUG', 0, 0), at(20), place('old', 1, sku => 'JUG');
SELECT oms.count_stock('north', 'JUG', 0) -> 'withdrawn' -> 0 -> 'quantity', oms.set_stock_limits('north', 'JUG', 0, 1), at(21), place('new', 1, sku => 'JUG');
CREATE VIEW jugs AS SELECT o.external_ref, l.allocated, l.backordered, sum(a.promised - a.shipped - a.cancelled) AS promised FROM oms.orders o JOIN oms.order_lines l USING (order_id)
    JOIN oms.items i USING (item_id) LEFT JOIN oms.allocations a USING (order_id, line_no) WHERE i.sku = 'JUG' GROUP BY o.order_id, 1, 2, 3 ORDER BY o.order_id;
TABLE jugs;
SELECT oms.receive_stock('north', 'JUG', 1);
BEGIN;
SELECT fill();
TABLE jugs;
SELECT * FROM oms.audit();
ROLLBACK;
SELECT oms.set_stock_limits('north', 'JUG', 0, 0);
SELECT fill();
TABLE jugs;
SELECT o.external_ref, e.type, e.reason FROM oms.events e JOIN oms.orders o USING (order_id) WHERE o.external_ref = 'new' AND e.type LIKE 'fulfillment.%' ORDER BY event_id;
SELECT * FROM oms.audit();
SELECT oms.receive_stock('south', 'JUG', 1);
SELECT fill();
TABLE jugs;
SELECT * FROM oms.audit();

-- Which promises a count withdraws first: the newest, the lowest priority, the latest date.
SELECT oms.upsert_items('[{"sku":"VASE"}]'), oms.receive_stock('north', 'VASE', 4), at(30);
SELECT place('v1', 1, '{"priority":1}', sku => 'VASE'), place('v2', 1, '{"priority":3}', sku => 'VASE'), place('v3', 1, '{"priority":2}', sku => 'VASE'),
       place('v4', 1, '{"priority":9}', sku => 'VASE');
UPDATE oms.fulfillments f SET promised_at = timestamptz '2026-03-10' + CASE o.external_ref WHEN 'v2' THEN interval '5 days' WHEN 'v4' THEN NULL ELSE interval '1 day' END
FROM oms.orders o WHERE o.order_id = f.order_id AND o.external_ref ~ '^v';
CREATE FUNCTION counted(rule text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE lost text;
BEGIN
    UPDATE oms.backorder_rules SET withdraw_order = rule;
    SELECT string_agg(o.external_ref, ' ' ORDER BY o.external_ref) INTO lost FROM jsonb_array_elements(oms.count_stock('north', 'VASE', 2) -> 'withdrawn') w
        JOIN oms.orders o ON o.order_id = (w -> 'order_id')::bigint;
    RAISE SQLSTATE 'P0001' USING MESSAGE = lost;
EXCEPTION WHEN SQLSTATE 'P0001' THEN RETURN SQLERRM;
END $$;
SELECT r, counted(r) FROM unnest(ARRAY['newest', 'lowest_priority', 'latest_date']) r;
UPDATE oms.backorder_rules SET withdraw_order = 'oldest';
