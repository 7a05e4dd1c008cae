-- lot.sql: lots and serial numbers of the items that ask for them.

CREATE FUNCTION oms.suggest_lots(fulfillment_id bigint)
    RETURNS TABLE (sku text, lot text, quantity integer, expires_at timestamptz)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_suggest_lots';
COMMENT ON FUNCTION oms.suggest_lots(bigint) IS 'the lots that shipping a fulfillment takes where it names none, in the order that their item says';

CREATE PROCEDURE oms.init_lot() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.lots (
        item_id     bigint NOT NULL,
        location_id bigint NOT NULL,
        tenant_id   int NOT NULL,
        quantity    int NOT NULL CHECK (quantity BETWEEN 1 AND 1000000000),
        serial      boolean NOT NULL,
        received_at timestamptz NOT NULL,
        expires_at  timestamptz,
        sell_until  timestamptz,
        lot         text NOT NULL CHECK (octet_length(lot) BETWEEN 1 AND 200),
        PRIMARY KEY (item_id, location_id, lot, tenant_id),
        CONSTRAINT lots_serial CHECK (NOT serial OR quantity = 1),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
    CREATE INDEX lots_lot ON oms.lots (item_id, lot);
    CREATE UNIQUE INDEX lots_serial_once ON oms.lots (item_id, lot, tenant_id) WHERE serial;
    COMMENT ON TABLE oms.lots IS 'sellable units of tracked items by lot or serial number; they add up to oms.stock';
    COMMENT ON COLUMN oms.lots.sell_until IS 'expires_at less the item''s minimum_life_days: from then on, and for what is promised for later, the units are kept back';

    CREATE SEQUENCE oms.lot_movements_movement_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.lot_movements (
        movement_id bigint NOT NULL DEFAULT nextval('oms.lot_movements_movement_id_seq'),
        item_id     bigint NOT NULL,
        location_id bigint NOT NULL,
        order_id    bigint,
        at          timestamptz NOT NULL,
        expires_at  timestamptz,
        tenant_id   int NOT NULL,
        delta       int NOT NULL,
        lot         text NOT NULL,
        type        text NOT NULL,
        reference   text,
        PRIMARY KEY (movement_id, at, tenant_id)
    ) PARTITION BY RANGE (at);
    ALTER SEQUENCE oms.lot_movements_movement_id_seq OWNED BY oms.lot_movements.movement_id;
    CREATE INDEX lot_movements_lot ON oms.lot_movements (item_id, lot, at);
    CREATE INDEX lot_movements_order ON oms.lot_movements (order_id) WHERE order_id IS NOT NULL;
    COMMENT ON TABLE oms.lot_movements IS 'ledger of lots: what came and went, and to which order';
    CREATE TRIGGER guard_record BEFORE UPDATE OR DELETE ON oms.lot_movements
        FOR EACH ROW EXECUTE FUNCTION oms.guard_record('movement_id');
    CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.lot_movements EXECUTE FUNCTION oms.guard_record();
    CREATE TABLE oms.lot_movements_default PARTITION OF oms.lot_movements DEFAULT;
    CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.lot_movements_default EXECUTE FUNCTION oms.guard_record();
    PERFORM oms.create_partitions(pg_catalog.now(), 3);

    -- The first tracked item makes sessions look at lots.
    CREATE TRIGGER tracking_changed AFTER INSERT OR UPDATE OF tracking ON oms.items
        FOR EACH ROW WHEN (NEW.tracking <> 'none') EXECUTE FUNCTION oms.configuration_changed();
END $init$;
