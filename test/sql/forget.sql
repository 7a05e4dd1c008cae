-- forget.sql: nothing of a forgotten person is left in any column of any table, and every amount and quantity is.
\pset pager off
CREATE DATABASE oms_forget;
\c oms_forget
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-03-02 12:00:00+00';
SELECT oms.upsert_items('[{"sku":"A","price":10}]');
SELECT oms.receive_stock('default', 'A', 100);
SELECT oms.upsert_customers('[{"ref":"cust-4711","credit_limit":1000,"currency":"EUR","external_ref":"crm-anna","attributes":{"vip":true}},{"ref":"cust-47110"}]');
INSERT INTO oms.channel_holds (channel_id, hold_type) SELECT channel_id, 'fraud' FROM oms.channels;
-- Columns of the owner's are looked at, too.
ALTER TABLE oms.orders ADD COLUMN comment text, ADD COLUMN crm jsonb;

CREATE FUNCTION contact() RETURNS jsonb LANGUAGE sql AS $$SELECT '{
  "customer":{"ref":"cust-4711","name":"Anna Quux","email":"anna@quux.example","phone":"+44 555 0101"},
  "ship_to":{"name":"Anna Quux","line1":"7 Zyzzyva Lane","city":"Yorkshire","postal_code":"ZZ9 9ZZ","country":"GB","latitude":53.961,"longitude":-1.081},
  "bill_to":{"company":"Quux Xylophones Ltd","email":"billing@quux.example","line1":"1 Plugh Road"}}'::jsonb$$;
CREATE FUNCTION traces() RETURNS TABLE (relation text, traces bigint) LANGUAGE plpgsql AS $$
BEGIN
    FOR relation IN SELECT relname FROM pg_class WHERE relnamespace = 'oms'::regnamespace AND relkind = 'r' ORDER BY 1 LOOP
        EXECUTE format('SELECT count(*) FROM oms.%I x WHERE x::text ~* ''anna|quux|4711\M|555.0101|zyzzyva|yorkshire|zz9|plugh|203.0.113|53.961|1.081''', relation) INTO traces;
        IF traces > 0 THEN RETURN NEXT; END IF;
    END LOOP;
END $$;

-- A life of an order that leaves traces wherever it can.
SELECT oms.place_order(contact() || '{"external_ref":"anna@quux.example/1","notes":"ring twice for Anna Quux","ordered_by":"cust-4711",
  "attributes":{"phone":"+44 555 0101","cost_center":"C7","greeting":"Dear Anna Quux!"},
  "lines":[{"sku":"A","quantity":2,"name":"Tee for Anna Quux","attributes":{"engraving":"for ANNA QUUX","size":"M"}}],
  "payments":[{"method":"card","status":"captured","reference":"auth-1","external_ref":"pay cust-4711","attributes":{"holder":"Anna Quux","last4":"1234"}}]}',
  'key of anna@quux.example')->>'status';
SELECT oms.record_answer(max(event_id), '{"decision":"accept","reason":"anna@quux.example is known","data":{"ip":"203.0.113.9"}}')->>'decision' FROM oms.events WHERE type = 'fraud_check.requested';
SELECT oms.hold_order(1, reason => 'Anna Quux asked to wait') > 0;
SELECT oms.release_hold(max(hold_id), 'Anna Quux called') FROM oms.holds;
UPDATE oms.orders SET comment = 'call +44 555 0101', crm = '{"contact":{"who":"Anna Quux"},"stage":"won"}';
SELECT oms.edit_order(1, '{"notes":"ring thrice for Anna Quux"}')->>'version';
SELECT oms.confirm_order(1, 'confirm-1')->>'status';
SELECT oms.reserve('[{"sku":"A","quantity":1}]', reference => 'basket of cust-4711')->>'complete';
SET oms.actor = 'anna@quux.example';
SELECT oms.issue_credit('anna@quux.example', 5, 'EUR', 'store_credit', 'cust-4711', reason => 'sorry, Anna Quux', idempotency_key => 'credit-1') ->> 'available';
SELECT oms.adjust_credit('anna@quux.example', -1, 'typed by cust-4711') ->> 'available';
SELECT oms.place_order('{"external_ref":"2","customer":{"ref":"cust-4711"},"risk":{"decision":"accept"},"lines":[{"sku":"A","quantity":1}]}')->>'status';
RESET oms.actor;
-- Somebody whose reference only begins alike.
SELECT oms.place_order('{"external_ref":"3","customer":{"ref":"cust-47110","name":"Bob"},"risk":{"decision":"accept"},"ship_to":{"line1":"7 Other Lane","city":"Leeds"},"lines":[{"sku":"A","quantity":1}]}')->>'status';

-- Open orders need the address.
SELECT oms.forget_customer('cust-4711');
SELECT oms.release_fulfillment(1)->>'status', oms.ship_fulfillment(1, '{"carrier":"DHL"}')->>'status', oms.deliver_fulfillment(1)->>'status';
SELECT oms.cancel_order(2, reason => 'Anna Quux changed her mind')->>'status';
SELECT * FROM traces() WHERE relation !~ '\d';
CREATE TABLE before AS SELECT order_id, status, payment_status, fulfillment_status, total, (SELECT sum(amount) FROM oms.payment_events e WHERE e.order_id = o.order_id) AS paid,
    (SELECT sum(delivered) FROM oms.order_lines l WHERE l.order_id = o.order_id) AS delivered, (SELECT count(*) FROM oms.events v WHERE v.order_id = o.order_id) AS events FROM oms.orders o;
CREATE TABLE other AS SELECT oms.get_order(3) AS document;

SELECT oms.forget_customer('cust-4711', 'forget-1');
SELECT oms.forget_customer('cust-4711', 'forget-1') = oms.forget_customer('cust-4711') AS repeated;
SELECT * FROM traces();
SELECT oms.get_order(1) - 'lines' - 'fulfillments' - 'placed_at' - 'totals' - 'version';
SELECT oms.get_order(1)->'lines'->0->>'name' AS name, oms.get_order(1)->'lines'->0->'attributes' AS attributes;
SELECT comment, crm, ordered_by, customer_ref FROM oms.orders WHERE order_id = 1;
SELECT reason, note FROM oms.holds ORDER BY hold_id;
SELECT answer FROM oms.answers;
SELECT b.order_id FROM before b JOIN oms.orders o USING (order_id) WHERE (b.status, b.payment_status, b.fulfillment_status, b.total, b.paid, b.delivered, b.events + (b.order_id < 3)::int) IS DISTINCT FROM
    (o.status, o.payment_status, o.fulfillment_status, o.total, (SELECT sum(amount) FROM oms.payment_events e WHERE e.order_id = o.order_id),
    (SELECT sum(delivered) FROM oms.order_lines l WHERE l.order_id = o.order_id), (SELECT count(*) FROM oms.events v WHERE v.order_id = o.order_id));
SELECT oms.get_order(3) = document AS other_untouched FROM other;
SELECT type, order_id, data FROM oms.events WHERE type LIKE '%forgotten' ORDER BY event_id;
SELECT customer_ref FROM oms.customers;
SELECT code, customer_ref, balance FROM oms.credit_accounts;
SELECT oms.credit_balance('anna@quux.example');
SELECT oms.confirm_order(1, 'confirm-1') ? 'customer' AS answer_names_customer;
SELECT count(*) FROM oms.audit();

-- Repeating an erased key or document finds nothing of the person; what is unknown is nothing to erase.
SELECT oms.forget_customer('nobody');
SELECT oms.forget_customer('');
SELECT oms.forget_customer(NULL);

-- The parts: words that identify, and their removal.
SELECT oms.forget_words('{"customer":{"name":"Li","city":"Rome","class":"gold"},"lines":[{"name":"Tee"}],"to":{"email":"l@i.it"}}', false);
SELECT oms.forget_text('Li said: Lively Anna, anna! Annas ANNA', '{Anna,Li}', '*'), oms.forget_text('li', '{Li}', '*');
SELECT oms.forget_document('{"a":[1,"Anna",{"email":"x"}],"ship_to":{"x":[1]},"n":null,"Anna":"kept key"}', '{Anna}', '*'), oms.forget_document('"Anna"', '{Anna}', '*');
\c postgres
DROP DATABASE oms_forget;
