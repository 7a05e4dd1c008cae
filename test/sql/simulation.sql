-- simulation.sql: past decisions made again by other policies.
\pset pager off
CREATE DATABASE oms_simulation;
\c oms_simulation
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
\pset tuples_only on
\pset format unaligned

-- Twelve warehouses, forty items, two services; everything by arithmetic, so that each run is the same.
SELECT oms.upsert_locations((SELECT jsonb_agg(jsonb_build_object('code', 'w' || i, 'latitude', 30 + i * 1.37 % 15,
    'longitude', -120 + i * 7.91 % 50, 'postal_code', (10000 + i * 7311)::text, 'country', 'US', 'rank', i * 5 % 7,
    'cost_per_order', (i * 37 % 11) / 4.0, 'cost_per_unit', (i * 13 % 5) / 10.0)) FROM generate_series(1, 12) i));
SELECT oms.upsert_items((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || i, 'price', i, 'weight_grams', 150 + i * 311 % 4000,
    'backorder', i % 8 = 0)) FROM generate_series(1, 40) i));
SELECT oms.upsert_channels('[{"code": "shop", "currency": "USD", "backorder": true}]');
SELECT oms.upsert_carriers('[{"code": "post", "services": [{"code": "ground", "zone_chart": "rings", "currency": "USD"},
    {"code": "air", "zone_chart": "rings", "currency": "USD"}]}]');
SELECT oms.load_shipping_zones('rings', '[{"zone": "1", "distance_from": 0, "distance_to": 400}, {"zone": "2", "distance_from": 400,
    "distance_to": 1500}, {"zone": "3", "distance_from": 1500, "distance_to": 20000}]');
SELECT oms.load_shipping_rates('ground', (SELECT jsonb_agg(jsonb_build_object('zone', z::text, 'to_grams', w * 1000, 'amount',
    2 + z * 1.5 + w * z * 0.35)) FROM generate_series(1, 3) z, generate_series(1, 40) w));
SELECT oms.load_shipping_rates('air', '[{"zone": "1", "to_grams": 40000, "amount": 9}, {"zone": "2", "to_grams": 40000, "amount": 16}]');
SELECT count(oms.receive_stock('w' || l, 'S' || s, 5 + (l * s) % 30)) FROM generate_series(1, 12) l, generate_series(1, 40) s
WHERE (l * 7 + s * 3) % 5 < 2;
UPDATE oms.stock_counters SET backorder_limit = 4 WHERE item_id IN (SELECT item_id FROM oms.items WHERE backorder) AND location_id % 3 = 0;
SELECT oms.save_routing_policy('cheap', '{"objective": "cost", "currency": "USD", "max_kilometres": 1800, "relax": [{"rule": "max_kilometres"}]}');
SELECT oms.activate_routing_policy('cheap', 1);

CREATE TABLE placed (external_ref text, answer jsonb);
CREATE FUNCTION place(first int, last int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    placed bigint := 0;
BEGIN
    FOR i IN first..last LOOP
        BEGIN
            INSERT INTO placed SELECT 'o' || i, oms.place_order(jsonb_build_object('channel', 'shop', 'external_ref', 'o' || i,
                'ship_to', jsonb_build_object('country', 'US', 'postal_code', (20000 + i)::text, 'latitude', 28 + i * 3.7 % 18,
                                              'longitude', -122 + i * 11.3 % 52),
                'lines', (SELECT jsonb_agg(jsonb_build_object('sku', 'S' || s, 'quantity', 1 + i * s % 3))
                          FROM (SELECT DISTINCT 1 + (i * 17 + k * k * 5 + k * 3) % 40 AS s FROM generate_series(1, 1 + i % 4) k) x)));
            placed := placed + 1;
        EXCEPTION WHEN SQLSTATE 'OM001' OR SQLSTATE 'OM008' THEN
            NULL;   -- out of stock: nothing was decided
        END;
    END LOOP;
    RETURN placed;
END $$;
SELECT place(1, 420) > 380;
SELECT count(*) > 380, count(DISTINCT policy_id), bool_and(oms.route_replays(record)) FROM oms.routing_decisions;

-- The policy that was active reproduces every decision, cost included.
CREATE FUNCTION parts(answer jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s%s', location, units, CASE WHEN later THEN ' later' ELSE '' END), ',' ORDER BY location, later)
    FROM (SELECT f ->> 'location' AS location, f ? 'backordered' AS later, (SELECT sum((l ->> 'quantity')::int) FROM jsonb_array_elements(f -> 'lines') l) AS units
          FROM jsonb_array_elements(answer -> 'fulfillments') f) x $$;
CREATE FUNCTION sorted(plan text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(p, ',' ORDER BY split_part(p, ' ', 1), p LIKE '%later') FROM unnest(string_to_array(plan, ', ')) p $$;
SELECT count(*) = (SELECT count(*) FROM oms.routing_decisions), bool_or(changed), bool_and(s.recorded_plan = s.plan),
       bool_and(sorted(s.plan) = parts(p.answer)), bool_and(s.cost = s.recorded_cost), bool_and(s.cost = d.cost),
       count(s.from_configuration), count(s.refusal), bool_or(s.plan LIKE '%later%'), max(s.packages)
FROM oms.simulate_routing_orders('cheap', '-infinity', 'infinity') s JOIN oms.routing_decisions d USING (order_id)
     JOIN placed p ON (p.answer ->> 'order_id')::bigint = s.order_id;

-- So does a draft of the same text, which passes through every rule again: nothing of the record says what it chose.
SELECT oms.save_routing_policy('copy', '{"objective": "cost", "currency": "USD", "max_kilometres": 1800, "relax": [{"rule": "max_kilometres"}]}');
SELECT count(*) > 380, bool_or(changed), bool_and(cost = recorded_cost), count(from_configuration) FROM oms.simulate_routing_orders('copy', NULL, NULL);

-- Side by side: the cost of no policy with the same freedom is below the optimum's; each other answer is what it claims to be.
SELECT oms.save_routing_policy('free', '{"objective": "cost", "currency": "USD"}'),
       oms.save_routing_policy('one', '{"objective": "cost", "currency": "USD", "max_fulfillments": 1}'),
       oms.save_routing_policy('few', '{"objective": "fewest_splits", "currency": "USD"}'),
       oms.save_routing_policy('first', '{"objective": "nearest_first", "currency": "USD"}'),
       oms.save_routing_policy('rank', '{"objective": "priority", "currency": "USD"}'),
       oms.save_routing_policy('complete', '{"objective": "nearest_complete", "currency": "USD"}'),
       oms.save_routing_policy('built-in', '{"objective": "nearest"}'),
       oms.save_routing_policy('ranked', '{"objective": "ranking", "currency": "USD", "ranking": [{"term": "fulfillments"}, {"term": "distance"}]}');
CREATE TABLE side AS SELECT code, s.* FROM unnest('{cheap,free,one,few,first,rank,complete,built-in,ranked}'::text[]) code,
    oms.simulate_routing(code, NULL, NULL) s;
SELECT count(DISTINCT (orders, refused, backordered, packages, fulfillments, split, cost, shipping, handling, kilometres)), bool_and(changed = 0)
FROM side WHERE plan = 'recorded';
SELECT code, plan, orders = o, refused > 0 AS refused, changed > 0 AS changed, packages >= served - refused AS packages,
       split > 0 AS split, cost = shipping + handling, unpriced, unplaced, from_configuration > 0 AS from_configuration
FROM side, (SELECT orders AS o, orders AS served FROM side WHERE plan = 'recorded' LIMIT 1) x WHERE plan <> 'recorded' ORDER BY code COLLATE "C";
SELECT f.cost <= c.cost AND f.cost < b.cost AND f.cost < n.cost AND f.cost < r.cost AND f.cost < w.cost AND f.cost < m.cost AS optimum_is_cheapest,
       w.packages <= f.packages AND k.packages = w.packages AS fewest_is_fewest, k.kilometres < w.kilometres AS nearer
FROM side f, side c, side b, side n, side r, side w, side m, side k
WHERE f.plan LIKE 'free %' AND c.plan LIKE 'cheap %' AND b.plan LIKE 'built-in %' AND n.plan LIKE 'first %' AND r.plan LIKE 'rank %'
  AND w.plan LIKE 'few %' AND m.plan LIKE 'complete %' AND k.plan LIKE 'ranked %';
SELECT DISTINCT refusal FROM oms.simulate_routing_orders('one', NULL, NULL) WHERE refusal IS NOT NULL;
SELECT count(*) FILTER (WHERE packages > 1), bool_and((refusal IS NULL) = (plan IS NOT NULL)), bool_and((cost IS NULL) = (plan IS NULL OR plan LIKE '%later' AND cost IS NULL))
FROM oms.simulate_routing_orders('one', NULL, NULL);

-- Rates and costs of today do not change what is told of the past, except where the record lacks a term.
UPDATE oms.locations SET cost_per_order = 40, rank = 100 - rank WHERE location_id % 2 = 0;
UPDATE oms.shipping_rates SET amount = amount * 3;
UPDATE oms.stock_counters SET safety = 1 WHERE on_hand - reserved > 3;
SELECT bool_or(changed), bool_and(cost = recorded_cost), count(from_configuration) FROM oms.simulate_routing_orders('cheap', NULL, NULL);
SELECT bool_or(changed), bool_and(cost = recorded_cost), count(from_configuration) FROM oms.simulate_routing_orders('copy', NULL, NULL);
SELECT from_configuration, count(*) > 0 FROM oms.simulate_routing_orders('free', NULL, NULL) GROUP BY 1 ORDER BY 1;
SELECT oms.save_routing_policy('whole', '{"objective": "cost", "currency": "USD", "whole_lines": true}');
SELECT from_configuration, count(*) > 0 FROM oms.simulate_routing_orders('whole', NULL, NULL) GROUP BY 1 ORDER BY 1;

-- Decisions of a policy with weights, whole lines and a price of the kilometre are made again as well, then by both.
SELECT oms.save_routing_policy('heavy', '{"objective": "cost", "currency": "USD", "whole_lines": true, "shipping_weight": 0.7,
    "order_weight": 1.3, "unit_weight": 2.5, "cost_per_kilometre": 0.013, "relax": [{"rule": "whole_lines"}]}');
SELECT oms.activate_routing_policy('heavy', 1);
SELECT clock_timestamp() AS switched \gset
SELECT place(500, 620) > 60;
SELECT count(*) > 60, bool_or(changed), bool_and(cost = recorded_cost), count(from_configuration)
FROM oms.simulate_routing_orders('heavy/1', :'switched', NULL);
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT count(*) > 380, bool_or(changed) FROM oms.simulate_routing_orders('cheap/1', NULL, :'switched');
SELECT bool_or(changed) FROM oms.simulate_routing_orders('cheap/1', :'switched', NULL);
-- A location that moved or closed is still what it was.
CREATE TABLE before AS SELECT order_id, cost, recorded_cost FROM oms.simulate_routing_orders('heavy', :'switched', NULL);
UPDATE oms.locations SET latitude = 0, longitude = 0, active = false WHERE code = 'w5';
SELECT bool_and(a.cost = b.cost AND a.recorded_cost = b.recorded_cost AND NOT changed)
FROM oms.simulate_routing_orders('heavy', :'switched', NULL) a JOIN before b USING (order_id);

-- Nothing was written; what cannot be done is said.
SELECT (SELECT count(*) FROM oms.routing_decisions) = (SELECT count(*) FROM oms.routing_decisions d JOIN oms.orders USING (order_id)), count(*) FROM oms.audit();
BEGIN READ ONLY;
SELECT plan, orders > 0 FROM oms.simulate_routing('free', NULL, NULL);
COMMIT;
SELECT oms.simulate_routing('nothing', NULL, NULL);
SELECT oms.simulate_routing('cheap/7', NULL, NULL);
SELECT oms.simulate_routing('cheap', '2026-01-02', '2026-01-01');
SELECT oms.simulate_routing(NULL, NULL, NULL);
SELECT plan, orders, split_rate FROM oms.simulate_routing('cheap', '1999-01-01', '1999-02-01');
SELECT count(*) FROM oms.simulate_routing_orders('cheap', '1999-01-01', '1999-02-01');
SET statement_timeout = '30ms';
SELECT plan FROM oms.simulate_routing('ranked', NULL, NULL), generate_series(1, 50);
RESET statement_timeout;
-- Analysts may ask; a role that is limited to other channels sees no order.
SELECT oms.upsert_channels('[{"code": "other", "currency": "USD"}]');
CREATE ROLE simulation_analyst IN ROLE oms_analyst;
SET SESSION AUTHORIZATION simulation_analyst;
SELECT plan, orders > 0 FROM oms.simulate_routing('free', NULL, NULL);
RESET SESSION AUTHORIZATION;
INSERT INTO oms.role_scopes (tenant_id, role_name, channel_id) SELECT 1, 'simulation_analyst', channel_id FROM oms.channels WHERE code = 'other';
SET SESSION AUTHORIZATION simulation_analyst;
SELECT plan, orders FROM oms.simulate_routing('free', NULL, NULL);
RESET SESSION AUTHORIZATION;
DROP ROLE simulation_analyst;
\c postgres
