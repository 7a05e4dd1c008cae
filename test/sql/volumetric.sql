-- volumetric.sql: parcels that are billed by their volume, and surcharges in percent.
\pset pager off
CREATE DATABASE oms_volumetric;
\c oms_volumetric
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SET oms.clock = '2026-11-23 09:00+00';
-- A pillow of 400 x 400 x 250 mm weighs 0.5 kg and counts for 8 kg; an anvil is what it weighs; of the mat a side is not known.
SELECT oms.upsert_items('[{"sku":"PILLOW","weight_grams":500,"length_mm":400,"width_mm":400,"height_mm":250},{"sku":"ANVIL","weight_grams":5000,"length_mm":100,"width_mm":100,"height_mm":100},
  {"sku":"MAT","weight_grams":700,"length_mm":2000,"width_mm":800}]');
SELECT oms.upsert_locations('[{"code":"default","active":false},{"code":"air","rank":1},{"code":"road","rank":2}]');
SELECT oms.receive_stock(l, s, 100) IS NULL FROM unnest('{air,road}'::text[]) l, unnest('{PILLOW,ANVIL,MAT}'::text[]) s;
SELECT oms.upsert_carriers('[{"code":"fly","services":[{"code":"fast","volumetric_divisor":5000,"surcharge_percent":"12.5","surcharge":1}]},{"code":"truck","services":[{"code":"slow"}]}]');
SELECT oms.load_shipping_zones('fly', '[{"origin_location":"air","zone":"1"}]'), oms.load_shipping_zones('truck', '[{"origin_location":"road","zone":"1"}]');
SELECT oms.load_shipping_rates('fast', '[{"zone":"1","to_grams":1000,"amount":4},{"zone":"1","to_grams":30000,"amount":2,"per_kilogram":1}]'), oms.load_shipping_rates('slow', '[{"zone":"1","to_grams":100000,"amount":30}]');
SELECT oms.activate_routing_policy('p', oms.save_routing_policy('p', '{"objective":"cost"}'));
CREATE FUNCTION placed(ref text, lines jsonb) RETURNS TABLE (place text, term text, amount numeric, detail text) LANGUAGE sql AS $$
  SELECT oms.place_order(jsonb_build_object('external_ref', ref, 'lines', lines)) IS NULL;
  SELECT location, term, amount, detail FROM oms.explain_route(oms.find_order('default', ref)) WHERE kind = 'plan' AND term IN ('units', 'shipping') ORDER BY 1, 2 DESC $$;

-- (2 + 8) * 1.125 + 1 = 12.25 for the pillow; four of them are 32 kg and above the table, so the truck has them.
SELECT * FROM placed('1', '[{"sku":"PILLOW","quantity":1}]');
SELECT * FROM placed('2', '[{"sku":"ANVIL","quantity":1}]');
SELECT * FROM placed('3', '[{"sku":"MAT","quantity":1}]');
SELECT * FROM placed('4', '[{"sku":"PILLOW","quantity":1},{"sku":"ANVIL","quantity":1}]');
SELECT * FROM placed('5', '[{"sku":"PILLOW","quantity":4}]');
-- A line that is weighed keeps its volume.
SELECT * FROM placed('6', '[{"sku":"PILLOW","quantity":1,"attributes":{"weight_grams":9000}}]');

-- Records replay, and the past is made again with the divisor of its time.
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT orders, changed FROM oms.simulate_routing('p', NULL, NULL);
SELECT oms.upsert_carriers('[{"code":"fly","services":[{"code":"fast","volumetric_divisor":1000000}]}]');
SELECT orders, changed FROM oms.simulate_routing('p', NULL, NULL);
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT * FROM placed('7', '[{"sku":"PILLOW","quantity":4}]');

-- Limits, at them and beyond.
SELECT oms.upsert_carriers('[{"code":"fly","services":[{"code":"fast","volumetric_divisor":100,"surcharge_percent":1000}]}]');
SELECT oms.upsert_carriers('[{"code":"fly","services":[{"code":"fast","volumetric_divisor":99}]}]');
SELECT oms.upsert_carriers('[{"code":"fly","services":[{"code":"fast","surcharge_percent":1000.01}]}]');
SELECT oms.upsert_items('[{"sku":"HALL","length_mm":1000000000,"width_mm":1000000000,"height_mm":1000000000}]');
SELECT oms.receive_stock('road', 'HALL', 1), oms.receive_stock('air', 'HALL', 1);
SELECT oms.place_order('{"external_ref":"8","lines":[{"sku":"HALL","quantity":1}]}');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_volumetric;
