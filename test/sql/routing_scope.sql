-- routing_scope.sql: policies for channels, services, classes of customers and groups of items.
\pset pager off
CREATE DATABASE oms_routing_scope;
\c oms_routing_scope
SET client_min_messages = warning;
CREATE EXTENSION oms;
CALL oms.init();
RESET client_min_messages;
\pset format unaligned
\pset tuples_only on
SELECT oms.upsert_items('[{"sku":"SOFA","item_group":"bulky"},{"sku":"BED","item_group":"bulky"},{"sku":"CUP","item_group":"small"},{"sku":"PLAIN"},
  {"sku":"SUITE","kind":"kit","price":9,"components":[{"sku":"SOFA","quantity":1},{"sku":"BED","quantity":1}]}]'),
  oms.upsert_channels('[{"code":"web"},{"code":"shop"}]'), oms.upsert_locations('[{"code":"one","rank":1,"cost_per_order":1},{"code":"two","rank":2,"cost_per_order":2}]');
SELECT count(oms.receive_stock(l, s, 100)) FROM unnest('{one,two}'::text[]) l, unnest('{SOFA,BED,CUP,PLAIN}'::text[]) s;
SELECT oms.upsert_carriers('[{"code":"c","services":[{"code":"fast","currency":"EUR"},{"code":"slow","currency":"EUR"}]}]'),
  oms.load_shipping_zones('c', '[{"zone":"1","distance_from":0,"distance_to":20000}]', 'replace');
SELECT oms.activate_routing_policy(p, oms.save_routing_policy(p, '{"objective":"cost","shipping_weight":0}'), c, s, k, g)
FROM (VALUES ('any', NULL, NULL, NULL, NULL), ('web', 'web', NULL, NULL, NULL), ('fast', NULL, 'fast', NULL, NULL), ('vip', NULL, NULL, 'vip', NULL),
  ('bulky', NULL, NULL, NULL, 'bulky'), ('web fast', 'web', 'fast', NULL, NULL), ('web vip', 'web', NULL, 'vip', NULL), ('vip bulky', NULL, NULL, 'vip', 'bulky'),
  ('all', 'web', 'fast', 'vip', 'bulky')) x(p, c, s, k, g);
CREATE SEQUENCE ref;
CREATE FUNCTION policy_of(channel text, service text, class text, VARIADIC skus text[]) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  placed bigint := oms.place_order(jsonb_strip_nulls(jsonb_build_object('channel', channel, 'external_ref', nextval('ref')::text, 'service', service,
    'customer', jsonb_build_object('class', class), 'ship_to', '{"latitude":1,"longitude":1}'::jsonb,
    'lines', (SELECT jsonb_agg(jsonb_build_object('sku', s, 'quantity', 1, 'unit_price', 1)) FROM unnest(skus) s)))) ->> 'order_id';
BEGIN
  RETURN (SELECT p.code FROM oms.routing_decisions JOIN oms.routing_policies p USING (policy_id) WHERE order_id = placed);
EXCEPTION WHEN SQLSTATE 'OM008' THEN RETURN SQLERRM;
END $$;
UPDATE oms.locations SET latitude = rank, longitude = rank WHERE code <> 'default';
SELECT oms.load_shipping_rates(s, '[{"zone":"1","to_grams":100000,"amount":1}]') FROM unnest('{fast,slow}'::text[]) s;
-- The one that says most; among equals the channel, then the service, then the class.
SELECT policy_of('shop', NULL, NULL, 'PLAIN'), policy_of('web', NULL, NULL, 'PLAIN'), policy_of('shop', 'fast', NULL, 'CUP'), policy_of('web', 'fast', NULL, 'CUP');
SELECT policy_of('web', 'slow', NULL, 'CUP'), policy_of('shop', 'slow', 'vip', 'CUP'), policy_of('shop', 'slow', 'other', 'CUP'), policy_of('web', 'slow', 'vip', 'CUP');
SELECT policy_of('shop', NULL, NULL, 'SOFA', 'BED'), policy_of('shop', NULL, NULL, 'SOFA', 'CUP'), policy_of('shop', NULL, NULL, 'SOFA', 'PLAIN'), policy_of('shop', NULL, NULL, 'SUITE');
SELECT policy_of('web', NULL, NULL, 'SOFA'), policy_of('shop', 'fast', NULL, 'SOFA'), policy_of('shop', NULL, 'vip', 'SOFA'), policy_of('web', NULL, 'vip', 'SOFA'), policy_of('web', 'fast', 'vip', 'SOFA');
-- Activated for the same again, it archives exactly that one; nearest turns policies off for what it is for.
SELECT oms.activate_routing_policy('none', oms.save_routing_policy('none', '{"objective":"nearest"}'), item_group => 'bulky');
SELECT code, status FROM oms.routing_policies WHERE status = 'archived';
SELECT policy_of('shop', NULL, NULL, 'SOFA') IS NULL, policy_of('shop', NULL, 'vip', 'SOFA'), policy_of('shop', NULL, NULL, 'CUP');
SELECT oms.activate_routing_policy('any', oms.save_routing_policy('any', '{"objective":"cost"}'), service => '');
SELECT oms.activate_routing_policy('any', 2, 'nowhere');
INSERT INTO oms.routing_policy_versions (created_at, active_from, version, code, owner, definition, customer_class) SELECT now(), now(), 9, 'second', owner, definition, 'vip' FROM oms.routing_policies WHERE code = 'vip';
SELECT * FROM oms.audit();
\c postgres
DROP DATABASE oms_routing_scope;
