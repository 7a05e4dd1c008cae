/*
 * calendar.c
 *	  Calendars: loading and checking them, and the thin layer between
 *	  promise.c and the tables and time zones of the server.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "pgtime.h"
#include "utils/date.h"
#include "utils/datetime.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "call.h"
#include "calendar.h"
#include "document.h"
#include "event.h"
#include "location.h"
#include "relation.h"

#define CALENDAR_DAYS_MAX 10000

/* ---- Texts ---- */

/* HH:MM or HH:MM:SS up to 24:00. */
bool
oms_parse_time_of_day(const char *text, int32 *seconds)
{
	int			hour;
	int			minute;
	int			second = 0;
	int			length = 0;
	bool		whole = sscanf(text, "%2d:%2d%n", &hour, &minute, &length) == 2 &&
	(text[length] == '\0' || (sscanf(text + length, ":%2d%n", &second, &length) == 1 && strlen(text) == 8));

	if (!whole || strspn(text, "0123456789:") != strlen(text) || hour > 24 || minute > 59 || second > 59)
		return false;
	*seconds = hour * 3600 + minute * 60 + second;
	return *seconds <= PROMISE_DAY_SECONDS;
}

/* YYYY-MM-DD; the days count from 2000-01-01. */
bool
oms_parse_day(const char *text, int32 *day)
{
	int			year;
	int			month;
	int			day_of_month;
	int			julian;
	int			again[3];

	if (strlen(text) != 10 || strspn(text, "0123456789-") != 10 ||
		sscanf(text, "%4d-%2d-%2d", &year, &month, &day_of_month) != 3 || year < 1 || month < 1 || month > 12)
		return false;
	julian = date2j(year, month, day_of_month);
	j2date(julian, &again[0], &again[1], &again[2]);
	*day = julian - POSTGRES_EPOCH_JDATE;
	return again[0] == year && again[1] == month && again[2] == day_of_month;
}

/* ---- Zones ---- */

static void
to_local(void *context, int64 moment, int32 *day, int32 *second)
{
	struct pg_tm tm;
	fsec_t		fraction;
	int			offset;

	if (timestamp2tm(moment, &offset, &tm, &fraction, NULL, context) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	*day = date2j(tm.tm_year, tm.tm_mon, tm.tm_mday) - POSTGRES_EPOCH_JDATE;
	*second = tm.tm_hour * 3600 + tm.tm_min * 60 + tm.tm_sec;
}

static int64
to_moment(void *context, int32 day, int32 second)
{
	struct pg_tm tm = {0};
	TimestampTz moment;
	int			offset;

	day += second / PROMISE_DAY_SECONDS;
	second %= PROMISE_DAY_SECONDS;
	j2date(day + POSTGRES_EPOCH_JDATE, &tm.tm_year, &tm.tm_mon, &tm.tm_mday);
	tm.tm_hour = second / 3600;
	tm.tm_min = second / 60 % 60;
	tm.tm_sec = second % 60;
	offset = DetermineTimeZoneOffset(&tm, context);
	if (tm2timestamp(&tm, 0, &offset, &moment) != 0)
		ereport(ERROR, (errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE), errmsg("timestamp out of range")));
	return moment;
}

/* ---- What one backend knows ---- */

typedef struct CalendarEntry
{
	char		code[OMS_CODE_BYTES_MAX + 1];
	PromiseCalendar calendar;
	int			capacity;
} CalendarEntry;

typedef struct SiteEntry
{
	int64		location_id;
	Site		site;
} SiteEntry;

typedef struct ServiceEntry
{
	char		code[OMS_CODE_BYTES_MAX + 1];
	PromiseCarriage carriage;
} ServiceEntry;

static struct
{
	MemoryContext context;
	uint64		generation;
	int32		tenant;
	bool		configured;
	HTAB	   *calendars;
	HTAB	   *sites;
	HTAB	   *services;
}			cache;

static OmsPlan hours_plan = {
	.sql = "SELECT c.code, h.weekday, extract(epoch FROM h.opens)::int, extract(epoch FROM h.closes)::int"
	" FROM {calendars} c LEFT JOIN {calendar_hours} h ON h.tenant_id = $1 AND h.calendar = c.code"
	" WHERE c.tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

/* An opens of -1 is a closed day. */
static OmsPlan days_plan = {
	.sql = "SELECT calendar, first_day, last_day, coalesce(extract(epoch FROM opens)::int, -1),"
	" coalesce(extract(epoch FROM closes)::int, -1) FROM {calendar_days} WHERE tenant_id = $1 AND location = ''"
	" ORDER BY calendar, first_day",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan sites_plan = {
	.sql = "SELECT location_id, handling_days, round(handling_hours * 3600)::bigint, time_zone, calendar,"
	" coalesce(extract(epoch FROM cut_off)::int, -1), coalesce(extract(epoch FROM collected_at)::int, -1),"
	" limited OR daily_capacity IS NOT NULL, coalesce(daily_capacity, -1), capacity_unit = 'unit'"
	" FROM {locations} WHERE tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan own_days_plan = {
	.sql = "SELECT l.location_id, d.first_day, d.last_day, coalesce(extract(epoch FROM d.opens)::int, -1),"
	" coalesce(extract(epoch FROM d.closes)::int, -1) FROM {calendar_days} d JOIN {locations} l ON l.tenant_id = $1"
	" AND l.code = d.location AND l.calendar = d.calendar WHERE d.tenant_id = $1 AND d.location <> ''"
	" ORDER BY l.location_id, d.first_day",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan location_services_plan = {
	.sql = "SELECT location_id, service, coalesce(extract(epoch FROM cut_off)::int, -1),"
	" coalesce(extract(epoch FROM collected_at)::int, -1) FROM {location_services} WHERE tenant_id = $1"
	" ORDER BY location_id",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan services_plan = {
	.sql = "SELECT code, calendar, delivery_calendar, extract(epoch FROM delivered_by)::int FROM {carrier_services}"
	" WHERE tenant_id = $1 AND (calendar IS NOT NULL OR delivery_calendar IS NOT NULL OR delivered_by <> '24:00')",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan transit_plan = {
	.sql = "SELECT EXISTS (SELECT FROM {transit_times} WHERE tenant_id = $1)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static const PromiseCalendar *
find_calendar(const char *code)
{
	char		key[OMS_CODE_BYTES_MAX + 1] = {0};
	CalendarEntry *entry;

	if (code == NULL)
		return NULL;
	strlcpy(key, code, sizeof(key));
	entry = hash_search(cache.calendars, key, HASH_FIND, NULL);
	return entry ? &entry->calendar : NULL;
}

static void
collect_hours(TupleTableSlot *slot, void *state)
{
	char		key[OMS_CODE_BYTES_MAX + 1] = {0};
	CalendarEntry *entry;
	bool		found;
	int32		weekday = oms_slot_int32(slot, 2);

	strlcpy(key, oms_slot_text(slot, 1), sizeof(key));
	entry = hash_search(cache.calendars, key, HASH_ENTER, &found);
	if (!found)
	{
		memset(&entry->calendar, 0, sizeof(entry->calendar));
		entry->capacity = 0;
	}
	if (weekday > 0)
		entry->calendar.week[weekday - 1] = (PromiseHours)
	{
		oms_slot_int32(slot, 3), oms_slot_int32(slot, 4)
	};
}

/* Adds a row of columns 2 to 5 to the exceptions of a calendar. */
static void
add_exception(PromiseCalendar *calendar, int *capacity, TupleTableSlot *slot)
{
	PromiseException *exceptions = unconstify(PromiseException *, calendar->exceptions);
	bool		isnull;

	if (calendar->exception_count == *capacity)
	{
		*capacity = Max(16, *capacity * 2);
		exceptions = exceptions ? repalloc(exceptions, sizeof(PromiseException) * *capacity)
			: palloc(sizeof(PromiseException) * *capacity);
		calendar->exceptions = exceptions;
	}
	exceptions[calendar->exception_count++] = (PromiseException)
	{
		DatumGetDateADT(oms_slot_datum(slot, 2, &isnull)), DatumGetDateADT(oms_slot_datum(slot, 3, &isnull)),
		{
			oms_slot_int32(slot, 4), oms_slot_int32(slot, 5)
		}
	};
}

static void
collect_day(TupleTableSlot *slot, void *state)
{
	char		key[OMS_CODE_BYTES_MAX + 1] = {0};
	CalendarEntry *entry;

	strlcpy(key, oms_slot_text(slot, 1), sizeof(key));
	entry = hash_search(cache.calendars, key, HASH_FIND, NULL);
	if (entry)
		add_exception(&entry->calendar, &entry->capacity, slot);
}

static void
collect_site(TupleTableSlot *slot, void *state)
{
	int64		location_id = oms_slot_int64(slot, 1);
	SiteEntry  *entry = hash_search(cache.sites, &location_id, HASH_ENTER, NULL);
	PromiseSite *promise = &entry->site.promise;
	pg_tz	   *zone = pg_tzset(oms_slot_text(slot, 4));

	memset(&entry->site, 0, sizeof(entry->site));
	entry->site.location_id = location_id;
	promise->handling_days = oms_slot_int32(slot, 2);
	promise->handling_seconds = oms_slot_int64(slot, 3);
	promise->calendar = find_calendar(oms_slot_text(slot, 5));
	promise->cut_off = oms_slot_int32(slot, 6);
	promise->collected_at = oms_slot_int32(slot, 7);
	entry->site.limited = oms_slot_bool(slot, 8);
	entry->site.daily_capacity = oms_slot_int32(slot, 9);
	entry->site.by_units = oms_slot_bool(slot, 10);

	/* The table may be edited by hand: check_network names zones that are none. */
	promise->zone = (PromiseZone)
	{
		to_local, to_moment, zone ? zone : pg_tzset("UTC")
	};
	cache.configured |= promise->handling_days > 0 || promise->handling_seconds > 0 || promise->calendar ||
		promise->cut_off >= 0 || promise->collected_at >= 0 || entry->site.limited;
	if (promise->cut_off < 0)
		promise->cut_off = PROMISE_DAY_SECONDS;
}

/* Days of one location only lie above the calendar that it shares. */
static void
collect_own_day(TupleTableSlot *slot, void *state)
{
	int64		location_id = oms_slot_int64(slot, 1);
	int		   *capacity = state;
	SiteEntry  *entry = hash_search(cache.sites, &location_id, HASH_FIND, NULL);
	PromiseCalendar *own;

	if (entry == NULL)
		return;
	if (entry->site.promise.calendar->base == NULL)
	{
		own = palloc0(sizeof(PromiseCalendar));
		own->base = entry->site.promise.calendar;
		entry->site.promise.calendar = own;
		*capacity = 0;
	}
	add_exception(unconstify(PromiseCalendar *, entry->site.promise.calendar), capacity, slot);
}

static void
collect_location_service(TupleTableSlot *slot, void *state)
{
	int64		location_id = oms_slot_int64(slot, 1);
	SiteEntry  *entry = hash_search(cache.sites, &location_id, HASH_FIND, NULL);
	Site	   *site;

	if (entry == NULL)
		return;
	site = &entry->site;
	site->services = site->services ? repalloc(site->services, sizeof(SiteService) * (site->service_count + 1))
		: palloc(sizeof(SiteService));
	site->services[site->service_count++] = (SiteService)
	{
		oms_slot_text(slot, 2), oms_slot_int32(slot, 3), oms_slot_int32(slot, 4)
	};
	cache.configured = true;
}

static void
collect_service(TupleTableSlot *slot, void *state)
{
	char		key[OMS_CODE_BYTES_MAX + 1] = {0};
	ServiceEntry *entry;

	strlcpy(key, oms_slot_text(slot, 1), sizeof(key));
	entry = hash_search(cache.services, key, HASH_ENTER, NULL);
	memset(&entry->carriage, 0, sizeof(entry->carriage));
	entry->carriage.calendar = find_calendar(oms_slot_text(slot, 2));
	entry->carriage.delivery = find_calendar(oms_slot_text(slot, 3));
	entry->carriage.delivered_by = oms_slot_int32(slot, 4);
	cache.configured = true;
}

static void
collect_transit(TupleTableSlot *slot, void *state)
{
	cache.configured |= oms_slot_bool(slot, 1);
}

static HTAB *
make_hash(const char *name, Size key_size, Size entry_size, int flags)
{
	HASHCTL		control = {.keysize = key_size,.entrysize = entry_size,.hcxt = cache.context};

	return hash_create(name, 64, &control, HASH_ELEM | HASH_CONTEXT | flags);
}

static void
load(void)
{
	Datum		values[1] = {Int32GetDatum(oms_call->tenant)};
	int			capacity = 0;

	cache.configured = false;
	cache.calendars = make_hash("oms calendars", OMS_CODE_BYTES_MAX + 1, sizeof(CalendarEntry), HASH_STRINGS);
	cache.sites = make_hash("oms sites", sizeof(int64), sizeof(SiteEntry), HASH_BLOBS);
	cache.services = make_hash("oms carriages", OMS_CODE_BYTES_MAX + 1, sizeof(ServiceEntry), HASH_STRINGS);
	(void) oms_execute_latest(&hours_plan, values, collect_hours, NULL);
	(void) oms_execute_latest(&days_plan, values, collect_day, NULL);
	(void) oms_execute_latest(&sites_plan, values, collect_site, NULL);
	(void) oms_execute_latest(&own_days_plan, values, collect_own_day, &capacity);
	(void) oms_execute_latest(&location_services_plan, values, collect_location_service, NULL);
	(void) oms_execute_latest(&services_plan, values, collect_service, NULL);
	(void) oms_execute_latest(&transit_plan, values, collect_transit, NULL);
}

static void
refresh(void)
{
	uint64		generation = oms_configuration_generation();
	MemoryContext old;

	if (likely(cache.generation == generation && cache.tenant == oms_call->tenant))
		return;
	if (cache.context == NULL)
		cache.context = AllocSetContextCreate(TopMemoryContext, "oms calendars", ALLOCSET_DEFAULT_SIZES);
	cache.generation = 0;
	MemoryContextReset(cache.context);
	old = MemoryContextSwitchTo(cache.context);
	load();
	MemoryContextSwitchTo(old);
	cache.tenant = oms_call->tenant;
	cache.generation = generation;
}

bool
oms_calendar_exists(const char *code)
{
	refresh();
	return strlen(code) <= OMS_CODE_BYTES_MAX && find_calendar(code) != NULL;
}

/* Whether the tenant says anything about time: otherwise nothing is promised. */
bool
oms_dates_configured(void)
{
	refresh();
	return cache.configured;
}

/* NULL where the location is not known. */
const Site *
oms_dates_site(int64 location_id)
{
	SiteEntry  *entry;

	refresh();
	entry = hash_search(cache.sites, &location_id, HASH_FIND, NULL);
	return entry ? &entry->site : NULL;
}

/* A service (NULL: any) from a site, with so many days of transit (-1: not known). */
void
oms_dates_carriage(const Site *site, const char *service, int32 days, int32 days_latest, PromiseCarriage *carriage)
{
	char		key[OMS_CODE_BYTES_MAX + 1] = {0};
	ServiceEntry *entry = NULL;

	refresh();
	if (service)
	{
		strlcpy(key, service, sizeof(key));
		entry = hash_search(cache.services, key, HASH_FIND, NULL);
	}
	if (entry)
		*carriage = entry->carriage;
	else
		*carriage = (PromiseCarriage) {.delivered_by = PROMISE_DAY_SECONDS};
	carriage->cut_off = carriage->collected_at = -1;
	carriage->days = days;
	carriage->days_latest = days_latest;
	for (int i = 0; service && i < site->service_count; i++)
		if (strcmp(site->services[i].service, service) == 0)
		{
			carriage->cut_off = site->services[i].cut_off;
			carriage->collected_at = site->services[i].collected_at;
		}
}

int32
oms_dates_local_day(const Site *site, TimestampTz at)
{
	int32		day;
	int32		second;

	site->promise.zone.to_local(site->promise.zone.context, at, &day, &second);
	return day;
}

/* ---- Saving ---- */

typedef struct HoursDocument
{
	char	   *opens;
	char	   *closes;
	int32		weekday;
} HoursDocument;

typedef struct DayDocument
{
	char	   *first;
	char	   *last;
	char	   *opens;
	char	   *closes;
	char	   *location;
	char	   *note;
} DayDocument;

typedef struct CalendarDocument
{
	char	   *code;
	char	   *name;
	DocArray	hours;
	DocArray	days;
} CalendarDocument;

static const DocField hours_fields[] = {
	{"weekday", DOC_INT, offsetof(HoursDocument, weekday), .required = true,.least = 1,.most = 7},
	{"opens", DOC_TEXT, offsetof(HoursDocument, opens)},
	{"closes", DOC_TEXT, offsetof(HoursDocument, closes)},
};

static const DocShape hours_shape = DOC_SHAPE_OF(HoursDocument, hours_fields, "opening hours");

static const DocField day_fields[] = {
	{"from", DOC_TEXT, offsetof(DayDocument, first), .required = true},
	{"to", DOC_TEXT, offsetof(DayDocument, last)},
	{"opens", DOC_TEXT, offsetof(DayDocument, opens)},
	{"closes", DOC_TEXT, offsetof(DayDocument, closes)},
	{"location", DOC_CODE, offsetof(DayDocument, location)},
	{"note", DOC_TEXT, offsetof(DayDocument, note)},
};

static const DocShape day_shape = DOC_SHAPE_OF(DayDocument, day_fields, "a special day");

static const DocField calendar_fields[] = {
	{"code", DOC_CODE, offsetof(CalendarDocument, code), .required = true},
	{"name", DOC_TEXT, offsetof(CalendarDocument, name)},
	{"hours", DOC_ARRAY, offsetof(CalendarDocument, hours), .most = 7,.shape = &hours_shape},
	{"days", DOC_ARRAY, offsetof(CalendarDocument, days), .most = CALENDAR_DAYS_MAX,.shape = &day_shape},
};

static const DocShape calendar_shape = DOC_SHAPE_OF(CalendarDocument, calendar_fields, "a calendar");

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {calendars} (tenant_id, code) SELECT $1, u.code FROM jsonb_to_recordset($2) u(code text)"
	" ORDER BY u.code ON CONFLICT (tenant_id, code) DO NOTHING RETURNING code",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan update_plan = {
	.sql = "UPDATE {calendars} c SET name = coalesce(u.name, c.name)"
	" FROM jsonb_to_recordset($2) u(code text, name text) WHERE c.tenant_id = $1 AND c.code = u.code",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan delete_hours_plan = {
	.sql = "DELETE FROM {calendar_hours} h USING jsonb_to_recordset($2) u(code text, hours jsonb)"
	" WHERE h.tenant_id = $1 AND h.calendar = u.code AND u.hours IS NOT NULL",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan insert_hours_plan = {
	.sql = "INSERT INTO {calendar_hours} (tenant_id, calendar, weekday, opens, closes)"
	" SELECT $1, u.code, h.weekday, coalesce(h.opens, '00:00'), coalesce(h.closes, '24:00')"
	" FROM jsonb_to_recordset($2) u(code text, hours jsonb)"
	" CROSS JOIN LATERAL jsonb_to_recordset(u.hours) h(weekday int, opens time, closes time)"
	" WHERE u.hours IS NOT NULL",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

/* A new calendar without hours is open every day. */
static OmsPlan default_hours_plan = {
	.sql = "INSERT INTO {calendar_hours} (tenant_id, calendar, weekday) SELECT $1, u.code, w"
	" FROM jsonb_to_recordset($2) u(code text, hours jsonb) CROSS JOIN generate_series(1, 7) w"
	" WHERE u.hours IS NULL AND u.code = ANY ($3)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID, TEXTARRAYOID)
};

static OmsPlan delete_days_plan = {
	.sql = "DELETE FROM {calendar_days} d USING jsonb_to_recordset($2) u(code text, days jsonb)"
	" WHERE d.tenant_id = $1 AND d.calendar = u.code AND u.days IS NOT NULL",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan insert_days_plan = {
	.sql = "INSERT INTO {calendar_days} (tenant_id, calendar, location, first_day, last_day, opens, closes, note)"
	" SELECT $1, u.code, coalesce(d.location, ''), d.\"from\", coalesce(d.\"to\", d.\"from\"),"
	" CASE WHEN d.closes IS NOT NULL THEN coalesce(d.opens, '00:00') ELSE d.opens END,"
	" CASE WHEN d.opens IS NOT NULL THEN coalesce(d.closes, '24:00') ELSE d.closes END, d.note"
	" FROM jsonb_to_recordset($2) u(code text, days jsonb)"
	" CROSS JOIN LATERAL jsonb_to_recordset(u.days) d(\"from\" date, \"to\" date, opens time, closes time,"
	" location text, note text) WHERE u.days IS NOT NULL",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static bool
check_time(const char *text, int32 otherwise, const char *place, int32 *seconds, FaultList *faults)
{
	*seconds = otherwise;
	if (text == NULL || oms_parse_time_of_day(text, seconds))
		return true;
	oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Write HH:MM, at most 24:00.", place, "\"%s\" is not a time of day", text);
	return false;
}

static void
check_hours(const char *opens, const char *closes, const char *place, FaultList *faults)
{
	int32		from;
	int32		to;

	if (check_time(opens, 0, place, &from, faults) && check_time(closes, PROMISE_DAY_SECONDS, place, &to, faults) &&
		from >= to)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A night belongs to two days.", place, "closes before it opens");
}

typedef struct DaySpan
{
	const char *location;
	int32		first;
	int32		last;
} DaySpan;

static int
compare_spans(const void *left, const void *right)
{
	const DaySpan *a = left;
	const DaySpan *b = right;
	int			order = strcmp(a->location, b->location);

	if (order != 0)
		return order;
	return a->first < b->first ? -1 : a->first > b->first;
}

static void
check_days(CalendarDocument *calendar, int index, FaultList *faults)
{
	DaySpan    *spans = palloc(sizeof(DaySpan) * Max(1, calendar->days.count));
	int			count = 0;

	for (int i = 0; i < calendar->days.count; i++)
	{
		DayDocument *day = (DayDocument *) calendar->days.items + i;
		DaySpan    *span = &spans[count];
		const char *place = psprintf("calendars[%d].days[%d]", index, i);
		const char *last = day->last ? day->last : day->first;

		if (day->first == NULL)
			continue;
		span->location = day->location ? day->location : "";
		if (day->location && oms_location_find(day->location) == NULL)
			oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations adds a location.", place,
					  "location \"%s\" is not known", day->location);
		if (day->opens || day->closes)
			check_hours(day->opens, day->closes, place, faults);
		if (!oms_parse_day(day->first, &span->first) || !oms_parse_day(last, &span->last))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Write YYYY-MM-DD.", place, "from or to is not a day");
		else if (span->last < span->first)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Days go from the first to the last.", place, "ends before it begins");
		else
			count++;
	}
	qsort(spans, count, sizeof(DaySpan), compare_spans);
	for (int i = 1; i < count; i++)
		if (strcmp(spans[i].location, spans[i - 1].location) == 0 && spans[i].first <= spans[i - 1].last)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each day stands in one row.", psprintf("calendars[%d].days", index),
					  "rows of one day overlap");
}

static void
check_calendar(CalendarDocument *calendar, int index, FaultList *faults)
{
	bool		seen[8] = {0};

	for (int i = 0; i < calendar->hours.count; i++)
	{
		HoursDocument *hours = (HoursDocument *) calendar->hours.items + i;
		const char *place = psprintf("calendars[%d].hours[%d]", index, i);

		if (hours->weekday < 1 || hours->weekday > 7)
			continue;
		if (seen[hours->weekday])
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give each weekday once.", place, "weekday %d stands there twice",
					  hours->weekday);
		seen[hours->weekday] = true;
		check_hours(hours->opens, hours->closes, place, faults);
	}
	check_days(calendar, index, faults);
}

/* A calendar that never opens would make every promise fail later: refuse it now. */
static void
check_possible(DocArray *rows, FaultList *faults)
{
	int32		today = (int32) (oms_call->now / USECS_PER_DAY) - (oms_call->now < 0);

	refresh();
	for (int i = 0; i < rows->count; i++)
	{
		CalendarDocument *row = (CalendarDocument *) rows->items + i;
		int32		day = today;

		if (!promise_next_open(find_calendar(row->code), &day))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give hours, or days with opens and closes.",
					  oms_document_place("calendars", i, NULL), "\"%s\" has no open day from now on for %d days",
					  row->code, PROMISE_HORIZON_DAYS);
	}
}

typedef struct NewCalendars
{
	int			count;
	char	  **codes;
} NewCalendars;

static void
collect_new(TupleTableSlot *slot, void *state)
{
	NewCalendars *created = state;

	created->codes[created->count++] = oms_slot_text(slot, 1);
}

/*
 * oms.upsert_calendars(calendars jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_upsert_calendars, CALL_KEYED)
{
	FaultList	faults;
	DocArray	rows = {0};
	NewCalendars created = {0};
	Datum		values[3];

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of calendars.", "calendars", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(0), &calendar_shape, OMS_BULK_ROWS_MAX, "calendars", &faults);
	oms_document_duplicates(&rows, &calendar_shape, offsetof(CalendarDocument, code), "calendars", "code", &faults);
	for (int i = 0; i < rows.count; i++)
		check_calendar((CalendarDocument *) rows.items + i, i, &faults);
	oms_faults_raise(&faults, "calendars are not valid");

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = PG_GETARG_DATUM(0);
	created.codes = palloc(sizeof(char *) * Max(1, rows.count));
	(void) oms_execute_each(&insert_plan, values, NULL, collect_new, &created);
	(void) oms_execute(&update_plan, values, NULL);
	(void) oms_execute(&delete_hours_plan, values, NULL);
	(void) oms_execute(&insert_hours_plan, values, NULL);
	values[2] = oms_array_text(created.codes, created.count);
	(void) oms_execute(&default_hours_plan, values, NULL);
	(void) oms_execute(&delete_days_plan, values, NULL);
	(void) oms_execute(&insert_days_plan, values, NULL);
	check_possible(&rows, &faults);
	oms_faults_raise(&faults, "calendars are not valid");
	oms_event(&(Event) {.object_type = "calendar",.type = "calendars.upserted",.data = PG_GETARG_JSONB_P(0)});
	PG_RETURN_INT64(rows.count);
}
