/*
 * heap.h
 *	  Rows read and written without a statement: the hot path of placing.
 */
#ifndef OMS_HEAP_H
#define OMS_HEAP_H

#include "oms.h"

#include "access/htup.h"
#include "nodes/execnodes.h"

#define OMS_HEAP_COLUMNS_MAX 32

/* A table as this backend knows it; filled on first use. */
typedef struct OmsHeap
{
	const char *relation;
	bool		partitioned;	/* rows go to the partition that oms_heap_use_partition named */
	int			key_count;		/* the first columns are the key of a unique index */
	int			column_count;
	const char *columns[OMS_HEAP_COLUMNS_MAX];	/* those that the code sets or reads */

	bool		valid;			/* the rest is filled and still true */
	bool		plain;			/* direct access gives what a statement would */
	Oid			relid;
	Oid			root;			/* of a partition: the table that a statement would name */
	ExprState  *partition_check;
	Oid			index;			/* over the key columns */
	int			key_order[OMS_HEAP_COLUMNS_MAX];	/* which of ours each column of the index is */
	AttrNumber	attributes[OMS_HEAP_COLUMNS_MAX];
	ExprState **checks;			/* CHECK constraints, ready to run */
	int			default_count;
	AttrNumber *default_attributes; /* columns that the code does not set */
	ExprState **defaults;
	MemoryContext context;
} OmsHeap;

/* A table that is open for writing or reading. */
typedef struct OmsHeapWork
{
	OmsHeap    *heap;
	Relation	relation;
	EState	   *estate;
	ResultRelInfo *result;
	TupleTableSlot *slot;
	TupleTableSlot *spare;		/* for looking at somebody else's row */
	bool		has_triggers;
	Snapshot	snapshot;
} OmsHeapWork;

/* What became of an attempt to lock one version of a row without waiting. */
typedef enum OmsHeapLock
{
	OMS_HEAP_LOCKED,
	OMS_HEAP_BUSY,				/* somebody holds it */
	OMS_HEAP_CHANGED			/* a newer version exists, or none */
} OmsHeapLock;

extern void oms_heap_init(void);
extern bool oms_heap_is_plain(OmsHeap *heap);
extern void oms_heap_use_partition(OmsHeap *heap, Oid partition);
extern void oms_heap_begin(OmsHeapWork *work, OmsHeap *heap, bool for_write);
extern void oms_heap_end(OmsHeapWork *work);
extern void oms_heap_insert(OmsHeapWork *work, const Datum *values, const bool *nulls);
extern bool oms_heap_insert_fitting(OmsHeapWork *work, const Datum *values, const bool *nulls);
extern void oms_heap_insert_one(OmsHeap *heap, const Datum *values, const char *nulls);
extern void oms_heap_begin_new(OmsHeapWork *work, OmsHeap *heap);
extern void oms_heap_end_new(OmsHeapWork *work);
extern bool oms_heap_insert_new(OmsHeapWork *work, const Datum *values, const char *nulls);
extern void oms_heap_scan(OmsHeapWork *work, const Datum *keys, int key_count,
						  void (*callback) (TupleTableSlot *slot, void *state), void *state);
extern HeapTuple oms_heap_lock(OmsHeapWork *work, const Datum *keys, int key_count);
extern OmsHeapLock oms_heap_try_lock(OmsHeapWork *work, HeapTuple version);
extern void oms_heap_wait(OmsHeapWork *work, HeapTuple version);
extern void oms_heap_delete(OmsHeapWork *work, HeapTuple old);
extern void oms_heap_update(OmsHeapWork *work, HeapTuple old, const Datum *values, const bool *replace);

#endif							/* OMS_HEAP_H */
