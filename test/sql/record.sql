-- record.sql: derived statuses are not set by hand, and what is recorded stays, not even the owner changes it.
\pset pager off
CREATE DATABASE oms_record;
\c oms_record
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SET oms.clock = '2050-03-02 12:00:00+00';
SELECT oms.create_partitions('2050-03-01', 1);
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"L","price":10,"tracking":"lot"}]'), oms.receive_stock('default', 'A', 10), oms.receive_stock('default', 'L', 2, lots => '[{"lot":"x","quantity":2}]');
SELECT oms.place_order('{"external_ref":"1","customer":{"ref":"c","name":"Anna Quux"},"lines":[{"sku":"A","quantity":2}],"payments":[{"method":"card","status":"authorized"}]}') ->> 'status';

-- What goes wrong, with all that is said about it.
CREATE FUNCTION attempt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text; hint text;
BEGIN
    EXECUTE statement;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
    RETURN concat_ws(E'\n  ', SQLSTATE || ' ' || SQLERRM, detail, hint);
END $$;

-- The statuses that follow from payments and quantities.
SELECT attempt('UPDATE oms.orders SET payment_status = ''paid''');
SELECT attempt('UPDATE oms.orders SET fulfillment_status = ''shipped''');
SELECT attempt('UPDATE oms.orders SET fulfillment_status = ''shipped'', payment_status = ''paid'', status = ''confirmed''');
SELECT attempt('UPDATE oms.orders SET payment_status = payment_status, fulfillment_status = fulfillment_status, notes = ''mine''');
SELECT payment_status, fulfillment_status, notes FROM oms.orders;
SELECT oms.ship_fulfillment(f.fulfillment_id) ->> 'status' FROM oms.fulfillments f WHERE oms.release_fulfillment(f.fulfillment_id) IS NOT NULL;
SELECT status, payment_status, fulfillment_status FROM oms.orders;

-- The record, by way of the parent and of partitions: made by init, made later, made by hand.
CREATE TABLE oms.events_by_hand PARTITION OF oms.events FOR VALUES FROM ('2051-01-01') TO ('2052-01-01');
SELECT relation, split_part(statement, ' ', 1), attempt(format(statement, relation)) LIKE 'OM012 %'
FROM unnest('{events,events_205003,stock_movements,stock_movements_205003,lot_movements,lot_movements_205003}'::text[]) relation,
     unnest('{UPDATE oms.%s SET type = type,DELETE FROM oms.%s,TRUNCATE oms.%s}'::text[]) statement;
-- Row triggers ask for rows: one of each of the records that are not divided by month.
SELECT oms.edit_order(1, '{"notes":"new"}') ->> 'version' IS NOT NULL, oms.deliver_fulfillment(fulfillment_id) ->> 'status' FROM oms.fulfillments;
SELECT oms.request_return(1, '[{"line_no":1,"quantity":1}]') ->> 'status', oms.receive_return(1, '[{"line_no":1,"quantity":1}]') ->> 'status';
SELECT oms.issue_credit('C', 5, 'EUR') ->> 'balance';
INSERT INTO oms.routing_decisions (order_id, policy_id, at, tenant_id, cost, record) VALUES (1, 1, now(), 1, 0, '');
SELECT relation, split_part(statement, ' ', 1), split_part(attempt(format(statement, relation)), E'\n', 1)
FROM unnest('{payment_events,order_versions,credit_entries,return_receipts,routing_decisions}'::text[]) relation,
     unnest('{UPDATE oms.%s SET tenant_id = 2,DELETE FROM oms.%s,TRUNCATE oms.%s}'::text[]) statement;
SELECT attempt('DELETE FROM oms.payment_events');
SELECT attempt('INSERT INTO oms.order_versions SELECT * FROM oms.order_versions ON CONFLICT (order_id, version, tenant_id) DO UPDATE SET actor = ''me''');
SELECT attempt('UPDATE oms.events SET data = NULL WHERE type = ''order.placed''');
SELECT attempt('DELETE FROM oms.stock_movements WHERE type = ''receive'' AND movement_id = 1');
SELECT attempt('UPDATE oms.lot_movements SET at = at + interval ''1 month''');
SELECT attempt('TRUNCATE oms.events_default');
SELECT attempt('TRUNCATE oms.stock_movements_default, oms.lot_movements_default');
SET oms.clock = '2051-03-02 12:00:00+00';
SELECT oms.place_order('{"external_ref":"2","lines":[{"sku":"A","quantity":1}]}') ->> 'status';
SELECT attempt('DELETE FROM oms.events_by_hand') LIKE 'OM012 %';
SELECT count(*) > 0 FROM oms.events_by_hand;

-- Before the library is loaded oms.in_call is a setting like any other; it opens nothing.  Each of these has a new session.
\c
SET oms.in_call = on;
\pset tuples_only on
\pset format unaligned
SELECT split_part(attempt('DELETE FROM oms.events WHERE type = ''order.placed'''), E'\n', 1);
\c
SET oms.in_call = on;
SELECT split_part(attempt('TRUNCATE oms.payment_events'), E'\n', 1);
\c
SET oms.in_call = on;
SELECT split_part(attempt('UPDATE oms.orders SET payment_status = ''refunded'''), E'\n', 1);
\c
SET oms.in_call = on;
SELECT split_part(attempt('UPDATE oms.orders SET status = ''placed'' WHERE order_id = 1'), E'\n', 1);
-- And then it is nobody's to set.
SET oms.in_call = on;
SELECT set_config('oms.in_call', 'on', true);

-- Nor does a user's function that a call runs speak for the extension.
CREATE FUNCTION meddle(step jsonb) RETURNS void LANGUAGE sql AS $$ UPDATE oms.orders SET payment_status = 'refunded' WHERE order_id = (step ->> 'order_id')::bigint $$;
CREATE FUNCTION rewrite(step jsonb) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN DELETE FROM oms.events; RETURN true; END $$;
UPDATE oms.transitions SET after_hook = 'public.meddle' WHERE machine = 'order' AND action = 'cancel';
SELECT split_part(attempt('SELECT oms.cancel_order(order_id) FROM oms.orders WHERE external_ref = ''2'''), E'\n', 1);
UPDATE oms.transitions SET after_hook = NULL, guard = 'public.rewrite' WHERE machine = 'order' AND action = 'cancel';
SELECT split_part(attempt('SELECT oms.cancel_order(order_id) FROM oms.orders WHERE external_ref = ''2'''), E'\n', 1);
UPDATE oms.transitions SET guard = NULL WHERE machine = 'order' AND action = 'cancel';

-- Calls may: nothing of a forgotten customer is left in the events.
SELECT oms.place_order('{"external_ref":"3","customer":{"ref":"c","name":"Anna Quux"},"lines":[{"sku":"A","quantity":1}]}') ->> 'status';
SELECT oms.cancel_order(order_id, reason => 'Anna Quux rang') ->> 'status' FROM oms.orders WHERE external_ref = '3';
SELECT count(*) > 0 FROM oms.events WHERE reason ~ 'Quux';
SELECT oms.forget_customer('c') IS NOT NULL;
SELECT count(*) FROM oms.events WHERE reason ~ 'Quux';

-- Rows are still written without a statement: what fires for a statement fires for TRUNCATE only.
SELECT count(*) > 12, count(*) FILTER (WHERE tgtype & 1 = 0 AND tgtype & (4 | 8 | 16) <> 0) AS for_statements
FROM pg_trigger WHERE tgrelid::regclass::text ~ '^oms\.(events|stock_movements|lot_movements|payment_events|order_versions|credit_entries|return_receipts|routing_decisions)' AND NOT tgisinternal;

-- Retention: whole partitions go.
ALTER TABLE oms.events DETACH PARTITION oms.events_by_hand;
DELETE FROM oms.events_by_hand;
DROP TABLE oms.events_by_hand;
DROP TABLE oms.stock_movements_205004;

-- Restoring and replication: no trigger fires.
BEGIN;
SET LOCAL session_replication_role = replica;
UPDATE oms.orders SET payment_status = 'paid' WHERE external_ref = '2';
DELETE FROM oms.events WHERE type = 'order.placed';
TRUNCATE oms.stock_movements, oms.payment_events;
ROLLBACK;

-- Without the extension the orders are the owner's; the record stays one.
DROP EXTENSION oms;
SELECT attempt('UPDATE oms.orders SET payment_status = ''paid''');
SELECT attempt('DELETE FROM oms.events') LIKE 'OM012 %';
\c postgres
DROP DATABASE oms_record;
