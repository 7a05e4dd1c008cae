-- setup.sql: the same network, items, stock and documents for both contestants.
\set ON_ERROR_STOP on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS oms;
CALL oms.init();
\ir competitor.sql

SELECT setseed(0.42);
CREATE TABLE places AS
    SELECT n AS location_id, round((36 + random() * 18)::numeric, 4)::float8 AS latitude,
           round((-5 + random() * 25)::numeric, 4)::float8 AS longitude
    FROM generate_series(1, :locations) n;
INSERT INTO competitor.locations SELECT * FROM places;
INSERT INTO competitor.items SELECT n, 'SKU-' || n FROM generate_series(1, :items) n;
INSERT INTO competitor.stock (item_id, location_id, on_hand)
    SELECT i, l, 1000000 FROM generate_series(1, :items) i, generate_series(1, :locations) l;

SELECT oms.upsert_channels('[{"code":"web","currency":"EUR"}]') AS channels \gset
SELECT oms.upsert_locations((SELECT jsonb_agg(jsonb_build_object('code', 'L' || location_id, 'latitude', latitude,
       'longitude', longitude)) FROM places)) AS locations_made \gset
SELECT oms.upsert_items((SELECT jsonb_agg(jsonb_build_object('sku', 'SKU-' || n)) FROM generate_series(1, :items) n))
       AS items_made \gset
UPDATE oms.locations SET active = false WHERE code = 'default';
-- Stock of the benchmark is laid down at once, with its ledger, so that audit() holds.
INSERT INTO oms.stock_counters (item_id, location_id, on_hand)
    SELECT i.item_id, l.location_id, 1000000 FROM oms.items i, oms.locations l WHERE l.active;
INSERT INTO oms.stock_movements (item_id, location_id, at, tenant_id, on_hand_delta, reserved_delta, type, actor)
    SELECT item_id, location_id, now(), tenant_id, on_hand, 0, 'receive', 'bench' FROM oms.stock;

-- Documents as text, as a client would send them.
CREATE TABLE documents (n int PRIMARY KEY, doc text NOT NULL);
INSERT INTO documents
SELECT o, format('{"channel":"web","external_ref":"REF-%s","currency":"EUR","customer":{"ref":"C-%s"},'
                 '"ship_to":{"name":"A. Buyer","line1":"Main Street %s","city":"Anywhere","postal_code":"%s","country":"DE",'
                 '"latitude":%s,"longitude":%s},"lines":[%s]}',
                 o, 1 + (random() * 99999)::int, o % 300, 10000 + o % 80000,
                 round((36 + random() * 18)::numeric, 4), round((-5 + random() * 25)::numeric, 4),
                 (SELECT string_agg(format('{"sku":"SKU-%s","quantity":%s,"unit_price":%s}',
                                           1 + ((o::bigint * 7919 + l * 104729 + (random() * 1000000)::int) % :items),
                                           1 + (random() * 2)::int, round((5 + random() * 95)::numeric, 2)), ',')
                  FROM generate_series(1, :lines) l))
FROM generate_series(1, :documents) o;
VACUUM ANALYZE;
CHECKPOINT;
