-- divided_line.sql: lines whose units go to several deliveries, as they are placed and as an edit divides them.
\pset pager off
CREATE DATABASE oms_divided_line;
\c oms_divided_line
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_channels('[{"code":"web"},{"code":"later","backorder":true},{"code":"swap","substitution":true},{"code":"exact"},{"code":"yen","currency":"JPY"},{"code":"near"}]');
SELECT oms.upsert_locations('[{"code":"berlin","latitude":52.5,"longitude":13.4},{"code":"madrid","latitude":40.4,"longitude":-3.7,"pickup":true}]');
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":"0.333"},{"sku":"HAM","price":"20"},{"sku":"DIG","kind":"digital","price":3},
    {"sku":"LOT","price":5,"tracking":"lot"},{"sku":"RARE","price":7,"substitutes":[{"sku":"A"},{"sku":"B","ratio":2}]},
    {"sku":"SET","kind":"kit","price":25,"components":[{"sku":"A","quantity":2},{"sku":"HAM","quantity":1}]}]');
UPDATE oms.locations SET active = false WHERE code = 'default';
SELECT count(oms.receive_stock(l, s, 30)) FROM unnest('{berlin,madrid}'::text[]) l, unnest('{A,B,HAM}'::text[]) s;
SELECT oms.receive_stock('berlin', 'LOT', 4, lots => '[{"lot":"L1","quantity":4}]'), oms.receive_stock('madrid', 'LOT', 4, lots => '[{"lot":"L2","quantity":4}]');
SELECT oms.receive_stock('berlin', 'RARE', 2);
SELECT oms.activate_routing_policy('cost', oms.save_routing_policy('cost', '{"objective":"cost","cost_per_kilometre":1}'), 'exact');

CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; detail text;
BEGIN
    EXECUTE call INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
CREATE FUNCTION document(reference text, lines jsonb, channel text DEFAULT 'web', deliveries jsonb DEFAULT '[{"delivery_no":1,"ship_to":{"name":"Ann","latitude":52.4,"longitude":13.3}},{"delivery_no":2,"ship_to":{"name":"Bo","latitude":40.3,"longitude":-3.6}}]')
RETURNS jsonb LANGUAGE sql RETURN jsonb_build_object('channel', channel, 'external_ref', reference, 'lines', lines, 'deliveries', deliveries);
CREATE FUNCTION place(document jsonb) RETURNS text LANGUAGE sql AS $$ SELECT attempt(format('SELECT jsonb_build_array(p -> %L, p #> %L, p -> %L) FROM oms.place_order(%L) p', 'fulfillment_status', '{totals,total}', 'divided', document)); $$;
CREATE FUNCTION shown(reference text) RETURNS SETOF text LANGUAGE sql AS $$
    (SELECT format('line %s%s %s to %s: ordered %s allocated %s backordered %s cancelled %s at %s = %s%s', l.line_no, ' of ' || l.divided_from, i.sku, l.delivery_no, l.ordered,
                   l.allocated, l.backordered, l.cancelled, l.unit_price, l.amount, ' ' || concat_ws(' ', l.external_ref, l.name, l.lot, l.attributes))
     FROM oms.order_lines l JOIN oms.items i USING (item_id) JOIN oms.orders o USING (order_id) WHERE o.external_ref = reference ORDER BY l.line_no)
    UNION ALL
    (SELECT format('%s of line %s: %s%s', a.type, a.line_no, a.amount, ' for ' || a.basis) FROM oms.order_adjustments a JOIN oms.orders o USING (order_id)
     WHERE o.external_ref = reference ORDER BY a.adjustment_no)
    UNION ALL
    (SELECT format('delivery %s %s from %s%s: %s', f.delivery_no, f.status, coalesce(x.code, 'nowhere'), CASE WHEN f.backordered THEN ' later' ELSE '' END,
                   string_agg(format('line %s x %s', a.line_no, a.promised - a.cancelled), ', ' ORDER BY a.line_no))
     FROM oms.fulfillments f JOIN oms.orders o USING (order_id) LEFT JOIN oms.locations x ON x.location_id = f.location_id
     JOIN oms.allocations a USING (fulfillment_id) WHERE o.external_ref = reference AND a.promised > a.cancelled
     GROUP BY f.fulfillment_id, f.delivery_no, f.status, x.code, f.backordered ORDER BY f.fulfillment_id)
    UNION ALL
    SELECT format('total %s, %s faults', (SELECT total FROM oms.orders WHERE external_ref = reference), (SELECT count(*) FROM oms.audit()));
$$;

-- One line, two addresses: each part goes from the place nearest to its own; the first keeps number and reference.
SELECT place(document('p1', '[{"sku":"A","quantity":3,"external_ref":"x","name":"Mug","attributes":{"colour":"red"},"deliveries":[{"delivery_no":1,"quantity":2},{"delivery_no":2,"quantity":1}]},{"sku":"DIG","quantity":1}]'));
SELECT shown('p1');
SELECT l - 'allocated' - 'released' - 'shipped' - 'delivered' - 'returned' - 'return_requested' - 'replaced' - 'written_off' FROM jsonb_array_elements(oms.get_order(oms.find_order('web', 'p1')) -> 'lines') l WHERE l ? 'divided_from';
-- The same document is the same order, another division is another one.
SELECT attempt(format('SELECT (%L::jsonb) = oms.place_order(%L)', oms.place_order(d), d)) FROM document('p1', '[{"sku":"A","quantity":3,"external_ref":"x","name":"Mug","attributes":{"colour":"red"},"deliveries":[{"delivery_no":1,"quantity":2},{"delivery_no":2,"quantity":1}]},{"sku":"DIG","quantity":1}]') d;
SELECT place(document('p1', '[{"sku":"A","quantity":3,"external_ref":"x","name":"Mug","attributes":{"colour":"red"},"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":2}]},{"sku":"DIG","quantity":1}]'));
-- The parts have their own dates and methods.
SELECT oms.set_stock_limits('madrid', 'A', 0, 5) IS NOT NULL;
SELECT place(document('p2', '[{"sku":"A","quantity":4,"deliveries":[{"delivery_no":5,"quantity":1},{"delivery_no":3,"quantity":3}]}]', 'web',
    '[{"delivery_no":3,"method":"pickup","pickup_location":"madrid"},{"delivery_no":5,"ship_to":{"name":"Ann","latitude":52.4,"longitude":13.3},"requested_at":"2030-01-02T12:00:00Z"}]'));
SELECT shown('p2');
SELECT d -> 'delivery_no', d -> 'method', d -> 'requested_at' FROM jsonb_array_elements(oms.get_order(oms.find_order('web', 'p2')) -> 'deliveries') d;
-- The exact router plans each group, and the recorded decisions replay.
SELECT place(document('p3', '[{"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]', 'exact'));
SELECT shown('p3');
-- Indivisible cents: adjustments and taxes add up, in a currency without cents as well; numbers go on after the last.
SELECT place(document('m1', '[{"line_no":7,"sku":"A","quantity":7,"unit_price":"3.33","adjustments":[{"type":"discount","amount":"0.10"},{"type":"tax","amount":"1.00"},{"type":"tax","amount":"0.01","included":true}],
    "deliveries":[{"delivery_no":2,"quantity":3},{"delivery_no":1,"quantity":4}]},{"line_no":3,"sku":"A","quantity":1}]') || '{"total":"34.21"}');
SELECT shown('m1');
SELECT place(document('m2', '[{"sku":"A","quantity":3,"unit_price":"100","adjustments":[{"type":"discount","amount":"1"},{"type":"tax","amount":"20"}],"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":2}]}]', 'yen'));
SELECT shown('m2');
-- A price finer than the currency divides where the parts add up, else it is refused.
SELECT place(document('m3', '[{"sku":"B","quantity":3,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":2}]}]'));
SELECT place(document('m4', '[{"sku":"A","quantity":1},{"sku":"B","quantity":6,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":5}]}]'));
SELECT place(document('m4', '[{"sku":"B","quantity":2,"unit_price":"0.005","deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]'));
-- What is weighed is shared like money; a lot, a place and a mark are those of every part.
SELECT place(document('w1', '[{"sku":"HAM","quantity":3,"attributes":{"weight_grams":1000,"cut":"thin"},"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":2}]}]'));
SELECT shown('w1');
SELECT place(document('w2', '[{"sku":"LOT","quantity":2,"lot":"L2","deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]},
    {"sku":"A","quantity":2,"location":"madrid","deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]},
    {"sku":"B","quantity":4,"unit_price":1,"together":"t","deliveries":[{"delivery_no":1,"quantity":2},{"delivery_no":2,"quantity":2}]},{"sku":"HAM","quantity":1,"together":"t","delivery_no":2}]'));
SELECT shown('w2');
SELECT count(DISTINCT location_id) FROM oms.allocations WHERE order_id = oms.find_order('web', 'w2') AND line_no IN (6, 7, 4);
-- Sets of a kit, whose parts are kits of their own.
SELECT place(document('k1', '[{"sku":"SET","quantity":3,"external_ref":"k","adjustments":[{"type":"discount","amount":"1"}],"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":2}]}]'));
SELECT shown('k1');
SELECT k FROM jsonb_array_elements(oms.get_order(oms.find_order('web', 'k1')) -> 'kits') k;
-- Parts that nobody has get substitutes, each for itself.
SELECT place(document('s1', '[{"sku":"RARE","quantity":4,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":3}]}]', 'swap'));
SELECT shown('s1');
SELECT oms.get_order(oms.find_order('swap', 's1')) -> 'substitutions';
-- A cart's hold serves all parts.
SELECT oms.reserve('[{"sku":"A","quantity":3}]', reference => 'cart', channel => 'web') #>> '{lines,0,granted}';
SELECT place(document('r1', '[{"sku":"A","quantity":3,"deliveries":[{"delivery_no":1,"quantity":2},{"delivery_no":2,"quantity":1}]}]') || jsonb_build_object('reservation_id', (SELECT max(reservation_id) FROM oms.reservations)));
SELECT status FROM oms.reservations;
-- A preview says the same, many orders in one call are placed alike, a draft keeps its prices and parts.
SELECT (oms.preview_order(d) -> 'divided') = (oms.place_order(d) -> 'divided') FROM document('v1', '[{"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]') d;
SELECT position, sqlstate, result -> 'divided', result -> 'detail' FROM oms.place_orders(jsonb_build_array(
    document('b1', '[{"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]'),
    document('b2', '[{"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":2}]}]'),
    document('b3', '[{"sku":"SET","quantity":2,"deliveries":[{"delivery_no":2,"quantity":1},{"delivery_no":1,"quantity":1}]}]')));
SELECT shown('b1');
SELECT shown('b3');
SELECT oms.place_order(document('q1', '[{"sku":"A","quantity":3,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":2}]},{"sku":"SET","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]') || '{"draft":true}') -> 'divided';
UPDATE oms.items SET price = 11 WHERE sku = 'A';
SELECT oms.place_draft(oms.find_order('web', 'q1')) -> 'totals' -> 'total';
SELECT shown('q1');
UPDATE oms.items SET price = 10 WHERE sku = 'A';
SELECT oms.place_order(document('q2', '[{"sku":"A","quantity":3}]') || '{"draft":true,"deliveries":[{"delivery_no":1}]}') ->> 'status';
SELECT oms.edit_draft(oms.find_order('web', 'q2'), document('q2', '[{"sku":"A","quantity":3,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":2}]}]') - 'channel' - 'external_ref') -> 'divided';
SELECT oms.place_draft(oms.find_order('web', 'q2')) ->> 'status';
SELECT shown('q2');

-- Faults, all at once, each at its place.
SELECT place(document('f', '[{"sku":"A","quantity":5,"deliveries":[{"delivery_no":1,"quantity":2},{"delivery_no":2,"quantity":2}]},
    {"sku":"A","quantity":2,"delivery_no":1,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":1,"quantity":1}]},
    {"sku":"NO","quantity":2,"deliveries":[{"delivery_no":9,"quantity":1},{"delivery_no":2,"quantity":1}]}]'));
SELECT place(document('f', '[{"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":0},{"delivery_no":2,"quantity":-1},{"quantity":1.5},{"delivery_no":1,"quantity":"1","colour":1},7]},{"sku":"A","quantity":1,"deliveries":[]},{"sku":"A","quantity":1,"deliveries":{}}]'));
SELECT place(document('f', '[{"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]') - 'deliveries');
SELECT place(document('f', '[{"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":2}]}]'));
SELECT place(document('f', jsonb_build_array(jsonb_build_object('sku', 'A', 'quantity', 101, 'deliveries', (SELECT jsonb_agg(jsonb_build_object('delivery_no', n, 'quantity', 1)) FROM generate_series(1, 101) n)))));
SELECT left(place(document('l1', jsonb_build_array(jsonb_build_object('sku', 'DIG', 'quantity', 100, 'deliveries', (SELECT jsonb_agg(jsonb_build_object('delivery_no', n, 'quantity', 1)) FROM generate_series(1, 100) n))), 'web',
    (SELECT jsonb_agg(jsonb_build_object('delivery_no', n)) FROM generate_series(1, 100) n))), 40);
SELECT place(document('f', '[{"line_no":2147483647,"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]'));
SELECT place(document('f', '[{"line_no":2147483647,"sku":"SET","quantity":1},{"line_no":1,"sku":"A","quantity":1,"delivery_no":2}]'));
SELECT place(document('f', '[{"sku":"A","quantity":1},{"sku":"SET","quantity":2,"unit_price":"0.005","deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]'));
SELECT place(document('f', '[{"sku":"SET","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]},{"sku":"A","quantity":2,"adjustments":[{"type":"tax","amount":"-1"},{"type":"tax","amount":"0.001"}],"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]'));
SELECT place(document('f', '[{"sku":"SET","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]},{"sku":"A","quantity":2,"location":"nowhere","deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]'));
SELECT place(document('f', '[{"sku":"SET","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]},{"sku":"RARE","quantity":6,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":5}]}]'));
-- An address that nobody serves.
SELECT oms.activate_routing_policy('near', oms.save_routing_policy('near', '{"objective":"cost","cost_per_kilometre":1,"rules":[{"name":"near","kind":"require","expression":"this.kilometres < 100"}]}'), 'near');
SELECT place(document('n1', d, 'near')), place(document('n2', d, 'near', '[{"delivery_no":1,"ship_to":{"latitude":52.4,"longitude":13.3}},{"delivery_no":2,"ship_to":{"latitude":0,"longitude":0}}]'))
FROM (SELECT '[{"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]'::jsonb) x(d);

-- An edit moves a part of a line to another delivery, which may be new; a dry run says the same.
CREATE FUNCTION edit(reference text, changes jsonb) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    dry  text := attempt(format('SELECT e - %L FROM oms.edit_order(oms.find_order(%L, %L), %L, dry_run => true) e', 'dry_run', 'web', reference, changes));
    done text := attempt(format('SELECT e - %L FROM oms.edit_order(oms.find_order(%L, %L), %L) e', 'dry_run', 'web', reference, changes));
BEGIN
    IF regexp_replace(dry, '"fulfillment_id": \d+', '', 'g') <> regexp_replace(done, '"fulfillment_id": \d+', '', 'g') THEN
        RETURN format('the dry run said %s, then came %s', dry, done);
    END IF;
    RETURN CASE WHEN done LIKE '{%' THEN (done::jsonb - 'order' - 'balance' - 'order_id')::text ELSE done END;
END $$;
SELECT count(oms.receive_stock(l, s, 60)) FROM unnest('{berlin,madrid}'::text[]) l, unnest('{A,B,HAM}'::text[]) s;
SELECT place(document('e1', '[{"sku":"A","quantity":7,"unit_price":"3.33","external_ref":"e","name":"Mug","attributes":{"weight_grams":1000},"adjustments":[{"type":"discount","amount":"0.10"},{"type":"tax","amount":"1.00"}]},{"sku":"DIG","quantity":4}]')
    || '{"deliveries":[{"delivery_no":1,"ship_to":{"name":"Ann","latitude":52.4,"longitude":13.3}}]}');
SELECT oms.current_time() AS moment, pg_sleep(0.01) \gset
SELECT edit('e1', '{"lines":[{"line_no":1,"deliveries":[{"delivery_no":1,"quantity":4},{"delivery_no":2,"quantity":3}]},{"line_no":2,"deliveries":[{"delivery_no":2,"quantity":1},{"delivery_no":1,"quantity":3}]}],
    "deliveries":[{"delivery_no":2,"ship_to":{"name":"Bo","latitude":40.3,"longitude":-3.6}}]}');
SELECT shown('e1');
-- The past of the order had one line; each part knows the line of the document, however often it is divided.
SELECT format('%s x %s = %s', l -> 'line_no', l -> 'ordered', l -> 'amount') FROM jsonb_array_elements(oms.order_as_of(oms.find_order('web', 'e1'), :'moment') -> 'lines') l;
SELECT edit('e1', '{"lines":[{"line_no":3,"quantity":4,"unit_price":"2","deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1},{"delivery_no":3,"quantity":2}]},{"line_no":1,"quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}],
    "deliveries":[{"delivery_no":3,"method":"pickup","pickup_location":"madrid"}],"add":[{"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":3,"quantity":1}]}]}');
SELECT shown('e1');
-- Where no part stays, the first takes the line along; adjustments of the same edit are for the whole line.
SELECT edit('e1', '{"lines":[{"line_no":4,"deliveries":[{"delivery_no":3,"quantity":1}]},{"line_no":6,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}],"adjustments":[{"type":"fee","amount":"0.05","line_no":6}]}');
SELECT shown('e1');
-- What is released stays; units beyond it may go.
SELECT place(document('e2', '[{"sku":"A","quantity":5}]') || '{"deliveries":[{"delivery_no":1,"ship_to":{"name":"Ann","latitude":52.4,"longitude":13.3}}]}');
SELECT oms.release_fulfillment(min(fulfillment_id)) IS NOT NULL FROM oms.fulfillments WHERE order_id = oms.find_order('web', 'e2');
SELECT edit('e2', '{"lines":[{"line_no":1,"quantity":9,"deliveries":[{"delivery_no":1,"quantity":4},{"delivery_no":2,"quantity":5}]}],"deliveries":[{"delivery_no":2,"ship_to":{"name":"Bo"}}]}');
SELECT edit('e2', '{"lines":[{"line_no":1,"quantity":9,"deliveries":[{"delivery_no":3,"quantity":4},{"delivery_no":2,"quantity":5}]}],"deliveries":[{"delivery_no":2},{"delivery_no":3}]}');
SELECT edit('e2', '{"lines":[{"line_no":1,"quantity":9,"deliveries":[{"delivery_no":1,"quantity":6},{"delivery_no":2,"quantity":3}]}],"deliveries":[{"delivery_no":2,"ship_to":{"name":"Bo","latitude":40.3,"longitude":-3.6}}]}');
SELECT shown('e2');
-- Units without a promise go first.
SELECT oms.set_stock_limits('berlin', 'HAM', 0, 500) IS NOT NULL;
SELECT place(document('e4', '[{"sku":"HAM","quantity":130}]', 'later') || '{"deliveries":[{"delivery_no":1,"ship_to":{"latitude":52.4,"longitude":13.3}}]}');
SELECT oms.edit_order(oms.find_order('later', 'e4'), '{"lines":[{"line_no":1,"deliveries":[{"delivery_no":1,"quantity":100},{"delivery_no":2,"quantity":30}]}],"deliveries":[{"delivery_no":2}]}') ->> 'difference';
SELECT shown('e4');
-- Faults of an edit.
SELECT edit('e2', '{"lines":[{"line_no":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]},{"line_no":1,"delivery_no":1,"deliveries":[{"delivery_no":8,"quantity":9}]},{"line_no":77,"deliveries":[{"delivery_no":1,"quantity":1}]}]}');
SELECT edit('e2', '{"lines":[{"line_no":1,"deliveries":[{"delivery_no":1,"quantity":0}]},{"line_no":2,"quantity":0,"deliveries":[]}]}');
SELECT edit('e2', '{"lines":[{"line_no":2,"quantity":2,"unit_price":"0.005","deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]}');
SELECT edit('e2', '{"add":[{"sku":"A","quantity":2,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":9,"quantity":2}]},{"sku":"NO","quantity":1}]}');
SELECT edit('k1', '{"lines":[{"line_no":2,"deliveries":[{"delivery_no":2,"quantity":2},{"delivery_no":1,"quantity":2}]}]}');
SELECT attempt(format('SELECT oms.edit_order(%s, %L)', oms.find_order('swap', 's1'), '{"lines":[{"line_no":3,"deliveries":[{"delivery_no":2,"quantity":1},{"delivery_no":1,"quantity":1}]}]}'));
SELECT oms.hold_order(oms.find_order('web', 'e2'), 'manual', 'why', 2) AS hold \gset
SELECT regexp_replace(edit('e2', '{"lines":[{"line_no":2,"deliveries":[{"delivery_no":2,"quantity":1},{"delivery_no":1,"quantity":2}]}]}'), 'hold \d+', 'hold n');
SELECT oms.release_hold(:hold) IS NOT NULL;
-- The whole life of a part is that of a line.
SELECT oms.cancel_order(oms.find_order('web', 'e2'), '[{"line_no":2,"quantity":1}]') ->> 'status';
SELECT shown('e2');
SELECT count(oms.release_fulfillment(f.fulfillment_id) || oms.ship_fulfillment(f.fulfillment_id)) FROM oms.fulfillments f WHERE order_id = oms.find_order('web', 'e2') AND delivery_no = 2;
SELECT r -> 'status', r -> 'lines' FROM oms.request_return(oms.find_order('web', 'e2'), '[{"line_no":2,"quantity":1}]', 'asked') r;
SELECT format('line %s shipped %s, to come back %s', line_no, shipped, return_requested) FROM oms.order_lines WHERE order_id = oms.find_order('web', 'e2') ORDER BY 1;
-- audit() knows a part without its line.
BEGIN;
UPDATE oms.order_lines SET divided_from = 99 WHERE order_id = oms.find_order('web', 'e2') AND line_no = 2;
UPDATE oms.order_kits SET divided_from = 99 WHERE order_id = oms.find_order('web', 'k1') AND divided_from IS NOT NULL;
SELECT "check", expected, found FROM oms.audit();
ROLLBACK;
-- At most 5,000 lines, parts included.
CREATE FUNCTION many(lines int) RETURNS jsonb LANGUAGE sql RETURN (SELECT jsonb_agg(jsonb_build_object('sku', 'DIG', 'quantity', 2) || CASE WHEN n > 1 THEN '{"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}' ELSE '{"delivery_no":1}' END::jsonb) FROM generate_series(1, lines) n);
SELECT place(document('f', many(2501)));
SELECT left(place(document('l2', many(2500) || '{"sku":"DIG","quantity":1}')), 30);
SELECT count(*), count(divided_from) FROM oms.order_lines WHERE order_id = oms.find_order('web', 'l2');
SELECT edit('l2', '{"lines":[{"line_no":1,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":2,"quantity":1}]}]}');
SELECT edit('l2', '{"add":[{"sku":"DIG","quantity":1}]}');
