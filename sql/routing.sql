-- routing.sql: routing policies, decisions and their explanation.

CREATE FUNCTION oms.save_routing_policy(code text, definition jsonb, idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_save_routing_policy';
COMMENT ON FUNCTION oms.save_routing_policy(text, jsonb, text) IS 'saves a draft of a routing policy as a new version and returns the version; what is saved never changes';

CREATE FUNCTION oms.activate_routing_policy(code text, version integer, channel text DEFAULT NULL, service text DEFAULT NULL,
                                            customer_class text DEFAULT NULL, item_group text DEFAULT NULL,
                                            idempotency_key text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_activate_routing_policy';
COMMENT ON FUNCTION oms.activate_routing_policy(text, integer, text, text, text, text, text) IS 'makes a draft the policy of a channel, service, customer class or item group, or of what has none; the one before is archived';

CREATE FUNCTION oms.explain_route(order_id bigint)
    RETURNS TABLE ("position" bigint, kind text, location text, term text, amount numeric, detail text)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 20 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_explain_route';
COMMENT ON FUNCTION oms.explain_route(bigint) IS 'why an order was routed as it was: policy, plan with its cost terms, candidates, exclusions, runner-up and the change that would have made it win';

CREATE FUNCTION oms.route_map(order_id bigint) RETURNS text
    LANGUAGE c STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_route_map';
COMMENT ON FUNCTION oms.route_map(bigint) IS 'a self-contained SVG: where the order goes, the locations that serve it and the others that exist';

CREATE FUNCTION oms.network_map("from" timestamptz DEFAULT NULL, "to" timestamptz DEFAULT NULL) RETURNS text
    LANGUAGE c STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_network_map';
COMMENT ON FUNCTION oms.network_map(timestamptz, timestamptz) IS 'a self-contained SVG: the locations, the flows of units from them to areas, and the zones these are in, of the latest orders of a period';

CREATE FUNCTION oms.route_replays(record bytea) RETURNS boolean
    LANGUAGE c STABLE STRICT PARALLEL SAFE
    AS 'MODULE_PATHNAME', 'oms_route_replays';
COMMENT ON FUNCTION oms.route_replays(bytea) IS 'whether solving a recorded routing problem again gives the recorded plan';

CREATE PROCEDURE oms.init_routing() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.routing_policies_policy_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.routing_policies (
        policy_id    bigint NOT NULL DEFAULT nextval('oms.routing_policies_policy_id_seq'),
        channel_id   bigint,
        created_at   timestamptz NOT NULL,
        activated_at timestamptz,
        tenant_id    int NOT NULL DEFAULT 1,
        version      int NOT NULL CHECK (version > 0),
        status       text NOT NULL CHECK (status IN ('draft', 'active', 'archived')),
        code         text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200),
        owner        text NOT NULL,
        definition   jsonb NOT NULL,
        service      text,
        customer_class text,
        item_group   text,
        PRIMARY KEY (policy_id, tenant_id),
        UNIQUE (tenant_id, code, version)
    );
    ALTER SEQUENCE oms.routing_policies_policy_id_seq OWNED BY oms.routing_policies.policy_id;
    CREATE UNIQUE INDEX routing_policies_active ON oms.routing_policies (tenant_id, channel_id, service, customer_class, item_group) NULLS NOT DISTINCT
        WHERE status = 'active';
    COMMENT ON TABLE oms.routing_policies IS 'how orders are routed; without an active policy the nearest location that has everything serves';
    COMMENT ON COLUMN oms.routing_policies.channel_id IS 'whose orders it is for, with service, customer_class and item_group; null: any';
    COMMENT ON COLUMN oms.routing_policies.owner IS 'who saved it: the role that the expressions of its rules run as';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.routing_policies
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    CREATE TABLE oms.routing_decisions (
        order_id  bigint NOT NULL,
        policy_id bigint NOT NULL,
        at        timestamptz NOT NULL,
        tenant_id int NOT NULL,
        decision_no int NOT NULL DEFAULT 1,
        cost      numeric NOT NULL,
        record    bytea NOT NULL,
        PRIMARY KEY (order_id, decision_no, tenant_id)
    );
    -- Rows come in order of time; this finds the first of a period and costs an insert next to nothing.
    CREATE INDEX routing_decisions_at ON oms.routing_decisions USING brin (at) WITH (autosummarize = on);
    COMMENT ON TABLE oms.routing_decisions IS 'one row per order that a policy had a choice for, and one per edit that planned anew; explain_route reads the record';
    COMMENT ON COLUMN oms.routing_decisions.decision_no IS 'counts the deliveries of the order, then what edits planned anew';
    COMMENT ON COLUMN oms.routing_decisions.record IS 'the whole problem and its plan: candidates, stock, tariffs, exclusions, cost, bound';
END $init$;
