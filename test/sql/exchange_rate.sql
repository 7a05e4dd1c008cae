-- exchange_rate.sql: services in several currencies compared by dated exchange rates.
\pset pager off
CREATE DATABASE oms_exchange_rate;
\c oms_exchange_rate
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-11-23 09:00+00';
SELECT oms.upsert_items('[{"sku": "A", "price": 10, "weight_grams": 500}]');
SELECT oms.upsert_locations('[{"code": "default", "active": false}, {"code": "bern", "rank": 1}, {"code": "ulm", "rank": 2}]');
SELECT oms.receive_stock(l, 'A', 100) FROM unnest('{bern,ulm}'::text[]) l;
SELECT oms.upsert_carriers('[{"code": "swiss", "services": [{"code": "ch", "currency": "CHF"}]}, {"code": "german", "services": [{"code": "de", "currency": "EUR"}]}]');
SELECT oms.load_shipping_zones('swiss', '[{"origin_location": "bern", "zone": "1"}]'), oms.load_shipping_zones('german', '[{"origin_location": "ulm", "zone": "1"}]');
SELECT oms.load_shipping_rates('ch', '[{"zone": "1", "to_grams": 1000, "amount": 10}]'), oms.load_shipping_rates('de', '[{"zone": "1", "to_grams": 1000, "amount": 10.5}]');
CREATE FUNCTION placed(ref text) RETURNS text LANGUAGE sql AS $$
  SELECT oms.place_order(format('{"external_ref": "%s", "lines": [{"sku": "A", "quantity": 1}]}', ref)::jsonb) #>> '{fulfillments,0,location}' $$;

-- A missing rate is refused when the policy is saved.
SELECT oms.save_routing_policy('p', '{"objective": "cost", "convert": true}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "currency": "EUR", "convert": true}');
SELECT oms.load_exchange_rates('[{"from": "CHF", "to": "EUR", "valid_from": "2026-12-01", "rate": 0.9}]');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "currency": "EUR", "convert": true}');
SELECT oms.load_exchange_rates('[{"from": "CHF", "to": "EUR", "valid_from": "2026-11-01", "rate": 1.0712345675}]');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "currency": "EUR", "convert": true}');
SELECT oms.activate_routing_policy('p', 1);
-- 10 francs are 10.71 euros now, and 9.00 from December on.
SELECT placed('a1');
SELECT kind, location, term, amount, detail FROM oms.explain_route(oms.find_order('default', 'a1'));
SET oms.clock = '2026-12-01 00:00+00';
SELECT placed('a2');
SELECT kind, location, term, amount, detail FROM oms.explain_route(oms.find_order('default', 'a2'));
-- Each day has its rate, also when it is asked again later.
SELECT plan, orders, changed, from_configuration, cost FROM oms.simulate_routing('p', NULL, NULL);
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
-- Without convert a policy uses services of its currency only.
SELECT oms.save_routing_policy('q', '{"objective": "cost", "currency": "CHF"}'), oms.activate_routing_policy('q', 1);
SELECT placed('b1');
SELECT plan, orders, changed, from_configuration, cost FROM oms.simulate_routing('p', NULL, NULL);

SELECT oms.load_exchange_rates('[{"from": "chf", "to": "EUR", "valid_from": "2026-11-31", "rate": 0}, {"from": "EUR", "to": "EUR", "valid_from": "2026-11-01", "rate": 1},
  {"from": "USD", "to": "EUR", "valid_from": "2026-11-01", "rate": 1000000001}, {"from": "USD", "to": "XXZ", "valid_from": "today", "rate": 0.000000001}]');
SELECT oms.load_exchange_rates('[{"from": "USD", "to": "EUR", "valid_from": "2026-11-01", "rate": 1}, {"from": "USD", "to": "EUR", "valid_from": "2026-11-01", "rate": 2}]');
SELECT oms.load_exchange_rates('[{"from": "USD"}]');
SELECT oms.load_exchange_rates(NULL);
SELECT from_currency, to_currency, valid_from, rate FROM oms.exchange_rates ORDER BY 1, 2, 3;
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_exchange_rate;
