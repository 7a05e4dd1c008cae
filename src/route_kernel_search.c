/*
 * route_kernel_search.c
 *	  Step 4: branch and bound over opened locations, tariff steps and units.
 */
#include "route_kernel_work.h"

#include <string.h>

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

		if (!kernel_price_over_covered(w, l))
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
int32_t
kernel_close_by_slack(Work *w)
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
		kernel_linear_refresh(w);
	kernel_slack_compute(w);
	w->bound = kernel_bound_value(w);
	for (l = 0; l < w->n; l++)
		while (kernel_price_over_covered(w, l) && w->n * w->m < 4096)
		{
			int64_t		before = w->bound;
			int64_t		old = w->dual[l];

			if (!kernel_price_lower(w, l))
				break;
			w->bound = kernel_bound_value(w);
			if (w->bound >= before)
				continue;
			w->dual[l] = old;
			kernel_slack_compute(w);
			w->bound = before;
			break;
		}
	kernel_ascend(w, -1);
	if (w->bound < w->best)
		kernel_adjust(w, 1);
	if (w->stepped && w->bound < w->best)
		(void) kernel_slopes_improve(w);
}

void
kernel_explore(Work *w, int32_t depth, int64_t parent_bound)
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
	(void) kernel_close_by_slack(w);
	kernel_plan_from_prices(w, false);
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
			kernel_explore(w, depth + 1, bound);
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
