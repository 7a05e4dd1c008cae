/*
 * allocation.c
 *	  Promises: units of a line at a location.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/date.h"

#include "allocation.h"
#include "backorder_date.h"
#include "backorder_rules.h"
#include "call.h"
#include "dated_promise.h"
#include "event.h"
#include "heap.h"
#include "order.h"
#include "relation.h"
#include "replanning.h"
#include "reservation.h"

/* Tries to find the orders that hold a counter's promises before giving up. */
#define WITHDRAW_ATTEMPTS_MAX 10

/* Of these, those that plan anew what is withdrawn. */
#define REPLAN_ATTEMPTS_MAX 7

#define ALLOCATION_COLUMNS \
	"a.order_id, a.fulfillment_id, a.item_id, a.location_id, a.line_no, a.promised, a.picked, a.shipped," \
	" a.cancelled, f.backordered, f.status, coalesce(f.supplied_at, 'infinity'), a.lot"

/*
 * OFFSET 0 keeps the look-up below the promises, whatever the planner knows of
 * the tables: a plan made while they are nearly empty lives for long.
 */
#define FULFILLMENT_OF_ALLOCATION \
	" CROSS JOIN LATERAL (SELECT x.backordered, x.status, x.supplied_at, x.promised_at, x.ship_day, x.capacity_taken" \
	" FROM {fulfillments} x" \
	" WHERE x.fulfillment_id = a.fulfillment_id AND x.tenant_id = $1 OFFSET 0) f"

static OmsPlan of_order_plan = {
	.sql = "SELECT " ALLOCATION_COLUMNS " FROM {allocations} a" FULFILLMENT_OF_ALLOCATION
	" WHERE a.order_id = $2 AND a.tenant_id = $1 ORDER BY a.line_no, a.fulfillment_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* Newest orders first. */
static OmsPlan of_stock_plan = {
	.sql = "SELECT " ALLOCATION_COLUMNS ", o.priority, coalesce(f.promised_at, 'infinity'), coalesce(f.ship_day, '2000-01-01'),"
	" coalesce(f.capacity_taken, 0) FROM {allocations} a"
	FULFILLMENT_OF_ALLOCATION
	" CROSS JOIN LATERAL (SELECT x.priority FROM {orders} x WHERE x.order_id = a.order_id AND x.tenant_id = $1 OFFSET 0) o"
	" WHERE a.item_id = $2 AND a.location_id = $3 AND a.tenant_id = $1"
	" AND a.promised > a.shipped + a.cancelled"
	" ORDER BY a.order_id DESC, a.line_no DESC, a.fulfillment_id DESC",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {allocations} (order_id, fulfillment_id, item_id, location_id, promised_at, tenant_id, line_no, promised, lot)"
	" SELECT u.order_id, u.fulfillment_id, u.item_id, nullif(u.location_id, 0), $8, $1, u.line_no, u.promised, u.lot"
	" FROM unnest($2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::int[], $7::int[], $9::text[])"
	" u(order_id, fulfillment_id, item_id, location_id, line_no, promised, lot)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID,
				 TEXTARRAYOID)
};

static OmsPlan write_plan = {
	.sql = "UPDATE {allocations} a SET picked = a.picked + u.picked, shipped = a.shipped + u.shipped,"
	" cancelled = a.cancelled + u.cancelled"
	" FROM unnest($2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::int[], $7::int[])"
	" u(order_id, fulfillment_id, line_no, picked, shipped, cancelled)"
	" WHERE a.order_id = u.order_id AND a.line_no = u.line_no AND a.fulfillment_id = u.fulfillment_id"
	" AND a.tenant_id = $1 AND a.order_id = ANY ($2)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID)
};

static OmsHeap allocation_heap = {
	.relation = "allocations",
	.column_count = 9,
	.columns = {"order_id", "fulfillment_id", "item_id", "location_id", "promised_at", "tenant_id", "line_no", "promised", "lot"}
};

static void
append_allocation(AllocationList *list, const Allocation *row)
{
	if (list->count == list->capacity)
	{
		list->capacity = Max(16, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(Allocation) * list->capacity);
	}
	list->rows[list->count++] = *row;
}

static void
collect(TupleTableSlot *slot, void *state)
{
	bool		isnull;

	append_allocation(state, &(Allocation) {
		.order_id = oms_slot_int64(slot, 1),.fulfillment_id = oms_slot_int64(slot, 2),
		.item_id = oms_slot_int64(slot, 3),.location_id = oms_slot_int64(slot, 4),.line_no = oms_slot_int32(slot, 5),
		.promised = oms_slot_int32(slot, 6),.picked = oms_slot_int32(slot, 7),.shipped = oms_slot_int32(slot, 8),
		.cancelled = oms_slot_int32(slot, 9),.backordered = oms_slot_bool(slot, 10),.status = oms_slot_text(slot, 11),
		.supplied_at = DatumGetTimestampTz(oms_slot_datum(slot, 12, &isnull)),.lot = oms_slot_text(slot, 13)
	});
}

static void
collect_of_stock(TupleTableSlot *slot, void *state)
{
	AllocationList *list = state;
	Allocation *row;
	bool		isnull;

	collect(slot, state);
	row = &list->rows[list->count - 1];
	row->priority = oms_slot_int32(slot, 14);
	row->promised_at = DatumGetTimestampTz(oms_slot_datum(slot, 15, &isnull));
	row->ship_day = DatumGetDateADT(oms_slot_datum(slot, 16, &isnull));
	row->capacity_taken = oms_slot_int32(slot, 17);
}

/* All promises of an order, by line and fulfillment. */
AllocationList *
oms_allocations_of_order(int64 order_id)
{
	AllocationList *list = palloc0(sizeof(AllocationList));
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	(void) oms_execute_each(&of_order_plan, values, NULL, collect, list);
	return list;
}

/* The open promises on a counter, the newest first. */
AllocationList *
oms_allocations_of_stock(int64 item_id, int64 location_id)
{
	AllocationList *list = palloc0(sizeof(AllocationList));
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(item_id), Int64GetDatum(location_id)};

	(void) oms_execute_each(&of_stock_plan, values, NULL, collect_of_stock, list);
	return list;
}

static OmsPlan owed_plan = {
	.sql = "SELECT coalesce(sum(a.promised - a.shipped - a.cancelled), 0) FROM {order_lines} w"
	" CROSS JOIN LATERAL (SELECT x.fulfillment_id, x.promised, x.shipped, x.cancelled FROM {allocations} x"
	" WHERE x.order_id = w.order_id AND x.line_no = w.line_no AND x.location_id = $3 AND x.tenant_id = $1 OFFSET 0) a"
	" CROSS JOIN LATERAL (SELECT y.backordered FROM {fulfillments} y WHERE y.fulfillment_id = a.fulfillment_id"
	" AND y.tenant_id = $1 OFFSET 0) f WHERE w.item_id = $2 AND w.tenant_id = $1 AND w.backordered > 0 AND f.backordered",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID)
};

static void
read_owed(TupleTableSlot *slot, void *state)
{
	*(int64 *) state = oms_slot_int64(slot, 1);
}

/* Units of a counter that are promised as backordered, found by the few lines that wait. */
int32
oms_allocations_owed(const StockRow *row)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(row->item_id), Int64GetDatum(row->location_id)};
	int64		units = 0;

	if (row->reserved > 0)
		(void) oms_execute_each(&owed_plan, values, NULL, read_owed, &units);
	return (int32) units;
}

/* Units still promised. */
int32
oms_allocation_open(const Allocation *allocation)
{
	return allocation->promised - allocation->shipped - allocation->delta.shipped
		- allocation->cancelled - allocation->delta.cancelled;
}

static void
insert_directly(const Allocation *rows, int count)
{
	OmsHeapWork work;

	oms_heap_begin(&work, &allocation_heap, true);
	for (int i = 0; i < count; i++)
	{
		const Allocation *row = &rows[i];
		Datum		values[9] = {Int64GetDatum(row->order_id), Int64GetDatum(row->fulfillment_id),
			Int64GetDatum(row->item_id), Int64GetDatum(row->location_id), TimestampTzGetDatum(oms_call->now),
		Int32GetDatum(oms_call->tenant), Int32GetDatum(row->line_no), Int32GetDatum(row->promised),
		row->lot ? CStringGetTextDatum(row->lot) : (Datum) 0};
		bool		nulls[9] = {[3] = row->location_id == 0,[8] = row->lot == NULL};

		CHECK_FOR_INTERRUPTS();
		oms_heap_insert(&work, values, nulls);
	}
	oms_heap_end(&work);
}

/* Notes what promises beyond what is on hand become: units that are given up count down, others up. */
static void
note_dates(const Allocation *rows, int count, bool given_up)
{
	DatedUnits *dates = palloc(sizeof(DatedUnits) * Max(1, count));
	int			changed = 0;

	for (int i = 0; i < count; i++)
	{
		const Allocation *row = &rows[i];
		int32		units = given_up ? -row->delta.cancelled : row->promised;

		if (row->backordered && units != 0)
			dates[changed++] = (DatedUnits)
		{
			.item_id = row->item_id,.location_id = row->location_id,.supplied_at = row->supplied_at,.units = units
		};
	}
	oms_dated_promises_add(dates, changed);
}

/* Inserts promises, of one order or several. */
void
oms_allocations_insert(const Allocation *rows, int count)
{
	int64	   *ids;
	int32	   *numbers;
	char	  **lots;
	Datum		values[9];

	if (count == 0)
		return;
	note_dates(rows, count, false);
	if (oms_heap_is_plain(&allocation_heap))
	{
		insert_directly(rows, count);
		return;
	}
	ids = palloc_extended(sizeof(int64) * count * 4, MCXT_ALLOC_HUGE);
	numbers = palloc(sizeof(int32) * count * 2);
	lots = palloc(sizeof(char *) * count);
	for (int i = 0; i < count; i++)
	{
		lots[i] = rows[i].lot;
		ids[3 * count + i] = rows[i].order_id;
		ids[i] = rows[i].fulfillment_id;
		ids[count + i] = rows[i].item_id;
		ids[2 * count + i] = rows[i].location_id;
		numbers[i] = rows[i].line_no;
		numbers[count + i] = rows[i].promised;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(ids + 3 * count, count);
	values[2] = oms_array_int64(ids, count);
	values[3] = oms_array_int64(ids + count, count);
	values[4] = oms_array_int64(ids + 2 * count, count);
	values[5] = oms_array_int32(numbers, count);
	values[6] = oms_array_int32(numbers + count, count);
	values[7] = TimestampTzGetDatum(oms_call->now);
	values[8] = oms_array_text(lots, count);
	(void) oms_execute(&insert_plan, values, NULL);
}

static bool
is_changed(const Allocation *row)
{
	return row->delta.picked != 0 || row->delta.shipped != 0 || row->delta.cancelled != 0;
}

/* Promises whose changes one event carries, far within the size of a payload. */
#define PROMISES_PER_NOTE 400

static int
compare_promises(const void *left, const void *right)
{
	const Allocation *a = *(Allocation *const *) left;
	const Allocation *b = *(Allocation *const *) right;

	if (a->order_id != b->order_id)
		return a->order_id < b->order_id ? -1 : 1;
	if (a->fulfillment_id != b->fulfillment_id)
		return a->fulfillment_id < b->fulfillment_id ? -1 : 1;
	return a->line_no < b->line_no ? -1 : a->line_no > b->line_no;
}

static void
note_some(Allocation *const *rows, int count)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_begin_array(&writer, "promises");
	for (int i = 0; i < count; i++)
	{
		oms_write_begin_array(&writer, NULL);
		oms_write_int64(&writer, NULL, rows[i]->fulfillment_id);
		oms_write_int64(&writer, NULL, rows[i]->line_no);
		oms_write_int64(&writer, NULL, rows[i]->delta.picked);
		oms_write_int64(&writer, NULL, rows[i]->delta.shipped);
		oms_write_int64(&writer, NULL, rows[i]->delta.cancelled);
		oms_write_end_array(&writer);
	}
	oms_write_end_array(&writer);
	oms_event_note(rows[0]->order_id, oms_write_finish(&writer));
}

/* The changes of promises, for order_as_of: fulfillment_id, line_no, then what is picked, shipped and cancelled. */
static void
note_promises(AllocationList *list)
{
	Allocation **rows = palloc(sizeof(Allocation *) * Max(1, list->count));
	int			count = 0;
	int			first = 0;

	for (int i = 0; i < list->count; i++)
		if (is_changed(&list->rows[i]))
			rows[count++] = &list->rows[i];
	qsort(rows, count, sizeof(Allocation *), compare_promises);
	for (int i = 1; i <= count; i++)
		if (i == count || rows[i]->order_id != rows[first]->order_id || i - first == PROMISES_PER_NOTE)
		{
			note_some(rows + first, i - first);
			first = i;
		}
}

/* Writes the changed rows of a list in one statement. */
void
oms_allocations_write(AllocationList *list)
{
	int64	   *orders = palloc(sizeof(int64) * Max(1, list->count));
	int64	   *fulfillments = palloc(sizeof(int64) * Max(1, list->count));
	int32	   *numbers = palloc(sizeof(int32) * Max(1, list->count) * 4);
	int			capacity = list->count;
	int			count = 0;
	Datum		values[7];

	for (int i = 0; i < list->count; i++)
	{
		Allocation *row = &list->rows[i];

		if (!is_changed(row))
			continue;
		orders[count] = row->order_id;
		fulfillments[count] = row->fulfillment_id;
		numbers[count] = row->line_no;
		numbers[capacity + count] = row->delta.picked;
		numbers[2 * capacity + count] = row->delta.shipped;
		numbers[3 * capacity + count] = row->delta.cancelled;
		count++;
	}
	if (count == 0)
		return;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(orders, count);
	values[2] = oms_array_int64(fulfillments, count);
	for (int i = 0; i < 4; i++)
		values[3 + i] = oms_array_int32(numbers + i * capacity, count);
	if (oms_execute(&write_plan, values, NULL) != (uint64) count)
		elog(ERROR, "allocations changed under the lock of their order");
	note_promises(list);
	note_dates(list->rows, list->count, true);
}

/* ---- Withdrawing promises that a count cannot cover ---- */

/* What one attempt to settle counters tells the next. */
typedef struct Settlement
{
	BackorderRules rules;
	StockRow   *rows;
	int			count;
	StockTarget target;
	void	   *state;
	const char *reason;			/* why promises are withdrawn */
	Redating   *redating;		/* what waits gets new dates; NULL: it keeps those that it has */
	Replanning *replanning;		/* what is withdrawn is promised anew; NULL: it waits */
	int			order_count;	/* orders to be locked first, in order */
	int64	   *orders;
	int			short_count;	/* counters whose holds are to be locked first */
	StockRow   *shorts;
	AllocationList withdrawn;
} Settlement;

/* Units that a counter owes beyond what it will have. */
static int64
excess_of(const StockRow *row)
{
	return (int64) row->reserved - row->held - row->on_hand - row->on_hand_delta - row->backorder_limit -
		row->backorder_limit_delta;
}

/* Firm promises and holds beyond what will be on hand, where the limit lets others owe units. */
static int64
uncovered_of(const StockRow *row)
{
	if (row->backorder_limit == 0 || row->on_hand_delta >= 0)
		return 0;
	return (int64) row->reserved - row->owed - row->held - row->on_hand - row->on_hand_delta;
}

/* Units that must go from holds and promises. */
static int64
short_of(const StockRow *row)
{
	return Max(excess_of(row), uncovered_of(row));
}

static int64
mark(AllocationList *list, bool firm_only, int64 units)
{
	for (int i = 0; i < list->count && units > 0; i++)
	{
		Allocation *allocation = &list->rows[i];
		int32		cut = (int32) Min(oms_allocation_open(allocation), units);

		if (firm_only && allocation->backordered)
			continue;
		allocation->delta.cancelled += cut;
		units -= cut;
	}
	return units;
}

/* The newest first. */
static int
compare_newest(const Allocation *a, const Allocation *b)
{
	if (a->order_id != b->order_id)
		return a->order_id > b->order_id ? -1 : 1;
	if (a->line_no != b->line_no)
		return a->line_no > b->line_no ? -1 : 1;
	return a->fulfillment_id == b->fulfillment_id ? 0 : a->fulfillment_id > b->fulfillment_id ? -1 : 1;
}

static int
compare_priority(const void *left, const void *right)
{
	const Allocation *a = left;
	const Allocation *b = right;

	return a->priority != b->priority ? (a->priority < b->priority ? -1 : 1) : compare_newest(a, b);
}

/* A promise without a date has none to keep: it goes before all others. */
static int
compare_date(const void *left, const void *right)
{
	const Allocation *a = left;
	const Allocation *b = right;

	return a->promised_at != b->promised_at ? (a->promised_at > b->promised_at ? -1 : 1) : compare_newest(a, b);
}

/* Marks promises on a counter, in the declared order, until its excess is found: firm ones that nothing covers, then any. */
static void
mark_promises(StockRow *row, WithdrawOrder order, AllocationList *withdrawn)
{
	AllocationList *list;
	int64		units = short_of(row);
	int64		uncovered = Max(0, uncovered_of(row));
	int64		left;

	if (units <= 0)
		return;
	list = oms_allocations_of_stock(row->item_id, row->location_id);
	if (order != WITHDRAW_NEWEST)
		qsort(list->rows, list->count, sizeof(Allocation), order == WITHDRAW_LATEST_DATE ? compare_date : compare_priority);
	row->reserved_delta = -units;
	left = mark(list, true, uncovered) + mark(list, false, units - uncovered);
	if (left > 0)
		elog(ERROR, "counter has " INT64_FORMAT " reserved units more than its promises", left);
	for (int i = 0; i < list->count; i++)
		if (list->rows[i].delta.cancelled > 0)
			append_allocation(withdrawn, &list->rows[i]);
}

static int
compare_allocations(const void *left, const void *right)
{
	const Allocation *a = left;
	const Allocation *b = right;

	if (a->order_id != b->order_id)
		return a->order_id < b->order_id ? 1 : -1;
	if (a->line_no != b->line_no)
		return a->line_no < b->line_no ? 1 : -1;
	return a->fulfillment_id == b->fulfillment_id ? 0 : a->fulfillment_id < b->fulfillment_id ? 1 : -1;
}

/* Gives the withdrawn units back to their lines, as backordered. */
static void
withdraw_from_lines(AllocationList *list, const char *reason)
{
	for (int i = 0; i < list->count;)
	{
		int64		order_id = list->rows[i].order_id;
		OrderLines *lines = oms_order_lines(order_id);

		for (; i < list->count && list->rows[i].order_id == order_id; i++)
		{
			Allocation *row = &list->rows[i];
			OrderLine  *line = oms_order_line(lines, row->line_no);

			oms_event(&(Event) {.order_id = order_id,.object_id = row->fulfillment_id,
								.object_type = "fulfillment",.type = "fulfillment.promise_withdrawn",
								.reason = reason});
			if (row->backordered)
				continue;		/* counted as backordered already */
			line->delta.allocated -= row->delta.cancelled;
			line->delta.backordered += row->delta.cancelled;
			if (strcmp(row->status, "planned") != 0)
				line->delta.released -= row->delta.cancelled;
		}
		oms_order_lines_write(order_id, lines);
	}
}

/* Takes excess units from the holds of short counters; false where a hold is not locked. */
static bool
cut_holds(Settlement *settlement, const HoldList *holds)
{
	int			short_count = 0;

	for (int i = 0; i < settlement->count; i++)
		if (short_of(&settlement->rows[i]) > 0)
			short_count++;
	if (short_count == 0)
		return true;
	if (holds != NULL)
	{
		bool		all_locked = true;

		for (int i = 0; i < settlement->count && all_locked; i++)
			if (short_of(&settlement->rows[i]) > 0)
				all_locked = oms_holds_cut(holds, &settlement->rows[i], short_of(&settlement->rows[i]));
		if (all_locked)
			return true;
	}
	settlement->shorts = palloc(sizeof(StockRow) * short_count);
	settlement->short_count = 0;
	for (int i = 0; i < settlement->count; i++)
	{
		settlement->rows[i].held = 0;
		if (short_of(&settlement->rows[i]) > 0)
			settlement->shorts[settlement->short_count++] = settlement->rows[i];
	}
	return false;
}

/* The orders that lose promises or get new dates, each once and in order. */
static int64 *
orders_needed(const Settlement *settlement, int *count)
{
	const AllocationList *list = &settlement->withdrawn;
	int			redated = settlement->redating ? settlement->redating->count : 0;
	int64	   *needed = palloc(sizeof(int64) * Max(1, list->count + redated));
	int			all = list->count;

	for (int i = 0; i < list->count; i++)
		needed[i] = list->rows[i].order_id;
	if (redated > 0)
		all += oms_redating_orders(settlement->redating, needed + all);
	qsort(needed, all, sizeof(int64), oms_compare_int64);
	*count = 0;
	for (int i = 0; i < all; i++)
		if (*count == 0 || needed[*count - 1] != needed[i])
			needed[(*count)++] = needed[i];
	return needed;
}

static bool
orders_are_locked(Settlement *settlement)
{
	int			count;
	int64	   *needed = orders_needed(settlement, &count);
	bool		all_locked = true;

	for (int i = 0; i < count && all_locked; i++)
		all_locked = settlement->order_count > 0 &&
			bsearch(&needed[i], settlement->orders, settlement->order_count, sizeof(int64), oms_compare_int64) != NULL;
	if (!all_locked)
	{
		settlement->orders = needed;
		settlement->order_count = count;
	}
	return all_locked;
}

/* Locks the counters, and those of items that wait together with theirs or of new places. */
static void
lock_counters(Settlement *settlement)
{
	StockRow   *parts[3] = {settlement->rows, NULL, NULL};
	int			counts[3] = {settlement->count, 0, 0};
	StockRow   *all;
	int			all_count = 0;

	if (settlement->redating)
	{
		parts[1] = settlement->redating->companions;
		counts[1] = settlement->redating->companion_count;
	}
	if (settlement->replanning)
	{
		parts[2] = settlement->replanning->places;
		counts[2] = settlement->replanning->place_count;
	}
	if (counts[1] + counts[2] == 0)
	{
		oms_stock_lock_all(settlement->rows, settlement->count);
		return;
	}
	all = palloc_extended(sizeof(StockRow) * (counts[0] + counts[1] + counts[2]), MCXT_ALLOC_HUGE);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < counts[i]; j++)
			all[all_count++] = parts[i][j];
	all_count = oms_stock_merge(all, all_count);
	oms_stock_lock_all(all, all_count);
	for (int i = 0; i < 3; i++)
		for (int j = 0; j < counts[i]; j++)
			parts[i][j] = *oms_stock_find(all, all_count, parts[i][j].item_id, parts[i][j].location_id);
}

/* Writes the counters; where dates rest on them all are written, for later decisions rest on that. */
static void
apply(Settlement *settlement)
{
	if (settlement->redating == NULL)
	{
		oms_stock_apply_changed(settlement->rows, settlement->count);
		return;
	}
	oms_stock_apply(settlement->rows, settlement->count);
	oms_stock_apply(settlement->redating->companions, settlement->redating->companion_count);
}

/* One attempt; false where locks are missing, which are then noted for the next. */
static bool
settle(Settlement *settlement)
{
	HoldList   *holds = NULL;

	for (int i = 0; i < settlement->order_count; i++)
		(void) oms_order_lock(settlement->orders[i]);
	if (settlement->short_count > 0)
		holds = oms_holds_lock_counters(settlement->shorts, settlement->short_count);
	lock_counters(settlement);
	for (int i = 0; i < settlement->count; i++)
	{
		settlement->rows[i].on_hand_delta = settlement->rows[i].reserved_delta = settlement->rows[i].held = 0;
		settlement->rows[i].backorder_limit_delta = settlement->rows[i].owed = 0;
	}
	settlement->target(settlement->rows, settlement->count, settlement->state);
	for (int i = 0; i < settlement->count; i++)
		if (uncovered_of(&settlement->rows[i]) > 0)
			settlement->rows[i].owed = oms_allocations_owed(&settlement->rows[i]);
	if (!cut_holds(settlement, holds))
		return false;
	settlement->withdrawn.count = 0;
	for (int i = 0; i < settlement->count; i++)
		mark_promises(&settlement->rows[i], settlement->rules.withdraw_order, &settlement->withdrawn);
	if (settlement->withdrawn.count > 0)
		qsort(settlement->withdrawn.rows, settlement->withdrawn.count, sizeof(Allocation), compare_allocations);
	if (settlement->redating &&
		!oms_redating_plan(settlement->redating, settlement->rows, settlement->count, &settlement->withdrawn))
		return false;
	if (!orders_are_locked(settlement))
		return false;
	if (settlement->replanning && settlement->replanning->active &&
		!oms_replanning_plan(settlement->replanning, settlement->rows, settlement->count, &settlement->withdrawn))
		return false;
	oms_allocations_write(&settlement->withdrawn);
	withdraw_from_lines(&settlement->withdrawn, settlement->reason);
	if (settlement->redating)
		oms_redating_write(settlement->redating);
	for (int i = 0; i < settlement->count; i++)
		settlement->rows[i].reserved_delta -= settlement->rows[i].held;
	return true;
}

static Withdrawal *
withdrawals_of(const AllocationList *list)
{
	Withdrawal *withdrawn = palloc(sizeof(Withdrawal) * Max(1, list->count));

	for (int i = 0; i < list->count; i++)
		withdrawn[i] = (Withdrawal)
	{
		.order_id = list->rows[i].order_id,.fulfillment_id = list->rows[i].fulfillment_id,
			.item_id = list->rows[i].item_id,.location_id = list->rows[i].location_id,
			.line_no = list->rows[i].line_no,.quantity = list->rows[i].delta.cancelled
	};
	return withdrawn;
}

/*
 * Sets counters, which must be in lock order, to what target says once they are
 * locked, and withdraws the promises that they then cannot cover: units held for
 * carts first, then promises in the order of backorder_rules.  Afterwards the counters are written;
 * the ledger and the derived statuses of the orders are the caller's.
 *
 * With a replanning, what is withdrawn is planned anew, if the tenant wants it,
 * and the counters of its new places are locked too; the caller writes it.  With
 * a redating, the promises that wait at the counters get the dates that
 * their supplies now give them.
 *
 * Orders are locked before counters, but which orders are needed is known only
 * once the counters stand still.  So the counters are locked, the orders are
 * noted, the locks are given back, and the next attempt takes the orders first.
 */
int
oms_allocations_settle(StockRow *rows, int count, StockTarget target, void *state, const char *reason, Redating *redating,
					   Replanning *replanning, Withdrawal **withdrawn)
{
	Settlement	settlement = {.rules = oms_backorder_rules(),.rows = rows,.count = count,.target = target,.state = state,.reason = reason,
	.redating = redating,.replanning = replanning};

	if (replanning)
	{
		replanning->active = settlement.rules.replans;
		replanning->reason = reason;
	}

	for (int attempt_no = 0; attempt_no < WITHDRAW_ATTEMPTS_MAX; attempt_no++)
	{
		OmsAttempt	attempt;

		CHECK_FOR_INTERRUPTS();
		/* Counting goes before promising: where places keep changing, what is withdrawn waits. */
		if (replanning && attempt_no == REPLAN_ATTEMPTS_MAX)
			oms_replanning_drop(replanning);
		oms_attempt_begin(&attempt);
		if (settle(&settlement))
		{
			apply(&settlement);
			*withdrawn = withdrawals_of(&settlement.withdrawn);
			oms_attempt_keep(&attempt);
			return settlement.withdrawn.count;
		}
		oms_attempt_undo(&attempt);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OMS_CONCURRENT),
			 errmsg("the promises on this stock keep changing"),
			 errhint("Repeat the transaction.")));
}

/* Derives the statuses of the orders that lost promises; their withdrawals stand together. */
void
oms_withdrawals_refresh(const Withdrawal *withdrawn, int count)
{
	for (int i = 0; i < count; i++)
		if (i == 0 || withdrawn[i].order_id != withdrawn[i - 1].order_id)
			oms_order_refresh(withdrawn[i].order_id);
}
