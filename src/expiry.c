/*
 * expiry.c
 *	  Orders that wait for something only so long.
 *
 * A deadline is written when the order is placed, for channels that set one.
 * Nothing takes it back: when it is due, the job looks under the order's lock
 * whether the order still waits.  So a payment that comes at the last moment
 * meets the order either before or after its end, never between.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "expiry.h"
#include "hold.h"
#include "kit.h"
#include "machine.h"
#include "order.h"
#include "payment.h"
#include "relation.h"

/* Deadlines that one run looks at where nothing else is said. */
#define EXPIRE_BATCH 1000

/* What could not be ended, because a hold or a guard forbids it, is tried again then. */
#define RETRY_AFTER (15 * USECS_PER_MINUTE)

static OmsPlan set_all_plan = {
	.sql = "INSERT INTO {order_deadlines} (order_id, due_at, tenant_id, kind)"
	" SELECT $2, $3 + k.period, $1, k.kind FROM {channels} c CROSS JOIN LATERAL (VALUES"
	" ('payment', CASE WHEN $5 THEN c.payment_timeout END),"
	" ('confirmation', CASE WHEN c.confirmation = 'required' THEN c.confirmation_timeout END),"
	" ('backorder', CASE WHEN $6 THEN c.backorder_timeout END)) k(kind, period)"
	" WHERE c.channel_id = $4 AND c.tenant_id = $1 AND k.period IS NOT NULL",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID, INT8OID, BOOLOID, BOOLOID)
};

static OmsPlan delete_plan = {
	.sql = "DELETE FROM {order_deadlines} WHERE order_id = $2 AND kind = $3 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

static OmsPlan set_plan = {
	.sql = "INSERT INTO {order_deadlines} (order_id, due_at, tenant_id, kind) VALUES ($2, $4, $1, $3)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, TIMESTAMPTZOID)
};

static OmsPlan due_plan = {
	.sql = "SELECT order_id, kind FROM {order_deadlines} WHERE due_at <= $2 AND tenant_id = $1"
	" ORDER BY due_at LIMIT $3",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, INT8OID)
};

static OmsPlan due_payments_plan = {
	.sql = "SELECT p.payment_id, p.order_id, p.expires_at FROM {payments} p WHERE p.expires_at <= $2 AND p.tenant_id = $1"
	" ORDER BY p.expires_at LIMIT $3",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, INT8OID)
};

static OmsPlan payment_plan = {
	.sql = "SELECT p.payment_id, p.order_id, p.expires_at FROM {payments} p WHERE p.payment_id = $2 AND p.expires_at <= $3"
	" AND p.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

/* Writes the deadlines of an order that has just been placed. */
void
oms_deadlines_set(int64 order_id, int64 channel_id, bool unpaid, bool backordered)
{
	Datum		values[6] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id),
		TimestampTzGetDatum(oms_call->now), Int64GetDatum(channel_id), BoolGetDatum(unpaid),
	BoolGetDatum(backordered)};

	(void) oms_execute(&set_all_plan, values, NULL);
}

static bool
drop_deadline(int64 order_id, const char *kind)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id), CStringGetTextDatum(kind)};

	return oms_execute(&delete_plan, values, NULL) == 1;
}

/* Sets or moves one deadline of a locked order; DT_NOEND: it has none any more. */
void
oms_deadline_set(int64 order_id, const char *kind, TimestampTz due_at)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id), CStringGetTextDatum(kind),
	TimestampTzGetDatum(due_at)};

	(void) drop_deadline(order_id, kind);
	if (!TIMESTAMP_IS_NOEND(due_at))
		(void) oms_execute(&set_plan, values, NULL);
}

typedef struct Deadline
{
	int64		order_id;
	char	   *kind;
	Order	   *order;			/* once locked */
} Deadline;

static void
collect_deadline(TupleTableSlot *slot, void *state)
{
	List	  **list = state;
	Deadline   *row = palloc0(sizeof(Deadline));

	row->order_id = oms_slot_int64(slot, 1);
	row->kind = oms_slot_text(slot, 2);
	*list = lappend(*list, row);
}

static int
compare_deadlines(const ListCell *left, const ListCell *right)
{
	const Deadline *a = lfirst(left);
	const Deadline *b = lfirst(right);

	return oms_compare_int64(&a->order_id, &b->order_id);
}

/* The units of an order that nobody has, as cancelling takes them; NULL: none. */
static Jsonb *
backordered_units(int64 order_id)
{
	OrderLines *lines = oms_order_lines(order_id);
	DocWriter	writer = {0};
	int			count = 0;

	oms_write_begin_array(&writer, NULL);
	for (int i = 0; i < lines->count; i++)
	{
		if (lines->rows[i].backordered == 0)
			continue;
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "line_no", lines->rows[i].line_no);
		oms_write_int64(&writer, "quantity", lines->rows[i].backordered);
		oms_write_end(&writer);
		count++;
	}
	oms_write_end_array(&writer);
	return count > 0 ? JsonbValueToJsonb(writer.result) : NULL;
}

/* Whether the order still waits for what the deadline is about. */
static bool
still_waits(const Deadline *deadline)
{
	const Order *order = deadline->order;

	if (strcmp(deadline->kind, "backorder") == 0)
		return !oms_machine_final(MACHINE_ORDER, order->status) && strcmp(order->status, "draft") != 0;
	if (!oms_machine_allows(MACHINE_ORDER, order->status, "expire"))
		return false;
	if (strcmp(deadline->kind, "payment") == 0)
		return strcmp(order->payment_status, "unpaid") == 0;
	if (strcmp(deadline->kind, "confirmation") == 0)
		return strcmp(order->status, "placed") == 0;
	return strcmp(order->status, "draft") == 0;
}

static const char *
reason_of(const char *kind)
{
	if (strcmp(kind, "payment") == 0)
		return "not paid in time";
	if (strcmp(kind, "confirmation") == 0)
		return "not confirmed in time";
	return strcmp(kind, "backorder") == 0 ? "not filled in time" : "no longer valid";
}

static void
end_order(void *state)
{
	Deadline   *deadline = state;
	Order	   *order = deadline->order;
	bool		backorder = strcmp(deadline->kind, "backorder") == 0;
	Jsonb	   *units = backorder ? backordered_units(order->order_id) : NULL;
	const char *action = oms_machine_allows(MACHINE_ORDER, order->status, "expire") ? "expire" : "cancel";
	List	   *broken = backorder ? oms_kits_broken(order->order_id) : NIL;

	if (!backorder || units != NULL)
	{
		oms_hold_check(order->order_id, "order.expire", 0, NULL, 0);
		oms_order_cancel(order, units, action, reason_of(deadline->kind));
	}
	if (!backorder)
		return;
	oms_kits_check(order->order_id, broken);
	/* What is left of it may have been delivered before: then that ends it. */
	if (oms_machine_final(MACHINE_ORDER, oms_order_read(order->order_id)->status))
		oms_payment_void_all(order->order_id);
}

/* True where the order was cancelled, or cut by what nobody has. */
static bool
look_at(void *due)
{
	Deadline   *deadline = due;
	char	   *error;

	deadline->order = oms_order_lock_free(deadline->order_id);
	if (deadline->order == NULL || !drop_deadline(deadline->order_id, deadline->kind))
		return false;
	if (!still_waits(deadline) ||
		(strcmp(deadline->kind, "backorder") == 0 && backordered_units(deadline->order_id) == NULL))
		return false;
	error = oms_attempt_run(end_order, deadline);
	if (error == NULL)
		return true;
	oms_event(&(Event) {.order_id = deadline->order_id,.object_id = deadline->order_id,.object_type = "order",
						.type = "order.expiry_failed",.reason = error});
	oms_deadline_set(deadline->order_id, deadline->kind, oms_call->now + RETRY_AFTER);
	return false;
}

/*
 * What both jobs do: read what is due, the most overdue first, go through it in
 * the order in which orders are locked, and count what has ended.
 */
static int
end_due(FunctionCallInfo fcinfo, OmsPlan *plan, OmsRowCallback collect, list_sort_comparator compare, bool (*end) (void *due))
{
	int32		max_count = PG_ARGISNULL(0) ? EXPIRE_BATCH : PG_GETARG_INT32(0);
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), TimestampTzGetDatum(oms_call->now),
	Int64GetDatum(max_count)};
	List	   *list = NIL;
	ListCell   *cell;
	int			ended = 0;

	oms_argument_positive(max_count, "max_count");
	(void) oms_execute_each(plan, values, NULL, collect, &list);
	list_sort(list, compare);
	foreach(cell, list)
	{
		CHECK_FOR_INTERRUPTS();
		ended += end(lfirst(cell));
	}
	return ended;
}

/*
 * oms.expire_orders(max_count integer, idempotency_key text) -> integer
 *
 * An order that another transaction has locked waits for the next run.
 */
OMS_FUNCTION(oms_expire_orders, CALL_KEYED)
{
	PG_RETURN_INT32(end_due(fcinfo, &due_plan, collect_deadline, compare_deadlines, look_at));
}

/* ---- Authorizations ---- */

typedef struct EndedPayment
{
	int64		payment_id;
	int64		order_id;
	TimestampTz end;
} EndedPayment;

static void
read_ended(TupleTableSlot *slot, void *state)
{
	EndedPayment *row = state;
	bool		isnull;

	row->payment_id = oms_slot_int64(slot, 1);
	row->order_id = oms_slot_int64(slot, 2);
	row->end = DatumGetTimestampTz(oms_slot_datum(slot, 3, &isnull));
}

static void
collect_ended(TupleTableSlot *slot, void *state)
{
	EndedPayment *row = palloc(sizeof(EndedPayment));

	read_ended(slot, row);
	*(List **) state = lappend(*(List **) state, row);
}

static int
compare_ended(const ListCell *left, const ListCell *right)
{
	const EndedPayment *a = lfirst(left);
	const EndedPayment *b = lfirst(right);

	return a->order_id != b->order_id ? oms_compare_int64(&a->order_id, &b->order_id)
		: oms_compare_int64(&a->payment_id, &b->payment_id);
}

/* True where the authorization was still due once its order was locked. */
static bool
end_payment(void *due)
{
	const EndedPayment *ended = due;
	EndedPayment now = {0};
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(ended->payment_id),
	TimestampTzGetDatum(oms_call->now)};

	if (oms_order_lock_free(ended->order_id) == NULL)
		return false;
	(void) oms_execute_each(&payment_plan, values, NULL, read_ended, &now);
	if (now.payment_id == 0)
		return false;
	oms_payment_expire(now.payment_id, now.end);
	return true;
}

/*
 * oms.expire_payments(max_count integer, idempotency_key text) -> integer
 *
 * An order that another transaction has locked waits for the next run.
 */
OMS_FUNCTION(oms_expire_payments, CALL_KEYED)
{
	PG_RETURN_INT32(end_due(fcinfo, &due_payments_plan, collect_ended, compare_ended, end_payment));
}
