/*
 * refund.c
 *	  Refunds: granted, and apart from that executed.
 *
 * A grant says that the customer owes less: payment_status and due compare
 * money with the total minus the grants.  It moves no money.  That is done by
 * the payments' refunds, which the provider reports.
 *
 * A grant is not limited by what was captured: who returns goods before paying
 * for them owes less too.  It is limited by what the customer owes in all, so
 * grants never exceed the total.  What was captured beyond that needs no grant
 * to be given back.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "hold.h"
#include "machine.h"
#include "money.h"
#include "order.h"
#include "payment.h"
#include "refund.h"
#include "relation.h"

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {refunds} (refund_id, order_id, return_id, granted_at, tenant_id, amount, status, reason)"
	" VALUES ($2, $3, nullif($4, 0), $5, $1, $6, $7, $8)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, NUMERICOID, TEXTOID, TEXTOID)
};

static OmsPlan read_plan = {
	.sql = "SELECT refund_id, order_id, amount, status FROM {refunds} WHERE refund_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan step_plan = {
	.sql = "UPDATE {refunds} SET status = $3 WHERE refund_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

/* The oldest grant is executed first: how far each is follows from what was paid back and asked for in all. */
static OmsPlan follow_plan = {
	.sql = "SELECT refund_id, order_id, amount, status, CASE WHEN until <= paid THEN 'executed'"
	" WHEN until - amount < paid THEN 'partially_executed' WHEN until - amount < asked THEN 'requested' ELSE 'granted' END"
	" FROM (SELECT r.refund_id, r.order_id, r.amount, r.status, sum(r.amount) OVER (ORDER BY r.refund_id) AS until,"
	" b.paid, b.asked FROM {refunds} r CROSS JOIN (SELECT coalesce(sum(refunded), 0) AS paid,"
	" coalesce(sum(refunded + refunding), 0) AS asked FROM {payment_balances} WHERE order_id = $2 AND tenant_id = $1) b"
	" WHERE r.order_id = $2 AND r.tenant_id = $1 AND r.status <> 'revoked') x ORDER BY refund_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* What was granted by hand on an order, and the limits that bear on another such grant. */
static OmsPlan granted_plan = {
	.sql = "SELECT coalesce(sum(amount), 0) FROM {refunds} WHERE order_id = $2 AND tenant_id = $1 AND return_id IS NULL"
	" AND status <> 'revoked'",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan limits_plan = {
	.sql = "SELECT role_name, amount, reason IN ('', $3) FROM {refund_limits} WHERE tenant_id = $1 AND currency = $2",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID, TEXTOID)
};

typedef struct Refund
{
	int64		refund_id;
	int64		order_id;
	Numeric		amount;
	char	   *status;
} Refund;

static void
read_refund(TupleTableSlot *slot, void *state)
{
	Refund	   *refund = state;

	refund->refund_id = oms_slot_int64(slot, 1);
	refund->order_id = oms_slot_int64(slot, 2);
	refund->amount = oms_slot_numeric(slot, 3);
	refund->status = oms_slot_text(slot, 4);
}

static Refund
get_refund(int64 refund_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(refund_id)};
	Refund		refund = {0};

	(void) oms_execute_each(&read_plan, values, NULL, read_refund, &refund);
	if (refund.refund_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("refund " INT64_FORMAT " is not known", refund_id),
				 errdetail("refund_id: there is no refund " INT64_FORMAT, refund_id),
				 errhint("oms.get_order shows the refunds of an order.")));
	return refund;
}

static Jsonb *
grant_document(Numeric amount, const char *currency, int64 return_id)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_numeric(&writer, "amount", amount);
	oms_write_text(&writer, "currency", currency);
	if (return_id != 0)
		oms_write_int64(&writer, "return_id", return_id);
	return oms_write_finish(&writer);
}

/* An amount to give back is more than nothing and has no part finer than the currency. */
static void
check_grant(Order *order, Numeric amount)
{
	Balance		balance;
	Numeric		owed;
	FaultList	faults;

	oms_faults_init(&faults);
	if (numeric_is_nan(amount) || numeric_is_inf(amount) || oms_money_compare(amount, oms_money_zero()) <= 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "A refund is more than nothing.", "amount", "must be above zero");
	else if (!oms_money_is_rounded(amount, oms_currency_digits(order->currency)))
		oms_fault(&faults, ERRCODE_OMS_MONEY, "Round amounts to the currency.", "amount",
				  "%s has more decimals than %s", oms_money_text(amount), order->currency);
	oms_faults_raise(&faults, "refund is not valid");
	oms_balance_read(order->order_id, &balance);
	owed = oms_balance_owed(order->total, &balance);
	if (oms_money_compare(amount, owed) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_MONEY),
				 errmsg("refund of %s is more than is left of order " INT64_FORMAT, oms_money_text(amount),
						order->order_id),
				 errdetail("amount: at most %s is possible: the total is %s, granted already is %s",
						   oms_money_text(owed), oms_money_text(order->total), oms_money_text(balance.granted)),
				 errhint("Money above the total is given back without a grant.")));
}

/* See refund.h. */
int64
oms_refund_grant(Order *order, Numeric amount, const char *reason, int64 return_id)
{
	int64		refund_id;
	const char *status = oms_machine_initial(MACHINE_REFUND);
	Datum		values[8];
	char		nulls[9] = "        ";

	check_grant(order, amount);
	refund_id = oms_next_id(SEQUENCE_REFUND);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(refund_id);
	values[2] = Int64GetDatum(order->order_id);
	values[3] = Int64GetDatum(return_id);
	values[4] = TimestampTzGetDatum(oms_call->now);
	values[5] = NumericGetDatum(amount);
	values[6] = CStringGetTextDatum(status);
	values[7] = oms_text_or_null(reason, &nulls[7]);
	(void) oms_execute(&insert_plan, values, nulls);
	oms_event(&(Event) {.order_id = order->order_id,.object_id = refund_id,.object_type = "refund",
						.type = "refund.granted",.action = "grant",.to_state = status,.reason = reason,
						.data = grant_document(amount, order->currency, return_id)});
	return refund_id;
}

static void
take_step(const Refund *refund, const char *action, const char *reason)
{
	StepObject	object = {.type = MACHINE_REFUND,.id = refund->refund_id,.order_id = refund->order_id,
	.reason = reason};
	const Transition *transition = oms_machine_step(MACHINE_REFUND, refund->status, action, &object);
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(refund->refund_id),
	CStringGetTextDatum(transition->to_state)};

	(void) oms_execute(&step_plan, values, NULL);
}

typedef struct Follow
{
	Refund		refund;
	char	   *status;
} Follow;

static void
read_follow(TupleTableSlot *slot, void *state)
{
	Follow	   *follow = palloc(sizeof(Follow));

	read_refund(slot, &follow->refund);
	follow->status = oms_slot_text(slot, 5);
	*(List **) state = lappend(*(List **) state, follow);
}

/* See refund.h. */
void
oms_refund_follow(int64 order_id)
{
	static const struct
	{
		const char *status;
		const char *action;
	}			actions[] = {
		{"executed", "execute"}, {"partially_executed", "execute_part"}, {"requested", "request"}, {"granted", "fail"}
	};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};
	List	   *list = NIL;
	ListCell   *cell;

	(void) oms_execute_each(&follow_plan, values, NULL, read_follow, &list);
	foreach(cell, list)
	{
		Follow	   *follow = lfirst(cell);

		if (strcmp(follow->status, follow->refund.status) == 0)
			continue;
		for (int i = 0; i < lengthof(actions); i++)
			if (strcmp(actions[i].status, follow->status) == 0)
				take_step(&follow->refund, actions[i].action, NULL);
	}
}

/* See refund.h. */
void
oms_refund_revoke(Order *order, int64 refund_id, const char *reason)
{
	Refund		refund = get_refund(refund_id);

	Assert(refund.order_id == order->order_id);
	take_step(&refund, "revoke", reason);
}

/* The greatest limit of the roles that the caller belongs to. */
typedef struct GrantLimit
{
	bool		any;			/* some role has a limit in the currency */
	Numeric		amount;			/* NULL: no role of the caller has one */
} GrantLimit;

static void
read_limit(TupleTableSlot *slot, void *state)
{
	GrantLimit *limit = state;
	Numeric		amount = oms_slot_numeric(slot, 2);

	limit->any = true;
	if (oms_slot_bool(slot, 3) && oms_call_has_role(oms_slot_text(slot, 1)) &&
		(limit->amount == NULL || oms_money_compare(amount, limit->amount) > 0))
		limit->amount = amount;
}

static void
read_amount(TupleTableSlot *slot, void *state)
{
	*(Numeric *) state = oms_slot_numeric(slot, 1);
}

/* Refuses what the caller may not grant by hand; returns have rules of their own. */
static void
check_limit(const Order *order, Numeric amount, const char *reason)
{
	GrantLimit	limit = {0};
	Numeric		granted = oms_money_zero();
	Numeric		left;
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), CStringGetTextDatum(order->currency),
	CStringGetTextDatum(reason ? reason : "")};

	(void) oms_execute_each(&limits_plan, values, NULL, read_limit, &limit);
	if (!limit.any || superuser_arg(oms_call->user))
		return;
	values[1] = Int64GetDatum(order->order_id);
	(void) oms_execute_each(&granted_plan, values, NULL, read_amount, &granted);
	left = oms_money_subtract(limit.amount ? limit.amount : oms_money_zero(), granted);
	if (oms_money_compare(amount, left) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_NOT_PERMITTED),
				 errmsg("refund of %s is more than %s may grant", oms_money_text(amount), GetUserNameFromId(oms_call->user, false)),
				 errdetail("amount: the limit of its roles on one order is %s %s, granted by hand already is %s",
						   limit.amount ? oms_money_text(limit.amount) : "0", order->currency, oms_money_text(granted)),
				 errhint("oms.refund_limits has the limits; somebody with a higher one may grant it.")));
}

/*
 * oms.grant_refund(order_id bigint, amount numeric, reason text, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_grant_refund, CALL_KEYED)
{
	Order	   *order = oms_order_lock(oms_argument_id(fcinfo, 0, "order_id"));
	int64		refund_id;

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("argument amount is required"),
				 errdetail("amount: is null"),
				 errhint("Give the amount that the customer owes less.")));
	oms_hold_check(order->order_id, "refund.grant", 0, NULL, 0);
	check_limit(order, PG_GETARG_NUMERIC(1), oms_argument_text(fcinfo, 2));
	refund_id = oms_refund_grant(order, PG_GETARG_NUMERIC(1), oms_argument_text(fcinfo, 2), 0);
	oms_refund_follow(order->order_id);
	oms_order_refresh(order->order_id);
	PG_RETURN_INT64(refund_id);
}

/*
 * oms.revoke_refund(refund_id bigint, reason text, idempotency_key text) -> jsonb
 */
OMS_FUNCTION(oms_revoke_refund, CALL_KEYED)
{
	int64		refund_id = oms_argument_id(fcinfo, 0, "refund_id");
	Order	   *order = oms_order_lock(get_refund(refund_id).order_id);

	oms_refund_revoke(order, refund_id, oms_argument_text(fcinfo, 1));
	oms_order_refresh(order->order_id);
	PG_RETURN_JSONB_P(oms_balance_document(order->order_id));
}
