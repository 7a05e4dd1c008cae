/*
 * find.c
 *	  Orders by what they carry.  Other objects are in reference.c.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"

#include "call.h"
#include "channel.h"
#include "configuration.h"
#include "document.h"
#include "find.h"
#include "order.h"
#include "relation.h"
#include "scope.h"

/* Orders that one search returns where nothing else is said, and at most. */
#define FIND_COUNT_DEFAULT 100
#define FIND_COUNT_MAX 10000

/*
 * One statement for each way in: by attributes, by customer, by time.  OFFSET 0
 * keeps the look-up below the rest: the newest orders, read one by one until
 * enough of them fit, are a good way only where nearly all do.
 */
#define FOUND_COLUMNS \
	"SELECT o.order_id, c.code, o.external_ref, o.status, o.payment_status, o.fulfillment_status, o.placed_at," \
	" o.currency, o.total, o.customer_ref, o.attributes FROM "
#define FOUND_FILTER \
	" JOIN {channels} c ON c.channel_id = o.channel_id AND c.tenant_id = $1" \
	" WHERE o.tenant_id = $1 AND o.channel_id = ANY ($2) AND ($3 IS NULL OR o.attributes @> $3)" \
	" AND ($4 IS NULL OR o.customer_ref = $4) AND ($5 IS NULL OR o.status = $5)" \
	" AND ($6 IS NULL OR o.placed_at >= $6) AND ($7 IS NULL OR o.placed_at < $7)" \
	" AND ($8 IS NULL OR o.order_id < $8) ORDER BY o.order_id DESC LIMIT $9"
#define FOUND_ARGTYPES \
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, JSONBOID, TEXTOID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT4OID)

static OmsPlan by_attributes_plan = {
	.sql = FOUND_COLUMNS "(SELECT * FROM {orders} WHERE tenant_id = $1 AND attributes @> $3 OFFSET 0) o" FOUND_FILTER,
	.kind = PLAN_FREE,
	FOUND_ARGTYPES
};

static OmsPlan by_customer_plan = {
	.sql = FOUND_COLUMNS "(SELECT * FROM {orders} WHERE tenant_id = $1 AND customer_ref = $4 OFFSET 0) o" FOUND_FILTER,
	.kind = PLAN_FREE,
	FOUND_ARGTYPES
};

static OmsPlan newest_plan = {
	.sql = FOUND_COLUMNS "{orders} o" FOUND_FILTER,
	.kind = PLAN_FREE,
	FOUND_ARGTYPES
};

/* The channels to look in: the one named, or all that the caller may see. */
Datum
oms_find_visible_channels(const char *code)
{
	List	   *channels = code ? list_make1(oms_channel_get(code)) : oms_configuration()->channels;
	int64	   *ids = palloc(sizeof(int64) * Max(1, list_length(channels)));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, channels)
		if (oms_scope_channel(((Channel *) lfirst(cell))->channel_id))
			ids[count++] = ((Channel *) lfirst(cell))->channel_id;
	return oms_array_int64(ids, count);
}

static void
check_search(FunctionCallInfo fcinfo, int32 max_count)
{
	oms_argument_positive(max_count, "max_count");
	if (max_count > FIND_COUNT_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("a search returns at most %d orders", FIND_COUNT_MAX),
				 errdetail("max_count: is %d", max_count),
				 errhint("Give the last order_id as argument before to go on from there.")));
	if (!PG_ARGISNULL(0) && !JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(0)))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("attributes must be an object"),
				 errdetail("attributes: is no object"),
				 errhint("Give the attributes that the orders contain.")));
}

/*
 * oms.find_orders(attributes, channel, customer_ref, status, placed_from, placed_to, before, max_count) -> setof
 */
OMS_FUNCTION(oms_find_orders, CALL_READ)
{
	int32		max_count = PG_ARGISNULL(7) ? FIND_COUNT_DEFAULT : PG_GETARG_INT32(7);
	OmsPlan    *plan = &newest_plan;
	Datum		values[9];
	char		nulls[10] = "         ";

	check_search(fcinfo, max_count);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_find_visible_channels(oms_argument_text(fcinfo, 1));
	values[2] = fcinfo->args[0].value;
	nulls[2] = PG_ARGISNULL(0) ? 'n' : ' ';
	for (int i = 2; i <= 6; i++)
	{
		values[i + 1] = fcinfo->args[i].value;
		nulls[i + 1] = PG_ARGISNULL(i) ? 'n' : ' ';
	}
	values[8] = Int32GetDatum(max_count);
	if (!PG_ARGISNULL(2))
		plan = &by_customer_plan;
	else if (!PG_ARGISNULL(0))
		plan = &by_attributes_plan;
	oms_return_rows(fcinfo, plan, values, nulls);
	*isnull = true;
	return (Datum) 0;
}
