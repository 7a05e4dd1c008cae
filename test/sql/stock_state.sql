-- Units that are not for sale: moves between states, receipts into one, promises that stay.
CREATE DATABASE oms_stock_state;
\c oms_stock_state
SET client_min_messages = warning;
\set VERBOSITY default
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 08:00:00+00';
SELECT oms.upsert_items('[{"sku":"JAR"},{"sku":"FILE","kind":"digital"}]'), oms.upsert_locations('[{"code":"north"}]');
SELECT oms.receive_stock('north', 'JAR', 10), oms.receive_stock('north', 'JAR', 3, 'PO-1', 'quality_hold'), oms.receive_stock('north', 'JAR', 1, state => 'sellable');
SELECT oms.move_stock_state('north', 'JAR', 'sellable', 'damaged', 2, 'dropped', 'shift 1');
SELECT oms.move_stock_state('north', 'JAR', 'quality_hold', 'sellable', 2, 'passed');
SELECT oms.move_stock_state('north', 'JAR', 'quality_hold', 'damaged', 1, 'failed');
SELECT oms.move_stock_state('north', 'JAR', 'damaged', NULL, 1, 'scrapped', idempotency_key => 'k') = oms.move_stock_state('north', 'JAR', 'damaged', NULL, 1, 'scrapped', idempotency_key => 'k');
SELECT state, quantity FROM oms.stock_states ORDER BY state;
SELECT on_hand_delta, state, state_delta, type, reason, reference FROM oms.stock_movements ORDER BY movement_id;
SELECT type, reason, data FROM oms.events WHERE object_type = 'stock' ORDER BY event_id;
SELECT * FROM oms.available('JAR');
SELECT * FROM oms.audit();

-- Promised units stay; a hold that has expired does not count.
SELECT oms.place_order('{"external_ref":"a","lines":[{"sku":"JAR","quantity":4}]}') ->> 'fulfillment_status';
SELECT oms.place_order('{"external_ref":"b","lines":[{"sku":"JAR","quantity":2}]}') ->> 'fulfillment_status';
SELECT oms.reserve('[{"sku":"JAR","quantity":5}]', '5 minutes') IS NOT NULL;
SELECT oms.move_stock_state('north', 'JAR', 'sellable', 'damaged', 1, 'dropped');
SELECT oms.adjust_stock('north', 'JAR', -1, 'lost');
SET oms.clock = '2026-03-02 08:05:00+00';
SELECT oms.move_stock_state('north', 'JAR', 'sellable', 'damaged', 2, 'dropped');
SELECT status FROM oms.reservations;
SELECT oms.reserve('[{"sku":"JAR","quantity":3}]', '5 minutes') IS NOT NULL;
SET oms.clock = '2026-03-02 08:10:00+00';
SELECT oms.adjust_stock('north', 'JAR', -3, 'lost');
SELECT oms.set_stock_limits('north', 'JAR', backorder_limit => 2);
SELECT oms.reserve('[{"sku":"JAR","quantity":1}]', '5 minutes') IS NOT NULL;
SELECT oms.receive_stock('north', 'JAR', 1), oms.reserve('[{"sku":"JAR","quantity":1}]', '5 minutes') IS NOT NULL;
SET oms.clock = '2026-03-02 08:15:00+00';
-- A limit says how many may be promised before they come, not that those may go which a promise rests on.
SELECT oms.adjust_stock('north', 'JAR', -3, 'lost');
SELECT oms.adjust_stock('north', 'JAR', -1, 'lost');
SELECT oms.set_stock_limits('north', 'JAR', backorder_limit => 1);
SELECT * FROM oms.audit();

-- What is refused changes nothing.
SELECT oms.move_stock_state('north', 'JAR', 'damaged', 'sellable', 100, 'mended');
SELECT oms.move_stock_state('north', 'JAR', 'damaged', 'lost', 1, 'mended');
SELECT oms.move_stock_state('north', 'JAR', 'damaged', 'damaged', 1, 'mended');
SELECT oms.move_stock_state('north', 'JAR', 'damaged', 'sellable', 0, 'mended');
SELECT oms.move_stock_state('north', 'JAR', 'damaged', 'sellable', 1, NULL);
SELECT oms.move_stock_state('north', 'FILE', 'damaged', 'sellable', 1, 'mended');
SELECT oms.receive_stock('north', 'JAR', 1, state => 'lost');
SELECT oms.receive_stock('north', 'JAR', 1000000000, state => 'damaged');
INSERT INTO oms.stock_state_types VALUES (1, 'sellable', 'no');
INSERT INTO oms.stock_state_types VALUES (1, 'display', 'In the shop window');
SELECT oms.move_stock_state('north', 'JAR', 'damaged', 'display', 1, 'for show');
SELECT oms.receive_stock('north', 'JAR', 1000000000 - 3, state => 'damaged');
SELECT oms.receive_stock('north', 'JAR', 1, state => 'damaged');
SELECT * FROM oms.audit();

-- Corruption is found, and mended from the ledger.
UPDATE oms.stock_states SET quantity = quantity - 1 WHERE state = 'damaged';
DELETE FROM oms.stock_states WHERE state = 'display';
SELECT * FROM oms.audit();
SELECT oms.repair('stock_state.quantity');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_stock_state;
