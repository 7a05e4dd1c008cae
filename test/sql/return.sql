-- return.sql: goods that come back, in every state, in parts, and by rules.
\pset pager off
CREATE DATABASE oms_return;
\c oms_return
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\set VERBOSITY default
SET oms.clock = '2026-03-01 12:00+00';
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":7},{"sku":"FILE","kind":"digital","price":3}]');
SELECT oms.upsert_locations('[{"code":"north"},{"code":"hub"}]');
SELECT oms.receive_stock('default', 'A', 1000), oms.receive_stock('default', 'B', 1000);

-- An order with everything shipped; the rest of the tests return its units.
CREATE FUNCTION shipped(reference text, lines jsonb) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE id bigint := (oms.place_order(jsonb_build_object('external_ref', reference, 'lines', lines,
    'payments', '[{"method":"card","status":"captured"}]'::jsonb))->>'order_id')::bigint;
BEGIN
    PERFORM oms.release_fulfillment(fulfillment_id) FROM oms.fulfillments f WHERE order_id = id AND f.location_id IS NOT NULL;
    PERFORM oms.ship_fulfillment(fulfillment_id) FROM oms.fulfillments f WHERE order_id = id AND f.location_id IS NOT NULL;
    PERFORM oms.deliver_fulfillment(fulfillment_id) FROM oms.fulfillments f WHERE order_id = id;
    RETURN id;
END $$;
CREATE FUNCTION brief(document jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s at %s: %s', document->>'status', document->>'location',
        (SELECT string_agg(format('line %s %s/%s', l->>'line_no', l->>'received', l->>'requested'), ', ')
         FROM jsonb_array_elements(document->'lines') l))
$$;
CREATE FUNCTION units(id bigint) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('line %s: shipped %s, requested %s, returned %s', line_no, shipped, return_requested, returned), '; '
        ORDER BY line_no) || '; ' || (SELECT fulfillment_status FROM oms.orders WHERE order_id = id) FROM oms.order_lines WHERE order_id = id
$$;

-- Nothing that has not shipped can come back.
SELECT oms.place_order('{"external_ref":"open","lines":[{"sku":"A","quantity":5}]}')->>'order_id' AS order_id;
SELECT oms.request_return(1);
SELECT oms.request_return(1, '[{"line_no":1,"quantity":1},{"line_no":3}]');
SELECT oms.request_return(999);

SELECT shipped('whole', '[{"sku":"A","quantity":5},{"sku":"B","quantity":2},{"sku":"FILE","quantity":1}]') AS order_id;
-- All faults of a document at once.
SELECT oms.request_return(2, '[{"line_no":0},{"quantity":1},{"line_no":1,"quantity":0,"colour":"red"}]', NULL, '{"place":"hub"}');
SELECT oms.request_return(2, '[{"line_no":1},{"line_no":1}]');
SELECT oms.request_return(2, '[]');
SELECT oms.request_return(2, '[{"line_no":1,"quantity":6},{"line_no":2,"quantity":3}]');
SELECT oms.request_return(2, '[{"line_no":1}]', 'fit', '{"location":"nowhere"}');
SELECT brief(oms.request_return(2, '[{"line_no":1,"quantity":3,"reason":"too_big"},{"line_no":3}]', 'fit', NULL, 'k1'));
SELECT brief(oms.request_return(2, '[{"line_no":1,"quantity":3,"reason":"too_big"},{"line_no":3}]', 'fit', NULL, 'k1')) AS repeated;
SELECT oms.request_return(2, '[{"line_no":1,"quantity":2}]', 'fit', NULL, 'k1');
SELECT units(2);
-- Units are on one return at a time.
SELECT oms.request_return(2, '[{"line_no":1,"quantity":3}]');
SELECT brief(oms.ship_return(1, '{"carrier":"ups","tracking_number":"1Z"}'));
SELECT oms.ship_return(1, '{"trackingNumber":"1Z"}');

-- In parts, each with its disposition; only what is restocked is on hand again.
SELECT oms.receive_return(1, '[{"line_no":1,"quantity":4}]');
SELECT oms.receive_return(1, '[{"line_no":2},{"line_no":1,"quantity":2,"location":"nowhere"},{"line_no":3,"disposition":"restock"}]');
SELECT oms.receive_return(1, '[{"line_no":1,"quantity":1,"disposition":"sold"}]');
SELECT oms.receive_return(1, '[]');
SELECT brief(oms.receive_return(1, '[{"line_no":1,"quantity":1},{"line_no":1,"quantity":1,"disposition":"damaged","location":"north","reason":"wet"}]'));
SELECT units(2);
SELECT brief(oms.receive_return(1, '[{"line_no":1,"location":"hub"}]'));
SELECT brief(oms.receive_return(1));
SELECT oms.receive_return(1);
SELECT line_no, quantity, disposition, l.code, reason FROM oms.return_receipts LEFT JOIN oms.locations l USING (location_id) ORDER BY receipt_id;
SELECT l.code, s.on_hand FROM oms.stock s JOIN oms.locations l USING (location_id) JOIN oms.items USING (item_id) WHERE sku = 'A' ORDER BY 1;
SELECT l.code, s.state, s.quantity FROM oms.stock_states s JOIN oms.locations l USING (location_id) ORDER BY 1, 2;
SELECT type, on_hand_delta, state, state_delta, order_id, reference FROM oms.stock_movements WHERE type = 'return' ORDER BY movement_id;
SELECT brief(oms.close_return(1, 'inspected'));
SELECT units(2);
-- The rest: everything is back.
SELECT brief(oms.request_return(2));
SELECT brief(oms.receive_return(2));
SELECT brief(oms.close_return(2));
SELECT units(2);
SELECT oms.request_return(2);
SELECT jsonb_path_query_array(oms.get_order(2), '$.returns[*].status') AS returns;
SELECT type, action, from_state, to_state, reason, data FROM oms.order_timeline(2) WHERE object_type = 'return';
SELECT * FROM oms.audit();

-- What ends without a receipt, or before all came, frees its units.
SELECT shipped('ends', '[{"sku":"A","quantity":4}]') AS order_id;
SELECT brief(oms.request_return(3)), units(3);
SELECT brief(oms.cancel_return(3, 'changed mind')), units(3);
SELECT brief(oms.request_return(3)), units(3);
SELECT brief(oms.reject_return(4, 'worn')), units(3);
SELECT brief(oms.request_return(3)), brief(oms.receive_return(5, '[{"line_no":1,"quantity":1}]'));
SELECT brief(oms.close_return(5)), units(3);
SELECT oms.get_return(99);
SELECT oms.approve_return(NULL);

-- Rules: approval, windows, where to.
INSERT INTO oms.return_rules (rank, reason, approval) VALUES (1, 'used', 'required');
INSERT INTO oms.return_rules (rank, item_id, return_window) SELECT 2, item_id, '0' FROM oms.items WHERE sku = 'FILE';
INSERT INTO oms.return_rules (rank, return_window) VALUES (3, '14 days');
INSERT INTO oms.return_rules (rank, reason, location_id) SELECT 4, 'broken', location_id FROM oms.locations WHERE code = 'hub';
INSERT INTO oms.return_rules (rank, from_location_id, location_id)
    SELECT 5, (SELECT location_id FROM oms.locations WHERE code = 'default'), (SELECT location_id FROM oms.locations WHERE code = 'north');
SELECT shipped('rules', '[{"sku":"A","quantity":4},{"sku":"FILE","quantity":1},{"sku":"B","quantity":9}]') AS order_id;
SELECT brief(oms.request_return(4, '[{"line_no":1,"quantity":1}]', 'used'));
SELECT oms.receive_return(6);
SELECT brief(oms.approve_return(6));
SELECT brief(oms.request_return(4, '[{"line_no":1,"quantity":1}]', 'broken'));
SELECT brief(oms.request_return(4, '[{"line_no":1,"quantity":1,"reason":"broken"},{"line_no":3,"quantity":2}]')) AS most_units;
SELECT brief(oms.request_return(4, '[{"line_no":3,"quantity":1}]', 'broken', '{"location":"default","external_ref":"RMA-1","attributes":{"agent":"x"}}'));
SELECT oms.request_return(4, '[{"line_no":2}]');
SET oms.clock = '2026-03-15 11:59+00';
SELECT brief(oms.request_return(4, '[{"line_no":3,"quantity":1}]'));
SET oms.clock = '2026-03-15 12:00+00';
SELECT oms.request_return(4, '[{"line_no":3,"quantity":1}]');
SELECT oms.request_return(4);
UPDATE oms.return_rules SET return_window = NULL WHERE rank = 3;
UPDATE oms.locations SET active = false;
SELECT oms.request_return(4, '[{"line_no":3,"quantity":1}]');
UPDATE oms.locations SET active = true;
-- A held order takes no requests.
INSERT INTO oms.hold_types (code, name, levels, blocks) VALUES ('no_returns', 'No returns', '{order,line}', '{return.request,return.receive}');
SELECT oms.release_fulfillment(1)->>'status' AS status, oms.ship_fulfillment(1)->>'fulfillment_status' AS shipped;
SELECT brief(oms.request_return(1, '[{"line_no":1,"quantity":1}]'));
SELECT oms.hold_order(1, 'no_returns', 'dispute', 1) AS hold \gset
SELECT oms.request_return(1, '[{"line_no":1,"quantity":1}]');
SELECT oms.receive_return(11);
SELECT oms.release_hold(:hold);
SELECT brief(oms.receive_return(11));
SELECT * FROM oms.audit();

-- Cancelling after a part has shipped: what can be stopped is stopped, the rest is to come back.
DELETE FROM oms.return_rules;
SELECT oms.place_order('{"external_ref":"half","lines":[{"sku":"A","quantity":5},{"sku":"B","quantity":2}]}')->>'order_id' AS id \gset
SELECT oms.release_fulfillment(max(fulfillment_id)) IS NOT NULL AS released FROM oms.fulfillments WHERE order_id = :id;
SELECT oms.ship_fulfillment(max(fulfillment_id), '{"lines":[{"line_no":1,"quantity":3}]}') IS NOT NULL AS shipped FROM oms.fulfillments WHERE order_id = :id;
SELECT oms.cancel_order(:id, '[{"line_no":1,"quantity":4}]');
SELECT oms.cancel_order(:id, '[{"line_no":9}]', 'mistake', 'return');
SELECT oms.cancel_order(:id, NULL, 'mistake', 'maybe');
SELECT oms.cancel_order(:id, '[{"line_no":1,"quantity":6}]', 'mistake', 'return');
SELECT a->'stopped' AS stopped, a->>'return_id' AS ret FROM oms.cancel_order(:id, '[{"line_no":1,"quantity":4}]', 'mistake', 'return') a \gset
SELECT :'stopped' AS stopped, brief(oms.get_return(:ret)) AS return;
SELECT units(:id);
WITH answer AS MATERIALIZED (SELECT oms.cancel_order(:id, NULL, 'all of it', 'return') AS a)
    SELECT a->'stopped' AS stopped, a ? 'return_id' AS has_return FROM answer;
SELECT units(:id), (SELECT status FROM oms.orders WHERE order_id = :id);
SELECT oms.cancel_order(:id, NULL, 'once more', 'return');

-- Every step from every state: allowed ones lead on, all others are refused and change nothing.
DELETE FROM oms.return_rules;
INSERT INTO oms.return_rules (approval) VALUES ('required');
SELECT shipped('steps', '[{"sku":"A","quantity":200}]') AS steps \gset
CREATE FUNCTION in_state(wanted text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE id bigint := (oms.request_return((SELECT order_id FROM oms.orders WHERE external_ref = 'steps'), '[{"line_no":1,"quantity":2}]')->>'return_id')::bigint;
BEGIN
    IF wanted NOT IN ('requested', 'rejected', 'cancelled') THEN PERFORM oms.approve_return(id); END IF;
    IF wanted = 'in_transit' THEN PERFORM oms.ship_return(id); END IF;
    IF wanted IN ('received', 'closed') THEN PERFORM oms.receive_return(id, '[{"line_no":1,"quantity":1}]'); END IF;
    IF wanted = 'closed' THEN PERFORM oms.close_return(id); END IF;
    IF wanted = 'rejected' THEN PERFORM oms.reject_return(id); END IF;
    IF wanted = 'cancelled' THEN PERFORM oms.cancel_return(id); END IF;
    RETURN id;
END $$;
CREATE FUNCTION try_step(wanted text, action text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint := in_state(wanted);
    before text := units((SELECT order_id FROM oms.orders WHERE external_ref = 'steps')) || (SELECT count(*) FROM oms.events) || oms.get_return(id)::text;
    answer jsonb;
BEGIN
    EXECUTE format('SELECT oms.%s_return(%s)', action, id) INTO answer;
    RETURN answer->>'status';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || CASE WHEN before = units((SELECT order_id FROM oms.orders WHERE external_ref = 'steps')) || (SELECT count(*) FROM oms.events) || oms.get_return(id)::text THEN '' ELSE ' and changed' END;
END $$;
SELECT s AS state, try_step(s, 'approve') AS approve, try_step(s, 'ship') AS ship, try_step(s, 'receive') AS receive,
       try_step(s, 'reject') AS reject, try_step(s, 'cancel') AS cancel, try_step(s, 'close') AS close
FROM unnest(ARRAY['requested', 'approved', 'in_transit', 'received', 'closed', 'rejected', 'cancelled']) s;
SELECT oms.approve_return(in_state('closed'));
SELECT in_state('requested') AS id \gset
UPDATE oms.returns SET status = 'closed' WHERE return_id = :id;
SELECT * FROM oms.audit();

-- What is corrupted by hand is found.
CREATE FUNCTION found_after(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    BEGIN
        SET LOCAL session_replication_role = replica;  -- no guard fires
        EXECUTE statement;
        SET LOCAL session_replication_role = origin;
        SELECT string_agg(DISTINCT "check", ', ' ORDER BY "check") INTO found FROM oms.audit();
        RAISE EXCEPTION 'undo';
    EXCEPTION WHEN raise_exception THEN
        RETURN found;
    END;
END $$;
-- Every action in every state does what the machine says.
CREATE FUNCTION refuses(call text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE call;
    RAISE EXCEPTION 'undo' USING ERRCODE = 'P0001';
EXCEPTION
    WHEN SQLSTATE 'P0001' THEN RETURN NULL;
    WHEN OTHERS THEN RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
SELECT (oms.request_return(shipped('machine', '[{"sku":"A","quantity":2}]')) ->> 'return_id')::bigint AS steps \gset
ALTER TABLE oms.returns DISABLE TRIGGER guard_transition;
CREATE TABLE step_outcome AS SELECT s.state, a.action, NULL::text AS refused
    FROM oms.state_machines s, (VALUES ('approve'), ('reject'), ('cancel'), ('ship'), ('receive'), ('close')) a(action) WHERE machine = 'return' AND tenant_id = 1;
SELECT set_config('test.steps', :'steps', false) \g /dev/null
DO $$
DECLARE o record; id bigint := current_setting('test.steps');
BEGIN
    FOR o IN SELECT ctid, * FROM step_outcome LOOP
        UPDATE oms.returns SET status = o.state WHERE return_id = id;
        UPDATE step_outcome SET refused = refuses(format('SELECT oms.%s_return(%s)', o.action, id)) WHERE ctid = o.ctid;
    END LOOP;
    UPDATE oms.returns SET status = 'approved' WHERE return_id = id;
END $$;
SELECT count(*) AS tried, count(*) FILTER (WHERE refused IS NULL) AS legal FROM step_outcome;
SELECT state, action, refused FROM step_outcome o WHERE (o.refused IS NULL) <> EXISTS (SELECT FROM oms.transitions t WHERE t.machine = 'return' AND t.tenant_id = 1
    AND t.from_state = o.state AND t.action = o.action) OR o.refused NOT LIKE format('OM002 return %s is %s: %s is not allowed', :steps, o.state, o.action) ORDER BY 1, 2;
SELECT * FROM oms.audit();
SELECT s AS corruption, found_after(s) AS found FROM unnest(ARRAY[
    'UPDATE oms.order_lines SET return_requested = 1 WHERE order_id = 3',
    'UPDATE oms.order_lines SET returned = 0 WHERE order_id = 3',
    'UPDATE oms.return_lines SET received = 0 WHERE return_id = 5',
    'UPDATE oms.return_lines SET requested = 7 WHERE return_id = 7',
    'UPDATE oms.return_receipts SET quantity = 2 WHERE return_id = 5',
    'UPDATE oms.return_receipts SET disposition = ''scrap'' WHERE return_id = 5',
    'DELETE FROM oms.return_receipts WHERE return_id = 5',
    'UPDATE oms.returns SET status = ''cancelled'' WHERE return_id = 5',
    'UPDATE oms.returns SET status = ''closed'' WHERE return_id = 6',
    'UPDATE oms.returns SET order_id = 99 WHERE return_id = 5',
    'DELETE FROM oms.returns WHERE return_id = 5',
    'DELETE FROM oms.return_lines WHERE return_id = 5',
    'UPDATE oms.return_lines SET line_no = 2 WHERE return_id = 5',
    'DELETE FROM oms.stock_movements WHERE state = ''damaged''',
    'DELETE FROM oms.stock_movements WHERE type = ''return'' AND order_id = 3',
    'DELETE FROM oms.events WHERE type = ''return.requested'' AND object_id = 5'
]) s;
SELECT count(*) FROM oms.audit();
\c postgres
DROP DATABASE oms_return;
