-- service_sheet.sql: a carrier's services, zones, prices and days in one table, as carriers publish them.

CREATE FUNCTION oms.load_service_sheet(carrier text, sheet jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_load_service_sheet';
COMMENT ON FUNCTION oms.load_service_sheet(text, jsonb, text) IS 'loads the services of a carrier from rows of service, zone by countries, weight step, rate and transit days; replaces zones, rates and days of the services named; returns the number of rows';
