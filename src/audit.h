/*
 * audit.h
 *	  Recomputes every counter, balance and status from the ledgers.
 */
#ifndef OMS_AUDIT_H
#define OMS_AUDIT_H

#include "oms.h"

#include "relation.h"

/* Rows of (check, object, expected, found). */
extern void oms_audit_each(OmsRowCallback callback, void *state);

#endif							/* OMS_AUDIT_H */
