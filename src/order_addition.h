/*
 * order_addition.h
 *	  Promises for units of a placed order: those that an edit adds, and those
 *	  that are taken back to be planned anew.
 */
#ifndef OMS_ORDER_ADDITION_H
#define OMS_ORDER_ADDITION_H

#include "oms.h"

#include "order.h"

struct Placement;

extern bool *oms_order_lines_together(int64 order_id, OrderLines *lines);
extern bool oms_order_withdraw(OrderLines *lines, AllocationList *allocations, const bool *stays, int32 *more, int32 *waiting);
extern Jsonb *oms_order_addition(int64 order_id, const OrderLines *lines, const int32 *more, Jsonb *add);
extern struct Placement *oms_order_plan_beside(const Order *order, Jsonb *document, const StockRow *beside, int count,
											   bool *possible);
extern struct Placement *oms_order_plan_addition(const Order *order, Jsonb *document, int added, bool *possible);
extern void oms_order_write_addition(struct Placement *placement);

/*
 * Plans, promises and writes the lines of a document for a locked order: those
 * with a number that the order has get more units, the others, the last, are new.
 */
extern void oms_order_add(const Order *order, Jsonb *document, int added);

#endif							/* OMS_ORDER_ADDITION_H */
