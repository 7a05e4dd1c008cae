-- routing_strategy.sql: a function of the user's plans, within what units, stock and hard rules allow.
\pset pager off
CREATE DATABASE oms_routing_strategy;
\c oms_routing_strategy
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
\pset tuples_only on
\pset format unaligned
CREATE ROLE strategy_planner IN ROLE oms_admin;
CREATE ROLE strategy_shop IN ROLE oms_app;
CREATE SCHEMA crm;
GRANT USAGE ON SCHEMA crm, public TO strategy_planner, strategy_shop;
SELECT oms.upsert_locations('[{"code": "north", "latitude": 50, "longitude": 8, "cost_per_order": 1, "cost_per_unit": 0.5}, {"code": "south", "latitude": 48, "longitude": 8, "cost_per_order": 2},
  {"code": "west", "latitude": 49, "longitude": 3, "cost_per_order": 3}, {"code": "far", "latitude": 10, "longitude": 3, "rank": 1}]');
SELECT oms.upsert_channels('[{"code": "shop", "currency": "EUR", "backorder": true}]');
SELECT oms.upsert_items('[{"sku": "FISH", "price": 5, "weight_grams": 500}, {"sku": "TIN", "price": 2, "weight_grams": 300, "backorder": true}]');
SELECT count(oms.receive_stock(l, s, 100)) FROM unnest('{north,south,west,far}'::text[]) l, unnest('{FISH,TIN}'::text[]) s;
SELECT oms.upsert_carriers('[{"code": "post", "services": [{"code": "parcel", "zone_chart": "z", "currency": "EUR"}]}]'),
  oms.load_shipping_zones('z', '[{"zone": "1", "distance_from": 0, "distance_to": 20000}]', 'replace'),
  oms.load_shipping_rates('parcel', '[{"zone": "1", "to_grams": 1000, "amount": 4}, {"zone": "1", "to_grams": 5000, "amount": 6.5}]');

-- What it is given is kept, and what it is to answer is read from a table.
CREATE TABLE crm.script (answer jsonb, asked jsonb);
CREATE TABLE crm.heard (asked jsonb);
GRANT SELECT ON crm.script TO strategy_planner;
CREATE FUNCTION crm.plan(asked jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN RETURN (SELECT answer FROM crm.script); END $$;
CREATE FUNCTION crm.nobody(jsonb) RETURNS jsonb LANGUAGE sql STABLE AS 'SELECT $1';
REVOKE EXECUTE ON FUNCTION crm.nobody FROM PUBLIC;
CREATE FUNCTION crm.text(jsonb) RETURNS text LANGUAGE sql STABLE AS 'SELECT $1::text';
CREATE FUNCTION crm.many(jsonb) RETURNS SETOF jsonb LANGUAGE sql STABLE AS 'SELECT $1';
CREATE FUNCTION crm.loose(jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
CREATE FUNCTION crm.write(asked jsonb) RETURNS void LANGUAGE sql SECURITY DEFINER AS 'INSERT INTO crm.heard VALUES (asked)';
CREATE FUNCTION crm.sly(asked jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM crm.write(asked); RETURN '[]'; END $$;
CREATE FUNCTION crm.echo(asked jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE EXCEPTION '%', asked; END $$;
CREATE FUNCTION crm.who(asked jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE EXCEPTION '% for %', current_user, session_user; END $$;
CREATE FUNCTION crm.slow(jsonb) RETURNS jsonb LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM count(*) FROM generate_series(1, 1000000000); RETURN '[]'; END $$;

CREATE SEQUENCE ref;
GRANT USAGE ON SEQUENCE ref TO strategy_shop;
CREATE FUNCTION place(VARIADIC skus text[]) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s %s', f ->> 'location', (SELECT string_agg((l ->> 'line_no') || '*' || (l ->> 'quantity'), '+') FROM jsonb_array_elements(f -> 'lines') l)), ', ')
  FROM jsonb_array_elements(oms.place_order(jsonb_build_object('channel', 'shop', 'external_ref', 'o' || nextval('ref'), 'customer', '{"ref": "ann", "class": "vip"}'::jsonb,
    'ship_to', '{"latitude": 50, "longitude": 9, "country": "DE"}'::jsonb,
    'lines', (SELECT jsonb_agg(jsonb_build_object('sku', s, 'quantity', 2)) FROM unnest(skus) s))) -> 'fulfillments') f $$;
CREATE FUNCTION answer(text) RETURNS void LANGUAGE sql AS 'DELETE FROM crm.script; INSERT INTO crm.script VALUES ($1::jsonb)';
CREATE VIEW why AS SELECT kind, location, term, amount, detail FROM oms.explain_route((SELECT max(order_id) FROM oms.orders));

-- Checked when saved.
SET SESSION AUTHORIZATION strategy_planner;
DO $$
DECLARE
    bad text;
    detail text;
BEGIN
    FOREACH bad IN ARRAY ARRAY['plan', 'a.b.c', 'crm.', 'crm."', 'nowhere.plan', 'crm.nothing', 'crm.nobody', 'crm.text', 'crm.many', 'crm.loose', 'crm.plan', '"crm".plan'] LOOP
        BEGIN
            PERFORM oms.save_routing_policy('bad', jsonb_build_object('objective', 'strategy', 'fallback', 'cost', 'strategy', bad));
            RAISE WARNING '% is taken', bad;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
            RAISE WARNING '% -> % %', bad, SQLSTATE, detail;
        END;
    END LOOP;
END $$;
SELECT oms.save_routing_policy('bad', '{"objective": "strategy"}');
SELECT oms.save_routing_policy('bad', '{"objective": "cost", "strategy": "crm.plan", "fallback": "cost"}');
SELECT oms.save_routing_policy('bad', '{"objective": "strategy", "strategy": "crm.plan", "fallback": "luck"}');
SELECT oms.save_routing_policy('bad', '{"objective": "strategy", "strategy": "crm.plan", "fallback": "ranking"}');
SELECT oms.save_routing_policy('bad', '{"objective": "strategy", "strategy": "crm.plan", "fallback": "nearest", "whole_lines": true, "min_fulfillment_value": 3}');

-- What it is told.
SELECT oms.activate_routing_policy('echo', oms.save_routing_policy('echo', '{"objective": "strategy", "strategy": "crm.echo", "fallback": "refuse", "max_kilometres": 1000, "max_fulfillments": 2}'));
RESET SESSION AUTHORIZATION;
UPDATE oms.stock_counters SET on_hand = 1 WHERE item_id = (SELECT item_id FROM oms.items WHERE sku = 'FISH') AND location_id = (SELECT location_id FROM oms.locations WHERE code = 'west');
\set VERBOSITY terse
SET SESSION AUTHORIZATION strategy_shop;
DO $$
DECLARE
    detail text;
BEGIN
    PERFORM place('FISH', 'TIN');
EXCEPTION WHEN SQLSTATE 'OM008' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RAISE WARNING '%', regexp_replace(jsonb_pretty(substring(detail FROM '\{.*\}')::jsonb - 'at'), '\s+', ' ', 'g');
END $$;
\set VERBOSITY default
RESET SESSION AUTHORIZATION;
UPDATE oms.stock_counters SET on_hand = 100 WHERE on_hand = 1;

-- It plans within the rules; the plan is priced as any other and its distance from the cheapest is told.
SET SESSION AUTHORIZATION strategy_planner;
SELECT oms.activate_routing_policy('own', oms.save_routing_policy('own', '{"objective": "strategy", "strategy": "crm.plan", "fallback": "cost", "max_kilometres": 1000, "max_fulfillments": 2}'));
RESET SESSION AUTHORIZATION;
SELECT answer('[{"line": 1, "location": "south"}, {"line": 2, "location": "west", "quantity": 1}, {"line": 2, "location": "west", "quantity": 1}]');
SET SESSION AUTHORIZATION strategy_shop;
SELECT place('FISH', 'TIN');
RESET SESSION AUTHORIZATION;
TABLE why;
SELECT sum(amount) FILTER (WHERE kind = 'plan') = max(amount) FILTER (WHERE kind = 'policy' AND term = 'cost') FROM why;
SELECT answer('[{"line": 1, "location": "north"}]');
SELECT place('TIN');
SELECT * FROM why WHERE kind IN ('policy', 'optimum');
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;

-- A bad answer is an event, and the fallback plans.
DO $$
DECLARE
    bad text;
BEGIN
    FOREACH bad IN ARRAY ARRAY['null', '{}', '[1]', '[]', '[{"line": 1}]', '[{"line": 0, "location": "north"}]', '[{"line": 3, "location": "north"}]',
        '[{"line": 1, "location": "nowhere"}]', '[{"line": 1, "location": "far"}, {"line": 2, "location": "south"}]', '[{"line": 1, "location": "north", "quantity": 0}]',
        '[{"line": 1, "location": "north"}]', '[{"line": 1, "location": "north", "quantity": 3}, {"line": 2, "location": "north"}]',
        '[{"line": 1, "location": "north", "quantity": 1}, {"line": 1, "location": "south", "quantity": 1}, {"line": 2, "location": "west"}]',
        '[{"line": 1, "location": "north", "quantity": 1000}, {"line": 2, "location": "north"}]', '[{"line": 1, "location": "north", "units": 1}]'] LOOP
        PERFORM answer(bad);
        PERFORM place('FISH', 'TIN');
        RAISE WARNING '% -> %', bad, (SELECT reason FROM oms.events WHERE type = 'order.strategy_failed' ORDER BY event_id DESC LIMIT 1);
    END LOOP;
END $$;
SELECT count(*), count(DISTINCT order_id), min(action) FROM oms.events WHERE type = 'order.strategy_failed';
SELECT answer(NULL);
SELECT place('FISH', 'TIN');
TABLE why;
-- More units than are free, and a parcel that nobody carries.
UPDATE oms.stock_counters SET safety = 99 WHERE item_id = (SELECT item_id FROM oms.items WHERE sku = 'FISH') AND location_id = (SELECT location_id FROM oms.locations WHERE code = 'west');
SELECT answer('[{"line": 1, "location": "west"}]');
SELECT place('FISH');
SELECT * FROM why WHERE kind = 'policy';
UPDATE oms.stock_counters SET safety = 0;
UPDATE oms.items SET weight_grams = 4000 WHERE sku = 'FISH';
SELECT answer('[{"line": 1, "location": "west"}, {"line": 2, "location": "west"}]');
SELECT place('FISH', 'TIN');
UPDATE oms.items SET weight_grams = 2400 WHERE sku = 'FISH';
SELECT place('FISH', 'TIN');
SELECT * FROM why WHERE kind = 'policy';
UPDATE oms.items SET weight_grams = 500 WHERE sku = 'FISH';

-- Each fallback.
SET SESSION AUTHORIZATION strategy_planner;
SELECT oms.activate_routing_policy('ranked', oms.save_routing_policy('ranked', '{"objective": "strategy", "strategy": "crm.plan", "fallback": "ranking", "ranking": [{"term": "rank"}, {"term": "distance"}]}'));
RESET SESSION AUTHORIZATION;
SELECT answer('[]'), place('FISH', 'TIN');
SELECT * FROM why WHERE kind = 'policy';
SET SESSION AUTHORIZATION strategy_planner;
SELECT oms.activate_routing_policy('near', oms.save_routing_policy('near', '{"objective": "strategy", "strategy": "crm.plan", "fallback": "nearest"}'));
RESET SESSION AUTHORIZATION;
UPDATE oms.locations SET cost_per_order = 100 WHERE code = 'north';
SELECT place('FISH', 'TIN');
SELECT * FROM why WHERE kind = 'policy';
UPDATE oms.locations SET cost_per_order = 1 WHERE code = 'north';
SET SESSION AUTHORIZATION strategy_planner;
SELECT oms.activate_routing_policy('strict', oms.save_routing_policy('strict', '{"objective": "strategy", "strategy": "crm.plan", "fallback": "refuse"}'));
RESET SESSION AUTHORIZATION;
SELECT place('FISH', 'TIN');
SELECT answer('[{"line": 1, "location": "south"}]'), place('TIN');

-- Whole lines and least worth; what is missing waits, and the strategy plans the rest.
SET SESSION AUTHORIZATION strategy_planner;
SELECT oms.activate_routing_policy('whole', oms.save_routing_policy('whole', '{"objective": "strategy", "strategy": "crm.plan", "fallback": "cost", "whole_lines": true, "min_fulfillment_value": 5}'));
RESET SESSION AUTHORIZATION;
SELECT answer('[{"line": 1, "location": "south", "quantity": 1}, {"line": 1, "location": "west", "quantity": 1}, {"line": 2, "location": "south"}]'), place('FISH', 'TIN');
SELECT * FROM why WHERE kind = 'policy';
SELECT answer('[{"line": 1, "location": "south"}, {"line": 2, "location": "west"}]'), place('FISH', 'TIN');
SELECT * FROM why WHERE kind = 'policy';
SELECT answer('[{"line": 2, "location": "south"}, {"line": 1, "location": "south"}]'), place('FISH', 'TIN');
SELECT * FROM why WHERE kind = 'policy';

-- Replay and the simulation of the same policy use the record, whatever the function says today; another policy asks it.
CREATE TABLE kept AS SELECT s.* FROM (VALUES ('own'), ('ranked'), ('near'), ('strict'), ('whole')) v(code), oms.simulate_routing_orders(v.code, NULL, NULL) s
  JOIN oms.routing_decisions d USING (order_id) JOIN oms.routing_policies p USING (policy_id) WHERE p.code = v.code;
SELECT count(*), count(*) = (SELECT count(*) FROM oms.routing_decisions), bool_or(changed), bool_and(cost = recorded_cost), count(from_configuration), count(refusal) FROM kept;
SELECT answer('[{"line": 1, "location": "west"}]');
DROP FUNCTION crm.plan(jsonb);
SELECT bool_or(s.changed), count(s.from_configuration) FROM (VALUES ('own'), ('ranked'), ('near'), ('strict'), ('whole')) v(code), oms.simulate_routing_orders(v.code, NULL, NULL) s
  JOIN oms.routing_decisions d USING (order_id) JOIN oms.routing_policies p USING (policy_id) WHERE p.code = v.code;
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
-- A function that is gone is a failure as any; made again, it is asked at once.
SELECT place('TIN');
SELECT * FROM why WHERE kind = 'policy';
CREATE FUNCTION crm.plan(asked jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $$ SELECT jsonb_agg(jsonb_build_object('line', l -> 'line', 'location', c -> 'location'))
  FROM jsonb_array_elements(asked -> 'lines') l, (SELECT c FROM jsonb_array_elements(asked -> 'candidates') c ORDER BY (c -> 'cost')::numeric DESC LIMIT 1) c $$;
SELECT place('TIN');
SELECT * FROM why WHERE kind = 'policy';
SELECT from_configuration, count(*) > 10, bool_or(changed) FROM oms.simulate_routing_orders('strict', NULL, NULL) GROUP BY 1 ORDER BY 1;
SELECT plan, count(*) FROM oms.simulate_routing_orders('own', NULL, NULL) WHERE from_configuration LIKE '%strategy%' GROUP BY 1 ORDER BY 1;

-- As the owner, whoever places; nothing it calls can write; stopped in time; no rights, no plan.
SET SESSION AUTHORIZATION strategy_planner;
SELECT oms.activate_routing_policy('who', oms.save_routing_policy('who', '{"objective": "strategy", "strategy": "crm.who", "fallback": "refuse"}'));
SET SESSION AUTHORIZATION strategy_shop;
SELECT place('TIN');
SET SESSION AUTHORIZATION strategy_planner;
SELECT oms.activate_routing_policy('sly', oms.save_routing_policy('sly', '{"objective": "strategy", "strategy": "crm.sly", "fallback": "cost"}'));
SET SESSION AUTHORIZATION strategy_shop;
SELECT place('TIN');
RESET SESSION AUTHORIZATION;
SELECT * FROM why WHERE term = 'strategy';
SELECT count(*) FROM crm.heard;
SET oms.routing_rule_timeout = '50ms';
SELECT oms.activate_routing_policy('slow', oms.save_routing_policy('slow', '{"objective": "strategy", "strategy": "crm.slow", "fallback": "cost"}'));
SELECT place('TIN');
SELECT * FROM why WHERE term = 'strategy';
RESET oms.routing_rule_timeout;
REVOKE USAGE ON SCHEMA crm FROM strategy_planner;
SELECT oms.activate_routing_policy('own', oms.save_routing_policy('own', '{"objective": "cost"}'));
SET SESSION AUTHORIZATION strategy_planner;
SELECT oms.save_routing_policy('own', '{"objective": "strategy", "strategy": "crm.plan", "fallback": "cost"}');
RESET SESSION AUTHORIZATION;
-- A preview asks and writes nothing.
SELECT oms.activate_routing_policy('again', oms.save_routing_policy('again', '{"objective": "strategy", "strategy": "crm.slow", "fallback": "cost"}'));
SELECT count(*) AS events FROM oms.events \gset
SET oms.routing_rule_timeout = '20ms';
SELECT jsonb_array_length(oms.preview_order('{"channel": "shop", "external_ref": "p", "ship_to": {"latitude": 50, "longitude": 9}, "lines": [{"sku": "TIN", "quantity": 1}]}') -> 'fulfillments');
SELECT count(*) = :events FROM oms.events;
SELECT * FROM oms.audit();
DROP OWNED BY strategy_planner, strategy_shop;
DROP ROLE strategy_planner, strategy_shop;
\c postgres
DROP DATABASE oms_routing_strategy;
