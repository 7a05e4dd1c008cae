/*
 * order_place.c
 *	  Placing an order: one document, one transaction.
 *
 * The way of a document:
 *	  read by shape, items looked up, totals (order_document.c) -> counters
 *	  read and routed (order_plan.c) -> order row, whose unique key decides who
 *	  places it -> counters locked, checked and written (order_promise.c) ->
 *	  lines, delivery, adjustments, fulfillments, promises, payments
 *	  (order_write.c) -> one flush of events, whose order.placed holds the
 *	  answer.
 */
#include "oms.h"

#include "call.h"
#include "event.h"
#include "expiry.h"
#include "kit.h"
#include "machine.h"
#include "order_place.h"
#include "order_placement.h"
#include "payment.h"
#include "relation.h"

static OmsPlan existing_plan = {
	.sql = "SELECT order_id, document_hash FROM {orders} WHERE tenant_id = $1 AND channel_id = $2 AND external_ref = $3",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

static OmsPlan first_answer_plan = {
	.sql = "SELECT data FROM {events} WHERE order_id = $2 AND tenant_id = $1 AND type IN ('order.placed', 'order.drafted')"
	" ORDER BY event_id LIMIT 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan correct_status_plan = {
	.sql = "UPDATE {orders} SET fulfillment_status = $3 WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

/* ---- An order that exists already ---- */

typedef struct Existing
{
	int64		order_id;
	int64		hash;
} Existing;

static void
read_existing(TupleTableSlot *slot, void *state)
{
	Existing   *existing = state;

	existing->order_id = oms_slot_int64(slot, 1);
	existing->hash = oms_slot_int64(slot, 2);
}

static void
read_answer(TupleTableSlot *slot, void *state)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, 1, &isnull);

	if (!isnull)
		*(Jsonb **) state = DatumGetJsonbPCopy(value);
}

static Jsonb *
first_answer(int64 order_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};
	Jsonb	   *answer = NULL;

	(void) oms_execute_each(&first_answer_plan, values, NULL, read_answer, &answer);
	if (answer == NULL || getKeyJsonValueFromContainer(&answer->root, "order_id", 8, NULL) == NULL)
		answer = oms_order_document(order_id); /* too large for an event */
	return answer;
}

/*
 * Whether the reference is taken: then the answer is the first one to the same
 * document, or the refusal says that it was another.  Faults of the document's
 * own come before that.
 */
bool
oms_placement_find_existing(Placement *placement, bool has_faults, Jsonb **answer, Refusal *refusal)
{
	const char *code = placement->document->channel ? placement->document->channel : "default";
	Channel    *channel = oms_channel_find(code);
	Existing	existing = {0};
	Datum		values[3];

	*answer = NULL;
	if (channel == NULL || placement->document->external_ref == NULL)
		return false;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(channel->channel_id);
	values[2] = CStringGetTextDatum(placement->document->external_ref);
	(void) oms_execute_each(&existing_plan, values, NULL, read_existing, &existing);
	if (existing.order_id == 0 || (existing.hash != placement->hash && has_faults))
		return false;
	if (existing.hash == placement->hash)
		*answer = first_answer(existing.order_id);
	else
		*refusal = (Refusal)
	{
		ERRCODE_OMS_IDEMPOTENCY,
			psprintf("order \"%s\" of channel \"%s\" exists with another document", placement->document->external_ref, code),
			psprintf("external_ref: belongs to order " INT64_FORMAT, existing.order_id),
			"Use a new external_ref for a new order."
	};
	return true;
}

/* The first answer to the same document; NULL where the reference is new, an error where it is that of another one. */
static Jsonb *
answer_of_existing(Placement *placement, bool has_faults)
{
	Jsonb	   *answer;
	Refusal		refusal;

	if (oms_placement_find_existing(placement, has_faults, &answer, &refusal) && answer == NULL)
		oms_refuse(&refusal);
	return answer;
}

/* ---- The calls ---- */

/* NULL is what a caller gives who has no document. */
static Placement *
begin_placement(Jsonb *document, FaultList *faults)
{
	Placement  *placement;

	oms_faults_init(faults);
	if (document == NULL)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give an object with external_ref and lines.", "document", "is null");
	oms_faults_raise(faults, "order is not valid");
	placement = oms_placement_of(document, faults);
	return placement;
}

static void
correct_status(Placement *placement)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(placement->order_id),
	CStringGetTextDatum(placement->fulfillment_status)};

	(void) oms_execute(&correct_status_plan, values, NULL);
}

/* Writes a planned order; false where its reference was taken meanwhile. */
static bool
write_order(Placement *placement)
{
	const char *expected_status = placement->fulfillment_status;

	if (!oms_placement_insert_order(placement))
		return false;
	oms_placement_reserve(placement);
	if (strcmp(expected_status, placement->fulfillment_status) != 0)
		correct_status(placement);
	oms_placements_write_parts(&placement, 1);
	oms_placement_insert_promises(placement);
	oms_placement_record_routing(placement, 1);
	return true;
}

/* The step draft to placed; its event will hold the answer. */
int
oms_placement_take_step(Placement *placement)
{
	StepObject	object = {.type = MACHINE_ORDER,.id = placement->order_id,.order_id = placement->order_id,
	.document = placement->source};

	placement->status = oms_machine_step(MACHINE_ORDER, oms_machine_initial(MACHINE_ORDER), "place", &object)->to_state;
	return oms_call->events->count - 1;
}

/* What follows once promises are written; the answer goes into the event, too. */
Jsonb *
oms_placement_complete(Placement *placement, int placed_event)
{
	Jsonb	   *result;

	oms_placement_add_payments(placement);
	/* Before anything is captured: a hold may forbid it. */
	if (placement->channel->looks_for_holds)
		placement->order_holds = oms_hold_new_order(oms_order_read(placement->order_id),
													placement->risk ? placement->risk->decision : NULL);
	if (placement->document->payments.count > 0)
	{
		oms_payment_capture(placement->order_id, "placing", true);
		/* Credit accounts have paid by now. */
		if (strcmp(placement->channel->capture, "placing") == 0)
			placement->payment_status = oms_order_read(placement->order_id)->payment_status;
	}
	if (strcmp(placement->payment_status, "overpaid") == 0)
		oms_payment_overpaid(placement->order_id, true);
	if (placement->channel->has_timeouts)
		oms_deadlines_set(placement->order_id, placement->channel->channel_id,
						  strcmp(placement->payment_status, "unpaid") == 0,
						  strcmp(placement->fulfillment_status, "backordered") == 0);
	result = oms_placement_answer(placement);
	oms_event_set_data(placed_event, result);
	return result;
}

/* NULL where the reference was taken meanwhile. */
static Jsonb *
place_new_order(Placement *placement)
{
	int			placed_event;

	oms_placement_promise(placement);
	placed_event = oms_placement_take_step(placement);
	return write_order(placement) ? oms_placement_complete(placement, placed_event) : NULL;
}

/* Places the order of a document, or writes it as a draft; the answer. */
Jsonb *
oms_order_place(Jsonb *document)
{
	FaultList	faults;
	Placement  *placement = begin_placement(document, &faults);
	int			events = oms_call->events->count;
	Jsonb	   *result;
	bool		possible = false;

	if (faults.count == 0)
		oms_placement_read(placement, &faults);
	if (faults.count == 0)
		possible = oms_placement_is_draft(placement) || oms_placement_plan(placement);

	/* A document that was placed once is answered even if it could not be today. */
	if (!possible && (result = answer_of_existing(placement, faults.count > 0)) != NULL)
		return result;
	oms_faults_raise(&faults, "order is not valid");
	if (!possible)
		oms_placement_refuse(placement);
	placement->order_id = oms_next_id(SEQUENCE_ORDER);
	oms_hold_note(placement->order_id, 0);
	result = oms_placement_is_draft(placement) ? oms_draft_write(placement) : place_new_order(placement);
	if (result == NULL)
	{
		oms_call->events->count = events;
		result = answer_of_existing(placement, false);
	}
	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("another transaction is placing the same order"),
				 errhint("Repeat the transaction.")));
	return result;
}

static Jsonb *
argument_document(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
}

/*
 * oms.place_order(doc jsonb, idempotency_key text) -> jsonb
 */
OMS_FUNCTION(oms_place_order, CALL_KEYED)
{
	oms_call->waits_for_orders = true;
	PG_RETURN_JSONB_P(oms_order_place(argument_document(fcinfo)));
}

/*
 * oms.preview_order(doc jsonb) -> jsonb
 */
OMS_FUNCTION(oms_preview_order, CALL_READ)
{
	FaultList	faults;
	Placement  *placement = begin_placement(argument_document(fcinfo), &faults);

	if (faults.count == 0)
		oms_placement_read(placement, &faults);
	oms_faults_raise(&faults, "order is not valid");
	if (oms_placement_is_draft(placement))
	{
		oms_draft_set_validity(placement);
		oms_draft_describe(placement);
		PG_RETURN_JSONB_P(oms_placement_answer(placement));
	}
	if (!oms_placement_plan(placement))
		oms_placement_refuse(placement);
	oms_payments_check_references(&placement->document->payments);
	oms_placement_promise(placement);
	oms_machine_ask(MACHINE_ORDER, oms_machine_initial(MACHINE_ORDER), "place",
					&(StepObject) {.type = MACHINE_ORDER,.document = placement->source});
	placement->status = oms_machine_target(MACHINE_ORDER, oms_machine_initial(MACHINE_ORDER), "place");
	PG_RETURN_JSONB_P(oms_placement_answer(placement));
}
