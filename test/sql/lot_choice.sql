-- lot_choice.sql: which lots leave, which are promised for a day, and which a line asked for.
\pset pager off
CREATE DATABASE oms_lot_choice;
\c oms_lot_choice
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 08:00:00+00';
SET timezone = 'UTC';
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"MILK","tracking":"lot"},{"sku":"WINE","tracking":"lot","lot_order":"fifo"},{"sku":"SAND","tracking":"lot","lot_order":"lifo"},{"sku":"PHONE","tracking":"serial","lot_order":"lifo"},
        {"sku":"GUN","tracking":"serial","lots_required":true},{"sku":"DRUG","tracking":"lot","lots_required":true},{"sku":"PEN"}]'),
       oms.upsert_channels('[{"code":"web","backorder":true}]'), oms.upsert_locations('[{"code":"north","rank":1,"pickup":true},{"code":"south","rank":2},{"code":"default","active":false}]');
CREATE FUNCTION place(reference text, lines jsonb, more text DEFAULT '{}') RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s', f ->> 'location', (SELECT string_agg(format('%sx%s', l ->> 'line_no', l ->> 'quantity'), ' ') FROM jsonb_array_elements(f -> 'lines') l)), ', ' ORDER BY n)
    FROM oms.place_order(jsonb_build_object('channel', 'web', 'external_ref', reference, 'lines', lines) || more::jsonb) p, jsonb_array_elements(p -> 'fulfillments') WITH ORDINALITY x(f, n) $$;
CREATE FUNCTION fulfillment(reference text) RETURNS bigint LANGUAGE sql AS $$
    SELECT min(fulfillment_id) FROM oms.fulfillments WHERE order_id = oms.find_order('web', reference) AND status IN ('planned', 'released', 'ready_for_pickup') $$;
CREATE FUNCTION ship(reference text, shipment jsonb DEFAULT NULL) RETURNS text LANGUAGE plpgsql AS $$ BEGIN
    IF (SELECT status FROM oms.fulfillments WHERE fulfillment_id = fulfillment(reference)) = 'planned' THEN PERFORM oms.release_fulfillment(fulfillment(reference)); END IF;
    RETURN oms.ship_fulfillment(fulfillment(reference), shipment) ->> 'fulfillment_status'; END $$;
CREATE VIEW lots AS SELECT i.sku, l.code, x.lot, x.quantity FROM oms.lots x JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id) ORDER BY 1, 2, 3;
CREATE FUNCTION taken(reference text) RETURNS text LANGUAGE sql AS $$
    SELECT string_agg(format('%s %s', -delta, lot), ', ' ORDER BY movement_id) FROM oms.lot_movements WHERE order_id = oms.find_order('web', $1) $$;

-- Three lots of each: the second to come expires first.
SELECT oms.receive_stock('north', sku, 2, lots => format('[{"lot":"1","quantity":2,"expires_at":"2026-06-01T00:00:00Z"}]')::jsonb) FROM unnest(ARRAY['MILK', 'WINE', 'SAND']) sku;
SELECT oms.receive_stock('north', 'PHONE', 1, lots => '[{"lot":"P1"}]');
SET oms.clock = '2026-03-02 09:00:00+00';
SELECT oms.receive_stock('north', sku, 2, lots => format('[{"lot":"2","quantity":2,"expires_at":"2026-05-01T00:00:00Z"}]')::jsonb) FROM unnest(ARRAY['MILK', 'WINE', 'SAND']) sku;
SELECT oms.receive_stock('north', 'PHONE', 1, lots => '[{"lot":"P2"}]');
SET oms.clock = '2026-03-02 10:00:00+00';
SELECT oms.receive_stock('north', sku, 2, lots => format('[{"lot":"3","quantity":2}]')::jsonb) FROM unnest(ARRAY['MILK', 'WINE', 'SAND']) sku;
SELECT oms.receive_stock('north', 'PHONE', 1, lots => '[{"lot":"P3"}]');
SELECT place('all', '[{"sku":"MILK","quantity":5},{"sku":"WINE","quantity":5},{"sku":"SAND","quantity":5},{"sku":"PHONE","quantity":2}]');
SELECT sku, lot, quantity FROM oms.suggest_lots(fulfillment('all'));
SELECT ship('all');
SELECT i.sku, -m.delta, m.lot FROM oms.lot_movements m JOIN oms.items i USING (item_id) WHERE order_id IS NOT NULL ORDER BY movement_id;
SELECT * FROM lots;
SELECT oms.upsert_items('[{"sku":"PEN","lot_order":"newest"}]');
SELECT oms.audit();

-- What must be named does not leave without: shipped or picked up.
SELECT oms.receive_stock('north', 'GUN', 3, lots => '[{"lot":"G1"},{"lot":"G2"},{"lot":"G3"}]'), oms.receive_stock('north', 'DRUG', 5, lots => '[{"lot":"D1","quantity":5,"expires_at":"2026-09-01T00:00:00Z"}]');
SELECT place('guns', '[{"sku":"GUN","quantity":2},{"sku":"DRUG","quantity":2}]');
SELECT ship('guns');
SELECT ship('guns', '{"lines":[{"line_no":1,"lots":[{"lot":"G2"}]},{"line_no":2,"lots":[{"lot":"D1","quantity":2}]}]}');
SELECT ship('guns', '{"lines":[{"line_no":1,"lots":[{"lot":"G2"},{"lot":"G4"}]},{"line_no":2,"lots":[{"lot":"D1","quantity":2}]}]}');
SELECT ship('guns', '{"lines":[{"line_no":1,"quantity":1,"lots":[{"lot":"G2"}]},{"line_no":2,"lots":[{"lot":"D1","quantity":2}]}]}');
SELECT ship('guns', '{"lines":[{"line_no":1,"lots":[{"lot":"G2"}]}]}');
SELECT ship('guns', '{"lines":[{"line_no":1,"lots":[{"lot":"G3"}]}]}');
SELECT taken('guns');
SELECT place('shop', '[{"sku":"GUN","quantity":1},{"sku":"PEN","quantity":1}]', '{"method":"pickup","pickup_location":"north"}');
SELECT oms.receive_stock('north', 'PEN', 5);
SELECT place('shop', '[{"sku":"GUN","quantity":1},{"sku":"PEN","quantity":1}]', '{"method":"pickup","pickup_location":"north"}');
SELECT f IS NOT NULL AS shop, f FROM fulfillment('shop') f \gset
SELECT oms.release_fulfillment(:f) IS NOT NULL;
SELECT oms.pick_fulfillment(:f) IS NOT NULL;
SELECT oms.pack_fulfillment(:f) IS NOT NULL;
SELECT oms.ready_for_pickup(:f) IS NOT NULL;
SELECT oms.pick_up_fulfillment(:f);
SELECT oms.pick_up_fulfillment(:f, '[{"line_no":1,"lots":[{"lot":"G1"},{"lot":"G9"}]}]');
SELECT oms.pick_up_fulfillment(:f, '[{"line_no":1,"quantity":2,"lots":[{"lot":"G1"}]}]');
SELECT oms.pick_up_fulfillment(:f, '[{"line_no":1,"lots":[{"lot":"G1"}]},{"line_no":1,"lots":[{"lot":"G1"}]}]');
SELECT oms.pick_up_fulfillment(:f, '[{"line_no":7,"lots":[{"lot":"G1"}]}]');
SELECT oms.pick_up_fulfillment(:f, '[{"line_no":1,"lots":[{"lot":"G1"}]}]') ->> 'fulfillment_status';
-- Taking away, moving and counting may still leave the choice.
SELECT oms.adjust_stock('north', 'DRUG', -1, 'broken');
SELECT * FROM oms.audit();

-- A serial number is in one place once: not there twice, not sent from where it is not, nor once it has left.
SELECT oms.receive_stock('south', 'PHONE', 1, lots => '[{"lot":"P1"}]');
SELECT oms.receive_stock('south', 'PHONE', 1, lots => '[{"lot":"P9"}]');
SELECT place('p', '[{"sku":"PHONE","quantity":1,"location":"north"}]');
SELECT ship('p', '{"lines":[{"line_no":1,"lots":[{"lot":"P9"}]}]}');
SELECT ship('p', '{"lines":[{"line_no":1,"lots":[{"lot":"P3"}]}]}');
SELECT ship('p', '{"lines":[{"line_no":1,"lots":[{"lot":"P1"}]}]}');
SELECT oms.receive_stock('south', 'PHONE', 1, lots => '[{"lot":"P3"}]');
SELECT oms.expect_supply('south', 'PHONE', 1, '2026-03-02', 'PO-P') AS p_supply \gset
SELECT oms.receive_supply(:p_supply, 1, lots => '[{"lot":"P3"}]');
SELECT oms.adjust_stock('south', 'PHONE', 1, 'never sent', lots => '[{"lot":"P3"}]');
SELECT oms.adjust_stock('south', 'PHONE', -1, 'lost', lots => '[{"lot":"P3"}]');
SELECT oms.receive_supply(:p_supply, 1, lots => '[{"lot":"P3"}]') IS NOT NULL;
SELECT * FROM oms.audit();

-- A lot must last until what is promised of it is there, not only until it is promised.
SELECT oms.upsert_calendars('[{"code":"weekdays","hours":[{"weekday":1},{"weekday":2},{"weekday":3},{"weekday":4},{"weekday":5}]}]');
SELECT oms.upsert_locations('[{"code":"north","calendar":"weekdays","handling_days":2},{"code":"south","calendar":"weekdays"}]');
SELECT oms.upsert_items('[{"sku":"CAKE","tracking":"lot","minimum_life_days":1}]');
SELECT oms.receive_stock('north', 'CAKE', 4, lots => '[{"lot":"C1","quantity":3,"expires_at":"2026-03-05T00:00:00Z"},{"lot":"C2","quantity":1,"expires_at":"2026-03-09T00:00:00Z"}]');
SELECT sum(available) FROM oms.available('CAKE', 'web');
SELECT oms.place_order('{"channel":"web","external_ref":"x","allow_backorder":false,"lines":[{"sku":"CAKE","quantity":2}]}');
SELECT place('c1', '[{"sku":"CAKE","quantity":1}]');
SELECT oms.place_order('{"channel":"web","external_ref":"x","allow_backorder":false,"lines":[{"sku":"CAKE","quantity":1}]}');
SELECT oms.place_order('{"channel":"web","external_ref":"x","deliveries":[{"delivery_no":1},{"delivery_no":2}],"allow_backorder":false,"lines":[{"sku":"PEN","quantity":1,"delivery_no":1},{"sku":"CAKE","quantity":1,"delivery_no":2}]}');
-- South sends today, so what it has lasts.
SELECT oms.receive_stock('south', 'CAKE', 2, lots => '[{"lot":"C3","quantity":2,"expires_at":"2026-03-04T12:00:00Z"}]');
SELECT place('c2', '[{"sku":"CAKE","quantity":2},{"sku":"PEN","quantity":1}]');
SELECT place('c3', '[{"sku":"CAKE","quantity":1}]');
-- What waits gets no unit that would not last either, and none that is over.
SELECT oms.upsert_locations('[{"code":"north","handling_days":0}]'), oms.set_stock_limits('north', 'CAKE', backorder_limit => 5);
SELECT place('c4', '[{"sku":"CAKE","quantity":4,"location":"north"}]');
SELECT ship('c4');
SELECT oms.upsert_locations('[{"code":"north","handling_days":2}]');
SELECT oms.receive_stock('north', 'CAKE', 2, lots => '[{"lot":"C4","quantity":2,"expires_at":"2026-03-04T00:00:00Z"}]');
SELECT count(*) FROM oms.fill_backorders();
SELECT oms.receive_stock('north', 'CAKE', 2, lots => '[{"lot":"C5","quantity":2,"expires_at":"2026-03-09T00:00:00Z"}]');
SELECT sum(quantity) FROM oms.fill_backorders();
SET oms.clock = '2026-03-10 08:00:00+00';
SELECT sum(available) FROM oms.available('CAKE', 'web');
SELECT count(*) FROM oms.fill_backorders();
SELECT * FROM oms.audit();

-- A line may ask for a lot: the promise is for that lot, wherever it is, and nobody else gets its units.
SELECT oms.upsert_items('[{"sku":"DYE","tracking":"lot"},{"sku":"DUO","kind":"kit","components":[{"sku":"DYE","quantity":1}]}]');
SELECT oms.upsert_locations('[{"code":"north","calendar":null,"handling_days":0},{"code":"south","calendar":null}]');
SELECT oms.receive_stock('north', 'DYE', 5, lots => '[{"lot":"R1","quantity":3,"expires_at":"2026-07-01T00:00:00Z"},{"lot":"R2","quantity":2,"expires_at":"2026-08-01T00:00:00Z"}]'),
       oms.receive_stock('south', 'DYE', 6, lots => '[{"lot":"R1","quantity":2,"expires_at":"2026-07-01T00:00:00Z"},{"lot":"R3","quantity":4}]');
SELECT place('d1', '[{"sku":"DYE","quantity":2,"lot":"R1"}]');
SELECT place('d2', '[{"sku":"DYE","quantity":3,"lot":"R3"},{"sku":"DYE","quantity":1,"lot":"R1"},{"sku":"DYE","quantity":1}]');
SELECT l ->> 'lot', f ->> 'location' FROM oms.get_order(oms.find_order('web', 'd2')) o, jsonb_array_elements(o -> 'fulfillments') f, jsonb_array_elements(f -> 'lines') l ORDER BY 1, 2;
SELECT place('d3', '[{"sku":"DYE","quantity":3,"lot":"R1"}]');
SELECT place('d3', '[{"sku":"DYE","quantity":1,"lot":"R1","location":"south"}]');
SELECT place('d4', '[{"sku":"DYE","quantity":2,"lot":"R1"}]');
SELECT place('d5', '[{"sku":"DYE","quantity":1,"lot":"R9"}]');
SELECT place('d5', '[{"sku":"PEN","quantity":1,"lot":"R1"},{"sku":"DUO","quantity":1,"lot":"R1"}]');
SELECT place('d5', '[{"sku":"DYE","quantity":1,"lot":""}]');
SELECT oms.preview_order('{"channel":"web","external_ref":"p","lines":[{"sku":"DYE","quantity":1,"lot":"R2"}]}') #>> '{fulfillments,0,lines,0,lot}';
SELECT sum(available) FROM oms.available('DYE', 'web');
SELECT * FROM oms.audit();
-- Whoever else ships gets another lot, also where it names that one; the promised one leaves by itself.
SELECT place('d6', '[{"sku":"DYE","quantity":1,"location":"north"}]');
SELECT sku, lot, quantity FROM oms.suggest_lots(fulfillment('d6'));
SELECT ship('d6', '{"lines":[{"line_no":1,"lots":[{"lot":"R1"}]}]}');
SELECT ship('d6');
SELECT taken('d6');
SELECT oms.receive_stock('north', 'DYE', 1, lots => '[{"lot":"R2"}]');
SELECT oms.adjust_stock('north', 'DYE', -1, 'spilt', lots => '[{"lot":"R1"}]');
SELECT oms.request_transfer('north', 'south', 'DYE', 1, '2026-03-20', lots => '[{"lot":"R1"}]');
SELECT oms.count_stock('north', 'DYE', 5, lots => '[{"lot":"R1","quantity":2},{"lot":"R2","quantity":3}]');
SELECT sku, lot, quantity FROM oms.suggest_lots(fulfillment('d1'));
SELECT ship('d1', '{"lines":[{"line_no":1,"lots":[{"lot":"R2","quantity":2}]}]}');
SELECT ship('d1', '{"lines":[{"line_no":1,"quantity":1}]}');
SELECT ship('d1', '{"lines":[{"line_no":1,"lots":[{"lot":"R1"}]}]}');
SELECT taken('d1');
SELECT ship('d2'), ship('d2');
SELECT taken('d2');
SELECT * FROM lots WHERE sku = 'DYE';
SELECT * FROM oms.audit();
-- What is cancelled is free again; an edit and a plan made anew keep the lot; a count that takes it away leaves the line waiting for it.
SELECT oms.cancel_order(oms.find_order('web', 'd3')) ->> 'status';
SELECT place('d7', '[{"sku":"DYE","quantity":1,"lot":"R3"}]');
SELECT oms.edit_order(oms.find_order('web', 'd7'), '{"ship_to":{"country":"DE"},"add":[{"sku":"DYE","quantity":1,"lot":"R1"}]}') -> 'order' ->> 'fulfillment_status';
SELECT line_no, a.lot, a.promised - a.cancelled FROM oms.allocations a WHERE order_id = oms.find_order('web', 'd7') AND promised > cancelled ORDER BY 1;
SELECT oms.count_stock('south', 'DYE', 0) -> 'difference';
SELECT * FROM oms.audit();
SELECT oms.receive_stock('south', 'DYE', 2, lots => '[{"lot":"R8","quantity":2}]');
SELECT count(*) FROM oms.fill_backorders();
-- The deliveries of an order share a lot; an order that asks for one is placed among many.
SELECT oms.receive_stock('north', 'DYE', 3, lots => '[{"lot":"R4","quantity":3}]');
SELECT place('d8', '[{"sku":"DYE","quantity":2,"lot":"R4","delivery_no":1},{"sku":"DYE","quantity":2,"lot":"R4","delivery_no":2}]', '{"deliveries":[{"delivery_no":1},{"delivery_no":2}]}');
SELECT place('d8', '[{"sku":"DYE","quantity":2,"lot":"R4","delivery_no":1},{"sku":"DYE","quantity":1,"lot":"R4","delivery_no":2}]', '{"deliveries":[{"delivery_no":1},{"delivery_no":2}]}');
SELECT position, sqlstate, message FROM oms.place_orders('[{"channel":"web","external_ref":"n1","lines":[{"sku":"DYE","quantity":1,"lot":"R8"}]},{"channel":"web","external_ref":"n2","lines":[{"sku":"DYE","quantity":1}]},
    {"channel":"web","external_ref":"n3","lines":[{"sku":"DYE","quantity":1,"lot":"R8"}]}]');
SELECT * FROM oms.audit();
-- A serial number is such a lot, and what must be named is named by it.
SELECT oms.receive_stock('south', 'GUN', 2, lots => '[{"lot":"G7"},{"lot":"G8"}]');
SELECT place('s1', '[{"sku":"GUN","quantity":1,"lot":"G8"}]');
SELECT place('s2', '[{"sku":"GUN","quantity":1,"lot":"G8"}]');
SELECT ship('s1');
SELECT taken('s1');
-- Nothing waits for a lot that has ended.
SET oms.clock = '2026-07-01 00:00:00+00';
SELECT place('e1', '[{"sku":"DYE","quantity":1,"lot":"R1"}]');
SELECT * FROM oms.audit();
UPDATE oms.lots SET quantity = 1 WHERE lot = 'R4';
SELECT "check", expected, found FROM oms.audit();
\c postgres
DROP DATABASE oms_lot_choice;
