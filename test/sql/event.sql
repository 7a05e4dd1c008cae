-- Events reach the partition of their moment, however the table is changed between two calls.
\pset pager off
CREATE DATABASE oms_event;
\c oms_event
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
SET oms.clock = '2041-01-31 23:59:00+00';
SELECT oms.create_partitions('2041-01-15', 1) > 0 AS partitions_made;
SELECT oms.receive_stock('default', sku, 100) FROM jsonb_array_elements_text('["EVENT-A"]') sku,
       LATERAL (SELECT oms.upsert_items(jsonb_build_array(jsonb_build_object('sku', sku)))) made;
CREATE FUNCTION place(ref text) RETURNS text LANGUAGE sql AS
    $$SELECT oms.place_order(jsonb_build_object('external_ref', ref, 'lines', '[{"sku":"EVENT-A","quantity":1}]'::jsonb)) ->> 'status'$$;
CREATE VIEW placed AS
    SELECT o.external_ref, e.tableoid::regclass AS partition, e.type FROM oms.events e JOIN oms.orders o USING (order_id)
    ORDER BY event_id;

SELECT place('event-1'), place('event-2');
SET oms.clock = '2041-02-01 00:00:00+00';
SELECT place('event-3'), place('event-4');
SET oms.clock = '2042-05-01 00:00:00+00';
SELECT place('event-5');
SET oms.clock = '2041-01-31 23:59:30+00';
SELECT place('event-6');
SELECT * FROM placed;

-- A partition that leaves takes no more events.
ALTER TABLE oms.events DETACH PARTITION oms.events_204101;
SELECT place('event-7');
SELECT * FROM placed WHERE external_ref >= 'event-6';
INSERT INTO oms.events SELECT * FROM oms.events_204101;
DROP TABLE oms.events_204101;

-- A partition that comes does.
SET oms.clock = '2042-06-01 00:00:00+00';
SELECT place('event-8');
SET oms.clock = '2042-07-01 00:00:00+00';
SELECT oms.create_partitions('2042-07-15', 0) > 0 AS partitions_made;
SELECT place('event-9');
SELECT * FROM placed WHERE external_ref >= 'event-8';

-- Constraints, defaults and triggers of the user hold, at the table and at a partition.
ALTER TABLE oms.events ADD COLUMN region text DEFAULT 'north', ADD CONSTRAINT not_fifteen CHECK (data ->> 'external_ref' <> 'event-15');
CREATE FUNCTION mark() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.reason := 'marked'; RETURN NEW; END$$;
CREATE TABLE seen (n bigint);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN INSERT INTO public.seen SELECT count(*) FROM fresh; RETURN NULL; END$$;
SELECT place('event-10');
CREATE TRIGGER mark BEFORE INSERT ON oms.events FOR EACH ROW EXECUTE FUNCTION mark();
SELECT place('event-11');
CREATE TRIGGER note AFTER INSERT ON oms.events REFERENCING NEW TABLE AS fresh FOR EACH STATEMENT EXECUTE FUNCTION note();
SELECT place('event-12');
DROP TRIGGER note ON oms.events;
ALTER TABLE oms.events_204207 ADD CONSTRAINT not_fourteen CHECK (data ->> 'external_ref' <> 'event-14');
SELECT place('event-13');
\set VERBOSITY sqlstate
SELECT place('event-14');
SELECT place('event-15');
\set VERBOSITY default
SELECT o.external_ref, e.region, e.reason FROM oms.events e JOIN oms.orders o USING (order_id)
WHERE o.external_ref BETWEEN 'event-10' AND 'event-19' ORDER BY event_id;
SELECT * FROM public.seen;
SELECT * FROM oms.audit();
