-- story.sql: two minutes with oms.
\pset footer off
\set QUIET on
\echo
\echo '== One CREATE EXTENSION, one call, and orders can be placed.'
CREATE EXTENSION IF NOT EXISTS oms;
SET client_min_messages = warning;
CALL oms.init();
SELECT oms.upsert_channels('[{"code":"web","currency":"GBP"}]') AS channels,
       oms.upsert_items('[{"sku":"TEAPOT","price":"24.00"},{"sku":"MUG","price":"6.50"},{"sku":"VOUCHER","kind":"digital","price":10}]') AS items,
       oms.upsert_locations('[{"code":"london","latitude":51.51,"longitude":-0.13},{"code":"leeds","latitude":53.80,"longitude":-1.55}]') AS locations;
SELECT oms.receive_stock('london', 'TEAPOT', 3, 'PO-1') AS london_teapots, oms.receive_stock('leeds', 'TEAPOT', 5, 'PO-2') AS leeds_teapots,
       oms.receive_stock('leeds', 'MUG', 40, 'PO-2') AS leeds_mugs;
\echo '== An order from Brighton: the nearest location that has everything.'
SELECT jsonb_pretty(oms.place_order('{"channel":"web","external_ref":"1001","customer":{"ref":"C-7"},
    "ship_to":{"city":"Brighton","latitude":50.82,"longitude":-0.14},
    "lines":[{"sku":"TEAPOT","quantity":1},{"sku":"VOUCHER","quantity":1}],
    "adjustments":[{"type":"shipping","amount":"4.95"}],"payments":[{"method":"card"}],"total":"38.95"}') - 'totals') AS placed;
\echo '== Seven teapots: no location has them, so the order is split.'
SELECT f ->> 'location' AS location, f -> 'lines' AS lines FROM jsonb_array_elements(oms.place_order('{"channel":"web","external_ref":"1002",
    "ship_to":{"city":"Brighton","latitude":50.82,"longitude":-0.14},"lines":[{"sku":"TEAPOT","quantity":7}]}') -> 'fulfillments') f;
\echo '== One more is refused, with what is there; nothing is written.'
SELECT oms.place_order('{"channel":"web","external_ref":"1003","lines":[{"sku":"TEAPOT","quantity":1},{"sku":"MUG","quantity":99}]}');
\echo '== The customer changes his mind about three of the seven.'
SELECT o ->> 'status' AS status, o -> 'totals' ->> 'total' AS total
FROM oms.cancel_order(oms.find_order('web', '1002'), '[{"line_no":1,"quantity":3}]', 'changed mind') o;
SELECT * FROM oms.available('TEAPOT');
\echo '== What happened, step by step, and the rule that allowed each step.'
SELECT action, object_type, from_state, to_state, rule, reason FROM oms.order_timeline(oms.find_order('web', '1001'));
\echo '== The machine behind it is data.'
SELECT oms.state_diagram('order');
\echo '== And every counter, balance and status still follows from the ledgers (no row means sound):'
SELECT * FROM oms.audit();
