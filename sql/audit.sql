-- audit.sql: recomputes every counter, balance and status from the ledgers.

-- One statement of some hundred joins: compiling it would take longer than running it.
CREATE FUNCTION oms.audit()
    RETURNS TABLE ("check" text, object text, expected text, found text)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 SET search_path = pg_catalog, pg_temp SET jit = off
    AS 'MODULE_PATHNAME', 'oms_audit';
COMMENT ON FUNCTION oms.audit() IS 'one row for every counter, balance or status that differs from what the ledgers give; no row means sound';

CREATE FUNCTION oms.repair("check" text DEFAULT NULL, dry_run boolean DEFAULT false, idempotency_key text DEFAULT NULL)
    RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_repair';
COMMENT ON FUNCTION oms.repair(text, boolean, text) IS 'mends what audit() reports where the records leave no doubt, one check or all; lists old and new, and what it refused and why';

CREATE PROCEDURE oms.init_audit() LANGUAGE plpgsql AS $init$
BEGIN
    NULL;
END $init$;
