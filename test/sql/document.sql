-- Bad input: a clear error with the place of every fault, and nothing written.
SET client_min_messages = warning;
CREATE FUNCTION footprint() RETURNS text LANGUAGE plpgsql AS $$
DECLARE t text; n bigint; total bigint := 0;
BEGIN
    FOR t IN SELECT relname FROM pg_class WHERE relnamespace = 'oms'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition LOOP
        EXECUTE format('SELECT count(*) FROM oms.%I', t) INTO n;
        total := total + n;
    END LOOP;
    RETURN total || ' rows, ' || (SELECT coalesce(sum(reserved), 0) || ' reserved, ' || coalesce(sum(on_hand), 0) || ' on hand' FROM oms.stock);
END $$;
CREATE FUNCTION try(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE message text; detail text; hint text; state text; before text := footprint();
BEGIN
    BEGIN
        EXECUTE statement;
        RETURN 'accepted';
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE;
    END;
    IF footprint() <> before THEN RAISE EXCEPTION 'something was written'; END IF;
    RETURN state || ' | ' || message || ' | ' || replace(detail, E'\n', ' / ') || CASE WHEN hint = '' THEN ' | NO HINT' ELSE '' END;
END $$;
CREATE FUNCTION try_order(doc text) RETURNS text LANGUAGE sql AS $$ SELECT try(format('SELECT oms.place_order(%L)', doc)) $$;

SELECT oms.upsert_items('[{"sku":"GOOD"}]'), oms.receive_stock('default', 'GOOD', 100000);
SELECT doc, try_order(doc) AS outcome FROM unnest(ARRAY[
    '{}', '[]', '1', 'null', '"text"',
    '{"external_ref":"x","lines":[]}', '{"external_ref":"x","lines":{}}', '{"external_ref":"x","lines":[1]}',
    '{"external_ref":"x","lines":[{}]}', '{"external_ref":"x","lines":[null]}',
    '{"external_ref":"","lines":[{"sku":"GOOD","quantity":1}]}', '{"external_ref":7,"lines":[{"sku":"GOOD","quantity":1}]}',
    '{"external_ref":null,"lines":[{"sku":"GOOD","quantity":1}]}',
    '{"external_ref":"x","channel":"nowhere","lines":[{"sku":"BAD","quantity":1},{"sku":"WORSE","quantity":1}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":0}]}', '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":-5}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1.5}]}', '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":"2"}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1000000001}]}', '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1e400}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1000000000},{"sku":"GOOD","quantity":1}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1,"line_no":1},{"sku":"GOOD","quantity":1,"line_no":1}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1,"line_no":1},{"sku":"GOOD","quantity":1}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1,"external_ref":"a"},{"sku":"GOOD","quantity":1,"external_ref":"a"}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1,"colour":"red"}],"gift":true}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1,"unit_price":"NaN"}]}', '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1,"unit_price":-1}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1,"unit_price":"Infinity"}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1,"unit_price":1e30}]}',
    '{"external_ref":"x","currency":"XXQ","lines":[{"sku":"GOOD","quantity":1}]}', '{"external_ref":"x","currency":"eur","lines":[{"sku":"GOOD","quantity":1}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1}],"payments":[{"method":"card","currency":"USD","amount":"1.001"}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1}],"payments":[{"amount":1,"status":"maybe"}]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1}],"ship_to":{"latitude":91,"longitude":"east","planet":"Mars"}}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1}],"requested_at":"yesterday-ish"}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1}],"method":"teleport"}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1}],"attributes":[1]}',
    '{"external_ref":"x","lines":[{"sku":"GOOD","quantity":1,"location":"moon"}]}'
]) doc;

-- Limits: at them and one above.
SELECT n, left(try_order(jsonb_build_object('external_ref', 'many' || n, 'lines',
       (SELECT jsonb_agg(jsonb_build_object('sku', 'GOOD', 'quantity', 1)) FROM generate_series(1, n)))::text), 120)
FROM unnest(ARRAY[5000, 5001]) n;
SELECT n, left(try_order(format('{"external_ref":"%s","lines":[{"sku":"GOOD","quantity":1}]}', repeat('x', n))), 120)
FROM unnest(ARRAY[200, 201]) n;
SELECT try(format('SELECT oms.receive_stock(''default'', ''GOOD'', 1, idempotency_key => %L)', repeat('k', n))) FROM unnest(ARRAY[200, 201]) n;
SELECT try(format('SELECT oms.receive_stock(''default'', ''GOOD'', %s)', 1000000000 - on_hand + n))
FROM (SELECT on_hand FROM oms.available('GOOD')) s, unnest(ARRAY[1]) n;
SELECT left(try_order(format('{"external_ref":"big","notes":"%s","lines":[{"sku":"GOOD","quantity":1}]}', repeat('n', 8 * 1024 * 1024))), 100);

-- NULL everywhere.
SELECT p.oid::regproc AS function, try(format('SELECT * FROM %s(%s)', p.oid::regproc,
       (SELECT string_agg('NULL', ', ') FROM generate_series(1, p.pronargs)))) AS outcome
FROM pg_proc p WHERE p.pronamespace = 'oms'::regnamespace AND p.prokind = 'f' AND p.proname !~ '^(init_|invalidate|check_|create_part)'
  AND p.prorettype <> 'trigger'::regtype AND p.prolang = (SELECT oid FROM pg_language WHERE lanname = 'c')
  AND p.proname IN ('place_order', 'preview_order', 'get_order', 'find_order', 'order_timeline', 'cancel_order', 'confirm_order',
                    'receive_stock', 'adjust_stock', 'count_stock', 'set_stock_limits', 'available', 'upsert_items',
                    'upsert_locations', 'upsert_channels', 'release_fulfillment', 'accept_fulfillment', 'pick_fulfillment',
                    'pack_fulfillment', 'ready_for_pickup', 'ship_fulfillment', 'pick_up_fulfillment', 'deliver_fulfillment',
                    'cancel_fulfillment', 'add_payment', 'record_payment_event', 'order_balance', 'state_diagram')
ORDER BY 1;

-- Bulk documents.
SELECT try(s) FROM unnest(ARRAY[
    $$SELECT oms.upsert_items('{}')$$, $$SELECT oms.upsert_items('[{"sku":"A","kind":"liquid"},{"sku":"A"},{"name":"no sku"}]')$$,
    $$SELECT oms.upsert_items('[{"sku":"A","weight_grams":-1,"price":"x"}]')$$,
    $$SELECT oms.upsert_locations('[{"code":"L","latitude":12}]')$$, $$SELECT oms.upsert_locations('[{"code":"L","country":"Germany","channels":[{"channel":"none"}]}]')$$,
    $$SELECT oms.upsert_channels('[{"code":"c","currency":"EURO","time_zone":"Mars/Olympus"}]')$$,
    $$SELECT oms.upsert_channels('[{"code":"c","time_zone":"Mars/Olympus"}]')$$,
    $$SELECT oms.receive_stock('nowhere', 'GOOD', 1)$$, $$SELECT oms.receive_stock('default', 'BAD', 1)$$,
    $$SELECT oms.receive_stock('default', 'GOOD', 0)$$, $$SELECT oms.receive_stock('default', 'GOOD', -1)$$,
    $$SELECT oms.adjust_stock('default', 'GOOD', -2000000000, 'theft')$$, $$SELECT oms.adjust_stock('default', 'GOOD', -900000000, 'theft')$$,
    $$SELECT oms.adjust_stock('default', 'GOOD', 1, '')$$, $$SELECT oms.count_stock('default', 'GOOD', -1)$$,
    $$SELECT oms.ship_fulfillment(999999)$$, $$SELECT oms.record_payment_event(999999, 'capture', 1, 'x')$$,
    $$SELECT oms.add_payment(999999, '{"method":"card"}')$$]) s;
SELECT * FROM oms.audit();
DROP FUNCTION try_order, try, footprint;
