-- location.sql: where orders ship from, and which channel may use which location.

CREATE FUNCTION oms.upsert_locations(locations jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_upsert_locations';
COMMENT ON FUNCTION oms.upsert_locations(jsonb, text) IS 'inserts or changes locations by code; a field left out keeps its value; "channels" lists the channels that may use the location; returns the number of locations';

CREATE PROCEDURE oms.init_location() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.locations_location_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.locations (
        location_id        bigint NOT NULL DEFAULT nextval('oms.locations_location_id_seq'),
        latitude           float8 CHECK (latitude BETWEEN -90 AND 90),
        longitude          float8 CHECK (longitude BETWEEN -180 AND 180),
        closed_until       timestamptz,
        tenant_id          int NOT NULL DEFAULT 1,
        rank               int NOT NULL DEFAULT 100,
        active             boolean NOT NULL DEFAULT true,
        ships              boolean NOT NULL DEFAULT true,
        pickup             boolean NOT NULL DEFAULT false,
        returns            boolean NOT NULL DEFAULT true,
        daily_returns      int CHECK (daily_returns >= 0),
        kind               text NOT NULL DEFAULT 'warehouse' CHECK (kind IN ('warehouse', 'store', 'supplier')),
        code               text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200),
        name               text,
        country            text CHECK (country ~ '^[A-Z]{2}$'),
        postal_code        text,
        time_zone          text NOT NULL DEFAULT 'UTC',
        address            jsonb,
        calendar           text,
        cut_off            time,
        collected_at       time,
        handling_days      int NOT NULL DEFAULT 0 CHECK (handling_days BETWEEN 0 AND 366),
        handling_hours     numeric NOT NULL DEFAULT 0 CHECK (handling_hours BETWEEN 0 AND 10000),
        daily_capacity     int CHECK (daily_capacity >= 0),
        limited            boolean NOT NULL DEFAULT false,
        capacity_unit      text NOT NULL DEFAULT 'order' CHECK (capacity_unit IN ('order', 'unit')),
        external_ref       text,
        cost_per_order     numeric NOT NULL DEFAULT 0 CHECK (cost_per_order >= 0),
        cost_per_line      numeric NOT NULL DEFAULT 0 CHECK (cost_per_line >= 0),
        cost_per_unit      numeric NOT NULL DEFAULT 0 CHECK (cost_per_unit >= 0),
        attributes         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
        PRIMARY KEY (location_id, tenant_id),
        UNIQUE (code, tenant_id),
        FOREIGN KEY (tenant_id, calendar) REFERENCES oms.calendars ON UPDATE CASCADE,
        CHECK ((latitude IS NULL) = (longitude IS NULL))
    );
    ALTER SEQUENCE oms.locations_location_id_seq OWNED BY oms.locations.location_id;
    COMMENT ON TABLE oms.locations IS 'warehouses, stores and suppliers';
    COMMENT ON COLUMN oms.locations.returns IS 'goods may be sent back to it';
    COMMENT ON COLUMN oms.locations.daily_returns IS 'units of returns that may be sent to it for those requested on one local day; null: any number';
    COMMENT ON COLUMN oms.locations.closed_until IS 'an outage: nothing new is promised from there before this moment';
    COMMENT ON COLUMN oms.locations.calendar IS 'when it works; null: always';
    COMMENT ON COLUMN oms.locations.cut_off IS 'local time; later orders count for the next working day; null: until it closes';
    COMMENT ON COLUMN oms.locations.collected_at IS 'local time at which parcels leave; null: when it closes';
    COMMENT ON COLUMN oms.locations.handling_days IS 'working days until an order is ready';
    COMMENT ON COLUMN oms.locations.handling_hours IS 'working hours until an order is ready, after the days';
    COMMENT ON COLUMN oms.locations.daily_capacity IS 'orders or units that it ships in a day; null: no limit but those of location_capacity';
    COMMENT ON COLUMN oms.locations.limited IS 'location_capacity has days that were set';
    COMMENT ON COLUMN oms.locations.rank IS 'ties go to the lower number';
    COMMENT ON COLUMN oms.locations.cost_per_order IS 'what a package costs there before it is carried, in the currency of the routing policy';
    COMMENT ON COLUMN oms.locations.cost_per_line IS 'what handling a line costs there, however many units it is, in the currency of the routing policy';
    COMMENT ON COLUMN oms.locations.cost_per_unit IS 'what handling a unit costs there, in the currency of the routing policy';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.locations
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    CREATE TABLE oms.channel_locations (
        channel_id  bigint NOT NULL,
        location_id bigint NOT NULL,
        tenant_id   int NOT NULL DEFAULT 1,
        rank        int,
        ships       boolean NOT NULL DEFAULT true,
        pickup      boolean NOT NULL DEFAULT true,
        returns     boolean NOT NULL DEFAULT true,
        CHECK (ships OR pickup OR returns),
        PRIMARY KEY (channel_id, location_id, tenant_id),
        FOREIGN KEY (channel_id, tenant_id) REFERENCES oms.channels ON DELETE CASCADE,
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations ON DELETE CASCADE
    );
    COMMENT ON TABLE oms.channel_locations IS 'which locations a channel may use; a channel without rows uses every active location';
    COMMENT ON COLUMN oms.channel_locations.ships IS 'its orders may be shipped from there, and available counts the units';
    COMMENT ON COLUMN oms.channel_locations.pickup IS 'its orders may be picked up there';
    COMMENT ON COLUMN oms.channel_locations.returns IS 'its returns may go there';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.channel_locations
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    CREATE TABLE oms.location_services (
        location_id  bigint NOT NULL,
        tenant_id    int NOT NULL DEFAULT 1,
        cut_off      time,
        collected_at time,
        service      text NOT NULL,
        PRIMARY KEY (location_id, service, tenant_id),
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations ON DELETE CASCADE
    );
    COMMENT ON TABLE oms.location_services IS 'services with times of their own at a location; null: those of the location';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.location_services
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    CREATE TABLE oms.location_groups (
        tenant_id int NOT NULL DEFAULT 1,
        code      text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200),
        name      text,
        PRIMARY KEY (tenant_id, code)
    );
    COMMENT ON TABLE oms.location_groups IS 'groups that routing policies and carts name';

    CREATE TABLE oms.location_group_members (
        location_id    bigint NOT NULL,
        tenant_id      int NOT NULL DEFAULT 1,
        location_group text NOT NULL,
        PRIMARY KEY (location_id, location_group, tenant_id),
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, location_group) REFERENCES oms.location_groups ON DELETE CASCADE ON UPDATE CASCADE
    );
    COMMENT ON TABLE oms.location_group_members IS 'which locations belong to a group; a location may belong to any number';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.location_group_members
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
END $init$;
