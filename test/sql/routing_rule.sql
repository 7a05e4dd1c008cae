-- routing_rule.sql: rules of a policy that are expressions over the user's own tables.
\pset pager off
CREATE DATABASE oms_routing_rule;
\c oms_routing_rule
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
\pset tuples_only on
\pset format unaligned
CREATE ROLE rule_planner IN ROLE oms_admin;
CREATE ROLE rule_shop IN ROLE oms_app;
CREATE SCHEMA crm;
CREATE TABLE crm.refused (customer text, location text);
CREATE TABLE crm.load (location text PRIMARY KEY, percent numeric);
CREATE TABLE crm.secret (location text);
CREATE TABLE crm.cold (sku text);
GRANT USAGE ON SCHEMA crm TO rule_planner;
GRANT SELECT ON crm.refused, crm.load, crm.cold TO rule_planner;
CREATE FUNCTION crm.price(text) RETURNS numeric LANGUAGE plpgsql STABLE SECURITY DEFINER AS $$ BEGIN INSERT INTO crm.secret VALUES ($1); RETURN 1; END $$;
CREATE FUNCTION crm.who(text) RETURNS boolean LANGUAGE sql STABLE AS $$ SELECT current_user = 'rule_planner' AND session_user <> 'rule_planner' $$;
CREATE FUNCTION crm.slow(text) RETURNS boolean LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM count(*) FROM generate_series(1, 1000000000); RETURN true; END $$;
CREATE VIEW crm.random AS SELECT random() AS r;
GRANT SELECT ON crm.random TO rule_planner;
SELECT oms.upsert_locations('[{"code": "north", "latitude": 50, "longitude": 8, "cost_per_order": 1}, {"code": "south", "latitude": 48, "longitude": 8, "cost_per_order": 2},
  {"code": "west", "latitude": 49, "longitude": 3, "cost_per_order": 3}]');
SELECT oms.upsert_channels('[{"code": "shop", "currency": "EUR"}]');
SELECT oms.upsert_items('[{"sku": "FISH", "price": 5}, {"sku": "TIN", "price": 2}]');
SELECT count(oms.receive_stock(l, s, 100)) FROM unnest('{north,south,west}'::text[]) l, unnest('{FISH,TIN}'::text[]) s;
CREATE FUNCTION place(ref text, customer text, VARIADIC skus text[]) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s %s', f ->> 'location', (SELECT string_agg(l ->> 'line_no', '+') FROM jsonb_array_elements(f -> 'lines') l)), ', ')
  FROM jsonb_array_elements(oms.place_order(jsonb_build_object('channel', 'shop', 'external_ref', ref, 'customer', jsonb_build_object('ref', customer),
    'ship_to', '{"latitude": 50, "longitude": 9, "country": "DE"}'::jsonb,
    'lines', (SELECT jsonb_agg(jsonb_build_object('sku', s, 'quantity', 2)) FROM unnest(skus) s))) -> 'fulfillments') f $$;

-- Checked when saved: every rule by itself, with the rights of who saves.
SET SESSION AUTHORIZATION rule_planner;
DO $$
DECLARE
    bad text;
    detail text;
BEGIN
    FOREACH bad IN ARRAY ARRAY['', 'true, true', 'true) OR (true', 'true FROM crm.load', 'true; DELETE FROM crm.load', '/* open', 'true AS x',
        'DELETE FROM crm.load', '(SELECT true FROM crm.load FOR UPDATE)', 'EXISTS (SELECT FROM crm.secret)', 'EXISTS (SELECT FROM nowhere)',
        'this.location = unknown_column', 'this.location', '1', 'random() < 0.5', 'EXISTS (SELECT FROM crm.random WHERE r < 0.5)',
        'nextval(''oms.orders_order_id_seq'') > 0', 'bool_and(true)', 'row_number() OVER () = 1', 'generate_series(1, 2) = 1'] LOOP
        BEGIN
            PERFORM oms.save_routing_policy('bad', jsonb_build_object('objective', 'cost', 'rules',
                jsonb_build_array(jsonb_build_object('name', 'r', 'kind', 'require', 'expression', bad))));
            RAISE WARNING '% is taken', bad;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
            RAISE WARNING '% -> % %', bad, SQLSTATE, detail;
        END;
    END LOOP;
END $$;
SELECT oms.save_routing_policy('bad', '{"objective": "cost", "rules": [
  {"name": "a", "kind": "cost", "expression": "true"}, {"name": "a", "kind": "cost", "expression": "1", "per": "line"},
  {"name": "max_kilometres", "kind": "require", "expression": "true", "weight": 2}]}');
SELECT oms.save_routing_policy('bad', '{"objective": "cost", "rules": [{"name": "d", "kind": "wish", "expression": "true"}, {"kind": "cost"}]}');
SELECT oms.save_routing_policy('bad', '{"objective": "cost", "relax": [{"rule": "c"}, {"rule": "x"}], "rules": [{"name": "c", "kind": "cost", "expression": "1"}]}');
-- As many rules as allowed, and one more.
SELECT oms.save_routing_policy('many', jsonb_build_object('objective', 'cost', 'rules', (SELECT jsonb_agg(jsonb_build_object('name', 'r' || i, 'kind', 'require',
  'expression', 'this.location_id > ' || -i || ' -- all of them')) FROM generate_series(1, 32) i)));
SELECT oms.save_routing_policy('many', jsonb_build_object('objective', 'cost', 'rules', (SELECT jsonb_agg(jsonb_build_object('name', 'r' || i, 'kind', 'require',
  'expression', 'true')) FROM generate_series(1, 33) i)));

-- Conditions of the customer, of the line, and a cost.
SELECT oms.save_routing_policy('own', '{"objective": "cost", "relax": [{"rule": "cold chain"}], "rules": [
  {"name": "refused by the customer", "kind": "require", "expression": "NOT EXISTS (SELECT FROM crm.refused r WHERE r.customer = this.customer AND r.location = this.location)"},
  {"name": "cold chain", "kind": "require", "per": "line", "expression": "this.location <> ''north'' OR NOT EXISTS (SELECT FROM crm.cold c WHERE c.sku = this.sku) -- no cooling"},
  {"name": "load", "kind": "cost", "weight": 0.5, "expression": "(SELECT percent FROM crm.load l WHERE l.location = this.location)"}]}');
SELECT oms.activate_routing_policy('own', 1);
SELECT code, version, owner FROM oms.routing_policies WHERE status = 'active';
RESET SESSION AUTHORIZATION;
INSERT INTO crm.cold VALUES ('FISH');
INSERT INTO crm.refused VALUES ('bob', 'south');
INSERT INTO crm.load VALUES ('north', 1), ('south', 1.5);
GRANT USAGE ON SCHEMA public TO rule_shop;
SET SESSION AUTHORIZATION rule_shop;
SELECT place('o1', 'ann', 'TIN');
SELECT place('o2', 'ann', 'FISH');
SELECT place('o3', 'bob', 'FISH');
SELECT place('o4', 'bob', 'TIN');
SELECT place('o5', 'ann', 'FISH', 'TIN');
RESET SESSION AUTHORIZATION;
SELECT kind, location, term, amount, detail FROM oms.explain_route(oms.find_order('shop', 'o5'));
SELECT kind, location, term, amount, detail FROM oms.explain_route(oms.find_order('shop', 'o3'));
-- The condition for lines gives way where nothing else is left, and the record says so.
INSERT INTO crm.refused VALUES ('eve', 'south'), ('eve', 'west');
SELECT place('o6', 'eve', 'FISH');
SELECT kind, location, term, detail FROM oms.explain_route(oms.find_order('shop', 'o6')) WHERE kind IN ('relaxed', 'excluded', 'plan');
INSERT INTO crm.refused VALUES ('eve', 'north');
SELECT place('o7', 'eve', 'TIN');
SELECT count(*) FROM oms.orders WHERE external_ref = 'o7';

-- Replay and the simulation of the same policy do not ask again, whatever the tables say today; another policy does.
CREATE TABLE kept AS SELECT order_id, recorded_plan, recorded_cost FROM oms.simulate_routing_orders('own', NULL, NULL);
UPDATE crm.load SET percent = 50 - percent;
DELETE FROM crm.refused;
DELETE FROM crm.cold;
SELECT count(*), bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT count(*), bool_or(changed), count(from_configuration) FROM oms.simulate_routing_orders('own', NULL, NULL);
SET SESSION AUTHORIZATION rule_planner;
SELECT oms.save_routing_policy('own', definition) FROM oms.routing_policies WHERE code = 'own';
RESET SESSION AUTHORIZATION;
SELECT recorded_plan, plan, from_configuration FROM oms.simulate_routing_orders('own/2', NULL, NULL);
SELECT oms.save_routing_policy('plain', '{"objective": "cost"}');
SELECT recorded_plan, plan, from_configuration FROM oms.simulate_routing_orders('plain', NULL, NULL);

-- With the rights of the owner and no others: a table that is no longer readable, a role that is gone, a write.
REVOKE SELECT ON crm.load FROM rule_planner;
SET SESSION AUTHORIZATION rule_shop;
SELECT place('f1', 'ann', 'TIN');
RESET SESSION AUTHORIZATION;
GRANT SELECT ON crm.load TO rule_planner;
SELECT place('f2', 'ann', 'TIN') IS NOT NULL;
UPDATE crm.load SET percent = -1 WHERE location = 'north';
SELECT place('f3', 'ann', 'TIN');
UPDATE crm.load SET percent = 'NaN' WHERE location = 'north';
SELECT place('f3', 'ann', 'TIN');
UPDATE crm.load SET percent = 2000000001 WHERE location = 'north';
SELECT place('f3', 'ann', 'TIN');
-- The most that a cost may be.
UPDATE crm.load SET percent = 2000000000 WHERE location = 'north';
SELECT place('f4', 'ann', 'TIN');
SET SESSION AUTHORIZATION rule_planner;
SELECT oms.save_routing_policy('writes', '{"objective": "cost", "rules": [{"name": "w", "kind": "cost", "expression": "crm.price(this.location)"}]}') IS NOT NULL;
SELECT oms.save_routing_policy('who', '{"objective": "cost", "rules": [{"name": "w", "kind": "require", "expression": "crm.who(this.location)"}]}') IS NOT NULL;
SELECT oms.save_routing_policy('slow', '{"objective": "cost", "rules": [{"name": "s", "kind": "require", "expression": "crm.slow(this.location)"}]}') IS NOT NULL;
SELECT oms.activate_routing_policy('writes', 1);
RESET SESSION AUTHORIZATION;
SELECT place('w1', 'ann', 'TIN');
SELECT count(*) FROM crm.secret;
SELECT oms.activate_routing_policy('who', 1);
SELECT place('w2', 'ann', 'TIN');
-- Stopped in time; the transaction goes on.
SELECT oms.activate_routing_policy('slow', 1);
SET oms.routing_rule_timeout = '50ms';
BEGIN;
SAVEPOINT s;
SELECT place('w3', 'ann', 'TIN');
ROLLBACK TO s;
SELECT 'still here';
COMMIT;
SELECT refusal, count(*) > 3 FROM oms.simulate_routing_orders('slow', NULL, NULL) GROUP BY 1;
RESET oms.routing_rule_timeout;
-- A rank by the user's own table, in place of the locations' own; the record keeps it.
SET SESSION AUTHORIZATION rule_planner;
SELECT oms.save_routing_policy('ranked', '{"objective": "cost", "prefer_groups": [], "rules": [{"name": "a", "kind": "rank", "expression": "1", "weight": 2, "per": "line"}, {"name": "b", "kind": "rank", "expression": "true"}]}');
SELECT oms.save_routing_policy('ranked', '{"objective": "cost", "relax": [{"rule": "b"}], "rules": [{"name": "b", "kind": "rank", "expression": "true"}]}');
SELECT oms.activate_routing_policy('ranked', oms.save_routing_policy('ranked', '{"objective": "ranking", "ranking": [{"term": "rank"}], "rules": [
  {"name": "by load", "kind": "rank", "expression": "(SELECT percent FROM crm.load l WHERE l.location = this.location)"}]}'));
RESET SESSION AUTHORIZATION;
DELETE FROM crm.load;
INSERT INTO crm.load VALUES ('south', 0.4), ('north', 7);
SELECT place('k1', 'ann', 'TIN');
UPDATE crm.load SET percent = 8.5 WHERE location = 'south';
SELECT place('k2', 'ann', 'TIN');
INSERT INTO crm.load VALUES ('west', 1000000);
UPDATE crm.load SET percent = 1000001 WHERE location = 'north';
SELECT place('k3', 'ann', 'TIN');
UPDATE crm.load SET percent = 1e30 WHERE location = 'north';
SELECT place('k3', 'ann', 'TIN');
UPDATE crm.load SET percent = 1000000;
SELECT place('k4', 'ann', 'TIN') IS NOT NULL;
UPDATE crm.load SET percent = 3 WHERE location = 'west';
SELECT o.external_ref, s.changed, s.from_configuration FROM oms.simulate_routing_orders('ranked', NULL, NULL) s JOIN oms.orders o USING (order_id) WHERE external_ref LIKE 'k_' ORDER BY 1;
SELECT o.external_ref, s.plan, s.from_configuration FROM oms.simulate_routing_orders('plain', NULL, NULL) s JOIN oms.orders o USING (order_id) WHERE external_ref LIKE 'k_' ORDER BY 1;
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
-- Attributes of the order, the location, the line and its item.
SET SESSION AUTHORIZATION rule_planner;
SELECT oms.save_routing_policy('bad', '{"objective": "cost", "rules": [{"name": "a", "kind": "require", "expression": "this.line_attributes IS NULL"},
  {"name": "b", "kind": "require", "expression": "this.item_attributes IS NULL"}]}');
SELECT oms.activate_routing_policy('attributes', oms.save_routing_policy('attributes', '{"objective": "cost", "rules": [
  {"name": "brand", "kind": "require", "expression": "this.attributes ->> ''brand'' IS NULL OR this.LOCATION_attributes -> ''brands'' ? (this.attributes ->> ''brand'')"},
  {"name": "engraving", "kind": "require", "per": "line", "expression": "this.line_attributes ->> ''engraving'' IS NULL OR this.location_attributes ? ''engraves''"},
  {"name": "cold", "kind": "require", "per": "line", "expression": "this.item_attributes ->> ''cold'' IS NULL OR this.location_attributes ? ''cold''"}]}'));
RESET SESSION AUTHORIZATION;
SELECT oms.upsert_locations('[{"code": "south", "attributes": {"brands": ["acme"], "engraves": true}}, {"code": "west", "attributes": {"brands": ["acme"], "cold": true}}]');
SELECT oms.upsert_items('[{"sku": "FISH", "attributes": {"cold": true}}]');
CREATE FUNCTION place_with(ref text, attributes jsonb, lines jsonb) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s %s', f ->> 'location', (SELECT string_agg(l ->> 'line_no', '+') FROM jsonb_array_elements(f -> 'lines') l)), ', ')
  FROM jsonb_array_elements(oms.place_order(jsonb_strip_nulls(jsonb_build_object('channel', 'shop', 'external_ref', ref, 'attributes', attributes,
    'ship_to', '{"latitude": 50, "longitude": 9, "country": "DE"}'::jsonb, 'lines', lines))) -> 'fulfillments') f $$;
SET SESSION AUTHORIZATION rule_shop;
SELECT place_with('a1', NULL, '[{"sku": "TIN", "quantity": 1}]');
SELECT place_with('a2', '{"brand": "acme"}', '[{"sku": "TIN", "quantity": 1}]');
SELECT place_with('a3', '{"brand": "other"}', '[{"sku": "TIN", "quantity": 1}]');
SELECT place_with('a4', '{"gift": true}', '[{"sku": "TIN", "quantity": 1}, {"sku": "TIN", "quantity": 1, "attributes": {"engraving": "Ann"}}, {"sku": "FISH", "quantity": 1}]');
RESET SESSION AUTHORIZATION;
SELECT DISTINCT kind, location, term, detail FROM oms.explain_route(oms.find_order('shop', 'a2')) WHERE kind = 'excluded';
-- Another policy asks them too, of past orders; the same one keeps what was said.
SELECT o.external_ref, s.plan = s.recorded_plan FROM oms.simulate_routing_orders('plain', NULL, NULL) s JOIN oms.orders o USING (order_id) WHERE external_ref LIKE 'a_' ORDER BY 1;
SELECT oms.save_routing_policy('attributes', definition) FROM oms.routing_policies WHERE code = 'attributes';
SELECT o.external_ref, s.plan = s.recorded_plan, s.from_configuration FROM oms.simulate_routing_orders('attributes/2', NULL, NULL) s JOIN oms.orders o USING (order_id) WHERE external_ref LIKE 'a_' ORDER BY 1;
UPDATE oms.locations SET attributes = '{}';
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT count(*) FILTER (WHERE changed) FROM oms.simulate_routing_orders('attributes/1', NULL, NULL) JOIN oms.orders USING (order_id) WHERE external_ref LIKE 'a_';
-- An order that grows tells its attributes again.
SELECT oms.upsert_locations('[{"code": "south", "attributes": {"brands": ["acme"]}}]');
SELECT f ->> 'location', l ->> 'quantity' FROM jsonb_array_elements(oms.edit_order(oms.find_order('shop', 'a2'), '{"lines": [{"line_no": 1, "quantity": 4}]}')
  -> 'order' -> 'fulfillments') f, jsonb_array_elements(f -> 'lines') l ORDER BY 1, 2;
SELECT oms.activate_routing_policy('slow', oms.save_routing_policy('slow', '{"objective": "cost", "rules": [{"name": "s", "kind": "require", "expression": "crm.slow(this.location)"}]}'));
-- A cancel from outside is a cancel.
SET oms.routing_rule_timeout = '60s';
SET statement_timeout = '50ms';
SELECT place('w4', 'ann', 'TIN');
RESET statement_timeout;
RESET oms.routing_rule_timeout;
-- A role that may not set the limit, and one that is gone.
SET SESSION AUTHORIZATION rule_planner;
SET oms.routing_rule_timeout = '60s';
RESET SESSION AUTHORIZATION;
SELECT oms.save_routing_policy('who', definition) FROM oms.routing_policies WHERE code = 'who';
SELECT oms.activate_routing_policy('who', 2);
ALTER ROLE rule_planner RENAME TO rule_gone;
SELECT plan, orders, refused FROM oms.simulate_routing('who/1', NULL, NULL);
SELECT DISTINCT refusal FROM oms.simulate_routing_orders('who/1', NULL, NULL);
SELECT count(*) FROM oms.audit();
DROP OWNED BY rule_gone, rule_shop;
DROP ROLE rule_gone, rule_shop;
\c postgres
