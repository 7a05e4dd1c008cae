/*
 * stock_counter.c
 *	  The rows that count stock: reading, locking and changing them.
 *
 * One item at one location has one counter row, and every sale of it holds
 * that row until its commit is on disk.  When sessions begin to wait there, the
 * row is divided into stripes: several rows with a share of the units each, of
 * which a sale locks only one that covers it.  A stripe is a counter in its own
 * right, with the same CHECK constraint, so nothing can be oversold and nothing
 * has to be merged later.  When no stripe covers a change alone, all stripes are
 * locked in order and the change is decided on their sum: a shortage is never
 * reported while units stand anywhere.  The same happens whenever a caller
 * wants the true total (counting, receiving, setting limits).
 *
 * Dividing costs no job and no statistics: whoever had to wait notes it on
 * the row, in the update he makes anyway, and who notes wait number
 * oms.stripe_waits, each within STRIPE_WINDOW of the one before, divides it.  Stripes become one row again
 * when nobody has met another for STRIPE_COOL, or when few units are left.
 *
 * Choosing a stripe never takes a lock that may turn out useless: a version
 * of the row that covers the change is locked only if it is still the newest
 * and nobody holds it.  So stripes of one item cannot make a deadlock.
 */
#include "oms.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "storage/backendid.h"
#include "utils/timestamp.h"

#include "call.h"
#include "heap.h"
#include "relation.h"
#include "stock.h"

#define STRIPE_WINDOW	(10 * USECS_PER_SEC)	/* a wait counts when the one before is not older */
#define STRIPE_COOL		(60 * USECS_PER_SEC)
#define STRIPE_TRIES	64			/* looks at the stripes before all are locked */

/*
 * Units above its share of the reorder point that a stripe keeps unless all are
 * locked: one for being above, three for what is lost by dividing evenly.  So
 * while no sale locks all stripes, their sum is above the reorder point.
 */
#define STRIPE_MARGIN	4

/* Free units per stripe, in changes of the size at hand, from which dividing pays and below which it ends. */
#define STRIPE_ROOM_TO_DIVIDE	16
#define STRIPE_ROOM_TO_KEEP		4

/*
 * The sub-select locks row by row in the order of the array, which is sorted:
 * a row lock below a join keeps the planner from changing that order.
 */
static OmsPlan lock_plan = {
	.sql = "SELECT u.n, s.ctid, s.on_hand, s.reserved, s.safety, s.backorder_limit, s.stripes, s.reorder_point"
	" FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY u(item_id, location_id, n)"
	" CROSS JOIN LATERAL (SELECT t.ctid, t.on_hand, t.reserved, t.safety, t.backorder_limit, t.stripes, t.reorder_point"
	" FROM {stock_counters} t WHERE t.tenant_id = $1 AND t.item_id = u.item_id AND t.location_id = u.location_id"
	" ORDER BY t.stripe FOR NO KEY UPDATE) s",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

/* The rows are locked by us, so their place cannot change under us. */
static OmsPlan apply_plan = {
	.sql = "UPDATE {stock_counters} s SET on_hand = u.on_hand, reserved = u.reserved, safety = u.safety,"
	" backorder_limit = u.backorder_limit, reorder_point = u.reorder_point"
	" FROM unnest($2::tid[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[])"
	" u(place, on_hand, reserved, safety, backorder_limit, reorder_point)"
	" WHERE s.ctid = u.place AND s.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TIDARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID)
};

static OmsPlan create_plan = {
	.sql = "INSERT INTO {stock_counters} (item_id, location_id, tenant_id)"
	" SELECT u.item_id, u.location_id, $1 FROM unnest($2::bigint[], $3::bigint[]) u(item_id, location_id)"
	" ON CONFLICT (tenant_id, item_id, location_id, stripe) DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

static OmsPlan view_plan = {
	.sql = "SELECT item_id, location_id, on_hand, reserved, safety, backorder_limit FROM {stock_counters}"
	" WHERE tenant_id = $1 AND item_id = ANY ($2) ORDER BY item_id, location_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* The same table for direct access; the key's columns stand first, in the key's order. */
enum
{
	STOCK_TENANT, STOCK_ITEM, STOCK_LOCATION, STOCK_STRIPE, STOCK_ON_HAND, STOCK_RESERVED, STOCK_SAFETY,
	STOCK_BACKORDER_LIMIT, STOCK_REORDER_POINT, STOCK_STRIPES, STOCK_WAITS, STOCK_WAITED_AT, STOCK_COLUMNS
};

static OmsHeap stock_heap = {
	.relation = "stock_counters",
	.key_count = 4,
	.column_count = STOCK_COLUMNS,
	.columns = {"tenant_id", "item_id", "location_id", "stripe", "on_hand", "reserved", "safety", "backorder_limit",
	"reorder_point", "stripes", "waits", "waited_at"}
};

/* The stripes of one counter as a look without locks found them. */
typedef struct StripeList
{
	int			count;
	StockStripe rows[OMS_STOCK_STRIPES];
} StripeList;

/* The order in which counters are locked, and in which rows that have been merged stand. */
int
oms_stock_compare(const void *left, const void *right)
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

	qsort(rows, count, sizeof(StockRow), oms_stock_compare);
	for (int i = 0; i < count; i++)
	{
		if (kept > 0 && oms_stock_compare(&rows[kept - 1], &rows[i]) == 0)
		{
			rows[kept - 1].on_hand_delta += rows[i].on_hand_delta;
			rows[kept - 1].reserved_delta += rows[i].reserved_delta;
			rows[kept - 1].firm += rows[i].firm;
			rows[kept - 1].held += rows[i].held;
			rows[kept - 1].kept = Max(rows[kept - 1].kept, rows[i].kept);
			rows[kept - 1].whole |= rows[i].whole;
		}
		else
			rows[kept++] = rows[i];
	}
	return kept;
}

/* The row of a counter among sorted ones; NULL where it is not there. */
StockRow *
oms_stock_find(const StockRow *rows, int count, int64 item_id, int64 location_id)
{
	StockRow	key = {.item_id = item_id,.location_id = location_id};

	return count > 0 ? bsearch(&key, rows, count, sizeof(StockRow), oms_stock_compare) : NULL;
}

/* Where the rows of an item begin. */
int
oms_stock_first(const StockView *view, int64 item_id)
{
	return oms_first_of(view->rows, view->count, sizeof(StockRow), offsetof(StockRow, item_id), item_id);
}

/* ---- One stripe ---- */

static int32
slot_value(TupleTableSlot *slot, int column)
{
	return oms_slot_int32(slot, stock_heap.attributes[column]);
}

static Datum
tuple_value(HeapTuple tuple, TupleDesc descriptor, int column, bool *isnull)
{
	return heap_getattr(tuple, stock_heap.attributes[column], descriptor, isnull);
}

static StockStripe
stripe_of(HeapTuple tuple, TupleDesc descriptor)
{
	StockStripe stripe = {.tuple = tuple,.tid = tuple->t_self};
	bool		isnull;
	Datum		waited_at = tuple_value(tuple, descriptor, STOCK_WAITED_AT, &isnull);

	stripe.waited_at = isnull ? DT_NOBEGIN : DatumGetTimestampTz(waited_at);
	stripe.on_hand = DatumGetInt32(tuple_value(tuple, descriptor, STOCK_ON_HAND, &isnull));
	stripe.reserved = DatumGetInt32(tuple_value(tuple, descriptor, STOCK_RESERVED, &isnull));
	stripe.safety = DatumGetInt32(tuple_value(tuple, descriptor, STOCK_SAFETY, &isnull));
	stripe.backorder_limit = DatumGetInt32(tuple_value(tuple, descriptor, STOCK_BACKORDER_LIMIT, &isnull));
	stripe.reorder_point = DatumGetInt32(tuple_value(tuple, descriptor, STOCK_REORDER_POINT, &isnull));
	stripe.stripes = DatumGetInt16(tuple_value(tuple, descriptor, STOCK_STRIPES, &isnull));
	stripe.waits = DatumGetInt16(tuple_value(tuple, descriptor, STOCK_WAITS, &isnull));
	return stripe;
}

static void
collect_stripe(TupleTableSlot *slot, void *state)
{
	StripeList *list = state;
	HeapTuple	tuple = ExecCopySlotHeapTuple(slot);

	tuple->t_self = slot->tts_tid;
	if (list->count == OMS_STOCK_STRIPES)
		elog(ERROR, "a counter has more than %d stripes", OMS_STOCK_STRIPES);
	list->rows[list->count++] = stripe_of(tuple, slot->tts_tupleDescriptor);
}

/* Looks at the stripes of a counter, in their order. */
static void
look(OmsHeapWork *work, const StockRow *row, StripeList *list)
{
	Datum		keys[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(row->item_id), Int64GetDatum(row->location_id)};

	list->count = 0;
	oms_heap_scan(work, keys, 3, collect_stripe, list);
}

/* Locks one stripe, waiting for it; false where there is none. */
static bool
lock_stripe(OmsHeapWork *work, const StockRow *row, int number, StockStripe *stripe)
{
	Datum		keys[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(row->item_id), Int64GetDatum(row->location_id),
	Int32GetDatum(number)};
	HeapTuple	tuple = oms_heap_lock(work, keys, 4);

	if (tuple == NULL)
		return false;
	*stripe = stripe_of(tuple, work->slot->tts_tupleDescriptor);
	return true;
}

/* What one of count stripes must leave, so that all together leave what is kept. */
static int32
share_kept(const StockRow *row, int count)
{
	return row->kept / count + (row->kept % count > 0 ? 1 : 0);
}

/* Whether the stripe alone can take the change: then no look at the others is needed. */
static bool
covers(const StockStripe *stripe, const StockRow *row, int count)
{
	int64		taken = (int64) row->reserved_delta - row->held;
	int64		on_hand = (int64) stripe->on_hand + row->on_hand_delta;
	int64		reserved = stripe->reserved + taken;

	if (on_hand < 0 || reserved < 0 || reserved > on_hand + stripe->backorder_limit)
		return false;
	if (row->on_hand_delta < taken &&
		on_hand - reserved - stripe->safety < (int64) stripe->reorder_point + STRIPE_MARGIN)
		return false;
	return row->firm <= 0 || on_hand - reserved >= (int64) stripe->safety + share_kept(row, count);
}

/* ---- Locking ---- */

static void
use_one(StockRow *row, const StockStripe *stripe, int count)
{
	row->found = true;
	row->stripe_count = 1;
	row->stripes = palloc(sizeof(StockStripe));
	row->stripes[0] = *stripe;
	row->on_hand = stripe->on_hand;
	row->reserved = stripe->reserved;
	row->safety = stripe->safety;
	row->backorder_limit = stripe->backorder_limit;
	row->reorder_point = stripe->reorder_point;
	row->left = share_kept(row, count);
}

static void
add_up(StockRow *row)
{
	row->found = true;
	row->left = row->kept;
	row->on_hand = row->reserved = row->safety = row->backorder_limit = row->reorder_point = 0;
	for (int i = 0; i < row->stripe_count; i++)
	{
		row->on_hand += row->stripes[i].on_hand;
		row->reserved += row->stripes[i].reserved;
		row->safety += row->stripes[i].safety;
		row->backorder_limit += row->stripes[i].backorder_limit;
		row->reorder_point += row->stripes[i].reorder_point;
	}
}

/* Opens the table anew, which under READ COMMITTED lets it see what has been committed meanwhile. */
static void
look_again(OmsHeapWork *work)
{
	oms_heap_end(work);
	oms_heap_begin(work, &stock_heap, false);
}

/*
 * Locks all stripes.  The first one is the key to the others: whoever divides
 * or joins holds it, so once it is ours their number stands still.
 */
static void
lock_whole(OmsHeapWork *work, StockRow *row)
{
	StockStripe first;

	if (!lock_stripe(work, row, 0, &first))
		return;
	use_one(row, &first, 1);
	if (first.stripes == 1)
		return;
	look_again(work);
	row->stripe_count = first.stripes;
	row->stripes = repalloc(row->stripes, sizeof(StockStripe) * first.stripes);
	for (int i = 1; i < first.stripes; i++)
		if (!lock_stripe(work, row, i, &row->stripes[i]))
			ereport(ERROR,
					(errcode(ERRCODE_OMS_CONCURRENT),
					 errmsg("the stripes of a stock row changed while they were read"),
					 errhint("Repeat the transaction.")));
	add_up(row);
}

static bool
is_cold(const StripeList *list)
{
	for (int i = 0; i < list->count; i++)
		if (list->rows[i].waited_at >= oms_call->now - STRIPE_COOL)
			return false;
	return true;
}

/*
 * Locks one stripe that covers the change.  False: none does, or the stripes
 * have cooled down, and all of them are to be locked.
 */
static bool
lock_any(OmsHeapWork *work, StockRow *row, StripeList *list)
{
	static unsigned turn = 0;

	if (is_cold(list))
		return false;
	for (int try_no = 0; try_no < STRIPE_TRIES; try_no++)
	{
		unsigned	start = (unsigned) MyBackendId + turn++;
		const StockStripe *busy = NULL;
		bool		changed = false;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < list->count; i++)
		{
			const StockStripe *stripe = &list->rows[(start + i) % list->count];

			if (!covers(stripe, row, list->count))
				continue;
			switch (oms_heap_try_lock(work, stripe->tuple))
			{
				case OMS_HEAP_LOCKED:
					use_one(row, stripe, list->count);
					return true;
				case OMS_HEAP_BUSY:
					row->waited = true;
					busy = stripe;
					break;
				case OMS_HEAP_CHANGED:
					changed = true;
					break;
			}
		}

		/* A transaction that sees one moment only gains nothing by looking again. */
		if ((busy == NULL && !changed) || IsolationUsesXactSnapshot())
			return false;
		if (!changed)
			oms_heap_wait(work, busy->tuple);
		look_again(work);
		look(work, row, list);
		if (list->count <= 1)
			return false;
	}
	return false;
}

static void
lock_directly(OmsHeapWork *work, StockRow *row)
{
	StripeList	list;
	StockStripe stripe;

	look(work, row, &list);
	if (list.count == 0)
		return;
	if (list.count > 1 && !row->whole && lock_any(work, row, &list))
		return;
	if (list.count > 1 || row->whole)
	{
		lock_whole(work, row);
		return;
	}
	if (list.rows[0].stripes == 1 && oms_heap_try_lock(work, list.rows[0].tuple) == OMS_HEAP_LOCKED)
	{
		use_one(row, &list.rows[0], 1);
		return;
	}
	row->waited = true;
	if (!lock_stripe(work, row, 0, &stripe))
		return;
	if (stripe.stripes == 1 || covers(&stripe, row, stripe.stripes))
		use_one(row, &stripe, stripe.stripes);
	else
		lock_whole(work, row);
}

static void
read_locked(TupleTableSlot *slot, void *state)
{
	StockRow   *row = (StockRow *) state + (oms_slot_int64(slot, 1) - 1);
	StockStripe *stripe;
	bool		isnull;

	if (row->stripe_count == 0)
		row->stripes = palloc0(sizeof(StockStripe) * OMS_STOCK_STRIPES);
	if (row->stripe_count == OMS_STOCK_STRIPES)
		elog(ERROR, "a counter has more than %d stripes", OMS_STOCK_STRIPES);
	stripe = &row->stripes[row->stripe_count++];
	ItemPointerCopy((ItemPointer) DatumGetPointer(oms_slot_datum(slot, 2, &isnull)), &stripe->tid);
	stripe->on_hand = oms_slot_int32(slot, 3);
	stripe->reserved = oms_slot_int32(slot, 4);
	stripe->safety = oms_slot_int32(slot, 5);
	stripe->backorder_limit = oms_slot_int32(slot, 6);
	stripe->stripes = oms_slot_int32(slot, 7);
	stripe->reorder_point = oms_slot_int32(slot, 8);
}

static void
clear(StockRow *row)
{
	row->found = row->waited = false;
	row->on_hand = row->reserved = row->safety = row->backorder_limit = row->reorder_point = 0;
	row->stripes = NULL;
	row->stripe_count = 0;
}

/* Locks by statement: always all stripes, again where somebody divided the row meanwhile. */
static void
lock_by_statement(StockRow *rows, int count)
{
	int64	   *items = palloc(sizeof(int64) * count);
	int64	   *locations = palloc(sizeof(int64) * count);
	bool		complete;
	Datum		values[3];

	for (int i = 0; i < count; i++)
	{
		items[i] = rows[i].item_id;
		locations[i] = rows[i].location_id;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items, count);
	values[2] = oms_array_int64(locations, count);
	do
	{
		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < count; i++)
			clear(&rows[i]);
		(void) oms_execute_each(&lock_plan, values, NULL, read_locked, rows);
		complete = true;
		for (int i = 0; i < count; i++)
			if (rows[i].stripe_count > 0)
			{
				complete &= rows[i].stripe_count == rows[i].stripes[0].stripes;
				add_up(&rows[i]);
			}
	} while (!complete);
}

/*
 * Locks counters, which must be in the order of oms_stock_merge, for the
 * changes that they carry, and reads them.  Of a counter in stripes the row
 * shows either one stripe that covers the change or the sum of all.
 */
void
oms_stock_lock(StockRow *rows, int count)
{
	OmsHeapWork work;

	for (int i = 0; i < count; i++)
	{
		Assert(i == 0 || oms_stock_compare(&rows[i - 1], &rows[i]) < 0);
		clear(&rows[i]);
	}
	if (!oms_heap_is_plain(&stock_heap))
	{
		lock_by_statement(rows, count);
		return;
	}
	oms_heap_begin(&work, &stock_heap, false);
	for (int i = 0; i < count; i++)
		lock_directly(&work, &rows[i]);
	oms_heap_end(&work);
}

static void
create_counters(const StockRow *rows, int count)
{
	int64	   *ids = palloc(sizeof(int64) * count * 2);
	Datum		values[3];

	for (int i = 0; i < count; i++)
	{
		ids[i] = rows[i].item_id;
		ids[count + i] = rows[i].location_id;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(ids, count);
	values[2] = oms_array_int64(ids + count, count);
	(void) oms_execute(&create_plan, values, NULL);
}

static bool
all_found(const StockRow *rows, int count)
{
	for (int i = 0; i < count; i++)
		if (!rows[i].found)
			return false;
	return true;
}

/*
 * Locks the whole of counters, which must be in the order of oms_stock_merge, making first
 * those that do not exist.  Many are made before any is locked: who waits for a
 * row that somebody else is making must not hold a later one.
 */
void
oms_stock_lock_all(StockRow *rows, int count)
{
	for (int i = 0; i < count; i++)
		rows[i].whole = true;
	if (count > 1)
		create_counters(rows, count);
	oms_stock_lock(rows, count);
	if (all_found(rows, count))
		return;
	create_counters(rows, count);
	oms_stock_lock(rows, count);
	if (!all_found(rows, count))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("another transaction is creating the same stock row"),
				 errhint("Repeat the transaction.")));
}

/* Locks the whole of one counter, making it first where there is none. */
void
oms_stock_lock_one(StockRow *row)
{
	oms_stock_lock_all(row, 1);
}

/* ---- Changing ---- */

static int32
share(int32 total, int count, int number)
{
	return total / count + (number < total % count ? 1 : 0);
}

/*
 * Divides the units of a counter evenly.  Each part must hold its own
 * constraint, so promises go where there is room for them.
 */
static void
distribute(const StockStripe *total, StockStripe *parts, int count)
{
	int32		rest = total->reserved;

	for (int i = 0; i < count; i++)
	{
		parts[i].on_hand = share(total->on_hand, count, i);
		parts[i].safety = share(total->safety, count, i);
		parts[i].reorder_point = share(total->reorder_point, count, i);
		parts[i].backorder_limit = share(total->backorder_limit, count, i);
		parts[i].reserved = Min(share(total->reserved, count, i), parts[i].on_hand + parts[i].backorder_limit);
		rest -= parts[i].reserved;
	}
	for (int i = 0; i < count && rest > 0; i++)
	{
		int32		more = Min(rest, parts[i].on_hand + parts[i].backorder_limit - parts[i].reserved);

		parts[i].reserved += more;
		rest -= more;
	}
}

/* What will stand in the row or rows that are locked. */
static StockStripe
total_after(const StockRow *row)
{
	StockStripe total = {0};

	total.on_hand = row->on_hand + row->on_hand_delta;
	total.reserved = row->reserved + row->reserved_delta;
	total.safety = row->safety + row->safety_delta;
	total.reorder_point = row->reorder_point + row->reorder_point_delta;
	total.backorder_limit = row->backorder_limit + row->backorder_limit_delta;
	return total;
}

/* Whether sales of the size at hand will find a stripe that covers them for a while. */
static bool
has_room(const StockRow *row, const StockStripe *total, int changes_per_stripe)
{
	int64		size = Max(1, row->reserved_delta);

	return (int64) total->on_hand - total->reserved - total->safety - total->reorder_point >= size * changes_per_stripe * OMS_STOCK_STRIPES;
}

/* How often sessions have waited here lately, this one included. */
static int16
waits_of(const StockRow *row, const StockStripe *stripe)
{
	if (!row->waited)
		return stripe->waits;
	if (stripe->waited_at < oms_call->now - STRIPE_WINDOW)
		return 1;
	return Min(stripe->waits + 1, PG_INT16_MAX);
}

static void
write_stripe(OmsHeapWork *work, const StockRow *row, const StockStripe *old, const StockStripe *new, int stripes, bool all)
{
	bool		replace[STOCK_COLUMNS] = {[STOCK_ON_HAND] = true,[STOCK_RESERVED] = true};
	Datum		values[STOCK_COLUMNS] = {0};

	values[STOCK_ON_HAND] = Int32GetDatum(new->on_hand);
	values[STOCK_RESERVED] = Int32GetDatum(new->reserved);
	if (all)
	{
		values[STOCK_SAFETY] = Int32GetDatum(new->safety);
		values[STOCK_BACKORDER_LIMIT] = Int32GetDatum(new->backorder_limit);
		values[STOCK_REORDER_POINT] = Int32GetDatum(new->reorder_point);
		values[STOCK_STRIPES] = Int16GetDatum(stripes);
		replace[STOCK_SAFETY] = replace[STOCK_BACKORDER_LIMIT] = true;
		replace[STOCK_REORDER_POINT] = replace[STOCK_STRIPES] = true;
	}
	if (row->waited)
	{
		values[STOCK_WAITS] = Int16GetDatum(waits_of(row, old));
		values[STOCK_WAITED_AT] = TimestampTzGetDatum(oms_call->now);
		replace[STOCK_WAITS] = replace[STOCK_WAITED_AT] = true;
	}
	oms_heap_update(work, old->tuple, values, replace);
}

static void
insert_stripe(OmsHeapWork *work, const StockRow *row, int number, const StockStripe *stripe)
{
	Datum		values[STOCK_COLUMNS] = {0};

	values[STOCK_TENANT] = Int32GetDatum(oms_call->tenant);
	values[STOCK_ITEM] = Int64GetDatum(row->item_id);
	values[STOCK_LOCATION] = Int64GetDatum(row->location_id);
	values[STOCK_STRIPE] = Int16GetDatum(number);
	values[STOCK_ON_HAND] = Int32GetDatum(stripe->on_hand);
	values[STOCK_RESERVED] = Int32GetDatum(stripe->reserved);
	values[STOCK_SAFETY] = Int32GetDatum(stripe->safety);
	values[STOCK_BACKORDER_LIMIT] = Int32GetDatum(stripe->backorder_limit);
	values[STOCK_REORDER_POINT] = Int32GetDatum(stripe->reorder_point);
	values[STOCK_STRIPES] = Int16GetDatum(0);
	values[STOCK_WAITS] = Int16GetDatum(0);
	values[STOCK_WAITED_AT] = TimestampTzGetDatum(oms_call->now);
	oms_heap_insert(work, values, NULL);
}

/* Divides a counter that sessions queue at. */
static void
divide(OmsHeapWork *work, const StockRow *row, const StockStripe *total)
{
	StockStripe parts[OMS_STOCK_STRIPES];

	distribute(total, parts, OMS_STOCK_STRIPES);
	write_stripe(work, row, &row->stripes[0], &parts[0], OMS_STOCK_STRIPES, true);
	for (int i = 1; i < OMS_STOCK_STRIPES; i++)
		insert_stripe(work, row, i, &parts[i]);
}

/* Makes one row again of stripes that are all locked. */
static void
join(OmsHeapWork *work, const StockRow *row, const StockStripe *total)
{
	/* Rows that go first leave their units nowhere: the sum is right at every moment, for our transaction alone sees it. */
	for (int i = 1; i < row->stripe_count; i++)
		oms_heap_delete(work, row->stripes[i].tuple);
	write_stripe(work, row, &row->stripes[0], total, 1, true);
}

static bool
has_cooled(const StockRow *row)
{
	for (int i = 0; i < row->stripe_count; i++)
		if (row->stripes[i].waited_at >= oms_call->now - STRIPE_COOL)
			return false;
	return true;
}

static void
apply_directly(OmsHeapWork *work, StockRow *row)
{
	StockStripe total = total_after(row);
	StockStripe parts[OMS_STOCK_STRIPES];
	bool		limits = row->safety_delta != 0 || row->backorder_limit_delta != 0 || row->reorder_point_delta != 0;
	const StockStripe *first = &row->stripes[0];

	if (row->stripe_count == 1)
	{
		if (row->waited && first->stripes == 1 && oms_stripe_waits > 0 && waits_of(row, first) >= oms_stripe_waits &&
			has_room(row, &total, STRIPE_ROOM_TO_DIVIDE))
			divide(work, row, &total);
		else
			write_stripe(work, row, first, &total, first->stripes, limits);
		return;
	}
	if (has_cooled(row) || !has_room(row, &total, STRIPE_ROOM_TO_KEEP))
	{
		join(work, row, &total);
		return;
	}
	distribute(&total, parts, row->stripe_count);
	for (int i = 0; i < row->stripe_count; i++)
		write_stripe(work, row, &row->stripes[i], &parts[i], row->stripes[i].stripes, true);
}

static void
apply_by_statement(StockRow *rows, int count)
{
	int			capacity = 0;
	int			used = 0;
	Datum	   *tids;
	int32	   *units;
	Datum		values[7];
	uint64		written;

	for (int i = 0; i < count; i++)
		capacity += rows[i].stripe_count;
	tids = palloc(sizeof(Datum) * capacity);
	units = palloc(sizeof(int32) * capacity * 5);
	for (int i = 0; i < count; i++)
	{
		StockStripe total = total_after(&rows[i]);
		StockStripe parts[OMS_STOCK_STRIPES];

		distribute(&total, parts, rows[i].stripe_count);
		for (int j = 0; j < rows[i].stripe_count; j++, used++)
		{
			tids[used] = PointerGetDatum(&rows[i].stripes[j].tid);
			units[used] = parts[j].on_hand;
			units[capacity + used] = parts[j].reserved;
			units[2 * capacity + used] = parts[j].safety;
			units[3 * capacity + used] = parts[j].backorder_limit;
			units[4 * capacity + used] = parts[j].reorder_point;
		}
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_datum(tids, palloc0(sizeof(bool) * capacity), capacity, TIDOID);
	for (int i = 0; i < 5; i++)
		values[2 + i] = oms_array_int32(units + i * capacity, capacity);
	written = oms_execute(&apply_plan, values, NULL);
	if (written != (uint64) capacity)
		elog(ERROR, "%d stock rows were locked but " UINT64_FORMAT " were written", capacity, written);
}

/* Writes the wanted changes to locked counters. */
void
oms_stock_apply(StockRow *rows, int count)
{
	OmsHeapWork work;

	if (count == 0)
		return;
	Assert(rows[0].found);
	oms_stock_levels(rows, count);
	oms_channel_levels_note_rows(rows, count);
	if (rows[0].stripes[0].tuple == NULL || !oms_heap_is_plain(&stock_heap))
	{
		apply_by_statement(rows, count);
		return;
	}
	oms_heap_begin(&work, &stock_heap, true);
	for (int i = 0; i < count; i++)
		apply_directly(&work, &rows[i]);
	oms_heap_end(&work);
}

/* ---- Reading without locks ---- */

/* The row of the view for one counter row as it is read; stripes of one counter follow each other. */
static void
add_to_view(StockView *view, const StockRow *read)
{
	StockRow   *row = view->count > 0 ? &view->rows[view->count - 1] : NULL;

	if (row == NULL || oms_stock_compare(row, read) != 0)
	{
		if (view->count == view->capacity)
		{
			view->capacity *= 2;
			view->rows = repalloc_huge(view->rows, sizeof(StockRow) * view->capacity);
		}
		view->rows[view->count++] = *read;
		return;
	}
	row->on_hand += read->on_hand;
	row->reserved += read->reserved;
	row->safety += read->safety;
	row->backorder_limit += read->backorder_limit;
}

static void
read_view(TupleTableSlot *slot, void *state)
{
	StockRow	row = {.found = true};

	row.item_id = oms_slot_int64(slot, 1);
	row.location_id = oms_slot_int64(slot, 2);
	row.on_hand = oms_slot_int32(slot, 3);
	row.reserved = oms_slot_int32(slot, 4);
	row.safety = oms_slot_int32(slot, 5);
	row.backorder_limit = oms_slot_int32(slot, 6);
	add_to_view(state, &row);
}

static void
read_view_directly(TupleTableSlot *slot, void *state)
{
	StockRow	row = {.found = true};

	row.item_id = oms_slot_int64(slot, stock_heap.attributes[STOCK_ITEM]);
	row.location_id = oms_slot_int64(slot, stock_heap.attributes[STOCK_LOCATION]);
	row.on_hand = slot_value(slot, STOCK_ON_HAND);
	row.reserved = slot_value(slot, STOCK_RESERVED);
	row.safety = slot_value(slot, STOCK_SAFETY);
	row.backorder_limit = slot_value(slot, STOCK_BACKORDER_LIMIT);
	add_to_view(state, &row);
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
	return view;
}

/* Lets a view show what is left after some changes, for plans made one after the other. */
void
oms_stock_view_take(StockView *view, const StockRow *taken, int count)
{
	for (int i = 0; i < count; i++)
	{
		StockRow   *row = oms_stock_find(view->rows, view->count, taken[i].item_id, taken[i].location_id);

		if (row == NULL)
			continue;
		row->reserved += taken[i].reserved_delta;
		row->on_hand += taken[i].on_hand_delta;
		row->backorder_limit += taken[i].backorder_limit_delta;
	}
}
