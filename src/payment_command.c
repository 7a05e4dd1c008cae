/*
 * payment_command.c
 *	  What the payment provider is asked to do.
 *
 * A command is a row and an event; the provider lives outside and answers with
 * oms.record_payment_event.  Until then its amount is pending, so that nothing
 * is asked for twice.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/numeric.h"

#include "call.h"
#include "credit.h"
#include "document.h"
#include "event.h"
#include "hold.h"
#include "money.h"
#include "order.h"
#include "payment.h"
#include "refund.h"
#include "relation.h"

static OmsPlan payments_plan = {
	.sql = "SELECT b.payment_id, b.method, b.authorized - b.capturing - b.voiding, b.captured - b.refunded - b.refunding,"
	" coalesce(b.account_id, 0) FROM {payment_balances} b WHERE b.order_id = $2 AND b.tenant_id = $1 ORDER BY b.payment_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {payment_commands} (payment_id, order_id, requested_at, tenant_id, type, amount)"
	" VALUES ($2, $3, $4, $1, $5, $6) RETURNING command_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, NUMERICOID)
};

static OmsPlan order_of_plan = {
	.sql = "SELECT order_id FROM {payments} WHERE payment_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan rule_plan = {
	.sql = "SELECT refund_order FROM {channels} WHERE channel_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/*
 * What the units that have reached a stage are worth: their share of items,
 * discounts and taxes, and shipping and fees with the first of them.  When all
 * units are there it is the total, so parts add up whatever was rounded.
 */
static OmsPlan worth_plan = {
	.sql = "SELECT CASE WHEN w.reached = 0 THEN 0 WHEN w.reached >= w.wanted THEN o.total"
	" ELSE o.shipping_total + o.fee_total + round((o.total - o.shipping_total - o.fee_total)"
	" * CASE WHEN w.worth > 0 THEN w.reached_worth / w.worth ELSE w.reached::numeric / w.wanted END, $3) END"
	" FROM {orders} o CROSS JOIN LATERAL (SELECT sum(l.ordered - l.cancelled) AS wanted,"
	" sum(CASE $4 WHEN 'release' THEN l.released WHEN 'shipping' THEN l.shipped ELSE l.ordered - l.cancelled END) AS reached,"
	" sum(l.unit_price * (l.ordered - l.cancelled)) AS worth,"
	" sum(l.unit_price * CASE $4 WHEN 'release' THEN l.released WHEN 'shipping' THEN l.shipped"
	" ELSE l.ordered - l.cancelled END) AS reached_worth"
	" FROM {order_lines} l WHERE l.order_id = $2 AND l.tenant_id = $1) w"
	" WHERE o.order_id = $2 AND o.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID, TEXTOID)
};

/* One payment and what a command may take of it. */
typedef struct Source
{
	int64		payment_id;
	const char *method;
	Numeric		capturable;
	Numeric		refundable;
	Numeric		taken;
	int64		account_id;		/* of the credit account that pays; 0: a provider outside */
} Source;

typedef struct SourceList
{
	int			count;
	int			capacity;
	Source	   *rows;
} SourceList;

static void
read_source(TupleTableSlot *slot, void *state)
{
	SourceList *list = state;
	Source	   *source;

	if (list->count == list->capacity)
	{
		list->capacity = Max(8, list->capacity * 2);
		list->rows = list->rows ? repalloc(list->rows, sizeof(Source) * list->capacity)
			: palloc(sizeof(Source) * list->capacity);
	}
	source = &list->rows[list->count++];
	source->payment_id = oms_slot_int64(slot, 1);
	source->method = oms_slot_text(slot, 2);
	source->capturable = oms_slot_numeric(slot, 3);
	source->refundable = oms_slot_numeric(slot, 4);
	source->taken = oms_money_zero();
	source->account_id = oms_slot_int64(slot, 5);
}

static SourceList
sources_of(int64 order_id, int64 only)
{
	SourceList	all = {0};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};
	int			kept = 0;

	(void) oms_execute_each(&payments_plan, values, NULL, read_source, &all);
	for (int i = 0; i < all.count; i++)
		if (only == 0 || all.rows[i].payment_id == only)
			all.rows[kept++] = all.rows[i];
	if (only != 0 && kept == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("payment " INT64_FORMAT " is not one of order " INT64_FORMAT, only, order_id),
				 errdetail("payment_id: the order has no such payment"),
				 errhint("oms.get_order shows the payments of an order.")));
	all.count = kept;
	return all;
}

static Numeric
least(Numeric a, Numeric b)
{
	return oms_money_compare(a, b) < 0 ? a : b;
}

static bool
is_positive(Numeric amount)
{
	return oms_money_compare(amount, oms_money_zero()) > 0;
}

/* Takes an amount from the sources in turn; returns what none of them could give. */
static Numeric
take_in_turn(SourceList *list, Numeric amount, bool refund, bool newest_first)
{
	for (int i = 0; i < list->count && is_positive(amount); i++)
	{
		Source	   *source = &list->rows[newest_first ? list->count - 1 - i : i];
		Numeric		room = oms_money_subtract(refund ? source->refundable : source->capturable, source->taken);
		Numeric		part = least(room, amount);

		if (!is_positive(part))
			continue;
		source->taken = oms_money_add(source->taken, part);
		amount = oms_money_subtract(amount, part);
	}
	return amount;
}

/* To each source its share of what can be paid back, cumulatively rounded, so that the shares add up. */
static Numeric
take_in_proportion(SourceList *list, Numeric amount, int digits)
{
	Numeric		all = oms_money_zero();
	Numeric		before = oms_money_zero();
	Numeric		given = oms_money_zero();

	for (int i = 0; i < list->count; i++)
		if (is_positive(list->rows[i].refundable))
			all = oms_money_add(all, list->rows[i].refundable);
	if (oms_money_compare(amount, all) > 0)
		return oms_money_subtract(amount, all);
	for (int i = 0; i < list->count; i++)
	{
		Source	   *source = &list->rows[i];
		Numeric		until;

		if (!is_positive(source->refundable))
			continue;
		before = oms_money_add(before, source->refundable);
		until = oms_money_round(oms_money_share(amount, before, all), digits);
		source->taken = least(source->refundable, oms_money_subtract(until, given));
		given = oms_money_add(given, source->taken);
	}
	/* Rounding may leave a unit where a share was cut to what its payment has. */
	return take_in_turn(list, oms_money_subtract(amount, given), true, false);
}

static void
read_id(TupleTableSlot *slot, void *state)
{
	*(int64 *) state = oms_slot_int64(slot, 1);
}

/* A command: an event for the provider, or done at once where a credit account pays. */
static int64
insert_command(Order *order, const Source *source, const char *type)
{
	Datum		values[6];
	int64		command_id = 0;
	DocWriter	writer;

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(source->payment_id);
	values[2] = Int64GetDatum(order->order_id);
	values[3] = TimestampTzGetDatum(oms_call->now);
	values[4] = CStringGetTextDatum(type);
	values[5] = NumericGetDatum(source->taken);
	(void) oms_execute_each(&insert_plan, values, NULL, read_id, &command_id);
	if (source->account_id != 0)
	{
		oms_payment_execute(source->payment_id, type, source->taken, psprintf("command " INT64_FORMAT, command_id));
		return command_id;
	}
	oms_write_begin(&writer);
	oms_write_int64(&writer, "command_id", command_id);
	oms_write_text(&writer, "method", source->method);
	oms_write_numeric(&writer, "amount", source->taken);
	oms_write_text(&writer, "currency", order->currency);
	oms_event(&(Event) {.order_id = order->order_id,.object_id = source->payment_id,.object_type = "payment",
						.type = psprintf("payment.%s_requested", type),.data = oms_write_finish(&writer)});
	return command_id;
}

/* Locks the credit accounts that a list moves, in their order. */
static void
lock_accounts(const SourceList *list)
{
	int64	   *ids = palloc(sizeof(int64) * Max(1, list->count));
	int			count = 0;

	for (int i = 0; i < list->count; i++)
		if (list->rows[i].account_id != 0 && is_positive(list->rows[i].taken))
			ids[count++] = list->rows[i].account_id;
	oms_credit_lock(ids, count);
}

/* Writes a command for each source that something is taken of; the answer lists them. */
static Jsonb *
write_commands(Order *order, const SourceList *list, const char *type)
{
	DocWriter	writer;

	lock_accounts(list);
	oms_write_begin(&writer);
	oms_write_int64(&writer, "order_id", order->order_id);
	oms_write_begin_array(&writer, "commands");
	for (int i = 0; i < list->count; i++)
	{
		if (!is_positive(list->rows[i].taken))
			continue;
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "command_id", insert_command(order, &list->rows[i], type));
		oms_write_int64(&writer, "payment_id", list->rows[i].payment_id);
		oms_write_text(&writer, "method", list->rows[i].method);
		oms_write_numeric(&writer, "amount", list->rows[i].taken);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	return oms_write_finish(&writer);
}

/* The amount that a call names, or all that is possible; refuses more, less than a unit, and nothing. */
static Numeric
wanted_amount(FunctionCallInfo fcinfo, const Order *order, Numeric possible, const char *what)
{
	FaultList	faults;
	Numeric		amount = PG_ARGISNULL(1) ? possible : PG_GETARG_NUMERIC(1);

	oms_faults_init(&faults);
	if (numeric_is_nan(amount) || numeric_is_inf(amount) || (!PG_ARGISNULL(1) && !is_positive(amount)))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Leave it out for all that is possible.", "amount", "must be more than zero");
	else if (!oms_money_is_rounded(amount, oms_currency_digits(order->currency)))
		oms_fault(&faults, ERRCODE_OMS_MONEY, "Round amounts to the currency.", "amount", "%s has more decimals than %s",
				  oms_money_text(amount), order->currency);
	else if (!is_positive(possible) || oms_money_compare(amount, possible) > 0)
		oms_fault(&faults, ERRCODE_OMS_MONEY, "oms.order_balance shows the amounts, with those that are pending.", "amount",
				  "%s %s", is_positive(possible) ? psprintf("at most %s is", oms_money_text(possible)) : "nothing is", what);
	oms_faults_raise(&faults, "amount is not possible");
	return amount;
}

static int64
optional_payment(FunctionCallInfo fcinfo)
{
	return PG_ARGISNULL(2) ? 0 : oms_argument_id(fcinfo, 2, "payment_id");
}

static Numeric
sum_of(const SourceList *list, bool refund)
{
	Numeric		sum = oms_money_zero();

	for (int i = 0; i < list->count; i++)
	{
		Numeric		part = refund ? list->rows[i].refundable : list->rows[i].capturable;

		if (is_positive(part))
			sum = oms_money_add(sum, part);
	}
	return sum;
}

/* What of the order is neither captured nor asked for. */
static Numeric
to_capture(Numeric worth, const Balance *balance)
{
	Numeric		left = oms_money_subtract(oms_balance_due(worth, balance), balance->capturing);

	return is_positive(left) ? left : oms_money_zero();
}

/*
 * oms.request_capture(order_id, amount, payment_id, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_request_capture, CALL_KEYED)
{
	Order	   *order = oms_order_lock(oms_argument_id(fcinfo, 0, "order_id"));
	SourceList	list = sources_of(order->order_id, optional_payment(fcinfo));
	Balance		balance;
	Numeric		amount;

	if (order->holds > 0)
		oms_hold_check(order->order_id, "payment.capture", 0, NULL, 0);
	oms_balance_read(order->order_id, &balance);
	amount = wanted_amount(fcinfo, order, least(to_capture(order->total, &balance), sum_of(&list, false)),
						   "due and authorized");
	(void) take_in_turn(&list, amount, false, false);
	PG_RETURN_JSONB_P(write_commands(order, &list, "capture"));
}

/*
 * oms.request_void(payment_id, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_request_void, CALL_KEYED)
{
	int64		payment_id = oms_argument_id(fcinfo, 0, "payment_id");
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(payment_id)};
	int64		order_id = 0;
	Order	   *order;
	SourceList	list;

	(void) oms_execute_each(&order_of_plan, values, NULL, read_id, &order_id);
	if (order_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("payment " INT64_FORMAT " is not known", payment_id),
				 errdetail("payment_id: there is no payment " INT64_FORMAT, payment_id),
				 errhint("oms.get_order shows the payments of an order.")));
	order = oms_order_lock(order_id);
	list = sources_of(order_id, payment_id);
	if (!is_positive(list.rows[0].capturable))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_MONEY),
				 errmsg("payment " INT64_FORMAT " has nothing to void", payment_id),
				 errdetail("Nothing is authorized that is not captured, voided or asked to be."),
				 errhint("oms.payment_balances shows the amounts.")));
	list.rows[0].taken = list.rows[0].capturable;
	PG_RETURN_JSONB_P(write_commands(order, &list, "void"));
}

static void
read_rule(TupleTableSlot *slot, void *state)
{
	*(char **) state = oms_slot_text(slot, 1);
}

/* Spreads what is paid back over the payments, by the rule of the channel. */
static void
spread_refund(const Order *order, SourceList *list, Numeric amount)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->channel_id)};
	char	   *rule = "newest";

	(void) oms_execute_each(&rule_plan, values, NULL, read_rule, &rule);
	if (strcmp(rule, "proportional") == 0)
		(void) take_in_proportion(list, amount, oms_currency_digits(order->currency));
	else
		(void) take_in_turn(list, amount, true, strcmp(rule, "newest") == 0);
}

/* Moves what was taken of the payments into a credit account, each part an event of its payment. */
static void
move_out(Order *order, const SourceList *list, int64 account_id, const char *reason)
{
	Numeric		sum = oms_money_zero();
	int64		entry_id;

	for (int i = 0; i < list->count; i++)
		sum = oms_money_add(sum, list->rows[i].taken);
	entry_id = oms_credit_move(&(CreditMove) {.account_id = account_id,.type = "transfer",.balance = sum,
											  .held = oms_money_zero(),.order_id = order->order_id,.reason = reason});
	for (int i = 0; i < list->count; i++)
		if (is_positive(list->rows[i].taken))
			oms_payment_move_out(list->rows[i].payment_id, list->rows[i].taken, psprintf("credit entry " INT64_FORMAT, entry_id));
	oms_refund_follow(order->order_id);
}

/* What of an order can go into a credit account now: owed to the customer, and captured. */
Numeric
oms_payment_movable(Order *order)
{
	SourceList	list = sources_of(order->order_id, 0);
	Balance		balance;

	oms_balance_read(order->order_id, &balance);
	return least(oms_balance_excess(order->total, &balance), sum_of(&list, true));
}

/* Moves an amount that is movable. */
void
oms_payment_transfer(Order *order, Numeric amount, int64 account_id, const char *reason)
{
	SourceList	list = sources_of(order->order_id, 0);

	spread_refund(order, &list, amount);
	move_out(order, &list, account_id, reason);
}

/* The credit account that takes a refund. */
static int64
target_account(FunctionCallInfo fcinfo, const Order *order)
{
	char	   *code = oms_argument_text(fcinfo, 3);
	char	   *currency = NULL;
	const char *refusal = NULL;
	Numeric		available;
	int64		account_id;
	FaultList	faults;

	if (code == NULL)
		return 0;
	oms_faults_init(&faults);
	account_id = oms_credit_find(code, &currency, &available, &refusal);
	if (account_id == 0)
		oms_fault(&faults, ERRCODE_OMS_UNKNOWN, "oms.issue_credit opens an account.", "account",
				  "credit account \"%s\" is not known", code);
	else if (strcmp(currency, order->currency) != 0)
		oms_fault(&faults, ERRCODE_OMS_MONEY, "Refunds are in the currency of their order.", "account",
				  "credit account \"%s\" has %s, the order %s", code, currency, order->currency);
	else if (refusal != NULL)
		oms_fault(&faults, ERRCODE_OMS_MONEY, "Use another account.", "account", "credit account \"%s\" %s", code, refusal);
	oms_faults_raise(&faults, "account is not possible");
	return account_id;
}

/*
 * oms.request_refund(order_id, amount, payment_id, account, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_request_refund, CALL_KEYED)
{
	Order	   *order = oms_order_lock(oms_argument_id(fcinfo, 0, "order_id"));
	SourceList	list = sources_of(order->order_id, optional_payment(fcinfo));
	int64		account_id = target_account(fcinfo, order);
	Jsonb	   *result;
	Balance		balance;
	Numeric		amount;

	if (order->holds > 0)
		oms_hold_check(order->order_id, "payment.refund", 0, NULL, 0);
	oms_balance_read(order->order_id, &balance);
	amount = wanted_amount(fcinfo, order, least(oms_balance_excess(order->total, &balance), sum_of(&list, true)),
						   "owed to the customer");
	spread_refund(order, &list, amount);
	if (account_id != 0)
	{
		move_out(order, &list, account_id, "refund");
		PG_RETURN_JSONB_P(oms_balance_document(order->order_id));
	}
	result = write_commands(order, &list, "refund");
	oms_refund_follow(order->order_id);
	PG_RETURN_JSONB_P(result);
}

static void
read_worth(TupleTableSlot *slot, void *state)
{
	*(Numeric *) state = oms_slot_numeric(slot, 1);
}

/*
 * Asks for what is to be captured now that units have reached a stage, if that
 * is when the channel captures.  What no authorization covers is told to the
 * application where tell is set; it may have it authorized again.
 */
void
oms_payment_capture(int64 order_id, const char *stage, bool tell)
{
	Order	   *order = oms_order_read(order_id);
	SourceList	list;
	Datum		values[4];
	Balance		balance;
	Numeric		worth = oms_money_zero();
	Numeric		missing;

	if (strcmp(order->channel->capture, stage) != 0 || strcmp(stage, "manual") == 0)
		return;
	list = sources_of(order_id, 0);
	if (list.count == 0)
		return;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(order_id);
	values[2] = Int32GetDatum(oms_currency_digits(order->currency));
	values[3] = CStringGetTextDatum(stage);
	(void) oms_execute_each(&worth_plan, values, NULL, read_worth, &worth);
	oms_balance_read(order_id, &balance);
	missing = take_in_turn(&list, to_capture(worth, &balance), false, false);
	(void) write_commands(order, &list, "capture");
	if (tell && is_positive(missing))
	{
		DocWriter	writer;

		oms_write_begin(&writer);
		oms_write_numeric(&writer, "amount", missing);
		oms_write_text(&writer, "currency", order->currency);
		oms_event(&(Event) {.order_id = order_id,.object_id = order_id,.object_type = "order",
							.type = "payment.authorization_needed",.data = oms_write_finish(&writer)});
	}
}

/* Leaves of a list only what credit accounts give. */
static void
keep_accounts(SourceList *list)
{
	for (int i = 0; i < list->count; i++)
		if (list->rows[i].account_id == 0)
			list->rows[i].taken = oms_money_zero();
}

/*
 * Gives back to credit accounts what an order that shrank needs no more: first
 * what is held, then what was taken, the newest payment first.  What providers
 * outside hold or took counts too, but only a person asks them.
 */
void
oms_payment_give_back(int64 order_id)
{
	Order	   *order = oms_order_read(order_id);
	SourceList	list = sources_of(order_id, 0);
	bool		any = false;
	Balance		balance;
	Numeric		free_amount;

	for (int i = 0; i < list.count; i++)
		any |= list.rows[i].account_id != 0;
	if (!any)
		return;
	oms_balance_read(order_id, &balance);
	free_amount = oms_money_subtract(oms_money_add(sum_of(&list, false), balance.capturing),
									 oms_balance_due(order->total, &balance));
	(void) take_in_turn(&list, free_amount, false, true);
	keep_accounts(&list);
	(void) write_commands(order, &list, "void");
	list = sources_of(order_id, 0);
	(void) take_in_turn(&list, oms_balance_excess(order->total, &balance), true, true);
	keep_accounts(&list);
	(void) write_commands(order, &list, "refund");
}
