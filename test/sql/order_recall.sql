-- order_recall.sql: edits that take released units back from their locations; from shipping to picking up, delivery by delivery.
\pset pager off
CREATE DATABASE oms_order_recall;
\c oms_order_recall
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SET timezone = 'UTC';
SELECT oms.upsert_locations('[{"code":"default","active":false},{"code":"north","latitude":54,"longitude":10},{"code":"south","latitude":48,"longitude":11,"pickup":true}]');
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":20}]'), oms.receive_stock(l, s, 20) FROM unnest('{north,south}'::text[]) l, unnest('{A,B}'::text[]) s;
CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE answer text; detail text;
BEGIN
    EXECUTE call INTO answer;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
CREATE FUNCTION edit(reference text, changes jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT attempt(format('SELECT concat_ws(%L, e ->> %L, e #>> %L) FROM oms.edit_order(oms.find_order(%L, %L), %L) e', ' due ', 'difference', '{balance,due}', 'default', reference, changes));
$$;
CREATE FUNCTION shown(reference text) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT format('%s/%s', o.status, o.fulfillment_status) FROM oms.orders o WHERE external_ref = reference
    UNION ALL
    (SELECT format('line %s of delivery %s: ordered %s allocated %s released %s shipped %s cancelled %s', l.line_no, l.delivery_no, l.ordered, l.allocated, l.released, l.shipped, l.cancelled)
     FROM oms.order_lines l JOIN oms.orders o USING (order_id) WHERE o.external_ref = reference ORDER BY l.line_no)
    UNION ALL
    (SELECT format('delivery %s: %s %s', d.delivery_no, d.method, coalesce(p.code, d.address ->> 'latitude', 'nowhere')) FROM oms.order_deliveries d JOIN oms.orders o USING (order_id)
     LEFT JOIN oms.locations p ON p.location_id = d.pickup_location_id WHERE o.external_ref = reference ORDER BY d.delivery_no)
    UNION ALL
    (SELECT format('delivery %s from %s %s: %s', f.delivery_no, x.code, f.status, string_agg(format('line %s x %s', a.line_no, a.promised - a.cancelled), ', ' ORDER BY a.line_no))
     FROM oms.fulfillments f JOIN oms.orders o USING (order_id) JOIN oms.locations x ON x.location_id = f.location_id
     JOIN oms.allocations a USING (fulfillment_id) WHERE o.external_ref = reference AND a.promised > a.cancelled
     GROUP BY f.fulfillment_id, f.delivery_no, f.status, x.code ORDER BY f.fulfillment_id)
    UNION ALL
    SELECT format('%s faults', count(*)) FROM oms.audit();
$$;
CREATE FUNCTION told(reference text, after bigint) RETURNS SETOF text LANGUAGE sql AS $$
    SELECT concat_ws(' ', type, from_state, reason, data -> 'lines') FROM oms.order_timeline(oms.find_order('default', reference)) WHERE event_id > after AND object_type = 'fulfillment' ORDER BY event_id;
$$;
CREATE FUNCTION now_at() RETURNS bigint LANGUAGE sql AS $$ SELECT max(event_id) FROM oms.events $$;
CREATE FUNCTION release(reference text, number int DEFAULT NULL) RETURNS bigint LANGUAGE sql AS $$
    SELECT count(oms.release_fulfillment(fulfillment_id)) FROM oms.fulfillments f JOIN oms.orders o USING (order_id)
    WHERE o.external_ref = reference AND f.status = 'planned' AND f.delivery_no = coalesce(number, f.delivery_no) $$;

-- A new address recalls what a location was told to send and has not begun; it is told.
SELECT oms.place_order('{"external_ref":"o1","ship_to":{"latitude":53.5,"longitude":10},"lines":[{"sku":"A","quantity":3},{"sku":"B","quantity":1}]}') ->> 'status' AS status, release('o1') AS released \gset
SELECT now_at() AS at \gset
SELECT edit('o1', '{"ship_to":{"latitude":48.1,"longitude":11.5},"reason":"moved"}');
SELECT shown('o1');
SELECT told('o1', :at);
-- Accepted is not begun; picking is: then it is refused, and nothing has changed.
SELECT release('o1'), max(fulfillment_id) AS f FROM oms.fulfillments \gset
SELECT oms.accept_fulfillment(:f) IS NOT NULL, edit('o1', '{"ship_to":{"latitude":53.4,"longitude":10}}');
SELECT release('o1'), max(fulfillment_id) AS f FROM oms.fulfillments \gset
SELECT oms.pick_fulfillment(:f, '[{"line_no":1,"quantity":1}]') IS NOT NULL;
SELECT edit('o1', '{"ship_to":{"latitude":48.1,"longitude":11.5}}');
SELECT edit('o1', '{"method":"pickup","pickup_location":"south"}');
-- Another service or date does not stop what is under way.
SELECT edit('o1', '{"service":"express","requested_at":"2030-01-01T00:00:00Z"}');
SELECT shown('o1');
-- Fewer units of what is being picked: the location is told which.
SELECT now_at() AS at \gset
SELECT edit('o1', '{"lines":[{"line_no":1,"quantity":2}],"reason":"one less"}'), oms.cancel_order(oms.find_order('default', 'o1'), '[{"line_no":1,"quantity":1}]', 'another') ->> 'status';
SELECT told('o1', :at);
SELECT oms.ship_fulfillment(:f) ->> 'fulfillment_status', edit('o1', '{"lines":[{"line_no":1,"quantity":0}]}');

-- From shipping to picking up, and back; other deliveries keep their promises.
SELECT oms.place_order('{"external_ref":"o2","deliveries":[{"delivery_no":1,"ship_to":{"latitude":53.5,"longitude":10}},{"delivery_no":2,"ship_to":{"latitude":53.6,"longitude":10}}],
    "lines":[{"sku":"A","quantity":2,"delivery_no":1},{"sku":"B","quantity":2,"delivery_no":2}]}') ->> 'status' AS status, release('o2', 2) AS released \gset
SELECT now_at() AS at \gset
SELECT shown('o2');
SELECT edit('o2', '{"deliveries":[{"delivery_no":1,"method":"pickup"}]}');
SELECT edit('o2', '{"deliveries":[{"delivery_no":1,"pickup_location":"south"},{"delivery_no":2,"method":"pickup","pickup_location":"north"},{"delivery_no":3,"method":"pickup","pickup_location":"moon"}]}');
SELECT edit('o2', '{"deliveries":[{"delivery_no":1,"method":"walk"}]}');
SELECT edit('o2', '{"deliveries":[{"delivery_no":1,"method":"pickup","pickup_location":"south"}]}');
SELECT shown('o2');
SELECT told('o2', :at);
SELECT o #> '{deliveries,0}' FROM oms.get_order(oms.find_order('default', 'o2')) o;
-- The second, released one comes back for the pickup point too, and goes out again.
SELECT edit('o2', '{"deliveries":[{"delivery_no":2,"method":"pickup","pickup_location":"south"}]}');
SELECT shown('o2');
SELECT edit('o2', '{"method":"ship","ship_to":{"latitude":53.5,"longitude":10}}');
SELECT shown('o2');
-- An order that said nothing of its delivery; without stock at the point the edit is refused whole.
SELECT oms.place_order('{"external_ref":"o3","lines":[{"sku":"A","quantity":1}]}') ->> 'status';
SELECT edit('o3', '{"method":"pickup","pickup_location":"south","lines":[{"line_no":1,"quantity":21}]}');
SELECT edit('o3', '{"method":"pickup","pickup_location":"south"}');
SELECT shown('o3');
-- The same said by a dry run.
SELECT e #> '{order,deliveries}' FROM oms.edit_order(oms.find_order('default', 'o3'), '{"method":"ship"}', dry_run => true) e;
-- A hold on recalls stops it.
SELECT release('o3');
UPDATE oms.hold_types SET blocks = blocks || '{fulfillment.recall}' WHERE code = 'manual';
SELECT oms.hold_order(oms.find_order('default', 'o3'), 'manual') > 0, edit('o3', '{"method":"ship"}');
SELECT string_agg(format('%s %s %s/%s', l.code, i.sku, s.reserved, s.on_hand), ', ' ORDER BY l.code, i.sku) FROM oms.stock s JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id);
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_order_recall;
