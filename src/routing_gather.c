/*
 * routing_gather.c
 *	  The whole problem of one order: candidates, units, prices, and what a
 *	  decision made again takes from its record.
 */
#include "oms.h"

#include "utils/memutils.h"

#include "routing_gather.h"

void
oms_routing_set_terms(RoutingDecision *decision, const RoutingPolicy *policy)
{
	decision->term_count = policy->term_count;
	for (int i = 0; i < policy->term_count; i++)
		decision->terms[i] = (RouteTerm) {policy->terms[i].kind, policy->terms[i].tolerance, NULL};
}

static bool
is_held(int64 relaxed, RoutingRule rule)
{
	return (relaxed & (INT64CONST(1) << rule)) == 0;
}

/* Whether the order is served whole or not at all. */
static bool
gives_all_or_none(const RoutingRequest *request, const RoutingPolicy *policy, int64 relaxed)
{
	return request->ship_complete || (policy->ship_complete && is_held(relaxed, RULE_SHIP_COMPLETE));
}

/* The hard limits that are left. */
static void
set_limits(RoutingDecision *decision, const RoutingPolicy *policy, int64 relaxed)
{
	decision->packages_max = is_held(relaxed, RULE_MAX_FULFILLMENTS) ? policy->max_fulfillments : 0;
	decision->whole_lines = policy->whole_lines && is_held(relaxed, RULE_WHOLE_LINES);
	decision->places_max = !decision->whole_lines && is_held(relaxed, RULE_PLACES) ? policy->max_places : 0;
	decision->least_value = is_held(relaxed, RULE_LEAST_VALUE) ? policy->least_value : 0;
	decision->has_floors = policy->floor_count > 0 && is_held(relaxed, RULE_FLOORS);
}

static RoutingDecision *
make_decision(const RoutingRequest *request, const RoutingPolicy *policy, int64 relaxed)
{
	RoutingDecision *decision = palloc0(sizeof(RoutingDecision));
	int			locations = Max(1, request->location_count);
	int			lines = Max(1, request->line_count);

	decision->policy_id = policy->policy_id;
	decision->nodes_max = policy->search_nodes;
	decision->relaxed = relaxed;
	set_limits(decision, policy, relaxed);
	decision->thumb = policy->thumb;
	decision->cost_per_kilometre = policy->cost_per_kilometre;
	decision->converts = policy->converts;
	decision->groups_by_item = policy->groups_by_item;
	decision->policy_ranks = policy->prefer_count > 0 || policy->has_rank_rule;
	decision->cost_per_day_late = policy->cost_per_day_late;
	decision->cost_late = policy->cost_late;
	decision->unknown_metres = policy->unknown_metres;
	decision->dated = !TIMESTAMP_NOT_FINITE(request->requested_at) &&
		(policy->in_time || policy->cost_late > 0 || policy->cost_per_day_late > 0);
	decision->shipping_weight = policy->shipping_weight;
	decision->order_weight = policy->order_weight;
	decision->line_weight = policy->line_weight;
	decision->unit_weight = policy->unit_weight;
	decision->currency = pstrdup(policy->currency ? policy->currency : "");
	decision->asked = *request;
	decision->strategy = decision->strategy_failure = "";
	if (policy->strategy == NULL)
		oms_routing_set_terms(decision, policy);
	decision->rule_count = policy->rule_count;
	decision->rule_names = palloc(sizeof(char *) * Max(1, policy->rule_count));
	for (int i = 0; i < policy->rule_count; i++)
		decision->rule_names[i] = pstrdup(policy->rules[i].name);
	decision->rule_costs = palloc0(sizeof(int64) * Max(1, policy->rule_count) * locations);
	decision->item_ids = palloc(sizeof(int64) * lines);
	decision->units = palloc(sizeof(int32) * lines);
	decision->factors = palloc(sizeof(int32) * lines);
	decision->weights = palloc(sizeof(int64) * lines);
	decision->values = palloc(sizeof(int64) * lines);
	decision->location_ids = palloc(sizeof(int64) * locations);
	decision->fixed_costs = palloc(sizeof(int64) * locations);
	decision->line_costs = palloc(sizeof(int64) * locations);
	decision->unit_costs = palloc(sizeof(int64) * locations);
	if ((policy->later_cost > 0 || policy->later_value_weight > 0) && !gives_all_or_none(request, policy, relaxed))
		decision->later_costs = palloc(sizeof(int64) * lines);
	decision->distances = palloc(sizeof(int64) * locations);
	decision->ranks = palloc(sizeof(int32) * locations);
	decision->tariff_of = palloc(sizeof(int32) * locations);
	decision->stock = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(int32) * lines * (Size) locations,
												 MCXT_ALLOC_HUGE);
	decision->exclusions = palloc(sizeof(RoutingExclusion) * locations);
	return decision;
}

/* Whether the services are those that the past decision considered. */
static bool
may_use_past_prices(const Gathering *gathering)
{
	const RoutingDecision *past = gathering->past;
	const char *currency = gathering->policy->currency ? gathering->policy->currency : "";

	/* Tariffs that count days are those of one policy only. */
	if (past && (past->dated || gathering->decision->dated) && past->policy_id != gathering->policy->policy_id)
		return false;
	return past && past->tariff_count > 0 && strcmp(past->currency, currency) == 0 &&
		past->converts == gathering->policy->converts;
}

/* Whether parcels can have the weights that they could have in the past decision, no others. */
static bool
has_past_lines(const Gathering *gathering)
{
	const RoutingDecision *past = gathering->past;
	const RoutingDecision *decision = gathering->decision;

	if (past->line_count != decision->line_count)
		return false;
	for (int i = 0; i < past->line_count; i++)
		if (past->item_ids[i] != decision->item_ids[i] || past->units[i] != decision->units[i] ||
			past->weights[i] != decision->weights[i])
			return false;
	return true;
}

void
oms_routing_gather(Gathering *gathering, int64 relaxed)
{
	const RoutingRequest *request = gathering->request;

	gathering->relaxed = relaxed;
	gathering->lacked = 0;
	gathering->decision = make_decision(request, gathering->policy, relaxed);
	gathering->location_of = gathering->decision->place_of = palloc(sizeof(int) * Max(1, request->location_count));
	gathering->past_prices = may_use_past_prices(gathering);
	gathering->ship_complete = gives_all_or_none(request, gathering->policy, relaxed);
	oms_routing_bundle(gathering);
	oms_routing_choose_locations(gathering);
	oms_routing_choose_lines(gathering);
	if (gathering->past_prices && !has_past_lines(gathering))
	{
		gathering->past_prices = false;
		gathering->decision->location_count = gathering->decision->exclusion_count = 0;
		oms_routing_choose_locations(gathering);
		oms_routing_choose_lines(gathering);
	}
	oms_routing_price_shipping(gathering);
	oms_routing_choose_lines(gathering);
	oms_routing_price_load(gathering);
	oms_routing_price_units(gathering);
	oms_routing_rank(gathering);
}
