/*
 * backorder.c
 *	  Units for backordered lines.
 *
 * A backordered unit either is promised beyond what is on hand at a location,
 * or has no promise because a count withdrew it.  Filling turns it into a firm
 * promise: where it is promised, as soon as that location has it, else wherever
 * there is one.  Orders are served in the declared order (backorder_rules.c); one
 * that was overtaken often enough goes before all others.
 *
 * The orders are locked first, those that somebody works on are left for the
 * next run.  Then the plan says which counters take part, these are locked, and
 * the plan is made again from what stands there: it can only have become
 * smaller, and nothing is decided on an earlier reading.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "backorder.h"
#include "call.h"
#include "location.h"
#include "machine.h"
#include "relation.h"

#define ORDERS_DEFAULT	1000
#define ORDERS_MAX		10000
#define FILL_ATTEMPTS_MAX 10

/* What lines l of orders r with deliveries d are served by, the least first; $3 names it. */
#define FILL_KEY \
	"CASE $3 WHEN 'priority' THEN -r.priority::numeric" \
	" WHEN 'date' THEN extract(epoch FROM coalesce((SELECT min(f.supplied_at) FROM {allocations} x CROSS JOIN LATERAL" \
	" (SELECT y.supplied_at, y.backordered FROM {fulfillments} y WHERE y.fulfillment_id = x.fulfillment_id AND y.tenant_id = $1" \
	" OFFSET 0) f WHERE x.order_id = l.order_id AND x.line_no = l.line_no AND x.tenant_id = $1 AND f.backordered" \
	" AND x.promised > x.shipped + x.cancelled), d.promised_at, d.requested_at))" \
	" WHEN 'margin' THEN -(l.unit_price + coalesce((SELECT sum(j.amount) FROM {order_adjustments} j WHERE j.order_id = l.order_id" \
	" AND j.line_no = l.line_no AND j.type = 'discount' AND j.tenant_id = $1), 0) / l.ordered) END"

/* Orders that were overtaken as often as they may be ($4) go first, by when they came. */
#define GOES_FIRST "coalesce(r.overtaken, 0) >= $4"

/* Orders that wait for an item of which some location has units that are not firm yet. */
static OmsPlan candidates_plan = {
	.sql = "WITH waiting AS (SELECT order_id, line_no, item_id, delivery_no, ordered, unit_price FROM {order_lines}"
	" WHERE tenant_id = $1 AND backordered > 0 AND lot IS NULL),"
	" owed AS (SELECT a.item_id, a.location_id, sum(a.promised - a.shipped - a.cancelled) AS units FROM waiting w"
	" CROSS JOIN LATERAL (SELECT x.item_id, x.location_id, x.promised, x.shipped, x.cancelled FROM {allocations} x"
	" CROSS JOIN LATERAL (SELECT y.backordered FROM {fulfillments} y WHERE y.fulfillment_id = x.fulfillment_id"
	" AND y.tenant_id = $1 OFFSET 0) f WHERE x.order_id = w.order_id AND x.line_no = w.line_no AND x.tenant_id = $1"
	" AND f.backordered AND x.promised > x.shipped + x.cancelled OFFSET 0) a GROUP BY a.item_id, a.location_id),"
	" fillable AS (SELECT DISTINCT s.item_id FROM {stock} s LEFT JOIN owed o USING (item_id, location_id)"
	" WHERE s.tenant_id = $1 AND s.item_id IN (SELECT item_id FROM waiting)"
	" AND s.on_hand - s.safety - s.reserved + coalesce(o.units, 0) > 0)"
	" SELECT l.order_id FROM waiting l JOIN fillable f USING (item_id)"
	" JOIN {orders} r ON r.order_id = l.order_id AND r.tenant_id = $1"
	" LEFT JOIN {order_deliveries} d ON d.order_id = l.order_id AND d.delivery_no = l.delivery_no AND d.tenant_id = $1"
	" GROUP BY l.order_id, r.placed_at, r.overtaken ORDER BY " GOES_FIRST " DESC,"
	" CASE WHEN NOT " GOES_FIRST " THEN min(" FILL_KEY ") END NULLS LAST, r.placed_at, l.order_id LIMIT $2",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT4OID, TEXTOID, INT4OID)
};

/* Orders beside those listed ($2) that wait for the same items and came before the last of them. */
static OmsPlan earlier_plan = {
	.sql = "WITH listed AS (SELECT r.order_id, r.placed_at FROM {orders} r WHERE r.order_id = ANY ($2) AND r.tenant_id = $1)"
	" SELECT DISTINCT l.order_id FROM {order_lines} l JOIN {orders} r ON r.order_id = l.order_id AND r.tenant_id = $1"
	" WHERE l.tenant_id = $1 AND l.backordered > 0 AND l.lot IS NULL AND l.item_id IN (SELECT x.item_id FROM {order_lines} x"
	" JOIN listed USING (order_id) WHERE x.tenant_id = $1 AND x.backordered > 0)"
	" AND r.placed_at <= (SELECT max(placed_at) FROM listed) AND NOT EXISTS (SELECT FROM listed o WHERE o.order_id = l.order_id)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan lock_orders_plan = {
	.sql = "SELECT order_id FROM {orders} WHERE tenant_id = $1 AND order_id = ANY ($2)"
	" ORDER BY order_id FOR NO KEY UPDATE SKIP LOCKED",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan lines_plan = {
	.sql = "SELECT l.order_id, l.line_no, l.item_id, l.delivery_no, coalesce(l.location_id, 0), l.backordered,"
	" r.channel_id, r.status, i.sku, coalesce(d.pickup_location_id, 0), i.weight_grams,"
	" dense_rank() OVER (ORDER BY r.placed_at, r.order_id)"
	" FROM {orders} r JOIN {order_lines} l ON l.order_id = r.order_id AND l.tenant_id = $1 AND l.backordered > 0 AND l.lot IS NULL"
	" JOIN {items} i ON i.item_id = l.item_id AND i.tenant_id = $1"
	" LEFT JOIN {order_deliveries} d ON d.order_id = l.order_id AND d.delivery_no = l.delivery_no AND d.tenant_id = $1"
	" WHERE r.tenant_id = $1 AND r.order_id = ANY ($2) ORDER BY " GOES_FIRST " DESC,"
	" CASE WHEN NOT " GOES_FIRST " THEN " FILL_KEY " END NULLS LAST, r.placed_at, r.order_id, l.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTOID, INT4OID)
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

/* ---- Reading ---- */

static void
collect_order(TupleTableSlot *slot, void *state)
{
	Filling    *filling = state;

	filling->orders = oms_backorder_grow(filling->orders, filling->order_count, &filling->order_capacity, sizeof(int64));
	filling->orders[filling->order_count++] = oms_slot_int64(slot, 1);
}

static bool
is_among(int64 order_id, const int64 *orders, int count)
{
	return count > 0 && bsearch(&order_id, orders, count, sizeof(int64), oms_compare_int64) != NULL;
}

static void
collect_line(TupleTableSlot *slot, void *state)
{
	Filling    *filling = state;
	Waiting		line = {.order_id = oms_slot_int64(slot, 1),.line_no = oms_slot_int32(slot, 2),
		.item_id = oms_slot_int64(slot, 3),.delivery_no = oms_slot_int32(slot, 4),.location_id = oms_slot_int64(slot, 5),
		.backordered = oms_slot_int32(slot, 6),.channel_id = oms_slot_int64(slot, 7),.status = oms_slot_text(slot, 8),
		.sku = oms_slot_text(slot, 9),.pickup = oms_slot_int64(slot, 10) != 0,.weight_grams = oms_slot_int32(slot, 11),
		.rank = oms_slot_int64(slot, 12)
	};

	if (line.pickup)
		line.location_id = oms_slot_int64(slot, 10);
	line.locked = is_among(line.order_id, filling->orders, filling->order_count);
	line.watched = !is_among(line.order_id, filling->listed, filling->listed_count);
	filling->lines = oms_backorder_grow(filling->lines, filling->line_count, &filling->capacity, sizeof(Waiting));
	filling->lines[filling->line_count++] = line;
}

static void
collect_promise(TupleTableSlot *slot, void *state)
{
	Filling    *filling = state;

	filling->promises = oms_backorder_grow(filling->promises, filling->promise_count, &filling->capacity, sizeof(Promise));
	filling->promises[filling->promise_count++] = (Promise)
	{
		.order_id = oms_slot_int64(slot, 1),.fulfillment_id = oms_slot_int64(slot, 2),.item_id = oms_slot_int64(slot, 3),
			.location_id = oms_slot_int64(slot, 4),.line_no = oms_slot_int32(slot, 5),.open = oms_slot_int32(slot, 6),
			.backordered = oms_slot_bool(slot, 7)
	};
}

/*
 * Leaves out lines of orders that have ended or that the caller may not see, and
 * puts those first whose orders are not ours.
 */
static void
sort_out(Filling *filling)
{
	Waiting    *kept = palloc_extended(sizeof(Waiting) * Max(1, filling->line_count), MCXT_ALLOC_HUGE);
	int			count = 0;

	for (int ours = 0; ours <= 1; ours++)
		for (int i = 0; i < filling->line_count; i++)
		{
			Waiting    *line = &filling->lines[i];

			line->channel = oms_channel_by_id(line->channel_id);
			if (line->locked == (ours == 1) && line->channel && !oms_machine_final(MACHINE_ORDER, line->status))
				kept[count++] = *line;
		}
	filling->lines = kept;
	filling->line_count = count;
}

static void
list_items(Filling *filling)
{
	filling->items = palloc(sizeof(int64) * Max(1, filling->line_count));
	for (int i = 0; i < filling->line_count; i++)
		filling->items[i] = filling->lines[i].item_id;
	qsort(filling->items, filling->line_count, sizeof(int64), oms_compare_int64);
	for (int i = 0; i < filling->line_count; i++)
		if (i == 0 || filling->items[i] != filling->items[i - 1])
			filling->items[filling->item_count++] = filling->items[i];
}

/*
 * Lists the orders to be filled, the first that the limit lets in, and where it
 * leaves others out, those too that could be overtaken.
 */
static void
list_orders(Filling *filling, Datum *values)
{
	(void) oms_execute_each(&candidates_plan, values, NULL, collect_order, filling);
	filling->listed = palloc_extended(sizeof(int64) * Max(1, filling->order_count), MCXT_ALLOC_HUGE);
	filling->listed_count = filling->order_count;
	if (filling->order_count > 0)
		memcpy(filling->listed, filling->orders, sizeof(int64) * filling->order_count);
	qsort(filling->listed, filling->listed_count, sizeof(int64), oms_compare_int64);
	values[1] = oms_array_int64(filling->orders, filling->order_count);
	if (filling->order_count < filling->max_orders)
		return;
	(void) oms_execute_each(&earlier_plan, values, NULL, collect_order, filling);
	values[1] = oms_array_int64(filling->orders, filling->order_count);
}

/* Locks the orders that nobody works on, and reads what waits in all of them. */
static void
read_orders(Filling *filling)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int32GetDatum(filling->max_orders),
	CStringGetTextDatum(filling->rules.fill_order), Int32GetDatum(filling->rules.overtakes_max)};

	list_orders(filling, values);
	filling->order_count = 0;
	(void) oms_execute_each(&lock_orders_plan, values, NULL, collect_order, filling);
	(void) oms_execute_each(&lines_plan, values, NULL, collect_line, filling);
	filling->capacity = 0;
	(void) oms_execute_each(&promises_plan, values, NULL, collect_promise, filling);
	filling->capacity = 0;
	sort_out(filling);
	list_items(filling);
	oms_backorder_index(filling);
}

/* ---- Filling ---- */

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

/* Whether each channel that took free units still leaves what it must; notes the first that does not. */
static bool
quotas_hold(Filling *filling)
{
	for (int i = 0; oms_quotas_exist() && i < filling->fill_count; i++)
	{
		const Fill *fill = &filling->fills[i];

		if (oms_fill_is_in_place(fill))
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
	oms_backorder_lock(filling);
	lock_quotas(filling);
	oms_backorder_plan(filling);
	write_counters(filling);
	if (!quotas_hold(filling))
		return false;
	oms_backorder_write(filling);
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
 * oms.fill_backorders(dry_run, max_orders, order_by) -> setof (order_id, line_no, sku, quantity, from_location, location)
 *
 * A dry run does it all and takes it back.
 */
OMS_FUNCTION(oms_fill_backorders, CALL_WRITE)
{
	Filling		filling = {.rules = oms_backorder_rules(),.max_orders = PG_ARGISNULL(1) ? ORDERS_DEFAULT : PG_GETARG_INT32(1)};
	bool		dry_run = !PG_ARGISNULL(0) && PG_GETARG_BOOL(0);
	OmsAttempt	whole;

	if (filling.max_orders < 1 || filling.max_orders > ORDERS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("max_orders must be 1 to %d", ORDERS_MAX),
				 errdetail("max_orders: is %d", filling.max_orders),
				 errhint("Leave it out for %d, and call again for more.", ORDERS_DEFAULT)));
	if (!PG_ARGISNULL(2))
	{
		filling.rules.fill_order = oms_argument_text(fcinfo, 2);
		oms_backorder_check_order(filling.rules.fill_order);
	}
	oms_attempt_begin(&whole);
	read_orders(&filling);
	for (int attempt_no = 0; filling.line_count > 0 && attempt_no < FILL_ATTEMPTS_MAX; attempt_no++)
	{
		OmsAttempt	attempt;

		CHECK_FOR_INTERRUPTS();
		oms_backorder_look(&filling);
		oms_backorder_plan(&filling);
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
