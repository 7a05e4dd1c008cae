/* sources: src/schedule.c */
/*
 * schedule_test.c
 *	  Random supplies and promises against an assignment of single units to
 *	  single promises: what can be promised for a moment, and when at the
 *	  earliest.
 */
#include "../../src/schedule.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define MOMENTS		8
#define UNITS_MAX	64

static int	failures;
static int	checks;
static uint64_t seed = 20260302;

static void
check(bool good, const char *what, int round)
{
	checks++;
	if (good)
		return;
	failures++;
	fprintf(stderr, "round %d: %s\n", round, what);
}

static int
up_to(int most)
{
	seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (int) ((seed >> 33) % (uint64_t) (most + 1));
}

/* One unit that comes, or one that is promised, and what it is assigned to. */
typedef struct Unit
{
	int64_t		from;			/* a promise takes units from here on ... */
	int64_t		at;				/* ... until here; a supply comes here */
	int			partner;
} Unit;

typedef struct Model
{
	int			supply_count;
	int			demand_count;
	Unit		supplies[UNITS_MAX];
	Unit		demands[UNITS_MAX];
	bool		seen[UNITS_MAX];
} Model;

/* Finds a unit for a promise, moving others to other units where that helps. */
static bool
assign(Model *model, int demand)
{
	for (int i = 0; i < model->supply_count; i++)
	{
		if (model->seen[i] || model->supplies[i].at > model->demands[demand].at ||
			model->supplies[i].at < model->demands[demand].from)
			continue;
		model->seen[i] = true;
		if (model->supplies[i].partner < 0 || assign(model, model->supplies[i].partner))
		{
			model->supplies[i].partner = demand;
			return true;
		}
	}
	return false;
}

static bool
all_assigned(Model *model)
{
	for (int i = 0; i < model->supply_count; i++)
		model->supplies[i].partner = -1;
	for (int i = 0; i < model->demand_count; i++)
	{
		memset(model->seen, 0, sizeof(model->seen));
		if (!assign(model, i))
			return false;
	}
	return true;
}

/*
 * The promises in the order of their dates, each given the first unit that is
 * left: a late one takes it when it comes.  False where nothing comes for one.
 */
static bool
settle_dates(Model *model)
{
	if (model->demand_count > model->supply_count)
		return false;
	for (int i = 0; i < model->demand_count; i++)
		if (model->supplies[i].at > model->demands[i].at)
			model->demands[i].at = model->supplies[i].at;
	return true;
}

/* Whether some units more can be promised for a moment. */
static bool
may_promise(const Model *settled, int units, int64_t at, int64_t wait)
{
	Model		model = *settled;

	for (int i = 0; i < units; i++)
		model.demands[model.demand_count++] = (Unit) {.from = wait == SCHEDULE_NEVER ? INT64_MIN : at - wait,.at = at};
	return model.demand_count <= UNITS_MAX && all_assigned(&model);
}

static int
random_units(ScheduleUnits *rows, bool with_never)
{
	int			count = 0;

	for (int at = 0; at < MOMENTS; at++)
		if (up_to(2) == 0)
			rows[count++] = (ScheduleUnits) {at, 1 + up_to(3)};
	if (with_never && up_to(7) == 0)
		rows[count++] = (ScheduleUnits) {SCHEDULE_NEVER, 1 + up_to(2)};
	return count;
}

static void
add_units(Unit *units, int *count, int64_t at, int64_t number)
{
	for (int64_t i = 0; i < number; i++)
		units[(*count)++] = (Unit) {.from = INT64_MIN,.at = at};
}

/* The same counter, unit by unit; what is owed now comes first of all promises. */
static bool
model_of(const Schedule *schedule, Model *model)
{
	memset(model, 0, sizeof(*model));
	if (schedule->base > 0)
		add_units(model->supplies, &model->supply_count, schedule->now, schedule->base);
	else
		add_units(model->demands, &model->demand_count, schedule->now, -schedule->base);
	for (int i = 0; i < schedule->supply_count; i++)
		add_units(model->supplies, &model->supply_count, schedule->supplies[i].at, schedule->supplies[i].units);
	for (int i = 0; i < schedule->demand_count; i++)
		add_units(model->demands, &model->demand_count, schedule->demands[i].at, schedule->demands[i].units);
	return settle_dates(model);
}

static void
try_one(int round)
{
	ScheduleUnits supplies[MOMENTS + 1];
	ScheduleUnits demands[MOMENTS + 1];
	ScheduleStep steps[4 * MOMENTS + 8];
	Schedule	schedule = {.base = up_to(6) - 2,.supplies = supplies,.demands = demands};
	int64_t		wait = up_to(2) == 0 ? up_to(MOMENTS) : SCHEDULE_NEVER;
	Model		model;
	bool		all_served;
	int64_t		best = 0;
	int			count;

	schedule.supply_count = random_units(supplies, false);
	schedule.demand_count = random_units(demands, true);
	all_served = model_of(&schedule, &model);
	count = schedule_steps(&schedule, steps);
	check(count <= SCHEDULE_STEPS_MAX(&schedule), "there are more steps than room", round);
	check(steps[0].at == 0, "the first step is not now", round);
	for (int64_t until = 0; until <= MOMENTS; until++)
	{
		int64_t		units = schedule_promisable(steps, count, wait, until);

		while (all_served && may_promise(&model, (int) best + 1, until, wait))
			best++;
		check(units == best, "what can be promised is not what can be assigned", round);
		check(units == 0 || schedule_date(steps, count, wait, units) <= until, "it is promised for later", round);
		check(schedule_date(steps, count, wait, units + 1) > until, "more is promised", round);
	}
	check(schedule_date(steps, count, wait, best + 1) == SCHEDULE_NEVER, "too much is promised", round);
}

int
main(void)
{
	for (int round = 0; round < 20000; round++)
		try_one(round);
	printf("%d checks, %d failures\n", checks, failures);
	return failures != 0;
}
