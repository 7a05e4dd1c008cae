-- backorder.sql: units for backordered lines.

CREATE FUNCTION oms.fill_backorders(dry_run boolean DEFAULT false, max_orders integer DEFAULT NULL)
    RETURNS TABLE (order_id bigint, line_no integer, sku text, quantity integer, from_location text, location text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_fill_backorders';
COMMENT ON FUNCTION oms.fill_backorders(boolean, integer) IS 'gives backordered units a firm promise where there is stock, older orders first; units that a count withdrew are promised anew; says what it did, or with dry_run would do';
