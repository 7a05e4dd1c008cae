/*
 * order_reference.h
 *	  What is known already of the orders of one call, looked up at once.
 */
#ifndef OMS_ORDER_REFERENCE_H
#define OMS_ORDER_REFERENCE_H

#include "oms.h"

#include "order_placement.h"

/* Which of some placements have an order by their channel and reference; NULL ones have none. */
extern bool *oms_placements_existing(Placement *const *placements, int count);

/* Which have payments whose references stand before in the call or belong to others. */
extern bool *oms_placements_taken(Placement *const *placements, int count);

#endif							/* OMS_ORDER_REFERENCE_H */
