-- backorder.sql: units for backordered lines.

CREATE FUNCTION oms.fill_backorders(dry_run boolean DEFAULT false, max_orders integer DEFAULT NULL, order_by text DEFAULT NULL)
    RETURNS TABLE (order_id bigint, line_no integer, sku text, quantity integer, from_location text, location text)
    LANGUAGE c VOLATILE PARALLEL UNSAFE ROWS 100 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_fill_backorders';
COMMENT ON FUNCTION oms.fill_backorders(boolean, integer, text) IS 'gives backordered units a firm promise where there is stock, in the order of backorder_rules or order_by; units that a count withdrew are promised anew; says what it did, or with dry_run would do';

CREATE FUNCTION oms.date_backorders(max_counters integer DEFAULT 1000, idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_date_backorders';
COMMENT ON FUNCTION oms.date_backorders(integer, text) IS 'gives promises that wait the dates that the supplies give them today, where time alone moved them; returns the number of fulfillments that got another date';

CREATE PROCEDURE oms.init_backorder() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.backorder_rules (
        tenant_id      int NOT NULL PRIMARY KEY,
        withdraw_order text NOT NULL DEFAULT 'newest' CHECK (withdraw_order IN ('newest', 'lowest_priority', 'latest_date')),
        withdrawn      text NOT NULL DEFAULT 'wait' CHECK (withdrawn IN ('wait', 'replan')),
        fill_order     text NOT NULL DEFAULT 'date' CHECK (fill_order IN ('date', 'first_come', 'priority', 'margin')),
        overtakes_max  int NOT NULL DEFAULT 3 CHECK (overtakes_max BETWEEN 0 AND 1000)
    );
    COMMENT ON TABLE oms.backorder_rules IS 'who loses a promise first and who gets units first; a tenant without a row has the defaults';
    COMMENT ON COLUMN oms.backorder_rules.withdraw_order IS 'which promises go first where a count cannot cover them all; of equals the newest';
    COMMENT ON COLUMN oms.backorder_rules.withdrawn IS 'replan: what a count or a lost supply withdraws is promised anew in the same call where that is possible; wait: it waits for fill_backorders';
    COMMENT ON COLUMN oms.backorder_rules.fill_order IS 'by what fill_backorders serves orders: the earliest date that they wait for, were promised or asked for, first come, the greatest priority, or the highest price of a unit after discounts of its line, which for one item is the highest margin; of equals first come';
    COMMENT ON COLUMN oms.backorder_rules.overtakes_max IS 'an order that was overtaken in so many runs of fill_backorders goes before all others';
END $init$;
