/*
 * routing_explain.c
 *	  A recorded decision, explained row by row.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "funcapi.h"

#include "call.h"
#include "money.h"
#include "relation.h"
#include "routing_gather.h"

static OmsPlan read_plan = {
	.sql = "SELECT d.record, p.code || ' version ' || p.version FROM {routing_decisions} d"
	" LEFT JOIN {routing_policies} p ON p.policy_id = d.policy_id AND p.tenant_id = $1"
	" WHERE d.order_id = $2 AND d.tenant_id = $1 ORDER BY d.decision_no DESC LIMIT 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan order_exists_plan = {
	.sql = "SELECT FROM {orders} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

typedef struct Explanation
{
	ReturnSetInfo *target;
	RoutingDecision *decision;
	char	   *policy;
	int64		row_count;
} Explanation;

static void
read_decision(TupleTableSlot *slot, void *state)
{
	Explanation *explanation = state;
	bool		isnull;

	explanation->decision = oms_decision_read(DatumGetByteaPCopy(oms_slot_datum(slot, 1, &isnull)));
	explanation->policy = oms_slot_text(slot, 2);
}

static void
explain(Explanation *explanation, const char *kind, int64 location_id, const char *term, int64 amount, const char *detail)
{
	Location   *location = location_id ? oms_location_by_id(location_id) : NULL;
	Datum		values[6];
	bool		nulls[6] = {0};

	values[0] = Int64GetDatum(++explanation->row_count);
	values[1] = CStringGetTextDatum(kind);
	nulls[2] = location == NULL;
	values[2] = location ? CStringGetTextDatum(location->code) : (Datum) 0;
	values[3] = CStringGetTextDatum(term);
	nulls[4] = amount == PG_INT64_MIN;
	values[4] = nulls[4] ? (Datum) 0 : NumericGetDatum(int64_div_fast_to_numeric(amount, 3));
	nulls[5] = detail == NULL;
	values[5] = detail ? CStringGetTextDatum(detail) : (Datum) 0;
	tuplestore_putvalues(explanation->target->setResult, explanation->target->setDesc, values, nulls);
}

/* What expressions of the policy cost there. */
static void
explain_rules(Explanation *explanation, const char *kind, int candidate)
{
	RoutingDecision *decision = explanation->decision;

	for (int i = 0; i < decision->rule_count; i++)
	{
		int64		cost = decision->rule_costs[(Size) candidate * decision->rule_count + i];

		if (cost != 0)
			explain(explanation, kind, decision->location_ids[candidate], "rule", cost, decision->rule_names[i]);
	}
}

/* What is added to a package, term by term: what counts nothing is left out. */
static void
explain_package(Explanation *explanation, const char *kind, const RoutePackage *package)
{
	RoutingDecision *decision = explanation->decision;
	int			candidate = package->location;
	int64		location = decision->location_ids[candidate];
	int64		metres = oms_decision_metres(decision, candidate);

	explain_rules(explanation, kind, candidate);
	explain(explanation, kind, location, "order", oms_decision_order_cost(decision, candidate), NULL);
	if (decision->cost_per_kilometre > 0)
		explain(explanation, kind, location, "distance", oms_decision_distance_cost(decision, candidate),
				psprintf(INT64_FORMAT " km%s", Max(metres, 0) / 1000,
						 decision->distances[candidate] < 0 ? ", which stand for a distance that is not known" : ""));
	if (decision->load_costs)
		explain(explanation, kind, location, "load", decision->load_costs[candidate], "how full the day is");
}

/* What the units of a package cost, term by term. */
static void
explain_units(Explanation *explanation, const char *kind, const RoutePackage *package, const RouteShare *shares, int count)
{
	static const char *const names[UNIT_TERM_COUNT] = {
		[UNIT_SCARCITY] = "scarcity",[UNIT_MARGIN] = "margin",[UNIT_MARKDOWN] = "markdown",[UNIT_STOCK] = "stock",
		[UNIT_SUPPLY] = "supply"
	};
	static const char *const details[UNIT_TERM_COUNT] = {
		[UNIT_SCARCITY] = "what the units are worth to later orders",[UNIT_MARGIN] = "what the goods cost there",
		[UNIT_MARKDOWN] = "what the goods would lose there",[UNIT_STOCK] = "fewer are free there than elsewhere",
		[UNIT_SUPPLY] = "they last for few weeks there"
	};
	RoutingDecision *decision = explanation->decision;
	int64		location = decision->location_ids[package->location];
	int64		lines = oms_decision_line_costs(decision, shares, count, package->location);

	for (int i = 0; i < UNIT_TERM_COUNT; i++)
		if (decision->unit_terms[i])
			explain(explanation, kind, location, names[i],
					oms_decision_unit_term(decision, i, shares, count, package->location), details[i]);
	if (lines != 0)
		explain(explanation, kind, location, "lines", lines, NULL);
	explain(explanation, kind, location, "units", oms_decision_unit_costs(decision, shares, count, package->location),
			decision->volumetric_divisor > 0
			? psprintf(INT64_FORMAT " billable grams, of which a kilogram has at most " INT64_FORMAT " cubic centimetres",
					   package->weight_grams, decision->volumetric_divisor)
			: psprintf(INT64_FORMAT " grams", package->weight_grams));
}

static void
explain_packages(Explanation *explanation, const char *kind, const RoutePackage *packages, int count, char **services,
				 const RouteShare *shares, int share_count)
{
	RoutingDecision *decision = explanation->decision;
	int64		later;
	int64		later_cost = oms_decision_later_cost(decision, shares, share_count, &later);

	for (int i = 0; i < count; i++)
	{
		int64		location = decision->location_ids[packages[i].location];
		int32		late = oms_decision_days_late(decision, &packages[i]);

		explain_package(explanation, kind, &packages[i]);
		explain_units(explanation, kind, &packages[i], shares, share_count);
		if (decision->tariff_count > 0)
			explain(explanation, kind, location, "shipping",
					packages[i].tariff_cost - oms_decision_late_cost(decision, late),
					services && services[i][0] ? services[i] : NULL);
		if (decision->dated)
			explain(explanation, kind, location, "lateness", oms_decision_late_cost(decision, late),
					psprintf("%d %s late", late, late == 1 ? "day" : "days"));
	}
	if (later > 0)
		explain(explanation, kind, 0, "later", later_cost, psprintf(INT64_FORMAT " %s left for later", later,
																	later == 1 ? "unit is" : "units are"));
}

static bool
is_used(const RoutePackage *packages, int count, int location)
{
	for (int i = 0; i < count; i++)
		if (packages[i].location == location)
			return true;
	return false;
}

/* What a plan would cost if it were wanted some days later. */
static int64
cost_if_wanted_later(const RoutingDecision *decision, const RouteResult *plan, int32 days)
{
	int64		cost = plan->cost;

	for (int i = 0; i < plan->package_count; i++)
	{
		int32		late = oms_decision_days_late(decision, &plan->packages[i]);

		cost -= oms_decision_late_cost(decision, late) - oms_decision_late_cost(decision, Max(late - days, 0));
	}
	return cost;
}

/* The least delay of the wish with which the runner-up, as it is, would cost less. */
static void
explain_change_of_date(Explanation *explanation, const RouteResult *winner, const RouteResult *runner_up)
{
	RoutingDecision *decision = explanation->decision;
	int32		most = 0;

	for (int i = 0; decision->dated && i < runner_up->package_count; i++)
		most = Max(most, oms_decision_days_late(decision, &runner_up->packages[i]));
	for (int32 days = 1; days <= most; days++)
		if (cost_if_wanted_later(decision, runner_up, days) < cost_if_wanted_later(decision, winner, days))
		{
			explain(explanation, "change", 0, "requested_at", days * INT64CONST(1000),
					"days later, the runner-up would have won");
			return;
		}
}

/* What the cheapest plan would have been, where a strategy chose another one. */
static void
explain_optimum(Explanation *explanation)
{
	RouteResult optimum = {0};
	RouteStatus status = oms_decision_optimum(explanation->decision, &optimum);

	if (!oms_routing_is_plan(status) || optimum.cost >= explanation->decision->cost)
		return;
	explain(explanation, "optimum", 0, "cost", optimum.cost, "the strategy's plan costs more");
	explain_packages(explanation, "optimum", optimum.packages, optimum.package_count, NULL, optimum.shares, optimum.share_count);
}

/* The other plan, and what would have to be cheaper for it. */
static void
explain_runner_up(Explanation *explanation)
{
	RoutingDecision *decision = explanation->decision;
	RouteResult winner = {0};
	RouteResult runner_up = {0};
	RouteStatus status;
	int64		gap;

	if (decision->term_count > 0)
		return;					/* a ranking has no single amount to lower */
	if (oms_decision_is_answer(decision))
	{
		explain_optimum(explanation);
		return;
	}
	(void) oms_decision_solve(decision, NULL, &winner);
	status = oms_decision_solve(decision, &winner, &runner_up);
	if (status != ROUTE_OPTIMAL && status != ROUTE_FEASIBLE)
		return;
	gap = runner_up.cost - winner.cost;
	explain(explanation, "runner-up", 0, "cost", runner_up.cost, NULL);
	explain_packages(explanation, "runner-up", runner_up.packages, runner_up.package_count, NULL, runner_up.shares,
					 runner_up.share_count);
	for (int i = 0; i < runner_up.package_count; i++)
		if (!is_used(winner.packages, winner.package_count, runner_up.packages[i].location))
			explain(explanation, "change", decision->location_ids[runner_up.packages[i].location],
					"package", gap + 1, "cheaper by this, the runner-up would have won");
	explain_change_of_date(explanation, &winner, &runner_up);
}

static void
explain_decision(Explanation *explanation)
{
	RoutingDecision *decision = explanation->decision;
	ListCell   *cell;

	explain(explanation, "policy", 0, "cost", decision->cost, explanation->policy);
	if (decision->strategy[0] != '\0')
		explain(explanation, "policy", 0, "strategy", PG_INT64_MIN, oms_decision_is_answer(decision) ? decision->strategy
				: psprintf("%s gave no plan: %s", decision->strategy, decision->strategy_failure));
	if (decision->term_count == 0)
		explain(explanation, "policy", 0, "lower bound", decision->lower_bound,
				decision->proven ? "proven" : oms_decision_is_answer(decision) ? "of the cheapest plan" : "search limit reached");
	foreach(cell, oms_decision_relaxed(decision, NIL))
		explain(explanation, "relaxed", 0, strVal(lfirst(cell)), PG_INT64_MIN, NULL);
	explain_packages(explanation, "plan", decision->packages, decision->package_count, decision->services, decision->shares,
					 decision->share_count);
	for (int i = 0; i < decision->location_count; i++)
		if (!is_used(decision->packages, decision->package_count, i))
			explain(explanation, "candidate", decision->location_ids[i], "order", oms_decision_fixed_cost(decision, i),
					decision->distances[i] >= 0 ? psprintf(INT64_FORMAT " km", decision->distances[i] / 1000)
					: decision->unknown_metres >= 0 ? psprintf("distance not known, counts as " INT64_FORMAT " km",
															   decision->unknown_metres / 1000) : NULL);
	for (int i = 0; i < decision->exclusion_count; i++)
		explain(explanation, "excluded", decision->exclusions[i].location_id, "rule", PG_INT64_MIN,
				oms_routing_exclusion_text(decision, &decision->exclusions[i]));
	for (int i = 0; i < decision->exclusion_count; i++)
		if (decision->exclusions[i].reason == EXCLUDED_LATE)
			explain(explanation, "change", decision->exclusions[i].location_id, "requested_at",
					decision->exclusions[i].detail * INT64CONST(1000), "days later, it would have been a candidate");
	explain_runner_up(explanation);
}

static OmsPlan substitutes_plan = {
	.sql = "SELECT i.sku, format('line %s: %s units for %s of \"%s\", rank %s', s.line_no, s.quantity * s.ratio, s.quantity, w.sku, s.rank)"
	" FROM {order_substitutes} s JOIN {order_lines} l ON l.order_id = $2 AND l.line_no = s.line_no AND l.tenant_id = $1"
	" JOIN {items} i ON i.item_id = l.item_id AND i.tenant_id = $1 JOIN {items} w ON w.item_id = s.wanted_item_id AND w.tenant_id = $1"
	" WHERE s.order_id = $2 AND s.tenant_id = $1 ORDER BY s.line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static void
explain_substitute(TupleTableSlot *slot, void *state)
{
	explain(state, "substitute", 0, oms_slot_text(slot, 1), PG_INT64_MIN, oms_slot_text(slot, 2));
}

/*
 * oms.explain_route(order_id bigint) -> setof (position, kind, location, term, amount, detail)
 */
OMS_FUNCTION(oms_explain_route, CALL_READ)
{
	int64		order_id = oms_argument_id(fcinfo, 0, "order_id");
	Explanation explanation = {.target = (ReturnSetInfo *) fcinfo->resultinfo};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	if (oms_execute(&order_exists_plan, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("order " INT64_FORMAT " is not known", order_id),
				 errhint("oms.find_order looks up an order by its reference.")));
	InitMaterializedSRF(fcinfo, 0);
	if (oms_execute_each(&read_plan, values, NULL, read_decision, &explanation) == 0)
		explain(&explanation, "none", 0, "decision", PG_INT64_MIN,
				"one location only, a place given by the document, or no active policy: the nearest served it");
	else if (explanation.decision == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the routing decision of order " INT64_FORMAT " cannot be read", order_id)));
	else
		explain_decision(&explanation);
	(void) oms_execute_each(&substitutes_plan, values, NULL, explain_substitute, &explanation);
	*isnull = true;
	return (Datum) 0;
}
