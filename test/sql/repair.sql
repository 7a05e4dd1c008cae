-- repair() mends what the records leave no doubt about, says what it did, and leaves the rest alone.
CREATE DATABASE oms_repair;
\c oms_repair
SET client_min_messages = warning;
\set VERBOSITY default
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 08:00:00+00';
SELECT oms.upsert_items('[{"sku":"GEM","price":10},{"sku":"ORE"}]'), oms.receive_stock('default', 'GEM', 100), oms.receive_stock('default', 'ORE', 10);
SELECT oms.place_order('{"external_ref":"r1","lines":[{"sku":"GEM","quantity":4},{"sku":"GEM","quantity":2}],"payments":[{"method":"card"}]}') ->> 'order_id' AS id \gset
SELECT oms.place_order('{"external_ref":"r2","lines":[{"sku":"ORE","quantity":3}]}') IS NOT NULL;
SELECT oms.release_fulfillment(fulfillment_id) IS NOT NULL FROM oms.fulfillments WHERE order_id = :id;
SELECT (oms.reserve('[{"sku":"ORE","quantity":2}]') ->> 'reservation_id')::bigint AS held \gset
SELECT oms.repair();
CREATE FUNCTION mended_after(statement text, what text DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer jsonb; rest text; movements text;
BEGIN
    BEGIN
        SET LOCAL session_replication_role = replica;  -- no guard fires
        EXECUTE statement;
        SET LOCAL session_replication_role = origin;
        answer := oms.repair(what);
        SELECT string_agg("check", ' ' ORDER BY "check") INTO rest FROM oms.audit();
        SELECT string_agg(reserved_delta::text, ' ') INTO movements FROM oms.stock_movements WHERE type = 'repair';
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
        RETURN concat_ws(E'\n',
            (SELECT string_agg(format('%s %s -> %s', r ->> 'check', r ->> 'old', r ->> 'new'), E'\n') FROM jsonb_array_elements(answer -> 'repaired') r),
            (SELECT string_agg(format('%s refused: %s', r ->> 'check', r ->> 'reason'), E'\n') FROM jsonb_array_elements(answer -> 'refused') r),
            'movements ' || movements, 'left ' || rest);
    END;
END $$;
SELECT s AS corruption, mended_after(format(s, :id)) AS repair FROM unnest(ARRAY[
    'UPDATE oms.stock_counters SET on_hand = on_hand + 1 WHERE item_id = 1',
    'UPDATE oms.stock_counters SET reserved = reserved - 1 WHERE item_id = 1',
    'UPDATE oms.stock_counters SET reserved = 0, on_hand = 6',
    'DELETE FROM oms.stock_counters WHERE item_id = 1',
    'DELETE FROM oms.stock_movements WHERE type LIKE ''hold%%''',
    'DELETE FROM oms.stock_movements WHERE type = ''receive''',
    'UPDATE oms.allocations SET shipped = shipped + 1 WHERE order_id = %s',
    'UPDATE oms.allocations SET cancelled = cancelled + 1 WHERE order_id = %s AND line_no = 1',
    'UPDATE oms.allocations SET promised = promised + 1 WHERE order_id = %s',
    'DELETE FROM oms.allocations WHERE order_id = %s AND line_no = 2',
    'UPDATE oms.order_lines SET ordered = ordered + 1 WHERE order_id = %s',
    'UPDATE oms.order_lines SET ordered = ordered - 1, allocated = allocated - 1, released = released - 1 WHERE order_id = %s AND line_no = 1',
    'UPDATE oms.order_lines SET released = 0',
    'UPDATE oms.order_lines SET shipped = 1 WHERE order_id = %s',
    'UPDATE oms.order_lines SET delivered = 2, shipped = 2 WHERE order_id = %s',
    'UPDATE oms.order_lines SET allocated = 3, released = 3, backordered = 1 WHERE order_id = %s AND line_no = 1',
    'UPDATE oms.orders SET fulfillment_status = ''shipped'' WHERE order_id = %s',
    'UPDATE oms.orders SET payment_status = ''paid'' WHERE order_id = %s',
    'UPDATE oms.orders SET total = total - 1, holds = 3 WHERE order_id = %s',
    'UPDATE oms.orders SET item_total = item_total + 1, total = total + 1 WHERE order_id = %s',
    'UPDATE oms.reservations SET status = ''released''',
    'INSERT INTO oms.reservation_lines SELECT r.reservation_id, 1, l.location_id, 1, 5 FROM oms.reservations r, oms.reservation_lines l; UPDATE oms.reservations SET status = ''released''',
    'DELETE FROM oms.orders WHERE order_id = %s',
    'DELETE FROM oms.events WHERE order_id = %s AND type = ''order.placed'''
]) s;

-- One check at a time changes nothing else; unknown checks are refused; a dry run only says what it would do.
SELECT mended_after('UPDATE oms.stock_counters SET on_hand = on_hand + 1, reserved = reserved + 1 WHERE item_id = 1', 'stock.on_hand');
SELECT mended_after('UPDATE oms.stock_counters SET on_hand = on_hand + 1, reserved = reserved + 1 WHERE item_id = 1', 'stock.reserved');
SELECT mended_after('DELETE FROM oms.stock_counters WHERE item_id = 1', 'stock.missing');
SELECT mended_after('UPDATE oms.reservations SET status = ''released''; UPDATE oms.stock_counters SET on_hand = 7 WHERE item_id = 1', 'reservation.lines');
SELECT oms.repair('orphan.line');
SELECT count(*) FROM oms.audit();
UPDATE oms.stock_counters SET on_hand = 50 WHERE item_id = 1;
SELECT oms.repair(dry_run => true);
SELECT count(*) FROM oms.audit();
SELECT oms.repair('stock.on_hand', idempotency_key => 'once') = oms.repair('stock.on_hand', idempotency_key => 'once');
SELECT type, data FROM oms.events WHERE type LIKE '%repaired';
SELECT count(*) FROM oms.audit();

-- The work goes on with what was mended.
SELECT oms.release_reservation(:held);
SELECT oms.cancel_order(:id) ->> 'status';
SELECT count(*) FROM oms.audit();
\c postgres
DROP DATABASE oms_repair;
