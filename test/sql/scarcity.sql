-- scarcity.sql: what units are worth to later orders, as a cost of taking them.
\pset pager off
CREATE DATABASE oms_scarcity;
\c oms_scarcity
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SET oms.clock = '2026-11-23 08:00+00';
SELECT oms.upsert_items('[{"sku":"A"},{"sku":"B"}]');
SELECT oms.upsert_locations('[{"code":"default","active":false},{"code":"near","rank":1,"cost_per_order":2},{"code":"far","rank":2,"cost_per_order":5}]');
SELECT oms.receive_stock(l, s, 100) IS NULL FROM unnest('{near,far}'::text[]) l, unnest('{A,B}'::text[]) s;
CREATE FUNCTION placed(ref text, lines jsonb) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT oms.place_order(jsonb_build_object('external_ref', ref, 'lines', lines)) IS NULL;
  SELECT concat_ws(' ', kind, location, term, amount, detail) FROM oms.explain_route(oms.find_order('default', ref)) WHERE kind IN ('plan', 'policy', 'runner-up') $$;

-- A policy that does not ask for them never sees the prices.
SELECT oms.load_scarcity_prices('[{"sku":"A","location":"near","price":"1.50"},{"sku":"A","location":"far","price":"0.10"}]');
SELECT oms.activate_routing_policy('plain', oms.save_routing_policy('plain', '{"objective":"cost"}'));
SELECT placed('1', '[{"sku":"A","quantity":3}]');
-- One that does keeps the last units of a place: three at 1.50 and 2 are more than three at 0.10 and 5; the terms add up.
SET oms.clock = '2026-11-23 09:00+00';
SELECT oms.load_scarcity_prices('[{"sku":"A","location":"near","price":"1.50"},{"sku":"A","location":"far","price":"0.10"}]');
SELECT oms.activate_routing_policy('ahead', oms.save_routing_policy('ahead', '{"objective":"cost","scarcity_weight":1,"scarcity_max_hours":2}'));
SELECT placed('2', '[{"sku":"A","quantity":3}]');
SELECT placed('3', '[{"sku":"A","quantity":1}]');
SELECT placed('4', '[{"sku":"B","quantity":3}]');
-- Records replay, and the past is made again with the prices of its time.
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT oms.load_scarcity_prices('[{"sku":"A","location":"far","price":9},{"sku":"B","location":"far","price":9}]', 'add');
SELECT count(*) FROM oms.scarcity_prices;
SELECT plan, orders, changed FROM oms.simulate_routing('ahead', '2026-11-23 08:30+00', NULL);
SELECT placed('6', '[{"sku":"A","quantity":3}]');
-- Too old, they do not count; replaced, the others are gone.
SET oms.clock = '2026-11-23 11:00+00';
SELECT placed('7', '[{"sku":"A","quantity":3}]');
SET oms.clock = '2026-11-23 11:00:00.000001+00';
SELECT placed('8', '[{"sku":"A","quantity":3}]');
SELECT oms.load_scarcity_prices('[]');
SELECT count(*) FROM oms.scarcity_prices;

-- Whole lines are one unit for the router and still count each unit.
SELECT oms.load_scarcity_prices('[{"sku":"A","location":"near","price":"1.50"}]');
SELECT oms.activate_routing_policy('whole', oms.save_routing_policy('whole', '{"objective":"cost","scarcity_weight":0.5,"whole_lines":true}'));
SELECT placed('9', '[{"sku":"A","quantity":4}]');
SELECT placed('10', '[{"sku":"A","quantity":5}]');
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;

-- Every fault of a load at its place; limits at them and beyond.
SELECT oms.load_scarcity_prices('[{"sku":"A","location":"near","price":1},{"sku":"X","location":"near","price":1},{"sku":"A","location":"moon","price":1},{"sku":"A","location":"near","price":2}]');
SELECT oms.load_scarcity_prices('[{"sku":"A","location":"near","price":1000000}]');
SELECT oms.load_scarcity_prices('[{"sku":"A","location":"near","price":1000000.01},{"sku":"A","location":"near","price":-1}]', 'both');
SELECT oms.save_routing_policy('x', '{"objective":"cost","scarcity_max_hours":5}');
SELECT oms.save_routing_policy('x', '{"objective":"cost","scarcity_weight":1001,"scarcity_max_hours":8761}');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_scarcity;
