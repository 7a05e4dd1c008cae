/*
 * routing_strategy.h
 *	  Whole plans by a function of the policy's owner.
 */
#ifndef OMS_ROUTING_STRATEGY_H
#define OMS_ROUTING_STRATEGY_H

#include "oms.h"

#include "error.h"
#include "route_decision.h"

/* What a strategy says: shares of the decision's lines and locations. */
typedef struct StrategyAnswer
{
	const char *failure;		/* why there is none; NULL: there is */
	int			share_count;
	RouteShare *shares;
} StrategyAnswer;

extern StrategyAnswer *oms_strategy_ask(const RoutingPolicy *policy, const RoutingDecision *decision);
extern void oms_strategy_check(const char *function, const char *owner, FaultList *faults);

#endif							/* OMS_ROUTING_STRATEGY_H */
