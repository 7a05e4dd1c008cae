-- substitute.sql: other items in the place of those that nobody can promise.
\pset pager off
CREATE DATABASE oms_substitute;
\c oms_substitute
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-03-02 12:00:00+00';
SET timezone = 'UTC';
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"B","price":9},{"sku":"C","price":11},{"sku":"PACK","price":2},{"sku":"OLD","active":false},{"sku":"CARD","kind":"digital"},
  {"sku":"A","price":10,"substitutes":[{"sku":"C","rank":5},{"sku":"B","rank":1},{"sku":"PACK","rank":7,"ratio":3},{"sku":"OLD","rank":0}]}]'),
  oms.upsert_channels('[{"code":"default","substitution":true},{"code":"strict"}]'), oms.upsert_locations('[{"code":"second","rank":2}]');
SELECT oms.receive_stock('default', 'A', 4), oms.receive_stock('default', 'B', 3), oms.receive_stock('second', 'B', 2), oms.receive_stock('second', 'C', 2), oms.receive_stock('default', 'PACK', 10);
CREATE FUNCTION placed(doc jsonb) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
  preview jsonb := oms.preview_order(doc);
  answer  jsonb := oms.place_order(doc);
BEGIN
  RETURN NEXT concat_ws(', ', answer #>> '{totals,total}', CASE WHEN preview -> 'totals' IS DISTINCT FROM answer -> 'totals'
    OR preview -> 'substitutions' IS DISTINCT FROM answer -> 'substitutions' THEN 'the preview differs' END);
  RETURN QUERY SELECT format('line %s: %s %s at %s = %s%s', l ->> 'line_no', l ->> 'ordered', l ->> 'sku', l ->> 'unit_price', l ->> 'amount',
      (SELECT format(', for %s %s of line %s', s ->> 'quantity', s ->> 'sku', s ->> 'wanted_line_no') FROM jsonb_array_elements(o -> 'substitutions') s WHERE s -> 'line_no' = l -> 'line_no'))
    FROM oms.get_order((answer ->> 'order_id')::bigint) o, jsonb_array_elements(o -> 'lines') l;
END $$;

-- What the item covers stays; the rest comes from the first substitute, what that lacks from the next, three packs for one.
SELECT placed('{"external_ref":"1","lines":[{"sku":"A","quantity":13,"name":"an A","external_ref":"x","adjustments":[{"type":"discount","amount":1},{"type":"tax","amount":"2.60"}]}],
  "adjustments":[{"type":"shipping","amount":5}]}');
SELECT line_no, type, amount FROM oms.order_adjustments ORDER BY adjustment_no;
SELECT kind, term, detail FROM oms.explain_route(oms.find_order('default', '1')) WHERE kind = 'substitute';
SELECT data -> 'substitutions' -> 0 FROM oms.events WHERE type = 'order.placed';
SELECT external_ref, name, line_no FROM oms.order_lines ORDER BY line_no;
SELECT * FROM oms.audit();
-- They are lines like any other: cancelled, shipped, returned at what was paid.
SELECT oms.cancel_order(oms.find_order('default', '1'), '[{"line_no":2,"quantity":2},{"line_no":4,"quantity":3}]') #>> '{totals,total}';
SELECT oms.release_fulfillment(fulfillment_id) ->> 'status', oms.ship_fulfillment(fulfillment_id) ->> 'fulfillment_status' FROM oms.fulfillments WHERE status = 'planned' ORDER BY 1;
SELECT oms.request_return(oms.find_order('default', '1'), '[{"line_no":4,"quantity":3}]') ->> 'status';
SELECT oms.receive_return(return_id) -> 'refund' FROM oms.returns;
SELECT oms.order_as_of(oms.find_order('default', '1'), oms.current_time()) -> 'substitutions' -> 0;
SELECT * FROM oms.audit();

-- Nothing of the item is there: its line becomes that of the substitute. Not where line or channel forbid it.
SELECT placed('{"external_ref":"2","lines":[{"sku":"A","quantity":2,"line_no":7,"external_ref":"y"}]}');
SELECT oms.preview_order('{"external_ref":"3","lines":[{"sku":"A","quantity":1,"substitution":false}]}');
SELECT oms.preview_order('{"channel":"strict","external_ref":"3","lines":[{"sku":"A","quantity":1}]}');
-- Who ordered the substitute itself comes first; where what is left of it is too little, nothing is substituted.
SELECT oms.receive_stock('default', 'B', 2), oms.count_stock('second', 'C', 0) ->> 'on_hand', oms.count_stock('default', 'PACK', 2) ->> 'on_hand';
SELECT sku, sum(available) FROM (VALUES ('A'), ('B'), ('C'), ('PACK')) s(sku), oms.available(sku, 'default') GROUP BY 1 ORDER BY 1;
SELECT placed('{"external_ref":"4","lines":[{"sku":"A","quantity":1},{"sku":"B","quantity":1}]}');
SELECT placed('{"external_ref":"5","lines":[{"sku":"A","quantity":1},{"sku":"B","quantity":1}]}');
SELECT * FROM oms.audit();
-- Backorders of the item go first where they are allowed.
SELECT oms.receive_stock('default', 'B', 5), oms.upsert_channels('[{"code":"default","backorder":true}]'), oms.set_stock_limits('default', 'A', backorder_limit => 2);
SELECT placed('{"external_ref":"6","lines":[{"sku":"A","quantity":3}]}');
SELECT placed('{"external_ref":"7","allow_backorder":false,"lines":[{"sku":"A","quantity":1}]}');
-- Several deliveries, a place of its own, a cart.
SELECT oms.receive_stock('second', 'A', 1), oms.receive_stock('second', 'C', 3);
SELECT placed('{"external_ref":"8","allow_backorder":false,"deliveries":[{"delivery_no":1,"ship_to":{"country":"DE"}},{"delivery_no":2,"ship_to":{"country":"FR"}}],
  "lines":[{"sku":"A","quantity":2},{"sku":"A","quantity":2,"delivery_no":2}]}');
SELECT line_no, delivery_no FROM oms.order_lines WHERE order_id = oms.find_order('default', '8') ORDER BY 1;
SELECT oms.receive_stock('default', 'B', 1), oms.receive_stock('second', 'C', 2);
SELECT placed('{"external_ref":"9","allow_backorder":false,"lines":[{"sku":"A","quantity":2,"location":"second"}]}');
SELECT (oms.reserve('[{"sku":"B","quantity":1}]') ->> 'reservation_id')::bigint AS cart \gset
SELECT placed('{"external_ref":"10","allow_backorder":false,"lines":[{"sku":"A","quantity":1}]}');
SELECT placed(format('{"external_ref":"11","allow_backorder":false,"reservation_id":%s,"lines":[{"sku":"A","quantity":1}]}', :cart)::jsonb);
SELECT * FROM oms.audit();
-- A draft is promised nothing; placing it substitutes, once that suffices.
SELECT oms.place_order('{"external_ref":"12","draft":true,"allow_backorder":false,"lines":[{"sku":"A","quantity":9},{"sku":"CARD","quantity":1}]}') ->> 'status';
SELECT oms.place_draft(oms.find_order('default', '12'));
SELECT oms.receive_stock('default', 'B', 7);
SELECT oms.place_draft(oms.find_order('default', '12')) -> 'substitutions';
SELECT line_no, sku, ordered FROM oms.order_lines JOIN oms.items USING (item_id) WHERE order_id = oms.find_order('default', '12') ORDER BY 1;
-- Weighed goods and prices that do not divide keep their item; so does a kit.
SELECT oms.receive_stock('default', 'B', 20);
SELECT oms.preview_order('{"external_ref":"13","allow_backorder":false,"lines":[{"sku":"A","quantity":1,"attributes":{"weight_grams":300}}]}');
SELECT oms.preview_order('{"external_ref":"13","allow_backorder":false,"lines":[{"sku":"A","quantity":1,"unit_price":"0.333"}]}');
SELECT oms.upsert_items('[{"sku":"SET","kind":"kit","price":5,"components":[{"sku":"A","quantity":1}]}]');
SELECT oms.preview_order('{"external_ref":"13","allow_backorder":false,"lines":[{"sku":"SET","quantity":1}]}');
-- Only while they are valid; replaced, kept and taken away.
SELECT oms.upsert_items('[{"sku":"A","substitutes":[{"sku":"B","valid_from":"2026-04-01T00:00:00Z"},{"sku":"C","valid_until":"2026-03-02T12:00:00Z"}]}]');
SELECT oms.preview_order('{"external_ref":"13","allow_backorder":false,"lines":[{"sku":"A","quantity":1}]}');
SET oms.clock = '2026-04-01 00:00:00+00';
SELECT oms.preview_order('{"external_ref":"13","allow_backorder":false,"lines":[{"sku":"A","quantity":1}]}') -> 'substitutions' -> 0 ->> 'sku';
SELECT oms.upsert_items('[{"sku":"A","price":12}]'), (SELECT count(*) FROM oms.item_substitutes);
SELECT oms.upsert_items('[{"sku":"A","substitutes":[]}]'), (SELECT count(*) FROM oms.item_substitutes);
-- What makes no sense is refused, and changes nothing.
SELECT oms.upsert_items('[{"sku":"A","substitutes":[{"sku":"A"},{"sku":"NONE"},{"sku":"B"},{"sku":"B"},{"sku":"CARD"},{"sku":"C","valid_from":"2026-05-01T00:00:00Z","valid_until":"2026-04-01T00:00:00Z"}]},
  {"sku":"CARD","substitutes":[{"sku":"B"}]}]');
SELECT oms.upsert_items('[{"sku":"A","substitutes":[{"sku":"B","ratio":0}]}]');
SELECT oms.upsert_items(jsonb_build_array(jsonb_build_object('sku', 'A', 'substitutes', (SELECT jsonb_agg('{"sku":"B"}'::jsonb) FROM generate_series(1, 21)))));
SELECT count(*) FROM oms.item_substitutes;
SELECT * FROM oms.audit();
DELETE FROM oms.order_lines WHERE order_id = oms.find_order('default', '7');
SELECT "check" FROM oms.audit() WHERE "check" LIKE 'orphan.sub%';
\c postgres
DROP DATABASE oms_substitute;
