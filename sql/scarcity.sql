-- scarcity.sql: what a unit at a location is worth to orders that are yet to come.

CREATE FUNCTION oms.load_scarcity_prices(prices jsonb, mode text DEFAULT 'replace', idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_load_scarcity_prices';
COMMENT ON FUNCTION oms.load_scarcity_prices(jsonb, text, text) IS 'sets what units are worth to later orders: {"sku","location","price","computed_at"}; mode replace (all that was there goes) or add; returns the number of prices';

CREATE PROCEDURE oms.init_scarcity() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.scarcity_prices (
        item_id     bigint NOT NULL,
        location_id bigint NOT NULL,
        computed_at timestamptz NOT NULL,
        tenant_id   int NOT NULL DEFAULT 1,
        price       numeric NOT NULL CHECK (price BETWEEN 0 AND 1000000),
        PRIMARY KEY (item_id, location_id, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations
    );
    COMMENT ON TABLE oms.scarcity_prices IS 'what a unit of an item at a location is worth to orders that are yet to come; policies with scarcity_weight add it to the cost of taking the unit';
    COMMENT ON COLUMN oms.scarcity_prices.price IS 'in the currency of the policies, such as the dual of the stock in a transportation problem over the demand that is expected';
    COMMENT ON COLUMN oms.scarcity_prices.computed_at IS 'prices older than scarcity_max_hours of the policy do not count';
END $init$;
