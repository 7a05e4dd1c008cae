-- scope.sql: what is outside a role's scope does not exist for it.
\pset pager off
CREATE DATABASE oms_scope;
\c oms_scope
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
SELECT oms.upsert_channels('[{"code":"web"},{"code":"shop"}]'), oms.upsert_locations('[{"code":"north","rank":1},{"code":"south","rank":2}]'),
       oms.upsert_items('[{"sku":"A","price":1}]');
SELECT oms.receive_stock('north', 'A', 10), oms.receive_stock('south', 'A', 10);
SELECT oms.place_order('{"channel":"shop","external_ref":"1","lines":[{"sku":"A","quantity":1}]}')->>'status';
SELECT oms.add_payment(1, '{"method":"card","amount":1}');
SELECT oms.init_tenant(2);
CREATE ROLE scope_web LOGIN IN ROLE oms_app, oms_warehouse;
CREATE ROLE scope_north LOGIN IN ROLE oms_app, oms_warehouse;
CREATE ROLE scope_two LOGIN IN ROLE oms_app, oms_warehouse;
CREATE ROLE scope_nobody LOGIN;
INSERT INTO oms.role_scopes (tenant_id, role_name, channel_id) SELECT 1, 'scope_web', channel_id FROM oms.channels WHERE code = 'web';
INSERT INTO oms.role_scopes (tenant_id, role_name, location_id) SELECT 1, 'scope_north', location_id FROM oms.locations WHERE code = 'north';
INSERT INTO oms.role_scopes (tenant_id, role_name) VALUES (2, 'scope_two');

CREATE FUNCTION attempt(call text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    answer text;
BEGIN
    EXECUTE call INTO answer;
    RETURN 'done: ' || coalesce(answer, 'null');
EXCEPTION WHEN OTHERS THEN
    RETURN SQLSTATE || ' ' || SQLERRM;
END $$;
CREATE VIEW calls AS SELECT * FROM (VALUES
    (1, $$SELECT oms.get_order(1)->>'status'$$), (2, $$SELECT oms.find_order('shop', '1')$$),
    (3, $$SELECT oms.cancel_order(1, '[{"line_no":1,"quantity":2}]')$$), (4, $$SELECT oms.release_fulfillment(1)->>'status'$$),
    (5, $$SELECT count(*) FROM oms.order_timeline(1)$$), (6, $$SELECT oms.order_balance(1)->>'total'$$),
    (7, $$SELECT oms.add_payment(1, '{"method":"card"}')$$),
    (8, $$SELECT oms.preview_order('{"channel":"shop","external_ref":"2","lines":[{"sku":"A","quantity":1}]}')->'fulfillments'->0->>'location'$$),
    (9, $$SELECT oms.preview_order('{"channel":"web","external_ref":"2","lines":[{"sku":"A","quantity":1,"location":"south"}]}')->'fulfillments'->0->>'location'$$),
    (10, $$SELECT oms.receive_stock('south', 'A', 1)$$), (11, $$SELECT oms.receive_stock('north', 'A', 1)$$),
    (12, $$SELECT string_agg(location, ' ' ORDER BY location) FROM oms.available('A')$$),
    (13, $$SELECT oms.record_payment_event(1, 'capture', 1, 'r')$$)) c(n, call);
GRANT SELECT ON calls TO PUBLIC;
\pset tuples_only on
\pset format unaligned
SET SESSION AUTHORIZATION scope_web;
BEGIN;
SELECT n, attempt(call) FROM calls ORDER BY n;
ROLLBACK;
SET SESSION AUTHORIZATION scope_north;
BEGIN;
SELECT n, attempt(call) FROM calls ORDER BY n;
ROLLBACK;
SET SESSION AUTHORIZATION scope_two;
BEGIN;
SELECT n, attempt(call) FROM calls ORDER BY n;
SET LOCAL oms.tenant = 2;
SELECT n, attempt(call) FROM calls ORDER BY n;
ROLLBACK;
SET SESSION AUTHORIZATION scope_nobody;
SELECT n, attempt(call) FROM calls ORDER BY n;
RESET SESSION AUTHORIZATION;
\c postgres
DROP DATABASE oms_scope;
DROP ROLE scope_web, scope_north, scope_two, scope_nobody;
