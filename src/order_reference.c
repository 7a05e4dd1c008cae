/*
 * order_reference.c
 *	  References of the orders of one call and of their payments, looked up at once.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "order_reference.h"
#include "payment.h"
#include "reference_check.h"
#include "relation.h"

static OmsPlan existing_plan = {
	.sql = "SELECT u.n FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY u(channel_id, external_ref, n)"
	" WHERE EXISTS (SELECT FROM {orders} o WHERE o.channel_id = u.channel_id AND o.external_ref = u.external_ref"
	" AND o.tenant_id = $1 OFFSET 0)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID)
};

static void
mark_existing(TupleTableSlot *slot, void *state)
{
	((bool *) state)[oms_slot_int64(slot, 1) - 1] = true;
}

bool *
oms_placements_existing(Placement *const *placements, int count)
{
	bool	   *exists = palloc0(sizeof(bool) * Max(1, count));
	int64	   *channels = palloc0(sizeof(int64) * Max(1, count));
	char	  **references = palloc0(sizeof(char *) * Max(1, count));
	Datum		values[3];

	for (int i = 0; i < count; i++)
	{
		Channel    *channel;

		if (placements[i] == NULL || placements[i]->document->external_ref == NULL)
			continue;
		channel = oms_channel_find(placements[i]->document->channel ? placements[i]->document->channel : "default");
		channels[i] = channel ? channel->channel_id : 0;
		references[i] = placements[i]->document->external_ref;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(channels, count);
	values[2] = oms_array_text(references, count);
	(void) oms_execute_each(&existing_plan, values, NULL, mark_existing, exists);
	return exists;
}

bool *
oms_placements_taken(Placement *const *placements, int count)
{
	ReferenceList list = {0};
	bool	   *taken = palloc0(sizeof(bool) * Max(1, count));
	bool	   *refused;
	int			at = 0;

	for (int i = 0; i < count; i++)
		for (int j = 0; placements[i] && j < placements[i]->document->payments.count; j++)
			oms_reference_add(&list, ((PaymentDocument *) placements[i]->document->payments.items)[j].external_ref, NULL, 0, NULL);
	refused = oms_references_refused("payment", &list, 0);
	for (int i = 0; i < count && at < list.count; i++)
		for (int j = 0; placements[i] && j < placements[i]->document->payments.count; j++)
			if (((PaymentDocument *) placements[i]->document->payments.items)[j].external_ref != NULL)
				taken[i] |= refused[at++];
	return taken;
}
