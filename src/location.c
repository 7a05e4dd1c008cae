/*
 * location.c
 *	  Locations, and which channel may use which.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "pgtime.h"

#include "calendar.h"
#include "call.h"
#include "capacity.h"
#include "configuration.h"
#include "document.h"
#include "event.h"
#include "location.h"
#include "reference_check.h"
#include "relation.h"
#include "scope.h"

#define EARTH_RADIUS_KM 6371.0088

typedef struct LocationDocument
{
	char	   *code;
	char	   *name;
	char	   *kind;
	char	   *country;
	char	   *postal_code;
	char	   *time_zone;
	char	   *external_ref;
	double		latitude;
	double		longitude;
	TimestampTz closed_until;
	Numeric		cost_per_order;
	Numeric		cost_per_line;
	Numeric		cost_per_unit;
	char	   *calendar;
	char	   *cut_off;
	char	   *collected_at;
	double		handling_hours;
	Jsonb	   *address;
	Jsonb	   *attributes;
	DocArray	channels;
	DocArray	services;
	DocArray	groups;
	char	   *capacity_unit;
	int32		daily_capacity;
	int32		handling_days;
	int32		rank;
	int8		active;
	int8		ships;
	int8		pickup;
	int8		returns;
	int32		daily_returns;
} LocationDocument;

typedef struct LocationChannelDocument
{
	char	   *channel;
	int32		rank;
	int32		purposes;
} LocationChannelDocument;

typedef struct LocationServiceDocument
{
	char	   *service;
	char	   *cut_off;
	char	   *collected_at;
} LocationServiceDocument;

typedef struct LocationGroupDocument
{
	char	   *group;
} LocationGroupDocument;

static const char *const kind_choices[] = {"warehouse", "store", "supplier", NULL};

static const char *const capacity_units[] = {"order", "unit", NULL};

/* In the order of the bits PURPOSE_*. */
static const char *const purpose_choices[] = {"ship", "pickup", "return", NULL};

static const DocField location_channel_fields[] = {
	{"channel", DOC_CODE, offsetof(LocationChannelDocument, channel), .required = true},
	{"rank", DOC_INT, offsetof(LocationChannelDocument, rank), .least = 0, .most = 1000000},
	{"purposes", DOC_CHOICES, offsetof(LocationChannelDocument, purposes), .choices = purpose_choices},
};

static const DocShape location_channel_shape =
DOC_SHAPE_OF(LocationChannelDocument, location_channel_fields, "a channel of a location");

static const DocField location_service_fields[] = {
	{"service", DOC_CODE, offsetof(LocationServiceDocument, service), .required = true},
	{"cut_off", DOC_TEXT, offsetof(LocationServiceDocument, cut_off)},
	{"collected_at", DOC_TEXT, offsetof(LocationServiceDocument, collected_at)},
};

static const DocShape location_service_shape =
DOC_SHAPE_OF(LocationServiceDocument, location_service_fields, "a service at a location");

static const DocField location_group_fields[] = {
	{"group", DOC_CODE, offsetof(LocationGroupDocument, group), .required = true},
};

static const DocShape location_group_shape =
DOC_SHAPE_OF(LocationGroupDocument, location_group_fields, "a group of a location");

static const DocField location_fields[] = {
	{"code", DOC_CODE, offsetof(LocationDocument, code), .required = true},
	{"name", DOC_TEXT, offsetof(LocationDocument, name)},
	{"kind", DOC_TEXT, offsetof(LocationDocument, kind), .choices = kind_choices},
	{"country", DOC_TEXT, offsetof(LocationDocument, country)},
	{"postal_code", DOC_TEXT, offsetof(LocationDocument, postal_code)},
	{"time_zone", DOC_TEXT, offsetof(LocationDocument, time_zone)},
	{"external_ref", DOC_CODE, offsetof(LocationDocument, external_ref)},
	{"latitude", DOC_DOUBLE, offsetof(LocationDocument, latitude), .least = -90, .most = 90},
	{"longitude", DOC_DOUBLE, offsetof(LocationDocument, longitude), .least = -180, .most = 180},
	{"cost_per_order", DOC_MONEY, offsetof(LocationDocument, cost_per_order)},
	{"cost_per_line", DOC_MONEY, offsetof(LocationDocument, cost_per_line)},
	{"cost_per_unit", DOC_MONEY, offsetof(LocationDocument, cost_per_unit)},
	{"rank", DOC_INT, offsetof(LocationDocument, rank), .least = 0, .most = 1000000},
	{"closed_until", DOC_TIME, offsetof(LocationDocument, closed_until)},
	{"active", DOC_BOOL, offsetof(LocationDocument, active)},
	{"ships", DOC_BOOL, offsetof(LocationDocument, ships)},
	{"pickup", DOC_BOOL, offsetof(LocationDocument, pickup)},
	{"returns", DOC_BOOL, offsetof(LocationDocument, returns)},
	{"daily_returns", DOC_INT, offsetof(LocationDocument, daily_returns), .least = 0, .most = OMS_QUANTITY_MAX},
	{"address", DOC_OBJECT, offsetof(LocationDocument, address)},
	{"attributes", DOC_OBJECT, offsetof(LocationDocument, attributes)},
	{"calendar", DOC_CODE, offsetof(LocationDocument, calendar)},
	{"cut_off", DOC_TEXT, offsetof(LocationDocument, cut_off)},
	{"collected_at", DOC_TEXT, offsetof(LocationDocument, collected_at)},
	{"daily_capacity", DOC_INT, offsetof(LocationDocument, daily_capacity), .least = 0, .most = OMS_QUANTITY_MAX},
	{"capacity_unit", DOC_TEXT, offsetof(LocationDocument, capacity_unit), .choices = capacity_units},
	{"handling_days", DOC_INT, offsetof(LocationDocument, handling_days), .least = 0, .most = 366},
	{"handling_hours", DOC_DOUBLE, offsetof(LocationDocument, handling_hours), .least = 0, .most = 10000},
	{"channels", DOC_ARRAY, offsetof(LocationDocument, channels), .most = 1000, .shape = &location_channel_shape},
	{"services", DOC_ARRAY, offsetof(LocationDocument, services), .most = 1000, .shape = &location_service_shape},
	{"groups", DOC_ARRAY, offsetof(LocationDocument, groups), .most = 1000, .shape = &location_group_shape},
};

static const DocShape location_shape = DOC_SHAPE_OF(LocationDocument, location_fields, "a location");

#define LOCATION_ROWS \
	" FROM jsonb_to_recordset($2) u(code text, name text, kind text, country text, postal_code text," \
	" time_zone text, external_ref text, latitude float8, longitude float8, rank int, active boolean, closed_until timestamptz," \
	" cost_per_order numeric, cost_per_line numeric, cost_per_unit numeric, ships boolean, pickup boolean, address jsonb, attributes jsonb, channels jsonb," \
	" calendar text, cut_off time, collected_at time, handling_days int, handling_hours numeric," \
	" daily_capacity int, capacity_unit text, returns boolean, daily_returns int)"

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {locations} (tenant_id, code)"
	" SELECT $1, u.code" LOCATION_ROWS " ORDER BY u.code ON CONFLICT (tenant_id, code) DO NOTHING",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan update_plan = {
	.sql = "UPDATE {locations} l SET name = coalesce(u.name, l.name), kind = coalesce(u.kind, l.kind),"
	" country = coalesce(u.country, l.country), postal_code = coalesce(u.postal_code, l.postal_code),"
	" time_zone = coalesce(u.time_zone, l.time_zone), external_ref = coalesce(u.external_ref, l.external_ref),"
	" latitude = coalesce(u.latitude, l.latitude), longitude = coalesce(u.longitude, l.longitude),"
	" rank = coalesce(u.rank, l.rank), active = coalesce(u.active, l.active),"
	" closed_until = coalesce(u.closed_until, l.closed_until),"
	" cost_per_order = coalesce(u.cost_per_order, l.cost_per_order),"
	" cost_per_line = coalesce(u.cost_per_line, l.cost_per_line), cost_per_unit = coalesce(u.cost_per_unit, l.cost_per_unit),"
	" calendar = coalesce(u.calendar, l.calendar), cut_off = coalesce(u.cut_off, l.cut_off),"
	" collected_at = coalesce(u.collected_at, l.collected_at),"
	" handling_days = coalesce(u.handling_days, l.handling_days),"
	" handling_hours = coalesce(u.handling_hours, l.handling_hours),"
	" daily_capacity = coalesce(u.daily_capacity, l.daily_capacity),"
	" capacity_unit = coalesce(u.capacity_unit, l.capacity_unit),"
	" ships = coalesce(u.ships, l.ships), pickup = coalesce(u.pickup, l.pickup),"
	" returns = coalesce(u.returns, l.returns), daily_returns = coalesce(u.daily_returns, l.daily_returns),"
	" address = coalesce(u.address, l.address), attributes = coalesce(u.attributes, l.attributes)"
	LOCATION_ROWS " WHERE l.tenant_id = $1 AND l.code = u.code",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

/* A row that has "channels" states them all: others are taken away. */
static OmsPlan unlink_plan = {
	.sql = "DELETE FROM {channel_locations} x USING {locations} l,"
	" jsonb_to_recordset($2) u(code text, channels jsonb)"
	" WHERE x.tenant_id = $1 AND l.tenant_id = $1 AND l.code = u.code AND u.channels IS NOT NULL"
	" AND x.location_id = l.location_id",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan link_plan = {
	.sql = "INSERT INTO {channel_locations} (channel_id, location_id, tenant_id, rank, ships, pickup, returns)"
	" SELECT c.channel_id, l.location_id, $1, v.rank, coalesce(v.purposes ? 'ship', true),"
	" coalesce(v.purposes ? 'pickup', true), coalesce(v.purposes ? 'return', true)"
	" FROM jsonb_to_recordset($2) u(code text, channels jsonb)"
	" CROSS JOIN LATERAL jsonb_to_recordset(u.channels) v(channel text, rank int, purposes jsonb)"
	" JOIN {locations} l ON l.tenant_id = $1 AND l.code = u.code"
	" JOIN {channels} c ON c.tenant_id = $1 AND c.code = v.channel"
	" WHERE u.channels IS NOT NULL",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

/* A row that has "services" states them all. */
static OmsPlan unlink_services_plan = {
	.sql = "DELETE FROM {location_services} x USING {locations} l,"
	" jsonb_to_recordset($2) u(code text, services jsonb)"
	" WHERE x.tenant_id = $1 AND l.tenant_id = $1 AND l.code = u.code AND u.services IS NOT NULL"
	" AND x.location_id = l.location_id",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan link_services_plan = {
	.sql = "INSERT INTO {location_services} (location_id, tenant_id, service, cut_off, collected_at)"
	" SELECT l.location_id, $1, v.service, v.cut_off, v.collected_at"
	" FROM jsonb_to_recordset($2) u(code text, services jsonb)"
	" CROSS JOIN LATERAL jsonb_to_recordset(u.services) v(service text, cut_off time, collected_at time)"
	" JOIN {locations} l ON l.tenant_id = $1 AND l.code = u.code"
	" WHERE u.services IS NOT NULL",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

/* A row that has "groups" states them all; a group exists once it is named. */
static OmsPlan leave_groups_plan = {
	.sql = "DELETE FROM {location_group_members} x USING {locations} l,"
	" jsonb_to_recordset($2) u(code text, groups jsonb)"
	" WHERE x.tenant_id = $1 AND l.tenant_id = $1 AND l.code = u.code AND u.groups IS NOT NULL"
	" AND x.location_id = l.location_id",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan make_groups_plan = {
	.sql = "INSERT INTO {location_groups} (tenant_id, code) SELECT DISTINCT $1, v.\"group\""
	" FROM jsonb_to_recordset($2) u(groups jsonb) CROSS JOIN LATERAL jsonb_to_recordset(u.groups) v(\"group\" text)"
	" WHERE u.groups IS NOT NULL ORDER BY 2 ON CONFLICT (tenant_id, code) DO NOTHING",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan join_groups_plan = {
	.sql = "INSERT INTO {location_group_members} (location_id, tenant_id, location_group)"
	" SELECT l.location_id, $1, v.\"group\" FROM jsonb_to_recordset($2) u(code text, groups jsonb)"
	" CROSS JOIN LATERAL jsonb_to_recordset(u.groups) v(\"group\" text)"
	" JOIN {locations} l ON l.tenant_id = $1 AND l.code = u.code WHERE u.groups IS NOT NULL",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static void
check_time(const char *text, const char *place, FaultList *faults)
{
	int32		seconds;

	if (text && !oms_parse_time_of_day(text, &seconds))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Write HH:MM, at most 24:00.", place, "\"%s\" is not a time of day", text);
}

/* What the location says about time. */
static void
check_times(LocationDocument *row, int index, FaultList *faults)
{
	pg_tz	   *zone = row->time_zone ? pg_tzset(row->time_zone) : NULL;

	if (row->time_zone && (zone == NULL || !pg_tz_acceptable(zone)))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Use a name of pg_timezone_names such as Europe/Berlin.",
				  oms_document_place("locations", index, "time_zone"), "\"%s\" is not a time zone", row->time_zone);
	if (row->calendar && !oms_calendar_exists(row->calendar))
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_calendars adds a calendar.",
				  oms_document_place("locations", index, "calendar"), "calendar \"%s\" is not known", row->calendar);
	check_time(row->cut_off, oms_document_place("locations", index, "cut_off"), faults);
	check_time(row->collected_at, oms_document_place("locations", index, "collected_at"), faults);
	oms_document_duplicates(&row->services, &location_service_shape, offsetof(LocationServiceDocument, service),
							psprintf("locations[%d].services", index), "service", faults);
	for (int i = 0; i < row->services.count; i++)
	{
		LocationServiceDocument *service = (LocationServiceDocument *) row->services.items + i;

		check_time(service->cut_off, psprintf("locations[%d].services[%d].cut_off", index, i), faults);
		check_time(service->collected_at, psprintf("locations[%d].services[%d].collected_at", index, i), faults);
	}
}

static void
check_location(LocationDocument *row, int index, FaultList *faults)
{
	if (isnan(row->latitude) != isnan(row->longitude))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give latitude and longitude together.",
				  oms_document_place("locations", index, isnan(row->latitude) ? "latitude" : "longitude"),
				  "is required when the other coordinate is given");
	if (row->country && !(strlen(row->country) == 2 && strspn(row->country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 2))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Use an ISO 3166 code such as DE.",
				  oms_document_place("locations", index, "country"), "\"%s\" is not a country", row->country);
	for (int i = 0; i < row->channels.count; i++)
	{
		LocationChannelDocument *link = (LocationChannelDocument *) row->channels.items + i;

		if (link->channel && oms_channel_find(link->channel) == NULL)
			oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_channels adds a channel.",
					  psprintf("locations[%d].channels[%d].channel", index, i),
					  "channel \"%s\" is not known", link->channel);
	}
}

/*
 * oms.upsert_locations(locations jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_upsert_locations, CALL_KEYED)
{
	FaultList	faults;
	DocArray	rows = {0};
	Datum		values[2];
	bool		links = false;
	bool		services = false;
	bool		capacity = false;
	bool		groups = false;
	ReferenceList references = {0};

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of locations.", "locations", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(0), &location_shape, OMS_BULK_ROWS_MAX, "locations", &faults);
	oms_document_duplicates(&rows, &location_shape, offsetof(LocationDocument, code), "locations", "code", &faults);
	for (int i = 0; i < rows.count; i++)
	{
		LocationDocument *row = (LocationDocument *) rows.items + i;

		check_location(row, i, &faults);
		check_times(row, i, &faults);
		oms_document_duplicates(&row->channels, &location_channel_shape, offsetof(LocationChannelDocument, channel),
								psprintf("locations[%d].channels", i), "channel", &faults);
		links |= row->channels.present;
		oms_document_duplicates(&row->groups, &location_group_shape, offsetof(LocationGroupDocument, group),
								psprintf("locations[%d].groups", i), "group", &faults);
		groups |= row->groups.present;
		services |= row->services.present;
		capacity |= row->daily_capacity != DOC_ABSENT;
		if (row->external_ref != NULL)
			oms_reference_add(&references, row->external_ref, oms_document_place("locations", i, "external_ref"), 0, row->code);
	}
	oms_faults_raise(&faults, "locations are not valid");
	oms_references_check("location", &references, 0, &faults);
	oms_faults_raise(&faults, "locations are not valid");

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = PG_GETARG_DATUM(0);
	(void) oms_execute(&insert_plan, values, NULL);
	(void) oms_execute(&update_plan, values, NULL);
	if (links)
	{
		(void) oms_execute(&unlink_plan, values, NULL);
		(void) oms_execute(&link_plan, values, NULL);
	}
	if (groups)
	{
		(void) oms_execute(&leave_groups_plan, values, NULL);
		(void) oms_execute(&make_groups_plan, values, NULL);
		(void) oms_execute(&join_groups_plan, values, NULL);
	}
	if (capacity)
		oms_capacity_follow(values[1]);
	if (services)
	{
		(void) oms_execute(&unlink_services_plan, values, NULL);
		(void) oms_execute(&link_services_plan, values, NULL);
	}
	oms_event(&(Event) {.object_type = "location",.type = "locations.upserted",.data = PG_GETARG_JSONB_P(0)});
	PG_RETURN_INT64(rows.count);
}

static OmsPlan group_plan = {
	.sql = "SELECT FROM {location_groups} WHERE tenant_id = $1 AND code = $2",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

bool
oms_location_group_exists(const char *group)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), CStringGetTextDatum(group)};

	return oms_execute(&group_plan, values, NULL) > 0;
}

bool
oms_location_in_group(const Location *location, const char *group)
{
	for (int i = 0; i < location->group_count; i++)
		if (strcmp(location->groups[i], group) == 0)
			return true;
	return false;
}

/* The hash tables hold a pointer behind their key. */
static Location *
look_up(HTAB *table, const void *key, size_t offset)
{
	char	   *entry = hash_search(table, key, HASH_FIND, NULL);
	Location   *location = entry ? *(Location **) (entry + offset) : NULL;

	return location && oms_scope_location(location->location_id) ? location : NULL;
}

/* NULL where it is unknown or out of the caller's scope. */
Location *
oms_location_find(const char *code)
{
	char		key[OMS_CODE_BYTES_MAX + 1] = {0};

	if (strlen(code) > OMS_CODE_BYTES_MAX)
		return NULL;
	strlcpy(key, code, sizeof(key));
	return look_up(oms_configuration()->locations_by_code, key, offsetof(LocationByCode, location));
}

Location *
oms_location_get(const char *code)
{
	Location   *location = oms_location_find(code);

	if (location == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("location \"%s\" is not known", code),
				 errdetail("location: there is no \"%s\" that the caller may see", code),
				 errhint("oms.upsert_locations adds it.")));
	return location;
}

Location *
oms_location_by_id(int64 location_id)
{
	return look_up(oms_configuration()->locations_by_id, &location_id, offsetof(LocationById, location));
}

/* The channel's link to a location; NULL: none. */
static const ChannelLocation *
find_link(const Location *location, const Channel *channel)
{
	ChannelLocation key = {.channel_id = channel->channel_id,.location_id = location->location_id};

	return hash_search(oms_configuration()->channel_locations, &key, HASH_FIND, NULL);
}

/* Whether a channel may use a location at all for one of the purposes. */
bool
oms_location_linked(const Location *location, const Channel *channel, int purposes)
{
	const ChannelLocation *link;

	if (channel == NULL || !channel->restricted)
		return true;
	link = find_link(location, channel);
	return link && (link->purposes & purposes) != 0;
}

/* Whether the channel is linked to the location, but for none of the purposes. */
bool
oms_location_bars(const Location *location, const Channel *channel, int purposes)
{
	const ChannelLocation *link = channel && channel->restricted ? find_link(location, channel) : NULL;

	return link && (link->purposes & purposes) == 0;
}

/*
 * Why a location may not serve a channel now, NULL where it may.  A channel
 * without rows in channel_locations uses every location that is open.
 */
const char *
oms_location_exclusion(const Location *location, const Channel *channel, int purposes)
{
	if (!location->active)
		return "the location is not active";
	if (location->closed_until > oms_call->now)
		return "the location is closed";
	if (oms_location_linked(location, channel, purposes))
		return NULL;
	if (purposes == PURPOSE_SHIP && oms_location_bars(location, channel, purposes))
		return "the channel does not ship from the location";
	return "the channel may not use the location";
}

bool
oms_location_serves(const Location *location, const Channel *channel, int purposes)
{
	return oms_location_exclusion(location, channel, purposes) == NULL;
}

/*
 * Great-circle distance in kilometres by the haversine formula, which keeps
 * its precision for short distances.  Unknown coordinates are infinitely far.
 */
double
oms_location_distance(const Location *location, double latitude, double longitude)
{
	double		to_radians = M_PI / 180;
	double		half_latitude;
	double		half_longitude;
	double		chord;

	if (isnan(location->latitude) || isnan(latitude))
		return INFINITY;
	half_latitude = sin((location->latitude - latitude) * to_radians / 2);
	half_longitude = sin((location->longitude - longitude) * to_radians / 2);
	chord = half_latitude * half_latitude +
		cos(location->latitude * to_radians) * cos(latitude * to_radians) *
		half_longitude * half_longitude;
	return 2 * EARTH_RADIUS_KM * asin(Min(1.0, sqrt(chord)));
}
