-- reservation.sql: units held for carts.

CREATE FUNCTION oms.reserve(lines jsonb, ttl interval DEFAULT NULL, channel text DEFAULT NULL, reference text DEFAULT NULL,
                            partial boolean DEFAULT false, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_reserve';
COMMENT ON FUNCTION oms.reserve(jsonb, interval, text, text, boolean, text) IS 'holds units for a cart until the ttl has passed (default: reservation_ttl of the channel); with the same reference it replaces what the cart held before';

CREATE FUNCTION oms.extend_reservation(reservation_id bigint, ttl interval DEFAULT NULL, idempotency_key text DEFAULT NULL)
    RETURNS timestamptz
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_extend_reservation';
COMMENT ON FUNCTION oms.extend_reservation(bigint, interval, text) IS 'lets a reservation that has not ended last for the ttl from now; returns when it expires';

CREATE FUNCTION oms.release_reservation(reservation_id bigint, idempotency_key text DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_release_reservation';
COMMENT ON FUNCTION oms.release_reservation(bigint, text) IS 'gives the units of a reservation back; false where it had ended already';

CREATE FUNCTION oms.expire_reservations(max_count integer DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_expire_reservations';
COMMENT ON FUNCTION oms.expire_reservations(integer, text) IS 'tidies up reservations that have expired, the oldest first; returns how many. No sale waits for it. Removes those that ended and would have expired more than 30 days ago';

CREATE PROCEDURE oms.init_reservation() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.reservations_reservation_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.reservations (
        reservation_id bigint NOT NULL DEFAULT nextval('oms.reservations_reservation_id_seq'),
        channel_id     bigint NOT NULL,
        created_at     timestamptz NOT NULL,
        expires_at     timestamptz NOT NULL,
        tenant_id      int NOT NULL,
        status         text NOT NULL,
        reference      text CHECK (octet_length(reference) BETWEEN 1 AND 200),
        PRIMARY KEY (reservation_id, tenant_id),
        FOREIGN KEY (channel_id, tenant_id) REFERENCES oms.channels
    ) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);
    ALTER SEQUENCE oms.reservations_reservation_id_seq OWNED BY oms.reservations.reservation_id;
    CREATE UNIQUE INDEX reservations_cart ON oms.reservations (tenant_id, channel_id, reference) WHERE status = 'held';
    CREATE INDEX reservations_due ON oms.reservations (tenant_id, expires_at) WHERE status = 'held';
    CREATE INDEX reservations_ended ON oms.reservations (tenant_id, expires_at) WHERE status <> 'held';
    COMMENT ON TABLE oms.reservations IS 'holds for carts; a hold ends at expires_at whether or not its status says so yet';
    CREATE TRIGGER guard_transition BEFORE UPDATE OF status ON oms.reservations FOR EACH ROW
        WHEN (OLD.status IS DISTINCT FROM NEW.status)
        EXECUTE FUNCTION oms.guard_transition('reservation');

    CREATE TABLE oms.reservation_lines (
        reservation_id bigint NOT NULL,
        item_id        bigint NOT NULL,
        location_id    bigint NOT NULL,
        tenant_id      int NOT NULL,
        quantity       int NOT NULL CHECK (quantity >= 0),
        PRIMARY KEY (reservation_id, item_id, location_id, tenant_id),
        FOREIGN KEY (reservation_id, tenant_id) REFERENCES oms.reservations
    ) WITH (autovacuum_vacuum_scale_factor = 0.05);
    CREATE INDEX reservation_lines_item ON oms.reservation_lines (item_id, location_id);
    COMMENT ON TABLE oms.reservation_lines IS 'units that a reservation holds at a counter; the rows of a reservation go when it ends, stock_movements keeps them';
END $init$;
