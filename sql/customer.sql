-- customer.sql: the little that orders need to know of customers.

CREATE FUNCTION oms.upsert_customers(customers jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_upsert_customers';
COMMENT ON FUNCTION oms.upsert_customers(jsonb, text) IS 'inserts or changes customers by ref: [{"ref","credit_limit","currency","external_ref","attributes"}]; a field left out keeps its value; returns their number';

CREATE PROCEDURE oms.init_customer() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.customers (
        tenant_id    int NOT NULL DEFAULT 1,
        customer_ref text NOT NULL CHECK (octet_length(customer_ref) BETWEEN 1 AND 200),
        currency     text CHECK (currency ~ '^[A-Z]{3}$'),
        credit_limit numeric CHECK (credit_limit >= 0),
        external_ref text,
        attributes   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
        PRIMARY KEY (customer_ref, tenant_id),
        CHECK (credit_limit IS NULL OR currency IS NOT NULL)
    );
    COMMENT ON TABLE oms.customers IS 'reference data of customers, kept by whoever owns them; orders need no row here';
    COMMENT ON COLUMN oms.customers.credit_limit IS 'what may be open in unpaid orders before a new one is held, for channels that check it; null: no limit';
END $init$;
