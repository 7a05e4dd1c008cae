/*
 * stock.c
 *	  Functions of inventory and the ledger of its counters.
 *
 * Lock order of the extension, the same everywhere:
 *	  1. the order's row in oms.orders (by order_id where there are several),
 *	  2. its lines, fulfillments, payments: only ever under the order's lock,
 *	  3. rows of oms.stock_counters by item, location, then stripe (stock_counter.c),
 *	  4. rows of oms.channel_quotas by quota_id, then of oms.quota_trees by item (quota.c),
 *	  5. days of oms.location_capacity by location, day (capacity.c),
 *	  6. lots of a counter, first to expire first (lot.c),
 *	  7. at the end of a call, rows of oms.channel_levels by level_id (channel_level.c).
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
#include "lot.h"
#include "order.h"
#include "relation.h"
#include "replanning.h"
#include "reservation.h"
#include "stock.h"
#include "supply.h"
#include "stock_state.h"

/* Looks at a counter anew because its units had gone before it was locked. */
#define FREE_ATTEMPTS_MAX 20

static OmsPlan record_plan = {
	.sql = "INSERT INTO {stock_movements} (item_id, location_id, order_id, at, counted_at, tenant_id, on_hand_delta,"
	" reserved_delta, type, reason, reference, actor)"
	" SELECT u.item_id, u.location_id, nullif(u.order_id, 0), $6, $12, $1, u.on_hand, u.reserved, $7, $8, $9, $10"
	" FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::int[], $11::int[])"
	" u(item_id, location_id, order_id, on_hand, reserved)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID,
				 TEXTOID, TEXTOID, TEXTOID, TEXTOID, INT4ARRAYOID, TIMESTAMPTZOID)
};

/* Writes to those of the locked counters that are to change. */
void
oms_stock_apply_changed(const StockRow *rows, int count)
{
	StockRow   *changed = palloc_extended(sizeof(StockRow) * Max(1, count), MCXT_ALLOC_HUGE);
	int			changed_count = 0;

	for (int i = 0; i < count; i++)
		if (rows[i].on_hand_delta != 0 || rows[i].reserved_delta != 0 || rows[i].backorder_limit_delta != 0)
			changed[changed_count++] = rows[i];
	if (changed_count > 0)
		oms_stock_apply(changed, changed_count);
}

static void
record(const StockRow *rows, int count, const char *type, const char *reason, const char *reference,
	   TimestampTz counted_at)
{
	int64	   *ids = palloc(sizeof(int64) * count * 3);
	int32	   *deltas = palloc(sizeof(int32) * count * 2);
	Datum		values[12];
	char		nulls[13];

	oms_lots_follow(rows, count, type, reference);
	for (int i = 0; i < count; i++)
	{
		ids[i] = rows[i].item_id;
		ids[count + i] = rows[i].location_id;
		ids[2 * count + i] = rows[i].order_id;
		deltas[i] = rows[i].on_hand_delta;
		deltas[count + i] = rows[i].reserved_delta;
	}
	memset(nulls, ' ', 12);
	nulls[11] = counted_at == DT_NOBEGIN ? 'n' : ' ';
	nulls[12] = '\0';
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
	values[11] = TimestampTzGetDatum(counted_at);
	(void) oms_execute(&record_plan, values, nulls);
}

/* Writes one ledger row per counter row. */
void
oms_stock_record(const StockRow *rows, int count, const char *type,
				 const char *reason, const char *reference)
{
	record(rows, count, type, reason, reference, DT_NOBEGIN);
}

/* The same for counters that were set to what stood there at a moment. */
void
oms_stock_record_count(const StockRow *rows, int count, const char *type,
					   const char *reference, TimestampTz counted_at)
{
	record(rows, count, type, NULL, reference, counted_at);
}

static bool
has_negative(const StockRow *row)
{
	return (int64) row->on_hand + row->on_hand_delta < 0 ||
		(int64) row->reserved + row->reserved_delta < 0 ||
		(int64) row->on_hand + row->on_hand_delta + row->backorder_limit <
		(int64) row->reserved + row->reserved_delta;
}

/*
 * Units that may go without a promise being broken: what is owed may stay owed
 * up to the limit, what is not rests on units on hand.
 */
int32
oms_stock_free(const StockRow *row)
{
	int64		beside_limit = (int64) row->on_hand + row->backorder_limit - row->reserved;
	int64		beside_firm = (int64) row->on_hand - row->reserved + row->owed;

	return (int32) Max(0, Min(row->on_hand, Min(beside_limit, beside_firm)));
}

/* Whether a look without locks finds too few units for the change. */
static bool
looks_short(const StockRow *row, int32 change)
{
	StockView  *view = oms_stock_view(&row->item_id, 1);

	for (int i = 0; i < view->count; i++)
	{
		StockRow   *seen = &view->rows[i];

		if (seen->location_id != row->location_id)
			continue;
		seen->owed = oms_allocations_owed(seen);
		return oms_stock_free(seen) < -change;
	}
	return false;
}

/* Whether a locked counter has too few units, but would have more without its expired holds. */
static bool
misses_expired(const StockRow *row, int32 change)
{
	return oms_stock_free(row) < -change && oms_holds_have_expired(row->item_id, row->location_id);
}

/*
 * Locks the whole of a counter of which units are to be taken (negative), and
 * ends the expired holds that would stand in the way.  These are locked before
 * counters, so it is a look without locks that says whether they are needed.
 * Where that turns out wrong, the counter is given back and looked at again.
 */
void
oms_stock_lock_free(StockRow *row, int32 change)
{
	int			attempts_left = change < 0 && oms_holds_have_expired(row->item_id, row->location_id) ? FREE_ATTEMPTS_MAX : 0;

	row->on_hand_delta = change;
	if (attempts_left == 0)
	{
		oms_stock_lock_one(row);
		row->owed = change < 0 ? oms_allocations_owed(row) : 0;
		if (change >= 0 || !misses_expired(row, change))
			return;
	}
	for (; attempts_left > 0; attempts_left--)
	{
		StockRow	attempted = *row;
		OmsAttempt	attempt;

		CHECK_FOR_INTERRUPTS();
		oms_attempt_begin(&attempt);
		if (looks_short(&attempted, change))
			oms_holds_expire(attempted.item_id, attempted.location_id);
		oms_stock_lock_one(&attempted);
		attempted.owed = oms_allocations_owed(&attempted);
		if (!misses_expired(&attempted, change))
		{
			oms_attempt_keep(&attempt);
			*row = attempted;
			return;
		}
		oms_attempt_undo(&attempt);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OMS_CONCURRENT),
			 errmsg("units were taken while those of an expired hold were left"),
			 errhint("Repeat the transaction.")));
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

/* Refuses a quantity below least, or 0 where least is negative. */
void
oms_stock_require_quantity(FunctionCallInfo fcinfo, int argument, const char *name, int32 least)
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
StockRow
oms_stock_row_of_arguments(FunctionCallInfo fcinfo, CatalogItem **item, Location **location)
{
	StockRow	row = {0};

	*location = oms_location_get(oms_argument_required(fcinfo, 0, "location"));
	*item = oms_item_get(oms_argument_required(fcinfo, 1, "sku"));
	if ((*item)->kind != ITEM_STOCKED)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("SKU \"%s\" has no stock", (*item)->sku),
				 errdetail("sku: is a digital or service item, or a kit"),
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

void
oms_stock_refuse_overflow(const StockRow *row, const CatalogItem *item)
{
	int64		on_hand = (int64) row->on_hand + row->on_hand_delta;

	if (on_hand > OMS_QUANTITY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("stock of \"%s\" would be " INT64_FORMAT, item->sku, on_hand),
				 errdetail("quantity: a stock row holds at most %d units", OMS_QUANTITY_MAX),
				 errhint("Use a larger base unit for this item.")));
}

/* Refuses a backorder limit, with open supply, above what a counter holds. */
void
oms_stock_refuse_limit(int64 limit, const char *sku, const char *place)
{
	if (limit > OMS_QUANTITY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("\"%s\" could be promised " INT64_FORMAT " units beyond on hand", sku, limit),
				 errdetail("%s: a backorder limit and open supply have at most %d units together", place, OMS_QUANTITY_MAX),
				 errhint("Lower backorder_limit, or announce supply that need not be promised with promisable => false.")));
}

/*
 * oms.receive_stock(location, sku, quantity, reference, state, lots, idempotency_key) -> integer
 */
OMS_FUNCTION(oms_receive_stock, CALL_KEYED)
{
	CatalogItem *item;
	Location   *location;
	char	   *reference = oms_argument_optional(fcinfo, 3, "reference");
	char	   *state = oms_argument_text(fcinfo, 4);
	StockRow	row = oms_stock_row_of_arguments(fcinfo, &item, &location);
	int32		now;

	oms_stock_require_quantity(fcinfo, 2, "quantity", 1);
	row.on_hand_delta = PG_GETARG_INT32(2);
	if (state != NULL)
		oms_stock_state_check(state, "state");
	if (state != NULL && strcmp(state, STATE_SELLABLE) != 0 && !PG_ARGISNULL(5))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("lots are those of sellable units"),
				 errdetail("lots: state is \"%s\"", state),
				 errhint("Name the lots when the units are moved to sellable.")));
	oms_lots_give_argument(fcinfo, 5, &row, item, row.on_hand_delta, false);
	if (state != NULL && strcmp(state, STATE_SELLABLE) != 0)
		now = oms_stock_state_add(row.item_id, row.location_id, 0, state, row.on_hand_delta, "receive", NULL, reference);
	else
	{
		oms_stock_lock_one(&row);
		oms_stock_refuse_overflow(&row, item);
		oms_stock_apply(&row, 1);
		oms_stock_record(&row, 1, "receive", NULL, reference);
		now = row.on_hand + row.on_hand_delta;
	}
	stock_event("stock.received", item, location, row.on_hand_delta, now, state, reference);
	PG_RETURN_INT32(now);
}

/*
 * oms.adjust_stock(location, sku, quantity, reason, reference, lots, idempotency_key) -> integer
 */
OMS_FUNCTION(oms_adjust_stock, CALL_KEYED)
{
	CatalogItem *item;
	Location   *location;
	char	   *reason = oms_argument_required(fcinfo, 3, "reason");
	char	   *reference = oms_argument_optional(fcinfo, 4, "reference");
	StockRow	row = oms_stock_row_of_arguments(fcinfo, &item, &location);

	oms_stock_require_quantity(fcinfo, 2, "quantity", -OMS_QUANTITY_MAX);
	oms_lots_give_argument(fcinfo, 5, &row, item, Abs(PG_GETARG_INT32(2)), false);
	oms_stock_lock_free(&row, PG_GETARG_INT32(2));
	oms_stock_refuse_overflow(&row, item);
	if (has_negative(&row) || (row.on_hand_delta < 0 && oms_stock_free(&row) < -row.on_hand_delta))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
				 errmsg("\"%s\" at \"%s\" has %d units free to take away, not %d", item->sku, location->code,
						oms_stock_free(&row), -row.on_hand_delta),
				 errdetail("On hand are %d, promised to orders %d.", row.on_hand, row.reserved),
				 errhint("oms.count_stock withdraws promises that the stock cannot keep.")));
	oms_stock_apply(&row, 1);
	oms_stock_record(&row, 1, "adjust", reason, reference);
	stock_event("stock.adjusted", item, location, row.on_hand_delta, row.on_hand + row.on_hand_delta,
				reason, reference);
	PG_RETURN_INT32(row.on_hand + row.on_hand_delta);
}

/* Sets on hand to what was counted. */
static void
set_counted(StockRow *rows, int count, void *state)
{
	rows[0].on_hand_delta = *(int32 *) state - rows[0].on_hand;
}

static Jsonb *
count_answer(const StockRow *row, int32 counted, const Withdrawal *withdrawn, int withdrawn_count, const Replanning *replanning)
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
	if (replanning->active)
		oms_replanning_describe(&writer, replanning);
	return oms_write_finish(&writer);
}

/*
 * oms.count_stock(location, sku, counted, reference, lots, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_count_stock, CALL_KEYED)
{
	CatalogItem *item;
	Location   *location;
	char	   *reference = oms_argument_optional(fcinfo, 3, "reference");
	StockRow	row = oms_stock_row_of_arguments(fcinfo, &item, &location);
	Withdrawal *withdrawn = NULL;
	Replanning	replanning = {0};
	int			withdrawn_count;
	int32		counted;

	oms_stock_require_quantity(fcinfo, 2, "counted", 0);
	counted = PG_GETARG_INT32(2);
	oms_lots_give_argument(fcinfo, 4, &row, item, counted, true);
	withdrawn_count = oms_allocations_settle(&row, 1, set_counted, &counted, "stock count", NULL, &replanning, &withdrawn);
	/* A count leaves its trace though it found no difference: older figures are then known to be older. */
	oms_stock_record_count(&row, 1, "count", reference, oms_call->now);
	stock_event("stock.counted", item, location, row.on_hand_delta, counted, NULL, reference);
	oms_replanning_write(&replanning);
	oms_withdrawals_refresh(withdrawn, withdrawn_count);
	PG_RETURN_JSONB_P(count_answer(&row, counted, withdrawn, withdrawn_count, &replanning));
}

/*
 * oms.set_stock_limits(location, sku, safety, backorder_limit, reorder_point, idempotency_key) -> void
 */
OMS_FUNCTION(oms_set_stock_limits, CALL_KEYED)
{
	static const char *const limits[] = {"safety", "backorder_limit", "reorder_point"};
	int32		supplied = 0;
	CatalogItem *item;
	Location   *location;
	StockRow	row = oms_stock_row_of_arguments(fcinfo, &item, &location);

	for (int i = 0; i < lengthof(limits); i++)
		if (!PG_ARGISNULL(2 + i))
			oms_stock_require_quantity(fcinfo, 2 + i, limits[i], 0);
	if (!PG_ARGISNULL(3))
		oms_holds_expire(row.item_id, row.location_id);
	oms_stock_lock_one(&row);

	/* Open supply is part of the limit in the row, beside what is set here. */
	if (!PG_ARGISNULL(3))
		supplied = oms_supplies_headroom(row.item_id, row.location_id);
	if (!PG_ARGISNULL(3) && row.reserved > (int64) row.on_hand + PG_GETARG_INT32(3) + supplied)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
				 errmsg("backorder limit %d does not cover what is promised", PG_GETARG_INT32(3)),
				 errdetail("On hand are %d, promised to orders %d.", row.on_hand, row.reserved),
				 errhint("The limit must be at least %d.", row.reserved - row.on_hand - supplied)));
	if (!PG_ARGISNULL(3))
		oms_stock_refuse_limit((int64) PG_GETARG_INT32(3) + supplied, item->sku, "backorder_limit");
	row.safety_delta = PG_ARGISNULL(2) ? 0 : PG_GETARG_INT32(2) - row.safety;
	row.backorder_limit_delta = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3) + supplied - row.backorder_limit;
	row.reorder_point_delta = PG_ARGISNULL(4) ? 0 : PG_GETARG_INT32(4) - row.reorder_point;
	oms_stock_apply(&row, 1);
	stock_event("stock.limits_changed", item, location, 0, row.on_hand, NULL, NULL);
	PG_RETURN_VOID();
}
