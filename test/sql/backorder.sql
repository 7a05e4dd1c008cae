-- backorder.sql: backordered units get firm promises, older orders first, here or elsewhere.
\pset pager off
CREATE DATABASE oms_backorder;
\c oms_backorder
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"CUP"},{"sku":"JUG"},{"sku":"BOWL"}]'), oms.upsert_channels('[{"code":"web","backorder":true},{"code":"other"}]'),
       oms.upsert_locations('[{"code":"north","rank":1,"pickup":true},{"code":"south","rank":2},{"code":"east","rank":3,"ships":false,"pickup":true}]');
SELECT oms.receive_stock('north', 'CUP', 2), oms.receive_stock('north', 'JUG', 10), oms.receive_stock('south', 'JUG', 1);
SELECT oms.set_stock_limits('north', 'CUP', 0, 20), oms.set_stock_limits('north', 'JUG', 0, 20);
CREATE FUNCTION place(reference text, sku text, quantity int, location text DEFAULT NULL, pickup text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT oms.place_order(jsonb_strip_nulls(jsonb_build_object('channel', 'web', 'external_ref', reference, 'pickup_location', pickup,
        'method', CASE WHEN pickup IS NOT NULL THEN 'pickup' END,
        'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity, 'location', location))))) ->> 'fulfillment_status' $$;
CREATE VIEW fulfilled AS
    SELECT o.external_ref, string_agg(format('%s %s%s %s', a.promised - a.cancelled, f.status, CASE WHEN f.backordered THEN ' backordered' END, l.code), ', '
           ORDER BY f.fulfillment_id) AS fulfillments, o.fulfillment_status
    FROM oms.orders o JOIN oms.allocations a USING (order_id) JOIN oms.fulfillments f USING (fulfillment_id) JOIN oms.locations l ON l.location_id = f.location_id
    WHERE a.promised > a.cancelled GROUP BY o.order_id, o.external_ref, o.fulfillment_status;
CREATE FUNCTION fill(dry_run boolean DEFAULT false, max_orders int DEFAULT NULL) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: %s %s from %s at %s', o.external_ref, f.quantity, f.sku, coalesce(f.from_location, 'nowhere'), f.location)
    FROM oms.fill_backorders(dry_run, max_orders) f JOIN oms.orders o USING (order_id) $$;

-- Three orders wait for cups.
SELECT place('a', 'CUP', 4), place('b', 'CUP', 3), place('c', 'CUP', 2);
SELECT * FROM fulfilled ORDER BY 1;
SELECT fill();
-- What arrives goes to the oldest; a dry run says so and changes nothing.
SELECT oms.receive_stock('north', 'CUP', 4);
SELECT fill(true);
SELECT * FROM fulfilled ORDER BY 1;
SELECT count(*) FROM oms.events WHERE type = 'order.backorder_filled';
SELECT fill();
SELECT * FROM fulfilled ORDER BY 1;
SELECT data -> 'lines' -> 0 -> 'quantity' FROM oms.events WHERE type = 'order.backorder_filled' ORDER BY event_id;
SELECT on_hand, reserved, available FROM oms.available('CUP', 'web');
SELECT fill();
SELECT * FROM oms.audit();
-- A new order cannot take what is owed; another location helps, safety stays.
SELECT oms.receive_stock('north', 'CUP', 1), oms.receive_stock('south', 'CUP', 4), oms.set_stock_limits('south', 'CUP', 2);
SELECT fill(max_orders => 1);
SELECT fill();
SELECT * FROM fulfilled ORDER BY 1;
SELECT location, on_hand, reserved, safety, available FROM oms.available('CUP', 'web');
SELECT type, reserved_delta, reason FROM oms.stock_movements WHERE type = 'promise_moved' ORDER BY movement_id;
SELECT * FROM oms.audit();
-- The filled parts ship.
SELECT oms.release_fulfillment(f.fulfillment_id) ->> 'status', oms.ship_fulfillment(f.fulfillment_id) ->> 'fulfillment_status'
FROM oms.fulfillments f JOIN oms.orders o USING (order_id) WHERE o.external_ref = 'c' AND f.status = 'planned' AND NOT f.backordered ORDER BY 1;

-- Units that a count withdrew are promised anew, but not beyond a pin or a pickup point.
SELECT place('j1', 'JUG', 6), place('j2', 'JUG', 2, 'north'), place('j3', 'JUG', 2, NULL, 'north');
SELECT oms.set_stock_limits('north', 'JUG', 0, 0), oms.count_stock('north', 'JUG', 3) -> 'reserved';
SELECT * FROM fulfilled WHERE external_ref LIKE 'j%' ORDER BY 1;
SELECT fill();
SELECT oms.receive_stock('south', 'JUG', 10), oms.receive_stock('east', 'JUG', 10);
SELECT fill(true);
SELECT oms.receive_stock('north', 'JUG', 3);
SELECT fill();
SELECT * FROM fulfilled WHERE external_ref LIKE 'j%' ORDER BY 1;
SELECT * FROM oms.audit();

-- What a channel leaves to others is left here too; then the rest comes.
SELECT oms.receive_stock('north', 'BOWL', 4), place('d', 'BOWL', 4);
SET oms.clock = '2026-03-02 12:10:00+00';
SELECT oms.count_stock('north', 'BOWL', 0) -> 'reserved', oms.set_channel_quota('web', 'BOWL', safety => 1) > 0, oms.set_channel_quota('other', 'BOWL', guaranteed => 3) > 0;
SELECT oms.receive_stock('north', 'BOWL', 3);
SELECT fill();
SELECT oms.receive_stock('south', 'BOWL', 4);
SELECT fill();
SELECT oms.set_channel_quota('other', 'BOWL', guaranteed => 0) > 0;
SELECT fill();
SELECT * FROM oms.audit();

-- An order that ended gets nothing; limits of the call.
SELECT place('e', 'CUP', 3);
SELECT oms.cancel_order(oms.find_order('web', 'e')) ->> 'status', oms.receive_stock('north', 'CUP', 5);
SELECT fill();
SELECT oms.fill_backorders(max_orders => 0);
SELECT oms.fill_backorders(max_orders => 10001);
SELECT count(*) FROM oms.fill_backorders(max_orders => 10000);
SELECT * FROM oms.audit();

-- Units that a promise rests on are missed though the limit would cover them: the newest promise is owed then, and says so.
SELECT oms.upsert_items('[{"sku": "VASE", "backorder": true}]');
SELECT oms.receive_stock('north', 'VASE', 5), oms.set_stock_limits('north', 'VASE', 0, 20);
SELECT place('v1', 'VASE', 3), place('v2', 'VASE', 4);
SELECT o.external_ref, l.allocated, l.backordered FROM oms.order_lines l JOIN oms.orders o USING (order_id) WHERE o.external_ref ~ '^v[0-9]' ORDER BY 1;
SELECT oms.adjust_stock('north', 'VASE', -1, 'broken');
SELECT oms.move_stock_state('north', 'VASE', 'sellable', 'damaged', 1, 'broken');
SELECT oms.count_stock('north', 'VASE', 4) -> 'withdrawn' -> 0 -> 'quantity';
SELECT oms.load_stock('[{"location": "north", "sku": "VASE", "quantity": -2}]', 'delta') -> 'shortages' -> 0 -> 'short';
SELECT o.external_ref, l.allocated, l.backordered FROM oms.order_lines l JOIN oms.orders o USING (order_id) WHERE o.external_ref ~ '^v[0-9]' ORDER BY 1;
SELECT on_hand, reserved FROM oms.available('VASE');
SELECT oms.receive_stock('north', 'VASE', 9);
SELECT fill();
SELECT o.external_ref, l.allocated, l.backordered FROM oms.order_lines l JOIN oms.orders o USING (order_id) WHERE o.external_ref ~ '^v[0-9]' ORDER BY 1;
SELECT * FROM oms.audit();
