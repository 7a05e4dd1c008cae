-- order_edit.sql: edits of placed orders, dry runs, versions, the order as of any moment.
\pset pager off
CREATE DATABASE oms_order_edit;
\c oms_order_edit
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_channels('[{"code":"web"},{"code":"later","backorder":true}]');
SELECT oms.upsert_locations('[{"code":"berlin","latitude":52.5,"longitude":13.4},{"code":"madrid","latitude":40.4,"longitude":-3.7}]');
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":20},{"sku":"C","price":5},{"sku":"DIG","kind":"digital","price":3}]');
UPDATE oms.locations SET active = false WHERE code = 'default';
SELECT oms.receive_stock(l, s, 10) FROM unnest('{berlin,madrid}'::text[]) l, unnest('{A,B,C}'::text[]) s;

CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; detail text;
BEGIN
    EXECUTE call INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
CREATE FUNCTION edit(reference text, changes jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT attempt(format('SELECT e - ''order'' - ''balance'' FROM oms.edit_order(oms.find_order(''web'', %L), %L) e', reference, changes));
$$;
CREATE FUNCTION shown(reference text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s %s/%s total %s', o.status, o.payment_status, o.fulfillment_status, o.total) FROM oms.orders o WHERE external_ref = reference
    UNION ALL
    (SELECT format('line %s %s: ordered %s allocated %s backordered %s released %s shipped %s cancelled %s at %s = %s', l.line_no, i.sku, l.ordered,
                   l.allocated, l.backordered, l.released, l.shipped, l.cancelled, l.unit_price, l.amount)
     FROM oms.order_lines l JOIN oms.items i USING (item_id) JOIN oms.orders o USING (order_id) WHERE o.external_ref = reference ORDER BY l.line_no)
    UNION ALL
    (SELECT format('%s from %s: %s', f.status, coalesce(x.code, 'nowhere'), string_agg(format('line %s x %s', a.line_no, a.promised - a.cancelled), ', ' ORDER BY a.line_no))
     FROM oms.fulfillments f JOIN oms.orders o USING (order_id) LEFT JOIN oms.locations x ON x.location_id = f.location_id
     JOIN oms.allocations a USING (fulfillment_id) WHERE o.external_ref = reference AND a.promised > a.cancelled
     GROUP BY f.fulfillment_id, f.status, x.code ORDER BY f.fulfillment_id)
    UNION ALL
    SELECT format('%s faults', count(*)) FROM oms.audit();
$$;
CREATE FUNCTION stock() RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s %s/%s', l.code, i.sku, s.reserved, s.on_hand), ', ' ORDER BY l.code, i.sku)
    FROM oms.stock s JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id);
$$;

SELECT oms.place_order('{"channel":"web","external_ref":"o1","ship_to":{"name":"Ann","latitude":52.4,"longitude":13.3},
    "lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":1}],"adjustments":[{"type":"shipping","amount":4.9}],
    "payments":[{"method":"card","amount":44.9}]}') -> 'totals' ->> 'total';
SELECT shown('o1');
-- More of one line, less of another, a new line: units follow, the difference is told.
SELECT edit('o1', '{"lines":[{"line_no":1,"quantity":5}],"add":[{"sku":"C","quantity":2,"adjustments":[{"type":"discount","amount":1}]},{"sku":"DIG","quantity":1}],"reason":"phone call"}');
SELECT shown('o1');
SELECT edit('o1', '{"lines":[{"line_no":1,"quantity":3,"unit_price":9.99},{"line_no":2,"quantity":0}]}');
SELECT shown('o1');
SELECT stock();
-- A dry run answers what the edit will answer, and keeps nothing.
CREATE FUNCTION without_ids(answer jsonb) RETURNS jsonb LANGUAGE sql AS $$
    SELECT regexp_replace(answer::text, '"(fulfillment_id|dry_run)": \w+', '"\1": 0', 'g')::jsonb;
$$;
CREATE TABLE answers AS SELECT without_ids(oms.edit_order(oms.find_order('web', 'o1'), '{"lines":[{"line_no":3,"quantity":4}],"notes":"ring twice"}', dry_run => true)) AS dry;
SELECT shown('o1');
SELECT count(*) FROM oms.order_versions;
SELECT without_ids(oms.edit_order(oms.find_order('web', 'o1'), '{"lines":[{"line_no":3,"quantity":4}],"notes":"ring twice"}', if_version => 3)) = dry FROM answers;
SELECT attempt($$SELECT oms.edit_order(oms.find_order('web', 'o1'), '{"notes":"x"}', if_version => 3)$$);
-- Another address: what is not released goes to the other warehouse.
SELECT edit('o1', '{"ship_to":{"name":"Ann","latitude":40.3,"longitude":-3.6}}');
SELECT shown('o1');
SELECT stock();
-- Adjustments and other fields are replaced, null removes.
SELECT edit('o1', '{"adjustments":[{"type":"discount","amount":2,"line_no":1},{"type":"tax","amount":1.5,"included":true}],"notes":null,"customer":{"ref":"C1","email":"ann@example.org"},"attributes":{"gift":true}}');
SELECT o -> 'totals', o -> 'adjustments', o -> 'notes', o -> 'customer', o -> 'attributes' FROM oms.get_order(oms.find_order('web', 'o1')) o;

-- Released, partly shipped: no less than what has shipped.
SELECT oms.release_fulfillment(fulfillment_id) IS NOT NULL FROM oms.fulfillments WHERE order_id = 1 AND status = 'planned' AND location_id IS NOT NULL;
SELECT oms.ship_fulfillment(fulfillment_id, '{"lines":[{"line_no":1,"quantity":2}]}') IS NOT NULL FROM oms.fulfillments WHERE order_id = 1 AND status = 'released' ORDER BY 1 LIMIT 1;
SELECT edit('o1', '{"lines":[{"line_no":1,"quantity":1}]}');
SELECT edit('o1', '{"lines":[{"line_no":1,"quantity":2}]}');
SELECT shown('o1');

-- What is not possible says so and changes nothing.
SELECT edit('o1', '{}');
SELECT edit('o1', '{"line":[]}');
SELECT edit('o1', '{"lines":[{"line_no":9,"quantity":1},{"line_no":1,"quantity":-1},{"line_no":1,"quantity":1000000000}],"adjustments":[{"type":"fee","amount":0.001,"included":true,"line_no":8}],"ship_to":{"nam":"x"}}');
SELECT edit('o1', '{"lines":[{"line_no":1,"quantity":2},{"line_no":1,"quantity":3},{"line_no":9,"quantity":3}]}');
SELECT edit('o1', '{"lines":[{"line_no":3,"quantity":999999999}]}');
SELECT edit('o1', '{"lines":[{"line_no":3,"quantity":1000}]}');
SELECT edit('o1', '{"add":[{"sku":"NONE","quantity":1}]}');
SELECT edit('o1', '{"add":[{"sku":"C","quantity":1000}]}');
SELECT attempt('SELECT oms.edit_order(99, ''{"notes":"x"}'')');
SELECT shown('o1');
SELECT oms.place_order('{"channel":"web","external_ref":"gone","lines":[{"sku":"C","quantity":1}]}') ->> 'status';
SELECT oms.cancel_order(oms.find_order('web', 'gone')) ->> 'status';
SELECT edit('gone', '{"notes":"x"}');
SELECT oms.place_order('{"channel":"web","external_ref":"held","lines":[{"sku":"C","quantity":1}]}') ->> 'status';
INSERT INTO oms.hold_types (code, blocks) VALUES ('no_edits', '{order.edit}');
SELECT oms.hold_order(oms.find_order('web', 'held'), 'no_edits', 'look at it') IS NOT NULL;
SELECT split_part(edit('held', '{"notes":"x"}'), ':', 1);

-- Versions and the past.
SELECT version, document -> 'totals' ->> 'total', jsonb_array_length(document -> 'lines') FROM oms.order_versions WHERE order_id = 1 ORDER BY version;
SELECT oms.get_order(1, 1) -> 'totals' ->> 'total', oms.get_order(1) -> 'totals' ->> 'total';
SELECT attempt('SELECT oms.get_order(1, 99)');
SELECT oms.order_as_of(1, '2020-01-01');
SELECT attempt('SELECT oms.order_as_of(1, NULL)');

-- The order as of each moment is what get_order showed then: random steps, a clock that moves.
CREATE TABLE shots (order_id bigint, at timestamptz, document jsonb);
CREATE FUNCTION comparable(document jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $$
    SELECT jsonb_strip_nulls(jsonb_build_object('head', document - '{lines,fulfillments,payments,refunds,holds,deliveries,packages,returns}'::text[],
        'lines', (SELECT jsonb_agg(l ORDER BY n) FROM jsonb_array_elements(document -> 'lines') WITH ORDINALITY x(l, n)),
        'addresses', (SELECT jsonb_agg(d -> 'ship_to') FROM jsonb_array_elements(document -> 'deliveries') d),
        'fulfillments', (SELECT jsonb_agg(jsonb_build_array(f -> 'fulfillment_id', f -> 'location', f -> 'status', f -> 'lines')) FROM jsonb_array_elements(document -> 'fulfillments') f),
        'payments', (SELECT jsonb_agg(jsonb_build_array(p -> 'payment_id', p -> 'status', p -> 'events')) FROM jsonb_array_elements(document -> 'payments') p),
        'refunds', (SELECT jsonb_agg(jsonb_build_array(r -> 'refund_id', r -> 'status', r -> 'amount')) FROM jsonb_array_elements(document -> 'refunds') r),
        'holds', (SELECT jsonb_agg(jsonb_build_array(h -> 'hold_id', h -> 'type', h -> 'line_no')) FROM jsonb_array_elements(document -> 'holds') h),
        'returns', (SELECT jsonb_agg(jsonb_build_array(r -> 'return_id', r -> 'status', r -> 'reason', r -> 'lines')) FROM jsonb_array_elements(document -> 'returns') r)));
$$;
CREATE FUNCTION one_step(id bigint, n int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    f bigint; p bigint; l int; r bigint;
BEGIN
    SELECT fulfillment_id INTO f FROM oms.fulfillments WHERE order_id = id AND location_id IS NOT NULL AND status IN ('planned', 'released', 'shipped') ORDER BY random() LIMIT 1;
    SELECT payment_id INTO p FROM oms.payments WHERE order_id = id ORDER BY random() LIMIT 1;
    SELECT line_no INTO l FROM oms.order_lines WHERE order_id = id ORDER BY random() LIMIT 1;
    SELECT return_id INTO r FROM oms.returns WHERE order_id = id AND status NOT IN ('closed', 'rejected', 'cancelled') ORDER BY random() LIMIT 1;
    CASE (random() * 18)::int
        WHEN 0 THEN PERFORM oms.edit_order(id, jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('line_no', l, 'quantity', (random() * 4)::int))));
        WHEN 1 THEN PERFORM oms.edit_order(id, jsonb_build_object('add', jsonb_build_array(jsonb_build_object('sku', chr(65 + (random() * 2)::int), 'quantity', 1 + (random() * 2)::int)), 'notes', 'edit ' || n));
        WHEN 2 THEN PERFORM oms.edit_order(id, jsonb_build_object('ship_to', jsonb_build_object('name', 'at ' || n, 'latitude', 40 + random() * 12, 'longitude', random() * 10)));
        WHEN 3 THEN PERFORM oms.edit_order(id, jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('line_no', l, 'unit_price', round((random() * 20)::numeric, 2)))));
        WHEN 4 THEN PERFORM oms.cancel_order(id, jsonb_build_array(jsonb_build_object('line_no', l, 'quantity', 1)));
        WHEN 5 THEN PERFORM oms.record_payment_event(p, 'capture', 5, 'c' || n);
        WHEN 6 THEN PERFORM oms.grant_refund(id, 1, 'test');
        WHEN 7 THEN PERFORM oms.record_payment_event(p, 'refund', 1, 'r' || n);
        WHEN 8 THEN PERFORM oms.edit_order(id, jsonb_build_object('adjustments', jsonb_build_array(jsonb_build_object('type', 'discount', 'amount', (random() * 3)::int))));
        WHEN 9 THEN PERFORM oms.request_return(id, jsonb_build_array(jsonb_build_object('line_no', l, 'quantity', 1)), 'random');
        WHEN 10 THEN
            IF random() < 0.6 THEN PERFORM oms.receive_return(r);
            ELSIF random() < 0.5 THEN PERFORM oms.cancel_return(r);
            ELSE PERFORM oms.close_return(r); END IF;
        WHEN 16 THEN PERFORM oms.ship_fulfillment(f, jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('line_no', l, 'quantity', 1))));
        WHEN 17 THEN PERFORM oms.hold_order(id, 'manual', 'look at it', l);
        WHEN 18 THEN PERFORM oms.release_hold(hold_id) FROM oms.order_holds(id) WHERE active LIMIT 1;
        ELSE
            IF (SELECT status FROM oms.fulfillments WHERE fulfillment_id = f) = 'planned' THEN PERFORM oms.release_fulfillment(f);
            ELSIF (SELECT status FROM oms.fulfillments WHERE fulfillment_id = f) = 'released' THEN PERFORM oms.ship_fulfillment(f);
            ELSE PERFORM oms.deliver_fulfillment(f); END IF;
    END CASE;
    RETURN 'done';
EXCEPTION WHEN OTHERS THEN
    IF SQLSTATE NOT LIKE 'OM%' THEN RAISE; END IF;
    RETURN SQLSTATE;
END $$;
SELECT oms.receive_stock(l, s, 1000) IS NULL FROM unnest('{berlin,madrid}'::text[]) l, unnest('{A,B,C}'::text[]) s;
DO $$
DECLARE
    id bigint; at timestamptz := '2026-03-01'; done int := 0; refused int := 0; answer text;
BEGIN
    PERFORM setseed(0.7);
    FOR o IN 1 .. 12 LOOP
        at := at + interval '1 minute';
        PERFORM set_config('oms.clock', at::text, false);
        id := (oms.place_order(jsonb_build_object('channel', 'web', 'external_ref', 'random ' || o, 'ship_to', '{"name":"Bo","latitude":50,"longitude":10}'::jsonb,
            'lines', '[{"sku":"A","quantity":3},{"sku":"B","quantity":2}]'::jsonb, 'payments', '[{"method":"card"}]'::jsonb)) ->> 'order_id')::bigint;
        INSERT INTO shots VALUES (id, at, oms.get_order(id));
        FOR n IN 1 .. 25 LOOP
            at := at + interval '1 minute';
            PERFORM set_config('oms.clock', at::text, false);
            answer := one_step(id, n);
            IF answer = 'done' THEN done := done + 1; ELSE refused := refused + 1; END IF;
            INSERT INTO shots VALUES (id, at, oms.get_order(id));
        END LOOP;
    END LOOP;
    PERFORM set_config('oms.clock', '', false);
    ASSERT done > 100 AND refused > 10, format('%s done, %s refused', done, refused);
END $$;
SELECT * FROM oms.audit();
SELECT format('%s moments, %s differ', count(*), count(*) FILTER (WHERE comparable(oms.order_as_of(order_id, at)) IS DISTINCT FROM comparable(document))) FROM shots;
SELECT order_id, at, k.key, k.value AS was, comparable(oms.order_as_of(order_id, at)) -> k.key AS found FROM shots, jsonb_each(comparable(document)) k
WHERE comparable(oms.order_as_of(order_id, at)) -> k.key IS DISTINCT FROM k.value ORDER BY order_id, at LIMIT 3;

-- Lines that are cancelled make a version, too: who read the order before edits another one.
SELECT (oms.place_order('{"channel":"web","external_ref":"v","lines":[{"sku":"A","quantity":3}]}') ->> 'order_id')::bigint AS v \gset
SELECT oms.cancel_order(:v, '[{"line_no":1,"quantity":1}]', 'one is enough') ->> 'version';
SELECT n, oms.get_order(:v, n) -> 'lines' -> 0 ->> 'cancelled' AS cancelled FROM generate_series(1, 2) n;
SELECT oms.edit_order(:v, '{"notes":"late"}', if_version => 1);
SELECT oms.cancel_order(:v) ->> 'version';
SELECT n, oms.get_order(:v, n) -> 'lines' -> 0 ->> 'cancelled' AS cancelled, oms.get_order(:v, n) ->> 'status' AS status FROM generate_series(1, 3) n;

-- Who takes more or less and changes his mind owes what he owed, also after another price.
SELECT oms.place_order('{"channel":"web","external_ref":"mind","lines":[{"sku":"A","quantity":3,"unit_price":10,"adjustments":[{"type":"discount","amount":6},{"type":"tax","amount":4.56}]},{"sku":"C","quantity":1,"unit_price":20}],
    "adjustments":[{"type":"shipping","amount":5},{"type":"discount","amount":3},{"type":"tax","amount":1.01,"included":true}]}') -> 'totals';
CREATE FUNCTION owed(quantity int, unit_price numeric DEFAULT NULL) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s of discount %s tax %s', t ->> 'total', t ->> 'discount', t ->> 'tax') FROM (SELECT oms.edit_order(oms.find_order('web', 'mind'),
        jsonb_build_object('lines', jsonb_build_array(jsonb_strip_nulls(jsonb_build_object('line_no', 1, 'quantity', quantity, 'unit_price', unit_price))))) #> '{order,totals}' AS t) x $$;
SELECT n, owed(n) FROM unnest('{2,3,5,3,1,0,3}'::int[]) WITH ORDINALITY u(n, i) ORDER BY i;
SELECT n, price, owed(n, price) FROM (VALUES (1, 3, 7), (2, 2, 7), (3, 4, 12), (4, 3, 10)) v(i, n, price) ORDER BY i;
SELECT edit('mind', '{"add":[{"sku":"C","quantity":1,"unit_price":20}]}'), edit('mind', '{"lines":[{"line_no":3,"quantity":0}]}');
SELECT edit('mind', '{"adjustments":[{"type":"discount","amount":3,"line_no":1},{"type":"discount","amount":5}]}');
SELECT n, owed(n) FROM unnest('{4,3,2,3}'::int[]) WITH ORDINALITY u(n, i) ORDER BY i;
SELECT * FROM oms.audit();

-- audit() finds versions of nothing.
BEGIN;
UPDATE oms.orders SET version = 1 WHERE order_id = 1;
SELECT count(*), min("check") FROM oms.audit();
ROLLBACK;
