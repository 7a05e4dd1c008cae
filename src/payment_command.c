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
#include "machine.h"
#include "money.h"
#include "order.h"
#include "order_worth.h"
#include "payment.h"
#include "refund.h"
#include "relation.h"

static OmsPlan payments_plan = {
	.sql = "SELECT b.payment_id, b.method, b.authorized - b.capturing - b.voiding, b.captured - b.refunded - b.refunding,"
	" coalesce(b.account_id, 0), coalesce(b.expires_at, 'infinity') FROM {payment_balances} b WHERE b.order_id = $2 AND b.tenant_id = $1 ORDER BY b.payment_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {payment_commands} (payment_id, order_id, requested_at, tenant_id, type, amount, method)"
	" VALUES ($2, $3, $4, $1, $5, $6, $7) RETURNING command_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, NUMERICOID, TEXTOID)
};

static OmsPlan order_of_plan = {
	.sql = "SELECT order_id FROM {payments} WHERE payment_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan method_plan = {
	.sql = "SELECT 1 FROM {channels} WHERE channel_id = $2 AND tenant_id = $1"
	" AND refund_methods @> jsonb_build_array(jsonb_build_object('method', $3))",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

/* Returns that pay for other goods, those that end in this call too: what they leave is given back after that. */
static OmsPlan exchange_plan = {
	.sql = "SELECT 1 FROM {returns} WHERE order_id = $2 AND tenant_id = $1 AND exchange_on IS NOT NULL"
	" AND (ended_at IS NULL OR ended_at >= $3) LIMIT 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
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
	TimestampTz end;			/* of what is authorized */
	int64		command_id;
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
	bool		isnull;

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
	source->end = DatumGetTimestampTz(oms_slot_datum(slot, 6, &isnull));
}

/* What has ended by the clock is ended in the record, before anybody counts on it; true where there was any. */
static bool
expire_sources(const SourceList *list)
{
	bool		any = false;

	for (int i = 0; i < list->count; i++)
	{
		if (list->rows[i].end > oms_call->now)
			continue;
		oms_payment_expire(list->rows[i].payment_id, list->rows[i].end);
		any = true;
	}
	return any;
}

static SourceList
sources_of(int64 order_id, int64 only)
{
	SourceList	all = {0};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};
	int			kept = 0;

	(void) oms_execute_each(&payments_plan, values, NULL, read_source, &all);
	if (expire_sources(&all))
	{
		all.count = 0;
		(void) oms_execute_each(&payments_plan, values, NULL, read_source, &all);
	}
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

static Numeric
room_of(const Source *source, bool refund)
{
	return refund ? source->refundable : source->capturable;
}

/* Takes an amount from the sources in turn; returns what none of them could give. */
static Numeric
take_in_turn(SourceList *list, Numeric amount, bool refund, bool newest_first)
{
	for (int i = 0; i < list->count && is_positive(amount); i++)
	{
		Source	   *source = &list->rows[newest_first ? list->count - 1 - i : i];
		Numeric		room = oms_money_subtract(room_of(source, refund), source->taken);
		Numeric		part = least(room, amount);

		if (!is_positive(part))
			continue;
		source->taken = oms_money_add(source->taken, part);
		amount = oms_money_subtract(amount, part);
	}
	return amount;
}

/* To each source its share of what it can give, cumulatively rounded, so that the shares add up. */
static Numeric
take_in_proportion(SourceList *list, Numeric amount, bool refund, int digits)
{
	Numeric		all = oms_money_zero();
	Numeric		before = oms_money_zero();
	Numeric		given = oms_money_zero();

	for (int i = 0; i < list->count; i++)
		if (is_positive(room_of(&list->rows[i], refund)))
			all = oms_money_add(all, room_of(&list->rows[i], refund));
	if (oms_money_compare(amount, all) >= 0)
		return take_in_turn(list, amount, refund, false);
	for (int i = 0; i < list->count; i++)
	{
		Source	   *source = &list->rows[i];
		Numeric		until;

		if (!is_positive(room_of(source, refund)))
			continue;
		before = oms_money_add(before, room_of(source, refund));
		until = oms_money_round(oms_money_share(amount, before, all), digits);
		source->taken = least(room_of(source, refund), oms_money_subtract(until, given));
		given = oms_money_add(given, source->taken);
	}
	/* Rounding may leave a unit where a share was cut to what its payment has. */
	return take_in_turn(list, oms_money_subtract(amount, given), refund, false);
}

/* Takes an amount from the sources in a declared order; returns what none of them could give. */
static Numeric
take(const Order *order, SourceList *list, Numeric amount, bool refund)
{
	const char *rule = refund ? order->channel->refund_order : order->channel->capture_order;

	if (strcmp(rule, "proportional") == 0)
		return take_in_proportion(list, amount, refund, oms_currency_digits(order->currency));
	return take_in_turn(list, amount, refund, strcmp(rule, "newest") == 0);
}

static void
read_id(TupleTableSlot *slot, void *state)
{
	*(int64 *) state = oms_slot_int64(slot, 1);
}

/* Tells the provider of a command; method is another than the payment's for refunds by it. */
static void
tell_provider(const Order *order, const Source *source, const char *type, const char *method)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_int64(&writer, "command_id", source->command_id);
	oms_write_text(&writer, "method", method ? method : source->method);
	oms_write_text(&writer, "paid_with", method ? source->method : NULL);
	oms_write_numeric(&writer, "amount", source->taken);
	oms_write_text(&writer, "currency", order->currency);
	oms_event(&(Event) {.order_id = order->order_id,.object_id = source->payment_id,.object_type = "payment",
						.type = psprintf("payment.%s_requested", type),.data = oms_write_finish(&writer)});
}

static void
insert_command(const Order *order, Source *source, const char *type, const char *method)
{
	Datum		values[7];
	char		nulls[8] = "       ";

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(source->payment_id);
	values[2] = Int64GetDatum(order->order_id);
	values[3] = TimestampTzGetDatum(oms_call->now);
	values[4] = CStringGetTextDatum(type);
	values[5] = NumericGetDatum(source->taken);
	values[6] = oms_text_or_null(method, &nulls[6]);
	(void) oms_execute_each(&insert_plan, values, nulls, read_id, &source->command_id);
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

/*
 * Writes a command for each source that something is taken of; the answer lists
 * them.  All are written before credit accounts execute theirs: what follows
 * from the first of those then sees that nothing is left to be asked for.
 */
static Jsonb *
write_commands(Order *order, SourceList *list, const char *type, const char *method)
{
	DocWriter	writer;

	lock_accounts(list);
	oms_write_begin(&writer);
	oms_write_int64(&writer, "order_id", order->order_id);
	oms_write_begin_array(&writer, "commands");
	for (int i = 0; i < list->count; i++)
	{
		Source	   *source = &list->rows[i];

		if (!is_positive(source->taken))
			continue;
		insert_command(order, source, type, method);
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "command_id", source->command_id);
		oms_write_int64(&writer, "payment_id", source->payment_id);
		oms_write_text(&writer, "method", method ? method : source->method);
		oms_write_numeric(&writer, "amount", source->taken);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	for (int i = 0; i < list->count; i++)
		if (is_positive(list->rows[i].taken) && list->rows[i].account_id == 0)
			tell_provider(order, &list->rows[i], type, method);
		else if (is_positive(list->rows[i].taken))
			oms_payment_execute(list->rows[i].payment_id, type, list->rows[i].taken,
								psprintf("command " INT64_FORMAT, list->rows[i].command_id));
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
		Numeric		part = room_of(&list->rows[i], refund);

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

/* Until a channel's order is confirmed nothing is captured. */
static bool
waits_for_confirmation(const Order *order)
{
	return order->channel->confirmation && oms_machine_allows(MACHINE_ORDER, order->status, "confirm");
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

	oms_hold_check(order->order_id, "payment.capture", 0, NULL, 0);
	if (waits_for_confirmation(order))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " is placed: capture is not allowed", order->order_id),
				 errdetail("Channel \"%s\" requires confirmation.", order->channel->code),
				 errhint("oms.confirm_order approves the order.")));
	oms_balance_read(order->order_id, &balance);
	amount = wanted_amount(fcinfo, order, least(to_capture(order->total, &balance), sum_of(&list, false)),
						   "due and authorized");
	(void) take(order, &list, amount, false);
	PG_RETURN_JSONB_P(write_commands(order, &list, "capture", NULL));
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
	oms_hold_check(order_id, "payment.void", 0, NULL, 0);
	list = sources_of(order_id, payment_id);
	if (!is_positive(list.rows[0].capturable))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_MONEY),
				 errmsg("payment " INT64_FORMAT " has nothing to void", payment_id),
				 errdetail("Nothing is authorized that is not captured, voided or asked to be."),
				 errhint("oms.payment_balances shows the amounts.")));
	list.rows[0].taken = list.rows[0].capturable;
	PG_RETURN_JSONB_P(write_commands(order, &list, "void", NULL));
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

	(void) take(order, &list, amount, true);
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

/* Another method than those of the payments, which the channel must allow; NULL: none is named. */
static char *
target_method(FunctionCallInfo fcinfo, const Order *order)
{
	char	   *method = PG_ARGISNULL(4) ? NULL : oms_argument_required(fcinfo, 4, "method");
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->channel_id)};

	if (method == NULL)
		return NULL;
	if (!PG_ARGISNULL(3))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("a refund goes to an account or by a method"),
				 errdetail("method: stands beside account"),
				 errhint("Leave one of them out.")));
	values[2] = CStringGetTextDatum(method);
	if (oms_execute(&method_plan, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_NOT_PERMITTED),
				 errmsg("channel \"%s\" pays nothing back by \"%s\"", order->channel->code, method),
				 errdetail("method: \"%s\" is not one of refund_methods of the channel", method),
				 errhint("Leave it out to pay back to where the money came from.")));
	return method;
}

/* What credit accounts paid goes back there alone. */
static void
leave_accounts(SourceList *list)
{
	int			kept = 0;

	for (int i = 0; i < list->count; i++)
		if (list->rows[i].account_id == 0)
			list->rows[kept++] = list->rows[i];
	list->count = kept;
}

/*
 * oms.request_refund(order_id, amount, payment_id, account, method, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_request_refund, CALL_KEYED)
{
	Order	   *order = oms_order_lock(oms_argument_id(fcinfo, 0, "order_id"));
	SourceList	list = sources_of(order->order_id, optional_payment(fcinfo));
	int64		account_id = target_account(fcinfo, order);
	char	   *method = target_method(fcinfo, order);
	Jsonb	   *result;
	Balance		balance;
	Numeric		amount;

	oms_hold_check(order->order_id, "payment.refund", 0, NULL, 0);
	if (method != NULL)
		leave_accounts(&list);
	oms_balance_read(order->order_id, &balance);
	amount = wanted_amount(fcinfo, order, least(oms_balance_excess(order->total, &balance), sum_of(&list, true)),
						   "owed to the customer");
	(void) take(order, &list, amount, true);
	if (account_id != 0)
	{
		move_out(order, &list, account_id, "refund");
		PG_RETURN_JSONB_P(oms_balance_document(order->order_id));
	}
	result = write_commands(order, &list, "refund", method);
	oms_refund_follow(order->order_id);
	PG_RETURN_JSONB_P(result);
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
	Balance		balance;
	Numeric		missing;

	if (strcmp(order->channel->capture, stage) != 0 || strcmp(stage, "manual") == 0 || waits_for_confirmation(order) ||
		oms_hold_blocks(order_id, "payment.capture"))
		return;
	list = sources_of(order_id, 0);
	if (list.count == 0)
		return;
	oms_balance_read(order_id, &balance);
	missing = take(order, &list, to_capture(oms_order_worth(order, stage), &balance), false);
	(void) write_commands(order, &list, "capture", NULL);
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
 * outside hold or took counts too.
 */
static void
give_back_to_accounts(Order *order)
{
	int64		order_id = order->order_id;
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
	(void) write_commands(order, &list, "void", NULL);
	list = sources_of(order_id, 0);
	(void) take_in_turn(&list, oms_balance_excess(order->total, &balance), true, true);
	keep_accounts(&list);
	(void) write_commands(order, &list, "refund", NULL);
}

/* Voids everything that is authorized for an order that has ended, unless a hold forbids it. */
void
oms_payment_void_all(int64 order_id)
{
	SourceList	list = sources_of(order_id, 0);

	if (oms_hold_blocks(order_id, "payment.void"))
		return;
	for (int i = 0; i < list.count; i++)
		list.rows[i].taken = list.rows[i].capturable;
	(void) write_commands(oms_order_read(order_id), &list, "void", NULL);
}

/* After an order shrank: credit accounts get back what it needs no more, and where nothing is left of it, providers too. */
void
oms_payment_give_back(int64 order_id)
{
	Order	   *order = oms_order_read(order_id);

	give_back_to_accounts(order);
	if (oms_machine_final(MACHINE_ORDER, order->status) && strcmp(order->fulfillment_status, "unallocated") == 0)
		oms_payment_void_all(order_id);
}

/* Asks back what a locked order's customer paid beyond what is owed, where its channel does so by itself. */
void
oms_payment_refund_excess(int64 order_id)
{
	Order	   *order = oms_order_read(order_id);
	SourceList	list;
	Balance		balance;

	if (!order->channel->refunds_excess || oms_hold_blocks(order_id, "payment.refund"))
		return;
	oms_balance_read(order_id, &balance);
	if (!is_positive(oms_balance_excess(order->total, &balance)))
		return;
	list = sources_of(order_id, 0);
	(void) take(order, &list, least(oms_balance_excess(order->total, &balance), sum_of(&list, true)), true);
	(void) write_commands(order, &list, "refund", NULL);
	oms_refund_follow(order_id);
}

/* An order is paid beyond what is owed: tells it once for each reason, and asks the money back where the channel does. */
void
oms_payment_overpaid(int64 order_id, bool is_news)
{
	Order	   *order = oms_order_read(order_id);
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id), TimestampTzGetDatum(oms_call->now)};
	Balance		balance;
	DocWriter	writer;

	if (is_news)
	{
		oms_balance_read(order_id, &balance);
		oms_write_begin(&writer);
		oms_write_numeric(&writer, "amount", oms_money_subtract(oms_money_zero(), oms_balance_due(order->total, &balance)));
		oms_write_text(&writer, "currency", order->currency);
		oms_event(&(Event) {.order_id = order_id,.object_id = order_id,.object_type = "order",.type = "payment.overpaid",
							.data = oms_write_finish(&writer)});
	}
	if (order->channel->refunds_excess && oms_execute(&exchange_plan, values, NULL) == 0)
		oms_payment_refund_excess(order_id);
}

/* What a hold or a missing confirmation kept from being asked for. */
void
oms_payment_resume(int64 order_id)
{
	Order	   *order = oms_order_read(order_id);

	oms_payment_capture(order_id, order->channel->capture, true);
	oms_payment_refund_excess(order_id);
}
