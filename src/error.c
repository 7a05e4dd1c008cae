/*
 * error.c
 *	  Faults of a document, collected and raised together: a caller sees
 *	  everything that is wrong at once.
 */
#include "oms.h"

#include "error.h"

/* Beyond this many the rest is only counted. */
#define FAULTS_LISTED_MAX 100

void
oms_faults_init(FaultList *faults)
{
	initStringInfo(&faults->detail);
	faults->count = 0;
	faults->sqlstate = 0;
	faults->hint = NULL;
}

/*
 * A document whose shape is wrong cannot be judged further, so that comes
 * first; then limits, then references, then everything else.
 */
static int
gravity(int sqlstate)
{
	if (sqlstate == ERRCODE_OMS_DOCUMENT)
		return 4;
	if (sqlstate == ERRCODE_OMS_LIMIT)
		return 3;
	if (sqlstate == ERRCODE_OMS_UNKNOWN)
		return 2;
	return 1;
}

/* Notes one fault; place is its path in the document, such as lines[3].sku. */
void
oms_fault(FaultList *faults, int sqlstate, const char *hint, const char *place,
		  const char *format,...)
{
	faults->count++;
	if (faults->sqlstate == 0 || gravity(sqlstate) > gravity(faults->sqlstate))
	{
		faults->sqlstate = sqlstate;
		faults->hint = hint;
	}
	if (faults->count > FAULTS_LISTED_MAX)
		return;
	if (faults->count > 1)
		appendStringInfoChar(&faults->detail, '\n');
	appendStringInfo(&faults->detail, "%s: ", place);
	for (;;)
	{
		va_list		arguments;
		int			needed;

		va_start(arguments, format);
		needed = appendStringInfoVA(&faults->detail, format, arguments);
		va_end(arguments);
		if (needed == 0)
			break;
		enlargeStringInfo(&faults->detail, needed);
	}
}

void
oms_refuse(const Refusal *refusal)
{
	ereport(ERROR,
			(errcode(refusal->sqlstate),
			 errmsg_internal("%s", refusal->message),
			 refusal->detail ? errdetail_internal("%s", refusal->detail) : 0,
			 refusal->hint ? errhint("%s", refusal->hint) : 0));
}

/* What was collected, as the error that it makes. */
Refusal
oms_faults_refusal(FaultList *faults, const char *message)
{
	Assert(faults->count > 0);
	if (faults->count > FAULTS_LISTED_MAX)
		appendStringInfo(&faults->detail, "\nand %d more", faults->count - FAULTS_LISTED_MAX);
	return (Refusal) {faults->sqlstate, message, faults->detail.data, faults->hint};
}

/* Raises what was collected; returns when there is nothing. */
void
oms_faults_raise(FaultList *faults, const char *message)
{
	Refusal		refusal;

	if (faults->count == 0)
		return;
	refusal = oms_faults_refusal(faults, message);
	oms_refuse(&refusal);
}
