-- payment_end.sql: a payment that ended authorizes nothing, whatever amount its last event names.
\pset pager off
CREATE DATABASE oms_payment_end;
\c oms_payment_end
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SELECT oms.upsert_items('[{"sku":"A","price":10}]');
SELECT oms.receive_stock('default', 'A', 100);

CREATE FUNCTION paid_with(reference text, status text, VARIADIC events text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    placed jsonb := oms.place_order(jsonb_build_object('external_ref', reference, 'lines', '[{"sku":"A","quantity":10}]'::jsonb,
        'payments', jsonb_build_array(jsonb_build_object('method', 'card', 'status', status))));
    payment bigint := (placed->'payments'->>0)::bigint;
    balance jsonb := oms.order_balance((placed->>'order_id')::bigint);
    answer text := placed->>'payment_status';
    step text;
BEGIN
    FOREACH step IN ARRAY events LOOP
        BEGIN
            balance := oms.record_payment_event(payment, split_part(step, ' ', 1), split_part(step, ' ', 2)::numeric, step || answer);
            answer := answer || ', ' || step || ': ' || (balance->>'payment_status');
        EXCEPTION WHEN OTHERS THEN
            answer := answer || ', ' || step || ': ' || SQLSTATE;
        END;
    END LOOP;
    RETURN format('%s (authorized %s captured %s refunded %s due %s)', answer, balance->>'authorized', balance->>'captured',
                  balance->>'refunded', balance->>'due');
END $$;

\pset tuples_only on
\pset format unaligned
SELECT paid_with('capture whole', 'authorized', 'capture 100');
SELECT paid_with('capture part', 'authorized', 'capture 40', 'capture 60');
SELECT paid_with('capture too much', 'authorized', 'capture 100.01', 'capture 100.001', 'capture -1');
SELECT paid_with('void whole', 'authorized', 'void 100', 'capture 100');
SELECT paid_with('void without amount', 'authorized', 'void 0');
SELECT paid_with('expire without amount', 'authorized', 'expire 0');
SELECT paid_with('fail after authorizing', 'authorized', 'fail 0');
SELECT paid_with('fail, then authorize', 'pending', 'fail 100', 'authorize 100', 'capture 100');
SELECT paid_with('expire, then authorize', 'authorized', 'expire 100', 'authorize 100');
SELECT paid_with('refund', 'captured', 'refund 30', 'refund 70', 'refund 0.01', 'charge_back 0');
SELECT paid_with('pending', 'pending', 'refund 1', 'capture 100');
SELECT paid_with('rest given up', 'authorized', 'capture 40', 'void 60');
SELECT count(*) FROM oms.audit();
\c postgres
DROP DATABASE oms_payment_end;
