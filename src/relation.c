/*
 * relation.c
 *	  The layer between the nouns and their tables: which relation holds a
 *	  table's rows, the plans of our statements, ids from sequences.
 *
 * No other file names a table's OID or prepares a statement.  Today a name in
 * braces is the plain table in schema oms; where rows are spread over machines
 * this is the place that would answer with the tenant's local shard.
 */
#include "oms.h"

#include <math.h>

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/sequence.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/execnodes.h"
#include "nodes/pg_list.h"
#include "utils/array.h"
#include "utils/guc.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/plancache.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

#include "relation.h"

PG_FUNCTION_INFO_V1(oms_invalidate_configuration);

#define OMS_SCHEMA "oms"

static const char *const sequence_names[SEQUENCE_COUNT] = {
	[SEQUENCE_ORDER] = "orders_order_id_seq",
	[SEQUENCE_FULFILLMENT] = "fulfillments_fulfillment_id_seq",
	[SEQUENCE_PAYMENT] = "payments_payment_id_seq",
	[SEQUENCE_EVENT] = "events_event_id_seq",
	[SEQUENCE_RESERVATION] = "reservations_reservation_id_seq",
	[SEQUENCE_REFUND] = "refunds_refund_id_seq",
	[SEQUENCE_RETURN] = "returns_return_id_seq",
};

/*
 * What is known of the installation.  Thrown away when oms.installation is
 * invalidated, which every configuration table's trigger brings about.
 */
typedef struct Installation
{
	bool		valid;
	Oid			relid;
	Oid			owner;
	Oid			sequences[SEQUENCE_COUNT];
} Installation;

static Installation installation;
static uint64 configuration_generation = 1;

static void
installation_invalidated(Datum argument, Oid relid)
{
	if (relid == InvalidOid || relid == installation.relid)
	{
		installation.valid = false;
		configuration_generation++;
	}
}

void
oms_relation_init(void)
{
	CacheRegisterRelcacheCallback(installation_invalidated, (Datum) 0);
}

uint64
oms_configuration_generation(void)
{
	return configuration_generation;
}

static Oid
relation_named(const char *name)
{
	Oid			namespace = get_namespace_oid(OMS_SCHEMA, true);

	return OidIsValid(namespace) ? get_relname_relid(name, namespace) : InvalidOid;
}

/*
 * oms.invalidate_configuration() -> void
 *
 * Sends the invalidation of oms.installation to every session, at once to this
 * one and at commit to the others.
 */
Datum
oms_invalidate_configuration(PG_FUNCTION_ARGS)
{
	Oid			relid = relation_named("installation");

	if (OidIsValid(relid))
		CacheInvalidateRelcacheByRelid(relid);
	PG_RETURN_VOID();
}

static OmsPlan version_plan = {
	.sql = "SELECT version FROM {installation}",
	.kind = PLAN_FREE,
	.nargs = 0
};

static void
read_version(TupleTableSlot *slot, void *state)
{
	*(char **) state = oms_slot_text(slot, 1);
}

/*
 * Refuses to go on unless the tables exist and have the version of this code.
 * Needs SPI.  Cheap when nothing has changed since the last call.
 */
void
oms_relation_check(void)
{
	char	   *version = NULL;
	HeapTuple	tuple;

	if (installation.valid)
		return;

	installation.relid = relation_named("installation");
	if (!OidIsValid(installation.relid))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_VERSION),
				 errmsg("oms is not initialised in this database"),
				 errhint("CALL oms.init();")));

	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(installation.relid));
	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", installation.relid);
	installation.owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);

	for (int i = 0; i < SEQUENCE_COUNT; i++)
		installation.sequences[i] = relation_named(sequence_names[i]);

	/*
	 * Valid before the read: an invalidation that arrives while we read must
	 * not be lost.
	 */
	installation.valid = true;
	PG_TRY();
	{
		Oid			user;
		int			security_context;

		GetUserIdAndSecContext(&user, &security_context);
		SetUserIdAndSecContext(installation.owner,
							   security_context | SECURITY_LOCAL_USERID_CHANGE);
		(void) oms_execute_latest(&version_plan, NULL, read_version, &version);
		SetUserIdAndSecContext(user, security_context);
		if (version == NULL || strcmp(version, OMS_VERSION) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_OMS_VERSION),
					 errmsg("tables of version %s do not fit the code of version %s",
							version ? version : "unknown", OMS_VERSION),
					 errhint("CALL oms.migrate();")));
	}
	PG_CATCH();
	{
		installation.valid = false;
		PG_RE_THROW();
	}
	PG_END_TRY();
}

/* Role that owns the tables; calls run as it once they are allowed. */
Oid
oms_relation_owner(void)
{
	Assert(installation.valid);
	return installation.owner;
}

int64
oms_next_id(OmsSequence sequence)
{
	Assert(sequence < SEQUENCE_COUNT);
	return nextval_internal(installation.sequences[sequence], false);
}

/* Replaces {name} by the qualified name of the relation. */
static char *
expand_names(const char *sql)
{
	StringInfoData buffer;

	initStringInfo(&buffer);
	for (const char *p = sql; *p; p++)
	{
		const char *end;

		/* A brace is a name only when a letter follows: '{}' stays a literal. */
		if (*p != '{' || !(p[1] >= 'a' && p[1] <= 'z'))
		{
			appendStringInfoChar(&buffer, *p);
			continue;
		}
		end = strchr(p, '}');
		Assert(end != NULL);
		appendStringInfo(&buffer, OMS_SCHEMA ".%.*s", (int) (end - p - 1), p + 1);
		p = end;
	}
	return buffer.data;
}

/*
 * Prepares a statement on first use.  The pointer is set last, so a failed
 * prepare leaves nothing half-made for the next call.
 */
static void
prepare(OmsPlan *plan)
{
	char	   *sql = expand_names(plan->sql);
	MemoryContext context = CurrentMemoryContext;
	SPIPlanPtr	prepared;

	prepared = SPI_prepare_cursor(sql, plan->nargs, plan->argtypes,
								  plan->kind == PLAN_INDEXED ? CURSOR_OPT_GENERIC_PLAN : 0);
	if (prepared == NULL)
		elog(ERROR, "could not prepare \"%s\": %s", sql,
			 SPI_result_code_string(SPI_result));
	if (SPI_keepplan(prepared) != 0)
		elog(ERROR, "could not keep the plan of \"%s\"", sql);
	MemoryContextSwitchTo(context);
	plan->plan = prepared;
}

static bool
has_generic_plan(SPIPlanPtr plan)
{
	CachedPlanSource *source = linitial(SPI_plan_get_plan_sources(plan));

	return source->is_valid && source->gplan != NULL && source->gplan->is_valid;
}

/* Builds the generic plan of an indexed statement; see OmsPlanKind. */
static void
build_indexed_plan(SPIPlanPtr plan)
{
	static const char *const off[] = {
		"enable_seqscan", "enable_bitmapscan", "enable_hashjoin", "enable_mergejoin", "enable_material",
		"enable_memoize", "jit"
	};
	int			level = NewGUCNestLevel();
	CachedPlan *cached;

	for (int i = 0; i < lengthof(off); i++)
		(void) set_config_option(off[i], "off", PGC_USERSET, PGC_S_SESSION,
								 GUC_ACTION_SAVE, true, 0, false);
	cached = SPI_plan_get_cached_plan(plan);
	if (cached != NULL)
		ReleaseCachedPlan(cached, CurrentResourceOwner);
	AtEOXact_GUC(true, level);
}

static SPIPlanPtr
ready_plan(OmsPlan *plan)
{
	if (plan->plan == NULL)
		prepare(plan);
	if (plan->kind == PLAN_INDEXED && !has_generic_plan(plan->plan))
		build_indexed_plan(plan->plan);
	return plan->plan;
}

/*
 * SPI leaves its own memory context current after each statement; the functions
 * below give the caller's back, so that what a call allocates outlives SPI.
 */

/* Runs a statement; returns the number of rows it wrote or read. */
uint64
oms_execute(OmsPlan *plan, Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	int			rc = SPI_execute_plan(ready_plan(plan), values, nulls, oms_read_only, 0);
	uint64		processed = SPI_processed;

	MemoryContextSwitchTo(context);
	if (rc < 0)
		elog(ERROR, "statement failed with %s: %s", SPI_result_code_string(rc), plan->sql);
	SPI_freetuptable(SPI_tuptable);
	return processed;
}

/*
 * Runs a statement and leaves its rows in SPI_tuptable, for the few callers
 * that need them all at once.
 */
uint64
oms_query(OmsPlan *plan, Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	int			rc = SPI_execute_plan(ready_plan(plan), values, nulls, oms_read_only, 0);

	MemoryContextSwitchTo(context);
	if (rc < 0)
		elog(ERROR, "statement failed with %s: %s", SPI_result_code_string(rc), plan->sql);
	return SPI_processed;
}

/*
 * A receiver that hands each row to a callback while it is still in the
 * executor's slot.  The usual one would copy every row first.
 */
typedef struct CallbackReceiver
{
	DestReceiver receiver;		/* must be first */
	OmsRowCallback callback;
	void	   *state;
	MemoryContext context;		/* where the callback allocates */
} CallbackReceiver;

static bool
receive_row(TupleTableSlot *slot, DestReceiver *self)
{
	CallbackReceiver *receiver = (CallbackReceiver *) self;
	MemoryContext old = MemoryContextSwitchTo(receiver->context);

	slot_getallattrs(slot);
	receiver->callback(slot, receiver->state);
	MemoryContextSwitchTo(old);
	return true;
}

static void
receiver_startup(DestReceiver *self, int operation, TupleDesc typeinfo)
{
}

static void
receiver_done(DestReceiver *self)
{
}

/*
 * Runs a statement and calls back for each row.  The callback runs in the
 * caller's memory context.
 */
uint64
oms_execute_each(OmsPlan *plan, Datum *values, const char *nulls,
				 OmsRowCallback callback, void *state)
{
	CallbackReceiver receiver = {
		.receiver = {
			.receiveSlot = receive_row,
			.rStartup = receiver_startup,
			.rShutdown = receiver_done,
			.rDestroy = receiver_done,
			.mydest = DestNone
		},
		.callback = callback,
		.state = state,
		.context = CurrentMemoryContext
	};
	SPIExecuteOptions options = {0};
	SPIPlanPtr	ready = ready_plan(plan);
	int			rc;

	options.params = plan->nargs > 0 ? makeParamList(plan->nargs) : NULL;
	for (int i = 0; i < plan->nargs; i++)
	{
		ParamExternData *param = &options.params->params[i];

		param->value = values[i];
		param->isnull = nulls != NULL && nulls[i] == 'n';
		param->pflags = PARAM_FLAG_CONST;
		param->ptype = plan->argtypes[i];
	}
	options.dest = &receiver.receiver;
	options.read_only = oms_read_only;
	rc = SPI_execute_plan_extended(ready, &options);
	MemoryContextSwitchTo(receiver.context);
	if (rc < 0)
		elog(ERROR, "statement failed with %s: %s", SPI_result_code_string(rc), plan->sql);
	if (options.params)
		pfree(options.params);
	return SPI_processed;
}

/*
 * Reads with the newest snapshot, whatever the transaction's isolation level:
 * what is read goes into a cache that outlives the transaction, so an old
 * snapshot's rows must not get there.
 */
uint64
oms_execute_latest(OmsPlan *plan, Datum *values, OmsRowCallback callback, void *state)
{
	MemoryContext context = CurrentMemoryContext;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TupleTableSlot *slot;
	uint64		processed;
	int			rc;

	rc = SPI_execute_snapshot(ready_plan(plan), values, NULL, snapshot, InvalidSnapshot,
							  true, false, 0);
	MemoryContextSwitchTo(context);
	if (rc < 0)
		elog(ERROR, "statement failed with %s: %s", SPI_result_code_string(rc), plan->sql);
	processed = SPI_processed;
	slot = MakeSingleTupleTableSlot(SPI_tuptable->tupdesc, &TTSOpsHeapTuple);
	for (uint64 i = 0; i < processed; i++)
	{
		ExecStoreHeapTuple(SPI_tuptable->vals[i], slot, false);
		slot_getallattrs(slot);
		callback(slot, state);
	}
	ExecDropSingleTupleTableSlot(slot);
	SPI_freetuptable(SPI_tuptable);
	UnregisterSnapshot(snapshot);
	return processed;
}

typedef struct ReturnState
{
	Tuplestorestate *store;
	TupleDesc	descriptor;
} ReturnState;

static void
return_row(TupleTableSlot *slot, void *state)
{
	ReturnState *target = state;

	tuplestore_putvalues(target->store, target->descriptor, slot->tts_values, slot->tts_isnull);
}

/* Runs a statement and returns its rows as the result of a set function. */
void
oms_return_rows(FunctionCallInfo fcinfo, OmsPlan *plan, Datum *values, const char *nulls)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	ReturnState state;

	InitMaterializedSRF(fcinfo, 0);
	state.store = result->setResult;
	state.descriptor = result->setDesc;
	(void) oms_execute_each(plan, values, nulls, return_row, &state);
}

Datum
oms_slot_datum(TupleTableSlot *slot, int column, bool *isnull)
{
	Assert(column >= 1 && column <= slot->tts_tupleDescriptor->natts);
	*isnull = slot->tts_isnull[column - 1];
	return slot->tts_values[column - 1];
}

int64
oms_slot_int64(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, column, &isnull);

	return isnull ? 0 : DatumGetInt64(value);
}

int32
oms_slot_int32(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, column, &isnull);

	return isnull ? 0 : DatumGetInt32(value);
}

bool
oms_slot_bool(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, column, &isnull);

	return isnull ? false : DatumGetBool(value);
}

/* A copy; NULL where the column is null. */
char *
oms_slot_text(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, column, &isnull);

	return isnull ? NULL : TextDatumGetCString(value);
}

/* NAN where the column is null. */
double
oms_slot_double(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, column, &isnull);

	return isnull ? NAN : DatumGetFloat8(value);
}

/* A copy; NULL where the column is null. */
Numeric
oms_slot_numeric(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, column, &isnull);

	return isnull ? NULL : DatumGetNumericCopy(value);
}

Datum
oms_array_int64(const int64 *values, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		datums[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, count, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
oms_array_int32(const int32 *values, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));

	for (int i = 0; i < count; i++)
		datums[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(datums, count, INT4OID, 4, true, TYPALIGN_INT));
}

/* NULL elements are allowed. */
Datum
oms_array_text(char *const *values, int count)
{
	Datum	   *datums = palloc(sizeof(Datum) * Max(count, 1));
	bool	   *nulls = palloc(sizeof(bool) * Max(count, 1));

	for (int i = 0; i < count; i++)
	{
		nulls[i] = values[i] == NULL;
		datums[i] = nulls[i] ? (Datum) 0 : CStringGetTextDatum(values[i]);
	}
	return oms_array_datum(datums, nulls, count, TEXTOID);
}

Datum
oms_array_datum(Datum *values, bool *nulls, int count, Oid type)
{
	int16		length;
	bool		byvalue;
	char		alignment;
	int			dimensions[1] = {count};
	int			lower[1] = {1};

	get_typlenbyvalalign(type, &length, &byvalue, &alignment);
	return PointerGetDatum(construct_md_array(values, nulls, count > 0 ? 1 : 0, dimensions, lower,
											  type, length, byvalue, alignment));
}

/* An optional argument of a statement: the value, and its mark in nulls. */
Datum
oms_text_or_null(const char *text, char *null)
{
	*null = text ? ' ' : 'n';
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

void *
oms_grown(void *rows, Size size)
{
	return rows ? repalloc_huge(rows, size) : palloc_extended(size, MCXT_ALLOC_HUGE);
}

int
oms_compare_int64(const void *left, const void *right)
{
	int64		a = *(const int64 *) left;
	int64		b = *(const int64 *) right;

	return a < b ? -1 : a > b;
}

/* Where the rows of a key begin, or would: they are sorted by the bigint that stands at the offset. */
int
oms_first_of(const void *rows, int count, Size size, Size offset, int64 key)
{
	int			low = 0;
	int			high = count;

	while (low < high)
	{
		int			middle = low + (high - low) / 2;

		if (*(const int64 *) ((const char *) rows + size * middle + offset) < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}
