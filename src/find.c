/*
 * find.c
 *	  Orders by what they carry, and objects by the reference that other
 *	  systems know them by.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "nodes/pg_list.h"

#include "call.h"
#include "channel.h"
#include "configuration.h"
#include "document.h"
#include "event.h"
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
static Datum
visible_channels(const char *code)
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
	values[1] = visible_channels(oms_argument_text(fcinfo, 1));
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

/* ---- References ---- */

#define REFERENCE_PLANS(table, id) \
	.order_of = {.sql = "SELECT order_id FROM {" table "} WHERE " id " = $2 AND tenant_id = $1", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, INT8OID)}, \
	.find = {.sql = "SELECT x." id ", x.order_id FROM {" table "} x" \
		" JOIN {orders} o ON o.order_id = x.order_id AND o.tenant_id = $1" \
		" WHERE x.external_ref = $2 AND x.tenant_id = $1 AND o.channel_id = ANY ($3) ORDER BY 1", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, TEXTOID, INT8ARRAYOID)}, \
	.taken = {.sql = "SELECT " id " FROM {" table "} WHERE external_ref = $3 AND " id " <> $2 AND tenant_id = $1 LIMIT 1", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)}, \
	.set = {.sql = "UPDATE {" table "} SET external_ref = $3 WHERE " id " = $2 AND tenant_id = $1", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)}

typedef struct Referenced
{
	const char *type;
	OmsPlan		order_of;
	OmsPlan		find;
	OmsPlan		taken;
	OmsPlan		set;
} Referenced;

static Referenced referenced[] = {
	{.type = "fulfillment", REFERENCE_PLANS("fulfillments", "fulfillment_id")},
	{.type = "package", REFERENCE_PLANS("packages", "package_id")},
	{.type = "payment", REFERENCE_PLANS("payments", "payment_id")},
	{.type = "return", REFERENCE_PLANS("returns", "return_id")},
	{.type = "hold", REFERENCE_PLANS("holds", "hold_id")},
};

static Referenced *
referenced_type(const char *type)
{
	for (int i = 0; i < lengthof(referenced); i++)
		if (strcmp(referenced[i].type, type) == 0)
			return &referenced[i];
	ereport(ERROR,
			(errcode(ERRCODE_OMS_DOCUMENT),
			 errmsg("\"%s\" is not a type of object with a reference", type),
			 errdetail("object_type: is \"%s\"", type),
			 errhint("Types are fulfillment, package, payment, return and hold; oms.find_order finds orders.")));
}

static void
read_id(TupleTableSlot *slot, void *state)
{
	*(int64 *) state = oms_slot_int64(slot, 1);
}

/*
 * oms.set_external_ref(object_type, object_id, external_ref, idempotency_key) -> void
 */
OMS_FUNCTION(oms_set_external_ref, CALL_KEYED)
{
	Referenced *type = referenced_type(oms_argument_required(fcinfo, 0, "object_type"));
	int64		object_id = oms_argument_id(fcinfo, 1, "object_id");
	char	   *reference = PG_ARGISNULL(2) ? NULL : oms_argument_required(fcinfo, 2, "external_ref");
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(object_id)};
	char		nulls[4] = "   ";
	int64		order_id = 0;
	int64		other = 0;
	DocWriter	writer;

	(void) oms_execute_each(&type->order_of, values, NULL, read_id, &order_id);
	if (order_id == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("%s " INT64_FORMAT " is not known", type->type, object_id),
				 errdetail("object_id: there is no %s " INT64_FORMAT, type->type, object_id),
				 errhint("oms.get_order shows the parts of an order.")));
	(void) oms_order_lock(order_id);
	values[2] = oms_text_or_null(reference, &nulls[2]);
	if (reference != NULL)
		(void) oms_execute_each(&type->taken, values, NULL, read_id, &other);
	if (other != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_IDEMPOTENCY),
				 errmsg("%s " INT64_FORMAT " has the reference \"%s\"", type->type, other, reference),
				 errdetail("external_ref: belongs to %s " INT64_FORMAT, type->type, other),
				 errhint("A reference names one object of its type.")));
	(void) oms_execute(&type->set, values, nulls);
	oms_write_begin(&writer);
	oms_write_text(&writer, "external_ref", reference);
	oms_event(&(Event) {.order_id = order_id,.object_id = object_id,.object_type = type->type,
						.type = psprintf("%s.referenced", type->type),.data = oms_write_finish(&writer)});
	PG_RETURN_VOID();
}

/*
 * oms.find_object(object_type, external_ref) -> setof bigint
 */
OMS_FUNCTION(oms_find_object, CALL_READ)
{
	Referenced *type = referenced_type(oms_argument_required(fcinfo, 0, "object_type"));
	Datum		values[3] = {Int32GetDatum(oms_call->tenant),
	CStringGetTextDatum(oms_argument_required(fcinfo, 1, "external_ref")), visible_channels(NULL)};

	oms_return_rows(fcinfo, &type->find, values, NULL);
	*isnull = true;
	return (Datum) 0;
}
