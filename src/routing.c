/*
 * routing.c
 *	  Orders planned by a routing policy.
 *
 * From the request to the kernel: the policy's rules take candidates away,
 * each with its reason; the rate cards of the services that may carry the
 * order give every candidate a tariff by parcel weight; the kernel finds the
 * cheapest plan.  Where no plan serves every unit, the rules that the policy
 * declares soft are given up one after the other.
 *
 * One step a file: routing_candidates.c takes locations away, routing_shipping.c
 * prices parcels, routing_gather.c puts the problem together, route_decision.c
 * solves and records it, routing_refusal.c says why there is no plan, and
 * routing_explain.c why there is this one.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/memutils.h"

#include "call.h"
#include "event.h"
#include "heap.h"
#include "relation.h"
#include "routing_gather.h"
#include "routing_strategy.h"

/* For orders without a policy whose lines stay together: the built-in rule knows nothing of that. */
static const RoutingPolicy plain_policy = {
	.thumb = ROUTE_POLICY_NEAREST_COMPLETE + 1,.max_kilometres = NAN,.search_nodes = ROUTE_NODES_DEFAULT
};

/* Whether a policy decides between so many candidates; a single one may still break a rule of it, or of the order. */
bool
oms_routing_applies(const PolicyScope *order, int candidates, bool company)
{
	const RoutingPolicy *policy = oms_routing_policy(order);

	if (candidates == 0 || (policy == NULL && !company))
		return false;
	return company || candidates > 1 || policy->in_time || policy->only_count > 0 || policy->without_count > 0 ||
		policy->rule_count > 0 || policy->floor_count > 0 || !isnan(policy->max_kilometres);
}

/* Keeps what the kernel found. */
static void
keep_result(Gathering *gathering, const RouteResult *result)
{
	RoutingDecision *decision = gathering->decision;

	decision->proven = result->proven;
	decision->cost = result->cost;
	decision->lower_bound = result->lower_bound;
	decision->share_count = result->share_count;
	decision->shares = result->shares;
	decision->package_count = result->package_count;
	decision->packages = result->packages;
	decision->services = palloc(sizeof(char *) * Max(1, result->package_count));
	for (int i = 0; i < result->package_count; i++)
	{
		int			service = -1;

		if (gathering->cards)
			(void) oms_routing_cheapest(gathering, result->packages[i].location, result->packages[i].weight_grams, &service);
		decision->services[i] = service >= 0 ? unconstify(char *, gathering->network->services[service].code) : "";
	}
}

/* The answer that the same policy's strategy gave before, by today's numbers of lines and candidates. */
static StrategyAnswer *
past_answer(const Gathering *gathering)
{
	const RoutingDecision *past = gathering->past;
	const RoutingDecision *decision = gathering->decision;
	StrategyAnswer *answer = palloc0(sizeof(StrategyAnswer));

	if (past->strategy_failure[0] != '\0')
	{
		answer->failure = past->strategy_failure;
		return answer;
	}
	answer->shares = palloc(sizeof(RouteShare) * Max(1, past->share_count));
	for (int i = 0; i < past->share_count; i++)
	{
		int			line = oms_routing_line_of_item(decision, past->item_ids[past->shares[i].line]);
		int			location = 0;

		while (location < decision->location_count &&
			   gathering->past_kind[gathering->location_of[location]] != past->shares[i].location)
			location++;
		answer->shares[answer->share_count++] = (RouteShare) {line, location, past->shares[i].units};
	}
	return answer;
}

/* Plans as the policy declares it for a strategy without a plan; result has the optimum and keeps it for FALLBACK_COST. */
static bool
fall_back(Gathering *gathering, RouteResult *result)
{
	RoutingDecision *decision = gathering->decision;

	switch (gathering->policy->fallback)
	{
		case FALLBACK_COST:
			return true;
		case FALLBACK_RANKING:
			oms_routing_set_terms(decision, gathering->policy);
			oms_routing_rank(gathering);
			break;
		case FALLBACK_NEAREST:
			decision->thumb = ROUTE_POLICY_NEAREST_COMPLETE + 1;
			break;
		case FALLBACK_REFUSE:
			gathering->strategy_failure = decision->strategy_failure;
			return false;
	}
	return oms_routing_is_plan(oms_decision_solve(decision, NULL, result));
}

/*
 * Lets the policy's strategy plan what the optimum, in result, has shown to be
 * possible.  Where there is one way only nobody is asked.
 */
static bool
follow_strategy(Gathering *gathering, RouteResult *result)
{
	RoutingDecision *decision = gathering->decision;
	bool		again = gathering->past && gathering->past->policy_id == gathering->policy->policy_id;
	StrategyAnswer *answer;
	RouteResult plan = {0};
	const char *failure;

	if (decision->location_count + decision->exclusion_count < 2)
		return true;
	answer = again ? past_answer(gathering) : oms_strategy_ask(gathering->policy, decision);
	gathering->lacked |= gathering->past && !again ? LACKED_STRATEGY : 0;
	decision->strategy = pstrdup(gathering->policy->strategy);
	failure = answer->failure;
	if (failure == NULL)
		failure = oms_decision_price(decision, answer->shares, answer->share_count, &plan);
	if (failure)
	{
		decision->strategy_failure = pstrdup(failure);
		return fall_back(gathering, result);
	}
	plan.lower_bound = result->lower_bound;
	plan.gap = plan.cost - plan.lower_bound;
	plan.proven = plan.gap == 0;
	*result = plan;
	return true;
}

/*
 * Gathers and solves, giving up soft rules in their order until every unit is
 * served.  False where the last attempt has no plan.
 */
static bool
solve_with_rules(Gathering *gathering)
{
	const RoutingDecision *past = gathering->past;
	int64		relaxed = 0;

	for (int attempt = 0;; attempt++)
	{
		bool		last = attempt == gathering->policy->relax_count;
		bool		given_up = past && past->policy_id == gathering->policy->policy_id && past->relaxed != relaxed;
		RouteResult result = {0};
		RouteStatus status;

		/* The same policy gave up the same rules. */
		if (!given_up || last)
			oms_routing_gather(gathering, relaxed);
		if (gathering->ship_complete && !gathering->complete)
		{
			if (last)
				return false;
		}
		else if (given_up ? last : gathering->complete || last)
		{
			if (gathering->decision->line_count == 0)
				return false;
			status = oms_decision_solve(gathering->decision, NULL, &result);
			if (oms_routing_is_plan(status))
			{
				if (gathering->policy->strategy && !follow_strategy(gathering, &result))
					return false;
				keep_result(gathering, &result);
				return true;
			}
			gathering->too_large = status != ROUTE_INFEASIBLE;
			gathering->reason = result.reason;
			if (last || gathering->too_large)
				return false;
		}
		relaxed |= INT64CONST(1) << gathering->policy->relax[attempt];
	}
}

/* ---- The plan ---- */

static void
add_part(RoutingPlan *plan, int line, int location, int32 quantity, bool backordered)
{
	plan->parts[plan->part_count++] = (RoutingPart) {line, location, quantity, backordered};
	plan->missing[line] -= quantity;
}

static int32
backorder_at(const RoutingRequest *request, int line, int place)
{
	return request->lines[line].backorder ? request->backorder[(Size) line * request->location_count + place] : 0;
}

/* Whether a place can promise all that lines which stay together lack. */
static bool
takes_bundle(const RoutingRequest *request, const RoutingPlan *plan, int32 bundle, int place)
{
	for (int line = 0; line < request->line_count; line++)
		if (plan->bundles[line] == bundle && backorder_at(request, line, place) < plan->missing[line])
			return false;
	return true;
}

/* Lines that stay together wait at one place: of the plan where possible. */
static void
backorder_bundle(const RoutingRequest *request, const bool *used, RoutingPlan *plan, int32 bundle)
{
	for (int round = 0; round < 2; round++)
		for (int j = 0; j < request->location_count; j++)
		{
			if (used[j] != (round == 0) || !takes_bundle(request, plan, bundle, j))
				continue;
			for (int line = 0; line < request->line_count; line++)
				if (plan->bundles[line] == bundle)
					add_part(plan, line, j, plan->missing[line], true);
			return;
		}
}

static bool
comes_from(const RoutingPlan *plan, int line, int place)
{
	for (int i = 0; i < plan->part_count; i++)
		if (plan->parts[i].line == line && plan->parts[i].location == place)
			return true;
	return false;
}

/*
 * The place at which a line that may come from few waits next: its last one
 * must take all, those before it as much as any can.  -1: none.
 */
static int
next_place(const RoutingRequest *request, const bool *used, const RoutingPlan *plan, int line, int left)
{
	int32		most = 0;
	int			best = -1;

	for (int round = 0; round < 2; round++)
		for (int j = 0; j < request->location_count; j++)
		{
			int32		units = backorder_at(request, line, j);

			if (used[j] != (round == 0) || comes_from(plan, line, j) || units == 0)
				continue;
			if (left == 1 && units >= plan->missing[line])
				return j;
			if (left > 1 && units > most)
			{
				most = units;
				best = j;
			}
		}
	return best;
}

/* Units of a line that may come from few places. */
static void
backorder_from_few(const RoutingRequest *request, const bool *used, RoutingPlan *plan, int line)
{
	int			left = (int) plan->places_max;

	for (int j = 0; j < request->location_count && plan->missing[line] > 0; j++)
	{
		int32		units = Min(backorder_at(request, line, j), plan->missing[line]);

		if (!comes_from(plan, line, j))
			continue;
		left--;
		if (units > 0)
			add_part(plan, line, j, units, true);
	}
	for (; left > 0 && plan->missing[line] > 0; left--)
	{
		int			place = next_place(request, used, plan, line, left);

		if (place < 0)
			return;
		add_part(plan, line, place, Min(backorder_at(request, line, place), plan->missing[line]), true);
	}
}

/* Units that no candidate has: first from the locations of the plan. */
static void
add_backorders(const RoutingRequest *request, const bool *used, RoutingPlan *plan)
{
	for (int line = 0; line < request->line_count; line++)
	{
		if (plan->missing[line] == 0)
			continue;
		if (plan->bundles && plan->bundles[line] >= 0)
			backorder_bundle(request, used, plan, plan->bundles[line]);
		else if (plan->places_max > 0)
			backorder_from_few(request, used, plan, line);
		else
			for (int round = 0; round < 2; round++)
				for (int j = 0; j < request->location_count && plan->missing[line] > 0; j++)
				{
					int32		units = Min(backorder_at(request, line, j), plan->missing[line]);

					if (used[j] == (round == 0) && units > 0)
						add_part(plan, line, j, units, true);
				}
	}
}

/* Too little stock, whatever the rules: say how much is there. */
static void
report_shortage(const RoutingRequest *request, RoutingPlan *plan)
{
	for (int i = 0; i < request->line_count; i++)
		plan->missing[i] = oms_routing_units_short(request, i);
}

/* Whether the order wants lines to come from one place. */
static bool
has_company(const RoutingRequest *request)
{
	for (int i = 0; i < request->line_count; i++)
		if (request->lines[i].together > 0)
			return true;
	return false;
}

/* Whether the kernel takes lines as many and as large as these. */
static bool
is_within_limits(const RoutingRequest *request, const RoutingPolicy *policy)
{
	if (request->line_count > ROUTE_LINES_MAX)
		return false;
	for (int i = 0; i < request->line_count; i++)
		if (request->lines[i].quantity > ROUTE_QUANTITY_MAX && !(policy->whole_lines && policy->relax_count == 0))
			return false;
	return true;
}

/*
 * Makes parts of what a decision gives to lines and places, and of backorders.
 * Without a decision nothing is given.
 */
void
oms_routing_finish(const RoutingRequest *request, RoutingPlan *plan)
{
	const RoutingDecision *decision = plan->decision;
	bool	   *used = palloc0(sizeof(bool) * Max(1, request->location_count));
	int		   *line_of = palloc(sizeof(int) * Max(1, request->line_count));
	Size		cells = (Size) request->line_count * request->location_count;
	Size		most = 1;

	for (Size i = 0; i < cells; i++)
		most += (request->free[i] > 0) + (request->backorder[i] > 0);
	plan->part_count = 0;
	plan->parts = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(RoutingPart) * most, MCXT_ALLOC_HUGE);
	plan->missing = palloc(sizeof(int32) * Max(1, request->line_count));
	for (int i = 0; i < request->line_count; i++)
		plan->missing[i] = request->lines[i].quantity;

	/* Lines of the problem are some of the request's, in the same order. */
	for (int i = 0, line = 0; decision && i < decision->line_count && line < request->line_count; line++)
		if (request->lines[line].item_id == decision->item_ids[i])
			line_of[i++] = line;
	for (int i = 0; decision && i < decision->share_count; i++)
	{
		RouteShare *share = &decision->shares[i];
		int			location = decision->place_of[share->location];

		used[location] = true;
		add_part(plan, line_of[share->line], location, share->units * decision->factors[share->line], false);
	}
	add_backorders(request, used, plan);
}

/* A plan that gives nothing, for a reason. */
static RoutingPlan *
refused_plan(const RoutingRequest *request, const char *refusal)
{
	RoutingPlan *plan = palloc0(sizeof(RoutingPlan));

	plan->refusal = refusal;
	plan->missing = palloc(sizeof(int32) * Max(1, request->line_count));
	for (int i = 0; i < request->line_count; i++)
		plan->missing[i] = request->lines[i].quantity;
	return plan;
}

/* Gathers, solves, and says what cannot be served. */
static RoutingPlan *
make_plan(Gathering *gathering)
{
	const RoutingRequest *request = gathering->request;
	RoutingPlan *plan = palloc0(sizeof(RoutingPlan));
	int64		missing = 0;

	if (!is_within_limits(request, gathering->policy))
		return has_company(request) ? refused_plan(request, "The order is too large to keep lines together.") : NULL;
	if (gathering->policy->rule_count > 0 && !(gathering->past && gathering->past->policy_id == gathering->policy->policy_id))
	{
		gathering->verdict = oms_rules_evaluate(gathering->policy, request);
		if (gathering->verdict->failure)
			return refused_plan(request, gathering->verdict->failure);
	}
	if (solve_with_rules(gathering))
		plan->decision = gathering->decision;
	else if (gathering->too_large)
		return has_company(request) ? refused_plan(request, "The order is too large to keep lines together.") : NULL;
	else if (gathering->strategy_failure)
		return refused_plan(request, psprintf("The strategy of the policy gave no plan: %s.", gathering->strategy_failure));
	plan->bundles = gathering->decision->asked_bundles;
	plan->places_max = gathering->decision->whole_lines ? 1 : gathering->decision->places_max;
	oms_routing_finish(request, plan);
	for (int i = 0; i < request->line_count; i++)
		missing += plan->missing[i];
	if (missing > 0 && (plan->refusal = oms_routing_refusal(gathering, plan)) == NULL)
		report_shortage(request, plan);
	return plan;
}

/*
 * Plans the units of a request; NULL where the kernel's limits do not allow
 * it, so that the built-in rule must decide.
 */
RoutingPlan *
oms_routing_plan(const RoutingRequest *request)
{
	const RoutingPolicy *policy = oms_routing_policy(&request->scope);
	Gathering	gathering = {.request = request,.network = oms_network()};
	RoutingPlan *plan;

	gathering.policy = policy == NULL && has_company(request) ? &plain_policy : policy;
	plan = gathering.policy ? make_plan(&gathering) : NULL;
	if (plan)
		plan->has_rules = gathering.policy->rule_count > 0 || gathering.policy->strategy != NULL;
	return plan;
}

static void
name_past_places(Gathering *gathering)
{
	const RoutingDecision *past = gathering->past;
	int			count = gathering->request->location_count;

	gathering->past_kind = palloc(sizeof(int) * Max(1, count));
	for (int i = 0; i < count; i++)
		gathering->past_kind[i] = PAST_NOTHING;
	for (int i = 0; i < past->exclusion_count; i++)
		gathering->past_kind[past->exclusions[i].place] = PAST_EXCLUSION(i);
	for (int i = 0; i < past->location_count; i++)
		gathering->past_kind[past->place_of[i]] = i;
}

/*
 * Plans what a decision planned, by any policy.  Stock, places, costs and
 * tariffs are those of the record; what the policy asks beyond is read from
 * the configuration, and lacked says so.
 */
RoutingPlan *
oms_routing_plan_again(const RoutingRequest *request, const RoutingPolicy *policy, const RoutingDecision *past,
					   int *lacked)
{
	Gathering	gathering = {.request = request,.policy = policy,.network = oms_network(),.past = past};
	RoutingPlan *plan;

	name_past_places(&gathering);
	plan = make_plan(&gathering);
	if (gathering.verdict)
		gathering.lacked |= LACKED_RULES;
	*lacked |= gathering.lacked;
	return plan;
}

/*
 * What every place would charge for the request, whatever any policy makes of
 * it: a problem without a plan.
 */
RoutingDecision *
oms_routing_prices(const RoutingRequest *request, const RoutingDecision *past, int *lacked)
{
	RoutingPolicy policy = {
		.shipping_weight = 1,.order_weight = 1,.unit_weight = 1,.max_kilometres = NAN,
		.whole_lines = past->whole_lines != 0,.currency = past->currency[0] ? past->currency : NULL,
		.converts = past->converts != 0
	};
	Gathering	gathering = {.request = request,.policy = &policy,.network = oms_network(),.past = past};

	name_past_places(&gathering);
	oms_routing_gather(&gathering, 0);
	*lacked |= gathering.lacked;
	return gathering.decision;
}

/* Adds the rules that a plan has given up to a list of names. */
List *
oms_routing_relaxed(const RoutingPlan *plan, List *names)
{
	return plan->decision ? oms_decision_relaxed(plan->decision, names) : names;
}

/* The service that a plan chose for a location; NULL: it did not. */
const char *
oms_routing_service(const RoutingPlan *plan, int64 location_id)
{
	const RoutingDecision *decision = plan ? plan->decision : NULL;

	for (int i = 0; decision && i < decision->package_count; i++)
		if (decision->location_ids[decision->packages[i].location] == location_id)
			return decision->services[i][0] ? decision->services[i] : NULL;
	return NULL;
}

/* ---- The record ---- */

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {routing_decisions} (order_id, policy_id, at, tenant_id, cost, record, decision_no)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT8OID, INT8OID, TIMESTAMPTZOID, INT4OID, NUMERICOID, BYTEAOID, INT4OID)
};

static OmsHeap decision_heap = {
	.relation = "routing_decisions",
	.column_count = 7,
	.columns = {"order_id", "policy_id", "at", "tenant_id", "cost", "record", "decision_no"}
};

/* Nothing is recorded where there was nothing to decide. */
void
oms_routing_record(const RoutingPlan *plan, int64 order_id, int decision_no)
{
	RoutingDecision *decision = plan->decision;
	Datum		values[7];

	if (decision == NULL || decision->policy_id == 0 || decision->location_count + decision->exclusion_count < 2)
		return;
	if (decision->strategy_failure[0] != '\0')
		oms_event(&(Event) {.order_id = order_id,.object_id = order_id,.object_type = "order",.type = "order.strategy_failed",
							.action = decision->strategy,.reason = decision->strategy_failure});
	values[0] = Int64GetDatum(order_id);
	values[1] = Int64GetDatum(decision->policy_id);
	values[2] = TimestampTzGetDatum(oms_call->now);
	values[3] = Int32GetDatum(oms_call->tenant);
	values[4] = NumericGetDatum(int64_div_fast_to_numeric(decision->cost, 3));
	values[5] = PointerGetDatum(oms_decision_write(decision));
	values[6] = Int32GetDatum(decision_no);
	if (oms_heap_is_plain(&decision_heap))
		oms_heap_insert_one(&decision_heap, values, "       ");
	else
		(void) oms_execute(&insert_plan, values, NULL);
}
