/* sources: src/route_kernel.c src/route_kernel_bound.c src/route_kernel_check.c src/route_kernel_cover.c src/route_kernel_dual.c src/route_kernel_plan.c src/route_kernel_policy.c src/route_kernel_price.c src/route_kernel_rank.c src/route_kernel_scan.c src/route_kernel_search.c src/route_kernel_series.c src/route_kernel_split.c src/route_kernel_work.c */
/*
 * route_kernel_test.c
 *	  The router against full enumeration, by hand and at its limits.
 *
 * The oracle tries every way to spread every line, prices it with code of its
 * own and keeps the best by (cost, packages, sum of rank places).
 */
#include "../../src/route_kernel.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_LINES		6
#define MAX_LOCATIONS	6
#define MAX_CELLS		(MAX_LINES * MAX_LOCATIONS)
#define MAX_STEPS		4
#define ARENA_SIZE		((size_t) 64 * 1024 * 1024)

static int	failures = 0;
static long checks = 0;

#define CHECK(condition) \
	do { \
		checks++; \
		if (!(condition)) \
		{ \
			if (failures < 20) \
				printf("%s:%d: failed: %s\n", __func__, __LINE__, #condition); \
			failures++; \
		} \
	} while (0)

/* ---------------------------------------------------------------- arena */

static char *arena_memory;
static size_t arena_used;

static void *
arena_alloc(void *context, size_t size)
{
	void	   *chunk = arena_memory + arena_used;

	(void) context;
	if (size > ARENA_SIZE - arena_used)
		return NULL;
	arena_used += size;
	/* nothing may rely on fresh memory being zero */
	memset(chunk, 0xa5, size);
	return chunk;
}

static RouteControl
control_default(void)
{
	RouteControl control;

	memset(&control, 0, sizeof(control));
	control.alloc = arena_alloc;
	return control;
}

/* --------------------------------------------------------------- random */

static uint64_t random_state;

static uint32_t
random_next(void)
{
	random_state += UINT64_C(0x9E3779B97F4A7C15);
	{
		uint64_t	z = random_state;

		z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
		return (uint32_t) (z >> 32);
	}
}

/* Uniform in low..high, both included. */
static int32_t
random_range(int32_t low, int32_t high)
{
	return low + (int32_t) (random_next() % (uint32_t) (high - low + 1));
}

static bool
random_chance(int32_t percent)
{
	return random_range(1, 100) <= percent;
}

/* ------------------------------------------------------------- instance */

typedef struct Instance
{
	RouteProblem problem;
	int32_t		quantity[MAX_LINES];
	int64_t		penalty[MAX_LINES];
	bool		must_serve[MAX_LINES];
	bool		whole[MAX_LINES];
	int64_t		weight[MAX_LINES];
	int32_t		stock[MAX_CELLS];
	int64_t		unit_cost[MAX_CELLS];
	int64_t		line_cost[MAX_CELLS];
	int32_t		places_max[MAX_LINES];
	int64_t		value[MAX_LOCATIONS];
	int64_t		fixed_cost[MAX_LOCATIONS];
	int64_t		late_cost[MAX_LOCATIONS];
	int32_t		days_late[MAX_LOCATIONS];
	int32_t		tariff_of[MAX_LOCATIONS];
	int32_t		rank[MAX_LOCATIONS];
	int64_t		distance[MAX_LOCATIONS];
	RouteTariff tariffs[2];
	int64_t		limits[2][MAX_STEPS];
	int64_t		costs[2][MAX_STEPS];
	int64_t		late_table[8];
} Instance;

static void
instance_begin(Instance *in, int32_t n, int32_t m)
{
	RouteProblem *p = &in->problem;

	memset(in, 0, sizeof(*in));
	p->line_count = n;
	p->location_count = m;
	p->quantity = in->quantity;
	p->penalty = in->penalty;
	p->must_serve = in->must_serve;
	p->whole = in->whole;
	p->weight_grams = in->weight;
	p->stock = in->stock;
	p->unit_cost = in->unit_cost;
	p->fixed_cost = in->fixed_cost;
	p->rank = in->rank;
}

/* Rate cards of both shapes: cheaper per gram, and dearer per gram. */
static void
random_tariffs(Instance *in)
{
	int32_t		t;
	int32_t		k;

	in->problem.tariffs = in->tariffs;
	in->problem.tariff_count = 2;
	in->problem.tariff_of = in->tariff_of;
	for (t = 0; t < 2; t++)
	{
		int64_t		limit = random_chance(10) ? 0 : random_range(1, 8);
		int64_t		cost = random_range(0, 40);

		in->tariffs[t].step_count = random_range(1, MAX_STEPS);
		in->tariffs[t].limit_grams = in->limits[t];
		in->tariffs[t].cost = in->costs[t];
		for (k = 0; k < in->tariffs[t].step_count; k++)
		{
			in->limits[t][k] = limit;
			in->costs[t][k] = cost;
			limit += random_range(1, 12);
			cost += random_range(0, 30);
		}
	}
	for (k = 0; k < in->problem.location_count; k++)
		in->tariff_of[k] = random_range(-1, 1);
}

static void
random_lateness(Instance *in)
{
	int32_t		m = in->problem.location_count;
	int64_t		price = random_chance(70) ? 0 : random_range(0, 5);
	int32_t		i;

	in->problem.days_late = in->days_late;
	for (i = 0; i < m; i++)
		in->days_late[i] = random_range(0, 3);
	if (random_chance(70))
	{
		in->problem.late_table = in->late_table;
		in->problem.late_table_count = 8;
		for (i = 0; i < 8; i++)
		{
			in->late_table[i] = price;
			price += random_chance(30) ? 0 : random_range(0, 30);
		}
	}
	if (random_chance(50))
	{
		in->problem.late_cost = in->late_cost;
		for (i = 0; i < m; i++)
			in->late_cost[i] = in->days_late[i] * 4;
	}
}

/*
 * A random instance.  Small cost ranges make ties frequent; large ones make
 * them rare.
 */
static void
random_instance(Instance *in, int32_t n, int32_t m, bool divide)
{
	int32_t		range = random_chance(30) ? 3 : random_chance(50) ? 20 : 1000;
	int32_t		present = random_range(25, 100);
	int32_t		scarce = random_range(0, 2);
	int32_t		l;
	int32_t		i;

	instance_begin(in, n, m);
	in->problem.whole_lines = !divide;
	in->problem.ship_complete = random_chance(15);
	if (random_chance(30))
		in->problem.packages_max = random_range(1, 3);
	for (l = 0; l < n; l++)
	{
		in->quantity[l] = divide ? random_range(1, 3) : random_range(1, 9);
		in->penalty[l] = random_range(0, random_chance(20) ? 3 : 4 * range);
		in->must_serve[l] = random_chance(20);
		in->whole[l] = random_chance(20);
		in->weight[l] = random_chance(10) ? 0 : random_range(1, 6);
		for (i = 0; i < m; i++)
		{
			int32_t		most = divide && scarce > 0 ? scarce : 10;

			in->stock[l * m + i] = random_chance(present)
				? random_range(0, most) : 0;
			in->unit_cost[l * m + i] = random_range(random_chance(10)
													? -range : 0, range);
		}
	}
	for (i = 0; i < m; i++)
	{
		in->fixed_cost[i] = random_chance(10) ? 0 : random_range(0, 4 * range);
		in->rank[i] = random_range(-2, 3);
		in->distance[i] = random_range(0, 50);
		in->value[i] = (in->distance[i] * 37 + i * 11) % 41;
	}
	if (random_chance(50))
		random_tariffs(in);
	if (random_chance(40))
		random_lateness(in);
}

/* Lines that cost something at each location, or may come from few. */
static void
random_splits(Instance *in)
{
	RouteProblem *p = &in->problem;
	int32_t		range = random_chance(50) ? 6 : 200;
	int32_t		cell;
	int32_t		l;

	if (random_chance(70))
		p->line_cost = in->line_cost;
	if (p->line_cost == NULL || random_chance(50))
		p->places_max = in->places_max;
	for (cell = 0; cell < p->line_count * p->location_count; cell++)
		in->line_cost[cell] = random_chance(8) ? -1 : random_range(0, range);
	for (l = 0; l < p->line_count; l++)
		in->places_max[l] = random_chance(40) ? 0 : random_range(1, 3);
}

/* --------------------------------------------------------------- oracle */

typedef struct Best
{
	bool		found;
	int64_t		cost;
	int32_t		packages;
	int32_t		ranks;
	int32_t		units[MAX_CELLS];
} Best;

typedef struct Oracle
{
	const Instance *in;
	int32_t		rank_place[MAX_LOCATIONS];
	int32_t		units[MAX_CELLS];
	const int32_t *not_set;		/* locations used by the plan to differ from */
	Best		best;
	/* called for each plan instead of keeping the cheapest, or NULL */
	void		(*visit) (struct Oracle *oracle, int64_t cost);
	void	   *context;
	long		plans;
} Oracle;

/* Cost of a full assignment, or -1 when it breaks a rule. */
static bool
oracle_price(const Instance *in, const int32_t *units, int64_t *cost,
			 int32_t *packages, int32_t *days)
{
	const RouteProblem *p = &in->problem;
	int32_t		n = p->line_count;
	int32_t		m = p->location_count;
	int64_t		sum = 0;
	int32_t		places[MAX_LINES] = {0};
	int32_t		l;
	int32_t		i;

	*packages = 0;
	*days = 0;
	for (l = 0; l < n; l++)
		for (i = 0; i < m; i++)
		{
			int64_t		cost = p->line_cost == NULL ? 0 : in->line_cost[l * m + i];

			if (units[l * m + i] == 0 || cost < 0)
				continue;
			sum += cost;
			if (p->places_max != NULL && ++places[l] > in->places_max[l] && in->places_max[l] > 0 &&
				in->quantity[l] > 1 && !p->whole_lines && !in->whole[l])
				return false;
		}
	for (i = 0; i < m; i++)
	{
		int64_t		weight = 0;
		int32_t		count = 0;

		for (l = 0; l < n; l++)
		{
			count += units[l * m + i];
			weight += units[l * m + i] * in->weight[l];
			sum += units[l * m + i] * in->unit_cost[l * m + i];
		}
		if (count == 0)
			continue;
		(*packages)++;
		sum += in->fixed_cost[i];
		if (p->late_cost != NULL)
			sum += in->late_cost[i];
		if (p->days_late != NULL && in->days_late[i] > *days)
			*days = in->days_late[i];
		if (p->tariff_of != NULL && in->tariff_of[i] >= 0)
		{
			const RouteTariff *tariff = &in->tariffs[in->tariff_of[i]];
			int32_t		k = 0;

			while (k < tariff->step_count && tariff->limit_grams[k] < weight)
				k++;
			if (k == tariff->step_count)
				return false;
			sum += tariff->cost[k];
		}
	}
	if (*packages > 0 && p->late_table != NULL)
		sum += in->late_table[*days];
	for (l = 0; l < n; l++)
	{
		int32_t		left = in->quantity[l];

		for (i = 0; i < m; i++)
			left -= units[l * m + i];
		if (left > 0 && (p->ship_complete || in->must_serve[l]))
			return false;
		sum += left * in->penalty[l];
	}
	*cost = sum;
	return p->packages_max == 0 || *packages <= p->packages_max;
}

static int32_t
rank_sum(const Oracle *oracle, const int32_t *units)
{
	const RouteProblem *p = &oracle->in->problem;
	int32_t		sum = 0;
	int32_t		l;
	int32_t		i;

	for (i = 0; i < p->location_count; i++)
		for (l = 0; l < p->line_count; l++)
			if (units[l * p->location_count + i] > 0)
			{
				sum += oracle->rank_place[i];
				break;
			}
	return sum;
}

static bool
same_set(const RouteProblem *p, const int32_t *units, const int32_t *set)
{
	int32_t		i;
	int32_t		l;

	for (i = 0; i < p->location_count; i++)
	{
		int32_t		used = 0;

		for (l = 0; l < p->line_count; l++)
			used |= units[l * p->location_count + i] > 0;
		if (used != set[i])
			return false;
	}
	return true;
}

static void
oracle_plan(Oracle *oracle)
{
	Best	   *best = &oracle->best;
	int64_t		cost;
	int32_t		packages;
	int32_t		days;
	int32_t		ranks;

	oracle->plans++;
	if (!oracle_price(oracle->in, oracle->units, &cost, &packages, &days))
		return;
	if (oracle->not_set != NULL &&
		same_set(&oracle->in->problem, oracle->units, oracle->not_set))
		return;
	if (oracle->visit != NULL)
	{
		oracle->visit(oracle, cost);
		return;
	}
	if (best->found && cost > best->cost)
		return;
	ranks = rank_sum(oracle, oracle->units);
	if (best->found && cost == best->cost &&
		(packages > best->packages ||
		 (packages == best->packages && ranks >= best->ranks)))
		return;
	best->found = true;
	best->cost = cost;
	best->packages = packages;
	best->ranks = ranks;
	memcpy(best->units, oracle->units, sizeof(best->units));
}

static void
oracle_spread(Oracle *oracle, int32_t l, int32_t i, int32_t left)
{
	const Instance *in = oracle->in;
	const RouteProblem *p = &in->problem;
	int32_t		cell;
	int32_t		units;

	if (l == p->line_count)
	{
		oracle_plan(oracle);
		return;
	}
	if (i == p->location_count)
	{
		if (l + 1 < p->line_count)
			oracle_spread(oracle, l + 1, 0, in->quantity[l + 1]);
		else
			oracle_spread(oracle, l + 1, 0, 0);
		return;
	}
	cell = l * p->location_count + i;
	for (units = 0; units <= left && units <= in->stock[cell]; units++)
	{
		if (units > 0 && units < in->quantity[l] &&
			(p->whole_lines || in->whole[l]))
			continue;
		oracle->units[cell] = units;
		oracle_spread(oracle, l, i + 1, left - units);
	}
	oracle->units[cell] = 0;
}

static void
oracle_begin(Oracle *oracle, const Instance *in)
{
	int32_t		i;
	int32_t		j;
	int32_t		k;

	memset(oracle, 0, sizeof(*oracle));
	oracle->in = in;
	/* number of distinct lower ranks */
	for (i = 0; i < in->problem.location_count; i++)
		for (j = 0; j < in->problem.location_count; j++)
		{
			bool		first = in->rank[j] < in->rank[i];

			for (k = 0; k < j; k++)
				if (in->rank[k] == in->rank[j])
					first = false;
			oracle->rank_place[i] += first;
		}
}

static void
oracle_solve(Oracle *oracle, const Instance *in)
{
	oracle_begin(oracle, in);
	oracle_spread(oracle, 0, 0, in->quantity[0]);
}

/* ------------------------------------------------- against the oracle */

static void
random_small(Instance *in, uint64_t seed)
{
	bool		divide;
	int32_t		n;
	int32_t		m;

	random_state = seed * 7919 + 1;
	divide = random_chance(60);
	n = divide ? random_range(1, 4) : random_range(1, 6);
	m = random_range(1, 4);
	/* keep the number of ways to divide within reach */
	while (divide && n * m > 10)
		n--;
	random_instance(in, n, m, divide);
	if (random_chance(25))
		random_splits(in);
}

static void
describe(const char *what, uint64_t seed, const Instance *in)
{
	const RouteProblem *p = &in->problem;

	if (failures > 20)
		return;
	printf("%s: seed %lu: %d lines, %d locations, whole %d, complete %d, "
		   "packages %d, tariffs %d, late %d, lines cost %d, places %d\n", what, (unsigned long) seed,
		   p->line_count, p->location_count, p->whole_lines, p->ship_complete,
		   p->packages_max, p->tariff_of != NULL, p->late_table != NULL,
		   p->line_cost != NULL, p->places_max != NULL);
}

static int32_t
result_ranks(const Oracle *oracle, const RouteResult *result)
{
	int32_t		sum = 0;
	int32_t		k;

	for (k = 0; k < result->package_count; k++)
		sum += oracle->rank_place[result->packages[k].location];
	return sum;
}

static void
test_against_oracle(uint64_t instances)
{
	long		optimal = 0;
	long		infeasible = 0;
	long		by_duals = 0;
	uint64_t	seed;

	for (seed = 0; seed < instances; seed++)
	{
		RouteControl control = control_default();
		RouteResult result;
		RouteVerify verified;
		Instance	in;
		Oracle		oracle;
		int			before = failures;

		random_small(&in, seed);
		oracle_solve(&oracle, &in);
		arena_used = 0;
		CHECK(route_solve(&in.problem, &control, &result) == result.status);
		CHECK(result.memory_used <= route_memory_bound(in.problem.line_count, in.problem.location_count) *
			  (in.problem.line_cost != NULL || in.problem.places_max != NULL ? 2 : 1));
		verified = route_verify(&in.problem, &control, &result);
		if (!oracle.best.found)
		{
			infeasible++;
			CHECK(result.status == ROUTE_INFEASIBLE);
			CHECK(result.reason != ROUTE_REASON_NONE);
			CHECK(verified == ROUTE_VERIFY_NO_PLAN);
		}
		else
		{
			optimal++;
			CHECK(result.status == ROUTE_OPTIMAL);
			CHECK(result.cost == oracle.best.cost);
			CHECK(result.lower_bound == result.cost && result.gap == 0);
			CHECK(result.tie_rule == ROUTE_TIE_PACKAGES_RANK);
			CHECK(result.package_count == oracle.best.packages);
			CHECK(result_ranks(&oracle, &result) == oracle.best.ranks);
			CHECK(verified == (result.proof == ROUTE_PROOF_DUAL
							   ? ROUTE_VERIFY_OK : ROUTE_VERIFY_PLAN_ONLY));
			by_duals += result.proof == ROUTE_PROOF_DUAL;
		}
		if (failures > before)
			describe("oracle", seed, &in);
	}
	printf("oracle: %ld optimal (%ld by duals), %ld infeasible\n", optimal,
		   by_duals, infeasible);
	CHECK(infeasible > 0 && by_duals > optimal / 2 && by_duals < optimal);
}

static void
test_runner_up(uint64_t instances)
{
	long		found = 0;
	uint64_t	seed;

	for (seed = 0; seed < instances; seed++)
	{
		RouteControl control = control_default();
		RouteResult winner;
		RouteResult second;
		Instance	in;
		Oracle		oracle;
		int32_t		set[MAX_LOCATIONS] = {0};
		int			before = failures;
		int32_t		k;

		random_small(&in, seed + 1000000);
		arena_used = 0;
		if (route_solve(&in.problem, &control, &winner) != ROUTE_OPTIMAL)
			continue;
		for (k = 0; k < winner.package_count; k++)
			set[winner.packages[k].location] = 1;
		oracle_begin(&oracle, &in);
		oracle.not_set = set;
		oracle_spread(&oracle, 0, 0, in.quantity[0]);
		(void) route_runner_up(&in.problem, &control, &winner, &second);
		if (!oracle.best.found)
			CHECK(second.status == ROUTE_INFEASIBLE);
		else
		{
			bool		same = second.package_count == winner.package_count;

			found++;
			CHECK(second.status == ROUTE_OPTIMAL);
			CHECK(second.cost == oracle.best.cost);
			for (k = 0; same && k < second.package_count; k++)
				same = second.packages[k].location ==
					winner.packages[k].location;
			CHECK(!same);
			CHECK(route_verify(&in.problem, &control, &second)
				  == ROUTE_VERIFY_PLAN_ONLY);
		}
		if (failures > before)
			describe("runner-up", seed + 1000000, &in);
	}
	printf("runner-up: %ld compared\n", found);
}

/* Any order of locations gives the same plan as long as ranks differ. */
static void
test_order_of_locations(uint64_t instances)
{
	uint64_t	seed;

	for (seed = 0; seed < instances; seed++)
	{
		RouteControl control = control_default();
		RouteResult first;
		RouteResult second;
		Instance	in;
		Instance	turned;
		int32_t		m;
		int32_t		i;
		int32_t		l;
		int			before = failures;

		random_small(&in, seed + 2000000);
		m = in.problem.location_count;
		for (i = 0; i < m; i++)
			in.rank[i] = 7 * i % 5;
		turned = in;
		turned.problem.quantity = turned.quantity;
		turned.problem.penalty = turned.penalty;
		turned.problem.must_serve = turned.must_serve;
		turned.problem.whole = turned.whole;
		turned.problem.weight_grams = turned.weight;
		turned.problem.stock = turned.stock;
		turned.problem.unit_cost = turned.unit_cost;
		turned.problem.fixed_cost = turned.fixed_cost;
		turned.problem.rank = turned.rank;
		if (in.problem.late_cost != NULL)
			turned.problem.late_cost = turned.late_cost;
		if (in.problem.days_late != NULL)
			turned.problem.days_late = turned.days_late;
		if (in.problem.tariff_of != NULL)
			turned.problem.tariff_of = turned.tariff_of;
		if (in.problem.line_cost != NULL)
			turned.problem.line_cost = turned.line_cost;
		if (in.problem.places_max != NULL)
			turned.problem.places_max = turned.places_max;
		for (i = 0; i < m; i++)
		{
			int32_t		to = m - 1 - i;

			turned.fixed_cost[to] = in.fixed_cost[i];
			turned.late_cost[to] = in.late_cost[i];
			turned.days_late[to] = in.days_late[i];
			turned.tariff_of[to] = in.tariff_of[i];
			turned.rank[to] = in.rank[i];
			for (l = 0; l < in.problem.line_count; l++)
			{
				turned.stock[l * m + to] = in.stock[l * m + i];
				turned.unit_cost[l * m + to] = in.unit_cost[l * m + i];
				turned.line_cost[l * m + to] = in.line_cost[l * m + i];
			}
		}
		arena_used = 0;
		(void) route_solve(&in.problem, &control, &first);
		(void) route_solve(&turned.problem, &control, &second);
		CHECK(first.status == second.status);
		CHECK(first.share_count == second.share_count);
		if (first.status != ROUTE_OPTIMAL)
			continue;
		CHECK(first.cost == second.cost);
		CHECK(first.package_count == second.package_count);
		for (i = 0; i < first.package_count; i++)
		{
			const RoutePackage *a = &first.packages[i];
			const RoutePackage *b =
			&second.packages[second.package_count - 1 - i];

			CHECK(a->location == m - 1 - b->location);
			CHECK(a->units == b->units);
		}
		if (failures > before)
			describe("order", seed + 2000000, &in);
	}
}

/* --------------------------------------------------------- lexicographic */

#define LEX_TERMS_MAX 4

typedef struct Lex
{
	RouteTerm	terms[LEX_TERMS_MAX];
	int32_t		count;
	/* all plans with their values, to be filtered term by term */
	int64_t   (*values)[7];
	long		value_count;
} Lex;

#define LEX_PLANS_MAX 400000

static void
lex_visit(Oracle *oracle, int64_t cost)
{
	const Instance *in = oracle->in;
	const RouteProblem *p = &in->problem;
	Lex		   *lex = oracle->context;
	int64_t    *values = lex->values[lex->value_count];
	int32_t		rank_least = in->rank[0];
	int32_t		l;
	int32_t		i;

	if (lex->value_count >= LEX_PLANS_MAX)
		return;
	memset(values, 0, sizeof(lex->values[0]));
	values[ROUTE_TERM_COST] = cost;
	for (i = 0; i < p->location_count; i++)
		if (in->rank[i] < rank_least)
			rank_least = in->rank[i];
	for (l = 0; l < p->line_count; l++)
		values[ROUTE_TERM_UNASSIGNED] += in->quantity[l];
	for (i = 0; i < p->location_count; i++)
	{
		int32_t		units = 0;

		for (l = 0; l < p->line_count; l++)
			units += oracle->units[l * p->location_count + i];
		values[ROUTE_TERM_UNASSIGNED] -= units;
		if (units == 0)
			continue;
		values[ROUTE_TERM_PACKAGES]++;
		values[ROUTE_TERM_DISTANCE] += in->distance[i];
		values[ROUTE_TERM_VALUE] += in->value[i];
		values[ROUTE_TERM_RANK] += in->rank[i] - rank_least;
		if (p->days_late != NULL &&
			in->days_late[i] > values[ROUTE_TERM_DAYS_LATE])
			values[ROUTE_TERM_DAYS_LATE] = in->days_late[i];
	}
	lex->value_count++;
}

/* Keep what is within tolerance of the least, term by term; then cost. */
static void
lex_filter(Lex *lex, int64_t *least_cost)
{
	int32_t		t;

	for (t = 0; t < lex->count; t++)
	{
		int32_t		kind = lex->terms[t].kind;
		int64_t		tolerance = t == lex->count - 1 ? 0
			: lex->terms[t].tolerance;
		int64_t		least = INT64_MAX;
		long		kept = 0;
		long		k;

		for (k = 0; k < lex->value_count; k++)
			if (lex->values[k][kind] < least)
				least = lex->values[k][kind];
		for (k = 0; k < lex->value_count; k++)
			if (lex->values[k][kind] <= least + tolerance)
				memmove(lex->values[kept++], lex->values[k],
						sizeof(lex->values[0]));
		lex->value_count = kept;
	}
	*least_cost = INT64_MAX;
	for (t = 0; t < lex->value_count; t++)
		if (lex->values[t][ROUTE_TERM_COST] < *least_cost)
			*least_cost = lex->values[t][ROUTE_TERM_COST];
}

static int64_t
result_value(const Instance *in, const RouteResult *result, int32_t kind)
{
	int32_t		rank_least = in->rank[0];
	int64_t		sum = 0;
	int32_t		i;

	for (i = 0; i < in->problem.location_count; i++)
		if (in->rank[i] < rank_least)
			rank_least = in->rank[i];
	switch (kind)
	{
		case ROUTE_TERM_COST:
			return result->cost;
		case ROUTE_TERM_PACKAGES:
			return result->package_count;
		case ROUTE_TERM_DAYS_LATE:
			return result->days_late;
		case ROUTE_TERM_UNASSIGNED:
			return result->units_unassigned;
		default:
			for (i = 0; i < result->package_count; i++)
				sum += kind == ROUTE_TERM_DISTANCE
					? in->distance[result->packages[i].location]
					: kind == ROUTE_TERM_VALUE
					? in->value[result->packages[i].location]
					: in->rank[result->packages[i].location] - rank_least;
			return sum;
	}
}

/* A random list of terms of a kind that is supported exactly. */
static void
random_terms(Lex *lex, const int64_t *value)
{
	int32_t		kinds[7] = {0, 1, 2, 3, 4, 5, 6};
	bool		spent = false;
	int32_t		t;

	lex->count = random_range(1, LEX_TERMS_MAX);
	for (t = 0; t < lex->count; t++)
	{
		int32_t		pick = random_range(t, 6);
		int32_t		kind = kinds[pick];

		kinds[pick] = kinds[t];
		kinds[t] = kind;
		lex->terms[t].kind = (RouteTermKind) kind;
		lex->terms[t].tolerance = 0;
		lex->terms[t].value = kind == ROUTE_TERM_VALUE ? value : NULL;
		if (kind == ROUTE_TERM_PACKAGES || kind == ROUTE_TERM_DAYS_LATE)
		{
			if (random_chance(40))
				lex->terms[t].tolerance = random_range(1, 2);
		}
		else if (spent)
		{
			/* after a tolerance on another term only limits may follow */
			lex->count = t;
			break;
		}
		else if (random_chance(25))
		{
			lex->terms[t].tolerance = random_range(1, 30);
			spent = true;
		}
	}
}

static void
test_lexicographic(uint64_t instances)
{
	long		compared = 0;
	uint64_t	seed;
	Lex			lex;

	lex.values = malloc(sizeof(lex.values[0]) * LEX_PLANS_MAX);
	for (seed = 0; seed < instances; seed++)
	{
		RouteControl control = control_default();
		RouteResult result;
		Instance	in;
		Oracle		oracle;
		int64_t		least_cost;
		int			before = failures;
		int32_t		t;

		random_small(&in, seed + 3000000);
		random_terms(&lex, in.value);
		lex.value_count = 0;
		oracle_begin(&oracle, &in);
		oracle.visit = lex_visit;
		oracle.context = &lex;
		oracle_spread(&oracle, 0, 0, in.quantity[0]);
		if (lex.value_count >= LEX_PLANS_MAX)
			continue;
		arena_used = 0;
		(void) route_solve_lexicographic(&in.problem, &control, lex.terms,
										 lex.count, in.distance, &result);
		if (lex.value_count == 0)
		{
			CHECK(result.status == ROUTE_INFEASIBLE);
			continue;
		}
		compared++;
		lex_filter(&lex, &least_cost);
		CHECK(result.status == ROUTE_OPTIMAL);
		if (result.status == ROUTE_OPTIMAL)
		{
			/* the last term is at its least, the others within tolerance */
			bool		member = false;
			long		k;

			for (k = 0; k < lex.value_count && !member; k++)
			{
				member = true;
				for (t = 0; t < 7; t++)
					if (t != ROUTE_TERM_COST &&
						result_value(&in, &result, t) != lex.values[k][t])
						member = false;
				if (lex.values[k][ROUTE_TERM_COST] != result.cost)
					member = false;
			}
			CHECK(member);
			CHECK(route_verify(&in.problem, &control, &result)
				  == ROUTE_VERIFY_PLAN_ONLY);
			for (t = 0; t < lex.count && lex.terms[t].tolerance == 0; t++)
				;
			if (t == lex.count)
				CHECK(result.cost == least_cost);
		}
		if (failures > before)
		{
			describe("lexicographic", seed + 3000000, &in);
			for (t = 0; t < lex.count && failures <= 20; t++)
				printf("  term %d tolerance %ld\n", lex.terms[t].kind,
					   (long) lex.terms[t].tolerance);
		}
	}
	free(lex.values);
	printf("lexicographic: %ld compared\n", compared);
}

/* -------------------------------------------------------------- policies */

static void
test_policies(uint64_t instances)
{
	uint64_t	seed;

	for (seed = 0; seed < instances; seed++)
	{
		RouteControl control = control_default();
		RouteResult best;
		Instance	in;
		int32_t		policy;

		random_small(&in, seed + 4000000);
		arena_used = 0;
		(void) route_solve(&in.problem, &control, &best);
		for (policy = ROUTE_POLICY_NEAREST;
			 policy <= ROUTE_POLICY_NEAREST_COMPLETE; policy++)
		{
			RouteResult result;

			(void) route_policy(&in.problem, &control, (RoutePolicy) policy,
								in.distance, &result);
			if (best.status == ROUTE_INFEASIBLE)
			{
				CHECK(result.status == ROUTE_INFEASIBLE);
				continue;
			}
			if (result.status == ROUTE_INFEASIBLE)
			{
				/* exact rules find a plan whenever there is one */
				CHECK(policy == ROUTE_POLICY_NEAREST ||
					  policy == ROUTE_POLICY_PRIORITY);
				continue;
			}
			CHECK(route_verify(&in.problem, &control, &result)
				  == ROUTE_VERIFY_PLAN_ONLY);
			CHECK(result.cost >= best.cost);
		}
	}
}

/* --------------------------------------------------- plans of others */

/* A few shares at random, often of lines and places that do not fit. */
static int32_t
random_shares(const Instance *in, RouteShare *shares)
{
	int32_t		count = random_range(0, 6);
	int32_t		k;

	for (k = 0; k < count; k++)
	{
		shares[k].line = random_range(0, in->problem.line_count - 1);
		shares[k].location = random_range(0, in->problem.location_count - 1);
		shares[k].units = random_chance(60) ? in->quantity[shares[k].line]
			: random_range(1, in->quantity[shares[k].line]);
	}
	return count;
}

/* Whether shares are a plan, told from the units of each line and place. */
static bool
judge_shares(const Instance *in, const RouteShare *shares, int32_t count, int64_t *cost)
{
	const RouteProblem *p = &in->problem;
	int32_t		units[MAX_CELLS] = {0};
	int32_t		packages;
	int32_t		days;
	int32_t		l;
	int32_t		i;
	int32_t		k;

	for (k = 0; k < count; k++)
		units[shares[k].line * p->location_count + shares[k].location] += shares[k].units;
	for (l = 0; l < p->line_count; l++)
	{
		int32_t		served = 0;
		int32_t		places = 0;

		for (i = 0; i < p->location_count; i++)
		{
			int32_t		here = units[l * p->location_count + i];

			if (here > p->stock[l * p->location_count + i])
				return false;
			served += here;
			places += here > 0;
		}
		if (served > p->quantity[l])
			return false;
		if (served < p->quantity[l] && (p->ship_complete || (p->must_serve != NULL && p->must_serve[l])))
			return false;
		if ((p->whole_lines || (p->whole != NULL && p->whole[l])) && served > 0 &&
			(places > 1 || served < p->quantity[l]))
			return false;
	}
	return oracle_price(in, units, cost, &packages, &days);
}

static void
test_price(uint64_t instances)
{
	long		plans = 0;
	long		faults = 0;
	uint64_t	seed;

	for (seed = 0; seed < instances; seed++)
	{
		RouteControl control = control_default();
		RouteShare	shares[6];
		RouteResult best;
		RouteResult result;
		RoutePlanFault fault;
		Instance	in;
		int64_t		cost = 0;
		int32_t		count;
		int32_t		line;
		int32_t		location;

		random_small(&in, seed + 9000000);
		arena_used = 0;
		if (route_solve(&in.problem, &control, &best) == ROUTE_OPTIMAL)
		{
			CHECK(route_price(&in.problem, &control, best.shares, best.share_count, &result, &line, &location)
				  == ROUTE_PLAN_OK);
			CHECK(result.cost == best.cost && result.package_count == best.package_count &&
				  result.share_count == best.share_count && !result.proven);
		}
		count = random_shares(&in, shares);
		fault = route_price(&in.problem, &control, shares, count, &result, &line, &location);
		/* a line in parts adds up in the model, but no part of a whole line is whole */
		if (fault == ROUTE_PLAN_WHOLE_LINE)
		{
			CHECK(shares[0].units > 0 && line >= 0);
			continue;
		}
		CHECK((fault == ROUTE_PLAN_OK) == judge_shares(&in, shares, count, &cost));
		plans += fault == ROUTE_PLAN_OK;
		faults += fault != ROUTE_PLAN_OK;
		if (fault != ROUTE_PLAN_OK)
			continue;
		CHECK(result.cost == cost && best.status == ROUTE_OPTIMAL && cost >= best.cost);
		CHECK(route_verify(&in.problem, &control, &result) == ROUTE_VERIFY_PLAN_ONLY);
	}
	printf("price: %ld plans, %ld faults\n", plans, faults);
	CHECK(plans > 0 && faults > 0);
}

/* ------------------------------------------------------------- hand-made */

/* Two lines; A has both, B and C one each; A is far and dear. */
static void
three_locations(Instance *in)
{
	static const int32_t stock[6] = {5, 5, 0, 5, 0, 5};
	static const int64_t unit_cost[6] = {10, 2, 0, 12, 0, 3};
	static const int64_t fixed_cost[3] = {100, 40, 45};
	static const int64_t distance[3] = {30, 10, 20};
	int32_t		k;

	instance_begin(in, 2, 3);
	for (k = 0; k < 6; k++)
	{
		in->stock[k] = stock[k];
		in->unit_cost[k] = unit_cost[k];
	}
	for (k = 0; k < 3; k++)
	{
		in->fixed_cost[k] = fixed_cost[k];
		in->distance[k] = distance[k];
	}
	in->quantity[0] = 2;
	in->quantity[1] = 3;
	in->penalty[0] = in->penalty[1] = 1000;
	in->weight[0] = in->weight[1] = 400;
}

static void
test_price_by_hand(void)
{
	static const RouteShare good[] = {{0, 1, 1}, {1, 2, 3}, {0, 1, 1}};
	static const RouteShare over[] = {{0, 1, 1}, {1, 2, 4}};
	static const RouteShare stock[] = {{0, 2, 1}};
	static const RouteShare nowhere[] = {{0, 3, 1}};
	static const RouteShare nothing[] = {{0, 1, 0}};
	static const bool must[2] = {true, true};
	static const int32_t tariff_of[3] = {0, 0, 0};
	static const int64_t limit[] = {1000};
	static const int64_t cost[] = {7};
	RouteTariff tariff = {1, limit, cost};
	RouteControl control = control_default();
	RouteResult result;
	Instance	in;
	int32_t		line;
	int32_t		location;

	arena_used = 0;
	three_locations(&in);
	in.problem.must_serve = must;
	CHECK(route_price(&in.problem, &control, good, 3, &result, &line, &location) == ROUTE_PLAN_OK);
	CHECK(result.cost == 98 && result.package_count == 2 && result.share_count == 2 && line == -1 && location == -1);
	CHECK(route_price(&in.problem, &control, good, 2, &result, &line, &location) == ROUTE_PLAN_TOO_FEW && line == 0);
	CHECK(route_price(&in.problem, &control, over, 2, &result, &line, &location) == ROUTE_PLAN_TOO_MANY && line == 1);
	CHECK(route_price(&in.problem, &control, stock, 1, &result, &line, &location) == ROUTE_PLAN_STOCK && location == 2);
	CHECK(route_price(&in.problem, &control, nowhere, 1, &result, &line, &location) == ROUTE_PLAN_SHARE);
	CHECK(route_price(&in.problem, &control, nothing, 1, &result, &line, &location) == ROUTE_PLAN_SHARE);
	in.problem.packages_max = 1;
	CHECK(route_price(&in.problem, &control, good, 3, &result, &line, &location) == ROUTE_PLAN_PACKAGES);
	in.problem.packages_max = 0;
	in.problem.whole_lines = true;
	CHECK(route_price(&in.problem, &control, good, 3, &result, &line, &location) == ROUTE_PLAN_WHOLE_LINE && line == 0);
	in.problem.whole_lines = false;
	/* 1,200 grams from the third are too many, 800 from the second are not */
	in.problem.weight_grams = in.weight;
	in.problem.tariffs = &tariff;
	in.problem.tariff_count = 1;
	in.problem.tariff_of = tariff_of;
	CHECK(route_price(&in.problem, &control, good, 3, &result, &line, &location) == ROUTE_PLAN_WEIGHT && location == 2);
}

/* Five units of one line over three places that have two, three and four of it. */
static void
test_splits_by_hand(void)
{
	static const RouteShare three[] = {{0, 0, 1}, {0, 1, 1}, {0, 2, 3}};
	RouteControl control = control_default();
	RouteResult result;
	Instance	in;
	int32_t		line;
	int32_t		location;
	int32_t		i;

	arena_used = 0;
	instance_begin(&in, 1, 3);
	in.quantity[0] = 5;
	in.must_serve[0] = true;
	for (i = 0; i < 3; i++)
	{
		in.stock[i] = 2 + i;
		in.unit_cost[i] = 1 + i;
	}
	/* the cheapest units first: 2 + 6 */
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL && result.cost == 8);
	/* the first costs 5 for its line, the others nothing: these have all, for 3 * 2 + 2 * 3 */
	in.problem.line_cost = in.line_cost;
	in.line_cost[0] = 5;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL && result.cost == 12);
	CHECK(result.terms.line == 0 && result.terms.unit == 12);
	in.line_cost[0] = 3;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL && result.cost == 11);
	CHECK(result.terms.line == 3 && result.terms.unit == 8 && result.packages[0].line_cost == 3);
	CHECK(result.proven && result.proof == ROUTE_PROOF_ENUMERATION);
	/* two places have it together, one does not */
	in.problem.places_max = in.places_max;
	in.places_max[0] = 2;
	CHECK(route_price(&in.problem, &control, three, 3, &result, &line, &location) == ROUTE_PLAN_PLACES && line == 0);
	CHECK(route_price(&in.problem, &control, three + 1, 2, &result, &line, &location) == ROUTE_PLAN_TOO_FEW);
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL && result.cost == 11);
	in.places_max[0] = 1;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_INFEASIBLE);
	CHECK(result.reason == ROUTE_REASON_PLACES && result.reason_line == 0);
	CHECK(route_policy(&in.problem, &control, ROUTE_POLICY_PRIORITY, in.distance, &result) == ROUTE_INFEASIBLE);
	/* a place that does not count */
	in.line_cost[2] = -1;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL && result.cost == 6 + 6);
	/* as much as there may be, and more */
	in.line_cost[2] = ROUTE_AMOUNT_MAX;
	in.places_max[0] = 0;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL && result.cost == 11);
	CHECK(result.tie_rule == ROUTE_TIE_NONE);
	in.line_cost[2]++;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_BAD_INPUT);
	in.line_cost[2] = -2;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_BAD_INPUT);
	in.line_cost[2] = 0;
	in.places_max[0] = -1;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_BAD_INPUT);
}

static void
test_by_hand(void)
{
	RouteControl control = control_default();
	RouteResult result;
	RouteResult second;
	Instance	in;

	/* B + C: 40 + 4 + 45 + 9 = 98; A alone: 100 + 20 + 36 = 156 */
	arena_used = 0;
	three_locations(&in);
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	CHECK(result.cost == 98 && result.package_count == 2);
	CHECK(result.terms.fixed == 85 && result.terms.unit == 13);
	CHECK(result.terms.tariff == 0 && result.terms.penalty == 0 &&
		  result.terms.lateness == 0);
	CHECK(result.shares[0].location == 1 && result.shares[0].units == 2);
	CHECK(result.shares[1].location == 2 && result.shares[1].units == 3);
	CHECK(route_runner_up(&in.problem, &control, &result, &second)
		  == ROUTE_OPTIMAL);
	/* A + B: 140 + 4 + 36 = 180, A + C: 145 + 20 + 9 = 174 */
	CHECK(second.cost == 156 && second.package_count == 1);

	/* one package only */
	in.problem.packages_max = 1;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	CHECK(result.cost == 156 && result.packages[0].location == 0);

	/* a tariff that A's package (2,000 g) just fits, then does not */
	in.problem.tariffs = in.tariffs;
	in.problem.tariff_count = 1;
	in.problem.tariff_of = in.tariff_of;
	in.tariffs[0].step_count = 2;
	in.tariffs[0].limit_grams = in.limits[0];
	in.tariffs[0].cost = in.costs[0];
	in.limits[0][0] = 1000;
	in.limits[0][1] = 2000;
	in.costs[0][0] = 5;
	in.costs[0][1] = 9;
	in.tariff_of[1] = in.tariff_of[2] = -1;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	CHECK(result.cost == 165 && result.terms.tariff == 9);
	in.limits[0][1] = 1999;
	in.problem.ship_complete = true;
	in.problem.whole_lines = true;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_INFEASIBLE);
	CHECK(result.reason == ROUTE_REASON_COMBINATION);
	in.problem.tariff_of = NULL;
	in.stock[3] = 2;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_INFEASIBLE);
	CHECK(result.reason == ROUTE_REASON_PACKAGES && result.reason_line == -1);
}

static void
test_reasons(void)
{
	RouteControl control = control_default();
	RouteResult result;
	Instance	in;

	arena_used = 0;
	three_locations(&in);
	in.must_serve[1] = true;
	in.quantity[1] = 11;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_INFEASIBLE);
	CHECK(result.reason == ROUTE_REASON_STOCK && result.reason_line == 1);
	in.quantity[1] = 10;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	in.whole[1] = true;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_INFEASIBLE);
	CHECK(result.reason == ROUTE_REASON_WHOLE_LINE && result.reason_line == 1);
	in.quantity[1] = 5;
	random_state = 1;
	random_tariffs(&in);
	in.tariffs[0].step_count = 1;
	in.limits[0][0] = 1999;
	memset(in.tariff_of, 0, sizeof(in.tariff_of));
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_INFEASIBLE);
	CHECK(result.reason == ROUTE_REASON_WEIGHT && result.reason_line == 1);
	in.limits[0][0] = 2000;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	control.has_cost_below = true;
	control.cost_below = result.cost;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_INFEASIBLE);
	CHECK(result.reason == ROUTE_REASON_COST);
	control.cost_below++;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
}

static void
test_ties(void)
{
	RouteControl control = control_default();
	RouteResult result;
	Instance	in;
	int32_t		i;

	/* four equal locations: the lowest rank, then the lowest index */
	arena_used = 0;
	instance_begin(&in, 1, 4);
	in.quantity[0] = 1;
	in.penalty[0] = 100;
	for (i = 0; i < 4; i++)
	{
		in.stock[i] = 1;
		in.fixed_cost[i] = 7;
		in.rank[i] = i == 2 ? 1 : 5;
	}
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	CHECK(result.packages[0].location == 2);
	in.rank[2] = 5;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	CHECK(result.packages[0].location == 0);
	in.problem.rank = NULL;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	CHECK(result.packages[0].location == 0);
	/* serving at the cost of the penalty: nothing is sent */
	in.penalty[0] = 7;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	CHECK(result.package_count == 0 && result.cost == 7);
}

static void
test_policies_by_hand(void)
{
	RouteControl control = control_default();
	RouteResult result;
	Instance	in;

	arena_used = 0;
	three_locations(&in);
	CHECK(route_policy(&in.problem, &control, ROUTE_POLICY_NEAREST,
					   in.distance, &result) == ROUTE_FEASIBLE);
	CHECK(result.package_count == 2 && result.cost == 98);
	CHECK(route_policy(&in.problem, &control, ROUTE_POLICY_PRIORITY,
					   NULL, &result) == ROUTE_FEASIBLE);
	CHECK(result.package_count == 1 && result.cost == 156);
	CHECK(route_policy(&in.problem, &control, ROUTE_POLICY_FEWEST_SPLITS,
					   NULL, &result) == ROUTE_OPTIMAL);
	CHECK(result.package_count == 1 && result.cost == 156);
	CHECK(route_policy(&in.problem, &control, ROUTE_POLICY_NEAREST_COMPLETE,
					   in.distance, &result) == ROUTE_FEASIBLE);
	CHECK(result.package_count == 1 && result.packages[0].location == 0);
	CHECK(route_policy(&in.problem, &control, ROUTE_POLICY_NEAREST,
					   NULL, &result) == ROUTE_BAD_INPUT);
}

static void
test_terms_by_hand(void)
{
	RouteTerm	terms[3] = {{.kind = ROUTE_TERM_COST}, {.kind = ROUTE_TERM_PACKAGES},
	{.kind = ROUTE_TERM_DISTANCE}};
	RouteControl control = control_default();
	RouteResult result;
	Instance	in;

	arena_used = 0;
	three_locations(&in);
	CHECK(route_solve_lexicographic(&in.problem, &control, terms, 2, NULL,
									&result) == ROUTE_OPTIMAL);
	CHECK(result.cost == 98);
	terms[0].tolerance = 57;
	CHECK(route_solve_lexicographic(&in.problem, &control, terms, 2, NULL,
									&result) == ROUTE_OPTIMAL);
	CHECK(result.cost == 98);
	terms[0].tolerance = 58;
	CHECK(route_solve_lexicographic(&in.problem, &control, terms, 2, NULL,
									&result) == ROUTE_OPTIMAL);
	CHECK(result.cost == 156);
	CHECK(route_solve_lexicographic(&in.problem, &control, terms, 3,
									in.distance, &result)
		  == ROUTE_UNSUPPORTED);
	CHECK(route_solve_lexicographic(&in.problem, &control, terms, 3, NULL,
									&result) == ROUTE_BAD_INPUT);
	CHECK(route_solve_lexicographic(&in.problem, &control, terms, 0, NULL,
									&result) == ROUTE_BAD_INPUT);
	terms[1].kind = ROUTE_TERM_COST;
	CHECK(route_solve_lexicographic(&in.problem, &control, terms, 2, NULL,
									&result) == ROUTE_BAD_INPUT);
}

/* ---------------------------------------------------------------- limits */

#define REFUSED(change, restore) \
	do { \
		change; \
		CHECK(route_solve(&in.problem, &control, &result) == ROUTE_BAD_INPUT); \
		CHECK(result.bad_input != NULL); \
		restore; \
		CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL); \
	} while (0)

static void
test_limits(void)
{
	int64_t		most = ROUTE_AMOUNT_MAX;
	RouteControl control = control_default();
	RouteResult result;
	Instance	in;

	arena_used = 0;
	three_locations(&in);
	random_state = 3;
	random_tariffs(&in);
	random_lateness(&in);
	in.problem.late_table = in.late_table;
	in.problem.late_table_count = 8;
	in.problem.late_cost = in.late_cost;
	in.tariffs[0].step_count = 2;
	in.limits[0][0] = 500;
	in.limits[0][1] = 5000;
	in.costs[0][0] = 1;
	in.costs[0][1] = 2;
	REFUSED(in.problem.line_count = 0, in.problem.line_count = 2);
	REFUSED(in.problem.line_count = ROUTE_LINES_MAX + 1,
			in.problem.line_count = 2);
	REFUSED(in.problem.location_count = -1, in.problem.location_count = 3);
	REFUSED(in.problem.location_count = ROUTE_LOCATIONS_MAX + 1,
			in.problem.location_count = 3);
	REFUSED(in.problem.packages_max = -1, in.problem.packages_max = 0);
	REFUSED(in.quantity[1] = 0, in.quantity[1] = 3);
	REFUSED(in.quantity[1] = ROUTE_QUANTITY_MAX + 1,
			in.quantity[1] = ROUTE_QUANTITY_MAX);
	in.quantity[1] = 3;
	REFUSED(in.penalty[0] = most / 2 + 1, in.penalty[0] = most / 2);
	in.penalty[0] = 1000;
	REFUSED(in.penalty[0] = -1, in.penalty[0] = 0);
	REFUSED(in.weight[0] = -1, in.weight[0] = 1);
	REFUSED(in.weight[0] = most / 2 + 1, in.weight[0] = 400);
	REFUSED(in.stock[4] = -1, in.stock[4] = 0);
	REFUSED(in.unit_cost[1] = most / 2 + 1, in.unit_cost[1] = most / 2);
	REFUSED(in.unit_cost[1] = -most / 2 - 1, in.unit_cost[1] = -most / 2);
	in.unit_cost[1] = 2;
	REFUSED(in.fixed_cost[2] = most + 1, in.fixed_cost[2] = most);
	REFUSED(in.fixed_cost[2] = -1, in.fixed_cost[2] = 45);
	REFUSED(in.late_cost[2] = most + 1, in.late_cost[2] = 0);
	REFUSED(in.days_late[2] = -1, in.days_late[2] = 0);
	REFUSED(in.days_late[2] = 8, in.days_late[2] = 7);
	REFUSED(in.late_table[7] = in.late_table[6] - 1,
			in.late_table[7] = in.late_table[6]);
	REFUSED(in.problem.late_table_count = ROUTE_LATE_DAYS_MAX + 1,
			in.problem.late_table_count = 8);
	REFUSED(in.tariff_of[2] = 2, in.tariff_of[2] = 1);
	REFUSED(in.tariffs[0].step_count = 0, in.tariffs[0].step_count = 2);
	REFUSED(in.tariffs[0].step_count = ROUTE_STEPS_MAX + 1,
			in.tariffs[0].step_count = 2);
	REFUSED(in.limits[0][1] = 500, in.limits[0][1] = 501);
	REFUSED(in.costs[0][1] = 0, in.costs[0][1] = 1);
}

/* At the largest amounts nothing overflows, whatever the ties come to. */
static void
test_large_amounts(void)
{
	RouteControl control = control_default();
	RouteResult result;
	Instance	in;
	Oracle		oracle;
	int32_t		k;

	arena_used = 0;
	three_locations(&in);
	for (k = 0; k < 6; k++)
		in.unit_cost[k] = (ROUTE_AMOUNT_MAX - k) / 3 - 1;
	for (k = 0; k < 3; k++)
		in.fixed_cost[k] = ROUTE_AMOUNT_MAX - k;
	in.problem.ship_complete = true;
	oracle_solve(&oracle, &in);
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	CHECK(result.cost == oracle.best.cost);
	CHECK(route_verify(&in.problem, &control, &result) <=
		  ROUTE_VERIFY_PLAN_ONLY);
}

static void
test_memory_and_nothing_there(void)
{
	RouteControl control = control_default();
	RouteResult result;
	Instance	in;

	arena_used = 0;
	three_locations(&in);
	control.memory_max = 256;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OUT_OF_MEMORY);
	CHECK(result.memory_used <= 256);
	CHECK(route_runner_up(&in.problem, &control, &result, &result)
		  == ROUTE_OUT_OF_MEMORY);
	control.memory_max = 0;
	arena_used = ARENA_SIZE - 100;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OUT_OF_MEMORY);

	arena_used = 0;
	in.problem.location_count = 0;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	CHECK(result.cost == 5000 && result.package_count == 0);
	CHECK(route_verify(&in.problem, &control, &result) == ROUTE_VERIFY_OK);
	in.problem.ship_complete = true;
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_INFEASIBLE);
	CHECK(result.reason == ROUTE_REASON_STOCK && result.reason_line == 0);
}

/* ------------------------------------------------------- stop and anytime */

#define BIG_LINES		30
#define BIG_LOCATIONS	60

typedef struct Big
{
	RouteProblem problem;
	int32_t		quantity[BIG_LINES];
	int64_t		penalty[BIG_LINES];
	int32_t		stock[BIG_LINES * BIG_LOCATIONS];
	int64_t		unit_cost[BIG_LINES * BIG_LOCATIONS];
	int64_t		fixed_cost[BIG_LOCATIONS];
} Big;

static void
big_fill(Big *big, int32_t quantity_max)
{
	int32_t		k;

	memset(&big->problem, 0, sizeof(big->problem));
	big->problem.line_count = BIG_LINES;
	big->problem.location_count = BIG_LOCATIONS;
	big->problem.quantity = big->quantity;
	big->problem.penalty = big->penalty;
	big->problem.stock = big->stock;
	big->problem.unit_cost = big->unit_cost;
	big->problem.fixed_cost = big->fixed_cost;
	random_state = 99;
	for (k = 0; k < BIG_LINES; k++)
	{
		big->quantity[k] = random_range(1, quantity_max);
		big->penalty[k] = 100000;
	}
	for (k = 0; k < BIG_LINES * BIG_LOCATIONS; k++)
	{
		big->stock[k] = random_chance(60) ? random_range(1, quantity_max) : 0;
		big->unit_cost[k] = random_range(1000, 3000);
	}
	for (k = 0; k < BIG_LOCATIONS; k++)
		big->fixed_cost[k] = random_range(5000, 9000);
}

static bool
stop_after(void *context)
{
	int		   *calls = context;

	return --*calls < 0;
}

static void
test_stop(void)
{
	static Big	big;
	int			calls_list[] = {0, 1, 3, 10};
	RouteControl control = control_default();
	RouteResult result;
	int64_t		last_cost = INT64_MAX;
	size_t		k;

	big_fill(&big, 6);
	control.should_stop = stop_after;
	for (k = 0; k < sizeof(calls_list) / sizeof(calls_list[0]); k++)
	{
		int			calls = calls_list[k];

		arena_used = 0;
		control.stop_context = &calls;
		(void) route_solve(&big.problem, &control, &result);
		CHECK(calls < 0);		/* it was asked, and obeyed at once */
		CHECK(calls == -1);
		CHECK(result.status == ROUTE_FEASIBLE);
		CHECK(!result.proven && result.proof == ROUTE_PROOF_NONE);
		CHECK(result.gap > 0 &&
			  result.gap == result.cost - result.lower_bound);
		CHECK(route_verify(&big.problem, &control, &result)
			  == ROUTE_VERIFY_PLAN_ONLY);
		CHECK(result.cost <= last_cost);
		last_cost = result.cost;
	}
	control.should_stop = NULL;
	control.nodes_max = 100;
	arena_used = 0;
	CHECK(route_solve(&big.problem, &control, &result) == ROUTE_FEASIBLE);
	CHECK(result.nodes <= 101);
	CHECK(route_verify(&big.problem, &control, &result)
		  == ROUTE_VERIFY_PLAN_ONLY);
}

/* Does every interrupted answer bracket the true optimum? */
static void
test_anytime(uint64_t instances)
{
	uint64_t	seed;

	for (seed = 0; seed < instances; seed++)
	{
		RouteControl control = control_default();
		RouteResult full;
		RouteResult cut;
		Instance	in;

		random_small(&in, seed + 5000000);
		arena_used = 0;
		(void) route_solve(&in.problem, &control, &full);
		control.nodes_max = 1;
		(void) route_solve(&in.problem, &control, &cut);
		CHECK(cut.nodes <= 2 * 8);
		if (cut.status == ROUTE_OPTIMAL)
			CHECK(full.cost == cut.cost);
		else if (cut.status == ROUTE_FEASIBLE)
			CHECK(cut.lower_bound <= full.cost && cut.cost >= full.cost &&
				  route_verify(&in.problem, &control, &cut)
				  == ROUTE_VERIFY_PLAN_ONLY);
		else if (cut.status == ROUTE_INFEASIBLE)
			CHECK(full.status == ROUTE_INFEASIBLE);
		else
			CHECK(cut.status == ROUTE_UNKNOWN);
	}
}

/* ------------------------------------------------------------- tampering */

#define TAMPERED(field, value, want) \
	do { \
		__typeof__(result.field) kept = result.field; \
		result.field = (value); \
		CHECK(route_verify(&in.problem, &control, &result) == (want)); \
		result.field = kept; \
		CHECK(route_verify(&in.problem, &control, &result) == ROUTE_VERIFY_OK); \
	} while (0)

static void
test_tampering(void)
{
	RouteControl control = control_default();
	RouteResult result;
	Instance	in;

	arena_used = 0;
	three_locations(&in);
	CHECK(route_solve(&in.problem, &control, &result) == ROUTE_OPTIMAL);
	CHECK(result.proof == ROUTE_PROOF_DUAL);
	TAMPERED(shares[0].units, 1, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(shares[0].units, 0, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(shares[0].units, 6, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(shares[0].line, 1, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(shares[0].line, 2, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(shares[0].location, 0, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(shares[0].location, 3, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(shares[1].location, 1, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(share_count, 1, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(package_count, 1, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(unassigned[0], 1, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(unassigned[1], -1, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(units_unassigned, 1, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(packages[0].location, 2, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(packages[0].location, -1, ROUTE_VERIFY_BAD_PLAN);
	TAMPERED(packages[0].units, 3, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(packages[0].weight_grams, 1, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(packages[0].fixed_cost, 39, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(packages[0].late_cost, 1, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(packages[0].tariff_cost, 1, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(packages[1].unit_cost, 8, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(days_late, 1, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(cost, 97, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(terms.fixed, 84, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(terms.tariff, 1, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(terms.unit, 12, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(terms.penalty, 1, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(terms.lateness, 1, ROUTE_VERIFY_BAD_TERMS);
	TAMPERED(lower_bound, 99, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(lower_bound, 97, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(gap, 1, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(proven, false, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(status, ROUTE_FEASIBLE, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(status, ROUTE_INFEASIBLE, ROUTE_VERIFY_NO_PLAN);
	TAMPERED(proof, ROUTE_PROOF_NONE, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(proof, ROUTE_PROOF_ENUMERATION, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(proof, ROUTE_PROOF_LEXICOGRAPHIC, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(reason, ROUTE_REASON_STOCK, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(reason_line, 0, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(bad_input, "x", ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(nodes, -1, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(dual_bound, 97, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(dual_bound, 99, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(dual_scale, 0, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(dual_scale, result.dual_scale * 2, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(duals[0], 0, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(duals[1], result.duals[1] - 10 * result.dual_scale,
			 ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(duals[1], 3001 * result.dual_scale, ROUTE_VERIFY_BAD_BOUND);
	TAMPERED(level_count, 0, ROUTE_VERIFY_BAD_BOUND);
	/*
	 * Any other prices are a valid proof when they give the same bound, so
	 * raising one that only moves cost between terms is not a fault.
	 */
	result.duals[1] += 40 * result.dual_scale;
	CHECK(route_verify(&in.problem, &control, &result) == ROUTE_VERIFY_OK);
}

/* A dearer plan presented as optimal must not pass with any certificate. */
static void
test_false_optimum(uint64_t instances)
{
	long		refused = 0;
	uint64_t	seed;

	for (seed = 0; seed < instances; seed++)
	{
		RouteControl control = control_default();
		RouteResult best;
		RouteResult second;
		RouteVerify found;
		Instance	in;

		random_small(&in, seed + 6000000);
		arena_used = 0;
		if (route_solve(&in.problem, &control, &best) != ROUTE_OPTIMAL ||
			route_runner_up(&in.problem, &control, &best, &second)
			!= ROUTE_OPTIMAL || second.cost == best.cost)
			continue;
		second.proof = ROUTE_PROOF_DUAL;
		second.dual_bound = second.cost;
		second.level_count = best.level_count;
		second.level_days = best.level_days;
		second.dual_scale = best.dual_scale;
		second.dual_whole = best.dual_whole;
		second.duals = best.duals;
		second.first_prices = best.first_prices;
		found = route_verify(&in.problem, &control, &second);
		CHECK(found == ROUTE_VERIFY_BAD_BOUND);
		refused++;
	}
	CHECK(refused > 0);
}

int
main(int argc, char **argv)
{
	/* a larger share of the random instances may be asked for */
	uint64_t	scale = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;

	arena_memory = malloc(ARENA_SIZE);
	if (arena_memory == NULL)
		return 1;
	test_by_hand();
	test_splits_by_hand();
	test_reasons();
	test_ties();
	test_policies_by_hand();
	test_terms_by_hand();
	test_limits();
	test_large_amounts();
	test_memory_and_nothing_there();
	test_stop();
	test_tampering();
	test_against_oracle(300000 * scale);
	test_runner_up(40000 * scale);
	test_order_of_locations(20000 * scale);
	test_lexicographic(30000 * scale);
	test_policies(20000 * scale);
	test_price_by_hand();
	test_price(20000 * scale);
	test_anytime(50000 * scale);
	test_false_optimum(10000 * scale);
	free(arena_memory);
	printf("%ld checks, %d failures\n", checks, failures);
	return failures > 0;
}
