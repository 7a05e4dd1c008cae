-- Random sequences of calls against a plain model.  After every call audit() is empty and the counters are those of
-- the model; a refused call leaves the counters as they were.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(8);

SELECT oms.upsert_channels('[{"code":"default","backorder":true}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_locations('[{"code":"north"},{"code":"south"}]') IS NOT NULL AS ready \gset
SELECT oms.upsert_items('[{"sku":"A","price":3.33},{"sku":"B","price":10},{"sku":"C","price":0.05},{"sku":"E","kind":"digital","price":1}]')
       IS NOT NULL AS ready \gset

-- The model: what is on hand, by arithmetic of the arguments and of shipped units only.
CREATE TEMPORARY TABLE model (location text, sku text, on_hand int NOT NULL, PRIMARY KEY (location, sku));
CREATE TEMPORARY TABLE trace (step int, call text, sqlstate text, message text);
CREATE TEMPORARY TABLE breach (step int, call text, what text);

INSERT INTO model SELECT l, s, 20 FROM unnest(ARRAY['default', 'north', 'south']) l, unnest(ARRAY['A', 'B', 'C']) s;
SELECT count(oms.receive_stock(location, sku, 20)) AS ready FROM model \gset
SELECT count(oms.set_stock_limits('north', sku, 2, 5)::text) AS ready FROM unnest(ARRAY['A', 'B', 'C']) sku \gset

CREATE FUNCTION pg_temp.counters() RETURNS text LANGUAGE sql AS $f$
    SELECT string_agg(format('%s/%s/%s/%s', item_id, location_id, on_hand, reserved), ' ' ORDER BY item_id, location_id)
           || (SELECT format(' %s %s %s %s', count(*), sum(promised), sum(shipped), sum(cancelled)) FROM oms.allocations)
           || (SELECT format(' %s %s', count(*), sum(on_hand_delta)) FROM oms.stock_movements)
           || (SELECT format(' %s', count(*)) FROM oms.events)
    FROM oms.stock
$f$;

-- Units that left for good: shipped and not restocked.
CREATE FUNCTION pg_temp.gone() RETURNS TABLE (item_id bigint, location_id bigint, units bigint) LANGUAGE sql STABLE AS $f$
    SELECT item_id, location_id, sum(units) FROM (
        SELECT item_id, location_id, shipped::bigint AS units FROM oms.allocations
        UNION ALL SELECT item_id, location_id, -quantity FROM oms.return_receipts WHERE disposition = 'restock') u
    GROUP BY item_id, location_id
$f$;

CREATE FUNCTION pg_temp.random_lines() RETURNS jsonb LANGUAGE sql VOLATILE AS $f$
    SELECT jsonb_agg(jsonb_build_object('sku', (ARRAY['A', 'B', 'C', 'E'])[1 + floor(random() * 4)::int],
                                        'quantity', 1 + floor(random() * 6)::int))
    FROM generate_series(1, 1 + floor(random() * 3)::int)
$f$;

CREATE FUNCTION pg_temp.step(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    dice      float8 := random();
    place     text := (ARRAY['default', 'north', 'south'])[1 + floor(random() * 3)::int];
    item      text := (ARRAY['A', 'B', 'C'])[1 + floor(random() * 3)::int];
    units     int := 1 + floor(random() * 8)::int;
    one_order bigint := (SELECT order_id FROM oms.orders ORDER BY hashint8(order_id + number) LIMIT 1);
    one       bigint := (SELECT fulfillment_id FROM oms.fulfillments
                         ORDER BY status IN ('delivered', 'cancelled', 'picked_up'), hashint8(fulfillment_id + number) LIMIT 1);
    one_line  int;
    one_payment bigint := (SELECT payment_id FROM oms.payments ORDER BY hashint8(payment_id + number) LIMIT 1);
    before    text := pg_temp.counters();
    one_return bigint := (SELECT return_id FROM oms.returns ORDER BY status IN ('closed', 'rejected', 'cancelled'),
                          hashint8(return_id + number) LIMIT 1);
    shipped_order bigint := (SELECT order_id FROM oms.order_lines WHERE shipped > returned + return_requested
                             ORDER BY hashint8(order_id + number) LIMIT 1);
    second    float8 := random();
    call      text;
    fault     record;
BEGIN
    one_line := (SELECT line_no FROM oms.allocations WHERE fulfillment_id = one ORDER BY line_no LIMIT 1);
    call := CASE
        WHEN dice < 0.28 THEN format('SELECT oms.place_order(%L)', jsonb_build_object('external_ref', 'r' || number,
                'lines', pg_temp.random_lines(), 'payments', jsonb_build_array(jsonb_build_object('method', 'card'))))
        WHEN dice < 0.33 THEN format('SELECT oms.cancel_order(%s)', one_order)
        WHEN dice < 0.39 THEN format('SELECT oms.cancel_order(%s, %L)', one_order,
                jsonb_build_array(jsonb_build_object('line_no', 1, 'quantity', 1 + units % 3)))
        WHEN dice < 0.49 THEN format('SELECT oms.release_fulfillment(%s)', one)
        WHEN dice < 0.52 THEN format('SELECT oms.accept_fulfillment(%s)', one)
        WHEN dice < 0.57 THEN format('SELECT oms.pick_fulfillment(%s, %L)', one,
                jsonb_build_array(jsonb_build_object('line_no', one_line, 'quantity', 1 + units % 2)))
        WHEN dice < 0.60 THEN format('SELECT oms.pack_fulfillment(%s)', one)
        WHEN dice < 0.66 THEN format('SELECT oms.ship_fulfillment(%s)', one)
        WHEN dice < 0.71 THEN format('SELECT oms.ship_fulfillment(%s, %L)', one, jsonb_build_object('lines',
                jsonb_build_array(jsonb_build_object('line_no', one_line, 'quantity', 1))))
        WHEN dice < 0.77 THEN format('SELECT oms.deliver_fulfillment(%s)', one)
        WHEN dice < 0.79 THEN format('SELECT oms.cancel_fulfillment(%s)', one)
        WHEN dice < 0.84 THEN format('SELECT oms.receive_stock(%L, %L, %s)', place, item, units)
        WHEN dice < 0.88 THEN format('SELECT oms.adjust_stock(%L, %L, %s, %L)', place, item, -units, 'damage')
        WHEN dice < 0.93 THEN format('SELECT oms.count_stock(%L, %L, %s)', place, item, units)
        WHEN dice < 0.97 THEN format('SELECT oms.record_payment_event(%s, %L, %s, %L)', one_payment,
                (ARRAY['capture', 'refund', 'void', 'fail', 'expire', 'authorize'])[1 + units % 6], units, 'e' || number)
        ELSE format('SELECT oms.add_payment(%s, %L)', one_order, jsonb_build_object('method', 'card', 'amount', units,
                'status', 'captured'))
    END;
    -- A part of the calls is about what comes back.
    IF second < 0.22 THEN
        call := CASE
            WHEN second < 0.05 THEN format('SELECT oms.request_return(%s, NULL, NULL, %L)', shipped_order, jsonb_build_object(
                'refund_on', (ARRAY['approval', 'receipt', 'closing', 'manual'])[1 + units % 4],
                'shipping_refund', (ARRAY['none', 'proportional', 'complete'])[1 + units % 3], 'restocking_percent', units % 3 * 5))
            WHEN second < 0.08 THEN format('SELECT oms.request_return(%s, %L)', shipped_order,
                jsonb_build_array(jsonb_build_object('line_no', 1, 'quantity', 1 + units % 2)))
            WHEN second < 0.13 THEN format('SELECT oms.receive_return(%s)', one_return)
            WHEN second < 0.16 THEN format('SELECT oms.receive_return(%s, %L)', one_return, (
                SELECT jsonb_build_array(jsonb_build_object('line_no', l.line_no, 'quantity', 1, 'disposition',
                    CASE WHEN i.kind = 'stocked' THEN (ARRAY['damaged', 'scrap', 'quality_hold'])[1 + units % 3] ELSE 'scrap' END))
                FROM oms.return_lines l JOIN oms.items i USING (item_id) WHERE l.return_id = one_return ORDER BY l.line_no LIMIT 1))
            WHEN second < 0.165 THEN format('SELECT oms.cancel_return(%s)', one_return)
            WHEN second < 0.17 THEN format('SELECT oms.reject_return(%s)', one_return)
            WHEN second < 0.18 THEN format('SELECT oms.ship_return(%s)', one_return)
            WHEN second < 0.20 THEN format('SELECT oms.close_return(%s)', one_return)
            WHEN second < 0.21 THEN format('SELECT oms.request_refund(%s)', one_order)
            ELSE format('SELECT oms.cancel_order(%s, NULL, NULL, ''return'')', one_order)
        END;
        dice := 2;
    END IF;
    IF call IS NULL OR call LIKE '%()' OR call LIKE '%(, %' THEN
        RETURN;
    END IF;
    BEGIN
        EXECUTE call;
        INSERT INTO trace VALUES (number, call, '00000', NULL);
        UPDATE model m SET on_hand = CASE WHEN dice >= 0.79 AND dice < 0.84 THEN m.on_hand + units
                                          WHEN dice >= 0.84 AND dice < 0.88 THEN m.on_hand - units
                                          WHEN dice >= 0.88 AND dice < 0.93 THEN units + coalesce((SELECT sum(a.units)
                                              FROM pg_temp.gone() a JOIN oms.items i USING (item_id)
                                                   JOIN oms.locations l USING (location_id)
                                              WHERE i.sku = item AND l.code = place), 0)
                                          ELSE m.on_hand END
            WHERE m.location = place AND m.sku = item;
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO trace VALUES (number, call, SQLSTATE, SQLERRM);
        IF before IS DISTINCT FROM pg_temp.counters() THEN
            INSERT INTO breach VALUES (number, call, 'a refused call changed something');
        END IF;
        IF SQLSTATE !~ '^OM' THEN
            INSERT INTO breach VALUES (number, call, SQLSTATE || ' ' || SQLERRM);
        END IF;
    END;
    -- What the calls of the model left, less what has shipped, is on hand.
    INSERT INTO breach
        SELECT number, call, format('%s at %s has %s on hand, the model %s', m.sku, m.location, s.on_hand,
                                    m.on_hand - coalesce(gone.units, 0))
        FROM model m JOIN oms.items i USING (sku) JOIN oms.locations l ON l.code = m.location
             JOIN oms.stock s ON s.item_id = i.item_id AND s.location_id = l.location_id
             LEFT JOIN pg_temp.gone() gone
                ON gone.item_id = s.item_id AND gone.location_id = s.location_id
        WHERE s.on_hand <> m.on_hand - coalesce(gone.units, 0);
    FOR fault IN SELECT * FROM oms.audit() LOOP
        INSERT INTO breach VALUES (number, call, format('%s %s: expected %s, found %s', fault.check, fault.object,
                                                        fault.expected, fault.found));
    END LOOP;
END
$f$;

SELECT setseed(0.42) IS NULL AS ready \gset
SELECT count(pg_temp.step(n)::text) AS ready FROM generate_series(1, 600) n \gset

SELECT is_empty('SELECT step, call, what FROM breach ORDER BY step LIMIT 10', 'audit stays empty and refused calls change nothing');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate = '00000'), '>', 250::bigint, 'many calls succeed');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate <> '00000'), '>', 50::bigint, 'many calls are refused');
SELECT is_empty($$SELECT * FROM trace WHERE sqlstate NOT IN ('00000', 'OM001', 'OM002', 'OM009')$$, 'refusals are those of stock, states and money');
SELECT is_empty($$SELECT l.order_id FROM oms.order_lines l WHERE allocated + backordered + cancelled <> ordered$$, 'every unit of every line is somewhere');
SELECT is_empty($$SELECT FROM oms.stock WHERE reserved > on_hand + backorder_limit$$, 'nothing is oversold');
SELECT cmp_ok((SELECT count(*) FROM oms.return_receipts), '>', 5::bigint, 'many units come back');
SELECT is_empty($$SELECT o.order_id FROM oms.orders o
    LEFT JOIN (SELECT order_id, sum(captured) AS captured, sum(refunded) AS refunded FROM oms.payment_balances GROUP BY 1) b USING (order_id)
    LEFT JOIN (SELECT order_id, sum(amount) AS granted FROM oms.refunds WHERE status <> 'revoked' GROUP BY 1) g USING (order_id)
    WHERE b.refunded > b.captured OR g.granted > o.total$$, 'refunds never exceed what was captured, grants what was ordered');
SELECT * FROM finish();
ROLLBACK;
