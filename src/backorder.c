/*
 * backorder.c
 *	  Units for backordered lines.
 *
 * A backordered unit either is promised beyond what is on hand at a location,
 * or has no promise because a count withdrew it.  Filling turns it into a firm
 * promise: where it is promised, as soon as that location has it, else wherever
 * there is a free one.  What is promised for an earlier date goes first, then
 * the older order, so that what arrives keeps every date it was promised for.
 *
 * The orders are locked first, those that somebody works on are left for the
 * next run.  Then the plan says which counters take part, these are locked, and
 * the plan is made again from what stands there: it can only have become
 * smaller, and nothing is decided on an earlier reading.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "allocation.h"
#include "calendar.h"
#include "call.h"
#include "capacity.h"
#include "dates.h"
#include "document.h"
#include "event.h"
#include "fulfillment.h"
#include "location.h"
#include "lot.h"
#include "machine.h"
#include "order.h"
#include "quota.h"
#include "relation.h"
#include "stock.h"

#define ORDERS_DEFAULT	1000
#define ORDERS_MAX		10000
#define FILL_ATTEMPTS_MAX 10
#define DAY_ATTEMPTS_MAX 20

/* Units that backordered promises have at each counter: found by the few lines that wait. */
#define OWED \
	"SELECT a.item_id, a.location_id, sum(a.promised - a.shipped - a.cancelled) AS units FROM {order_lines} w" \
	" CROSS JOIN LATERAL (SELECT x.item_id, x.location_id, x.promised, x.shipped, x.cancelled FROM {allocations} x" \
	" CROSS JOIN LATERAL (SELECT y.backordered FROM {fulfillments} y WHERE y.fulfillment_id = x.fulfillment_id" \
	" AND y.tenant_id = $1 OFFSET 0) f WHERE x.order_id = w.order_id AND x.line_no = w.line_no AND x.tenant_id = $1" \
	" AND f.backordered AND x.promised > x.shipped + x.cancelled OFFSET 0) a WHERE w.tenant_id = $1 AND w.backordered > 0"

/* The first date that a line waits for; null where it waits for none. */
#define DATE_OF_LINE \
	" LEFT JOIN LATERAL (SELECT min(f.supplied_at) AS at FROM {allocations} x CROSS JOIN LATERAL (SELECT y.supplied_at, y.backordered" \
	" FROM {fulfillments} y WHERE y.fulfillment_id = x.fulfillment_id AND y.tenant_id = $1 OFFSET 0) f" \
	" WHERE x.order_id = l.order_id AND x.line_no = l.line_no AND x.tenant_id = $1 AND f.backordered" \
	" AND x.promised > x.shipped + x.cancelled) w ON true"

/* Orders that wait for an item of which some location has units that nobody older holds. */
static OmsPlan candidates_plan = {
	.sql = "WITH waiting AS (SELECT l.order_id, l.item_id, w.at FROM {order_lines} l" DATE_OF_LINE
	" WHERE l.tenant_id = $1 AND l.backordered > 0),"
	" owed AS (" OWED " GROUP BY a.item_id, a.location_id),"
	" fillable AS (SELECT DISTINCT s.item_id FROM {stock} s LEFT JOIN owed o USING (item_id, location_id)"
	" WHERE s.tenant_id = $1 AND s.item_id IN (SELECT item_id FROM waiting)"
	" AND s.on_hand - s.safety - s.reserved + coalesce(o.units, 0) > 0)"
	" SELECT w.order_id FROM waiting w JOIN fillable f USING (item_id)"
	" JOIN {orders} r ON r.order_id = w.order_id AND r.tenant_id = $1"
	" GROUP BY w.order_id, r.placed_at ORDER BY min(w.at), r.placed_at, w.order_id LIMIT $2",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT4OID)
};

static OmsPlan lock_orders_plan = {
	.sql = "SELECT order_id FROM {orders} WHERE tenant_id = $1 AND order_id = ANY ($2)"
	" ORDER BY order_id FOR NO KEY UPDATE SKIP LOCKED",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan lines_plan = {
	.sql = "SELECT l.order_id, l.line_no, l.item_id, l.delivery_no, coalesce(l.location_id, 0), l.backordered,"
	" o.channel_id, o.status, i.sku, coalesce(d.pickup_location_id, 0), i.weight_grams"
	" FROM {orders} o JOIN {order_lines} l ON l.order_id = o.order_id AND l.tenant_id = $1 AND l.backordered > 0"
	" JOIN {items} i ON i.item_id = l.item_id AND i.tenant_id = $1"
	" LEFT JOIN {order_deliveries} d ON d.order_id = l.order_id AND d.delivery_no = l.delivery_no AND d.tenant_id = $1"
	DATE_OF_LINE
	" WHERE o.tenant_id = $1 AND o.order_id = ANY ($2) ORDER BY w.at, o.placed_at, o.order_id, l.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan promises_plan = {
	.sql = "SELECT a.order_id, a.fulfillment_id, a.item_id, a.location_id, a.line_no,"
	" a.promised - a.shipped - a.cancelled, f.backordered FROM {allocations} a"
	" CROSS JOIN LATERAL (SELECT x.backordered FROM {fulfillments} x WHERE x.fulfillment_id = a.fulfillment_id"
	" AND x.tenant_id = $1 OFFSET 0) f"
	" WHERE a.tenant_id = $1 AND a.order_id = ANY ($2) AND a.location_id IS NOT NULL"
	" AND a.promised > a.shipped + a.cancelled ORDER BY a.order_id, a.line_no, a.fulfillment_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan owed_plan = {
	.sql = OWED " AND w.item_id = ANY ($2) GROUP BY a.item_id, a.location_id ORDER BY a.item_id, a.location_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan delivery_plan = {
	.sql = "SELECT service, address ->> 'country', address ->> 'postal_code', (address ->> 'latitude')::float8,"
	" (address ->> 'longitude')::float8 FROM {order_deliveries}"
	" WHERE order_id = $2 AND delivery_no = $3 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID)
};

/* A line that waits. */
typedef struct Waiting
{
	int64		order_id;
	int64		item_id;
	int64		location_id;	/* the only one that may serve it, 0: any */
	int32		line_no;
	int32		delivery_no;
	int32		backordered;
	int32		weight_grams;
	bool		pickup;
	int64		channel_id;
	Channel    *channel;
	char	   *status;			/* of the order */
	char	   *sku;
	int			turn;			/* where the first line of its order stands */
} Waiting;

/* An open promise of an order. */
typedef struct Promise
{
	int64		order_id;
	int64		fulfillment_id;
	int64		item_id;
	int64		location_id;
	int32		line_no;
	int32		open;
	bool		backordered;
} Promise;

/* A counter as the plan uses it up. */
typedef struct Counter
{
	StockRow	row;
	int64		owed;			/* of reserved: promised beyond what is on hand */
	int64		cover;			/* units that may be firm beside those that are */
	int64		free;			/* of these: reserved for nobody */
	int32		taken;			/* change of reserved */
	bool		used;
} Counter;

/* Units of a line that become firm. */
typedef struct Fill
{
	const Waiting *line;
	const Promise *from;		/* NULL: no promise */
	int64		location_id;
	int64		fulfillment_id; /* once it is made */
	int32		quantity;
	int			number;
} Fill;

typedef struct Filling
{
	int			max_orders;
	int64	   *orders;
	int			order_count;
	int64	   *items;			/* sorted, each once */
	int			item_count;
	Waiting    *lines;
	int			line_count;
	Promise    *promises;
	int			promise_count;
	Counter    *counters;		/* by item and location */
	int			counter_count;
	LotHorizon *horizons;
	int			horizon_count;
	Fill	   *fills;
	int			fill_count;
	int			capacity;		/* of whatever is being collected, or of fills */
	List	   *refused;		/* of Waiting: lines whose channel may take no more of their item */
} Filling;

/* ---- Reading ---- */

static void *
grow(void *rows, int count, int *capacity, Size size)
{
	if (rows != NULL && count < *capacity)
		return rows;
	*capacity = Max(64, *capacity * 2);
	return rows ? repalloc_huge(rows, size * *capacity) : palloc(size * *capacity);
}

static void
collect_order(TupleTableSlot *slot, void *state)
{
	Filling    *filling = state;

	filling->orders[filling->order_count++] = oms_slot_int64(slot, 1);
}

static void
collect_line(TupleTableSlot *slot, void *state)
{
	Filling    *filling = state;
	Waiting		line = {.order_id = oms_slot_int64(slot, 1),.line_no = oms_slot_int32(slot, 2),
		.item_id = oms_slot_int64(slot, 3),.delivery_no = oms_slot_int32(slot, 4),.location_id = oms_slot_int64(slot, 5),
		.backordered = oms_slot_int32(slot, 6),.channel_id = oms_slot_int64(slot, 7),.status = oms_slot_text(slot, 8),
		.sku = oms_slot_text(slot, 9),.pickup = oms_slot_int64(slot, 10) != 0,.weight_grams = oms_slot_int32(slot, 11)
	};

	if (line.pickup)
		line.location_id = oms_slot_int64(slot, 10);
	filling->lines = grow(filling->lines, filling->line_count, &filling->capacity, sizeof(Waiting));
	filling->lines[filling->line_count++] = line;
}

static void
collect_promise(TupleTableSlot *slot, void *state)
{
	Filling    *filling = state;

	filling->promises = grow(filling->promises, filling->promise_count, &filling->capacity, sizeof(Promise));
	filling->promises[filling->promise_count++] = (Promise)
	{
		.order_id = oms_slot_int64(slot, 1),.fulfillment_id = oms_slot_int64(slot, 2),.item_id = oms_slot_int64(slot, 3),
			.location_id = oms_slot_int64(slot, 4),.line_no = oms_slot_int32(slot, 5),.open = oms_slot_int32(slot, 6),
			.backordered = oms_slot_bool(slot, 7)
	};
}

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

static void
note_owed(TupleTableSlot *slot, void *state)
{
	Counter    *counter = counter_at(state, oms_slot_int64(slot, 1), oms_slot_int64(slot, 2));

	if (counter)
		counter->owed = oms_slot_int64(slot, 3);
}

/* Leaves out lines of orders that have ended or that the caller may not see. */
static void
leave_out(Filling *filling)
{
	int			kept = 0;

	for (int i = 0; i < filling->line_count; i++)
	{
		Waiting    *line = &filling->lines[i];

		line->channel = oms_channel_by_id(line->channel_id);
		if (line->channel && !oms_machine_final(MACHINE_ORDER, line->status))
			filling->lines[kept++] = *line;
	}
	filling->line_count = kept;
}

static int
compare_orders(const void *left, const void *right)
{
	const Waiting *a = *(Waiting *const *) left;
	const Waiting *b = *(Waiting *const *) right;

	if (a->order_id != b->order_id)
		return a->order_id < b->order_id ? -1 : 1;
	return a < b ? -1 : a > b;
}

/* Lines stand by date; what an order gets is written together, in its turn. */
static void
note_turns(Filling *filling)
{
	Waiting   **sorted = palloc(sizeof(Waiting *) * Max(1, filling->line_count));

	for (int i = 0; i < filling->line_count; i++)
		sorted[i] = &filling->lines[i];
	qsort(sorted, filling->line_count, sizeof(Waiting *), compare_orders);
	for (int i = 0; i < filling->line_count; i++)
		sorted[i]->turn = i > 0 && sorted[i - 1]->order_id == sorted[i]->order_id ? sorted[i - 1]->turn
			: (int) (sorted[i] - filling->lines);
}

/* Locks the orders that nobody works on, and reads what waits in them, the first date first, then the oldest. */
static void
read_orders(Filling *filling)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int32GetDatum(filling->max_orders)};

	filling->orders = palloc(sizeof(int64) * filling->max_orders);
	(void) oms_execute_each(&candidates_plan, values, NULL, collect_order, filling);
	values[1] = oms_array_int64(filling->orders, filling->order_count);
	filling->order_count = 0;
	(void) oms_execute_each(&lock_orders_plan, values, NULL, collect_order, filling);
	values[1] = oms_array_int64(filling->orders, filling->order_count);
	(void) oms_execute_each(&lines_plan, values, NULL, collect_line, filling);
	filling->capacity = 0;
	(void) oms_execute_each(&promises_plan, values, NULL, collect_promise, filling);
	leave_out(filling);
	note_turns(filling);
	filling->items = palloc(sizeof(int64) * Max(1, filling->line_count));
	for (int i = 0; i < filling->line_count; i++)
		filling->items[i] = filling->lines[i].item_id;
	qsort(filling->items, filling->line_count, sizeof(int64), oms_compare_int64);
	for (int i = 0; i < filling->line_count; i++)
		if (i == 0 || filling->items[i] != filling->items[i - 1])
			filling->items[filling->item_count++] = filling->items[i];
}

/* ---- Planning ---- */

/* Works out what the counters can give; the promises beyond on hand are read after the counters stand. */
static void
weigh_counters(Filling *filling)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(filling->items, filling->item_count)};

	for (int i = 0; i < filling->counter_count; i++)
		filling->counters[i].owed = filling->counters[i].taken = filling->counters[i].used = 0;
	(void) oms_execute_each(&owed_plan, values, NULL, note_owed, filling);
	for (int i = 0; i < filling->counter_count; i++)
	{
		Counter    *counter = &filling->counters[i];

		counter->free = (int64) counter->row.on_hand - counter->row.safety - counter->row.kept - counter->row.reserved;
		counter->cover = counter->free + counter->owed;
	}
}

static void
add_fill(Filling *filling, const Waiting *line, const Promise *from, Counter *counter, int64 quantity)
{
	filling->fills = grow(filling->fills, filling->fill_count, &filling->capacity, sizeof(Fill));
	filling->fills[filling->fill_count] = (Fill)
	{
		.line = line,.from = from,.location_id = counter->row.location_id,.quantity = (int32) quantity,
			.number = filling->fill_count
	};
	filling->fill_count++;
	counter->used = true;
	counter->cover -= quantity;
}

/* Where the promises of an order begin: they are sorted by order. */
static int
first_promise(const Filling *filling, int64 order_id)
{
	int			low = 0;
	int			high = filling->promise_count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (filling->promises[middle].order_id < order_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
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

/* Where the counters of an item begin. */
static int
first_counter(const Filling *filling, int64 item_id)
{
	int			low = 0;
	int			high = filling->counter_count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (filling->counters[middle].row.item_id < item_id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int64
free_for(const Counter *counter, const Waiting *line, const QuotaList *quotas)
{
	return Min(counter->cover, counter->free -
			   oms_quotas_safety(quotas, line->item_id, counter->row.location_id));
}

/* Whether a is the better place: it has all units, the order ships from there, rank, more units. */
static bool
is_better(const Filling *filling, const Waiting *line, const Counter *a, const Counter *b, int64 wanted,
		  const QuotaList *quotas)
{
	bool		a_whole = free_for(a, line, quotas) >= wanted;
	bool		b_whole = free_for(b, line, quotas) >= wanted;
	bool		a_ships = ships_from(filling, line, a->row.location_id);
	bool		b_ships = ships_from(filling, line, b->row.location_id);
	int32		a_rank = oms_location_by_id(a->row.location_id)->rank;
	int32		b_rank = oms_location_by_id(b->row.location_id)->rank;

	if (a_whole != b_whole)
		return a_whole;
	if (a_ships != b_ships)
		return a_ships;
	if (a_rank != b_rank)
		return a_rank < b_rank;
	return free_for(a, line, quotas) > free_for(b, line, quotas);
}

static Counter *
best_counter(Filling *filling, const Waiting *line, int64 wanted, const QuotaList *quotas)
{
	Counter    *best = NULL;

	for (int i = first_counter(filling, line->item_id);
		 i < filling->counter_count && filling->counters[i].row.item_id == line->item_id; i++)
	{
		Counter    *counter = &filling->counters[i];
		Location   *location;

		if (free_for(counter, line, quotas) <= 0)
			continue;
		location = oms_location_by_id(counter->row.location_id);
		if (location == NULL || !oms_location_serves(location, line->channel) || (!line->pickup && !location->ships) ||
			(line->location_id != 0 && line->location_id != location->location_id))
			continue;
		if (best == NULL || is_better(filling, line, counter, best, wanted, quotas))
			best = counter;
	}
	return best;
}

/* Finds free units for a promise that its own location cannot keep, or for units without one; returns how many. */
static int64
fill_elsewhere(Filling *filling, const Waiting *line, const Promise *from, int64 wanted, const QuotaList *quotas)
{
	int64		found = 0;

	while (wanted > 0)
	{
		Counter    *best = best_counter(filling, line, wanted, quotas);
		Counter    *old = from ? counter_at(filling, from->item_id, from->location_id) : NULL;
		int64		quantity;

		if (best == NULL || (from && old == NULL))
			break;
		quantity = Min(wanted, free_for(best, line, quotas));
		add_fill(filling, line, from, best, quantity);
		best->free -= quantity;
		best->taken += (int32) quantity;
		if (old)
		{
			old->free += quantity;
			old->taken -= (int32) quantity;
			old->used = true;
		}
		wanted -= quantity;
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

/* Whether units become firm where they were promised: they were never for sale. */
static bool
is_in_place(const Fill *fill)
{
	return fill->from != NULL && fill->from->location_id == fill->location_id;
}

/*
 * Free units that the channel may take of the line's item beside those that the
 * plan has taken.  Its cap counts backordered units already, its shares do not.
 */
static int64
budget_of(const Filling *filling, const Waiting *line, QuotaList **quotas)
{
	StockView  *view;
	QuotaTree  *tree;
	QuotaLimit	limit;
	int64		budget;

	*quotas = NULL;
	if (!oms_quotas_exist())
		return PG_INT64_MAX;
	view = oms_quotas_view(line->channel, 0, &line->item_id, 1, quotas);
	tree = oms_quota_tree_of((*quotas)->trees, line->item_id);
	for (int i = 0; tree && i < filling->fill_count; i++)
	{
		const Fill *fill = &filling->fills[i];

		if (fill->line->item_id == line->item_id)
			oms_quota_tree_count(tree, fill->line->channel->channel_id, fill->quantity, !is_in_place(fill));
	}
	if (!oms_quotas_limit(*quotas, view, line->item_id, &limit))
		return PG_INT64_MAX;
	budget = limit.free - limit.network_safety - limit.guaranteed;
	for (int i = 0; i < filling->fill_count; i++)
	{
		const Fill *fill = &filling->fills[i];

		if (fill->line->channel == line->channel && fill->line->item_id == line->item_id &&
			!is_in_place(fill))
			budget -= fill->quantity;
	}
	return Max(0, Min(budget, limit.drawn));
}

static void
fill_line(Filling *filling, const Waiting *line)
{
	int			first = first_promise(filling, line->order_id);
	int64		without_promise = line->backordered;
	int64		budget;
	QuotaList  *quotas;

	for (int i = first; i < filling->promise_count && filling->promises[i].order_id == line->order_id; i++)
	{
		Promise    *promise = &filling->promises[i];
		Counter    *counter = counter_at(filling, promise->item_id, promise->location_id);
		int64		covered = counter ? Max(0, Min(promise->open, counter->cover)) : 0;

		if (promise->line_no != line->line_no || !promise->backordered)
			continue;
		without_promise -= promise->open;
		if (covered > 0)
			add_fill(filling, line, promise, counter, covered);
		promise->open -= (int32) covered;
	}
	if (is_refused(filling, line))
		return;
	budget = budget_of(filling, line, &quotas);
	for (int i = first; i < filling->promise_count && filling->promises[i].order_id == line->order_id; i++)
	{
		const Promise *promise = &filling->promises[i];

		if (promise->line_no == line->line_no && promise->backordered && promise->open > 0)
			budget -= fill_elsewhere(filling, line, promise, Min(budget, promise->open), quotas);
	}
	(void) fill_elsewhere(filling, line, NULL, Min(budget, without_promise), quotas);
}

static int
compare_fills(const void *left, const void *right)
{
	const Fill *a = left;
	const Fill *b = right;

	if (a->line->turn != b->line->turn)
		return a->line->turn < b->line->turn ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return a->number < b->number ? -1 : a->number > b->number;
}

static void
plan(Filling *filling)
{
	int32	   *open = palloc(sizeof(int32) * Max(1, filling->promise_count));

	for (int i = 0; i < filling->promise_count; i++)
		open[i] = filling->promises[i].open;
	weigh_counters(filling);
	filling->fill_count = 0;
	filling->fills = NULL;
	filling->capacity = 0;
	for (int i = 0; i < filling->line_count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		fill_line(filling, &filling->lines[i]);
	}
	if (filling->fill_count > 0)
		qsort(filling->fills, filling->fill_count, sizeof(Fill), compare_fills);
	for (int i = 0; i < filling->promise_count; i++)
		filling->promises[i].open = open[i];
}

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

static void
look_at_counters(Filling *filling)
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
static void
lock_counters(Filling *filling)
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

/* ---- Writing ---- */

/* Every locked counter is written, also where only the kind of a promise changes: later decisions rest on that. */
static void
write_counters(Filling *filling)
{
	StockRow   *rows = palloc(sizeof(StockRow) * Max(1, filling->counter_count));

	for (int i = 0; i < filling->counter_count; i++)
	{
		rows[i] = filling->counters[i].row;
		rows[i].reserved_delta = filling->counters[i].taken;
	}
	oms_stock_apply(rows, filling->counter_count);
}

static void
read_destination(TupleTableSlot *slot, void *state)
{
	DateRequest *request = state;
	bool		isnull;
	Datum		value;

	request->service = oms_slot_text(slot, 1);
	request->destination.country = oms_slot_text(slot, 2);
	request->destination.postal_code = oms_slot_text(slot, 3);
	value = oms_slot_datum(slot, 4, &isnull);
	request->destination.latitude = isnull ? NAN : DatumGetFloat8(value);
	value = oms_slot_datum(slot, 5, &isnull);
	request->destination.longitude = isnull ? NAN : DatumGetFloat8(value);
}

/* Dates a fulfillment and takes of the capacity of its day. */
static void
date_fulfillment(Fulfillment *row, bool pickup, int64 grams, int64 units)
{
	DateRequest request = {.ordered_at = oms_call->now,.pickup = pickup,.units = units,
	.destination = {.latitude = NAN,.longitude = NAN}};
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(row->order_id), Int32GetDatum(row->delivery_no)};

	if (!oms_dates_configured())
		return;
	(void) oms_execute_each(&delivery_plan, values, NULL, read_destination, &request);
	for (int attempt_no = 0; attempt_no < DAY_ATTEMPTS_MAX; attempt_no++)
	{
		CapacityRow day;

		request.capacity = oms_capacity_view(&row->location_id, 1, oms_call->now);
		oms_fulfillment_date(&request, grams, NULL, row);
		day = (CapacityRow) {row->location_id, row->dates.ship_day, row->capacity_taken};
		if (oms_capacity_take(&day, row->capacity_taken > 0))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OMS_CONCURRENT),
			 errmsg("the days of location \"%s\" keep filling up", oms_location_by_id(row->location_id)->code),
			 errhint("Repeat the transaction.")));
}

/* One new fulfillment for what an order gets from one location in one delivery. */
static void
make_fulfillments(Fill *fills, int count)
{
	Fulfillment *rows = palloc0(sizeof(Fulfillment) * count);
	int64	   *grams = palloc0(sizeof(int64) * count);
	int64	   *units = palloc0(sizeof(int64) * count);
	bool	   *pickup = palloc0(sizeof(bool) * count);
	int			row_count = 0;

	for (int i = 0; i < count; i++)
	{
		int			found = 0;

		while (found < row_count && (rows[found].location_id != fills[i].location_id ||
									 rows[found].delivery_no != fills[i].line->delivery_no))
			found++;
		if (found == row_count)
		{
			rows[row_count].fulfillment_id = oms_next_id(SEQUENCE_FULFILLMENT);
			rows[row_count].order_id = fills[i].line->order_id;
			rows[row_count].location_id = fills[i].location_id;
			rows[row_count++].delivery_no = fills[i].line->delivery_no;
		}
		fills[i].fulfillment_id = rows[found].fulfillment_id;
		pickup[found] = fills[i].line->pickup;
		units[found] += fills[i].quantity;
		grams[found] += (int64) fills[i].line->weight_grams * fills[i].quantity;
	}
	for (int i = 0; i < row_count; i++)
		date_fulfillment(&rows[i], pickup[i], grams[i], units[i]);
	oms_fulfillments_insert(rows, row_count);
}

static void
move_promises(int64 order_id, const Fill *fills, int count)
{
	AllocationList *list = oms_allocations_of_order(order_id);
	Allocation *new_rows = palloc0(sizeof(Allocation) * count);
	StockRow   *ledger = palloc0(sizeof(StockRow) * count);
	int			new_count = 0;
	int			ledger_count = 0;

	for (int i = 0; i < count; i++)
	{
		const Fill *fill = &fills[i];
		int			found = 0;

		while (found < new_count && (new_rows[found].fulfillment_id != fill->fulfillment_id ||
									 new_rows[found].line_no != fill->line->line_no))
			found++;
		new_rows[found].promised += fill->quantity;
		new_rows[found].order_id = order_id;
		new_rows[found].fulfillment_id = fill->fulfillment_id;
		new_rows[found].item_id = fill->line->item_id;
		new_rows[found].location_id = fill->location_id;
		new_rows[found].line_no = fill->line->line_no;
		new_count = Max(new_count, found + 1);
		if (fill->from == NULL)
			continue;
		for (int j = 0; j < list->count; j++)
			if (list->rows[j].fulfillment_id == fill->from->fulfillment_id && list->rows[j].line_no == fill->line->line_no)
				list->rows[j].delta.cancelled += fill->quantity;
		ledger[ledger_count++] = (StockRow)
		{
			.item_id = fill->line->item_id,.location_id = fill->from->location_id,.order_id = order_id,
				.reserved_delta = -fill->quantity
		};
	}
	oms_allocations_write(list);
	oms_allocations_insert(new_rows, new_count);
	if (ledger_count > 0)
		oms_stock_record(ledger, ledger_count, "promise_moved", "backorder filled", NULL);
}

static Jsonb *
fills_document(const Fill *fills, int count)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_begin_array(&writer, "lines");
	for (int i = 0; i < count; i++)
	{
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "line_no", fills[i].line->line_no);
		oms_write_int64(&writer, "quantity", fills[i].quantity);
		oms_write_text(&writer, "location", oms_location_by_id(fills[i].location_id)->code);
		oms_write_int64(&writer, "fulfillment_id", fills[i].fulfillment_id);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	return oms_write_finish(&writer);
}

static void
write_order(Fill *fills, int count)
{
	int64		order_id = fills[0].line->order_id;
	OrderLines *lines = oms_order_lines(order_id);

	make_fulfillments(fills, count);
	move_promises(order_id, fills, count);
	for (int i = 0; i < count; i++)
	{
		OrderLine  *line = oms_order_line(lines, fills[i].line->line_no);

		line->delta.allocated += fills[i].quantity;
		line->delta.backordered -= fills[i].quantity;
	}
	oms_order_lines_write(order_id, lines);
	oms_event(&(Event) {.order_id = order_id,.object_id = order_id,.object_type = "order",
						.type = "order.backorder_filled",.data = fills_document(fills, count)});
	oms_fulfillments_close_empty(order_id, "backorder filled");
	oms_order_refresh(order_id);
}

/* Whether each channel that took free units still leaves what it must; notes the first that does not. */
static bool
quotas_hold(Filling *filling)
{
	for (int i = 0; oms_quotas_exist() && i < filling->fill_count; i++)
	{
		const Fill *fill = &filling->fills[i];

		if (is_in_place(fill))
			continue;
		if (!oms_quotas_hold(fill->line->channel, &fill->line->item_id, 1))
		{
			filling->refused = lappend(filling->refused, unconstify(Waiting *, fill->line));
			return false;
		}
	}
	return true;
}

/* What channels may take is planned with: it must not change until it is taken. */
static void
lock_quotas(const Filling *filling)
{
	int64	   *items = palloc(sizeof(int64) * Max(1, filling->line_count));

	for (int i = 0; i < filling->line_count; i++)
		items[i] = filling->lines[i].item_id;
	(void) oms_quotas_lock(items, filling->line_count);
}

/* Locks, plans again and writes; false where a quota forbids a part of it. */
static bool
fill(Filling *filling)
{
	lock_counters(filling);
	lock_quotas(filling);
	plan(filling);
	write_counters(filling);
	if (!quotas_hold(filling))
		return false;
	for (int i = 0; i < filling->fill_count;)
	{
		int			first = i;

		while (i < filling->fill_count && filling->fills[i].line->order_id == filling->fills[first].line->order_id)
			i++;
		write_order(&filling->fills[first], i - first);
	}
	return true;
}

static void
put_fills(FunctionCallInfo fcinfo, const Filling *filling)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < filling->fill_count; i++)
	{
		const Fill *fill = &filling->fills[i];
		Location   *from = fill->from ? oms_location_by_id(fill->from->location_id) : NULL;
		Datum		values[6] = {Int64GetDatum(fill->line->order_id), Int32GetDatum(fill->line->line_no),
			CStringGetTextDatum(fill->line->sku), Int32GetDatum(fill->quantity),
			from ? CStringGetTextDatum(from->code) : (Datum) 0,
		CStringGetTextDatum(oms_location_by_id(fill->location_id)->code)};
		bool		nulls[6] = {[4] = from == NULL};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * oms.fill_backorders(dry_run, max_orders) -> setof (order_id, line_no, sku, quantity, from_location, location)
 *
 * A dry run does it all and takes it back.
 */
OMS_FUNCTION(oms_fill_backorders, CALL_WRITE)
{
	Filling		filling = {.max_orders = PG_ARGISNULL(1) ? ORDERS_DEFAULT : PG_GETARG_INT32(1)};
	bool		dry_run = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	OmsAttempt	whole;

	if (filling.max_orders < 1 || filling.max_orders > ORDERS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("max_orders must be 1 to %d", ORDERS_MAX),
				 errdetail("max_orders: is %d", filling.max_orders),
				 errhint("Leave it out for %d, and call again for more.", ORDERS_DEFAULT)));
	oms_attempt_begin(&whole);
	read_orders(&filling);
	for (int attempt_no = 0; filling.line_count > 0 && attempt_no < FILL_ATTEMPTS_MAX; attempt_no++)
	{
		OmsAttempt	attempt;

		CHECK_FOR_INTERRUPTS();
		look_at_counters(&filling);
		plan(&filling);
		if (filling.fill_count == 0)
			break;
		oms_attempt_begin(&attempt);
		if (fill(&filling))
		{
			oms_attempt_keep(&attempt);
			break;
		}
		oms_attempt_undo(&attempt);
		filling.fill_count = 0;
	}
	if (dry_run)
		oms_attempt_undo(&whole);
	else
		oms_attempt_keep(&whole);
	put_fills(fcinfo, &filling);
	*isnull = true;
	return (Datum) 0;
}
