-- routing_input.sql: networks and policies that cannot work: refused when saved, or by name when an order shows it.
\pset pager off
CREATE DATABASE oms_routing_input;
\c oms_routing_input
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
\pset tuples_only on
\pset format unaligned
-- Places.
SELECT oms.upsert_locations('[{"code": "a", "latitude": 91, "longitude": 0}, {"code": "b", "latitude": 1}, {"code": "c", "latitude": 1, "longitude": -180.5}, {"code": "d", "latitude": "x", "longitude": 1}]');
SELECT oms.upsert_locations('[{"code": "near", "latitude": 50, "longitude": 8}, {"code": "far", "latitude": 10, "longitude": 8}, {"code": "nowhere"}]');
SELECT oms.upsert_items('[{"sku": "A", "price": 1, "weight_grams": 1500}, {"sku": "H", "price": 1, "weight_grams": 50000}]');
SELECT count(oms.receive_stock(l, s, 10)) FROM unnest('{near,far,nowhere}'::text[]) l, unnest('{A,H}'::text[]) s;
-- Rate bands: one over another, one inside another, one twice, one turned round, one with a hole.
SELECT oms.upsert_carriers('[{"code": "post", "services": [{"code": "parcel", "zone_chart": "rings", "currency": "EUR"}, {"code": "slow", "zone_chart": "rings", "currency": "EUR"}]}]');
SELECT oms.load_shipping_rates('parcel', '[{"zone": "1", "to_grams": 1000, "amount": 4}, {"zone": "1", "from_grams": 900, "to_grams": 2000, "amount": 5}]');
SELECT oms.load_shipping_rates('parcel', '[{"zone": "1", "from_grams": 0, "to_grams": 2000, "amount": 4}, {"zone": "1", "from_grams": 500, "to_grams": 600, "amount": 5}]');
SELECT oms.load_shipping_rates('parcel', '[{"zone": "1", "to_grams": 2000, "amount": 4}, {"zone": "1", "to_grams": 2000, "amount": 5}]');
SELECT oms.load_shipping_rates('parcel', '[{"zone": "1", "from_grams": 3000, "to_grams": 2000, "amount": 4}]');
SELECT oms.load_shipping_rates('parcel', '[{"zone": "1", "to_grams": 1000, "amount": -4}, {"zone": "1", "to_grams": 2000}]');
SELECT oms.load_shipping_zones('rings', '[{"zone": "1", "distance_from": 0, "distance_to": 500}, {"zone": "2", "distance_from": 400, "distance_to": 900}]');
SELECT oms.load_shipping_zones('rings', '[{"zone": "1", "distance_from": 0, "distance_to": 500}, {"zone": "9", "distance_from": 2000, "distance_to": 9000}]');
SELECT oms.load_shipping_rates('parcel', '[{"zone": "1", "to_grams": 1000, "amount": 4}, {"zone": "1", "from_grams": 2001, "to_grams": 3000, "amount": 5}]');
SELECT * FROM oms.check_network();
-- Policies that contradict themselves.
SELECT oms.save_routing_policy('p', '{"objective": "nearest", "max_kilometres": 5}');
SELECT oms.save_routing_policy('p', '{"objective": "nearest_first", "max_fulfillments": 2}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "shipping_weight": 0, "order_weight": 0, "line_weight": 0, "unit_weight": 0}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "relax": [{"rule": "max_kilometres"}, {"rule": "max_fulfillments"}, {"rule": "whole_lines"}, {"rule": "in_time"}]}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "max_kilometres": 9, "relax": [{"rule": "max_kilometres"}, {"rule": "max_kilometres"}]}');
SELECT oms.save_routing_policy('p', '{"objective": "ranking", "ranking": [{"term": "cost"}, {"term": "distance"}, {"term": "cost"}]}');
SELECT oms.save_routing_policy('p', '{"objective": "ranking", "ranking": [{"term": "speed"}]}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "currency": "EURO", "max_kilometres": -1, "max_fulfillments": 0, "shipping_weight": 1001}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "currency": "EURO", "ranking": [{"term": "cost"}]}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "supply_weeks": 3, "load_threshold": 0.5, "load_exponent": 2, "unknown_kilometres": 5}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "whole_lines": true, "max_places_per_line": 2, "ship_complete": true, "cost_per_unit_later": 1, "keep_together": [{"item_group": "g"}, {"item_group": "g"}]}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "whole_lines": true, "max_places_per_line": 2, "relax": [{"rule": "max_places_per_line"}, {"rule": "whole_lines"}]}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "floors": [{"units": 2}, {"group": "moon", "units": 1}], "relax": [{"rule": "ship_complete"}, {"rule": "keep_together"}]}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "max_places_per_line": 0, "floors": [{"units": -1}], "load_threshold": 1.1, "supply_weeks": 0.5, "cost_late": -1}');
SELECT oms.save_routing_policy('p', '{"objective": "ranking", "ranking": [{"term": "stock"}, {"term": "supply"}, {"term": "stock"}]}');
SELECT oms.save_routing_policy('p', '{"objective": "ranking", "ranking": [{"term": "stock", "tolerance": 5}, {"term": "cost"}]}');
SELECT oms.save_routing_policy('p', '[]');
SELECT oms.save_routing_policy('dollars', '{"objective": "cost", "currency": "USD"}');
SELECT oms.activate_routing_policy('dollars', 1);
SELECT oms.load_unit_values('[{"sku":"A","location":"near","cost":1000000},{"sku":"H","location":"near","cost":"1000000.01","markdown":-1},{"sku":"A","location":"far"}]');
SELECT oms.load_unit_values('[{"sku":"A","location":"near","cost":1},{"sku":"X","location":"near","cost":1},{"sku":"A","location":"moon","cost":1},{"sku":"A","location":"near","cost":2}]', 'both');
SELECT oms.load_unit_values('[{"sku":"A","location":"near","cost":1},{"sku":"X","location":"near","cost":1},{"sku":"A","location":"moon","cost":1},{"sku":"A","location":"near","cost":2}]');
SELECT count(*) FROM oms.routing_policies WHERE code = 'p' OR status <> 'draft';

-- What only an order shows: every candidate with its reason.
SELECT oms.save_routing_policy('euros', '{"objective": "cost", "currency": "EUR"}'), oms.activate_routing_policy('euros', 1);
CREATE FUNCTION place(ref text, sku text, quantity int DEFAULT 1, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
  SELECT oms.place_order(jsonb_build_object('external_ref', ref, 'ship_to', '{"latitude": 50, "longitude": 9}'::jsonb,
    'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity))) || more) #>> '{fulfillments,0,location}' $$;
SELECT place('gap', 'A');
SELECT place('heavy', 'H');
SELECT place('fits', 'A', 2);
SELECT place('service', 'A', 2, '{"service": "express"}');
SELECT place('zone', 'A', 2, '{"ship_to": {"latitude": 30, "longitude": 8}}');
SELECT place('unknown', 'A', 2, '{"ship_to": {"country": "DE"}}');
SELECT kind, location, detail FROM oms.explain_route(oms.find_order('default', 'fits')) WHERE kind = 'excluded';
-- In the right distance, in one piece, in one package.
SELECT oms.save_routing_policy('tight', '{"objective": "cost", "shipping_weight": 0, "max_kilometres": 100, "max_fulfillments": 1, "whole_lines": true}'), oms.activate_routing_policy('tight', 1);
SELECT place('far', 'A', 20);
SELECT oms.save_routing_policy('one', '{"objective": "cost", "shipping_weight": 0, "max_fulfillments": 1}'), oms.activate_routing_policy('one', 1);
SELECT place('one', 'A', 20);
SELECT oms.save_routing_policy('whole', '{"objective": "cost", "shipping_weight": 0, "whole_lines": true}'), oms.activate_routing_policy('whole', 1);
SELECT place('whole', 'A', 20);
-- Many candidates: twenty by name, the others by reason.
SELECT count(oms.upsert_locations(jsonb_build_array(jsonb_build_object('code', 'x' || lpad(i::text, 3, '0')) || CASE WHEN i % 3 = 0 THEN '{}' ELSE '{"latitude": 10, "longitude": 8}'::jsonb END)))
FROM generate_series(1, 60) i;
SELECT count(oms.receive_stock('x' || lpad(i::text, 3, '0'), 'A', 5)) FROM generate_series(1, 60) i;
SELECT oms.save_routing_policy('ring', '{"objective": "cost", "max_kilometres": 10}'), oms.activate_routing_policy('ring', 1);
SELECT place('many', 'A');
-- None of it left anything behind.
SELECT external_ref FROM oms.orders ORDER BY 1;
SELECT sum(reserved) FROM oms.stock;
SELECT count(*) FROM oms.audit();
\c postgres
