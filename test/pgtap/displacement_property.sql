-- Random orders of random priorities compete for one item; a plain model says who is placed, and how many units are taken from whom.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(6);

SET LOCAL timezone = 'UTC';
SET LOCAL oms.clock = '2026-03-02 08:00+00';
SELECT oms.upsert_channels('[{"code":"low"},{"code":"never"},{"code":"keep_date","displacement":"keep_date"},{"code":"always","displacement":"always"}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_items('[{"sku":"A","price":1}]') IS NOT NULL AS ready \gset
-- Two locations for all, and one for orders of channel low only: what they can move to.
SELECT oms.upsert_locations('[{"code":"t1","channels":[{"channel":"low"},{"channel":"never"},{"channel":"keep_date"},{"channel":"always"}]},
    {"code":"t2","channels":[{"channel":"low"},{"channel":"never"},{"channel":"keep_date"},{"channel":"always"}]},{"code":"o","rank":500,"channels":[{"channel":"low"}]}]') IS NOT NULL AS ready \gset

CREATE TEMPORARY TABLE breach (step int, what text);
CREATE TEMPORARY TABLE trace (step int, channel text, outcome text, taken int);

-- What may be taken, by the rules and nothing else.
CREATE FUNCTION pg_temp.takeable(of_priority int) RETURNS TABLE (order_id bigint, priority int, units int, movable boolean) LANGUAGE sql AS $f$
    SELECT o.order_id, o.priority, sum(a.promised - a.shipped - a.cancelled)::int, c.code = 'low'
    FROM oms.allocations a JOIN oms.fulfillments f USING (fulfillment_id) JOIN oms.orders o ON o.order_id = a.order_id JOIN oms.channels c USING (channel_id)
    JOIN oms.locations l ON l.location_id = a.location_id
    WHERE l.code IN ('t1', 't2') AND f.status = 'planned' AND NOT f.backordered AND o.priority < of_priority AND a.promised > a.shipped + a.cancelled
        AND NOT EXISTS (SELECT FROM oms.holds h WHERE h.order_id = o.order_id AND h.released_at IS NULL)
    GROUP BY o.order_id, o.priority, c.code $f$;

CREATE FUNCTION pg_temp.free(codes text[]) RETURNS int LANGUAGE sql AS $f$
    SELECT coalesce(sum(greatest(s.on_hand - s.reserved, 0)), 0)::int FROM oms.stock s JOIN oms.locations l USING (location_id) WHERE l.code = ANY (codes) $f$;

CREATE FUNCTION pg_temp.place(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    channel  text := (ARRAY['low', 'low', 'low', 'never', 'keep_date', 'keep_date', 'always'])[1 + floor(random() * 7)::int];
    rank     int := floor(random() * 7)::int - CASE channel WHEN 'low' THEN 3 ELSE 1 END;
    wanted   int := 1 + floor(random() * 4)::int;
    document jsonb := jsonb_build_object('channel', channel, 'external_ref', 'o' || number, 'priority', rank, 'lines', jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', wanted)));
    free     int := pg_temp.free(CASE channel WHEN 'low' THEN ARRAY['t1', 't2', 'o'] ELSE ARRAY['t1', 't2'] END);
    elsewhere int := pg_temp.free(ARRAY['o']);
    before   jsonb := (SELECT coalesce(jsonb_object_agg(order_id, jsonb_build_array(priority, units)), '{}') FROM pg_temp.takeable(rank));
    more     int := CASE channel WHEN 'always' THEN (SELECT coalesce(sum(units), 0) FROM pg_temp.takeable(rank))
                                 WHEN 'keep_date' THEN (SELECT least(coalesce(sum(units) FILTER (WHERE movable), 0), elsewhere) FROM pg_temp.takeable(rank)) ELSE 0 END;
    said     jsonb;
    done     jsonb;
    taken    int := 0;
    victim   record;
BEGIN
    BEGIN
        said := oms.preview_order(document);
    EXCEPTION WHEN SQLSTATE 'OM001' THEN
        said := 'null';
    END;
    BEGIN
        done := oms.place_order(document);
    EXCEPTION WHEN SQLSTATE 'OM001' THEN
        done := 'null';
    END;
    IF (said -> 'displaced', said -> 'fulfillment_status') IS DISTINCT FROM (done -> 'displaced', done -> 'fulfillment_status') THEN
        INSERT INTO breach VALUES (number, format('the preview said %s, then came %s', said, done));
    END IF;
    IF (done <> 'null') IS DISTINCT FROM (wanted <= free + more) THEN
        INSERT INTO breach VALUES (number, format('%s wanted %s of %s free and %s of others: %s', channel, wanted, free, more, done));
    END IF;
    FOR victim IN SELECT (d -> 'order_id')::bigint AS order_id, (d -> 'waiting')::int AS waiting, (l -> 'quantity')::int AS units
        FROM jsonb_array_elements(done -> 'displaced') d, jsonb_array_elements(d -> 'lines') l LOOP
        taken := taken + victim.units;
        IF before -> victim.order_id::text IS NULL THEN
            INSERT INTO breach VALUES (number, format('order %s was not to be displaced', victim.order_id));
        END IF;
        IF channel = 'keep_date' AND victim.waiting > 0 THEN
            INSERT INTO breach VALUES (number, format('order %s does not keep its date', victim.order_id));
        END IF;
    END LOOP;
    IF done <> 'null' AND taken <> greatest(0, wanted - free) THEN
        INSERT INTO breach VALUES (number, format('%s of %s with %s free took %s of others', channel, wanted, free, taken));
    END IF;
    -- Where nobody can move, nobody gives way of whom a lower one does not.
    IF taken > 0 AND elsewhere = 0 AND (SELECT max((before -> (d ->> 'order_id') -> 0)::int) FROM jsonb_array_elements(done -> 'displaced') d) >
        (SELECT min(t.priority) FROM pg_temp.takeable(rank) t WHERE before ? t.order_id::text) THEN
        INSERT INTO breach VALUES (number, format('a lower priority than those displaced was left: %s', done));
    END IF;
    INSERT INTO trace VALUES (number, channel, CASE WHEN done = 'null' THEN 'refused' ELSE 'placed' END, taken);
END $f$;

CREATE FUNCTION pg_temp.step(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    chance float := random();
    fault  record;
BEGIN
    PERFORM set_config('oms.clock', (timestamptz '2026-03-02 08:00+00' + number * interval '1 minute')::text, true);
    -- From half of it on, counts promise anew what they withdraw.
    IF number = 350 THEN
        INSERT INTO oms.backorder_rules (tenant_id, withdrawn, withdraw_order) VALUES (1, 'replan', 'lowest_priority');
    END IF;
    BEGIN
        IF chance < 0.16 THEN
            PERFORM oms.receive_stock((ARRAY['t1', 't2', 'o', 'o'])[1 + floor(random() * 4)::int], 'A', 1 + floor(random() * 3)::int);
        ELSIF chance < 0.22 THEN
            PERFORM oms.release_fulfillment((SELECT fulfillment_id FROM oms.fulfillments WHERE status = 'planned' AND NOT backordered ORDER BY random() LIMIT 1));
        ELSIF chance < 0.28 THEN
            PERFORM oms.cancel_order((SELECT order_id FROM oms.orders WHERE status = 'placed' ORDER BY random() LIMIT 1));
        ELSIF chance < 0.31 THEN
            PERFORM oms.hold_order((SELECT order_id FROM oms.orders WHERE status = 'placed' ORDER BY random() LIMIT 1), 'manual', line_no => 1);
        ELSIF chance < 0.38 THEN
            PERFORM count(*) FROM oms.fill_backorders(order_by => (ARRAY['date', 'priority', 'first_come'])[1 + floor(random() * 3)::int]);
        ELSIF chance < 0.42 THEN
            PERFORM oms.count_stock((ARRAY['t1', 't2', 'o'])[1 + floor(random() * 3)::int], 'A', floor(random() * 6)::int);
        ELSE
            PERFORM pg_temp.place(number);
        END IF;
    EXCEPTION WHEN SQLSTATE 'OM006' OR SQLSTATE 'OM004' OR SQLSTATE 'OM002' THEN
        NULL;   -- nothing there to choose, held, or over
    END;
    IF number % 10 = 0 THEN
        FOR fault IN SELECT * FROM oms.audit() LOOP
            INSERT INTO breach VALUES (number, format('%s %s: expected %s, found %s', fault.check, fault.object, fault.expected, fault.found));
        END LOOP;
    END IF;
END $f$;

SELECT setseed(0.41) IS NULL AS ready \gset
SELECT count(pg_temp.step(n)::text) AS ready FROM generate_series(1, 700) n \gset

SELECT is_empty('SELECT * FROM breach ORDER BY step LIMIT 10', 'placing and previews do what the model says, and audit stays empty');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE channel = 'keep_date' AND taken > 0), '>', 3::bigint, 'some take where others keep their date');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE channel = 'always' AND taken > 0), '>', 10::bigint, 'many take always');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE outcome = 'refused'), '>', 30::bigint, 'many are refused');
SELECT is((SELECT sum(taken) FROM trace)::int, (SELECT sum((l -> 'quantity')::int) FROM oms.events, jsonb_array_elements(data -> 'lines') l WHERE type = 'order.displaced')::int,
    'every unit taken stands in an event of its order');
SELECT ok((SELECT max(overtaken) FROM oms.orders) <= 3, 'nobody is overtaken more often than the bound');
SELECT * FROM finish();
ROLLBACK;
