-- promise.sql: ship and delivery dates of orders, previewed as they are placed.
\pset pager off
CREATE DATABASE oms_promise;
\c oms_promise
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-11-23 09:00+00';
SELECT oms.upsert_items('[{"sku": "A", "price": 10, "weight_grams": 500}, {"sku": "FILE", "price": 5, "kind": "digital"}, {"sku": "B", "price": 1, "backorder": true}]');
SELECT oms.receive_stock('default', 'A', 100), oms.receive_stock('default', 'B', 2);
SELECT oms.set_stock_limits('default', 'B', 0, 10);
UPDATE oms.channels SET backorder = true;
CREATE FUNCTION o(ref text, more text DEFAULT '', sku text DEFAULT 'A', quantity int DEFAULT 1) RETURNS jsonb LANGUAGE sql AS $$
  SELECT format('{"external_ref": "%s", "lines": [{"sku": "%s", "quantity": %s}]%s}', ref, sku, quantity, more)::jsonb $$;
-- Places what it previews; both answer the same but for the ids.
CREATE FUNCTION dates(doc jsonb) RETURNS TABLE (promised text, location text, service text, ship_by text, earliest_at text, promised_at text, same boolean)
LANGUAGE plpgsql AS $$
DECLARE
    preview jsonb := oms.preview_order(doc);
    placed jsonb := oms.place_order(doc);
BEGIN
    RETURN QUERY SELECT placed ->> 'promised_at', f ->> 'location', f ->> 'service', f ->> 'ship_by', f ->> 'earliest_at', f ->> 'promised_at',
        preview - 'status' - 'fulfillments' = placed - 'status' - 'fulfillments' - 'order_id' - 'payments'
        AND preview #> ARRAY['fulfillments', (n - 1)::text] = f - 'fulfillment_id'
    FROM jsonb_array_elements(placed -> 'fulfillments') WITH ORDINALITY x(f, n);
END $$;

-- Nothing is configured: nothing is promised, and no delivery is written for it.
SELECT * FROM dates(o('n1'));
SELECT count(*) FROM oms.order_deliveries;

SELECT oms.upsert_calendars('[{"code": "office", "hours": [{"weekday": 1, "opens": "08:00", "closes": "18:00"}, {"weekday": 2, "opens": "08:00", "closes": "18:00"},
  {"weekday": 3, "opens": "08:00", "closes": "18:00"}, {"weekday": 4, "opens": "08:00", "closes": "18:00"}, {"weekday": 5, "opens": "08:00", "closes": "18:00"}],
  "days": [{"from": "2026-12-25", "to": "2026-12-26"}]}]');
SELECT oms.upsert_locations('[{"code": "default", "time_zone": "Europe/Berlin", "calendar": "office", "cut_off": "14:00", "handling_hours": 2, "pickup": true}]');
-- Only the location is known: when it ships, not when it arrives.
SELECT * FROM dates(o('a1'));
-- After the cut-off, and on the evening of a Friday.
SET oms.clock = '2026-11-23 13:00+00';
SELECT * FROM dates(o('a2'));
SET oms.clock = '2026-11-27 21:00+00';
SELECT * FROM dates(o('a3'));

-- Services: the cheapest, with its own times, over Christmas.
SELECT oms.upsert_carriers('[{"code": "post", "services": [
  {"code": "post.slow", "level": "any", "zone_chart": "de", "calendar": "office", "delivered_by": "20:00"},
  {"code": "post.fast", "level": "any", "zone_chart": "de", "calendar": "office"}, {"code": "post.none", "level": "odd", "zone_chart": "de"}]}]');
SELECT oms.load_shipping_zones('de', '[{"destination_prefix": "1", "zone": "near"}, {"destination_prefix": "8", "zone": "far"}]');
SELECT oms.load_shipping_rates('post.slow', '[{"zone": "near", "to_grams": 1000, "amount": 3}, {"zone": "far", "to_grams": 31000, "amount": 5}]');
SELECT oms.load_shipping_rates('post.fast', '[{"zone": "near", "to_grams": 31000, "amount": 9}, {"zone": "far", "to_grams": 31000, "amount": 12}]');
SELECT oms.load_transit_times('post.slow', '[{"zone": "near", "days": 2, "days_latest": 3}, {"zone": "far", "days": 4}]');
SELECT oms.load_transit_times('post.fast', '[{"days": 1}]');
SET oms.clock = '2026-12-21 09:00+00';
\set near ', "ship_to": {"postal_code": "10115", "country": "DE"}'
\set far ', "ship_to": {"postal_code": "80331", "country": "DE"}'
SELECT * FROM dates(o('s1', :'near'));
SELECT * FROM dates(o('s2', :'far'));
-- Too heavy for the cheap one; named by the order; a level; one without transit times.
SELECT * FROM dates(o('s3', :'near', 'A', 3));
SELECT * FROM dates(o('s4', :'near' || ', "service": "post.fast"'));
SELECT * FROM dates(o('s5', :'far' || ', "service": "any"'));
SELECT * FROM dates(o('s6', :'near' || ', "service": "odd"'));
-- No zone: the service with a time for all of them.
SELECT * FROM dates(o('s7', ', "ship_to": {"postal_code": "99999", "country": "DE"}'));
-- Collected by the customer: from when it is ready.
SELECT * FROM dates(o('p1', ', "method": "pickup", "pickup_location": "default"'));
-- What is not there has no date, and so the whole has none; files need none.
SELECT * FROM dates(o('b1', :'near', 'B', 5));
SELECT * FROM dates('{"external_ref": "f1", "lines": [{"sku": "FILE", "quantity": 1}, {"sku": "A", "quantity": 1}], "ship_to": {"postal_code": "10115", "country": "DE"}}');
-- A service has a later cut-off at this location.
SET oms.clock = '2026-12-21 13:30+00';
SELECT * FROM dates(o('c1', :'near' || ', "service": "post.fast"'));
SELECT oms.upsert_locations('[{"code": "default", "handling_hours": 0, "services": [{"service": "post.fast", "cut_off": "16:00", "collected_at": "17:30"}]}]');
SELECT * FROM dates(o('c2', :'near' || ', "service": "post.fast"'));

-- It is kept, and stays when the order is asked for again.
SELECT d.order_id, d.promised_at, f.ship_by, f.earliest_at, f.promised_at, f.service
FROM oms.order_deliveries d JOIN oms.fulfillments f USING (order_id) WHERE order_id = oms.find_order('default', 's1');
SELECT o -> 'deliveries' -> 0 ->> 'promised_at' AS first, o -> 'fulfillments' -> 0 ->> 'ship_by' AS ship_by
FROM oms.get_order(oms.find_order('default', 's1')) o;
SET oms.clock = '2027-01-04 09:00+00';
SELECT oms.place_order(o('s1', :'near')) ->> 'promised_at' AS again;

-- A location that does not open within a year is no candidate.
SELECT oms.upsert_calendars('[{"code": "summer", "hours": [], "days": [{"from": "2027-06-01", "to": "2027-08-31", "opens": "09:00"}]}]');
SELECT oms.upsert_locations('[{"code": "default", "calendar": "summer"}]');
SELECT * FROM dates(o('z1'));
SET oms.clock = '2027-10-04 09:00+00';
SELECT * FROM dates(o('z2'));
-- A carrier that never comes while it is open.
SELECT oms.upsert_calendars('[{"code": "winter", "hours": [], "days": [{"from": "2028-01-01", "to": "2028-03-31"}, {"from": "2027-11-01", "to": "2027-11-30", "opens": "09:00"}]}]');
SELECT oms.upsert_locations('[{"code": "default", "calendar": "office"}]');
SELECT oms.upsert_carriers('[{"code": "post", "services": [{"code": "post.fast", "calendar": "winter"}]}]');
SELECT * FROM dates(o('z3', :'near' || ', "service": "post.fast"'));
SET oms.clock = '2027-12-06 09:00+00';
SELECT * FROM dates(o('z4', :'near' || ', "service": "post.fast"'));
SELECT * FROM oms.audit();
-- Routing by date: two locations, slow and fast services; by distance no difference.
SET oms.clock = '2026-11-23 09:00+00';
SELECT oms.init_tenant(2);
SET oms.tenant = 2;
SELECT oms.upsert_channels('[{"code": "default", "currency": "EUR"}]');
SELECT oms.upsert_items('[{"sku": "A", "price": 10, "weight_grams": 500}]');
SELECT oms.upsert_calendars('[{"code": "office", "hours": [{"weekday": 1}, {"weekday": 2}, {"weekday": 3}, {"weekday": 4}, {"weekday": 5}]}]');
SELECT oms.upsert_locations('[{"code": "default", "active": false}, {"code": "cheap", "calendar": "office", "handling_days": 2}, {"code": "quick", "calendar": "office", "cost_per_order": 1.5}]');
SELECT oms.receive_stock('cheap', 'A', 100), oms.receive_stock('quick', 'A', 100);
SELECT oms.upsert_carriers('[{"code": "post", "services": [{"code": "slow", "zone_chart": "all", "calendar": "office"}, {"code": "fast", "zone_chart": "all", "calendar": "office"},
  {"code": "unsure", "level": "unsure", "zone_chart": "all"}]}]');
SELECT oms.load_shipping_zones('all', '[{"origin_location": "cheap", "zone": "1"}, {"origin_location": "quick", "zone": "1"}]');
SELECT oms.load_shipping_rates('slow', '[{"zone": "1", "to_grams": 31000, "amount": 4}]');
SELECT oms.load_shipping_rates('fast', '[{"zone": "1", "to_grams": 1000, "amount": 9}]');
SELECT oms.load_shipping_rates('unsure', '[{"zone": "1", "to_grams": 31000, "amount": 1}]');
SELECT oms.load_transit_times('slow', '[{"days": 4}]');
SELECT oms.load_transit_times('fast', '[{"days": 1}]');
UPDATE oms.carrier_services SET active = false WHERE tenant_id = 2 AND code = 'unsure';
CREATE FUNCTION routed(ref text, more text DEFAULT '', quantity int DEFAULT 1) RETURNS TABLE (location text, service text, ship_by text, promised_at text, same boolean) LANGUAGE sql AS $$
  SELECT d.location, d.service, d.ship_by, d.promised_at, d.same FROM dates(o(ref, more, 'A', quantity)) d $$;
CREATE FUNCTION explained(ref text) RETURNS TABLE (kind text, location text, term text, amount numeric, detail text) LANGUAGE sql AS $$
  SELECT kind, location, term, amount, detail FROM oms.explain_route(oms.find_order('default', ref)) $$;

-- Nothing about dates in the policy: the cheapest, however late.
SELECT oms.save_routing_policy('any', '{"objective": "cost"}'), oms.activate_routing_policy('any', 1);
SELECT * FROM routed('d1', ', "requested_at": "2026-11-24T00:00:00Z"');
SELECT kind, term, amount FROM explained('d1') WHERE kind IN ('policy', 'plan');
-- In time, as a hard rule: the day counts, not the hour.
SELECT oms.save_routing_policy('hard', '{"objective": "cost", "in_time": true}'), oms.activate_routing_policy('hard', 1);
SELECT * FROM routed('h1', ', "requested_at": "2026-12-01T00:00:00Z"');
SELECT * FROM routed('h2', ', "requested_at": "2026-11-30T00:00:00Z"');
SELECT * FROM explained('h2');
SELECT * FROM routed('h3', ', "requested_at": "2026-11-26T00:00:00Z"');
SELECT * FROM routed('h4', ', "requested_at": "2026-11-24T00:00:00Z"');
SELECT * FROM explained('h4');
SELECT * FROM routed('h5', ', "requested_at": "2026-11-23T23:00:00Z"');
-- Too heavy for the fast one.
SELECT * FROM routed('h6', ', "requested_at": "2026-11-24T00:00:00Z"', 3);
SELECT * FROM routed('h7');
-- A service whose days nobody knows is not in time.
UPDATE oms.carrier_services SET active = true WHERE tenant_id = 2 AND code = 'unsure';
SELECT * FROM routed('u1', ', "requested_at": "2026-11-30T00:00:00Z"');
SELECT * FROM routed('u2', ', "requested_at": "2026-11-30T00:00:00Z", "service": "unsure"');
SELECT * FROM routed('u3', ', "service": "unsure"');
UPDATE oms.carrier_services SET active = false WHERE tenant_id = 2 AND code = 'unsure';

-- Softened: the rule gives way, and the record says so.
SELECT oms.save_routing_policy('soft', '{"objective": "cost", "in_time": true, "relax": [{"rule": "in_time"}]}'), oms.activate_routing_policy('soft', 1);
SELECT * FROM routed('s1', ', "requested_at": "2026-11-23T23:00:00Z"');
SELECT * FROM explained('s1');
-- A price on every day: 2.00 for one do not pay for the fast one, 6.00 for three do.
SELECT oms.save_routing_policy('late', '{"objective": "cost", "cost_per_day_late": 2}'), oms.activate_routing_policy('late', 1);
SELECT * FROM routed('l1', ', "requested_at": "2026-11-27T00:00:00Z"');
SELECT * FROM explained('l1');
SELECT * FROM routed('l2', ', "requested_at": "2026-11-24T00:00:00Z"');
SELECT kind, location, term, amount, detail FROM explained('l2') WHERE kind = 'plan';
SELECT * FROM routed('l3', ', "requested_at": "2026-11-30T00:00:00Z"');
SELECT * FROM explained('l3') WHERE kind IN ('plan', 'runner-up', 'change');
-- Where shipping itself does not count, lateness still does.
SELECT oms.save_routing_policy('late', '{"objective": "cost", "shipping_weight": 0, "cost_per_day_late": 2}'), oms.activate_routing_policy('late', 2);
SELECT * FROM routed('l4', ', "requested_at": "2026-11-24T00:00:00Z"');
SELECT kind, location, term, amount, detail FROM explained('l4') WHERE kind = 'plan';
SELECT oms.save_routing_policy('late', '{"objective": "cost", "cost_per_day_late": -1}');
SELECT oms.save_routing_policy('late', '{"objective": "cost", "relax": [{"rule": "on_time"}]}');

-- Every decision replays, and a simulation by the policy that was active gives each of them again.
SELECT count(*), bool_and(oms.route_replays(record)) FROM oms.routing_decisions WHERE tenant_id = 2;
SELECT plan, orders, refused, changed, from_configuration, cost FROM oms.simulate_routing('hard', NULL, NULL);
SELECT plan, orders, refused, changed, from_configuration, cost FROM oms.simulate_routing('late/1', NULL, NULL);
SELECT * FROM oms.audit();
SELECT p.code, p.version, count(*), count(*) FILTER (WHERE s.changed) AS changed FROM oms.routing_policies p
JOIN oms.routing_decisions d ON d.policy_id = p.policy_id
JOIN LATERAL oms.simulate_routing_orders(p.code || '/' || p.version, NULL, NULL) s USING (order_id) GROUP BY 1, 2 ORDER BY 1, 2;
-- Lateness of both, where the policies count days; null where they do not.
SELECT plan, late, days_late FROM oms.simulate_routing('late/1', NULL, NULL);
SELECT recorded_days_late, days_late, count(*) FROM oms.simulate_routing_orders('late/1', NULL, NULL) GROUP BY 1, 2 ORDER BY 1, 2;
-- A changed record is found, the days in it too.
SELECT count(*) FILTER (WHERE NOT oms.route_replays(set_byte(record, i, get_byte(record, i) # 2))) > 20 AS found
FROM oms.routing_decisions, generate_series(0, length(record) - 1) i WHERE order_id = oms.find_order('default', 'l3');
\c postgres
DROP DATABASE oms_promise;
