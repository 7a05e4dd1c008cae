-- reference.sql: external references and custom attributes of every object, and what renaming leaves as it was.
\pset pager off
CREATE DATABASE oms_reference;
\c oms_reference
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_items('[{"sku":"OLD","price":10,"external_ref":"PIM-1"},{"sku":"OTHER","price":1}]'), oms.upsert_locations('[{"code":"hub","external_ref":"WMS-1"},{"code":"shop"}]'),
       oms.receive_stock('hub', 'OLD', 100);
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; detail text;
BEGIN
    EXECUTE call INTO answer;
    RETURN coalesce(answer, 'done');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
SELECT oms.place_order('{"external_ref":"1","attributes":{"campaign":"spring"},"lines":[{"sku":"OLD","quantity":5,"external_ref":"L-1","attributes":{"engraving":"A"}}],
    "payments":[{"method":"card","status":"captured","external_ref":"PAY-1","attributes":{"wallet":"x"}}]}') ->> 'order_id' AS o \gset
SELECT oms.release_fulfillment(1) ->> 'status', oms.pack_fulfillment(1, '[{"weight_grams":5,"external_ref":"BOX-1","attributes":{"seal":7}}]') ->> 'status';
SELECT oms.set_external_ref('fulfillment', 1, 'WMS-77'), oms.set_attributes('fulfillment', 1, '{"wave":3}');
SELECT oms.expect_supply('hub', 'OLD', 10, now() + interval '1 day', 'PO-1') AS s, oms.request_transfer('hub', 'shop', 'OLD', 3, now() + interval '1 day', 'TO-1') AS t \gset
SELECT oms.set_attributes('supply', :s, '{"vessel":"Ever"}'), oms.set_attributes('transfer', :t, '{"truck":4}'), oms.hold_order(:o) AS h \gset
SELECT oms.set_attributes('hold', :h, '{"ticket":9}'), oms.set_external_ref('hold', :h, 'CASE-9');
-- Each is found by its reference.
SELECT x.type, f.* FROM unnest('{fulfillment,package,payment,hold,line,supply,transfer,location,item}'::text[], '{WMS-77,BOX-1,PAY-1,CASE-9,L-1,PO-1,TO-1,WMS-1,PIM-1}'::text[]) x(type, ref)
CROSS JOIN LATERAL oms.find_object(x.type, x.ref) f;
SELECT oms.find_order('default', '1') = :o, (SELECT count(*) FROM oms.find_object('item', 'nobody')), (SELECT order_id FROM oms.find_orders('{"campaign":"spring"}'));
-- They are in the whole order, and in events.
SELECT o -> 'attributes', o #> '{lines,0,attributes}', o #> '{payments,0,attributes}', o #> '{holds,0,attributes}', f ->> 'external_ref', f -> 'attributes', f #> '{packages,0}'
FROM oms.get_order(:o) o, jsonb_array_elements(o -> 'fulfillments') f;
SELECT type, data FROM oms.events WHERE type LIKE '%.described' OR type LIKE '%.referenced' ORDER BY event_id;
-- A reference names one object; what is no object, is not there, or has calls of its own, is refused.
SELECT oms.set_external_ref('item', (SELECT item_id FROM oms.items WHERE sku = 'OTHER'), 'PIM-2'), oms.set_external_ref('location', (SELECT location_id FROM oms.locations WHERE code = 'shop'), NULL);
SELECT attempt($$SELECT oms.set_external_ref('item', (SELECT item_id FROM oms.items WHERE sku = 'OTHER'), 'PIM-1')$$);
SELECT attempt($$SELECT oms.set_external_ref('supply', 1, 'x')$$), attempt($$SELECT oms.set_external_ref('line', 1, 'x')$$);
SELECT attempt($$SELECT oms.find_object('moon', 'x')$$);
SELECT a, attempt(format('SELECT oms.set_attributes(%L, 1, %L)', 'fulfillment', a)) FROM unnest('{[1],"text",7,null}'::text[]) a;
SELECT attempt($$SELECT oms.set_attributes('fulfillment', 99, '{}')$$), attempt($$SELECT oms.set_attributes('item', 1, '{}')$$);
SELECT attempt($$SELECT oms.place_order('{"external_ref":"2","attributes":[1],"lines":[{"sku":"OLD","quantity":1,"attributes":"x"}],"payments":[{"method":"m","attributes":3}]}')$$);
SELECT attempt($$SELECT oms.edit_order(1, '{"attributes":"x","lines":[{"line_no":1,"attributes":[]}]}')$$);
-- Whichever way it is written, a reference names one object of its type, a line of its order; a call that is refused says who has it and changes nothing.
SELECT attempt($$SELECT oms.upsert_items('[{"sku":"OTHER","price":7},{"sku":"NEWER","external_ref":"PIM-1"},{"sku":"OTHER2","external_ref":"PIM-7"}]')$$);
SELECT attempt($$SELECT oms.upsert_items('[{"sku":"OLD","external_ref":"PIM-1","price":10},{"sku":"OTHER3","external_ref":"PIM-3"},{"sku":"OTHER4","external_ref":"PIM-3"}]')$$);
SELECT attempt($$SELECT oms.upsert_items('[{"sku":"OLD","external_ref":"PIM-2"},{"sku":"OTHER","external_ref":"PIM-1"}]')$$);
SELECT attempt($$SELECT oms.upsert_locations('[{"code":"shop","external_ref":"WMS-1"}]')$$);
SELECT attempt($$SELECT oms.upsert_locations('[{"code":"shop","external_ref":"WMS-2"},{"code":"hub","external_ref":"WMS-2"}]')$$);
SELECT oms.upsert_items('[{"sku":"OLD","external_ref":"PIM-1"}]'), oms.upsert_locations('[{"code":"hub","external_ref":"WMS-1"}]'), sku, price FROM oms.items WHERE sku = 'OTHER';
SELECT attempt(format('SELECT oms.set_external_ref(%L, %s, %L)', t, (SELECT max(location_id) FROM oms.locations), 'WMS-1')) FROM unnest('{location}'::text[]) t;
SELECT attempt($$SELECT oms.place_order('{"external_ref":"2","lines":[{"sku":"OLD","quantity":1,"external_ref":"x"},{"sku":"OTHER","quantity":1,"external_ref":"x"}]}')$$);
CREATE FUNCTION second(reference text, payments jsonb) RETURNS jsonb LANGUAGE sql
RETURN jsonb_build_object('external_ref', reference, 'lines', '[{"sku":"OLD","quantity":2,"external_ref":"L-1"}]'::jsonb, 'payments', payments);
SELECT attempt(format('SELECT oms.%s(%L)', f, second('2', '[{"method":"card","amount":1},{"method":"card","amount":1,"external_ref":"PAY-1"}]'))) FROM unnest('{preview_order,place_order}'::text[]) f;
SELECT attempt(format('SELECT oms.place_order(%L)', second('2', '[{"method":"card","amount":1,"external_ref":"PAY-2"},{"method":"card","amount":1,"external_ref":"PAY-2"}]')));
-- In one call: of two equal references the first counts, a taken one refuses its order and no other; the same documents again are the same orders.
SELECT position, order_id IS NOT NULL, sqlstate, message, result FROM oms.place_orders(jsonb_build_array(second('b1', '[{"method":"card","external_ref":"PAY-1"}]'), second('b2', '[{"method":"card","external_ref":"PAY-3"}]'),
    second('b3', '[{"method":"card","external_ref":"PAY-3"}]'), second('b4', '[{"method":"card","external_ref":"PAY-4"}]'))) WHERE order_id IS NULL;
SELECT position, sqlstate FROM oms.place_orders(jsonb_build_array(second('b2', '[{"method":"card","external_ref":"PAY-3"}]'), second('b4', '[{"method":"card","external_ref":"PAY-4"}]'))) ORDER BY 1;
SELECT oms.place_order(second('b4', '[{"method":"card","external_ref":"PAY-4"}]')) ->> 'order_id' = oms.find_order('default', 'b4')::text;
SELECT attempt(format('SELECT oms.place_order(%L)', second('b4', '[{"method":"bank","external_ref":"PAY-4"}]')));
SELECT attempt(format('SELECT oms.add_payment(%s, %L)', oms.find_order('default', 'b4'), '{"method":"card","external_ref":"PAY-1"}'));
SELECT oms.receive_stock('hub', 'OTHER', 9);
SELECT attempt($$SELECT oms.edit_order(1, '{"add":[{"sku":"OTHER","quantity":1,"external_ref":"L-1"}]}')$$);
SELECT oms.edit_order(1, '{"add":[{"sku":"OTHER","quantity":1,"external_ref":"L-2"}],"lines":[{"line_no":1,"external_ref":"L-1"}]}') ->> 'version';
SELECT attempt($$SELECT oms.edit_order(1, '{"lines":[{"line_no":2,"external_ref":"L-1"}]}')$$), attempt($$SELECT oms.edit_order(1, '{"lines":[{"line_no":2,"external_ref":"L-3"}],"add":[{"sku":"OTHER","quantity":1,"external_ref":"L-3"}]}')$$);
SELECT oms.cancel_order(1, '[{"line_no":2,"quantity":1}]') ->> 'status', count(*) FROM oms.find_object('line', 'L-1');
-- Packages, returns, fulfillments and holds.
SELECT oms.release_fulfillment(fulfillment_id) ->> 'status' AS released, fulfillment_id AS f FROM oms.fulfillments WHERE order_id = oms.find_order('default', 'b2') \gset
SELECT attempt(format('SELECT oms.pack_fulfillment(%s, %L)', :f, p)) FROM unnest('{"[{\"external_ref\":\"BOX-2\"},{\"external_ref\":\"BOX-1\"}]","[{\"external_ref\":\"BOX-2\"},{\"external_ref\":\"BOX-2\"}]"}'::text[]) p;
SELECT oms.pack_fulfillment(:f, '[{"external_ref":"BOX-2"},{}]') IS NOT NULL, oms.ship_fulfillment(:f) ->> 'fulfillment_status';
SELECT oms.request_return(oms.find_order('default', 'b2'), '[{"line_no":1,"quantity":1}]', NULL, '{"external_ref":"RMA-1"}') ->> 'external_ref';
SELECT attempt(format('SELECT oms.request_return(%s, %L, NULL, %L)', oms.find_order('default', 'b2'), '[{"line_no":1,"quantity":1}]', '{"external_ref":"RMA-1"}'));
SELECT attempt(format('SELECT oms.exchange_order(%s, %L, NULL, NULL, %L)', oms.find_order('default', 'b2'), '[{"line_no":1,"quantity":1}]', '{"external_ref":"RMA-1"}'));
SELECT attempt(format('SELECT oms.set_external_ref(%L, %s, %L)', 'fulfillment', :f, 'WMS-77')), attempt(format('SELECT oms.set_external_ref(%L, %s, %L)', 'hold', oms.hold_order(oms.find_order('default', 'b4')), 'CASE-9'));
-- What the calls ask, the tables keep.
SELECT attempt(format('UPDATE oms.%I SET external_ref = %L RETURNING 1', t, 'same')) FROM unnest('{fulfillments,packages,payments,holds,items,locations}'::text[]) t;
SELECT attempt($$INSERT INTO oms.returns SELECT (jsonb_populate_record(r, '{"return_id":99}')).* FROM oms.returns r$$);
SELECT attempt($$UPDATE oms.order_lines SET external_ref = 'same' WHERE order_id = 1 RETURNING 1$$);
-- Who has no reference, and whose lines have those of another order's, is not in the way.
SELECT count(*) FILTER (WHERE external_ref = 'L-1') > 2 FROM oms.order_lines;
-- They are there for guards, hold conditions and searches, and survive edits.
SELECT oms.edit_order(:o, '{"notes":"x","lines":[{"line_no":1,"quantity":4,"external_ref":"L-9"}]}') #> '{order,lines,0,attributes}', count(*) FROM oms.find_object('line', 'L-1');
SELECT * FROM oms.find_object('line', 'L-9');
SELECT oms.set_attributes('fulfillment', 1, NULL), oms.release_hold(:h);
SELECT o #> '{fulfillments,0,attributes}' FROM oms.get_order(:o) o;

-- Renamed: what was promised, shipped and recorded under the old name is as it was, and the old document is still the same order.
UPDATE oms.items SET sku = 'NEW', external_ref = 'PIM-9' WHERE sku = 'OLD';
UPDATE oms.locations SET code = 'depot' WHERE code = 'hub';
UPDATE oms.channels SET code = 'web' WHERE code = 'default';
SELECT oms.ship_fulfillment(1) ->> 'fulfillment_status';
SELECT on_hand FROM oms.available('NEW') WHERE location = 'depot';
SELECT oms.request_return(:o, '[{"line_no":1,"quantity":1}]') ->> 'location';
SELECT oms.receive_return(max(return_id)) #>> '{lines,0,sku}' FROM oms.returns;
SELECT oms.get_order(:o) #>> '{lines,0,sku}', oms.get_order(:o, 1) #>> '{lines,0,sku}', oms.find_order('web', '1') = :o;
SELECT oms.place_order('{"channel":"web","external_ref":"9","lines":[{"sku":"NEW","quantity":1}]}') ->> 'status';
UPDATE oms.items SET sku = 'NEWER' WHERE sku = 'NEW';
SELECT oms.place_order('{"channel":"web","external_ref":"9","lines":[{"sku":"NEW","quantity":1}]}') ->> 'status', count(*) FROM oms.orders WHERE external_ref = '9';
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_reference;
