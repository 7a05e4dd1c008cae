-- replanning.sql: what a count withdraws is promised anew in the same call, where the tenant wants that.
\pset pager off
CREATE DATABASE oms_replanning;
\c oms_replanning
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';
SET TIME ZONE 'UTC';
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"CUP","price":10},{"sku":"JUG","price":10},{"sku":"SET","kind":"kit","price":15,"ship_together":true,"components":[{"sku":"CUP","quantity":1},{"sku":"JUG","quantity":1}]}]'),
       oms.upsert_channels('[{"code":"web"},{"code":"later","backorder":true}]'),
       oms.upsert_locations('[{"code":"east","rank":3},{"code":"north","rank":1,"pickup":true},{"code":"south","rank":2},{"code":"default","active":false}]');
CREATE FUNCTION place(reference text, quantity int, more jsonb DEFAULT '{}', line jsonb DEFAULT '{}', sku text DEFAULT 'CUP', channel text DEFAULT 'web') RETURNS text LANGUAGE sql AS $$
    SELECT oms.place_order(jsonb_build_object('channel', channel, 'external_ref', reference,
        'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity) || line)) || more) ->> 'fulfillment_status' $$;
CREATE VIEW shown AS
    SELECT o.external_ref, o.fulfillment_status, l.backordered, string_agg(format('%s at %s%s', a.promised - a.cancelled, p.code, CASE WHEN f.backordered THEN ' backordered' END), ', '
           ORDER BY a.line_no, p.code, f.fulfillment_id) FILTER (WHERE a.promised > a.cancelled) AS promises
    FROM oms.orders o JOIN oms.order_lines l USING (order_id) LEFT JOIN oms.allocations a USING (order_id, line_no) LEFT JOIN oms.fulfillments f USING (fulfillment_id)
    LEFT JOIN oms.locations p ON p.location_id = f.location_id WHERE o.status <> 'cancelled' GROUP BY o.order_id, l.line_no, 1, 2, 3 ORDER BY o.order_id, l.line_no;
CREATE FUNCTION told(answer jsonb) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s: %s', o.external_ref, (r - 'order_id')::text) FROM jsonb_array_elements(answer -> 'replanned') WITH ORDINALITY x(r, n)
    JOIN oms.orders o ON o.order_id = (r -> 'order_id')::bigint ORDER BY n $$;

-- Left to fill_backorders unless the tenant says otherwise.
SELECT oms.receive_stock('north', 'CUP', 8), place('a', 3), place('b', 2, '{"priority":5}'), place('c', 1, line => '{"location":"north"}'), place('d', 1), place('e', 1);
SELECT oms.receive_stock('south', 'CUP', 2), oms.receive_stock('east', 'CUP', 1);
SELECT oms.count_stock('north', 'CUP', 7) - 'withdrawn', told(oms.count_stock('north', 'CUP', 7));
TABLE shown;
INSERT INTO oms.backorder_rules (tenant_id, withdrawn) VALUES (1, 'replan');
-- The greatest priority first, then the oldest order; a place of the document is kept; what a hold keeps from being routed waits.
INSERT INTO oms.hold_types (code, blocks) VALUES ('kept', '{order.route}');
SELECT oms.hold_order(oms.find_order('web', 'd'), 'kept') > 0;
SELECT told(oms.count_stock('north', 'CUP', 1));
TABLE shown;
SELECT o.external_ref, e.reason, e.data - 'ledger' - 'promises' - 'derived' FROM oms.events e JOIN oms.orders o USING (order_id) WHERE e.type = 'order.repromised' ORDER BY event_id;
SELECT l.code, on_hand, reserved FROM oms.stock JOIN oms.locations l USING (location_id) ORDER BY 1;
SELECT * FROM oms.audit();
-- Nothing withdrawn, nothing planned.
SELECT oms.count_stock('north', 'CUP', 1);
SELECT oms.cancel_order(order_id) ->> 'status' FROM oms.orders ORDER BY order_id;

-- Backordered where the channel and the place allow it; a released order is planned again; several items and places at once.
SELECT oms.count_stock('north', 'CUP', 4) -> 'difference', oms.count_stock('south', 'CUP', 0) -> 'difference', oms.count_stock('east', 'CUP', 0) -> 'difference',
       oms.set_stock_limits('north', 'CUP', 0, 5), oms.receive_stock('north', 'JUG', 3), oms.receive_stock('east', 'JUG', 3);
SELECT place('f', 3, channel => 'later'), place('g', 1), place('h', 3, sku => 'JUG', line => '{}');
SELECT oms.release_fulfillment(min(fulfillment_id)) ->> 'fulfillment_status' FROM oms.fulfillments WHERE order_id = oms.find_order('web', 'h');
SELECT told(oms.load_stock('[{"location":"north","sku":"CUP","quantity":1},{"location":"north","sku":"JUG","quantity":1}]', 'count'));
TABLE shown;
SELECT * FROM oms.audit();
SELECT oms.cancel_order(order_id) ->> 'status' FROM oms.orders WHERE status <> 'cancelled' ORDER BY order_id;

-- A kit that ships together is not parted; days of capacity are taken and given back.
SELECT oms.set_stock_limits('north', 'CUP', 0, 0), oms.count_stock('north', 'CUP', 2) -> 'on_hand', oms.count_stock('north', 'JUG', 1) -> 'on_hand', oms.receive_stock('south', 'CUP', 5),
       oms.upsert_locations('[{"code":"north","daily_capacity":9},{"code":"south","daily_capacity":1}]');
SELECT place('k', 1, sku => 'SET'), place('l', 1), oms.receive_stock('east', 'CUP', 1);
SELECT told(oms.count_stock('north', 'CUP', 0));
TABLE shown;
SELECT l.code, c.used FROM oms.location_capacity c JOIN oms.locations l USING (location_id) WHERE used > 0 ORDER BY 1;
SELECT * FROM oms.audit();
SELECT oms.cancel_order(order_id) ->> 'status' FROM oms.orders WHERE status <> 'cancelled' ORDER BY order_id;

-- What rests on a supply that does not come is promised anew too: cancelled, made smaller, or lost on its way.
SELECT oms.upsert_locations('[{"code":"north","daily_capacity":null},{"code":"south","daily_capacity":null}]'),
       oms.count_stock('south', 'CUP', 0) -> 'difference', oms.count_stock('east', 'CUP', 0) -> 'difference';
SELECT oms.expect_supply('north', 'CUP', 6, '2026-03-05 12:00+00', 'PO-1') AS po1, oms.expect_supply('south', 'CUP', 2, '2026-03-06 12:00+00', 'PO-2') AS po2 \gset
SELECT place('m', 2, channel => 'later'), place('n', 3, '{"priority":5}', channel => 'later'), place('o', 1, channel => 'later');
TABLE shown;
SELECT oms.receive_stock('east', 'CUP', 2), oms.expect_supply('north', 'CUP', 4, '2026-03-05 12:00+00', 'PO-1') = :po1;
TABLE shown;
SELECT told(oms.cancel_supply(:po1, 'no maker'));
TABLE shown;
SELECT o.external_ref, e.type, e.reason FROM oms.events e JOIN oms.orders o USING (order_id) WHERE e.type IN ('order.repromised', 'fulfillment.promise_withdrawn') AND o.external_ref IN ('m', 'n', 'o') ORDER BY event_id;
SELECT * FROM oms.audit();
SELECT oms.cancel_order(order_id) ->> 'status' FROM oms.orders WHERE status <> 'cancelled' ORDER BY order_id;
SELECT oms.request_transfer('east', 'north', 'CUP', 2, '2026-03-03 12:00+00', 'TO-1') AS transfer \gset
SELECT oms.ship_transfer(:transfer) ->> 'status', place('p', 2, channel => 'later');
TABLE shown;
SELECT told(oms.close_transfer(:transfer, 'fell off'));
TABLE shown;
SELECT * FROM oms.audit();
