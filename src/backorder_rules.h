/*
 * backorder_rules.h
 *	  Which promises are withdrawn first, and which orders get units first.
 */
#ifndef OMS_BACKORDER_RULES_H
#define OMS_BACKORDER_RULES_H

#include "oms.h"

/* Which promises a counter that cannot keep them all gives up first; of equals the newest. */
typedef enum WithdrawOrder
{
	WITHDRAW_NEWEST,
	WITHDRAW_LOWEST_PRIORITY,
	WITHDRAW_LATEST_DATE
} WithdrawOrder;

typedef struct BackorderRules
{
	WithdrawOrder withdraw_order;
	bool		replans;		/* what is withdrawn is promised anew in the same call */
	char	   *fill_order;		/* see backorder_rules.c */
	int32		overtakes_max;	/* runs in which later orders may go before an order */
} BackorderRules;

extern BackorderRules oms_backorder_rules(void);
extern void oms_backorder_check_order(const char *fill_order);

#endif							/* OMS_BACKORDER_RULES_H */
