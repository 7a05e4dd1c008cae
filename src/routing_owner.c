/*
 * routing_owner.c
 *	  Statements of a routing policy's owner, run with its rights.
 *
 * They belong to the role that saved the policy, whoever places the order.  They
 * read only, whatever functions they call, and are stopped after
 * oms.routing_rule_timeout.  An error in one does not end the transaction: its
 * text is the answer.
 */
#include "oms.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/acl.h"
#include "utils/memutils.h"
#include "utils/timeout.h"

#include "call.h"
#include "routing_owner.h"

/* Statements that one backend keeps. */
#define KEPT_MAX		64

typedef struct KeptStatement
{
	char	   *sql;
	Oid			role;
	SPIPlanPtr	plan;
} KeptStatement;

static KeptStatement kept[KEPT_MAX];
static int	kept_count = 0;

static TimeoutId rule_timeout = MAX_TIMEOUTS;
static volatile sig_atomic_t timed_out = false;

static void
forget_statements(void)
{
	while (kept_count > 0)
	{
		KeptStatement *statement = &kept[--kept_count];

		SPI_freeplan(statement->plan);
		pfree(statement->sql);
	}
}

/* The plan of a statement that was kept for a role; NULL: none. */
SPIPlanPtr
oms_owner_kept(const char *sql, Oid role)
{
	for (int i = 0; i < kept_count; i++)
		if (kept[i].role == role && strcmp(kept[i].sql, sql) == 0)
			return kept[i].plan;
	return NULL;
}

void
oms_owner_keep(const char *sql, Oid role, SPIPlanPtr plan)
{
	KeptStatement *statement;

	if (kept_count == KEPT_MAX)
		forget_statements();
	statement = &kept[kept_count];
	statement->sql = MemoryContextStrdup(TopMemoryContext, sql);
	statement->role = role;
	statement->plan = plan;
	if (SPI_keepplan(plan) != 0)
		elog(ERROR, "statement could not be kept");
	kept_count++;
}

/* ---- Running ---- */

static void
end_time(void)
{
	timed_out = true;
	InterruptPending = true;
	QueryCancelPending = true;
	SetLatch(MyLatch);
}

static void
begin_time(void)
{
	if (rule_timeout == MAX_TIMEOUTS)
		rule_timeout = RegisterTimeout(USER_TIMEOUT, end_time);
	timed_out = false;
	enable_timeout_after(rule_timeout, oms_routing_rule_timeout_setting);
}

/* A cancel of ours that came too late must not hit what follows. */
static void
stop_time(void)
{
	disable_timeout(rule_timeout, false);
	if (timed_out)
		QueryCancelPending = false;
}

/* Runs a statement inside oms_owner_run; its rows are in SPI_tuptable. */
int
oms_owner_query(SPIPlanPtr plan, Datum *values, const char *nulls)
{
	int			rc;

	begin_time();
	rc = SPI_execute_plan(plan, values, nulls, true, 0);
	stop_time();
	if (rc != SPI_OK_SELECT)
		elog(ERROR, "a statement of the policy failed with %s", SPI_result_code_string(rc));
	return (int) SPI_processed;
}

/* Errors that say nothing about the work. */
static bool
is_outside(const ErrorData *error)
{
	int			category = ERRCODE_TO_CATEGORY(error->sqlerrcode);

	return (category == ERRCODE_OPERATOR_INTERVENTION && !timed_out) ||
		category == ERRCODE_TRANSACTION_ROLLBACK || category == ERRCODE_INSUFFICIENT_RESOURCES ||
		error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE;
}

/*
 * Runs work with the rights of the role.  NULL where it went well, else why
 * it did not.
 */
char *
oms_owner_run(const char *owner, OwnerWork work, void *state)
{
	Oid			role = get_role_oid(owner, true);
	MemoryContext context = CurrentMemoryContext;
	volatile bool read_only = oms_read_only;
	OmsAttempt	attempt;
	Oid			user;
	int			security_context;
	char	   *volatile failure = NULL;

	if (!OidIsValid(role))
		return psprintf("role \"%s\" does not exist", owner);
	GetUserIdAndSecContext(&user, &security_context);
	timed_out = false;
	oms_attempt_begin(&attempt);
	PG_TRY();
	{
		/* Until the subtransaction ends: no function that is called may write either. */
		XactReadOnly = true;
		SetUserIdAndSecContext(role, security_context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
		work(state, role);
		SetUserIdAndSecContext(user, security_context);
		oms_attempt_keep(&attempt);
	}
	PG_CATCH();
	{
		ErrorData  *error;

		if (rule_timeout != MAX_TIMEOUTS)
			disable_timeout(rule_timeout, false);
		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		if (is_outside(error))
			PG_RE_THROW();
		FlushErrorState();
		if (timed_out)
			QueryCancelPending = false;
		oms_attempt_undo(&attempt);
		SetUserIdAndSecContext(user, security_context);
		failure = timed_out ? psprintf("it took longer than oms.routing_rule_timeout, %d ms", oms_routing_rule_timeout_setting)
			: error->message;
	}
	PG_END_TRY();
	oms_read_only = read_only;
	return failure;
}
