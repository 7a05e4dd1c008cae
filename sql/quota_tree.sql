-- quota_tree.sql: how the units of an item are divided among channels.

CREATE FUNCTION oms.set_quota_tree(sku text, tree jsonb, restart boolean DEFAULT false, idempotency_key text DEFAULT NULL) RETURNS void
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_set_quota_tree';
COMMENT ON FUNCTION oms.set_quota_tree(text, jsonb, boolean, text) IS 'divides the units of an item among channels by a tree of shares in units, percent or ratio; null takes the tree away; restart begins anew with nothing used';

CREATE FUNCTION oms.quota_tree(sku text, OUT name text, OUT kind text, OUT parent text, OUT part bigint, OUT own bigint, OUT used bigint, OUT available bigint)
    RETURNS SETOF record
    LANGUAGE c STABLE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_quota_tree';
COMMENT ON FUNCTION oms.quota_tree(text) IS 'the shares of an item as they are now: what each is given, what of it is not given on, what is used, and what its channel may still draw';

CREATE PROCEDURE oms.init_quota_tree() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.quota_trees (
        item_id   bigint NOT NULL,
        starts_at timestamptz NOT NULL,
        ends_at   timestamptz,
        version   bigint NOT NULL DEFAULT 0,
        tenant_id int NOT NULL DEFAULT 1,
        units     int,
        PRIMARY KEY (item_id, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.items,
        CONSTRAINT quota_trees_units CHECK (units >= 0),
        CONSTRAINT quota_trees_time CHECK (ends_at > starts_at)
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
    COMMENT ON TABLE oms.quota_trees IS 'items whose units are divided among channels';
    COMMENT ON COLUMN oms.quota_trees.units IS 'what is divided at most; more is for everybody; null: all there is';
    CREATE TRIGGER configuration_changed AFTER INSERT OR DELETE OR TRUNCATE ON oms.quota_trees
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    -- A parent stands before its children, so no share can be below itself.
    CREATE TABLE oms.quota_shares (
        item_id    bigint NOT NULL,
        channel_id bigint,
        ends_at    timestamptz,
        tenant_id  int NOT NULL DEFAULT 1,
        position   int NOT NULL,
        parent     int NOT NULL,
        rank       int NOT NULL DEFAULT 100,
        units      int,
        ratio      int,
        lends      boolean NOT NULL DEFAULT false,
        percent    numeric(7,4),
        pool       text,
        PRIMARY KEY (item_id, position, tenant_id),
        UNIQUE (item_id, channel_id, tenant_id),
        UNIQUE (item_id, pool, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.quota_trees ON DELETE CASCADE,
        FOREIGN KEY (channel_id, tenant_id) REFERENCES oms.channels,
        CONSTRAINT quota_shares_place CHECK (position BETWEEN 1 AND 100 AND parent BETWEEN 0 AND position - 1),
        CONSTRAINT quota_shares_kind CHECK (num_nonnulls(units, percent, ratio) <= 1),
        CONSTRAINT quota_shares_amount CHECK (units >= 0 AND percent BETWEEN 0 AND 100 AND ratio BETWEEN 1 AND 1000000),
        CONSTRAINT quota_shares_owner CHECK (num_nonnulls(channel_id, pool) = 1 AND octet_length(pool) BETWEEN 1 AND 200)
    );
    COMMENT ON TABLE oms.quota_shares IS 'shares of channels and pools; parent is the position of the one above, 0: the item itself';
    COMMENT ON COLUMN oms.quota_shares.percent IS 'of the part of its parent';
    COMMENT ON COLUMN oms.quota_shares.ratio IS 'its weight where what units and percents leave of the parent is divided';
    COMMENT ON COLUMN oms.quota_shares.lends IS 'channels of a better rank may draw from it';
    COMMENT ON COLUMN oms.quota_shares.ends_at IS 'from then on its part is its parent''s';

    CREATE TABLE oms.quota_uses (
        item_id    bigint NOT NULL,
        channel_id bigint NOT NULL,
        used       bigint NOT NULL,
        tenant_id  int NOT NULL DEFAULT 1,
        PRIMARY KEY (item_id, channel_id, tenant_id),
        FOREIGN KEY (item_id, tenant_id) REFERENCES oms.quota_trees ON DELETE CASCADE,
        FOREIGN KEY (channel_id, tenant_id) REFERENCES oms.channels,
        CONSTRAINT quota_uses_used CHECK (used >= 0)
    ) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
    COMMENT ON TABLE oms.quota_uses IS 'firm units of orders placed while the tree of the item runs, by channel, in the tree or not';
END $init$;
