-- hold.sql: what holds block, who lifts them, and how they end by themselves.
\pset pager off
CREATE DATABASE oms_hold;
\c oms_hold
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-03-02 12:00:00+00';
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":5},{"sku":"GIFT","kind":"digital","price":20}]');
SELECT oms.receive_stock('default', 'A', 100), oms.receive_stock('default', 'B', 100);
SELECT code, levels, blocks, lift_role FROM oms.hold_types ORDER BY code;

-- A held order goes on again when the hold is lifted.
SELECT oms.place_order('{"external_ref":"1","lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":3}]}')->>'status';
SELECT holds FROM oms.orders;
SELECT oms.hold_order(1, 'manual', 'customer asked to wait');
\set VERBOSITY default
SELECT oms.release_fulfillment(1);
SELECT oms.get_order(1)->'holds', holds FROM oms.orders;
SELECT oms.release_hold(1, 'called back'), oms.release_hold(1, 'twice');
SELECT oms.get_order(1)->'holds' IS NULL AS none_left, holds FROM oms.orders;
SELECT oms.release_fulfillment(1)->>'status';
SELECT type, reason, data FROM oms.order_timeline(1) WHERE object_type = 'hold';
SELECT * FROM oms.order_holds(1);

-- Placed after the blocked action it stands and blocks the next one; several must all be lifted; others go on.
SELECT oms.hold_order(1, 'manual', 'first'), oms.hold_order(1, 'fraud');
SELECT oms.ship_fulfillment(1);
SELECT oms.release_hold(2);
SELECT oms.ship_fulfillment(1);
SELECT oms.confirm_order(1);
SELECT oms.release_hold(3), oms.ship_fulfillment(1)->>'fulfillment_status';
SELECT count(*) FROM oms.audit();

-- A line that is held leaves the planned fulfillment that it shared, and the rest ships.
SELECT oms.place_order('{"external_ref":"2","lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":3}]}')->'fulfillments';
SELECT oms.hold_order(2, reason => 'engraving', line_no => 2);
SELECT oms.get_order(2)->'fulfillments';
SELECT oms.release_fulfillment(2)->>'fulfillment_status', oms.ship_fulfillment(2)->>'fulfillment_status';
SELECT oms.release_fulfillment(3);
SELECT oms.release_hold(4), oms.release_fulfillment(3)->>'fulfillment_status';
SELECT count(*) FROM oms.audit();

-- What a location has already stays together: other lines can be named.
SELECT oms.place_order('{"external_ref":"3","lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":3}]}')->'order_id', oms.release_fulfillment(4)->>'status';
SELECT oms.hold_order(3, line_no => 1);
SELECT oms.pick_fulfillment(4);
SELECT oms.pick_fulfillment(4, '[{"line_no":2}]')->>'status', oms.ship_fulfillment(4, '{"lines":[{"line_no":2,"quantity":2}]}')->>'fulfillment_status';
SELECT oms.ship_fulfillment(5);
SELECT count(*) FROM oms.audit();

-- One fulfillment; a type that stops the whole order.
INSERT INTO oms.hold_types (code, levels, blocks, stops_order) VALUES ('recall', '{line,fulfillment}', '{fulfillment.*,order.confirm}', true);
SELECT oms.place_order('{"external_ref":"4","lines":[{"sku":"A","quantity":2},{"sku":"GIFT","quantity":1}]}')->'fulfillments';
SELECT oms.hold_fulfillment(6, 'manual', 'box torn');
SELECT oms.deliver_fulfillment(7)->>'fulfillment_status';
SELECT oms.release_fulfillment(6);
SELECT oms.hold_fulfillment(6, 'recall');
SELECT oms.confirm_order(4);
SELECT oms.cancel_order(4, '[{"line_no":1}]');
SELECT oms.release_hold(6), oms.release_hold(7), oms.release_fulfillment(6)->>'status';

-- The clock lifts without anybody's doing; the job writes it down.
SELECT oms.place_order('{"external_ref":"5","lines":[{"sku":"A","quantity":1}]}')->'order_id';
SELECT oms.hold_order(5, 'manual', 'cooling off', release_at => '2026-03-02 13:00:00+00');
SELECT oms.release_fulfillment(8);
SET oms.clock = '2026-03-02 13:00:00+00';
SELECT hold_id, active, released_at, release_rule FROM oms.order_holds(5);
SELECT oms.release_fulfillment(8)->>'status';
SELECT oms.hold_order(5, 'manual', release_at => '2026-03-02 14:00:00+00');
SET oms.clock = '2026-03-02 15:00:00+00';
SELECT oms.release_hold(9), oms.release_holds(), oms.release_holds();
SELECT hold_id, active, released_at, released_by IS NOT NULL AS by, release_rule FROM oms.order_holds(5);
SELECT count(*) FROM oms.audit();

-- A type with a duration; a condition over the order, met by its next change.
UPDATE oms.hold_types SET duration = '2 hours' WHERE code = 'address';
SELECT oms.place_order('{"external_ref":"6","lines":[{"sku":"A","quantity":3}]}')->'order_id';
SELECT oms.hold_order(6, 'payment', 'prepaid'), oms.hold_order(6, 'address');
SELECT hold_type, release_at FROM oms.order_holds(6);
SELECT oms.add_payment(6, '{"method":"bank","amount":10,"status":"captured","reference":"t1"}') > 0;
SELECT hold_type, active FROM oms.order_holds(6);
SELECT oms.add_payment(6, '{"method":"bank","amount":20,"status":"captured","reference":"t2"}') > 0;
SELECT hold_type, active, release_rule FROM oms.order_holds(6);
SELECT oms.get_order(6)->>'payment_status', oms.order_balance(6)->>'payment_status';

-- A function of the user's decides, each retry_interval; what it raises is an event and stops nothing else.
CREATE TABLE stock_checked (order_id bigint);
CREATE FUNCTION public.is_checked(order_document jsonb) RETURNS boolean LANGUAGE sql AS
    'SELECT 1 / (CASE WHEN $1->>''external_ref'' = ''8'' THEN 0 ELSE 1 END) = 1 AND EXISTS (SELECT FROM public.stock_checked WHERE order_id = ($1->>''order_id'')::bigint)';
INSERT INTO oms.hold_types (code, blocks, release_function) VALUES ('check', '{fulfillment.release}', 'public.nothing');
INSERT INTO oms.hold_types (code, blocks, release_function, retry_interval) VALUES ('check', '{fulfillment.release}', 'public.is_checked', '1 hour');
SELECT oms.place_order('{"external_ref":"7","lines":[{"sku":"A","quantity":3}]}')->'order_id',
       oms.place_order('{"external_ref":"8","lines":[{"sku":"A","quantity":3}]}')->'order_id';
SELECT oms.hold_order(7, 'check'), oms.hold_order(8, 'check');
SELECT oms.release_holds();
SET oms.clock = '2026-03-02 16:00:00+00';
SELECT oms.release_holds();
SELECT order_id, due_at FROM oms.holds WHERE hold_type = 'check' ORDER BY hold_id;
INSERT INTO stock_checked VALUES (7);
SELECT oms.release_holds();
SET oms.clock = '2026-03-02 17:00:00+00';
SELECT oms.release_holds();
SELECT order_id, active, release_rule FROM oms.order_holds(7), LATERAL (SELECT 7 AS order_id) o;
SELECT type, reason FROM oms.order_timeline(8) WHERE type = 'hold.check_failed';
SELECT oms.release_hold(12) IS NULL;

-- Who may lift.
CREATE ROLE oms_hold_clerk IN ROLE oms_app;
SELECT oms.hold_order(8, 'fraud'), oms.hold_order(8, 'manual');
SET ROLE oms_hold_clerk;
SELECT oms.release_hold(14);
SELECT oms.release_hold(15);
SELECT count(*) FROM oms.order_holds(8);
SELECT oms.release_holds();
RESET ROLE;
SELECT oms.release_hold(14);
UPDATE oms.hold_types SET lift_role = 'oms_no_such_role' WHERE code = 'manual';
INSERT INTO oms.hold_types (code, blocks, lift_role) VALUES ('nobody', '{order.cancel}', 'oms_no_such_role');
CREATE ROLE oms_gone_role;
UPDATE oms.hold_types SET lift_role = 'oms_gone_role' WHERE code = 'manual';
DROP ROLE oms_gone_role;
UPDATE oms.hold_types SET name = 'by hand', lift_role = lift_role WHERE code = 'manual';
SELECT oms.hold_order(8);
SET ROLE oms_hold_clerk;
SELECT oms.release_hold(16);
RESET ROLE;
SELECT oms.release_hold(16);
DROP ROLE oms_hold_clerk;
UPDATE oms.hold_types SET lift_role = NULL WHERE code = 'manual';

-- Refusals.
SELECT oms.hold_order(99);
SELECT oms.hold_order(8, 'none');
SELECT oms.hold_order(8, 'recall');
SELECT oms.hold_order(8, 'fraud', line_no => 1);
SELECT oms.hold_order(8, line_no => 0);
SELECT oms.hold_order(8, release_at => '2026-03-02 17:00:00+00');
SELECT oms.hold_fulfillment(99);
SELECT oms.hold_fulfillment(1);
SELECT oms.hold_order(1), oms.cancel_order(8)->>'status';
SELECT oms.hold_order(8);
SELECT oms.release_hold(999);
SELECT oms.release_holds(0);
SELECT oms.order_holds(99);
SELECT oms.hold_order(7, idempotency_key => 'k') = oms.hold_order(7, idempotency_key => 'k');
UPDATE oms.hold_types SET active = false WHERE code = 'manual';
SELECT oms.hold_order(7);
UPDATE oms.hold_types SET active = true WHERE code = 'manual';
INSERT INTO oms.hold_types (code, blocks) VALUES ('bad', '{release}');
INSERT INTO oms.hold_types (code, blocks) VALUES ('bad', '{}');
INSERT INTO oms.hold_types (code, blocks, levels) VALUES ('bad', '{order.edit}', '{moon}');
INSERT INTO oms.hold_types (code, blocks) VALUES ('bad', '{fulfilment.ship,order.edit,payment.capturing,return.*}');
UPDATE oms.hold_types SET blocks = '{order.cancle}' WHERE code = 'recall';

-- At the limit and one above.
SELECT count(oms.hold_order(7)) FROM generate_series(2, 1000);
SELECT oms.hold_order(7);
SELECT holds FROM oms.orders WHERE order_id = 7;
SELECT count(*) FROM oms.audit();

-- A hook that places a hold stops what comes after its call.
CREATE FUNCTION public.hold_it(step jsonb) RETURNS void LANGUAGE sql AS $$SELECT oms.hold_order((step->>'order_id')::bigint, 'stop')$$;
INSERT INTO oms.hold_types (code, blocks) VALUES ('stop', '{order.start,fulfillment.ship}');
UPDATE oms.transitions SET after_hook = 'public.hold_it' WHERE machine = 'fulfillment' AND from_state = 'planned' AND action = 'release';
SELECT oms.place_order('{"external_ref":"9","lines":[{"sku":"A","quantity":1}]}')->'order_id';
SELECT oms.release_fulfillment(12) ->> 'status';
SELECT oms.ship_fulfillment(12);
UPDATE oms.transitions SET after_hook = NULL;

-- By hand too.
SELECT oms.place_order('{"external_ref":"10","lines":[{"sku":"A","quantity":1}]}')->'order_id';
SELECT oms.hold_order(10, 'stop') > 0;
UPDATE oms.orders SET status = 'in_fulfillment' WHERE order_id = 10;

-- What changes no state asks too: giving up a part, what an edit does to a line, voids and grants.
UPDATE oms.transitions SET after_hook = NULL;
INSERT INTO oms.hold_types (code, levels, blocks) VALUES ('keep', '{order,line}', '{order.cancel,order.edit,payment.void,refund.grant}');
SELECT oms.place_order('{"external_ref":"parts","lines":[{"sku":"A","quantity":2},{"sku":"A","quantity":2}],"payments":[{"method":"card"}]}')->>'status';
SELECT oms.find_order('default', 'parts') AS parts \gset
SELECT oms.hold_order(:parts, 'keep', 'all of it') AS hold_id \gset
SELECT oms.cancel_order(:parts, '[{"line_no":1,"quantity":1}]');
SELECT oms.cancel_order(:parts, '[{"line_no":1,"quantity":1}]', shipped => 'return');
SELECT oms.request_void(max(payment_id)) FROM oms.payments;
SELECT oms.grant_refund(:parts, 1);
SELECT oms.release_hold(:hold_id);
SELECT oms.hold_order(:parts, 'keep', 'this line', 2) AS hold_id \gset
SELECT oms.cancel_order(:parts, '[{"line_no":2,"quantity":1}]');
SELECT oms.cancel_order(:parts);
SELECT oms.edit_order(:parts, '{"lines":[{"line_no":2,"unit_price":1}]}');
SELECT oms.edit_order(:parts, '{"ship_to":{"city":"Ulm"}}', true);
SELECT oms.edit_order(:parts, '{"lines":[{"line_no":1,"unit_price":3}],"notes":"the other one"}')->>'version';
SELECT oms.cancel_order(:parts, '[{"line_no":1,"quantity":1}]')->>'version';
SELECT oms.grant_refund(:parts, 1) > 0, oms.request_void(max(payment_id)) -> 'order_id' = to_jsonb(:parts) FROM oms.payments;
SELECT oms.release_hold(:hold_id);
SELECT oms.cancel_order(:parts)->>'status';
SELECT * FROM oms.audit();

-- A hold on a fulfillment goes with its units where they are planned anew; other units of their lines are free.
SELECT oms.upsert_items('[{"sku":"LATE","price":1,"backorder":true}]'), oms.upsert_locations('[{"code":"second","rank":9}]'), oms.upsert_channels('[{"code":"default","backorder":true}]');
SELECT oms.receive_stock('default', 'LATE', 1), oms.set_stock_limits('default', 'LATE', 0, 5);
SELECT oms.place_order('{"external_ref":"follows","ship_to":{"city":"Bonn"},"lines":[{"sku":"LATE","quantity":4}]}')->>'fulfillment_status';
SELECT oms.find_order('default', 'follows') AS follows \gset
SELECT min(fulfillment_id) AS firm, max(fulfillment_id) AS waits FROM oms.fulfillments WHERE order_id = :follows \gset
SELECT oms.hold_fulfillment(:waits, 'manual', 'wait for the customer') AS hold_id \gset
SELECT oms.receive_stock('second', 'LATE', 3);
SELECT sku, quantity, from_location, location FROM oms.fill_backorders();
SELECT max(fulfillment_id) > :waits AS later, max(fulfillment_id) AS later_id FROM oms.fulfillments WHERE order_id = :follows \gset moved_
SELECT :'moved_later', oms.release_fulfillment(:firm) ->> 'status';
SELECT oms.release_fulfillment(:moved_later_id);
SELECT oms.edit_order(:follows, '{"deliveries":[{"delivery_no":1,"service":"express"}]}') ->> 'version';
SELECT oms.release_fulfillment(max(fulfillment_id)) FROM oms.fulfillments WHERE order_id = :follows AND status = 'planned';
SELECT oms.release_hold(:hold_id);
SELECT oms.release_fulfillment(max(fulfillment_id)) ->> 'fulfillment_status' FROM oms.fulfillments WHERE order_id = :follows AND status = 'planned';
SELECT * FROM oms.audit();

-- Corruption is found.
SELECT count(*) FROM oms.audit();
UPDATE oms.orders SET holds = 5 WHERE order_id = 9;
INSERT INTO oms.holds (order_id, line_no, tenant_id, placed_at, hold_type, placed_by) VALUES (99, NULL, 1, now(), 'manual', 'x'), (9, 7, 1, now(), 'manual', 'x');
SELECT "check", regexp_replace(object, '^\d{4}$', 'n') AS object, expected, found FROM oms.audit();
\c postgres
DROP DATABASE oms_hold;
