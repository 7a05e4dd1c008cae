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

/* An error that is not raised yet. */
typedef struct Refusal
{
	int			sqlstate;
	const char *message;
	const char *detail;			/* NULL: none */
	const char *hint;			/* likewise */
} Refusal;

extern void oms_refuse(const Refusal *refusal);
extern Refusal oms_faults_refusal(FaultList *faults, const char *message);
extern void oms_faults_init(FaultList *faults);
extern void oms_fault(FaultList *faults, int sqlstate, const char *hint, const char *place,
					  const char *format,...) pg_attribute_printf(5, 6);
extern void oms_faults_raise(FaultList *faults, const char *message);

#endif							/* OMS_ERROR_H */
