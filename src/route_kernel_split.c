/*
 * route_kernel_split.c
 *	  Lines that cost something at every location, or may come from few.
 *
 * The search of route_kernel.c knows packages and units only.  A cost that a
 * line has at a location, however many units come from there, is at least the
 * same cost spread over the most units that can: with it in the price of a
 * unit that search gives a bound, and a plan whose real price may be higher.
 * Where it is, or where a line comes from more locations than it may, a pair of
 * line and location is decided: the line comes from there, and the cost is paid
 * as a whole, or it does not.  Every plan is in one of the two.
 *
 * Lines that must not be divided need none of this: their cost is that of
 * their one piece.
 */
#include "route_kernel_work.h"

#include <string.h>

/* Pairs decided one under the other; deeper plans are left unproven. */
#define SPLIT_DEPTH_MAX		500

/* Scaled amounts stay below this, so that the search can scale them again. */
#define SPLIT_AMOUNT_MAX	((int64_t) 1 << 40)

typedef enum Pair
{
	PAIR_OPEN,					/* not decided */
	PAIR_TAKEN,					/* the line comes from there: paid and counted */
	PAIR_OUT,					/* it does not */
	PAIR_FREE					/* it costs nothing there and is not counted */
} Pair;

typedef struct Split
{
	const RouteProblem *original;
	Arena	   *arena;
	RouteControl control;		/* for the inner solves */
	char	   *memory;
	size_t		size;
	size_t		used;

	/* the inner problem; a line not to be divided is one unit of factor */
	RouteProblem problem;
	int32_t    *quantity;
	int32_t    *factor;
	int64_t    *penalty;
	bool	   *must_serve;
	int64_t    *weight;
	int64_t    *fixed_cost;
	int32_t    *stock;
	int64_t    *unit_cost;
	RouteTariff *tariffs;
	int64_t    *late_table;
	int64_t		scale;

	/* by line and location */
	uint8_t    *pair;
	int32_t    *room;			/* units that may come from there */
	int64_t    *price;			/* of a unit, scaled, without the cost of the line */
	int64_t    *cost;			/* of the line there, scaled */

	int32_t    *places_left;	/* by line */
	Entry	   *order;
	int64_t		paid;			/* for pairs that are taken */

	/* the best plan */
	RouteShare *shares;
	int32_t		share_count;
	bool		found;
	int64_t		best;			/* scaled cost to beat */

	bool		open;			/* something is not searched to the end */
	int64_t		open_bound;
	bool		stopped;
	int64_t		nodes;
	int64_t		nodes_max;
	RouteStatus fault;
	const char *bad_input;
	RouteReason reason;			/* why the whole problem has no plan */
	int32_t		reason_line;
} Split;

/* The pair that a plan leaves in doubt most. */
typedef struct Doubt
{
	int32_t		line;			/* -1: none */
	int32_t		location;
	int32_t		units;
} Doubt;

bool
kernel_split_needed(const RouteProblem *problem)
{
	return problem->line_cost != NULL || problem->places_max != NULL;
}

static void *
split_alloc(void *context, size_t size)
{
	Split	   *s = context;
	void	   *chunk = s->memory + s->used;

	if (size > s->size - s->used)
		return NULL;
	s->used += size;
	return chunk;
}

static int32_t
places_max(const RouteProblem *problem, int32_t l)
{
	return problem->places_max == NULL ? 0 : problem->places_max[l];
}

/* ---- The inner problem ---- */

static int64_t
greatest(int64_t a, int64_t b)
{
	return Max(a, b < 0 ? -b : b);
}

/* The largest amount of the problem. */
static int64_t
split_amount(const RouteProblem *problem)
{
	int64_t		most = 0;
	int32_t		i;
	int32_t		l;

	for (i = 0; i < problem->location_count; i++)
		most = greatest(most, location_fixed(problem, i));
	for (i = 0; i < problem->tariff_count; i++)
		most = greatest(most, problem->tariffs[i].cost[problem->tariffs[i].step_count - 1]);
	if (problem->late_table != NULL)
		most = greatest(most, problem->late_table[problem->late_table_count - 1]);
	for (l = 0; l < problem->line_count; l++)
	{
		size_t		row = (size_t) l * problem->location_count;

		most = greatest(most, line_penalty(problem, l) * problem->quantity[l]);
		for (i = 0; i < problem->location_count; i++)
			if (problem->stock[row + i] > 0)
			{
				most = greatest(most, problem->unit_cost[row + i] * problem->quantity[l]);
				if (problem->line_cost != NULL)
					most = greatest(most, problem->line_cost[row + i]);
			}
	}
	return most;
}

/*
 * Ties are broken here as the search breaks them within one problem: amounts
 * are scaled, and a package adds a little for itself and its rank.
 */
static void
split_scale(Split *s, int64_t *tie)
{
	const RouteProblem *problem = s->original;
	int64_t		packages = 0;
	int64_t		places = 0;
	int64_t		each;
	int32_t		i;

	for (i = 0; i < problem->line_count; i++)
		packages += problem->quantity[i];
	packages = Min(packages, problem->location_count);
	for (i = 0; i < problem->location_count; i++)
	{
		s->order[i].cost = problem->rank == NULL ? 0 : problem->rank[i];
		s->order[i].location = i;
	}
	entry_sort(s->order, problem->location_count);
	for (i = 0; i < problem->location_count; i++)
	{
		places += i > 0 && s->order[i].cost != s->order[i - 1].cost;
		tie[s->order[i].location] = places;
	}
	each = packages * places + 1;
	s->scale = packages * (each + places) + 1;
	if (split_amount(problem) > SPLIT_AMOUNT_MAX / s->scale)
	{
		s->scale = 1;
		memset(tie, 0, sizeof(int64_t) * (size_t) problem->location_count);
		return;
	}
	for (i = 0; i < problem->location_count; i++)
		tie[i] += each;
}

static bool
split_tables(Split *s)
{
	const RouteProblem *problem = s->original;
	int32_t		t;
	int32_t		k;

	s->tariffs = TAKE(s->arena, RouteTariff, problem->tariff_count);
	s->late_table = TAKE(s->arena, int64_t, problem->late_table == NULL ? 0 : problem->late_table_count);
	if (s->arena->failed)
		return false;
	for (t = 0; t < problem->tariff_count; t++)
	{
		int64_t    *costs = TAKE(s->arena, int64_t, problem->tariffs[t].step_count);

		if (costs == NULL)
			return false;
		s->tariffs[t] = problem->tariffs[t];
		s->tariffs[t].cost = costs;
		for (k = 0; k < problem->tariffs[t].step_count; k++)
			costs[k] = problem->tariffs[t].cost[k] * s->scale;
	}
	for (k = 0; problem->late_table != NULL && k < problem->late_table_count; k++)
		s->late_table[k] = problem->late_table[k] * s->scale;
	return true;
}

/* Everything of a line that no decision changes. */
static void
split_line(Split *s, int32_t l)
{
	const RouteProblem *problem = s->original;
	size_t		row = (size_t) l * problem->location_count;
	bool		whole = line_whole(problem, l);
	int32_t		i;

	s->factor[l] = whole ? problem->quantity[l] : 1;
	s->quantity[l] = problem->quantity[l] / s->factor[l];
	s->penalty[l] = line_penalty(problem, l) * s->factor[l] * s->scale;
	s->weight[l] = line_weight(problem, l) * s->factor[l];
	s->must_serve[l] = line_must(problem, l);
	for (i = 0; i < problem->location_count; i++)
	{
		size_t		cell = row + i;
		int64_t		cost = problem->line_cost == NULL ? 0 : problem->line_cost[cell];

		s->room[cell] = Min(problem->stock[cell] / s->factor[l], s->quantity[l]);
		s->pair[cell] = cost < 0 ? PAIR_FREE : PAIR_OPEN;
		s->cost[cell] = Max(cost, 0) * s->scale;
		s->price[cell] = s->room[cell] > 0 ? problem->unit_cost[cell] * s->factor[l] * s->scale : 0;
		if (!whole || s->room[cell] == 0)
			continue;
		/* one piece: what the line costs there is part of its price */
		s->price[cell] += s->cost[cell];
		s->cost[cell] = 0;
		s->pair[cell] = PAIR_FREE;
	}
}

static bool
split_create(Split *s, const RouteProblem *problem, const RouteControl *control, Arena *arena)
{
	size_t		n = (size_t) problem->line_count;
	size_t		m = (size_t) problem->location_count;
	int32_t		i;

	memset(s, 0, sizeof(*s));
	s->original = problem;
	s->arena = arena;
	s->quantity = TAKE(arena, int32_t, n);
	s->factor = TAKE(arena, int32_t, n);
	s->penalty = TAKE(arena, int64_t, n);
	s->must_serve = TAKE(arena, bool, n);
	s->weight = TAKE(arena, int64_t, n);
	s->places_left = TAKE(arena, int32_t, n);
	s->fixed_cost = TAKE(arena, int64_t, m);
	s->order = TAKE(arena, Entry, m);
	s->stock = TAKE(arena, int32_t, n * m);
	s->room = TAKE(arena, int32_t, n * m);
	s->unit_cost = TAKE(arena, int64_t, n * m);
	s->price = TAKE(arena, int64_t, n * m);
	s->cost = TAKE(arena, int64_t, n * m);
	s->pair = TAKE(arena, uint8_t, n * m);
	s->shares = TAKE(arena, RouteShare, n * m);
	if (arena->failed)
		return false;
	split_scale(s, s->fixed_cost);
	if (!split_tables(s))
		return false;
	s->size = Min(route_memory_bound(problem->line_count, problem->location_count), (arena->max - arena->used) / 2);
	s->memory = TAKE(arena, char, s->size);
	if (arena->failed)
		return false;
	for (i = 0; i < problem->location_count; i++)
		s->fixed_cost[i] += location_fixed(problem, i) * s->scale;
	for (i = 0; i < problem->line_count; i++)
		split_line(s, i);
	s->problem = *problem;
	s->problem.quantity = s->quantity;
	s->problem.penalty = s->penalty;
	s->problem.must_serve = s->must_serve;
	s->problem.whole = NULL;
	s->problem.weight_grams = s->weight;
	s->problem.stock = s->stock;
	s->problem.unit_cost = s->unit_cost;
	s->problem.line_cost = NULL;
	s->problem.places_max = NULL;
	s->problem.fixed_cost = s->fixed_cost;
	s->problem.late_cost = NULL;
	s->problem.tariffs = s->tariffs;
	s->problem.late_table = problem->late_table == NULL ? NULL : s->late_table;
	s->control = *control;
	s->control.alloc = split_alloc;
	s->control.alloc_context = s;
	s->control.memory_max = s->size;
	s->best = control->has_cost_below ? control->cost_below * s->scale : INT64_MAX;
	s->nodes_max = control->nodes_max > 0 ? control->nodes_max : ROUTE_NODES_DEFAULT;
	s->fault = ROUTE_OPTIMAL;
	s->reason_line = -1;
	return true;
}

/*
 * Takes the locations away from a line from which it cannot be served as a
 * whole by as few locations as it may have; false where no choice of them does,
 * though all together could.
 */
static bool
split_few_places(Split *s, int32_t l)
{
	size_t		row = (size_t) l * s->original->location_count;
	int64_t		fixed = 0;		/* units that do not count, or are counted */
	int64_t		most = 0;		/* and of the largest others */
	int64_t		all = 0;
	int32_t		left = s->places_left[l];
	int32_t		count = 0;
	int32_t		i;

	for (i = 0; i < s->original->location_count; i++)
	{
		all += s->stock[row + i];
		if (s->pair[row + i] != PAIR_OPEN)
		{
			fixed += s->stock[row + i];
			continue;
		}
		if (left == 0)
			s->stock[row + i] = 0;
		if (s->stock[row + i] == 0)
			continue;
		s->order[count].cost = -s->stock[row + i];
		s->order[count++].location = i;
	}
	if (!s->must_serve[l])
		return true;
	entry_sort(s->order, count);
	for (i = 0; i < Min(count, left); i++)
		most -= s->order[i].cost;
	for (i = left; i > 0 && i < count; i++)
		if (fixed + most + s->order[left - 1].cost - s->order[i].cost < s->quantity[l])
			s->stock[row + s->order[i].location] = 0;
	return fixed + most >= s->quantity[l] || all < s->quantity[l];
}

/* The inner problem as the pairs stand; false where it has no plan. */
static bool
split_prepare(Split *s, int32_t *line)
{
	int32_t		m = s->original->location_count;
	int32_t		l;
	int32_t		i;

	for (l = 0; l < s->original->line_count; l++)
	{
		int32_t		most = places_max(s->original, l);
		int32_t		taken = 0;

		for (i = 0; i < m; i++)
		{
			size_t		cell = (size_t) l * m + i;

			s->stock[cell] = s->pair[cell] == PAIR_OUT ? 0 : s->room[cell];
			s->unit_cost[cell] = s->price[cell];
			if (s->pair[cell] == PAIR_OPEN && s->stock[cell] > 0)
				s->unit_cost[cell] = Min(s->price[cell] + s->cost[cell] / s->stock[cell],
										 Max(s->price[cell], ROUTE_AMOUNT_MAX / s->quantity[l]));
			taken += s->pair[cell] == PAIR_TAKEN;
		}
		s->places_left[l] = most - taken;
		*line = l;
		if (most > 0 && s->factor[l] == 1 && !split_few_places(s, l))
			return false;
	}
	return true;
}

/* ---- The search ---- */

static void
split_leave_open(Split *s, int64_t bound)
{
	s->open_bound = s->open ? Min(s->open_bound, bound) : bound;
	s->open = true;
}

/* Whether a line comes from more locations than it may. */
static bool
split_too_many(const Split *s, const RouteResult *result, int32_t line)
{
	int32_t		places = 0;
	int32_t		k;

	if (places_max(s->original, line) == 0)
		return false;
	for (k = 0; k < result->share_count; k++)
		places += result->shares[k].line == line &&
			s->pair[(size_t) line * s->original->location_count + result->shares[k].location] != PAIR_FREE;
	return places > places_max(s->original, line);
}

/*
 * What an inner plan really costs, scaled, INT64_MAX where it is none, and the
 * pair to decide next.
 */
static int64_t
split_judge(const Split *s, const RouteResult *result, Doubt *doubt)
{
	int64_t		cost = result->cost;
	int64_t		widest = 0;
	bool		breaks = false;
	int32_t		k;

	doubt->line = -1;
	for (k = 0; k < result->share_count; k++)
	{
		const RouteShare *share = &result->shares[k];
		size_t		cell = (size_t) share->line * s->original->location_count + share->location;
		bool		too_many = s->pair[cell] == PAIR_OPEN && split_too_many(s, result, share->line);
		int64_t		gap;

		gap = s->cost[cell] - (s->unit_cost[cell] - s->price[cell]) * share->units;
		cost += gap;
		if (s->pair[cell] != PAIR_OPEN || (too_many ? breaks && share->units <= doubt->units : breaks || gap <= widest))
			continue;
		breaks |= too_many;
		widest = gap;
		*doubt = (Doubt) {share->line, share->location, share->units};
	}
	return breaks ? INT64_MAX : cost;
}

static void
split_keep(Split *s, const RouteResult *result, int64_t cost)
{
	int32_t		k;

	s->best = cost;
	s->found = true;
	s->share_count = result->share_count;
	for (k = 0; k < result->share_count; k++)
	{
		s->shares[k] = result->shares[k];
		s->shares[k].units *= s->factor[result->shares[k].line];
	}
}

/* Solves the inner problem; false where nothing is left to decide. */
static bool
split_solve(Split *s, int64_t *bound, Doubt *doubt)
{
	RouteResult result;
	RouteStatus status;
	int64_t		cost;

	s->used = 0;
	s->control.nodes_max = Max(s->nodes_max - s->nodes, 1);
	s->control.has_cost_below = s->best < INT64_MAX;
	s->control.cost_below = s->best - s->paid;
	status = route_solve(&s->problem, &s->control, &result);
	s->nodes += result.nodes + 1;
	if (status == ROUTE_BAD_INPUT || status == ROUTE_OUT_OF_MEMORY)
	{
		s->fault = status;
		s->bad_input = result.bad_input;
		return false;
	}
	if (status != ROUTE_OPTIMAL && status != ROUTE_FEASIBLE)
	{
		if (status == ROUTE_UNKNOWN)
			split_leave_open(s, Max(*bound, result.lower_bound == INT64_MIN ? INT64_MIN : result.lower_bound + s->paid));
		if (s->nodes == result.nodes + 1)
		{
			s->reason = result.reason;
			s->reason_line = result.reason_line;
		}
		return false;
	}
	*bound = Max(*bound, result.lower_bound + s->paid);
	cost = split_judge(s, &result, doubt);

	/* pairs that are taken and not used are paid for in vain: the price counts what is used */
	if (cost < s->best)
		split_keep(s, &result, cost);
	if (doubt->line >= 0)
		return *bound < s->best;
	if (status == ROUTE_FEASIBLE)
		split_leave_open(s, *bound);
	return false;
}

static void split_from(Split *s, int32_t depth, int64_t bound);

static void
split_decide(Split *s, size_t cell, Pair pair, int32_t depth, int64_t bound)
{
	int64_t		paid = s->paid;

	s->pair[cell] = (uint8_t) pair;
	if (pair == PAIR_TAKEN)
		s->paid += s->cost[cell];
	split_from(s, depth, bound);
	s->paid = paid;
	s->pair[cell] = PAIR_OPEN;
}

/* The best plan of what is left; none of its plans costs less than bound. */
static void
split_from(Split *s, int32_t depth, int64_t bound)
{
	Doubt		doubt = {.line = -1};
	size_t		cell;
	bool		likely;
	int32_t		line;

	if (bound >= s->best || s->fault != ROUTE_OPTIMAL)
		return;
	if (s->control.should_stop != NULL && s->control.should_stop(s->control.stop_context))
		s->stopped = true;
	if (s->stopped || s->nodes >= s->nodes_max || depth == SPLIT_DEPTH_MAX)
	{
		split_leave_open(s, bound);
		return;
	}
	if (!split_prepare(s, &line))
	{
		if (depth == 0)
		{
			s->reason = ROUTE_REASON_PLACES;
			s->reason_line = line;
		}
		return;
	}
	if (!split_solve(s, &bound, &doubt))
		return;
	cell = (size_t) doubt.line * s->original->location_count + doubt.location;
	likely = doubt.units * 2 > s->room[cell];
	split_decide(s, cell, likely ? PAIR_TAKEN : PAIR_OUT, depth + 1, bound);
	split_decide(s, cell, likely ? PAIR_OUT : PAIR_TAKEN, depth + 1, bound);
}

/* Without a plan, the first problem has told why, or only what was decided leaves none. */
static void
split_reason(const Split *s, const RouteControl *control, RouteResult *result)
{
	result->reason = s->reason;
	result->reason_line = s->reason_line;
	if (s->reason == ROUTE_REASON_NONE)
		result->reason = control->has_cost_below ? ROUTE_REASON_COST : ROUTE_REASON_PLACES;
}

RouteStatus
kernel_split_solve(const RouteProblem *problem, const RouteControl *control, Arena *arena, RouteResult *result)
{
	Split		s;
	int64_t		bound;

	result->bad_input = kernel_check_problem(problem);
	if (result->bad_input == NULL)
		result->bad_input = kernel_check_cells(problem);
	if (result->bad_input != NULL)
		return ROUTE_BAD_INPUT;
	if (!split_create(&s, problem, control, arena))
		return ROUTE_OUT_OF_MEMORY;
	split_from(&s, 0, INT64_MIN);
	result->nodes = s.nodes;
	result->bad_input = s.bad_input;
	if (s.fault != ROUTE_OPTIMAL)
		return s.fault;
	bound = s.open ? Min(s.open_bound, s.best) : s.best;
	if (!s.found && s.open)
	{
		result->lower_bound = s.open_bound == INT64_MIN ? INT64_MIN : floor_div(s.open_bound, s.scale);
		return ROUTE_UNKNOWN;
	}
	if (!s.found)
	{
		split_reason(&s, control, result);
		return ROUTE_INFEASIBLE;
	}
	kernel_result_price(problem, arena, s.shares, s.share_count, result);
	if (arena->failed)
		return ROUTE_OUT_OF_MEMORY;
	result->tie_rule = s.scale > 1 ? ROUTE_TIE_PACKAGES_RANK : ROUTE_TIE_NONE;
	result->proven = bound >= s.best;
	result->lower_bound = result->proven ? result->cost : bound == INT64_MIN ? INT64_MIN : floor_div(bound, s.scale);
	result->gap = result->lower_bound == INT64_MIN ? INT64_MAX : result->cost - result->lower_bound;
	result->proof = result->proven ? ROUTE_PROOF_ENUMERATION : ROUTE_PROOF_NONE;
	return result->proven ? ROUTE_OPTIMAL : ROUTE_FEASIBLE;
}
