/*
 * order_plan.c
 *	  Where the units of an order come from: candidates and counters are read,
 *	  lines with a place are served first, the rest by policy or from the
 *	  nearest location that has everything.
 *
 * Nothing is locked or written here, so a preview plans by the same code.
 */
#include "oms.h"

#include "call.h"
#include "lot_promise.h"
#include "money.h"
#include "order_placement.h"
#include "relation.h"

/* ---- Routing ---- */

/* Finds the place of a location among the candidates, adding it when new. */
static int
candidate_index(Placement *placement, HTAB *index, Location *location, int *count)
{
	bool		found;
	struct
	{
		int64		id;
		int			position;
	}		   *entry = hash_search(index, &location->location_id, HASH_ENTER, &found);

	if (!found)
	{
		entry->position = (*count)++;
		placement->candidates[entry->position] = location;
	}
	return entry->position;
}

static bool
is_candidate(const Placement *placement, const Location *location)
{
	if (location == NULL || !oms_location_serves(location, placement->channel, placement->pickup ? PURPOSE_PICKUP : PURPOSE_SHIP))
		return false;
	if (oms_dates_configured() && !oms_dates_opens(location, oms_call->now))
		return false;
	return placement->pickup ? location == placement->pickup : location->ships;
}

/* Whether the channel uses a location that ships, but not to ship from there. */
static bool
is_barred(const Placement *placement, const Location *location)
{
	return location && placement->pickup == NULL && location->ships && location->active &&
		oms_location_bars(location, placement->channel, PURPOSE_SHIP);
}

/* Reads what is left of the days of all locations that have units. */
static void
read_capacity(Placement *placement, StockView *view)
{
	int64	   *location_ids;
	int			count = 0;

	placement->capacity = NULL;
	placement->full_count = 0;
	if (!oms_dates_configured())
		return;
	location_ids = palloc(sizeof(int64) * Max(1, view->count));
	for (int i = 0; i < view->count; i++)
		location_ids[i] = view->rows[i].location_id;
	qsort(location_ids, view->count, sizeof(int64), oms_compare_int64);
	for (int i = 0; i < view->count; i++)
		if (count == 0 || location_ids[count - 1] != location_ids[i])
			location_ids[count++] = location_ids[i];
	placement->capacity = oms_capacity_view(location_ids, count, oms_call->now);
	if (placement->capacity && placement->running)
		oms_capacity_view_take(placement->capacity, placement->running->days, placement->running->day_count);
	if (placement->capacity)
		oms_capacity_view_take(placement->capacity, placement->taken_days, placement->taken_day_count);
}

/* Whether a location has a day for anything at all. */
static bool
has_day(Placement *placement, const Location *location)
{
	DateRequest request = {.ordered_at = oms_call->now,.pickup = placement->pickup != NULL,.capacity = placement->capacity,
	.units = 1};
	ParcelDates dates;

	if (placement->capacity == NULL ||
		oms_dates_by_service(&request, location, NULL, NULL, &dates) == PROMISE_OK)
		return true;
	placement->full_count++;
	return false;
}

static RouteStock
promisable(const StockRow *row)
{
	int64		free = (int64) row->on_hand - row->reserved - row->safety;
	int64		headroom = (int64) row->on_hand + row->backorder_limit - row->reserved;
	RouteStock	stock;

	stock.free = (int32) Max(0, free);
	stock.backorder = (int32) Max(0, Min(headroom - stock.free, row->backorder_limit));
	return stock;
}

/* Collects the candidate locations of a view of the counters. */
static int
collect_candidates(Placement *placement, StockView *view, int *position_of_row)
{
	HASHCTL		control = {.keysize = sizeof(int64),.entrysize = 16,.hcxt = CurrentMemoryContext};
	HTAB	   *index = hash_create("candidates", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	int			count = 0;
	int			before;

	placement->barred_count = 0;
	placement->candidates = palloc(sizeof(Location *) * Max(1, view->count));
	for (int i = 0; i < view->count; i++)
	{
		Location   *location = oms_location_by_id(view->rows[i].location_id);

		position_of_row[i] = is_candidate(placement, location) && has_day(placement, location)
			? candidate_index(placement, index, location, &count) : -1;
	}
	before = count;
	for (int i = 0; placement->channel->restricted && i < view->count; i++)
	{
		Location   *location = oms_location_by_id(view->rows[i].location_id);

		if (is_barred(placement, location) && promisable(&view->rows[i]).free > 0)
			(void) candidate_index(placement, index, location, &count);
	}
	placement->barred_count = count - before;
	hash_destroy(index);
	return count;
}

/* The routing problem as it is being solved; stock shrinks as units are given away. */
typedef struct Sourcing
{
	StockView  *view;
	RouteStock *stock;			/* [demand * candidate_count + candidate] */
	int32	   *there;			/* the same: what the counter has, of any lot; NULL: no lot is asked for */
	int			parts_max;
} Sourcing;

static RouteStock *
stock_of(Placement *placement, Sourcing *sourcing, int demand, int candidate)
{
	return &sourcing->stock[(size_t) demand * placement->candidate_count + candidate];
}

/* Fills the matrix of what each candidate can promise of each demand. */
static void
fill_matrix(Placement *placement, Sourcing *sourcing, const int *position_of_row)
{
	StockView  *view = sourcing->view;
	Size		cells = (Size) placement->demand_count * Max(1, placement->candidate_count);
	LotUnitsList *lots = oms_lot_promises_read(placement);

	if (lots)
		sourcing->there = MemoryContextAllocExtended(CurrentMemoryContext, cells * sizeof(int32),
													 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	sourcing->stock = MemoryContextAllocExtended(CurrentMemoryContext, cells * sizeof(RouteStock),
												 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int demand = 0; demand < placement->demand_count; demand++)
	{
		CatalogItem *item = placement->demands[demand].item;
		int			low = 0;
		int			high = view->count;

		/* First row of the item: the view is sorted by item. */
		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (view->rows[middle].item_id < item->item_id)
				low = middle + 1;
			else
				high = middle;
		}
		for (; low < view->count && view->rows[low].item_id == item->item_id; low++)
		{
			RouteStock	stock = promisable(&view->rows[low]);

			if (position_of_row[low] < 0)
				continue;
			if (!placement->backorder || !item->backorder || placement->demands[demand].whole)
				stock.backorder = 0;
			if (placement->later_only)
				stock.free = 0;
			if (placement->in_time)
				stock.backorder = (int32) Min(stock.backorder,
											  oms_supplies_promisable(placement->in_time, &view->rows[low], stock.free));
			if (lots)
				sourcing->there[(Size) demand * placement->candidate_count + position_of_row[low]] = stock.free;
			if (placement->demands[demand].lot)
				stock.free = Min(stock.free, oms_lot_promises_free(lots, placement, &placement->demands[demand],
																   view->rows[low].location_id));
			*stock_of(placement, sourcing, demand, position_of_row[low]) = stock;
		}
	}
}

static void
add_part(Placement *placement, int demand, int candidate, int32 quantity, bool backordered)
{
	if (quantity > 0)
		placement->parts[placement->part_count++] = (RoutePart)
	{
		demand, candidate, quantity, backordered
	};
}

/* What is left for another demand of the item when one takes units: a lot that it asked for may be another. */
static void
leave_to_others(Placement *placement, Sourcing *sourcing, int taker, int other, int candidate, int32 taken)
{
	RouteStock *stock = stock_of(placement, sourcing, other, candidate);
	int32	   *there = &sourcing->there[(Size) other * placement->candidate_count + candidate];
	const char *lot = placement->demands[other].lot;
	const char *taken_lot = placement->demands[taker].lot;

	*there -= taken;
	if (lot == NULL || (taken_lot && strcmp(lot, taken_lot) == 0))
		stock->free -= taken;
	stock->free = Max(0, Min(stock->free, *there));
}

/* Gives a demand what a candidate has; another demand for the same item sees what is left. */
static void
serve_from(Placement *placement, Sourcing *sourcing, int index, int candidate)
{
	Demand	   *demand = &placement->demands[index];
	RouteStock	taken = *stock_of(placement, sourcing, index, candidate);

	taken.free = Min(taken.free, placement->missing[index]);
	taken.backorder = Min(taken.backorder, placement->missing[index] - taken.free);
	add_part(placement, index, candidate, taken.free, false);
	add_part(placement, index, candidate, taken.backorder, true);
	placement->missing[index] -= taken.free + taken.backorder;
	for (int j = 0; j < placement->demand_count; j++)
	{
		RouteStock *stock = stock_of(placement, sourcing, j, candidate);

		if (j == index || placement->demands[j].item->item_id != demand->item->item_id)
			continue;
		stock->backorder = Max(0, stock->backorder - taken.backorder);
		if (sourcing->there == NULL)
			stock->free -= taken.free;
		else
			leave_to_others(placement, sourcing, index, j, candidate, taken.free);
	}
}

/* Demands with a place of their own take from there first. */
static void
serve_pinned(Placement *placement, Sourcing *sourcing)
{
	for (int i = 0; i < placement->demand_count; i++)
	{
		int			candidate = 0;

		if (placement->demands[i].pinned == NULL || placement->demands[i].lot)
			continue;
		while (candidate < placement->candidate_count && placement->candidates[candidate] != placement->demands[i].pinned)
			candidate++;
		if (candidate < placement->candidate_count)
			serve_from(placement, sourcing, i, candidate);
	}
}

static double
distance_of(const Placement *placement, int candidate)
{
	return placement->address ? oms_location_distance(placement->candidates[candidate], placement->address->latitude,
													  placement->address->longitude) : INFINITY;
}

/* The nearest candidate that has all that a demand for a lot misses, else the nearest that has some; -1: none has. */
static int
best_for_lot(Placement *placement, Sourcing *sourcing, int demand)
{
	Location   *pinned = placement->demands[demand].pinned;
	int			best = -1;
	bool		best_whole = false;

	for (int i = 0; i < placement->candidate_count; i++)
	{
		int32		free = stock_of(placement, sourcing, demand, i)->free;
		bool		whole = free >= placement->missing[demand];
		double		distance = distance_of(placement, i);
		double		nearest = best < 0 ? 0 : distance_of(placement, best);

		if (free <= 0 || (pinned && pinned != placement->candidates[i]) || (best >= 0 && best_whole && !whole))
			continue;
		if (best < 0 || (whole && !best_whole) || distance < nearest ||
			(distance == nearest && placement->candidates[i]->rank < placement->candidates[best]->rank))
		{
			best = i;
			best_whole = whole;
		}
	}
	return best;
}

/* Demands for a lot come first: nothing else will do for them. */
static void
serve_lots(Placement *placement, Sourcing *sourcing)
{
	for (int i = 0; sourcing->there && i < placement->demand_count; i++)
		while (placement->demands[i].lot && placement->missing[i] > 0)
		{
			int			best = best_for_lot(placement, sourcing, i);

			if (best < 0)
				break;
			serve_from(placement, sourcing, i, best);
			stock_of(placement, sourcing, i, best)->free = 0;
		}
}

/* Whether a candidate has all components of a kit. */
static bool
has_all(Placement *placement, Sourcing *sourcing, const PlacedKit *kit, int candidate)
{
	for (int i = 0; i < placement->demand_count; i++)
		if (placement->demands[i].together == kit &&
			stock_of(placement, sourcing, i, candidate)->free < placement->demands[i].quantity)
			return false;
	return true;
}

/* Kits that ship together take all their components from the nearest location that has them, else by rank. */
static void
serve_kits(Placement *placement, Sourcing *sourcing)
{
	ListCell   *cell;

	foreach(cell, placement->kits)
	{
		PlacedKit  *kit = lfirst(cell);
		int			best = -1;

		for (int i = 0; kit->together && i < placement->candidate_count; i++)
		{
			double		distance = distance_of(placement, i);
			double		nearest = best < 0 ? 0 : distance_of(placement, best);

			if (!has_all(placement, sourcing, kit, i))
				continue;
			if (best < 0 || distance < nearest ||
				(distance == nearest && placement->candidates[i]->rank < placement->candidates[best]->rank))
				best = i;
		}
		for (int i = 0; best >= 0 && i < placement->demand_count; i++)
			if (placement->demands[i].together == kit)
				serve_from(placement, sourcing, i, best);
	}
}

/*
 * Weight of all units of each demand.  A line's attribute weight_grams, for
 * goods that are weighed, replaces the weight of its item.
 */
int64 *
oms_placement_weights(Placement *placement)
{
	int64	   *weights = palloc0(sizeof(int64) * Max(1, placement->demand_count));

	for (int i = 0; i < placement->line_count; i++)
	{
		PlacedLine *line = &placement->lines[i];
		int64		grams;

		if (line->demand < 0)
			continue;
		if (!oms_line_weight(line->document->attributes, &grams))
			grams = (int64) line->item->weight_grams * line->document->quantity;
		weights[line->demand] += grams;
	}
	return weights;
}

/* A line worth more counts as this much, in the currency unit: no least value of a package is above it. */
#define LINE_VALUE_MAX INT64CONST(1000000000)

/* What the units of each demand are sold for, in thousandths of the currency unit. */
static int64 *
demand_values(const Placement *placement)
{
	int64	   *values = palloc0(sizeof(int64) * Max(1, placement->demand_count));
	Numeric		most = int64_to_numeric(LINE_VALUE_MAX);

	for (int i = 0; i < placement->line_count; i++)
	{
		PlacedLine *line = &placement->lines[i];

		if (line->demand < 0 || line->amount == NULL)
			continue;
		values[line->demand] += oms_money_units(oms_money_compare(line->amount, most) > 0 ? most : line->amount, 3);
	}
	return values;
}

static const char *
customer_class(const Placement *placement)
{
	return placement->document->customer ? placement->document->customer->class : NULL;
}

static Jsonb *
attributes_of_demand(const Placement *placement, int demand)
{
	for (int i = 0; i < placement->line_count; i++)
		if (placement->lines[i].demand == demand && placement->lines[i].document->attributes)
			return placement->lines[i].document->attributes;
	return NULL;
}

/* What decides which policy the demands are routed by. */
static PolicyScope
scope_of(const Placement *placement, const int *demand_of_line, int line_count)
{
	const char *group = placement->demands[demand_of_line[0]].item->group;

	for (int i = 1; i < line_count && group; i++)
	{
		const char *other = placement->demands[demand_of_line[i]].item->group;

		if (other == NULL || strcmp(other, group) != 0)
			group = NULL;
	}
	return (PolicyScope)
	{
		placement->channel->channel_id, placement->document->service, customer_class(placement), group,
			placement->address ? placement->address->country : NULL, placement->address ? placement->address->postal_code : NULL
	};
}

/* They come behind the others. */
static bool *
barred_candidates(const Placement *placement)
{
	bool	   *barred;

	if (placement->barred_count == 0)
		return NULL;
	barred = palloc0(placement->candidate_count);
	for (int i = placement->candidate_count - placement->barred_count; i < placement->candidate_count; i++)
		barred[i] = true;
	return barred;
}

/* Routes by the policy that is for the order; false where the built-in rule must decide. */
static bool
serve_by_policy(Placement *placement, Sourcing *sourcing, const PolicyScope *scope, const int *demand_of_line, int line_count)
{
	Size		cells = (Size) line_count * placement->candidate_count;
	RoutingLine *lines = palloc(sizeof(RoutingLine) * line_count);
	int32	   *units = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(int32) * 2 * cells, MCXT_ALLOC_HUGE);
	int64	   *weights = oms_placement_weights(placement);
	int64	   *values = demand_values(placement);
	AddressDocument *address = placement->address;
	RoutingRequest request = {
		.channel = placement->channel,.service = placement->document->service,
		.channel_code = placement->channel->code,.external_ref = placement->document->external_ref,
		.customer = placement->document->customer ? placement->document->customer->ref : NULL,
		.customer_class = customer_class(placement),.scope = *scope,.attributes = placement->document->attributes,
		.destination = {.latitude = NAN,.longitude = NAN},
		.ordered_at = oms_call->now,.requested_at = placement->document->requested_at,.capacity = placement->capacity,
		.ship_complete = placement->ship_complete && !placement->later_only,
		.line_count = line_count,.lines = lines,.location_count = placement->candidate_count,
		.locations = placement->candidates,.barred = barred_candidates(placement),.free = units,.backorder = units + cells
	};

	if (address)
		request.destination = (Destination) {address->country, address->postal_code, address->latitude,
		address->longitude};
	for (int i = 0; i < line_count; i++)
	{
		Demand	   *demand = &placement->demands[demand_of_line[i]];

		lines[i] = (RoutingLine)
		{
			.item_id = demand->item->item_id,.weight_grams = weights[demand_of_line[i]],
				.volume = demand->item->volume * demand->quantity,.value = values[demand_of_line[i]],.quantity = demand->quantity,
				.backorder = placement->backorder && demand->item->backorder && !demand->whole,.sku = demand->item->sku,
				.item_group = demand->item->group,.attributes = attributes_of_demand(placement, demand_of_line[i]),
				.together = demand->company
		};
	}
	for (Size i = 0; i < cells; i++)
	{
		units[i] = sourcing->stock[i].free;
		units[cells + i] = sourcing->stock[i].backorder;
	}
	placement->routing = oms_routing_plan(&request);
	if (placement->routing == NULL)
		return false;
	for (int i = 0; i < placement->routing->part_count; i++)
	{
		RoutingPart *part = &placement->routing->parts[i];

		add_part(placement, demand_of_line[part->line], part->location, part->quantity, part->backordered);
	}
	for (int i = 0; i < line_count; i++)
		placement->missing[demand_of_line[i]] = placement->routing->missing[i];
	return true;
}

/* Routes the demands that may be served from anywhere. */
static void
serve_free(Placement *placement, Sourcing *sourcing)
{
	int			count = placement->demand_count;
	int			candidates = placement->candidate_count;
	int		   *demand_of_line = palloc(sizeof(int) * Max(1, count));
	RouteLine  *lines = palloc(sizeof(RouteLine) * Max(1, count));
	RouteLocation *locations = palloc(sizeof(RouteLocation) * Max(1, candidates));
	RouteProblem problem = {.lines = lines,.locations = locations,.location_count = candidates};
	RoutePlan	plan = {0};
	PolicyScope scope;
	bool		company = false;

	for (int i = 0; i < count; i++)
	{
		Demand	   *demand = &placement->demands[i];

		if (demand->pinned != NULL || demand->together != NULL || demand->lot != NULL)
			continue;
		/* Rows of the matrix close up over the demands that are served. */
		if (problem.line_count != i)
			memmove(stock_of(placement, sourcing, problem.line_count, 0), stock_of(placement, sourcing, i, 0),
					sizeof(RouteStock) * candidates);
		demand_of_line[problem.line_count] = i;
		company |= demand->company > 0;
		lines[problem.line_count++] = (RouteLine) {demand->quantity, placement->backorder && demand->item->backorder && !demand->whole, -1};
	}
	if (problem.line_count == 0)
		return;
	scope = scope_of(placement, demand_of_line, problem.line_count);
	if (oms_routing_applies(&scope, candidates, company) &&
		serve_by_policy(placement, sourcing, &scope, demand_of_line, problem.line_count))
		return;
	for (int i = 0; i < candidates; i++)
	{
		Location   *location = placement->candidates[i];

		locations[i].id = location->location_id;
		locations[i].rank = location->rank;
		locations[i].distance = placement->address
			? oms_location_distance(location, placement->address->latitude, placement->address->longitude)
			: INFINITY;
	}
	problem.stock = sourcing->stock;
	plan.parts = palloc(sizeof(RoutePart) * sourcing->parts_max);
	plan.missing = palloc0(sizeof(int32) * problem.line_count);
	plan.order = palloc(sizeof(int) * Max(1, candidates));
	oms_route(&problem, &plan);
	for (int i = 0; i < plan.part_count; i++)
		add_part(placement, demand_of_line[plan.parts[i].line], plan.parts[i].location, plan.parts[i].quantity,
				 plan.parts[i].backordered);
	for (int i = 0; i < problem.line_count; i++)
		placement->missing[demand_of_line[i]] = plan.missing[i];
}

static Refusal
shortage(Placement *placement)
{
	FaultList	faults;
	int64		reservation_id = placement->document->reservation_id;
	const char *loss = reservation_id != 0 ? oms_reservation_loss(reservation_id) : NULL;
	const PlacedKit *told = NULL;

	oms_faults_init(&faults);
	if (loss != NULL)
		oms_fault(&faults, ERRCODE_OMS_INSUFFICIENT_STOCK, "oms.reserve holds what is left.", "reservation_id",
				  "reservation " INT64_FORMAT " %s and keeps nothing back for this order", reservation_id, loss);
	for (int i = 0; i < placement->demand_count; i++)
	{
		Demand	   *demand = &placement->demands[i];
		int			line = 0;

		if (placement->missing[i] == 0)
			continue;
		while (placement->lines[line].demand != i)
			line++;
		/* A kit goes whole, so its units at other places say nothing: it is told once, as reserve tells it. */
		if (demand->together != NULL)
		{
			if (demand->together != told)
				oms_fault(&faults, ERRCODE_OMS_INSUFFICIENT_STOCK, "oms.available shows how many sets each location has.",
						  oms_placement_place(placement, placement->lines[line].position, "sku"),
						  "\"%s\": no location has all components of %d sets", demand->together->item->sku,
						  demand->together->sets);
			told = demand->together;
			continue;
		}
		oms_fault(&faults, ERRCODE_OMS_INSUFFICIENT_STOCK, "oms.available shows what each location can promise.",
				  oms_placement_place(placement, placement->lines[line].position, "sku"), "\"%s\"%s%s%s%s%s%s: wanted %d, available %d",
				  demand->item->sku, demand->lot ? " of lot \"" : "", demand->lot ? demand->lot : "", demand->lot ? "\"" : "",
				  demand->pinned ? " at \"" : "", demand->pinned ? demand->pinned->code : "",
				  demand->pinned ? "\"" : "", demand->quantity, demand->quantity - placement->missing[i]);
	}
	return oms_faults_refusal(&faults, "not enough stock");
}

/* Whether any location at all may ship for the channel, stock or not. */
static bool
has_location(const Placement *placement)
{
	Configuration *configuration = oms_configuration();
	HASH_SEQ_STATUS scan;
	LocationById *entry;
	bool		found = false;

	hash_seq_init(&scan, configuration->locations_by_id);
	while ((entry = hash_seq_search(&scan)) != NULL)
		found |= is_candidate(placement, entry->location);
	return found;
}

/* Lines of which some units neither are on hand with all others nor may wait. */
static const char *
waiting_faults(const Placement *placement)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < placement->demand_count; i++)
		if (placement->missing[i] > 0)
			appendStringInfo(&text, "%s\"%s\": %d of %d units may not wait", text.len > 0 ? "\n" : "",
							 placement->demands[i].item->sku, placement->missing[i], placement->demands[i].quantity);
	return text.data;
}

/* Why no plan was found. */
static Refusal
refusal_of(Placement *placement)
{
	if (placement->candidate_count == placement->barred_count && !has_location(placement))
		return (Refusal)
	{
		ERRCODE_OMS_NO_LOCATION, "no location can serve the order",
			psprintf("Channel \"%s\" has no active location that %s.", placement->channel->code,
					 placement->pickup ? "is the pickup point" : "ships"),
			"channel_locations links locations; active and ships switch them on."
	};
	if (placement->candidate_count == placement->barred_count && placement->full_count > 0)
		return (Refusal)
	{
		ERRCODE_OMS_NO_LOCATION, "no location has a day left for the order",
			psprintf("Every location that has units is full on all of its next %d days.", PROMISE_HORIZON_DAYS),
			"location_capacity shows the days; oms.load_location_capacity changes them."
	};
	if (placement->incomplete)
		return (Refusal)
	{
		ERRCODE_OMS_NO_LOCATION, "the order ships complete, and not every unit can be sent now or wait",
			waiting_faults(placement), "Without ship_complete what is on hand is sent first."
	};
	if (placement->routing && placement->routing->refusal)
		return (Refusal)
	{
		ERRCODE_OMS_NO_LOCATION, "no plan meets the rules of the routing policy", placement->routing->refusal,
			"Rules listed in \"relax\" of the policy give way."
	};
	return shortage(placement);
}

static int64
wanted_of(const Placement *placement, int64 item_id)
{
	int64		wanted = 0;

	for (int i = 0; i < placement->demand_count; i++)
		if (placement->demands[i].item->item_id == item_id)
			wanted += placement->demands[i].quantity;
	return wanted;
}

/* Whether a demand for the row's item may take from it. */
static bool
is_usable(const StockRow *row, void *state)
{
	const Placement *placement = state;
	Location   *location = oms_location_by_id(row->location_id);
	bool		wanted = false;

	for (int i = 0; i < placement->demand_count; i++)
		wanted |= placement->demands[i].item->item_id == row->item_id &&
			(placement->demands[i].pinned == NULL || placement->demands[i].pinned == location);
	return wanted && is_candidate(placement, location);
}

/* The counters as the order sees them: with its holds free, without what it must leave and has taken. */
StockView *
oms_placement_view(Placement *placement)
{
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, placement->demand_count));
	StockView  *view;

	for (int i = 0; i < placement->demand_count; i++)
		item_ids[i] = placement->demands[i].item->item_id;
	if (placement->running)
		view = oms_running_view(placement->running, item_ids, placement->demand_count);
	else
		view = oms_quotas_view(placement->channel, placement->document->reservation_id, item_ids, placement->demand_count,
							   &placement->quotas);
	oms_lots_discount_until(view, placement->horizons, placement->horizon_count);
	if (placement->holds)
		oms_holds_credit(placement->holds, view);
	oms_stock_view_take(view, placement->beside, placement->beside_count);
	oms_stock_view_take(view, placement->taken, placement->taken_count);
	oms_quotas_count(placement->quotas, placement->taken, placement->taken_count);
	for (int i = 0; placement->quotas && i < placement->demand_count; i++)
		oms_quotas_trim(placement->quotas, view, item_ids[i], wanted_of(placement, item_ids[i]), is_usable, placement);
	return view;
}

/* Reads the counters and plans; false where not every unit can be promised. */
static bool
plan_once(Placement *placement)
{
	Sourcing	sourcing = {0};
	int		   *position_of_row;
	int64		missing = 0;

	placement->part_count = 0;
	placement->routing = NULL;
	if (placement->demand_count == 0)
		return true;
	sourcing.view = oms_placement_view(placement);
	read_capacity(placement, sourcing.view);
	position_of_row = palloc(sizeof(int) * Max(1, sourcing.view->count));
	placement->candidate_count = collect_candidates(placement, sourcing.view, position_of_row);
	fill_matrix(placement, &sourcing, position_of_row);

	/* A part uses up a counter's units or completes a demand. */
	sourcing.parts_max = 2 * (sourcing.view->count + placement->demand_count) + 2;
	placement->parts = palloc(sizeof(RoutePart) * sourcing.parts_max);
	placement->missing = palloc(sizeof(int32) * placement->demand_count);
	for (int i = 0; i < placement->demand_count; i++)
		placement->missing[i] = placement->demands[i].quantity;
	serve_lots(placement, &sourcing);
	serve_pinned(placement, &sourcing);
	serve_kits(placement, &sourcing);
	serve_free(placement, &sourcing);
	for (int i = 0; i < placement->demand_count; i++)
		missing += placement->missing[i];
	return missing == 0;
}

/*
 * Plans; an order that ships complete gets all of its units from stock, or else
 * waits for all of them.
 */
static bool
plan_sources(Placement *placement)
{
	bool		firm = false;

	placement->incomplete = false;
	if (!plan_once(placement))
		return false;
	for (int i = 0; i < placement->part_count; i++)
		firm |= !placement->parts[i].backordered;
	if (!placement->ship_complete || !firm || !oms_placement_has_backorder(placement))
		return true;
	placement->later_only = true;
	placement->incomplete = !plan_once(placement);
	placement->later_only = false;
	return !placement->incomplete;
}

bool
oms_placement_has_backorder(const Placement *placement)
{
	for (int i = 0; i < placement->group_count; i++)
		if (oms_placement_has_backorder(placement->groups[i]))
			return true;
	for (int i = 0; placement->group_count == 0 && i < placement->part_count; i++)
		if (placement->parts[i].backordered)
			return true;
	return false;
}

/* Whether the order may take units of an item from a location. */
bool
oms_placement_may_use(const Placement *placement, int64 item_id, int64 location_id)
{
	StockRow	row = {.item_id = item_id,.location_id = location_id};

	for (int i = 0; i < placement->group_count; i++)
		if (is_usable(&row, placement->groups[i]))
			return true;
	return placement->group_count == 0 && is_usable(&row, unconstify(Placement *, placement));
}

/*
 * Plans once more with units that come until they are wanted, where not all are
 * on hand; where these do not suffice, with whatever comes whenever.
 */
static bool
plan_in_time(Placement *placement)
{
	int64	   *item_ids = palloc(sizeof(int64) * placement->demand_count);
	bool		possible;

	for (int i = 0; i < placement->demand_count; i++)
		item_ids[i] = placement->demands[i].item->item_id;
	placement->in_time = oms_supplies_read_with_promises(item_ids, placement->demand_count, placement->document->requested_at);
	placement->asks_supplies = placement->in_time->count > 0;
	possible = placement->in_time->count == 0 || plan_sources(placement);
	placement->in_time = NULL;
	return possible || plan_sources(placement);
}

/*
 * Plans, with the units of the document's own reservation.  Where units on hand
 * do not suffice, those of expired holds are looked up and counted as free.
 */
bool
oms_placement_find_sources(Placement *placement)
{
	int64		own = placement->document->reservation_id;
	int64	   *item_ids;
	bool		possible;

	placement->holds = own != 0 ? oms_holds_read(own, NULL, 0) : NULL;
	placement->asks_supplies = false;
	possible = plan_sources(placement);
	if ((possible && !oms_placement_has_backorder(placement)) || placement->demand_count == 0)
		return possible;
	item_ids = palloc(sizeof(int64) * placement->demand_count);
	for (int i = 0; i < placement->demand_count; i++)
		item_ids[i] = placement->demands[i].item->item_id;
	if (!placement->leaves_holds)
		placement->holds = oms_holds_read(own, item_ids, placement->demand_count);
	if (placement->holds && oms_holds_of_others(placement->holds))
		possible = plan_sources(placement);
	if (possible && placement->document->requested_at != DT_NOBEGIN && oms_placement_has_backorder(placement))
		possible = plan_in_time(placement);
	return possible;
}

void
oms_placement_record_routing(Placement *placement, int decision_no)
{
	if (placement->group_count == 0 && placement->routing)
		oms_routing_record(placement->routing, placement->order_id, decision_no);
	for (int i = 0; i < placement->group_count; i++)
		if (placement->groups[i]->routing)
			oms_routing_record(placement->groups[i]->routing, placement->order_id, decision_no + i);
}

/* Why the last plan did not come about. */
Refusal
oms_placement_refusal(Placement *placement)
{
	return refusal_of(placement->failed ? placement->failed : placement);
}

void
oms_placement_refuse(Placement *placement)
{
	Refusal		refusal = oms_placement_refusal(placement);

	oms_refuse(&refusal);
}
