/*
 * reservation_hold.c
 *	  The units that reservations hold, as a list that reserving, placing and
 *	  counting share: reading, locking, ending and cutting them.
 *
 * A reservation has one row in reservation_lines for every counter that it
 * holds units of, and these units are part of stock.reserved.  The rows go away
 * when the reservation ends; the ledger of movements keeps what they were.
 *
 * A hold ends by the clock.  Nobody has to notice: whoever finds too few units
 * counts those of expired holds as free, and ends these holds in the same step
 * in which it takes the units.
 *
 * Rows of oms.reservations are locked by reservation_id, after the order and
 * before the counters.  Holds of one call, its own and expired ones alike, are
 * locked by one statement, so that order is kept whoever takes part.
 */
#include "oms.h"

#include "call.h"
#include "event.h"
#include "machine.h"
#include "quota.h"
#include "relation.h"

#define HOLD_COLUMNS "l.reservation_id, l.item_id, l.location_id, l.quantity"

static OmsPlan of_reservations_plan = {
	.sql = "SELECT " HOLD_COLUMNS " FROM {reservation_lines} l"
	" WHERE l.reservation_id = ANY ($2) AND l.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan expired_plan = {
	.sql = "SELECT " HOLD_COLUMNS " FROM {reservation_lines} l JOIN {reservations} r"
	" ON r.reservation_id = l.reservation_id AND r.tenant_id = $1"
	" WHERE l.item_id = ANY ($2) AND l.tenant_id = $1 AND r.status = 'held' AND r.expires_at <= $3"
	" AND r.reservation_id <> $4",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID, INT8OID)
};

static OmsPlan of_counter_plan = {
	.sql = "SELECT " HOLD_COLUMNS " FROM {reservation_lines} l JOIN {reservations} r"
	" ON r.reservation_id = l.reservation_id AND r.tenant_id = $1"
	" WHERE l.item_id = $2 AND l.location_id = $3 AND l.tenant_id = $1"
	" ORDER BY r.expires_at > $4, l.reservation_id DESC",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID)
};

/* Locks in the order of the ids; a reservation that ended meanwhile is left out. */
static OmsPlan lock_plan = {
	.sql = "SELECT r.reservation_id FROM {reservations} r WHERE r.tenant_id = $1 AND r.reservation_id = ANY ($2)"
	" AND r.status = 'held' AND (r.reservation_id = $3 OR r.expires_at <= $4)"
	" ORDER BY r.reservation_id FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8OID, TIMESTAMPTZOID)
};

static OmsPlan end_plan = {
	.sql = "UPDATE {reservations} r SET status = u.status FROM unnest($2::bigint[], $3::text[]) u(reservation_id, status)"
	" WHERE r.reservation_id = u.reservation_id AND r.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID)
};

static OmsPlan delete_lines_plan = {
	.sql = "DELETE FROM {reservation_lines} WHERE reservation_id = ANY ($2) AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan cut_plan = {
	.sql = "UPDATE {reservation_lines} l SET quantity = l.quantity - u.quantity"
	" FROM unnest($4::bigint[], $5::int[]) u(reservation_id, quantity)"
	" WHERE l.reservation_id = u.reservation_id AND l.item_id = $2 AND l.location_id = $3 AND l.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8ARRAYOID, INT4ARRAYOID)
};

/* ---- Holds as a list ---- */

static void
collect(TupleTableSlot *slot, void *state)
{
	HoldList   *list = state;

	if (list->count == list->capacity)
	{
		list->capacity = Max(16, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(Hold) * list->capacity);
	}
	list->rows[list->count++] = (Hold)
	{
		oms_slot_int64(slot, 1), oms_slot_int64(slot, 2), oms_slot_int64(slot, 3), oms_slot_int32(slot, 4)
	};
}

static void
read_lines(HoldList *list, const int64 *ids, int count)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(ids, count)};

	list->count = 0;
	if (count > 0)
		(void) oms_execute_each(&of_reservations_plan, values, NULL, collect, list);
}

/*
 * Reads, without a lock, the holds of the caller's own reservation and the
 * expired ones on the items.  Read before the counters: a hold that ends in
 * between makes them look better than they are, which the locked check finds;
 * the other way round would report a shortage that is none.
 */
HoldList *
oms_holds_read(int64 own, const int64 *item_ids, int item_count)
{
	HoldList   *list = palloc0(sizeof(HoldList));
	Datum		values[4];

	list->own = own;
	if (own != 0)
		read_lines(list, &own, 1);
	if (item_count == 0)
		return list;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(item_ids, item_count);
	values[2] = TimestampTzGetDatum(oms_call->now);
	values[3] = Int64GetDatum(own);
	(void) oms_execute_each(&expired_plan, values, NULL, collect, list);
	return list;
}

bool
oms_holds_of_others(const HoldList *list)
{
	for (int i = 0; i < list->count; i++)
		if (list->rows[i].reservation_id != list->own)
			return true;
	return false;
}

/* Counts the held units as free. */
void
oms_holds_credit(const HoldList *list, StockView *view)
{
	for (int i = 0; i < list->count; i++)
	{
		StockRow   *row = oms_stock_find(view->rows, view->count, list->rows[i].item_id, list->rows[i].location_id);

		if (row)
			row->reserved -= list->rows[i].quantity;
	}
}

/* For reading reservations that are to be locked: only their ids count. */
void
oms_holds_collect_id(TupleTableSlot *slot, void *state)
{
	HoldList   *ids = state;

	if (ids->count == ids->capacity)
	{
		ids->capacity = Max(16, ids->capacity * 2);
		ids->rows = oms_grown(ids->rows, sizeof(Hold) * ids->capacity);
	}
	ids->rows[ids->count++] = (Hold) {.reservation_id = oms_slot_int64(slot, 1)};
}

/* The ids of a list, each once where equal ones stand together. */
static int64 *
ids_of(const HoldList *list, int *count)
{
	int64	   *ids = palloc(sizeof(int64) * (list->count + 1));

	*count = 0;
	for (int i = 0; i < list->count; i++)
		if (i == 0 || list->rows[i].reservation_id != list->rows[i - 1].reservation_id)
			ids[(*count)++] = list->rows[i].reservation_id;
	return ids;
}

/* Locks reservations that are still held and, others' only, expired; returns their ids. */
static int64 *
lock_reservations(const int64 *ids, int *count, int64 own, TimestampTz expired_at)
{
	HoldList	locked = {0};
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), oms_array_int64(ids, *count), Int64GetDatum(own),
	TimestampTzGetDatum(expired_at)};

	(void) oms_execute_each(&lock_plan, values, NULL, oms_holds_collect_id, &locked);
	return ids_of(&locked, count);
}

/* Locks what is held of reservations that several orders will use up, in one order. */
void
oms_holds_lock_ids(const int64 *ids, int count)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), oms_array_int64(ids, count), Int64GetDatum(0),
	TimestampTzGetDatum(DT_NOEND)};

	if (count > 0)
		(void) oms_execute(&lock_plan, values, NULL);
}

/* Locks the reservations of a list; afterwards it has all their holds and no others. */
void
oms_holds_lock(HoldList *list)
{
	int			count;
	int64	   *ids = ids_of(list, &count);

	if (list->own != 0)
		ids[count++] = list->own;
	list->ids = lock_reservations(ids, &count, list->own, oms_call->now);
	list->id_count = count;
	read_lines(list, list->ids, count);
}

/* Puts one counter row per hold, with the units in held. */
void
oms_holds_add_rows(const HoldList *list, StockRow *rows)
{
	for (int i = 0; i < list->count; i++)
		rows[i] = (StockRow)
	{
		.item_id = list->rows[i].item_id,.location_id = list->rows[i].location_id,.held = list->rows[i].quantity
	};
}

/* Writes the ledger of holds that end by one action. */
static void
record_end(const HoldList *list, bool own, const char *action, int64 order_id)
{
	StockRow   *rows = palloc0(sizeof(StockRow) * Max(1, list->count));
	int			count = 0;

	for (int i = 0; i < list->count; i++)
	{
		const Hold *hold = &list->rows[i];

		if ((hold->reservation_id == list->own) == own)
			rows[count++] = (StockRow)
		{
			.item_id = hold->item_id,.location_id = hold->location_id,.order_id = order_id,
				.reserved_delta = -hold->quantity
		};
	}
	if (count > 0)
		oms_stock_record(rows, count, psprintf("hold.%s", action), NULL, NULL);
}

static void
touch_quotas(const HoldList *list)
{
	int64	   *items;

	if (!oms_quotas_exist())
		return;
	items = palloc(sizeof(int64) * Max(1, list->count));
	for (int i = 0; i < list->count; i++)
		items[i] = list->rows[i].item_id;
	qsort(items, list->count, sizeof(int64), oms_compare_int64);
	oms_quotas_touch(items, list->count);
}

/*
 * Ends locked reservations: the caller's own by the given action, others
 * because they have expired.  The counters are the caller's business.
 */
void
oms_holds_end(const HoldList *list, const char *own_action, int64 order_id)
{
	char	  **states = palloc(sizeof(char *) * Max(1, list->id_count));
	Datum		values[3];

	if (list->id_count == 0)
		return;
	for (int i = 0; i < list->id_count; i++)
	{
		bool		own = list->ids[i] == list->own;
		StepObject	object = {.type = MACHINE_RESERVATION,.id = list->ids[i],.order_id = own ? order_id : 0};

		states[i] = (char *) oms_machine_step(MACHINE_RESERVATION, oms_machine_initial(MACHINE_RESERVATION),
											  own ? own_action : "expire", &object)->to_state;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(list->ids, list->id_count);
	values[2] = oms_array_text(states, list->id_count);
	(void) oms_execute(&end_plan, values, NULL);
	(void) oms_execute(&delete_lines_plan, values, NULL);
	record_end(list, true, own_action, order_id);
	record_end(list, false, "expire", 0);
	touch_quotas(list);
}

/* ---- Counts ---- */

static void
read_counter(HoldList *list, int64 item_id, int64 location_id)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(item_id), Int64GetDatum(location_id),
	TimestampTzGetDatum(oms_call->now)};

	(void) oms_execute_each(&of_counter_plan, values, NULL, collect, list);
}

/* Locks every reservation that holds units of the counters. */
HoldList *
oms_holds_lock_counters(const StockRow *rows, int count)
{
	HoldList   *list = palloc0(sizeof(HoldList));

	for (int i = 0; i < count; i++)
		read_counter(list, rows[i].item_id, rows[i].location_id);
	list->ids = ids_of(list, &list->id_count);
	list->ids = lock_reservations(list->ids, &list->id_count, 0, DT_NOEND);
	return list;
}

static bool
is_locked(const HoldList *locked, int64 id)
{
	return locked->id_count > 0 && bsearch(&id, locked->ids, locked->id_count, sizeof(int64), oms_compare_int64) != NULL;
}

/*
 * Takes up to excess units from the holds of a locked counter, expired ones
 * first, then the newest, and notes them in row->held.  False where a hold has
 * come that is not locked.
 */
bool
oms_holds_cut(const HoldList *locked, StockRow *row, int32 excess)
{
	HoldList	list = {0};
	int64	   *ids;
	int32	   *units;
	int			count = 0;
	Datum		values[5];

	read_counter(&list, row->item_id, row->location_id);
	ids = palloc(sizeof(int64) * Max(1, list.count));
	units = palloc(sizeof(int32) * Max(1, list.count));
	row->held = 0;
	for (int i = 0; i < list.count; i++)
	{
		if (!is_locked(locked, list.rows[i].reservation_id))
			return false;
		if (row->held == excess)
			continue;
		ids[count] = list.rows[i].reservation_id;
		units[count] = Min(excess - row->held, list.rows[i].quantity);
		row->held += units[count];
		oms_event(&(Event) {.object_id = ids[count],.object_type = MACHINE_RESERVATION,.type = "reservation.reduced",
							.reason = "stock count"});
		count++;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(row->item_id);
	values[2] = Int64GetDatum(row->location_id);
	values[3] = oms_array_int64(ids, count);
	values[4] = oms_array_int32(units, count);
	if (count > 0)
		(void) oms_execute(&cut_plan, values, NULL);
	return true;
}
