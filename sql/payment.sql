-- payment.sql: payments and the append-only events from which every balance is derived.

CREATE FUNCTION oms.add_payment(order_id bigint, payment jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_add_payment';
COMMENT ON FUNCTION oms.add_payment(bigint, jsonb, text) IS 'adds a payment {"method","amount","status","reference","currency"} to an order; returns payment_id';

CREATE FUNCTION oms.record_payment_event(payment_id bigint, type text, amount numeric, reference text,
                                         at timestamptz DEFAULT NULL, expires_at timestamptz DEFAULT NULL,
                                         idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_record_payment_event';
COMMENT ON FUNCTION oms.record_payment_event(bigint, text, numeric, text, timestamptz, timestamptz, text) IS 'what the payment provider says happened; the same type and reference again changes nothing; returns the balance of the order';

CREATE FUNCTION oms.order_balance(order_id bigint) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_order_balance';
COMMENT ON FUNCTION oms.order_balance(bigint) IS 'total, authorized, captured, refunded, granted, due and owed, from the payment events and the refunds granted';

CREATE FUNCTION oms.request_capture(order_id bigint, amount numeric DEFAULT NULL, payment_id bigint DEFAULT NULL,
                                    idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_request_capture';
COMMENT ON FUNCTION oms.request_capture(bigint, numeric, bigint, text) IS 'asks the provider, by events, to capture what is due (or less) from the authorized payments, the oldest first, or from one payment; returns the commands';

CREATE FUNCTION oms.request_void(payment_id bigint, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_request_void';
COMMENT ON FUNCTION oms.request_void(bigint, text) IS 'asks the provider, by an event, to give up what is authorized and not captured; returns the command';

CREATE FUNCTION oms.request_refund(order_id bigint, amount numeric DEFAULT NULL, payment_id bigint DEFAULT NULL,
                                   account text DEFAULT NULL, method text DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_request_refund';
COMMENT ON FUNCTION oms.request_refund(bigint, numeric, bigint, text, text, text) IS 'asks the provider, by events, to pay back what is owed (or less), spread over the payments by the rule of the channel, or to one payment; with an account it becomes credit there at once, with a method that the channel allows it is paid by that; returns the commands';

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
        account_id   bigint,
        expires_at   timestamptz,
        PRIMARY KEY (payment_id, tenant_id)
    ) WITH (fillfactor = 80);
    ALTER SEQUENCE oms.payments_payment_id_seq OWNED BY oms.payments.payment_id;
    CREATE INDEX payments_order ON oms.payments (order_id);
    CREATE INDEX payments_expiring ON oms.payments (expires_at) WHERE expires_at IS NOT NULL;
    COMMENT ON TABLE oms.payments IS 'means of payment of an order; amounts are in payment_events';
    COMMENT ON COLUMN oms.payments.expires_at IS 'when what is authorized ends; null: never by itself, or it has ended';
    COMMENT ON COLUMN oms.payments.account_id IS 'the credit account that pays; null: a provider outside';
    CREATE TRIGGER guard_transition BEFORE UPDATE OF status ON oms.payments FOR EACH ROW
        WHEN (OLD.status IS DISTINCT FROM NEW.status)
        EXECUTE FUNCTION oms.guard_transition('payment');

    CREATE TABLE oms.payment_events (
        payment_id  bigint NOT NULL,
        order_id    bigint NOT NULL,
        at          timestamptz NOT NULL,
        recorded_at timestamptz NOT NULL,
        tenant_id   int NOT NULL,
        event_no    int NOT NULL,
        type        text NOT NULL CHECK (type IN ('authorize', 'capture', 'void', 'refund', 'fail', 'expire', 'charge_back',
                                              'charge_back_reversed', 'capture_failed', 'void_failed', 'refund_failed',
                                              'transfer')),
        reference   text NOT NULL,
        amount      numeric NOT NULL CHECK (amount >= 0),
        PRIMARY KEY (payment_id, type, reference, tenant_id)
    );
    CREATE INDEX payment_events_order ON oms.payment_events (order_id);
    COMMENT ON TABLE oms.payment_events IS 'what happened to the money, append-only; every balance is a sum over these rows';
    COMMENT ON COLUMN oms.payment_events.at IS 'when it happened, as the provider says; what is reported late still counts at its time';
    COMMENT ON COLUMN oms.payment_events.event_no IS 'order of arrival, which decides between events of the same time';
    CREATE TRIGGER guard_record BEFORE UPDATE OR DELETE ON oms.payment_events
        FOR EACH ROW EXECUTE FUNCTION oms.guard_record('payment_id', 'type', 'reference');
    CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.payment_events EXECUTE FUNCTION oms.guard_record();

    CREATE SEQUENCE oms.payment_commands_command_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.payment_commands (
        command_id   bigint NOT NULL DEFAULT nextval('oms.payment_commands_command_id_seq'),
        payment_id   bigint NOT NULL,
        order_id     bigint NOT NULL,
        requested_at timestamptz NOT NULL,
        tenant_id    int NOT NULL,
        type         text NOT NULL CHECK (type IN ('capture', 'void', 'refund')),
        status       text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'done', 'failed')),
        amount       numeric NOT NULL CHECK (amount > 0),
        answered     numeric NOT NULL DEFAULT 0 CHECK (answered >= 0),
        method       text,
        PRIMARY KEY (command_id, tenant_id)
    ) WITH (fillfactor = 80);
    ALTER SEQUENCE oms.payment_commands_command_id_seq OWNED BY oms.payment_commands.command_id;
    COMMENT ON COLUMN oms.payment_commands.method IS 'by which a refund is asked for where it is not that of the payment';
    CREATE INDEX payment_commands_payment ON oms.payment_commands (payment_id);
    COMMENT ON TABLE oms.payment_commands IS 'what the provider was asked to do; open until its answers add up to the amount, or it says that it failed';

    -- The one place where events become amounts: the functions, audit() and people read the same rows.  Only the last
    -- failure, expiry or whole void ends what was authorized before it, by the provider''s time, in whatever order the
    -- events arrived.
    CREATE VIEW oms.payment_balances AS
    SELECT p.tenant_id, p.payment_id, p.order_id, p.currency, p.method, b.granted, b.open AS authorized, b.captured,
           least(b.refunded, b.captured) AS refunded, b.refunded - least(b.refunded, b.captured) AS unmatched,
           b.charged_back,
           CASE WHEN b.captures > 0 THEN 'captured'
                WHEN b.open > 0 OR (b.authorizations > 0 AND b.voids = 0) THEN 'authorized'
                WHEN ended.type = 'fail' THEN 'failed' WHEN ended.type = 'expire' THEN 'expired'
                WHEN ended.type = 'void' OR b.voids > 0 THEN 'voided' ELSE 'pending' END AS status,
           c.capturing, c.voiding, c.refunding, p.account_id, b.transferred, p.expires_at
    FROM oms.payments p
    LEFT JOIN LATERAL (SELECT x.at, x.event_no, x.type FROM oms.payment_events x
                       WHERE x.payment_id = p.payment_id AND x.tenant_id = p.tenant_id
                         AND (x.type IN ('fail', 'expire') OR (x.type = 'void' AND x.amount = 0))
                       ORDER BY x.at DESC, x.event_no DESC LIMIT 1) ended ON true
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(e.amount) FILTER (WHERE e.type = 'authorize'), 0) AS granted,
               coalesce(sum(e.amount) FILTER (WHERE e.type = 'capture'), 0) AS captured,
               greatest(coalesce(sum(CASE e.type WHEN 'charge_back_reversed' THEN -e.amount ELSE e.amount END)
                                 FILTER (WHERE e.type IN ('refund', 'charge_back', 'charge_back_reversed', 'transfer')), 0), 0) AS refunded,
               coalesce(sum(e.amount) FILTER (WHERE e.type = 'transfer'), 0) AS transferred,
               greatest(coalesce(sum(CASE e.type WHEN 'authorize' THEN e.amount ELSE -e.amount END)
                                 FILTER (WHERE e.type IN ('authorize', 'capture', 'void') AND e.later), 0), 0) AS open,
               coalesce(sum(CASE e.type WHEN 'charge_back' THEN e.amount ELSE -e.amount END)
                        FILTER (WHERE e.type IN ('charge_back', 'charge_back_reversed')), 0) AS charged_back,
               count(*) FILTER (WHERE e.type = 'capture') AS captures,
               count(*) FILTER (WHERE e.type = 'authorize' AND e.later) AS authorizations,
               count(*) FILTER (WHERE e.type = 'void' AND e.later) AS voids
        FROM (SELECT x.type, x.amount, ended.at IS NULL OR (x.at, x.event_no) > (ended.at, ended.event_no) AS later
              FROM oms.payment_events x WHERE x.payment_id = p.payment_id AND x.tenant_id = p.tenant_id) e) b
    CROSS JOIN LATERAL (
        SELECT coalesce(sum(k.amount - k.answered) FILTER (WHERE k.type = 'capture'), 0) AS capturing,
               coalesce(sum(k.amount - k.answered) FILTER (WHERE k.type = 'void'), 0) AS voiding,
               coalesce(sum(k.amount - k.answered) FILTER (WHERE k.type = 'refund'), 0) AS refunding
        FROM oms.payment_commands k WHERE k.payment_id = p.payment_id AND k.tenant_id = p.tenant_id AND k.status = 'open') c;
    COMMENT ON VIEW oms.payment_balances IS 'what the events of each payment add up to, and what its open commands will change';
    COMMENT ON COLUMN oms.payment_balances.transferred IS 'of what is refunded: into a credit account, so the provider moved nothing';
    COMMENT ON COLUMN oms.payment_balances.unmatched IS 'refunds reported before the capture that they pay back';
END $init$;
