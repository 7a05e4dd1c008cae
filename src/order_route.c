/*
 * order_route.c
 *	  Planning what of a placed order is not released yet anew.
 *
 * The units go back and are planned and promised as an edit does it, with the
 * stock and the policy of today.  Then both plans are compared: the old promises
 * stay unless the new plan has more units on hand, or as many for less, and no
 * line that was promised gets later.  What is not better is undone with its
 * subtransaction, so that nothing but an event tells of it.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "allocation.h"
#include "call.h"
#include "document.h"
#include "event.h"
#include "hold.h"
#include "machine.h"
#include "order.h"
#include "order_addition.h"
#include "order_placement.h"
#include "relation.h"

/* Units that were promised, before they went back. */
typedef struct OldPart
{
	int64		fulfillment_id;
	int64		item_id;
	int64		location_id;
	int32		line_no;
	int32		quantity;
	bool		backordered;
	TimestampTz promised_at;	/* DT_NOEND: not known */
} OldPart;

/* What both plans have of a line. */
typedef struct LineView
{
	int32		old_firm;
	int32		firm;
	TimestampTz old_date;		/* of the firm units; DT_NOEND: not known */
	TimestampTz date;
} LineView;

typedef struct Reroute
{
	Order	   *order;
	OrderLines *lines;
	bool		dry_run;
	OldPart    *parts;
	int			part_count;
	int32		units;			/* that are planned anew */
	int32		old_firm;
	int32		firm;
	bool		priced;			/* both plans, by the policy */
	int64		old_cost;
	int64		cost;
	bool		changed;
	const char *reason;
	Jsonb	   *document;		/* the order as it is, or would be */
} Reroute;

static OmsPlan dates_plan = {
	.sql = "SELECT fulfillment_id, promised_at FROM {fulfillments} WHERE order_id = $2 AND tenant_id = $1 AND promised_at IS NOT NULL",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* ---- The old plan ---- */

static void
note_date(TupleTableSlot *slot, void *state)
{
	Reroute    *reroute = state;
	bool		isnull;

	for (int i = 0; i < reroute->part_count; i++)
		if (reroute->parts[i].fulfillment_id == oms_slot_int64(slot, 1))
			reroute->parts[i].promised_at = DatumGetTimestampTz(oms_slot_datum(slot, 2, &isnull));
}

/* Keeps what is about to go back. */
static void
keep_parts(Reroute *reroute, const AllocationList *allocations)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(reroute->order->order_id)};

	reroute->parts = palloc(sizeof(OldPart) * Max(1, allocations->count));
	reroute->part_count = reroute->old_firm = 0;
	for (int i = 0; i < allocations->count; i++)
	{
		const Allocation *row = &allocations->rows[i];

		if (row->delta.cancelled == 0)
			continue;
		reroute->parts[reroute->part_count++] = (OldPart)
		{
			row->fulfillment_id, row->item_id, row->location_id, row->line_no, row->delta.cancelled, row->backordered, DT_NOEND
		};
		if (!row->backordered)
			reroute->old_firm += row->delta.cancelled;
	}
	(void) oms_execute_each(&dates_plan, values, NULL, note_date, reroute);
}

/* ---- Comparing ---- */

static int
line_index(const Reroute *reroute, int32 line_no)
{
	return oms_order_line(reroute->lines, line_no) - reroute->lines->rows;
}

/* What each line had and would have; fulfillment_id of a plan is an index yet. */
static LineView *
view_lines(Reroute *reroute, const Placement *placement)
{
	LineView   *views = palloc0(sizeof(LineView) * Max(1, reroute->lines->count));

	for (int i = 0; i < reroute->lines->count; i++)
		views[i].old_date = views[i].date = DT_NOBEGIN;
	for (int i = 0; i < reroute->part_count; i++)
	{
		const OldPart *part = &reroute->parts[i];
		LineView   *view = &views[line_index(reroute, part->line_no)];

		if (part->backordered)
			continue;
		view->old_firm += part->quantity;
		view->old_date = Max(view->old_date, part->promised_at);
	}
	for (int i = 0; i < placement->allocation_count; i++)
	{
		const Allocation *row = &placement->allocations[i];
		const Fulfillment *fulfillment = &placement->fulfillments[row->fulfillment_id];
		LineView   *view = &views[line_index(reroute, row->line_no)];

		view->date = Max(view->date, fulfillment->dates.arrives ? fulfillment->dates.promised_at : DT_NOEND);
		if (fulfillment->backordered)
			continue;
		view->firm += row->promised;
		reroute->firm += row->promised;
	}
	return views;
}

/* Whether the new plan takes anything from a line that it had; reason says what. */
static bool
breaks_promise(Reroute *reroute, const LineView *views)
{
	for (int i = 0; i < reroute->lines->count; i++)
	{
		if (views[i].firm < views[i].old_firm)
			reroute->reason = psprintf("line %d would have fewer units on hand", reroute->lines->rows[i].line_no);
		else if (views[i].old_firm > 0 && views[i].date > views[i].old_date)
			reroute->reason = psprintf("line %d would arrive later than promised", reroute->lines->rows[i].line_no);
		else
			continue;
		return true;
	}
	return false;
}

static bool
has_line(const Placement *group, int32 line_no)
{
	for (int i = 0; i < group->line_count; i++)
		if (group->lines[i].line_no == line_no)
			return true;
	return false;
}

/* The old plan of a group, as the router compares it. */
static RoutingUnits *
old_units(const Reroute *reroute, const Placement *group, int *count)
{
	RoutingUnits *units = palloc(sizeof(RoutingUnits) * Max(1, reroute->part_count));

	*count = 0;
	for (int i = 0; i < reroute->part_count; i++)
	{
		const OldPart *part = &reroute->parts[i];

		if (!part->backordered && has_line(group, part->line_no))
			units[(*count)++] = (RoutingUnits) {part->item_id, part->location_id, part->quantity};
	}
	return units;
}

/* Where no policy decided: fewer places, then shorter ways. */
typedef struct Spread
{
	int			places;
	double		kilometres;
} Spread;

static void
add_place(Spread *spread, const Placement *group, int64 location_id)
{
	const Location *location = oms_location_by_id(location_id);
	double		distance = location && group->address
		? oms_location_distance(location, group->address->latitude, group->address->longitude) : INFINITY;

	spread->places++;
	spread->kilometres += isinf(distance) ? 0 : distance;
}

static int
compare_spread(const Reroute *reroute, const Placement *group)
{
	Spread		before = {0};
	Spread		now = {0};

	for (int i = 0; i < reroute->part_count; i++)
	{
		const OldPart *part = &reroute->parts[i];
		bool		counted = part->backordered || !has_line(group, part->line_no);

		for (int j = 0; j < i && !counted; j++)
			counted = !reroute->parts[j].backordered && reroute->parts[j].location_id == part->location_id &&
				has_line(group, reroute->parts[j].line_no);
		if (!counted)
			add_place(&before, group, part->location_id);
	}
	for (int i = 0; i < group->fulfillment_count; i++)
		if (!group->fulfillments[i].backordered && group->fulfillments[i].location_id != 0)
			add_place(&now, group, group->fulfillments[i].location_id);
	if (before.places != now.places)
		return before.places > now.places ? 1 : -1;
	return before.kilometres > now.kilometres ? 1 : before.kilometres < now.kilometres ? -1 : 0;
}

/* Compares the plans of one delivery; an old plan that breaks the rules of today is worse than any. */
static int
compare_group(Reroute *reroute, const Placement *group)
{
	int			count;
	RoutingUnits *units = old_units(reroute, group, &count);
	RoutingComparison comparison;

	if (group->routing == NULL || group->routing->decision == NULL)
	{
		reroute->priced = false;
		return compare_spread(reroute, group);
	}
	comparison = oms_routing_compare(group->routing, units, count);
	reroute->priced &= comparison.priced;
	reroute->old_cost += comparison.old_cost;
	reroute->cost += comparison.cost;
	return comparison.order;
}

static bool
is_better(Reroute *reroute, const Placement *placement)
{
	bool		broken;
	int			groups = Max(1, placement->group_count);
	bool		better = false;
	bool		worse = false;

	reroute->firm = 0;
	reroute->cost = reroute->old_cost = 0;
	reroute->priced = true;
	broken = breaks_promise(reroute, view_lines(reroute, placement));
	for (int i = 0; i < groups; i++)
	{
		int			order = compare_group(reroute, placement->group_count > 0 ? placement->groups[i] : placement);

		better |= order > 0;
		worse |= order < 0;
	}
	if (broken)
		return false;
	if (reroute->firm > reroute->old_firm)
	{
		reroute->reason = "more units are on hand";
		return true;
	}
	better &= !worse;
	reroute->reason = better ? "the plan is better" : "no plan is better";
	return better;
}

/* ---- Planning ---- */

/*
 * Where some units that have no promise yet can get none, they go on waiting:
 * left counts them by line.  False where others lack, so that there is no plan.
 */
static bool
leave_waiting(Reroute *reroute, const Placement *placement, const int32 *waiting, int32 *left)
{
	const Placement *group = placement->failed ? placement->failed : placement;
	bool		any = false;

	for (int i = 0; i < group->demand_count; i++)
	{
		int32		missing = group->missing ? group->missing[i] : 0;

		for (int j = group->line_count - 1; j >= 0 && missing > 0; j--)
		{
			int			line = line_index(reroute, group->lines[j].line_no);
			int32		units = Min(missing, waiting[line]);

			if (group->lines[j].demand != i)
				continue;
			left[line] += units;
			missing -= units;
			any |= units > 0;
		}
		if (missing > 0)
			return false;
	}
	return any;
}

/* Withdraws and plans all but the units that are left; false where another attempt may leave more. */
static bool
attempt_plan(Reroute *reroute, int32 *left)
{
	int64		order_id = reroute->order->order_id;
	AllocationList *allocations = oms_allocations_of_order(order_id);
	int32	   *more = palloc0(sizeof(int32) * Max(1, reroute->lines->count));
	int32	   *waiting = palloc(sizeof(int32) * Max(1, reroute->lines->count));
	OmsAttempt	attempt;
	Placement  *placement;
	bool		possible;
	bool		again;

	reroute->lines = oms_order_lines(order_id);
	memcpy(waiting, left, sizeof(int32) * reroute->lines->count);
	if (!oms_order_withdraw(reroute->lines, allocations, oms_order_lines_together(order_id, reroute->lines), more, waiting))
		return true;
	reroute->units = 0;
	for (int i = 0; i < reroute->lines->count; i++)
		reroute->units += more[i];
	keep_parts(reroute, allocations);
	reroute->reason = "no plan is possible";
	oms_attempt_begin(&attempt);
	oms_order_give_up(reroute->order, reroute->lines, allocations, "routed anew");
	placement = oms_order_plan_addition(reroute->order, oms_order_addition(order_id, reroute->lines, more, NULL), 0, &possible);
	again = !possible && leave_waiting(reroute, placement, waiting, left);
	reroute->changed = possible && is_better(reroute, placement);
	if (reroute->changed)
	{
		/* Where others were faster this makes another plan, which need not be better. */
		oms_placement_reserve(placement);
		reroute->changed = is_better(reroute, placement);
	}
	if (reroute->changed)
	{
		oms_order_write_addition(placement);
		oms_order_refresh(order_id);
		reroute->document = oms_order_document(order_id);
	}
	if (reroute->changed && !reroute->dry_run)
		oms_attempt_keep(&attempt);
	else
		oms_attempt_undo(&attempt);
	return !again;
}

static void
try_plan(void *state)
{
	Reroute    *reroute = state;
	int32	   *left = palloc0(sizeof(int32) * Max(1, reroute->lines->count));

	reroute->reason = "nothing waits to be released";
	while (!attempt_plan(reroute, left))
		CHECK_FOR_INTERRUPTS();
}

/* Refuses orders that have no plan, or have come to their end. */
static void
begin_reroute(Reroute *reroute, int64 order_id)
{
	reroute->order = oms_order_lock(order_id);
	if (oms_machine_final(MACHINE_ORDER, reroute->order->status) ||
		strcmp(reroute->order->status, oms_machine_initial(MACHINE_ORDER)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " is %s: route is not allowed", order_id, reroute->order->status),
				 errdetail("Only orders that are placed and not finished are routed."),
				 errhint("oms.place_draft places a draft.")));
	oms_hold_check(order_id, "order.route", 0, NULL, 0);
	reroute->lines = oms_order_lines(order_id);
}

static void
write_amounts(DocWriter *writer, const Reroute *reroute)
{
	oms_write_text(writer, "reason", reroute->reason);
	oms_write_int64(writer, "units", reroute->units);
	oms_write_int64(writer, "on_hand_before", reroute->old_firm);
	oms_write_int64(writer, "on_hand", reroute->changed ? reroute->firm : reroute->old_firm);
	if (reroute->priced)
	{
		oms_write_numeric(writer, "cost_before", int64_div_fast_to_numeric(reroute->old_cost, 3));
		oms_write_numeric(writer, "cost", int64_div_fast_to_numeric(reroute->changed ? reroute->cost : reroute->old_cost, 3));
	}
}

static Jsonb *
event_data(const Reroute *reroute)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	write_amounts(&writer, reroute);
	return oms_write_finish(&writer);
}

static Jsonb *
answer(const Reroute *reroute)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_int64(&writer, "order_id", reroute->order->order_id);
	oms_write_bool(&writer, "dry_run", reroute->dry_run);
	oms_write_bool(&writer, "changed", reroute->changed);
	write_amounts(&writer, reroute);
	oms_write_jsonb(&writer, "order", reroute->document ? reroute->document : oms_order_document(reroute->order->order_id));
	return oms_write_finish(&writer);
}

/*
 * oms.route_order(order_id bigint, dry_run boolean, idempotency_key text) -> jsonb
 */
OMS_FUNCTION(oms_route_order, CALL_KEYED)
{
	int64		order_id = oms_argument_id(fcinfo, 0, "order_id");
	Reroute		reroute = {.dry_run = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1)};
	char	   *refusal;

	oms_call->dry_run = reroute.dry_run;
	begin_reroute(&reroute, order_id);
	refusal = oms_attempt_plan(try_plan, &reroute);
	if (refusal)
	{
		reroute.changed = false;
		reroute.reason = refusal;
	}
	if (reroute.units > 0 && !reroute.dry_run)
		oms_event(&(Event) {.order_id = order_id,.object_id = order_id,.object_type = "order",
							.type = reroute.changed ? "order.rerouted" : "order.route_kept",.reason = reroute.reason,
							.data = event_data(&reroute)});
	PG_RETURN_JSONB_P(answer(&reroute));
}
