-- stock_load.sql: many counters in one call.

CREATE FUNCTION oms.load_stock(rows jsonb, mode text DEFAULT 'full', as_of timestamptz DEFAULT NULL, reference text DEFAULT NULL,
                               idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_load_stock';
COMMENT ON FUNCTION oms.load_stock(jsonb, text, timestamptz, text, text) IS 'sets or changes up to 100,000 counters: a full snapshot of locations, counts, or deltas; a snapshot of an earlier moment keeps what was moved since';

CREATE PROCEDURE oms.init_stock_load() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.stock_snapshots (
        location_id bigint NOT NULL,
        tenant_id   int NOT NULL,
        as_of       timestamptz NOT NULL DEFAULT '-infinity',
        loaded_at   timestamptz,
        PRIMARY KEY (location_id, tenant_id),
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations
    );
    COMMENT ON TABLE oms.stock_snapshots IS 'the moment of the newest full snapshot of each location; locked while stock of the location is loaded';
END $init$;
