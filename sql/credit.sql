-- credit.sql: gift cards, store credit and customer credit, which orders are paid with inside the database.

CREATE FUNCTION oms.issue_credit(account text, amount numeric, currency text DEFAULT NULL, kind text DEFAULT NULL,
                                 customer text DEFAULT NULL, expires_at timestamptz DEFAULT NULL, reason text DEFAULT NULL,
                                 idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_issue_credit';
COMMENT ON FUNCTION oms.issue_credit(text, numeric, text, text, text, timestamptz, text, text) IS 'adds credit to an account, which is opened where it is not known; returns its balance';

CREATE FUNCTION oms.adjust_credit(account text, amount numeric, reason text DEFAULT NULL, idempotency_key text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_adjust_credit';
COMMENT ON FUNCTION oms.adjust_credit(text, numeric, text, text) IS 'adds to an account or takes from it, never below what is held; returns its balance';

CREATE FUNCTION oms.credit_balance(account text) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_credit_balance';
COMMENT ON FUNCTION oms.credit_balance(text) IS 'balance, held and available of a credit account';

CREATE PROCEDURE oms.init_credit() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.credit_accounts_account_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.credit_accounts (
        account_id   bigint NOT NULL DEFAULT nextval('oms.credit_accounts_account_id_seq'),
        opened_at    timestamptz NOT NULL,
        expires_at   timestamptz,
        tenant_id    int NOT NULL,
        active       boolean NOT NULL DEFAULT true,
        code         text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200),
        kind         text NOT NULL CHECK (kind IN ('gift_card', 'store_credit', 'customer_credit')),
        currency     text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
        customer_ref text,
        balance      numeric NOT NULL DEFAULT 0,
        held         numeric NOT NULL DEFAULT 0,
        PRIMARY KEY (account_id, tenant_id),
        UNIQUE (code, tenant_id),
        -- The last word on it, whatever a caller does.
        CONSTRAINT credit_accounts_covered CHECK (held >= 0 AND balance >= held)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
    ALTER SEQUENCE oms.credit_accounts_account_id_seq OWNED BY oms.credit_accounts.account_id;
    CREATE INDEX credit_accounts_customer ON oms.credit_accounts (customer_ref) WHERE customer_ref IS NOT NULL;
    COMMENT ON TABLE oms.credit_accounts IS 'gift cards, store credit and customer credit: what each has, and what payments hold of it';

    CREATE SEQUENCE oms.credit_entries_entry_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.credit_entries (
        entry_id       bigint NOT NULL DEFAULT nextval('oms.credit_entries_entry_id_seq'),
        account_id     bigint NOT NULL,
        order_id       bigint,
        payment_id     bigint,
        at             timestamptz NOT NULL,
        tenant_id      int NOT NULL,
        type           text NOT NULL CHECK (type IN ('issue', 'adjust', 'authorize', 'capture', 'void', 'refund', 'transfer')),
        balance_change numeric NOT NULL,
        held_change    numeric NOT NULL,
        reason         text,
        PRIMARY KEY (entry_id, tenant_id)
    );
    ALTER SEQUENCE oms.credit_entries_entry_id_seq OWNED BY oms.credit_entries.entry_id;
    CREATE INDEX credit_entries_account ON oms.credit_entries (account_id);
    COMMENT ON TABLE oms.credit_entries IS 'every change of a credit account, append-only; they add up to its balance and to what is held';
    CREATE TRIGGER guard_record BEFORE UPDATE OR DELETE ON oms.credit_entries
        FOR EACH ROW EXECUTE FUNCTION oms.guard_record('entry_id');
    CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.credit_entries EXECUTE FUNCTION oms.guard_record();
END $init$;
