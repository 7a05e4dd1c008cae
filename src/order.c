/*
 * order.c
 *	  Orders: the locked row, the ledger of its lines, the statuses derived from
 *	  it, and reading.  Placing is in order_place.c, cancelling in order_cancel.c.
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
#include "money.h"
#include "order.h"
#include "payment.h"
#include "quota.h"
#include "relation.h"
#include "return.h"

#define ORDER_COLUMNS \
	"order_id, channel_id, version, status, payment_status, fulfillment_status, currency, external_ref, total," \
	" coalesce(holds, 0), placed_at, coalesce(ship_complete, false)"

static OmsPlan lock_plan = {
	.sql = "SELECT " ORDER_COLUMNS " FROM {orders} WHERE order_id = $2 AND tenant_id = $1 FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan lock_free_plan = {
	.sql = "SELECT " ORDER_COLUMNS " FROM {orders} WHERE order_id = $2 AND tenant_id = $1"
	" FOR NO KEY UPDATE SKIP LOCKED",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan read_plan = {
	.sql = "SELECT " ORDER_COLUMNS " FROM {orders} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan find_plan = {
	.sql = "SELECT order_id FROM {orders} WHERE tenant_id = $1 AND channel_id = $2 AND external_ref = $3",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

static OmsPlan lines_plan = {
	.sql = "SELECT l.line_no, l.item_id,"
	" (SELECT i.kind = 'stocked' FROM {items} i WHERE i.item_id = l.item_id AND i.tenant_id = $1),"
	" l.ordered, l.allocated, l.backordered, l.released, l.shipped, l.delivered, l.cancelled FROM {order_lines} l"
	" WHERE l.order_id = $2 AND l.tenant_id = $1 ORDER BY l.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan lines_write_plan = {
	.sql = "UPDATE {order_lines} l SET allocated = l.allocated + u.allocated,"
	" backordered = l.backordered + u.backordered, released = l.released + u.released,"
	" shipped = l.shipped + u.shipped, delivered = l.delivered + u.delivered, cancelled = l.cancelled + u.cancelled,"
	" ordered = l.ordered + u.ordered"
	" FROM unnest($3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[], $10::int[])"
	" u(line_no, allocated, backordered, released, shipped, delivered, cancelled, ordered)"
	" WHERE l.order_id = $2 AND l.line_no = u.line_no AND l.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
				 INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID)
};

static OmsPlan step_plan = {
	.sql = "UPDATE {orders} SET status = $3, version = version + 1 WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

/* The sums from which the statuses follow. */
static OmsPlan sums_plan = {
	.sql = "SELECT coalesce(sum(ordered - cancelled), 0), coalesce(sum(allocated), 0), coalesce(sum(backordered), 0),"
	" coalesce(sum(released), 0), coalesce(sum(shipped), 0), coalesce(sum(delivered), 0), coalesce(sum(returned), 0),"
	" coalesce(sum(written_off + replaced), 0), coalesce(sum(least(written_off + replaced, shipped - delivered)), 0)"
	" FROM {order_lines} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/*
 * Totals of what is left of an order.  A line's amount and its adjustments
 * shrink with its cancelled units; those of the whole order shrink with the
 * value of the lines, except shipping and fees, which stay until nothing is
 * left.  What edits add does not raise them: they were agreed for less (basis).
 * Each share is rounded to the currency ($3 decimals).
 */
static OmsPlan totals_plan = {
	.sql = "SELECT t.items, coalesce(a.discounts, 0), coalesce(a.shipping, 0), coalesce(a.fees, 0),"
	" coalesce(a.taxes, 0), coalesce(a.added_taxes, 0)"
	" FROM (SELECT sum(round(l.unit_price * (l.ordered - l.cancelled), $3)) AS items, sum(l.amount) AS placed"
	" FROM {order_lines} l WHERE l.order_id = $2 AND l.tenant_id = $1) t"
	" CROSS JOIN LATERAL (SELECT sum(-share) FILTER (WHERE type = 'discount') AS discounts,"
	" sum(share) FILTER (WHERE type = 'shipping') AS shipping, sum(share) FILTER (WHERE type = 'fee') AS fees,"
	" sum(share) FILTER (WHERE type = 'tax') AS taxes, sum(share) FILTER (WHERE type = 'tax' AND NOT included) AS added_taxes"
	" FROM (SELECT j.type, j.included, round(CASE"
	" WHEN l.line_no IS NOT NULL THEN"
	" CASE WHEN l.ordered = l.cancelled THEN 0 ELSE j.amount"
	" * least(l.ordered - l.cancelled, coalesce(j.basis, l.ordered)) / coalesce(j.basis, l.ordered) END"
	" WHEN NOT EXISTS (SELECT FROM {order_lines} o WHERE o.order_id = $2 AND o.tenant_id = $1 AND o.ordered > o.cancelled) THEN 0"
	" WHEN j.type IN ('shipping', 'fee') OR coalesce(j.basis, t.placed) = 0 THEN j.amount"
	" ELSE j.amount * least(t.items, coalesce(j.basis, t.placed)) / coalesce(j.basis, t.placed) END, $3) AS share"
	" FROM {order_adjustments} j LEFT JOIN {order_lines} l"
	" ON l.order_id = $2 AND l.line_no = j.line_no AND l.tenant_id = $1"
	" WHERE j.order_id = $2 AND j.tenant_id = $1) s) a",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID)
};

static OmsPlan refresh_plan = {
	.sql = "UPDATE {orders} SET payment_status = $3, fulfillment_status = $4, item_total = $5, discount_total = $6,"
	" shipping_total = $7, fee_total = $8, tax_total = $9, total = $10"
	" WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, TEXTOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID,
				 NUMERICOID)
};

/* Both sides of the answer are built where the rows are. */
static OmsPlan document_plan = {
	.sql = "SELECT jsonb_strip_nulls(jsonb_build_object("
	"'order_id', o.order_id, 'channel', c.code, 'external_ref', o.external_ref, 'status', o.status,"
	" 'payment_status', o.payment_status, 'fulfillment_status', o.fulfillment_status, 'version', o.version,"
	" 'placed_at', o.placed_at, 'currency', o.currency,"
	" 'totals', jsonb_build_object('items', o.item_total, 'discount', o.discount_total, 'shipping', o.shipping_total,"
	" 'fee', o.fee_total, 'tax', o.tax_total, 'total', o.total),"
	" 'customer', coalesce(o.customer, CASE WHEN o.customer_ref IS NOT NULL THEN '{}'::jsonb END)"
	" || CASE WHEN o.customer_ref IS NULL THEN '{}'::jsonb ELSE jsonb_build_object('ref', o.customer_ref) END,"
	" 'bill_to', o.bill_to, 'notes', o.notes, 'attributes', o.attributes, 'risk', o.risk,"
	" 'ordered_by', o.ordered_by, 'valid_until', o.valid_until, 'priority', nullif(o.priority, 0), 'ship_complete', o.ship_complete,"
	" 'holds', CASE WHEN o.holds > 0 THEN (SELECT jsonb_agg(jsonb_build_object('hold_id', h.hold_id, 'type', h.hold_type,"
	" 'reason', h.reason, 'line_no', h.line_no, 'fulfillment_id', h.fulfillment_id, 'placed_at', h.placed_at,"
	" 'release_at', h.release_at, 'external_ref', h.external_ref, 'attributes', h.attributes) ORDER BY h.hold_id) FROM {holds} h"
	" WHERE h.order_id = o.order_id AND h.tenant_id = $1 AND h.released_at IS NULL) END,"
	" 'lines', (SELECT jsonb_agg(jsonb_build_object('line_no', l.line_no, 'sku', i.sku, 'name', coalesce(l.name, i.name),"
	" 'external_ref', l.external_ref, 'delivery_no', l.delivery_no, 'unit_price', l.unit_price, 'amount', l.amount,"
	" 'attributes', l.attributes, 'together', l.together, 'divided_from', l.divided_from, 'ordered', l.ordered, 'allocated', l.allocated, 'backordered', l.backordered,"
	" 'released', l.released, 'shipped', l.shipped, 'delivered', l.delivered, 'cancelled', l.cancelled,"
	" 'return_requested', l.return_requested, 'returned', l.returned, 'replaced', l.replaced,"
	" 'written_off', l.written_off, 'lot', l.lot) ORDER BY l.line_no) FROM {order_lines} l"
	" CROSS JOIN LATERAL (SELECT x.sku, x.name FROM {items} x WHERE x.item_id = l.item_id AND x.tenant_id = $1 OFFSET 0) i"
	" WHERE l.order_id = o.order_id AND l.tenant_id = $1),"
	" 'adjustments', (SELECT jsonb_agg(jsonb_build_object('line_no', j.line_no, 'type', j.type, 'code', j.code,"
	" 'amount', j.amount, 'included', j.included) ORDER BY j.adjustment_no) FROM {order_adjustments} j"
	" WHERE j.order_id = o.order_id AND j.tenant_id = $1),"
	" 'deliveries', (SELECT jsonb_agg(jsonb_build_object('delivery_no', d.delivery_no, 'method', d.method,"
	" 'service', d.service, 'pickup_location', p.code, 'requested_at', d.requested_at, 'promised_at', d.promised_at,"
	" 'ship_to', d.address) ORDER BY d.delivery_no) FROM {order_deliveries} d"
	" LEFT JOIN LATERAL (SELECT x.code FROM {locations} x WHERE x.location_id = d.pickup_location_id"
	" AND x.tenant_id = $1 OFFSET 0) p ON true"
	" WHERE d.order_id = o.order_id AND d.tenant_id = $1),"
	" 'fulfillments', (SELECT jsonb_agg(jsonb_build_object('fulfillment_id', f.fulfillment_id, 'location', l.code,"
	" 'status', f.status, 'backordered', f.backordered, 'delivery_no', f.delivery_no, 'supplied_at', f.supplied_at, 'ship_by', f.ship_by,"
	" 'earliest_at', f.earliest_at, 'promised_at', f.promised_at,"
	" 'released_at', f.released_at, 'shipped_at', f.shipped_at, 'delivered_at', f.delivered_at, 'carrier', f.carrier,"
	" 'service', f.service, 'tracking_number', f.tracking_number, 'external_ref', f.external_ref, 'attributes', f.attributes,"
	" 'packages', (SELECT jsonb_agg(jsonb_build_object('package_id', k.package_id, 'weight_grams', k.weight_grams, 'carrier', k.carrier,"
	" 'service', k.service, 'tracking_number', k.tracking_number, 'external_ref', k.external_ref, 'attributes', k.attributes)"
	" ORDER BY k.package_id) FROM {packages} k WHERE k.fulfillment_id = f.fulfillment_id AND k.tenant_id = $1),"
	" 'lines', (SELECT jsonb_agg(jsonb_build_object('line_no', a.line_no, 'quantity', a.promised - a.cancelled,"
	" 'picked', a.picked, 'shipped', a.shipped, 'lot', a.lot) ORDER BY a.line_no) FROM {allocations} a"
	" WHERE a.order_id = o.order_id AND a.fulfillment_id = f.fulfillment_id AND a.tenant_id = $1)"
	") ORDER BY f.fulfillment_id) FROM {fulfillments} f"
	" LEFT JOIN LATERAL (SELECT x.code FROM {locations} x WHERE x.location_id = f.location_id AND x.tenant_id = $1"
	" OFFSET 0) l ON true"
	" WHERE f.order_id = o.order_id AND f.tenant_id = $1),"
	" 'payments', (SELECT jsonb_agg(jsonb_build_object('payment_id', p.payment_id, 'method', p.method,"
	" 'status', p.status, 'currency', p.currency, 'external_ref', p.external_ref, 'attributes', p.attributes, 'expires_at', p.expires_at,"
	" 'events', (SELECT jsonb_agg(jsonb_build_object('type', e.type, 'amount', e.amount, 'reference', e.reference,"
	" 'at', e.at) ORDER BY e.at, e.type, e.reference) FROM {payment_events} e"
	" WHERE e.payment_id = p.payment_id AND e.tenant_id = $1)) ORDER BY p.payment_id) FROM {payments} p"
	" WHERE p.order_id = o.order_id AND p.tenant_id = $1),"
	" 'refunds', (SELECT jsonb_agg(jsonb_build_object('refund_id', r.refund_id, 'amount', r.amount, 'status', r.status,"
	" 'reason', r.reason, 'return_id', r.return_id, 'granted_at', r.granted_at) ORDER BY r.refund_id) FROM {refunds} r"
	" WHERE r.order_id = o.order_id AND r.tenant_id = $1),"
	" 'returns', (SELECT jsonb_agg(jsonb_build_object('return_id', r.return_id, 'status', r.status, 'reason', r.reason,"
	" 'exchange_order_id', r.exchange_order_id, 'external_ref', r.external_ref, 'attributes', r.attributes,"
	" 'requested_at', r.requested_at, 'lines', (SELECT jsonb_agg(jsonb_build_object('line_no', t.line_no,"
	" 'requested', t.requested, 'received', t.received) ORDER BY t.line_no) FROM {return_lines} t"
	" WHERE t.return_id = r.return_id AND t.tenant_id = $1)) ORDER BY r.return_id) FROM {returns} r"
	" WHERE r.order_id = o.order_id AND r.tenant_id = $1),"
	" 'kits', (SELECT jsonb_agg(jsonb_build_object('kit_no', k.kit_no, 'sku', i.sku, 'name', coalesce(k.name, i.name),"
	" 'external_ref', k.external_ref, 'attributes', k.attributes, 'divided_from', k.divided_from, 'ordered', k.sets, 'unit_price', k.unit_price,"
	" 'lines', (SELECT jsonb_agg(jsonb_build_object('line_no', x.line_no, 'per_set', x.per_set) ORDER BY x.line_no)"
	" FROM {order_kit_lines} x WHERE x.order_id = o.order_id AND x.kit_no = k.kit_no AND x.tenant_id = $1)) ORDER BY k.kit_no)"
	" FROM {order_kits} k CROSS JOIN LATERAL (SELECT x.sku, x.name FROM {items} x WHERE x.item_id = k.item_id AND x.tenant_id = $1"
	" OFFSET 0) i WHERE k.order_id = o.order_id AND k.tenant_id = $1),"
	" 'substitutions', (SELECT jsonb_agg(jsonb_build_object('line_no', s.line_no, 'sku', i.sku, 'wanted_line_no', s.wanted_line_no,"
	" 'quantity', s.quantity) ORDER BY s.line_no) FROM {order_substitutes} s"
	" CROSS JOIN LATERAL (SELECT x.sku FROM {items} x WHERE x.item_id = s.wanted_item_id AND x.tenant_id = $1 OFFSET 0) i"
	" WHERE s.order_id = o.order_id AND s.tenant_id = $1),"
	" 'exchange_of', (SELECT jsonb_build_object('order_id', x.order_id, 'return_id', x.return_id) FROM {returns} x"
	" WHERE x.exchange_order_id = o.order_id AND x.tenant_id = $1)))"
	" FROM {orders} o JOIN {channels} c ON c.channel_id = o.channel_id AND c.tenant_id = $1"
	" WHERE o.order_id = $2 AND o.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan timeline_plan = {
	.sql = "SELECT event_id, at, actor, object_type, object_id, type, action, from_state, to_state, rule, reason, data"
	" FROM {events} WHERE order_id = $2 AND tenant_id = $1 ORDER BY event_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static void
read_order(TupleTableSlot *slot, void *state)
{
	Order	   *order = palloc0(sizeof(Order));

	order->order_id = oms_slot_int64(slot, 1);
	order->channel_id = oms_slot_int64(slot, 2);
	order->version = oms_slot_int32(slot, 3);
	order->status = oms_slot_text(slot, 4);
	order->payment_status = oms_slot_text(slot, 5);
	order->fulfillment_status = oms_slot_text(slot, 6);
	order->currency = oms_slot_text(slot, 7);
	order->external_ref = oms_slot_text(slot, 8);
	order->total = oms_slot_numeric(slot, 9);
	order->holds = oms_slot_int32(slot, 10);
	order->placed_at = oms_slot_int64(slot, 11);
	order->ship_complete = oms_slot_bool(slot, 12);
	*(Order **) state = order;
}

/* NULL where there is none, or its channel is outside the caller's scope. */
static Order *
find_row(OmsPlan *plan, int64 order_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};
	Order	   *order = NULL;

	(void) oms_execute_each(plan, values, NULL, read_order, &order);
	if (order != NULL)
		order->channel = oms_channel_by_id(order->channel_id);
	return order != NULL && order->channel != NULL ? order : NULL;
}

static Order *
get_row(OmsPlan *plan, int64 order_id)
{
	Order	   *order = find_row(plan, order_id);

	if (order == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("order " INT64_FORMAT " is not known", order_id),
				 errdetail("order_id: there is no order " INT64_FORMAT " that the caller may see", order_id),
				 errhint("oms.find_order gives the order_id of a channel's reference.")));
	return order;
}

/* Reads an order under its row lock, which every change of it takes first. */
Order *
oms_order_lock(int64 order_id)
{
	Order	   *order = get_row(&lock_plan, order_id);

	oms_hold_note(order_id, order->holds);
	return order;
}

/* An order that ships complete is not released before nothing of it waits for stock. */
void
oms_order_check_complete(const Order *order, const OrderLines *lines)
{
	int64		waiting = 0;

	for (int i = 0; order->ship_complete && i < lines->count; i++)
		if (lines->rows[i].stocked)
			waiting += lines->rows[i].ordered - lines->rows[i].cancelled - lines->rows[i].allocated;
	if (waiting > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " ships complete: release is not allowed", order->order_id),
				 errdetail(INT64_FORMAT " of its units wait for stock.", waiting),
				 errhint("oms.fill_backorders covers them when stock has arrived.")));
}

/*
 * The same for jobs, which leave alone what another transaction works on: NULL
 * where somebody has the lock, or the order is not to be seen.
 */
Order *
oms_order_lock_free(int64 order_id)
{
	Order	   *order = find_row(&lock_free_plan, order_id);

	if (order != NULL)
		oms_hold_note(order_id, order->holds);
	return order;
}

Order *
oms_order_read(int64 order_id)
{
	return get_row(&read_plan, order_id);
}

/* Argument if_version: the version of the locked order that the caller has seen; null asks for nothing. */
void
oms_order_check_version(const Order *order, FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument) || PG_GETARG_INT32(argument) == order->version)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OMS_CONCURRENT),
			 errmsg("order " INT64_FORMAT " has version %d, not %d", order->order_id, order->version,
					PG_GETARG_INT32(argument)),
			 errdetail("if_version: somebody changed the order since it was read"),
			 errhint("Read the order again and repeat the call.")));
}

static void
collect_line(TupleTableSlot *slot, void *state)
{
	OrderLines *lines = state;
	OrderLine  *line;

	if (lines->count == lines->capacity)
	{
		lines->capacity = Max(16, lines->capacity * 2);
		lines->rows = oms_grown(lines->rows, sizeof(OrderLine) * lines->capacity);
	}
	line = &lines->rows[lines->count++];
	memset(line, 0, sizeof(*line));
	line->line_no = oms_slot_int32(slot, 1);
	line->item_id = oms_slot_int64(slot, 2);
	line->stocked = oms_slot_bool(slot, 3);
	line->ordered = oms_slot_int32(slot, 4);
	line->allocated = oms_slot_int32(slot, 5);
	line->backordered = oms_slot_int32(slot, 6);
	line->released = oms_slot_int32(slot, 7);
	line->shipped = oms_slot_int32(slot, 8);
	line->delivered = oms_slot_int32(slot, 9);
	line->cancelled = oms_slot_int32(slot, 10);
}

/* The lines of a locked order. */
OrderLines *
oms_order_lines(int64 order_id)
{
	OrderLines *lines = palloc0(sizeof(OrderLines));
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	(void) oms_execute_each(&lines_plan, values, NULL, collect_line, lines);
	return lines;
}

/* NULL where the order has no such line.  Lines are sorted by number. */
OrderLine *
oms_order_line(OrderLines *lines, int32 line_no)
{
	int			low = 0;
	int			high = lines->count - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (lines->rows[middle].line_no == line_no)
			return &lines->rows[middle];
		if (lines->rows[middle].line_no < line_no)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

/* The line that a call names; OM005 where the order has none. */
OrderLine *
oms_order_line_wanted(const Order *order, OrderLines *lines, const LineQuantity *wanted)
{
	OrderLine  *line = oms_order_line(lines, wanted->line_no);

	if (line == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("order " INT64_FORMAT " has no line %d", order->order_id, wanted->line_no),
				 errdetail("lines[%d].line_no: line %d is not known", wanted->position, wanted->line_no),
				 errhint("oms.get_order shows the lines.")));
	return line;
}

static bool
line_changed(const OrderLine *line)
{
	return line->delta.ordered != 0 || line->delta.allocated != 0 || line->delta.backordered != 0 || line->delta.released != 0 ||
		line->delta.shipped != 0 || line->delta.delivered != 0 || line->delta.cancelled != 0;
}

/* Units that an order gains or gives up count for the quotas of its channel. */
static void
count_quotas(int64 order_id, const OrderLines *lines)
{
	int64	   *items;
	int32	   *units;
	int32	   *firm;
	int			count = 0;

	if (!oms_quotas_exist())
		return;
	items = palloc(sizeof(int64) * Max(1, lines->count));
	units = palloc(sizeof(int32) * Max(1, lines->count));
	firm = palloc(sizeof(int32) * Max(1, lines->count));
	for (int i = 0; i < lines->count; i++)
	{
		const OrderLine *line = &lines->rows[i];

		if ((line->delta.allocated == 0 && line->delta.backordered == 0) || !line->stocked)
			continue;
		items[count] = line->item_id;
		firm[count] = line->delta.allocated;
		units[count++] = line->delta.allocated + line->delta.backordered;
	}
	oms_quotas_line_change(order_id, items, units, firm, count);
}

/* Lines whose changes one event carries, far within the size of a payload. */
#define LEDGER_LINES_PER_NOTE 400

/* The changes of the lines, for order_as_of: line_no, then each stage in the order of the table. */
static void
note_ledger(int64 order_id, const OrderLines *lines)
{
	DocWriter	writer;
	int			count = 0;

	for (int i = 0; i < lines->count; i++)
	{
		const OrderLine *line = &lines->rows[i];
		int32		numbers[] = {line->line_no, line->delta.ordered, line->delta.allocated, line->delta.backordered,
		line->delta.released, line->delta.shipped, line->delta.delivered, line->delta.cancelled};

		if (!line_changed(line))
			continue;
		if (count++ % LEDGER_LINES_PER_NOTE == 0)
		{
			if (count > 1)
			{
				oms_write_end_array(&writer);
				oms_event_note(order_id, oms_write_finish(&writer));
			}
			oms_write_begin(&writer);
			oms_write_begin_array(&writer, "ledger");
		}
		oms_write_begin_array(&writer, NULL);
		for (int j = 0; j < lengthof(numbers); j++)
			oms_write_int64(&writer, NULL, numbers[j]);
		oms_write_end_array(&writer);
	}
	if (count == 0)
		return;
	oms_write_end_array(&writer);
	oms_event_note(order_id, oms_write_finish(&writer));
}

/* Writes the changed lines of an order whose quotas have counted the change, in one statement. */
void
oms_order_lines_write_counted(int64 order_id, OrderLines *lines)
{
	int			capacity = Max(1, lines->count);
	int32	   *numbers = palloc(sizeof(int32) * capacity * 8);
	int			count = 0;
	Datum		values[10];

	for (int i = 0; i < lines->count; i++)
	{
		OrderLine  *line = &lines->rows[i];

		if (!line_changed(line))
			continue;
		numbers[count] = line->line_no;
		numbers[capacity + count] = line->delta.allocated;
		numbers[2 * capacity + count] = line->delta.backordered;
		numbers[3 * capacity + count] = line->delta.released;
		numbers[4 * capacity + count] = line->delta.shipped;
		numbers[5 * capacity + count] = line->delta.delivered;
		numbers[6 * capacity + count] = line->delta.cancelled;
		numbers[7 * capacity + count] = line->delta.ordered;
		count++;
	}
	if (count == 0)
		return;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(order_id);
	for (int i = 0; i < 8; i++)
		values[2 + i] = oms_array_int32(numbers + i * capacity, count);
	(void) oms_execute(&lines_write_plan, values, NULL);
	note_ledger(order_id, lines);
}

/* The same where nobody has told the quotas yet. */
void
oms_order_lines_write(int64 order_id, OrderLines *lines)
{
	count_quotas(order_id, lines);
	oms_order_lines_write_counted(order_id, lines);
}

/* Takes a step of the order's state machine and writes the new state. */
void
oms_order_step(Order *order, const char *action, const char *reason, Jsonb *data)
{
	StepObject	object = {.type = MACHINE_ORDER,.id = order->order_id,.order_id = order->order_id,
	.reason = reason,.data = data};
	const Transition *transition = oms_machine_step(MACHINE_ORDER, order->status, action, &object);
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->order_id),
	CStringGetTextDatum(transition->to_state)};

	(void) oms_execute(&step_plan, values, NULL);
	order->status = pstrdup(transition->to_state);
}

typedef struct OrderSums
{
	int64		wanted;
	int64		allocated;
	int64		backordered;
	int64		released;
	int64		shipped;
	int64		delivered;
	int64		returned;
	int64		gone;			/* written off or replaced */
	int64		lost;			/* of these, those that were never delivered */
} OrderSums;

static void
read_sums(TupleTableSlot *slot, void *state)
{
	OrderSums  *sums = state;

	sums->wanted = oms_slot_int64(slot, 1);
	sums->allocated = oms_slot_int64(slot, 2);
	sums->backordered = oms_slot_int64(slot, 3);
	sums->released = oms_slot_int64(slot, 4);
	sums->shipped = oms_slot_int64(slot, 5);
	sums->delivered = oms_slot_int64(slot, 6);
	sums->returned = oms_slot_int64(slot, 7);
	sums->gone = oms_slot_int64(slot, 8);
	sums->lost = oms_slot_int64(slot, 9);
}

static bool
is_returned(const OrderSums *sums)
{
	return sums->returned > 0 && sums->returned + sums->gone >= sums->wanted;
}

static bool
is_delivered(const OrderSums *sums)
{
	return sums->delivered + sums->lost >= sums->wanted;
}

/* The first line that holds decides; the reference publishes this table. */
static const char *
fulfillment_status(const OrderSums *sums)
{
	if (sums->wanted == 0)
		return "unallocated";
	if (is_returned(sums))
		return "returned";
	if (is_delivered(sums))
		return "delivered";
	if (sums->delivered > 0)
		return "partially_delivered";
	if (sums->shipped >= sums->wanted)
		return "shipped";
	if (sums->shipped > 0)
		return "partially_shipped";
	if (sums->released > 0)
		return "released";
	if (sums->backordered > 0)
		return "backordered";
	if (sums->allocated >= sums->wanted)
		return "allocated";
	return "unallocated";
}

typedef struct OrderTotals
{
	Numeric		items;
	Numeric		discounts;
	Numeric		shipping;
	Numeric		fees;
	Numeric		taxes;
	Numeric		added_taxes;
} OrderTotals;

static void
read_totals(TupleTableSlot *slot, void *state)
{
	OrderTotals *totals = state;

	totals->items = oms_slot_numeric(slot, 1);
	totals->discounts = oms_slot_numeric(slot, 2);
	totals->shipping = oms_slot_numeric(slot, 3);
	totals->fees = oms_slot_numeric(slot, 4);
	totals->taxes = oms_slot_numeric(slot, 5);
	totals->added_taxes = oms_slot_numeric(slot, 6);
}

static Numeric
total_of(const OrderTotals *totals)
{
	Numeric		total = oms_money_subtract(totals->items, totals->discounts);

	total = oms_money_add(total, totals->shipping);
	total = oms_money_add(total, totals->fees);
	return oms_money_add(total, totals->added_taxes);
}

/* Steps that follow from the quantities alone. */
static void
follow_quantities(Order *order, const OrderSums *sums)
{
	if (oms_machine_final(MACHINE_ORDER, order->status))
		return;
	if (sums->wanted == 0 && oms_machine_allows(MACHINE_ORDER, order->status, "cancel"))
		oms_order_step(order, "cancel", "nothing is left of it", NULL);
	else if (sums->wanted > 0 && (is_delivered(sums) || is_returned(sums)) &&
			 oms_machine_allows(MACHINE_ORDER, order->status, "complete"))
		oms_order_step(order, "complete", is_delivered(sums) ? "everything is delivered" : "everything came back", NULL);
}

/* Notes for order_as_of what of the derived has changed. */
static void
note_derived(const Order *order, const char *payment_status, const char *fulfillment_status, const OrderTotals *totals,
			 Numeric total, bool all)
{
	bool		payment = strcmp(payment_status, order->payment_status) != 0;
	bool		fulfillment = strcmp(fulfillment_status, order->fulfillment_status) != 0;
	bool		money = all || oms_money_compare(total, order->total) != 0;
	DocWriter	writer;

	if (!payment && !fulfillment && !money)
		return;
	oms_write_begin(&writer);
	oms_write_begin_object(&writer, "derived");
	if (payment)
		oms_write_text(&writer, "payment_status", payment_status);
	if (fulfillment)
		oms_write_text(&writer, "fulfillment_status", fulfillment_status);
	if (money)
	{
		oms_write_begin_object(&writer, "totals");
		oms_write_numeric(&writer, "items", totals->items);
		oms_write_numeric(&writer, "discount", totals->discounts);
		oms_write_numeric(&writer, "shipping", totals->shipping);
		oms_write_numeric(&writer, "fee", totals->fees);
		oms_write_numeric(&writer, "tax", totals->taxes);
		oms_write_numeric(&writer, "total", total);
		oms_write_end(&writer);
	}
	oms_write_end(&writer);
	oms_event_note(order->order_id, oms_write_finish(&writer));
}

static void
refresh(int64 order_id, bool all)
{
	Order	   *order = oms_order_read(order_id);
	int			digits = oms_currency_digits(order->currency);
	OrderSums	sums = {0};
	OrderTotals totals = {0};
	Datum		values[10];
	Numeric		total;
	bool		overpaid;

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(order_id);
	values[2] = Int32GetDatum(digits);
	(void) oms_execute_each(&sums_plan, values, NULL, read_sums, &sums);
	(void) oms_execute_each(&totals_plan, values, NULL, read_totals, &totals);
	total = total_of(&totals);
	follow_quantities(order, &sums);
	values[2] = CStringGetTextDatum(oms_payment_status_of(order_id, total));
	values[3] = CStringGetTextDatum(fulfillment_status(&sums));
	overpaid = strcmp(TextDatumGetCString(values[2]), "overpaid") == 0;
	note_derived(order, TextDatumGetCString(values[2]), fulfillment_status(&sums), &totals, total, all);
	values[4] = NumericGetDatum(totals.items);
	values[5] = NumericGetDatum(totals.discounts);
	values[6] = NumericGetDatum(totals.shipping);
	values[7] = NumericGetDatum(totals.fees);
	values[8] = NumericGetDatum(totals.taxes);
	values[9] = NumericGetDatum(total);
	(void) oms_execute(&refresh_plan, values, NULL);
	if (order->holds > 0)
		oms_hold_reconsider(order_id);
	if (overpaid)
		oms_payment_overpaid(order_id, strcmp(order->payment_status, "overpaid") != 0 ||
							 oms_money_compare(total, order->total) != 0);
}

/*
 * Derives totals and statuses from lines and payment events: the one place
 * that does.  Called at the end of every change of a locked order.
 */
void
oms_order_refresh(int64 order_id)
{
	refresh(order_id, false);
}

/* The same where parts of the total may have changed and the total not. */
void
oms_order_refresh_all(int64 order_id)
{
	refresh(order_id, true);
}

static void
read_document(TupleTableSlot *slot, void *state)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, 1, &isnull);

	*(Jsonb **) state = DatumGetJsonbPCopy(value);
}

/* The whole order as one document. */
Jsonb *
oms_order_document(int64 order_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};
	Jsonb	   *document = NULL;

	(void) oms_order_read(order_id);	/* refuses what is unknown or out of scope */
	(void) oms_execute_each(&document_plan, values, NULL, read_document, &document);
	return document;
}

/* The document that the first edit of the version or a later one replaced. */
static OmsPlan version_plan = {
	.sql = "SELECT document FROM {order_versions} WHERE order_id = $2 AND tenant_id = $1 AND version >= $3"
	" ORDER BY version LIMIT 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID)
};

/*
 * oms.get_order(order_id bigint, version integer) -> jsonb
 */
OMS_FUNCTION(oms_get_order, CALL_READ)
{
	int64		order_id = oms_argument_id(fcinfo, 0, "order_id");
	Order	   *order = oms_order_read(order_id);
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id), PG_GETARG_DATUM(1)};
	Jsonb	   *document = NULL;

	if (!PG_ARGISNULL(1) && (PG_GETARG_INT32(1) < 1 || PG_GETARG_INT32(1) > order->version))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("order " INT64_FORMAT " has no version %d", order_id, PG_GETARG_INT32(1)),
				 errdetail("version: the order has versions 1 to %d", order->version),
				 errhint("Leave version out for the order as it is.")));
	if (!PG_ARGISNULL(1))
		(void) oms_execute_each(&version_plan, values, NULL, read_document, &document);
	if (document == NULL)
		document = oms_order_document(order_id);
	PG_RETURN_JSONB_P(document);
}

static void
read_id(TupleTableSlot *slot, void *state)
{
	*(int64 *) state = oms_slot_int64(slot, 1);
}

/*
 * oms.find_order(channel text, external_ref text) -> bigint
 */
OMS_FUNCTION(oms_find_order, CALL_READ)
{
	Channel    *channel = oms_channel_get(oms_argument_required(fcinfo, 0, "channel"));
	Datum		values[3];
	int64		order_id = 0;

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(channel->channel_id);
	values[2] = CStringGetTextDatum(oms_argument_required(fcinfo, 1, "external_ref"));
	(void) oms_execute_each(&find_plan, values, NULL, read_id, &order_id);
	*isnull = order_id == 0;
	return Int64GetDatum(order_id);
}

/*
 * oms.order_timeline(order_id bigint) -> setof
 */
OMS_FUNCTION(oms_order_timeline, CALL_READ)
{
	Datum		values[2];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(oms_order_read(oms_argument_id(fcinfo, 0, "order_id"))->order_id);
	oms_return_rows(fcinfo, &timeline_plan, values, NULL);
	*isnull = true;
	return (Datum) 0;
}

/*
 * oms.confirm_order(order_id bigint, idempotency_key text) -> jsonb
 */
OMS_FUNCTION(oms_confirm_order, CALL_KEYED)
{
	Order	   *order = oms_order_lock(oms_argument_id(fcinfo, 0, "order_id"));
	const char *role = order->channel->confirmation_role;

	if (role != NULL && !oms_call_has_role(role))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_NOT_PERMITTED),
				 errmsg("orders of channel \"%s\" are confirmed by role %s", order->channel->code, role),
				 errdetail("order_id: %s is not a member of %s", GetUserNameFromId(oms_call->user, false), role),
				 errhint("confirmation_role of the channel names the role.")));
	if (oms_hold_confirmed(order) == 0 || oms_machine_allows(MACHINE_ORDER, order->status, "confirm"))
		oms_order_step(order, "confirm", NULL, NULL);
	oms_payment_resume(order->order_id);
	PG_RETURN_JSONB_P(oms_order_document(order->order_id));
}

/* ---- Lists of lines and quantities ---- */

static const DocField line_quantity_fields[] = {
	{"line_no", DOC_INT, offsetof(LineQuantity, line_no), .required = true,.least = 1,.most = PG_INT32_MAX},
	{"quantity", DOC_INT, offsetof(LineQuantity, quantity), .least = 1,.most = OMS_QUANTITY_MAX},
};

static const DocShape line_quantity_shape =
DOC_SHAPE_OF(LineQuantity, line_quantity_fields, "a line with a quantity");

static int
compare_line_quantities(const void *left, const void *right)
{
	const LineQuantity *a = left;
	const LineQuantity *b = right;

	return a->line_no < b->line_no ? -1 : a->line_no > b->line_no;
}

/* Reads [{"line_no", "quantity"}], sorted by line; a line may stand once. */
LineQuantity *
oms_line_quantities(Jsonb *document, const char *place, int *count)
{
	FaultList	faults;
	DocArray	array;
	LineQuantity *rows;

	oms_faults_init(&faults);
	array = oms_document_read_array(document, &line_quantity_shape, OMS_LINES_PER_ORDER_MAX, place, &faults);
	rows = (LineQuantity *) array.items;
	if (faults.count == 0 && array.count == 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Leave the argument out to take every line.", place, "is empty");
	oms_faults_raise(&faults, psprintf("%s are not valid", place));
	for (int i = 0; i < array.count; i++)
		rows[i].position = i;
	qsort(rows, array.count, sizeof(LineQuantity), compare_line_quantities);
	for (int i = 1; i < array.count; i++)
		if (rows[i].line_no == rows[i - 1].line_no)
			oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Each line may stand once in a call.", place,
					  "line %d stands there twice", rows[i].line_no);
	oms_faults_raise(&faults, psprintf("%s are not valid", place));
	*count = array.count;
	return rows;
}
