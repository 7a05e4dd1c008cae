/*
 * call_rows.c
 *	  The rows that a call answered with, kept for its idempotency key: each as
 *	  the text of a record, all of them as the text of an array.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/fmgroids.h"
#include "utils/tuplestore.h"

#include "call_rows.h"

/* The rows of a materialized result as one text. */
Datum
oms_rows_keep(ReturnSetInfo *result)
{
	TupleTableSlot *slot = MakeSingleTupleTableSlot(BlessTupleDesc(result->setDesc), &TTSOpsMinimalTuple);
	ArrayBuildState *texts = initArrayResult(TEXTOID, CurrentMemoryContext, false);

	tuplestore_rescan(result->setResult);
	while (tuplestore_gettupleslot(result->setResult, true, false, slot))
	{
		char	   *text = OidOutputFunctionCall(F_RECORD_OUT, ExecFetchSlotHeapTupleDatum(slot));

		CHECK_FOR_INTERRUPTS();
		texts = accumArrayResult(texts, CStringGetTextDatum(text), false, TEXTOID, CurrentMemoryContext);
	}
	tuplestore_rescan(result->setResult);
	ExecDropSingleTupleTableSlot(slot);
	return CStringGetTextDatum(OidOutputFunctionCall(F_ARRAY_OUT, makeArrayResult(texts, CurrentMemoryContext)));
}

/* Answers with rows that were kept. */
void
oms_rows_return(FunctionCallInfo fcinfo, const char *kept)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		array = OidInputFunctionCall(F_ARRAY_IN, unconstify(char *, kept), TEXTOID, -1);
	Datum	   *texts;
	int			count;
	int32		row_type;

	InitMaterializedSRF(fcinfo, 0);
	row_type = BlessTupleDesc(result->setDesc)->tdtypmod;
	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &texts, NULL, &count);
	for (int i = 0; i < count; i++)
	{
		HeapTupleHeader header = DatumGetHeapTupleHeader(OidInputFunctionCall(F_RECORD_IN, TextDatumGetCString(texts[i]),
																			  RECORDOID, row_type));
		HeapTupleData row = {.t_len = HeapTupleHeaderGetDatumLength(header),.t_data = header};

		CHECK_FOR_INTERRUPTS();
		tuplestore_puttuple(result->setResult, &row);
	}
}
