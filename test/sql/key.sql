-- key.sql: idempotency keys of every kind of call, and shortages of several lines.
\pset pager off
CREATE DATABASE oms_key;
\c oms_key
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SELECT oms.init_tenant(2);
RESET client_min_messages;
SET oms.clock = '2026-03-02 12:00:00+00';
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_items('[{"sku": "A", "price": 2}, {"sku": "B", "price": 3}]');
SELECT oms.receive_stock('default', 'A', 5), oms.receive_stock('default', 'B', 1);

-- Lines of one item are one wish: each short item is named once, with what is wanted and what is there.
SELECT oms.place_order('{"external_ref": "short", "lines": [{"sku": "A", "quantity": 3}, {"sku": "B", "quantity": 1}, {"sku": "A", "quantity": 3}, {"sku": "B", "quantity": 1}]}');
SELECT oms.reserve('[{"sku": "A", "quantity": 3}, {"sku": "A", "quantity": 3}, {"sku": "B", "quantity": 2}]');
SELECT count(*) FROM oms.orders;

-- The first answer stays the answer, though the object has moved on since.
CREATE TABLE answers AS SELECT oms.place_order('{"external_ref": "1", "lines": [{"sku": "A", "quantity": 2}]}', 'k-place') AS placed,
    oms.reserve('[{"sku": "A", "quantity": 1}]', '10 minutes', reference => 'cart', idempotency_key => 'k-hold') AS held;
SELECT oms.cancel_order((placed ->> 'order_id')::bigint, idempotency_key => 'k-cancel') ->> 'status',
       oms.release_reservation((held ->> 'reservation_id')::bigint, 'k-release') FROM answers;
SET oms.clock = '2026-03-02 13:00:00+00';
SELECT oms.place_order('{"external_ref": "1", "lines": [{"sku": "A", "quantity": 2}]}', 'k-place') = placed,
       oms.reserve('[{"sku": "A", "quantity": 1}]', '10 minutes', reference => 'cart', idempotency_key => 'k-hold') = held,
       oms.release_reservation((held ->> 'reservation_id')::bigint, 'k-release') FROM answers;
SELECT status, (SELECT count(*) FROM oms.orders), (SELECT sum(reserved) FROM oms.stock) FROM oms.reservations;

-- The same key for anything else is refused: other arguments, another function.
SELECT oms.reserve('[{"sku": "A", "quantity": 2}]', '10 minutes', reference => 'cart', idempotency_key => 'k-hold');
SELECT oms.receive_stock('default', 'A', 1, idempotency_key => 'k-hold');
-- Calls without an answer keep keys, too.
SELECT oms.set_stock_limits('default', 'A', safety => 1, idempotency_key => 'k-limit');
SELECT oms.set_stock_limits('default', 'A', safety => 2), oms.set_stock_limits('default', 'A', safety => 1, idempotency_key => 'k-limit');
SELECT safety FROM oms.stock JOIN oms.items USING (item_id) WHERE sku = 'A';
SELECT oms.set_stock_limits('default', 'A', safety => 3, idempotency_key => 'k-limit');

-- A call that failed, or was undone, leaves no key.
SELECT oms.reserve('[{"sku": "B", "quantity": 2}]', idempotency_key => 'k-late');
SELECT oms.receive_stock('default', 'B', 1);
SELECT oms.reserve('[{"sku": "B", "quantity": 2}]', idempotency_key => 'k-late') ->> 'complete';
BEGIN;
SELECT oms.receive_stock('default', 'A', 1, idempotency_key => 'k-undone');
ROLLBACK;
SELECT oms.receive_stock('default', 'A', 2, idempotency_key => 'k-undone');

-- A dry run keeps no key: the call may be made with it.
SELECT oms.place_order('{"external_ref":"dry","lines":[{"sku":"A","quantity":1}]}') ->> 'order_id' AS dry \gset
SELECT oms.edit_order(:dry, '{"notes":"x"}', true, idempotency_key => 'k-dry') -> 'dry_run', oms.route_order(:dry, true, 'k-dry') -> 'dry_run', oms.repair(dry_run => true, idempotency_key => 'k-dry');
SELECT count(*) FROM oms.idempotency_keys WHERE key = 'k-dry';
SELECT oms.edit_order(:dry, '{"notes":"x"}', idempotency_key => 'k-dry') -> 'version', oms.edit_order(:dry, '{"notes":"x"}', idempotency_key => 'k-dry') -> 'version';
SELECT oms.edit_order(:dry, '{"notes":"x"}', true, idempotency_key => 'k-dry');

-- Each tenant has keys of its own.
SET oms.tenant = 2;
SELECT oms.upsert_items('[{"sku": "A"}]');
SELECT oms.receive_stock('default', 'A', 7, idempotency_key => 'k-undone');
SELECT * FROM oms.audit();
SET oms.tenant = 1;
SELECT oms.receive_stock('default', 'A', 2, idempotency_key => 'k-undone');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_key;
