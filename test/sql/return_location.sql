-- return_location.sql: where returned goods go: rules by item, reason, value and distance, the room of a day, and what is recorded of the choice.
\pset pager off
CREATE DATABASE oms_return_location;
\c oms_return_location
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SET timezone = 'UTC';
SET oms.clock = '2026-05-01 08:00+00';
SELECT oms.upsert_channels('[{"code":"web"},{"code":"shop","currency":"USD"}]');
SELECT oms.upsert_locations('[{"code":"default","active":false},{"code":"hub","latitude":52.5,"longitude":13.4,"rank":1},
    {"code":"munich","latitude":48.1,"longitude":11.6,"ships":false,"groups":[{"group":"stores"}]},
    {"code":"cologne","latitude":50.9,"longitude":7.0,"ships":false,"groups":[{"group":"stores"}],"daily_returns":5,"time_zone":"Pacific/Auckland"},
    {"code":"paris","latitude":48.9,"longitude":2.3,"ships":false,"returns":false,"groups":[{"group":"stores"}]},
    {"code":"depot","ships":false},{"code":"clearance","ships":false}]');
SELECT oms.upsert_items('[{"sku":"TV","price":500,"item_group":"heavy"},{"sku":"TOY","price":8},{"sku":"RING","price":90},{"sku":"BOOK","price":12,"kind":"digital"}]'), oms.receive_stock('hub', i, 1000)
FROM unnest('{TV,TOY,RING}'::text[]) i;
SELECT oms.load_postal_codes('[{"country":"DE","postal_code":"80331","latitude":48.14,"longitude":11.57}]');
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; detail text;
BEGIN
    EXECUTE call INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
-- An order that was sent from the hub.
CREATE FUNCTION sent(reference text, lines jsonb, address jsonb, channel text DEFAULT 'web') RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    id bigint := (oms.place_order(jsonb_build_object('channel', channel, 'external_ref', reference, 'lines', lines) || coalesce(jsonb_build_object('ship_to', address), '{}')) ->> 'order_id')::bigint;
BEGIN
    PERFORM oms.release_fulfillment(fulfillment_id) FROM oms.fulfillments WHERE order_id = id AND location_id IS NOT NULL;
    PERFORM CASE WHEN location_id IS NULL THEN oms.deliver_fulfillment(fulfillment_id) ELSE oms.ship_fulfillment(fulfillment_id) END FROM oms.fulfillments WHERE order_id = id;
    RETURN id;
END $$;
CREATE FUNCTION back(id bigint, lines jsonb DEFAULT NULL, reason text DEFAULT NULL, options jsonb DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT attempt(format('SELECT concat_ws(%L, r ->> %L, r -> %L) FROM oms.request_return(%s, %L, %L, %L) r', ' ', 'location', 'decision', id, lines, reason, options));
$$;
CREATE FUNCTION room() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s: %s of %s', code, day, used, capacity), ', ' ORDER BY code, day) FROM oms.return_room JOIN oms.locations USING (location_id);
$$;
\set munich '{"line1":"Way 1","city":"Munich","country":"DE","postal_code":"80331"}'
\set cologne '{"latitude":50.94,"longitude":6.96}'

-- Without a rule: to where it came from, unless that takes no returns.
SELECT back(sent('r1', '[{"sku":"TV","quantity":2}]', :'munich'));
SELECT back(sent('r2', '[{"sku":"BOOK","quantity":1}]', NULL));
SELECT oms.upsert_locations('[{"code":"hub","returns":false}]');
SELECT back(sent('r3', '[{"sku":"TV","quantity":2}]', :'munich'));
SELECT back(oms.find_order('web', 'r3'), options => '{"location":"depot"}');
SELECT oms.upsert_locations('[{"code":"hub","returns":true}]');

-- By reason, group of items, value of a unit, the nearest store.
INSERT INTO oms.return_rules (rank, reason, location_id) SELECT 1, 'broken', location_id FROM oms.locations WHERE code = 'depot';
INSERT INTO oms.return_rules (rank, item_group, send_to) VALUES (2, 'heavy', 'shipping');
INSERT INTO oms.return_rules (rank, currency, most_value, location_id) SELECT 3, 'EUR', 10, location_id FROM oms.locations WHERE code = 'clearance';
INSERT INTO oms.return_rules (rank, send_to, location_group, max_kilometres) VALUES (4, 'nearest', 'stores', 400);
SELECT back(sent('a1', '[{"sku":"TV","quantity":1}]', :'munich'), reason => 'broken');
SELECT back(sent('a2', '[{"sku":"TV","quantity":1}]', :'munich'));
SELECT back(sent('a3', '[{"sku":"TOY","quantity":1}]', :'munich'));
SELECT back(sent('a4', '[{"sku":"TOY","quantity":1,"unit_price":"10.01"}]', :'munich'));
SELECT back(sent('a5', '[{"sku":"TOY","quantity":1}]', :'munich', 'shop'));
-- The location of most units takes all of a return; a reason of its own takes a line elsewhere.
SELECT back(sent('a6', '[{"sku":"TV","quantity":1},{"sku":"TOY","quantity":2},{"sku":"RING","quantity":1}]', :'munich'));
SELECT back(sent('a7', '[{"sku":"TV","quantity":1},{"sku":"TOY","quantity":2},{"sku":"RING","quantity":5}]', :'munich'), '[{"line_no":1},{"line_no":2},{"line_no":3,"reason":"broken"}]');
-- Too far, or nobody knows where: the next rule, here none.
SELECT back(sent('a8', '[{"sku":"RING","quantity":1}]', '{"latitude":40,"longitude":-3}'));
SELECT back(sent('a9', '[{"sku":"RING","quantity":1}]', NULL));

-- The room of a day: 5 units, by the day where the location is; the next nearest takes what is too much.
SELECT back(sent('c1', '[{"sku":"RING","quantity":3}]', :'cologne'));
SELECT back(sent('c2', '[{"sku":"RING","quantity":2}]', :'cologne'));
SELECT room();
SELECT back(sent('c3', '[{"sku":"RING","quantity":1}]', :'cologne'));
SELECT back(sent('c4', '[{"sku":"RING","quantity":1}]', :'cologne'), options => '{"location":"cologne"}');
-- Cancelled before anything came: the room is free again; received and closed: it was used.
SELECT return_id AS c1 FROM oms.returns WHERE order_id = oms.find_order('web', 'c1') \gset
SELECT return_id AS c2 FROM oms.returns WHERE order_id = oms.find_order('web', 'c2') \gset
SELECT oms.receive_return(:c2, '[{"line_no":1,"quantity":1}]') ->> 'status', oms.close_return(:c2) ->> 'status';
SELECT oms.cancel_return(:c1) ->> 'status', room();
SELECT back(sent('c5', '[{"sku":"RING","quantity":4}]', :'cologne'));
SELECT back(sent('c6', '[{"sku":"RING","quantity":3}]', :'cologne')) LIKE 'cologne%', room();
SET oms.clock = '2026-05-01 13:00+00';
SELECT back(sent('c7', '[{"sku":"RING","quantity":5}]', :'cologne')) LIKE 'cologne%', room();
-- Less room than is taken already: nothing more goes there.
SELECT oms.upsert_locations('[{"code":"cologne","daily_returns":1}]');
SELECT back(sent('c8', '[{"sku":"RING","quantity":1}]', :'cologne'));
-- What is not linked to the channel is no candidate; what cannot be seen neither.
SELECT oms.upsert_locations('[{"code":"hub","channels":[{"channel":"web"}]}]');
SELECT back(sent('c9', '[{"sku":"RING","quantity":1}]', :'munich'));

-- The record stays what it was, whatever changes, and the event has it too.
DELETE FROM oms.return_rules WHERE rank = 1;
SELECT r ->> 'location', r -> 'decision' ->> 'rule_id' FROM oms.returns x, oms.get_return(x.return_id) r WHERE x.order_id = oms.find_order('web', 'a1');
SELECT count(*) FROM oms.events e JOIN oms.returns r ON r.return_id = e.object_id WHERE e.type = 'return.requested' AND e.data -> 'decision' IS DISTINCT FROM r.decision;
-- Rules that make no sense are refused when they are written.
SELECT attempt($$INSERT INTO oms.return_rules (send_to, location_id) SELECT 'nearest', location_id FROM oms.locations LIMIT 1$$) LIKE '23514%',
       attempt($$INSERT INTO oms.return_rules (send_to, location_group) VALUES ('shipping', 'stores')$$) LIKE '23514%',
       attempt($$INSERT INTO oms.return_rules (most_value) VALUES (5)$$) LIKE '23514%',
       attempt($$INSERT INTO oms.return_rules (send_to, location_group) VALUES ('nearest', 'nowhere')$$) LIKE '23503%';
SELECT attempt($$SELECT oms.upsert_locations('[{"code":"hub","daily_returns":-1,"returns":"yes"}]')$$);
SELECT * FROM oms.audit();
-- audit() knows the room.
BEGIN;
UPDATE oms.return_room SET used = used - 1 WHERE used > 0;
SELECT "check", count(*) FROM oms.audit() GROUP BY 1;
ROLLBACK;
\c postgres
DROP DATABASE oms_return_location;
