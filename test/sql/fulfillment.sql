-- Fulfillments: every step, whole and in part.
SET client_min_messages = warning;
\set VERBOSITY default
SELECT oms.upsert_items('[{"sku":"BOX"},{"sku":"TAPE"},{"sku":"KEY","kind":"digital"}]');
SELECT oms.upsert_locations('[{"code":"hub","pickup":true}]');
SELECT oms.receive_stock('hub', 'BOX', 50), oms.receive_stock('hub', 'TAPE', 50);
SELECT oms.place_order('{"external_ref":"f1","lines":[{"sku":"BOX","quantity":5},{"sku":"TAPE","quantity":2}]}') #>> '{fulfillments,0,fulfillment_id}' AS f \gset
SELECT oms.ship_fulfillment(:f);
SELECT oms.release_fulfillment(:f) ->> 'status' AS status;
SELECT oms.release_fulfillment(:f);
SELECT oms.accept_fulfillment(:f) ->> 'fulfillment_status' AS status;
SELECT oms.pick_fulfillment(:f, '[{"line_no":1,"quantity":3}]') #> '{fulfillments,0,lines}' AS lines;
SELECT oms.pick_fulfillment(:f, '[{"line_no":1,"quantity":3}]');
SELECT oms.pick_fulfillment(:f) #> '{fulfillments,0,lines}' AS lines;
SELECT oms.pack_fulfillment(:f, '[{"weight_grams":-1,"label":"x"}]');
SELECT oms.pack_fulfillment(:f, '[{"weight_grams":1200,"tracking_number":"T1"},{"weight_grams":300}]') #>> '{fulfillments,0,status}' AS status;
SELECT weight_grams, tracking_number FROM oms.packages ORDER BY package_id;
SELECT oms.ship_fulfillment(:f, '{"lines":[{"line_no":3}]}');
SELECT oms.ship_fulfillment(:f, '{"lines":[{"line_no":1,"quantity":6}]}');
-- What does not ship goes on in a fulfillment of its own.
SELECT o ->> 'fulfillment_status' AS status, jsonb_array_length(o -> 'fulfillments') AS fulfillments
FROM oms.ship_fulfillment(:f, '{"carrier":"DHL","tracking_number":"T1","lines":[{"line_no":1,"quantity":4}]}') o;
SELECT status, carrier FROM oms.fulfillments WHERE order_id = oms.find_order('default', 'f1') ORDER BY fulfillment_id;
SELECT line_no, ordered, allocated, released, shipped, delivered FROM oms.order_lines WHERE order_id = oms.find_order('default', 'f1') ORDER BY 1;
SELECT * FROM oms.audit();
SELECT oms.deliver_fulfillment(:f, '2026-01-02 10:00+00') ->> 'fulfillment_status' AS status;
SELECT max(fulfillment_id) AS rest FROM oms.fulfillments \gset
SELECT oms.ship_fulfillment(:rest) ->> 'fulfillment_status' AS status;
SELECT o ->> 'status' AS status, o ->> 'fulfillment_status' AS fulfillment_status FROM oms.deliver_fulfillment(:rest) o;
SELECT oms.cancel_fulfillment(:rest);
SELECT * FROM oms.available('BOX');

-- Pickup, digital items, cancelling one fulfillment.
SELECT oms.place_order('{"external_ref":"f2","method":"pickup","pickup_location":"hub","lines":[{"sku":"BOX","quantity":1}]}') #>> '{fulfillments,0,fulfillment_id}' AS f \gset
SELECT oms.pick_up_fulfillment(:f);
SELECT oms.release_fulfillment(:f) IS NOT NULL, oms.pick_fulfillment(:f) IS NOT NULL, oms.ready_for_pickup(:f) IS NOT NULL;
SELECT oms.pick_up_fulfillment(:f) ->> 'status' AS status;
SELECT oms.place_order('{"external_ref":"f3","lines":[{"sku":"KEY","quantity":2}]}') #>> '{fulfillments,0,fulfillment_id}' AS f \gset
SELECT oms.deliver_fulfillment(:f) ->> 'status' AS status;
SELECT oms.place_order('{"external_ref":"f4","lines":[{"sku":"BOX","quantity":2}]}') #>> '{fulfillments,0,fulfillment_id}' AS f \gset
SELECT oms.cancel_fulfillment(:f, 'broken shelf') ->> 'status' AS status;
SELECT object_type, action, from_state, to_state, reason FROM oms.order_timeline(oms.find_order('default', 'f4'));
SELECT * FROM oms.available('BOX');
SELECT * FROM oms.audit();

-- Every action in every state does what the machine says.
CREATE FUNCTION refuses(state text, call text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE call;
    RAISE EXCEPTION 'undo' USING ERRCODE = 'P0001';
EXCEPTION
    WHEN SQLSTATE 'OM002' THEN RETURN true;
    WHEN SQLSTATE 'P0001' THEN RETURN false;
END $$;
SELECT oms.place_order('{"external_ref":"f5","lines":[{"sku":"BOX","quantity":2}]}') #>> '{fulfillments,0,fulfillment_id}' AS f \gset
ALTER TABLE oms.fulfillments DISABLE TRIGGER guard_transition;
CREATE TABLE outcome (state text, action text, refused boolean);
SELECT set_config('test.f', :'f', false);
DO $$
DECLARE s text; a record; f bigint := current_setting('test.f');
BEGIN
    FOR s IN SELECT state FROM oms.state_machines WHERE machine = 'fulfillment' AND tenant_id = 1 LOOP
        UPDATE oms.fulfillments SET status = s WHERE fulfillment_id = f;
        UPDATE oms.order_lines SET released = CASE WHEN s = 'planned' THEN 0 ELSE 2 END WHERE order_id = oms.find_order('default', 'f5');
        FOR a IN SELECT * FROM (VALUES ('release', 'release_fulfillment'), ('accept', 'accept_fulfillment'), ('pick', 'pick_fulfillment'),
                 ('pack', 'pack_fulfillment'), ('ready', 'ready_for_pickup'), ('ship', 'ship_fulfillment'), ('pick_up', 'pick_up_fulfillment'),
                 ('deliver', 'deliver_fulfillment'), ('cancel', 'cancel_fulfillment')) v(action, function) LOOP
            INSERT INTO outcome VALUES (s, a.action, refuses(s, format('SELECT oms.%I(%s)', a.function, f)));
        END LOOP;
    END LOOP;
    UPDATE oms.fulfillments SET status = 'planned' WHERE fulfillment_id = f;
    UPDATE oms.order_lines SET released = 0 WHERE order_id = oms.find_order('default', 'f5');
END $$;
ALTER TABLE oms.fulfillments ENABLE TRIGGER guard_transition;
SELECT count(*) AS tried FROM outcome;
SELECT o.* FROM outcome o
WHERE o.refused IS NOT DISTINCT FROM EXISTS (SELECT FROM oms.transitions t WHERE t.machine = 'fulfillment' AND t.tenant_id = 1
      AND t.from_state = o.state AND t.action = o.action) ORDER BY 1, 2;
SELECT * FROM oms.audit();
