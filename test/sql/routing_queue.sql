-- routing_queue.sql: what could not be routed, why, since when, and what was tried.
\pset pager off
CREATE DATABASE oms_routing_queue;
\c oms_routing_queue
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SET TIME ZONE 'UTC';
SET oms.clock = '2030-01-01 08:00+00';
SELECT oms.upsert_channels('[{"code":"web","backorder":true},{"code":"other","backorder":true}]'), oms.upsert_locations('[{"code":"berlin"},{"code":"madrid","pickup":true}]'),
  oms.upsert_items('[{"sku":"A","price":10,"backorder":true},{"sku":"B","price":20,"backorder":true},{"sku":"C","price":5}]');
SELECT oms.receive_stock('berlin', 'A', 4), oms.receive_stock('madrid', 'B', 1), oms.receive_stock('madrid', 'C', 9);
SELECT oms.set_stock_limits('berlin', 'A', 0, 5), oms.set_stock_limits('madrid', 'B', 0, 2);
CREATE FUNCTION queue() RETURNS SETOF text LANGUAGE sql AS $$
  SELECT format('%s line %s: %s %s at %s since %s: %s; %s tries, last %s', q.external_ref, line_no, q.kind, quantity, coalesce(l.code, 'nowhere'), to_char(since, 'DD HH24:MI'), reason, attempts,
    to_char(last_attempt_at, 'DD HH24:MI')) || coalesce(' expected ' || to_char(expected_at, 'DD'), '')
  FROM oms.routing_queue q LEFT JOIN oms.locations l USING (location_id) ORDER BY q.order_id, line_no, q.kind, l.code $$;
SELECT oms.place_order('{"channel":"web","external_ref":"o1","lines":[{"sku":"A","quantity":6},{"sku":"C","quantity":1}]}') ->> 'fulfillment_status';
SELECT oms.place_order('{"channel":"web","external_ref":"o2","lines":[{"sku":"B","quantity":2}]}') ->> 'fulfillment_status';
SELECT queue();
-- A supply is expected: the units of its place wait for it.
SELECT oms.expect_supply('madrid', 'B', 5, '2030-01-20') > 0;
SET oms.clock = '2030-01-01 09:00+00';
SELECT queue();
-- A count takes promises away; routing it again is an attempt, successful or not.
SELECT jsonb_array_length(oms.count_stock('berlin', 'A', 1) -> 'withdrawn');
SELECT queue();
SET oms.clock = '2030-01-01 10:00+00';
SELECT oms.route_order(oms.find_order('web', 'o1')) ->> 'reason';
SET oms.clock = '2030-01-01 11:00+00';
SELECT oms.route_order(oms.find_order('web', 'o1'), true) ->> 'reason', oms.route_order(oms.find_order('web', 'o1')) ->> 'reason';
SELECT queue();
SELECT oms.receive_stock('madrid', 'A', 2);
SET oms.clock = '2030-01-01 12:00+00';
SELECT sum(quantity) FROM oms.fill_backorders();
SELECT queue();
-- What a location has rejected, once for shipping and once for pickup.
SELECT oms.place_order('{"channel":"other","external_ref":"p1","method":"pickup","pickup_location":"madrid","lines":[{"sku":"C","quantity":2}]}') ->> 'fulfillment_status';
SET oms.clock = '2030-01-01 13:00+00';
SELECT jsonb_array_length(oms.count_stock('madrid', 'C', 0) -> 'withdrawn');
SELECT queue();
SET session_replication_role = replica;
INSERT INTO oms.events (order_id, object_id, at, tenant_id, object_type, type, to_state, actor, reason)
SELECT a.order_id, a.fulfillment_id, '2030-01-01 13:30+00', 1, 'fulfillment', 'fulfillment.rejected', 'rejected', 'test', 'too busy'
FROM oms.allocations a JOIN oms.items i USING (item_id) WHERE i.sku = 'C';
RESET session_replication_role;
SELECT queue();
-- What is filled, cancelled or finished is not there any more.
SELECT oms.receive_stock('madrid', 'C', 9), oms.receive_stock('berlin', 'A', 9), (SELECT sum(quantity) FROM oms.fill_backorders());
SELECT oms.cancel_order(oms.find_order('web', 'o2')) ->> 'status';
SELECT queue();

-- An exchange that waits for its return, and then for stock.
SELECT oms.place_order('{"channel":"web","external_ref":"e1","lines":[{"sku":"C","quantity":1}],"payments":[{"method":"card","status":"captured","amount":5}]}') ->> 'status';
SELECT oms.release_fulfillment(fulfillment_id), oms.ship_fulfillment(fulfillment_id), oms.deliver_fulfillment(fulfillment_id) FROM oms.fulfillments
WHERE order_id = oms.find_order('web', 'e1') \g /dev/null
SELECT oms.exchange_order(oms.find_order('web', 'e1'), '[{"line_no":1,"quantity":1}]', '[{"sku":"B","quantity":9}]', 'size', '{"promise":"receipt"}') \g /dev/null
SELECT queue();
SET oms.clock = '2030-01-01 14:00+00';
SELECT oms.receive_return(return_id, '[{"line_no":1,"quantity":1}]') FROM oms.returns \g /dev/null
SELECT queue();

-- Each reader sees what its scopes allow.
CREATE ROLE queue_analyst IN ROLE oms_analyst;
SELECT oms.place_order('{"channel":"other","external_ref":"o9","lines":[{"sku":"B","quantity":1}]}') ->> 'fulfillment_status';
SELECT oms.place_order('{"channel":"other","external_ref":"o8","lines":[{"sku":"B","quantity":2}]}') ->> 'fulfillment_status';
SET SESSION AUTHORIZATION queue_analyst;
SELECT external_ref FROM oms.routing_queue ORDER BY 1;
SELECT count(*) FROM oms.orders;
RESET SESSION AUTHORIZATION;
INSERT INTO oms.role_scopes (tenant_id, role_name, channel_id) SELECT 1, 'queue_analyst', channel_id FROM oms.channels WHERE code = 'other';
SET SESSION AUTHORIZATION queue_analyst;
SELECT external_ref FROM oms.routing_queue ORDER BY 1;
RESET SESSION AUTHORIZATION;
UPDATE oms.role_scopes SET channel_id = NULL, location_id = (SELECT location_id FROM oms.locations WHERE code = 'berlin');
SET SESSION AUTHORIZATION queue_analyst;
SELECT external_ref FROM oms.routing_queue ORDER BY 1;
RESET SESSION AUTHORIZATION;
UPDATE oms.role_scopes SET tenant_id = 2, location_id = NULL;
SET SESSION AUTHORIZATION queue_analyst;
SELECT external_ref FROM oms.routing_queue ORDER BY 1;
RESET SESSION AUTHORIZATION;
SELECT * FROM oms.audit();
DROP OWNED BY queue_analyst;
DROP ROLE queue_analyst;
\c postgres
DROP DATABASE oms_routing_queue;
