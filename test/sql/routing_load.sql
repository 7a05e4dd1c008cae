-- routing_load.sql: a rule of a policy that makes a location dearer the fuller its day is.
\pset pager off
CREATE DATABASE oms_routing_load;
\c oms_routing_load
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SET oms.clock = '2026-11-23 08:00+00';
SELECT oms.upsert_items('[{"sku":"A"}]');
SELECT oms.upsert_locations('[{"code":"default","active":false},{"code":"cheap","rank":1,"cost_per_order":1,"daily_capacity":10},
  {"code":"dear","rank":2,"cost_per_order":3,"daily_capacity":10},{"code":"endless","rank":3,"cost_per_order":8}]');
SELECT oms.receive_stock(l, 'A', 100) IS NULL FROM unnest('{cheap,dear,endless}'::text[]) l;
CREATE ROLE load_planner IN ROLE oms_admin;
CREATE ROLE load_shop IN ROLE oms_app;
CREATE FUNCTION placed(ref text) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT oms.place_order(jsonb_build_object('external_ref', ref, 'lines', '[{"sku":"A","quantity":1}]'::jsonb)) IS NULL;
  SELECT concat_ws(' ', kind, location, term, amount, detail) FROM oms.explain_route(oms.find_order('default', ref)) WHERE kind IN ('plan', 'policy') $$;

-- The role that plans owns the rule and may read what it reads; who orders need not.
SET SESSION AUTHORIZATION load_planner;
SELECT oms.save_routing_policy('even', '{"objective": "cost", "rules": [{"name": "load", "kind": "cost", "weight": 8, "expression":
  "(SELECT CASE WHEN c.used > 0.5 * c.capacity THEN power(c.used::numeric / nullif(c.capacity, 0), 2) END FROM oms.location_capacity c WHERE c.location_id = this.location_id AND c.day = (this.at AT TIME ZONE ''UTC'')::date)"}]}');
SELECT oms.activate_routing_policy('even', 1);
RESET SESSION AUTHORIZATION;
SET SESSION AUTHORIZATION load_shop;
-- At half of its day a location costs what it did; beyond, 8 times the square of its load: 2.88 at six of ten makes the dear one cheaper.
SELECT count(*) FROM generate_series(1, 5) i, placed('first ' || i);
SELECT placed('sixth');
SELECT placed('seventh');
RESET SESSION AUTHORIZATION;
SELECT l.code, c.day, c.used, c.capacity FROM oms.location_capacity c JOIN oms.locations l USING (location_id) ORDER BY 1, 2;
-- Both fill, each while it is the cheaper one with its load; the one without a limit serves once both are dearer than it.
SELECT count(*) FROM generate_series(1, 9) i, placed('more ' || i);
SELECT l.code, c.day, c.used, c.capacity FROM oms.location_capacity c JOIN oms.locations l USING (location_id) ORDER BY 1, 2;
SELECT placed('full');
SELECT placed('fuller');
SELECT placed('fullest');
-- The next day begins empty; a day without any capacity has no load to add.
SET oms.clock = '2026-11-24 08:00+00';
SELECT placed('next day');
SELECT oms.load_location_capacity('[{"location":"cheap","day":"2026-11-25","capacity":0}]');
SET oms.clock = '2026-11-25 08:00+00';
SELECT placed('closed');
-- What the rule said is recorded: the past is made again whatever the load is now.
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT plan, orders, changed FROM oms.simulate_routing('even', '2026-11-23 00:00+00', NULL);
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_routing_load;
DROP ROLE load_planner;
DROP ROLE load_shop;
