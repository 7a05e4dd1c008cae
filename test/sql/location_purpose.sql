-- location_purpose.sql: locations that a channel ships from, has orders picked up at, or takes returns at.
\pset pager off
CREATE DATABASE oms_location_purpose;
\c oms_location_purpose
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; detail text;
BEGIN
    EXECUTE call INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
CREATE FUNCTION place(ref text, sku text, quantity int, more jsonb DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
  SELECT attempt(format($q$SELECT string_agg(f ->> 'location', ', ') FROM jsonb_array_elements(oms.place_order(%L) -> 'fulfillments') f$q$,
    jsonb_build_object('channel', 'web', 'external_ref', ref, 'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity))) || more)) $$;
SELECT oms.upsert_channels('[{"code":"web","backorder":false},{"code":"shop"}]');
SELECT attempt($$SELECT oms.upsert_locations('[{"code":"hub","channels":[{"channel":"web","purposes":[]},{"channel":"shop","purposes":["ship","walk",7]}]},
    {"code":"store","channels":[{"channel":"web","purposes":"ship"}]}]')$$);
SELECT oms.upsert_locations('[{"code":"default","active":false},{"code":"hub","rank":2,"channels":[{"channel":"web"}]},
    {"code":"hub2","rank":3,"channels":[{"channel":"web","purposes":["ship"]}]},
    {"code":"store","rank":1,"pickup":true,"channels":[{"channel":"web","purposes":["pickup","return"]}]},
    {"code":"kiosk","pickup":true,"channels":[{"channel":"web","purposes":["ship","return","ship"]}]},
    {"code":"other","pickup":true}]');
SELECT l.code, x.ships, x.pickup, x.returns FROM oms.channel_locations x JOIN oms.locations l USING (location_id) ORDER BY 1;
SELECT oms.upsert_items('[{"sku":"TV","price":500},{"sku":"CUP","price":5}]');
SELECT count(oms.receive_stock(l, 'TV', 10)) FROM unnest('{hub,hub2,store}'::text[]) l;
SELECT oms.receive_stock('store', 'CUP', 10);

-- Units are counted for shipping; a channel without links has all of them.
SELECT location, available FROM oms.available('TV', 'web') ORDER BY 1;
SELECT location, available FROM oms.available('CUP', 'web') ORDER BY 1;
SELECT location, available FROM oms.available('CUP', 'shop') ORDER BY 1;
SELECT location, term, quantity, reason FROM oms.explain_available('CUP', 'web');

-- Shipped: the store is no candidate, by its rank or when a line names it.
SELECT place('s1', 'TV', 1);
SELECT place('s2', 'CUP', 1);
SELECT place('s3', 'CUP', 1, '{"lines":[{"sku":"CUP","quantity":1,"location":"store"}]}');
-- Picked up: there, but not at a place that only ships or has no link.
SELECT place('p1', 'CUP', 1, '{"method":"pickup","pickup_location":"store"}');
SELECT oms.receive_stock(l, 'TV', 1) FROM unnest('{kiosk,other}'::text[]) l;
SELECT place('p2', 'TV', 1, '{"method":"pickup","pickup_location":"kiosk"}');
SELECT place('p3', 'TV', 1, '{"method":"pickup","pickup_location":"other"}');
-- A cart does not say what it is for: units anywhere are for shipping, and where it names a location that it may pick up they are held.
SELECT attempt($$SELECT oms.reserve('[{"sku":"CUP","quantity":1}]', channel => 'web')$$);
SELECT attempt($$SELECT oms.reserve('[{"sku":"CUP","quantity":1,"location":"store"}]', channel => 'web') IS NOT NULL$$);
-- With a quota on the item, too.
SELECT oms.set_channel_quota('web', 'CUP', network_safety => 2);
SELECT location, available FROM oms.available('CUP', 'web') ORDER BY 1;
SELECT place('q1', 'CUP', 6, '{"method":"pickup","pickup_location":"store"}');
SELECT place('q2', 'CUP', 1, '{"method":"pickup","pickup_location":"store"}');
SELECT place('q3', 'CUP', 1);
SELECT oms.set_channel_quota('web', 'TV', network_safety => 12);
SELECT location, available FROM oms.available('TV', 'web') ORDER BY 1;
SELECT location, term, quantity, reason FROM oms.explain_available('TV', 'web') WHERE location IS NULL;
SELECT (SELECT sum(quantity) FROM oms.explain_available('TV', 'web')) = (SELECT sum(available) FROM oms.available('TV', 'web'));
SELECT oms.set_channel_quota('web', 'TV', network_safety => 0);

-- A policy says why; its record is replayed as it was.
SELECT oms.activate_routing_policy('cheap', oms.save_routing_policy('cheap', '{"objective":"cost"}'));
SELECT place('r1', 'TV', 1);
SELECT location, term, detail FROM oms.explain_route(oms.find_order('web', 'r1')) WHERE kind = 'excluded';
SELECT place('r2', 'CUP', 1);
SELECT oms.upsert_locations('[{"code":"store","channels":[{"channel":"web"}]}]');
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT changed FROM oms.simulate_routing_orders('cheap', NULL, NULL);
SELECT place('r3', 'TV', 1);
SELECT count(*) FROM oms.explain_route(oms.find_order('web', 'r3')) WHERE kind = 'excluded';

-- Returns: not to the one that only ships, though it sent them; the rules find the store.
SELECT oms.upsert_locations('[{"code":"hub","channels":[{"channel":"web","purposes":["ship"]}]}]');
SELECT count(oms.release_fulfillment(fulfillment_id)), count(oms.ship_fulfillment(fulfillment_id)) FROM oms.fulfillments WHERE order_id = oms.find_order('web', 's1');
SELECT attempt(format('SELECT r ->> %L FROM oms.request_return(%s) r', 'location', oms.find_order('web', 's1')));
INSERT INTO oms.return_rules (rank, location_id) SELECT n, location_id FROM oms.locations JOIN unnest('{hub2,store}'::text[]) WITH ORDINALITY u(code, n) USING (code);
SELECT attempt(format('SELECT concat_ws(%L, r ->> %L, r -> %L -> %L) FROM oms.request_return(%s) r', ' ', 'location', 'decision', 'candidates', oms.find_order('web', 's1')));
SELECT oms.audit();
\c postgres
