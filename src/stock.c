/*
 * stock.c
 *	  Counters of stock and their ledger.
 *
 * Lock order of the extension, the same everywhere:
 *	  1. the order's row in oms.orders (by order_id where there are several),
 *	  2. its lines, fulfillments, payments: only ever under the order's lock,
 *	  3. rows of oms.stock by item, then location.
 * All locks are FOR NO KEY UPDATE: nothing waits for a foreign key check.
 *
 * A change of a counter locks its rows first and decides on what it then sees;
 * the CHECK constraint of the table stands behind that decision.  Taking a
 * promise writes no ledger row of its own: the allocation is that row.  Every
 * other change of a counter writes a movement in the same call.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "allocation.h"
#include "call.h"
#include "document.h"
#include "event.h"
#include "heap.h"
#include "item.h"
#include "location.h"
#include "order.h"
#include "relation.h"
#include "reservation.h"
#include "stock.h"

/*
 * The sub-select locks row by row in the order of the array, which is sorted:
 * a row lock below a join keeps the planner from changing that order.
 */
static OmsPlan lock_plan = {
	.sql = "SELECT u.n, s.ctid, s.on_hand, s.reserved, s.safety, s.backorder_limit"
	" FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY u(item_id, location_id, n)"
	" CROSS JOIN LATERAL (SELECT t.ctid, t.on_hand, t.reserved, t.safety, t.backorder_limit FROM {stock} t"
	" WHERE t.tenant_id = $1 AND t.item_id = u.item_id AND t.location_id = u.location_id"
	" FOR NO KEY UPDATE) s",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

/* The rows are locked by us, so their place cannot change under us. */
static OmsPlan apply_plan = {
	.sql = "UPDATE {stock} s SET on_hand = s.on_hand + u.on_hand, reserved = s.reserved + u.reserved"
	" FROM unnest($2::tid[], $3::int[], $4::int[]) u(place, on_hand, reserved)"
	" WHERE s.ctid = u.place AND s.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID)
};

static OmsPlan record_plan = {
	.sql = "INSERT INTO {stock_movements} (item_id, location_id, order_id, at, tenant_id, on_hand_delta,"
	" reserved_delta, type, reason, reference, actor)"
	" SELECT u.item_id, u.location_id, nullif(u.order_id, 0), $6, $1, u.on_hand, u.reserved, $7, $8, $9, $10"
	" FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $11::int[])"
	" u(item_id, location_id, order_id, on_hand, reserved)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID,
				 TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4ARRAYOID)
};

static OmsPlan create_plan = {
	.sql = "INSERT INTO {stock} (item_id, location_id, tenant_id) VALUES ($2, $3, $1)"
	" ON CONFLICT (tenant_id, item_id, location_id) DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID)
};

static OmsPlan limits_plan = {
	.sql = "UPDATE {stock} SET safety = coalesce($4, safety), backorder_limit = coalesce($5, backorder_limit)"
	" WHERE tenant_id = $1 AND item_id = $2 AND location_id = $3",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT4OID, INT4OID)
};

static OmsPlan view_plan = {
	.sql = "SELECT item_id, location_id, on_hand, reserved, safety, backorder_limit FROM {stock}"
	" WHERE tenant_id = $1 AND item_id = ANY ($2)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* The same table for direct access; the key's columns stand first, in the key's order. */
enum
{
	STOCK_TENANT, STOCK_ITEM, STOCK_LOCATION, STOCK_ON_HAND, STOCK_RESERVED, STOCK_SAFETY, STOCK_BACKORDER_LIMIT
};

static OmsHeap stock_heap = {
	.relation = "stock",
	.key_count = 3,
	.column_count = 7,
	.columns = {"tenant_id", "item_id", "location_id", "on_hand", "reserved", "safety", "backorder_limit"}
};

static int
compare_rows(const void *left, const void *right)
{
	const StockRow *a = left;
	const StockRow *b = right;

	if (a->item_id != b->item_id)
		return a->item_id < b->item_id ? -1 : 1;
	if (a->location_id != b->location_id)
		return a->location_id < b->location_id ? -1 : 1;
	return 0;
}

/* Sorts rows into lock order and adds up those of one counter; returns how many remain. */
int
oms_stock_merge(StockRow *rows, int count)
{
	int			kept = 0;

	qsort(rows, count, sizeof(StockRow), compare_rows);
	for (int i = 0; i < count; i++)
	{
		if (kept > 0 && compare_rows(&rows[kept - 1], &rows[i]) == 0)
		{
			rows[kept - 1].on_hand_delta += rows[i].on_hand_delta;
			rows[kept - 1].reserved_delta += rows[i].reserved_delta;
			rows[kept - 1].held += rows[i].held;
		}
		else
			rows[kept++] = rows[i];
	}
	return kept;
}

static int32
heap_value(HeapTuple tuple, TupleDesc descriptor, int column)
{
	bool		isnull;

	return DatumGetInt32(heap_getattr(tuple, stock_heap.attributes[column], descriptor, &isnull));
}

static void
lock_directly(StockRow *rows, int count)
{
	OmsHeapWork work;

	oms_heap_begin(&work, &stock_heap, false);
	for (int i = 0; i < count; i++)
	{
		StockRow   *row = &rows[i];
		Datum		keys[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(row->item_id), Int64GetDatum(row->location_id)};

		row->tuple = oms_heap_lock(&work, keys, 3);
		row->found = row->tuple != NULL;
		if (!row->found)
			continue;
		row->on_hand = heap_value(row->tuple, work.slot->tts_tupleDescriptor, STOCK_ON_HAND);
		row->reserved = heap_value(row->tuple, work.slot->tts_tupleDescriptor, STOCK_RESERVED);
		row->safety = heap_value(row->tuple, work.slot->tts_tupleDescriptor, STOCK_SAFETY);
		row->backorder_limit = heap_value(row->tuple, work.slot->tts_tupleDescriptor, STOCK_BACKORDER_LIMIT);
	}
	oms_heap_end(&work);
}

static void
apply_directly(StockRow *rows, int count)
{
	static const bool replace[7] = {[STOCK_ON_HAND] = true,[STOCK_RESERVED] = true};
	OmsHeapWork work;

	oms_heap_begin(&work, &stock_heap, true);
	for (int i = 0; i < count; i++)
	{
		StockRow   *row = &rows[i];
		Datum		values[7] = {0};

		values[STOCK_ON_HAND] = Int32GetDatum(row->on_hand + row->on_hand_delta);
		values[STOCK_RESERVED] = Int32GetDatum(row->reserved + row->reserved_delta);
		oms_heap_update(&work, row->tuple, values, replace);
	}
	oms_heap_end(&work);
}

static void
read_locked(TupleTableSlot *slot, void *state)
{
	StockRow   *row = (StockRow *) state + (oms_slot_int64(slot, 1) - 1);
	bool		isnull;

	row->found = true;
	ItemPointerCopy((ItemPointer) DatumGetPointer(oms_slot_datum(slot, 2, &isnull)), &row->tid);
	row->on_hand = oms_slot_int32(slot, 3);
	row->reserved = oms_slot_int32(slot, 4);
	row->safety = oms_slot_int32(slot, 5);
	row->backorder_limit = oms_slot_int32(slot, 6);
}

/* Locks the counters, which must be in the order of oms_stock_merge, and reads them. */
void
oms_stock_lock(StockRow *rows, int count)
{
	int64	   *items = palloc(sizeof(int64) * count);
	int64	   *locations = palloc(sizeof(int64) * count);
	Datum		values[3];

	for (int i = 0; i < count; i++)
	{
		Assert(i == 0 || compare_rows(&rows[i - 1], &rows[i]) < 0);
		items[i] = rows[i].item_id;
		locations[i] = rows[i].location_id;
		rows[i].found = false;
		rows[i].on_hand = rows[i].reserved = rows[i].safety = rows[i].backorder_limit = 0;
		rows[i].tuple = NULL;
	}
	if (oms_heap_is_plain(&stock_heap))
	{
		lock_directly(rows, count);
		return;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items, count);
	values[2] = oms_array_int64(locations, count);
	(void) oms_execute_each(&lock_plan, values, NULL, read_locked, rows);
}

/* Writes the wanted changes to locked counters. */
void
oms_stock_apply(StockRow *rows, int count)
{
	Datum	   *tids = palloc(sizeof(Datum) * count);
	bool	   *nulls = palloc0(sizeof(bool) * count);
	int32	   *on_hand = palloc(sizeof(int32) * count);
	int32	   *reserved = palloc(sizeof(int32) * count);
	Datum		values[4];
	uint64		written;

	if (count > 0 && rows[0].tuple != NULL && oms_heap_is_plain(&stock_heap))
	{
		apply_directly(rows, count);
		return;
	}
	for (int i = 0; i < count; i++)
	{
		Assert(rows[i].found);
		tids[i] = PointerGetDatum(&rows[i].tid);
		on_hand[i] = rows[i].on_hand_delta;
		reserved[i] = rows[i].reserved_delta;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_datum(tids, nulls, count, TIDOID);
	values[2] = oms_array_int32(on_hand, count);
	values[3] = oms_array_int32(reserved, count);
	written = oms_execute(&apply_plan, values, NULL);
	if (written != (uint64) count)
		elog(ERROR, "%d stock rows were locked but " UINT64_FORMAT " were written", count, written);
}

/* Writes one ledger row per counter row. */
void
oms_stock_record(const StockRow *rows, int count, const char *type,
				 const char *reason, const char *reference)
{
	int64	   *ids = palloc(sizeof(int64) * count * 3);
	int32	   *deltas = palloc(sizeof(int32) * count * 2);
	Datum		values[11];
	char		nulls[12];

	for (int i = 0; i < count; i++)
	{
		ids[i] = rows[i].item_id;
		ids[count + i] = rows[i].location_id;
		ids[2 * count + i] = rows[i].order_id;
		deltas[i] = rows[i].on_hand_delta;
		deltas[count + i] = rows[i].reserved_delta;
	}
	memset(nulls, ' ', 11);
	nulls[11] = '\0';
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(ids, count);
	values[2] = oms_array_int64(ids + count, count);
	values[3] = oms_array_int64(ids + 2 * count, count);
	values[4] = oms_array_int32(deltas, count);
	values[5] = TimestampTzGetDatum(oms_call->now);
	values[6] = CStringGetTextDatum(type);
	values[7] = oms_text_or_null(reason, &nulls[7]);
	values[8] = oms_text_or_null(reference, &nulls[8]);
	values[9] = CStringGetTextDatum(oms_call->actor);
	values[10] = oms_array_int32(deltas + count, count);
	(void) oms_execute(&record_plan, values, nulls);
}

static bool
has_negative(const StockRow *row)
{
	return (int64) row->on_hand + row->on_hand_delta < 0 ||
		(int64) row->reserved + row->reserved_delta < 0 ||
		(int64) row->on_hand + row->on_hand_delta + row->backorder_limit <
		(int64) row->reserved + row->reserved_delta;
}

/* Locks, checks, writes and records changes that no plan depends on. */
void
oms_stock_change(StockRow *rows, int count, const char *type,
				 const char *reason, const char *reference)
{
	StockRow   *ledger = palloc(sizeof(StockRow) * Max(count, 1));
	int			merged;

	if (count == 0)
		return;
	memcpy(ledger, rows, sizeof(StockRow) * count);
	merged = oms_stock_merge(rows, count);
	oms_stock_lock(rows, merged);
	for (int i = 0; i < merged; i++)
		if (!rows[i].found || has_negative(&rows[i]))
			ereport(ERROR,
					(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
					 errmsg("stock does not cover the change"),
					 errdetail("Location \"%s\" has %d on hand and %d reserved; the change is %d and %d.",
							   oms_location_by_id(rows[i].location_id) ? oms_location_by_id(rows[i].location_id)->code : "?",
							   rows[i].on_hand, rows[i].reserved, rows[i].on_hand_delta, rows[i].reserved_delta),
					 errhint("oms.count_stock sets the counter to what is really there.")));
	oms_stock_apply(rows, merged);
	oms_stock_record(ledger, count, type, reason, reference);
}

static StockRow *
add_to_view(StockView *view)
{
	StockRow   *row;

	if (view->count == view->capacity)
	{
		view->capacity *= 2;
		view->rows = repalloc_huge(view->rows, sizeof(StockRow) * view->capacity);
	}
	row = &view->rows[view->count++];
	memset(row, 0, sizeof(*row));
	row->found = true;
	return row;
}

static void
read_view(TupleTableSlot *slot, void *state)
{
	StockRow   *row = add_to_view(state);

	row->item_id = oms_slot_int64(slot, 1);
	row->location_id = oms_slot_int64(slot, 2);
	row->on_hand = oms_slot_int32(slot, 3);
	row->reserved = oms_slot_int32(slot, 4);
	row->safety = oms_slot_int32(slot, 5);
	row->backorder_limit = oms_slot_int32(slot, 6);
}

static void
read_view_directly(TupleTableSlot *slot, void *state)
{
	StockRow   *row = add_to_view(state);

	row->item_id = oms_slot_int64(slot, stock_heap.attributes[STOCK_ITEM]);
	row->location_id = oms_slot_int64(slot, stock_heap.attributes[STOCK_LOCATION]);
	row->on_hand = oms_slot_int32(slot, stock_heap.attributes[STOCK_ON_HAND]);
	row->reserved = oms_slot_int32(slot, stock_heap.attributes[STOCK_RESERVED]);
	row->safety = oms_slot_int32(slot, stock_heap.attributes[STOCK_SAFETY]);
	row->backorder_limit = oms_slot_int32(slot, stock_heap.attributes[STOCK_BACKORDER_LIMIT]);
}

/* One index scan per item, items in order: the rows come sorted. */
static void
view_directly(StockView *view, const int64 *item_ids, int count)
{
	int64	   *sorted = palloc(sizeof(int64) * Max(1, count));
	OmsHeapWork work;

	memcpy(sorted, item_ids, sizeof(int64) * count);
	qsort(sorted, count, sizeof(int64), oms_compare_int64);
	oms_heap_begin(&work, &stock_heap, false);
	for (int i = 0; i < count; i++)
	{
		Datum		keys[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(sorted[i])};

		if (i == 0 || sorted[i] != sorted[i - 1])
			oms_heap_scan(&work, keys, 2, read_view_directly, view);
	}
	oms_heap_end(&work);
}

/* Reads the counters of some items without locking them, sorted by item and location. */
StockView *
oms_stock_view(const int64 *item_ids, int count)
{
	StockView  *view = palloc0(sizeof(StockView));
	Datum		values[2];

	view->capacity = 64;
	view->rows = palloc(sizeof(StockRow) * view->capacity);
	if (oms_heap_is_plain(&stock_heap))
	{
		view_directly(view, item_ids, count);
		return view;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(item_ids, count);
	(void) oms_execute_each(&view_plan, values, NULL, read_view, view);
	qsort(view->rows, view->count, sizeof(StockRow), compare_rows);
	return view;
}

/* Locks one counter, making it first where there is none. */
void
oms_stock_lock_one(StockRow *row)
{
	Datum		values[3];

	oms_stock_lock(row, 1);
	if (row->found)
		return;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(row->item_id);
	values[2] = Int64GetDatum(row->location_id);
	(void) oms_execute(&create_plan, values, NULL);
	oms_stock_lock(row, 1);
	if (!row->found)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("another transaction is creating the same stock row"),
				 errhint("Repeat the transaction.")));
}

static void
require_quantity(FunctionCallInfo fcinfo, int argument, const char *name, int32 least)
{
	int32		quantity;

	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("argument %s is required", name),
				 errdetail("%s: is null", name),
				 errhint("Quantities are whole base units.")));
	quantity = PG_GETARG_INT32(argument);
	if (quantity < least || quantity > OMS_QUANTITY_MAX || quantity == 0)
		if (!(least == 0 && quantity == 0))
			ereport(ERROR,
					(errcode(ERRCODE_OMS_DOCUMENT),
					 errmsg("quantity %d is not valid", quantity),
					 errdetail("%s: must be %s and at most %d", name,
							   least > 0 ? "positive" : least == 0 ? "zero or more" : "other than zero",
							   OMS_QUANTITY_MAX),
					 errhint("Quantities are whole base units.")));
}

/* Reads the location and SKU that every stock function begins with. */
static StockRow
row_of_arguments(FunctionCallInfo fcinfo, CatalogItem **item, Location **location)
{
	StockRow	row = {0};

	*location = oms_location_get(oms_argument_required(fcinfo, 0, "location"));
	*item = oms_item_get(oms_argument_required(fcinfo, 1, "sku"));
	if ((*item)->kind != ITEM_STOCKED)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("SKU \"%s\" has no stock", (*item)->sku),
				 errdetail("sku: is a digital or service item"),
				 errhint("Only items of kind stocked have stock.")));
	row.item_id = (*item)->item_id;
	row.location_id = (*location)->location_id;
	return row;
}

static void
stock_event(const char *type, const CatalogItem *item, const Location *location, int32 quantity,
			int32 on_hand, const char *reason, const char *reference)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "sku", item->sku);
	oms_write_text(&writer, "location", location->code);
	oms_write_int64(&writer, "quantity", quantity);
	oms_write_int64(&writer, "on_hand", on_hand);
	oms_write_text(&writer, "reference", reference);
	oms_event(&(Event) {.object_id = item->item_id,.object_type = "stock",.type = type,
						.reason = reason,.data = oms_write_finish(&writer)});
}

static void
refuse_overflow(const StockRow *row, const CatalogItem *item)
{
	int64		on_hand = (int64) row->on_hand + row->on_hand_delta;

	if (on_hand > OMS_QUANTITY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("stock of \"%s\" would be " INT64_FORMAT, item->sku, on_hand),
				 errdetail("quantity: a stock row holds at most %d units", OMS_QUANTITY_MAX),
				 errhint("Use a larger base unit for this item.")));
}

/*
 * oms.receive_stock(location, sku, quantity, reference, idempotency_key) -> integer
 */
OMS_FUNCTION(oms_receive_stock, CALL_KEYED)
{
	CatalogItem *item;
	Location   *location;
	char	   *reference = oms_argument_text(fcinfo, 3);
	StockRow	row = row_of_arguments(fcinfo, &item, &location);

	require_quantity(fcinfo, 2, "quantity", 1);
	row.on_hand_delta = PG_GETARG_INT32(2);
	oms_stock_lock_one(&row);
	refuse_overflow(&row, item);
	oms_stock_apply(&row, 1);
	oms_stock_record(&row, 1, "receive", NULL, reference);
	stock_event("stock.received", item, location, row.on_hand_delta, row.on_hand + row.on_hand_delta,
				NULL, reference);
	PG_RETURN_INT32(row.on_hand + row.on_hand_delta);
}

/*
 * oms.adjust_stock(location, sku, quantity, reason, reference, idempotency_key) -> integer
 */
OMS_FUNCTION(oms_adjust_stock, CALL_KEYED)
{
	CatalogItem *item;
	Location   *location;
	char	   *reason = oms_argument_required(fcinfo, 3, "reason");
	char	   *reference = oms_argument_text(fcinfo, 4);
	StockRow	row = row_of_arguments(fcinfo, &item, &location);

	require_quantity(fcinfo, 2, "quantity", -OMS_QUANTITY_MAX);
	row.on_hand_delta = PG_GETARG_INT32(2);
	oms_stock_lock_one(&row);
	refuse_overflow(&row, item);
	if (has_negative(&row))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
				 errmsg("\"%s\" at \"%s\" has %d units free to take away, not %d", item->sku, location->code,
						Max(0, Min(row.on_hand, row.on_hand + row.backorder_limit - row.reserved)), -row.on_hand_delta),
				 errdetail("On hand are %d, promised to orders %d.", row.on_hand, row.reserved),
				 errhint("oms.count_stock withdraws promises that the stock cannot keep.")));
	oms_stock_apply(&row, 1);
	oms_stock_record(&row, 1, "adjust", reason, reference);
	stock_event("stock.adjusted", item, location, row.on_hand_delta, row.on_hand + row.on_hand_delta,
				reason, reference);
	PG_RETURN_INT32(row.on_hand + row.on_hand_delta);
}

/* Sets on hand of a locked counter to what was counted. */
static void
book_count(StockRow *row, const CatalogItem *item, const Location *location, int32 counted, const char *reference)
{
	row->on_hand_delta = counted - row->on_hand;
	oms_stock_apply(row, 1);
	if (row->on_hand_delta != 0 || row->reserved_delta != 0)
		oms_stock_record(row, 1, "count", NULL, reference);
	stock_event("stock.counted", item, location, row->on_hand_delta, counted, NULL, reference);
}

static Jsonb *
count_answer(const StockRow *row, int32 counted, const Withdrawal *withdrawn, int withdrawn_count)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_int64(&writer, "on_hand", counted);
	oms_write_int64(&writer, "difference", row->on_hand_delta);
	oms_write_int64(&writer, "reserved", row->reserved + row->reserved_delta);
	if (row->held > 0)
		oms_write_int64(&writer, "holds_withdrawn", row->held);
	oms_write_begin_array(&writer, "withdrawn");
	for (int i = 0; i < withdrawn_count; i++)
	{
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "order_id", withdrawn[i].order_id);
		oms_write_int64(&writer, "fulfillment_id", withdrawn[i].fulfillment_id);
		oms_write_int64(&writer, "line_no", withdrawn[i].line_no);
		oms_write_int64(&writer, "quantity", withdrawn[i].quantity);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	return oms_write_finish(&writer);
}

/*
 * oms.count_stock(location, sku, counted, reference, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_count_stock, CALL_KEYED)
{
	CatalogItem *item;
	Location   *location;
	char	   *reference = oms_argument_text(fcinfo, 3);
	StockRow	row = row_of_arguments(fcinfo, &item, &location);
	Withdrawal *withdrawn = NULL;
	int			withdrawn_count;

	require_quantity(fcinfo, 2, "counted", 0);
	withdrawn_count = oms_allocation_withdraw(&row, PG_GETARG_INT32(2), &withdrawn);
	book_count(&row, item, location, PG_GETARG_INT32(2), reference);
	for (int i = 0; i < withdrawn_count; i++)
		if (i == 0 || withdrawn[i].order_id != withdrawn[i - 1].order_id)
			oms_order_refresh(withdrawn[i].order_id);
	PG_RETURN_JSONB_P(count_answer(&row, PG_GETARG_INT32(2), withdrawn, withdrawn_count));
}

/*
 * oms.set_stock_limits(location, sku, safety, backorder_limit, idempotency_key) -> void
 */
OMS_FUNCTION(oms_set_stock_limits, CALL_KEYED)
{
	CatalogItem *item;
	Location   *location;
	StockRow	row = row_of_arguments(fcinfo, &item, &location);
	Datum		values[5];
	char		nulls[6] = "     ";

	for (int i = 2; i <= 3; i++)
		if (!PG_ARGISNULL(i))
			require_quantity(fcinfo, i, i == 2 ? "safety" : "backorder_limit", 0);
	oms_stock_lock_one(&row);
	if (!PG_ARGISNULL(3) && row.reserved > row.on_hand + PG_GETARG_INT32(3))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
				 errmsg("backorder limit %d does not cover what is promised", PG_GETARG_INT32(3)),
				 errdetail("On hand are %d, promised to orders %d.", row.on_hand, row.reserved),
				 errhint("The limit must be at least %d.", row.reserved - row.on_hand)));
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(row.item_id);
	values[2] = Int64GetDatum(row.location_id);
	values[3] = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	values[4] = PG_ARGISNULL(3) ? (Datum) 0 : PG_GETARG_DATUM(3);
	nulls[3] = PG_ARGISNULL(2) ? 'n' : ' ';
	nulls[4] = PG_ARGISNULL(3) ? 'n' : ' ';
	(void) oms_execute(&limits_plan, values, nulls);
	stock_event("stock.limits_changed", item, location, 0, row.on_hand, NULL, NULL);
	PG_RETURN_VOID();
}
