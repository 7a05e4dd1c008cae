/*
 * stock_state.c
 *	  Units that are not for sale: damaged, held for quality, in transit.
 *
 * Sellable units are oms.stock; each other state has a row in oms.stock_states
 * beside it.  The ledger is the same: a movement changes on hand, a state, or
 * moves units from one to the other in one row.  States of an item at a location
 * change under the lock of its counter, so the lock order has no further step.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "allocation.h"
#include "call.h"
#include "document.h"
#include "event.h"
#include "item.h"
#include "location.h"
#include "lot.h"
#include "relation.h"
#include "stock.h"
#include "stock_state.h"
#include "transfer.h"

/* Orders named in the error when promised units were to be moved away. */
#define PROMISES_SHOWN_MAX 20

static OmsPlan known_plan = {
	.sql = "SELECT code FROM {stock_state_types} WHERE tenant_id = $1 AND code = $2",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

static OmsPlan create_plan = {
	.sql = "INSERT INTO {stock_states} (item_id, location_id, tenant_id, state) VALUES ($2, $3, $1, $4)"
	" ON CONFLICT (item_id, location_id, state, tenant_id) DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID)
};

static OmsPlan read_plan = {
	.sql = "SELECT quantity FROM {stock_states} WHERE item_id = $2 AND location_id = $3 AND state = $4 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID)
};

static OmsPlan write_plan = {
	.sql = "UPDATE {stock_states} SET quantity = quantity + $5"
	" WHERE item_id = $2 AND location_id = $3 AND state = $4 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID, INT4OID)
};

static OmsPlan record_plan = {
	.sql = "INSERT INTO {stock_movements} (item_id, location_id, order_id, at, tenant_id, on_hand_delta, reserved_delta,"
	" state_delta, state, type, reason, reference, actor)"
	" VALUES ($2, $3, nullif($4, 0), $5, $1, $6, 0, $7, $8, $9, $10, $11, $12)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, INT4OID, INT4OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
				 TEXTOID)
};

/* What a call moves. */
typedef struct Movement
{
	int64		item_id;
	int64		location_id;
	int64		order_id;
	const char *type;
	const char *reason;
	const char *reference;
} Movement;

static bool
is_sellable(const char *state)
{
	return strcmp(state, STATE_SELLABLE) == 0;
}

/* Refuses a state that nobody has declared. */
void
oms_stock_state_check(const char *state, const char *place)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), CStringGetTextDatum(state)};

	if (!is_sellable(state) && oms_query(&known_plan, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("stock state \"%s\" is not known", state),
				 errdetail("%s: there is no \"%s\" in oms.stock_state_types", place, state),
				 errhint("sellable, damaged, quality_hold and in_transit are there; a row in oms.stock_state_types adds one.")));
}

static void
read_quantity(TupleTableSlot *slot, void *state)
{
	*(int32 *) state = oms_slot_int32(slot, 1);
}

static int32
units_of_state(const Movement *movement, const char *state)
{
	int32		quantity = 0;
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(movement->item_id),
	Int64GetDatum(movement->location_id), CStringGetTextDatum(state)};

	(void) oms_execute_each(&read_plan, values, NULL, read_quantity, &quantity);
	return quantity;
}

/* Changes a state whose counter is locked; returns what is there now. */
static int32
change_state(const Movement *movement, const char *state, int32 delta)
{
	int32		quantity = units_of_state(movement, state);
	Datum		values[5] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(movement->item_id),
		Int64GetDatum(movement->location_id), CStringGetTextDatum(state), Int32GetDatum(delta)};

	if ((int64) quantity + delta < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
				 errmsg("there are %d units in state \"%s\", not %d", quantity, state, -delta),
				 errdetail("quantity: %d", -delta),
				 errhint("oms.stock_states shows the units of each state.")));
	if ((int64) quantity + delta > OMS_QUANTITY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("state \"%s\" would hold " INT64_FORMAT " units", state, (int64) quantity + delta),
				 errdetail("quantity: a stock row holds at most %d units", OMS_QUANTITY_MAX),
				 errhint("Use a larger base unit for this item.")));
	if (delta > 0)
		(void) oms_execute(&create_plan, values, NULL);
	if (oms_execute(&write_plan, values, NULL) != 1)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("another transaction is creating the same stock row"),
				 errhint("Repeat the transaction.")));
	return quantity + delta;
}

static void
record(const Movement *movement, int32 on_hand_delta, const char *state, int32 state_delta)
{
	Datum		values[12] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(movement->item_id),
		Int64GetDatum(movement->location_id), Int64GetDatum(movement->order_id), TimestampTzGetDatum(oms_call->now),
		Int32GetDatum(on_hand_delta), Int32GetDatum(state_delta), CStringGetTextDatum(state),
	CStringGetTextDatum(movement->type)};
	char		nulls[13] = "            ";
	StockRow	change = {.item_id = movement->item_id,.location_id = movement->location_id,
	.order_id = movement->order_id,.on_hand_delta = on_hand_delta};

	oms_lots_follow(&change, 1, movement->type, movement->reference);
	values[9] = oms_text_or_null(movement->reason, &nulls[9]);
	values[10] = oms_text_or_null(movement->reference, &nulls[10]);
	values[11] = CStringGetTextDatum(oms_call->actor);
	(void) oms_execute(&record_plan, values, nulls);
}

/*
 * Adds units that come from outside in a state other than sellable, or takes
 * them out where quantity is negative; returns what is there now.  Locks the
 * counter: who changes several does so by item, then location.
 */
int32
oms_stock_state_add(int64 item_id, int64 location_id, int64 order_id, const char *state, int32 quantity,
					const char *type, const char *reason, const char *reference)
{
	StockRow	row = {.item_id = item_id,.location_id = location_id};
	Movement	movement = {item_id, location_id, order_id, type, reason, reference};
	int32		now;

	Assert(!is_sellable(state));
	oms_stock_lock_one(&row);
	now = change_state(&movement, state, quantity);
	record(&movement, 0, state, quantity);
	return now;
}

/* ---- Moving ---- */

/* Promised units do not go away silently: the error names their orders. */
static void
refuse_promised(const StockRow *row, const CatalogItem *item, const Location *location, int32 quantity)
{
	StringInfoData detail;
	AllocationList *list = oms_allocations_of_stock(row->item_id, row->location_id);

	initStringInfo(&detail);
	appendStringInfo(&detail, "On hand are %d, promised or held %d.", row->on_hand, row->reserved);
	for (int i = 0; i < list->count && i < PROMISES_SHOWN_MAX; i++)
		appendStringInfo(&detail, "\norder " INT64_FORMAT " line %d: %d", list->rows[i].order_id, list->rows[i].line_no,
						 oms_allocation_open(&list->rows[i]));
	if (list->count > PROMISES_SHOWN_MAX)
		appendStringInfo(&detail, "\nand %d more", list->count - PROMISES_SHOWN_MAX);
	ereport(ERROR,
			(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
			 errmsg("\"%s\" at \"%s\" has %d units free to move, not %d", item->sku, location->code,
					oms_stock_free(row), quantity),
			 errdetail_internal("%s", detail.data),
			 errhint("Move or cancel promises first; oms.count_stock withdraws those that the stock cannot keep.")));
}

/* Changes on hand of the counter; the state on the other side, if any, is recorded in the same row. */
static void
move_sellable(const Movement *movement, StockRow *row, const CatalogItem *item, const Location *location, int32 delta,
			  const char *state)
{
	row->on_hand_delta = delta;
	if (delta < 0 && oms_stock_free(row) < -delta)
		refuse_promised(row, item, location, -delta);
	oms_stock_refuse_overflow(row, item);
	oms_stock_apply(row, 1);
	if (state == NULL)
		oms_stock_record(row, 1, movement->type, movement->reason, movement->reference);
	else
		record(movement, delta, state, -delta);
}

/*
 * Moves units between states at one location, or out where to is NULL.  Locks
 * the counter; row shows what is on hand before, and by how much it changes.
 */
void
oms_stock_state_move(StockRow *row, const CatalogItem *item, const Location *location, const char *from, const char *to,
					 int32 quantity, const char *type, const char *reason, const char *reference)
{
	Movement	movement = {row->item_id, row->location_id, 0, type, reason, reference};

	oms_stock_lock_free(row, is_sellable(from) ? -quantity : 0);
	if (!is_sellable(from))
		(void) change_state(&movement, from, -quantity);
	if (to != NULL && !is_sellable(to))
		(void) change_state(&movement, to, quantity);
	if (is_sellable(from))
		move_sellable(&movement, row, item, location, -quantity, to);
	else if (to != NULL && is_sellable(to))
		move_sellable(&movement, row, item, location, quantity, from);
	else
	{
		record(&movement, 0, from, -quantity);
		if (to != NULL)
			record(&movement, 0, to, quantity);
	}
}

static OmsPlan answer_plan = {
	.sql = "SELECT coalesce(jsonb_object_agg(state, quantity), '{}') FROM {stock_states}"
	" WHERE item_id = $2 AND location_id = $3 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID)
};

static void
read_states(TupleTableSlot *slot, void *state)
{
	bool		isnull;

	*(Jsonb **) state = DatumGetJsonbPCopy(oms_slot_datum(slot, 1, &isnull));
}

static Jsonb *
answer(const StockRow *row)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(row->item_id), Int64GetDatum(row->location_id)};
	Jsonb	   *states = NULL;
	DocWriter	writer;

	(void) oms_execute_each(&answer_plan, values, NULL, read_states, &states);
	oms_write_begin(&writer);
	oms_write_int64(&writer, STATE_SELLABLE, row->on_hand + row->on_hand_delta);
	return DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(oms_write_finish(&writer)), JsonbPGetDatum(states)));
}

static void
note_move(const CatalogItem *item, const Location *location, const char *from, const char *to, int32 quantity,
		  const char *reason, const char *reference)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "sku", item->sku);
	oms_write_text(&writer, "location", location->code);
	oms_write_text(&writer, "from_state", from);
	oms_write_text(&writer, "to_state", to);
	oms_write_int64(&writer, "quantity", quantity);
	oms_write_text(&writer, "reference", reference);
	oms_event(&(Event) {.object_id = item->item_id,.object_type = "stock",.type = "stock.state_moved",
						.reason = reason,.data = oms_write_finish(&writer)});
}

/* What a transfer set aside or sent is moved by its own calls only, else it could never end. */
static void
refuse_transferred(const StockRow *row, const CatalogItem *item, const Location *location, const char *from, int32 quantity)
{
	Movement	movement = {.item_id = row->item_id,.location_id = row->location_id};
	int32		left = units_of_state(&movement, from);
	StringInfoData detail;
	int64		open;

	initStringInfo(&detail);
	appendStringInfo(&detail, "There are %d, of open transfers:", left + quantity);
	open = oms_transfers_open_units(row->item_id, row->location_id, from, &detail);
	if (open > left)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
				 errmsg("\"%s\" at \"%s\" has " INT64_FORMAT " units in state \"%s\" that belong to no transfer, not %d",
						item->sku, location->code, Max(0, left + quantity - open), from, quantity),
				 errdetail_internal("%s", detail.data),
				 errhint("oms.cancel_transfer frees what is set aside; oms.receive_transfer and oms.close_transfer end what is in transit.")));
}

/*
 * oms.move_stock_state(location, sku, from_state, to_state, quantity, reason, reference, lots, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_move_stock_state, CALL_KEYED)
{
	CatalogItem *item;
	Location   *location;
	StockRow	row = oms_stock_row_of_arguments(fcinfo, &item, &location);
	char	   *from = oms_argument_required(fcinfo, 2, "from_state");
	char	   *to = PG_ARGISNULL(3) ? NULL : oms_argument_required(fcinfo, 3, "to_state");
	char	   *reason = oms_argument_required(fcinfo, 5, "reason");
	char	   *reference = oms_argument_optional(fcinfo, 6, "reference");
	int32		quantity;

	oms_stock_require_quantity(fcinfo, 4, "quantity", 1);
	quantity = PG_GETARG_INT32(4);
	oms_stock_state_check(from, "from_state");
	if (to != NULL)
		oms_stock_state_check(to, "to_state");
	if (to != NULL && strcmp(from, to) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("units are in state \"%s\" already", from),
				 errdetail("to_state: is from_state"),
				 errhint("Name another state, or null for units that leave.")));
	oms_lots_give_argument(fcinfo, 7, &row, item, quantity, false);
	oms_stock_state_move(&row, item, location, from, to, quantity, "move", reason, reference);
	refuse_transferred(&row, item, location, from, quantity);
	note_move(item, location, from, to, quantity, reason, reference);
	PG_RETURN_JSONB_P(answer(&row));
}
