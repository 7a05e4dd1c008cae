-- capture.sql: what each shipment or release captures, to the cent: its units' price, what is adjusted on their lines, their share of the order's.
\pset pager off
CREATE DATABASE oms_capture;
\c oms_capture
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SET timezone = 'UTC';
SET oms.clock = '2026-05-01 08:00+00';
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":5},{"sku":"C","price":"0.1249"},{"sku":"SET","kind":"kit","price":10,"components":[{"sku":"A","quantity":1},{"sku":"B","quantity":1}]}]');
SELECT count(oms.receive_stock('default', s, 1000)) FROM unnest('{A,B,C}'::text[]) s;
SELECT oms.upsert_channels('[{"code":"yen","currency":"JPY","capture":"release"},{"code":"dinar","currency":"KWD"},{"code":"hand","capture":"manual"}]');
CREATE FUNCTION place(reference text, document jsonb) RETURNS bigint LANGUAGE sql
RETURN (oms.place_order('{"payments":[{"method":"card"}]}'::jsonb || document || jsonb_build_object('external_ref', reference)) ->> 'order_id')::bigint;
-- Asked of the provider so far, what is left to pay, and the status.
CREATE FUNCTION told(id bigint) RETURNS text LANGUAGE sql
BEGIN ATOMIC
    SELECT format('%s; due %s excess %s %s', coalesce((SELECT string_agg(concat_ws(' ', p.method, c.type, c.amount), ', ' ORDER BY c.command_id)
                  FROM oms.payment_commands c JOIN oms.payments p USING (payment_id) WHERE c.order_id = id), 'nothing asked'), b ->> 'due', b ->> 'excess', b ->> 'payment_status')
    FROM oms.order_balance(id) b;
END;
CREATE FUNCTION ship(id bigint, lines jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE f bigint;
BEGIN
    PERFORM oms.release_fulfillment(fulfillment_id) FROM oms.fulfillments WHERE order_id = id AND status = 'planned';
    SELECT fulfillment_id INTO f FROM oms.fulfillments JOIN oms.allocations a USING (fulfillment_id) WHERE fulfillments.order_id = id AND status = 'released'
        AND (lines IS NULL OR a.line_no = (lines -> 0 ->> 'line_no')::int) ORDER BY 1 LIMIT 1;
    PERFORM oms.ship_fulfillment(f, CASE WHEN lines IS NOT NULL THEN jsonb_build_object('lines', lines) END);
    PERFORM oms.record_payment_event(payment_id, type, amount, 'c' || command_id) FROM oms.payment_commands WHERE status = 'open';
    RETURN told(id);
END $$;

-- Each line is captured with what is its own, 5 + 0.95 first; nothing is spread that is not the whole order's.
SELECT place('own', '{"lines":[{"sku":"A","quantity":3,"adjustments":[{"type":"discount","amount":1},{"type":"tax","amount":5.51}]},{"sku":"B","quantity":1,"adjustments":[{"type":"tax","amount":0.95}]}]}') AS id \gset
SELECT ship(:id, '[{"line_no":2,"quantity":1}]');
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id);
-- Shipping and fees of the order go with its first shipment, those of a line with its units; discounts and taxes of the order by price.
SELECT place('charges', '{"lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":2,"adjustments":[{"type":"fee","amount":0.99}]}],
    "adjustments":[{"type":"shipping","amount":4.90},{"type":"discount","amount":1},{"type":"tax","amount":5.7},{"type":"tax","amount":1,"included":true}]}') AS id \gset
SELECT ship(:id, '[{"line_no":2,"quantity":1}]');
SELECT ship(:id, '[{"line_no":1,"quantity":2}]');
SELECT ship(:id);
-- The example of the reference.
SELECT place('example', '{"lines":[{"sku":"A","quantity":3,"adjustments":[{"type":"discount","amount":1}]},{"sku":"B","quantity":1}],"adjustments":[{"type":"tax","amount":6},{"type":"shipping","amount":4.90}]}') AS id \gset
SELECT ship(:id, '[{"line_no":2,"quantity":1}]');
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id);
-- Of two deliveries too; a charge that belongs to one of them stands on its lines.
SELECT place('deliveries', '{"deliveries":[{"delivery_no":1},{"delivery_no":2,"ship_to":{"line1":"Way 2","city":"Town","country":"DE"}}],"lines":[{"sku":"A","quantity":1,"delivery_no":1,
    "adjustments":[{"type":"shipping","amount":3}]},{"sku":"B","quantity":1,"delivery_no":2}],"adjustments":[{"type":"fee","amount":1}]}') AS id \gset
SELECT ship(:id, '[{"line_no":2,"quantity":1}]');
SELECT ship(:id);
-- When the rest is cancelled, what was captured is what is left costs, to the cent, prices finer than a cent and all.
SELECT place('cancelled', '{"lines":[{"sku":"C","quantity":8,"adjustments":[{"type":"tax","amount":0.1}]},{"sku":"B","quantity":1},{"sku":"A","quantity":1}],"adjustments":[{"type":"discount","amount":2},{"type":"tax","amount":1.01}]}') AS id \gset
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id, '[{"line_no":2,"quantity":1}]');
SELECT oms.cancel_order(:id, '[{"line_no":1,"quantity":7},{"line_no":3,"quantity":1}]') -> 'totals' ->> 'total', told(:id);
-- An edit between: more units and another price; the price of what has shipped is asked for at once.
SELECT place('edited', '{"lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":2}],"payments":[{"method":"card","amount":100}],"adjustments":[{"type":"discount","amount":3}]}') AS id \gset
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT oms.edit_order(:id, '{"lines":[{"line_no":1,"quantity":3,"unit_price":12},{"line_no":2,"quantity":1}]}') ->> 'total', told(:id);
SELECT ship(:id, '[{"line_no":2,"quantity":1}]');
SELECT ship(:id);
-- Components of a kit have shares of its price.
SELECT place('kit', '{"lines":[{"sku":"SET","quantity":3,"adjustments":[{"type":"discount","amount":1}]}]}') AS id \gset
SELECT line_no, unit_price, ordered FROM oms.order_lines WHERE order_id = :id ORDER BY line_no;
SELECT ship(:id, '[{"line_no":1,"quantity":1},{"line_no":2,"quantity":1}]');
SELECT ship(:id);
-- A unit that left alone and comes back alone is worth the same.
SELECT place('back', '{"lines":[{"sku":"A","quantity":3,"adjustments":[{"type":"discount","amount":1}]},{"sku":"B","quantity":2}],"adjustments":[{"type":"discount","amount":2},{"type":"tax","amount":5.99}]}') AS id \gset
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT oms.receive_return((oms.request_return(:id, '[{"line_no":1,"quantity":1}]') ->> 'return_id')::bigint) #>> '{refund,total}', told(:id);
-- What was granted is not captured; what was paid before counts; a gift card is captured first and the card for the rest.
SELECT place('granted', '{"lines":[{"sku":"A","quantity":2}]}') AS id \gset
SELECT oms.grant_refund(:id, 4, 'late') > 0, ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id);
SELECT place('prepaid', '{"lines":[{"sku":"A","quantity":3}],"payments":[{"method":"card","amount":15,"status":"captured"},{"method":"bank","amount":15}]}') AS id \gset
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id);
SELECT oms.issue_credit('GIFT', 12, 'EUR') ->> 'balance';
SELECT place('gift', '{"lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":1}],"payments":[{"method":"gift_card","account":"GIFT","amount":12},{"method":"card","amount":13}]}') AS id \gset
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id);
-- What is authorized no more is told, and the rest follows when it is; by hand nothing happens unasked.
SELECT place('short', '{"lines":[{"sku":"A","quantity":2}],"payments":[{"method":"card","amount":7}]}') AS id \gset
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT type, data ->> 'amount' FROM oms.events WHERE order_id = :id AND type LIKE '%needed';
SELECT oms.add_payment(:id, '{"method":"bank","amount":13}') > 0, told(:id);
SELECT place('hand', '{"channel":"hand","lines":[{"sku":"A","quantity":1}]}') AS id \gset
SELECT ship(:id);
-- Currencies without and with three decimals; releases of two deliveries.
SELECT place('yen', '{"channel":"yen","lines":[{"sku":"A","quantity":1,"unit_price":100},{"sku":"B","quantity":1,"unit_price":100},{"sku":"A","quantity":1,"unit_price":100,"delivery_no":2}],
    "deliveries":[{"delivery_no":1},{"delivery_no":2}],"adjustments":[{"type":"discount","amount":100},{"type":"tax","amount":10}]}') AS id \gset
SELECT oms.release_fulfillment(max(fulfillment_id)) ->> 'payment_status', told(:id) FROM oms.fulfillments WHERE order_id = :id;
SELECT ship(:id);
SELECT place('dinar', '{"channel":"dinar","lines":[{"sku":"A","quantity":3,"unit_price":"3.3335","adjustments":[{"type":"tax","amount":0.1}]}]}') AS id \gset
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id);
-- Parts are computed of amounts up to 10^15 of the smallest unit; a whole order is captured whatever it costs.
SELECT place('large', '{"lines":[{"sku":"A","quantity":2,"unit_price":5000000000000.00}]}') AS id \gset
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT place('larger', '{"lines":[{"sku":"A","quantity":2,"unit_price":5000000000000.01}]}') AS id \gset
\set VERBOSITY terse
SELECT ship(:id, '[{"line_no":1,"quantity":1}]');
SELECT ship(:id);
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_capture;
