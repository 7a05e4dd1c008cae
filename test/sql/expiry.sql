-- expiry.sql: orders that wait for payment, confirmation or stock only so long.
\pset pager off
CREATE DATABASE oms_expiry;
\c oms_expiry
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-03-02 12:00:00+00';
SELECT oms.upsert_items('[{"sku":"A","price":10,"backorder":true}]');
SELECT oms.receive_stock('default', 'A', 10);
SELECT oms.set_stock_limits('default', 'A', NULL, 100);
SELECT oms.upsert_channels('[{"code":"web","payment_timeout":"30 minutes"},{"code":"desk","confirmation":"required","confirmation_timeout":"1 day"},
                             {"code":"wait","backorder":true,"backorder_timeout":"2 days"}]');
SELECT code, payment_timeout, confirmation_timeout, backorder_timeout, draft_timeout FROM oms.channels ORDER BY code;

CREATE FUNCTION place(reference text, channel text, more jsonb DEFAULT '{}', quantity int DEFAULT 1) RETURNS text LANGUAGE sql AS $$
    SELECT concat_ws(' ', answer->>'order_id', answer->>'status', answer->>'payment_status', answer->>'fulfillment_status')
    FROM oms.place_order(jsonb_build_object('external_ref', reference, 'channel', channel, 'lines',
        jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', quantity))) || more) answer $$;

-- Only what is still unpaid ends; its units are free again.
SELECT place('1', 'web'), place('2', 'web', '{"payments":[{"method":"card"}]}'), place('3', 'web'), place('4', 'web'), place('5', 'web'), place('0', 'default');
SELECT order_id, kind, due_at FROM oms.order_deadlines ORDER BY 1;
SELECT oms.add_payment(3, '{"method":"card","status":"captured"}') > 0, oms.add_payment(4, '{"method":"bank","amount":3,"status":"captured"}') > 0;
SELECT oms.expire_orders();
SET oms.clock = '2026-03-02 12:30:00+00';
SELECT reserved FROM oms.stock;
SELECT oms.expire_orders(1), oms.expire_orders(), oms.expire_orders();
SELECT order_id, status, payment_status FROM oms.orders ORDER BY order_id;
SELECT reserved FROM oms.stock;
SELECT type, action, reason FROM oms.order_timeline(1) WHERE type = 'order.cancelled';
SELECT count(*) FROM oms.order_deadlines;
SELECT count(*) FROM oms.audit();

-- Money that comes too late is recorded, and shows.
SELECT oms.add_payment(1, '{"method":"bank","amount":10,"status":"captured"}') > 0;
SELECT payment_status FROM oms.orders WHERE order_id = 1;

-- Work that has begun is not ended; a hold can forbid the end, which is tried again later.
INSERT INTO oms.hold_types (code, blocks) VALUES ('keep', '{order.expire}');
SELECT place('6', 'web'), place('7', 'web');
SELECT oms.release_fulfillment(7)->>'status', oms.hold_order(8, 'keep');
SET oms.clock = '2026-03-02 13:30:00+00';
SELECT oms.expire_orders();
SELECT order_id, kind, due_at FROM oms.order_deadlines;
SELECT type, reason FROM oms.order_timeline(8) WHERE type = 'order.expiry_failed';
SELECT oms.release_hold(1);
SET oms.clock = '2026-03-02 13:45:00+00';
SELECT oms.expire_orders();
SELECT order_id, status FROM oms.orders WHERE order_id IN (7, 8) ORDER BY order_id;

-- Orders that wait for confirmation.
SELECT place('1', 'desk'), place('2', 'desk');
SELECT oms.confirm_order(9)->>'status';
SET oms.clock = '2026-03-03 13:45:00+00';
SELECT oms.expire_orders();
SELECT order_id, status FROM oms.orders WHERE order_id IN (9, 10) ORDER BY order_id;

-- Backordered units alone end; an order of nothing else ends whole.
SELECT on_hand - reserved AS free FROM oms.stock;
SELECT place('1', 'wait', quantity => 9), place('2', 'wait', quantity => 3);
SELECT line_no, ordered, allocated, backordered, cancelled FROM oms.order_lines WHERE order_id IN (11, 12);
SET oms.clock = '2026-03-05 13:45:00+00';
SELECT oms.expire_orders();
SELECT line_no, ordered, allocated, backordered, cancelled FROM oms.order_lines WHERE order_id IN (11, 12);
SELECT order_id, status, fulfillment_status, total FROM oms.orders WHERE order_id IN (11, 12) ORDER BY order_id;
SELECT count(*) FROM oms.order_deadlines;
SELECT count(*) FROM oms.audit();

-- Refusals.
SELECT oms.upsert_channels('[{"code":"web","payment_timeout":"soon"},{"code":"a","draft_timeout":"-1 day"},{"code":"b","backorder_timeout":"0"},{"code":"c","confirmation_timeout":"infinity"}]');
UPDATE oms.channels SET payment_timeout = '0';
SELECT oms.expire_orders(0);

-- Corruption is found.
INSERT INTO oms.order_deadlines VALUES (99, now(), 1, 'payment');
SELECT * FROM oms.audit();
DELETE FROM oms.order_deadlines;
SELECT count(*) FROM oms.audit();
\c postgres
DROP DATABASE oms_expiry;
