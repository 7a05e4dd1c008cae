-- Carriers, zones, rates, policies, the exact plan and its record.
SET client_min_messages = error;
CALL oms.init();
SELECT oms.init_tenant(72);
SET oms.tenant = 72;
SELECT oms.upsert_locations('[
  {"code": "east", "latitude": 40.7, "longitude": -74.0, "postal_code": "10001", "country": "US", "cost_per_order": 2.00, "cost_per_unit": 0.10, "rank": 1},
  {"code": "middle", "latitude": 41.9, "longitude": -87.6, "postal_code": "60601", "country": "US", "cost_per_order": 1.00, "cost_per_unit": 0.10, "rank": 2},
  {"code": "west", "latitude": 34.0, "longitude": -118.2, "postal_code": "90001", "country": "US", "cost_per_order": 1.50, "cost_per_unit": 0.05, "rank": 3},
  {"code": "nowhere", "rank": 4}]');
SELECT oms.upsert_items('[{"sku": "LAMP", "weight_grams": 400, "price": 20}, {"sku": "DESK", "weight_grams": 9000, "price": 150},
  {"sku": "RUG", "weight_grams": 2500, "price": 60, "backorder": true}]');
SELECT oms.upsert_channels('[{"code": "shop", "currency": "USD", "backorder": true}]');
SELECT oms.upsert_locations('[{"code": "east", "channels": [{"channel": "shop"}]}, {"code": "middle", "channels": [{"channel": "shop"}]},
  {"code": "west", "channels": [{"channel": "shop"}]}, {"code": "nowhere", "channels": [{"channel": "shop"}]}]');

-- What is loaded is checked whole.
SELECT oms.upsert_carriers('[{"code": "post", "name": "Post", "services": [
  {"code": "post.ground", "level": "ground", "zone_chart": "post", "currency": "USD", "surcharge": 0.25},
  {"code": "post.air", "level": "air", "zone_chart": "post", "currency": "USD"}]},
  {"code": "bike", "services": [{"code": "bike.city", "level": "ground", "zone_chart": "rings", "currency": "USD"}]}]');
SELECT oms.upsert_carriers('[{"code": "x", "services": [{"code": "x.1", "currency": "usd"}, {"code": "x.1"}]}]');
SELECT oms.load_shipping_zones('post', '[
  {"origin_prefix": "100", "destination_prefix": "1", "zone": "near"}, {"origin_prefix": "100", "destination_prefix": "9", "zone": "far"},
  {"origin_prefix": "606", "destination_prefix": "1", "zone": "mid"}, {"origin_prefix": "606", "destination_prefix": "9", "zone": "mid"},
  {"origin_prefix": "900", "destination_prefix": "1", "zone": "far"}, {"origin_prefix": "900", "destination_prefix": "9", "zone": "near"},
  {"origin_prefix": "900", "destination_prefix": "967", "zone": "island"}]');
SELECT oms.load_shipping_zones('post', '[{"zone": "a"}, {"zone": "a", "distance_from": 3, "distance_to": 2},
  {"zone": "a", "origin_prefix": "1", "distance_from": 1, "distance_to": 2}, {"zone": "a", "origin_location": "mars"}]');
SELECT oms.load_shipping_zones('post', '[{"zone": "a", "origin_prefix": "1", "destination_prefix": "2"},
  {"zone": "b", "origin_prefix": "1", "destination_prefix": "2"}]');
SELECT oms.load_shipping_zones('rings', '[{"zone": "1", "distance_from": 0, "distance_to": 10},
  {"zone": "2", "distance_from": 5, "distance_to": 30}]');
SELECT oms.load_shipping_zones('rings', '[{"zone": "1", "distance_from": 0, "distance_to": 10},
  {"zone": "2", "distance_from": 10, "distance_to": 30}]');
SELECT oms.load_shipping_zones('rings', '[]', 'merge');
SELECT oms.load_shipping_rates('post.ground', '[
  {"zone": "near", "to_grams": 1000, "amount": 4.00}, {"zone": "near", "to_grams": 30000, "amount": 5.00},
  {"zone": "mid", "to_grams": 1000, "amount": 6.00}, {"zone": "mid", "to_grams": 30000, "amount": 9.00},
  {"zone": "far", "to_grams": 1000, "amount": 8.00}, {"zone": "far", "to_grams": 30000, "per_kilogram": 1.50, "minimum": 10}]');
SELECT oms.load_shipping_rates('post.air', '[{"zone": "near", "to_grams": 1000, "amount": 12}, {"zone": "near", "from_grams": 2000, "to_grams": 3000, "amount": 20}]');
SELECT oms.load_shipping_rates('post.air', '[{"zone": "near", "to_grams": 1000, "amount": 12}, {"zone": "near", "from_grams": 1000, "to_grams": 3000, "amount": 20}]');
SELECT oms.load_shipping_rates('post.sea', '[]');
SELECT oms.load_shipping_rates('bike.city', '[{"zone": "1", "to_grams": 5000, "amount": 2.50}, {"zone": "2", "to_grams": 5000, "amount": 3.50}]');
SELECT * FROM oms.check_network();

SELECT oms.receive_stock(l, s, q) IS NOT NULL AS received
FROM (VALUES ('east', 'LAMP', 10), ('middle', 'LAMP', 10), ('west', 'LAMP', 10), ('middle', 'DESK', 5), ('west', 'DESK', 5),
      ('east', 'RUG', 2), ('west', 'RUG', 2)) v(l, s, q);

CREATE FUNCTION pg_temp.order_of(ref text, lines text, more text DEFAULT '') RETURNS jsonb LANGUAGE sql AS $$
  SELECT format('{"channel": "shop", "external_ref": "%s", "lines": [%s]%s}', ref, lines, more)::jsonb $$;
CREATE FUNCTION pg_temp.parts(answer jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s%s: %s', f ->> 'location', CASE WHEN f ? 'backordered' THEN ' (later)' ELSE '' END,
    (SELECT string_agg(format('%s of line %s', l ->> 'quantity', l ->> 'line_no'), ', ') FROM jsonb_array_elements(f -> 'lines') l)), '; ')
  FROM jsonb_array_elements(answer -> 'fulfillments') f $$;
\set newyork ', "ship_to": {"postal_code": "10025", "country": "US", "latitude": 40.8, "longitude": -73.97}'
\set angeles ', "ship_to": {"postal_code": "90210", "country": "US", "latitude": 34.1, "longitude": -118.4}'

-- Without a policy the nearest location that has everything serves, and nothing is recorded.
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('n1', '{"sku": "LAMP", "quantity": 1}', :'newyork')));
SELECT kind, detail FROM oms.explain_route(oms.find_order('shop', 'n1'));

-- Policies: versions, checked whole.
SELECT oms.save_routing_policy('cheap', '{"objective": "price"}');
SELECT oms.save_routing_policy('cheap', '{"objective": "ranking"}');
SELECT oms.save_routing_policy('cheap', '{"objective": "ranking", "ranking": [{"term": "cost", "tolerance": 1}, {"term": "distance"}]}');
SELECT oms.save_routing_policy('cheap', '{"objective": "cost", "currency": "USD"}');
SELECT oms.activate_routing_policy('cheap', 2);
SELECT oms.activate_routing_policy('cheap', 1, 'shop');
SELECT oms.activate_routing_policy('cheap', 1, 'shop');

-- The plan: the bike's second ring costs 3.50 there, the post 4.25.
SELECT pg_temp.parts(oms.preview_order(pg_temp.order_of('p1', '{"sku": "LAMP", "quantity": 1}', :'newyork')));
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('p1', '{"sku": "LAMP", "quantity": 1}', :'newyork')));
SELECT * FROM oms.explain_route(oms.find_order('shop', 'p1'));
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('p2', '{"sku": "LAMP", "quantity": 2}, {"sku": "DESK", "quantity": 1}', :'newyork')));
SELECT * FROM oms.explain_route(oms.find_order('shop', 'p2'));
-- A service named by the order, by level and by code.
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('p3', '{"sku": "LAMP", "quantity": 1}', :'angeles' || ', "service": "air"')));
SELECT * FROM oms.explain_route(oms.find_order('shop', 'p3'));
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('p4', '{"sku": "DESK", "quantity": 1}', :'angeles' || ', "service": "post.air"')));
-- The weight of goods that are weighed.
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('p5', '{"sku": "LAMP", "quantity": 1, "attributes": {"weight_grams": 20000}}', :'newyork')));
SELECT term, amount, detail FROM oms.explain_route(oms.find_order('shop', 'p5')) WHERE kind = 'plan';
-- More than one place has: split, the rest later.
SELECT pg_temp.parts(oms.preview_order(pg_temp.order_of('p6', '{"sku": "RUG", "quantity": 4}', :'angeles')));
UPDATE oms.stock_counters SET backorder_limit = 5 WHERE tenant_id = 72 AND item_id = (SELECT item_id FROM oms.items WHERE tenant_id = 72 AND sku = 'RUG');
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('p7', '{"sku": "RUG", "quantity": 6}', :'angeles')));
-- A location of the document is no choice.
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('p8', '{"sku": "LAMP", "quantity": 1, "location": "west"}', :'newyork')));
SELECT kind FROM oms.explain_route(oms.find_order('shop', 'p8'));

-- Hard rules refuse, soft ones give way and the record says so.
SELECT oms.save_routing_policy('near', '{"objective": "cost", "currency": "USD", "max_kilometres": 100, "max_fulfillments": 1}');
SELECT oms.activate_routing_policy('near', 1, 'shop');
SELECT code, version, status FROM oms.routing_policies WHERE tenant_id = 72 ORDER BY 1, 2;
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('r1', '{"sku": "DESK", "quantity": 1}', :'newyork')));
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('r1', '{"sku": "DESK", "quantity": 50}', :'newyork')));
SELECT oms.save_routing_policy('near', '{"objective": "cost", "currency": "USD", "max_kilometres": 100, "max_fulfillments": 1,
  "relax": [{"rule": "max_kilometres"}]}');
SELECT oms.activate_routing_policy('near', 2, 'shop');
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('r2', '{"sku": "DESK", "quantity": 1}', :'newyork')));
SELECT kind, location, term, amount FROM oms.explain_route(oms.find_order('shop', 'r2')) WHERE kind IN ('relaxed', 'policy', 'plan');
SELECT pg_temp.parts(oms.preview_order(pg_temp.order_of('r3', '{"sku": "DESK", "quantity": 6}', :'newyork')));

-- A ranking instead of a sum.
SELECT oms.save_routing_policy('ranked', '{"objective": "ranking", "ranking": [{"term": "fulfillments"}, {"term": "distance"}]}');
SELECT oms.activate_routing_policy('ranked', 1, 'shop');
SELECT pg_temp.parts(oms.place_order(pg_temp.order_of('k1', '{"sku": "LAMP", "quantity": 1}, {"sku": "DESK", "quantity": 1}', :'newyork')));
SELECT kind, location, term, amount FROM oms.explain_route(oms.find_order('shop', 'k1'));
SELECT * FROM oms.explain_route(999999999);

-- The map is well-formed and has the shipments, the destination and the other locations; a code is escaped.
SELECT xml_is_well_formed_document(m) AS well_formed, (length(m) - length(replace(m, '<line', ''))) / 5 AS lines,
       (length(m) - length(replace(m, '<circle', ''))) / 7 AS points, m LIKE '%>east: 2 later<%' AS later
FROM oms.route_map(oms.find_order('shop', 'p7')) m;
UPDATE oms.locations SET code = 'ea<st & "co"' WHERE tenant_id = 72 AND code = 'east';
SELECT xml_is_well_formed_document(m) AS well_formed, m LIKE '%ea&lt;st &amp; "co": 2<%' AS escaped
FROM oms.route_map(oms.find_order('shop', 'p7')) m;
UPDATE oms.locations SET code = 'east' WHERE tenant_id = 72 AND code LIKE 'ea<%';
SELECT oms.route_map(999999999);

-- Every record replays; a changed one is found.
SELECT count(*) AS decisions, bool_and(oms.route_replays(record)) AS replays, max(length(record)) < 400 AS compact
FROM oms.routing_decisions WHERE tenant_id = 72;
SELECT * FROM oms.audit();
BEGIN;
SET LOCAL session_replication_role = replica;  -- no guard fires
UPDATE oms.routing_decisions SET record = set_byte(record, length(record) - 18, 77) WHERE order_id = oms.find_order('shop', 'p1');
UPDATE oms.routing_decisions SET record = substr(record, 1, 9) WHERE order_id = oms.find_order('shop', 'p2');
SELECT "check", expected, found FROM oms.audit();
ROLLBACK;
