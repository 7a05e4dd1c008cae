-- exchange.sql: other goods for those that come back, and refunds into credit accounts.
\pset pager off
CREATE DATABASE oms_exchange;
\c oms_exchange
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SET oms.clock = '2026-03-01 12:00+00';
SELECT oms.upsert_channels('[{"code":"default","currency":"EUR","capture":"placing"}]');
SELECT oms.upsert_items('[{"sku":"RED","price":10},{"sku":"BLUE","price":10},{"sku":"GOLD","price":25},{"sku":"TIN","price":4}]');
SELECT oms.receive_stock('default', sku, 20) FROM oms.items;
-- A paid and delivered order: every authorization is captured as soon as it is asked for.
CREATE FUNCTION answer_commands() RETURNS void LANGUAGE plpgsql AS $$
DECLARE k record;
BEGIN
    FOR k IN SELECT * FROM oms.payment_commands WHERE status = 'open' ORDER BY command_id LOOP
        PERFORM oms.record_payment_event(k.payment_id, k.type, k.amount, 'command ' || k.command_id);
    END LOOP;
END $$;
CREATE FUNCTION sold(reference text, lines jsonb, adjustments jsonb DEFAULT '[]') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE id bigint := (oms.place_order(jsonb_build_object('external_ref', reference, 'lines', lines, 'adjustments', adjustments,
    'customer', '{"ref":"C1","name":"Ann"}'::jsonb, 'ship_to', '{"city":"Bonn"}'::jsonb, 'payments', '[{"method":"card"}]'::jsonb))->>'order_id')::bigint;
BEGIN
    PERFORM answer_commands();
    PERFORM oms.release_fulfillment(fulfillment_id), oms.ship_fulfillment(fulfillment_id), oms.deliver_fulfillment(fulfillment_id)
    FROM oms.fulfillments WHERE order_id = id;
    RETURN id;
END $$;
CREATE FUNCTION sums(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s: total %s, granted %s, captured %s, refunded %s, due %s, excess %s, %s', o.external_ref, b ->> 'total', b ->> 'granted',
        b ->> 'captured', b ->> 'refunded', b ->> 'due', b ->> 'excess', o.status || ' ' || o.payment_status)
    FROM oms.orders o, oms.order_balance(id) b WHERE o.order_id = id
$$;

-- The same price: the new order is placed at once, and paid when the old goods arrive.
SELECT sold('even', '[{"sku":"RED","quantity":2}]') AS old \gset
SELECT x - '{return,order}'::text[], x -> 'order' ->> 'external_ref', x -> 'order' -> 'customer', x -> 'order' #> '{deliveries,0,ship_to}', x -> 'order' -> 'exchange_of'
FROM oms.exchange_order(:old, '[{"line_no":1,"quantity":1}]', '[{"sku":"BLUE","quantity":1}]', 'too red') x;
SELECT exchange_order_id AS new, return_id AS back FROM oms.returns WHERE order_id = :old \gset
SELECT sums(:old), sums(:new);
SELECT oms.receive_return(:back) ->> 'exchange_order_id' = :new::text;
SELECT sums(:old), sums(:new);
SELECT method, status, account_id IS NOT NULL FROM oms.payments WHERE order_id = :new;
SELECT type, amount FROM oms.payment_events WHERE order_id = :old ORDER BY recorded_at, type;
SELECT oms.credit_balance('exchange-' || :back);
SELECT jsonb_path_query_array(oms.get_order(:old), '$.returns[*].exchange_order_id');
SELECT * FROM oms.audit();

-- Dearer: the customer pays the rest; cheaper: the rest is refunded.
SELECT sold('up', '[{"sku":"RED","quantity":1}]') AS old \gset
SELECT x - '{return,order}'::text[] FROM oms.exchange_order(:old, NULL, '[{"sku":"GOLD","quantity":1}]', 'gold please', '{"refund_on":"approval","order":{"external_ref":"up 2","payments":[{"method":"card","amount":15}]}}') x;
SELECT answer_commands();
SELECT exchange_order_id AS new, return_id AS back FROM oms.returns WHERE order_id = :old \gset
SELECT sums(:old), sums(:new);
SELECT sold('down', '[{"sku":"RED","quantity":1}]', '[{"type":"shipping","amount":5}]') AS old \gset
SELECT x - '{return,order}'::text[] FROM oms.exchange_order(:old, NULL, '[{"sku":"TIN","quantity":1}]', 'tin will do', '{"shipping_refund":"complete"}') x;
SELECT exchange_order_id AS new, return_id AS back FROM oms.returns WHERE order_id = :old \gset
SELECT oms.receive_return(:back) ->> 'status';
SELECT sums(:old), sums(:new);
SELECT oms.request_refund(:old) #> '{commands,0,amount}';
SELECT answer_commands();
SELECT sums(:old);
SELECT * FROM oms.audit();

-- Promised on receipt: a draft until all units are there; cancelling the return ends it, cancelling the order keeps the return.
SELECT sold('wait', '[{"sku":"RED","quantity":2}]') AS old \gset
SELECT x -> 'order' ->> 'status' FROM oms.exchange_order(:old, NULL, '[{"sku":"BLUE","quantity":2}]', 'swap', '{"promise":"receipt"}') x;
SELECT exchange_order_id AS new, return_id AS back FROM oms.returns WHERE order_id = :old \gset
SELECT reserved FROM oms.stock JOIN oms.items USING (item_id) WHERE sku = 'BLUE';
SELECT oms.receive_return(:back, '[{"line_no":1,"quantity":1}]') ->> 'status';
SELECT sums(:old), sums(:new);
SELECT oms.receive_return(:back) ->> 'status';
SELECT sums(:old), sums(:new);
SELECT sold('no', '[{"sku":"RED","quantity":1}]') AS old \gset
SELECT x -> 'order' ->> 'status' FROM oms.exchange_order(:old, NULL, '[{"sku":"BLUE","quantity":1}]', 'swap', '{"promise":"receipt"}') x;
SELECT exchange_order_id AS new, return_id AS back FROM oms.returns WHERE order_id = :old \gset
SELECT oms.cancel_return(:back, 'keeps it') ->> 'status';
SELECT sums(:old), sums(:new);
SELECT sold('keep', '[{"sku":"RED","quantity":1}]') AS old \gset
SELECT x -> 'order' ->> 'status' FROM oms.exchange_order(:old, NULL, '[{"sku":"BLUE","quantity":1}]', 'swap') x;
SELECT exchange_order_id AS new, return_id AS back FROM oms.returns WHERE order_id = :old \gset
SELECT oms.cancel_order(:new) ->> 'status';
SELECT oms.receive_return(:back) ->> 'status';
SELECT sums(:old), sums(:new);
SELECT * FROM oms.audit();

-- No stock on receipt: the return is received all the same, the draft waits and can be placed later; then it is paid.
SELECT sold('late', '[{"sku":"RED","quantity":1}]') AS old \gset
SELECT x -> 'order' ->> 'status' FROM oms.exchange_order(:old, NULL, '[{"sku":"GOLD","quantity":1}]', 'swap', '{"promise":"receipt"}') x;
SELECT exchange_order_id AS new, return_id AS back FROM oms.returns WHERE order_id = :old \gset
SELECT oms.adjust_stock('default', 'GOLD', -19, 'burnt');
SELECT oms.receive_return(:back) ->> 'status';
SELECT type, reason FROM oms.events WHERE order_id = :new ORDER BY event_id;
SELECT oms.receive_stock('default', 'GOLD', 5);
SELECT oms.place_draft(:new) ->> 'status';
SELECT sums(:old), sums(:new);

-- A rule that wants approval keeps the new order a draft until then.
INSERT INTO oms.return_rules (reason, approval) VALUES ('odd', 'required');
SELECT sold('ask', '[{"sku":"RED","quantity":1}]') AS old \gset
SELECT x -> 'order' ->> 'status' FROM oms.exchange_order(:old, NULL, '[{"sku":"BLUE","quantity":1}]', 'odd') x;
SELECT exchange_order_id AS new, return_id AS back FROM oms.returns WHERE order_id = :old \gset
SELECT oms.approve_return(:back) ->> 'status';
SELECT sums(:new);

-- The same again without goods back: what it was worth to the cent, with discount and tax; the units are replaced.
SELECT sold('claim', '[{"sku":"RED","quantity":3,"unit_price":"9.99"}]', '[{"type":"discount","amount":"1.00"},{"type":"tax","amount":"2.00"},{"type":"tax","amount":"0.50","included":true},{"type":"shipping","amount":"4.90"}]') AS old \gset
SELECT x - '{return,order}'::text[], x -> 'order' -> 'totals' FROM oms.exchange_order(:old, '[{"line_no":1,"quantity":1}]', NULL, 'broken', '{"goods_back":false}') x;
SELECT exchange_order_id AS new FROM oms.returns WHERE order_id = :old \gset
SELECT sums(:old), sums(:new);
SELECT shipped, delivered, returned, replaced, written_off FROM oms.order_lines WHERE order_id = :old;
SELECT fulfillment_status FROM oms.orders WHERE order_id = :old;
SELECT * FROM oms.audit();

-- What makes no sense is refused and changes nothing.
SELECT count(*) AS orders FROM oms.orders \gset
SELECT oms.exchange_order(:old, NULL, '[{"sku":"BLUE","quantity":1}]', 'x', '{"order":{"lines":[],"channel":"web"},"promise":"soon"}');
SELECT oms.exchange_order(:old, '[{"line_no":1,"quantity":9}]', '[{"sku":"BLUE","quantity":1}]');
SELECT oms.exchange_order(:old, '[{"line_no":1,"quantity":1}]', '[{"sku":"NONE","quantity":1}]');
SELECT oms.exchange_order(:old, '[{"line_no":1,"quantity":1}]', '[{"sku":"BLUE","quantity":999}]');
SELECT oms.exchange_order(:old, '[{"line_no":1,"quantity":1}]', '[{"sku":"BLUE","quantity":1}]', options => '{"order":{"external_ref":"up 2"}}');
SELECT oms.exchange_order(999, NULL, NULL);
SELECT count(*) = :orders FROM oms.orders;
SELECT oms.exchange_order(:old, '[{"line_no":1,"quantity":1}]', '[{"sku":"BLUE","quantity":1}]', 'once', idempotency_key => 'x1')
     = oms.exchange_order(:old, '[{"line_no":1,"quantity":1}]', '[{"sku":"BLUE","quantity":1}]', 'once', idempotency_key => 'x1');

-- A refund becomes store credit at once; a gift card that paid is not paid back as well.
SELECT sold('credit', '[{"sku":"RED","quantity":2}]') AS old \gset
SELECT oms.receive_return((oms.request_return(:old, '[{"line_no":1,"quantity":1}]') ->> 'return_id')::bigint) ->> 'status';
SELECT oms.request_refund(:old, account => 'nobody');
SELECT oms.issue_credit('ANN', 1, 'EUR', 'store_credit');
SELECT oms.request_refund(:old, 11, account => 'ANN');
SELECT oms.request_refund(:old, 4, account => 'ANN') ->> 'excess';
SELECT oms.request_refund(:old, account => 'ANN') ->> 'excess';
SELECT oms.credit_balance('ANN') ->> 'balance';
SELECT sums(:old);
SELECT amount, status FROM oms.refunds WHERE order_id = :old;
SELECT * FROM oms.audit();

-- audit() finds money that left a payment and arrived nowhere, and exchanges for nothing.
BEGIN;
SET LOCAL session_replication_role = replica;  -- no guard fires
DELETE FROM oms.credit_entries WHERE type = 'transfer' AND order_id = :old;
SELECT "check", expected, found FROM oms.audit() WHERE "check" = 'credit.transfer';
UPDATE oms.returns SET exchange_order_id = 12345 WHERE return_id = (SELECT max(return_id) FROM oms.returns);
SELECT "check", expected, found FROM oms.audit() WHERE "check" = 'orphan.exchange';
ROLLBACK;
\c postgres
DROP DATABASE oms_exchange;
