/*
 * return_location.c
 *	  Where returned goods go: as the caller says, as the rules say, else to the
 *	  location that shipped them.
 *
 * Each line asks the rules that fit it, in their order, until one leads to a
 * location that takes the whole return; the location that gets most units is
 * the return's.  What was looked at, and why it was not taken, is kept with the
 * return.
 *
 * A location may limit the units that it takes in a day.  They are counted in
 * return_room, by one statement that adds only what there is room for.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/date.h"

#include "calendar.h"
#include "call.h"
#include "configuration.h"
#include "document.h"
#include "location.h"
#include "postal_code.h"
#include "relation.h"
#include "return_location.h"
#include "scope.h"

/* Locations that a record lists; how many more there were is said. */
#define RECORDED_LOCATIONS_MAX 20

static OmsPlan rules_plan = {
	.sql = "SELECT u.line_no, r.rule_id, r.location_id, r.send_to, r.location_group, coalesce(r.max_kilometres, 'Infinity')"
	" FROM unnest($5::int[], $6::text[], $7::bigint[]) u(line_no, reason, location_id)"
	" JOIN {order_lines} l ON l.order_id = $2 AND l.line_no = u.line_no AND l.tenant_id = $1"
	" JOIN {items} i ON i.item_id = l.item_id AND i.tenant_id = $1"
	" JOIN {return_rules} r ON r.tenant_id = $1 AND " RETURN_RULE_FITS("$3", "$4")
	" AND (r.from_location_id IS NULL OR r.from_location_id = u.location_id)"
	" AND (r.location_id IS NOT NULL OR r.send_to IS NOT NULL) ORDER BY u.line_no, r.rank, r.rule_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID, INT4ARRAYOID, TEXTARRAYOID, INT8ARRAYOID)
};

/* Where the customer has the goods: the address of the delivery, or the point where they were picked up. */
static OmsPlan origins_plan = {
	.sql = "SELECT l.line_no, d.address ->> 'country', d.address ->> 'postal_code', (d.address ->> 'latitude')::float8,"
	" (d.address ->> 'longitude')::float8, d.pickup_location_id FROM unnest($3::int[]) u(line_no)"
	" JOIN {order_lines} l ON l.order_id = $2 AND l.line_no = u.line_no AND l.tenant_id = $1"
	" LEFT JOIN {order_deliveries} d ON d.order_id = $2 AND d.delivery_no = l.delivery_no AND d.tenant_id = $1"
	" ORDER BY l.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4ARRAYOID)
};

static OmsPlan room_plan = {
	.sql = "SELECT used FROM {return_room} WHERE location_id = $2 AND day = $3 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, DATEOID)
};

static OmsPlan take_room_plan = {
	.sql = "INSERT INTO {return_room} AS x (location_id, tenant_id, day, capacity, used) VALUES ($2, $1, $3, $4, $5)"
	" ON CONFLICT (location_id, day, tenant_id) DO UPDATE SET used = x.used + excluded.used, capacity = excluded.capacity"
	" WHERE x.used + excluded.used <= excluded.capacity",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, DATEOID, INT4OID, INT4OID)
};

static OmsPlan give_room_plan = {
	.sql = "UPDATE {return_room} x SET used = x.used - r.room_taken FROM {returns} r"
	" WHERE r.return_id = $2 AND r.tenant_id = $1 AND r.room_taken > 0"
	" AND x.location_id = r.location_id AND x.day = r.room_day AND x.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan forget_room_plan = {
	.sql = "UPDATE {returns} SET room_taken = 0 WHERE return_id = $2 AND tenant_id = $1 AND room_taken > 0",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

typedef struct PlaceRule
{
	int32		line_no;
	int64		rule_id;
	int64		location_id;	/* 0: send_to says where */
	char	   *send_to;		/* "shipping" or "nearest", NULL with a location */
	char	   *group;			/* of which the nearest is one; NULL: any */
	double		max_kilometres;
} PlaceRule;

/* A location that was looked at. */
typedef struct Looked
{
	int64		rule_id;		/* 0: because it shipped the goods */
	Location   *location;
	double		kilometres;		/* NAN where they do not matter */
	const char *excluded;		/* NULL: it was taken */
} Looked;

/* A location whose day turned out to be full when its room was to be taken. */
typedef struct Full
{
	int64		location_id;
	struct Full *next;
} Full;

/* Where the customer has the goods of a part. */
typedef struct Origin
{
	char	   *country;
	char	   *postal_code;
	double		latitude;		/* NAN where unknown */
	double		longitude;
	int64		pickup_id;		/* 0: they were sent */
} Origin;

typedef struct Choice
{
	Order	   *order;
	const ReturnPart *parts;
	int			count;
	int64		units;
	PlaceRule  *rules;
	int			rule_count;
	Origin	   *origins;		/* by part, NULL: not read */
	Full	   *full;
	Looked	   *looked;			/* for the part at work */
	int			looked_count;
	int			looked_capacity;
} Choice;

/* ---- Reading ---- */

static void
collect_rule(TupleTableSlot *slot, void *state)
{
	Choice	   *choice = state;
	PlaceRule  *rule;
	bool		isnull;

	if (choice->rule_count % 64 == 0)
		choice->rules = choice->rules ? repalloc(choice->rules, sizeof(PlaceRule) * (choice->rule_count + 64))
			: palloc(sizeof(PlaceRule) * 64);
	rule = &choice->rules[choice->rule_count++];
	rule->line_no = oms_slot_int32(slot, 1);
	rule->rule_id = oms_slot_int64(slot, 2);
	rule->location_id = oms_slot_int64(slot, 3);
	rule->send_to = oms_slot_text(slot, 4);
	rule->group = oms_slot_text(slot, 5);
	rule->max_kilometres = DatumGetFloat8(oms_slot_datum(slot, 6, &isnull));
}

static Datum
line_numbers(const Choice *choice)
{
	int32	   *numbers = palloc(sizeof(int32) * choice->count);

	for (int i = 0; i < choice->count; i++)
		numbers[i] = choice->parts[i].line_no;
	return oms_array_int32(numbers, choice->count);
}

static void
read_rules(Choice *choice)
{
	Datum	   *reasons = palloc0(sizeof(Datum) * choice->count);
	bool	   *nulls = palloc0(sizeof(bool) * choice->count);
	int64	   *from = palloc(sizeof(int64) * choice->count);
	Datum		values[7];

	for (int i = 0; i < choice->count; i++)
	{
		nulls[i] = choice->parts[i].reason == NULL;
		if (!nulls[i])
			reasons[i] = CStringGetTextDatum(choice->parts[i].reason);
		from[i] = choice->parts[i].shipped_from;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(choice->order->order_id);
	values[2] = Int64GetDatum(choice->order->channel_id);
	values[3] = CStringGetTextDatum(choice->order->currency);
	values[4] = line_numbers(choice);
	values[5] = oms_array_datum(reasons, nulls, choice->count, TEXTOID);
	values[6] = oms_array_int64(from, choice->count);
	(void) oms_execute_each(&rules_plan, values, NULL, collect_rule, choice);
}

static void
collect_origin(TupleTableSlot *slot, void *state)
{
	Choice	   *choice = state;
	int32		line_no = oms_slot_int32(slot, 1);

	for (int i = 0; i < choice->count; i++)
		if (choice->parts[i].line_no == line_no)
			choice->origins[i] = (Origin) {oms_slot_text(slot, 2), oms_slot_text(slot, 3), oms_slot_double(slot, 4),
			oms_slot_double(slot, 5), oms_slot_int64(slot, 6)};
}

/* An address without coordinates lies where its postal code does. */
static void
locate(Origin *origin)
{
	Location   *pickup = origin->pickup_id ? oms_location_by_id(origin->pickup_id) : NULL;

	if (pickup != NULL)
	{
		origin->latitude = pickup->latitude;
		origin->longitude = pickup->longitude;
	}
	else if (isnan(origin->latitude) && origin->postal_code != NULL)
		(void) oms_postal_code_locate(origin->country, origin->postal_code, &origin->latitude, &origin->longitude);
}

/* Distances are asked for by few rules. */
static void
read_origins(Choice *choice)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(choice->order->order_id), line_numbers(choice)};

	if (choice->origins != NULL)
		return;
	choice->origins = palloc0(sizeof(Origin) * choice->count);
	for (int i = 0; i < choice->count; i++)
		choice->origins[i].latitude = choice->origins[i].longitude = NAN;
	(void) oms_execute_each(&origins_plan, values, NULL, collect_origin, choice);
	for (int i = 0; i < choice->count; i++)
		locate(&choice->origins[i]);
}

/* ---- Looking at locations ---- */

static void
read_used(TupleTableSlot *slot, void *state)
{
	*(int32 *) state = oms_slot_int32(slot, 1);
}

static int32
day_of(const Location *location)
{
	return oms_dates_local_day(oms_dates_site(location->location_id), oms_call->now);
}

static bool
has_room(const Choice *choice, const Location *location)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(location->location_id)};
	int32		used = 0;

	for (const Full *full = choice->full; full != NULL; full = full->next)
		if (full->location_id == location->location_id)
			return false;
	if (location->daily_returns < 0)
		return true;
	values[2] = DateADTGetDatum(day_of(location));
	(void) oms_execute_each(&room_plan, values, NULL, read_used, &used);
	return used + choice->units <= location->daily_returns;
}

/* Why a location does not take the return, NULL where it does. */
static const char *
exclusion(const Choice *choice, const Location *location)
{
	if (!location->active)
		return "the location is not active";
	if (!location->returns)
		return "the location takes no returns";
	if (oms_location_bars(location, choice->order->channel, PURPOSE_RETURN))
		return "the channel takes no returns at the location";
	if (!has_room(choice, location))
		return "the location takes no more units today";
	return NULL;
}

static void
note(Choice *choice, int64 rule_id, Location *location, double kilometres, const char *excluded)
{
	if (choice->looked_count == choice->looked_capacity)
	{
		choice->looked_capacity = Max(32, choice->looked_capacity * 2);
		choice->looked = choice->looked ? repalloc(choice->looked, sizeof(Looked) * choice->looked_capacity)
			: palloc(sizeof(Looked) * choice->looked_capacity);
	}
	choice->looked[choice->looked_count++] = (Looked) {rule_id, location, kilometres, excluded};
}

/* One location, for a rule or because it shipped the goods. */
static Location *
look_at(Choice *choice, int64 rule_id, int64 location_id)
{
	Location   *location = location_id ? oms_location_by_id(location_id) : NULL;
	const char *excluded;

	if (location == NULL)
		return NULL;
	excluded = exclusion(choice, location);
	note(choice, rule_id, location, NAN, excluded);
	return excluded ? NULL : location;
}

typedef struct Near
{
	Location   *location;
	double		kilometres;
} Near;

/* Nearer ones first; what is equally far goes by rank, then by code. */
static int
compare_near(const void *left, const void *right)
{
	const Near *a = left;
	const Near *b = right;

	if (a->kilometres != b->kilometres)
		return a->kilometres < b->kilometres ? -1 : 1;
	if (a->location->rank != b->location->rank)
		return a->location->rank < b->location->rank ? -1 : 1;
	return strcmp(a->location->code, b->location->code);
}

/* The locations that a rule may send to, by their distance. */
static Near *
nearest_first(Choice *choice, const PlaceRule *rule, int part, int *count)
{
	HTAB	   *locations = oms_configuration()->locations_by_id;
	Near	   *list = palloc(sizeof(Near) * Max(1, hash_get_num_entries(locations)));
	HASH_SEQ_STATUS scan;
	LocationById *entry;

	*count = 0;
	read_origins(choice);
	hash_seq_init(&scan, locations);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (oms_scope_location(entry->location->location_id) && oms_location_linked(entry->location, choice->order->channel, PURPOSE_RETURN) &&
			(rule->group == NULL || oms_location_in_group(entry->location, rule->group)))
			list[(*count)++] = (Near) {entry->location, oms_location_distance(entry->location, choice->origins[part].latitude,
																			  choice->origins[part].longitude)};
	qsort(list, *count, sizeof(Near), compare_near);
	return list;
}

static Location *
look_near(Choice *choice, const PlaceRule *rule, int part)
{
	int			count;
	Near	   *list = nearest_first(choice, rule, part, &count);

	for (int i = 0; i < count; i++)
	{
		const char *excluded;

		CHECK_FOR_INTERRUPTS();
		if (isinf(list[i].kilometres))
			excluded = "its distance is not known";
		else if (list[i].kilometres > rule->max_kilometres)
			excluded = "it is too far";
		else
			excluded = exclusion(choice, list[i].location);
		note(choice, rule->rule_id, list[i].location, isinf(list[i].kilometres) ? NAN : list[i].kilometres, excluded);
		if (excluded == NULL)
			return list[i].location;
	}
	return NULL;
}

/* Where the rules send the goods of a line, else the location that shipped them; NULL: nowhere. */
static Location *
place_of_part(Choice *choice, int part, const PlaceRule **by)
{
	const ReturnPart *line = &choice->parts[part];
	Location   *found = NULL;

	choice->looked_count = 0;
	*by = NULL;
	for (int i = 0; i < choice->rule_count && found == NULL; i++)
	{
		const PlaceRule *rule = &choice->rules[i];

		if (rule->line_no != line->line_no)
			continue;
		if (rule->send_to != NULL && strcmp(rule->send_to, "nearest") == 0)
			found = look_near(choice, rule, part);
		else
			found = look_at(choice, rule->rule_id, rule->location_id ? rule->location_id : line->shipped_from);
		*by = rule;
	}
	if (found != NULL)
		return found;
	*by = NULL;
	return look_at(choice, 0, line->shipped_from);
}

/* ---- Deciding ---- */

static Jsonb *
record_of(const Choice *choice, const Location *location, const PlaceRule *by, const char *why)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "location", location->code);
	oms_write_text(&writer, "why", why);
	if (by != NULL)
		oms_write_int64(&writer, "rule_id", by->rule_id);
	oms_write_int64(&writer, "units", choice->units);
	oms_write_begin_array(&writer, "candidates");
	for (int i = 0; i < choice->looked_count; i++)
	{
		const Looked *row = &choice->looked[i];

		/* The one that was taken is the last. */
		if (i >= RECORDED_LOCATIONS_MAX - 1 && i < choice->looked_count - 1)
			continue;
		oms_write_begin_object(&writer, NULL);
		oms_write_text(&writer, "location", row->location->code);
		if (row->rule_id != 0)
			oms_write_int64(&writer, "rule_id", row->rule_id);
		if (!isnan(row->kilometres))
			oms_write_numeric(&writer, "kilometres",
							  DatumGetNumeric(DirectFunctionCall1(float8_numeric, Float8GetDatum(rint(row->kilometres * 10) / 10))));
		oms_write_text(&writer, "excluded", row->excluded);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	if (choice->looked_count > RECORDED_LOCATIONS_MAX)
		oms_write_int64(&writer, "left_out", choice->looked_count - RECORDED_LOCATIONS_MAX);
	return oms_write_finish(&writer);
}

static void
refuse_everywhere(const Choice *choice)
{
	FaultList	faults;

	oms_faults_init(&faults);
	for (int i = 0; i < Min(choice->looked_count, RECORDED_LOCATIONS_MAX); i++)
		oms_fault(&faults, ERRCODE_OMS_NO_LOCATION, "Name a location in options, or in oms.return_rules.",
				  choice->looked[i].location->code, "%s", choice->looked[i].excluded);
	if (choice->looked_count == 0)
		oms_fault(&faults, ERRCODE_OMS_NO_LOCATION, "Name a location in options, or in oms.return_rules.",
				  psprintf("line %d", choice->parts[choice->count - 1].line_no), "no location is known that shipped it");
	oms_faults_raise(&faults, "no location takes the return");
}

/* The location that gets most units; of equal ones that of the first line. */
static ReturnPlace
decide(Choice *choice)
{
	Location  **places = palloc(sizeof(Location *) * choice->count);
	const PlaceRule **by = palloc(sizeof(PlaceRule *) * choice->count);
	ReturnPlace place = {0};
	Location   *location;
	int64		most = 0;
	int			best = -1;

	for (int i = 0; i < choice->count; i++)
		places[i] = place_of_part(choice, i, &by[i]);
	for (int i = 0; i < choice->count; i++)
	{
		int64		units = 0;

		for (int j = 0; places[i] != NULL && j < choice->count; j++)
			if (places[j] == places[i])
				units += choice->parts[j].quantity;
		if (units <= most)
			continue;
		most = units;
		best = i;
	}
	if (best < 0)
		refuse_everywhere(choice);
	location = place_of_part(choice, best, &by[best]);	/* again, for its record */
	place.location_id = location->location_id;
	place.why = by[best] ? "by rule" : "it shipped them";
	place.decision = record_of(choice, location, by[best], place.why);
	return place;
}

/* The location that the caller names. */
static ReturnPlace
as_asked(Choice *choice, const char *code)
{
	Location   *location = oms_location_get(code);
	ReturnPlace place = {.location_id = location->location_id,.why = "as asked for"};

	if (!has_room(choice, location))
	{
		note(choice, 0, location, NAN, "the location takes no more units today");
		refuse_everywhere(choice);
	}
	note(choice, 0, location, NAN, NULL);
	place.decision = record_of(choice, location, NULL, place.why);
	return place;
}

/* Takes the units of the location's day; false where somebody was faster. */
static bool
take_room(const Choice *choice, ReturnPlace *place)
{
	const Location *location = oms_location_by_id(place->location_id);
	Datum		values[5];
	OmsAttempt	attempt;

	if (location->daily_returns < 0)
		return true;
	place->room_taken = choice->units;
	place->room_day = day_of(location);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(location->location_id);
	values[2] = DateADTGetDatum(place->room_day);
	values[3] = Int32GetDatum(location->daily_returns);
	values[4] = Int32GetDatum(place->room_taken);
	oms_attempt_begin(&attempt);
	if (oms_execute(&take_room_plan, values, NULL) == 1)
	{
		oms_attempt_keep(&attempt);
		return true;
	}
	oms_attempt_undo(&attempt); /* gives back the lock: only one such row is held at a time */
	return false;
}

/*
 * Decides where goods of a locked order go, which a caller may name by its
 * code, and takes the room for them.
 */
ReturnPlace
oms_return_place(Order *order, const ReturnPart *parts, int count, const char *code)
{
	Choice		choice = {.order = order,.parts = parts,.count = count};
	ReturnPlace place;

	for (int i = 0; i < count; i++)
		choice.units += parts[i].quantity;
	if (count == 0)
		return (ReturnPlace) {0};
	if (code == NULL)
		read_rules(&choice);
	for (;;)
	{
		Full	   *full;

		CHECK_FOR_INTERRUPTS();
		choice.looked_count = 0;
		place = code ? as_asked(&choice, code) : decide(&choice);
		if (take_room(&choice, &place))
			return place;
		full = palloc(sizeof(Full));
		*full = (Full) {place.location_id, choice.full};
		choice.full = full;
	}
}

/* A return that ends without goods gives its location's day back what it took. */
void
oms_return_room_give_back(int64 return_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(return_id)};

	if (oms_execute(&give_room_plan, values, NULL) > 0)
		(void) oms_execute(&forget_room_plan, values, NULL);
}
