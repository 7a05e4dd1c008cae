/*
 * route_decision.c
 *	  A routing problem with its solution: solving it, and its compact record.
 *
 * A record holds the whole problem, so a replay needs nothing else.  Numbers
 * are written in as many groups of seven bits as they need; one routine walks
 * the parts for writing and for reading.
 */
#include "oms.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/memutils.h"

#include "call.h"
#include "location.h"
#include "relation.h"
#include "route_decision.h"
#include "route_least_value.h"
#include "routing.h"

#define RECORD_LAYOUT 8

PG_FUNCTION_INFO_V1(oms_route_replays);

/* ---- Solving ---- */

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

/* What a parcel from a candidate costs before it is carried and filled. */
int64
oms_decision_fixed_cost(const RoutingDecision *decision, int location)
{
	return oms_weighted(decision->fixed_costs[location], decision->order_weight) + oms_decision_rule_cost(decision, location) +
		(int64) llround(Max(decision->distances[location], 0) / 1000.0 * decision->cost_per_kilometre);
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
				(decision->dated ? decision->days_late[i][j] * decision->cost_per_day_late : 0);
		tariffs[i] = (RouteTariff) {tariff->step_count, tariff->limit_grams, costs};
	}
	return tariffs;
}

/* What the units that a location sends would be worth to later orders. */
int64
oms_decision_scarcity(const RoutingDecision *decision, const RouteShare *shares, int count, int location)
{
	int64		sum = 0;

	for (int i = 0; decision->scarcity && i < count; i++)
		if (shares[i].location == location)
			sum += decision->scarcity[(Size) shares[i].line * decision->location_count + location] *
				decision->factors[shares[i].line] * shares[i].units;
	return sum;
}

static void
fill_problem(const RoutingDecision *decision, RouteProblem *problem)
{
	int			lines = decision->line_count;
	int			locations = decision->location_count;
	Size		cells = (Size) lines * locations;
	int64	   *unit_costs = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(int64) * Max(1, cells), MCXT_ALLOC_HUGE);
	int64	   *fixed_costs = palloc(sizeof(int64) * Max(1, locations));
	bool	   *must_serve = palloc(sizeof(bool) * Max(1, lines));

	for (int j = 0; j < locations; j++)
		fixed_costs[j] = oms_decision_fixed_cost(decision, j);
	for (int i = 0; i < lines; i++)
	{
		must_serve[i] = true;
		for (int j = 0; j < locations; j++)
			unit_costs[(Size) i * locations + j] = (oms_weighted(decision->unit_costs[j], decision->unit_weight) +
													(decision->scarcity ? decision->scarcity[(Size) i * locations + j] : 0))
				* decision->factors[i];
	}
	*problem = (RouteProblem)
	{
		.line_count = lines,.location_count = locations,.quantity = decision->units,.must_serve = must_serve,
			.weight_grams = decision->weights,.stock = decision->stock,.unit_cost = unit_costs,
			.fixed_cost = fixed_costs,.rank = decision->ranks,.tariffs = weigh_tariffs(decision),
			.tariff_of = decision->tariff_count > 0 ? decision->tariff_of : NULL,
			.tariff_count = decision->tariff_count,.packages_max = (int32) decision->packages_max
	};
}

/* Stock that a search may change. */
static int32 *
copy_stock(const RoutingDecision *decision)
{
	Size		size = sizeof(int32) * decision->line_count * (Size) decision->location_count;

	return memcpy(MemoryContextAllocExtended(CurrentMemoryContext, Max(1, size), MCXT_ALLOC_HUGE), decision->stock, size);
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

/* Distances for a ranking by them; others may have candidates whose distance is not known. */
static const int64 *
ranked_distances(const RoutingDecision *decision)
{
	for (int i = 0; i < decision->term_count; i++)
		if (decision->terms[i].kind == ROUTE_TERM_DISTANCE)
			return decision->distances;
	return NULL;
}

/*
 * The plan that the objective of a decision asks for.  What result points to
 * lives in the current memory context, here and below.
 */
RouteStatus
oms_decision_optimum(RoutingDecision *decision, RouteResult *result)
{
	RouteProblem problem;
	RouteControl control = control_of(decision);

	fill_problem(decision, &problem);
	if (decision->thumb > 0)
		return route_policy(&problem, &control, (RoutePolicy) (decision->thumb - 1), decision->distances, result);
	if (decision->term_count > 0)
		return route_solve_lexicographic(&problem, &control, decision->terms, decision->term_count,
										 ranked_distances(decision), result);
	if (decision->least_value > 0)
		return route_solve_least_value(&problem, &control, decision->values, decision->least_value, copy_stock(decision),
									   result);
	return route_solve(&problem, &control, result);
}

/* The best plan from other locations than the winner's. */
static RouteStatus
find_runner_up(RoutingDecision *decision, const RouteResult *winner, RouteResult *result)
{
	RouteProblem problem;
	RouteControl control = control_of(decision);
	RouteStatus status;

	fill_problem(decision, &problem);
	status = route_runner_up(&problem, &control, winner, result);

	/* The search for it knows no least value: one that breaks it was never possible. */
	if (decision->least_value > 0 && (status == ROUTE_OPTIMAL || status == ROUTE_FEASIBLE) &&
		!route_obeys_least_value(&problem, decision->values, decision->least_value, result))
		return ROUTE_UNKNOWN;
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
		case ROUTE_PLAN_PROBLEM:
			break;
	}
	return "the problem is too large";
}

/* Checks a plan against the problem and prices it like its own; NULL, or what is wrong with it. */
const char *
oms_decision_price(RoutingDecision *decision, const RouteShare *shares, int count, RouteResult *result)
{
	RouteProblem problem;
	RouteControl control = control_of(decision);
	RoutePlanFault fault;
	int32		line;
	int32		location;

	fill_problem(decision, &problem);
	fault = route_price(&problem, &control, shares, count, result, &line, &location);
	if (fault == ROUTE_PLAN_OK && decision->least_value > 0 &&
		!route_obeys_least_value(&problem, decision->values, decision->least_value, result))
		return "a fulfillment is worth less than min_fulfillment_value";
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

	if (status != ROUTE_OPTIMAL && status != ROUTE_FEASIBLE)
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

/* ---- The record ---- */

typedef struct Codec
{
	bool		writing;
	bool		broken;			/* what is read is no record */
	StringInfoData buffer;		/* written, or read up to cursor */
} Codec;

static void
code(Codec *codec, int64 *number)
{
	uint64		bits = ((uint64) *number << 1) ^ (uint64) (*number >> 63);
	int			shift = 0;

	if (codec->writing)
	{
		for (; bits >= 0x80; bits >>= 7)
			appendStringInfoCharMacro(&codec->buffer, (char) (bits | 0x80));
		appendStringInfoCharMacro(&codec->buffer, (char) bits);
		return;
	}
	bits = 0;
	while (codec->buffer.cursor < codec->buffer.len && shift < 64)
	{
		unsigned char byte = codec->buffer.data[codec->buffer.cursor++];

		bits |= (uint64) (byte & 0x7f) << shift;
		shift += 7;
		if (byte < 0x80)
		{
			*number = (int64) (bits >> 1) ^ -(int64) (bits & 1);
			return;
		}
	}
	codec->broken = true;
	*number = 0;
}

static void
code_int32(Codec *codec, int32 *number)
{
	int64		wide = *number;

	code(codec, &wide);
	if (wide < PG_INT32_MIN || wide > PG_INT32_MAX)
		codec->broken = true;
	*number = codec->broken && !codec->writing ? 0 : (int32) wide;
}

/* A count whose elements take a byte each at least. */
static void
code_count(Codec *codec, int *count)
{
	code_int32(codec, count);
	if (!codec->writing && (*count < 0 || *count > codec->buffer.len - codec->buffer.cursor))
	{
		codec->broken = true;
		*count = 0;
	}
}

static void *
room(Codec *codec, void *items, Size count, Size size)
{
	if (codec->writing)
		return items;
	return MemoryContextAllocExtended(CurrentMemoryContext, Max(1, count) * size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static void
code_int64s(Codec *codec, int64 **items, int count)
{
	*items = room(codec, *items, count, sizeof(int64));
	for (int i = 0; i < count; i++)
		code(codec, &(*items)[i]);
}

static void
code_int32s(Codec *codec, int32 **items, Size count)
{
	*items = room(codec, *items, count, sizeof(int32));
	for (Size i = 0; i < count && !codec->broken; i++)
		code_int32(codec, &(*items)[i]);
}

static void
code_text(Codec *codec, char **text)
{
	int			length = codec->writing ? strlen(*text) : 0;

	code_count(codec, &length);
	if (codec->writing)
	{
		appendBinaryStringInfo(&codec->buffer, *text, length);
		return;
	}
	*text = pnstrdup(codec->buffer.data + codec->buffer.cursor, length);
	codec->buffer.cursor += length;
}

/* Doubles as their bits; those of 1 take one byte. */
static void
code_double(Codec *codec, double *number)
{
	double		one = 1;
	int64		bits;
	int64		bits_of_one;

	memcpy(&bits_of_one, &one, sizeof(bits_of_one));
	memcpy(&bits, number, sizeof(bits));
	bits ^= bits_of_one;
	code(codec, &bits);
	bits ^= bits_of_one;
	memcpy(number, &bits, sizeof(bits));
}

static void
code_tariff(Codec *codec, RouteTariff *tariff)
{
	int64	   *limits = unconstify(int64 *, tariff->limit_grams);
	int64	   *costs = unconstify(int64 *, tariff->cost);

	code_count(codec, &tariff->step_count);
	code_int64s(codec, &limits, tariff->step_count);
	code_int64s(codec, &costs, tariff->step_count);
	tariff->limit_grams = limits;
	tariff->cost = costs;
}

/* Most rules are conditions: only those with costs have them written. */
static void
code_rules(Codec *codec, RoutingDecision *decision)
{
	int			rules;

	code_count(codec, &decision->rule_count);
	rules = decision->rule_count;
	decision->rule_names = room(codec, decision->rule_names, rules, sizeof(char *));
	decision->rule_costs = room(codec, decision->rule_costs, (Size) rules * decision->location_count, sizeof(int64));
	for (int i = 0; i < rules && !codec->broken; i++)
	{
		int64		priced = 0;

		code_text(codec, &decision->rule_names[i]);
		for (int j = 0; j < decision->location_count && codec->writing; j++)
			priced |= decision->rule_costs[(Size) j * rules + i] != 0;
		code(codec, &priced);
		for (int j = 0; j < decision->location_count && priced && !codec->broken; j++)
			code(codec, &decision->rule_costs[(Size) j * rules + i]);
	}
}

/* When it was ordered and is wanted, where that plays a part. */
static void
code_times(Codec *codec, RoutingDecision *decision)
{
	int32		wanted = !TIMESTAMP_NOT_FINITE(decision->asked.requested_at);
	int32		dated = decision->dated;

	code_int32(codec, &wanted);
	decision->asked.requested_at = codec->writing ? decision->asked.requested_at : DT_NOBEGIN;
	if (!wanted)
		return;
	code(codec, &decision->asked.ordered_at);
	code(codec, &decision->asked.requested_at);
	code_int32(codec, &dated);
	decision->dated = dated != 0;
	if (decision->dated)
		code(codec, &decision->cost_per_day_late);
}

/* Most orders have no scarcity prices; a byte says so. */
static void
code_scarcity(Codec *codec, RoutingDecision *decision)
{
	int32		priced = decision->scarcity != NULL;

	code_int32(codec, &priced);
	if (priced)
		code_int64s(codec, &decision->scarcity, (Size) decision->line_count * decision->location_count);
}

static void
code_problem(Codec *codec, RoutingDecision *decision)
{
	code(codec, &decision->policy_id);
	code(codec, &decision->nodes_max);
	code(codec, &decision->packages_max);
	code(codec, &decision->relaxed);
	code(codec, &decision->thumb);
	code(codec, &decision->whole_lines);
	code(codec, &decision->converts);
	code(codec, &decision->groups_by_item);
	code(codec, &decision->policy_ranks);
	code(codec, &decision->cost_per_kilometre);
	code(codec, &decision->volumetric_divisor);
	code(codec, &decision->least_value);
	code_text(codec, &decision->strategy);
	code_text(codec, &decision->strategy_failure);
	code_times(codec, decision);
	code_double(codec, &decision->shipping_weight);
	code_double(codec, &decision->order_weight);
	code_double(codec, &decision->unit_weight);
	code_text(codec, &decision->currency);
	code_count(codec, &decision->term_count);
	if (decision->term_count > RANKING_TERMS_MAX)
	{
		codec->broken = true;
		return;
	}
	for (int i = 0; i < decision->term_count; i++)
	{
		int32		kind = decision->terms[i].kind;

		code_int32(codec, &kind);
		decision->terms[i].kind = kind;
		code(codec, &decision->terms[i].tolerance);
	}
	code_count(codec, &decision->line_count);
	code_int64s(codec, &decision->item_ids, decision->line_count);
	code_int32s(codec, &decision->units, decision->line_count);
	code_int32s(codec, &decision->factors, decision->line_count);
	code_int64s(codec, &decision->weights, decision->line_count);
	if (decision->least_value > 0)
		code_int64s(codec, &decision->values, decision->line_count);
	code_count(codec, &decision->location_count);
	code_int64s(codec, &decision->location_ids, decision->location_count);
	code_int64s(codec, &decision->fixed_costs, decision->location_count);
	code_int64s(codec, &decision->unit_costs, decision->location_count);
	code_int64s(codec, &decision->distances, decision->location_count);
	code_int32s(codec, &decision->ranks, decision->location_count);
	code_int32s(codec, &decision->tariff_of, decision->location_count);
	code_rules(codec, decision);
	if (!codec->writing && (Size) decision->line_count * decision->location_count > codec->buffer.len - codec->buffer.cursor)
	{
		codec->broken = true;
		return;
	}
	code_int32s(codec, &decision->stock, (Size) decision->line_count * decision->location_count);
	code_scarcity(codec, decision);
	code_count(codec, &decision->tariff_count);
	decision->tariffs = room(codec, decision->tariffs, decision->tariff_count, sizeof(RouteTariff));
	for (int i = 0; i < decision->tariff_count; i++)
		code_tariff(codec, &decision->tariffs[i]);
	if (decision->dated)
		decision->days_late = room(codec, decision->days_late, decision->tariff_count, sizeof(int32 *));
	for (int i = 0; decision->dated && i < decision->tariff_count; i++)
		code_int32s(codec, &decision->days_late[i], decision->tariffs[i].step_count);
}

static void
code_plan(Codec *codec, RoutingDecision *decision)
{
	code_count(codec, &decision->exclusion_count);
	decision->exclusions = room(codec, decision->exclusions, decision->exclusion_count, sizeof(RoutingExclusion));
	for (int i = 0; i < decision->exclusion_count; i++)
	{
		code(codec, &decision->exclusions[i].location_id);
		code(codec, &decision->exclusions[i].reason);
		code(codec, &decision->exclusions[i].detail);
	}
	code(codec, &decision->proven);
	code(codec, &decision->cost);
	code(codec, &decision->lower_bound);
	code_count(codec, &decision->share_count);
	decision->shares = room(codec, decision->shares, decision->share_count, sizeof(RouteShare));
	for (int i = 0; i < decision->share_count; i++)
	{
		code_int32(codec, &decision->shares[i].line);
		code_int32(codec, &decision->shares[i].location);
		code_int32(codec, &decision->shares[i].units);
		if (decision->shares[i].line < 0 || decision->shares[i].line >= decision->line_count ||
			decision->shares[i].location < 0 || decision->shares[i].location >= decision->location_count)
			codec->broken = true;
	}
	code_count(codec, &decision->package_count);
	decision->packages = room(codec, decision->packages, decision->package_count, sizeof(RoutePackage));
	decision->services = room(codec, decision->services, decision->package_count, sizeof(char *));
	for (int i = 0; i < decision->package_count; i++)
	{
		RoutePackage *package = &decision->packages[i];

		code_int32(codec, &package->location);
		code(codec, &package->units);
		code(codec, &package->weight_grams);
		code(codec, &package->fixed_cost);
		code(codec, &package->tariff_cost);
		code(codec, &package->unit_cost);
		code_text(codec, &decision->services[i]);
		if (package->location < 0 || package->location >= decision->location_count)
			codec->broken = true;
	}
}

/* ---- What was asked and what was there ---- */

static void
code_lines(Codec *codec, RoutingRequest *asked)
{
	RoutingLine *lines = unconstify(RoutingLine *, asked->lines);

	code_count(codec, &asked->line_count);
	asked->lines = lines = room(codec, lines, asked->line_count, sizeof(RoutingLine));
	for (int i = 0; i < asked->line_count; i++)
	{
		int32		backorder = lines[i].backorder;

		code(codec, &lines[i].item_id);
		code(codec, &lines[i].weight_grams);
		code(codec, &lines[i].volume);
		code(codec, &lines[i].value);
		code_int32(codec, &lines[i].quantity);
		code_int32(codec, &backorder);
		lines[i].backorder = backorder != 0;
	}
}

static void
code_optional_text(Codec *codec, const char **text)
{
	char	   *value = unconstify(char *, *text ? *text : "");

	code_text(codec, &value);
	*text = value[0] ? value : NULL;
}

static void
code_destination(Codec *codec, RoutingRequest *asked)
{
	Destination *destination = &asked->destination;
	int32		located = !isnan(destination->latitude);

	code_optional_text(codec, &asked->service);
	code_optional_text(codec, &destination->country);
	code_optional_text(codec, &destination->postal_code);
	code_int32(codec, &located);
	if (located)
	{
		code_double(codec, &destination->latitude);
		code_double(codec, &destination->longitude);
	}
	else
		destination->latitude = destination->longitude = NAN;
}

/* What a place is: the next candidate, an exclusion by index + 1, or neither. */
#define PLACE_CANDIDATE		0
#define PLACE_OTHER			(-1)
#define PLACE_NOT_RECORDED	(-2)

static bool
has_backorder(const RoutingRequest *asked, int place)
{
	for (int i = 0; i < asked->line_count; i++)
		if (asked->lines[i].backorder && asked->backorder[(Size) i * asked->location_count + place] > 0)
			return true;
	return false;
}

/* Names what each place is; places that had nothing are not recorded. */
static int
name_places(const RoutingDecision *decision, int32 *kinds)
{
	const RoutingRequest *asked = &decision->asked;
	int			recorded = decision->location_count + decision->exclusion_count;

	for (int i = 0; i < asked->location_count; i++)
		kinds[i] = PLACE_NOT_RECORDED;
	for (int i = 0; i < decision->location_count; i++)
		kinds[decision->place_of[i]] = PLACE_CANDIDATE;
	for (int i = 0; i < decision->exclusion_count; i++)
		kinds[decision->exclusions[i].place] = i + 1;
	for (int i = 0; i < asked->location_count; i++)
		if (kinds[i] == PLACE_NOT_RECORDED && has_backorder(asked, i))
		{
			kinds[i] = PLACE_OTHER;
			recorded++;
		}
	return recorded;
}

static void
code_places(Codec *codec, RoutingDecision *decision, int32 *kinds, int count)
{
	int			candidate = 0;
	int			place = 0;

	for (int i = 0; place < count && !codec->broken; i++)
	{
		int32		kind = codec->writing ? kinds[i] : PLACE_CANDIDATE;
		int64		id = 0;

		if (kind == PLACE_NOT_RECORDED)
			continue;
		if (count > decision->location_count)
			code_int32(codec, &kind);
		if (kind == PLACE_OTHER)
		{
			if (codec->writing)
				id = decision->asked.locations[i]->location_id;
			code(codec, &id);
		}
		if (!codec->writing)
		{
			if (kind < PLACE_OTHER || kind > decision->exclusion_count ||
				(kind == PLACE_CANDIDATE && candidate == decision->location_count))
			{
				codec->broken = true;
				return;
			}
			kinds[place] = kind;
			if (kind == PLACE_CANDIDATE)
				id = decision->location_ids[candidate];
			else if (kind > 0)
				id = decision->exclusions[kind - 1].location_id;
			decision->place_ids[place] = id;
			if (kind == PLACE_CANDIDATE)
				decision->place_of[candidate] = place;
			else if (kind > 0)
				decision->exclusions[kind - 1].place = place;
		}
		candidate += kind == PLACE_CANDIDATE;
		place++;
	}
	if (candidate != decision->location_count)
		codec->broken = true;
}

/*
 * Free units of a line by place, up to what it wants.  Where lines may divide
 * and nothing forbids a place to a line, those of candidates are the problem's
 * stock and not written again.
 */
static void
code_free(Codec *codec, RoutingDecision *decision, const int32 *kinds, int line, int problem_line)
{
	RoutingRequest *asked = &decision->asked;
	int32	   *free = unconstify(int32 *, asked->free) + (Size) line * asked->location_count;
	int32	   *backorder = unconstify(int32 *, asked->backorder) + (Size) line * asked->location_count;
	int			candidate = 0;

	for (int i = 0; i < asked->location_count && !codec->broken; i++)
	{
		int32		units = codec->writing ? Min(free[i], asked->lines[line].quantity) : 0;
		int32		later = codec->writing ? Min(backorder[i], asked->lines[line].quantity) : 0;

		if (kinds[i] == PLACE_NOT_RECORDED)
			continue;
		if (decision->whole_lines || decision->rule_count > 0 || decision->groups_by_item || kinds[i] != PLACE_CANDIDATE)
			code_int32(codec, &units);
		else if (problem_line >= 0)
			units = decision->stock[(Size) problem_line * decision->location_count + candidate];
		if (asked->lines[line].backorder)
			code_int32(codec, &later);
		candidate += kinds[i] == PLACE_CANDIDATE;
		if (!codec->writing)
		{
			free[i] = units;
			backorder[i] = later;
		}
	}
}

static void
code_asked(Codec *codec, RoutingDecision *decision)
{
	RoutingRequest *asked = &decision->asked;
	int			count = 0;
	int			problem_line = 0;
	int32	   *kinds = NULL;

	code_lines(codec, asked);
	code_destination(codec, asked);
	if (codec->writing)
	{
		kinds = palloc(sizeof(int32) * Max(1, asked->location_count));
		count = name_places(decision, kinds);
	}
	code_int32(codec, &count);
	if (!codec->writing)
	{
		if (codec->broken || count < decision->location_count ||
			count - decision->location_count > codec->buffer.len - codec->buffer.cursor)
		{
			codec->broken = true;
			return;
		}
		kinds = palloc(sizeof(int32) * Max(1, count));
		asked->location_count = count;
		decision->place_ids = palloc0(sizeof(int64) * Max(1, count));
		decision->place_of = palloc0(sizeof(int32) * Max(1, decision->location_count));
		asked->free = room(codec, NULL, (Size) asked->line_count * count, sizeof(int32));
		asked->backorder = room(codec, NULL, (Size) asked->line_count * count, sizeof(int32));
	}
	code_places(codec, decision, kinds, count);
	for (int i = 0; i < asked->line_count && !codec->broken; i++)
	{
		bool		served = problem_line < decision->line_count &&
			decision->item_ids[problem_line] == asked->lines[i].item_id;

		code_free(codec, decision, kinds, i, served ? problem_line : -1);
		problem_line += served;
	}
}

static void
code_decision(Codec *codec, RoutingDecision *decision)
{
	int64		layout = RECORD_LAYOUT;

	code(codec, &layout);
	if (layout != RECORD_LAYOUT)
		codec->broken = true;
	if (!codec->broken)
		code_problem(codec, decision);
	if (!codec->broken)
		code_plan(codec, decision);
	if (!codec->broken)
		code_asked(codec, decision);
}

bytea *
oms_decision_write(RoutingDecision *decision)
{
	Codec		codec = {.writing = true};
	bytea	   *record;

	initStringInfo(&codec.buffer);
	code_decision(&codec, decision);
	record = palloc(VARHDRSZ + codec.buffer.len);
	SET_VARSIZE(record, VARHDRSZ + codec.buffer.len);
	memcpy(VARDATA(record), codec.buffer.data, codec.buffer.len);
	return record;
}

/* NULL where the bytes are no record. */
RoutingDecision *
oms_decision_read(bytea *record)
{
	Codec		codec = {.writing = false};
	RoutingDecision *decision = palloc0(sizeof(RoutingDecision));

	codec.buffer.data = VARDATA_ANY(record);
	codec.buffer.len = VARSIZE_ANY_EXHDR(record);
	code_decision(&codec, decision);
	return codec.broken || codec.buffer.cursor != codec.buffer.len ? NULL : decision;
}

static bool
is_same_plan(const RoutingDecision *decision, const RouteResult *result)
{
	if (result->cost != decision->cost || result->lower_bound != decision->lower_bound ||
		result->proven != (decision->proven != 0) || result->share_count != decision->share_count ||
		result->package_count != decision->package_count)
		return false;
	for (int i = 0; i < decision->share_count; i++)
		if (result->shares[i].line != decision->shares[i].line ||
			result->shares[i].location != decision->shares[i].location ||
			result->shares[i].units != decision->shares[i].units)
			return false;
	for (int i = 0; i < decision->package_count; i++)
		if (result->packages[i].tariff_cost != decision->packages[i].tariff_cost ||
			result->packages[i].fixed_cost != decision->packages[i].fixed_cost ||
			result->packages[i].unit_cost != decision->packages[i].unit_cost ||
			result->packages[i].weight_grams != decision->packages[i].weight_grams)
			return false;
	return true;
}

/*
 * oms.route_replays(record bytea) -> boolean
 *
 * Whether solving the recorded problem again gives the recorded plan.
 */
Datum
oms_route_replays(PG_FUNCTION_ARGS)
{
	RoutingDecision *decision = oms_decision_read(PG_GETARG_BYTEA_PP(0));
	RouteResult result = {0};
	RouteStatus status;

	if (decision == NULL)
		PG_RETURN_BOOL(false);
	status = oms_decision_solve(decision, NULL, &result);
	PG_RETURN_BOOL((status == ROUTE_OPTIMAL || status == ROUTE_FEASIBLE) && is_same_plan(decision, &result));
}
