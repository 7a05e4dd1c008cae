/*
 * route_kernel_policy.c
 *	  Rules of thumb as other systems have them, planned and priced alike.
 */
#include "route_kernel_work.h"

#include <string.h>

/* Locations by key, then rank, then index; key may be NULL. */
static Entry *
policy_order(const RouteProblem *problem, Arena *arena, const int64_t *key)
{
	int32_t		m = problem->location_count;
	Entry	   *order = TAKE(arena, Entry, m);
	Entry	   *by_rank = TAKE(arena, Entry, m);
	int32_t		i;

	if (arena->failed)
		return NULL;
	for (i = 0; i < m; i++)
	{
		by_rank[i].cost = problem->rank == NULL ? 0 : problem->rank[i];
		by_rank[i].location = i;
	}
	entry_sort(by_rank, m);
	for (i = 0; i < m; i++)
	{
		order[i].cost = key == NULL ? 0 : key[by_rank[i].location];
		order[i].location = i;
		order[i].room = by_rank[i].location;
	}
	entry_sort(order, m);
	for (i = 0; i < m; i++)
		order[i].location = order[i].room;
	return order;
}

/* Whether the shares so far use up the locations that the line may come from. */
static bool
policy_places_used(const RouteProblem *problem, int32_t l, const RouteShare *shares, int32_t count)
{
	int32_t		left = problem->places_max == NULL ? 0 : problem->places_max[l];
	int32_t		s;

	if (left == 0)
		return false;
	for (s = 0; s < count; s++)
		left -= shares[s].line == l;
	return left <= 0;
}

/* Units of the line that the location would add to its package. */
static int32_t
policy_units(const RouteProblem *problem, int32_t l, int32_t i, int32_t left,
			 int64_t load)
{
	const RouteTariff *tariff = location_tariff(problem, i);
	int32_t		units = Min(left, problem->stock
							[(size_t) l * problem->location_count + i]);
	int64_t		weight = line_weight(problem, l);

	if (tariff != NULL)
	{
		int64_t		spare = tariff->limit_grams[tariff->step_count - 1] - load;

		if (weight > 0)
			units = (int32_t) Min((int64_t) units, spare / weight);
	}
	return line_whole(problem, l) && units < left ? 0 : units;
}

/*
 * Go through the locations in order and take all that is there.  With
 * complete set, stop at the first that has everything and take only that.
 */
static int32_t
policy_fill(const RouteProblem *problem, const Entry *order, int32_t *left,
			RouteShare *shares, bool complete)
{
	int32_t		count = 0;
	int32_t		packages = 0;
	int32_t		k;

	for (k = 0; k < problem->location_count; k++)
	{
		int64_t		load = 0;
		int32_t		before = count;
		int32_t		full = 0;
		int32_t		l;

		for (l = 0; l < problem->line_count; l++)
		{
			int32_t		units = policy_units(problem, l, order[k].location,
											 left[l], load);

			full += units == left[l];
			if (units <= 0 || policy_places_used(problem, l, shares, count))
				continue;
			shares[count].line = l;
			shares[count].location = order[k].location;
			shares[count].units = units;
			load += line_weight(problem, l) * units;
			count++;
		}
		if (complete)
		{
			if (full == problem->line_count)
				return count;
			count = 0;
			continue;
		}
		if (count == before)
			continue;
		for (l = before; l < count; l++)
			left[shares[l].line] -= shares[l].units;
		if (++packages == problem->packages_max)
			break;
	}
	return count;
}

/* -1 when the rule's plan breaks a hard rule, else its number of shares. */
static int32_t
policy_plan(const RouteProblem *problem, const Entry *order, int32_t *left,
			RouteShare *shares, bool complete)
{
	int32_t		count;
	int32_t		l;

	memcpy(left, problem->quantity,
		   sizeof(int32_t) * (size_t) problem->line_count);
	count = policy_fill(problem, order, left, shares, complete);
	if (complete)
		return count > 0 ? count : -1;
	for (l = 0; l < problem->line_count; l++)
		if (left[l] > 0 && line_must(problem, l))
			return -1;
	return count;
}

RouteStatus
route_policy(const RouteProblem *problem, const RouteControl *control,
			 RoutePolicy policy, const int64_t *distance, RouteResult *result)
{
	static const RouteTerm fewest[] = {{.kind = ROUTE_TERM_UNASSIGNED},
	{.kind = ROUTE_TERM_PACKAGES}, {.kind = ROUTE_TERM_COST}};
	bool		complete = policy == ROUTE_POLICY_NEAREST_COMPLETE;
	Arena		arena;
	Entry	   *order;
	RouteShare *shares;
	int32_t    *left;
	int32_t		count;

	arena_begin(&arena, control);
	kernel_result_begin(result);
	result->bad_input = kernel_check_problem(problem);
	if (result->bad_input == NULL)
		result->bad_input = kernel_check_cells(problem);
	if (result->bad_input == NULL && distance == NULL &&
		(complete || policy == ROUTE_POLICY_NEAREST))
		result->bad_input = "distance";
	if (result->bad_input != NULL)
		return kernel_result_end(result, &arena, ROUTE_BAD_INPUT);
	if (policy == ROUTE_POLICY_FEWEST_SPLITS)
		return route_solve_lexicographic(problem, control, fewest, 3, NULL,
										 result);
	order = policy_order(problem, &arena,
						 policy == ROUTE_POLICY_PRIORITY ? NULL : distance);
	left = TAKE(&arena, int32_t, problem->line_count);
	shares = TAKE(&arena, RouteShare,
				  (size_t) problem->line_count * problem->location_count);
	if (arena.failed)
		return kernel_result_end(result, &arena, ROUTE_OUT_OF_MEMORY);
	count = policy_plan(problem, order, left, shares, complete);
	if (count < 0 && complete)
		return route_solve_lexicographic(problem, control, fewest, 3, NULL,
										 result);
	if (count < 0)
		return kernel_result_end(result, &arena, ROUTE_INFEASIBLE);
	kernel_result_price(problem, &arena, shares, count, result);
	return kernel_result_end(result, &arena, ROUTE_FEASIBLE);
}
