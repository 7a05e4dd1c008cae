-- Holds for carts: reserve, extend, release, expiry by the clock, conversion, counts.
SET client_min_messages = error;
CALL oms.init();
SELECT oms.init_tenant(81);
SET oms.tenant = 81;
SET oms.clock = '2026-03-02 12:00:00+00';
SELECT oms.upsert_items('[{"sku": "CUP"}, {"sku": "JUG", "backorder": true}, {"sku": "CARD", "kind": "digital"}]');
SELECT oms.upsert_locations('[{"code": "north", "rank": 1}, {"code": "south", "rank": 2}]');
SELECT oms.upsert_channels('[{"code": "shop", "backorder": true}]');
SELECT oms.receive_stock('north', 'CUP', 3), oms.receive_stock('south', 'CUP', 10), oms.receive_stock('north', 'JUG', 2);

-- One place that has all units goes before one of better rank that has not.
SELECT oms.reserve('[{"sku": "CUP", "quantity": 5}, {"sku": "JUG", "quantity": 1}, {"sku": "CARD", "quantity": 1}]', '10 minutes', reference => 'cart-1') - 'reservation_id';
SELECT reservation_id AS cart_1 FROM oms.reservations WHERE tenant_id = 81 AND reference = 'cart-1' AND status = 'held' \gset
SELECT * FROM oms.available('CUP');
SELECT * FROM oms.available('CUP', reservation_id => :cart_1);
SELECT * FROM oms.audit();

-- All or nothing; partial holds what is there; each short line is named.
SELECT oms.reserve('[{"sku": "CUP", "quantity": 9}, {"sku": "JUG", "quantity": 2}]');
SELECT oms.reserve('[{"sku": "CUP", "quantity": 9}, {"sku": "JUG", "quantity": 2}]', partial => true, reference => 'cart-2') - 'reservation_id';
SELECT oms.reserve('[{"sku": "CUP", "quantity": 1, "location": "north"}]');
SELECT oms.reserve('[{"sku": "CUP", "quantity": 1}]', partial => true, reference => 'cart-3') - 'reservation_id';

-- Documents and references are checked whole.
SELECT oms.reserve('[{"sku": "NONE", "quantity": 1}, {"sku": "CUP", "quantity": 1, "location": "mars"}]');
SELECT oms.reserve('[]');
SELECT oms.reserve('[{"sku": "CUP", "quantity": 1}]', '-1 minute');
SELECT oms.extend_reservation(0, '1 hour');

-- A cart that reserves again replaces its hold, with its own units counted as free.
SELECT oms.reserve('[{"sku": "CUP", "quantity": 4, "location": "south"}]', '10 minutes', reference => 'cart-1') - 'reservation_id';
SELECT status FROM oms.reservations WHERE reservation_id = :cart_1;
SELECT reservation_id AS cart_1 FROM oms.reservations WHERE tenant_id = 81 AND reference = 'cart-1' AND status = 'held' \gset
SELECT reservation_id AS cart_2 FROM oms.reservations WHERE tenant_id = 81 AND reference = 'cart-2' AND status = 'held' \gset
SELECT * FROM oms.audit();

-- Released once, and the second time nothing happens.
SELECT oms.release_reservation(:cart_2), oms.release_reservation(:cart_2);
SELECT * FROM oms.available('CUP');
SELECT oms.extend_reservation(:cart_2);

-- The key repeats the answer.
SELECT oms.reserve('[{"sku": "JUG", "quantity": 1}]', idempotency_key => 'r1') = oms.reserve('[{"sku": "JUG", "quantity": 1}]', idempotency_key => 'r1');

-- Placing turns the hold into promises and gives the rest back, wherever the router puts the units.
SELECT oms.place_order('{"external_ref": "none", "reservation_id": 999999999, "lines": [{"sku": "CUP", "quantity": 1}]}');
SELECT oms.preview_order(pg_catalog.jsonb_build_object('external_ref', 'A', 'reservation_id', :cart_1, 'lines', '[{"sku": "CUP", "quantity": 13}]'::jsonb)) -> 'fulfillment_status';
SELECT oms.place_order('{"external_ref": "B", "lines": [{"sku": "CUP", "quantity": 13}]}');
SELECT oms.place_order(pg_catalog.jsonb_build_object('external_ref', 'A', 'reservation_id', :cart_1, 'lines', '[{"sku": "CUP", "quantity": 12}]'::jsonb)) -> 'fulfillment_status';
SELECT status FROM oms.reservations WHERE reservation_id = :cart_1;
SELECT * FROM oms.available('CUP');
SELECT * FROM oms.audit();
SELECT type, reserved_delta FROM oms.stock_movements WHERE tenant_id = 81 AND type LIKE 'hold%' ORDER BY movement_id;
SELECT type, action, to_state, order_id IS NOT NULL AS of_order FROM oms.events WHERE tenant_id = 81 AND object_type = 'reservation' AND object_id = :cart_1 ORDER BY event_id;

-- An expired hold blocks nothing, though nobody has swept it.
SELECT oms.reserve('[{"sku": "CUP", "quantity": 1}, {"sku": "JUG", "quantity": 1}]', '5 minutes', reference => 'late') - 'reservation_id';
SELECT reservation_id AS late FROM oms.reservations WHERE tenant_id = 81 AND reference = 'late' \gset
SELECT oms.place_order('{"external_ref": "C", "lines": [{"sku": "CUP", "quantity": 1}]}');
SET oms.clock = '2026-03-02 12:20:00+00';
SELECT * FROM oms.available('CUP');
SELECT oms.extend_reservation(:late, '1 hour');
SELECT oms.preview_order('{"external_ref": "C", "lines": [{"sku": "CUP", "quantity": 1}]}') -> 'fulfillment_status';
SELECT oms.place_order('{"external_ref": "C", "lines": [{"sku": "CUP", "quantity": 1}]}') -> 'fulfillment_status';
SELECT status FROM oms.reservations WHERE reservation_id = :late;
SELECT * FROM oms.available('JUG');
SELECT * FROM oms.audit();

-- Units on hand under an expired hold go before a backorder, and one hold may take another's place.
SELECT oms.set_stock_limits('north', 'JUG', backorder_limit => 5);
SELECT oms.reserve('[{"sku": "JUG", "quantity": 2}]', '1 minute') - 'reservation_id';
SET oms.clock = '2026-03-02 12:30:00+00';
SELECT oms.reserve('[{"sku": "JUG", "quantity": 2}]', '1 minute') - 'reservation_id';
SET oms.clock = '2026-03-02 12:40:00+00';
SELECT oms.place_order('{"channel": "shop", "external_ref": "D", "lines": [{"sku": "JUG", "quantity": 2}]}') -> 'fulfillment_status';
SELECT * FROM oms.audit();

-- Its owner may still place with an expired hold while the units are there.
SELECT oms.receive_stock('north', 'CUP', 2);
SELECT oms.reserve('[{"sku": "CUP", "quantity": 2}]', '1 minute', reference => 'own') - 'reservation_id';
SELECT reservation_id AS own FROM oms.reservations WHERE tenant_id = 81 AND reference = 'own' \gset
SET oms.clock = '2026-03-02 12:50:00+00';
SELECT oms.place_order(pg_catalog.jsonb_build_object('external_ref', 'E', 'reservation_id', :own, 'lines', '[{"sku": "CUP", "quantity": 2}]'::jsonb)) -> 'fulfillment_status';
SELECT status FROM oms.reservations WHERE reservation_id = :own;

-- A count takes held units before any promise, expired ones first.
SELECT oms.receive_stock('north', 'CUP', 4);
SELECT oms.reserve('[{"sku": "CUP", "quantity": 1}]', '1 hour', reference => 'stays') - 'reservation_id';
SELECT oms.reserve('[{"sku": "CUP", "quantity": 3}]', '1 minute', reference => 'goes') - 'reservation_id';
SET oms.clock = '2026-03-02 13:00:00+00';
SELECT on_hand, reserved FROM oms.available('CUP', location => 'north');
SELECT oms.count_stock('north', 'CUP', 6);
SELECT * FROM oms.audit();
SELECT oms.count_stock('north', 'CUP', 4) #- '{withdrawn,0,order_id}' #- '{withdrawn,0,fulfillment_id}';
SELECT * FROM oms.audit();

-- The sweep tidies up.
SET oms.clock = '2026-03-03 12:00:00+00';
SELECT oms.expire_reservations();
SELECT oms.expire_reservations();
SELECT oms.expire_reservations(0);
SELECT count(*) FROM oms.reservation_lines WHERE tenant_id = 81;
SELECT * FROM oms.audit();

-- Corruption is found; a status is not set by hand.
UPDATE oms.reservations SET status = 'expired' WHERE reservation_id = :own;
SELECT oms.receive_stock('south', 'CUP', 2);
SELECT oms.reserve('[{"sku": "CUP", "quantity": 1, "location": "south"}]', '1 hour', reference => 'bad') - 'reservation_id';
BEGIN;
UPDATE oms.reservation_lines l SET quantity = 2 FROM oms.reservations r WHERE r.reservation_id = l.reservation_id AND r.reference = 'bad' AND r.tenant_id = 81;
SELECT "check", expected, found FROM oms.audit();
ROLLBACK;
SELECT * FROM oms.audit();

-- What ended long ago is removed in portions; what is still held stays.
SET oms.clock = '2026-04-01 12:00:00+00';
SELECT count(*) > 4 AS many, min(expires_at) FROM oms.reservations WHERE tenant_id = 81 AND status <> 'held';
SET oms.clock = '2026-04-01 12:10:00+00';
SELECT oms.expire_reservations(2);
SELECT count(*), count(*) FILTER (WHERE expires_at <= '2026-03-02 12:10:00+00' AND status <> 'held') FROM oms.reservations WHERE tenant_id = 81;
SET oms.clock = '2026-05-10 12:00:00+00';
SELECT oms.expire_reservations(), oms.expire_reservations();
SELECT count(*) FROM oms.reservations WHERE tenant_id = 81;
SELECT oms.release_reservation(:cart_1);
SELECT * FROM oms.audit();

-- A line may name a group of locations: a place first, then groups, then anywhere; what is not known or said twice is refused.
SELECT oms.upsert_locations('[{"code": "east", "rank": 1, "groups": [{"group": "stores"}]}, {"code": "west", "rank": 2, "groups": [{"group": "stores"}]}, {"code": "depot", "rank": 3}]');
SELECT oms.upsert_items('[{"sku": "POT"}]');
SELECT oms.receive_stock('east', 'POT', 2), oms.receive_stock('west', 'POT', 3), oms.receive_stock('depot', 'POT', 4);
SELECT l ->> 'granted' AS granted, l -> 'from' AS places FROM jsonb_array_elements(oms.reserve('[{"sku": "POT", "quantity": 4},
  {"sku": "POT", "quantity": 3, "group": "stores"}, {"sku": "POT", "quantity": 2, "location": "east"}]', reference => 'groups') -> 'lines') l;
SELECT oms.reserve('[{"sku": "POT", "quantity": 1, "group": "stores"}]');
SELECT oms.reserve('[{"sku": "POT", "quantity": 4, "group": "stores"}]', reference => 'groups') -> 'lines';
SELECT oms.reserve('[{"sku": "POT", "quantity": 1, "group": "kiosks"}, {"sku": "POT", "quantity": 1, "group": "stores", "location": "east"}]');

-- With least, a partial line gets nothing rather than less, and others get the units.
SELECT oms.reserve('[{"sku": "POT", "quantity": 9, "least": 6, "location": "depot"}, {"sku": "POT", "quantity": 4, "least": 4}]', reference => 'least', partial => true) -> 'lines';
SELECT oms.reserve('[{"sku": "POT", "quantity": 9, "least": 6}]', reference => 'least 2', partial => true) - 'reservation_id';
SELECT oms.reserve('[{"sku": "POT", "quantity": 9, "least": 10}]', partial => true);
SELECT oms.reserve('[{"sku": "POT", "quantity": 9, "least": 9}]');

-- The channel says how long carts are held, and how long at most; at the limit and above it.
SELECT oms.upsert_channels('[{"code": "shop", "reservation_ttl": "5 minutes", "reservation_ttl_max": "1 hour"}]');
SELECT oms.reserve('[{"sku": "CARD", "quantity": 1}]', channel => 'shop', reference => 'short') -> 'expires_at';
SELECT oms.reserve('[{"sku": "CARD", "quantity": 1}]', '1 hour', 'shop', 'short') -> 'expires_at';
SELECT oms.reserve('[{"sku": "CARD", "quantity": 1}]', '1 hour 1 microsecond', 'shop', 'short');
SELECT oms.extend_reservation(max(reservation_id)) FROM oms.reservations WHERE tenant_id = 81 AND reference = 'short';
SELECT oms.reserve('[{"sku": "CARD", "quantity": 1}]', '178000000 years', 'shop', 'short');
SELECT oms.reserve('[{"sku": "CARD", "quantity": 1}]', '-178000000 years', 'shop', 'short');
SELECT oms.extend_reservation(max(reservation_id), '61 minutes') FROM oms.reservations WHERE tenant_id = 81 AND reference = 'short';
SELECT oms.upsert_channels('[{"code": "a", "reservation_ttl_max": "30 days"}, {"code": "b", "reservation_ttl": "1 day", "reservation_ttl_max": "1 day"}]');
SELECT oms.upsert_channels('[{"code": "c", "reservation_ttl_max": "30 days 1 second"}, {"code": "shop", "reservation_ttl": "2 hours"}, {"code": "d", "reservation_ttl": "0"}]');
SELECT * FROM oms.audit();

-- Confirming moves the hold to other rows where the order wants it there: each counter in one statement, nothing left behind.
SELECT oms.upsert_items('[{"sku": "FORK"}, {"sku": "SPOON"}]');
SELECT oms.receive_stock('east', 'FORK', 2), oms.receive_stock('depot', 'FORK', 2), oms.receive_stock('depot', 'SPOON', 1);
SELECT oms.reserve('[{"sku": "FORK", "quantity": 2, "group": "stores"}]', '10 minutes', reference => 'moves') -> 'lines' -> 0 -> 'from';
SELECT reservation_id AS moves FROM oms.reservations WHERE tenant_id = 81 AND reference = 'moves' \gset
SELECT oms.place_order(pg_catalog.jsonb_build_object('external_ref', 'M', 'reservation_id', :moves,
  'lines', '[{"sku": "FORK", "quantity": 2, "location": "depot"}]'::jsonb)) -> 'fulfillments' -> 0 -> 'location';
SELECT location, reserved, available FROM oms.available('FORK') WHERE on_hand > 0 ORDER BY location;
-- Repeated, each step answers as before.
SELECT oms.place_order(pg_catalog.jsonb_build_object('external_ref', 'M', 'reservation_id', :moves,
  'lines', '[{"sku": "FORK", "quantity": 2, "location": "depot"}]'::jsonb)) -> 'status';
SELECT oms.release_reservation(:moves);
-- Confirmed after expiry: it is lost where others have the units, and nothing is written.
SELECT oms.reserve('[{"sku": "SPOON", "quantity": 1}]', '1 minute', reference => 'lost') -> 'complete';
SELECT reservation_id AS lost FROM oms.reservations WHERE tenant_id = 81 AND reference = 'lost' \gset
SET oms.clock = '2026-05-10 12:05:00+00';
SELECT oms.place_order('{"external_ref": "N", "lines": [{"sku": "SPOON", "quantity": 1}]}') -> 'status';
SET client_min_messages = notice;
DO $$
DECLARE
    lost   bigint := (SELECT reservation_id FROM oms.reservations WHERE tenant_id = 81 AND reference = 'lost');
    detail text;
BEGIN
    PERFORM oms.place_order(pg_catalog.jsonb_build_object('external_ref', 'O', 'reservation_id', lost, 'lines', '[{"sku": "SPOON", "quantity": 1}]'::jsonb));
EXCEPTION WHEN SQLSTATE 'OM001' THEN
    GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
    RAISE NOTICE '%', pg_catalog.regexp_replace(detail, 'reservation \d+', 'reservation n');
END $$;
SET client_min_messages = error;
SELECT count(*) FROM oms.orders WHERE tenant_id = 81 AND external_ref = 'O';
SELECT oms.release_reservation(:lost);
SELECT * FROM oms.audit();

-- Groups may overlap: a line gives up what it need not have, along a chain of lines where it takes one, and no unit is missed.
SELECT oms.upsert_locations('[{"code": "east", "groups": [{"group": "stores"}, {"group": "one"}]}, {"code": "west", "groups": [{"group": "stores"}, {"group": "two"}]},
  {"code": "depot", "groups": [{"group": "two"}]}]');
SELECT oms.upsert_items('[{"sku": "BOWL"}]');
SELECT oms.receive_stock('east', 'BOWL', 3), oms.receive_stock('west', 'BOWL', 3), oms.receive_stock('depot', 'BOWL', 2);
SELECT l ->> 'granted' AS granted, l -> 'from' AS places FROM jsonb_array_elements(oms.reserve('[{"sku": "BOWL", "quantity": 3, "group": "two"},
  {"sku": "BOWL", "quantity": 3, "group": "stores"}, {"sku": "BOWL", "quantity": 2, "group": "one"}]', reference => 'overlap') -> 'lines') l;
SELECT l ->> 'granted' AS granted, l -> 'from' AS places FROM jsonb_array_elements(oms.reserve('[{"sku": "BOWL", "quantity": 4, "group": "two"},
  {"sku": "BOWL", "quantity": 4, "least": 4, "group": "stores"}, {"sku": "BOWL", "quantity": 4, "least": 1, "group": "one"}]', reference => 'overlap', partial => true) -> 'lines') l;
SELECT oms.reserve('[{"sku": "BOWL", "quantity": 4, "group": "two"}, {"sku": "BOWL", "quantity": 5, "group": "stores"}]', reference => 'overlap');
SELECT location, reserved, available FROM oms.available('BOWL') WHERE on_hand > 0 ORDER BY location;
SELECT * FROM oms.audit();
