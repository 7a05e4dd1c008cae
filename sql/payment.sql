-- payment.sql: payments and the append-only events from which every balance is derived.

CREATE FUNCTION oms.add_payment(order_id bigint, payment jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_add_payment';
COMMENT ON FUNCTION oms.add_payment(bigint, jsonb, text) IS 'adds a payment {"method","amount","status","reference","currency"} to an order; returns payment_id';

CREATE FUNCTION oms.record_payment_event(payment_id bigint, type text, amount numeric, reference text,
                                         at timestamptz DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_record_payment_event';
COMMENT ON FUNCTION oms.record_payment_event(bigint, text, numeric, text, timestamptz, text) IS 'what the payment provider says happened; the same type and reference again changes nothing; returns the balance of the order';

CREATE FUNCTION oms.order_balance(order_id bigint) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_order_balance';
COMMENT ON FUNCTION oms.order_balance(bigint) IS 'total, authorized, captured, refunded, due and refundable, from the payment events';

CREATE PROCEDURE oms.init_payment() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.payments_payment_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.payments (
        payment_id   bigint NOT NULL DEFAULT nextval('oms.payments_payment_id_seq'),
        order_id     bigint NOT NULL,
        added_at     timestamptz NOT NULL,
        tenant_id    int NOT NULL,
        status       text NOT NULL,
        currency     text NOT NULL,
        method       text NOT NULL,
        external_ref text,
        attributes   jsonb,
        PRIMARY KEY (payment_id, tenant_id)
    ) WITH (fillfactor = 80);
    ALTER SEQUENCE oms.payments_payment_id_seq OWNED BY oms.payments.payment_id;
    CREATE INDEX payments_order ON oms.payments (order_id);
    COMMENT ON TABLE oms.payments IS 'means of payment of an order; amounts are in payment_events';
    CREATE TRIGGER guard_transition BEFORE UPDATE OF status ON oms.payments FOR EACH ROW
        WHEN (OLD.status IS DISTINCT FROM NEW.status AND current_setting('oms.in_call', true) IS DISTINCT FROM 'on')
        EXECUTE FUNCTION oms.guard_transition('payment');

    CREATE TABLE oms.payment_events (
        payment_id  bigint NOT NULL,
        order_id    bigint NOT NULL,
        at          timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL,
        tenant_id   int NOT NULL,
        type        text NOT NULL CHECK (type IN ('authorize', 'capture', 'void', 'refund', 'fail', 'expire', 'charge_back')),
        reference   text NOT NULL,
        amount      numeric NOT NULL CHECK (amount >= 0),
        PRIMARY KEY (payment_id, type, reference, tenant_id)
    );
    CREATE INDEX payment_events_order ON oms.payment_events (order_id);
    COMMENT ON TABLE oms.payment_events IS 'what happened to the money, append-only; every balance is a sum over these rows';
END $init$;
