-- Orders: placing, totals, sources, repeating, reading, cancelling.
SET client_min_messages = warning;
\set VERBOSITY default
SELECT oms.upsert_channels('[{"code":"web","currency":"EUR"},{"code":"tokyo","currency":"JPY"},{"code":"kuwait","currency":"KWD"},
                             {"code":"later","backorder":true},{"code":"south"}]');
SELECT oms.upsert_items('[{"sku":"CUP","price":"8.00"},{"sku":"POT","price":20},{"sku":"BOOK","kind":"digital","price":5},
                          {"sku":"OLD","active":false},{"sku":"RARE"}]');
SELECT oms.upsert_locations('[{"code":"north","latitude":53.5,"longitude":10},{"code":"south","latitude":48.1,"longitude":11.6,
    "pickup":true,"channels":[{"channel":"web"},{"channel":"later"},{"channel":"south"},{"channel":"tokyo"},{"channel":"kuwait"}]}]');
INSERT INTO oms.channel_locations (channel_id, location_id)
    SELECT c.channel_id, l.location_id FROM oms.channels c, oms.locations l
    WHERE c.code IN ('web', 'later', 'tokyo', 'kuwait') AND l.code = 'north' AND c.tenant_id = 1 AND l.tenant_id = 1;
SELECT oms.receive_stock('north', 'CUP', 100), oms.receive_stock('south', 'CUP', 10), oms.receive_stock('south', 'POT', 5);

CREATE FUNCTION sources(answer jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(coalesce(f ->> 'location', '-') || CASE WHEN f ? 'backordered' THEN ' backordered' ELSE '' END || ' '
           || (SELECT string_agg((l ->> 'line_no') || 'x' || (l ->> 'quantity'), ',') FROM jsonb_array_elements(f -> 'lines') l), '; ')
    FROM jsonb_array_elements(answer -> 'fulfillments') f $$;

-- The nearest that has everything; else from the nearest on; pinned lines; pickup; items without stock.
SELECT sources(oms.place_order('{"channel":"web","external_ref":"r1","ship_to":{"latitude":53,"longitude":10},"lines":[{"sku":"CUP","quantity":2}]}'));
SELECT sources(oms.place_order('{"channel":"web","external_ref":"r2","ship_to":{"latitude":48,"longitude":11},"lines":[{"sku":"CUP","quantity":2}]}'));
SELECT sources(oms.place_order('{"channel":"web","external_ref":"r3","ship_to":{"latitude":53,"longitude":10},"lines":[{"sku":"CUP","quantity":1},{"sku":"POT","quantity":1}]}'));
SELECT sources(oms.place_order('{"channel":"web","external_ref":"r4","ship_to":{"latitude":48,"longitude":11},"lines":[{"sku":"CUP","quantity":20},{"sku":"CUP","quantity":1}]}'));
SELECT sources(oms.place_order('{"channel":"web","external_ref":"r5","lines":[{"sku":"POT","quantity":1},{"sku":"CUP","quantity":1,"location":"north"},{"sku":"BOOK","quantity":3}]}'));
SELECT sources(oms.place_order('{"channel":"web","external_ref":"r6","method":"pickup","pickup_location":"south","lines":[{"sku":"POT","quantity":1}]}'));
SELECT oms.place_order('{"channel":"web","external_ref":"r7","method":"pickup","pickup_location":"north","lines":[{"sku":"CUP","quantity":1}]}');
SELECT oms.place_order('{"channel":"south","external_ref":"r8","lines":[{"sku":"CUP","quantity":1,"location":"north"}]}');
SELECT oms.place_order('{"channel":"south","external_ref":"r8","lines":[{"sku":"CUP","quantity":50},{"sku":"RARE","quantity":2}]}');
SELECT * FROM oms.available('CUP', 'web');
SELECT * FROM oms.audit();

-- Totals: discounts of either sign, taxes added and included, shipping, fees; three currencies.
SELECT o -> 'totals' AS totals, o ->> 'payment_status' AS payment_status FROM oms.place_order('{"channel":"web","external_ref":"t1",
  "lines":[{"sku":"CUP","quantity":3,"unit_price":"3.335","adjustments":[{"type":"discount","amount":1},{"type":"tax","amount":"0.50","included":true}]}],
  "adjustments":[{"type":"discount","code":"WELCOME","amount":"-0.51"},{"type":"tax","amount":2},{"type":"shipping","amount":"4.90"},{"type":"fee","amount":1}],
  "payments":[{"method":"card","amount":"10.00","status":"captured"},{"method":"voucher","amount":"6.40"}],"total":"16.40"}') o;
SELECT oms.place_order('{"channel":"tokyo","external_ref":"t2","lines":[{"sku":"CUP","quantity":3,"unit_price":"33.5"}]}') #>> '{totals,total}';
SELECT oms.place_order('{"channel":"kuwait","external_ref":"t3","lines":[{"sku":"CUP","quantity":3,"unit_price":"0.3335"}]}') #>> '{totals,total}';
SELECT oms.place_order('{"channel":"web","external_ref":"t4","lines":[{"sku":"CUP","quantity":1}],"total":9,
  "adjustments":[{"type":"discount","amount":1.005},{"type":"shipping","amount":-1}],"payments":[{"method":"card","currency":"USD"}]}');
SELECT oms.place_order('{"channel":"web","external_ref":"t4","lines":[{"sku":"CUP","quantity":1}],"total":9}');
SELECT oms.place_order('{"channel":"web","external_ref":"t4","lines":[{"sku":"CUP","quantity":1}],"adjustments":[{"type":"discount","amount":9}]}');
SELECT oms.place_order('{"channel":"web","external_ref":"t4","currency":"USD","lines":[{"sku":"CUP","quantity":1}]}');

-- Promises beyond on hand, up to the limit and no unit further.
SELECT oms.set_stock_limits('south', 'RARE', 0, 3);
SELECT sources(o), o ->> 'fulfillment_status' AS status FROM oms.place_order('{"channel":"later","external_ref":"b1","lines":[{"sku":"RARE","quantity":3}]}') o;
SELECT oms.place_order('{"channel":"later","external_ref":"b2","lines":[{"sku":"RARE","quantity":1}]}');
SELECT oms.place_order('{"channel":"web","external_ref":"b3","lines":[{"sku":"RARE","quantity":1}]}');
SELECT oms.set_stock_limits('south', 'RARE', 0, 2);
UPDATE oms.stock_counters SET reserved = reserved + 1 WHERE item_id = (SELECT item_id FROM oms.items WHERE sku = 'RARE' AND tenant_id = 1);

-- The same document again is the same order; another one is refused.
SELECT oms.place_order('{"channel":"web","external_ref":"r1","ship_to":{"latitude":53,"longitude":10},"lines":[{"sku":"CUP","quantity":2}]}')
     = oms.place_order('{"lines":[{"quantity":2,"sku":"CUP"}],"external_ref":"r1","ship_to":{"longitude":10,"latitude":53},"channel":"web"}') AS same_answer;
SELECT oms.place_order('{"channel":"web","external_ref":"r1","lines":[{"sku":"CUP","quantity":3}]}');
SELECT count(*) FROM oms.orders WHERE external_ref = 'r1';
SELECT oms.place_order('{"channel":"web","external_ref":"k1","lines":[{"sku":"CUP","quantity":1}]}', 'key') ->> 'external_ref';
SELECT oms.place_order('{"channel":"web","external_ref":"k1","lines":[{"sku":"CUP","quantity":1}]}', 'key') ->> 'external_ref';
SELECT oms.place_order('{"channel":"web","external_ref":"k2","lines":[{"sku":"CUP","quantity":1}]}', 'key');

-- A preview is the answer without ids, and writes nothing.
SELECT oms.preview_order(d) - '{status}'::text[]
     = (oms.place_order(d) - '{status,order_id}'::text[]) #- '{fulfillments,0,fulfillment_id}' AS equal
FROM (SELECT '{"channel":"web","external_ref":"p1","lines":[{"sku":"CUP","quantity":4}]}'::jsonb) t(d);

-- Cancelling by quantity, by line and whole; what shipped stays.
SELECT oms.find_order('web', 'r4') AS r4 \gset
SELECT oms.cancel_order(:r4, '[{"line_no":1,"quantity":5}]', 'fewer') #>> '{totals,items}' AS items;
SELECT oms.cancel_order(:r4, '[{"line_no":1,"quantity":16}]');
SELECT oms.cancel_order(:r4, '[{"line_no":9}]');
SELECT oms.cancel_order(:r4, '[]');
SELECT oms.cancel_order(:r4, '[{"line_no":2}]') ->> 'status' AS status;
SELECT fulfillment_id AS f FROM oms.fulfillments WHERE order_id = :r4 AND status = 'planned' ORDER BY 1 LIMIT 1 \gset
SELECT oms.release_fulfillment(:f) ->> 'status' AS status;
SELECT oms.ship_fulfillment(:f) ->> 'fulfillment_status' AS status;
SELECT o ->> 'status' AS status, o ->> 'fulfillment_status' AS fulfillment_status FROM oms.cancel_order(:r4) o;
SELECT oms.cancel_order(:r4);
SELECT line_no, ordered, allocated, released, shipped, cancelled FROM oms.order_lines WHERE order_id = :r4 ORDER BY 1;
SELECT oms.cancel_order(oms.find_order('web', 'r1'), NULL, 'no longer wanted') ->> 'status' AS status;
SELECT oms.cancel_order(oms.find_order('web', 'r1'));
SELECT object_type, type, action, from_state, to_state, reason FROM oms.order_timeline(:r4);
SELECT oms.get_order(:r4) - '{placed_at,order_id,fulfillments}'::text[];
SELECT oms.find_order('web', 'nobody') IS NULL AS unknown;
SELECT oms.get_order(999999);
SELECT oms.order_timeline(NULL);

-- A channel may require confirmation.
SELECT oms.upsert_channels('[{"code":"web","confirmation":"required"}]');
SELECT fulfillment_id AS f FROM oms.fulfillments JOIN oms.orders o USING (order_id) WHERE o.external_ref = 'r2' \gset
SELECT oms.release_fulfillment(:f);
SELECT oms.confirm_order(oms.find_order('web', 'r2')) ->> 'status' AS status;
SELECT oms.release_fulfillment(:f) ->> 'status' AS status;
SELECT * FROM oms.audit();
