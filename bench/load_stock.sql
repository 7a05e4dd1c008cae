-- Seconds that load_stock takes for 100,000 rows: eval "$(test/run server)"; psql -qc 'CALL oms.init()' -f bench/load_stock.sql
\timing off
\pset tuples_only on
SELECT oms.upsert_locations('[{"code":"L1"}]') IS NULL;
SELECT oms.upsert_items((SELECT jsonb_agg(jsonb_build_object('sku', 'SKU-' || n)) FROM generate_series(1, 100000) n)) IS NULL;
CREATE TEMPORARY TABLE load AS
    SELECT jsonb_agg(jsonb_build_object('location', 'L1', 'sku', 'SKU-' || n, 'quantity', 10 + n % 50)) AS first,
           jsonb_agg(jsonb_build_object('location', 'L1', 'sku', 'SKU-' || n, 'quantity', 11 + n % 50)) AS second,
           jsonb_agg(jsonb_build_object('location', 'L1', 'sku', 'SKU-' || n, 'quantity', 1)) AS delta
    FROM generate_series(1, 100000) n;
\timing on
\echo first snapshot, every counter is made
SELECT oms.load_stock(first) ->> 'changed' FROM load;
\echo the same snapshot again
SELECT oms.load_stock(first) ->> 'changed' FROM load;
\echo a snapshot in which every counter differs
SELECT oms.load_stock(second) ->> 'changed' FROM load;
\echo a receipt of one unit each
SELECT oms.load_stock(delta, 'delta') ->> 'changed' FROM load;
\echo a count of every shelf
SELECT oms.load_stock(first, 'count') ->> 'changed' FROM load;
\echo a snapshot with one SKU left
SELECT oms.load_stock('[{"location":"L1","sku":"SKU-1","quantity":3}]') ->> 'changed' FROM load;
