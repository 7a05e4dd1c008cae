-- hold_placing.sql: holds that a channel looks for when an order is placed, and the answers that lift them.
\pset pager off
CREATE DATABASE oms_hold_placing;
\c oms_hold_placing
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-03-02 12:00:00+00';
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"GIFT","kind":"digital","price":20}]');
SELECT oms.receive_stock('default', 'A', 1000);
SELECT oms.upsert_channels('[{"code":"web"},{"code":"trade","currency":"EUR"}]');

CREATE FUNCTION place(reference text, channel text, more jsonb DEFAULT '{}', quantity int DEFAULT 1) RETURNS jsonb LANGUAGE sql AS $$
    SELECT answer - 'totals' - 'fulfillments' - 'channel' - 'currency' FROM oms.place_order(jsonb_build_object('external_ref', reference, 'channel', channel, 'lines',
        jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', quantity))) || more) answer $$;

-- A channel without rows pays nothing; with rows each type is looked at.
SELECT place('1', 'web');
INSERT INTO oms.channel_holds (channel_id, hold_type) SELECT channel_id, t FROM oms.channels, unnest('{address,payment}'::text[]) t WHERE code = 'web';
SELECT place('2', 'web');
SELECT place('3', 'web', '{"ship_to":{"line1":"High Street 1","city":" ","country":"GB"},"payments":[{"method":"card"}]}');
SELECT place('4', 'web', '{"ship_to":{"line1":"High Street 1","city":"York","country":"GB"},"payments":[{"method":"card"}]}');
SELECT oms.place_order('{"external_ref":"5","channel":"web","lines":[{"sku":"GIFT","quantity":1}],"payments":[{"method":"card"}]}')->'holds';
SELECT place('2', 'web')->'holds';
SELECT hold_type, reason, blocks <> '{}' AS blocks FROM oms.order_holds(2);
SELECT oms.add_payment(2, '{"method":"bank","status":"captured"}') > 0;
SELECT oms.release_hold(1), oms.release_fulfillment(2)->>'status';
SELECT holds FROM oms.orders ORDER BY order_id;

-- Credit: what is open in unpaid orders, in the customer's currency.
SELECT oms.upsert_customers('[{"ref":"acme","credit_limit":50,"currency":"EUR"},{"ref":"free"}]');
INSERT INTO oms.channel_holds (channel_id, hold_type) SELECT channel_id, 'credit' FROM oms.channels WHERE code = 'trade';
SELECT place('10', 'trade', '{"customer":{"ref":"acme"}}', 5);
SELECT place('11', 'trade', '{"customer":{"ref":"acme"}}', 1)->'holds';
SELECT place('12', 'trade', '{"customer":{"ref":"acme"},"payments":[{"method":"card","status":"captured"}]}', 1)->'holds';
SELECT place('13', 'trade', '{"customer":{"ref":"free"}}', 100)->'holds';
SELECT place('14', 'trade', '{"customer":{"ref":"unknown"}}', 100)->'holds';
SELECT place('15', 'trade', '{"customer":{"ref":"acme"},"currency":"USD","lines":[{"sku":"A","quantity":1,"unit_price":1}]}')->'holds';
SELECT oms.cancel_order(oms.find_order('trade', '11'))->>'status', oms.cancel_order(oms.find_order('trade', '12'))->>'status';
SELECT oms.add_payment(oms.find_order('trade', '10'), '{"method":"bank","amount":20,"status":"captured"}') > 0;
SELECT place('16', 'trade', '{"customer":{"ref":"acme"}}', 2)->'holds';
SELECT place('17', 'trade', '{"customer":{"ref":"acme"}}', 1)->'holds';
SELECT oms.upsert_customers('[{"ref":"x","credit_limit":1},{"ref":"y","currency":"ZZZ"},{"ref":"x"}]');
SELECT type, reason, data FROM oms.events WHERE type = 'customers.upserted';

-- Fraud: asked by an event, answered once, in any manner.
DELETE FROM oms.channel_holds;
INSERT INTO oms.channel_holds (channel_id, hold_type) SELECT channel_id, 'fraud' FROM oms.channels WHERE code = 'web';
SELECT place('20', 'web');
SELECT event_id AS command, order_id AS the_order FROM oms.events WHERE type = 'fraud_check.requested' \gset
SELECT object_type, data FROM oms.events WHERE event_id = :command;
SELECT oms.release_fulfillment(max(fulfillment_id)) FROM oms.fulfillments WHERE order_id = :the_order;
SELECT oms.record_answer(:command, '{"score":0.2}');
SELECT oms.record_answer(:command, '{"decision":"maybe"}');
SELECT oms.record_answer(:command, NULL);
SELECT oms.record_answer(:command, '[]');
SELECT oms.record_answer(1, '{"decision":"accept"}');
SELECT oms.record_answer(999999, '{"decision":"accept"}');
SELECT oms.record_answer(:command, '{"decision":"accept","score":0.05,"reference":"chk-1"}') - 'order_id';
SELECT oms.record_answer(:command, '{"decision":"accept","score":0.05,"reference":"chk-1"}') - 'order_id';
SELECT oms.record_answer(:command, '{"decision":"reject"}');
SELECT hold_type, active, release_rule FROM oms.order_holds(:the_order);
SELECT type, data FROM oms.order_timeline(:the_order) WHERE type LIKE 'hold%' OR type LIKE 'fraud%';
SELECT oms.get_order(:the_order)->'risk', (SELECT type FROM oms.answers) AS kept;
SELECT oms.release_fulfillment(max(fulfillment_id))->>'status' FROM oms.fulfillments WHERE order_id = :the_order;

-- Review keeps the hold; reject keeps it too, or cancels where the type says so.
SELECT place('21', 'web')->>'status';
SELECT event_id AS command, order_id AS the_order FROM oms.events WHERE type = 'fraud_check.requested' ORDER BY event_id DESC LIMIT 1 \gset
SELECT oms.record_answer(:command, '{"decision":"review"}') - 'order_id';
SELECT hold_type, active FROM oms.order_holds(:the_order);
SELECT oms.record_answer(:command, '{"decision":"accept","reason":"known customer"}') - 'order_id';
SELECT oms.record_answer(:command, '{"decision":"review"}');
SELECT hold_type, active, note FROM oms.order_holds(:the_order);
SELECT place('22', 'web')->>'status';
SELECT event_id AS command, order_id AS the_order FROM oms.events WHERE type = 'fraud_check.requested' ORDER BY event_id DESC LIMIT 1 \gset
UPDATE oms.hold_types SET on_reject = 'cancel' WHERE code = 'fraud';
SELECT oms.record_answer(:command, '{"decision":"reject","reason":"stolen card"}') - 'order_id';
SELECT status FROM oms.orders WHERE order_id = :the_order;
SELECT type, reason FROM oms.order_timeline(:the_order) WHERE type = 'order.cancelled';

-- What was checked before is not asked again; a condition of the user's looks at the risk, at placing and when it changes.
INSERT INTO oms.hold_types (code, blocks, place_when) VALUES ('risky', '{fulfillment.release}', '$.risk.score > 0.8 || $.totals.total > 500');
INSERT INTO oms.channel_holds (channel_id, hold_type) SELECT channel_id, 'risky' FROM oms.channels WHERE code = 'web';
SELECT place('23', 'web', '{"risk":{"decision":"accept","score":0.1}}')->'holds';
SELECT place('24', 'web', '{"risk":{"decision":"accept","score":0.9}}')->'holds';
SELECT place('25', 'web', '{"risk":{"decision":"review"}}', 60)->'holds';
SELECT place('26', 'web', '{"risk":{"score":3}}');
SELECT place('26', 'web')->'holds'->0->>'type';
SELECT event_id AS command, order_id AS the_order FROM oms.events WHERE type = 'fraud_check.requested' ORDER BY event_id DESC LIMIT 1 \gset
SELECT oms.record_answer(:command, '{"decision":"accept","score":0.95}') - 'order_id';
SELECT hold_type, active FROM oms.order_holds(:the_order);

-- An edit that makes the order dearer is looked at as a new one: conditions and the credit limit, where no such hold stands.
SELECT place('30', 'web', '{"risk":{"decision":"accept","score":0.1}}', 50)->'holds';
SELECT oms.find_order('web', '30') AS dear \gset
SELECT oms.edit_order(:dear, '{"lines":[{"line_no":1,"quantity":51}]}', true) #>> '{order,holds,0,type}';
SELECT holds FROM oms.orders WHERE order_id = :dear;
SELECT oms.edit_order(:dear, '{"lines":[{"line_no":1,"quantity":51}]}') #>> '{order,holds,0,type}';
SELECT oms.edit_order(:dear, '{"lines":[{"line_no":1,"quantity":52}]}') #>> '{order,holds,1,type}';
SELECT oms.release_hold(max(hold_id)) FROM oms.holds WHERE order_id = :dear;
SELECT oms.edit_order(:dear, '{"lines":[{"line_no":1,"quantity":51}],"notes":"less"}') #> '{order,holds}';
SELECT oms.edit_order(:dear, '{"lines":[{"line_no":1,"quantity":60}]}') #>> '{order,holds,0,type}';
SELECT reason, active FROM oms.order_holds(:dear);
INSERT INTO oms.channel_holds (channel_id, hold_type) SELECT channel_id, 'credit' FROM oms.channels WHERE code = 'trade';
SELECT oms.upsert_customers('[{"ref":"shop","credit_limit":50,"currency":"EUR"}]');
SELECT place('31', 'trade', '{"customer":{"ref":"shop"}}', 5)->'holds';
SELECT oms.edit_order(oms.find_order('trade', '31'), '{"add":[{"sku":"A","quantity":1}]}') #>> '{order,holds,0,reason}';

-- Corruption is found.
SELECT count(*) FROM oms.audit();
UPDATE oms.answers SET type = 'label.requested' WHERE command_event_id = :command;
SELECT "check", expected, found FROM oms.audit();
UPDATE oms.answers SET type = 'fraud_check.requested' WHERE command_event_id = :command;
SELECT count(*) FROM oms.audit();
\c postgres
DROP DATABASE oms_hold_placing;
