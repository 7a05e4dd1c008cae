/*
 * heap.c
 *	  Rows read and written without a statement: the hot path of placing.
 *
 * Everything else goes through kept plans (relation.c).  Placing an order
 * writes a dozen rows in half a dozen tables, and a profile showed more than
 * half of its time in starting and ending executor runs and in reading the
 * tables' CHECK constraints again for each.  The same rows written here cost
 * less than half.
 *
 * What a statement would do is kept: CHECK and NOT NULL constraints, indexes,
 * row triggers, column defaults, the waits and the errors of concurrent
 * updates at each isolation level.  A table that needs more than that
 * (statement triggers, rules, generated columns, row security forced on its
 * owner) is not plain, and its caller uses the statement.  Of a partitioned
 * table the partition that a statement chose last is written as long as its
 * rows fit there.
 *
 * CHECK constraints are compiled once per backend and handed to the server's
 * own ExecConstraints, which would otherwise parse them in every call.
 */
#include "oms.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/multixact.h"
#include "access/relscan.h"
#include "access/sysattr.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "partitioning/partdesc.h"
#include "nodes/makefuncs.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/partcache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "heap.h"

/* The tables in use, so that a change of their definition can be noticed. */
static OmsHeap *known[16];
static int	known_count = 0;

static void
relation_changed(Datum argument, Oid relid)
{
	for (int i = 0; i < known_count; i++)
		if (relid == InvalidOid || known[i]->relid == relid || known[i]->root == relid)
			known[i]->valid = false;
}

void
oms_heap_init(void)
{
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

static void
remember(OmsHeap *heap)
{
	for (int i = 0; i < known_count; i++)
		if (known[i] == heap)
			return;
	if (known_count == lengthof(known))
		elog(ERROR, "more tables with direct access than known[] holds");
	known[known_count++] = heap;
}

/* Whether writing rows directly leaves nothing out that a statement on the table would do. */
static bool
definition_is_plain(Relation relation)
{
	TriggerDesc *triggers = relation->trigdesc;
	TupleConstr *constraints = RelationGetDescr(relation)->constr;

	if (relation->rd_rel->relhasrules || relation->rd_rel->relforcerowsecurity)
		return false;
	if (constraints && constraints->has_generated_stored)
		return false;
	return triggers == NULL ||
		!(triggers->trig_insert_before_statement || triggers->trig_insert_after_statement ||
		  triggers->trig_update_before_statement || triggers->trig_update_after_statement ||
		  triggers->trig_delete_before_statement || triggers->trig_delete_after_statement ||
		  triggers->trig_delete_old_table ||
		  triggers->trig_insert_new_table || triggers->trig_update_new_table ||
		  triggers->trig_update_old_table);
}

/* The CHECK constraints as the executor wants them, in a context that lasts. */
static void
compile_checks(OmsHeap *heap, Relation relation)
{
	TupleConstr *constraints = RelationGetDescr(relation)->constr;
	int			count = constraints ? constraints->num_check : 0;

	heap->checks = NULL;
	if (count == 0)
		return;
	heap->checks = palloc0(sizeof(ExprState *) * count);
	for (int i = 0; i < count; i++)
	{
		Expr	   *expression = stringToNode(constraints->check[i].ccbin);

		heap->checks[i] = ExecInitExpr(expression_planner(expression), NULL);
	}
}

static bool
is_set_by_code(const OmsHeap *heap, AttrNumber attribute)
{
	for (int i = 0; i < heap->column_count; i++)
		if (heap->attributes[i] == attribute)
			return true;
	return false;
}

/* The defaults of the columns that the code does not set. */
static void
compile_defaults(OmsHeap *heap, Relation relation)
{
	TupleDesc	descriptor = RelationGetDescr(relation);

	heap->default_count = 0;
	heap->default_attributes = palloc(sizeof(AttrNumber) * descriptor->natts);
	heap->defaults = palloc(sizeof(ExprState *) * descriptor->natts);
	for (int i = 0; i < descriptor->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(descriptor, i);
		Expr	   *expression;

		if (attribute->attisdropped || is_set_by_code(heap, attribute->attnum))
			continue;
		expression = (Expr *) build_column_default(relation, attribute->attnum);
		if (expression == NULL)
			continue;
		heap->default_attributes[heap->default_count] = attribute->attnum;
		heap->defaults[heap->default_count++] = ExecInitExpr(expression_planner(expression), NULL);
	}
}

/* The unique index over exactly the key columns; invalid where there is none. */
static Oid
find_key_index(OmsHeap *heap, Relation relation)
{
	List	   *indexes = RelationGetIndexList(relation);
	Oid			found = InvalidOid;
	ListCell   *cell;

	foreach(cell, indexes)
	{
		Relation	index = index_open(lfirst_oid(cell), AccessShareLock);
		Form_pg_index form = index->rd_index;
		bool		matches = form->indisunique && form->indisvalid && form->indimmediate &&
			form->indnkeyatts == heap->key_count && RelationGetIndexPredicate(index) == NIL;

		for (int i = 0; i < heap->key_count && matches; i++)
		{
			int			ours = 0;

			while (ours < heap->key_count && form->indkey.values[i] != heap->attributes[ours])
				ours++;
			heap->key_order[i] = ours;
			matches = ours < heap->key_count;
		}
		index_close(index, AccessShareLock);
		if (!matches)
			continue;
		found = lfirst_oid(cell);
		break;
	}
	list_free(indexes);
	return found;
}

/*
 * Whether a partition may be written in place of its root: one of its own, with
 * the same columns in the same order, so that defaults of the root fit.
 */
static bool
is_partition_of(Relation partition, Relation root)
{
	PartitionDesc partitions;
	TupleDesc	ours = RelationGetDescr(partition);
	TupleDesc	theirs = RelationGetDescr(root);
	int			position = 0;

	if (root->rd_rel->relkind != RELKIND_PARTITIONED_TABLE || partition->rd_rel->relkind != RELKIND_RELATION ||
		ours->natts != theirs->natts)
		return false;
	for (int i = 0; i < ours->natts; i++)
		if (strcmp(NameStr(TupleDescAttr(ours, i)->attname), NameStr(TupleDescAttr(theirs, i)->attname)) != 0)
			return false;
	partitions = RelationGetPartitionDesc(root, true);
	while (position < partitions->nparts && partitions->oids[position] != RelationGetRelid(partition))
		position++;
	return position < partitions->nparts;
}

/* What a statement would check of a row's partition, in a context that lasts. */
static void
compile_partition_check(OmsHeap *heap, Relation partition)
{
	List	   *constraint = RelationGetPartitionQual(partition);

	heap->partition_check = ExecInitCheck((List *) expression_planner((Expr *) constraint), NULL);
}

/* What this backend keeps of an ordinary table or of a partition that stands for its root. */
static void
describe_relation(OmsHeap *heap, Relation relation, Relation root)
{
	MemoryContext old;

	heap->plain = definition_is_plain(relation) && definition_is_plain(root);
	heap->plain &= heap->partitioned ? is_partition_of(relation, root)
		: relation->rd_rel->relkind == RELKIND_RELATION && !relation->rd_rel->relispartition;
	for (int i = 0; i < heap->column_count; i++)
	{
		heap->attributes[i] = get_attnum(heap->relid, heap->columns[i]);
		if (heap->attributes[i] == InvalidAttrNumber)
			elog(ERROR, "table \"%s\" has no column \"%s\"", heap->relation, heap->columns[i]);
	}
	heap->index = heap->key_count > 0 ? find_key_index(heap, relation) : InvalidOid;
	heap->plain &= heap->key_count == 0 || OidIsValid(heap->index);
	if (!heap->plain)
		return;
	old = MemoryContextSwitchTo(heap->context);
	compile_checks(heap, relation);
	compile_defaults(heap, root);
	if (heap->partitioned)
		compile_partition_check(heap, relation);
	MemoryContextSwitchTo(old);
}

/* Fills what this backend keeps of a table. */
static void
describe(OmsHeap *heap)
{
	Oid			named = get_relname_relid(heap->relation, get_namespace_oid("oms", false));
	Relation	root;
	Relation	relation;

	if (heap->context == NULL)
		heap->context = AllocSetContextCreate(TopMemoryContext, "oms table", ALLOCSET_SMALL_SIZES);
	MemoryContextReset(heap->context);
	heap->root = named;
	if (!heap->partitioned)
		heap->relid = named;
	remember(heap);

	/* Valid before it is filled: a change that arrives meanwhile must count. */
	heap->valid = true;
	heap->plain = false;
	root = table_open(named, AccessShareLock);
	relation = OidIsValid(heap->relid) ? try_table_open(heap->relid, AccessShareLock) : NULL;
	if (relation != NULL)
	{
		describe_relation(heap, relation, root);
		table_close(relation, AccessShareLock);
	}
	table_close(root, AccessShareLock);
}

/* Names the partition that a statement has chosen: the next rows will mostly go there, too. */
void
oms_heap_use_partition(OmsHeap *heap, Oid partition)
{
	Assert(heap->partitioned);
	if (heap->relid == partition)
		return;
	heap->relid = partition;
	heap->valid = false;
}

/*
 * Whether rows of the table may be read and written here.  Where they may not,
 * the caller runs its statement.
 */
bool
oms_heap_is_plain(OmsHeap *heap)
{
	if (!heap->valid)
		describe(heap);
	return heap->plain;
}

/* The executor's state for writing one table; its triggers ask for the range table. */
static void
begin_write(OmsHeapWork *work)
{
	RangeTblEntry *entry = makeNode(RangeTblEntry);

	entry->rtekind = RTE_RELATION;
	entry->relid = work->heap->relid;
	entry->relkind = RELKIND_RELATION;
	entry->rellockmode = RowExclusiveLock;
	work->estate = CreateExecutorState();
	ExecInitRangeTable(work->estate, list_make1(entry));
	work->estate->es_snapshot = work->snapshot;
	work->estate->es_output_cid = GetCurrentCommandId(true);
	work->result = makeNode(ResultRelInfo);
	InitResultRelInfo(work->result, work->relation, 1, NULL, 0);
	work->result->ri_ConstraintExprs = work->heap->checks;
	work->result->ri_PartitionCheckExpr = work->heap->partition_check;

	/* Where queued triggers look for their table before they open it again. */
	work->estate->es_opened_result_relations = lappend(work->estate->es_opened_result_relations, work->result);
	ExecOpenIndices(work->result, false);

	/* Triggers that fire at the end look here first; else they open the table once more. */
	work->estate->es_opened_result_relations = lappend(NIL, work->result);
	work->has_triggers = work->relation->trigdesc != NULL;
	if (work->has_triggers)
		AfterTriggerBeginQuery();
}

/* Opens a plain table. */
void
oms_heap_begin(OmsHeapWork *work, OmsHeap *heap, bool for_write)
{
	memset(work, 0, sizeof(*work));
	work->heap = heap;

	/* A statement locks the root, too: nobody detaches a partition meanwhile. */
	if (heap->partitioned)
		LockRelationOid(heap->root, for_write ? RowExclusiveLock : AccessShareLock);
	work->relation = table_open(heap->relid, for_write ? RowExclusiveLock : AccessShareLock);

	/* The lock may have let a change of definition in. */
	if (!oms_heap_is_plain(heap))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("table \"%s\" was changed while the call began", heap->relation),
				 errhint("Repeat the transaction.")));
	work->slot = table_slot_create(work->relation, NULL);
	if (!oms_read_only)
		CommandCounterIncrement();
	work->snapshot = RegisterSnapshot(oms_read_only ? GetActiveSnapshot() : GetTransactionSnapshot());
	if (!for_write)
		return;
	PushActiveSnapshot(work->snapshot);
	begin_write(work);
}

void
oms_heap_end(OmsHeapWork *work)
{
	if (work->estate)
	{
		if (work->has_triggers)
			AfterTriggerEndQuery(work->estate);
		ExecResetTupleTable(work->estate->es_tupleTable, false);
		ExecCloseIndices(work->result);
		PopActiveSnapshot();
	}
	ExecDropSingleTupleTableSlot(work->slot);
	UnregisterSnapshot(work->snapshot);
	if (work->estate)
		FreeExecutorState(work->estate);
	table_close(work->relation, NoLock);
}

/* A column that the code does not set gets the default of the table. */
static void
fill_defaults(OmsHeapWork *work)
{
	OmsHeap    *heap = work->heap;

	for (int i = 0; i < RelationGetDescr(work->relation)->natts; i++)
	{
		work->slot->tts_values[i] = (Datum) 0;
		work->slot->tts_isnull[i] = true;
	}
	for (int i = 0; i < heap->default_count; i++)
	{
		int			column = heap->default_attributes[i] - 1;

		work->slot->tts_values[column] = ExecEvalExpr(heap->defaults[i], GetPerTupleExprContext(work->estate),
													  &work->slot->tts_isnull[column]);
	}
}

static void
fill_slot(OmsHeapWork *work, const Datum *values, const bool *nulls)
{
	ExecClearTuple(work->slot);
	fill_defaults(work);
	for (int i = 0; i < work->heap->column_count; i++)
	{
		work->slot->tts_values[work->heap->attributes[i] - 1] = values[i];
		work->slot->tts_isnull[work->heap->attributes[i] - 1] = nulls != NULL && nulls[i];
	}
	ExecStoreVirtualTuple(work->slot);
}

/* Inserts one row: values and nulls of the heap's columns. */
void
oms_heap_insert(OmsHeapWork *work, const Datum *values, const bool *nulls)
{
	fill_slot(work, values, nulls);
	ExecSimpleRelationInsert(work->result, work->estate, work->slot);
	ResetPerTupleExprContext(work->estate);
}

/* Inserts one row of a partitioned table; false where it belongs to another partition. */
bool
oms_heap_insert_fitting(OmsHeapWork *work, const Datum *values, const bool *nulls)
{
	fill_slot(work, values, nulls);
	if (!ExecPartitionCheck(work->result, work->slot, work->estate, false))
		return false;
	ExecSimpleRelationInsert(work->result, work->estate, work->slot);
	ResetPerTupleExprContext(work->estate);
	return true;
}

/* One row of a table; nulls as a statement takes them: 'n' or ' '. */
void
oms_heap_insert_one(OmsHeap *heap, const Datum *values, const char *nulls)
{
	OmsHeapWork work;
	bool		is_null[OMS_HEAP_COLUMNS_MAX];

	for (int i = 0; i < heap->column_count; i++)
		is_null[i] = nulls[i] == 'n';
	oms_heap_begin(&work, heap, true);
	oms_heap_insert(&work, values, is_null);
	oms_heap_end(&work);
}

static void
refuse_concurrent_update(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update")));
}

/*
 * What INSERT ... ON CONFLICT DO NOTHING does: wait for whoever inserts the same
 * key, give way when he commits, and under REPEATABLE READ fail rather than
 * give way to a row that the transaction cannot see.
 */
static bool
insert_speculatively(OmsHeapWork *work)
{
	List	   *arbiter = list_make1_oid(work->heap->index);
	bool		conflict;

	do
	{
		ItemPointerData other;
		uint32		token;

		CHECK_FOR_INTERRUPTS();
		conflict = false;
		if (!ExecCheckIndexConstraints(work->result, work->slot, work->estate, &other, arbiter))
		{
			if (IsolationUsesXactSnapshot() &&
				!table_tuple_fetch_row_version(work->relation, &other, work->snapshot, work->spare))
				refuse_concurrent_update();
			return false;
		}
		token = SpeculativeInsertionLockAcquire(GetCurrentTransactionId());
		table_tuple_insert_speculative(work->relation, work->slot, GetCurrentCommandId(true), 0, NULL, token);
		(void) ExecInsertIndexTuples(work->result, work->slot, work->estate, false, true, &conflict, arbiter);
		table_tuple_complete_speculative(work->relation, work->slot, token, !conflict);
		SpeculativeInsertionLockRelease(GetCurrentTransactionId());
	} while (conflict);
	return true;
}

/* Opens a plain table for rows whose key may exist: see oms_heap_insert_new. */
void
oms_heap_begin_new(OmsHeapWork *work, OmsHeap *heap)
{
	oms_heap_begin(work, heap, true);
	ExecCloseIndices(work->result);
	ExecOpenIndices(work->result, true);
	work->spare = table_slot_create(work->relation, NULL);
}

void
oms_heap_end_new(OmsHeapWork *work)
{
	ExecDropSingleTupleTableSlot(work->spare);
	oms_heap_end(work);
}

/* Inserts a row unless its key exists; false where it does. */
bool
oms_heap_insert_new(OmsHeapWork *work, const Datum *values, const char *nulls)
{
	bool		is_null[OMS_HEAP_COLUMNS_MAX];
	bool		inserted;

	for (int i = 0; i < work->heap->column_count; i++)
		is_null[i] = nulls[i] == 'n';
	fill_slot(work, values, is_null);
	inserted = !(work->has_triggers && work->relation->trigdesc->trig_insert_before_row) ||
		ExecBRInsertTriggers(work->estate, work->result, work->slot);
	if (inserted)
	{
		if (RelationGetDescr(work->relation)->constr)
			ExecConstraints(work->result, work->slot, work->estate);
		inserted = insert_speculatively(work);
	}
	if (inserted)
		ExecARInsertTriggers(work->estate, work->result, work->slot, NIL, NULL);
	ResetPerTupleExprContext(work->estate);
	return inserted;
}

static IndexScanDesc
begin_scan(OmsHeapWork *work, Relation index, const Datum *keys, int key_count)
{
	IndexScanDesc scan = index_beginscan(work->relation, index, work->snapshot, key_count, 0);
	ScanKeyData scan_keys[4];

	Assert(key_count <= lengthof(scan_keys));
	for (int i = 0; i < key_count; i++)
	{
		Oid			type = TupleDescAttr(RelationGetDescr(index), i)->atttypid;
		RegProcedure equal = get_opcode(get_opfamily_member(index->rd_opfamily[i], type, type,
															BTEqualStrategyNumber));

		ScanKeyEntryInitialize(&scan_keys[i], 0, i + 1, BTEqualStrategyNumber, InvalidOid,
							   index->rd_indcollation[i], equal, keys[work->heap->key_order[i]]);
	}
	index_rescan(scan, scan_keys, key_count, NULL, 0);
	return scan;
}

/* Calls back for each visible row whose key begins with the given values. */
void
oms_heap_scan(OmsHeapWork *work, const Datum *keys, int key_count,
			  void (*callback) (TupleTableSlot *slot, void *state), void *state)
{
	Relation	index = index_open(work->heap->index, AccessShareLock);
	IndexScanDesc scan = begin_scan(work, index, keys, key_count);

	while (index_getnext_slot(scan, ForwardScanDirection, work->slot))
	{
		CHECK_FOR_INTERRUPTS();
		slot_getallattrs(work->slot);
		callback(work->slot, state);
	}
	index_endscan(scan);
	index_close(index, AccessShareLock);
}

/*
 * Locks the row with the given key FOR NO KEY UPDATE and returns its
 * newest version; NULL where there is none.  Waits as SELECT ... FOR NO KEY
 * UPDATE would, and fails as it would when the isolation level forbids to see
 * what another transaction made of the row.
 */
HeapTuple
oms_heap_lock(OmsHeapWork *work, const Datum *keys, int key_count)
{
	Relation	index = index_open(work->heap->index, AccessShareLock);
	IndexScanDesc scan = begin_scan(work, index, keys, key_count);
	HeapTuple	row = NULL;

	if (index_getnext_slot(scan, ForwardScanDirection, work->slot))
	{
		TM_FailureData failure;
		uint8		flags = TUPLE_LOCK_FLAG_LOCK_UPDATE_IN_PROGRESS;
		ItemPointerData place = work->slot->tts_tid;

		if (!IsolationUsesXactSnapshot())
			flags |= TUPLE_LOCK_FLAG_FIND_LAST_VERSION;
		switch (table_tuple_lock(work->relation, &place, work->snapshot, work->slot,
								 GetCurrentCommandId(true), LockTupleNoKeyExclusive, LockWaitBlock,
								 flags, &failure))
		{
			case TM_Ok:
				row = ExecCopySlotHeapTuple(work->slot);
				row->t_self = work->slot->tts_tid;
				break;
			case TM_Updated:
				refuse_concurrent_update();
				break;
			case TM_Deleted:
				if (IsolationUsesXactSnapshot())
					refuse_concurrent_update();
				break;
			default:
				elog(ERROR, "row of table \"%s\" was changed by the command that locks it", work->heap->relation);
		}
	}
	ExecClearTuple(work->slot);
	index_endscan(scan);
	index_close(index, AccessShareLock);
	return row;
}

/*
 * Locks one version of a row FOR NO KEY UPDATE, if it is the newest and
 * nobody holds it.  Never waits and never locks another version.
 */
OmsHeapLock
oms_heap_try_lock(OmsHeapWork *work, HeapTuple version)
{
	ItemPointerData place = version->t_self;
	TM_FailureData failure;
	TM_Result	result = table_tuple_lock(work->relation, &place, work->snapshot, work->slot,
										  GetCurrentCommandId(true), LockTupleNoKeyExclusive, LockWaitSkip, 0,
										  &failure);

	ExecClearTuple(work->slot);
	switch (result)
	{
		case TM_Ok:
			return OMS_HEAP_LOCKED;
		case TM_WouldBlock:
			return OMS_HEAP_BUSY;
		case TM_Updated:
		case TM_Deleted:
			return OMS_HEAP_CHANGED;
		default:
			elog(ERROR, "row of table \"%s\" was changed by the command that locks it", work->heap->relation);
	}
	return OMS_HEAP_CHANGED;	/* not reached */
}

/* Waits for the transactions that hold the version, and locks nothing. */
void
oms_heap_wait(OmsHeapWork *work, HeapTuple version)
{
	ItemPointerData place = version->t_self;
	uint16		infomask = 0;
	TransactionId holder = InvalidTransactionId;

	/* The holder may have come after the version was read. */
	if (table_tuple_fetch_row_version(work->relation, &place, SnapshotAny, work->slot))
	{
		HeapTupleHeader header = ((HeapTupleTableSlot *) work->slot)->tuple->t_data;

		infomask = header->t_infomask;
		holder = HeapTupleHeaderGetRawXmax(header);
	}
	ExecClearTuple(work->slot);
	if ((infomask & HEAP_XMAX_INVALID) || !TransactionIdIsValid(holder))
		return;
	if (infomask & HEAP_XMAX_IS_MULTI)
	{
		MultiXactMember *members = NULL;
		int			count = GetMultiXactIdMembers(holder, &members, false, HEAP_XMAX_IS_LOCKED_ONLY(infomask));

		for (int i = 0; i < count; i++)
			if (!TransactionIdIsCurrentTransactionId(members[i].xid))
				XactLockTableWait(members[i].xid, work->relation, &place, XLTW_Lock);
	}
	else if (!TransactionIdIsCurrentTransactionId(holder))
		XactLockTableWait(holder, work->relation, &place, XLTW_Lock);
}

/* Deletes a row that oms_heap_lock returned. */
void
oms_heap_delete(OmsHeapWork *work, HeapTuple old)
{
	TupleTableSlot *old_slot = MakeSingleTupleTableSlot(RelationGetDescr(work->relation), &TTSOpsHeapTuple);
	EPQState	recheck;

	ExecStoreHeapTuple(old, old_slot, false);
	old_slot->tts_tid = old->t_self;
	EvalPlanQualInit(&recheck, work->estate, NULL, NIL, -1);
	ExecSimpleRelationDelete(work->result, work->estate, &recheck, old_slot);
	EvalPlanQualEnd(&recheck);
	ExecDropSingleTupleTableSlot(old_slot);
}

/* Writes a new version of a row that oms_heap_lock returned; the values replaced are not null. */
void
oms_heap_update(OmsHeapWork *work, HeapTuple old, const Datum *values, const bool *replace)
{
	TupleTableSlot *old_slot = MakeSingleTupleTableSlot(RelationGetDescr(work->relation), &TTSOpsHeapTuple);
	RangeTblEntry *entry = exec_rt_fetch(1, work->estate);
	EPQState	recheck;

	ExecStoreHeapTuple(old, old_slot, false);
	old_slot->tts_tid = old->t_self;
	slot_getallattrs(old_slot);
	ExecClearTuple(work->slot);
	memcpy(work->slot->tts_values, old_slot->tts_values, sizeof(Datum) * old_slot->tts_nvalid);
	memcpy(work->slot->tts_isnull, old_slot->tts_isnull, sizeof(bool) * old_slot->tts_nvalid);
	for (int i = 0; i < work->heap->column_count; i++)
		if (replace[i])
		{
			work->slot->tts_values[work->heap->attributes[i] - 1] = values[i];
			work->slot->tts_isnull[work->heap->attributes[i] - 1] = false;
			entry->updatedCols = bms_add_member(entry->updatedCols, work->heap->attributes[i] -
												FirstLowInvalidHeapAttributeNumber);
		}
	ExecStoreVirtualTuple(work->slot);
	EvalPlanQualInit(&recheck, work->estate, NULL, NIL, -1);
	ExecSimpleRelationUpdate(work->result, work->estate, &recheck, old_slot, work->slot);
	EvalPlanQualEnd(&recheck);
	ExecDropSingleTupleTableSlot(old_slot);
	ResetPerTupleExprContext(work->estate);
}
