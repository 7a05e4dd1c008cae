/*
 * route_kernel_cover.c
 *	  Step 3: packages inside the gap, and an exact cover of the lines by
 *	  them.
 */
#include "route_kernel_work.h"

#include <string.h>

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
				kernel_trial_add(w, l, column->location, 1);
				sum += w->cost[(size_t) l * w->m + column->location];
			}
		}
	}
	(void) kernel_trial_keep(w, sum + kernel_trial_packages_cost(w));
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
bool
kernel_solve_by_columns(Work *w, Cover *c)
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

Cover *
kernel_cover_create(Work *w)
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
