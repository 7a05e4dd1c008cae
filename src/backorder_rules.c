/*
 * backorder_rules.c
 *	  Which promises are withdrawn first, and which orders get units first: one
 *	  row per tenant, without one the defaults of the table.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "backorder_rules.h"
#include "call.h"
#include "relation.h"

static OmsPlan read_plan = {
	.sql = "SELECT withdraw_order, withdrawn = 'replan', fill_order, overtakes_max FROM {backorder_rules} WHERE tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID)
};

/* What orders are filled by; of equals the one that was placed first. */
static const char *const fill_orders[] = {"date", "first_come", "priority", "margin"};

static void
read_rules(TupleTableSlot *slot, void *state)
{
	BackorderRules *rules = state;
	char	   *order = oms_slot_text(slot, 1);

	rules->withdraw_order = strcmp(order, "lowest_priority") == 0 ? WITHDRAW_LOWEST_PRIORITY
		: strcmp(order, "latest_date") == 0 ? WITHDRAW_LATEST_DATE : WITHDRAW_NEWEST;
	rules->replans = oms_slot_bool(slot, 2);
	rules->fill_order = oms_slot_text(slot, 3);
	rules->overtakes_max = oms_slot_int32(slot, 4);
}

BackorderRules
oms_backorder_rules(void)
{
	BackorderRules rules = {.withdraw_order = WITHDRAW_NEWEST,.fill_order = "date",.overtakes_max = 3};
	Datum		tenant = Int32GetDatum(oms_call->tenant);

	(void) oms_execute_each(&read_plan, &tenant, NULL, read_rules, &rules);
	return rules;
}

/* Refuses an order to fill by that there is not. */
void
oms_backorder_check_order(const char *fill_order)
{
	for (int i = 0; i < lengthof(fill_orders); i++)
		if (strcmp(fill_orders[i], fill_order) == 0)
			return;
	ereport(ERROR,
			(errcode(ERRCODE_OMS_DOCUMENT),
			 errmsg("\"%s\" is not an order to fill by", fill_order),
			 errdetail("order_by: must be date, first_come, priority or margin"),
			 errhint("Leave it out for the one of backorder_rules.")));
}
