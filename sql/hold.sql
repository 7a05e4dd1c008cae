-- hold.sql: holds on orders, lines and fulfillments, and the answers of outside services.

CREATE FUNCTION oms.hold_order(order_id bigint, hold_type text DEFAULT 'manual', reason text DEFAULT NULL, line_no integer DEFAULT NULL,
                               release_at timestamptz DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_hold_order';
COMMENT ON FUNCTION oms.hold_order(bigint, text, text, integer, timestamptz, text) IS 'puts a hold on an order or on one of its lines; returns hold_id';

CREATE FUNCTION oms.hold_fulfillment(fulfillment_id bigint, hold_type text DEFAULT 'manual', reason text DEFAULT NULL,
                                     release_at timestamptz DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS bigint
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_hold_fulfillment';
COMMENT ON FUNCTION oms.hold_fulfillment(bigint, text, text, timestamptz, text) IS 'puts a hold on one fulfillment; returns hold_id';

CREATE FUNCTION oms.release_hold(hold_id bigint, note text DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_release_hold';
COMMENT ON FUNCTION oms.release_hold(bigint, text, text) IS 'lifts a hold by hand, for members of the role that its type names; false where it had ended already';

CREATE FUNCTION oms.release_holds(max_count integer DEFAULT NULL, idempotency_key text DEFAULT NULL) RETURNS integer
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_release_holds';
COMMENT ON FUNCTION oms.release_holds(integer, text) IS 'looks again at the conditions of holds that are due and tidies up those whose time is over; returns how many were lifted. A hold whose time is over blocks nothing, swept or not';

CREATE FUNCTION oms.order_holds(order_id bigint)
    RETURNS TABLE (hold_id bigint, hold_type text, active boolean, line_no integer, fulfillment_id bigint, blocks text[], reason text,
                   placed_at timestamptz, placed_by text, release_at timestamptz, lift_role text,
                   released_at timestamptz, released_by text, release_rule text, note text)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 5 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_order_holds';
COMMENT ON FUNCTION oms.order_holds(bigint) IS 'every hold of an order, its lines and fulfillments, active or lifted, in the order of placing';

CREATE PROCEDURE oms.init_hold() LANGUAGE plpgsql AS $init$
BEGIN
    -- Conditions are jsonpath predicates over the document of get_order.
    CREATE TABLE oms.hold_types (
        tenant_id        int NOT NULL DEFAULT 1,
        active           boolean NOT NULL DEFAULT true,
        stops_order      boolean NOT NULL DEFAULT false,
        code             text NOT NULL CHECK (octet_length(code) BETWEEN 1 AND 200),
        name             text,
        levels           text[] NOT NULL DEFAULT '{order}' CHECK (cardinality(levels) > 0 AND levels <@ '{order,line,fulfillment}'),
        blocks           text[] NOT NULL CHECK (cardinality(blocks) > 0 AND array_position(blocks, NULL) IS NULL AND
                             array_to_string(blocks, ' ') ~ '^[a-z_]+\.([a-z_]+|\*)( [a-z_]+\.([a-z_]+|\*))*$'),
        lift_role        text,
        duration         interval CHECK (duration > '0'),
        retry_interval   interval NOT NULL DEFAULT '15 minutes' CHECK (retry_interval > '0'),
        place_check      text CHECK (place_check IN ('fraud', 'credit', 'address', 'charge_back')),
        place_when       jsonpath,
        release_when     jsonpath,
        release_function text,
        on_reject        text NOT NULL DEFAULT 'keep' CHECK (on_reject IN ('keep', 'cancel')),
        on_confirm       text NOT NULL DEFAULT 'keep' CHECK (on_confirm IN ('keep', 'lift')),
        PRIMARY KEY (code, tenant_id)
    );
    COMMENT ON TABLE oms.hold_types IS 'kinds of holds: which actions each blocks, where it may stand, who may lift it and when it ends by itself';
    COMMENT ON COLUMN oms.hold_types.blocks IS 'machine.action, or machine.* for all: fulfillment.release, payment.capture, order.edit';
    COMMENT ON COLUMN oms.hold_types.stops_order IS 'on a line or fulfillment it also blocks the actions of the whole order and of its other parts';
    COMMENT ON COLUMN oms.hold_types.lift_role IS 'only members of this role lift it by hand; null: whoever may call release_hold';
    COMMENT ON COLUMN oms.hold_types.duration IS 'ends this long after it was placed where no release_at is given';
    COMMENT ON COLUMN oms.hold_types.place_check IS 'for channels that list the type in channel_holds: fraud asks for a check, credit compares with customers.credit_limit, address looks for what is missing, charge_back holds an order when its money is charged back';
    COMMENT ON COLUMN oms.hold_types.place_when IS 'for channels that list the type: the hold is placed where this predicate holds for the order; null: always';
    COMMENT ON COLUMN oms.hold_types.release_when IS 'predicate over the order: looked at after every change of the order, and by release_holds each retry_interval';
    COMMENT ON COLUMN oms.hold_types.release_function IS 'schema.function(jsonb) returning boolean, asked by release_holds each retry_interval';
    COMMENT ON COLUMN oms.hold_types.on_confirm IS 'lift: confirm_order by a member of lift_role lifts it, so that the condition of the type demands a confirmation';
    COMMENT ON COLUMN oms.hold_types.on_reject IS 'what the answer reject to a check does: keep the hold, or cancel what is open of the order';

    CREATE FUNCTION oms.check_hold_type() RETURNS trigger LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp AS $f$
    DECLARE
        -- These change no state, or begin with the first one.
        without_step text[] := '{order.edit,order.route,order.displace,return.request,refund.grant}';
        unknown text;
    BEGIN
        SELECT string_agg(format('blocks: there is no action "%s"', b.action), E'\n' ORDER BY b.n) INTO unknown
        FROM unnest(NEW.blocks) WITH ORDINALITY b(action, n)
        WHERE b.action <> ALL (without_step) AND NOT EXISTS (SELECT FROM oms.transitions t WHERE t.tenant_id = NEW.tenant_id
            AND t.machine = split_part(b.action, '.', 1) AND split_part(b.action, '.', 2) IN (t.action, '*'));
        IF unknown IS NOT NULL THEN
            RAISE EXCEPTION 'hold type "%" blocks what does not exist', NEW.code USING ERRCODE = 'OM006', DETAIL = unknown,
                HINT = 'An action is machine.action of oms.transitions, machine.* or one of ' || array_to_string(without_step, ', ') || '.';
        END IF;
        IF NEW.release_function IS NOT NULL AND to_regprocedure(NEW.release_function || '(jsonb)') IS NULL THEN
            RAISE EXCEPTION 'function %(jsonb) does not exist', NEW.release_function USING ERRCODE = 'OM005',
                HINT = 'Create it first, and name it with its schema.';
        END IF;
        IF NEW.lift_role IS DISTINCT FROM OLD.lift_role AND NEW.lift_role IS NOT NULL AND NOT EXISTS (SELECT FROM pg_roles WHERE rolname = NEW.lift_role) THEN
            RAISE EXCEPTION 'role "%" does not exist, so nobody could lift a hold of type "%"', NEW.lift_role, NEW.code USING ERRCODE = 'OM005',
                DETAIL = format('lift_role: there is no role "%s"', NEW.lift_role), HINT = 'CREATE ROLE makes it.';
        END IF;
        RETURN NEW;
    END $f$;
    COMMENT ON FUNCTION oms.check_hold_type() IS 'refuses a hold type that names an unknown function, action or role';
    CREATE TRIGGER check_hold_type BEFORE INSERT OR UPDATE OF release_function, blocks, lift_role, tenant_id ON oms.hold_types
        FOR EACH ROW EXECUTE FUNCTION oms.check_hold_type();

    CREATE TABLE oms.channel_holds (
        channel_id bigint NOT NULL,
        tenant_id  int NOT NULL DEFAULT 1,
        hold_type  text NOT NULL,
        PRIMARY KEY (channel_id, hold_type, tenant_id),
        FOREIGN KEY (channel_id, tenant_id) REFERENCES oms.channels ON DELETE CASCADE,
        FOREIGN KEY (hold_type, tenant_id) REFERENCES oms.hold_types
    );
    COMMENT ON TABLE oms.channel_holds IS 'hold types that every new order of a channel is looked at for; a channel without rows pays nothing';
    CREATE TRIGGER configuration_changed AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON oms.channel_holds
        FOR EACH STATEMENT EXECUTE FUNCTION oms.configuration_changed();

    CREATE SEQUENCE oms.holds_hold_id_seq AS bigint MAXVALUE 9007199254740991;
    CREATE TABLE oms.holds (
        hold_id        bigint NOT NULL DEFAULT nextval('oms.holds_hold_id_seq'),
        order_id       bigint NOT NULL,
        fulfillment_id bigint,
        placed_at      timestamptz NOT NULL,
        release_at     timestamptz,
        due_at         timestamptz,
        released_at    timestamptz,
        tenant_id      int NOT NULL,
        line_no        int,
        hold_type      text NOT NULL,
        reason         text,
        placed_by      text NOT NULL,
        released_by    text,
        release_rule   text CHECK (release_rule IN ('hand', 'time', 'condition', 'answer', 'confirm')),
        note           text,
        external_ref   text,
        attributes     jsonb,
        PRIMARY KEY (hold_id, tenant_id),
        FOREIGN KEY (hold_type, tenant_id) REFERENCES oms.hold_types,
        CHECK (line_no IS NULL OR fulfillment_id IS NULL),
        CHECK ((released_at IS NULL) = (released_by IS NULL) AND (released_at IS NULL) = (release_rule IS NULL))
    ) WITH (fillfactor = 80);
    ALTER SEQUENCE oms.holds_hold_id_seq OWNED BY oms.holds.hold_id;
    CREATE INDEX holds_order ON oms.holds (order_id, hold_id);
    CREATE INDEX holds_due ON oms.holds (due_at) WHERE released_at IS NULL;
    COMMENT ON TABLE oms.holds IS 'holds on orders, lines and fulfillments; one blocks until released_at is set or release_at has passed';
    COMMENT ON COLUMN oms.holds.due_at IS 'when release_holds looks at it next; null: only a person or an answer lifts it';
    COMMENT ON COLUMN oms.holds.release_rule IS 'what lifted it: a person, the clock, the condition of its type, the answer of a check, or the confirmation of the order';
END $init$;

CREATE FUNCTION oms.init_tenant_holds(tenant integer) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $f$
DECLARE
    leaving text[] := '{fulfillment.release,fulfillment.fulfill,fulfillment.ship,fulfillment.pick_up}';
BEGIN
    INSERT INTO oms.hold_types (tenant_id, code, name, levels, blocks, lift_role, place_check, place_when, release_when, on_confirm) VALUES
        (tenant, 'fraud', 'Fraud review', '{order}', leaving || '{payment.capture}', 'oms_admin', 'fraud', NULL, NULL, 'keep'),
        (tenant, 'credit', 'Credit limit', '{order}', leaving, 'oms_admin', 'credit', NULL, NULL, 'keep'),
        (tenant, 'payment', 'Waiting for payment', '{order}', leaving, NULL, NULL,
         '$.payment_status == "unpaid" || $.payment_status == "partially_paid"',
         '$.payment_status == "authorized" || $.payment_status == "paid" || $.payment_status == "overpaid"', 'keep'),
        (tenant, 'address', 'Address to be checked', '{order,fulfillment}', leaving, NULL, 'address', NULL, NULL, 'keep'),
        (tenant, 'manual', 'Held by hand', '{order,line,fulfillment}',
         leaving || '{fulfillment.accept,fulfillment.pick,fulfillment.pack,fulfillment.ready,payment.capture}', NULL, NULL, NULL, NULL, 'keep'),
        (tenant, 'approval', 'Waiting for approval', '{order}', leaving || '{payment.capture}', NULL, NULL, NULL, NULL, 'lift'),
        (tenant, 'charge_back', 'Charge-back', '{order}', leaving || '{payment.capture,payment.refund}', 'oms_admin', 'charge_back', NULL, NULL, 'keep')
    ON CONFLICT DO NOTHING;
END $f$;
COMMENT ON FUNCTION oms.init_tenant_holds(integer) IS 'loads the built-in hold types for a tenant; rows that exist stay as they are';
