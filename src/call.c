/*
 * call.c
 *	  The frame around every public function: version check, tenant and scope,
 *	  the owner's rights, the idempotency key, events at the end, and errors of
 *	  concurrency in our own terms.
 *
 * The caller's rights are checked first (EXECUTE by the server, tenant by
 * scope.c); then the call works with the rights of the role that owns the
 * tables, as the foreign key triggers of the server do.  An error returns the
 * caller's identity through the server's own transaction abort.
 */
#include "oms.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "storage/proc.h"
#include "utils/acl.h"
#include "utils/lsyscache.h"

#include "call.h"
#include "call_rows.h"
#include "clock.h"
#include "event.h"
#include "machine.h"
#include "reference_check.h"
#include "relation.h"
#include "scope.h"

OmsCall    *oms_call = NULL;

static OmsPlan claim_key_plan = {
	.sql = "INSERT INTO {idempotency_keys} (tenant_id, key, function, arguments_hash, at)"
	" VALUES ($1, $2, $3, $4, $5) ON CONFLICT (tenant_id, key) DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID, TEXTOID, INT8OID, TIMESTAMPTZOID)
};

static OmsPlan read_key_plan = {
	.sql = "SELECT function, arguments_hash, answer FROM {idempotency_keys}"
	" WHERE tenant_id = $1 AND key = $2",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

static OmsPlan answer_key_plan = {
	.sql = "UPDATE {idempotency_keys} SET answer = $3 WHERE tenant_id = $1 AND key = $2",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID, TEXTOID)
};

static OmsPlan drop_key_plan = {
	.sql = "DELETE FROM {idempotency_keys} WHERE tenant_id = $1 AND key = $2",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

typedef struct KeyState
{
	char	   *key;			/* NULL: the call has none */
	char	   *function;
	int64		hash;
	bool		found;
	char	   *used_by;		/* function and arguments of the call that has it */
	int64		used_with;
	char	   *answer;
} KeyState;

static void
read_key_row(TupleTableSlot *slot, void *state)
{
	KeyState   *key = state;

	key->found = true;
	key->used_by = oms_slot_text(slot, 1);
	key->used_with = oms_slot_int64(slot, 2);
	key->answer = oms_slot_text(slot, 3);
}

/* Hash over the text form of all arguments but the key. */
static int64
hash_arguments(FunctionCallInfo fcinfo)
{
	uint64		hash = 0;

	for (int i = 0; i < PG_NARGS() - 1; i++)
	{
		Oid			output;
		bool		varlena;
		char	   *text = "";

		if (!PG_ARGISNULL(i))
		{
			getTypeOutputInfo(get_fn_expr_argtype(fcinfo->flinfo, i), &output, &varlena);
			text = OidOutputFunctionCall(output, PG_GETARG_DATUM(i));
		}
		hash = hash_combine64(hash, hash_bytes_extended((unsigned char *) text, strlen(text),
														PG_ARGISNULL(i) ? 1 : 2));
	}
	return (int64) hash;
}

/*
 * Claims the key.  The insert waits for another call that holds the same key;
 * when that one committed, its answer is ours and true is returned.
 */
static bool
claim_key(FunctionCallInfo fcinfo, KeyState *key)
{
	Datum		values[5];

	if (strlen(key->key) == 0 || strlen(key->key) > OMS_CODE_BYTES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("idempotency key has %zu bytes", strlen(key->key)),
				 errdetail("1 to %d bytes are allowed.", OMS_CODE_BYTES_MAX),
				 errhint("Use a UUID.")));
	key->function = get_func_name(fcinfo->flinfo->fn_oid);
	key->hash = hash_arguments(fcinfo);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = CStringGetTextDatum(key->key);
	values[2] = CStringGetTextDatum(key->function);
	values[3] = Int64GetDatum(key->hash);
	values[4] = TimestampTzGetDatum(oms_call->now);
	if (oms_execute(&claim_key_plan, values, NULL) == 1)
		return false;
	(void) oms_execute_each(&read_key_plan, values, NULL, read_key_row, key);
	if (!key->found)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("idempotency key \"%s\" is being used by another transaction", key->key),
				 errhint("Repeat the transaction.")));
	if (strcmp(key->used_by, key->function) != 0 || key->used_with != key->hash)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_IDEMPOTENCY),
				 errmsg("idempotency key \"%s\" was used with other arguments", key->key),
				 errdetail("It belongs to a call of %s.", key->used_by),
				 errhint("Use a new key for a new request.")));
	return true;
}

static void
keep_answer(FunctionCallInfo fcinfo, KeyState *key, Datum result, bool isnull)
{
	Datum		values[3];
	char		nulls[4] = "   ";
	Oid			output;
	bool		varlena;
	Oid			type = get_func_rettype(fcinfo->flinfo->fn_oid);

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = CStringGetTextDatum(key->key);
	values[2] = (Datum) 0;
	if (oms_call->dry_run)
	{
		(void) oms_execute(&drop_key_plan, values, NULL);
		return;
	}
	if (fcinfo->flinfo->fn_retset)
		values[2] = oms_rows_keep((ReturnSetInfo *) fcinfo->resultinfo);
	else if (isnull || type == VOIDOID)
		nulls[2] = 'n';
	else
	{
		getTypeOutputInfo(type, &output, &varlena);
		values[2] = CStringGetTextDatum(OidOutputFunctionCall(output, result));
	}
	(void) oms_execute(&answer_key_plan, values, nulls);
}

static Datum
kept_answer(FunctionCallInfo fcinfo, KeyState *key, bool *isnull)
{
	Oid			input;
	Oid			parameter;
	Oid			type = get_func_rettype(fcinfo->flinfo->fn_oid);

	*isnull = fcinfo->flinfo->fn_retset || (key->answer == NULL && type != VOIDOID);
	if (fcinfo->flinfo->fn_retset)
		oms_rows_return(fcinfo, key->answer);
	if (fcinfo->flinfo->fn_retset || key->answer == NULL)
		return (Datum) 0;
	getTypeInputInfo(type, &input, &parameter);
	return OidInputFunctionCall(input, key->answer, parameter, -1);
}

static Datum
run_body(FunctionCallInfo fcinfo, OmsCallMode mode, OmsBody body, bool *isnull)
{
	KeyState	key = {0};
	Datum		result;

	if (mode == CALL_KEYED)
		key.key = oms_argument_text(fcinfo, PG_NARGS() - 1);
	if (key.key != NULL && claim_key(fcinfo, &key))
		return kept_answer(fcinfo, &key, isnull);
	result = body(fcinfo, isnull);
	oms_channel_levels_write();
	oms_events_flush();
	if (oms_call->hooks != NIL)
	{
		oms_machine_run_hooks();
		oms_events_flush();
	}
	if (key.key != NULL)
		keep_answer(fcinfo, &key, result, *isnull);
	return result;
}

/*
 * Ends the attempts (oms_attempt_begin) that an error left open.  A caller who
 * catches the error rolls back one subtransaction, and that must be its own.
 */
static void
undo_attempts(int level)
{
	while (GetCurrentTransactionNestLevel() > level)
		RollbackAndReleaseCurrentSubTransaction();
}

/* Whether somebody else was faster. */
static bool
is_concurrent(const ErrorData *error)
{
	return error->sqlerrcode == ERRCODE_T_R_SERIALIZATION_FAILURE || error->sqlerrcode == ERRCODE_T_R_DEADLOCK_DETECTED ||
		error->sqlerrcode == ERRCODE_LOCK_NOT_AVAILABLE || oms_reference_raced(error);
}

/* Errors that mean so become OM011, which says what to do; everything else goes on as it is. */
static void
rethrow(MemoryContext context, int level)
{
	ErrorData  *error;

	MemoryContextSwitchTo(context);
	error = CopyErrorData();
	FlushErrorState();
	undo_attempts(level);
	MemoryContextSwitchTo(context);
	if (!is_concurrent(error))
		ReThrowError(error);
	ereport(ERROR,
			(errcode(ERRCODE_OMS_CONCURRENT),
			 errmsg("another transaction changed the same rows"),
			 errdetail("%s", error->message),
			 errhint("Repeat the transaction.")));
}

static char *
actor_name(void)
{
	if (oms_actor_setting != NULL && oms_actor_setting[0] != '\0')
		return oms_actor_setting;
	return GetUserNameFromId(GetSessionUserId(), false);
}

/*
 * Runs the body of a public function.  It runs in the caller's memory context
 * with SPI connected, so what it allocates outlives SPI_finish.
 */
Datum
oms_call_run(FunctionCallInfo fcinfo, OmsCallMode mode, OmsBody body)
{
	OmsCall    *volatile outer = oms_call;
	volatile bool outer_read_only = oms_read_only;
	volatile bool outer_in_call = oms_in_call;
	volatile int outer_lock_timeout = LockTimeout;
	MemoryContext context = CurrentMemoryContext;
	int			level = GetCurrentTransactionNestLevel();
	OmsCall		call = {0};
	EventList	events;
	int			security_context;
	bool		isnull = false;
	volatile Datum result = (Datum) 0;

	/* Only the outermost call of a transaction can find the tables missing. */
	SPI_connect();
	MemoryContextSwitchTo(context);
	oms_read_only = mode == CALL_READ;
	PG_TRY();
	{
		oms_relation_check();
		GetUserIdAndSecContext(&call.user, &security_context);
		call.tenant = oms_tenant_setting;
		call.now = oms_now();
		call.actor = actor_name();
		oms_events_init(&events);
		call.events = &events;
		call.context = context;
		call.outer = outer;
		SetUserIdAndSecContext(oms_relation_owner(),
							   security_context | SECURITY_LOCAL_USERID_CHANGE);
		oms_call = &call;
		oms_in_call = true;
		if (LockTimeout == 0)
			LockTimeout = oms_lock_timeout_setting;
		oms_scope_check();
		result = run_body(fcinfo, mode, body, &isnull);
		SetUserIdAndSecContext(call.user, security_context);
	}
	PG_CATCH();
	{
		oms_call = outer;
		oms_read_only = outer_read_only;
		oms_in_call = outer_in_call;
		LockTimeout = outer_lock_timeout;
		rethrow(context, level);
	}
	PG_END_TRY();

	oms_call = outer;
	oms_read_only = outer_read_only;
	oms_in_call = outer_in_call;
	LockTimeout = outer_lock_timeout;
	SPI_finish();
	fcinfo->isnull = isnull;
	return result;
}

/*
 * Row locks are taken in one order.  A plan that turns out wrong when its rows
 * are locked would have to lock others, perhaps before those it holds; so it
 * is tried inside a subtransaction, whose undoing gives the locks back.
 */
void
oms_attempt_begin(OmsAttempt *attempt)
{
	attempt->context = CurrentMemoryContext;
	attempt->owner = CurrentResourceOwner;
	attempt->events = oms_call->events->count;
	attempt->notes = oms_call->events->note_count;
	attempt->hooks = list_length(oms_call->hooks);
	attempt->level_items = oms_call->level_items.count;
	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(attempt->context);
}

void
oms_attempt_keep(OmsAttempt *attempt)
{
	ReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(attempt->context);
	CurrentResourceOwner = attempt->owner;
}

void
oms_attempt_undo(OmsAttempt *attempt)
{
	RollbackAndReleaseCurrentSubTransaction();
	MemoryContextSwitchTo(attempt->context);
	CurrentResourceOwner = attempt->owner;
	oms_call->events->count = attempt->events;
	oms_call->events->note_count = attempt->notes;
	oms_call->hooks = list_truncate(oms_call->hooks, attempt->hooks);
	oms_call->level_items.count = attempt->level_items;
}

/* Errors that are not about the work at hand: nobody may swallow them. */
static bool
ends_the_call(int sqlstate)
{
	return sqlstate == ERRCODE_QUERY_CANCELED || sqlstate == ERRCODE_ADMIN_SHUTDOWN ||
		sqlstate == ERRCODE_CRASH_SHUTDOWN || sqlstate == ERRCODE_OUT_OF_MEMORY ||
		sqlstate == ERRCODE_T_R_SERIALIZATION_FAILURE || sqlstate == ERRCODE_T_R_DEADLOCK_DETECTED;
}

/* Errors that say what cannot be done now: what a planner may try out. */
static bool
is_no_refusal(int sqlstate)
{
	return sqlstate != ERRCODE_OMS_INSUFFICIENT_STOCK && sqlstate != ERRCODE_OMS_NO_LOCATION;
}

static ErrorData *
run_attempt(void (*work) (void *), void *state, bool (*goes_on) (int sqlstate))
{
	OmsCall    *call = oms_call;
	int			level = GetCurrentTransactionNestLevel();
	OmsAttempt	attempt;
	ErrorData  *volatile error = NULL;

	oms_attempt_begin(&attempt);
	PG_TRY();
	{
		work(state);
		oms_attempt_keep(&attempt);
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(attempt.context);
		error = CopyErrorData();
		if (goes_on(error->sqlerrcode) || oms_reference_raced(error))
			PG_RE_THROW();
		FlushErrorState();
		oms_call = call;
		undo_attempts(level + 1);
		oms_attempt_undo(&attempt);
	}
	PG_END_TRY();
	return error;
}

/*
 * Runs one piece of work so that its failure undoes this piece alone.  Returns
 * NULL, or what went wrong.
 */
ErrorData *
oms_attempt_try(void (*work) (void *), void *state)
{
	return run_attempt(work, state, ends_the_call);
}

static char *
error_text(const ErrorData *error)
{
	return error ? psprintf("%s: %s", unpack_sql_state(error->sqlerrcode), error->message) : NULL;
}

/* The same for pieces of a job, which go on whatever it was: NULL, or what went wrong as text. */
char *
oms_attempt_run(void (*work) (void *), void *state)
{
	return error_text(run_attempt(work, state, ends_the_call));
}

/* The same for a plan: only that units or places are lacking undoes it, other errors go on. */
char *
oms_attempt_plan(void (*work) (void *), void *state)
{
	return error_text(run_attempt(work, state, is_no_refusal));
}

/* NULL where the argument is null. */
char *
oms_argument_text(FunctionCallInfo fcinfo, int argument)
{
	return PG_ARGISNULL(argument) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argument));
}

char *
oms_argument_required(FunctionCallInfo fcinfo, int argument, const char *name)
{
	char	   *value = oms_argument_text(fcinfo, argument);

	if (value == NULL || value[0] == '\0')
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("argument %s is required", name),
				 errdetail("%s: is %s", name, value == NULL ? "null" : "empty"),
				 errhint("Give a value for %s.", name)));
	if (strlen(value) > OMS_CODE_BYTES_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("argument %s is too long", name),
				 errdetail("%s: has %zu bytes, at most %d are allowed", name, strlen(value), OMS_CODE_BYTES_MAX),
				 errhint("Codes and references have at most %d bytes.", OMS_CODE_BYTES_MAX)));
	return value;
}

/* NULL where it is left out. */
char *
oms_argument_optional(FunctionCallInfo fcinfo, int argument, const char *name)
{
	return PG_ARGISNULL(argument) ? NULL : oms_argument_required(fcinfo, argument, name);
}

int64
oms_argument_id(FunctionCallInfo fcinfo, int argument, const char *name)
{
	if (PG_ARGISNULL(argument))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("argument %s is required", name),
				 errdetail("%s: is null", name),
				 errhint("Give a value for %s.", name)));
	return PG_GETARG_INT64(argument);
}

void
oms_argument_positive(int32 value, const char *name)
{
	if (value < 1)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("%s must be positive", name),
				 errdetail("%s: is %d", name, value),
				 errhint("Leave it out for the default.")));
}

bool
oms_call_has_role(const char *role_name)
{
	Oid			role = get_role_oid(role_name, true);

	return superuser_arg(oms_call->user) || (OidIsValid(role) && has_privs_of_role(oms_call->user, role));
}
