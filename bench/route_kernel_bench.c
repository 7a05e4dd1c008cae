/* sources: src/route_kernel.c src/route_kernel_bound.c src/route_kernel_check.c src/route_kernel_cover.c src/route_kernel_dual.c src/route_kernel_plan.c src/route_kernel_policy.c src/route_kernel_price.c src/route_kernel_rank.c src/route_kernel_scan.c src/route_kernel_search.c src/route_kernel_series.c src/route_kernel_split.c src/route_kernel_work.c */
/* libs: -lm */
/*
 * route_kernel_bench.c
 *	  Time of the exact router by number of lines and locations.
 *
 * Usage: route_kernel_bench [instances per shape [divide] [step] [late]]
 *
 * Each instance is a network in the unit square with a customer in it: zones
 * by distance, a fixed cost per package with the zone's part, unit costs with
 * handling, a part linear in weight, and a scarcity price which makes all
 * costs different.  Stock is present at 20 to 35 % of (line, location) pairs.
 * The figure after the slash is the 99th percentile, the figures in brackets
 * are the targets: 1.5 times the median of the reference table.
 */
#include "../src/route_kernel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ARENA_SIZE	((size_t) 512 * 1024 * 1024)
#define ZONES		8
#define STEPS		10

static const int line_shapes[] = {1, 3, 5, 8, 12, 20, 50};
static const int location_shapes[] = {10, 50, 200, 2000};

#define LINE_SHAPES		(int) (sizeof(line_shapes) / sizeof(line_shapes[0]))
#define LOCATION_SHAPES (int) (sizeof(location_shapes) / sizeof(location_shapes[0]))

/* Medians of the reference table in microseconds. */
static const double reference[LINE_SHAPES][LOCATION_SHAPES] = {
	{0.1, 0.3, 0.9, 15},
	{0.2, 0.6, 2.5, 33},
	{0.5, 1.8, 8.4, 94},
	{8.7, 12, 39, 181},
	{9, 40, 172, 587},
	{28, 105, 517, 2963},
	{83, 673, 4097, 50918},
};

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

static double
random_unit(void)
{
	uint64_t	z = random_state += UINT64_C(0x9E3779B97F4A7C15);

	z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
	z ^= z >> 31;
	return (double) (z >> 11) / 9007199254740992.0;
}

static int
random_below(int limit)
{
	return (int) (random_unit() * limit);
}

typedef struct Network
{
	RouteProblem problem;
	int32_t    *quantity;
	int64_t    *penalty;
	int64_t    *weight;
	int32_t    *stock;
	int64_t    *unit_cost;
	int64_t    *fixed_cost;
	int32_t    *tariff_of;
	int32_t    *days_late;
	int32_t    *zone;
	RouteTariff tariffs[ZONES];
	int64_t		limits[STEPS];
	int64_t		costs[ZONES][STEPS];
	int64_t		late_table[4];
} Network;

typedef struct Options
{
	int			instances;
	bool		divide;
	bool		step;
	bool		late;
} Options;

static void *
take(size_t count, size_t size)
{
	void	   *chunk = calloc(count, size);

	if (chunk == NULL)
	{
		fprintf(stderr, "out of memory\n");
		exit(1);
	}
	return chunk;
}

static void
network_create(Network *net, int n, int m)
{
	memset(net, 0, sizeof(*net));
	net->quantity = take(n, sizeof(int32_t));
	net->penalty = take(n, sizeof(int64_t));
	net->weight = take(n, sizeof(int64_t));
	net->stock = take((size_t) n * m, sizeof(int32_t));
	net->unit_cost = take((size_t) n * m, sizeof(int64_t));
	net->fixed_cost = take(m, sizeof(int64_t));
	net->tariff_of = take(m, sizeof(int32_t));
	net->days_late = take(m, sizeof(int32_t));
	net->zone = take(m, sizeof(int32_t));
	net->problem.line_count = n;
	net->problem.location_count = m;
	net->problem.quantity = net->quantity;
	net->problem.penalty = net->penalty;
	net->problem.weight_grams = net->weight;
	net->problem.stock = net->stock;
	net->problem.unit_cost = net->unit_cost;
	net->problem.fixed_cost = net->fixed_cost;
}

static void
network_free(Network *net)
{
	free(net->quantity);
	free(net->penalty);
	free(net->weight);
	free(net->stock);
	free(net->unit_cost);
	free(net->fixed_cost);
	free(net->tariff_of);
	free(net->days_late);
	free(net->zone);
}

/* Rate card: 10 steps up to 300 kg, dearer and steeper by zone. */
static void
network_tariffs(Network *net)
{
	static const int64_t limits[STEPS] = {500, 1000, 2000, 5000, 10000, 20000,
	31500, 70000, 150000, 300000};
	int			z;
	int			k;

	memcpy(net->limits, limits, sizeof(limits));
	for (z = 0; z < ZONES; z++)
	{
		for (k = 0; k < STEPS; k++)
			net->costs[z][k] = 2500 + 500 * z
				+ (int64_t) (limits[k] * (0.25 + 0.08 * z));
		net->tariffs[z].step_count = STEPS;
		net->tariffs[z].limit_grams = net->limits;
		net->tariffs[z].cost = net->costs[z];
	}
	net->problem.tariffs = net->tariffs;
	net->problem.tariff_count = ZONES;
	net->problem.tariff_of = net->tariff_of;
}

static void
network_fill(Network *net, const Options *options)
{
	int			n = net->problem.line_count;
	int			m = net->problem.location_count;
	double		x = random_unit();
	double		y = random_unit();
	double		present = 0.20 + 0.15 * random_unit();
	int			i;
	int			l;

	net->problem.whole_lines = !options->divide;
	for (i = 0; i < m; i++)
	{
		double		distance = hypot(random_unit() - x, random_unit() - y);
		int			zone = (int) (distance / 1.4143 * ZONES);

		net->zone[i] = zone;
		net->tariff_of[i] = zone;
		net->days_late[i] = zone / 3;
		net->fixed_cost[i] = 1500 + random_below(1500);
		if (!options->step)
			net->fixed_cost[i] += 2500 + 500 * zone;
	}
	for (l = 0; l < n; l++)
	{
		net->quantity[l] = 1 + random_below(4);
		net->weight[l] = 100 + random_below(4000);
		net->penalty[l] = 20000 + random_below(30000);
		for (i = 0; i < m; i++)
		{
			int64_t		cost = 200 + random_below(300) + random_below(1500);

			if (!options->step)
				cost += (int64_t) ((double) net->weight[l]
								   * (0.25 + 0.08 * net->zone[i]));
			net->unit_cost[(size_t) l * m + i] = cost;
			net->stock[(size_t) l * m + i] =
				random_unit() < present ? 1 + random_below(8) : 0;
		}
	}
	if (options->step)
		network_tariffs(net);
	if (options->late)
	{
		static const int64_t late_table[4] = {0, 2000, 5000, 9000};

		memcpy(net->late_table, late_table, sizeof(late_table));
		net->problem.late_table = net->late_table;
		net->problem.late_table_count = 4;
		net->problem.days_late = net->days_late;
	}
}

static double
now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int
compare_double(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* Least of some runs; small shapes are repeated to see past the clock. */
static double
time_solve(const RouteProblem *problem, const RouteControl *control,
		   RouteResult *result)
{
	int			repeat = problem->line_count * problem->location_count < 3000
		? 20 : 1;
	double		least = 1e18;
	int			round;

	for (round = 0; round < 3; round++)
	{
		double		start = now_us();
		double		taken;
		int			k;

		for (k = 0; k < repeat; k++)
		{
			arena_used = 0;
			(void) route_solve(problem, control, result);
		}
		taken = (now_us() - start) / repeat;
		if (taken < least)
			least = taken;
		if (taken * repeat > 2000)
			break;
	}
	return least;
}

static void
bench_shape(int row, int column, const Options *options)
{
	int			n = line_shapes[row];
	int			m = location_shapes[column];
	int			count = options->instances;
	double	   *taken;
	size_t		memory = 0;
	int64_t		gap = 0;
	int			proven = 0;
	int			dual = 0;
	int			t;
	Network		net;
	RouteControl control;

	if (n * m > 20000)
		count = count / 4 + 1;
	taken = take(count, sizeof(double));
	memset(&control, 0, sizeof(control));
	control.alloc = arena_alloc;
	control.memory_max = ARENA_SIZE;
	control.nodes_max = 200000;
	network_create(&net, n, m);
	for (t = 0; t < count; t++)
	{
		RouteResult result;

		random_state = (uint64_t) (row * 100 + column) * 1000003 + (uint64_t) t;
		network_fill(&net, options);
		taken[t] = time_solve(&net.problem, &control, &result);
		proven += result.proven;
		dual += result.proof == ROUTE_PROOF_DUAL;
		if (result.memory_used > memory)
			memory = result.memory_used;
		if (result.cost > 0 && result.gap * 1000 / result.cost > gap)
			gap = result.gap * 1000 / result.cost;
	}
	qsort(taken, count, sizeof(double), compare_double);
	printf("%3d %5d  %10.2f / %10.2f  (%8.1f) %s  proven %5.1f %%, by duals %5.1f %%,"
		   " largest gap %.1f %%, %zu kB\n",
		   n, m, taken[count / 2], taken[count * 99 / 100],
		   1.5 * reference[row][column],
		   taken[count / 2] <= 1.5 * reference[row][column] ? "  " : "> ",
		   100.0 * proven / count, 100.0 * dual / count, (double) gap / 10,
		   memory / 1024);
	fflush(stdout);
	network_free(&net);
	free(taken);
}

int
main(int argc, char **argv)
{
	Options		options = {.instances = 200};
	int			row;
	int			column;
	int			k;

	for (k = 1; k < argc; k++)
	{
		if (strcmp(argv[k], "divide") == 0)
			options.divide = true;
		else if (strcmp(argv[k], "step") == 0)
			options.step = true;
		else if (strcmp(argv[k], "late") == 0)
			options.late = true;
		else if (atoi(argv[k]) > 0)
			options.instances = atoi(argv[k]);
	}
	arena_memory = take(ARENA_SIZE, 1);
	printf("lines %s, tariffs %s, lateness %s; microseconds, median / 99th"
		   " percentile (target)\n",
		   options.divide ? "may divide" : "whole",
		   options.step ? "in steps" : "linear",
		   options.late ? "per order" : "none");
	for (row = 0; row < LINE_SHAPES; row++)
		for (column = 0; column < LOCATION_SHAPES; column++)
			bench_shape(row, column, &options);
	free(arena_memory);
	return 0;
}
