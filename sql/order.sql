-- order.sql: orders, their lines, deliveries and adjustments.

CREATE FUNCTION oms.place_order(doc jsonb, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_place_order';
COMMENT ON FUNCTION oms.place_order(jsonb, text) IS 'validates, reserves, routes, plans and records one order in the current transaction; the same document again gives the first answer';

CREATE FUNCTION oms.preview_order(doc jsonb) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_preview_order';
COMMENT ON FUNCTION oms.preview_order(jsonb) IS 'the answer that place_order would give now, with nothing locked or written';

CREATE FUNCTION oms.edit_draft(order_id bigint, changes jsonb, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_edit_draft';
COMMENT ON FUNCTION oms.edit_draft(bigint, jsonb, text) IS 'replaces fields of a draft''s document, null removes one; computes prices and totals again';

CREATE FUNCTION oms.place_draft(order_id bigint, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_place_draft';
COMMENT ON FUNCTION oms.place_draft(bigint, text) IS 'places a draft at its prices against today''s stock, as place_order would; refused once it is no longer valid';

CREATE FUNCTION oms.get_order(order_id bigint, version integer DEFAULT NULL) RETURNS jsonb
    LANGUAGE c STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_get_order';
COMMENT ON FUNCTION oms.get_order(bigint, integer) IS 'the whole order as one document, as it is or as it was until the edit that replaced that version';

CREATE FUNCTION oms.find_order(channel text, external_ref text) RETURNS bigint
    LANGUAGE c STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_find_order';
COMMENT ON FUNCTION oms.find_order(text, text) IS 'order_id of a channel''s reference, null where there is none';

CREATE FUNCTION oms.order_timeline(order_id bigint)
    RETURNS TABLE (event_id bigint, at timestamptz, actor text, object_type text, object_id bigint, type text,
                   action text, from_state text, to_state text, rule bigint, reason text, data jsonb)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 20 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_order_timeline';
COMMENT ON FUNCTION oms.order_timeline(bigint) IS 'every step of an order and its parts, in order';

CREATE FUNCTION oms.confirm_order(order_id bigint, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_confirm_order';
COMMENT ON FUNCTION oms.confirm_order(bigint, text) IS 'approves a placed order; where the channel requires it nothing is released before';

CREATE FUNCTION oms.cancel_order(order_id bigint, lines jsonb DEFAULT NULL, reason text DEFAULT NULL, shipped text DEFAULT 'refuse',
                                 if_version integer DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_cancel_order';
COMMENT ON FUNCTION oms.cancel_order(bigint, jsonb, text, text, integer, text) IS 'cancels what has not shipped: all of it, or the given lines and quantities; frees the promises; with shipped return, requests back what has shipped';

CREATE PROCEDURE oms.init_order() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.orders_order_id_seq AS bigint MAXVALUE 9007199254740991;
    -- Children of orders have no foreign key to it: the check costs more than the insert of the child row, all writes go
    -- through one call, and audit() reports an orphan.
    CREATE TABLE oms.orders (
        order_id           bigint NOT NULL DEFAULT nextval('oms.orders_order_id_seq'),
        channel_id         bigint NOT NULL,
        placed_at          timestamptz NOT NULL,
        document_hash      bigint,
        tenant_id          int NOT NULL,
        version            int NOT NULL DEFAULT 1,
        holds              int,
        priority           int NOT NULL DEFAULT 0 CHECK (priority BETWEEN -1000 AND 1000),
        overtaken          int,
        ship_complete      boolean,
        status             text NOT NULL,
        payment_status     text NOT NULL,
        fulfillment_status text NOT NULL,
        currency           text NOT NULL,
        external_ref       text NOT NULL,
        item_total         numeric NOT NULL,
        discount_total     numeric NOT NULL,
        shipping_total     numeric NOT NULL,
        fee_total          numeric NOT NULL,
        tax_total          numeric NOT NULL,
        total              numeric NOT NULL,
        customer_ref       text,
        customer           jsonb,
        bill_to            jsonb,
        attributes         jsonb,
        notes              text,
        risk               jsonb,
        ordered_by         text,
        valid_until        timestamptz,
        PRIMARY KEY (order_id, tenant_id),
        -- The tenant stands last: an index that begins with it looks as good as the primary key to a planner that
        -- knows nothing of the table yet, and would be walked whole.
        UNIQUE (channel_id, external_ref, tenant_id)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
    ALTER SEQUENCE oms.orders_order_id_seq OWNED BY oms.orders.order_id;
    CREATE INDEX orders_customer ON oms.orders (tenant_id, customer_ref) WHERE customer_ref IS NOT NULL;
    COMMENT ON TABLE oms.orders IS 'one row per order';
    COMMENT ON COLUMN oms.orders.document_hash IS 'hash of the document that placed the order: the same document again is the same order';
    COMMENT ON COLUMN oms.orders.holds IS 'holds on the order and its parts that have not been lifted, null where it never had one: read with the lock, so an order without holds pays nothing for them';
    COMMENT ON COLUMN oms.orders.priority IS 'of two orders that want the same units the one with the greater goes first, where the rules say so';
    COMMENT ON COLUMN oms.orders.overtaken IS 'runs of fill_backorders that gave units it waits for to a later order, null where none did';
    COMMENT ON COLUMN oms.orders.ship_complete IS 'nothing is released before all is promised from stock; null: parts may go first';
    COMMENT ON COLUMN oms.orders.ordered_by IS 'who ordered where it was not the customer: an agent, a clerk, a buyer; events name who called';
    COMMENT ON COLUMN oms.orders.valid_until IS 'until when a draft can be placed at its prices; null: as long as it exists';
    COMMENT ON COLUMN oms.orders.risk IS 'the last that a fraud check said of the order';
    COMMENT ON COLUMN oms.orders.tax_total IS 'all taxes; those included in prices do not add to total';
    CREATE TRIGGER guard_transition BEFORE UPDATE OF status ON oms.orders FOR EACH ROW
        WHEN (OLD.status IS DISTINCT FROM NEW.status)
        EXECUTE FUNCTION oms.guard_transition('order');

    -- The other two statuses are no states of a machine: they say what payments and lines add up to.
    CREATE FUNCTION oms.guard_derived_status() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $f$
    BEGIN
        IF NOT oms.in_call() AND to_regprocedure('oms.version()') IS NOT NULL THEN
            RAISE EXCEPTION 'payment_status and fulfillment_status of order % cannot be set by hand', OLD.order_id
                USING ERRCODE = 'OM002',
                    DETAIL = concat_ws('; ',
                        CASE WHEN OLD.payment_status IS DISTINCT FROM NEW.payment_status
                             THEN format('payment_status: is %s, not %s, as it follows from the payments', OLD.payment_status, NEW.payment_status) END,
                        CASE WHEN OLD.fulfillment_status IS DISTINCT FROM NEW.fulfillment_status
                             THEN format('fulfillment_status: is %s, not %s, as it follows from the quantities of the lines',
                                         OLD.fulfillment_status, NEW.fulfillment_status) END),
                    HINT = 'Call record_payment_event, ship_fulfillment or what else has happened; oms.repair() mends a status that audit() reports.';
        END IF;
        RETURN NEW;
    END $f$;
    COMMENT ON FUNCTION oms.guard_derived_status() IS 'refuses a direct UPDATE of the statuses of an order that follow from its payments and quantities';
    CREATE TRIGGER guard_derived_status BEFORE UPDATE OF payment_status, fulfillment_status ON oms.orders FOR EACH ROW
        WHEN (OLD.payment_status IS DISTINCT FROM NEW.payment_status OR OLD.fulfillment_status IS DISTINCT FROM NEW.fulfillment_status)
        EXECUTE FUNCTION oms.guard_derived_status();

    CREATE TABLE oms.order_drafts (
        order_id  bigint NOT NULL,
        tenant_id int NOT NULL,
        document  jsonb NOT NULL,
        PRIMARY KEY (order_id, tenant_id)
    );
    COMMENT ON TABLE oms.order_drafts IS 'the document of each draft as it will be placed; the row goes when the draft does';

    CREATE TABLE oms.order_lines (
        order_id         bigint NOT NULL,
        item_id          bigint NOT NULL,
        tenant_id        int NOT NULL,
        line_no          int NOT NULL,
        delivery_no      int NOT NULL,
        location_id      bigint,
        ordered          int NOT NULL,
        allocated        int NOT NULL DEFAULT 0,
        backordered      int NOT NULL DEFAULT 0,
        released         int NOT NULL DEFAULT 0,
        shipped          int NOT NULL DEFAULT 0,
        delivered        int NOT NULL DEFAULT 0,
        cancelled        int NOT NULL DEFAULT 0,
        return_requested int NOT NULL DEFAULT 0,
        returned         int NOT NULL DEFAULT 0,
        replaced         int NOT NULL DEFAULT 0,
        written_off      int NOT NULL DEFAULT 0,
        unit_price       numeric NOT NULL,
        amount           numeric NOT NULL,
        name             text,
        external_ref     text,
        lot              text,
        attributes       jsonb,
        together         text,
        divided_from     int,
        PRIMARY KEY (order_id, line_no, tenant_id),
        -- Few and short on purpose: the server reads every CHECK of a table again in each statement that writes it,
        -- and with a check on each column that was a seventh of the time of placing an order.
        CONSTRAINT order_lines_units CHECK (allocated + backordered + cancelled <= ordered),
        CONSTRAINT order_lines_stages CHECK (delivered <= shipped AND shipped <= released AND released <= allocated),
        CONSTRAINT order_lines_returned CHECK (return_requested + returned + written_off + replaced <= shipped),
        CONSTRAINT order_lines_not_negative CHECK (least(delivered, backordered, cancelled, return_requested, returned,
                                                         written_off, replaced, line_no - 1, ordered - 1) >= 0)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
    COMMENT ON COLUMN oms.order_lines.together IS 'lines with the same mark are promised at one location; null: from anywhere';
    COMMENT ON COLUMN oms.order_lines.divided_from IS 'the line whose other units go to another delivery; null: it is whole, or the first part';
    COMMENT ON TABLE oms.order_lines IS 'lines with their quantity ledger: each stage counts the units that reached it, so allocated contains released, released contains shipped, shipped contains delivered';
    COMMENT ON COLUMN oms.order_lines.lot IS 'the only lot that will do; null: any';
    COMMENT ON COLUMN oms.order_lines.location_id IS 'the only location that may serve the line; null: any';
    -- Few lines ever stand in it, and only what makes and fills backorders touches it.
    CREATE INDEX order_lines_backordered ON oms.order_lines (item_id, order_id) WHERE backordered > 0;
    COMMENT ON COLUMN oms.order_lines.amount IS 'ordered times unit_price, rounded to the currency';

    CREATE TABLE oms.order_deliveries (
        order_id           bigint NOT NULL,
        pickup_location_id bigint,
        requested_at       timestamptz,
        promised_at        timestamptz,
        tenant_id          int NOT NULL,
        delivery_no        int NOT NULL,
        method             text NOT NULL CHECK (method IN ('ship', 'pickup', 'ship_to_store', 'carry_out', 'digital', 'service')),
        service            text,
        address            jsonb,
        PRIMARY KEY (order_id, delivery_no, tenant_id)
    ) WITH (fillfactor = 90);
    COMMENT ON TABLE oms.order_deliveries IS 'ship groups of an order: where to and how';
    COMMENT ON COLUMN oms.order_deliveries.promised_at IS 'the first promise, of all its fulfillments; those have the current one';

    CREATE TABLE oms.order_adjustments (
        order_id      bigint NOT NULL,
        tenant_id     int NOT NULL,
        adjustment_no int NOT NULL,
        line_no       int,
        included      boolean NOT NULL DEFAULT false,
        type          text NOT NULL CHECK (type IN ('discount', 'tax', 'shipping', 'fee')),
        code          text,
        amount        numeric NOT NULL,
        basis         numeric CHECK (basis >= 0),
        PRIMARY KEY (order_id, adjustment_no, tenant_id),
        CHECK (type <> 'discount' OR amount <= 0),
        CHECK (type = 'tax' OR NOT included)
    );
    COMMENT ON TABLE oms.order_adjustments IS 'discounts (negative), taxes, shipping charges and fees of an order or of one line';
    COMMENT ON COLUMN oms.order_adjustments.basis IS 'what the amount was agreed for: units of the line, or items total of the order; null: as ordered';
    COMMENT ON COLUMN oms.order_adjustments.included IS 'a tax that the prices contain already';
END $init$;
