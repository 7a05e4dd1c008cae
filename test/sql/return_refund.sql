-- return_refund.sql: what returned units are worth, to the cent, and when it is granted.
\pset pager off
CREATE DATABASE oms_return_refund;
\c oms_return_refund
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\set VERBOSITY default
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":7},{"sku":"C","price":1}]');
SELECT oms.upsert_channels('[{"code":"eur"},{"code":"jpy","currency":"JPY"},{"code":"kwd","currency":"KWD"}]');
SELECT oms.receive_stock('default', sku, 100000) > 0 AS received FROM unnest(ARRAY['A', 'B', 'C']) sku;

CREATE FUNCTION shipped(document jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE id bigint := (oms.place_order(document || '{"payments":[{"method":"card","status":"captured"}]}')->>'order_id')::bigint;
BEGIN
    PERFORM oms.release_fulfillment(fulfillment_id) FROM oms.fulfillments f WHERE order_id = id;
    PERFORM oms.ship_fulfillment(fulfillment_id) FROM oms.fulfillments f WHERE order_id = id;
    RETURN id;
END $$;
-- Returns units in one go and answers what came of it.
CREATE FUNCTION back(id bigint, lines jsonb, options jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE return_id bigint := (oms.request_return(id, lines, NULL, options)->>'return_id')::bigint; answer jsonb;
BEGIN
    PERFORM oms.receive_return(return_id);
    answer := oms.close_return(return_id)->'refund';
    RETURN format('items %s discount %s tax %s (included %s) charges %s fee %s: %s, granted %s; order %s due %s', answer->>'items',
        answer->>'discount', answer->>'tax', answer->>'included_tax', answer->>'charges', answer->>'fee', answer->>'total',
        answer->>'granted', oms.order_balance(id)->>'payment_status', oms.order_balance(id)->>'due');
END $$;
\pset tuples_only on
\pset format unaligned

-- Discounts, taxes on top and shipping, returned in four steps: in the end it is the whole order.
SELECT shipped('{"channel":"eur","external_ref":"1","lines":[
    {"sku":"A","quantity":3,"adjustments":[{"type":"discount","amount":1},{"type":"tax","amount":5.51}]},{"sku":"B","quantity":2}],
    "adjustments":[{"type":"discount","amount":5},{"type":"tax","amount":2.66},{"type":"shipping","amount":4.9},{"type":"fee","amount":0.99}]}') AS id \gset
SELECT total FROM oms.orders WHERE order_id = :id;
SELECT back(:id, '[{"line_no":1,"quantity":1}]');
SELECT back(:id, '[{"line_no":2,"quantity":1}]');
SELECT back(:id, '[{"line_no":1,"quantity":1}]');
SELECT back(:id, '[{"line_no":1,"quantity":1},{"line_no":2,"quantity":1}]');
SELECT sum(amount) FROM oms.refunds WHERE order_id = :id;
SELECT line_no, sum(refund) FROM oms.return_lines WHERE order_id = :id GROUP BY line_no ORDER BY line_no;

-- Shipping in proportion, or not at all.
SELECT shipped('{"channel":"eur","external_ref":"2","lines":[{"sku":"A","quantity":3}],"adjustments":[{"type":"shipping","amount":5}]}') AS id \gset
SELECT back(:id, '[{"line_no":1,"quantity":1}]', '{"shipping_refund":"proportional"}');
SELECT back(:id, '[{"line_no":1,"quantity":1}]', '{"shipping_refund":"none"}');
SELECT back(:id, '[{"line_no":1,"quantity":1}]', '{"shipping_refund":"proportional"}');
SELECT shipped('{"channel":"eur","external_ref":"3","lines":[{"sku":"A","quantity":1}],"adjustments":[{"type":"shipping","amount":5}]}') AS id \gset
SELECT back(:id, NULL, '{"shipping_refund":"none"}');

-- Taxes that prices contain come back with them.
SELECT shipped('{"channel":"eur","external_ref":"4","lines":[{"sku":"B","quantity":3,"adjustments":[{"type":"tax","amount":3.35,"included":true}]}]}') AS id \gset
SELECT back(:id, '[{"line_no":1,"quantity":2}]');
SELECT back(:id, NULL);

-- Restocking fees: a percentage, a fixed amount, both; never more than the goods are worth.
SELECT shipped('{"channel":"eur","external_ref":"5","lines":[{"sku":"B","quantity":9}]}') AS id \gset
SELECT back(:id, '[{"line_no":1,"quantity":1}]', '{"restocking_percent":15}');
SELECT back(:id, '[{"line_no":1,"quantity":1}]', '{"restocking_fee":2.5}');
SELECT back(:id, '[{"line_no":1,"quantity":1}]', '{"restocking_fee":2.5,"restocking_percent":12.25}');
SELECT back(:id, '[{"line_no":1,"quantity":1}]', '{"restocking_fee":250}');
-- One fee for a return that comes in parts.
SELECT oms.request_return(:id, '[{"line_no":1,"quantity":3}]', NULL, '{"restocking_fee":2.5,"restocking_percent":33.33}')->>'return_id' AS ret \gset
SELECT oms.receive_return(:ret, '[{"line_no":1,"quantity":1}]')->'refund'->>'total';
SELECT oms.receive_return(:ret, '[{"line_no":1,"quantity":1}]')->'refund'->>'total';
SELECT oms.receive_return(:ret, '[{"line_no":1,"quantity":1}]')->'refund';
SELECT amount, reason, return_id FROM oms.refunds WHERE return_id = :ret ORDER BY refund_id;
SELECT oms.request_return(:id, NULL, NULL, '{"restocking_percent":100.01,"shipping_refund":"half"}');
SELECT oms.request_return(:id, NULL, NULL, '{"restocking_percent":33.333}');
SELECT oms.request_return(:id, NULL, NULL, '{"restocking_fee":0.001}');
SELECT oms.request_return(:id, NULL, NULL, '{"restocking_fee":-1}');

-- Currencies without and with three decimals.
SELECT shipped('{"channel":"jpy","external_ref":"6","lines":[{"sku":"B","quantity":3,"unit_price":333}],"adjustments":[{"type":"discount","amount":100}]}') AS id \gset
SELECT back(:id, '[{"line_no":1,"quantity":1}]');
SELECT back(:id, '[{"line_no":1,"quantity":1}]');
SELECT back(:id, '[{"line_no":1,"quantity":1}]');
SELECT shipped('{"channel":"kwd","external_ref":"7","lines":[{"sku":"B","quantity":3,"unit_price":0.333}],"adjustments":[{"type":"discount","amount":0.1}]}') AS id \gset
SELECT back(:id, '[{"line_no":1,"quantity":1}]');
SELECT back(:id, '[{"line_no":1,"quantity":2}]');

-- Units cancelled before are no part of it; what was granted otherwise is not granted again.
SELECT shipped('{"channel":"eur","external_ref":"8","lines":[{"sku":"A","quantity":4},{"sku":"B","quantity":1}],"adjustments":[{"type":"discount","amount":3}]}') AS id \gset
SELECT oms.grant_refund(:id, 5, 'late');
SELECT back(:id, '[{"line_no":1,"quantity":4}]');
SELECT back(:id, NULL);
SELECT (oms.place_order('{"channel":"eur","external_ref":"9","lines":[{"sku":"A","quantity":4},{"sku":"B","quantity":1}],
    "adjustments":[{"type":"discount","amount":4.7}]}')->>'order_id') AS id \gset
SELECT oms.cancel_order(:id, '[{"line_no":1,"quantity":3}]')->'totals'->>'total';
SELECT count(oms.release_fulfillment(fulfillment_id)) FROM oms.fulfillments WHERE order_id = :id;
SELECT count(oms.ship_fulfillment(fulfillment_id)) FROM oms.fulfillments WHERE order_id = :id;
SELECT back(:id, '[{"line_no":2,"quantity":1}]');
SELECT back(:id, NULL);

-- When: on approval, on closing, by hand.
SELECT shipped('{"channel":"eur","external_ref":"10","lines":[{"sku":"A","quantity":6}]}') AS id \gset
SELECT oms.request_return(:id, '[{"line_no":1,"quantity":3}]', NULL, '{"refund_on":"approval"}')->'refund'->>'granted';
SELECT max(return_id) AS ret FROM oms.returns \gset
SELECT oms.receive_return(:ret, '[{"line_no":1,"quantity":1}]')->'refund'->>'granted';
SELECT oms.close_return(:ret)->'refund';
SELECT amount, status FROM oms.refunds WHERE order_id = :id ORDER BY refund_id;
SELECT oms.request_return(:id, '[{"line_no":1,"quantity":2}]', NULL, '{"refund_on":"approval"}')->'refund'->>'granted';
SELECT max(return_id) AS ret FROM oms.returns \gset
SELECT oms.order_balance(:id)->>'excess';
SELECT oms.request_refund(:id) IS NOT NULL;
-- The provider has been asked: what is paid for units that never came stays with the customer until others come.
SELECT oms.cancel_return(:ret)->'refund';
SELECT oms.order_balance(:id)->>'granted';
SELECT back(:id, '[{"line_no":1,"quantity":3}]');
SELECT oms.order_balance(:id)->>'granted';
SELECT oms.request_return(:id, '[{"line_no":1,"quantity":2}]', NULL, '{"refund_on":"closing"}')->>'return_id' AS ret \gset
SELECT oms.receive_return(:ret)->'refund'->>'granted', oms.close_return(:ret)->'refund'->>'granted';
SELECT shipped('{"channel":"eur","external_ref":"11","lines":[{"sku":"A","quantity":2}]}') AS id \gset
SELECT back(:id, '[{"line_no":1,"quantity":1}]', '{"refund_on":"manual"}');

-- By rule, the fee for the reason.
INSERT INTO oms.return_rules (rank, reason, restocking_percent, refund_on) VALUES (1, 'regret', 10, 'closing');
INSERT INTO oms.return_rules (rank, shipping_refund, restocking_fee) VALUES (2, 'none', 0.555);
SELECT oms.request_return(:id, '[{"line_no":1,"quantity":1,"reason":"regret"}]')->>'return_id' AS ret \gset
SELECT oms.receive_return(:ret)->'refund';
SELECT oms.close_return(:ret)->'refund'->>'granted';

-- What somebody revokes is not granted again.
SELECT shipped('{"channel":"eur","external_ref":"14","lines":[{"sku":"A","quantity":2}]}') AS id \gset
SELECT oms.request_return(:id)->>'return_id' AS ret \gset
SELECT oms.receive_return(:ret, '[{"line_no":1,"quantity":1}]')->'refund'->>'granted';
SELECT oms.revoke_refund(max(refund_id), 'fraud')->>'granted' FROM oms.refunds;
SELECT oms.receive_return(:ret)->'refund'->>'granted';
SELECT oms.order_balance(:id)->>'granted';

-- More than the grants is never executed.
SELECT o.order_id FROM oms.orders o WHERE (SELECT sum(amount) FROM oms.refunds r WHERE r.order_id = o.order_id AND status <> 'revoked') > o.total;
SELECT * FROM oms.audit();

-- Far above what any order costs.
SELECT shipped('{"channel":"eur","external_ref":"12","lines":[{"sku":"A","quantity":1,"unit_price":10000000000000.01}]}') AS id \gset
SELECT back(:id, NULL);
SELECT shipped('{"channel":"eur","external_ref":"13","lines":[{"sku":"A","quantity":1,"unit_price":10000000000000.00}]}') AS id \gset
SELECT back(:id, NULL);

-- What is corrupted by hand is found.
CREATE FUNCTION found_after(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    BEGIN
        EXECUTE statement;
        SELECT string_agg(DISTINCT "check", ', ' ORDER BY "check") INTO found FROM oms.audit();
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
        RETURN found;
    END;
END $$;
SELECT s || ': ' || found_after(s) AS found FROM unnest(ARRAY[
    'UPDATE oms.returns SET refunded = 1 WHERE return_id = 1',
    'UPDATE oms.returns SET items = 11 WHERE return_id = 1',
    'UPDATE oms.returns SET fee = 11 WHERE return_id = 1',
    'UPDATE oms.return_lines SET credited = 7 WHERE return_id = 1',
    'UPDATE oms.refunds SET return_id = 2 WHERE return_id = 1',
    'UPDATE oms.refunds SET return_id = 99 WHERE return_id = 1'
]) s;
SELECT count(*) FROM oms.audit();
\c postgres
DROP DATABASE oms_return_refund;
