-- find.sql: orders by what they carry, and every object by the reference that others know it by.

CREATE FUNCTION oms.find_orders(attributes jsonb DEFAULT NULL, channel text DEFAULT NULL, customer_ref text DEFAULT NULL,
                                status text DEFAULT NULL, placed_from timestamptz DEFAULT NULL, placed_to timestamptz DEFAULT NULL,
                                before bigint DEFAULT NULL, max_count integer DEFAULT NULL)
    RETURNS TABLE (order_id bigint, channel_code text, external_ref text, order_status text, payment_status text, fulfillment_status text,
                   placed_at timestamptz, currency text, total numeric, customer text, order_attributes jsonb)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 100 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_find_orders';
COMMENT ON FUNCTION oms.find_orders(jsonb, text, text, text, timestamptz, timestamptz, bigint, integer) IS 'orders that meet all that is given, the newest first; attributes: those that the order contains';

CREATE FUNCTION oms.set_external_ref(object_type text, object_id bigint, external_ref text, idempotency_key text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_set_external_ref';
COMMENT ON FUNCTION oms.set_external_ref(text, bigint, text, text) IS 'gives a fulfillment, package, payment, return, hold, item or location the reference that another system knows it by; null takes it away';

CREATE FUNCTION oms.find_object(object_type text, external_ref text) RETURNS TABLE (object_id bigint, order_id bigint)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_find_object';
COMMENT ON FUNCTION oms.find_object(text, text) IS 'the objects of a type that have the reference, with the orders that they are parts of; a line is known by its number';

CREATE FUNCTION oms.set_attributes(object_type text, object_id bigint, attributes jsonb, idempotency_key text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_set_attributes';
COMMENT ON FUNCTION oms.set_attributes(text, bigint, jsonb, text) IS 'replaces the custom attributes of a fulfillment, package, payment, return, hold, supply or transfer; null takes them away';

CREATE PROCEDURE oms.init_find() LANGUAGE plpgsql AS $init$
BEGIN
    -- Rows without a reference cost these nothing.  A reference names one object; of lines, one of its order.
    CREATE UNIQUE INDEX fulfillments_ref ON oms.fulfillments (external_ref, tenant_id) WHERE external_ref IS NOT NULL;
    CREATE UNIQUE INDEX packages_ref ON oms.packages (external_ref, tenant_id) WHERE external_ref IS NOT NULL;
    CREATE UNIQUE INDEX payments_ref ON oms.payments (external_ref, tenant_id) WHERE external_ref IS NOT NULL;
    CREATE UNIQUE INDEX returns_ref ON oms.returns (external_ref, tenant_id) WHERE external_ref IS NOT NULL;
    CREATE UNIQUE INDEX order_lines_ref ON oms.order_lines (external_ref, order_id, tenant_id) WHERE external_ref IS NOT NULL;
    CREATE UNIQUE INDEX items_ref ON oms.items (external_ref, tenant_id) WHERE external_ref IS NOT NULL;
    CREATE UNIQUE INDEX locations_ref ON oms.locations (external_ref, tenant_id) WHERE external_ref IS NOT NULL;
    CREATE UNIQUE INDEX holds_ref ON oms.holds (external_ref, tenant_id) WHERE external_ref IS NOT NULL;
END $init$;
