-- stock_state.sql: units that are not for sale.

CREATE FUNCTION oms.move_stock_state(location text, sku text, from_state text, to_state text, quantity integer, reason text,
                                     reference text DEFAULT NULL, lots jsonb DEFAULT NULL,
                                     idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_move_stock_state';
COMMENT ON FUNCTION oms.move_stock_state(text, text, text, text, integer, text, text, jsonb, text) IS 'moves units between sellable and other states, or out where to_state is null; returns the units of every state';

CREATE FUNCTION oms.stock_as_of(at timestamptz, location text DEFAULT NULL, sku text DEFAULT NULL)
    RETURNS TABLE (location text, sku text, state text, on_hand bigint, reserved bigint)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1000 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_stock_as_of';
COMMENT ON FUNCTION oms.stock_as_of(timestamptz, text, text) IS 'stock as it stood at a moment, from the ledger; what is not listed was zero';

CREATE FUNCTION oms.init_tenant_stock_states(tenant integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $f$
BEGIN
    INSERT INTO oms.stock_state_types (tenant_id, code, name) VALUES
        (tenant, 'damaged', 'Damaged'), (tenant, 'quality_hold', 'Held for quality'), (tenant, 'in_transit', 'In transit'),
        (tenant, 'set_aside', 'Set aside for a transfer')
    ON CONFLICT DO NOTHING;
END $f$;
COMMENT ON FUNCTION oms.init_tenant_stock_states(integer) IS 'loads the built-in stock states for a tenant; rows that exist stay as they are';

CREATE PROCEDURE oms.init_stock_state() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.stock_state_types (
        tenant_id int NOT NULL,
        code      text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200 AND code <> 'sellable'),
        name      text,
        PRIMARY KEY (code, tenant_id)
    );
    COMMENT ON TABLE oms.stock_state_types IS 'states of stock other than sellable; add your own';

    CREATE TABLE oms.stock_states (
        item_id     bigint NOT NULL,
        location_id bigint NOT NULL,
        tenant_id   int NOT NULL,
        quantity    int NOT NULL DEFAULT 0 CHECK (quantity BETWEEN 0 AND 1000000000),
        state       text NOT NULL,
        PRIMARY KEY (item_id, location_id, state, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations,
        FOREIGN KEY (state, tenant_id) REFERENCES oms.stock_state_types
    ) WITH (fillfactor = 70);
    COMMENT ON TABLE oms.stock_states IS 'units that are not for sale, by state; sellable units are in oms.stock';
END $init$;
