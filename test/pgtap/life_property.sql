-- Random lives of orders: every call of orders, edits, holds, payments, credit, returns, claims and exchanges in any order, in currencies
-- of 0, 2 and 3 decimals.  After every call audit() is empty and money obeys its rules; a refused call changes nothing; a dry run says
-- what the call then does; a preview what placing does; and the past can be read at every moment.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(14);

SET LOCAL timezone = 'UTC';
SET LOCAL oms.clock = '2026-03-02 08:00+00';
SELECT oms.upsert_channels('[{"code":"default","backorder":true,"capture":"shipping","displacement_lock_hours":0,"displacement":"always"},
    {"code":"yen","currency":"JPY","capture":"placing","refund_order":"proportional","capture_order":"newest","refund_excess":"automatic","substitution":true,"priority":2,"displacement":"keep_date","displacement_lock_hours":0},
    {"code":"dinar","currency":"KWD","capture":"manual","capture_order":"proportional","authorization_period":"30 hours","refund_methods":[{"method":"bank"}],"confirmation":"required","payment_timeout":"2 days","draft_timeout":"1 day"}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_locations('[{"code":"north"},{"code":"south","pickup":true}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_items('[{"sku":"A","price":"7"},{"sku":"B","price":"10"},{"sku":"C","price":"3","substitutes":[{"sku":"A"},{"sku":"B","ratio":2}]},
    {"sku":"E","kind":"digital","price":"1"},{"sku":"SET","kind":"kit","price":"20","components":[{"sku":"A","quantity":1},{"sku":"B","quantity":2}]},
    {"sku":"BOX","kind":"kit","price":"11","may_break":true,"components":[{"sku":"B","quantity":1},{"sku":"E","quantity":1}]}]') IS NOT NULL AS ready \gset
SELECT count(oms.receive_stock(l, s, 40)) AS ready FROM unnest(ARRAY['default', 'north', 'south']) l, unnest(ARRAY['A', 'B', 'C']) s \gset
SELECT count(oms.set_stock_limits('north', s, 2, 5)::text) AS ready FROM unnest(ARRAY['A', 'B', 'C']) s \gset
SELECT count(oms.issue_credit('card-' || c, 500, c)) AS ready FROM unnest(ARRAY['EUR', 'JPY', 'KWD']) c \gset
INSERT INTO oms.backorder_rules (tenant_id, withdrawn, fill_order) VALUES (1, 'replan', 'priority');
INSERT INTO oms.return_rules (reason, approval, restocking_percent) VALUES ('asked', 'required', 10);
INSERT INTO oms.return_rules (reason, refund_on, shipping_refund) VALUES ('part', 'approval', 'proportional');
INSERT INTO oms.return_rules (rank, reason, send_to) VALUES (5, 'other', 'nearest');
SELECT oms.upsert_calendars('[{"code":"week","hours":[{"weekday":1},{"weekday":2},{"weekday":4}]}]'), oms.upsert_locations('[{"code":"default","daily_capacity":4},{"code":"north","daily_capacity":3,"latitude":52,"longitude":9,"daily_returns":3,"calendar":"week","cost_per_order":1},{"code":"south","daily_capacity":9,"latitude":48,"longitude":9,"daily_returns":2,"capacity_unit":"unit","calendar":"week","cost_per_order":1}]') IS NOT NULL AS ready \gset
SELECT oms.activate_routing_policy('p', oms.save_routing_policy('p', '{"objective":"cost","cost_per_day_late":2}'))::text AS ready \gset
SELECT oms.activate_routing_policy('q', oms.save_routing_policy('q', '{"objective":"cost","whole_lines":true,"min_fulfillment_value":"9","relax":[{"rule":"min_fulfillment_value"},{"rule":"whole_lines"}]}'), 'yen')::text AS ready \gset
INSERT INTO oms.channel_holds (channel_id, hold_type) SELECT channel_id, h FROM oms.channels, unnest('{address,approval,charge_back}'::text[]) h WHERE code = 'default' OR h = 'charge_back';
UPDATE oms.hold_types SET place_when = '$.totals.total > 50' WHERE code = 'approval';

CREATE TEMPORARY TABLE trace (step int, operation text, call text, sqlstate text, message text);
CREATE TEMPORARY TABLE breach (step int, call text, what text);
CREATE TEMPORARY TABLE past (order_id bigint, at timestamptz, document jsonb);

-- Every row of every table, with a place for each table; the largest ones only grow.
CREATE FUNCTION pg_temp.everything() RETURNS text LANGUAGE plpgsql AS $f$
DECLARE
    statement text := (SELECT 'SELECT concat_ws('' '', ' || string_agg(format('(SELECT %s FROM oms.%I t)', CASE
            WHEN relname IN ('events', 'stock_movements', 'routing_decisions') THEN 'count(*)' ELSE 'sum(hashtextextended(t::text, 0))' END, relname), ', ' ORDER BY relname) || ')'
        FROM pg_class WHERE relnamespace = 'oms'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition);
    answer text;
BEGIN
    EXECUTE statement INTO answer;
    RETURN answer;
END
$f$;

CREATE FUNCTION pg_temp.some(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $f$
    SELECT choices[1 + floor(random() * cardinality(choices))::int] $f$;

CREATE FUNCTION pg_temp.amount(currency text, most numeric) RETURNS numeric LANGUAGE sql VOLATILE AS $f$
    SELECT greatest(round((random() * most)::numeric, d), 10 ^ -d) FROM (SELECT CASE currency WHEN 'JPY' THEN 0 WHEN 'KWD' THEN 3 ELSE 2 END AS d) x $f$;

CREATE FUNCTION pg_temp.some_lines(currency text, most int) RETURNS jsonb LANGUAGE sql VOLATILE AS $f$
    SELECT jsonb_agg(jsonb_build_object('sku', pg_temp.some('A', 'A', 'B', 'B', 'C', 'E', 'SET', 'BOX'), 'quantity', 1 + floor(random() * most)::int,
        'unit_price', pg_temp.amount(currency, 20)) || CASE WHEN random() < 0.3 THEN jsonb_build_object('adjustments', jsonb_build_array(
            jsonb_build_object('type', pg_temp.some('tax', 'discount'), 'amount', pg_temp.amount(currency, 1)))) ELSE '{}' END)
    FROM generate_series(1, 1 + floor(random() * 3)::int) $f$;

CREATE FUNCTION pg_temp.some_order(number int) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    channel  text := pg_temp.some('default', 'yen', 'dinar');
    currency text := (SELECT c.currency FROM oms.channels c WHERE code = channel);
    lines    jsonb := pg_temp.some_lines(currency, 4);
    address  jsonb := jsonb_build_object('line1', 'Way 1', 'city', 'Town', 'country', pg_temp.some('DE', 'FR'), 'latitude', 47 + number % 7, 'longitude', 9);
    document jsonb := jsonb_build_object('channel', channel, 'external_ref', 'o' || number, 'lines', lines, 'customer', jsonb_build_object('ref', 'c' || number % 7));
BEGIN
    IF random() < 0.2 THEN
        document := document || jsonb_build_object('deliveries', jsonb_build_array(jsonb_build_object('delivery_no', 1, 'ship_to', address),
            jsonb_build_object('delivery_no', 2, 'method', 'pickup', 'pickup_location', 'south')),
            'lines', (SELECT jsonb_agg(l || CASE WHEN (l ->> 'quantity')::int > 1 AND number % 2 = 0
                THEN jsonb_build_object('deliveries', jsonb_build_array(jsonb_build_object('delivery_no', 2, 'quantity', 1), jsonb_build_object('delivery_no', 1, 'quantity', (l ->> 'quantity')::int - 1)))
                ELSE jsonb_build_object('delivery_no', 1 + (n % 2)) END) FROM jsonb_array_elements(lines || lines) WITH ORDINALITY x(l, n)));
    ELSE
        document := document || jsonb_build_object('ship_to', CASE WHEN random() < 0.9 THEN address ELSE address - 'city' END);
    END IF;
    IF random() < 0.4 THEN
        document := document || jsonb_build_object('adjustments', jsonb_build_array(jsonb_build_object('type', 'shipping', 'amount', pg_temp.amount(currency, 6)),
            jsonb_build_object('type', 'tax', 'amount', pg_temp.amount(currency, 3), 'included', random() < 0.5)));
    END IF;
    IF number % 3 = 0 THEN
        document := document || jsonb_build_object('priority', number % 7 - 2);
    END IF;
    IF random() < 0.15 THEN
        RETURN document || '{"draft":true}';
    END IF;
    IF random() < 0.7 THEN
        document := document || jsonb_build_object('payments', CASE WHEN random() < 0.3
            THEN jsonb_build_array(jsonb_build_object('method', 'gift_card', 'account', 'card-' || currency, 'amount', pg_temp.amount(currency, 5)),
                                   jsonb_build_object('method', 'card', 'amount', pg_temp.amount(currency, 40)))
            ELSE jsonb_build_array(jsonb_build_object('method', 'card', 'status', pg_temp.some('authorized', 'captured', 'pending'))) END);
    END IF;
    RETURN document;
END $f$;

CREATE FUNCTION pg_temp.some_change(one oms.orders) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    line   oms.order_lines := (SELECT l FROM oms.order_lines l WHERE order_id = one.order_id ORDER BY random() LIMIT 1);
    change jsonb := '{}';
BEGIN
    IF random() < 0.5 THEN
        change := change || jsonb_build_object('lines', jsonb_build_array(jsonb_build_object('line_no', line.line_no, 'quantity', floor(random() * 6)::int)
            || CASE WHEN random() < 0.3 THEN jsonb_build_object('unit_price', pg_temp.amount(one.currency, 20)) ELSE '{}' END));
    END IF;
    IF random() < 0.5 AND line.ordered - line.cancelled > 1 THEN
        change := jsonb_build_object('deliveries', jsonb_build_array(jsonb_build_object('delivery_no', 3, 'ship_to', jsonb_build_object('line1', 'Way 4', 'city', 'Town', 'country', 'DE'))),
            'lines', jsonb_build_array(jsonb_build_object('line_no', line.line_no, 'deliveries', jsonb_build_array(jsonb_build_object('delivery_no', 3, 'quantity', 1),
                jsonb_build_object('delivery_no', line.delivery_no, 'quantity', line.ordered - line.cancelled - 1)))));
    END IF;
    IF random() < 0.35 THEN
        change := change || jsonb_build_object('add', pg_temp.some_lines(one.currency, 2));
    END IF;
    IF random() < 0.2 THEN
        change := change || jsonb_build_object('adjustments', jsonb_build_array(jsonb_build_object('type', pg_temp.some('shipping', 'discount', 'fee'),
            'amount', pg_temp.amount(one.currency, 3))));
    END IF;
    IF random() < 0.2 THEN
        change := change || jsonb_build_object('ship_to', jsonb_build_object('line1', 'Way 2', 'city', 'Town', 'country', pg_temp.some('DE', 'FR')));
    END IF;
    IF random() < 0.15 THEN
        change := change || CASE WHEN random() < 0.5 THEN '{"method":"ship"}'::jsonb ELSE '{"method":"pickup","pickup_location":"south"}'::jsonb END;
    END IF;
    IF change = '{}' OR random() < 0.2 THEN
        change := change || jsonb_build_object('notes', 'n' || random());
    END IF;
    RETURN change;
END $f$;

CREATE FUNCTION pg_temp.call_of(operation text, number int) RETURNS text LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    one         oms.orders := (SELECT o FROM oms.orders o ORDER BY status IN ('cancelled', 'completed') AND random() < 0.7, hashint8(order_id + number) LIMIT 1);
    fulfillment bigint := (SELECT fulfillment_id FROM oms.fulfillments ORDER BY status IN ('delivered', 'cancelled', 'picked_up') AND random() < 0.8,
                           backordered, hashint8(fulfillment_id + number) LIMIT 1);
    waiting     bigint := (SELECT fulfillment_id FROM oms.fulfillments WHERE delivery_no = 2 AND NOT backordered
                           ORDER BY array_position(CASE operation WHEN 'pick_up' THEN ARRAY['ready_for_pickup'] WHEN 'ready' THEN ARRAY['picking'] ELSE ARRAY['released'] END, status), random() LIMIT 1);
    paid        oms.orders := (SELECT o FROM oms.orders o ORDER BY (oms.order_balance(order_id) ->> 'excess')::numeric > 0 DESC, random() LIMIT 1);
    payment     oms.payments := (SELECT p FROM oms.payments p ORDER BY hashint8(payment_id + number) LIMIT 1);
    one_return   bigint := (SELECT return_id FROM oms.returns ORDER BY array_position(ARRAY['approved', 'in_transit', 'requested', 'received'], status) + CASE WHEN random() < 0.3 THEN 9 ELSE 0 END,
                           hashint8(return_id + number) LIMIT 1);
    sent_out    bigint := (SELECT order_id FROM oms.fulfillments WHERE status IN ('released', 'accepted') AND delivery_no = 1 AND location_id IS NOT NULL ORDER BY hashint8(fulfillment_id + number) LIMIT 1);
    sent        bigint := (SELECT order_id FROM oms.order_lines WHERE shipped > returned + return_requested + written_off + replaced
                           ORDER BY hashint8(order_id + number) LIMIT 1);
    sent_line   jsonb := (SELECT jsonb_build_array(jsonb_build_object('line_no', line_no, 'quantity', 1)) FROM oms.order_lines WHERE order_id = sent
                          AND shipped > returned + return_requested + written_off + replaced ORDER BY random() LIMIT 1);
    line        int := (SELECT line_no FROM oms.order_lines WHERE order_id = one.order_id ORDER BY random() LIMIT 1);
    currency    text := coalesce((SELECT o.currency FROM oms.orders o WHERE order_id = sent), 'EUR');
BEGIN
    RETURN CASE operation
        WHEN 'place' THEN format('SELECT oms.place_order(%L)', pg_temp.some_order(number))
        WHEN 'place_draft' THEN format('SELECT oms.place_draft(%s)', (SELECT order_id FROM oms.order_drafts ORDER BY random() LIMIT 1))
        WHEN 'edit_draft' THEN format('SELECT oms.edit_draft(%s, %L)', (SELECT order_id FROM oms.order_drafts ORDER BY random() LIMIT 1),
            jsonb_build_object('notes', 'n', 'lines', pg_temp.some_lines('JPY', 3)))
        WHEN 'edit' THEN CASE WHEN random() < 0.3 AND sent_out IS NOT NULL THEN format('SELECT oms.edit_order(%s, %L)', sent_out,
                pg_temp.some('{"method":"ship"}', '{"method":"pickup","pickup_location":"south"}', '{"ship_to":{"line1":"Way 3","city":"Town","country":"DE"}}'))
            ELSE format('SELECT oms.edit_order(%s, %L)', one.order_id, pg_temp.some_change(one)) END
        WHEN 'cancel' THEN format('SELECT oms.cancel_order(%s, shipped => %L)', one.order_id, pg_temp.some('refuse', 'return'))
        WHEN 'cancel_line' THEN format('SELECT oms.cancel_order(%s, %L, shipped => %L)', one.order_id,
            jsonb_build_array(jsonb_build_object('line_no', line, 'quantity', 1 + floor(random() * 2)::int)), pg_temp.some('refuse', 'return'))
        WHEN 'confirm' THEN format('SELECT oms.confirm_order(%s)', coalesce(CASE WHEN random() < 0.5 THEN (SELECT order_id FROM oms.holds WHERE hold_type = 'approval' AND released_at IS NULL LIMIT 1) END, one.order_id))
        WHEN 'release' THEN format('SELECT oms.release_fulfillment(%s)', fulfillment)
        WHEN 'pick' THEN format('SELECT oms.pick_fulfillment(%s)', CASE WHEN random() < 0.5 THEN waiting ELSE fulfillment END)
        WHEN 'ship' THEN format('SELECT oms.ship_fulfillment(%s)', fulfillment)
        WHEN 'ship_part' THEN format('SELECT oms.ship_fulfillment(%s, %L)', fulfillment, jsonb_build_object('lines', (SELECT jsonb_agg(x) FROM (
            SELECT jsonb_build_object('line_no', line_no, 'quantity', 1) AS x FROM oms.allocations a WHERE a.fulfillment_id = fulfillment AND promised > shipped + cancelled LIMIT 1) y)))
        WHEN 'pick_up' THEN format('SELECT oms.pick_up_fulfillment(%s)', waiting)
        WHEN 'ready' THEN format('SELECT oms.ready_for_pickup(%s)', waiting)
        WHEN 'deliver' THEN format('SELECT oms.deliver_fulfillment(%s)', fulfillment)
        WHEN 'cancel_fulfillment' THEN format('SELECT oms.cancel_fulfillment(%s)', fulfillment)
        WHEN 'hold' THEN CASE WHEN random() < 0.6 THEN format('SELECT oms.hold_order(%s, ''manual'', ''why'', %s, %L)', one.order_id,
                CASE WHEN random() < 0.5 THEN line::text ELSE 'NULL' END, CASE WHEN random() < 0.5 THEN oms.current_time() + interval '6 hours' END)
            ELSE format('SELECT oms.hold_fulfillment(%s, ''manual'', ''why'')', fulfillment) END
        WHEN 'release_hold' THEN format('SELECT oms.release_hold(%s)', (SELECT hold_id FROM oms.holds ORDER BY released_at NULLS FIRST, random() LIMIT 1))
        WHEN 'release_holds' THEN 'SELECT oms.release_holds()'
        WHEN 'expire' THEN 'SELECT oms.expire_orders()'
        WHEN 'expire_payments' THEN 'SELECT oms.expire_payments()'
        WHEN 'describe' THEN format('SELECT oms.set_attributes(%L, %s, %L)', 'fulfillment', fulfillment, jsonb_build_object('note', number))
        WHEN 'refund_by_bank' THEN (SELECT format('SELECT oms.request_refund(%s, method => ''bank'')', order_id) FROM oms.orders o JOIN oms.channels c USING (channel_id)
            WHERE c.code = 'dinar' ORDER BY (oms.order_balance(order_id) ->> 'excess')::numeric > 0 DESC, random() LIMIT 1)
        WHEN 'add_payment' THEN format('SELECT oms.add_payment(%s, %L)', one.order_id, jsonb_build_object('method', 'card', 'amount', pg_temp.amount(one.currency, 30),
            'status', pg_temp.some('authorized', 'captured', 'pending')))
        WHEN 'add_credit' THEN format('SELECT oms.add_payment(%s, %L)', one.order_id, jsonb_build_object('method', 'gift_card', 'account', 'card-' || one.currency,
            'amount', pg_temp.amount(one.currency, 9), 'status', pg_temp.some('authorized', 'captured')))
        WHEN 'payment_event' THEN format('SELECT oms.record_payment_event(%s, %L, %s, %L, %L)', payment.payment_id,
            pg_temp.some('authorize', 'capture', 'capture', 'void', 'refund', 'refund', 'fail', 'expire', 'charge_back', 'charge_back_reversed', 'capture_failed', 'refund_failed'),
            pg_temp.amount(payment.currency, 15), 'e' || number % 300, CASE WHEN random() < 0.5 THEN oms.current_time() - random() * interval '9 hours' END)
        WHEN 'answer_command' THEN (SELECT format('SELECT oms.record_payment_event(%s, %L, %s, %L)', c.payment_id, c.type, c.amount, 'c' || c.command_id)
            FROM oms.payment_commands c WHERE c.type IN ('capture', 'refund', 'void') ORDER BY random() LIMIT 1)
        WHEN 'request_capture' THEN format('SELECT oms.request_capture(%s)', (SELECT order_id FROM oms.orders o, oms.order_balance(order_id) b
            ORDER BY (b ->> 'authorized')::numeric > 0 AND (b ->> 'due')::numeric > 0 AND b -> 'pending' IS NULL DESC, random() LIMIT 1))
        WHEN 'request_void' THEN format('SELECT oms.request_void(%s)', payment.payment_id)
        WHEN 'grant' THEN format('SELECT oms.grant_refund(%s, %s, ''sorry'')', one.order_id, pg_temp.amount(one.currency, 6))
        WHEN 'revoke' THEN format('SELECT oms.revoke_refund(%s)', (SELECT refund_id FROM oms.refunds ORDER BY random() LIMIT 1))
        WHEN 'request_refund' THEN format('SELECT oms.request_refund(%s, %s, account => %s)', paid.order_id,
            CASE WHEN random() < 0.5 THEN pg_temp.amount(paid.currency, 9)::text ELSE 'NULL' END,
            CASE WHEN random() < 0.3 THEN quote_literal('card-' || paid.currency) ELSE 'NULL' END)
        WHEN 'return' THEN format('SELECT oms.request_return(%s, %s, %L)', sent, CASE WHEN random() < 0.6 THEN quote_literal(sent_line) ELSE 'NULL' END,
            pg_temp.some('asked', 'part', 'other'))
        WHEN 'claim' THEN format('SELECT oms.request_return(%s, %L, %L, ''{"goods_back":false}'')', sent, sent_line, pg_temp.some('lost', 'part', 'asked'))
        WHEN 'exchange' THEN format('SELECT oms.exchange_order(%s, %L, %s, %L, %L)', sent, sent_line,
            CASE WHEN random() < 0.5 THEN 'NULL' ELSE quote_literal(pg_temp.some_lines(currency, 2)) END, pg_temp.some('asked', 'other'),
            jsonb_build_object('promise', pg_temp.some('now', 'receipt'), 'goods_back', random() < 0.7, 'order', jsonb_build_object('external_ref', 'x' || number)))
        WHEN 'approve' THEN format('SELECT oms.approve_return(%s)', one_return)
        WHEN 'reject' THEN format('SELECT oms.reject_return(%s)', one_return)
        WHEN 'cancel_return' THEN format('SELECT oms.cancel_return(%s)', one_return)
        WHEN 'receive' THEN format('SELECT oms.receive_return(%s)', one_return)
        WHEN 'receive_part' THEN format('SELECT oms.receive_return(%s, %L)', one_return, (SELECT jsonb_build_array(jsonb_build_object('line_no', l.line_no, 'quantity', 1,
                'disposition', CASE WHEN i.kind = 'stocked' THEN pg_temp.some('restock', 'damaged', 'scrap') ELSE 'scrap' END))
            FROM oms.return_lines l JOIN oms.items i USING (item_id) WHERE l.return_id = one_return ORDER BY random() LIMIT 1))
        WHEN 'close' THEN format('SELECT oms.close_return(%s)', one_return)
        WHEN 'fill' THEN 'SELECT count(*) FROM oms.fill_backorders()'
        WHEN 'count' THEN format('SELECT oms.count_stock(%L, %L, %s)', pg_temp.some('default', 'north', 'south'), pg_temp.some('A', 'B', 'C'), floor(random() * 12))
        WHEN 'expect' THEN format('SELECT oms.expect_supply(%L, %L, %s, %L)', pg_temp.some('default', 'north', 'south'), pg_temp.some('A', 'B', 'C'), 1 + floor(random() * 4),
            oms.current_time() + floor(random() * 200) * interval '1 hour')
        WHEN 'lose' THEN format('SELECT oms.cancel_supply(%s)', (SELECT supply_id FROM oms.supplies WHERE status NOT IN ('received', 'cancelled') ORDER BY random() LIMIT 1))
        WHEN 'supply' THEN format('SELECT oms.receive_stock(%L, %L, %s)', pg_temp.some('default', 'north', 'south'), pg_temp.some('A', 'B', 'C'), 12)
        END;
END $f$;

CREATE FUNCTION pg_temp.tell_past(document jsonb) RETURNS jsonb LANGUAGE sql IMMUTABLE AS $f$
    SELECT jsonb_object_agg(key, CASE key WHEN 'fulfillments' THEN (SELECT jsonb_agg(jsonb_build_array(f -> 'fulfillment_id', f -> 'location', f -> 'status', f -> 'lines') ORDER BY n)
            FROM jsonb_array_elements(value) WITH ORDINALITY x(f, n)) ELSE value END)
    FROM jsonb_each(document) WHERE key IN ('status', 'payment_status', 'fulfillment_status', 'totals', 'lines', 'adjustments', 'notes', 'fulfillments') $f$;

-- An answer without what a dry run has of its own, and without ids, which are not given twice.
CREATE FUNCTION pg_temp.told(answer jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $f$
    SELECT regexp_replace((answer - 'dry_run')::text, '"(fulfillment_id|event_id|command_id|hold_id)": \d+', '', 'g') $f$;

-- What an order would cost of which only the units were ordered that have shipped.
CREATE FUNCTION pg_temp.cost_of_shipped(id bigint, d int) RETURNS numeric LANGUAGE sql VOLATILE AS $f$
    WITH l AS (SELECT line_no, shipped, ordered, amount, round(unit_price * shipped, d) AS price FROM oms.order_lines WHERE order_id = id),
         a AS (SELECT j.type, j.amount, j.line_no, l.shipped, coalesce(j.basis, l.ordered) AS units, coalesce(j.basis, (SELECT sum(amount) FROM l)) AS whole
               FROM oms.order_adjustments j LEFT JOIN l USING (line_no) WHERE j.order_id = id AND NOT j.included)
    SELECT CASE WHEN sum(shipped) = 0 THEN 0 ELSE sum(price) + coalesce((SELECT sum(CASE WHEN line_no IS NOT NULL THEN round(a.amount * least(a.shipped, a.units) / a.units, d)
        WHEN type IN ('shipping', 'fee') OR whole = 0 THEN a.amount ELSE round(a.amount * least((SELECT sum(price) FROM l), whole) / whole, d) END) FROM a), 0) END FROM l $f$;

CREATE FUNCTION pg_temp.step(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    operation text := pg_temp.some(VARIADIC ARRAY['place', 'place', 'place', 'place', 'place', 'place_draft', 'edit_draft', 'edit', 'edit', 'edit', 'edit', 'cancel', 'cancel_line',
        'cancel_line', 'confirm', 'confirm', 'release', 'release', 'release', 'release', 'pick', 'ship', 'ship', 'ship', 'ship', 'ship_part', 'ready', 'pick_up',
        'deliver', 'deliver', 'cancel_fulfillment', 'hold', 'release_hold', 'release_hold', 'release_holds', 'expire', 'expire_payments', 'describe', 'refund_by_bank', 'add_payment', 'add_payment', 'add_credit', 'payment_event',
        'payment_event', 'answer_command', 'answer_command', 'request_capture', 'request_void', 'grant', 'revoke', 'request_refund', 'return', 'return', 'claim', 'exchange',
        'exchange', 'approve', 'reject', 'cancel_return', 'receive', 'receive', 'receive_part', 'receive_part', 'close', 'fill', 'count', 'expect', 'expect', 'lose', 'supply']);
    call      text;
    before    text := pg_temp.everything();
    said      jsonb;
    done      jsonb;
    fault     record;
BEGIN
    PERFORM set_config('oms.clock', (timestamptz '2026-03-02 08:00+00' + number * interval '1 hour')::text, true);
    call := pg_temp.call_of(operation, number);
    -- What a choice that was not there leaves.
    IF call IS NULL OR call LIKE '%(, %' OR call LIKE '%, , %' OR (call LIKE '%()' AND operation NOT IN ('release_holds', 'expire', 'expire_payments', 'fill')) THEN
        RETURN;
    END IF;
    BEGIN
        IF operation = 'edit' THEN
            BEGIN
                EXECUTE replace(call, ''')', ''', dry_run => true)') INTO said;
            EXCEPTION WHEN OTHERS THEN
                said := to_jsonb(SQLSTATE || SQLERRM);
            END;
            IF before IS DISTINCT FROM pg_temp.everything() THEN
                INSERT INTO breach VALUES (number, call, 'a dry run changed something');
            END IF;
        ELSIF operation = 'place' THEN
            BEGIN
                EXECUTE replace(call, 'place_order', 'preview_order') INTO said;
            EXCEPTION WHEN OTHERS THEN
                said := to_jsonb(SQLSTATE || SQLERRM);
            END;
        END IF;
        IF operation IN ('edit', 'place') THEN
            EXECUTE call INTO done;
        ELSE
            EXECUTE call;
        END IF;
        INSERT INTO trace VALUES (number, operation, call, '00000', NULL);
        IF operation = 'edit' AND pg_temp.told(said) IS DISTINCT FROM pg_temp.told(done) THEN
            INSERT INTO breach VALUES (number, call, format('the dry run said %s, then came %s', pg_temp.told(said), pg_temp.told(done)));
        END IF;
        IF operation = 'place' AND (said -> 'totals' IS DISTINCT FROM done -> 'totals' OR said -> 'substitutions' IS DISTINCT FROM done -> 'substitutions' OR said -> 'divided' IS DISTINCT FROM done -> 'divided' OR said -> 'displaced' IS DISTINCT FROM done -> 'displaced'
                OR said -> 'fulfillment_status' IS DISTINCT FROM done -> 'fulfillment_status'
                OR (SELECT jsonb_agg(f - 'fulfillment_id') FROM jsonb_array_elements(said -> 'fulfillments') f)
                   IS DISTINCT FROM (SELECT jsonb_agg(f - 'fulfillment_id') FROM jsonb_array_elements(done -> 'fulfillments') f)) THEN
            INSERT INTO breach VALUES (number, call, format('the preview said %s, then came %s', said, done));
        END IF;
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO trace VALUES (number, operation, call, SQLSTATE, SQLERRM);
        IF before IS DISTINCT FROM pg_temp.everything() THEN
            INSERT INTO breach VALUES (number, call, 'a refused call changed something');
        END IF;
        IF SQLSTATE !~ '^OM' THEN
            INSERT INTO breach VALUES (number, call, SQLSTATE || ' ' || SQLERRM);
        END IF;
        IF said IS NOT NULL AND said IS DISTINCT FROM to_jsonb(SQLSTATE || SQLERRM) THEN
            INSERT INTO breach VALUES (number, call, format('was said %s, then came %s', said, SQLERRM));
        END IF;
    END;
    FOR fault IN SELECT * FROM oms.audit() LOOP
        INSERT INTO breach VALUES (number, call, format('%s %s: expected %s, found %s', fault.check, fault.object, fault.expected, fault.found));
    END LOOP;
    INSERT INTO breach SELECT number, call, format('order %s has %s', o.order_id, b)
        FROM oms.orders o, oms.order_balance(o.order_id) b WHERE (b ->> 'refunded')::numeric > (b ->> 'captured')::numeric
            OR (b ->> 'excess')::numeric > (b ->> 'captured')::numeric - (b ->> 'refunded')::numeric;
    -- A shipment leaves nothing uncaptured of what has gone, as long as anything is authorized.
    INSERT INTO breach SELECT number, call, format('order %s holds %s of %s', o.order_id, b.held, c.due)
        FROM oms.fulfillments f JOIN oms.orders o USING (order_id) JOIN oms.channels n USING (channel_id)
        CROSS JOIN LATERAL (SELECT sum(captured - refunded + capturing) AS held, sum(authorized - capturing - voiding) AS free FROM oms.payment_balances WHERE order_id = o.order_id) b
        CROSS JOIN LATERAL (SELECT pg_temp.cost_of_shipped(o.order_id, 2) - (oms.order_balance(o.order_id) ->> 'granted')::numeric AS due) c
        WHERE operation IN ('ship', 'ship_part', 'pick_up') AND f.fulfillment_id = substring(call from '\d+')::bigint AND n.capture = 'shipping' AND o.holds = 0 AND b.free > 0 AND b.held < c.due
            AND EXISTS (SELECT FROM trace WHERE step = number AND sqlstate = '00000');
    INSERT INTO breach SELECT number, call, format('account %s has %s, %s held', code, c ->> 'balance', c ->> 'held')
        FROM oms.credit_accounts a, oms.credit_balance(a.code) c WHERE (c ->> 'balance')::numeric < (c ->> 'held')::numeric;
    IF number % 4 = 0 THEN
        INSERT INTO past SELECT order_id, oms.current_time(), pg_temp.tell_past(oms.get_order(order_id))
        FROM (SELECT order_id FROM oms.orders ORDER BY random() LIMIT 3) o;
    END IF;
END
$f$;

SELECT setseed(0.83) IS NULL AS ready \gset
SELECT count(pg_temp.step(n)::text) AS ready FROM generate_series(1, 800) n \gset

SELECT is_empty('SELECT step, left(call, 400), left(what, 400) FROM breach ORDER BY step LIMIT 10', 'audit stays empty, refused calls and dry runs change nothing and say what comes');
SELECT is_empty($$SELECT p.order_id, p.at, d.key, left(d.value::text, 500), left(n.value::text, 500) FROM past p, jsonb_each(p.document) d
    LEFT JOIN LATERAL (SELECT pg_temp.tell_past(oms.order_as_of(p.order_id, p.at)) -> d.key AS value) n ON true WHERE n.value IS DISTINCT FROM d.value LIMIT 5$$,
    'the past of an order is what it was');
SELECT cmp_ok((SELECT count(*) FROM past), '>', 300::bigint, 'many moments are looked at');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate = '00000'), '>', 250::bigint, 'many calls succeed');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate <> '00000'), '>', 50::bigint, 'many calls are refused');
SELECT is_empty($$SELECT * FROM trace WHERE sqlstate NOT IN ('00000', 'OM001', 'OM002', 'OM003', 'OM004', 'OM006', 'OM008', 'OM009')$$, 'refusals are those of stock, states, holds, places and money');
SELECT cmp_ok((SELECT count(DISTINCT operation) FROM trace WHERE sqlstate = '00000'), '>', 35::bigint, 'nearly every kind of call succeeds');
SELECT is_empty($$SELECT l.order_id FROM oms.order_lines l JOIN oms.orders USING (order_id) WHERE status <> 'draft' AND allocated + backordered + cancelled <> ordered$$,
    'every unit of every line is somewhere');
SELECT is_empty($$SELECT a.order_id, a.line_no FROM oms.allocations a JOIN oms.fulfillments f USING (fulfillment_id) JOIN oms.order_lines l ON l.order_id = a.order_id AND l.line_no = a.line_no
    WHERE a.promised > a.shipped + a.cancelled AND f.delivery_no <> l.delivery_no$$, 'what is open of a line is in fulfillments of its delivery');
SELECT is_empty($$SELECT r.return_id FROM oms.returns r JOIN oms.orders o USING (order_id) WHERE (SELECT coalesce(sum(amount), 0) FROM oms.refunds f
    WHERE f.return_id = r.return_id AND f.status <> 'revoked') > o.total$$, 'no return is worth more than its order');
SELECT cmp_ok((SELECT count(*) FROM (VALUES
    ('a return sent by rule', EXISTS (SELECT FROM oms.returns WHERE decision ->> 'why' = 'by rule')), ('room taken', EXISTS (SELECT FROM oms.return_room WHERE used > 0)),
    ('an authorization ended', EXISTS (SELECT FROM oms.payment_events WHERE type = 'expire' AND reference LIKE 'end of%')),
    ('an order approved', EXISTS (SELECT FROM oms.holds WHERE release_rule = 'confirm')), ('a charge-back held', EXISTS (SELECT FROM oms.holds WHERE hold_type = 'charge_back')),
    ('excess paid back unasked', EXISTS (SELECT FROM oms.payment_commands k JOIN oms.orders o USING (order_id) WHERE k.type = 'refund' AND o.currency = 'JPY' AND NOT EXISTS (SELECT FROM trace
        WHERE operation = 'request_refund' AND sqlstate = '00000' AND call LIKE format('%%request_refund(%s,%%', o.order_id)))),
    ('a refund by bank', EXISTS (SELECT FROM oms.payment_commands WHERE method = 'bank')), ('units recalled', EXISTS (SELECT FROM oms.events WHERE type = 'fulfillment.planned')),
    ('less of what a location has', EXISTS (SELECT FROM oms.events WHERE type = 'fulfillment.reduced'))) x(what, happened) WHERE happened), '>=', 5::bigint, 'most of what rarely happens happened');
SELECT cmp_ok((SELECT count(*) FROM oms.events WHERE type IN ('order.displaced', 'order.repromised')), '>', 0::bigint, 'orders give way to others, and lost units to other units');
SELECT cmp_ok((SELECT count(*) FROM oms.order_lines l WHERE l.divided_from IS NOT NULL AND l.allocated > 0), '>', 0::bigint, 'parts of lines are promised');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate = '00000' AND call LIKE '%edit_order%"deliveries": [{"quantity"%'), '>', 0::bigint, 'lines are divided afterwards');
SELECT * FROM finish();
ROLLBACK;
