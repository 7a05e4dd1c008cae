-- supply.sql: units that are expected: promised once, dated, received, changed, cancelled.
\pset pager off
CREATE DATABASE oms_supply;
\c oms_supply
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';
SET timezone = 'UTC';
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"CUP"},{"sku":"JUG"},{"sku":"ONLY","backorder":false},{"sku":"CARD","kind":"digital"}]'),
       oms.upsert_channels('[{"code":"web","backorder":true},{"code":"shop"}]'), oms.upsert_locations('[{"code":"north"},{"code":"south"}]');
CREATE FUNCTION place(reference text, sku text, quantity int, channel text DEFAULT 'web') RETURNS text LANGUAGE sql AS $$
    SELECT format('%s, leaves %s', p ->> 'fulfillment_status', (SELECT string_agg(format('%s by %s', f -> 'lines' -> 0 ->> 'quantity', f ->> 'ship_by'), '; ')
        FROM jsonb_array_elements(p -> 'fulfillments') f))
    FROM oms.place_order(jsonb_build_object('channel', channel, 'external_ref', reference,
        'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity)))) p $$;
CREATE FUNCTION by_date(sku text, channel text DEFAULT 'web') RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s: %s', to_char(d, 'DD'), (SELECT coalesce(sum(available), 0) FROM oms.available(sku, channel, needed_by => d))), ', ' ORDER BY d)
           || format(' (many: %s)', (SELECT quantity FROM oms.available_many(channel, ARRAY[sku], '2026-03-31')))
    FROM generate_series('2026-03-02 12:00'::timestamptz, '2026-03-12 12:00', '2 days') d $$;

SELECT oms.receive_stock('north', 'CUP', 2);
SELECT oms.expect_supply('north', 'CUP', 5, '2026-03-05 08:00+00', 'PO-1') AS po1, oms.expect_supply('north', 'CUP', 4, '2026-03-09 08:00+00', 'PO-2') AS po2 \gset
SELECT by_date('CUP'), by_date('CUP', 'shop');
SELECT * FROM oms.available('CUP', 'web');
SELECT term, quantity, reason FROM oms.explain_available('CUP', 'web');
-- Each unit is promised once, later promises behind earlier ones, and not one too many.
SELECT place('a', 'CUP', 4);
SELECT by_date('CUP');
SELECT place('b', 'CUP', 4);
SELECT by_date('CUP');
SELECT place('c', 'CUP', 4);
SELECT place('c', 'CUP', 3, 'shop');
SELECT place('c', 'CUP', 3);
SELECT place('d', 'CUP', 1);
SELECT on_hand, reserved, backorder_limit FROM oms.stock;
SELECT * FROM oms.audit();
-- A limit that is set by hand stands beside the supply.
SELECT oms.set_stock_limits('north', 'CUP', backorder_limit => 1), (SELECT backorder_limit FROM oms.stock);
SELECT place('d', 'CUP', 1);
-- Receipts: in part, early; then the waiting orders are filled in their order.
SELECT oms.receive_supply(:po1, 3), (SELECT status FROM oms.supplies WHERE supply_id = :po1);
SELECT on_hand, reserved, backorder_limit FROM oms.stock;
SELECT order_id, quantity, location FROM oms.fill_backorders();
SELECT oms.receive_supply(:po1, 3);
INSERT INTO oms.atp_rules (tenant_id, over_receipt_percent) VALUES (1, 20);
SELECT oms.receive_supply(:po1, 3, idempotency_key => 'key'), oms.receive_supply(:po1, 3, idempotency_key => 'key');
SELECT status, quantity, received FROM oms.supplies WHERE supply_id = :po1;
SELECT oms.receive_supply(:po1, 1);
SELECT oms.cancel_supply(:po1);
SELECT on_hand, reserved, backorder_limit FROM oms.stock;
SELECT * FROM oms.audit();
-- The same reference again changes quantity and date and doubles nothing.
SELECT oms.expect_supply('north', 'CUP', 6, '2026-03-11 08:00+00', 'PO-2') = :po2, (SELECT backorder_limit FROM oms.stock);
SELECT place('e', 'CUP', 2);
SELECT * FROM oms.audit();
-- What is cancelled takes the newest promises with it; they wait until something comes.
SELECT jsonb_array_length(oms.cancel_supply(:po2, 'factory closed') -> 'withdrawn');
SELECT on_hand, reserved, backorder_limit FROM oms.stock;
SELECT r.external_ref, l.allocated, l.backordered FROM oms.orders r JOIN oms.order_lines l USING (order_id) ORDER BY 1;
SELECT * FROM oms.audit();
SELECT oms.receive_stock('south', 'CUP', 20);
SELECT order_id, quantity, from_location, location FROM oms.fill_backorders();
SELECT * FROM oms.audit();
-- Supplies that cannot be promised only show; late ones stop counting by date; confidence lowers what counts.
SELECT oms.expect_supply('north', 'JUG', 10, '2026-03-04 12:00+00', kind => 'transfer', promisable => false) > 0, oms.expect_supply('north', 'JUG', 10, '2026-03-04 12:00+00') > 0;
SELECT by_date('JUG'), oms.expect_supply('north', 'ONLY', 10, '2026-03-04 12:00+00') > 0, by_date('ONLY');
UPDATE oms.atp_rules SET confidence_percent = 40;
SELECT by_date('JUG');
SET oms.clock = '2026-03-20 12:00:00+00';
SELECT sum(available) FROM oms.available('JUG', 'web', needed_by => '2026-03-31');
SELECT place('late', 'JUG', 1);
-- An item with lots says which ones arrive.
SELECT oms.upsert_items('[{"sku":"MILK","tracking":"lot"}]'), oms.expect_supply('north', 'MILK', 6, '2026-03-21 08:00+00', 'PO-3') AS po3 \gset
SELECT oms.receive_supply(:po3, 4, '[{"lot":"L1","quantity":3}]');
SELECT oms.receive_supply(:po3, 4, '[{"lot":"L1","quantity":3},{"lot":"L2","quantity":1}]');
SELECT lot, quantity FROM oms.lots ORDER BY 1;
SELECT * FROM oms.audit();
-- What makes no sense is refused.
SELECT oms.expect_supply('north', 'CARD', 1, now());
SELECT oms.expect_supply('north', 'CUP', 0, now());
SELECT oms.expect_supply('north', 'CUP', 1, NULL);
SELECT oms.expect_supply('north', 'CUP', 1, 'infinity');
SELECT oms.expect_supply('north', 'CUP', 1, now(), kind => 'gift');
SELECT oms.expect_supply('north', 'CUP', 1, now(), 'PO-1');
-- A counter promises a billion units beyond on hand at most, by its limit and its supplies together.
BEGIN;
SELECT oms.upsert_items('[{"sku":"NEW"}]'), oms.expect_supply('north', 'NEW', 999999999, now(), 'PO-BIG') IS NOT NULL;
SAVEPOINT s;
SELECT oms.expect_supply('north', 'NEW', 2, now(), 'PO-BIG-2');
ROLLBACK TO s;
SELECT oms.set_stock_limits('north', 'NEW', backorder_limit => 2);
ROLLBACK TO s;
SELECT oms.set_stock_limits('north', 'NEW', backorder_limit => 1);
SELECT oms.expect_supply('north', 'NEW', 2, now(), 'PO-BIG-2', promisable => false) IS NOT NULL;
SELECT * FROM oms.audit();
ROLLBACK;
SELECT oms.receive_supply(999999);
UPDATE oms.supplies SET received = quantity + 1;
UPDATE oms.supplies SET status = 'expected' WHERE supply_id = :po1;
-- Every corruption is found.
UPDATE oms.supplies SET received = received - 1 WHERE supply_id = :po1;
UPDATE oms.stock_counters SET backorder_limit = 9 WHERE item_id = (SELECT item_id FROM oms.items WHERE sku = 'JUG');
SELECT "check", expected, found FROM oms.audit();
UPDATE oms.supplies SET received = received + 1 WHERE supply_id = :po1;
UPDATE oms.stock_counters SET backorder_limit = 10 WHERE item_id = (SELECT item_id FROM oms.items WHERE sku = 'JUG');
SELECT * FROM oms.audit();
