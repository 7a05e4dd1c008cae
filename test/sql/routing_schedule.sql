-- routing_schedule.sql: when policies are active: from a moment on, withdrawn, one at a time, and what was when.
\pset pager off
CREATE DATABASE oms_routing_schedule;
\c oms_routing_schedule
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SET TIME ZONE 'UTC';
SET oms.clock = '2030-01-01 12:00+00';
SELECT oms.upsert_items('[{"sku":"A"}]'), oms.upsert_channels('[{"code":"web"}]'),
  oms.upsert_locations('[{"code":"one","rank":1,"cost_per_order":1},{"code":"two","rank":2,"cost_per_order":2}]');
SELECT count(oms.receive_stock(l, 'A', 1000)) FROM unnest('{one,two}'::text[]) l;
CREATE FUNCTION policy_of(ref text, country text DEFAULT NULL, code text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
  WITH placed AS MATERIALIZED (SELECT (oms.place_order(jsonb_build_object('channel', 'web', 'external_ref', ref, 'lines', '[{"sku":"A","quantity":1}]'::jsonb)
    || CASE WHEN country IS NULL THEN '{}' ELSE jsonb_build_object('ship_to', jsonb_build_object('country', country, 'postal_code', code)) END) ->> 'order_id')::bigint AS id)
  SELECT 'placed' FROM placed $$;
CREATE VIEW latest AS SELECT o.external_ref, p.code || '/' || p.version AS policy FROM oms.orders o LEFT JOIN oms.routing_decisions d USING (order_id)
  LEFT JOIN oms.routing_policies p USING (policy_id) ORDER BY o.order_id DESC LIMIT 1;
CREATE VIEW versions AS SELECT code, version, status, active_from, active_until FROM oms.routing_policies ORDER BY code, version;

-- A draft may change, and nothing else.
SELECT oms.save_routing_policy('a', '{"objective":"cost"}'), oms.save_routing_policy('b', '{"objective":"cost"}'), oms.save_routing_policy('c', '{"objective":"cost"}');
SELECT oms.save_routing_policy('a', '{"objective":"cost","max_fulfillments":1}', 1), (SELECT definition FROM oms.routing_policies WHERE code = 'a');
SELECT oms.save_routing_policy('a', '{"objective":"cost"}', 2);
SELECT oms.save_routing_policy('a', '{"objective":"costs"}', 1);
SELECT oms.activate_routing_policy('a', 1);
SELECT oms.save_routing_policy('a', '{"objective":"cost"}', 1);
UPDATE oms.routing_policy_versions SET definition = '{"objective":"cost"}' WHERE code = 'a';
UPDATE oms.routing_policy_versions SET active_until = now() WHERE code = 'a';
DELETE FROM oms.routing_policy_versions WHERE code = 'a';
DELETE FROM oms.routing_policies WHERE code = 'a';
UPDATE oms.routing_policy_versions SET definition = '{"objective":"cost","max_fulfillments":2}' WHERE code = 'b';

-- From a moment on, by the clock alone.
SELECT oms.activate_routing_policy('b', 1, active_from => '2030-01-02 00:00+00');
TABLE versions;
SELECT policy_of('1');
TABLE latest;
-- The same session goes on to the next one without being told.
SET oms.clock = '2030-01-01 23:59:59.999999+00';
SELECT policy_of('2');
TABLE latest;
SET oms.clock = '2030-01-02 00:00+00';
SELECT policy_of('3');
TABLE latest;
TABLE versions;
-- The clock may go back: what was active then decides then.
SET oms.clock = '2030-01-01 13:00+00';
SELECT policy_of('4');
TABLE latest;
SET oms.clock = '2030-01-02 00:00+00';

-- Between two that are there already: each ends when the next begins.
SELECT oms.save_routing_policy('d', '{"objective":"cost"}');
SELECT oms.activate_routing_policy('c', 1, active_from => '2030-01-05 00:00+00');
SELECT oms.activate_routing_policy('d', 1, active_from => '2030-01-03 00:00+00');
TABLE versions;
SELECT oms.save_routing_policy('d', '{"objective":"cost"}');
SELECT oms.activate_routing_policy('d', 2, active_from => '2030-01-03 00:00+00');
SELECT oms.activate_routing_policy('d', 2, active_from => '2030-01-01 00:00+00');
SELECT oms.activate_routing_policy('d', 2, active_from => 'infinity');
-- Taken back: the one before goes on.
SELECT oms.withdraw_routing_policy('d', 1);
TABLE versions;
SELECT oms.withdraw_routing_policy('d', 1);
SELECT oms.withdraw_routing_policy('b', 1);
SELECT oms.withdraw_routing_policy('b', 7);
-- Now, while another one is scheduled, which keeps its moment; the last one taken back leaves no end.
SELECT oms.activate_routing_policy('d', 2);
TABLE versions;
SELECT oms.withdraw_routing_policy('c', 1);
TABLE versions;
-- Twice at the same moment: the first was never in force.
SELECT oms.activate_routing_policy('c', 1);
SELECT policy_of('5');
TABLE latest;
SELECT * FROM oms.audit();

-- Regions: a country, or how its postal codes begin; the longer beginning is closer.
SELECT oms.activate_routing_policy(p, oms.save_routing_policy(p, '{"objective":"cost"}'), country => c, postal_prefix => x)
FROM (VALUES ('germany', 'DE', NULL), ('berlin', 'DE', '1'), ('mitte', 'DE', '101'), ('france', 'FR', NULL)) v(p, c, x);
SELECT oms.activate_routing_policy('web', oms.save_routing_policy('web', '{"objective":"cost"}'), 'web', country => 'DE', postal_prefix => '9');
SELECT policy_of('r1', 'DE', '20095');
TABLE latest;
SELECT policy_of('r2', 'DE', '12043');
TABLE latest;
SELECT policy_of('r3', 'DE', '10115');
TABLE latest;
SELECT policy_of('r4', 'FR', '10115');
TABLE latest;
SELECT policy_of('r5', 'US', '10115');
TABLE latest;
SELECT policy_of('r6', 'DE', '90402');
TABLE latest;
SELECT policy_of('r7', 'DE');
TABLE latest;
SELECT oms.save_routing_policy('web', '{"objective":"cost"}');
SELECT oms.activate_routing_policy('web', 2, postal_prefix => '9');
SELECT oms.activate_routing_policy('web', 2, country => 'Germany');

-- What was active when, for whom.
SELECT code, version, channel, country, postal_prefix FROM oms.routing_policies_at('2030-01-01 12:00+00');
SELECT code, version, channel, country, postal_prefix FROM oms.routing_policies_at('2030-01-01 11:00+00');
SELECT code, version, channel, country, postal_prefix FROM oms.routing_policies_at();
SELECT type, reason FROM oms.events WHERE type LIKE 'routing_policy.%' AND type NOT LIKE '%.saved' ORDER BY event_id LIMIT 9;

-- Two at once, and a draft with a scope, are found or refused even by hand.
UPDATE oms.routing_policy_versions SET active_from = '2030-01-01', active_until = '2030-01-02 01:00' WHERE code = 'web' AND version = 2;
SELECT * FROM oms.audit();
UPDATE oms.routing_policy_versions SET active_from = '2030-01-01' WHERE code = 'd' AND version = 1;
UPDATE oms.routing_policy_versions SET country = 'DE' WHERE code = 'd' AND version = 1;
-- An activation that is checked again when it is made.
SELECT oms.upsert_locations('[{"code":"one","groups":[{"group":"g"}]}]'), oms.save_routing_policy('grouped', '{"objective":"cost","only_groups":[{"group":"g"}]}');
DELETE FROM oms.location_group_members;
DELETE FROM oms.location_groups;
SELECT oms.activate_routing_policy('grouped', 1);
\c postgres
DROP DATABASE oms_routing_schedule;
