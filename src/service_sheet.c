/*
 * service_sheet.c
 *	  Loading a carrier's service sheet: one table of services, zones by country,
 *	  weight steps, prices and days, as carriers publish them.
 *
 * A row of a sheet says something of four tables at once.  It is taken apart
 * here and each table is written by one statement, so a sheet of thousands of
 * rows costs what one of ten does.
 */
#include "oms.h"

#include <ctype.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "money.h"
#include "relation.h"

#define TRANSIT_DAYS_MAX 366

typedef struct SheetRow
{
	char	   *service_code;
	char	   *service_name;
	char	   *zone_label;
	char	   *country_codes;	/* separated by commas; none: everywhere */
	char	   *weight_unit;
	char	   *currency;
	char	   *transit_days;	/* 3 or 3-5 */
	Numeric		min_weight;
	Numeric		max_weight;
	Numeric		rate;

	/* worked out of the above */
	char	   *service;
	int			position;		/* in the sheet */
	int64		from_grams;
	int64		to_grams;
	int32		days;			/* -1: not said */
	int32		days_latest;
} SheetRow;

static const char *const weight_units[] = {"KG", "G", "LB", "OZ", NULL};
static const char *const grams_of_unit[] = {"1000", "1", "453.59237", "28.349523125"};

static const DocField sheet_fields[] = {
	{"service_code", DOC_CODE, offsetof(SheetRow, service_code), .required = true},
	{"service_name", DOC_TEXT, offsetof(SheetRow, service_name)},
	{"zone_label", DOC_CODE, offsetof(SheetRow, zone_label), .required = true},
	{"country_codes", DOC_TEXT, offsetof(SheetRow, country_codes)},
	{"min_weight", DOC_MONEY, offsetof(SheetRow, min_weight)},
	{"max_weight", DOC_MONEY, offsetof(SheetRow, max_weight), .required = true},
	{"weight_unit", DOC_TEXT, offsetof(SheetRow, weight_unit), .choices = weight_units},
	{"rate", DOC_MONEY, offsetof(SheetRow, rate)},
	{"currency", DOC_TEXT, offsetof(SheetRow, currency), .required = true},
	{"transit_days", DOC_TEXT, offsetof(SheetRow, transit_days)},
};

static const DocShape sheet_shape = DOC_SHAPE_OF(SheetRow, sheet_fields, "a row of a service sheet");

static OmsPlan insert_carrier_plan = {
	.sql = "INSERT INTO {carriers} (tenant_id, code) VALUES ($1, $2) ON CONFLICT (tenant_id, code) DO NOTHING",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

/* A service keeps a chart that somebody gave it: the sheet's zones go to a chart of its own name. */
static OmsPlan write_services_plan = {
	.sql = "INSERT INTO {carrier_services} (tenant_id, carrier, code, name, zone_chart, currency)"
	" SELECT $1, $2, u.service, u.name, u.service, u.currency"
	" FROM unnest($3::text[], $4::text[], $5::text[]) u(service, name, currency) ORDER BY u.service"
	" ON CONFLICT (tenant_id, code) DO UPDATE SET name = excluded.name, zone_chart = excluded.zone_chart,"
	" currency = excluded.currency",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID)
};

static OmsPlan delete_zones_plan = {
	.sql = "DELETE FROM {shipping_zones} WHERE tenant_id = $1 AND chart = ANY ($2)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTARRAYOID)
};

static OmsPlan delete_rates_plan = {
	.sql = "DELETE FROM {shipping_rates} WHERE tenant_id = $1 AND service = ANY ($2)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTARRAYOID)
};

static OmsPlan delete_transit_plan = {
	.sql = "DELETE FROM {transit_times} WHERE tenant_id = $1 AND service = ANY ($2)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTARRAYOID)
};

static OmsPlan insert_zones_plan = {
	.sql = "INSERT INTO {shipping_zones} (tenant_id, chart, zone, destination_country)"
	" SELECT $1, u.service, u.zone, u.country FROM unnest($2::text[], $3::text[], $4::text[]) u(service, zone, country)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID)
};

static OmsPlan insert_rates_plan = {
	.sql = "INSERT INTO {shipping_rates} (tenant_id, service, zone, from_grams, to_grams, amount)"
	" SELECT $1, u.service, u.zone, u.from_grams, u.to_grams, u.amount"
	" FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::numeric[])"
	" u(service, zone, from_grams, to_grams, amount)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTARRAYOID, TEXTARRAYOID, INT8ARRAYOID, INT8ARRAYOID, NUMERICARRAYOID)
};

static OmsPlan insert_transit_plan = {
	.sql = "INSERT INTO {transit_times} (tenant_id, service, zone, days, days_latest)"
	" SELECT $1, u.service, u.zone, u.days, u.days_latest"
	" FROM unnest($2::text[], $3::text[], $4::int[], $5::int[]) u(service, zone, days, days_latest)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTARRAYOID, TEXTARRAYOID, INT4ARRAYOID, INT4ARRAYOID)
};

/* ---- Reading a row ---- */

static void
row_fault(FaultList *faults, const SheetRow *row, const char *field, const char *hint, const char *problem)
{
	oms_fault(faults, ERRCODE_OMS_DOCUMENT, hint, oms_document_place("sheet", row->position, field), "%s", problem);
}

/* A weight of the sheet in whole grams; a parcel that is a gram heavier than a step is above it. */
static int64
grams(const SheetRow *row, Numeric weight)
{
	int			unit = 0;
	Datum		factor;
	Datum		product;

	while (row->weight_unit && strcmp(weight_units[unit], row->weight_unit) != 0)
		unit++;
	factor = DirectFunctionCall3(numeric_in, CStringGetDatum(grams_of_unit[unit]), ObjectIdGetDatum(InvalidOid),
								 Int32GetDatum(-1));
	product = DirectFunctionCall2(numeric_mul, NumericGetDatum(weight), factor);
	if (oms_money_compare(DatumGetNumeric(product), int64_to_numeric(OMS_QUANTITY_MAX)) > 0)
		return OMS_QUANTITY_MAX;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, DirectFunctionCall1(numeric_floor, product)));
}

/* "3" or "3-5"; false for anything else. */
static bool
parse_days(SheetRow *row)
{
	char	   *text = row->transit_days;
	char	   *end;
	long		first;
	long		last;

	row->days = row->days_latest = -1;
	if (text == NULL || text[0] == '\0')
		return true;
	if (!isdigit((unsigned char) text[0]))
		return false;
	first = last = strtol(text, &end, 10);
	if (*end == '-' && isdigit((unsigned char) end[1]))
		last = strtol(end + 1, &end, 10);
	if (*end != '\0' || last < first || last > TRANSIT_DAYS_MAX)
		return false;
	row->days = (int32) first;
	row->days_latest = (int32) last;
	return true;
}

static void
read_row(const char *carrier, SheetRow *row, FaultList *faults)
{
	row->service = psprintf("%s.%s", carrier, row->service_code);
	if (strlen(row->service) > OMS_CODE_BYTES_MAX)
		row_fault(faults, row, "service_code", "The code of the service is carrier.service_code.", "is too long with its carrier");
	if (oms_currency_digits(row->currency) < 0)
		row_fault(faults, row, "currency", "Use an ISO 4217 code such as EUR.", "is not a currency");
	if (!parse_days(row))
		row_fault(faults, row, "transit_days", "Write 3 or 3-5, at most 366.", "is no number of days");
	row->to_grams = grams(row, row->max_weight);
	row->from_grams = row->min_weight ? grams(row, row->min_weight) : 0;
	if (row->to_grams < 1 || row->from_grams >= row->to_grams)
		row_fault(faults, row, "max_weight", "A step goes from min_weight up to max_weight.", "is not above min_weight");
}

/* ---- What rows say together ---- */

static int
compare_rows(const void *left, const void *right)
{
	const SheetRow *a = left;
	const SheetRow *b = right;
	int			order = strcmp(a->service, b->service);

	if (order == 0)
		order = strcmp(a->zone_label, b->zone_label);
	if (order == 0)
		order = a->to_grams < b->to_grams ? -1 : a->to_grams > b->to_grams;
	return order != 0 ? order : a->position - b->position;
}

static bool
same_text(const char *a, const char *b)
{
	return strcmp(a ? a : "", b ? b : "") == 0;
}

/* A step that begins where the one below ends begins a gram later, and the lowest at nothing. */
static void
check_step(SheetRow *row, SheetRow *below, FaultList *faults)
{
	if (below == NULL)
		row->from_grams = row->from_grams <= 10 ? 0 : row->from_grams;
	else if (row->to_grams == below->to_grams || row->from_grams < below->to_grams)
		row_fault(faults, row, "min_weight", "Each weight has one price in a zone.",
				  psprintf("overlaps sheet[%d]", below->position));
	else
		row->from_grams = Max(row->from_grams, below->to_grams + 1);
}

static void
check_rows(SheetRow *rows, int count, FaultList *faults)
{
	for (int i = 1; i < count; i++)
	{
		SheetRow   *row = &rows[i];
		SheetRow   *before = &rows[i - 1];
		const char *as = psprintf("differs from sheet[%d]", before->position);

		if (strcmp(row->service, before->service) != 0)
			continue;
		if (strcmp(row->currency, before->currency) != 0)
			row_fault(faults, row, "currency", "A service has one currency.", as);
		if (strcmp(row->zone_label, before->zone_label) != 0)
			continue;
		if (!same_text(row->country_codes, before->country_codes))
			row_fault(faults, row, "country_codes", "A zone has the same countries in every row.", as);
		if (row->days != before->days || row->days_latest != before->days_latest)
			row_fault(faults, row, "transit_days", "A zone has the same days in every row.", as);
	}
	if (faults->count > 0)
		return;
	for (int i = 0; i < count; i++)
		check_step(&rows[i], i > 0 && strcmp(rows[i].service, rows[i - 1].service) == 0 &&
				   strcmp(rows[i].zone_label, rows[i - 1].zone_label) == 0 ? &rows[i - 1] : NULL, faults);
}

/* ---- Writing ---- */

/* Columns that grow together. */
typedef struct TextColumns
{
	int			count;
	int			capacity;
	char	  **columns[3];
} TextColumns;

static void
add_texts(TextColumns *table, const char *first, const char *second, const char *third)
{
	const char *values[3] = {first, second, third};

	if (table->count == table->capacity)
	{
		table->capacity = Max(64, table->capacity * 2);
		for (int i = 0; i < 3; i++)
			table->columns[i] = table->columns[i]
				? repalloc_huge(table->columns[i], sizeof(char *) * table->capacity)
				: palloc(sizeof(char *) * table->capacity);
	}
	for (int i = 0; i < 3; i++)
		table->columns[i][table->count] = unconstify(char *, values[i]);
	table->count++;
}

static bool
begins_service(const SheetRow *rows, int i)
{
	return i == 0 || strcmp(rows[i].service, rows[i - 1].service) != 0;
}

static bool
begins_zone(const SheetRow *rows, int i)
{
	return begins_service(rows, i) || strcmp(rows[i].zone_label, rows[i - 1].zone_label) != 0;
}

static void
write_services(Datum *values, const SheetRow *rows, int count)
{
	TextColumns table = {0};

	for (int i = 0; i < count; i++)
	{
		if (begins_service(rows, i))
			add_texts(&table, rows[i].service, NULL, rows[i].currency);
		if (table.columns[1][table.count - 1] == NULL)
			table.columns[1][table.count - 1] = rows[i].service_name;
	}
	for (int i = 0; i < 3; i++)
		values[2 + i] = oms_array_text(table.columns[i], table.count);
	(void) oms_execute(&insert_carrier_plan, values, NULL);
	(void) oms_execute(&write_services_plan, values, NULL);
	values[1] = values[2];
	(void) oms_execute(&delete_zones_plan, values, NULL);
	(void) oms_execute(&delete_rates_plan, values, NULL);
	(void) oms_execute(&delete_transit_plan, values, NULL);
}

/* Adds a row for each country of a zone; false where one of them is none. */
static bool
add_countries(TextColumns *table, const SheetRow *row)
{
	char	   *list = pstrdup(row->country_codes ? row->country_codes : "");
	char	   *saved = NULL;
	int			before = table->count;

	for (char *code = strtok_r(list, ", ", &saved); code != NULL; code = strtok_r(NULL, ", ", &saved))
	{
		if (strlen(code) != 2 || !isupper((unsigned char) code[0]) || !isupper((unsigned char) code[1]))
			return false;
		add_texts(table, row->service, row->zone_label, code);
	}
	if (table->count == before)
		add_texts(table, row->service, row->zone_label, "");
	return true;
}

static int
compare_countries(const void *left, const void *right, void *table)
{
	char	 ***columns = table;
	int			a = *(const int *) left;
	int			b = *(const int *) right;
	int			order = strcmp(columns[0][a], columns[0][b]);

	return order != 0 ? order : strcmp(columns[2][a], columns[2][b]);
}

/* Each country of a service is in one zone. */
static void
check_countries(const TextColumns *table, FaultList *faults)
{
	int		   *order = palloc(sizeof(int) * Max(1, table->count));

	for (int i = 0; i < table->count; i++)
		order[i] = i;
	qsort_arg(order, table->count, sizeof(int), compare_countries, (void *) table->columns);
	for (int i = 1; i < table->count; i++)
		if (compare_countries(&order[i - 1], &order[i], (void *) table->columns) == 0)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each country is in one zone of a service.", "sheet",
					  "service \"%s\" has %s in zones \"%s\" and \"%s\"", table->columns[0][order[i]],
					  table->columns[2][order[i]][0] ? table->columns[2][order[i]] : "everywhere",
					  table->columns[1][order[i - 1]], table->columns[1][order[i]]);
}

static void
read_zones(TextColumns *table, const SheetRow *rows, int count, FaultList *faults)
{
	for (int i = 0; i < count; i++)
		if (begins_zone(rows, i) && !add_countries(table, &rows[i]))
			row_fault(faults, &rows[i], "country_codes", "Write codes of two capital letters, such as DE,AT.",
					  "is no list of countries");
	check_countries(table, faults);
}

static void
write_zones(Datum *values, const TextColumns *table)
{
	for (int i = 0; i < 3; i++)
		values[1 + i] = oms_array_text(table->columns[i], table->count);
	(void) oms_execute(&insert_zones_plan, values, NULL);
}

/* A price of nothing is how sheets say that they do not tell it. */
static bool
has_price(const SheetRow *row)
{
	return row->rate != NULL && oms_money_compare(row->rate, oms_money_zero()) > 0;
}

static void
write_rates(Datum *values, const SheetRow *rows, int count)
{
	TextColumns table = {0};
	int64	   *from = palloc(sizeof(int64) * count);
	int64	   *to = palloc(sizeof(int64) * count);
	Datum	   *amounts = palloc(sizeof(Datum) * count);
	bool	   *no_nulls = palloc0(sizeof(bool) * count);

	for (int i = 0; i < count; i++)
	{
		if (!has_price(&rows[i]))
			continue;
		from[table.count] = rows[i].from_grams;
		to[table.count] = rows[i].to_grams;
		amounts[table.count] = NumericGetDatum(rows[i].rate);
		add_texts(&table, rows[i].service, rows[i].zone_label, NULL);
	}
	if (table.count == 0)
		return;
	values[1] = oms_array_text(table.columns[0], table.count);
	values[2] = oms_array_text(table.columns[1], table.count);
	values[3] = oms_array_int64(from, table.count);
	values[4] = oms_array_int64(to, table.count);
	values[5] = oms_array_datum(amounts, no_nulls, table.count, NUMERICOID);
	(void) oms_execute(&insert_rates_plan, values, NULL);
}

static void
write_transit(Datum *values, const SheetRow *rows, int count)
{
	TextColumns table = {0};
	int32	   *days = palloc(sizeof(int32) * count);
	int32	   *latest = palloc(sizeof(int32) * count);

	for (int i = 0; i < count; i++)
	{
		if (!begins_zone(rows, i) || rows[i].days < 0)
			continue;
		days[table.count] = rows[i].days;
		latest[table.count] = rows[i].days_latest;
		add_texts(&table, rows[i].service, rows[i].zone_label, NULL);
	}
	if (table.count == 0)
		return;
	values[1] = oms_array_text(table.columns[0], table.count);
	values[2] = oms_array_text(table.columns[1], table.count);
	values[3] = oms_array_int32(days, table.count);
	values[4] = oms_array_int32(latest, table.count);
	(void) oms_execute(&insert_transit_plan, values, NULL);
}

/* The rows by service, zone and weight, without a fault. */
static DocArray
read_sheet(const char *carrier, Jsonb *sheet, TextColumns *zones)
{
	FaultList	faults;
	DocArray	rows = {0};

	oms_faults_init(&faults);
	if (sheet == NULL)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of rows.", "sheet", "is null");
	else
		rows = oms_document_read_array(sheet, &sheet_shape, OMS_BULK_ROWS_MAX, "sheet", &faults);
	oms_faults_raise(&faults, "service sheet is not valid");
	for (int i = 0; i < rows.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		((SheetRow *) rows.items)[i].position = i;
		read_row(carrier, (SheetRow *) rows.items + i, &faults);
	}
	if (rows.count > 0)
		qsort(rows.items, rows.count, sizeof(SheetRow), compare_rows);
	check_rows((SheetRow *) rows.items, rows.count, &faults);
	read_zones(zones, (SheetRow *) rows.items, rows.count, &faults);
	oms_faults_raise(&faults, "service sheet is not valid");
	return rows;
}

/*
 * oms.load_service_sheet(carrier text, sheet jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_load_service_sheet, CALL_KEYED)
{
	char	   *carrier = oms_argument_required(fcinfo, 0, "carrier");
	TextColumns zones = {0};
	DocArray	sheet = read_sheet(carrier, PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), &zones);
	SheetRow   *rows = (SheetRow *) sheet.items;
	Datum		values[6];

	if (sheet.count == 0)
		PG_RETURN_INT64(0);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = CStringGetTextDatum(carrier);
	write_services(values, rows, sheet.count);
	write_zones(values, &zones);
	write_rates(values, rows, sheet.count);
	write_transit(values, rows, sheet.count);
	oms_event(&(Event) {.object_type = "carrier",.type = "service_sheet.loaded",.reason = carrier});
	PG_RETURN_INT64(sheet.count);
}
