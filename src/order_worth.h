/*
 * order_worth.h
 *	  An order as order_share.c needs it to say what some of its units are worth.
 */
#ifndef OMS_ORDER_WORTH_H
#define OMS_ORDER_WORTH_H

#include "oms.h"

#include "order.h"
#include "order_share.h"

typedef struct OrderWorth
{
	int			digits;			/* of the currency */
	int			capacity;
	int			adjustment_capacity;
	int32	   *numbers;		/* line_no of each line, ascending */
	Numeric    *prices;			/* of one unit, which may be finer than the currency */
	ShareOrder	share;
} OrderWorth;

/*
 * Reads the lines of an order with the units that have reached a stage (release,
 * shipping; NULL: none are asked about yet).
 */
extern OrderWorth *oms_order_worth_read(const Order *order, const char *stage);

/* The position of a line, -1 where the order has none of that number. */
extern int	oms_order_worth_line(const OrderWorth *worth, int32 line_no);

/* Asks about so many units of the line at a position. */
extern void oms_order_worth_ask(OrderWorth *worth, int line, int32 units);

/* What an order costs by what has reached a stage: nothing before the first unit, its total with the last. */
extern Numeric oms_order_worth(const Order *order, const char *stage);

#endif							/* OMS_ORDER_WORTH_H */
