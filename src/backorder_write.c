/*
 * backorder_write.c
 *	  Writing what a plan for backordered units says.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "allocation.h"
#include "backorder.h"
#include "calendar.h"
#include "call.h"
#include "capacity.h"
#include "dates.h"
#include "document.h"
#include "event.h"
#include "fulfillment.h"
#include "location.h"
#include "order.h"
#include "relation.h"

#define DAY_ATTEMPTS_MAX 20

static OmsPlan delivery_plan = {
	.sql = "SELECT service, address ->> 'country', address ->> 'postal_code', (address ->> 'latitude')::float8,"
	" (address ->> 'longitude')::float8 FROM {order_deliveries}"
	" WHERE order_id = $2 AND delivery_no = $3 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID)
};

static OmsPlan overtaken_plan = {
	.sql = "UPDATE {orders} SET overtaken = coalesce(overtaken, 0) + 1 WHERE tenant_id = $1 AND order_id = ANY ($2)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* What one order gets, and gives. */
typedef struct OrderWork
{
	int64		order_id;
	Fill	   *fills;
	int			fill_count;
	const Yield *yields;
	int			yield_count;
} OrderWork;


static void
read_destination(TupleTableSlot *slot, void *state)
{
	DateRequest *request = state;
	bool		isnull;
	Datum		value;

	request->service = oms_slot_text(slot, 1);
	request->destination.country = oms_slot_text(slot, 2);
	request->destination.postal_code = oms_slot_text(slot, 3);
	value = oms_slot_datum(slot, 4, &isnull);
	request->destination.latitude = isnull ? NAN : DatumGetFloat8(value);
	value = oms_slot_datum(slot, 5, &isnull);
	request->destination.longitude = isnull ? NAN : DatumGetFloat8(value);
}

/* Dates a fulfillment and takes of the capacity of its day. */
static void
date_fulfillment(Fulfillment *row, bool pickup, int64 grams, int64 units)
{
	DateRequest request = {.ordered_at = oms_call->now,.pickup = pickup,.units = units,
	.destination = {.latitude = NAN,.longitude = NAN}};
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(row->order_id), Int32GetDatum(row->delivery_no)};

	if (!oms_dates_configured())
		return;
	(void) oms_execute_each(&delivery_plan, values, NULL, read_destination, &request);
	for (int attempt_no = 0; attempt_no < DAY_ATTEMPTS_MAX; attempt_no++)
	{
		CapacityRow day;

		request.capacity = oms_capacity_view(&row->location_id, 1, oms_call->now);
		oms_fulfillment_date(&request, grams, NULL, row);
		day = (CapacityRow) {row->location_id, row->dates.ship_day, row->capacity_taken};
		if (oms_capacity_take(&day, row->capacity_taken > 0))
			return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OMS_CONCURRENT),
			 errmsg("the days of location \"%s\" keep filling up", oms_location_by_id(row->location_id)->code),
			 errhint("Repeat the transaction.")));
}

/* One new fulfillment for what an order gets from one location in one delivery. */
static void
make_fulfillments(Fill *fills, int count)
{
	Fulfillment *rows = palloc0(sizeof(Fulfillment) * count);
	int64	   *grams = palloc0(sizeof(int64) * count);
	int64	   *units = palloc0(sizeof(int64) * count);
	bool	   *pickup = palloc0(sizeof(bool) * count);
	int			row_count = 0;

	for (int i = 0; i < count; i++)
	{
		int			found = 0;

		while (found < row_count && (rows[found].location_id != fills[i].location_id ||
									 rows[found].delivery_no != fills[i].line->delivery_no))
			found++;
		if (found == row_count)
		{
			rows[row_count].fulfillment_id = oms_next_id(SEQUENCE_FULFILLMENT);
			rows[row_count].order_id = fills[i].line->order_id;
			rows[row_count].location_id = fills[i].location_id;
			rows[row_count++].delivery_no = fills[i].line->delivery_no;
		}
		fills[i].fulfillment_id = rows[found].fulfillment_id;
		pickup[found] = fills[i].line->pickup;
		units[found] += fills[i].quantity;
		grams[found] += (int64) fills[i].line->weight_grams * fills[i].quantity;
	}
	for (int i = 0; i < row_count; i++)
		date_fulfillment(&rows[i], pickup[i], grams[i], units[i]);
	oms_fulfillments_insert(rows, row_count);
}

/* Takes units from a promise of a list, and notes that for the ledger. */
static void
take_back(AllocationList *list, const Promise *promise, int32 quantity, StockRow *ledger)
{
	for (int i = 0; i < list->count; i++)
		if (list->rows[i].fulfillment_id == promise->fulfillment_id && list->rows[i].line_no == promise->line_no)
			list->rows[i].delta.cancelled += quantity;
	*ledger = (StockRow)
	{
		.item_id = promise->item_id,.location_id = promise->location_id,.order_id = promise->order_id,
			.reserved_delta = -quantity
	};
}

static void
move_promises(const OrderWork *work)
{
	AllocationList *list = oms_allocations_of_order(work->order_id);
	Allocation *new_rows = palloc0(sizeof(Allocation) * Max(1, work->fill_count));
	StockRow   *ledger = palloc0(sizeof(StockRow) * Max(1, work->fill_count + work->yield_count));
	int			new_count = 0;
	int			ledger_count = 0;

	for (int i = 0; i < work->fill_count; i++)
	{
		const Fill *fill = &work->fills[i];
		int			found = 0;

		while (found < new_count && (new_rows[found].fulfillment_id != fill->fulfillment_id ||
									 new_rows[found].line_no != fill->line->line_no))
			found++;
		new_rows[found].promised += fill->quantity;
		new_rows[found].order_id = work->order_id;
		new_rows[found].fulfillment_id = fill->fulfillment_id;
		new_rows[found].item_id = fill->line->item_id;
		new_rows[found].location_id = fill->location_id;
		new_rows[found].line_no = fill->line->line_no;
		new_count = Max(new_count, found + 1);
		if (fill->from)
			take_back(list, fill->from, fill->quantity, &ledger[ledger_count++]);
	}
	for (int i = 0; i < work->yield_count; i++)
		take_back(list, work->yields[i].promise, work->yields[i].quantity, &ledger[ledger_count++]);
	oms_allocations_write(list);
	oms_allocations_insert(new_rows, new_count);
	if (ledger_count > 0)
		oms_stock_record(ledger, ledger_count, "promise_moved", "backorder filled", NULL);
}

static Jsonb *
fills_document(const Fill *fills, int count)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_begin_array(&writer, "lines");
	for (int i = 0; i < count; i++)
	{
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "line_no", fills[i].line->line_no);
		oms_write_int64(&writer, "quantity", fills[i].quantity);
		oms_write_text(&writer, "location", oms_location_by_id(fills[i].location_id)->code);
		oms_write_int64(&writer, "fulfillment_id", fills[i].fulfillment_id);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	return oms_write_finish(&writer);
}

/* Says which promises gave way to an order before: their units wait without one. */
static void
note_yields(const OrderWork *work)
{
	for (int i = 0; i < work->yield_count; i++)
		if (i == 0 || work->yields[i].promise->fulfillment_id != work->yields[i - 1].promise->fulfillment_id)
			oms_event(&(Event) {.order_id = work->order_id,.object_id = work->yields[i].promise->fulfillment_id,
								.object_type = "fulfillment",.type = "fulfillment.promise_withdrawn",
								.reason = "gave way to an order before"});
}

static void
write_order(const OrderWork *work)
{
	OrderLines *lines = oms_order_lines(work->order_id);

	if (work->fill_count > 0)
		make_fulfillments(work->fills, work->fill_count);
	move_promises(work);
	for (int i = 0; i < work->fill_count; i++)
	{
		OrderLine  *line = oms_order_line(lines, work->fills[i].line->line_no);

		line->delta.allocated += work->fills[i].quantity;
		line->delta.backordered -= work->fills[i].quantity;
	}
	oms_order_lines_write(work->order_id, lines);
	note_yields(work);
	if (work->fill_count > 0)
		oms_event(&(Event) {.order_id = work->order_id,.object_id = work->order_id,.object_type = "order",
							.type = "order.backorder_filled",.data = fills_document(work->fills, work->fill_count)});
	oms_fulfillments_close_empty(work->order_id, "backorder filled");
	oms_order_refresh(work->order_id);
}

static int
compare_fills(const void *left, const void *right)
{
	const Waiting *a = ((const Fill *) left)->line;
	const Waiting *b = ((const Fill *) right)->line;

	if (a->order_id != b->order_id)
		return a->order_id < b->order_id ? -1 : 1;
	return a->line_no < b->line_no ? -1 : a->line_no > b->line_no;
}

static int
compare_yields(const void *left, const void *right)
{
	const Promise *a = ((const Yield *) left)->promise;
	const Promise *b = ((const Yield *) right)->promise;

	if (a->order_id != b->order_id)
		return a->order_id < b->order_id ? -1 : 1;
	if (a->fulfillment_id != b->fulfillment_id)
		return a->fulfillment_id < b->fulfillment_id ? -1 : 1;
	return a->line_no < b->line_no ? -1 : a->line_no > b->line_no;
}

/* Each order once, with all that it gets and gives, by its id. */
static void
write_orders(const Filling *filling)
{
	Fill	   *fills = palloc_extended(sizeof(Fill) * Max(1, filling->fill_count), MCXT_ALLOC_HUGE);
	Yield	   *yields = palloc_extended(sizeof(Yield) * Max(1, filling->yield_count), MCXT_ALLOC_HUGE);
	int			fill = 0;
	int			yield = 0;

	memcpy(fills, filling->fills, sizeof(Fill) * filling->fill_count);
	qsort(fills, filling->fill_count, sizeof(Fill), compare_fills);
	if (filling->yield_count > 0)
		memcpy(yields, filling->yields, sizeof(Yield) * filling->yield_count);
	qsort(yields, filling->yield_count, sizeof(Yield), compare_yields);
	while (fill < filling->fill_count || yield < filling->yield_count)
	{
		OrderWork	work = {.order_id = PG_INT64_MAX,.fills = &fills[fill],.yields = &yields[yield]};

		CHECK_FOR_INTERRUPTS();
		if (fill < filling->fill_count)
			work.order_id = fills[fill].line->order_id;
		if (yield < filling->yield_count)
			work.order_id = Min(work.order_id, yields[yield].promise->order_id);
		for (; fill < filling->fill_count && fills[fill].line->order_id == work.order_id; fill++)
			work.fill_count++;
		for (; yield < filling->yield_count && yields[yield].promise->order_id == work.order_id; yield++)
			work.yield_count++;
		write_order(&work);
	}
}

/* Counts the run against those whose units went to later orders. */
static void
write_overtaken(const Filling *filling)
{
	int64	   *orders = palloc_extended(sizeof(int64) * Max(1, filling->line_count), MCXT_ALLOC_HUGE);
	int			count = oms_backorder_overtaken(filling, orders);
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(orders, count)};

	if (count == 0)
		return;
	(void) oms_execute(&overtaken_plan, values, NULL);
	for (int i = 0; i < count; i++)
		oms_event(&(Event) {.order_id = orders[i],.object_id = orders[i],.object_type = "order",.type = "order.overtaken",
							.reason = "units that it waits for went to a later order"});
}

/* Writes a plan that was made with its counters locked. */
void
oms_backorder_write(Filling *filling)
{
	write_orders(filling);
	write_overtaken(filling);
}
