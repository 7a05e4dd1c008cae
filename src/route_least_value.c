/*
 * route_least_value.c
 *	  The cheapest plan without a package of too little worth.
 *
 * The kernel knows no such rule, so a search stands around it.  Where its plan
 * has a package that is worth too little, a plan that obeys either does not use
 * that location, or takes a line from it that this package lacks: whole lines
 * make each of these a smaller problem of the same kind, which the kernel
 * solves again, looking only for what is cheaper than the best plan so far.
 */
#include "oms.h"

#include "utils/memutils.h"

#include "route_least_value.h"

/* Problems that one search solves; what is left open then counts for the gap. */
#define SOLVES_MAX 400

typedef struct Search
{
	RouteProblem *problem;
	RouteControl control;
	int32	   *stock;			/* of the problem; changed and mended on the way */
	const int64 *values;		/* by line */
	int64		least;
	MemoryContext best_context; /* that the best plan lives in; NULL: none yet */
	RouteResult best;
	bool		open;			/* not searched to the end */
	int64		open_bound;		/* no plan in what was not searched is cheaper */
	int			solves;
} Search;

/* The package of least worth that is worth too little: its index, or -1. */
static int
poorest_package(const Search *search, const RouteResult *result)
{
	int64		poorest = search->least;
	int			found = -1;

	for (int i = 0; i < result->package_count; i++)
	{
		int64		value = 0;

		for (int j = 0; j < result->share_count; j++)
			if (result->shares[j].location == result->packages[i].location)
				value += search->values[result->shares[j].line] * result->shares[j].units;
		if (value < poorest)
		{
			poorest = value;
			found = i;
		}
	}
	return found;
}

static bool
holds_line(const RouteResult *result, int line, int location)
{
	for (int i = 0; i < result->share_count; i++)
		if (result->shares[i].line == line && result->shares[i].location == location)
			return true;
	return false;
}

static void
leave_open(Search *search, int64 bound)
{
	search->open_bound = search->open ? Min(search->open_bound, bound) : bound;
	search->open = true;
}

static void search_from(Search *search, int64 bound);

/* Plans that do not use a location. */
static void
search_without(Search *search, int location, int64 bound)
{
	int			lines = search->problem->line_count;
	int			locations = search->problem->location_count;
	int32	   *kept = palloc(sizeof(int32) * lines);

	for (int i = 0; i < lines; i++)
	{
		kept[i] = search->stock[(Size) i * locations + location];
		search->stock[(Size) i * locations + location] = 0;
	}
	search_from(search, bound);
	for (int i = 0; i < lines; i++)
		search->stock[(Size) i * locations + location] = kept[i];
	pfree(kept);
}

/* Plans that take a line from a location. */
static void
search_with(Search *search, int line, int location, int64 bound)
{
	int			locations = search->problem->location_count;
	int32	   *row = search->stock + (Size) line * locations;
	int32	   *kept = palloc(sizeof(int32) * locations);

	memcpy(kept, row, sizeof(int32) * locations);
	memset(row, 0, sizeof(int32) * locations);
	row[location] = kept[location];
	search_from(search, bound);
	memcpy(row, kept, sizeof(int32) * locations);
	pfree(kept);
}

/* Whether a line may come from a location and from others, so that to decide it makes a smaller problem. */
static bool
is_undecided(const Search *search, int line, int location)
{
	const int32 *row = search->stock + (Size) line * search->problem->location_count;

	if (row[location] == 0)
		return false;
	for (int i = 0; i < search->problem->location_count; i++)
		if (i != location && row[i] > 0)
			return true;
	return false;
}

/* The best plan of what is left of the problem; none of its plans costs less than bound. */
static void
search_from(Search *search, int64 bound)
{
	MemoryContext context;
	MemoryContext outer = CurrentMemoryContext;
	RouteResult result = {0};
	RouteStatus status;
	int			poorest;
	int			location;

	if (search->best_context && bound >= search->best.cost)
		return;
	if (search->solves++ == SOLVES_MAX)
	{
		search->solves--;
		leave_open(search, bound);
		return;
	}
	context = AllocSetContextCreate(outer, "route", ALLOCSET_SMALL_SIZES);
	search->control.alloc_context = context;
	search->control.has_cost_below = search->best_context != NULL;
	search->control.cost_below = search->best.cost;
	MemoryContextSwitchTo(context);
	status = route_solve(search->problem, &search->control, &result);
	MemoryContextSwitchTo(outer);
	if (status != ROUTE_OPTIMAL && status != ROUTE_FEASIBLE)
	{
		if (status != ROUTE_INFEASIBLE)
			leave_open(search, bound);
		MemoryContextDelete(context);
		return;
	}
	bound = Max(bound, result.lower_bound);
	poorest = poorest_package(search, &result);
	if (poorest < 0)
	{
		if (status == ROUTE_FEASIBLE)
			leave_open(search, bound);
		if (search->best_context)
			MemoryContextDelete(search->best_context);
		search->best_context = context;
		search->best = result;
		return;
	}
	location = result.packages[poorest].location;
	search_without(search, location, bound);
	for (int i = 0; i < search->problem->line_count; i++)
		if (!holds_line(&result, i, location) && is_undecided(search, i, location))
			search_with(search, i, location, bound);
	MemoryContextDelete(context);
}

/* Whether no package of a plan is worth less than least, or all together are. */
bool
route_obeys_least_value(const RouteProblem *problem, const int64 *values, int64 least, const RouteResult *result)
{
	Search		search = {.values = values,.least = least};
	int64		total = 0;

	for (int i = 0; i < problem->line_count; i++)
		total += values[i] * problem->quantity[i];
	return total < least || poorest_package(&search, result) < 0;
}

/*
 * Solves a problem of whole lines so that every package is worth at least
 * least; problem->stock is changed on the way and given back as it was.
 * Where all lines together are worth less, the rule does not hold.  Without a
 * plan that obeys, though there are others, the reason is ROUTE_REASON_COST; the
 * rule is hard, so no plan found counts as none.
 */
RouteStatus
route_solve_least_value(RouteProblem *problem, const RouteControl *control, const int64 *values, int64 least,
						int32 *stock, RouteResult *result)
{
	Search		search = {
		.problem = problem,.control = *control,.stock = stock,.values = values,.least = least
	};
	RouteStatus status;

	status = route_solve(problem, control, result);
	if ((status != ROUTE_OPTIMAL && status != ROUTE_FEASIBLE) ||
		route_obeys_least_value(problem, values, least, result))
		return status;
	problem->stock = stock;
	search_from(&search, result->lower_bound);
	if (search.best_context == NULL)
	{
		*result = (RouteResult) {.status = ROUTE_INFEASIBLE,.reason = ROUTE_REASON_COST,.reason_line = -1};
		return result->status;
	}
	*result = search.best;
	result->lower_bound = search.open ? Min(search.open_bound, result->cost) : result->cost;
	result->gap = result->cost - result->lower_bound;
	result->proven = result->gap == 0;
	result->status = result->proven ? ROUTE_OPTIMAL : ROUTE_FEASIBLE;
	result->proof = result->proven ? ROUTE_PROOF_ENUMERATION : ROUTE_PROOF_NONE;
	return result->status;
}
