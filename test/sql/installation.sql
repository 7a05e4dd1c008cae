-- Installation: what works before and after oms.init(), versions, tenants, roles.
SET client_min_messages = warning;
\set VERBOSITY default
SELECT oms.find_order('default', 'x');
CALL oms.migrate();
CALL oms.init();
SET client_min_messages = notice;
CALL oms.init();
CALL oms.migrate();
SELECT oms.version();

-- Tables and code of different versions.
BEGIN;
UPDATE oms.installation SET version = '0.9';
SELECT oms.find_order('default', 'x');
ROLLBACK;
BEGIN;
UPDATE oms.installation SET version = '0.9';
CALL oms.migrate();
ROLLBACK;
SELECT oms.find_order('default', 'x') IS NULL AS works_again;

-- Tables, views and sequences belong to the user, not to the extension.
SELECT count(*) AS relations_of_the_extension
FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'oms'
WHERE d.classid = 'pg_class'::regclass AND d.deptype = 'e';

-- Every relation and every function says what it is for.
SELECT relname FROM pg_class
WHERE relnamespace = 'oms'::regnamespace AND relkind IN ('r', 'p', 'v') AND NOT relispartition
  AND obj_description(oid, 'pg_class') IS NULL ORDER BY 1;
SELECT p.proname FROM pg_proc p JOIN pg_depend d ON d.classid = 'pg_proc'::regclass AND d.objid = p.oid AND d.deptype = 'e'
    JOIN pg_extension e ON e.oid = d.refobjid AND e.extname = 'oms'
WHERE obj_description(p.oid, 'pg_proc') IS NULL AND p.proname !~ '^init_' ORDER BY 1;

-- Nothing is executable by PUBLIC; these are the grants.
SELECT p.proname FROM pg_proc p
WHERE p.pronamespace = 'oms'::regnamespace
  AND EXISTS (SELECT FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a WHERE a.grantee = 0)
ORDER BY 1;
SELECT p.proname AS function, string_agg(DISTINCT r.rolname::text, ' ' ORDER BY r.rolname::text) AS roles
FROM pg_proc p, aclexplode(p.proacl) a JOIN pg_roles r ON r.oid = a.grantee
WHERE p.pronamespace = 'oms'::regnamespace AND r.rolname IN ('oms_app', 'oms_warehouse', 'oms_analyst')
GROUP BY p.proname ORDER BY p.proname;

-- Two tenants with equal references never meet.
SELECT oms.init_tenant(2);
SELECT oms.upsert_items('[{"sku":"TEE"}]');
SELECT oms.receive_stock('default', 'TEE', 5);
SELECT oms.place_order('{"external_ref":"same","lines":[{"sku":"TEE","quantity":1}]}') ->> 'status' AS tenant_1;
SET oms.tenant = 2;
SELECT oms.find_order('default', 'same') IS NULL AS unseen;
SELECT oms.place_order('{"external_ref":"same","lines":[{"sku":"TEE","quantity":1}]}');
SELECT oms.upsert_items('[{"sku":"TEE"}]');
SELECT oms.receive_stock('default', 'TEE', 3);
SELECT oms.place_order('{"external_ref":"same","lines":[{"sku":"TEE","quantity":2}]}') ->> 'status' AS tenant_2;
SELECT on_hand, reserved FROM oms.available('TEE');
SELECT * FROM oms.audit();
RESET oms.tenant;
SELECT on_hand, reserved FROM oms.available('TEE');

-- A role acts for tenant 1 unless role_scopes says otherwise.
CREATE ROLE regress_oms_shop IN ROLE oms_app;
SET ROLE regress_oms_shop;
SELECT oms.find_order('default', 'same') IS NOT NULL AS found;
SELECT count(*) FROM oms.orders;
SELECT oms.receive_stock('default', 'TEE', 1);
SET oms.tenant = 2;
SELECT oms.find_order('default', 'same');
RESET ROLE;
INSERT INTO oms.role_scopes (tenant_id, role_name) VALUES (2, 'regress_oms_shop');
SET ROLE regress_oms_shop;
SELECT oms.find_order('default', 'same') IS NOT NULL AS found;
SET oms.tenant = 1;
SELECT oms.find_order('default', 'same');
RESET ROLE;
DELETE FROM oms.role_scopes;
INSERT INTO oms.role_scopes (tenant_id, role_name, channel_id, location_id)
    SELECT 1, 'regress_oms_shop', channel_id + 1000, NULL FROM oms.channels WHERE tenant_id = 1;
SET ROLE regress_oms_shop;
SELECT oms.find_order('default', 'same');
SELECT oms.get_order((SELECT 1));
RESET ROLE;
DELETE FROM oms.role_scopes;
DROP ROLE regress_oms_shop;

-- Any function for a named tenant, in one statement.
SELECT oms.call(2, 'find_order', '{"channel":"default","external_ref":"same"}') IS NOT NULL AS found;
SELECT oms.call(2, 'available', '{"sku":"TEE"}') AS available;
SELECT oms.call(1, 'place_order', '{"doc":{"external_ref":"called","lines":[{"sku":"TEE","quantity":1}]}}') ->> 'status' AS status;
SELECT oms.call(2, 'find_order', '{"channel":"default","external_ref":"called"}') AS unseen;
SELECT oms.call(1, 'find_order', '{"chanel":"default"}');
SELECT oms.call(1, 'pg_sleep', '{}');
SELECT oms.call(NULL, 'find_order');
SHOW oms.tenant;
