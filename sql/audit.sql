-- audit.sql: recomputes every counter, balance and status from the ledgers.

CREATE FUNCTION oms.audit()
    RETURNS TABLE ("check" text, object text, expected text, found text)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_audit';
COMMENT ON FUNCTION oms.audit() IS 'one row for every counter, balance or status that differs from what the ledgers give; no row means sound';

CREATE PROCEDURE oms.init_audit() LANGUAGE plpgsql AS $init$
BEGIN
    NULL;
END $init$;
