-- substitute.sql: other items in the place of those that nobody can promise.

CREATE PROCEDURE oms.init_substitute() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.item_substitutes (
        item_id       bigint NOT NULL,
        substitute_id bigint NOT NULL,
        valid_from    timestamptz,
        valid_until   timestamptz,
        tenant_id     int NOT NULL,
        rank          int NOT NULL,
        ratio         int NOT NULL DEFAULT 1 CHECK (ratio BETWEEN 1 AND 1000000),
        PRIMARY KEY (item_id, substitute_id, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (substitute_id, tenant_id) REFERENCES oms.items,
        CONSTRAINT item_substitutes_other CHECK (item_id <> substitute_id),
        CONSTRAINT item_substitutes_period CHECK (valid_from < valid_until)
    );
    COMMENT ON TABLE oms.item_substitutes IS 'items that may be sent in the place of another; they are not chained';
    COMMENT ON COLUMN oms.item_substitutes.rank IS 'the lowest is tried first';
    COMMENT ON COLUMN oms.item_substitutes.ratio IS 'units of the substitute for one unit of the item';

    CREATE TABLE oms.order_substitutes (
        order_id       bigint NOT NULL,
        wanted_item_id bigint NOT NULL,
        tenant_id      int NOT NULL,
        line_no        int NOT NULL,
        wanted_line_no int NOT NULL,
        quantity       int NOT NULL CHECK (quantity > 0),
        rank           int NOT NULL,
        ratio          int NOT NULL,
        PRIMARY KEY (order_id, line_no, tenant_id)
    );
    COMMENT ON TABLE oms.order_substitutes IS 'lines of an order whose item stands in the place of the one that was wanted';
    COMMENT ON COLUMN oms.order_substitutes.wanted_line_no IS 'the line of the document that asked for the other item';
    COMMENT ON COLUMN oms.order_substitutes.quantity IS 'units of the wanted item that the line stands for';
END $init$;
