/*
 * availability.c
 *	  What a channel may promise, of one SKU, of many, and why.
 *
 * One reading of the counters serves all three, so their figures agree: units
 * on hand, less those promised and held, less what is kept back, and never
 * less than nothing at any location.  Units of expired holds, and those of the
 * asker's own reservation, are free.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/tuplestore.h"

#include "call.h"
#include "document.h"
#include "item.h"
#include "kit.h"
#include "location.h"
#include "quota.h"
#include "relation.h"
#include "reservation.h"
#include "supply.h"

/* The items of a whole channel. */
static OmsPlan items_plan = {
	.sql = "SELECT sku FROM {items} WHERE tenant_id = $1 AND active AND kind IN ('stocked', 'kit') ORDER BY sku",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan held_plan = {
	.sql = "SELECT l.location_id, sum(l.quantity) FILTER (WHERE r.expires_at > $3),"
	" sum(l.quantity) FILTER (WHERE r.expires_at <= $3)"
	" FROM {reservation_lines} l JOIN {reservations} r ON r.reservation_id = l.reservation_id AND r.tenant_id = $1"
	" WHERE l.item_id = $2 AND l.tenant_id = $1 GROUP BY l.location_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

/*
 * The counters of some items as a channel sees them, sorted by item and
 * location, and the quotas that bear on them.
 */
static StockView *
view_of_items(const Channel *channel, int64 own, const int64 *item_ids, int count, QuotaList **quotas)
{
	HoldList   *holds = oms_holds_read(own, item_ids, count);
	StockView  *view = oms_quotas_view(channel, own, item_ids, count, quotas);

	oms_holds_credit(holds, view);
	return view;
}

/* Units that can be promised from a counter now. */
static int64
free_units(const StockRow *row)
{
	return Max(0, (int64) row->on_hand - row->reserved - row->safety);
}

/*
 * Units that can be promised from a counter by a date: those that are there
 * now, and what then is left of the supplies that come until then, as far as it
 * may be promised.
 */
static int64
units_by(const StockRow *row, const CatalogItem *item, const Channel *channel, const SupplyList *supplies)
{
	int64		free = free_units(row);
	int64		headroom = Min((int64) row->on_hand + row->backorder_limit - row->reserved - free, row->backorder_limit);

	if (supplies == NULL || headroom <= 0 || !item->backorder || (channel && !channel->backorder))
		return free;
	return free + Min(headroom, oms_supplies_promisable(supplies, row, free));
}

static SupplyList *
supplies_until(FunctionCallInfo fcinfo, int argument, const int64 *item_ids, int count)
{
	return PG_ARGISNULL(argument) ? NULL
		: oms_supplies_read_with_promises(item_ids, count, PG_GETARG_TIMESTAMPTZ(argument));
}

/* The location of a row where the channel may ship from it, else NULL. */
static Location *
serving_location(const StockRow *row, const Channel *channel)
{
	Location   *location = oms_location_by_id(row->location_id);

	return location && oms_location_serves(location, channel, PURPOSE_SHIP) ? location : NULL;
}

typedef struct Asked
{
	const Channel *channel;
	const Location *only;		/* NULL: all */
} Asked;

static bool
is_asked(const StockRow *row, void *state)
{
	const Asked *asked = state;
	Location   *location = serving_location(row, asked->channel);

	return location && (asked->only == NULL || asked->only == location);
}

/* ---- Kits ---- */

/* Units that the channel may promise of an item, over all its locations. */
static int64
sum_of_item(const StockView *view, const QuotaList *quotas, const CatalogItem *item, const Channel *channel,
			const SupplyList *supplies)
{
	int			first = oms_stock_first(view, item->item_id);
	StockView	rows = {.rows = view->rows + first};
	Asked		asked = {channel, NULL};
	int64		sum = 0;

	while (first + rows.count < view->count && rows.rows[rows.count].item_id == item->item_id)
		rows.count++;
	/* The view stays as it is: the same item may stand in the call again. */
	if (quotas && rows.count > 0)
	{
		rows.rows = memcpy(palloc(sizeof(StockRow) * rows.count), rows.rows, sizeof(StockRow) * rows.count);
		oms_quotas_trim(quotas, &rows, item->item_id, PG_INT64_MAX, is_asked, &asked);
	}
	for (int i = 0; i < rows.count; i++)
		if (is_asked(&rows.rows[i], &asked))
			sum += units_by(&rows.rows[i], item, channel, supplies);
	if (quotas && rows.count > 0)
		pfree(rows.rows);
	return sum;
}

/* Whole sets that units make. */
static int64
sets_of(int64 units, const KitComponent *component)
{
	return Max(0, units) / component->quantity;
}

/* Sets that one location has all components of. */
static int64
sets_at(const StockView *view, const KitComponent *rows, int count, const Channel *channel, const SupplyList *supplies,
		int64 location_id)
{
	int64		sets = PG_INT64_MAX;

	for (int i = 0; i < count; i++)
	{
		int64		units = 0;

		if (rows[i].item.kind != ITEM_STOCKED)
			continue;
		for (int j = oms_stock_first(view, rows[i].item.item_id); j < view->count && view->rows[j].item_id == rows[i].item.item_id; j++)
			if (view->rows[j].location_id == location_id)
				units = units_by(&view->rows[j], &rows[i].item, channel, supplies);
		sets = Min(sets, sets_of(units, &rows[i]));
	}
	return sets;
}

/* A component that limits where a set can be; NULL: none has stock. */
static const KitComponent *
first_stocked(const KitComponent *rows, int count)
{
	for (int i = 0; i < count; i++)
		if (rows[i].item.kind == ITEM_STOCKED)
			return &rows[i];
	return NULL;
}

/* Sets of a kit with stocked components that the channel may promise over all its locations. */
static int64
sets_of_kit(const StockView *view, const QuotaList *quotas, const KitComponent *rows, int count, const Channel *channel,
			const SupplyList *supplies)
{
	const KitComponent *first = first_stocked(rows, count);
	int64		sets = PG_INT64_MAX;
	int64		together = 0;

	for (int i = 0; i < count; i++)
		if (rows[i].item.kind == ITEM_STOCKED)
			sets = Min(sets, sets_of(sum_of_item(view, quotas, &rows[i].item, channel, supplies), &rows[i]));
	if (!first->ship_together)
		return sets;
	for (int i = oms_stock_first(view, first->item.item_id); i < view->count && view->rows[i].item_id == first->item.item_id; i++)
		if (serving_location(&view->rows[i], channel))
			together += sets_at(view, rows, count, channel, supplies, view->rows[i].location_id);
	return Min(sets, together);
}

/* The components of kits, and their counters. */
typedef struct KitView
{
	KitList    *list;
	StockView  *view;
	QuotaList  *quotas;
	SupplyList *supplies;
} KitView;

static int64 *
stocked_components(const KitList *list, int *count)
{
	int64	   *ids = palloc(sizeof(int64) * Max(1, list->count));

	*count = 0;
	for (int i = 0; i < list->count; i++)
		if (list->rows[i].item.kind == ITEM_STOCKED)
			ids[(*count)++] = list->rows[i].item.item_id;
	return ids;
}

static KitView
view_of_kit(FunctionCallInfo fcinfo, const CatalogItem *item, const Channel *channel, int64 own, int needed_by)
{
	KitView		kit = {.list = oms_kits_read(&item->item_id, 1)};
	int			count;
	int64	   *ids = stocked_components(kit.list, &count);

	kit.supplies = supplies_until(fcinfo, needed_by, ids, count);
	kit.view = view_of_items(channel, own, ids, count, &kit.quotas);
	return kit;
}

/*
 * Rows of a kit: whole sets at each location, and without a location those
 * whose components come from several.
 */
static void
put_kit(FunctionCallInfo fcinfo, const CatalogItem *item, const Channel *channel, const Location *only, int64 own)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	KitView		kit = view_of_kit(fcinfo, item, channel, own, 3);
	const KitComponent *first = first_stocked(kit.list->rows, kit.list->count);
	int64		left = first ? sets_of_kit(kit.view, kit.quotas, kit.list->rows, kit.list->count, channel, kit.supplies) : 0;
	Datum		values[5] = {0};
	bool		nulls[5] = {true, true, true, true, false};

	for (int i = first ? oms_stock_first(kit.view, first->item.item_id) : 0;
		 first && i < kit.view->count && kit.view->rows[i].item_id == first->item.item_id; i++)
	{
		Location   *location = serving_location(&kit.view->rows[i], channel);
		int64		sets = location == NULL || (only && only != location) ? 0
			: Min(left, sets_at(kit.view, kit.list->rows, kit.list->count, channel, kit.supplies, location->location_id));

		if (sets == 0)
			continue;
		left -= sets;
		values[0] = CStringGetTextDatum(location->code);
		values[4] = Int64GetDatum(sets);
		nulls[0] = false;
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	nulls[0] = true;
	values[4] = Int64GetDatum(left);
	if (left > 0 && only == NULL)
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/* ---- One SKU ---- */

static void
put_available(ReturnSetInfo *result, const StockRow *row, const Location *location, int64 available)
{
	Datum		values[5];
	bool		nulls[5] = {false};

	values[0] = CStringGetTextDatum(location->code);
	values[1] = Int64GetDatum(row->on_hand);
	values[2] = Int64GetDatum(row->reserved);
	values[3] = Int64GetDatum(row->safety);
	values[4] = Int64GetDatum(available);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * oms.available(sku, channel, location, needed_by, reservation_id)
 *		-> setof (location, on_hand, reserved, safety, available)
 */
OMS_FUNCTION(oms_available, CALL_READ)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	CatalogItem *item = oms_item_get(oms_argument_required(fcinfo, 0, "sku"));
	Channel    *channel = PG_ARGISNULL(1) ? NULL : oms_channel_get(oms_argument_required(fcinfo, 1, "channel"));
	Location   *only = PG_ARGISNULL(2) ? NULL : oms_location_get(oms_argument_required(fcinfo, 2, "location"));
	int64		own = PG_ARGISNULL(4) ? 0 : oms_argument_id(fcinfo, 4, "reservation_id");
	SupplyList *supplies = supplies_until(fcinfo, 3, &item->item_id, 1);
	Asked		asked = {channel, only};
	QuotaList  *quotas;
	StockView  *view;

	*isnull = true;
	if (item->kind == ITEM_KIT)
	{
		InitMaterializedSRF(fcinfo, 0);
		put_kit(fcinfo, item, channel, only, own);
		return (Datum) 0;
	}
	view = view_of_items(channel, own, &item->item_id, 1, &quotas);
	oms_quotas_trim(quotas, view, item->item_id, PG_INT64_MAX, is_asked, &asked);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < view->count; i++)
		if (is_asked(&view->rows[i], &asked))
			put_available(result, &view->rows[i], oms_location_by_id(view->rows[i].location_id),
						  units_by(&view->rows[i], item, channel, supplies));
	*isnull = true;
	return (Datum) 0;
}

/* ---- One SKU by date ---- */

/* One row for each moment at which something changes at a counter. */
static void
put_moments(ReturnSetInfo *result, const StockRow *row, const CatalogItem *item, const Channel *channel,
			SupplyList *supplies, TimestampTz until)
{
	CounterSchedule schedule = oms_supplies_schedule(supplies, row, NULL, 0);
	Location   *location = oms_location_by_id(row->location_id);

	for (int i = 0; i < schedule.count; i++)
	{
		ScheduleStep *step = &schedule.steps[i];
		int64		there = step->supply + (i == 0 ? (int64) row->on_hand - row->safety - Max(0, schedule.base) : 0);
		Datum		values[6] = {CStringGetTextDatum(location->code),
			TimestampTzGetDatum(step->at == SCHEDULE_NEVER ? DT_NOEND : step->at), Int64GetDatum(there),
		Int64GetDatum(there - step->supply + step->demand), Int64GetDatum(step->supplied - step->demanded)};
		bool		nulls[6] = {false};

		CHECK_FOR_INTERRUPTS();
		if (i > 0 && step->at > until)
			break;
		supplies->until = step->at;
		values[5] = Int64GetDatum(step->at == SCHEDULE_NEVER ? 0 : units_by(row, item, channel, supplies));
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * oms.available_by_date(sku, channel, location, until, reservation_id)
 *		-> setof (location, at, supply, demand, cumulative, available)
 */
OMS_FUNCTION(oms_available_by_date, CALL_READ)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	CatalogItem *item = oms_item_get(oms_argument_required(fcinfo, 0, "sku"));
	Channel    *channel = PG_ARGISNULL(1) ? NULL : oms_channel_get(oms_argument_required(fcinfo, 1, "channel"));
	Location   *only = PG_ARGISNULL(2) ? NULL : oms_location_get(oms_argument_required(fcinfo, 2, "location"));
	TimestampTz until = PG_ARGISNULL(3) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(3);
	int64		own = PG_ARGISNULL(4) ? 0 : oms_argument_id(fcinfo, 4, "reservation_id");
	Asked		asked = {channel, only};
	SupplyList *supplies;
	QuotaList  *quotas;
	StockView  *view;

	if (item->kind != ITEM_STOCKED)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("SKU \"%s\" has no stock of its own", item->sku),
				 errdetail("sku: is a digital or service item, or a kit"),
				 errhint("Ask for the components of a kit, or oms.available with needed_by.")));
	supplies = oms_supplies_read_with_promises(&item->item_id, 1, until);
	view = view_of_items(channel, own, &item->item_id, 1, &quotas);
	oms_quotas_trim(quotas, view, item->item_id, PG_INT64_MAX, is_asked, &asked);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < view->count; i++)
		if (is_asked(&view->rows[i], &asked))
			put_moments(result, &view->rows[i], item, channel, supplies, until);
	*isnull = true;
	return (Datum) 0;
}

/* ---- Many SKUs ---- */

typedef struct SkuList
{
	int			count;
	int			capacity;
	char	  **skus;
} SkuList;

static void
add_sku(SkuList *list, char *sku)
{
	if (list->count == list->capacity)
	{
		list->capacity = Max(64, list->capacity * 2);
		list->skus = oms_grown(list->skus, sizeof(char *) * list->capacity);
	}
	list->skus[list->count++] = sku;
}

static void
collect_sku(TupleTableSlot *slot, void *state)
{
	add_sku(state, oms_slot_text(slot, 1));
}

static void
read_skus(ArrayType *array, SkuList *list)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;
	FaultList	faults;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	oms_faults_init(&faults);
	if (count > OMS_BULK_ROWS_MAX)
		oms_fault(&faults, ERRCODE_OMS_LIMIT, "Ask for them in several calls, or for null: the whole channel.", "skus",
				  "has %d elements, at most %d are allowed", count, OMS_BULK_ROWS_MAX);
	for (int i = 0; faults.count == 0 && i < count; i++)
	{
		if (nulls[i])
			oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give SKUs.", psprintf("skus[%d]", i), "is null");
		else
			add_sku(list, TextDatumGetCString(elements[i]));
	}
	oms_faults_raise(&faults, "the list of SKUs is not valid");
}

static const char *
kind_of(const CatalogItem *item)
{
	if (item == NULL)
		return "unknown";
	if (item->kind == ITEM_STOCKED)
		return "stocked";
	if (item->kind == ITEM_KIT)
		return "kit";
	return item->kind == ITEM_DIGITAL ? "digital" : "service";
}

/* The kits of a list with their components. */
static KitList *
kits_of(ItemSet *items, const SkuList *list)
{
	int64	   *ids = palloc(sizeof(int64) * Max(1, list->count));
	int			count = 0;

	for (int i = 0; i < list->count; i++)
	{
		CatalogItem *item = oms_items_find(items, list->skus[i]);

		if (item && item->kind == ITEM_KIT)
			ids[count++] = item->item_id;
	}
	return oms_kits_read(ids, count);
}

/* The stocked items of a list, and those of its kits; each once. */
static int64 *
items_to_view(ItemSet *items, const SkuList *list, const KitList *kits, int *count)
{
	int			component_count;
	int64	   *components = stocked_components(kits, &component_count);
	int64	   *ids = palloc(sizeof(int64) * Max(1, list->count + component_count));
	int			all = component_count;

	memcpy(ids, components, sizeof(int64) * component_count);
	for (int i = 0; i < list->count; i++)
	{
		CatalogItem *item = oms_items_find(items, list->skus[i]);

		if (item && item->kind == ITEM_STOCKED)
			ids[all++] = item->item_id;
	}
	*count = all;
	if (component_count == 0)
		return ids;
	qsort(ids, all, sizeof(int64), oms_compare_int64);
	*count = 0;
	for (int i = 0; i < all; i++)
		if (*count == 0 || ids[*count - 1] != ids[i])
			ids[(*count)++] = ids[i];
	return ids;
}

/*
 * oms.available_many(channel, skus, needed_by) -> setof (sku, quantity, kind)
 *
 * One row per element, in its order.
 */
OMS_FUNCTION(oms_available_many, CALL_READ)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Channel    *channel = PG_ARGISNULL(0) ? NULL : oms_channel_get(oms_argument_required(fcinfo, 0, "channel"));
	SkuList		list = {0};
	ItemSet    *items;
	QuotaList  *quotas;
	StockView  *view;
	SupplyList *supplies;
	KitList    *kits;
	int64	   *item_ids;
	int			count = 0;
	Datum		tenant = Int32GetDatum(oms_call->tenant);

	if (PG_ARGISNULL(1))
		(void) oms_execute_each(&items_plan, &tenant, NULL, collect_sku, &list);
	else
		read_skus(PG_GETARG_ARRAYTYPE_P(1), &list);
	items = oms_items_read(list.skus, list.count);
	kits = kits_of(items, &list);
	item_ids = items_to_view(items, &list, kits, &count);
	supplies = supplies_until(fcinfo, 2, item_ids, count);
	view = view_of_items(channel, 0, item_ids, count, &quotas);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < list.count; i++)
	{
		CatalogItem *item = oms_items_find(items, list.skus[i]);
		Datum		values[3] = {CStringGetTextDatum(list.skus[i]),[2] = CStringGetTextDatum(kind_of(item))};
		bool		nulls[3] = {[1] = item == NULL || (item->kind != ITEM_STOCKED && item->kind != ITEM_KIT)};

		if (item && item->kind == ITEM_STOCKED)
			values[1] = Int64GetDatum(sum_of_item(view, quotas, item, channel, supplies));
		else if (item && item->kind == ITEM_KIT)
		{
			int			components;
			KitComponent *rows = oms_kit_components(kits, item->item_id, &components);

			nulls[1] = first_stocked(rows, components) == NULL;
			if (!nulls[1])
				values[1] = Int64GetDatum(sets_of_kit(view, quotas, rows, components, channel, supplies));
		}
		CHECK_FOR_INTERRUPTS();
		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
	*isnull = true;
	return (Datum) 0;
}

/* ---- Why ---- */

/* Units held for carts at a location. */
typedef struct Held
{
	int64		location_id;
	int64		live;
	int64		lapsed;
} Held;

typedef struct HeldList
{
	int			count;
	int			capacity;
	Held	   *rows;
} HeldList;

static int64
sum_or_zero(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

static void
collect_held(TupleTableSlot *slot, void *state)
{
	HeldList   *list = state;

	if (list->count == list->capacity)
	{
		list->capacity = Max(16, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(Held) * list->capacity);
	}
	list->rows[list->count++] = (Held) {oms_slot_int64(slot, 1), sum_or_zero(slot, 2), sum_or_zero(slot, 3)};
}

static Held
held_at(const HeldList *list, int64 location_id)
{
	for (int i = 0; i < list->count; i++)
		if (list->rows[i].location_id == location_id)
			return list->rows[i];
	return (Held) {location_id, 0, 0};
}

/* Writes the terms of one location and adds them up. */
typedef struct Explanation
{
	ReturnSetInfo *result;
	const Location *location;	/* NULL: over all of them */
	const QuotaList *quotas;
	const SupplyList *supplies;
	bool		by_date;		/* what comes until supplies->until counts */
	int64		later;			/* units that this adds, over all locations */
	int64		sum;
} Explanation;

static void
put_term(Explanation *explanation, const char *term, int64 quantity, const char *reason)
{
	Datum		values[4] = {[1] = CStringGetTextDatum(term),[2] = Int64GetDatum(quantity)};
	bool		nulls[4] = {[0] = explanation->location == NULL,[3] = reason == NULL};

	if (explanation->location)
		values[0] = CStringGetTextDatum(explanation->location->code);
	if (reason)
		values[3] = CStringGetTextDatum(reason);
	explanation->sum += quantity;
	tuplestore_putvalues(explanation->result->setResult, explanation->result->setDesc, values, nulls);
}

static void
put_backorder(Explanation *explanation, const StockRow *row, const CatalogItem *item, const Channel *channel)
{
	int64		debt = Max(0, (int64) row->reserved - row->on_hand);

	if (row->backorder_limit == 0)
		return;
	if (!item->backorder)
		put_term(explanation, "backorder", 0, "the item may not be promised beyond what is on hand");
	else if (channel && !channel->backorder)
		put_term(explanation, "backorder", 0, "the channel may not promise beyond what is on hand");
	else
		put_term(explanation, "backorder", 0,
				 psprintf(INT64_FORMAT " of %d units may still be promised beyond what is on hand",
						  row->backorder_limit - debt, row->backorder_limit));
}

static void
put_supplies(Explanation *explanation, const StockRow *row)
{
	const SupplyList *supplies = explanation->supplies;

	for (int i = 0; i < supplies->count; i++)
		if (supplies->rows[i].location_id == row->location_id)
			put_term(explanation, "supply", 0,
					 psprintf(INT64_FORMAT " units count from %s", supplies->rows[i].units,
							  timestamptz_to_str(supplies->rows[i].expected_at)));
}

/* What comes until the date asked for, and is not for somebody else. */
static void
put_by_date(Explanation *explanation, const StockRow *row, Held held, const CatalogItem *item, const Channel *channel)
{
	StockRow	seen = *row;
	int64		units;

	if (!explanation->by_date)
		return;
	seen.reserved -= (int32) held.lapsed;
	units = units_by(&seen, item, channel, explanation->supplies) - free_units(&seen);
	put_term(explanation, "by_date", units, psprintf("units beyond those on hand that can be promised for %s at the latest",
													 timestamptz_to_str(explanation->supplies->until)));
	if (serving_location(row, channel))
		explanation->later += units;
}

static void
explain_row(Explanation *explanation, const StockRow *row, Held held, const CatalogItem *item, const Channel *channel)
{
	const char *exclusion = oms_location_exclusion(explanation->location, channel, PURPOSE_SHIP);
	int32		kept = oms_quotas_safety(explanation->quotas, row->item_id, row->location_id);

	explanation->sum = 0;
	put_term(explanation, "on_hand", row->on_hand, NULL);
	if (row->reserved != held.live + held.lapsed)
		put_term(explanation, "promised", held.live + held.lapsed - row->reserved, "open units of orders");
	if (held.live > 0)
		put_term(explanation, "held", -held.live, "carts");
	if (held.lapsed > 0)
		put_term(explanation, "held_lapsed", 0, psprintf(INT64_FORMAT " units of holds whose time is over are free",
														 held.lapsed));
	if (row->safety > kept)
		put_term(explanation, "safety", kept - row->safety, "kept back at the location");
	if (kept > 0)
		put_term(explanation, "channel_safety", -kept, "left by the channel at the location");
	if (explanation->sum < 0)
		put_term(explanation, "floor", -explanation->sum, "a location that lacks units does not lower the others");
	put_supplies(explanation, row);
	put_by_date(explanation, row, held, item, channel);
	put_backorder(explanation, row, item, channel);
	if (exclusion)
		put_term(explanation, "excluded", -explanation->sum, exclusion);
}

/* Terms over all locations, which have the location null; the sum of all terms is units. */
static void
explain_limit(Explanation *explanation, const QuotaLimit *limit, int64 units)
{
	explanation->location = NULL;
	explanation->sum = limit->free - limit->unshipped;
	if (limit->unshipped > 0)
		put_term(explanation, "pickup", limit->unshipped, "at locations for pickup alone, which count for what the channel must leave");
	if (limit->network_safety > 0)
		put_term(explanation, "network_safety", -limit->network_safety, "left by the channel over all locations");
	if (limit->guaranteed > 0)
		put_term(explanation, "guaranteed", -limit->guaranteed, "kept for other channels");
	if (explanation->sum < 0)
		put_term(explanation, "floor", -explanation->sum, "nothing is left for the channel");
	if (limit->tree)
		put_term(explanation, "share", Min(0, limit->drawn - explanation->sum),
				 psprintf("the channel may draw " INT64_FORMAT " more of its own share, " INT64_FORMAT " of those above, "
						  INT64_FORMAT " that worse ranks lend", limit->draw.own, limit->draw.above, limit->draw.lower));
	explanation->sum += explanation->later;
	if (explanation->sum > limit->cap)
		put_term(explanation, "cap", limit->cap - explanation->sum,
				 psprintf(INT64_FORMAT " units are left below the cap of the channel", limit->cap));
	if (limit->unshipped > 0 && explanation->sum > units)
		put_term(explanation, "excluded", -Min(limit->unshipped, explanation->sum - units), "units for pickup alone are not shipped");
	if (explanation->sum > units)
		put_term(explanation, "by_date", units - explanation->sum,
				 "where units stay for others, none is promised beyond what is on hand");
}

/* A kit: what its components make at each location, and what together. */
static void
explain_kit(Explanation *explanation, FunctionCallInfo fcinfo, const CatalogItem *item, const Channel *channel)
{
	KitView		kit = view_of_kit(fcinfo, item, channel, 0, 2);
	const KitComponent *first = first_stocked(kit.list->rows, kit.list->count);
	int64		left;

	explanation->location = NULL;
	if (first == NULL)
	{
		put_term(explanation, "components", 0, kit.list->count == 0 ? "the kit has none" : "none has stock: nothing limits the kit");
		return;
	}
	for (int i = 0; i < kit.list->count; i++)
	{
		KitComponent *row = &kit.list->rows[i];
		int64		units = row->item.kind == ITEM_STOCKED ? sum_of_item(kit.view, kit.quotas, &row->item, channel, kit.supplies) : 0;

		put_term(explanation, "component", 0, row->item.kind != ITEM_STOCKED
				 ? psprintf("\"%s\" x %d has no stock", row->item.sku, row->quantity)
				 : psprintf("\"%s\" x %d: " INT64_FORMAT " units make " INT64_FORMAT " sets", row->item.sku, row->quantity, units,
							sets_of(units, row)));
	}
	left = sets_of_kit(kit.view, kit.quotas, kit.list->rows, kit.list->count, channel, kit.supplies);
	for (int i = oms_stock_first(kit.view, first->item.item_id); i < kit.view->count && kit.view->rows[i].item_id == first->item.item_id; i++)
	{
		int64		sets;

		explanation->location = serving_location(&kit.view->rows[i], channel);
		if (explanation->location == NULL)
			continue;
		sets = Min(left, sets_at(kit.view, kit.list->rows, kit.list->count, channel, kit.supplies, kit.view->rows[i].location_id));
		if (sets > 0)
			put_term(explanation, "sets", sets, "all components are there");
		left -= sets;
	}
	explanation->location = NULL;
	if (left > 0)
		put_term(explanation, "sets", left, "from several locations");
}

/*
 * oms.explain_available(sku, channel, needed_by) -> setof (location, term, quantity, reason)
 *
 * The quantities add up to what oms.available gives.
 */
OMS_FUNCTION(oms_explain_available, CALL_READ)
{
	Explanation explanation = {.result = (ReturnSetInfo *) fcinfo->resultinfo};
	CatalogItem *item = oms_item_get(oms_argument_required(fcinfo, 0, "sku"));
	Channel    *channel = PG_ARGISNULL(1) ? NULL : oms_channel_get(oms_argument_required(fcinfo, 1, "channel"));
	HeldList	held = {0};
	QuotaLimit	limit;
	QuotaList  *quotas;
	StockView  *view;
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(item->item_id),
	TimestampTzGetDatum(oms_call->now)};

	*isnull = true;
	if (item->kind == ITEM_KIT)
	{
		InitMaterializedSRF(fcinfo, 0);
		explain_kit(&explanation, fcinfo, item, channel);
		return (Datum) 0;
	}
	(void) oms_execute_each(&held_plan, values, NULL, collect_held, &held);
	view = oms_quotas_view(channel, 0, &item->item_id, 1, &quotas);
	explanation.quotas = quotas;
	explanation.by_date = !PG_ARGISNULL(2);
	explanation.supplies = explanation.by_date ? supplies_until(fcinfo, 2, &item->item_id, 1)
		: oms_supplies_read(&item->item_id, 1);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < view->count; i++)
	{
		explanation.location = oms_location_by_id(view->rows[i].location_id);
		if (explanation.location)
			explain_row(&explanation, &view->rows[i], held_at(&held, view->rows[i].location_id), item, channel);
	}
	oms_holds_credit(oms_holds_read(0, &item->item_id, 1), view);
	if (oms_quotas_limit(quotas, view, item->item_id, &limit))
		explain_limit(&explanation, &limit,
					  sum_of_item(view, quotas, item, channel, explanation.by_date ? explanation.supplies : NULL));
	*isnull = true;
	return (Datum) 0;
}
