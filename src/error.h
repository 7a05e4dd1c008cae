/*
 * error.h
 *	  Faults of a document, collected and raised together.
 */
#ifndef OMS_ERROR_H
#define OMS_ERROR_H

#include "oms.h"

#include "lib/stringinfo.h"

typedef struct FaultList
{
	StringInfoData detail;
	int			count;
	int			sqlstate;		/* of the gravest fault so far */
	const char *hint;
} FaultList;

extern void oms_faults_init(FaultList *faults);
extern void oms_fault(FaultList *faults, int sqlstate, const char *hint, const char *place,
					  const char *format,...) pg_attribute_printf(5, 6);
extern void oms_faults_raise(FaultList *faults, const char *message);

#endif							/* OMS_ERROR_H */
