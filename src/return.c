/*
 * return.c
 *	  Goods that come back: requests, approval, and the ends of a return.
 *	  What arrives is in return_receive.c.
 *
 * A return holds units of an order's lines: order_lines.return_requested counts
 * those that have not arrived, and they cannot be requested twice.  What ends a
 * return gives the units that never came back to their lines.  Everything
 * happens under the order's lock.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/date.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "exchange.h"
#include "hold.h"
#include "kit.h"
#include "location.h"
#include "machine.h"
#include "money.h"
#include "order.h"
#include "reference_check.h"
#include "relation.h"
#include "return.h"
#include "return_location.h"
#include "scope.h"

/* Lines whose changes one event carries, far within the size of a payload. */
#define RETURN_LINES_PER_NOTE 1000

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {returns} (return_id, order_id, location_id, requested_at, tenant_id, status, reason, external_ref,"
	" attributes, refund_on, shipping_refund, restocking_fee, stage, decision, room_taken, room_day)"
	" VALUES ($2, $3, nullif($4, 0), $5, $1, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, TEXTOID,
				 TEXTOID, NUMERICOID, TEXTOID, JSONBOID, INT4OID, DATEOID)
};

static OmsPlan insert_lines_plan = {
	.sql = "INSERT INTO {return_lines} (return_id, order_id, item_id, tenant_id, line_no, requested, reason,"
	" restocking_percent) SELECT $2, $3, u.item_id, $1, u.line_no, u.requested, u.reason, u.percent"
	" FROM unnest($4::bigint[], $5::int[], $6::int[], $7::text[], $8::numeric[])"
	" u(item_id, line_no, requested, reason, percent)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTARRAYOID, NUMERICARRAYOID)
};

static OmsPlan read_plan = {
	.sql = "SELECT return_id, order_id, location_id, status, stage FROM {returns} WHERE return_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan lines_plan = {
	.sql = "SELECT l.line_no, l.item_id, i.kind = 'stocked', l.requested, l.received, i.sku, i.tracking <> 'none',"
	" o.lot FROM {return_lines} l JOIN {order_lines} o ON o.order_id = l.order_id AND o.line_no = l.line_no AND o.tenant_id = $1"
	" CROSS JOIN LATERAL (SELECT x.kind, x.sku, x.tracking FROM {items} x WHERE x.item_id = l.item_id AND x.tenant_id = $1 OFFSET 0) i"
	" WHERE l.return_id = $2 AND l.tenant_id = $1 ORDER BY l.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan step_plan = {
	.sql = "UPDATE {returns} SET status = $3, approved_at = CASE WHEN $4 = 'approve' THEN $5 ELSE approved_at END,"
	" shipped_at = CASE WHEN $4 = 'ship' THEN $5 ELSE shipped_at END,"
	" received_at = CASE WHEN $4 = 'receive' THEN coalesce(received_at, $5) ELSE received_at END,"
	" ended_at = CASE WHEN $6 THEN $5 END"
	" WHERE return_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, TEXTOID, TIMESTAMPTZOID, BOOLOID)
};

static OmsPlan shipment_plan = {
	.sql = "UPDATE {returns} SET carrier = coalesce($3, carrier), tracking_number = coalesce($4, tracking_number)"
	" WHERE return_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, TEXTOID)
};

static OmsPlan count_plan = {
	.sql = "UPDATE {order_lines} l SET return_requested = l.return_requested + u.requested,"
	" returned = l.returned + CASE $6 WHEN 'returned' THEN u.reached ELSE 0 END,"
	" written_off = l.written_off + CASE $6 WHEN 'written_off' THEN u.reached ELSE 0 END,"
	" replaced = l.replaced + CASE $6 WHEN 'replaced' THEN u.reached ELSE 0 END"
	" FROM unnest($3::int[], $4::int[], $5::int[]) u(line_no, requested, reached)"
	" WHERE l.order_id = $2 AND l.line_no = u.line_no AND l.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, TEXTOID)
};

/* Of the rules that fit, the first that says something about a matter. */
#define FIRST_RULE(column) \
	" (array_agg(r." column " ORDER BY r.rank, r.rule_id) FILTER (WHERE r." column " IS NOT NULL))[1] AS " column

/*
 * The lines of an order ($2, of channel $3), or those of $4, with what the
 * rules say of each.  Most of its units left from s.location_id; w counts those
 * that are still within their time.
 */
static OmsPlan wanted_plan = {
	.sql = "SELECT l.line_no, l.item_id, i.kind = 'stocked', l.shipped,"
	" l.shipped - l.return_requested - l.returned - l.written_off - l.replaced,"
	" coalesce(w.units, 0), coalesce(e.approval = 'required', false), i.sku, s.location_id,"
	" e.refund_on, e.shipping_refund, coalesce(e.restocking_percent, 0), coalesce(e.restocking_fee, 0)"
	" FROM unnest($4::int[], $5::text[]) u(line_no, reason)"
	" JOIN {order_lines} l ON l.order_id = $2 AND l.line_no = u.line_no AND l.tenant_id = $1"
	" CROSS JOIN LATERAL (SELECT x.kind, x.sku, x.item_group FROM {items} x WHERE x.item_id = l.item_id AND x.tenant_id = $1"
	" OFFSET 0) i LEFT JOIN LATERAL (SELECT a.location_id FROM {allocations} a WHERE a.order_id = $2 AND a.line_no = l.line_no"
	" AND a.tenant_id = $1 AND a.shipped > 0 GROUP BY a.location_id ORDER BY sum(a.shipped) DESC, a.location_id LIMIT 1)"
	" s ON true"
	" CROSS JOIN LATERAL (SELECT" FIRST_RULE("approval") "," FIRST_RULE("return_window")
	"," FIRST_RULE("refund_on") "," FIRST_RULE("shipping_refund") "," FIRST_RULE("restocking_percent")
	"," FIRST_RULE("restocking_fee")
	" FROM {return_rules} r WHERE r.tenant_id = $1 AND " RETURN_RULE_FITS("$3", "$7")
	" AND (r.from_location_id IS NULL OR r.from_location_id = s.location_id)) e"
	" LEFT JOIN LATERAL (SELECT sum(a.shipped) AS units FROM {allocations} a"
	" JOIN {fulfillments} f ON f.fulfillment_id = a.fulfillment_id AND f.tenant_id = $1"
	" WHERE a.order_id = $2 AND a.line_no = l.line_no AND a.tenant_id = $1 AND a.shipped > 0"
	" AND (e.return_window IS NULL OR coalesce(f.delivered_at, f.shipped_at) + e.return_window > $6)) w ON true"
	" ORDER BY l.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT4ARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, TEXTOID)
};

static OmsPlan document_plan = {
	.sql = "SELECT jsonb_strip_nulls(jsonb_build_object('return_id', r.return_id, 'order_id', r.order_id,"
	" 'status', r.status, 'stage', nullif(r.stage, 'returned'), 'exchange_order_id', r.exchange_order_id,"
	" 'exchange_on', r.exchange_on, 'location', p.code, 'reason', r.reason, 'external_ref', r.external_ref,"
	" 'requested_at', r.requested_at, 'approved_at', r.approved_at, 'shipped_at', r.shipped_at,"
	" 'received_at', r.received_at, 'ended_at', r.ended_at, 'carrier', r.carrier,"
	" 'tracking_number', r.tracking_number, 'attributes', r.attributes, 'decision', r.decision,"
	" 'refund', jsonb_build_object('on', r.refund_on, 'shipping', r.shipping_refund, 'items', r.items,"
	" 'discount', r.discount, 'tax', r.tax, 'included_tax', r.included_tax, 'charges', r.charges, 'fee', r.fee,"
	" 'total', r.items - r.discount + r.tax + r.charges - r.fee, 'granted', r.refunded),"
	" 'lines', (SELECT jsonb_agg(jsonb_build_object('line_no', l.line_no, 'sku', i.sku, 'requested', l.requested,"
	" 'received', l.received, 'reason', l.reason, 'refund', l.refund) ORDER BY l.line_no) FROM {return_lines} l"
	" CROSS JOIN LATERAL (SELECT x.sku FROM {items} x WHERE x.item_id = l.item_id AND x.tenant_id = $1 OFFSET 0) i"
	" WHERE l.return_id = r.return_id AND l.tenant_id = $1),"
	" 'receipts', (SELECT jsonb_agg(jsonb_build_object('receipt_id', t.receipt_id, 'line_no', t.line_no,"
	" 'quantity', t.quantity, 'disposition', t.disposition, 'location', q.code, 'reason', t.reason,"
	" 'received_at', t.received_at) ORDER BY t.receipt_id) FROM {return_receipts} t"
	" LEFT JOIN LATERAL (SELECT x.code FROM {locations} x WHERE x.location_id = t.location_id AND x.tenant_id = $1"
	" OFFSET 0) q ON true WHERE t.return_id = r.return_id AND t.tenant_id = $1)))"
	" FROM {returns} r LEFT JOIN LATERAL (SELECT x.code FROM {locations} x WHERE x.location_id = r.location_id"
	" AND x.tenant_id = $1 OFFSET 0) p ON true"
	" WHERE r.return_id = $2 AND r.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* ---- Reading ---- */

static void
read_return(TupleTableSlot *slot, void *state)
{
	Return	   *row = state;

	row->return_id = oms_slot_int64(slot, 1);
	row->order_id = oms_slot_int64(slot, 2);
	row->location_id = oms_slot_int64(slot, 3);
	row->status = oms_slot_text(slot, 4);
	row->stage = oms_slot_text(slot, 5);
}

static void
collect_line(TupleTableSlot *slot, void *state)
{
	Return	   *row = state;
	ReturnLine *line = &row->lines[row->line_count++];

	line->line_no = oms_slot_int32(slot, 1);
	line->item_id = oms_slot_int64(slot, 2);
	line->stocked = oms_slot_bool(slot, 3);
	line->requested = oms_slot_int32(slot, 4);
	line->received = oms_slot_int32(slot, 5);
	line->sku = oms_slot_text(slot, 6);
	line->tracked = oms_slot_bool(slot, 7);
	line->lot = oms_slot_text(slot, 8);
}

/* A return that the caller may see, without its lines. */
Return *
oms_return_get(int64 return_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(return_id)};
	Return	   *row = palloc0(sizeof(Return));

	(void) oms_execute_each(&read_plan, values, NULL, read_return, row);
	if (row->return_id == 0 || (row->location_id != 0 && !oms_scope_location(row->location_id)))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("return " INT64_FORMAT " is not known", return_id),
				 errdetail("return_id: there is no return " INT64_FORMAT " that the caller may see", return_id),
				 errhint("oms.get_order shows the returns of an order.")));
	return row;
}

/* Locks the order of a return, and reads the return under that lock. */
Return *
oms_return_lock(int64 return_id, Order **order)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(return_id)};
	Return	   *row;

	*order = oms_order_lock(oms_return_get(return_id)->order_id);
	row = oms_return_get(return_id);
	row->lines = palloc0(sizeof(ReturnLine) * OMS_LINES_PER_ORDER_MAX);
	(void) oms_execute_each(&lines_plan, values, NULL, collect_line, row);
	return row;
}

/* NULL where the return has no such line. */
ReturnLine *
oms_return_line(Return *row, int32 line_no)
{
	for (int i = 0; i < row->line_count; i++)
		if (row->lines[i].line_no == line_no)
			return &row->lines[i];
	return NULL;
}

static void
read_document(TupleTableSlot *slot, void *state)
{
	bool		isnull;

	*(Jsonb **) state = DatumGetJsonbPCopy(oms_slot_datum(slot, 1, &isnull));
}

/* The whole return as one document. */
Jsonb *
oms_return_document(int64 return_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(return_id)};
	Jsonb	   *document = NULL;

	(void) oms_order_read(oms_return_get(return_id)->order_id); /* refuses what is out of scope */
	(void) oms_execute_each(&document_plan, values, NULL, read_document, &document);
	return document;
}

/* ---- Steps ---- */

/* The lines that a step takes: those that arrive, else all. */
static int32 *
lines_of_step(const Return *row, int *count)
{
	int32	   *numbers = palloc(sizeof(int32) * Max(1, row->line_count));
	bool		arrival = false;

	*count = 0;
	for (int i = 0; i < row->line_count; i++)
		arrival |= row->lines[i].arriving > 0;
	for (int i = 0; i < row->line_count; i++)
		if (!arrival || row->lines[i].arriving > 0)
			numbers[(*count)++] = row->lines[i].line_no;
	return numbers;
}

/* Takes a step of the return's machine and writes the new state. */
void
oms_return_step(Return *row, const char *action, const char *reason, Jsonb *data)
{
	int			line_count;
	int32	   *lines = lines_of_step(row, &line_count);
	StepObject	object = {.type = MACHINE_RETURN,.id = row->return_id,.order_id = row->order_id,.reason = reason,
	.data = data,.lines = lines,.line_count = line_count};
	const Transition *transition = oms_machine_step(MACHINE_RETURN, row->status, action, &object);
	Datum		values[6] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(row->return_id),
		CStringGetTextDatum(transition->to_state), CStringGetTextDatum(action), TimestampTzGetDatum(oms_call->now),
	BoolGetDatum(oms_machine_final(MACHINE_RETURN, transition->to_state))};

	(void) oms_execute(&step_plan, values, NULL);
	row->status = pstrdup(transition->to_state);
}

/* The changes of the lines, for order_as_of: line_no, requested, then each stage that ends a return. */
static void
note_units(int64 order_id, const int32 *numbers, const int32 *requested, const int32 *reached, int count, const char *stage)
{
	const char *stages[] = {STAGE_RETURNED, STAGE_WRITTEN_OFF, STAGE_REPLACED};

	for (int first = 0; first < count; first += RETURN_LINES_PER_NOTE)
	{
		DocWriter	writer;

		oms_write_begin(&writer);
		oms_write_begin_array(&writer, "returning");
		for (int i = first; i < Min(count, first + RETURN_LINES_PER_NOTE); i++)
		{
			oms_write_begin_array(&writer, NULL);
			oms_write_int64(&writer, NULL, numbers[i]);
			oms_write_int64(&writer, NULL, requested[i]);
			for (int j = 0; j < lengthof(stages); j++)
				oms_write_int64(&writer, NULL, strcmp(stage, stages[j]) == 0 ? reached[i] : 0);
			oms_write_end_array(&writer);
		}
		oms_write_end_array(&writer);
		oms_event_note(order_id, oms_write_finish(&writer));
	}
}

/* Counts units of an order's lines: those asked for, those that reached the stage of their return. */
void
oms_return_count(int64 order_id, const int32 *numbers, const int32 *requested, const int32 *reached, int count,
				 const char *stage)
{
	Datum		values[6] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id), oms_array_int32(numbers, count),
	oms_array_int32(requested, count), oms_array_int32(reached, count), CStringGetTextDatum(stage)};

	(void) oms_execute(&count_plan, values, NULL);
	note_units(order_id, numbers, requested, reached, count, stage);
}

/* Gives units that did not come back to their lines. */
static void
free_units(const Return *row)
{
	int32	   *numbers = palloc(sizeof(int32) * Max(1, row->line_count));
	int32	   *requested = palloc(sizeof(int32) * Max(1, row->line_count));
	int32	   *returned = palloc0(sizeof(int32) * Max(1, row->line_count));
	int			count = 0;

	for (int i = 0; i < row->line_count; i++)
	{
		if (row->lines[i].requested == row->lines[i].received)
			continue;
		numbers[count] = row->lines[i].line_no;
		requested[count++] = row->lines[i].received - row->lines[i].requested;
	}
	if (count > 0)
		oms_return_count(row->order_id, numbers, requested, returned, count, row->stage);
}

/* ---- Requesting ---- */

typedef struct Candidate
{
	ReturnWish *wish;
	int32		line_no;
	int64		item_id;
	bool		stocked;
	int32		shipped;
	int32		returnable;
	int32		in_time;
	int32		quantity;		/* that the return takes */
	bool		approval;		/* is required */
	int64		location_id;	/* that shipped most of it; 0: none */
	char	   *sku;
	char	   *refund_on;		/* NULL: no rule says; so the next */
	char	   *shipping_refund;
	Numeric		restocking_percent;
	Numeric		restocking_fee;
} Candidate;

typedef struct Request
{
	Order	   *order;
	ReturnWish *wishes;			/* by line_no */
	int			wish_count;
	Candidate  *rows;
	int			count;
	FaultList	faults;
} Request;

static ReturnWish *
wish_of(Request *request, int32 line_no)
{
	for (int i = 0; i < request->wish_count; i++)
		if (request->wishes[i].line_no == line_no)
			return &request->wishes[i];
	return NULL;
}

static void
collect_candidate(TupleTableSlot *slot, void *state)
{
	Request    *request = state;
	Candidate  *row = &request->rows[request->count++];

	row->line_no = oms_slot_int32(slot, 1);
	row->item_id = oms_slot_int64(slot, 2);
	row->stocked = oms_slot_bool(slot, 3);
	row->shipped = oms_slot_int32(slot, 4);
	row->returnable = oms_slot_int32(slot, 5);
	row->in_time = (int32) oms_slot_int64(slot, 6);
	row->approval = oms_slot_bool(slot, 7);
	row->sku = oms_slot_text(slot, 8);
	row->location_id = oms_slot_int64(slot, 9);
	row->refund_on = oms_slot_text(slot, 10);
	row->shipping_refund = oms_slot_text(slot, 11);
	row->restocking_percent = oms_slot_numeric(slot, 12);
	row->restocking_fee = oms_slot_numeric(slot, 13);
	row->wish = wish_of(request, row->line_no);
}

static void
read_candidates(Request *request, const char *reason)
{
	int			count = Max(1, request->wish_count);
	int32	   *numbers = palloc(sizeof(int32) * count);
	Datum	   *reasons = palloc0(sizeof(Datum) * count);
	bool	   *nulls = palloc0(sizeof(bool) * count);
	Datum		values[7];

	for (int i = 0; i < request->wish_count; i++)
	{
		const char *text = request->wishes[i].reason ? request->wishes[i].reason : reason;

		numbers[i] = request->wishes[i].line_no;
		nulls[i] = text == NULL;
		if (text != NULL)
			reasons[i] = CStringGetTextDatum(text);
	}
	request->rows = palloc0(sizeof(Candidate) * count);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(request->order->order_id);
	values[2] = Int64GetDatum(request->order->channel_id);
	values[3] = oms_array_int32(numbers, request->wish_count);
	values[4] = oms_array_datum(reasons, nulls, request->wish_count, TEXTOID);
	values[5] = TimestampTzGetDatum(oms_call->now);
	values[6] = CStringGetTextDatum(request->order->currency);
	(void) oms_execute_each(&wanted_plan, values, NULL, collect_candidate, request);
}

/* Units of a line that the return takes; a fault where that is not possible. */
static void
decide_quantity(Request *request, Candidate *row, bool named)
{
	char	   *place = psprintf("line %d", row->line_no);
	int32		possible = Max(0, Min(row->returnable, row->in_time));

	row->quantity = row->wish->quantity == DOC_ABSENT ? possible : row->wish->quantity;
	if (!named)
		return;
	if (row->returnable <= 0 || row->quantity > row->returnable)
		oms_fault(&request->faults, ERRCODE_OMS_TRANSITION, "Only shipped units that no other return has can come back.",
				  place, "%d of %d shipped units can be returned, not %d", Max(0, row->returnable), row->shipped,
				  row->quantity);
	else if (row->quantity > possible || possible == 0)
		oms_fault(&request->faults, ERRCODE_OMS_TRANSITION, "return_window in oms.return_rules says for how long.",
				  place, "the time for returning is over for %d of %d units",
				  Max(1, row->quantity - possible), Max(1, row->quantity));
}

static void
decide_quantities(Request *request, bool named)
{
	int			kept = 0;

	for (int i = 0; i < request->wish_count; i++)
	{
		bool		known = false;

		for (int j = 0; j < request->count && !known; j++)
			known = request->rows[j].line_no == request->wishes[i].line_no;
		if (!known)
			oms_fault(&request->faults, ERRCODE_OMS_UNKNOWN, "oms.get_order shows the lines.",
					  psprintf("line %d", request->wishes[i].line_no), "order " INT64_FORMAT " has no such line",
					  request->order->order_id);
	}
	for (int i = 0; i < request->count; i++)
		decide_quantity(request, &request->rows[i], named);
	oms_faults_raise(&request->faults, psprintf("lines of order " INT64_FORMAT " cannot be returned",
												request->order->order_id));
	for (int i = 0; i < request->count; i++)
		if (request->rows[i].quantity > 0)
			request->rows[kept++] = request->rows[i];
	request->count = kept;
	if (kept == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " has nothing to return", request->order->order_id),
				 errdetail("No shipped unit is left that may come back."),
				 errhint("What has not shipped is cancelled with oms.cancel_order.")));
}

/* Where the goods among the lines go. */
static ReturnPlace
decide_location(const Request *request, const char *reason, const char *code)
{
	ReturnPart *parts = palloc(sizeof(ReturnPart) * request->count);
	int			count = 0;

	for (int i = 0; i < request->count; i++)
	{
		const Candidate *row = &request->rows[i];

		if (row->stocked)
			parts[count++] = (ReturnPart) {row->line_no, row->item_id, row->quantity,
			row->wish->reason ? row->wish->reason : reason, row->location_id};
	}
	return oms_return_place(request->order, parts, count, code);
}

const char *const oms_return_refund_times[] = {"approval", "receipt", "closing", "manual", NULL};
const char *const oms_return_shipping_rules[] = {"none", "proportional", "complete", NULL};

static int
refund_time(const char *text)
{
	for (int i = 0; oms_return_refund_times[i] != NULL; i++)
		if (strcmp(oms_return_refund_times[i], text) == 0)
			return i;
	return 0;
}

/* Lines may fall under different rules: the latest refund and the highest fee hold for all. */
static ReturnOptions
decide_refund(const Request *request, const ReturnOptions *wanted)
{
	ReturnOptions decided = *wanted;

	for (int i = 0; i < request->count; i++)
	{
		const Candidate *row = &request->rows[i];

		if (wanted->refund_on == NULL && row->refund_on != NULL &&
			(decided.refund_on == NULL || refund_time(row->refund_on) > refund_time(decided.refund_on)))
			decided.refund_on = row->refund_on;
		if (decided.shipping_refund == NULL)
			decided.shipping_refund = row->shipping_refund;
		if (wanted->restocking_fee == NULL &&
			(decided.restocking_fee == NULL || oms_money_compare(row->restocking_fee, decided.restocking_fee) > 0))
			decided.restocking_fee = row->restocking_fee;
	}
	if (decided.refund_on == NULL)
		decided.refund_on = pstrdup("receipt");
	if (decided.shipping_refund == NULL)
		decided.shipping_refund = pstrdup("complete");
	decided.restocking_fee = oms_money_round(decided.restocking_fee, oms_currency_digits(request->order->currency));
	return decided;
}

static Jsonb *
request_document(const Request *request, const ReturnPlace *place)
{
	Location   *location = place->location_id ? oms_location_by_id(place->location_id) : NULL;
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "location", location ? location->code : NULL);
	oms_write_text(&writer, "location_chosen", place->why);
	if (place->decision)
		oms_write_jsonb(&writer, "decision", place->decision);
	oms_write_begin_array(&writer, "lines");
	for (int i = 0; i < request->count; i++)
	{
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "line_no", request->rows[i].line_no);
		oms_write_text(&writer, "sku", request->rows[i].sku);
		oms_write_int64(&writer, "quantity", request->rows[i].quantity);
		oms_write_text(&writer, "reason", request->rows[i].wish->reason);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	return oms_write_finish(&writer);
}

static void
insert_return(const Return *row, const char *reason, const ReturnOptions *options, const ReturnPlace *place)
{
	Datum		values[16];
	char		nulls[17] = "                ";

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(row->return_id);
	values[2] = Int64GetDatum(row->order_id);
	values[3] = Int64GetDatum(row->location_id);
	values[4] = TimestampTzGetDatum(oms_call->now);
	values[5] = CStringGetTextDatum(row->status);
	values[6] = oms_text_or_null(reason, &nulls[6]);
	values[7] = oms_text_or_null(options->external_ref, &nulls[7]);
	values[8] = JsonbPGetDatum(options->attributes);
	nulls[8] = options->attributes ? ' ' : 'n';
	values[9] = CStringGetTextDatum(options->refund_on);
	values[10] = CStringGetTextDatum(options->shipping_refund);
	values[11] = NumericGetDatum(options->restocking_fee);
	values[12] = CStringGetTextDatum(row->stage);
	values[13] = JsonbPGetDatum(place->decision);
	nulls[13] = place->decision ? ' ' : 'n';
	values[14] = Int32GetDatum(place->room_taken);
	values[15] = DateADTGetDatum(place->room_day);
	nulls[15] = place->room_taken > 0 ? ' ' : 'n';
	(void) oms_execute(&insert_plan, values, nulls);
}

static void
insert_lines(const Request *request, const Return *row, Numeric percent)
{
	int64	   *items = palloc(sizeof(int64) * request->count);
	int32	   *numbers = palloc(sizeof(int32) * request->count);
	int32	   *units = palloc(sizeof(int32) * request->count);
	int32	   *none = palloc0(sizeof(int32) * request->count);
	Datum	   *reasons = palloc0(sizeof(Datum) * request->count);
	bool	   *nulls = palloc0(sizeof(bool) * request->count);
	Datum	   *percents = palloc(sizeof(Datum) * request->count);
	bool	   *no_nulls = palloc0(sizeof(bool) * request->count);
	Datum		values[8];

	for (int i = 0; i < request->count; i++)
	{
		const Candidate *line = &request->rows[i];

		items[i] = line->item_id;
		numbers[i] = line->line_no;
		units[i] = line->quantity;
		nulls[i] = line->wish->reason == NULL;
		if (line->wish->reason != NULL)
			reasons[i] = CStringGetTextDatum(line->wish->reason);
		percents[i] = NumericGetDatum(percent ? percent : line->restocking_percent);
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(row->return_id);
	values[2] = Int64GetDatum(row->order_id);
	values[3] = oms_array_int64(items, request->count);
	values[4] = oms_array_int32(numbers, request->count);
	values[5] = oms_array_int32(units, request->count);
	values[6] = oms_array_datum(reasons, nulls, request->count, TEXTOID);
	values[7] = oms_array_datum(percents, no_nulls, request->count, NUMERICOID);
	(void) oms_execute(&insert_lines_plan, values, NULL);
	oms_return_count(row->order_id, numbers, units, none, request->count, row->stage);
}

/* Every line of an order, for who names none. */
static ReturnWish *
wish_everything(Order *order, int *count)
{
	OrderLines *lines = oms_order_lines(order->order_id);
	ReturnWish *wishes = palloc0(sizeof(ReturnWish) * Max(1, lines->count));

	for (int i = 0; i < lines->count; i++)
	{
		wishes[i].line_no = lines->rows[i].line_no;
		wishes[i].quantity = DOC_ABSENT;
	}
	*count = lines->count;
	return wishes;
}

/* Whether any unit of a line can come back now. */
bool
oms_return_possible(Order *order, int32 line_no)
{
	ReturnWish	wish = {.line_no = line_no,.quantity = DOC_ABSENT};
	Request		request = {.order = order,.wishes = &wish,.wish_count = 1};

	read_candidates(&request, NULL);
	return request.count == 1 && request.rows[0].returnable > 0 && request.rows[0].in_time > 0;
}

static void
check_holds(const Request *request)
{
	int32	   *numbers = palloc(sizeof(int32) * request->count);

	for (int i = 0; i < request->count; i++)
		numbers[i] = request->rows[i].line_no;
	oms_hold_check(request->order->order_id, "return.request", 0, numbers, request->count);
}

/* Where nothing comes back, approval is all there is to wait for. */
static void
after_approval(Order *order, const Return *row)
{
	oms_return_settle(order, row->return_id);
	if (strcmp(row->stage, STAGE_RETURNED) != 0)
		oms_return_keep(order, row->return_id);
}

/*
 * Requests the return of units of a locked order, all that can come back where
 * wishes is NULL, and approves it unless a rule requires more; returns its id.
 * The caller refreshes the order, and checks its kits.
 */
int64
oms_return_request(Order *order, ReturnWish *wishes, int count, const char *reason, const ReturnOptions *options)
{
	Request		request = {.order = order,.wishes = wishes,.wish_count = count};
	Return		row = {.order_id = order->order_id};
	ReturnOptions decided;
	ReturnPlace place = {0};
	bool		approval = false;

	oms_faults_init(&request.faults);
	if (wishes == NULL)
		request.wishes = wish_everything(order, &request.wish_count);
	read_candidates(&request, reason);
	decide_quantities(&request, wishes != NULL);
	check_holds(&request);
	row.lines = palloc0(sizeof(ReturnLine) * request.count);
	for (int i = 0; i < request.count; i++)
	{
		approval |= request.rows[i].approval;
		row.lines[row.line_count++].line_no = request.rows[i].line_no;
	}
	row.stage = pstrdup(options->stage ? options->stage : options->goods_back == 0 ? STAGE_WRITTEN_OFF : STAGE_RETURNED);
	if (strcmp(row.stage, STAGE_RETURNED) == 0)
		place = decide_location(&request, reason, options->location);
	row.location_id = place.location_id;
	row.return_id = oms_next_id(SEQUENCE_RETURN);
	row.status = pstrdup(oms_machine_initial(MACHINE_RETURN));
	decided = decide_refund(&request, options);
	insert_return(&row, reason, &decided, &place);
	insert_lines(&request, &row, options->restocking_percent);
	oms_event(&(Event) {.order_id = order->order_id,.object_id = row.return_id,.object_type = MACHINE_RETURN,
						.type = "return.requested",.action = "request",.to_state = row.status,.reason = reason,
						.data = request_document(&request, &place)});
	if (!approval)
	{
		oms_return_step(&row, "approve", "no rule requires approval", NULL);
		after_approval(order, &row);
	}
	return row.return_id;
}

static const DocField wish_fields[] = {
	{"line_no", DOC_INT, offsetof(ReturnWish, line_no), .required = true,.least = 1,.most = PG_INT32_MAX},
	{"quantity", DOC_INT, offsetof(ReturnWish, quantity), .least = 1,.most = OMS_QUANTITY_MAX},
	{"reason", DOC_CODE, offsetof(ReturnWish, reason)},
};

static const DocShape wish_shape = DOC_SHAPE_OF(ReturnWish, wish_fields, "a line of a return");

typedef struct OptionsDocument
{
	ReturnOptions options;
} OptionsDocument;

static const DocField option_fields[] = {
	RETURN_OPTION_FIELDS(OptionsDocument, options)
};

static const DocShape option_shape = DOC_SHAPE_OF(OptionsDocument, option_fields, "options of a return");

/* Lines that are to come back; each stands once. */
ReturnWish *
oms_return_wishes(Jsonb *document, int *count, FaultList *faults)
{
	DocArray	array = oms_document_read_array(document, &wish_shape, OMS_LINES_PER_ORDER_MAX, "lines", faults);
	ReturnWish *wishes = (ReturnWish *) array.items;

	if (faults->count == 0 && array.count == 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Leave the argument out to return everything.", "lines", "is empty");
	for (int i = 0; faults->count == 0 && i < array.count; i++)
		for (int j = 0; j < i; j++)
			if (wishes[i].line_no == wishes[j].line_no)
			{
				oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each line may stand once in a return.",
						  oms_document_place("lines", i, "line_no"), "line %d stands there twice", wishes[i].line_no);
				break;
			}
	*count = array.count;
	return wishes;
}

/* What no shape can say of the options. */
void
oms_return_check_options(const ReturnOptions *options, const char *currency, FaultList *faults)
{
	Numeric		hundred = int64_to_numeric(100);
	ReferenceList references = {0};

	if (options->goods_back == 0 && options->location != NULL)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Leave one of them out.", "options.location",
				  "goes nowhere without goods_back");

	if (options->restocking_percent != NULL &&
		(oms_money_compare(options->restocking_percent, hundred) > 0 || !oms_money_is_rounded(options->restocking_percent, 2)))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give a number from 0 to 100 with at most two decimals.",
				  "options.restocking_percent", "%s is not a percentage", oms_money_text(options->restocking_percent));
	if (options->restocking_fee && !oms_money_is_rounded(options->restocking_fee, oms_currency_digits(currency)))
		oms_fault(faults, ERRCODE_OMS_MONEY, "Round amounts to the currency.", "options.restocking_fee",
				  "%s has more decimals than %s", oms_money_text(options->restocking_fee), currency);
	oms_reference_add(&references, options->external_ref, "options.external_ref", 0, NULL);
	oms_references_check("return", &references, 0, faults);
}

/*
 * oms.request_return(order_id, lines, reason, options, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_request_return, CALL_KEYED)
{
	int64		order_id = oms_argument_id(fcinfo, 0, "order_id");
	ReturnOptions none = {.goods_back = 1};
	ReturnOptions *options = &none;
	ReturnWish *wishes = NULL;
	Order	   *order;
	FaultList	faults;
	List	   *broken;
	int64		return_id;
	int			count = 0;

	oms_faults_init(&faults);
	if (!PG_ARGISNULL(1))
		wishes = oms_return_wishes(PG_GETARG_JSONB_P(1), &count, &faults);
	if (!PG_ARGISNULL(3))
		options = oms_document_read(PG_GETARG_JSONB_P(3), &option_shape, &faults);
	oms_faults_raise(&faults, "return is not valid");
	order = oms_order_lock(order_id);
	oms_return_check_options(options, order->currency, &faults);
	oms_faults_raise(&faults, "return is not valid");
	broken = oms_kits_broken(order_id);
	return_id = oms_return_request(order, wishes, count, oms_argument_text(fcinfo, 2), options);
	oms_kits_check(order_id, broken);
	oms_order_refresh(order_id);
	PG_RETURN_JSONB_P(oms_return_document(return_id));
}

/* ---- Approving, shipping, ending ---- */

static Datum
step_and_answer(FunctionCallInfo fcinfo, const char *action)
{
	Order	   *order;
	Return	   *row = oms_return_lock(oms_argument_id(fcinfo, 0, "return_id"), &order);

	oms_return_step(row, action, oms_argument_text(fcinfo, 1), NULL);
	if (oms_machine_final(MACHINE_RETURN, row->status))
		free_units(row);
	if (oms_machine_final(MACHINE_RETURN, row->status) && strcmp(action, "close") != 0)
		oms_return_room_give_back(row->return_id);
	if (strcmp(action, "approve") == 0)
		after_approval(order, row);
	else
		oms_return_settle(order, row->return_id);
	oms_order_refresh(order->order_id);
	oms_exchange_follow(order, row->return_id);
	return JsonbPGetDatum(oms_return_document(row->return_id));
}

/*
 * oms.approve_return(return_id, reason, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_approve_return, CALL_KEYED)
{
	return step_and_answer(fcinfo, "approve");
}

/*
 * oms.reject_return(return_id, reason, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_reject_return, CALL_KEYED)
{
	return step_and_answer(fcinfo, "reject");
}

/*
 * oms.cancel_return(return_id, reason, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_cancel_return, CALL_KEYED)
{
	return step_and_answer(fcinfo, "cancel");
}

/*
 * oms.close_return(return_id, reason, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_close_return, CALL_KEYED)
{
	return step_and_answer(fcinfo, "close");
}

typedef struct ReturnShipment
{
	char	   *carrier;
	char	   *tracking_number;
} ReturnShipment;

static const DocField shipment_fields[] = {
	{"carrier", DOC_CODE, offsetof(ReturnShipment, carrier)},
	{"tracking_number", DOC_CODE, offsetof(ReturnShipment, tracking_number)},
};

static const DocShape shipment_shape = DOC_SHAPE_OF(ReturnShipment, shipment_fields, "a shipment of a return");

/*
 * oms.ship_return(return_id, shipment, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_ship_return, CALL_KEYED)
{
	int64		return_id = oms_argument_id(fcinfo, 0, "return_id");
	ReturnShipment none = {0};
	ReturnShipment *shipment = &none;
	FaultList	faults;
	Order	   *order;
	Return	   *row;
	Datum		values[4];
	char		nulls[5] = "    ";

	oms_faults_init(&faults);
	if (!PG_ARGISNULL(1))
		shipment = oms_document_read(PG_GETARG_JSONB_P(1), &shipment_shape, &faults);
	oms_faults_raise(&faults, "shipment is not valid");
	row = oms_return_lock(return_id, &order);
	oms_return_step(row, "ship", NULL, PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1));
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(return_id);
	values[2] = oms_text_or_null(shipment->carrier, &nulls[2]);
	values[3] = oms_text_or_null(shipment->tracking_number, &nulls[3]);
	(void) oms_execute(&shipment_plan, values, nulls);
	oms_order_refresh(order->order_id);
	PG_RETURN_JSONB_P(oms_return_document(return_id));
}

/*
 * oms.get_return(return_id bigint) -> jsonb
 */
OMS_FUNCTION(oms_get_return, CALL_READ)
{
	PG_RETURN_JSONB_P(oms_return_document(oms_argument_id(fcinfo, 0, "return_id")));
}
