/*
 * order_batch.c
 *	  Placing many orders in one call: the result is that of placing them one
 *	  after the other, each whole or not at all.
 *
 * The way of a call:
 *	  all documents read, items looked up at once -> planned in their sequence
 *	  against a running copy of the counters (running_stock.c), which says what
 *	  there is to lock -> order rows written in the order of their keys ->
 *	  reservations and counters locked in the order that everybody takes them
 *	  -> planned again from the locked counters and written, some hundred orders
 *	  at a time, one statement or one opening per table -> counters and days
 *	  changed once.
 *
 * All of it is one subtransaction.  A plan that turns out to need what is not
 * locked undoes it, and the call begins anew with that locked, too.
 *
 * An order whose placing asks the tables what earlier orders did (reservations,
 * credit accounts, quotas, holds of the channel, displacement, guards, expressions of routing
 * policies, a reference that stands in the call before) is placed by itself in
 * its turn, as place_order would, when the orders before it are written; so is one that waits for supplies.  Such
 * neighbours share a subtransaction; one that fails is told apart by undoing
 * it and placing those before it again.  So there are about as many
 * subtransactions as orders fail, not as there are orders.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"

#include "call.h"
#include "event.h"
#include "lot.h"
#include "lot_promise.h"
#include "machine.h"
#include "order_place.h"
#include "order_placement.h"
#include "order_reference.h"
#include "payment.h"
#include "relation.h"

/* Orders and lines written at a time: what is kept of them is given back after each. */
#define CHUNK_ORDERS	256
#define CHUNK_LINES		10000

/* Orders placed by themselves in one subtransaction: at first, and at most where none fails. */
#define GROUP_FIRST		16
#define GROUP_MOST		512

/* Beginnings anew before all orders are placed by themselves. */
#define ATTEMPTS_MAX	5

/* Calls of more orders than this say in the title of the process how far they are. */
#define TITLE_ORDERS	1000

typedef struct BatchOrder
{
	Jsonb	   *source;
	bool		alone;			/* an attempt showed that it must be placed by itself */

	/* Of the attempt at hand. */
	Placement  *placement;		/* NULL: not read */
	FaultList	faults;
	bool		by_itself;
	bool		planned;		/* can be placed, as far as the first plan says */
	bool		answered;
	bool		placed_alone;	/* in the group at hand */
	int64		order_id;		/* 0: not placed */
	int			sqlstate;
	const char *message;
	Jsonb	   *result;
} BatchOrder;

typedef struct Batch
{
	int			count;
	BatchOrder *orders;
	MemoryContext answers;		/* what the caller gets */
	MemoryContext documents;	/* what is read of them, for one attempt */
	MemoryContext work;			/* of one order, chunk or group */
	ItemSet    *items;
	RunningStock *running;
	StockRow   *counters;		/* all that any plan needed so far, in lock order once merged */
	int			counter_count;
	int			counter_room;
	List	   *reservations;	/* of int64 *, to be locked */
	bool		locked;
	bool		unchanged;		/* since it was locked, and as the rows of it say */
	bool		stale;			/* what is locked does not do */
	bool		refused;		/* the call as a whole */
	int			attempt_no;
	int			at;				/* the order at hand, -1: none */
	int			done;
	int			from;			/* group at hand */
	int			to;
	char	   *title;			/* of the process, before */
	int			title_length;
	bool		plans_once;		/* it has no subtransaction for each order */
} Batch;

/* ---- Answers ---- */

static void
put_answer(Batch *batch, BatchOrder *order, Jsonb *result)
{
	MemoryContext old = MemoryContextSwitchTo(batch->answers);
	JsonbValue *id = getKeyJsonValueFromContainer(&result->root, "order_id", 8, NULL);

	order->answered = true;
	order->sqlstate = 0;
	order->message = NULL;
	order->order_id = id ? DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(id->val.numeric))) : 0;
	order->result = DatumGetJsonbPCopy(JsonbPGetDatum(result));
	MemoryContextSwitchTo(old);
}

static void
put_refusal(Batch *batch, BatchOrder *order, const Refusal *refusal)
{
	MemoryContext old = MemoryContextSwitchTo(batch->answers);
	DocWriter	writer;

	order->answered = true;
	order->order_id = 0;
	order->sqlstate = refusal->sqlstate;
	order->message = pstrdup(refusal->message);
	oms_write_begin(&writer);
	oms_write_text(&writer, "detail", refusal->detail);
	oms_write_text(&writer, "hint", refusal->hint);
	order->result = oms_write_finish(&writer);
	MemoryContextSwitchTo(old);
}

/* ---- Reading ---- */

/* Whether an order is placed with the others, and not yet answered. */
static bool
goes_with_others(const BatchOrder *order)
{
	return !order->answered && !order->by_itself && !order->alone;
}

static int
line_count(const BatchOrder *order)
{
	return order->placement ? order->placement->document->lines.count : 0;
}

static void
check_line_count(Batch *batch)
{
	int64		lines = 0;

	for (int i = 0; i < batch->count; i++)
		for (int j = 0; j < line_count(&batch->orders[i]); j++)
			lines += Max(1, ((LineDocument *) batch->orders[i].placement->document->lines.items)[j].deliveries.count);
	batch->refused = lines > OMS_BULK_ROWS_MAX;
	if (batch->refused)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("the orders have " INT64_FORMAT " lines", lines),
				 errdetail("docs: at most %d lines are allowed in all orders of a call", OMS_BULK_ROWS_MAX),
				 errhint("Send the rest in another call.")));
}

/* Looks up the items of all lines at once. */
static void
read_items(Batch *batch)
{
	int			room = 0;
	int			count = 0;
	char	  **skus;

	for (int i = 0; i < batch->count; i++)
		room += line_count(&batch->orders[i]);
	skus = palloc(sizeof(char *) * Max(1, room));
	for (int i = 0; i < batch->count; i++)
		for (int j = 0; j < line_count(&batch->orders[i]); j++)
			skus[count++] = ((LineDocument *) batch->orders[i].placement->document->lines.items)[j].sku;
	batch->items = oms_items_read(skus, count);
}

/* The key of an order in a call. */
typedef struct BatchKey
{
	char		text[2 * OMS_CODE_BYTES_MAX + 2];
} BatchKey;

/* An order whose reference stands in the call before waits for what becomes of that. */
static void
find_repeated(Batch *batch)
{
	HASHCTL		control = {.keysize = sizeof(BatchKey),.entrysize = sizeof(BatchKey),.hcxt = CurrentMemoryContext};
	HTAB	   *seen = hash_create("references of a call", Max(16, batch->count), &control,
								   HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);

	for (int i = 0; i < batch->count; i++)
	{
		BatchOrder *order = &batch->orders[i];
		OrderDocument *document = order->placement ? order->placement->document : NULL;
		BatchKey	key = {{0}};
		bool		found;

		if (document == NULL || document->external_ref == NULL)
			continue;
		snprintf(key.text, sizeof(key.text), "%s\n%s", document->channel ? document->channel : "default",
				 document->external_ref);
		(void) hash_search(seen, &key, HASH_ENTER, &found);
		order->by_itself |= found;
	}
	hash_destroy(seen);
}

/* Whether placing it asks the tables what orders before it did. */
static bool
asks_tables(const Placement *placement)
{
	const OrderDocument *document = placement->document;

	for (int i = 0; i < document->payments.count; i++)
		if (((PaymentDocument *) document->payments.items)[i].account != NULL)
			return true;
	return document->reservation_id != 0 || oms_quotas_exist() ||
		(placement->channel && (placement->channel->looks_for_holds || placement->channel->displacement != DISPLACE_NEVER)) ||
		oms_machine_asks(MACHINE_ORDER, oms_machine_initial(MACHINE_ORDER), "place");
}

/* Reads one document as far as it can be judged before the others are placed. */
static void
read_order(Batch *batch, BatchOrder *order, bool exists)
{
	Placement  *placement = order->placement;
	Refusal		refusal;
	Jsonb	   *answer;

	placement->items = batch->items;
	if (order->faults.count == 0)
		oms_placement_read(placement, &order->faults);
	if (exists && !order->by_itself && oms_placement_find_existing(placement, order->faults.count > 0, &answer, &refusal))
	{
		if (answer)
			put_answer(batch, order, answer);
		else
			put_refusal(batch, order, &refusal);
		return;
	}
	order->by_itself |= asks_tables(placement);
	if (order->faults.count > 0 && !order->by_itself)
	{
		refusal = oms_faults_refusal(&order->faults, "order is not valid");
		put_refusal(batch, order, &refusal);
	}
}

static void
read_orders(Batch *batch)
{
	Placement **placements;
	bool	   *exists;
	bool	   *taken;

	for (int i = 0; i < batch->count; i++)
	{
		BatchOrder *order = &batch->orders[i];

		CHECK_FOR_INTERRUPTS();
		batch->at = i;
		order->placement = NULL;
		order->by_itself = order->planned = order->answered = false;
		if (!order->alone)
			order->placement = oms_placement_of(order->source, &order->faults);
	}
	batch->at = -1;
	check_line_count(batch);
	read_items(batch);
	find_repeated(batch);
	placements = palloc(sizeof(Placement *) * Max(1, batch->count));
	for (int i = 0; i < batch->count; i++)
		placements[i] = batch->orders[i].placement;
	exists = oms_placements_existing(placements, batch->count);
	taken = oms_placements_taken(placements, batch->count);
	for (int i = 0; i < batch->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		batch->at = i;
		batch->orders[i].by_itself |= taken[i];
		if (batch->orders[i].placement)
			read_order(batch, &batch->orders[i], exists[i]);
	}
	batch->at = -1;
}

/* ---- The first plan: what will have to be locked ---- */

/* Reads the counters of all orders between two positions at once. */
static void
load_counters(Batch *batch, RunningStock *running, int from, int to)
{
	int64	   *item_ids;
	int			room = 0;
	int			count = 0;

	for (int i = from; i < to; i++)
		room += batch->orders[i].placement ? batch->orders[i].placement->line_count : 0;
	item_ids = palloc_extended(sizeof(int64) * Max(1, room), MCXT_ALLOC_HUGE);
	for (int i = from; i < to; i++)
	{
		const Placement *placement = batch->orders[i].placement;

		for (int j = 0; placement && batch->orders[i].faults.count == 0 && j < placement->line_count; j++)
			if (placement->lines[j].item->kind == ITEM_STOCKED)
				item_ids[count++] = placement->lines[j].item->item_id;
	}
	oms_running_load(running, item_ids, count);
	pfree(item_ids);
}

/* Keeps counters that a plan needs; those of one counter are added up when the room is full. */
static void
note_counters(Batch *batch, const StockRow *rows, int count)
{
	if (batch->counter_count + count > batch->counter_room)
	{
		batch->counter_count = oms_stock_merge(batch->counters, batch->counter_count);
		if (2 * (batch->counter_count + count) > batch->counter_room)
		{
			batch->counter_room = 2 * (batch->counter_count + count) + 256;
			batch->counters = repalloc_huge(batch->counters, sizeof(StockRow) * batch->counter_room);
		}
	}
	for (int i = 0; i < count; i++)
		batch->counters[batch->counter_count++] = (StockRow) {.item_id = rows[i].item_id,.location_id = rows[i].location_id,
		.reserved_delta = rows[i].reserved_delta,.firm = rows[i].firm,.held = rows[i].held};
}

static void
note_reservations(Batch *batch, const HoldList *holds)
{
	MemoryContext old = MemoryContextSwitchTo(batch->documents);

	for (int i = -1; holds && i < holds->count; i++)
	{
		int64	   *id = palloc(sizeof(int64));

		*id = i < 0 ? holds->own : holds->rows[i].reservation_id;
		batch->reservations = lappend(batch->reservations, id);
	}
	MemoryContextSwitchTo(old);
}

/* Takes what a plan gives an order, so that the next ones see what is left. */
static void
take_plan(RunningStock *running, const Placement *placement, const StockRow *rows, int count)
{
	CapacityRow *days = palloc(sizeof(CapacityRow) * Max(1, placement->fulfillment_count));

	oms_running_take(running, rows, count);
	oms_running_take_days(running, days, oms_placement_days(placement, days));
}

/* Whether the last plan rests on what only placing it by itself takes care of. */
static bool
must_go_alone(const Placement *placement)
{
	if (placement->holds && oms_holds_of_others(placement->holds))
		return true;
	if (placement->asks_supplies || oms_lot_promises_asked(placement) || (placement->routing && placement->routing->has_rules))
		return true;
	for (int i = 0; i < placement->group_count; i++)
		if (must_go_alone(placement->groups[i]))
			return true;
	return false;
}

static void
plan_first(Batch *batch, BatchOrder *order)
{
	Placement  *placement = order->placement;

	placement->running = batch->running;
	for (int i = 0; i < placement->group_count; i++)
		placement->groups[i]->running = batch->running;
	order->planned = oms_placement_plan(placement);
	order->by_itself |= must_go_alone(placement);
	if (order->planned)
	{
		int			count;
		StockRow   *rows = oms_placement_counters(placement, &count);

		oms_placement_promise(placement);
		order->by_itself |= oms_placement_rests_on_supplies(placement);
		note_counters(batch, rows, count);
		note_reservations(batch, placement->holds);
		take_plan(batch->running, placement, rows, count);
	}
}

static void
plan_all(Batch *batch)
{
	batch->running = oms_running_stock();
	load_counters(batch, batch->running, 0, batch->count);
	for (int i = 0; i < batch->count; i++)
	{
		BatchOrder *order = &batch->orders[i];
		MemoryContext old;

		CHECK_FOR_INTERRUPTS();
		if (order->placement == NULL || order->answered || order->faults.count > 0)
			continue;
		batch->at = i;
		if (oms_placement_is_draft(order->placement))
		{
			order->planned = true;
			continue;
		}

		/* Substitutes replace lines, which must last until the next plan. */
		old = MemoryContextSwitchTo(order->placement->channel->substitution ? batch->documents : batch->work);
		plan_first(batch, order);
		oms_substitutes_undo(order->placement);
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch->work);
	}
	batch->at = -1;
	batch->counter_count = oms_stock_merge(batch->counters, batch->counter_count);
}

/* ---- Locking ---- */

/*
 * Locks everything that the orders are planned to need, before anything of it
 * is changed.  After a beginning anew a counter in stripes is locked whole.
 */
static void
lock_all(Batch *batch)
{
	int64	   *ids = palloc(sizeof(int64) * Max(1, list_length(batch->reservations)));
	int			count = 0;
	ListCell   *cell;

	if (batch->locked)
		return;
	foreach(cell, batch->reservations)
		ids[count++] = *(int64 *) lfirst(cell);
	oms_holds_lock_ids(ids, count);
	for (int i = 0; i < batch->counter_count; i++)
		batch->counters[i].whole = batch->attempt_no > 0;
	oms_lots_keep(batch->counters, batch->counter_count);
	oms_stock_lock(batch->counters, batch->counter_count);
	batch->locked = batch->unchanged = true;
}

/* Fills in what is locked of the counters that units are taken of; false where one is not. */
static bool
find_locked(Batch *batch, StockRow *rows, int count)
{
	for (int i = 0; i < count; i++)
	{
		StockRow   *locked = oms_stock_find(batch->counters, batch->counter_count, rows[i].item_id, rows[i].location_id);
		StockRow	wanted = rows[i];

		if (locked == NULL)
			return false;
		rows[i] = *locked;
		rows[i].reserved_delta = wanted.reserved_delta;
		rows[i].firm = wanted.firm;
		rows[i].held = 0;
	}
	return true;
}

/* Changes the counters and days that a run of orders takes of; false where that is not locked or not there. */
static bool
take_all(Batch *batch, RunningStock *running)
{
	int			count;
	StockRow   *rows = oms_running_taken(running, &count);

	if (!find_locked(batch, rows, count))
		return false;

	/* What has been changed since then is locked once more, to be read: nobody else can have it. */
	if (!batch->unchanged)
		oms_stock_lock(rows, count);
	batch->unchanged = false;
	for (int i = 0; i < count; i++)
		if (!oms_counter_covers(&rows[i]))
			return false;
	oms_stock_apply(rows, count);
	return oms_capacity_take(running->days, running->day_count);
}

/* ---- Writing a run of orders ---- */

static void
show_progress(const Batch *batch)
{
	char		title[80];

	if (batch->count < TITLE_ORDERS)
		return;
	snprintf(title, sizeof(title), "%.*s placing orders: %d of %d", Min(batch->title_length, 24), batch->title, batch->done,
			 batch->count);
	set_ps_display(title);
}

static int
compare_keys(const void *left, const void *right)
{
	const Placement *a = *(Placement *const *) left;
	const Placement *b = *(Placement *const *) right;

	if (a->channel->channel_id != b->channel->channel_id)
		return a->channel->channel_id < b->channel->channel_id ? -1 : 1;
	return strcmp(a->document->external_ref, b->document->external_ref);
}

/*
 * Writes the order rows of a run, in the order of their keys: two calls with
 * the same references wait for one another and do not block each other.
 * False where one was taken meanwhile.
 */
static bool
insert_orders(Batch *batch, int from, int to)
{
	Placement **placements = palloc(sizeof(Placement *) * (to - from));
	const char *initial = oms_machine_initial(MACHINE_ORDER);
	int			count = 0;

	for (int i = from; i < to; i++)
	{
		Placement  *placement = batch->orders[i].placement;

		if (!goes_with_others(&batch->orders[i]) || !batch->orders[i].planned)
			continue;
		placement->order_id = oms_next_id(SEQUENCE_ORDER);
		placement->status = oms_machine_target(MACHINE_ORDER, initial, "place");
		if (oms_placement_is_draft(placement))
		{
			oms_draft_set_validity(placement);
			oms_draft_describe(placement);
		}
		placements[count++] = placement;
	}
	qsort(placements, count, sizeof(Placement *), compare_keys);
	return oms_placements_insert_orders(placements, count);
}

/* Plans an order again, from what is locked; false where that does not give what its row says. */
static bool
plan_last(Batch *batch, BatchOrder *order, RunningStock *running)
{
	Placement  *placement = order->placement;
	const char *expected = placement->fulfillment_status;
	StockRow   *rows;
	int			count;
	bool		possible;

	placement->running = running;
	for (int i = 0; i < placement->group_count; i++)
		placement->groups[i]->running = running;
	possible = oms_placement_plan(placement);
	if (must_go_alone(placement) || possible != order->planned)
		return false;
	if (!possible)
	{
		Refusal		refusal = oms_placement_refusal(placement);

		put_refusal(batch, order, &refusal);
		return true;
	}
	oms_placement_promise(placement);
	rows = oms_placement_counters(placement, &count);
	take_plan(running, placement, rows, count);
	return strcmp(expected, placement->fulfillment_status) == 0 && !oms_placement_rests_on_supplies(placement);
}

static Jsonb *
complete(Placement *placement)
{
	if (oms_placement_is_draft(placement))
		return oms_draft_complete(placement);
	oms_hold_note(placement->order_id, 0);
	oms_placement_record_routing(placement, 1);
	return oms_placement_complete(placement, oms_placement_take_step(placement));
}

/* Plans and writes some orders of a run; false where what is locked does not do. */
static bool
write_chunk(Batch *batch, RunningStock *running, int from, int to)
{
	Placement **placements = palloc(sizeof(Placement *) * (to - from));
	BatchOrder **orders = palloc(sizeof(BatchOrder *) * (to - from));
	int			count = 0;

	for (int i = from; i < to; i++)
	{
		BatchOrder *order = &batch->orders[i];

		CHECK_FOR_INTERRUPTS();
		if (!goes_with_others(order))
			continue;
		batch->at = i;
		if (!oms_placement_is_draft(order->placement) && !plan_last(batch, order, running))
			return false;
		if (order->answered)
			continue;
		orders[count] = order;
		placements[count++] = order->placement;
	}
	batch->at = -1;
	if (count == 0)
		return true;
	oms_placements_write_parts(placements, count);
	oms_placements_insert_promises(placements, count);
	for (int i = 0; i < count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		batch->at = orders[i] - batch->orders;
		put_answer(batch, orders[i], complete(placements[i]));
	}
	batch->at = -1;
	oms_events_flush();
	return true;
}

/* Where the chunk that begins at a position ends. */
static int
chunk_end(const Batch *batch, int from, int to)
{
	int			lines = 0;
	int			end = from;

	while (end < to && end - from < CHUNK_ORDERS && lines < CHUNK_LINES)
		lines += line_count(&batch->orders[end++]);
	return end;
}

/*
 * What a run of orders is planned from: what the first plans were, as long as
 * nothing was changed, and what is kept back is all in the counters.
 */
static RunningStock *
running_for(Batch *batch, int from, int to)
{
	bool		again = batch->unchanged && !oms_configuration()->has_lots;
	RunningStock *running = again ? batch->running : oms_running_stock();

	if (again)
		oms_running_restart(running, batch->counters, batch->counter_count);
	else
		load_counters(batch, running, from, to);
	return running;
}

/* Places neighbours that go together; false where what is locked does not do. */
static bool
place_run(Batch *batch, int from, int to)
{
	RunningStock *running;
	MemoryContext documents = MemoryContextSwitchTo(batch->work);
	bool		inserted = insert_orders(batch, from, to);

	MemoryContextSwitchTo(documents);
	MemoryContextReset(batch->work);
	if (!inserted)
		return false;
	lock_all(batch);
	running = running_for(batch, from, to);
	while (from < to)
	{
		int			end = chunk_end(batch, from, to);
		bool		written;

		MemoryContextSwitchTo(batch->work);
		written = write_chunk(batch, running, from, end);
		MemoryContextSwitchTo(documents);
		if (!written)
			return false;
		MemoryContextReset(batch->work);
		batch->done += end - from;
		show_progress(batch);
		from = end;
	}
	if (!take_all(batch, running))
		return false;
	oms_events_flush();
	return true;
}

/* ---- Placing by itself ---- */

static void
place_group(void *state)
{
	Batch	   *batch = state;

	for (int i = batch->from; i < batch->to; i++)
	{
		BatchOrder *order = &batch->orders[i];

		CHECK_FOR_INTERRUPTS();
		if (order->answered)
			continue;
		batch->at = i;
		oms_call->plans_once = batch->plans_once;
		put_answer(batch, order, oms_order_place(order->source));
		oms_call->plans_once = false;
		order->placed_alone = true;
	}
	oms_events_flush();
}

/* Errors that end the call: what another transaction holds for too long is not the order's fault. */
static void
rethrow_if_not_of_order(ErrorData *error)
{
	if (error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE)
		ReThrowError(error);
}

/* Takes back what a group that failed has answered. */
static void
forget_group(Batch *batch)
{
	for (int i = batch->from; i < batch->to; i++)
		if (batch->orders[i].placed_alone)
			batch->orders[i].answered = batch->orders[i].placed_alone = false;
}

/* Places the first orders of a group, or finds that the very first cannot be; returns where it got to. */
static int
place_some(Batch *batch, int from, int to, bool *failed)
{
	*failed = false;
	batch->plans_once = true;
	for (;;)
	{
		ErrorData  *error;

		batch->from = from;
		batch->to = to;
		for (int i = from; i < to; i++)
			batch->orders[i].placed_alone = false;
		error = oms_attempt_try(place_group, batch);
		if (error == NULL)
			return to;
		oms_call->plans_once = false;
		rethrow_if_not_of_order(error);
		*failed = true;
		forget_group(batch);
		if (batch->at > from)
		{
			to = batch->at;		/* those before it can be placed */
			continue;
		}
		if (batch->plans_once && error->sqlerrcode == ERRCODE_OMS_CONCURRENT)
		{
			batch->plans_once = false;
			to = from + 1;
			continue;
		}
		put_refusal(batch, &batch->orders[from], &(Refusal) {error->sqlerrcode, error->message, error->detail, error->hint});
		return from + 1;
	}
}

static void
place_singly(Batch *batch, int from, int to)
{
	int			size = GROUP_FIRST;

	while (from < to)
	{
		MemoryContext old;
		bool		failed;
		int			end;

		if (batch->orders[from].answered)
		{
			from++;
			continue;
		}
		old = MemoryContextSwitchTo(batch->work);
		end = place_some(batch, from, Min(to, from + size), &failed);
		size = failed ? Max(1, size / 2) : Min(GROUP_MOST, size * 2);
		MemoryContextSwitchTo(old);
		MemoryContextReset(batch->work);
		batch->done += end - from;
		show_progress(batch);
		from = end;
	}
	batch->at = -1;
}

/* ---- The call ---- */

static bool
place_in_sequence(Batch *batch)
{
	for (int from = 0; from < batch->count;)
	{
		bool		together = goes_with_others(&batch->orders[from]);
		int			to = from;

		if (batch->orders[from].answered)
		{
			from++;
			continue;
		}
		while (to < batch->count && (batch->orders[to].answered || goes_with_others(&batch->orders[to]) == together))
			to++;
		if (together && !place_run(batch, from, to))
			return false;
		if (!together)
		{
			lock_all(batch);
			batch->unchanged = false;
			place_singly(batch, from, to);
		}
		from = to;
	}
	return true;
}

/* One attempt, inside a subtransaction. */
static void
place_all(void *state)
{
	Batch	   *batch = state;
	MemoryContext old = MemoryContextSwitchTo(batch->documents);

	for (int i = 0; i < batch->counter_count; i++)
		batch->counters[i].reserved_delta = batch->counters[i].firm = batch->counters[i].held = batch->counters[i].kept = 0;
	batch->reservations = NIL;
	batch->locked = batch->stale = false;
	batch->done = 0;
	read_orders(batch);
	plan_all(batch);
	if (!place_in_sequence(batch))
	{
		batch->stale = true;
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("another transaction changed what the orders were planned from"),
				 errhint("Repeat the transaction.")));
	}
	MemoryContextSwitchTo(old);
}

/* Whose placing failed is placed by itself; when that is not known, or too often, all are. */
static void
learn_from(Batch *batch, ErrorData *error)
{
	BatchOrder *order = !batch->stale && batch->at >= 0 ? &batch->orders[batch->at] : NULL;
	bool		all_alone = true;

	rethrow_if_not_of_order(error);
	for (int i = 0; i < batch->count; i++)
		all_alone &= batch->orders[i].alone;
	if (all_alone || batch->refused)
		ReThrowError(error);
	if (order && !order->alone && batch->attempt_no < ATTEMPTS_MAX)
		order->alone = true;
	else if (!batch->stale || batch->attempt_no >= ATTEMPTS_MAX)
		for (int i = 0; i < batch->count; i++)
			batch->orders[i].alone = true;
}

static void
place(Batch *batch)
{
	ErrorData  *error;

	while ((error = oms_attempt_try(place_all, batch)) != NULL)
	{
		CHECK_FOR_INTERRUPTS();
		learn_from(batch, error);
		MemoryContextReset(batch->answers);
		MemoryContextReset(batch->documents);
		MemoryContextReset(batch->work);
		batch->attempt_no++;
	}
}

/* The documents of the call. */
static void
read_argument(FunctionCallInfo fcinfo, Batch *batch)
{
	Jsonb	   *docs = PG_ARGISNULL(0) ? NULL : PG_GETARG_JSONB_P(0);
	JsonbIterator *iterator;
	JsonbIteratorToken token;
	JsonbValue	value;

	if (docs == NULL || !JB_ROOT_IS_ARRAY(docs) || JB_ROOT_IS_SCALAR(docs))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("orders are not valid"),
				 errdetail("docs: %s", docs ? "must be an array of orders" : "is null"),
				 errhint("Give an array of documents as oms.place_order takes them.")));
	if (JB_ROOT_COUNT(docs) > OMS_ORDERS_PER_CALL_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("the call has %d orders", JB_ROOT_COUNT(docs)),
				 errdetail("docs: at most %d orders are allowed in a call", OMS_ORDERS_PER_CALL_MAX),
				 errhint("Send the rest in another call.")));
	batch->orders = palloc0(sizeof(BatchOrder) * Max(1, JB_ROOT_COUNT(docs)));
	iterator = JsonbIteratorInit(&docs->root);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		if (token == WJB_ELEM)
			batch->orders[batch->count++].source = JsonbValueToJsonb(&value);
}

static void
put_rows(FunctionCallInfo fcinfo, const Batch *batch)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; i < batch->count; i++)
	{
		const BatchOrder *order = &batch->orders[i];
		Datum		values[5] = {Int32GetDatum(i + 1), Int64GetDatum(order->order_id),
			CStringGetTextDatum(unpack_sql_state(order->sqlstate)),
			order->message ? CStringGetTextDatum(order->message) : (Datum) 0, JsonbPGetDatum(order->result)};
		bool		nulls[5] = {[1] = order->order_id == 0,[3] = order->message == NULL};

		tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
	}
}

/*
 * oms.place_orders(docs jsonb, idempotency_key text) -> setof (position, order_id, sqlstate, message, result)
 */
OMS_FUNCTION(oms_place_orders, CALL_KEYED)
{
	Batch		batch = {.at = -1};

	batch.answers = AllocSetContextCreate(CurrentMemoryContext, "answers of orders", ALLOCSET_DEFAULT_SIZES);
	batch.documents = AllocSetContextCreate(CurrentMemoryContext, "documents of orders", ALLOCSET_DEFAULT_SIZES);
	batch.work = AllocSetContextCreate(CurrentMemoryContext, "placing orders", ALLOCSET_DEFAULT_SIZES);
	batch.counter_room = 256;
	batch.counters = palloc(sizeof(StockRow) * batch.counter_room);
	batch.title = pstrdup(get_ps_display(&batch.title_length));
	read_argument(fcinfo, &batch);
	if (batch.count > 0)
		place(&batch);
	if (batch.count >= TITLE_ORDERS)
		set_ps_display(batch.title);
	put_rows(fcinfo, &batch);
	MemoryContextDelete(batch.work);
	MemoryContextDelete(batch.documents);
	MemoryContextDelete(batch.answers);
	*isnull = true;
	return (Datum) 0;
}
