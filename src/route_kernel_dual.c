/*
 * route_kernel_dual.c
 *	  Step 2: the linear form below tariff tables, and prices per line by dual
 *	  ascent (Erlenkotter 1978).
 */
#include "route_kernel_work.h"

#include <string.h>

/* Fixed part of the line of this slope below the tariff's steps in play. */
int64_t
kernel_line_below_tariff(const Work *w, int32_t i, int64_t slope)
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
void
kernel_slope_begin(Work *w, int32_t i)
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
		value = kernel_line_below_tariff(w, i, slope) + slope * weight;
		if (value > best)
		{
			best = value;
			chosen = slope;
		}
	}
	w->slope[i] = chosen;
}

/* Rows of the locations still in play, cheapest first. */
void
kernel_rows_fill(Work *w)
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
void
kernel_linear_refresh(Work *w)
{
	int32_t		l;
	int32_t		i;

	for (i = 0; i < w->m; i++)
		if (w->tariff[i] != NULL && w->state[i] != STATE_CLOSED)
			w->linear_fixed[i] = kernel_line_below_tariff(w, i, w->slope[i]);
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
void
kernel_slack_compute(Work *w)
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
int64_t
kernel_bound_value(const Work *w)
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
void
kernel_ascend(Work *w, int32_t held)
{
	bool		progress = true;
	int64_t		steps = 0;
	int32_t		l;

	memset(w->blocked, 0, sizeof(bool) * (size_t) w->n);
	w->bound = kernel_bound_value(w);
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
	w->bound = kernel_bound_value(w);
	(void) work_tick(w, steps * 8 + w->n + w->m);
}

/* Lower one price to its next breakpoint below; false when there is none. */
bool
kernel_price_lower(Work *w, int32_t l)
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
bool
kernel_price_over_covered(const Work *w, int32_t l)
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
void
kernel_adjust(Work *w, int32_t rounds)
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

			if (!kernel_price_over_covered(w, l))
				continue;
			memcpy(w->dual_kept, w->dual, dual_size);
			memcpy(w->slack_kept, w->slack, slack_size);
			if (!kernel_price_lower(w, l))
				continue;
			kernel_ascend(w, l);
			kernel_ascend(w, -1);
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
	int64_t		value = kernel_line_below_tariff(w, i, slope) + w->package_price;
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
bool
kernel_slopes_improve(Work *w)
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
	kernel_linear_refresh(w);
	kernel_slack_compute(w);
	kernel_ascend(w, -1);
	return true;
}
