-- refund.sql: refunds are granted apart from money that moves.
\pset pager off
CREATE DATABASE oms_refund;
\c oms_refund
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\set VERBOSITY default
SELECT oms.upsert_items('[{"sku":"A","price":10}]');
SELECT oms.receive_stock('default', 'A', 1000);
SELECT oms.place_order('{"external_ref":"1","lines":[{"sku":"A","quantity":10}],"payments":[{"method":"card","status":"captured"}]}')->>'payment_status' AS status;

-- A grant lowers what is owed: the customer has paid too much now.
SELECT oms.grant_refund(1, 30, 'scratched');
SELECT oms.order_balance(1);
SELECT oms.record_payment_event(1, 'refund', 30, 'r1');
SELECT (oms.get_order(1)->'refunds'->0) - 'granted_at' AS refund;

-- Never more than the total in all; nothing finer than the currency; nothing negative.
SELECT oms.grant_refund(1, 70.01);
SELECT oms.grant_refund(1, 0.001);
SELECT oms.grant_refund(1, 0);
SELECT oms.grant_refund(1, -1);
SELECT oms.grant_refund(1, 'NaN');
SELECT oms.grant_refund(1, NULL);
SELECT oms.grant_refund(99, 1);
SELECT oms.grant_refund(1, 70, 'gone', 'key-1') = oms.grant_refund(1, 70, 'gone', 'key-1') AS repeated;
SELECT oms.order_balance(1) - 'order_id' AS balance;

-- Revoked, it is owed again; twice is refused.
SELECT oms.revoke_refund(2, 'a mistake') - 'order_id' AS balance;
SELECT oms.revoke_refund(2);
SELECT oms.revoke_refund(77);

-- Before anything is paid: less has to be paid.
SELECT oms.place_order('{"external_ref":"2","lines":[{"sku":"A","quantity":3}]}')->>'payment_status' AS status;
SELECT oms.grant_refund(2, 10, 'late');
SELECT oms.order_balance(2)->>'due' AS due;
SELECT oms.add_payment(2, '{"method":"card","amount":20,"status":"captured"}') > 0 AS paid;
SELECT oms.order_balance(2)->>'payment_status' AS status;
SELECT type, action, from_state, to_state, reason, data FROM oms.order_timeline(1) WHERE object_type = 'refund';

-- Limits by role: the greatest of the caller's roles on one order, all grants by hand together; others and returns are free.
CREATE ROLE oms_refund_clerk IN ROLE oms_app;
CREATE ROLE oms_refund_chief IN ROLE oms_refund_clerk;
CREATE ROLE oms_refund_guest IN ROLE oms_app;
INSERT INTO oms.refund_limits (currency, role_name, reason, amount) VALUES ('EUR', 'oms_refund_clerk', '', 5), ('EUR', 'oms_refund_clerk', 'late', 8), ('EUR', 'oms_refund_chief', '', 12), ('EUR', 'oms_refund_gone', '', 99);
SELECT (oms.place_order('{"external_ref":"limit","lines":[{"sku":"A","quantity":9}]}')->>'order_id')::bigint AS o \gset
SET ROLE oms_refund_clerk;
SELECT oms.grant_refund(:o, 5.01, 'sorry');
SELECT oms.grant_refund(:o, 5, 'sorry') > 0 AS granted;
SELECT oms.grant_refund(:o, 3.01, 'late');
SELECT oms.grant_refund(:o, 3, 'late') > 0 AS granted;
SET ROLE oms_refund_chief;
SELECT oms.grant_refund(:o, 4.01);
SELECT oms.grant_refund(:o, 4) > 0 AS granted;
SET ROLE oms_refund_guest;
SELECT oms.grant_refund(:o, 0.01);
RESET ROLE;
SELECT oms.grant_refund(:o, 70) > 0 AS granted;
DROP ROLE oms_refund_clerk, oms_refund_chief, oms_refund_guest;

-- What is corrupted by hand is found.
SELECT * FROM oms.audit();
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
SELECT s AS corruption, found_after(s) AS found FROM unnest(ARRAY[
    'UPDATE oms.refunds SET amount = 31 WHERE refund_id = 1',
    'UPDATE oms.refunds SET order_id = 99 WHERE refund_id = 1',
    'DELETE FROM oms.refunds WHERE refund_id = 1'
]) s;
SELECT count(*) FROM oms.audit();
\c postgres
DROP DATABASE oms_refund;
