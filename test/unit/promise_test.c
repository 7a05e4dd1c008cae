/* sources: src/promise.c */
/*
 * promise_test.c
 *	  Dates of promises: cut-offs, working days, clocks that change, calendars
 *	  without an open day.
 */
#include "../../src/promise.h"

#include <stdio.h>
#include <string.h>

#define SECOND	INT64_C(1000000)
#define LENGTH(array) ((int) (sizeof(array) / sizeof((array)[0])))

static int	failures;
static int	checks;

/* Days from 2000-01-01 to a date of the Gregorian calendar. */
static int32_t
day_of(int year, int month, int day)
{
	int			y = year - (month <= 2);
	int			era = (y >= 0 ? y : y - 399) / 400;
	int			of_era = y - era * 400;
	int			of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

	return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 730425;
}

/* A zone is its offsets, each from a moment on. */
typedef struct Offset
{
	int64_t		from;
	int32_t		seconds;
} Offset;

typedef struct TestZone
{
	int			count;
	Offset		offsets[8];
} TestZone;

static TestZone utc;
static TestZone berlin;
static TestZone auckland;

static int32_t
offset_at(const TestZone *zone, int64_t moment)
{
	int32_t		seconds = zone->offsets[0].seconds;

	for (int i = 1; i < zone->count; i++)
		if (moment >= zone->offsets[i].from)
			seconds = zone->offsets[i].seconds;
	return seconds;
}

static void
to_local(void *context, int64_t moment, int32_t *day, int32_t *second)
{
	int64_t		local = moment + offset_at(context, moment) * SECOND;
	int64_t		seconds = local / SECOND - (local % SECOND < 0);
	int64_t		days = seconds / PROMISE_DAY_SECONDS - (seconds % PROMISE_DAY_SECONDS < 0);

	*day = (int32_t) days;
	*second = (int32_t) (seconds - days * PROMISE_DAY_SECONDS);
}

/* The first moment of a time that comes twice; the gap's end for one that never comes. */
static int64_t
to_moment(void *context, int32_t day, int32_t second)
{
	TestZone   *zone = context;
	int64_t		local = ((int64_t) day * PROMISE_DAY_SECONDS + second) * SECOND;

	for (int i = 0; i < zone->count; i++)
	{
		int64_t		moment = local - zone->offsets[i].seconds * SECOND;

		if (i + 1 == zone->count || moment < zone->offsets[i + 1].from)
			return i > 0 && moment < zone->offsets[i].from ? zone->offsets[i].from : moment;
	}
	return local;
}

static int64_t
utc_moment(int year, int month, int day, int hour, int minute)
{
	return ((int64_t) day_of(year, month, day) * PROMISE_DAY_SECONDS + hour * 3600 + minute * 60) * SECOND;
}

static int64_t
at(TestZone *zone, int year, int month, int day, int hour, int minute)
{
	return to_moment(zone, day_of(year, month, day), hour * 3600 + minute * 60);
}

static void
make_zones(void)
{
	utc = (TestZone) {1, {{INT64_MIN, 0}}};
	berlin = (TestZone) {5, {{INT64_MIN, 3600}, {utc_moment(2026, 3, 29, 1, 0), 7200},
	{utc_moment(2026, 10, 25, 1, 0), 3600}, {utc_moment(2027, 3, 28, 1, 0), 7200}, {utc_moment(2027, 10, 31, 1, 0), 3600}}};
	auckland = (TestZone) {3, {{INT64_MIN, 13 * 3600}, {utc_moment(2026, 4, 4, 14, 0), 12 * 3600},
	{utc_moment(2026, 9, 26, 14, 0), 13 * 3600}}};
}

static void
check_equal(const char *what, int line, int64_t found, int64_t expected)
{
	checks++;
	if (found == expected)
		return;
	failures++;
	printf("line %d: %s is %lld, expected %lld (difference %.2f h)\n", line, what, (long long) found,
		   (long long) expected, (double) (found - expected) / 3600e6);
}

#define CHECK(found, expected) check_equal(#found, __LINE__, (int64_t) (found), (int64_t) (expected))

/* Monday to Friday, Saturday, Sunday. */
static PromiseCalendar
weekly(int opens, int closes, bool saturday, bool sunday)
{
	PromiseCalendar calendar = {0};

	for (int i = 0; i < 7; i++)
		if (i < 5 || (i == 5 && saturday) || (i == 6 && sunday))
			calendar.week[i] = (PromiseHours) {opens * 3600, closes * 3600};
	return calendar;
}

static PromiseSite
site_of(const PromiseCalendar *calendar, TestZone *zone)
{
	return (PromiseSite)
	{
		.calendar = calendar,.zone = {to_local, to_moment, zone},.cut_off = PROMISE_DAY_SECONDS,.collected_at = -1
	};
}

static PromiseCarriage
carriage_of(const PromiseCalendar *calendar, int days)
{
	return (PromiseCarriage)
	{
		.calendar = calendar,.delivered_by = PROMISE_DAY_SECONDS,.cut_off = -1,.collected_at = -1,.days = days,
			.days_latest = days
	};
}

static void
test_days(void)
{
	CHECK(day_of(2000, 1, 1), 0);
	CHECK(day_of(2000, 3, 1), 60);
	CHECK(day_of(2026, 11, 23), 9823);
	CHECK(promise_weekday(day_of(2000, 1, 1)), 5);
	CHECK(promise_weekday(day_of(1999, 12, 31)), 4);
	CHECK(promise_weekday(day_of(1999, 12, 26)), 6);
	CHECK(promise_weekday(day_of(2026, 11, 23)), 0);
	CHECK(promise_weekday(day_of(2024, 2, 29)), 3);
	CHECK(promise_weekday(day_of(1900, 1, 1)), 0);
}

/* Nothing is configured: it leaves and arrives by the end of the day. */
static void
test_defaults(void)
{
	PromiseSite site = site_of(NULL, &utc);
	PromiseCarriage carriage = carriage_of(NULL, 0);
	PromiseDates dates;

	CHECK(promise_dates(&site, &carriage, at(&utc, 2026, 11, 23, 22, 30), 0, &dates), PROMISE_OK);
	CHECK(dates.ready_at, at(&utc, 2026, 11, 23, 22, 30));
	CHECK(dates.ship_day, day_of(2026, 11, 23));
	CHECK(dates.ship_by, at(&utc, 2026, 11, 24, 0, 0) - SECOND);
	CHECK(dates.latest_at, at(&utc, 2026, 11, 24, 0, 0) - SECOND);
	CHECK(dates.pickup_at, dates.ready_at);
	carriage.days = -1;
	CHECK(promise_dates(&site, &carriage, at(&utc, 2026, 11, 23, 22, 30), 0, &dates), PROMISE_OK);
	CHECK(dates.delivered, false);
	CHECK(promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 22, 30), 0, &dates), PROMISE_OK);
	CHECK(dates.delivered, false);
	/* The same moment is the next day further east. */
	site.zone.context = &auckland;
	CHECK(promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 22, 30), 0, &dates), PROMISE_OK);
	CHECK(dates.ship_day, day_of(2026, 11, 24));
}

static void
test_cut_off(void)
{
	PromiseCalendar office = weekly(8, 18, false, false);
	PromiseSite site = site_of(&office, &utc);
	PromiseCarriage express = carriage_of(&office, 1);
	PromiseDates dates;

	site.cut_off = 14 * 3600;
	promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 14, 0) - 1, 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 11, 23));
	CHECK(dates.ship_by, at(&utc, 2026, 11, 23, 18, 0));
	promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 14, 0), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 11, 24));
	CHECK(dates.ready_at, at(&utc, 2026, 11, 24, 8, 0));
	/* Friday after the cut-off: Monday. */
	promise_dates(&site, NULL, at(&utc, 2026, 11, 27, 15, 0), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 11, 30));
	/* Saturday: Monday, whatever the time. */
	promise_dates(&site, NULL, at(&utc, 2026, 11, 28, 3, 0), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 11, 30));
	/* Before it opens: the same day. */
	promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 5, 0), 0, &dates);
	CHECK(dates.ready_at, at(&utc, 2026, 11, 23, 8, 0));
	CHECK(dates.ship_day, day_of(2026, 11, 23));
	/* A service with a later cut-off of its own. */
	express.cut_off = 16 * 3600;
	promise_dates(&site, &express, at(&utc, 2026, 11, 23, 15, 59), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 11, 23));
	promise_dates(&site, &express, at(&utc, 2026, 11, 23, 16, 0), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 11, 24));
	/* After closing there is no today, even without a cut-off. */
	site.cut_off = PROMISE_DAY_SECONDS;
	promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 18, 0), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 11, 24));
	promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 18, 0) - SECOND, 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 11, 23));
}

static void
test_handling(void)
{
	PromiseCalendar office = weekly(8, 18, false, false);
	PromiseSite site = site_of(&office, &utc);
	PromiseDates dates;

	site.handling_seconds = 4 * 3600;
	promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 14, 0), 0, &dates);
	CHECK(dates.ready_at, at(&utc, 2026, 11, 23, 18, 0));
	CHECK(dates.ship_day, day_of(2026, 11, 23));
	promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 14, 1), 0, &dates);
	CHECK(dates.ready_at, at(&utc, 2026, 11, 24, 8, 1));
	CHECK(dates.ship_day, day_of(2026, 11, 24));
	/* Over the weekend. */
	promise_dates(&site, NULL, at(&utc, 2026, 11, 27, 17, 0), 0, &dates);
	CHECK(dates.ready_at, at(&utc, 2026, 11, 30, 11, 0));
	/* Longer than several days. */
	site.handling_seconds = 25 * 3600;
	promise_dates(&site, NULL, at(&utc, 2026, 11, 26, 9, 0), 0, &dates);
	CHECK(dates.ready_at, at(&utc, 2026, 11, 30, 14, 0));
	/* Days before hours; from the second day on work begins at opening. */
	site.handling_days = 2;
	site.handling_seconds = 3600;
	promise_dates(&site, NULL, at(&utc, 2026, 11, 26, 9, 0), 0, &dates);
	CHECK(dates.ready_at, at(&utc, 2026, 11, 30, 9, 0));
	/* Collected earlier than ready: the next day. */
	site.handling_days = 0;
	site.handling_seconds = 3 * 3600;
	site.collected_at = 12 * 3600;
	promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 9, 0), 0, &dates);
	CHECK(dates.ship_by, at(&utc, 2026, 11, 23, 12, 0));
	promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 9, 1), 0, &dates);
	CHECK(dates.ship_by, at(&utc, 2026, 11, 24, 12, 0));
	CHECK(dates.pickup_at, at(&utc, 2026, 11, 24, 8, 0));
	/* Never collected after closing. */
	site.collected_at = 20 * 3600;
	promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 9, 1), 0, &dates);
	CHECK(dates.ship_by, at(&utc, 2026, 11, 23, 18, 0));
}

static void
test_transit(void)
{
	PromiseCalendar office = weekly(8, 18, false, false);
	PromiseCalendar post = weekly(0, 24, true, false);
	PromiseCalendar weekend = {0};
	PromiseSite site = site_of(&office, &utc);
	PromiseCarriage carriage = carriage_of(&post, 2);
	PromiseDates dates;

	weekend.week[5] = weekend.week[6] = (PromiseHours) {0, PROMISE_DAY_SECONDS};
	/* Friday + 2 with Saturday working and Sunday not: Monday. */
	promise_dates(&site, &carriage, at(&utc, 2026, 11, 27, 9, 0), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 11, 27));
	CHECK(dates.latest_day, day_of(2026, 11, 30));
	/* Delivered from Monday to Friday only, travelling on Saturday: Saturday becomes Monday. */
	carriage.delivery = &office;
	carriage.days = carriage.days_latest = 1;
	promise_dates(&site, &carriage, at(&utc, 2026, 11, 27, 9, 0), 0, &dates);
	CHECK(dates.latest_day, day_of(2026, 11, 30));
	/* Earliest and latest. */
	carriage.days_latest = 3;
	carriage.delivered_by = 20 * 3600;
	promise_dates(&site, &carriage, at(&utc, 2026, 11, 23, 9, 0), 0, &dates);
	CHECK(dates.earliest_at, at(&utc, 2026, 11, 24, 20, 0));
	CHECK(dates.latest_at, at(&utc, 2026, 11, 26, 20, 0));
	/* A carrier of the weekend and a location of the week share no day. */
	carriage = carriage_of(&weekend, 1);
	CHECK(promise_dates(&site, &carriage, at(&utc, 2026, 11, 23, 9, 0), 0, &dates), PROMISE_NO_SHIP_DAY);
	/* It does with a location that opens on Saturday: collected then, delivered on Sunday. */
	office = weekly(8, 18, true, false);
	CHECK(promise_dates(&site, &carriage, at(&utc, 2026, 11, 23, 9, 0), 0, &dates), PROMISE_OK);
	CHECK(dates.ship_day, day_of(2026, 11, 28));
	CHECK(dates.latest_day, day_of(2026, 11, 29));
	carriage.days = carriage.days_latest = 2;
	promise_dates(&site, &carriage, at(&utc, 2026, 11, 23, 9, 0), 0, &dates);
	CHECK(dates.latest_day, day_of(2026, 12, 5));
	/* The same day, unless its delivery is over before it leaves. */
	carriage = carriage_of(NULL, 0);
	carriage.delivered_by = 20 * 3600;
	promise_dates(&site, &carriage, at(&utc, 2026, 11, 23, 9, 0), 0, &dates);
	CHECK(dates.latest_at, at(&utc, 2026, 11, 23, 20, 0));
	carriage.delivered_by = 12 * 3600;
	promise_dates(&site, &carriage, at(&utc, 2026, 11, 23, 9, 0), 0, &dates);
	CHECK(dates.latest_at, at(&utc, 2026, 11, 24, 12, 0));
	/* A later first day, as when the days before are full. */
	promise_dates(&site, &carriage, at(&utc, 2026, 11, 23, 9, 0), day_of(2026, 11, 29), &dates);
	CHECK(dates.ship_day, day_of(2026, 11, 30));
	CHECK(dates.latest_day, day_of(2026, 12, 1));
}

static void
test_holidays(void)
{
	PromiseException days[] = {
		{day_of(2026, 12, 24), day_of(2026, 12, 24), {8 * 3600, 12 * 3600}},
		{day_of(2026, 12, 25), day_of(2026, 12, 26), {0, 0}},
		{day_of(2027, 1, 1), day_of(2027, 1, 1), {0, 0}},
		{day_of(2027, 1, 3), day_of(2027, 1, 3), {10 * 3600, 14 * 3600}},
	};
	PromiseException own[] = {{day_of(2026, 12, 28), day_of(2027, 1, 2), {0, 0}},
	{day_of(2027, 1, 4), day_of(2027, 1, 4), {0, 0}}};
	PromiseCalendar office = weekly(8, 18, false, false);
	PromiseCalendar outage = {.base = &office,.exception_count = LENGTH(own),.exceptions = own};
	PromiseSite site = site_of(&office, &berlin);
	PromiseCarriage carriage = carriage_of(&office, 1);
	PromiseDates dates;

	office.exceptions = days;
	office.exception_count = LENGTH(days);
	/* Christmas Eve closes at noon; then two holidays and a Sunday. */
	promise_dates(&site, &carriage, at(&berlin, 2026, 12, 24, 11, 0), 0, &dates);
	CHECK(dates.ship_by, at(&berlin, 2026, 12, 24, 12, 0));
	CHECK(dates.latest_day, day_of(2026, 12, 28));
	promise_dates(&site, &carriage, at(&berlin, 2026, 12, 24, 12, 0), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 12, 28));
	/* The end of a year. */
	promise_dates(&site, &carriage, at(&berlin, 2026, 12, 31, 17, 59), 0, &dates);
	CHECK(dates.ship_by, at(&berlin, 2026, 12, 31, 18, 0));
	CHECK(dates.latest_day, day_of(2027, 1, 3));
	/* A Sunday that is open, as the calendar says. */
	promise_dates(&site, &carriage, at(&berlin, 2026, 12, 31, 23, 0), 0, &dates);
	CHECK(dates.ship_by, at(&berlin, 2027, 1, 3, 14, 0));
	/* An outage of the location itself, above the calendar of all. */
	site.calendar = &outage;
	promise_dates(&site, &carriage, at(&berlin, 2026, 12, 24, 12, 0), 0, &dates);
	CHECK(dates.ship_by, at(&berlin, 2027, 1, 3, 14, 0));
	CHECK(dates.latest_day, day_of(2027, 1, 4));
	site.handling_days = 1;
	promise_dates(&site, &carriage, at(&berlin, 2026, 12, 24, 12, 0), 0, &dates);
	CHECK(dates.ship_day, day_of(2027, 1, 5));
}

static void
test_leap_days(void)
{
	PromiseSite site = site_of(NULL, &utc);
	PromiseCarriage carriage = carriage_of(NULL, 1);
	PromiseDates dates;

	promise_dates(&site, &carriage, at(&utc, 2028, 2, 28, 12, 0), 0, &dates);
	CHECK(dates.latest_day, day_of(2028, 2, 29));
	promise_dates(&site, &carriage, at(&utc, 2028, 2, 29, 12, 0), 0, &dates);
	CHECK(dates.latest_day, day_of(2028, 3, 1));
	promise_dates(&site, &carriage, at(&utc, 2027, 2, 28, 12, 0), 0, &dates);
	CHECK(dates.latest_day, day_of(2027, 3, 1));
	promise_dates(&site, &carriage, at(&utc, 2100, 2, 28, 12, 0), 0, &dates);
	CHECK(dates.latest_day, day_of(2100, 3, 1));
	carriage.days = carriage.days_latest = 366;
	promise_dates(&site, &carriage, at(&utc, 2027, 12, 31, 12, 0), 0, &dates);
	CHECK(dates.latest_day, day_of(2028, 12, 31));
}

static void
test_clock_changes(void)
{
	PromiseCalendar night = weekly(0, 24, true, true);
	PromiseCalendar early = weekly(2, 10, true, true);
	PromiseSite site = site_of(&night, &berlin);
	PromiseDates dates;

	/* 29 March 2026 has 23 hours: six hours from 23:00 end at 6:00. */
	site.handling_seconds = 6 * 3600;
	promise_dates(&site, NULL, at(&berlin, 2026, 3, 28, 23, 0), 0, &dates);
	CHECK(dates.ready_at, at(&berlin, 2026, 3, 29, 6, 0));
	CHECK(dates.ready_at - at(&berlin, 2026, 3, 28, 23, 0), 6 * 3600 * SECOND);
	/* 25 October has 25: they end at 4:00. */
	promise_dates(&site, NULL, at(&berlin, 2026, 10, 24, 23, 0), 0, &dates);
	CHECK(dates.ready_at, at(&berlin, 2026, 10, 25, 4, 0));
	/* The whole day of 25 hours is working time. */
	site.handling_seconds = 25 * 3600;
	promise_dates(&site, NULL, at(&berlin, 2026, 10, 25, 0, 0), 0, &dates);
	CHECK(dates.ready_at, at(&berlin, 2026, 10, 26, 0, 0));
	CHECK(dates.ship_day, day_of(2026, 10, 25) + 1);
	/* The limit of a day is the last second of it, on both. */
	site.handling_seconds = 0;
	promise_dates(&site, NULL, at(&berlin, 2026, 3, 29, 12, 0), 0, &dates);
	CHECK(dates.ship_by, at(&berlin, 2026, 3, 30, 0, 0) - SECOND);
	promise_dates(&site, NULL, at(&berlin, 2026, 10, 25, 12, 0), 0, &dates);
	CHECK(dates.ship_by, at(&berlin, 2026, 10, 26, 0, 0) - SECOND);
	/* Opening at an hour that does not come that day: an hour later. */
	site.calendar = &early;
	promise_dates(&site, NULL, at(&berlin, 2026, 3, 29, 0, 30), 0, &dates);
	CHECK(dates.ready_at, utc_moment(2026, 3, 29, 1, 0));
	/* An hour that comes twice: what is ordered in the second is not ready in the first. */
	promise_dates(&site, NULL, utc_moment(2026, 10, 25, 1, 30), 0, &dates);
	CHECK(dates.ready_at, utc_moment(2026, 10, 25, 1, 30));
	promise_dates(&site, NULL, utc_moment(2026, 10, 25, 0, 30), 0, &dates);
	CHECK(dates.ready_at, utc_moment(2026, 10, 25, 0, 30));
	/* A cut-off is wall time before and after the change. */
	site.calendar = &night;
	site.cut_off = 12 * 3600;
	promise_dates(&site, NULL, utc_moment(2026, 3, 28, 10, 59), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 3, 28));
	promise_dates(&site, NULL, utc_moment(2026, 3, 28, 11, 0), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 3, 29));
	promise_dates(&site, NULL, utc_moment(2026, 3, 29, 9, 59), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 3, 29));
	promise_dates(&site, NULL, utc_moment(2026, 3, 29, 10, 0), 0, &dates);
	CHECK(dates.ship_day, day_of(2026, 3, 30));
	/* South of the equator the clocks go the other way. */
	site = site_of(&night, &auckland);
	site.handling_seconds = 24 * 3600;
	promise_dates(&site, NULL, at(&auckland, 2026, 4, 4, 12, 0), 0, &dates);
	CHECK(dates.ready_at, at(&auckland, 2026, 4, 5, 11, 0));
	promise_dates(&site, NULL, at(&auckland, 2026, 9, 26, 12, 0), 0, &dates);
	CHECK(dates.ready_at, at(&auckland, 2026, 9, 27, 13, 0));
}

static void
test_impossible(void)
{
	PromiseCalendar never = {0};
	PromiseException once = {day_of(2027, 11, 24), day_of(2027, 11, 24), {0, 3600}};
	PromiseSite site = site_of(&never, &utc);
	PromiseCarriage carriage = carriage_of(&never, 1);
	PromiseDates dates;
	int32_t		day = day_of(2026, 11, 23);

	CHECK(promise_dates(&site, NULL, at(&utc, 2026, 11, 23, 9, 0), 0, &dates), PROMISE_NO_OPEN_DAY);
	CHECK(promise_next_open(&never, &day), false);
	/* The horizon: its last day counts, the one after does not. */
	never.exceptions = &once;
	never.exception_count = 1;
	CHECK(promise_next_open(&never, &day), true);
	CHECK(day, day_of(2027, 11, 24));
	day = once.first_day - PROMISE_HORIZON_DAYS;
	CHECK(promise_next_open(&never, &day), true);
	day = once.first_day - PROMISE_HORIZON_DAYS - 1;
	CHECK(promise_next_open(&never, &day), false);
	/* Always open, but the carrier works once only: it can leave and never arrives. */
	site.calendar = NULL;
	CHECK(promise_dates(&site, &carriage, at(&utc, 2027, 11, 20, 9, 0), 0, &dates), PROMISE_NO_DELIVERY_DAY);
	carriage.days = carriage.days_latest = 0;
	CHECK(promise_dates(&site, &carriage, at(&utc, 2027, 11, 20, 9, 0), 0, &dates), PROMISE_OK);
	CHECK(dates.latest_day, once.first_day);
	/* Handling that needs more days than there are. */
	site.calendar = &never;
	site.handling_days = 1;
	CHECK(promise_dates(&site, NULL, at(&utc, 2027, 11, 20, 9, 0), 0, &dates), PROMISE_NO_OPEN_DAY);
	site.handling_days = 0;
	site.handling_seconds = 3601;
	CHECK(promise_dates(&site, NULL, at(&utc, 2027, 11, 20, 9, 0), 0, &dates), PROMISE_NO_OPEN_DAY);
	site.handling_seconds = 3600;
	CHECK(promise_dates(&site, NULL, at(&utc, 2027, 11, 20, 9, 0), 0, &dates), PROMISE_OK);
}

/*
 * Every hour of two years: the dates follow one another, lie on open days and
 * never go back when the order comes later.
 */
static void
test_order_of_dates(void)
{
	PromiseException days[] = {{day_of(2026, 5, 1), day_of(2026, 5, 1), {0, 0}},
	{day_of(2026, 12, 24), day_of(2027, 1, 1), {0, 0}}};
	PromiseCalendar office = weekly(7, 19, true, false);
	PromiseCalendar post = weekly(0, 24, false, false);
	PromiseSite site = site_of(&office, &berlin);
	PromiseCarriage carriage = carriage_of(&post, 2);
	PromiseDates before = {0};

	office.exceptions = days;
	office.exception_count = LENGTH(days);
	site.cut_off = 15 * 3600;
	site.collected_at = 17 * 3600;
	site.handling_seconds = 5 * 3600;
	carriage.days_latest = 4;
	for (int64_t moment = at(&utc, 2026, 1, 1, 0, 7); moment < at(&utc, 2028, 1, 1, 0, 0); moment += 3600 * SECOND)
	{
		PromiseDates dates;
		bool		sound = promise_dates(&site, &carriage, moment, 0, &dates) == PROMISE_OK;

		sound = sound && dates.ready_at >= moment + 5 * 3600 * SECOND && dates.ship_by >= dates.ready_at &&
			dates.earliest_at >= dates.ship_by && dates.latest_at >= dates.earliest_at &&
			promise_is_open(&office, dates.ship_day) && promise_is_open(&post, dates.ship_day) &&
			promise_is_open(&post, dates.latest_day) && dates.latest_day - dates.ship_day >= 4;
		sound = sound && dates.ready_at >= before.ready_at && dates.ship_by >= before.ship_by &&
			dates.latest_at >= before.latest_at;
		if (!sound)
			printf("order at %lld\n", (long long) moment);
		CHECK(sound, true);
		before = dates;
	}
}

int
main(void)
{
	make_zones();
	test_days();
	test_defaults();
	test_cut_off();
	test_handling();
	test_transit();
	test_holidays();
	test_leap_days();
	test_clock_changes();
	test_impossible();
	test_order_of_dates();
	printf("%d checks, %d failures\n", checks, failures);
	return failures > 0;
}
