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
 */
#include "route_kernel.h"

#include <string.h>

/* Smallest request to the caller's arena. */
#define CHUNK_SIZE			8192

/* Elementary operations between two calls of should_stop. */
#define STOP_WORK			16384

/* Longest path of the search; deeper nodes are left unproven. */
#define DEPTH_MAX			1000
#define SLOPES_MAX			500000

/* Packages kept for the cover, and the words of its memory. */
#define COLUMNS_FEW			256
#define COLUMNS_MAX			16384
#define COLUMN_LINES_MAX	64
#ifndef COLUMN_LINES_USED		/* a test sends everything to the search */
#define COLUMN_LINES_USED	COLUMN_LINES_MAX
#endif
#define COLUMN_WORK_MAX		2000000
#define MEMO_BITS			13

/* Rounds of dual adjustment and of local search at a root. */
#define FIRST_PLAN_ROUNDS	6
#define PRICE_ROUNDS		8
#define PRICE_LOCATIONS		8
#define ADJUST_ROUNDS		4
#define IMPROVE_TRIALS		400

/* In Scan.room: the location is one of those looked at. */
#define MARKED				(-1)

#define SCALED_MAX			((int64_t) 1 << 62)

#define Min(a, b)			((a) < (b) ? (a) : (b))
#define Max(a, b)			((a) > (b) ? (a) : (b))

typedef struct Arena
{
	const RouteControl *control;
	size_t		used;
	size_t		max;
	char	   *chunk;			/* rest of the last chunk */
	size_t		chunk_left;
	bool		failed;
} Arena;

/* One line at one location; also what the sorts work on. */
typedef struct Entry
{
	int64_t		cost;			/* per unit of demand */
	int32_t		room;			/* units of demand it can take */
	int32_t		location;
} Entry;

/*
 * A line as the search sees it.  A line that goes to one place or nowhere has
 * a demand of 1 and amounts for all of its units.
 */
typedef struct Line
{
	int32_t		quantity;
	int32_t		demand;
	bool		whole;			/* demand is 1 and stands for quantity */
	bool		must;
	int64_t		penalty;		/* per unit of demand; unused when must */
	int64_t		weight;			/* per unit of demand */
	int64_t		full;			/* cheapest cost when shipped alone */
	int32_t		full_location;	/* where, or -1 for nowhere */
	Entry	   *entries;
	int32_t		entry_count;
} Line;

/* Step 1: all locations, plain amounts. */
typedef struct Scan
{
	const RouteProblem *problem;
	Arena	   *arena;
	const char *bad_input;
	Line	   *lines;
	bool		stepped;		/* some location has a tariff table */
	bool		any_must;
	int64_t		ceiling;		/* above the cost of every plan */
	int64_t		best;			/* cost of the first plan, or the ceiling */
	bool		have_plan;
	int32_t    *plan;			/* by line: location or -1 */
	int64_t		bound;			/* of all plans, without lateness */
	int64_t    *price;			/* by line: what the bound asks of a unit */
	int64_t    *room;			/* by location: demand it could serve */
	int64_t    *slack;			/* by location: package less prices */
	int64_t    *gain;			/* by location: saved by opening it */
	int64_t    *package;		/* by location: fixed part of a package */
	int64_t    *slope;			/* by location: its part per gram, or NULL */
	int32_t    *step_low;		/* by location: steps in play, or NULL */
	int32_t    *step_high;
	int32_t    *survivors;		/* what the prices do not exclude */
	int32_t		survivor_count;
} Scan;

typedef enum State
{
	STATE_FREE,
	STATE_OPEN,
	STATE_CLOSED
} State;

typedef enum ChangeKind
{
	CHANGE_STATE,
	CHANGE_STEP_LOW,
	CHANGE_STEP_HIGH,
	CHANGE_UNITS
} ChangeKind;

/* Enough to undo one decision of the search. */
typedef struct Change
{
	ChangeKind	kind;
	int32_t		location;
	int32_t		line;
	int32_t		old;			/* state, step, or room */
	int32_t		taken;			/* CHANGE_UNITS: units fixed by it */
} Change;

/* Steps 2 to 4: surviving locations in order of (rank, index), scaled. */
typedef struct Work
{
	const RouteProblem *problem;
	const RouteControl *control;
	Arena	   *arena;
	const Line *lines;
	int32_t		n;
	int32_t		m;
	int32_t		demand_max;
	bool		all_whole;
	bool		stepped;
	RouteTieRule tie_rule;
	int64_t		scale;
	int64_t		amount;			/* scaled ceiling */

	/* by location */
	int32_t    *origin;			/* index in the problem */
	int32_t    *days;
	const RouteTariff **tariff; /* NULL where linear */
	int64_t    *fixed;			/* per package, with lateness and tie */
	int64_t    *tie;

	/* by line and location */
	int64_t    *cost;
	int32_t    *room;

	/* by line: cap of its price, which is the penalty where one exists */
	int64_t    *cap;

	/* linear form of the current node */
	int64_t    *slope;			/* per gram */
	int64_t    *linear_fixed;
	Entry	  **rows;			/* by line, cheapest first */
	int32_t    *row_count;

	/* decisions of the current node */
	uint8_t    *state;
	int32_t    *step_low;
	int32_t    *step_high;
	int32_t    *rest;			/* by line: demand not yet fixed */
	int32_t    *taken;			/* by line and location, NULL when linear */
	int64_t    *taken_weight;	/* by location */
	int32_t		taken_count;
	int32_t		open_count;
	Change	   *trail;
	int32_t		trail_count;

	/* prices */
	int64_t    *dual;
	int64_t    *slack;
	int64_t    *dual_kept;		/* for undoing a trial */
	int64_t    *slack_kept;
	int64_t    *dual_stack;		/* by depth */
	int64_t    *slope_stack;	/* by depth, with tariff tables only */
	int32_t		depth_max;
	bool	   *blocked;
	int64_t		level_cost;		/* late_table at this level, scaled */
	int64_t		package_price;	/* multiplier of packages_max */
	int64_t		bound;

	/* plans */
	bool	   *in_set;
	int64_t    *load;			/* by location: weight of the trial plan */
	int32_t    *stamp;			/* by location: trial that last used it */
	int32_t		stamp_now;
	int32_t    *trial_used;		/* the locations of the trial plan */
	RouteShare *trial;
	int32_t		trial_count;
	int32_t		trial_packages;
	int64_t		trial_missing;	/* units of must-serve lines not served */
	RouteShare *plan;
	int32_t		plan_count;
	bool		have_plan;
	int64_t		best;			/* scaled cost to beat */

	/* progress */
	int64_t		nodes;
	int64_t		nodes_max;
	int64_t		work;
	bool		stopped;
	int64_t		open_bound;		/* least bound among nodes not finished */
} Work;


/* ----------------------------------------------------------------
 *		Small helpers
 * ----------------------------------------------------------------
 */

/* Small requests share chunks, so that a small problem asks only once. */
static void *
arena_refill(Arena *arena, size_t bytes)
{
	size_t		size = Max(bytes, (size_t) CHUNK_SIZE);

	if (size > arena->max - arena->used)
		size = bytes;
	if (arena->failed || size > arena->max - arena->used)
	{
		arena->failed = true;
		return NULL;
	}
	arena->chunk = arena->control->alloc(arena->control->alloc_context, size);
	arena->chunk_left = 0;
	if (arena->chunk == NULL)
	{
		arena->failed = true;
		return NULL;
	}
	arena->used += size;
	arena->chunk_left = size;
	return arena->chunk;
}

/* count is bounded by lines times locations, so the product cannot wrap. */
static inline void *
arena_take(Arena *arena, size_t count, size_t size)
{
	size_t		bytes = (count * size + 15) & ~(size_t) 15;
	void	   *piece;

	if (bytes == 0)
		bytes = 16;
	if (bytes > arena->chunk_left && arena_refill(arena, bytes) == NULL)
		return NULL;
	piece = arena->chunk;
	arena->chunk += bytes;
	arena->chunk_left -= bytes;
	return piece;
}

static void *
arena_take_zeroed(Arena *arena, size_t count, size_t size)
{
	void	   *chunk = arena_take(arena, count, size);

	if (chunk != NULL)
		memset(chunk, 0, count * size);
	return chunk;
}

#define TAKE(arena, type, count) \
	((type *) arena_take((arena), (size_t) (count), sizeof(type)))
#define TAKE_ZEROED(arena, type, count) \
	((type *) arena_take_zeroed((arena), (size_t) (count), sizeof(type)))

static void
arena_begin(Arena *arena, const RouteControl *control)
{
	arena->control = control;
	arena->used = 0;
	arena->max = control->memory_max > 0 ? control->memory_max
		: ROUTE_MEMORY_DEFAULT;
	arena->chunk = NULL;
	arena->chunk_left = 0;
	arena->failed = false;
}

static int64_t
floor_div(int64_t a, int64_t b)
{
	int64_t		q = a / b;

	return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

static bool
entry_before(const Entry *a, const Entry *b)
{
	return a->cost != b->cost ? a->cost < b->cost : a->location < b->location;
}

/*
 * Shell sort with Ciura's gaps (2001).  The C library's qsort may allocate,
 * which the kernel must not; rows are short or nearly sorted.
 */
static void
entry_sort(Entry *entries, int32_t count)
{
	static const int32_t gaps[] = {64000, 28400, 12600, 5600, 2500, 1100,
	510, 224, 98, 57, 23, 10, 4, 1};
	size_t		g = 0;

	while (g < sizeof(gaps) / sizeof(gaps[0]) - 1 && gaps[g] * 2 > count)
		g++;
	for (; g < sizeof(gaps) / sizeof(gaps[0]); g++)
	{
		int32_t		gap = gaps[g];
		int32_t		i;

		for (i = gap; i < count; i++)
		{
			Entry		moving = entries[i];
			int32_t		j = i;

			while (j >= gap && entry_before(&moving, &entries[j - gap]))
			{
				entries[j] = entries[j - gap];
				j -= gap;
			}
			entries[j] = moving;
		}
	}
}

static const RouteTariff *
location_tariff(const RouteProblem *problem, int32_t location)
{
	int32_t		index;

	if (problem->tariff_of == NULL)
		return NULL;
	index = problem->tariff_of[location];
	return index < 0 ? NULL : &problem->tariffs[index];
}

/* First step that carries the weight, or step_count when none does. */
static int32_t
tariff_step(const RouteTariff *tariff, int64_t weight)
{
	int32_t		low = 0;
	int32_t		high = tariff->step_count;

	while (low < high)
	{
		int32_t		middle = low + (high - low) / 2;

		if (tariff->limit_grams[middle] >= weight)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static int32_t
location_days(const RouteProblem *problem, int32_t location)
{
	return problem->days_late == NULL ? 0 : problem->days_late[location];
}

static int64_t
location_fixed(const RouteProblem *problem, int32_t location)
{
	return problem->fixed_cost[location]
		+ (problem->late_cost == NULL ? 0 : problem->late_cost[location]);
}

/*
 * Does rank prefer location to other?  Choices among equals go by it from the
 * first step on, so that the input's order does not matter.
 */
static bool
rank_before(const RouteProblem *problem, int32_t location, int32_t other)
{
	return other >= 0 && problem->rank != NULL &&
		problem->rank[location] < problem->rank[other];
}

static int64_t
late_price(const RouteProblem *problem, int32_t days)
{
	return problem->late_table == NULL ? 0 : problem->late_table[days];
}

static bool
line_must(const RouteProblem *problem, int32_t line)
{
	return problem->ship_complete ||
		(problem->must_serve != NULL && problem->must_serve[line]);
}

static bool
line_whole(const RouteProblem *problem, int32_t line)
{
	return problem->whole_lines || problem->quantity[line] == 1 ||
		(problem->whole != NULL && problem->whole[line]);
}

static int64_t
line_penalty(const RouteProblem *problem, int32_t line)
{
	return problem->penalty == NULL ? 0 : problem->penalty[line];
}

static int64_t
line_weight(const RouteProblem *problem, int32_t line)
{
	return problem->weight_grams == NULL ? 0 : problem->weight_grams[line];
}


/* ----------------------------------------------------------------
 *		Input checks
 * ----------------------------------------------------------------
 */

static bool
amount_ok(int64_t amount)
{
	return amount >= 0 && amount <= ROUTE_AMOUNT_MAX;
}

static const char *
check_tables(const RouteProblem *problem)
{
	int32_t		t;
	int32_t		k;

	if (problem->tariff_count < 0 ||
		(problem->tariff_count > 0 && problem->tariffs == NULL))
		return "tariffs";
	for (t = 0; t < problem->tariff_count; t++)
	{
		const RouteTariff *tariff = &problem->tariffs[t];

		if (tariff->step_count < 1 || tariff->step_count > ROUTE_STEPS_MAX)
			return "tariff step count";
		for (k = 0; k < tariff->step_count; k++)
		{
			if (!amount_ok(tariff->cost[k]) ||
				!amount_ok(tariff->limit_grams[k]))
				return "tariff amount";
			if (k > 0 && (tariff->cost[k] < tariff->cost[k - 1] ||
						  tariff->limit_grams[k] <= tariff->limit_grams[k - 1]))
				return "tariff steps are not in order";
		}
	}
	if (problem->late_table != NULL)
	{
		if (problem->late_table_count < 1 ||
			problem->late_table_count > ROUTE_LATE_DAYS_MAX)
			return "late table size";
		for (k = 0; k < problem->late_table_count; k++)
			if (!amount_ok(problem->late_table[k]) ||
				(k > 0 && problem->late_table[k] < problem->late_table[k - 1]))
				return "late table amount";
	}
	return NULL;
}

static const char *
check_lines(const RouteProblem *problem)
{
	int32_t		l;

	for (l = 0; l < problem->line_count; l++)
	{
		int32_t		quantity = problem->quantity[l];

		if (quantity < 1 || quantity > ROUTE_QUANTITY_MAX)
			return "quantity";
		if (line_penalty(problem, l) < 0 ||
			line_penalty(problem, l) > ROUTE_AMOUNT_MAX / quantity)
			return "penalty";
		if (line_weight(problem, l) < 0 ||
			line_weight(problem, l) > ROUTE_AMOUNT_MAX / quantity)
			return "weight";
	}
	return NULL;
}

static const char *
check_locations(const RouteProblem *problem)
{
	int32_t		days_max = problem->late_table == NULL
		? ROUTE_LATE_DAYS_MAX : problem->late_table_count;
	int32_t		i;

	for (i = 0; i < problem->location_count; i++)
		if (!amount_ok(problem->fixed_cost[i]))
			return "fixed cost";
	if (problem->late_cost != NULL)
		for (i = 0; i < problem->location_count; i++)
			if (!amount_ok(problem->late_cost[i]))
				return "late cost";
	if (problem->days_late != NULL)
		for (i = 0; i < problem->location_count; i++)
			if (problem->days_late[i] < 0 || problem->days_late[i] >= days_max)
				return "days late";
	if (problem->tariff_of != NULL)
		for (i = 0; i < problem->location_count; i++)
			if (problem->tariff_of[i] >= problem->tariff_count)
				return "tariff index";
	return NULL;
}

static const char *
check_problem(const RouteProblem *problem)
{
	const char *fault;

	if (problem->line_count < 1 || problem->line_count > ROUTE_LINES_MAX)
		return "line count";
	if (problem->location_count < 0 ||
		problem->location_count > ROUTE_LOCATIONS_MAX)
		return "location count";
	if (problem->packages_max < 0)
		return "packages max";
	fault = check_tables(problem);
	if (fault == NULL)
		fault = check_lines(problem);
	if (fault == NULL)
		fault = check_locations(problem);
	return fault;
}


/* ----------------------------------------------------------------
 *		Step 1: scan
 * ----------------------------------------------------------------
 */

/* Units of demand that one package from the location can hold. */
static int32_t
weight_room(const RouteTariff *tariff, int64_t weight, int32_t room)
{
	int64_t		limit = tariff->limit_grams[tariff->step_count - 1];

	if (weight == 0 || weight * room <= limit)
		return room;
	return (int32_t) (limit / weight);
}

/*
 * Collect where the line can be served.  Places dearer than leaving it out
 * are no use; places exactly as dear are kept, since serving is preferred.
 */
static bool
scan_line(Scan *scan, int32_t l)
{
	const RouteProblem *problem = scan->problem;
	Line	   *line = &scan->lines[l];
	const int32_t *stock = problem->stock
		+ (size_t) l * problem->location_count;
	const int64_t *unit_cost = problem->unit_cost
		+ (size_t) l * problem->location_count;
	int32_t		need = line->whole ? line->quantity : 1;
	int64_t		unit_max = ROUTE_AMOUNT_MAX / line->quantity;
	int64_t		worth = line->must ? unit_max : line_penalty(problem, l);
	Entry	   *next = line->entries;
	int32_t		negative = 0;
	bool		outside = false;
	int32_t		i;

	/*
	 * Presence of stock is as good as random, so this counts instead of
	 * branching; it writes one entry too many at most.
	 */
	for (i = 0; i < problem->location_count; i++)
	{
		int64_t		cost = unit_cost[i];
		bool		enough = stock[i] >= need;
		bool		beyond = cost > unit_max || cost < -unit_max;

		negative |= stock[i];
		outside |= beyond & (stock[i] > 0);
		next->cost = cost;
		next->location = i;
		next->room = stock[i];
		next += enough & (cost <= worth);
	}
	line->entry_count = (int32_t) (next - line->entries);
	return negative >= 0 && !outside;
}

/* Turn stock and costs into room and costs per unit of demand. */
static void
line_scale_entries(Line *line)
{
	int32_t		e;

	for (e = 0; e < line->entry_count; e++)
	{
		Entry	   *entry = &line->entries[e];

		entry->room = line->whole ? 1 : Min(entry->room, line->quantity);
		if (line->whole)
			entry->cost *= line->quantity;
	}
}

/* Keep only what fits into a package. */
static void
line_fit_entries(const RouteProblem *problem, Line *line)
{
	Entry	   *kept = line->entries;
	int32_t		e;

	for (e = 0; e < line->entry_count; e++)
	{
		Entry		entry = line->entries[e];
		const RouteTariff *tariff = location_tariff(problem, entry.location);

		if (tariff != NULL)
			entry.room = weight_room(tariff, line->weight, entry.room);
		if (entry.room > 0)
			*kept++ = entry;
	}
	line->entry_count = (int32_t) (kept - line->entries);
}

/*
 * With linear tariffs a line that every place could serve in full is never
 * divided by an optimal plan, so it may be treated as whole.
 */
static void
line_make_whole(Line *line)
{
	int32_t		e;

	for (e = 0; e < line->entry_count; e++)
		if (line->entries[e].room < line->demand)
			return;
	for (e = 0; e < line->entry_count; e++)
	{
		line->entries[e].cost *= line->quantity;
		line->entries[e].room = 1;
	}
	line->whole = true;
	line->demand = 1;
	line->penalty *= line->quantity;
	line->weight *= line->quantity;
}

static void
line_begin(Scan *scan, int32_t l)
{
	const RouteProblem *problem = scan->problem;
	Line	   *line = &scan->lines[l];
	int32_t		factor;

	line->quantity = problem->quantity[l];
	line->whole = line_whole(problem, l);
	line->demand = line->whole ? 1 : line->quantity;
	line->must = line_must(problem, l);
	factor = line->whole ? line->quantity : 1;
	line->penalty = line_penalty(problem, l) * factor;
	line->weight = line_weight(problem, l) * factor;
	scan->any_must |= line->must;
}

/* What a package costs at every location before its tariff. */
static void
scan_packages(Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	int32_t		m = problem->location_count;
	int32_t		i;

	memcpy(scan->package, problem->fixed_cost, sizeof(int64_t) * (size_t) m);
	if (problem->late_cost != NULL)
		for (i = 0; i < m; i++)
			scan->package[i] += problem->late_cost[i];
}

/*
 * Steps that packages of the location can reach: from its lightest piece to
 * all that it has.
 */
static void
scan_steps(Scan *scan, int64_t *lightest, int64_t *heaviest)
{
	const RouteProblem *problem = scan->problem;
	int32_t		i;
	int32_t		l;

	for (i = 0; i < problem->location_count; i++)
	{
		lightest[i] = INT64_MAX;
		heaviest[i] = 0;
	}
	for (l = 0; l < problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
		{
			i = line->entries[e].location;
			lightest[i] = Min(lightest[i], line->weight);
			heaviest[i] += line->weight * line->entries[e].room;
		}
	}
	for (i = 0; i < problem->location_count; i++)
	{
		const RouteTariff *tariff = location_tariff(problem, i);

		scan->step_low[i] = scan->step_high[i] = 0;
		if (tariff == NULL || lightest[i] == INT64_MAX)
			continue;
		scan->step_low[i] = tariff_step(tariff, lightest[i]);
		scan->step_high[i] = Min(tariff_step(tariff, heaviest[i]),
								 tariff->step_count - 1);
	}
}

/*
 * The line through the last step in play that lies below the others: it is
 * the best one for a package of all that the location has.  The slope is
 * taken down to whole numbers, so the fixed part is found afterwards.
 */
static int64_t
scan_slope(const RouteTariff *tariff, int32_t low, int32_t high)
{
	double		limit = (double) tariff->limit_grams[high];
	double		cost = (double) tariff->cost[high];
	double		slope = 0;
	int32_t		k;

	for (k = low; k < high; k++)
		slope = Max(slope, (cost - (double) tariff->cost[k])
					/ (limit - (double) tariff->limit_grams[k]));
	for (k = low; k <= high; k++)
		if (slope * (double) tariff->limit_grams[k] > (double) tariff->cost[k])
			slope = (double) tariff->cost[k] / (double) tariff->limit_grams[k];
	return (int64_t) slope;
}

/* Replace tariffs by lines below them: a fixed part, and a part by weight. */
static void
scan_linearise(Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	int32_t		i;
	int32_t		l;

	for (i = 0; i < problem->location_count; i++)
	{
		const RouteTariff *tariff = location_tariff(problem, i);
		int64_t		least = INT64_MAX;
		int32_t		k;

		scan->slope[i] = 0;
		if (tariff == NULL)
			continue;
		scan->slope[i] = scan_slope(tariff, scan->step_low[i],
									scan->step_high[i]);
		for (k = scan->step_low[i]; k <= scan->step_high[i]; k++)
			least = Min(least, tariff->cost[k]
						- scan->slope[i] * tariff->limit_grams[k]);
		scan->package[i] += Max(least, 0);
	}
	for (l = 0; l < problem->line_count; l++)
	{
		Line	   *line = &scan->lines[l];
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
			line->entries[e].cost += line->weight
				* scan->slope[line->entries[e].location];
	}
}

/* The entry's cost without the part that stands for the tariff. */
static int64_t
entry_cost(const Scan *scan, const Line *line, const Entry *entry)
{
	return scan->stepped
		? entry->cost - line->weight * scan->slope[entry->location]
		: entry->cost;
}

/* Price of a package of this weight, which the caller knows to fit. */
static int64_t
package_price(const Scan *scan, int32_t location, int64_t weight)
{
	int64_t		price = scan->package[location];

	if (scan->stepped)
	{
		const RouteTariff *tariff = location_tariff(scan->problem, location);

		price = location_fixed(scan->problem, location);
		if (tariff != NULL)
			price += tariff->cost[tariff_step(tariff, weight)];
	}
	return price;
}

/* Where the line would be shipped to on its own, if in full. */
static void
line_cheapest(const Scan *scan, Line *line)
{
	int64_t		full = line->must ? INT64_MAX : line->penalty * line->demand;
	int32_t		e;

	line->full_location = -1;
	for (e = 0; e < line->entry_count; e++)
	{
		const Entry *entry = &line->entries[e];
		int64_t		alone;

		if (entry->room < line->demand)
			continue;
		alone = entry_cost(scan, line, entry) * line->demand
			+ package_price(scan, entry->location, line->weight * line->demand);
		if (alone < full ||
			(alone == full &&
			 rank_before(scan->problem, entry->location, line->full_location)))
		{
			full = alone;
			line->full_location = entry->location;
		}
	}
	line->full = full;
}

/*
 * An amount above the cost of every plan, so that "no plan yet" is just a
 * dear plan.
 */
static int64_t
scan_ceiling(const Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	int64_t		packages = problem->location_count;
	int64_t		package_max = 0;
	int64_t		tariff_max = 0;
	int64_t		units = 0;
	int64_t		sum = 1;
	int32_t		i;

	for (i = 0; i < problem->location_count; i++)
		package_max = Max(package_max, scan->package[i]);
	for (i = 0; i < problem->tariff_count; i++)
		tariff_max = Max(tariff_max, problem->tariffs[i].cost
						 [problem->tariffs[i].step_count - 1]);
	for (i = 0; i < problem->line_count; i++)
	{
		const Line *line = &scan->lines[i];
		int64_t		most = line->must ? 0 : line->penalty;
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
		{
			int64_t		cost = line->entries[e].cost;

			most = Max(most, cost < 0 ? -cost : cost);
		}
		units += line->demand;
		sum += most * line->demand;
	}
	packages = Min(packages, units);
	if (problem->packages_max > 0)
		packages = Min(packages, problem->packages_max);
	if (packages > 0 &&
		package_max + tariff_max > (SCALED_MAX - sum) / 2 / packages)
		return SCALED_MAX;
	return sum + packages * (package_max + tariff_max)
		+ (problem->late_table == NULL ? 0
		   : problem->late_table[problem->late_table_count - 1]);
}

/*
 * First prices: each location asks every unit it could serve for an equal
 * part of its package, and each line takes the cheapest offer.  No location
 * is then paid more than its package, so the prices are a bound.
 */
static void
scan_prices(Scan *scan)
{
	int32_t		m = scan->problem->location_count;
	int64_t    *part = scan->gain;
	int32_t		i;
	int32_t		l;

	for (i = 0; i < m; i++)
	{
		scan->slack[i] = scan->package[i];
		part[i] = scan->room[i] <= 1 ? scan->slack[i]
			: scan->slack[i] / scan->room[i];
	}
	scan->bound = 0;
	for (l = 0; l < scan->problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int64_t		price = line->must ? scan->ceiling / line->demand
			: line->penalty;
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
			price = Min(price, line->entries[e].cost
						+ part[line->entries[e].location]);
		for (e = 0; e < line->entry_count; e++)
		{
			const Entry *entry = &line->entries[e];
			int64_t		paid = price - entry->cost;

			scan->slack[entry->location] -= Max(paid, 0) * entry->room;
		}
		scan->price[l] = price;
		scan->bound += price * line->demand;
	}
}

/*
 * Drop the entries of locations that the prices exclude, and count again what
 * the others could serve.  Raising prices later adds at least as much to the
 * bound as it takes from any slack, so what is excluded now stays excluded.
 */
static void
scan_drop_entries(Scan *scan)
{
	int32_t		l;
	int32_t		e;

	for (l = 0; l < scan->problem->line_count; l++)
		for (e = 0; e < scan->lines[l].entry_count; e++)
			scan->room[scan->lines[l].entries[e].location] = 0;
	for (l = 0; l < scan->problem->line_count; l++)
	{
		Line	   *line = &scan->lines[l];
		Entry	   *kept = line->entries;

		for (e = 0; e < line->entry_count; e++)
		{
			Entry		entry = line->entries[e];

			if (scan->bound + scan->slack[entry.location] > scan->best)
				continue;
			scan->room[entry.location] += entry.room;
			*kept++ = entry;
		}
		line->entry_count = (int32_t) (kept - line->entries);
	}
}

/*
 * One more round of prices: each location offers its slack in equal parts to
 * what it could serve, and each line rises as far as all offers allow.
 */
static void
scan_raise_prices(Scan *scan)
{
	int64_t    *part = scan->gain;
	int32_t		l;
	int32_t		e;

	/* the entries left name few locations, so go by them */
	for (l = 0; l < scan->problem->line_count; l++)
		for (e = 0; e < scan->lines[l].entry_count; e++)
		{
			int32_t		i = scan->lines[l].entries[e].location;

			part[i] = scan->room[i] == 1 ? scan->slack[i]
				: scan->slack[i] / scan->room[i];
		}
	for (l = 0; l < scan->problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int64_t		old = scan->price[l];
		int64_t		price = line->must ? scan->ceiling / line->demand
			: line->penalty;

		for (e = 0; e < line->entry_count; e++)
		{
			const Entry *entry = &line->entries[e];

			price = Min(price, Max(old, entry->cost) + part[entry->location]);
		}
		if (price <= old)
			continue;
		for (e = 0; e < line->entry_count; e++)
		{
			const Entry *entry = &line->entries[e];
			int64_t		paid = price - Max(old, entry->cost);

			scan->slack[entry->location] -= Max(paid, 0) * entry->room;
		}
		scan->price[l] = price;
		scan->bound += (price - old) * line->demand;
	}
}

/* Raise prices as long as that still moves the bound. */
static void
scan_more_prices(Scan *scan)
{
	int32_t		round;

	for (round = 0; round < PRICE_ROUNDS && scan->bound < scan->best; round++)
	{
		int64_t		before = scan->bound;

		scan_drop_entries(scan);
		scan_raise_prices(scan);
		if (scan->bound - before < (scan->best - before) / 16)
			break;
	}
}

/* Price the plan in scan->plan with full lines; false when it is no plan. */
static bool
scan_price_plan(const Scan *scan, int64_t *load, int64_t *price)
{
	const RouteProblem *problem = scan->problem;
	int64_t		sum = 0;
	int32_t		days = 0;
	int32_t		packages = 0;
	int32_t		l;

	for (l = 0; l < problem->line_count; l++)
		if (scan->plan[l] >= 0)
			load[scan->plan[l]] = 0;
	for (l = 0; l < problem->line_count; l++)
		if (scan->plan[l] >= 0)
			load[scan->plan[l]] += scan->lines[l].weight * scan->lines[l].demand;
	for (l = 0; l < problem->line_count; l++)
	{
		int32_t		location = scan->plan[l];
		const RouteTariff *tariff;

		if (location < 0)
		{
			sum += scan->lines[l].penalty * scan->lines[l].demand;
			continue;
		}
		sum += problem->unit_cost[(size_t) l * problem->location_count
								  + location] * scan->lines[l].quantity;
		if (load[location] < 0)
			continue;
		tariff = location_tariff(problem, location);
		if (tariff != NULL && load[location] >
			tariff->limit_grams[tariff->step_count - 1])
			return false;
		sum += package_price(scan, location, load[location]);
		days = Max(days, location_days(problem, location));
		load[location] = -1;
		packages++;
	}
	if (packages > 0)
		sum += late_price(problem, days);
	*price = sum;
	return problem->packages_max == 0 || packages <= problem->packages_max;
}

/* The plan without any package; it alone pays no late_table. */
static void
scan_empty_plan(Scan *scan)
{
	int64_t		price;

	memset(scan->plan, 0xff, sizeof(int32_t) * (size_t) scan->problem->line_count);
	if (!scan->any_must && scan_price_plan(scan, scan->gain, &price) &&
		price < scan->best)
	{
		scan->best = price;
		scan->have_plan = true;
	}
}

/*
 * The location that saves most against what lines cost now, or -1.  now is
 * the cost of each line in full, INT64_MAX where there is no way yet.
 */
static int32_t
scan_most_saving(Scan *scan, const int64_t *now)
{
	int32_t		m = scan->problem->location_count;
	int64_t		least = 0;
	int32_t		opened = -1;
	int32_t		i;
	int32_t		l;

	memset(scan->gain, 0, sizeof(int64_t) * (size_t) m);
	for (l = 0; l < scan->problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
		{
			const Entry *entry = &line->entries[e];
			int64_t		saved = now[l] - entry->cost * line->demand;

			if (entry->room == line->demand)
				scan->gain[entry->location] += Max(saved, 0);
		}
	}
	for (i = 0; i < m; i++)
	{
		int64_t		added;

		if (scan->gain[i] == 0)
			continue;
		added = scan->package[i] - scan->gain[i];
		if (added < least ||
			(added == least && rank_before(scan->problem, i, opened)))
		{
			least = added;
			opened = i;
		}
	}
	return opened;
}

/* Send to the opened location every line that is cheaper there than now. */
static void
scan_assign(Scan *scan, int64_t *now, int32_t opened)
{
	int32_t		l;

	for (l = 0; l < scan->problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
		{
			const Entry *entry = &line->entries[e];

			if (entry->location != opened)
				continue;
			if (entry->room == line->demand &&
				entry->cost * line->demand < now[l])
			{
				now[l] = entry->cost * line->demand;
				scan->plan[l] = opened;
			}
			break;
		}
	}
}

/*
 * First plan: begin with each line shipped alone, then open locations while
 * that saves something.
 */
static void
scan_first_plan(Scan *scan, int64_t *now, int32_t *kept)
{
	int32_t		n = scan->problem->line_count;
	int32_t		round;
	int64_t		price;
	int32_t		l;

	scan_empty_plan(scan);
	memcpy(kept, scan->plan, sizeof(int32_t) * (size_t) n);
	for (l = 0; l < n; l++)
	{
		if (scan->lines[l].must && scan->lines[l].full_location < 0)
			return;
		scan->plan[l] = scan->lines[l].full_location;
		now[l] = scan->lines[l].full;
	}
	for (round = 0; round < FIRST_PLAN_ROUNDS && n > 1; round++)
	{
		int32_t		opened = scan_most_saving(scan, now);

		if (opened < 0)
			break;
		scan_assign(scan, now, opened);
	}
	if (scan_price_plan(scan, scan->gain, &price) && price < scan->best)
	{
		scan->best = price;
		scan->have_plan = true;
	}
	else
		memcpy(scan->plan, kept, sizeof(int32_t) * (size_t) n);
}

static RouteStatus
scan_problem(Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	Arena	   *arena = scan->arena;
	int32_t		n = problem->line_count;
	int32_t		m = problem->location_count;
	Entry	   *entries;
	int32_t		l;

	scan->lines = TAKE(arena, Line, n);
	scan->plan = TAKE(arena, int32_t, n);
	scan->price = TAKE(arena, int64_t, n);
	scan->room = TAKE_ZEROED(arena, int64_t, m);
	scan->slack = TAKE(arena, int64_t, m);
	scan->gain = TAKE(arena, int64_t, m);
	scan->package = TAKE(arena, int64_t, m);
	scan->stepped = problem->tariff_of != NULL && problem->tariff_count > 0;
	scan->slope = scan->stepped ? TAKE(arena, int64_t, m) : NULL;
	scan->step_low = scan->stepped ? TAKE(arena, int32_t, m) : NULL;
	scan->step_high = scan->stepped ? TAKE(arena, int32_t, m) : NULL;
	entries = TAKE(arena, Entry, (size_t) n * m + 1);
	if (arena->failed)
		return ROUTE_OUT_OF_MEMORY;
	scan->any_must = false;
	scan->have_plan = false;
	for (l = 0; l < n; l++)
	{
		Line	   *line = &scan->lines[l];
		int32_t		e;

		line_begin(scan, l);
		line->entries = entries;
		if (!scan_line(scan, l))
		{
			scan->bad_input = "stock or unit cost";
			return ROUTE_BAD_INPUT;
		}
		line_scale_entries(line);
		if (scan->stepped)
			line_fit_entries(problem, line);
		entries += line->entry_count;
		if (!line->whole && !scan->stepped)
			line_make_whole(line);
		for (e = 0; e < line->entry_count; e++)
			scan->room[line->entries[e].location] += line->entries[e].room;
	}
	scan_packages(scan);
	scan->ceiling = scan_ceiling(scan);
	if (scan->stepped)
	{
		scan_steps(scan, scan->slack, scan->gain);
		scan_linearise(scan);
	}
	if (scan->ceiling > SCALED_MAX / (4 * n + 8))
	{
		scan->bad_input = "sum of amounts";
		return ROUTE_BAD_INPUT;
	}
	return ROUTE_OPTIMAL;
}

/* List the locations that can be part of a plan as cheap as the first one. */
static bool
scan_survivors(Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	int64_t		most = scan->best - scan->bound;
	int32_t		count = 0;
	int32_t		i;

	scan->survivors = TAKE(scan->arena, int32_t, problem->location_count + 1);
	if (scan->survivors == NULL)
		return false;
	for (i = 0; i < problem->location_count; i++)
	{
		scan->survivors[count] = i;
		count += scan->room[i] > 0 && scan->slack[i] <= most;
	}
	scan->survivor_count = count;
	if (problem->late_table == NULL || problem->days_late == NULL)
		return true;
	for (i = 0, count = 0; i < scan->survivor_count; i++)
	{
		int32_t		location = scan->survivors[i];

		if (scan->slack[location] +
			late_price(problem, problem->days_late[location]) <= most)
			scan->survivors[count++] = location;
	}
	scan->survivor_count = count;
	return true;
}

static bool
scan_bounds(Scan *scan, const RouteControl *control)
{
	int32_t		n = scan->problem->line_count;
	int64_t    *now = TAKE(scan->arena, int64_t, n);
	int32_t    *kept = TAKE(scan->arena, int32_t, n);
	int32_t		l;

	if (scan->arena->failed)
		return false;
	for (l = 0; l < n; l++)
		line_cheapest(scan, &scan->lines[l]);
	scan->best = scan->ceiling;
	if (control->has_cost_below)
		scan->best = Min(scan->best, control->cost_below);
	scan_prices(scan);
	scan_first_plan(scan, now, kept);
	if (scan->problem->location_count >= PRICE_LOCATIONS)
		scan_more_prices(scan);
	return scan_survivors(scan);
}


/* ----------------------------------------------------------------
 *		From scan to work
 * ----------------------------------------------------------------
 */

/* Survivors in order of (rank, index), so the input's order is forgotten. */
static bool
work_locations(Work *w, const Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	int32_t		count = scan->survivor_count;
	Entry	   *order;
	int32_t		i;

	order = TAKE(w->arena, Entry, count);
	w->origin = TAKE(w->arena, int32_t, count);
	w->days = TAKE(w->arena, int32_t, count);
	w->tie = TAKE(w->arena, int64_t, count);
	if (w->arena->failed)
		return false;
	w->m = count;
	for (i = 0; i < count; i++)
	{
		int32_t		location = scan->survivors[i];

		order[i].cost = problem->rank == NULL ? 0 : problem->rank[location];
		order[i].location = location;
		order[i].room = 0;
	}
	entry_sort(order, w->m);
	for (i = 0; i < w->m; i++)
	{
		w->origin[i] = order[i].location;
		w->days[i] = location_days(problem, order[i].location);
		/* for now the place of the rank, equal for equal ranks */
		w->tie[i] = i == 0 ? 0
			: w->tie[i - 1] + (order[i].cost != order[i - 1].cost);
	}
	return true;
}

/*
 * Choose the scale so that ties of all survivors together stay below one unit
 * of cost, and no sum in the search can overflow.
 */
static void
work_scale(Work *w, const Scan *scan)
{
	int64_t		scale_max = SCALED_MAX / (4 * w->n + 8) / scan->ceiling;
	int64_t		package;
	int64_t		sum = 0;
	int32_t		i;

	package = 1 + (w->m == 0 ? 0 : w->m * w->tie[w->m - 1]);
	for (i = 0; i < w->m; i++)
		sum += package + w->tie[i];
	if (1 + w->m + sum <= scale_max)
	{
		w->tie_rule = ROUTE_TIE_PACKAGES_RANK;
		w->scale = 1 + w->m + sum;
		for (i = 0; i < w->m; i++)
			w->tie[i] += package;
	}
	else if (1 + 2 * (int64_t) w->m <= scale_max)
	{
		w->tie_rule = ROUTE_TIE_PACKAGES;
		w->scale = 1 + 2 * (int64_t) w->m;
		for (i = 0; i < w->m; i++)
			w->tie[i] = 1;
	}
	else
	{
		w->tie_rule = ROUTE_TIE_NONE;
		w->scale = 1;
		for (i = 0; i < w->m; i++)
			w->tie[i] = 0;
	}
	w->amount = scan->ceiling * w->scale;
}

/* Depth costs a slope per location there, so it is bounded by both. */
static int32_t
stepped_depth_max(int32_t m)
{
	return Max(DEPTH_MAX / 10, Min(DEPTH_MAX, SLOPES_MAX / Max(m, 1)));
}

static bool
work_allocate(Work *w)
{
	Arena	   *arena = w->arena;
	int32_t		n = w->n;
	int32_t		m = w->m;
	size_t		cells = (size_t) n * m;

	w->depth_max = w->stepped ? stepped_depth_max(m) : Min(DEPTH_MAX, m + 1);
	w->tariff = TAKE(arena, const RouteTariff *, m);
	w->fixed = TAKE(arena, int64_t, m);
	w->cost = TAKE(arena, int64_t, cells);
	w->room = TAKE_ZEROED(arena, int32_t, cells);
	w->cap = TAKE(arena, int64_t, n);
	w->slope = TAKE_ZEROED(arena, int64_t, m);
	w->linear_fixed = TAKE(arena, int64_t, m);
	w->rows = TAKE(arena, Entry *, n);
	w->row_count = TAKE(arena, int32_t, n);
	w->state = TAKE(arena, uint8_t, m);
	w->step_low = TAKE(arena, int32_t, m);
	w->step_high = TAKE(arena, int32_t, m);
	w->rest = TAKE(arena, int32_t, n);
	w->taken = w->stepped ? TAKE_ZEROED(arena, int32_t, cells) : NULL;
	w->taken_weight = TAKE_ZEROED(arena, int64_t, m);
	w->trail = TAKE(arena, Change, m + 4 * (size_t) w->depth_max);
	w->dual = TAKE(arena, int64_t, n);
	w->slack = TAKE(arena, int64_t, m);
	w->dual_kept = TAKE(arena, int64_t, n);
	w->slack_kept = TAKE(arena, int64_t, m);
	w->dual_stack = TAKE(arena, int64_t, (size_t) n * (w->depth_max + 1));
	w->slope_stack = TAKE(arena, int64_t, w->stepped
						  ? (size_t) m * (w->depth_max + 1) : 0);
	w->blocked = TAKE(arena, bool, n);
	w->in_set = TAKE(arena, bool, m);
	w->load = TAKE(arena, int64_t, m);
	w->stamp = TAKE_ZEROED(arena, int32_t, m);
	w->trial_used = TAKE(arena, int32_t, m);
	return !arena->failed;
}

/* The entries that survive, scaled; rows are filled per level. */
static bool
work_entries(Work *w, const Scan *scan)
{
	int32_t    *index = TAKE(w->arena, int32_t, scan->problem->location_count);
	size_t		cells = 0;
	int32_t		i;
	int32_t		l;

	if (index == NULL)
		return false;
	memset(index, 0xff, sizeof(int32_t) * (size_t) scan->problem->location_count);
	for (i = 0; i < w->m; i++)
		index[w->origin[i]] = i;
	for (l = 0; l < w->n; l++)
	{
		const Line *line = &scan->lines[l];
		size_t		row = (size_t) l * w->m;
		int32_t		count = 0;
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
		{
			i = index[line->entries[e].location];
			if (i < 0)
				continue;
			w->cost[row + i] = entry_cost(scan, line, &line->entries[e])
				* w->scale;
			w->room[row + i] = line->entries[e].room;
			count++;
		}
		w->rows[l] = TAKE(w->arena, Entry, count);
		cells += (size_t) count;
		w->demand_max = Max(w->demand_max, line->demand);
		w->all_whole = w->all_whole && line->demand == 1;
		w->cap[l] = line->must ? w->amount / line->demand + 1
			: line->penalty * w->scale;
		w->rest[l] = line->demand;
	}
	/* the search may name a cell twice: units fixed, and units added */
	if (w->stepped)
		cells *= 2;
	w->trial = TAKE(w->arena, RouteShare, cells);
	w->plan = TAKE(w->arena, RouteShare, cells);
	return !w->arena->failed;
}

/* Carry the scan's first plan over as the incumbent. */
static void
work_first_plan(Work *w, const Scan *scan)
{
	int32_t		days = 0;
	int32_t		l;
	int32_t		i;

	w->best = scan->best * w->scale;
	w->have_plan = scan->have_plan;
	w->plan_count = 0;
	if (!scan->have_plan)
		return;
	memset(w->in_set, 0, sizeof(bool) * (size_t) w->m);
	for (l = 0; l < w->n; l++)
	{
		if (scan->plan[l] < 0)
			continue;
		for (i = 0; w->origin[i] != scan->plan[l]; i++)
			;
		w->plan[w->plan_count].line = l;
		w->plan[w->plan_count].location = i;
		w->plan[w->plan_count].units = scan->lines[l].demand;
		w->plan_count++;
		if (!w->in_set[i])
			w->best += w->tie[i];
		w->in_set[i] = true;
		days = Max(days, w->days[i]);
	}
}

static bool
work_build(Work *w, const Scan *scan, const RouteControl *control)
{
	int32_t		i;

	memset(w, 0, sizeof(*w));
	w->problem = scan->problem;
	w->control = control;
	w->arena = scan->arena;
	w->lines = scan->lines;
	w->n = scan->problem->line_count;
	w->stepped = false;
	w->all_whole = true;
	w->nodes_max = control->nodes_max > 0 ? control->nodes_max
		: ROUTE_NODES_DEFAULT;
	w->open_bound = INT64_MAX;
	if (!work_locations(w, scan))
		return false;
	work_scale(w, scan);
	for (i = 0; scan->stepped && i < w->m; i++)
		if (location_tariff(w->problem, w->origin[i]) != NULL)
			w->stepped = true;
	if (!work_allocate(w))
		return false;
	for (i = 0; i < w->m; i++)
	{
		w->tariff[i] = location_tariff(w->problem, w->origin[i]);
		w->fixed[i] = location_fixed(w->problem, w->origin[i]) * w->scale
			+ w->tie[i];
		w->linear_fixed[i] = w->fixed[i];
		w->step_low[i] = scan->stepped ? scan->step_low[w->origin[i]] : 0;
		w->step_high[i] = scan->stepped ? scan->step_high[w->origin[i]] : 0;
	}
	if (!work_entries(w, scan))
		return false;
	work_first_plan(w, scan);
	return true;
}

/* Ask now and then whether to stop; true when the search must end. */
static bool
work_tick(Work *w, int64_t operations)
{
	w->work += operations;
	if (w->work >= STOP_WORK)
	{
		w->work = 0;
		if (w->control->should_stop != NULL &&
			w->control->should_stop(w->control->stop_context))
			w->stopped = true;
	}
	return w->stopped;
}


/* ----------------------------------------------------------------
 *		Step 2: linear form and dual ascent
 * ----------------------------------------------------------------
 */

static int64_t
option_fixed(const Work *w, int32_t i, int32_t step)
{
	return w->fixed[i] + w->tariff[i]->cost[step] * w->scale;
}

/* Fixed part of the line of this slope below the tariff's steps in play. */
static int64_t
line_below_tariff(const Work *w, int32_t i, int64_t slope)
{
	int64_t		least = INT64_MAX;
	int32_t		k;

	for (k = w->step_low[i]; k <= w->step_high[i]; k++)
		least = Min(least, option_fixed(w, i, k)
					- slope * w->tariff[i]->limit_grams[k]);
	return least;
}

/* Largest slope that cannot make any product overflow. */
static int64_t
slope_max(const Work *w, int32_t i)
{
	int64_t		limit = w->tariff[i]->limit_grams[w->tariff[i]->step_count - 1];

	return w->amount / Max(limit, 1);
}

/* First slope: support the tariff near the weight of all the location has. */
static void
slope_begin(Work *w, int32_t i)
{
	const RouteTariff *tariff = w->tariff[i];
	int64_t		least = slope_max(w, i);
	int64_t		best = INT64_MIN;
	int64_t		weight = 0;
	int64_t		chosen = 0;
	int32_t		k;
	int32_t		l;

	for (l = 0; l < w->n; l++)
		weight += w->lines[l].weight * w->room[(size_t) l * w->m + i];
	weight = Min(weight, tariff->limit_grams[w->step_high[i]]);
	/* keep the fixed part from falling below zero */
	for (k = w->step_low[i]; k <= w->step_high[i]; k++)
		if (tariff->limit_grams[k] > 0)
			least = Min(least, option_fixed(w, i, k) / tariff->limit_grams[k]);
	for (k = w->step_low[i]; k <= w->step_high[i] + 1; k++)
	{
		int64_t		slope = least;
		int64_t		value;

		if (k == w->step_low[i])
			slope = 0;
		else if (k <= w->step_high[i])
			slope = (tariff->cost[k] - tariff->cost[k - 1]) * w->scale /
				(tariff->limit_grams[k] - tariff->limit_grams[k - 1]);
		if (slope > least)
			continue;
		value = line_below_tariff(w, i, slope) + slope * weight;
		if (value > best)
		{
			best = value;
			chosen = slope;
		}
	}
	w->slope[i] = chosen;
}

/* Rows of the locations still in play, cheapest first. */
static void
rows_fill(Work *w)
{
	int32_t		l;

	for (l = 0; l < w->n; l++)
	{
		size_t		row = (size_t) l * w->m;
		Entry	   *next = w->rows[l];
		int32_t		i;

		for (i = 0; i < w->m; i++)
		{
			if (w->room[row + i] == 0 || w->state[i] == STATE_CLOSED)
				continue;
			next->cost = w->cost[row + i] + w->slope[i] * w->lines[l].weight;
			next->room = w->room[row + i];
			next->location = i;
			next++;
		}
		w->row_count[l] = (int32_t) (next - w->rows[l]);
		entry_sort(w->rows[l], w->row_count[l]);
	}
}

/* Bring the linear form up to date with slopes and steps. */
static void
linear_refresh(Work *w)
{
	int32_t		l;
	int32_t		i;

	for (i = 0; i < w->m; i++)
		if (w->tariff[i] != NULL && w->state[i] != STATE_CLOSED)
			w->linear_fixed[i] = line_below_tariff(w, i, w->slope[i]);
	for (l = 0; l < w->n; l++)
	{
		size_t		row = (size_t) l * w->m;
		int32_t		p;

		for (p = 0; p < w->row_count[l]; p++)
		{
			Entry	   *entry = &w->rows[l][p];

			entry->room = w->room[row + entry->location];
			entry->cost = w->cost[row + entry->location]
				+ w->slope[entry->location] * w->lines[l].weight;
		}
		entry_sort(w->rows[l], w->row_count[l]);
	}
}

/* Slack of each location: its package less what lines would pay for it. */
static void
slack_compute(Work *w)
{
	int32_t		l;
	int32_t		i;

	for (i = 0; i < w->m; i++)
		w->slack[i] = w->linear_fixed[i] + w->package_price;
	for (l = 0; l < w->n; l++)
	{
		const Entry *entry = w->rows[l];
		const Entry *end = entry + w->row_count[l];
		int64_t		dual = w->dual[l];

		for (; entry < end && entry->cost < dual; entry++)
			w->slack[entry->location] -= entry->room * (dual - entry->cost);
	}
}

/* The Lagrangian bound at the current prices; valid for any prices. */
static int64_t
bound_value(const Work *w)
{
	int64_t		sum = w->level_cost
		- w->package_price * w->problem->packages_max;
	int32_t		l;
	int32_t		i;

	for (l = 0; l < w->n; l++)
		sum += w->rest[l] * w->dual[l];
	for (i = 0; i < w->m; i++)
	{
		if (w->state[i] == STATE_OPEN)
			sum += w->slack[i];
		else if (w->state[i] == STATE_FREE && w->slack[i] < 0)
			sum += w->slack[i];
	}
	if (w->taken_count > 0)
		for (l = 0; l < w->n; l++)
			for (i = 0; i < w->m; i++)
			{
				size_t		cell = (size_t) l * w->m + i;

				if (w->taken[cell] > 0)
					sum += w->taken[cell] *
						(w->cost[cell] + w->slope[i] * w->lines[l].weight);
			}
	return sum;
}

/*
 * Raise one price to its next breakpoint: the next dearer place, or the first
 * location that becomes tight.  Returns false when raising would not help:
 * what tight and opened places give back is all the line still needs.
 */
static bool
price_raise(Work *w, int32_t l)
{
	Entry	   *row = w->rows[l];
	const Entry *end = row + w->row_count[l];
	Entry	   *entry;
	int64_t		dual = w->dual[l];
	int64_t		delta = w->cap[l] - dual;
	int64_t		gain = w->rest[l];
	int64_t		missing = w->best - w->bound;

	for (entry = row; entry < end; entry++)
	{
		int64_t		slack;

		if (w->state[entry->location] == STATE_CLOSED || entry->room == 0)
			continue;
		if (entry->cost > dual)
		{
			delta = Min(delta, entry->cost - dual);
			break;
		}
		slack = w->slack[entry->location];
		if (w->state[entry->location] == STATE_OPEN || slack < entry->room)
		{
			gain -= entry->room;
			if (gain <= 0)
				return false;
		}
		else
		{
			if (entry->room > 1)
				slack /= entry->room;
			delta = Min(delta, slack);
		}
	}
	if (delta <= 0 || gain <= 0)
		return false;
	if (missing > 0 && delta > (missing + gain - 1) / gain)
		delta = (missing + gain - 1) / gain;
	end = entry;
	for (entry = row; entry < end; entry++)
		if (w->state[entry->location] != STATE_CLOSED)
			w->slack[entry->location] -= entry->room * delta;
	w->dual[l] += delta;
	w->bound += gain * delta;
	return true;
}

/* Raise all prices in turn until none can move or the bound closes the gap. */
static void
ascend(Work *w, int32_t held)
{
	bool		progress = true;
	int64_t		steps = 0;
	int32_t		l;

	memset(w->blocked, 0, sizeof(bool) * (size_t) w->n);
	w->bound = bound_value(w);
	while (progress && w->bound < w->best)
	{
		progress = false;
		for (l = 0; l < w->n && w->bound < w->best; l++)
		{
			if (w->blocked[l] || l == held)
				continue;
			if (price_raise(w, l))
				progress = true;
			else
				w->blocked[l] = true;
			steps++;
		}
	}
	w->bound = bound_value(w);
	(void) work_tick(w, steps * 8 + w->n + w->m);
}

/* Lower one price to its next breakpoint below; false when there is none. */
static bool
price_lower(Work *w, int32_t l)
{
	Entry	   *row = w->rows[l];
	int64_t		dual = w->dual[l];
	int64_t		target = INT64_MIN;
	int32_t		p;

	for (p = 0; p < w->row_count[l] && row[p].cost < dual; p++)
		if (w->state[row[p].location] != STATE_CLOSED)
			target = row[p].cost;
	if (target == INT64_MIN)
		return false;
	for (p = 0; p < w->row_count[l] && row[p].cost < dual; p++)
		if (w->state[row[p].location] != STATE_CLOSED)
			w->slack[row[p].location] += row[p].room * (dual - target);
	w->dual[l] = target;
	return true;
}

/* Do tight and opened places give the line more than it needs? */
static bool
price_over_covered(const Work *w, int32_t l)
{
	const Entry *row = w->rows[l];
	int64_t		given = 0;
	int32_t		p;

	for (p = 0; p < w->row_count[l] && row[p].cost < w->dual[l]; p++)
		if (w->state[row[p].location] == STATE_OPEN ||
			(w->state[row[p].location] == STATE_FREE &&
			 w->slack[row[p].location] < row[p].room))
			given += row[p].room;
	return given > w->rest[l];
}

/*
 * Dual adjustment (Erlenkotter 1978, section 3): where one line pays for more
 * places than it needs, lower its price, let the others use the slack, and
 * keep the result when the bound has grown.
 */
static void
adjust(Work *w, int32_t rounds)
{
	size_t		dual_size = sizeof(int64_t) * (size_t) w->n;
	size_t		slack_size = sizeof(int64_t) * (size_t) w->m;
	bool		improved = true;
	int32_t		l;

	while (improved && rounds-- > 0)
	{
		improved = false;
		for (l = 0; l < w->n && w->bound < w->best && !w->stopped; l++)
		{
			int64_t		before = w->bound;

			if (!price_over_covered(w, l))
				continue;
			memcpy(w->dual_kept, w->dual, dual_size);
			memcpy(w->slack_kept, w->slack, slack_size);
			if (!price_lower(w, l))
				continue;
			ascend(w, l);
			ascend(w, -1);
			if (w->bound > before)
				improved = true;
			else
			{
				memcpy(w->dual, w->dual_kept, dual_size);
				memcpy(w->slack, w->slack_kept, slack_size);
				w->bound = before;
			}
		}
	}
}

/* Slack of a location with a tariff table when its line has this slope. */
static int64_t
slope_value(const Work *w, int32_t i, int64_t slope)
{
	int64_t		value = line_below_tariff(w, i, slope) + w->package_price;
	int32_t		l;

	for (l = 0; l < w->n; l++)
	{
		size_t		cell = (size_t) l * w->m + i;
		int64_t		profit = w->dual[l] - w->cost[cell]
			- slope * w->lines[l].weight;

		if (w->room[cell] > 0 && profit > 0)
			value -= w->room[cell] * profit;
	}
	return value + slope * w->taken_weight[i];
}

/* Choose the slope that leaves most slack at the current prices. */
static bool
slope_tune(Work *w, int32_t i)
{
	const RouteTariff *tariff = w->tariff[i];
	int64_t		best = slope_value(w, i, w->slope[i]);
	int64_t		chosen = w->slope[i];
	int64_t		most = slope_max(w, i);
	int32_t		candidates = w->n + tariff->step_count;
	int32_t		c;

	for (c = 0; c < candidates; c++)
	{
		int64_t		slope = 0;
		int64_t		value;

		if (c < w->n)
		{
			size_t		cell = (size_t) c * w->m + i;

			if (w->room[cell] == 0 || w->lines[c].weight == 0)
				continue;
			slope = (w->dual[c] - w->cost[cell]) / w->lines[c].weight;
		}
		else if (c > w->n)
			slope = (tariff->cost[c - w->n] - tariff->cost[c - w->n - 1])
				* w->scale / (tariff->limit_grams[c - w->n]
							  - tariff->limit_grams[c - w->n - 1]);
		if (slope < 0 || slope > most)
			continue;
		value = slope_value(w, i, slope);
		if (value > best)
		{
			best = value;
			chosen = slope;
		}
	}
	if (chosen == w->slope[i])
		return false;
	w->slope[i] = chosen;
	return true;
}

/* One round: better slopes where it matters, then prices again. */
static bool
slopes_improve(Work *w)
{
	bool		changed = false;
	int32_t		i;

	for (i = 0; i < w->m; i++)
		if (w->tariff[i] != NULL && w->state[i] != STATE_CLOSED &&
			(w->state[i] == STATE_OPEN || w->slack[i] < w->demand_max))
			changed |= slope_tune(w, i);
	if (!changed)
		return false;
	(void) work_tick(w, (int64_t) w->n * w->m);
	linear_refresh(w);
	slack_compute(w);
	ascend(w, -1);
	return true;
}


/* ----------------------------------------------------------------
 *		Plans
 * ----------------------------------------------------------------
 */

static void
trial_add(Work *w, int32_t l, int32_t i, int32_t units)
{
	RouteShare *share = &w->trial[w->trial_count++];

	share->line = l;
	share->location = i;
	share->units = units;
	if (w->stamp[i] != w->stamp_now)
	{
		w->stamp[i] = w->stamp_now;
		w->load[i] = 0;
		w->trial_used[w->trial_packages++] = i;
	}
	w->load[i] += w->lines[l].weight * units;
}

/* Units of the line that still fit a package from the location. */
static int32_t
trial_room(const Work *w, int32_t l, int32_t i, int32_t room)
{
	const RouteTariff *tariff = w->tariff[i];
	int64_t		load = w->stamp[i] == w->stamp_now ? w->load[i] : 0;
	int64_t		weight = w->lines[l].weight;
	int64_t		left;

	if (tariff == NULL || weight == 0)
		return room;
	left = tariff->limit_grams[tariff->step_count - 1] - load;
	return (int32_t) Min((int64_t) room, left / weight);
}

/* Scaled cost of the trial plan's packages and lateness. */
static int64_t
trial_packages_cost(const Work *w)
{
	int64_t		sum = 0;
	int32_t		days = 0;
	int32_t		k;

	for (k = 0; k < w->trial_packages; k++)
	{
		int32_t		i = w->trial_used[k];

		sum += w->fixed[i];
		if (w->tariff[i] != NULL)
			sum += w->tariff[i]->cost[tariff_step(w->tariff[i], w->load[i])]
				* w->scale;
		days = Max(days, w->days[i]);
	}
	if (w->trial_packages > 0)
		sum += late_price(w->problem, days) * w->scale;
	return sum;
}

/*
 * Make a plan from the locations in in_set: each line from its cheapest
 * places.  This is the best plan for the set when tariffs are linear.
 * Returns its scaled cost, or INT64_MAX when a hard rule is broken; the limit
 * on packages is left to the caller.
 */
static int64_t
trial_build(Work *w)
{
	int64_t		sum = 0;
	int32_t		l;
	int32_t		i;

	w->stamp_now++;
	w->trial_count = 0;
	w->trial_packages = 0;
	w->trial_missing = 0;
	if (w->taken_count > 0)
		for (l = 0; l < w->n; l++)
			for (i = 0; i < w->m; i++)
			{
				size_t		cell = (size_t) l * w->m + i;

				if (w->taken[cell] > 0)
				{
					trial_add(w, l, i, w->taken[cell]);
					sum += w->cost[cell] * w->taken[cell];
				}
			}
	for (l = 0; l < w->n; l++)
	{
		const Entry *entry = w->rows[l];
		const Entry *end = entry + w->row_count[l];
		int32_t		left = w->rest[l];

		for (; entry < end && left > 0; entry++)
		{
			int32_t		units;

			if (!w->in_set[entry->location])
				continue;
			units = Min(left, entry->room);
			if (w->stepped)
				units = trial_room(w, l, entry->location, units);
			if (units <= 0)
				continue;
			trial_add(w, l, entry->location, units);
			sum += w->cost[(size_t) l * w->m + entry->location] * units;
			left -= units;
		}
		if (w->lines[l].must)
			w->trial_missing += left;
		else
			sum += w->cap[l] * left;
	}
	return w->trial_missing > 0 ? INT64_MAX : sum + trial_packages_cost(w);
}

static bool
trial_too_many(const Work *w)
{
	return w->problem->packages_max > 0 &&
		w->trial_packages > w->problem->packages_max;
}

/*
 * Keep the trial plan when it beats the incumbent.  taken_count's shares and
 * later ones may name a cell twice; the final pricing merges them.
 */
static bool
trial_keep(Work *w, int64_t cost)
{
	if (cost >= w->best || trial_too_many(w))
		return false;
	w->best = cost;
	w->have_plan = true;
	w->plan_count = w->trial_count;
	memcpy(w->plan, w->trial, sizeof(RouteShare) * (size_t) w->trial_count);
	return true;
}

/*
 * Take the location out that costs least to lose, as long as that makes the
 * plan cheaper or it has too many packages.
 */
static void
plan_drop(Work *w, int64_t cost)
{
	bool		too_many = trial_too_many(w);

	for (;;)
	{
		int64_t		least = INT64_MAX;
		int32_t		chosen = -1;
		int32_t		i;

		for (i = 0; i < w->m; i++)
		{
			int64_t		without;

			if (!w->in_set[i] || w->state[i] == STATE_OPEN)
				continue;
			w->in_set[i] = false;
			without = trial_build(w);
			w->in_set[i] = true;
			if (without < least)
			{
				least = without;
				chosen = i;
			}
			if (work_tick(w, w->n * 8))
				return;
		}
		if (chosen < 0 || (least >= cost && !too_many))
			return;
		w->in_set[chosen] = false;
		cost = trial_build(w);
		too_many = trial_too_many(w);
		(void) trial_keep(w, cost);
	}
}

/* Add the cheapest place for each line that the set does not serve in full. */
static void
plan_complete(Work *w)
{
	int32_t		l;

	for (l = 0; l < w->n; l++)
	{
		int64_t		left = w->rest[l];
		int32_t		p;

		for (p = 0; p < w->row_count[l] && left > 0; p++)
			if (w->in_set[w->rows[l][p].location])
				left -= w->rows[l][p].room;
		while (left > 0)
		{
			int64_t		least = w->cap[l] * left;
			const Entry *chosen = NULL;

			for (p = 0; p < w->row_count[l]; p++)
			{
				const Entry *entry = &w->rows[l][p];
				int64_t		units = Min(left, entry->room);
				int64_t		price;

				if (w->in_set[entry->location] || entry->room == 0 ||
					w->state[entry->location] == STATE_CLOSED)
					continue;
				price = w->linear_fixed[entry->location] + entry->cost * units
					+ w->cap[l] * (left - units);
				if (price < least)
				{
					least = price;
					chosen = entry;
				}
			}
			if (chosen == NULL)
				break;
			w->in_set[chosen->location] = true;
			left -= chosen->room;
		}
	}
}

/* A plan from the places that the prices leave without slack. */
static void
plan_from_prices(Work *w, bool thorough)
{
	int64_t		cost;
	int32_t		i;

	for (i = 0; i < w->m; i++)
		w->in_set[i] = w->state[i] == STATE_OPEN ||
			(w->state[i] == STATE_FREE && w->slack[i] < w->demand_max);
	plan_complete(w);
	cost = trial_build(w);
	(void) trial_keep(w, cost);
	for (i = 0; i < w->m; i++)
		w->in_set[i] = w->stamp[i] == w->stamp_now ||
			w->state[i] == STATE_OPEN;
	if (thorough || !w->have_plan)
		plan_drop(w, cost);
}

/*
 * Put one location into the set, for drop or in addition to it (-1), so that
 * most units of must-serve lines are served.  False when none helps.
 */
static bool
cover_add(Work *w, int32_t drop, int64_t *missing)
{
	int32_t		chosen = -1;
	int32_t		i;

	if (drop >= 0)
		w->in_set[drop] = false;
	for (i = 0; i < w->m; i++)
	{
		if (w->in_set[i] || w->state[i] == STATE_CLOSED || i == drop)
			continue;
		w->in_set[i] = true;
		(void) trial_keep(w, trial_build(w));
		if (w->trial_missing < *missing)
		{
			*missing = w->trial_missing;
			chosen = i;
		}
		w->in_set[i] = false;
		if (work_tick(w, w->n * 8))
			break;
	}
	if (chosen >= 0)
		w->in_set[chosen] = true;
	else if (drop >= 0)
		w->in_set[drop] = true;
	return chosen >= 0;
}

/*
 * No plan yet, because lines must be served with few packages: look for a set
 * that serves them, by what is missing instead of by cost.
 */
static void
plan_cover_must(Work *w)
{
	int32_t		packages_max = w->problem->packages_max;
	int64_t		missing;
	int32_t		count = 0;
	bool		improved = true;
	int32_t		drop;

	memset(w->in_set, 0, sizeof(bool) * (size_t) w->m);
	(void) trial_build(w);
	missing = w->trial_missing;
	while (missing > 0 && (packages_max == 0 || count < packages_max) &&
		   cover_add(w, -1, &missing) && !w->stopped)
		count++;
	while (missing > 0 && improved && !w->stopped)
	{
		improved = false;
		for (drop = 0; drop < w->m && !improved && !w->stopped; drop++)
			if (w->in_set[drop])
				improved = cover_add(w, drop, &missing);
	}
}

/* Local search from the incumbent's locations: add one, or swap one. */
static void
plan_improve(Work *w)
{
	int32_t		trials = IMPROVE_TRIALS;
	bool		improved = true;

	while (improved && trials > 0 && w->bound < w->best)
	{
		int32_t		add;
		int32_t		s;

		improved = false;
		memset(w->in_set, 0, sizeof(bool) * (size_t) w->m);
		for (s = 0; s < w->plan_count; s++)
			w->in_set[w->plan[s].location] = true;
		for (add = 0; add < w->m && !improved; add++)
		{
			int32_t		drop;

			if (w->in_set[add] || w->state[add] != STATE_FREE ||
				w->bound + w->slack[add] >= w->best)
				continue;
			w->in_set[add] = true;
			improved = trial_keep(w, trial_build(w));
			for (drop = 0; drop < w->m && !improved && trials > 0; drop++)
			{
				if (drop == add || !w->in_set[drop])
					continue;
				w->in_set[drop] = false;
				improved = trial_keep(w, trial_build(w));
				w->in_set[drop] = true;
				trials--;
				if (work_tick(w, w->n * 8))
					return;
			}
			w->in_set[add] = false;
		}
	}
}


/* ----------------------------------------------------------------
 *		Step 3: packages inside the gap and an exact cover
 * ----------------------------------------------------------------
 */

/* One package with its reduced cost; location -1 leaves one line out. */
typedef struct Column
{
	uint64_t	lines;
	int64_t		reduced;
	int32_t		location;
	int32_t		first;			/* its first line in the cover's order */
} Column;

typedef struct Memo
{
	uint64_t	covered;
	int64_t		sum;
	int32_t		packages;
} Memo;

typedef struct Cover
{
	Work	   *w;
	int64_t		bound;			/* of the root: reduced costs add to it */
	Column	   *columns;
	int32_t		count;
	int32_t		capacity;
	int64_t		work;
	bool		failed;

	/* the location being listed: its lines, most profitable first */
	int32_t		location;
	int32_t		member_count;
	Entry		members[COLUMN_LINES_MAX];	/* cost is minus the profit */
	int64_t		behind[COLUMN_LINES_MAX + 1];	/* profit still to come */

	/* the cover */
	int32_t		begin[COLUMN_LINES_MAX + 1];	/* by first line */
	uint64_t	all;
	Memo	   *memo;
	int32_t		chosen[COLUMN_LINES_MAX];
	int32_t		bit_line[COLUMN_LINES_MAX];
} Cover;

static int32_t
lowest_bit(uint64_t set)
{
	return (int32_t) __builtin_ctzll(set);
}

static void
column_add(Cover *c, uint64_t lines, int64_t reduced, int32_t location)
{
	if (c->count >= c->capacity)
	{
		c->failed = true;
		return;
	}
	c->columns[c->count].lines = lines;
	c->columns[c->count].reduced = reduced;
	c->columns[c->count].location = location;
	c->count++;
}

/* Package cost at this weight, or INT64_MAX when it is too heavy. */
static int64_t
column_fixed(const Work *w, int32_t i, int64_t weight)
{
	int32_t		step;

	if (w->tariff[i] == NULL)
		return w->fixed[i] + w->package_price;
	step = tariff_step(w->tariff[i], weight);
	if (step == w->tariff[i]->step_count)
		return INT64_MAX;
	return option_fixed(w, i, step) + w->package_price;
}

/* All packages from members[from..] added to the given ones. */
static void
columns_extend(Cover *c, int32_t from, uint64_t lines, int64_t profit,
			   int64_t weight)
{
	Work	   *w = c->w;
	int64_t		gap = w->best - c->bound;
	int32_t		k;

	for (k = from; k < c->member_count && !c->failed; k++)
	{
		int32_t		l = c->members[k].location;
		int64_t		with = profit - c->members[k].cost;
		int64_t		heavier = weight + w->lines[l].weight;
		int64_t		fixed = column_fixed(w, c->location, heavier);

		if (++c->work > COLUMN_WORK_MAX)
			c->failed = true;
		if (fixed == INT64_MAX)
			continue;
		if (fixed - with - c->behind[k + 1] >= gap)
		{
			/* without a table, later members promise even less */
			if (w->tariff[c->location] == NULL)
				return;
			continue;
		}
		if (fixed - with < gap)
			column_add(c, lines | (uint64_t) 1 << l, fixed - with, c->location);
		columns_extend(c, k + 1, lines | (uint64_t) 1 << l, with, heavier);
	}
}

static void
columns_of_location(Cover *c, int32_t i)
{
	const Work *w = c->w;
	int32_t		k;
	int32_t		l;

	c->location = i;
	c->member_count = 0;
	for (l = 0; l < w->n; l++)
	{
		size_t		cell = (size_t) l * w->m + i;

		if (w->room[cell] == 0)
			continue;
		c->members[c->member_count].cost = w->cost[cell] - w->dual[l];
		c->members[c->member_count].location = l;
		c->member_count++;
	}
	entry_sort(c->members, c->member_count);
	c->behind[c->member_count] = 0;
	for (k = c->member_count - 1; k >= 0; k--)
		c->behind[k] = c->behind[k + 1] + Max(-c->members[k].cost, 0);
	columns_extend(c, 0, 0, 0, 0);
}

static bool
column_before(const Column *a, const Column *b)
{
	if (a->first != b->first)
		return a->first < b->first;
	if (a->reduced != b->reduced)
		return a->reduced < b->reduced;
	if (a->location != b->location)
		return a->location < b->location;
	return a->lines < b->lines;
}

static void
columns_sort(Column *columns, int32_t count)
{
	static const int32_t gaps[] = {12600, 5600, 2500, 1100, 510, 224, 98, 57,
	23, 10, 4, 1};
	size_t		g;

	for (g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++)
	{
		int32_t		i;

		for (i = gaps[g]; i < count; i++)
		{
			Column		moving = columns[i];
			int32_t		j = i;

			while (j >= gaps[g] && column_before(&moving, &columns[j - gaps[g]]))
			{
				columns[j] = columns[j - gaps[g]];
				j -= gaps[g];
			}
			columns[j] = moving;
		}
	}
}

/*
 * Number the lines so that those with few packages come first, and group the
 * packages by their first line.
 */
static void
columns_arrange(Cover *c)
{
	int32_t		n = c->w->n;
	Entry		order[COLUMN_LINES_MAX];
	int32_t		bit_of[COLUMN_LINES_MAX];
	int32_t		l;
	int32_t		k;

	for (l = 0; l < n; l++)
	{
		order[l].cost = 0;
		order[l].location = l;
	}
	for (k = 0; k < c->count; k++)
	{
		uint64_t	left = c->columns[k].lines;

		for (; left != 0; left &= left - 1)
			order[lowest_bit(left)].cost++;
	}
	entry_sort(order, n);
	for (l = 0; l < n; l++)
	{
		bit_of[order[l].location] = l;
		c->bit_line[l] = order[l].location;
	}
	for (k = 0; k < c->count; k++)
	{
		uint64_t	left = c->columns[k].lines;
		uint64_t	lines = 0;

		for (; left != 0; left &= left - 1)
			lines |= (uint64_t) 1 << bit_of[lowest_bit(left)];
		c->columns[k].lines = lines;
		c->columns[k].first = lowest_bit(lines);
	}
	columns_sort(c->columns, c->count);
	for (k = 0, l = 0; l <= n; l++)
	{
		while (k < c->count && c->columns[k].first < l)
			k++;
		c->begin[l] = k;
	}
}

/* List every package that an improving plan could contain. */
static bool
columns_list(Cover *c)
{
	const Work *w = c->w;
	int64_t		gap = w->best - c->bound;
	int32_t		i;
	int32_t		l;

	c->count = 0;
	c->work = 0;
	c->failed = false;
	for (i = 0; i < w->m && !c->failed; i++)
		if (w->state[i] != STATE_CLOSED)
			columns_of_location(c, i);
	for (l = 0; l < w->n && !c->failed; l++)
		if (!w->lines[l].must && w->cap[l] - w->dual[l] < gap)
			column_add(c, (uint64_t) 1 << l, w->cap[l] - w->dual[l], -1);
	return !c->failed;
}

/* The lines are covered: price the plan and keep it when it is better. */
static void
cover_keep(Cover *c, int32_t depth)
{
	Work	   *w = c->w;
	int64_t		sum = 0;
	int32_t		k;

	w->stamp_now++;
	w->trial_count = 0;
	w->trial_packages = 0;
	for (k = 0; k < depth; k++)
	{
		const Column *column = &c->columns[c->chosen[k]];
		uint64_t	left = column->lines;

		for (; left != 0; left &= left - 1)
		{
			int32_t		l = c->bit_line[lowest_bit(left)];

			if (column->location < 0)
				sum += w->cap[l];
			else
			{
				trial_add(w, l, column->location, 1);
				sum += w->cost[(size_t) l * w->m + column->location];
			}
		}
	}
	(void) trial_keep(w, sum + trial_packages_cost(w));
}

/*
 * Has this set of lines been reached at least as well before?  With tables a
 * location already used matters too, so only linear problems may ask.
 */
static bool
cover_seen(Cover *c, uint64_t covered, int64_t sum, int32_t packages)
{
	Memo	   *memo;

	if (c->memo == NULL)
		return false;
	memo = &c->memo[c->w->n <= MEMO_BITS ? covered
					: (covered * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - MEMO_BITS)];
	if (memo->covered == covered && memo->sum <= sum &&
		memo->packages <= packages)
		return true;
	memo->covered = covered;
	memo->sum = sum;
	memo->packages = packages;
	return false;
}

static bool
cover_uses(const Cover *c, int32_t depth, int32_t location)
{
	int32_t		k;

	for (k = 0; k < depth; k++)
		if (c->columns[c->chosen[k]].location == location)
			return true;
	return false;
}

static void
cover_search(Cover *c, uint64_t covered, int64_t sum, int32_t packages,
			 int32_t depth)
{
	Work	   *w = c->w;
	int32_t		first;
	int32_t		k;

	w->nodes++;
	if (work_tick(w, 64) || w->nodes > w->nodes_max)
	{
		w->stopped = true;
		return;
	}
	if (covered == c->all)
	{
		cover_keep(c, depth);
		return;
	}
	/* what the plan so far really costs: the price of packages is no cost */
	if (depth > 0 && cover_seen(c, covered,
								sum - w->package_price * packages, packages))
		return;
	first = lowest_bit(~covered);
	for (k = c->begin[first]; k < c->begin[first + 1] && !w->stopped; k++)
	{
		const Column *column = &c->columns[k];
		int32_t		used = packages + (column->location >= 0);

		if (c->bound + sum + column->reduced >= w->best)
			break;
		if ((column->lines & covered) != 0 ||
			(w->problem->packages_max > 0 && used > w->problem->packages_max))
			continue;
		if (w->stepped && column->location >= 0 &&
			cover_uses(c, depth, column->location))
			continue;
		c->chosen[depth] = k;
		cover_search(c, covered | column->lines, sum + column->reduced, used,
					 depth + 1);
	}
}

/*
 * Finish a level exactly from its root.  Returns false, with nothing changed
 * but time, when there are too many packages inside the gap.
 *
 * The cover prunes on reduced costs, so none may be negative; the ascent
 * leaves it that way for whole lines.
 */
static bool
solve_by_columns(Work *w, Cover *c)
{
	size_t		memo_size;
	int32_t		i;

	if (w->n > COLUMN_LINES_MAX)
		return false;
	for (i = 0; i < w->m; i++)
		if (w->state[i] != STATE_CLOSED && w->slack[i] < 0)
			return false;
	c->w = w;
	c->bound = w->bound;
	if (!columns_list(c))
	{
		if (c->capacity == COLUMNS_MAX || c->work > COLUMN_WORK_MAX)
			return false;
		c->columns = TAKE(w->arena, Column, COLUMNS_MAX);
		c->capacity = COLUMNS_MAX;
		if (w->arena->failed || !columns_list(c))
			return false;
	}
	(void) work_tick(w, c->work);
	columns_arrange(c);
	c->all = w->n == 64 ? ~(uint64_t) 0 : ((uint64_t) 1 << w->n) - 1;
	memo_size = sizeof(Memo) << Min(w->n, MEMO_BITS);
	if (c->memo != NULL)
		memset(c->memo, 0, memo_size);
	cover_search(c, 0, 0, 0, 0);
	if (w->stopped)
		w->open_bound = Min(w->open_bound, c->bound);
	return true;
}

static Cover *
cover_create(Work *w)
{
	Cover	   *c = TAKE(w->arena, Cover, 1);

	if (c == NULL)
		return NULL;
	c->columns = TAKE(w->arena, Column, COLUMNS_FEW);
	c->capacity = COLUMNS_FEW;
	c->memo = w->stepped ? NULL
		: TAKE(w->arena, Memo, (size_t) 1 << Min(w->n, MEMO_BITS));
	return w->arena->failed ? NULL : c;
}


/* ----------------------------------------------------------------
 *		Step 4: branch and bound
 * ----------------------------------------------------------------
 */

typedef enum BranchKind
{
	BRANCH_NONE,
	BRANCH_LOCATION,			/* open, or close */
	BRANCH_STEP,				/* at most value, or above */
	BRANCH_UNITS				/* at least value units more, or fewer */
} BranchKind;

typedef struct Branch
{
	BranchKind	kind;
	int32_t		location;
	int32_t		line;
	int32_t		value;
	bool		second_first;
} Branch;

static Change *
trail_push(Work *w, ChangeKind kind, int32_t location, int32_t old)
{
	Change	   *change = &w->trail[w->trail_count++];

	change->kind = kind;
	change->location = location;
	change->line = -1;
	change->old = old;
	change->taken = 0;
	return change;
}

static void
location_close(Work *w, int32_t i)
{
	(void) trail_push(w, CHANGE_STATE, i, w->state[i]);
	w->state[i] = STATE_CLOSED;
}

/*
 * Open a location.  A line that it can serve in full pays no more than its
 * price there; lowering it is free and gives slack to the others.
 */
static void
location_open(Work *w, int32_t i)
{
	int32_t		l;

	(void) trail_push(w, CHANGE_STATE, i, w->state[i]);
	w->state[i] = STATE_OPEN;
	w->open_count++;
	for (l = 0; l < w->n; l++)
	{
		size_t		cell = (size_t) l * w->m + i;
		int64_t		cost = w->cost[cell] + w->slope[i] * w->lines[l].weight;

		if (w->room[cell] > 0 && w->room[cell] >= w->rest[l])
			w->dual[l] = Min(w->dual[l], cost);
	}
	if (w->problem->packages_max > 0 &&
		w->open_count == w->problem->packages_max)
		for (i = 0; i < w->m; i++)
			if (w->state[i] == STATE_FREE)
				location_close(w, i);
}

static void
units_change(Work *w, int32_t l, int32_t i, int32_t take, int32_t room)
{
	size_t		cell = (size_t) l * w->m + i;
	Change	   *change = trail_push(w, CHANGE_UNITS, i, w->room[cell]);

	change->line = l;
	change->taken = take;
	w->room[cell] = room;
	w->taken[cell] += take;
	w->rest[l] -= take;
	w->taken_weight[i] += w->lines[l].weight * take;
	w->taken_count += take > 0;
}

static void
trail_undo(Work *w, int32_t mark)
{
	while (w->trail_count > mark)
	{
		Change	   *change = &w->trail[--w->trail_count];
		int32_t		i = change->location;
		size_t		cell;

		switch (change->kind)
		{
			case CHANGE_STATE:
				w->open_count -= w->state[i] == STATE_OPEN;
				w->state[i] = (uint8_t) change->old;
				break;
			case CHANGE_STEP_LOW:
				w->step_low[i] = change->old;
				break;
			case CHANGE_STEP_HIGH:
				w->step_high[i] = change->old;
				break;
			case CHANGE_UNITS:
				cell = (size_t) change->line * w->m + i;
				w->room[cell] = change->old;
				w->taken[cell] -= change->taken;
				w->rest[change->line] += change->taken;
				w->taken_weight[i] -= w->lines[change->line].weight
					* change->taken;
				w->taken_count -= change->taken > 0;
				break;
		}
	}
}

/* Carry out one side; false when that side holds no plan. */
static bool
branch_apply(Work *w, const Branch *branch, bool second)
{
	int32_t		i = branch->location;
	int32_t		room;

	switch (branch->kind)
	{
		case BRANCH_LOCATION:
			if (second)
				location_close(w, i);
			else
				location_open(w, i);
			break;
		case BRANCH_STEP:
			if (second)
			{
				(void) trail_push(w, CHANGE_STEP_LOW, i, w->step_low[i]);
				w->step_low[i] = branch->value + 1;
			}
			else
			{
				(void) trail_push(w, CHANGE_STEP_HIGH, i, w->step_high[i]);
				w->step_high[i] = branch->value;
			}
			break;
		case BRANCH_UNITS:
			room = w->room[(size_t) branch->line * w->m + i];
			if (second)
				units_change(w, branch->line, i, 0, branch->value - 1);
			else
				units_change(w, branch->line, i, branch->value,
							 room - branch->value);
			break;
		case BRANCH_NONE:
			break;
	}
	return w->tariff[i] == NULL || w->taken_weight[i] <=
		w->tariff[i]->limit_grams[w->step_high[i]];
}

/* The undecided place over which most prices are in conflict. */
static bool
branch_on_location(const Work *w, Branch *branch)
{
	int64_t		most = -1;
	int64_t		least = INT64_MAX;
	int32_t		nearest = -1;
	int32_t		i;
	int32_t		l;

	branch->location = -1;
	memset(w->load, 0, sizeof(int64_t) * (size_t) w->m);
	for (l = 0; l < w->n; l++)
	{
		const Entry *row = w->rows[l];
		int32_t		p;

		if (!price_over_covered(w, l))
			continue;
		for (p = 0; p < w->row_count[l] && row[p].cost < w->dual[l]; p++)
			w->load[row[p].location] += row[p].room
				* (w->dual[l] - row[p].cost);
	}
	for (i = 0; i < w->m; i++)
	{
		if (w->state[i] != STATE_FREE)
			continue;
		if (w->slack[i] < w->demand_max && w->load[i] > most)
		{
			most = w->load[i];
			branch->location = i;
		}
		if (w->slack[i] < least)
		{
			least = w->slack[i];
			nearest = i;
		}
	}
	if (branch->location < 0)
		branch->location = nearest;
	return branch->location >= 0;
}

/*
 * With all locations decided: the package whose price the line below its
 * tariff misses most.  The weight is that of the linear form's own plan,
 * which the caller has put into load.
 */
static bool
branch_on_step(const Work *w, Branch *branch)
{
	int64_t		most = -1;
	int32_t		i;

	branch->location = -1;
	for (i = 0; i < w->m; i++)
	{
		int32_t		step;
		int64_t		missed;

		if (w->state[i] != STATE_OPEN || w->tariff[i] == NULL ||
			w->step_low[i] >= w->step_high[i])
			continue;
		step = tariff_step(w->tariff[i], w->load[i]);
		step = Max(w->step_low[i], Min(step, w->step_high[i]));
		missed = option_fixed(w, i, step) - w->linear_fixed[i]
			- w->slope[i] * w->load[i];
		missed = Max(missed, 0);
		if (missed > most)
		{
			most = missed;
			branch->location = i;
			branch->second_first = step == w->step_high[i];
			branch->value = branch->second_first ? step - 1 : step;
		}
	}
	return branch->location >= 0;
}

/*
 * Last resort: fix units.  The share to split is the largest of those that
 * the linear form puts into an overweight package, or simply the largest.
 */
static bool
branch_on_units(const Work *w, Branch *branch)
{
	int64_t		most = -1;
	int32_t		l;

	branch->location = -1;
	for (l = 0; l < w->n; l++)
	{
		int32_t		left = w->rest[l];
		int32_t		p;

		for (p = 0; p < w->row_count[l]; p++)
		{
			const Entry *entry = &w->rows[l][p];
			int32_t		i = entry->location;
			int32_t		units = Min(left, entry->room);
			int64_t		weight;

			if (w->state[i] != STATE_OPEN || w->rest[l] == 0 ||
				entry->room == 0)
				continue;
			left -= units;
			weight = (w->lines[l].weight + 1) * units;
			if (w->tariff[i] != NULL && w->load[i] >
				w->tariff[i]->limit_grams[w->step_high[i]])
				weight += ROUTE_AMOUNT_MAX;
			if (weight > most)
			{
				most = weight;
				branch->line = l;
				branch->location = i;
				branch->value = Max(units, 1);
				branch->second_first = units == 0;
			}
		}
	}
	return branch->location >= 0;
}

/* Weight of each package when lines go to their cheapest opened places. */
static void
linear_load(const Work *w)
{
	int32_t		l;

	memcpy(w->load, w->taken_weight, sizeof(int64_t) * (size_t) w->m);
	for (l = 0; l < w->n; l++)
	{
		int32_t		left = w->rest[l];
		int32_t		p;

		for (p = 0; p < w->row_count[l] && left > 0; p++)
		{
			const Entry *entry = &w->rows[l][p];
			int32_t		units = Min(left, entry->room);

			if (w->state[entry->location] != STATE_OPEN ||
				entry->cost > w->cap[l])
				continue;
			w->load[entry->location] += w->lines[l].weight * units;
			left -= units;
		}
	}
}

static void
branch_choose(const Work *w, Branch *branch)
{
	branch->kind = BRANCH_NONE;
	branch->second_first = false;
	branch->line = -1;
	branch->value = 0;
	if (branch_on_location(w, branch))
		branch->kind = BRANCH_LOCATION;
	else if (w->stepped)
	{
		linear_load(w);
		if (branch_on_step(w, branch))
			branch->kind = BRANCH_STEP;
		else if (branch_on_units(w, branch))
			branch->kind = BRANCH_UNITS;
	}
}

/* Close the places whose packages are too dear by more than the gap. */
static int32_t
close_by_slack(Work *w)
{
	int32_t		closed = 0;
	int32_t		i;

	for (i = 0; i < w->m; i++)
		if (w->state[i] == STATE_FREE && w->slack[i] > 0 &&
			w->bound + w->slack[i] >= w->best)
		{
			location_close(w, i);
			closed++;
		}
	return closed;
}

/* Prices and bound of the current node. */
static void
node_bound(Work *w)
{
	int32_t		l;

	if (w->stepped)
		linear_refresh(w);
	slack_compute(w);
	w->bound = bound_value(w);
	for (l = 0; l < w->n; l++)
		while (price_over_covered(w, l) && w->n * w->m < 4096)
		{
			int64_t		before = w->bound;
			int64_t		old = w->dual[l];

			if (!price_lower(w, l))
				break;
			w->bound = bound_value(w);
			if (w->bound >= before)
				continue;
			w->dual[l] = old;
			slack_compute(w);
			w->bound = before;
			break;
		}
	ascend(w, -1);
	if (w->bound < w->best)
		adjust(w, 1);
	if (w->stepped && w->bound < w->best)
		(void) slopes_improve(w);
}

static void
explore(Work *w, int32_t depth, int64_t parent_bound)
{
	size_t		dual_size = sizeof(int64_t) * (size_t) w->n;
	size_t		slope_size = sizeof(int64_t) * (size_t) w->m;
	int64_t    *duals = w->dual_stack + (size_t) w->n * depth;
	int64_t    *slopes = w->slope_stack
		+ (w->stepped ? (size_t) w->m * depth : 0);
	Branch		branch;
	int64_t		bound;
	int32_t		mark;
	int32_t		side;

	w->nodes++;
	if (w->nodes > w->nodes_max)
		w->stopped = true;
	if (work_tick(w, 64) || depth >= w->depth_max)
	{
		w->open_bound = Min(w->open_bound, parent_bound);
		return;
	}
	/* w->bound stays that of the prices at hand, which slacks belong to */
	node_bound(w);
	bound = Max(w->bound, parent_bound);
	if (bound >= w->best)
		return;
	(void) close_by_slack(w);
	plan_from_prices(w, false);
	if (bound >= w->best)
		return;
	branch_choose(w, &branch);
	if (branch.kind == BRANCH_NONE)
		return;					/* everything decided: the plan was exact */
	memcpy(duals, w->dual, dual_size);
	if (w->stepped)
		memcpy(slopes, w->slope, slope_size);
	mark = w->trail_count;
	for (side = 0; side < 2; side++)
	{
		if (branch_apply(w, &branch, (side == 1) != branch.second_first))
			explore(w, depth + 1, bound);
		trail_undo(w, mark);
		memcpy(w->dual, duals, dual_size);
		if (w->stepped)
			memcpy(w->slope, slopes, slope_size);
		if (bound >= w->best)
			return;
		if (w->stopped)
		{
			w->open_bound = Min(w->open_bound, bound);
			return;
		}
	}
}


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
			slope_begin(w, i);
			w->linear_fixed[i] = line_below_tariff(w, i, w->slope[i]);
		}
	}
	rows_fill(w);
	for (l = 0; l < w->n; l++)
		w->dual[l] = w->row_count[l] == 0 ? w->cap[l]
			: Min(w->cap[l], w->rows[l][0].cost);
	slack_compute(w);
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
		slack_compute(w);
		ascend(w, -1);
		adjust(w, 1);
		if (w->bound > before)
			step *= 2;
		else
		{
			w->package_price = price;
			memcpy(w->dual, w->dual_stack, dual_size);
			slack_compute(w);
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

	ascend(w, -1);
	if (w->bound >= w->best)
		return;
	for (round = 0; w->stepped && round < 4; round++)
		if (w->bound >= w->best || !slopes_improve(w))
			break;
	plan_from_prices(w, true);
	if (w->bound < w->best)
		adjust(w, ADJUST_ROUNDS);
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
	plan_from_prices(w, true);
	if (!w->have_plan && !w->control->has_cost_below)
		plan_cover_must(w);
	if (w->have_plan)
		plan_improve(w);
	if (w->bound >= w->best)
		return;
	if (close_by_slack(w) > 0)
	{
		w->trail_count = 0;
		rows_fill(w);
	}
	if (w->stopped)
	{
		w->open_bound = Min(w->open_bound, w->bound);
		return;
	}
	if (w->all_whole && w->n <= COLUMN_LINES_USED)
	{
		if (*cover == NULL)
			*cover = cover_create(w);
		if (*cover == NULL || solve_by_columns(w, *cover))
			return;
	}
	explore(w, 0, w->bound);
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

static void
result_begin(RouteResult *result)
{
	memset(result, 0, sizeof(*result));
	result->reason_line = -1;
	result->lower_bound = INT64_MIN;
	result->gap = INT64_MAX;
	result->dual_bound = INT64_MIN;
	result->tie_rule = ROUTE_TIE_NONE;
}

static RouteStatus
result_end(RouteResult *result, const Arena *arena, RouteStatus status)
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
	result->terms.lateness += package->late_cost;
	result->days_late = Max(result->days_late,
							location_days(problem, package->location));
}

/*
 * Price a list of shares into the result.  The arena must not fail; the
 * caller checks it.
 */
static void
result_price(const RouteProblem *problem, Arena *arena, RouteShare *shares,
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
		+ result->terms.unit + result->terms.penalty + result->terms.lateness;
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
 *		The bound that follows from a certificate
 *
 * This reads the problem as it was given, all locations included, and knows
 * nothing of scan, work or search.
 * ----------------------------------------------------------------
 */

/* What one line can pay a location: this much per piece, so many pieces. */
typedef struct Item
{
	int64_t		profit;
	int64_t		weight;
	int64_t		pieces;
} Item;

typedef struct Certificate
{
	const RouteProblem *problem;
	const RouteResult *result;
	const int64_t *duals;		/* of one level, in 1/scale */
	int64_t		scale;
	Item	   *items;
	int64_t    *slack;			/* by location */
	bool	   *excluded;		/* by location: no part of a plan this cheap */
	Entry	   *order;
	int32_t		step_low;		/* steps that the location can reach */
	int32_t		step_high;
	bool		pack;			/* few whole lines: pack exactly */
	bool		every_plan;		/* also plans that waste money on a line */
} Certificate;

/* Units of the line that one package from the location can take. */
static int64_t
certificate_units(const RouteProblem *problem, int32_t l, int32_t i)
{
	const RouteTariff *tariff = location_tariff(problem, i);
	int64_t		weight = line_weight(problem, l);
	int64_t		units = problem->stock[(size_t) l * problem->location_count
									   + i];

	units = Min(units, (int64_t) problem->quantity[l]);
	if (tariff != NULL && weight > 0)
		units = Min(units, tariff->limit_grams[tariff->step_count - 1]
					/ weight);
	return line_whole(problem, l) && units < problem->quantity[l] ? 0 : units;
}

/* The line's item at the location; false when it pays nothing there. */
static bool
certificate_item(const Certificate *c, int32_t l, int32_t i, Item *item)
{
	const RouteProblem *problem = c->problem;
	size_t		cell = (size_t) l * problem->location_count + i;
	int64_t		quantity = problem->quantity[l];
	int64_t		units = certificate_units(problem, l, i);
	int64_t		weight = line_weight(problem, l);

	if (units <= 0)
		return false;
	if (c->result->dual_whole[l])
	{
		item->profit = c->duals[l]
			- problem->unit_cost[cell] * quantity * c->scale;
		item->weight = weight * quantity;
		item->pieces = 1;
	}
	else
	{
		item->profit = c->duals[l]
			- problem->unit_cost[cell] * c->scale;
		item->weight = weight;
		item->pieces = units;
	}
	return item->profit > 0;
}

/*
 * Can a plan worth having serve the line there?  Not when that is dearer than
 * leaving it out.
 */
static bool
certificate_worth(const Certificate *c, int32_t l, int32_t i)
{
	const RouteProblem *problem = c->problem;
	size_t		cell = (size_t) l * problem->location_count + i;

	return problem->stock[cell] > 0 &&
		(line_must(problem, l) || c->every_plan ||
		 problem->unit_cost[cell] <= line_penalty(problem, l)) &&
		certificate_units(problem, l, i) > 0;
}

/*
 * Would any plan worth having use the location?  If so, find the steps that
 * its packages can reach: from the lightest piece to everything together.
 */
static bool
certificate_useful(Certificate *c, int32_t i)
{
	const RouteProblem *problem = c->problem;
	const RouteTariff *tariff = location_tariff(problem, i);
	int64_t		lightest = INT64_MAX;
	int64_t		heaviest = 0;
	int32_t		l;

	for (l = 0; l < problem->line_count; l++)
	{
		int64_t		weight = line_weight(problem, l);

		if (!certificate_worth(c, l, i))
			continue;
		heaviest += weight * certificate_units(problem, l, i);
		if (line_whole(problem, l))
			weight *= problem->quantity[l];
		if (weight < lightest)
			lightest = weight;
	}
	if (lightest == INT64_MAX)
		return false;
	if (tariff == NULL)
		return true;
	for (c->step_low = 0; tariff->limit_grams[c->step_low] < lightest;)
		c->step_low++;
	for (c->step_high = c->step_low; c->step_high < tariff->step_count - 1 &&
		 tariff->limit_grams[c->step_high] < heaviest;)
		c->step_high++;
	return true;
}

/* Least of package cost minus profits over all sets of items, exactly. */
static int64_t
certificate_pack(const Certificate *c, const RouteTariff *tariff, int32_t count)
{
	int64_t		least = INT64_MAX;
	uint32_t	set;

	for (set = 0; set < (uint32_t) 1 << count; set++)
	{
		int64_t		weight = 0;
		int64_t		profit = 0;
		int32_t		step;
		int32_t		k;

		for (k = 0; k < count; k++)
			if (set & ((uint32_t) 1 << k))
			{
				weight += c->items[k].weight;
				profit += c->items[k].profit;
			}
		step = Max(tariff_step(tariff, weight), c->step_low);
		if (step < tariff->step_count)
			least = Min(least, tariff->cost[step] * c->scale
						- profit);
	}
	return least;
}

/* The same bound with a price per gram instead of the steps. */
static int64_t
certificate_at_slope(const Certificate *c, const RouteTariff *tariff,
					 int32_t count, int64_t slope)
{
	int64_t		least = INT64_MAX;
	int32_t		k;

	for (k = c->step_low; k <= c->step_high; k++)
		least = Min(least, tariff->cost[k] * c->scale
					- slope * tariff->limit_grams[k]);
	for (k = 0; k < count; k++)
	{
		int64_t		left = c->items[k].profit - slope * c->items[k].weight;

		if (left > 0)
			least -= left * c->items[k].pieces;
	}
	return least;
}

/* Its maximum over slopes: the function is concave, so search by halves. */
static int64_t
certificate_slope(const Certificate *c, const RouteTariff *tariff,
				  int32_t count)
{
	int64_t		limit = tariff->limit_grams[tariff->step_count - 1];
	int64_t		low = 0;
	int64_t		high = SCALED_MAX / 4 / Max(limit, 1);

	while (low < high)
	{
		int64_t		middle = low + (high - low) / 2;

		if (certificate_at_slope(c, tariff, count, middle + 1) >
			certificate_at_slope(c, tariff, count, middle))
			low = middle + 1;
		else
			high = middle;
	}
	return certificate_at_slope(c, tariff, count, low);
}

static void
certificate_slack(Certificate *c)
{
	const RouteProblem *problem = c->problem;
	int32_t		i;

	for (i = 0; i < problem->location_count; i++)
	{
		const RouteTariff *tariff = location_tariff(problem, i);
		int64_t		slack = location_fixed(problem, i)
			* c->scale;
		int32_t		count = 0;
		int32_t		l;

		if (c->excluded[i] || !certificate_useful(c, i))
		{
			c->excluded[i] = true;
			continue;
		}
		for (l = 0; l < problem->line_count; l++)
		{
			Item	   *item = &c->items[count];

			if (!certificate_item(c, l, i, item))
				continue;
			if (tariff == NULL)
				slack -= item->profit * item->pieces;
			else
				count++;
		}
		if (tariff != NULL)
			slack += c->pack && count <= ROUTE_VERIFY_PACK_LINES
				? certificate_pack(c, tariff, count)
				: certificate_slope(c, tariff, count);
		c->slack[i] = slack;
	}
}

/*
 * Bound for plans whose latest location is exactly days late, from the slack
 * of the locations: every unit pays its price, each location at most gives
 * its negative slack back, at most packages_max of them do, and one location
 * of these days is used.  INT64_MAX when no location has these days.
 */
static int64_t
certificate_days(Certificate *c, int32_t days)
{
	const RouteProblem *problem = c->problem;
	int64_t		sum = late_price(problem, days) * c->scale;
	int64_t		forced = INT64_MAX;
	int32_t		count = 0;
	int32_t		i;

	for (i = 0; i < problem->location_count; i++)
	{
		if (c->excluded[i] || location_days(problem, i) > days)
			continue;
		if (location_days(problem, i) == days)
			forced = Min(forced, Max(c->slack[i], 0));
		if (c->slack[i] >= 0)
			continue;
		c->order[count].cost = c->slack[i];
		c->order[count].location = i;
		count++;
	}
	if (forced == INT64_MAX)
		return INT64_MAX;
	if (problem->packages_max > 0 && count > problem->packages_max)
	{
		entry_sort(c->order, count);
		count = problem->packages_max;
	}
	for (i = 0; i < count; i++)
		sum += c->order[i].cost;
	for (i = 0; i < problem->line_count; i++)
		sum += c->duals[i] * (c->result->dual_whole[i] ? 1
							  : problem->quantity[i]);
	return sum + forced;
}

/* Prices above the penalty would not be a bound; below zero is harmless. */
static bool
certificate_prices_valid(const Certificate *c)
{
	int32_t		l;

	for (l = 0; l < c->problem->line_count; l++)
		if (!line_must(c->problem, l) && c->duals[l] >
			line_penalty(c->problem, l) * c->scale *
			(c->result->dual_whole[l] ? c->problem->quantity[l] : 1))
			return false;
	return true;
}

/* Cost of leaving everything out, or INT64_MAX where that is not allowed. */
static int64_t
empty_plan_cost(const RouteProblem *problem)
{
	int64_t		sum = 0;
	int32_t		l;

	for (l = 0; l < problem->line_count; l++)
	{
		if (line_must(problem, l))
			return INT64_MAX;
		sum += line_penalty(problem, l) * problem->quantity[l];
	}
	return sum;
}

static bool
certificate_begin(Certificate *c, const RouteProblem *problem, Arena *arena,
				  const RouteResult *result)
{
	int32_t		l;

	c->problem = problem;
	c->result = result;
	c->items = TAKE(arena, Item, problem->line_count);
	c->slack = TAKE(arena, int64_t, problem->location_count);
	c->excluded = TAKE_ZEROED(arena, bool, problem->location_count);
	c->order = TAKE(arena, Entry, problem->location_count);
	c->pack = true;
	c->every_plan = false;
	for (l = 0; l < problem->line_count; l++)
		if (!result->dual_whole[l])
			c->pack = false;
	return !arena->failed;
}

/*
 * Exclude the locations which the first prices show to be in no plan as
 * cheap as the result.
 */
static void
certificate_exclude(Certificate *c)
{
	const RouteProblem *problem = c->problem;
	int64_t		bound = 0;
	int32_t		i;

	c->duals = c->result->first_prices;
	c->scale = 1;
	if (!certificate_prices_valid(c))
		return;
	certificate_slack(c);
	for (i = 0; i < problem->line_count; i++)
		bound += c->duals[i] * (c->result->dual_whole[i] ? 1
								: problem->quantity[i]);
	for (i = 0; i < problem->location_count; i++)
		if (!c->excluded[i])
			bound += Min(c->slack[i], 0);
	for (i = 0; i < problem->location_count; i++)
		c->excluded[i] |= bound + Max(c->slack[i], 0)
			+ late_price(problem, location_days(problem, i))
			> c->result->cost;
}

/*
 * The certificate's bound: every plan costs at least this, or more than the
 * result does.  Each number of days late is bounded with the prices of the
 * first level that includes it, or of the last.  INT64_MIN when the
 * certificate is not valid.
 */
static int64_t
certificate_bound(const RouteProblem *problem, Arena *arena,
				  const RouteResult *result)
{
	Certificate c;
	int64_t		bound = Min(empty_plan_cost(problem), result->cost);
	int32_t		days = 0;
	int32_t		last = 0;
	int32_t		level;
	int32_t		i;

	if (result->level_count < 1 || result->dual_scale < 1 ||
		!certificate_begin(&c, problem, arena, result))
		return INT64_MIN;
	certificate_exclude(&c);
	c.scale = result->dual_scale;
	for (i = 0; i < problem->location_count; i++)
		last = Max(last, location_days(problem, i));
	for (level = 0; level < result->level_count; level++)
	{
		int32_t		until = level == result->level_count - 1 ? last
			: Min(result->level_days[level], last);

		c.duals = result->duals + (size_t) level * problem->line_count;
		if (!certificate_prices_valid(&c))
			return INT64_MIN;
		certificate_slack(&c);
		for (; days <= until; days++)
		{
			int64_t		here = certificate_days(&c, days);

			if (here != INT64_MAX)
				bound = Min(bound, -floor_div(-here, c.scale));
		}
	}
	return bound;
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
	result_price(w->problem, w->arena, shares, w->plan_count, result);
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
	result_price(problem, arena, shares, count, result);
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
	scan.bad_input = check_problem(problem);
	status = scan.bad_input != NULL ? ROUTE_BAD_INPUT : scan_problem(&scan);
	if (status != ROUTE_OPTIMAL)
	{
		result->bad_input = scan.bad_input;
		return status;
	}
	if (scan.any_must && find_line_reason(&scan, result))
		return ROUTE_INFEASIBLE;
	if (!scan_bounds(&scan, control))
		return ROUTE_OUT_OF_MEMORY;
	if (scan_decides(&scan, &duals))
		return scan_finish(&scan, duals, result);
	if (!work_build(&w, &scan, control))
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
	result_begin(result);
	return result_end(result, &arena,
					  solve_in_arena(problem, control, &arena, result));
}


/* ----------------------------------------------------------------
 *		Solving changed copies of a problem
 *
 * The runner-up and the lexicographic ranking solve a series of problems.
 * Each solve works in one sandbox, which is used again by the next.
 * ----------------------------------------------------------------
 */
typedef struct Sandbox
{
	const RouteProblem *original;
	Arena	   *arena;
	RouteControl control;		/* for the inner solves */
	bool		has_cost_below; /* what the caller asked for */
	int64_t		cost_below;
	char	   *memory;
	size_t		size;
	size_t		used;

	/* the copy, with room for one more line */
	RouteProblem problem;
	int32_t    *quantity;
	int64_t    *penalty;
	bool	   *must_serve;
	bool	   *whole;
	int64_t    *weight;
	int32_t    *stock;
	int64_t    *unit_cost;

	/* the best plan so far */
	RouteShare *shares;
	int32_t		share_count;
	bool		found;
	int64_t		cost;

	/* about all solves together */
	RouteStatus fault;			/* ROUTE_OPTIMAL while there is none */
	const char *bad_input;
	RouteReason reason;			/* of the last problem without a plan */
	int32_t		reason_line;
	bool		proven;
	int64_t		lower_bound;
	int64_t		nodes;
	int64_t		nodes_max;
} Sandbox;

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

static bool
sandbox_create(Sandbox *box, const RouteProblem *problem,
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
static void
sandbox_restore(Sandbox *box)
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
}

/*
 * Solve the copy, only for plans cheaper than the best so far when better is
 * set.  A plan found is kept; shares of the extra line count for alias.
 */
static bool
sandbox_solve(Sandbox *box, bool better, int32_t alias)
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
static RouteStatus
sandbox_finish(Sandbox *box, RouteProof proof, RouteResult *result)
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
	result_price(box->original, box->arena, box->shares, box->share_count,
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
	if (!certificate_begin(&c, problem, rival->box.arena, winner))
		return false;
	c.every_plan = true;
	for (round = 0; round < 2; round++)
	{
		int64_t		sum = 0;

		c.duals = round == 0 ? winner->first_prices : winner->duals;
		c.scale = round == 0 ? 1 : winner->dual_scale;
		certificate_slack(&c);
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

	sandbox_restore(box);
	for (l = 0; l < box->original->line_count; l++)
		for (i = 0; i < m; i++)
			if (!rival->inside[i] || i == location)
				box->stock[(size_t) l * m + i] = 0;
	(void) sandbox_solve(box, true, -1);
}

/* Keep lines before first inside; hopeless places are out for all. */
static void
rival_begin_line(Rival *rival, int32_t first)
{
	Sandbox    *box = &rival->box;
	int32_t		m = box->original->location_count;
	int32_t		l;
	int32_t		i;

	sandbox_restore(box);
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
	(void) sandbox_solve(box, true, -1);
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
	(void) sandbox_solve(box, true, line);
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
	status = sandbox_finish(box, ROUTE_PROOF_ENUMERATION, result);
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
	result_begin(result);
	result->bad_input = check_problem(problem);
	if (result->bad_input != NULL)
		return result_end(result, &arena, ROUTE_BAD_INPUT);
	rival.inside = TAKE_ZEROED(&arena, bool, problem->location_count);
	rival.at_least = TAKE(&arena, int64_t, problem->location_count);
	if (arena.failed ||
		!sandbox_create(&rival.box, problem, control, &arena) ||
		!rival_bounds(&rival, winner))
		return result_end(result, &arena, ROUTE_OUT_OF_MEMORY);
	for (i = 0; i < winner->package_count; i++)
		rival.inside[winner->packages[i].location] = true;
	return result_end(result, &arena, rival_search(&rival, winner, result));
}


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

/* How far the term can differ between two plans. */
static int64_t
ranking_range(Ranking *r, RouteTermKind kind)
{
	const RouteProblem *problem = r->box.original;
	int64_t		units = 0;
	int64_t		cost = 0;
	int64_t		place_max = 0;
	int64_t		places = problem->location_count;
	int32_t		i;
	int32_t		l;

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
		units += line_whole(problem, l) ? 1 : problem->quantity[l];
	}
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
		int64_t		range = ranking_range(r, r->active[k].kind)
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
	sandbox_restore(&r->box);
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
	found = sandbox_solve(&r->box, false, -1);
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
			if (terms[j].kind == terms[k].kind)
				return false;
		if (terms[k].kind == ROUTE_TERM_DISTANCE && distance == NULL)
			return false;
	}
	for (k = 0; distance != NULL && k < locations; k++)
		if (!amount_ok(distance[k]))
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
	if (!sandbox_create(&r->box, problem, control, arena))
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
	RouteTerm	last = {ROUTE_TERM_COST, 0};
	bool		has_cost = false;
	int32_t		k;

	for (k = 0; k < term_count; k++)
	{
		has_cost |= terms[k].kind == ROUTE_TERM_COST;
		if (terms[k].tolerance == 0 || k == term_count - 1)
		{
			RouteTerm	exact = {terms[k].kind, 0};

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
			return sandbox_finish(&r->box, ROUTE_PROOF_LEXICOGRAPHIC, result);
	}
	if (k == term_count)
	{
		if (!has_cost)
			ranking_push(r, last);
		(void) ranking_solve(r);
	}
	return sandbox_finish(&r->box, ROUTE_PROOF_LEXICOGRAPHIC, result);
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
	result_begin(result);
	result->bad_input = check_problem(problem);
	if (result->bad_input == NULL &&
		!ranking_terms_valid(terms, term_count, distance,
							 problem->location_count))
		result->bad_input = "terms";
	if (result->bad_input != NULL)
		return result_end(result, &arena, ROUTE_BAD_INPUT);
	if (!ranking_create(&ranking, problem, control, distance, &arena))
		return result_end(result, &arena, ROUTE_OUT_OF_MEMORY);
	return result_end(result, &arena,
					  ranking_run(&ranking, terms, term_count, result));
}


/* ----------------------------------------------------------------
 *		route_policy
 * ----------------------------------------------------------------
 */

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
			if (units <= 0)
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

static const char *
check_stock(const RouteProblem *problem)
{
	int32_t		l;
	int32_t		i;

	for (l = 0; l < problem->line_count; l++)
		for (i = 0; i < problem->location_count; i++)
		{
			size_t		cell = (size_t) l * problem->location_count + i;
			int64_t		most = ROUTE_AMOUNT_MAX / problem->quantity[l];

			if (problem->stock[cell] < 0 ||
				(problem->stock[cell] > 0 &&
				 (problem->unit_cost[cell] > most ||
				  problem->unit_cost[cell] < -most)))
				return "stock or unit cost";
		}
	return NULL;
}

RouteStatus
route_policy(const RouteProblem *problem, const RouteControl *control,
			 RoutePolicy policy, const int64_t *distance, RouteResult *result)
{
	static const RouteTerm fewest[] = {{ROUTE_TERM_UNASSIGNED, 0},
	{ROUTE_TERM_PACKAGES, 0}, {ROUTE_TERM_COST, 0}};
	bool		complete = policy == ROUTE_POLICY_NEAREST_COMPLETE;
	Arena		arena;
	Entry	   *order;
	RouteShare *shares;
	int32_t    *left;
	int32_t		count;

	arena_begin(&arena, control);
	result_begin(result);
	result->bad_input = check_problem(problem);
	if (result->bad_input == NULL)
		result->bad_input = check_stock(problem);
	if (result->bad_input == NULL && distance == NULL &&
		(complete || policy == ROUTE_POLICY_NEAREST))
		result->bad_input = "distance";
	if (result->bad_input != NULL)
		return result_end(result, &arena, ROUTE_BAD_INPUT);
	if (policy == ROUTE_POLICY_FEWEST_SPLITS)
		return route_solve_lexicographic(problem, control, fewest, 3, NULL,
										 result);
	order = policy_order(problem, &arena,
						 policy == ROUTE_POLICY_PRIORITY ? NULL : distance);
	left = TAKE(&arena, int32_t, problem->line_count);
	shares = TAKE(&arena, RouteShare,
				  (size_t) problem->line_count * problem->location_count);
	if (arena.failed)
		return result_end(result, &arena, ROUTE_OUT_OF_MEMORY);
	count = policy_plan(problem, order, left, shares, complete);
	if (count < 0 && complete)
		return route_solve_lexicographic(problem, control, fewest, 3, NULL,
										 result);
	if (count < 0)
		return result_end(result, &arena, ROUTE_INFEASIBLE);
	result_price(problem, &arena, shares, count, result);
	return result_end(result, &arena, ROUTE_FEASIBLE);
}


/* ----------------------------------------------------------------
 *		route_verify
 * ----------------------------------------------------------------
 */

/* Shares in order, within stock and quantity, whole where they must be. */
static bool
verify_shares(const RouteProblem *problem, const RouteResult *result,
			  int64_t *served)
{
	int32_t		n = problem->line_count;
	int32_t		m = problem->location_count;
	int64_t		left_out = 0;
	int32_t		s;
	int32_t		l;

	for (s = 0; s < result->share_count; s++)
	{
		const RouteShare *share = &result->shares[s];
		const RouteShare *last = s > 0 ? share - 1 : NULL;

		if (share->line < 0 || share->line >= n || share->location < 0 ||
			share->location >= m || share->units < 1 ||
			share->units > problem->stock[(size_t) share->line * m
										  + share->location])
			return false;
		if (last != NULL && (last->location > share->location ||
							 (last->location == share->location &&
							  last->line >= share->line)))
			return false;
		if (line_whole(problem, share->line) &&
			share->units != problem->quantity[share->line])
			return false;
		served[share->line] += share->units;
	}
	for (l = 0; l < n; l++)
	{
		if (result->unassigned[l] < 0 ||
			served[l] + result->unassigned[l] != problem->quantity[l] ||
			(result->unassigned[l] > 0 && line_must(problem, l)))
			return false;
		left_out += result->unassigned[l];
	}
	return left_out == result->units_unassigned;
}

/* Re-add one package from its shares; moves *next past them. */
static bool
verify_package(const RouteProblem *problem, const RouteResult *result,
			   const RoutePackage *package, int32_t *next, bool *fits)
{
	const RouteTariff *tariff;
	int64_t		units = 0;
	int64_t		weight = 0;
	int64_t		cost = 0;
	int64_t		tariff_cost = 0;

	for (; *next < result->share_count &&
		 result->shares[*next].location == package->location; (*next)++)
	{
		const RouteShare *share = &result->shares[*next];

		units += share->units;
		weight += share->units * line_weight(problem, share->line);
		cost += share->units * problem->unit_cost[(size_t) share->line *
												  problem->location_count
												  + share->location];
	}
	*fits = units > 0;
	if (units == 0)
		return false;
	tariff = location_tariff(problem, package->location);
	if (tariff != NULL)
	{
		int32_t		k = 0;

		while (k < tariff->step_count && tariff->limit_grams[k] < weight)
			k++;
		*fits = k < tariff->step_count;
		tariff_cost = *fits ? tariff->cost[k] : 0;
	}
	return package->units == units && package->weight_grams == weight &&
		package->unit_cost == cost && package->tariff_cost == tariff_cost &&
		package->fixed_cost == problem->fixed_cost[package->location] &&
		package->late_cost == (problem->late_cost == NULL ? 0
							   : problem->late_cost[package->location]);
}

static RouteVerify
verify_packages(const RouteProblem *problem, const RouteResult *result)
{
	RouteTerms	sum = {0};
	bool		terms_ok = true;
	int32_t		days = 0;
	int32_t		next = 0;
	int32_t		k;

	if (problem->packages_max > 0 &&
		result->package_count > problem->packages_max)
		return ROUTE_VERIFY_BAD_PLAN;
	for (k = 0; k < result->package_count; k++)
	{
		const RoutePackage *package = &result->packages[k];
		bool		fits;

		if (package->location < 0 ||
			package->location >= problem->location_count)
			return ROUTE_VERIFY_BAD_PLAN;
		terms_ok &= verify_package(problem, result, package, &next, &fits);
		if (!fits)
			return ROUTE_VERIFY_BAD_PLAN;
		sum.fixed += package->fixed_cost;
		sum.tariff += package->tariff_cost;
		sum.unit += package->unit_cost;
		sum.lateness += package->late_cost;
		if (location_days(problem, package->location) > days)
			days = location_days(problem, package->location);
	}
	if (next != result->share_count)
		return ROUTE_VERIFY_BAD_PLAN;
	if (result->package_count > 0)
		sum.lateness += late_price(problem, days);
	for (k = 0; k < problem->line_count; k++)
		sum.penalty += line_penalty(problem, k) * result->unassigned[k];
	if (!terms_ok || days != result->days_late ||
		sum.fixed != result->terms.fixed ||
		sum.tariff != result->terms.tariff ||
		sum.unit != result->terms.unit ||
		sum.penalty != result->terms.penalty ||
		sum.lateness != result->terms.lateness ||
		sum.fixed + sum.tariff + sum.unit + sum.penalty + sum.lateness
		!= result->cost)
		return ROUTE_VERIFY_BAD_TERMS;
	return ROUTE_VERIFY_OK;
}

/* Do status, flags, bound and gap agree with each other? */
static bool
verify_claims(const RouteResult *result)
{
	bool		has_bound = result->lower_bound != INT64_MIN;

	if (result->bad_input != NULL || result->reason != ROUTE_REASON_NONE ||
		result->reason_line != -1 || result->nodes < 0)
		return false;
	if (result->proven != (result->status == ROUTE_OPTIMAL) ||
		result->proven != (result->proof != ROUTE_PROOF_NONE))
		return false;
	if (has_bound ? result->lower_bound > result->cost ||
		result->gap != result->cost - result->lower_bound
		: result->gap != INT64_MAX)
		return false;
	if (result->dual_bound > result->lower_bound)
		return false;
	switch (result->proof)
	{
		case ROUTE_PROOF_NONE:
			return true;
		case ROUTE_PROOF_DUAL:
			return result->dual_bound == result->cost &&
				result->lower_bound == result->cost;
		case ROUTE_PROOF_ENUMERATION:
			return result->dual_bound < result->cost &&
				result->lower_bound == result->cost;
		case ROUTE_PROOF_LEXICOGRAPHIC:
			return !has_bound;
	}
	return false;
}

RouteVerify
route_verify(const RouteProblem *problem, const RouteControl *control,
			 const RouteResult *result)
{
	Arena		arena;
	int64_t    *served;
	RouteVerify found;

	if (result->status != ROUTE_OPTIMAL && result->status != ROUTE_FEASIBLE)
		return ROUTE_VERIFY_NO_PLAN;
	arena_begin(&arena, control);
	served = TAKE_ZEROED(&arena, int64_t, problem->line_count);
	if (served == NULL)
		return ROUTE_VERIFY_NO_PLAN;
	if (check_problem(problem) != NULL ||
		!verify_shares(problem, result, served))
		return ROUTE_VERIFY_BAD_PLAN;
	found = verify_packages(problem, result);
	if (found != ROUTE_VERIFY_OK)
		return found;
	if (!verify_claims(result))
		return ROUTE_VERIFY_BAD_BOUND;
	if (result->level_count > 0 || result->proof == ROUTE_PROOF_DUAL)
	{
		if (result->dual_bound > certificate_bound(problem, &arena, result))
			return ROUTE_VERIFY_BAD_BOUND;
	}
	return result->proof == ROUTE_PROOF_DUAL
		? ROUTE_VERIFY_OK : ROUTE_VERIFY_PLAN_ONLY;
}

/*
 * What route_solve() may take: cells for the scan, the scaled copy, the rows
 * and the plans; prices by depth and by level; packages for the cover.
 */
size_t
route_memory_bound(int32_t line_count, int32_t location_count)
{
	size_t		n = (size_t) line_count;
	size_t		m = (size_t) location_count;
	size_t		levels = Min(m, (size_t) ROUTE_LATE_DAYS_MAX) + 1;

	return n * m * 272
		+ n * (sizeof(Line) + 128 + 8 * (levels + DEPTH_MAX + 1))
		+ m * (256 + 8 * ((size_t) stepped_depth_max(location_count) + 1))
		+ 4 * DEPTH_MAX * sizeof(Change)
		+ (COLUMNS_FEW + COLUMNS_MAX) * sizeof(Column)
		+ (sizeof(Memo) << MEMO_BITS) + sizeof(Cover) + 16 * CHUNK_SIZE;
}
