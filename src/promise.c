/*
 * promise.c
 *	  When an order can leave a location and when it arrives.
 *
 *	  order --cut-off--> working day --handling--> ready --collection-->
 *	  ship day --transit--> delivery day
 *
 * Handling in hours is real time while the location is open, so a night in
 * which the clock is changed is an hour shorter or longer.  Everything else
 * goes by days of the location's zone; the day of delivery too, because the
 * zone of an address is not known.
 */
#include "promise.h"

#define MICROSECONDS INT64_C(1000000)

/* Monday is 0; 2000-01-01 was a Saturday. */
int
promise_weekday(int32_t day)
{
	int			rest = (day + 5) % 7;

	return rest < 0 ? rest + 7 : rest;
}

static const PromiseException *
find_exception(const PromiseCalendar *calendar, int32_t day)
{
	int			low = 0;
	int			high = calendar->exception_count - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const PromiseException *exception = &calendar->exceptions[middle];

		if (day < exception->first_day)
			high = middle - 1;
		else if (day > exception->last_day)
			low = middle + 1;
		else
			return exception;
	}
	return 0;
}

PromiseHours
promise_hours(const PromiseCalendar *calendar, int32_t day)
{
	PromiseHours always = {0, PROMISE_DAY_SECONDS};

	for (; calendar; calendar = calendar->base)
	{
		const PromiseException *exception = find_exception(calendar, day);

		if (exception)
			return exception->hours;
		if (calendar->base == 0)
			return calendar->week[promise_weekday(day)];
	}
	return always;
}

bool
promise_is_open(const PromiseCalendar *calendar, int32_t day)
{
	PromiseHours hours = promise_hours(calendar, day);

	return hours.closes > hours.opens;
}

/* Moves day on to the first open day, itself included; false where the horizon has none. */
bool
promise_next_open(const PromiseCalendar *calendar, int32_t *day)
{
	for (int i = 0; i <= PROMISE_HORIZON_DAYS; i++)
		if (promise_is_open(calendar, *day + i))
		{
			*day += i;
			return true;
		}
	return false;
}

/* Goes on by a number of working days: each is an open day after the one before. */
static bool
add_working_days(const PromiseCalendar *calendar, int32_t *day, int32_t count)
{
	for (; count > 0; count--)
	{
		(*day)++;
		if (!promise_next_open(calendar, day))
			return false;
	}
	return true;
}

static int64_t
opening_moment(const PromiseSite *site, int32_t day)
{
	return site->zone.to_moment(site->zone.context, day, promise_hours(site->calendar, day).opens);
}

/* A limit at midnight is told as the last second of its day, so that it shows the day. */
static int64_t
limit_moment(const PromiseSite *site, int32_t day, int32_t second)
{
	int64_t		moment = site->zone.to_moment(site->zone.context, day, second);

	return second == PROMISE_DAY_SECONDS ? moment - MICROSECONDS : moment;
}

/* The first moment at which work on the order is possible, and its day. */
static bool
find_start(const PromiseSite *site, int32_t cut_off, int64_t ordered_at, int32_t *day, int64_t *moment)
{
	PromiseHours hours;
	int32_t		second;

	site->zone.to_local(site->zone.context, ordered_at, day, &second);
	hours = promise_hours(site->calendar, *day);
	if (hours.closes > hours.opens && second < cut_off && second < hours.closes)
	{
		*moment = second < hours.opens ? opening_moment(site, *day) : ordered_at;
		return true;
	}
	(*day)++;
	if (!promise_next_open(site->calendar, day))
		return false;
	*moment = opening_moment(site, *day);
	return true;
}

/*
 * Spends working time from a moment on day on.  Work that ends when the
 * location closes ends that day, not the next.
 */
static bool
spend_working_time(const PromiseSite *site, int64_t *moment, int32_t *day)
{
	int64_t		left = site->handling_seconds * MICROSECONDS;

	for (;;)
	{
		PromiseHours hours = promise_hours(site->calendar, *day);
		int64_t		closes = site->zone.to_moment(site->zone.context, *day, hours.closes);

		if (left <= closes - *moment)
		{
			*moment += left;
			return true;
		}
		if (closes > *moment)
			left -= closes - *moment;
		(*day)++;
		if (!promise_next_open(site->calendar, day))
			return false;
		*moment = opening_moment(site, *day);
	}
}

/* When the order is ready to be collected; day is the local day of it. */
static bool
find_ready(const PromiseSite *site, int32_t cut_off, int64_t ordered_at, int64_t *ready_at, int32_t *day)
{
	int32_t		start;

	if (!find_start(site, cut_off, ordered_at, day, ready_at))
		return false;
	start = *day;
	if (!add_working_days(site->calendar, day, site->handling_days))
		return false;
	if (*day != start)
		*ready_at = opening_moment(site, *day);
	return site->handling_seconds == 0 || spend_working_time(site, ready_at, day);
}

/* Collection of a day: at its time, but not after the location closes. */
static int32_t
collection_time(const PromiseSite *site, int32_t collected_at, int32_t day)
{
	int32_t		closes = promise_hours(site->calendar, day).closes;

	return collected_at < 0 || collected_at > closes ? closes : collected_at;
}

static PromiseStatus
find_ship_day(const PromiseSite *site, const PromiseCarriage *carriage, int32_t ready_day, int32_t not_before,
			  PromiseDates *dates)
{
	const PromiseCalendar *carrier = carriage ? carriage->calendar : 0;
	int32_t		collected_at = carriage && carriage->collected_at >= 0 ? carriage->collected_at : site->collected_at;
	int32_t		first = ready_day > not_before ? ready_day : not_before;

	for (int32_t day = first; day <= first + PROMISE_HORIZON_DAYS; day++)
	{
		if (!promise_is_open(site->calendar, day) || !promise_is_open(carrier, day))
			continue;
		dates->ship_by = limit_moment(site, day, collection_time(site, collected_at, day));
		if (dates->ship_by < dates->ready_at)
			continue;
		dates->ship_day = day;
		dates->pickup_at = day == ready_day ? dates->ready_at : opening_moment(site, day);
		return PROMISE_OK;
	}
	return PROMISE_NO_SHIP_DAY;
}

/* The day and the moment of delivery after so many days of transit. */
static bool
find_delivery(const PromiseSite *site, const PromiseCarriage *carriage, const PromiseDates *dates, int32_t days,
			  int32_t *day, int64_t *moment)
{
	const PromiseCalendar *delivery = carriage->delivery ? carriage->delivery : carriage->calendar;

	*day = dates->ship_day;
	if (!add_working_days(carriage->calendar, day, days) || !promise_next_open(delivery, day))
		return false;
	*moment = limit_moment(site, *day, carriage->delivered_by);
	if (*moment >= dates->ship_by)
		return true;

	/* On the day it leaves it is too late already. */
	(*day)++;
	if (!promise_next_open(delivery, day))
		return false;
	*moment = limit_moment(site, *day, carriage->delivered_by);
	return true;
}

/*
 * The dates of an order that a location handles and a carriage brings; a NULL
 * carriage is collected by whoever ordered.  It leaves on not_before or later.
 */
PromiseStatus
promise_dates(const PromiseSite *site, const PromiseCarriage *carriage, int64_t ordered_at, int32_t not_before,
			  PromiseDates *dates)
{
	int32_t		cut_off = carriage && carriage->cut_off >= 0 ? carriage->cut_off : site->cut_off;
	int32_t		ready_day;
	PromiseStatus status;

	dates->delivered = false;
	if (!find_ready(site, cut_off, ordered_at, &dates->ready_at, &ready_day))
		return PROMISE_NO_OPEN_DAY;
	status = find_ship_day(site, carriage, ready_day, not_before, dates);
	if (status != PROMISE_OK || carriage == 0 || carriage->days < 0)
		return status;
	if (!find_delivery(site, carriage, dates, carriage->days, &dates->earliest_day, &dates->earliest_at) ||
		!find_delivery(site, carriage, dates, carriage->days_latest, &dates->latest_day, &dates->latest_at))
		return PROMISE_NO_DELIVERY_DAY;
	dates->delivered = true;
	return PROMISE_OK;
}
