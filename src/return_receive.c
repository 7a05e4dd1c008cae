/*
 * return_receive.c
 *	  What arrives of a return, and what becomes of it.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "exchange.h"
#include "location.h"
#include "lot.h"
#include "machine.h"
#include "order.h"
#include "relation.h"
#include "return.h"
#include "stock.h"
#include "stock_state.h"

#define RESTOCK "restock"
#define SCRAP "scrap"
#define KEPT "kept"

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {return_receipts} (return_id, order_id, item_id, location_id, received_at, tenant_id, line_no,"
	" quantity, disposition, reason)"
	" SELECT $2, $3, u.item_id, nullif(u.location_id, 0), $4, $1, u.line_no, u.quantity, u.disposition, u.reason"
	" FROM unnest($5::bigint[], $6::bigint[], $7::int[], $8::int[], $9::text[], $10::text[])"
	" u(item_id, location_id, line_no, quantity, disposition, reason)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
				 TEXTARRAYOID, TEXTARRAYOID)
};

static OmsPlan lines_plan = {
	.sql = "UPDATE {return_lines} l SET received = l.received + u.received"
	" FROM unnest($3::int[], $4::int[]) u(line_no, received)"
	" WHERE l.return_id = $2 AND l.line_no = u.line_no AND l.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4ARRAYOID, INT4ARRAYOID)
};

/* Units that arrived, as the caller describes them. */
typedef struct Receipt
{
	int32		line_no;
	int32		quantity;		/* DOC_ABSENT: all that have not arrived */
	char	   *disposition;
	char	   *location;		/* NULL: that of the return */
	char	   *reason;
	DocArray	lots;			/* empty: those that are most likely */
	ReturnLine *line;
	int64		location_id;	/* 0: none */
} Receipt;

static const DocField receipt_fields[] = {
	{"line_no", DOC_INT, offsetof(Receipt, line_no), .required = true,.least = 1,.most = PG_INT32_MAX},
	{"quantity", DOC_INT, offsetof(Receipt, quantity), .least = 1,.most = OMS_QUANTITY_MAX},
	{"disposition", DOC_CODE, offsetof(Receipt, disposition)},
	{"location", DOC_CODE, offsetof(Receipt, location)},
	{"reason", DOC_TEXT, offsetof(Receipt, reason)},
	{"lots", DOC_ARRAY, offsetof(Receipt, lots), .least = 1,.most = OMS_BULK_ROWS_MAX,.shape = &oms_lot_shape},
};

static const DocShape receipt_shape = DOC_SHAPE_OF(Receipt, receipt_fields, "units that arrived");

/* Whether the units stay at the location without being for sale. */
static bool
is_state(const Receipt *receipt)
{
	return strcmp(receipt->disposition, RESTOCK) != 0 && strcmp(receipt->disposition, SCRAP) != 0;
}

static int64
units_of_lots(const Receipt *receipt)
{
	const LotDocument *lots = (LotDocument *) receipt->lots.items;
	int64		total = 0;

	for (int i = 0; i < receipt->lots.count; i++)
		total += lots[i].quantity == DOC_ABSENT ? 1 : lots[i].quantity;
	return total;
}

static void
check_lots(const Receipt *receipt, int position, FaultList *faults)
{
	const char *place = oms_document_place("lines", position, "lots");

	if (receipt->lots.count == 0)
		return;
	if (!receipt->line->tracked)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "items.tracking says which items have lots.", place, "\"%s\" has no lots",
				  receipt->line->sku);
	else if (strcmp(receipt->disposition, RESTOCK) != 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Only units for sale are in lots.", place, "units that are \"%s\" have no lots",
				  receipt->disposition);
	else if (units_of_lots(receipt) != receipt->quantity)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Name a lot for every unit, or none.", place,
				  "have " INT64_FORMAT " units, the line %d", units_of_lots(receipt), receipt->quantity);
}

/* Notes the lots of units that are for sale again: those that are named, else the one that the line asked for. */
static void
give_lots(const Receipt *receipt)
{
	LotDocument asked = {.lot = receipt->line->lot,.quantity = receipt->quantity,.expires_at = DT_NOBEGIN};

	if (receipt->lots.count > 0)
		oms_lots_give(receipt->line->item_id, receipt->location_id, (LotDocument *) receipt->lots.items, receipt->lots.count,
					  false);
	else if (receipt->line->tracked && receipt->line->lot != NULL)
		oms_lots_give(receipt->line->item_id, receipt->location_id, &asked, 1, false);
}

/* Fills in what the caller left out, and notes what is not possible. */
static void
complete_receipt(Return *row, Receipt *receipt, int position, FaultList *faults)
{
	ReturnLine *line = oms_return_line(row, receipt->line_no);
	Location   *location = receipt->location ? oms_location_find(receipt->location) : NULL;
	int32		missing;

	receipt->line = line;
	if (line == NULL)
	{
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.get_return shows the lines of a return.",
				  oms_document_place("lines", position, "line_no"), "line %d is not in the return", receipt->line_no);
		return;
	}
	missing = line->requested - line->received - line->arriving;
	if (receipt->quantity == DOC_ABSENT)
		receipt->quantity = missing;
	if (receipt->quantity > missing || missing == 0)
		oms_fault(faults, ERRCODE_OMS_TRANSITION, "What nobody asked to return needs a request of its own.",
				  oms_document_place("lines", position, "quantity"), "%d units of line %d have not arrived yet, not %d",
				  missing, line->line_no, receipt->quantity);
	else
		line->arriving += receipt->quantity;
	if (receipt->disposition == NULL)
		receipt->disposition = pstrdup(line->stocked ? RESTOCK : SCRAP);
	else if (strcmp(receipt->disposition, STATE_SELLABLE) == 0)
		receipt->disposition = RESTOCK;
	if (receipt->location != NULL && location == NULL)
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations adds it.",
				  oms_document_place("lines", position, "location"), "there is no \"%s\" that the caller may see",
				  receipt->location);
	if (is_state(receipt))
		oms_stock_state_check(receipt->disposition, oms_document_place("lines", position, "disposition"));
	if (!line->stocked && strcmp(receipt->disposition, SCRAP) != 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Leave the disposition of digital and service items out.",
				  oms_document_place("lines", position, "disposition"), "\"%s\" has no stock", line->sku);
	check_lots(receipt, position, faults);
	receipt->location_id = !line->stocked ? 0 : location ? location->location_id : row->location_id;
}

static Receipt *
read_receipts(Return *row, Jsonb *document, int *count)
{
	Receipt    *receipts;
	DocArray	array;
	FaultList	faults;

	oms_faults_init(&faults);
	array = oms_document_read_array(document, &receipt_shape, OMS_LINES_PER_ORDER_MAX, "lines", &faults);
	receipts = (Receipt *) array.items;
	if (faults.count == 0 && array.count == 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Leave the argument out to receive everything.", "lines", "is empty");
	oms_faults_raise(&faults, "lines are not valid");
	for (int i = 0; i < array.count; i++)
		complete_receipt(row, &receipts[i], i, &faults);
	oms_faults_raise(&faults, psprintf("units do not fit return " INT64_FORMAT, row->return_id));
	*count = array.count;
	return receipts;
}

/* All that has not arrived, as good as it left. */
static Receipt *
receive_everything(Return *row, int *count)
{
	Receipt    *receipts = palloc0(sizeof(Receipt) * Max(1, row->line_count));

	*count = 0;
	for (int i = 0; i < row->line_count; i++)
	{
		ReturnLine *line = &row->lines[i];
		Receipt    *receipt = &receipts[*count];

		if (line->requested == line->received)
			continue;
		receipt->line_no = line->line_no;
		receipt->line = line;
		receipt->quantity = line->arriving = line->requested - line->received;
		receipt->disposition = line->stocked ? RESTOCK : SCRAP;
		receipt->location_id = line->stocked ? row->location_id : 0;
		(*count)++;
	}
	if (*count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("everything of return " INT64_FORMAT " has arrived", row->return_id),
				 errdetail("lines: none is left to receive"),
				 errhint("oms.close_return ends it.")));
	return receipts;
}

static void
insert_receipts(const Return *row, const Receipt *receipts, int count)
{
	int64	   *ids = palloc(sizeof(int64) * count * 2);
	int32	   *numbers = palloc(sizeof(int32) * count * 2);
	Datum	   *texts = palloc0(sizeof(Datum) * count * 2);
	bool	   *nulls = palloc0(sizeof(bool) * count * 2);
	Datum		values[10];

	for (int i = 0; i < count; i++)
	{
		ids[i] = receipts[i].line->item_id;
		ids[count + i] = receipts[i].location_id;
		numbers[i] = receipts[i].line_no;
		numbers[count + i] = receipts[i].quantity;
		texts[i] = CStringGetTextDatum(receipts[i].disposition);
		nulls[count + i] = receipts[i].reason == NULL;
		if (receipts[i].reason != NULL)
			texts[count + i] = CStringGetTextDatum(receipts[i].reason);
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(row->return_id);
	values[2] = Int64GetDatum(row->order_id);
	values[3] = TimestampTzGetDatum(oms_call->now);
	values[4] = oms_array_int64(ids, count);
	values[5] = oms_array_int64(ids + count, count);
	values[6] = oms_array_int32(numbers, count);
	values[7] = oms_array_int32(numbers + count, count);
	values[8] = oms_array_datum(texts, nulls, count, TEXTOID);
	values[9] = oms_array_datum(texts + count, nulls + count, count, TEXTOID);
	(void) oms_execute(&insert_plan, values, NULL);
}

/* The return's own lines and those of the order follow. */
static void
count_units(const Return *row)
{
	int32	   *numbers = palloc(sizeof(int32) * row->line_count);
	int32	   *arrived = palloc(sizeof(int32) * row->line_count);
	int32	   *requested = palloc(sizeof(int32) * row->line_count);
	int			count = 0;
	Datum		values[4];

	for (int i = 0; i < row->line_count; i++)
	{
		if (row->lines[i].arriving == 0)
			continue;
		numbers[count] = row->lines[i].line_no;
		arrived[count] = row->lines[i].arriving;
		requested[count++] = -row->lines[i].arriving;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(row->return_id);
	values[2] = oms_array_int32(numbers, count);
	values[3] = oms_array_int32(arrived, count);
	(void) oms_execute(&lines_plan, values, NULL);
	oms_return_count(row->order_id, numbers, requested, arrived, count, row->stage);
}

static void
refuse_overflow(const StockRow *rows, int count)
{
	for (int i = 0; i < count; i++)
		if ((int64) rows[i].on_hand + rows[i].on_hand_delta > OMS_QUANTITY_MAX)
			ereport(ERROR,
					(errcode(ERRCODE_OMS_LIMIT),
					 errmsg("stock would be " INT64_FORMAT, (int64) rows[i].on_hand + rows[i].on_hand_delta),
					 errdetail("lines: a stock row holds at most %d units", OMS_QUANTITY_MAX),
					 errhint("Name another location for the units.")));
}

/*
 * Units that are as good as new are on hand again, others are there in their
 * state.  All counters are locked before any state, which needs them too.
 */
static void
put_away(const Return *row, const Receipt *receipts, int count)
{
	StockRow   *rows = palloc0(sizeof(StockRow) * count);
	StockRow   *ledger = palloc(sizeof(StockRow) * count);
	char	   *reference = psprintf("return " INT64_FORMAT, row->return_id);
	int			units = 0;
	int			restocked = 0;
	int			merged;

	for (int i = 0; i < count; i++)
	{
		if (receipts[i].location_id == 0 || strcmp(receipts[i].disposition, SCRAP) == 0)
			continue;
		rows[units].item_id = receipts[i].line->item_id;
		rows[units].location_id = receipts[i].location_id;
		rows[units].order_id = row->order_id;
		rows[units].on_hand_delta = is_state(&receipts[i]) ? 0 : receipts[i].quantity;
		if (rows[units].on_hand_delta > 0)
		{
			ledger[restocked++] = rows[units];
			give_lots(&receipts[i]);
		}
		units++;
	}
	if (units == 0)
		return;
	merged = oms_stock_merge(rows, units);
	oms_stock_lock_all(rows, merged);
	refuse_overflow(rows, merged);
	for (int i = 0; i < count; i++)
		if (receipts[i].location_id != 0 && is_state(&receipts[i]))
			(void) oms_stock_state_add(receipts[i].line->item_id, receipts[i].location_id, row->order_id,
									   receipts[i].disposition, receipts[i].quantity, "return", receipts[i].reason,
									   reference);
	oms_stock_apply_changed(rows, merged);
	if (restocked > 0)
		oms_stock_record(ledger, restocked, "return", NULL, reference);
}

static void
write_lots(DocWriter *writer, const Receipt *receipt)
{
	const LotDocument *lots = (LotDocument *) receipt->lots.items;

	if (receipt->lots.count == 0)
		return;
	oms_write_begin_array(writer, "lots");
	for (int i = 0; i < receipt->lots.count; i++)
	{
		oms_write_begin_object(writer, NULL);
		oms_write_text(writer, "lot", lots[i].lot);
		oms_write_int64(writer, "quantity", lots[i].quantity == DOC_ABSENT ? 1 : lots[i].quantity);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}

static Jsonb *
receipt_document(const Receipt *receipts, int count)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_begin_array(&writer, "lines");
	for (int i = 0; i < count; i++)
	{
		Location   *location = receipts[i].location_id ? oms_location_by_id(receipts[i].location_id) : NULL;

		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "line_no", receipts[i].line_no);
		oms_write_text(&writer, "sku", receipts[i].line->sku);
		oms_write_int64(&writer, "quantity", receipts[i].quantity);
		oms_write_text(&writer, "disposition", receipts[i].disposition);
		oms_write_text(&writer, "location", location ? location->code : NULL);
		oms_write_text(&writer, "reason", receipts[i].reason);
		write_lots(&writer, &receipts[i]);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	return oms_write_finish(&writer);
}

/*
 * Ends an approved return of which nothing comes back: its units are written
 * off or replaced as if they had all arrived, and no stock moves.
 */
void
oms_return_keep(Order *order, int64 return_id)
{
	Order	   *locked;
	Return	   *row = oms_return_lock(return_id, &locked);
	int			count;
	Receipt    *receipts = receive_everything(row, &count);

	for (int i = 0; i < count; i++)
	{
		receipts[i].disposition = KEPT;
		receipts[i].location_id = 0;
	}
	oms_return_step(row, "receive", "nothing comes back", receipt_document(receipts, count));
	insert_receipts(row, receipts, count);
	count_units(row);
	oms_return_settle(order, return_id);
	oms_return_step(row, "close", "nothing comes back", NULL);
	oms_return_settle(order, return_id);
}

/*
 * oms.receive_return(return_id, lines, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_receive_return, CALL_KEYED)
{
	Order	   *order;
	Return	   *row = oms_return_lock(oms_argument_id(fcinfo, 0, "return_id"), &order);
	Receipt    *receipts;
	int			count;

	/* Refuses in the return's own terms before any arithmetic of lines. */
	if (!oms_machine_allows(MACHINE_RETURN, row->status, "receive"))
		oms_return_step(row, "receive", NULL, NULL);
	receipts = PG_ARGISNULL(1) ? receive_everything(row, &count) : read_receipts(row, PG_GETARG_JSONB_P(1), &count);
	oms_return_step(row, "receive", NULL, receipt_document(receipts, count));
	insert_receipts(row, receipts, count);
	count_units(row);
	oms_return_settle(order, row->return_id);
	put_away(row, receipts, count);
	oms_order_refresh(order->order_id);
	oms_exchange_follow(order, row->return_id);
	PG_RETURN_JSONB_P(oms_return_document(row->return_id));
}
