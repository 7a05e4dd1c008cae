-- Random supplies, orders, cancellations, moves and days against a plain model of what is promised for when: units stand in a row
-- in the order in which they come, promises in the order of their dates, and the k-th unit promised has the k-th unit that comes.
-- A promise may be made for a day if nobody in that row then waits longer.  After every call the model says what each date is, what
-- available, available_many, explain_available and available_by_date say for some day, and what an order for that day gets.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(6);
SELECT setseed(coalesce(nullif(current_setting('oms_test.seed', true), ''), '0.6')::float8) IS NULL AS ready \gset
SET timezone = 'UTC';

SELECT oms.upsert_channels('[{"code":"default","backorder":true}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_locations('[{"code":"north","rank":1},{"code":"south","rank":2},{"code":"default","active":false}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_items('[{"sku":"A"},{"sku":"B"}]') IS NOT NULL AS ready \gset

CREATE TEMPORARY TABLE counters (place text, sku text, on_hand int NOT NULL DEFAULT 0, own_limit int NOT NULL DEFAULT 0, safety int NOT NULL DEFAULT 0, PRIMARY KEY (place, sku));
CREATE TEMPORARY TABLE supplies (supply_id bigint PRIMARY KEY, place text, sku text, open int NOT NULL, due timestamptz NOT NULL, reference text);
-- One row per order and item: units that are firm, and those that wait, until when (infinity: nobody knows).
CREATE TEMPORARY TABLE promises (order_id bigint, place text, sku text, firm int NOT NULL, waits int NOT NULL, due timestamptz, PRIMARY KEY (order_id, sku));
CREATE TEMPORARY TABLE trace (step int, operation text, sqlstate text);
CREATE TEMPORARY TABLE breach (step int, call text, what text);
INSERT INTO counters (place, sku) SELECT l, s FROM unnest(ARRAY['north', 'south']) l, unnest(ARRAY['A', 'B']) s;

CREATE FUNCTION pg_temp.up_to(n int) RETURNS int LANGUAGE sql VOLATILE AS $f$ SELECT 1 + floor(random() * n)::int $f$;
CREATE FUNCTION pg_temp.some(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $f$ SELECT choices[pg_temp.up_to(cardinality(choices))] $f$;

-- The units of a counter in the order in which they come; late supplies come now, and what lacks of the safety comes off first.
CREATE FUNCTION pg_temp.units(at_place text, item text) RETURNS TABLE (k bigint, comes timestamptz) LANGUAGE sql STABLE AS $f$
    SELECT * FROM (SELECT row_number() OVER (ORDER BY x.comes) - (SELECT greatest(0, safety - on_hand) FROM counters WHERE place = at_place AND sku = item) AS k, x.comes FROM (
        SELECT oms.current_time() AS comes FROM counters c, generate_series(1, c.on_hand - c.safety) WHERE place = at_place AND sku = item
        UNION ALL SELECT greatest(due, oms.current_time()) FROM supplies s, generate_series(1, s.open)
        WHERE place = at_place AND sku = item AND due >= oms.current_time() - interval '4 days') x) y WHERE y.k > 0
$f$;

-- What is promised of them, unit by unit, the firm first, then in the order of dates.  had_at is when its unit comes.
CREATE FUNCTION pg_temp.row_of(at_place text, item text) RETURNS TABLE (k bigint, order_id bigint, waits boolean, due timestamptz, had_at timestamptz) LANGUAGE sql STABLE AS $f$
    SELECT x.k, x.order_id, x.waits, x.due, coalesce(u.comes, 'infinity') FROM (
        SELECT row_number() OVER (ORDER BY y.waits, y.due, y.order_id) AS k, y.* FROM (
            SELECT p.order_id, false AS waits, oms.current_time() AS due FROM promises p, generate_series(1, p.firm) WHERE place = at_place AND sku = item
            UNION ALL SELECT p.order_id, true, p.due FROM promises p, generate_series(1, p.waits) WHERE place = at_place AND sku = item) y) x
    LEFT JOIN pg_temp.units(at_place, item) u USING (k)
$f$;

-- Whether units more can be promised for a moment, beside some more that are firm from now on: then everybody else in the
-- row still has a unit when it is needed, or when it would have come anyway.
CREATE FUNCTION pg_temp.may_promise(at_place text, item text, firm_too int, wanted int, moment timestamptz) RETURNS boolean LANGUAGE sql STABLE AS $f$
    WITH taken AS (
        SELECT row_number() OVER (ORDER BY x.late, x.old DESC) AS k, x.late FROM (
            SELECT greatest(r.due, r.had_at) AS late, true AS old FROM pg_temp.row_of(at_place, item) r
            UNION ALL SELECT oms.current_time(), true FROM generate_series(1, firm_too)
            UNION ALL SELECT greatest(moment, oms.current_time()), false FROM generate_series(1, wanted)) x)
    SELECT bool_and(u.comes IS NOT NULL AND u.comes <= t.late) FROM taken t LEFT JOIN pg_temp.units(at_place, item) u USING (k)
$f$;

CREATE FUNCTION pg_temp.promised(at_place text, item text) RETURNS int LANGUAGE sql STABLE AS $f$
    SELECT coalesce(sum(firm + waits), 0)::int FROM promises WHERE place = at_place AND sku = item
$f$;
CREATE FUNCTION pg_temp.limit_of(at_place text, item text) RETURNS int LANGUAGE sql STABLE AS $f$
    SELECT own_limit + (SELECT coalesce(sum(open), 0) FROM supplies s WHERE s.place = c.place AND s.sku = c.sku)::int FROM counters c WHERE place = at_place AND sku = item
$f$;
CREATE FUNCTION pg_temp.free(at_place text, item text) RETURNS int LANGUAGE sql STABLE AS $f$
    SELECT greatest(0, on_hand - safety - pg_temp.promised(at_place, item)) FROM counters WHERE place = at_place AND sku = item
$f$;
CREATE FUNCTION pg_temp.headroom(at_place text, item text) RETURNS int LANGUAGE sql STABLE AS $f$
    SELECT greatest(0, least(on_hand + pg_temp.limit_of(at_place, item) - pg_temp.promised(at_place, item) - pg_temp.free(at_place, item), pg_temp.limit_of(at_place, item)))
    FROM counters WHERE place = at_place AND sku = item
$f$;

-- Units that can be promised until a moment: one promise, for the moment that allows most.
CREATE FUNCTION pg_temp.available(at_place text, item text, until timestamptz) RETURNS int LANGUAGE plpgsql STABLE AS $f$
DECLARE
    free int := pg_temp.free(at_place, item);
    most int := pg_temp.headroom(at_place, item);
    best int := 0;
BEGIN
    IF until > oms.current_time() THEN
        WHILE best < most AND EXISTS (SELECT FROM (SELECT DISTINCT comes FROM pg_temp.units(at_place, item) WHERE comes <= until) c
                                      WHERE pg_temp.may_promise(at_place, item, free, best + 1, c.comes))
              AND EXISTS (SELECT FROM supplies WHERE place = at_place AND sku = item AND open > 0 AND due >= oms.current_time() - interval '4 days') LOOP
            best := best + 1;
        END LOOP;
    END IF;
    RETURN free + best;
END $f$;

-- The first moment for which units can be promised; infinity where there is none.
CREATE FUNCTION pg_temp.date_of(at_place text, item text, firm_too int, wanted int) RETURNS timestamptz LANGUAGE sql STABLE AS $f$
    SELECT coalesce(min(comes), 'infinity') FROM (SELECT DISTINCT comes FROM pg_temp.units(at_place, item)) u
    WHERE pg_temp.may_promise(at_place, item, firm_too, wanted, comes)
      AND EXISTS (SELECT FROM supplies WHERE place = at_place AND sku = item AND open > 0 AND due >= oms.current_time() - interval '4 days')
$f$;

-- What supplies that changed do to those that wait: an order waits for all its items, so for the last of their dates.
CREATE FUNCTION pg_temp.redate(at_place text, items text[]) RETURNS void LANGUAGE sql AS $f$
    UPDATE promises p SET due = n.due FROM (
        SELECT order_id, max(had_at) AS due FROM promises q CROSS JOIN LATERAL (SELECT max(r.had_at) AS had_at FROM pg_temp.row_of(q.place, q.sku) r WHERE r.order_id = q.order_id AND r.waits) x
        WHERE q.place = at_place AND q.waits > 0 AND q.order_id IN (SELECT order_id FROM promises WHERE place = at_place AND sku = ANY (items) AND waits > 0)
        GROUP BY order_id) n
    WHERE p.order_id = n.order_id AND p.waits > 0 AND p.due <> n.due AND (p.due > oms.current_time() OR n.due > oms.current_time())
$f$;

-- What the extension says of the promises.
CREATE VIEW real AS
    SELECT a.order_id, l.code AS place, i.sku, coalesce(sum(a.promised - a.shipped - a.cancelled) FILTER (WHERE NOT f.backordered), 0)::int AS firm,
           coalesce(sum(a.promised - a.shipped - a.cancelled) FILTER (WHERE f.backordered), 0)::int AS waits,
           max(coalesce(f.supplied_at, 'infinity')) FILTER (WHERE f.backordered AND a.promised > a.shipped + a.cancelled) AS due
    FROM oms.allocations a JOIN oms.fulfillments f USING (fulfillment_id) JOIN oms.items i USING (item_id) JOIN oms.locations l ON l.location_id = a.location_id
    WHERE a.promised > a.shipped + a.cancelled GROUP BY 1, 2, 3;

-- Where promises are withdrawn, or given to units that are free, the extension chooses which; the dates are still the model's.
CREATE FUNCTION pg_temp.take_over() RETURNS void LANGUAGE sql AS $f$
    DELETE FROM promises p WHERE NOT EXISTS (SELECT FROM real r WHERE r.order_id = p.order_id AND r.sku = p.sku);
    UPDATE promises p SET firm = r.firm, waits = r.waits, due = CASE WHEN r.waits > 0 THEN coalesce(p.due, r.due) END FROM real r WHERE r.order_id = p.order_id AND r.sku = p.sku;
    INSERT INTO promises SELECT r.* FROM real r WHERE NOT EXISTS (SELECT FROM promises p WHERE p.order_id = r.order_id AND p.sku = r.sku)
$f$;

-- An order of one or two items at one place: what it must get, or null where there is not enough.
CREATE FUNCTION pg_temp.place(number int, at_place text, first int, second int) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    possible boolean := pg_temp.free(at_place, 'A') + pg_temp.headroom(at_place, 'A') >= first AND pg_temp.free(at_place, 'B') + pg_temp.headroom(at_place, 'B') >= second;
    expected record;
    answer   jsonb;
    id       bigint;
BEGIN
    SELECT max(CASE WHEN n > firm THEN pg_temp.date_of(at_place, sku, firm, n - firm) END) AS due INTO expected
    FROM (SELECT sku, n, least(n, pg_temp.free(at_place, sku)) AS firm FROM (VALUES ('A', first), ('B', second)) v(sku, n) WHERE n > 0) w;
    BEGIN
        answer := oms.place_order(jsonb_build_object('external_ref', 'o' || number, 'lines', (SELECT jsonb_agg(jsonb_build_object('sku', sku, 'quantity', n, 'location', at_place))
            FROM (VALUES ('A', first), ('B', second)) v(sku, n) WHERE n > 0)));
    EXCEPTION WHEN SQLSTATE 'OM001' THEN
        RETURN CASE WHEN possible THEN format('refused, though %s and %s can be promised: %s', first, second, SQLERRM) END;
    END;
    IF NOT possible THEN
        RETURN 'placed, though the units are not there';
    END IF;
    id := (answer ->> 'order_id')::bigint;
    INSERT INTO promises SELECT id, at_place, sku, firm, n - firm, CASE WHEN n > firm THEN expected.due END
        FROM (SELECT sku, n, least(n, pg_temp.free(at_place, sku)) AS firm FROM (VALUES ('A', first), ('B', second)) v(sku, n) WHERE n > 0) w;
    RETURN NULL;
END $f$;

-- What waits becomes firm in the order of the row, as far as on hand reaches; then units that lost their promise take what is free.
CREATE FUNCTION pg_temp.fill() RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    fault text;
BEGIN
    UPDATE promises p SET firm = firm + n, waits = waits - n, due = CASE WHEN waits > n THEN due END FROM (
        SELECT c.place, c.sku, r.order_id, count(*)::int AS n FROM counters c CROSS JOIN LATERAL (SELECT * FROM pg_temp.row_of(c.place, c.sku) r WHERE r.waits AND r.k <= c.on_hand - c.safety) r
        GROUP BY 1, 2, 3) x WHERE p.order_id = x.order_id AND p.sku = x.sku;
    PERFORM oms.fill_backorders();
    SELECT format('order %s of %s: model %s firm, %s wait; real %s, %s', p.order_id, p.sku, p.firm, p.waits, r.firm, r.waits) INTO fault
    FROM promises p LEFT JOIN real r USING (order_id, sku) WHERE r.waits IS DISTINCT FROM p.waits OR r.firm < p.firm LIMIT 1;
    PERFORM pg_temp.take_over();
    RETURN fault;
END $f$;

CREATE FUNCTION pg_temp.step_of(operation text, number int) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    at_place text := pg_temp.some('north', 'south');
    item     text := pg_temp.some('A', 'B');
    units    int := pg_temp.up_to(6);
    moment   timestamptz := date_trunc('hour', oms.current_time()) + pg_temp.up_to(12) * interval '17 hours';
    supply   supplies := (SELECT s FROM supplies s WHERE open > 0 ORDER BY random() LIMIT 1);
    one      bigint := (SELECT order_id FROM promises ORDER BY random() LIMIT 1);
BEGIN
    CASE operation
    WHEN 'receive' THEN
        units := 1 + units % 3;
        PERFORM oms.receive_stock(at_place, item, units);
        UPDATE counters SET on_hand = on_hand + units WHERE place = at_place AND sku = item;
    WHEN 'limits' THEN
        PERFORM oms.set_stock_limits(at_place, item, safety => units % 3, backorder_limit => units);
        UPDATE counters SET safety = units % 3, own_limit = units WHERE place = at_place AND sku = item;
    WHEN 'expect' THEN
        INSERT INTO supplies VALUES (oms.expect_supply(at_place, item, units, moment, 's' || number), at_place, item, units, moment, 's' || number);
        PERFORM pg_temp.redate(at_place, ARRAY[item]);
    WHEN 'move' THEN
        IF supply.supply_id IS NULL THEN RETURN NULL; END IF;
        PERFORM oms.expect_supply(supply.place, supply.sku, quantity, moment, supply.reference) FROM oms.supplies WHERE supply_id = supply.supply_id;
        UPDATE supplies SET due = moment WHERE supply_id = supply.supply_id;
        PERFORM pg_temp.redate(supply.place, ARRAY[supply.sku]);
    WHEN 'shrink' THEN
        IF supply.supply_id IS NULL OR supply.open < 2 THEN RETURN NULL; END IF;
        PERFORM oms.expect_supply(supply.place, supply.sku, quantity - 1, moment, supply.reference) FROM oms.supplies WHERE supply_id = supply.supply_id;
        UPDATE supplies SET due = moment, open = open - 1 WHERE supply_id = supply.supply_id;
        PERFORM pg_temp.take_over();
        PERFORM pg_temp.redate(supply.place, ARRAY[supply.sku]);
    WHEN 'cancel_supply' THEN
        IF supply.supply_id IS NULL THEN RETURN NULL; END IF;
        PERFORM oms.cancel_supply(supply.supply_id);
        UPDATE supplies SET open = 0 WHERE supply_id = supply.supply_id;
        PERFORM pg_temp.take_over();
        PERFORM pg_temp.redate(supply.place, ARRAY[supply.sku]);
    WHEN 'receive_supply' THEN
        IF supply.supply_id IS NULL THEN RETURN NULL; END IF;
        units := least(units, supply.open);
        PERFORM oms.receive_supply(supply.supply_id, units);
        UPDATE supplies SET open = open - units WHERE supply_id = supply.supply_id;
        UPDATE counters SET on_hand = on_hand + units WHERE place = supply.place AND sku = supply.sku;
    WHEN 'place' THEN
        RETURN pg_temp.place(number, at_place, CASE item WHEN 'A' THEN units ELSE 0 END, CASE item WHEN 'B' THEN units ELSE 0 END);
    WHEN 'place_both' THEN
        RETURN pg_temp.place(number, at_place, pg_temp.up_to(4), pg_temp.up_to(4));
    WHEN 'cancel' THEN
        IF one IS NULL THEN RETURN NULL; END IF;
        PERFORM oms.cancel_order(one);
        DELETE FROM promises WHERE order_id = one;
    WHEN 'fill' THEN
        RETURN pg_temp.fill();
    WHEN 'date' THEN
        PERFORM oms.date_backorders();
        PERFORM pg_temp.redate(p, ARRAY['A', 'B']) FROM unnest(ARRAY['north', 'south']) p;
    END CASE;
    RETURN NULL;
END $f$;

-- Everything that is said of a day, and what an order for just that, and for one more, gets.
CREATE FUNCTION pg_temp.disagreements(number int) RETURNS SETOF text LANGUAGE plpgsql AS $f$
DECLARE
    moment timestamptz := oms.current_time() + pg_temp.up_to(14) * interval '13 hours';
    c      counters;
    wanted int;
    said   bigint;
    latest timestamptz;
BEGIN
    RETURN QUERY SELECT format('order %s of %s: model %s, real %s', coalesce(p.order_id, r.order_id), coalesce(p.sku, r.sku), to_jsonb(p), to_jsonb(r))
        FROM promises p FULL JOIN real r USING (order_id, sku, place, firm, waits) WHERE p.order_id IS NULL OR r.order_id IS NULL OR p.due IS DISTINCT FROM r.due;
    FOR c IN SELECT * FROM counters ORDER BY random() LIMIT 2 LOOP
        wanted := pg_temp.available(c.place, c.sku, moment);
        said := (SELECT coalesce(sum(available), 0) FROM oms.available(c.sku, 'default', c.place, moment));
        IF said <> wanted THEN
            RETURN NEXT format('%s at %s for %s: model %s, available %s', c.sku, c.place, moment, wanted, said);
        END IF;
        IF EXISTS (SELECT FROM oms.available_by_date(c.sku, 'default', c.place) d WHERE d.at <> 'infinity'
                   AND d.available <> (SELECT sum(available) FROM oms.available(c.sku, 'default', c.place, d.at))) THEN
            RETURN NEXT format('%s at %s: available_by_date is not available', c.sku, c.place);
        END IF;
        FOR units IN greatest(1, wanted) .. wanted + 1 LOOP
            BEGIN
                SELECT max(CASE WHEN (f ->> 'backordered')::boolean THEN coalesce((f ->> 'ship_by')::timestamptz, 'infinity') ELSE oms.current_time() END) INTO latest
                FROM oms.preview_order(jsonb_build_object('external_ref', 'x', 'lines', jsonb_build_array(jsonb_build_object('sku', c.sku, 'quantity', units, 'location', c.place)))) p,
                     jsonb_array_elements(p -> 'fulfillments') f;
            EXCEPTION WHEN SQLSTATE 'OM001' THEN
                latest := 'infinity';
            END;
            IF (latest <= moment) <> (units <= wanted) THEN
                RETURN NEXT format('%s of %s at %s for %s: available are %s, an order is for %s', units, c.sku, c.place, moment, wanted, latest);
            END IF;
        END LOOP;
    END LOOP;
    RETURN QUERY SELECT format('%s for %s: available %s, many %s, explained %s', i.sku, moment, a.n, m.n, e.n) FROM oms.items i,
        LATERAL (SELECT coalesce(sum(available), 0) AS n FROM oms.available(i.sku, 'default', needed_by => moment)) a, LATERAL (SELECT quantity AS n FROM oms.available_many('default', ARRAY[i.sku], moment)) m,
        LATERAL (SELECT coalesce(sum(quantity), 0) AS n FROM oms.explain_available(i.sku, 'default', moment)) e WHERE a.n IS DISTINCT FROM m.n OR a.n IS DISTINCT FROM e.n;
END $f$;

CREATE FUNCTION pg_temp.step(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    operation text := pg_temp.some('receive', 'limits', 'expect', 'expect', 'expect', 'expect', 'move', 'move', 'move', 'shrink', 'shrink', 'cancel_supply', 'receive_supply', 'place', 'place', 'place',
                                   'place', 'place', 'place', 'place', 'place_both', 'place_both', 'place_both', 'cancel', 'cancel', 'fill', 'date');
    fault     text;
BEGIN
    PERFORM set_config('oms.clock', (timestamptz '2026-03-02 06:00+00' + number * interval '67 minutes')::text, true);
    BEGIN
        fault := pg_temp.step_of(operation, number);
        INSERT INTO trace VALUES (number, operation, '00000');
    EXCEPTION WHEN SQLSTATE 'OM001' THEN
        INSERT INTO trace VALUES (number, operation, SQLSTATE);
    END;
    INSERT INTO breach SELECT number, operation, fault WHERE fault IS NOT NULL;
    INSERT INTO breach SELECT number, operation, format('%s %s: expected %s, found %s', a.check, a.object, a.expected, a.found) FROM oms.audit() a;
    INSERT INTO breach SELECT number, operation, d FROM pg_temp.disagreements(number) d;
END $f$;

INSERT INTO oms.atp_rules (tenant_id, overdue_days) VALUES (1, 4);
DO $$
BEGIN
    FOR n IN 1 .. coalesce(nullif(current_setting('oms_test.steps', true), ''), '200')::int LOOP
        PERFORM pg_temp.step(n);
        EXIT WHEN EXISTS (SELECT FROM breach);
    END LOOP;
END $$;

SELECT is_empty('SELECT step, call, left(what, 700) FROM breach LIMIT 10', 'every date and every answer is the model''s');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate = '00000'), '>', 150::bigint, 'many calls succeed');
SELECT cmp_ok((SELECT count(DISTINCT operation) FROM trace WHERE sqlstate = '00000'), '=', 12::bigint, 'every kind of call succeeds');
SELECT cmp_ok((SELECT count(*) FROM oms.events WHERE type = 'fulfillment.redated'), '>', 20::bigint, 'many promises move');
SELECT cmp_ok((SELECT count(*) FROM oms.events WHERE type = 'fulfillment.promise_withdrawn'), '>', 0::bigint, 'some are withdrawn');
SELECT cmp_ok((SELECT count(*) FROM oms.fulfillments WHERE backordered AND supplied_at > planned_at), '>', 15::bigint, 'many are made for a later day');
SELECT * FROM finish();
ROLLBACK;
