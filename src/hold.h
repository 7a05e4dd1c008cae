/*
 * hold.h
 *	  Holds on orders, lines and fulfillments.
 */
#ifndef OMS_HOLD_H
#define OMS_HOLD_H

#include "oms.h"

#include "nodes/pg_list.h"

#include "order.h"

#define OMS_HOLDS_PER_ORDER_MAX 1000

/* A hold that an order got when it was placed. */
typedef struct PlacedHold
{
	int64		hold_id;
	const char *type;
	const char *reason;
} PlacedHold;

extern void oms_hold_note(int64 order_id, int32 holds);
extern bool oms_hold_possible(int64 order_id);
extern void oms_hold_check(int64 order_id, const char *action, int64 fulfillment_id, const int32 *lines,
						   int line_count);
extern bool oms_hold_blocks(int64 order_id, const char *action);
extern int	oms_hold_confirmed(Order *order);
extern void oms_hold_charged_back(Order *order, const char *reference);
extern void oms_hold_reconsider(int64 order_id);
extern List *oms_hold_new_order(Order *order, const char *decision);
extern void oms_hold_risk_changed(Order *order);
extern void oms_hold_raised(Order *order);
extern int	oms_hold_answered(int64 order_id, int64 hold_id, const char *note);
extern bool oms_hold_rejected(Order *order, int64 hold_id, const char *reason);

#endif							/* OMS_HOLD_H */
