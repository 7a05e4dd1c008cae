/*
 * repair.c
 *	  Mends what audit() reports, where the records leave no doubt.
 *
 * A number is mended from its witnesses.  Promised units have three: the
 * counter, the promises and holds that it counts, and the ledger of movements.
 * Where two agree the third is set to them, or, for the ledger, a movement is
 * added that accounts for the rest.  Where only the promises differ they are
 * damaged themselves: nobody can know which order they belonged to, so nothing
 * is changed and the answer says why.  The same where lines and counter agree
 * against promises and ledger, for the ledger begins with the promises.  Lines
 * are mended from their promises unless those are in doubt; totals and statuses
 * follow from the lines, and so does what quotas have used.
 *
 * The audit reads without locks, so everything is read again under the locks
 * of every other call: orders by order_id, then counters by item and location.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "audit.h"
#include "call.h"
#include "document.h"
#include "event.h"
#include "order.h"
#include "quota.h"
#include "relation.h"
#include "stock.h"

typedef enum RepairKind
{
	REPAIR_COUNTER,				/* object: item at location */
	REPAIR_STATE,				/* object: item at location state */
	REPAIR_HOLD,				/* object: reservation */
	REPAIR_LINE,				/* object: order line n */
	REPAIR_ORDER,				/* object: order */
	REPAIR_QUOTA,				/* object: quota */
	REPAIR_SHARE,				/* object: item in channel */
	REPAIR_LEVEL				/* object: level */
} RepairKind;

static const struct
{
	const char *check;
	RepairKind	kind;
}			repairable[] =
{
	{"stock.on_hand", REPAIR_COUNTER},
	{"stock.reserved", REPAIR_COUNTER},
	{"stock.reserved_ledger", REPAIR_COUNTER},
	{"stock.missing", REPAIR_COUNTER},
	{"stock_state.quantity", REPAIR_STATE},
	{"reservation.lines", REPAIR_HOLD},
	{"line.units", REPAIR_LINE},
	{"line.allocated", REPAIR_LINE},
	{"line.released", REPAIR_LINE},
	{"line.shipped", REPAIR_LINE},
	{"line.delivered", REPAIR_LINE},
	{"order.holds", REPAIR_ORDER},
	{"order.fulfillment_status", REPAIR_ORDER},
	{"order.payment_status", REPAIR_ORDER},
	{"order.item_total", REPAIR_ORDER},
	{"order.total", REPAIR_ORDER},
	{"quota.used", REPAIR_QUOTA},
	{"quota_tree.used", REPAIR_SHARE},
	{"channel_level.level", REPAIR_LEVEL},
};

typedef struct Finding
{
	char	   *check;
	char	   *object;
	char	   *expected;
	char	   *found;
	int			kind;			/* index into repairable, -1: not there */
	bool		wanted;			/* the caller asked for it */
	bool		repaired;
	const char *reason;			/* why it is left */
} Finding;

typedef struct IdList
{
	int			count;
	int			capacity;
	int64	   *ids;
} IdList;

/* One counter and what its witnesses say. */
typedef struct Witness
{
	int64		on_hand;		/* of the ledger */
	int64		open;			/* promises and holds */
	int64		stale;			/* holds of reservations that have ended */
	int64		ledger;			/* promises ever made, less what the ledger took back */
	bool		doubtful;		/* only the promises differ */
} Witness;

typedef struct Repair
{
	const char *check;			/* NULL: all */
	int			count;
	int			capacity;
	Finding    *findings;
	IdList		locked;			/* orders whose lines bear witness */
	IdList		orders;			/* those to be mended */
	IdList		reservations;
	IdList		quota_items;	/* whose quotas are counted anew */
	IdList		levels;			/* of channels */
	IdList		damaged;		/* items whose promises lines and counters contradict */
	int			counter_count;
	StockRow   *counters;
	Witness    *witnesses;
} Repair;

/* Counters of the findings, and those that stale holds lie on; of items whose quotas are counted, all. */
static OmsPlan counters_plan = {
	.sql = "SELECT DISTINCT u.item_id, u.location_id FROM (SELECT * FROM unnest($2::bigint[], $3::bigint[]) f(item_id, location_id)"
	" UNION ALL SELECT l.item_id, l.location_id FROM {reservation_lines} l WHERE l.reservation_id = ANY ($4)"
	" AND l.tenant_id = $1 UNION ALL SELECT a.item_id, a.location_id FROM {allocations} a WHERE a.order_id = ANY ($5)"
	" AND a.tenant_id = $1 AND a.location_id IS NOT NULL UNION ALL SELECT c.item_id, c.location_id FROM {stock_counters} c"
	" WHERE c.item_id = ANY ($6) AND c.tenant_id = $1) u ORDER BY 1, 2",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID)
};

static OmsPlan witness_plan = {
	.sql = "SELECT u.n, m.on_hand, a.open + r.held, r.stale, a.promised + m.reserved"
	" FROM unnest($2::bigint[], $3::bigint[]) WITH ORDINALITY u(item_id, location_id, n)"
	" CROSS JOIN LATERAL (SELECT coalesce(sum(on_hand_delta), 0)::bigint AS on_hand,"
	" coalesce(sum(reserved_delta), 0)::bigint AS reserved FROM {stock_movements} m"
	" WHERE m.item_id = u.item_id AND m.location_id = u.location_id AND m.tenant_id = $1) m"
	" CROSS JOIN LATERAL (SELECT coalesce(sum(promised), 0)::bigint AS promised,"
	" coalesce(sum(promised - shipped - cancelled), 0)::bigint AS open FROM {allocations} a"
	" WHERE a.item_id = u.item_id AND a.location_id = u.location_id AND a.tenant_id = $1) a"
	" CROSS JOIN LATERAL (SELECT coalesce(sum(l.quantity) FILTER (WHERE r.status = 'held'), 0)::bigint AS held,"
	" coalesce(sum(l.quantity) FILTER (WHERE r.status IS DISTINCT FROM 'held'), 0)::bigint AS stale"
	" FROM {reservation_lines} l LEFT JOIN {reservations} r ON r.reservation_id = l.reservation_id AND r.tenant_id = $1"
	" WHERE l.item_id = u.item_id AND l.location_id = u.location_id AND l.tenant_id = $1) r",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

static OmsPlan delete_stale_plan = {
	.sql = "DELETE FROM {reservation_lines} l WHERE l.tenant_id = $1"
	" AND (l.item_id, l.location_id) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[]))"
	" AND NOT EXISTS (SELECT FROM {reservations} r WHERE r.reservation_id = l.reservation_id AND r.tenant_id = $1"
	" AND r.status = 'held')",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

/* Open units of lines beyond those of their promises, per item. */
static OmsPlan deviation_plan = {
	.sql = "SELECT l.item_id, sum(l.allocated - l.shipped - coalesce(t.open, 0))::bigint FROM {order_lines} l"
	" LEFT JOIN (SELECT a.order_id, a.line_no, sum(a.promised - a.cancelled - a.shipped) FILTER (WHERE NOT f.backordered) AS open"
	" FROM {allocations} a JOIN {fulfillments} f ON f.fulfillment_id = a.fulfillment_id AND f.tenant_id = $1"
	" WHERE a.tenant_id = $1 AND a.order_id = ANY ($2) GROUP BY a.order_id, a.line_no) t"
	" ON t.order_id = l.order_id AND t.line_no = l.line_no WHERE l.tenant_id = $1 AND l.order_id = ANY ($2)"
	" GROUP BY l.item_id HAVING sum(l.allocated - l.shipped - coalesce(t.open, 0)) <> 0",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* What each line of the orders must be, by its promises; doubtful counters are given. */
#define LINE_TRUTH \
	" FROM {order_lines} l JOIN {orders} o ON o.order_id = l.order_id AND o.tenant_id = $1" \
	" LEFT JOIN (SELECT a.order_id, a.line_no," \
	" coalesce(sum(a.promised - a.cancelled) FILTER (WHERE NOT f.backordered), 0)::int AS allocated," \
	" coalesce(sum(a.promised - a.cancelled) FILTER (WHERE f.status NOT IN ('planned', 'rejected', 'cancelled')), 0)::int AS released," \
	" sum(a.shipped)::int AS shipped," \
	" coalesce(sum(a.shipped) FILTER (WHERE f.status IN ('delivered', 'picked_up')), 0)::int AS delivered," \
	" bool_or((a.item_id, a.location_id) IN (SELECT * FROM unnest($3::bigint[], $4::bigint[]))) AS doubtful" \
	" FROM {allocations} a JOIN {fulfillments} f ON f.fulfillment_id = a.fulfillment_id AND f.tenant_id = $1" \
	" WHERE a.tenant_id = $1 AND a.order_id = ANY ($2) GROUP BY a.order_id, a.line_no) t" \
	" ON t.order_id = l.order_id AND t.line_no = l.line_no" \
	" WHERE l.tenant_id = $1 AND l.order_id = ANY ($2) AND o.status <> 'draft'"

static OmsPlan lines_plan = {
	.sql = "SELECT l.order_id, l.line_no, coalesce(t.allocated, 0), l.ordered - coalesce(t.allocated, 0) - l.cancelled,"
	" coalesce(t.released, 0), coalesce(t.shipped, 0), coalesce(t.delivered, 0), coalesce(t.doubtful, false) OR l.item_id = ANY ($5),"
	" l.return_requested + l.returned + l.written_off + l.replaced,"
	" l.unit_price > 0 AND abs(l.amount - l.ordered * l.unit_price) >= greatest(l.unit_price / 2, 0.01)" LINE_TRUTH
	" AND (l.allocated, l.backordered, l.released, l.shipped, l.delivered) IS DISTINCT FROM"
	" (coalesce(t.allocated, 0), l.ordered - coalesce(t.allocated, 0) - l.cancelled, coalesce(t.released, 0),"
	" coalesce(t.shipped, 0), coalesce(t.delivered, 0))",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID)
};

static OmsPlan write_lines_plan = {
	.sql = "UPDATE {order_lines} l SET allocated = u.allocated, backordered = u.backordered, released = u.released,"
	" shipped = u.shipped, delivered = u.delivered"
	" FROM unnest($2::bigint[], $3::int[], $4::int[], $5::int[], $6::int[], $7::int[], $8::int[])"
	" u(order_id, line_no, allocated, backordered, released, shipped, delivered)"
	" WHERE l.order_id = u.order_id AND l.line_no = u.line_no AND l.tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID)
};

/* Under the locks of the counters no state changes. */
static OmsPlan write_states_plan = {
	.sql = "INSERT INTO {stock_states} AS s (item_id, location_id, tenant_id, state, quantity)"
	" SELECT item_id, location_id, $1, m.state, sum(m.state_delta) FROM {stock_movements} m"
	" JOIN (SELECT DISTINCT * FROM unnest($2::bigint[], $3::bigint[]) u(item_id, location_id)) u USING (item_id, location_id)"
	" WHERE m.tenant_id = $1 AND m.state IS NOT NULL GROUP BY item_id, location_id, m.state"
	" HAVING sum(m.state_delta) BETWEEN 0 AND 1000000000"
	" ON CONFLICT (item_id, location_id, state, tenant_id) DO UPDATE SET quantity = EXCLUDED.quantity"
	" WHERE s.quantity <> EXCLUDED.quantity",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

/* A state that the ledger does not know has no units. */
static OmsPlan clear_states_plan = {
	.sql = "UPDATE {stock_states} s SET quantity = 0 WHERE s.tenant_id = $1 AND s.quantity <> 0"
	" AND (s.item_id, s.location_id) IN (SELECT * FROM unnest($2::bigint[], $3::bigint[]))"
	" AND NOT EXISTS (SELECT FROM {stock_movements} m WHERE m.item_id = s.item_id AND m.location_id = s.location_id"
	" AND m.state = s.state AND m.tenant_id = $1)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8ARRAYOID)
};

static OmsPlan orders_plan = {
	.sql = "SELECT order_id, fulfillment_status, payment_status, item_total::text, total::text, coalesce(holds, 0)::text"
	" FROM {orders} WHERE order_id = ANY ($2) AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan write_holds_plan = {
	.sql = "UPDATE {orders} o SET holds = h.units FROM (SELECT u AS order_id, count(x.hold_id)::int AS units"
	" FROM unnest($2::bigint[]) u LEFT JOIN {holds} x ON x.order_id = u AND x.tenant_id = $1 AND x.released_at IS NULL"
	" GROUP BY u) h WHERE o.order_id = h.order_id AND o.tenant_id = $1 AND coalesce(o.holds, 0) <> h.units",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* ---- Findings ---- */

static int
kind_of(const char *check)
{
	for (int i = 0; i < lengthof(repairable); i++)
		if (strcmp(repairable[i].check, check) == 0)
			return i;
	return -1;
}

static void
add_id(IdList *list, int64 id)
{
	if (list->count == list->capacity)
	{
		list->capacity = Max(16, list->capacity * 2);
		list->ids = oms_grown(list->ids, sizeof(int64) * list->capacity);
	}
	list->ids[list->count++] = id;
}

static void
read_finding(TupleTableSlot *slot, void *state)
{
	Repair	   *repair = state;
	Finding    *finding;
	char	   *check = oms_slot_text(slot, 1);

	if (repair->count == repair->capacity)
	{
		repair->capacity = Max(64, repair->capacity * 2);
		repair->findings = oms_grown(repair->findings, sizeof(Finding) * repair->capacity);
	}
	finding = &repair->findings[repair->count++];
	*finding = (Finding)
	{
		.check = check,.object = oms_slot_text(slot, 2),.expected = oms_slot_text(slot, 3),.found = oms_slot_text(slot, 4),
			.kind = kind_of(check),.wanted = repair->check == NULL || strcmp(repair->check, check) == 0,.reason = "only the one who knows what happened can mend this"
	};
}

/* "12 at 3", "12 line 3" or "12": the objects of audit(). */
static int64
object_id(const Finding *finding, const char *separator)
{
	const char *start = finding->object;

	if (separator != NULL)
	{
		start = strstr(start, separator);
		if (start == NULL)
			return 0;
		start += strlen(separator);
	}
	return strtoll(start, NULL, 10);
}

static bool
is_kind(const Finding *finding, RepairKind kind)
{
	return finding->kind >= 0 && repairable[finding->kind].kind == kind;
}

/* The same for findings that are to be mended. */
static bool
is_of(const Finding *finding, RepairKind kind)
{
	return finding->wanted && is_kind(finding, kind);
}

static void
sort_ids(IdList *list)
{
	int			kept = 0;

	if (list->count > 0)
		qsort(list->ids, list->count, sizeof(int64), oms_compare_int64);
	for (int i = 0; i < list->count; i++)
		if (kept == 0 || list->ids[kept - 1] != list->ids[i])
			list->ids[kept++] = list->ids[i];
	list->count = kept;
}

static void
collect_id(TupleTableSlot *slot, void *state)
{
	add_id(state, oms_slot_int64(slot, 1));
}

/* The items whose quotas are to be counted anew, and the levels of channels. */
static void
find_quotas(Repair *repair)
{
	IdList		quotas = {0};

	for (int i = 0; i < repair->count; i++)
	{
		Finding    *finding = &repair->findings[i];

		if (is_of(finding, REPAIR_LEVEL))
			add_id(&repair->levels, object_id(finding, NULL));
		if (is_of(finding, REPAIR_QUOTA))
			add_id(&quotas, object_id(finding, NULL));
		else if (is_of(finding, REPAIR_SHARE))
			add_id(&repair->quota_items, object_id(finding, NULL));
		else
			continue;
		finding->reason = "the orders of the channel have more than its cap";
	}
	if (quotas.count > 0)
		oms_quotas_items(quotas.ids, quotas.count, collect_id, &repair->quota_items);
	sort_ids(&repair->quota_items);
}

static void
read_findings(Repair *repair)
{
	oms_audit_each(read_finding, repair);
	for (int i = 0; i < repair->count; i++)
	{
		if (is_kind(&repair->findings[i], REPAIR_LINE) || is_of(&repair->findings[i], REPAIR_ORDER))
			add_id(&repair->locked, object_id(&repair->findings[i], NULL));
		if (is_of(&repair->findings[i], REPAIR_LINE) || is_of(&repair->findings[i], REPAIR_ORDER))
			add_id(&repair->orders, object_id(&repair->findings[i], NULL));
		else if (is_of(&repair->findings[i], REPAIR_HOLD))
			add_id(&repair->reservations, object_id(&repair->findings[i], NULL));
	}
	sort_ids(&repair->locked);
	sort_ids(&repair->orders);
	sort_ids(&repair->reservations);
	find_quotas(repair);
}

/* ---- Counters ---- */

static void
read_counter(TupleTableSlot *slot, void *state)
{
	Repair	   *repair = state;

	if (repair->counter_count % 64 == 0)
		repair->counters = oms_grown(repair->counters, sizeof(StockRow) * (repair->counter_count + 64));
	repair->counters[repair->counter_count++] = (StockRow)
	{
		.item_id = oms_slot_int64(slot, 1),.location_id = oms_slot_int64(slot, 2)
	};
}

static void
read_witness(TupleTableSlot *slot, void *state)
{
	Witness    *witness = (Witness *) state + (oms_slot_int64(slot, 1) - 1);

	witness->on_hand = oms_slot_int64(slot, 2);
	witness->open = oms_slot_int64(slot, 3);
	witness->stale = oms_slot_int64(slot, 4);
	witness->ledger = oms_slot_int64(slot, 5);
}

/* Locks every counter of the findings and of the orders in them, and hears its witnesses. */
static void
lock_counters(Repair *repair)
{
	IdList		items = {0};
	IdList		locations = {0};
	Datum		values[6];

	for (int i = 0; i < repair->count; i++)
		if (is_kind(&repair->findings[i], REPAIR_COUNTER) || is_of(&repair->findings[i], REPAIR_STATE))
		{
			add_id(&items, object_id(&repair->findings[i], NULL));
			add_id(&locations, object_id(&repair->findings[i], " at "));
		}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items.ids, items.count);
	values[2] = oms_array_int64(locations.ids, locations.count);
	values[3] = oms_array_int64(repair->reservations.ids, repair->reservations.count);
	values[4] = oms_array_int64(repair->locked.ids, repair->locked.count);
	values[5] = oms_array_int64(repair->quota_items.ids, repair->quota_items.count);
	(void) oms_execute_each(&counters_plan, values, NULL, read_counter, repair);
	if (repair->counter_count == 0)
		return;
	oms_stock_lock_all(repair->counters, repair->counter_count);
	repair->witnesses = palloc0(sizeof(Witness) * repair->counter_count);
	items.count = locations.count = 0;
	for (int i = 0; i < repair->counter_count; i++)
	{
		add_id(&items, repair->counters[i].item_id);
		add_id(&locations, repair->counters[i].location_id);
	}
	values[1] = oms_array_int64(items.ids, items.count);
	values[2] = oms_array_int64(locations.ids, locations.count);
	(void) oms_execute_each(&witness_plan, values, NULL, read_witness, repair->witnesses);
}

/* A counter that is missing altogether is made whole. */
static bool
wants(const Repair *repair, const char *check)
{
	return repair->check == NULL || strcmp(repair->check, check) == 0 || strcmp(repair->check, "stock.missing") == 0;
}

/* Notes what became of the findings of a check on a counter: old and new, or why nothing was done. */
static void
conclude(Repair *repair, const char *check, const StockRow *row, const char *reason, int64 old, int64 new)
{
	for (int i = 0; i < repair->count; i++)
	{
		Finding    *finding = &repair->findings[i];

		if (!is_of(finding, REPAIR_COUNTER) || strcmp(finding->check, check) != 0 ||
			object_id(finding, NULL) != row->item_id || object_id(finding, " at ") != row->location_id)
			continue;
		finding->reason = reason;
		if (reason != NULL)
			continue;
		finding->found = psprintf(INT64_FORMAT, old);
		finding->expected = psprintf(INT64_FORMAT, new);
	}
}

/* Units by which lines and counters of an item differ from the promises, where both differ by the same. */
static void
read_deviation(TupleTableSlot *slot, void *state)
{
	Repair	   *repair = state;
	int64		item_id = oms_slot_int64(slot, 1);
	int64		of_counters = 0;

	for (int i = 0; i < repair->counter_count; i++)
		if (repair->counters[i].item_id == item_id)
			of_counters += repair->counters[i].reserved - repair->witnesses[i].open;
	if (of_counters == oms_slot_int64(slot, 2))
		add_id(&repair->damaged, item_id);
}

static void
find_damaged(Repair *repair)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(repair->locked.ids, repair->locked.count)};

	if (repair->locked.count > 0)
		(void) oms_execute_each(&deviation_plan, values, NULL, read_deviation, repair);
	sort_ids(&repair->damaged);
}

static bool
is_damaged(const Repair *repair, int64 item_id)
{
	return repair->damaged.count > 0 &&
		bsearch(&item_id, repair->damaged.ids, repair->damaged.count, sizeof(int64), oms_compare_int64) != NULL;
}

/*
 * Decides about promised units: the change of the counter, and the units that
 * a movement must account for.
 */
static void
decide_reserved(Repair *repair, StockRow *row, Witness *witness, int32 *movement)
{
	bool		stale_counts = witness->stale > 0 && row->reserved == witness->ledger &&
		witness->ledger == witness->open + witness->stale;

	*movement = 0;
	witness->doubtful = is_damaged(repair, row->item_id) && row->reserved != witness->open;
	if (witness->doubtful)
		return;
	if (witness->open == witness->ledger || stale_counts)
	{
		const char *check = stale_counts ? "reservation.lines" : "stock.reserved";

		/* The ledger is wrong together with the counter as long as the counter is. */
		if (!wants(repair, check) && !wants(repair, "stock.reserved_ledger"))
			return;
		row->reserved_delta = (int32) (witness->open - row->reserved);
		if (stale_counts)
			*movement = (int32) -witness->stale;
	}
	else if (row->reserved == witness->open)
	{
		if (wants(repair, "stock.reserved_ledger"))
			*movement = (int32) (witness->open - witness->ledger);
	}
	else
		witness->doubtful = true;
}

static const char *
decide_counter(Repair *repair, StockRow *row, Witness *witness, int32 *movement)
{
	int64		on_hand = row->on_hand;
	int64		reserved;

	decide_reserved(repair, row, witness, movement);
	if (wants(repair, "stock.on_hand"))
		on_hand = witness->on_hand;
	reserved = (int64) row->reserved + row->reserved_delta;
	if (on_hand >= 0 && on_hand <= OMS_QUANTITY_MAX && reserved <= on_hand + row->backorder_limit)
	{
		row->on_hand_delta = (int32) (on_hand - row->on_hand);
		return NULL;
	}
	return "the ledger does not cover what is promised: count_stock sets what is really there";
}

static void
note_counter(const StockRow *row, int32 movement)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_int64(&writer, "location_id", row->location_id);
	oms_write_int64(&writer, "on_hand_before", row->on_hand);
	oms_write_int64(&writer, "on_hand", row->on_hand + row->on_hand_delta);
	oms_write_int64(&writer, "reserved_before", row->reserved);
	oms_write_int64(&writer, "reserved", row->reserved + row->reserved_delta);
	oms_write_int64(&writer, "ledger", movement);
	oms_event(&(Event) {.object_id = row->item_id,.object_type = "stock",.type = "stock.repaired",
						.data = oms_write_finish(&writer)});
}

static void
delete_stale(const Repair *repair)
{
	IdList		items = {0};
	IdList		locations = {0};
	Datum		values[3];

	for (int i = 0; i < repair->counter_count; i++)
	{
		Witness    *witness = &repair->witnesses[i];

		if (witness->stale == 0 || witness->doubtful)
			continue;
		add_id(&items, repair->counters[i].item_id);
		add_id(&locations, repair->counters[i].location_id);
	}
	if (items.count == 0)
		return;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items.ids, items.count);
	values[2] = oms_array_int64(locations.ids, locations.count);
	(void) oms_execute(&delete_stale_plan, values, NULL);
}

static void
repair_counters(Repair *repair)
{
	StockRow   *ledger = palloc(sizeof(StockRow) * Max(1, repair->counter_count));
	int			ledger_count = 0;

	for (int i = 0; i < repair->counter_count; i++)
	{
		StockRow   *row = &repair->counters[i];
		Witness    *witness = &repair->witnesses[i];
		int32		movement;
		int64		reserved;
		const char *refused = decide_counter(repair, row, witness, &movement);
		const char *doubt = witness->doubtful
			? "promises, counter and ledger do not agree: the promises themselves are damaged" : refused;

		if (refused != NULL)
			row->on_hand_delta = row->reserved_delta = movement = 0;
		reserved = (int64) row->reserved + row->reserved_delta;
		conclude(repair, "stock.on_hand", row, refused, row->on_hand, row->on_hand + row->on_hand_delta);
		conclude(repair, "stock.missing", row, doubt, row->reserved, reserved);
		conclude(repair, "stock.reserved", row, doubt, row->reserved, reserved);
		conclude(repair, "stock.reserved_ledger", row, doubt,
				 movement != 0 && row->reserved_delta == 0 ? witness->ledger : row->reserved, reserved);
		if (row->on_hand_delta != 0 || row->reserved_delta != 0 || movement != 0)
			note_counter(row, movement);
		if (movement != 0)
			ledger[ledger_count++] = (StockRow)
		{
			.item_id = row->item_id,.location_id = row->location_id,.reserved_delta = movement
		};
	}
	oms_stock_apply_changed(repair->counters, repair->counter_count);
	if (ledger_count > 0)
		oms_stock_record(ledger, ledger_count, "repair", "audit", NULL);
	if (wants(repair, "reservation.lines"))
		delete_stale(repair);
}

/* States have one witness only, the ledger. */
static void
repair_states(Repair *repair)
{
	IdList		items = {0};
	IdList		locations = {0};
	Datum		values[3];

	for (int i = 0; i < repair->count; i++)
	{
		Finding    *finding = &repair->findings[i];

		if (!is_of(finding, REPAIR_STATE))
			continue;
		add_id(&items, object_id(finding, NULL));
		add_id(&locations, object_id(finding, " at "));
		finding->reason = "the ledger gives a number that no shelf can have";
		oms_event(&(Event) {.object_id = object_id(finding, NULL),.object_type = "stock",.type = "stock.repaired",
							.reason = finding->object});
	}
	if (items.count == 0)
		return;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items.ids, items.count);
	values[2] = oms_array_int64(locations.ids, locations.count);
	(void) oms_execute(&write_states_plan, values, NULL);
	(void) oms_execute(&clear_states_plan, values, NULL);
}

/* ---- Orders ---- */

/* A line as its promises have it. */
typedef struct LineTruth
{
	int64		order_id;
	int32		line_no;
	int32		units[5];		/* allocated, backordered, released, shipped, delivered */
	int32		sent_back;
	bool		doubtful;
	const char *refused;
} LineTruth;

typedef struct LineTruths
{
	int			count;
	int			capacity;
	LineTruth  *rows;
} LineTruths;

static void
read_line(TupleTableSlot *slot, void *state)
{
	LineTruths *truths = state;
	LineTruth  *line;

	if (truths->count == truths->capacity)
	{
		truths->capacity = Max(64, truths->capacity * 2);
		truths->rows = oms_grown(truths->rows, sizeof(LineTruth) * truths->capacity);
	}
	line = &truths->rows[truths->count++];
	line->order_id = oms_slot_int64(slot, 1);
	line->line_no = oms_slot_int32(slot, 2);
	for (int i = 0; i < 5; i++)
		line->units[i] = oms_slot_int32(slot, 3 + i);
	line->doubtful = oms_slot_bool(slot, 8);
	line->sent_back = oms_slot_int32(slot, 9);
	line->refused = NULL;
	if (line->doubtful)
		line->refused = "its promises are in doubt themselves";
	else if (oms_slot_bool(slot, 10))
		line->refused = "its amount is that of another quantity";
	else if (line->units[1] < 0)
		line->refused = "it has more promises than units ordered";
	else if (line->units[0] < line->units[2] || line->units[2] < line->units[3] || line->units[3] < line->units[4] ||
			 line->units[3] < line->sent_back)
		line->refused = "its promises say that more left than was there";
}

static void
write_lines(const LineTruths *truths)
{
	IdList		orders = {0};
	int32	   *numbers = palloc(sizeof(int32) * Max(1, truths->count) * 6);
	Datum		values[8];

	for (int i = 0; i < truths->count; i++)
	{
		const LineTruth *line = &truths->rows[i];

		if (line->refused != NULL)
			continue;
		numbers[orders.count] = line->line_no;
		for (int j = 0; j < 5; j++)
			numbers[(j + 1) * truths->count + orders.count] = line->units[j];
		add_id(&orders, line->order_id);
	}
	if (orders.count == 0)
		return;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(orders.ids, orders.count);
	for (int i = 0; i < 6; i++)
		values[2 + i] = oms_array_int32(numbers + i * truths->count, orders.count);
	(void) oms_execute(&write_lines_plan, values, NULL);
}

/* Marks the findings of lines; those of a line that is right again without our help count as mended. */
static void
conclude_lines(Repair *repair, const LineTruths *truths)
{
	for (int i = 0; i < repair->count; i++)
	{
		Finding    *finding = &repair->findings[i];

		if (!is_of(finding, REPAIR_LINE))
			continue;
		finding->reason = NULL;
		for (int j = 0; j < truths->count; j++)
			if (truths->rows[j].order_id == object_id(finding, NULL) &&
				truths->rows[j].line_no == object_id(finding, " line "))
				finding->reason = truths->rows[j].refused;
		finding->repaired = finding->reason == NULL;
	}
}

/* Orders with a line that is left as it is are left altogether. */
static void
leave_orders(Repair *repair, const LineTruths *truths)
{
	int			kept = 0;

	for (int i = 0; i < repair->orders.count; i++)
	{
		bool		left = false;

		for (int j = 0; j < truths->count && !left; j++)
			left = truths->rows[j].refused != NULL && truths->rows[j].order_id == repair->orders.ids[i];
		if (!left)
			repair->orders.ids[kept++] = repair->orders.ids[i];
	}
	repair->orders.count = kept;
}

static void
repair_lines(Repair *repair)
{
	LineTruths	truths = {0};
	IdList		items = {0};
	IdList		locations = {0};
	Datum		values[5];

	for (int i = 0; i < repair->counter_count; i++)
		if (repair->witnesses[i].doubtful)
		{
			add_id(&items, repair->counters[i].item_id);
			add_id(&locations, repair->counters[i].location_id);
		}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(repair->orders.ids, repair->orders.count);
	values[2] = oms_array_int64(items.ids, items.count);
	values[3] = oms_array_int64(locations.ids, locations.count);
	values[4] = oms_array_int64(repair->damaged.ids, repair->damaged.count);
	(void) oms_execute_each(&lines_plan, values, NULL, read_line, &truths);
	write_lines(&truths);
	conclude_lines(repair, &truths);
	leave_orders(repair, &truths);
}

static bool
wants_lines(const Repair *repair)
{
	for (int i = 0; i < repair->count; i++)
		if (is_of(&repair->findings[i], REPAIR_LINE))
			return true;
	return false;
}

/* Lines first; totals and statuses follow from them in the usual way. */
static void
repair_orders(Repair *repair)
{
	Datum		values[2];

	if (repair->orders.count == 0)
		return;
	if (wants_lines(repair))
		repair_lines(repair);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(repair->orders.ids, repair->orders.count);
	(void) oms_execute(&write_holds_plan, values, NULL);
	for (int i = 0; i < repair->orders.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		oms_event(&(Event) {.order_id = repair->orders.ids[i],.object_id = repair->orders.ids[i],
							.object_type = "order",.type = "order.repaired"});
		oms_order_refresh(repair->orders.ids[i]);
	}
}

/* ---- What is left ---- */

static void
read_order(TupleTableSlot *slot, void *state)
{
	static const char *const checks[] = {"order.fulfillment_status", "order.payment_status", "order.item_total",
	"order.total", "order.holds"};
	Repair	   *repair = state;

	for (int i = 0; i < repair->count; i++)
		for (int j = 0; j < lengthof(checks); j++)
			if (repair->findings[i].repaired && strcmp(repair->findings[i].check, checks[j]) == 0 &&
				object_id(&repair->findings[i], NULL) == oms_slot_int64(slot, 1))
				repair->findings[i].expected = oms_slot_text(slot, 2 + j);
}

/* Looks again: what is still found was not mended after all. */
static void
confirm(Repair *repair)
{
	Repair		after = {.check = repair->check};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(repair->locked.ids, repair->locked.count)};

	oms_audit_each(read_finding, &after);
	for (int i = 0; i < repair->count; i++)
	{
		Finding    *finding = &repair->findings[i];
		bool		still = false;

		for (int j = 0; j < after.count && !still; j++)
			still = strcmp(after.findings[j].check, finding->check) == 0 &&
				strcmp(after.findings[j].object, finding->object) == 0;
		finding->repaired = finding->wanted && !still;
		if (finding->repaired && is_of(finding, REPAIR_HOLD))
			finding->expected = "no units held";
		if (still && finding->reason == NULL)
			finding->reason = "what it follows from is in doubt";
	}
	(void) oms_execute_each(&orders_plan, values, NULL, read_order, repair);
}

static void
write_findings(DocWriter *writer, const Repair *repair, const char *key, bool repaired)
{
	oms_write_begin_array(writer, key);
	for (int i = 0; i < repair->count; i++)
	{
		const Finding *finding = &repair->findings[i];

		if (finding->repaired != repaired || !finding->wanted)
			continue;
		/* Right all the time: only what it was compared with was wrong. */
		if (repaired && strcmp(finding->found, finding->expected) == 0)
			continue;
		oms_write_begin_object(writer, NULL);
		oms_write_text(writer, "check", finding->check);
		oms_write_text(writer, "object", finding->object);
		oms_write_text(writer, repaired ? "old" : "found", finding->found);
		oms_write_text(writer, repaired ? "new" : "expected", finding->expected);
		if (!repaired)
			oms_write_text(writer, "reason", finding->reason);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}

static char *
repairable_names(void)
{
	StringInfoData names;

	initStringInfo(&names);
	for (int i = 0; i < lengthof(repairable); i++)
		appendStringInfo(&names, "%s%s", i > 0 ? ", " : "", repairable[i].check);
	return names.data;
}

/*
 * oms.repair(check, dry_run, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_repair, CALL_KEYED)
{
	Repair		repair = {.check = oms_argument_text(fcinfo, 0)};
	bool		dry_run = !PG_ARGISNULL(1) && PG_GETARG_BOOL(1);
	OmsAttempt	attempt;
	DocWriter	writer;

	if (repair.check != NULL && kind_of(repair.check) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("\"%s\" is not a check that can be repaired", repair.check),
				 errdetail("check: must be one of %s", repairable_names()),
				 errhint("Leave it out to repair everything that can be.")));
	oms_call->dry_run = dry_run;
	oms_attempt_begin(&attempt);
	read_findings(&repair);
	for (int i = 0; i < repair.locked.count; i++)
		(void) oms_order_lock(repair.locked.ids[i]);
	lock_counters(&repair);
	find_damaged(&repair);
	repair_counters(&repair);
	repair_states(&repair);
	repair_orders(&repair);
	oms_quotas_recount(repair.quota_items.ids, repair.quota_items.count);
	oms_channel_levels_restore(repair.levels.ids, repair.levels.count);
	if (repair.count > 0)
		confirm(&repair);
	oms_write_begin(&writer);
	oms_write_bool(&writer, "dry_run", dry_run);
	write_findings(&writer, &repair, "repaired", true);
	write_findings(&writer, &repair, "refused", false);
	if (dry_run)
		oms_attempt_undo(&attempt);
	else
		oms_attempt_keep(&attempt);
	PG_RETURN_JSONB_P(oms_write_finish(&writer));
}
