-- event.sql: every change, append-only; history and outbox in one.

CREATE PROCEDURE oms.init_event() LANGUAGE plpgsql AS $init$
BEGIN
    -- Records are only added to: events, movements, what happened to money, what an order was before.  What calls
    -- rewrite (forget_customer) they rewrite inside a call; restoring, replication and archiving run with
    -- session_replication_role = replica, where no trigger fires; a partition is dropped whole.  Every partition has
    -- the row trigger from its parent, but the one for TRUNCATE has to be made for each.
    CREATE FUNCTION oms.guard_record() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp AS $f$
    BEGIN
        IF oms.in_call() THEN
            RETURN coalesce(NEW, OLD);
        END IF;
        RAISE EXCEPTION '% of %.% is not permitted: it is a record', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
            USING ERRCODE = 'OM012',
                DETAIL = CASE TG_OP WHEN 'TRUNCATE' THEN 'all rows'
                         ELSE (SELECT string_agg(k || ' ' || (to_jsonb(OLD) ->> k), ', ' ORDER BY n)
                               FROM unnest(TG_ARGV) WITH ORDINALITY a(k, n)) END,
                HINT = 'Calls correct by adding to it, as adjust_stock, record_payment_event and repair do. To archive, detach or drop whole partitions, or set session_replication_role to replica.';
    END $f$;
    COMMENT ON FUNCTION oms.guard_record() IS 'refuses UPDATE, DELETE and TRUNCATE of what is only added to, outside of a call; the arguments are the columns that name a row';

    CREATE SEQUENCE oms.events_event_id_seq AS bigint MAXVALUE 9007199254740991;
    -- Columns by width: two eight-byte ids first, so that a row has no padding.  txid tells consumers which
    -- transactions may still be open behind a position; it is never compared across a restore.
    CREATE TABLE oms.events (
        event_id    bigint NOT NULL DEFAULT nextval('oms.events_event_id_seq'),
        order_id    bigint,
        object_id   bigint,
        rule        bigint,
        txid        xid8 NOT NULL DEFAULT pg_current_xact_id(),
        at          timestamptz NOT NULL,
        tenant_id   int NOT NULL,
        object_type text NOT NULL,
        type        text NOT NULL,
        action      text,
        from_state  text,
        to_state    text,
        actor       text NOT NULL,
        reason      text,
        data        jsonb,
        PRIMARY KEY (event_id, at, tenant_id)
    ) PARTITION BY RANGE (at);
    ALTER SEQUENCE oms.events_event_id_seq OWNED BY oms.events.event_id;
    CREATE INDEX events_order ON oms.events (order_id, event_id);
    COMMENT ON TABLE oms.events IS 'every change of every object, in the transaction that made it; partitioned by month';
    COMMENT ON COLUMN oms.events.rule IS 'transition_id of the transition that allowed the step';
    CREATE TRIGGER guard_record BEFORE UPDATE OR DELETE ON oms.events
        FOR EACH ROW EXECUTE FUNCTION oms.guard_record('event_id');
    CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.events EXECUTE FUNCTION oms.guard_record();
    CREATE TABLE oms.events_default PARTITION OF oms.events DEFAULT;
    CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.events_default EXECUTE FUNCTION oms.guard_record();
    PERFORM oms.create_partitions(pg_catalog.now(), 3);
END $init$;

CREATE FUNCTION oms.create_partitions(from_time timestamptz, months integer) RETURNS integer LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    month date := date_trunc('month', from_time AT TIME ZONE 'UTC')::date;
    parent text;
    part text;
    made integer := 0;
BEGIN
    IF months IS NULL OR months < 0 OR months > 120 OR from_time IS NULL THEN
        RAISE EXCEPTION 'months must be between 0 and 120' USING ERRCODE = 'OM006',
            HINT = 'Partitions are made for the month of from_time and that many months after it.';
    END IF;
    FOR i IN 0 .. months LOOP
        FOREACH parent IN ARRAY ARRAY['events', 'stock_movements', 'lot_movements'] LOOP
            part := format('%s_%s', parent, to_char(month, 'YYYYMM'));
            IF to_regclass('oms.' || parent) IS NULL OR to_regclass('oms.' || part) IS NOT NULL THEN
                CONTINUE;
            END IF;
            EXECUTE format('CREATE TABLE oms.%I PARTITION OF oms.%I FOR VALUES FROM (%L) TO (%L)', part, parent,
                           to_char(month, 'YYYY-MM-DD') || ' 00:00:00+00',
                           to_char(month + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00');
            EXECUTE format('CREATE TRIGGER guard_record_whole BEFORE TRUNCATE ON oms.%I EXECUTE FUNCTION oms.guard_record()', part);
            made := made + 1;
        END LOOP;
        month := (month + interval '1 month')::date;
    END LOOP;
    RETURN made;
END $f$;
COMMENT ON FUNCTION oms.create_partitions(timestamptz, integer) IS 'makes the monthly partitions of events, stock_movements and lot_movements for the month of from_time and the given number of months after it; rows without one go to the default partition';
