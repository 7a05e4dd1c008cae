-- Lots, serial numbers and expiry: receipts name them, shipments take the first to expire, what is over is not sold.
CREATE DATABASE oms_lot;
\c oms_lot
SET client_min_messages = warning;
\set VERBOSITY default
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 08:00:00+00';
SELECT oms.upsert_items('[{"sku":"MILK","tracking":"lot","minimum_life_days":3},{"sku":"PHONE","tracking":"serial"},{"sku":"PEN"}]'),
       oms.upsert_locations('[{"code":"dairy"},{"code":"shop"}]');
CREATE VIEW lots AS SELECT l.code, i.sku, x.lot, x.quantity, x.expires_at, x.sell_until FROM oms.lots x JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id);

-- A receipt names its lots.
SELECT oms.receive_stock('dairy', 'MILK', 10, lots => '[{"lot":"M2","quantity":6,"expires_at":"2026-03-20T00:00:00Z"},{"lot":"M1","quantity":4,"expires_at":"2026-03-10T00:00:00Z"}]');
SELECT oms.receive_stock('dairy', 'MILK', 2, lots => '[{"lot":"M2","quantity":1},{"lot":"M0"}]');
SELECT oms.receive_stock('shop', 'PHONE', 3, lots => '[{"lot":"P1"},{"lot":"P2"},{"lot":"P3"}]'), oms.receive_stock('shop', 'PEN', 3);
SELECT * FROM lots ORDER BY 1, 2, 3;
SELECT * FROM oms.audit();

-- What is refused changes nothing.
SELECT oms.receive_stock('dairy', 'MILK', 1);
SELECT oms.receive_stock('dairy', 'MILK', 2, lots => '[{"lot":"M2","quantity":1}]');
SELECT oms.receive_stock('dairy', 'MILK', 2, lots => '[{"lot":"M2"},{"lot":"M2"}]');
SELECT oms.receive_stock('dairy', 'MILK', 1, lots => '[{"lot":"M2","expires_at":"2026-03-21T00:00:00Z"}]');
SELECT oms.receive_stock('dairy', 'MILK', 1, lots => '[{"quantity":1,"colour":"white"}]');
SELECT oms.receive_stock('dairy', 'MILK', 1, state => 'damaged', lots => '[{"lot":"M9"}]');
SELECT oms.receive_stock('dairy', 'PEN', 1, lots => '[{"lot":"X"}]');
SELECT oms.receive_stock('dairy', 'PHONE', 1, lots => '[{"lot":"P2"}]');
SELECT oms.receive_stock('dairy', 'PHONE', 2, lots => '[{"lot":"P9","quantity":2}]');
SELECT oms.adjust_stock('dairy', 'MILK', 1, 'found');
SELECT oms.adjust_stock('dairy', 'MILK', -8, 'lost', lots => '[{"lot":"M2","quantity":8}]');
SELECT oms.load_stock('[{"location":"dairy","sku":"MILK","quantity":5}]', 'delta');
SELECT oms.upsert_items('[{"sku":"PEN","tracking":"lot"},{"sku":"MILK","tracking":"none"}]');
SELECT * FROM oms.audit();

-- First to expire, first out; a shipment may name others; the suggestion says what would go.
SELECT (oms.place_order('{"external_ref":"a","lines":[{"sku":"MILK","quantity":5},{"sku":"PHONE","quantity":1}]}') ->> 'order_id')::bigint AS a \gset
SELECT fulfillment_id AS dairy_a FROM oms.fulfillments f JOIN oms.locations USING (location_id) WHERE order_id = :a AND code = 'dairy' \gset
SELECT fulfillment_id AS shop_a FROM oms.fulfillments f JOIN oms.locations USING (location_id) WHERE order_id = :a AND code = 'shop' \gset
SELECT * FROM oms.suggest_lots(:dairy_a);
SELECT oms.release_fulfillment(:dairy_a) IS NOT NULL, oms.release_fulfillment(:shop_a) IS NOT NULL;
SELECT oms.ship_fulfillment(:shop_a, '{"lines":[{"line_no":2,"lots":[{"lot":"P7"}]}]}');
SELECT oms.ship_fulfillment(:shop_a, '{"lines":[{"line_no":2,"lots":[{"lot":"P1"},{"lot":"P2"}]}]}');
SELECT oms.ship_fulfillment(:shop_a, '{"lines":[{"line_no":2,"lots":[{"lot":"P2"}]}]}') IS NOT NULL;
SELECT oms.ship_fulfillment(:dairy_a) IS NOT NULL;
SELECT * FROM lots ORDER BY 1, 2, 3;
SELECT lot, delta, type, order_id IS NOT NULL AS of_order FROM oms.lot_movements ORDER BY movement_id;
SELECT * FROM oms.audit();

-- From sell_until on units are kept back from new promises, in every answer alike, though nobody did anything.
SELECT oms.receive_stock('dairy', 'MILK', 5, lots => '[{"lot":"M3","quantity":5,"expires_at":"2026-03-06T00:00:00Z"}]');
SELECT * FROM oms.available('MILK');
SET oms.clock = '2026-03-02 23:59:59+00';
SELECT * FROM oms.available('MILK');
SET oms.clock = '2026-03-03 00:00:00+00';
SELECT * FROM oms.available('MILK');
SELECT sum(quantity) FROM oms.explain_available('MILK');
SELECT * FROM oms.available_many('default', ARRAY['MILK']);
SELECT oms.preview_order('{"external_ref":"b","lines":[{"sku":"MILK","quantity":8}]}') -> 'fulfillment_status';
SELECT oms.place_order('{"external_ref":"b","lines":[{"sku":"MILK","quantity":8}]}');
SELECT oms.reserve('[{"sku":"MILK","quantity":8}]');
SELECT oms.reserve('[{"sku":"MILK","quantity":3}]') IS NOT NULL;
SELECT (oms.place_order('{"external_ref":"b","lines":[{"sku":"MILK","quantity":4}]}') ->> 'order_id')::bigint AS b \gset
SELECT fulfillment_id AS fb FROM oms.fulfillments WHERE order_id = :b \gset
SELECT oms.place_order('{"external_ref":"c","lines":[{"sku":"MILK","quantity":1}]}');

-- Promised units may still leave until they expire; expired ones never do.
SET oms.clock = '2026-03-05 23:00:00+00';
SELECT * FROM oms.suggest_lots(:fb);
SET oms.clock = '2026-03-06 00:00:00+00';
SELECT * FROM oms.suggest_lots(:fb);
SELECT oms.release_fulfillment(:fb) IS NOT NULL;
SELECT oms.ship_fulfillment(:fb, '{"lines":[{"line_no":1,"lots":[{"lot":"M3"}]}]}');
SELECT oms.ship_fulfillment(:fb) IS NOT NULL;
SELECT * FROM lots ORDER BY 1, 2, 3;
SET oms.clock = '2026-03-30 00:00:00+00';
SELECT * FROM oms.available('MILK');
SELECT * FROM oms.audit();

-- Taking away starts with what expired first; units on the way to another state leave their lot and need one to come back.
SELECT oms.move_stock_state('dairy', 'MILK', 'sellable', 'damaged', 2, 'sour', lots => '[{"lot":"M2","quantity":2}]');
SELECT oms.move_stock_state('dairy', 'MILK', 'damaged', 'sellable', 1, 'good after all');
SELECT oms.move_stock_state('dairy', 'MILK', 'damaged', 'sellable', 1, 'good after all', lots => '[{"lot":"M7","expires_at":"2026-05-01T00:00:00Z"}]');
SELECT oms.adjust_stock('dairy', 'MILK', -4, 'poured away');
SELECT * FROM lots WHERE sku = 'MILK' ORDER BY 1, 2, 3;
SELECT oms.count_stock('dairy', 'MILK', 7, lots => '[{"lot":"M7","quantity":1},{"lot":"M8","quantity":6,"expires_at":"2026-06-01T00:00:00Z"}]');
SELECT oms.count_stock('dairy', 'MILK', 7, lots => '[{"lot":"M7","quantity":3},{"lot":"M8","quantity":4}]') -> 'difference';
SELECT * FROM lots WHERE sku = 'MILK' ORDER BY 1, 2, 3;
SELECT oms.count_stock('dairy', 'MILK', 8);
SELECT oms.count_stock('dairy', 'MILK', 6) -> 'difference';
SELECT oms.count_stock('shop', 'PHONE', 0, lots => '[]') -> 'difference';
SELECT oms.receive_stock('dairy', 'PHONE', 1, lots => '[{"lot":"P1"}]');
SELECT * FROM lots ORDER BY 1, 2, 3;
SELECT * FROM oms.audit();

-- What comes back may say which lots it is: those that left with the order, each as often as it left, and with its expiry.
SELECT oms.upsert_items('[{"sku":"WATCH","tracking":"serial"},{"sku":"WINE","tracking":"lot"}]');
SELECT oms.receive_stock('shop', 'WATCH', 5, lots => '[{"lot":"W1"},{"lot":"W2"},{"lot":"W3"},{"lot":"W4"},{"lot":"W9"}]'),
       oms.receive_stock('shop', 'WINE', 6, lots => '[{"lot":"V1","quantity":4,"expires_at":"2027-01-01T00:00:00Z"},{"lot":"V2","quantity":2}]');
SELECT oms.place_order('{"external_ref":"back","lines":[{"sku":"WATCH","quantity":3},{"sku":"WATCH","quantity":1,"lot":"W4"},{"sku":"WINE","quantity":6},{"sku":"PEN","quantity":1}]}') ->> 'status';
SELECT oms.release_fulfillment(fulfillment_id) ->> 'status', oms.ship_fulfillment(fulfillment_id) ->> 'status' FROM oms.fulfillments WHERE order_id = oms.find_order('default', 'back');
SELECT oms.request_return(oms.find_order('default', 'back')) -> 'return_id' AS back \gset
SELECT oms.receive_return(:back, '[{"line_no":1,"quantity":1,"lots":[{"lot":"W9"}]}]');
SELECT oms.receive_return(:back, '[{"line_no":1,"quantity":2,"lots":[{"lot":"W1"},{"lot":"W1"}]}]');
SELECT oms.receive_return(:back, '[{"line_no":1,"quantity":2,"lots":[{"lot":"W1"}]},{"line_no":3,"quantity":1,"disposition":"damaged","lots":[{"lot":"V1"}]},{"line_no":4,"lots":[{"lot":"X"}]}]');
-- Without it what a line asked for comes back with that line, and what others name stays for them.
SELECT oms.receive_return(:back, '[{"line_no":1,"quantity":1,"location":"dairy"},{"line_no":1,"quantity":1,"location":"shop","lots":[{"lot":"W3"}]},{"line_no":2},
  {"line_no":3,"quantity":1,"location":"dairy","lots":[{"lot":"V1"}]},{"line_no":3,"quantity":2,"disposition":"damaged"}]') ->> 'status';
SELECT * FROM lots WHERE sku IN ('WATCH', 'WINE') ORDER BY 2, 1, 3;
SELECT data -> 'lines' -> 1 -> 'lots' AS named FROM oms.events WHERE type = 'return.received' ORDER BY event_id DESC LIMIT 1;
SELECT oms.receive_return(:back, '[{"line_no":3,"quantity":3,"lots":[{"lot":"V1","quantity":2},{"lot":"V2"}]}]') ->> 'status';
SELECT * FROM lots WHERE sku = 'WINE' ORDER BY 2, 1, 3;
SELECT * FROM oms.audit();

-- Corruption is found.
BEGIN;
UPDATE oms.lots SET quantity = quantity + 1 WHERE lot = 'M8';
DELETE FROM oms.lots WHERE lot = 'P1';
SELECT "check", expected, found FROM oms.audit();
ROLLBACK;
UPDATE oms.lots SET quantity = 2 WHERE lot = 'P1';
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_lot;
