-- routing_every_plan.sql: orders planned by policies with all their terms, against every plan there is, counted out in SQL.
\pset pager off
CREATE DATABASE oms_routing_every_plan;
\c oms_routing_every_plan
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_channels('[{"code":"default","backorder":false}]');
SELECT oms.upsert_items((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || s, 'item_group', CASE WHEN s < 3 THEN 'set' ELSE 'other' END)) FROM generate_series(1, 4) s));
SELECT oms.upsert_locations((SELECT jsonb_agg(jsonb_build_object('code', 'P' || p, 'rank', p, 'cost_per_order', (p * 37) % 5 + 1, 'cost_per_line', (p * 29) % 4,
  'cost_per_unit', (p * 53) % 3, 'groups', jsonb_build_array(jsonb_build_object('group', CASE WHEN p < 3 THEN 'shops' ELSE 'halls' END)))) FROM generate_series(1, 4) p) || '[{"code":"default","active":false}]');
SELECT count(oms.receive_stock('P' || p, 'S' || s, (p * 7 + s * 5 + p * s) % 5)) FROM generate_series(1, 4) p, generate_series(1, 4) s WHERE (p * 7 + s * 5 + p * s) % 5 > 0;
SELECT oms.load_unit_values((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || s, 'location', 'P' || p, 'cost', (p * 3 + s * 11) % 7, 'markdown', (p * s * 13) % 5))
  FROM generate_series(1, 4) p, generate_series(1, 4) s));
CREATE TEMP TABLE rule (r int, definition jsonb, line numeric, margin numeric, markdown numeric, low_stock numeric, places int, whole boolean, together boolean, floor int, fulfillments int);
INSERT INTO rule
SELECT r, jsonb_strip_nulls(jsonb_build_object('objective', 'cost', 'line_weight', line, 'margin_weight', margin, 'markdown_weight', markdown, 'cost_of_low_stock', low_stock,
         'max_places_per_line', places, 'whole_lines', whole, 'keep_together', CASE WHEN together THEN '[{"item_group":"set"}]'::jsonb END,
         'floors', CASE WHEN floor > 0 THEN jsonb_build_array(jsonb_build_object('group', 'shops', 'units', floor)) END, 'max_fulfillments', fulfillments)), line, margin, markdown, low_stock,
       places, whole, together, floor, fulfillments
FROM (SELECT r, (r * 7) % 4 AS line, (r * 5) % 3 AS margin, (r * 3) % 2 AS markdown, (r * 11) % 6 AS low_stock, CASE WHEN r % 3 = 0 THEN 1 + r % 2 WHEN r % 3 = 1 THEN 2 END AS places,
             CASE WHEN r % 7 = 5 THEN true END AS whole, r % 4 = 2 AS together, r % 3 AS floor, CASE WHEN r % 5 = 4 THEN 2 END AS fulfillments FROM generate_series(1, 24) r) x
WHERE whole IS NULL OR places IS NULL;
CREATE TEMP TABLE has AS SELECT substr(sku, 2)::int AS s, substr(code, 2)::int AS p, on_hand AS free, cost_per_order AS per_order, cost_per_line AS per_line, cost_per_unit AS per_unit, v.cost, v.markdown
FROM oms.stock JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id) JOIN oms.unit_values v USING (item_id, location_id) WHERE on_hand > 0;

-- Each order is placed and undone, so that all find the same stock.
CREATE FUNCTION try(r int, a int, n int, b int, m int) RETURNS numeric LANGUAGE plpgsql AS $$
DECLARE
  placed bigint;
  cost   numeric;
BEGIN
  placed := oms.place_order(jsonb_build_object('external_ref', format('%s %s %s %s %s', r, a, n, b, m), 'lines', jsonb_build_array(
    jsonb_build_object('sku', 'S' || a, 'quantity', n), jsonb_build_object('sku', 'S' || b, 'quantity', m)))) ->> 'order_id';
  SELECT amount INTO cost FROM oms.explain_route(placed) WHERE kind = 'policy' AND term = 'cost';
  IF NOT (SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions WHERE order_id = placed) THEN
    RAISE EXCEPTION 'order % does not replay', placed;
  END IF;
  RAISE EXCEPTION USING ERRCODE = 'P0099', MESSAGE = cost::text;
EXCEPTION
  WHEN SQLSTATE 'P0099' THEN RETURN SQLERRM::numeric;
  WHEN SQLSTATE 'OM001' OR SQLSTATE 'OM008' THEN RETURN NULL;
END $$;
CREATE FUNCTION found(r int, definition jsonb) RETURNS TABLE (a int, n int, b int, m int, cost numeric) LANGUAGE plpgsql AS $$
BEGIN
  PERFORM oms.activate_routing_policy('p', oms.save_routing_policy('p', definition));
  RETURN QUERY SELECT x.a, x.n, x.b, x.m, try(r, x.a, x.n, x.b, x.m) FROM (SELECT 1 + r % 2 AS a, 1 + q % 4 AS n, 2 + (r + q) % 3 AS b, 1 + q / 4 AS m FROM generate_series(0, 11) q) x WHERE x.a <> x.b;
END $$;
CREATE TEMP TABLE found AS SELECT r.r, f.* FROM rule r, LATERAL found(r.r, r.definition) f;

-- Every way to take a line from the places: units by place, with what they cost there.
CREATE TEMP TABLE ways AS
WITH RECURSIVE spread AS (
  SELECT DISTINCT f.r, x.s, x.n AS wanted, 0 AS p, 0 AS taken, '{}'::int[] AS units FROM found f, LATERAL (VALUES (f.a, f.n), (f.b, f.m)) x(s, n)
  UNION ALL
  SELECT s.r, s.s, s.wanted, s.p + 1, s.taken + u, s.units || u FROM spread s JOIN rule USING (r), generate_series(0, s.wanted - s.taken) u
  WHERE s.p < 4 AND u <= greatest(0, coalesce((SELECT free FROM has h WHERE h.s = s.s AND h.p = s.p + 1), 0) - CASE WHEN s.p + 1 < 3 THEN rule.floor ELSE 0 END)
    AND (rule.whole IS NULL OR u IN (0, s.wanted)))
SELECT w.r, w.s, w.wanted, w.units, x.cost, x.used FROM spread w JOIN rule USING (r), LATERAL (
  SELECT sum(h.per_line * rule.line + u * (h.per_unit + h.cost * rule.margin - h.markdown * rule.markdown
           + round(rule.low_stock * (1 - h.free::numeric / (SELECT max(free) FROM has g WHERE g.s = w.s)), 3))) AS cost,
         array_agg(h.p) AS used
  FROM unnest(w.units) WITH ORDINALITY v(u, p) JOIN has h ON h.s = w.s AND h.p = v.p WHERE u > 0) x
WHERE w.p = 4 AND w.taken = w.wanted AND (rule.places IS NULL OR cardinality(x.used) <= rule.places);
CREATE TEMP TABLE best AS
SELECT f.r, f.a, f.n, f.b, f.m, min(x.cost + y.cost + o.cost) AS cost
FROM found f JOIN rule r USING (r) JOIN ways x ON x.r = f.r AND x.s = f.a AND x.wanted = f.n JOIN ways y ON y.r = f.r AND y.s = f.b AND y.wanted = f.m,
     LATERAL (SELECT sum(per_order) AS cost, count(*) AS packages FROM (SELECT DISTINCT p, per_order FROM has WHERE p = ANY (x.used || y.used)) d) o
WHERE (r.fulfillments IS NULL OR o.packages <= r.fulfillments)
  AND (NOT r.together OR (CASE WHEN f.a < 3 THEN cardinality(x.used) ELSE 1 END = 1 AND CASE WHEN f.b < 3 THEN cardinality(y.used) ELSE 1 END = 1 AND (f.a > 2 OR f.b > 2 OR x.used = y.used)))
GROUP BY f.r, f.a, f.n, f.b, f.m;
SELECT count(*) AS orders, count(*) FILTER (WHERE f.cost IS NULL) AS refused, count(*) FILTER (WHERE f.cost IS DISTINCT FROM b.cost) AS different FROM found f LEFT JOIN best b USING (r, a, n, b, m);
SELECT f.r, f.a, f.n, f.b, f.m, f.cost, b.cost, r.definition FROM found f LEFT JOIN best b USING (r, a, n, b, m) JOIN rule r USING (r) WHERE f.cost IS DISTINCT FROM b.cost ORDER BY 1, 2, 3, 4, 5 LIMIT 5;
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_routing_every_plan;
