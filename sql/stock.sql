-- stock.sql: counters and their ledger.

CREATE FUNCTION oms.receive_stock(location text, sku text, quantity integer, reference text DEFAULT NULL,
                                  state text DEFAULT NULL, lots jsonb DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_receive_stock';
COMMENT ON FUNCTION oms.receive_stock(text, text, integer, text, text, jsonb, text) IS 'adds units that arrived at a location, sellable or in another state; returns what is there now';

CREATE FUNCTION oms.adjust_stock(location text, sku text, quantity integer, reason text, reference text DEFAULT NULL,
                                 lots jsonb DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_adjust_stock';
COMMENT ON FUNCTION oms.adjust_stock(text, text, integer, text, text, jsonb, text) IS 'changes on hand by a positive or negative quantity with a reason; returns the new on hand';

CREATE FUNCTION oms.count_stock(location text, sku text, counted integer, reference text DEFAULT NULL,
                                lots jsonb DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_count_stock';
COMMENT ON FUNCTION oms.count_stock(text, text, integer, text, jsonb, text) IS 'sets on hand to what was counted; promises that the count cannot cover are withdrawn in the order of backorder_rules and listed';

CREATE FUNCTION oms.set_stock_limits(location text, sku text, safety integer DEFAULT NULL,
                                     backorder_limit integer DEFAULT NULL, reorder_point integer DEFAULT NULL,
                                     idempotency_key text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_set_stock_limits';
COMMENT ON FUNCTION oms.set_stock_limits(text, text, integer, integer, integer, text) IS 'sets safety stock, backorder limit and reorder point of an item at a location; null keeps the value';

CREATE PROCEDURE oms.init_stock() LANGUAGE plpgsql AS $init$
BEGIN
    -- One row per item and location.  fillfactor leaves room for HOT updates; no index stands on a counter.
    -- A counter is one row, or for a while several when sessions queue at it: see src/stock_counter.c.
    CREATE TABLE oms.stock_counters (
        item_id         bigint NOT NULL,
        location_id     bigint NOT NULL,
        tenant_id       int NOT NULL DEFAULT 1,
        on_hand         int NOT NULL DEFAULT 0,
        reserved        int NOT NULL DEFAULT 0,
        safety          int NOT NULL DEFAULT 0,
        backorder_limit int NOT NULL DEFAULT 0,
        reorder_point   int NOT NULL DEFAULT 0,
        stripe          smallint NOT NULL DEFAULT 0,
        stripes         smallint NOT NULL DEFAULT 1,
        waits           smallint NOT NULL DEFAULT 0,
        waited_at       timestamptz,
        PRIMARY KEY (tenant_id, item_id, location_id, stripe),
        CONSTRAINT stock_never_oversold CHECK (reserved <= on_hand + backorder_limit),
        CONSTRAINT stock_limits CHECK (least(on_hand, reserved, safety, backorder_limit, reorder_point) >= 0
                                       AND greatest(on_hand, safety, backorder_limit, reorder_point) <= 1000000000),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
    COMMENT ON TABLE oms.stock_counters IS 'the counters behind oms.stock: one row per item and location, several while many sessions sell the same item';
    COMMENT ON COLUMN oms.stock_counters.stripe IS '0 is the first row of a counter; the others hold a share of its units and promises each';
    COMMENT ON COLUMN oms.stock_counters.stripes IS 'in the first row: into how many rows the counter is divided; 0 in the others';
    COMMENT ON COLUMN oms.stock_counters.waits IS 'sessions that had to wait here, each soon after the one before';

    CREATE VIEW oms.stock AS
        SELECT item_id, location_id, tenant_id, sum(on_hand)::int AS on_hand, sum(reserved)::int AS reserved,
               sum(safety)::int AS safety, sum(backorder_limit)::int AS backorder_limit,
               sum(reorder_point)::int AS reorder_point
        FROM oms.stock_counters GROUP BY tenant_id, item_id, location_id;
    COMMENT ON VIEW oms.stock IS 'sellable stock, one row per item and location; a missing row counts as zero';
    COMMENT ON COLUMN oms.stock.reserved IS 'units promised to orders and held for carts: the open units of allocations and the units of reservation_lines';
    COMMENT ON COLUMN oms.stock.reorder_point IS 'what can be sold is low at this number and below: event stock.low';
    COMMENT ON COLUMN oms.stock.backorder_limit IS 'units that may be promised beyond on hand';

    CREATE SEQUENCE oms.stock_movements_movement_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.stock_movements (
        movement_id    bigint NOT NULL DEFAULT nextval('oms.stock_movements_movement_id_seq'),
        item_id        bigint NOT NULL,
        location_id    bigint NOT NULL,
        order_id       bigint,
        at             timestamptz NOT NULL,
        counted_at     timestamptz,
        tenant_id      int NOT NULL,
        on_hand_delta  int NOT NULL,
        reserved_delta int NOT NULL,
        state_delta    int,
        state          text,
        type           text NOT NULL,
        reason         text,
        reference      text,
        actor          text NOT NULL,
        PRIMARY KEY (movement_id, at, tenant_id)
    ) PARTITION BY RANGE (at);
    ALTER SEQUENCE oms.stock_movements_movement_id_seq OWNED BY oms.stock_movements.movement_id;
    CREATE INDEX stock_movements_item ON oms.stock_movements (item_id, location_id, at);
    COMMENT ON TABLE oms.stock_movements IS 'ledger: every change of a counter except the taking of a promise, whose ledger row is the allocation itself';
    COMMENT ON COLUMN oms.stock_movements.at IS 'when the call began that moved the units';
    COMMENT ON COLUMN oms.stock_movements.state IS 'state other than sellable whose units change by state_delta';
    COMMENT ON COLUMN oms.stock_movements.counted_at IS 'of a count or snapshot: the moment at which the units stood there';
    CREATE TRIGGER guard_record BEFORE UPDATE OR DELETE ON oms.stock_movements
        FOR EACH ROW EXECUTE FUNCTION oms.guard_record('movement_id');
    CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.stock_movements EXECUTE FUNCTION oms.guard_record();
    CREATE TABLE oms.stock_movements_default PARTITION OF oms.stock_movements DEFAULT;
    CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.stock_movements_default EXECUTE FUNCTION oms.guard_record();
    PERFORM oms.create_partitions(pg_catalog.now(), 3);
END $init$;
