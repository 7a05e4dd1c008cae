/*
 * channel_level.c
 *	  Events of stock that is getting low, gone, or back for a channel.
 *
 * What a channel may promise of an item depends on all its locations, on
 * quotas and on carts, so no single locked row shows whether a threshold is
 * crossed.  oms.channel_levels remembers the level instead.  A call that has
 * changed units of an item locks the rows of it at its end, looks at what the
 * channels may promise now, and writes the rows: whoever comes later waits, and
 * sees what this one did.  So the last of several calls that cross a line
 * together finds it crossed, and none finds it crossed twice.  An old snapshot
 * that would not see the others fails on the row, which every call writes.
 *
 * Items without such rows cost one look-up in a call, tenants without any a
 * flag in memory.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/inval.h"

#include "call.h"
#include "channel_level.h"
#include "configuration.h"
#include "document.h"
#include "event.h"
#include "item.h"
#include "location.h"
#include "quota.h"
#include "relation.h"
#include "reservation.h"

/* A threshold of a channel. */
typedef struct ChannelLevel
{
	int64		level_id;
	int64		item_id;
	int64		channel_id;
	int32		low_at;
	char	   *level;
	char	   *sku;
	bool		seen;			/* available is known */
	int64		available;
} ChannelLevel;

typedef struct ChannelLevels
{
	int			count;
	int			capacity;
	ChannelLevel *rows;			/* by level_id */
} ChannelLevels;

static OmsPlan lock_plan = {
	.sql = "SELECT x.level_id, x.item_id, x.channel_id, x.low_at, x.level FROM {channel_levels} x WHERE x.tenant_id = $1"
	" AND x.item_id = ANY ($2) ORDER BY x.level_id FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan skus_plan = {
	.sql = "SELECT i.item_id, i.sku FROM {items} i WHERE i.item_id = ANY ($2) AND i.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan write_plan = {
	.sql = "UPDATE {channel_levels} x SET level = u.level, version = x.version + 1"
	" FROM unnest($2::bigint[], $3::text[]) u(level_id, level) WHERE x.level_id = u.level_id AND x.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID)
};

static OmsPlan set_plan = {
	.sql = "INSERT INTO {channel_levels} (channel_id, item_id, low_at, tenant_id) VALUES ($2, $3, $4, $1)"
	" ON CONFLICT (item_id, channel_id, tenant_id) DO UPDATE SET low_at = EXCLUDED.low_at",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT4OID)
};

static OmsPlan remove_plan = {
	.sql = "DELETE FROM {channel_levels} WHERE tenant_id = $1 AND channel_id = $2 AND item_id = $3",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID)
};

/* ---- Noting ---- */

/* Notes items that are to be looked at when the call ends. */
void
oms_channel_levels_note(const int64 *item_ids, int count)
{
	LevelItems *items = &oms_call->level_items;

	/* A threshold that was set while we waited for a counter counts. */
	AcceptInvalidationMessages();
	if (!oms_configuration()->has_channel_levels)
		return;
	for (int i = 0; i < count; i++)
	{
		if (items->count > 0 && items->ids[items->count - 1] == item_ids[i])
			continue;
		if (items->count == items->capacity)
		{
			items->capacity = Max(64, items->capacity * 2);
			items->ids = items->ids
				? repalloc_huge(items->ids, sizeof(int64) * items->capacity)
				: MemoryContextAlloc(oms_call->context, sizeof(int64) * items->capacity);
		}
		items->ids[items->count++] = item_ids[i];
	}
}

/* The same for counters. */
void
oms_channel_levels_note_rows(const StockRow *rows, int count)
{
	for (int i = 0; i < count; i++)
		if (i == 0 || rows[i].item_id != rows[i - 1].item_id)
			oms_channel_levels_note(&rows[i].item_id, 1);
}

/* ---- Looking ---- */

static void
collect(TupleTableSlot *slot, void *state)
{
	ChannelLevels *levels = state;

	if (levels->count == levels->capacity)
	{
		levels->capacity = Max(16, levels->capacity * 2);
		levels->rows = oms_grown(levels->rows, sizeof(ChannelLevel) * levels->capacity);
	}
	levels->rows[levels->count++] = (ChannelLevel)
	{
		.level_id = oms_slot_int64(slot, 1),.item_id = oms_slot_int64(slot, 2),.channel_id = oms_slot_int64(slot, 3),
			.low_at = oms_slot_int32(slot, 4),.level = oms_slot_text(slot, 5)
	};
}

static void
read_sku(TupleTableSlot *slot, void *state)
{
	ChannelLevels *levels = state;

	for (int i = 0; i < levels->count; i++)
		if (levels->rows[i].item_id == oms_slot_int64(slot, 1))
			levels->rows[i].sku = oms_slot_text(slot, 2);
}

/* What a channel may promise of an item, as oms.available_many says it. */
static int64
available_units(const StockView *view, const QuotaList *quotas, int64 item_id, const Channel *channel)
{
	QuotaLimit	limit;
	int64		units = 0;
	for (int i = 0; i < view->count; i++)
	{
		const StockRow *row = &view->rows[i];
		Location   *location = row->item_id == item_id ? oms_location_by_id(row->location_id) : NULL;

		if (location && oms_location_serves(location, channel, PURPOSE_SHIP))
			units += Max(0, (int64) row->on_hand - row->reserved - row->safety);
	}
	return oms_quotas_limit(quotas, view, item_id, &limit) ? Min(units, limit.firm) : units;
}

/* Looks at all items of one channel. */
static void
look_at_channel(ChannelLevels *levels, int64 channel_id)
{
	const Channel *channel = oms_channel_by_id(channel_id);
	int64	   *ids = palloc(sizeof(int64) * levels->count);
	QuotaList  *quotas;
	StockView  *view;
	HoldList   *holds;
	int			count = 0;

	for (int i = 0; i < levels->count; i++)
		if (levels->rows[i].channel_id == channel_id)
			ids[count++] = levels->rows[i].item_id;
	holds = oms_holds_read(0, ids, count);
	view = oms_quotas_view(channel, 0, ids, count, &quotas);
	oms_holds_credit(holds, view);
	for (int i = 0; i < levels->count; i++)
	{
		ChannelLevel *row = &levels->rows[i];

		if (row->channel_id != channel_id)
			continue;
		row->available = available_units(view, quotas, row->item_id, channel);
		row->seen = true;
	}
}

static const char *
level_of(const ChannelLevel *row)
{
	if (row->available <= 0)
		return "out";
	return row->available <= row->low_at ? "low" : "ok";
}

static void
level_event(const ChannelLevel *row, const char *level)
{
	const char *type = "stock.low";
	DocWriter	writer;

	if (strcmp(level, "ok") == 0 || strcmp(row->level, "out") == 0)
		type = "stock.back";
	else if (strcmp(level, "out") == 0)
		type = "stock.out";
	oms_write_begin(&writer);
	oms_write_text(&writer, "sku", row->sku);
	oms_write_text(&writer, "channel", oms_channel_by_id(row->channel_id)->code);
	oms_write_text(&writer, "level", level);
	oms_write_int64(&writer, "available", row->available);
	oms_write_int64(&writer, "low_at", row->low_at);
	oms_event(&(Event) {.object_id = row->level_id,.object_type = "channel_level",.type = type,.data = oms_write_finish(&writer)});
}

/* Tells of thresholds that have been crossed by what the call did. */
static void
write_levels(ChannelLevels *levels)
{
	int64	   *ids = palloc(sizeof(int64) * levels->count);
	char	  **names = palloc(sizeof(char *) * levels->count);
	Datum		values[3] = {Int32GetDatum(oms_call->tenant)};

	for (int i = 0; i < levels->count; i++)
	{
		ChannelLevel *row = &levels->rows[i];

		CHECK_FOR_INTERRUPTS();
		if (!row->seen)
			look_at_channel(levels, row->channel_id);
		ids[i] = row->level_id;
		names[i] = (char *) level_of(row);
		if (strcmp(names[i], row->level) != 0)
			level_event(row, names[i]);
	}
	values[1] = oms_array_int64(ids, levels->count);
	values[2] = oms_array_text(names, levels->count);
	(void) oms_execute(&write_plan, values, NULL);
}

/* Ends a call: looks at the items that it has noted. */
void
oms_channel_levels_write(void)
{
	LevelItems *items = &oms_call->level_items;
	ChannelLevels levels = {0};
	Datum		values[2];

	if (items->count == 0)
		return;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items->ids, items->count);
	items->count = 0;
	if (oms_execute_each(&lock_plan, values, NULL, collect, &levels) == 0)
		return;
	(void) oms_execute_each(&skus_plan, values, NULL, read_sku, &levels);
	oms_call->unscoped = true;
	write_levels(&levels);
	oms_call->unscoped = false;
}

/* ---- Restoring ---- */

/* What events have told of the levels. */
static OmsPlan restore_plan = {
	.sql = "UPDATE {channel_levels} x SET level = e.level, version = x.version + 1 FROM (SELECT DISTINCT ON (object_id) object_id,"
	" data ->> 'level' AS level FROM {events} WHERE tenant_id = $1 AND object_type = 'channel_level' AND object_id = ANY ($2)"
	" ORDER BY object_id, event_id DESC) e WHERE x.level_id = e.object_id AND x.tenant_id = $1 AND x.level <> e.level",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* Sets levels to what the last event told; the next change tells of what is different. */
void
oms_channel_levels_restore(const int64 *level_ids, int count)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(level_ids, count)};

	if (count > 0)
		(void) oms_execute(&restore_plan, values, NULL);
}

/* ---- Setting ---- */

/*
 * oms.set_channel_threshold(channel, sku, low_at, idempotency_key) -> void
 */
OMS_FUNCTION(oms_set_channel_threshold, CALL_KEYED)
{
	Channel    *channel = oms_channel_get(oms_argument_required(fcinfo, 0, "channel"));
	CatalogItem *item = oms_item_get(oms_argument_required(fcinfo, 1, "sku"));
	bool		removed = PG_ARGISNULL(2);
	int32		low_at = removed ? 0 : PG_GETARG_INT32(2);
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(channel->channel_id), Int64GetDatum(item->item_id),
	Int32GetDatum(low_at)};
	FaultList	faults;
	DocWriter	writer;

	oms_faults_init(&faults);
	if (item->kind != ITEM_STOCKED)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Only items of kind stocked have stock.", "sku",
				  "is a digital or service item, or a kit");
	if (low_at < 0 || low_at > OMS_QUANTITY_MAX)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Units are whole and not negative.", "low_at", "is %d, must be 0 to %d", low_at,
				  OMS_QUANTITY_MAX);
	oms_faults_raise(&faults, "threshold is not valid");
	(void) oms_quotas_stop_sales(item);
	(void) oms_execute(removed ? &remove_plan : &set_plan, values, NULL);
	oms_channel_levels_note(&item->item_id, 1);
	oms_write_begin(&writer);
	oms_write_text(&writer, "channel", channel->code);
	oms_write_text(&writer, "sku", item->sku);
	if (!removed)
		oms_write_int64(&writer, "low_at", low_at);
	oms_event(&(Event) {.object_id = item->item_id,.object_type = "stock",.type = "stock.threshold_set",.data = oms_write_finish(&writer)});
	*isnull = true;
	return (Datum) 0;
}
