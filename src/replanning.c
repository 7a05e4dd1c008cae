/*
 * replanning.c
 *	  Promises that a count or a lost supply withdrew, made anew in the same call.
 *
 * What is withdrawn is known once the counters of the count are locked, and the
 * counters of its new places only then.  So the plan is made, its counters are
 * noted, the locks are given back, and the next attempt takes all of them in
 * order.  The new promises are written when the count is: what is gone by then,
 * for example a day, leaves its order waiting as if nothing had been planned.
 */
#include "oms.h"

#include "miscadmin.h"

#include "call.h"
#include "capacity.h"
#include "event.h"
#include "fulfillment.h"
#include "hold.h"
#include "machine.h"
#include "quota.h"
#include "relation.h"
#include "replanning.h"

/* ---- Planning ---- */

static Cut
cut_of(const Allocation *row)
{
	return (Cut)
	{
		.order_id = row->order_id,.fulfillment_id = row->fulfillment_id,.item_id = row->item_id,
			.location_id = row->location_id,.line_no = row->line_no,.quantity = row->delta.cancelled,
			.promised_at = DT_NOEND,.ship_by = DT_NOEND,
			.day = {row->location_id, row->ship_day, row->capacity_taken}
	};
}

/* Groups what was withdrawn, which is sorted by order, and says whose turn it is when: by priority, then age. */
static void
group_orders(Replanning *replanning, const AllocationList *withdrawn)
{
	Cut		   *cuts = palloc(sizeof(Cut) * Max(1, withdrawn->count));
	int32	   *priorities = palloc(sizeof(int32) * Max(1, withdrawn->count));

	replanning->orders = palloc0(sizeof(Repromise) * Max(1, withdrawn->count));
	replanning->turns = palloc(sizeof(int) * Max(1, withdrawn->count));
	replanning->count = 0;
	for (int i = 0; i < withdrawn->count; i++)
	{
		Repromise  *last = &replanning->orders[Max(0, replanning->count - 1)];

		cuts[i] = cut_of(&withdrawn->rows[i]);
		if (replanning->count == 0 || last->order_id != cuts[i].order_id)
		{
			priorities[replanning->count] = withdrawn->rows[i].priority;
			last = &replanning->orders[replanning->count++];
			*last = (Repromise) {.order_id = cuts[i].order_id,.cuts = &cuts[i]};
		}
		last->cut_count++;
	}

	/* The newest order stands first. */
	for (int i = 0; i < replanning->count; i++)
	{
		int			order = replanning->count - 1 - i;
		int			place = i;

		for (; place > 0 && priorities[replanning->turns[place - 1]] < priorities[order]; place--)
			replanning->turns[place] = replanning->turns[place - 1];
		replanning->turns[place] = order;
	}
}

/* What the count makes of the counters of withdrawn items, which is not written yet. */
static StockRow *
changes_of_count(const StockRow *rows, int count, const AllocationList *withdrawn, int *change_count)
{
	int64	   *items = palloc(sizeof(int64) * Max(1, withdrawn->count));
	StockRow   *changes = palloc_extended(sizeof(StockRow) * Max(1, count), MCXT_ALLOC_HUGE);

	*change_count = 0;
	for (int i = 0; i < withdrawn->count; i++)
		items[i] = withdrawn->rows[i].item_id;
	qsort(items, withdrawn->count, sizeof(int64), oms_compare_int64);
	for (int i = 0; i < count; i++)
		if (bsearch(&rows[i].item_id, items, withdrawn->count, sizeof(int64), oms_compare_int64))
			changes[(*change_count)++] = (StockRow)
		{
			.item_id = rows[i].item_id,.location_id = rows[i].location_id,
				.reserved_delta = rows[i].reserved_delta - rows[i].held,.on_hand_delta = rows[i].on_hand_delta,
				.backorder_limit_delta = rows[i].backorder_limit_delta
		};
	return changes;
}

/* Notes the counters of a plan that are not locked; false where there are any. */
static bool
note_places(Replanning *replanning, const StockRow *rows, int count, const StockRow *wanted, int wanted_count)
{
	StockRow   *places = palloc0(sizeof(StockRow) * (replanning->place_count + wanted_count + 1));
	int			place_count = replanning->place_count;

	if (place_count > 0)
		memcpy(places, replanning->places, sizeof(StockRow) * place_count);
	for (int i = 0; i < wanted_count; i++)
		if (oms_stock_find(rows, count, wanted[i].item_id, wanted[i].location_id) == NULL &&
			oms_stock_find(replanning->places, replanning->place_count, wanted[i].item_id, wanted[i].location_id) == NULL)
			places[place_count++] = (StockRow) {.item_id = wanted[i].item_id,.location_id = wanted[i].location_id};
	if (place_count == replanning->place_count)
		return true;
	replanning->places = places;
	replanning->place_count = oms_stock_merge(places, place_count);
	return false;
}

/*
 * Plans what was withdrawn, with the counters of the count (rows) and the places
 * locked and nothing written.  False where the plan takes of a counter that is
 * not locked: then it is among the places.
 */
bool
oms_replanning_plan(Replanning *replanning, const StockRow *rows, int count, const AllocationList *withdrawn)
{
	int			beside_count;
	StockRow   *beside = changes_of_count(rows, count, withdrawn, &beside_count);
	StockRow   *wanted = palloc(sizeof(StockRow));
	int			wanted_count = 0;

	group_orders(replanning, withdrawn);
	for (int i = 0; i < replanning->count; i++)
	{
		Repromise  *order = &replanning->orders[replanning->turns[i]];
		StockRow   *taken = NULL;
		int			taken_count;

		CHECK_FOR_INTERRUPTS();
		if (oms_hold_blocks(order->order_id, "order.route"))
			order->stays = true;
		oms_repromise_plan(order, beside, beside_count);
		taken_count = oms_repromise_counters(order, &taken);
		if (taken_count == 0)
			continue;
		beside = repalloc_huge(beside, sizeof(StockRow) * (beside_count + taken_count));
		memcpy(beside + beside_count, taken, sizeof(StockRow) * taken_count);
		beside_count += taken_count;
		wanted = repalloc_huge(wanted, sizeof(StockRow) * (wanted_count + taken_count));
		memcpy(wanted + wanted_count, taken, sizeof(StockRow) * taken_count);
		wanted_count += taken_count;
	}
	wanted_count = oms_stock_merge(wanted, wanted_count);
	return note_places(replanning, rows, count, wanted, wanted_count);
}

/* Leaves everything waiting: the places keep changing. */
void
oms_replanning_drop(Replanning *replanning)
{
	replanning->active = false;
	replanning->place_count = replanning->count = 0;
}

/* ---- Writing ---- */

/* The counters are locked; what is decided about their items comes next, then days. */
static void
lock_quotas_and_days(const Replanning *replanning)
{
	int64	   *items = palloc(sizeof(int64));
	CapacityRow *days = palloc(sizeof(CapacityRow));
	int			item_count = 0;
	int			day_count = 0;

	for (int i = 0; i < replanning->count; i++)
	{
		const Repromise *order = &replanning->orders[i];
		CapacityRow *more;
		int			more_count = oms_repromise_days(order, &more);

		items = repalloc(items, sizeof(int64) * (item_count + order->cut_count + 1));
		for (int j = 0; j < order->cut_count; j++)
			items[item_count++] = order->cuts[j].item_id;
		days = repalloc(days, sizeof(CapacityRow) * (day_count + more_count + 1));
		memcpy(days + day_count, more, sizeof(CapacityRow) * more_count);
		day_count += more_count;
	}
	for (int i = 0; i < day_count; i++)
		days[i].amount = 0;
	(void) oms_quotas_lock(items, item_count);
	(void) oms_capacity_take(days, day_count);
}

static void
tell_order(const Replanning *replanning, const Repromise *order)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_repromise_describe(&writer, order);
	oms_event(&(Event) {.order_id = order->order_id,.object_id = order->order_id,.object_type = MACHINE_ORDER,
						.type = "order.repromised",.reason = replanning->reason,.data = oms_write_finish(&writer)});
}

/* Makes the planned promises, once the count is written, and derives the statuses of its orders. */
void
oms_replanning_write(Replanning *replanning)
{
	if (replanning->count > 0)
		lock_quotas_and_days(replanning);
	for (int i = 0; i < replanning->count; i++)
	{
		Repromise  *order = &replanning->orders[replanning->turns[i]];
		OmsAttempt	attempt;

		CHECK_FOR_INTERRUPTS();
		if (order->placement == NULL)
			continue;
		oms_attempt_begin(&attempt);
		oms_fulfillments_close_empty(order->order_id, replanning->reason);
		oms_repromise_take_back(order);
		if (oms_repromise_write(order))
		{
			oms_attempt_keep(&attempt);
			tell_order(replanning, order);
			continue;
		}
		oms_attempt_undo(&attempt);
		oms_repromise_drop(order);
	}
}

void
oms_replanning_describe(DocWriter *writer, const Replanning *replanning)
{
	oms_write_begin_array(writer, "replanned");
	for (int i = 0; i < replanning->count; i++)
	{
		const Repromise *order = &replanning->orders[replanning->turns[i]];

		oms_write_begin_object(writer, NULL);
		oms_write_int64(writer, "order_id", order->order_id);
		oms_repromise_describe(writer, order);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}
