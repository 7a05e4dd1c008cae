/*
 * capacity.c
 *	  What locations can ship in a day.
 *
 * A day gets its row when somebody takes of it first.  Rows are locked by
 * (location, day), after the order and all counters of stock: the last in the
 * order of locks.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/date.h"

#include "call.h"
#include "capacity.h"
#include "document.h"
#include "event.h"
#include "location.h"
#include "relation.h"

#define CAPACITY_DAYS_MAX 366

static OmsPlan view_plan = {
	.sql = "SELECT location_id, day, capacity - used, capacity FROM {location_capacity}"
	" WHERE location_id = ANY ($2) AND tenant_id = $1 AND day >= $3 ORDER BY location_id, day",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, DATEOID)
};

static OmsPlan make_plan = {
	.sql = "INSERT INTO {location_capacity} (location_id, tenant_id, day, capacity)"
	" SELECT l.location_id, $1, u.day + '2000-01-01'::date, l.daily_capacity FROM unnest($2, $3) u(location_id, day)"
	" CROSS JOIN LATERAL (SELECT x.location_id, x.daily_capacity FROM {locations} x"
	" WHERE x.location_id = u.location_id AND x.tenant_id = $1 OFFSET 0) l WHERE l.daily_capacity IS NOT NULL"
	" ORDER BY u.location_id, u.day ON CONFLICT (location_id, day, tenant_id) DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT4ARRAYOID)
};

static OmsPlan lock_plan = {
	.sql = "SELECT c.location_id, c.day, c.capacity - c.used FROM unnest($2, $3) u(location_id, day)"
	" JOIN {location_capacity} c ON c.location_id = u.location_id AND c.day = u.day + '2000-01-01'::date"
	" AND c.tenant_id = $1 ORDER BY c.location_id, c.day FOR NO KEY UPDATE OF c",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT4ARRAYOID)
};

static OmsPlan change_plan = {
	.sql = "UPDATE {location_capacity} c SET used = c.used + u.amount FROM unnest($2, $3, $4) u(location_id, day, amount)"
	" WHERE c.location_id = u.location_id AND c.day = u.day + '2000-01-01'::date AND c.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID)
};

/* ---- Looking ---- */

static void
collect_room(TupleTableSlot *slot, void *state)
{
	CapacityView *view = state;
	bool		isnull;

	if (view->count % 64 == 0)
		view->rooms = view->rooms ? repalloc(view->rooms, sizeof(CapacityRoom) * (view->count + 64))
			: palloc(sizeof(CapacityRoom) * 64);
	view->rooms[view->count++] = (CapacityRoom)
	{
		oms_slot_int64(slot, 1), DatumGetDateADT(oms_slot_datum(slot, 2, &isnull)), oms_slot_int32(slot, 3),
			oms_slot_int32(slot, 4)
	};
}

/* What is left on days from a moment on; NULL, without a statement, where no location has a limit. */
CapacityView *
oms_capacity_view(const int64 *location_ids, int count, TimestampTz from)
{
	int64	   *limited = palloc(sizeof(int64) * Max(1, count));
	int			limited_count = 0;
	int32		first = PG_INT32_MAX;
	CapacityView *view;
	Datum		values[3];

	for (int i = 0; i < count; i++)
	{
		const Site *site = oms_dates_site(location_ids[i]);

		if (site == NULL || !site->limited)
			continue;
		limited[limited_count++] = location_ids[i];
		first = Min(first, oms_dates_local_day(site, from));
	}
	if (limited_count == 0)
		return NULL;
	view = palloc0(sizeof(CapacityView));
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(limited, limited_count);
	values[2] = DateADTGetDatum(first);
	(void) oms_execute_each(&view_plan, values, NULL, collect_room, view);
	return view;
}

/*
 * What so many units take of a day: nothing where the location has no limit.
 * Units that no day could hold take a whole one.
 */
int32
oms_capacity_need(const Site *site, int64 units)
{
	if (!site->limited || units == 0)
		return 0;
	if (!site->by_units)
		return 1;
	return (int32) Min(units, site->daily_capacity < 0 ? PG_INT32_MAX : Max(1, site->daily_capacity));
}

/* The row of a day; NULL: it has none. */
static const CapacityRoom *
find_room(const CapacityView *view, const Site *site, int32 day)
{
	int			low = 0;
	int			high = view ? view->count - 1 : -1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const CapacityRoom *room = &view->rooms[middle];

		if (room->location_id == site->location_id && room->day == day)
			return room;
		if (room->location_id < site->location_id || (room->location_id == site->location_id && room->day < day))
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

static void
insert_room(CapacityView *view, const CapacityRoom *room)
{
	int			position = view->count;

	view->rooms = view->count == 0 ? palloc(sizeof(CapacityRoom)) : repalloc(view->rooms, sizeof(CapacityRoom) * (view->count + 1));
	for (; position > 0 && (view->rooms[position - 1].location_id > room->location_id ||
							(view->rooms[position - 1].location_id == room->location_id && view->rooms[position - 1].day > room->day)); position--)
		view->rooms[position] = view->rooms[position - 1];
	view->rooms[position] = *room;
	view->count++;
}

/* Takes of a view what the deliveries of an order that are planned already will take of their days. */
void
oms_capacity_view_take(CapacityView *view, const CapacityRow *rows, int count)
{
	for (int i = 0; i < count; i++)
	{
		const Site *site = oms_dates_site(rows[i].location_id);
		CapacityRoom *room = unconstify(CapacityRoom *, find_room(view, site, rows[i].day));

		if (room != NULL)
			room->left -= rows[i].amount;
		else if (site->daily_capacity >= 0)
			insert_room(view, &(CapacityRoom) {rows[i].location_id, rows[i].day, site->daily_capacity - rows[i].amount,
			site->daily_capacity});
	}
}

/* A location may be limited on some days only. */
bool
oms_capacity_limits(const CapacityView *view, const Site *site, int32 day)
{
	return site->limited && (site->daily_capacity >= 0 || find_room(view, site, day) != NULL);
}

bool
oms_capacity_has_room(const CapacityView *view, const Site *site, int32 day, int32 need)
{
	const CapacityRoom *room = find_room(view, site, day);

	if (room)
		return room->left >= need;
	return site->daily_capacity < 0 || site->daily_capacity >= need;
}

/* The part of a day that is taken; 0 where the location has no limit, or none of any. */
double
oms_capacity_load(const CapacityView *view, const Site *site, int32 day)
{
	const CapacityRoom *room = find_room(view, site, day);

	return room == NULL || room->capacity <= 0 ? 0 : (double) (room->capacity - room->left) / room->capacity;
}

/* ---- Taking and giving back ---- */

static int
compare_rows(const void *left, const void *right)
{
	const CapacityRow *a = left;
	const CapacityRow *b = right;

	if (a->location_id != b->location_id)
		return a->location_id < b->location_id ? -1 : 1;
	return a->day < b->day ? -1 : a->day > b->day;
}

/* Sorts, and sums rows of one location and day. */
int
oms_capacity_merge(CapacityRow *rows, int count)
{
	int			kept = 0;

	qsort(rows, count, sizeof(CapacityRow), compare_rows);
	for (int i = 0; i < count; i++)
		if (kept > 0 && compare_rows(&rows[kept - 1], &rows[i]) == 0)
			rows[kept - 1].amount += rows[i].amount;
		else
			rows[kept++] = rows[i];
	return kept;
}

static void
fill_values(const CapacityRow *rows, int count, int sign, Datum *values)
{
	int64	   *ids = palloc(sizeof(int64) * count);
	int32	   *numbers = palloc(sizeof(int32) * count * 2);

	for (int i = 0; i < count; i++)
	{
		ids[i] = rows[i].location_id;
		numbers[i] = rows[i].day;
		numbers[count + i] = sign * rows[i].amount;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(ids, count);
	values[2] = oms_array_int32(numbers, count);
	values[3] = oms_array_int32(numbers + count, count);
}

typedef struct LockedRows
{
	CapacityRow *rows;
	int			count;
	int			enough;
} LockedRows;

static void
check_room(TupleTableSlot *slot, void *state)
{
	LockedRows *locked = state;
	bool		isnull;
	CapacityRow key = {oms_slot_int64(slot, 1), DatumGetDateADT(oms_slot_datum(slot, 2, &isnull))};
	CapacityRow *row = bsearch(&key, locked->rows, locked->count, sizeof(CapacityRow), compare_rows);

	locked->enough += oms_slot_int32(slot, 3) >= row->amount;
}

/* Locks the days and takes of them; false, with the locks held, where one is full. */
bool
oms_capacity_take(CapacityRow *rows, int count)
{
	LockedRows	locked = {rows, oms_capacity_merge(rows, count), 0};
	Datum		values[4];

	if (count == 0)
		return true;
	fill_values(rows, locked.count, 1, values);
	(void) oms_execute(&make_plan, values, NULL);
	(void) oms_execute_each(&lock_plan, values, NULL, check_room, &locked);
	if (locked.enough < locked.count)
		return false;
	(void) oms_execute(&change_plan, values, NULL);
	return true;
}

void
oms_capacity_give_back(CapacityRow *rows, int count)
{
	LockedRows	locked = {rows, oms_capacity_merge(rows, count), 0};
	Datum		values[4];

	if (count == 0)
		return;
	fill_values(rows, locked.count, -1, values);
	if (locked.count > 1)
		(void) oms_execute_each(&lock_plan, values, NULL, check_room, &locked);
	(void) oms_execute(&change_plan, values, NULL);
}

/* ---- Setting ---- */

static OmsPlan follow_plan = {
	.sql = "UPDATE {location_capacity} c SET capacity = greatest(c.used, l.daily_capacity) FROM {locations} l,"
	" jsonb_to_recordset($2) u(code text, daily_capacity int) WHERE c.tenant_id = $1 AND NOT c.fixed AND l.tenant_id = $1"
	" AND l.code = u.code AND u.daily_capacity IS NOT NULL AND l.daily_capacity IS NOT NULL"
	" AND c.location_id = l.location_id AND c.capacity <> greatest(c.used, l.daily_capacity)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

/* Days that have a row already follow a changed daily_capacity. */
void
oms_capacity_follow(Datum document)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), document};

	(void) oms_execute(&follow_plan, values, NULL);
}

typedef struct CapacityDocument
{
	char	   *location;
	char	   *day;
	char	   *last;
	int32		capacity;
} CapacityDocument;

static const DocField capacity_fields[] = {
	{"location", DOC_CODE, offsetof(CapacityDocument, location), .required = true},
	{"day", DOC_TEXT, offsetof(CapacityDocument, day), .required = true},
	{"to", DOC_TEXT, offsetof(CapacityDocument, last)},
	{"capacity", DOC_INT, offsetof(CapacityDocument, capacity), .required = true,.least = 0,.most = OMS_QUANTITY_MAX},
};

static const DocShape capacity_shape = DOC_SHAPE_OF(CapacityDocument, capacity_fields, "a capacity");

static OmsPlan set_plan = {
	.sql = "INSERT INTO {location_capacity} (location_id, tenant_id, day, capacity, fixed)"
	" SELECT u.location_id, $1, u.day + '2000-01-01'::date, u.capacity, true"
	" FROM unnest($2, $3, $4) u(location_id, day, capacity) ORDER BY u.location_id, u.day"
	" ON CONFLICT (location_id, day, tenant_id) DO UPDATE SET"
	" capacity = greatest(location_capacity.used, excluded.capacity), fixed = true",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID)
};

static OmsPlan limit_plan = {
	.sql = "UPDATE {locations} SET limited = true WHERE tenant_id = $1 AND location_id = ANY ($2) AND NOT limited",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* Days of a row, checked; 0 where it has a fault. */
static int
check_row(const CapacityDocument *row, int index, int32 *first, FaultList *faults)
{
	const char *place = oms_document_place("days", index, NULL);
	int32		last;

	if (oms_location_find(row->location) == NULL)
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations adds a location.", place,
				  "location \"%s\" is not known", row->location);
	if (!oms_parse_day(row->day, first) || !oms_parse_day(row->last ? row->last : row->day, &last))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Write YYYY-MM-DD.", place, "day or to is not a day");
	else if (last < *first || last - *first >= CAPACITY_DAYS_MAX)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Days go from the first to the last.", place,
				  "ends before it begins or has more than %d days", CAPACITY_DAYS_MAX);
	else
		return last - *first + 1;
	return 0;
}

static int
list_days(DocArray *documents, CapacityRow **rows, FaultList *faults)
{
	int			count = 0;
	int			capacity = 0;

	for (int i = 0; i < documents->count; i++)
	{
		CapacityDocument *document = (CapacityDocument *) documents->items + i;
		int32		first;
		int			days = check_row(document, i, &first, faults);

		if (faults->count > 0)
			continue;
		if (count + days > OMS_BULK_ROWS_MAX)
		{
			oms_fault(faults, ERRCODE_OMS_LIMIT, "Load them in several calls.", "days", "are more than %d",
					  OMS_BULK_ROWS_MAX);
			return 0;
		}
		if (count + days > capacity)
		{
			capacity = Max(2 * capacity, count + days);
			*rows = *rows ? repalloc(*rows, sizeof(CapacityRow) * capacity) : palloc(sizeof(CapacityRow) * capacity);
		}
		for (int j = 0; j < days; j++)
			(*rows)[count++] = (CapacityRow)
		{
			oms_location_find(document->location)->location_id, first + j, document->capacity
		};
	}
	return count;
}

/*
 * oms.load_location_capacity(days jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_load_location_capacity, CALL_KEYED)
{
	FaultList	faults;
	DocArray	documents = {0};
	CapacityRow *rows = NULL;
	Datum		values[4];
	int			count;

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of rows.", "days", "is null");
	else
		documents = oms_document_read_array(PG_GETARG_JSONB_P(0), &capacity_shape, OMS_BULK_ROWS_MAX, "days", &faults);
	oms_faults_raise(&faults, "capacity is not valid");
	count = list_days(&documents, &rows, &faults);
	if (faults.count == 0 && count > 0)
		qsort(rows, count, sizeof(CapacityRow), compare_rows);
	for (int i = 1; faults.count == 0 && i < count; i++)
		if (compare_rows(&rows[i - 1], &rows[i]) == 0)
			oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give each day of a location once.", "days", "a day stands there twice");
	oms_faults_raise(&faults, "capacity is not valid");
	if (count > 0)
	{
		fill_values(rows, count, 1, values);
		(void) oms_execute(&set_plan, values, NULL);
		(void) oms_execute(&limit_plan, values, NULL);
	}
	oms_event(&(Event) {.object_type = "location",.type = "location_capacity.loaded",.data = PG_GETARG_JSONB_P(0)});
	PG_RETURN_INT64(count);
}
