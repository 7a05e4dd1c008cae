/*
 * hold.c
 *	  Holds on orders, lines and fulfillments.
 *
 * A hold is no state: it stands beside the states and its type lists the
 * actions that it blocks.  There is one check.  Every change of state passes
 * it in oms_machine_step; actions that change no state call oms_hold_check.
 *
 * orders.holds counts the holds that have not been lifted.  It comes with the
 * locked row, so an order without holds costs no look-up: oms_hold_note keeps
 * in the running call that the order has none.  Holds are placed and lifted
 * under the order's lock only.
 *
 * A hold ends by the clock without anybody's doing: the check reads release_at.
 * What is left to tidy up is done when the order changes next, or by the job.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"

#include "answer.h"
#include "call.h"
#include "customer.h"
#include "document.h"
#include "error.h"
#include "event.h"
#include "fulfillment.h"
#include "hold.h"
#include "machine.h"
#include "order.h"
#include "payment.h"
#include "relation.h"

/* Orders that one run of release_holds looks at where nothing else is said. */
#define RELEASE_BATCH 1000

/* Grows with every hold that this backend places: what calls noted is void then. */
static uint64 holds_placed = 1;

#define LOOK_NEW "new"
#define LOOK_RISK "risk"
#define LOOK_RAISED "raised"

#define IS_ACTIVE "h.released_at IS NULL AND (h.release_at IS NULL OR h.release_at > $3)"

/*
 * Holds that block an action ($4, its machine's wildcard $5): those of the
 * order, those of the fulfillment ($6), and those of the lines ($7), or of the
 * lines that the fulfillment still has units of where $7 is null.  A hold on a
 * fulfillment goes with its units: it blocks one that was planned since and has
 * lines of which units left the one that is held.
 */
static OmsPlan blocking_plan = {
	.sql = "SELECT h.hold_id, h.hold_type, h.line_no, h.fulfillment_id, h.reason, t.lift_role, h.release_at"
	" FROM {holds} h JOIN {hold_types} t ON t.code = h.hold_type AND t.tenant_id = $1"
	" WHERE h.order_id = $2 AND h.tenant_id = $1 AND " IS_ACTIVE
	" AND ($4 = ANY (t.blocks) OR $5 = ANY (t.blocks))"
	" AND (t.stops_order OR (h.line_no IS NULL AND h.fulfillment_id IS NULL) OR h.fulfillment_id = $6"
	" OR h.line_no = ANY ($7) OR ($7 IS NULL AND EXISTS (SELECT FROM {allocations} a WHERE a.order_id = $2"
	" AND a.line_no = h.line_no AND a.fulfillment_id = $6 AND a.tenant_id = $1"
	" AND a.promised > a.shipped + a.cancelled))"
	" OR (h.fulfillment_id < $6 AND EXISTS (SELECT FROM {allocations} a JOIN {allocations} b ON b.order_id = $2"
	" AND b.line_no = a.line_no AND b.fulfillment_id = $6 AND b.tenant_id = $1 AND b.promised > b.shipped + b.cancelled"
	" JOIN {fulfillments} f ON f.fulfillment_id = $6 AND f.tenant_id = $1 AND f.planned_at >= h.placed_at"
	" WHERE a.order_id = $2 AND a.fulfillment_id = h.fulfillment_id AND a.tenant_id = $1 AND a.cancelled > 0"
	" AND ($7 IS NULL OR a.line_no = ANY ($7)))))"
	" ORDER BY h.hold_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, INT8OID, INT4ARRAYOID)
};

static OmsPlan type_plan = {
	.sql = "SELECT active, $3 = ANY (levels), lift_role FROM {hold_types} WHERE code = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID, TEXTOID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {holds} (order_id, fulfillment_id, placed_at, release_at, due_at, tenant_id, line_no, hold_type,"
	" reason, placed_by)"
	" SELECT $2, $3, $4, coalesce($5, $4 + t.duration), least(coalesce($5, $4 + t.duration),"
	" CASE WHEN t.release_when IS NOT NULL OR t.release_function IS NOT NULL THEN $4 + t.retry_interval END),"
	" $1, $6, t.code, $8, $9 FROM {hold_types} t WHERE t.code = $7 AND t.tenant_id = $1"
	" RETURNING hold_id, release_at",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID, TEXTOID)
};

static OmsPlan count_plan = {
	.sql = "UPDATE {orders} SET holds = coalesce(holds, 0) + $3 WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID)
};

static OmsPlan hold_plan = {
	.sql = "SELECT h.hold_id, h.order_id, h.hold_type, h.released_at IS NOT NULL, coalesce(h.release_at <= $3, false),"
	" false, t.lift_role FROM {holds} h JOIN {hold_types} t ON t.code = h.hold_type AND t.tenant_id = $1"
	" WHERE h.hold_id = $2 AND h.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

static OmsPlan unlifted_plan = {
	.sql = "SELECT h.hold_id, h.order_id, h.hold_type, false, coalesce(h.release_at <= $3, false),"
	" t.release_when IS NOT NULL, t.lift_role, CASE WHEN h.due_at <= $3 THEN t.release_function END"
	" FROM {holds} h JOIN {hold_types} t ON t.code = h.hold_type AND t.tenant_id = $1"
	" WHERE h.order_id = $2 AND h.tenant_id = $1 AND h.released_at IS NULL ORDER BY h.hold_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

static OmsPlan met_plan = {
	.sql = "SELECT coalesce(jsonb_path_match($3, CASE WHEN $4 THEN t.place_when ELSE t.release_when END, '{}', true), false)"
	" FROM {hold_types} t WHERE t.code = $2 AND t.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID, JSONBOID, BOOLOID)
};

/*
 * The types that a channel looks at for an order, by what has happened ($4): it
 * is placed; its risk is known, which conditions may ask for that have placed no
 * hold yet; it costs more, which conditions and limits may forbid that have no
 * hold standing.  What a fraud check said once it is not asked again.
 */
static OmsPlan looked_at_plan = {
	.sql = "SELECT t.code, t.place_check, t.place_when IS NOT NULL FROM {channel_holds} c"
	" JOIN {hold_types} t ON t.code = c.hold_type AND t.tenant_id = $1"
	" WHERE c.channel_id = $2 AND c.tenant_id = $1 AND t.active AND 'order' = ANY (t.levels)"
	" AND ($4 = '" LOOK_NEW "' OR (NOT EXISTS (SELECT FROM {holds} h WHERE h.order_id = $3 AND h.hold_type = t.code"
	" AND h.tenant_id = $1 AND ($4 = '" LOOK_RISK "' OR h.released_at IS NULL))"
	" AND CASE coalesce(t.place_check, '') WHEN '' THEN t.place_when IS NOT NULL WHEN 'credit' THEN $4 = '" LOOK_RAISED "'"
	" WHEN 'fraud' THEN $4 = '" LOOK_RAISED "' AND t.place_when IS NOT NULL AND NOT EXISTS (SELECT FROM {orders} o"
	" WHERE o.order_id = $3 AND o.tenant_id = $1 AND o.risk IS NOT NULL) ELSE false END)) ORDER BY t.code",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID)
};

/* What a delivery lacks of the address that goods are sent to. */
static OmsPlan address_plan = {
	.sql = "SELECT string_agg(f.name, ', ' ORDER BY f.n) FROM (VALUES ('line1', 1), ('city', 2), ('country', 3)) f(name, n)"
	" WHERE EXISTS (SELECT FROM {allocations} a WHERE a.order_id = $2 AND a.tenant_id = $1 AND a.location_id IS NOT NULL)"
	" AND (NOT EXISTS (SELECT FROM {order_deliveries} d WHERE d.order_id = $2 AND d.tenant_id = $1)"
	" OR EXISTS (SELECT FROM {order_deliveries} d WHERE d.order_id = $2 AND d.tenant_id = $1 AND d.method = 'ship'"
	" AND btrim(coalesce(d.address->>f.name, '')) = ''))",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan on_reject_plan = {
	.sql = "SELECT t.on_reject = 'cancel' FROM {holds} h JOIN {hold_types} t ON t.code = h.hold_type AND t.tenant_id = $1"
	" WHERE h.hold_id = $2 AND h.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan lift_plan = {
	.sql = "UPDATE {holds} h SET released_at = CASE WHEN $5 = 'time' THEN h.release_at ELSE $3 END, released_by = $4,"
	" release_rule = $5, note = $6 WHERE h.hold_id = $2 AND h.tenant_id = $1 AND h.released_at IS NULL",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID)
};

static OmsPlan due_plan = {
	.sql = "SELECT h.order_id FROM {holds} h WHERE h.released_at IS NULL AND h.due_at <= $2 AND h.tenant_id = $1"
	" ORDER BY h.due_at LIMIT $3",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, INT8OID)
};

static OmsPlan retry_plan = {
	.sql = "UPDATE {holds} h SET due_at = least(h.release_at, $3 + t.retry_interval) FROM {hold_types} t"
	" WHERE h.order_id = $2 AND h.tenant_id = $1 AND h.released_at IS NULL AND h.due_at <= $3"
	" AND t.code = h.hold_type AND t.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

static OmsPlan list_plan = {
	.sql = "SELECT h.hold_id, h.hold_type, " IS_ACTIVE ", h.line_no, h.fulfillment_id, t.blocks, h.reason, h.placed_at,"
	" h.placed_by, h.release_at, t.lift_role,"
	" coalesce(h.released_at, CASE WHEN h.release_at <= $3 THEN h.release_at END), h.released_by,"
	" coalesce(h.release_rule, CASE WHEN h.release_at <= $3 THEN 'time' END), h.note"
	" FROM {holds} h JOIN {hold_types} t ON t.code = h.hold_type AND t.tenant_id = $1"
	" WHERE h.order_id = $2 AND h.tenant_id = $1 ORDER BY h.hold_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

/* The holds that a confirmation of their order lifts. */
static OmsPlan confirmed_plan = {
	.sql = "SELECT h.hold_id, h.order_id, h.hold_type, false, false, false, t.lift_role, NULL::text"
	" FROM {holds} h JOIN {hold_types} t ON t.code = h.hold_type AND t.tenant_id = $1"
	" WHERE h.order_id = $2 AND h.tenant_id = $1 AND " IS_ACTIVE " AND t.on_confirm = 'lift' ORDER BY h.hold_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

/* The types that a channel places on orders whose money is charged back, where none stands yet. */
static OmsPlan charged_back_plan = {
	.sql = "SELECT t.code, t.place_check, t.place_when IS NOT NULL FROM {channel_holds} c"
	" JOIN {hold_types} t ON t.code = c.hold_type AND t.tenant_id = $1"
	" WHERE c.channel_id = $2 AND c.tenant_id = $1 AND t.active AND 'order' = ANY (t.levels) AND t.place_check = 'charge_back'"
	" AND NOT EXISTS (SELECT FROM {holds} h WHERE h.order_id = $3 AND h.hold_type = t.code AND h.tenant_id = $1"
	" AND h.released_at IS NULL) ORDER BY t.code",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID)
};

static OmsPlan line_plan = {
	.sql = "SELECT l.line_no::bigint FROM {order_lines} l WHERE l.order_id = $2 AND l.line_no = $3 AND l.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4OID)
};

/* A hold as the functions below look at it. */
typedef struct OrderHold
{
	int64		hold_id;
	int64		order_id;
	char	   *type;
	bool		lifted;
	bool		expired;
	bool		conditional;
	char	   *lift_role;		/* NULL: anybody who may call release_hold */
	char	   *function;		/* to be asked now; NULL: none */
} OrderHold;

/* ---- The check ---- */

/* What the locked row of an order says, for the rest of the call. */
void
oms_hold_note(int64 order_id, int32 holds)
{
	if (holds == 0)
	{
		oms_call->unheld_order = order_id;
		oms_call->unheld_since = holds_placed;
	}
	else if (oms_call->unheld_order == order_id)
		oms_call->unheld_order = 0;
}

/* False where the order is known to have no holds. */
bool
oms_hold_possible(int64 order_id)
{
	return oms_call->unheld_order != order_id || oms_call->unheld_since != holds_placed;
}

typedef struct Blocked
{
	const char *action;
	FaultList	faults;
} Blocked;

static char *
level_name(int32 line_no, int64 fulfillment_id)
{
	if (line_no != 0)
		return psprintf("line %d", line_no);
	return fulfillment_id != 0 ? psprintf("fulfillment " INT64_FORMAT, fulfillment_id) : "order";
}

static void
collect_blocking(TupleTableSlot *slot, void *state)
{
	Blocked    *blocked = state;
	char	   *reason = oms_slot_text(slot, 5);
	char	   *role = oms_slot_text(slot, 6);
	bool		no_end;
	Datum		release_at = oms_slot_datum(slot, 7, &no_end);

	oms_fault(&blocked->faults, ERRCODE_OMS_HOLD, "oms.release_hold lifts a hold, oms.order_holds lists them.",
			  level_name(oms_slot_int32(slot, 3), oms_slot_int64(slot, 4)),
			  "hold " INT64_FORMAT " of type %s%s%s%s blocks %s, lifted by %s%s%s", oms_slot_int64(slot, 1),
			  oms_slot_text(slot, 2), reason ? " (" : "", reason ? reason : "", reason ? ")" : "", blocked->action,
			  role ? "role " : "anybody who may call oms.release_hold", role ? role : "",
			  no_end ? "" : psprintf(" or by the clock at %s", timestamptz_to_str(DatumGetTimestampTz(release_at))));
}

/*
 * Notes the holds that block an action, named machine.action.  fulfillment_id
 * is 0 for actions of the whole order; lines names those that the action takes,
 * NULL means all of the fulfillment, or none in particular for an order.
 */
static void
find_blocking(Blocked *blocked, int64 order_id, int64 fulfillment_id, const int32 *lines, int line_count)
{
	const char *action = blocked->action;
	const char *point = strchr(action, '.');
	Datum		values[7];
	char		nulls[8] = "       ";

	oms_faults_init(&blocked->faults);
	if (!oms_hold_possible(order_id))
		return;
	Assert(point != NULL);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(order_id);
	values[2] = TimestampTzGetDatum(oms_call->now);
	values[3] = CStringGetTextDatum(action);
	values[4] = CStringGetTextDatum(psprintf("%.*s.*", (int) (point - action), action));
	values[5] = Int64GetDatum(fulfillment_id);
	values[6] = (Datum) 0;
	if (lines != NULL)
		values[6] = oms_array_int32(lines, line_count);
	else
		nulls[6] = 'n';
	(void) oms_execute_each(&blocking_plan, values, nulls, collect_blocking, blocked);
}

/* Refuses an action that a hold blocks. */
void
oms_hold_check(int64 order_id, const char *action, int64 fulfillment_id, const int32 *lines, int line_count)
{
	Blocked		blocked = {.action = action};

	find_blocking(&blocked, order_id, fulfillment_id, lines, line_count);
	oms_faults_raise(&blocked.faults, psprintf("%s is blocked: order " INT64_FORMAT " is held", action, order_id));
}

/* Whether a hold blocks an action of the whole order, for what is left undone then and not refused. */
bool
oms_hold_blocks(int64 order_id, const char *action)
{
	Blocked		blocked = {.action = action};

	find_blocking(&blocked, order_id, 0, NULL, 0);
	return blocked.faults.count > 0;
}

/* ---- Placing ---- */

typedef struct HoldType
{
	bool		found;
	bool		active;
	bool		fits;			/* may stand at the level asked for */
	char	   *lift_role;
} HoldType;

static void
read_type(TupleTableSlot *slot, void *state)
{
	HoldType   *type = state;

	type->found = true;
	type->active = oms_slot_bool(slot, 1);
	type->fits = oms_slot_bool(slot, 2);
	type->lift_role = oms_slot_text(slot, 3);
}

/* Refuses a type that does not exist or may not stand there. */
static void
check_type(const char *code, const char *level)
{
	HoldType	type = {0};
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), CStringGetTextDatum(code), CStringGetTextDatum(level)};

	(void) oms_execute_each(&type_plan, values, NULL, read_type, &type);
	if (!type.found || !type.active)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("hold type \"%s\" is %s", code, type.found ? "switched off" : "not known"),
				 errdetail("hold_type: there is no active type \"%s\"", code),
				 errhint("The types are rows of oms.hold_types.")));
	if (!type.fits)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("a hold of type \"%s\" cannot stand on a%s %s", code, level[0] == 'o' ? "n" : "", level),
				 errdetail("hold_type: levels of \"%s\" do not contain %s", code, level),
				 errhint("hold_types.levels says where a type may stand.")));
}

typedef struct NewHold
{
	int64		hold_id;
	Datum		release_at;
	bool		no_end;
} NewHold;

static void
read_new(TupleTableSlot *slot, void *state)
{
	NewHold    *hold = state;

	hold->hold_id = oms_slot_int64(slot, 1);
	hold->release_at = oms_slot_datum(slot, 2, &hold->no_end);
}

static Jsonb *
hold_document(const char *type, int32 line_no, int64 fulfillment_id, const NewHold *hold)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "hold_type", type);
	if (line_no != 0)
		oms_write_int64(&writer, "line_no", line_no);
	if (fulfillment_id != 0)
		oms_write_int64(&writer, "fulfillment_id", fulfillment_id);
	if (!hold->no_end)
		oms_write_time(&writer, "release_at", DatumGetTimestampTz(hold->release_at));
	return oms_write_finish(&writer);
}

static void
add_to_count(int64 order_id, int32 change)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id), Int32GetDatum(change)};

	(void) oms_execute(&count_plan, values, NULL);
}

/* Writes a hold on a locked order.  release_at is DT_NOEND where none is given. */
static int64
place_hold(int64 order_id, const char *type, const char *reason, int32 line_no, int64 fulfillment_id,
		   TimestampTz release_at)
{
	NewHold		hold = {0};
	Datum		values[9];
	char		nulls[10] = "         ";

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(order_id);
	values[2] = Int64GetDatum(fulfillment_id);
	nulls[2] = fulfillment_id != 0 ? ' ' : 'n';
	values[3] = TimestampTzGetDatum(oms_call->now);
	values[4] = TimestampTzGetDatum(release_at);
	nulls[4] = TIMESTAMP_IS_NOEND(release_at) ? 'n' : ' ';
	values[5] = Int32GetDatum(line_no);
	nulls[5] = line_no != 0 ? ' ' : 'n';
	values[6] = CStringGetTextDatum(type);
	values[7] = oms_text_or_null(reason, &nulls[7]);
	values[8] = CStringGetTextDatum(oms_call->actor);
	(void) oms_execute_each(&insert_plan, values, nulls, read_new, &hold);
	add_to_count(order_id, 1);
	holds_placed++;
	oms_event(&(Event) {.order_id = order_id,.object_id = hold.hold_id,.object_type = "hold",.type = "hold.placed",
						.reason = reason,.data = hold_document(type, line_no, fulfillment_id, &hold)});
	return hold.hold_id;
}

/* What holds by hand have in common: arguments hold_type, reason and release_at. */
static int64
place_by_hand(Order *order, const char *type, const char *reason, int32 line_no, int64 fulfillment_id,
			  TimestampTz release_at)
{
	check_type(type, line_no != 0 ? "line" : fulfillment_id != 0 ? "fulfillment" : "order");
	if (oms_machine_final(MACHINE_ORDER, order->status))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " is %s: hold is not allowed", order->order_id, order->status),
				 errdetail("State %s is final.", order->status),
				 errhint("Only what still goes on can be held.")));
	if (release_at <= oms_call->now)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("a hold must end in the future"),
				 errdetail("release_at: %s has passed", timestamptz_to_str(release_at)),
				 errhint("Leave release_at out for a hold that somebody lifts.")));
	if (order->holds >= OMS_HOLDS_PER_ORDER_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("order " INT64_FORMAT " has %d holds", order->order_id, order->holds),
				 errdetail("order_id: at most %d are allowed at a time", OMS_HOLDS_PER_ORDER_MAX),
				 errhint("Lift holds that are no longer needed.")));
	return place_hold(order->order_id, type, reason, line_no, fulfillment_id, release_at);
}

/*
 * oms.hold_order(order_id, hold_type, reason, line_no, release_at, idempotency_key) -> bigint
 */
OMS_FUNCTION(oms_hold_order, CALL_KEYED)
{
	char	   *type = oms_argument_required(fcinfo, 1, "hold_type");
	int32		line_no = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT32(3);
	Order	   *order = oms_order_lock(oms_argument_id(fcinfo, 0, "order_id"));
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->order_id), Int32GetDatum(line_no)};
	int64		hold_id;

	if (!PG_ARGISNULL(3) && oms_execute(&line_plan, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("order " INT64_FORMAT " has no line %d", order->order_id, line_no),
				 errdetail("line_no: line %d is not known", line_no),
				 errhint("oms.get_order shows the lines.")));
	hold_id = place_by_hand(order, type, oms_argument_text(fcinfo, 2), line_no, 0,
							PG_ARGISNULL(4) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(4));
	if (line_no != 0)
		oms_fulfillments_separate(order, line_no);
	PG_RETURN_INT64(hold_id);
}

/*
 * oms.hold_fulfillment(fulfillment_id, hold_type, reason, release_at, idempotency_key) -> bigint
 */
OMS_FUNCTION(oms_hold_fulfillment, CALL_KEYED)
{
	int64		fulfillment_id = oms_argument_id(fcinfo, 0, "fulfillment_id");
	char	   *type = oms_argument_required(fcinfo, 1, "hold_type");
	Order	   *order = oms_order_lock(oms_fulfillment_get(fulfillment_id).order_id);
	Fulfillment fulfillment = oms_fulfillment_get(fulfillment_id);

	if (oms_machine_final(MACHINE_FULFILLMENT, fulfillment.status))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("fulfillment " INT64_FORMAT " is %s: hold is not allowed", fulfillment_id, fulfillment.status),
				 errdetail("State %s is final.", fulfillment.status),
				 errhint("Only what still goes on can be held.")));
	PG_RETURN_INT64(place_by_hand(order, type, oms_argument_text(fcinfo, 2), 0, fulfillment_id,
								  PG_ARGISNULL(3) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(3)));
}

/* ---- Lifting ---- */

static void
read_hold(TupleTableSlot *slot, void *state)
{
	OrderHold  *hold = state;

	hold->hold_id = oms_slot_int64(slot, 1);
	hold->order_id = oms_slot_int64(slot, 2);
	hold->type = oms_slot_text(slot, 3);
	hold->lifted = oms_slot_bool(slot, 4);
	hold->expired = oms_slot_bool(slot, 5);
	hold->conditional = oms_slot_bool(slot, 6);
	hold->lift_role = oms_slot_text(slot, 7);
}

static void
collect_hold(TupleTableSlot *slot, void *state)
{
	List	  **list = state;
	OrderHold  *hold = palloc0(sizeof(OrderHold));

	read_hold(slot, hold);
	hold->function = oms_slot_text(slot, 8);
	*list = lappend(*list, hold);
}

/* The holds of an order that have not been lifted, the expired ones too. */
static List *
unlifted_holds(int64 order_id)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id),
	TimestampTzGetDatum(oms_call->now)};
	List	   *list = NIL;

	(void) oms_execute_each(&unlifted_plan, values, NULL, collect_hold, &list);
	return list;
}

static OrderHold
get_hold(int64 hold_id)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(hold_id),
	TimestampTzGetDatum(oms_call->now)};
	OrderHold	hold = {0};

	(void) oms_execute_each(&hold_plan, values, NULL, read_hold, &hold);
	if (hold.hold_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("hold " INT64_FORMAT " is not known", hold_id),
				 errdetail("hold_id: there is no hold " INT64_FORMAT, hold_id),
				 errhint("oms.order_holds lists the holds of an order.")));
	return hold;
}

/* Lifts a hold of a locked order. */
static void
lift(const OrderHold *hold, const char *rule, const char *note)
{
	Datum		values[6];
	char		nulls[7] = "      ";
	DocWriter	writer;

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(hold->hold_id);
	values[2] = TimestampTzGetDatum(oms_call->now);
	values[3] = CStringGetTextDatum(oms_call->actor);
	values[4] = CStringGetTextDatum(rule);
	values[5] = oms_text_or_null(note, &nulls[5]);
	if (oms_execute(&lift_plan, values, nulls) == 0)
		return;
	add_to_count(hold->order_id, -1);
	oms_write_begin(&writer);
	oms_write_text(&writer, "hold_type", hold->type);
	oms_write_text(&writer, "rule", rule);
	oms_event(&(Event) {.order_id = hold->order_id,.object_id = hold->hold_id,.object_type = "hold",
						.type = "hold.released",.reason = note,.data = oms_write_finish(&writer)});
}

/* Who may lift a hold by hand. */
static void
check_lifter(const OrderHold *hold)
{
	if (hold->lift_role != NULL && !oms_call_has_role(hold->lift_role))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_NOT_PERMITTED),
				 errmsg("hold " INT64_FORMAT " of type \"%s\" is lifted by role %s", hold->hold_id, hold->type, hold->lift_role),
				 errdetail("hold_id: %s is not a member of %s", GetUserNameFromId(oms_call->user, false), hold->lift_role),
				 errhint("hold_types.lift_role names the role.")));
}

/*
 * oms.release_hold(hold_id, note, idempotency_key) -> boolean
 */
OMS_FUNCTION(oms_release_hold, CALL_KEYED)
{
	int64		hold_id = oms_argument_id(fcinfo, 0, "hold_id");
	OrderHold	hold;

	(void) oms_order_lock(get_hold(hold_id).order_id);
	hold = get_hold(hold_id);
	if (hold.lifted)
		PG_RETURN_BOOL(false);
	if (!hold.expired)
		check_lifter(&hold);
	lift(&hold, hold.expired ? "time" : "hand", hold.expired ? NULL : oms_argument_text(fcinfo, 1));
	oms_payment_resume(hold.order_id);
	PG_RETURN_BOOL(!hold.expired);
}

/* Lifts what the confirmation of a locked order lifts; returns how many. */
int
oms_hold_confirmed(Order *order)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->order_id),
	TimestampTzGetDatum(oms_call->now)};
	List	   *list = NIL;
	ListCell   *cell;

	if (order->holds == 0)
		return 0;
	(void) oms_execute_each(&confirmed_plan, values, NULL, collect_hold, &list);
	foreach(cell, list)
		check_lifter(lfirst(cell));
	foreach(cell, list)
		lift(lfirst(cell), "confirm", NULL);
	return list_length(list);
}

static void
read_met(TupleTableSlot *slot, void *state)
{
	*(bool *) state = oms_slot_bool(slot, 1);
}

static bool
condition_met(const char *type, Jsonb *order, bool placing)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), CStringGetTextDatum(type), JsonbPGetDatum(order),
	BoolGetDatum(placing)};
	bool		met = false;

	(void) oms_execute_each(&met_plan, values, NULL, read_met, &met);
	return met;
}

/* Lifts what the clock, conditions and, if asked, functions of types let go. */
static int
reconsider(int64 order_id, bool ask_functions)
{
	List	   *list = unlifted_holds(order_id);
	Jsonb	   *order = NULL;
	ListCell   *cell;
	int			lifted = 0;

	foreach(cell, list)
	{
		OrderHold  *hold = lfirst(cell);
		const char *rule = hold->expired ? "time" : NULL;
		bool		ask = ask_functions && hold->function != NULL;

		CHECK_FOR_INTERRUPTS();
		if (rule == NULL && (hold->conditional || ask) && order == NULL)
			order = oms_order_document(order_id);
		if (rule == NULL && hold->conditional && condition_met(hold->type, order, false))
			rule = "condition";
		if (rule == NULL && ask && DatumGetBool(oms_user_function(hold->function, order, BOOLOID)))
			rule = "condition";
		if (rule == NULL)
			continue;
		lift(hold, rule, NULL);
		lifted++;
	}
	if (lifted > 0)
		oms_payment_resume(order_id);
	return lifted;
}

/* Looks at the holds of a locked order again after it has changed. */
void
oms_hold_reconsider(int64 order_id)
{
	(void) reconsider(order_id, false);
}

static void
collect_id(TupleTableSlot *slot, void *state)
{
	List	  **list = state;
	int64	   *id = palloc(sizeof(int64));

	*id = oms_slot_int64(slot, 1);
	*list = lappend(*list, id);
}

static int
compare_ids(const ListCell *left, const ListCell *right)
{
	return oms_compare_int64(lfirst(left), lfirst(right));
}

typedef struct Look
{
	int64		order_id;
	int			lifted;
} Look;

static void
look_again(void *state)
{
	Look	   *look = state;

	look->lifted = reconsider(look->order_id, true);
}

/* One order of the job, by itself: what a function of a type raises is an event. */
static int
look_at_order(int64 order_id)
{
	Look		look = {.order_id = order_id};
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id),
	TimestampTzGetDatum(oms_call->now)};
	char	   *error;

	if (oms_order_lock_free(order_id) == NULL)
		return 0;
	error = oms_attempt_run(look_again, &look);
	if (error != NULL)
		oms_event(&(Event) {.order_id = order_id,.object_id = order_id,.object_type = "order",
							.type = "hold.check_failed",.reason = error});
	(void) oms_execute(&retry_plan, values, NULL);
	return error == NULL ? look.lifted : 0;
}

/*
 * oms.release_holds(max_count integer, idempotency_key text) -> integer
 */
OMS_FUNCTION(oms_release_holds, CALL_KEYED)
{
	int32		max_count = PG_ARGISNULL(0) ? RELEASE_BATCH : PG_GETARG_INT32(0);
	Datum		values[3];
	List	   *orders = NIL;
	ListCell   *cell;
	int64		last = 0;
	int			lifted = 0;

	oms_argument_positive(max_count, "max_count");
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = TimestampTzGetDatum(oms_call->now);
	values[2] = Int64GetDatum(max_count);
	(void) oms_execute_each(&due_plan, values, NULL, collect_id, &orders);
	list_sort(orders, compare_ids);
	foreach(cell, orders)
	{
		int64		order_id = *(int64 *) lfirst(cell);

		if (order_id != last)
			lifted += look_at_order(order_id);
		last = order_id;
	}
	PG_RETURN_INT32(lifted);
}

/*
 * oms.order_holds(order_id bigint) -> setof
 */
OMS_FUNCTION(oms_order_holds, CALL_READ)
{
	Datum		values[3];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(oms_order_read(oms_argument_id(fcinfo, 0, "order_id"))->order_id);
	values[2] = TimestampTzGetDatum(oms_call->now);
	oms_return_rows(fcinfo, &list_plan, values, NULL);
	*isnull = true;
	return (Datum) 0;
}

/* ---- Placing orders ---- */

typedef struct LookedAt
{
	char	   *type;
	char	   *check;			/* NULL: the condition decides */
	bool		conditional;
} LookedAt;

static void
collect_looked_at(TupleTableSlot *slot, void *state)
{
	List	  **list = state;
	LookedAt   *row = palloc(sizeof(LookedAt));

	row->type = oms_slot_text(slot, 1);
	row->check = oms_slot_text(slot, 2);
	row->conditional = oms_slot_bool(slot, 3);
	*list = lappend(*list, row);
}

static List *
types_to_look_at(const Order *order, const char *what)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->channel_id),
	Int64GetDatum(order->order_id), CStringGetTextDatum(what)};
	List	   *list = NIL;

	(void) oms_execute_each(&looked_at_plan, values, NULL, collect_looked_at, &list);
	return list;
}

static void
read_text(TupleTableSlot *slot, void *state)
{
	*(char **) state = oms_slot_text(slot, 1);
}

static char *
address_fault(int64 order_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};
	char	   *missing = NULL;

	(void) oms_execute_each(&address_plan, values, NULL, read_text, &missing);
	return missing ? psprintf("ship_to lacks %s", missing) : NULL;
}

/* Asks for a check of the order; the answer names the event and lifts the hold. */
static void
ask_for_check(const Order *order, int64 hold_id)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_int64(&writer, "hold_id", hold_id);
	oms_write_text(&writer, "channel", order->channel->code);
	oms_write_text(&writer, "external_ref", order->external_ref);
	oms_write_text(&writer, "currency", order->currency);
	oms_write_numeric(&writer, "total", order->total);
	oms_event(&(Event) {.order_id = order->order_id,.object_id = hold_id,.object_type = "hold",
						.type = COMMAND_FRAUD_CHECK,.data = oms_write_finish(&writer)});
}

/*
 * Why an order gets a hold of a type; NULL: it gets none.  decision is what a
 * fraud check said before the order came, NULL where there was none.
 */
static const char *
reason_to_hold(const Order *order, const LookedAt *type, const char *decision)
{
	if (type->conditional && !condition_met(type->type, oms_order_document(order->order_id), true))
		return NULL;
	if (type->check == NULL)
		return type->conditional ? "condition of its type" : "rule of the channel";
	if (strcmp(type->check, "credit") == 0)
		return oms_customer_credit_fault(order->order_id);
	if (strcmp(type->check, "address") == 0)
		return address_fault(order->order_id);
	if (strcmp(type->check, "charge_back") == 0)
		return NULL;			/* comes later, if at all */
	if (decision == NULL)
		return "waits for a fraud check";
	return strcmp(decision, "accept") == 0 ? NULL : psprintf("the fraud check says %s", decision);
}

static List *
look_at(Order *order, List *types, const char *decision)
{
	List	   *placed = NIL;
	ListCell   *cell;

	foreach(cell, types)
	{
		LookedAt   *type = lfirst(cell);
		const char *reason = reason_to_hold(order, type, decision);
		PlacedHold *hold;

		CHECK_FOR_INTERRUPTS();
		if (reason == NULL)
			continue;
		hold = palloc(sizeof(PlacedHold));
		hold->type = type->type;
		hold->reason = reason;
		hold->hold_id = place_hold(order->order_id, type->type, reason, 0, 0, DT_NOEND);
		if (type->check && strcmp(type->check, "fraud") == 0 && decision == NULL)
			ask_for_check(order, hold->hold_id);
		placed = lappend(placed, hold);
	}
	return placed;
}

/* Places the holds that the channel looks for on an order that has been written. */
List *
oms_hold_new_order(Order *order, const char *decision)
{
	return look_at(order, types_to_look_at(order, LOOK_NEW), decision);
}

/* Money of a locked order was charged back: the holds that its channel has for that. */
void
oms_hold_charged_back(Order *order, const char *reference)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->channel_id),
	Int64GetDatum(order->order_id)};
	List	   *list = NIL;
	ListCell   *cell;

	if (!order->channel->looks_for_holds)
		return;
	(void) oms_execute_each(&charged_back_plan, values, NULL, collect_looked_at, &list);
	foreach(cell, list)
	{
		LookedAt   *type = lfirst(cell);

		if (!type->conditional || condition_met(type->type, oms_order_document(order->order_id), true))
			(void) place_hold(order->order_id, type->type, psprintf("charge-back %s", reference), 0, 0, DT_NOEND);
	}
}

/* Conditions look at a locked order again when its risk has changed. */
void
oms_hold_risk_changed(Order *order)
{
	if (order->channel->looks_for_holds && !oms_machine_final(MACHINE_ORDER, order->status))
		(void) look_at(order, types_to_look_at(order, LOOK_RISK), NULL);
}

/* An edit made a locked order dearer: what a smaller one was let through for may ask for a hold now. */
void
oms_hold_raised(Order *order)
{
	if (order->channel->looks_for_holds && !oms_machine_final(MACHINE_ORDER, order->status))
		(void) look_at(order, types_to_look_at(order, LOOK_RAISED), NULL);
}

/* ---- Answers ---- */

/* Lifts the hold of a locked order that waited for an answer; returns how many. */
int
oms_hold_answered(int64 order_id, int64 hold_id, const char *note)
{
	OrderHold	hold = get_hold(hold_id);

	if (hold.lifted || hold.expired)
		return 0;
	lift(&hold, "answer", note);
	oms_payment_resume(order_id);
	return 1;
}

typedef struct Rejection
{
	Order	   *order;
	const char *reason;
} Rejection;

static void
cancel_rejected(void *state)
{
	Rejection  *rejection = state;

	oms_order_cancel(rejection->order, NULL, "cancel", rejection->reason);
}

/*
 * Cancels what is open of a locked order, if the type of its hold says so.
 * False where the order stays held: by the type, or because nothing of it can
 * be cancelled any more.
 */
bool
oms_hold_rejected(Order *order, int64 hold_id, const char *reason)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(hold_id)};
	Rejection	rejection = {order, reason ? reason : "rejected by a check"};
	bool		cancels = false;

	(void) oms_execute_each(&on_reject_plan, values, NULL, read_met, &cancels);
	return cancels && oms_attempt_run(cancel_rejected, &rejection) == NULL;
}
