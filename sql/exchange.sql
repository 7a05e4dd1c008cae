-- exchange.sql: other goods for those that come back; the tables are those of returns.

CREATE FUNCTION oms.exchange_order(order_id bigint, lines jsonb DEFAULT NULL, new_lines jsonb DEFAULT NULL, reason text DEFAULT NULL,
                                   options jsonb DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_exchange_order';
COMMENT ON FUNCTION oms.exchange_order(bigint, jsonb, jsonb, text, jsonb, text) IS 'requests the return of units and places a linked order for others, or for the same again; what the units are worth pays for it; returns both and the difference';
