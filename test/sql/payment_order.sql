-- payment_order.sql: what the provider reports adds up to the same whatever order it comes in.
\pset pager off
CREATE DATABASE oms_payment_order;
\c oms_payment_order
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_items('[{"sku":"A","price":10}]'), oms.receive_stock('default', 'A', 1000000);
SELECT oms.upsert_channels('[{"code":"hand","capture":"manual"}]');
CREATE SEQUENCE reference;

CREATE FUNCTION permutations(list text[]) RETURNS SETOF text[] LANGUAGE sql AS $$
    WITH RECURSIVE p(done, rest) AS (
        SELECT '{}'::int[], ARRAY(SELECT generate_subscripts(list, 1))
        UNION ALL
        SELECT done || x, array_remove(rest, x) FROM p, unnest(rest) x
    )
    SELECT ARRAY(SELECT list[i] FROM unnest(done) WITH ORDINALITY u(i, n) ORDER BY n) FROM p WHERE rest = '{}'
$$;

-- Events are "minute type amount"; the end is what balance and payment say after all of them.
CREATE FUNCTION end_of(events text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    placed jsonb := oms.place_order(jsonb_build_object('channel', 'hand', 'external_ref', nextval('reference')::text) ||
        '{"lines":[{"sku":"A","quantity":10}],"payments":[{"method":"card","status":"pending"}]}');
    payment bigint := (placed->'payments'->>0)::bigint;
    balance jsonb;
    e text;
BEGIN
    FOREACH e IN ARRAY events LOOP
        balance := oms.record_payment_event(payment, split_part(e, ' ', 2), split_part(e, ' ', 3)::numeric, e,
                                            timestamptz '2026-01-01 12:00+00' + split_part(e, ' ', 1)::int * interval '1 minute');
    END LOOP;
    RETURN format('%s, %s: authorized %s captured %s refunded %s unmatched %s due %s pending %s',
                  (SELECT status FROM oms.payments WHERE payment_id = payment), balance->>'payment_status',
                  round((balance->>'authorized')::numeric), round((balance->>'captured')::numeric),
                  round((balance->>'refunded')::numeric), round(coalesce((balance->>'unmatched')::numeric, 0)),
                  round((balance->>'due')::numeric), coalesce(balance->>'pending', 'nothing'));
EXCEPTION WHEN SQLSTATE 'OM009' THEN
    RETURN 'refused after ' || array_to_string(events, ', ');
END $$;

SELECT l.events, count(*) || ' orders of arrival', string_agg(DISTINCT end_of(p), ' | ')
FROM (VALUES
    (1, '{1 authorize 100,2 capture 100}'::text[]),
    (2, '{1 authorize 100,2 capture 60,3 capture 40,4 refund 80}'),
    (3, '{1 authorize 100,2 fail 0}'),
    (4, '{1 fail 0,2 authorize 100}'),
    (5, '{1 authorize 100,2 expire 0,3 authorize 100,4 capture 100}'),
    (6, '{1 authorize 100,2 capture 40,3 expire 0,4 authorize 60}'),
    (7, '{1 authorize 100,2 void 30,3 capture 50}'),
    (8, '{1 authorize 100,2 void 100,3 authorize 90,4 capture 90}'),
    (9, '{1 authorize 50,2 authorize 50,3 capture 100}'),
    (10, '{1 authorize 100,2 capture 100,3 charge_back 100,4 charge_back_reversed 100}'),
    (11, '{1 capture 100,2 refund 30,3 charge_back 100}'),
    (12, '{1 authorize 120,2 capture 120,3 refund 20}'),
    (13, '{1 authorize 100,2 expire 0,3 fail 0,4 void 0}'),
    (14, '{1 authorize 50,2 capture 50,3 authorize 50,4 capture_failed 50,5 capture 50}')) l(n, events)
CROSS JOIN LATERAL permutations(l.events) p
GROUP BY l.n, l.events ORDER BY l.n;
-- A refund of more than was ever authorized or captured so far has to wait for its capture.
SELECT end_of('{1 authorize 50,4 refund 100,2 authorize 50,3 capture 100}'), end_of('{1 authorize 50,3 capture 100,4 refund 100,2 authorize 50}');
-- Without a time a capture or void is held to what is authorized; a refund always to what can have been captured.
SELECT (oms.place_order('{"channel":"hand","external_ref":"strict","lines":[{"sku":"A","quantity":10}],"payments":[{"method":"card","amount":50}]}')->'payments'->>0)::bigint AS p \gset
\set VERBOSITY default
SELECT oms.record_payment_event(:p, 'capture', 50.01, 'c');
SELECT oms.record_payment_event(:p, 'void', 50.01, 'v');
SELECT oms.record_payment_event(:p, 'refund', 50.01, 'r', now());
SELECT oms.record_payment_event(:p, 'authorize', 50, 'a2')->'pending' IS NULL AS "a channel that captures by hand asks for nothing";
SELECT oms.record_payment_event(:p, 'capture', 100, 'c', now())->>'payment_status';
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_payment_order;
