/*
 * exchange.c
 *	  Other goods for those that come back.
 *
 * An exchange is a return and an order, linked by the return's row; each goes
 * its own way, and what ends one leaves the other whole.  Money goes one way:
 * what is granted for the returned units, as far as the customer has paid it,
 * moves out of the payments of the old order into a credit account of the
 * exchange, and from there pays the new order.  So nothing is counted twice,
 * neither order knows of the other's money, and what is left over is an
 * ordinary refund of the old order.
 *
 * Lock order: the old order before the new one, which has the higher id.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/fmgrprotos.h"

#include "call.h"
#include "credit.h"
#include "document.h"
#include "event.h"
#include "kit.h"
#include "exchange.h"
#include "machine.h"
#include "money.h"
#include "order.h"
#include "order_place.h"
#include "payment.h"
#include "relation.h"
#include "return.h"

static OmsPlan of_plan = {
	.sql = "SELECT return_id, order_id FROM {returns} WHERE exchange_order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan link_plan = {
	.sql = "UPDATE {returns} SET exchange_order_id = $3, exchange_on = $4 WHERE return_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID)
};

static OmsPlan state_plan = {
	.sql = "SELECT r.status, r.exchange_order_id, r.exchange_on, r.refunded, l.arrived, l.complete,"
	" coalesce((SELECT sum(e.balance_change) FROM {credit_accounts} a JOIN {credit_entries} e ON e.account_id = a.account_id"
	" AND e.tenant_id = $1 WHERE a.code = $3 AND a.tenant_id = $1 AND e.type = 'transfer'), 0),"
	" (SELECT o.customer_ref FROM {orders} o WHERE o.order_id = r.order_id AND o.tenant_id = $1)"
	" FROM {returns} r CROSS JOIN LATERAL (SELECT bool_or(x.received > 0) AS arrived, bool_and(x.received = x.requested) AS complete"
	" FROM {return_lines} x WHERE x.return_id = $2 AND x.tenant_id = $1) l"
	" WHERE r.return_id = $2 AND r.tenant_id = $1 AND r.exchange_order_id IS NOT NULL",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

/* The new order is for the same customer, to where the returned lines went. */
static OmsPlan base_plan = {
	.sql = "SELECT jsonb_strip_nulls(jsonb_build_object('channel', c.code, 'external_ref', $4::text, 'currency', o.currency,"
	" 'customer', CASE WHEN o.customer IS NOT NULL OR o.customer_ref IS NOT NULL THEN coalesce(o.customer, '{}')"
	" || jsonb_strip_nulls(jsonb_build_object('ref', o.customer_ref)) END,"
	" 'bill_to', o.bill_to, 'ship_to', d.address, 'service', d.service, 'method', d.method, 'pickup_location', p.code))"
	" FROM {orders} o JOIN {channels} c ON c.channel_id = o.channel_id AND c.tenant_id = $1"
	" LEFT JOIN {order_deliveries} d ON d.order_id = $2 AND d.tenant_id = $1 AND d.delivery_no = (SELECT min(l.delivery_no)"
	" FROM {return_lines} r JOIN {order_lines} l ON l.order_id = $2 AND l.line_no = r.line_no AND l.tenant_id = $1"
	" WHERE r.return_id = $3 AND r.tenant_id = $1)"
	" LEFT JOIN {locations} p ON p.location_id = d.pickup_location_id AND p.tenant_id = $1"
	" WHERE o.order_id = $2 AND o.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID)
};

/* The same items again at the prices that they were sold for, and what that is. */
static OmsPlan same_plan = {
	.sql = "SELECT jsonb_agg(jsonb_strip_nulls(jsonb_build_object('sku', i.sku, 'quantity', r.requested, 'unit_price', l.unit_price,"
	" 'name', l.name, 'attributes', l.attributes)) ORDER BY r.line_no), sum(round(l.unit_price * r.requested, $4))"
	" FROM {return_lines} r JOIN {order_lines} l ON l.order_id = $2 AND l.line_no = r.line_no AND l.tenant_id = $1"
	" JOIN {items} i ON i.item_id = l.item_id AND i.tenant_id = $1 WHERE r.return_id = $3 AND r.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT4OID)
};

typedef struct ExchangeOptions
{
	ReturnOptions terms;
	char	   *promise;
	Jsonb	   *order;
} ExchangeOptions;

static const char *const promise_choices[] = {"now", "receipt", NULL};

static const DocField option_fields[] = {
	RETURN_OPTION_FIELDS(ExchangeOptions, terms),
	{"promise", DOC_TEXT, offsetof(ExchangeOptions, promise), .choices = promise_choices},
	{"order", DOC_OBJECT, offsetof(ExchangeOptions, order)},
};

static const DocShape option_shape = DOC_SHAPE_OF(ExchangeOptions, option_fields, "options of an exchange");

/* What an exchange decides itself of the new order. */
static const char *const fixed_fields[] = {"channel", "currency", "lines", "draft", "valid_until"};

/* ---- Following the return ---- */

typedef struct State
{
	char	   *status;			/* of the return; NULL: it is no exchange */
	int64		exchange_order_id;
	char	   *exchange_on;
	Numeric		refunded;
	bool		arrived;
	bool		complete;
	Numeric		moved;			/* to the credit account already */
	char	   *customer_ref;
} State;

static void
read_state(TupleTableSlot *slot, void *state)
{
	State	   *row = state;

	row->status = oms_slot_text(slot, 1);
	row->exchange_order_id = oms_slot_int64(slot, 2);
	row->exchange_on = oms_slot_text(slot, 3);
	row->refunded = oms_slot_numeric(slot, 4);
	row->arrived = oms_slot_bool(slot, 5);
	row->complete = oms_slot_bool(slot, 6);
	row->moved = oms_slot_numeric(slot, 7);
	row->customer_ref = oms_slot_text(slot, 8);
}

static char *
account_code(int64 return_id)
{
	return psprintf("exchange-" INT64_FORMAT, return_id);
}

static State
read_exchange(int64 return_id)
{
	State		state = {0};
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(return_id),
	CStringGetTextDatum(account_code(return_id))};

	(void) oms_execute_each(&state_plan, values, NULL, read_state, &state);
	return state;
}

static bool
is_over_without_goods(const State *state)
{
	return oms_machine_final(MACHINE_RETURN, state->status) && !state->arrived;
}

/* Whether the new order may be placed by now. */
static bool
may_be_placed(const State *state)
{
	if (strcmp(state->status, oms_machine_initial(MACHINE_RETURN)) == 0 || is_over_without_goods(state))
		return false;
	return strcmp(state->exchange_on, "approval") == 0 ||
		(state->arrived && (state->complete || oms_machine_final(MACHINE_RETURN, state->status)));
}

static Numeric
smaller(Numeric a, Numeric b)
{
	return oms_money_compare(a, b) < 0 ? a : b;
}

/* Pays the new order with what was granted for the return and the customer has paid. */
static void
pay(Order *order, Order *exchange, int64 return_id, const State *state)
{
	Balance		balance;
	Numeric		amount = smaller(oms_money_subtract(state->refunded, state->moved), oms_payment_movable(order));
	PaymentDocument payment = {.method = "exchange",.account = account_code(return_id)};

	oms_balance_read(exchange->order_id, &balance);
	amount = smaller(amount, oms_money_subtract(oms_balance_due(exchange->total, &balance), balance.authorized));
	if (oms_money_compare(amount, oms_money_zero()) <= 0)
		return;
	payment.amount = amount;
	payment.account_id = oms_credit_open(payment.account, "store_credit", order->currency, state->customer_ref);
	oms_payment_transfer(order, amount, payment.account_id, psprintf("return " INT64_FORMAT, return_id));
	(void) oms_payment_add(exchange->order_id, &payment, exchange->currency, exchange->total);
	oms_order_refresh(exchange->order_id);
	oms_payment_capture(exchange->order_id, exchange->channel->capture, false);
}

/* A draft that cannot be placed waits for oms.place_draft. */
static void
place(int64 order_id, int64 return_id)
{
	if (oms_draft_place(order_id, false) == NULL)
		oms_event(&(Event) {.order_id = order_id,.object_id = order_id,.object_type = MACHINE_ORDER,
							.type = "order.exchange_waits",.reason = psprintf("return " INT64_FORMAT
																			  " lets it be placed, stock or network do not",
																			  return_id)});
}

void
oms_exchange_follow(Order *order, int64 return_id)
{
	State		state = read_exchange(return_id);
	Order	   *exchange;

	if (state.status == NULL)
		return;
	exchange = oms_order_lock(state.exchange_order_id);
	if (strcmp(exchange->status, oms_machine_initial(MACHINE_ORDER)) == 0)
	{
		if (may_be_placed(&state))
			place(exchange->order_id, return_id);
		else if (is_over_without_goods(&state))
			oms_order_cancel(exchange, NULL, "cancel", psprintf("return " INT64_FORMAT " is %s", return_id, state.status));
		exchange = oms_order_read(exchange->order_id);
	}
	if (strcmp(exchange->status, oms_machine_initial(MACHINE_ORDER)) != 0 && strcmp(exchange->status, "cancelled") != 0)
		pay(order, exchange, return_id, &state);
	/* A draft may still be placed, and then it wants the money. */
	if (strcmp(exchange->status, oms_machine_initial(MACHINE_ORDER)) != 0)
		oms_payment_refund_excess(order->order_id);
}

typedef struct Link
{
	int64		return_id;
	int64		order_id;
} Link;

static void
read_link(TupleTableSlot *slot, void *state)
{
	Link	   *link = state;

	link->return_id = oms_slot_int64(slot, 1);
	link->order_id = oms_slot_int64(slot, 2);
}

Exchange *
oms_exchange_of(int64 order_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};
	Link		link = {0};
	Exchange   *exchange;

	(void) oms_execute_each(&of_plan, values, NULL, read_link, &link);
	if (link.return_id == 0)
		return NULL;
	exchange = palloc(sizeof(Exchange));
	exchange->order = oms_order_lock(link.order_id);
	exchange->return_id = link.return_id;
	return exchange;
}

/* ---- The new order ---- */

static Jsonb *
concatenated(Jsonb *a, Jsonb *b)
{
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(a), JsonbPGetDatum(b)));
}

static Jsonb *
named(const char *key, Jsonb *value)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_jsonb(&writer, key, value);
	return oms_write_finish(&writer);
}

static void
read_json(TupleTableSlot *slot, void *state)
{
	bool		isnull;

	*(Jsonb **) state = DatumGetJsonbPCopy(oms_slot_datum(slot, 1, &isnull));
}

typedef struct Same
{
	Jsonb	   *lines;
	Numeric		items;
} Same;

static void
read_same(TupleTableSlot *slot, void *state)
{
	Same	   *same = state;

	read_json(slot, &same->lines);
	same->items = oms_slot_numeric(slot, 2);
}

static void
write_adjustment(DocWriter *writer, const char *type, Numeric amount, bool included)
{
	if (oms_money_compare(amount, oms_money_zero()) == 0)
		return;
	oms_write_begin_object(writer, NULL);
	oms_write_text(writer, "type", type);
	oms_write_text(writer, "code", "exchange");
	oms_write_numeric(writer, "amount", amount);
	if (included)
		oms_write_bool(writer, "included", true);
	oms_write_end(writer);
}

/*
 * The same goods again cost what the old ones were worth, to the cent: with
 * their discount and taxes, and what rounding made of their price.
 */
static Jsonb *
same_again(Order *order, int64 return_id, const ReturnWorth *worth)
{
	Same		same = {0};
	Numeric		discount;
	DocWriter	writer;
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->order_id), Int64GetDatum(return_id),
	Int32GetDatum(oms_currency_digits(order->currency))};

	(void) oms_execute_each(&same_plan, values, NULL, read_same, &same);
	discount = oms_money_add(worth->discount, oms_money_subtract(same.items, worth->items));
	oms_write_begin(&writer);
	oms_write_begin_array(&writer, "adjustments");
	write_adjustment(&writer, oms_money_compare(discount, oms_money_zero()) < 0 ? "fee" : "discount",
					 oms_money_compare(discount, oms_money_zero()) < 0 ? oms_money_subtract(oms_money_zero(), discount)
					 : discount, false);
	write_adjustment(&writer, "tax", worth->tax, false);
	write_adjustment(&writer, "tax", worth->included_tax, true);
	oms_write_end_array(&writer);
	return concatenated(oms_write_finish(&writer), named("lines", same.lines));
}

static Jsonb *
order_document(Order *order, int64 return_id, Jsonb *new_lines, const ExchangeOptions *options, const ReturnWorth *worth,
			   bool draft)
{
	Jsonb	   *document = NULL;
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->order_id), Int64GetDatum(return_id)};
	DocWriter	writer;

	values[3] = CStringGetTextDatum(psprintf("%s-exchange-" INT64_FORMAT, order->external_ref, return_id));
	(void) oms_execute_each(&base_plan, values, NULL, read_json, &document);
	document = concatenated(document, new_lines ? named("lines", new_lines)
							: same_again(order, return_id, worth));
	if (options->order)
		document = concatenated(document, options->order);
	if (!draft)
		return document;
	oms_write_begin(&writer);
	oms_write_bool(&writer, "draft", true);
	return concatenated(document, oms_write_finish(&writer));
}

static void
check_order(Jsonb *document, FaultList *faults)
{
	for (int i = 0; document && i < lengthof(fixed_fields); i++)
		if (getKeyJsonValueFromContainer(&document->root, fixed_fields[i], strlen(fixed_fields[i]), NULL) != NULL)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "The exchange decides it.", psprintf("options.order.%s", fixed_fields[i]),
					  "is not a field of an exchange");
}

static int64
id_of(Jsonb *answer)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&answer->root, "order_id", 8, NULL);

	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
}

/* Places the new order, or writes it as a draft; its id. */
static int64
make_order(Jsonb *document)
{
	int			events = oms_call->events->count;
	int64		order_id = id_of(oms_order_place(document));

	/* A document that was placed before is answered without any event. */
	if (oms_call->events->count == events)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_IDEMPOTENCY),
				 errmsg("order " INT64_FORMAT " has the reference of the exchange", order_id),
				 errdetail("options.order.external_ref: belongs to an order that is there already"),
				 errhint("Leave it out, or use a new one.")));
	return order_id;
}

static void
link_order(int64 return_id, int64 order_id, const char *exchange_on)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(return_id), Int64GetDatum(order_id),
	CStringGetTextDatum(exchange_on)};

	(void) oms_execute(&link_plan, values, NULL);
}

static Jsonb *
answer(Order *order, int64 return_id, int64 exchange_order_id, const ReturnWorth *worth)
{
	Order	   *exchange = oms_order_read(exchange_order_id);
	Numeric		difference = oms_money_subtract(exchange->total, worth->total);
	bool		pays = oms_money_compare(difference, oms_money_zero()) > 0;
	DocWriter	writer;
	Jsonb	   *summary;

	oms_write_begin(&writer);
	oms_write_int64(&writer, "order_id", order->order_id);
	oms_write_int64(&writer, "return_id", return_id);
	oms_write_int64(&writer, "exchange_order_id", exchange_order_id);
	oms_write_text(&writer, "currency", order->currency);
	oms_write_numeric(&writer, "credit", worth->total);
	oms_write_numeric(&writer, "total", exchange->total);
	oms_write_numeric(&writer, "to_pay", pays ? difference : oms_money_zero());
	oms_write_numeric(&writer, "to_refund", pays ? oms_money_zero() : oms_money_subtract(oms_money_zero(), difference));
	summary = oms_write_finish(&writer);
	oms_event(&(Event) {.order_id = order->order_id,.object_id = order->order_id,.object_type = MACHINE_ORDER,
						.type = "order.exchanged",.data = summary});
	summary = concatenated(summary, named("return", oms_return_document(return_id)));
	return concatenated(summary, named("order", oms_order_document(exchange_order_id)));
}

/*
 * oms.exchange_order(order_id, lines, new_lines, reason, options, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_exchange_order, CALL_KEYED)
{
	int64		order_id = oms_argument_id(fcinfo, 0, "order_id");
	ExchangeOptions none = {.terms = {.goods_back = 1}};
	ExchangeOptions *options = &none;
	ReturnWish *wishes = NULL;
	ReturnWorth worth;
	Order	   *order;
	List	   *broken;
	FaultList	faults;
	State		state;
	int64		return_id;
	int64		exchange_order_id;
	int			count = 0;
	bool		later;

	oms_faults_init(&faults);
	if (!PG_ARGISNULL(1))
		wishes = oms_return_wishes(PG_GETARG_JSONB_P(1), &count, &faults);
	if (!PG_ARGISNULL(4))
		options = oms_document_read(PG_GETARG_JSONB_P(4), &option_shape, &faults);
	if (faults.count == 0)
		check_order(options->order, &faults);
	oms_faults_raise(&faults, "exchange is not valid");
	order = oms_order_lock(order_id);
	oms_return_check_options(&options->terms, order->currency, &faults);
	oms_faults_raise(&faults, "exchange is not valid");
	if (options->terms.goods_back == 0)
		options->terms.stage = STAGE_REPLACED;
	if (options->terms.shipping_refund == NULL)
		options->terms.shipping_refund = "none";
	broken = oms_kits_broken(order_id);
	return_id = oms_return_request(order, wishes, count, oms_argument_text(fcinfo, 3), &options->terms);
	oms_kits_check(order_id, broken);
	oms_order_refresh(order_id);
	worth = oms_return_expect(order, return_id);
	link_order(return_id, 0, options->promise && strcmp(options->promise, "receipt") == 0 ? "receipt" : "approval");
	state = read_exchange(return_id);
	later = !may_be_placed(&state);
	exchange_order_id = make_order(order_document(order, return_id, PG_ARGISNULL(2) ? NULL : PG_GETARG_JSONB_P(2), options,
												  &worth, later));
	link_order(return_id, exchange_order_id, state.exchange_on);
	oms_exchange_follow(order, return_id);
	PG_RETURN_JSONB_P(answer(order, return_id, exchange_order_id, &worth));
}
