/*
 * scope.c
 *	  Which tenant, channels and locations the calling role may act for.
 *
 * Anybody can set oms.tenant, so the setting alone says nothing: the rows of
 * oms.role_scopes that name a role of the caller do.  A role without a row acts
 * for tenant 1, all channels and locations; superusers and the owner of the
 * tables act for everything.  What is out of scope looks unknown, but for what
 * a call counts on behalf of all (oms_call->unscoped).
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/acl.h"
#include "utils/memutils.h"

#include "call.h"
#include "relation.h"
#include "scope.h"

typedef struct ScopeRow
{
	Oid			role;
	int32		tenant;
	int64		channel_id;		/* 0: all */
	int64		location_id;	/* 0: all */
} ScopeRow;

/* The scope of the last caller; rebuilt when caller, tenant or rows change. */
static struct
{
	MemoryContext context;
	uint64		generation;
	Oid			user;
	int32		tenant;
	bool		permitted;
	bool		all_channels;
	bool		all_locations;
	List	   *rows;			/* of ScopeRow, those that apply */
}			scope;

static OmsPlan scopes_plan = {
	.sql = "SELECT role_name, tenant_id, channel_id, location_id FROM {role_scopes}",
	.kind = PLAN_FREE,
	.nargs = 0
};

static void
collect_scope(TupleTableSlot *slot, void *state)
{
	List	  **rows = state;
	ScopeRow   *row = palloc0(sizeof(ScopeRow));

	row->role = get_role_oid(oms_slot_text(slot, 1), true);
	row->tenant = oms_slot_int32(slot, 2);
	row->channel_id = oms_slot_int64(slot, 3);
	row->location_id = oms_slot_int64(slot, 4);
	if (OidIsValid(row->role))
		*rows = lappend(*rows, row);
}

static void
apply_rows(List *rows)
{
	ListCell   *cell;
	bool		named = false;

	scope.permitted = false;
	scope.all_channels = false;
	scope.all_locations = false;
	scope.rows = NIL;
	foreach(cell, rows)
	{
		ScopeRow   *row = lfirst(cell);

		if (!has_privs_of_role(scope.user, row->role))
			continue;
		named = true;
		if (row->tenant != scope.tenant)
			continue;
		scope.permitted = true;
		scope.all_channels |= row->channel_id == 0;
		scope.all_locations |= row->location_id == 0;
		scope.rows = lappend(scope.rows, row);
	}
	if (!named)
		scope.permitted = scope.all_channels = scope.all_locations = scope.tenant == 1;
}

static void
build_scope(void)
{
	uint64		generation = oms_configuration_generation();
	MemoryContext old;
	List	   *rows = NIL;

	if (scope.context == NULL)
		scope.context = AllocSetContextCreate(TopMemoryContext, "oms scope", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(scope.context);
	scope.generation = 0;
	scope.user = oms_call->user;
	scope.tenant = oms_call->tenant;
	old = MemoryContextSwitchTo(scope.context);
	if (superuser_arg(scope.user) || has_privs_of_role(scope.user, oms_relation_owner()))
	{
		scope.permitted = scope.all_channels = scope.all_locations = true;
		scope.rows = NIL;
	}
	else
	{
		(void) oms_execute_latest(&scopes_plan, NULL, collect_scope, &rows);
		apply_rows(rows);
	}
	MemoryContextSwitchTo(old);
	scope.generation = generation;
}

/* Refuses a tenant that the caller may not act for. */
void
oms_scope_check(void)
{
	if (scope.generation != oms_configuration_generation() ||
		scope.user != oms_call->user || scope.tenant != oms_call->tenant)
		build_scope();
	if (!scope.permitted)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("tenant %d is not known", oms_call->tenant),
				 errhint("An administrator adds a row to oms.role_scopes for the role that acts for it.")));
}

bool
oms_scope_channel(int64 channel_id)
{
	ListCell   *cell;

	if (scope.all_channels || oms_call->unscoped)
		return true;
	foreach(cell, scope.rows)
		if (((ScopeRow *) lfirst(cell))->channel_id == channel_id)
			return true;
	return false;
}

bool
oms_scope_location(int64 location_id)
{
	ListCell   *cell;

	if (scope.all_locations || oms_call->unscoped)
		return true;
	foreach(cell, scope.rows)
		if (((ScopeRow *) lfirst(cell))->location_id == location_id)
			return true;
	return false;
}
