/*
 * order_promise.c
 *	  From a plan to promises: fulfillments, allocations and their dates, then
 *	  the counters, quotas and days that they take.
 */
#include "oms.h"

#include "miscadmin.h"

#include "call.h"
#include "lot_promise.h"
#include "order_placement.h"
#include "supply.h"

/* Plans made anew because the counters had changed before they were locked. */
#define PLAN_ATTEMPTS_MAX 20

/* Plans with units of other orders, which turned out not to be as they were; then it is planned without. */
#define DISPLACEMENT_TRIES_MAX 5

/* ---- From plan to promises ---- */

/* The fulfillment of a location; backordered units wait in one of their own. */
static int
fulfillment_index(Placement *placement, Location *location, bool backordered)
{
	int64		location_id = location ? location->location_id : 0;
	Fulfillment *row;

	for (int i = 0; i < placement->fulfillment_count; i++)
		if (placement->fulfillments[i].location_id == location_id &&
			placement->fulfillments[i].backordered == backordered)
			return i;
	row = &placement->fulfillments[placement->fulfillment_count];
	row->order_id = placement->order_id;
	row->location_id = location_id;
	row->delivery_no = Max(1, placement->delivery_no);
	row->backordered = backordered;
	return placement->fulfillment_count++;
}

/* fulfillment_id holds the index until ids are given out. */
static void
add_allocation(Placement *placement, PlacedLine *line, int fulfillment, int32 quantity)
{
	Allocation *row = &placement->allocations[placement->allocation_count++];

	memset(row, 0, sizeof(*row));
	row->order_id = placement->order_id;
	row->fulfillment_id = fulfillment;
	row->item_id = line->item->item_id;
	row->location_id = placement->fulfillments[fulfillment].location_id;
	row->line_no = line->line_no;
	row->promised = quantity;
	row->lot = line->document->lot;
	row->backordered = placement->fulfillments[fulfillment].backordered;
	if (row->backordered)
		line->backordered += quantity;
	else
		line->allocated += quantity;
}

/* Deals the parts of the plan out to the lines, in line order. */
static void
deal_parts(Placement *placement)
{
	int		   *first = palloc(sizeof(int) * Max(1, placement->demand_count));
	int		   *next = palloc(sizeof(int) * Max(1, placement->line_count));

	for (int i = 0; i < placement->demand_count; i++)
		first[i] = -1;
	for (int i = placement->line_count - 1; i >= 0; i--)
		if (placement->lines[i].demand >= 0)
		{
			next[i] = first[placement->lines[i].demand];
			first[placement->lines[i].demand] = i;
		}
	for (int i = 0; i < placement->part_count; i++)
	{
		RoutePart  *part = &placement->parts[i];
		int			fulfillment = fulfillment_index(placement, placement->candidates[part->location],
													part->backordered);
		int32		left = part->quantity;

		while (left > 0)
		{
			PlacedLine *line = &placement->lines[first[part->line]];
			int32		open = line->document->quantity - line->allocated - line->backordered;
			int32		take = Min(open, left);

			if (take > 0)
				add_allocation(placement, line, fulfillment, take);
			left -= take;
			if (take == open)
				first[part->line] = next[first[part->line]];
		}
	}
}

static int
compare_allocations(const void *left, const void *right)
{
	const Allocation *a = left;
	const Allocation *b = right;

	if (a->fulfillment_id != b->fulfillment_id)
		return a->fulfillment_id < b->fulfillment_id ? -1 : 1;
	return a->line_no < b->line_no ? -1 : a->line_no > b->line_no;
}

/* ---- Dates ---- */

/* The weight of what a location sends now, or later. */
static int64
parcel_weight(const Placement *placement, const int64 *demand_weights, int64 location_id, bool backordered)
{
	int64		weight = 0;

	for (int i = 0; i < placement->part_count; i++)
	{
		RoutePart  *part = &placement->parts[i];
		int64		whole = demand_weights[part->line];
		int32		quantity = placement->demands[part->line].quantity;

		if (part->backordered == backordered && placement->candidates[part->location]->location_id == location_id)
			weight += part->quantity == quantity ? whole : (whole + quantity - 1) / quantity * part->quantity;
	}
	return weight;
}

static int64
units_of(const Placement *placement, int64 location_id)
{
	int64		units = 0;

	for (int i = 0; i < placement->part_count; i++)
	{
		RoutePart  *part = &placement->parts[i];

		if (!part->backordered && placement->candidates[part->location]->location_id == location_id)
			units += part->quantity;
	}
	return units;
}

/* Promises of one placement that wait, as they take units of a counter. */
static int
add_waiting(const Placement *placement, const StockRow *row, DatedUnits *units, int count)
{
	for (int i = 0; i < placement->allocation_count; i++)
	{
		const Allocation *promise = &placement->allocations[i];

		if (promise->backordered && promise->item_id == row->item_id && promise->location_id == row->location_id)
			units[count++] = (DatedUnits)
		{
			.item_id = row->item_id,.location_id = row->location_id,.supplied_at = promise->supplied_at,
				.units = promise->promised
		};
	}
	return count;
}

/* What the deliveries before this one wait for at a counter. */
static int
waiting_of_groups(const Placement *placement, const StockRow *row, DatedUnits **units)
{
	int			count = 0;

	for (int i = 0; i < placement->group_no; i++)
		count += placement->whole->groups[i]->allocation_count;
	*units = palloc(sizeof(DatedUnits) * Max(1, count));
	count = 0;
	for (int i = 0; i < placement->group_no; i++)
		count = add_waiting(placement->whole->groups[i], row, *units, count);
	return count;
}

/*
 * When a backordered fulfillment can have its units of one counter: at the first
 * moment that takes none from what is promised already, for whenever.
 */
static TimestampTz
supplied_at_counter(const Placement *placement, int fulfillment, const StockRow *row)
{
	StockRow	after = *row;
	CounterSchedule schedule;
	DatedUnits *others;
	int			other_count;
	int64		wanted = 0;

	for (int i = 0; i < placement->allocation_count; i++)
	{
		const Allocation *promise = &placement->allocations[i];

		if (promise->item_id != row->item_id || promise->location_id != row->location_id)
			continue;
		if (promise->fulfillment_id == fulfillment)
			wanted += promise->promised;
		else if (!promise->backordered)
			after.reserved += promise->promised;
	}
	if (wanted == 0)
		return DT_NOBEGIN;
	if (!oms_supplies_reach(placement->supplies, row->item_id, row->location_id))
		return DT_NOEND;
	other_count = waiting_of_groups(placement, row, &others);
	schedule = oms_supplies_schedule(placement->supplies, &after, others, other_count);
	return schedule_date(schedule.steps, schedule.count, schedule.wait, wanted);
}

/* When a backordered fulfillment can have all its units; DT_NOEND where nobody knows. */
static TimestampTz
supplied_at(const Placement *placement, int fulfillment, const StockView *view)
{
	TimestampTz at = DT_NOBEGIN;

	for (int i = 0; i < view->count; i++)
		if (view->rows[i].location_id == placement->fulfillments[fulfillment].location_id)
			at = Max(at, supplied_at_counter(placement, fulfillment, &view->rows[i]));
	return at == DT_NOBEGIN ? DT_NOEND : at;
}

/* What an order asks of its dates. */
static DateRequest
request_of(const Placement *placement)
{
	AddressDocument *address = placement->address;
	DateRequest request = {
		.ordered_at = oms_call->now,.service = placement->document->service,.pickup = placement->pickup != NULL,
		.destination = {.latitude = NAN,.longitude = NAN}
	};

	if (address)
		request.destination = (Destination) {address->country, address->postal_code, address->latitude,
		address->longitude};
	return request;
}

/*
 * What arrives is made ready and sent like an order of that moment; its days
 * are not full yet.
 */
static void
date_backorder(const Placement *placement, const int64 *weights, Fulfillment *row)
{
	DateRequest request = request_of(placement);

	memset(&row->dates, 0, sizeof(row->dates));
	if (row->supplied_at == DT_NOEND)
		return;
	request.ordered_at = row->supplied_at;
	if (weights)
		oms_dates_of_parcel(&request, oms_location_by_id(row->location_id),
							parcel_weight(placement, weights, row->location_id, true),
							oms_routing_service(placement->routing, row->location_id), &row->dates);
	if (!row->dates.ships || row->dates.ship_by < row->supplied_at)
	{
		row->dates.ships = true;
		row->dates.ship_by = row->supplied_at;
	}
}

/* Dates the backordered fulfillments by the supplies that they wait for. */
static void
date_backorders(Placement *placement)
{
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, placement->demand_count));
	int64	   *weights = oms_dates_configured() ? oms_placement_weights(placement) : NULL;
	StockView  *view = NULL;

	for (int i = 0; i < placement->demand_count; i++)
		item_ids[i] = placement->demands[i].item->item_id;
	placement->supplies = oms_supplies_read_with_promises(item_ids, placement->demand_count, DT_NOEND);
	if (placement->supplies->count > 0)
		view = oms_placement_view(placement);
	for (int i = 0; i < placement->fulfillment_count; i++)
	{
		Fulfillment *row = &placement->fulfillments[i];

		if (!row->backordered)
			continue;
		row->supplied_at = view ? supplied_at(placement, i, view) : DT_NOEND;
		date_backorder(placement, weights, row);
	}
	for (int i = 0; i < placement->allocation_count; i++)
		placement->allocations[i].supplied_at = placement->fulfillments[placement->allocations[i].fulfillment_id].supplied_at;
}

/* When all that an order promises has arrived, as far as that is known. */
static void
sum_dates(Placement *placement)
{
	placement->promised_at = DT_NOBEGIN;
	for (int i = 0; oms_dates_configured() && i < placement->fulfillment_count; i++)
	{
		Fulfillment *row = &placement->fulfillments[i];

		if (row->location_id == 0)
			continue;
		if (!row->dates.arrives)
		{
			placement->promised_at = DT_NOBEGIN;
			return;
		}
		placement->promised_at = Max(placement->promised_at, row->dates.promised_at);
	}
}

/*
 * Dates every fulfillment.  Backordered units have the date of the supply that
 * they wait for; without one nobody knows yet when they come.
 */
static void
date_promises(Placement *placement)
{
	DateRequest request = request_of(placement);
	int64	   *weights = oms_dates_configured() ? oms_placement_weights(placement) : NULL;

	request.capacity = placement->capacity;
	for (int i = 0; weights && i < placement->fulfillment_count; i++)
	{
		Fulfillment *row = &placement->fulfillments[i];

		if (row->location_id == 0 || row->backordered)
			continue;
		request.units = units_of(placement, row->location_id);
		oms_fulfillment_date(&request, parcel_weight(placement, weights, row->location_id, false),
							 oms_routing_service(placement->routing, row->location_id), row);
	}
	placement->supplies = NULL;
	if (oms_placement_has_backorder(placement))
		date_backorders(placement);
	sum_dates(placement);
}

/* Turns the plan into fulfillments and promises, and derives the status. */
static void
make_promises(Placement *placement)
{
	int			room = placement->part_count + placement->line_count;
	bool		backordered = false;

	placement->fulfillments = palloc0(sizeof(Fulfillment) * (placement->part_count + 1));
	placement->allocations = palloc(sizeof(Allocation) * room);
	placement->fulfillment_count = placement->allocation_count = 0;
	for (int i = 0; i < placement->line_count; i++)
		placement->lines[i].allocated = placement->lines[i].backordered = 0;
	deal_parts(placement);
	for (int i = 0; i < placement->line_count; i++)
		if (placement->lines[i].demand < 0)
			add_allocation(placement, &placement->lines[i], fulfillment_index(placement, NULL, false),
						   placement->lines[i].document->quantity);
	qsort(placement->allocations, placement->allocation_count, sizeof(Allocation), compare_allocations);
	for (int i = 0; i < placement->line_count; i++)
		backordered |= placement->lines[i].backordered > 0;
	placement->fulfillment_status = backordered ? "backordered" : "allocated";
	date_promises(placement);
}

/* The units that a plan takes, by counter. */
static int
rows_of_plan(const Placement *placement, StockRow *rows)
{
	for (int i = 0; i < placement->part_count; i++)
	{
		RoutePart  *part = &placement->parts[i];

		rows[i].item_id = placement->demands[part->line].item->item_id;
		rows[i].location_id = placement->candidates[part->location]->location_id;
		rows[i].reserved_delta = part->quantity;
		rows[i].firm = part->backordered ? 0 : part->quantity;
	}
	return placement->part_count;
}

/* What the promises take of the days that they ship on. */
int
oms_placement_days(const Placement *placement, CapacityRow *rows)
{
	int			count = 0;

	for (int i = 0; i < placement->fulfillment_count; i++)
	{
		Fulfillment *row = &placement->fulfillments[i];

		if (row->capacity_taken > 0)
			rows[count++] = (CapacityRow) {row->location_id, row->dates.ship_day, row->capacity_taken};
	}
	return count;
}

/* The holds that groups use up, read once for all of them. */
static HoldList *
holds_of_groups(const Placement *placement)
{
	int64	   *items = palloc(sizeof(int64) * placement->line_count);
	bool		others = false;
	int			count = 0;

	for (int i = 0; i < placement->group_count; i++)
		others |= placement->groups[i]->holds != NULL && oms_holds_of_others(placement->groups[i]->holds);
	for (int i = 0; i < placement->line_count && others; i++)
		items[count++] = placement->lines[i].item->item_id;
	return oms_holds_read(placement->document->reservation_id, items, count);
}

/* Plans all deliveries of an order, each seeing what those before it take; false where one is not possible. */
static bool
plan_lines(Placement *placement)
{
	StockRow   *taken;
	CapacityRow *days;
	int			count = 0;
	int			room = 0;
	int			day_count = 0;

	if (placement->group_count == 0)
		return oms_placement_find_sources(placement);
	placement->part_count = 0;
	placement->holds = NULL;
	taken = palloc(1);
	days = palloc(1);
	for (int i = 0; i < placement->group_count; i++)
	{
		Placement  *group = placement->groups[i];

		CHECK_FOR_INTERRUPTS();
		group->taken = taken;
		group->taken_count = count;
		group->taken_days = days;
		group->taken_day_count = day_count;
		group->group_no = i;
		group->whole = placement;
		if (!oms_placement_find_sources(group))
		{
			placement->failed = group;
			return false;
		}
		room = count + group->part_count;
		taken = repalloc(taken, sizeof(StockRow) * Max(1, room));
		memset(taken + count, 0, sizeof(StockRow) * group->part_count);
		count += rows_of_plan(group, taken + count);
		placement->part_count += group->part_count;
		if (group->capacity != NULL)
		{
			make_promises(group);	/* for its days; they are made again once the order has an id */
			days = repalloc(days, sizeof(CapacityRow) * Max(1, day_count + group->fulfillment_count));
			day_count += oms_placement_days(group, days + day_count);
		}
		if (group->holds)
			placement->holds = group->holds;
	}
	for (int i = 0; i < placement->group_count; i++)
		placement->groups[i]->taken = taken;	/* it has moved as it grew */
	if (placement->holds)
		placement->holds = holds_of_groups(placement);
	return true;
}

/* Makes one order of the promises of its groups. */
static void
join_groups(Placement *placement)
{
	int			fulfillments = 0;
	int			allocations = 0;
	bool		backordered = false;

	for (int i = 0; i < placement->group_count; i++)
	{
		fulfillments += placement->groups[i]->fulfillment_count;
		allocations += placement->groups[i]->allocation_count;
	}
	placement->fulfillments = palloc(sizeof(Fulfillment) * Max(1, fulfillments));
	placement->allocations = palloc(sizeof(Allocation) * Max(1, allocations));
	placement->fulfillment_count = placement->allocation_count = 0;
	placement->promised_at = DT_NOEND;
	for (int i = 0; i < placement->group_count; i++)
	{
		Placement  *group = placement->groups[i];

		for (int j = 0; j < group->allocation_count; j++)
		{
			Allocation *row = &placement->allocations[placement->allocation_count++];

			*row = group->allocations[j];
			row->fulfillment_id += placement->fulfillment_count;
		}
		memcpy(placement->fulfillments + placement->fulfillment_count, group->fulfillments,
			   sizeof(Fulfillment) * group->fulfillment_count);
		placement->fulfillment_count += group->fulfillment_count;
		for (int j = 0; j < group->line_count; j++)
		{
			placement->lines[group->line_numbers[j]].allocated = group->lines[j].allocated;
			placement->lines[group->line_numbers[j]].backordered = group->lines[j].backordered;
			backordered |= group->lines[j].backordered > 0;
		}
		if (TIMESTAMP_NOT_FINITE(group->promised_at) || placement->promised_at == DT_NOBEGIN)
			placement->promised_at = DT_NOBEGIN;
		else if (placement->promised_at == DT_NOEND || placement->promised_at < group->promised_at)
			placement->promised_at = group->promised_at;
	}
	placement->fulfillment_status = backordered ? "backordered" : "allocated";
}

void
oms_placement_promise(Placement *placement)
{
	if (placement->group_count == 0)
	{
		make_promises(placement);
		return;
	}
	for (int i = 0; i < placement->group_count; i++)
	{
		placement->groups[i]->order_id = placement->order_id;
		make_promises(placement->groups[i]);
	}
	join_groups(placement);
}

/* When what a fulfillment promises has arrived, or, where that is not known, has left. */
static TimestampTz
promised_for(const Fulfillment *row)
{
	if (row->location_id == 0 || row->backordered || !row->dates.ships)
		return DT_NOBEGIN;
	return row->dates.arrives ? row->dates.promised_at : row->dates.ship_by;
}

/* Raises the horizons of a placement to its dates; false where no lot ends before them. */
static bool
raise_horizons(Placement *placement)
{
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, placement->demand_count));
	LotHorizon *horizons = palloc(sizeof(LotHorizon) * (placement->horizon_count + placement->fulfillment_count + 1));
	int			count = 0;

	for (int i = 0; i < placement->demand_count; i++)
		item_ids[i] = placement->demands[i].item->item_id;
	for (int i = 0; i < placement->fulfillment_count; i++)
	{
		LotHorizon	wanted = {placement->fulfillments[i].location_id, promised_for(&placement->fulfillments[i])};
		bool		known = wanted.at <= oms_call->now;

		for (int j = 0; j < placement->horizon_count; j++)
			known |= placement->horizons[j].location_id == wanted.location_id && placement->horizons[j].at >= wanted.at;
		if (!known)
			horizons[count++] = wanted;
	}
	if (count == 0 || !oms_lots_end(item_ids, placement->demand_count, horizons, count))
		return false;
	if (placement->horizon_count > 0)
		memcpy(horizons + count, placement->horizons, sizeof(LotHorizon) * placement->horizon_count);
	placement->horizons = horizons;
	placement->horizon_count += count;
	return true;
}

/*
 * Plans so that lots last until what is promised of them has arrived.  That is
 * known once it is planned, so it is planned again without the lots that end
 * before; the dates up to which they are looked at only ever rise.
 */
static bool
plan_lasting(Placement *placement)
{
	bool		possible = plan_lines(placement);

	for (int attempt_no = 0; possible && oms_lots_exist() && oms_dates_configured() && attempt_no < PLAN_ATTEMPTS_MAX; attempt_no++)
	{
		bool		raised = false;

		oms_placement_promise(placement);
		if (placement->group_count == 0)
			raised = raise_horizons(placement);
		for (int i = 0; i < placement->group_count; i++)
			raised |= raise_horizons(placement->groups[i]);
		if (!raised)
			break;
		possible = plan_lines(placement);
	}
	return possible;
}

/* Lets an order see what the call takes and gives back for others, which is not written yet. */
void
oms_placement_set_beside(Placement *placement, const StockRow *rows, int count)
{
	placement->beside = rows;
	placement->beside_count = count;
	for (int i = 0; i < placement->group_count; i++)
		oms_placement_set_beside(placement->groups[i], rows, count);
}

/* Plans with substitutes only where its own items do not do. */
static bool
plan_with_substitutes(Placement *placement)
{
	oms_substitutes_undo(placement);
	return plan_lasting(placement) || oms_substitutes_plan(placement, plan_lasting);
}

/* Whether the order may take units of others where it is short: what is added to an order later may not. */
static bool
may_displace(const Placement *placement)
{
	return placement->channel->displacement != DISPLACE_NEVER && !placement->partial && placement->running == NULL &&
		placement->displacement_tries < DISPLACEMENT_TRIES_MAX;
}

/* Plans an order; where it is short, with units of orders of a lower priority if its channel allows that. */
bool
oms_placement_plan(Placement *placement)
{
	bool		possible;

	if (placement->displacement)
		oms_placement_set_beside(placement, NULL, 0);
	placement->displacement = NULL;
	possible = plan_with_substitutes(placement);
	if (!may_displace(placement) || (possible && !oms_placement_has_backorder(placement)))
		return possible;
	placement->displacement_tries++;
	return oms_displacement_plan(placement, plan_lasting) || plan_with_substitutes(placement);
}

/* The counters of the plan and of the holds it uses up, merged and in lock order. */
StockRow *
oms_placement_counters(Placement *placement, int *count)
{
	int			hold_count = placement->holds ? placement->holds->count : 0;
	StockRow   *rows = palloc0(sizeof(StockRow) * Max(1, placement->part_count + hold_count));

	if (placement->group_count == 0)
		(void) rows_of_plan(placement, rows);
	for (int i = 0, used = 0; i < placement->group_count; i++)
		used += rows_of_plan(placement->groups[i], rows + used);
	if (hold_count > 0)
		oms_holds_add_rows(placement->holds, rows + placement->part_count);
	*count = oms_stock_merge(rows, placement->part_count + hold_count);
	return rows;
}

/* Whether a placement has units that wait for supplies. */
bool
oms_placement_rests_on_supplies(const Placement *placement)
{
	bool		rests = placement->supplies != NULL && placement->supplies->count > 0;

	for (int i = 0; i < placement->group_count; i++)
		rests |= oms_placement_rests_on_supplies(placement->groups[i]);
	return rests;
}

/* Joins what has become many rows of the counters that are locked whole. */
static void
tidy(const Placement *placement, const StockRow *rows, int count)
{
	for (int i = 0; placement->supplies && i < count; i++)
		if (rows[i].whole)
			oms_dated_promises_tidy(placement->supplies->dated, rows[i].item_id, rows[i].location_id);
	for (int i = 0; i < placement->group_count; i++)
		tidy(placement->groups[i], rows, count);
}

/*
 * Dates what waits once more, now that the counters stand still: two orders
 * must not rest on the same units.  False where supplies were announced since,
 * whose counters are not locked whole.
 */
static bool
date_locked(Placement *placement, const StockRow *rows, int count)
{
	bool		rested = oms_placement_rests_on_supplies(placement);

	for (int i = 0; i < placement->group_count; i++)
		if (placement->groups[i]->supplies)
		{
			date_backorders(placement->groups[i]);
			sum_dates(placement->groups[i]);
		}
	if (placement->group_count > 0)
		join_groups(placement);
	else if (placement->supplies)
	{
		date_backorders(placement);
		sum_dates(placement);
	}
	tidy(placement, rows, count);
	return rested || !oms_placement_rests_on_supplies(placement);
}

/* Takes of the capacity of each day that something ships on; false where one is full. */
static bool
take_days(const Placement *placement)
{
	CapacityRow *rows = palloc(sizeof(CapacityRow) * Max(1, placement->fulfillment_count));

	return oms_capacity_take(rows, oms_placement_days(placement, rows));
}

/* Whether a locked counter has the units of its change. */
bool
oms_counter_covers(const StockRow *row)
{
	return row->found &&
		!(row->firm > 0 && (int64) row->on_hand - row->reserved + row->held - row->safety - row->left < row->firm) &&
		(int64) row->on_hand + row->backorder_limit - row->reserved + row->held >= row->reserved_delta;
}

/* Notes units of lots that would not last at counters that are about to be locked. */
static void
keep_lots(const Placement *placement, StockRow *rows, int count)
{
	int			horizon_count = placement->horizon_count;
	LotHorizon *horizons;

	for (int i = 0; i < placement->group_count; i++)
		horizon_count += placement->groups[i]->horizon_count;
	horizons = palloc(sizeof(LotHorizon) * Max(1, horizon_count));
	horizon_count = 0;
	for (int i = 0; i < placement->horizon_count; i++)
		horizons[horizon_count++] = placement->horizons[i];
	for (int i = 0; i < placement->group_count; i++)
		for (int j = 0; j < placement->groups[i]->horizon_count; j++)
			horizons[horizon_count++] = placement->groups[i]->horizons[j];
	oms_lots_keep_until(rows, count, horizons, horizon_count);
}

/*
 * Locks the plan's counters and takes the units; false where they, or days to
 * ship them, are gone, or orders that were to give way are not as they were.
 */
bool
oms_placement_take(Placement *placement)
{
	int			count;
	StockRow   *rows;
	QuotaTake  *takes;

	if (placement->displacement && !oms_displacement_begin(placement))
		return false;
	if (placement->holds)
		oms_holds_lock(placement->holds);
	rows = oms_placement_counters(placement, &count);
	if (placement->group_count == 0)
		oms_quotas_keep(placement->quotas, rows, count);
	for (int i = 0; i < placement->group_count; i++)
		oms_quotas_keep(placement->groups[i]->quotas, rows, count);
	keep_lots(placement, rows, count);
	for (int i = 0; i < count; i++)
		rows[i].whole = oms_placement_rests_on_supplies(placement) && rows[i].reserved_delta > rows[i].firm;
	oms_lot_promises_whole(placement, rows, count);
	oms_stock_lock(rows, count);
	takes = palloc(sizeof(QuotaTake) * Max(1, count));
	if (!oms_lot_promises_stand(placement) || !date_locked(placement, rows, count) ||
		!oms_quotas_take(placement->channel, placement->holds, takes, oms_quotas_sum(rows, count, takes),
						 placement->placed_at ? placement->placed_at : oms_call->now))
		return false;
	for (int i = 0; i < count; i++)
	{
		StockRow   *row = &rows[i];

		if (!oms_counter_covers(row))
			return false;
		row->reserved_delta -= row->held;
	}
	oms_stock_apply(rows, count);
	if (placement->holds)
		oms_holds_end(placement->holds, "convert", placement->order_id);
	return take_days(placement) && (placement->displacement == NULL || oms_displacement_finish(placement));
}

/*
 * Takes the units of the plan.  When counters have changed since they were
 * read, their locks go back and the plan is made anew from what is there now.
 */
void
oms_placement_reserve(Placement *placement)
{
	for (int attempt_no = 0; attempt_no < PLAN_ATTEMPTS_MAX; attempt_no++)
	{
		OmsAttempt	attempt;

		CHECK_FOR_INTERRUPTS();
		if (placement->part_count == 0 && placement->holds == NULL)
			return;
		if (oms_call->plans_once && oms_placement_take(placement))
			return;
		if (oms_call->plans_once)
			break;
		oms_attempt_begin(&attempt);
		if (oms_placement_take(placement))
		{
			oms_attempt_keep(&attempt);
			return;
		}
		oms_attempt_undo(&attempt);
		if (!oms_placement_plan(placement))
			oms_placement_refuse(placement);
		oms_placement_promise(placement);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OMS_CONCURRENT),
			 errmsg("the stock of this order keeps changing"),
			 errhint("Repeat the transaction.")));
}
