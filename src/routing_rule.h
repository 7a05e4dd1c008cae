/*
 * routing_rule.h
 *	  Rules of a routing policy that are SQL expressions of its owner.
 */
#ifndef OMS_ROUTING_RULE_H
#define OMS_ROUTING_RULE_H

#include "oms.h"

#include "error.h"
#include "routing.h"

/* What the rules of a policy say about a request. */
typedef struct RuleVerdict
{
	const char *failure;		/* why they could not be evaluated; NULL: they could */
	bool	   *allowed;		/* [(rule * line_count + line) * location_count + location] */
	int64	   *costs;			/* [rule * location_count + location], thousandths */
	int32	   *ranks;			/* by location; NULL: no rule gives any */
} RuleVerdict;

extern RuleVerdict *oms_rules_evaluate(const RoutingPolicy *policy, const RoutingRequest *request);
extern void oms_rules_check(const RoutingPolicy *policy, FaultList *faults);

#endif							/* OMS_ROUTING_RULE_H */
