/*
 * transfer.c
 *	  Units on their way from one location to another.
 *
 * A unit of a transfer is in one place at every moment: set aside where it
 * comes from, so that nobody sells it, then in transit where it goes to, then on
 * hand there.  Both are states of stock beside the sellable units, in the same
 * ledger.  What has left is a supply of its destination, so it is promised, dated
 * and counted like everything that is expected.
 *
 * The lots of tracked items are chosen when units are set aside.  Which of them a
 * transfer still has is what its movements in the ledger of lots add up to.
 *
 * Lock order: the row of the transfer, its supply, then orders, then counters.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "item.h"
#include "location.h"
#include "lot.h"
#include "machine.h"
#include "relation.h"
#include "scope.h"
#include "stock.h"
#include "stock_state.h"
#include "supply.h"
#include "transfer.h"

/* Type of the movements of stock and lots. */
#define MOVEMENT "transfer"

/* Transfers named in the error when their units were to be moved away. */
#define TRANSFERS_SHOWN_MAX 20

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {transfers} (item_id, from_location_id, to_location_id, expected_at, created_at, tenant_id, quantity,"
	" promisable, status, reference) VALUES ($2, $3, $4, $5, $6, $1, $7, $8, $9, $10)"
	" ON CONFLICT (reference, item_id, from_location_id, to_location_id, tenant_id) DO NOTHING RETURNING transfer_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, BOOLOID, TEXTOID, TEXTOID)
};

static OmsPlan of_reference_plan = {
	.sql = "SELECT transfer_id FROM {transfers} WHERE reference = $5 AND item_id = $2 AND from_location_id = $3"
	" AND to_location_id = $4 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8OID, TEXTOID)
};

static OmsPlan get_plan = {
	.sql = "SELECT t.transfer_id, t.item_id, t.from_location_id, t.to_location_id, coalesce(t.supply_id, 0), t.expected_at,"
	" t.created_at, t.quantity, t.shipped, t.received, t.lost, t.promisable, t.status, t.reference, i.sku,"
	" f.code, d.code FROM {transfers} t JOIN {items} i ON i.item_id = t.item_id AND i.tenant_id = $1"
	" JOIN {locations} f ON f.location_id = t.from_location_id AND f.tenant_id = $1"
	" JOIN {locations} d ON d.location_id = t.to_location_id AND d.tenant_id = $1"
	" WHERE t.transfer_id = $2 AND t.tenant_id = $1 FOR NO KEY UPDATE OF t",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan write_plan = {
	.sql = "UPDATE {transfers} SET shipped = $3, received = $4, lost = $5, status = $6, supply_id = nullif($7, 0),"
	" expected_at = $8 WHERE transfer_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID, INT4OID, INT4OID, TEXTOID, INT8OID, TIMESTAMPTZOID)
};

/* The lots that a transfer has: what it took and did not give back or deliver. */
static OmsPlan lots_plan = {
	.sql = "SELECT lot, (-sum(delta))::int, max(coalesce(expires_at, 'infinity')) FROM {lot_movements}"
	" WHERE item_id = $2 AND at >= $3 AND reference = $4 AND type IN ('transfer', 'receive_supply') AND tenant_id = $1"
	" GROUP BY lot HAVING sum(delta) < 0 ORDER BY 3, 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID, TEXTOID)
};

/* What open transfers have in a state of a counter. */
static OmsPlan open_units_plan = {
	.sql = "SELECT transfer_id, CASE WHEN status = 'requested' THEN quantity ELSE shipped - received - lost END FROM {transfers}"
	" WHERE tenant_id = $1 AND item_id = $2 AND status IN ('requested', 'shipped', 'partially_received')"
	" AND CASE WHEN status = 'requested' THEN from_location_id ELSE to_location_id END = $3"
	" AND (status = 'requested') = ($4 = '" STATE_SET_ASIDE "') ORDER BY transfer_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID)
};

typedef struct Transfer
{
	int64		transfer_id;
	int64		supply_id;		/* 0 before it leaves */
	CatalogItem item;
	Location   *from;
	Location   *to;
	TimestampTz expected_at;
	TimestampTz created_at;
	int32		quantity;
	int32		shipped;
	int32		received;
	int32		lost;
	bool		promisable;
	char	   *status;
	char	   *reference;
} Transfer;

/* How the ledgers name a transfer. */
char *
oms_transfer_reference(int64 transfer_id)
{
	return psprintf("transfer " INT64_FORMAT, transfer_id);
}

/* ---- One transfer ---- */

static TimestampTz
slot_time(TupleTableSlot *slot, int column)
{
	bool		isnull;

	return DatumGetTimestampTz(oms_slot_datum(slot, column, &isnull));
}

/* The other end need not be a location that the caller may see. */
static Location *
slot_end(TupleTableSlot *slot, int id_column, int code_column)
{
	Location   *location = palloc0(sizeof(Location));

	location->location_id = oms_slot_int64(slot, id_column);
	location->code = oms_slot_text(slot, code_column);
	return location;
}

static void
read_transfer(TupleTableSlot *slot, void *state)
{
	Transfer   *transfer = state;

	transfer->transfer_id = oms_slot_int64(slot, 1);
	transfer->item.item_id = oms_slot_int64(slot, 2);
	transfer->from = slot_end(slot, 3, 16);
	transfer->to = slot_end(slot, 4, 17);
	transfer->supply_id = oms_slot_int64(slot, 5);
	transfer->expected_at = slot_time(slot, 6);
	transfer->created_at = slot_time(slot, 7);
	transfer->quantity = oms_slot_int32(slot, 8);
	transfer->shipped = oms_slot_int32(slot, 9);
	transfer->received = oms_slot_int32(slot, 10);
	transfer->lost = oms_slot_int32(slot, 11);
	transfer->promisable = oms_slot_bool(slot, 12);
	transfer->status = oms_slot_text(slot, 13);
	transfer->reference = oms_slot_text(slot, 14);
	transfer->item.sku = oms_slot_text(slot, 15);
}

static Transfer
lock_transfer(int64 transfer_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(transfer_id)};
	Transfer	transfer = {0};

	(void) oms_execute_each(&get_plan, values, NULL, read_transfer, &transfer);
	return transfer;
}

typedef enum TransferEnd
{
	END_FROM,
	END_TO
} TransferEnd;

/* The transfer that a call names; the caller must have the location at its end. */
static Transfer
transfer_argument(FunctionCallInfo fcinfo, TransferEnd end)
{
	int64		transfer_id = oms_argument_id(fcinfo, 0, "transfer_id");
	Transfer	transfer = lock_transfer(transfer_id);
	Location   *location = end == END_FROM ? transfer.from : transfer.to;

	if (transfer.transfer_id == 0 || !oms_scope_location(location->location_id))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("transfer " INT64_FORMAT " is not known", transfer_id),
				 errdetail("transfer_id: there is no transfer " INT64_FORMAT " that the caller may %s", transfer_id,
						   end == END_FROM ? "send" : "receive"),
				 errhint("oms.request_transfer answers with the transfer_id.")));
	return transfer;
}

static int32
units_in_transit(const Transfer *transfer)
{
	return transfer->shipped - transfer->received - transfer->lost;
}

static void
write_fields(DocWriter *writer, const Transfer *transfer)
{
	oms_write_int64(writer, "transfer_id", transfer->transfer_id);
	oms_write_text(writer, "reference", transfer->reference);
	oms_write_text(writer, "sku", transfer->item.sku);
	oms_write_text(writer, "from", transfer->from->code);
	oms_write_text(writer, "to", transfer->to->code);
	oms_write_text(writer, "status", transfer->status);
	oms_write_int64(writer, "quantity", transfer->quantity);
	oms_write_int64(writer, "shipped", transfer->shipped);
	oms_write_int64(writer, "in_transit", units_in_transit(transfer));
	oms_write_int64(writer, "received", transfer->received);
	oms_write_int64(writer, "lost", transfer->lost);
	oms_write_time(writer, "expected_at", transfer->expected_at);
	if (transfer->supply_id != 0)
		oms_write_int64(writer, "supply_id", transfer->supply_id);
}

static Jsonb *
transfer_document(const Transfer *transfer, const SupplyLoss *loss)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	write_fields(&writer, transfer);
	if (loss && loss->count > 0)
		oms_supply_loss_write(&writer, loss);
	return oms_write_finish(&writer);
}

/* Refuses the step before anything is done; quantity is what it moves. */
static void
take_step(Transfer *transfer, const char *action, const char *reason, int32 quantity)
{
	StepObject	object = {.type = MACHINE_TRANSFER,.id = transfer->transfer_id,.reason = reason};
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "sku", transfer->item.sku);
	oms_write_text(&writer, "from", transfer->from->code);
	oms_write_text(&writer, "to", transfer->to->code);
	oms_write_text(&writer, "reference", transfer->reference);
	oms_write_int64(&writer, "quantity", quantity);
	oms_write_int64(&writer, "in_transit", units_in_transit(transfer));
	object.data = oms_write_finish(&writer);
	transfer->status = pstrdup(oms_machine_step(MACHINE_TRANSFER, transfer->status, action, &object)->to_state);
}

static void
write_transfer(const Transfer *transfer)
{
	Datum		values[8] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(transfer->transfer_id),
		Int32GetDatum(transfer->shipped), Int32GetDatum(transfer->received), Int32GetDatum(transfer->lost),
		CStringGetTextDatum(transfer->status), Int64GetDatum(transfer->supply_id),
	TimestampTzGetDatum(transfer->expected_at)};

	(void) oms_execute(&write_plan, values, NULL);
}

/* The units that a call moves: all that there are where it does not say. */
static int32
quantity_argument(FunctionCallInfo fcinfo, const Transfer *transfer, int32 most)
{
	int32		quantity = most;

	if (!PG_ARGISNULL(1))
	{
		oms_stock_require_quantity(fcinfo, 1, "quantity", 1);
		quantity = PG_GETARG_INT32(1);
	}
	if (quantity > most)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("transfer " INT64_FORMAT " has %d units, not %d", transfer->transfer_id, most, quantity),
				 errdetail("quantity: requested are %d, shipped %d, received %d, lost %d", transfer->quantity,
						   transfer->shipped, transfer->received, transfer->lost),
				 errhint("oms.receive_stock and oms.adjust_stock record units that no transfer knows of.")));
	return quantity;
}

typedef struct OpenUnits
{
	int64		sum;
	int			count;
	StringInfo	detail;
} OpenUnits;

static void
add_open_units(TupleTableSlot *slot, void *state)
{
	OpenUnits  *open = state;
	int32		units = oms_slot_int32(slot, 2);

	open->sum += units;
	if (++open->count <= TRANSFERS_SHOWN_MAX)
		appendStringInfo(open->detail, "\ntransfer " INT64_FORMAT ": %d", oms_slot_int64(slot, 1), units);
}

/*
 * The units that open transfers have in a state of a locked counter: set aside
 * where they leave, in transit where they go.  Adds the transfers to detail.
 */
int64
oms_transfers_open_units(int64 item_id, int64 location_id, const char *state, StringInfo detail)
{
	OpenUnits	open = {.detail = detail};
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(item_id), Int64GetDatum(location_id),
	CStringGetTextDatum(state)};

	if (strcmp(state, STATE_SET_ASIDE) != 0 && strcmp(state, STATE_IN_TRANSIT) != 0)
		return 0;
	(void) oms_execute_each(&open_units_plan, values, NULL, add_open_units, &open);
	if (open.count > TRANSFERS_SHOWN_MAX)
		appendStringInfo(detail, "\nand %d more", open.count - TRANSFERS_SHOWN_MAX);
	return open.sum;
}

/* ---- Its lots ---- */

static void
collect_lot(TupleTableSlot *slot, void *state)
{
	List	  **lots = state;
	LotDocument *lot = palloc0(sizeof(LotDocument));

	lot->lot = oms_slot_text(slot, 1);
	lot->quantity = oms_slot_int32(slot, 2);
	lot->expires_at = slot_time(slot, 3);
	*lots = lappend(*lots, lot);
}

/* Of the lots that a transfer has, the first to expire first. */
static List *
lots_of(const Transfer *transfer)
{
	List	   *lots = NIL;
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(transfer->item.item_id),
		TimestampTzGetDatum(transfer->created_at),
	CStringGetTextDatum(oms_transfer_reference(transfer->transfer_id))};

	if (oms_lots_exist())
		(void) oms_execute_each(&lots_plan, values, NULL, collect_lot, &lots);
	return lots;
}

static LotDocument *
take_from(LotDocument *lot, int32 units)
{
	LotDocument *taken = palloc(sizeof(LotDocument));

	*taken = *lot;
	taken->quantity = units;
	lot->quantity -= units;
	return taken;
}

/* Those that the call names. */
static List *
take_named(FunctionCallInfo fcinfo, int argument, const Transfer *transfer, List *lots, int32 quantity)
{
	FaultList	faults;
	DocArray	array;
	List	   *taken = NIL;
	int64		total = 0;

	oms_faults_init(&faults);
	array = oms_document_read_array(PG_GETARG_JSONB_P(argument), &oms_lot_shape, OMS_BULK_ROWS_MAX, "lots", &faults);
	oms_document_duplicates(&array, &oms_lot_shape, offsetof(LotDocument, lot), "lots", "lot", &faults);
	oms_faults_raise(&faults, "lots are not valid");
	for (int i = 0; i < array.count; i++)
	{
		LotDocument *named = (LotDocument *) array.items + i;
		int32		units = named->quantity == DOC_ABSENT ? 1 : named->quantity;
		ListCell   *cell;
		LotDocument *found = NULL;

		foreach(cell, lots)
			if (strcmp(((LotDocument *) lfirst(cell))->lot, named->lot) == 0)
				found = lfirst(cell);
		total += units;
		if (found == NULL || found->quantity < units)
			oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "oms.lot_movements shows the lots of a transfer.",
					  oms_document_place("lots", i, "lot"), "transfer " INT64_FORMAT " has %d units of \"%s\", not %d",
					  transfer->transfer_id, found ? found->quantity : 0, named->lot, units);
		else
			taken = lappend(taken, take_from(found, units));
	}
	if (total != quantity)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Name a lot for every unit.", "lots",
				  "have " INT64_FORMAT " units, the call %d", total, quantity);
	oms_faults_raise(&faults, "lots are not valid");
	return taken;
}

/* Takes the lots of some units out of a list, those that the call names or the first. */
static List *
take_lots(FunctionCallInfo fcinfo, int argument, const Transfer *transfer, List *lots, int32 quantity)
{
	List	   *taken = NIL;
	ListCell   *cell;

	if (!PG_ARGISNULL(argument))
		return take_named(fcinfo, argument, transfer, lots, quantity);
	foreach(cell, lots)
	{
		LotDocument *lot = lfirst(cell);
		int32		units = Min(lot->quantity, quantity);

		if (units == 0)
			continue;
		taken = lappend(taken, take_from(lot, units));
		quantity -= units;
	}
	return taken;
}

/* The lots of units that come to be on hand. */
static void
give_lots(const Transfer *transfer, const Location *location, List *lots)
{
	ListCell   *cell;

	foreach(cell, lots)
	{
		LotDocument *lot = lfirst(cell);

		if (lot->quantity > 0)
			oms_lots_give(transfer->item.item_id, location->location_id, lot, 1, false);
	}
}

/* ---- Stock ---- */

/* Units that were set aside and do not leave are for sale again. */
static void
put_back(const Transfer *transfer, int32 quantity)
{
	StockRow	row = {.item_id = transfer->item.item_id,.location_id = transfer->from->location_id};

	if (quantity > 0)
		oms_stock_state_move(&row, &transfer->item, transfer->from, STATE_SET_ASIDE, STATE_SELLABLE, quantity, MOVEMENT, NULL,
							 oms_transfer_reference(transfer->transfer_id));
}

static void
change_state(const Transfer *transfer, const Location *location, const char *state, int32 delta)
{
	(void) oms_stock_state_add(transfer->item.item_id, location->location_id, 0, state, delta, MOVEMENT, NULL,
							   oms_transfer_reference(transfer->transfer_id));
}

static void
leave(const Transfer *transfer)
{
	change_state(transfer, transfer->from, STATE_SET_ASIDE, -transfer->shipped);
	put_back(transfer, transfer->quantity - transfer->shipped);
}

/* What is on its way may be promised where it goes to. */
static void
announce(const Transfer *transfer)
{
	StockRow	row = {.item_id = transfer->item.item_id,.location_id = transfer->to->location_id};

	change_state(transfer, transfer->to, STATE_IN_TRANSIT, transfer->shipped);
	if (!transfer->promisable)
		return;
	oms_stock_lock_one(&row);
	row.backorder_limit_delta = transfer->shipped;
	oms_stock_apply(&row, 1);
}

/* ---- The calls ---- */

static CatalogItem *
item_argument(FunctionCallInfo fcinfo)
{
	CatalogItem *item = oms_item_get(oms_argument_required(fcinfo, 2, "sku"));

	if (item->kind != ITEM_STOCKED)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("SKU \"%s\" has no stock", item->sku),
				 errdetail("sku: is a digital or service item, or a kit"),
				 errhint("Only items of kind stocked have stock.")));
	return item;
}

static TimestampTz
time_argument(FunctionCallInfo fcinfo, int argument)
{
	if (PG_ARGISNULL(argument) || TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(argument)))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("expected_at is required"),
				 errdetail("expected_at: is %s", PG_ARGISNULL(argument) ? "null" : "infinite"),
				 errhint("Give the time at which the units should be at their destination.")));
	return PG_GETARG_TIMESTAMPTZ(argument);
}

static void
read_id(TupleTableSlot *slot, void *state)
{
	*(int64 *) state = oms_slot_int64(slot, 1);
}

/* The same reference again: the date may be another, the units are the same. */
static int64
change_date(int64 transfer_id, int32 quantity, TimestampTz expected_at)
{
	Transfer	transfer = lock_transfer(transfer_id);

	if (transfer.quantity != quantity)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_IDEMPOTENCY),
				 errmsg("transfer \"%s\" is of %d units", transfer.reference, transfer.quantity),
				 errdetail("reference: belongs to transfer " INT64_FORMAT, transfer_id),
				 errhint("Cancel it, or use another reference for more units.")));
	if (oms_machine_final(MACHINE_TRANSFER, transfer.status) || transfer.expected_at == expected_at)
		return transfer_id;
	transfer.expected_at = expected_at;
	write_transfer(&transfer);
	if (transfer.supply_id != 0)
		oms_supply_date(transfer.supply_id, expected_at);
	oms_event(&(Event) {.object_id = transfer_id,.object_type = MACHINE_TRANSFER,.type = "transfer.changed",
						.data = transfer_document(&transfer, NULL)});
	return transfer_id;
}

/* Writes a transfer; 0 where its reference is known, whose transfer goes to known. */
static int64
insert_transfer(FunctionCallInfo fcinfo, Transfer *transfer, int64 *known)
{
	Datum		values[10] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(transfer->item.item_id),
		Int64GetDatum(transfer->from->location_id), Int64GetDatum(transfer->to->location_id),
		TimestampTzGetDatum(transfer->expected_at), TimestampTzGetDatum(oms_call->now), Int32GetDatum(transfer->quantity),
		BoolGetDatum(transfer->promisable), CStringGetTextDatum(transfer->status),
	transfer->reference ? CStringGetTextDatum(transfer->reference) : (Datum) 0};

	(void) oms_execute_each(&insert_plan, values, transfer->reference ? NULL : "         n", read_id, &transfer->transfer_id);
	if (transfer->transfer_id != 0)
		return transfer->transfer_id;
	values[4] = values[9];
	(void) oms_execute_each(&of_reference_plan, values, NULL, read_id, known);
	if (*known == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("another transaction is requesting the same transfer"),
				 errhint("Repeat the transaction.")));
	return 0;
}

/*
 * oms.request_transfer(from_location, to_location, sku, quantity, expected_at, reference, promisable, lots, idempotency_key)
 *		-> bigint
 */
OMS_FUNCTION(oms_request_transfer, CALL_KEYED)
{
	CatalogItem *item = item_argument(fcinfo);
	Transfer	transfer = {
		.item = *item,.from = oms_location_get(oms_argument_required(fcinfo, 0, "from_location")),
		.to = oms_location_get(oms_argument_required(fcinfo, 1, "to_location")),
		.expected_at = time_argument(fcinfo, 4),.promisable = PG_ARGISNULL(6) || PG_GETARG_BOOL(6),
		.status = pstrdup(oms_machine_initial(MACHINE_TRANSFER)),
		.reference = PG_ARGISNULL(5) ? NULL : oms_argument_required(fcinfo, 5, "reference")
	};
	StockRow	row = {.item_id = item->item_id,.location_id = transfer.from->location_id};
	int64		known = 0;

	if (transfer.from == transfer.to)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("a transfer goes to another location"),
				 errdetail("to_location: is from_location"),
				 errhint("oms.move_stock_state moves units within a location.")));
	oms_stock_require_quantity(fcinfo, 3, "quantity", 1);
	transfer.quantity = PG_GETARG_INT32(3);
	if (insert_transfer(fcinfo, &transfer, &known) == 0)
		PG_RETURN_INT64(change_date(known, transfer.quantity, transfer.expected_at));
	oms_lots_give_argument(fcinfo, 7, &row, item, transfer.quantity, false);
	oms_stock_state_move(&row, item, transfer.from, STATE_SELLABLE, STATE_SET_ASIDE, transfer.quantity, MOVEMENT, NULL,
						 oms_transfer_reference(transfer.transfer_id));
	oms_event(&(Event) {.object_id = transfer.transfer_id,.object_type = MACHINE_TRANSFER,.type = "transfer.requested",
						.data = transfer_document(&transfer, NULL)});
	PG_RETURN_INT64(transfer.transfer_id);
}

/*
 * oms.ship_transfer(transfer_id, quantity, expected_at, lots, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_ship_transfer, CALL_KEYED)
{
	Transfer	transfer = transfer_argument(fcinfo, END_FROM);
	int32		quantity = quantity_argument(fcinfo, &transfer, transfer.quantity);
	List	   *lots;

	if (!PG_ARGISNULL(2))
		transfer.expected_at = time_argument(fcinfo, 2);
	transfer.shipped = quantity;
	take_step(&transfer, "ship", NULL, quantity);
	lots = lots_of(&transfer);
	(void) take_lots(fcinfo, 3, &transfer, lots, quantity);
	give_lots(&transfer, transfer.from, lots);
	transfer.supply_id = oms_supply_of_transfer(transfer.transfer_id, transfer.item.item_id, transfer.to->location_id, quantity,
												transfer.expected_at, transfer.promisable);
	write_transfer(&transfer);

	/* Counters in the order of their locations. */
	if (transfer.from->location_id < transfer.to->location_id)
		leave(&transfer);
	announce(&transfer);
	if (transfer.from->location_id > transfer.to->location_id)
		leave(&transfer);
	PG_RETURN_JSONB_P(transfer_document(&transfer, NULL));
}

/*
 * oms.receive_transfer(transfer_id, quantity, lots, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_receive_transfer, CALL_KEYED)
{
	Transfer	transfer = transfer_argument(fcinfo, END_TO);
	int32		quantity = quantity_argument(fcinfo, &transfer, units_in_transit(&transfer) > 0
												? units_in_transit(&transfer) : transfer.quantity);

	transfer.received += quantity;
	take_step(&transfer, units_in_transit(&transfer) == 0 ? "complete" : "receive", NULL, quantity);
	give_lots(&transfer, transfer.to, take_lots(fcinfo, 2, &transfer, lots_of(&transfer), quantity));
	write_transfer(&transfer);
	oms_supply_arrive(transfer.supply_id, quantity);
	change_state(&transfer, transfer.to, STATE_IN_TRANSIT, -quantity);
	PG_RETURN_JSONB_P(transfer_document(&transfer, NULL));
}

/*
 * oms.close_transfer(transfer_id, reason, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_close_transfer, CALL_KEYED)
{
	Transfer	transfer = transfer_argument(fcinfo, END_TO);
	int32		lost = units_in_transit(&transfer);
	SupplyLoss	loss;

	transfer.lost += lost;
	take_step(&transfer, "complete", oms_argument_text(fcinfo, 1), lost);
	write_transfer(&transfer);
	oms_supply_end(transfer.supply_id, oms_argument_text(fcinfo, 1), &loss);
	change_state(&transfer, transfer.to, STATE_IN_TRANSIT, -lost);
	oms_supply_loss_finish(&loss);
	PG_RETURN_JSONB_P(transfer_document(&transfer, &loss));
}

/*
 * oms.cancel_transfer(transfer_id, reason, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_cancel_transfer, CALL_KEYED)
{
	Transfer	transfer = transfer_argument(fcinfo, END_FROM);

	take_step(&transfer, "cancel", oms_argument_text(fcinfo, 1), transfer.quantity);
	write_transfer(&transfer);
	give_lots(&transfer, transfer.from, lots_of(&transfer));
	put_back(&transfer, transfer.quantity);
	PG_RETURN_JSONB_P(transfer_document(&transfer, NULL));
}
