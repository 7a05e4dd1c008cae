-- quota_tree.sql: the units of an item divided among channels by a tree of shares.
\pset pager off
CREATE DATABASE oms_quota_tree;
\c oms_quota_tree
SET client_min_messages = warning;
SET timezone = 'UTC';
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';
SELECT oms.upsert_items('[{"sku":"CUP"},{"sku":"JUG","backorder":true},{"sku":"PAN"},{"sku":"CARD","kind":"digital"}]');
SELECT oms.upsert_channels('[{"code":"web","backorder":true},{"code":"app"},{"code":"market"},{"code":"shop","backorder":true},{"code":"other"}]');
SELECT oms.upsert_locations('[{"code":"default","active":false},{"code":"north","rank":1},{"code":"south","rank":2}]');
SELECT oms.receive_stock('north', 'CUP', 60), oms.receive_stock('south', 'CUP', 41);
CREATE FUNCTION place(channel text, reference text, sku text, quantity int, location text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT oms.place_order(jsonb_strip_nulls(jsonb_build_object('channel', channel, 'external_ref', reference,
        'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity, 'location', location))))) ->> 'fulfillment_status' $$;
-- What each channel may still promise, said three ways.
CREATE FUNCTION free(sku text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s', code, CASE WHEN a = e AND a = m THEN a::text ELSE format('%s/%s/%s', a, e, m) END), ', ' ORDER BY code) FROM (
        SELECT code, (SELECT coalesce(sum(available), 0) FROM oms.available(sku, code)) AS a, (SELECT sum(quantity) FROM oms.explain_available(sku, code)) AS e,
            (SELECT quantity FROM oms.available_many(code, ARRAY[sku])) AS m FROM oms.channels WHERE code <> 'default') c $$;

-- 101 units: 10 for the shop, 60 percent for a pool of two channels, the rest by ratio; rounding loses none.
SELECT oms.set_quota_tree('CUP', '{"shares":[{"channel":"web","parent":"online","percent":50},{"channel":"app","parent":"online","percent":25,"rank":50},
    {"pool":"online","percent":60},{"channel":"shop","units":10,"lends":true},{"channel":"market","ratio":2},{"pool":"reserve","ratio":1}]}');
SELECT * FROM oms.quota_tree('CUP');
SELECT sum(own) FROM oms.quota_tree('CUP');
SELECT free('CUP');
SELECT * FROM oms.explain_available('CUP', 'web') WHERE location IS NULL;
SELECT * FROM oms.explain_available('CUP', 'other') WHERE location IS NULL;
-- Selling changes nobody's share; own first, then the pool.
SELECT place('web', 'w1', 'CUP', 32);
SELECT free('CUP');
SELECT place('app', 'a1', 'CUP', 29);
SELECT place('app', 'a1', 'CUP', 28);
SELECT free('CUP');
SELECT name, part, used, available FROM oms.quota_tree('CUP') WHERE kind <> 'pool';
SELECT place('other', 'o1', 'CUP', 1);
SELECT place('shop', 's1', 'CUP', 4), place('shop', 's1', 'CUP', 4);
-- Carts count, units that come back are there again, receipts raise what is a part.
SELECT oms.reserve('[{"sku":"CUP","quantity":99}]', '5 minutes', 'market', 'cart', true) -> 'lines' -> 0 ->> 'granted' AS granted;
SELECT free('CUP');
SELECT oms.cancel_order(oms.find_order('web', 'w1'), '[{"line_no":1,"quantity":10}]') ->> 'status';
SELECT oms.receive_stock('south', 'CUP', 50);
SELECT free('CUP');
SELECT name, part, used, available FROM oms.quota_tree('CUP') WHERE kind <> 'pool';
SELECT * FROM oms.audit();
-- An order changes what it has used with its units, and a cart turns into an order.
SELECT oms.edit_order(oms.find_order('web', 'w1'), '{"lines":[{"line_no":1,"quantity":25}]}') ->> 'dry_run';
SELECT oms.edit_order(oms.find_order('web', 'w1'), '{"lines":[{"line_no":1,"quantity":500}]}') ->> 'dry_run';
SELECT oms.edit_order(oms.find_order('web', 'w1'), '{"lines":[{"line_no":1,"quantity":24}]}') ->> 'dry_run';
SELECT oms.place_order(jsonb_build_object('channel', 'market', 'external_ref', 'm1', 'reservation_id', max(reservation_id),
    'lines', '[{"sku":"CUP","quantity":21}]'::jsonb)) ->> 'fulfillment_status' FROM oms.reservations WHERE reference = 'cart';
SELECT name, used FROM oms.quota_tree('CUP') WHERE used > 0;
SELECT oms.preview_order('{"channel":"other","external_ref":"o2","lines":[{"sku":"CUP","quantity":1}]}');
-- Two deliveries of one order take of one share.
SELECT oms.place_order('{"channel":"shop","external_ref":"s2","deliveries":[{"delivery_no":1},{"delivery_no":2}],"lines":[{"sku":"CUP","quantity":4,"delivery_no":1},{"sku":"CUP","quantity":3,"delivery_no":2}]}') ->> 'status';
SELECT oms.place_order('{"channel":"shop","external_ref":"s2","deliveries":[{"delivery_no":1},{"delivery_no":2}],"lines":[{"sku":"CUP","quantity":4,"delivery_no":1},{"sku":"CUP","quantity":2,"delivery_no":2}]}') ->> 'status';
SELECT oms.place_draft((oms.place_order('{"channel":"app","draft":true,"external_ref":"d1","lines":[{"sku":"CUP","quantity":2}]}') ->> 'order_id')::bigint) ->> 'status';
SELECT * FROM oms.audit();

-- A better rank draws from what a worse one lends, last of all, and only while it is there.
SELECT oms.receive_stock('north', 'PAN', 20);
SELECT oms.set_quota_tree('PAN', '{"shares":[{"channel":"web","units":5,"rank":1},{"channel":"shop","units":6,"rank":2,"lends":true},{"channel":"app","units":4,"rank":3,"lends":true},{"channel":"market","units":3,"rank":3}]}');
SELECT free('PAN');
SELECT * FROM oms.explain_available('PAN', 'web') WHERE location IS NULL;
SELECT place('web', 'p1', 'PAN', 9);
SELECT free('PAN');
SELECT place('shop', 'p2', 'PAN', 7);
SELECT free('PAN');
SELECT place('app', 'p3', 'PAN', 1), place('market', 'p4', 'PAN', 3);
SELECT free('PAN');
SELECT * FROM oms.audit();

-- From its end on a share is its parent's; its channel draws like one without.
SELECT oms.set_quota_tree('PAN', '{"shares":[{"pool":"p","percent":50,"ends_at":"2026-03-03 00:00+00"},{"channel":"web","parent":"p","ratio":1},{"channel":"app","parent":"p","ratio":1}]}', true);
SELECT oms.receive_stock('north', 'PAN', 20);
SELECT free('PAN');
SET oms.clock = '2026-03-02 23:59:59+00';
SELECT free('PAN');
SET oms.clock = '2026-03-03 00:00:00+00';
SELECT free('PAN');
SELECT name, part, own, used, available FROM oms.quota_tree('PAN');
-- So is the whole tree, which can only begin anew.
SELECT oms.set_quota_tree('PAN', '{"ends_at":"2026-03-04 00:00+00","shares":[{"channel":"web","percent":100}]}');
SELECT free('PAN'), place('web', 'p5', 'PAN', 2);
SET oms.clock = '2026-03-04 00:00:00+00';
SELECT free('PAN'), place('other', 'p6', 'PAN', 1);
SELECT oms.set_quota_tree('PAN', '{"shares":[{"channel":"web","percent":100}]}');
SELECT oms.set_quota_tree('PAN', '{"shares":[{"channel":"web","percent":80}]}', true);
SELECT name, used FROM oms.quota_tree('PAN');
-- What was placed before it began does not count, whatever becomes of it.
SELECT oms.edit_order(oms.find_order('web', 'p5'), '{"lines":[{"line_no":1,"quantity":3}]}') ->> 'dry_run';
SELECT oms.cancel_order(oms.find_order('web', 'p5')) ->> 'status';
SELECT name, used FROM oms.quota_tree('PAN');
SELECT oms.set_quota_tree('PAN', NULL);
SELECT free('PAN'), (SELECT count(*) FROM oms.quota_tree('PAN')) AS shares;
SELECT * FROM oms.audit();

-- Shares are of units on hand.  Beyond them nothing is promised where units lie that others may have.
SET oms.clock = '2026-03-05 12:00:00+00';
SELECT oms.receive_stock('north', 'JUG', 10), oms.set_stock_limits('north', 'JUG', backorder_limit => 5), oms.set_stock_limits('south', 'JUG', backorder_limit => 5);
SELECT oms.set_quota_tree('JUG', '{"shares":[{"channel":"web","units":4},{"channel":"shop","units":6}]}');
SELECT place('web', 'j1', 'JUG', 6, 'north');
SELECT place('web', 'j1', 'JUG', 6);
SELECT free('JUG'), (SELECT string_agg(name || ' ' || used, ', ') FROM oms.quota_tree('JUG') WHERE used > 0) AS used;
SELECT place('shop', 'j2', 'JUG', 8, 'north');
SELECT free('JUG'), (SELECT string_agg(name || ' ' || used, ', ') FROM oms.quota_tree('JUG') WHERE used > 0) AS used;
-- Units that are owed go to whoever waits there; others that wait take free ones within their shares.
SELECT oms.receive_stock('north', 'JUG', 7);
SELECT channel, line_no, quantity, from_location, location FROM oms.fill_backorders() JOIN oms.orders USING (order_id) JOIN (SELECT channel_id, code AS channel FROM oms.channels) c USING (channel_id) ORDER BY 1, 5;
SELECT free('JUG'), (SELECT string_agg(name || ' ' || used, ', ') FROM oms.quota_tree('JUG') WHERE used > 0) AS used;
SELECT * FROM oms.audit();

-- With units of the tree more is for everybody, and shares can be given before the goods are there.
SELECT oms.upsert_items('[{"sku":"NEW"}]');
SELECT oms.set_quota_tree('NEW', '{"shares":[{"channel":"web","units":4},{"channel":"app","percent":50}]}');
SELECT oms.set_quota_tree('NEW', '{"units":10,"shares":[{"channel":"web","units":4},{"channel":"app","percent":50}]}');
SELECT oms.receive_stock('north', 'NEW', 6);
SELECT free('NEW');
SELECT oms.receive_stock('north', 'NEW', 9);
SELECT free('NEW');

-- The whole, and what others are guaranteed, do not depend on what the caller may see.
CREATE ROLE oms_test_quota_tree IN ROLE oms_app, oms_warehouse;
INSERT INTO oms.role_scopes (role_name, tenant_id, channel_id, location_id) SELECT 'oms_test_quota_tree', 1, channel_id, location_id FROM oms.channels c, oms.locations l WHERE c.code = 'shop' AND l.code = 'north';
SELECT oms.receive_stock('south', 'NEW', 20), oms.receive_stock('north', 'PAN', 1);
SELECT oms.set_quota_tree('NEW', '{"shares":[{"channel":"shop","percent":20},{"channel":"web","percent":80}]}'), oms.set_channel_quota('web', 'PAN', guaranteed => 100) > 0 AS set;
SELECT free('NEW'), free('PAN');
SET ROLE oms_test_quota_tree;
SELECT sum(available) FROM oms.available('NEW', 'shop');
SELECT sum(available) FROM oms.available('PAN', 'shop');
RESET ROLE;
DELETE FROM oms.role_scopes;
DROP ROLE oms_test_quota_tree;

-- What makes no sense is refused, every fault named.
SELECT oms.set_quota_tree('CARD', '{"ends_at":"2020-01-01","shares":[{"channel":"web","pool":"p"},{"channel":"nobody"},{"channel":"app","units":1,"ratio":2},{"channel":"app"},
    {"channel":"shop","percent":100.5},{"channel":"other","percent":1.00001},{"pool":"a","parent":"b"},{"pool":"b","parent":"c"},{"pool":"c","parent":"a"},{"pool":"d","parent":"c"},{"pool":"e","parent":"nowhere"}]}');
SELECT oms.set_quota_tree('NEW', '{"units":10,"shares":[{"channel":"web","percent":60},{"channel":"app","percent":40.0001},{"pool":"p","ratio":1},{"channel":"shop","parent":"p","units":1}]}');
SELECT oms.set_quota_tree('NEW', '{"shares":[{"channel":"web","units":10},{"channel":"app","units":26},{"channel":"shop","parent":"web","units":10},{"channel":"market","parent":"web","percent":1}]}');
SELECT oms.set_quota_tree('NEW', '{"shares":[]}');
SELECT oms.set_quota_tree('NEW', '{"shares":[{"channel":"web","units":-1,"rank":-1,"ratio":0}]}');
SELECT oms.set_quota_tree('NEW', jsonb_build_object('shares', (SELECT jsonb_agg(jsonb_build_object('pool', 'p' || n, 'ratio', n)) FROM generate_series(1, 101) n)));
SELECT oms.set_quota_tree('NEW', jsonb_build_object('shares', (SELECT jsonb_agg(jsonb_build_object('pool', 'p' || n, 'ratio', n)) FROM generate_series(1, 100) n)));
SELECT count(*), sum(own) FROM oms.quota_tree('NEW');
SELECT oms.set_quota_tree('NEW', '{"shares":[{"pool":"p","ratio":1}]}', idempotency_key => 'k'), oms.set_quota_tree('NEW', '{"shares":[{"pool":"p","ratio":1}]}', idempotency_key => 'k');

-- By hand nothing can be made that hangs together badly, and what is wrong is found and mended.
UPDATE oms.quota_shares SET parent = position;
INSERT INTO oms.quota_shares (item_id, position, parent) SELECT item_id, 90, 0 FROM oms.quota_trees LIMIT 1;
UPDATE oms.quota_uses SET used = -1;
UPDATE oms.quota_uses SET used = used + 1 WHERE used = 6;
DELETE FROM oms.quota_uses WHERE used = 8;
SET oms.clock = '2026-03-05 12:01:00+00';
SELECT oms.set_channel_quota('web', 'JUG', cap => 6) > 0 AS set, oms.set_channel_quota('shop', 'JUG', cap => 2) > 0 AS set;
SELECT place('web', 'j3', 'JUG', 1), place('shop', 'j4', 'JUG', 1);
UPDATE oms.channel_quotas SET used = 4 WHERE cap = 6;
UPDATE oms.channel_quotas SET used = 0, cap = 0 WHERE cap = 2;
UPDATE oms.quota_shares SET percent = 99.5, units = NULL WHERE ratio IS NULL AND item_id = (SELECT item_id FROM oms.items WHERE sku = 'JUG');
SELECT "check", expected, found FROM oms.audit();
SELECT oms.repair('quota_tree.used', true) -> 'refused' AS refused;
SELECT jsonb_pretty(oms.repair() - 'dry_run');
SELECT "check", expected, found FROM oms.audit();
\c postgres
DROP DATABASE oms_quota_tree;
