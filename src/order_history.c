/*
 * order_history.c
 *	  What an order was at a moment.
 *
 * Fields come from the version that an edit replaced after that moment, or
 * from the order where there was none.  Quantities are those of today less what
 * the later events say was changed (a draft's lines are replaced whole, so each
 * version has its own); derived statuses and totals are what the last event
 * until then said.  Payments and refunds are append-only.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/jsonb.h"

#include "call.h"
#include "order.h"
#include "relation.h"

/* The stages of a line in the order of note_ledger in order.c. */
#define AT_THAT_TIME(name, position) \
	" '" name "', l." name " - coalesce((SELECT sum((c -> " position ")::int) FROM later, jsonb_array_elements(later.ledger) c" \
	" WHERE (c -> 0)::int = l.line_no), 0)"

/* Those of returns in the order of note_units in return.c. */
#define RETURNED_AT_THAT_TIME(name, position) \
	" '" name "', l." name " - coalesce((SELECT sum((c -> " position ")::int) FROM later_returns r, jsonb_array_elements(r.returning) c" \
	" WHERE (c -> 0)::int = l.line_no), 0)"

/* Those of promises in the order of note_some in allocation.c. */
#define PROMISED_AT_THAT_TIME(name, position) \
	"a." name " - coalesce((SELECT sum((c -> " position ")::int) FROM later_promises p, jsonb_array_elements(p.promises) c" \
	" WHERE (c -> 0)::bigint = a.fulfillment_id AND (c -> 1)::int = a.line_no), 0)"

#define LAST_STATE(type, id, otherwise) \
	"coalesce((SELECT e.to_state FROM {events} e WHERE e.order_id = $2 AND e.tenant_id = $1 AND e.at <= $3" \
	" AND e.object_type = '" type "' AND e.object_id = " id " AND e.to_state IS NOT NULL ORDER BY e.event_id DESC LIMIT 1), " otherwise ")"

#define LAST_DERIVED(key) \
	" '" key "', (SELECT coalesce(e.data -> 'derived' -> '" key "', e.data -> '" key "') FROM {events} e WHERE e.order_id = $2" \
	" AND e.tenant_id = $1 AND e.at <= $3" \
	" AND (e.data -> 'derived' ? '" key "'" \
	" OR (e.type IN ('order.placed', 'order.drafted', 'order.draft_edited') AND e.data ? '" key "'))" \
	" ORDER BY e.event_id DESC LIMIT 1)"

static OmsPlan as_of_plan = {
	.sql = "WITH base AS (SELECT coalesce((SELECT v.document FROM {order_versions} v WHERE v.order_id = $2 AND v.tenant_id = $1"
	" AND v.replaced_at > $3 ORDER BY v.version LIMIT 1), $4) AS document),"
	" later AS (SELECT e.data -> 'ledger' AS ledger FROM {events} e"
	" WHERE e.order_id = $2 AND e.tenant_id = $1 AND e.at > $3 AND e.data ? 'ledger'),"
	" later_returns AS (SELECT e.data -> 'returning' AS returning FROM {events} e"
	" WHERE e.order_id = $2 AND e.tenant_id = $1 AND e.at > $3 AND e.data ? 'returning'),"
	" later_promises AS (SELECT e.data -> 'promises' AS promises FROM {events} e"
	" WHERE e.order_id = $2 AND e.tenant_id = $1 AND e.at > $3 AND e.data ? 'promises')"
	" SELECT jsonb_strip_nulls((SELECT jsonb_object_agg(f.key, f.value) FROM base, jsonb_each(base.document) f WHERE f.key IN"
	" ('order_id', 'channel', 'external_ref', 'placed_at', 'currency', 'customer', 'bill_to', 'notes', 'attributes', 'risk',"
	" 'ordered_by', 'priority', 'ship_complete', 'adjustments', 'deliveries', 'kits', 'substitutions', 'exchange_of')) || jsonb_build_object("
	" 'version', o.version - (SELECT count(*) FROM {events} e WHERE e.order_id = $2 AND e.tenant_id = $1 AND e.at > $3"
	" AND e.object_type = 'order' AND (e.type IN ('order.edited', 'order.lines_cancelled', 'order.draft_edited') OR (e.from_state IS NOT NULL AND e.to_state IS NOT NULL))),"
	" 'status', " LAST_STATE("order", "$2", "o.status") ","
	LAST_DERIVED("payment_status") "," LAST_DERIVED("fulfillment_status") "," LAST_DERIVED("totals") ","
	" 'lines', CASE WHEN (SELECT document ->> 'status' FROM base) = 'draft' THEN (SELECT document -> 'lines' FROM base)"
	" ELSE (SELECT jsonb_agg(b.line || jsonb_build_object("
	AT_THAT_TIME("ordered", "1") "," AT_THAT_TIME("allocated", "2") "," AT_THAT_TIME("backordered", "3") ","
	AT_THAT_TIME("released", "4") "," AT_THAT_TIME("shipped", "5") "," AT_THAT_TIME("delivered", "6") ","
	AT_THAT_TIME("cancelled", "7") ","
	RETURNED_AT_THAT_TIME("return_requested", "1") "," RETURNED_AT_THAT_TIME("returned", "2") ","
	RETURNED_AT_THAT_TIME("written_off", "3") "," RETURNED_AT_THAT_TIME("replaced", "4")
	") ORDER BY b.n)"
	" FROM base, jsonb_array_elements(base.document -> 'lines') WITH ORDINALITY b(line, n)"
	" JOIN {order_lines} l ON l.order_id = $2 AND l.tenant_id = $1 AND l.line_no = (b.line -> 'line_no')::int) END,"
	" 'fulfillments', (SELECT jsonb_agg(jsonb_build_object('fulfillment_id', f.fulfillment_id, 'location', x.code, 'status', "
	LAST_STATE("fulfillment", "f.fulfillment_id", "'planned'") ", 'lines', (SELECT jsonb_agg(jsonb_build_object('line_no', a.line_no,"
	" 'quantity', a.promised - (" PROMISED_AT_THAT_TIME("cancelled", "4") "), 'picked', " PROMISED_AT_THAT_TIME("picked", "2") ","
	" 'shipped', " PROMISED_AT_THAT_TIME("shipped", "3") ", 'lot', a.lot) ORDER BY a.line_no) FROM {allocations} a"
	" WHERE a.order_id = $2 AND a.fulfillment_id = f.fulfillment_id AND a.tenant_id = $1 AND a.promised_at <= $3)) ORDER BY f.fulfillment_id) FROM {fulfillments} f"
	" LEFT JOIN {locations} x ON x.location_id = f.location_id AND x.tenant_id = $1"
	" WHERE f.order_id = $2 AND f.tenant_id = $1 AND f.planned_at <= $3 AND NOT EXISTS (SELECT FROM {events} e"
	" WHERE e.order_id = $2 AND e.tenant_id = $1 AND e.at > $3 AND e.type = 'fulfillment.split' AND e.object_id = f.fulfillment_id)),"
	" 'holds', (SELECT jsonb_agg(jsonb_build_object('hold_id', h.hold_id, 'type', h.hold_type, 'reason', h.reason,"
	" 'line_no', h.line_no, 'fulfillment_id', h.fulfillment_id, 'placed_at', h.placed_at, 'release_at', h.release_at)"
	" ORDER BY h.hold_id) FROM {holds} h WHERE h.order_id = $2 AND h.tenant_id = $1 AND h.placed_at <= $3"
	" AND (h.released_at IS NULL OR h.released_at > $3) AND (h.release_at IS NULL OR h.release_at > $3)),"
	" 'payments', (SELECT jsonb_agg(jsonb_build_object('payment_id', p.payment_id, 'method', p.method, 'status', "
	LAST_STATE("payment", "p.payment_id", "'pending'") ", 'events', (SELECT jsonb_agg(jsonb_build_object('type', e.type,"
	" 'amount', e.amount, 'reference', e.reference, 'at', e.at) ORDER BY e.at, e.type, e.reference) FROM {payment_events} e"
	" WHERE e.payment_id = p.payment_id AND e.tenant_id = $1 AND e.recorded_at <= $3)) ORDER BY p.payment_id)"
	" FROM {payments} p WHERE p.order_id = $2 AND p.tenant_id = $1 AND p.added_at <= $3),"
	" 'refunds', (SELECT jsonb_agg(jsonb_build_object('refund_id', r.refund_id, 'amount', r.amount, 'reason', r.reason, 'status', "
	LAST_STATE("refund", "r.refund_id", "r.status") ") ORDER BY r.refund_id)"
	" FROM {refunds} r WHERE r.order_id = $2 AND r.tenant_id = $1 AND r.granted_at <= $3),"
	" 'returns', (SELECT jsonb_agg(jsonb_build_object('return_id', r.return_id, 'reason', r.reason, 'requested_at', r.requested_at,"
	" 'lines', (SELECT jsonb_agg(jsonb_build_object('line_no', t.line_no, 'requested', t.requested, 'received',"
	" (SELECT coalesce(sum(x.quantity), 0) FROM {return_receipts} x WHERE x.return_id = r.return_id AND x.line_no = t.line_no"
	" AND x.tenant_id = $1 AND x.received_at <= $3)) ORDER BY t.line_no) FROM {return_lines} t"
	" WHERE t.return_id = r.return_id AND t.tenant_id = $1),"
	" 'status', " LAST_STATE("return", "r.return_id", "r.status") ") ORDER BY r.return_id)"
	" FROM {returns} r WHERE r.order_id = $2 AND r.tenant_id = $1 AND r.requested_at <= $3)))"
	" FROM {orders} o WHERE o.order_id = $2 AND o.tenant_id = $1 AND EXISTS (SELECT FROM {events} e WHERE e.order_id = $2"
	" AND e.tenant_id = $1 AND e.at <= $3)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID, JSONBOID)
};

static OmsPlan keep_plan = {
	.sql = "INSERT INTO {order_versions} (order_id, replaced_at, event_id, tenant_id, version, actor, document)"
	" SELECT $2, $3, coalesce(max(e.event_id), 0), $1, $4, $5, $6 FROM {events} e WHERE e.order_id = $2 AND e.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID, INT4OID, TEXTOID, JSONBOID)
};

/* Keeps a locked order as it is, before what was ordered changes; who changes it raises the version. */
void
oms_order_keep_version(const Order *order)
{
	Datum		values[6];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(order->order_id);
	values[2] = TimestampTzGetDatum(oms_call->now);
	values[3] = Int32GetDatum(order->version);
	values[4] = CStringGetTextDatum(oms_call->actor);
	values[5] = JsonbPGetDatum(oms_order_document(order->order_id));
	(void) oms_execute(&keep_plan, values, NULL);
}

static void
read_past(TupleTableSlot *slot, void *state)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, 1, &isnull);

	*(Jsonb **) state = DatumGetJsonbPCopy(value);
}

/*
 * oms.order_as_of(order_id, at) -> jsonb
 */
OMS_FUNCTION(oms_order_as_of, CALL_READ)
{
	int64		order_id = oms_argument_id(fcinfo, 0, "order_id");
	Jsonb	   *past = NULL;
	Datum		values[4];

	if (PG_ARGISNULL(1))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("argument at is required"),
				 errdetail("at: is null"),
				 errhint("oms.get_order shows the order as it is.")));
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(order_id);
	values[2] = PG_GETARG_DATUM(1);
	values[3] = JsonbPGetDatum(oms_order_document(order_id));
	(void) oms_execute_each(&as_of_plan, values, NULL, read_past, &past);
	if (past == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("order " INT64_FORMAT " did not exist at that time", order_id),
				 errdetail("at: the order was made after %s", timestamptz_to_str(PG_GETARG_TIMESTAMPTZ(1))),
				 errhint("oms.order_timeline shows its first event.")));
	PG_RETURN_JSONB_P(past);
}
