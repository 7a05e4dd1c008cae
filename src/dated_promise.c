/*
 * dated_promise.c
 *	  Units promised beyond what is on hand, by the date that they wait for.
 *
 * What is promised for when must be known to make the next promise, and must
 * not cost more the more orders wait.  So it is summed up: every change of a
 * waiting promise adds a row, and whoever holds the whole counter joins them
 * when they have become many.  Rows are only added, never changed, because many
 * calls change promises before they lock the counter: a row that two of them
 * had to change would be a lock out of order.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "dated_promise.h"
#include "relation.h"

/* More rows than this, and than ENTRIES_PER_DATE for each date, are joined. */
#define ENTRIES_MAX			64
#define ENTRIES_PER_DATE	4

static OmsPlan read_plan = {
	.sql = "SELECT item_id, location_id, supplied_at, sum(units), count(*) FROM {dated_promises}"
	" WHERE item_id = ANY ($2) AND tenant_id = $1 GROUP BY item_id, location_id, supplied_at"
	" ORDER BY item_id, location_id, supplied_at",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {dated_promises} (item_id, location_id, supplied_at, tenant_id, units)"
	" SELECT u.item_id, u.location_id, u.supplied_at, $1, sum(u.units)"
	" FROM unnest($2::bigint[], $3::bigint[], $4::timestamptz[], $5::bigint[]) u(item_id, location_id, supplied_at, units)"
	" GROUP BY u.item_id, u.location_id, u.supplied_at HAVING sum(u.units) <> 0",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT8ARRAYOID)
};

static OmsPlan delete_plan = {
	.sql = "DELETE FROM {dated_promises} WHERE item_id = $2 AND location_id = $3 AND tenant_id = $1"
	" RETURNING item_id, location_id, supplied_at, units, 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID)
};

static void
collect(TupleTableSlot *slot, void *state)
{
	DatedList  *list = state;
	bool		isnull;

	if (list->count == list->capacity)
	{
		list->capacity = Max(16, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(DatedUnits) * list->capacity);
	}
	list->rows[list->count++] = (DatedUnits)
	{
		.item_id = oms_slot_int64(slot, 1),.location_id = oms_slot_int64(slot, 2),
			.supplied_at = DatumGetTimestampTz(oms_slot_datum(slot, 3, &isnull)),
			.units = oms_slot_int64(slot, 4),.entries = oms_slot_int64(slot, 5)
	};
}

/* What is promised of some items beyond what is on hand, for when. */
DatedList *
oms_dated_promises_read(const int64 *item_ids, int count)
{
	DatedList  *list = palloc0(sizeof(DatedList));
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count)};

	if (count > 0)
		(void) oms_execute_each(&read_plan, values, NULL, collect, list);
	return list;
}

/* Notes changes: units that are promised for a time, or (negative) no longer. */
void
oms_dated_promises_add(const DatedUnits *rows, int count)
{
	int64	   *numbers = palloc(sizeof(int64) * Max(1, count) * 3);
	Datum	   *times = palloc(sizeof(Datum) * Max(1, count));
	Datum		values[5];

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		numbers[i] = rows[i].item_id;
		numbers[count + i] = rows[i].location_id;
		numbers[2 * count + i] = rows[i].units;
		times[i] = TimestampTzGetDatum(rows[i].supplied_at);
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(numbers, count);
	values[2] = oms_array_int64(numbers + count, count);
	values[3] = oms_array_datum(times, palloc0(sizeof(bool) * count), count, TIMESTAMPTZOID);
	values[4] = oms_array_int64(numbers + 2 * count, count);
	(void) oms_execute(&insert_plan, values, NULL);
}

/* Joins the rows of a counter, which is locked whole, where they have become many. */
void
oms_dated_promises_tidy(const DatedList *list, int64 item_id, int64 location_id)
{
	DatedList	gone = {0};
	int64		entries = 0;
	int64		dates = 0;
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(item_id), Int64GetDatum(location_id)};

	for (int i = 0; i < list->count; i++)
		if (list->rows[i].item_id == item_id && list->rows[i].location_id == location_id)
		{
			entries += list->rows[i].entries;
			dates += list->rows[i].units != 0;
		}
	if (entries <= ENTRIES_MAX || entries <= dates * ENTRIES_PER_DATE)
		return;

	/* The sum is that of what goes: a row that came since the list was read is in both. */
	(void) oms_execute_each(&delete_plan, values, NULL, collect, &gone);
	oms_dated_promises_add(gone.rows, gone.count);
}
