/*
 * repromise.c
 *	  Units of placed orders that lose their promise, planned anew in the same
 *	  call.
 *
 * Planning reads and locks nothing, so that a preview plans by the same code and
 * a caller knows every counter before it locks the first: beside says what the
 * call takes and gives back otherwise.  What cannot be promised anywhere waits.
 */
#include "oms.h"

#include "miscadmin.h"

#include "allocation.h"
#include "location.h"
#include "order_addition.h"
#include "order_placement.h"
#include "repromise.h"

static int
line_index(const Repromise *repromise, int32 line_no)
{
	return oms_order_line(repromise->lines, line_no) - repromise->lines->rows;
}

/* Leaves out the units that the plan found no place for; false where none are left. */
static bool
leave_missing(Repromise *repromise, const struct Placement *placement)
{
	const Placement *group = placement && placement->failed ? placement->failed : placement;
	bool		left_out = false;
	bool		any = false;

	for (int i = 0; group && group->missing && i < group->demand_count; i++)
	{
		int32		missing = group->missing[i];

		for (int j = group->line_count - 1; j >= 0 && missing > 0; j--)
		{
			int32	   *more = &repromise->more[line_index(repromise, group->lines[j].line_no)];
			int32		units = group->lines[j].demand == i ? Min(missing, *more) : 0;

			*more -= units;
			missing -= units;
			left_out |= units > 0;
		}
	}
	for (int i = 0; i < repromise->lines->count; i++)
		any |= repromise->more[i] > 0;
	return left_out && any;
}

/* The units that are to be planned, by line; those of a kit that ships together would part. */
static bool
mark_units(Repromise *repromise)
{
	const bool *together;
	bool		any = false;

	repromise->lines = oms_order_lines(repromise->order_id);
	repromise->more = palloc0(sizeof(int32) * Max(1, repromise->lines->count));
	if (repromise->stays)
		return false;
	together = oms_order_lines_together(repromise->order_id, repromise->lines);
	for (int i = 0; i < repromise->cut_count; i++)
	{
		int			line = line_index(repromise, repromise->cuts[i].line_no);

		if (together[line])
			continue;
		repromise->more[line] += repromise->cuts[i].quantity;
		any = true;
	}
	return any;
}

/* Plans the cut units of an order, as many as can be promised. */
void
oms_repromise_plan(Repromise *repromise, const StockRow *beside, int count)
{
	Placement  *placement;
	bool		possible;

	repromise->placement = NULL;
	repromise->order = oms_order_read(repromise->order_id);
	if (!mark_units(repromise))
		return;
	do
	{
		CHECK_FOR_INTERRUPTS();
		placement = oms_order_plan_beside(repromise->order, oms_order_addition(repromise->order_id, repromise->lines,
																			  repromise->more, NULL),
										  beside, count, &possible);
		if (possible)
		{
			repromise->placement = placement;
			return;
		}
	} while (leave_missing(repromise, placement));
	oms_repromise_drop(repromise);
}

/* When something arrives, or where that is not known, leaves; DT_NOEND: not known. */
typedef struct PartDates
{
	TimestampTz promised_at;
	TimestampTz ship_by;
} PartDates;

/* The last dates of a line's new promises on hand, and their units. */
static PartDates
new_dates(const Repromise *repromise, int32 line_no, int64 *firm)
{
	const Placement *placement = repromise->placement;
	PartDates	last = {DT_NOBEGIN, DT_NOBEGIN};

	for (int i = 0; placement && i < placement->allocation_count; i++)
	{
		const Allocation *row = &placement->allocations[i];
		const Fulfillment *fulfillment = &placement->fulfillments[row->fulfillment_id];

		if (row->line_no != line_no || fulfillment->backordered)
			continue;
		*firm += row->promised;
		last.promised_at = Max(last.promised_at, fulfillment->dates.arrives ? fulfillment->dates.promised_at : DT_NOEND);
		last.ship_by = Max(last.ship_by, fulfillment->dates.ships ? fulfillment->dates.ship_by : DT_NOEND);
	}
	return last;
}

/* Whether all cut units are on hand elsewhere, and no line gets later than it was promised. */
bool
oms_repromise_keeps_dates(const Repromise *repromise)
{
	for (int i = 0; i < repromise->cut_count; i++)
	{
		int32		line_no = repromise->cuts[i].line_no;
		PartDates	old = {DT_NOEND, DT_NOEND};
		PartDates	new;
		int64		wanted = 0;
		int64		firm = 0;

		for (int j = 0; j < repromise->cut_count; j++)
			if (repromise->cuts[j].line_no == line_no)
			{
				wanted += repromise->cuts[j].quantity;
				old.promised_at = Min(old.promised_at, repromise->cuts[j].promised_at);
				old.ship_by = Min(old.ship_by, repromise->cuts[j].ship_by);
			}
		new = new_dates(repromise, line_no, &firm);
		if (firm < wanted || new.promised_at > old.promised_at ||
			(old.promised_at == DT_NOEND && new.ship_by > old.ship_by))
			return false;
	}
	return true;
}

/* The counters that the new promises take of, in lock order. */
int
oms_repromise_counters(const Repromise *repromise, StockRow **rows)
{
	int			count = 0;

	if (repromise->placement)
		*rows = oms_placement_counters(repromise->placement, &count);
	return count;
}

/* The days that they take of, and those that the cut ones have taken of. */
int
oms_repromise_days(const Repromise *repromise, CapacityRow **rows)
{
	int			count = 0;

	*rows = palloc(sizeof(CapacityRow) *
				   (repromise->cut_count + (repromise->placement ? repromise->placement->fulfillment_count : 0) + 1));
	for (int i = 0; i < repromise->cut_count; i++)
		if (repromise->cuts[i].day.amount > 0)
			(*rows)[count++] = repromise->cuts[i].day;
	if (repromise->placement)
		count += oms_placement_days(repromise->placement, *rows + count);
	return count;
}

/* Takes the cut units from a locked order: those that get no new promise wait. */
void
oms_repromise_give_up(Repromise *repromise, const char *reason)
{
	AllocationList *list = oms_allocations_of_order(repromise->order_id);

	repromise->lines = oms_order_lines(repromise->order_id);
	for (int i = 0; i < repromise->cut_count; i++)
	{
		const Cut  *cut = &repromise->cuts[i];
		OrderLine  *line = oms_order_line(repromise->lines, cut->line_no);

		for (int j = 0; j < list->count; j++)
			if (list->rows[j].fulfillment_id == cut->fulfillment_id && list->rows[j].line_no == cut->line_no)
				list->rows[j].delta.cancelled += cut->quantity;
		line->delta.allocated -= cut->quantity;
		line->delta.backordered += cut->quantity;
	}
	for (int i = 0; i < repromise->lines->count; i++)
		repromise->lines->rows[i].delta.backordered -= repromise->more[i];
	oms_order_give_up(repromise->order, repromise->lines, list, reason);
}

/* The same for units that wait already: those that get a new promise wait no more. */
void
oms_repromise_take_back(Repromise *repromise)
{
	OrderLines *lines = oms_order_lines(repromise->order_id);

	for (int i = 0; i < lines->count; i++)
		lines->rows[i].delta.backordered -= repromise->more[i];
	oms_order_lines_write(repromise->order_id, lines);
}

/* Leaves all units waiting. */
void
oms_repromise_drop(Repromise *repromise)
{
	repromise->placement = NULL;
	memset(repromise->more, 0, sizeof(int32) * repromise->lines->count);
}

/* Takes and writes the new promises; false where their units, or days, are gone. */
bool
oms_repromise_write(Repromise *repromise)
{
	if (repromise->placement == NULL)
		return true;
	oms_placement_set_beside(repromise->placement, NULL, 0);
	if (!oms_placement_take(repromise->placement))
		return false;
	oms_order_write_addition(repromise->placement);
	return true;
}

static void
describe_promises(DocWriter *writer, const Placement *placement)
{
	oms_write_begin_array(writer, "promised");
	for (int i = 0; i < placement->allocation_count; i++)
	{
		const Allocation *row = &placement->allocations[i];

		oms_write_begin_object(writer, NULL);
		oms_write_int64(writer, "line_no", row->line_no);
		oms_write_int64(writer, "quantity", row->promised);
		oms_write_text(writer, "location", oms_location_by_id(row->location_id)->code);
		if (row->backordered)
			oms_write_bool(writer, "backordered", true);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}

/* What an order loses, what it is promised for that, and how many units wait: fields of an object. */
void
oms_repromise_describe(DocWriter *writer, const Repromise *repromise)
{
	int64		waiting = 0;

	oms_write_begin_array(writer, "lines");
	for (int i = 0; i < repromise->cut_count; i++)
	{
		const Cut  *cut = &repromise->cuts[i];

		oms_write_begin_object(writer, NULL);
		oms_write_int64(writer, "line_no", cut->line_no);
		oms_write_int64(writer, "quantity", cut->quantity);
		oms_write_text(writer, "location", oms_location_by_id(cut->location_id)->code);
		oms_write_end(writer);
		waiting += cut->quantity;
	}
	oms_write_end_array(writer);
	for (int i = 0; i < repromise->lines->count; i++)
		waiting -= repromise->more[i];
	if (repromise->placement)
		describe_promises(writer, repromise->placement);
	if (waiting > 0)
		oms_write_int64(writer, "waiting", waiting);
}
