/*
 * route_kernel_price.c
 *	  Plans that somebody else made: checked against the problem, then priced
 *	  like any other.
 */
#include "route_kernel_work.h"

#include <string.h>

/* What a plan takes, as it is added up. */
typedef struct Tally
{
	int32_t    *taken;			/* by line and location */
	int64_t    *served;			/* by line */
	int64_t    *load;			/* grams by location */
	bool	   *used;			/* by location */
	int32_t		packages;
} Tally;

static RoutePlanFault
tally_share(const RouteProblem *problem, Tally *tally, const RouteShare *share)
{
	size_t		cell;

	if (share->line < 0 || share->line >= problem->line_count ||
		share->location < 0 || share->location >= problem->location_count || share->units < 1)
		return ROUTE_PLAN_SHARE;
	cell = (size_t) share->line * problem->location_count + share->location;
	if (share->units > problem->stock[cell] - tally->taken[cell])
		return ROUTE_PLAN_STOCK;
	tally->taken[cell] += share->units;
	tally->served[share->line] += share->units;
	if (tally->served[share->line] > problem->quantity[share->line])
		return ROUTE_PLAN_TOO_MANY;
	if (line_whole(problem, share->line) && share->units < problem->quantity[share->line])
		return ROUTE_PLAN_WHOLE_LINE;
	tally->load[share->location] += line_weight(problem, share->line) * share->units;
	tally->packages += !tally->used[share->location];
	tally->used[share->location] = true;
	if (problem->packages_max > 0 && tally->packages > problem->packages_max)
		return ROUTE_PLAN_PACKAGES;
	return ROUTE_PLAN_OK;
}

/* Whether a line comes from more locations than it may. */
static bool
tally_places(const RouteProblem *problem, const Tally *tally, int32_t l)
{
	size_t		row = (size_t) l * problem->location_count;
	int32_t		places = 0;

	if (problem->places_max == NULL || problem->places_max[l] == 0 || line_whole(problem, l))
		return false;
	for (int32_t i = 0; i < problem->location_count; i++)
		places += tally->taken[row + i] > 0 && (problem->line_cost == NULL || problem->line_cost[row + i] >= 0);
	return places > problem->places_max[l];
}

/* What only the whole plan shows. */
static RoutePlanFault
tally_check(const RouteProblem *problem, const Tally *tally, int32_t *line, int32_t *location)
{
	for (int32_t l = 0; l < problem->line_count; l++)
		if (tally->served[l] < problem->quantity[l] && line_must(problem, l))
		{
			*line = l;
			return ROUTE_PLAN_TOO_FEW;
		}
	for (int32_t l = 0; l < problem->line_count; l++)
		if (tally_places(problem, tally, l))
		{
			*line = l;
			return ROUTE_PLAN_PLACES;
		}
	for (int32_t i = 0; i < problem->location_count; i++)
	{
		const RouteTariff *tariff = location_tariff(problem, i);

		if (tally->used[i] && tariff != NULL && tally->load[i] > tariff->limit_grams[tariff->step_count - 1])
		{
			*location = i;
			return ROUTE_PLAN_WEIGHT;
		}
	}
	return ROUTE_PLAN_OK;
}

RoutePlanFault
route_price(const RouteProblem *problem, const RouteControl *control, const RouteShare *shares, int32_t count,
			RouteResult *result, int32_t *line, int32_t *location)
{
	size_t		cells = (size_t) problem->line_count * problem->location_count;
	RoutePlanFault fault = ROUTE_PLAN_OK;
	Tally		tally = {0};
	RouteShare *copy;
	Arena		arena;

	*line = *location = -1;
	arena_begin(&arena, control);
	kernel_result_begin(result);
	if (kernel_check_problem(problem) != NULL)
		return ROUTE_PLAN_PROBLEM;
	tally.taken = TAKE_ZEROED(&arena, int32_t, cells);
	tally.served = TAKE_ZEROED(&arena, int64_t, problem->line_count);
	tally.load = TAKE_ZEROED(&arena, int64_t, problem->location_count);
	tally.used = TAKE_ZEROED(&arena, bool, problem->location_count);
	copy = TAKE(&arena, RouteShare, count);
	if (arena.failed)
		return ROUTE_PLAN_PROBLEM;
	for (int32_t s = 0; s < count && fault == ROUTE_PLAN_OK; s++)
	{
		fault = tally_share(problem, &tally, &shares[s]);
		*line = shares[s].line;
		*location = shares[s].location;
	}
	if (fault != ROUTE_PLAN_OK)
		return fault;
	*line = *location = -1;
	fault = tally_check(problem, &tally, line, location);
	if (fault != ROUTE_PLAN_OK)
		return fault;
	memcpy(copy, shares, sizeof(RouteShare) * (size_t) count);
	kernel_result_price(problem, &arena, copy, count, result);
	return kernel_result_end(result, &arena, ROUTE_FEASIBLE) == ROUTE_FEASIBLE ? ROUTE_PLAN_OK : ROUTE_PLAN_PROBLEM;
}
