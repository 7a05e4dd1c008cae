/*
 * stock_history.c
 *	  Stock as of any moment, from the ledger.
 *
 * Movements and promises carry the time at which the call began that made
 * them.  So the answer for a moment is what the counters were when every call
 * that began until then had ended, and no later one had begun: it is final as
 * soon as the last call from before that moment has ended, and the same ever
 * after.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/tuplestore.h"

#include "call.h"
#include "item.h"
#include "location.h"
#include "relation.h"
#include "scope.h"
#include "stock_state.h"

#define OF_ASKED " AND ($3::bigint IS NULL OR location_id = $3) AND ($4::bigint IS NULL OR item_id = $4)"

static OmsPlan as_of_plan = {
	.sql = "SELECT h.location_id, l.code, i.sku, h.state, h.units, h.reserved FROM ("
	"SELECT item_id, location_id, state, sum(units)::bigint AS units, sum(reserved)::bigint AS reserved FROM ("
	"SELECT item_id, location_id, '" STATE_SELLABLE "', on_hand_delta, reserved_delta FROM {stock_movements}"
	" WHERE tenant_id = $1 AND at <= $2" OF_ASKED
	" UNION ALL SELECT item_id, location_id, state, state_delta, 0 FROM {stock_movements}"
	" WHERE tenant_id = $1 AND at <= $2 AND state IS NOT NULL" OF_ASKED
	" UNION ALL SELECT item_id, location_id, '" STATE_SELLABLE "', 0, promised FROM {allocations}"
	" WHERE tenant_id = $1 AND promised_at <= $2 AND location_id IS NOT NULL" OF_ASKED
	") u(item_id, location_id, state, units, reserved) GROUP BY item_id, location_id, state"
	" HAVING sum(units) <> 0 OR sum(reserved) <> 0) h"
	" JOIN {items} i ON i.item_id = h.item_id AND i.tenant_id = $1"
	" JOIN {locations} l ON l.location_id = h.location_id AND l.tenant_id = $1 ORDER BY l.code, i.sku, h.state",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, INT8OID, INT8OID)
};

static void
put_row(TupleTableSlot *slot, void *state)
{
	ReturnSetInfo *result = state;
	Datum		values[5];
	bool		nulls[5] = {false};

	if (!oms_scope_location(oms_slot_int64(slot, 1)))
		return;
	for (int i = 0; i < 5; i++)
		values[i] = oms_slot_datum(slot, 2 + i, &nulls[i]);
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

/*
 * oms.stock_as_of(at, location, sku) -> setof (location, sku, state, on_hand, reserved)
 */
OMS_FUNCTION(oms_stock_as_of, CALL_READ)
{
	Datum		values[4] = {Int32GetDatum(oms_call->tenant)};
	char		nulls[5] = "  nn";

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("argument at is required"),
				 errdetail("at: is null"),
				 errhint("Give the moment to look at.")));
	values[1] = PG_GETARG_DATUM(0);
	if (!PG_ARGISNULL(1))
	{
		values[2] = Int64GetDatum(oms_location_get(oms_argument_required(fcinfo, 1, "location"))->location_id);
		nulls[2] = ' ';
	}
	if (!PG_ARGISNULL(2))
	{
		values[3] = Int64GetDatum(oms_item_get(oms_argument_required(fcinfo, 2, "sku"))->item_id);
		nulls[3] = ' ';
	}
	InitMaterializedSRF(fcinfo, 0);
	(void) oms_execute_each(&as_of_plan, values, nulls, put_row, fcinfo->resultinfo);
	*isnull = true;
	return (Datum) 0;
}
