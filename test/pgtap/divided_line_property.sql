-- Random orders with divided lines against the same orders with a line for each part, whose amounts are divided here by arithmetic of
-- their own; and random divisions of placed lines, which leave totals, units and what was promised in other deliveries as they were.
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
SELECT setseed(0.29) IS NULL AS ready \gset

CREATE FUNCTION pg_temp.up_to(most int) RETURNS int LANGUAGE sql VOLATILE AS $f$ SELECT floor(random() * (most + 1))::int $f$;
CREATE FUNCTION pg_temp.chance(part float8) RETURNS boolean LANGUAGE sql VOLATILE AS $f$ SELECT random() < part $f$;
CREATE FUNCTION pg_temp.some(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $f$ SELECT choices[1 + floor(random() * cardinality(choices))::int] $f$;

-- What a merchant has, from one seed for both: stock, capacity, a policy, substitutes.
CREATE FUNCTION pg_temp.some_world() RETURNS text[] LANGUAGE plpgsql VOLATILE AS $f$
DECLARE calls text[];
BEGIN
    calls := ARRAY[
        format('SELECT oms.upsert_channels(%L)', jsonb_build_array(jsonb_build_object('code', 'default', 'backorder', pg_temp.chance(0.4), 'substitution', pg_temp.chance(0.5),
            'ship_complete', pg_temp.chance(0.15), 'currency', pg_temp.some('EUR', 'EUR', 'JPY', 'KWD')))),
        'SELECT oms.upsert_locations(''[{"code":"L1","latitude":52,"longitude":13,"pickup":true},{"code":"L2","latitude":48,"longitude":9},{"code":"L3","latitude":40,"longitude":-3}]'')',
        'UPDATE oms.locations SET active = false WHERE code = ''default'' AND tenant_id = current_setting(''oms.tenant'')::int',
        'SELECT oms.upsert_items(''[{"sku":"A","price":7,"weight_grams":300},{"sku":"B","price":11},{"sku":"LOT","price":3,"tracking":"lot"},{"sku":"DIG","kind":"digital","price":2},
            {"sku":"RARE","price":5,"substitutes":[{"sku":"A"},{"sku":"B","ratio":2}]},{"sku":"SET","kind":"kit","price":20,"ship_together":true,"components":[{"sku":"A","quantity":1},{"sku":"B","quantity":2}]},
            {"sku":"BOX","kind":"kit","price":9,"may_break":true,"components":[{"sku":"B","quantity":1},{"sku":"DIG","quantity":1}]}]'')'];
    FOR i IN 1..3 LOOP
        calls := calls || format('SELECT oms.receive_stock(%1$L, ''A'', %2$s), oms.receive_stock(%1$L, ''B'', %3$s)', 'L' || i, 4 + pg_temp.up_to(30), 4 + pg_temp.up_to(40));
        calls := calls || format('SELECT oms.set_stock_limits(%L, %L, 0, %s)', 'L' || i, 'B', pg_temp.up_to(9));
        calls := calls || format('SELECT oms.receive_stock(%L, %L, 30, lots => %L)', 'L' || i, 'LOT', jsonb_build_array(jsonb_build_object('lot', 'N' || i, 'quantity', 30)));
    END LOOP;
    calls := calls || format('SELECT oms.receive_stock(%L, %L, %s)', 'L' || 1 + pg_temp.up_to(2), 'RARE', 1 + pg_temp.up_to(4));
    IF pg_temp.chance(0.5) THEN
        calls := calls || 'SELECT oms.activate_routing_policy(''p'', oms.save_routing_policy(''p'', ''{"objective":"cost","cost_per_kilometre":1}''))'::text;
    END IF;
    IF pg_temp.chance(0.3) THEN
        calls := calls || format('SELECT oms.upsert_locations(%L)', jsonb_build_array(jsonb_build_object('code', 'L1', 'daily_capacity', 3, 'capacity_unit', 'unit')));
    END IF;
    RETURN calls;
END $f$;

-- The parts of so many units: every delivery at most once, in any order.
CREATE FUNCTION pg_temp.some_parts(units int, deliveries int) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    parts  jsonb := '[]';
    "left" int := units;
    share  int;
    one    int;
BEGIN
    FOR one IN SELECT d FROM generate_series(1, deliveries) d ORDER BY random() LOOP
        EXIT WHEN "left" = 0;
        share := CASE WHEN jsonb_array_length(parts) = deliveries - 1 THEN "left" ELSE 1 + pg_temp.up_to("left" - 1) END;
        parts := parts || jsonb_build_object('delivery_no', one, 'quantity', share);
        "left" := "left" - share;
    END LOOP;
    RETURN parts;
END $f$;

CREATE FUNCTION pg_temp.amount(most numeric, currency text) RETURNS numeric LANGUAGE sql VOLATILE AS $f$
    SELECT round((random() * most)::numeric, CASE currency WHEN 'JPY' THEN 0 WHEN 'KWD' THEN 3 ELSE 2 END) $f$;

CREATE FUNCTION pg_temp.some_document(number int, currency text) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    lines    jsonb := '[]';
    line     jsonb;
    count    int := 2 + pg_temp.up_to(1);
    units    int;
    numbered boolean := pg_temp.chance(0.3);
BEGIN
    FOR i IN 1 .. 1 + pg_temp.up_to(3) LOOP
        units := 1 + pg_temp.up_to(6);
        line := jsonb_build_object('sku', pg_temp.some('A', 'A', 'B', 'B', 'LOT', 'DIG', 'RARE', 'SET', 'BOX'), 'quantity', units, 'external_ref', 'x' || i);
        IF numbered THEN line := line || jsonb_build_object('line_no', 10 * (i % 3) + i); END IF;
        IF line ->> 'sku' = 'LOT' AND pg_temp.chance(0.5) THEN line := line || jsonb_build_object('lot', 'N' || 1 + pg_temp.up_to(2)); END IF;
        IF pg_temp.chance(0.4) THEN line := line || jsonb_build_object('unit_price', pg_temp.amount(20, currency)); END IF;
        IF pg_temp.chance(0.06) THEN line := line || '{"unit_price":"0.335"}'; END IF;
        IF pg_temp.chance(0.2) THEN line := line || jsonb_build_object('attributes', jsonb_build_object('weight_grams', pg_temp.up_to(1000), 'cut', i)); END IF;
        IF pg_temp.chance(0.05) THEN line := line || jsonb_build_object('location', 'L' || 1 + pg_temp.up_to(2)); END IF;
        IF pg_temp.chance(0.1) AND line ->> 'sku' IN ('A', 'B', 'RARE') THEN line := line || '{"together":"t"}'; END IF;
        IF pg_temp.chance(0.1) THEN line := line || '{"substitution":false}'; END IF;
        IF pg_temp.chance(0.5) THEN
            line := line || jsonb_build_object('adjustments', (SELECT jsonb_agg(jsonb_build_object('type', pg_temp.some('tax', 'discount', 'fee', 'shipping'), 'amount', pg_temp.amount(1, currency), 'code', 'c' || n))
                FROM generate_series(1, 1 + pg_temp.up_to(2)) n));
        END IF;
        lines := lines || (line || CASE WHEN pg_temp.chance(0.6) THEN jsonb_build_object('deliveries', pg_temp.some_parts(units, count)) ELSE jsonb_build_object('delivery_no', 1 + pg_temp.up_to(count - 1)) END);
    END LOOP;
    RETURN jsonb_build_object('external_ref', 'o' || number, 'lines', lines, 'deliveries', (SELECT jsonb_agg(jsonb_build_object('delivery_no', d) || CASE
            WHEN d = 3 THEN '{"method":"pickup","pickup_location":"L1"}' ELSE jsonb_build_object('ship_to', jsonb_build_object('latitude', 40 + pg_temp.up_to(14), 'longitude', 10)) END ORDER BY d)
        FROM generate_series(1, count) d WHERE jsonb_path_exists(lines, format('$[*].** ? (@.delivery_no == %s)', d)::jsonpath)))
        || CASE WHEN pg_temp.chance(0.15) THEN '{"draft":true}' ELSE '{}' END::jsonb;
END $f$;

-- The same order with a line for each part: an amount is divided as the difference of two rounded sums.
CREATE FUNCTION pg_temp.written_out(document jsonb, currency text) RETURNS jsonb LANGUAGE sql STABLE AS $f$
    WITH line AS (SELECT l, n, coalesce((l ->> 'line_no')::int, n::int) AS line_no FROM jsonb_array_elements(document -> 'lines') WITH ORDINALITY x(l, n)),
    part AS (SELECT line.*, p, m, (p ->> 'quantity')::int AS units, sum((p ->> 'quantity')::int) OVER (PARTITION BY n ORDER BY m) AS until,
            (SELECT max(line_no) FROM line) + sum(CASE WHEN m > 1 THEN 1 ELSE 0 END) OVER (ORDER BY n, m) AS further
        FROM line, jsonb_array_elements(coalesce(l -> 'deliveries', jsonb_build_array(jsonb_build_object('delivery_no', l -> 'delivery_no', 'quantity', l -> 'quantity')))) WITH ORDINALITY y(p, m))
    SELECT document || jsonb_build_object('lines', jsonb_agg((CASE WHEN m > 1 THEN l - 'external_ref' ELSE l END) - 'deliveries'
        || jsonb_build_object('line_no', CASE WHEN m > 1 THEN further ELSE line_no END, 'delivery_no', p -> 'delivery_no', 'quantity', units)
        || CASE WHEN l #> '{attributes,weight_grams}' IS NULL THEN '{}' ELSE jsonb_build_object('attributes', l -> 'attributes' || jsonb_build_object('weight_grams',
            round((l #>> '{attributes,weight_grams}')::numeric * until / (l ->> 'quantity')::int) - round((l #>> '{attributes,weight_grams}')::numeric * (until - units) / (l ->> 'quantity')::int))) END
        || CASE WHEN l -> 'adjustments' IS NULL THEN '{}' ELSE jsonb_build_object('adjustments', (SELECT coalesce(jsonb_agg(a || jsonb_build_object('amount', amount) ORDER BY k) FILTER (WHERE amount <> 0 OR l -> 'deliveries' IS NULL), '[]')
            FROM (SELECT a, k, round((a ->> 'amount')::numeric * until / (l ->> 'quantity')::int, d) - round((a ->> 'amount')::numeric * (until - units) / (l ->> 'quantity')::int, d) AS amount
                  FROM jsonb_array_elements(l -> 'adjustments') WITH ORDINALITY z(a, k), (SELECT CASE currency WHEN 'JPY' THEN 0 WHEN 'KWD' THEN 3 ELSE 2 END AS d) c) q)) END
        ORDER BY n, m)) FROM part
$f$;

-- What was written, without ids and without which line a part is of.
CREATE FUNCTION pg_temp.state(tenant int) RETURNS text LANGUAGE sql STABLE AS $f$
    SELECT string_agg(x, E'\n' ORDER BY x) FROM (
        SELECT 'order ' || row(o.external_ref, status, fulfillment_status, item_total, discount_total, shipping_total, fee_total, tax_total, total)::text AS x FROM oms.orders o WHERE tenant_id = tenant
        UNION ALL SELECT 'line ' || row(o.external_ref, l.line_no, i.sku, l.delivery_no, ordered, allocated, backordered, l.unit_price, amount, l.external_ref, l.attributes, l.lot, l.together, l.location_id IS NOT NULL)::text
            FROM oms.orders o JOIN oms.order_lines l USING (order_id) JOIN oms.items i USING (item_id) WHERE o.tenant_id = tenant
        UNION ALL SELECT 'adjustment ' || row(o.external_ref, a.line_no, type, code, amount)::text FROM oms.orders o JOIN oms.order_adjustments a USING (order_id) WHERE o.tenant_id = tenant AND amount <> 0
        UNION ALL SELECT 'promise ' || row(o.external_ref, a.line_no, l.code, f.delivery_no, f.backordered, a.lot, a.promised)::text FROM oms.orders o JOIN oms.allocations a USING (order_id)
            JOIN oms.fulfillments f USING (fulfillment_id) LEFT JOIN oms.locations l ON l.location_id = f.location_id WHERE o.tenant_id = tenant
        UNION ALL SELECT 'kit ' || row(o.external_ref, k.kit_no, k.sets, k.unit_price, k.external_ref)::text FROM oms.orders o JOIN oms.order_kits k USING (order_id) WHERE o.tenant_id = tenant
        UNION ALL SELECT 'substitute ' || row(o.external_ref, s.line_no, s.wanted_line_no, s.quantity)::text FROM oms.orders o JOIN oms.order_substitutes s USING (order_id) WHERE o.tenant_id = tenant
        UNION ALL SELECT 'stock ' || row(i.sku, l.code, on_hand, reserved)::text FROM oms.stock s JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id) WHERE s.tenant_id = tenant) t $f$;

CREATE FUNCTION pg_temp.answer(doc jsonb) RETURNS text LANGUAGE plpgsql AS $f$
DECLARE answer jsonb;
BEGIN
    answer := oms.place_order(doc);
    IF doc ? 'draft' THEN answer := oms.place_draft((answer ->> 'order_id')::bigint); END IF;
    RETURN regexp_replace((answer - 'divided' - 'order_id')::text, ',? ?"fulfillment_id": \d+', '', 'g');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE;
END $f$;

CREATE TEMPORARY TABLE outcome (round int, doc jsonb, divided text, written_out text);
CREATE TEMPORARY TABLE breach (round int, what text, detail text);
CREATE TEMPORARY TABLE edited (round int, changes jsonb, sqlstate text, parts int);

CREATE FUNCTION pg_temp.difference(a text, b text) RETURNS text LANGUAGE sql IMMUTABLE AS $f$
    SELECT string_agg(way || line, E'\n') FROM (SELECT 'divided     ' AS way, line FROM (SELECT string_to_table(a, E'\n') AS line EXCEPT SELECT string_to_table(b, E'\n')) x
        UNION ALL SELECT 'written out ', line FROM (SELECT string_to_table(b, E'\n') AS line EXCEPT SELECT string_to_table(a, E'\n')) y) c $f$;

-- Divides some lines of the orders of a tenant.
CREATE FUNCTION pg_temp.edit(round int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    one     record;
    before  jsonb;
    after   jsonb;
    dry     jsonb;
    changes jsonb;
BEGIN
    FOR one IN SELECT order_id FROM oms.orders WHERE tenant_id = current_setting('oms.tenant')::int AND status = 'placed' LOOP
        IF pg_temp.chance(0.4) THEN
            PERFORM oms.release_fulfillment(min(fulfillment_id)) FROM oms.fulfillments WHERE order_id = one.order_id AND NOT backordered AND location_id IS NOT NULL HAVING count(*) > 0 AND NOT EXISTS (
                SELECT FROM oms.orders WHERE order_id = one.order_id AND ship_complete);
        END IF;
        IF pg_temp.chance(0.3) THEN
            PERFORM oms.cancel_order(one.order_id, jsonb_build_array(jsonb_build_object('line_no', line_no, 'quantity', 1))) FROM oms.order_lines l WHERE order_id = one.order_id
                AND ordered > 2 AND shipped = 0 AND NOT EXISTS (SELECT FROM oms.order_kit_lines k WHERE k.order_id = l.order_id AND k.line_no = l.line_no) LIMIT 1;
        END IF;
        before := oms.get_order(one.order_id);
        changes := jsonb_build_object('deliveries', '[{"delivery_no":1},{"delivery_no":9,"ship_to":{"latitude":40.4,"longitude":-3.5}}]'::jsonb, 'lines',
            (SELECT jsonb_agg(jsonb_build_object('line_no', line_no, 'deliveries', CASE WHEN units > 1 AND pg_temp.chance(0.8)
                THEN jsonb_build_array(jsonb_build_object('delivery_no', delivery_no, 'quantity', units - 1 - x.away), jsonb_build_object('delivery_no', 9, 'quantity', 1 + x.away))
                ELSE jsonb_build_array(jsonb_build_object('delivery_no', CASE WHEN pg_temp.chance(0.5) THEN 9 ELSE delivery_no END, 'quantity', units)) END))
             FROM (SELECT l.*, ordered - cancelled AS units FROM oms.order_lines l WHERE order_id = one.order_id) l, LATERAL (SELECT pg_temp.up_to(greatest(units - 2, 0)) + 0 * line_no AS away) x
             WHERE units > 0 AND pg_temp.chance(0.6)));
        CONTINUE WHEN changes -> 'lines' = 'null';
        BEGIN
            dry := oms.edit_order(one.order_id, changes, dry_run => true);
            after := oms.edit_order(one.order_id, changes);
            INSERT INTO edited VALUES (round, changes, '00000', jsonb_array_length(after #> '{order,lines}') - jsonb_array_length(before -> 'lines'));
            IF (dry - 'dry_run' - 'order') <> (after - 'dry_run' - 'order') OR (dry #> '{order,lines}') <> (after #> '{order,lines}') THEN
                INSERT INTO breach VALUES (round, 'dry run', changes::text);
            END IF;
            IF (before -> 'totals') <> (after #> '{order,totals}') THEN
                INSERT INTO breach VALUES (round, 'totals', format('%s: %s, then %s', changes, before -> 'totals', after #> '{order,totals}'));
            END IF;
            INSERT INTO breach SELECT round, 'units', format('%s: line %s', changes, c ->> 'line_no') FROM jsonb_array_elements(changes -> 'lines') c
                WHERE jsonb_array_length(c -> 'deliveries') > 1 AND (SELECT (l ->> 'ordered')::int - (l ->> 'cancelled')::int FROM jsonb_array_elements(after #> '{order,lines}') l WHERE l -> 'line_no' = c -> 'line_no')
                    <> (c #>> '{deliveries,0,quantity}')::int;
            INSERT INTO breach SELECT round, 'sums', sku FROM (SELECT l ->> 'sku' AS sku, sum((l ->> 'ordered')::int) AS units FROM jsonb_array_elements(before -> 'lines') l GROUP BY 1) b
                FULL JOIN (SELECT l ->> 'sku' AS sku, sum((l ->> 'ordered')::int) AS units FROM jsonb_array_elements(after #> '{order,lines}') l GROUP BY 1) a USING (sku) WHERE a.units IS DISTINCT FROM b.units;
            IF (oms.get_order(one.order_id, (before ->> 'version')::int) - 'fulfillments') <> (before - 'fulfillments') THEN
                INSERT INTO breach VALUES (round, 'the version before', changes::text);
            END IF;
        EXCEPTION WHEN OTHERS THEN
            INSERT INTO edited VALUES (round, changes, SQLSTATE, 0);
            IF SQLSTATE !~ '^OM' THEN
                INSERT INTO breach VALUES (round, SQLSTATE || ' ' || SQLERRM, changes::text);
            END IF;
        END;
    END LOOP;
END $f$;

CREATE FUNCTION pg_temp.play(round int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    world    text[] := pg_temp.some_world();
    currency text := CASE WHEN world[1] LIKE '%JPY%' THEN 'JPY' WHEN world[1] LIKE '%KWD%' THEN 'KWD' ELSE 'EUR' END;
    one      text;
    one_doc  jsonb;
    docs     jsonb[] := ARRAY(SELECT pg_temp.some_document(n, currency) FROM generate_series(1, 5) n);
BEGIN
    FOR tenant IN 2 * round .. 2 * round + 1 LOOP
        PERFORM set_config('oms.tenant', tenant::text, true);
        PERFORM oms.init_tenant(tenant);
        FOREACH one IN ARRAY world LOOP EXECUTE one; END LOOP;
        FOREACH one_doc IN ARRAY docs LOOP
            IF tenant = 2 * round THEN
                INSERT INTO outcome VALUES (round, one_doc, pg_temp.answer(one_doc));
            ELSE
                UPDATE outcome SET written_out = pg_temp.answer(pg_temp.written_out(one_doc, currency)) WHERE outcome.round = $1 AND doc = one_doc AND divided <> 'OM009';
            END IF;
        END LOOP;
    END LOOP;
    INSERT INTO breach SELECT round, 'state', pg_temp.difference(a, b) FROM pg_temp.state(2 * round) a, pg_temp.state(2 * round + 1) b WHERE a IS DISTINCT FROM b;
    PERFORM set_config('oms.tenant', (2 * round)::text, true);
    PERFORM pg_temp.edit(round);
    INSERT INTO breach SELECT round, 'audit', a::text FROM oms.audit() a;
END $f$;

SELECT count(pg_temp.play(round::int)) AS rounds FROM generate_series(5, 54) round \gset

SELECT is((SELECT string_agg(format(E'round %s: %s\n%s', round, what, detail), E'\n') FROM (SELECT * FROM breach ORDER BY round LIMIT 3) b), NULL, 'tables say the same, edits keep units and totals, audit finds nothing');
SELECT is((SELECT string_agg(format(E'round %s: %s\n%s\n%s', round, doc, divided, written_out), E'\n') FROM (SELECT * FROM outcome WHERE divided <> 'OM009' AND divided IS DISTINCT FROM written_out LIMIT 2) o), NULL,
          'answers are those of the order with a line for each part');
SELECT cmp_ok((SELECT count(*) FROM outcome WHERE divided LIKE '{%'), '>', 120::bigint, 'many orders are placed');
SELECT cmp_ok((SELECT count(*) FROM outcome WHERE divided = 'OM001'), '>', 10::bigint, 'some lack stock');
SELECT cmp_ok((SELECT count(*) FROM outcome WHERE divided = 'OM009'), '>', 0::bigint, 'some have prices that do not divide');
SELECT cmp_ok((SELECT count(*) FROM outcome WHERE divided LIKE '%substitutions%'), '>', 3::bigint, 'some get substitutes');
SELECT cmp_ok((SELECT count(*) FROM edited WHERE sqlstate = '00000' AND parts > 0), '>', 30::bigint, 'many lines are divided afterwards');
SELECT cmp_ok((SELECT count(*) FROM edited WHERE sqlstate <> '00000'), '>', 10::bigint, 'some edits are refused');
SELECT is_empty($$SELECT * FROM edited WHERE sqlstate NOT IN ('00000', 'OM001', 'OM002', 'OM008', 'OM009')$$, 'refusals are those of stock, what is released, places and money');
SELECT * FROM finish();
ROLLBACK;
