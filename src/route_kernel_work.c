/*
 * route_kernel_work.c
 *	  From scan to work: the surviving locations in order, scaled.
 */
#include "route_kernel_work.h"

#include <string.h>

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
int32_t
kernel_stepped_depth_max(int32_t m)
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

	w->depth_max = w->stepped ? kernel_stepped_depth_max(m) : Min(DEPTH_MAX, m + 1);
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
			w->cost[row + i] = kernel_entry_cost(scan, line, &line->entries[e])
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

bool
kernel_work_build(Work *w, const Scan *scan, const RouteControl *control)
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
