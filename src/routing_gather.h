/*
 * routing_gather.h
 *	  What the steps of planning by a policy share: routing.c says how they
 *	  follow one another.
 */
#ifndef OMS_ROUTING_GATHER_H
#define OMS_ROUTING_GATHER_H

#include "oms.h"

#include "network.h"
#include "route_decision.h"
#include "routing.h"
#include "routing_rule.h"

/* What a place was in the decision that is made again, where it was no candidate. */
#define PAST_NOTHING			(-1)
#define PAST_EXCLUSION(index)	(-2 - (index))

/* What is gathered for one order. */
typedef struct Gathering
{
	const RoutingRequest *request;
	const RoutingPolicy *policy;
	Network    *network;
	int64		relaxed;
	RoutingDecision *decision;
	int		   *location_of;	/* the same of locations */
	const RateCard **cards;		/* by location of the problem and service */
	bool	   *zone_only;		/* the same: no card, but a zone */
	bool	   *usable;			/* by service */
	int64	   *exchange;		/* of its currency; NULL unless the policy converts */
	int32	   *days_late;		/* by location of the problem and service, or DAYS_...; NULL unless dated */
	int			usable_count;
	int			step_count;
	int64	   *steps;			/* parcel weights that can come up, rising */
	const RoutingDecision *past;	/* the decision made again; NULL: none */
	int		   *past_kind;		/* by place: candidate of past, PAST_NOTHING, or PAST_EXCLUSION */
	bool		past_prices;	/* its tariffs hold for this problem */
	int			lacked;			/* what past did not tell */
	RuleVerdict *verdict;		/* of the policy's expressions; NULL: none, or past tells */
	bool		complete;		/* every unit can be served */
	bool		ship_complete;	/* and must be, or none */
	bool		too_large;		/* beyond the kernel's limits */
	const char *strategy_failure;	/* why the strategy's answer and no other plan is taken; NULL: not so */
	RouteReason reason;			/* why the kernel found no plan */
} Gathering;

static inline bool
oms_routing_is_plan(RouteStatus status)
{
	return status == ROUTE_OPTIMAL || status == ROUTE_FEASIBLE;
}

/* routing_candidates.c */
extern bool oms_routing_holds(const Gathering *gathering, int rule);
extern void oms_routing_exclude(Gathering *gathering, int place, ExclusionReason reason, int64 detail);
extern void oms_routing_choose_locations(Gathering *gathering);
extern void oms_routing_choose_lines(Gathering *gathering);
extern int oms_routing_line_of_item(const RoutingDecision *decision, int64 item_id);

/* routing_value.c */
extern void oms_routing_bundle(Gathering *gathering);
extern void oms_routing_price_load(Gathering *gathering);
extern void oms_routing_price_units(Gathering *gathering);
extern void oms_routing_rank(Gathering *gathering);

/* routing_shipping.c */
extern void oms_routing_price_shipping(Gathering *gathering);
extern int64 oms_routing_cheapest(Gathering *gathering, int location, int64 grams, int *service);

/* routing_gather.c */
extern void oms_routing_set_terms(RoutingDecision *decision, const RoutingPolicy *policy);
extern void oms_routing_gather(Gathering *gathering, int64 relaxed);

/* routing_refusal.c */
extern const char *oms_routing_exclusion_text(const RoutingDecision *decision, const RoutingExclusion *exclusion);
extern int32 oms_routing_units_short(const RoutingRequest *request, int line);
extern const char *oms_routing_refusal(const Gathering *gathering, const RoutingPlan *plan);

#endif							/* OMS_ROUTING_GATHER_H */
