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
-- Groups for some items only: an order of both kinds is divided, and a place without anything that it may send is left out.
SELECT oms.upsert_items('[{"sku": "SOFA", "price": 100, "item_group": "bulky"}, {"sku": "CUP", "price": 1, "item_group": "small"}, {"sku": "PEN", "price": 1}]');
SELECT oms.upsert_locations('[{"code": "hub", "active": true, "cost_per_order": 9, "groups": [{"group": "north"}, {"group": "big"}]},
  {"code": "shop", "active": true, "cost_per_order": 1, "groups": [{"group": "stores"}]}, {"code": "far", "active": true, "cost_per_order": 20, "groups": []}]');
SELECT count(oms.receive_stock(l, s, 50)) FROM unnest('{hub,shop,far}'::text[]) l, unnest('{SOFA,CUP,PEN}'::text[]) s;
CREATE FUNCTION mixed(ref text, VARIADIC skus text[]) RETURNS text LANGUAGE sql AS $$
  SELECT string_agg(format('%s %s', f ->> 'location', (SELECT string_agg(l ->> 'line_no', '+') FROM jsonb_array_elements(f -> 'lines') l)), ', ' ORDER BY f ->> 'location')
  FROM jsonb_array_elements(oms.place_order(jsonb_build_object('external_ref', ref, 'lines', (SELECT jsonb_agg(jsonb_build_object('sku', s, 'quantity', 1)) FROM unnest(skus) s))) -> 'fulfillments') f $$;
SELECT use('{"objective": "cost", "without_groups": [{"group": "stores", "item_group": "bulky"}], "only_groups": [{"group": "stores", "item_group": "small"}]}');
SELECT mixed('m1', 'SOFA'), mixed('m2', 'CUP'), mixed('m3', 'PEN'), mixed('m4', 'SOFA', 'CUP'), mixed('m5', 'SOFA', 'PEN'), mixed('m6', 'CUP', 'PEN');
SELECT * FROM excluded('m1');
SELECT * FROM excluded('m2');
SELECT * FROM excluded('m4');
SELECT use('{"objective": "cost", "whole_lines": true, "without_groups": [{"group": "stores", "item_group": "bulky"}, {"group": "north"}], "only_groups": [{"group": "big"}, {"group": "stores", "item_group": "small"}], "relax": [{"rule": "groups"}]}');
SELECT mixed('m7', 'SOFA', 'CUP');
SELECT * FROM excluded('m7');
SELECT use('{"objective": "cost", "max_fulfillments": 1, "without_groups": [{"group": "stores", "item_group": "bulky"}], "only_groups": [{"group": "stores", "item_group": "small"}]}');
SELECT mixed('m8', 'SOFA', 'CUP');
-- The record tells who might serve what, whatever the groups and items are today; a copy of the policy looks at today's.
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT oms.save_routing_policy('copy', definition) FROM oms.routing_policies WHERE code = 'p' AND version = (SELECT max(version) - 2 FROM oms.routing_policies WHERE code = 'p');
SELECT s.recorded_plan = s.plan AS same, s.from_configuration, count(*) FROM oms.simulate_routing_orders('copy', NULL, NULL) s JOIN oms.orders USING (order_id) WHERE external_ref LIKE 'm_' AND external_ref < 'm7' GROUP BY 1, 2;
DELETE FROM oms.location_group_members;
UPDATE oms.items SET item_group = 'small' WHERE sku = 'SOFA';
SELECT p.version, count(*), bool_or(s.changed), count(s.from_configuration) FROM oms.routing_policies p CROSS JOIN LATERAL oms.simulate_routing_orders(p.code || '/' || p.version, NULL, NULL) s
JOIN oms.routing_decisions d ON d.order_id = s.order_id AND d.policy_id = p.policy_id WHERE p.code = 'p' GROUP BY 1 ORDER BY 1;
-- Groups in an order of preference: it ranks before the cost does, and decides where costs are equal.
SELECT oms.upsert_locations('[{"code": "hub", "rank": 1, "groups": [{"group": "big"}]}, {"code": "shop", "rank": 2, "groups": [{"group": "stores"}]},
  {"code": "kiosk", "rank": 9, "cost_per_order": 0.5, "groups": [{"group": "stores"}]}]');
SELECT oms.receive_stock('kiosk', 'PEN', 1);
SELECT use('{"objective": "ranking", "prefer_groups": [{"group": "stores"}, {"group": "big"}], "ranking": [{"term": "rank"}, {"term": "cost"}]}');
SELECT mixed('p1', 'PEN'), mixed('p2', 'PEN'), mixed('p3', 'SOFA');
SELECT use('{"objective": "priority", "prefer_groups": [{"group": "big"}, {"group": "stores"}]}');
SELECT mixed('p4', 'PEN');
SELECT use('{"objective": "cost", "order_weight": 0, "unit_weight": 0, "cost_per_kilometre": 0, "shipping_weight": 1, "prefer_groups": [{"group": "big"}]}');
SELECT mixed('p5', 'PEN'), mixed('p6', 'SOFA');
UPDATE oms.locations SET rank = 5;
SELECT use('{"objective": "ranking", "ranking": [{"term": "rank"}]}');
SELECT mixed('p7', 'PEN');
DELETE FROM oms.location_group_members;
UPDATE oms.locations SET rank = CASE code WHEN 'far' THEN 0 ELSE 7 END;
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT o.external_ref, s.changed, s.from_configuration FROM oms.routing_policies p CROSS JOIN LATERAL oms.simulate_routing_orders(p.code || '/' || p.version, NULL, NULL) s
JOIN oms.routing_decisions d ON d.order_id = s.order_id AND d.policy_id = p.policy_id JOIN oms.orders o ON o.order_id = s.order_id WHERE o.external_ref LIKE 'p_' ORDER BY 1;
-- Another policy ranks by the locations' own ranks, of today where the record has those of groups.
SELECT o.external_ref, s.recorded_plan, s.plan, s.from_configuration FROM oms.simulate_routing_orders('p', NULL, NULL) s JOIN oms.orders o USING (order_id) WHERE o.external_ref LIKE 'p_' ORDER BY 1;
SELECT oms.save_routing_policy('p', '{"objective": "cost", "prefer_groups": [{"group": "none"}, {"group": "big"}, {"group": "big", "item_group": "bulky"}]}');
SELECT oms.save_routing_policy('p', '{"objective": "cost", "prefer_groups": [{"group": "none"}, {"group": "big"}, {"group": "big"}]}');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_location_group;
