-- Random worlds and lists of orders: what place_orders answers is what placing them one after the other answers in another tenant, and what
-- stands in the tables afterwards is the same.  Asked again, each list gives the same answers and changes nothing.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(9);

SET LOCAL timezone = 'UTC';
SET LOCAL oms.clock = '2026-03-02 06:00+00';
SELECT setseed(0.61) IS NULL AS ready \gset

CREATE FUNCTION pg_temp.some(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $f$
    SELECT choices[1 + floor(random() * cardinality(choices))::int] $f$;
CREATE FUNCTION pg_temp.up_to(most int) RETURNS int LANGUAGE sql VOLATILE AS $f$ SELECT floor(random() * (most + 1))::int $f$;
CREATE FUNCTION pg_temp.chance(share float8) RETURNS boolean LANGUAGE sql VOLATILE AS $f$ SELECT random() < share $f$;

-- Which of what the extension can do a world has, as statements that are run in both tenants.
CREATE FUNCTION pg_temp.some_world() RETURNS text[] LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    calls text[];
BEGIN
    calls := ARRAY[
        format('SELECT oms.upsert_channels(%L)', jsonb_build_array(
            jsonb_strip_nulls(jsonb_build_object('code', 'default', 'backorder', pg_temp.chance(0.4), 'substitution', pg_temp.chance(0.4), 'capture', CASE WHEN pg_temp.chance(0.4) THEN 'placing' END,
                               'payment_timeout', CASE WHEN pg_temp.chance(0.3) THEN '2 days' END, 'draft_timeout', '9 days')),
            '{"code":"shop","currency":"EUR"}'::jsonb)),
        format('SELECT oms.upsert_locations(%L)', (SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('code', 'L' || n, 'rank', n, 'latitude', 47 + pg_temp.up_to(60) / 10.0,
            'longitude', 6 + pg_temp.up_to(80) / 10.0, 'country', 'DE', 'cost_per_order', n, 'pickup', n = 1))) FROM generate_series(1, 3) n)),
        format('SELECT oms.upsert_items(%L)', '[{"sku":"S1","price":1},{"sku":"S2","price":2.5},{"sku":"S3","price":3,"substitutes":[{"sku":"S1","ratio":2},{"sku":"S4"}]},
            {"sku":"S4","price":4},{"sku":"MAIL","kind":"digital","price":1},{"sku":"SET","kind":"kit","price":6,"ship_together":true,"components":[{"sku":"S1","quantity":2},{"sku":"S2","quantity":1}]},
            {"sku":"PACK","kind":"kit","price":5,"components":[{"sku":"S4","quantity":1},{"sku":"S2","quantity":2}]}]')];
    calls := calls || (SELECT array_agg(format('SELECT oms.receive_stock(%L, %L, %s)', 'L' || l, 'S' || s, 1 + pg_temp.up_to(CASE s WHEN 3 THEN 2 ELSE 20 END)))
                       FROM generate_series(1, 3) l, generate_series(1, 4) s WHERE pg_temp.chance(0.8));
    calls := calls || (SELECT array_agg(format('SELECT oms.set_stock_limits(%L, %L, %s, %s)', 'L' || l, 'S' || s, pg_temp.up_to(2), pg_temp.up_to(12)))
                       FROM generate_series(1, 3) l, generate_series(1, 4) s WHERE s <> 3 AND pg_temp.chance(0.4));
    IF pg_temp.chance(0.25) THEN
        calls := calls || format('SELECT oms.upsert_locations(%L)', jsonb_build_array(jsonb_build_object('code', 'L2', 'daily_capacity', 2 + pg_temp.up_to(3))));
    END IF;
    IF pg_temp.chance(0.35) THEN
        -- Half of the units are no longer for sale when the orders come.
        calls := calls || ARRAY['SELECT oms.upsert_items(''[{"sku":"MILK","price":1,"tracking":"lot"}]'')',
            'SELECT oms.receive_stock(''L1'', ''MILK'', 12, lots => ''[{"lot":"A","quantity":6,"expires_at":"2026-03-02T06:30:00Z"},{"lot":"B","quantity":6,"expires_at":"2026-05-01T00:00:00Z"}]'')',
            'SELECT oms.receive_stock(''L2'', ''MILK'', 4, lots => ''[{"lot":"A","quantity":4,"expires_at":"2026-03-02T06:30:00Z"}]'')'];
    ELSE
        calls := calls || ARRAY['SELECT oms.upsert_items(''[{"sku":"MILK","price":1}]'')'];
    END IF;
    IF pg_temp.chance(0.25) THEN
        calls := calls || format('SELECT oms.expect_supply(%L, %L, %s, %L)', 'L' || 1 + pg_temp.up_to(2), 'S' || 1 + pg_temp.up_to(3), 3 + pg_temp.up_to(9), '2026-03-05 10:00+00');
    END IF;
    IF pg_temp.chance(0.2) THEN
        calls := calls || format('SELECT oms.set_channel_quota(%L, %L, cap => %s)', 'default', 'S1', 4 + pg_temp.up_to(9));
    END IF;
    IF pg_temp.chance(0.25) THEN
        calls := calls || ARRAY[format('SELECT oms.issue_credit(%L, 30, %L)', 'GIFT', 'EUR')];
    END IF;
    IF pg_temp.chance(0.3) THEN
        calls := calls || ARRAY[format('SELECT oms.reserve(%L, %L, reference => %L, partial => true)', '[{"sku":"S1","quantity":2},{"sku":"S4","quantity":1}]', pg_temp.some('5 minutes', '2 hours'), 'cart-1'),
                                format('SELECT oms.reserve(%L, %L, reference => %L, partial => true)', '[{"sku":"S2","quantity":3}]', '1 hour', 'cart-2')];
    END IF;
    IF pg_temp.chance(0.25) THEN
        calls := calls || format('SELECT oms.activate_routing_policy(%L, oms.save_routing_policy(%1$L, %L))', 'p', '{"objective":"cost","whole_lines":true,"relax":[{"rule":"whole_lines"}]}'::jsonb
            || CASE WHEN pg_temp.chance(0.4) THEN '{"rules":[{"name":"few","kind":"cost","weight":1,"expression":"(SELECT count(*) FROM oms.orders)"}]}'::jsonb ELSE '{}' END);
    END IF;
    IF pg_temp.chance(0.15) THEN
        calls := calls || ARRAY['INSERT INTO oms.channel_holds (tenant_id, channel_id, hold_type) SELECT tenant_id, channel_id, ''payment'' FROM oms.channels WHERE code = ''default'' AND tenant_id = current_setting(''oms.tenant'')::int'];
    END IF;
    RETURN calls;
END $f$;

CREATE FUNCTION pg_temp.some_order(number int) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    document jsonb := jsonb_build_object('external_ref', CASE WHEN pg_temp.chance(0.07) THEN 'o' || greatest(1, number - 2) ELSE 'o' || number END,
        'lines', (SELECT jsonb_agg(jsonb_build_object('sku', pg_temp.some('S1', 'S2', 'S3', 'S4', 'S1', 'S3', 'SET', 'PACK', 'MAIL', 'MILK'), 'quantity', 1 + pg_temp.up_to(3)))
                  FROM generate_series(1, 1 + pg_temp.up_to(2))));
    address  jsonb := jsonb_build_object('country', 'DE', 'latitude', 47 + pg_temp.up_to(60) / 10.0, 'longitude', 6 + pg_temp.up_to(80) / 10.0);
BEGIN
    IF pg_temp.chance(0.05) THEN RETURN pg_temp.some('7', '{"lines":[]}', 'null', '{"external_ref":"x","lines":[{"sku":"S1"}],"colour":1}', '{"external_ref":"y","lines":[{"sku":"NO","quantity":1}]}')::jsonb; END IF;
    IF pg_temp.chance(0.06) THEN document := jsonb_set(document, '{lines,0,sku}', '"UNKNOWN"'); END IF;
    IF pg_temp.chance(0.06) THEN document := document || '{"total":"1000"}'; END IF;
    IF pg_temp.chance(0.1) THEN document := jsonb_set(document, '{lines,0,location}', to_jsonb('L' || 1 + pg_temp.up_to(3))); END IF;
    IF pg_temp.chance(0.2) THEN document := document || '{"adjustments":[{"type":"shipping","amount":"4.90"},{"type":"tax","amount":"0.50","included":true}]}'; END IF;
    IF pg_temp.chance(0.1) THEN document := document || '{"customer":{"ref":"c1","name":"Eva"},"attributes":{"gift":true},"notes":"n"}'; END IF;
    IF pg_temp.chance(0.1) THEN document := document || '{"channel":"shop"}'; END IF;
    IF pg_temp.chance(0.1) THEN document := document || '{"requested_at":"2026-03-08T12:00:00Z"}'; END IF;
    IF pg_temp.chance(0.08) THEN document := document || jsonb_build_object('reservation', pg_temp.some('cart-1', 'cart-2')); END IF;
    IF pg_temp.chance(0.1) THEN RETURN document || '{"draft":true}'; END IF;
    IF pg_temp.chance(0.3) THEN
        document := document || jsonb_build_object('payments', pg_temp.some('[{"method":"card"}]', '[{"method":"card","status":"captured"}]', '[{"method":"card","status":"pending"}]',
            '[{"method":"gift_card","account":"GIFT","amount":4},{"method":"card","amount":1}]')::jsonb);
    END IF;
    IF pg_temp.chance(0.1) THEN
        RETURN document || '{"method":"pickup","pickup_location":"L1"}';
    ELSIF pg_temp.chance(0.12) THEN
        RETURN document || jsonb_build_object('deliveries', jsonb_build_array(jsonb_build_object('delivery_no', 1, 'ship_to', address), jsonb_build_object('delivery_no', 2, 'ship_to', address || '{"latitude":48.1}')),
            'requested_at', null, 'lines', (SELECT jsonb_agg(l || jsonb_build_object('delivery_no', 1 + n % 2)) FROM jsonb_array_elements((document -> 'lines') || (document -> 'lines')) WITH ORDINALITY x(l, n)));
    ELSIF pg_temp.chance(0.6) THEN
        RETURN document || jsonb_build_object('ship_to', address);
    END IF;
    RETURN document;
END $f$;

-- The documents for one tenant: its own reservations stand in the place of the names of carts.
CREATE FUNCTION pg_temp.documents(docs jsonb) RETURNS jsonb LANGUAGE sql STABLE AS $f$
    SELECT jsonb_agg(CASE WHEN d ? 'reservation' THEN d - 'reservation' || coalesce((SELECT jsonb_build_object('reservation_id', reservation_id) FROM oms.reservations r
                     WHERE r.reference = d ->> 'reservation' AND r.tenant_id = current_setting('oms.tenant')::int), '{}') ELSE d END ORDER BY n)
    FROM jsonb_array_elements(docs) WITH ORDINALITY x(d, n) $f$;

CREATE FUNCTION pg_temp.without_ids(said text) RETURNS text LANGUAGE sql IMMUTABLE AS $f$
    SELECT regexp_replace(regexp_replace(regexp_replace(said, '"(order|fulfillment|hold|command)_id": \d+', '"\1_id": n', 'g'), '"payments": \[[\d, ]+\]', '"payments": [n]', 'g'),
                          '(order|reservation|command) \d+', '\1 n', 'g') $f$;

CREATE TEMPORARY TABLE answer (round int, way text, n int, sqlstate text, message text, result text);
CREATE TEMPORARY TABLE breach (round int, what text, detail text);

CREATE FUNCTION pg_temp.place_singly(round int, docs jsonb) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    doc    jsonb;
    number int;
    said   jsonb;
    detail text;
    hint   text;
BEGIN
    FOR doc, number IN SELECT d, n FROM jsonb_array_elements(docs) WITH ORDINALITY x(d, n) LOOP
        BEGIN
            said := oms.place_order(doc);
            INSERT INTO answer VALUES (round, 'singly', number, '00000', NULL, said);
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL, hint = PG_EXCEPTION_HINT;
            INSERT INTO answer VALUES (round, 'singly', number, SQLSTATE, SQLERRM, jsonb_strip_nulls(jsonb_build_object('detail', nullif(detail, ''), 'hint', nullif(hint, ''))));
        END;
    END LOOP;
END $f$;

-- Everything that placing wrote, without ids: each table as sorted text.
CREATE FUNCTION pg_temp.state() RETURNS TABLE (part text, content text) LANGUAGE sql STABLE AS $f$
    WITH t AS (SELECT current_setting('oms.tenant')::int AS id),
         o AS MATERIALIZED (SELECT *, row_number() OVER (ORDER BY order_id) AS n FROM oms.orders, t WHERE tenant_id = t.id)
    SELECT 'orders', string_agg(to_jsonb(x) ->> 'row', E'\n' ORDER BY to_jsonb(x) ->> 'row') FROM (SELECT row(n, external_ref, placed_at, status, payment_status, fulfillment_status, currency, item_total, discount_total,
        shipping_total, fee_total, tax_total, total, customer_ref, customer, bill_to, attributes, notes, holds, version, valid_until)::text AS row FROM o) x
    UNION ALL SELECT 'lines', string_agg(row(n, l.line_no, i.sku, l.delivery_no, ordered, allocated, backordered, cancelled, unit_price, amount, l.name, l.attributes)::text, E'\n' ORDER BY n, l.line_no)
        FROM o JOIN oms.order_lines l USING (order_id) JOIN oms.items i ON i.item_id = l.item_id
    UNION ALL SELECT 'deliveries', string_agg(row(n, d.delivery_no, method, service, address, requested_at, promised_at)::text, E'\n' ORDER BY n, d.delivery_no) FROM o JOIN oms.order_deliveries d USING (order_id)
    UNION ALL SELECT 'adjustments', string_agg(row(n, adjustment_no, line_no, included, type, code, amount)::text, E'\n' ORDER BY n, adjustment_no) FROM o JOIN oms.order_adjustments a USING (order_id)
    UNION ALL SELECT 'promises', string_agg(row(n, a.line_no, l.code, f.delivery_no, f.backordered, f.status, f.ship_by, f.promised_at, f.ship_day, f.capacity_taken, f.supplied_at, a.promised)::text, E'\n'
        ORDER BY n, a.fulfillment_id, a.line_no) FROM o JOIN oms.allocations a USING (order_id) JOIN oms.fulfillments f USING (fulfillment_id) LEFT JOIN oms.locations l ON l.location_id = f.location_id
    UNION ALL SELECT 'kits', string_agg(row(n, k.kit_no, k.sets, k.unit_price)::text, E'\n' ORDER BY n, k.kit_no) FROM o JOIN oms.order_kits k USING (order_id)
    UNION ALL SELECT 'decisions', string_agg(row(n, d.decision_no)::text, E'\n' ORDER BY n, d.decision_no) FROM o JOIN oms.routing_decisions d USING (order_id)
    UNION ALL SELECT 'payments', string_agg(row(n, p.status, method, e.type, e.amount, pg_temp.without_ids(e.reference))::text, E'\n' ORDER BY n, payment_id, e.event_no)
        FROM o JOIN oms.payments p USING (order_id) LEFT JOIN oms.payment_events e USING (payment_id)
    UNION ALL SELECT 'holds', string_agg(row(n, h.hold_type, h.reason)::text, E'\n' ORDER BY n, hold_id) FROM o JOIN oms.holds h USING (order_id)
    UNION ALL SELECT 'deadlines', string_agg(row(n, d.kind, d.due_at)::text, E'\n' ORDER BY n, d.kind) FROM o JOIN oms.order_deadlines d USING (order_id)
    UNION ALL SELECT 'drafts', string_agg(row(n, d.document - 'reservation_id')::text, E'\n' ORDER BY n) FROM o JOIN oms.order_drafts d USING (order_id)
    UNION ALL SELECT 'events', string_agg(row(n, e.object_type, e.type, e.action, e.from_state, e.to_state, e.actor, pg_temp.without_ids(e.data::text))::text, E'\n' ORDER BY n, e.event_id)
        FROM o JOIN oms.events e USING (order_id)
    UNION ALL SELECT 'stock', string_agg(row(i.sku, l.code, on_hand, reserved)::text, E'\n' ORDER BY i.sku, l.code) FROM oms.stock s JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id), t
        WHERE s.tenant_id = t.id
    UNION ALL SELECT 'movements', string_agg(row(i.sku, l.code, m.type, on_hand_delta, reserved_delta)::text, E'\n' ORDER BY i.sku, l.code, m.type, on_hand_delta, reserved_delta)
        FROM oms.stock_movements m JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id), t WHERE m.tenant_id = t.id
    UNION ALL SELECT 'capacity', string_agg(row(l.code, c.day, c.used)::text, E'\n' ORDER BY l.code, c.day) FROM oms.location_capacity c JOIN oms.locations l USING (location_id), t WHERE c.tenant_id = t.id AND used > 0
    UNION ALL SELECT 'dated', string_agg(row(sku, code, supplied_at, units)::text, E'\n' ORDER BY sku, code, supplied_at) FROM (SELECT i.sku, l.code, d.supplied_at, sum(d.units) AS units
        FROM oms.dated_promises d JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id), t WHERE d.tenant_id = t.id GROUP BY 1, 2, 3) d
    UNION ALL SELECT 'quotas', string_agg(row(q.used)::text, E'\n' ORDER BY q.quota_id) FROM oms.channel_quotas q, t WHERE q.tenant_id = t.id
    UNION ALL SELECT 'reservations', string_agg(row(r.reference, r.status)::text, E'\n' ORDER BY r.reference) FROM oms.reservations r, t WHERE r.tenant_id = t.id
$f$;

CREATE FUNCTION pg_temp.difference(singly text, together text) RETURNS text LANGUAGE sql IMMUTABLE AS $f$
    SELECT string_agg(way || ' ' || line, E'\n') FROM (SELECT 'singly  ' AS way, line FROM (SELECT string_to_table(singly, E'\n') AS line EXCEPT SELECT string_to_table(together, E'\n')) a
        UNION ALL SELECT 'together', line FROM (SELECT string_to_table(together, E'\n') AS line EXCEPT SELECT string_to_table(singly, E'\n')) b) c $f$;

CREATE FUNCTION pg_temp.play(round int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    world  text[] := pg_temp.some_world();
    docs   jsonb := (SELECT jsonb_agg(pg_temp.some_order(n)) FROM generate_series(1, 3 + pg_temp.up_to(24)) n);
    key    text := CASE WHEN pg_temp.chance(0.5) THEN 'key' END;
    one    text;
    before text;
BEGIN
    FOR tenant IN 2 * round .. 2 * round + 1 LOOP
        PERFORM set_config('oms.tenant', tenant::text, true), set_config('oms.clock', '2026-03-02 06:00+00', true);
        PERFORM oms.init_tenant(tenant);
        FOREACH one IN ARRAY world LOOP EXECUTE one; END LOOP;
        PERFORM set_config('oms.clock', '2026-03-02 07:00+00', true);
        IF tenant = 2 * round THEN
            PERFORM pg_temp.place_singly(round, pg_temp.documents(docs));
            CREATE TEMPORARY TABLE single AS SELECT * FROM pg_temp.state();
        ELSE
            INSERT INTO answer SELECT round, 'together', p.position, p.sqlstate, p.message, p.result FROM oms.place_orders(pg_temp.documents(docs), key) p;
        END IF;
        INSERT INTO breach SELECT round, 'audit', a::text FROM oms.audit() a;
    END LOOP;
    INSERT INTO breach SELECT round, coalesce(s.part, b.part), pg_temp.difference(s.content, b.content)
        FROM single s FULL JOIN pg_temp.state() b USING (part) WHERE s.content IS DISTINCT FROM b.content;
    before := (SELECT string_agg(content, '' ORDER BY part) FROM pg_temp.state());
    INSERT INTO answer SELECT round, 'again', p.position, p.sqlstate, p.message, p.result FROM oms.place_orders(pg_temp.documents(docs), key) p;
    IF key IS NOT NULL AND before IS DISTINCT FROM (SELECT string_agg(content, '' ORDER BY part) FROM pg_temp.state()) THEN
        INSERT INTO breach VALUES (round, 'again', before);
    END IF;
    DROP TABLE single;
END $f$;

SELECT count(pg_temp.play(round::int)) AS rounds FROM generate_series(5, 64) round \gset

SELECT is((SELECT string_agg(format(E'round %s: %s\n%s', round, what, detail), E'\n') FROM (SELECT * FROM breach ORDER BY round LIMIT 3) b), NULL, 'tables say the same and audit finds nothing');
SELECT is((SELECT string_agg(format(E'round %s, order %s\nsingly   %s %s %s\ntogether %s %s %s', a.round, a.n, a.sqlstate, a.message, a.result, b.sqlstate, b.message, b.result), E'\n')
           FROM answer a FULL JOIN answer b ON b.round = a.round AND b.n = a.n AND b.way = 'together' WHERE a.way = 'singly'
           AND (a.sqlstate, pg_temp.without_ids(a.message), pg_temp.without_ids(a.result)) IS DISTINCT FROM (b.sqlstate, pg_temp.without_ids(b.message), pg_temp.without_ids(b.result))),
          NULL, 'answers are those of placing one after the other');
SELECT is((SELECT string_agg(format('round %s, order %s: %s, then %s', a.round, a.n, a.result, b.result), E'\n') FROM answer a JOIN answer b USING (round, n) WHERE a.way = 'together' AND b.way = 'again'
           AND a.sqlstate = '00000' AND (a.sqlstate, a.message, a.result) IS DISTINCT FROM (b.sqlstate, b.message, b.result)), NULL, 'who is placed gets the first answer again');
SELECT is((SELECT count(*) FILTER (WHERE way = 'singly') FROM answer), (SELECT count(*) FILTER (WHERE way = 'together') FROM answer), 'each document has an answer');
SELECT cmp_ok((SELECT count(*) FROM answer WHERE way = 'together' AND sqlstate = '00000'), '>', 350::bigint, 'orders were placed');
SELECT cmp_ok((SELECT count(*) FROM answer WHERE way = 'together' AND sqlstate = 'OM001'), '>', 100::bigint, 'orders were refused for want of stock');
SELECT cmp_ok((SELECT count(DISTINCT sqlstate) FROM answer WHERE way = 'together'), '>=', 5::bigint, 'orders were refused for several reasons');
SELECT cmp_ok((SELECT count(*) FROM answer WHERE way = 'together' AND result LIKE '%substitutions%'), '>', 3::bigint, 'some with substitutes');
SELECT cmp_ok((SELECT count(*) FROM answer WHERE way = 'together' AND result LIKE '%backordered"%'), '>', 5::bigint, 'some as backorders');

SELECT * FROM finish();
ROLLBACK;
