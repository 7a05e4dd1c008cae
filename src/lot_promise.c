/*
 * lot_promise.c
 *	  Promises for a lot that a line asked for.
 *
 * Such a promise takes units of the counter like any other, and beside that
 * names the lot that they are.  How much of a lot is promised so is nowhere
 * counted: it is the sum of the few open promises that name it, read under the
 * lock of the whole counter.  Other promises of the item go to whichever lots
 * are left, which are enough, for each lot has at least what is promised of it.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "lot_promise.h"
#include "relation.h"

static OmsPlan tracked_plan = {
	.sql = "SELECT item_id FROM {items} WHERE item_id = ANY ($2) AND tenant_id = $1 AND tracking <> 'none'",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan free_plan = {
	.sql = "SELECT l.item_id, l.location_id, l.lot, l.quantity - coalesce(p.units, 0)::int, coalesce(l.sell_until, 'infinity')"
	" FROM (SELECT DISTINCT x.item_id, x.lot FROM unnest($2::bigint[], $3::text[]) x(item_id, lot)) u"
	" JOIN {lots} l ON l.item_id = u.item_id AND l.lot = u.lot AND l.tenant_id = $1"
	" CROSS JOIN LATERAL (SELECT sum(a.promised - a.shipped - a.cancelled) AS units FROM {allocations} a"
	" WHERE a.item_id = l.item_id AND a.location_id = l.location_id AND a.lot = l.lot AND a.tenant_id = $1"
	" AND a.promised > a.shipped + a.cancelled) p",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID)
};

typedef struct IdList
{
	int			count;
	int64	   *ids;
} IdList;

static void
collect_id(TupleTableSlot *slot, void *state)
{
	IdList	   *list = state;

	list->ids[list->count++] = oms_slot_int64(slot, 1);
}

static bool
is_tracked(const IdList *tracked, int64 item_id)
{
	for (int i = 0; i < tracked->count; i++)
		if (tracked->ids[i] == item_id)
			return true;
	return false;
}

/* Lines may ask for a lot of an item that has lots, and is no kit. */
void
oms_lot_promises_check(Placement *placement, FaultList *faults)
{
	IdList		tracked = {.ids = palloc(sizeof(int64) * Max(1, placement->line_count))};
	int64	   *ids = palloc(sizeof(int64) * Max(1, placement->line_count));
	int			count = 0;
	Datum		values[2];

	for (int i = 0; i < placement->line_count; i++)
		if (placement->lines[i].document->lot && placement->lines[i].item)
			ids[count++] = placement->lines[i].item->item_id;
	if (count == 0)
		return;
	qsort(ids, count, sizeof(int64), oms_compare_int64);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(ids, count);
	(void) oms_execute_each(&tracked_plan, values, NULL, collect_id, &tracked);
	for (int i = 0; i < placement->line_count; i++)
	{
		const PlacedLine *line = &placement->lines[i];

		if (line->document->lot && line->item && !is_tracked(&tracked, line->item->item_id))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "items.tracking says which items have lots.",
					  oms_placement_place(placement, line->position, "lot"), "\"%s\" has no lots", line->item->sku);
	}
}

/* Whether some demand of an order is for a lot. */
bool
oms_lot_promises_asked(const Placement *placement)
{
	bool		asked = false;

	for (int i = 0; i < placement->demand_count; i++)
		asked |= placement->demands[i].lot != NULL;
	for (int i = 0; i < placement->group_count; i++)
		asked |= oms_lot_promises_asked(placement->groups[i]);
	return asked;
}

static void
collect_units(TupleTableSlot *slot, void *state)
{
	LotUnitsList *list = state;
	bool		isnull;

	if (list->count == list->capacity)
	{
		list->capacity = Max(16, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(LotUnits) * list->capacity);
	}
	list->rows[list->count++] = (LotUnits)
	{
		oms_slot_int64(slot, 1), oms_slot_int64(slot, 2), oms_slot_text(slot, 3), oms_slot_int32(slot, 4),
			DatumGetTimestampTz(oms_slot_datum(slot, 5, &isnull))
	};
}

static LotUnits *
units_of(const LotUnitsList *list, int64 item_id, int64 location_id, const char *lot)
{
	for (int i = 0; i < list->count; i++)
		if (list->rows[i].item_id == item_id && list->rows[i].location_id == location_id && strcmp(list->rows[i].lot, lot) == 0)
			return &list->rows[i];
	return NULL;
}

/* The lots that the demands of an order ask for, wherever they are; NULL: they ask for none. */
LotUnitsList *
oms_lot_promises_read(const Placement *placement)
{
	int64	   *items = palloc(sizeof(int64) * Max(1, placement->demand_count));
	char	  **lots = palloc(sizeof(char *) * Max(1, placement->demand_count));
	LotUnitsList *list;
	int			count = 0;
	Datum		values[3];

	for (int i = 0; i < placement->demand_count; i++)
		if (placement->demands[i].lot)
		{
			items[count] = placement->demands[i].item->item_id;
			lots[count++] = unconstify(char *, placement->demands[i].lot);
		}
	if (count == 0)
		return NULL;
	list = palloc0(sizeof(LotUnitsList));
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items, count);
	values[2] = oms_array_text(lots, count);
	(void) oms_execute_each(&free_plan, values, NULL, collect_units, list);
	return list;
}

/* What the deliveries before this one take of a lot. */
static int32
taken_by_groups(const Placement *placement, const LotUnits *units)
{
	int32		taken = 0;

	for (int i = 0; i < placement->group_no; i++)
	{
		const Placement *group = placement->whole->groups[i];

		for (int j = 0; j < group->part_count; j++)
		{
			const Demand *demand = &group->demands[group->parts[j].line];

			if (demand->lot && demand->item->item_id == units->item_id && strcmp(demand->lot, units->lot) == 0 &&
				group->candidates[group->parts[j].location]->location_id == units->location_id)
				taken += group->parts[j].quantity;
		}
	}
	return taken;
}

/* Units of its lot that a demand can have at a location: none where the lot does not last. */
int32
oms_lot_promises_free(const LotUnitsList *list, const Placement *placement, const Demand *demand, int64 location_id)
{
	const LotUnits *units = units_of(list, demand->item->item_id, location_id, demand->lot);
	TimestampTz until = oms_call->now;

	for (int i = 0; i < placement->horizon_count; i++)
		if (placement->horizons[i].location_id == location_id)
			until = Max(until, placement->horizons[i].at);
	if (units == NULL || units->sell_until <= until)
		return 0;
	return Max(0, units->units - taken_by_groups(placement, units));
}

/* Has the counters of which lots are promised locked whole. */
void
oms_lot_promises_whole(const Placement *placement, StockRow *rows, int count)
{
	for (int i = 0; i < placement->allocation_count; i++)
	{
		const Allocation *promise = &placement->allocations[i];

		for (int j = 0; promise->lot && j < count; j++)
			if (rows[j].item_id == promise->item_id && rows[j].location_id == promise->location_id)
				rows[j].whole = true;
	}
}

/* Whether the lots still have what was planned of them, now that their counters are locked. */
static bool
stand(const Placement *placement, LotUnitsList *list)
{
	for (int i = 0; i < placement->part_count; i++)
	{
		const RoutePart *part = &placement->parts[i];
		const Demand *demand = &placement->demands[part->line];
		int64		location_id = placement->candidates[part->location]->location_id;

		if (demand->lot == NULL)
			continue;
		if (oms_lot_promises_free(list, placement, demand, location_id) < part->quantity)
			return false;
		units_of(list, demand->item->item_id, location_id, demand->lot)->units -= part->quantity;
	}
	return true;
}

bool
oms_lot_promises_stand(const Placement *placement)
{
	LotUnitsList *list = placement->group_count == 0 ? oms_lot_promises_read(placement) : NULL;

	if (list && !stand(placement, list))
		return false;
	for (int i = 0; i < placement->group_count; i++)
		if (!oms_lot_promises_stand(placement->groups[i]))
			return false;
	return true;
}
