/*
 * payment.c
 *	  Payments and balances.
 *
 * Money moves outside; what is known of it are the events that the provider
 * reports.  They are append-only, one per (payment, type, reference), and every
 * balance is a sum over them.
 *
 * A payment with a credit account is executed here: the same events, written by
 * us when the account moves (credit.c).
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "call.h"
#include "clock.h"
#include "credit.h"
#include "event.h"
#include "hold.h"
#include "machine.h"
#include "money.h"
#include "order.h"
#include "payment.h"
#include "refund.h"
#include "reference_check.h"
#include "relation.h"

static const char *const status_choices[] = {"pending", "authorized", "captured", NULL};
static const char *const event_types[] = {
	"authorize", "capture", "void", "refund", "fail", "expire", "charge_back", "charge_back_reversed", "capture_failed",
	"void_failed", "refund_failed", NULL
};

static const DocField payment_fields[] = {
	{"method", DOC_CODE, offsetof(PaymentDocument, method), .required = true},
	{"amount", DOC_MONEY, offsetof(PaymentDocument, amount)},
	{"status", DOC_TEXT, offsetof(PaymentDocument, status), .choices = status_choices},
	{"reference", DOC_CODE, offsetof(PaymentDocument, reference)},
	{"currency", DOC_TEXT, offsetof(PaymentDocument, currency)},
	{"account", DOC_CODE, offsetof(PaymentDocument, account)},
	{"external_ref", DOC_CODE, offsetof(PaymentDocument, external_ref)},
	{"expires_at", DOC_TIME, offsetof(PaymentDocument, expires_at)},
	{"attributes", DOC_OBJECT, offsetof(PaymentDocument, attributes)},
};

const DocShape oms_payment_shape = DOC_SHAPE_OF(PaymentDocument, payment_fields, "a payment");

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {payments} (payment_id, order_id, added_at, tenant_id, status, currency, method, external_ref,"
	" attributes, account_id, expires_at) VALUES ($2, $3, $4, $1, $5, $6, $7, $8, $9, nullif($10, 0), $11)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, JSONBOID, INT8OID,
				 TIMESTAMPTZOID)
};

static OmsPlan event_plan = {
	.sql = "INSERT INTO {payment_events} (payment_id, order_id, at, recorded_at, tenant_id, type, reference, amount, event_no)"
	" SELECT $2, $3, $4, $5, $1, $6, $7, $8, count(*) + 1 FROM {payment_events} WHERE payment_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, NUMERICOID)
};

static OmsPlan known_event_plan = {
	.sql = "SELECT amount FROM {payment_events} WHERE payment_id = $2 AND type = $3 AND reference = $4 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, TEXTOID)
};

static OmsPlan order_of_plan = {
	.sql = "SELECT order_id, status, currency, coalesce(account_id, 0) FROM {payments} WHERE payment_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* An authorization's end, which another one only moves further away; null takes it away. */
static OmsPlan end_plan = {
	.sql = "UPDATE {payments} SET expires_at = $3 WHERE payment_id = $2 AND tenant_id = $1"
	" AND ($3 IS NULL OR expires_at IS NULL OR expires_at < $3)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

static OmsPlan step_plan = {
	.sql = "UPDATE {payments} SET status = $3 WHERE payment_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

static OmsPlan balance_plan = {
	.sql = "SELECT coalesce(sum(b.authorized), 0), coalesce(sum(b.captured), 0), coalesce(sum(b.refunded), 0),"
	" coalesce(sum(b.granted), 0), coalesce(sum(b.unmatched), 0), coalesce(sum(b.capturing), 0), coalesce(sum(b.voiding), 0),"
	" coalesce(sum(b.refunding), 0), (SELECT coalesce(sum(r.amount), 0) FROM {refunds} r"
	" WHERE r.order_id = $2 AND r.tenant_id = $1 AND r.status <> 'revoked'), coalesce(sum(b.charged_back), 0)"
	" FROM {payment_balances} b WHERE b.order_id = $2 AND b.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan payment_balance_plan = {
	.sql = "SELECT authorized, captured, refunded, granted, unmatched, capturing, voiding, refunding, 0::numeric, charged_back, status"
	" FROM {payment_balances} WHERE payment_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* Whether the payment has ended at any time: then an authorization after that may not be reported yet. */
static OmsPlan ended_plan = {
	.sql = "SELECT 1 FROM {payment_events} WHERE payment_id = $2 AND tenant_id = $1"
	" AND (type IN ('fail', 'expire') OR (type = 'void' AND amount = 0)) LIMIT 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/*
 * The commands that an answer is most likely about: one of its amount, else
 * the oldest, and the next ones with what is beyond it.
 */
static OmsPlan answer_plan = {
	.sql = "UPDATE {payment_commands} c SET answered = c.answered + q.share,"
	" status = CASE WHEN c.answered + q.share >= c.amount THEN 'done' ELSE 'open' END"
	" FROM (SELECT o.command_id, least(o.open, $4 - o.before) AS share FROM (SELECT k.command_id, k.amount - k.answered AS open,"
	" sum(k.amount - k.answered) OVER (ORDER BY (k.amount - k.answered <> $4), k.command_id) - k.amount + k.answered AS before"
	" FROM {payment_commands} k WHERE k.payment_id = $2 AND k.tenant_id = $1 AND k.status = 'open' AND k.type = $3) o"
	" WHERE o.before < $4) q WHERE c.command_id = q.command_id AND c.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, NUMERICOID)
};

/* What could not be carried out ends one command. */
static OmsPlan failed_plan = {
	.sql = "UPDATE {payment_commands} c SET status = 'failed' FROM (SELECT k.command_id FROM {payment_commands} k"
	" WHERE k.payment_id = $2 AND k.tenant_id = $1 AND k.status = 'open' AND k.type = $3"
	" ORDER BY (k.amount - k.answered <> $4), k.command_id LIMIT 1) q WHERE c.command_id = q.command_id AND c.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, NUMERICOID)
};

/* Commands that the end of a payment leaves nothing for. */
static OmsPlan abandon_plan = {
	.sql = "UPDATE {payment_commands} SET status = 'failed' WHERE payment_id = $2 AND tenant_id = $1 AND status = 'open'"
	" AND type IN ('capture', 'void')",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* Notes why a credit account cannot pay; what it has left is looked at again under its lock. */
static void
check_account(PaymentDocument *payment, const char *place, const char *currency, FaultList *faults)
{
	char	   *account_currency;
	Numeric		available;
	const char *refusal;

	place = psprintf("%s.account", place);
	payment->account_id = oms_credit_find(payment->account, &account_currency, &available, &refusal);
	if (payment->account_id == 0)
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.issue_credit opens an account.", place, "credit account \"%s\" is not known",
				  payment->account);
	else if (strcmp(account_currency, currency) != 0)
		oms_fault(faults, ERRCODE_OMS_MONEY, "Payments are in the currency of their order.", place,
				  "credit account \"%s\" has %s, the order %s", payment->account, account_currency, currency);
	else if (refusal != NULL)
		oms_fault(faults, ERRCODE_OMS_MONEY, "Use another payment.", place, "credit account \"%s\" %s", payment->account,
				  refusal);
	else if (payment->amount && oms_money_compare(payment->amount, available) > 0)
		oms_fault(faults, ERRCODE_OMS_MONEY, "Pay the rest with another payment.", place,
				  "at most %s is possible: \"%s\" has no more left", oms_money_text(available), payment->account);
	if (payment->status && strcmp(payment->status, "pending") == 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A credit account pays at once.", place,
				  "a payment from an account is not pending");
	if (!TIMESTAMP_NOT_FINITE(payment->expires_at))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "What an account holds does not end.", place,
				  "a payment from an account has no expires_at");
}

/* Notes what is wrong with a payment of an order in the given currency. */
void
oms_payment_check(PaymentDocument *payment, const char *place, const char *currency, FaultList *faults)
{
	int			digits = oms_currency_digits(currency);

	if (payment->currency && strcmp(payment->currency, currency) != 0)
		oms_fault(faults, ERRCODE_OMS_MONEY, "Payments are in the currency of their order.",
				  psprintf("%s.currency", place), "\"%s\" is not the currency of the order, which is %s",
				  payment->currency, currency);
	if (payment->amount && digits >= 0 && !oms_money_is_rounded(payment->amount, digits))
		oms_fault(faults, ERRCODE_OMS_MONEY, "Round amounts to the currency.", psprintf("%s.amount", place),
				  "%s has more decimals than %s", oms_money_text(payment->amount), currency);
	if (payment->account)
		check_account(payment, place, currency, faults);
	if (!TIMESTAMP_NOT_FINITE(payment->expires_at) && payment->status && strcmp(payment->status, "authorized") != 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Only what is authorized ends.", psprintf("%s.expires_at", place),
				  "a payment that is %s does not expire", payment->status);
}

/* Refuses references of the payments of a new order that belong to others. */
void
oms_payments_check_references(const DocArray *payments)
{
	ReferenceList references = {0};
	FaultList	faults;

	for (int i = 0; i < payments->count; i++)
	{
		char	   *reference = ((PaymentDocument *) payments->items)[i].external_ref;

		if (reference != NULL)
			oms_reference_add(&references, reference, oms_document_place("payments", i, "external_ref"), 0, NULL);
	}
	if (references.count == 0)
		return;
	oms_faults_init(&faults);
	oms_references_check("payment", &references, 0, &faults);
	oms_faults_raise(&faults, "order is not valid");
}

/* When an authorization ends: as said, else after the channel's period; DT_NOEND: never by itself. */
static TimestampTz
authorization_end(const Order *order, TimestampTz said, TimestampTz authorized_at)
{
	if (!TIMESTAMP_NOT_FINITE(said))
		return said;
	return order->channel->authorization_period > 0 ? authorized_at + order->channel->authorization_period : DT_NOEND;
}

static bool
insert_event(int64 payment_id, int64 order_id, TimestampTz at, const char *type, const char *reference,
			 Numeric amount)
{
	Datum		values[8];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(payment_id);
	values[2] = Int64GetDatum(order_id);
	values[3] = TimestampTzGetDatum(at);
	values[4] = TimestampTzGetDatum(oms_call->now);
	values[5] = CStringGetTextDatum(type);
	values[6] = CStringGetTextDatum(reference);
	values[7] = NumericGetDatum(amount);
	return oms_execute(&event_plan, values, NULL) == 1;
}

static Jsonb *
amount_document(const char *method, Numeric amount, const char *currency, const char *reference)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "method", method);
	oms_write_numeric(&writer, "amount", amount);
	oms_write_text(&writer, "currency", currency);
	oms_write_text(&writer, "reference", reference);
	return oms_write_finish(&writer);
}

/* Takes the payment's step for an event; the type of the event is the action. */
static const char *
take_step(int64 payment_id, int64 order_id, const char *status, const char *type, Jsonb *data)
{
	StepObject	object = {.type = MACHINE_PAYMENT,.id = payment_id,.order_id = order_id,.data = data};

	return oms_machine_step(MACHINE_PAYMENT, status, type, &object)->to_state;
}

/* Adds a checked payment to an order; returns its id. */
int64
oms_payment_add(int64 order_id, const PaymentDocument *payment, const char *currency, Numeric total)
{
	int64		payment_id = oms_next_id(SEQUENCE_PAYMENT);
	const char *status = oms_machine_initial(MACHINE_PAYMENT);
	Numeric		amount = payment->amount ? payment->amount : total;
	const char *wanted = payment->status ? payment->status : "authorized";
	const char *type = strcmp(wanted, "captured") == 0 ? "capture" : "authorize";
	bool		has_event = strcmp(wanted, "pending") != 0;
	Jsonb	   *data = amount_document(payment->method, amount, currency, payment->reference);
	TimestampTz end = strcmp(wanted, "authorized") == 0 && payment->account_id == 0
		? authorization_end(oms_order_read(order_id), payment->expires_at, oms_call->now) : DT_NOEND;
	Datum		values[11];
	char		nulls[12] = "           ";

	if (payment->account_id != 0)
		oms_credit_follow(payment->account_id, order_id, payment_id, type, amount, false);
	if (has_event)
		status = take_step(payment_id, order_id, status, type, data);
	else
		oms_event(&(Event) {.order_id = order_id,.object_id = payment_id,.object_type = "payment",
							.type = "payment.pending",.to_state = status,.data = data});
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(payment_id);
	values[2] = Int64GetDatum(order_id);
	values[3] = TimestampTzGetDatum(oms_call->now);
	values[4] = CStringGetTextDatum(status);
	values[5] = CStringGetTextDatum(currency);
	values[6] = CStringGetTextDatum(payment->method);
	values[7] = payment->external_ref ? CStringGetTextDatum(payment->external_ref) : (Datum) 0;
	nulls[7] = payment->external_ref ? ' ' : 'n';
	values[8] = JsonbPGetDatum(payment->attributes);
	nulls[8] = payment->attributes ? ' ' : 'n';
	values[9] = Int64GetDatum(payment->account_id);
	values[10] = TimestampTzGetDatum(end);
	nulls[10] = TIMESTAMP_IS_NOEND(end) ? 'n' : ' ';
	(void) oms_execute(&insert_plan, values, nulls);
	if (has_event)
		(void) insert_event(payment_id, order_id, oms_call->now, type,
							payment->reference ? payment->reference : "initial", amount);
	return payment_id;
}

void
oms_balance_clear(Balance *balance)
{
	Numeric    *amounts = (Numeric *) balance;

	for (int i = 0; i < sizeof(Balance) / sizeof(Numeric); i++)
		amounts[i] = oms_money_zero();
}

/* The columns of the statements stand in the order of the struct. */
static void
read_balance(TupleTableSlot *slot, void *state)
{
	Numeric    *amounts = state;

	for (int i = 0; i < sizeof(Balance) / sizeof(Numeric); i++)
		amounts[i] = oms_slot_numeric(slot, i + 1);
}

typedef struct PaymentBalance
{
	Balance		balance;
	const char *status;
} PaymentBalance;

static void
read_payment_balance(TupleTableSlot *slot, void *state)
{
	PaymentBalance *payment = state;

	read_balance(slot, &payment->balance);
	payment->status = oms_slot_text(slot, 11);
}

void
oms_balance_read(int64 order_id, Balance *balance)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	(void) oms_execute_each(&balance_plan, values, NULL, read_balance, balance);
}

/* What the customer has to pay in all: the total less what was granted back. */
Numeric
oms_balance_owed(Numeric total, const Balance *balance)
{
	Numeric		owed = oms_money_subtract(total, balance->granted);

	return oms_money_compare(owed, oms_money_zero()) < 0 ? oms_money_zero() : owed;
}

/* What the customer has yet to pay; negative where he paid more than he owes. */
Numeric
oms_balance_due(Numeric total, const Balance *balance)
{
	Numeric		net = oms_money_subtract(balance->captured, balance->refunded);

	return oms_money_subtract(oms_balance_owed(total, balance), net);
}

/* What is to be paid back and nobody has been asked for yet; never more than was captured. */
Numeric
oms_balance_excess(Numeric total, const Balance *balance)
{
	Numeric		excess = oms_money_subtract(oms_money_zero(), oms_balance_due(total, balance));

	excess = oms_money_subtract(excess, balance->refunding);
	return oms_money_compare(excess, oms_money_zero()) > 0 ? excess : oms_money_zero();
}

/* The first condition that holds decides; the reference publishes this table. */
const char *
oms_payment_status(Numeric total, const Balance *balance)
{
	Numeric		zero = oms_money_zero();
	Numeric		net = oms_money_subtract(balance->captured, balance->refunded);
	Numeric		owed = oms_balance_owed(total, balance);

	if (oms_money_compare(net, owed) > 0)
		return "overpaid";
	if (oms_money_compare(balance->refunded, zero) > 0)
		return oms_money_compare(net, zero) <= 0 ? "refunded" : "partially_refunded";
	if (oms_money_compare(balance->captured, owed) >= 0)
		return "paid";
	if (oms_money_compare(balance->captured, zero) > 0)
		return "partially_paid";
	if (oms_money_compare(balance->authorized, owed) >= 0)
		return "authorized";
	return "unpaid";
}

const char *
oms_payment_status_of(int64 order_id, Numeric total)
{
	Balance		balance;

	oms_balance_read(order_id, &balance);
	return oms_payment_status(total, &balance);
}

/* What the provider has been asked for and has not answered. */
static void
write_pending(DocWriter *writer, const Balance *balance)
{
	Numeric		sum = oms_money_add(oms_money_add(balance->capturing, balance->voiding), balance->refunding);

	if (oms_money_compare(sum, oms_money_zero()) == 0)
		return;
	oms_write_begin_object(writer, "pending");
	oms_write_numeric(writer, "capture", balance->capturing);
	oms_write_numeric(writer, "void", balance->voiding);
	oms_write_numeric(writer, "refund", balance->refunding);
	oms_write_end(writer);
}

/* The balance of an order, as oms.order_balance shows it. */
Jsonb *
oms_balance_document(int64 order_id)
{
	Order	   *order = oms_order_read(order_id);
	Balance		balance;
	Numeric		net;
	DocWriter	writer;

	oms_balance_read(order_id, &balance);
	net = oms_money_subtract(balance.captured, balance.refunded);
	oms_write_begin(&writer);
	oms_write_int64(&writer, "order_id", order_id);
	oms_write_text(&writer, "currency", order->currency);
	oms_write_text(&writer, "payment_status", order->payment_status);
	oms_write_numeric(&writer, "total", order->total);
	oms_write_numeric(&writer, "granted", balance.granted);
	oms_write_numeric(&writer, "authorized", balance.authorized);
	oms_write_numeric(&writer, "captured", balance.captured);
	oms_write_numeric(&writer, "refunded", balance.refunded);
	if (oms_money_compare(balance.charged_back, oms_money_zero()) > 0)
		oms_write_numeric(&writer, "charged_back", balance.charged_back);
	oms_write_numeric(&writer, "refundable", oms_money_subtract(net, balance.refunding));
	oms_write_numeric(&writer, "due", oms_balance_due(order->total, &balance));
	oms_write_numeric(&writer, "excess", oms_balance_excess(order->total, &balance));
	if (oms_money_compare(balance.unmatched, oms_money_zero()) > 0)
		oms_write_numeric(&writer, "unmatched", balance.unmatched);
	write_pending(&writer, &balance);
	return oms_write_finish(&writer);
}

/*
 * oms.order_balance(order_id bigint) -> jsonb
 */
OMS_FUNCTION(oms_order_balance, CALL_READ)
{
	PG_RETURN_JSONB_P(oms_balance_document(oms_argument_id(fcinfo, 0, "order_id")));
}

/*
 * oms.add_payment(order_id bigint, payment jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_add_payment, CALL_KEYED)
{
	Order	   *order = oms_order_lock(oms_argument_id(fcinfo, 0, "order_id"));
	PaymentDocument *payment = NULL;
	ReferenceList references = {0};
	FaultList	faults;
	int64		payment_id;

	oms_faults_init(&faults);
	if (PG_ARGISNULL(1))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an object with at least a method.", "payment", "is null");
	else
		payment = oms_document_read(PG_GETARG_JSONB_P(1), &oms_payment_shape, &faults);
	if (faults.count == 0)
		oms_payment_check(payment, "payment", order->currency, &faults);
	oms_faults_raise(&faults, "payment is not valid");
	oms_reference_add(&references, payment->external_ref, "payment.external_ref", 0, NULL);
	oms_references_check("payment", &references, 0, &faults);
	oms_faults_raise(&faults, "payment is not valid");
	payment_id = oms_payment_add(order->order_id, payment, order->currency, order->total);
	oms_order_refresh(order->order_id);
	oms_payment_capture(order->order_id, order->channel->capture, false);
	PG_RETURN_INT64(payment_id);
}

typedef struct PaymentRow
{
	int64		order_id;
	char	   *status;
	char	   *currency;
	int64		account_id;		/* 0: a provider outside pays */
} PaymentRow;

static void
read_payment(TupleTableSlot *slot, void *state)
{
	PaymentRow *row = state;

	row->order_id = oms_slot_int64(slot, 1);
	row->status = oms_slot_text(slot, 2);
	row->currency = oms_slot_text(slot, 3);
	row->account_id = oms_slot_int64(slot, 4);
}

static PaymentRow
get_payment(int64 payment_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(payment_id)};
	PaymentRow	row = {0};

	(void) oms_execute_each(&order_of_plan, values, NULL, read_payment, &row);
	if (row.order_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("payment " INT64_FORMAT " is not known", payment_id),
				 errdetail("payment_id: there is no payment " INT64_FORMAT, payment_id),
				 errhint("oms.get_order shows the payments of an order.")));
	return row;
}

static void
read_amount(TupleTableSlot *slot, void *state)
{
	*(Numeric *) state = oms_slot_numeric(slot, 1);
}

/* True where the event is recorded already; a different amount is a conflict. */
static bool
is_known(int64 payment_id, const char *type, const char *reference, Numeric amount)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(payment_id),
	CStringGetTextDatum(type), CStringGetTextDatum(reference)};
	Numeric		known = NULL;

	(void) oms_execute_each(&known_event_plan, values, NULL, read_amount, &known);
	if (known == NULL)
		return false;
	if (oms_money_compare(known, amount) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_IDEMPOTENCY),
				 errmsg("payment " INT64_FORMAT " has %s \"%s\" with another amount", payment_id, type, reference),
				 errdetail("Recorded is %s, sent was %s.", oms_money_text(known), oms_money_text(amount)),
				 errhint("Each event of the provider has a reference of its own.")));
	return true;
}

static void
refuse_amount(int64 payment_id, const char *type, Numeric amount, const char *what, Numeric limit)
{
	ereport(ERROR,
			(errcode(ERRCODE_OMS_MONEY),
			 errmsg("%s of %s is more than payment " INT64_FORMAT " has %s", type, oms_money_text(amount),
					payment_id, what),
			 errdetail("amount: at most %s is possible", oms_money_text(limit)),
			 errhint("oms.order_balance shows the amounts.")));
}

static void
note_any(TupleTableSlot *slot, void *state)
{
	*(bool *) state = true;
}

/*
 * An event may not take more than can ever have been there, as far as that is
 * known: events may be reported in any order.  Nothing authorized yet is no
 * limit, nor is an authorization that has ended, for there may be another; a
 * refund may come before its capture, so the greater of captured and
 * authorized limits it.  What a refund exceeds its captures by is shown as
 * unmatched and counts nowhere until they arrive.
 *
 * A capture or void that the provider dates may come before one of several
 * authorizations that it uses; only without a time is it held to those known.
 */
static void
check_amount(int64 payment_id, const char *type, Numeric amount, const Balance *balance, bool dated)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(payment_id)};
	Numeric		limit;
	bool		ended = false;

	if (strcmp(type, "refund") == 0)
	{
		limit = oms_money_compare(balance->ever_authorized, balance->captured) > 0 ? balance->ever_authorized
			: balance->captured;
		limit = oms_money_subtract(limit, oms_money_subtract(oms_money_add(balance->refunded, balance->unmatched),
															 balance->charged_back));
		if (oms_money_compare(balance->ever_authorized, oms_money_zero()) > 0 && oms_money_compare(amount, limit) > 0)
			refuse_amount(payment_id, type, amount, "captured", limit);
		return;
	}
	if (dated || (strcmp(type, "capture") != 0 && strcmp(type, "void") != 0) ||
		oms_money_compare(balance->ever_authorized, oms_money_zero()) == 0)
		return;
	(void) oms_execute_each(&ended_plan, values, NULL, note_any, &ended);
	if (!ended && oms_money_compare(amount, balance->authorized) > 0)
		refuse_amount(payment_id, type, amount, "authorized", balance->authorized);
}

static void
check_event_arguments(const char *type, Numeric amount, const char *currency)
{
	FaultList	faults;
	bool		known = false;

	oms_faults_init(&faults);
	for (const char *const *choice = event_types; *choice; choice++)
		known |= strcmp(*choice, type) == 0;
	if (!known)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT,
				  "Types are authorize, capture, void, refund, fail, expire, charge_back, charge_back_reversed,"
				  " capture_failed, void_failed and refund_failed.",
				  "type", "\"%s\" is not a type of payment event", type);
	if (numeric_is_nan(amount) || numeric_is_inf(amount) || oms_money_compare(amount, oms_money_zero()) < 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Amounts are zero or more.", "amount", "must not be negative");
	else if (!oms_money_is_rounded(amount, oms_currency_digits(currency)))
		oms_fault(&faults, ERRCODE_OMS_MONEY, "Round amounts to the currency.", "amount",
				  "%s has more decimals than %s", oms_money_text(amount), currency);
	oms_faults_raise(&faults, "payment event is not valid");
}

static void
write_status(int64 payment_id, const char *status)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(payment_id),
	CStringGetTextDatum(status)};

	(void) oms_execute(&step_plan, values, NULL);
}

/* Notes at the commands that the provider was given what he answers. */
static void
answer_commands(int64 payment_id, const char *type, Numeric amount)
{
	const char *failed = strstr(type, "_failed");
	char	   *command = pnstrdup(type, failed ? failed - type : strlen(type));
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(payment_id), CStringGetTextDatum(command),
	NumericGetDatum(amount)};

	(void) oms_execute(failed ? &failed_plan : &answer_plan, values, NULL);
}

/*
 * What leaves a payment nothing to capture ends what it was asked for, unless it
 * has been authorized again since: news of an end may come late.
 */
static void
abandon_commands(int64 payment_id, const char *type, const PaymentBalance *after)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(payment_id)};
	bool		ends = strcmp(type, "fail") == 0 || strcmp(type, "expire") == 0 || strcmp(type, "void") == 0;

	if (ends && oms_money_compare(after->balance.authorized, oms_money_zero()) <= 0)
		(void) oms_execute(&abandon_plan, values, NULL);
}

/*
 * Records an event of a payment whose order is locked.  The status follows from
 * all events together: where the machine has that very step it is taken, with
 * its guard and hook; news that came late only leave an event.
 */
static void
record(int64 payment_id, const PaymentRow *payment, const char *type, Numeric amount, const char *reference, TimestampTz at,
	   bool dated)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(payment_id)};
	Jsonb	   *data = amount_document(NULL, amount, payment->currency, reference);
	PaymentBalance after;

	(void) oms_execute_each(&payment_balance_plan, values, NULL, read_payment_balance, &after);
	check_amount(payment_id, type, amount, &after.balance, dated);
	(void) insert_event(payment_id, payment->order_id, at, type, reference, amount);
	answer_commands(payment_id, type, amount);
	(void) oms_execute_each(&payment_balance_plan, values, NULL, read_payment_balance, &after);
	abandon_commands(payment_id, type, &after);
	if (oms_machine_leads(MACHINE_PAYMENT, payment->status, type, after.status))
		(void) take_step(payment_id, payment->order_id, payment->status, type, data);
	else
		oms_event(&(Event) {.order_id = payment->order_id,.object_id = payment_id,.object_type = MACHINE_PAYMENT,
							.type = psprintf("payment.%s", type),.action = type,.from_state = payment->status,
							.to_state = after.status,.data = data});
	if (strcmp(after.status, payment->status) != 0)
		write_status(payment_id, after.status);
	oms_refund_follow(payment->order_id);
	oms_order_refresh(payment->order_id);
	if (strcmp(type, "authorize") == 0)
		oms_payment_capture(payment->order_id, oms_order_read(payment->order_id)->channel->capture, false);
	if (strcmp(type, "charge_back") == 0)
		oms_hold_charged_back(oms_order_read(payment->order_id), reference);
}

static void
write_end(int64 payment_id, TimestampTz end)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(payment_id), TimestampTzGetDatum(end)};

	(void) oms_execute(&end_plan, values, TIMESTAMP_IS_NOEND(end) ? "  n" : NULL);
}

/* The time of a locked order's authorization is over: what is left of it ended at that date, whenever somebody looks. */
void
oms_payment_expire(int64 payment_id, TimestampTz end)
{
	PaymentRow	payment = get_payment(payment_id);
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(payment_id)};
	PaymentBalance before;

	write_end(payment_id, DT_NOEND);
	(void) oms_execute_each(&payment_balance_plan, values, NULL, read_payment_balance, &before);
	if (oms_money_compare(before.balance.authorized, oms_money_zero()) <= 0)
		return;
	record(payment_id, &payment, "expire", oms_money_zero(),
		   psprintf("end of the authorization " INT64_FORMAT, (int64) timestamptz_to_time_t(end)), end, true);
}

/* Executes a command of a payment that a credit account pays; its order is locked. */
void
oms_payment_execute(int64 payment_id, const char *type, Numeric amount, const char *reference)
{
	PaymentRow	payment = get_payment(payment_id);

	oms_credit_follow(payment.account_id, payment.order_id, payment_id, type, amount, true);
	record(payment_id, &payment, type, amount, reference, oms_call->now, false);
}

/* What a payment of a locked order has captured goes elsewhere, and not back to where it came from. */
void
oms_payment_move_out(int64 payment_id, Numeric amount, const char *reference)
{
	PaymentRow	payment = get_payment(payment_id);

	record(payment_id, &payment, "transfer", amount, reference, oms_call->now, false);
}

/*
 * oms.record_payment_event(payment_id, type, amount, reference, at, expires_at, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_record_payment_event, CALL_KEYED)
{
	int64		payment_id = oms_argument_id(fcinfo, 0, "payment_id");
	char	   *type = oms_argument_required(fcinfo, 1, "type");
	char	   *reference = oms_argument_required(fcinfo, 3, "reference");
	PaymentRow	payment = get_payment(payment_id);
	TimestampTz at = PG_ARGISNULL(4) ? oms_call->now : PG_GETARG_TIMESTAMPTZ(4);
	TimestampTz end = DT_NOEND;
	Order	   *order;
	Numeric		amount;

	if (PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("argument amount is required"),
				 errdetail("amount: is null"),
				 errhint("Give 0 for an event that moves no money.")));
	amount = PG_GETARG_NUMERIC(2);
	check_event_arguments(type, amount, payment.currency);
	if (!PG_ARGISNULL(5) && strcmp(type, "authorize") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("payment event is not valid"),
				 errdetail("expires_at: is for events of type authorize, not %s", type),
				 errhint("Leave it out.")));
	order = oms_order_lock(payment.order_id);
	payment = get_payment(payment_id);	/* as it is now that nobody else can change it */
	if (payment.account_id != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("payment " INT64_FORMAT " is paid by a credit account: nothing is reported of it", payment_id),
				 errdetail("payment_id: the database itself executes what is asked of it"),
				 errhint("oms.request_capture, oms.request_void and oms.request_refund move its money.")));
	if (!is_known(payment_id, type, reference, amount))
	{
		if (strcmp(type, "authorize") == 0)
			end = authorization_end(order, PG_ARGISNULL(5) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(5), at);
		if (!TIMESTAMP_IS_NOEND(end))
			write_end(payment_id, end);
		record(payment_id, &payment, type, amount, reference, at, !PG_ARGISNULL(4));
	}
	PG_RETURN_JSONB_P(oms_balance_document(payment.order_id));
}
