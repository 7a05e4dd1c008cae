/*
 * order_write.c
 *	  The rows of placed orders and the answer to their caller; one statement
 *	  per table, whatever the number of orders and lines.
 */
#include "oms.h"

#include "miscadmin.h"

#include "call.h"
#include "credit.h"
#include "heap.h"
#include "kit.h"
#include "order_placement.h"
#include "payment.h"
#include "relation.h"

static OmsPlan insert_order_plan = {
	.sql = "INSERT INTO {orders} (tenant_id, channel_id, external_ref, order_id, placed_at, document_hash, status,"
	" payment_status, fulfillment_status, currency, item_total, discount_total, shipping_total, fee_total, tax_total,"
	" total, customer_ref, customer, bill_to, attributes, notes, risk, ordered_by,"
	" valid_until, priority, ship_complete)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,"
	" $24, $25, $26)"
	" ON CONFLICT (tenant_id, channel_id, external_ref) DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, INT8OID, TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
				 NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, TEXTOID, JSONBOID, JSONBOID,
				 JSONBOID, TEXTOID, JSONBOID, TEXTOID, TIMESTAMPTZOID, INT4OID, BOOLOID)
};

static OmsPlan insert_lines_plan = {
	.sql = "INSERT INTO {order_lines} (order_id, item_id, tenant_id, line_no, delivery_no, ordered, allocated,"
	" backordered, unit_price, amount, name, external_ref, attributes, location_id, lot, together, divided_from)"
	" SELECT u.order_id, u.item_id, $1, u.line_no, u.delivery_no, u.ordered, u.allocated, u.backordered, u.unit_price, u.amount, u.name,"
	" u.external_ref, u.attributes, nullif(u.location_id, 0), u.lot, u.together, nullif(u.divided_from, 0)"
	" FROM unnest($2::bigint[], $3::bigint[], $4::int[], $5::int[], $6::int[], $7::int[], $8::numeric[], $9::numeric[], $10::text[],"
	" $11::text[], $12::jsonb[], $13::bigint[], $14::int[], $15::text[], $16::text[], $17::int[])"
	" u(order_id, item_id, line_no, ordered, allocated, backordered, unit_price, amount, name, external_ref, attributes,"
	" location_id, delivery_no, lot, together, divided_from)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
				 NUMERICARRAYOID, NUMERICARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBARRAYOID, INT8ARRAYOID, INT4ARRAYOID, TEXTARRAYOID,
				 TEXTARRAYOID, INT4ARRAYOID)
};

static OmsPlan insert_delivery_plan = {
	.sql = "INSERT INTO {order_deliveries} (order_id, pickup_location_id, requested_at, tenant_id, delivery_no, method,"
	" service, address, promised_at) VALUES ($2, $3, $4, $1, $8, $5, $6, $7, $9)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, JSONBOID, INT4OID, TIMESTAMPTZOID)
};

static OmsPlan insert_adjustments_plan = {
	.sql = "INSERT INTO {order_adjustments} (order_id, tenant_id, adjustment_no, line_no, included, type, code, amount)"
	" SELECT u.order_id, $1, u.adjustment_no, nullif(u.line_no, 0), u.included, u.type, u.code, u.amount"
	" FROM unnest($2::bigint[], $3::int[], $4::int[], $5::boolean[], $6::text[], $7::text[], $8::numeric[])"
	" u(order_id, adjustment_no, line_no, included, type, code, amount)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, BOOLARRAYOID, TEXTARRAYOID, TEXTARRAYOID, NUMERICARRAYOID)
};

/* ---- Writing ---- */

Datum
oms_jsonb_or_null(Jsonb *document, char *null)
{
	*null = document ? ' ' : 'n';
	return JsonbPGetDatum(document);
}

Jsonb *
oms_placement_customer(const CustomerDocument *customer)
{
	DocWriter	writer;

	if (customer == NULL || !(customer->name || customer->email || customer->phone || customer->class))
		return NULL;
	oms_write_begin(&writer);
	oms_write_text(&writer, "name", customer->name);
	oms_write_text(&writer, "email", customer->email);
	oms_write_text(&writer, "phone", customer->phone);
	oms_write_text(&writer, "class", customer->class);
	return oms_write_finish(&writer);
}

/* The key stands first; the rest in the order of insert_order_plan. */
static OmsHeap order_heap = {
	.relation = "orders",
	.key_count = 3,
	.column_count = 26,
	.columns = {"tenant_id", "channel_id", "external_ref", "order_id", "placed_at", "document_hash", "status",
		"payment_status", "fulfillment_status", "currency", "item_total", "discount_total", "shipping_total",
	"fee_total", "tax_total", "total", "customer_ref", "customer", "bill_to", "attributes", "notes", "risk",
	"ordered_by", "valid_until", "priority", "ship_complete"}
};

static void
order_values(Placement *placement, Datum *values, char *nulls)
{
	OrderDocument *document = placement->document;

	memset(nulls, ' ', 26);
	nulls[26] = '\0';
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->channel->channel_id);
	values[2] = CStringGetTextDatum(document->external_ref);
	values[3] = Int64GetDatum(placement->order_id);
	values[4] = TimestampTzGetDatum(oms_call->now);
	values[5] = Int64GetDatum(placement->hash);
	values[6] = CStringGetTextDatum(placement->status);
	values[7] = CStringGetTextDatum(placement->payment_status);
	values[8] = CStringGetTextDatum(placement->fulfillment_status);
	values[9] = CStringGetTextDatum(placement->currency);
	values[10] = NumericGetDatum(placement->item_total);
	values[11] = NumericGetDatum(placement->discount_total);
	values[12] = NumericGetDatum(placement->shipping_total);
	values[13] = NumericGetDatum(placement->fee_total);
	values[14] = NumericGetDatum(placement->tax_total);
	values[15] = NumericGetDatum(placement->total);
	values[16] = oms_text_or_null(document->customer ? document->customer->ref : NULL, &nulls[16]);
	values[17] = oms_jsonb_or_null(oms_placement_customer(document->customer), &nulls[17]);
	values[18] = oms_jsonb_or_null(document->bill_to, &nulls[18]);
	values[19] = oms_jsonb_or_null(document->attributes, &nulls[19]);
	values[20] = oms_text_or_null(document->notes, &nulls[20]);
	values[21] = oms_jsonb_or_null(document->risk, &nulls[21]);
	values[22] = oms_text_or_null(document->ordered_by, &nulls[22]);
	values[23] = TimestampTzGetDatum(document->valid_until);
	nulls[23] = TIMESTAMP_NOT_FINITE(document->valid_until) ? 'n' : ' ';
	values[24] = Int32GetDatum(placement->priority);
	values[25] = BoolGetDatum(true);
	nulls[25] = placement->ship_complete ? ' ' : 'n';
}

/* Writes the rows of orders; false where a reference exists already, and then the rest is not written. */
bool
oms_placements_insert_orders(Placement *const *placements, int count)
{
	bool		direct = oms_heap_is_plain(&order_heap);
	bool		all_new = true;
	OmsHeapWork work;

	if (direct)
		oms_heap_begin_new(&work, &order_heap);
	for (int i = 0; i < count && all_new; i++)
	{
		Datum		values[26];
		char		nulls[27];

		CHECK_FOR_INTERRUPTS();
		order_values(placements[i], values, nulls);
		all_new = direct ? oms_heap_insert_new(&work, values, nulls) : oms_execute(&insert_order_plan, values, nulls) == 1;
	}
	if (direct)
		oms_heap_end_new(&work);
	return all_new;
}

/* Writes the order's row; false where the reference exists already. */
bool
oms_placement_insert_order(Placement *placement)
{
	return oms_placements_insert_orders(&placement, 1);
}

static OmsHeap line_heap = {
	.relation = "order_lines",
	.column_count = 17,
	.columns = {"order_id", "item_id", "tenant_id", "line_no", "delivery_no", "ordered", "allocated", "backordered",
	"unit_price", "amount", "name", "external_ref", "attributes", "location_id", "lot", "together", "divided_from"}
};

/* The location that the document names for a line, 0 where it leaves that open. */
static int64
named_location(const PlacedLine *line)
{
	return line->document->location ? oms_location_find(line->document->location)->location_id : 0;
}

static Datum
text_datum(const char *text)
{
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* The delivery of a line; one that the order does not name is the first. */
static int32
delivery_of(const Placement *placement, const PlacedLine *line)
{
	return placement->document->deliveries.count > 0 ? line->document->delivery_no : 1;
}

static void
insert_line(OmsHeapWork *work, Placement *placement, PlacedLine *line)
{
	LineDocument *document = line->document;
	int64		location_id = named_location(line);
	Datum		values[17] = {Int64GetDatum(placement->order_id), Int64GetDatum(line->item->item_id),
		Int32GetDatum(oms_call->tenant), Int32GetDatum(line->line_no),
		Int32GetDatum(delivery_of(placement, line)),
		Int32GetDatum(document->quantity), Int32GetDatum(line->allocated), Int32GetDatum(line->backordered),
		NumericGetDatum(line->unit_price), NumericGetDatum(line->amount), text_datum(document->name),
		text_datum(document->external_ref), JsonbPGetDatum(document->attributes), Int64GetDatum(location_id),
		text_datum(document->lot), text_datum(document->together), Int32GetDatum(line->divided_from)};
	bool		nulls[17] = {[10] = document->name == NULL,[11] = document->external_ref == NULL,
	[12] = document->attributes == NULL,[13] = location_id == 0,[14] = document->lot == NULL,
	[15] = document->together == NULL,[16] = line->divided_from == 0};

	oms_heap_insert(work, values, nulls);
}

static void
insert_lines_directly(Placement *const *placements, int count)
{
	OmsHeapWork work;

	oms_heap_begin(&work, &line_heap, true);
	for (int i = 0; i < count; i++)
		for (int j = 0; j < placements[i]->line_count; j++)
		{
			CHECK_FOR_INTERRUPTS();
			insert_line(&work, placements[i], &placements[i]->lines[j]);
		}
	oms_heap_end(&work);
}

/* The columns of lines that their statement takes as arrays. */
typedef struct LineColumns
{
	int			room;
	int			count;
	int64	   *ids;			/* order, item, location */
	int32	   *numbers;
	Datum	   *prices;
	Datum	   *amounts;
	Datum	   *attributes;
	bool	   *no_attributes;
	char	  **names;
	char	  **references;
	char	  **lots;
	char	  **together;
} LineColumns;

static void
collect_line(LineColumns *columns, const Placement *placement, const PlacedLine *line)
{
	int			room = columns->room;
	int			i = columns->count++;

	columns->ids[i] = placement->order_id;
	columns->ids[room + i] = line->item->item_id;
	columns->ids[2 * room + i] = named_location(line);
	columns->numbers[i] = line->line_no;
	columns->numbers[room + i] = line->document->quantity;
	columns->numbers[2 * room + i] = line->allocated;
	columns->numbers[3 * room + i] = line->backordered;
	columns->numbers[4 * room + i] = delivery_of(placement, line);
	columns->numbers[5 * room + i] = line->divided_from;
	columns->prices[i] = NumericGetDatum(line->unit_price);
	columns->amounts[i] = NumericGetDatum(line->amount);
	columns->attributes[i] = JsonbPGetDatum(line->document->attributes);
	columns->no_attributes[i] = line->document->attributes == NULL;
	columns->names[i] = line->document->name;
	columns->references[i] = line->document->external_ref;
	columns->lots[i] = line->document->lot;
	columns->together[i] = line->document->together;
}

static int
count_lines(Placement *const *placements, int count)
{
	int			lines = 0;

	for (int i = 0; i < count; i++)
		lines += placements[i]->line_count;
	return lines;
}

/* The lines of orders. */
void
oms_placements_insert_lines(Placement *const *placements, int count)
{
	int			room = count_lines(placements, count);
	LineColumns columns = {.room = room};
	bool	   *no_nulls;
	Datum		values[17];

	if (oms_heap_is_plain(&line_heap))
	{
		insert_lines_directly(placements, count);
		return;
	}
	columns.ids = palloc(sizeof(int64) * room * 3);
	columns.numbers = palloc(sizeof(int32) * room * 6);
	columns.prices = palloc(sizeof(Datum) * room);
	columns.amounts = palloc(sizeof(Datum) * room);
	columns.attributes = palloc(sizeof(Datum) * room);
	columns.no_attributes = palloc(sizeof(bool) * room);
	columns.names = palloc(sizeof(char *) * room);
	columns.references = palloc(sizeof(char *) * room);
	columns.lots = palloc(sizeof(char *) * room);
	columns.together = palloc(sizeof(char *) * room);
	no_nulls = palloc0(sizeof(bool) * room);
	for (int i = 0; i < count; i++)
		for (int j = 0; j < placements[i]->line_count; j++)
			collect_line(&columns, placements[i], &placements[i]->lines[j]);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(columns.ids, room);
	values[2] = oms_array_int64(columns.ids + room, room);
	for (int i = 0; i < 4; i++)
		values[3 + i] = oms_array_int32(columns.numbers + i * room, room);
	values[7] = oms_array_datum(columns.prices, no_nulls, room, NUMERICOID);
	values[8] = oms_array_datum(columns.amounts, no_nulls, room, NUMERICOID);
	values[9] = oms_array_text(columns.names, room);
	values[10] = oms_array_text(columns.references, room);
	values[11] = oms_array_datum(columns.attributes, columns.no_attributes, room, JSONBOID);
	values[12] = oms_array_int64(columns.ids + 2 * room, room);
	values[13] = oms_array_int32(columns.numbers + 4 * room, room);
	values[14] = oms_array_text(columns.lots, room);
	values[15] = oms_array_text(columns.together, room);
	values[16] = oms_array_int32(columns.numbers + 5 * room, room);
	(void) oms_execute(&insert_lines_plan, values, NULL);
}

static OmsHeap delivery_heap = {
	.relation = "order_deliveries",
	.column_count = 9,
	.columns = {"tenant_id", "order_id", "pickup_location_id", "requested_at", "method", "service", "address",
	"delivery_no", "promised_at"}
};

static void
delivery_values(const Placement *placement, Datum *values, char *nulls)
{
	OrderDocument *document = placement->document;

	memset(nulls, ' ', 9);
	nulls[9] = '\0';
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->order_id);
	values[2] = Int64GetDatum(placement->pickup ? placement->pickup->location_id : 0);
	nulls[2] = placement->pickup ? ' ' : 'n';
	values[3] = TimestampTzGetDatum(document->requested_at);
	nulls[3] = TIMESTAMP_NOT_FINITE(document->requested_at) ? 'n' : ' ';
	values[4] = CStringGetTextDatum(document->method ? document->method : "ship");
	values[5] = oms_text_or_null(document->service, &nulls[5]);
	values[6] = oms_jsonb_or_null(document->ship_to, &nulls[6]);
	values[7] = Int32GetDatum(Max(1, placement->delivery_no));
	values[8] = TimestampTzGetDatum(placement->promised_at);
	nulls[8] = TIMESTAMP_NOT_FINITE(placement->promised_at) ? 'n' : ' ';
}

/* Rows of deliveries; the table is opened for the first of them. */
typedef struct DeliveryWriter
{
	bool		open;
	OmsHeapWork work;
} DeliveryWriter;

static void
insert_delivery(DeliveryWriter *writer, const Placement *placement)
{
	Datum		values[9];
	char		nulls[10];
	bool		is_null[9];

	delivery_values(placement, values, nulls);
	if (!oms_heap_is_plain(&delivery_heap))
	{
		(void) oms_execute(&insert_delivery_plan, values, nulls);
		return;
	}
	for (int i = 0; i < 9; i++)
		is_null[i] = nulls[i] == 'n';
	if (!writer->open)
		oms_heap_begin(&writer->work, &delivery_heap, true);
	writer->open = true;
	oms_heap_insert(&writer->work, values, is_null);
}

typedef struct AdjustmentRows
{
	int			count;
	int32		last_no;		/* of the order at hand */
	int64	   *order_ids;
	int32	   *numbers;
	int32	   *line_numbers;
	Datum	   *included;
	char	  **types;
	char	  **codes;
	Datum	   *amounts;
} AdjustmentRows;

static void
collect_adjustments(AdjustmentRows *rows, int64 order_id, DocArray *adjustments, int32 line_no)
{
	for (int i = 0; i < adjustments->count; i++)
	{
		AdjustmentDocument *adjustment = (AdjustmentDocument *) adjustments->items + i;

		rows->order_ids[rows->count] = order_id;
		rows->numbers[rows->count] = ++rows->last_no;
		rows->line_numbers[rows->count] = line_no;
		rows->included[rows->count] = BoolGetDatum(adjustment->included == 1);
		rows->types[rows->count] = adjustment->type;
		rows->codes[rows->count] = adjustment->code;
		rows->amounts[rows->count++] = NumericGetDatum(oms_adjustment_signed_amount(adjustment));
	}
}

static int
count_adjustments(const Placement *placement)
{
	int			count = placement->document->adjustments.count;

	for (int i = 0; i < placement->line_count; i++)
		count += placement->lines[i].document->adjustments.count;
	return count;
}

/* The adjustments of orders, numbered on from last_no. */
void
oms_placements_insert_adjustments(Placement *const *placements, int placement_count, int32 last_no)
{
	AdjustmentRows rows = {0};
	int			count = 0;
	bool	   *no_nulls;
	Datum		values[8];

	for (int i = 0; i < placement_count; i++)
		count += count_adjustments(placements[i]);
	if (count == 0)
		return;
	rows.order_ids = palloc(sizeof(int64) * count);
	rows.numbers = palloc(sizeof(int32) * count);
	rows.line_numbers = palloc(sizeof(int32) * count);
	rows.included = palloc(sizeof(Datum) * count);
	rows.types = palloc(sizeof(char *) * count);
	rows.codes = palloc(sizeof(char *) * count);
	rows.amounts = palloc(sizeof(Datum) * count);
	no_nulls = palloc0(sizeof(bool) * count);
	for (int i = 0; i < placement_count; i++)
	{
		Placement  *placement = placements[i];

		rows.last_no = last_no;
		for (int j = 0; j < placement->line_count; j++)
			collect_adjustments(&rows, placement->order_id, &placement->lines[j].document->adjustments,
								placement->lines[j].line_no);
		collect_adjustments(&rows, placement->order_id, &placement->document->adjustments, 0);
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(rows.order_ids, count);
	values[2] = oms_array_int32(rows.numbers, count);
	values[3] = oms_array_int32(rows.line_numbers, count);
	values[4] = oms_array_datum(rows.included, no_nulls, count, BOOLOID);
	values[5] = oms_array_text(rows.types, count);
	values[6] = oms_array_text(rows.codes, count);
	values[7] = oms_array_datum(rows.amounts, no_nulls, count, NUMERICOID);
	(void) oms_execute(&insert_adjustments_plan, values, NULL);
}

/* Numbers the fulfillments of an order; its promises name them. */
static void
number_fulfillments(Placement *placement)
{
	for (int i = 0; i < placement->fulfillment_count; i++)
		placement->fulfillments[i].fulfillment_id = oms_next_id(SEQUENCE_FULFILLMENT);
	for (int i = 0; i < placement->allocation_count; i++)
		placement->allocations[i].fulfillment_id =
			placement->fulfillments[placement->allocations[i].fulfillment_id].fulfillment_id;
}

/* The fulfillments and promises of an order. */
void
oms_placement_insert_promises(Placement *placement)
{
	number_fulfillments(placement);
	oms_fulfillments_insert(placement->fulfillments, placement->fulfillment_count);
	oms_allocations_insert(placement->allocations, placement->allocation_count);
}

/* The same of many orders. */
void
oms_placements_insert_promises(Placement *const *placements, int count)
{
	Fulfillment *fulfillments;
	Allocation *allocations;
	int			fulfillment_count = 0;
	int			allocation_count = 0;

	for (int i = 0; i < count; i++)
	{
		number_fulfillments(placements[i]);
		fulfillment_count += placements[i]->fulfillment_count;
		allocation_count += placements[i]->allocation_count;
	}
	fulfillments = palloc_extended(sizeof(Fulfillment) * Max(1, fulfillment_count), MCXT_ALLOC_HUGE);
	allocations = palloc_extended(sizeof(Allocation) * Max(1, allocation_count), MCXT_ALLOC_HUGE);
	fulfillment_count = allocation_count = 0;
	for (int i = 0; i < count; i++)
	{
		memcpy(fulfillments + fulfillment_count, placements[i]->fulfillments,
			   sizeof(Fulfillment) * placements[i]->fulfillment_count);
		memcpy(allocations + allocation_count, placements[i]->allocations,
			   sizeof(Allocation) * placements[i]->allocation_count);
		fulfillment_count += placements[i]->fulfillment_count;
		allocation_count += placements[i]->allocation_count;
	}
	oms_fulfillments_insert(fulfillments, fulfillment_count);
	oms_allocations_insert(allocations, allocation_count);
}

void
oms_placement_add_payments(Placement *placement)
{
	DocArray   *payments = &placement->document->payments;

	int64	   *accounts = palloc(sizeof(int64) * Max(1, payments->count));
	int			account_count = 0;

	oms_payments_check_references(payments);
	placement->payment_ids = palloc(sizeof(int64) * Max(1, payments->count));
	for (int i = 0; i < payments->count; i++)
		if (((PaymentDocument *) payments->items + i)->account_id != 0)
			accounts[account_count++] = ((PaymentDocument *) payments->items + i)->account_id;
	oms_credit_lock(accounts, account_count);
	for (int i = 0; i < payments->count; i++)
		placement->payment_ids[i] = oms_payment_add(placement->order_id, (PaymentDocument *) payments->items + i,
													placement->currency, placement->total);
}

/* An order that says nothing of its delivery, and of which nothing is promised, has no row. */
static void
write_deliveries(DeliveryWriter *writer, Placement *placement)
{
	for (int i = 0; i < placement->group_count; i++)
	{
		placement->groups[i]->order_id = placement->order_id;
		insert_delivery(writer, placement->groups[i]);
	}
	if (placement->group_count > 0)
		return;
	if (placement->document->ship_to || placement->document->method || placement->document->service ||
		!TIMESTAMP_NOT_FINITE(placement->document->requested_at) || !TIMESTAMP_NOT_FINITE(placement->promised_at))
		insert_delivery(writer, placement);
}

void
oms_placements_write_deliveries(Placement *const *placements, int count)
{
	DeliveryWriter writer = {.open = false};

	for (int i = 0; i < count; i++)
		write_deliveries(&writer, placements[i]);
	if (writer.open)
		oms_heap_end(&writer.work);
}

/* Everything of new orders but the order rows and the promises. */
void
oms_placements_write_parts(Placement *const *placements, int count)
{
	oms_placements_insert_lines(placements, count);
	oms_placements_write_deliveries(placements, count);
	for (int i = 0; i < count; i++)
	{
		oms_kits_insert(placements[i]);
		oms_substitutes_insert(placements[i]);
	}
	oms_placements_insert_adjustments(placements, count, 0);
}

/* ---- The answer ---- */

static void
write_totals(DocWriter *writer, Placement *placement)
{
	oms_write_begin_object(writer, "totals");
	oms_write_numeric(writer, "items", placement->item_total);
	oms_write_numeric(writer, "discount", placement->discount_total);
	oms_write_numeric(writer, "shipping", placement->shipping_total);
	oms_write_numeric(writer, "fee", placement->fee_total);
	oms_write_numeric(writer, "tax", placement->tax_total);
	oms_write_numeric(writer, "total", placement->total);
	oms_write_end(writer);
}

static void
write_dates(DocWriter *writer, const ParcelDates *dates)
{
	oms_write_text(writer, "service", dates->service);
	if (dates->ships)
		oms_write_time(writer, "ship_by", dates->ship_by);
	if (!dates->arrives)
		return;
	oms_write_time(writer, "earliest_at", dates->earliest_at);
	oms_write_time(writer, "promised_at", dates->promised_at);
}

/* Promises are sorted by fulfillment, so each takes its run of them. */
static void
write_fulfillments(DocWriter *writer, Placement *placement)
{
	int			row = 0;

	oms_write_begin_array(writer, "fulfillments");
	for (int i = 0; i < placement->fulfillment_count; i++)
	{
		Fulfillment *fulfillment = &placement->fulfillments[i];
		int64		key = placement->order_id ? fulfillment->fulfillment_id : i;

		oms_write_begin_object(writer, NULL);
		if (placement->order_id)
			oms_write_int64(writer, "fulfillment_id", fulfillment->fulfillment_id);
		if (fulfillment->location_id)
			oms_write_text(writer, "location", oms_location_by_id(fulfillment->location_id)->code);
		if (placement->group_count > 0)
			oms_write_int64(writer, "delivery_no", fulfillment->delivery_no);
		if (fulfillment->backordered)
			oms_write_bool(writer, "backordered", true);
		if (fulfillment->backordered && fulfillment->supplied_at != DT_NOEND)
			oms_write_time(writer, "supplied_at", fulfillment->supplied_at);
		write_dates(writer, &fulfillment->dates);
		oms_write_begin_array(writer, "lines");
		for (; row < placement->allocation_count && placement->allocations[row].fulfillment_id == key; row++)
		{
			oms_write_begin_object(writer, NULL);
			oms_write_int64(writer, "line_no", placement->allocations[row].line_no);
			oms_write_int64(writer, "quantity", placement->allocations[row].promised);
			oms_write_text(writer, "lot", placement->allocations[row].lot);
			oms_write_end(writer);
		}
		oms_write_end_array(writer);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}

static void
write_holds(DocWriter *writer, Placement *placement)
{
	ListCell   *cell;

	if (placement->order_holds == NIL)
		return;
	oms_write_begin_array(writer, "holds");
	foreach(cell, placement->order_holds)
	{
		PlacedHold *hold = lfirst(cell);

		oms_write_begin_object(writer, NULL);
		oms_write_int64(writer, "hold_id", hold->hold_id);
		oms_write_text(writer, "type", hold->type);
		oms_write_text(writer, "reason", hold->reason);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}

/* Rules that a plan has given up, over all deliveries: the answer names each once. */
static void
write_relaxed(DocWriter *writer, const Placement *placement)
{
	List	   *names = NIL;
	ListCell   *cell;

	for (int i = 0; i < Max(1, placement->group_count); i++)
	{
		const Placement *group = placement->group_count > 0 ? placement->groups[i] : placement;

		if (group->routing)
			names = oms_routing_relaxed(group->routing, names);
	}
	if (names == NIL)
		return;
	oms_write_begin_array(writer, "relaxed");
	foreach(cell, names)
		oms_write_text(writer, NULL, strVal(lfirst(cell)));
	oms_write_end_array(writer);
}

Jsonb *
oms_placement_answer(Placement *placement)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	if (placement->order_id)
		oms_write_int64(&writer, "order_id", placement->order_id);
	oms_write_text(&writer, "channel", placement->channel->code);
	oms_write_text(&writer, "external_ref", placement->document->external_ref);
	oms_write_text(&writer, "status", placement->status);
	oms_write_text(&writer, "payment_status", placement->payment_status);
	oms_write_text(&writer, "fulfillment_status", placement->fulfillment_status);
	oms_write_text(&writer, "currency", placement->currency);
	write_totals(&writer, placement);
	if (!TIMESTAMP_NOT_FINITE(placement->promised_at))
		oms_write_time(&writer, "promised_at", placement->promised_at);
	if (!TIMESTAMP_NOT_FINITE(placement->document->valid_until))
		oms_write_time(&writer, "valid_until", placement->document->valid_until);
	if (placement->fulfillments)
		write_fulfillments(&writer, placement);
	write_relaxed(&writer, placement);
	oms_divided_lines_write(&writer, placement);
	oms_substitutes_write(&writer, placement);
	oms_displacement_write(&writer, placement);
	if (placement->order_id && placement->document->payments.count > 0)
	{
		oms_write_begin_array(&writer, "payments");
		for (int i = 0; i < placement->document->payments.count; i++)
			oms_write_int64(&writer, NULL, placement->payment_ids[i]);
		oms_write_end_array(&writer);
	}
	write_holds(&writer, placement);
	return oms_write_finish(&writer);
}
