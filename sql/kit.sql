-- kit.sql: items that are sold as one and promised by their components.

CREATE PROCEDURE oms.init_kit() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.kit_components (
        kit_id    bigint NOT NULL,
        item_id   bigint NOT NULL,
        tenant_id int NOT NULL,
        position  int NOT NULL,
        quantity  int NOT NULL CHECK (quantity BETWEEN 1 AND 1000000),
        PRIMARY KEY (kit_id, item_id, tenant_id),
        FOREIGN KEY (kit_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items
    );
    COMMENT ON TABLE oms.kit_components IS 'what a kit consists of; an order keeps the components that it was placed with';
    COMMENT ON COLUMN oms.kit_components.quantity IS 'units of the component in one set';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.kit_components
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    CREATE TABLE oms.order_kits (
        order_id     bigint NOT NULL,
        item_id      bigint NOT NULL,
        tenant_id    int NOT NULL,
        kit_no       int NOT NULL,
        sets         int NOT NULL CHECK (sets > 0),
        may_break    boolean NOT NULL,
        unit_price   numeric NOT NULL,
        name         text,
        external_ref text,
        attributes   jsonb,
        divided_from int,
        PRIMARY KEY (order_id, kit_no, tenant_id)
    );
    COMMENT ON TABLE oms.order_kits IS 'kits as they were ordered; their components are lines of the order';
    COMMENT ON COLUMN oms.order_kits.kit_no IS 'the number that the kit has among the lines of the document, and its first component among those of the order';
    COMMENT ON COLUMN oms.order_kits.divided_from IS 'the kit whose other sets go to another delivery; null: it is whole, or the first part';

    CREATE TABLE oms.order_kit_lines (
        order_id  bigint NOT NULL,
        tenant_id int NOT NULL,
        kit_no    int NOT NULL,
        line_no   int NOT NULL,
        per_set   int NOT NULL CHECK (per_set > 0),
        PRIMARY KEY (order_id, line_no, tenant_id),
        FOREIGN KEY (order_id, kit_no, tenant_id) REFERENCES oms.order_kits ON DELETE CASCADE
    );
    COMMENT ON TABLE oms.order_kit_lines IS 'which lines of an order are components of which kit';
END $init$;
