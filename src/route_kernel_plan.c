/*
 * route_kernel_plan.c
 *	  Plans from prices: trial plans, local search, the incumbent.
 */
#include "route_kernel_work.h"

#include <string.h>

void
kernel_trial_add(Work *w, int32_t l, int32_t i, int32_t units)
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
int64_t
kernel_trial_packages_cost(const Work *w)
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
					kernel_trial_add(w, l, i, w->taken[cell]);
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
			kernel_trial_add(w, l, entry->location, units);
			sum += w->cost[(size_t) l * w->m + entry->location] * units;
			left -= units;
		}
		if (w->lines[l].must)
			w->trial_missing += left;
		else
			sum += w->cap[l] * left;
	}
	return w->trial_missing > 0 ? INT64_MAX : sum + kernel_trial_packages_cost(w);
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
bool
kernel_trial_keep(Work *w, int64_t cost)
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
		(void) kernel_trial_keep(w, cost);
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
void
kernel_plan_from_prices(Work *w, bool thorough)
{
	int64_t		cost;
	int32_t		i;

	for (i = 0; i < w->m; i++)
		w->in_set[i] = w->state[i] == STATE_OPEN ||
			(w->state[i] == STATE_FREE && w->slack[i] < w->demand_max);
	plan_complete(w);
	cost = trial_build(w);
	(void) kernel_trial_keep(w, cost);
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
		(void) kernel_trial_keep(w, trial_build(w));
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
void
kernel_plan_cover_must(Work *w)
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
void
kernel_plan_improve(Work *w)
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
			improved = kernel_trial_keep(w, trial_build(w));
			for (drop = 0; drop < w->m && !improved && trials > 0; drop++)
			{
				if (drop == add || !w->in_set[drop])
					continue;
				w->in_set[drop] = false;
				improved = kernel_trial_keep(w, trial_build(w));
				w->in_set[drop] = true;
				trials--;
				if (work_tick(w, w->n * 8))
					return;
			}
			w->in_set[add] = false;
		}
	}
}
