-- availability.sql: what a channel may promise, of one SKU, of many, and why.

CREATE FUNCTION oms.available(sku text, channel text DEFAULT NULL, location text DEFAULT NULL,
                              needed_by timestamptz DEFAULT NULL, reservation_id bigint DEFAULT NULL)
    RETURNS TABLE (location text, on_hand bigint, reserved bigint, safety bigint, available bigint)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 20 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_available';
COMMENT ON FUNCTION oms.available(text, text, text, timestamptz, bigint) IS 'units that can be promised now, or by a date with the supplies that come until then, one row per location that the channel may use; units held by the named reservation count as free';

CREATE FUNCTION oms.available_by_date(sku text, channel text DEFAULT NULL, location text DEFAULT NULL,
                                      until timestamptz DEFAULT NULL, reservation_id bigint DEFAULT NULL)
    RETURNS TABLE (location text, at timestamptz, supply bigint, demand bigint, cumulative bigint, available bigint)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_available_by_date';
COMMENT ON FUNCTION oms.available_by_date(text, text, text, timestamptz, bigint) IS 'for each location that the channel may use, the moments at which units come or promises take them: how many, what is then left, and what available says for needed_by at that moment';

CREATE FUNCTION oms.available_many(channel text, skus text[] DEFAULT NULL, needed_by timestamptz DEFAULT NULL)
    RETURNS TABLE (sku text, quantity bigint, kind text)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 1000 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_available_many';
COMMENT ON FUNCTION oms.available_many(text, text[], timestamptz) IS 'units that can be promised now or by a date over all locations of the channel, one row per SKU in the given order, at most 100,000; every stocked item where skus is null; kind unknown for a SKU that is not known';

CREATE FUNCTION oms.explain_available(sku text, channel text DEFAULT NULL, needed_by timestamptz DEFAULT NULL)
    RETURNS TABLE (location text, term text, quantity bigint, reason text)
    LANGUAGE c STABLE PARALLEL RESTRICTED ROWS 50 SET search_path = pg_catalog, pg_temp
    AS 'MODULE_PATHNAME', 'oms_explain_available';
COMMENT ON FUNCTION oms.explain_available(text, text, timestamptz) IS 'every term of available, location by location, and why a location is left out; the quantities add up to what available gives';
