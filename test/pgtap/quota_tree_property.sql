-- Random calls of everything that moves units of an item whose units are divided among channels.  After each of them every channel has what a
-- plain model of the tree says, told three ways, and a cart that takes all it can get takes exactly that many; audit() is empty.  The model
-- counts from orders, carts and stock, divides by its own rules, and tries every set of channels: those outside it bring at most what they
-- use, those inside at most what the shares that they may draw from have.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(4);

SET LOCAL timezone = 'UTC';
SET LOCAL oms.clock = '2026-03-02 06:00+00';
SELECT setseed(0.11) IS NULL AS ready \gset
SELECT oms.upsert_channels('[{"code":"default","backorder":true},{"code":"web","backorder":true},{"code":"app"},{"code":"shop"},{"code":"market"}]'),
    oms.upsert_locations('[{"code":"default","active":false},{"code":"north","rank":1},{"code":"south","rank":2},{"code":"west","rank":4}]'),
    oms.upsert_items('[{"sku":"A","price":1,"backorder":true}]') \g /dev/null
INSERT INTO oms.channel_locations (channel_id, location_id) SELECT channel_id, location_id FROM oms.channels c, oms.locations l WHERE c.code NOT IN ('shop', 'web') AND l.code IN ('north', 'south');

CREATE TEMPORARY TABLE breach (step int, call text, what text);
CREATE TEMPORARY TABLE trace (step int, operation text, sqlstate text, message text);
CREATE TEMPORARY TABLE seen (step int, channel text, draw bigint, free bigint);

CREATE FUNCTION pg_temp.some(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $f$
    SELECT choices[1 + floor(random() * cardinality(choices))::int] $f$;
CREATE FUNCTION pg_temp.up_to(most int) RETURNS int LANGUAGE sql VOLATILE AS $f$ SELECT 1 + floor(random() * most)::int $f$;

-- A tree of six shares: two pools and four channels below the item or one of the pools.
CREATE FUNCTION pg_temp.tree() RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    shares jsonb := '[]';
    share  jsonb;
    name   text;
BEGIN
    FOREACH name IN ARRAY ARRAY['p', 'q', 'web', 'app', 'shop', 'market'] LOOP
        CONTINUE WHEN name IN ('shop', 'market') AND random() < 0.3;
        share := jsonb_build_object(CASE WHEN length(name) = 1 THEN 'pool' ELSE 'channel' END, name, 'rank', pg_temp.up_to(3), 'lends', random() < 0.4)
            || (CASE WHEN length(name) > 1 AND random() < 0.7 THEN jsonb_build_object('parent', pg_temp.some('p', 'q')) WHEN name = 'q' AND random() < 0.3 THEN '{"parent":"p"}' ELSE '{}' END)
            || (CASE pg_temp.up_to(4) WHEN 1 THEN jsonb_build_object('units', pg_temp.up_to(4)) WHEN 2 THEN jsonb_build_object('percent', (pg_temp.up_to(330) + 70) / 10.0)
                WHEN 3 THEN jsonb_build_object('ratio', pg_temp.up_to(4)) ELSE '{}' END)
            || (CASE WHEN random() < 0.2 THEN jsonb_build_object('ends_at', oms.current_time() + pg_temp.up_to(9) * interval '1 hour') ELSE '{}' END);
        shares := shares || share;
    END LOOP;
    RETURN jsonb_build_object('shares', shares) || CASE WHEN random() < 0.4 THEN jsonb_build_object('units', 10 + pg_temp.up_to(40)) ELSE '{}' END
        || CASE WHEN random() < 0.1 THEN jsonb_build_object('ends_at', oms.current_time() + interval '5 hours') ELSE '{}' END;
END $f$;

CREATE FUNCTION pg_temp.call_of(operation text, number int) RETURNS text LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    place   text := pg_temp.some('north', 'south', 'west');
    channel text := pg_temp.some('default', 'web', 'app', 'shop', 'market');
    units   int := pg_temp.up_to(6);
    cart    bigint := (SELECT reservation_id FROM oms.reservations WHERE status = 'held' ORDER BY random() LIMIT 1);
    one     bigint := (SELECT order_id FROM oms.orders WHERE status = 'placed' ORDER BY random() LIMIT 1);
BEGIN
    RETURN CASE operation
        WHEN 'tree' THEN format('SELECT oms.set_quota_tree(''A'', %L, %L)', pg_temp.tree(), random() < 0.3)
        WHEN 'no_tree' THEN 'SELECT oms.set_quota_tree(''A'', NULL)'
        WHEN 'quota' THEN format('SELECT oms.set_channel_quota(%L, %s)', channel, pg_temp.some('''A'', safety => 1', '''A'', cap => 60'))
        WHEN 'receive' THEN format('SELECT oms.receive_stock(%L, ''A'', %s)', place, units + 3)
        WHEN 'adjust' THEN format('SELECT oms.adjust_stock(%L, ''A'', %s, ''why'')', place, -units)
        WHEN 'count' THEN format('SELECT oms.count_stock(%L, ''A'', %s)', place, units * 3)
        WHEN 'limits' THEN format('SELECT oms.set_stock_limits(%L, ''A'', safety => %s, backorder_limit => %s)', place, pg_temp.up_to(3) - 1, pg_temp.up_to(4) - 1)
        WHEN 'reserve' THEN format('SELECT oms.reserve(%L, %L, %L, %L, %s)', jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', units)
                || CASE pg_temp.up_to(3) WHEN 1 THEN jsonb_build_object('location', place) ELSE '{}' END), pg_temp.some('30 minutes', '5 hours'), channel, 'c' || number % 5, (random() < 0.5)::text)
        WHEN 'release_cart' THEN format('SELECT oms.release_reservation(%s)', cart)
        WHEN 'place' THEN format('SELECT oms.place_order(%L)', jsonb_build_object('channel', channel, 'external_ref', 'o' || number,
                'lines', jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', units) || CASE pg_temp.up_to(4) WHEN 1 THEN jsonb_build_object('location', place) ELSE '{}' END)))
        WHEN 'two' THEN format('SELECT oms.place_order(%L)', jsonb_build_object('channel', channel, 'external_ref', 'o' || number, 'deliveries', '[{"delivery_no":1},{"delivery_no":2}]'::jsonb,
                'lines', jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', units, 'delivery_no', 1), jsonb_build_object('sku', 'A', 'quantity', pg_temp.up_to(4), 'delivery_no', 2))))
        WHEN 'draft' THEN format('SELECT oms.place_draft((oms.place_order(%L) ->> ''order_id'')::bigint)', jsonb_build_object('channel', channel, 'external_ref', 'o' || number, 'draft', true,
                'lines', jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', units))))
        WHEN 'buy' THEN (SELECT format('SELECT oms.place_order(%L)', jsonb_build_object('channel', c.code, 'external_ref', 'o' || number, 'reservation_id', cart,
                'lines', jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', (SELECT sum(quantity) FROM oms.reservation_lines l WHERE l.reservation_id = cart)))))
            FROM oms.reservations r JOIN oms.channels c USING (channel_id) WHERE reservation_id = cart AND EXISTS (SELECT FROM oms.reservation_lines l WHERE l.reservation_id = cart))
        WHEN 'edit' THEN format('SELECT oms.edit_order(%s, %L)', one, jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('line_no', 1, 'quantity', units))))
        WHEN 'cancel' THEN format('SELECT oms.cancel_order(%s)', one)
        WHEN 'ship' THEN (SELECT format('SELECT oms.release_fulfillment(%s), oms.ship_fulfillment(%s)', fulfillment_id, fulfillment_id) FROM oms.fulfillments WHERE status = 'planned' ORDER BY random() LIMIT 1)
        WHEN 'fill' THEN 'SELECT count(*) FROM oms.fill_backorders()'
        WHEN 'outage' THEN format('SELECT oms.upsert_locations(%L)', jsonb_build_array(jsonb_build_object('code', place, 'active', random() < 0.8)))
        END;
END $f$;

-- The model: shares by position, the item at 0.
CREATE TEMPORARY TABLE node (position int, parent int, channel_id bigint, rank int, lends boolean, units int, percent numeric, ratio int, ended boolean, used bigint, part bigint, own bigint);
CREATE FUNCTION pg_temp.model_tree() RETURNS boolean LANGUAGE plpgsql AS $f$
DECLARE
    tree  oms.quota_trees;
    whole bigint;
    node  record;
    child record;
    base  bigint;
    left_ bigint;
    total bigint;
BEGIN
    DELETE FROM node;
    SELECT * INTO tree FROM oms.quota_trees WHERE ends_at IS NULL OR ends_at > oms.current_time();
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    INSERT INTO node SELECT 0, -1, NULL, 0, false, NULL, NULL, NULL, false, 0, 0, 0
        UNION ALL SELECT position, parent, channel_id, rank, lends, units, percent, ratio, coalesce(ends_at <= oms.current_time(), false), 0, 0, 0 FROM oms.quota_shares;
    UPDATE node n SET used = x.used FROM (SELECT coalesce(s.position, 0) AS position, sum(u.units) AS used FROM (
            SELECT channel_id, l.allocated AS units FROM oms.orders o JOIN oms.order_lines l USING (order_id) WHERE o.placed_at >= tree.starts_at
            UNION ALL SELECT channel_id, l.quantity FROM oms.reservations r JOIN oms.reservation_lines l USING (reservation_id) WHERE r.expires_at > oms.current_time()) u
        LEFT JOIN oms.quota_shares s USING (channel_id) GROUP BY 1) x WHERE x.position = n.position;
    SELECT coalesce(sum(greatest(0, s.on_hand - s.safety - coalesce(a.open, 0))), 0) INTO whole FROM oms.stock s JOIN oms.locations l USING (location_id)
        LEFT JOIN (SELECT location_id, sum(promised - shipped - cancelled) AS open FROM oms.allocations GROUP BY 1) a USING (location_id) WHERE l.active;
    whole := whole + coalesce((SELECT sum(l.allocated) FROM oms.orders o JOIN oms.order_lines l USING (order_id) WHERE o.placed_at >= tree.starts_at), 0);
    UPDATE node SET part = whole WHERE position = 0;
    FOR node IN SELECT n.position FROM node n ORDER BY 1 LOOP
        SELECT n.part INTO base FROM node n WHERE n.position = node.position;
        IF node.position = 0 THEN
            base := least(base, coalesce(tree.units, base));
        END IF;
        left_ := base;
        FOR child IN SELECT n.position, n.units FROM node n WHERE n.parent = node.position AND n.units IS NOT NULL ORDER BY n.rank, n.position LOOP
            UPDATE node n SET part = least(child.units, left_) WHERE n.position = child.position;
            left_ := left_ - least(child.units, left_);
        END LOOP;
        -- Percents by largest remainder, cut where units leave too little.
        SELECT floor(sum(n.percent) * base / 100) - sum(floor(n.percent * base / 100)) INTO total FROM node n WHERE n.parent = node.position AND n.percent IS NOT NULL;
        FOR child IN SELECT n.position, floor(n.percent * base / 100) + CASE WHEN row_number() OVER (ORDER BY n.percent * base / 100 % 1 DESC, n.rank, n.position) <= total THEN 1 ELSE 0 END AS units
                FROM node n WHERE n.parent = node.position AND n.percent IS NOT NULL ORDER BY n.rank, n.position LOOP
            UPDATE node n SET part = least(child.units, left_) WHERE n.position = child.position;
            left_ := left_ - least(child.units, left_);
        END LOOP;
        -- Ratios of what is left, likewise.
        FOR child IN SELECT n.position, floor(left_ * n.ratio::numeric / w.weights) + CASE WHEN row_number() OVER (ORDER BY left_ * n.ratio::bigint % w.weights DESC, n.rank, n.position)
                    <= left_ - sum(floor(left_ * n.ratio::numeric / w.weights)) OVER () THEN 1 ELSE 0 END AS units
                FROM node n, (SELECT sum(m.ratio) AS weights FROM node m WHERE m.parent = node.position) w WHERE n.parent = node.position AND n.ratio IS NOT NULL LOOP
            UPDATE node n SET part = child.units WHERE n.position = child.position;
        END LOOP;
        UPDATE node n SET part = 0 WHERE n.parent = node.position AND n.ended;
    END LOOP;
    UPDATE node n SET own = n.part - coalesce((SELECT sum(c.part) FROM node c WHERE c.parent = n.position), 0);
    RETURN true;
END $f$;

-- For each set of shares whose channels may draw, what all of them can have together with what the others use.
CREATE FUNCTION pg_temp.most(more_at int, more bigint) RETURNS bigint LANGUAGE sql AS $f$
    WITH RECURSIVE above AS (SELECT position, position AS share FROM node UNION ALL SELECT a.position, n.parent FROM above a JOIN node n ON n.position = a.share WHERE n.parent >= 0),
    reach AS MATERIALIZED (SELECT position, bit_or(1 << share) AS shares FROM (SELECT * FROM above
        UNION ALL SELECT c.position, l.position FROM node c JOIN node l ON c.position > 0 AND l.position > 0 AND l.lends AND l.rank > c.rank) r GROUP BY 1),
    demand AS MATERIALIZED (SELECT position, shares, used + CASE WHEN position = more_at THEN more ELSE 0 END AS units FROM node JOIN reach USING (position)
        WHERE used > 0 OR (position = more_at AND more > 0)),
    numbered AS MATERIALIZED (SELECT row_number() OVER () - 1 AS bit, shares, units FROM demand)
    SELECT min(outside + (SELECT coalesce(sum(own), 0) FROM node WHERE reached >> position & 1 = 1))::bigint
    FROM (SELECT coalesce(sum(units) FILTER (WHERE member >> bit::int & 1 = 0), 0) AS outside, coalesce(bit_or(shares) FILTER (WHERE member >> bit::int & 1 = 1), 0) AS reached
        FROM generate_series(0, (1 << (SELECT count(*)::int FROM numbered)) - 1) member LEFT JOIN numbered ON true GROUP BY member) s $f$;

CREATE FUNCTION pg_temp.disagreements(step int) RETURNS SETOF text LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    there  boolean := pg_temp.model_tree();
    one    record;
    share  int;
    draw   bigint;
    free   bigint;
    grants bigint;
BEGIN
    IF there AND (SELECT sum(own) FROM node) <> (SELECT part FROM node WHERE position = 0) THEN
        RETURN NEXT 'the model lost units';
    END IF;
    FOR one IN
        SELECT c.channel_id, c.code, (SELECT coalesce(sum(available), 0) FROM oms.available('A', c.code)) AS single,
               (SELECT quantity FROM oms.available_many(c.code, ARRAY['A'])) AS many, (SELECT coalesce(sum(quantity), 0) FROM oms.explain_available('A', c.code)) AS explained
        FROM oms.channels c
    LOOP
        share := coalesce((SELECT n.position FROM node n WHERE n.channel_id = one.channel_id), 0);
        draw := CASE WHEN there THEN pg_temp.most(share, 100000) - pg_temp.most(share, 0) ELSE 100000 END;
        free := (SELECT coalesce(sum(greatest(0, s.on_hand - s.safety - s.reserved + coalesce(h.units, 0) - coalesce((SELECT max(q.safety) FROM oms.channel_quotas q WHERE q.channel_id = one.channel_id), 0))), 0)
            FROM oms.stock s JOIN oms.locations l USING (location_id) LEFT JOIN (SELECT x.location_id, sum(x.quantity) AS units FROM oms.reservation_lines x JOIN oms.reservations r USING (reservation_id)
                WHERE r.expires_at <= oms.current_time() GROUP BY 1) h USING (location_id)
            WHERE l.active AND (l.code <> 'west' OR one.code IN ('shop', 'web')));
        free := least(free, (SELECT q.cap - q.used - (SELECT coalesce(sum(x.quantity), 0) FROM oms.reservation_lines x JOIN oms.reservations r USING (reservation_id) WHERE r.channel_id = one.channel_id
            AND r.expires_at > oms.current_time()) FROM oms.channel_quotas q WHERE q.channel_id = one.channel_id AND q.cap IS NOT NULL));
        INSERT INTO seen VALUES (step, one.code, draw, free);
        IF one.single IS DISTINCT FROM least(draw, free) OR one.single <> one.many OR one.single <> one.explained THEN
            RETURN NEXT format('%s: available %s, available_many %s, explained %s; model: draw %s, free %s', one.code, one.single, one.many, one.explained, draw, free);
        END IF;
        grants := NULL;
        BEGIN
            grants := (oms.reserve('[{"sku":"A","quantity":1000000}]', '1 hour', one.code, partial => true) #>> '{lines,0,granted}')::bigint;
            RAISE EXCEPTION USING ERRCODE = 'XX999';
        EXCEPTION WHEN SQLSTATE 'XX999' THEN NULL;
        END;
        IF grants IS DISTINCT FROM one.single THEN
            RETURN NEXT format('%s: available %s, a cart gets %s', one.code, one.single, grants);
        END IF;
    END LOOP;
END $f$;

CREATE FUNCTION pg_temp.step(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    operation text := pg_temp.some('tree', 'tree', 'tree', 'no_tree', 'quota', 'receive', 'receive', 'receive', 'receive', 'adjust', 'count', 'limits', 'reserve', 'reserve', 'reserve', 'release_cart',
        'place', 'place', 'place', 'place', 'place', 'two', 'draft', 'buy', 'edit', 'edit', 'cancel', 'ship', 'ship', 'fill', 'fill', 'outage');
    call  text;
    fault record;
BEGIN
    PERFORM set_config('oms.clock', (timestamptz '2026-03-02 06:00+00' + number * interval '17 minutes')::text, true);
    call := pg_temp.call_of(operation, number);
    IF call IS NULL OR call LIKE '%(, %' OR call LIKE '%order()' OR call LIKE '%reservation()' THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE call;
        INSERT INTO trace VALUES (number, operation, '00000', NULL);
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO trace VALUES (number, operation, SQLSTATE, SQLERRM);
        IF SQLSTATE NOT IN ('OM001', 'OM002', 'OM006', 'OM008') THEN
            INSERT INTO breach VALUES (number, call, SQLSTATE || ' ' || SQLERRM);
        END IF;
    END;
    FOR fault IN SELECT * FROM oms.audit() LOOP
        INSERT INTO breach VALUES (number, call, format('%s %s: expected %s, found %s', fault.check, fault.object, fault.expected, fault.found));
    END LOOP;
    INSERT INTO breach SELECT number, call, d FROM pg_temp.disagreements(number) d;
END
$f$;

SELECT count(pg_temp.step(n)::text) AS ready FROM generate_series(1, 150) n \gset

SELECT is_empty('SELECT step, left(call, 400), left(what, 300) FROM breach ORDER BY step LIMIT 8', 'every channel has what the model says, and audit() is empty');
SELECT cmp_ok((SELECT count(*) FROM seen WHERE draw < free), '>', 80::bigint, 'shares decide often');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate = '00000'), '>', 70::bigint, 'many calls succeed');
SELECT cmp_ok((SELECT count(DISTINCT operation) FROM trace WHERE sqlstate = '00000'), '>', 14::bigint, 'nearly every kind of call succeeds');
SELECT * FROM finish();
ROLLBACK;
