-- order_edit.sql: changing placed orders, and reading what they were.

CREATE FUNCTION oms.edit_order(order_id bigint, changes jsonb, dry_run boolean DEFAULT false, if_version integer DEFAULT NULL,
                               idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_edit_order';
COMMENT ON FUNCTION oms.edit_order(bigint, jsonb, boolean, integer, text) IS 'adds, changes and removes lines, adjustments, address and other fields of a placed order; promises follow in the same call; a dry run answers the same and keeps nothing';

CREATE FUNCTION oms.route_order(order_id bigint, dry_run boolean DEFAULT false, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_route_order';
COMMENT ON FUNCTION oms.route_order(bigint, boolean, text) IS 'plans what of a placed order is not released yet anew, with the stock and the policy of today; promises stay where nothing better is found; a dry run answers the same and keeps nothing';

CREATE FUNCTION oms.order_as_of(order_id bigint, at timestamptz) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_order_as_of';
COMMENT ON FUNCTION oms.order_as_of(bigint, timestamptz) IS 'the order as it stood at a moment: fields, lines with their quantities, totals, statuses, payments, refunds; unknown before it existed';

CREATE PROCEDURE oms.init_order_edit() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.order_versions (
        order_id    bigint NOT NULL,
        replaced_at timestamptz NOT NULL,
        event_id    bigint NOT NULL,
        tenant_id   int NOT NULL,
        version     int NOT NULL,
        actor       text NOT NULL,
        document    jsonb NOT NULL,
        PRIMARY KEY (order_id, version, tenant_id)
    );
    COMMENT ON TABLE oms.order_versions IS 'what an order was before each edit and cancellation, and a draft before it was placed, as get_order showed it';
    COMMENT ON COLUMN oms.order_versions.version IS 'the version that was replaced';
    COMMENT ON COLUMN oms.order_versions.event_id IS 'no event of the order up to this one knows of the change';
    CREATE TRIGGER guard_record BEFORE UPDATE OR DELETE ON oms.order_versions
        FOR EACH ROW EXECUTE FUNCTION oms.guard_record('order_id', 'version');
    CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.order_versions EXECUTE FUNCTION oms.guard_record();
END $init$;
