/*
 * stock_load.c
 *	  Many counters in one call: snapshots, counts and deltas.
 *
 * A snapshot says what stood at a location at a moment, and often arrives
 * later.  Movements booked since that moment are added on top of it, so a late
 * snapshot does not undo what was received or shipped meanwhile.  Where a newer
 * figure is known already, a count or a snapshot of a later moment, the older one
 * is left out and reported: that is what stock_movements.counted_at and
 * oms.stock_snapshots are for.
 *
 * Lock order: the rows of oms.stock_snapshots by location, before everything
 * else; then as everywhere, orders, holds, counters.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "allocation.h"
#include "call.h"
#include "document.h"
#include "event.h"
#include "item.h"
#include "location.h"
#include "relation.h"
#include "replanning.h"
#include "stock.h"

typedef enum LoadMode
{
	LOAD_FULL,					/* everything at the locations that are named */
	LOAD_COUNT,					/* only the rows given */
	LOAD_DELTA					/* units to add or take away */
} LoadMode;

static const char *const mode_names[] = {"full", "count", "delta"};

typedef struct RowDocument
{
	char	   *location;
	char	   *sku;
	int32		quantity;
} RowDocument;

static const DocField row_fields[] = {
	{"location", DOC_CODE, offsetof(RowDocument, location), .required = true},
	{"sku", DOC_CODE, offsetof(RowDocument, sku), .required = true},
	{"quantity", DOC_INT, offsetof(RowDocument, quantity), .required = true,.least = -OMS_QUANTITY_MAX,.most = OMS_QUANTITY_MAX},
};

static const DocShape row_shape = DOC_SHAPE_OF(RowDocument, row_fields, "a row");

/* One counter of the load. */
typedef struct LoadRow
{
	int64		item_id;
	int64		location_id;
	int64		quantity;
	int64		later;			/* units moved since the snapshot */
	const char *sku;
	int			position;		/* in the document, -1: absent from a full snapshot */
	bool		superseded;
} LoadRow;

typedef struct LoadLocation
{
	int64		location_id;
	TimestampTz as_of;			/* of the newest full snapshot so far */
	int64		rows;
	int64		changed;
	int64		zeroed;
	int64		superseded;
	int64		difference;
} LoadLocation;

typedef struct Load
{
	LoadMode	mode;
	TimestampTz as_of;
	char	   *reference;
	int			count;
	int			capacity;
	LoadRow    *rows;			/* by item, location */
	int			location_count;
	LoadLocation *locations;	/* by location_id */
	int			clamped;
} Load;

static OmsPlan create_snapshots_plan = {
	.sql = "INSERT INTO {stock_snapshots} (location_id, tenant_id) SELECT u, $1 FROM unnest($2::bigint[]) u"
	" ON CONFLICT (location_id, tenant_id) DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan lock_snapshots_plan = {
	.sql = "SELECT location_id, as_of FROM {stock_snapshots} WHERE tenant_id = $1 AND location_id = ANY ($2)"
	" ORDER BY location_id FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan write_snapshots_plan = {
	.sql = "UPDATE {stock_snapshots} SET as_of = $3, loaded_at = $4 WHERE tenant_id = $1 AND location_id = ANY ($2)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID)
};

static OmsPlan present_plan = {
	.sql = "SELECT s.item_id, s.location_id, i.sku FROM {stock} s JOIN {items} i"
	" ON i.item_id = s.item_id AND i.tenant_id = $1"
	" WHERE s.tenant_id = $1 AND s.location_id = ANY ($2) AND s.on_hand > 0",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* Corrections of what stood before the snapshot are part of it; only what was moved later is not. */
static OmsPlan later_plan = {
	.sql = "SELECT u.n, m.units, m.superseded FROM unnest($2::bigint[], $3::bigint[])"
	" WITH ORDINALITY u(item_id, location_id, n) CROSS JOIN LATERAL (SELECT"
	" coalesce(sum(s.on_hand_delta) FILTER (WHERE s.counted_at IS NULL), 0)::bigint AS units,"
	" bool_or(s.counted_at > $4) IS TRUE AS superseded FROM {stock_movements} s WHERE s.item_id = u.item_id"
	" AND s.location_id = u.location_id AND s.at > $4 AND s.tenant_id = $1) m WHERE m.units <> 0 OR m.superseded",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, TIMESTAMPTZOID)
};

static int
compare_rows(const void *left, const void *right)
{
	const LoadRow *a = left;
	const LoadRow *b = right;

	if (a->item_id != b->item_id)
		return a->item_id < b->item_id ? -1 : 1;
	if (a->location_id != b->location_id)
		return a->location_id < b->location_id ? -1 : 1;
	return a->position < b->position ? -1 : a->position > b->position;
}

static LoadLocation *
location_of(const Load *load, int64 location_id)
{
	return bsearch(&location_id, load->locations, load->location_count, sizeof(LoadLocation), oms_compare_int64);
}

/* ---- Reading ---- */

static void
read_mode(FunctionCallInfo fcinfo, Load *load)
{
	char	   *name = PG_ARGISNULL(1) ? "full" : oms_argument_text(fcinfo, 1);

	while (load->mode < lengthof(mode_names) && strcmp(name, mode_names[load->mode]) != 0)
		load->mode++;
	if (load->mode == lengthof(mode_names))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("mode \"%s\" is not known", name),
				 errdetail("mode: must be full, count or delta"),
				 errhint("full: everything at the locations named; count: the rows given; delta: units to add.")));
	load->as_of = PG_ARGISNULL(2) ? oms_call->now : PG_GETARG_TIMESTAMPTZ(2);
	if (load->as_of > oms_call->now)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("a snapshot of the future cannot be loaded"),
				 errdetail("as_of: must be a moment that has passed"),
				 errhint("Leave as_of out for stock as it stands now.")));
	if (TIMESTAMP_NOT_FINITE(load->as_of))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("a snapshot has a moment"),
				 errdetail("as_of: is infinite"),
				 errhint("Leave as_of out for stock as it stands now.")));
	if (load->mode == LOAD_DELTA && !PG_ARGISNULL(2))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("a delta has no moment"),
				 errdetail("as_of: must be null with mode delta"),
				 errhint("Units to add are added whenever they arrive.")));
}

static void
resolve_row(Load *load, const RowDocument *document, int position, ItemSet *items, FaultList *faults)
{
	CatalogItem *item = oms_items_find(items, document->sku);
	Location   *location = oms_location_find(document->location);

	if (item == NULL)
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_items and oms.upsert_locations add what is missing.",
				  oms_document_place("rows", position, "sku"), "SKU \"%s\" is not known", document->sku);
	else if (item->kind != ITEM_STOCKED)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Only items of kind stocked have stock.",
				  oms_document_place("rows", position, "sku"), "SKU \"%s\" has no stock", document->sku);
	if (location == NULL)
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_items and oms.upsert_locations add what is missing.",
				  oms_document_place("rows", position, "location"), "location \"%s\" is not known", document->location);
	if (load->mode != LOAD_DELTA && document->quantity < 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Mode delta takes units away.",
				  oms_document_place("rows", position, "quantity"), "must not be negative");
	if (item != NULL && location != NULL)
		load->rows[load->count++] = (LoadRow)
	{
		.item_id = item->item_id,.location_id = location->location_id,.quantity = document->quantity,
			.sku = item->sku,.position = position
	};
}

/* Sorts the rows; several of one counter are added up in a delta and a fault otherwise. */
static void
merge_rows(Load *load, FaultList *faults)
{
	int			kept = 0;

	qsort(load->rows, load->count, sizeof(LoadRow), compare_rows);
	for (int i = 0; i < load->count; i++)
	{
		LoadRow    *row = &load->rows[i];
		LoadRow    *before = kept > 0 ? &load->rows[kept - 1] : NULL;

		if (before == NULL || before->item_id != row->item_id || before->location_id != row->location_id)
			load->rows[kept++] = *row;
		else if (load->mode == LOAD_DELTA)
			before->quantity += row->quantity;
		else
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each item may stand once for a location.",
					  oms_document_place("rows", row->position, NULL), "stands there already, as rows[%d]",
					  before->position);
	}
	load->count = kept;
}

static void
read_rows(FunctionCallInfo fcinfo, Load *load)
{
	FaultList	faults;
	DocArray	array = {0};
	RowDocument *documents;
	char	  **skus;
	ItemSet    *items;

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of rows.", "rows", "is null");
	else
		array = oms_document_read_array(PG_GETARG_JSONB_P(0), &row_shape, OMS_BULK_ROWS_MAX, "rows", &faults);
	if (faults.count == 0 && array.count == 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "An empty location is named by a row of quantity 0.", "rows", "is empty");
	oms_faults_raise(&faults, "stock is not valid");
	documents = (RowDocument *) array.items;
	skus = palloc(sizeof(char *) * array.count);
	for (int i = 0; i < array.count; i++)
		skus[i] = documents[i].sku;
	items = oms_items_read(skus, array.count);
	load->capacity = array.count;
	load->rows = palloc_extended(sizeof(LoadRow) * array.count, MCXT_ALLOC_HUGE);
	for (int i = 0; i < array.count; i++)
		resolve_row(load, &documents[i], i, items, &faults);
	merge_rows(load, &faults);
	oms_faults_raise(&faults, "stock is not valid");
}

/* Lists the locations of the rows. */
static void
collect_locations(Load *load)
{
	int64	   *ids = palloc(sizeof(int64) * load->count);
	int			count = 0;

	for (int i = 0; i < load->count; i++)
		ids[i] = load->rows[i].location_id;
	qsort(ids, load->count, sizeof(int64), oms_compare_int64);
	load->locations = palloc0(sizeof(LoadLocation) * load->count);
	for (int i = 0; i < load->count; i++)
		if (i == 0 || ids[i] != ids[i - 1])
			load->locations[count++].location_id = ids[i];
	load->location_count = count;
}

/* ---- Snapshots ---- */

static Datum
location_ids(const Load *load, bool only_current)
{
	int64	   *ids = palloc(sizeof(int64) * load->location_count);
	int			count = 0;

	for (int i = 0; i < load->location_count; i++)
		if (!only_current || load->locations[i].as_of <= load->as_of)
			ids[count++] = load->locations[i].location_id;
	return oms_array_int64(ids, count);
}

static void
read_snapshot(TupleTableSlot *slot, void *state)
{
	bool		isnull;

	location_of(state, oms_slot_int64(slot, 1))->as_of = DatumGetTimestampTz(oms_slot_datum(slot, 2, &isnull));
}

/* Makes loads of one location wait for one another, and reads of when the newest full snapshot is. */
static void
lock_snapshots(Load *load)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), location_ids(load, false)};

	(void) oms_execute(&create_snapshots_plan, values, NULL);
	(void) oms_execute_each(&lock_snapshots_plan, values, NULL, read_snapshot, load);
}

static void
write_snapshots(Load *load)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), location_ids(load, true),
	TimestampTzGetDatum(load->as_of), TimestampTzGetDatum(oms_call->now)};

	(void) oms_execute(&write_snapshots_plan, values, NULL);
}

typedef struct Present
{
	Load	   *load;
	int			named;			/* rows of the document, in order */
} Present;

static void
read_present(TupleTableSlot *slot, void *state)
{
	Present    *present = state;
	Load	   *load = present->load;
	LoadRow		row = {.item_id = oms_slot_int64(slot, 1),.location_id = oms_slot_int64(slot, 2),.position = -1};
	int			low = 0;
	int			high = present->named;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (compare_rows(&load->rows[middle], &row) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	if (low < present->named && load->rows[low].item_id == row.item_id && load->rows[low].location_id == row.location_id)
		return;
	row.sku = oms_slot_text(slot, 3);
	if (load->count == load->capacity)
	{
		load->capacity *= 2;
		load->rows = repalloc_huge(load->rows, sizeof(LoadRow) * load->capacity);
	}
	load->rows[load->count++] = row;
}

/* Adds what stands at the locations and not in the full snapshot. */
static void
add_absent(Load *load)
{
	Present		present = {.load = load,.named = load->count};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), location_ids(load, true)};

	(void) oms_execute_each(&present_plan, values, NULL, read_present, &present);
	qsort(load->rows, load->count, sizeof(LoadRow), compare_rows);
}

/* ---- What the counters become ---- */

static void
read_later(TupleTableSlot *slot, void *state)
{
	LoadRow    *row = (LoadRow *) state + (oms_slot_int64(slot, 1) - 1);

	row->later = oms_slot_int64(slot, 2);
	row->superseded |= oms_slot_bool(slot, 3);
}

static void
read_movements(Load *load)
{
	int64	   *items = palloc_extended(sizeof(int64) * load->count, MCXT_ALLOC_HUGE);
	int64	   *locations = palloc_extended(sizeof(int64) * load->count, MCXT_ALLOC_HUGE);
	Datum		values[4];

	for (int i = 0; i < load->count; i++)
	{
		LoadRow    *row = &load->rows[i];

		items[i] = row->item_id;
		locations[i] = row->location_id;
		row->later = 0;
		row->superseded = location_of(load, row->location_id)->as_of > load->as_of;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items, load->count);
	values[2] = oms_array_int64(locations, load->count);
	values[3] = TimestampTzGetDatum(load->as_of);
	(void) oms_execute_each(&later_plan, values, NULL, read_later, load->rows);
}

static char *
place_of(const LoadRow *row)
{
	Location   *location = oms_location_by_id(row->location_id);

	return row->position >= 0 ? oms_document_place("rows", row->position, "quantity")
		: psprintf("\"%s\" at \"%s\"", row->sku, location ? location->code : "?");
}

/* The counters are locked: now the ledger says everything that was moved since the snapshot. */
static void
set_loaded(StockRow *rows, int count, void *state)
{
	Load	   *load = state;
	FaultList	faults;

	oms_faults_init(&faults);
	if (load->mode != LOAD_DELTA)
		read_movements(load);
	load->clamped = 0;
	for (int i = 0; i < count; i++)
	{
		LoadRow    *row = &load->rows[i];
		int64		on_hand = row->quantity + (load->mode == LOAD_DELTA ? rows[i].on_hand : row->later);

		if (row->superseded)
			continue;
		if (on_hand > OMS_QUANTITY_MAX)
			oms_fault(&faults, ERRCODE_OMS_LIMIT, "Use a larger base unit for this item.", place_of(row),
					  "stock of \"%s\" would be " INT64_FORMAT ", at most %d are allowed", row->sku, on_hand, OMS_QUANTITY_MAX);
		else if (on_hand < 0 && load->mode == LOAD_DELTA)
			oms_fault(&faults, ERRCODE_OMS_INSUFFICIENT_STOCK, "Mode count sets what is really there.", place_of(row),
					  "\"%s\" has %d on hand, not " INT64_FORMAT, row->sku, rows[i].on_hand, -row->quantity);
		else
		{
			load->clamped += on_hand < 0;
			rows[i].on_hand_delta = (int32) (Max(on_hand, 0) - rows[i].on_hand);
		}
	}
	oms_faults_raise(&faults, "stock cannot be loaded");
}

static StockRow *
stock_rows(const Load *load)
{
	StockRow   *rows = palloc_extended(sizeof(StockRow) * load->count, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	for (int i = 0; i < load->count; i++)
	{
		rows[i].item_id = load->rows[i].item_id;
		rows[i].location_id = load->rows[i].location_id;
	}
	return rows;
}

/* A count is recorded though it found no difference; a snapshot has its moment in stock_snapshots. */
static void
record_load(const Load *load, const StockRow *rows)
{
	StockRow   *changed = palloc_extended(sizeof(StockRow) * load->count, MCXT_ALLOC_HUGE);
	int			count = 0;

	for (int i = 0; i < load->count; i++)
	{
		bool		moved = rows[i].on_hand_delta != 0 || rows[i].reserved_delta != 0;

		if (!load->rows[i].superseded && (moved || load->mode == LOAD_COUNT))
			changed[count++] = rows[i];
	}
	if (count == 0)
		return;
	if (load->mode == LOAD_DELTA)
		oms_stock_record(changed, count, "load", NULL, load->reference);
	else
		oms_stock_record_count(changed, count, load->mode == LOAD_COUNT ? "count" : "load", load->reference, load->as_of);
}

static void
add_up(Load *load, const StockRow *rows)
{
	for (int i = 0; i < load->count; i++)
	{
		LoadLocation *location = location_of(load, load->rows[i].location_id);

		location->rows++;
		location->changed += rows[i].on_hand_delta != 0;
		location->zeroed += load->rows[i].position < 0 && rows[i].on_hand_delta != 0;
		location->superseded += load->rows[i].superseded;
		location->difference += rows[i].on_hand_delta;
	}
}

/* ---- Answer ---- */

static int
compare_withdrawals(const void *left, const void *right)
{
	const Withdrawal *a = left;
	const Withdrawal *b = right;

	if (a->item_id != b->item_id)
		return a->item_id < b->item_id ? -1 : 1;
	if (a->location_id != b->location_id)
		return a->location_id < b->location_id ? -1 : 1;
	return a->order_id < b->order_id ? 1 : a->order_id > b->order_id ? -1 : a->line_no - b->line_no;
}

static void
write_withdrawal(DocWriter *writer, const Withdrawal *withdrawal)
{
	oms_write_begin_object(writer, NULL);
	oms_write_int64(writer, "order_id", withdrawal->order_id);
	oms_write_int64(writer, "fulfillment_id", withdrawal->fulfillment_id);
	oms_write_int64(writer, "line_no", withdrawal->line_no);
	oms_write_int64(writer, "quantity", withdrawal->quantity);
	oms_write_end(writer);
}

static void
write_shortages(DocWriter *writer, const Load *load, const StockRow *rows, const Withdrawal *withdrawn, int withdrawn_count)
{
	Withdrawal *sorted = palloc(sizeof(Withdrawal) * Max(1, withdrawn_count));
	int			next = 0;

	memcpy(sorted, withdrawn, sizeof(Withdrawal) * withdrawn_count);
	qsort(sorted, withdrawn_count, sizeof(Withdrawal), compare_withdrawals);
	oms_write_begin_array(writer, "shortages");
	for (int i = 0; i < load->count; i++)
	{
		if (rows[i].reserved_delta == 0)
			continue;
		oms_write_begin_object(writer, NULL);
		oms_write_text(writer, "location", oms_location_by_id(rows[i].location_id)->code);
		oms_write_text(writer, "sku", load->rows[i].sku);
		oms_write_int64(writer, "on_hand", rows[i].on_hand + rows[i].on_hand_delta);
		oms_write_int64(writer, "short", -rows[i].reserved_delta);
		oms_write_int64(writer, "holds_withdrawn", rows[i].held);
		oms_write_begin_array(writer, "withdrawn");
		for (; next < withdrawn_count && sorted[next].item_id == rows[i].item_id &&
			 sorted[next].location_id == rows[i].location_id; next++)
			write_withdrawal(writer, &sorted[next]);
		oms_write_end_array(writer);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}

static void
write_numbers(DocWriter *writer, const Load *load, const LoadLocation *numbers)
{
	oms_write_text(writer, "mode", mode_names[load->mode]);
	oms_write_time(writer, "as_of", load->as_of);
	oms_write_int64(writer, "rows", numbers->rows);
	oms_write_int64(writer, "changed", numbers->changed);
	oms_write_int64(writer, "zeroed", numbers->zeroed);
	oms_write_int64(writer, "superseded", numbers->superseded);
	oms_write_int64(writer, "difference", numbers->difference);
}

static Jsonb *
answer(const Load *load, const StockRow *rows, const Withdrawal *withdrawn, int withdrawn_count, const Replanning *replanning)
{
	LoadLocation total = {0};
	DocWriter	writer;

	for (int i = 0; i < load->location_count; i++)
	{
		total.rows += load->locations[i].rows;
		total.changed += load->locations[i].changed;
		total.zeroed += load->locations[i].zeroed;
		total.superseded += load->locations[i].superseded;
		total.difference += load->locations[i].difference;
	}
	oms_write_begin(&writer);
	write_numbers(&writer, load, &total);
	oms_write_int64(&writer, "below_zero", load->clamped);
	write_shortages(&writer, load, rows, withdrawn, withdrawn_count);
	if (replanning->active)
		oms_replanning_describe(&writer, replanning);
	return oms_write_finish(&writer);
}

/* One event per location: the ledger has the rows. */
static void
note_events(const Load *load)
{
	for (int i = 0; i < load->location_count; i++)
	{
		DocWriter	writer;

		oms_write_begin(&writer);
		oms_write_text(&writer, "location", oms_location_by_id(load->locations[i].location_id)->code);
		write_numbers(&writer, load, &load->locations[i]);
		oms_write_text(&writer, "reference", load->reference);
		oms_event(&(Event) {.object_id = load->locations[i].location_id,.object_type = "location",
							.type = "stock.loaded",.data = oms_write_finish(&writer)});
	}
}

/*
 * oms.load_stock(rows, mode, as_of, reference, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_load_stock, CALL_KEYED)
{
	Load		load = {.reference = oms_argument_optional(fcinfo, 3, "reference")};
	StockRow   *rows;
	Withdrawal *withdrawn;
	Replanning	replanning = {0};
	int			withdrawn_count;

	read_mode(fcinfo, &load);
	read_rows(fcinfo, &load);
	collect_locations(&load);
	if (load.mode != LOAD_DELTA)
		lock_snapshots(&load);
	if (load.mode == LOAD_FULL)
		add_absent(&load);
	rows = stock_rows(&load);
	withdrawn_count = oms_allocations_settle(rows, load.count, set_loaded, &load, "stock count", NULL, &replanning, &withdrawn);
	record_load(&load, rows);
	if (load.mode == LOAD_FULL)
		write_snapshots(&load);
	add_up(&load, rows);
	note_events(&load);
	oms_replanning_write(&replanning);
	oms_withdrawals_refresh(withdrawn, withdrawn_count);
	PG_RETURN_JSONB_P(answer(&load, rows, withdrawn, withdrawn_count, &replanning));
}
