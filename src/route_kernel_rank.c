/*
 * route_kernel_rank.c
 *	  Lexicographic ranking: terms in order, each within its tolerance.
 */
#include "route_kernel_work.h"

#include <string.h>

/* ----------------------------------------------------------------
 *		route_solve_lexicographic
 *
 * Terms without tolerance become one objective: each counts more than all
 * that follow it can differ.  A tolerance on packages or days late turns into
 * a hard limit once its least value is known.
 * ----------------------------------------------------------------
 */
typedef struct Ranking
{
	Sandbox		box;
	const int64_t *distance;
	RouteTerm	active[ROUTE_TERMS_MAX + 1];
	int64_t		factor[ROUTE_TERMS_MAX + 1];
	int32_t		active_count;
	int32_t		packages_max;	/* 0 = none */
	int32_t		days_max;		/* locations later than this are out */
	int64_t    *fixed_cost;
	int64_t    *late_table;
	RouteTariff *tariffs;
	int64_t    *tariff_cost;
	int32_t		rank_least;
	int32_t		days_most;
	bool		overflow;
} Ranking;

/* The most that a line can cost at all its locations. */
static int64_t
ranking_line_costs(const Ranking *r, int32_t l)
{
	const RouteProblem *problem = r->box.original;
	int64_t		most = 0;

	if (problem->line_cost == NULL)
		return 0;
	for (int32_t i = 0; i < problem->location_count; i++)
		most = Max(most, problem->line_cost[(size_t) l * problem->location_count + i]);
	return most > SCALED_MAX / 2 / ROUTE_LINES_MAX / problem->quantity[l] ? SCALED_MAX / 2 / ROUTE_LINES_MAX
		: most * Min(problem->quantity[l], problem->location_count);
}

/* What the lines' own costs can differ by between two plans, and in how many packages at most they come. */
static int64_t
ranking_lines_range(Ranking *r, int64_t *packages)
{
	const RouteProblem *problem = r->box.original;
	int64_t		cost = 0;
	int32_t		i;
	int32_t		l;

	*packages = 0;
	for (l = 0; l < problem->line_count; l++)
	{
		int64_t		most = line_penalty(problem, l);

		for (i = 0; i < problem->location_count; i++)
		{
			size_t		cell = (size_t) l * problem->location_count + i;

			if (problem->stock[cell] > 0)
				most = Max(most, Max(problem->unit_cost[cell],
									 -problem->unit_cost[cell]));
		}
		if (most > ROUTE_AMOUNT_MAX / problem->quantity[l])
			r->overflow = true;
		else
			cost += 2 * most * problem->quantity[l];
		*packages += line_whole(problem, l) ? 1 : problem->quantity[l];
		cost += ranking_line_costs(r, l);
	}
	return cost;
}

/* How far the term can differ between two plans. */
static int64_t
ranking_range(Ranking *r, const RouteTerm *term)
{
	const RouteProblem *problem = r->box.original;
	RouteTermKind kind = term->kind;
	int64_t		units;
	int64_t		cost = ranking_lines_range(r, &units);
	int64_t		place_max = 0;
	int64_t		places = problem->location_count;
	int32_t		i;
	int32_t		l;

	/* not the limits found on the way: factors must stay comparable */
	places = Min(places, units);
	if (problem->packages_max > 0)
		places = Min(places, problem->packages_max);
	switch (kind)
	{
		case ROUTE_TERM_PACKAGES:
			return places;
		case ROUTE_TERM_DAYS_LATE:
			return r->days_most;
		case ROUTE_TERM_UNASSIGNED:
			units = 0;
			for (l = 0; l < problem->line_count; l++)
				units += problem->quantity[l];
			return units;
		case ROUTE_TERM_DISTANCE:
			for (i = 0; i < problem->location_count; i++)
				place_max = Max(place_max, r->distance[i]);
			break;
		case ROUTE_TERM_VALUE:
			for (i = 0; i < problem->location_count; i++)
				place_max = Max(place_max, term->value[i]);
			break;
		case ROUTE_TERM_RANK:
			for (i = 0; problem->rank != NULL &&
				 i < problem->location_count; i++)
				place_max = Max(place_max, (int64_t) problem->rank[i]
								- r->rank_least);
			break;
		case ROUTE_TERM_COST:
			for (i = 0; i < problem->location_count; i++)
				place_max = Max(place_max, location_fixed(problem, i));
			for (i = 0; i < problem->tariff_count; i++)
				cost += problem->tariffs[i].cost
					[problem->tariffs[i].step_count - 1] * places;
			if (problem->late_table != NULL)
				cost += problem->late_table[problem->late_table_count - 1];
			break;
	}
	if (place_max > 0 && places > 0 && place_max > SCALED_MAX / 2 / places)
	{
		r->overflow = true;
		return 0;
	}
	return place_max * places + (kind == ROUTE_TERM_COST ? cost : 0);
}

/* Factor of each active term, the last one counting 1. */
static void
ranking_factors(Ranking *r)
{
	int64_t		factor = 1;
	int32_t		k;

	for (k = r->active_count - 1; k >= 0; k--)
	{
		int64_t		range = ranking_range(r, &r->active[k])
			+ r->active[k].tolerance + 1;

		r->factor[k] = factor;
		if (r->overflow || range > ROUTE_AMOUNT_MAX / factor)
		{
			r->overflow = true;
			return;
		}
		factor *= range;
	}
}

static int64_t
ranking_factor(const Ranking *r, RouteTermKind kind)
{
	int32_t		k;

	for (k = 0; k < r->active_count; k++)
		if (r->active[k].kind == kind)
			return r->factor[k];
	return 0;
}

/* amount * factor, remembering when it does not fit. */
static int64_t
ranking_times(Ranking *r, int64_t amount, int64_t factor)
{
	if (factor != 0 && (amount > ROUTE_AMOUNT_MAX / factor ||
						amount < -(ROUTE_AMOUNT_MAX / factor)))
	{
		r->overflow = true;
		return 0;
	}
	return amount * factor;
}

static void
ranking_tables(Ranking *r, int64_t cost)
{
	const RouteProblem *problem = r->box.original;
	int64_t		late = ranking_factor(r, ROUTE_TERM_DAYS_LATE);
	int64_t    *next = r->tariff_cost;
	int32_t		t;
	int32_t		k;

	for (t = 0; t < problem->tariff_count; t++)
	{
		r->tariffs[t] = problem->tariffs[t];
		r->tariffs[t].cost = next;
		for (k = 0; k < problem->tariffs[t].step_count; k++)
			*next++ = ranking_times(r, problem->tariffs[t].cost[k], cost);
	}
	for (k = 0; k <= r->days_most; k++)
		r->late_table[k] = ranking_times(r, late_price(problem, k), cost)
			+ ranking_times(r, k, late);
}

/* The objective that the active terms make, under the limits so far. */
static void
ranking_objective(Ranking *r)
{
	const RouteProblem *problem = r->box.original;
	int64_t		cost;
	int64_t		unassigned;
	int32_t		m = problem->location_count;
	int32_t		i;
	int32_t		l;

	ranking_factors(r);
	kernel_sandbox_restore(&r->box);
	cost = ranking_factor(r, ROUTE_TERM_COST);
	unassigned = ranking_factor(r, ROUTE_TERM_UNASSIGNED);
	for (i = 0; i < m; i++)
	{
		r->fixed_cost[i] = ranking_times(r, location_fixed(problem, i), cost)
			+ ranking_factor(r, ROUTE_TERM_PACKAGES);
		if (problem->rank != NULL)
			r->fixed_cost[i] += ranking_times(r, (int64_t) problem->rank[i]
											  - r->rank_least,
											  ranking_factor(r, ROUTE_TERM_RANK));
		if (r->distance != NULL)
			r->fixed_cost[i] += ranking_times(r, r->distance[i],
											  ranking_factor(r, ROUTE_TERM_DISTANCE));
		for (l = 0; l < r->active_count; l++)
			if (r->active[l].kind == ROUTE_TERM_VALUE)
				r->fixed_cost[i] += ranking_times(r, r->active[l].value[i], r->factor[l]);
	}
	for (l = 0; l < problem->line_count; l++)
	{
		r->box.penalty[l] = ranking_times(r, line_penalty(problem, l), cost)
			+ unassigned;
		for (i = 0; i < m; i++)
		{
			size_t		cell = (size_t) l * m + i;

			if (location_days(problem, i) > r->days_max)
				r->box.stock[cell] = 0;
			r->box.unit_cost[cell] = problem->stock[cell] <= 0 ? 0
				: ranking_times(r, problem->unit_cost[cell], cost);
			if (problem->line_cost != NULL && problem->line_cost[cell] > 0)
				r->box.line_cost[cell] = ranking_times(r, problem->line_cost[cell], cost);
		}
	}
	ranking_tables(r, cost);
	r->box.problem.packages_max = r->packages_max;
}

/* Best plan by the active terms; false when there is none or a fault. */
static bool
ranking_solve(Ranking *r)
{
	bool		found;

	ranking_objective(r);
	if (r->overflow)
	{
		r->box.fault = ROUTE_BAD_INPUT;
		r->box.bad_input = "amounts too large for this ranking";
		return false;
	}
	/* keep the last plan when limits leave none */
	found = kernel_sandbox_solve(&r->box, false, -1);
	return found;
}

static void
ranking_push(Ranking *r, RouteTerm term)
{
	r->active[r->active_count++] = term;
}

/* Packages and days late of the plan that was kept. */
static void
ranking_plan_size(const Ranking *r, int32_t *packages, int32_t *days)
{
	const Sandbox *box = &r->box;
	int32_t		s;

	*packages = 0;
	*days = 0;
	for (s = 0; s < box->share_count; s++)
	{
		int32_t		i = box->shares[s].location;

		/* shares of a result are in order of location */
		*packages += s == 0 || i != box->shares[s - 1].location;
		*days = Max(*days, location_days(box->original, i));
	}
}

/* Allow at most this many packages; none at all puts every location out. */
static void
ranking_allow_packages(Ranking *r, int64_t packages)
{
	if (packages == 0)
		r->days_max = -1;
	else if (packages < (r->packages_max > 0 ? r->packages_max : INT32_MAX))
		r->packages_max = (int32_t) packages;
}

static void
ranking_allow(Ranking *r, RouteTermKind kind, int64_t value)
{
	if (kind == ROUTE_TERM_PACKAGES)
		ranking_allow_packages(r, value);
	else
		r->days_max = (int32_t) Min((int64_t) r->days_max, value);
}

/*
 * Find the least packages or days that keep the objective within budget, and
 * allow that many with the term's tolerance.  The plan kept before shows what
 * is enough.
 */
static void
ranking_tighten(Ranking *r, RouteTerm term, int64_t budget)
{
	int32_t		old_days = r->days_max;
	int32_t		old_packages = r->packages_max;
	int32_t		packages;
	int32_t		days;
	int32_t		most;
	int32_t		least;
	bool		enough = false;

	ranking_plan_size(r, &packages, &days);
	most = term.kind == ROUTE_TERM_PACKAGES ? packages : days;
	for (least = 0; least < most && !enough; least++)
	{
		ranking_allow(r, term.kind, least);
		enough = ranking_solve(r) && r->box.cost <= budget;
		r->days_max = old_days;
		r->packages_max = old_packages;
		if (r->box.fault != ROUTE_OPTIMAL)
			return;
	}
	if (enough)
		least--;
	ranking_allow(r, term.kind, least + term.tolerance);
}

/* A tolerance on an additive term: only limits may follow. */
static bool
ranking_budget(Ranking *r, const RouteTerm *terms, int32_t count)
{
	int64_t		budget;
	int32_t		k;

	for (k = 1; k < count; k++)
		if (terms[k].kind != ROUTE_TERM_PACKAGES &&
			terms[k].kind != ROUTE_TERM_DAYS_LATE)
			return false;
	ranking_push(r, terms[0]);
	if (!ranking_solve(r))
		return true;
	budget = r->box.cost + terms[0].tolerance;
	for (k = 1; k < count && r->box.fault == ROUTE_OPTIMAL; k++)
	{
		RouteTerm	term = terms[k];

		/* nothing follows the last term that a tolerance could serve */
		if (k == count - 1)
			term.tolerance = 0;
		ranking_tighten(r, term, budget);
		(void) ranking_solve(r);
	}
	return true;
}

/* Turn the least value of packages or days late into a hard limit. */
static bool
ranking_limit(Ranking *r, RouteTerm term)
{
	RouteTerm	exact = term;
	int32_t		packages;
	int32_t		days;

	exact.tolerance = 0;
	ranking_push(r, exact);
	if (!ranking_solve(r))
		return false;
	r->active_count--;
	ranking_plan_size(r, &packages, &days);
	ranking_allow(r, term.kind, term.tolerance
				  + (term.kind == ROUTE_TERM_PACKAGES ? packages : days));
	return true;
}

static bool
ranking_terms_valid(const RouteTerm *terms, int32_t count,
					const int64_t *distance, int32_t locations)
{
	int32_t		k;
	int32_t		j;

	if (count < 1 || count > ROUTE_TERMS_MAX)
		return false;
	for (k = 0; k < count; k++)
	{
		if (terms[k].tolerance < 0 || terms[k].tolerance > ROUTE_AMOUNT_MAX)
			return false;
		for (j = 0; j < k; j++)
			if (terms[j].kind == terms[k].kind && terms[k].kind != ROUTE_TERM_VALUE)
				return false;
		if (terms[k].kind == ROUTE_TERM_DISTANCE && distance == NULL)
			return false;
		if (terms[k].kind == ROUTE_TERM_VALUE && terms[k].value == NULL)
			return false;
		for (j = 0; terms[k].kind == ROUTE_TERM_VALUE && j < locations; j++)
			if (!kernel_amount_ok(terms[k].value[j]))
				return false;
	}
	for (k = 0; distance != NULL && k < locations; k++)
		if (!kernel_amount_ok(distance[k]))
			return false;
	return true;
}

static bool
ranking_create(Ranking *r, const RouteProblem *problem,
			   const RouteControl *control, const int64_t *distance,
			   Arena *arena)
{
	int32_t		steps = 0;
	int32_t		i;

	memset(r, 0, sizeof(*r));
	r->distance = distance;
	r->packages_max = problem->packages_max;
	for (i = 0; i < problem->location_count; i++)
		r->days_most = Max(r->days_most, location_days(problem, i));
	r->days_max = r->days_most;
	for (i = 0; problem->rank != NULL && i < problem->location_count; i++)
		r->rank_least = i == 0 ? problem->rank[0]
			: Min(r->rank_least, problem->rank[i]);
	for (i = 0; i < problem->tariff_count; i++)
		steps += problem->tariffs[i].step_count;
	r->fixed_cost = TAKE(arena, int64_t, problem->location_count);
	r->late_table = TAKE(arena, int64_t, r->days_most + 1);
	r->tariffs = TAKE(arena, RouteTariff, problem->tariff_count);
	r->tariff_cost = TAKE(arena, int64_t, steps);
	if (!kernel_sandbox_create(&r->box, problem, control, arena))
		return false;
	r->box.problem.fixed_cost = r->fixed_cost;
	r->box.problem.late_cost = NULL;
	r->box.problem.late_table = r->late_table;
	r->box.problem.late_table_count = r->days_most + 1;
	r->box.problem.tariffs = r->tariffs;
	return true;
}

static RouteStatus
ranking_run(Ranking *r, const RouteTerm *terms, int32_t term_count,
			RouteResult *result)
{
	RouteTerm	last = {.kind = ROUTE_TERM_COST};
	bool		has_cost = false;
	int32_t		k;

	for (k = 0; k < term_count; k++)
	{
		has_cost |= terms[k].kind == ROUTE_TERM_COST;
		if (terms[k].tolerance == 0 || k == term_count - 1)
		{
			RouteTerm	exact = {terms[k].kind, 0, terms[k].value};

			ranking_push(r, exact);
		}
		else if (terms[k].kind == ROUTE_TERM_PACKAGES ||
				 terms[k].kind == ROUTE_TERM_DAYS_LATE)
		{
			if (!ranking_limit(r, terms[k]))
				break;
		}
		else if (!ranking_budget(r, terms + k, term_count - k))
			return ROUTE_UNSUPPORTED;
		else
			return kernel_sandbox_finish(&r->box, ROUTE_PROOF_LEXICOGRAPHIC, result);
	}
	if (k == term_count)
	{
		if (!has_cost)
			ranking_push(r, last);
		(void) ranking_solve(r);
	}
	return kernel_sandbox_finish(&r->box, ROUTE_PROOF_LEXICOGRAPHIC, result);
}

RouteStatus
route_solve_lexicographic(const RouteProblem *problem,
						  const RouteControl *control, const RouteTerm *terms,
						  int32_t term_count, const int64_t *distance,
						  RouteResult *result)
{
	Arena		arena;
	Ranking		ranking;

	arena_begin(&arena, control);
	kernel_result_begin(result);
	result->bad_input = kernel_check_problem(problem);
	if (result->bad_input == NULL &&
		!ranking_terms_valid(terms, term_count, distance,
							 problem->location_count))
		result->bad_input = "terms";
	if (result->bad_input != NULL)
		return kernel_result_end(result, &arena, ROUTE_BAD_INPUT);
	if (!ranking_create(&ranking, problem, control, distance, &arena))
		return kernel_result_end(result, &arena, ROUTE_OUT_OF_MEMORY);
	return kernel_result_end(result, &arena,
					  ranking_run(&ranking, terms, term_count, result));
}
