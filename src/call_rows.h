/*
 * call_rows.h
 *	  The rows that a call answered with, kept for its idempotency key.
 */
#ifndef OMS_CALL_ROWS_H
#define OMS_CALL_ROWS_H

#include "oms.h"

#include "nodes/execnodes.h"

extern Datum oms_rows_keep(ReturnSetInfo *result);
extern void oms_rows_return(FunctionCallInfo fcinfo, const char *kept);

#endif							/* OMS_CALL_ROWS_H */
