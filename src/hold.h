/*
 * hold.h
 *	  Holds on orders, lines and fulfillments.
 */
#ifndef OMS_HOLD_H
#define OMS_HOLD_H

#include "oms.h"

#define OMS_HOLDS_PER_ORDER_MAX 1000

extern void oms_hold_note(int64 order_id, int32 holds);
extern bool oms_hold_possible(int64 order_id);
extern void oms_hold_check(int64 order_id, const char *action, int64 fulfillment_id, const int32 *lines,
						   int line_count);
extern void oms_hold_reconsider(int64 order_id);

#endif							/* OMS_HOLD_H */
