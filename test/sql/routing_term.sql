-- routing_term.sql: every amount that a policy counts, alone and together, and the limits on how lines are divided.
\pset pager off
CREATE DATABASE oms_routing_term;
\c oms_routing_term
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SET oms.clock = '2026-11-23 08:00+00';
SELECT oms.upsert_channels('[{"code":"default","backorder":true}]');
SELECT oms.upsert_items('[{"sku":"A","price":10,"item_group":"set"},{"sku":"B","price":20,"item_group":"set"},{"sku":"C","price":5},{"sku":"D","price":5},{"sku":"E","price":5}]');
SELECT oms.upsert_locations('[{"code":"default","active":false},
  {"code":"one","rank":1,"cost_per_order":1,"cost_per_line":0.5,"latitude":50,"longitude":8,"daily_capacity":10,"groups":[{"group":"shops"}]},
  {"code":"two","rank":2,"cost_per_order":2,"cost_per_unit":0.1,"latitude":51,"longitude":8},
  {"code":"three","rank":3,"cost_per_order":3}]');
SELECT count(oms.receive_stock(l, s, CASE l WHEN 'one' THEN 6 WHEN 'two' THEN 20 ELSE 40 END)) FROM unnest('{one,two,three}'::text[]) l, unnest('{A,B,C}'::text[]) s;
SELECT count(oms.receive_stock(l, s, n)) FROM (VALUES ('one', 'D', 6), ('two', 'D', 4), ('three', 'D', 8), ('one', 'E', 5), ('two', 'E', 5), ('three', 'E', 5)) v(l, s, n);
CREATE FUNCTION policy(definition jsonb) RETURNS void LANGUAGE sql AS $$
  SELECT oms.activate_routing_policy('p', oms.save_routing_policy('p', '{"objective":"cost"}'::jsonb || definition)) $$;
CREATE FUNCTION placed(ref text, lines jsonb, more jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  why text;
BEGIN
  PERFORM oms.place_order(jsonb_build_object('external_ref', ref, 'ship_to', '{"country":"DE","latitude":50,"longitude":9}'::jsonb, 'lines', lines) || more);
  RETURN QUERY SELECT concat_ws(' ', kind, location, term, amount, detail) FROM oms.explain_route(oms.find_order('default', ref))
    WHERE kind IN ('policy', 'plan', 'relaxed', 'excluded') AND NOT (kind = 'plan' AND amount = 0);
EXCEPTION WHEN SQLSTATE 'OM001' OR SQLSTATE 'OM008' THEN
  GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
  RETURN NEXT SQLSTATE || ' ' || SQLERRM || ': ' || why;
END $$;
-- Handling by order, line and unit: two lines from one place are one order and two lines.
SELECT policy('{}');
SELECT placed('handling', '[{"sku":"A","quantity":2},{"sku":"B","quantity":1}]');
-- The weight of lines makes the place without costs by line cheaper.
SELECT policy('{"line_weight":2}');
SELECT placed('by line', '[{"sku":"A","quantity":2},{"sku":"B","quantity":1}]');
-- A line divided over places pays at each.
SELECT policy('{"line_weight":3,"rules":[{"name":"not three","kind":"require","expression":"this.location <> ''three''"}]}');
SELECT placed('divided', '[{"sku":"C","quantity":24}]');

-- What goods cost, and what they would lose.
SELECT oms.load_unit_values('[{"sku":"B","location":"one","cost":9},{"sku":"B","location":"two","cost":8,"markdown":1.5},{"sku":"B","location":"three","cost":"9.5","markdown":4}]');
SELECT policy('{"margin_weight":1}');
SELECT placed('margin', '[{"sku":"B","quantity":2}]');
SELECT policy('{"margin_weight":1,"markdown_weight":2}');
SELECT placed('markdown', '[{"sku":"B","quantity":2}]');

-- Free units, and weeks that they last.
SELECT policy('{"cost_of_low_stock":4}');
SELECT placed('stock', '[{"sku":"B","quantity":1}]');
SELECT oms.refresh_sales_rates();
SELECT oms.ship_fulfillment(f.fulfillment_id, '{}') IS NULL FROM (SELECT oms.release_fulfillment(fulfillment_id) IS NULL, fulfillment_id FROM oms.fulfillments
  WHERE order_id IN (oms.find_order('default', 'stock'), oms.find_order('default', 'markdown'))) f;
SELECT oms.refresh_sales_rates(2);
SELECT code, sku, units_per_week FROM oms.sales_rates JOIN oms.locations USING (location_id) JOIN oms.items USING (item_id);
SELECT policy('{"cost_of_low_supply":8,"supply_weeks":52}');
SELECT placed('supply', '[{"sku":"B","quantity":1}]');
SELECT oms.refresh_sales_rates(0);

-- As a ranking: the most free units, the longest supply; ties go to the next term and then to the rank.
SELECT policy('{"objective":"ranking","ranking":[{"term":"stock"},{"term":"fulfillments"}]}');
SELECT placed('most', '[{"sku":"C","quantity":1}]');
SELECT policy('{"objective":"ranking","ranking":[{"term":"stock","tolerance":100},{"term":"fulfillments"}]}');
SELECT placed('tied', '[{"sku":"C","quantity":1}]');
SELECT policy('{"objective":"ranking","ranking":[{"term":"supply"},{"term":"rank"}]}');
SELECT placed('lasting', '[{"sku":"B","quantity":1}]');

-- Distances that are not known: excluded, or counted as declared.
SELECT policy('{"cost_per_kilometre":"0.01"}');
SELECT placed('known', '[{"sku":"C","quantity":1}]');
SELECT policy('{"cost_per_kilometre":"0.01","unknown_kilometres":40}');
SELECT placed('unknown', '[{"sku":"C","quantity":30}]');
SELECT policy('{"max_kilometres":100,"unknown_kilometres":101}');
SELECT placed('too far', '[{"sku":"C","quantity":1}]');

-- The last units stay where policies say so, and are given up last.
SELECT policy('{"floors":[{"group":"shops","units":6},{"units":2}],"relax":[{"rule":"floors"}]}');
SELECT placed('kept', '[{"sku":"D","quantity":2}]');
SELECT placed('all of it', '[{"sku":"D","quantity":14}]');
SELECT policy('{"floors":[{"units":2}]}');
SELECT placed('hard', '[{"sku":"D","quantity":1}]');

-- A fuller day is dearer.
SELECT count(*) FROM generate_series(1, 3) i, LATERAL placed('fills ' || i, '[{"sku":"B","quantity":1,"location":"one"}]') p;
SELECT policy('{"cost_of_load":10,"load_threshold":0.5,"load_exponent":2}');
SELECT c.used, c.capacity FROM oms.location_capacity c;
SELECT placed('loaded', '[{"sku":"A","quantity":1}]');
SELECT policy('{"cost_of_load":2,"load_threshold":0.5,"load_exponent":3,"rules":[{"name":"only one","kind":"require","expression":"this.location = ''one''"}]}');
SELECT placed('loaded again', '[{"sku":"A","quantity":1}]');

-- Few places by line; given up where it may be.
SELECT policy('{"max_places_per_line":2}');
SELECT placed('from three', '[{"sku":"E","quantity":11}]');
SELECT placed('from two', '[{"sku":"E","quantity":8}]');
SELECT policy('{"max_places_per_line":1,"relax":[{"rule":"max_places_per_line"}]}');
SELECT placed('soft', '[{"sku":"E","quantity":6}]');

-- Items of a group from one place, or later together.
SELECT oms.receive_stock('one', 'A', 9) > 0, oms.receive_stock('two', 'B', 9) > 0, oms.set_stock_limits('two', 'A', 0, 50) IS NULL, oms.set_stock_limits('two', 'B', 0, 50) IS NULL;
SELECT policy('{"rules":[{"name":"not three","kind":"require","expression":"this.location <> ''three''"}],"keep_together":[{"item_group":"set"}],"relax":[{"rule":"keep_together"}]}');
SELECT placed('together', '[{"sku":"A","quantity":5},{"sku":"B","quantity":3}]');
SELECT placed('parted', '[{"sku":"A","quantity":16},{"sku":"B","quantity":18}]');
SELECT policy('{"rules":[{"name":"not three","kind":"require","expression":"this.location <> ''three''"}],"keep_together":[{"item_group":"set"}]}');
SELECT placed('later', '[{"sku":"A","quantity":40},{"sku":"B","quantity":1},{"sku":"E","quantity":1}]');
SELECT l.code, i.sku, f.backordered, a.promised FROM oms.allocations a JOIN oms.fulfillments f USING (fulfillment_id) JOIN oms.locations l ON l.location_id = a.location_id
  JOIN oms.items i USING (item_id) WHERE f.order_id = oms.find_order('default', 'later') ORDER BY 1, 2;

-- All now or nothing, as the policy says.
SELECT policy('{"ship_complete":true}');
SELECT placed('complete', '[{"sku":"C","quantity":90},{"sku":"A","quantity":1}]');
SELECT placed('waits', '[{"sku":"A","quantity":45},{"sku":"B","quantity":1}]');
SELECT l.code, i.sku, f.backordered, a.promised FROM oms.allocations a JOIN oms.fulfillments f USING (fulfillment_id) JOIN oms.locations l ON l.location_id = a.location_id
  JOIN oms.items i USING (item_id) WHERE f.order_id = oms.find_order('default', 'waits') ORDER BY 1, 2;

-- Units that wait for later, where that costs less than sending them now.
SELECT policy('{"cost_per_unit_later":"0.2","later_value_weight":0.01}');
SELECT code, on_hand - reserved AS free, backorder_limit FROM oms.stock JOIN oms.locations USING (location_id) JOIN oms.items USING (item_id) WHERE sku = 'B' ORDER BY 1;
SELECT placed('not now', '[{"sku":"B","quantity":2}]');
SELECT placed('now', '[{"sku":"B","quantity":12}]');

-- All of it is in the record.
SELECT count(*), bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT d.order_id FROM oms.routing_decisions d, LATERAL (SELECT sum(amount) FILTER (WHERE kind = 'policy' AND term = 'cost') AS cost, sum(amount) FILTER (WHERE kind = 'plan') AS terms
  FROM oms.explain_route(d.order_id)) e WHERE e.cost IS DISTINCT FROM coalesce(e.terms, 0);
SELECT count(*), sum(s.changed), sum(s.refused) FROM oms.routing_policies p, oms.simulate_routing('p/' || p.version, NULL, NULL) s WHERE s.plan = 'recorded';
SELECT o.changed, o.from_configuration FROM oms.simulate_routing_orders('p/7', NULL, NULL) o WHERE o.order_id = oms.find_order('default', 'most');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_routing_term;
