/*
 * order_edit.c
 *	  Changing placed orders.
 *
 * An edit is made of what the other files do: units that go are given up as
 * cancel_order gives them up, units that come are planned and promised as
 * place_order does it, and the derived follows in oms_order_refresh.  Where the
 * address, the service or the date changes, what is not released yet is given
 * up and planned anew.  What an edit replaces is kept in order_versions.
 *
 * An edit may give up promises and take others, so it locks counters twice.
 * Two edits that cross each other are the one case where the server may have to
 * break a deadlock; the one it breaks reports OM011.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "allocation.h"
#include "call.h"
#include "divided_line.h"
#include "document.h"
#include "event.h"
#include "fulfillment.h"
#include "hold.h"
#include "kit.h"
#include "location.h"
#include "machine.h"
#include "money.h"
#include "order.h"
#include "order_addition.h"
#include "order_place.h"
#include "order_placement.h"
#include "payment.h"
#include "reference_check.h"
#include "relation.h"

typedef struct LineChange
{
	int32		line_no;
	int32		delivery_no;	/* DOC_ABSENT: as it is */
	int32		quantity;		/* DOC_ABSENT: as it is */
	char	   *name;
	char	   *external_ref;
	Numeric		unit_price;
	Jsonb	   *attributes;
	DocArray	deliveries;		/* of LinePart, in the place of delivery_no */
} LineChange;

typedef struct AdjustmentChange
{
	int32		line_no;
	char	   *type;
	char	   *code;
	Numeric		amount;
	int8		included;
} AdjustmentChange;

typedef struct DeliveryChange
{
	int32		delivery_no;
	char	   *method;
	char	   *pickup_location;
	char	   *service;
	Jsonb	   *ship_to;
	TimestampTz requested_at;
} DeliveryChange;

typedef struct Changes
{
	DocArray	deliveries;
	DocArray	lines;
	DocArray	add;
	DocArray	adjustments;
	Jsonb	   *customer;
	Jsonb	   *ship_to;
	Jsonb	   *bill_to;
	Jsonb	   *attributes;
	char	   *method;
	char	   *pickup_location;
	char	   *service;
	char	   *notes;
	char	   *reason;
	TimestampTz requested_at;
	int32		priority;		/* DOC_ABSENT: as it is */
} Changes;

static const char *const adjustment_types[] = {"discount", "tax", "shipping", "fee", NULL};

static const DocField line_fields[] = {
	{"line_no", DOC_INT, offsetof(LineChange, line_no), .required = true,.least = 1,.most = PG_INT32_MAX},
	{"quantity", DOC_INT, offsetof(LineChange, quantity), .least = 0,.most = OMS_QUANTITY_MAX},
	{"unit_price", DOC_MONEY, offsetof(LineChange, unit_price)},
	{"delivery_no", DOC_INT, offsetof(LineChange, delivery_no), .least = 1,.most = PG_INT32_MAX},
	{"name", DOC_TEXT, offsetof(LineChange, name)},
	{"external_ref", DOC_CODE, offsetof(LineChange, external_ref)},
	{"attributes", DOC_OBJECT, offsetof(LineChange, attributes)},
	{"deliveries", DOC_ARRAY, offsetof(LineChange, deliveries), .least = 1,.most = OMS_DELIVERIES_PER_ORDER_MAX,
	.shape = &oms_line_part_shape},
};

static const DocShape line_shape = DOC_SHAPE_OF(LineChange, line_fields, "a change of a line");

static const DocField adjustment_fields[] = {
	{"line_no", DOC_INT, offsetof(AdjustmentChange, line_no), .least = 1,.most = PG_INT32_MAX},
	{"type", DOC_TEXT, offsetof(AdjustmentChange, type), .required = true,.choices = adjustment_types},
	{"code", DOC_CODE, offsetof(AdjustmentChange, code)},
	{"amount", DOC_MONEY, offsetof(AdjustmentChange, amount), .required = true,.minus = true},
	{"included", DOC_BOOL, offsetof(AdjustmentChange, included)},
};

static const DocShape adjustment_shape = DOC_SHAPE_OF(AdjustmentChange, adjustment_fields, "an adjustment");

static const DocField delivery_fields[] = {
	{"delivery_no", DOC_INT, offsetof(DeliveryChange, delivery_no), .required = true,.least = 1,.most = PG_INT32_MAX},
	{"method", DOC_TEXT, offsetof(DeliveryChange, method), .choices = oms_delivery_methods},
	{"pickup_location", DOC_CODE, offsetof(DeliveryChange, pickup_location)},
	{"service", DOC_CODE, offsetof(DeliveryChange, service)},
	{"ship_to", DOC_OBJECT, offsetof(DeliveryChange, ship_to)},
	{"requested_at", DOC_TIME, offsetof(DeliveryChange, requested_at)},
};

static const DocShape delivery_shape = DOC_SHAPE_OF(DeliveryChange, delivery_fields, "a change of a delivery");

static const DocField change_fields[] = {
	{"deliveries", DOC_ARRAY, offsetof(Changes, deliveries), .most = OMS_DELIVERIES_PER_ORDER_MAX,.shape = &delivery_shape},
	{"lines", DOC_ARRAY, offsetof(Changes, lines), .most = OMS_LINES_PER_ORDER_MAX,.shape = &line_shape},
	{"add", DOC_ARRAY, offsetof(Changes, add), .most = OMS_LINES_PER_ORDER_MAX,.shape = &oms_order_line_shape},
	{"adjustments", DOC_ARRAY, offsetof(Changes, adjustments), .most = 1000,.shape = &adjustment_shape},
	{"customer", DOC_OBJECT, offsetof(Changes, customer)},
	{"ship_to", DOC_OBJECT, offsetof(Changes, ship_to)},
	{"bill_to", DOC_OBJECT, offsetof(Changes, bill_to)},
	{"attributes", DOC_OBJECT, offsetof(Changes, attributes)},
	{"method", DOC_TEXT, offsetof(Changes, method), .choices = oms_delivery_methods},
	{"pickup_location", DOC_CODE, offsetof(Changes, pickup_location)},
	{"service", DOC_CODE, offsetof(Changes, service)},
	{"requested_at", DOC_TIME, offsetof(Changes, requested_at)},
	{"priority", DOC_INT, offsetof(Changes, priority), .least = -OMS_PRIORITY_MAX,.most = OMS_PRIORITY_MAX},
	{"notes", DOC_TEXT, offsetof(Changes, notes)},
	{"reason", DOC_TEXT, offsetof(Changes, reason)},
};

static const DocShape change_shape = DOC_SHAPE_OF(Changes, change_fields, "changes of an order");

/* A field that stands in the changes replaces the old one, null removes it. */
static OmsPlan header_plan = {
	.sql = "UPDATE {orders} SET version = version + 1,"
	" priority = CASE WHEN $3 ? 'priority' THEN coalesce(($3 ->> 'priority')::int, 0) ELSE priority END,"
	" notes = CASE WHEN $3 ? 'notes' THEN $3 ->> 'notes' ELSE notes END,"
	" attributes = CASE WHEN $3 ? 'attributes' THEN nullif($3 -> 'attributes', 'null') ELSE attributes END,"
	" bill_to = CASE WHEN $3 ? 'bill_to' THEN nullif($3 -> 'bill_to', 'null') ELSE bill_to END,"
	" customer_ref = CASE WHEN $3 ? 'customer' THEN $3 -> 'customer' ->> 'ref' ELSE customer_ref END,"
	" customer = CASE WHEN $3 ? 'customer' THEN nullif(nullif($3 -> 'customer', 'null') - 'ref', '{}') ELSE customer END"
	" WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID)
};

static OmsPlan delivery_plan = {
	.sql = "INSERT INTO {order_deliveries} AS d (order_id, tenant_id, delivery_no, method, pickup_location_id, service, address,"
	" requested_at) VALUES ($2, $1, coalesce(($3 ->> 'delivery_no')::int, 1), coalesce($3 ->> 'method', 'ship'), nullif($4, 0),"
	" $3 ->> 'service', nullif($3 -> 'ship_to', 'null'), ($3 ->> 'requested_at')::timestamptz)"
	" ON CONFLICT (order_id, delivery_no, tenant_id) DO UPDATE SET"
	" method = CASE WHEN $3 ? 'method' THEN excluded.method ELSE d.method END,"
	" pickup_location_id = CASE WHEN $3 ->> 'method' <> 'pickup' THEN NULL"
	" ELSE coalesce(excluded.pickup_location_id, d.pickup_location_id) END,"
	" service = CASE WHEN $3 ? 'service' THEN excluded.service ELSE d.service END,"
	" address = CASE WHEN $3 ? 'ship_to' THEN excluded.address ELSE d.address END,"
	" requested_at = CASE WHEN $3 ? 'requested_at' THEN excluded.requested_at ELSE d.requested_at END",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID, INT8OID)
};

static OmsPlan move_plan = {
	.sql = "UPDATE {order_lines} l SET delivery_no = u.delivery_no"
	" FROM unnest($3::int[], $4::int[]) u(line_no, delivery_no)"
	" WHERE l.order_id = $2 AND l.tenant_id = $1 AND l.line_no = u.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4ARRAYOID, INT4ARRAYOID)
};

static OmsPlan known_deliveries_plan = {
	.sql = "SELECT d.delivery_no, d.method FROM {order_deliveries} d WHERE d.order_id = $2 AND d.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan delivery_of_lines_plan = {
	.sql = "SELECT delivery_no FROM {order_lines} WHERE order_id = $2 AND tenant_id = $1 ORDER BY line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan line_plan = {
	.sql = "UPDATE {order_lines} l SET unit_price = coalesce(u.unit_price, l.unit_price), name = coalesce(u.name, l.name),"
	" external_ref = coalesce(u.external_ref, l.external_ref), attributes = coalesce(u.attributes, l.attributes)"
	" FROM jsonb_to_recordset($3) u(line_no int, unit_price numeric, name text, external_ref text, attributes jsonb)"
	" WHERE l.order_id = $2 AND l.tenant_id = $1 AND l.line_no = u.line_no",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID)
};

static OmsPlan amount_plan = {
	.sql = "UPDATE {order_lines} SET amount = round(unit_price * ordered, $3)"
	" WHERE order_id = $2 AND tenant_id = $1 AND amount <> round(unit_price * ordered, $3)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID)
};

static OmsPlan forget_adjustments_plan = {
	.sql = "DELETE FROM {order_adjustments} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan adjustments_plan = {
	.sql = "INSERT INTO {order_adjustments} (order_id, tenant_id, adjustment_no, line_no, included, type, code, amount)"
	" SELECT $2, $1, u.n, u.line_no, coalesce(u.included, false), u.type, u.code,"
	" CASE WHEN u.type = 'discount' THEN -abs(u.amount) ELSE u.amount END"
	" FROM ROWS FROM (jsonb_to_recordset($3) AS (line_no int, type text, code text, amount numeric, included boolean))"
	" WITH ORDINALITY u(line_no, type, code, amount, included, n)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID)
};

/* What is agreed now is agreed for the units and prices of now, whatever was cancelled before. */
static OmsPlan line_basis_plan = {
	.sql = "UPDATE {order_adjustments} a SET basis = l.ordered - l.cancelled FROM {order_lines} l"
	" WHERE a.order_id = $2 AND a.tenant_id = $1 AND a.basis IS NULL AND l.order_id = $2 AND l.tenant_id = $1"
	" AND l.line_no = a.line_no AND l.ordered > l.cancelled",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan order_basis_plan = {
	.sql = "UPDATE {order_adjustments} a SET basis = t.items FROM (SELECT sum(round(unit_price * (ordered - cancelled), $3)) AS items"
	" FROM {order_lines} WHERE order_id = $2 AND tenant_id = $1) t"
	" WHERE a.order_id = $2 AND a.tenant_id = $1 AND a.basis IS NULL AND a.line_no IS NULL",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID)
};

/*
 * Before an edit adds units, what was agreed is noted to be for those ordered
 * so far: who takes one more and gives it back again owes what he owed.
 */
static OmsPlan keep_line_basis_plan = {
	.sql = "UPDATE {order_adjustments} a SET basis = l.ordered FROM {order_lines} l WHERE a.order_id = $2 AND a.tenant_id = $1"
	" AND a.basis IS NULL AND l.order_id = $2 AND l.tenant_id = $1 AND l.line_no = a.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan keep_order_basis_plan = {
	.sql = "UPDATE {order_adjustments} a SET basis = t.placed FROM (SELECT sum(amount) AS placed FROM {order_lines}"
	" WHERE order_id = $2 AND tenant_id = $1) t"
	" WHERE a.order_id = $2 AND a.tenant_id = $1 AND a.basis IS NULL AND a.line_no IS NULL",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* Another price changes what the units are worth, not the part of them that is left ($4 + 3 decimals: see order_share.h). */
static OmsPlan reprice_basis_plan = {
	.sql = "UPDATE {order_adjustments} a SET basis = round(a.basis * t.after / t.before, $4 + 3) FROM (SELECT"
	" sum(round(l.unit_price * (l.ordered - l.cancelled), $4)) AS before,"
	" sum(round(coalesce(u.unit_price, l.unit_price) * (l.ordered - l.cancelled), $4)) AS after"
	" FROM {order_lines} l LEFT JOIN jsonb_to_recordset($3) u(line_no int, unit_price numeric) ON u.line_no = l.line_no"
	" WHERE l.order_id = $2 AND l.tenant_id = $1) t"
	" WHERE a.order_id = $2 AND a.tenant_id = $1 AND a.line_no IS NULL AND t.before > 0 AND t.after > 0",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID, INT4OID)
};

typedef struct Edit
{
	Order	   *order;
	Jsonb	   *source;
	Changes    *changes;
	OrderLines *lines;
	int32	   *more;			/* per line: units to be planned */
	int32	   *deliveries;		/* per line: its delivery before the edit */
	int			delivery_count;
	LineDivision *divisions;	/* per change of a line */
	int			new_lines;		/* that parts become */
	bool		reroutes;
	bool		moves;
	bool		gives_up;
	bool		adds;
} Edit;

/* The member of an object, NULL where it has none. */
static Jsonb *
member(Jsonb *document, const char *key)
{
	JsonbValue *value = getKeyJsonValueFromContainer(&document->root, key, strlen(key), NULL);

	return value == NULL ? NULL : JsonbValueToJsonb(value);
}

static bool
has(const Edit *edit, const char *key)
{
	return member(edit->source, key) != NULL;
}

static void
check_line(Edit *edit, int index, FaultList *faults)
{
	LineChange *change = (LineChange *) edit->changes->lines.items + index;
	OrderLine  *line = oms_order_line(edit->lines, change->line_no);
	int32		kept;

	for (int i = 0; i < index; i++)
		if (((LineChange *) edit->changes->lines.items + i)->line_no == change->line_no)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each line may stand once in a call.",
					  oms_document_place("lines", index, "line_no"), "line %d stands there twice", change->line_no);
	if (line == NULL)
	{
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.get_order shows the lines; new ones go to add.",
				  oms_document_place("lines", index, "line_no"), "line %d is not known", change->line_no);
		return;
	}
	if (change->quantity == DOC_ABSENT)
		return;
	kept = line->ordered - line->cancelled - oms_order_open_units(line);
	if (change->quantity < kept)
		oms_fault(faults, ERRCODE_OMS_TRANSITION, "What has shipped comes back as a return.",
				  oms_document_place("lines", index, "quantity"), "%d of line %d have shipped, so it cannot become %d", kept,
				  change->line_no, change->quantity);
	if ((int64) change->quantity + line->cancelled > OMS_QUANTITY_MAX)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Put the rest on another line.", oms_document_place("lines", index, "quantity"),
				  "a line holds at most %d units, those cancelled included", OMS_QUANTITY_MAX);
}

typedef struct DeliveryNumbers
{
	int			count;
	int32		numbers[OMS_DELIVERIES_PER_ORDER_MAX * 2 + 1];
	bool		pickup[OMS_DELIVERIES_PER_ORDER_MAX * 2 + 1];
} DeliveryNumbers;

static void
read_delivery_no(TupleTableSlot *slot, void *state)
{
	DeliveryNumbers *known = state;

	if (known->count > OMS_DELIVERIES_PER_ORDER_MAX)
		return;
	known->pickup[known->count] = strcmp(oms_slot_text(slot, 2), "pickup") == 0;
	known->numbers[known->count++] = oms_slot_int32(slot, 1);
}

static void
read_delivery_of_line(TupleTableSlot *slot, void *state)
{
	Edit	   *edit = state;

	edit->deliveries[edit->delivery_count++] = oms_slot_int32(slot, 1);
}

static bool
is_known(const DeliveryNumbers *known, int32 number)
{
	for (int i = 0; i < known->count; i++)
		if (known->numbers[i] == number)
			return true;
	return false;
}

/* A method and a place to pick up go together, those of before the edit included. */
static void
check_method(const char *method, const char *pickup_location, bool is_pickup, const char *place, FaultList *faults)
{
	Location   *location = pickup_location ? oms_location_find(pickup_location) : NULL;

	if (pickup_location && location == NULL)
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations adds it.", place, "location \"%s\" is not known", pickup_location);
	else if (location && !location->pickup)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Set pickup for the location.", place, "location \"%s\" is no pickup point",
				  pickup_location);
	if (method ? (strcmp(method, "pickup") == 0 && !is_pickup && pickup_location == NULL) : false)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Method pickup and pickup_location go together.", place,
				  "is required for method \"pickup\"");
	if (pickup_location && (method ? strcmp(method, "pickup") != 0 : !is_pickup))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Method pickup and pickup_location go together.", place, "needs method \"pickup\"");
}

/* Whether a known delivery is picked up. */
static bool
is_pickup(const DeliveryNumbers *known, int32 number)
{
	for (int i = 0; i < known->count; i++)
		if (known->numbers[i] == number)
			return known->pickup[i];
	return false;
}

static void
check_known(const DeliveryNumbers *known, int32 number, const char *place, FaultList *faults)
{
	if (!is_known(known, number))
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "Add it to deliveries.", place, "there is no delivery %d", number);
}

/* A line that goes to another delivery. */
static void
check_move(Edit *edit, int index, const DeliveryNumbers *known, FaultList *faults)
{
	LineChange *change = (LineChange *) edit->changes->lines.items + index;
	OrderLine  *line = oms_order_line(edit->lines, change->line_no);
	const char *place = oms_document_place("lines", index, change->deliveries.present ? "deliveries" : "delivery_no");

	if (change->delivery_no == DOC_ABSENT)
		return;
	edit->moves = true;
	check_known(known, change->delivery_no, place, faults);
	if (line && line->released > 0)
		oms_fault(faults, ERRCODE_OMS_TRANSITION, "Cancel its open units and add a line for the other delivery.", place,
				  "line %d is released, so it stays in its delivery", change->line_no);
}

/* A line of which parts go to other deliveries: that for its own stays, or the first of them takes the line along. */
static void
check_division(Edit *edit, int index, const DeliveryNumbers *known, FaultList *faults)
{
	LineChange *change = (LineChange *) edit->changes->lines.items + index;
	OrderLine  *line = oms_order_line(edit->lines, change->line_no);
	LineDivision *division = &edit->divisions[index];
	const char *place = oms_document_place("lines", index, "deliveries");
	int			before = faults->count;
	int32		own;

	if (line == NULL)
		return;
	*division = (LineDivision) {line, (LinePart *) change->deliveries.items, change->deliveries.count,
	.unit_price = change->unit_price,.place = place,
	.quantity = change->quantity != DOC_ABSENT ? change->quantity : line->ordered - line->cancelled};
	own = edit->deliveries[line - edit->lines->rows];
	oms_line_parts_check(&change->deliveries, division->quantity, change->delivery_no, place, faults);
	for (int i = 0; i < division->count; i++)
	{
		check_known(known, division->parts[i].delivery_no, psprintf("%s[%d].delivery_no", place, i), faults);
		if (division->parts[i].delivery_no == own)
			division->stays = i;
	}
	if (faults->count > before)
		return;
	edit->new_lines += division->count - 1;
	if (division->parts[division->stays].delivery_no == own)
		return;
	change->delivery_no = division->parts[0].delivery_no;
	check_move(edit, index, known, faults);
}

/* Whether there is room, and whether there are numbers, for the lines that an edit adds. */
static void
check_new_lines(const Edit *edit, FaultList *faults)
{
	int			count = edit->changes->add.count + edit->new_lines;
	const OrderLine *last = &edit->lines->rows[edit->lines->count - 1];

	if (edit->lines->count + count > OMS_LINES_PER_ORDER_MAX)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Place another order for the rest.", edit->new_lines > 0 ? "lines" : "add",
				  "an order has at most %d lines", OMS_LINES_PER_ORDER_MAX);
	if (count > PG_INT32_MAX - last->line_no)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Place another order for the rest.", edit->new_lines > 0 ? "lines" : "add",
				  "%d more numbers are needed after %d, and the last is %d", count, last->line_no, PG_INT32_MAX);
}

/* Lines may go to deliveries that the order has or that the edit makes. */
static void
check_deliveries(Edit *edit, FaultList *faults)
{
	Changes    *changes = edit->changes;
	DeliveryNumbers known = {0};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(edit->order->order_id)};

	(void) oms_execute_each(&known_deliveries_plan, values, NULL, read_delivery_no, &known);
	if (!is_known(&known, 1))
		known.numbers[known.count++] = 1;
	check_method(changes->method, changes->pickup_location, is_pickup(&known, 1), "pickup_location", faults);
	for (int i = 0; i < changes->deliveries.count; i++)
	{
		DeliveryChange *change = (DeliveryChange *) changes->deliveries.items + i;

		for (int j = 0; j < i; j++)
			if (((DeliveryChange *) changes->deliveries.items + j)->delivery_no == change->delivery_no)
				oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each delivery may stand once in a call.",
						  oms_document_place("deliveries", i, "delivery_no"), "%d stands there twice", change->delivery_no);
		if (change->ship_to)
			oms_order_check_address(change->ship_to, oms_document_place("deliveries", i, "ship_to"), faults);
		check_method(change->method, change->pickup_location, is_pickup(&known, change->delivery_no),
					 oms_document_place("deliveries", i, "pickup_location"), faults);
		if (!is_known(&known, change->delivery_no))
			known.numbers[known.count++] = change->delivery_no;
	}
	if (known.count > OMS_DELIVERIES_PER_ORDER_MAX)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Place another order for the rest.", "deliveries",
				  "an order has at most %d deliveries", OMS_DELIVERIES_PER_ORDER_MAX);
	for (int i = 0; i < changes->lines.count; i++)
		if (((LineChange *) changes->lines.items + i)->deliveries.present)
			check_division(edit, i, &known, faults);
		else
			check_move(edit, i, &known, faults);
	check_new_lines(edit, faults);
}

/* A reference names one line of its order. */
static void
check_references(const Edit *edit, FaultList *faults)
{
	const Changes *changes = edit->changes;
	ReferenceList references = {0};

	for (int i = 0; i < changes->lines.count; i++)
	{
		LineChange *change = (LineChange *) changes->lines.items + i;

		if (change->external_ref != NULL)
			oms_reference_add(&references, change->external_ref, oms_document_place("lines", i, "external_ref"), change->line_no, NULL);
	}
	for (int i = 0; i < changes->add.count; i++)
	{
		char	   *reference = ((LineDocument *) changes->add.items)[i].external_ref;

		if (reference != NULL)
			oms_reference_add(&references, reference, oms_document_place("add", i, "external_ref"), 0, NULL);
	}
	oms_references_check("line", &references, edit->order->order_id, faults);
}

static void
check_changes(Edit *edit, FaultList *faults)
{
	Changes    *changes = edit->changes;
	int			digits = oms_currency_digits(edit->order->currency);

	for (int i = 0; i < changes->lines.count; i++)
	{
		check_line(edit, i, faults);
		oms_line_weight_check(((LineChange *) changes->lines.items + i)->attributes, "lines", i, faults);
	}
	for (int i = 0; i < changes->add.count; i++)
		oms_line_weight_check(((LineDocument *) changes->add.items + i)->attributes, "add", i, faults);
	for (int i = 0; i < changes->adjustments.count; i++)
	{
		AdjustmentChange *adjustment = (AdjustmentChange *) changes->adjustments.items + i;

		if (adjustment->line_no != DOC_ABSENT && oms_order_line(edit->lines, adjustment->line_no) == NULL)
			oms_fault(faults, ERRCODE_OMS_UNKNOWN, "Adjustments of new lines stand in add.",
					  oms_document_place("adjustments", i, "line_no"), "line %d is not known", adjustment->line_no);
		if (!oms_money_is_rounded(adjustment->amount, digits))
			oms_fault(faults, ERRCODE_OMS_MONEY, "Round amounts to the currency.", oms_document_place("adjustments", i, "amount"),
					  "%s has more decimals than %s", oms_money_text(adjustment->amount), edit->order->currency);
		if (adjustment->included == 1 && strcmp(adjustment->type, "tax") != 0)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Only taxes are included in prices.",
					  oms_document_place("adjustments", i, "included"), "is for taxes");
	}
	check_references(edit, faults);
	check_deliveries(edit, faults);
	if (faults->count == 0)
		oms_line_divisions_check(edit->order, edit->divisions, changes->lines.count, faults);
	oms_order_check_parts(changes->ship_to, changes->bill_to, changes->customer, faults);
}

/* Fields beside deliveries are those of the first. */
static bool
changes_first_delivery(const Edit *edit)
{
	return has(edit, "ship_to") || has(edit, "service") || has(edit, "requested_at") || has(edit, "method") ||
		has(edit, "pickup_location");
}

/* How an edit changes the delivery that a line was in. */
typedef struct DeliveryEffect
{
	bool		any;
	bool		elsewhere;		/* another place: what a location works on already cannot go there */
} DeliveryEffect;

static DeliveryEffect
effect_on(const Edit *edit, int line)
{
	const Changes *changes = edit->changes;
	int32		delivery_no = edit->deliveries[line];
	DeliveryEffect effect = {0};

	if (delivery_no == 1 && changes_first_delivery(edit))
		effect = (DeliveryEffect) {true, has(edit, "ship_to") || has(edit, "method") || has(edit, "pickup_location")};
	for (int i = 0; i < changes->deliveries.count; i++)
	{
		const DeliveryChange *change = (DeliveryChange *) changes->deliveries.items + i;

		if (change->delivery_no != delivery_no)
			continue;
		effect.any = true;
		effect.elsewhere |= change->ship_to || change->method || change->pickup_location;
	}
	for (int i = 0; i < changes->lines.count; i++)
	{
		const LineChange *change = (LineChange *) changes->lines.items + i;

		effect.any |= change->line_no == edit->lines->rows[line].line_no && change->delivery_no != DOC_ABSENT &&
			change->delivery_no != delivery_no;
	}
	return effect;
}

/* A hold on a line stops what the edit does to it, itself or through its delivery, and nothing else. */
static void
check_holds_of_lines(const Edit *edit)
{
	int32	   *numbers;
	int			count = edit->changes->lines.count;

	if (!oms_hold_possible(edit->order->order_id))
		return;
	numbers = palloc(sizeof(int32) * (count + edit->lines->count));
	for (int i = 0; i < count; i++)
		numbers[i] = ((LineChange *) edit->changes->lines.items + i)->line_no;
	for (int i = 0; edit->reroutes && i < edit->lines->count; i++)
		if (effect_on(edit, i).any)
			numbers[count++] = edit->lines->rows[i].line_no;
	oms_hold_check(edit->order->order_id, "order.edit", 0, numbers, count);
}

/* The lines of the order and their deliveries, as they are before the edit. */
static void
read_lines(Edit *edit)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(edit->order->order_id)};

	edit->lines = oms_order_lines(edit->order->order_id);
	edit->deliveries = palloc(sizeof(int32) * Max(1, edit->lines->count));
	(void) oms_execute_each(&delivery_of_lines_plan, values, NULL, read_delivery_of_line, edit);
	edit->divisions = palloc0(sizeof(LineDivision) * Max(1, edit->changes->lines.count));
}

static Edit *
read_edit(FunctionCallInfo fcinfo)
{
	Edit	   *edit = palloc0(sizeof(Edit));
	FaultList	faults;

	edit->order = oms_order_lock(oms_argument_id(fcinfo, 0, "order_id"));
	oms_faults_init(&faults);
	if (PG_ARGISNULL(1) || !JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)) || JB_ROOT_COUNT(PG_GETARG_JSONB_P(1)) == 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an object with lines, add, adjustments, ship_to or other fields.",
				  "changes", PG_ARGISNULL(1) ? "is null" : "must be an object that is not empty");
	oms_faults_raise(&faults, "changes are not valid");
	edit->source = PG_GETARG_JSONB_P(1);
	edit->changes = oms_document_read(edit->source, &change_shape, &faults);
	oms_faults_raise(&faults, "changes are not valid");
	oms_order_check_version(edit->order, fcinfo, 3);
	if (oms_machine_final(MACHINE_ORDER, edit->order->status) ||
		strcmp(edit->order->status, oms_machine_initial(MACHINE_ORDER)) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " is %s: edit is not allowed", edit->order->order_id, edit->order->status),
				 errdetail("Only orders that are placed and not finished are edited."),
				 errhint("oms.edit_draft edits drafts; what is finished is changed by returns.")));
	oms_hold_check(edit->order->order_id, "order.edit", 0, NULL, 0);
	read_lines(edit);
	check_changes(edit, &faults);
	oms_faults_raise(&faults, "changes are not valid");
	edit->reroutes = edit->moves || changes_first_delivery(edit) || edit->changes->deliveries.count > 0;
	check_holds_of_lines(edit);
	return edit;
}

static Datum
pickup_id(const char *code)
{
	return Int64GetDatum(code ? oms_location_get(code)->location_id : 0);
}

/* Lines that go to another delivery as they are. */
static void
move_lines(const Edit *edit)
{
	const DocArray *changes = &edit->changes->lines;
	int32	   *numbers = palloc(sizeof(int32) * changes->count);
	int32	   *deliveries = palloc(sizeof(int32) * changes->count);
	int			count = 0;
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(edit->order->order_id)};

	for (int i = 0; i < changes->count; i++)
	{
		const LineChange *change = (LineChange *) changes->items + i;

		if (change->delivery_no == DOC_ABSENT)
			continue;
		numbers[count] = change->line_no;
		deliveries[count++] = change->delivery_no;
	}
	values[2] = oms_array_int32(numbers, count);
	values[3] = oms_array_int32(deliveries, count);
	(void) oms_execute(&move_plan, values, NULL);
}

static void
write_fields(Edit *edit)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(edit->order->order_id), JsonbPGetDatum(edit->source)};

	(void) oms_execute(&header_plan, values, NULL);
	values[3] = pickup_id(edit->changes->pickup_location);
	if (changes_first_delivery(edit))
		(void) oms_execute(&delivery_plan, values, NULL);
	values[3] = pickup_id(NULL);
	if (edit->changes->deliveries.count > 0)
	{
		/* The first one needs no row as long as it is the only one. */
		values[2] = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
		(void) oms_execute(&delivery_plan, values, NULL);
	}
	for (int i = 0; i < edit->changes->deliveries.count; i++)
	{
		values[2] = JsonbPGetDatum(JsonbValueToJsonb(getIthJsonbValueFromContainer(&member(edit->source, "deliveries")->root, i)));
		values[3] = pickup_id(((DeliveryChange *) edit->changes->deliveries.items + i)->pickup_location);
		(void) oms_execute(&delivery_plan, values, NULL);
	}
	if (edit->changes->lines.count > 0)
	{
		values[2] = JsonbPGetDatum(member(edit->source, "lines"));
		(void) oms_execute(&line_plan, values, NULL);
		if (edit->moves)
			move_lines(edit);
	}
	if (has(edit, "adjustments"))
	{
		(void) oms_execute(&forget_adjustments_plan, values, NULL);
		if (edit->changes->adjustments.count > 0)
		{
			values[2] = JsonbPGetDatum(member(edit->source, "adjustments"));
			(void) oms_execute(&adjustments_plan, values, NULL);
		}
	}
}

/* Lines whose deliveries an edit leaves as they were keep their promises. */
static bool *
lines_that_stay(const Edit *edit)
{
	bool	   *stays = palloc(sizeof(bool) * Max(1, edit->lines->count));

	for (int i = 0; i < edit->lines->count; i++)
		stays[i] = !effect_on(edit, i).any;
	return stays;
}

/* What a location has been told to work on but lets go: its fulfillment is planned again, and so are its units. */
static void
recall_released(Edit *edit, AllocationList *allocations, FaultList *faults)
{
	const char *planned = oms_machine_initial(MACHINE_FULFILLMENT);

	for (int i = 0; i < allocations->count; i++)
	{
		Allocation *row = &allocations->rows[i];
		OrderLine  *line = oms_order_line(edit->lines, row->line_no);
		int64		fulfillment_id = row->fulfillment_id;

		if (oms_allocation_open(row) == 0 || row->location_id == 0 || strcmp(row->status, planned) == 0 ||
			!effect_on(edit, line - edit->lines->rows).elsewhere)
			continue;
		if (!oms_machine_allows(MACHINE_FULFILLMENT, row->status, "recall"))
		{
			oms_fault(faults, ERRCODE_OMS_TRANSITION, "Cancel it, or let it come back as a return.",
					  psprintf("fulfillment " INT64_FORMAT, fulfillment_id),
					  "is %s: line %d can no longer go elsewhere", row->status, row->line_no);
			continue;
		}
		oms_fulfillment_recall(fulfillment_id, edit->changes->reason ? edit->changes->reason : "edit");
		for (int j = 0; j < allocations->count; j++)
			if (allocations->rows[j].fulfillment_id == fulfillment_id)
			{
				oms_order_line(edit->lines, allocations->rows[j].line_no)->delta.released -= oms_allocation_open(&allocations->rows[j]);
				allocations->rows[j].status = pstrdup(planned);
			}
	}
}

/* Marks what a line gives up, which goes to other deliveries or is cancelled, or gets more. */
static void
mark_line(Edit *edit, const LineChange *change, const LineDivision *division, OrderLine *line, AllocationList *allocations)
{
	int32		units = line->ordered - line->cancelled;
	int32		whole = change->quantity != DOC_ABSENT ? change->quantity : units;
	int32		stays = division->count > 0 ? division->parts[division->stays].quantity : whole;
	int32		moved = units - stays - Max(0, units - whole);

	edit->adds |= whole > stays;
	if (stays < units)
	{
		oms_order_cancel_units(line, units - stays, allocations);
		line->delta.cancelled -= moved;
		line->delta.ordered -= moved;
		edit->gives_up = true;
	}
	else if (stays > units)
	{
		edit->more[line - edit->lines->rows] = line->delta.ordered = stays - units;
		edit->adds = true;
	}
}

/* Makes lines of the parts, whose units are to be planned. */
static void
divide_lines(Edit *edit)
{
	int			before = edit->lines->count;
	int32		last_no = edit->lines->rows[before - 1].line_no;

	oms_line_divisions_write(edit->order, edit->divisions, edit->changes->lines.count, edit->new_lines, last_no);
	edit->lines = oms_order_lines(edit->order->order_id);
	edit->more = repalloc(edit->more, sizeof(int32) * edit->lines->count);
	for (int i = before; i < edit->lines->count; i++)
		edit->more[i] = edit->lines->rows[i].ordered;
}

/* What no location sends goes with its line to another delivery, too; lines that are released do not move. */
static void
withdraw_moved(Edit *edit, AllocationList *allocations)
{
	for (int i = 0; i < edit->changes->lines.count; i++)
	{
		const LineChange *change = (LineChange *) edit->changes->lines.items + i;
		OrderLine  *line = oms_order_line(edit->lines, change->line_no);
		int			index = line - edit->lines->rows;

		if (change->delivery_no == DOC_ABSENT || change->delivery_no == edit->deliveries[index])
			continue;
		for (int j = 0; j < allocations->count; j++)
		{
			Allocation *row = &allocations->rows[j];
			int32		open = oms_allocation_open(row);

			if (row->line_no != change->line_no || row->location_id != 0 || open == 0)
				continue;
			row->delta.cancelled += open;
			line->delta.allocated -= open;
			edit->more[index] += open;
		}
	}
}

/* Marks what each line gives up and what is to be planned for it. */
static void
mark_units(Edit *edit, AllocationList *allocations)
{
	FaultList	faults;

	oms_faults_init(&faults);
	edit->more = palloc0(sizeof(int32) * Max(1, edit->lines->count));
	for (int i = 0; i < edit->changes->lines.count; i++)
	{
		LineChange *change = (LineChange *) edit->changes->lines.items + i;
		OrderLine  *line = oms_order_line(edit->lines, change->line_no);

		if (change->quantity != DOC_ABSENT || change->deliveries.present)
			mark_line(edit, change, &edit->divisions[i], line, allocations);
	}
	if (edit->reroutes)
	{
		recall_released(edit, allocations, &faults);
		oms_faults_raise(&faults, "changes are not possible");
		withdraw_moved(edit, allocations);
		if (oms_order_withdraw(edit->lines, allocations, lines_that_stay(edit), edit->more,
							   palloc0(sizeof(int32) * Max(1, edit->lines->count))))
			edit->gives_up = edit->adds = true;
	}
	edit->adds |= edit->changes->add.count > 0;
}

/* What adjustments were agreed for, before the edit changes it. */
static void
keep_basis(const Edit *edit)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(edit->order->order_id), (Datum) 0,
	Int32GetDatum(oms_currency_digits(edit->order->currency))};

	if (edit->changes->lines.count + edit->changes->add.count == 0)
		return;
	(void) oms_execute(&keep_line_basis_plan, values, NULL);
	(void) oms_execute(&keep_order_basis_plan, values, NULL);
	if (edit->changes->lines.count == 0)
		return;
	values[2] = JsonbPGetDatum(member(edit->source, "lines"));
	(void) oms_execute(&reprice_basis_plan, values, NULL);
}

static void
make_edit(Edit *edit)
{
	int64		order_id = edit->order->order_id;
	AllocationList *allocations = oms_allocations_of_order(order_id);
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id),
	Int32GetDatum(oms_currency_digits(edit->order->currency))};
	const char *reason = edit->changes->reason ? edit->changes->reason : "edit";
	List	   *broken = oms_kits_broken(order_id);
	Order	   *after;
	bool		raised;

	oms_order_keep_version(edit->order);
	oms_event(&(Event) {.order_id = order_id,.object_id = order_id,.object_type = "order",.type = "order.edited",
						.action = "edit",.reason = edit->changes->reason,.data = edit->source});
	keep_basis(edit);
	write_fields(edit);
	mark_units(edit, allocations);
	if (edit->gives_up)
		oms_order_give_up(edit->order, edit->lines, allocations, reason);
	else
		oms_order_lines_write(order_id, edit->lines);
	if (edit->new_lines > 0)
		divide_lines(edit);
	if (edit->adds)
		oms_order_add(edit->order, oms_order_addition(order_id, edit->lines, edit->more,
													  edit->changes->add.count > 0 ? member(edit->source, "add") : NULL),
					  edit->changes->add.count);
	oms_kits_check(order_id, broken);
	(void) oms_execute(&amount_plan, values, NULL);
	if (has(edit, "adjustments"))
	{
		(void) oms_execute(&line_basis_plan, values, NULL);
		(void) oms_execute(&order_basis_plan, values, NULL);
	}
	oms_order_refresh_all(order_id);
	after = oms_order_read(order_id);
	raised = oms_money_compare(after->total, edit->order->total) > 0;
	if (raised)
		oms_hold_raised(after);
	/* What has reached its stage may cost more also where the total does not. */
	oms_payment_capture(order_id, after->channel->capture, raised);
}

static Jsonb *
answer(Edit *edit, bool dry_run)
{
	Order	   *after = oms_order_read(edit->order->order_id);
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_int64(&writer, "order_id", after->order_id);
	oms_write_bool(&writer, "dry_run", dry_run);
	oms_write_int64(&writer, "version", after->version);
	oms_write_numeric(&writer, "total_before", edit->order->total);
	oms_write_numeric(&writer, "total", after->total);
	oms_write_numeric(&writer, "difference", oms_money_subtract(after->total, edit->order->total));
	oms_write_jsonb(&writer, "balance", oms_balance_document(after->order_id));
	oms_write_jsonb(&writer, "order", oms_order_document(after->order_id));
	return oms_write_finish(&writer);
}

/*
 * oms.edit_order(order_id, changes, dry_run, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_edit_order, CALL_KEYED)
{
	Edit	   *edit = read_edit(fcinfo);
	bool		dry_run = !PG_ARGISNULL(2) && PG_GETARG_BOOL(2);
	OmsAttempt	attempt;
	Jsonb	   *result;

	if (!dry_run)
	{
		make_edit(edit);
		PG_RETURN_JSONB_P(answer(edit, false));
	}
	oms_call->dry_run = true;
	oms_attempt_begin(&attempt);
	make_edit(edit);
	result = answer(edit, true);
	oms_attempt_undo(&attempt);
	PG_RETURN_JSONB_P(result);
}
