/*
 * routing_owner.h
 *	  Statements of a routing policy's owner, run with its rights.
 */
#ifndef OMS_ROUTING_OWNER_H
#define OMS_ROUTING_OWNER_H

#include "oms.h"

#include "executor/spi.h"

/* Work of the owner's, inside a subtransaction of its own. */
typedef void (*OwnerWork) (void *state, Oid role);

extern char *oms_owner_run(const char *owner, OwnerWork work, void *state);
extern SPIPlanPtr oms_owner_kept(const char *sql, Oid role);
extern void oms_owner_keep(const char *sql, Oid role, SPIPlanPtr plan);
extern int	oms_owner_query(SPIPlanPtr plan, Datum *values, const char *nulls);

#endif							/* OMS_ROUTING_OWNER_H */
