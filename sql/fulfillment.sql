-- fulfillment.sql: what one location ships together, and the promises it holds.

CREATE FUNCTION oms.release_fulfillment(fulfillment_id bigint, if_version integer DEFAULT NULL,
    idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_release_fulfillment';
COMMENT ON FUNCTION oms.release_fulfillment(bigint, integer, text) IS 'hands a planned fulfillment to its location';

CREATE FUNCTION oms.accept_fulfillment(fulfillment_id bigint, if_version integer DEFAULT NULL,
    idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_accept_fulfillment';
COMMENT ON FUNCTION oms.accept_fulfillment(bigint, integer, text) IS 'the location says that it will do the work';

CREATE FUNCTION oms.pick_fulfillment(fulfillment_id bigint, lines jsonb DEFAULT NULL, if_version integer DEFAULT NULL,
    idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_pick_fulfillment';
COMMENT ON FUNCTION oms.pick_fulfillment(bigint, jsonb, integer, text) IS 'records picked units: [{"line_no","quantity"}], all that is open where lines is null';

CREATE FUNCTION oms.pack_fulfillment(fulfillment_id bigint, packages jsonb DEFAULT NULL, if_version integer DEFAULT NULL,
    idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_pack_fulfillment';
COMMENT ON FUNCTION oms.pack_fulfillment(bigint, jsonb, integer, text) IS 'records packages: [{"weight_grams","length_mm","width_mm","height_mm","external_ref","service"}]; one package where none is given';

CREATE FUNCTION oms.ready_for_pickup(fulfillment_id bigint, if_version integer DEFAULT NULL,
    idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_ready_for_pickup';
COMMENT ON FUNCTION oms.ready_for_pickup(bigint, integer, text) IS 'the goods wait for the customer';

CREATE FUNCTION oms.ship_fulfillment(fulfillment_id bigint, shipment jsonb DEFAULT NULL, if_version integer DEFAULT NULL,
    idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_ship_fulfillment';
COMMENT ON FUNCTION oms.ship_fulfillment(bigint, jsonb, integer, text) IS 'lowers on hand and promise together; {"carrier","service","tracking_number","lines":[{"line_no","quantity"}]}; lines left out or short stay open in a new fulfillment';

CREATE FUNCTION oms.pick_up_fulfillment(fulfillment_id bigint, lines jsonb DEFAULT NULL, if_version integer DEFAULT NULL,
    idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_pick_up_fulfillment';
COMMENT ON FUNCTION oms.pick_up_fulfillment(bigint, jsonb, integer, text) IS 'the customer took the goods; lines may name lots: [{"line_no","lots"}]';

CREATE FUNCTION oms.deliver_fulfillment(fulfillment_id bigint, at timestamptz DEFAULT NULL, if_version integer DEFAULT NULL,
    idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_deliver_fulfillment';
COMMENT ON FUNCTION oms.deliver_fulfillment(bigint, timestamptz, integer, text) IS 'the goods reached the customer; digital and service fulfillments are delivered without being shipped';

CREATE FUNCTION oms.cancel_fulfillment(fulfillment_id bigint, reason text DEFAULT NULL, if_version integer DEFAULT NULL,
    idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_cancel_fulfillment';
COMMENT ON FUNCTION oms.cancel_fulfillment(bigint, text, integer, text) IS 'cancels the units of one fulfillment that has not shipped';

CREATE PROCEDURE oms.init_fulfillment() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.fulfillments_fulfillment_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.fulfillments (
        fulfillment_id  bigint NOT NULL DEFAULT nextval('oms.fulfillments_fulfillment_id_seq'),
        order_id        bigint NOT NULL,
        location_id     bigint,
        planned_at      timestamptz NOT NULL,
        supplied_at     timestamptz,
        ship_by         timestamptz,
        earliest_at     timestamptz,
        promised_at     timestamptz,
        released_at     timestamptz,
        shipped_at      timestamptz,
        delivered_at    timestamptz,
        tenant_id       int NOT NULL,
        delivery_no     int NOT NULL,
        backordered     boolean NOT NULL DEFAULT false,
        capacity_taken  int,
        ship_day        date,
        status          text NOT NULL,
        carrier         text,
        service         text,
        tracking_number text,
        external_ref    text,
        attributes      jsonb,
        PRIMARY KEY (fulfillment_id, tenant_id)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
    ALTER SEQUENCE oms.fulfillments_fulfillment_id_seq OWNED BY oms.fulfillments.fulfillment_id;
    CREATE INDEX fulfillments_order ON oms.fulfillments (order_id);
    COMMENT ON TABLE oms.fulfillments IS 'what one location ships together; without a location for digital and service items';
    COMMENT ON COLUMN oms.fulfillments.ship_by IS 'when it has to leave for promised_at; null where nobody configured dates';
    COMMENT ON COLUMN oms.fulfillments.supplied_at IS 'of a backordered one: when the supplies that it waits for are there; null where nobody knows';
    COMMENT ON COLUMN oms.fulfillments.ship_day IS 'day of ship_by where the location is';
    COMMENT ON COLUMN oms.fulfillments.capacity_taken IS 'of the location on ship_day, until it is cancelled or rejected';
    COMMENT ON COLUMN oms.fulfillments.earliest_at IS 'delivery from';
    COMMENT ON COLUMN oms.fulfillments.promised_at IS 'delivery until';
    COMMENT ON COLUMN oms.fulfillments.service IS 'that the dates count on, until it ships';
    COMMENT ON COLUMN oms.fulfillments.backordered IS 'its promises are beyond what is on hand: it cannot be released yet';
    CREATE TRIGGER guard_transition BEFORE UPDATE OF status ON oms.fulfillments FOR EACH ROW
        WHEN (OLD.status IS DISTINCT FROM NEW.status)
        EXECUTE FUNCTION oms.guard_transition('fulfillment');

    -- The hard promise.  promised never changes, so the row is also the ledger entry of taking it; what ends it
    -- (shipping, cancelling) is a stock movement.
    CREATE TABLE oms.allocations (
        order_id       bigint NOT NULL,
        fulfillment_id bigint NOT NULL,
        item_id        bigint NOT NULL,
        location_id    bigint,
        promised_at    timestamptz NOT NULL,
        tenant_id      int NOT NULL,
        line_no        int NOT NULL,
        promised       int NOT NULL,
        picked         int NOT NULL DEFAULT 0,
        shipped        int NOT NULL DEFAULT 0,
        cancelled      int NOT NULL DEFAULT 0,
        lot            text,
        PRIMARY KEY (order_id, line_no, fulfillment_id, tenant_id),
        CONSTRAINT allocations_units CHECK (shipped + cancelled <= promised AND least(picked, shipped, cancelled) >= 0)
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
    CREATE INDEX allocations_lot ON oms.allocations (item_id, location_id, lot) WHERE lot IS NOT NULL;
    CREATE INDEX allocations_stock ON oms.allocations (item_id, location_id, order_id);
    COMMENT ON TABLE oms.allocations IS 'line x location x quantity: units that stock.reserved counts until they ship or are cancelled';
    COMMENT ON COLUMN oms.allocations.lot IS 'the lot that the line asked for: these units and no others; null: any';
    COMMENT ON COLUMN oms.allocations.cancelled IS 'promised units given back: cancelled, withdrawn or moved to another fulfillment';

    CREATE VIEW oms.fulfillment_lines AS
        SELECT tenant_id, fulfillment_id, order_id, line_no, item_id, location_id,
               promised - cancelled AS quantity, picked, shipped
        FROM oms.allocations;
    COMMENT ON VIEW oms.fulfillment_lines IS 'the lines of each fulfillment: its allocations';

    CREATE SEQUENCE oms.packages_package_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.packages (
        package_id      bigint NOT NULL DEFAULT nextval('oms.packages_package_id_seq'),
        fulfillment_id  bigint NOT NULL,
        order_id        bigint NOT NULL,
        packed_at       timestamptz NOT NULL,
        tenant_id       int NOT NULL,
        weight_grams    int CHECK (weight_grams >= 0),
        length_mm       int CHECK (length_mm >= 0),
        width_mm        int CHECK (width_mm >= 0),
        height_mm       int CHECK (height_mm >= 0),
        carrier         text,
        service         text,
        tracking_number text,
        external_ref    text,
        attributes      jsonb,
        PRIMARY KEY (package_id, tenant_id)
    );
    ALTER SEQUENCE oms.packages_package_id_seq OWNED BY oms.packages.package_id;
    CREATE INDEX packages_fulfillment ON oms.packages (fulfillment_id);
    COMMENT ON TABLE oms.packages IS 'boxes that leave a location';
END $init$;
