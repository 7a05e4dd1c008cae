-- claim.sql: units that nobody sends back: lost on their way, broken, under warranty.
\pset pager off
CREATE DATABASE oms_claim;
\c oms_claim
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SET oms.clock = '2026-03-01 12:00+00';
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":7}]');
SELECT oms.receive_stock('default', 'A', 100), oms.receive_stock('default', 'B', 100);
CREATE FUNCTION shipped(reference text, lines jsonb, adjustments jsonb DEFAULT '[]') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE id bigint := (oms.place_order(jsonb_build_object('external_ref', reference, 'lines', lines, 'adjustments', adjustments,
    'payments', '[{"method":"card","status":"captured"}]'::jsonb))->>'order_id')::bigint;
BEGIN
    PERFORM oms.release_fulfillment(fulfillment_id), oms.ship_fulfillment(fulfillment_id) FROM oms.fulfillments WHERE order_id = id;
    RETURN id;
END $$;
CREATE FUNCTION units(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('line %s: shipped %s, delivered %s, requested %s, returned %s, written off %s', line_no, shipped, delivered,
        return_requested, returned, written_off), '; ' ORDER BY line_no) || '; ' || (SELECT fulfillment_status || ', ' || status || ', ' || payment_status
        FROM oms.orders WHERE order_id = id) FROM oms.order_lines WHERE order_id = id
$$;

-- One of three units is lost: written off and refunded with its share of discount and tax; no stock moves.
SELECT shipped('lost', '[{"sku":"A","quantity":3}]', '[{"type":"discount","amount":"1.00"},{"type":"tax","amount":"2.00"},{"type":"shipping","amount":"4.90"}]') AS lost \gset
SELECT oms.request_return(:lost, '[{"line_no":1,"quantity":1}]', 'lost', '{"goods_back":false}') - '{receipts,requested_at,approved_at,received_at,ended_at}'::text[];
SELECT units(:lost);
SELECT on_hand, reserved FROM oms.stock JOIN oms.items USING (item_id) WHERE sku = 'A';
SELECT disposition, location_id FROM oms.return_receipts;
SELECT type, action, to_state, reason FROM oms.order_timeline(:lost) WHERE object_type IN ('return', 'refund');
-- The rest arrives, and the order is complete.
SELECT oms.deliver_fulfillment(max(fulfillment_id)) ->> 'status' FROM oms.fulfillments WHERE order_id = :lost;
SELECT units(:lost);
SELECT * FROM oms.audit();

-- The last unit takes what is left, so three claims are the whole order; shipping comes back with it.
SELECT oms.request_return(:lost, '[{"line_no":1,"quantity":1}]', 'broken', '{"goods_back":false}') #>> '{refund,total}';
SELECT oms.request_return(:lost, NULL, 'broken', '{"goods_back":false}') #>> '{refund,total}';
SELECT sum(amount) FROM oms.refunds WHERE order_id = :lost;
SELECT units(:lost);
SELECT oms.request_return(:lost, NULL, 'again', '{"goods_back":false}');

-- All lost before anything arrived: nothing is to be delivered any more.
SELECT shipped('all lost', '[{"sku":"A","quantity":1},{"sku":"B","quantity":2}]') AS gone \gset
SELECT oms.request_return(:gone, '[{"line_no":2}]', 'lost', '{"goods_back":false}') ->> 'status';
SELECT units(:gone);
SELECT oms.request_return(:gone, NULL, 'lost', '{"goods_back":false}') ->> 'status';
SELECT units(:gone);

-- Part comes back, part is written off.
SELECT shipped('both', '[{"sku":"B","quantity":2}]') AS both \gset
SELECT oms.request_return(:both, '[{"line_no":1,"quantity":1}]', 'broken', '{"goods_back":false}') ->> 'status';
SELECT oms.receive_return((oms.request_return(:both) ->> 'return_id')::bigint) ->> 'status';
SELECT units(:both);

-- Warranty: two years for what is broken, a month for what does not please; some claims want a look first.
INSERT INTO oms.return_rules (reason, return_window) VALUES ('warranty', '2 years');
INSERT INTO oms.return_rules (rank, return_window) VALUES (1, '1 month');
INSERT INTO oms.return_rules (reason, approval) VALUES ('dropped', 'required');
SELECT shipped('old', '[{"sku":"A","quantity":2}]') AS old \gset
SET oms.clock = '2027-03-01 12:00+00';
SELECT oms.request_return(:old, NULL, 'unwanted');
SELECT oms.request_return(:old, '[{"line_no":1}]', 'unwanted');
SELECT oms.request_return(:old, '[{"line_no":1,"quantity":1}]', 'warranty', '{"goods_back":false}') ->> 'status';
SET oms.clock = '2028-03-02 12:00+00';
SELECT oms.request_return(:old, '[{"line_no":1,"quantity":1}]', 'warranty', '{"goods_back":false}') ->> 'status';
SET oms.clock = '2026-03-01 13:00+00';
SELECT oms.request_return(:old, '[{"line_no":1,"quantity":1}]', 'dropped', '{"goods_back":false}') ->> 'status';
SELECT units(:old);
SELECT oms.approve_return(max(return_id), 'seen') ->> 'status' FROM oms.returns;
SELECT units(:old);

-- What makes no sense is refused; so is a second claim of the same units.
SELECT oms.request_return(:both, NULL, 'x', '{"goods_back":false,"location":"default"}');
SELECT oms.request_return(:both, NULL, 'x', '{"goods_back":"no"}');
SELECT oms.order_as_of(:old, '2026-03-01 12:30+00') #>> '{lines,0,written_off}', oms.order_as_of(:old, '2026-03-01 14:00+00') #>> '{lines,0,written_off}';
SELECT * FROM oms.audit();

-- audit() finds units that were written off without a claim, and the database forbids more than was shipped.
BEGIN;
UPDATE oms.order_lines SET written_off = written_off - 1 WHERE order_id = :lost;
SELECT "check", object, expected, found FROM oms.audit() WHERE "check" LIKE 'line.%';
ROLLBACK;
UPDATE oms.order_lines SET replaced = 1 WHERE order_id = :lost;
\c postgres
DROP DATABASE oms_claim;
