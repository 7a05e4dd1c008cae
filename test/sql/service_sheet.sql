-- service_sheet.sql: a carrier's services, zones, prices and days in one table.
\pset pager off
CREATE DATABASE oms_service_sheet;
\c oms_service_sheet
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-03-02 12:00:00+00';
CREATE VIEW zones AS SELECT chart, zone, destination_country AS country FROM oms.shipping_zones ORDER BY chart, zone, country;
CREATE VIEW rates AS SELECT service, zone, from_grams, to_grams, amount FROM oms.shipping_rates ORDER BY service, zone, to_grams;
CREATE VIEW days AS SELECT service, zone, days, days_latest FROM oms.transit_times ORDER BY service, zone;

-- As text, as a file has it, and as numbers; in any order.
SELECT oms.load_service_sheet('post', '[
  {"service_code": "PAK", "service_name": "Paket", "zone_label": "home", "country_codes": "DE", "min_weight": "2", "max_weight": "5", "rate": "7.50", "currency": "EUR", "transit_days": "1-2"},
  {"service_code": "PAK", "zone_label": "home", "country_codes": "DE", "min_weight": 0.01, "max_weight": 2, "rate": 5.25, "currency": "EUR", "transit_days": "1-2"},
  {"service_code": "PAK", "zone_label": "near", "country_codes": "AT, CH", "min_weight": 8, "max_weight": 10, "rate": 17, "currency": "EUR", "transit_days": "4"},
  {"service_code": "PAK", "zone_label": "near", "country_codes": "AT, CH", "min_weight": 0.01, "max_weight": 5, "rate": 12, "currency": "EUR", "transit_days": "4"},
  {"service_code": "PAK", "zone_label": "world", "max_weight": 5, "rate": 40, "currency": "EUR"},
  {"service_code": "LB", "zone_label": "all", "max_weight": "1", "weight_unit": "LB", "rate": 0, "currency": "EUR", "transit_days": ""}]');
SELECT code, carrier, name, zone_chart, currency FROM oms.carrier_services ORDER BY code;
SELECT * FROM zones;
SELECT * FROM rates;
SELECT * FROM days;
SELECT * FROM oms.check_network();

-- The prices are those of orders.
SELECT oms.upsert_items('[{"sku": "STONE", "price": 1}]');
SELECT oms.upsert_locations('[{"code": "dear", "cost_per_order": 1000}]');
SELECT oms.receive_stock('default', 'STONE', 100), oms.receive_stock('dear', 'STONE', 100);
SELECT oms.save_routing_policy('cost', '{"objective": "cost", "currency": "EUR"}'), oms.activate_routing_policy('cost', 1);
CREATE FUNCTION shipping(grams int, country text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
    number text := format('S-%s-%s', grams, country);
BEGIN
    answer := oms.place_order(jsonb_build_object('external_ref', number, 'service', 'post.PAK', 'ship_to', jsonb_build_object('country', country),
        'lines', jsonb_build_array(jsonb_build_object('sku', 'STONE', 'quantity', 1, 'attributes', jsonb_build_object('weight_grams', grams)))));
    RETURN (SELECT amount || ' ' || coalesce(answer #>> '{fulfillments,0,promised_at}', 'no day')
            FROM oms.explain_route(oms.find_order('default', number)) WHERE kind = 'plan' AND term = 'shipping');
EXCEPTION WHEN SQLSTATE 'OM008' THEN
    RETURN 'none';
END $$;
SELECT grams, country, shipping(grams, country) FROM (VALUES (1, 'DE'), (2000, 'DE'), (2001, 'DE'), (5000, 'DE'), (5001, 'DE'), (5000, 'AT'),
    (5001, 'CH'), (8000, 'CH'), (8001, 'CH'), (10, 'FJ')) v(grams, country);

-- A sheet replaces what its services had, and nothing of others.
SELECT oms.load_service_sheet('post', '[{"service_code": "PAK", "zone_label": "home", "country_codes": "DE", "max_weight": 3, "rate": 6, "currency": "EUR"}]', 'sheet-2');
SELECT oms.load_service_sheet('post', '[{"service_code": "PAK", "zone_label": "home", "country_codes": "DE", "max_weight": 3, "rate": 6, "currency": "EUR"}]', 'sheet-2');
SELECT * FROM zones;
SELECT * FROM rates;
SELECT * FROM days;

-- Faults, each with its place; nothing changes.
SELECT oms.load_service_sheet('post', NULL);
SELECT oms.load_service_sheet(NULL, '[]');
SELECT oms.load_service_sheet('post', '[{"service_code": "A", "zone_label": "z", "max_weight": 1, "rate": -1, "currency": "EUR", "weight_unit": "STONE"}, {"zone_label": "z", "colour": 1}]');
SELECT oms.load_service_sheet('post', '[
  {"service_code": "A", "zone_label": "z", "max_weight": 1, "currency": "XXY", "transit_days": "2-1"},
  {"service_code": "A", "zone_label": "y", "min_weight": 2, "max_weight": 1, "currency": "EUR", "country_codes": "Germany"},
  {"service_code": "A", "zone_label": "y", "min_weight": 0, "max_weight": 0.0001, "currency": "EUR", "country_codes": "DE", "transit_days": "soon"}]');
SELECT oms.load_service_sheet('post', '[
  {"service_code": "A", "zone_label": "z", "min_weight": 0, "max_weight": 2, "currency": "EUR"},
  {"service_code": "A", "zone_label": "z", "min_weight": 1, "max_weight": 3, "currency": "EUR"},
  {"service_code": "B", "zone_label": "z", "max_weight": 3, "currency": "EUR"},
  {"service_code": "B", "zone_label": "z", "max_weight": 3, "currency": "EUR"}]');
SELECT oms.load_service_sheet('post', '[
  {"service_code": "A", "zone_label": "z", "max_weight": 2, "country_codes": "DE,AT", "currency": "EUR"},
  {"service_code": "A", "zone_label": "y", "max_weight": 3, "country_codes": "AT", "currency": "EUR"}]');
SELECT oms.load_service_sheet('post', jsonb_build_array(jsonb_build_object('service_code', repeat('x', 195), 'zone_label', 'z', 'max_weight', 1, 'currency', 'EUR')));
SELECT oms.load_service_sheet('post', jsonb_build_array(jsonb_build_object('service_code', repeat('x', 196), 'zone_label', 'z', 'max_weight', 1, 'currency', 'EUR')));
SELECT count(*) FROM rates;

-- A chart by distance has no row for everywhere beside it.
SELECT oms.load_shipping_zones('post.PAK', '[{"zone": "far", "distance_from": 0, "distance_to": 100}]', 'add');
SELECT oms.load_shipping_zones('post.LB', '[{"zone": "far", "distance_from": 0, "distance_to": 100}]', 'add');
SELECT * FROM oms.audit();
