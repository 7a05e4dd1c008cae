-- postal_code.sql: where postal codes are.

CREATE FUNCTION oms.load_postal_codes(codes jsonb, mode text DEFAULT 'replace', idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_load_postal_codes';
COMMENT ON FUNCTION oms.load_postal_codes(jsonb, text, text) IS 'loads the middle of postal codes, which locates addresses and locations without coordinates; mode replace (all codes of the countries named) or add; returns the number of rows';

CREATE PROCEDURE oms.init_postal_code() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.postal_codes (
        latitude    float8 NOT NULL CHECK (latitude BETWEEN -90 AND 90),
        longitude   float8 NOT NULL CHECK (longitude BETWEEN -180 AND 180),
        tenant_id   int NOT NULL DEFAULT 1,
        country     text NOT NULL CHECK (country ~ '^[A-Z]{2}$'),
        postal_code text COLLATE "C" NOT NULL CHECK (postal_code ~ '^[0-9A-Z]{3,20}$'),
        PRIMARY KEY (country, postal_code, tenant_id)
    );
    COMMENT ON TABLE oms.postal_codes IS 'optional: the middle of postal codes, for what has no coordinates of its own';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.postal_codes
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
END $init$;
