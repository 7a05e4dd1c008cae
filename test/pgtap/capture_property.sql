-- Random orders that ship and are released piece by piece, with cancellations, edits and grants between: after every step what was captured and
-- asked for is what a plain model says that the units cost which have gone, and in the end it is the order's total less what was granted.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(8);

SET LOCAL timezone = 'UTC';
SET LOCAL oms.clock = '2026-03-02 08:00+00';
SELECT setseed(0.53) IS NULL AS ready \gset
SELECT oms.upsert_channels('[{"code":"default"},{"code":"yen","currency":"JPY"},{"code":"dinar","currency":"KWD","capture_order":"proportional"},
    {"code":"released","capture":"release","capture_order":"newest"}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_items('[{"sku":"A"},{"sku":"B"},{"sku":"C"},{"sku":"SET","kind":"kit","components":[{"sku":"A","quantity":1},{"sku":"B","quantity":2}]},
    {"sku":"BOX","kind":"kit","may_break":true,"components":[{"sku":"B","quantity":3},{"sku":"C","quantity":1}]}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_locations('[{"code":"default"},{"code":"other"}]') IS NOT NULL AS ready \gset
SELECT count(oms.receive_stock(l, s, 100000)) AS ready FROM unnest(ARRAY['default', 'other']) l, unnest(ARRAY['A', 'B', 'C']) s \gset
CREATE TEMPORARY TABLE breach (order_id bigint, step text, what text);
CREATE TEMPORARY TABLE done (order_id bigint, step text, amount numeric);

CREATE FUNCTION pg_temp.up_to(most int) RETURNS int LANGUAGE sql VOLATILE AS $f$ SELECT floor(random() * (most + 1))::int $f$;
CREATE FUNCTION pg_temp.chance(share float8) RETURNS boolean LANGUAGE sql VOLATILE AS $f$ SELECT random() < share $f$;
CREATE FUNCTION pg_temp.digits(currency text) RETURNS int LANGUAGE sql IMMUTABLE AS $f$ SELECT CASE currency WHEN 'JPY' THEN 0 WHEN 'KWD' THEN 3 ELSE 2 END $f$;
CREATE FUNCTION pg_temp.amount(currency text, most int) RETURNS numeric LANGUAGE sql VOLATILE AS $f$
    SELECT pg_temp.up_to(most * 100) / 10.0 ^ pg_temp.digits(currency) $f$;
CREATE FUNCTION pg_temp.price(currency text) RETURNS numeric LANGUAGE sql VOLATILE AS $f$
    SELECT trim_scale((300 + pg_temp.up_to(99999) / 100.0) / 10.0 ^ pg_temp.digits(currency)) $f$;
CREATE FUNCTION pg_temp.to_nearest(amount numeric, currency text) RETURNS numeric LANGUAGE sql IMMUTABLE AS $f$
    SELECT sign(amount) * floor(abs(amount) * 10.0 ^ pg_temp.digits(currency) + 0.5) / 10.0 ^ pg_temp.digits(currency) $f$;

CREATE FUNCTION pg_temp.some_adjustments(currency text, most int, types text[]) RETURNS jsonb LANGUAGE sql VOLATILE AS $f$
    SELECT coalesce(jsonb_agg(CASE WHEN t = 'included' THEN jsonb_build_object('type', 'tax', 'included', true, 'amount', pg_temp.amount(currency, 1))
        ELSE jsonb_build_object('type', t, 'amount', pg_temp.amount(currency, CASE t WHEN 'discount' THEN 1 ELSE 3 END)) END), '[]')
    FROM (SELECT types[1 + pg_temp.up_to(cardinality(types) - 1)] AS t FROM generate_series(1, pg_temp.up_to(most))) x $f$;

CREATE FUNCTION pg_temp.some_order(number int) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    channel text := (ARRAY['default', 'yen', 'dinar', 'released'])[1 + number % 4];
    money   text := (SELECT c.currency FROM oms.channels c WHERE code = channel);
BEGIN
    -- Prices are finer than the currency, some lines free, lines in one or two deliveries.
    RETURN jsonb_build_object('channel', channel, 'external_ref', 'o' || number, 'deliveries', '[{"delivery_no":1},{"delivery_no":2,"ship_to":{"line1":"Way 2","city":"Town","country":"DE"}}]'::jsonb,
        'adjustments', pg_temp.some_adjustments(money, 3, '{discount,tax,included,shipping,fee}'),
        'lines', (SELECT jsonb_agg(jsonb_build_object('sku', sku, 'quantity', 1 + pg_temp.up_to(5), 'delivery_no', 1 + n % 2,
                    'unit_price', CASE WHEN sku IN ('SET', 'BOX') OR pg_temp.chance(0.4) THEN round(3 * pg_temp.price(money), pg_temp.digits(money))
                                       WHEN n > 2 AND pg_temp.chance(0.2) THEN 0 ELSE pg_temp.price(money) END,
                    'adjustments', CASE WHEN pg_temp.chance(0.5) THEN pg_temp.some_adjustments(money, 2, '{discount,tax,tax,included,fee}') ELSE '[]' END))
                  FROM (SELECT (ARRAY['A', 'A', 'B', 'B', 'C', 'SET', 'BOX'])[1 + pg_temp.up_to(6)] AS sku, n FROM generate_series(1, 2 + pg_temp.up_to(3)) n) x),
        'payments', jsonb_build_array(jsonb_build_object('method', 'card', 'amount', pg_temp.amount(money, 30) + 1), jsonb_build_object('method', 'bank', 'amount', 900000)));
END $f$;

-- What an order would cost of which only the units were ordered that have reached its channel's stage (all: that are left).
CREATE FUNCTION pg_temp.cost(id bigint, everything boolean) RETURNS numeric LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    money text := (SELECT currency FROM oms.orders WHERE order_id = id);
    stage text := (SELECT capture FROM oms.orders JOIN oms.channels USING (channel_id) WHERE order_id = id);
    items numeric := 0;
    units int := 0;
    cost  numeric := 0;
    line  record;
    one   record;
BEGIN
    FOR line IN SELECT *, CASE WHEN everything THEN ordered - cancelled WHEN stage = 'release' THEN released ELSE shipped END AS n
                FROM oms.order_lines WHERE order_id = id LOOP
        items := items + pg_temp.to_nearest(line.unit_price * line.n, money);
        units := units + line.n;
        FOR one IN SELECT * FROM oms.order_adjustments WHERE order_id = id AND line_no = line.line_no AND NOT included LOOP
            cost := cost + pg_temp.to_nearest(one.amount * least(line.n, coalesce(one.basis, line.ordered)) / coalesce(one.basis, line.ordered), money);
        END LOOP;
    END LOOP;
    IF units = 0 THEN
        RETURN 0;
    END IF;
    FOR one IN SELECT j.*, coalesce(j.basis, (SELECT sum(amount) FROM oms.order_lines WHERE order_id = id)) AS whole
               FROM oms.order_adjustments j WHERE order_id = id AND line_no IS NULL AND NOT included LOOP
        cost := cost + CASE WHEN one.type IN ('shipping', 'fee') OR one.whole = 0 THEN one.amount ELSE pg_temp.to_nearest(one.amount * least(items, one.whole) / one.whole, money) END;
    END LOOP;
    RETURN cost + items;
END $f$;

-- Captured less paid back, with what is asked for.
CREATE FUNCTION pg_temp.held(id bigint) RETURNS numeric LANGUAGE sql VOLATILE AS $f$
    SELECT coalesce(sum(captured - refunded + capturing - refunding), 0) FROM oms.payment_balances WHERE order_id = id $f$;

CREATE FUNCTION pg_temp.live(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    id      bigint := (oms.place_order(pg_temp.some_order(number)) ->> 'order_id')::bigint;
    money   text := (SELECT currency FROM oms.orders WHERE order_id = id);
    granted numeric := 0;
    before  numeric;
    due     numeric;
    step    text;
    open    record;
    told    int := 0;
BEGIN
    LOOP
        SELECT a.fulfillment_id, f.status, a.line_no, a.promised - a.shipped - a.cancelled AS units INTO open
        FROM oms.allocations a JOIN oms.fulfillments f USING (fulfillment_id) WHERE a.order_id = id AND a.promised > a.shipped + a.cancelled ORDER BY random() LIMIT 1;
        EXIT WHEN NOT FOUND;
        step := CASE WHEN pg_temp.chance(0.07) THEN 'cancel' WHEN pg_temp.chance(0.06) THEN 'edit' WHEN pg_temp.chance(0.04) THEN 'grant' WHEN pg_temp.chance(0.15) THEN 'answer'
                     WHEN open.status = 'planned' THEN 'release' WHEN pg_temp.chance(0.7) THEN 'part' ELSE 'ship' END;
        before := pg_temp.held(id);
        BEGIN
            CASE step
                WHEN 'cancel' THEN PERFORM oms.cancel_order(id, jsonb_build_array(jsonb_build_object('line_no', open.line_no, 'quantity', 1)));
                WHEN 'edit' THEN PERFORM oms.edit_order(id, CASE pg_temp.up_to(3)
                    WHEN 0 THEN jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('line_no', open.line_no, 'unit_price', pg_temp.price(money))))
                    WHEN 1 THEN jsonb_build_object('adjustments', pg_temp.some_adjustments(money, 2, '{discount,tax,shipping}'))
                    WHEN 2 THEN jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('line_no', open.line_no,
                        'quantity', (SELECT ordered - cancelled + 1 FROM oms.order_lines WHERE order_id = id AND line_no = open.line_no))))
                    ELSE jsonb_build_object('add', jsonb_build_array(jsonb_build_object('sku', 'C', 'quantity', 2, 'unit_price', pg_temp.price(money)))) END);
                WHEN 'grant' THEN PERFORM oms.grant_refund(id, 10.0 ^ -pg_temp.digits(money), 'late'); granted := granted + 10.0 ^ -pg_temp.digits(money);
                WHEN 'answer' THEN PERFORM oms.record_payment_event(payment_id, type, amount, 'c' || command_id) FROM oms.payment_commands WHERE order_id = id AND status = 'open';
                WHEN 'release' THEN PERFORM oms.release_fulfillment(open.fulfillment_id);
                WHEN 'part' THEN PERFORM oms.ship_fulfillment(open.fulfillment_id, jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('line_no', open.line_no, 'quantity', 1 + pg_temp.up_to(open.units - 1)))));
                ELSE PERFORM oms.ship_fulfillment(open.fulfillment_id);
            END CASE;
        EXCEPTION WHEN SQLSTATE 'OM002' OR SQLSTATE 'OM009' THEN
            step := step || ' refused';  -- a kit in parts, a total below nothing
        END;
        due := greatest(before, pg_temp.cost(id, false) - granted);
        INSERT INTO done VALUES (id, step, pg_temp.held(id) - before);
        INSERT INTO breach SELECT id, step, format('held %s, not %s', h, due) FROM pg_temp.held(id) h WHERE h IS DISTINCT FROM due
            AND step NOT IN ('cancel', 'grant', 'answer') OR h < before OR h > due;
        told := told + 1;
        IF told > 60 THEN
            RAISE EXCEPTION 'an order that does not end';
        END IF;
    END LOOP;
    INSERT INTO breach SELECT id, 'end', format('total %s, not %s', total, pg_temp.cost(id, true)) FROM oms.orders WHERE order_id = id AND total <> pg_temp.cost(id, true);
    INSERT INTO breach SELECT id, 'end', format('held %s of %s', pg_temp.held(id), total - granted) FROM oms.orders
        WHERE order_id = id AND status <> 'cancelled' AND pg_temp.held(id) < greatest(total - granted, 0);
    INSERT INTO done SELECT id, CASE WHEN pg_temp.held(id) = greatest(total - granted, 0) THEN 'exact' ELSE 'over' END, total FROM oms.orders WHERE order_id = id;
END $f$;

SELECT count(pg_temp.live(n)::text) AS ready FROM generate_series(1, 120) n \gset
SELECT is_empty('SELECT * FROM breach ORDER BY order_id LIMIT 10', 'every step captures what the units cost that have gone, and all together the total less what was granted');
-- Beyond the total is only what an edit or a grant took from what was captured before, or a cancellation from what was released: never from what had shipped.
SELECT is_empty($$SELECT * FROM done d JOIN oms.orders USING (order_id) JOIN oms.channels USING (channel_id) WHERE step = 'over'
    AND NOT EXISTS (SELECT FROM done x WHERE x.order_id = d.order_id AND (x.step IN ('edit', 'grant') OR (x.step = 'cancel' AND capture = 'release')))$$, 'nobody pays a cent too much');
SELECT cmp_ok((SELECT count(*) FROM done WHERE step IN ('part', 'ship') AND amount > 0), '>', 250::bigint, 'many shipments capture');
SELECT cmp_ok((SELECT count(*) FROM done WHERE step = 'release' AND amount > 0), '>', 20::bigint, 'many releases capture');
SELECT cmp_ok((SELECT count(DISTINCT step) FROM done WHERE step IN ('cancel', 'edit', 'grant', 'answer', 'exact')), '=', 5::bigint, 'of everything that may happen between there is some');

-- One unit that leaves alone and comes back alone is worth the same, but for shipping and fees, which stay.
CREATE FUNCTION pg_temp.there_and_back(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    id   bigint := (oms.place_order(pg_temp.some_order(4 * number + pg_temp.up_to(2)) || jsonb_build_object('external_ref', 'back' || number)) ->> 'order_id')::bigint;
    unit record;
    back jsonb;
    charges numeric;
BEGIN
    SELECT a.fulfillment_id, a.line_no INTO unit FROM oms.allocations a WHERE order_id = id
        AND NOT EXISTS (SELECT FROM oms.order_lines l JOIN oms.order_kit_lines k USING (order_id, line_no) WHERE l.order_id = a.order_id AND l.line_no = a.line_no) ORDER BY random() LIMIT 1;
    IF NOT FOUND THEN
        RETURN;
    END IF;
    PERFORM oms.release_fulfillment(unit.fulfillment_id);
    PERFORM oms.ship_fulfillment(unit.fulfillment_id, jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('line_no', unit.line_no, 'quantity', 1))));
    back := oms.receive_return((oms.request_return(id, jsonb_build_array(jsonb_build_object('line_no', unit.line_no, 'quantity', 1)), NULL, '{"shipping_refund":"none"}') ->> 'return_id')::bigint) -> 'refund';
    SELECT coalesce(sum(CASE WHEN line_no IS NULL THEN amount ELSE pg_temp.to_nearest(amount / (SELECT ordered FROM oms.order_lines l WHERE l.order_id = id AND l.line_no = j.line_no), o.currency) END), 0)
        INTO charges FROM oms.order_adjustments j JOIN oms.orders o USING (order_id) WHERE j.order_id = id AND type IN ('shipping', 'fee') AND (line_no IS NULL OR line_no = unit.line_no);
    INSERT INTO done VALUES (id, 'back', (back ->> 'total')::numeric);
    INSERT INTO breach SELECT id, 'back', format('captured %s with %s charges, worth %s', pg_temp.held(id), charges, back ->> 'total')
        WHERE greatest(pg_temp.held(id) - charges, 0) <> greatest((back ->> 'total')::numeric, 0);
END $f$;
SELECT count(pg_temp.there_and_back(n)::text) AS ready FROM generate_series(1, 60) n \gset
SELECT is_empty($$SELECT * FROM breach WHERE step = 'back' LIMIT 10$$, 'what comes back alone is worth what it left for');
SELECT cmp_ok((SELECT count(*) FROM done WHERE step = 'back' AND amount > 0), '>', 30::bigint, 'many come back');
SELECT is_empty('SELECT * FROM oms.audit()', 'everything is sound');
SELECT * FROM finish();
ROLLBACK;
