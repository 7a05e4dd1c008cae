#!/bin/bash
# Real payments and refunds, run through the public functions and compared with
# the raw files to the cent:
#
#   Olist         4,449 payments of 3,996 orders, 152 of them paid in several
#                 parts; vouchers are credit accounts; the provider's answers
#                 of all orders arrive shuffled; cancelled orders are paid back
#   WooCommerce   partial refunds of three orders, and one paid with gift cards
#   Shopify       authorization, capture and refund in every order of arrival
#
# Skipped without the sample data.
set -euo pipefail

shared=${OMS_SHARED:-}
if [ ! -e "$shared/orders/olist/olist_order_payments.csv.zst" ] || [ ! -e "$shared/payloads/shopify/transaction.test_1.response.json" ]; then
	echo "skipped: no sample data beside the checkout"
	exit 77
fi
export PGDATABASE=oms_real_payments
psql -qXd postgres -c "CREATE DATABASE $PGDATABASE"
folder=$(mktemp -d)
trap 'rm -rf "$folder"; psql -qXd postgres -c "DROP DATABASE oms_real_payments"' EXIT
for name in orders order_items order_payments; do
	zstd -qdc "$shared/orders/olist/olist_$name.csv.zst" >"$folder/$name.csv"
done

result=$(psql -qAtX -v ON_ERROR_STOP=1 -v folder="$folder" -v payloads="$shared/payloads" <<'SQL'
SET client_min_messages = error;
CREATE EXTENSION oms;
CALL oms.init();
CREATE TABLE orders (order_id text, customer_id text, order_status text, bought timestamp, approved timestamp, carrier timestamp,
                     delivered timestamp, estimated timestamp);
CREATE TABLE items (order_id text, position int, product_id text, seller_id text, due timestamp, price numeric, freight numeric);
CREATE TABLE payments (order_id text, sequential int, type text, installments int, value numeric);
\cd :folder
\copy orders FROM 'orders.csv' CSV HEADER
\copy items FROM 'order_items.csv' CSV HEADER
\copy payments FROM 'order_payments.csv' CSV HEADER

-- ---- Olist ----
SELECT oms.upsert_channels('[{"code":"olist","currency":"BRL","capture":"manual"},{"code":"woo","currency":"USD","capture":"manual"},
    {"code":"shopify","currency":"USD","capture":"manual"}]') \g /dev/null
SELECT oms.upsert_items(jsonb_agg(jsonb_build_object('sku', p, 'kind', 'stocked'))) FROM (SELECT DISTINCT product_id AS p FROM items) i \g /dev/null
SELECT oms.upsert_items('[{"sku":"not kept","kind":"service"}]') \g /dev/null
SELECT oms.load_stock(jsonb_agg(jsonb_build_object('location', 'default', 'sku', p, 'quantity', 1000)), 'full')
FROM (SELECT DISTINCT product_id AS p FROM items) i \g /dev/null
SELECT count(oms.issue_credit('V ' || order_id || sequential, value, 'BRL')) FROM payments WHERE type = 'voucher' AND value > 0 \g /dev/null

-- Orders whose lines were not kept cost what was paid.
SELECT count(oms.place_order(jsonb_build_object('channel', 'olist', 'external_ref', o.order_id,
    'lines', coalesce(l.lines, jsonb_build_array(jsonb_build_object('sku', 'not kept', 'quantity', 1, 'unit_price', coalesce(p.value, 0)))),
    'adjustments', CASE WHEN l.freight > 0 THEN jsonb_build_array(jsonb_build_object('type', 'shipping', 'amount', l.freight)) ELSE '[]' END,
    'payments', coalesce(p.payments, '[]'))))
FROM orders o
LEFT JOIN (SELECT order_id, sum(freight) AS freight, jsonb_agg(jsonb_build_object('sku', product_id, 'quantity', 1, 'unit_price', price) ORDER BY position) AS lines
           FROM items GROUP BY order_id) l USING (order_id)
LEFT JOIN (SELECT order_id, sum(value) AS value, jsonb_agg(jsonb_build_object('method', type, 'amount', value, 'external_ref', order_id || ' ' || sequential)
               || CASE WHEN type = 'voucher' AND value > 0 THEN jsonb_build_object('account', 'V ' || order_id || sequential, 'status', 'captured')
                       ELSE '{"status":"pending"}' END ORDER BY sequential) AS payments
           FROM payments GROUP BY order_id) p USING (order_id);
ANALYZE;

-- The provider's answers of all orders, shuffled.
CREATE TABLE answers AS
SELECT m.payment_id, e.type, p.value, e.type || ' ' || m.external_ref AS reference, coalesce(o.approved, o.bought) + e.after AS at
FROM payments p JOIN orders o USING (order_id) JOIN oms.payments m ON m.external_ref = p.order_id || ' ' || p.sequential
CROSS JOIN (VALUES ('authorize', interval '0'), ('capture', interval '1 minute')) e(type, after) WHERE m.account_id IS NULL;
SELECT count(oms.record_payment_event(payment_id, type, value, reference, at)) > 7000 FROM (SELECT * FROM answers ORDER BY md5(reference)) a;
SELECT 'olist captured', sum(captured), sum(authorized), sum(refunded) FROM oms.payment_balances WHERE currency = 'BRL';
SELECT 'olist per order', count(*) FROM (SELECT order_id, sum(value) AS value FROM payments GROUP BY order_id) p
    JOIN oms.orders o ON o.external_ref = p.order_id
    WHERE (oms.order_balance(o.order_id) ->> 'captured')::numeric <> p.value;
SELECT 'olist status', x.status, count(*), sum(CASE WHEN o.payment_status = x.status THEN 0 ELSE 1 END) FROM (
    SELECT i.order_id, CASE WHEN p.value > i.value THEN 'overpaid' WHEN p.value = i.value THEN 'paid' ELSE 'partially_paid' END AS status
    FROM (SELECT order_id, sum(price + freight) AS value FROM items GROUP BY order_id) i
    JOIN (SELECT order_id, sum(value) AS value FROM payments GROUP BY order_id) p USING (order_id)) x
    JOIN oms.orders o ON o.external_ref = x.order_id GROUP BY x.status ORDER BY x.status;

-- Cancelled orders: vouchers have their money again at once, providers are asked and answer shuffled, some of them failing first.
SELECT count(oms.cancel_order(oms.find_order('olist', order_id), reason => 'cancelled')) > 600 FROM orders WHERE order_status IN ('canceled', 'unavailable');
SELECT count(oms.request_refund(o.order_id)) > 0 FROM oms.orders o WHERE o.status = 'cancelled' AND (oms.order_balance(o.order_id) ->> 'excess')::numeric > 0;
SELECT count(oms.record_payment_event(payment_id, 'refund_failed', 0, 'no ' || command_id)) > 0 FROM oms.payment_commands WHERE status = 'open' AND command_id % 10 = 0;
SELECT count(oms.request_refund(o.order_id)) > 0 FROM oms.orders o WHERE o.status = 'cancelled' AND (oms.order_balance(o.order_id) ->> 'excess')::numeric > 0;
SELECT count(oms.record_payment_event(payment_id, 'refund', amount, 'back ' || command_id, now())) > 0
FROM (SELECT * FROM oms.payment_commands WHERE status = 'open' ORDER BY md5(command_id::text)) c;
SELECT 'olist refunded', sum(b.refunded), sum(b.refunded) = (SELECT sum(value) FROM payments JOIN orders USING (order_id)
    WHERE order_status IN ('canceled', 'unavailable')), sum(refunding) FROM oms.payment_balances b WHERE currency = 'BRL';
SELECT 'olist vouchers', sum(c.balance) = sum(CASE WHEN o.order_status IN ('canceled', 'unavailable') THEN p.value ELSE 0 END), sum(c.held)
FROM payments p JOIN orders o USING (order_id) JOIN oms.credit_accounts c ON c.code = 'V ' || p.order_id || p.sequential;

-- ---- WooCommerce: 39.00 less 10 and 9, 304.45 less 16.20 and 8.10, 1198.50 less 63, 117, 18 and 27; 24 of 28 with gift cards ----
\cd :payloads
\set documents `cat woocommerce/docs.orders.line870.json`
\set partly `cat woocommerce/order-details-partially-refunded.json`
\set many `cat woocommerce/orders-load-all.json`
\set gifts `cat woocommerce/order-with-gift-cards.json`
CREATE TABLE woo AS
SELECT DISTINCT ON (d ->> 'id') d ->> 'id' AS id, d, (SELECT coalesce(sum((g ->> 'amount')::numeric), 0) FROM jsonb_array_elements(d -> 'gift_cards') g) AS gifts
FROM (SELECT jsonb_array_elements(:'documents'::jsonb) UNION ALL SELECT :'partly'::jsonb -> 'data'
      UNION ALL SELECT jsonb_array_elements(:'many'::jsonb -> 'data') UNION ALL SELECT :'gifts'::jsonb -> 'data') x(d)
WHERE jsonb_array_length(d -> 'refunds') > 0 OR jsonb_array_length(d -> 'gift_cards') > 0;
SELECT oms.upsert_items('[{"sku":"woo","kind":"service"}]') \g /dev/null
SELECT count(oms.issue_credit(g ->> 'code', (g ->> 'amount')::numeric, 'USD')) FROM woo, jsonb_array_elements(d -> 'gift_cards') g \g /dev/null
SELECT count(oms.place_order(jsonb_build_object('channel', 'woo', 'external_ref', id, 'total', (d ->> 'total')::numeric + gifts,
    'lines', (SELECT jsonb_agg(jsonb_build_object('sku', 'woo', 'quantity', 1, 'name', l ->> 'name', 'unit_price', l -> 'total')) FROM jsonb_array_elements(d -> 'line_items') l),
    'adjustments', (SELECT coalesce(jsonb_agg(a), '[]') FROM (SELECT jsonb_build_object('type', 'tax', 'amount', d -> 'total_tax') WHERE (d ->> 'total_tax')::numeric > 0
        UNION ALL SELECT jsonb_build_object('type', 'shipping', 'amount', d -> 'shipping_total') WHERE (d ->> 'shipping_total')::numeric > 0
        UNION ALL SELECT jsonb_build_object('type', 'fee', 'amount', f -> 'total') FROM jsonb_array_elements(d -> 'fee_lines') f) x(a)),
    'payments', (SELECT coalesce(jsonb_agg(jsonb_build_object('method', 'gift_card', 'account', g -> 'code', 'amount', g -> 'amount', 'status', 'captured')), '[]')
                 FROM jsonb_array_elements(d -> 'gift_cards') g) || jsonb_build_array(jsonb_build_object('method', d -> 'payment_method', 'amount', d -> 'total', 'status', 'captured')))))
FROM (SELECT id, CASE WHEN d ? 'gift_cards' THEN d ELSE d || '{"gift_cards":[]}' END AS d, gifts FROM woo) w;
SELECT 'woo paid', o.external_ref, o.payment_status, o.total FROM oms.orders o JOIN oms.channels c USING (channel_id) WHERE c.code = 'woo' ORDER BY o.external_ref::int;
SELECT count(oms.grant_refund(oms.find_order('woo', id), -(r ->> 'total')::numeric, r ->> 'reason')) FROM woo, jsonb_array_elements(d -> 'refunds') r;
SELECT count(oms.request_refund(oms.find_order('woo', id))) FROM woo WHERE jsonb_array_length(d -> 'refunds') > 0;
SELECT count(oms.record_payment_event(payment_id, 'refund', -(r ->> 'total')::numeric, r ->> 'id', now()))
FROM woo JOIN oms.payments p ON p.order_id = oms.find_order('woo', id) AND p.account_id IS NULL, jsonb_array_elements(d -> 'refunds') r;
SELECT 'woo', sum(b.captured), sum(b.refunded), sum(b.refunding), sum(b.unmatched) FROM oms.payment_balances b JOIN oms.orders o USING (order_id)
    JOIN oms.channels c USING (channel_id) WHERE c.code = 'woo';
SELECT 'woo grants', count(*), sum(amount) FROM oms.refunds WHERE status = 'executed';
SELECT 'woo gift cards', sum(balance) FROM oms.credit_accounts WHERE currency = 'USD';

-- ---- Shopify: authorized 598.94, captured 250.94, refunded 209.00, in every order of arrival ----
\set transactions `cat shopify/transaction.test_1.response.json`
CREATE TABLE transactions AS SELECT CASE t ->> 'kind' WHEN 'authorization' THEN 'authorize' ELSE t ->> 'kind' END AS type, (t ->> 'amount')::numeric AS amount,
    t ->> 'id' AS reference, (t ->> 'created_at')::timestamptz AS at FROM jsonb_array_elements(:'transactions'::jsonb -> 'transactions') t;
SELECT count(oms.place_order(jsonb_build_object('channel', 'shopify', 'external_ref', a.type || b.type || c.type, 'lines', '[{"sku":"woo","quantity":1,"unit_price":"598.94"}]'::jsonb,
    'payments', '[{"method":"bogus","status":"pending"}]'::jsonb)))
FROM transactions a, transactions b, transactions c WHERE a.type <> b.type AND b.type <> c.type AND a.type <> c.type;
SELECT count(oms.record_payment_event(payment_id, type, amount, reference, at)) FROM (
    SELECT p.payment_id, t.* FROM oms.orders o JOIN oms.channels USING (channel_id) JOIN oms.payments p USING (order_id) CROSS JOIN transactions t
    WHERE code = 'shopify' ORDER BY o.order_id, position(t.type IN o.external_ref)) x;
SELECT DISTINCT 'shopify', oms.order_balance(order_id) - 'order_id' FROM oms.orders JOIN oms.channels USING (channel_id) WHERE code = 'shopify';
SELECT 'faults', count(*) FROM oms.audit();
SQL
)
expected='3996
t
olist captured|692948.92|0.00|0
olist per order|0
olist status|overpaid|12|0
olist status|paid|3584|0
olist status|partially_paid|5|0
t
t
t
t
t
olist refunded|134705.25|t|0
olist vouchers|t|0
4
woo paid|324|paid|304.45
woo paid|459|paid|28.00
woo paid|560|paid|1198.50
woo paid|723|paid|39.00
8
3
8
woo|1569.95|268.30|0|0.00
woo grants|8|268.30
woo gift cards|0
6
18
shopify|{"due": 557.00, "total": 598.94, "excess": 0, "granted": 0, "captured": 250.94, "currency": "USD", "refunded": 209.00, "authorized": 348.00, "refundable": 41.94, "payment_status": "partially_refunded"}
faults|0'
if [ "$result" != "$expected" ]; then
	echo 'sums differ:'
	diff <(echo "$expected") <(echo "$result")
	exit 1
fi
