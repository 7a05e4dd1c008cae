/*
 * reference_check.h
 *	  External references that calls give to objects: one names one object.
 */
#ifndef OMS_REFERENCE_CHECK_H
#define OMS_REFERENCE_CHECK_H

#include "oms.h"

#include "error.h"

/* References that a call gives, of objects that are there by id or code (items, locations) or are new. */
typedef struct ReferenceList
{
	int			count;
	int			capacity;
	char	  **references;
	const char **places;		/* in the document */
	int64	   *ids;			/* 0: by code or new */
	char	  **codes;			/* NULL: by id or new */
} ReferenceList;

/* Adds one; NULL is none. */
extern void oms_reference_add(ReferenceList *list, char *reference, const char *place, int64 id, char *code);

/*
 * Notes which references stand in a list twice or belong to another object of
 * the type; order_id is for lines, whose references are those of their order.
 */
extern void oms_references_check(const char *type, const ReferenceList *list, int64 order_id, FaultList *faults);

/* Which of a list would be refused, without saying why. */
extern bool *oms_references_refused(const char *type, const ReferenceList *list, int64 order_id);

/* Whether an error is that a reference was given to another object meanwhile. */
extern bool oms_reference_raced(const ErrorData *error);

#endif							/* OMS_REFERENCE_CHECK_H */
