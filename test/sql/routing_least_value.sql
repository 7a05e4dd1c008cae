-- routing_least_value.sql: no package of goods worth too little.
\pset pager off
CREATE DATABASE oms_routing_least_value;
\c oms_routing_least_value
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"A"},{"sku":"B"},{"sku":"C"}]');
-- Two have A and B cheaply, C only from the third; the fourth has all and is dear.
SELECT oms.upsert_locations('[{"code":"default","active":false},{"code":"one","rank":1,"cost_per_order":1},{"code":"two","rank":2,"cost_per_order":2},{"code":"three","rank":3,"cost_per_order":2},{"code":"all","rank":4,"cost_per_order":9}]');
SELECT oms.receive_stock(split_part(p, ' ', 1), split_part(p, ' ', 2), 100) IS NULL
FROM unnest('{one A,one B,two B,three C,three B,all A,all B,all C}'::text[]) p;
CREATE FUNCTION placed(ref text, a numeric, b numeric, c numeric) RETURNS SETOF text LANGUAGE sql AS $$
  SELECT oms.place_order(jsonb_build_object('external_ref', ref, 'lines', (SELECT jsonb_agg(jsonb_build_object('sku', sku,
    'quantity', 2, 'unit_price', price)) FROM (VALUES ('A', a), ('B', b), ('C', c)) v(sku, price) WHERE price IS NOT NULL))) IS NULL;
  SELECT concat_ws(' ', kind, location, term, amount, detail) FROM oms.explain_route(oms.find_order('default', ref))
  WHERE kind IN ('policy', 'relaxed') OR (kind IN ('plan', 'runner-up') AND term IN ('order', 'cost'))
  UNION ALL
  SELECT string_agg(l.code || ' ' || i.sku, ', ' ORDER BY l.code, i.sku) FROM oms.allocations a JOIN oms.locations l USING (location_id)
    JOIN oms.items i USING (item_id) JOIN oms.orders o USING (order_id) WHERE o.external_ref = ref $$;
SELECT oms.activate_routing_policy('plain', oms.save_routing_policy('plain', '{"objective":"cost","whole_lines":true}'));
SELECT placed('1', 30, 10, 4);
SELECT oms.activate_routing_policy('worth', oms.save_routing_policy('worth', '{"objective":"cost","whole_lines":true,"min_fulfillment_value":"20"}'));
-- C alone is worth too little: B goes with it.
SELECT placed('2', 30, 10, 4);
-- At the value, and a cent below.
SELECT placed('3', 30, 10, 10);
SELECT placed('4', 30, 5, 4.99);
-- All is worth less: the rule does not hold.
SELECT placed('5', 4, 3, 2);
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT plan, orders, changed FROM oms.simulate_routing('plain/1', NULL, NULL);
SELECT plan, orders, changed, refused FROM oms.simulate_routing('worth/1', NULL, NULL);

-- Without the fourth there is no plan: refused, or given up where it may be.
SELECT oms.upsert_locations('[{"code":"all","active":false}]');
\set VERBOSITY terse
SELECT placed('6', 30, 5, 4.99);
SELECT oms.activate_routing_policy('soft', oms.save_routing_policy('soft', '{"objective":"cost","whole_lines":true,"min_fulfillment_value":"20","relax":[{"rule":"min_fulfillment_value"},{"rule":"whole_lines"}]}'));
SELECT placed('7', 30, 5, 4.99);
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;

-- Against every way to give lines to places: no cheaper plan obeys the rule.
SELECT oms.upsert_items((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || n)) FROM generate_series(1, 5) n));
SELECT oms.upsert_locations((SELECT jsonb_agg(jsonb_build_object('code', 'P' || n, 'rank', n, 'cost_per_order', (n * 37) % 11 + 1,
    'cost_per_unit', (n * 53) % 7)) FROM generate_series(1, 5) n));
SELECT bool_and(oms.receive_stock('P' || p, 'S' || s, 1000) IS NULL) FROM generate_series(1, 5) p, generate_series(1, 5) s WHERE (p * 7 + s * 5 + p * s) % 5 < 3;
CREATE TEMP TABLE line (n int, s int, price int);
INSERT INTO line SELECT n, s, (n * 31 + s * s * 17) % 23 + 1 FROM generate_series(1, 60) n, generate_series(1, 5) s;
SELECT oms.activate_routing_policy('hard', oms.save_routing_policy('hard', '{"objective":"cost","whole_lines":true,"min_fulfillment_value":"20"}'));
CREATE FUNCTION try(doc jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  placed bigint;
BEGIN
  placed := oms.place_order(doc) ->> 'order_id';
  RETURN (SELECT amount FROM oms.explain_route(placed) WHERE kind = 'policy' AND term = 'cost');
EXCEPTION WHEN SQLSTATE 'OM008' THEN RETURN 'none';
END $$;
CREATE TEMP TABLE found AS SELECT n, try(jsonb_build_object('external_ref', 'r' || n, 'lines',
  jsonb_agg(jsonb_build_object('sku', 'S' || s, 'quantity', 1, 'unit_price', price)))) AS cost FROM line GROUP BY n;
CREATE TEMP TABLE has AS SELECT substr(sku, 2)::int AS s, substr(code, 2)::int AS p, cost_per_order AS fixed, cost_per_unit AS unit
FROM oms.stock JOIN oms.items USING (item_id) JOIN oms.locations USING (location_id) WHERE code LIKE 'P_' AND sku LIKE 'S_';
WITH plans AS (
  SELECT l.n, ARRAY[a.p, b.p, c.p, d.p, e.p] AS places, ARRAY[l.p1, l.p2, l.p3, l.p4, l.p5] AS prices, a.unit + b.unit + c.unit + d.unit + e.unit AS units
  FROM (SELECT n, max(price) FILTER (WHERE s = 1) AS p1, max(price) FILTER (WHERE s = 2) AS p2, max(price) FILTER (WHERE s = 3) AS p3,
               max(price) FILTER (WHERE s = 4) AS p4, max(price) FILTER (WHERE s = 5) AS p5 FROM line GROUP BY n) l
  JOIN has a ON a.s = 1 JOIN has b ON b.s = 2 JOIN has c ON c.s = 3 JOIN has d ON d.s = 4 JOIN has e ON e.s = 5),
packed AS (
  SELECT n, places, prices, units, p, sum(price) AS worth FROM plans, unnest(places, prices) u(p, price) GROUP BY n, places, prices, units, p),
priced AS (
  SELECT n, places, units + sum((SELECT max(fixed) FROM has h WHERE h.p = packed.p)) AS cost, min(worth) AS poorest, sum(worth) AS total
  FROM packed GROUP BY n, places, units),
best AS (SELECT n, min(cost) FILTER (WHERE poorest >= 20 OR total < 20) AS cost, min(cost) AS any_cost FROM priced GROUP BY n)
SELECT count(*), count(*) FILTER (WHERE f.cost = 'none') AS refused, count(*) FILTER (WHERE b.cost > b.any_cost) AS dearer,
       count(*) FILTER (WHERE nullif(f.cost, 'none')::numeric IS DISTINCT FROM b.cost) AS different
FROM found f JOIN best b USING (n);
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;

-- What contradicts it is refused.
\set VERBOSITY default
SELECT oms.save_routing_policy('x', '{"objective":"fewest_splits","min_fulfillment_value":"20"}');
SELECT oms.save_routing_policy('x', '{"objective":"cost","whole_lines":true,"min_fulfillment_value":"20","relax":[{"rule":"whole_lines"},{"rule":"min_fulfillment_value"}]}');
SELECT oms.save_routing_policy('x', '{"objective":"cost","relax":[{"rule":"min_fulfillment_value"}]}');
SELECT oms.save_routing_policy('x', '{"objective":"cost","whole_lines":true,"min_fulfillment_value":"-1"}');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_routing_least_value;
