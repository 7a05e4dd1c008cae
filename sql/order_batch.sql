-- order_batch.sql: many orders in one call.

CREATE FUNCTION oms.place_orders(docs jsonb, idempotency_key text DEFAULT NULL)
    RETURNS TABLE ("position" integer, order_id bigint, sqlstate text, message text, result jsonb)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 1000 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_place_orders';
COMMENT ON FUNCTION oms.place_orders(jsonb, text) IS 'places many orders as if one after the other, each whole or not at all; one row per document says what became of it';
