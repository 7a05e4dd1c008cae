-- channel.sql: where orders come from.

CREATE FUNCTION oms.upsert_channels(channels jsonb, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_upsert_channels';
COMMENT ON FUNCTION oms.upsert_channels(jsonb, text) IS 'inserts or changes channels by code; a field left out keeps its value; returns the number of channels';

CREATE PROCEDURE oms.init_channel() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE SEQUENCE oms.channels_channel_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.channels (
        channel_id         bigint NOT NULL DEFAULT nextval('oms.channels_channel_id_seq'),
        tenant_id          int NOT NULL DEFAULT 1,
        active             boolean NOT NULL DEFAULT true,
        backorder          boolean NOT NULL DEFAULT false,
        substitution       boolean NOT NULL DEFAULT false,
        ship_complete      boolean NOT NULL DEFAULT false,
        code               text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200),
        name               text,
        currency           text NOT NULL DEFAULT 'EUR' CHECK (currency ~ '^[A-Z]{3}$'),
        time_zone          text NOT NULL DEFAULT 'UTC',
        capture            text NOT NULL DEFAULT 'shipping' CHECK (capture IN ('placing', 'release', 'shipping', 'manual')),
        capture_order      text NOT NULL DEFAULT 'oldest' CHECK (capture_order IN ('newest', 'oldest', 'proportional')),
        refund_order       text NOT NULL DEFAULT 'newest' CHECK (refund_order IN ('newest', 'oldest', 'proportional')),
        refund_excess      text NOT NULL DEFAULT 'manual' CHECK (refund_excess IN ('manual', 'automatic')),
        refund_methods     jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(refund_methods) = 'array'),
        confirmation       text NOT NULL DEFAULT 'none' CHECK (confirmation IN ('none', 'required')),
        confirmation_role    text,
        authorization_period interval CHECK (authorization_period > '0'),
        payment_timeout      interval CHECK (payment_timeout > '0'),
        confirmation_timeout interval CHECK (confirmation_timeout > '0'),
        backorder_timeout    interval CHECK (backorder_timeout > '0'),
        draft_timeout        interval CHECK (draft_timeout > '0'),
        reservation_ttl      interval NOT NULL DEFAULT '15 minutes' CHECK (reservation_ttl > '0'),
        reservation_ttl_max  interval NOT NULL DEFAULT '30 days' CHECK (reservation_ttl_max <= '30 days'),
        priority           int NOT NULL DEFAULT 0 CHECK (priority BETWEEN -1000 AND 1000),
        class_priorities   jsonb NOT NULL DEFAULT '[]' CHECK (jsonb_typeof(class_priorities) = 'array'),
        displacement       text NOT NULL DEFAULT 'never' CHECK (displacement IN ('never', 'keep_date', 'always')),
        displacement_lock_hours int NOT NULL DEFAULT 24 CHECK (displacement_lock_hours BETWEEN 0 AND 8760),
        external_ref       text,
        attributes         jsonb NOT NULL DEFAULT '{}' CHECK (jsonb_typeof(attributes) = 'object'),
        PRIMARY KEY (channel_id, tenant_id),
        UNIQUE (code, tenant_id),
        CHECK (reservation_ttl <= reservation_ttl_max)
    );
    ALTER SEQUENCE oms.channels_channel_id_seq OWNED BY oms.channels.channel_id;
    COMMENT ON TABLE oms.channels IS 'sales channels and their rules';
    COMMENT ON COLUMN oms.channels.backorder IS 'units that no location has may be promised up to stock.backorder_limit';
    COMMENT ON COLUMN oms.channels.payment_timeout IS 'expire_orders cancels an order that nothing is authorized or captured for this long after it was placed; null: never';
    COMMENT ON COLUMN oms.channels.capture IS 'when captures are asked for: with the order, with each release, with each shipment, or by hand';
    COMMENT ON COLUMN oms.channels.capture_order IS 'which payments are captured first; proportional: each its share of what it has authorized';
    COMMENT ON COLUMN oms.channels.refund_excess IS 'automatic: what is captured beyond what is owed is asked back without anybody doing so';
    COMMENT ON COLUMN oms.channels.refund_methods IS 'methods other than the payment''s own that refunds may be asked for by: [{"method"}]';
    COMMENT ON COLUMN oms.channels.authorization_period IS 'authorizations end this long after they were given where nobody said when; null: never by themselves';
    COMMENT ON COLUMN oms.channels.confirmation_role IS 'only members of this role confirm orders; null: whoever may call confirm_order';
    COMMENT ON COLUMN oms.channels.refund_order IS 'which payments are paid back first; proportional: each its share of what it has captured';
    COMMENT ON COLUMN oms.channels.confirmation_timeout IS 'the same for orders that wait for confirm_order';
    COMMENT ON COLUMN oms.channels.ship_complete IS 'its orders are promised from stock as a whole or wait as a whole, where the document does not say';
    COMMENT ON COLUMN oms.channels.substitution IS 'units that cannot be promised at all may be served by substitutes of their items';
    COMMENT ON COLUMN oms.channels.backorder_timeout IS 'the same for backordered units, which alone are cancelled';
    COMMENT ON COLUMN oms.channels.draft_timeout IS 'how long a draft without valid_until is valid';
    COMMENT ON COLUMN oms.channels.reservation_ttl IS 'how long a cart is held where reserve does not say';
    COMMENT ON COLUMN oms.channels.reservation_ttl_max IS 'the longest that reserve and extend_reservation may say';
    COMMENT ON COLUMN oms.channels.priority IS 'of its orders where neither the document nor the class of the customer says; the greater goes first';
    COMMENT ON COLUMN oms.channels.class_priorities IS 'priorities by class of the customer: [{"class", "priority"}]';
    COMMENT ON COLUMN oms.channels.displacement IS 'whether an order that would be short takes unreleased units of orders of a lower priority: never, if those keep their date, or always';
    COMMENT ON COLUMN oms.channels.displacement_lock_hours IS 'units of its orders are not taken this long before they must leave';
    COMMENT ON COLUMN oms.channels.confirmation IS 'required: nothing is released or captured before confirm_order';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.channels
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    -- A plain function, so that the check also holds for rows written by hand; pg_timezone_names is too slow for a CHECK.
    CREATE FUNCTION oms.check_channel() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $f$
    BEGIN
        BEGIN
            PERFORM now() AT TIME ZONE NEW.time_zone;
        EXCEPTION WHEN invalid_parameter_value THEN
            RAISE EXCEPTION 'time zone "%" is not known', NEW.time_zone USING ERRCODE = 'OM006',
                HINT = 'Names are listed in pg_timezone_names.';
        END;
        IF NEW.confirmation_role IS DISTINCT FROM OLD.confirmation_role AND NEW.confirmation_role IS NOT NULL
           AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = NEW.confirmation_role) THEN
            RAISE EXCEPTION 'role "%" does not exist, so nobody could confirm an order of channel "%"', NEW.confirmation_role, NEW.code
                USING ERRCODE = 'OM005', DETAIL = format('confirmation_role: there is no role "%s"', NEW.confirmation_role), HINT = 'CREATE ROLE makes it.';
        END IF;
        RETURN NEW;
    END $f$;
    CREATE TRIGGER check_channel BEFORE INSERT OR UPDATE OF time_zone, confirmation_role ON oms.channels
        FOR EACH ROW EXECUTE FUNCTION oms.check_channel();
END $init$;
