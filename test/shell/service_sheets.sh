#!/bin/bash
# The service sheets of 13 carriers and the postal codes of Brazil and Canada,
# as published, through the loaders: every price of a sheet is the price of an
# order of that weight to that country by that service, at both ends of its
# weight step, and the day promised is the day of the sheet.
set -euo pipefail

data=${OMS_SHARED:-}
if [ ! -d "$data/carriers/karrio_service_sheets" ]; then
	echo "skipped: no sample data beside the checkout"
	exit 77
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
columns="service_code,service_name,zone_label,country_codes,min_weight,max_weight,weight_unit,rate,currency,transit_days"

psql -qAtX -v ON_ERROR_STOP=1 <<SQL
SET client_min_messages = error;
CREATE EXTENSION IF NOT EXISTS oms;
CALL oms.init();
CREATE TABLE sheet (carrier text, $(sed 's/,/ text, /g' <<< "$columns") text);
CREATE FUNCTION require(ok boolean, what text) RETURNS void LANGUAGE plpgsql AS \$\$
BEGIN
    IF ok IS NOT TRUE THEN
        RAISE EXCEPTION 'not so: %', what;
    END IF;
END \$\$;
CREATE TABLE place (country text, code text, place text, state text, state_code text, province text, province_code text,
    community text, community_code text, latitude float8, longitude float8);
SQL

for file in "$data"/carriers/karrio_service_sheets/*.csv; do
	carrier=$(basename "$file" .csv)
	header=$(head -n 1 "$file" | tr -d '\r')
	psql -qAtX -v ON_ERROR_STOP=1 <<SQL
SET client_min_messages = error;
CREATE TEMP TABLE file ($(sed 's/,/ text, /g' <<< "$header") text);
ALTER TABLE file ADD COLUMN IF NOT EXISTS rate text, ADD COLUMN IF NOT EXISTS weight_unit text;
\copy file ($header) FROM '$file' (FORMAT csv, HEADER)
INSERT INTO sheet SELECT '$carrier', $columns FROM file;
SELECT oms.load_service_sheet('$carrier', jsonb_agg(jsonb_strip_nulls(to_jsonb(f)))) AS loaded FROM (SELECT $columns FROM file) f \gset
SELECT require(count(*) = :loaded, 'every row of $carrier is loaded') FROM file \g /dev/null
SQL
done

for country in br ca; do
	zstd -qdc "$data/geo/${country}_postal_geonames.csv.zst" >"$folder/$country.csv"
	psql -qAtX -v ON_ERROR_STOP=1 -c "\\copy place FROM '$folder/$country.csv' (FORMAT csv, HEADER)"
done

psql -qAtX -v ON_ERROR_STOP=1 <<'SQL'
SET client_min_messages = error;
SET oms.clock = '2026-03-02 12:00:00+00';

SELECT require(oms.load_postal_codes(jsonb_agg(to_jsonb(p))) = (SELECT count(DISTINCT (country, code)) FROM place), 'every code is loaded')
FROM (SELECT country, code AS postal_code, avg(latitude) AS latitude, avg(longitude) AS longitude FROM place GROUP BY 1, 2) p \g /dev/null

-- A second location, so that there is a choice to record.
SELECT oms.upsert_items('[{"sku": "PARCEL", "price": 1}]') AS items, oms.upsert_locations('[{"code": "dear", "cost_per_order": 1000},
       {"code": "default", "country": "BR", "postal_code": "77860-000"}]') AS locations \gset
SELECT oms.receive_stock('default', 'PARCEL', 100000) AS units, oms.receive_stock('dear', 'PARCEL', 100000) AS dear_units \gset

-- A policy for each currency, so that every sheet is asked in its own.
SELECT currency, oms.upsert_channels(jsonb_build_array(jsonb_build_object('code', currency, 'currency', currency))),
       oms.save_routing_policy(currency, jsonb_build_object('objective', 'cost', 'currency', currency)),
       oms.activate_routing_policy(currency, 1, channel => currency)
FROM (SELECT DISTINCT currency FROM sheet ORDER BY 1) c \g /dev/null

CREATE TABLE asked AS
SELECT row_number() OVER () AS n, s.*, end_of_step.grams, coalesce(nullif(split_part(country_codes, ',', 1), ''), 'FJ') AS country,
       nullif(split_part(transit_days, '-', 1), '')::int AS days, nullif(split_part(transit_days, '-', -1), '')::int AS days_latest
FROM (SELECT *, floor(max_weight::numeric * 1000)::int AS top, floor(min_weight::numeric * 1000)::int AS bottom FROM sheet WHERE rate::numeric > 0) s,
     LATERAL (VALUES (top), (CASE WHEN bottom <= 10 THEN 1 ELSE bottom + 1 END)) end_of_step(grams);
SELECT oms.place_order(jsonb_build_object('channel', currency, 'external_ref', n::text, 'service', carrier || '.' || service_code,
           'ship_to', jsonb_build_object('country', country),
           'lines', jsonb_build_array(jsonb_build_object('sku', 'PARCEL', 'quantity', 1, 'attributes', jsonb_build_object('weight_grams', grams)))))
FROM asked ORDER BY n \g /dev/null

CREATE VIEW answered AS
SELECT a.*, e.amount, (f.promised_at AT TIME ZONE 'UTC')::date - date '2026-03-02' AS promised
FROM asked a JOIN oms.orders o ON o.external_ref = a.n::text JOIN oms.fulfillments f USING (order_id)
CROSS JOIN LATERAL (SELECT sum(amount) AS amount FROM oms.explain_route(o.order_id) WHERE kind = 'plan' AND term = 'shipping') e;
SELECT count(*) || ' parcels by ' || count(DISTINCT carrier) || ' carriers in ' || count(DISTINCT currency) || ' currencies priced and dated as their sheets say'
FROM answered WHERE amount = rate::numeric AND promised IS NOT DISTINCT FROM days_latest;
SELECT carrier, service_code, zone_label, grams, rate, amount, transit_days, promised FROM answered
WHERE (amount = rate::numeric AND promised IS NOT DISTINCT FROM days_latest) IS NOT TRUE LIMIT 20;
SELECT require(count(*) FILTER (WHERE amount = rate::numeric AND promised IS NOT DISTINCT FROM days_latest) = (SELECT count(*) FROM asked)
               AND count(*) > 0, 'every price and day is that of the sheet') FROM answered \g /dev/null

-- Canadian and Brazilian codes have their places: Tocantins and Eastern Alberta are 9,000 km apart.
SELECT oms.upsert_channels('[{"code": "far", "currency": "EUR"}]'), oms.save_routing_policy('far', '{"objective": "cost", "cost_per_kilometre": 1}'),
       oms.activate_routing_policy('far', 1, channel => 'far') \g /dev/null
SELECT oms.place_order('{"channel": "far", "external_ref": "far", "service": "dhl_parcel_de.V53WPAK", "ship_to": {"country": "CA", "postal_code": "T0A 0A1"},
    "lines": [{"sku": "PARCEL", "quantity": 1, "attributes": {"weight_grams": 500}}]}') \g /dev/null
SELECT require(amount BETWEEN 8900 AND 9100, 'the distance is known') FROM oms.explain_route(oms.find_order('far', 'far'))
WHERE kind = 'plan' AND term = 'distance' \g /dev/null
SELECT require(count(*) = 0, 'audit() finds nothing') FROM oms.audit() \g /dev/null
SQL
