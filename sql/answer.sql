-- answer.sql: what outside services answer to the commands that left as events.

CREATE FUNCTION oms.record_answer(command_event_id bigint, answer jsonb, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_record_answer';
COMMENT ON FUNCTION oms.record_answer(bigint, jsonb, text) IS 'keeps what an outside service answered to a command event and acts on it; the same answer again changes nothing, another one is refused';

CREATE PROCEDURE oms.init_answer() LANGUAGE plpgsql AS $init$
BEGIN
    CREATE TABLE oms.answers (
        command_event_id bigint NOT NULL,
        order_id         bigint,
        at               timestamptz NOT NULL,
        tenant_id        int NOT NULL,
        type             text NOT NULL,
        actor            text NOT NULL,
        answer           jsonb NOT NULL,
        outcome          jsonb,
        PRIMARY KEY (command_event_id, tenant_id)
    );
    CREATE INDEX answers_order ON oms.answers (order_id);
    COMMENT ON TABLE oms.answers IS 'one answer to each command event that an outside service was asked by';
END $init$;
