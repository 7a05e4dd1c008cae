-- capacity.sql: what a location ships in a day is limited by constraint; full days move promises or orders on.
\pset pager off
CREATE DATABASE oms_capacity;
\c oms_capacity
SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO';
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-11-26 09:00+00';
SELECT oms.upsert_items('[{"sku": "A", "price": 10, "weight_grams": 500}]');
SELECT oms.upsert_calendars('[{"code": "office", "hours": [{"weekday": 1}, {"weekday": 2}, {"weekday": 3}, {"weekday": 4}, {"weekday": 5}]}]');
SELECT oms.upsert_locations('[{"code": "default", "active": false}, {"code": "one", "calendar": "office", "daily_capacity": 2, "rank": 1}]');
SELECT oms.receive_stock('one', 'A', 1000);
CREATE FUNCTION placed(ref text, quantity int DEFAULT 1, more text DEFAULT '') RETURNS TABLE (location text, ship_by text, same boolean) LANGUAGE plpgsql AS $$
DECLARE
    doc jsonb := format('{"external_ref": "%s", "lines": [{"sku": "A", "quantity": %s}]%s}', ref, quantity, more);
    preview jsonb := oms.preview_order(doc);
    answer jsonb := oms.place_order(doc);
BEGIN
    RETURN QUERY SELECT f ->> 'location', left(f ->> 'ship_by', 10), preview -> 'fulfillments' -> (n - 1)::int = f - 'fulfillment_id'
    FROM jsonb_array_elements(answer -> 'fulfillments') WITH ORDINALITY x(f, n);
END $$;
CREATE VIEW days AS SELECT l.code, c.day, c.capacity, c.used, c.fixed FROM oms.location_capacity c JOIN oms.locations l USING (location_id) ORDER BY 1, 2;
-- Two on Thursday, two on Friday, then Monday.  A preview takes nothing.
SELECT * FROM placed('a1'); SELECT * FROM placed('a2', 500); SELECT * FROM placed('a3'); SELECT * FROM placed('a4'); SELECT * FROM placed('a5');
SELECT * FROM days;
-- Cancelling frees the day: the next order has it.
SELECT oms.cancel_order(oms.find_order('default', 'a1'), NULL, 'test') ->> 'status' AS status;
SELECT oms.cancel_fulfillment(fulfillment_id, 'test') ->> 'status' AS status FROM oms.fulfillments WHERE order_id = oms.find_order('default', 'a3');
SELECT * FROM days;
SELECT * FROM placed('a6'); SELECT * FROM placed('a7'); SELECT * FROM placed('a8');
SELECT ship_day, capacity_taken, status FROM oms.fulfillments ORDER BY fulfillment_id;
SELECT * FROM oms.audit();

-- The capacity of single days; never below what is taken.
SELECT oms.load_location_capacity('[{"location": "one", "day": "2026-11-27", "capacity": 1}, {"location": "one", "day": "2026-11-30", "to": "2026-12-02", "capacity": 3}]');
SELECT * FROM days;
SELECT * FROM placed('b1'); SELECT * FROM placed('b2'); SELECT * FROM placed('b3');
-- A changed daily capacity moves the days that follow it, not those that were set.
SELECT oms.upsert_locations('[{"code": "one", "daily_capacity": 5}]');
SELECT * FROM days;
SELECT oms.upsert_locations('[{"code": "one", "daily_capacity": 1}]');
SELECT * FROM days;
SELECT oms.load_location_capacity('[{"location": "mars", "day": "2026-11-27", "capacity": 1}, {"location": "one", "day": "27.11.2026", "capacity": 1},
  {"location": "one", "day": "2026-11-27", "to": "2026-11-26", "capacity": 1}, {"location": "one", "day": "2026-11-27", "to": "2027-11-28", "capacity": 1}]');
SELECT oms.load_location_capacity('[{"location": "one", "day": "2026-11-27", "capacity": -1}, {"location": "one", "day": "2026-11-27"}]');
SELECT oms.load_location_capacity('[{"location": "one", "day": "2026-12-01", "capacity": 1}, {"location": "one", "day": "2026-11-27", "to": "2026-12-02", "capacity": 1}]');
SELECT oms.load_location_capacity('[{"location": "one", "day": "2026-11-27", "to": "2027-11-27", "capacity": 9}]');
SELECT oms.load_location_capacity('[{"location": "one", "day": "2027-01-01", "to": "2028-01-01", "capacity": 9}]');
-- The constraint stands against everybody.
UPDATE oms.location_capacity SET used = capacity + 1 WHERE day = '2026-11-27';
UPDATE oms.location_capacity SET used = -1 WHERE day = '2026-11-27';

-- Another location by cost: a day later costs 3.00, the other location 2.00.
SELECT oms.upsert_locations('[{"code": "two", "calendar": "office", "rank": 2, "cost_per_order": 2}]');
SELECT oms.receive_stock('two', 'A', 1000);
SELECT oms.upsert_carriers('[{"code": "post", "services": [{"code": "parcel", "zone_chart": "all", "calendar": "office"}]}]');
SELECT oms.load_shipping_zones('all', '[{"origin_location": "one", "zone": "1"}, {"origin_location": "two", "zone": "1"}]');
SELECT oms.load_shipping_rates('parcel', '[{"zone": "1", "to_grams": 1000000, "amount": 4}]');
SELECT oms.load_transit_times('parcel', '[{"days": 1}]');
SET oms.clock = '2027-02-01 09:00+00';
SELECT oms.save_routing_policy('p', '{"objective": "cost", "cost_per_day_late": 3}'), oms.activate_routing_policy('p', 1);
SELECT oms.load_location_capacity('[{"location": "one", "day": "2027-02-01", "capacity": 1}]');
SELECT * FROM placed('c1', 1, ', "requested_at": "2027-02-02T00:00:00Z"'); SELECT * FROM placed('c2', 1, ', "requested_at": "2027-02-02T00:00:00Z"');
SELECT * FROM placed('c3', 1, ', "requested_at": "2027-02-03T00:00:00Z"');
SELECT kind, location, term, amount, detail FROM oms.explain_route(oms.find_order('default', 'c2'));
SELECT bool_and(oms.route_replays(record)) FROM oms.routing_decisions;
-- Full for a year: no candidate; the other one serves; nobody left is OM008.
SELECT oms.load_location_capacity('[{"location": "one", "day": "2027-02-01", "to": "2028-01-31", "capacity": 0}, {"location": "one", "day": "2028-02-01", "to": "2028-03-31", "capacity": 0}]');
SELECT * FROM placed('d1');
UPDATE oms.locations SET active = false WHERE code = 'two';
SELECT * FROM placed('d2');
UPDATE oms.locations SET active = true WHERE code = 'two';

-- Counted in units; more than a day holds takes a whole day.
SELECT oms.upsert_locations('[{"code": "two", "daily_capacity": 10, "capacity_unit": "unit"}]');
SELECT * FROM placed('e1', 6); SELECT * FROM placed('e2', 6); SELECT * FROM placed('e3', 4); SELECT * FROM placed('e4', 25); SELECT * FROM placed('e5', 4);
SELECT * FROM days WHERE code = 'two';
SELECT * FROM oms.audit();

-- Backordered units take a day when they are there.
SELECT oms.upsert_items('[{"sku": "B", "price": 1, "backorder": true}]'), oms.upsert_channels('[{"code": "default", "backorder": true}]');
SELECT oms.receive_stock('two', 'B', 1), oms.set_stock_limits('two', 'B', 0, 10);
SELECT f ->> 'ship_by' AS ship_by, f ->> 'backordered' AS later FROM jsonb_array_elements(oms.place_order('{"external_ref": "f1", "lines": [{"sku": "B", "quantity": 4}]}') -> 'fulfillments') f;
SELECT oms.receive_stock('two', 'B', 5);
SELECT count(*) FROM oms.fill_backorders(dry_run => false);
SELECT ship_day, backordered, capacity_taken, status FROM oms.fulfillments WHERE order_id = oms.find_order('default', 'f1') ORDER BY fulfillment_id;
SELECT day, used FROM days WHERE code = 'two' AND day > '2027-02-02';
SELECT * FROM oms.audit();

-- Deliveries of one order take of the same days, one after the other.
SELECT oms.upsert_locations('[{"code": "three", "daily_capacity": 1}]'), oms.upsert_items('[{"sku": "C", "price": 1}]'), oms.receive_stock('three', 'C', 9);
SELECT f ->> 'delivery_no' AS delivery, f ->> 'ship_by' AS ship_by FROM jsonb_array_elements(oms.place_order('{"external_ref": "g1", "deliveries": [{"delivery_no": 1}, {"delivery_no": 2}, {"delivery_no": 3}],
  "lines": [{"sku": "C", "quantity": 1}, {"sku": "C", "quantity": 1, "delivery_no": 2}, {"sku": "C", "quantity": 1, "delivery_no": 3}]}') -> 'fulfillments') f;
SELECT day, used FROM days WHERE code = 'three' ORDER BY 1;
SELECT * FROM oms.audit();

-- What is changed by hand is found.
BEGIN;
UPDATE oms.location_capacity SET used = 0 WHERE day = '2026-11-27';
UPDATE oms.fulfillments SET capacity_taken = 5 WHERE order_id = oms.find_order('default', 'a2');
DELETE FROM oms.location_capacity WHERE day = '2026-12-01';
SELECT "check", split_part(object, ' on ', 2) AS day, expected, found FROM oms.audit();
ROLLBACK;
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_capacity;
