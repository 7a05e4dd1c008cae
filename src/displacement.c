/*
 * displacement.c
 *	  Units of orders of a lower priority for an order that would be short.
 *
 * Nothing is locked while it is planned.  The order is planned as if units of
 * promises that may be taken were free, first as few as it lacks and more only
 * where these do not suffice; then those that the plan does not need go back.
 * What is taken is planned anew beside it (repromise.c).  So a preview answers as
 * placing does, and all that placing has to lock is known before it begins:
 * the orders that give way, holds, counters, quotas and days, in this order.
 *
 * Who gives way first: orders that keep their dates elsewhere, then the lowest
 * priority, then the latest date, then the newest order.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/date.h"

#include "call.h"
#include "event.h"
#include "location.h"
#include "lot.h"
#include "machine.h"
#include "order_placement.h"
#include "relation.h"
#include "repromise.h"

/* Orders that give way to one order. */
#define ORDERS_MAX 100

/* Searches begun anew because an order cannot keep its date, and steps of one search. */
#define SEARCHES_MAX 20
#define STEPS_MAX 20

/*
 * Promises on hand of orders with a lower priority ($3) that nothing protects:
 * released, to leave soon, of a kit or a lot that was asked for, on a held line or fulfillment, or in an
 * order whose hold blocks order.displace.
 */
static OmsPlan takeable_plan = {
	.sql = "SELECT a.order_id, a.fulfillment_id, a.item_id, a.location_id, a.line_no, a.promised - a.shipped - a.cancelled,"
	" coalesce(f.promised_at, 'infinity'), f.ship_day, coalesce(f.capacity_taken, 0), o.priority, o.channel_id,"
	" EXISTS (SELECT FROM {order_lines} l LEFT JOIN {order_deliveries} d ON d.order_id = l.order_id AND d.delivery_no = l.delivery_no"
	" AND d.tenant_id = $1 WHERE l.order_id = a.order_id AND l.line_no = a.line_no AND l.tenant_id = $1"
	" AND coalesce(l.location_id, d.pickup_location_id) IS NOT NULL), o.status, coalesce(f.ship_by, 'infinity')"
	" FROM {allocations} a CROSS JOIN LATERAL (SELECT x.priority, x.channel_id, x.holds, x.status FROM {orders} x"
	" WHERE x.order_id = a.order_id AND x.tenant_id = $1 AND x.priority < $3 OFFSET 0) o"
	" CROSS JOIN LATERAL (SELECT x.promised_at, x.ship_by, x.ship_day, x.capacity_taken FROM {fulfillments} x"
	" WHERE x.fulfillment_id = a.fulfillment_id AND x.tenant_id = $1 AND NOT x.backordered AND x.status = 'planned' OFFSET 0) f"
	" CROSS JOIN LATERAL (SELECT x.displacement_lock_hours FROM {channels} x WHERE x.channel_id = o.channel_id"
	" AND x.tenant_id = $1 OFFSET 0) c"
	" WHERE a.item_id = ANY ($2) AND a.tenant_id = $1 AND a.location_id IS NOT NULL AND a.lot IS NULL AND a.promised > a.shipped + a.cancelled"
	" AND (f.ship_by IS NULL OR f.ship_by > $4 + make_interval(hours => c.displacement_lock_hours))"
	" AND NOT EXISTS (SELECT FROM {order_kit_lines} k WHERE k.order_id = a.order_id AND k.line_no = a.line_no AND k.tenant_id = $1)"
	" AND NOT (coalesce(o.holds, 0) > 0 AND EXISTS (SELECT FROM {holds} h JOIN {hold_types} t ON t.code = h.hold_type"
	" AND t.tenant_id = $1 WHERE h.order_id = a.order_id AND h.tenant_id = $1 AND h.released_at IS NULL"
	" AND (h.release_at IS NULL OR h.release_at > $4) AND (h.line_no = a.line_no OR h.fulfillment_id = a.fulfillment_id"
	" OR ((t.stops_order OR coalesce(h.line_no, h.fulfillment_id) IS NULL) AND t.blocks && ARRAY['order.displace', 'order.*']))))",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT4OID, TIMESTAMPTZOID)
};

/* A promise that may be taken, and how much of it is. */
typedef struct Takeable
{
	Cut			cut;			/* quantity: all that is open */
	int64		channel_id;
	char	   *status;			/* of the order */
	int32		priority;
	bool		late;			/* its order does not keep its date elsewhere */
	int32		chosen;
} Takeable;

/* What the order needs of an item. */
typedef struct Need
{
	int64		item_id;
	int64		lacking;		/* by the last plan: not on hand */
	int64		wanted;			/* of others */
	int64		chosen;
} Need;

typedef struct Displacement
{
	int			count;
	Repromise  *orders;			/* by order_id */
	int32	   *turns;			/* indexes, in which order they are promised anew */
} Displacement;

typedef struct Search
{
	Placement  *placement;
	PlanLines	plan;
	bool		possible_before;
	int64		firm_before;	/* units on hand without the others' */
	Takeable   *rows;			/* in the order in which they give way */
	int			count;
	int			capacity;
	Need	   *needs;
	int			need_count;
	StockView  *view;			/* of what is free without the others' */
	StockRow   *beside;			/* what is given back */
	int			beside_count;
} Search;

/* ---- Reading ---- */

static void
collect_takeable(TupleTableSlot *slot, void *state)
{
	Search	   *search = state;
	bool		isnull;
	Takeable	row = {
		.cut = {
			.order_id = oms_slot_int64(slot, 1),.fulfillment_id = oms_slot_int64(slot, 2),.item_id = oms_slot_int64(slot, 3),
			.location_id = oms_slot_int64(slot, 4),.line_no = oms_slot_int32(slot, 5),.quantity = oms_slot_int32(slot, 6),
			.promised_at = DatumGetTimestampTz(oms_slot_datum(slot, 7, &isnull)),
			.ship_by = DatumGetTimestampTz(oms_slot_datum(slot, 14, &isnull))
		},
		.channel_id = oms_slot_int64(slot, 11),.status = oms_slot_text(slot, 13),.priority = oms_slot_int32(slot, 10),.late = oms_slot_bool(slot, 12)
	};

	if (oms_slot_int32(slot, 9) > 0)
		row.cut.day = (CapacityRow)
	{
		row.cut.location_id, DatumGetDateADT(oms_slot_datum(slot, 8, &isnull)), oms_slot_int32(slot, 9)
	};
	if (search->count == search->capacity)
	{
		search->capacity = Max(64, 2 * search->capacity);
		search->rows = oms_grown(search->rows, sizeof(Takeable) * search->capacity);
	}
	search->rows[search->count++] = row;
}

static void
read_takeables(Search *search, const int64 *item_ids, int count)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count),
	Int32GetDatum(search->placement->priority), TimestampTzGetDatum(oms_call->now)};
	int			kept = 0;

	(void) oms_execute_each(&takeable_plan, values, NULL, collect_takeable, search);
	/* Orders that the caller may not see are not there for it. */
	for (int i = 0; i < search->count; i++)
		if (oms_channel_by_id(search->rows[i].channel_id) && !oms_machine_final(MACHINE_ORDER, search->rows[i].status))
			search->rows[kept++] = search->rows[i];
	search->count = kept;
}

static int
compare_takeables(const void *left, const void *right)
{
	const Takeable *a = left;
	const Takeable *b = right;

	if (a->late != b->late)
		return a->late ? 1 : -1;
	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->cut.promised_at != b->cut.promised_at)
		return a->cut.promised_at > b->cut.promised_at ? -1 : 1;
	if (a->cut.ship_by != b->cut.ship_by)
		return a->cut.ship_by > b->cut.ship_by ? -1 : 1;
	if (a->cut.order_id != b->cut.order_id)
		return a->cut.order_id > b->cut.order_id ? -1 : 1;
	if (a->cut.line_no != b->cut.line_no)
		return a->cut.line_no > b->cut.line_no ? -1 : 1;
	return a->cut.fulfillment_id > b->cut.fulfillment_id ? -1 : a->cut.fulfillment_id < b->cut.fulfillment_id;
}

/* ---- What the order lacks ---- */

/* The deliveries of an order, or it itself, that the last plan got to. */
static int
planned_parts(Placement *placement, Placement ***parts)
{
	if (placement->group_count == 0)
	{
		*parts = palloc(sizeof(Placement *));
		**parts = placement;
		return 1;
	}
	*parts = placement->groups;
	for (int i = 0; i < placement->group_count; i++)
		if (placement->groups[i] == placement->failed)
			return i + 1;
	return placement->group_count;
}

static Need *
need_of(Search *search, int64 item_id)
{
	for (int i = 0; i < search->need_count; i++)
		if (search->needs[i].item_id == item_id)
			return &search->needs[i];
	search->needs[search->need_count] = (Need) {.item_id = item_id};
	return &search->needs[search->need_count++];
}

/* Reads of the last plan what of each item is not on hand; returns the units that are. */
static int64
read_lacking(Search *search)
{
	Placement **parts;
	int			part_count = planned_parts(search->placement, &parts);
	int64		firm = 0;

	for (int i = 0; i < search->need_count; i++)
		search->needs[i].lacking = 0;
	for (int i = 0; i < part_count; i++)
	{
		const Placement *part = parts[i];

		for (int j = 0; j < part->demand_count; j++)
			if (part->demands[j].lot == NULL)
				need_of(search, part->demands[j].item->item_id)->lacking += part->missing[j];
		for (int j = 0; j < part->part_count; j++)
			if (part->parts[j].backordered)
				need_of(search, part->demands[part->parts[j].line].item->item_id)->lacking += part->parts[j].quantity;
			else
				firm += part->parts[j].quantity;
	}
	return firm;
}

/* Plans with what is chosen given back; true where every unit has a place. */
static bool
plan_beside(Search *search)
{
	search->beside = palloc0(sizeof(StockRow) * Max(1, search->count));
	search->beside_count = 0;
	for (int i = 0; i < search->count; i++)
		if (search->rows[i].chosen > 0)
			search->beside[search->beside_count++] = (StockRow)
		{
			.item_id = search->rows[i].cut.item_id,.location_id = search->rows[i].cut.location_id,
				.reserved_delta = -search->rows[i].chosen
		};
	oms_placement_set_beside(search->placement, search->beside, search->beside_count);
	search->placement->failed = NULL;
	return search->plan(search->placement);
}

/* ---- Choosing ---- */

static int64
free_before(const Search *search, int64 item_id, int64 location_id)
{
	for (int i = 0; i < search->view->count; i++)
	{
		const StockRow *row = &search->view->rows[i];

		if (row->item_id == item_id && row->location_id == location_id)
			return (int64) row->on_hand - row->reserved - row->safety;
	}
	return -1;
}

/* A counter that owes or keeps back more than it has would give the order less than others lose. */
static bool
may_take(const Search *search, const Takeable *row)
{
	return !(row->late && search->placement->channel->displacement == DISPLACE_KEEP_DATE) &&
		oms_placement_may_use(search->placement, row->cut.item_id, row->cut.location_id) &&
		free_before(search, row->cut.item_id, row->cut.location_id) >= 0;
}

/* Chooses until each item has what is wanted of it; false where nothing was added. */
static bool
choose(Search *search)
{
	bool		added = false;

	for (int i = 0; i < search->count; i++)
	{
		Takeable   *row = &search->rows[i];
		Need	   *need = need_of(search, row->cut.item_id);
		int32		units = (int32) Min(row->cut.quantity - row->chosen, need->wanted - need->chosen);

		if (units <= 0 || !may_take(search, row))
			continue;
		row->chosen += units;
		need->chosen += units;
		added = true;
	}
	return added;
}

/* Takes more and more of what lacks until the plan is complete, or no more can be taken. */
static bool
gather(Search *search)
{
	bool		possible = search->possible_before;

	for (int step = 0; step < STEPS_MAX; step++)
	{
		bool		lacks = false;

		CHECK_FOR_INTERRUPTS();
		for (int i = 0; i < search->need_count; i++)
		{
			lacks |= search->needs[i].lacking > 0;
			search->needs[i].wanted = search->needs[i].chosen + search->needs[i].lacking;
		}
		if ((possible && !lacks) || !choose(search))
			break;
		possible = plan_beside(search);
		(void) read_lacking(search);
	}
	return possible;
}

/* Units that the plan takes from a counter, on hand. */
static int64
taken_at(Search *search, int64 item_id, int64 location_id)
{
	Placement **parts;
	int			part_count = planned_parts(search->placement, &parts);
	int64		units = 0;

	for (int i = 0; i < part_count; i++)
		for (int j = 0; j < parts[i]->part_count; j++)
		{
			const RoutePart *part = &parts[i]->parts[j];

			if (!part->backordered && parts[i]->demands[part->line].item->item_id == item_id &&
				parts[i]->candidates[part->location]->location_id == location_id)
				units += part->quantity;
		}
	return units;
}

/* Gives back what the plan does not need, the last choice first; true where that was anything. */
static bool
give_back(Search *search)
{
	bool		any = false;

	for (int i = search->count - 1; i >= 0; i--)
	{
		Takeable   *row = &search->rows[i];
		int64		chosen = 0;
		int64		needed;
		int32		excess;

		if (row->chosen == 0)
			continue;
		for (int j = 0; j < search->count; j++)
			if (search->rows[j].cut.item_id == row->cut.item_id && search->rows[j].cut.location_id == row->cut.location_id)
				chosen += search->rows[j].chosen;
		needed = taken_at(search, row->cut.item_id, row->cut.location_id);
		/* Quotas may leave units that are free to others: then all that is taken counts. */
		if (!oms_quotas_exist())
			needed -= free_before(search, row->cut.item_id, row->cut.location_id);
		excess = (int32) Min(row->chosen, Max(0, chosen - Max(0, needed)));
		row->chosen -= excess;
		need_of(search, row->cut.item_id)->chosen -= excess;
		any |= excess > 0;
	}
	return any;
}

/* Finds the units to take; false where that helps the order less than others lose. */
static bool
find_units(Search *search)
{
	int64		chosen = 0;
	int64		firm;

	for (int i = 0; i < search->count; i++)
		search->rows[i].chosen = 0;
	for (int i = 0; i < search->need_count; i++)
		search->needs[i].chosen = 0;
	(void) plan_beside(search);
	(void) read_lacking(search);
	if (!gather(search))
		return false;
	for (int step = 0; step < STEPS_MAX && give_back(search); step++)
	{
		CHECK_FOR_INTERRUPTS();
		if (!plan_beside(search))
			return false;
	}
	firm = read_lacking(search) - (search->possible_before ? search->firm_before : 0);
	for (int i = 0; i < search->count; i++)
		chosen += search->rows[i].chosen;
	return chosen > 0 && chosen <= firm;
}

/* ---- The orders that give way ---- */

static int
compare_cuts(const void *left, const void *right)
{
	const Cut  *a = left;
	const Cut  *b = right;

	if (a->order_id != b->order_id)
		return a->order_id < b->order_id ? -1 : 1;
	if (a->line_no != b->line_no)
		return a->line_no < b->line_no ? -1 : 1;
	return a->fulfillment_id < b->fulfillment_id ? -1 : a->fulfillment_id > b->fulfillment_id;
}

/* The orders that lose what is chosen; NULL where they are too many. */
static Displacement *
group_cuts(const Search *search)
{
	Displacement *displacement = palloc0(sizeof(Displacement));
	Cut		   *cuts = palloc(sizeof(Cut) * Max(1, search->count));
	int			count = 0;

	for (int i = 0; i < search->count; i++)
		if (search->rows[i].chosen > 0)
		{
			cuts[count] = search->rows[i].cut;
			cuts[count++].quantity = search->rows[i].chosen;
		}
	qsort(cuts, count, sizeof(Cut), compare_cuts);
	displacement->orders = palloc0(sizeof(Repromise) * Max(1, count));
	for (int i = 0; i < count; i++)
	{
		Repromise  *last = &displacement->orders[Max(0, displacement->count - 1)];

		if (displacement->count == 0 || last->order_id != cuts[i].order_id)
		{
			last = &displacement->orders[displacement->count++];
			*last = (Repromise) {.order_id = cuts[i].order_id,.cuts = &cuts[i]};
		}
		last->cut_count++;
	}
	return displacement->count > ORDERS_MAX ? NULL : displacement;
}

static int32
priority_of(const Search *search, int64 order_id)
{
	for (int i = 0; i < search->count; i++)
		if (search->rows[i].cut.order_id == order_id)
			return search->rows[i].priority;
	return 0;
}

/* The greatest priority first, then the oldest. */
static void
take_turns(const Search *search, Displacement *displacement)
{
	displacement->turns = palloc(sizeof(int32) * Max(1, displacement->count));
	for (int i = 0; i < displacement->count; i++)
	{
		int			place = i;
		int32		priority = priority_of(search, displacement->orders[i].order_id);

		while (place > 0 &&
			   priority_of(search, displacement->orders[displacement->turns[place - 1]].order_id) < priority)
		{
			displacement->turns[place] = displacement->turns[place - 1];
			place--;
		}
		displacement->turns[place] = i;
	}
}

/* Notes that an order does not keep its date; false where that was known. */
static bool
note_late(Search *search, int64 order_id)
{
	bool		news = false;

	for (int i = 0; i < search->count; i++)
		if (search->rows[i].cut.order_id == order_id && search->rows[i].chosen > 0)
		{
			news |= !search->rows[i].late;
			search->rows[i].late = true;
		}
	return news;
}

/*
 * Of an item that is free nowhere, whoever gives units away gets no other: that
 * is known without planning anything.
 */
static void
note_all_late(Search *search)
{
	for (int i = 0; i < search->need_count; i++)
	{
		const Need *need = &search->needs[i];
		int64		elsewhere = 0;

		for (int j = 0; j < search->view->count; j++)
		{
			const StockRow *row = &search->view->rows[j];

			if (row->item_id == need->item_id && need->lacking > 0)
				elsewhere += Max(0, (int64) row->on_hand - row->reserved - row->safety) -
					taken_at(search, row->item_id, row->location_id);
		}
		for (int j = 0; j < search->count && elsewhere <= 0; j++)
			if (search->rows[j].cut.item_id == need->item_id)
				search->rows[j].late = true;
	}
}

static StockRow *
append_rows(StockRow *rows, int *count, const StockRow *more, int more_count)
{
	rows = repalloc_huge(rows, sizeof(StockRow) * Max(1, *count + more_count));
	if (more_count > 0)
		memcpy(rows + *count, more, sizeof(StockRow) * more_count);
	*count += more_count;
	return rows;
}

/* Plans what the orders get instead, one beside the other; false where one proves to be late that was not known to be. */
static bool
repromise_all(Search *search, Displacement *displacement)
{
	int			count;
	StockRow   *beside = oms_placement_counters(search->placement, &count);
	bool		known = true;

	beside = append_rows(beside, &count, search->beside, search->beside_count);
	for (int i = 0; i < displacement->count; i++)
	{
		Repromise  *order = &displacement->orders[displacement->turns[i]];
		StockRow   *rows = NULL;
		int			row_count;

		oms_repromise_plan(order, beside, count);
		if (!oms_repromise_keeps_dates(order) && note_late(search, order->order_id))
			known = false;
		row_count = oms_repromise_counters(order, &rows);
		beside = append_rows(beside, &count, rows, row_count);
	}
	return known;
}

/* What is free for the order without the others' units. */
static StockView *
view_before(Placement *placement, const int64 *item_ids, int count)
{
	QuotaList  *quotas;
	StockView  *view = oms_quotas_view(placement->channel, placement->document->reservation_id, item_ids, count, &quotas);

	for (int i = 0; i < placement->group_count; i++)
		oms_lots_discount_until(view, placement->groups[i]->horizons, placement->groups[i]->horizon_count);
	oms_lots_discount_until(view, placement->horizons, placement->horizon_count);
	if (placement->holds)
		oms_holds_credit(placement->holds, view);
	return view;
}

/* Reads what the plan without others lacks, and what could be taken; false where nothing could. */
static bool
begin_search(Search *search)
{
	Placement  *placement = search->placement;
	int			demand_count = placement->line_count;
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, demand_count));
	int			count = 0;

	search->needs = palloc0(sizeof(Need) * Max(1, demand_count));
	for (int i = 0; i < placement->line_count; i++)
		if (placement->lines[i].item->kind == ITEM_STOCKED)
			item_ids[count++] = placement->lines[i].item->item_id;
	read_takeables(search, item_ids, count);
	if (search->count == 0)
		return false;
	search->view = view_before(placement, item_ids, count);
	return true;
}

/*
 * Plans an order that is short with units of others; false where that is not
 * possible, and then the plan is no longer the one that was made.
 */
bool
oms_displacement_plan(Placement *placement, PlanLines plan)
{
	Search		search = {.placement = placement,.plan = plan};

	oms_substitutes_undo(placement);
	placement->failed = NULL;
	search.possible_before = plan(placement);
	if (!begin_search(&search))
		return false;
	search.firm_before = read_lacking(&search);
	note_all_late(&search);
	for (int search_no = 0; search_no < SEARCHES_MAX; search_no++)
	{
		Displacement *displacement;

		qsort(search.rows, search.count, sizeof(Takeable), compare_takeables);
		if (!find_units(&search) || (displacement = group_cuts(&search)) == NULL)
			break;
		take_turns(&search, displacement);
		if (repromise_all(&search, displacement) ||
			(search_no == SEARCHES_MAX - 1 && placement->channel->displacement == DISPLACE_ALWAYS))
		{
			placement->displacement = displacement;
			return true;
		}
	}
	oms_placement_set_beside(placement, NULL, 0);
	return false;
}

/* ---- Taking ---- */

/* Locks the orders that give way; false where somebody works on one and we must not wait. */
static bool
lock_orders(Displacement *displacement)
{
	for (int i = 0; i < displacement->count; i++)
	{
		Repromise  *order = &displacement->orders[i];

		order->order = oms_call->waits_for_orders ? oms_order_lock(order->order_id) : oms_order_lock_free(order->order_id);
		if (order->order == NULL)
			return false;
	}
	return true;
}

/* Whether all that is to be taken may still be taken, now that its orders stand still. */
static bool
still_takeable(Placement *placement)
{
	const Displacement *displacement = placement->displacement;
	Search		search = {.placement = placement};
	int64	   *item_ids;
	int			count = 0;

	for (int i = 0; i < displacement->count; i++)
		count += displacement->orders[i].cut_count;
	item_ids = palloc(sizeof(int64) * Max(1, count));
	count = 0;
	for (int i = 0; i < displacement->count; i++)
		for (int j = 0; j < displacement->orders[i].cut_count; j++)
			item_ids[count++] = displacement->orders[i].cuts[j].item_id;
	read_takeables(&search, item_ids, count);
	for (int i = 0; i < displacement->count; i++)
		for (int j = 0; j < displacement->orders[i].cut_count; j++)
		{
			const Cut  *cut = &displacement->orders[i].cuts[j];
			bool		found = false;

			for (int k = 0; k < search.count && !found; k++)
				found = compare_cuts(&search.rows[k].cut, cut) == 0 && search.rows[k].cut.quantity >= cut->quantity;
			if (!found)
				return false;
		}
	return true;
}

/* Locks every counter that is written, then what is decided about their items. */
static void
lock_counters(Placement *placement)
{
	const Displacement *displacement = placement->displacement;
	int			count;
	StockRow   *rows = oms_placement_counters(placement, &count);
	int64	   *item_ids;

	for (int i = 0; i < displacement->count; i++)
	{
		const Repromise *order = &displacement->orders[i];
		StockRow   *more = NULL;
		int			more_count = oms_repromise_counters(order, &more);

		rows = append_rows(rows, &count, more, more_count);
		for (int j = 0; j < order->cut_count; j++)
			rows = append_rows(rows, &count, &(StockRow)
							   {.item_id = order->cuts[j].item_id,.location_id = order->cuts[j].location_id}, 1);
	}
	count = oms_stock_merge(rows, count);
	item_ids = palloc(sizeof(int64) * Max(1, count));
	for (int i = 0; i < count; i++)
	{
		rows[i].whole = true;
		item_ids[i] = rows[i].item_id;
	}
	oms_stock_lock(rows, count);
	(void) oms_quotas_lock(item_ids, count);
}

/* Locks every day that is written. */
static void
lock_days(Placement *placement)
{
	const Displacement *displacement = placement->displacement;
	CapacityRow *days = palloc(sizeof(CapacityRow) * Max(1, placement->fulfillment_count));
	int			count = oms_placement_days(placement, days);

	for (int i = 0; i < displacement->count; i++)
	{
		CapacityRow *more;
		int			more_count = oms_repromise_days(&displacement->orders[i], &more);

		days = repalloc(days, sizeof(CapacityRow) * Max(1, count + more_count));
		memcpy(days + count, more, sizeof(CapacityRow) * more_count);
		count += more_count;
	}
	for (int i = 0; i < count; i++)
		days[i].amount = 0;
	(void) oms_capacity_take(days, count);
}

/*
 * Locks all that placing with the units of others takes, and frees those; false
 * where an order is not as it was when that was planned.
 */
bool
oms_displacement_begin(Placement *placement)
{
	Displacement *displacement = placement->displacement;

	if (!lock_orders(displacement) || !still_takeable(placement))
		return false;
	if (placement->holds)
		oms_holds_lock(placement->holds);
	lock_counters(placement);
	lock_days(placement);
	for (int i = 0; i < displacement->count; i++)
		oms_repromise_give_up(&displacement->orders[i], "displaced");
	oms_placement_set_beside(placement, NULL, 0);
	return true;
}

/* ---- Telling ---- */

static void
tell_order(const Placement *placement, const Repromise *order)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_int64(&writer, "by_order_id", placement->order_id);
	oms_repromise_describe(&writer, order);
	oms_event(&(Event) {.order_id = order->order_id,.object_id = order->order_id,.object_type = MACHINE_ORDER,
						.type = "order.displaced",.reason = "an order of a higher priority took its units",
						.data = oms_write_finish(&writer)});
}

static void
write_orders(DocWriter *writer, const Displacement *displacement)
{
	oms_write_begin_array(writer, "displaced");
	for (int i = 0; i < displacement->count; i++)
	{
		oms_write_begin_object(writer, NULL);
		oms_write_int64(writer, "order_id", displacement->orders[i].order_id);
		oms_repromise_describe(writer, &displacement->orders[i]);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}

/* Promises the freed units anew, as far as that was planned; false where their places are gone. */
bool
oms_displacement_finish(Placement *placement)
{
	Displacement *displacement = placement->displacement;
	DocWriter	writer;

	for (int i = 0; i < displacement->count; i++)
		if (!oms_repromise_write(&displacement->orders[displacement->turns[i]]))
			return false;
	for (int i = 0; i < displacement->count; i++)
	{
		oms_order_refresh(displacement->orders[i].order_id);
		tell_order(placement, &displacement->orders[i]);
	}
	oms_write_begin(&writer);
	write_orders(&writer, displacement);
	oms_event(&(Event) {.order_id = placement->order_id,.object_id = placement->order_id,.object_type = MACHINE_ORDER,
						.type = "order.displaced_others",.data = oms_write_finish(&writer)});
	return true;
}

/* What the answer says of it. */
void
oms_displacement_write(DocWriter *writer, const Placement *placement)
{
	if (placement->displacement)
		write_orders(writer, placement->displacement);
}
