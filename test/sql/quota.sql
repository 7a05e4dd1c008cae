-- quota.sql: what a channel leaves to others, may count on, and must not exceed.
\pset pager off
CREATE DATABASE oms_quota;
\c oms_quota
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';
SELECT oms.upsert_items('[{"sku":"CUP"},{"sku":"JUG"},{"sku":"CARD","kind":"digital"}]');
SELECT oms.upsert_channels('[{"code":"web","backorder":true},{"code":"market"},{"code":"shop"}]');
SELECT oms.upsert_locations('[{"code":"north","rank":1},{"code":"south","rank":2}]');
SELECT oms.receive_stock('north', 'CUP', 10), oms.receive_stock('south', 'CUP', 10), oms.receive_stock('north', 'JUG', 10);
CREATE FUNCTION place(channel text, reference text, sku text, quantity int, location text DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT oms.place_order(jsonb_strip_nulls(jsonb_build_object('channel', channel, 'external_ref', reference,
        'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity, 'location', location))))) ->> 'fulfillment_status' $$;

-- Safety at each location: the row that says most about the item counts, then about the location.
SELECT oms.set_channel_quota('market', safety => 2) > 0 AS set;
SELECT oms.set_channel_quota('market', 'CUP', 'south', safety => 6) > 0 AS set;
SELECT * FROM oms.available('CUP', 'market');
SELECT * FROM oms.available('JUG', 'market');
SELECT * FROM oms.explain_available('CUP', 'market');
SELECT place('market', 'm1', 'CUP', 5, 'south');
SELECT place('market', 'm1', 'CUP', 4, 'south');
SELECT oms.reserve('[{"sku":"CUP","quantity":9}]', '5 minutes', 'market');
SELECT oms.reserve('[{"sku":"CUP","quantity":8}]', '5 minutes', 'market', 'cart') ->> 'complete' AS complete;
SELECT place('shop', 's1', 'CUP', 6, 'south');
SELECT * FROM oms.audit();

-- A guarantee keeps units for its channel, wherever they lie, until it has used them; its carts count.
SELECT oms.release_reservation(max(reservation_id)) FROM oms.reservations;
SELECT oms.set_channel_quota('web', 'CUP', guaranteed => 4) > 0 AS set;
SELECT channel, (SELECT sum(available) FROM oms.available('CUP', channel)) AS sum,
       (SELECT sum(quantity) FROM oms.explain_available('CUP', channel)) AS explained,
       (SELECT quantity FROM oms.available_many(channel, ARRAY['CUP'])) AS many
FROM unnest(ARRAY['web', 'market', 'shop']) channel;
SELECT * FROM oms.explain_available('CUP', 'shop');
SELECT place('shop', 's2', 'CUP', 7);
SELECT oms.reserve('[{"sku":"CUP","quantity":7}]', '5 minutes', 'shop');
SELECT oms.reserve('[{"sku":"CUP","quantity":7}]', '5 minutes', 'shop', partial => true) -> 'lines' -> 0 ->> 'granted' AS granted;
SELECT place('web', 'w1', 'CUP', 1);
SELECT oms.reserve('[{"sku":"CUP","quantity":2}]', '5 minutes', 'web', 'web cart') ->> 'complete' AS complete;
SELECT (SELECT sum(available) FROM oms.available('CUP', 'shop')) AS shop, (SELECT sum(available) FROM oms.available('CUP', 'web')) AS web;
SELECT place('shop', 's2', 'CUP', 1);
SELECT place('web', 'w2', 'CUP', 1);
SELECT used, guaranteed, version > 0 AS changed FROM oms.channel_quotas WHERE guaranteed > 0;
-- The cart turns into an order; a cancelled order gives back what it used.
SELECT oms.place_order(jsonb_build_object('channel', 'web', 'external_ref', 'w3', 'reservation_id', (SELECT max(reservation_id) FROM oms.reservations WHERE status = 'held' AND reference = 'web cart'),
       'lines', '[{"sku":"CUP","quantity":2}]'::jsonb)) ->> 'fulfillment_status';
SELECT oms.cancel_order(oms.find_order('web', 'w3')) ->> 'status';
SELECT used FROM oms.channel_quotas WHERE guaranteed > 0;
SELECT place('shop', 's3', 'CUP', 1);
SELECT * FROM oms.audit();

-- When time is over the hold of the shop is free, and so is the guarantee that has an end.
SELECT oms.set_channel_quota('web', 'CUP', ends_at => '2026-03-02 13:00:00+00') > 0 AS set;
SET oms.clock = '2026-03-02 12:59:00+00';
SELECT sum(available) FROM oms.available('CUP', 'shop');
SET oms.clock = '2026-03-02 13:00:00+00';
SELECT sum(available) FROM oms.available('CUP', 'shop');
SELECT oms.set_channel_quota('web', 'CUP', guaranteed => 5);
SELECT oms.set_channel_quota('web', 'CUP', guaranteed => 5, restart => true) > 0 AS set;
SELECT used, guaranteed, ends_at FROM oms.channel_quotas WHERE guaranteed > 0;
-- What was placed before it began anew does not count when it is cancelled.
SELECT oms.cancel_order(oms.find_order('web', 'w1')) ->> 'status', (SELECT used FROM oms.channel_quotas WHERE guaranteed > 0);
SELECT * FROM oms.audit();

-- A cap holds for promises on hand and beyond, and for carts.
SELECT oms.set_stock_limits('north', 'JUG', backorder_limit => 20);
SELECT oms.set_channel_quota('web', 'JUG', cap => 12) > 0 AS set;
SELECT * FROM oms.explain_available('JUG', 'web');
SELECT place('web', 'j1', 'JUG', 13);
SELECT place('web', 'j1', 'JUG', 3);
SELECT oms.reserve('[{"sku":"JUG","quantity":2}]', '5 minutes', 'web', 'cap') ->> 'complete' AS complete;
SELECT place('web', 'j2', 'JUG', 8);
SELECT place('web', 'j2', 'JUG', 7);
SELECT place('web', 'j3', 'JUG', 1);
SELECT cap, used FROM oms.channel_quotas WHERE cap IS NOT NULL;
SELECT oms.set_channel_quota('web', 'JUG', cap => 9);
SET oms.clock = '2026-03-02 13:10:00+00';
SELECT place('web', 'j3', 'JUG', 2);
SELECT * FROM oms.available('JUG', 'web');
SELECT * FROM oms.audit();

-- Safety over all locations.
SELECT oms.set_channel_quota('shop', 'CUP', network_safety => 3) > 0 AS set;
SELECT * FROM oms.explain_available('CUP', 'shop') WHERE location IS NULL;
SELECT * FROM oms.available('CUP', 'shop');
SELECT sum(available) FROM oms.available('CUP', 'shop', 'north');

-- What makes no sense is refused, all faults at once.
SELECT oms.set_channel_quota('web', 'CARD', 'north', -1, 2, 3, 4);
SELECT oms.set_channel_quota('web', cap => 4);
SELECT oms.set_channel_quota('web', 'CUP', ends_at => '2020-01-01 00:00:00+00');
SELECT oms.set_channel_quota('web', 'CUP', cap => 1, idempotency_key => 'q') = oms.set_channel_quota('web', 'CUP', cap => 1, idempotency_key => 'q') AS same;
UPDATE oms.channel_quotas SET used = 13 WHERE cap = 12;

-- Every corruption of the counter is found.
UPDATE oms.channel_quotas SET used = used - 1 WHERE cap = 12;
SELECT "check", expected, found FROM oms.audit();
UPDATE oms.channel_quotas SET used = used + 1 WHERE cap = 12;
SELECT * FROM oms.audit();

-- In stripes the channel leaves as much as from one row.
SELECT oms.upsert_items('[{"sku":"HOT"}]'), oms.receive_stock('north', 'HOT', 100), oms.set_channel_quota('market', 'HOT', safety => 10) > 0 AS set;
INSERT INTO oms.stock_counters (item_id, location_id, on_hand, stripe, stripes, waited_at)
    SELECT item_id, location_id, 25, n, 0, oms.current_time() FROM oms.stock_counters JOIN oms.items USING (item_id), generate_series(1, 3) n WHERE sku = 'HOT';
UPDATE oms.stock_counters SET on_hand = 25, stripes = 4, waited_at = oms.current_time() WHERE stripe = 0 AND item_id = (SELECT item_id FROM oms.items WHERE sku = 'HOT');
SELECT string_agg(place('market', 'h' || n, 'HOT', 20), ' ') FROM generate_series(1, 4) n;
SELECT count(*) AS stripes, sum(on_hand - reserved) AS free FROM oms.stock_counters WHERE item_id = (SELECT item_id FROM oms.items WHERE sku = 'HOT');
SELECT place('market', 'h5', 'HOT', 11);
SELECT place('market', 'h5', 'HOT', 10);
SELECT place('shop', 'h6', 'HOT', 10);
SELECT * FROM oms.audit();

-- Safety in a group of locations: a location says more than a group, a group more than no place, the SKU more than any of these.
SELECT oms.upsert_locations('[{"code":"north","groups":[{"group":"stores"},{"group":"cold"}]},{"code":"east","rank":3,"groups":[{"group":"stores"}]}]');
SELECT oms.upsert_items('[{"sku":"PAN"}]');
SELECT oms.receive_stock(place, 'PAN', 20) FROM unnest('{north,south,east}'::text[]) place;
CREATE FUNCTION left_by(channel text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(location || ' ' || -quantity, ', ' ORDER BY location) FROM oms.explain_available('PAN', channel) WHERE term = 'channel_safety' $$;
SELECT oms.set_channel_quota('shop', safety => 1, location_group => 'stores') > 0 AS set, left_by('shop');
SELECT oms.set_channel_quota('shop', safety => 2) > 0 AS set, left_by('shop');
SELECT oms.set_channel_quota('shop', safety => 3, location_group => 'cold') > 0 AS set, left_by('shop');
SELECT oms.set_channel_quota('shop', 'PAN', safety => 4) > 0 AS set, left_by('shop');
SELECT oms.set_channel_quota('shop', 'PAN', safety => 6, location_group => 'stores') > 0 AS set, left_by('shop');
SELECT oms.set_channel_quota('shop', 'PAN', safety => 5, location_group => 'cold') > 0 AS set, left_by('shop');
SELECT oms.set_channel_quota('shop', 'PAN', 'north', safety => 0) > 0 AS set, left_by('shop');
SELECT channel, (SELECT sum(available) FROM oms.available('PAN', channel)) AS sum, (SELECT sum(quantity) FROM oms.explain_available('PAN', channel)) AS explained,
       (SELECT quantity FROM oms.available_many(channel, ARRAY['PAN'])) AS many FROM unnest(ARRAY['shop', 'web']) channel;
SELECT place('shop', 'p1', 'PAN', 15, 'east');
SELECT place('shop', 'p1', 'PAN', 14, 'east');
SELECT oms.set_channel_quota('shop', 'PAN', 'north', safety => 1, location_group => 'cold');
SELECT oms.set_channel_quota('shop', 'PAN', cap => 5, location_group => 'warm');
SELECT * FROM oms.audit();

-- Units that come by a date where others have theirs are not for a channel that leaves units there: all answers say so.
SELECT oms.upsert_items('[{"sku":"URN"},{"sku":"VAT"}]'), oms.upsert_channels('[{"code":"kiosk","backorder":true}]');
SELECT oms.receive_stock('north', 'URN', 2), oms.receive_stock('south', 'URN', 2), oms.receive_stock('north', 'VAT', 4);
SELECT oms.expect_supply('south', 'URN', 4, '2026-03-05 12:00+00') > 0, oms.expect_supply('north', 'VAT', 3, '2026-03-05 12:00+00') > 0;
SELECT oms.set_channel_quota('web', 'URN', guaranteed => 2) > 0;
SELECT oms.set_quota_tree('VAT', '{"shares":[{"channel":"kiosk","units":4},{"channel":"web","ratio":1}]}');
CREATE FUNCTION by_date(OUT sku text, OUT channel text, OUT available numeric, OUT explained numeric, OUT "many" bigint) RETURNS SETOF record LANGUAGE sql AS $$
    SELECT sku, channel, (SELECT sum(available) FROM oms.available(sku, channel, needed_by => '2026-03-09')),
           (SELECT sum(quantity) FROM oms.explain_available(sku, channel, '2026-03-09')),
           (SELECT quantity FROM oms.available_many(channel, ARRAY[sku], '2026-03-09'))
    FROM unnest(ARRAY['URN', 'VAT']) sku, unnest(ARRAY['web', 'kiosk']) channel $$;
SELECT * FROM by_date();
SELECT * FROM oms.explain_available('URN', 'kiosk', '2026-03-09') WHERE location IS NULL;
SELECT place('kiosk', 'u2', 'URN', 3);
SELECT place('kiosk', 'u2', 'URN', 2);
SELECT oms.set_channel_quota('kiosk', 'VAT', cap => 5) > 0;
SELECT * FROM by_date();
SELECT * FROM oms.audit();
