/*
 * route_decision.c
 *	  A routing problem with its solution: what everything costs, and the
 *	  problem as the kernel is asked.
 */
#include "oms.h"

#include <math.h>

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "utils/memutils.h"

#include "location.h"
#include "route_decision.h"
#include "route_least_value.h"
#include "routing.h"

static void *
allocate(void *context, size_t size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
}

static bool
should_stop(void *context)
{
	CHECK_FOR_INTERRUPTS();
	return false;
}

/* Room for a value of each line and location. */
static void *
cells_of(const RoutingDecision *decision, Size size)
{
	return MemoryContextAllocExtended(CurrentMemoryContext,
									  size * Max(1, (Size) decision->line_count * decision->location_count), MCXT_ALLOC_HUGE);
}

/* Adds the rules that the plan has given up to a list of names. */
List *
oms_decision_relaxed(const RoutingDecision *decision, List *names)
{
	for (int i = 0; i < RULE_COUNT + decision->rule_count; i++)
		if (decision->relaxed & (INT64CONST(1) << i))
			names = list_append_unique(names, makeString(pstrdup(i < RULE_COUNT ? oms_routing_rule_names[i]
																 : decision->rule_names[i - RULE_COUNT])));
	return names;
}

/* ---- What it costs ---- */

/* An amount as a policy weighs it. */
int64
oms_weighted(int64 amount, double weight)
{
	return weight == 1 ? amount : (int64) llround(amount * weight);
}

/* What the policy's expressions add to a parcel from a candidate. */
int64
oms_decision_rule_cost(const RoutingDecision *decision, int location)
{
	int64		cost = 0;

	for (int i = 0; i < decision->rule_count; i++)
		cost += decision->rule_costs[(Size) location * decision->rule_count + i];
	return cost;
}

/* Metres to a candidate as they count; -1 where they are not known and nothing stands for them. */
int64
oms_decision_metres(const RoutingDecision *decision, int location)
{
	return decision->distances[location] >= 0 ? decision->distances[location] : decision->unknown_metres;
}

int64
oms_decision_distance_cost(const RoutingDecision *decision, int location)
{
	return (int64) llround(Max(oms_decision_metres(decision, location), 0) / 1000.0 * decision->cost_per_kilometre);
}

/* What handling an order costs at a candidate. */
int64
oms_decision_order_cost(const RoutingDecision *decision, int location)
{
	return oms_weighted(decision->fixed_costs[location], decision->order_weight);
}

/* What a parcel from a candidate costs before it is carried and filled. */
int64
oms_decision_fixed_cost(const RoutingDecision *decision, int location)
{
	return oms_decision_order_cost(decision, location) + oms_decision_rule_cost(decision, location) +
		oms_decision_distance_cost(decision, location) + (decision->load_costs ? decision->load_costs[location] : 0);
}

/* What handling a line costs at a candidate, however many units it is. */
int64
oms_decision_line_cost(const RoutingDecision *decision, int location)
{
	return oms_weighted(decision->line_costs[location], decision->line_weight);
}

/* What a unit of the item costs at a candidate. */
int64
oms_decision_unit_cost(const RoutingDecision *decision, int line, int location)
{
	int64		cost = oms_weighted(decision->unit_costs[location], decision->unit_weight);

	for (int i = 0; i < UNIT_TERM_COUNT; i++)
		if (decision->unit_terms[i])
			cost += decision->unit_terms[i][(Size) line * decision->location_count + location];
	return cost;
}

/* The price of a parcel; -1 where it is heavier than the last step. */
int64
oms_tariff_cost(const RouteTariff *tariff, int64 grams)
{
	for (int i = 0; i < tariff->step_count; i++)
		if (grams <= tariff->limit_grams[i])
			return tariff->cost[i];
	return -1;
}

/* How many days a parcel arrives too late. */
int32
oms_decision_days_late(const RoutingDecision *decision, const RoutePackage *package)
{
	int			index = decision->tariff_count > 0 ? decision->tariff_of[package->location] : -1;

	if (!decision->dated || index < 0)
		return 0;
	for (int i = 0; i < decision->tariffs[index].step_count; i++)
		if (package->weight_grams <= decision->tariffs[index].limit_grams[i])
			return decision->days_late[index][i];
	return 0;
}

/* What a parcel costs for being late: a step, and so much a day. */
int64
oms_late_cost(int64 cost_late, int64 cost_per_day_late, int32 days)
{
	return days > 0 ? cost_late + days * cost_per_day_late : 0;
}

int64
oms_decision_late_cost(const RoutingDecision *decision, int32 days)
{
	return oms_late_cost(decision->cost_late, decision->cost_per_day_late, days);
}

/* What the shares of a location come to, by lines, by units and by one of the unit terms. */
int64
oms_decision_line_costs(const RoutingDecision *decision, const RouteShare *shares, int count, int location)
{
	int64		sum = 0;

	for (int i = 0; i < count; i++)
		if (shares[i].location == location)
			sum += oms_decision_line_cost(decision, location);
	return sum;
}

int64
oms_decision_unit_costs(const RoutingDecision *decision, const RouteShare *shares, int count, int location)
{
	int64		sum = 0;

	for (int i = 0; i < count; i++)
		if (shares[i].location == location)
			sum += oms_weighted(decision->unit_costs[location], decision->unit_weight) * decision->factors[shares[i].line] *
				shares[i].units;
	return sum;
}

int64
oms_decision_unit_term(const RoutingDecision *decision, UnitTerm term, const RouteShare *shares, int count, int location)
{
	int64		sum = 0;

	for (int i = 0; decision->unit_terms[term] && i < count; i++)
		if (shares[i].location == location)
			sum += decision->unit_terms[term][(Size) shares[i].line * decision->location_count + location] *
				decision->factors[shares[i].line] * shares[i].units;
	return sum;
}

/* Units of a line, of the item, that a plan leaves for later though they could be served. */
static int64
units_later(const RoutingDecision *decision, int line, const RouteShare *shares, int count)
{
	int64		units = decision->units[line];

	for (int i = 0; i < count; i++)
		if (shares[i].line == line)
			units -= shares[i].units;
	return units * decision->factors[line];
}

/* What that costs, and how many units it is. */
int64
oms_decision_later_cost(const RoutingDecision *decision, const RouteShare *shares, int count, int64 *units)
{
	int64		cost = 0;

	*units = 0;
	for (int i = 0; decision->later_costs && i < decision->line_count; i++)
	{
		int64		later = units_later(decision, i, shares, count);

		*units += later;
		cost += Max(decision->later_costs[i], 0) * later;
	}
	return cost;
}

/* The tariffs as the policy weighs them, with what it costs to be late. */
static const RouteTariff *
weigh_tariffs(const RoutingDecision *decision)
{
	RouteTariff *tariffs;

	if (decision->shipping_weight == 1 && !decision->dated)
		return decision->tariffs;
	tariffs = palloc(sizeof(RouteTariff) * Max(1, decision->tariff_count));
	for (int i = 0; i < decision->tariff_count; i++)
	{
		const RouteTariff *tariff = &decision->tariffs[i];
		int64	   *costs = palloc(sizeof(int64) * Max(1, tariff->step_count));

		for (int j = 0; j < tariff->step_count; j++)
			costs[j] = oms_weighted(tariff->cost[j], decision->shipping_weight) +
				(decision->dated ? oms_decision_late_cost(decision, decision->days_late[i][j]) : 0);
		tariffs[i] = (RouteTariff) {tariff->step_count, tariff->limit_grams, costs};
	}
	return tariffs;
}

/* Brings the bundles of what was asked to the lines of the problem, which are some of these in the same order. */
void
oms_decision_name_bundles(RoutingDecision *decision)
{
	for (int i = 0, asked = 0; i < decision->line_count; i++)
	{
		while (asked < decision->asked.line_count && decision->asked.lines[asked].item_id != decision->item_ids[i])
			asked++;
		decision->bundles[i] = asked < decision->asked.line_count ? decision->asked_bundles[asked] : -1;
	}
}

/* ---- The problem as the kernel is asked ---- */

/*
 * Lines that stay together are one line of the kernel, of one unit that weighs
 * and costs what all of theirs do.
 */
typedef struct Formulation
{
	const RoutingDecision *decision;
	RouteProblem problem;
	int		   *line_of;		/* by line of the decision: that of the kernel */
	bool		bundled;		/* some are not the same */
	int32	   *quantity;
	int64	   *weights;
	int64	   *values;
	int64	   *penalties;
	bool	   *must_serve;
	int32	   *stock;
	int64	   *unit_costs;
	int64	   *line_costs;
	int32	   *places;
} Formulation;

static bool
is_bundled(const RoutingDecision *decision, int line)
{
	return decision->bundles && decision->bundles[line] >= 0;
}

/* Numbers the kernel's lines. */
static int
number_lines(Formulation *form)
{
	const RoutingDecision *decision = form->decision;
	int			count = 0;

	for (int i = 0; i < decision->line_count; i++)
	{
		bool		bundled = is_bundled(decision, i);

		form->line_of[i] = count;
		form->bundled |= bundled;
		for (int j = i - 1; bundled && j >= 0; j--)
			if (decision->bundles[j] == decision->bundles[i])
				form->line_of[i] = form->line_of[j];
		count += form->line_of[i] == count;
	}
	return count;
}

/* Adds a line to that of the kernel. */
static void
add_line(Formulation *form, int line)
{
	const RoutingDecision *decision = form->decision;
	int			to = form->line_of[line];
	bool		bundled = is_bundled(decision, line);
	bool		whole = bundled || decision->units[line] == 1;
	int64		pieces = bundled ? decision->units[line] : 1;

	form->quantity[to] = bundled ? 1 : decision->units[line];
	form->weights[to] += decision->weights[line] * pieces;
	/* a record has them where they count */
	if (decision->values)
		form->values[to] += decision->values[line] * pieces;
	form->must_serve[to] |= decision->later_costs == NULL || decision->later_costs[line] < 0;
	if (decision->later_costs)
		form->penalties[to] += Max(decision->later_costs[line], 0) * decision->factors[line] * pieces;
	if (form->places)
		form->places[to] = bundled ? 0 : (int32) decision->places_max;
	for (int j = 0; j < decision->location_count; j++)
	{
		Size		cell = (Size) to * decision->location_count + j;
		int32		stock = decision->stock[(Size) line * decision->location_count + j];

		if (bundled)
			form->stock[cell] &= stock >= decision->units[line];
		else
			form->stock[cell] = stock;
		form->unit_costs[cell] += oms_decision_unit_cost(decision, line, j) * decision->factors[line] * pieces;
		if (whole)
			form->unit_costs[cell] += oms_decision_line_cost(decision, j);
		else if (form->line_costs)
			form->line_costs[cell] = oms_decision_line_cost(decision, j);
	}
}

/* Whether something of a line that may be divided costs more than its units. */
static bool
has_line_costs(const RoutingDecision *decision)
{
	bool		divisible = false;

	for (int i = 0; i < decision->line_count; i++)
		divisible |= decision->units[i] > 1 && !is_bundled(decision, i);
	for (int j = 0; divisible && j < decision->location_count; j++)
		if (oms_decision_line_cost(decision, j) > 0)
			return true;
	return false;
}

static void
formulate(const RoutingDecision *decision, Formulation *form)
{
	int			lines = Max(1, decision->line_count);
	int			locations = decision->location_count;
	Size		cells = (Size) lines * locations;
	int64	   *fixed_costs = palloc(sizeof(int64) * Max(1, locations));

	*form = (Formulation) {.decision = decision,.line_of = palloc(sizeof(int) * lines)};
	form->problem.line_count = number_lines(form);
	form->quantity = palloc(sizeof(int32) * lines);
	form->weights = palloc0(sizeof(int64) * lines);
	form->values = palloc0(sizeof(int64) * lines);
	form->penalties = palloc0(sizeof(int64) * lines);
	form->must_serve = palloc0(sizeof(bool) * lines);
	form->stock = cells_of(decision, sizeof(int32));
	form->unit_costs = cells_of(decision, sizeof(int64));
	memset(form->unit_costs, 0, sizeof(int64) * cells);
	for (Size i = 0; i < cells; i++)
		form->stock[i] = 1;
	if (has_line_costs(decision))
	{
		form->line_costs = cells_of(decision, sizeof(int64));
		memset(form->line_costs, 0, sizeof(int64) * cells);
	}
	if (decision->places_max > 0)
		form->places = palloc(sizeof(int32) * lines);
	for (int j = 0; j < locations; j++)
		fixed_costs[j] = oms_decision_fixed_cost(decision, j);
	for (int i = 0; i < decision->line_count; i++)
		add_line(form, i);
	form->problem = (RouteProblem)
	{
		.line_count = form->problem.line_count,.location_count = locations,.quantity = form->quantity,
			.penalty = form->penalties,.must_serve = form->must_serve,.weight_grams = form->weights,
			.places_max = form->places,.stock = form->stock,.unit_cost = form->unit_costs,.line_cost = form->line_costs,
			.fixed_cost = fixed_costs,.rank = decision->ranks,.tariffs = weigh_tariffs(decision),
			.tariff_of = decision->tariff_count > 0 ? decision->tariff_of : NULL,
			.tariff_count = decision->tariff_count,.packages_max = (int32) decision->packages_max
	};
}

/*
 * Puts a plan of the kernel into the decision's lines, by location and then
 * line as the kernel has them; what a line costs at a location is part of what
 * its units cost there.
 */
static void
return_plan(const Formulation *form, RouteResult *result)
{
	const RoutingDecision *decision = form->decision;
	RouteShare *shares = palloc(sizeof(RouteShare) * Max(1, result->share_count + decision->line_count));
	int			count = 0;

	for (int k = 0; k < result->package_count; k++)
	{
		RoutePackage *package = &result->packages[k];

		package->unit_cost += package->line_cost;
		package->line_cost = 0;
		if (!form->bundled)
			continue;
		package->units = 0;
		for (int i = 0; i < decision->line_count; i++)
			for (int s = 0; s < result->share_count; s++)
				if (result->shares[s].location == package->location && result->shares[s].line == form->line_of[i])
				{
					shares[count] = (RouteShare) {i, package->location, is_bundled(decision, i) ? decision->units[i]
					: result->shares[s].units};
					package->units += shares[count++].units;
				}
	}
	if (!form->bundled)
		return;
	result->shares = shares;
	result->share_count = count;
}

static RouteControl
control_of(const RoutingDecision *decision)
{
	return (RouteControl)
	{
		.alloc = allocate,.alloc_context = CurrentMemoryContext,.should_stop = should_stop,
			.nodes_max = decision->nodes_max
	};
}

/* Distances as they count. */
static int64 *
metres_of(const RoutingDecision *decision)
{
	int64	   *metres = palloc(sizeof(int64) * Max(1, decision->location_count));

	for (int j = 0; j < decision->location_count; j++)
		metres[j] = Max(oms_decision_metres(decision, j), 0);
	return metres;
}

/* ---- Solving ---- */

static RouteStatus
solve(const RoutingDecision *decision, Formulation *form, RouteResult *result)
{
	RouteControl control = control_of(decision);

	if (decision->thumb > 0)
		return route_policy(&form->problem, &control, (RoutePolicy) (decision->thumb - 1), metres_of(decision), result);
	if (decision->term_count > 0)
		return route_solve_lexicographic(&form->problem, &control, decision->terms, decision->term_count,
										 metres_of(decision), result);
	if (decision->least_value > 0)
		return route_solve_least_value(&form->problem, &control, form->values, decision->least_value, form->stock, result);
	return route_solve(&form->problem, &control, result);
}

static bool
is_plan(RouteStatus status)
{
	return status == ROUTE_OPTIMAL || status == ROUTE_FEASIBLE;
}

/*
 * The plan that the objective of a decision asks for.  What result points to
 * lives in the current memory context, here and below.
 */
RouteStatus
oms_decision_optimum(RoutingDecision *decision, RouteResult *result)
{
	Formulation form;
	RouteStatus status;

	formulate(decision, &form);
	status = solve(decision, &form, result);
	if (is_plan(status))
		return_plan(&form, result);
	return status;
}

/* The best plan from other locations than the winner's. */
static RouteStatus
find_runner_up(RoutingDecision *decision, const RouteResult *winner, RouteResult *result)
{
	Formulation form;
	RouteControl control = control_of(decision);
	RouteStatus status;

	formulate(decision, &form);
	status = route_runner_up(&form.problem, &control, winner, result);

	/* The search for it knows no least value: one that breaks it was never possible. */
	if (decision->least_value > 0 && is_plan(status) &&
		!route_obeys_least_value(&form.problem, form.values, decision->least_value, result))
		return ROUTE_UNKNOWN;
	if (is_plan(status))
		return_plan(&form, result);
	return status;
}

static const char *
code_of(const RoutingDecision *decision, int location)
{
	const Location *row = oms_location_by_id(decision->location_ids[location]);

	return row ? row->code : "a location";
}

static const char *
plan_fault_text(const RoutingDecision *decision, RoutePlanFault fault, int32 line, int32 location)
{
	switch (fault)
	{
		case ROUTE_PLAN_OK:
			return NULL;
		case ROUTE_PLAN_SHARE:
			return "a part has no units";
		case ROUTE_PLAN_STOCK:
			return psprintf("line %d takes more units of \"%s\" than it may", line + 1, code_of(decision, location));
		case ROUTE_PLAN_TOO_MANY:
			return psprintf("line %d gets more units than it wants", line + 1);
		case ROUTE_PLAN_TOO_FEW:
			return psprintf("line %d gets fewer units than there are for it", line + 1);
		case ROUTE_PLAN_WHOLE_LINE:
			return psprintf("line %d is not to be divided", line + 1);
		case ROUTE_PLAN_PACKAGES:
			return psprintf("more than " INT64_FORMAT " fulfillments", decision->packages_max);
		case ROUTE_PLAN_WEIGHT:
			return psprintf("no service carries what \"%s\" would send", code_of(decision, location));
		case ROUTE_PLAN_PLACES:
			return psprintf("line %d comes from more than " INT64_FORMAT " locations", line + 1, decision->places_max);
		case ROUTE_PLAN_PROBLEM:
			break;
	}
	return "the problem is too large";
}

/* Lines that stay together as the kernel has them: false where a plan parts them. */
static bool
join_shares(const Formulation *form, const RouteShare *shares, int count, RouteShare *joined, int *joined_count)
{
	const RoutingDecision *decision = form->decision;

	*joined_count = 0;
	for (int i = 0; i < count; i++)
	{
		int			line = shares[i].line;
		bool		first = true;

		if (line < 0 || line >= decision->line_count || !is_bundled(decision, line))
		{
			joined[(*joined_count)++] = line < 0 || line >= decision->line_count ? shares[i]
				: (RouteShare) {form->line_of[line], shares[i].location, shares[i].units};
			continue;
		}
		if (shares[i].units != decision->units[line])
			return false;
		for (int j = 0; j < i; j++)
			if (is_bundled(decision, shares[j].line) && decision->bundles[shares[j].line] == decision->bundles[line])
			{
				if (shares[j].location != shares[i].location)
					return false;
				first = false;
			}
		if (first)
			joined[(*joined_count)++] = (RouteShare) {form->line_of[line], shares[i].location, 1};
	}
	return true;
}

/* The first line of those that stay together which a plan leaves out while it serves others; -1: none. */
static int
left_alone(const RoutingDecision *decision, const RouteShare *shares, int count)
{
	for (int i = 0; i < decision->line_count; i++)
	{
		bool		served = false;
		bool		others = false;

		for (int j = 0; is_bundled(decision, i) && j < count; j++)
		{
			served |= shares[j].line == i;
			others |= decision->bundles[shares[j].line] == decision->bundles[i];
		}
		if (others && !served)
			return i;
	}
	return -1;
}

/* Checks a plan against the problem and prices it like its own; NULL, or what is wrong with it. */
const char *
oms_decision_price(RoutingDecision *decision, const RouteShare *shares, int count, RouteResult *result)
{
	Formulation form;
	RouteControl control = control_of(decision);
	RouteShare *joined = palloc(sizeof(RouteShare) * Max(1, count));
	RoutePlanFault fault;
	int			joined_count;
	int32		line;
	int32		location;

	formulate(decision, &form);
	if (!join_shares(&form, shares, count, joined, &joined_count))
		return "lines that stay together come from different places, or not whole";
	fault = route_price(&form.problem, &control, joined, joined_count, result, &line, &location);
	if (fault == ROUTE_PLAN_OK && left_alone(decision, shares, count) >= 0)
		return psprintf("line %d gets fewer units than there are for it", left_alone(decision, shares, count) + 1);
	if (fault == ROUTE_PLAN_OK && decision->least_value > 0 &&
		!route_obeys_least_value(&form.problem, form.values, decision->least_value, result))
		return "a fulfillment is worth less than min_fulfillment_value";
	if (fault == ROUTE_PLAN_OK)
		return_plan(&form, result);
	for (int i = 0; form.bundled && line >= 0 && i < decision->line_count; i++)
		if (form.line_of[i] == line)
		{
			line = i;
			break;
		}
	return plan_fault_text(decision, fault, line, location);
}

/* Whether the plan is what a strategy answered. */
bool
oms_decision_is_answer(const RoutingDecision *decision)
{
	return decision->strategy[0] != '\0' && decision->strategy_failure[0] == '\0';
}

/* The recorded answer of a strategy, with the bound that the optimum gives. */
static RouteStatus
price_answer(RoutingDecision *decision, RouteResult *result)
{
	RouteResult optimum = {0};
	RouteStatus status = oms_decision_optimum(decision, &optimum);

	if (!is_plan(status))
		return status;
	if (oms_decision_price(decision, decision->shares, decision->share_count, result) != NULL)
		return ROUTE_INFEASIBLE;
	result->lower_bound = optimum.lower_bound;
	result->gap = result->cost - optimum.lower_bound;
	result->proven = result->gap == 0;
	return ROUTE_FEASIBLE;
}

/*
 * Makes the plan of a decision, or with a winner the best plan from other
 * locations.  A strategy is not asked again: its answer is in the decision.
 */
RouteStatus
oms_decision_solve(RoutingDecision *decision, const RouteResult *winner, RouteResult *result)
{
	if (winner)
		return find_runner_up(decision, winner, result);
	return oms_decision_is_answer(decision) ? price_answer(decision, result) : oms_decision_optimum(decision, result);
}
