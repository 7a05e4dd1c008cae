/*
 * quota_tree.c
 *	  Trees of shares: how the units of an item are divided among channels.
 *
 * The whole that is divided is what orders have used of the item since its tree
 * began, and what is there for sale or in carts: units on hand at active
 * locations, less those promised to orders, safety, and lots whose time is
 * over.  A sale moves units from one term to the other, so it changes nobody's
 * share; a receipt raises those that are percents or ratios.
 *
 * Used are firm units, shipped ones too.  Backordered ones count when they
 * become firm.  What a channel has used stands in oms.quota_uses, one row for
 * each channel that sold the item, in the tree or not; what its carts hold is
 * in the reservations.
 *
 * Whoever takes or gives back units of an item with a tree locks the row of the
 * tree after counters and rows of oms.channel_quotas, and writes it.  So these
 * figures change only one call after the other, at any isolation level.  What
 * the tree allows is decided by quota_share.c.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "call.h"
#include "configuration.h"
#include "location.h"
#include "lot.h"
#include "quota_tree.h"
#include "relation.h"
#include "stock.h"

static OmsPlan trees_plan = {
	.sql = "SELECT t.item_id, t.version, coalesce(t.units, -1) FROM {quota_trees} t WHERE t.tenant_id = $1"
	" AND t.item_id = ANY ($2) AND (t.ends_at IS NULL OR t.ends_at > $3) ORDER BY t.item_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID)
};

static OmsPlan shares_plan = {
	.sql = "SELECT s.item_id, s.parent, s.rank, coalesce(s.units, -1), coalesce((s.percent * 10000)::int, -1),"
	" coalesce(s.ratio, -1), s.ends_at <= $3, s.lends, coalesce(s.channel_id, 0) FROM {quota_shares} s"
	" WHERE s.tenant_id = $1 AND s.item_id = ANY ($2) ORDER BY s.item_id, s.position",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID)
};

static OmsPlan uses_plan = {
	.sql = "SELECT u.item_id, u.channel_id, u.used FROM {quota_uses} u WHERE u.tenant_id = $1 AND u.item_id = ANY ($2)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* All holds, and of them those that count against their channels. */
static OmsPlan holds_plan = {
	.sql = "SELECT l.item_id, l.location_id, r.channel_id, sum(l.quantity), coalesce(sum(l.quantity)"
	" FILTER (WHERE r.status = 'held' AND r.expires_at > $3 AND r.reservation_id <> $4), 0)"
	" FROM {reservation_lines} l JOIN {reservations} r ON r.reservation_id = l.reservation_id AND r.tenant_id = $1"
	" WHERE l.item_id = ANY ($2) AND l.tenant_id = $1 GROUP BY l.item_id, l.location_id, r.channel_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID, INT8OID)
};

static OmsPlan lock_plan = {
	.sql = "SELECT t.item_id FROM {quota_trees} t WHERE t.tenant_id = $1 AND t.item_id = ANY ($2)"
	" ORDER BY t.item_id FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan touch_plan = {
	.sql = "UPDATE {quota_trees} t SET version = t.version + 1 WHERE t.tenant_id = $1 AND t.item_id = ANY ($2)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* An order counts where it was placed while the tree ran, whatever happens to it later. */
#define RAN_AT(moment) "t.starts_at <= " moment " AND (t.ends_at IS NULL OR t.ends_at > " moment ")"

static OmsPlan take_plan = {
	.sql = "INSERT INTO {quota_uses} AS x (item_id, channel_id, used, tenant_id) SELECT u.item_id, $4, u.units, $1"
	" FROM unnest($2::bigint[], $3::bigint[]) u(item_id, units) JOIN {quota_trees} t ON t.item_id = u.item_id"
	" AND t.tenant_id = $1 WHERE " RAN_AT("$5")
	" ON CONFLICT (item_id, channel_id, tenant_id) DO UPDATE SET used = x.used + EXCLUDED.used",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8OID, TIMESTAMPTZOID)
};

/* The row is there since the order was placed. */
static OmsPlan line_change_plan = {
	.sql = "UPDATE {quota_uses} x SET used = x.used + u.units FROM (SELECT v.item_id, sum(v.units) AS units"
	" FROM unnest($3::bigint[], $4::int[]) v(item_id, units) GROUP BY v.item_id) u"
	" JOIN {quota_trees} t ON t.item_id = u.item_id AND t.tenant_id = $1"
	" CROSS JOIN (SELECT channel_id, placed_at FROM {orders} WHERE order_id = $2 AND tenant_id = $1) o"
	" WHERE x.tenant_id = $1 AND x.item_id = u.item_id AND x.channel_id = o.channel_id AND " RAN_AT("o.placed_at"),
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8ARRAYOID, INT4ARRAYOID)
};

/* What uses must be by the lines of orders: the same that audit() expects. */
static OmsPlan recount_plan = {
	.sql = "INSERT INTO {quota_uses} AS x (item_id, channel_id, used, tenant_id)"
	" SELECT u.item_id, u.channel_id, sum(u.units), $1 FROM (SELECT t.item_id, o.channel_id, l.allocated AS units"
	" FROM {quota_trees} t JOIN {orders} o ON o.tenant_id = $1 AND " RAN_AT("o.placed_at")
	" JOIN {order_lines} l ON l.order_id = o.order_id AND l.tenant_id = $1 AND l.item_id = t.item_id"
	" WHERE t.tenant_id = $1 AND t.item_id = ANY ($2) UNION ALL SELECT c.item_id, c.channel_id, 0 FROM {quota_uses} c"
	" WHERE c.tenant_id = $1 AND c.item_id = ANY ($2)) u GROUP BY u.item_id, u.channel_id"
	" ON CONFLICT (item_id, channel_id, tenant_id) DO UPDATE SET used = EXCLUDED.used WHERE x.used <> EXCLUDED.used",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* Whether the tenant has trees at all: without them nothing here costs anything. */
bool
oms_quota_trees_exist(void)
{
	return oms_configuration()->has_quota_trees;
}

/* ---- Reading ---- */

static void
collect_tree(TupleTableSlot *slot, void *state)
{
	QuotaTrees *trees = state;
	QuotaTree  *tree;

	if (trees->count % 16 == 0)
		trees->rows = oms_grown(trees->rows, sizeof(QuotaTree) * (trees->count + 16));
	tree = &trees->rows[trees->count++];
	*tree = (QuotaTree) {.item_id = oms_slot_int64(slot, 1),.version = oms_slot_int64(slot, 2),.count = 1};
	tree->shares = palloc0(sizeof(QuotaShare) * 8);
	tree->channels = palloc0(sizeof(int64) * 8);	/* of the root: no channel, so the others */
	tree->shares[0].parent = -1;
	tree->shares[0].amount = oms_slot_int32(slot, 3);
}

/* The tree of an item; NULL where it has none. */
QuotaTree *
oms_quota_tree_of(const QuotaTrees *trees, int64 item_id)
{
	int			low = 0;
	int			high = trees ? trees->count : 0;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (trees->rows[middle].item_id < item_id)
			low = middle + 1;
		else
			high = middle;
	}
	return trees && low < trees->count && trees->rows[low].item_id == item_id ? &trees->rows[low] : NULL;
}

static void
collect_share(TupleTableSlot *slot, void *state)
{
	static const QuotaShareKind kinds[] = {QUOTA_SHARE_UNITS, QUOTA_SHARE_PERCENT, QUOTA_SHARE_RATIO};
	QuotaTree  *tree = oms_quota_tree_of(state, oms_slot_int64(slot, 1));
	QuotaShare *share;
	bool		isnull;
	Datum		ended = oms_slot_datum(slot, 7, &isnull);

	if (tree == NULL)
		return;
	if (tree->count == QUOTA_SHARES_MAX)
		elog(ERROR, "a tree has more than %d shares", QUOTA_SHARES_MAX - 1);
	if (tree->count % 8 == 0)
	{
		tree->shares = repalloc(tree->shares, sizeof(QuotaShare) * (tree->count + 8));
		tree->channels = repalloc(tree->channels, sizeof(int64) * (tree->count + 8));
	}
	tree->channels[tree->count] = oms_slot_int64(slot, 9);
	share = &tree->shares[tree->count++];
	*share = (QuotaShare)
	{
		.parent = oms_slot_int32(slot, 2),.rank = oms_slot_int32(slot, 3),.ended = !isnull && DatumGetBool(ended),
			.lends = oms_slot_bool(slot, 8)
	};
	for (int i = 0; i < lengthof(kinds); i++)
		if (oms_slot_int32(slot, 4 + i) >= 0)
		{
			share->kind = kinds[i];
			share->amount = oms_slot_int32(slot, 4 + i);
		}
}

/* The share of a channel; the root for channels that are not in the tree. */
int
oms_quota_tree_share(const QuotaTree *tree, int64 channel_id)
{
	for (int i = 1; i < tree->count; i++)
		if (tree->channels[i] == channel_id)
			return i;
	return 0;
}

/* Units that a channel has taken; those that were for sale are part of the whole already. */
void
oms_quota_tree_count(QuotaTree *tree, int64 channel_id, int64 units, bool were_there)
{
	tree->shares[oms_quota_tree_share(tree, channel_id)].used += units;
	if (!were_there)
		tree->whole += units;
}

static void
collect_use(TupleTableSlot *slot, void *state)
{
	QuotaTree  *tree = oms_quota_tree_of(state, oms_slot_int64(slot, 1));

	if (tree)
		oms_quota_tree_count(tree, oms_slot_int64(slot, 2), oms_slot_int64(slot, 3), false);
}

/* Trees, and the counters of their items. */
typedef struct TreesOnCounters
{
	QuotaTrees *trees;
	StockView  *view;
} TreesOnCounters;

/* Units in carts are for sale as far as the whole goes, and used by the channel of the cart. */
static void
collect_holds(TupleTableSlot *slot, void *state)
{
	TreesOnCounters *read = state;
	int64		item_id = oms_slot_int64(slot, 1);
	QuotaTree  *tree = oms_quota_tree_of(read->trees, item_id);
	StockRow   *row = oms_stock_find(read->view->rows, read->view->count, item_id, oms_slot_int64(slot, 2));

	if (row)
		row->reserved -= (int32) oms_slot_int64(slot, 4);
	if (tree)
		oms_quota_tree_count(tree, oms_slot_int64(slot, 3), oms_slot_int64(slot, 5), true);
}

/* The whole is the same for every caller, whatever locations are his. */
static void
add_stock(QuotaTrees *trees, const StockView *view)
{
	bool		unscoped = oms_call->unscoped;

	oms_call->unscoped = true;
	for (int i = 0; i < view->count; i++)
	{
		const StockRow *row = &view->rows[i];
		Location   *location = oms_location_by_id(row->location_id);
		QuotaTree  *tree = oms_quota_tree_of(trees, row->item_id);

		if (tree && location && location->active)
			tree->whole += Max(0, (int64) row->on_hand - row->reserved - row->safety);
	}
	oms_call->unscoped = unscoped;
}

/* The trees of some items that have not ended; NULL: none has one.  own is a reservation that does not count. */
QuotaTrees *
oms_quota_trees_read(int64 own, const int64 *item_ids, int count)
{
	QuotaTrees *trees = palloc0(sizeof(QuotaTrees));
	TreesOnCounters read = {.trees = trees};
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count),
	TimestampTzGetDatum(oms_call->now), Int64GetDatum(own)};
	int64	   *ids;

	if (!oms_quota_trees_exist() || oms_execute_each(&trees_plan, values, NULL, collect_tree, trees) == 0)
		return NULL;
	ids = palloc(sizeof(int64) * trees->count);
	for (int i = 0; i < trees->count; i++)
		ids[i] = trees->rows[i].item_id;
	values[1] = oms_array_int64(ids, trees->count);
	(void) oms_execute_each(&shares_plan, values, NULL, collect_share, trees);
	(void) oms_execute_each(&uses_plan, values, NULL, collect_use, trees);
	read.view = oms_stock_view(ids, trees->count);
	(void) oms_execute_each(&holds_plan, values, NULL, collect_holds, &read);
	oms_lots_discount(read.view);
	add_stock(trees, read.view);
	return trees;
}

/* Firm units that a channel may still take. */
int64
oms_quota_tree_draw(const QuotaTree *tree, int64 channel_id, QuotaDraw *draw)
{
	quota_shares_divide(tree->shares, tree->count, tree->whole);
	return quota_shares_draw(tree->shares, tree->count, oms_quota_tree_share(tree, channel_id), draw);
}

/* ---- Changing ---- */

static void
ignore_row(TupleTableSlot *slot, void *state)
{
}

/* Locks the trees of some items; false where there are none. */
bool
oms_quota_trees_lock(const int64 *item_ids, int count)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count)};

	return oms_quota_trees_exist() && oms_execute_each(&lock_plan, values, NULL, ignore_row, NULL) > 0;
}

/* Figures that locked trees depend on have changed. */
void
oms_quota_trees_touch(const int64 *item_ids, int count)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count)};

	(void) oms_execute(&touch_plan, values, NULL);
}

/* Counts the units of an order, each item once; none at all still makes the row. */
void
oms_quota_trees_take(const Channel *channel, TimestampTz placed_at, const int64 *item_ids, const int64 *units, int count)
{
	Datum		values[5] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count), oms_array_int64(units, count),
	Int64GetDatum(channel->channel_id), TimestampTzGetDatum(placed_at)};

	oms_quota_trees_touch(item_ids, count);
	(void) oms_execute(&take_plan, values, NULL);
}

/* Counts firm units that lines of a locked order gained or lost. */
void
oms_quota_trees_line_change(int64 order_id, const int64 *item_ids, const int32 *units, int count)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id), oms_array_int64(item_ids, count),
	oms_array_int32(units, count)};

	if (!oms_quota_trees_lock(item_ids, count))
		return;
	oms_quota_trees_touch(item_ids, count);
	(void) oms_execute(&line_change_plan, values, NULL);
}

/* Counts anew what the orders of locked trees have. */
void
oms_quota_trees_recount(const int64 *item_ids, int count)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count)};

	if (!oms_quota_trees_lock(item_ids, count))
		return;
	oms_quota_trees_touch(item_ids, count);
	(void) oms_execute(&recount_plan, values, NULL);
}
