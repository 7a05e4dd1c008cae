-- expiry.sql: orders that wait for something only so long.

CREATE FUNCTION oms.expire_orders(max_count integer DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_expire_orders';
COMMENT ON FUNCTION oms.expire_orders(integer, text) IS 'cancels what has waited longer than its channel lets it: unpaid and unconfirmed orders, unfilled backorders, drafts; returns how many orders it cancelled or cut';

CREATE FUNCTION oms.expire_payments(max_count integer DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_expire_payments';
COMMENT ON FUNCTION oms.expire_payments(integer, text) IS 'ends authorizations whose expires_at has passed, each at that date; returns how many it looked at';

CREATE PROCEDURE oms.init_expiry() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.order_deadlines (
        order_id  bigint NOT NULL,
        due_at    timestamptz NOT NULL,
        tenant_id int NOT NULL,
        kind      text NOT NULL CHECK (kind IN ('payment', 'confirmation', 'backorder', 'draft')),
        PRIMARY KEY (order_id, kind, tenant_id)
    ) WITH (autovacuum_vacuum_scale_factor = 0.05);
    CREATE INDEX order_deadlines_due ON oms.order_deadlines (due_at);
    COMMENT ON TABLE oms.order_deadlines IS 'work of expire_orders: what an order must have got by when; it looks at the order then, so a row may outlive its reason';
END $init$;
