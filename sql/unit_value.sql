-- unit_value.sql: what units cost and may lose at each location, and how fast they sell.

CREATE FUNCTION oms.load_unit_values("values" jsonb, mode text DEFAULT 'replace', idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_load_unit_values';
COMMENT ON FUNCTION oms.load_unit_values(jsonb, text, text) IS 'sets what units cost and may lose at locations: {"sku","location","cost","markdown"}; mode replace (all that was there goes) or add; returns the number of rows';

CREATE FUNCTION oms.refresh_sales_rates(weeks integer DEFAULT 4, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_refresh_sales_rates';
COMMENT ON FUNCTION oms.refresh_sales_rates(integer, text) IS 'counts what each location shipped and handed out of each item in the last weeks; returns the number of rates';

CREATE PROCEDURE oms.init_unit_value() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.unit_values (
        item_id     bigint NOT NULL,
        location_id bigint NOT NULL,
        tenant_id   int NOT NULL DEFAULT 1,
        cost        numeric NOT NULL DEFAULT 0 CHECK (cost BETWEEN 0 AND 1000000),
        markdown    numeric NOT NULL DEFAULT 0 CHECK (markdown BETWEEN 0 AND 1000000),
        PRIMARY KEY (item_id, location_id, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations
    );
    COMMENT ON TABLE oms.unit_values IS 'what a unit of an item at a location is worth beside its price; policies with margin_weight or markdown_weight count it';
    COMMENT ON COLUMN oms.unit_values.cost IS 'what the unit was bought for, in the currency of the policies: from where it was cheap, more margin is left';
    COMMENT ON COLUMN oms.unit_values.markdown IS 'what the unit will lose there if it is not sold: it is taken off the cost of a plan';

    CREATE TABLE oms.sales_rates (
        item_id        bigint NOT NULL,
        location_id    bigint NOT NULL,
        computed_at    timestamptz NOT NULL,
        tenant_id      int NOT NULL DEFAULT 1,
        units_per_week numeric NOT NULL CHECK (units_per_week >= 0),
        PRIMARY KEY (item_id, location_id, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations
    );
    COMMENT ON TABLE oms.sales_rates IS 'what a location sold a week, as refresh_sales_rates counted it; policies that look at weeks of supply divide free units by it';
END $init$;
