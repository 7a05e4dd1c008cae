/*
 * unit_value.c
 *	  What units cost and may lose at each location, and how fast they sell.
 *
 * Whoever buys and plans prices loads what goods cost and what a mark-down
 * would take off.  What is sold is counted from the ledger of stock by a job,
 * never while an order is placed.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/memutils.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "money.h"
#include "relation.h"
#include "unit_value.h"

/* The currency unit; what a unit of any item may cost or lose. */
#define UNIT_VALUE_MAX INT64CONST(1000000)

#define SALES_WEEKS_MAX 52

typedef struct ValueDocument
{
	char	   *sku;
	char	   *location;
	Numeric		cost;
	Numeric		markdown;
} ValueDocument;

static const DocField value_fields[] = {
	{"sku", DOC_CODE, offsetof(ValueDocument, sku), .required = true},
	{"location", DOC_CODE, offsetof(ValueDocument, location), .required = true},
	{"cost", DOC_MONEY, offsetof(ValueDocument, cost)},
	{"markdown", DOC_MONEY, offsetof(ValueDocument, markdown)},
};

static const DocShape value_shape = DOC_SHAPE_OF(ValueDocument, value_fields, "a value of units");

#define VALUE_ROWS \
	" FROM ROWS FROM (jsonb_to_recordset($2) AS (sku text, location text, cost numeric, markdown numeric))" \
	" WITH ORDINALITY u(sku, location, cost, markdown, n)"

/* Rows that name what is not known, or what an earlier row has named. */
static OmsPlan faults_plan = {
	.sql = "SELECT u.n::int - 1, CASE WHEN i.item_id IS NULL THEN 1 WHEN l.location_id IS NULL THEN 2 ELSE 3 END, u.sku, u.location"
	" FROM (SELECT x.*, row_number() OVER (PARTITION BY x.sku, x.location ORDER BY x.n) AS time FROM (SELECT u.*" VALUE_ROWS ") x) u"
	" LEFT JOIN {items} i ON i.tenant_id = $1 AND i.sku = u.sku LEFT JOIN {locations} l ON l.tenant_id = $1 AND l.code = u.location"
	" WHERE i.item_id IS NULL OR l.location_id IS NULL OR u.time > 1 ORDER BY u.n",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan clear_plan = {
	.sql = "DELETE FROM {unit_values} WHERE tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan load_plan = {
	.sql = "INSERT INTO {unit_values} (item_id, location_id, tenant_id, cost, markdown)"
	" SELECT i.item_id, l.location_id, $1, coalesce(u.cost, 0), coalesce(u.markdown, 0)" VALUE_ROWS
	" JOIN {items} i ON i.tenant_id = $1 AND i.sku = u.sku JOIN {locations} l ON l.tenant_id = $1 AND l.code = u.location"
	" ORDER BY i.item_id, l.location_id ON CONFLICT (item_id, location_id, tenant_id)"
	" DO UPDATE SET cost = excluded.cost, markdown = excluded.markdown",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan read_values_plan = {
	.sql = "SELECT u.n::int - 1, v.n::int - 1, round(x.cost * 1000)::bigint, round(x.markdown * 1000)::bigint"
	" FROM unnest($2::bigint[]) WITH ORDINALITY u(item_id, n)"
	" JOIN {unit_values} x ON x.item_id = u.item_id AND x.tenant_id = $1"
	" JOIN unnest($3::bigint[]) WITH ORDINALITY v(location_id, n) ON v.location_id = x.location_id",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

static OmsPlan clear_sales_plan = {
	.sql = "DELETE FROM {sales_rates} WHERE tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

/* The time stands in the condition, so that old partitions are not read. */
static OmsPlan count_sales_plan = {
	.sql = "INSERT INTO {sales_rates} (item_id, location_id, computed_at, tenant_id, units_per_week)"
	" SELECT item_id, location_id, $2, $1, round(-sum(on_hand_delta)::numeric / $4, 3) FROM {stock_movements}"
	" WHERE tenant_id = $1 AND at > $3 AND at <= $2 AND type IN ('ship', 'pick_up')"
	" GROUP BY item_id, location_id HAVING sum(on_hand_delta) < 0 ORDER BY item_id, location_id",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID)
};

static OmsPlan read_sales_plan = {
	.sql = "SELECT u.n::int - 1, v.n::int - 1, round(x.units_per_week * 1000)::bigint, 0::bigint"
	" FROM unnest($2::bigint[]) WITH ORDINALITY u(item_id, n)"
	" JOIN {sales_rates} x ON x.item_id = u.item_id AND x.tenant_id = $1"
	" JOIN unnest($3::bigint[]) WITH ORDINALITY v(location_id, n) ON v.location_id = x.location_id",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

static void
note_fault(TupleTableSlot *slot, void *state)
{
	int			row = oms_slot_int32(slot, 1);
	int			what = oms_slot_int32(slot, 2);

	if (what == 1)
		oms_fault(state, ERRCODE_OMS_UNKNOWN, "oms.upsert_items adds an item.", oms_document_place("values", row, "sku"),
				  "SKU \"%s\" is not known", oms_slot_text(slot, 3));
	else if (what == 2)
		oms_fault(state, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations adds a location.",
				  oms_document_place("values", row, "location"), "location \"%s\" is not known", oms_slot_text(slot, 4));
	else
		oms_fault(state, ERRCODE_OMS_DOCUMENT, "Each counter has one row.", oms_document_place("values", row, "sku"),
				  "\"%s\" at \"%s\" stands there twice", oms_slot_text(slot, 3), oms_slot_text(slot, 4));
}

static void
check_amount(Numeric amount, int row, const char *field, FaultList *faults)
{
	if (amount && oms_money_compare(amount, int64_to_numeric(UNIT_VALUE_MAX)) > 0)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "At most 1,000,000 a unit.", oms_document_place("values", row, field),
				  "%s is too much", oms_money_text(amount));
}

static void
check_values(const DocArray *rows, FaultList *faults)
{
	for (int i = 0; i < rows->count; i++)
	{
		ValueDocument *row = (ValueDocument *) rows->items + i;

		check_amount(row->cost, i, "cost", faults);
		check_amount(row->markdown, i, "markdown", faults);
		if (row->cost == NULL && row->markdown == NULL)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give cost, markdown or both.", oms_document_place("values", i, "cost"),
					  "is required without markdown");
	}
}

/*
 * oms.load_unit_values(values jsonb, mode text, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_load_unit_values, CALL_KEYED)
{
	char	   *mode = oms_argument_text(fcinfo, 1);
	bool		add = mode && strcmp(mode, "add") == 0;
	DocArray	rows = {0};
	FaultList	faults;
	Datum		values[2] = {Int32GetDatum(oms_call->tenant)};

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of values.", "values", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(0), &value_shape, OMS_BULK_ROWS_MAX, "values", &faults);
	if (!add && (mode == NULL || strcmp(mode, "replace") != 0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Modes are replace and add.", "mode", "%s", mode
				  ? psprintf("\"%s\" is neither", mode) : "is null");
	check_values(&rows, &faults);
	oms_faults_raise(&faults, "values of units are not valid");
	values[1] = PG_GETARG_DATUM(0);
	(void) oms_execute_each(&faults_plan, values, NULL, note_fault, &faults);
	oms_faults_raise(&faults, "values of units are not valid");
	if (!add)
		(void) oms_execute(&clear_plan, values, NULL);
	(void) oms_execute(&load_plan, values, NULL);
	oms_event(&(Event) {.object_type = "unit_values",.type = "unit_values.loaded"});
	PG_RETURN_INT64(rows.count);
}

/*
 * oms.refresh_sales_rates(weeks integer, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_refresh_sales_rates, CALL_KEYED)
{
	int32		weeks = PG_ARGISNULL(0) ? 0 : PG_GETARG_INT32(0);
	uint64		count;
	Datum		values[4];

	if (weeks < 1 || weeks > SALES_WEEKS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("weeks is not valid"),
				 errdetail("weeks: is not within 1 and %d", SALES_WEEKS_MAX),
				 errhint("Four weeks are usual.")));
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = TimestampTzGetDatum(oms_call->now);
	values[2] = TimestampTzGetDatum(oms_call->now - weeks * 7 * USECS_PER_DAY);
	values[3] = Int32GetDatum(weeks);
	(void) oms_execute(&clear_sales_plan, values, NULL);
	count = oms_execute(&count_sales_plan, values, NULL);
	oms_event(&(Event) {.object_type = "sales_rates",.type = "sales_rates.refreshed"});
	PG_RETURN_INT64((int64) count);
}

/* ---- Reading ---- */

typedef struct Cells
{
	int			item_count;
	int			location_count;
	int64	   *first;
	int64	   *second;
} Cells;

static void
read_cell(TupleTableSlot *slot, void *state)
{
	Cells	   *cells = state;
	Size		count = (Size) cells->item_count * cells->location_count;
	Size		cell = (Size) oms_slot_int32(slot, 1) * cells->location_count + oms_slot_int32(slot, 2);

	if (cells->first == NULL)
	{
		cells->first = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(int64) * 2 * count,
												  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
		cells->second = cells->first + count;
	}
	cells->first[cell] = oms_slot_int64(slot, 3);
	cells->second[cell] = oms_slot_int64(slot, 4);
}

static Cells
read_cells(OmsPlan *plan, const int64 *item_ids, int item_count, const int64 *location_ids, int location_count)
{
	Cells		cells = {item_count, location_count, NULL, NULL};
	Datum		values[3] = {Int32GetDatum(oms_call->tenant)};

	if (item_count == 0 || location_count == 0)
		return cells;
	values[1] = oms_array_int64(item_ids, item_count);
	values[2] = oms_array_int64(location_ids, location_count);
	(void) oms_execute_each(plan, values, NULL, read_cell, &cells);
	return cells;
}

void
oms_unit_values_read(const int64 *item_ids, int item_count, const int64 *location_ids, int location_count, int64 **costs,
					 int64 **markdowns)
{
	Cells		cells = read_cells(&read_values_plan, item_ids, item_count, location_ids, location_count);

	*costs = cells.first;
	*markdowns = cells.second;
}

int64 *
oms_sales_rates_read(const int64 *item_ids, int item_count, const int64 *location_ids, int location_count)
{
	return read_cells(&read_sales_plan, item_ids, item_count, location_ids, location_count).first;
}
