/*
 * reference.c
 *	  Objects by the reference that other systems know them by, and what their
 *	  users note at them: custom attributes.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "configuration.h"
#include "document.h"
#include "event.h"
#include "find.h"
#include "order.h"
#include "reference_check.h"
#include "relation.h"
#include "scope.h"

/* Parts of orders: $3 are the channels that the caller may see. */
#define PART_PLANS(table, id) \
	.of_order = true, \
	.owner = {.sql = "SELECT order_id, 0::bigint FROM {" table "} WHERE " id " = $2 AND tenant_id = $1", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, INT8OID)}, \
	.find = {.sql = "SELECT x." id ", x.order_id FROM {" table "} x" \
		" JOIN {orders} o ON o.order_id = x.order_id AND o.tenant_id = $1" \
		" WHERE x.external_ref = $2 AND x.tenant_id = $1 AND o.channel_id = ANY ($3) ORDER BY 1", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, TEXTOID, INT8ARRAYOID)}

/* Objects of a location ($3: those that the caller may see). */
#define PLACED_PLANS(table, id, location, reference) \
	.owner = {.sql = "SELECT 0::bigint, " location " FROM {" table "} WHERE " id " = $2 AND tenant_id = $1", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, INT8OID)}, \
	.find = {.sql = "SELECT x." id ", NULL::bigint FROM {" table "} x WHERE x." reference " = $2 AND x.tenant_id = $1" \
		" AND x." location " = ANY ($3) ORDER BY 1", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, TEXTOID, INT8ARRAYOID)}

#define REFERENCE_PLANS(table, id) \
	.set = {.sql = "UPDATE {" table "} SET external_ref = $3 WHERE " id " = $2 AND tenant_id = $1", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)}

#define ATTRIBUTE_PLANS(table, id) \
	.note = {.sql = "UPDATE {" table "} SET attributes = $3 WHERE " id " = $2 AND tenant_id = $1", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID)}

typedef struct Referenced
{
	const char *name;
	bool		of_order;
	OmsPlan		owner;			/* order and location of an object, 0: none */
	OmsPlan		find;
	OmsPlan		set;			/* without statement: its own calls give it its reference */
	OmsPlan		note;			/* without: its own calls set its attributes */
} Referenced;

static Referenced types[] = {
	{.name = "fulfillment", PART_PLANS("fulfillments", "fulfillment_id"), REFERENCE_PLANS("fulfillments", "fulfillment_id"),
	ATTRIBUTE_PLANS("fulfillments", "fulfillment_id")},
	{.name = "package", PART_PLANS("packages", "package_id"), REFERENCE_PLANS("packages", "package_id"),
	ATTRIBUTE_PLANS("packages", "package_id")},
	{.name = "payment", PART_PLANS("payments", "payment_id"), REFERENCE_PLANS("payments", "payment_id"),
	ATTRIBUTE_PLANS("payments", "payment_id")},
	{.name = "return", PART_PLANS("returns", "return_id"), REFERENCE_PLANS("returns", "return_id"),
	ATTRIBUTE_PLANS("returns", "return_id")},
	{.name = "hold", PART_PLANS("holds", "hold_id"), REFERENCE_PLANS("holds", "hold_id"), ATTRIBUTE_PLANS("holds", "hold_id")},
	{.name = "line", PART_PLANS("order_lines", "line_no::bigint")},
	{.name = "supply", PLACED_PLANS("supplies", "supply_id", "location_id", "reference"), ATTRIBUTE_PLANS("supplies", "supply_id")},
	{.name = "transfer", PLACED_PLANS("transfers", "transfer_id", "from_location_id", "reference"),
	ATTRIBUTE_PLANS("transfers", "transfer_id")},
	{.name = "location", PLACED_PLANS("locations", "location_id", "location_id", "external_ref"),
	REFERENCE_PLANS("locations", "location_id")},
	{.name = "item",
		.owner = {.sql = "SELECT 0::bigint, 0::bigint FROM {items} WHERE item_id = $2 AND tenant_id = $1",
			.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, INT8OID)},
		.find = {.sql = "SELECT x.item_id, NULL::bigint FROM {items} x WHERE x.external_ref = $2 AND x.tenant_id = $1 AND $3 IS NOT NULL",
			.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, TEXTOID, INT8ARRAYOID)},
	REFERENCE_PLANS("items", "item_id")},
};

/* What a call may be about: all types, or those that have a plan. */
static Referenced *
type_named(const char *name, size_t plan, const char *names)
{
	for (int i = 0; i < lengthof(types); i++)
		if (strcmp(types[i].name, name) == 0 && ((OmsPlan *) ((char *) &types[i] + plan))->sql != NULL)
			return &types[i];
	ereport(ERROR,
			(errcode(ERRCODE_OMS_DOCUMENT),
			 errmsg("\"%s\" is not a type of object for this", name),
			 errdetail("object_type: is \"%s\"", name),
			 errhint("Types are %s.", names)));
}

typedef struct Owner
{
	bool		found;
	int64		order_id;
	int64		location_id;
} Owner;

static void
read_owner(TupleTableSlot *slot, void *state)
{
	Owner	   *owner = state;

	owner->found = true;
	owner->order_id = oms_slot_int64(slot, 1);
	owner->location_id = oms_slot_int64(slot, 2);
}

/* The order of an object, locked, 0 where it has none; refuses what the caller may not see. */
static int64
lock_owner(Referenced *type, int64 object_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(object_id)};
	Owner		owner = {0};

	(void) oms_execute_each(&type->owner, values, NULL, read_owner, &owner);
	if (!owner.found || (owner.location_id != 0 && !oms_scope_location(owner.location_id)))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("%s " INT64_FORMAT " is not known", type->name, object_id),
				 errdetail("object_id: there is no %s " INT64_FORMAT, type->name, object_id),
				 errhint("oms.get_order shows the parts of an order.")));
	if (owner.order_id != 0)
		(void) oms_order_lock(owner.order_id);
	return owner.order_id;
}

/*
 * oms.set_external_ref(object_type, object_id, external_ref, idempotency_key) -> void
 */
OMS_FUNCTION(oms_set_external_ref, CALL_KEYED)
{
	Referenced *type = type_named(oms_argument_required(fcinfo, 0, "object_type"), offsetof(Referenced, set),
								  "fulfillment, package, payment, return, hold, item and location; oms.edit_order sets those of lines");
	int64		object_id = oms_argument_id(fcinfo, 1, "object_id");
	char	   *reference = PG_ARGISNULL(2) ? NULL : oms_argument_required(fcinfo, 2, "external_ref");
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(object_id)};
	char		nulls[4] = "   ";
	int64		order_id = lock_owner(type, object_id);
	ReferenceList references = {0};
	FaultList	faults;
	DocWriter	writer;

	values[2] = oms_text_or_null(reference, &nulls[2]);
	oms_faults_init(&faults);
	oms_reference_add(&references, reference, "external_ref", object_id, NULL);
	oms_references_check(type->name, &references, 0, &faults);
	oms_faults_raise(&faults, "the reference is taken");
	(void) oms_execute(&type->set, values, nulls);
	oms_write_begin(&writer);
	oms_write_text(&writer, "external_ref", reference);
	oms_event(&(Event) {.order_id = order_id,.object_id = object_id,.object_type = type->name,
						.type = psprintf("%s.referenced", type->name),.data = oms_write_finish(&writer)});
	PG_RETURN_VOID();
}

/* The locations that the caller may see. */
static Datum
visible_locations(void)
{
	HTAB	   *locations = oms_configuration()->locations_by_id;
	int64	   *ids = palloc(sizeof(int64) * Max(1, hash_get_num_entries(locations)));
	HASH_SEQ_STATUS scan;
	LocationById *entry;
	int			count = 0;

	hash_seq_init(&scan, locations);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (oms_scope_location(entry->location->location_id))
			ids[count++] = entry->location->location_id;
	return oms_array_int64(ids, count);
}

/*
 * oms.find_object(object_type, external_ref) -> setof (object_id, order_id)
 */
OMS_FUNCTION(oms_find_object, CALL_READ)
{
	Referenced *type = type_named(oms_argument_required(fcinfo, 0, "object_type"), offsetof(Referenced, find),
								  "fulfillment, package, payment, return, hold, line, supply, transfer, location and item;"
								  " oms.find_order finds orders");
	Datum		values[3] = {Int32GetDatum(oms_call->tenant),
	CStringGetTextDatum(oms_argument_required(fcinfo, 1, "external_ref"))};

	values[2] = type->of_order ? oms_find_visible_channels(NULL) : visible_locations();
	oms_return_rows(fcinfo, &type->find, values, NULL);
	*isnull = true;
	return (Datum) 0;
}

/*
 * oms.set_attributes(object_type, object_id, attributes, idempotency_key) -> void
 */
OMS_FUNCTION(oms_set_attributes, CALL_KEYED)
{
	Referenced *type = type_named(oms_argument_required(fcinfo, 0, "object_type"), offsetof(Referenced, note),
								  "fulfillment, package, payment, return, hold, supply and transfer; orders and lines are edited,"
								  " items, locations and channels upserted");
	int64		object_id = oms_argument_id(fcinfo, 1, "object_id");
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(object_id)};
	int64		order_id;
	DocWriter	writer;

	if (!PG_ARGISNULL(2) && !JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(2)))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("attributes must be an object"),
				 errdetail("attributes: is no object"),
				 errhint("Null takes them away.")));
	order_id = lock_owner(type, object_id);
	values[2] = PG_ARGISNULL(2) ? (Datum) 0 : PG_GETARG_DATUM(2);
	(void) oms_execute(&type->note, values, PG_ARGISNULL(2) ? "  n" : NULL);
	oms_write_begin(&writer);
	if (PG_ARGISNULL(2))
		oms_write_null(&writer, "attributes");
	else
		oms_write_jsonb(&writer, "attributes", PG_GETARG_JSONB_P(2));
	oms_event(&(Event) {.order_id = order_id,.object_id = object_id,.object_type = type->name,
						.type = psprintf("%s.described", type->name),.data = oms_write_finish(&writer)});
	PG_RETURN_VOID();
}
