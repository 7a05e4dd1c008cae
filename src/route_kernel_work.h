/*
 * route_kernel_work.h
 *	  What the steps of the exact router share; route_kernel.c says how they
 *	  follow one another.
 */
#ifndef ROUTE_KERNEL_WORK_H
#define ROUTE_KERNEL_WORK_H

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
static inline void *
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

static inline void *
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

static inline void
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

static inline int64_t
floor_div(int64_t a, int64_t b)
{
	int64_t		q = a / b;

	return (a % b != 0 && (a < 0) != (b < 0)) ? q - 1 : q;
}

static inline bool
entry_before(const Entry *a, const Entry *b)
{
	return a->cost != b->cost ? a->cost < b->cost : a->location < b->location;
}

/*
 * Shell sort with Ciura's gaps (2001).  The C library's qsort may allocate,
 * which the kernel must not; rows are short or nearly sorted.
 */
static inline void
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

static inline const RouteTariff *
location_tariff(const RouteProblem *problem, int32_t location)
{
	int32_t		index;

	if (problem->tariff_of == NULL)
		return NULL;
	index = problem->tariff_of[location];
	return index < 0 ? NULL : &problem->tariffs[index];
}

/* First step that carries the weight, or step_count when none does. */
static inline int32_t
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

static inline int32_t
location_days(const RouteProblem *problem, int32_t location)
{
	return problem->days_late == NULL ? 0 : problem->days_late[location];
}

static inline int64_t
location_fixed(const RouteProblem *problem, int32_t location)
{
	return problem->fixed_cost[location]
		+ (problem->late_cost == NULL ? 0 : problem->late_cost[location]);
}

/*
 * Does rank prefer location to other?  Choices among equals go by it from the
 * first step on, so that the input's order does not matter.
 */
static inline bool
rank_before(const RouteProblem *problem, int32_t location, int32_t other)
{
	return other >= 0 && problem->rank != NULL &&
		problem->rank[location] < problem->rank[other];
}

static inline int64_t
late_price(const RouteProblem *problem, int32_t days)
{
	return problem->late_table == NULL ? 0 : problem->late_table[days];
}

static inline bool
line_must(const RouteProblem *problem, int32_t line)
{
	return problem->ship_complete ||
		(problem->must_serve != NULL && problem->must_serve[line]);
}

static inline bool
line_whole(const RouteProblem *problem, int32_t line)
{
	return problem->whole_lines || problem->quantity[line] == 1 ||
		(problem->whole != NULL && problem->whole[line]);
}

static inline int64_t
line_penalty(const RouteProblem *problem, int32_t line)
{
	return problem->penalty == NULL ? 0 : problem->penalty[line];
}

static inline int64_t
line_weight(const RouteProblem *problem, int32_t line)
{
	return problem->weight_grams == NULL ? 0 : problem->weight_grams[line];
}

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
	int64_t    *line_cost;		/* NULL where lines are neither costly nor limited */
	int32_t    *places_max;		/* likewise */

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

/* Ask now and then whether to stop; true when the search must end. */
static inline bool
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

static inline int64_t
option_fixed(const Work *w, int32_t i, int32_t step)
{
	return w->fixed[i] + w->tariff[i]->cost[step] * w->scale;
}

/* route_kernel_check.c */
extern const char *kernel_check_problem(const RouteProblem *problem);
extern bool kernel_amount_ok(int64_t amount);
extern const char *kernel_check_cells(const RouteProblem *problem);

/* route_kernel_split.c */
extern bool kernel_split_needed(const RouteProblem *problem);
extern RouteStatus kernel_split_solve(const RouteProblem *problem, const RouteControl *control, Arena *arena,
									  RouteResult *result);

/* route_kernel_scan.c */
extern int64_t kernel_entry_cost(const Scan *scan, const Line *line, const Entry *entry);
extern int64_t kernel_package_price(const Scan *scan, int32_t location, int64_t weight);
extern RouteStatus kernel_scan_problem(Scan *scan);
extern bool kernel_scan_bounds(Scan *scan, const RouteControl *control);

/* route_kernel_work.c */
extern bool kernel_work_build(Work *w, const Scan *scan, const RouteControl *control);
extern int32_t kernel_stepped_depth_max(int32_t m);

/* route_kernel_dual.c */
extern bool kernel_price_over_covered(const Work *w, int32_t l);
extern void kernel_linear_refresh(Work *w);
extern void kernel_slack_compute(Work *w);
extern int64_t kernel_bound_value(const Work *w);
extern bool kernel_price_lower(Work *w, int32_t l);
extern void kernel_ascend(Work *w, int32_t held);
extern void kernel_adjust(Work *w, int32_t rounds);
extern bool kernel_slopes_improve(Work *w);
extern void kernel_slope_begin(Work *w, int32_t i);
extern int64_t kernel_line_below_tariff(const Work *w, int32_t i, int64_t slope);
extern void kernel_rows_fill(Work *w);

/* route_kernel_plan.c */
extern void kernel_trial_add(Work *w, int32_t l, int32_t i, int32_t units);
extern bool kernel_trial_keep(Work *w, int64_t cost);
extern int64_t kernel_trial_packages_cost(const Work *w);
extern void kernel_plan_from_prices(Work *w, bool thorough);
extern void kernel_plan_cover_must(Work *w);
extern void kernel_plan_improve(Work *w);

/* route_kernel_cover.c */
extern Cover *kernel_cover_create(Work *w);
extern bool kernel_solve_by_columns(Work *w, Cover *c);

/* route_kernel_search.c */
extern int32_t kernel_close_by_slack(Work *w);
extern void kernel_explore(Work *w, int32_t depth, int64_t parent_bound);

/* route_kernel.c */
extern void kernel_result_price(const RouteProblem *problem, Arena *arena, RouteShare *shares, int32_t count, RouteResult *result);
extern void kernel_result_begin(RouteResult *result);
extern RouteStatus kernel_result_end(RouteResult *result, const Arena *arena, RouteStatus status);

/* route_kernel_bound.c */
extern bool kernel_certificate_begin(Certificate *c, const RouteProblem *problem, Arena *arena, const RouteResult *result);
extern void kernel_certificate_slack(Certificate *c);

/* route_kernel_series.c */
extern void kernel_sandbox_restore(Sandbox *box);
extern bool kernel_sandbox_solve(Sandbox *box, bool better, int32_t alias);
extern bool kernel_sandbox_create(Sandbox *box, const RouteProblem *problem, const RouteControl *control, Arena *arena);
extern RouteStatus kernel_sandbox_finish(Sandbox *box, RouteProof proof, RouteResult *result);

#endif							/* ROUTE_KERNEL_WORK_H */
