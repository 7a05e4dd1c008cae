-- ship_complete.sql: orders and channels that want everything at once, lines that stay together, and answers that name what was given up.
\pset pager off
CREATE DATABASE oms_ship_complete;
\c oms_ship_complete
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SET oms.clock = '2026-11-23 08:00+00';
SELECT oms.upsert_channels('[{"code":"parts","backorder":true},{"code":"whole","backorder":true,"ship_complete":true}]');
SELECT oms.upsert_items('[{"sku":"A","price":10},{"sku":"B","price":20},{"sku":"C","price":5,"backorder":false},{"sku":"G","kind":"digital","price":1},{"sku":"K","kind":"kit","price":9,"components":[{"sku":"A","quantity":1}]}]');
SELECT oms.upsert_locations('[{"code":"default","active":false},{"code":"one","rank":1},{"code":"two","rank":2}]');
SELECT count(oms.receive_stock(l, s, n)) FROM (VALUES ('one', 'A', 6), ('one', 'C', 3), ('two', 'B', 6), ('two', 'A', 4)) v(l, s, n);
SELECT oms.set_stock_limits('one', s, 0, 50) FROM unnest('{A,B}'::text[]) s;
CREATE FUNCTION placed(ref text, channel text, lines jsonb, more jsonb DEFAULT '{}') RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  why text;
  answer jsonb;
BEGIN
  answer := oms.place_order(jsonb_build_object('external_ref', ref, 'channel', channel, 'lines', lines) || more);
  RETURN QUERY SELECT concat_ws(' ', l.code, i.sku, a.promised, CASE WHEN f.backordered THEN 'later' END) FROM oms.allocations a JOIN oms.fulfillments f USING (fulfillment_id)
    JOIN oms.locations l ON l.location_id = a.location_id JOIN oms.items i USING (item_id) WHERE f.order_id = (answer ->> 'order_id')::bigint ORDER BY 1;
  IF answer ? 'relaxed' THEN
    RETURN NEXT 'relaxed ' || (answer ->> 'relaxed');
  END IF;
EXCEPTION WHEN SQLSTATE 'OM001' OR SQLSTATE 'OM006' OR SQLSTATE 'OM008' THEN
  GET STACKED DIAGNOSTICS why = PG_EXCEPTION_DETAIL;
  RETURN NEXT SQLSTATE || ' ' || SQLERRM || ': ' || why;
END $$;
-- Without a policy: what is there goes first, or everything waits, as the order or its channel says.
SELECT placed('parts', 'parts', '[{"sku":"A","quantity":1},{"sku":"B","quantity":7}]');
SELECT placed('order', 'parts', '[{"sku":"A","quantity":1},{"sku":"B","quantity":1},{"sku":"G","quantity":1}]', '{"ship_complete":true}');
SELECT placed('channel', 'whole', '[{"sku":"A","quantity":1},{"sku":"B","quantity":1}]');
SELECT placed('not this one', 'whole', '[{"sku":"A","quantity":1},{"sku":"B","quantity":1}]', '{"ship_complete":false}');
SELECT placed('all there', 'whole', '[{"sku":"A","quantity":3},{"sku":"C","quantity":1}]');
-- What may not wait is refused where the rest is not there.
SELECT placed('neither', 'whole', '[{"sku":"C","quantity":1},{"sku":"B","quantity":1}]');
SELECT external_ref, ship_complete FROM oms.orders ORDER BY order_id;
SELECT o.doc -> 'ship_complete', o.doc #> '{lines,0,together}' FROM (SELECT oms.get_order(oms.find_order('whole', 'channel')) AS doc) o;

-- Nothing is released before all of it has come.
SELECT placed('half', 'whole', '[{"sku":"A","quantity":2},{"sku":"B","quantity":20}]');
SELECT oms.receive_stock('one', 'A', 30) > 0, oms.receive_stock('one', 'B', 9) > 0;
SELECT count(*) FROM oms.fill_backorders();
SELECT oms.release_fulfillment(f.fulfillment_id) ->> 'status' FROM oms.fulfillments f WHERE order_id = oms.find_order('whole', 'half') AND NOT backordered;
SELECT oms.receive_stock('one', 'B', 30) > 0;
SELECT count(*) FROM oms.fill_backorders();
SELECT oms.release_fulfillment(f.fulfillment_id) ->> 'status' FROM oms.fulfillments f WHERE order_id = oms.find_order('whole', 'half') AND status = 'planned';

-- Lines that stay together: from one place, whole, with or without a policy; a place that one names is that of all.
SELECT l.code, i.sku, s.on_hand - s.reserved FROM oms.stock s JOIN oms.locations l USING (location_id) JOIN oms.items i USING (item_id) ORDER BY 1, 2;
SELECT oms.receive_stock('two', 'C', 5), oms.receive_stock('two', 'A', 9);
SELECT placed('apart', 'parts', '[{"sku":"A","quantity":1},{"sku":"C","quantity":3}]');
SELECT placed('together', 'parts', '[{"sku":"A","quantity":1,"together":"x"},{"sku":"C","quantity":2,"together":"x"}]');
SELECT placed('named', 'parts', '[{"sku":"A","quantity":1,"together":"x","location":"two"},{"sku":"C","quantity":1,"together":"x"}]');
SELECT placed('joined', 'parts', '[{"sku":"A","quantity":1,"together":"x"},{"sku":"C","quantity":1,"together":"y"},{"sku":"A","quantity":1,"together":"y"}]');
SELECT oms.receive_stock('two', 'C', 9);
SELECT placed('whole line', 'parts', '[{"sku":"A","quantity":30,"together":"x"}]', '{"allow_backorder":false}');
SELECT placed('nowhere', 'parts', '[{"sku":"A","quantity":20,"together":"x"},{"sku":"C","quantity":2,"together":"x"}]', '{"allow_backorder":false}');
SELECT placed('two places', 'parts', '[{"sku":"A","quantity":1,"together":"x","location":"two"},{"sku":"C","quantity":1,"together":"x","location":"one"}]');
SELECT placed('a lot', 'parts', '[{"sku":"A","quantity":1,"together":"x","lot":"L1"}]');
SELECT placed('a kit', 'parts', '[{"sku":"K","quantity":1,"together":"x"}]');
SELECT count(*) FROM oms.routing_decisions;
-- The same by a policy, and what it gives up is in the answer.
SELECT oms.activate_routing_policy('p', oms.save_routing_policy('p', '{"objective":"cost","max_fulfillments":1,"ship_complete":true,"relax":[{"rule":"max_fulfillments"},{"rule":"ship_complete"}]}'));
SELECT placed('by policy', 'parts', '[{"sku":"A","quantity":1,"together":"x"},{"sku":"C","quantity":1,"together":"x"}]');
SELECT placed('given up', 'parts', '[{"sku":"B","quantity":20},{"sku":"C","quantity":1}]');
SELECT oms.preview_order('{"external_ref":"p","channel":"parts","lines":[{"sku":"B","quantity":35},{"sku":"C","quantity":1}]}') -> 'relaxed';
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
SELECT plan, orders, changed FROM oms.simulate_routing('p', NULL, NULL);
-- What is planned anew stays together.
SELECT oms.route_order(oms.find_order('parts', 'together')) -> 'reason';
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_ship_complete;
