-- payment_rule.sql: what channels declare of money: capture order, confirmation, authorizations that end, charge-backs, excess, other methods.
\pset pager off
CREATE DATABASE oms_payment_rule;
\c oms_payment_rule
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SET timezone = 'UTC';
SET oms.clock = '2026-05-01 08:00+00';
SELECT oms.upsert_items('[{"sku":"A","price":10}]'), oms.receive_stock('default', 'A', 1000), oms.issue_credit('GIFT', 1000, 'EUR') ->> 'balance';
SELECT oms.upsert_channels('[{"code":"hand","capture":"manual"},{"code":"oldest","capture":"placing"},{"code":"newest","capture":"placing","capture_order":"newest"},
    {"code":"shares","capture":"placing","capture_order":"proportional"},{"code":"careful","capture":"placing","confirmation":"required"},
    {"code":"held","capture":"placing"},{"code":"returns","capture":"placing","refund_excess":"automatic","refund_order":"oldest"},
    {"code":"short","capture":"manual","authorization_period":"3 days","refund_methods":[{"method":"bank"}],"confirmation":"none"}]');
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; detail text;
BEGIN
    EXECUTE call INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
CREATE FUNCTION place(channel text, reference text, units int, payments jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT attempt(format('SELECT concat_ws('' '', o ->> ''payment_status'', o -> ''holds'' -> 0 ->> ''type'') FROM oms.place_order(%L) o', jsonb_build_object('channel', channel,
        'external_ref', reference, 'lines', jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', units)), 'payments', payments)));
$$;
CREATE FUNCTION number(reference text) RETURNS bigint LANGUAGE sql AS $$ SELECT order_id FROM oms.orders WHERE external_ref = reference $$;
CREATE FUNCTION commands(reference text) RETURNS text LANGUAGE sql AS $$
    SELECT coalesce(string_agg(concat_ws(' ', c.type, c.amount, coalesce(c.method || ' for', NULL), p.method, c.status), ', ' ORDER BY c.command_id), 'nothing asked')
    FROM oms.payment_commands c JOIN oms.payments p USING (payment_id) WHERE c.order_id = number(reference);
$$;
CREATE FUNCTION sums(reference text) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s: %s', o.payment_status, (oms.order_balance(o.order_id) - '{order_id,currency,payment_status}'::text[])::text) FROM oms.orders o WHERE external_ref = reference;
$$;

-- Captures take the payments in the order that the channel declares.
SELECT c, place(c, c, 5, '[{"method":"one","amount":30},{"method":"two","amount":30},{"method":"three","amount":15}]'), commands(c) FROM unnest('{oldest,newest,shares}'::text[]) c;
SELECT attempt($$SELECT oms.upsert_channels('[{"code":"hand","capture_order":"random","refund_excess":"always","refund_methods":[{"name":"x"}],"authorization_period":"soon"}]')$$);

-- Until it is confirmed nothing is captured; then what the channel captures at placing is.
SELECT place('careful', 'c1', 2, '[{"method":"card"}]'), commands('c1');
SELECT attempt($$SELECT oms.request_capture(number('c1'))$$);
SELECT oms.confirm_order(number('c1')) ->> 'status', commands('c1');
-- Only members of a role confirm.
SELECT attempt($$SELECT oms.upsert_channels('[{"code":"held"},{"code":"careful","confirmation_role":"oms_rule_boss"}]')$$);
SELECT attempt($$UPDATE oms.channels SET confirmation_role = 'oms_rule_boss' WHERE code = 'careful'$$);
CREATE ROLE oms_rule_clerk IN ROLE oms_app;
CREATE ROLE oms_rule_boss IN ROLE oms_app;
SELECT oms.upsert_channels('[{"code":"careful","confirmation_role":"oms_rule_boss"}]');
SELECT place('careful', 'c2', 2, '[{"method":"gift_card","account":"GIFT"}]'), number('c2') AS c2 \gset
SELECT sums('c2');
SET ROLE oms_rule_clerk;
SELECT oms.confirm_order(:c2);
SET ROLE oms_rule_boss;
SELECT oms.confirm_order(:c2) ->> 'payment_status';
RESET ROLE;
SELECT sums('c2');

-- A condition demands a confirmation of some orders: approval, lifted by confirm_order.
UPDATE oms.hold_types SET place_when = '$.totals.total > 30', lift_role = 'oms_rule_boss' WHERE code = 'approval';
INSERT INTO oms.channel_holds (channel_id, hold_type) SELECT channel_id, h FROM oms.channels, unnest('{approval,charge_back}'::text[]) h WHERE code = 'held';
SELECT place('held', 'h1', 3, '[{"method":"card"}]'), commands('h1');
SELECT place('held', 'h2', 4, '[{"method":"card"}]'), commands('h2');
SELECT fulfillment_id AS f FROM oms.fulfillments WHERE order_id = number('h2') \gset
SELECT attempt(format('SELECT oms.release_fulfillment(%s)', :f));
SELECT attempt($$SELECT oms.request_capture(number('h2'))$$);
SELECT number('h2') AS h2 \gset
SET ROLE oms_rule_clerk;
SELECT oms.confirm_order(:h2);
SET ROLE oms_rule_boss;
SELECT oms.confirm_order(:h2) ->> 'status';
RESET ROLE;
SELECT commands('h2'), hold_type, release_rule, released_by <> '' FROM oms.order_holds(:h2);
SELECT attempt(format('SELECT oms.confirm_order(%s)', :h2));
SELECT oms.release_fulfillment(:f) ->> 'fulfillment_status';

-- A hold that blocks captures is older than any capture of its order, and lets them go when it is lifted.
UPDATE oms.hold_types SET place_when = '$.totals.total > 10' WHERE code = 'fraud';
INSERT INTO oms.channel_holds (channel_id, hold_type) SELECT channel_id, 'fraud' FROM oms.channels WHERE code = 'held';
SELECT place('held', 'h3', 2, '[{"method":"card"}]'), commands('h3');
SELECT oms.add_payment(number('h3'), '{"method":"second","amount":1}') > 0, commands('h3');
SELECT oms.record_answer(max(event_id), '{"decision":"accept"}') ->> 'holds_lifted' FROM oms.events WHERE type = 'fraud_check.requested';
SELECT commands('h3');
DELETE FROM oms.channel_holds WHERE hold_type = 'fraud';

-- A charge-back holds the order, whose own state stands still; one above what was captured is kept and shown.
SELECT place('held', 'h4', 3, '[{"method":"card","status":"captured"}]'), sums('h4');
SELECT payment_id AS p FROM oms.payments WHERE order_id = number('h4') \gset
SELECT oms.record_payment_event(:p, 'charge_back', 20, 'cb1') IS NOT NULL, sums('h4');
SELECT o.status, h.hold_type, h.reason FROM oms.orders o, oms.order_holds(o.order_id) h WHERE o.external_ref = 'h4';
SELECT fulfillment_id AS f FROM oms.fulfillments WHERE order_id = number('h4') \gset
SELECT attempt(format('SELECT oms.release_fulfillment(%s)', :f));
SELECT oms.record_payment_event(:p, 'charge_back', 20, 'cb2') IS NOT NULL, sums('h4'), (SELECT count(*) FROM oms.order_holds(number('h4')));
SELECT oms.record_payment_event(:p, 'charge_back_reversed', 40, 'cb3') IS NOT NULL, sums('h4');

-- Paid beyond what is owed: told, and asked back where the channel says so.
SELECT place('hand', 'e1', 3, '[{"method":"card","status":"captured","amount":35}]'), commands('e1'), sums('e1');
SELECT oms.edit_order(number('e1'), '{"lines":[{"line_no":1,"quantity":2}]}') ->> 'difference', commands('e1'), sums('e1');
SELECT data ->> 'amount' FROM oms.events WHERE type = 'payment.overpaid' AND order_id = number('e1') ORDER BY event_id;
SELECT place('returns', 'e2', 3, '[{"method":"gift_card","account":"GIFT","amount":10,"status":"captured"},{"method":"card","status":"captured","amount":25}]'), commands('e2'), sums('e2');
SELECT oms.edit_order(number('e2'), '{"lines":[{"line_no":1,"quantity":1}]}', dry_run => true) #>> '{balance,pending,refund}', commands('e2');
SELECT oms.edit_order(number('e2'), '{"lines":[{"line_no":1,"quantity":1}]}') #>> '{balance,pending,refund}', commands('e2'), sums('e2');
SELECT oms.grant_refund(number('e2'), 4, 'late') > 0, commands('e2'), sums('e2');
SELECT oms.cancel_order(number('e2')) ->> 'status', commands('e2'), sums('e2');
SELECT oms.record_payment_event(payment_id, 'refund', amount, 'r' || command_id) ->> 'refundable' FROM oms.payment_commands WHERE order_id = number('e2') AND status = 'open';
SELECT sums('e2'), oms.credit_balance('GIFT') ->> 'available';
-- Held money stays until the hold is lifted.
SELECT place('returns', 'e3', 2, '[{"method":"card","status":"captured"}]');
UPDATE oms.hold_types SET blocks = blocks || '{payment.refund}' WHERE code = 'manual';
SELECT oms.hold_order(number('e3'), 'manual') AS hold \gset
SELECT oms.cancel_order(number('e3')) ->> 'payment_status', commands('e3');
SELECT oms.release_hold(:hold), commands('e3');

-- Paid back by another method, if the channel allows it; what an account paid goes back there.
SELECT place('short', 's1', 3, '[{"method":"gift_card","account":"GIFT","amount":10,"status":"captured"},{"method":"card","status":"captured","amount":20}]');
SELECT oms.grant_refund(number('s1'), 25, 'card is closed') > 0;
SELECT attempt($$SELECT oms.request_refund(number('s1'), method => 'cash')$$);
SELECT attempt($$SELECT oms.request_refund(number('s1'), method => 'bank', account => 'GIFT')$$);
SELECT attempt($$SELECT oms.request_refund(number('s1'), 21, method => 'bank')$$);
SELECT oms.request_refund(number('s1'), method => 'bank') - 'order_id' #- '{commands,0,command_id}' #- '{commands,0,payment_id}', commands('s1');
SELECT data - 'command_id' FROM oms.events WHERE type = 'payment.refund_requested' AND order_id = number('s1');
SELECT oms.record_payment_event(payment_id, 'refund', amount, 'iban') IS NOT NULL, sums('s1') FROM oms.payment_commands WHERE method = 'bank';

-- Authorizations end: at the date that is said, or after the channel's period; then they are asked for again.
SELECT place('short', 'a1', 3, '[{"method":"card"},{"method":"voucher","amount":5,"expires_at":"2026-05-01T20:00:00Z"}]');
SELECT attempt($$SELECT oms.add_payment(number('a1'), '{"method":"card","status":"captured","expires_at":"2026-06-01T00:00:00Z"}')$$);
SELECT attempt($$SELECT oms.add_payment(number('a1'), '{"method":"g","account":"GIFT","amount":1,"expires_at":"2026-06-01T00:00:00Z"}')$$);
SELECT p ->> 'method', p ->> 'expires_at' FROM oms.get_order(number('a1')) o, jsonb_array_elements(o -> 'payments') p;
SELECT oms.expire_payments(), sums('a1');
SET oms.clock = '2026-05-02 08:00+00';
SELECT oms.expire_payments(), oms.expire_payments(), sums('a1');
-- A part was captured before the rest ended; nobody has swept, and still nothing is captured any more.
SELECT payment_id AS p FROM oms.payments WHERE order_id = number('a1') AND method = 'card' \gset
SELECT oms.record_payment_event(:p, 'capture', 10, 'c1') ->> 'captured';
SET oms.clock = '2026-05-04 08:00+00';
SELECT attempt($$SELECT oms.request_capture(number('a1'))$$);
SELECT oms.expire_payments(), sums('a1');
SELECT type, at, amount FROM oms.payment_events WHERE order_id = number('a1') ORDER BY payment_id, at, event_no;
SELECT object_id = :p, type, from_state, to_state, at FROM oms.events WHERE order_id = number('a1') AND type LIKE 'payment.expire%' ORDER BY event_id;
SELECT attempt(format('SELECT oms.record_payment_event(%s, ''capture'', 1, ''x'', expires_at => now())', :p));
SELECT oms.record_payment_event(:p, 'authorize', 20, 'again', expires_at => '2026-05-10') ->> 'authorized', oms.request_capture(number('a1'), 5) IS NOT NULL, commands('a1');
-- What the provider reports late of before the end still counts.
SELECT oms.record_payment_event(payment_id, 'capture', 5, 'late', '2026-05-01 10:00+00') ->> 'captured' FROM oms.payments WHERE order_id = number('a1') AND method = 'voucher';
SELECT sums('a1');
SELECT attempt('SELECT oms.expire_payments(0)');

-- What ends by the clock of a channel voids what is still authorized.
SELECT oms.upsert_channels('[{"code":"careful","confirmation_timeout":"1 hour"}]');
SELECT place('careful', 'v1', 2, '[{"method":"card"},{"method":"gift_card","account":"GIFT","amount":3}]');
SET oms.clock = '2026-05-05 08:00+00';
SELECT oms.expire_orders(), commands('v1'), sums('v1');
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_payment_rule;
DROP ROLE oms_rule_clerk, oms_rule_boss;
