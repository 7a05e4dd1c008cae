/*
 * carrier.c
 *	  Carriers, their services, zone charts and rate cards: loading and
 *	  checking them.  network.c reads them for routing.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"

#include "calendar.h"
#include "call.h"
#include "document.h"
#include "event.h"
#include "location.h"
#include "money.h"
#include "relation.h"

#define PREFIX_BYTES_MAX 20

/* ---- Carriers and services ---- */

typedef struct ServiceDocument
{
	char	   *code;
	char	   *name;
	char	   *level;
	char	   *zone_chart;
	char	   *currency;
	char	   *calendar;
	char	   *delivery_calendar;
	char	   *delivered_by;
	Numeric		surcharge;
	Numeric		surcharge_percent;
	int32		volumetric_divisor;
	int8		active;
} ServiceDocument;

typedef struct CarrierDocument
{
	char	   *code;
	char	   *name;
	DocArray	services;
	int8		active;
} CarrierDocument;

static const DocField service_fields[] = {
	{"code", DOC_CODE, offsetof(ServiceDocument, code), .required = true},
	{"name", DOC_TEXT, offsetof(ServiceDocument, name)},
	{"level", DOC_CODE, offsetof(ServiceDocument, level)},
	{"zone_chart", DOC_CODE, offsetof(ServiceDocument, zone_chart)},
	{"currency", DOC_TEXT, offsetof(ServiceDocument, currency)},
	{"surcharge", DOC_MONEY, offsetof(ServiceDocument, surcharge)},
	{"surcharge_percent", DOC_MONEY, offsetof(ServiceDocument, surcharge_percent)},
	{"volumetric_divisor", DOC_INT, offsetof(ServiceDocument, volumetric_divisor), .least = 100,.most = 1000000},
	{"calendar", DOC_CODE, offsetof(ServiceDocument, calendar)},
	{"delivery_calendar", DOC_CODE, offsetof(ServiceDocument, delivery_calendar)},
	{"delivered_by", DOC_TEXT, offsetof(ServiceDocument, delivered_by)},
	{"active", DOC_BOOL, offsetof(ServiceDocument, active)},
};

static const DocShape service_shape = DOC_SHAPE_OF(ServiceDocument, service_fields, "a service of a carrier");

static const DocField carrier_fields[] = {
	{"code", DOC_CODE, offsetof(CarrierDocument, code), .required = true},
	{"name", DOC_TEXT, offsetof(CarrierDocument, name)},
	{"active", DOC_BOOL, offsetof(CarrierDocument, active)},
	{"services", DOC_ARRAY, offsetof(CarrierDocument, services), .most = 10000,.shape = &service_shape},
};

static const DocShape carrier_shape = DOC_SHAPE_OF(CarrierDocument, carrier_fields, "a carrier");

static OmsPlan insert_carriers_plan = {
	.sql = "INSERT INTO {carriers} (tenant_id, code)"
	" SELECT $1, u.code FROM jsonb_to_recordset($2) u(code text) ORDER BY u.code"
	" ON CONFLICT (tenant_id, code) DO NOTHING",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan update_carriers_plan = {
	.sql = "UPDATE {carriers} c SET name = coalesce(u.name, c.name), active = coalesce(u.active, c.active)"
	" FROM jsonb_to_recordset($2) u(code text, name text, active boolean) WHERE c.tenant_id = $1 AND c.code = u.code",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

#define SERVICE_ROWS \
	" FROM jsonb_to_recordset($2) c(code text, services jsonb)" \
	" CROSS JOIN LATERAL jsonb_to_recordset(c.services) u(code text, name text, level text, zone_chart text," \
	" currency text, surcharge numeric, active boolean, calendar text, delivery_calendar text, delivered_by time," \
	" surcharge_percent numeric, volumetric_divisor int)"

static OmsPlan insert_services_plan = {
	.sql = "INSERT INTO {carrier_services} (tenant_id, carrier, code, zone_chart, currency)"
	" SELECT $1, c.code, u.code, coalesce(u.zone_chart, c.code), coalesce(u.currency, 'EUR')" SERVICE_ROWS
	" WHERE c.services IS NOT NULL ORDER BY u.code ON CONFLICT (tenant_id, code) DO NOTHING",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan update_services_plan = {
	.sql = "UPDATE {carrier_services} s SET carrier = u.carrier, name = coalesce(u.name, s.name),"
	" level = coalesce(u.level, s.level), zone_chart = coalesce(u.zone_chart, s.zone_chart),"
	" currency = coalesce(u.currency, s.currency), surcharge = coalesce(u.surcharge, s.surcharge),"
	" active = coalesce(u.active, s.active), calendar = coalesce(u.calendar, s.calendar),"
	" delivery_calendar = coalesce(u.delivery_calendar, s.delivery_calendar),"
	" delivered_by = coalesce(u.delivered_by, s.delivered_by),"
	" surcharge_percent = coalesce(u.surcharge_percent, s.surcharge_percent),"
	" volumetric_divisor = coalesce(u.volumetric_divisor, s.volumetric_divisor)"
	" FROM (SELECT c.code AS carrier, u.*" SERVICE_ROWS " WHERE c.services IS NOT NULL) u"
	" WHERE s.tenant_id = $1 AND s.code = u.code",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static void
check_service_times(ServiceDocument *service, const char *place, FaultList *faults)
{
	int32		seconds;

	if (service->calendar && !oms_calendar_exists(service->calendar))
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_calendars adds a calendar.", psprintf("%s.calendar", place),
				  "calendar \"%s\" is not known", service->calendar);
	if (service->delivery_calendar && !oms_calendar_exists(service->delivery_calendar))
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_calendars adds a calendar.",
				  psprintf("%s.delivery_calendar", place), "calendar \"%s\" is not known", service->delivery_calendar);
	if (service->delivered_by && !oms_parse_time_of_day(service->delivered_by, &seconds))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Write HH:MM, at most 24:00.", psprintf("%s.delivered_by", place),
				  "\"%s\" is not a time of day", service->delivered_by);
}

static void
check_services(CarrierDocument *carrier, int index, FaultList *faults)
{
	oms_document_duplicates(&carrier->services, &service_shape, offsetof(ServiceDocument, code),
							psprintf("carriers[%d].services", index), "code", faults);
	for (int i = 0; i < carrier->services.count; i++)
	{
		ServiceDocument *service = (ServiceDocument *) carrier->services.items + i;

		if (service->currency && oms_currency_digits(service->currency) < 0)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Use an ISO 4217 code such as EUR.",
					  psprintf("carriers[%d].services[%d].currency", index, i), "\"%s\" is not a currency",
					  service->currency);
		if (service->surcharge_percent && (!oms_money_is_rounded(service->surcharge_percent, 2) ||
										   oms_money_compare(service->surcharge_percent, int64_to_numeric(1000)) > 0))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give 0 to 1000 with at most two decimals.",
					  psprintf("carriers[%d].services[%d].surcharge_percent", index, i), "%s is not such a percentage",
					  oms_money_text(service->surcharge_percent));
		check_service_times(service, psprintf("carriers[%d].services[%d]", index, i), faults);
	}
}

/*
 * oms.upsert_carriers(carriers jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_upsert_carriers, CALL_KEYED)
{
	FaultList	faults;
	DocArray	rows = {0};
	Datum		values[2];

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of carriers.", "carriers", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(0), &carrier_shape, OMS_BULK_ROWS_MAX, "carriers", &faults);
	oms_document_duplicates(&rows, &carrier_shape, offsetof(CarrierDocument, code), "carriers", "code", &faults);
	for (int i = 0; i < rows.count; i++)
		check_services((CarrierDocument *) rows.items + i, i, &faults);
	oms_faults_raise(&faults, "carriers are not valid");

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = PG_GETARG_DATUM(0);
	(void) oms_execute(&insert_carriers_plan, values, NULL);
	(void) oms_execute(&update_carriers_plan, values, NULL);
	(void) oms_execute(&insert_services_plan, values, NULL);
	(void) oms_execute(&update_services_plan, values, NULL);
	oms_event(&(Event) {.object_type = "carrier",.type = "carriers.upserted",.data = PG_GETARG_JSONB_P(0)});
	PG_RETURN_INT64(rows.count);
}

/* ---- Zone charts ---- */

typedef struct ZoneDocument
{
	char	   *key;			/* put together from the row: who it is */
	char	   *zone;
	char	   *origin_location;
	char	   *origin_prefix;
	char	   *destination_country;
	char	   *destination_prefix;
	double		distance_from;
	double		distance_to;
} ZoneDocument;

static const DocField zone_fields[] = {
	{"zone", DOC_CODE, offsetof(ZoneDocument, zone), .required = true},
	{"origin_location", DOC_CODE, offsetof(ZoneDocument, origin_location)},
	{"origin_prefix", DOC_TEXT, offsetof(ZoneDocument, origin_prefix)},
	{"destination_country", DOC_TEXT, offsetof(ZoneDocument, destination_country)},
	{"destination_prefix", DOC_TEXT, offsetof(ZoneDocument, destination_prefix)},
	{"distance_from", DOC_DOUBLE, offsetof(ZoneDocument, distance_from), .least = 0,.most = 50000},
	{"distance_to", DOC_DOUBLE, offsetof(ZoneDocument, distance_to), .least = 0,.most = 50000},
};

static const DocShape zone_shape = DOC_SHAPE_OF(ZoneDocument, zone_fields, "a row of a zone chart");

static OmsPlan delete_zones_plan = {
	.sql = "DELETE FROM {shipping_zones} WHERE tenant_id = $1 AND chart = $2",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

static OmsPlan insert_zones_plan = {
	.sql = "INSERT INTO {shipping_zones} (tenant_id, chart, zone, origin_location, origin_prefix, destination_country,"
	" destination_prefix, distance_from, distance_to)"
	" SELECT $1, $2, u.zone, coalesce(u.origin_location, ''), coalesce(u.origin_prefix, ''),"
	" coalesce(u.destination_country, ''), coalesce(u.destination_prefix, ''), u.distance_from, u.distance_to"
	" FROM jsonb_to_recordset($3) u(zone text, origin_location text, origin_prefix text, destination_country text,"
	" destination_prefix text, distance_from float8, distance_to float8)"
	" ON CONFLICT (tenant_id, destination_prefix, chart, origin_prefix, origin_location, destination_country,"
	" distance_from) DO UPDATE SET zone = excluded.zone, distance_to = excluded.distance_to",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID, JSONBOID)
};

static OmsPlan contradicting_zones_plan = {
	.sql = "SELECT format('bands overlap: %s to %s km and from %s km', distance_from, distance_to, next_from) FROM"
	" (SELECT distance_from, distance_to, lead(distance_from) OVER (ORDER BY distance_from) AS next_from"
	" FROM {shipping_zones} WHERE tenant_id = $1 AND chart = $2 AND distance_to IS NOT NULL) b"
	" WHERE next_from < distance_to UNION ALL SELECT 'a row for everywhere leaves nothing to distances'"
	" WHERE EXISTS (SELECT FROM {shipping_zones} WHERE tenant_id = $1 AND chart = $2 AND distance_to IS NOT NULL)"
	" AND EXISTS (SELECT FROM {shipping_zones} WHERE tenant_id = $1 AND chart = $2 AND distance_to IS NULL"
	" AND origin_location || origin_prefix || destination_country || destination_prefix = '')",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

static void
check_zone(ZoneDocument *row, int index, FaultList *faults)
{
	bool		band = !isnan(row->distance_from) || !isnan(row->distance_to);
	bool		pair = row->origin_location || row->origin_prefix || row->destination_country || row->destination_prefix;
	const char *place = oms_document_place("zones", index, NULL);

	if (band && pair)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give prefixes or locations, or distance_from and distance_to.", place,
				  "has a distance and a place");
	else if (band && !(row->distance_from < row->distance_to))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A band goes from distance_from up to distance_to.", place,
				  "is no band of distance");
	if ((row->origin_prefix && strlen(row->origin_prefix) > PREFIX_BYTES_MAX) ||
		(row->destination_prefix && strlen(row->destination_prefix) > PREFIX_BYTES_MAX))
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Postal codes are shorter.", place, "has a prefix of more than %d bytes",
				  PREFIX_BYTES_MAX);
	if (row->origin_location && oms_location_find(row->origin_location) == NULL)
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations adds a location.", place,
				  "location \"%s\" is not known", row->origin_location);
	if (row->origin_location == NULL)
		row->key = psprintf("%s %s %s %s", band ? psprintf("%g", row->distance_from) : "",
							row->origin_prefix ? row->origin_prefix : "",
							row->destination_country ? row->destination_country : "",
							row->destination_prefix ? row->destination_prefix : "");
}

static void
collect_fault(TupleTableSlot *slot, void *state)
{
	oms_fault(state, ERRCODE_OMS_DOCUMENT, "Each distance belongs to one zone.", "zones", "%s",
			  oms_slot_text(slot, 1));
}

/*
 * oms.load_shipping_zones(chart text, zones jsonb, mode text, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_load_shipping_zones, CALL_KEYED)
{
	char	   *chart = oms_argument_required(fcinfo, 0, "chart");
	char	   *mode = oms_argument_required(fcinfo, 2, "mode");
	FaultList	faults;
	DocArray	rows = {0};
	Datum		values[3];

	oms_faults_init(&faults);
	if (strcmp(mode, "replace") != 0 && strcmp(mode, "add") != 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Use replace or add.", "mode", "\"%s\" is no mode", mode);
	if (PG_ARGISNULL(1))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of rows.", "zones", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(1), &zone_shape, OMS_BULK_ROWS_MAX, "zones", &faults);
	for (int i = 0; i < rows.count; i++)
		check_zone((ZoneDocument *) rows.items + i, i, &faults);
	if (faults.count == 0)
		oms_document_duplicates(&rows, &zone_shape, offsetof(ZoneDocument, key), "zones", NULL, &faults);
	oms_faults_raise(&faults, "zones are not valid");

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = CStringGetTextDatum(chart);
	values[2] = PG_GETARG_DATUM(1);
	if (strcmp(mode, "replace") == 0)
		(void) oms_execute(&delete_zones_plan, values, NULL);
	(void) oms_execute(&insert_zones_plan, values, NULL);
	(void) oms_execute_each(&contradicting_zones_plan, values, NULL, collect_fault, &faults);
	oms_faults_raise(&faults, "zones are not valid");
	oms_event(&(Event) {.object_type = "carrier",.type = "shipping_zones.loaded",.reason = chart});
	PG_RETURN_INT64(rows.count);
}

/* ---- Rate cards ---- */

typedef struct RateDocument
{
	char	   *zone;
	Numeric		amount;
	Numeric		per_kilogram;
	Numeric		minimum;
	int32		from_grams;
	int32		to_grams;
} RateDocument;

static const DocField rate_fields[] = {
	{"zone", DOC_CODE, offsetof(RateDocument, zone), .required = true},
	{"from_grams", DOC_INT, offsetof(RateDocument, from_grams), .least = 0,.most = OMS_QUANTITY_MAX},
	{"to_grams", DOC_INT, offsetof(RateDocument, to_grams), .required = true,.least = 0,.most = OMS_QUANTITY_MAX},
	{"amount", DOC_MONEY, offsetof(RateDocument, amount)},
	{"per_kilogram", DOC_MONEY, offsetof(RateDocument, per_kilogram)},
	{"minimum", DOC_MONEY, offsetof(RateDocument, minimum)},
};

static const DocShape rate_shape = DOC_SHAPE_OF(RateDocument, rate_fields, "a row of a rate card");

static OmsPlan find_service_plan = {
	.sql = "SELECT FROM {carrier_services} WHERE tenant_id = $1 AND code = $2",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

static OmsPlan delete_rates_plan = {
	.sql = "DELETE FROM {shipping_rates} WHERE tenant_id = $1 AND service = $2",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

static OmsPlan insert_rates_plan = {
	.sql = "INSERT INTO {shipping_rates} (tenant_id, service, zone, from_grams, to_grams, amount, per_kilogram, minimum)"
	" SELECT $1, $2, u.zone, u.from_grams, u.to_grams, u.amount, u.per_kilogram, u.minimum"
	" FROM unnest($3::text[], $4::int[], $5::int[], $6::numeric[], $7::numeric[], $8::numeric[])"
	" u(zone, from_grams, to_grams, amount, per_kilogram, minimum)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID, NUMERICARRAYOID, NUMERICARRAYOID,
				 NUMERICARRAYOID)
};

static int
compare_rates(const void *left, const void *right)
{
	const RateDocument *a = left;
	const RateDocument *b = right;
	int			order = strcmp(a->zone, b->zone);

	if (order != 0)
		return order;
	return a->to_grams < b->to_grams ? -1 : a->to_grams > b->to_grams;
}

/* A band without a beginning follows the band below it. */
static void
check_bands(DocArray *rows, FaultList *faults)
{
	RateDocument *bands = (RateDocument *) rows->items;

	qsort(bands, rows->count, sizeof(RateDocument), compare_rates);
	for (int i = 0; i < rows->count; i++)
	{
		RateDocument *band = &bands[i];
		int32		below = i > 0 && strcmp(band[-1].zone, band->zone) == 0 ? band[-1].to_grams : -1;

		if (band->from_grams == DOC_ABSENT)
			band->from_grams = Min(below + 1, band->to_grams);
		if (band->from_grams > band->to_grams || band->to_grams == below)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A band goes from from_grams up to to_grams.", "rates",
					  "zone \"%s\" has no or two bands up to %d grams", band->zone, band->to_grams);
		else if (band->from_grams <= below)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each weight has one rate in a zone.", "rates",
					  "bands of zone \"%s\" overlap from %d to %d grams", band->zone, band->from_grams, below);
	}
}

static void
insert_rates(Datum *values, DocArray *rows)
{
	int			count = rows->count;
	char	  **zones = palloc(sizeof(char *) * Max(1, count));
	int32	   *weights = palloc(sizeof(int32) * 2 * Max(1, count));
	Datum	   *amounts = palloc(sizeof(Datum) * 3 * Max(1, count));
	bool	   *no_nulls = palloc0(sizeof(bool) * Max(1, count));
	Datum		zero = NumericGetDatum(oms_money_zero());

	for (int i = 0; i < count; i++)
	{
		RateDocument *rate = (RateDocument *) rows->items + i;

		zones[i] = rate->zone;
		weights[i] = rate->from_grams;
		weights[count + i] = rate->to_grams;
		amounts[i] = rate->amount ? NumericGetDatum(rate->amount) : zero;
		amounts[count + i] = rate->per_kilogram ? NumericGetDatum(rate->per_kilogram) : zero;
		amounts[2 * count + i] = rate->minimum ? NumericGetDatum(rate->minimum) : zero;
	}
	values[2] = oms_array_text(zones, count);
	values[3] = oms_array_int32(weights, count);
	values[4] = oms_array_int32(weights + count, count);
	for (int i = 0; i < 3; i++)
		values[5 + i] = oms_array_datum(amounts + i * count, no_nulls, count, NUMERICOID);
	(void) oms_execute(&insert_rates_plan, values, NULL);
}

/* The service whose code stands second in values. */
static void
require_service(Datum *values)
{
	if (oms_execute(&find_service_plan, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("service \"%s\" is not known", TextDatumGetCString(values[1])),
				 errhint("oms.upsert_carriers adds it.")));
}

/*
 * oms.load_shipping_rates(service text, rates jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_load_shipping_rates, CALL_KEYED)
{
	char	   *service = oms_argument_required(fcinfo, 0, "service");
	FaultList	faults;
	DocArray	rows = {0};
	Datum		values[8];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = CStringGetTextDatum(service);
	require_service(values);
	oms_faults_init(&faults);
	if (PG_ARGISNULL(1))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of rows.", "rates", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(1), &rate_shape, OMS_BULK_ROWS_MAX, "rates", &faults);
	if (faults.count == 0)
		check_bands(&rows, &faults);
	oms_faults_raise(&faults, "rates are not valid");
	(void) oms_execute(&delete_rates_plan, values, NULL);
	insert_rates(values, &rows);
	oms_event(&(Event) {.object_type = "carrier",.type = "shipping_rates.loaded",.reason = service});
	PG_RETURN_INT64(rows.count);
}

/* ---- Transit times ---- */

typedef struct TransitDocument
{
	char	   *zone;
	double		distance_from;
	double		distance_to;
	int32		days;
	int32		days_latest;
} TransitDocument;

static const DocField transit_fields[] = {
	{"zone", DOC_CODE, offsetof(TransitDocument, zone)},
	{"distance_from", DOC_DOUBLE, offsetof(TransitDocument, distance_from), .least = 0,.most = 50000},
	{"distance_to", DOC_DOUBLE, offsetof(TransitDocument, distance_to), .least = 0,.most = 50000},
	{"days", DOC_INT, offsetof(TransitDocument, days), .required = true,.least = 0,.most = 366},
	{"days_latest", DOC_INT, offsetof(TransitDocument, days_latest), .least = 0,.most = 366},
};

static const DocShape transit_shape = DOC_SHAPE_OF(TransitDocument, transit_fields, "a transit time");

static OmsPlan delete_transit_plan = {
	.sql = "DELETE FROM {transit_times} WHERE tenant_id = $1 AND service = $2",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

static OmsPlan insert_transit_plan = {
	.sql = "INSERT INTO {transit_times} (tenant_id, service, zone, distance_from, distance_to, days, days_latest)"
	" SELECT $1, $2, coalesce(u.zone, ''), coalesce(u.distance_from, 0), coalesce(u.distance_to, 'infinity'), u.days,"
	" coalesce(u.days_latest, u.days)"
	" FROM jsonb_to_recordset($3) u(zone text, distance_from float8, distance_to float8, days int, days_latest int)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID, JSONBOID)
};

static int
compare_transit(const void *left, const void *right)
{
	const TransitDocument *a = left;
	const TransitDocument *b = right;
	int			order = strcmp(a->zone, b->zone);

	if (order != 0)
		return order;
	return a->distance_from < b->distance_from ? -1 : a->distance_from > b->distance_from;
}

static void
check_transit(DocArray *rows, FaultList *faults)
{
	TransitDocument *all = (TransitDocument *) rows->items;

	for (int i = 0; i < rows->count; i++)
	{
		TransitDocument *row = &all[i];
		const char *place = oms_document_place("transit_times", i, NULL);

		if (row->zone && (!isnan(row->distance_from) || !isnan(row->distance_to)))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give a zone or a distance.", place, "has a zone and a distance");
		if (row->days_latest != DOC_ABSENT && row->days_latest < row->days)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "days_latest is days or more.", place,
					  "arrives at the latest before it arrives at the earliest");
		row->zone = row->zone ? row->zone : "";
		row->distance_from = isnan(row->distance_from) ? 0 : row->distance_from;
		row->distance_to = isnan(row->distance_to) ? INFINITY : row->distance_to;
		if (row->distance_from >= row->distance_to)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A band goes from distance_from up to distance_to.", place,
					  "is no band of distance");
	}
	qsort(all, rows->count, sizeof(TransitDocument), compare_transit);
	for (int i = 1; i < rows->count; i++)
		if (strcmp(all[i].zone, all[i - 1].zone) == 0 && all[i].distance_from < all[i - 1].distance_to)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each zone and each distance has one transit time.", "transit_times",
					  all[i].zone[0] ? "zone \"%s\" stands there twice" : "bands of distance overlap%s", all[i].zone);
}

/*
 * oms.load_transit_times(service text, transit_times jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_load_transit_times, CALL_KEYED)
{
	char	   *service = oms_argument_required(fcinfo, 0, "service");
	FaultList	faults;
	DocArray	rows = {0};
	Datum		values[3];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = CStringGetTextDatum(service);
	values[2] = PG_GETARG_DATUM(1);
	require_service(values);
	oms_faults_init(&faults);
	if (PG_ARGISNULL(1))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of rows.", "transit_times", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(1), &transit_shape, OMS_BULK_ROWS_MAX, "transit_times", &faults);
	if (faults.count == 0)
		check_transit(&rows, &faults);
	oms_faults_raise(&faults, "transit times are not valid");
	(void) oms_execute(&delete_transit_plan, values, NULL);
	(void) oms_execute(&insert_transit_plan, values, NULL);
	oms_event(&(Event) {.object_type = "carrier",.type = "transit_times.loaded",.reason = service});
	PG_RETURN_INT64(rows.count);
}

/* ---- What is missing ---- */

static OmsPlan check_plan = {
	.sql = "SELECT * FROM (SELECT 'zone without rate', s.code || ' zone ' || z.zone,"
	" 'the service is no choice where chart ' || s.zone_chart || ' gives this zone'"
	" FROM {carrier_services} s JOIN (SELECT DISTINCT chart, zone FROM {shipping_zones} WHERE tenant_id = $1) z"
	" ON z.chart = s.zone_chart WHERE s.tenant_id = $1 AND NOT EXISTS (SELECT FROM {shipping_rates} r"
	" WHERE r.tenant_id = $1 AND r.service = s.code AND r.zone = z.zone)"
	" UNION ALL SELECT 'rate without zone', r.service || ' zone ' || r.zone, 'no row of the chart leads to it'"
	" FROM (SELECT DISTINCT service, zone FROM {shipping_rates} WHERE tenant_id = $1) r"
	" JOIN {carrier_services} s ON s.tenant_id = $1 AND s.code = r.service WHERE NOT EXISTS"
	" (SELECT FROM {shipping_zones} z WHERE z.tenant_id = $1 AND z.chart = s.zone_chart AND z.zone = r.zone)"
	" UNION ALL SELECT 'gap between bands', b.service || ' zone ' || b.zone,"
	" format('no rate above %s and below %s grams', b.below, b.from_grams)"
	" FROM (SELECT service, zone, from_grams, lag(to_grams) OVER (PARTITION BY service, zone ORDER BY to_grams) AS below"
	" FROM {shipping_rates} WHERE tenant_id = $1) b WHERE b.from_grams > b.below + 1"
	" UNION ALL SELECT 'chart without rows', s.code, s.zone_chart FROM {carrier_services} s WHERE s.tenant_id = $1"
	" AND NOT EXISTS (SELECT FROM {shipping_zones} z WHERE z.tenant_id = $1 AND z.chart = s.zone_chart)"
	" UNION ALL SELECT 'location without place', l.code, 'has neither coordinates nor a postal code nor a row in a chart'"
	" FROM {locations} l WHERE l.tenant_id = $1 AND l.active AND l.latitude IS NULL AND l.postal_code IS NULL"
	" AND NOT EXISTS (SELECT FROM {shipping_zones} z WHERE z.tenant_id = $1 AND z.origin_location = l.code)"
	" UNION ALL SELECT 'location without time zone', l.code, format('\"%s\" is not a time zone: UTC is used', l.time_zone)"
	" FROM {locations} l WHERE l.tenant_id = $1 AND l.active AND l.time_zone <> 'UTC'"
	" AND NOT EXISTS (SELECT FROM pg_timezone_names n WHERE n.name = l.time_zone)"
	") n(\"check\", object, detail) ORDER BY 1, 2, 3",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

/*
 * oms.check_network() -> setof (check, object, detail)
 */
OMS_FUNCTION(oms_check_network, CALL_READ)
{
	Datum		values[1] = {Int32GetDatum(oms_call->tenant)};

	oms_return_rows(fcinfo, &check_plan, values, NULL);
	*isnull = true;
	return (Datum) 0;
}
