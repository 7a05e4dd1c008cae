/*
 * order_divide.c
 *	  Dividing lines of placed orders.
 *
 * The edit has taken the units that go elsewhere off their line; here they
 * become lines of their own, which wait to be planned for their deliveries.
 * What was adjusted on a line for the units that are left of it is spread over
 * the parts, so that the order costs to the cent what it did.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "divided_line.h"
#include "money.h"
#include "relation.h"

/* What else hangs on the lines: $4 is the time. */
static OmsPlan facts_plan = {
	.sql = "SELECT l.line_no, l.unit_price,"
	" (SELECT k.kit_no FROM {order_kit_lines} k WHERE k.order_id = $2 AND k.line_no = l.line_no AND k.tenant_id = $1),"
	" (SELECT s.wanted_line_no FROM {order_substitutes} s WHERE s.order_id = $2 AND s.line_no = l.line_no AND s.tenant_id = $1),"
	" (SELECT min(h.hold_id) FROM {holds} h WHERE h.order_id = $2 AND h.line_no = l.line_no AND h.tenant_id = $1"
	" AND h.released_at IS NULL AND (h.release_at IS NULL OR h.release_at > $4))"
	" FROM {order_lines} l WHERE l.order_id = $2 AND l.tenant_id = $1 AND l.line_no = ANY ($3) ORDER BY l.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4ARRAYOID, TIMESTAMPTZOID)
};

/*
 * A row per new line: the line that it comes from, of which before units stay
 * or are in earlier parts, of whole that are left, with what was cancelled beside
 * them.
 */
#define PART_ROWS \
	" FROM unnest($3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[], $9::int[])" \
	" u(source, line_no, delivery_no, quantity, before, whole, cancelled)"
#define PART_TYPES \
	INT4OID, INT8OID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4OID

/* What an adjustment j is for the units that are left, for which one of this very edit was agreed. */
#define LEFT_OF_ADJUSTMENT \
	"round(j.amount * least(u.whole, coalesce(j.basis, u.whole)) / coalesce(j.basis, u.whole), $10)"

#define WEIGHT_UNTIL(units) "round((l.attributes ->> 'weight_grams')::numeric * (" units ") / (u.cancelled + u.whole))"

static OmsPlan lines_plan = {
	.sql = "INSERT INTO {order_lines} (order_id, item_id, tenant_id, line_no, delivery_no, location_id, ordered, unit_price, amount,"
	" name, lot, attributes, together, divided_from)"
	" SELECT $2, l.item_id, $1, u.line_no, u.delivery_no, l.location_id, u.quantity, l.unit_price,"
	" round(l.unit_price * u.quantity, $10), l.name, l.lot, CASE WHEN jsonb_typeof(l.attributes -> 'weight_grams') = 'number'"
	" THEN l.attributes || jsonb_build_object('weight_grams', " WEIGHT_UNTIL("u.cancelled + u.before + u.quantity") " - "
	WEIGHT_UNTIL("u.cancelled + u.before") ") ELSE l.attributes END, l.together, coalesce(l.divided_from, l.line_no)"
	PART_ROWS " JOIN {order_lines} l ON l.order_id = $2 AND l.line_no = u.source AND l.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(PART_TYPES)
};

static OmsPlan weight_plan = {
	.sql = "UPDATE {order_lines} l SET attributes = l.attributes || jsonb_build_object('weight_grams', " WEIGHT_UNTIL("u.cancelled + u.before")
	") FROM (SELECT DISTINCT ON (u.source) u.*" PART_ROWS " ORDER BY u.source, u.before) u"
	" WHERE l.order_id = $2 AND l.tenant_id = $1 AND l.line_no = u.source AND jsonb_typeof(l.attributes -> 'weight_grams') = 'number'",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(PART_TYPES)
};

static OmsPlan new_adjustments_plan = {
	.sql = "INSERT INTO {order_adjustments} (order_id, tenant_id, adjustment_no, line_no, included, type, code, amount)"
	" SELECT $2, $1, m.last + row_number() OVER (ORDER BY x.line_no, x.adjustment_no), x.line_no, x.included, x.type, x.code, x.amount"
	" FROM (SELECT u.line_no, j.adjustment_no, j.included, j.type, j.code,"
	" round(s.share * (u.before + u.quantity) / u.whole, $10) - round(s.share * u.before / u.whole, $10) AS amount"
	PART_ROWS " JOIN {order_adjustments} j ON j.order_id = $2 AND j.line_no = u.source AND j.tenant_id = $1"
	" CROSS JOIN LATERAL (SELECT " LEFT_OF_ADJUSTMENT " AS share) s) x"
	" CROSS JOIN (SELECT coalesce(max(adjustment_no), 0) AS last FROM {order_adjustments} WHERE order_id = $2 AND tenant_id = $1) m"
	" WHERE x.amount <> 0",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(PART_TYPES)
};

static OmsPlan adjustments_plan = {
	.sql = "UPDATE {order_adjustments} j SET amount = round(" LEFT_OF_ADJUSTMENT " * u.before / u.whole, $10), basis = u.before"
	" FROM (SELECT DISTINCT ON (u.source) u.*" PART_ROWS " ORDER BY u.source, u.before) u"
	" WHERE j.order_id = $2 AND j.tenant_id = $1 AND j.line_no = u.source",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(PART_TYPES)
};

/* ---- Checking ---- */

typedef struct Check
{
	const LineDivision *divisions;
	int			count;
	int			digits;
	FaultList  *faults;
} Check;

/* What is cancelled of a line once the edit is made. */
static int32
cancelled_after(const LineDivision *division)
{
	return division->line->cancelled + Max(0, division->line->ordered - division->line->cancelled - division->quantity);
}

static Numeric
cost(Numeric unit_price, int32 units, int digits)
{
	return oms_money_round(oms_money_multiply(unit_price, units), digits);
}

/* Whether the parts cost what the line costs. */
static bool
adds_up(const LineDivision *division, Numeric unit_price, int digits)
{
	Numeric		sum = oms_money_zero();

	for (int i = 0; i < division->count; i++)
		sum = oms_money_add(sum, cost(unit_price, division->parts[i].quantity, digits));
	return oms_money_compare(cost(unit_price, division->quantity, digits), sum) == 0;
}

static void
check_line(TupleTableSlot *slot, void *state)
{
	Check	   *check = state;
	const LineDivision *division = check->divisions;
	int32		line_no = oms_slot_int32(slot, 1);
	int32		kit_no = oms_slot_int32(slot, 3);
	int32		wanted_no = oms_slot_int32(slot, 4);
	int64		hold_id = oms_slot_int64(slot, 5);
	Numeric		unit_price = oms_slot_numeric(slot, 2);

	while (division->count < 2 || division->line->line_no != line_no)
		division++;
	if (division->unit_price != NULL)
		unit_price = division->unit_price;
	if (kit_no != 0)
		oms_fault(check->faults, ERRCODE_OMS_TRANSITION, "Cancel sets and add the kit, which may be divided then.", division->place,
				  "line %d is of kit %d, which is not divided any more", line_no, kit_no);
	if (wanted_no != 0)
		oms_fault(check->faults, ERRCODE_OMS_TRANSITION, "Cancel its units and add a line for the other delivery.", division->place,
				  "line %d stands for another item, so it is not divided", line_no);
	if (hold_id != 0)
		oms_fault(check->faults, ERRCODE_OMS_HOLD, "oms.release_hold lifts it; then it can be placed on each part.", division->place,
				  "hold " INT64_FORMAT " stands on line %d", hold_id, line_no);
	if (!adds_up(division, unit_price, check->digits))
		oms_fault(check->faults, ERRCODE_OMS_MONEY, "Divide it in other quantities, or give it a price that is rounded to the currency.",
				  division->place, "at %s each the parts do not cost what line %d costs", oms_money_text(unit_price), line_no);
}

/* Notes what keeps lines from being divided.  What has been released stays where it is. */
void
oms_line_divisions_check(const Order *order, const LineDivision *divisions, int count, FaultList *faults)
{
	Check		check = {divisions, count, oms_currency_digits(order->currency), faults};
	int32	   *numbers = palloc(sizeof(int32) * Max(1, count));
	int			divided = 0;
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->order_id), 0, TimestampTzGetDatum(oms_call->now)};

	for (int i = 0; i < count; i++)
	{
		const LineDivision *division = &divisions[i];
		int32		stays = division->count > 1 ? division->parts[division->stays].quantity : 0;

		if (division->count < 2)
			continue;
		numbers[divided++] = division->line->line_no;
		if (stays < division->line->released)
			oms_fault(faults, ERRCODE_OMS_TRANSITION, "What is released stays in its delivery.", division->place,
					  "%d of line %d are released, and only %d would stay", division->line->released,
					  division->line->line_no, stays);
	}
	values[2] = oms_array_int32(numbers, divided);
	if (divided > 0)
		(void) oms_execute_each(&facts_plan, values, NULL, check_line, &check);
}

/* ---- Writing ---- */

/* The arguments of the statements above; the new lines are numbered in the order of the divisions. */
static void
part_values(const LineDivision *divisions, int count, int new_lines, int32 last_no, Datum *values)
{
	int32	   *numbers = palloc(sizeof(int32) * 7 * new_lines);
	int			row = 0;

	for (int i = 0; i < count; i++)
	{
		const LineDivision *division = &divisions[i];
		int32		before = division->count > 0 ? division->parts[division->stays].quantity : 0;

		for (int j = 0; j < division->count; j++)
		{
			if (j == division->stays)
				continue;
			numbers[row] = division->line->line_no;
			numbers[new_lines + row] = last_no + row + 1;
			numbers[2 * new_lines + row] = division->parts[j].delivery_no;
			numbers[3 * new_lines + row] = division->parts[j].quantity;
			numbers[4 * new_lines + row] = before;
			numbers[5 * new_lines + row] = division->quantity;
			numbers[6 * new_lines + row] = cancelled_after(division);
			before += division->parts[j].quantity;
			row++;
		}
	}
	for (int i = 0; i < 7; i++)
		values[2 + i] = oms_array_int32(numbers + i * new_lines, new_lines);
}

/* Makes lines of the parts, numbered after last_no; they wait without a promise. */
void
oms_line_divisions_write(const Order *order, const LineDivision *divisions, int count, int new_lines, int32 last_no)
{
	Datum		values[10];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(order->order_id);
	part_values(divisions, count, new_lines, last_no, values);
	values[9] = Int32GetDatum(oms_currency_digits(order->currency));
	(void) oms_execute(&lines_plan, values, NULL);
	(void) oms_execute(&weight_plan, values, NULL);
	(void) oms_execute(&new_adjustments_plan, values, NULL);
	(void) oms_execute(&adjustments_plan, values, NULL);
}
