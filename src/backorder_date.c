/*
 * backorder_date.c
 *	  New dates for promises that wait, when what they wait for changes.
 *
 * The promises that wait at a counter stand in the order of their dates, older
 * orders first; each has its units when the supplies have brought as many as
 * all until it want.  A fulfillment waits until all its items are there, so the
 * counters of the other items that wait with those at hand are looked at, and
 * locked, too.
 *
 * Planning writes nothing: settling counters (allocation.c) plans under their
 * locks and writes once the orders are locked as well.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/date.h"

#include "backorder_date.h"
#include "calendar.h"
#include "call.h"
#include "dated_promise.h"
#include "dates.h"
#include "document.h"
#include "event.h"
#include "lot.h"
#include "relation.h"
#include "supply.h"

#define COUNTERS_DEFAULT	1000
#define COUNTERS_MAX		10000

static OmsPlan waiting_plan = {
	.sql = "SELECT a.item_id, a.location_id, a.order_id, a.fulfillment_id, a.line_no, a.open, coalesce(f.supplied_at, 'infinity'),"
	" f.service, i.weight_grams, d.method = 'pickup', d.service, d.address ->> 'country', d.address ->> 'postal_code',"
	" (d.address ->> 'latitude')::float8, (d.address ->> 'longitude')::float8"
	" FROM unnest($2::bigint[], $3::bigint[]) c(item_id, location_id)"
	" JOIN {order_lines} w ON w.item_id = c.item_id AND w.tenant_id = $1 AND w.backordered > 0"
	" CROSS JOIN LATERAL (SELECT x.*, x.promised - x.shipped - x.cancelled AS open FROM {allocations} x"
	" WHERE x.order_id = w.order_id AND x.line_no = w.line_no AND x.location_id = c.location_id AND x.tenant_id = $1"
	" AND x.promised > x.shipped + x.cancelled OFFSET 0) a"
	" CROSS JOIN LATERAL (SELECT y.* FROM {fulfillments} y WHERE y.fulfillment_id = a.fulfillment_id AND y.tenant_id = $1 OFFSET 0) f"
	" JOIN {items} i ON i.item_id = a.item_id AND i.tenant_id = $1"
	" LEFT JOIN {order_deliveries} d ON d.order_id = a.order_id AND d.delivery_no = f.delivery_no AND d.tenant_id = $1"
	" WHERE f.backordered ORDER BY 1, 2, 7, 3, 5, 4",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

static OmsPlan companions_plan = {
	.sql = "SELECT DISTINCT x.item_id, x.location_id FROM {allocations} x WHERE x.order_id = ANY ($2) AND x.fulfillment_id = ANY ($3)"
	" AND x.tenant_id = $1 AND x.location_id IS NOT NULL AND x.promised > x.shipped + x.cancelled ORDER BY 1, 2",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

static OmsPlan write_plan = {
	.sql = "UPDATE {fulfillments} f SET supplied_at = u.supplied_at, ship_by = u.ship_by, earliest_at = u.earliest_at,"
	" promised_at = u.promised_at, ship_day = u.ship_day, service = coalesce(u.service, f.service)"
	" FROM unnest($2::bigint[], $3::timestamptz[], $4::timestamptz[], $5::timestamptz[], $6::timestamptz[], $7::date[], $8::text[])"
	" u(fulfillment_id, supplied_at, ship_by, earliest_at, promised_at, ship_day, service)"
	" WHERE f.fulfillment_id = u.fulfillment_id AND f.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID,
				 DATEARRAYOID, TEXTARRAYOID)
};

/* Counters at which promises wait. */
static OmsPlan counters_plan = {
	.sql = "SELECT item_id, location_id FROM {dated_promises} WHERE tenant_id = $1 GROUP BY item_id, location_id"
	" HAVING sum(units) > 0 ORDER BY item_id, location_id",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

/* A promise that waits, and what is known of its delivery. */
typedef struct WaitingUnits
{
	int64		item_id;
	int64		location_id;
	int64		order_id;
	int64		fulfillment_id;
	int32		line_no;
	int32		open;
	int32		left;			/* of these: not withdrawn in the same call */
	TimestampTz supplied_at;
	TimestampTz served_at;		/* as the supplies come now */
	char	   *service;		/* that the dates of the fulfillment count on */
	int32		weight_grams;
	DateRequest request;
} WaitingUnits;

typedef struct WaitingList
{
	int			count;
	int			capacity;
	WaitingUnits *rows;			/* by counter, in the order in which they are served */
} WaitingList;

/* A fulfillment that gets another date. */
typedef struct Redated
{
	int64		order_id;
	int64		fulfillment_id;
	TimestampTz before;
	TimestampTz supplied_at;
	ParcelDates dates;
	List	   *units;			/* of WaitingUnits */
} Redated;

/* ---- Reading ---- */

static void
collect_waiting(TupleTableSlot *slot, void *state)
{
	WaitingList *list = state;
	bool		isnull;

	if (list->count == list->capacity)
	{
		list->capacity = Max(64, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(WaitingUnits) * list->capacity);
	}
	list->rows[list->count++] = (WaitingUnits)
	{
		.item_id = oms_slot_int64(slot, 1),.location_id = oms_slot_int64(slot, 2),.order_id = oms_slot_int64(slot, 3),
			.fulfillment_id = oms_slot_int64(slot, 4),.line_no = oms_slot_int32(slot, 5),.open = oms_slot_int32(slot, 6),
			.left = oms_slot_int32(slot, 6),.supplied_at = DatumGetTimestampTz(oms_slot_datum(slot, 7, &isnull)),
			.service = oms_slot_text(slot, 8),.weight_grams = oms_slot_int32(slot, 9),
			.request = {.pickup = oms_slot_bool(slot, 10),.service = oms_slot_text(slot, 11),
			.destination = {oms_slot_text(slot, 12), oms_slot_text(slot, 13), oms_slot_double(slot, 14), oms_slot_double(slot, 15)}}
	};
}

static WaitingList *
read_waiting(const StockRow *rows, int count)
{
	WaitingList *list = palloc0(sizeof(WaitingList));
	int64	   *ids = palloc(sizeof(int64) * 2 * Max(1, count));
	Datum		values[3];

	for (int i = 0; i < count; i++)
	{
		ids[i] = rows[i].item_id;
		ids[count + i] = rows[i].location_id;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(ids, count);
	values[2] = oms_array_int64(ids + count, count);
	(void) oms_execute_each(&waiting_plan, values, NULL, collect_waiting, list);
	return list;
}

typedef struct CounterList
{
	StockRow   *rows;
	int			count;
	int			capacity;
} CounterList;

static void
collect_counter(TupleTableSlot *slot, void *state)
{
	CounterList *list = state;

	if (list->count == list->capacity)
	{
		list->capacity = Max(64, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(StockRow) * list->capacity);
	}
	list->rows[list->count++] = (StockRow)
	{
		.item_id = oms_slot_int64(slot, 1),.location_id = oms_slot_int64(slot, 2)
	};
}

/* The counters of everything that waits together with the promises at hand. */
static CounterList
companions_of(const WaitingList *waiting)
{
	CounterList list = {0};
	int64	   *orders = palloc(sizeof(int64) * Max(1, waiting->count));
	int64	   *fulfillments = palloc(sizeof(int64) * Max(1, waiting->count));
	Datum		values[3];

	for (int i = 0; i < waiting->count; i++)
	{
		orders[i] = waiting->rows[i].order_id;
		fulfillments[i] = waiting->rows[i].fulfillment_id;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(orders, waiting->count);
	values[2] = oms_array_int64(fulfillments, waiting->count);
	(void) oms_execute_each(&companions_plan, values, NULL, collect_counter, &list);
	return list;
}

/* ---- Planning ---- */

static int
compare_fulfillments(const void *left, const void *right)
{
	const WaitingUnits *a = *(WaitingUnits *const *) left;
	const WaitingUnits *b = *(WaitingUnits *const *) right;

	if (a->order_id != b->order_id)
		return a->order_id < b->order_id ? -1 : 1;
	if (a->fulfillment_id != b->fulfillment_id)
		return a->fulfillment_id < b->fulfillment_id ? -1 : 1;
	return a->line_no < b->line_no ? -1 : a->line_no > b->line_no;
}

/* What waits, by fulfillment and line. */
static WaitingUnits **
by_fulfillment(const WaitingList *waiting)
{
	WaitingUnits **sorted = palloc(sizeof(WaitingUnits *) * Max(1, waiting->count));

	for (int i = 0; i < waiting->count; i++)
		sorted[i] = &waiting->rows[i];
	qsort(sorted, waiting->count, sizeof(WaitingUnits *), compare_fulfillments);
	return sorted;
}

/* Takes off what the running call withdraws. */
static void
leave_out_withdrawn(const WaitingList *waiting, WaitingUnits **sorted, const AllocationList *withdrawn)
{
	for (int i = 0; withdrawn && waiting->count > 0 && i < withdrawn->count; i++)
	{
		WaitingUnits key = {.order_id = withdrawn->rows[i].order_id,.fulfillment_id = withdrawn->rows[i].fulfillment_id,
		.line_no = withdrawn->rows[i].line_no};
		WaitingUnits *wanted = &key;
		WaitingUnits **found = bsearch(&wanted, sorted, waiting->count, sizeof(WaitingUnits *), compare_fulfillments);

		if (found)
			(*found)->left -= withdrawn->rows[i].delta.cancelled;
	}
}

/* Units of a counter that no firm promise has, once the running call has changed it. */
static int64
base_of(const StockRow *row, const WaitingList *waiting, int first)
{
	int64		base = (int64) row->on_hand + row->on_hand_delta - row->safety - row->reserved - row->reserved_delta + row->held;

	for (int i = first; i < waiting->count && waiting->rows[i].item_id == row->item_id &&
		 waiting->rows[i].location_id == row->location_id; i++)
		base += waiting->rows[i].left;
	return base;
}

/* Serves the promises of all counters, each in its order. */
static void
serve(WaitingList *waiting, StockRow *rows, int count)
{
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, count));
	StockView	view = {.count = count,.rows = rows};
	SupplyList *supplies;
	const StockRow *row = NULL;
	int64		base = 0;
	int64		wanted = 0;

	for (int i = 0; i < count; i++)
		item_ids[i] = rows[i].item_id;
	supplies = oms_supplies_read(item_ids, count);
	oms_lots_discount(&view);
	for (int i = 0; i < waiting->count; i++)
	{
		WaitingUnits *units = &waiting->rows[i];

		CHECK_FOR_INTERRUPTS();
		if (row == NULL || row->item_id != units->item_id || row->location_id != units->location_id)
		{
			row = oms_stock_find(rows, count, units->item_id, units->location_id);
			base = base_of(row, waiting, i);
			wanted = 0;
		}
		wanted += units->left;
		units->served_at = wanted <= base ? oms_call->now
			: oms_supplies_cover(supplies, units->item_id, units->location_id, wanted - base);
	}
}

/* What arrives is made ready and sent like an order of that moment. */
static void
date_parcel(Redated *row)
{
	WaitingUnits *first = linitial(row->units);
	DateRequest request = first->request;
	int64		grams = 0;
	ListCell   *cell;

	if (row->supplied_at == DT_NOEND)
		return;
	foreach(cell, row->units)
		grams += (int64) ((WaitingUnits *) lfirst(cell))->weight_grams * ((WaitingUnits *) lfirst(cell))->left;
	request.ordered_at = row->supplied_at;
	if (oms_dates_configured())
		oms_dates_of_parcel(&request, oms_location_by_id(first->location_id), grams, first->service, &row->dates);
	if (!row->dates.ships || row->dates.ship_by < row->supplied_at)
	{
		row->dates.ships = true;
		row->dates.ship_by = row->supplied_at;
	}
}

/* Whether some of a fulfillment waits at a counter that the caller names. */
static bool
is_asked(const Redated *row, StockRow *rows, int count)
{
	ListCell   *cell;

	foreach(cell, row->units)
	{
		const WaitingUnits *units = lfirst(cell);

		if (oms_stock_find(rows, count, units->item_id, units->location_id) != NULL)
			return true;
	}
	return false;
}

/* A promise that was late and still is has no other date: it takes what comes first. */
static bool
is_moved(const Redated *row)
{
	return row->supplied_at != row->before && (row->supplied_at > oms_call->now || row->before > oms_call->now);
}

/* Collects the fulfillments at the asked counters whose date changes. */
static void
collect_redated(Redating *redating, const WaitingList *waiting, WaitingUnits **sorted, StockRow *rows, int count)
{
	redating->rows = palloc(sizeof(Redated) * Max(1, waiting->count));
	redating->count = 0;
	for (int i = 0; i < waiting->count;)
	{
		Redated		row = {.order_id = sorted[i]->order_id,.fulfillment_id = sorted[i]->fulfillment_id,
		.before = sorted[i]->supplied_at,.supplied_at = DT_NOBEGIN};

		for (; i < waiting->count && sorted[i]->fulfillment_id == row.fulfillment_id; i++)
			if (sorted[i]->left > 0)
			{
				row.supplied_at = Max(row.supplied_at, sorted[i]->served_at);
				row.units = lappend(row.units, sorted[i]);
			}
		if (row.units == NIL || !is_asked(&row, rows, count) || !is_moved(&row))
			continue;
		date_parcel(&row);
		redating->rows[redating->count++] = row;
	}
}

/*
 * Whether the companions are those of what waits at some counters; else they
 * become that.
 */
static bool
know_companions(Redating *redating, const StockRow *rows, int count, const WaitingList *waiting)
{
	CounterList list = companions_of(waiting);
	bool		known = true;
	int			kept = 0;

	for (int i = 0; i < list.count; i++)
	{
		const StockRow *row = &list.rows[i];

		if (oms_stock_find(rows, count, row->item_id, row->location_id) != NULL)
			continue;
		known = known &&
			oms_stock_find(redating->companions, redating->companion_count, row->item_id, row->location_id) != NULL;
		list.rows[kept++] = *row;
	}
	if (!known)
	{
		redating->companions = list.rows;
		redating->companion_count = kept;
	}
	return known;
}

/*
 * Plans the dates of what waits at some counters, in lock order, after the
 * changes that they carry.  False where the companions have become others: they
 * are then to be locked too, and all is to be planned again.
 */
bool
oms_redating_plan(Redating *redating, const StockRow *rows, int count, const AllocationList *withdrawn)
{
	int			all_count = count + redating->companion_count;
	StockRow   *asked = palloc(sizeof(StockRow) * Max(1, count));
	StockRow   *all = palloc(sizeof(StockRow) * Max(1, all_count));
	WaitingList *waiting = read_waiting(rows, count);
	WaitingUnits **sorted;

	redating->count = 0;
	memcpy(asked, rows, sizeof(StockRow) * count);
	if (!know_companions(redating, asked, count, waiting))
		return false;
	memcpy(all, rows, sizeof(StockRow) * count);
	if (redating->companion_count > 0)
	{
		memcpy(all + count, redating->companions, sizeof(StockRow) * redating->companion_count);
		qsort(all, all_count, sizeof(StockRow), oms_stock_compare);
		waiting = read_waiting(all, all_count);
	}
	sorted = by_fulfillment(waiting);
	leave_out_withdrawn(waiting, sorted, withdrawn);
	serve(waiting, all, all_count);
	collect_redated(redating, waiting, sorted, asked, count);
	return true;
}

/* The orders that must be locked before their dates are written; returns how many. */
int
oms_redating_orders(const Redating *redating, int64 *order_ids)
{
	for (int i = 0; i < redating->count; i++)
		order_ids[i] = redating->rows[i].order_id;
	return redating->count;
}

/* ---- Writing ---- */

static void
write_fulfillments(const Redating *redating)
{
	int			count = redating->count;
	int64	   *ids = palloc(sizeof(int64) * count);
	Datum	   *columns = palloc(sizeof(Datum) * count * 6);
	bool	   *nulls = palloc(sizeof(bool) * count * 6);
	static const Oid types[6] = {TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, DATEOID, TEXTOID};
	Datum		values[8] = {Int32GetDatum(oms_call->tenant)};

	for (int i = 0; i < count; i++)
	{
		const Redated *row = &redating->rows[i];
		const ParcelDates *dates = &row->dates;
		Datum		datums[6] = {TimestampTzGetDatum(row->supplied_at), TimestampTzGetDatum(dates->ship_by),
			TimestampTzGetDatum(dates->earliest_at), TimestampTzGetDatum(dates->promised_at), DateADTGetDatum(dates->ship_day),
		dates->service ? CStringGetTextDatum(dates->service) : (Datum) 0};
		bool		absent[6] = {row->supplied_at == DT_NOEND, !dates->ships, !dates->arrives, !dates->arrives, !dates->ships,
		dates->service == NULL};

		ids[i] = row->fulfillment_id;
		for (int j = 0; j < 6; j++)
		{
			columns[j * count + i] = datums[j];
			nulls[j * count + i] = absent[j];
		}
	}
	values[1] = oms_array_int64(ids, count);
	for (int j = 0; j < 6; j++)
		values[2 + j] = oms_array_datum(columns + j * count, nulls + j * count, count, types[j]);
	(void) oms_execute(&write_plan, values, NULL);
}

/* What is promised for when moves with the fulfillments. */
static void
write_dated_promises(const Redating *redating)
{
	DatedUnits *rows;
	ListCell   *cell;
	int			count = 0;

	for (int i = 0; i < redating->count; i++)
		count += list_length(redating->rows[i].units);
	rows = palloc(sizeof(DatedUnits) * count * 2);
	count = 0;
	for (int i = 0; i < redating->count; i++)
		foreach(cell, redating->rows[i].units)
		{
			WaitingUnits *units = lfirst(cell);

			rows[count++] = (DatedUnits) {units->item_id, units->location_id, redating->rows[i].before, -units->left, 0};
			rows[count++] = (DatedUnits) {units->item_id, units->location_id, redating->rows[i].supplied_at, units->left, 0};
		}
	oms_dated_promises_add(rows, count);
}

static Jsonb *
redated_document(const Redated *row)
{
	DocWriter	writer;
	ListCell   *cell;

	oms_write_begin(&writer);
	if (row->before != DT_NOEND)
		oms_write_time(&writer, "supplied_before", row->before);
	if (row->supplied_at != DT_NOEND)
		oms_write_time(&writer, "supplied_at", row->supplied_at);
	if (row->dates.ships)
		oms_write_time(&writer, "ship_by", row->dates.ship_by);
	if (row->dates.arrives)
		oms_write_time(&writer, "promised_at", row->dates.promised_at);
	oms_write_begin_array(&writer, "lines");
	foreach(cell, row->units)
	{
		WaitingUnits *units = lfirst(cell);

		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "line_no", units->line_no);
		oms_write_int64(&writer, "quantity", units->left);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	return oms_write_finish(&writer);
}

/* Writes the new dates, with an event for each fulfillment, once its orders are locked. */
void
oms_redating_write(const Redating *redating)
{
	if (redating->count == 0)
		return;
	write_fulfillments(redating);
	write_dated_promises(redating);
	for (int i = 0; i < redating->count; i++)
	{
		const Redated *row = &redating->rows[i];

		CHECK_FOR_INTERRUPTS();
		oms_event(&(Event) {.order_id = row->order_id,.object_id = row->fulfillment_id,.object_type = "fulfillment",
							.type = "fulfillment.redated",.reason = redating->reason,.data = redated_document(row)});
	}
}

/* ---- The job ---- */

static void
keep_counters(StockRow *rows, int count, void *state)
{
}

/* The counters, of those at which promises wait, at which a date is no longer what it would be. */
static CounterList
stale_counters(int most)
{
	CounterList list = {0};
	CounterList stale = {0};
	Redating	redating = {0};
	int64	   *item_ids;
	StockView  *view;
	Datum		tenant = Int32GetDatum(oms_call->tenant);

	(void) oms_execute_each(&counters_plan, &tenant, NULL, collect_counter, &list);
	item_ids = palloc(sizeof(int64) * Max(1, list.count));
	for (int i = 0; i < list.count; i++)
		item_ids[i] = list.rows[i].item_id;
	view = oms_stock_view(item_ids, list.count);
	(void) oms_redating_plan(&redating, view->rows, view->count, NULL);
	stale.rows = palloc0(sizeof(StockRow) * Max(1, Min(most, list.count)));
	for (int i = 0; i < list.count && stale.count < most; i++)
		for (int j = 0; j < redating.count; j++)
			if (is_asked(&redating.rows[j], &list.rows[i], 1))
			{
				stale.rows[stale.count++] = list.rows[i];
				break;
			}
	return stale;
}

/*
 * oms.date_backorders(max_counters) -> integer
 *
 * Time alone moves dates: supplies that are late too long stop counting, others
 * come within the days that count.
 */
OMS_FUNCTION(oms_date_backorders, CALL_KEYED)
{
	int32		most = PG_ARGISNULL(0) ? COUNTERS_DEFAULT : PG_GETARG_INT32(0);
	Redating	redating = {.reason = "date_backorders"};
	Withdrawal *withdrawn;
	CounterList stale;

	if (most < 1 || most > COUNTERS_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("max_counters must be 1 to %d", COUNTERS_MAX),
				 errdetail("max_counters: is %d", most),
				 errhint("Leave it out for %d, and call again for more.", COUNTERS_DEFAULT)));
	stale = stale_counters(most);
	if (stale.count > 0)
		(void) oms_allocations_settle(stale.rows, stale.count, keep_counters, NULL, NULL, &redating, NULL, &withdrawn);
	PG_RETURN_INT32(redating.count);
}
