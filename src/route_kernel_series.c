/*
 * route_kernel_series.c
 *	  Solving changed copies of a problem, and the runner-up.
 */
#include "route_kernel_work.h"

#include <string.h>

static void *
sandbox_alloc(void *context, size_t size)
{
	Sandbox    *box = context;
	void	   *chunk = box->memory + box->used;

	if (size > box->size - box->used)
		return NULL;
	box->used += size;
	return chunk;
}

bool
kernel_sandbox_create(Sandbox *box, const RouteProblem *problem,
			   const RouteControl *control, Arena *arena)
{
	size_t		n = (size_t) problem->line_count + 1;
	size_t		cells = n * (size_t) problem->location_count;

	memset(box, 0, sizeof(*box));
	box->original = problem;
	box->arena = arena;
	box->problem = *problem;
	box->quantity = TAKE(arena, int32_t, n);
	box->penalty = TAKE(arena, int64_t, n);
	box->must_serve = TAKE(arena, bool, n);
	box->whole = TAKE(arena, bool, n);
	box->weight = TAKE(arena, int64_t, n);
	box->stock = TAKE(arena, int32_t, cells);
	box->unit_cost = TAKE(arena, int64_t, cells);
	box->shares = TAKE(arena, RouteShare, cells);
	box->size = route_memory_bound((int32_t) n, problem->location_count);
	if (kernel_split_needed(problem))
	{
		box->line_cost = TAKE(arena, int64_t, cells);
		box->places_max = TAKE(arena, int32_t, n);
		box->size *= 2;
	}
	/* leave room for the answer */
	box->size = Min(box->size, (arena->max - arena->used) / 2);
	box->memory = TAKE(arena, char, box->size);
	if (arena->failed)
		return false;
	box->problem.quantity = box->quantity;
	box->problem.penalty = box->penalty;
	box->problem.must_serve = box->must_serve;
	box->problem.whole = box->whole;
	box->problem.weight_grams = box->weight;
	box->problem.stock = box->stock;
	box->problem.unit_cost = box->unit_cost;
	box->problem.line_cost = box->line_cost;
	box->problem.places_max = box->places_max;
	box->control = *control;
	box->control.alloc = sandbox_alloc;
	box->control.alloc_context = box;
	box->control.memory_max = box->size;
	box->control.has_cost_below = false;
	box->has_cost_below = control->has_cost_below;
	box->cost_below = control->cost_below;
	box->nodes_max = control->nodes_max > 0 ? control->nodes_max
		: ROUTE_NODES_DEFAULT;
	box->proven = true;
	box->lower_bound = INT64_MAX;
	box->fault = ROUTE_OPTIMAL;
	return true;
}

/* Make the copy equal to the original again. */
void
kernel_sandbox_restore(Sandbox *box)
{
	const RouteProblem *from = box->original;
	size_t		cells = (size_t) from->line_count * from->location_count;
	int32_t		l;

	box->problem.line_count = from->line_count;
	for (l = 0; l < from->line_count; l++)
	{
		box->quantity[l] = from->quantity[l];
		box->penalty[l] = line_penalty(from, l);
		box->must_serve[l] = line_must(from, l);
		box->whole[l] = line_whole(from, l);
		box->weight[l] = line_weight(from, l);
	}
	memcpy(box->stock, from->stock, sizeof(int32_t) * cells);
	memcpy(box->unit_cost, from->unit_cost, sizeof(int64_t) * cells);
	if (box->line_cost == NULL)
		return;
	for (l = 0; l < from->line_count; l++)
		box->places_max[l] = from->places_max == NULL ? 0 : from->places_max[l];
	if (from->line_cost != NULL)
		memcpy(box->line_cost, from->line_cost, sizeof(int64_t) * cells);
	else
		memset(box->line_cost, 0, sizeof(int64_t) * cells);
}

/*
 * Solve the copy, only for plans cheaper than the best so far when better is
 * set.  A plan found is kept; shares of the extra line count for alias.
 */
bool
kernel_sandbox_solve(Sandbox *box, bool better, int32_t alias)
{
	RouteResult result;
	RouteStatus status;
	int32_t		s;

	if (box->fault != ROUTE_OPTIMAL)
		return false;
	box->used = 0;
	box->control.nodes_max = Max(box->nodes_max - box->nodes, 1);
	if (better)
	{
		box->control.has_cost_below = box->found || box->has_cost_below;
		box->control.cost_below = box->found ? box->cost : box->cost_below;
	}
	status = route_solve(&box->problem, &box->control, &result);
	box->nodes += result.nodes;
	if (status == ROUTE_BAD_INPUT || status == ROUTE_OUT_OF_MEMORY)
	{
		box->fault = status;
		box->bad_input = result.bad_input;
		return false;
	}
	if (status == ROUTE_UNKNOWN || status == ROUTE_FEASIBLE)
	{
		box->proven = false;
		box->lower_bound = Min(box->lower_bound, result.lower_bound);
	}
	if (status != ROUTE_OPTIMAL && status != ROUTE_FEASIBLE)
	{
		box->reason = result.reason;
		box->reason_line = result.reason_line;
		return false;
	}
	box->found = true;
	box->cost = result.cost;
	box->share_count = result.share_count;
	for (s = 0; s < result.share_count; s++)
	{
		box->shares[s] = result.shares[s];
		if (box->shares[s].line == box->original->line_count)
			box->shares[s].line = alias;
	}
	return true;
}

/* Price the plan that was kept, on the original problem. */
RouteStatus
kernel_sandbox_finish(Sandbox *box, RouteProof proof, RouteResult *result)
{
	result->nodes = box->nodes;
	result->bad_input = box->bad_input;
	if (box->fault != ROUTE_OPTIMAL)
		return box->fault;
	if (!box->found)
	{
		if (proof == ROUTE_PROOF_LEXICOGRAPHIC)
		{
			result->reason = box->reason;
			result->reason_line = box->reason_line;
		}
		return box->proven ? ROUTE_INFEASIBLE : ROUTE_UNKNOWN;
	}
	kernel_result_price(box->original, box->arena, box->shares, box->share_count,
				 result);
	result->proven = box->proven;
	if (!box->proven)
		return ROUTE_FEASIBLE;
	result->proof = proof;
	return ROUTE_OPTIMAL;
}

/* ----------------------------------------------------------------
 *		route_runner_up
 *
 * A plan with another set of locations either uses a part of the winner's
 * set only, or serves some line from outside it.  In the second case let l be
 * the first such line: the lines before it stay inside, so the cases exclude
 * each other.
 * ----------------------------------------------------------------
 */
typedef struct Rival
{
	Sandbox		box;
	bool	   *inside;			/* by location: used by the winner */
	int64_t    *at_least;		/* by location: bound of plans using it */
} Rival;

/*
 * What plans using each location cost at least, by the winner's prices; the
 * greater of the bounds by its first prices and by its only level's.
 */
static bool
rival_bounds(Rival *rival, const RouteResult *winner)
{
	const RouteProblem *problem = rival->box.original;
	Certificate c;
	int32_t		round;
	int32_t		i;

	for (i = 0; i < problem->location_count; i++)
		rival->at_least[i] = INT64_MIN;
	if (winner->level_count != 1)
		return true;
	if (!kernel_certificate_begin(&c, problem, rival->box.arena, winner))
		return false;
	c.every_plan = true;
	for (round = 0; round < 2; round++)
	{
		int64_t		sum = 0;

		c.duals = round == 0 ? winner->first_prices : winner->duals;
		c.scale = round == 0 ? 1 : winner->dual_scale;
		kernel_certificate_slack(&c);
		for (i = 0; i < problem->line_count; i++)
			sum += c.duals[i] * (winner->dual_whole[i] ? 1
								 : problem->quantity[i]);
		for (i = 0; i < problem->location_count; i++)
			if (!c.excluded[i])
				sum += Min(c.slack[i], 0);
		for (i = 0; i < problem->location_count; i++)
			if (!c.excluded[i])
				rival->at_least[i] = Max(rival->at_least[i],
										 -floor_div(-(sum + Max(c.slack[i], 0)),
													c.scale));
	}
	return true;
}

static bool
rival_hopeless(const Rival *rival, int32_t i)
{
	return rival->box.found && rival->at_least[i] >= rival->box.cost;
}

/* Plans inside the winner's set that do without one location. */
static void
rival_without(Rival *rival, int32_t location)
{
	Sandbox    *box = &rival->box;
	int32_t		m = box->original->location_count;
	int32_t		l;
	int32_t		i;

	kernel_sandbox_restore(box);
	for (l = 0; l < box->original->line_count; l++)
		for (i = 0; i < m; i++)
			if (!rival->inside[i] || i == location)
				box->stock[(size_t) l * m + i] = 0;
	(void) kernel_sandbox_solve(box, true, -1);
}

/* Keep lines before first inside; hopeless places are out for all. */
static void
rival_begin_line(Rival *rival, int32_t first)
{
	Sandbox    *box = &rival->box;
	int32_t		m = box->original->location_count;
	int32_t		l;
	int32_t		i;

	kernel_sandbox_restore(box);
	for (l = 0; l < box->original->line_count; l++)
		for (i = 0; i < m; i++)
			if (!rival->inside[i] && (l < first || rival_hopeless(rival, i)))
				box->stock[(size_t) l * m + i] = 0;
}

/* A whole line that leaves the set. */
static void
rival_whole_line(Rival *rival, int32_t line)
{
	Sandbox    *box = &rival->box;
	int32_t		m = box->original->location_count;
	int32_t		i;

	rival_begin_line(rival, line);
	for (i = 0; i < m; i++)
		if (rival->inside[i])
			box->stock[(size_t) line * m + i] = 0;
	box->must_serve[line] = true;
	(void) kernel_sandbox_solve(box, true, -1);
}

/* The unit pays for its line and counts as one of its places; more units from there do not. */
static void
rival_unit_places(Sandbox *box, int32_t line, int32_t location)
{
	size_t		m = (size_t) box->original->location_count;
	size_t		extra = (size_t) box->original->line_count * m;
	int64_t    *paid;

	if (box->line_cost == NULL)
		return;
	paid = &box->line_cost[(size_t) line * m + location];
	memset(box->line_cost + extra, 0, sizeof(int64_t) * m);
	box->line_cost[extra + location] = *paid;
	box->places_max[box->original->line_count] = 0;
	if (*paid < 0 || box->places_max[line] == 0)
	{
		*paid = -1;
		return;
	}
	*paid = -1;
	if (--box->places_max[line] > 0)
		return;
	/* the last place: nothing of it comes from elsewhere */
	for (size_t i = 0; i < m; i++)
		if (i != (size_t) location && box->line_cost[(size_t) line * m + i] >= 0)
			box->stock[(size_t) line * m + i] = 0;
}

/*
 * A line that may be divided: one unit of it, as a line of its own, comes
 * from a given place outside, and none from the outside places before that.
 */
static void
rival_unit(Rival *rival, int32_t line, int32_t location)
{
	Sandbox    *box = &rival->box;
	int32_t		n = box->original->line_count;
	int32_t		m = box->original->location_count;
	size_t		row = (size_t) line * m;
	size_t		extra = (size_t) n * m;
	int32_t		i;

	rival_begin_line(rival, line);
	for (i = 0; i < location; i++)
		if (!rival->inside[i])
			box->stock[row + i] = 0;
	box->problem.line_count = n + 1;
	box->quantity[line]--;
	box->stock[row + location]--;
	box->quantity[n] = 1;
	box->penalty[n] = 0;
	box->must_serve[n] = true;
	box->whole[n] = true;
	box->weight[n] = box->weight[line];
	memset(box->stock + extra, 0, sizeof(int32_t) * (size_t) m);
	memset(box->unit_cost + extra, 0, sizeof(int64_t) * (size_t) m);
	box->stock[extra + location] = 1;
	box->unit_cost[extra + location] = box->unit_cost[row + location];
	rival_unit_places(box, line, location);
	(void) kernel_sandbox_solve(box, true, line);
}

static RouteStatus
rival_search(Rival *rival, const RouteResult *winner, RouteResult *result)
{
	Sandbox    *box = &rival->box;
	const RouteProblem *problem = box->original;
	RouteStatus status;
	int32_t		l;
	int32_t		i;

	for (i = 0; i < winner->package_count; i++)
		rival_without(rival, winner->packages[i].location);
	for (l = 0; l < problem->line_count; l++)
	{
		if (line_whole(problem, l))
		{
			rival_whole_line(rival, l);
			continue;
		}
		for (i = 0; i < problem->location_count; i++)
			if (!rival->inside[i] && !rival_hopeless(rival, i) &&
				problem->stock[(size_t) l * problem->location_count + i] > 0)
				rival_unit(rival, l, i);
	}
	status = kernel_sandbox_finish(box, ROUTE_PROOF_ENUMERATION, result);
	if (box->found && box->fault == ROUTE_OPTIMAL)
	{
		result->lower_bound = Min(box->lower_bound, result->cost);
		result->gap = result->cost - result->lower_bound;
	}
	return status;
}

RouteStatus
route_runner_up(const RouteProblem *problem, const RouteControl *control,
				const RouteResult *winner, RouteResult *result)
{
	Arena		arena;
	Rival		rival;
	int32_t		i;

	arena_begin(&arena, control);
	kernel_result_begin(result);
	result->bad_input = kernel_check_problem(problem);
	if (result->bad_input != NULL)
		return kernel_result_end(result, &arena, ROUTE_BAD_INPUT);
	rival.inside = TAKE_ZEROED(&arena, bool, problem->location_count);
	rival.at_least = TAKE(&arena, int64_t, problem->location_count);
	if (arena.failed ||
		!kernel_sandbox_create(&rival.box, problem, control, &arena) ||
		!rival_bounds(&rival, winner))
		return kernel_result_end(result, &arena, ROUTE_OUT_OF_MEMORY);
	for (i = 0; i < winner->package_count; i++)
		rival.inside[winner->packages[i].location] = true;
	return kernel_result_end(result, &arena, rival_search(&rival, winner, result));
}
