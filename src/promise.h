/*
 * promise.h
 *	  When an order can leave a location and when it arrives, as plain C
 *	  without any server header.
 *
 * Days are counted from 2000-01-01 in local time, times of a day are seconds
 * from 0 to 86,400, moments are microseconds since 2000-01-01 UTC.  What lies
 * between local time and moments (zones, daylight saving) is the caller's.
 */
#ifndef PROMISE_H
#define PROMISE_H

#include <stdbool.h>
#include <stdint.h>

/* A calendar without an open day for so long counts as having none at all. */
#define PROMISE_HORIZON_DAYS	366

#define PROMISE_DAY_SECONDS		86400

/* Open from opens until closes; closed where closes is not after opens. */
typedef struct PromiseHours
{
	int32_t		opens;
	int32_t		closes;
} PromiseHours;

/* Days that are not like their weekday: holidays, outages, special openings. */
typedef struct PromiseException
{
	int32_t		first_day;
	int32_t		last_day;
	PromiseHours hours;
} PromiseException;

typedef struct PromiseCalendar
{
	const struct PromiseCalendar *base; /* says what this one does not; or NULL */
	PromiseHours week[7];		/* Monday first; read only without a base */
	int			exception_count;
	const PromiseException *exceptions; /* by first_day, none overlapping */
} PromiseCalendar;

typedef struct PromiseZone
{
	void		(*to_local) (void *context, int64_t moment, int32_t *day, int32_t *second);
	int64_t		(*to_moment) (void *context, int32_t day, int32_t second);
	void	   *context;
} PromiseZone;

/* Where an order is made ready.  A NULL calendar is always open. */
typedef struct PromiseSite
{
	const PromiseCalendar *calendar;
	PromiseZone zone;
	int32_t		cut_off;		/* later orders count for the next working day */
	int32_t		collected_at;	/* ready later leaves a day later; -1: when it closes */
	int32_t		handling_days;	/* working days */
	int64_t		handling_seconds;	/* working time, after the days */
} PromiseSite;

/* How it travels. */
typedef struct PromiseCarriage
{
	const PromiseCalendar *calendar;	/* days on which the carrier works */
	const PromiseCalendar *delivery;	/* days on which it delivers; NULL: calendar */
	int32_t		delivered_by;	/* time of the day */
	int32_t		cut_off;		/* replaces the site's; -1: does not */
	int32_t		collected_at;	/* the same */
	int32_t		days;			/* of transit; -1: not known */
	int32_t		days_latest;	/* at least days */
} PromiseCarriage;

typedef struct PromiseDates
{
	int64_t		ready_at;
	int32_t		ship_day;
	int64_t		ship_by;
	int64_t		pickup_at;		/* from when somebody may come for it */
	bool		delivered;		/* the rest is known */
	int32_t		earliest_day;
	int32_t		latest_day;
	int64_t		earliest_at;
	int64_t		latest_at;
} PromiseDates;

typedef enum PromiseStatus
{
	PROMISE_OK,
	PROMISE_NO_OPEN_DAY,		/* the location does not open within the horizon */
	PROMISE_NO_SHIP_DAY,		/* no day that the location and the carrier share */
	PROMISE_NO_DELIVERY_DAY
} PromiseStatus;

extern int	promise_weekday(int32_t day);
extern PromiseHours promise_hours(const PromiseCalendar *calendar, int32_t day);
extern bool promise_is_open(const PromiseCalendar *calendar, int32_t day);
extern bool promise_next_open(const PromiseCalendar *calendar, int32_t *day);
extern PromiseStatus promise_dates(const PromiseSite *site, const PromiseCarriage *carriage, int64_t ordered_at,
								   int32_t not_before, PromiseDates *dates);

#endif							/* PROMISE_H */
