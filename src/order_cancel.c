/*
 * order_cancel.c
 *	  Giving up units of an order: cancelling, and what edits take away.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "allocation.h"
#include "call.h"
#include "document.h"
#include "event.h"
#include "fulfillment.h"
#include "hold.h"
#include "kit.h"
#include "machine.h"
#include "order.h"
#include "payment.h"
#include "relation.h"
#include "return.h"
#include "stock.h"

static OmsPlan drop_draft_plan = {
	.sql = "DELETE FROM {order_drafts} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan raise_version_plan = {
	.sql = "UPDATE {orders} SET version = version + 1 WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* Units that can still be cancelled. */
int32
oms_order_open_units(const OrderLine *line)
{
	return line->ordered - line->cancelled - line->delta.cancelled - line->shipped;
}

/*
 * Which promise of a line goes first: what is furthest from the customer.
 * Returns 0 for promises that can no longer be stopped.
 */
static int
cancel_preference(const Allocation *row)
{
	if (oms_allocation_open(row) == 0 ||
		!oms_machine_allows(MACHINE_FULFILLMENT, row->status, "cancel"))
		return 0;
	if (row->backordered)
		return 5;
	if (strcmp(row->status, "planned") == 0)
		return 4;
	if (strcmp(row->status, "released") == 0)
		return 3;
	return strcmp(row->status, "accepted") == 0 ? 2 : 1;
}

static Allocation *
next_to_cancel(AllocationList *list, int32 line_no)
{
	Allocation *best = NULL;

	for (int i = 0; i < list->count; i++)
	{
		Allocation *row = &list->rows[i];

		if (row->line_no == line_no && cancel_preference(row) > (best ? cancel_preference(best) : 0))
			best = row;
	}
	return best;
}

/* Cancels units of one line: first those without a promise, then promises. */
void
oms_order_cancel_units(OrderLine *line, int32 quantity, AllocationList *allocations)
{
	int32		promised_backorder = 0;
	int32		unpromised;

	for (int i = 0; i < allocations->count; i++)
		if (allocations->rows[i].line_no == line->line_no && allocations->rows[i].backordered)
			promised_backorder += oms_allocation_open(&allocations->rows[i]);
	unpromised = Min(quantity, line->backordered - promised_backorder);
	line->delta.backordered -= unpromised;
	line->delta.cancelled += quantity;
	quantity -= unpromised;
	while (quantity > 0)
	{
		Allocation *row = next_to_cancel(allocations, line->line_no);
		int32		take;

		CHECK_FOR_INTERRUPTS();
		if (row == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_OMS_TRANSITION),
					 errmsg("%d units of line %d can no longer be cancelled", quantity, line->line_no),
					 errdetail("lines: line %d has ordered %d, shipped %d, cancelled %d.",
							   line->line_no, line->ordered, line->shipped, line->cancelled),
					 errhint("What has shipped comes back as a return.")));
		take = Min(quantity, oms_allocation_open(row));
		row->delta.cancelled += take;
		quantity -= take;
		if (row->backordered)
			line->delta.backordered -= take;
		else
			line->delta.allocated -= take;
		if (strcmp(row->status, "planned") != 0)
			line->delta.released -= take;
	}
}

/* A draft has no promises: its units are neither allocated nor backordered. */
static bool
is_draft(const Order *order)
{
	return strcmp(order->status, oms_machine_initial(MACHINE_ORDER)) == 0;
}

static void
drop_draft(int64 order_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	(void) oms_execute(&drop_draft_plan, values, NULL);
}

/* Marks the units that the call names; all open units where it names none. */
static int64
mark_cancelled(Order *order, Jsonb *document, OrderLines *lines, AllocationList *allocations)
{
	int64		units = 0;
	int			count = 0;
	LineQuantity *wanted = document ? oms_line_quantities(document, "lines", &count) : NULL;

	for (int i = 0; i < count; i++)
	{
		OrderLine  *line = oms_order_line_wanted(order, lines, &wanted[i]);
		int32		quantity;

		quantity = wanted[i].quantity == DOC_ABSENT ? oms_order_open_units(line) : wanted[i].quantity;
		if (quantity > oms_order_open_units(line))
			ereport(ERROR,
					(errcode(ERRCODE_OMS_TRANSITION),
					 errmsg("line %d has %d units to cancel, not %d", line->line_no, oms_order_open_units(line), quantity),
					 errdetail("lines[%d].quantity: ordered %d, shipped %d, cancelled %d.", wanted[i].position,
							   line->ordered, line->shipped, line->cancelled),
					 errhint("What has shipped comes back as a return.")));
		units += quantity;
		oms_order_cancel_units(line, quantity, allocations);
	}
	for (int i = 0; wanted == NULL && i < lines->count; i++)
	{
		units += oms_order_open_units(&lines->rows[i]);
		if (is_draft(order))
			lines->rows[i].delta.cancelled = lines->rows[i].ordered;
		else
			oms_order_cancel_units(&lines->rows[i], oms_order_open_units(&lines->rows[i]), allocations);
	}
	return units;
}

/* Gives the counters back what the cancelled promises held. */
static void
free_stock(Order *order, AllocationList *allocations, const char *reason)
{
	StockRow   *rows = palloc0(sizeof(StockRow) * Max(1, allocations->count));
	int			count = 0;

	for (int i = 0; i < allocations->count; i++)
	{
		Allocation *row = &allocations->rows[i];

		if (row->delta.cancelled == 0 || row->location_id == 0)
			continue;
		rows[count].item_id = row->item_id;
		rows[count].location_id = row->location_id;
		rows[count].order_id = order->order_id;
		rows[count].reserved_delta = -row->delta.cancelled;
		count++;
	}
	count = oms_stock_merge(rows, count);
	oms_stock_change(rows, count, "cancel", reason, NULL);
}

/* Tells a location that works on a fulfillment which units of it have gone. */
static void
tell_reduced(Order *order, const AllocationList *allocations, int64 fulfillment_id, const char *reason)
{
	DocWriter	writer;
	int32		left = 0;

	oms_write_begin(&writer);
	oms_write_begin_array(&writer, "lines");
	for (int i = 0; i < allocations->count; i++)
	{
		const Allocation *row = &allocations->rows[i];

		if (row->fulfillment_id != fulfillment_id)
			continue;
		left += oms_allocation_open(row);
		if (row->delta.cancelled == 0)
			continue;
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "line_no", row->line_no);
		oms_write_int64(&writer, "quantity", row->delta.cancelled);
		oms_write_int64(&writer, "left", oms_allocation_open(row));
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	if (left > 0)				/* else it is cancelled, which is told anyway */
		oms_event(&(Event) {.order_id = order->order_id,.object_id = fulfillment_id,.object_type = MACHINE_FULFILLMENT,
							.type = "fulfillment.reduced",.reason = reason,.data = oms_write_finish(&writer)});
}

/* Each fulfillment that a location has already is told of once; promises are sorted by line. */
static void
tell_all_reduced(Order *order, const AllocationList *allocations, const char *reason)
{
	const char *planned = oms_machine_initial(MACHINE_FULFILLMENT);

	for (int i = 0; i < allocations->count; i++)
	{
		const Allocation *row = &allocations->rows[i];
		bool		told = false;

		if (row->delta.cancelled == 0 || strcmp(row->status, planned) == 0)
			continue;
		for (int j = 0; j < i && !told; j++)
			told = allocations->rows[j].fulfillment_id == row->fulfillment_id && allocations->rows[j].delta.cancelled > 0;
		if (!told)
			tell_reduced(order, allocations, row->fulfillment_id, reason);
	}
}

/* Writes what a locked order gives up: promises, their units, the stages of its lines. */
void
oms_order_give_up(Order *order, OrderLines *lines, AllocationList *allocations, const char *reason)
{
	free_stock(order, allocations, reason);
	tell_all_reduced(order, allocations, reason);
	oms_allocations_write(allocations);
	oms_order_lines_write(order->order_id, lines);
	oms_fulfillments_close_empty(order->order_id, reason);
}

static Jsonb *
cancelled_document(OrderLines *lines)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_begin_array(&writer, "lines");
	for (int i = 0; i < lines->count; i++)
	{
		if (lines->rows[i].delta.cancelled == 0)
			continue;
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "line_no", lines->rows[i].line_no);
		oms_write_int64(&writer, "quantity", lines->rows[i].delta.cancelled);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	return oms_write_finish(&writer);
}

/* Giving up a part is no step of the order, so holds on it and on those lines are asked here. */
static void
check_holds(const Order *order, const OrderLines *lines, const char *action)
{
	int32	   *numbers = palloc(sizeof(int32) * Max(1, lines->count));
	int			count = 0;

	for (int i = 0; i < lines->count; i++)
		if (lines->rows[i].delta.cancelled > 0)
			numbers[count++] = lines->rows[i].line_no;
	oms_hold_check(order->order_id, psprintf("order.%s", action), 0, numbers, count);
}

/* The order goes on with less: that is another version of it. */
static void
note_cancelled_lines(Order *order, OrderLines *lines, const char *reason)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->order_id)};

	(void) oms_execute(&raise_version_plan, values, NULL);
	oms_event(&(Event) {.order_id = order->order_id,.object_id = order->order_id,.object_type = "order",
						.type = "order.lines_cancelled",.reason = reason,.data = cancelled_document(lines)});
}

/*
 * Cancels units of a locked order: those that the document lists, or all that
 * are open.  action is the step that ends an order of which nothing is left.
 */
void
oms_order_cancel(Order *order, Jsonb *document, const char *action, const char *reason)
{
	OrderLines *lines = oms_order_lines(order->order_id);
	AllocationList *allocations = oms_allocations_of_order(order->order_id);
	bool		draft = is_draft(order);
	bool		nothing_left = true;

	/* Refuses in the order's own terms before any arithmetic of lines. */
	if (oms_machine_final(MACHINE_ORDER, order->status))
		oms_order_step(order, action, reason, NULL);
	if (draft && document != NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " is a draft: only the whole of it is cancelled", order->order_id),
				 errdetail("lines: a draft promises nothing"),
				 errhint("oms.edit_draft changes the lines of a draft.")));
	if (mark_cancelled(order, document, lines, allocations) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " has nothing left to cancel", order->order_id),
				 errdetail("Everything has shipped or is cancelled."),
				 errhint("What has shipped comes back as a return.")));
	check_holds(order, lines, action);
	for (int i = 0; i < lines->count; i++)
		nothing_left &= lines->rows[i].ordered == lines->rows[i].cancelled + lines->rows[i].delta.cancelled;
	if (!draft)
		oms_order_keep_version(order);
	oms_order_give_up(order, lines, allocations, reason);
	if (nothing_left)
		oms_order_step(order, action, reason, cancelled_document(lines));
	else
		note_cancelled_lines(order, lines, reason);
	if (draft)
		drop_draft(order->order_id);
	oms_order_refresh(order->order_id);
	oms_payment_give_back(order->order_id);
}

/* The order, with what was stopped and which return has the rest. */
static Datum
cancel_or_return(Order *order, Jsonb *document, const char *reason)
{
	DocWriter	writer;
	int64		return_id;

	oms_write_begin(&writer);
	return_id = oms_return_cancel(order, document, reason, &writer);
	if (return_id != 0)
		oms_write_int64(&writer, "return_id", return_id);
	return DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(oms_order_document(order->order_id)),
							   JsonbPGetDatum(oms_write_finish(&writer)));
}

/*
 * oms.cancel_order(order_id, lines, reason, shipped, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_cancel_order, CALL_KEYED)
{
	int64		order_id = oms_argument_id(fcinfo, 0, "order_id");
	Jsonb	   *document = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
	char	   *reason = oms_argument_text(fcinfo, 2);
	char	   *shipped = oms_argument_text(fcinfo, 3);
	Order	   *order;
	List	   *broken;

	if (shipped != NULL && strcmp(shipped, "refuse") != 0 && strcmp(shipped, "return") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("argument shipped is not valid"),
				 errdetail("shipped: \"%s\" is neither refuse nor return", shipped),
				 errhint("With return, units that have shipped are requested back.")));
	order = oms_order_lock(order_id);
	oms_order_check_version(order, fcinfo, 4);
	if (shipped != NULL && strcmp(shipped, "return") == 0)
		return cancel_or_return(order, document, reason);
	broken = document != NULL ? oms_kits_broken(order_id) : NIL;
	oms_order_cancel(order, document, "cancel", reason);
	if (document != NULL)
		oms_kits_check(order_id, broken);
	PG_RETURN_JSONB_P(oms_order_document(order->order_id));
}
