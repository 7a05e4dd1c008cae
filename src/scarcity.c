/*
 * scarcity.c
 *	  What a unit at a location is worth to orders that are yet to come.
 *
 * Whoever plans ahead (a batch over the demand that is expected) loads the
 * prices; routing adds them to what taking a unit costs, so that the last units
 * of a place are kept for those who have no other.  An old price is worse than
 * none: policies say how old one may be.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "money.h"
#include "relation.h"
#include "scarcity.h"

typedef struct PriceDocument
{
	char	   *sku;
	char	   *location;
	Numeric		price;
	TimestampTz computed_at;
} PriceDocument;

static const DocField price_fields[] = {
	{"sku", DOC_CODE, offsetof(PriceDocument, sku), .required = true},
	{"location", DOC_CODE, offsetof(PriceDocument, location), .required = true},
	{"price", DOC_MONEY, offsetof(PriceDocument, price), .required = true},
	{"computed_at", DOC_TIME, offsetof(PriceDocument, computed_at)},
};

static const DocShape price_shape = DOC_SHAPE_OF(PriceDocument, price_fields, "a scarcity price");

#define PRICE_ROWS \
	" FROM ROWS FROM (jsonb_to_recordset($2) AS (sku text, location text, price numeric, computed_at timestamptz))" \
	" WITH ORDINALITY u(sku, location, price, computed_at, n)"

/* Rows that name what is not known, or what an earlier row has named. */
static OmsPlan faults_plan = {
	.sql = "SELECT u.n::int - 1, CASE WHEN i.item_id IS NULL THEN 1 WHEN l.location_id IS NULL THEN 2 ELSE 3 END, u.sku, u.location"
	" FROM (SELECT x.*, row_number() OVER (PARTITION BY x.sku, x.location ORDER BY x.n) AS time FROM (SELECT u.*" PRICE_ROWS ") x) u"
	" LEFT JOIN {items} i ON i.tenant_id = $1 AND i.sku = u.sku LEFT JOIN {locations} l ON l.tenant_id = $1 AND l.code = u.location"
	" WHERE i.item_id IS NULL OR l.location_id IS NULL OR u.time > 1 ORDER BY u.n",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan clear_plan = {
	.sql = "DELETE FROM {scarcity_prices} WHERE tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan load_plan = {
	.sql = "INSERT INTO {scarcity_prices} (item_id, location_id, computed_at, tenant_id, price)"
	" SELECT i.item_id, l.location_id, coalesce(u.computed_at, $3), $1, u.price" PRICE_ROWS
	" JOIN {items} i ON i.tenant_id = $1 AND i.sku = u.sku JOIN {locations} l ON l.tenant_id = $1 AND l.code = u.location"
	" ORDER BY i.item_id, l.location_id ON CONFLICT (item_id, location_id, tenant_id)"
	" DO UPDATE SET price = excluded.price, computed_at = excluded.computed_at",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID, TIMESTAMPTZOID)
};

static OmsPlan read_plan = {
	.sql = "SELECT u.n::int - 1, v.n::int - 1, least(round(s.price * 1000), 1e12)::bigint"
	" FROM unnest($2::bigint[]) WITH ORDINALITY u(item_id, n)"
	" JOIN {scarcity_prices} s ON s.item_id = u.item_id AND s.tenant_id = $1 AND s.computed_at >= $4"
	" JOIN unnest($3::bigint[]) WITH ORDINALITY v(location_id, n) ON v.location_id = s.location_id",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID)
};

static void
note_fault(TupleTableSlot *slot, void *state)
{
	int			row = oms_slot_int32(slot, 1);
	int			what = oms_slot_int32(slot, 2);

	if (what == 1)
		oms_fault(state, ERRCODE_OMS_UNKNOWN, "oms.upsert_items adds an item.", oms_document_place("prices", row, "sku"),
				  "SKU \"%s\" is not known", oms_slot_text(slot, 3));
	else if (what == 2)
		oms_fault(state, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations adds a location.",
				  oms_document_place("prices", row, "location"), "location \"%s\" is not known", oms_slot_text(slot, 4));
	else
		oms_fault(state, ERRCODE_OMS_DOCUMENT, "Each counter has one price.", oms_document_place("prices", row, "sku"),
				  "\"%s\" at \"%s\" stands there twice", oms_slot_text(slot, 3), oms_slot_text(slot, 4));
}

static void
check_prices(const DocArray *rows, FaultList *faults)
{
	for (int i = 0; i < rows->count; i++)
	{
		PriceDocument *row = (PriceDocument *) rows->items + i;

		if (row->price && oms_money_compare(row->price, int64_to_numeric(1000000)) > 0)
			oms_fault(faults, ERRCODE_OMS_LIMIT, "A unit is worth at most 1,000,000.", oms_document_place("prices", i, "price"),
					  "%s is too much", oms_money_text(row->price));
	}
}

/*
 * oms.load_scarcity_prices(prices jsonb, mode text, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_load_scarcity_prices, CALL_KEYED)
{
	char	   *mode = oms_argument_text(fcinfo, 1);
	bool		add = mode && strcmp(mode, "add") == 0;
	DocArray	rows = {0};
	FaultList	faults;
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), (Datum) 0, TimestampTzGetDatum(oms_call->now)};

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of prices.", "prices", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(0), &price_shape, OMS_BULK_ROWS_MAX, "prices", &faults);
	if (!add && (mode == NULL || strcmp(mode, "replace") != 0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Modes are replace and add.", "mode", "%s", mode
				  ? psprintf("\"%s\" is neither", mode) : "is null");
	check_prices(&rows, &faults);
	oms_faults_raise(&faults, "scarcity prices are not valid");
	values[1] = PG_GETARG_DATUM(0);
	(void) oms_execute_each(&faults_plan, values, NULL, note_fault, &faults);
	oms_faults_raise(&faults, "scarcity prices are not valid");
	if (!add)
		(void) oms_execute(&clear_plan, values, NULL);
	(void) oms_execute(&load_plan, values, NULL);
	oms_event(&(Event) {.object_type = "scarcity_prices",.type = "scarcity_prices.loaded"});
	PG_RETURN_INT64(rows.count);
}

typedef struct Prices
{
	int			item_count;
	int			location_count;
	int64	   *rows;
} Prices;

static void
read_price(TupleTableSlot *slot, void *state)
{
	Prices	   *prices = state;
	Size		cells = (Size) prices->item_count * prices->location_count;

	if (prices->rows == NULL)
		prices->rows = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(int64) * cells,
												  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	prices->rows[(Size) oms_slot_int32(slot, 1) * prices->location_count + oms_slot_int32(slot, 2)] = oms_slot_int64(slot, 3);
}

int64 *
oms_scarcity_read(const int64 *item_ids, int item_count, const int64 *location_ids, int location_count, TimestampTz since)
{
	Prices		prices = {item_count, location_count, NULL};
	Datum		values[4] = {Int32GetDatum(oms_call->tenant)};

	if (item_count == 0 || location_count == 0)
		return NULL;
	values[1] = oms_array_int64(item_ids, item_count);
	values[2] = oms_array_int64(location_ids, location_count);
	values[3] = TimestampTzGetDatum(since);
	(void) oms_execute_each(&read_plan, values, NULL, read_price, &prices);
	return prices.rows;
}
