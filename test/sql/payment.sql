-- Payments: events, balances, statuses.
SET client_min_messages = warning;
\set VERBOSITY default
SELECT oms.upsert_items('[{"sku":"LAMP","price":"25.00"}]'), oms.receive_stock('default', 'LAMP', 20);
SELECT oms.place_order('{"external_ref":"pay1","lines":[{"sku":"LAMP","quantity":2}],"payments":[{"method":"card","amount":"30.00","reference":"auth-1"},{"method":"voucher","amount":"20.00","status":"captured"}]}') AS o \gset
SELECT (:'o'::jsonb #>> '{payments,0}')::bigint AS card, (:'o'::jsonb #>> '{payments,1}')::bigint AS voucher, (:'o'::jsonb ->> 'order_id')::bigint AS id \gset
SELECT oms.order_balance(:id) - 'order_id' AS balance;
SELECT oms.record_payment_event(:card, 'capture', 30.01, 'cap-1');
SELECT oms.record_payment_event(:card, 'capture', 10, 'cap-1') ->> 'payment_status' AS status;
SELECT oms.record_payment_event(:card, 'capture', 10, 'cap-1') ->> 'captured' AS captured;
SELECT oms.record_payment_event(:card, 'capture', 11, 'cap-1');
SELECT oms.record_payment_event(:card, 'capture', 20, 'cap-2') ->> 'payment_status' AS status;
SELECT oms.record_payment_event(:card, 'capture', 0.01, 'cap-3');
SELECT oms.record_payment_event(:card, 'refund', 31, 'ref-1');
SELECT oms.record_payment_event(:card, 'refund', 5, 'ref-1') - 'order_id' AS balance;
SELECT oms.record_payment_event(:voucher, 'bribe', 5, 'x');
SELECT oms.record_payment_event(:voucher, 'refund', -5, 'x');
SELECT oms.record_payment_event(:voucher, 'refund', 1.005, 'x');
SELECT oms.record_payment_event(:voucher, 'authorize', 5, 'x');
SELECT oms.add_payment(:id, '{"method":"card","currency":"USD"}');
SELECT oms.add_payment(:id, '{"method":"cash","amount":5,"status":"captured"}') > 0 AS added;
SELECT oms.order_balance(:id) ->> 'payment_status' AS status;
SELECT oms.cancel_order(:id, '[{"line_no":1,"quantity":1}]') ->> 'payment_status' AS status;
SELECT type, action, from_state, to_state FROM oms.order_timeline(:id) WHERE object_type = 'payment';

-- Every action in every state does what the machine says.
SELECT status, count(*) FROM oms.payments WHERE order_id = :id GROUP BY 1 ORDER BY 1;
SELECT oms.place_order('{"external_ref":"pay2","lines":[{"sku":"LAMP","quantity":1}],"payments":[{"method":"card","status":"pending"}]}') #>> '{payments,0}' AS p \gset
SELECT oms.record_payment_event(:p, 'authorize', 25, 'a') ->> 'payment_status' AS status;
SELECT oms.record_payment_event(:p, 'void', 25, 'v') ->> 'payment_status' AS status;
SELECT oms.record_payment_event(:p, 'capture', 25, 'c');
SELECT * FROM oms.audit();
