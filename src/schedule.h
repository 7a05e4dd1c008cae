/*
 * schedule.h
 *	  What comes to a counter by when, and what of it is promised for when, as
 *	  plain C without any server header.
 *
 * Moments are microseconds since 2000-01-01 UTC.
 */
#ifndef SCHEDULE_H
#define SCHEDULE_H

#include <stdint.h>

#define SCHEDULE_NEVER	INT64_MAX

typedef struct ScheduleUnits
{
	int64_t		at;
	int64_t		units;
} ScheduleUnits;

typedef struct Schedule
{
	int64_t		now;
	int64_t		base;			/* on hand, neither kept back nor firmly promised; negative: owed */
	int			supply_count;
	const ScheduleUnits *supplies;	/* by time, none before now */
	int			demand_count;
	const ScheduleUnits *demands;	/* by time; SCHEDULE_NEVER: promised without a date */
} Schedule;

/* A moment at which something changes. */
typedef struct ScheduleStep
{
	int64_t		at;
	int64_t		supply;			/* units that come then */
	int64_t		demand;			/* units that promises take then */
	int64_t		supplied;		/* until then */
	int64_t		demanded;
	int64_t		left;			/* the least that is left from then on */
} ScheduleStep;

/* Room that the steps of a schedule need. */
#define SCHEDULE_STEPS_MAX(schedule) (2 * (schedule)->supply_count + (schedule)->demand_count + 4)

extern int	schedule_steps(const Schedule *schedule, ScheduleStep *steps);
extern int64_t schedule_promisable(const ScheduleStep *steps, int count, int64_t wait, int64_t until);
extern int64_t schedule_date(const ScheduleStep *steps, int count, int64_t wait, int64_t units);

#endif							/* SCHEDULE_H */
