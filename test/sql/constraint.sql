-- constraint.sql: whoever writes past the functions, even a superuser by hand, still cannot oversell or break a counter.
\pset pager off
CREATE DATABASE oms_constraint;
\c oms_constraint
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';

-- Every kind of counter with something in it.
SELECT oms.upsert_channels('[{"code": "default", "backorder": true}]');
SELECT oms.upsert_locations('[{"code": "default", "daily_capacity": 5}]');
SELECT oms.upsert_items('[{"sku": "CUP"}, {"sku": "OWED", "backorder": true}, {"sku": "HOT"}, {"sku": "MILK", "tracking": "lot"}, {"sku": "PHONE", "tracking": "serial"}]');
SELECT oms.receive_stock('default', 'CUP', 10), oms.receive_stock('default', 'OWED', 2), oms.receive_stock('default', 'HOT', 400),
       oms.receive_stock('default', 'CUP', 3, state => 'damaged'),
       oms.receive_stock('default', 'MILK', 4, lots => '[{"lot": "M1", "quantity": 4}]'),
       oms.receive_stock('default', 'PHONE', 1, lots => '[{"lot": "P1", "quantity": 1}]');
SELECT oms.set_stock_limits('default', 'OWED', backorder_limit => 3);
SELECT oms.set_channel_quota('default', 'CUP', cap => 20, guaranteed => 1);
SELECT oms.expect_supply('default', 'CUP', 6, '2026-03-09', 'po');
SELECT oms.receive_supply(supply_id, 2) FROM oms.supplies;
SELECT oms.place_order('{"external_ref": "1", "lines": [{"sku": "CUP", "quantity": 5}, {"sku": "HOT", "quantity": 100}, {"sku": "OWED", "quantity": 5}]}') ->> 'status';
SELECT oms.place_order('{"external_ref": "2", "lines": [{"sku": "CUP", "quantity": 4}]}') ->> 'status';
SELECT oms.release_fulfillment(fulfillment_id) ->> 'status' FROM oms.fulfillments WHERE order_id = oms.find_order('default', '2');
SELECT oms.ship_fulfillment(fulfillment_id) ->> 'status' FROM oms.fulfillments WHERE order_id = oms.find_order('default', '2');
SELECT oms.request_return(oms.find_order('default', '2'), '[{"line_no": 1, "quantity": 2}]') ->> 'status';
SELECT oms.receive_return(return_id, '[{"line_no": 1, "quantity": 1}]') ->> 'status' FROM oms.returns;
SELECT oms.reserve('[{"sku": "CUP", "quantity": 1}]', '1 hour') ->> 'complete';
SELECT oms.set_channel_quota('default', safety => 1);
-- A hot item's counter is divided; each row carries its own share of the rule.
INSERT INTO oms.stock_counters (item_id, location_id, on_hand, reserved, stripe, stripes)
    SELECT item_id, location_id, 100, 25, n, 0 FROM oms.stock_counters JOIN oms.items USING (item_id, tenant_id), generate_series(1, 3) n WHERE sku = 'HOT';
UPDATE oms.stock_counters c SET on_hand = 100, reserved = 25, stripes = 4 FROM oms.items i WHERE i.item_id = c.item_id AND i.sku = 'HOT' AND c.stripe = 0;
SELECT * FROM oms.audit();

CREATE TABLE bypass (no int GENERATED ALWAYS AS IDENTITY, what text, statement text, constraint_name text);
INSERT INTO bypass (what, statement)
    SELECT what, format('UPDATE oms.stock_counters c SET %s FROM oms.items i WHERE i.item_id = c.item_id AND %s', change, which)
    FROM (VALUES
        ('promise one more than is there', 'reserved = c.on_hand + c.backorder_limit + 1', 'i.sku = ''CUP'''),
        ('take away what is promised', 'on_hand = c.reserved - c.backorder_limit - 1', 'i.sku = ''CUP'''),
        ('owe one more than allowed', 'reserved = reserved + 1', 'i.sku = ''OWED'''),
        ('lower the limit below what is owed', 'backorder_limit = backorder_limit - 1', 'i.sku = ''OWED'''),
        ('oversell the first stripe', 'reserved = on_hand + 1', 'i.sku = ''HOT'' AND stripe = 0'),
        ('oversell another stripe', 'reserved = on_hand + 1', 'i.sku = ''HOT'' AND stripe = 3'),
        ('move promises to one stripe', 'reserved = CASE stripe WHEN 0 THEN 103 ELSE -1 END', 'i.sku = ''HOT'''),
        ('empty a stripe', 'on_hand = 0', 'i.sku = ''HOT'' AND stripe = 2'),
        ('owe on hand', 'on_hand = -1, reserved = 0, backorder_limit = 5', 'i.sku = ''MILK'''),
        ('owe promises', 'reserved = -1', 'i.sku = ''MILK'''),
        ('owe safety', 'safety = -1', 'i.sku = ''MILK'''),
        ('owe a limit', 'backorder_limit = -1', 'i.sku = ''MILK'''),
        ('owe a reorder point', 'reorder_point = -1', 'i.sku = ''MILK'''),
        ('hold more than a counter can', 'on_hand = 1000000001', 'i.sku = ''MILK'''),
        ('allow more than a counter can', 'backorder_limit = 1000000001', 'i.sku = ''MILK'''),
        ('forget how many there are', 'on_hand = NULL', 'i.sku = ''CUP'''),
        ('forget how many are promised', 'reserved = NULL', 'i.sku = ''CUP''')) s (what, change, which);
INSERT INTO bypass (what, statement) VALUES
    ('write oversold stock', 'INSERT INTO oms.stock_counters (item_id, location_id, on_hand, reserved, stripe, stripes) SELECT item_id, location_id, 1, 2, 4, 0 FROM oms.stock_counters WHERE stripe = 3'),
    ('count an item twice', 'INSERT INTO oms.stock_counters SELECT * FROM oms.stock_counters'),
    ('count an item nobody knows', 'INSERT INTO oms.stock_counters (item_id, location_id, on_hand) SELECT 999, location_id, 1 FROM oms.locations'),
    ('count at a place nobody knows', 'INSERT INTO oms.stock_counters (item_id, location_id, on_hand) SELECT item_id, 999, 1 FROM oms.items LIMIT 1'),
    ('owe damaged units', 'UPDATE oms.stock_states SET quantity = -1'),
    ('hold too many damaged units', 'UPDATE oms.stock_states SET quantity = 1000000001'),
    ('keep an empty lot', 'UPDATE oms.lots SET quantity = 0 WHERE NOT serial'),
    ('hold too large a lot', 'UPDATE oms.lots SET quantity = 1000000001 WHERE NOT serial'),
    ('number two units alike', 'UPDATE oms.lots SET quantity = 2 WHERE serial'),
    ('have a numbered unit in two places', 'INSERT INTO oms.locations (tenant_id, code) VALUES (1, ''second'');'
        ' INSERT INTO oms.lots (item_id, location_id, tenant_id, quantity, serial, received_at, lot)'
        ' SELECT item_id, max(k.location_id), 1, 1, true, received_at, lot FROM oms.lots, oms.locations k WHERE serial GROUP BY item_id, received_at, lot'),
    ('have a lot without a name', 'UPDATE oms.lots SET lot = '''' WHERE NOT serial'),
    ('exceed a quota', 'UPDATE oms.channel_quotas SET used = cap + 1 WHERE cap IS NOT NULL'),
    ('lower a quota below what is used', 'UPDATE oms.channel_quotas SET cap = used - 1 WHERE cap IS NOT NULL'),
    ('owe a quota', 'UPDATE oms.channel_quotas SET used = -1 WHERE cap IS NOT NULL'),
    ('owe a buffer', 'UPDATE oms.channel_quotas SET network_safety = -1 WHERE cap IS NOT NULL'),
    ('cap all items at once', 'UPDATE oms.channel_quotas SET cap = 5 WHERE item_id IS NULL'),
    ('end a quota before it starts', 'UPDATE oms.channel_quotas SET ends_at = starts_at'),
    ('leave units in two places at once', 'UPDATE oms.channel_quotas SET location_id = (SELECT min(location_id) FROM oms.locations), location_group = ''g'' WHERE item_id IS NULL'),
    ('keep two quotas for one thing', 'INSERT INTO oms.channel_quotas (channel_id, item_id, starts_at) SELECT channel_id, item_id, starts_at FROM oms.channel_quotas'),
    ('receive more than was ordered', 'UPDATE oms.supplies SET received = quantity + 1'),
    ('receive what was cancelled', 'UPDATE oms.supplies SET cancelled = quantity - received + 1'),
    ('receive less than nothing', 'UPDATE oms.supplies SET received = -1'),
    ('expect too many', 'UPDATE oms.supplies SET quantity = 1000000001'),
    ('ship more than a day allows', 'UPDATE oms.location_capacity SET used = capacity + 1'),
    ('allow less than a day has', 'UPDATE oms.location_capacity SET capacity = used - 1'),
    ('owe a day', 'UPDATE oms.location_capacity SET used = -1'),
    ('allow less than nothing', 'UPDATE oms.location_capacity SET capacity = -1, used = -2'),
    ('hold less than nothing for a cart', 'UPDATE oms.reservation_lines SET quantity = -1'),
    ('hold for a cart nobody knows', 'INSERT INTO oms.reservation_lines SELECT 999, item_id, location_id, tenant_id, 1 FROM oms.reservation_lines'),
    ('promise more than was ordered', 'UPDATE oms.order_lines SET allocated = ordered + 1'),
    ('owe more than was ordered', 'UPDATE oms.order_lines SET backordered = ordered - allocated - cancelled + 1'),
    ('ship what was not released', 'UPDATE oms.order_lines SET shipped = released + 1'),
    ('release what was not promised', 'UPDATE oms.order_lines SET released = allocated + 1'),
    ('cancel less than nothing', 'UPDATE oms.order_lines SET cancelled = -1'),
    ('take back more than was shipped', 'UPDATE oms.order_lines SET returned = shipped + 1'),
    ('ship more than was promised', 'UPDATE oms.allocations SET shipped = promised + 1'),
    ('cancel more than was promised', 'UPDATE oms.allocations SET cancelled = promised - shipped + 1'),
    ('pick less than nothing', 'UPDATE oms.allocations SET picked = -1'),
    ('receive more than was to come back', 'UPDATE oms.return_lines SET received = requested + 1'),
    ('receive nothing back', 'UPDATE oms.return_receipts SET quantity = 0');

DO $$
DECLARE
    one  bypass;
    name text;
BEGIN
    FOR one IN SELECT * FROM bypass ORDER BY no LOOP
        name := 'NOTHING STOPPED IT';
        BEGIN
            SET LOCAL session_replication_role = origin;
            IF one.statement ~ 'return_receipts' THEN
                SET LOCAL session_replication_role = replica;  -- the guard of the record would be first
            END IF;
            EXECUTE one.statement;
            RAISE EXCEPTION SQLSTATE 'XX999';
        EXCEPTION
            WHEN integrity_constraint_violation THEN
                GET STACKED DIAGNOSTICS name = CONSTRAINT_NAME;
                IF name = '' THEN
                    GET STACKED DIAGNOSTICS name = COLUMN_NAME;
                END IF;
            WHEN SQLSTATE 'XX999' THEN
                NULL;
        END;
        UPDATE bypass SET constraint_name = name WHERE no = one.no;
    END LOOP;
END $$;
SELECT what, constraint_name AS "stopped by" FROM bypass ORDER BY no;

-- No rule of a counter was left out.
SELECT conrelid::regclass AS "table", conname AS "not tried"
    FROM pg_constraint WHERE contype = 'c' AND conrelid = ANY (ARRAY['oms.stock_counters', 'oms.stock_states', 'oms.lots', 'oms.channel_quotas',
        'oms.location_capacity', 'oms.reservation_lines', 'oms.order_lines', 'oms.allocations', 'oms.return_lines']::regclass[])
        AND conname NOT IN (SELECT constraint_name FROM bypass) ORDER BY 1, 2;
-- And nothing was changed.
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_constraint;
