-- Many counters in one call: snapshots, counts, deltas; what a late snapshot leaves alone; shortages; limits.
CREATE DATABASE oms_stock_load;
\c oms_stock_load
SET client_min_messages = error;
\set VERBOSITY default
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2026-03-02 08:00:00+00';
SELECT oms.upsert_items('[{"sku":"A"},{"sku":"B"},{"sku":"C"},{"sku":"D"},{"sku":"FILE","kind":"digital"}]'),
       oms.upsert_locations('[{"code":"north"},{"code":"south"}]');
CREATE VIEW on_hand AS SELECT l.code, i.sku, s.on_hand, s.reserved FROM oms.stock s JOIN oms.items i USING (item_id) JOIN oms.locations l USING (location_id);

-- A full snapshot counts everything at the locations it names, and no others.
SELECT oms.load_stock('[{"location":"north","sku":"A","quantity":10},{"location":"north","sku":"B","quantity":5},{"location":"south","sku":"A","quantity":7}]', reference => 'night');
SELECT oms.load_stock('[{"location":"north","sku":"A","quantity":9},{"location":"north","sku":"C","quantity":0}]');
SELECT * FROM on_hand ORDER BY 1, 2;

-- Counts set only their rows, also without a difference; deltas add up.
SELECT oms.load_stock('[{"location":"north","sku":"B","quantity":4},{"location":"north","sku":"A","quantity":9}]', 'count');
SELECT oms.load_stock('[{"location":"north","sku":"B","quantity":3},{"location":"south","sku":"D","quantity":2},{"location":"north","sku":"B","quantity":-1}]', 'delta');
SELECT * FROM on_hand ORDER BY 1, 2;
SELECT type, on_hand_delta, counted_at, reference FROM oms.stock_movements ORDER BY movement_id;
SELECT type, data FROM oms.events WHERE type = 'stock.loaded' ORDER BY event_id;
SELECT * FROM oms.audit();

-- A snapshot of ten that arrives at noon keeps what was received, sold and shipped since.
SET oms.clock = '2026-03-02 11:00:00+00';
SELECT oms.receive_stock('north', 'A', 100);
SELECT oms.place_order('{"external_ref":"o1","lines":[{"sku":"A","quantity":3,"location":"north"}]}') ->> 'fulfillment_status';
SELECT fulfillment_id AS f FROM oms.fulfillments \gset
SELECT oms.release_fulfillment(:f); SELECT oms.ship_fulfillment(:f) IS NOT NULL;
SELECT oms.receive_stock('north', 'D', 6), oms.adjust_stock('south', 'A', -7, 'sold by hand');
SET oms.clock = '2026-03-02 12:00:00+00';
SELECT oms.load_stock('[{"location":"north","sku":"A","quantity":20},{"location":"south","sku":"A","quantity":3}]', 'full', '2026-03-02 10:00:00+00');
SELECT * FROM on_hand ORDER BY 1, 2;

-- The correction of that snapshot was of ten: one of half past ten does not add it again.
SELECT oms.load_stock('[{"location":"north","sku":"A","quantity":21}]', 'count', '2026-03-02 10:30:00+00');
SELECT * FROM on_hand WHERE code = 'north' AND sku = 'A';

-- An older figure never undoes a newer one, be it a count, a snapshot, or a snapshot that changed nothing.
SELECT oms.load_stock('[{"location":"north","sku":"A","quantity":1},{"location":"north","sku":"B","quantity":2}]', 'count', '2026-03-02 10:10:00+00');
SELECT oms.load_stock('[{"location":"north","sku":"A","quantity":1}]', 'full', '2026-03-02 09:00:00+00');
SET oms.clock = '2026-03-02 13:00:00+00';
SELECT oms.count_stock('north', 'B', 2) -> 'difference';
SET oms.clock = '2026-03-02 14:00:00+00';
SELECT oms.load_stock('[{"location":"north","sku":"B","quantity":50}]', 'count', '2026-03-02 12:30:00+00');
SELECT * FROM on_hand ORDER BY 1, 2;
SELECT * FROM oms.audit();

-- Below what is promised: held carts first, then the newest promises, and the answer names them.
SELECT oms.place_order('{"external_ref":"o2","lines":[{"sku":"D","quantity":2,"location":"north"},{"sku":"A","quantity":30,"location":"north"}]}') ->> 'fulfillment_status';
SELECT oms.place_order('{"external_ref":"o3","lines":[{"sku":"A","quantity":30,"location":"north"}]}') ->> 'fulfillment_status';
SELECT oms.reserve('[{"sku":"A","quantity":5,"location":"north"}]') IS NOT NULL;
SELECT oms.load_stock('[{"location":"north","sku":"A","quantity":-80},{"location":"north","sku":"D","quantity":-5}]', 'delta') #- '{shortages,0,withdrawn}' #- '{shortages,1,withdrawn}';
SELECT o.external_ref, l.line_no, l.ordered, l.allocated, l.backordered, o.fulfillment_status FROM oms.order_lines l JOIN oms.orders o USING (order_id) ORDER BY 1, 2;
SELECT * FROM on_hand ORDER BY 1, 2;
SELECT * FROM oms.audit();
SELECT oms.load_stock('[{"location":"north","sku":"B","quantity":0}]') -> 'shortages' @> pg_catalog.jsonb_build_array(pg_catalog.jsonb_build_object('sku', 'A', 'short', 38));
SELECT oms.load_stock('[{"location":"north","sku":"B","quantity":0}]') -> 'shortages';
SELECT * FROM on_hand ORDER BY 1, 2;
SELECT * FROM oms.audit();

-- Faults are listed together, and nothing changes.
SELECT oms.load_stock('[{"location":"north","sku":"X","quantity":1},{"location":"mars","sku":"A","quantity":-1},{"location":"north","sku":"FILE","quantity":1},{"location":"north","sku":"A","quantity":1.5},{"sku":"A"}]');
SELECT oms.load_stock('[{"location":"north","sku":"X","quantity":1},{"location":"mars","sku":"A","quantity":-1},{"location":"north","sku":"FILE","quantity":1}]');
SELECT oms.load_stock('[{"location":"north","sku":"A","quantity":1},{"location":"south","sku":"A","quantity":1},{"location":"north","sku":"A","quantity":1}]');
SELECT oms.load_stock('[{"location":"south","sku":"A","quantity":-1000},{"location":"south","sku":"D","quantity":1000000000}]', 'delta');
SELECT oms.load_stock('[{"location":"south","sku":"D","quantity":-1000}]', 'delta');
SELECT oms.load_stock('[]');
SELECT oms.load_stock(NULL);
SELECT oms.load_stock('{}');
SELECT oms.load_stock('[{"location":"south","sku":"D","quantity":1}]', 'half');
SELECT oms.load_stock('[{"location":"south","sku":"D","quantity":1}]', 'full', '2026-03-02 14:00:01+00');
SELECT oms.load_stock('[{"location":"south","sku":"D","quantity":1}]', 'full', '-infinity');
SELECT oms.load_stock('[{"location":"south","sku":"D","quantity":1}]', 'count', reference => repeat('r', 201));
SELECT oms.load_stock('[{"location":"south","sku":"D","quantity":1}]', 'delta', '2026-03-02 13:00:01+00');
SELECT oms.load_stock('[{"location":"south","sku":"D","quantity":1}]', 'delta', idempotency_key => 'k') = oms.load_stock('[{"location":"south","sku":"D","quantity":1}]', 'delta', idempotency_key => 'k');
SELECT oms.load_stock('[{"location":"south","sku":"D","quantity":2}]', 'delta', idempotency_key => 'k');

-- 100,000 rows in a call, and no more; a hundred faults are shown.
SELECT oms.upsert_items((SELECT jsonb_agg(jsonb_build_object('sku', 'S' || n)) FROM generate_series(1, 100000) n));
SELECT oms.load_stock((SELECT jsonb_agg(jsonb_build_object('location', 'south', 'sku', 'S' || n, 'quantity', n % 7)) FROM generate_series(1, 100000) n));
SELECT oms.load_stock((SELECT jsonb_agg(jsonb_build_object('location', 'south', 'sku', 'S' || n, 'quantity', 1)) FROM generate_series(1, 100001) n));
\set VERBOSITY sqlstate
SELECT oms.load_stock((SELECT jsonb_agg(jsonb_build_object('location', 'south', 'sku', 'T' || n, 'quantity', 1)) FROM generate_series(1, 101) n));
SELECT count(*), sum(on_hand) FROM on_hand WHERE code = 'south' AND on_hand > 0;
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_stock_load;
