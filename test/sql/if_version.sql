-- if_version.sql: calls that carry the version which their caller saw; a time before an order existed.
\pset pager off
CREATE DATABASE oms_if_version;
\c oms_if_version
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_locations('[{"code":"default","pickup":true}]'), oms.upsert_items('[{"sku":"A","price":10}]'), oms.receive_stock('default', 'A', 100);
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; detail text;
BEGIN
    EXECUTE call INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;

-- Every call that takes it refuses another version, before anything else it would say, and changes nothing.
SELECT oms.place_order('{"external_ref":"1","lines":[{"sku":"A","quantity":5}]}') ->> 'status';
SELECT c.name, attempt(format('SELECT oms.%s(1, if_version => 7)', c.name)) FROM unnest('{release_fulfillment,accept_fulfillment,pick_fulfillment,pack_fulfillment,ready_for_pickup,
    ship_fulfillment,pick_up_fulfillment,deliver_fulfillment,cancel_fulfillment,cancel_order}'::text[]) c(name);
SELECT attempt('SELECT oms.edit_order(1, ''{"notes":"x"}'', if_version => 7)');
SELECT count(*), (SELECT version FROM oms.orders) FROM oms.events WHERE order_id = 1;

-- What the pick list says was edited meanwhile.
SELECT oms.get_order(1) ->> 'version' AS seen \gset
SELECT oms.edit_order(1, '{"lines":[{"line_no":1,"quantity":4}]}', if_version => :seen) ->> 'version' AS edited;
SELECT attempt(format('SELECT oms.release_fulfillment(1, if_version => %s)', :seen));
SELECT oms.release_fulfillment(1, if_version => 2) ->> 'version' AS released;
SELECT oms.ship_fulfillment(1, '{"lines":[{"line_no":1,"quantity":2}]}', if_version => 3) ->> 'fulfillment_status';
SELECT oms.cancel_order(1, '[{"line_no":1,"quantity":1}]', if_version => 3) ->> 'version' AS cancelled;
SELECT attempt('SELECT oms.cancel_order(1, ''[{"line_no":1,"quantity":1}]'', shipped => ''return'', if_version => 3)');
-- The same key and version again is the first answer, though the version has moved on.
SELECT oms.cancel_order(1, '[{"line_no":1,"quantity":1}]', if_version => 4, idempotency_key => 'k') ->> 'version';
SELECT oms.cancel_order(1, '[{"line_no":1,"quantity":1}]', if_version => 4, idempotency_key => 'k') ->> 'version';

SELECT left(attempt('SELECT oms.order_as_of(1, ''2001-01-01'')'), 80);
SELECT oms.order_as_of(1, now() + interval '1 day') ->> 'status';
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_if_version;
