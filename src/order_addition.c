/*
 * order_addition.c
 *	  Promises for units of a placed order: those that an edit adds, and those
 *	  that are taken back to be planned anew.
 *
 * What is added is a document like that of a new order, so it is planned and
 * promised by the same code.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "call.h"
#include "configuration.h"
#include "kit.h"
#include "order_addition.h"
#include "order_placement.h"
#include "relation.h"

/*
 * The document that promises what is added: the order's head with its address,
 * units that line $3 gets more of ($4), and new lines, numbered after those
 * that are there.
 */
static OmsPlan addition_plan = {
	.sql = "SELECT jsonb_strip_nulls(jsonb_build_object('channel', c.code, 'external_ref', o.external_ref, 'currency', o.currency, 'attributes', o.attributes,"
	" 'ship_complete', coalesce(o.ship_complete, false),"
	" 'customer', CASE WHEN o.customer ? 'class' THEN jsonb_build_object('class', o.customer -> 'class') END,"
	" 'deliveries', coalesce((SELECT jsonb_agg(jsonb_build_object('delivery_no', d.delivery_no, 'method', d.method,"
	" 'pickup_location', p.code, 'service', d.service, 'requested_at', d.requested_at, 'ship_to', d.address)"
	" ORDER BY d.delivery_no) FROM {order_deliveries} d LEFT JOIN {locations} p ON p.location_id = d.pickup_location_id"
	" AND p.tenant_id = $1 WHERE d.order_id = $2 AND d.tenant_id = $1), '[{\"delivery_no\": 1}]'),"
	" 'lines', coalesce((SELECT jsonb_agg(jsonb_build_object('line_no', l.line_no, 'sku', i.sku, 'quantity', u.quantity,"
	" 'unit_price', l.unit_price, 'delivery_no', l.delivery_no, 'location', p.code, 'lot', l.lot, 'together', l.together, 'attributes', l.attributes)"
	" ORDER BY l.line_no) FROM unnest($3::int[], $4::int[]) u(line_no, quantity)"
	" JOIN {order_lines} l ON l.order_id = $2 AND l.tenant_id = $1 AND l.line_no = u.line_no"
	" JOIN {items} i ON i.item_id = l.item_id AND i.tenant_id = $1"
	" LEFT JOIN {locations} p ON p.location_id = l.location_id AND p.tenant_id = $1), '[]')"
	" || coalesce((SELECT jsonb_agg(jsonb_build_object('line_no', m.last + a.n) || a.line ORDER BY a.n)"
	" FROM jsonb_array_elements($5) WITH ORDINALITY a(line, n)), '[]')))"
	" FROM {orders} o JOIN {channels} c ON c.channel_id = o.channel_id AND c.tenant_id = $1"
	" CROSS JOIN LATERAL (SELECT max(l.line_no) AS last FROM {order_lines} l WHERE l.order_id = $2 AND l.tenant_id = $1) m"
	" WHERE o.order_id = $2 AND o.tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4ARRAYOID, INT4ARRAYOID, JSONBOID)
};

static OmsPlan last_adjustment_plan = {
	.sql = "SELECT coalesce(max(adjustment_no), 0) FROM {order_adjustments} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan next_decision_plan = {
	.sql = "SELECT coalesce(max(decision_no), 0) + 1 FROM {routing_decisions} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* Lines whose units stay together at one location. */
static OmsPlan together_plan = {
	.sql = "SELECT x.line_no FROM {order_kit_lines} x JOIN {order_kits} k ON k.order_id = $2 AND k.kit_no = x.kit_no AND k.tenant_id = $1"
	" JOIN {items} i ON i.item_id = k.item_id AND i.tenant_id = $1 WHERE x.order_id = $2 AND x.tenant_id = $1 AND i.ship_together",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* ---- Taking back ---- */

typedef struct Together
{
	OrderLines *lines;
	bool	   *stays;			/* by line */
} Together;

static void
note_together(TupleTableSlot *slot, void *state)
{
	Together   *together = state;
	OrderLine  *line = oms_order_line(together->lines, oms_slot_int32(slot, 1));

	if (line)
		together->stays[line - together->lines->rows] = true;
}

/* By line: whether it is of a kit that ships together; planned by line, its lines could part. */
bool *
oms_order_lines_together(int64 order_id, OrderLines *lines)
{
	Together	together = {lines, palloc0(sizeof(bool) * Max(1, lines->count))};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	if (oms_configuration()->has_kits)
		(void) oms_execute_each(&together_plan, values, NULL, note_together, &together);
	return together.stays;
}

/*
 * Units that have not been handed to a location yet go back, and with those
 * that wait without a promise are to be planned anew: more says how many, by
 * line, and waiting how many of them had no promise.  Units that waiting holds
 * already are left alone, and so are lines that stay.  False where nothing is to
 * be planned.
 */
bool
oms_order_withdraw(OrderLines *lines, AllocationList *allocations, const bool *stays, int32 *more, int32 *waiting)
{
	bool		any = false;

	for (int i = 0; i < lines->count; i++)
		waiting[i] = lines->rows[i].backordered + lines->rows[i].delta.backordered - waiting[i];
	for (int i = 0; i < allocations->count; i++)
	{
		Allocation *row = &allocations->rows[i];
		OrderLine  *line = oms_order_line(lines, row->line_no);
		int			index = line - lines->rows;
		int32		open = oms_allocation_open(row);

		if (open == 0 || row->location_id == 0 || (!row->backordered && strcmp(row->status, "planned") != 0))
			continue;
		if (row->backordered)
			waiting[index] -= open;
		if (stays[index])
			continue;
		row->delta.cancelled += open;
		if (row->backordered)
			line->delta.backordered -= open;
		else
			line->delta.allocated -= open;
		more[index] += open;
	}
	for (int i = 0; i < lines->count; i++)
	{
		waiting[i] = stays[i] ? 0 : waiting[i];
		lines->rows[i].delta.backordered -= waiting[i];
		more[i] += waiting[i];
		any |= more[i] > 0;
	}
	return any;
}

/* ---- The document ---- */

static void
read_addition(TupleTableSlot *slot, void *state)
{
	bool		isnull;

	*(Jsonb **) state = DatumGetJsonbPCopy(oms_slot_datum(slot, 1, &isnull));
}

/* The document of more units of lines, and of new lines (NULL: none). */
Jsonb *
oms_order_addition(int64 order_id, const OrderLines *lines, const int32 *more, Jsonb *add)
{
	int32	   *numbers = palloc(sizeof(int32) * Max(1, lines->count));
	int32	   *quantities = palloc(sizeof(int32) * Max(1, lines->count));
	int			count = 0;
	Jsonb	   *document = NULL;
	Datum		values[5];

	for (int i = 0; i < lines->count; i++)
		if (more[i] > 0)
		{
			numbers[count] = lines->rows[i].line_no;
			quantities[count++] = more[i];
		}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(order_id);
	values[2] = oms_array_int32(numbers, count);
	values[3] = oms_array_int32(quantities, count);
	values[4] = add ? JsonbPGetDatum(add) : DirectFunctionCall1(jsonb_in, CStringGetDatum("[]"));
	(void) oms_execute_each(&addition_plan, values, NULL, read_addition, &document);
	return document;
}

/* ---- Promising ---- */

static void
read_number(TupleTableSlot *slot, void *state)
{
	*(int32 *) state = oms_slot_int32(slot, 1);
}

/* Writes the new lines, and to those that were there what they got. */
static void
write_added_lines(Placement *placement)
{
	OrderLines *lines = oms_order_lines(placement->order_id);
	Placement	added = *placement;
	Placement  *rows = &added;
	int32		last_no = 0;
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(placement->order_id)};

	added.lines = palloc(sizeof(PlacedLine) * placement->line_count);
	added.line_count = 0;
	for (int i = 0; i < placement->line_count; i++)
	{
		OrderLine  *line = oms_order_line(lines, placement->lines[i].line_no);

		if (line == NULL)
		{
			added.lines[added.line_count++] = placement->lines[i];
			continue;
		}
		line->delta.allocated = placement->lines[i].allocated;
		line->delta.backordered = placement->lines[i].backordered;
	}
	if (lines->count + added.line_count > OMS_LINES_PER_ORDER_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("changes are not valid"),
				 errdetail("add: the order would have %d lines, at most %d are allowed", lines->count + added.line_count,
						   OMS_LINES_PER_ORDER_MAX),
				 errhint("Place another order for the rest.")));
	oms_order_lines_write_counted(placement->order_id, lines);
	if (added.line_count > 0)
	{
		oms_placements_insert_lines(&rows, 1);
		oms_kits_insert(placement);
		(void) oms_execute_each(&last_adjustment_plan, values, NULL, read_number, &last_no);
		oms_placements_insert_adjustments(&rows, 1, last_no);
	}
}

static Placement *
read_placement(Jsonb *document, int added, bool leaves_holds, FaultList *faults)
{
	Placement  *placement = oms_placement_of(document, faults);

	placement->partial = true;
	placement->added = added;
	placement->leaves_holds = leaves_holds;
	if (faults->count == 0)
		oms_placement_read(placement, faults);
	return placement;
}

/*
 * Plans an addition while the call takes and gives back other units beside it,
 * and leaves expired holds where they are.  NULL where what was ordered cannot be
 * ordered any more: that is no error, but there is no plan.
 */
Placement *
oms_order_plan_beside(const Order *order, Jsonb *document, const StockRow *beside, int count, bool *possible)
{
	FaultList	faults;
	Placement  *placement = read_placement(document, 0, true, &faults);

	*possible = false;
	if (faults.count > 0)
		return NULL;
	placement->order_id = order->order_id;
	placement->placed_at = order->placed_at;
	oms_placement_set_beside(placement, beside, count);
	*possible = oms_placement_plan(placement);
	if (*possible)
		oms_placement_promise(placement);
	return placement;
}

/* Plans an addition, of which so many lines, the last, are new; possible says whether there is a plan. */
Placement *
oms_order_plan_addition(const Order *order, Jsonb *document, int added, bool *possible)
{
	FaultList	faults;
	Placement  *placement = read_placement(document, added, false, &faults);

	oms_faults_raise(&faults, "changes are not valid");
	placement->order_id = order->order_id;
	placement->placed_at = order->placed_at;
	*possible = oms_placement_plan(placement);
	if (*possible)
		oms_placement_promise(placement);
	return placement;
}

/* Writes what a plan says, once its units are reserved. */
void
oms_order_write_addition(Placement *placement)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(placement->order_id)};
	int			decision_no = 1;

	write_added_lines(placement);
	oms_placement_insert_promises(placement);
	(void) oms_execute_each(&next_decision_plan, values, NULL, read_number, &decision_no);
	oms_placement_record_routing(placement, decision_no);
}

void
oms_order_add(const Order *order, Jsonb *document, int added)
{
	bool		possible;
	Placement  *placement = oms_order_plan_addition(order, document, added, &possible);

	if (!possible)
		oms_placement_refuse(placement);
	oms_placement_reserve(placement);
	oms_order_write_addition(placement);
}
