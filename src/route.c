/*
 * route.c
 *	  Which location serves which units of an order: the nearest one that has
 *	  everything, else from the nearest on, splitting where it must.
 *
 * Distances tie by rank, then by id, so equal input gives an equal plan.
 */
#include "route.h"

#include <stdlib.h>

/* Whether location a comes before b. */
static bool
is_before(const RouteLocation *a, const RouteLocation *b)
{
	if (a->distance != b->distance)
		return a->distance < b->distance;
	if (a->rank != b->rank)
		return a->rank < b->rank;
	return a->id < b->id;
}

static const RouteStock *
stock_at(const RouteProblem *problem, int line, int location)
{
	return &problem->stock[line * problem->location_count + location];
}

static bool
may_serve(const RouteProblem *problem, int line, int location)
{
	int			pinned = problem->lines[line].pinned;

	return pinned < 0 || pinned == location;
}

static bool
has_everything(const RouteProblem *problem, int location)
{
	for (int line = 0; line < problem->line_count; line++)
		if (!may_serve(problem, line, location) ||
			stock_at(problem, line, location)->free < problem->lines[line].quantity)
			return false;
	return true;
}

/* Heap sort of the locations by is_before: no recursion, no allocation. */
static void
sift_down(const RouteLocation *locations, int *order, int root, int count)
{
	for (;;)
	{
		int			child = 2 * root + 1;
		int			swap;

		if (child >= count)
			return;
		if (child + 1 < count && is_before(&locations[order[child]], &locations[order[child + 1]]))
			child++;
		if (!is_before(&locations[order[root]], &locations[order[child]]))
			return;
		swap = order[root];
		order[root] = order[child];
		order[child] = swap;
		root = child;
	}
}

static void
sort_locations(const RouteProblem *problem, int *order)
{
	int			count = problem->location_count;

	for (int i = 0; i < count; i++)
		order[i] = i;
	for (int i = count / 2 - 1; i >= 0; i--)
		sift_down(problem->locations, order, i, count);
	for (int i = count - 1; i > 0; i--)
	{
		int			swap = order[0];

		order[0] = order[i];
		order[i] = swap;
		sift_down(problem->locations, order, 0, i);
	}
}

static void
add_part(RoutePlan *plan, int line, int location, int32_t quantity, bool backordered)
{
	RoutePart  *part = &plan->parts[plan->part_count++];

	part->line = line;
	part->location = location;
	part->quantity = quantity;
	part->backordered = backordered;
}

/* The nearest location that has every line whole; -1 where there is none. */
static int
nearest_complete(const RouteProblem *problem)
{
	int			best = -1;

	for (int i = 0; i < problem->location_count; i++)
		if ((best < 0 || is_before(&problem->locations[i], &problem->locations[best])) &&
			has_everything(problem, i))
			best = i;
	return best;
}

static int32_t
smaller(int32_t a, int32_t b)
{
	return a < b ? a : b;
}

/* Units beyond what is on hand: from the nearest location whose limit allows. */
static void
add_backorders(const RouteProblem *problem, RoutePlan *plan, int line)
{
	for (int i = 0; i < problem->location_count && plan->missing[line] > 0; i++)
	{
		int			location = plan->order[i];
		int32_t		take = smaller(stock_at(problem, line, location)->backorder, plan->missing[line]);

		if (take <= 0 || !may_serve(problem, line, location))
			continue;
		add_part(plan, line, location, take, true);
		plan->missing[line] -= take;
	}
}

static void
split_over_locations(const RouteProblem *problem, RoutePlan *plan)
{
	sort_locations(problem, plan->order);
	for (int i = 0; i < problem->location_count; i++)
		for (int line = 0; line < problem->line_count; line++)
		{
			int			location = plan->order[i];
			int32_t		take = smaller(stock_at(problem, line, location)->free, plan->missing[line]);

			if (take <= 0 || !may_serve(problem, line, location))
				continue;
			add_part(plan, line, location, take, false);
			plan->missing[line] -= take;
		}
	for (int line = 0; line < problem->line_count; line++)
		if (problem->lines[line].backorder)
			add_backorders(problem, plan, line);
}

/* Plans an order.  Never fails: plan->missing says what could not be placed. */
void
oms_route(const RouteProblem *problem, RoutePlan *plan)
{
	int			complete = nearest_complete(problem);

	plan->part_count = 0;
	for (int line = 0; line < problem->line_count; line++)
		plan->missing[line] = complete < 0 ? problem->lines[line].quantity : 0;
	if (complete < 0)
	{
		split_over_locations(problem, plan);
		return;
	}
	for (int line = 0; line < problem->line_count; line++)
		add_part(plan, line, complete, problem->lines[line].quantity, false);
}
