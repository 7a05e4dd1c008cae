-- audit() finds every counter, balance and status that is corrupted by hand.
SET client_min_messages = warning;
SELECT oms.upsert_items('[{"sku":"GEM","price":10}]'), oms.receive_stock('default', 'GEM', 100);
SELECT oms.place_order('{"external_ref":"audit","lines":[{"sku":"GEM","quantity":4}],"payments":[{"method":"card"}]}') ->> 'order_id' AS id \gset
SELECT oms.release_fulfillment(fulfillment_id) IS NOT NULL FROM oms.fulfillments WHERE order_id = :id;
SELECT count(*) FROM oms.audit();
CREATE FUNCTION found_after(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    BEGIN
        SET LOCAL session_replication_role = replica;  -- no guard fires
        EXECUTE statement;
        SET LOCAL session_replication_role = origin;
        SELECT string_agg(DISTINCT "check", ', ' ORDER BY "check") INTO found FROM oms.audit();
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
        RETURN found;
    END;
END $$;
SELECT s AS corruption, found_after(format(s, :id)) AS found FROM unnest(ARRAY[
    'UPDATE oms.stock_counters SET on_hand = on_hand + 1 WHERE reserved > 0 AND order_id_of_nobody IS NULL',
    'UPDATE oms.stock_counters SET on_hand = on_hand + 1 WHERE item_id = (SELECT item_id FROM oms.order_lines WHERE order_id = %s)',
    'UPDATE oms.stock_counters SET reserved = reserved - 1 WHERE item_id = (SELECT item_id FROM oms.order_lines WHERE order_id = %s)',
    'UPDATE oms.stock_counters SET on_hand = 3, backorder_limit = 5 WHERE item_id = (SELECT item_id FROM oms.order_lines WHERE order_id = %s)',
    'UPDATE oms.allocations SET shipped = shipped + 1 WHERE order_id = %s',
    'UPDATE oms.allocations SET cancelled = cancelled + 1 WHERE order_id = %s',
    'UPDATE oms.allocations SET promised = promised + 1 WHERE order_id = %s',
    'DELETE FROM oms.allocations WHERE order_id = %s',
    'UPDATE oms.order_lines SET ordered = ordered + 1 WHERE order_id = %s',
    'UPDATE oms.order_lines SET released = released - 1 WHERE order_id = %s',
    'UPDATE oms.order_lines SET shipped = 1 WHERE order_id = %s',
    'UPDATE oms.orders SET fulfillment_status = ''shipped'' WHERE order_id = %s',
    'UPDATE oms.orders SET payment_status = ''paid'' WHERE order_id = %s',
    'UPDATE oms.orders SET total = total - 1 WHERE order_id = %s',
    'UPDATE oms.orders SET item_total = item_total + 1, total = total + 1 WHERE order_id = %s',
    'DELETE FROM oms.payment_events WHERE order_id = %s',
    'DELETE FROM oms.orders WHERE order_id = %s',
    'DELETE FROM oms.order_lines WHERE order_id = %s',
    'DELETE FROM oms.events WHERE order_id = %s',
    'INSERT INTO oms.order_adjustments (order_id, tenant_id, adjustment_no, included, type, amount) VALUES (-%s, 1, 1, false, ''fee'', 1)',
    'INSERT INTO oms.order_deliveries (order_id, tenant_id, delivery_no, method) VALUES (-%s, 1, 1, ''ship'')',
    'DELETE FROM oms.stock_movements WHERE type = ''receive'''
]) s WHERE s !~ 'nobody';
SELECT count(*) FROM oms.audit();
DROP FUNCTION found_after;
