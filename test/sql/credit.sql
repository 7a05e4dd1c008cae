-- credit.sql: gift cards and store credit pay inside the transaction, and never more than they have.
\pset pager off
CREATE DATABASE oms_credit;
\c oms_credit
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\set VERBOSITY default
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_items('[{"sku":"A","price":10}]'), oms.receive_stock('default', 'A', 1000);
SELECT oms.upsert_channels('[{"code":"hand","capture":"manual"},{"code":"placing","capture":"placing"},{"code":"ship"},{"code":"yen","currency":"JPY"},{"code":"dinar","currency":"KWD"}]');
CREATE FUNCTION place(channel text, reference text, quantity int, payments jsonb) RETURNS jsonb LANGUAGE sql
RETURN oms.place_order(jsonb_build_object('channel', channel, 'external_ref', reference, 'payments', payments,
        'lines', jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', quantity))));
CREATE FUNCTION left_of(account text) RETURNS text LANGUAGE sql
BEGIN ATOMIC
    SELECT format('balance %s held %s available %s, %s faults', b ->> 'balance', b ->> 'held', b ->> 'available', (SELECT count(*) FROM oms.audit()))
    FROM oms.credit_balance(account) b;
END;

-- Opened, topped up, adjusted.
SELECT oms.issue_credit('G1', 50, 'EUR', customer => 'eva', reason => 'birthday');
SELECT oms.issue_credit('G1', 10, idempotency_key => 'k') = oms.issue_credit('G1', 10, idempotency_key => 'k');
SELECT oms.adjust_credit('G1', -5, 'fee');
SELECT left_of('G1');
SELECT oms.adjust_credit('G1', -55.01);
SELECT oms.adjust_credit('G1', 0);
SELECT oms.adjust_credit('G2', 1);
SELECT oms.issue_credit('G1', 1, 'USD');
SELECT oms.issue_credit('G1', -1);
SELECT oms.issue_credit('G1', 1.001);
SELECT oms.issue_credit('G3', 1);
SELECT oms.issue_credit('G3', 1, 'EUR', 'coupon');
SELECT oms.issue_credit(repeat('x', 200), 1, 'EUR') ->> 'available';
SELECT oms.credit_balance(repeat('x', 200)) ->> 'kind';
SELECT oms.issue_credit(repeat('x', 201), 1, 'EUR');
SELECT oms.credit_balance('G3');

-- Held by the order, captured with the shipment without asking anybody.
SELECT place('ship', '1', 6, '[{"method":"gift_card","account":"G1","amount":40},{"method":"card","amount":20}]') ->> 'payment_status';
SELECT left_of('G1');
SELECT oms.release_fulfillment(1) ->> 'status', oms.ship_fulfillment(1, '{"lines":[{"line_no":1,"quantity":3}]}') ->> 'payment_status';
SELECT left_of('G1'), oms.order_balance(1) ->> 'captured';
SELECT oms.ship_fulfillment(max(fulfillment_id)) ->> 'payment_status' FROM oms.fulfillments;
SELECT left_of('G1'), oms.order_balance(1) - 'order_id';
SELECT type, action, to_state, data ->> 'amount' FROM oms.order_timeline(1) WHERE object_type = 'payment' ORDER BY event_id;
SELECT type, status, amount, answered FROM oms.payment_commands ORDER BY command_id;
SELECT oms.record_payment_event(2, 'capture', 20, 'psp');
SELECT oms.record_payment_event(1, 'refund', 20, 'psp');

-- A refund goes back to the account at once.
SELECT oms.grant_refund(1, 30, 'returned') > 0;
SELECT oms.request_refund(1) -> 'commands';
SELECT left_of('G1'), oms.order_balance(1) ->> 'refunded', oms.order_balance(1) -> 'pending';

-- Too much, unknown, closed, expired, another currency, pending: refused whole.
SELECT place('ship', 'no', 6, '[{"method":"gift_card","account":"G1","amount":50.01}]');
SELECT place('ship', 'no', 6, '[{"method":"gift_card","account":"G1"}]');
SELECT place('ship', 'no', 6, '[{"method":"gift_card","account":"G1","amount":20},{"method":"gift_card","account":"G1","amount":20}]');
SELECT oms.issue_credit('OLD', 5, 'EUR', expires_at => '2020-01-01') ->> 'available', oms.issue_credit('USD', 5, 'USD') ->> 'available',
       oms.issue_credit('CLOSED', 5, 'EUR') ->> 'available';
UPDATE oms.credit_accounts SET active = false WHERE code = 'CLOSED';
SELECT place('ship', 'no', 6, '[{"method":"g","account":"NONE","amount":5},{"method":"g","account":"OLD","amount":5},{"method":"g","account":"USD","amount":5},{"method":"g","account":"CLOSED","amount":5},{"method":"g","account":"G1","amount":5,"status":"pending"}]');
SELECT count(*) FROM oms.orders WHERE external_ref = 'no';
SELECT left_of('G1');
-- What it has to the last cent.
SELECT place('ship', 'last', 6, jsonb_build_array(jsonb_build_object('method', 'g', 'account', 'G1', 'amount', oms.credit_balance('G1') -> 'available'))) ->> 'payment_status';
SELECT left_of('G1');
SELECT oms.adjust_credit('G1', -0.01);

-- Cancelled, it is given back: what was held, and what was taken.
SELECT oms.cancel_order(oms.find_order('ship', 'last')) ->> 'payment_status';
SELECT left_of('G1');
SELECT oms.issue_credit('G4', 100, 'EUR') ->> 'available';
SELECT place('placing', 'taken', 8, '[{"method":"card","amount":50},{"method":"g","account":"G4","amount":30}]') ->> 'payment_status';
SELECT left_of('G4');
SELECT oms.cancel_order(oms.find_order('placing', 'taken'), '[{"line_no":1,"quantity":2}]') ->> 'payment_status';
SELECT left_of('G4');
SELECT oms.cancel_order(oms.find_order('placing', 'taken')) ->> 'payment_status';
SELECT left_of('G4'), oms.order_balance(oms.find_order('placing', 'taken')) -> 'pending';
SELECT place('placing', 'whole', 3, '[{"method":"g","account":"G4"}]') ->> 'payment_status';
SELECT place('hand', 'sold', 3, '[{"method":"g","account":"G4","status":"captured"}]') ->> 'payment_status';
SELECT left_of('G4');
SELECT oms.cancel_order(oms.find_order('placing', 'whole')) ->> 'payment_status', oms.cancel_order(oms.find_order('hand', 'sold')) ->> 'payment_status';
SELECT left_of('G4');
-- By hand: a part captured, the rest voided.
SELECT place('hand', 'part', 5, '[{"method":"g","account":"G4"}]') ->> 'payment_status';
SELECT oms.request_capture(oms.find_order('hand', 'part'), 20) -> 'commands' -> 0 ->> 'amount';
SELECT left_of('G4');
SELECT oms.request_void(max(payment_id)) -> 'commands' -> 0 ->> 'amount' FROM oms.payments;
SELECT left_of('G4'), oms.order_balance(oms.find_order('hand', 'part')) ->> 'payment_status';

-- Currencies with 0 and 3 decimals.
SELECT oms.issue_credit('YEN', 100, 'JPY') ->> 'available', oms.issue_credit('DINAR', 100.125, 'KWD') ->> 'available';
SELECT oms.issue_credit('YEN', 0.5);
SELECT place('yen', 'y', 3, '[{"method":"g","account":"YEN"}]') ->> 'payment_status', place('dinar', 'd', 3, '[{"method":"g","account":"DINAR","amount":29.999}]') ->> 'payment_status';
SELECT left_of('YEN'), left_of('DINAR');
SELECT oms.cancel_order(oms.find_order('yen', 'y'), '[{"line_no":1,"quantity":1}]') ->> 'payment_status';
SELECT left_of('YEN');
\pset tuples_only off
\pset format aligned
SELECT * FROM oms.audit();

-- What is corrupted by hand is found, and less than nothing is refused by the table itself.
CREATE FUNCTION found_after(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    BEGIN
        SET LOCAL session_replication_role = replica;  -- no guard fires
        EXECUTE statement;
        SET LOCAL session_replication_role = origin;
        SELECT string_agg(DISTINCT "check", ', ' ORDER BY "check") INTO found FROM oms.audit();
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
        RETURN found;
    WHEN check_violation THEN
        RETURN SQLERRM;
    END;
END $$;
SELECT s AS corruption, found_after(s) AS found FROM unnest(ARRAY[
    'UPDATE oms.credit_accounts SET balance = balance + 1 WHERE code = ''G4''',
    'UPDATE oms.credit_accounts SET held = held + 1 WHERE code = ''G4''',
    'UPDATE oms.credit_accounts SET balance = -1 WHERE code = ''G4''',
    'UPDATE oms.credit_entries SET balance_change = balance_change + 1 WHERE type = ''capture''',
    'UPDATE oms.credit_entries SET held_change = held_change + 1 WHERE type = ''authorize''',
    'DELETE FROM oms.credit_entries WHERE type = ''issue''',
    'DELETE FROM oms.credit_accounts',
    'UPDATE oms.payments SET account_id = NULL',
    'UPDATE oms.payment_events SET amount = amount + 1 WHERE type = ''capture'' AND payment_id = 1']) s;
SELECT count(*) FROM oms.audit();
\c postgres
DROP DATABASE oms_credit;
