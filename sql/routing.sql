-- routing.sql: routing policies, decisions and their explanation.

CREATE FUNCTION oms.save_routing_policy(code text, definition jsonb, version integer DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_save_routing_policy';
COMMENT ON FUNCTION oms.save_routing_policy(text, jsonb, integer, text) IS 'saves a routing policy as a draft of a new version, or anew as the draft of a version, and returns the version';

CREATE FUNCTION oms.activate_routing_policy(code text, version integer, channel text DEFAULT NULL, service text DEFAULT NULL,
                                            customer_class text DEFAULT NULL, item_group text DEFAULT NULL,
                                            country text DEFAULT NULL, postal_prefix text DEFAULT NULL,
                                            active_from timestamptz DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_activate_routing_policy';
COMMENT ON FUNCTION oms.activate_routing_policy(text, integer, text, text, text, text, text, text, timestamptz, text) IS 'makes a draft the policy of a channel, service, customer class, item group or region, or of what has none, now or from a moment on; the one before ends then';

CREATE FUNCTION oms.withdraw_routing_policy(code text, version integer, idempotency_key text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_withdraw_routing_policy';
COMMENT ON FUNCTION oms.withdraw_routing_policy(text, integer, text) IS 'makes a scheduled policy a draft again; the one before it goes on';

CREATE FUNCTION oms.routing_policies_at(at timestamptz DEFAULT NULL)
    RETURNS TABLE (policy_id bigint, code text, version integer, channel text, service text, customer_class text, item_group text,
                   country text, postal_prefix text, active_from timestamptz, active_until timestamptz)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 5 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_routing_policies_at';
COMMENT ON FUNCTION oms.routing_policies_at(timestamptz) IS 'the policies that were, are or will be active at a moment, null: now';

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
    CREATE TABLE oms.routing_policy_versions (
        policy_id    bigint NOT NULL DEFAULT nextval('oms.routing_policies_policy_id_seq'),
        channel_id   bigint,
        created_at   timestamptz NOT NULL,
        active_from  timestamptz,
        active_until timestamptz,
        tenant_id    int NOT NULL DEFAULT 1,
        version      int NOT NULL CHECK (version > 0),
        code         text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200),
        owner        text NOT NULL,
        definition   jsonb NOT NULL,
        service      text,
        customer_class text,
        item_group   text,
        country      text,
        postal_prefix text,
        PRIMARY KEY (policy_id, tenant_id),
        UNIQUE (tenant_id, code, version),
        CHECK (active_from IS NOT NULL OR num_nonnulls(active_until, channel_id, service, customer_class, item_group, country) = 0),
        CHECK (active_from <= active_until),
        CHECK (country IS NOT NULL OR postal_prefix IS NULL)
    );
    ALTER SEQUENCE oms.routing_policies_policy_id_seq OWNED BY oms.routing_policy_versions.policy_id;
    -- The periods of a scope follow one another, so one of them has no end.
    CREATE UNIQUE INDEX routing_policies_last ON oms.routing_policy_versions
        (tenant_id, channel_id, service, customer_class, item_group, country, postal_prefix) NULLS NOT DISTINCT
        WHERE active_from IS NOT NULL AND active_until IS NULL;
    COMMENT ON TABLE oms.routing_policy_versions IS 'how orders are routed; without an active policy the nearest location that has everything serves';
    COMMENT ON COLUMN oms.routing_policy_versions.channel_id IS 'whose orders it is for, with service, customer_class, item_group, country and postal_prefix; null: any';
    COMMENT ON COLUMN oms.routing_policy_versions.active_from IS 'null: a draft; later than now: scheduled';
    COMMENT ON COLUMN oms.routing_policy_versions.active_until IS 'when the next one took or takes over; null: none is known';
    COMMENT ON COLUMN oms.routing_policy_versions.owner IS 'who saved it: the role that the expressions of its rules and its strategy run as';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.routing_policy_versions
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    CREATE FUNCTION oms.guard_routing_policy() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $f$
    BEGIN
        IF oms.in_call() THEN
            RETURN coalesce(NEW, OLD);
        END IF;
        RAISE EXCEPTION 'policy "%" version % is not a draft', OLD.code, OLD.version USING ERRCODE = 'OM002',
            DETAIL = 'What orders were or will be routed by stays as it was saved.',
            HINT = 'oms.save_routing_policy makes a new version; oms.withdraw_routing_policy takes back one that is scheduled.';
    END $f$;
    COMMENT ON FUNCTION oms.guard_routing_policy() IS 'trigger: refuses changes by hand of policies that are no drafts';
    CREATE TRIGGER guard_routing_policy BEFORE DELETE OR UPDATE OF tenant_id, code, version, owner, definition, channel_id, service,
        customer_class, item_group, country, postal_prefix, active_from, active_until ON oms.routing_policy_versions FOR EACH ROW
        WHEN (OLD.active_from IS NOT NULL)
        EXECUTE FUNCTION oms.guard_routing_policy();

    -- The status follows from the clock, so a scheduled policy needs no job to become active.
    CREATE VIEW oms.routing_policies AS
        SELECT p.policy_id, p.tenant_id, p.code, p.version,
               CASE WHEN p.active_from IS NULL THEN 'draft' WHEN p.active_from > c.now THEN 'scheduled'
                    WHEN p.active_until <= c.now THEN 'archived' ELSE 'active' END AS status,
               p.channel_id, p.service, p.customer_class, p.item_group, p.country, p.postal_prefix,
               p.active_from, p.active_until, p.created_at, p.owner, p.definition
        FROM oms.routing_policy_versions p
             CROSS JOIN (SELECT coalesce(nullif(current_setting('oms.clock', true), '')::timestamptz, statement_timestamp()) AS now) c;
    COMMENT ON VIEW oms.routing_policies IS 'every version of every policy and what it is now: draft, scheduled, active or archived';

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
    CREATE TRIGGER guard_record BEFORE UPDATE OR DELETE ON oms.routing_decisions
        FOR EACH ROW EXECUTE FUNCTION oms.guard_record('order_id', 'decision_no');
    CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.routing_decisions EXECUTE FUNCTION oms.guard_record();
END $init$;
