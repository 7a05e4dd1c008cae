/*
 * running_stock.c
 *	  Counters and days as the orders of one call leave them for the next ones.
 *
 * Orders that are placed together compete in their sequence.  Each is planned
 * against the counters less what those before it took, without a look at the
 * tables: every counter is read once, whatever the number of orders.
 */
#include "oms.h"

#include "lot.h"
#include "relation.h"
#include "running_stock.h"

/* The counters of one item, by location. */
typedef struct RunningItem
{
	int64		item_id;		/* the key */
	int			count;
	StockRow   *rows;
} RunningItem;

RunningStock *
oms_running_stock(void)
{
	RunningStock *running = palloc0(sizeof(RunningStock));
	HASHCTL		control = {.keysize = sizeof(int64),.entrysize = sizeof(RunningItem),.hcxt = CurrentMemoryContext};

	running->context = CurrentMemoryContext;
	running->items = hash_create("running stock", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	return running;
}

/* The ids that are not there yet, sorted, each once. */
static int
missing_items(RunningStock *running, const int64 *item_ids, int count, int64 *missing)
{
	int			found = 0;
	int			kept = 0;

	for (int i = 0; i < count; i++)
		if (hash_search(running->items, &item_ids[i], HASH_FIND, NULL) == NULL)
			missing[found++] = item_ids[i];
	qsort(missing, found, sizeof(int64), oms_compare_int64);
	for (int i = 0; i < found; i++)
		if (kept == 0 || missing[kept - 1] != missing[i])
			missing[kept++] = missing[i];
	return kept;
}

/* Reads the counters of items that were not asked for before. */
void
oms_running_load(RunningStock *running, const int64 *item_ids, int count)
{
	int64	   *missing = palloc_extended(sizeof(int64) * Max(1, count), MCXT_ALLOC_HUGE);
	int			missing_count = missing_items(running, item_ids, count, missing);
	MemoryContext old = MemoryContextSwitchTo(running->context);
	StockView  *view;
	int			row = 0;

	if (missing_count > 0)
	{
		view = oms_stock_view(missing, missing_count);
		oms_lots_discount(view);
		for (int i = 0; i < missing_count; i++)
		{
			RunningItem *item = hash_search(running->items, &missing[i], HASH_ENTER, NULL);

			item->rows = view->rows + row;
			item->count = 0;
			for (; row < view->count && view->rows[row].item_id == missing[i]; row++)
				item->count++;
		}
	}
	MemoryContextSwitchTo(old);
	pfree(missing);
}

/* What is there for the next order, as oms_stock_view would read it. */
StockView *
oms_running_view(RunningStock *running, const int64 *item_ids, int count)
{
	int64	   *sorted = palloc(sizeof(int64) * Max(1, count));
	StockView  *view = palloc0(sizeof(StockView));

	oms_running_load(running, item_ids, count);
	memcpy(sorted, item_ids, sizeof(int64) * count);
	qsort(sorted, count, sizeof(int64), oms_compare_int64);
	for (int i = 0; i < count; i++)
		if (i == 0 || sorted[i] != sorted[i - 1])
			view->capacity += ((RunningItem *) hash_search(running->items, &sorted[i], HASH_FIND, NULL))->count;
	view->rows = palloc_extended(sizeof(StockRow) * Max(1, view->capacity), MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
	{
		RunningItem *item = hash_search(running->items, &sorted[i], HASH_FIND, NULL);

		if (i > 0 && sorted[i] == sorted[i - 1])
			continue;
		memcpy(view->rows + view->count, item->rows, sizeof(StockRow) * item->count);
		view->count += item->count;
	}
	return view;
}

/* NULL where the counter is not there. */
static StockRow *
row_of(RunningStock *running, const StockRow *counter)
{
	RunningItem *item = hash_search(running->items, &counter->item_id, HASH_FIND, NULL);
	int			low = 0;
	int			high = item ? item->count : 0;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (item->rows[middle].location_id < counter->location_id)
			low = middle + 1;
		else
			high = middle;
	}
	return item && low < item->count && item->rows[low].location_id == counter->location_id ? &item->rows[low] : NULL;
}

/* Takes what an order was planned to get. */
void
oms_running_take(RunningStock *running, const StockRow *rows, int count)
{
	for (int i = 0; i < count; i++)
	{
		StockRow   *row = row_of(running, &rows[i]);

		if (row == NULL)
			continue;
		row->reserved += rows[i].reserved_delta - rows[i].held;
		row->reserved_delta += rows[i].reserved_delta;
		row->held += rows[i].held;
		row->firm += rows[i].firm;
	}
}

/* Gives back everything that was taken; of the counters that are locked whole, what stands there now counts. */
void
oms_running_restart(RunningStock *running, const StockRow *locked, int count)
{
	HASH_SEQ_STATUS scan;
	RunningItem *item;

	hash_seq_init(&scan, running->items);
	while ((item = hash_seq_search(&scan)) != NULL)
		for (int i = 0; i < item->count; i++)
		{
			StockRow   *row = &item->rows[i];

			row->reserved -= row->reserved_delta - row->held;
			row->reserved_delta = row->held = row->firm = 0;
		}
	for (int i = 0; i < count; i++)
	{
		StockRow   *row = row_of(running, &locked[i]);

		if (row == NULL || !locked[i].found || locked[i].stripe_count != locked[i].stripes[0].stripes)
			continue;
		row->on_hand = locked[i].on_hand;
		row->reserved = locked[i].reserved;
		row->safety = locked[i].safety;
		row->backorder_limit = locked[i].backorder_limit;
	}
	running->day_count = 0;
}

void
oms_running_take_days(RunningStock *running, const CapacityRow *rows, int count)
{
	if (count == 0)
		return;
	if (running->day_count + count > running->day_room)
	{
		running->day_room = Max(64, 2 * (running->day_count + count));
		running->days = running->days ? repalloc(running->days, sizeof(CapacityRow) * running->day_room)
			: MemoryContextAlloc(running->context, sizeof(CapacityRow) * running->day_room);
	}
	memcpy(running->days + running->day_count, rows, sizeof(CapacityRow) * count);
	running->day_count = oms_capacity_merge(running->days, running->day_count + count);
}

/* The counters that units were taken of, with what was taken, in lock order. */
StockRow *
oms_running_taken(RunningStock *running, int *count)
{
	HASH_SEQ_STATUS scan;
	RunningItem *item;
	StockRow   *taken;
	int			room = 0;

	*count = 0;
	hash_seq_init(&scan, running->items);
	while ((item = hash_seq_search(&scan)) != NULL)
		room += item->count;
	taken = palloc_extended(sizeof(StockRow) * Max(1, room), MCXT_ALLOC_HUGE);
	hash_seq_init(&scan, running->items);
	while ((item = hash_seq_search(&scan)) != NULL)
		for (int i = 0; i < item->count; i++)
			if (item->rows[i].reserved_delta != 0)
				taken[(*count)++] = (StockRow) {.item_id = item->item_id,.location_id = item->rows[i].location_id,
				.reserved_delta = item->rows[i].reserved_delta,.firm = item->rows[i].firm};
	*count = oms_stock_merge(taken, *count);
	return taken;
}
