/*
 * backorder_plan.c
 *	  Which backordered units become firm, and where.
 *
 * Lines are served one after the other, in the declared order.  Each takes what
 * its own promises wait for, then free units elsewhere, then units that stand
 * for the promises of lines behind it: those give way, and where the counter
 * can owe no more they wait without a promise from then on.  So a line never
 * sees a unit go to one behind it that it could have had itself.
 *
 * Orders that somebody else works on come first of all.  What they would get is
 * kept for them, so nobody overtakes them while they cannot be filled.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "backorder.h"
#include "calendar.h"
#include "call.h"
#include "dates.h"
#include "location.h"
#include "relation.h"

/* Units that backordered promises have at each counter: found by the few lines that wait. */
static OmsPlan owed_plan = {
	.sql = "SELECT a.item_id, a.location_id, sum(a.promised - a.shipped - a.cancelled) AS units FROM {order_lines} w"
	" CROSS JOIN LATERAL (SELECT x.item_id, x.location_id, x.promised, x.shipped, x.cancelled FROM {allocations} x"
	" CROSS JOIN LATERAL (SELECT y.backordered FROM {fulfillments} y WHERE y.fulfillment_id = x.fulfillment_id"
	" AND y.tenant_id = $1 OFFSET 0) f WHERE x.order_id = w.order_id AND x.line_no = w.line_no AND x.tenant_id = $1"
	" AND f.backordered AND x.promised > x.shipped + x.cancelled OFFSET 0) a"
	" WHERE w.tenant_id = $1 AND w.backordered > 0 AND w.item_id = ANY ($2)"
	" GROUP BY a.item_id, a.location_id ORDER BY a.item_id, a.location_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* ---- Finding ---- */

static int
compare_counters(const void *left, const void *right)
{
	const StockRow *a = &((const Counter *) left)->row;
	const StockRow *b = &((const Counter *) right)->row;

	if (a->item_id != b->item_id)
		return a->item_id < b->item_id ? -1 : 1;
	return a->location_id < b->location_id ? -1 : a->location_id > b->location_id;
}

static Counter *
counter_at(const Filling *filling, int64 item_id, int64 location_id)
{
	Counter		key = {.row = {.item_id = item_id,.location_id = location_id}};

	if (filling->counter_count == 0)
		return NULL;
	return bsearch(&key, filling->counters, filling->counter_count, sizeof(Counter), compare_counters);
}

/* Where the promises of an order begin: they are sorted by order. */
static int
first_promise(const Filling *filling, int64 order_id)
{
	return oms_first_of(filling->promises, filling->promise_count, sizeof(Promise), offsetof(Promise, order_id), order_id);
}

/* Where the counters of an item begin. */
static int
first_counter(const Filling *filling, int64 item_id)
{
	return oms_first_of(filling->counters, filling->counter_count, sizeof(Counter), offsetof(Counter, row.item_id), item_id);
}

/* A line by its key, while promises look for theirs. */
typedef struct LineKey
{
	int64		order_id;
	int32		line_no;
	int			line;
} LineKey;

static int
compare_keys(const void *left, const void *right)
{
	const LineKey *a = left;
	const LineKey *b = right;

	if (a->order_id != b->order_id)
		return a->order_id < b->order_id ? -1 : 1;
	return a->line_no < b->line_no ? -1 : a->line_no > b->line_no;
}

static int
compare_owed(const void *left, const void *right)
{
	const Promise *a = *(Promise *const *) left;
	const Promise *b = *(Promise *const *) right;

	if (a->item_id != b->item_id)
		return a->item_id < b->item_id ? -1 : 1;
	if (a->location_id != b->location_id)
		return a->location_id < b->location_id ? -1 : 1;
	if (a->line != b->line)
		return a->line > b->line ? -1 : 1;
	return a->fulfillment_id > b->fulfillment_id ? -1 : a->fulfillment_id < b->fulfillment_id;
}

/* Tells each promise its line, and lists those that may give way. */
void
oms_backorder_index(Filling *filling)
{
	LineKey    *keys = palloc_extended(sizeof(LineKey) * Max(1, filling->line_count), MCXT_ALLOC_HUGE);

	for (int i = 0; i < filling->line_count; i++)
		keys[i] = (LineKey) {filling->lines[i].order_id, filling->lines[i].line_no, i};
	qsort(keys, filling->line_count, sizeof(LineKey), compare_keys);
	filling->owed = palloc_extended(sizeof(Promise *) * Max(1, filling->promise_count), MCXT_ALLOC_HUGE);
	filling->owed_count = 0;
	for (int i = 0; i < filling->promise_count; i++)
	{
		Promise    *promise = &filling->promises[i];
		LineKey		key = {promise->order_id, promise->line_no};
		LineKey    *found = filling->line_count == 0 ? NULL
			: bsearch(&key, keys, filling->line_count, sizeof(LineKey), compare_keys);

		promise->line = found ? found->line : -1;
		if (found && promise->backordered && filling->lines[found->line].locked && !filling->lines[found->line].watched)
			filling->owed[filling->owed_count++] = promise;
	}
	qsort(filling->owed, filling->owed_count, sizeof(Promise *), compare_owed);
}

/* Where the promises of a counter begin that may give way. */
static int
first_owed(const Filling *filling, const Counter *counter)
{
	Promise		key = {.item_id = counter->row.item_id,.location_id = counter->row.location_id,.line = PG_INT32_MAX};
	const Promise *wanted = &key;
	int			low = 0;
	int			high = filling->owed_count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (compare_owed(&filling->owed[middle], &wanted) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
is_of(const Promise *promise, const Counter *counter)
{
	return promise->item_id == counter->row.item_id && promise->location_id == counter->row.location_id;
}

/* ---- What counters can give ---- */

/* When each location could send what it gets now: its lots must last as long. */
static void
read_horizons(Filling *filling, const StockView *view)
{
	filling->horizons = palloc(sizeof(LotHorizon) * Max(1, view->count));
	filling->horizon_count = 0;
	for (int i = 0; oms_lots_exist() && oms_dates_configured() && i < view->count; i++)
	{
		DateRequest request = {.ordered_at = oms_call->now,.units = 1};
		Location   *location = oms_location_by_id(view->rows[i].location_id);
		ParcelDates dates;

		if (location && oms_dates_by_service(&request, location, NULL, NULL, &dates) == PROMISE_OK)
			filling->horizons[filling->horizon_count++] = (LotHorizon) {location->location_id, dates.ship_by};
	}
}

void
oms_backorder_look(Filling *filling)
{
	StockView  *view = oms_stock_view(filling->items, filling->item_count);

	read_horizons(filling, view);
	oms_lots_discount(view);
	oms_lots_discount_until(view, filling->horizons, filling->horizon_count);
	filling->counters = palloc0(sizeof(Counter) * Max(1, view->count));
	filling->counter_count = view->count;
	for (int i = 0; i < view->count; i++)
		filling->counters[i].row = view->rows[i];
}

/* Keeps the counters that the plan uses, and locks them whole. */
void
oms_backorder_lock(Filling *filling)
{
	StockRow   *rows = palloc0(sizeof(StockRow) * Max(1, filling->counter_count));
	int			count = 0;

	for (int i = 0; i < filling->counter_count; i++)
		if (filling->counters[i].used)
			rows[count++] = (StockRow)
		{
			.item_id = filling->counters[i].row.item_id,.location_id = filling->counters[i].row.location_id,.whole = true
		};
	if (count > 0)
		oms_stock_lock(rows, count);
	oms_lots_keep(rows, count);
	oms_lots_keep_until(rows, count, filling->horizons, filling->horizon_count);
	filling->counter_count = count;
	for (int i = 0; i < count; i++)
		filling->counters[i] = (Counter) {.row = rows[i]};
}

static void
note_owed(TupleTableSlot *slot, void *state)
{
	Counter    *counter = counter_at(state, oms_slot_int64(slot, 1), oms_slot_int64(slot, 2));

	if (counter)
		counter->owed = oms_slot_int64(slot, 3);
}

/* Works out what the counters can give; the promises beyond on hand are read after the counters stand. */
static void
weigh_counters(Filling *filling)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(filling->items, filling->item_count)};

	for (int i = 0; i < filling->counter_count; i++)
		filling->counters[i] = (Counter) {.row = filling->counters[i].row};
	(void) oms_execute_each(&owed_plan, values, NULL, note_owed, filling);
	for (int i = 0; i < filling->counter_count; i++)
	{
		Counter    *counter = &filling->counters[i];

		counter->free = (int64) counter->row.on_hand - counter->row.safety - counter->row.kept - counter->row.reserved;
		counter->cover = counter->free + counter->owed;
	}
}

/* Promises that the counter may still make beyond those that it has. */
static int64
headroom_of(const Counter *counter)
{
	return Max(0, (int64) counter->row.on_hand + counter->row.backorder_limit - counter->row.reserved - counter->claimed);
}

/* Units at a counter that stand for promises of lines behind this one, and may be taken from them. */
static int64
behind(const Filling *filling, const Counter *counter, int line)
{
	int64		units = 0;

	for (int i = first_owed(filling, counter);
		 i < filling->owed_count && is_of(filling->owed[i], counter) && filling->owed[i]->line > line; i++)
		units += filling->owed[i]->open;
	return units;
}

/* What a counter has for a line: what is free, or else all that is not firm yet. */
static int64
offer(const Filling *filling, const Counter *counter, int line, bool owed)
{
	const Waiting *waiting = &filling->lines[line];
	int64		left = oms_quotas_safety(waiting->quotas, waiting->item_id, counter->row.location_id);
	int64		units = Min(counter->cover, counter->free - left);

	if (!owed || counter->cover <= left)
		return units;
	if (!waiting->locked)
		return counter->cover - left;
	return Min(counter->cover - left, headroom_of(counter) + behind(filling, counter, line));
}

/* ---- Choosing ---- */

static void
add_fill(Filling *filling, int line, const Promise *from, Counter *counter, int64 quantity)
{
	filling->fills = oms_backorder_grow(filling->fills, filling->fill_count, &filling->capacity, sizeof(Fill));
	filling->fills[filling->fill_count++] = (Fill)
	{
		.line = &filling->lines[line],.from = from,.location_id = counter->row.location_id,.quantity = (int32) quantity
	};
	counter->used = true;
	counter->cover -= quantity;
	if (filling->lines[line].locked)
		counter->latest = Max(counter->latest, filling->lines[line].rank);
}

/* Changes what is reserved at a counter. */
static void
claim(Counter *counter, bool locked, int64 units)
{
	counter->free -= units;
	counter->claimed += units;
	if (locked)
		counter->taken += (int32) units;
	counter->used = true;
}

/* Whether the order has a firm promise at the location already. */
static bool
ships_from(const Filling *filling, const Waiting *line, int64 location_id)
{
	for (int i = first_promise(filling, line->order_id);
		 i < filling->promise_count && filling->promises[i].order_id == line->order_id; i++)
		if (filling->promises[i].location_id == location_id && !filling->promises[i].backordered)
			return true;
	return false;
}

static bool
may_serve(const Waiting *line, const Counter *counter)
{
	Location   *location = oms_location_by_id(counter->row.location_id);

	return location && oms_location_serves(location, line->channel, line->pickup ? PURPOSE_PICKUP : PURPOSE_SHIP) && (line->pickup || location->ships) &&
		(line->location_id == 0 || line->location_id == location->location_id);
}

/* A counter and what it has for the line at hand. */
typedef struct Choice
{
	Counter    *counter;
	int64		units;
	bool		ships;			/* the order ships from there already */
	int32		rank;
} Choice;

/* Whether a is the better place: it has all units, the order ships from there, rank, more units. */
static bool
is_better(const Choice *a, const Choice *b, int64 wanted)
{
	if ((a->units >= wanted) != (b->units >= wanted))
		return a->units >= wanted;
	if (a->ships != b->ships)
		return a->ships;
	if (a->rank != b->rank)
		return a->rank < b->rank;
	return a->units > b->units;
}

static Choice
best_counter(Filling *filling, int line, int64 wanted, bool owed)
{
	const Waiting *waiting = &filling->lines[line];
	Choice		best = {0};

	for (int i = first_counter(filling, waiting->item_id);
		 i < filling->counter_count && filling->counters[i].row.item_id == waiting->item_id; i++)
	{
		Choice		choice = {.counter = &filling->counters[i]};

		choice.units = offer(filling, choice.counter, line, owed);
		if (choice.units <= 0 || !may_serve(waiting, choice.counter))
			continue;
		choice.ships = ships_from(filling, waiting, choice.counter->row.location_id);
		choice.rank = oms_location_by_id(choice.counter->row.location_id)->rank;
		if (best.counter == NULL || is_better(&choice, &best, wanted))
			best = choice;
	}
	return best;
}

/* Takes away promises behind a line, the last first, so that its own can be made; returns how many units. */
static int64
take_place(Filling *filling, Counter *counter, int line, int64 units)
{
	int64		taken = 0;

	for (int i = first_owed(filling, counter); i < filling->owed_count && taken < units; i++)
	{
		Promise    *promise = filling->owed[i];
		int32		quantity = (int32) Min(promise->open, units - taken);

		if (!is_of(promise, counter) || promise->line <= line)
			break;
		if (quantity == 0)
			continue;
		filling->yields = oms_backorder_grow(filling->yields, filling->yield_count, &filling->yield_capacity, sizeof(Yield));
		filling->yields[filling->yield_count++] = (Yield) {promise, quantity};
		promise->open -= quantity;
		taken += quantity;
	}
	return taken;
}

/*
 * Finds units for a promise that its own location cannot keep, or for units
 * without one: free units, or also those of lines behind.  Returns how many.
 */
static int64
fill_elsewhere(Filling *filling, int line, const Promise *from, int64 wanted, bool owed)
{
	bool		locked = filling->lines[line].locked;
	int64		found = 0;

	while (found < wanted)
	{
		Choice		best = best_counter(filling, line, wanted - found, owed);
		Counter    *old = from ? counter_at(filling, from->item_id, from->location_id) : NULL;
		int64		quantity = Min(wanted - found, best.units);
		int64		room;

		if (best.counter == NULL || (from && old == NULL))
			break;
		add_fill(filling, line, from, best.counter, quantity);
		room = Min(quantity, headroom_of(best.counter));
		if (locked && quantity > room)
			room += quantity - room - take_place(filling, best.counter, line, quantity - room);
		claim(best.counter, locked, room);
		if (old)
			claim(old, locked, -quantity);
		found += quantity;
	}
	return found;
}

static bool
is_refused(const Filling *filling, const Waiting *line)
{
	ListCell   *cell;

	foreach(cell, filling->refused)
	{
		const Waiting *refused = lfirst(cell);

		if (refused->channel == line->channel && refused->item_id == line->item_id)
			return true;
	}
	return false;
}

/*
 * Free units that the channel may take of the line's item beside those that the
 * plan has taken.  Its cap counts backordered units already, its shares do not.
 */
static int64
budget_of(const Filling *filling, Waiting *line)
{
	StockView  *view;
	QuotaTree  *tree;
	QuotaLimit	limit;
	int64		budget;

	line->quotas = NULL;
	if (!oms_quotas_exist())
		return PG_INT64_MAX;
	view = oms_quotas_view(line->channel, 0, &line->item_id, 1, &line->quotas);
	tree = oms_quota_tree_of(line->quotas->trees, line->item_id);
	for (int i = 0; tree && i < filling->fill_count; i++)
	{
		const Fill *fill = &filling->fills[i];

		if (fill->line->item_id == line->item_id)
			oms_quota_tree_count(tree, fill->line->channel->channel_id, fill->quantity, !oms_fill_is_in_place(fill));
	}
	if (!oms_quotas_limit(line->quotas, view, line->item_id, &limit))
		return PG_INT64_MAX;
	budget = limit.free - limit.network_safety - limit.guaranteed;
	for (int i = 0; i < filling->fill_count; i++)
	{
		const Fill *fill = &filling->fills[i];

		if (fill->line->channel == line->channel && fill->line->item_id == line->item_id &&
			!oms_fill_is_in_place(fill))
			budget -= fill->quantity;
	}
	return Max(0, Min(budget, limit.drawn));
}

/* Units that have no place to wait at, or no cover there: first what is free, then what lines behind wait for. */
static void
fill_rest(Filling *filling, int index, Promise *from, int32 wanted, int64 *budget)
{
	Waiting    *line = &filling->lines[index];
	int64		found = fill_elsewhere(filling, index, from, Min(*budget, wanted), false);

	*budget -= found;
	line->barred |= *budget < wanted - found;
	if (found < wanted && !line->barred)
		found += fill_elsewhere(filling, index, from, wanted - found, true);
	line->left -= (int32) found;
	if (from)
		from->open -= (int32) found;
}

static void
fill_line(Filling *filling, int index)
{
	Waiting    *line = &filling->lines[index];
	int			first = first_promise(filling, line->order_id);
	int32		without_promise = line->backordered;
	int64		budget;

	line->left = line->backordered;
	line->barred = false;
	if (line->watched && line->locked)
		return;
	for (int i = first; i < filling->promise_count && filling->promises[i].order_id == line->order_id; i++)
	{
		Promise    *promise = &filling->promises[i];
		Counter    *counter = counter_at(filling, promise->item_id, promise->location_id);
		int64		covered = counter ? Max(0, Min(promise->open, counter->cover)) : 0;

		if (promise->line_no != line->line_no || !promise->backordered)
			continue;
		without_promise -= promise->open;
		if (covered > 0)
			add_fill(filling, index, promise, counter, covered);
		promise->open -= (int32) covered;
		line->left -= (int32) covered;
	}
	line->barred = line->left > 0 && is_refused(filling, line);
	if (line->left == 0 || line->barred)
		return;
	budget = budget_of(filling, line);
	for (int i = first; i < filling->promise_count && filling->promises[i].order_id == line->order_id; i++)
	{
		Promise    *promise = &filling->promises[i];

		if (promise->line_no == line->line_no && promise->backordered && promise->open > 0)
			fill_rest(filling, index, promise, promise->open, &budget);
	}
	if (without_promise > 0)
		fill_rest(filling, index, NULL, without_promise, &budget);
}

/* What is only kept for orders that are not ours is no fill. */
static void
drop_kept(Filling *filling)
{
	int			kept = 0;

	for (int i = 0; i < filling->fill_count; i++)
		if (filling->fills[i].line->locked)
			filling->fills[kept++] = filling->fills[i];
	filling->fill_count = kept;
}

void
oms_backorder_plan(Filling *filling)
{
	int32	   *open = palloc(sizeof(int32) * Max(1, filling->promise_count));

	for (int i = 0; i < filling->promise_count; i++)
		open[i] = filling->promises[i].open;
	weigh_counters(filling);
	filling->fill_count = filling->yield_count = 0;
	for (int i = 0; i < filling->line_count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		fill_line(filling, i);
	}
	for (int i = 0; i < filling->promise_count; i++)
		filling->promises[i].open = open[i];
	drop_kept(filling);
}

/* ---- Who was overtaken ---- */

/* Whether units that the line still waits for, and could have had, went to an order that came later. */
static bool
is_overtaken(const Filling *filling, const Waiting *line)
{
	if (line->left == 0 || !line->locked || line->barred)
		return false;
	for (int i = first_counter(filling, line->item_id);
		 i < filling->counter_count && filling->counters[i].row.item_id == line->item_id; i++)
	{
		const Counter *counter = &filling->counters[i];

		if (counter->latest > line->rank && may_serve(line, counter) &&
			oms_quotas_safety(line->quotas, line->item_id, counter->row.location_id) == 0)
			return true;
	}
	return false;
}

/* The orders that the plan lets others overtake, sorted, each once; there is room for all lines. */
int
oms_backorder_overtaken(const Filling *filling, int64 *orders)
{
	int			count = 0;
	int			kept = 0;

	for (int i = 0; i < filling->line_count; i++)
		if (is_overtaken(filling, &filling->lines[i]))
			orders[count++] = filling->lines[i].order_id;
	qsort(orders, count, sizeof(int64), oms_compare_int64);
	for (int i = 0; i < count; i++)
		if (kept == 0 || orders[kept - 1] != orders[i])
			orders[kept++] = orders[i];
	return kept;
}
