-- draft.sql: drafts and quotes: nothing promised, freely edited, placed whole at their prices.
\pset pager off
CREATE DATABASE oms_draft;
\c oms_draft
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-03-02 12:00:00+00';
SET oms.actor = 'clerk-7';
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":5},{"sku":"GIFT","kind":"digital","price":20}]');
SELECT oms.receive_stock('default', 'A', 10), oms.receive_stock('default', 'B', 3);
SELECT oms.upsert_channels('[{"code":"trade","draft_timeout":"30 days","payment_timeout":"1 day"}]');

-- A draft has totals and no promises, even for what is not there.
\set quote '{"external_ref":"Q1","draft":true,"valid_until":"2026-03-10T00:00:00Z","ordered_by":"agent-3","customer":{"ref":"acme"},"ship_to":{"city":"York"},"lines":[{"sku":"A","quantity":12},{"sku":"B","quantity":1,"unit_price":4},{"sku":"GIFT","quantity":1}],"adjustments":[{"type":"shipping","amount":6}]}'
SELECT oms.preview_order(:'quote');
SELECT oms.place_order(:'quote');
SELECT oms.place_order(:'quote')->'order_id' AS again;
SELECT status, payment_status, fulfillment_status, total, ordered_by, valid_until FROM oms.orders;
SELECT line_no, ordered, allocated, backordered, unit_price, amount FROM oms.order_lines ORDER BY 1;
SELECT count(*) FROM oms.fulfillments;
SELECT reserved FROM oms.stock;
SELECT type, actor, to_state FROM oms.order_timeline(1);
SELECT oms.get_order(1) - 'lines' - 'totals' - 'adjustments';
SELECT count(*) FROM oms.audit();

-- Placing is all or nothing, against today's stock.
SELECT oms.place_draft(1);
SELECT status, (SELECT count(*) FROM oms.order_drafts) FROM oms.orders;
SELECT oms.release_fulfillment(1);
SELECT oms.confirm_order(1);

-- Edited freely: fields replace fields, null removes; prices without a price are those of today.
SELECT oms.edit_draft(1, '{"notes":"as agreed","adjustments":null,"lines":[{"sku":"A","quantity":7},{"sku":"B","quantity":2,"unit_price":4}]}') - 'fulfillments';
SELECT version, total, notes FROM oms.orders;
SELECT line_no, ordered, unit_price FROM oms.order_lines ORDER BY 1;
SELECT oms.edit_draft(1, '{"channel":"trade","external_ref":"Q2","draft":false}');
SELECT oms.edit_draft(1, '{"lines":[{"sku":"NONE","quantity":1},{"sku":"A","quantity":0}],"color":"red"}');
SELECT oms.edit_draft(1, '{"lines":[{"sku":"NONE","quantity":1}]}');
SELECT oms.edit_draft(1, '[]');
SELECT oms.edit_draft(1, NULL);
SELECT total FROM oms.orders;
SELECT count(*) FROM oms.audit();

-- The quoted price holds while the quote does, whatever the item costs now.
SELECT oms.upsert_items('[{"sku":"A","price":99}]');
SELECT oms.place_draft(1, 'place-1');
SELECT oms.place_draft(1, 'place-1')->'order_id';
SELECT status, fulfillment_status, total, placed_at, version FROM oms.orders;
SELECT line_no, ordered, allocated, unit_price FROM oms.order_lines ORDER BY 1;
SELECT type, action, from_state, to_state, actor FROM oms.order_timeline(1);
SELECT oms.place_draft(1);
SELECT oms.edit_draft(1, '{"notes":"late"}');
SELECT oms.place_order(:'quote')->>'status' AS first_answer;
SELECT count(*) FROM oms.order_drafts;
SELECT oms.release_fulfillment(1)->>'status';
SELECT count(*) FROM oms.audit();

-- A quote that has ended is refused, revived by an edit, or swept away.
SELECT oms.place_order('{"external_ref":"Q3","channel":"trade","draft":true,"lines":[{"sku":"A","quantity":1}]}')->'valid_until';
SELECT oms.place_order('{"external_ref":"Q4","draft":true,"valid_until":"2026-03-05T00:00:00Z","lines":[{"sku":"A","quantity":1}]}')->'valid_until';
SELECT oms.place_order('{"external_ref":"Q5","draft":true,"valid_until":"2026-03-05T00:00:00Z","lines":[{"sku":"A","quantity":1}]}')->'valid_until';
SELECT oms.place_order('{"external_ref":"Q6","draft":true,"lines":[{"sku":"B","quantity":1}]}')->'valid_until';
SELECT order_id, kind, due_at FROM oms.order_deadlines ORDER BY 1;
SET oms.clock = '2026-03-05 00:00:00+00';
SELECT oms.place_draft(5);
SELECT oms.edit_draft(5, '{"notes":"still wanted"}');
SELECT oms.edit_draft(5, '{"valid_until":"2026-03-20T00:00:00Z"}')->'totals'->'total';
SELECT oms.expire_orders();
SELECT order_id, status, total FROM oms.orders ORDER BY 1;
SELECT oms.place_draft(6);
SELECT oms.place_draft(5)->>'status', oms.place_draft(4)->>'status';
SELECT order_id, kind, due_at FROM oms.order_deadlines ORDER BY 1;
SELECT count(*) FROM oms.audit();

-- Cancelled whole only; held like any order.
SELECT oms.cancel_order(7, '[{"line_no":1}]');
INSERT INTO oms.hold_types (code, blocks) VALUES ('terms', '{order.place,order.edit}');
SELECT oms.hold_order(7, 'terms', 'terms not agreed');
SELECT oms.place_draft(7);
SELECT oms.edit_draft(7, '{"notes":"x"}');
SELECT oms.release_hold(1), oms.cancel_order(7, reason => 'no longer wanted')->>'status';
SELECT status, total FROM oms.orders WHERE order_id = 7;
SELECT oms.edit_draft(7, '{"notes":"x"}');
SELECT count(*) FROM oms.audit();

-- What a draft cannot have.
SELECT oms.place_order('{"external_ref":"X","draft":true,"valid_until":"2026-03-01T00:00:00Z","reservation_id":1,"payments":[{"method":"card"}],"lines":[{"sku":"A","quantity":1}]}');
SELECT oms.place_order('{"external_ref":"X","valid_until":"2026-04-01T00:00:00Z","lines":[{"sku":"A","quantity":1}]}');
SELECT oms.place_draft(99);

-- A deposit on a quote counts when it is placed.
SELECT oms.place_order('{"external_ref":"Q7","draft":true,"lines":[{"sku":"B","quantity":1}]}')->'order_id';
SELECT oms.add_payment(8, '{"method":"bank","amount":2,"status":"captured"}') > 0, oms.place_draft(8)->>'payment_status';
SELECT count(*) FROM oms.audit();

-- Several deliveries; what was drafted before each change can still be read.
SELECT oms.place_order('{"external_ref":"Q8","draft":true,"deliveries":[{"delivery_no":1,"ship_to":{"country":"DE"}},{"delivery_no":2,"ship_to":{"country":"FR"}}],
  "lines":[{"sku":"B","quantity":1},{"sku":"B","quantity":2,"delivery_no":2}]}') ->> 'order_id' AS q8 \gset
SET oms.clock = '2026-03-20 12:00+00';
SELECT oms.edit_draft(:q8, '{"lines":[{"sku":"B","quantity":1},{"sku":"B","quantity":4,"delivery_no":2},{"sku":"A","quantity":1}]}') #>> '{totals,total}';
SET oms.clock = '2026-03-20 13:00+00';
SELECT count(oms.receive_stock('default', s, 10)) FROM unnest('{A,B}'::text[]) s;
SELECT oms.place_draft(:q8) ->> 'status';
SELECT order_id = :q8, delivery_no, address FROM oms.order_deliveries WHERE order_id IN (:q8, 0) ORDER BY 2;
SELECT d ->> 'version', d ->> 'status', d #>> '{totals,total}', (SELECT string_agg(concat_ws(' ', l ->> 'ordered', l ->> 'sku', l ->> 'allocated'), ', ') FROM jsonb_array_elements(d -> 'lines') l)
FROM unnest('{2026-03-20 11:59+00,2026-03-20 12:59+00,2026-03-20 13:00+00}'::timestamptz[]) at, oms.order_as_of(:q8, at) d;
SELECT oms.get_order(:q8, 1) #>> '{totals,total}', oms.get_order(:q8, 2) ->> 'status';
SELECT count(*) FROM oms.audit();

-- Corruption is found.
INSERT INTO oms.order_drafts VALUES (8, 1, '{}');
SELECT * FROM oms.audit();
DELETE FROM oms.order_drafts WHERE order_id = 8;
SELECT count(*) FROM oms.audit();
\c postgres
DROP DATABASE oms_draft;
