-- backorder.sql: units for backordered lines.

CREATE FUNCTION oms.fill_backorders(dry_run boolean DEFAULT false, max_orders integer DEFAULT NULL)
    RETURNS TABLE (order_id bigint, line_no integer, sku text, quantity integer, from_location text, location text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_fill_backorders';
COMMENT ON FUNCTION oms.fill_backorders(boolean, integer) IS 'gives backordered units a firm promise where there is stock, older orders first; units that a count withdrew are promised anew; says what it did, or with dry_run would do';

CREATE FUNCTION oms.date_backorders(max_counters integer DEFAULT 1000, idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_date_backorders';
COMMENT ON FUNCTION oms.date_backorders(integer, text) IS 'gives promises that wait the dates that the supplies give them today, where time alone moved them; returns the number of fulfillments that got another date';
