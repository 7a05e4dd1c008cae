/*
 * route_kernel.c
 *	  The exact router for one order.
 *
 * Choosing locations for an order is an uncapacitated facility location
 * problem with bounded arcs: opening a location costs a package, serving a
 * line from it costs units.  The steps, each cutting what the next one sees:
 *
 *	1. scan		a first plan and first prices per line, and every location
 *				dropped that by these prices is in no plan as cheap as that
 *				one; small orders often end here
 *	2. dual		prices per line by dual ascent (Erlenkotter 1978, "A dual-based
 *				procedure for uncapacitated facility location", Operations
 *				Research 26), which give a lower bound and, per location, the
 *				slack by which its packages are too dear
 *	3. columns	whole lines: all packages whose reduced cost is inside the gap,
 *				then an exact cover of the lines by them
 *	4. search	otherwise: branch and bound over opened locations, tariff steps
 *				and units, with the same bound at each node
 *
 * A tariff table enters steps 2 and 4 through a line below it (a fixed part
 * and a slope per gram); step 3 and the price of a plan use the table itself.
 * Lateness of the order depends on the latest location used, so steps 2 to 4
 * run once per level of lateness with the incumbent carried over.
 *
 * Ties are broken inside the objective: amounts are multiplied by a scale and
 * each package adds a little for itself and its location's rank.
 *
 * Each step has a file of its own: route_kernel_scan.c, _work.c (what is left
 * of the problem after the scan), _dual.c, _cover.c, _search.c, with _plan.c
 * for the plans they try and _check.c for what may be asked.  On top of them
 * stand route_kernel_bound.c (a result verified by its certificate), _series.c
 * (the runner-up), _rank.c (lexicographic) and _policy.c (rules of thumb), and
 * _split.c for costs of a line at a location and lines from few locations.
 */
#include "route_kernel_work.h"

#include <string.h>

/* ----------------------------------------------------------------
 *		Levels of lateness and the whole solve
 * ----------------------------------------------------------------
 */

/* Begin a level: locations at most that late, prices at the cheapest cost. */
static void
level_begin(Work *w, int32_t days)
{
	int32_t		i;
	int32_t		l;

	w->level_cost = late_price(w->problem, days) * w->scale;
	w->package_price = 0;
	w->trail_count = 0;
	w->open_count = 0;
	for (i = 0; i < w->m; i++)
	{
		w->state[i] = w->days[i] <= days ? STATE_FREE : STATE_CLOSED;
		if (w->tariff[i] != NULL)
		{
			kernel_slope_begin(w, i);
			w->linear_fixed[i] = kernel_line_below_tariff(w, i, w->slope[i]);
		}
	}
	kernel_rows_fill(w);
	for (l = 0; l < w->n; l++)
		w->dual[l] = w->row_count[l] == 0 ? w->cap[l]
			: Min(w->cap[l], w->rows[l][0].cost);
	kernel_slack_compute(w);
}

/*
 * A limit on packages gets a price of its own: look for one that raises the
 * bound, doubling the step while it does and halving it when it does not.
 */
static void
package_price_search(Work *w)
{
	size_t		dual_size = sizeof(int64_t) * (size_t) w->n;
	int64_t		packages = w->problem->packages_max;
	int64_t		most = Min(w->amount, w->amount * w->n / packages);
	int64_t		step = 1;
	int32_t		round;
	int32_t		i;

	for (i = 0; i < w->m; i++)
		step = Max(step, w->linear_fixed[i]);
	for (round = 0; round < 16 && w->bound < w->best && !w->stopped; round++)
	{
		int64_t		before = w->bound;
		int64_t		price = w->package_price;

		step = Min(step, (most - price) / 2);
		if (step <= 0)
			return;
		memcpy(w->dual_stack, w->dual, dual_size);
		w->package_price = price + step;
		kernel_slack_compute(w);
		kernel_ascend(w, -1);
		kernel_adjust(w, 1);
		if (w->bound > before)
			step *= 2;
		else
		{
			w->package_price = price;
			memcpy(w->dual, w->dual_stack, dual_size);
			kernel_slack_compute(w);
			w->bound = before;
			step /= 4;
		}
	}
}

static int32_t
plan_package_count(Work *w)
{
	int32_t		count = 0;
	int32_t		i;

	for (i = 0; i < w->m; i++)
		count += w->state[i] == STATE_FREE && w->slack[i] < w->demand_max;
	return count;
}

/* Raise the root's prices until the gap is closed or nothing moves. */
static void
level_prices(Work *w)
{
	int32_t		round;

	kernel_ascend(w, -1);
	if (w->bound >= w->best)
		return;
	for (round = 0; w->stepped && round < 4; round++)
		if (w->bound >= w->best || !kernel_slopes_improve(w))
			break;
	kernel_plan_from_prices(w, true);
	if (w->bound < w->best)
		kernel_adjust(w, ADJUST_ROUNDS);
	if (w->bound < w->best && w->problem->packages_max > 0 &&
		plan_package_count(w) > w->problem->packages_max)
		package_price_search(w);
}

static void
level_solve(Work *w, int32_t days, Cover **cover, int64_t *duals,
			int64_t *level_bound)
{
	level_begin(w, days);
	level_prices(w);
	memcpy(duals, w->dual, sizeof(int64_t) * (size_t) w->n);
	*level_bound = w->bound;
	if (w->bound >= w->best)
		return;
	kernel_plan_from_prices(w, true);
	if (!w->have_plan && !w->control->has_cost_below)
		kernel_plan_cover_must(w);
	if (w->have_plan)
		kernel_plan_improve(w);
	if (w->bound >= w->best)
		return;
	if (kernel_close_by_slack(w) > 0)
	{
		w->trail_count = 0;
		kernel_rows_fill(w);
	}
	if (w->stopped)
	{
		w->open_bound = Min(w->open_bound, w->bound);
		return;
	}
	if (w->all_whole && w->n <= COLUMN_LINES_USED)
	{
		if (*cover == NULL)
			*cover = kernel_cover_create(w);
		if (*cover == NULL || kernel_solve_by_columns(w, *cover))
			return;
	}
	kernel_explore(w, 0, w->bound);
}

/*
 * The levels of lateness worth solving: one per price, named by the largest
 * days late with it.  There is always at least one.
 */
static int32_t
levels_list(Work *w, int32_t **days_list)
{
	Entry	   *order = TAKE(w->arena, Entry, w->m + 1);
	int32_t    *days;
	int32_t		count = 0;
	int32_t		i;

	if (order == NULL)
		return -1;
	for (i = 0; i < w->m; i++)
	{
		order[i].cost = w->days[i];
		order[i].location = i;
	}
	entry_sort(order, w->m);
	for (i = 0; i < w->m; i++)
	{
		int32_t		here = (int32_t) order[i].cost;

		if (count > 0 && late_price(w->problem, here) ==
			late_price(w->problem, (int32_t) order[count - 1].cost))
			count--;
		order[count++].cost = here;
	}
	if (count == 0)
		order[count++].cost = 0;
	days = TAKE(w->arena, int32_t, count);
	if (days == NULL)
		return -1;
	for (i = 0; i < count; i++)
		days[i] = (int32_t) order[i].cost;
	*days_list = days;
	return count;
}

/* ----------------------------------------------------------------
 *		Results
 * ----------------------------------------------------------------
 */

void
kernel_result_begin(RouteResult *result)
{
	memset(result, 0, sizeof(*result));
	result->reason_line = -1;
	result->lower_bound = INT64_MIN;
	result->gap = INT64_MAX;
	result->dual_bound = INT64_MIN;
	result->tie_rule = ROUTE_TIE_NONE;
}

RouteStatus
kernel_result_end(RouteResult *result, const Arena *arena, RouteStatus status)
{
	if (arena->failed)
		status = ROUTE_OUT_OF_MEMORY;
	result->status = status;
	result->memory_used = arena->used;
	return status;
}

/* Put shares in order of (location, line) and merge equal ones. */
static int32_t
shares_arrange(Entry *work, RouteShare *shares, int32_t count)
{
	int32_t		kept = 0;
	int32_t		i;

	for (i = 0; i < count; i++)
	{
		work[i].cost = shares[i].location;
		work[i].location = shares[i].line;
		work[i].room = shares[i].units;
	}
	entry_sort(work, count);
	for (i = 0; i < count; i++)
	{
		RouteShare *last = kept > 0 ? &shares[kept - 1] : NULL;

		if (last != NULL && last->location == work[i].cost &&
			last->line == work[i].location)
		{
			last->units += work[i].room;
			continue;
		}
		shares[kept].location = (int32_t) work[i].cost;
		shares[kept].line = work[i].location;
		shares[kept].units = work[i].room;
		kept++;
	}
	return kept;
}

/* Sum one package after its last share is known. */
static void
package_close(const RouteProblem *problem, RouteResult *result)
{
	RoutePackage *package = &result->packages[result->package_count - 1];
	const RouteTariff *tariff = location_tariff(problem, package->location);

	package->fixed_cost = problem->fixed_cost[package->location];
	if (problem->late_cost != NULL)
		package->late_cost = problem->late_cost[package->location];
	if (tariff != NULL)
		package->tariff_cost =
			tariff->cost[tariff_step(tariff, package->weight_grams)];
	result->terms.fixed += package->fixed_cost;
	result->terms.tariff += package->tariff_cost;
	result->terms.unit += package->unit_cost;
	result->terms.line += package->line_cost;
	result->terms.lateness += package->late_cost;
	result->days_late = Max(result->days_late,
							location_days(problem, package->location));
}

/*
 * Price a list of shares into the result.  The arena must not fail; the
 * caller checks it.
 */
void
kernel_result_price(const RouteProblem *problem, Arena *arena, RouteShare *shares,
			 int32_t count, RouteResult *result)
{
	Entry	   *work = TAKE(arena, Entry, count);
	int32_t		s;
	int32_t		l;

	result->unassigned = TAKE(arena, int32_t, problem->line_count);
	result->packages = TAKE_ZEROED(arena, RoutePackage, count);
	if (arena->failed)
		return;
	result->shares = shares;
	result->share_count = shares_arrange(work, shares, count);
	memcpy(result->unassigned, problem->quantity,
		   sizeof(int32_t) * (size_t) problem->line_count);
	for (s = 0; s < result->share_count; s++)
	{
		RouteShare *share = &shares[s];
		RoutePackage *package;

		if (s == 0 || share->location != shares[s - 1].location)
		{
			if (s > 0)
				package_close(problem, result);
			result->packages[result->package_count++].location = share->location;
		}
		package = &result->packages[result->package_count - 1];
		package->units += share->units;
		package->weight_grams += line_weight(problem, share->line)
			* share->units;
		package->unit_cost += share->units *
			problem->unit_cost[(size_t) share->line * problem->location_count
							   + share->location];
		if (problem->line_cost != NULL)
			package->line_cost += Max(problem->line_cost[(size_t) share->line * problem->location_count
														 + share->location], 0);
		result->unassigned[share->line] -= share->units;
	}
	if (result->package_count > 0)
	{
		package_close(problem, result);
		result->terms.lateness += late_price(problem, result->days_late);
	}
	for (l = 0; l < problem->line_count; l++)
	{
		result->units_unassigned += result->unassigned[l];
		result->terms.penalty += line_penalty(problem, l)
			* result->unassigned[l];
	}
	result->cost = result->terms.fixed + result->terms.tariff
		+ result->terms.unit + result->terms.line + result->terms.penalty
		+ result->terms.lateness;
}

/* Is some line alone impossible to serve as it must be? */
static bool
find_line_reason(const Scan *scan, RouteResult *result)
{
	const RouteProblem *problem = scan->problem;
	int32_t		l;

	for (l = 0; l < problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		const int32_t *stock = problem->stock
			+ (size_t) l * problem->location_count;
		int64_t		room = 0;
		int64_t		units = 0;
		int32_t		most = 0;
		int32_t		e;
		int32_t		i;

		for (e = 0; e < line->entry_count; e++)
			room += line->entries[e].room;
		if (!line->must || room >= line->demand)
			continue;
		for (i = 0; i < problem->location_count; i++)
		{
			units += stock[i];
			most = Max(most, stock[i]);
		}
		result->reason_line = l;
		if (units < line->quantity)
			result->reason = ROUTE_REASON_STOCK;
		else if (line_whole(problem, l) && most < line->quantity)
			result->reason = ROUTE_REASON_WHOLE_LINE;
		else
			result->reason = ROUTE_REASON_WEIGHT;
		return true;
	}
	return false;
}

static void
find_reason(const Scan *scan, const RouteControl *control, RouteResult *result)
{
	if (control->has_cost_below)
		result->reason = ROUTE_REASON_COST;
	else if (!scan->stepped)
		result->reason = ROUTE_REASON_PACKAGES;
	else if (scan->problem->packages_max == 0)
		result->reason = ROUTE_REASON_WEIGHT;
	else
		result->reason = ROUTE_REASON_COMBINATION;
}

/* ----------------------------------------------------------------
 *		route_solve
 * ----------------------------------------------------------------
 */

/* Solve all levels; fills the certificate.  Returns the scaled dual bound. */
static int64_t
work_solve(Work *w, const Scan *scan, RouteResult *result)
{
	Cover	   *cover = NULL;
	int64_t		least = INT64_MAX;
	int32_t		level;
	int32_t		l;

	result->dual_scale = w->scale;
	result->tie_rule = w->tie_rule;
	result->level_count = levels_list(w, &result->level_days);
	if (result->level_count < 0)
		return INT64_MIN;
	result->dual_whole = TAKE(w->arena, bool, w->n);
	result->first_prices = scan->price;
	result->duals = TAKE(w->arena, int64_t,
						 (size_t) w->n * result->level_count);
	if (w->arena->failed)
		return INT64_MIN;
	for (l = 0; l < w->n; l++)
		result->dual_whole[l] = w->lines[l].demand == 1;
	for (level = 0; level < result->level_count; level++)
	{
		int64_t		bound;

		level_solve(w, result->level_days[level], &cover,
					result->duals + (size_t) w->n * level, &bound);
		if (w->arena->failed)
			return INT64_MIN;
		least = Min(least, bound);
	}
	return least;
}

/* Translate the incumbent back and say what has been proven about it. */
static RouteStatus
work_finish(Work *w, const Scan *scan, int64_t dual_bound,
			RouteResult *result)
{
	RouteShare *shares = TAKE(w->arena, RouteShare, w->plan_count);
	int64_t		bound;
	int32_t		s;

	if (shares == NULL)
		return ROUTE_OUT_OF_MEMORY;
	for (s = 0; s < w->plan_count; s++)
	{
		const Line *line = &scan->lines[w->plan[s].line];

		shares[s].line = w->plan[s].line;
		shares[s].location = w->origin[w->plan[s].location];
		shares[s].units = line->whole ? line->quantity : w->plan[s].units;
	}
	kernel_result_price(w->problem, w->arena, shares, w->plan_count, result);
	if (w->arena->failed)
		return ROUTE_OUT_OF_MEMORY;
	result->dual_bound = Min(result->cost, floor_div(dual_bound, w->scale));
	bound = Min(w->best, w->open_bound);
	result->proven = bound >= w->best;
	result->lower_bound = result->proven ? result->cost
		: floor_div(bound, w->scale);
	result->gap = result->cost - result->lower_bound;
	if (!result->proven)
		return ROUTE_FEASIBLE;
	result->proof = result->dual_bound == result->cost
		? ROUTE_PROOF_DUAL : ROUTE_PROOF_ENUMERATION;
	return ROUTE_OPTIMAL;
}

/*
 * Cheapest and second cheapest cost of the line among locations that are
 * marked, with leaving it out as one of them.  Returns where the cheapest is,
 * -1 for leaving it out.
 */
static int32_t
scan_two_cheapest(const Scan *scan, const Line *line, int64_t *first,
				  int64_t *second)
{
	int32_t		location = -1;
	int32_t		e;

	*first = line->must ? SCALED_MAX : line->penalty;
	*second = SCALED_MAX;
	for (e = 0; e < line->entry_count; e++)
	{
		const Entry *entry = &line->entries[e];

		if (scan->room[entry->location] != MARKED || entry->cost >= *second)
			continue;
		if (entry->cost < *first)
		{
			*second = *first;
			*first = entry->cost;
			location = entry->location;
		}
		else
			*second = entry->cost;
	}
	return location;
}

/*
 * When the first plan uses all locations that are left, it is the only best
 * one if the lines of each location would lose more than its package by going
 * to their second cheapest place.  Prices between cheapest and second then
 * pay each package once, which is the proof; they go to duals.
 */
static bool
scan_prices_close(Scan *scan, int64_t *duals)
{
	const RouteProblem *problem = scan->problem;
	int64_t    *unpaid = scan->gain;
	int32_t		i;
	int32_t		l;

	for (i = 0; i < scan->survivor_count; i++)
	{
		unpaid[scan->survivors[i]] = scan->package[scan->survivors[i]];
		scan->room[scan->survivors[i]] = MARKED;
	}
	for (l = 0; l < problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int64_t		first;
		int64_t		second;
		int32_t		location = scan_two_cheapest(scan, line, &first, &second);
		int64_t		paid;

		/* equal costs leave a choice, which is the search's to make */
		if (line->demand > 1 || location != scan->plan[l] || first == second)
			return false;
		duals[l] = first;
		if (location < 0)
			continue;
		paid = Min(second - first, unpaid[location] + 1);
		unpaid[location] -= paid;
		duals[l] += paid;
		/* one more than the package shows that nothing is as cheap */
		if (unpaid[location] < 0 && paid > 0)
		{
			duals[l]--;
			unpaid[location] = -1;
		}
	}
	for (i = 0; i < scan->survivor_count; i++)
		if (unpaid[scan->survivors[i]] != -1)
			return false;
	return true;
}

/*
 * Is the first plan already proven?  Either the first prices reach its cost
 * and it is one package without a rival, or the prices above do it.
 */
static bool
scan_decides(Scan *scan, int64_t **duals)
{
	const RouteProblem *problem = scan->problem;

	if (!scan->have_plan || problem->late_table != NULL ||
		scan->survivor_count > problem->line_count)
		return false;
	if (scan->bound == scan->best && scan->survivor_count <= 1)
	{
		*duals = scan->price;
		return true;
	}
	if (scan->stepped)
		return false;
	*duals = TAKE(scan->arena, int64_t, problem->line_count);
	return *duals != NULL && scan_prices_close(scan, *duals);
}

/* The answer when the first prices decide. */
static RouteStatus
scan_finish(const Scan *scan, int64_t *duals, RouteResult *result)
{
	const RouteProblem *problem = scan->problem;
	Arena	   *arena = scan->arena;
	RouteShare *shares = TAKE(arena, RouteShare, problem->line_count);
	int32_t		count = 0;
	int32_t		l;

	result->level_count = 1;
	result->level_days = TAKE_ZEROED(arena, int32_t, 1);
	result->dual_whole = TAKE(arena, bool, problem->line_count);
	if (arena->failed)
		return ROUTE_OUT_OF_MEMORY;
	for (l = 0; l < problem->line_count; l++)
	{
		result->dual_whole[l] = scan->lines[l].demand == 1;
		if (scan->plan[l] < 0)
			continue;
		shares[count].line = l;
		shares[count].location = scan->plan[l];
		shares[count].units = problem->quantity[l];
		count++;
	}
	result->first_prices = scan->price;
	result->duals = duals;
	result->dual_scale = 1;
	result->tie_rule = ROUTE_TIE_PACKAGES_RANK;
	kernel_result_price(problem, arena, shares, count, result);
	result->lower_bound = result->dual_bound = result->cost;
	result->gap = 0;
	result->proven = true;
	result->proof = ROUTE_PROOF_DUAL;
	return ROUTE_OPTIMAL;
}

static RouteStatus
solve_in_arena(const RouteProblem *problem, const RouteControl *control,
			   Arena *arena, RouteResult *result)
{
	Scan		scan;
	Work		w;
	RouteStatus status;
	int64_t    *duals;
	int64_t		dual_bound;

	scan.problem = problem;
	scan.arena = arena;
	scan.bad_input = kernel_check_problem(problem);
	status = scan.bad_input != NULL ? ROUTE_BAD_INPUT : kernel_scan_problem(&scan);
	if (status != ROUTE_OPTIMAL)
	{
		result->bad_input = scan.bad_input;
		return status;
	}
	if (scan.any_must && find_line_reason(&scan, result))
		return ROUTE_INFEASIBLE;
	if (!kernel_scan_bounds(&scan, control))
		return ROUTE_OUT_OF_MEMORY;
	if (scan_decides(&scan, &duals))
		return scan_finish(&scan, duals, result);
	if (!kernel_work_build(&w, &scan, control))
		return ROUTE_OUT_OF_MEMORY;
	dual_bound = work_solve(&w, &scan, result);
	result->nodes = w.nodes;
	if (arena->failed)
		return ROUTE_OUT_OF_MEMORY;
	if (w.have_plan)
		return work_finish(&w, &scan, dual_bound, result);
	if (Min(w.best, w.open_bound) < w.best)
	{
		result->lower_bound = floor_div(w.open_bound, w.scale);
		return ROUTE_UNKNOWN;
	}
	find_reason(&scan, control, result);
	return ROUTE_INFEASIBLE;
}

RouteStatus
route_solve(const RouteProblem *problem, const RouteControl *control,
			RouteResult *result)
{
	Arena		arena;

	arena_begin(&arena, control);
	kernel_result_begin(result);
	return kernel_result_end(result, &arena, kernel_split_needed(problem)
							 ? kernel_split_solve(problem, control, &arena, result)
							 : solve_in_arena(problem, control, &arena, result));
}
