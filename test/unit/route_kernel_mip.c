/* sources: src/route_kernel.c src/route_kernel_bound.c src/route_kernel_check.c src/route_kernel_cover.c src/route_kernel_dual.c src/route_kernel_plan.c src/route_kernel_policy.c src/route_kernel_price.c src/route_kernel_rank.c src/route_kernel_scan.c src/route_kernel_search.c src/route_kernel_series.c src/route_kernel_split.c src/route_kernel_work.c */
/*
 * route_kernel_mip.c
 *	  The router against a general MIP solver on orders beyond enumeration.
 *
 * Usage: route_kernel_mip [seconds [first seed]]
 *
 * Needs GLPK and is built by test/shell/route_kernel_mip.sh.  Instances that
 * GLPK does not finish within its time limit are counted but not compared;
 * when the router itself gives a gap, both bounds must bracket GLPK's answer.
 */
#include <stdio.h>

#include "../../src/route_kernel.h"

#include <glpk.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LINES_MAX		12
#define LOCATIONS_MAX	50
#define CELLS_MAX		(LINES_MAX * LOCATIONS_MAX)
#define CARDS			4
#define STEPS			5
#define LATE_DAYS		4
#define GLPK_LIMIT_MS	5000
#define ARENA_SIZE		((size_t) 64 * 1024 * 1024)

static char *arena_memory;
static size_t arena_used;
static uint64_t random_state;

static void *
arena_alloc(void *context, size_t size)
{
	void	   *chunk = arena_memory + arena_used;

	(void) context;
	if (size > ARENA_SIZE - arena_used)
		return NULL;
	arena_used += size;
	return chunk;
}

static int32_t
random_range(int32_t low, int32_t high)
{
	uint64_t	z = random_state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	z ^= z >> 31;
	return low + (int32_t) ((z >> 33) % (uint64_t) (high - low + 1));
}

typedef struct Instance
{
	RouteProblem problem;
	int32_t		quantity[LINES_MAX];
	int64_t		penalty[LINES_MAX];
	bool		must_serve[LINES_MAX];
	int64_t		weight[LINES_MAX];
	int32_t		stock[CELLS_MAX];
	int64_t		unit_cost[CELLS_MAX];
	int64_t		line_cost[CELLS_MAX];
	int32_t		places_max[LINES_MAX];
	int64_t		fixed_cost[LOCATIONS_MAX];
	int64_t		late_cost[LOCATIONS_MAX];
	int32_t		days_late[LOCATIONS_MAX];
	int32_t		tariff_of[LOCATIONS_MAX];
	RouteTariff tariffs[CARDS];
	int64_t		limits[STEPS];
	int64_t		costs[CARDS][STEPS];
	int64_t		late_table[LATE_DAYS];
} Instance;

static void
instance_tables(Instance *in)
{
	static const int64_t limits[STEPS] = {1000, 3000, 8000, 20000, 60000};
	int			c;
	int			k;

	memcpy(in->limits, limits, sizeof(limits));
	for (c = 0; c < CARDS; c++)
	{
		in->tariffs[c].step_count = STEPS;
		in->tariffs[c].limit_grams = in->limits;
		in->tariffs[c].cost = in->costs[c];
		for (k = 0; k < STEPS; k++)
			in->costs[c][k] = 2500 + 600 * c + limits[k] * (2 + c) / 8;
	}
	in->problem.tariffs = in->tariffs;
	in->problem.tariff_count = CARDS;
	in->problem.tariff_of = in->tariff_of;
}

static void
instance_random(Instance *in, uint64_t seed)
{
	RouteProblem *p = &in->problem;
	int			present;
	int			n;
	int			m;
	int			i;
	int			l;

	memset(in, 0, sizeof(*in));
	random_state = seed;
	n = p->line_count = random_range(2, LINES_MAX);
	m = p->location_count = random_range(4, LOCATIONS_MAX);
	p->quantity = in->quantity;
	p->penalty = in->penalty;
	p->must_serve = in->must_serve;
	p->weight_grams = in->weight;
	p->stock = in->stock;
	p->unit_cost = in->unit_cost;
	p->fixed_cost = in->fixed_cost;
	p->whole_lines = random_range(0, 1) == 0;
	p->ship_complete = random_range(0, 9) == 0;
	if (random_range(0, 4) == 0)
		p->packages_max = random_range(1, 4);
	if (random_range(0, 1) == 0)
		instance_tables(in);
	if (random_range(0, 2) == 0)
	{
		p->late_table = in->late_table;
		p->late_table_count = LATE_DAYS;
		p->days_late = in->days_late;
		for (i = 1; i < LATE_DAYS; i++)
			in->late_table[i] = in->late_table[i - 1] + random_range(0, 4000);
	}
	if (random_range(0, 2) == 0)
		p->late_cost = in->late_cost;
	present = random_range(20, 45);
	for (i = 0; i < m; i++)
	{
		in->tariff_of[i] = random_range(0, 5) == 0 ? -1
			: random_range(0, CARDS - 1);
		in->days_late[i] = random_range(0, LATE_DAYS - 1);
		in->late_cost[i] = in->days_late[i] * 700;
		in->fixed_cost[i] = random_range(1500, 6000);
	}
	for (l = 0; l < n; l++)
	{
		in->quantity[l] = random_range(1, 6);
		in->penalty[l] = random_range(2000, 20000);
		in->must_serve[l] = random_range(0, 9) == 0;
		in->weight[l] = random_range(100, 3000);
		for (i = 0; i < m; i++)
		{
			in->stock[l * m + i] = random_range(1, 100) <= present
				? random_range(1, 8) : 0;
			in->unit_cost[l * m + i] = random_range(200, 2500);
		}
	}
	if (random_range(0, 2) > 0)
		return;
	/* lines that cost something at each location, or may come from few */
	if (random_range(0, 3) > 0)
		p->line_cost = in->line_cost;
	if (p->line_cost == NULL || random_range(0, 1) == 0)
		p->places_max = in->places_max;
	for (l = 0; l < n; l++)
	{
		in->places_max[l] = random_range(0, 3);
		for (i = 0; i < m; i++)
			in->line_cost[l * m + i] = random_range(0, 1500);
	}
}

/* One row of the MIP under construction. */
typedef struct Row
{
	int			count;
	int			column[CELLS_MAX + 2];
	double		value[CELLS_MAX + 2];
} Row;

static void
row_add(Row *row, int column, double value)
{
	row->count++;
	row->column[row->count] = column;
	row->value[row->count] = value;
}

static void
row_end(glp_prob *mip, Row *row, int type, double bound)
{
	int			r = glp_add_rows(mip, 1);

	glp_set_row_bnds(mip, r, type, bound, bound);
	glp_set_mat_row(mip, r, row->count, row->column, row->value);
	row->count = 0;
}

static int
column_add(glp_prob *mip, int kind, double most, double cost)
{
	int			c = glp_add_cols(mip, 1);

	glp_set_col_kind(mip, c, kind);
	if (kind != GLP_BV)
		glp_set_col_bnds(mip, c, most > 0 ? GLP_DB : GLP_FX, 0, most);
	glp_set_obj_coef(mip, c, cost);
	return c;
}

/* Opening, steps and weight of one location; returns its opening column. */
static int
model_location(glp_prob *mip, const Instance *in, int i, const int *units,
			   const double *factor, int late)
{
	const RouteProblem *p = &in->problem;
	int			m = p->location_count;
	int			opened;
	int			l;
	int			k;
	Row			steps = {0};
	Row			weight = {0};
	Row			row = {0};

	opened = column_add(mip, GLP_BV, 1, (double) in->fixed_cost[i]
						+ (p->late_cost ? (double) in->late_cost[i] : 0));
	for (l = 0; l < p->line_count; l++)
	{
		int			cell = l * m + i;

		if (units[cell] == 0)
			continue;
		row_add(&row, units[cell], 1);
		row_add(&row, opened, -glp_get_col_ub(mip, units[cell]));
		row_end(mip, &row, GLP_UP, 0);
		row_add(&weight, units[cell], factor[cell] * (double) in->weight[l]);
	}
	if (p->tariff_of != NULL && in->tariff_of[i] >= 0)
	{
		const RouteTariff *card = &in->tariffs[in->tariff_of[i]];

		for (k = 0; k < card->step_count; k++)
		{
			int			step = column_add(mip, GLP_BV, 1,
										  (double) card->cost[k]);

			row_add(&steps, step, 1);
			row_add(&weight, step, -(double) card->limit_grams[k]);
		}
		row_add(&steps, opened, -1);
		row_end(mip, &steps, GLP_FX, 0);
		row_end(mip, &weight, GLP_UP, 0);
	}
	if (p->late_table != NULL && in->late_table[in->days_late[i]] > 0)
	{
		row_add(&row, opened, (double) in->late_table[in->days_late[i]]);
		row_add(&row, late, -1);
		row_end(mip, &row, GLP_UP, 0);
	}
	return opened;
}

/* Whether anything of a line comes from each place: what that costs, and how many do. */
static void
model_places(glp_prob *mip, const Instance *in, int l, const int *units)
{
	const RouteProblem *p = &in->problem;
	bool		limited = p->places_max != NULL && in->places_max[l] > 0;
	Row			places = {0};
	Row			row = {0};
	int			i;

	if (p->line_cost == NULL && !limited)
		return;
	for (i = 0; i < p->location_count; i++)
	{
		int			cell = l * p->location_count + i;
		int			used;

		if (units[cell] == 0)
			continue;
		used = column_add(mip, GLP_BV, 1, p->line_cost == NULL ? 0 : (double) in->line_cost[cell]);
		row_add(&row, units[cell], 1);
		row_add(&row, used, -glp_get_col_ub(mip, units[cell]));
		row_end(mip, &row, GLP_UP, 0);
		row_add(&places, used, 1);
	}
	if (limited && places.count > 0)
		row_end(mip, &places, GLP_UP, in->places_max[l]);
}

static glp_prob *
model_build(const Instance *in)
{
	const RouteProblem *p = &in->problem;
	int			n = p->line_count;
	int			m = p->location_count;
	glp_prob   *mip = glp_create_prob();
	static int	units[CELLS_MAX];
	static double factor[CELLS_MAX];
	int			late = column_add(mip, GLP_CV, 1e9, 1);
	Row			row = {0};
	Row			opened = {0};
	int			i;
	int			l;

	memset(units, 0, sizeof(units));
	for (l = 0; l < n; l++)
	{
		bool		must = p->ship_complete || in->must_serve[l];
		int			left = column_add(mip, p->whole_lines ? GLP_CV : GLP_IV,
									  must ? 0 : in->quantity[l],
									  (double) in->penalty[l]);

		row_add(&row, left, 1);
		for (i = 0; i < m; i++)
		{
			int			cell = l * m + i;
			int			most = in->stock[cell] < in->quantity[l]
				? in->stock[cell] : in->quantity[l];

			factor[cell] = p->whole_lines ? in->quantity[l] : 1;
			if (most == 0 || (p->whole_lines && most < in->quantity[l]))
				continue;
			units[cell] = column_add(mip, p->whole_lines ? GLP_BV : GLP_IV,
									 most, factor[cell]
									 * (double) in->unit_cost[cell]);
			row_add(&row, units[cell], factor[cell]);
		}
		row_end(mip, &row, GLP_FX, in->quantity[l]);
		model_places(mip, in, l, units);
	}
	for (i = 0; i < m; i++)
		row_add(&opened, model_location(mip, in, i, units, factor, late), 1);
	if (p->packages_max > 0)
		row_end(mip, &opened, GLP_UP, p->packages_max);
	return mip;
}

typedef enum Answer
{
	ANSWER_OPTIMAL,
	ANSWER_INFEASIBLE,
	ANSWER_NONE
} Answer;

static Answer
model_solve(const Instance *in, double *cost)
{
	glp_prob   *mip = model_build(in);
	glp_iocp	options;
	Answer		answer = ANSWER_NONE;
	int			rc;

	glp_init_iocp(&options);
	options.msg_lev = GLP_MSG_OFF;
	options.presolve = GLP_ON;
	options.mir_cuts = GLP_ON;
	options.cov_cuts = GLP_ON;
	options.tm_lim = GLPK_LIMIT_MS;
	rc = glp_intopt(mip, &options);
	if (rc == GLP_ENOPFS)
		answer = ANSWER_INFEASIBLE;
	else if (rc == 0 && glp_mip_status(mip) == GLP_OPT)
	{
		answer = ANSWER_OPTIMAL;
		*cost = glp_mip_obj_val(mip);
	}
	else if (rc == 0 && glp_mip_status(mip) == GLP_NOFEAS)
		answer = ANSWER_INFEASIBLE;
	glp_delete_prob(mip);
	return answer;
}

typedef struct Count
{
	long		compared;
	long		infeasible;
	long		with_gap;
	long		no_plan;
	long		not_finished;
	long		wrong;
} Count;

static void
compare(uint64_t seed, Count *count)
{
	static Instance in;
	RouteControl control = {.alloc = arena_alloc, .nodes_max = 100000};
	RouteResult result;
	RouteVerify verified;
	double		cost = 0;
	Answer		answer;
	bool		fine;

	instance_random(&in, seed);
	arena_used = 0;
	(void) route_solve(&in.problem, &control, &result);
	verified = route_verify(&in.problem, &control, &result);
	answer = model_solve(&in, &cost);
	if (answer == ANSWER_NONE)
	{
		count->not_finished++;
		return;
	}
	if (answer == ANSWER_INFEASIBLE)
	{
		count->infeasible++;
		fine = result.status == ROUTE_INFEASIBLE ||
			result.status == ROUTE_UNKNOWN;
	}
	else if (result.status == ROUTE_UNKNOWN)
	{
		/* within the node limit, and with a true bound */
		count->no_plan++;
		fine = result.nodes > 100000 &&
			(double) result.lower_bound < cost + 0.5;
	}
	else if (result.status == ROUTE_FEASIBLE)
	{
		count->with_gap++;
		fine = (double) result.cost > cost - 0.5 &&
			(double) result.lower_bound < cost + 0.5 &&
			verified == ROUTE_VERIFY_PLAN_ONLY;
	}
	else
	{
		count->compared++;
		fine = result.status == ROUTE_OPTIMAL &&
			fabs((double) result.cost - cost) < 0.5 &&
			verified == (result.proof == ROUTE_PROOF_DUAL
						 ? ROUTE_VERIFY_OK : ROUTE_VERIFY_PLAN_ONLY);
	}
	if (!fine)
	{
		count->wrong++;
		printf("seed %lu: %d lines, %d locations, whole %d, tariffs %d, "
			   "packages %d: status %d cost %ld, verified %d; MIP %d %.1f\n",
			   (unsigned long) seed, in.problem.line_count,
			   in.problem.location_count, in.problem.whole_lines,
			   in.problem.tariff_of != NULL, in.problem.packages_max,
			   result.status, (long) result.cost, verified, answer, cost);
	}
}

int
main(int argc, char **argv)
{
	int			seconds = argc > 1 ? atoi(argv[1]) : 30;
	uint64_t	seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
	time_t		end = time(NULL) + seconds;
	Count		count = {0};

	arena_memory = malloc(ARENA_SIZE);
	if (arena_memory == NULL)
		return 1;
	glp_term_out(GLP_OFF);
	for (; time(NULL) < end; seed++)
		compare(seed * 1000003, &count);
	free(arena_memory);
	printf("%ld compared, %ld infeasible, %ld with a gap, "
		   "%ld without a plan in time, %ld not finished by the MIP solver; %ld wrong\n",
		   count.compared, count.infeasible, count.with_gap,
		   count.no_plan, count.not_finished, count.wrong);
	return count.wrong > 0 || count.compared == 0;
}
