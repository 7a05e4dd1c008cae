-- guard.sql: guards and hooks of orders: what they are told, when they run, and previews that answer as placing would.
\pset pager off
CREATE DATABASE oms_guard;
\c oms_guard
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_items('[{"sku":"A","price":10}]'), oms.receive_stock('default', 'A', 100);
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; detail text;
BEGIN
    EXECUTE call INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
-- The document with what both answer: the status, or the refusal without the number that a preview does not have.
CREATE FUNCTION in_turn(document jsonb) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT regexp_replace(attempt(format('SELECT oms.%s(%L) ->> %L', f, document, 'status')), '^(OM002 order) \d+', '\1')
    FROM unnest('{preview_order,place_order}'::text[]) f;
$$;

-- A guard sees the document that is placed; its own words reach the caller; what it writes for a preview is undone.
CREATE TABLE asked (reference text, object_id bigint);
CREATE FUNCTION careful(step jsonb) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.asked VALUES (step #>> '{document,external_ref}', (step ->> 'object_id')::bigint);
    IF step #>> '{document,attributes,colour}' = 'green' THEN
        RAISE EXCEPTION 'nobody wants green' USING ERRCODE = 'OM006', DETAIL = 'attributes.colour: is green';
    END IF;
    RETURN (step #>> '{document,lines,0,quantity}')::int <= 5;
END $$;
BEGIN;
UPDATE oms.transitions SET guard = 'public.careless' WHERE machine = 'order' AND action = 'place';
COMMIT;
UPDATE oms.transitions SET guard = 'public.careful' WHERE machine = 'order' AND action = 'place';
SELECT in_turn('{"external_ref":"1","lines":[{"sku":"A","quantity":5}]}');
SELECT in_turn('{"external_ref":"2","lines":[{"sku":"A","quantity":6}]}');
SELECT in_turn('{"external_ref":"3","lines":[{"sku":"A","quantity":1}],"attributes":{"colour":"green"}}');
-- What stock refuses is refused before the guard is asked, in both.
SELECT in_turn('{"external_ref":"4","lines":[{"sku":"A","quantity":600}]}');
SELECT reference, object_id > 0 FROM asked;
-- Without the step nothing is placed, and the preview says so.
BEGIN;
DELETE FROM oms.transitions WHERE machine = 'order' AND action = 'place';
SELECT in_turn('{"external_ref":"5","lines":[{"sku":"A","quantity":1}]}');
ROLLBACK;

-- A hook finds what its step has written, and its own calls are events after the step's.
CREATE FUNCTION follow(step jsonb) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) FROM oms.order_lines WHERE order_id = (step ->> 'order_id')::bigint) <> 1 THEN
        RAISE EXCEPTION 'one line at a time, please';
    END IF;
    PERFORM oms.hold_order((step ->> 'order_id')::bigint, 'manual', format('from %s to %s', step ->> 'from_state', (SELECT status FROM oms.orders WHERE order_id = (step ->> 'order_id')::bigint)));
END $$;
UPDATE oms.transitions SET after_hook = 'public.follow' WHERE machine = 'order' AND action = 'place';
SELECT oms.place_order('{"external_ref":"6","lines":[{"sku":"A","quantity":1}]}') ->> 'status';
SELECT type, reason FROM oms.order_timeline(oms.find_order('default', '6'));
-- Its error refuses the step, and nothing is left of it.
SELECT attempt($$SELECT oms.place_order('{"external_ref":"7","lines":[{"sku":"A","quantity":1},{"sku":"A","quantity":2}]}')$$);
SELECT oms.find_order('default', '7') IS NULL, reserved FROM oms.stock;
-- A step that a dry run takes runs no hook.
CREATE FUNCTION note(step jsonb) RETURNS void LANGUAGE sql AS $$ INSERT INTO public.asked SELECT status, order_id FROM oms.orders WHERE order_id = (step ->> 'order_id')::bigint $$;
UPDATE oms.transitions SET after_hook = 'public.note' WHERE machine = 'order' AND action = 'cancel' AND from_state = 'placed';
SELECT oms.find_order('default', '6') AS o \gset
SELECT oms.edit_order(:o, '{"lines":[{"line_no":1,"quantity":0}]}', dry_run => true) #>> '{order,status}', (SELECT count(*) FROM asked WHERE object_id = :o AND reference = 'cancelled');
SELECT oms.edit_order(:o, '{"lines":[{"line_no":1,"quantity":0}]}') #>> '{order,status}';
SELECT reference FROM asked WHERE object_id = :o;
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_guard;
