-- item.sql: what is sold.

CREATE FUNCTION oms.upsert_items(items jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_upsert_items';
COMMENT ON FUNCTION oms.upsert_items(jsonb, text) IS 'inserts or changes items by SKU; a field left out keeps its value; returns the number of items';

CREATE PROCEDURE oms.init_item() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.items_item_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.items (
        item_id      bigint NOT NULL DEFAULT nextval('oms.items_item_id_seq'),
        tenant_id    int NOT NULL DEFAULT 1,
        weight_grams int CHECK (weight_grams >= 0),
        length_mm    int CHECK (length_mm >= 0),
        width_mm     int CHECK (width_mm >= 0),
        height_mm    int CHECK (height_mm >= 0),
        active       boolean NOT NULL DEFAULT true,
        backorder    boolean NOT NULL DEFAULT true,
        kind         text NOT NULL DEFAULT 'stocked' CHECK (kind IN ('stocked', 'digital', 'service', 'kit')),
        sku          text NOT NULL CHECK (octet_length(sku) BETWEEN 1 AND 200),
        name         text,
        unit         text NOT NULL DEFAULT 'piece',
        price        numeric CHECK (price >= 0),
        external_ref text,
        item_group   text CHECK (octet_length(item_group) BETWEEN 1 AND 200),
        tracking     text NOT NULL DEFAULT 'none' CHECK (tracking IN ('none', 'lot', 'serial')),
        lot_order    text NOT NULL DEFAULT 'fefo' CHECK (lot_order IN ('fefo', 'fifo', 'lifo')),
        lots_required boolean NOT NULL DEFAULT false,
        minimum_life_days int NOT NULL DEFAULT 0 CHECK (minimum_life_days BETWEEN 0 AND 36500),
        ship_together boolean NOT NULL DEFAULT false,
        may_break    boolean NOT NULL DEFAULT false,
        attributes   jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
        PRIMARY KEY (item_id, tenant_id),
        UNIQUE (sku, tenant_id)
    );
    ALTER SEQUENCE oms.items_item_id_seq OWNED BY oms.items.item_id;
    COMMENT ON TABLE oms.items IS 'items; quantities are whole base units (unit)';
    CREATE INDEX items_tracked ON oms.items (tenant_id) WHERE tracking <> 'none';
    COMMENT ON COLUMN oms.items.tracking IS 'lot or serial: units have lots (oms.lots), which receipts name and shipments take';
    COMMENT ON COLUMN oms.items.lot_order IS 'which lots a shipment takes where it names none: first to expire, first in or last in, first out';
    COMMENT ON COLUMN oms.items.lots_required IS 'a shipment must name its lots or serial numbers';
    COMMENT ON COLUMN oms.items.minimum_life_days IS 'lots are no longer sold from this many days before they expire';
    COMMENT ON COLUMN oms.items.item_group IS 'what routing policies may be for';
    COMMENT ON COLUMN oms.items.ship_together IS 'of a kit: its components are promised at one location';
    COMMENT ON COLUMN oms.items.may_break IS 'of a kit: its components may be cancelled and returned one by one';
    COMMENT ON COLUMN oms.items.price IS 'price of a unit where an order line gives none';
    COMMENT ON COLUMN oms.items.backorder IS 'with channels.backorder: may be promised beyond what is on hand, up to stock.backorder_limit';
END $init$;
