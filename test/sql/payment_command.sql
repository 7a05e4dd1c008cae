-- payment_command.sql: commands to the provider, capture policies, refunds granted and paid, answers in any order.
\pset pager off
CREATE DATABASE oms_payment_command;
\c oms_payment_command
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":3.33},{"sku":"C","price":0.01}]');
SELECT oms.receive_stock('default', s, 1000) FROM unnest('{A,B,C}'::text[]) s;
SELECT oms.upsert_channels('[{"code":"hand","capture":"manual"},{"code":"at-once","capture":"placing"},{"code":"released","capture":"release"},
    {"code":"oldest","capture":"manual","refund_order":"oldest"},{"code":"shares","capture":"manual","refund_order":"proportional"},
    {"code":"yen","currency":"JPY"},{"code":"dinar","currency":"KWD"}]');
SELECT oms.upsert_channels('[{"code":"hand","refund_order":"dearest"}]');

CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; detail text;
BEGIN
    EXECUTE call INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
CREATE FUNCTION place(channel text, reference text, quantity int, payments jsonb, sku text DEFAULT 'A') RETURNS bigint LANGUAGE sql
RETURN (oms.place_order(jsonb_build_object('channel', channel, 'external_ref', reference, 'payments', payments,
        'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity)))) ->> 'order_id')::bigint;
CREATE FUNCTION balance(id bigint) RETURNS text LANGUAGE sql
BEGIN ATOMIC
    SELECT format('authorized %s captured %s refunded %s granted %s due %s excess %s pending %s: %s, %s faults', b ->> 'authorized', b ->> 'captured',
                  b ->> 'refunded', b ->> 'granted', b ->> 'due', b ->> 'excess', coalesce((b -> 'pending')::text, 'none'), b ->> 'payment_status',
                  (SELECT count(*) FROM oms.audit()))
    FROM oms.order_balance(id) b;
END;
-- What a provider that does as it is told answers.
CREATE FUNCTION obey() RETURNS bigint LANGUAGE sql AS $$
    SELECT count(oms.record_payment_event(payment_id, type, amount - answered, 'answer ' || command_id))
    FROM (SELECT * FROM oms.payment_commands WHERE status = 'open' ORDER BY command_id) c;
$$;

-- By hand: a part, too much, the rest, and nothing twice.
SELECT place('hand', 'h1', 10, '[{"method":"card","amount":60},{"method":"voucher","amount":40}]') AS id \gset
SELECT attempt(format('SELECT oms.request_capture(%s, 70)', :id));
SELECT balance(:id);
SELECT attempt(format('SELECT oms.request_capture(%s, 30.01)', :id));
SELECT attempt(format('SELECT oms.request_capture(%s, 30.001)', :id));
SELECT attempt(format('SELECT oms.request_capture(%s, 0)', :id));
SELECT attempt(format('SELECT oms.request_capture(%s, 1, 999)', :id));
SELECT attempt(format('SELECT oms.request_capture(%s)', :id));
SELECT attempt(format('SELECT oms.request_capture(%s)', :id));
SELECT obey();
SELECT balance(:id);
-- Granting is one thing, paying another.
SELECT attempt(format('SELECT oms.request_refund(%s)', :id));
SELECT attempt(format('SELECT oms.grant_refund(%s, 30, ''late'')', :id));
SELECT balance(:id);
SELECT attempt(format('SELECT oms.grant_refund(%s, 70.01, ''late'')', :id));
SELECT attempt(format('SELECT oms.grant_refund(%s, 0, ''late'')', :id));
SELECT attempt(format('SELECT oms.grant_refund(%s, 1.001, ''late'')', :id));
SELECT attempt(format('SELECT oms.grant_refund(%s, NULL, ''late'')', :id));
SELECT attempt(format('SELECT oms.grant_refund(%s, 25, ''kindness'')', :id));
SELECT attempt('SELECT oms.revoke_refund(2, ''a mistake'')');
SELECT attempt('SELECT oms.revoke_refund(2, ''a mistake'')');
SELECT attempt('SELECT oms.revoke_refund(99, ''a mistake'')');
SELECT attempt(format('SELECT oms.request_refund(%s, 10)', :id));
SELECT attempt(format('SELECT oms.request_refund(%s, 21)', :id));
SELECT attempt(format('SELECT oms.request_refund(%s)', :id));
SELECT attempt('SELECT oms.revoke_refund(1, ''too late'')');
SELECT obey();
SELECT balance(:id);
SELECT attempt(format('SELECT oms.request_refund(%s)', :id));

-- A refund over several payments: newest first, oldest first, in shares that add up.
SELECT c, place(c, 'spread ' || c, 10, '[{"method":"one","amount":33.33,"status":"captured"},{"method":"two","amount":33.33,"status":"captured"},{"method":"three","amount":33.34,"status":"captured"}]') AS id,
       c FROM unnest('{hand,oldest,shares}'::text[]) c;
SELECT oms.grant_refund(oms.find_order(c, 'spread ' || c), 50, 'test') FROM unnest('{hand,oldest,shares}'::text[]) c;
SELECT c, string_agg(k ->> 'method' || ' ' || (k ->> 'amount'), ', ' ORDER BY k ->> 'payment_id') FROM unnest('{hand,oldest,shares}'::text[]) c,
    jsonb_array_elements(oms.request_refund(oms.find_order(c, 'spread ' || c)) -> 'commands') k GROUP BY c ORDER BY c;
-- A provider that fails and is asked again.
SELECT oms.record_payment_event(payment_id, 'refund_failed', 0, 'no') ->> 'excess' FROM oms.payment_commands
    WHERE status = 'open' AND order_id = oms.find_order('oldest', 'spread oldest') ORDER BY command_id LIMIT 1;
SELECT jsonb_array_length(oms.request_refund(oms.find_order('oldest', 'spread oldest')) -> 'commands');
SELECT obey();
SELECT balance(oms.find_order(c, 'spread ' || c)) FROM unnest('{hand,oldest,shares}'::text[]) c;

SELECT refund_id, amount, status FROM oms.refunds ORDER BY refund_id;

-- Voiding what is left.
SELECT place('hand', 'v1', 10, '[{"method":"card"}]') AS id \gset
SELECT oms.request_capture(:id, 40) -> 'commands' -> 0 ->> 'amount';
SELECT attempt('SELECT oms.request_void(max(payment_id)) FROM oms.payments');
SELECT attempt('SELECT oms.request_void(max(payment_id)) FROM oms.payments');
SELECT attempt('SELECT oms.request_void(9999)');
SELECT balance(:id);
SELECT obey();
SELECT balance(:id);
SELECT status FROM oms.payments WHERE order_id = :id;

-- At once, with each release, with each shipment: parts add up to the total whatever is rounded.
SELECT balance(place('at-once', 'p1', 3, '[{"method":"card"}]'));
CREATE FUNCTION fulfil(id bigint, step text, lines jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$
DECLARE f bigint;
BEGIN
    SELECT min(fulfillment_id) INTO f FROM oms.fulfillments WHERE order_id = id AND status = CASE step WHEN 'release' THEN 'planned' ELSE 'released' END;
    IF step = 'release' THEN PERFORM oms.release_fulfillment(f);
    ELSE PERFORM oms.ship_fulfillment(f, CASE WHEN lines IS NOT NULL THEN jsonb_build_object('lines', lines) END); END IF;
    PERFORM obey();
    RETURN balance(id);
END $$;
SELECT place('released', 'r1', 3, '[{"method":"card"}]') AS id \gset
SELECT fulfil(:id, 'release');
CREATE FUNCTION in_parts(channel text, adjustments jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    id bigint := (oms.place_order(jsonb_build_object('channel', channel, 'external_ref', 'parts', 'payments', '[{"method":"card"}]'::jsonb,
        'adjustments', adjustments, 'lines', '[{"sku":"A","quantity":3,"unit_price":7},{"sku":"B","quantity":4,"unit_price":3}]'::jsonb)) ->> 'order_id')::bigint;
BEGIN
    PERFORM fulfil(id, 'release');
    RETURN NEXT fulfil(id, 'ship', '[{"line_no":1,"quantity":1}]');
    RETURN NEXT fulfil(id, 'ship', '[{"line_no":2,"quantity":3}]');
    RETURN NEXT fulfil(id, 'ship', '[{"line_no":1,"quantity":1}]');
    RETURN NEXT fulfil(id, 'ship');
END $$;
SELECT in_parts('default', '[{"type":"discount","amount":-3.33},{"type":"shipping","amount":4.9},{"type":"tax","amount":5.01}]');
SELECT in_parts('yen', '[{"type":"discount","amount":-5},{"type":"shipping","amount":4},{"type":"tax","amount":7}]');
SELECT in_parts('dinar', '[{"type":"discount","amount":-3.333},{"type":"shipping","amount":0.005},{"type":"tax","amount":5.001}]');
SELECT string_agg(amount::text, ' + ' ORDER BY command_id) || ' = ' || sum(amount) FROM oms.payment_commands WHERE type = 'capture' GROUP BY order_id
    HAVING count(*) > 2 ORDER BY order_id;

-- What no authorization covers is told; when it is authorized again it is captured without another word.
SELECT place('default', 's1', 3, '[{"method":"card"}]') AS id \gset
SELECT oms.record_payment_event(max(payment_id), 'expire', 0, 'x') ->> 'authorized' FROM oms.payments WHERE order_id = :id;
SELECT fulfil(:id, 'release');
SELECT fulfil(:id, 'ship');
SELECT type, data ->> 'amount' FROM oms.events WHERE order_id = :id AND type LIKE '%needed';
SELECT oms.record_payment_event(max(payment_id), 'authorize', 30, 'again') -> 'pending' FROM oms.payments WHERE order_id = :id;
SELECT obey();
SELECT balance(:id);

-- The end is the same in whatever order the answers arrive.
CREATE FUNCTION permutations(list text[]) RETURNS SETOF text[] LANGUAGE sql AS $$
    WITH RECURSIVE p(done, rest) AS (
        SELECT '{}'::text[], list
        UNION ALL
        SELECT done || rest[i], rest[:i - 1] || rest[i + 1:] FROM p, generate_subscripts(rest, 1) i)
    SELECT done FROM p WHERE rest = '{}';
$$;
CREATE FUNCTION ends_of(name text, VARIADIC list text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    id bigint; p bigint; n int := 0; one text[]; step text; ends text[] := '{}'; e text;
BEGIN
    FOR one IN SELECT permutations(list) LOOP
        n := n + 1;
        id := place('hand', name || n, 1, '[{"method":"card","status":"pending"}]', 'C');
        SELECT payment_id INTO p FROM oms.payments WHERE order_id = id;
        FOREACH step IN ARRAY one LOOP
            PERFORM oms.record_payment_event(p, split_part(step, ' ', 2), split_part(step, ' ', 3)::numeric, step,
                                             '2026-01-01'::timestamptz + split_part(step, ' ', 1)::int * interval '1 hour');
        END LOOP;
        SELECT format('%s authorized %s captured %s refunded %s unmatched %s', p.status, trim_scale(b.authorized), trim_scale(b.captured),
                      trim_scale(b.refunded), trim_scale(b.unmatched)) INTO e
        FROM oms.payments p JOIN oms.payment_balances b USING (payment_id) WHERE p.order_id = id;
        IF NOT e = ANY (ends) THEN ends := ends || e; END IF;
    END LOOP;
    RETURN format('%s orders of arrival: %s', n, array_to_string(ends, ' OR '));
END $$;
SELECT ends_of('plain', '1 authorize 100', '2 capture 60', '3 void 40', '4 refund 20', '5 charge_back 10');
SELECT ends_of('again', '1 authorize 100', '2 fail 0', '3 authorize 50', '4 capture 50');
SELECT ends_of('parts', '1 authorize 100', '2 capture 30', '3 capture 70', '4 refund 100');
SELECT ends_of('ended', '1 authorize 100', '2 capture 30', '3 expire 0');
SELECT ends_of('late refusal', '1 authorize 100', '2 expire 0', '3 authorize 100', '4 void 0');
SELECT ends_of('reversed', '1 capture 80', '2 charge_back 80', '3 charge_back_reversed 80', '4 refund 5');
SELECT count(*) FROM oms.audit();

-- What an edit adds is captured when the channel captures, as far as it is authorized; the rest is told.
SELECT place('at-once', 'dearer', 1, '[{"method":"card","amount":25}]') AS id \gset
SELECT oms.edit_order(:id, '{"lines":[{"line_no":1,"quantity":2}]}', true) #> '{balance,pending}';
SELECT oms.edit_order(:id, '{"lines":[{"line_no":1,"quantity":2}]}') #> '{balance,pending}';
SELECT oms.edit_order(:id, '{"lines":[{"line_no":1,"quantity":3}]}') #> '{balance,pending}';
SELECT type, data -> 'amount' AS amount FROM oms.order_timeline(:id) WHERE type IN ('payment.capture_requested', 'payment.authorization_needed');
SELECT oms.edit_order(:id, '{"lines":[{"line_no":1,"quantity":1}]}') #> '{balance,pending}';

-- One answer may be about several commands: what is beyond one goes to the next, and to none where nothing is asked for any more.
SELECT place('hand', 'one answer', 10, '[{"method":"card"}]') AS id \gset
SELECT min(payment_id) AS payment FROM oms.payments WHERE order_id = :id \gset
SELECT oms.request_capture(:id, 30) -> 'order_id' = to_jsonb(:id), oms.request_capture(:id, 50) -> 'order_id' = to_jsonb(:id), oms.request_capture(:id, 20) -> 'order_id' = to_jsonb(:id);
SELECT oms.record_payment_event(:payment, 'capture', 20, 'exactly one') -> 'pending';
SELECT oms.record_payment_event(:payment, 'capture', 40, 'the first and a part') -> 'pending';
SELECT amount, answered, status FROM oms.payment_commands WHERE order_id = :id ORDER BY command_id;
SELECT oms.record_payment_event(:payment, 'capture', 40, 'the rest') -> 'pending';
SELECT oms.grant_refund(:id, 50, 'late') > 0, oms.request_refund(:id, 20) IS NOT NULL, oms.request_refund(:id, 30) IS NOT NULL;
SELECT oms.order_balance(:id) ->> 'refundable';
SELECT oms.record_payment_event(:payment, 'refund', 60, 'more than asked for') -> 'pending';
SELECT balance(:id);

-- What ends a payment ends what was asked of it, but not what was asked of a later authorization.
SELECT place('hand', 'an end', 10, '[{"method":"card"}]') AS id \gset
SELECT min(payment_id) AS payment FROM oms.payments WHERE order_id = :id \gset
SELECT oms.request_capture(:id, 30) IS NOT NULL, oms.request_void(:payment) IS NOT NULL;
SELECT oms.record_payment_event(:payment, 'void', 0, 'all of it') -> 'pending';
SELECT oms.record_payment_event(:payment, 'authorize', 100, 'again') -> 'authorized', oms.request_capture(:id, 100) IS NOT NULL;
SELECT oms.record_payment_event(:payment, 'expire', 0, 'told late', (SELECT at FROM oms.payment_events WHERE reference = 'all of it')) -> 'pending';
SELECT attempt(format('SELECT oms.request_capture(%s)', :id));
SELECT oms.record_payment_event(:payment, 'fail', 0, 'told in time') -> 'pending';
SELECT balance(:id);
SELECT oms.record_payment_event(:payment, 'authorize', 100, 'once more') -> 'authorized', oms.request_capture(:id, 30) IS NOT NULL;
SELECT oms.record_payment_event(:payment, 'void', 60, 'a part') -> 'pending', oms.record_payment_event(:payment, 'void', 40, 'and the rest') -> 'pending';
SELECT balance(:id);

-- An order of which nothing is left asks back what providers still hold for it, as its end by the clock does; a part of it, or a hold, does not.
SELECT place('hand', 'ended', 3, '[{"method":"card","amount":20,"status":"authorized"},{"method":"other","amount":10,"status":"authorized"}]') AS id,
       place('hand', 'ended but held', 1, '[{"method":"card","amount":10,"status":"authorized"}]') AS held \gset
SELECT oms.record_payment_event(min(payment_id), 'capture', 5, 'a deposit') IS NOT NULL FROM oms.payments WHERE order_id = :id;
SELECT oms.cancel_order(:id, '[{"line_no":1,"quantity":1}]') ->> 'status', count(*) FROM oms.payment_commands WHERE order_id = :id;
SELECT oms.cancel_order(:id) ->> 'status';
SELECT method, type, amount, status FROM oms.payment_commands WHERE order_id = :id ORDER BY command_id;
SELECT place('hand', 'ended by its fulfillment', 1, '[{"method":"card","amount":10,"status":"authorized"}]') AS id \gset
SELECT oms.cancel_fulfillment(fulfillment_id) ->> 'status' FROM oms.fulfillments WHERE order_id = :id;
SELECT type, amount, status FROM oms.payment_commands WHERE order_id = :id;
INSERT INTO oms.hold_types (code, blocks) VALUES ('under claim', '{payment.void}');
SELECT oms.hold_order(:held, 'under claim') > 0, oms.cancel_order(:held) ->> 'status', count(*) FROM oms.payment_commands WHERE order_id = :held;
SELECT * FROM oms.audit();

-- audit() finds what does not follow from the events.
\set ON_ERROR_ROLLBACK on
CREATE FUNCTION corrupt(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE found text;
BEGIN
    PERFORM set_config('session_replication_role', 'replica', true);
    EXECUTE statement;
    SELECT string_agg(DISTINCT "check", ', ' ORDER BY "check") INTO found FROM oms.audit();
    RAISE EXCEPTION 'undo' USING ERRCODE = 'UNDO1', DETAIL = coalesce(found, 'nothing');
EXCEPTION WHEN SQLSTATE 'UNDO1' THEN
    GET STACKED DIAGNOSTICS found = PG_EXCEPTION_DETAIL;
    RETURN found;
END $$;
SELECT corrupt('UPDATE oms.payments SET status = ''failed'' WHERE payment_id = 1');
SELECT corrupt('DELETE FROM oms.payments WHERE payment_id = 1');
SELECT corrupt('UPDATE oms.payment_events SET amount = amount + 100 WHERE type = ''refund''');
SELECT corrupt('UPDATE oms.payment_commands SET answered = 0 WHERE command_id = 1');
SELECT corrupt('UPDATE oms.refunds SET status = ''granted'' WHERE refund_id = 1');
SELECT corrupt('UPDATE oms.refunds SET order_id = 9999 WHERE refund_id = 1');
