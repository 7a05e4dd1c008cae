/*
 * stock_level.c
 *	  Events of stock that is getting low, gone, or back.
 *
 * What can be sold at a location is on hand less reserved and safety.  Each
 * change of a counter compares what stood in the locked rows with what will
 * stand there, so however many orders take units at once, one of them crosses
 * the line, and its event commits with it.  One of several stripes says nothing
 * of the whole: such a change never crosses a line (see stock_counter.c).
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "location.h"
#include "relation.h"
#include "stock.h"

typedef enum StockLevel
{
	LEVEL_OUT,
	LEVEL_LOW,
	LEVEL_OK
} StockLevel;

static const char *const level_names[] = {"out", "low", "ok"};

/* A counter that moves to another level. */
typedef struct Crossing
{
	const StockRow *row;
	StockLevel	before;
	StockLevel	after;
	int64		units;
	char	   *sku;
} Crossing;

/* OFFSET 0 keeps the look-up below the list, which may be long. */
static OmsPlan skus_plan = {
	.sql = "SELECT u.n, i.sku FROM unnest($2::bigint[]) WITH ORDINALITY u(item_id, n)"
	" CROSS JOIN LATERAL (SELECT x.sku FROM {items} x WHERE x.item_id = u.item_id AND x.tenant_id = $1 OFFSET 0) i",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static StockLevel
level_of(int64 units, int64 reorder_point)
{
	if (units <= 0)
		return LEVEL_OUT;
	return units <= reorder_point ? LEVEL_LOW : LEVEL_OK;
}

static void
read_sku(TupleTableSlot *slot, void *state)
{
	((Crossing *) state)[oms_slot_int64(slot, 1) - 1].sku = oms_slot_text(slot, 2);
}

static void
read_skus(Crossing *crossings, int count)
{
	int64	   *items = palloc(sizeof(int64) * count);
	Datum		values[2];

	for (int i = 0; i < count; i++)
		items[i] = crossings[i].row->item_id;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items, count);
	(void) oms_execute_each(&skus_plan, values, NULL, read_sku, crossings);
}

static void
level_event(const Crossing *crossing)
{
	const StockRow *row = crossing->row;
	Location   *location = oms_location_by_id(row->location_id);
	const char *type = "stock.low";
	DocWriter	writer;

	if (crossing->after > crossing->before)
		type = "stock.back";
	else if (crossing->after == LEVEL_OUT)
		type = "stock.out";
	oms_write_begin(&writer);
	oms_write_text(&writer, "sku", crossing->sku);
	oms_write_text(&writer, "location", location ? location->code : NULL);
	oms_write_text(&writer, "level", level_names[crossing->after]);
	oms_write_int64(&writer, "available", Max(0, crossing->units));
	oms_write_int64(&writer, "reorder_point", row->reorder_point + row->reorder_point_delta);
	oms_event(&(Event) {.object_id = row->item_id,.object_type = "stock",.type = type,.data = oms_write_finish(&writer)});
}

/* Whether the change of a locked counter moves it to another level. */
static bool
crosses(const StockRow *row, Crossing *crossing)
{
	int64		units = (int64) row->on_hand - row->reserved - row->safety;
	int64		change = (int64) row->on_hand_delta - row->reserved_delta - row->safety_delta;

	if ((change == 0 && row->reorder_point_delta == 0) || (row->stripe_count == 1 && row->stripes[0].stripes != 1))
		return false;
	crossing->row = row;
	crossing->units = units + change;
	crossing->before = level_of(units, row->reorder_point);
	crossing->after = level_of(units + change, (int64) row->reorder_point + row->reorder_point_delta);
	return crossing->before != crossing->after;
}

/* Writes an event for each locked counter that its change moves to another level. */
void
oms_stock_levels(const StockRow *rows, int count)
{
	Crossing   *crossings = NULL;
	Crossing	crossing;
	int			found = 0;

	for (int i = 0; i < count; i++)
	{
		if (!crosses(&rows[i], &crossing))
			continue;
		if (crossings == NULL)
			crossings = palloc0(sizeof(Crossing) * (count - i));
		crossings[found] = crossing;
		crossings[found++].sku = NULL;
	}
	if (found > 0)
		read_skus(crossings, found);
	for (int i = 0; i < found; i++)
		level_event(&crossings[i]);
}
