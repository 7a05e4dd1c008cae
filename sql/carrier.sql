-- carrier.sql: who carries parcels, from where to where, at which price.

CREATE FUNCTION oms.upsert_carriers(carriers jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_upsert_carriers';
COMMENT ON FUNCTION oms.upsert_carriers(jsonb, text) IS 'inserts or changes carriers by code, each with its "services"; a field left out keeps its value; returns the number of carriers';

CREATE FUNCTION oms.load_shipping_zones(chart text, zones jsonb, mode text DEFAULT 'replace', idempotency_key text DEFAULT NULL)
    RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_load_shipping_zones';
COMMENT ON FUNCTION oms.load_shipping_zones(text, jsonb, text, text) IS 'loads a zone chart: rows by origin and destination prefix, by origin location, or by distance band; mode replace or add; returns the number of rows';

CREATE FUNCTION oms.load_shipping_rates(service text, rates jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_load_shipping_rates';
COMMENT ON FUNCTION oms.load_shipping_rates(text, jsonb, text) IS 'replaces the rate card of a service: one row per zone and weight band; bands that overlap are refused; returns the number of rows';

CREATE FUNCTION oms.load_transit_times(service text, transit_times jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_load_transit_times';
COMMENT ON FUNCTION oms.load_transit_times(text, jsonb, text) IS 'replaces the transit times of a service: working days by zone, by distance band, or for all; returns the number of rows';

CREATE FUNCTION oms.load_exchange_rates(rates jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_load_exchange_rates';
COMMENT ON FUNCTION oms.load_exchange_rates(jsonb, text) IS 'inserts or changes exchange rates: from, to, valid_from, rate (how much of the second currency one of the first is); returns the number of rates';

CREATE FUNCTION oms.check_network()
    RETURNS TABLE ("check" text, object text, detail text)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 10 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_check_network';
COMMENT ON FUNCTION oms.check_network() IS 'names what is missing in the network: zones without a rate, weights between two bands, services and locations that no route can use';

CREATE PROCEDURE oms.init_carrier() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.carriers (
        tenant_id int NOT NULL DEFAULT 1,
        active    boolean NOT NULL DEFAULT true,
        code      text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200),
        name      text,
        PRIMARY KEY (tenant_id, code)
    );
    COMMENT ON TABLE oms.carriers IS 'who carries parcels';

    CREATE TABLE oms.carrier_services (
        tenant_id  int NOT NULL DEFAULT 1,
        active     boolean NOT NULL DEFAULT true,
        code       text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200),
        carrier    text NOT NULL,
        level      text,
        zone_chart text NOT NULL,
        currency   text NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
        surcharge  numeric NOT NULL DEFAULT 0 CHECK (surcharge >= 0),
        surcharge_percent  numeric NOT NULL DEFAULT 0 CHECK (surcharge_percent BETWEEN 0 AND 1000 AND scale(surcharge_percent) <= 2),
        volumetric_divisor int CHECK (volumetric_divisor BETWEEN 100 AND 1000000),
        name       text,
        calendar          text,
        delivery_calendar text,
        delivered_by      time NOT NULL DEFAULT '24:00',
        PRIMARY KEY (tenant_id, code),
        FOREIGN KEY (tenant_id, carrier) REFERENCES oms.carriers ON DELETE CASCADE,
        FOREIGN KEY (tenant_id, calendar) REFERENCES oms.calendars ON UPDATE CASCADE,
        FOREIGN KEY (tenant_id, delivery_calendar) REFERENCES oms.calendars ON UPDATE CASCADE
    );
    COMMENT ON TABLE oms.carrier_services IS 'what a carrier offers';
    COMMENT ON COLUMN oms.carrier_services.level IS 'what an order may ask for instead of one service: the cheapest of the level is taken';
    COMMENT ON COLUMN oms.carrier_services.surcharge IS 'on every parcel, on top of its rate';
    COMMENT ON COLUMN oms.carrier_services.surcharge_percent IS 'of the rate, such as for fuel, on top of it; halves of a thousandth of the currency unit round up';
    COMMENT ON COLUMN oms.carrier_services.volumetric_divisor IS 'cubic centimetres that count as a kilogram; null: only what goods weigh counts';

    COMMENT ON COLUMN oms.carrier_services.calendar IS 'days on which it collects and carries; null: all';
    COMMENT ON COLUMN oms.carrier_services.delivery_calendar IS 'days on which it delivers; null: those of calendar';
    COMMENT ON COLUMN oms.carrier_services.delivered_by IS 'local time until which it delivers';

    CREATE TABLE oms.transit_times (
        distance_from float8 NOT NULL DEFAULT 0 CHECK (distance_from >= 0),
        distance_to   float8 NOT NULL DEFAULT 'infinity',
        tenant_id     int NOT NULL DEFAULT 1,
        days          int NOT NULL CHECK (days BETWEEN 0 AND 366),
        days_latest   int NOT NULL CHECK (days_latest BETWEEN 0 AND 366),
        service       text NOT NULL,
        zone          text NOT NULL DEFAULT '',
        PRIMARY KEY (tenant_id, service, zone, distance_from),
        FOREIGN KEY (tenant_id, service) REFERENCES oms.carrier_services ON DELETE CASCADE,
        CHECK (distance_to > distance_from),
        CHECK (days_latest >= days),
        CHECK (zone = '' OR (distance_from = 0 AND distance_to = 'infinity'))
    );
    COMMENT ON TABLE oms.transit_times IS 'working days of the carrier from collection to delivery, by zone or by kilometres; without a row the day of delivery is not known';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.transit_times
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    CREATE TABLE oms.exchange_rates (
        tenant_id     int NOT NULL DEFAULT 1,
        valid_from    date NOT NULL,
        from_currency text NOT NULL CHECK (from_currency ~ '^[A-Z]{3}$'),
        to_currency   text NOT NULL CHECK (to_currency ~ '^[A-Z]{3}$'),
        rate          numeric NOT NULL CHECK (rate BETWEEN 0.000000001 AND 1000000000),
        PRIMARY KEY (tenant_id, from_currency, to_currency, valid_from)
    );
    COMMENT ON TABLE oms.exchange_rates IS 'by which a routing policy with convert counts prices of services in other currencies';
    COMMENT ON COLUMN oms.exchange_rates.rate IS 'how much of to_currency one of from_currency is, from this day (UTC) on until a later one';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.exchange_rates
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    CREATE SEQUENCE oms.shipping_zones_zone_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.shipping_zones (
        zone_id             bigint NOT NULL DEFAULT nextval('oms.shipping_zones_zone_id_seq'),
        distance_from       float8,
        distance_to         float8,
        tenant_id           int NOT NULL DEFAULT 1,
        chart               text NOT NULL,
        zone                text NOT NULL,
        origin_location     text NOT NULL DEFAULT '',
        origin_prefix       text NOT NULL DEFAULT '',
        destination_country text NOT NULL DEFAULT '',
        destination_prefix  text NOT NULL DEFAULT '',
        PRIMARY KEY (zone_id, tenant_id),
        CHECK ((distance_from IS NULL) = (distance_to IS NULL)),
        CHECK (distance_from >= 0 AND distance_to > distance_from),
        CHECK (distance_to IS NULL OR origin_location || origin_prefix || destination_country || destination_prefix = '')
    );
    ALTER SEQUENCE oms.shipping_zones_zone_id_seq OWNED BY oms.shipping_zones.zone_id;
    CREATE UNIQUE INDEX shipping_zones_pair ON oms.shipping_zones (tenant_id, destination_prefix, chart, origin_prefix,
        origin_location, destination_country, distance_from) NULLS NOT DISTINCT;
    COMMENT ON TABLE oms.shipping_zones IS 'zone charts: the zone from an origin to a destination, by postal code prefix, by location or by kilometres';

    CREATE TABLE oms.shipping_rates (
        from_grams   bigint NOT NULL CHECK (from_grams >= 0),
        to_grams     bigint NOT NULL,
        tenant_id    int NOT NULL DEFAULT 1,
        service      text NOT NULL,
        zone         text NOT NULL,
        amount       numeric NOT NULL CHECK (amount >= 0),
        per_kilogram numeric NOT NULL DEFAULT 0 CHECK (per_kilogram >= 0),
        minimum      numeric NOT NULL DEFAULT 0 CHECK (minimum >= 0),
        PRIMARY KEY (tenant_id, service, zone, to_grams),
        FOREIGN KEY (tenant_id, service) REFERENCES oms.carrier_services ON DELETE CASCADE,
        CHECK (to_grams >= from_grams)
    );
    COMMENT ON TABLE oms.shipping_rates IS 'rate cards: a parcel of from_grams to to_grams costs the greater of minimum and amount + per_kilogram';

    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.carriers
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.carrier_services
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.shipping_zones
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.shipping_rates
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
END $init$;
