/*
 * order_worth.c
 *	  Lines, prices and adjustments of an order, read for order_share.c.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "money.h"
#include "order_worth.h"
#include "relation.h"

static OmsPlan lines_plan = {
	.sql = "SELECT line_no, ordered - cancelled, unit_price,"
	" CASE $3 WHEN 'release' THEN released WHEN 'shipping' THEN shipped ELSE 0 END"
	" FROM {order_lines} WHERE order_id = $2 AND tenant_id = $1 ORDER BY line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

/* What each was agreed for is what the order's totals take: see totals_plan of order.c. */
static OmsPlan adjustments_plan = {
	.sql = "SELECT coalesce(j.line_no, 0), j.type, j.included, j.amount, coalesce(j.basis, l.ordered, t.placed)"
	" FROM {order_adjustments} j CROSS JOIN (SELECT sum(amount) AS placed FROM {order_lines}"
	" WHERE order_id = $2 AND tenant_id = $1) t"
	" LEFT JOIN {order_lines} l ON l.order_id = $2 AND l.line_no = j.line_no AND l.tenant_id = $1"
	" WHERE j.order_id = $2 AND j.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan stage_plan = {
	.sql = "SELECT coalesce(sum(ordered - cancelled), 0), coalesce(sum(CASE $3 WHEN 'release' THEN released ELSE shipped END), 0)"
	" FROM {order_lines} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

typedef struct Stage
{
	int64		all_units;
	int64		units;
} Stage;

static void
read_stage(TupleTableSlot *slot, void *state)
{
	Stage	   *stage = state;

	stage->all_units = oms_slot_int64(slot, 1);
	stage->units = oms_slot_int64(slot, 2);
}

static int64
price_of(const OrderWorth *worth, int line, int32 units)
{
	return oms_money_units(oms_money_round(oms_money_multiply(worth->prices[line], units), worth->digits), worth->digits);
}

static void
collect_line(TupleTableSlot *slot, void *state)
{
	OrderWorth *worth = state;
	int			line = worth->share.line_count++;

	if (line == worth->capacity)
	{
		worth->capacity = Max(8, worth->capacity * 2);
		worth->numbers = oms_grown(worth->numbers, sizeof(int32) * worth->capacity);
		worth->prices = oms_grown(worth->prices, sizeof(Numeric) * worth->capacity);
		worth->share.lines = oms_grown(worth->share.lines, sizeof(ShareLine) * worth->capacity);
	}
	worth->numbers[line] = oms_slot_int32(slot, 1);
	worth->prices[line] = oms_slot_numeric(slot, 3);
	worth->share.lines[line].units = oms_slot_int32(slot, 2);
	worth->share.lines[line].all_items = price_of(worth, line, worth->share.lines[line].units);
	oms_order_worth_ask(worth, line, oms_slot_int32(slot, 4));
}

static ShareKind
kind_of(const char *type, bool included)
{
	if (strcmp(type, "discount") == 0)
		return SHARE_DISCOUNT;
	if (strcmp(type, "tax") == 0)
		return included ? SHARE_INCLUDED_TAX : SHARE_TAX;
	return SHARE_CHARGE;
}

static void
collect_adjustment(TupleTableSlot *slot, void *state)
{
	OrderWorth *worth = state;
	int32		line_no = oms_slot_int32(slot, 1);
	Numeric		basis = oms_slot_numeric(slot, 5);
	bool		fine = line_no == 0 && !oms_money_is_rounded(basis, worth->digits);
	ShareAdjustment adjustment = {
		.kind = kind_of(oms_slot_text(slot, 2), oms_slot_bool(slot, 3)),
		.line = line_no == 0 ? -1 : oms_order_worth_line(worth, line_no),
		.amount = oms_money_units(oms_slot_numeric(slot, 4), worth->digits),
		.basis_parts = fine ? 1000 : 1,
		.basis = oms_money_units(fine ? oms_money_multiply(basis, 1000) : basis, line_no == 0 ? worth->digits : 0)
	};

	if (line_no != 0 && adjustment.line < 0)
		return;
	if (adjustment.kind == SHARE_DISCOUNT)
		adjustment.amount = -adjustment.amount;
	if (worth->share.adjustment_count == worth->adjustment_capacity)
	{
		worth->adjustment_capacity = Max(8, worth->adjustment_capacity * 2);
		worth->share.adjustments = oms_grown(worth->share.adjustments, sizeof(ShareAdjustment) * worth->adjustment_capacity);
	}
	worth->share.adjustments[worth->share.adjustment_count++] = adjustment;
}

int
oms_order_worth_line(const OrderWorth *worth, int32 line_no)
{
	int			low = 0;
	int			high = worth->share.line_count - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;

		if (worth->numbers[middle] == line_no)
			return middle;
		if (worth->numbers[middle] < line_no)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return -1;
}

void
oms_order_worth_ask(OrderWorth *worth, int line, int32 units)
{
	worth->share.lines[line].reached = units;
	worth->share.lines[line].items = price_of(worth, line, units);
}

OrderWorth *
oms_order_worth_read(const Order *order, const char *stage)
{
	OrderWorth *worth = palloc0(sizeof(OrderWorth));
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->order_id),
	CStringGetTextDatum(stage ? stage : "")};

	worth->digits = oms_currency_digits(order->currency);
	(void) oms_execute_each(&lines_plan, values, NULL, collect_line, worth);
	(void) oms_execute_each(&adjustments_plan, values, NULL, collect_adjustment, worth);
	return worth;
}

/* The total itself with the last unit, so amounts of any size can be captured in one. */
Numeric
oms_order_worth(const Order *order, const char *stage)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->order_id), CStringGetTextDatum(stage)};
	Stage		reach = {0};
	OrderWorth *worth;
	ShareAmounts share;

	if (strcmp(stage, "placing") == 0)
		return order->total;
	(void) oms_execute_each(&stage_plan, values, NULL, read_stage, &reach);
	if (reach.units == 0)
		return oms_money_zero();
	if (reach.units == reach.all_units)
		return order->total;
	worth = oms_order_worth_read(order, stage);
	share = order_share(&worth->share, SHARE_CHARGES_FIRST);
	return oms_money_of_units(order_share_goods(&share) + share.charges, worth->digits);
}
