-- displacement.sql: an order of a high priority takes unreleased units of orders of a lower one, where its channel says so.
\pset pager off
CREATE DATABASE oms_displacement;
\c oms_displacement
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';
SET TIME ZONE 'UTC';
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"CUP","price":10},{"sku":"JUG","price":10},{"sku":"SET","kind":"kit","price":15,"components":[{"sku":"CUP","quantity":1},{"sku":"JUG","quantity":1}]}]'),
       oms.upsert_channels('[{"code":"web"},{"code":"vip","priority":100},{"code":"shop","priority":-10}]'),
       oms.upsert_locations('[{"code":"north","rank":1},{"code":"south","rank":2,"pickup":true},{"code":"east","rank":3,"channels":[{"channel":"web"}]},{"code":"default","active":false}]');
SELECT oms.upsert_locations('[{"code":"north","channels":[{"channel":"web"},{"channel":"vip"},{"channel":"shop"}]},{"code":"south","channels":[{"channel":"web"},{"channel":"vip"},{"channel":"shop"}]}]');
CREATE FUNCTION place(reference text, quantity int, more jsonb DEFAULT '{}', line jsonb DEFAULT '{}', sku text DEFAULT 'CUP', channel text DEFAULT 'web') RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    document jsonb := jsonb_build_object('channel', channel, 'external_ref', reference, 'lines', jsonb_build_array(jsonb_build_object('sku', sku, 'quantity', quantity) || line)) || more;
    said     jsonb;
    answer   jsonb;
    detail   text;
BEGIN
    BEGIN
        said := oms.preview_order(document);
    EXCEPTION WHEN OTHERS THEN
        said := to_jsonb(SQLSTATE);
    END;
    answer := oms.place_order(document);
    IF (said -> 'displaced', said -> 'fulfillment_status') IS DISTINCT FROM (answer -> 'displaced', answer -> 'fulfillment_status') THEN
        RAISE WARNING 'the preview said %, then came %', said, answer;
    END IF;
    RETURN (answer ->> 'fulfillment_status') || coalesce(' ' || regexp_replace(answer ->> 'displaced', '"order_id": (\d+)', '\1', 'g'), '');
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    IF said IS DISTINCT FROM to_jsonb(SQLSTATE) THEN
        RAISE WARNING 'the preview said %, then came %', said, SQLERRM;
    END IF;
    RETURN SQLSTATE || ' ' || SQLERRM || ': ' || detail;
END $$;
CREATE VIEW shown AS
    SELECT o.external_ref, o.fulfillment_status, string_agg(format('%s %s at %s%s', a.promised - a.cancelled, i.sku, l.code, CASE WHEN f.backordered THEN ' backordered' END), ', '
           ORDER BY a.line_no, l.code, f.fulfillment_id) FILTER (WHERE a.promised > a.cancelled) AS promises
    FROM oms.orders o LEFT JOIN oms.allocations a USING (order_id) LEFT JOIN oms.fulfillments f USING (fulfillment_id) LEFT JOIN oms.locations l ON l.location_id = f.location_id
    LEFT JOIN oms.items i USING (item_id) WHERE o.status NOT IN ('cancelled', 'draft') GROUP BY o.order_id, 1, 2 ORDER BY o.order_id;
CREATE FUNCTION clear() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM oms.cancel_order(order_id) FROM oms.orders WHERE status NOT IN ('cancelled', 'completed') ORDER BY order_id;
    PERFORM oms.count_stock(l.code, i.sku, 0) FROM oms.stock s JOIN oms.locations l USING (location_id) JOIN oms.items i USING (item_id) WHERE s.on_hand > 0;
END $$;

-- Never is the default.
SELECT oms.receive_stock('north', 'CUP', 5), place('a', 3), place('b', 2);
SELECT place('c', 2, channel => 'vip');
-- Only where the order displaced keeps its date, here because another location has the units.
SELECT oms.upsert_channels('[{"code":"vip","displacement":"keep_date"}]');
SELECT place('c', 2, channel => 'vip');
SELECT oms.receive_stock('east', 'CUP', 1);
SELECT place('c', 2, channel => 'vip');
SELECT oms.receive_stock('east', 'CUP', 1);
SELECT place('c', 2, channel => 'vip');
TABLE shown;
SELECT o.external_ref, e.type, e.reason, e.data - 'ledger' - 'promises' - 'derived' FROM oms.events e JOIN oms.orders o USING (order_id) WHERE e.type LIKE 'order.displaced%' ORDER BY event_id;
SELECT type, reserved_delta, reason FROM oms.stock_movements WHERE reason = 'displaced';
SELECT * FROM oms.audit();
-- The same document again is the same order, and takes nothing again.
SELECT oms.place_order('{"channel":"vip","external_ref":"c","lines":[{"sku":"CUP","quantity":2}]}') -> 'displaced' -> 0 -> 'order_id' = to_jsonb(oms.find_order('web', 'b'));
-- Always: what finds no place waits; no more than helps, the lowest priority first, then the newest; an equal or greater priority is safe.
SELECT oms.upsert_channels('[{"code":"vip","displacement":"always"}]');
SELECT place('d', 1, channel => 'vip');
SELECT place('e', 9, channel => 'vip');
SELECT place('f', 1, '{"priority":0}', channel => 'vip');
TABLE shown;
SELECT * FROM oms.audit();
-- What is displaced is filled again later.
SELECT oms.receive_stock('south', 'CUP', 1);
SELECT order_id = oms.find_order('web', 'a'), quantity, location FROM oms.fill_backorders();
SELECT clear();

-- Safe: released, on a held line, in an order whose hold says so, of a kit, about to leave, in the hands of a cart.
SELECT oms.receive_stock('north', 'CUP', 7), oms.receive_stock('north', 'JUG', 1), place('r', 1), place('h', 1), place('o', 1), place('k', 1, sku => 'SET'), place('s', 1), place('t', 1);
SELECT oms.release_fulfillment(min(fulfillment_id)) ->> 'fulfillment_status', oms.hold_order(oms.find_order('web', 'h'), 'manual', line_no => 1) > 0 FROM oms.fulfillments WHERE order_id = oms.find_order('web', 'r');
INSERT INTO oms.hold_types (code, blocks) VALUES ('kept', '{order.displace}');
SELECT oms.hold_order(oms.find_order('web', 'o'), 'kept') > 0, oms.hold_order(oms.find_order('web', 't'), 'fraud') > 0;
UPDATE oms.fulfillments SET ship_by = timestamptz '2026-03-03 12:00+00' WHERE order_id = oms.find_order('web', 's');
SELECT oms.reserve('[{"sku":"CUP","quantity":1}]', channel => 'web') -> 'status';
SELECT place('v', 2, channel => 'vip');
SELECT place('v', 1, channel => 'vip');
UPDATE oms.fulfillments SET ship_by = ship_by + interval '1 microsecond' WHERE order_id = oms.find_order('web', 's');
SELECT place('v2', 1, channel => 'vip');
SELECT oms.upsert_channels('[{"code":"web","displacement_lock_hours":0}]');
TABLE shown;
SELECT * FROM oms.audit();
SELECT clear();

-- A place that the document gave, and a pickup point: such units are promised there or nowhere. The order's own place is kept, too.
SELECT oms.receive_stock('north', 'CUP', 2), oms.receive_stock('south', 'CUP', 1), place('p1', 1, line => '{"location":"north"}'), place('p2', 1, '{"method":"pickup","pickup_location":"south"}'), place('p3', 1);
SELECT oms.receive_stock('east', 'CUP', 3);
SELECT place('w1', 1, line => '{"location":"south"}', channel => 'vip');
SELECT place('w2', 1, channel => 'vip');
SELECT oms.upsert_channels('[{"code":"vip","displacement":"keep_date"}]');
SELECT place('w3', 1, channel => 'vip');
TABLE shown;
SELECT * FROM oms.audit();
SELECT clear(), oms.upsert_channels('[{"code":"vip","displacement":"always","backorder":true}]');

-- With backorders: only what becomes on hand by it is taken.
SELECT oms.receive_stock('north', 'CUP', 3), oms.set_stock_limits('north', 'CUP', 0, 10), place('b1', 2), place('b2', 1);
SELECT place('x1', 5, channel => 'vip');
TABLE shown;
SELECT place('x2', 1, '{"allow_backorder":false}', channel => 'vip');
SELECT * FROM oms.audit();
SELECT clear();

-- Several deliveries, lines and items; a kit.
SELECT oms.set_stock_limits('north', 'CUP', 0, 0), oms.receive_stock('north', 'CUP', 3), oms.receive_stock('north', 'JUG', 2), place('m1', 2), place('m2', 1), place('m3', 2, sku => 'JUG');
SELECT place('y1', 1, '{"deliveries":[{"delivery_no":1},{"delivery_no":2}],"lines":[{"sku":"CUP","quantity":1,"delivery_no":1},{"sku":"JUG","quantity":1,"delivery_no":2},{"sku":"CUP","quantity":1,"delivery_no":2}]}', channel => 'vip');
SELECT place('y2', 1, sku => 'SET', channel => 'vip');
SELECT place('y3', 1, sku => 'SET', channel => 'vip');
TABLE shown;
SELECT * FROM oms.audit();
SELECT clear();

-- What safety keeps back goes to nobody; quotas and days of capacity follow.
SELECT oms.receive_stock('north', 'CUP', 4), place('q1', 4), oms.set_stock_limits('north', 'CUP', 1);
SELECT place('z', 1, channel => 'vip');
SELECT oms.set_stock_limits('north', 'CUP', 0), oms.set_channel_quota('vip', 'CUP', cap => 1) > 0;
SELECT place('z', 2, channel => 'vip');
SELECT place('z', 1, channel => 'vip');
SELECT used FROM oms.channel_quotas;
SELECT * FROM oms.audit();
SELECT clear(), oms.set_channel_quota('vip', 'CUP', cap => 1000) > 0, oms.upsert_locations('[{"code":"north","daily_capacity":2},{"code":"east","daily_capacity":1}]');
SELECT oms.receive_stock('north', 'CUP', 2), place('q2', 1), place('q3', 1), oms.receive_stock('east', 'CUP', 2);
SELECT place('z2', 1, channel => 'vip');
SELECT oms.upsert_channels('[{"code":"vip","displacement":"keep_date"}]');
SELECT place('z3', 1, channel => 'vip');
SELECT oms.upsert_channels('[{"code":"vip","displacement":"always"}]');
SELECT place('z3', 1, channel => 'vip');
SELECT l.code, c.day, c.used FROM oms.location_capacity c JOIN oms.locations l USING (location_id) WHERE used > 0 ORDER BY 1, 2;
SELECT * FROM oms.audit();
SELECT clear(), oms.upsert_locations('[{"code":"north","daily_capacity":1000},{"code":"east","daily_capacity":1000}]');

-- The lowest priority first, whichever is newer; of several places those that lose nothing.
SELECT oms.upsert_channels('[{"code":"shop","displacement_lock_hours":0}]');
SELECT oms.receive_stock('north', 'CUP', 3), place('s1', 1, channel => 'shop'), place('s2', 1), place('s3', 1, '{"priority":-50}');
SELECT place('s4', 1, channel => 'vip');
SELECT place('s5', 1, channel => 'vip');
SELECT oms.receive_stock('east', 'CUP', 1);
SELECT place('s6', 1, '{"priority":-5}', channel => 'vip');
SELECT place('s6', 1, '{"priority":1}', channel => 'vip');
TABLE shown;
SELECT * FROM oms.audit();
SELECT clear();
SELECT oms.receive_stock('north', 'CUP', 2), oms.receive_stock('east', 'CUP', 1), place('t1', 1, '{"priority":3}'), place('t2', 1, channel => 'shop');
SELECT place('t3', 1, channel => 'vip');
SELECT * FROM oms.audit();
SELECT clear();

-- Drafts and many orders in one call; an edit takes nothing from others.
SELECT oms.receive_stock('north', 'JUG', 3), place('d1', 3, sku => 'JUG');
SELECT oms.place_order('{"channel":"vip","external_ref":"draft","draft":true,"lines":[{"sku":"JUG","quantity":1}]}') -> 'displaced';
SELECT oms.place_draft(oms.find_order('vip', 'draft')) ->> 'displaced';
SELECT position, sqlstate, result ->> 'displaced' FROM oms.place_orders('[{"channel":"vip","external_ref":"l1","lines":[{"sku":"JUG","quantity":1}]},{"channel":"vip","external_ref":"l2","lines":[{"sku":"JUG","quantity":2}]},
    {"channel":"vip","external_ref":"l3","lines":[{"sku":"JUG","quantity":1}]}]');
SELECT oms.edit_order(oms.find_order('vip', 'l1'), '{"lines":[{"line_no":1,"quantity":2}]}');
TABLE shown;
SELECT * FROM oms.audit();
SELECT clear();

-- At most 100 orders give way to one.
SELECT count(place('many' || n, 1, sku => 'JUG')) FROM (SELECT oms.receive_stock('north', 'JUG', 101)) r, generate_series(1, 101) n;
SELECT place('all', 101, sku => 'JUG', channel => 'vip');
SELECT jsonb_array_length(oms.place_order('{"channel":"vip","external_ref":"all","lines":[{"sku":"JUG","quantity":100}]}') -> 'displaced');
SELECT * FROM oms.audit();
-- The record of it is checked.
SET session_replication_role = replica;  -- no guard fires
UPDATE oms.events SET data = jsonb_set(data, '{lines,0,quantity}', '3') WHERE event_id = (SELECT min(event_id) FROM oms.events WHERE type = 'order.displaced');
RESET session_replication_role;
SELECT * FROM oms.audit();
