-- quota.sql: units that a channel leaves to others, may count on, or must not exceed.

CREATE FUNCTION oms.set_channel_quota(channel text, sku text DEFAULT NULL, location text DEFAULT NULL,
                                      safety integer DEFAULT NULL, network_safety integer DEFAULT NULL,
                                      guaranteed integer DEFAULT NULL, cap integer DEFAULT NULL,
                                      ends_at timestamptz DEFAULT NULL, restart boolean DEFAULT false,
                                      location_group text DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_set_channel_quota';
COMMENT ON FUNCTION oms.set_channel_quota(text, text, text, integer, integer, integer, integer, timestamptz, boolean, text, text) IS 'sets what a channel leaves to others (safety, network_safety), may count on (guaranteed) and must not exceed (cap); null keeps the value; restart begins anew with nothing used; returns the quota_id';

CREATE PROCEDURE oms.init_quota() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.channel_quotas_quota_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.channel_quotas (
        quota_id       bigint NOT NULL DEFAULT nextval('oms.channel_quotas_quota_id_seq'),
        channel_id     bigint NOT NULL,
        item_id        bigint,
        location_id    bigint,
        starts_at      timestamptz NOT NULL,
        ends_at        timestamptz,
        version        bigint NOT NULL DEFAULT 0,
        tenant_id      int NOT NULL DEFAULT 1,
        safety         int NOT NULL DEFAULT 0,
        network_safety int NOT NULL DEFAULT 0,
        guaranteed     int NOT NULL DEFAULT 0,
        cap            int,
        used           int NOT NULL DEFAULT 0,
        location_group text,
        PRIMARY KEY (quota_id, tenant_id),
        UNIQUE NULLS NOT DISTINCT (channel_id, item_id, location_id, location_group, tenant_id),
        FOREIGN KEY (channel_id, tenant_id) REFERENCES oms.channels,
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        FOREIGN KEY (location_id, tenant_id) REFERENCES oms.locations,
        FOREIGN KEY (tenant_id, location_group) REFERENCES oms.location_groups ON UPDATE CASCADE,
        CONSTRAINT channel_quotas_never_exceeded CHECK (used <= cap),
        CONSTRAINT channel_quotas_units CHECK (least(safety, network_safety, guaranteed, cap, used) >= 0),
        CONSTRAINT channel_quotas_span CHECK ((item_id IS NOT NULL AND location_id IS NULL AND location_group IS NULL)
                                              OR (network_safety = 0 AND guaranteed = 0 AND cap IS NULL AND used = 0)),
        CONSTRAINT channel_quotas_place CHECK (location_id IS NULL OR location_group IS NULL),
        CHECK (ends_at > starts_at)
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
    ALTER SEQUENCE oms.channel_quotas_quota_id_seq OWNED BY oms.channel_quotas.quota_id;
    CREATE INDEX channel_quotas_item ON oms.channel_quotas (item_id) WHERE item_id IS NOT NULL;
    COMMENT ON TABLE oms.channel_quotas IS 'what a channel leaves to others, may count on, and must not exceed; no item, or no location and no group of locations: any';
    COMMENT ON COLUMN oms.channel_quotas.safety IS 'units that the channel leaves at each location';
    COMMENT ON COLUMN oms.channel_quotas.network_safety IS 'units that the channel leaves over all its locations together';
    COMMENT ON COLUMN oms.channel_quotas.guaranteed IS 'units that other channels leave to this one, until it has used them';
    COMMENT ON COLUMN oms.channel_quotas.cap IS 'most units that the channel may have promised, backordered ones included';
    COMMENT ON COLUMN oms.channel_quotas.used IS 'units of its orders placed from starts_at to ends_at that are not cancelled';
    -- used and version change with every sale and are never kept in memory.
    CREATE TRIGGER configuration_changed AFTER INSERT OR DELETE OR TRUNCATE
        OR UPDATE OF channel_id, item_id, location_id, location_group, safety, network_safety, guaranteed, cap ON oms.channel_quotas
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();
END $init$;
