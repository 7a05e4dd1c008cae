/*
 * return_refund.c
 *	  What a return is worth, and the refunds that follow from it.
 *
 * Every return keeps what its units are worth, beside what was granted for them.
 * Both are differences to what the order's returns had before, so the last of
 * them completes the order to the cent, whatever was rounded in between; see
 * order_share.c.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "machine.h"
#include "money.h"
#include "order.h"
#include "order_worth.h"
#include "payment.h"
#include "refund.h"
#include "relation.h"
#include "return.h"

static OmsPlan returns_plan = {
	.sql = "SELECT return_id, status, refund_on, shipping_refund, restocking_fee, items, discount, tax, included_tax,"
	" charges, fee, refunded FROM {returns} WHERE order_id = $2 AND tenant_id = $1 ORDER BY return_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan return_lines_plan = {
	.sql = "SELECT l.return_id, l.line_no, l.requested, l.received, l.credited, l.restocking_percent, l.refund"
	" FROM {returns} r JOIN {return_lines} l ON l.return_id = r.return_id AND l.tenant_id = $1"
	" WHERE r.order_id = $2 AND r.tenant_id = $1 ORDER BY l.return_id, l.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan write_plan = {
	.sql = "UPDATE {returns} SET items = $3, discount = $4, tax = $5, included_tax = $6, charges = $7, fee = $8,"
	" refunded = $9 WHERE return_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID)
};

static OmsPlan write_lines_plan = {
	.sql = "UPDATE {return_lines} l SET credited = u.credited, refund = u.refund"
	" FROM unnest($3::int[], $4::int[], $5::numeric[]) u(line_no, credited, refund)"
	" WHERE l.return_id = $2 AND l.line_no = u.line_no AND l.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4ARRAYOID, INT4ARRAYOID, NUMERICARRAYOID)
};

static OmsPlan revocable_plan = {
	.sql = "SELECT refund_id, amount FROM {refunds} WHERE order_id = $2 AND return_id = $3 AND status = $4"
	" AND tenant_id = $1 ORDER BY refund_id DESC",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID)
};

/* A return of the order, in the smallest unit of the currency. */
typedef struct Claim
{
	int64		return_id;
	char	   *status;
	char	   *refund_on;
	char	   *charges_rule;
	int64		restocking_fee;
	ShareAmounts worth;
	int64		fee;
	int64		refunded;
} Claim;

typedef struct ClaimLine
{
	int64		return_id;
	int32		line_no;
	int32		requested;
	int32		received;
	int32		credited;		/* units that worth counts */
	int32		percent;		/* of restocking, in hundredths */
	int64		refund;			/* what the goods are worth */
} ClaimLine;

typedef struct Settlement
{
	Order	   *order;
	int			digits;
	int			claim_count;
	Claim	   *claims;
	int			claim_capacity;
	int			claim_line_count;
	int			claim_line_capacity;
	ClaimLine  *claim_lines;
	OrderWorth *order_worth;	/* asked about what all returns together count */
	Claim	   *claim;			/* the one that changed */
} Settlement;

/* ---- Reading ---- */

static int64
units_of(const Settlement *work, Numeric amount)
{
	return oms_money_units(amount, work->digits);
}

static int64
slot_units(const Settlement *work, TupleTableSlot *slot, int column)
{
	Numeric		amount = oms_slot_numeric(slot, column);

	return amount == NULL ? 0 : units_of(work, amount);
}

static void *
grown(void *rows, int count, int *capacity, size_t size)
{
	if (count < *capacity)
		return rows;
	*capacity = Max(16, *capacity * 2);
	return rows ? repalloc_huge(rows, size * *capacity) : palloc(size * *capacity);
}

static void
collect_claim(TupleTableSlot *slot, void *state)
{
	Settlement *work = state;
	Claim	   *claim;

	work->claims = grown(work->claims, work->claim_count, &work->claim_capacity, sizeof(Claim));
	claim = &work->claims[work->claim_count++];
	claim->return_id = oms_slot_int64(slot, 1);
	claim->status = oms_slot_text(slot, 2);
	claim->refund_on = oms_slot_text(slot, 3);
	claim->charges_rule = oms_slot_text(slot, 4);
	claim->restocking_fee = slot_units(work, slot, 5);
	claim->worth.items = slot_units(work, slot, 6);
	claim->worth.discount = slot_units(work, slot, 7);
	claim->worth.tax = slot_units(work, slot, 8);
	claim->worth.included_tax = slot_units(work, slot, 9);
	claim->worth.charges = slot_units(work, slot, 10);
	claim->fee = slot_units(work, slot, 11);
	claim->refunded = slot_units(work, slot, 12);
}

static void
collect_claim_line(TupleTableSlot *slot, void *state)
{
	Settlement *work = state;
	ClaimLine  *line;
	Numeric		percent = oms_slot_numeric(slot, 6);

	work->claim_lines = grown(work->claim_lines, work->claim_line_count, &work->claim_line_capacity, sizeof(ClaimLine));
	line = &work->claim_lines[work->claim_line_count++];
	line->return_id = oms_slot_int64(slot, 1);
	line->line_no = oms_slot_int32(slot, 2);
	line->requested = oms_slot_int32(slot, 3);
	line->received = oms_slot_int32(slot, 4);
	line->credited = oms_slot_int32(slot, 5);
	line->percent = percent == NULL ? 0 : (int32) oms_money_units(percent, 2);
	line->refund = slot_units(work, slot, 7);
}

static void
read_claims(Settlement *work, int64 return_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(work->order->order_id)};

	(void) oms_execute_each(&returns_plan, values, NULL, collect_claim, work);
	(void) oms_execute_each(&return_lines_plan, values, NULL, collect_claim_line, work);
	for (int i = 0; i < work->claim_count; i++)
		if (work->claims[i].return_id == return_id)
			work->claim = &work->claims[i];
	Assert(work->claim != NULL);
}

/* ---- What is due ---- */

/* Units that are to be counted now; whether that is another number than before. */
static bool
count_units(Settlement *work)
{
	bool		early = strcmp(work->claim->refund_on, "approval") == 0 &&
		!oms_machine_final(MACHINE_RETURN, work->claim->status) &&
		strcmp(work->claim->status, oms_machine_initial(MACHINE_RETURN)) != 0;
	bool		changed = false;

	for (int i = 0; i < work->claim_line_count; i++)
	{
		ClaimLine  *line = &work->claim_lines[i];
		int32		units = early ? line->requested : line->received;

		if (line->return_id != work->claim->return_id || line->credited == units)
			continue;
		line->credited = units;
		changed = true;
	}
	return changed;
}

static ShareCharges
charges_rule(const Claim *claim)
{
	if (strcmp(claim->charges_rule, "none") == 0)
		return SHARE_CHARGES_NONE;
	return strcmp(claim->charges_rule, "proportional") == 0 ? SHARE_CHARGES_PROPORTIONAL : SHARE_CHARGES_COMPLETE;
}

/* Asks about the units that all returns count, or those of the others alone. */
static void
ask_units(Settlement *work, bool others)
{
	ShareOrder *share = &work->order_worth->share;
	int32	   *units = palloc0(sizeof(int32) * Max(1, share->line_count));

	for (int i = 0; i < work->claim_line_count; i++)
	{
		const ClaimLine *line = &work->claim_lines[i];
		int			position = oms_order_worth_line(work->order_worth, line->line_no);

		if (position >= 0 && !(others && line->return_id == work->claim->return_id))
			units[position] += line->credited;
	}
	for (int i = 0; i < share->line_count; i++)
		if (units[i] != share->lines[i].reached)
			oms_order_worth_ask(work->order_worth, i, units[i]);
}

/*
 * What the goods of a return are worth, line by line: what is a line's own, and
 * of the rest (what belongs to the whole order) the part by price.
 */
static void
value_lines(Settlement *work)
{
	ShareOrder *share = &work->order_worth->share;
	int64		rest = order_share_goods(&work->claim->worth);
	int64	   *own = palloc(sizeof(int64) * Max(1, share->line_count));
	int64	   *before = palloc(sizeof(int64) * Max(1, share->line_count));
	int64	   *prices = palloc(sizeof(int64) * Max(1, share->line_count));
	int64	   *weights = palloc0(sizeof(int64) * Max(1, work->claim_line_count));
	int64	   *parts = palloc0(sizeof(int64) * Max(1, work->claim_line_count));
	ClaimLine **lines = palloc(sizeof(ClaimLine *) * Max(1, work->claim_line_count));
	int			count = 0;

	order_share_of_lines(share, own);
	for (int i = 0; i < share->line_count; i++)
		prices[i] = share->lines[i].items;
	ask_units(work, true);
	order_share_of_lines(share, before);
	for (int i = 0; i < work->claim_line_count; i++)
	{
		int			position = oms_order_worth_line(work->order_worth, work->claim_lines[i].line_no);

		if (work->claim_lines[i].return_id != work->claim->return_id || position < 0)
			continue;
		lines[count] = &work->claim_lines[i];
		lines[count]->refund = own[position] - before[position];
		rest -= lines[count]->refund;
		weights[count++] = Max(0, prices[position] - share->lines[position].items);
	}
	order_share_spread(rest, weights, count, parts);
	for (int i = 0; i < count; i++)
		lines[i]->refund += parts[i];
}

static int64
worth_of(const Claim *claim)
{
	return order_share_goods(&claim->worth) + claim->worth.charges;
}

/* The fixed fee and the percentages of the lines; never more than comes back. */
static void
value_fee(Settlement *work)
{
	Claim	   *claim = work->claim;
	int64		fee = 0;
	bool		any = false;

	for (int i = 0; i < work->claim_line_count; i++)
	{
		ClaimLine  *line = &work->claim_lines[i];

		if (line->return_id != claim->return_id || line->credited == 0)
			continue;
		any = true;
		fee += order_share_percent(line->refund, line->percent);
	}
	if (any)
		fee += claim->restocking_fee;
	claim->fee = Max(0, Min(fee, worth_of(claim)));
}

/* The return that changed takes the difference to what all returns are worth now. */
static void
value_claim(Settlement *work)
{
	ShareAmounts now;
	ShareAmounts others = {0};

	ask_units(work, false);
	for (int i = 0; i < work->claim_count; i++)
	{
		const ShareAmounts *worth = &work->claims[i].worth;

		if (&work->claims[i] == work->claim)
			continue;
		others.items += worth->items;
		others.discount += worth->discount;
		others.tax += worth->tax;
		others.included_tax += worth->included_tax;
		others.charges += worth->charges;
	}
	now = order_share(&work->order_worth->share, charges_rule(work->claim));
	/* What was once refunded stays refunded. */
	now.charges = Max(now.charges, others.charges);
	work->claim->worth = (ShareAmounts) {
		.items = now.items - others.items,.discount = now.discount - others.discount,.tax = now.tax - others.tax,
		.included_tax = now.included_tax - others.included_tax,.charges = now.charges - others.charges
	};
	value_lines(work);
	value_fee(work);
}

/* ---- Granting ---- */

/* Whether a return's worth is to be granted by now. */
static bool
is_due(const Claim *claim)
{
	if (strcmp(claim->refund_on, "manual") == 0)
		return false;
	return strcmp(claim->refund_on, "closing") != 0 || oms_machine_final(MACHINE_RETURN, claim->status);
}

static int64
due_amount(const Settlement *work)
{
	int64		due = 0;

	for (int i = 0; i < work->claim_count; i++)
		if (is_due(&work->claims[i]))
			due += worth_of(&work->claims[i]) - work->claims[i].fee - work->claims[i].refunded;
	return due;
}

typedef struct Revocable
{
	int			count;
	int64		ids[100];
	Numeric		amounts[100];
} Revocable;

static void
collect_revocable(TupleTableSlot *slot, void *state)
{
	Revocable  *list = state;

	if (list->count == lengthof(list->ids))
		return;
	list->ids[list->count] = oms_slot_int64(slot, 1);
	list->amounts[list->count++] = oms_slot_numeric(slot, 2);
}

/* Takes back what was granted for units that did not come, as long as nobody was asked to pay it. */
static void
revoke_early(Settlement *work, int64 *due)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(work->order->order_id),
		Int64GetDatum(work->claim->return_id), CStringGetTextDatum(oms_machine_initial(MACHINE_REFUND))};
	Revocable	list = {0};

	(void) oms_execute_each(&revocable_plan, values, NULL, collect_revocable, &list);
	for (int i = 0; i < list.count && *due < 0; i++)
	{
		int64		amount = units_of(work, list.amounts[i]);

		oms_refund_revoke(work->order, list.ids[i], "not all units came back");
		work->claim->refunded -= amount;
		*due += amount;
	}
}

static void
grant(Settlement *work)
{
	int64		due = due_amount(work);
	Balance		balance;
	int64		owed;

	if (!is_due(work->claim))
		return;
	if (due < 0)
		revoke_early(work, &due);
	if (due <= 0)
		return;
	oms_balance_read(work->order->order_id, &balance);
	owed = units_of(work, oms_balance_owed(work->order->total, &balance));
	due = Min(due, owed);
	if (due <= 0)
		return;
	(void) oms_refund_grant(work->order, oms_money_of_units(due, work->digits),
							psprintf("return " INT64_FORMAT, work->claim->return_id), work->claim->return_id);
	work->claim->refunded += due;
}

/* The event keeps every figure, so that audit can compare them. */
static void
note_worth(const Settlement *work)
{
	const Claim *claim = work->claim;
	const struct
	{
		const char *name;
		int64		amount;
	}			amounts[] = {
		{"items", claim->worth.items}, {"discount", claim->worth.discount}, {"tax", claim->worth.tax},
		{"included_tax", claim->worth.included_tax}, {"charges", claim->worth.charges}, {"fee", claim->fee},
		{"granted", claim->refunded}
	};
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "currency", work->order->currency);
	for (int i = 0; i < lengthof(amounts); i++)
		oms_write_numeric(&writer, amounts[i].name, oms_money_of_units(amounts[i].amount, work->digits));
	oms_write_begin_array(&writer, "lines");
	for (int i = 0; i < work->claim_line_count; i++)
	{
		const ClaimLine *line = &work->claim_lines[i];

		if (line->return_id != claim->return_id)
			continue;
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "line_no", line->line_no);
		oms_write_int64(&writer, "quantity", line->credited);
		oms_write_numeric(&writer, "refund", oms_money_of_units(line->refund, work->digits));
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	oms_event(&(Event) {.order_id = work->order->order_id,.object_id = claim->return_id,.object_type = MACHINE_RETURN,
						.type = "return.valued",.data = oms_write_finish(&writer)});
}

static void
write_claim(const Settlement *work)
{
	const Claim *claim = work->claim;
	int32	   *numbers = palloc(sizeof(int32) * work->claim_line_count);
	int32	   *credited = palloc(sizeof(int32) * work->claim_line_count);
	Datum	   *refunds = palloc(sizeof(Datum) * work->claim_line_count);
	bool	   *nulls = palloc0(sizeof(bool) * work->claim_line_count);
	int64		amounts[] = {claim->worth.items, claim->worth.discount, claim->worth.tax, claim->worth.included_tax,
	claim->worth.charges, claim->fee, claim->refunded};
	int			count = 0;
	Datum		values[9] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(claim->return_id)};

	for (int i = 0; i < lengthof(amounts); i++)
		values[2 + i] = NumericGetDatum(oms_money_of_units(amounts[i], work->digits));
	(void) oms_execute(&write_plan, values, NULL);
	for (int i = 0; i < work->claim_line_count; i++)
	{
		const ClaimLine *line = &work->claim_lines[i];

		if (line->return_id != claim->return_id)
			continue;
		numbers[count] = line->line_no;
		credited[count] = line->credited;
		refunds[count++] = NumericGetDatum(oms_money_of_units(line->refund, work->digits));
	}
	values[2] = oms_array_int32(numbers, count);
	values[3] = oms_array_int32(credited, count);
	values[4] = oms_array_datum(refunds, nulls, count, NUMERICOID);
	(void) oms_execute(&write_lines_plan, values, NULL);
}

/*
 * Values a return of a locked order whose units or state have changed, and
 * grants what is due.  The caller refreshes the order.
 */
void
oms_return_settle(Order *order, int64 return_id)
{
	Settlement	work = {.order = order,.digits = oms_currency_digits(order->currency)};
	int64		refunded;
	bool		changed;

	read_claims(&work, return_id);
	changed = count_units(&work);
	if (changed)
	{
		work.order_worth = oms_order_worth_read(order, NULL);
		value_claim(&work);
	}
	if (!changed && !oms_machine_final(MACHINE_RETURN, work.claim->status))
		return;
	refunded = work.claim->refunded;
	grant(&work);
	if (!changed && refunded == work.claim->refunded)
		return;
	write_claim(&work);
	note_worth(&work);
	oms_refund_follow(order->order_id);
}

/* What a return will be worth once all its units count; nothing is written. */
ReturnWorth
oms_return_expect(Order *order, int64 return_id)
{
	Settlement	work = {.order = order,.digits = oms_currency_digits(order->currency)};
	const Claim *claim;

	read_claims(&work, return_id);
	for (int i = 0; i < work.claim_line_count; i++)
		if (work.claim_lines[i].return_id == return_id)
			work.claim_lines[i].credited = work.claim_lines[i].requested;
	work.order_worth = oms_order_worth_read(order, NULL);
	value_claim(&work);
	claim = work.claim;
	return (ReturnWorth)
	{
		.items = oms_money_of_units(claim->worth.items, work.digits),
			.discount = oms_money_of_units(claim->worth.discount, work.digits),
			.tax = oms_money_of_units(claim->worth.tax, work.digits),
			.included_tax = oms_money_of_units(claim->worth.included_tax, work.digits),
			.total = oms_money_of_units(worth_of(claim) - claim->fee, work.digits)
	};
}
