/*
 * relation.h
 *	  Relations and kept plans.
 */
#ifndef OMS_RELATION_H
#define OMS_RELATION_H

#include "oms.h"

#include "executor/tuptable.h"

#define OMS_PLAN_ARGUMENTS_MAX 32

/*
 * A statement whose plan lives as long as the backend.  In sql, a name in
 * braces is one of our relations.
 *
 * PLAN_INDEXED marks the statements of the hot path: one generic plan, built
 * with sequential scans and hash and merge joins switched off.  Their rows
 * are always found by key, and a plan made while the tables are still empty
 * must serve when they are full.
 */
typedef enum OmsPlanKind
{
	PLAN_INDEXED,
	PLAN_FREE
} OmsPlanKind;

typedef struct OmsPlan
{
	const char *sql;
	OmsPlanKind kind;
	int			nargs;
	Oid			argtypes[OMS_PLAN_ARGUMENTS_MAX];
	SPIPlanPtr	plan;			/* set last, when everything succeeded */
} OmsPlan;

#define OMS_ARGTYPES(...) \
	.nargs = sizeof((Oid[]) {__VA_ARGS__}) / sizeof(Oid), .argtypes = {__VA_ARGS__}

/* Our sequences, for ids that C needs before it inserts. */
typedef enum OmsSequence
{
	SEQUENCE_ORDER,
	SEQUENCE_FULFILLMENT,
	SEQUENCE_PAYMENT,
	SEQUENCE_EVENT,
	SEQUENCE_RESERVATION,
	SEQUENCE_REFUND,
	SEQUENCE_RETURN,
	SEQUENCE_COUNT
} OmsSequence;

typedef void (*OmsRowCallback) (TupleTableSlot *slot, void *state);

extern void oms_relation_init(void);
extern void oms_relation_check(void);
extern Oid	oms_relation_owner(void);
extern uint64 oms_configuration_generation(void);
extern int64 oms_next_id(OmsSequence sequence);

extern uint64 oms_execute(OmsPlan *plan, Datum *values, const char *nulls);
extern uint64 oms_execute_each(OmsPlan *plan, Datum *values, const char *nulls,
							   OmsRowCallback callback, void *state);
extern uint64 oms_execute_latest(OmsPlan *plan, Datum *values,
								 OmsRowCallback callback, void *state);
extern uint64 oms_query(OmsPlan *plan, Datum *values, const char *nulls);
extern void oms_return_rows(FunctionCallInfo fcinfo, OmsPlan *plan, Datum *values,
							const char *nulls);

/* Reading a row inside a callback. */
extern Datum oms_slot_datum(TupleTableSlot *slot, int column, bool *isnull);
extern int64 oms_slot_int64(TupleTableSlot *slot, int column);
extern int32 oms_slot_int32(TupleTableSlot *slot, int column);
extern bool oms_slot_bool(TupleTableSlot *slot, int column);
extern char *oms_slot_text(TupleTableSlot *slot, int column);
extern double oms_slot_double(TupleTableSlot *slot, int column);
extern Numeric oms_slot_numeric(TupleTableSlot *slot, int column);

/* Array arguments of set-based statements. */
extern Datum oms_array_int64(const int64 *values, int count);
extern Datum oms_array_int32(const int32 *values, int count);
extern Datum oms_array_text(char *const *values, int count);
extern Datum oms_array_datum(Datum *values, bool *nulls, int count, Oid type);

/* Small helpers of everything that talks to tables. */
extern Datum oms_text_or_null(const char *text, char *null);
/* Room for so many bytes of rows, which may be more than a palloc; NULL: there are none yet. */
extern void *oms_grown(void *rows, Size size);

extern int	oms_compare_int64(const void *left, const void *right);
extern int	oms_first_of(const void *rows, int count, Size size, Size offset, int64 key);

#endif							/* OMS_RELATION_H */
