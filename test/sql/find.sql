-- find.sql: orders by what they carry; objects by the reference that others know them by.
\pset pager off
CREATE DATABASE oms_find;
\c oms_find
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-03-02 12:00:00+00';
SELECT oms.upsert_channels('[{"code":"web"},{"code":"shop"}]');
SELECT oms.upsert_items('[{"sku":"A","price":10}]');
SELECT oms.receive_stock('default', 'A', 1000);
SELECT count(oms.place_order(jsonb_build_object('channel', CASE WHEN i % 2 = 0 THEN 'web' ELSE 'shop' END, 'external_ref', i::text,
    'customer', jsonb_build_object('ref', 'c' || i % 3), 'attributes', jsonb_build_object('campaign', 'spring', 'no', i, 'tags', jsonb_build_array('t' || i % 4)),
    'lines', '[{"sku":"A","quantity":1}]'::jsonb))) FROM generate_series(1, 12) i;
SELECT oms.cancel_order(12)->>'status';
SELECT oms.place_order('{"external_ref":"plain","lines":[{"sku":"A","quantity":1}]}')->'order_id';

SELECT order_id, channel_code, external_ref, order_status, payment_status, fulfillment_status, placed_at, currency, total, customer, order_attributes FROM oms.find_orders('{"no":7}');
SELECT array_agg(order_id) FROM oms.find_orders('{"tags":["t1"]}');
SELECT array_agg(order_id) FROM oms.find_orders('{"campaign":"spring"}', max_count => 3);
SELECT array_agg(order_id) FROM oms.find_orders('{"campaign":"spring"}', max_count => 3, before => 10);
SELECT array_agg(order_id) FROM oms.find_orders(customer_ref => 'c1');
SELECT array_agg(order_id) FROM oms.find_orders(customer_ref => 'c1', channel => 'web', attributes => '{"campaign":"spring"}');
SELECT array_agg(order_id) FROM oms.find_orders(channel => 'shop', status => 'placed');
SELECT array_agg(order_id) FROM oms.find_orders(status => 'cancelled');
SELECT array_agg(order_id) FROM oms.find_orders();
SELECT (SELECT count(*) FROM oms.find_orders(placed_from => '2026-03-02 12:00:00+00')) AS from_then, (SELECT count(*) FROM oms.find_orders(placed_to => '2026-03-02 12:00:00+00')) AS before_then;
SELECT count(*) FROM oms.find_orders('{"no":99}');

-- With the index that the reference shows, a search by attributes reads only what it finds.
CREATE INDEX orders_attributes ON oms.orders USING gin (attributes jsonb_path_ops) WHERE attributes IS NOT NULL;
SELECT array_agg(order_id) FROM oms.find_orders('{"tags":["t1"]}');

-- Only channels that the caller may see.
CREATE ROLE oms_find_clerk IN ROLE oms_app;
INSERT INTO oms.role_scopes (tenant_id, role_name, channel_id) SELECT 1, 'oms_find_clerk', channel_id FROM oms.channels WHERE code = 'web';
SELECT oms.set_external_ref('fulfillment', 1, 'WMS-1'), oms.set_external_ref('fulfillment', 2, 'WMS-2');
SET ROLE oms_find_clerk;
SELECT array_agg(order_id) FROM oms.find_orders();
SELECT array_agg(order_id) FROM oms.find_orders(channel => 'shop');
SELECT * FROM oms.find_object('fulfillment', 'WMS-1');
SELECT * FROM oms.find_object('fulfillment', 'WMS-2');
SELECT oms.set_external_ref('fulfillment', 1, 'mine');
RESET ROLE;
DELETE FROM oms.role_scopes;
DROP ROLE oms_find_clerk;

-- References on every object.
SELECT oms.add_payment(1, '{"method":"card","external_ref":"psp-1"}'), oms.hold_order(1);
SELECT oms.release_hold(1), oms.release_fulfillment(1)->>'status', oms.pack_fulfillment(1, '[{"external_ref":"box-1"}]')->>'status';
SELECT * FROM oms.find_object('payment', 'psp-1') UNION ALL SELECT * FROM oms.find_object('package', 'box-1');
SELECT oms.set_external_ref('payment', 1, 'psp-2'), oms.set_external_ref('hold', 1, 'T-1'), oms.set_external_ref('package', 1, NULL);
SELECT * FROM oms.find_object('payment', 'psp-1') UNION ALL SELECT * FROM oms.find_object('payment', 'psp-2') UNION ALL SELECT * FROM oms.find_object('hold', 'T-1') UNION ALL SELECT * FROM oms.find_object('package', 'box-1');
SELECT type, data FROM oms.order_timeline(1) WHERE type LIKE '%.referenced';
SELECT oms.set_external_ref('fulfillment', 3, 'WMS-1');
SELECT oms.set_external_ref('fulfillment', 1, 'WMS-1');
SELECT oms.set_external_ref('fulfillment', 99, 'WMS-9');
SELECT oms.set_external_ref('moon', 1, 'x');
SELECT oms.set_external_ref('hold', 1, '');
SELECT oms.find_object('moon', 'x');

-- Refusals.
SELECT oms.find_orders('[1]');
SELECT oms.find_orders(channel => 'none');
SELECT oms.find_orders(max_count => 0);
SELECT count(*) FROM oms.find_orders(max_count => 10000);
SELECT oms.find_orders(max_count => 10001);
SELECT count(*) FROM oms.audit();
\c postgres
DROP DATABASE oms_find;
