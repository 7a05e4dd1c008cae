-- supply.sql: units that are expected, and by when.

CREATE FUNCTION oms.expect_supply(location text, sku text, quantity integer, expected_at timestamptz, reference text DEFAULT NULL,
                                  kind text DEFAULT 'purchase', promisable boolean DEFAULT true,
                                  idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_expect_supply';
COMMENT ON FUNCTION oms.expect_supply(text, text, integer, timestamptz, text, text, boolean, text) IS 'announces units of a purchase or transfer order; the same reference again changes quantity and date; returns the supply_id';

CREATE FUNCTION oms.receive_supply(supply_id bigint, quantity integer DEFAULT NULL, lots jsonb DEFAULT NULL,
                                   idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_receive_supply';
COMMENT ON FUNCTION oms.receive_supply(bigint, integer, jsonb, text) IS 'units of a supply arrived, all that are open where quantity is null; returns the new on hand';

CREATE FUNCTION oms.cancel_supply(supply_id bigint, reason text DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_cancel_supply';
COMMENT ON FUNCTION oms.cancel_supply(bigint, text, text) IS 'what is open of a supply does not come; promises that rested on it are withdrawn in the order of backorder_rules and listed';

CREATE PROCEDURE oms.init_supply() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.supplies_supply_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.supplies (
        supply_id   bigint NOT NULL DEFAULT nextval('oms.supplies_supply_id_seq'),
        item_id     bigint NOT NULL,
        location_id bigint NOT NULL,
        transfer_id bigint,
        expected_at timestamptz NOT NULL,
        created_at  timestamptz NOT NULL,
        tenant_id   int NOT NULL,
        quantity    int NOT NULL CHECK (quantity <= 1000000000),
        received    int NOT NULL DEFAULT 0,
        cancelled   int NOT NULL DEFAULT 0,
        promisable  boolean NOT NULL,
        kind        text NOT NULL CHECK (kind IN ('purchase', 'transfer')),
        status      text NOT NULL,
        reference   text CHECK (octet_length(reference) BETWEEN 1 AND 200),
        attributes  jsonb,
        PRIMARY KEY (supply_id, tenant_id),
        UNIQUE (reference, item_id, location_id, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations,
        CONSTRAINT supplies_units CHECK (received + cancelled <= quantity AND least(received, cancelled) >= 0)
    );
    ALTER SEQUENCE oms.supplies_supply_id_seq OWNED BY oms.supplies.supply_id;
    CREATE INDEX supplies_open ON oms.supplies (item_id, location_id, expected_at) WHERE status IN ('expected', 'partially_received');
    COMMENT ON TABLE oms.supplies IS 'units that are expected: lines of purchase and transfer orders';
    COMMENT ON COLUMN oms.supplies.transfer_id IS 'the transfer that brings the units; null where somebody else does';
    COMMENT ON COLUMN oms.supplies.promisable IS 'the open units may be promised before they arrive: they are part of stock.backorder_limit';
    CREATE TRIGGER guard_transition BEFORE UPDATE OF status ON oms.supplies FOR EACH ROW
        WHEN (OLD.status IS DISTINCT FROM NEW.status)
        EXECUTE FUNCTION oms.guard_transition('supply');

    CREATE SEQUENCE oms.dated_promises_entry_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.dated_promises (
        item_id     bigint NOT NULL,
        location_id bigint NOT NULL,
        entry_id    bigint NOT NULL DEFAULT nextval('oms.dated_promises_entry_id_seq'),
        supplied_at timestamptz NOT NULL,
        tenant_id   int NOT NULL,
        units       int NOT NULL,
        PRIMARY KEY (item_id, location_id, entry_id, tenant_id)
    ) WITH (autovacuum_vacuum_scale_factor = 0.05);
    ALTER SEQUENCE oms.dated_promises_entry_id_seq OWNED BY oms.dated_promises.entry_id;
    COMMENT ON TABLE oms.dated_promises IS 'units promised beyond what is on hand, by the time that they wait for: changes that add up';
    COMMENT ON COLUMN oms.dated_promises.supplied_at IS 'fulfillments.supplied_at of the promises; infinity where nobody knows yet';

    CREATE TABLE oms.atp_rules (
        tenant_id            int NOT NULL,
        item_id              bigint NOT NULL DEFAULT 0,
        overdue_days         int NOT NULL DEFAULT 14 CHECK (overdue_days BETWEEN 0 AND 36500),
        consumption_days     int CHECK (consumption_days BETWEEN 0 AND 36500),
        accumulation_days    int CHECK (accumulation_days BETWEEN 0 AND 36500),
        confidence_percent   int NOT NULL DEFAULT 100 CHECK (confidence_percent BETWEEN 0 AND 100),
        over_receipt_percent int NOT NULL DEFAULT 0 CHECK (over_receipt_percent BETWEEN 0 AND 1000),
        PRIMARY KEY (tenant_id, item_id)
    );
    COMMENT ON TABLE oms.atp_rules IS 'how supplies count; a tenant without a row has the defaults';
    COMMENT ON COLUMN oms.atp_rules.item_id IS '0: every item that has no row of its own';
    COMMENT ON COLUMN oms.atp_rules.overdue_days IS 'a supply that is late by more does not count by date';
    COMMENT ON COLUMN oms.atp_rules.consumption_days IS 'promises take dates from supplies expected within so many days from now; null: from all';
    COMMENT ON COLUMN oms.atp_rules.accumulation_days IS 'units that have come wait for the rest of a promise at most so many days; null: as long as it takes';
    COMMENT ON COLUMN oms.atp_rules.confidence_percent IS 'of the open units of a supply, how many count by date';
    COMMENT ON COLUMN oms.atp_rules.over_receipt_percent IS 'of the quantity of a supply, how much more may be received';
END $init$;
