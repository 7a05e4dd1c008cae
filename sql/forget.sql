-- forget.sql: erasing what is known of a person.

CREATE FUNCTION oms.forget_customer(reference text, idempotency_key text DEFAULT NULL) RETURNS jsonb
    LANGUAGE c VOLATILE PARALLEL UNSAFE SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_forget_customer';
COMMENT ON FUNCTION oms.forget_customer(text, text) IS 'erases personal data of a customer whose orders have all ended, from orders, events, answers and wherever else they are; amounts, quantities and accounts stay';

CREATE FUNCTION oms.forget_words(document jsonb, personal boolean) RETURNS text[]
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'oms_forget_words';
COMMENT ON FUNCTION oms.forget_words(jsonb, boolean) IS 'the texts of a document that identify a person; personal: all of it is about one';

CREATE FUNCTION oms.forget_text(content text, words text[], token text) RETURNS text
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'oms_forget_text';
COMMENT ON FUNCTION oms.forget_text(text, text[], text) IS 'content with each of the words replaced by the token';

CREATE FUNCTION oms.forget_document(document jsonb, words text[], token text) RETURNS jsonb
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'oms_forget_document';
COMMENT ON FUNCTION oms.forget_document(jsonb, text[], text) IS 'the document without addresses and contacts, and with each of the words replaced by the token';

CREATE PROCEDURE oms.init_forget() LANGUAGE plpgsql AS $init$
BEGIN
    NULL;
END $init$;
