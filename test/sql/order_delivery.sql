-- order_delivery.sql: orders with several deliveries, each to its own address, planned together and edited.
\pset pager off
CREATE DATABASE oms_order_delivery;
\c oms_order_delivery
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_channels('[{"code":"web"},{"code":"exact"},{"code":"later","backorder":true}]');
SELECT oms.upsert_locations('[{"code":"berlin","latitude":52.5,"longitude":13.4},{"code":"madrid","latitude":40.4,"longitude":-3.7,"pickup":true}]');
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":20},{"sku":"DIG","kind":"digital","price":3}]');
UPDATE oms.locations SET active = false WHERE code = 'default';
SELECT oms.receive_stock('berlin', 'A', 5), oms.receive_stock('madrid', 'A', 5), oms.receive_stock('berlin', 'B', 5);
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
CREATE FUNCTION document(reference text, lines jsonb, deliveries jsonb DEFAULT '[{"delivery_no":1,"ship_to":{"name":"Ann","latitude":52.4,"longitude":13.3}},{"delivery_no":2,"ship_to":{"name":"Bo","latitude":40.3,"longitude":-3.6}}]',
                         channel text DEFAULT 'web') RETURNS jsonb LANGUAGE sql
RETURN jsonb_build_object('channel', channel, 'external_ref', reference, 'lines', lines, 'deliveries', deliveries);
CREATE FUNCTION place(document jsonb) RETURNS text LANGUAGE sql AS $$ SELECT attempt(format('SELECT oms.place_order(%L) ->> %L', document, 'fulfillment_status')); $$;
CREATE FUNCTION shown(reference text) RETURNS SETOF text LANGUAGE sql AS $$
    (SELECT format('delivery %s to %s %s', d.delivery_no, coalesce(d.address ->> 'name', 'nobody'), d.method)
     FROM oms.order_deliveries d JOIN oms.orders o USING (order_id) WHERE external_ref = reference ORDER BY d.delivery_no)
    UNION ALL
    (SELECT format('delivery %s %s from %s%s: %s', f.delivery_no, f.status, coalesce(x.code, 'nowhere'), CASE WHEN f.backordered THEN ' later' ELSE '' END,
                   string_agg(format('line %s x %s', a.line_no, a.promised - a.cancelled), ', ' ORDER BY a.line_no))
     FROM oms.fulfillments f JOIN oms.orders o USING (order_id) LEFT JOIN oms.locations x ON x.location_id = f.location_id
     JOIN oms.allocations a USING (fulfillment_id) WHERE o.external_ref = reference AND a.promised > a.cancelled
     GROUP BY f.fulfillment_id, f.delivery_no, f.status, x.code, f.backordered ORDER BY f.fulfillment_id)
    UNION ALL
    SELECT format('%s faults', count(*)) FROM oms.audit();
$$;

-- Each group goes from the place nearest to its own address.
SELECT f -> 'delivery_no', f -> 'location', f -> 'lines' FROM jsonb_array_elements(oms.preview_order(document('d1', '[{"sku":"A","quantity":2,"delivery_no":1},{"sku":"A","quantity":1,"delivery_no":2},{"sku":"DIG","quantity":1,"delivery_no":2}]')) -> 'fulfillments') f;
SELECT (oms.preview_order(d) -> 'fulfillments') = (SELECT jsonb_agg(f - 'fulfillment_id') FROM jsonb_array_elements(oms.place_order(d) -> 'fulfillments') f)
FROM document('d1', '[{"sku":"A","quantity":2,"delivery_no":1},{"sku":"A","quantity":1,"delivery_no":2},{"sku":"DIG","quantity":1,"delivery_no":2}]') d;
SELECT shown('d1');
SELECT line_no, delivery_no FROM oms.order_lines ORDER BY line_no;
SELECT oms.get_order(1) -> 'deliveries';
-- Groups share the stock: what the first takes is gone for the second.
SELECT place(document('d2', '[{"sku":"A","quantity":4,"delivery_no":1},{"sku":"A","quantity":4,"delivery_no":2}]'));
SELECT place(document('d2', '[{"sku":"A","quantity":4,"delivery_no":1},{"sku":"A","quantity":3,"delivery_no":2}]'));
SELECT shown('d2');
SELECT oms.cancel_order(oms.find_order('web', 'd2')) ->> 'status';
-- The exact router plans and records each group.
SELECT place(document('d3', '[{"sku":"A","quantity":1,"delivery_no":1},{"sku":"A","quantity":1,"delivery_no":2}]', channel => 'exact'));
SELECT shown('d3');
SELECT decision_no, oms.route_replays(record) FROM oms.routing_decisions WHERE order_id = oms.find_order('exact', 'd3') ORDER BY 1;
-- A pickup beside a shipment; a delivery_no left out is the first.
SELECT place(document('d4', '[{"sku":"B","quantity":1},{"sku":"A","quantity":1,"delivery_no":7}]',
    '[{"delivery_no":3,"ship_to":{"name":"Cy"}},{"delivery_no":7,"method":"pickup","pickup_location":"madrid"}]'));
SELECT shown('d4');
-- A cart's hold serves all groups.
SELECT oms.reserve('[{"sku":"A","quantity":3}]', reference => 'cart', channel => 'web') -> 'lines' -> 0 ->> 'granted';
SELECT place(document('d5', '[{"sku":"A","quantity":2,"delivery_no":1},{"sku":"A","quantity":1,"delivery_no":2}]')
    || jsonb_build_object('reservation_id', (SELECT max(reservation_id) FROM oms.reservations)));
SELECT shown('d5');
SELECT status FROM oms.reservations;

-- Faults, all at once.
SELECT place(document('x', '[{"sku":"A","quantity":1,"delivery_no":5}]', '[{"delivery_no":1},{"delivery_no":1,"method":"pickup"}]') || '{"ship_to":{"name":"Z"}}');
SELECT place(document('x', '[{"sku":"A","quantity":1,"delivery_no":1},{"sku":"A","quantity":1,"delivery_no":2}]', '[{"delivery_no":1,"ship_to":{"nam":"Z"}},{"delivery_no":2,"method":"pickup","pickup_location":"nowhere"}]'));
SELECT place(document('x', '[{"sku":"A","quantity":1}]', (SELECT jsonb_agg(jsonb_build_object('delivery_no', n)) FROM generate_series(1, 101) n)));
SELECT place(document('h', (SELECT jsonb_agg(jsonb_build_object('sku', 'DIG', 'quantity', 1, 'delivery_no', n)) FROM generate_series(1, 100) n), (SELECT jsonb_agg(jsonb_build_object('delivery_no', n)) FROM generate_series(1, 100) n)));

-- Editing: one address, a line that moves to another delivery, a new delivery.
SELECT oms.receive_stock('berlin', 'A', 50), oms.receive_stock('madrid', 'A', 50);
CREATE FUNCTION edit(changes jsonb) RETURNS text LANGUAGE sql AS $$ SELECT attempt(format('SELECT e - %L - %L FROM oms.edit_order(1, %L) e', 'order', 'balance', changes)); $$;
SELECT edit('{"deliveries":[{"delivery_no":1,"ship_to":{"name":"Ann","latitude":40.2,"longitude":-3.5}}]}');
SELECT shown('d1');
SELECT edit('{"lines":[{"line_no":2,"delivery_no":3}],"deliveries":[{"delivery_no":3,"ship_to":{"name":"Di","latitude":52.3,"longitude":13.2}}],"add":[{"sku":"B","quantity":1,"delivery_no":3}]}');
SELECT shown('d1');
SELECT edit('{"lines":[{"line_no":2,"delivery_no":4}],"deliveries":[{"delivery_no":2,"ship_to":{"nam":"Di"}},{"delivery_no":2}]}');
SELECT edit('{"add":[{"sku":"B","quantity":1,"delivery_no":9}]}');
SELECT oms.release_fulfillment(min(fulfillment_id)) IS NOT NULL FROM oms.fulfillments WHERE order_id = 1 AND status = 'planned' AND delivery_no = 1 AND location_id IS NOT NULL;
SELECT edit('{"lines":[{"line_no":1,"delivery_no":2}]}');
-- A digital line goes whole to another delivery, and so does its fulfillment.
SELECT place(document('d7', '[{"sku":"DIG","quantity":2,"delivery_no":1},{"sku":"A","quantity":1,"delivery_no":2},{"sku":"DIG","quantity":1,"delivery_no":1}]'));
SELECT attempt($$SELECT e #>> '{order,status}' FROM oms.edit_order(oms.find_order('web', 'd7'), '{"lines":[{"line_no":1,"delivery_no":2,"quantity":3}]}') e$$);
SELECT shown('d7');
SELECT attempt($$SELECT e #>> '{order,status}' FROM oms.edit_order(oms.find_order('web', 'd7'), '{"lines":[{"line_no":1,"deliveries":[{"delivery_no":1,"quantity":1},{"delivery_no":3,"quantity":2}]}],"deliveries":[{"delivery_no":3}]}') e$$);
SELECT shown('d7');
-- An order that began with no address gets a second delivery.
SELECT oms.place_order('{"channel":"web","external_ref":"d6","lines":[{"sku":"A","quantity":2},{"sku":"B","quantity":1}]}') ->> 'status';
SELECT attempt($$SELECT e -> 'order' -> 'status' FROM oms.edit_order(oms.find_order('web', 'd6'), '{"deliveries":[{"delivery_no":2,"ship_to":{"name":"Ed","latitude":40.2,"longitude":-3.5}}],"lines":[{"line_no":1,"delivery_no":2}]}') e$$);
SELECT shown('d6');
