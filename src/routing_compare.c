/*
 * routing_compare.c
 *	  A plan beside the promises that it would replace.
 */
#include "oms.h"

#include "route_decision.h"
#include "routing.h"

static int
candidate_of(const RoutingDecision *decision, int64 location_id)
{
	for (int i = 0; i < decision->location_count; i++)
		if (decision->location_ids[i] == location_id)
			return i;
	return -1;
}

static int
line_of_item(const RoutingDecision *decision, int64 item_id)
{
	for (int i = 0; i < decision->line_count; i++)
		if (decision->item_ids[i] == item_id)
			return i;
	return -1;
}

/* Prices the old promises as the new plan is; false where they are no plan any more. */
static bool
price_old(RoutingDecision *decision, const RoutingUnits *units, int count, RouteResult *old)
{
	RouteShare *shares = palloc(sizeof(RouteShare) * Max(1, count));

	for (int i = 0; i < count; i++)
	{
		int			line = line_of_item(decision, units[i].item_id);
		int			location = candidate_of(decision, units[i].location_id);

		if (line < 0 || location < 0 || units[i].quantity % decision->factors[line] != 0)
			return false;
		shares[i] = (RouteShare) {line, location, units[i].quantity / decision->factors[line]};
	}
	return oms_decision_price(decision, shares, count, old) == NULL;
}

/* The value of a term of a ranking. */
static int64
term_value(const RoutingDecision *decision, const RouteTerm *term, int64 cost, const RoutePackage *packages, int count)
{
	int64		sum = 0;

	if (term->kind == ROUTE_TERM_COST)
		return cost;
	for (int i = 0; i < count; i++)
		sum += term->kind == ROUTE_TERM_DISTANCE ? Max(oms_decision_metres(decision, packages[i].location), 0)
			: term->kind == ROUTE_TERM_RANK ? decision->ranks[packages[i].location]
			: term->kind == ROUTE_TERM_VALUE ? term->value[packages[i].location] : 1;
	return sum;
}

/* How much better the new plan is, by the policy: above 0 better, below 0 worse. */
static int
compare_decision(RoutingDecision *decision, const RouteResult *old)
{
	for (int i = 0; i < decision->term_count; i++)
	{
		const RouteTerm *term = &decision->terms[i];
		int64		before = term_value(decision, term, old->cost, old->packages, old->package_count);
		int64		now = term_value(decision, term, decision->cost, decision->packages, decision->package_count);

		if (before - now > term->tolerance || now - before > term->tolerance)
			return before > now ? 1 : -1;
	}
	return old->cost > decision->cost ? 1 : old->cost < decision->cost ? -1 : 0;
}

/*
 * Compares the plan of a decision with units that were promised.  Where these
 * break a rule of today, or could serve more, the plan is better.
 */
RoutingComparison
oms_routing_compare(const RoutingPlan *plan, const RoutingUnits *units, int count)
{
	RoutingDecision *decision = plan->decision;
	RoutingComparison comparison = {.cost = decision->cost,.order = 1};
	RouteResult old = {0};

	comparison.priced = price_old(decision, units, count, &old);
	if (comparison.priced)
	{
		comparison.old_cost = old.cost;
		comparison.order = compare_decision(decision, &old);
	}
	return comparison;
}
