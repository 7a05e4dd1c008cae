-- Stock: receipts, adjustments, counts, limits, availability, and the constraint behind them.
SET client_min_messages = warning;
\set VERBOSITY default
SELECT oms.upsert_items('[{"sku":"PEN"}]'), oms.upsert_locations('[{"code":"depot"},{"code":"shop"}]');
SELECT oms.receive_stock('depot', 'PEN', 10, 'PO-1'), oms.receive_stock('depot', 'PEN', 5);
SELECT oms.receive_stock('shop', 'PEN', 3, 'PO-2', idempotency_key => 'receipt-1'), oms.receive_stock('shop', 'PEN', 3, 'PO-2', idempotency_key => 'receipt-1');
SELECT oms.receive_stock('shop', 'PEN', 4, 'PO-2', idempotency_key => 'receipt-1');
SELECT oms.adjust_stock('depot', 'PEN', -2, 'damaged', 'shelf 4');
SELECT * FROM oms.available('PEN');
SELECT oms.set_stock_limits('depot', 'PEN', 4, NULL);
SELECT * FROM oms.available('PEN', 'default', 'depot');
SELECT oms.place_order('{"external_ref":"s1","lines":[{"sku":"PEN","quantity":9,"location":"depot"}]}') ->> 'fulfillment_status';
SELECT oms.place_order('{"external_ref":"s2","lines":[{"sku":"PEN","quantity":1,"location":"depot"}]}');
SELECT oms.adjust_stock('depot', 'PEN', -5, 'damaged');

-- A count below the promises withdraws the newest of them and says which.
SELECT oms.place_order('{"external_ref":"s3","lines":[{"sku":"PEN","quantity":2,"location":"shop"}]}') ->> 'fulfillment_status';
SELECT c - 'withdrawn' AS answer, (SELECT string_agg((w ->> 'line_no') || ' x ' || (w ->> 'quantity'), ', ') FROM jsonb_array_elements(c -> 'withdrawn') w) AS withdrawn
FROM oms.count_stock('depot', 'PEN', 6, 'stocktake') c;
SELECT ordered, allocated, backordered FROM oms.order_lines WHERE order_id = oms.find_order('default', 's1');
SELECT oms.get_order(oms.find_order('default', 's1')) ->> 'fulfillment_status' AS status;
SELECT * FROM oms.audit();
SELECT oms.count_stock('depot', 'PEN', 0) -> 'reserved' AS reserved;
SELECT status FROM oms.fulfillments WHERE order_id = oms.find_order('default', 's1');
SELECT oms.cancel_order(oms.find_order('default', 's1')) ->> 'status' AS status;
SELECT type, on_hand_delta, reserved_delta, reason, reference FROM oms.stock_movements
WHERE item_id = (SELECT item_id FROM oms.items WHERE sku = 'PEN') ORDER BY movement_id;

-- Whatever a caller does by hand, the table refuses to promise more than there is.
UPDATE oms.stock_counters SET reserved = on_hand + backorder_limit + 1 WHERE item_id = (SELECT item_id FROM oms.items WHERE sku = 'PEN');
UPDATE oms.stock_counters SET on_hand = -1 WHERE item_id = (SELECT item_id FROM oms.items WHERE sku = 'PEN');
SELECT * FROM oms.audit();
