-- calendar.sql: working days and opening hours of locations and carriers.

CREATE FUNCTION oms.upsert_calendars(calendars jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_upsert_calendars';
COMMENT ON FUNCTION oms.upsert_calendars(jsonb, text) IS 'inserts or changes calendars by code; "hours" and "days" are replaced whole where they are given; a calendar without an open day within a year is refused; returns the number of calendars';

CREATE PROCEDURE oms.init_calendar() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.calendars (
        tenant_id int NOT NULL DEFAULT 1,
        code      text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200),
        name      text,
        PRIMARY KEY (tenant_id, code)
    );
    COMMENT ON TABLE oms.calendars IS 'when locations and carriers work; a location or service without a calendar always does';

    CREATE TABLE oms.calendar_hours (
        tenant_id int NOT NULL DEFAULT 1,
        weekday   int NOT NULL CHECK (weekday BETWEEN 1 AND 7),
        opens     time NOT NULL DEFAULT '00:00',
        closes    time NOT NULL DEFAULT '24:00',
        calendar  text NOT NULL,
        PRIMARY KEY (tenant_id, calendar, weekday),
        FOREIGN KEY (tenant_id, calendar) REFERENCES oms.calendars ON DELETE CASCADE ON UPDATE CASCADE,
        CHECK (closes > opens)
    );
    COMMENT ON TABLE oms.calendar_hours IS 'opening hours by weekday, 1 is Monday; a weekday without a row is closed';

    CREATE TABLE oms.calendar_days (
        tenant_id int NOT NULL DEFAULT 1,
        first_day date NOT NULL,
        last_day  date NOT NULL,
        opens     time,
        closes    time,
        calendar  text NOT NULL,
        location  text NOT NULL DEFAULT '',
        note      text,
        PRIMARY KEY (tenant_id, calendar, location, first_day),
        FOREIGN KEY (tenant_id, calendar) REFERENCES oms.calendars ON DELETE CASCADE ON UPDATE CASCADE,
        CHECK (last_day >= first_day),
        CHECK (closes > opens),
        CHECK ((opens IS NULL) = (closes IS NULL))
    );
    COMMENT ON TABLE oms.calendar_days IS 'holidays, outages and special openings: days that are not like their weekday';
    COMMENT ON COLUMN oms.calendar_days.opens IS 'null: closed on these days';
    COMMENT ON COLUMN oms.calendar_days.location IS 'only for this location of the calendar; empty: for all';

    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.calendars
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.calendar_hours
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.calendar_days
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
END $init$;
