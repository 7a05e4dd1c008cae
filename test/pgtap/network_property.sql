-- Random networks, policies and orders: a preview answers what placing then answers, or refuses for the same reason; the terms of an
-- explanation add up to the plan's cost; every decision replays; and the policy of a time, simulated over that time, decides it all again.
\set ECHO none
\set QUIET on
\pset format unaligned
\pset tuples_only on
\pset pager off
SET client_min_messages = warning;
CALL oms.init();
BEGIN;

SELECT plan(8);

SET LOCAL timezone = 'UTC';
SET LOCAL oms.clock = '2026-03-02 06:00+00';
SELECT setseed(0.29) IS NULL AS ready \gset

CREATE FUNCTION pg_temp.some(VARIADIC choices text[]) RETURNS text LANGUAGE sql VOLATILE AS $f$
    SELECT choices[1 + floor(random() * cardinality(choices))::int] $f$;
CREATE FUNCTION pg_temp.up_to(most int) RETURNS int LANGUAGE sql VOLATILE AS $f$ SELECT floor(random() * (most + 1))::int $f$;

-- Eight places over a thousand kilometres, with hours, cut-offs and days that are full soon; three services in two currencies.
SELECT oms.upsert_channels('[{"code":"default","backorder":true}]'),
       oms.upsert_calendars('[{"code":"week","hours":[{"weekday":1,"opens":"08:00","closes":"18:00"},{"weekday":2,"opens":"08:00","closes":"18:00"},
           {"weekday":3,"opens":"08:00","closes":"18:00"},{"weekday":4,"opens":"08:00","closes":"18:00"},{"weekday":5,"opens":"08:00","closes":"15:00"}]}]') \g /dev/null
SELECT oms.upsert_locations((SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('code', 'L' || n, 'rank', n, 'latitude', 47 + pg_temp.up_to(60) / 10.0, 'longitude', 6 + pg_temp.up_to(80) / 10.0,
    'country', 'DE', 'time_zone', pg_temp.some('Europe/Berlin', 'UTC'), 'cost_per_order', pg_temp.up_to(5), 'cost_per_line', pg_temp.up_to(20) / 10.0, 'cost_per_unit', pg_temp.up_to(10) / 10.0, 'pickup', n <= 3,
    'calendar', CASE WHEN n % 3 > 0 THEN 'week' END, 'cut_off', CASE WHEN n % 2 = 0 THEN '14:00' END, 'handling_hours', pg_temp.up_to(6),
    'daily_capacity', CASE WHEN n % 4 = 0 THEN 3 + pg_temp.up_to(4) END, 'capacity_unit', CASE WHEN n = 8 THEN 'unit' END,
    'groups', jsonb_build_array(jsonb_build_object('group', CASE n % 2 WHEN 1 THEN 'odd' ELSE 'even' END))))) FROM generate_series(1, 8) n)) \g /dev/null
UPDATE oms.locations SET active = false WHERE code = 'default';
SELECT oms.upsert_items((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || n, 'price', n, 'weight_grams', 100 * n * n, 'length_mm', 100 * n, 'width_mm', 200, 'height_mm', 150,
    'item_group', CASE WHEN n > 4 THEN 'bulky' ELSE 'small' END)) FROM generate_series(1, 6) n) || '[{"sku":"SET","kind":"kit","price":5,"ship_together":true,
    "components":[{"sku":"S1","quantity":2},{"sku":"S2","quantity":1}]},{"sku":"MAIL","kind":"digital","price":1}]') \g /dev/null
SELECT oms.upsert_carriers('[{"code":"c","services":[{"code":"slow","level":"standard","zone_chart":"km","currency":"EUR","calendar":"week","surcharge":"0.35","volumetric_divisor":5000},
    {"code":"fast","level":"express","zone_chart":"km","currency":"EUR","surcharge_percent":12},{"code":"rival","level":"standard","zone_chart":"km","currency":"CHF"}]}]'),
    oms.load_shipping_zones('km', '[{"zone":"a","distance_from":0,"distance_to":150},{"zone":"b","distance_from":150,"distance_to":450},{"zone":"c","distance_from":450,"distance_to":900}]', 'replace'),
    oms.load_exchange_rates('[{"from":"CHF","to":"EUR","valid_from":"2026-01-01","rate":"1.04"}]') \g /dev/null
SELECT oms.load_shipping_rates(s, (SELECT jsonb_agg(jsonb_build_object('zone', z, 'to_grams', g, 'amount', round((base + ord * 2 + g / 4000.0)::numeric, 2))) FROM
    unnest(ARRAY['a', 'b', 'c']) WITH ORDINALITY z(z, ord), unnest(ARRAY[1000, 4000, 12000, 40000]) g)) FROM (VALUES ('slow', 3), ('fast', 6), ('rival', 2)) v(s, base) \g /dev/null
SELECT oms.load_transit_times(s, (SELECT jsonb_agg(jsonb_build_object('zone', z, 'days', days + ord)) FROM unnest(ARRAY['a', 'b', 'c']) WITH ORDINALITY z(z, ord)))
    FROM (VALUES ('slow', 1), ('fast', 0)) v(s, days) \g /dev/null
SELECT oms.receive_stock('L' || l, 'S' || s, 5 + pg_temp.up_to(40)) FROM generate_series(1, 8) l, generate_series(1, 6) s WHERE (l * 3 + s * 5) % 7 > 1 \g /dev/null
SELECT oms.set_stock_limits('L' || l, 'S' || s, pg_temp.up_to(2), CASE WHEN l = 3 THEN 30 ELSE 0 END) FROM generate_series(1, 8) l, generate_series(1, 6) s WHERE (l + s) % 3 = 0 \g /dev/null
SELECT oms.load_scarcity_prices((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || s, 'location', 'L' || l, 'price', pg_temp.up_to(30) / 10.0)) FROM generate_series(1, 6) s,
    generate_series(1, 8) l WHERE (s + l) % 2 = 0)) \g /dev/null
SELECT oms.load_unit_values((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || s, 'location', 'L' || l, 'cost', pg_temp.up_to(20) / 10.0, 'markdown', pg_temp.up_to(9) / 10.0))
    FROM generate_series(1, 6) s, generate_series(1, 8) l WHERE (s * l) % 3 > 0)) \g /dev/null
CREATE TABLE public.out_of_order (location text);
INSERT INTO public.out_of_order VALUES ('L6');

CREATE TEMPORARY TABLE breach (step int, what text);
CREATE TEMPORARY TABLE trace (step int, sqlstate text, message text, policy text);
CREATE TEMPORARY TABLE period (policy text, started timestamptz);

CREATE FUNCTION pg_temp.some_policy() RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    objective text := pg_temp.some('cost', 'cost', 'cost', 'cost', 'cost', 'ranking', 'ranking', 'nearest_first', 'priority', 'fewest_splits', 'nearest_complete');
    policy    jsonb := jsonb_build_object('objective', objective);
    relax     jsonb := '[]';
BEGIN
    IF objective = 'ranking' THEN
        RETURN policy || jsonb_build_object('ranking', pg_temp.some('[{"term":"fulfillments"},{"term":"cost"}]', '[{"term":"distance"},{"term":"fulfillments"}]',
            '[{"term":"rank"},{"term":"cost"}]', '[{"term":"stock","tolerance":4},{"term":"fulfillments"}]', '[{"term":"supply"},{"term":"stock"},{"term":"cost"}]', '[{"term":"fulfillments","tolerance":1},{"term":"distance"}]', '[{"term":"cost"}]')::jsonb);
    ELSIF objective <> 'cost' THEN
        RETURN policy;
    END IF;
    IF random() < 0.3 THEN policy := policy || jsonb_build_object('floors', jsonb_build_array(jsonb_build_object('group', 'odd', 'units', pg_temp.up_to(6)), jsonb_build_object('units', pg_temp.up_to(3)))); relax := relax || '[{"rule":"floors"}]'; END IF;
    IF random() < 0.3 THEN policy := policy || '{"keep_together":[{"item_group":"bulky"}]}'; relax := relax || '[{"rule":"keep_together"}]'; END IF;
    IF random() < 0.2 THEN policy := policy || '{"ship_complete":true}'; relax := relax || '[{"rule":"ship_complete"}]'; END IF;
    IF random() < 0.3 THEN policy := policy || jsonb_build_object('margin_weight', 1, 'markdown_weight', pg_temp.up_to(20) / 10.0); END IF;
    IF random() < 0.3 THEN policy := policy || jsonb_build_object('cost_of_low_stock', pg_temp.up_to(30) / 10.0, 'cost_of_low_supply', pg_temp.up_to(30) / 10.0); END IF;
    IF random() < 0.3 THEN policy := policy || jsonb_build_object('cost_of_load', pg_temp.up_to(50) / 10.0, 'load_threshold', pg_temp.up_to(8) / 10.0, 'load_exponent', 2); END IF;
    IF random() < 0.3 THEN policy := policy || jsonb_build_object('line_weight', pg_temp.up_to(30) / 10.0); END IF;
    IF random() < 0.2 AND NOT policy ? 'ship_complete' THEN policy := policy || jsonb_build_object('cost_per_unit_later', pg_temp.up_to(60) / 10.0, 'later_value_weight', 0.2); END IF;
    IF random() < 0.5 THEN
        policy := policy || '{"whole_lines":true}';
        IF random() < 0.4 THEN
            policy := policy || '{"min_fulfillment_value":"6"}';
            relax := relax || '[{"rule":"min_fulfillment_value"}]';
        END IF;
        relax := relax || '[{"rule":"whole_lines"}]';
    ELSIF random() < 0.4 THEN
        policy := policy || jsonb_build_object('max_places_per_line', 1 + pg_temp.up_to(1));
        relax := relax || '[{"rule":"max_places_per_line"}]';
    END IF;
    IF random() < 0.3 THEN policy := policy || jsonb_build_object('max_fulfillments', 1 + pg_temp.up_to(2)); relax := relax || '[{"rule":"max_fulfillments"}]'; END IF;
    IF random() < 0.3 THEN policy := policy || jsonb_build_object('max_kilometres', 200 + pg_temp.up_to(500)); relax := relax || '[{"rule":"max_kilometres"}]'; END IF;
    IF random() < 0.3 THEN policy := policy || '{"in_time":true}'; relax := relax || '[{"rule":"in_time"}]'; END IF;
    IF random() < 0.2 THEN policy := policy || jsonb_build_object('only_groups', jsonb_build_array(jsonb_build_object('group', pg_temp.some('odd', 'even')))); relax := relax || '[{"rule":"groups"}]'; END IF;
    IF random() < 0.4 THEN policy := policy || jsonb_build_object('cost_per_day_late', pg_temp.up_to(40) / 10.0, 'cost_late', pg_temp.up_to(20) / 10.0); END IF;
    IF random() < 0.4 THEN policy := policy || jsonb_build_object('cost_per_kilometre', '0.01'); END IF;
    IF random() < 0.4 THEN policy := policy || jsonb_build_object('scarcity_weight', 1 + pg_temp.up_to(2), 'scarcity_max_hours', 8000); END IF;
    IF random() < 0.3 THEN policy := policy || '{"currency":"EUR","convert":true}'; ELSIF random() < 0.5 THEN policy := policy || '{"currency":"EUR"}'; END IF;
    IF random() < 0.4 THEN
        policy := policy || '{"rules":[{"name":"in order","kind":"require","expression":"NOT EXISTS (SELECT FROM public.out_of_order o WHERE o.location = this.location)"},
            {"name":"far","kind":"cost","weight":2,"expression":"CASE WHEN this.kilometres > 300 THEN this.kilometres / 100 END"}]}';
        relax := relax || '[{"rule":"in order"}]';
    END IF;
    -- All that may give way, or nothing.
    RETURN CASE WHEN random() < 0.6 AND relax <> '[]' THEN policy || jsonb_build_object('relax', relax) ELSE policy END;
END $f$;

CREATE FUNCTION pg_temp.some_order(number int) RETURNS jsonb LANGUAGE plpgsql VOLATILE AS $f$
DECLARE
    document jsonb := jsonb_build_object('external_ref', 'o' || number, 'customer', jsonb_build_object('class', pg_temp.some('vip', 'plain')), 'lines',
        (SELECT jsonb_agg(jsonb_build_object('sku', pg_temp.some('S1', 'S2', 'S3', 'S4', 'S5', 'S6', 'S1', 'S2', 'SET', 'MAIL'), 'quantity', 1 + pg_temp.up_to(3)))
         FROM generate_series(1, 1 + pg_temp.up_to(3))))
        || CASE WHEN random() < 0.15 THEN '{"ship_complete":true}'::jsonb ELSE '{}' END;
    address  jsonb := jsonb_build_object('country', 'DE', 'latitude', 47 + pg_temp.up_to(60) / 10.0, 'longitude', 6 + pg_temp.up_to(80) / 10.0);
    wish     jsonb := CASE WHEN random() < 0.4 THEN jsonb_build_object('requested_at', oms.current_time() + pg_temp.up_to(7) * interval '1 day') ELSE '{}' END
                      || CASE WHEN random() < 0.3 THEN jsonb_build_object('service', pg_temp.some('slow', 'fast', 'standard', 'express')) ELSE '{}' END;
BEGIN
    IF random() < 0.2 THEN
        document := document || jsonb_build_object('lines', (SELECT jsonb_agg(CASE WHEN l ->> 'sku' <> 'SET' AND random() < 0.6 THEN l || '{"together":"x"}' ELSE l END)
            FROM jsonb_array_elements(document -> 'lines') l));
    END IF;
    IF random() < 0.1 THEN
        RETURN document || jsonb_build_object('method', 'pickup', 'pickup_location', 'L' || 1 + pg_temp.up_to(2));
    ELSIF random() < 0.15 THEN
        RETURN document || jsonb_build_object('deliveries', jsonb_build_array(wish || jsonb_build_object('delivery_no', 1, 'ship_to', address),
            jsonb_build_object('delivery_no', 2, 'ship_to', address || '{"latitude":48.1}')),
            'lines', (SELECT jsonb_agg(l || jsonb_build_object('delivery_no', 1 + n % 2)) FROM jsonb_array_elements((document -> 'lines') || (document -> 'lines')) WITH ORDINALITY x(l, n)));
    END IF;
    RETURN document || wish || jsonb_build_object('ship_to', address);
END $f$;

-- An answer without ids.
CREATE FUNCTION pg_temp.told(answer jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $f$
    SELECT regexp_replace((answer - 'order_id')::text, '(, )?"fulfillment_id": \d+', '', 'g') $f$;

CREATE FUNCTION pg_temp.step(number int) RETURNS void LANGUAGE plpgsql AS $f$
DECLARE
    document jsonb;
    said     jsonb;
    done     jsonb;
    refusal  text;
    reason   text;
    policy   text;
BEGIN
    PERFORM set_config('oms.clock', (timestamptz '2026-03-02 06:00+00' + number * interval '37 minutes')::text, true);
    IF number % 15 = 1 THEN
        BEGIN
            policy := 'p/' || oms.save_routing_policy('p', pg_temp.some_policy());
            PERFORM oms.activate_routing_policy('p', split_part(policy, '/', 2)::int);
            INSERT INTO period VALUES (policy, oms.current_time());
        EXCEPTION WHEN SQLSTATE 'OM006' THEN
            INSERT INTO trace VALUES (number, SQLSTATE, SQLERRM, 'saving');
        END;
    END IF;
    IF number % 9 = 0 THEN
        PERFORM oms.receive_stock('L' || 1 + pg_temp.up_to(7), 'S' || 1 + pg_temp.up_to(5), 1 + pg_temp.up_to(20));
        PERFORM oms.ship_fulfillment(f.fulfillment_id, '{}') FROM (SELECT oms.release_fulfillment(fulfillment_id) IS NULL, fulfillment_id FROM oms.fulfillments WHERE status = 'planned' AND NOT backordered ORDER BY fulfillment_id LIMIT 4) f;
        PERFORM oms.refresh_sales_rates(1 + pg_temp.up_to(3));
    END IF;
    document := pg_temp.some_order(number);
    BEGIN
        said := oms.preview_order(document);
    EXCEPTION WHEN OTHERS THEN
        GET STACKED DIAGNOSTICS refusal = MESSAGE_TEXT, reason = PG_EXCEPTION_DETAIL;
        refusal := concat_ws(' ', SQLSTATE, refusal, reason);
    END;
    BEGIN
        done := oms.place_order(document);
        INSERT INTO trace VALUES (number, '00000', NULL, (SELECT max(code || '/' || version) FROM oms.routing_policies WHERE status = 'active'));
    EXCEPTION WHEN OTHERS THEN
        INSERT INTO trace VALUES (number, SQLSTATE, SQLERRM, NULL);
        GET STACKED DIAGNOSTICS reason = PG_EXCEPTION_DETAIL;
        IF refusal IS DISTINCT FROM concat_ws(' ', SQLSTATE, SQLERRM, reason) THEN
            INSERT INTO breach VALUES (number, format('the preview said %s, then came %s', coalesce(refusal, said::text), concat_ws(' ', SQLSTATE, SQLERRM, reason)));
        END IF;
        RETURN;
    END;
    IF refusal IS NOT NULL OR pg_temp.told(said) IS DISTINCT FROM pg_temp.told(done) THEN
        INSERT INTO breach VALUES (number, format('the preview said %s, then came %s', coalesce(refusal, pg_temp.told(said)), pg_temp.told(done)));
    END IF;
END
$f$;

SELECT count(pg_temp.step(n)::text) AS ready FROM generate_series(1, 600) n \gset

SELECT is_empty('SELECT step, left(what, 900) FROM breach ORDER BY step LIMIT 5', 'previews answer what placing answers');
SELECT is_empty('SELECT * FROM oms.audit() LIMIT 5', 'audit() finds nothing: every decision replays, no day is overbooked');
SELECT is_empty($$SELECT o.order_id, e.cost, e.terms FROM (SELECT DISTINCT order_id FROM oms.routing_decisions GROUP BY order_id HAVING count(*) = 1) o,
    LATERAL (SELECT sum(amount) FILTER (WHERE kind = 'policy' AND term = 'cost') AS cost, sum(amount) FILTER (WHERE kind = 'plan') AS terms FROM oms.explain_route(o.order_id)) e
    WHERE e.cost IS DISTINCT FROM coalesce(e.terms, 0) LIMIT 5$$, 'the terms of a plan are its cost');
SELECT is_empty($$SELECT p.policy, s.plan, s.orders, s.changed, s.refused FROM (SELECT policy, started, lead(started) OVER (ORDER BY started) AS ended FROM period) p,
    oms.simulate_routing(p.policy, p.started, p.ended) s WHERE s.plan <> 'recorded' AND (s.changed > 0 OR s.refused > 0)$$, 'the policy of a time decides it all again');
SELECT cmp_ok((SELECT count(*) FROM oms.routing_decisions), '>', 150::bigint, 'many decisions are made');
SELECT cmp_ok((SELECT count(DISTINCT policy_id) FROM oms.routing_decisions), '>', 12::bigint, 'by many policies');
SELECT cmp_ok((SELECT count(*) FROM trace WHERE sqlstate <> '00000'), '>', 20::bigint, 'many orders are refused');
SELECT is_empty($$SELECT * FROM trace WHERE sqlstate NOT IN ('00000', 'OM001', 'OM006', 'OM008') OR (sqlstate = 'OM006' AND policy IS NULL)$$, 'for stock and rules only');
SELECT * FROM finish();
ROLLBACK;
