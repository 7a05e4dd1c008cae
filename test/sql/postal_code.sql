-- postal_code.sql: places known by their postal code only.
\pset pager off
CREATE DATABASE oms_postal_code;
\c oms_postal_code
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
\pset tuples_only on
\pset format unaligned
SELECT oms.load_postal_codes('[{"country": "US", "postal_code": "10025", "latitude": 40.8, "longitude": -73.97}, {"country": "US", "postal_code": "10027", "latitude": 40.81, "longitude": -73.95},
  {"country": "US", "postal_code": "90210", "latitude": 34.1, "longitude": -118.41}, {"country": "CA", "postal_code": "t0a", "latitude": 54.766, "longitude": -111.7174},
  {"country": "BR", "postal_code": "69945-000", "latitude": -9.9805, "longitude": -66.8439}]');
SELECT country, postal_code FROM oms.postal_codes ORDER BY 1, 2;
SELECT oms.load_postal_codes('[{"country": "us", "postal_code": "1", "latitude": 91, "longitude": 0}, {"country": "US", "postal_code": "1 00*"}, {"country": "US", "postal_code": "10 025", "latitude": 1, "longitude": 1},
  {"country": "US", "postal_code": "123456789012345678901", "latitude": 1, "longitude": 1}]');
SELECT oms.load_postal_codes('[{"country": "US", "postal_code": "10 025", "latitude": 1, "longitude": 1}, {"country": "US", "postal_code": "10-025", "latitude": 1, "longitude": 1}]');
SELECT oms.load_postal_codes('[]', 'merge');
SELECT oms.load_postal_codes(NULL);
SELECT oms.upsert_locations('[{"code": "east", "country": "US", "postal_code": "10027"}, {"code": "west", "country": "US", "postal_code": "90210-1234"},
  {"code": "north", "country": "CA", "postal_code": "T0A 1B2"}, {"code": "lost", "country": "US", "postal_code": "55555"}, {"code": "placed", "country": "US", "postal_code": "10025", "latitude": 39, "longitude": -76}]');
SELECT oms.upsert_items('[{"sku": "LAMP", "price": 20}]');
SELECT count(oms.receive_stock(l, 'LAMP', 100)) FROM unnest('{east,west,north,lost,placed}'::text[]) l;
CREATE FUNCTION place(ref text, address jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT oms.place_order(jsonb_build_object('external_ref', ref, 'ship_to', address, 'lines', '[{"sku": "LAMP", "quantity": 1}]'::jsonb)) #>> '{fulfillments,0,location}' $$;
-- By the built-in rule: exact, extended, written differently, new codes near known ones, and none.
SELECT place('p1', '{"country": "US", "postal_code": "10025"}'), place('p2', '{"country": "US", "postal_code": "90210-9999"}'),
       place('p3', '{"country": "CA", "postal_code": "t0a 9z9"}'), place('p4', '{"country": "US", "postal_code": "90299"}'),
       place('p5', '{"country": "US", "postal_code": "100"}'), place('p6', '{"country": "US", "postal_code": "10025", "latitude": 34, "longitude": -118}');
-- What the codes give is what a policy sees, and what is recorded; the address stays as it was given.
SELECT oms.save_routing_policy('near', '{"objective": "ranking", "ranking": [{"term": "distance"}]}'), oms.activate_routing_policy('near', 1);
SELECT place('q1', '{"country": "US", "postal_code": "10099"}'), place('q2', '{"country": "BR", "postal_code": "69945-123"}');
SELECT kind, location, detail FROM oms.explain_route(oms.find_order('default', 'q1')) WHERE kind IN ('candidate', 'excluded', 'plan') ORDER BY 1, 2;
SELECT plan, unplaced, changed FROM oms.simulate_routing('near', NULL, NULL);
SELECT address FROM oms.order_deliveries WHERE order_id = oms.find_order('default', 'q1');
SELECT place('q3', '{"country": "US", "postal_code": "55555"}');
SELECT place('q4', '{"postal_code": "10025"}');
-- Replace takes the countries named, add takes none.
SELECT oms.load_postal_codes('[{"country": "US", "postal_code": "55555", "latitude": 45, "longitude": -93}]'), (SELECT string_agg(country || postal_code, ' ' ORDER BY 1) FROM oms.postal_codes);
SELECT oms.load_postal_codes('[{"country": "US", "postal_code": "10025", "latitude": 40.8, "longitude": -73.97}]', 'add');
SELECT string_agg(country || postal_code, ' ' ORDER BY country, postal_code) FROM oms.postal_codes;
SELECT place('q5', '{"country": "US", "postal_code": "55555"}');
SELECT count(*) FROM oms.audit();
\c postgres
