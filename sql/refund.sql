-- refund.sql: refunds, granted apart from executed.

CREATE FUNCTION oms.grant_refund(order_id bigint, amount numeric, reason text DEFAULT NULL, idempotency_key text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_grant_refund';
COMMENT ON FUNCTION oms.grant_refund(bigint, numeric, text, text) IS 'lowers what the customer of an order owes, moves no money; returns refund_id';

CREATE FUNCTION oms.revoke_refund(refund_id bigint, reason text DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_revoke_refund';
COMMENT ON FUNCTION oms.revoke_refund(bigint, text, text) IS 'takes back a refund that was granted and not executed; returns the balance of the order';

CREATE PROCEDURE oms.init_refund() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.refunds_refund_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.refunds (
        refund_id  bigint NOT NULL DEFAULT nextval('oms.refunds_refund_id_seq'),
        order_id   bigint NOT NULL,
        return_id  bigint,
        granted_at timestamptz NOT NULL,
        tenant_id  int NOT NULL,
        amount     numeric NOT NULL CHECK (amount > 0),
        status     text NOT NULL,
        reason     text,
        PRIMARY KEY (refund_id, tenant_id)
    ) WITH (fillfactor = 80);
    ALTER SEQUENCE oms.refunds_refund_id_seq OWNED BY oms.refunds.refund_id;
    CREATE INDEX refunds_order ON oms.refunds (order_id);
    COMMENT ON TABLE oms.refunds IS 'what was granted back to customers; what was paid back are the refunds among payment_events';
    COMMENT ON COLUMN oms.refunds.status IS 'how far the grant is executed';
    CREATE TRIGGER guard_transition BEFORE UPDATE OF status ON oms.refunds FOR EACH ROW
        WHEN (OLD.status IS DISTINCT FROM NEW.status)
        EXECUTE FUNCTION oms.guard_transition('refund');

    CREATE TABLE oms.refund_limits (
        tenant_id int NOT NULL DEFAULT 1,
        currency  text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
        role_name text NOT NULL,
        reason    text NOT NULL DEFAULT '',
        amount    numeric NOT NULL CHECK (amount >= 0),
        PRIMARY KEY (tenant_id, currency, role_name, reason)
    );
    COMMENT ON TABLE oms.refund_limits IS 'how much members of a role may grant by hand on one order; without a row for a currency there is no limit in it, with one who has none grants nothing';
    COMMENT ON COLUMN oms.refund_limits.reason IS 'the reason that grant_refund is called with; empty: any';
END $init$;
