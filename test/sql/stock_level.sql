-- stock_level.sql: events of stock that is getting low, gone, or back, one for each crossing.
\pset pager off
CREATE DATABASE oms_stock_level;
\c oms_stock_level
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_items('[{"sku":"CUP"},{"sku":"HOT"}]'), oms.upsert_locations('[{"code":"north"}]');
CREATE FUNCTION place(reference text, quantity int, sku text DEFAULT 'CUP') RETURNS text LANGUAGE sql AS $$
    SELECT oms.place_order(jsonb_build_object('external_ref', reference, 'lines',
        jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity, 'location', 'north')))) ->> 'fulfillment_status' $$;
-- The crossings since the last look.
CREATE TABLE looked (event_id bigint);
INSERT INTO looked VALUES (0);
CREATE FUNCTION crossings() RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    SELECT string_agg(format('%s: %s, %s left', type, data ->> 'level', data ->> 'available'), '; ' ORDER BY e.event_id) INTO answer
    FROM oms.events e, looked l WHERE e.event_id > l.event_id AND type IN ('stock.low', 'stock.out', 'stock.back');
    UPDATE looked SET event_id = (SELECT max(event_id) FROM oms.events);
    RETURN coalesce(answer, 'none');
END $$;

SELECT oms.receive_stock('north', 'CUP', 10), crossings();
SELECT crossings();
SELECT oms.set_stock_limits('north', 'CUP', 2, 5, 3);
SELECT crossings();
SELECT place('a', 4);
SELECT crossings();
SELECT place('b', 1);
SELECT crossings();
SELECT data FROM oms.events WHERE type = 'stock.low';
SELECT place('c', 2);
SELECT crossings();
SELECT place('d', 1);
SELECT crossings();
-- A cancelled order brings units back, but not above the reorder point; a receipt does.
SELECT oms.cancel_order(oms.find_order('default', 'd')) ->> 'status';
SELECT crossings();
SELECT oms.receive_stock('north', 'CUP', 5);
SELECT crossings();
-- Shipping takes units that were promised: nothing is crossed.
SELECT oms.release_fulfillment(fulfillment_id) ->> 'status', oms.ship_fulfillment(fulfillment_id) ->> 'status' FROM oms.fulfillments WHERE order_id = oms.find_order('default', 'a');
SELECT crossings();
-- Adjusting, counting, limits and carts cross as well, in one step also over both lines.
SELECT oms.adjust_stock('north', 'CUP', -3, 'broken');
SELECT crossings();
SELECT oms.set_stock_limits('north', 'CUP', reorder_point => 2);
SELECT crossings();
SELECT oms.reserve('[{"sku":"CUP","quantity":3}]', '1 minute', reference => 'cart') ->> 'complete';
SELECT crossings();
SELECT oms.release_reservation(max(reservation_id)) FROM oms.reservations;
SELECT crossings();
SELECT oms.count_stock('north', 'CUP', 0) -> 'reserved';
SELECT crossings();
-- What is refused or undone crosses nothing.
SELECT oms.count_stock('north', 'CUP', 20) -> 'on_hand';
SELECT crossings();
SELECT place('e', 30);
BEGIN;
SELECT place('f', 15);
ROLLBACK;
SELECT crossings();
SELECT * FROM oms.audit();

-- In stripes: sales that each fit into one stripe cross the reorder point once, and the end once.
SELECT oms.receive_stock('north', 'HOT', 400), oms.set_stock_limits('north', 'HOT', reorder_point => 101);
INSERT INTO oms.stock_counters (item_id, location_id, on_hand, reorder_point, stripe, stripes, waited_at)
    SELECT item_id, location_id, 100, 25, n, 0, oms.current_time() FROM oms.stock_counters JOIN oms.items USING (item_id), generate_series(1, 3) n WHERE sku = 'HOT';
UPDATE oms.stock_counters SET on_hand = 100, reorder_point = 26, stripes = 4, waited_at = oms.current_time()
    WHERE stripe = 0 AND item_id = (SELECT item_id FROM oms.items WHERE sku = 'HOT');
SELECT crossings();
SELECT count(*) FROM generate_series(1, 280) n WHERE place('h' || n, 1, 'HOT') = 'allocated';
SELECT crossings();
SELECT count(*) FROM generate_series(281, 300) n WHERE place('h' || n, 1, 'HOT') = 'allocated';
SELECT crossings();
SELECT count(*) FROM generate_series(301, 400) n WHERE place('h' || n, 1, 'HOT') = 'allocated';
SELECT crossings();
SELECT * FROM oms.audit();

-- For a channel: over all its locations, less what quotas and carts take, and only where it has a threshold.
SELECT oms.upsert_items('[{"sku":"PAN"}]'), oms.upsert_channels('[{"code":"web"},{"code":"shop"}]'), oms.upsert_locations('[{"code":"north","channels":[{"channel":"web"}]},{"code":"south","channels":[{"channel":"web"}]},{"code":"west"},{"code":"default","active":false}]');
CREATE OR REPLACE FUNCTION crossings() RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text;
BEGIN
    SELECT string_agg(format('%s%s: %s, %s left', data ->> 'channel' || ' ', type, data ->> 'level', data ->> 'available'), '; ' ORDER BY e.event_id) INTO answer
    FROM oms.events e, looked l WHERE e.event_id > l.event_id AND type IN ('stock.low', 'stock.out', 'stock.back') AND object_type = 'channel_level';
    UPDATE looked SET event_id = (SELECT max(event_id) FROM oms.events);
    RETURN coalesce(answer, 'none');
END $$;
CREATE FUNCTION buy(channel text, reference text, quantity int, location text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT oms.place_order(jsonb_build_object('channel', channel, 'external_ref', reference, 'lines', jsonb_build_array(jsonb_strip_nulls(
        jsonb_build_object('sku', 'PAN', 'quantity', quantity, 'location', location))))) ->> 'fulfillment_status' $$;
SELECT oms.set_channel_threshold('web', 'PAN', 4);
SELECT crossings();
SELECT oms.receive_stock('north', 'PAN', 3);
SELECT crossings();
SELECT oms.receive_stock('south', 'PAN', 3), oms.receive_stock('west', 'PAN', 50);
SELECT crossings();
SELECT data FROM oms.events WHERE object_type = 'channel_level' ORDER BY event_id DESC LIMIT 1;
-- Another channel takes some, then its own, then a cart the rest.
SELECT buy('shop', 'p1', 1, 'north'), crossings();
SELECT buy('web', 'p2', 2);
SELECT crossings();
SELECT oms.reserve('[{"sku":"PAN","quantity":9}]', '1 hour', 'web', 'cart', true) -> 'lines' -> 0 ->> 'granted';
SELECT crossings();
SELECT oms.release_reservation(max(reservation_id)) FROM oms.reservations;
SELECT crossings();
SELECT oms.cancel_order(oms.find_order('shop', 'p1')) ->> 'status', oms.cancel_order(oms.find_order('web', 'p2')) ->> 'status';
SELECT crossings();
SET oms.clock = '2026-03-02 12:05:00+00';
-- What others are guaranteed, a cap, and a share of a tree are gone for it.
SELECT oms.set_channel_quota('shop', 'PAN', guaranteed => 53) > 0;
SELECT crossings();
SELECT oms.set_channel_quota('shop', 'PAN', guaranteed => 0) > 0, oms.set_channel_quota('web', 'PAN', cap => 0) > 0;
SELECT crossings();
SELECT oms.set_channel_quota('web', 'PAN', cap => 100) > 0, oms.set_quota_tree('PAN', '{"shares":[{"channel":"web","units":3},{"channel":"shop","ratio":1}]}');
SELECT crossings();
SELECT oms.set_quota_tree('PAN', NULL);
SELECT crossings();
-- The threshold itself moves over what is there; what is undone or only tried tells nothing.
SELECT oms.set_channel_threshold('web', 'PAN', 6);
SELECT crossings();
BEGIN;
SELECT buy('web', 'p3', 6);
ROLLBACK;
SELECT oms.edit_order(order_id, '{"lines":[{"line_no":1,"quantity":6}]}', true) IS NOT NULL FROM (SELECT (oms.place_order('{"channel":"web","external_ref":"p4","lines":[{"sku":"PAN","quantity":1}]}') ->> 'order_id')::bigint AS order_id) o;
SELECT crossings();
SELECT oms.set_channel_threshold('web', 'PAN', 2);
SELECT crossings();
-- A caller who may not see the channel crosses its threshold all the same.
CREATE ROLE oms_test_stock_level IN ROLE oms_warehouse;
INSERT INTO oms.role_scopes (role_name, tenant_id, channel_id, location_id) SELECT 'oms_test_stock_level', 1, channel_id, location_id FROM oms.channels c, oms.locations l WHERE c.code = 'shop' AND l.code = 'south';
SET ROLE oms_test_stock_level;
SELECT oms.adjust_stock('south', 'PAN', -3, 'broken');
RESET ROLE;
SELECT crossings();
-- What is wrong is found and mended; without the threshold nothing is told.
SELECT * FROM oms.audit();
UPDATE oms.channel_levels SET level = 'ok';
SELECT "check", expected, found FROM oms.audit();
SELECT oms.repair('channel_level.level') -> 'repaired' -> 0 ->> 'new';
SELECT level FROM oms.channel_levels;
SELECT crossings();
SELECT oms.set_channel_threshold('web', 'PAN', NULL);
SELECT oms.receive_stock('north', 'PAN', 30), crossings();
SELECT oms.set_channel_threshold('web', 'PAN', -1);
SELECT oms.set_channel_threshold('web', 'PAN', 1000000001);
SELECT oms.set_channel_threshold('web', 'PAN', 1000000000);
UPDATE oms.channel_levels SET level = 'gone';
SELECT * FROM oms.audit();
DELETE FROM oms.role_scopes;
DROP ROLE oms_test_stock_level;
