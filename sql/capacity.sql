-- capacity.sql: what locations can ship in a day.

CREATE FUNCTION oms.load_location_capacity(days jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_load_location_capacity';
COMMENT ON FUNCTION oms.load_location_capacity(jsonb, text) IS 'sets the capacity of locations on days, instead of their daily_capacity, but never below what is taken; returns the number of days';

CREATE PROCEDURE oms.init_capacity() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.location_capacity (
        location_id bigint NOT NULL,
        tenant_id   int NOT NULL DEFAULT 1,
        day         date NOT NULL,
        capacity    int NOT NULL CHECK (capacity >= 0),
        used        int NOT NULL DEFAULT 0 CHECK (used >= 0),
        fixed       boolean NOT NULL DEFAULT false,
        PRIMARY KEY (location_id, day, tenant_id),
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations ON DELETE CASCADE,
        CONSTRAINT location_capacity_kept CHECK (used <= capacity)
    ) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
    COMMENT ON TABLE oms.location_capacity IS 'orders or units (locations.capacity_unit) that a location ships on a local day; used is what fulfillments that are not cancelled or rejected have taken';
    COMMENT ON COLUMN oms.location_capacity.fixed IS 'set for this day; else it follows locations.daily_capacity';
END $init$;
