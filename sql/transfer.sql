-- transfer.sql: units on their way from one location to another.

CREATE FUNCTION oms.request_transfer(from_location text, to_location text, sku text, quantity integer, expected_at timestamptz,
                                     reference text DEFAULT NULL, promisable boolean DEFAULT true, lots jsonb DEFAULT NULL,
                                     idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_request_transfer';
COMMENT ON FUNCTION oms.request_transfer(text, text, text, integer, timestamptz, text, boolean, jsonb, text) IS 'sets units aside to go to another location; the same reference again changes the date; returns the transfer_id';

CREATE FUNCTION oms.ship_transfer(transfer_id bigint, quantity integer DEFAULT NULL, expected_at timestamptz DEFAULT NULL,
                                  lots jsonb DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_ship_transfer';
COMMENT ON FUNCTION oms.ship_transfer(bigint, integer, timestamptz, jsonb, text) IS 'units of a transfer leave, all where quantity is null; what stays is for sale again';

CREATE FUNCTION oms.receive_transfer(transfer_id bigint, quantity integer DEFAULT NULL, lots jsonb DEFAULT NULL,
                                     idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_receive_transfer';
COMMENT ON FUNCTION oms.receive_transfer(bigint, integer, jsonb, text) IS 'units of a transfer arrived, all that are in transit where quantity is null';

CREATE FUNCTION oms.close_transfer(transfer_id bigint, reason text DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_close_transfer';
COMMENT ON FUNCTION oms.close_transfer(bigint, text, text) IS 'what is still in transit is lost; promises that rested on it are withdrawn in the order of backorder_rules and listed';

CREATE FUNCTION oms.cancel_transfer(transfer_id bigint, reason text DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_cancel_transfer';
COMMENT ON FUNCTION oms.cancel_transfer(bigint, text, text) IS 'a transfer that has not left does not; its units are for sale again';

CREATE PROCEDURE oms.init_transfer() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.transfers_transfer_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.transfers (
        transfer_id      bigint NOT NULL DEFAULT nextval('oms.transfers_transfer_id_seq'),
        item_id          bigint NOT NULL,
        from_location_id bigint NOT NULL,
        to_location_id   bigint NOT NULL,
        supply_id        bigint,
        expected_at      timestamptz NOT NULL,
        created_at       timestamptz NOT NULL,
        tenant_id        int NOT NULL,
        quantity         int NOT NULL CHECK (quantity BETWEEN 1 AND 1000000000),
        shipped          int NOT NULL DEFAULT 0,
        received         int NOT NULL DEFAULT 0,
        lost             int NOT NULL DEFAULT 0,
        promisable       boolean NOT NULL,
        status           text NOT NULL,
        reference        text CHECK (octet_length(reference) BETWEEN 1 AND 200),
        attributes       jsonb,
        PRIMARY KEY (transfer_id, tenant_id),
        UNIQUE (reference, item_id, from_location_id, to_location_id, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (from_location_id, tenant_id) REFERENCES oms.locations,
        FOREIGN KEY (to_location_id, tenant_id) REFERENCES oms.locations,
        CONSTRAINT transfers_ends CHECK (from_location_id <> to_location_id),
        CONSTRAINT transfers_units CHECK (shipped <= quantity AND received + lost <= shipped AND least(received, lost) >= 0)
    );
    ALTER SEQUENCE oms.transfers_transfer_id_seq OWNED BY oms.transfers.transfer_id;
    CREATE INDEX transfers_open ON oms.transfers (to_location_id, expected_at) WHERE status IN ('requested', 'shipped', 'partially_received');
    COMMENT ON TABLE oms.transfers IS 'units on their way from one location to another; reference names the transfer order that a row is a line of';
    COMMENT ON COLUMN oms.transfers.supply_id IS 'what the destination expects, once the units have left';
    COMMENT ON COLUMN oms.transfers.lost IS 'left and never arrived';
    CREATE TRIGGER guard_transition BEFORE UPDATE OF status ON oms.transfers FOR EACH ROW
        WHEN (OLD.status IS DISTINCT FROM NEW.status)
        EXECUTE FUNCTION oms.guard_transition('transfer');
END $init$;
