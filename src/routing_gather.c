/*
 * routing_gather.c
 *	  The whole problem of one order: candidates, units, prices, and what a
 *	  decision made again takes from its record.
 */
#include "oms.h"

#include "utils/memutils.h"

#include "routing_gather.h"
#include "scarcity.h"

void
oms_routing_set_terms(RoutingDecision *decision, const RoutingPolicy *policy)
{
	decision->term_count = policy->term_count;
	for (int i = 0; i < policy->term_count; i++)
		decision->terms[i] = (RouteTerm) {policy->terms[i].kind, policy->terms[i].tolerance};
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
	decision->packages_max = relaxed & (INT64CONST(1) << RULE_MAX_FULFILLMENTS) ? 0 : policy->max_fulfillments;
	decision->thumb = policy->thumb;
	decision->whole_lines = policy->whole_lines && (relaxed & (INT64CONST(1) << RULE_WHOLE_LINES)) == 0;
	decision->cost_per_kilometre = policy->cost_per_kilometre;
	decision->converts = policy->converts;
	decision->groups_by_item = policy->groups_by_item;
	decision->policy_ranks = policy->prefer_count > 0 || policy->has_rank_rule;
	decision->cost_per_day_late = policy->cost_per_day_late;
	decision->least_value = relaxed & (INT64CONST(1) << RULE_LEAST_VALUE) ? 0 : policy->least_value;
	decision->dated = !TIMESTAMP_NOT_FINITE(request->requested_at) && (policy->in_time || policy->cost_per_day_late > 0);
	decision->shipping_weight = policy->shipping_weight;
	decision->order_weight = policy->order_weight;
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
	decision->unit_costs = palloc(sizeof(int64) * locations);
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

/* Prices of the past decision for the same line and place; those it did not ask for are none. */
static int64 *
past_scarcity(const Gathering *gathering)
{
	const RoutingDecision *past = gathering->past;
	const RoutingDecision *decision = gathering->decision;
	int64	   *prices;

	if (past->scarcity == NULL)
		return NULL;
	prices = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(int64) * Max(1, (Size) decision->line_count *
																				  decision->location_count),
										MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int i = 0; i < decision->line_count; i++)
		for (int j = 0; j < decision->location_count; j++)
		{
			int			candidate = gathering->past_kind[gathering->location_of[j]];

			for (int k = 0; candidate >= 0 && k < past->line_count; k++)
				if (past->item_ids[k] == decision->item_ids[i])
					prices[(Size) i * decision->location_count + j] =
						past->scarcity[(Size) k * past->location_count + candidate];
		}
	return prices;
}

/* What units are worth to later orders, where the policy counts that. */
static void
price_scarcity(Gathering *gathering)
{
	const RoutingPolicy *policy = gathering->policy;
	RoutingDecision *decision = gathering->decision;

	decision->scarcity = NULL;
	if (policy->scarcity_weight == 0)
		return;
	if (gathering->past && gathering->past->policy_id == policy->policy_id)
	{
		decision->scarcity = past_scarcity(gathering);
		return;
	}
	decision->scarcity = oms_scarcity_read(decision->item_ids, decision->line_count, decision->location_ids,
										   decision->location_count, gathering->request->ordered_at - policy->scarcity_max_age);
	for (Size i = 0; decision->scarcity && i < (Size) decision->line_count * decision->location_count; i++)
		decision->scarcity[i] = oms_weighted(decision->scarcity[i], policy->scarcity_weight);
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
	price_scarcity(gathering);
}
