-- simulation.sql: past routing decisions made again by another policy.

CREATE FUNCTION oms.simulate_routing(policy text, "from" timestamptz, "to" timestamptz)
    RETURNS TABLE (plan text, orders bigint, refused bigint, backordered bigint, changed bigint, packages bigint,
                   fulfillments bigint, split bigint, split_rate numeric, cost numeric, shipping numeric, handling numeric,
                   kilometres numeric, late bigint, days_late bigint, proven bigint, unpriced bigint, unplaced bigint, from_configuration bigint)
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 2 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_simulate_routing';
COMMENT ON FUNCTION oms.simulate_routing(text, timestamptz, timestamptz) IS 'makes every routing decision of a period again by a policy (code or code/version, drafts too), against the stock of that time, writing nothing; one row for what was done, one for the policy';

CREATE FUNCTION oms.simulate_routing_orders(policy text, "from" timestamptz, "to" timestamptz)
    RETURNS TABLE (order_id bigint, at timestamptz, changed boolean, recorded_plan text, plan text, refusal text,
                   recorded_cost numeric, cost numeric, recorded_packages bigint, packages bigint,
                   recorded_kilometres numeric, kilometres numeric, recorded_days_late integer, days_late integer,
                   from_configuration text)
    LANGUAGE c STABLE PARALLEL UNSAFE ROWS 1000 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_simulate_routing_orders';
COMMENT ON FUNCTION oms.simulate_routing_orders(text, timestamptz, timestamptz) IS 'simulate_routing order by order';
