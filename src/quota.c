/*
 * quota.c
 *	  Units that a channel leaves to others, may count on, or must not exceed.
 *
 * Safety at a location is decided on the locked counter and needs nothing
 * else.  What spans locations (a cap, a guarantee, safety over the network)
 * is decided under the rows of oms.channel_quotas: whoever takes or gives back
 * units of an item that has such rows locks them all, by quota_id, after the
 * counters, and writes them.  So these figures change only one call after the
 * other, at any isolation level; the CHECK constraint of the cap stands behind
 * that.  Items without such rows pay for one flag in memory.  The shares of a
 * channel where an item is divided among several (quota_tree.c) are a limit of
 * the same kind, decided in the same places.
 *
 * A plan is made without locks.  The version of a row counts its changes, so
 * counters and quotas that were read between two equal versions belong together.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/inval.h"

#include "call.h"
#include "configuration.h"
#include "document.h"
#include "event.h"
#include "item.h"
#include "location.h"
#include "lot.h"
#include "quota.h"
#include "relation.h"

/* Readings of counters and quotas until both belong together. */
#define READ_ATTEMPTS_MAX 10

static OmsPlan read_plan = {
	.sql = "SELECT q.quota_id, q.channel_id, q.item_id, coalesce(q.location_id, 0), q.safety, q.network_safety,"
	" q.guaranteed, coalesce(q.cap, -1), q.used, q.version, coalesce(h.units, 0), q.location_group"
	" FROM {channel_quotas} q LEFT JOIN LATERAL (SELECT sum(l.quantity) AS units FROM {reservation_lines} l"
	" JOIN {reservations} r ON r.reservation_id = l.reservation_id AND r.tenant_id = $1"
	" WHERE l.item_id = q.item_id AND l.tenant_id = $1 AND r.channel_id = q.channel_id AND r.status = 'held'"
	" AND r.expires_at > $3 AND r.reservation_id <> $4 AND (q.guaranteed > 0 OR q.cap IS NOT NULL)) h ON true"
	" WHERE q.tenant_id = $1 AND q.item_id = ANY ($2) AND (q.channel_id = $5 OR q.guaranteed > 0)"
	" AND (q.ends_at IS NULL OR q.ends_at > $3)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID, INT8OID, INT8OID)
};

static OmsPlan read_general_plan = {
	.sql = "SELECT q.quota_id, q.channel_id, 0::bigint, coalesce(q.location_id, 0), q.safety, 0, 0, -1, 0, q.version,"
	" 0::bigint, q.location_group FROM {channel_quotas} q WHERE q.tenant_id = $1 AND q.channel_id = $2 AND q.item_id IS NULL"
	" AND (q.ends_at IS NULL OR q.ends_at > $3)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

/* Rows that are for all locations together. */
#define SPANS_LOCATIONS "q.location_id IS NULL AND q.location_group IS NULL"

static OmsPlan lock_plan = {
	.sql = "SELECT q.quota_id FROM {channel_quotas} q WHERE q.tenant_id = $1 AND q.item_id = ANY ($2)"
	" AND " SPANS_LOCATIONS " ORDER BY q.quota_id FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan take_plan = {
	.sql = "UPDATE {channel_quotas} q SET version = q.version + 1, used = q.used + CASE WHEN q.channel_id = $4"
	" AND q.starts_at <= $5 AND (q.ends_at IS NULL OR q.ends_at > $5) THEN u.units ELSE 0 END"
	" FROM unnest($2::bigint[], $3::int[]) u(item_id, units)"
	" WHERE q.tenant_id = $1 AND q.item_id = u.item_id AND " SPANS_LOCATIONS,
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT4ARRAYOID, INT8OID, TIMESTAMPTZOID)
};

/* An order counts where it was placed while the quota ran, whatever happens to it later. */
static OmsPlan line_change_plan = {
	.sql = "UPDATE {channel_quotas} q SET version = q.version + 1, used = q.used + CASE WHEN q.channel_id = o.channel_id"
	" AND q.starts_at <= o.placed_at AND (q.ends_at IS NULL OR q.ends_at > o.placed_at) THEN u.units ELSE 0 END"
	" FROM (SELECT v.item_id, sum(v.units)::int AS units FROM unnest($3::bigint[], $4::int[]) v(item_id, units)"
	" GROUP BY v.item_id) u CROSS JOIN (SELECT channel_id, placed_at FROM {orders}"
	" WHERE order_id = $2 AND tenant_id = $1) o"
	" WHERE q.tenant_id = $1 AND q.item_id = u.item_id AND " SPANS_LOCATIONS,
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8ARRAYOID, INT4ARRAYOID)
};

static int
compare_quotas(const void *left, const void *right)
{
	const Quota *a = left;
	const Quota *b = right;

	if (a->item_id != b->item_id)
		return a->item_id < b->item_id ? -1 : 1;
	return a->quota_id < b->quota_id ? -1 : a->quota_id > b->quota_id;
}

static void
collect(TupleTableSlot *slot, void *state)
{
	QuotaList  *list = state;

	if (list->count == list->capacity)
	{
		list->capacity = Max(16, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(Quota) * list->capacity);
	}
	list->rows[list->count++] = (Quota)
	{
		.quota_id = oms_slot_int64(slot, 1),.channel_id = oms_slot_int64(slot, 2),.item_id = oms_slot_int64(slot, 3),
			.location_id = oms_slot_int64(slot, 4),.safety = oms_slot_int32(slot, 5),
			.network_safety = oms_slot_int32(slot, 6),.guaranteed = oms_slot_int32(slot, 7),
			.cap = oms_slot_int32(slot, 8),.used = oms_slot_int32(slot, 9),.version = oms_slot_int64(slot, 10),
			.held = oms_slot_int64(slot, 11),.group = oms_slot_text(slot, 12)
	};
}

/* Whether the tenant has quotas at all: without them nothing here costs anything. */
bool
oms_quotas_exist(void)
{
	return oms_configuration()->has_quotas || oms_quota_trees_exist();
}

static QuotaList *
read_quotas(const Channel *channel, int64 own, const int64 *item_ids, int count)
{
	QuotaList  *list = palloc0(sizeof(QuotaList));
	Datum		values[5] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count),
		TimestampTzGetDatum(oms_call->now), Int64GetDatum(own), Int64GetDatum(channel->channel_id)};
	Datum		general[3] = {values[0], values[4], values[2]};

	list->channel = channel;
	(void) oms_execute_each(&read_plan, values, NULL, collect, list);
	(void) oms_execute_each(&read_general_plan, general, NULL, collect, list);
	if (list->count > 0)
		qsort(list->rows, list->count, sizeof(Quota), compare_quotas);
	list->trees = oms_quota_trees_read(own, item_ids, count);
	return list;
}

static bool
same_versions(const QuotaList *a, const QuotaList *b)
{
	int			trees = a->trees ? a->trees->count : 0;

	if (a->count != b->count || trees != (b->trees ? b->trees->count : 0))
		return false;
	for (int i = 0; i < trees; i++)
		if (a->trees->rows[i].item_id != b->trees->rows[i].item_id || a->trees->rows[i].version != b->trees->rows[i].version)
			return false;
	for (int i = 0; i < a->count; i++)
		if (a->rows[i].quota_id != b->rows[i].quota_id || a->rows[i].version != b->rows[i].version)
			return false;
	return true;
}

static int
first_of_item(const QuotaList *quotas, int64 item_id)
{
	return oms_first_of(quotas->rows, quotas->count, sizeof(Quota), offsetof(Quota, item_id), item_id);
}

/* How much a row says about where it counts: 3 a location, 2 a group that it is in, 1 any; 0: not there. */
static int
says_of_place(const Quota *row, int64 location_id)
{
	Location   *location;

	if (row->location_id != 0)
		return row->location_id == location_id ? 3 : 0;
	if (row->group == NULL)
		return 1;
	location = oms_location_by_id(location_id);
	return location && oms_location_in_group(location, row->group) ? 2 : 0;
}

/* The row of the channel and item that says most about the location; of several groups the one that leaves most. */
static const Quota *
most_specific(const QuotaList *quotas, int64 item_id, int64 location_id)
{
	const Quota *found = NULL;
	int			most = 0;

	for (int i = first_of_item(quotas, item_id); i < quotas->count && quotas->rows[i].item_id == item_id; i++)
	{
		const Quota *row = &quotas->rows[i];
		int			says = row->channel_id == quotas->channel->channel_id ? says_of_place(row, location_id) : 0;

		if (says == 0 || says < most || (says == most && row->safety <= found->safety))
			continue;
		found = row;
		most = says;
	}
	return found;
}

/* Units that the channel leaves at a location. */
int32
oms_quotas_safety(const QuotaList *quotas, int64 item_id, int64 location_id)
{
	const Quota *quota;

	if (quotas == NULL)
		return 0;
	quota = most_specific(quotas, item_id, location_id);
	if (quota == NULL)
		quota = most_specific(quotas, 0, location_id);
	return quota ? quota->safety : 0;
}

static void
raise_safety(const QuotaList *quotas, StockView *view)
{
	for (int i = 0; quotas->count > 0 && i < view->count; i++)
		view->rows[i].safety += oms_quotas_safety(quotas, view->rows[i].item_id, view->rows[i].location_id);
}

/*
 * Reads counters and the quotas that bear on them, without locks; the safety of
 * the counters has what the channel leaves at each location.  quotas is NULL
 * where there are none.
 */
StockView *
oms_quotas_view(const Channel *channel, int64 own, const int64 *item_ids, int count, QuotaList **quotas)
{
	StockView  *view = NULL;

	*quotas = NULL;
	if (channel == NULL || !oms_quotas_exist())
	{
		view = oms_stock_view(item_ids, count);
		oms_lots_discount(view);
		return view;
	}
	for (int attempt_no = 0; attempt_no < READ_ATTEMPTS_MAX; attempt_no++)
	{
		QuotaList  *before = *quotas ? *quotas : read_quotas(channel, own, item_ids, count);

		CHECK_FOR_INTERRUPTS();
		view = oms_stock_view(item_ids, count);
		*quotas = oms_read_only ? before : read_quotas(channel, own, item_ids, count);
		if (same_versions(before, *quotas))
			break;
	}
	raise_safety(*quotas, view);
	oms_lots_discount(view);
	return view;
}

/* Notes what the channel leaves at counters that are about to be locked. */
void
oms_quotas_keep(const QuotaList *quotas, StockRow *rows, int count)
{
	for (int i = 0; i < count; i++)
		rows[i].kept = oms_quotas_safety(quotas, rows[i].item_id, rows[i].location_id);
	oms_lots_keep(rows, count);
}

static int64
free_units(const StockRow *row)
{
	return Max(0, (int64) row->on_hand - row->reserved - row->safety);
}

static bool
serves(const StockRow *row, const Channel *channel, int purposes)
{
	Location   *location = oms_location_by_id(row->location_id);

	return location && oms_location_serves(location, channel, purposes);
}

/* Whether a channel, which the caller need not know, may use a counter that this one uses. */
static bool
compete(const StockView *view, int64 item_id, const Channel *one, int64 other_id)
{
	bool		unscoped = oms_call->unscoped;
	const Channel *other;

	oms_call->unscoped = true;
	other = oms_channel_by_id(other_id);
	oms_call->unscoped = unscoped;
	for (int i = oms_stock_first(view, item_id); i < view->count && view->rows[i].item_id == item_id; i++)
		if (other && serves(&view->rows[i], one, PURPOSE_SHIP | PURPOSE_PICKUP) &&
			serves(&view->rows[i], other, PURPOSE_SHIP | PURPOSE_PICKUP))
			return true;
	return false;
}

/* What the rows of an item leave to the channel; false where none says anything about it. */
static bool
limit_by_rows(const QuotaList *quotas, const StockView *view, int64 item_id, QuotaLimit *limit)
{
	bool		found = false;

	for (int i = first_of_item(quotas, item_id); i < quotas->count && quotas->rows[i].item_id == item_id; i++)
	{
		const Quota *row = &quotas->rows[i];

		if (row->location_id != 0 || row->group != NULL)
			continue;
		if (row->channel_id != quotas->channel->channel_id)
		{
			int64		unused = row->guaranteed - row->used - row->held;

			if (unused > 0 && compete(view, item_id, quotas->channel, row->channel_id))
				limit->guaranteed += unused;
			found = true;
			continue;
		}
		limit->network_safety = row->network_safety;
		if (row->cap >= 0)
			limit->cap = Max(0, (int64) row->cap - row->used - row->held);
		found |= row->network_safety > 0 || row->cap >= 0;
	}
	return found;
}

/* What the channel may promise of an item; false where nothing spans its locations. */
bool
oms_quotas_limit(const QuotaList *quotas, const StockView *view, int64 item_id, QuotaLimit *limit)
{
	QuotaTree  *tree = quotas ? oms_quota_tree_of(quotas->trees, item_id) : NULL;

	*limit = (QuotaLimit) {.cap = PG_INT64_MAX,.drawn = PG_INT64_MAX};
	if (quotas == NULL || (!limit_by_rows(quotas, view, item_id, limit) && tree == NULL))
		return false;
	limit->tree = tree != NULL;
	if (tree)
		limit->drawn = oms_quota_tree_draw(tree, quotas->channel->channel_id, &limit->draw);
	for (int i = oms_stock_first(view, item_id); i < view->count && view->rows[i].item_id == item_id; i++)
		if (serves(&view->rows[i], quotas->channel, PURPOSE_SHIP | PURPOSE_PICKUP))
		{
			limit->free += free_units(&view->rows[i]);
			if (!serves(&view->rows[i], quotas->channel, PURPOSE_SHIP))
				limit->unshipped += free_units(&view->rows[i]);
		}
	limit->firm = Min(limit->cap, Max(0, limit->free - limit->network_safety - limit->guaranteed));
	limit->firm = Min(limit->firm, limit->drawn);
	return true;
}

/* Counts units that a plan has taken already, for what it plans next; the view shows them gone. */
void
oms_quotas_count(QuotaList *quotas, const StockRow *taken, int count)
{
	for (int i = 0; quotas && i < count; i++)
	{
		QuotaTree  *tree = oms_quota_tree_of(quotas->trees, taken[i].item_id);

		for (int j = first_of_item(quotas, taken[i].item_id); j < quotas->count && quotas->rows[j].item_id == taken[i].item_id; j++)
			if (quotas->rows[j].channel_id == quotas->channel->channel_id)
				quotas->rows[j].used += taken[i].reserved_delta;
		if (tree)
			oms_quota_tree_count(tree, quotas->channel->channel_id, taken[i].firm, true);
	}
}

/* Rows of one item, the last choice first. */
static int
compare_choice(const void *left, const void *right)
{
	const StockRow *a = *(StockRow *const *) left;
	const StockRow *b = *(StockRow *const *) right;
	int32		a_rank = oms_location_by_id(a->location_id)->rank;
	int32		b_rank = oms_location_by_id(b->location_id)->rank;

	if (a_rank != b_rank)
		return a_rank > b_rank ? -1 : 1;
	return a->location_id > b->location_id ? -1 : a->location_id < b->location_id;
}

/*
 * Where more is wanted of an item than the channel may promise, takes from the
 * usable counters of a view what must stay, beginning with the last choice.
 * Where units stay for others none is promised beyond what is on hand: the
 * counter would not tell them apart, and give them to whoever waits there.
 */
void
oms_quotas_trim(const QuotaList *quotas, StockView *view, int64 item_id, int64 wanted,
				bool (*usable) (const StockRow *row, void *state), void *state)
{
	int			first = oms_stock_first(view, item_id);
	StockRow  **rows;
	QuotaLimit	limit;
	int			count = 0;
	int64		excess = 0;
	int64		headroom;

	if (!oms_quotas_limit(quotas, view, item_id, &limit) || (wanted <= limit.firm))
		return;
	rows = palloc(sizeof(StockRow *) * Max(1, view->count - first));
	for (int i = first; i < view->count && view->rows[i].item_id == item_id; i++)
		if (usable(&view->rows[i], state))
		{
			rows[count++] = &view->rows[i];
			excess += free_units(&view->rows[i]);
		}
	headroom = limit.cap == PG_INT64_MAX ? PG_INT64_MAX : limit.cap - Min(excess, limit.firm);
	excess -= limit.firm;
	qsort(rows, count, sizeof(StockRow *), compare_choice);
	for (int i = 0; i < count; i++)
	{
		int64		cut = Max(0, Min(excess, free_units(rows[i])));

		rows[i]->safety += (int32) cut;
		if (cut > 0)
			rows[i]->backorder_limit = 0;
		excess -= cut;
	}
	for (int i = count - 1; i >= 0 && headroom != PG_INT64_MAX; i--)
	{
		int64		debt = Max(0, (int64) rows[i]->reserved - rows[i]->on_hand);
		int64		open = Max(0, rows[i]->backorder_limit - debt);

		rows[i]->backorder_limit -= (int32) (open - Min(open, headroom));
		headroom -= Min(open, headroom);
	}
}

static void
ignore_row(TupleTableSlot *slot, void *state)
{
}

/* Locks the rows of some items that span locations; false where there are none. */
static bool
lock_items(const int64 *item_ids, int count)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count)};

	return oms_execute_each(&lock_plan, values, NULL, ignore_row, NULL) > 0;
}

/* Locks all that is decided about some items over their locations: rows, then trees. */
bool
oms_quotas_lock(const int64 *item_ids, int count)
{
	bool		rows;

	/* A quota that was made while we waited for a counter counts. */
	AcceptInvalidationMessages();
	if (count == 0 || !oms_quotas_exist())
		return false;
	oms_channel_levels_note(item_ids, count);
	rows = lock_items(item_ids, count);
	return oms_quota_trees_lock(item_ids, count) || rows;
}

static void
write_takes(const Channel *channel, TimestampTz placed_at, const int64 *item_ids, const int32 *units, int count)
{
	Datum		values[5] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count),
		oms_array_int32(units, count), Int64GetDatum(channel ? channel->channel_id : 0),
	TimestampTzGetDatum(placed_at)};

	(void) oms_execute(&take_plan, values, NULL);
}

/* Whether locked quotas allow the takes. */
static bool
allow(const Channel *channel, const HoldList *holds, const QuotaTake *takes, const int64 *item_ids, int count)
{
	StockView  *view = oms_stock_view(item_ids, count);
	QuotaList  *quotas = read_quotas(channel, holds ? holds->own : 0, item_ids, count);

	if (holds)
		oms_holds_credit(holds, view);
	raise_safety(quotas, view);
	oms_lots_discount(view);
	for (int i = 0; i < count; i++)
	{
		QuotaLimit	limit;

		if (oms_quotas_limit(quotas, view, takes[i].item_id, &limit) &&
			(takes[i].firm + takes[i].covered > limit.firm || takes[i].total > limit.cap))
			return false;
	}
	return true;
}

/*
 * Decides, with the counters locked, whether the channel may take the units,
 * each item once; false where it may not any more.  holds are locked holds that
 * end with the call.  Units of an order are counted, from when it was placed;
 * those of a cart (DT_NOBEGIN) only held.
 */
bool
oms_quotas_take(const Channel *channel, const HoldList *holds, const QuotaTake *takes, int count, TimestampTz placed_at)
{
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, count));
	int64	   *firm = palloc(sizeof(int64) * Max(1, count));
	int32	   *total = palloc(sizeof(int32) * Max(1, count));
	bool		for_order = placed_at != DT_NOBEGIN;

	for (int i = 0; i < count; i++)
	{
		item_ids[i] = takes[i].item_id;
		firm[i] = takes[i].firm;
		total[i] = for_order ? takes[i].total : 0;
	}
	if (!oms_quotas_lock(item_ids, count))
		return true;
	if (!allow(channel, holds, takes, item_ids, count))
		return false;
	write_takes(channel, placed_at, item_ids, total, count);
	if (oms_quota_trees_exist() && for_order)
		oms_quota_trees_take(channel, placed_at, item_ids, firm, count);
	else if (oms_quota_trees_exist())
		oms_quota_trees_touch(item_ids, count);
	return true;
}

/* Sums what locked counters, sorted by item, are to give, one take for each item; returns how many. */
int
oms_quotas_sum(const StockRow *rows, int count, QuotaTake *takes)
{
	int			kept = 0;

	for (int i = 0; i < count; i++)
	{
		const StockRow *row = &rows[i];
		int64		free = (int64) row->on_hand - row->reserved + row->held - row->safety - row->left - row->firm;

		if (kept == 0 || takes[kept - 1].item_id != row->item_id)
			takes[kept++] = (QuotaTake) {.item_id = row->item_id};
		takes[kept - 1].firm += row->firm;
		takes[kept - 1].covered += (int32) Min(Max(0, free), row->reserved_delta - row->firm);
		takes[kept - 1].total += row->reserved_delta;
	}
	return kept;
}

/*
 * Whether the channel, after firm units were taken that its orders had been
 * promised before, still leaves what it must over all its locations.
 */
bool
oms_quotas_hold(const Channel *channel, const int64 *item_ids, int count)
{
	QuotaList  *quotas;
	StockView  *view;

	if (!oms_quotas_lock(item_ids, count))
		return true;
	view = oms_stock_view(item_ids, count);
	quotas = read_quotas(channel, 0, item_ids, count);
	raise_safety(quotas, view);
	for (int i = 0; i < count; i++)
	{
		QuotaLimit	limit;

		if (oms_quotas_limit(quotas, view, item_ids[i], &limit) &&
			limit.free < limit.network_safety + limit.guaranteed)
			return false;
	}
	oms_quotas_touch(item_ids, count);
	return true;
}

/* Holds on the items have ended: figures that depend on them have changed. */
void
oms_quotas_touch(const int64 *item_ids, int count)
{
	int32	   *units;

	if (!oms_quotas_lock(item_ids, count))
		return;
	units = palloc0(sizeof(int32) * count);
	write_takes(NULL, oms_call->now, item_ids, units, count);
	if (oms_quota_trees_exist())
		oms_quota_trees_touch(item_ids, count);
}

/* Counts units that lines of a locked order gained or lost; firm are those of them that are not backordered. */
void
oms_quotas_line_change(int64 order_id, const int64 *item_ids, const int32 *units, const int32 *firm, int count)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id),
		oms_array_int64(item_ids, count), oms_array_int32(units, count)};

	if (!oms_quotas_lock(item_ids, count))
		return;
	(void) oms_execute(&line_change_plan, values, NULL);
	oms_quota_trees_line_change(order_id, item_ids, firm, count);
}

/* ---- Counting anew ---- */

static OmsPlan items_plan = {
	.sql = "SELECT item_id FROM {channel_quotas} WHERE tenant_id = $1 AND quota_id = ANY ($2)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* What audit() expects, as far as the cap allows it. */
static OmsPlan recount_plan = {
	.sql = "UPDATE {channel_quotas} q SET used = u.units, version = q.version + 1 FROM (SELECT x.quota_id,"
	" coalesce(sum(l.allocated + l.backordered), 0)::int AS units FROM {channel_quotas} x"
	" LEFT JOIN {orders} o ON o.tenant_id = $1 AND o.channel_id = x.channel_id AND o.placed_at >= x.starts_at"
	" AND (x.ends_at IS NULL OR o.placed_at < x.ends_at)"
	" LEFT JOIN {order_lines} l ON l.order_id = o.order_id AND l.tenant_id = $1 AND l.item_id = x.item_id"
	" WHERE x.tenant_id = $1 AND x.item_id = ANY ($2) GROUP BY x.quota_id) u"
	" WHERE q.tenant_id = $1 AND q.quota_id = u.quota_id AND q.used <> u.units AND " SPANS_LOCATIONS
	" AND (q.cap IS NULL OR q.cap >= u.units)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* Hands the item of each row to a callback. */
void
oms_quotas_items(const int64 *quota_ids, int count, OmsRowCallback callback, void *state)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(quota_ids, count)};

	(void) oms_execute_each(&items_plan, values, NULL, callback, state);
}

/* Counts anew what orders have used of some items, whose counters are all locked. */
void
oms_quotas_recount(const int64 *item_ids, int count)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count)};

	if (!oms_quotas_lock(item_ids, count))
		return;
	(void) oms_execute(&recount_plan, values, NULL);
	oms_quota_trees_recount(item_ids, count);
}

/* ---- Setting ---- */

static OmsPlan lock_item_plan = {
	.sql = "SELECT item_id FROM {items} WHERE item_id = $2 AND tenant_id = $1 FOR UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* Writes the counters as they are: a transaction that began before cannot sell past what it does not see. */
static OmsPlan mark_counters_plan = {
	.sql = "UPDATE {stock_counters} SET waits = waits WHERE tenant_id = $1 AND item_id = $2",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan get_plan = {
	.sql = "SELECT quota_id, used, ends_at FROM {channel_quotas} WHERE tenant_id = $1 AND channel_id = $2"
	" AND item_id IS NOT DISTINCT FROM $3 AND location_id IS NOT DISTINCT FROM $4"
	" AND location_group IS NOT DISTINCT FROM $5 FOR NO KEY UPDATE",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8OID, TEXTOID)
};

static OmsPlan create_plan = {
	.sql = "INSERT INTO {channel_quotas} (channel_id, item_id, location_id, location_group, starts_at, tenant_id)"
	" VALUES ($2, $3, $4, $5, $6, $1) RETURNING quota_id, used, ends_at",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8OID, TEXTOID, TIMESTAMPTZOID)
};

static OmsPlan restart_plan = {
	.sql = "UPDATE {channel_quotas} SET used = 0, starts_at = $3, ends_at = NULL WHERE quota_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

static OmsPlan set_plan = {
	.sql = "UPDATE {channel_quotas} SET safety = coalesce($3, safety), network_safety = coalesce($4, network_safety),"
	" guaranteed = coalesce($5, guaranteed), cap = coalesce($6, cap), ends_at = coalesce($7, ends_at),"
	" version = version + 1 WHERE quota_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID, INT4OID, INT4OID, INT4OID, TIMESTAMPTZOID)
};

typedef struct Setting
{
	Channel    *channel;
	CatalogItem *item;
	Location   *location;
	char	   *group;			/* of locations, NULL: none */
	int64		quota_id;
	int32		used;
	TimestampTz ends_at;
	bool		restart;
} Setting;

/* The units of set_channel_quota: argument, name, whether it spans locations. */
static const struct
{
	int			argument;
	const char *name;
	bool		spans;
}			unit_arguments[] = {{3, "safety", false}, {4, "network_safety", true}, {5, "guaranteed", true}, {6, "cap", true}};

static void
check_setting(FunctionCallInfo fcinfo, const Setting *setting)
{
	FaultList	faults;

	oms_faults_init(&faults);
	for (int i = 0; i < lengthof(unit_arguments); i++)
	{
		int			argument = unit_arguments[i].argument;

		if (PG_ARGISNULL(argument))
			continue;
		if (PG_GETARG_INT32(argument) < 0 || PG_GETARG_INT32(argument) > OMS_QUANTITY_MAX)
			oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Units are whole and not negative.", unit_arguments[i].name,
					  "is %d, must be 0 to %d", PG_GETARG_INT32(argument), OMS_QUANTITY_MAX);
		if (unit_arguments[i].spans && (setting->item == NULL || setting->location != NULL || setting->group != NULL))
			oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give a SKU, and no location or group.", unit_arguments[i].name,
					  "is over all locations of one SKU");
	}
	if (setting->item && setting->item->kind != ITEM_STOCKED)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Only items of kind stocked have stock.", "sku",
				  "is a digital or service item, or a kit");
	if (setting->group && setting->location)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give one of them.", "location_group", "stands beside a location");
	if (setting->group && !oms_location_group_exists(setting->group))
		oms_fault(&faults, ERRCODE_OMS_UNKNOWN, "upsert_locations makes groups.", "location_group", "\"%s\" is not known", setting->group);
	oms_faults_raise(&faults, "quota is not valid");
}

static void
read_setting(TupleTableSlot *slot, void *state)
{
	Setting    *setting = state;
	bool		isnull;
	Datum		ends_at = oms_slot_datum(slot, 3, &isnull);

	setting->quota_id = oms_slot_int64(slot, 1);
	setting->used = oms_slot_int32(slot, 2);
	setting->ends_at = isnull ? DT_NOEND : DatumGetTimestampTz(ends_at);
}

/*
 * Stops every sale of the item until the quota is there: then each order was
 * placed either before it starts, or counts.
 */
TimestampTz
oms_quotas_stop_sales(const CatalogItem *item)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(item->item_id)};
	StockView  *view;

	(void) oms_execute_each(&lock_item_plan, values, NULL, ignore_row, NULL);
	view = oms_stock_view(&item->item_id, 1);
	for (int i = 0; i < view->count; i++)
		view->rows[i].whole = true;
	if (view->count > 0)
		oms_stock_lock(view->rows, view->count);
	(void) oms_execute(&mark_counters_plan, values, NULL);
	return oms_clock_setting && oms_clock_setting[0] ? oms_call->now : GetCurrentTimestamp();
}

/* Finds or makes the row, and locks it. */
static void
lock_setting(Setting *setting)
{
	Datum		values[6] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(setting->channel->channel_id),
		Int64GetDatum(setting->item ? setting->item->item_id : 0),
		Int64GetDatum(setting->location ? setting->location->location_id : 0)};
	char		nulls[7] = "      ";

	nulls[2] = setting->item ? ' ' : 'n';
	nulls[3] = setting->location ? ' ' : 'n';
	values[4] = oms_text_or_null(setting->group, &nulls[4]);
	values[5] = TimestampTzGetDatum(setting->item ? oms_quotas_stop_sales(setting->item) : oms_call->now);
	(void) oms_execute_each(&get_plan, values, nulls, read_setting, setting);
	if (setting->quota_id == 0)
		(void) oms_execute_each(&create_plan, values, nulls, read_setting, setting);
	else if (setting->restart)
	{
		Datum		restart[3] = {values[0], Int64GetDatum(setting->quota_id), values[5]};

		(void) oms_execute(&restart_plan, restart, NULL);
		setting->used = 0;
		setting->ends_at = DT_NOEND;
	}
	if (setting->ends_at <= DatumGetTimestampTz(values[5]))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("the quota has ended"),
				 errdetail("ends_at: was %s", timestamptz_to_str(setting->ends_at)),
				 errhint("Argument restart begins it anew, with nothing used.")));
}

static Jsonb *
setting_document(FunctionCallInfo fcinfo, const Setting *setting)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "channel", setting->channel->code);
	oms_write_text(&writer, "sku", setting->item ? setting->item->sku : NULL);
	oms_write_text(&writer, "location", setting->location ? setting->location->code : NULL);
	oms_write_text(&writer, "location_group", setting->group);
	for (int i = 0; i < lengthof(unit_arguments); i++)
		if (!PG_ARGISNULL(unit_arguments[i].argument))
			oms_write_int64(&writer, unit_arguments[i].name, PG_GETARG_INT32(unit_arguments[i].argument));
	if (!PG_ARGISNULL(7))
		oms_write_time(&writer, "ends_at", PG_GETARG_TIMESTAMPTZ(7));
	return oms_write_finish(&writer);
}

/*
 * oms.set_channel_quota(channel, sku, location, safety, network_safety, guaranteed, cap, ends_at, restart,
 *						 location_group, idempotency_key) -> bigint
 */
OMS_FUNCTION(oms_set_channel_quota, CALL_KEYED)
{
	Setting		setting = {.channel = oms_channel_get(oms_argument_required(fcinfo, 0, "channel"))};
	Datum		values[7];
	char		nulls[8] = "       ";

	setting.item = PG_ARGISNULL(1) ? NULL : oms_item_get(oms_argument_required(fcinfo, 1, "sku"));
	setting.location = PG_ARGISNULL(2) ? NULL : oms_location_get(oms_argument_required(fcinfo, 2, "location"));
	setting.group = PG_ARGISNULL(9) ? NULL : oms_argument_required(fcinfo, 9, "location_group");
	setting.restart = !PG_ARGISNULL(8) && PG_GETARG_BOOL(8);
	check_setting(fcinfo, &setting);
	if (!PG_ARGISNULL(7) && PG_GETARG_TIMESTAMPTZ(7) <= oms_call->now)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("a quota cannot end in the past"),
				 errdetail("ends_at: is %s", timestamptz_to_str(PG_GETARG_TIMESTAMPTZ(7))),
				 errhint("Orders that were placed under it have been counted already.")));
	lock_setting(&setting);
	if (!PG_ARGISNULL(6) && PG_GETARG_INT32(6) < setting.used)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
				 errmsg("cap %d is below what the channel has used", PG_GETARG_INT32(6)),
				 errdetail("cap: %d units are promised to its orders", setting.used),
				 errhint("The cap must be at least that, or cancel orders first.")));
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(setting.quota_id);
	for (int i = 0; i < 5; i++)
	{
		values[2 + i] = PG_ARGISNULL(3 + i) ? (Datum) 0 : PG_GETARG_DATUM(3 + i);
		nulls[2 + i] = PG_ARGISNULL(3 + i) ? 'n' : ' ';
	}
	(void) oms_execute(&set_plan, values, nulls);
	if (setting.item)
		oms_channel_levels_note(&setting.item->item_id, 1);
	oms_event(&(Event) {.object_id = setting.quota_id,.object_type = "channel_quota",.type = "channel_quota.set",
						.data = setting_document(fcinfo, &setting)});
	PG_RETURN_INT64(setting.quota_id);
}
