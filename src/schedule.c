/*
 * schedule.c
 *	  What comes to a counter by when, and what of it is promised for when.
 *
 * Promises are served in the order of their dates.  One that its date finds
 * without units is late: it takes the first units that come, before any promise
 * for a later day.  So every promise has a moment at which it takes its units,
 * and a new one may be made for a moment if from then on, at every later
 * moment, what has come is still enough for all that take until then: it never
 * takes a unit from a promise for a later day, nor from one for an earlier.
 * Where promises are left that nothing comes for, no unit is free.
 */
#include "schedule.h"

#include <stdlib.h>

static int64_t
smaller(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t
greater(int64_t a, int64_t b)
{
	return a > b ? a : b;
}

static int
compare_steps(const void *left, const void *right)
{
	const ScheduleStep *a = left;
	const ScheduleStep *b = right;

	return a->at < b->at ? -1 : a->at > b->at;
}

/* Units that come and are not taken yet, while promises are served. */
typedef struct Serving
{
	const Schedule *schedule;
	ScheduleStep *steps;
	int			count;
	int			next;			/* supply; -1: what is on hand */
	int64_t		left;			/* of it */
} Serving;

static void
add_step(Serving *serving, int64_t at, int64_t supply, int64_t demand)
{
	serving->steps[serving->count++] = (ScheduleStep) {.at = at,.supply = supply,.demand = demand};
}

/* Lets a promise take the first units that nobody before it takes, piece by piece. */
static void
serve(Serving *serving, int64_t at, int64_t units)
{
	const Schedule *schedule = serving->schedule;

	while (units > 0 && serving->next < schedule->supply_count)
	{
		int64_t		comes = serving->next < 0 ? schedule->now : schedule->supplies[serving->next].at;
		int64_t		taken = smaller(units, serving->left);

		if (taken > 0)
			add_step(serving, greater(at, comes), 0, taken);
		units -= taken;
		serving->left -= taken;
		if (serving->left > 0)
			return;
		if (++serving->next < schedule->supply_count)
			serving->left = schedule->supplies[serving->next].units;
	}
	if (units > 0)
		add_step(serving, SCHEDULE_NEVER, 0, units);
}

/* Joins steps of one moment and adds up; returns how many are left. */
static int
add_up(ScheduleStep *steps, int count)
{
	int			kept = 0;

	for (int i = 0; i < count; i++)
	{
		if (kept > 0 && steps[kept - 1].at == steps[i].at)
		{
			steps[kept - 1].supply += steps[i].supply;
			steps[kept - 1].demand += steps[i].demand;
		}
		else
			steps[kept++] = steps[i];
	}
	for (int i = 0; i < kept; i++)
	{
		steps[i].supplied = steps[i].supply + (i > 0 ? steps[i - 1].supplied : 0);
		steps[i].demanded = steps[i].demand + (i > 0 ? steps[i - 1].demanded : 0);
	}
	for (int i = kept - 1; i >= 0; i--)
	{
		steps[i].left = steps[i].supplied - steps[i].demanded;
		if (i < kept - 1)
			steps[i].left = smaller(steps[i].left, steps[i + 1].left);
	}
	return kept;
}

/* The moments of a schedule, the first of them now; returns how many there are. */
int
schedule_steps(const Schedule *schedule, ScheduleStep *steps)
{
	Serving		serving = {.schedule = schedule,.steps = steps,.next = -1,.left = greater(0, schedule->base)};

	add_step(&serving, schedule->now, serving.left, 0);
	for (int i = 0; i < schedule->supply_count; i++)
		add_step(&serving, schedule->supplies[i].at, schedule->supplies[i].units, 0);
	serve(&serving, schedule->now, -schedule->base);
	for (int i = 0; i < schedule->demand_count; i++)
		serve(&serving, greater(schedule->now, schedule->demands[i].at), schedule->demands[i].units);
	qsort(steps, serving.count, sizeof(ScheduleStep), compare_steps);
	return add_up(steps, serving.count);
}

/*
 * The greatest promise that can be made for the moment of a step, of units that
 * have come within wait before it.  Promises that take until then take the
 * oldest units; later ones keep what must be left for them, the oldest first.
 */
static int64_t
promisable_at(const ScheduleStep *steps, int number, int64_t wait)
{
	const ScheduleStep *step = &steps[number];
	int64_t		old = 0;
	int64_t		kept = step->supplied - step->demanded - step->left;

	for (int i = 0; wait != SCHEDULE_NEVER && i < number && steps[i].at < step->at - wait; i++)
		old = steps[i].supplied;
	old -= smaller(old, step->demanded);
	return greater(0, step->supplied - step->demanded - old - greater(0, kept - old));
}

/* The greatest promise that can be made for a moment until some time. */
int64_t
schedule_promisable(const ScheduleStep *steps, int count, int64_t wait, int64_t until)
{
	int64_t		units = 0;

	for (int i = 0; i < count && steps[i].at <= until && steps[i].at != SCHEDULE_NEVER; i++)
		units = greater(units, promisable_at(steps, i, wait));
	return units;
}

/* The first moment for which so many units can be promised; SCHEDULE_NEVER where there is none. */
int64_t
schedule_date(const ScheduleStep *steps, int count, int64_t wait, int64_t units)
{
	for (int i = 0; i < count && steps[i].at != SCHEDULE_NEVER; i++)
		if (promisable_at(steps, i, wait) >= units)
			return steps[i].at;
	return SCHEDULE_NEVER;
}
