-- stock_counter.sql: a counter divided into stripes gives the same answers as one row.
\pset pager off
CREATE DATABASE oms_stock_counter;
\c oms_stock_counter
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset tuples_only on
\pset format unaligned
SELECT oms.upsert_items('[{"sku":"HOT","price":1}]');
SELECT oms.receive_stock('default', 'HOT', 400000);
SELECT oms.set_stock_limits('default', 'HOT', 4000, 0);

-- What a session does that had to wait: four rows with a share each.
CREATE PROCEDURE divide(waited timestamptz DEFAULT now()) LANGUAGE sql AS $$
    INSERT INTO oms.stock_counters (item_id, location_id, on_hand, reserved, safety, backorder_limit, stripe, stripes, waited_at)
        SELECT item_id, location_id, on_hand / 4, reserved / 4, safety / 4, backorder_limit / 4, n, 0, waited
        FROM oms.stock_counters, generate_series(1, 3) n;
    UPDATE oms.stock_counters SET on_hand = on_hand - 3 * (on_hand / 4), reserved = reserved - 3 * (reserved / 4),
           safety = safety - 3 * (safety / 4), backorder_limit = backorder_limit - 3 * (backorder_limit / 4),
           stripes = 4, waited_at = waited WHERE stripe = 0;
$$;
CREATE FUNCTION place(reference text, quantity int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN oms.place_order(jsonb_build_object('external_ref', reference, 'lines',
        jsonb_build_array(jsonb_build_object('sku', 'HOT', 'quantity', quantity)))) ->> 'status';
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE VIEW counter AS SELECT format('%s rows: on hand %s, reserved %s, safety %s, %s faults', count(*),
    sum(on_hand), sum(reserved), sum(safety), (SELECT count(*) FROM oms.audit())) FROM oms.stock_counters;

CALL divide();
SELECT * FROM oms.stock;
SELECT on_hand, reserved, safety, available FROM oms.available('HOT');
-- One stripe covers it: one row is written.
SELECT place('one stripe', 900);
SELECT count(*) FILTER (WHERE reserved > 0) AS "stripes with promises" FROM oms.stock_counters;
SELECT * FROM counter;
-- No stripe covers it, all together do: stripes are of no use for such sales, so they become one row.
SELECT place('several stripes', 150000);
SELECT * FROM counter;
CALL divide();
-- One more than there is to sell, then exactly that.
SELECT place('too many', 245101);
SELECT place('the rest', 245100);
SELECT * FROM counter;
SELECT place('nothing left', 1);
SELECT * FROM counter;

-- Whatever is given back, shipped, received, counted and limited in stripes adds up.
CALL divide();
SELECT oms.cancel_order(oms.find_order('default', 'several stripes')) ->> 'status';
SELECT * FROM counter;
SELECT oms.release_fulfillment(fulfillment_id) ->> 'status' FROM oms.fulfillments WHERE order_id = oms.find_order('default', 'the rest');
SELECT oms.ship_fulfillment(fulfillment_id) ->> 'status' FROM oms.fulfillments WHERE order_id = oms.find_order('default', 'the rest');
SELECT * FROM counter;
SELECT oms.receive_stock('default', 'HOT', 10003);
SELECT * FROM counter;
SELECT oms.adjust_stock('default', 'HOT', -7, 'broken');
SELECT oms.set_stock_limits('default', 'HOT', 1303, 10);
SELECT oms.reserve('[{"sku":"HOT","quantity":70000}]', reference => 'cart') ->> 'complete';
SELECT oms.reserve('[{"sku":"HOT","quantity":900}]', reference => 'cart') ->> 'complete';
SELECT * FROM counter;
SELECT oms.count_stock('default', 'HOT', 150001) - 'withdrawn';
SELECT * FROM counter;

-- Stripes that nobody met at for a minute become one row with the next sale.
CALL divide();
SELECT place('warm', 1);
SELECT count(*) FROM oms.stock_counters;
UPDATE oms.stock_counters SET waited_at = now() - interval '61 seconds';
SELECT place('cold', 1);
SELECT * FROM counter;

-- Every isolation level finds its stripe.
CALL divide();
SELECT * FROM counter;
BEGIN ISOLATION LEVEL SERIALIZABLE; SELECT place('serializable', 100); COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT place('repeatable read', 100); COMMIT;
SELECT * FROM counter;

-- A table with a statement trigger is written by statements, all stripes at once.
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
CREATE TRIGGER note AFTER UPDATE ON oms.stock_counters FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT place('by statement', 10);
SELECT oms.receive_stock('default', 'HOT', 3);
SELECT * FROM counter;
DROP TRIGGER note ON oms.stock_counters;

-- Each stripe holds the constraint; a stripe that is lost or one too many is found.
\set VERBOSITY terse
UPDATE oms.stock_counters SET reserved = on_hand + backorder_limit + 1 WHERE stripe = 2;
BEGIN;
INSERT INTO oms.stock_counters (item_id, location_id, stripe, stripes) SELECT item_id, location_id, 9, 0 FROM oms.stock_counters WHERE stripe = 0;
SELECT * FROM oms.audit();
ROLLBACK;
BEGIN;
UPDATE oms.stock_counters s SET on_hand = s.on_hand + t.on_hand, reserved = s.reserved + t.reserved
FROM oms.stock_counters t WHERE s.stripe = 2 AND t.stripe = 3;
DELETE FROM oms.stock_counters WHERE stripe = 3;
SELECT * FROM oms.audit();
ROLLBACK;
