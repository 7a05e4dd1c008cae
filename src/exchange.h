/*
 * exchange.h
 *	  Other goods for those that come back.
 */
#ifndef OMS_EXCHANGE_H
#define OMS_EXCHANGE_H

#include "oms.h"

#include "order.h"

/* The order that another one was exchanged for, locked, and the return between them. */
typedef struct Exchange
{
	Order	   *order;
	int64		return_id;
} Exchange;

/* NULL where the order is no exchange. */
extern Exchange *oms_exchange_of(int64 order_id);

/*
 * Lets the order that a return is exchanged for follow it: places it once it
 * may be, and pays it with what was granted for the units.  The order of the
 * return is locked; a return that is no exchange is left alone.
 */
extern void oms_exchange_follow(Order *order, int64 return_id);

#endif							/* OMS_EXCHANGE_H */
