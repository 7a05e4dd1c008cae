-- channel_level.sql: thresholds of channels, below which their stock of an item is low.

CREATE FUNCTION oms.set_channel_threshold(channel text, sku text, low_at integer, idempotency_key text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_set_channel_threshold';
COMMENT ON FUNCTION oms.set_channel_threshold(text, text, integer, text) IS 'lets events tell when what a channel may promise of an item falls to so many units or none, and rises again; null takes the threshold away';

CREATE PROCEDURE oms.init_channel_level() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.channel_levels_level_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.channel_levels (
        level_id   bigint NOT NULL DEFAULT nextval('oms.channel_levels_level_id_seq'),
        item_id    bigint NOT NULL,
        channel_id bigint NOT NULL,
        version    bigint NOT NULL DEFAULT 0,
        tenant_id  int NOT NULL DEFAULT 1,
        low_at     int NOT NULL,
        level      text NOT NULL DEFAULT 'ok',
        PRIMARY KEY (level_id, tenant_id),
        UNIQUE (item_id, channel_id, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (channel_id, tenant_id) REFERENCES oms.channels,
        CONSTRAINT channel_levels_low_at CHECK (low_at BETWEEN 0 AND 1000000000),
        CONSTRAINT channel_levels_level CHECK (level IN ('ok', 'low', 'out'))
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
    ALTER SEQUENCE oms.channel_levels_level_id_seq OWNED BY oms.channel_levels.level_id;
    COMMENT ON TABLE oms.channel_levels IS 'thresholds of channels, and on which side of them their stock was when it last changed';
    COMMENT ON COLUMN oms.channel_levels.low_at IS 'units that the channel may promise at which its stock is low';
    CREATE TRIGGER configuration_changed AFTER INSERT OR DELETE OR TRUNCATE ON oms.channel_levels
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
END $init$;
