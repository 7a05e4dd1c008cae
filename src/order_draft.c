/*
 * order_draft.c
 *	  Drafts and quotes: orders that promise nothing until they are placed, at
 *	  the prices that were quoted.
 */
#include "oms.h"

#include "call.h"
#include "event.h"
#include "exchange.h"
#include "expiry.h"
#include "kit.h"
#include "machine.h"
#include "order_place.h"
#include "order_placement.h"
#include "payment.h"
#include "relation.h"

static OmsPlan validity_plan = {
	.sql = "SELECT $3 + draft_timeout FROM {channels} WHERE channel_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

static OmsPlan insert_draft_plan = {
	.sql = "INSERT INTO {order_drafts} (order_id, tenant_id, document) VALUES ($2, $1, $3)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID)
};

static OmsPlan draft_plan = {
	.sql = "SELECT d.document, o.valid_until FROM {order_drafts} d JOIN {orders} o ON o.order_id = d.order_id"
	" AND o.tenant_id = $1 WHERE d.order_id = $2 AND d.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan replace_draft_plan = {
	.sql = "UPDATE {order_drafts} SET document = $3 WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID)
};

static OmsPlan delete_draft_plan = {
	.sql = "DELETE FROM {order_drafts} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan quoted_plan = {
	.sql = "SELECT l.line_no, coalesce(k.unit_price, l.unit_price) FROM {order_lines} l"
	" LEFT JOIN {order_kits} k ON k.order_id = $2 AND k.kit_no = l.line_no AND k.tenant_id = $1"
	" WHERE l.order_id = $2 AND l.tenant_id = $1 ORDER BY l.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan place_draft_plan = {
	.sql = "UPDATE {orders} SET status = $3, payment_status = $4, fulfillment_status = $5, placed_at = $6,"
	" priority = $7, ship_complete = nullif($8, false), version = version + 1 WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, INT4OID, BOOLOID)
};

static OmsPlan update_draft_plan = {
	.sql = "UPDATE {orders} SET payment_status = $3, currency = $4, item_total = $5, discount_total = $6,"
	" shipping_total = $7, fee_total = $8, tax_total = $9, total = $10, customer_ref = $11, customer = $12, bill_to = $13,"
	" attributes = $14, notes = $15, risk = $16, ordered_by = $17, valid_until = $18, priority = $19,"
	" ship_complete = nullif($20, false), version = version + 1"
	" WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, TEXTOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID,
				 NUMERICOID, TEXTOID, JSONBOID, JSONBOID, JSONBOID, TEXTOID, JSONBOID, TEXTOID, TIMESTAMPTZOID, INT4OID,
				 BOOLOID)
};

static OmsPlan delete_lines_plan = {
	.sql = "DELETE FROM {order_lines} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan delete_deliveries_plan = {
	.sql = "DELETE FROM {order_deliveries} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan delete_adjustments_plan = {
	.sql = "DELETE FROM {order_adjustments} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* ---- Drafts ---- */

/* What a draft has in place of a plan. */
void
oms_draft_describe(Placement *placement)
{
	placement->status = oms_machine_initial(MACHINE_ORDER);
	placement->fulfillment_status = "unallocated";
	placement->promised_at = DT_NOBEGIN;
}

static void
read_time(TupleTableSlot *slot, void *state)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, 1, &isnull);

	if (!isnull)
		*(TimestampTz *) state = DatumGetTimestampTz(value);
}

/* A draft that names no end has the one of its channel, which may have none. */
void
oms_draft_set_validity(Placement *placement)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(placement->channel->channel_id),
	TimestampTzGetDatum(oms_call->now)};

	if (TIMESTAMP_NOT_FINITE(placement->document->valid_until))
		(void) oms_execute_each(&validity_plan, values, NULL, read_time, &placement->document->valid_until);
}

static Jsonb *
report_draft(Placement *placement, const char *type)
{
	Jsonb	   *result = oms_placement_answer(placement);
	bool		ends = !TIMESTAMP_NOT_FINITE(placement->document->valid_until);

	oms_deadline_set(placement->order_id, "draft", ends ? placement->document->valid_until : DT_NOEND);
	oms_event(&(Event) {.order_id = placement->order_id,.object_id = placement->order_id,.object_type = MACHINE_ORDER,
						.type = type,.to_state = placement->status,.data = result});
	return result;
}

/* What follows once the rows of a draft are written; the answer. */
Jsonb *
oms_draft_complete(Placement *placement)
{
	Datum		values[3];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->order_id);
	values[2] = JsonbPGetDatum(placement->source);
	(void) oms_execute(&insert_draft_plan, values, NULL);
	return report_draft(placement, "order.drafted");
}

/* Writes a draft; NULL where the reference was taken meanwhile. */
Jsonb *
oms_draft_write(Placement *placement)
{
	oms_draft_set_validity(placement);
	oms_draft_describe(placement);
	if (!oms_placement_insert_order(placement))
		return NULL;
	oms_placements_write_parts(&placement, 1);
	return oms_draft_complete(placement);
}

/* ---- Working with a draft ---- */

typedef struct Draft
{
	Order	   *order;
	Jsonb	   *document;		/* NULL: the order is no draft */
	TimestampTz valid_until;	/* DT_NOEND: forever */
} Draft;

static void
read_draft(TupleTableSlot *slot, void *state)
{
	Draft	   *draft = state;
	bool		isnull;
	Datum		value = oms_slot_datum(slot, 1, &isnull);

	draft->document = DatumGetJsonbPCopy(value);
	value = oms_slot_datum(slot, 2, &isnull);
	draft->valid_until = isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

/* Locks an order and reads it as a draft; refuses what is none. */
static Draft
lock_draft(int64 order_id, const char *action)
{
	Draft		draft = {.order = oms_order_lock(order_id)};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	if (strcmp(draft.order->status, oms_machine_initial(MACHINE_ORDER)) == 0)
		(void) oms_execute_each(&draft_plan, values, NULL, read_draft, &draft);
	if (draft.document == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " is %s: %s is not allowed", order_id, draft.order->status, action),
				 errdetail("order_id: order " INT64_FORMAT " is no draft", order_id),
				 errhint("oms.place_order makes drafts from documents with draft.")));
	return draft;
}

typedef struct Quoted
{
	int			count;
	int			capacity;
	int32	   *line_numbers;
	Numeric    *prices;
} Quoted;

static void
collect_quoted(TupleTableSlot *slot, void *state)
{
	Quoted	   *quoted = state;

	if (quoted->count == quoted->capacity)
		return;
	quoted->line_numbers[quoted->count] = oms_slot_int32(slot, 1);
	quoted->prices[quoted->count++] = oms_slot_numeric(slot, 2);
}

/* Lines that name no price keep the one that was quoted, whatever the item costs today. */
static void
keep_quoted_prices(Placement *placement, int64 order_id)
{
	DocArray   *lines = &placement->document->lines;
	Quoted		quoted = {.capacity = OMS_LINES_PER_ORDER_MAX};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	quoted.line_numbers = palloc(sizeof(int32) * quoted.capacity);
	quoted.prices = palloc(sizeof(Numeric) * quoted.capacity);
	(void) oms_execute_each(&quoted_plan, values, NULL, collect_quoted, &quoted);
	for (int i = 0; i < lines->count; i++)
	{
		LineDocument *line = (LineDocument *) lines->items + i;
		int32		number = line->line_no == DOC_ABSENT ? i + 1 : line->line_no;
		int32	   *found = bsearch(&number, quoted.line_numbers, quoted.count, sizeof(int32), oms_line_number_compare);

		if (line->unit_price == NULL && found != NULL)
			line->unit_price = quoted.prices[found - quoted.line_numbers];
	}
}

static void
delete_rows(int64 order_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	oms_kits_delete(order_id);
	(void) oms_execute(&delete_lines_plan, values, NULL);
	(void) oms_execute(&delete_adjustments_plan, values, NULL);
}

/* Whether the draft has the lines that are planned: kits may consist of other components by now. */
static bool
has_planned_lines(Placement *placement, OrderLines *lines)
{
	for (int i = 0; i < placement->line_count; i++)
	{
		OrderLine  *line = oms_order_line(lines, placement->lines[i].line_no);

		if (line == NULL || line->item_id != placement->lines[i].item->item_id ||
			line->ordered != placement->lines[i].document->quantity)
			return false;
	}
	return lines->count == placement->line_count;
}

/* What the plan gives each line, written to the lines that the draft has. */
static void
write_planned_lines(Placement *placement)
{
	OrderLines *lines = oms_order_lines(placement->order_id);

	if (!has_planned_lines(placement, lines))
	{
		delete_rows(placement->order_id);
		oms_placements_insert_lines(&placement, 1);
		oms_kits_insert(placement);
		oms_substitutes_insert(placement);
		oms_placements_insert_adjustments(&placement, 1, 0);
		return;
	}
	for (int i = 0; i < placement->line_count; i++)
	{
		OrderLine  *line = oms_order_line(lines, placement->lines[i].line_no);

		line->delta.allocated = placement->lines[i].allocated;
		line->delta.backordered = placement->lines[i].backordered;
	}
	oms_order_lines_write_counted(placement->order_id, lines);
}

static void
write_placed_draft(Placement *placement)
{
	Datum		values[8];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->order_id);
	values[2] = CStringGetTextDatum(placement->status);
	values[3] = CStringGetTextDatum(oms_payment_status_of(placement->order_id, placement->total));
	values[4] = CStringGetTextDatum(placement->fulfillment_status);
	values[5] = TimestampTzGetDatum(oms_call->now);
	values[6] = Int32GetDatum(placement->priority);
	values[7] = BoolGetDatum(placement->ship_complete);
	(void) oms_execute(&place_draft_plan, values, NULL);
	(void) oms_execute(&delete_draft_plan, values, NULL);
	oms_deadline_set(placement->order_id, "draft", DT_NOEND);
	placement->payment_status = TextDatumGetCString(values[3]);
	write_planned_lines(placement);

	/* Written again: now it has dates. */
	(void) oms_execute(&delete_deliveries_plan, values, NULL);
	oms_placements_write_deliveries(&placement, 1);
	oms_placement_insert_promises(placement);
	oms_placement_record_routing(placement, 1);
}

/* The whole of placing against today's stock, at the prices of the draft; see order_place.h. */
Jsonb *
oms_draft_place(int64 order_id, bool required)
{
	Draft		draft = lock_draft(order_id, "place");
	FaultList	faults;
	Placement  *placement;
	int			placed_event;

	if (draft.valid_until <= oms_call->now && !required)
		return NULL;
	if (draft.valid_until <= oms_call->now)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("draft " INT64_FORMAT " is no longer valid", draft.order->order_id),
				 errdetail("order_id: it was valid until %s", timestamptz_to_str(draft.valid_until)),
				 errhint("oms.edit_draft with a new valid_until and prices makes a new quote of it.")));
	placement = oms_placement_of(draft.document, &faults);
	if (faults.count == 0)
	{
		keep_quoted_prices(placement, order_id);
		oms_placement_read(placement, &faults);
	}
	if (faults.count > 0 && !required)
		return NULL;
	oms_faults_raise(&faults, "draft is not valid");
	placement->order_id = order_id;
	placement->document->valid_until = DT_NOBEGIN;
	if (!oms_placement_plan(placement))
	{
		if (!required)
			return NULL;
		oms_placement_refuse(placement);
	}
	oms_placement_promise(placement);
	placed_event = oms_placement_take_step(placement);
	oms_placement_reserve(placement);
	oms_order_keep_version(draft.order);
	write_placed_draft(placement);
	return oms_placement_complete(placement, placed_event);
}

/*
 * oms.place_draft(order_id bigint, idempotency_key text) -> jsonb
 */
OMS_FUNCTION(oms_place_draft, CALL_KEYED)
{
	int64		order_id = oms_argument_id(fcinfo, 0, "order_id");
	Exchange   *exchange = oms_exchange_of(order_id);	/* locks the older order first */
	Jsonb	   *result = oms_draft_place(order_id, true);

	if (exchange != NULL)
		oms_exchange_follow(exchange->order, exchange->return_id);
	PG_RETURN_JSONB_P(result);
}

/* Writes the header of a changed draft. */
static void
update_draft(Placement *placement)
{
	OrderDocument *document = placement->document;
	Datum		values[20];
	char		nulls[21] = "                    ";

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->order_id);
	values[2] = CStringGetTextDatum(oms_payment_status_of(placement->order_id, placement->total));
	values[3] = CStringGetTextDatum(placement->currency);
	values[4] = NumericGetDatum(placement->item_total);
	values[5] = NumericGetDatum(placement->discount_total);
	values[6] = NumericGetDatum(placement->shipping_total);
	values[7] = NumericGetDatum(placement->fee_total);
	values[8] = NumericGetDatum(placement->tax_total);
	values[9] = NumericGetDatum(placement->total);
	values[10] = oms_text_or_null(document->customer ? document->customer->ref : NULL, &nulls[10]);
	values[11] = oms_jsonb_or_null(oms_placement_customer(document->customer), &nulls[11]);
	values[12] = oms_jsonb_or_null(document->bill_to, &nulls[12]);
	values[13] = oms_jsonb_or_null(document->attributes, &nulls[13]);
	values[14] = oms_text_or_null(document->notes, &nulls[14]);
	values[15] = oms_jsonb_or_null(document->risk, &nulls[15]);
	values[16] = oms_text_or_null(document->ordered_by, &nulls[16]);
	values[17] = TimestampTzGetDatum(document->valid_until);
	nulls[17] = TIMESTAMP_NOT_FINITE(document->valid_until) ? 'n' : ' ';
	values[18] = Int32GetDatum(placement->priority);
	values[19] = BoolGetDatum(placement->ship_complete);
	(void) oms_execute(&update_draft_plan, values, nulls);
	delete_rows(placement->order_id);
	(void) oms_execute(&delete_deliveries_plan, values, NULL);
	values[2] = JsonbPGetDatum(placement->source);
	(void) oms_execute(&replace_draft_plan, values, NULL);
	placement->payment_status = oms_payment_status_of(placement->order_id, placement->total);
}

/* The document of a draft with the changed fields; the order's key stays. */
static Placement *
changed_draft(const Draft *draft, Jsonb *changes, FaultList *faults)
{
	Datum		document = DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(draft->document), JsonbPGetDatum(changes));
	Placement  *placement = oms_placement_of(DatumGetJsonbP(document), faults);
	OrderDocument *changed = placement->document;
	const char *code = changed->channel ? changed->channel : "default";

	if (faults->count > 0)
		return placement;
	if (strcmp(code, draft->order->channel->code) != 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Cancel the draft and make another one.", "channel",
				  "a draft stays in its channel, which is \"%s\"", draft->order->channel->code);
	if (strcmp(changed->external_ref, draft->order->external_ref) != 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Cancel the draft and make another one.", "external_ref",
				  "a draft keeps its reference, which is \"%s\"", draft->order->external_ref);
	if (changed->draft != 1)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "oms.place_draft places it.", "draft", "must stay true");
	return placement;
}

/*
 * oms.edit_draft(order_id bigint, changes jsonb, idempotency_key text) -> jsonb
 *
 * Fields of the document are replaced by those of the changes, null removes
 * one.  Lines without a price are priced anew.
 */
OMS_FUNCTION(oms_edit_draft, CALL_KEYED)
{
	Draft		draft = lock_draft(oms_argument_id(fcinfo, 0, "order_id"), "edit");
	FaultList	faults;
	Placement  *placement;

	oms_faults_init(&faults);
	if (PG_ARGISNULL(1) || !JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give the fields of the document that change.", "changes",
				  PG_ARGISNULL(1) ? "is null" : "must be an object");
	oms_faults_raise(&faults, "changes are not valid");
	oms_hold_check(draft.order->order_id, "order.edit", 0, NULL, 0);
	placement = changed_draft(&draft, PG_GETARG_JSONB_P(1), &faults);
	if (faults.count == 0)
		oms_placement_read(placement, &faults);
	oms_faults_raise(&faults, "draft is not valid");
	placement->order_id = draft.order->order_id;
	oms_order_keep_version(draft.order);
	oms_draft_set_validity(placement);
	oms_draft_describe(placement);
	update_draft(placement);
	oms_placements_write_parts(&placement, 1);
	PG_RETURN_JSONB_P(report_draft(placement, "order.draft_edited"));
}
