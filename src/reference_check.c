/*
 * reference_check.c
 *	  An external reference names one object of its type: a line within its
 *	  order, all others within their tenant.
 *
 * Unique indexes, which have no entry for what has no reference, make it so
 * whoever writes and however many at once (init_find).  Calls look first, so
 * that they can say who has the reference; where another transaction takes it
 * after that, the error of the index becomes OM011, and the call that is
 * repeated learns who has it.  A call does not move references from one object
 * to another: they are free before it, or refused.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "call.h"
#include "document.h"
#include "reference_check.h"
#include "relation.h"

/* By id or by code, an object has its own reference already. */
#define TAKEN_PLAN(table, id, code, scope) \
	{.sql = "SELECT u.n, x." id " FROM unnest($2::text[], $3::bigint[], $4::text[]) WITH ORDINALITY u(reference, id, code, n)" \
		" JOIN {" table "} x ON x.external_ref = u.reference AND x.tenant_id = $1" scope \
		" WHERE (x." id " = u.id OR " code " = u.code) IS NOT TRUE", \
		.kind = PLAN_INDEXED, OMS_ARGTYPES(INT4OID, TEXTARRAYOID, INT8ARRAYOID, TEXTARRAYOID, INT8OID)}

static struct
{
	const char *type;
	OmsPlan		taken;
}			plans[] = {
	{"fulfillment", TAKEN_PLAN("fulfillments", "fulfillment_id", "NULL::text", "")},
	{"package", TAKEN_PLAN("packages", "package_id", "NULL::text", "")},
	{"payment", TAKEN_PLAN("payments", "payment_id", "NULL::text", "")},
	{"return", TAKEN_PLAN("returns", "return_id", "NULL::text", "")},
	{"hold", TAKEN_PLAN("holds", "hold_id", "NULL::text", "")},
	{"line", TAKEN_PLAN("order_lines", "line_no::bigint", "NULL::text", " AND x.order_id = $5")},
	{"location", TAKEN_PLAN("locations", "location_id", "x.code", "")},
	{"item", TAKEN_PLAN("items", "item_id", "x.sku", "")},
};

void
oms_reference_add(ReferenceList *list, char *reference, const char *place, int64 id, char *code)
{
	if (reference == NULL)
		return;
	if (list->count == list->capacity)
	{
		list->capacity = Max(8, list->capacity * 2);
		list->references = oms_grown(list->references, sizeof(char *) * list->capacity);
		list->places = oms_grown(list->places, sizeof(char *) * list->capacity);
		list->ids = oms_grown(list->ids, sizeof(int64) * list->capacity);
		list->codes = oms_grown(list->codes, sizeof(char *) * list->capacity);
	}
	list->references[list->count] = reference;
	list->places[list->count] = place;
	list->ids[list->count] = id;
	list->codes[list->count++] = code;
}

static void
read_owner(TupleTableSlot *slot, void *state)
{
	((int64 *) state)[oms_slot_int64(slot, 1) - 1] = oms_slot_int64(slot, 2);
}

/* Who else has the references of the list, 0: nobody. */
static int64 *
find_owners(const char *type, const ReferenceList *list, int64 order_id)
{
	int64	   *owners = palloc0(sizeof(int64) * list->count);
	Datum		values[5];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_text(list->references, list->count);
	values[2] = oms_array_int64(list->ids, list->count);
	values[3] = oms_array_text(list->codes, list->count);
	values[4] = Int64GetDatum(order_id);
	for (int i = 0; i < lengthof(plans); i++)
		if (strcmp(plans[i].type, type) == 0)
			(void) oms_execute_each(&plans[i].taken, values, NULL, read_owner, owners);
	return owners;
}

void
oms_references_check(const char *type, const ReferenceList *list, int64 order_id, FaultList *faults)
{
	const char *hint = strcmp(type, "line") == 0 ? "A reference names one line of its order."
		: "A reference names one object of its type; oms.set_external_ref takes it away from another.";
	bool	   *repeated;
	int64	   *owners;

	if (list->count == 0)
		return;
	repeated = oms_codes_repeated(list->references, list->count);
	owners = find_owners(type, list, order_id);
	for (int i = 0; i < list->count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (repeated[i])
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, hint, list->places[i], "\"%s\" stands there already", list->references[i]);
		else if (owners[i] != 0)
			oms_fault(faults, ERRCODE_OMS_IDEMPOTENCY, hint, list->places[i], "\"%s\" belongs to %s " INT64_FORMAT,
					  list->references[i], type, owners[i]);
	}
}

bool *
oms_references_refused(const char *type, const ReferenceList *list, int64 order_id)
{
	bool	   *refused;
	int64	   *owners;

	if (list->count == 0)
		return NULL;
	refused = oms_codes_repeated(list->references, list->count);
	owners = find_owners(type, list, order_id);
	for (int i = 0; i < list->count; i++)
		refused[i] |= owners[i] != 0;
	return refused;
}

/* The indexes are named after their tables. */
bool
oms_reference_raced(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_UNIQUE_VIOLATION && error->table_name != NULL && error->constraint_name != NULL &&
		strcmp(error->constraint_name, psprintf("%s_ref", error->table_name)) == 0;
}
