-- Many orders in one call: as if placed one after the other, each whole or not at all.
\pset pager off
CREATE DATABASE oms_order_batch;
\c oms_order_batch
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SELECT oms.upsert_items('[{"sku":"A","price":1},{"sku":"B","price":2},{"sku":"NEVER","price":1},{"sku":"MAIL","kind":"digital","price":1}]');
SELECT oms.receive_stock('default', 'A', 10), oms.receive_stock('default', 'B', 3), oms.receive_stock('default', 'NEVER', 2000);

CREATE FUNCTION pg_temp.made(answer jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT concat_ws(' ', answer ->> 'external_ref', answer ->> 'status', answer ->> 'payment_status', answer ->> 'fulfillment_status', answer -> 'totals' ->> 'total',
                     regexp_replace(answer ->> 'detail', 'order \d+', 'order n'), answer ->> 'hint') $$;

-- They compete in the given sequence; one order's error leaves the others.
SELECT position, order_id IS NOT NULL AS placed, sqlstate, message, pg_temp.made(result) FROM oms.place_orders('[
    {"external_ref":"1","lines":[{"sku":"A","quantity":4},{"sku":"B","quantity":1}]},
    {"external_ref":"2","lines":[{"sku":"B","quantity":2},{"sku":"A","quantity":7}]},
    {"external_ref":"3","lines":[{"sku":"B","quantity":2},{"sku":"A","quantity":2}],"payments":[{"method":"card","status":"captured"}]},
    {"external_ref":"4","lines":[{"sku":"A","quantity":4}]},
    {"external_ref":"5","lines":[{"sku":"A","quantity":1}]},
    {"external_ref":"6","lines":[{"sku":"C","quantity":1},{"sku":"A","quantity":0}]},
    {"external_ref":"7","draft":true,"lines":[{"sku":"A","quantity":99}]},
    {"external_ref":"8","lines":[{"sku":"MAIL","quantity":2}],"adjustments":[{"type":"shipping","amount":1}]},
    7, null, {"external_ref":"9"}]');
SELECT external_ref, status, fulfillment_status FROM oms.orders ORDER BY order_id;
SELECT * FROM oms.audit();

-- The same document is the first answer again, also twice within a call; another one under its reference is refused.
SELECT position, sqlstate, order_id = (SELECT o.order_id FROM oms.orders o WHERE o.external_ref = result ->> 'external_ref') AS its_order, message, pg_temp.made(result) FROM oms.place_orders('[
    {"external_ref":"1","lines":[{"sku":"A","quantity":4},{"sku":"B","quantity":1}]},
    {"external_ref":"1","lines":[{"sku":"A","quantity":5}]},
    {"external_ref":"twice","lines":[{"sku":"NEVER","quantity":3}]},
    {"external_ref":"twice","lines":[{"sku":"NEVER","quantity":4}]},
    {"external_ref":"twice","lines":[{"sku":"NEVER","quantity":3}]},
    {"external_ref":"later","lines":[{"sku":"NEVER","quantity":3000}]},
    {"external_ref":"later","lines":[{"sku":"NEVER","quantity":3}]},
    {"external_ref":"7","draft":true,"lines":[{"sku":"A","quantity":99}]}]');

-- By key: the same rows, though stock has come meanwhile.
CREATE TEMPORARY TABLE first AS SELECT * FROM oms.place_orders('[{"external_ref":"k1","lines":[{"sku":"B","quantity":1}]},{"external_ref":"k2","lines":[{"sku":"NEVER","quantity":1}]}, "x"]', 'key');
SELECT oms.receive_stock('default', 'B', 5);
SELECT (SELECT json_agg(a) FROM oms.place_orders('[{"external_ref":"k1","lines":[{"sku":"B","quantity":1}]},{"external_ref":"k2","lines":[{"sku":"NEVER","quantity":1}]}, "x"]', 'key') a)::text
     = (SELECT json_agg(f) FROM first f)::text AS the_same, (SELECT array_agg(sqlstate ORDER BY position) FROM first) AS states;
SELECT * FROM oms.place_orders('[]', 'key');

-- An error that only comes when rows are written is that of its order: here a trigger's.
CREATE FUNCTION public.refuse_thirteen() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'thirteen' USING DETAIL = 'no luck'; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON oms.order_lines FOR EACH ROW WHEN (NEW.ordered = 13) EXECUTE FUNCTION public.refuse_thirteen();
SELECT position, sqlstate, message, result ->> 'detail' AS detail FROM oms.place_orders((SELECT jsonb_agg(jsonb_build_object('external_ref', 't' || n, 'lines',
    jsonb_build_array(jsonb_build_object('sku', 'NEVER', 'quantity', CASE WHEN n % 4 = 0 THEN 13 ELSE 1 END)))) FROM generate_series(1, 9) n));
DROP TRIGGER refuse ON oms.order_lines;
DROP FUNCTION public.refuse_thirteen();
-- The same where rows are written by statements.
CREATE FUNCTION public.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER nothing AFTER INSERT ON oms.orders EXECUTE FUNCTION public.nothing();
CREATE TRIGGER nothing AFTER INSERT ON oms.order_lines EXECUTE FUNCTION public.nothing();
CREATE TRIGGER nothing AFTER INSERT ON oms.order_deliveries EXECUTE FUNCTION public.nothing();
CREATE TRIGGER nothing AFTER INSERT ON oms.fulfillments EXECUTE FUNCTION public.nothing();
CREATE TRIGGER nothing AFTER INSERT ON oms.allocations EXECUTE FUNCTION public.nothing();
CREATE TRIGGER nothing AFTER UPDATE ON oms.stock_counters EXECUTE FUNCTION public.nothing();
SELECT sqlstate, count(*), count(DISTINCT order_id) AS orders FROM oms.place_orders((SELECT jsonb_agg(jsonb_build_object('external_ref', 's' || n, 'ship_to', '{"city":"x"}'::jsonb,
    'lines', jsonb_build_array(jsonb_build_object('sku', 'NEVER', 'quantity', n), jsonb_build_object('sku', 'MAIL', 'quantity', 1, 'name', 'm')))) FROM generate_series(1, 9) n)) GROUP BY 1;
SELECT count(*), sum(a.promised) FROM oms.allocations a JOIN oms.orders o USING (order_id) JOIN oms.order_lines l USING (order_id, line_no) WHERE o.external_ref LIKE 's%' AND l.allocated = a.promised;
DROP FUNCTION public.nothing() CASCADE;
SELECT * FROM oms.audit();

-- Subtransactions are one for the call, not one for each order; neighbours that are placed by themselves share theirs.
CREATE FUNCTION pg_temp.transactions(call text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE own bigint := pg_current_xact_id()::text::bigint; last bigint;
BEGIN
    EXECUTE call;
    -- The next one, whose id says how many there were.
    BEGIN CREATE TEMPORARY TABLE next_one (n int); RAISE EXCEPTION USING ERRCODE = 'OM000'; EXCEPTION WHEN SQLSTATE 'OM000' THEN NULL; END;
    SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint INTO last;
    RETURN last - own;
END $$;
SELECT oms.issue_credit('GIFT', 500, 'EUR') IS NOT NULL AS issued;
SELECT pg_temp.transactions($$SELECT oms.place_order(jsonb_build_object('external_ref', 'o' || n, 'lines', '[{"sku":"NEVER","quantity":1}]'::jsonb)) FROM generate_series(1, 40) n$$) > 40 AS many_singly;
SELECT pg_temp.transactions($$SELECT oms.place_orders((SELECT jsonb_agg(jsonb_build_object('external_ref', 'x' || n, 'lines', '[{"sku":"NEVER","quantity":1}]'::jsonb))
    FROM generate_series(1, 200) n))$$) < 20 AS few_together;
SELECT pg_temp.transactions($$SELECT oms.place_orders((SELECT jsonb_agg(jsonb_build_object('external_ref', 'g' || n, 'lines', '[{"sku":"NEVER","quantity":1}]'::jsonb,
    'payments', '[{"method":"gift_card","account":"GIFT"}]'::jsonb)) FROM generate_series(1, 200) n))$$) < 20 AS few_by_themselves;
SELECT count(*) FROM oms.orders WHERE external_ref ~ '^[xg]';

-- Limits: orders, and lines of all orders.
SELECT count(*), min(sqlstate), max(sqlstate), min(message) FROM oms.place_orders((SELECT jsonb_agg(jsonb_build_object('external_ref', 'm' || n, 'lines', '[{"sku":"MAIL","quantity":1}]'::jsonb)) FROM generate_series(1, 10000) n));
SELECT count(*) FROM oms.place_orders((SELECT jsonb_agg(n) FROM generate_series(1, 10001) n));
SELECT count(*), max(sqlstate) FROM oms.place_orders((SELECT jsonb_agg(jsonb_build_object('external_ref', 'l' || n, 'draft', true, 'lines', l)) FROM generate_series(1, 20) n,
    (SELECT jsonb_agg('{"sku":"MAIL","quantity":1}'::jsonb) AS l FROM generate_series(1, 5000)) x));
SELECT count(*) FROM oms.place_orders((SELECT jsonb_agg(jsonb_build_object('external_ref', 'l' || n, 'draft', true, 'lines', l)) FROM generate_series(1, 20) n,
    (SELECT jsonb_agg('{"sku":"MAIL","quantity":1}'::jsonb) AS l FROM generate_series(1, 5000)) x) || '{"external_ref":"one","lines":[{"sku":"MAIL","quantity":1}]}');
-- A document at the limit of its size and one byte above it; the others are placed.
WITH size AS (SELECT 8 * 1024 * 1024 - pg_column_size('{"external_ref":"big","notes":"","lines":[{"sku":"MAIL","quantity":1}]}'::jsonb) AS rest)
SELECT position, sqlstate, message, result ->> 'detail' AS detail FROM size, oms.place_orders(jsonb_build_array(
    jsonb_build_object('external_ref', 'big', 'notes', repeat('x', rest), 'lines', '[{"sku":"MAIL","quantity":1}]'::jsonb),
    jsonb_build_object('external_ref', 'bag', 'notes', repeat('x', rest + 4), 'lines', '[{"sku":"MAIL","quantity":1}]'::jsonb),
    jsonb_build_object('external_ref', 'bit', 'lines', '[{"sku":"MAIL","quantity":1}]'::jsonb)));
SELECT * FROM oms.place_orders(NULL);
SELECT * FROM oms.place_orders('{"external_ref":"1","lines":[]}');
SELECT * FROM oms.place_orders('[]');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_order_batch;
