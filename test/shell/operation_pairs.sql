-- The world in which operation_pairs.pl lets two operations meet, and what it looks at afterwards.
SET client_min_messages = warning;
CALL oms.init();
SET oms.clock = '2026-03-02 12:00:00+00';

SELECT oms.upsert_channels('[{"code":"default","backorder":true}]');
SELECT oms.upsert_locations('[{"code":"north","rank":1},{"code":"south","rank":2}]');
SELECT oms.upsert_items('[{"sku":"A","price":1},{"sku":"B","price":1,"backorder":true}]');
SELECT oms.receive_stock('north', 'A', 14), oms.receive_stock('south', 'A', 2),
       oms.receive_stock('north', 'B', 4), oms.receive_stock('south', 'B', 1);
SELECT oms.set_stock_limits('north', 'B', backorder_limit => 6);
SELECT oms.set_channel_quota('default', 'A', cap => 40);

-- Four units sold, three of which are to come back.
SELECT oms.place_order('{"external_ref":"sold","lines":[{"sku":"A","quantity":4,"location":"north"}]}');
SELECT oms.release_fulfillment(fulfillment_id) FROM oms.fulfillments;
SELECT oms.ship_fulfillment(fulfillment_id) FROM oms.fulfillments;
SELECT oms.request_return(oms.find_order('default', 'sold'), '[{"line_no":1,"quantity":3}]');
-- Ready to ship.
SELECT oms.place_order('{"external_ref":"old","lines":[{"sku":"A","quantity":3,"location":"north"},{"sku":"B","quantity":1}]}');
SELECT oms.release_fulfillment(fulfillment_id) FROM oms.fulfillments WHERE status = 'planned';
-- Owed in part; a unit has come that nobody has given to it yet.
SELECT oms.place_order('{"external_ref":"back","lines":[{"sku":"B","quantity":7,"location":"north"}]}');
SELECT oms.receive_stock('north', 'B', 1);
-- A cart that has expired and one that has not.
SELECT oms.reserve('[{"sku":"A","quantity":1}]', '1 minute', reference => 'late');
SET oms.clock = '2026-03-02 13:00:00+00';
SELECT oms.reserve('[{"sku":"A","quantity":2}]', '1 hour', reference => 'cart');
SELECT oms.expect_supply('north', 'B', 5, '2026-03-09', 'po');
-- Units that are to go to the north, and others on their way.
SELECT oms.receive_stock('south', 'A', 2), oms.receive_stock('south', 'B', 3);
SELECT oms.request_transfer('south', 'north', 'A', 2, '2026-03-10', 'parked');
SELECT oms.ship_transfer(oms.request_transfer('south', 'north', 'B', 3, '2026-03-08', 'moving'));

-- Gives tenants 2 to the given one the world of tenant 1: each id is that of tenant 1, and a million more per tenant.
CREATE PROCEDURE public.copy_world(last_tenant int) LANGUAGE plpgsql AS $f$
DECLARE
    one      record;
    sequence regclass;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR one IN SELECT c.oid::regclass AS name, string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) AS columns,
                      string_agg(CASE WHEN a.attname = 'tenant_id' THEN 'n'
                                      WHEN a.atttypid = 'int8'::regtype AND a.attname LIKE '%\_id'
                                      THEN format('%I + bigint ''1000000'' * (n - 1)', a.attname)
                                      ELSE quote_ident(a.attname) END, ', ' ORDER BY a.attnum) AS expressions
               FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
               WHERE c.relnamespace = 'oms'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
               GROUP BY c.oid HAVING bool_or(a.attname = 'tenant_id') LOOP
        EXECUTE format('INSERT INTO %s (%s) OVERRIDING SYSTEM VALUE SELECT %s FROM %s, generate_series(2, $1) n WHERE tenant_id = 1',
                       one.name, one.columns, one.expressions, one.name) USING last_tenant;
    END LOOP;
    FOR sequence IN SELECT oid FROM pg_class WHERE relnamespace = 'oms'::regnamespace AND relkind = 'S' LOOP
        PERFORM setval(sequence, 1000000000000);
    END LOOP;
END
$f$;

-- Everything the operations may change, in words that do not depend on ids: one fact per line.
CREATE FUNCTION public.facts(tenant int) RETURNS text LANGUAGE sql AS $f$
WITH place AS (SELECT location_id, code FROM oms.locations WHERE tenant_id = tenant),
     item AS (SELECT item_id, sku FROM oms.items WHERE tenant_id = tenant),
     buyer AS (SELECT order_id, external_ref FROM oms.orders WHERE tenant_id = tenant)
SELECT string_agg(fact, E'\n' ORDER BY fact) FROM (
    SELECT format('stock %s %s: %s on hand, %s reserved, safety %s, limit %s', sku, code, on_hand, reserved, safety, backorder_limit)
    FROM oms.stock JOIN item USING (item_id) JOIN place USING (location_id) WHERE tenant_id = tenant
    UNION ALL
    SELECT format('state %s %s %s: %s', sku, code, state, quantity)
    FROM oms.stock_states JOIN item USING (item_id) JOIN place USING (location_id) WHERE tenant_id = tenant AND quantity <> 0
    UNION ALL
    SELECT format('transfer %s: %s', t.reference, to_jsonb(t) - '{tenant_id,transfer_id,item_id,from_location_id,to_location_id,supply_id,reference}'::text[])
    FROM oms.transfers t WHERE tenant_id = tenant
    UNION ALL
    SELECT format('order %s: %s %s', external_ref, status, (to_jsonb(o) - '{status,tenant_id,order_id,channel_id,customer_id,attributes,document_hash}'::text[])
                  - (SELECT array_agg(key) FROM jsonb_object_keys(to_jsonb(o)) key WHERE key ~ '_at$|_id$'))
    FROM oms.orders o WHERE tenant_id = tenant
    UNION ALL
    SELECT format('line %s %s: %s', b.external_ref, line_no, to_jsonb(l) - '{tenant_id,order_id,item_id,location_id,external_ref}'::text[])
    FROM oms.order_lines l JOIN buyer b USING (order_id) WHERE tenant_id = tenant
    UNION ALL
    SELECT format('promise %s line %s at %s, %s%s: %s', external_ref, line_no, code, status, CASE WHEN backordered THEN ', owed' END, units)
    FROM (SELECT buyer.external_ref, line_no, code, f.status, f.backordered, sum(a.promised - a.cancelled) AS units
          FROM oms.allocations a JOIN buyer USING (order_id) JOIN oms.fulfillments f ON f.fulfillment_id = a.fulfillment_id
          LEFT JOIN place ON place.location_id = a.location_id
          WHERE a.tenant_id = tenant GROUP BY 1, 2, 3, 4, 5) p WHERE units <> 0
    UNION ALL
    SELECT format('hold %s: %s until %s, %s', reference, status, expires_at,
                  (SELECT string_agg(format('%s %s at %s', quantity, sku, code), ', ' ORDER BY sku, code)
                   FROM oms.reservation_lines l JOIN item USING (item_id) JOIN place USING (location_id)
                   WHERE l.reservation_id = r.reservation_id AND quantity > 0))
    FROM oms.reservations r WHERE tenant_id = tenant
    UNION ALL
    SELECT format('supply %s: %s of %s received, %s cancelled, %s', reference, received, quantity, cancelled, status)
    FROM oms.supplies WHERE tenant_id = tenant
    UNION ALL
    SELECT format('quota %s %s: %s', sku, code, to_jsonb(q) - '{tenant_id,quota_id,channel_id,item_id,location_id,version}'::text[])
    FROM oms.channel_quotas q LEFT JOIN item USING (item_id) LEFT JOIN place USING (location_id) WHERE tenant_id = tenant
    UNION ALL
    SELECT format('return %s: %s, %s', b.external_ref, r.status, (SELECT string_agg(format('line %s %s of %s', line_no, received, requested), ', ' ORDER BY line_no)
                                                                FROM oms.return_lines l WHERE l.return_id = r.return_id))
    FROM oms.returns r JOIN buyer b USING (order_id) WHERE tenant_id = tenant
    UNION ALL
    SELECT format('moved %s %s at %s: %s, %s, %s %s', type, sku, code, sum(on_hand_delta), sum(reserved_delta), sum(state_delta), state)
    FROM oms.stock_movements JOIN item USING (item_id) JOIN place USING (location_id) WHERE tenant_id = tenant
    GROUP BY type, sku, code, state HAVING sum(on_hand_delta) <> 0 OR sum(reserved_delta) <> 0 OR sum(state_delta) <> 0
    UNION ALL
    SELECT format('events %s: %s', type, count(*)) FROM oms.events WHERE tenant_id = tenant GROUP BY type) f(fact)
$f$;

-- Makes one world of all, for one audit() over everything that happened: their ids are different already.
CREATE PROCEDURE public.join_worlds() LANGUAGE plpgsql AS $f$
DECLARE
    one record;
BEGIN
    SET LOCAL session_replication_role = replica;
    -- Codes are not.
    ALTER TABLE oms.channels DROP CONSTRAINT channels_code_tenant_id_key;
    ALTER TABLE oms.locations DROP CONSTRAINT locations_code_tenant_id_key;
    ALTER TABLE oms.items DROP CONSTRAINT items_sku_tenant_id_key;
    FOR one IN SELECT DISTINCT attrelid::regclass AS name FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
               WHERE relnamespace = 'oms'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition AND relname <> 'transitions'
                   AND attname LIKE '%\_id' AND atttypid = 'int8'::regtype LOOP
        EXECUTE format('UPDATE %s SET tenant_id = 1 WHERE tenant_id <> 1', one.name);
    END LOOP;
END
$f$;
