-- document_fault.sql: what is wrong with a document is listed whole, with its place, and nothing is written.
\pset pager off
CREATE DATABASE oms_document_fault;
\c oms_document_fault
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;

-- sqlstate | message | detail | hint, or the answer
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text; state text; message text; detail text; hint text;
BEGIN
    EXECUTE call INTO answer;
    RETURN 'done: ' || coalesce(answer, 'null');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL,
        hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(' | ', state, left(message, 300), right(detail, 1200), left(hint, 300));
END $$;

-- Rows of every table of the schema, and the counters.
CREATE FUNCTION fingerprint() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    relation regclass; rows bigint; answer text := '';
BEGIN
    FOR relation IN SELECT oid FROM pg_class WHERE relnamespace = 'oms'::regnamespace AND relkind IN ('r', 'p')
                    AND NOT relispartition ORDER BY relname LOOP
        EXECUTE format('SELECT count(*) FROM %s', relation) INTO rows;
        answer := answer || relation || ' ' || rows || ', ';
    END LOOP;
    RETURN answer || (SELECT format('on hand %s reserved %s', sum(on_hand), sum(reserved)) FROM oms.stock);
END $$;

SELECT oms.upsert_channels('[{"code":"closed","active":false},{"code":"yen","currency":"JPY"}]');
SELECT oms.upsert_locations('[{"code":"shop","kind":"store","pickup":true,"ships":false}]');
SELECT oms.upsert_items('[{"sku":"A","price":2},{"sku":"OFF","active":false},{"sku":"BIG","price":1}]');
SELECT oms.receive_stock('default', 'A', 10000), oms.receive_stock('default', 'BIG', 1000000000);
SELECT oms.place_order('{"external_ref":"known","lines":[{"sku":"A","quantity":2}]}') IS NOT NULL;
CREATE TABLE before AS SELECT fingerprint() AS print;

CREATE TABLE documents (n int GENERATED ALWAYS AS IDENTITY, what text, doc jsonb);
INSERT INTO documents (what, doc) VALUES
 ('null', NULL), ('json null', 'null'), ('array', '[]'), ('text', '"order"'), ('number', '1'), ('empty object', '{}'),
 ('no lines', '{"external_ref":"x","lines":[]}'),
 ('lines no array', '{"external_ref":"x","lines":{}}'),
 ('line no object', '{"external_ref":"x","lines":[1,null,"a",[]]}'),
 ('all at once', '{"external_ref":"","colour":"red","currency":5,"lines":[{"quantity":0},{"sku":7,"quantity":"2"},{"sku":"A","quantity":1.5,"size":1}]}'),
 ('quantities', '{"external_ref":"x","lines":[{"sku":"A","quantity":-1},{"sku":"A","quantity":1000000001},{"sku":"A","quantity":1e400},{"sku":"A","quantity":0.5},{"sku":"A","quantity":null}]}'),
 ('weights', '{"external_ref":"x","lines":[{"sku":"A","quantity":2,"attributes":{"weight_grams":1e400},"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":1,"quantity":1}]},{"sku":"A","quantity":1,"attributes":{"weight_grams":"5"}},{"sku":"A","quantity":1,"attributes":{"weight_grams":-1}},{"sku":"A","quantity":1,"attributes":{"weight_grams":1000000001}},{"sku":"A","quantity":1,"attributes":{"weight_grams":[5]}}]}'),
 ('unknown codes', '{"channel":"nowhere","external_ref":"x","pickup_location":"moon","method":"pickup","lines":[{"sku":"Z","quantity":1},{"sku":"a","quantity":1}]}'),
 ('unknown places', '{"external_ref":"x","pickup_location":"moon","method":"pickup","lines":[{"sku":"A","quantity":1,"location":"mars"}]}'),
 ('channel off', '{"channel":"closed","external_ref":"x","lines":[{"sku":"A","quantity":1}]}'),
 ('item off', '{"external_ref":"x","lines":[{"sku":"OFF","quantity":1}]}'),
 ('duplicate line_no', '{"external_ref":"x","lines":[{"line_no":1,"sku":"A","quantity":1},{"line_no":1,"sku":"A","quantity":1}]}'),
 ('some line_no', '{"external_ref":"x","lines":[{"line_no":1,"sku":"A","quantity":1},{"sku":"A","quantity":1}]}'),
 ('duplicate line reference', '{"external_ref":"x","lines":[{"external_ref":"l","sku":"A","quantity":1},{"external_ref":"l","sku":"A","quantity":1}]}'),
 ('currency', '{"external_ref":"x","currency":"EURO","lines":[{"sku":"A","quantity":1}]}'),
 ('currency of prices', '{"external_ref":"x","currency":"USD","lines":[{"sku":"A","quantity":1}]}'),
 ('NaN', '{"external_ref":"x","lines":[{"sku":"A","quantity":1,"unit_price":"NaN"}]}'),
 ('Infinity', '{"external_ref":"x","lines":[{"sku":"A","quantity":1,"unit_price":"Infinity"}],"total":"-Infinity"}'),
 ('odd amounts', '{"external_ref":"x","lines":[{"sku":"A","quantity":1,"unit_price":"1e3"},{"sku":"A","quantity":1,"unit_price":"."},{"sku":"A","quantity":1,"unit_price":-1},{"sku":"A","quantity":1,"unit_price":1e20}]}'),
 ('adjustments', '{"external_ref":"x","lines":[{"sku":"A","quantity":1,"adjustments":[{"type":"tax","amount":0.001},{"type":"gift","amount":1}]}],"adjustments":[{"type":"fee","amount":-1},{"type":"fee","amount":1,"included":true},{"amount":1},{"type":"tax"}]}'),
 ('money rules', '{"external_ref":"x","lines":[{"sku":"A","quantity":1,"adjustments":[{"type":"tax","amount":0.001}]}],"adjustments":[{"type":"fee","amount":-1}]}'),
 ('below zero', '{"external_ref":"x","lines":[{"sku":"A","quantity":1}],"adjustments":[{"type":"discount","amount":3}]}'),
 ('total', '{"external_ref":"x","total":3,"lines":[{"sku":"A","quantity":1}]}'),
 ('payments', '{"external_ref":"x","lines":[{"sku":"A","quantity":1}],"payments":[{"method":"card","amount":1,"currency":"USD"},{"method":"card","amount":0.001}]}'),
 ('pickup', '{"external_ref":"x","method":"pickup","lines":[{"sku":"A","quantity":1}]}'),
 ('pickup at a warehouse', '{"external_ref":"x","method":"pickup","pickup_location":"default","lines":[{"sku":"A","quantity":1}]}'),
 ('method', '{"external_ref":"x","method":"teleport","lines":[{"sku":"A","quantity":1}]}'),
 ('address', '{"external_ref":"x","ship_to":{"latitude":91,"longitude":"east","planet":"Mars"},"bill_to":{"country":7},"lines":[{"sku":"A","quantity":1}]}'),
 ('time', '{"external_ref":"x","requested_at":"soon","lines":[{"sku":"A","quantity":1}]}'),
 ('time of a special name', '{"external_ref":"x","requested_at":"infinity","lines":[{"sku":"A","quantity":1}]}'),
 ('short of stock', '{"external_ref":"x","lines":[{"sku":"A","quantity":9000},{"sku":"A","quantity":999},{"sku":"BIG","quantity":1}]}'),
 ('too many units', '{"external_ref":"x","lines":[{"sku":"BIG","quantity":1000000000},{"sku":"BIG","quantity":1}]}'),
 ('other document', '{"external_ref":"known","lines":[{"sku":"A","quantity":3}]}'),
 ('other document, short of stock', '{"external_ref":"known","lines":[{"sku":"A","quantity":30000}]}');
INSERT INTO documents (what, doc) VALUES
 ('code of 201 bytes', jsonb_build_object('external_ref', repeat('x', 201), 'lines', '[{"sku":"A","quantity":1}]'::jsonb)),
 ('code of 201 bytes in 101 characters', jsonb_build_object('external_ref', repeat('ä', 100) || 'x', 'lines', '[{"sku":"A","quantity":1}]'::jsonb)),
 ('5,001 lines', jsonb_build_object('external_ref', 'x', 'lines',
     (SELECT jsonb_agg(jsonb_build_object('sku', 'A', 'quantity', 1)) FROM generate_series(1, 5001)))),
 ('deep nesting in attributes', jsonb_build_object('external_ref', 'x', 'attributes', (repeat('{"a":', 500) || '1' || repeat('}', 500))::jsonb,
     'lines', '[{"sku":"Z","quantity":1}]'::jsonb)),
 ('deep nesting instead of lines', jsonb_build_object('external_ref', 'x', 'lines', (repeat('[', 500) || repeat(']', 500))::jsonb)),
 ('many faults', jsonb_build_object('external_ref', 'x', 'lines',
     (SELECT jsonb_agg(jsonb_build_object('sku', 'Z' || n, 'quantity', 1)) FROM generate_series(1, 105) n)));
\pset tuples_only on
\pset format unaligned
SELECT '-- ' || what || E'\n' || attempt(format('SELECT oms.place_order(%L)', doc)) FROM documents ORDER BY n;
-- A preview refuses the same documents in the same words, but for a reference that exists.
SELECT what, attempt(format('SELECT oms.place_order(%L)', doc)), attempt(format('SELECT oms.preview_order(%L)', doc))
FROM documents WHERE what NOT LIKE 'other document%'
AND attempt(format('SELECT oms.place_order(%L)', doc)) <> attempt(format('SELECT oms.preview_order(%L)', doc));
SELECT CASE WHEN fingerprint() = print THEN 'nothing is written' ELSE fingerprint() || ' before: ' || print END FROM before;

-- Null in place of each argument of each public function, every other argument null too.
SELECT p.oid::regprocedure || E'\n    ' ||
       attempt(format('SELECT oms.%I(%s)', proname, (SELECT string_agg('NULL::' || t::regtype, ', ' ORDER BY n)
                                                     FROM unnest(proargtypes::oid[]) WITH ORDINALITY a(t, n))))
FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
WHERE pronamespace = 'oms'::regnamespace AND prokind = 'f' AND prorettype <> 'trigger'::regtype AND pronargs > 0
      AND proname = ANY ('{place_order,preview_order,get_order,find_order,order_timeline,confirm_order,cancel_order,available,
        receive_stock,adjust_stock,count_stock,set_stock_limits,release_fulfillment,accept_fulfillment,pick_fulfillment,
        pack_fulfillment,ready_for_pickup,ship_fulfillment,pick_up_fulfillment,deliver_fulfillment,cancel_fulfillment,
        add_payment,record_payment_event,order_balance,upsert_items,upsert_locations,upsert_channels,state_diagram,
        init_tenant,create_partitions,check_transition}'::text[])
ORDER BY proname COLLATE "C";

-- Upserts
SELECT '-- ' || call || E'\n' || attempt(call) FROM (VALUES
 (2, $$SELECT oms.upsert_items('{}')$$), (3, $$SELECT oms.upsert_items('[{"sku":"N"},{"sku":"N"}]')$$),
 (4, $$SELECT oms.upsert_items('[{"name":"no sku"},{"sku":"N","price":-1,"kind":"soft","weight_grams":-5}]')$$),
 (5, $$SELECT oms.upsert_locations('[{"code":"n","latitude":1}]')$$), (6, $$SELECT oms.upsert_locations('[{"code":"n","channels":["nowhere"]}]')$$),
 (7, $$SELECT oms.upsert_locations('[{"code":"n","country":"Germany","time_zone":"Mars/Base"}]')$$),
 (8, $$SELECT oms.upsert_channels('[{"code":"n","currency":"eur"},{"code":"m","time_zone":"Mars/Base"}]')$$),
 (9, $$SELECT oms.upsert_channels('[{"code":"n","capture":"never","confirmation":1}]')$$),
 (10, $$SELECT oms.receive_stock('default', 'A', 0)$$), (11, $$SELECT oms.receive_stock('default', 'A', -1)$$),
 (12, $$SELECT oms.receive_stock('default', 'BIG', 1)$$), (13, $$SELECT oms.receive_stock('moon', 'A', 1)$$),
 (14, $$SELECT oms.receive_stock('default', 'Z', 1)$$), (15, $$SELECT oms.adjust_stock('default', 'A', 0, 'r')$$),
 (16, $$SELECT oms.adjust_stock('default', 'A', -9999, 'r')$$), (17, $$SELECT oms.adjust_stock('default', 'A', 1, '')$$),
 (18, $$SELECT oms.count_stock('default', 'A', -1)$$), (19, $$SELECT oms.set_stock_limits('default', 'A', -1)$$),
 (20, $$SELECT oms.receive_stock('default', 'A', 1, idempotency_key => repeat('k', 201))$$), (21, $$SELECT oms.receive_stock('default', 'A', 1, idempotency_key => '')$$),
 (22, $$SELECT oms.get_order(0)$$), (23, $$SELECT oms.get_order(-1)$$), (24, $$SELECT oms.cancel_order(99)$$),
 (25, $$SELECT oms.cancel_order(1, '[]')$$), (26, $$SELECT oms.cancel_order(1, '[{"line_no":7},{"line_no":1}]')$$),
 (27, $$SELECT oms.cancel_order(1, '[{"line_no":1,"quantity":3}]')$$), (28, $$SELECT oms.cancel_order(1, '[{"line_no":1},{"line_no":1}]')$$),
 (29, $$SELECT oms.cancel_order(1, '{"line_no":1}')$$), (30, $$SELECT oms.pick_fulfillment(1, '[{"line_no":2,"quantity":1}]')$$),
 (31, $$SELECT oms.ship_fulfillment(1, '{"lines":[]}')$$), (32, $$SELECT oms.ship_fulfillment(1, '[]')$$),
 (33, $$SELECT oms.pack_fulfillment(1, '[{"weight_grams":-1}]')$$), (34, $$SELECT oms.add_payment(1, '{"amount":1}')$$),
 (35, $$SELECT oms.add_payment(1, '{"method":"card","amount":-1}')$$), (36, $$SELECT oms.record_payment_event(1, 'capture', 1, 'r')$$),
 (42, $$SELECT oms.edit_order(1, '{"lines":[{"line_no":1,"attributes":{"weight_grams":1000000001}}],"add":[{"sku":"A","quantity":1,"attributes":{"weight_grams":-1}}]}')$$),
 (43, $$SELECT oms.edit_order(1, '{"add":[{"sku":"A","quantity":1,"attributes":{"weight_grams":"5"}}]}')$$),
 (37, $$SELECT * FROM oms.available('A', 'nowhere')$$), (38, $$SELECT oms.find_order('nowhere', 'x')$$),
 (39, $$SELECT oms.find_order('default', 'nothing')$$), (40, $$SELECT oms.state_diagram('nothing')$$), (41, $$SELECT oms.state_diagram('order', 'png')$$)
) c(n, call) ORDER BY n;
SELECT CASE WHEN fingerprint() = print THEN 'nothing is written' ELSE fingerprint() || ' before: ' || print END FROM before;

-- At the limits
SELECT attempt($$SELECT oms.preview_order('{"external_ref":"x","lines":[{"sku":"A","quantity":1,"attributes":{"weight_grams":0}},{"sku":"A","quantity":1,"attributes":{"weight_grams":1000000000}},{"sku":"A","quantity":1,"attributes":{"weight_grams":12.5}},{"sku":"A","quantity":1,"attributes":{"weight_grams":null}}]}') -> 'fulfillment_status'$$);
SELECT attempt(format('SELECT oms.place_order(%L)->>''status''', jsonb_build_object('external_ref', repeat('ä', 100), 'lines',
    (SELECT jsonb_agg(jsonb_build_object('sku', 'A', 'quantity', 1)) FROM generate_series(1, 5000)))));
SELECT count(*), sum(allocated) FROM oms.order_lines;
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_document_fault;
