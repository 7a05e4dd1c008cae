-- kit.sql: items that are sold as one and promised by their components.
\pset pager off
CREATE DATABASE oms_kit;
\c oms_kit
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SET oms.clock = '2026-03-01 12:00+00';
SELECT oms.upsert_channels('[{"code":"default","backorder":true}]');
SELECT oms.upsert_locations('[{"code":"default","active":false},{"code":"north","rank":1,"latitude":54,"longitude":10},{"code":"south","rank":2,"latitude":48,"longitude":11}]');
SELECT oms.upsert_items('[{"sku":"CAM","price":300,"weight_grams":500},{"sku":"LENS","price":100},{"sku":"CARD","price":20,"backorder":true},{"sku":"GUIDE","kind":"digital"},
  {"sku":"SET","kind":"kit","price":"399.99","components":[{"sku":"CAM","quantity":1},{"sku":"CARD","quantity":2},{"sku":"GUIDE","quantity":1}]},
  {"sku":"BOX","kind":"kit","price":380,"ship_together":true,"components":[{"sku":"CAM","quantity":1},{"sku":"LENS","quantity":1}]},
  {"sku":"LOOSE","kind":"kit","price":"10.01","may_break":true,"components":[{"sku":"LENS","quantity":3}]},
  {"sku":"FILES","kind":"kit","price":5,"components":[{"sku":"GUIDE","quantity":2}]}]');
SELECT oms.receive_stock('north', 'CAM', 4), oms.receive_stock('south', 'CAM', 2), oms.receive_stock('north', 'CARD', 3), oms.receive_stock('south', 'CARD', 7),
       oms.receive_stock('south', 'LENS', 5);

-- What makes no kit is refused, every fault at its place; kits have no stock.
SELECT oms.upsert_items('[{"sku":"X","kind":"kit","components":[{"sku":"NONE","quantity":1},{"sku":"SET","quantity":1},{"sku":"CAM","quantity":1},{"sku":"CAM","quantity":2}]},
  {"sku":"CARD","components":[{"sku":"CAM","quantity":1}]},{"sku":"LENS","kind":"kit"},{"sku":"SET","kind":"stocked"}]');
SELECT oms.upsert_items('[{"sku":"X","kind":"kit","components":[]}]');
SELECT oms.upsert_items('[{"sku":"X","kind":"kit","components":[{"sku":"CAM","quantity":0}]}]');
SELECT count(*) FROM oms.items WHERE sku = 'X';
SELECT oms.receive_stock('north', 'SET', 1);

-- Whole sets: everywhere together, or at one location where it ships together; the explanation adds up.
SELECT * FROM oms.available('SET', 'default');
SELECT * FROM oms.available('BOX', 'default');
SELECT * FROM oms.available('BOX', 'default', 'north');
SELECT * FROM oms.available_many('default', '{SET,BOX,LOOSE,FILES,CAM}');
SELECT s.sku, s.quantity, (SELECT sum(quantity) FROM oms.explain_available(s.sku, 'default')) AS explained, (SELECT sum(available) FROM oms.available(s.sku, 'default')) AS available
FROM oms.available_many('default') s ORDER BY 1;
SELECT * FROM oms.explain_available('SET', 'default');
SELECT * FROM oms.explain_available('FILES', 'default');

-- An order has the components as lines with shares of the price, and keeps which they are.
SELECT oms.place_order('{"external_ref":"1","lines":[{"sku":"SET","quantity":2,"external_ref":"L1","adjustments":[{"type":"discount","amount":"10.00"}]},{"sku":"LENS","quantity":1}],
  "total":"889.98","ship_to":{"latitude":54,"longitude":10}}') -> 'totals';
SELECT line_no, sku, ordered, allocated, unit_price, l.amount FROM oms.order_lines l JOIN oms.items USING (item_id) WHERE order_id = 1 ORDER BY 1;
SELECT line_no, amount FROM oms.order_adjustments WHERE order_id = 1 ORDER BY 1;
SELECT oms.get_order(1) -> 'kits';
SELECT sum(l.amount) FROM oms.order_lines l WHERE order_id = 1;
SELECT * FROM oms.available_many('default', '{SET,BOX,CAM}');
SELECT * FROM oms.audit();

-- Only whole sets are cancelled, and every number of them is paid exactly.
SELECT oms.cancel_order(1, '[{"line_no":1,"quantity":1}]');
SELECT oms.cancel_order(1, '[{"line_no":1,"quantity":1},{"line_no":3,"quantity":1},{"line_no":4,"quantity":1}]');
SELECT oms.cancel_order(1, '[{"line_no":1,"quantity":1},{"line_no":3,"quantity":2},{"line_no":4,"quantity":1}]') #> '{totals}';
SELECT oms.edit_order(1, '{"lines":[{"line_no":3,"quantity":3}]}');
SELECT oms.edit_order(1, '{"add":[{"sku":"LOOSE","quantity":1}]}') #> '{order,kits}';
SELECT line_no, sku, ordered, cancelled FROM oms.order_lines l JOIN oms.items USING (item_id) WHERE order_id = 1 ORDER BY 1;
-- The new kit may be broken.
SELECT oms.edit_order(1, '{"lines":[{"line_no":5,"quantity":2}]}') ->> 'total';

-- Returns: whole sets as well.
SELECT oms.release_fulfillment(fulfillment_id) ->> 'fulfillment_status', oms.ship_fulfillment(fulfillment_id) ->> 'fulfillment_status' FROM oms.fulfillments WHERE order_id = 1 AND location_id IS NOT NULL AND status = 'planned';
SELECT oms.deliver_fulfillment(fulfillment_id) ->> 'status' FROM oms.fulfillments WHERE order_id = 1 AND status IN ('planned', 'shipped');
SELECT oms.request_return(1, '[{"line_no":1}]');
SELECT oms.request_return(1, '[{"line_no":1},{"line_no":3},{"line_no":4}]') ->> 'status';
SELECT oms.receive_return(max(return_id)) #>> '{refund,total}' FROM oms.returns;
SELECT * FROM oms.audit();

-- All components at one location, or the kit is short though its parts are there; a part sold alone competes.
SELECT oms.place_order('{"external_ref":"2","lines":[{"sku":"BOX","quantity":2},{"sku":"LENS","quantity":1}],"ship_to":{"latitude":54,"longitude":10}}') #> '{fulfillments}';
SELECT oms.place_order('{"external_ref":"3","lines":[{"sku":"BOX","quantity":1}]}');
SELECT * FROM oms.explain_available('BOX', 'default');
-- Kits are never backordered, though a component alone may be.
SELECT oms.set_stock_limits('north', 'CARD', NULL, 100);
SELECT oms.place_order('{"external_ref":"4","lines":[{"sku":"SET","quantity":90}]}');
SELECT oms.preview_order('{"external_ref":"5","lines":[{"sku":"CARD","quantity":90}]}') ->> 'fulfillment_status';

-- A cart holds whole kits.
SELECT oms.receive_stock('north', 'LENS', 3);
SELECT oms.reserve('[{"sku":"BOX","quantity":1}]', reference => 'cart') - 'expires_at';
SELECT oms.reserve('[{"sku":"BOX","quantity":1}]', partial => true);
SELECT oms.place_order(jsonb_build_object('external_ref', '6', 'reservation_id', max(reservation_id), 'lines', '[{"sku":"BOX","quantity":1}]'::jsonb)) ->> 'status' FROM oms.reservations;
SELECT oms.available_many('default', '{BOX}');

-- A kit that ships together is held at one location, or not at all; others wherever their components are.
SELECT oms.upsert_items('[{"sku":"LEFT"},{"sku":"RIGHT"},{"sku":"TWO","kind":"kit","ship_together":true,"components":[{"sku":"LEFT","quantity":1},{"sku":"RIGHT","quantity":1}]},
  {"sku":"APART","kind":"kit","components":[{"sku":"LEFT","quantity":1},{"sku":"RIGHT","quantity":1}]}]');
SELECT oms.receive_stock('north', 'LEFT', 5), oms.receive_stock('south', 'RIGHT', 5), oms.receive_stock('south', 'LEFT', 2);
SELECT oms.reserve('[{"sku":"TWO","quantity":3}]');
SELECT oms.reserve('[{"sku":"TWO","quantity":2}]') -> 'lines';
SELECT oms.reserve('[{"sku":"APART","quantity":3}]') -> 'lines';
SELECT oms.reserve('[{"sku":"TWO","quantity":1,"location":"north"}]');

-- A draft keeps its price, and takes the components that the kit has when it is placed; an order keeps those it has.
SELECT oms.place_order('{"external_ref":"7","draft":true,"lines":[{"sku":"LOOSE","quantity":1},{"sku":"CARD","quantity":1}]}') #>> '{totals,total}';
SELECT oms.upsert_items('[{"sku":"LOOSE","price":99,"components":[{"sku":"LENS","quantity":1},{"sku":"CARD","quantity":1}]}]');
SELECT oms.place_draft(oms.find_order('default', '7')) #>> '{totals,total}';
SELECT line_no, sku, ordered, allocated, l.amount FROM oms.order_lines l JOIN oms.items USING (item_id) WHERE order_id = oms.find_order('default', '7') ORDER BY 1;
SELECT oms.get_order(1) #> '{kits,1,lines}';

-- Several deliveries, digital kits, and what cannot be sold.
SELECT oms.place_order('{"external_ref":"8","deliveries":[{"delivery_no":1},{"delivery_no":2}],"lines":[{"sku":"FILES","quantity":3,"delivery_no":1},{"sku":"LOOSE","quantity":1,"delivery_no":2}]}') #> '{totals}';
SELECT oms.upsert_items('[{"sku":"EMPTY","kind":"kit","price":1},{"sku":"GUIDE","active":false}]');
SELECT oms.place_order('{"external_ref":"9","lines":[{"sku":"EMPTY","quantity":1},{"sku":"FILES","quantity":1},{"sku":"LOOSE","quantity":1,"unit_price":"1.005"}]}');
SELECT * FROM oms.audit();

-- audit() finds kits of nothing.
BEGIN;
DELETE FROM oms.order_kit_lines WHERE order_id = 1 AND kit_no = 1;
UPDATE oms.order_kit_lines SET line_no = 77 WHERE order_id = 1;
SELECT "check", object FROM oms.audit();
ROLLBACK;
-- Where no location has all sets that go together, placing says so as reserve does: there are units of the components.
SELECT oms.upsert_items('[{"sku":"POT"},{"sku":"LID"},{"sku":"PAIR","kind":"kit","ship_together":true,"components":[{"sku":"POT","quantity":2},{"sku":"LID","quantity":1}]}]');
SELECT oms.receive_stock('north', 'POT', 6), oms.receive_stock('north', 'LID', 3), oms.receive_stock('south', 'POT', 4), oms.receive_stock('south', 'LID', 2);
SELECT location, available FROM oms.available('PAIR');
SELECT oms.reserve('[{"sku":"PAIR","quantity":4}]');
SELECT oms.place_order('{"external_ref":"pair","lines":[{"sku":"PAIR","quantity":4}]}');
SELECT oms.place_order('{"external_ref":"pair","lines":[{"sku":"PAIR","quantity":3}]}') ->> 'fulfillment_status';

-- What is broken already, because not all of it came back, stops nothing else; nor may anything else be broken.
SELECT oms.upsert_items('[{"sku":"MAT"}]');
SELECT oms.receive_stock('north', 'MAT', 9), oms.receive_stock('north', 'POT', 20), oms.receive_stock('north', 'LID', 20);
CREATE FUNCTION ship_all(wanted text) RETURNS bigint LANGUAGE sql AS $$
  SELECT count(*) FROM (SELECT oms.release_fulfillment(fulfillment_id), oms.ship_fulfillment(fulfillment_id)
    FROM oms.fulfillments WHERE order_id = oms.find_order('default', wanted) AND status = 'planned') f $$;
SELECT oms.place_order('{"external_ref":"broken","lines":[{"sku":"PAIR","quantity":2},{"sku":"MAT","quantity":3},{"sku":"PAIR","quantity":1}]}') ->> 'status';
SELECT oms.find_order('default', 'broken') AS broken \gset
SELECT ship_all('broken');
SELECT oms.request_return(:broken, '[{"line_no":1,"quantity":2},{"line_no":4,"quantity":1}]') -> 'return_id' AS return_id \gset
SELECT oms.receive_return(:return_id, '[{"line_no":1,"quantity":1}]') ->> 'status', oms.close_return(:return_id) ->> 'status';
SELECT oms.request_return(:broken, '[{"line_no":2,"quantity":1}]') ->> 'status';
SELECT oms.request_return(:broken, '[{"line_no":3,"quantity":1}]') ->> 'status';
SELECT oms.request_return(:broken, '[{"line_no":1,"quantity":1},{"line_no":4,"quantity":1}]') ->> 'status';

-- Of sets that have shipped in part the rest is stopped and the part comes back, but not one without the other.
SELECT oms.place_order('{"external_ref":"parted","lines":[{"sku":"PAIR","quantity":3}]}') ->> 'status';
SELECT oms.find_order('default', 'parted') AS parted \gset
SELECT oms.release_fulfillment(fulfillment_id) ->> 'status', oms.ship_fulfillment(fulfillment_id, '{"lines":[{"line_no":1,"quantity":3}]}') ->> 'status'
FROM oms.fulfillments WHERE order_id = :parted AND status = 'planned';
SELECT oms.cancel_order(:parted, '[{"line_no":1,"quantity":2}]', shipped => 'return');
SELECT oms.cancel_order(:parted, '[{"line_no":2,"quantity":1}]');
SELECT oms.cancel_order(:parted, '[{"line_no":1,"quantity":4},{"line_no":2,"quantity":2}]', shipped => 'return') -> 'stopped';
SELECT oms.cancel_order(:parted, shipped => 'return') -> 'stopped';
SELECT line_no, ordered, cancelled, shipped, return_requested FROM oms.order_lines WHERE order_id = :parted ORDER BY line_no;
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_kit;
