-- location_group.sql: groups of locations in and out of a routing policy; hard rules hold for a single candidate too.
\pset pager off
CREATE DATABASE oms_location_group;
\c oms_location_group
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SELECT oms.upsert_items('[{"sku": "A", "price": 10}]');
SELECT oms.upsert_locations('[{"code": "default", "active": false}, {"code": "hub", "rank": 1, "groups": [{"group": "north"}, {"group": "big"}]},
  {"code": "shop", "rank": 2, "groups": [{"group": "north"}, {"group": "stores"}]}, {"code": "far", "rank": 3}]');
SELECT oms.receive_stock(l, 'A', 10) FROM unnest('{hub,shop,far}'::text[]) l;
SELECT l.code, array_agg(m.location_group ORDER BY m.location_group) AS groups FROM oms.location_group_members m JOIN oms.locations l USING (location_id) GROUP BY 1 ORDER BY 1;
CREATE FUNCTION placed(ref text, quantity int DEFAULT 1) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(f ->> 'location', ', ' ORDER BY f ->> 'location') FROM jsonb_array_elements(oms.place_order(format(
    '{"external_ref": "%s", "lines": [{"sku": "A", "quantity": %s}]}', ref, quantity)::jsonb) -> 'fulfillments') f $$;
CREATE FUNCTION excluded(ref text) RETURNS TABLE (kind text, location text, term text, detail text) LANGUAGE sql AS $$
  SELECT kind, location, term, detail FROM oms.explain_route(oms.find_order('default', ref)) WHERE kind IN ('excluded', 'relaxed') $$;
CREATE FUNCTION use(definition jsonb) RETURNS void LANGUAGE sql AS $$
  SELECT oms.activate_routing_policy('p', oms.save_routing_policy('p', definition)) $$;

SELECT use('{"objective": "cost", "only_groups": [{"group": "north"}], "without_groups": [{"group": "big"}]}');
SELECT placed('a1');
SELECT * FROM excluded('a1');
-- Not enough in the group: refused with the reasons, or given way.
SELECT placed('a2', 15);
SELECT use('{"objective": "cost", "only_groups": [{"group": "north"}], "without_groups": [{"group": "big"}], "relax": [{"rule": "groups"}]}');
SELECT placed('a3', 15);
SELECT * FROM excluded('a3');
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
-- A single candidate breaks a rule no less than one of many.
SELECT use('{"objective": "cost", "without_groups": [{"group": "stores"}]}');
UPDATE oms.locations SET active = false WHERE code IN ('hub', 'far');
SELECT placed('b1');
UPDATE oms.locations SET active = true WHERE code = 'hub';
SELECT oms.receive_stock('hub', 'A', 10);
SELECT placed('b2');
-- Left out of the document the groups stay; given they are all.
SELECT oms.upsert_locations('[{"code": "shop", "rank": 5}]'), oms.upsert_locations('[{"code": "hub", "groups": []}]');
SELECT l.code, array_agg(m.location_group ORDER BY m.location_group) AS groups FROM oms.location_group_members m JOIN oms.locations l USING (location_id) GROUP BY 1 ORDER BY 1;
-- What is saved is checked.
SELECT oms.save_routing_policy('p', '{"objective": "cost", "only_groups": [{"group": "south"}, {"group": "big"}], "without_groups": [{"group": "big"}]}');
SELECT oms.upsert_locations('[{"code": "hub", "groups": [{"group": "x"}, {"group": "x"}, {}]}]');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_location_group;
