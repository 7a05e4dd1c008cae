-- transfer.sql: units from one location to another: set aside, on their way, promised, received, lost, given up.
\pset pager off
CREATE DATABASE oms_transfer;
\c oms_transfer
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SET oms.clock = '2026-03-02 12:00:00+00';
SET timezone = 'UTC';
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"CUP"},{"sku":"MILK","tracking":"lot"},{"sku":"PHONE","tracking":"serial"},{"sku":"CARD","kind":"digital"}]'),
       oms.upsert_channels('[{"code":"web","backorder":true}]'), oms.upsert_locations('[{"code":"north"},{"code":"south"}]');
CREATE VIEW units AS
    SELECT i.sku, l.code AS location, s.on_hand, s.reserved, s.backorder_limit AS "limit",
           (SELECT string_agg(state || ' ' || quantity, ', ' ORDER BY state) FROM oms.stock_states x
            WHERE x.item_id = s.item_id AND x.location_id = s.location_id AND quantity > 0) AS states
    FROM oms.stock s JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id) ORDER BY 1, 2;
CREATE FUNCTION brief(transfer jsonb) RETURNS text LANGUAGE sql AS $$
    SELECT format('%s: %s of %s shipped, %s in transit, %s received, %s lost', transfer ->> 'status', transfer ->> 'shipped', transfer ->> 'quantity',
                  transfer ->> 'in_transit', transfer ->> 'received', transfer ->> 'lost') $$;

-- Units are in one place at every moment: set aside, in transit, on hand.
SELECT oms.receive_stock('north', 'CUP', 10);
SELECT oms.request_transfer('north', 'south', 'CUP', 6, '2026-03-05 08:00+00', 'TO-1') AS t \gset
SELECT * FROM units;
SELECT sum(available) FROM oms.available('CUP', 'web', needed_by => '2026-03-31');
SELECT brief(oms.ship_transfer(:t, 5));
SELECT * FROM units;
SELECT location, sum(available) FROM oms.available('CUP', 'web') GROUP BY 1 ORDER BY 1;
SELECT location, sum(available) FROM oms.available('CUP', 'web', needed_by => '2026-03-31') GROUP BY 1 ORDER BY 1;
SELECT term, quantity, reason FROM oms.explain_available('CUP', 'web') WHERE location = 'south';
-- What is on its way is promised there, once.
SELECT f ->> 'location', f ->> 'ship_by', f -> 'lines' -> 0 ->> 'quantity' FROM jsonb_array_elements(oms.place_order('{"channel":"web","external_ref":"a",
    "lines":[{"sku":"CUP","quantity":4,"location":"south"}]}') -> 'fulfillments') f;
SELECT brief(oms.receive_transfer(:t, 2));
SELECT order_id IS NOT NULL, quantity, location FROM oms.fill_backorders();
SELECT * FROM units;
-- Another date, and the order's; the same again changes nothing.
SELECT oms.request_transfer('north', 'south', 'CUP', 6, '2026-03-06 08:00+00', 'TO-1') = :t, oms.request_transfer('north', 'south', 'CUP', 6, '2026-03-06 08:00+00', 'TO-1') = :t;
SELECT expected_at FROM oms.supplies;
SELECT * FROM oms.audit();
-- What never arrives takes the promise with it that rested on it.
SELECT brief(c), jsonb_array_length(c -> 'withdrawn'), c -> 'withdrawn' -> 0 ->> 'quantity' FROM oms.close_transfer(:t, 'fell off') c;
SELECT * FROM units;
SELECT type, data ->> 'quantity', data ->> 'in_transit' FROM oms.events WHERE object_type = 'transfer' ORDER BY event_id;
SELECT * FROM oms.audit();
-- Given up before it leaves.
SELECT oms.request_transfer('south', 'north', 'CUP', 1, '2026-03-09', lots => NULL) AS t \gset
SELECT oms.request_transfer('north', 'south', 'CUP', 5, '2026-03-09') AS t \gset
SELECT brief(oms.cancel_transfer(:t, 'no truck'));
SELECT * FROM units;
-- Not for sale at its destination until it is there.
SELECT oms.request_transfer('north', 'south', 'CUP', 3, '2026-03-09', promisable => false) AS t \gset
SELECT brief(oms.ship_transfer(:t));
SELECT location, sum(available) FROM oms.available('CUP', 'web', needed_by => '2026-03-31') GROUP BY 1 ORDER BY 1;
SELECT brief(oms.receive_transfer(:t, idempotency_key => 'k')), brief(oms.receive_transfer(:t, idempotency_key => 'k'));
SELECT * FROM units;
-- The sum over places and states never changed but by what was lost.
SELECT at, sum(on_hand) FROM unnest(ARRAY['2026-03-02 12:00+00']::timestamptz[]) at, oms.stock_as_of(at) WHERE sku = 'CUP' GROUP BY at;
SELECT * FROM oms.audit();

-- Lots go with the units: the first to expire, or those named; what stays and what comes back keeps its own.
SELECT oms.receive_stock('north', 'MILK', 9, lots => '[{"lot":"A","quantity":3,"expires_at":"2026-04-01"},{"lot":"B","quantity":3,"expires_at":"2026-05-01"},{"lot":"C","quantity":3}]');
CREATE VIEW lot_units AS SELECT code, lot, quantity, expires_at FROM oms.lots JOIN oms.locations USING (location_id) JOIN oms.items USING (item_id) WHERE sku = 'MILK' ORDER BY 1, 2;
SELECT oms.request_transfer('north', 'south', 'MILK', 5, '2026-03-09') AS t \gset
SELECT * FROM lot_units;
SELECT brief(oms.ship_transfer(:t, 3, lots => '[{"lot":"A","quantity":1},{"lot":"C","quantity":2}]'));
SELECT brief(oms.ship_transfer(:t, 3, lots => '[{"lot":"A","quantity":1},{"lot":"B","quantity":2}]'));
SELECT * FROM lot_units;
SELECT brief(oms.receive_transfer(:t, 1, '[{"lot":"A","quantity":2}]'));
SELECT brief(oms.receive_transfer(:t, 1, '[{"lot":"B"}]'));
SELECT brief(oms.receive_transfer(:t));
SELECT * FROM lot_units;
SELECT oms.request_transfer('north', 'south', 'MILK', 2, '2026-03-09', lots => '[{"lot":"C","quantity":2}]') AS t \gset
SELECT brief(oms.cancel_transfer(:t));
SELECT * FROM lot_units;
SELECT oms.receive_stock('north', 'PHONE', 2, lots => '[{"lot":"P1"},{"lot":"P2"}]');
SELECT oms.request_transfer('north', 'south', 'PHONE', 2, '2026-03-09') AS t \gset
SELECT brief(oms.ship_transfer(:t)), brief(oms.receive_transfer(:t, 1, '[{"lot":"P2"}]'));
SELECT code, lot FROM oms.lots JOIN oms.locations USING (location_id) WHERE serial;
SELECT * FROM oms.audit();

-- What makes no sense is refused, and changes nothing.
SELECT oms.request_transfer('north', 'north', 'CUP', 1, '2026-03-09');
SELECT oms.request_transfer('north', 'south', 'CARD', 1, '2026-03-09');
SELECT oms.request_transfer('north', 'nowhere', 'CUP', 1, '2026-03-09');
SELECT oms.request_transfer('north', 'south', 'CUP', 0, '2026-03-09');
SELECT oms.request_transfer('north', 'south', 'CUP', 1, NULL);
SELECT oms.request_transfer('south', 'north', 'CUP', 900, '2026-03-09');
SELECT oms.request_transfer('north', 'south', 'CUP', 7, '2026-03-09', 'TO-1');
SELECT oms.request_transfer('north', 'south', 'CUP', 2, '2026-03-09', lots => '[{"lot":"A"}]');
SELECT oms.request_transfer('north', 'south', 'CUP', 2, '2026-03-09', 'TO-2') AS t \gset
SELECT oms.receive_transfer(:t, 2);
SELECT oms.close_transfer(:t);
SELECT oms.ship_transfer(:t, 3);
SELECT brief(oms.ship_transfer(:t));
SELECT oms.ship_transfer(:t);
SELECT oms.cancel_transfer(:t);
SELECT oms.receive_transfer(:t, 3);
SELECT oms.receive_supply(supply_id), oms.cancel_supply(supply_id) FROM oms.transfers WHERE transfer_id = :t;
SELECT oms.cancel_supply(supply_id) FROM oms.transfers WHERE transfer_id = :t;
SELECT oms.ship_transfer(999999);
SELECT oms.ship_transfer(NULL);
-- A location's people send what is there and receive what comes to it.
SET client_min_messages = warning;
CREATE ROLE transfer_south IN ROLE oms_warehouse;
RESET client_min_messages;
INSERT INTO oms.role_scopes (role_name, tenant_id, location_id) SELECT 'transfer_south', 1, location_id FROM oms.locations WHERE code = 'south';
SET ROLE transfer_south;
SELECT oms.cancel_transfer(:t);
SELECT brief(oms.receive_transfer(:t, 1));
RESET ROLE;
UPDATE oms.transfers SET status = 'requested' WHERE transfer_id = :t;
UPDATE oms.transfers SET received = 5 WHERE transfer_id = :t;
-- Every corruption is found.
SELECT * FROM oms.audit();
ALTER TABLE oms.transfers DISABLE TRIGGER guard_transition;
UPDATE oms.transfers SET lost = 1 WHERE transfer_id = :t;
SELECT "check", expected, found FROM oms.audit();
UPDATE oms.transfers SET lost = 0 WHERE transfer_id = :t;
UPDATE oms.stock_states SET quantity = quantity - 1 WHERE state = 'in_transit' AND item_id = (SELECT item_id FROM oms.items WHERE sku = 'CUP');
SELECT "check", expected, found FROM oms.audit();
UPDATE oms.stock_states SET quantity = quantity + 1 WHERE state = 'in_transit' AND item_id = (SELECT item_id FROM oms.items WHERE sku = 'CUP');
-- What belongs to a transfer is moved by its own calls only; what else is in the same state may go.
SELECT oms.move_stock_state('south', 'CUP', 'in_transit', NULL, 1, 'lost by hand');
SELECT oms.receive_stock('south', 'CUP', 1, state => 'in_transit');
SELECT oms.move_stock_state('south', 'CUP', 'in_transit', 'sellable', 2, 'found');
SELECT oms.move_stock_state('south', 'CUP', 'in_transit', NULL, 1, 'lost by hand') -> 'in_transit';
SELECT oms.receive_stock('north', 'CUP', 2);
SELECT oms.request_transfer('north', 'south', 'CUP', 2, '2026-03-09', 'TO-OWN') AS own \gset
SELECT oms.move_stock_state('north', 'CUP', 'set_aside', 'sellable', 1, 'found');
SELECT brief(oms.cancel_transfer(:own));
SELECT brief(oms.receive_transfer(:t));
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_transfer;
DROP ROLE transfer_south;
