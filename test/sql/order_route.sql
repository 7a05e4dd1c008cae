-- order_route.sql: what of a placed order is not released yet is planned anew, and kept where nothing is better.
\pset pager off
CREATE DATABASE oms_order_route;
\c oms_order_route
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SET TIME ZONE 'UTC';
SELECT oms.upsert_channels('[{"code":"web","currency":"EUR","backorder":true}]');
SELECT oms.upsert_locations('[{"code":"berlin","latitude":52.5,"longitude":13.4,"cost_per_order":1},{"code":"madrid","latitude":40.4,"longitude":-3.7,"cost_per_order":5},
  {"code":"paris","latitude":48.9,"longitude":2.3,"cost_per_order":3}]');
SELECT oms.upsert_items('[{"sku":"A","price":10,"backorder":true},{"sku":"B","price":20},{"sku":"C","price":5},
  {"sku":"SET","kind":"kit","price":9,"ship_together":true,"components":[{"sku":"B","quantity":1},{"sku":"C","quantity":1}]}]');
UPDATE oms.locations SET active = false WHERE code = 'default';
CREATE FUNCTION place(ref text, lines jsonb, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
  SELECT oms.place_order('{"channel":"web"}'::jsonb || CASE WHEN more ? 'deliveries' THEN '{}' ELSE '{"ship_to":{"latitude":52.4,"longitude":13.3,"country":"DE"}}'::jsonb END || jsonb_build_object('external_ref', ref, 'lines', lines) || more) ->> 'fulfillment_status' $$;
CREATE FUNCTION route(ref text, dry boolean DEFAULT false) RETURNS text LANGUAGE plpgsql AS $$
DECLARE detail text;
BEGIN
    RETURN oms.route_order(oms.find_order('web', ref), dry) - 'order' - 'order_id';
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
CREATE FUNCTION shown(ref text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s', o.fulfillment_status) FROM oms.orders o WHERE external_ref = ref
    UNION ALL
    (SELECT format('%s%s from %s: %s', f.status, CASE WHEN f.backordered THEN ' later' END, x.code, string_agg(format('line %s x %s', a.line_no, a.promised - a.cancelled), ', ' ORDER BY a.line_no))
     FROM oms.fulfillments f JOIN oms.orders o USING (order_id) LEFT JOIN oms.locations x ON x.location_id = f.location_id
     JOIN oms.allocations a USING (fulfillment_id) WHERE o.external_ref = ref AND a.promised > a.cancelled
     GROUP BY f.fulfillment_id, f.status, f.backordered, x.code ORDER BY f.fulfillment_id)
    UNION ALL
    SELECT format('%s faults', count(*)) FROM oms.audit();
$$;
SELECT oms.activate_routing_policy('cheap', oms.save_routing_policy('cheap', '{"objective":"cost"}'));

-- Nothing is better: only an event tells that somebody looked.
SELECT oms.receive_stock('madrid', 'A', 10), oms.receive_stock('paris', 'B', 10);
SELECT place('o1', '[{"sku":"A","quantity":2},{"sku":"B","quantity":1}]');
SELECT route('o1');
SELECT shown('o1');
SELECT type, reason, data FROM oms.order_timeline(oms.find_order('web', 'o1')) WHERE type LIKE 'order.%route%';
-- A cheaper place has got units: tried first, then done; the decision is recorded beside the first.
SELECT oms.receive_stock('berlin', 'A', 10), oms.receive_stock('berlin', 'B', 10);
SELECT count(*) AS events FROM oms.events \gset
SELECT route('o1', true);
SELECT count(*) = :events FROM oms.events;
SELECT shown('o1');
SELECT route('o1');
SELECT shown('o1');
SELECT type, reason, data - 'ledger' - 'promises' - 'derived' FROM oms.order_timeline(oms.find_order('web', 'o1')) WHERE type LIKE 'order.%route%';
SELECT decision_no, cost, oms.route_replays(record) FROM oms.routing_decisions WHERE order_id = oms.find_order('web', 'o1') ORDER BY 1;
SELECT kind, location, term, amount FROM oms.explain_route(oms.find_order('web', 'o1')) WHERE kind IN ('policy', 'plan');
SELECT route('o1');
-- The same key gives the first answer.
SELECT oms.route_order(oms.find_order('web', 'o1'), idempotency_key => 'k') = oms.route_order(oms.find_order('web', 'o1'), idempotency_key => 'k');

-- Units that wait, promised beyond what is on hand or not at all, become firm where there are some.
UPDATE oms.stock_counters SET backorder_limit = 5 WHERE item_id = (SELECT item_id FROM oms.items WHERE sku = 'A');
SELECT place('o2', '[{"sku":"A","quantity":25}]');
SELECT shown('o2');
SELECT oms.count_stock('berlin', 'A', 3) ->> 'withdrawn' IS NOT NULL;
SELECT shown('o2');
SELECT route('o2');
-- Some units can go nowhere: they go on waiting, the others move.
SELECT oms.receive_stock('paris', 'A', 6);
SELECT route('o2');
SELECT shown('o2');
SELECT oms.receive_stock('paris', 'A', 24);
SELECT route('o2');
SELECT shown('o2');

-- What is released stays; the rest moves.
SELECT oms.receive_stock('madrid', 'C', 1), oms.receive_stock('paris', 'C', 4), place('o3', '[{"sku":"C","quantity":5}]');
SELECT oms.release_fulfillment(fulfillment_id) IS NOT NULL FROM oms.fulfillments JOIN oms.locations l USING (location_id) WHERE l.code = 'madrid' AND order_id = oms.find_order('web', 'o3');
SELECT oms.receive_stock('berlin', 'C', 9), route('o3');
SELECT shown('o3');
-- The place that the document gave, and kits that ship together, stay.
SELECT place('o4', '[{"sku":"C","quantity":1,"location":"paris"},{"sku":"B","quantity":1,"location":"paris"}]');
SELECT oms.adjust_stock('berlin', 'B', -9, 'moved'), place('o5', '[{"sku":"SET","quantity":2}]'), oms.receive_stock('berlin', 'B', 9);
SELECT shown('o5');
SELECT route('o4'), route('o5');
SELECT shown('o5');

-- A policy that now leaves the old place out, or ranks.
UPDATE oms.stock_counters SET safety = on_hand WHERE location_id = (SELECT location_id FROM oms.locations WHERE code = 'berlin');
SELECT place('o6', '[{"sku":"A","quantity":1}]');
UPDATE oms.stock_counters SET safety = 0;
SELECT shown('o6');
SELECT oms.upsert_locations('[{"code":"paris","groups":[{"group":"south"}]},{"code":"madrid","groups":[{"group":"south"}],"rank":1}]');
SELECT oms.activate_routing_policy('north', oms.save_routing_policy('north', '{"objective":"cost","without_groups":[{"group":"south"}]}'));
SELECT oms.receive_stock('berlin', 'A', 9), route('o6');
SELECT shown('o6');
SELECT oms.activate_routing_policy('ranked', oms.save_routing_policy('ranked', '{"objective":"ranking","ranking":[{"term":"rank"}]}'));
SELECT route('o6');
SELECT shown('o6');
SELECT oms.activate_routing_policy('ranked', oms.save_routing_policy('ranked', '{"objective":"ranking","ranking":[{"term":"distance","tolerance":3000000}]}'));
SELECT route('o6');
SELECT oms.activate_routing_policy('none', oms.save_routing_policy('none', '{"objective":"nearest"}'));
SELECT route('o6');
SELECT shown('o6');
SELECT route('o6');

-- Several deliveries: each has its own plan, and both are seen together.
SELECT oms.activate_routing_policy('cheap', oms.save_routing_policy('cheap', '{"objective":"cost"}'));
UPDATE oms.stock_counters SET safety = on_hand WHERE location_id <> (SELECT location_id FROM oms.locations WHERE code = 'madrid');
SELECT place('o7', '[{"sku":"A","quantity":1,"delivery_no":1},{"sku":"A","quantity":2,"delivery_no":2}]',
  '{"deliveries":[{"delivery_no":1,"ship_to":{"latitude":40,"longitude":-3}},{"delivery_no":2,"ship_to":{"latitude":52,"longitude":13}}]}');
UPDATE oms.stock_counters SET safety = 0;
SELECT route('o7');
SELECT shown('o7');

-- A line that was promised does not get later for another place's sake.
SELECT oms.upsert_carriers('[{"code":"post","services":[{"code":"std","zone_chart":"all","currency":"EUR"}]}]'),
  oms.load_shipping_zones('all', '[{"zone":"near","distance_from":0,"distance_to":800},{"zone":"far","distance_from":800,"distance_to":20000}]', 'replace'),
  oms.load_shipping_rates('std', '[{"zone":"near","to_grams":100000,"amount":9},{"zone":"far","to_grams":100000,"amount":1}]'),
  oms.load_transit_times('std', '[{"zone":"near","days":1},{"zone":"far","days":5}]');
UPDATE oms.stock_counters SET safety = on_hand WHERE location_id <> (SELECT location_id FROM oms.locations WHERE code = 'berlin');
SELECT place('o8', '[{"sku":"A","quantity":1}]');
UPDATE oms.stock_counters SET safety = 0;
SELECT route('o8');
SELECT shown('o8');
-- No plan: what there is stays.
UPDATE oms.locations SET ships = false;
SELECT route('o8');
UPDATE oms.locations SET ships = true;

-- Refused: drafts, what is finished, what a hold keeps, what nobody knows.
SELECT place('o9', '[{"sku":"A","quantity":1}]', '{"draft":true}') IS NULL, route('o9');
SELECT oms.cancel_order(oms.find_order('web', 'o7')) ->> 'status', route('o7');
INSERT INTO oms.hold_types (tenant_id, code, name, levels, blocks, lift_role) SELECT 1, 'still', 'still', levels, '{order.route}', lift_role FROM oms.hold_types LIMIT 1;
SELECT oms.hold_order(oms.find_order('web', 'o8'), 'still', 'wait') > 0, route('o8');
SELECT oms.route_order(999999);
SELECT oms.route_order(NULL);
SELECT oms.release_fulfillment(fulfillment_id) IS NOT NULL FROM oms.fulfillments WHERE order_id = oms.find_order('web', 'o6') AND status = 'planned';
SELECT route('o6');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_order_route;
