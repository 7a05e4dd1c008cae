/*
 * supply.c
 *	  Units that are expected, and by when.
 *
 * The open units of a promisable supply are part of stock.backorder_limit of
 * its counter: so each is promised once, by the constraint that holds for
 * every promise, whoever makes it.  Arriving units move from the limit to on
 * hand, cancelled ones leave the limit.
 *
 * Which promise rests on which supply is nowhere written: the promises of a
 * counter are served in the order of their dates, by what is on hand and then
 * comes (schedule.c).  So a supply that moves moves exactly the promises that
 * it makes late, or lets come earlier (backorder_date.c).
 *
 * Lock order: the row of the supply, then orders, then counters.  Nothing that
 * holds an order or a counter locks a supply.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "allocation.h"
#include "backorder_date.h"
#include "call.h"
#include "document.h"
#include "event.h"
#include "item.h"
#include "location.h"
#include "lot.h"
#include "machine.h"
#include "relation.h"
#include "scope.h"
#include "supply.h"
#include "transfer.h"

/* An item's own rule counts instead of the one for all. */
#define RULE_OF(item) \
	" LEFT JOIN LATERAL (SELECT * FROM {atp_rules} x WHERE x.tenant_id = $1 AND x.item_id IN (0, " item ")" \
	" ORDER BY x.item_id DESC LIMIT 1) r ON true"

static OmsPlan read_plan = {
	.sql = "SELECT s.item_id, s.location_id, greatest(s.expected_at, $3),"
	" (s.quantity - s.received - s.cancelled)::bigint * coalesce(r.confidence_percent, 100) / 100,"
	" coalesce(r.accumulation_days, -1), s.expected_at"
	" FROM {supplies} s" RULE_OF("s.item_id")
	" WHERE s.tenant_id = $1 AND s.item_id = ANY ($2) AND s.status IN ('expected', 'partially_received')"
	" AND s.expected_at >= $3 - make_interval(days => coalesce(r.overdue_days, 14))"
	" AND (r.consumption_days IS NULL OR s.expected_at <= $3 + make_interval(days => r.consumption_days))"
	" ORDER BY s.item_id, s.location_id, s.expected_at, s.supply_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID)
};

static OmsPlan headroom_plan = {
	.sql = "SELECT coalesce(sum(quantity - received - cancelled), 0) FROM {supplies} WHERE tenant_id = $1 AND item_id = $2"
	" AND location_id = $3 AND status IN ('expected', 'partially_received') AND promisable",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID)
};

#define SUPPLY_COLUMNS \
	"supply_id, item_id, location_id, quantity, received, cancelled, promisable, status, reference, transfer_id"

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {supplies} (item_id, location_id, expected_at, created_at, tenant_id, quantity, promisable, kind,"
	" status, reference) VALUES ($2, $3, $4, $5, $1, 0, $6, $7, $8, $9)"
	" ON CONFLICT (reference, item_id, location_id, tenant_id) DO NOTHING RETURNING " SUPPLY_COLUMNS,
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, BOOLOID, TEXTOID, TEXTOID, TEXTOID)
};

static OmsPlan of_reference_plan = {
	.sql = "SELECT " SUPPLY_COLUMNS " FROM {supplies} WHERE reference = $4 AND item_id = $2 AND location_id = $3"
	" AND tenant_id = $1 FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID)
};

static OmsPlan get_plan = {
	.sql = "SELECT " SUPPLY_COLUMNS " FROM {supplies} WHERE supply_id = $2 AND tenant_id = $1 FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan of_transfer_plan = {
	.sql = "INSERT INTO {supplies} (item_id, location_id, transfer_id, expected_at, created_at, tenant_id, quantity,"
	" promisable, kind, status) VALUES ($2, $3, $4, $5, $6, $1, $7, $8, 'transfer', $9) RETURNING " SUPPLY_COLUMNS,
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, BOOLOID, TEXTOID)
};

static OmsPlan sku_plan = {
	.sql = "SELECT sku FROM {items} WHERE item_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan write_plan = {
	.sql = "UPDATE {supplies} SET quantity = $3, received = $4, cancelled = $5, status = $6,"
	" expected_at = coalesce($7, expected_at) WHERE supply_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID, INT4OID, INT4OID, TEXTOID, TIMESTAMPTZOID)
};

static OmsPlan tolerance_plan = {
	.sql = "SELECT over_receipt_percent FROM {atp_rules} WHERE tenant_id = $1 AND item_id IN (0, $2)"
	" ORDER BY item_id DESC LIMIT 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

typedef struct Supply
{
	int64		supply_id;
	int64		item_id;
	int64		location_id;
	int32		quantity;
	int32		received;
	int32		cancelled;
	bool		promisable;
	char	   *status;
	char	   *reference;
	int64		transfer_id;	/* that it belongs to; 0: none */
} Supply;

/* ---- What comes by when ---- */

static void
collect(TupleTableSlot *slot, void *state)
{
	SupplyList *list = state;
	int64		days;
	bool		isnull;

	if (list->count == list->capacity)
	{
		list->capacity = Max(16, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(SupplyUnits) * list->capacity);
	}
	days = oms_slot_int32(slot, 5);
	list->rows[list->count++] = (SupplyUnits)
	{
		oms_slot_int64(slot, 1), oms_slot_int64(slot, 2), DatumGetTimestampTz(oms_slot_datum(slot, 3, &isnull)),
			oms_slot_int64(slot, 4), days < 0 ? SCHEDULE_NEVER : days * USECS_PER_DAY,
			DatumGetTimestampTz(oms_slot_datum(slot, 6, &isnull))
	};
}

/* The supplies of some items that count by date. */
SupplyList *
oms_supplies_read(const int64 *item_ids, int count)
{
	SupplyList *list = palloc0(sizeof(SupplyList));
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), oms_array_int64(item_ids, count),
	TimestampTzGetDatum(oms_call->now)};

	if (count > 0)
		(void) oms_execute_each(&read_plan, values, NULL, collect, list);
	return list;
}

/* The same with what is promised of them, for somebody who asks until when. */
SupplyList *
oms_supplies_read_with_promises(const int64 *item_ids, int count, TimestampTz until)
{
	SupplyList *list = oms_supplies_read(item_ids, count);

	list->until = until;
	list->dated = oms_dated_promises_read(item_ids, count);
	return list;
}

static int
first_of_counter(const SupplyList *list, int64 item_id, int64 location_id)
{
	int			low = 0;
	int			high = list->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const SupplyUnits *row = &list->rows[middle];

		if (row->item_id < item_id || (row->item_id == item_id && row->location_id < location_id))
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool
is_of_counter(const SupplyList *list, int position, int64 item_id, int64 location_id)
{
	return position < list->count && list->rows[position].item_id == item_id &&
		list->rows[position].location_id == location_id;
}

/* Whether anything comes to a counter. */
bool
oms_supplies_reach(const SupplyList *list, int64 item_id, int64 location_id)
{
	return is_of_counter(list, first_of_counter(list, item_id, location_id), item_id, location_id);
}

static int
compare_times(const void *left, const void *right)
{
	const ScheduleUnits *a = left;
	const ScheduleUnits *b = right;

	return a->at < b->at ? -1 : a->at > b->at;
}

/* Adds those of some promises that are of a counter; returns their units. */
static int64
add_demands(Schedule *schedule, ScheduleUnits *demands, const StockRow *row, const DatedUnits *units, int count)
{
	int64		sum = 0;

	for (int i = 0; i < count; i++)
		if (units[i].item_id == row->item_id && units[i].location_id == row->location_id && units[i].units > 0)
		{
			demands[schedule->demand_count++] = (ScheduleUnits)
			{
				units[i].supplied_at == DT_NOEND ? SCHEDULE_NEVER : units[i].supplied_at, units[i].units
			};
			sum += units[i].units;
		}
	return sum;
}

/* Where the promises of a counter begin and end. */
static const DatedUnits *
dated_of(const DatedList *list, const StockRow *row, int *count)
{
	int			low = 0;
	int			high = list->count;
	int			first;

	while (low < high)
	{
		int			middle = (low + high) / 2;
		const DatedUnits *units = &list->rows[middle];

		if (units->item_id < row->item_id || (units->item_id == row->item_id && units->location_id < row->location_id))
			low = middle + 1;
		else
			high = middle;
	}
	for (first = low; low < list->count && list->rows[low].item_id == row->item_id &&
		 list->rows[low].location_id == row->location_id; low++)
		;
	*count = low - first;
	return list->rows + first;
}

/*
 * The schedule of a counter.  others are promises that stand in its reserved
 * units too, but not yet in the table.
 */
CounterSchedule
oms_supplies_schedule(const SupplyList *list, const StockRow *row, const DatedUnits *others, int count)
{
	int			first = first_of_counter(list, row->item_id, row->location_id);
	int			dated_count;
	const DatedUnits *dated = dated_of(list->dated, row, &dated_count);
	ScheduleUnits *demands = palloc(sizeof(ScheduleUnits) * (dated_count + count + 1));
	ScheduleUnits *supplies;
	Schedule	schedule = {.now = oms_call->now,.demands = demands};
	CounterSchedule result = {.wait = SCHEDULE_NEVER};

	while (is_of_counter(list, first + schedule.supply_count, row->item_id, row->location_id))
		schedule.supply_count++;
	supplies = palloc(sizeof(ScheduleUnits) * (schedule.supply_count + 1));
	for (int i = 0; i < schedule.supply_count; i++)
	{
		supplies[i] = (ScheduleUnits) {list->rows[first + i].expected_at, list->rows[first + i].units};
		result.wait = list->rows[first + i].wait;
	}
	schedule.supplies = supplies;
	schedule.base = (int64) row->on_hand - row->safety - row->reserved;
	schedule.base += add_demands(&schedule, demands, row, dated, dated_count);
	schedule.base += add_demands(&schedule, demands, row, others, count);
	qsort(demands, schedule.demand_count, sizeof(ScheduleUnits), compare_times);
	result.base = schedule.base;
	result.steps = palloc(sizeof(ScheduleStep) * SCHEDULE_STEPS_MAX(&schedule));
	result.count = schedule_steps(&schedule, result.steps);
	pfree(demands);
	pfree(supplies);
	return result;
}

/* Units that can be promised beyond those that are on hand until the time asked for, beside some that become firm now. */
int64
oms_supplies_promisable(const SupplyList *list, const StockRow *row, int64 firm)
{
	StockRow	after = *row;
	CounterSchedule schedule;
	int64		units;

	/* What is late comes from now on, but it is not there now. */
	if (list->until <= oms_call->now || !oms_supplies_reach(list, row->item_id, row->location_id))
		return 0;
	after.reserved += (int32) firm;
	schedule = oms_supplies_schedule(list, &after, NULL, 0);
	units = schedule_promisable(schedule.steps, schedule.count, schedule.wait, list->until);
	pfree(schedule.steps);
	return units;
}

/* When the supplies of a counter, all together until then, reach the units; DT_NOEND where they never do. */
TimestampTz
oms_supplies_cover(const SupplyList *list, int64 item_id, int64 location_id, int64 needed)
{
	int64		sum = 0;

	for (int i = first_of_counter(list, item_id, location_id); is_of_counter(list, i, item_id, location_id); i++)
	{
		sum += list->rows[i].units;
		if (sum >= needed)
			return list->rows[i].expected_at;
	}
	return DT_NOEND;
}

static void
read_units(TupleTableSlot *slot, void *state)
{
	*(int64 *) state = oms_slot_int64(slot, 1);
}

/* The part of a counter's backorder limit that is open supply. */
int32
oms_supplies_headroom(int64 item_id, int64 location_id)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(item_id), Int64GetDatum(location_id)};
	int64		units = 0;

	(void) oms_execute_each(&headroom_plan, values, NULL, read_units, &units);
	return (int32) units;
}

/* ---- One supply ---- */

static void
read_supply(TupleTableSlot *slot, void *state)
{
	Supply	   *supply = state;

	supply->supply_id = oms_slot_int64(slot, 1);
	supply->item_id = oms_slot_int64(slot, 2);
	supply->location_id = oms_slot_int64(slot, 3);
	supply->quantity = oms_slot_int32(slot, 4);
	supply->received = oms_slot_int32(slot, 5);
	supply->cancelled = oms_slot_int32(slot, 6);
	supply->promisable = oms_slot_bool(slot, 7);
	supply->status = oms_slot_text(slot, 8);
	supply->reference = oms_slot_text(slot, 9);
	supply->transfer_id = oms_slot_int64(slot, 10);
}

static int32
open_units(const Supply *supply)
{
	return supply->quantity - supply->received - supply->cancelled;
}

static Supply
lock_supply(int64 supply_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(supply_id)};
	Supply		supply = {0};

	(void) oms_execute_each(&get_plan, values, NULL, read_supply, &supply);
	if (supply.supply_id == 0 || !oms_scope_location(supply.location_id))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("supply " INT64_FORMAT " is not known", supply_id),
				 errdetail("supply_id: there is no supply " INT64_FORMAT " that the caller may see", supply_id),
				 errhint("oms.expect_supply answers with the supply_id.")));
	return supply;
}

/* What a transfer brings is received and ended by the calls of the transfer, which know more. */
static Supply
lock_argument(FunctionCallInfo fcinfo)
{
	Supply		supply = lock_supply(oms_argument_id(fcinfo, 0, "supply_id"));

	if (supply.transfer_id != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("supply " INT64_FORMAT " belongs to transfer " INT64_FORMAT, supply.supply_id, supply.transfer_id),
				 errdetail("supply_id: its units are on their way from another location"),
				 errhint("Use oms.receive_transfer or oms.close_transfer.")));
	return supply;
}

static char *
reference_of(const Supply *supply)
{
	return supply->transfer_id != 0 ? oms_transfer_reference(supply->transfer_id) : supply->reference;
}

static void
take_step(Supply *supply, const char *action, const char *reason, Jsonb *data)
{
	StepObject	object = {.type = MACHINE_SUPPLY,.id = supply->supply_id,.reason = reason,.data = data};

	supply->status = pstrdup(oms_machine_step(MACHINE_SUPPLY, supply->status, action, &object)->to_state);
}

static void
write_supply(const Supply *supply, TimestampTz expected_at)
{
	Datum		values[7] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(supply->supply_id),
		Int32GetDatum(supply->quantity), Int32GetDatum(supply->received), Int32GetDatum(supply->cancelled),
	CStringGetTextDatum(supply->status), TimestampTzGetDatum(expected_at)};

	(void) oms_execute(&write_plan, values, TIMESTAMP_NOT_FINITE(expected_at) ? "      n" : NULL);
}

static void
read_text(TupleTableSlot *slot, void *state)
{
	*(char **) state = oms_slot_text(slot, 1);
}

static char *
sku_of(const Supply *supply)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(supply->item_id)};
	char	   *sku = NULL;

	(void) oms_execute_each(&sku_plan, values, NULL, read_text, &sku);
	return sku;
}

static Jsonb *
supply_document(const Supply *supply, int32 quantity, TimestampTz expected_at)
{
	Location   *location = oms_location_by_id(supply->location_id);
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "sku", sku_of(supply));
	oms_write_text(&writer, "location", location ? location->code : NULL);
	oms_write_text(&writer, "reference", reference_of(supply));
	oms_write_int64(&writer, "quantity", quantity);
	oms_write_int64(&writer, "open", open_units(supply));
	if (!TIMESTAMP_NOT_FINITE(expected_at))
		oms_write_time(&writer, "expected_at", expected_at);
	return oms_write_finish(&writer);
}

typedef struct LimitChange
{
	const Supply *supply;
	int32		delta;
} LimitChange;

static void
change_limit(StockRow *rows, int count, void *state)
{
	const LimitChange *change = state;

	if (change->delta > 0)
		oms_stock_refuse_limit((int64) rows[0].backorder_limit + change->delta, sku_of(change->supply), "quantity");
	rows[0].backorder_limit_delta = change->delta;
}

/*
 * Changes what the counter may promise beyond on hand.  Promises that then have
 * nothing to rest on are withdrawn, in the declared order; the others get the
 * dates that the supplies now give them.  The caller finishes the loss.
 */
static void
move_limit(const Supply *supply, int32 delta, const char *what, SupplyLoss *loss)
{
	StockRow	row = {.item_id = supply->item_id,.location_id = supply->location_id};
	Redating	redating = {.reason = psprintf("%s %s", reference_of(supply) ? reference_of(supply) : "supply", what)};
	LimitChange change = {supply, supply->promisable ? delta : 0};

	*loss = (SupplyLoss) {0};
	loss->count = oms_allocations_settle(&row, 1, change_limit, &change, "supply withdrawn", &redating, &loss->replanning,
										 &loss->withdrawn);
	if (row.reserved_delta != 0)
		oms_stock_record(&row, 1, "supply", "supply withdrawn", reference_of(supply));
}

/* Promises anew what was withdrawn, where the tenant wants that, and derives the statuses of its orders. */
void
oms_supply_loss_finish(SupplyLoss *loss)
{
	oms_replanning_write(&loss->replanning);
	oms_withdrawals_refresh(loss->withdrawn, loss->count);
}

/* ---- The calls ---- */

static TimestampTz
expected_at_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(3) || TIMESTAMP_NOT_FINITE(PG_GETARG_TIMESTAMPTZ(3)))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("expected_at is required"),
				 errdetail("expected_at: is %s", PG_ARGISNULL(3) ? "null" : "infinite"),
				 errhint("Without a date a supply cannot be promised; oms.set_stock_limits allows backorders without one.")));
	return PG_GETARG_TIMESTAMPTZ(3);
}

static Supply
lock_or_insert(FunctionCallInfo fcinfo, const StockRow *row, TimestampTz expected_at)
{
	char	   *reference = PG_ARGISNULL(4) ? NULL : oms_argument_required(fcinfo, 4, "reference");
	char	   *kind = oms_argument_required(fcinfo, 5, "kind");
	Datum		values[9] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(row->item_id), Int64GetDatum(row->location_id),
		TimestampTzGetDatum(expected_at), TimestampTzGetDatum(oms_call->now),
		BoolGetDatum(PG_ARGISNULL(6) || PG_GETARG_BOOL(6)), CStringGetTextDatum(kind),
	CStringGetTextDatum(oms_machine_initial(MACHINE_SUPPLY)), reference ? CStringGetTextDatum(reference) : (Datum) 0};
	Supply		supply = {0};

	if (strcmp(kind, "purchase") != 0 && strcmp(kind, "transfer") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("\"%s\" is not a kind of supply", kind),
				 errdetail("kind: must be purchase or transfer"),
				 errhint("Leave it out for purchase.")));
	(void) oms_execute_each(&insert_plan, values, reference ? NULL : "        n", read_supply, &supply);
	if (supply.supply_id != 0)
		return supply;
	values[3] = values[8];
	(void) oms_execute_each(&of_reference_plan, values, NULL, read_supply, &supply);
	if (supply.supply_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("another transaction is announcing the same supply"),
				 errhint("Repeat the transaction.")));
	if (oms_machine_final(MACHINE_SUPPLY, supply.status))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("supply \"%s\" is %s", supply.reference, supply.status),
				 errdetail("reference: belongs to supply " INT64_FORMAT, supply.supply_id),
				 errhint("Announce more units under another reference.")));
	return supply;
}

/*
 * oms.expect_supply(location, sku, quantity, expected_at, reference, kind, promisable, idempotency_key) -> bigint
 */
OMS_FUNCTION(oms_expect_supply, CALL_KEYED)
{
	CatalogItem *item;
	Location   *location;
	StockRow	row = oms_stock_row_of_arguments(fcinfo, &item, &location);
	TimestampTz expected_at = expected_at_argument(fcinfo);
	SupplyLoss	loss;
	Supply		supply;
	int32		quantity;
	int32		before;
	bool		known;

	oms_stock_require_quantity(fcinfo, 2, "quantity", 1);
	quantity = PG_GETARG_INT32(2);
	supply = lock_or_insert(fcinfo, &row, expected_at);
	known = supply.quantity > 0;
	before = open_units(&supply);
	if (quantity < supply.received + supply.cancelled)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("supply " INT64_FORMAT " has received more than %d units", supply.supply_id, quantity),
				 errdetail("quantity: %d units are received, %d cancelled", supply.received, supply.cancelled),
				 errhint("quantity is the whole of the supply.")));
	supply.quantity = quantity;
	if (open_units(&supply) == 0)
		take_step(&supply, "complete", NULL, NULL);
	write_supply(&supply, expected_at);
	move_limit(&supply, open_units(&supply) - before, known ? "changed" : "expected", &loss);
	oms_supply_loss_finish(&loss);
	oms_event(&(Event) {.object_id = supply.supply_id,.object_type = MACHINE_SUPPLY,
						.type = known ? "supply.changed" : "supply.expected",
						.data = supply_document(&supply, quantity, expected_at)});
	PG_RETURN_INT64(supply.supply_id);
}

static void
read_tolerance(TupleTableSlot *slot, void *state)
{
	*(int32 *) state = oms_slot_int32(slot, 1);
}

static void
refuse_over_receipt(const Supply *supply, int32 quantity)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(supply->item_id)};
	int32		percent = 0;
	int64		most;

	(void) oms_execute_each(&tolerance_plan, values, NULL, read_tolerance, &percent);
	most = open_units(supply) + (int64) supply->quantity * percent / 100;
	if (quantity > most)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("supply " INT64_FORMAT " has " INT64_FORMAT " units to receive, not %d", supply->supply_id, most,
						quantity),
				 errdetail("quantity: %d of %d units are open, %d percent more may come", open_units(supply),
						   supply->quantity, percent),
				 errhint("atp_rules.over_receipt_percent is the tolerance; oms.expect_supply changes the quantity.")));
}

/* Units arrived: on hand, no longer expected.  Returns what is on hand now. */
static int64
arrive(Supply *supply, int32 quantity)
{
	StockRow	row = {.item_id = supply->item_id,.location_id = supply->location_id};
	int32		planned = Min(quantity, open_units(supply));
	int64		on_hand;

	supply->received += quantity;
	supply->quantity += quantity - planned;
	take_step(supply, open_units(supply) == 0 ? "complete" : "receive", NULL, supply_document(supply, quantity, DT_NOBEGIN));
	write_supply(supply, DT_NOBEGIN);
	oms_stock_lock_one(&row);
	on_hand = (int64) row.on_hand + quantity;
	if (on_hand > OMS_QUANTITY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("stock would be " INT64_FORMAT, on_hand),
				 errdetail("quantity: a stock row holds at most %d units", OMS_QUANTITY_MAX),
				 errhint("Use a larger base unit for this item.")));
	row.on_hand_delta = quantity;
	row.backorder_limit_delta = supply->promisable ? -planned : 0;
	oms_stock_apply(&row, 1);
	oms_stock_record(&row, 1, "receive_supply", psprintf("supply " INT64_FORMAT, supply->supply_id), reference_of(supply));
	return on_hand;
}

/* What is open does not come. */
static void
end_supply(Supply *supply, const char *reason, SupplyLoss *loss)
{
	int32		open = open_units(supply);

	supply->cancelled += open;
	take_step(supply, "cancel", reason, supply_document(supply, open, DT_NOBEGIN));
	write_supply(supply, DT_NOBEGIN);
	move_limit(supply, -open, "cancelled", loss);
}

/*
 * oms.receive_supply(supply_id, quantity, lots, idempotency_key) -> integer
 */
OMS_FUNCTION(oms_receive_supply, CALL_KEYED)
{
	Supply		supply = lock_argument(fcinfo);
	StockRow	row = {.item_id = supply.item_id,.location_id = supply.location_id};
	CatalogItem item = {.item_id = supply.item_id,.sku = sku_of(&supply)};
	int32		quantity = open_units(&supply);

	if (!PG_ARGISNULL(1))
	{
		oms_stock_require_quantity(fcinfo, 1, "quantity", 1);
		quantity = PG_GETARG_INT32(1);
	}
	if (!oms_machine_final(MACHINE_SUPPLY, supply.status))
		refuse_over_receipt(&supply, quantity);
	oms_lots_give_argument(fcinfo, 2, &row, &item, quantity, false);
	PG_RETURN_INT32((int32) arrive(&supply, quantity));
}

/* Promises that were withdrawn, and made anew, as arrays of what is being written. */
void
oms_supply_loss_write(DocWriter *writer, const SupplyLoss *loss)
{
	const Withdrawal *withdrawn = loss->withdrawn;

	oms_write_begin_array(writer, "withdrawn");
	for (int i = 0; i < loss->count; i++)
	{
		oms_write_begin_object(writer, NULL);
		oms_write_int64(writer, "order_id", withdrawn[i].order_id);
		oms_write_int64(writer, "fulfillment_id", withdrawn[i].fulfillment_id);
		oms_write_int64(writer, "line_no", withdrawn[i].line_no);
		oms_write_int64(writer, "quantity", withdrawn[i].quantity);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
	if (loss->replanning.active)
		oms_replanning_describe(writer, &loss->replanning);
}

static Jsonb *
cancel_answer(int32 cancelled, const SupplyLoss *loss)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_int64(&writer, "cancelled", cancelled);
	oms_supply_loss_write(&writer, loss);
	return oms_write_finish(&writer);
}

/*
 * oms.cancel_supply(supply_id, reason, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_cancel_supply, CALL_KEYED)
{
	Supply		supply = lock_argument(fcinfo);
	int32		open = open_units(&supply);
	SupplyLoss	loss;

	end_supply(&supply, oms_argument_text(fcinfo, 1), &loss);
	oms_supply_loss_finish(&loss);
	PG_RETURN_JSONB_P(cancel_answer(open, &loss));
}

/* ---- Supplies of transfers ---- */

/* Expects what has left for a location.  The caller adds promisable units to the counter's limit. */
int64
oms_supply_of_transfer(int64 transfer_id, int64 item_id, int64 location_id, int32 quantity, TimestampTz expected_at,
					   bool promisable)
{
	Datum		values[9] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(item_id), Int64GetDatum(location_id),
		Int64GetDatum(transfer_id), TimestampTzGetDatum(expected_at), TimestampTzGetDatum(oms_call->now),
	Int32GetDatum(quantity), BoolGetDatum(promisable), CStringGetTextDatum(oms_machine_initial(MACHINE_SUPPLY))};
	Supply		supply = {0};

	(void) oms_execute_each(&of_transfer_plan, values, NULL, read_supply, &supply);
	oms_event(&(Event) {.object_id = supply.supply_id,.object_type = MACHINE_SUPPLY,.type = "supply.expected",
						.data = supply_document(&supply, quantity, expected_at)});
	return supply.supply_id;
}

void
oms_supply_arrive(int64 supply_id, int32 quantity)
{
	Supply		supply = lock_supply(supply_id);

	(void) arrive(&supply, quantity);
}

/* The caller finishes the loss once its own counters are written. */
void
oms_supply_end(int64 supply_id, const char *reason, SupplyLoss *loss)
{
	Supply		supply = lock_supply(supply_id);

	end_supply(&supply, reason, loss);
}

/* Another date for what is still on its way. */
void
oms_supply_date(int64 supply_id, TimestampTz expected_at)
{
	Supply		supply = lock_supply(supply_id);
	SupplyLoss	loss;

	write_supply(&supply, expected_at);
	move_limit(&supply, 0, "changed", &loss);
	oms_supply_loss_finish(&loss);
	oms_event(&(Event) {.object_id = supply.supply_id,.object_type = MACHINE_SUPPLY,.type = "supply.changed",
						.data = supply_document(&supply, supply.quantity, expected_at)});
}
