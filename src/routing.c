/*
 * routing.c
 *	  Orders planned by a routing policy.
 *
 * From the request to the kernel: the policy's rules take candidates away,
 * each with its reason; the rate cards of the services that may carry the
 * order give every candidate a tariff by parcel weight; the kernel finds the
 * cheapest plan.  Where no plan serves every unit, the rules that the policy
 * declares soft are given up one after the other.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/memutils.h"

#include "call.h"
#include "dates.h"
#include "event.h"
#include "heap.h"
#include "money.h"
#include "network.h"
#include "relation.h"
#include "route_decision.h"
#include "routing.h"
#include "scarcity.h"
#include "routing_rule.h"
#include "routing_strategy.h"

/* Steps of all tariffs of one order together. */
#define TARIFF_CELLS_MAX 1000000

/* A heavier line counts as this heavy: no rate card goes so far. */
#define LINE_GRAMS_MAX (INT64CONST(1) << 38)

/* Excluded locations that an error names. */
#define REFUSAL_REASONS_MAX 20

/* A service that a location cannot use, and one of which nobody knows when it arrives. */
#define DAYS_NEVER		(-1)
#define DAYS_UNKNOWN	(-2)

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
	bool		too_large;		/* beyond the kernel's limits */
	const char *strategy_failure;	/* why the strategy's answer and no other plan is taken; NULL: not so */
	RouteReason reason;			/* why the kernel found no plan */
} Gathering;

/* Whether a policy decides between so many candidates; a single one may still break a rule of it. */
bool
oms_routing_applies(const PolicyScope *order, int candidates)
{
	const RoutingPolicy *policy = oms_routing_policy(order);

	if (policy == NULL || candidates == 0)
		return false;
	return candidates > 1 || policy->in_time || policy->only_count > 0 || policy->without_count > 0 ||
		policy->rule_count > 0 || !isnan(policy->max_kilometres);
}

static bool
holds(const Gathering *gathering, int rule)
{
	return (gathering->relaxed & (INT64CONST(1) << rule)) == 0;
}

static bool
ranks_by_distance(const RoutingPolicy *policy)
{
	for (int i = 0; i < policy->term_count; i++)
		if (policy->terms[i].kind == ROUTE_TERM_DISTANCE)
			return true;
	return policy->thumb == ROUTE_POLICY_NEAREST + 1 || policy->thumb == ROUTE_POLICY_NEAREST_COMPLETE + 1 ||
		(policy->strategy && policy->fallback == FALLBACK_NEAREST);
}

static void
exclude(Gathering *gathering, int place, ExclusionReason reason, int64 detail)
{
	RoutingDecision *decision = gathering->decision;

	decision->exclusions[decision->exclusion_count++] = (RoutingExclusion)
	{
		gathering->request->locations[place]->location_id, reason, detail, place
	};
}

/* Whether the policy's groups leave a location out; detail says how. */
static bool
is_left_out(const Gathering *gathering, const Location *location, int64 *detail)
{
	const RoutingPolicy *policy = gathering->policy;
	bool		named = policy->only_count == 0;

	if (!holds(gathering, RULE_GROUPS))
		return false;
	for (int i = 0; i < policy->only_count; i++)
		named |= oms_location_in_group(location, policy->only[i]);
	*detail = 0;
	for (int i = 0; named && i < policy->without_count; i++)
		if (oms_location_in_group(location, policy->without[i]))
		{
			*detail = 1;
			return true;
		}
	return !named;
}

static bool
has_stock(const RoutingRequest *request, int location)
{
	for (int line = 0; line < request->line_count; line++)
		if (request->free[(Size) line * request->location_count + location] > 0)
			return true;
	return false;
}

/* The first rule that keeps a line from a place; -1: none. */
static int
forbidding_rule(const Gathering *gathering, int line, int place)
{
	const RoutingRequest *request = gathering->request;

	for (int i = 0; gathering->verdict && i < gathering->policy->rule_count; i++)
		if (!gathering->policy->rules[i].cost && holds(gathering, RULE_COUNT + i) &&
			!gathering->verdict->allowed[((Size) i * request->line_count + line) * request->location_count + place])
			return i;
	return -1;
}

/* The rule that leaves nothing of a place, which has stock; -1: none. */
static int
excluding_rule(const Gathering *gathering, int place)
{
	const RoutingRequest *request = gathering->request;
	int			rule = -1;

	for (int line = 0; line < request->line_count; line++)
		if (request->free[(Size) line * request->location_count + place] > 0 &&
			(rule = forbidding_rule(gathering, line, place)) < 0)
			return -1;
	return rule;
}

/* The index of a problem's line with an item, or -1. */
static int
line_of_item(const RoutingDecision *decision, int64 item_id)
{
	for (int i = 0; i < decision->line_count; i++)
		if (decision->item_ids[i] == item_id)
			return i;
	return -1;
}

/*
 * Free units that rules leave.  The same policy's rules are not asked again:
 * what they left is in the record.
 */
static int32
usable_units(const Gathering *gathering, int line, int place)
{
	const RoutingRequest *request = gathering->request;
	const RoutingDecision *past = gathering->past;
	int32		free = request->free[(Size) line * request->location_count + place];
	int			candidate;
	int			past_line;

	if (free == 0 || gathering->policy->rule_count == 0)
		return free;
	if (gathering->verdict)
		return forbidding_rule(gathering, line, place) >= 0 ? 0 : free;
	candidate = gathering->past_kind[place];
	past_line = line_of_item(past, request->lines[line].item_id);
	if (candidate < 0 || past_line < 0)
		return 0;
	if (past->whole_lines && free < request->lines[line].quantity)
		return free;			/* no matter: too few for the line */
	return past->stock[(Size) past_line * past->location_count + candidate] > 0 ? free : 0;
}

/* The costs that rules give a candidate. */
static void
set_rule_costs(Gathering *gathering, int position, int place)
{
	RoutingDecision *decision = gathering->decision;
	int			rules = decision->rule_count;
	int			candidate = gathering->past ? gathering->past_kind[place] : -1;

	for (int i = 0; i < rules; i++)
		decision->rule_costs[(Size) position * rules + i] =
			gathering->verdict ? gathering->verdict->costs[(Size) i * gathering->request->location_count + place]
			: candidate >= 0 ? gathering->past->rule_costs[(Size) candidate * rules + i] : 0;
}

/* Metres to a location; -1 where they are not known. */
int64
oms_routing_metres(const RoutingRequest *request, int place)
{
	double		distance;

	if (request->metres)
		return request->metres[place];
	distance = oms_location_distance(request->locations[place], request->destination.latitude,
									 request->destination.longitude);
	return isinf(distance) ? -1 : (int64) llround(distance * 1000);
}

static bool
is_missing_rate(int64 reason)
{
	return reason == EXCLUDED_NO_RATE || reason == EXCLUDED_NO_SERVICE || reason == EXCLUDED_ZONE ||
		reason == EXCLUDED_WEIGHT;
}

/* Why a location was no candidate in the decision that is made again; NULL: it was one. */
static const RoutingExclusion *
past_exclusion(const Gathering *gathering, int place)
{
	int			kind = gathering->past ? gathering->past_kind[place] : PAST_NOTHING;

	return kind < PAST_NOTHING ? &gathering->past->exclusions[PAST_EXCLUSION(kind)] : NULL;
}

/*
 * Candidates by place: those that have something and are near enough.  Where
 * past prices hold, a location that had no rate has none.
 */
static void
choose_locations(Gathering *gathering)
{
	const RoutingRequest *request = gathering->request;
	const RoutingPolicy *policy = gathering->policy;
	RoutingDecision *decision = gathering->decision;
	bool		by_same_policy = gathering->past && gathering->past->policy_id == policy->policy_id;
	bool		far_excluded = !isnan(policy->max_kilometres) && holds(gathering, RULE_MAX_KILOMETRES);
	bool		needs_distance = far_excluded || policy->cost_per_kilometre > 0 || ranks_by_distance(policy);

	/* Groups are those of today, where the record does not tell who was in them. */
	if (gathering->past && !by_same_policy && policy->only_count + policy->without_count > 0)
		gathering->lacked |= LACKED_PLACES;
	for (int i = 0; i < request->location_count; i++)
	{
		Location   *location = request->locations[i];
		const RoutingExclusion *before = past_exclusion(gathering, i);
		int64		metres;
		int64		detail;
		int			rule;
		int			position = decision->location_count;

		if (!has_stock(request, i))
			continue;
		metres = oms_routing_metres(request, i);
		rule = excluding_rule(gathering, i);
		if (before && (is_missing_rate(before->reason) ? gathering->past_prices : by_same_policy))
			exclude(gathering, i, before->reason, before->detail);
		else if (!by_same_policy && is_left_out(gathering, location, &detail))
			exclude(gathering, i, EXCLUDED_GROUP, detail);
		else if (needs_distance && metres < 0)
			exclude(gathering, i, EXCLUDED_NO_PLACE, 0);
		else if (far_excluded && metres > policy->max_kilometres * 1000)
			exclude(gathering, i, EXCLUDED_DISTANCE, metres / 1000);
		else if (rule >= 0)
			exclude(gathering, i, EXCLUDED_RULE, rule);
		else
		{
			decision->location_ids[position] = location->location_id;
			decision->distances[position] = metres;
			decision->fixed_costs[position] = location->cost_per_order;
			decision->unit_costs[position] = location->cost_per_unit;
			decision->ranks[position] = location->rank;
			decision->tariff_of[position] = -1;
			set_rule_costs(gathering, position, i);
			gathering->location_of[position] = i;
			decision->location_count++;
			if (before)
				gathering->lacked |= LACKED_PLACES;
		}
	}
}

/* The divisor that makes parcels heaviest, of the services that may be used; 0: none has one. */
static int64
find_divisor(const Gathering *gathering)
{
	const RoutingPolicy *policy = gathering->policy;
	int64		least = 0;

	if (gathering->past && gathering->past->policy_id == policy->policy_id)
		return gathering->past->volumetric_divisor;
	for (int i = 0; i < gathering->network->service_count; i++)
	{
		const CarrierService *service = &gathering->network->services[i];

		if (service->volumetric_divisor > 0 && (least == 0 || service->volumetric_divisor < least) &&
			oms_service_matches(service, gathering->request->service, policy->converts ? NULL : policy->currency))
			least = service->volumetric_divisor;
	}
	return least;
}

/*
 * Grams that a line's units count for.  The greater of weight and volume is
 * taken unit by unit, not parcel by parcel, so that weights stay sums: a parcel
 * of light and heavy goods is never priced too low.
 */
static int64
billable_weight(const RoutingLine *line, int64 divisor)
{
	int64		volumetric = divisor > 0 ? (line->volume + divisor - 1) / divisor : 0;

	return Min(Max(line->weight_grams, volumetric), LINE_GRAMS_MAX);
}

/*
 * The lines that can be served: whole where the policy wants it, else as many
 * units as the candidates have.
 */
static void
choose_lines(Gathering *gathering)
{
	const RoutingRequest *request = gathering->request;
	RoutingDecision *decision = gathering->decision;
	int			locations = decision->location_count;
	bool		whole = decision->whole_lines != 0;

	gathering->complete = true;
	decision->volumetric_divisor = find_divisor(gathering);
	decision->line_count = 0;
	for (int i = 0; i < request->line_count; i++)
	{
		const RoutingLine *line = &request->lines[i];
		int64		weight = billable_weight(line, decision->volumetric_divisor);
		int32	   *stock = decision->stock + (Size) decision->line_count * locations;
		int			position = decision->line_count;
		int64		served = 0;

		for (int j = 0; j < locations; j++)
		{
			int32		free = usable_units(gathering, i, gathering->location_of[j]);

			stock[j] = whole ? free >= line->quantity : Min(free, line->quantity);
			served += whole ? (int64) stock[j] * line->quantity : stock[j];
		}
		gathering->complete &= served >= line->quantity;
		if (served == 0)
			continue;
		decision->item_ids[position] = line->item_id;
		decision->units[position] = whole ? 1 : (int32) Min(served, line->quantity);
		decision->factors[position] = whole ? line->quantity : 1;
		decision->weights[position] = whole ? weight : (weight + line->quantity - 1) / line->quantity;
		decision->values[position] = whole ? line->value : line->value / line->quantity;
		decision->line_count++;
	}
}

/* ---- Tariffs ---- */

static int
compare_int64(const void *left, const void *right)
{
	int64		a = *(const int64 *) left;
	int64		b = *(const int64 *) right;

	return a < b ? -1 : a > b;
}

static int
sort_unique(int64 *values, int count)
{
	int			kept = 0;

	qsort(values, count, sizeof(int64), compare_int64);
	for (int i = 0; i < count; i++)
		if (kept == 0 || values[kept - 1] != values[i])
			values[kept++] = values[i];
	return kept;
}

/*
 * The weights that a parcel of the order can have.  Where there are too many,
 * equal steps up to the whole weight: a parcel is then priced as the step
 * above it.
 */
static void
find_steps(Gathering *gathering)
{
	RoutingDecision *decision = gathering->decision;
	int			most = Min(ROUTE_STEPS_MAX, Max(16, TARIFF_CELLS_MAX / Max(1, decision->location_count)));
	int64	   *steps = palloc(sizeof(int64) * most);
	int64		total = 0;
	int			count = 1;
	bool		exact = true;

	steps[0] = 0;
	for (int i = 0; i < decision->line_count; i++)
		total += decision->weights[i] * decision->units[i];
	for (int i = 0; i < decision->line_count && exact; i++)
	{
		int64		many = (int64) count * (decision->units[i] + 1);
		int64	   *sums;
		int			sum_count = 0;

		if (decision->weights[i] == 0)
			continue;
		exact = many <= 8 * most;
		if (!exact)
			break;
		sums = palloc(sizeof(int64) * many);
		for (int j = 0; j < count; j++)
			for (int units = 0; units <= decision->units[i]; units++)
				sums[sum_count++] = steps[j] + decision->weights[i] * units;
		sum_count = sort_unique(sums, sum_count);
		exact = sum_count <= most;
		if (exact)
			memcpy(steps, sums, sizeof(int64) * (count = sum_count));
	}
	if (!exact)
	{
		for (int i = 0; i < most; i++)
			steps[i] = total / most * i + total % most * i / most;
		steps[most - 1] = total;
		count = sort_unique(steps, most);
	}

	/* No parcel is empty: weight 0 counts only where nothing weighs anything. */
	gathering->steps = count > 1 ? steps + 1 : steps;
	gathering->step_count = count > 1 ? count - 1 : count;
}

/* ---- Days of delivery ---- */

static const int32 *
days_of(const Gathering *gathering, int location)
{
	return gathering->days_late ? gathering->days_late + (Size) location * gathering->network->service_count : NULL;
}

static bool
must_be_in_time(const Gathering *gathering)
{
	return gathering->policy->in_time && holds(gathering, RULE_IN_TIME);
}

/* Days that a service is too late at a location. */
static int32
count_days_late(const Gathering *gathering, const DateRequest *request, const Location *location, int service,
				const RateCard *card)
{
	const Site *site = oms_dates_site(location->location_id);
	ParcelDates dates;
	int32		late;

	if (oms_dates_by_service(request, location, &gathering->network->services[service], card, &dates) !=
		PROMISE_OK)
		return DAYS_NEVER;
	if (!dates.arrives)
		return DAYS_UNKNOWN;
	late = dates.latest_day - oms_dates_local_day(site, gathering->request->requested_at);
	return Min(Max(late, 0), ROUTE_LATE_DAYS_MAX);
}

/* The most units that a location could send. */
static int64
units_at(const RoutingRequest *request, int place)
{
	int64		units = 0;

	for (int i = 0; i < request->line_count; i++)
		units += Min(request->free[(Size) i * request->location_count + place], request->lines[i].quantity);
	return units;
}

/* Counts the days of each candidate and service, where the policy looks at them. */
static void
find_days_late(Gathering *gathering, Location *const *locations)
{
	const RoutingRequest *request = gathering->request;
	int			services = gathering->network->service_count;
	int			count = gathering->decision->location_count;
	DateRequest dates = {
		.ordered_at = request->ordered_at,.service = request->service,.destination = request->destination,
		.capacity = request->capacity
	};

	gathering->days_late = palloc(sizeof(int32) * Max(1, (Size) count * services));
	for (int i = 0; i < count; i++)
	{
		dates.units = units_at(request, gathering->location_of[i]);
		for (int j = 0; j < services; j++)
			gathering->days_late[(Size) i * services + j] = !gathering->usable[j] ? DAYS_NEVER
				: count_days_late(gathering, &dates, locations[i], j, gathering->cards[(Size) i * services + j]);
	}
}

/* Why a location has no price: nothing to send by, no zone, a zone without a rate, or no band for the weight. */
static ExclusionReason
missing_rate(const Gathering *gathering, int location)
{
	ExclusionReason reason = gathering->usable_count == 0 ? EXCLUDED_NO_SERVICE : EXCLUDED_NO_RATE;

	for (int i = 0; i < gathering->network->service_count; i++)
	{
		Size		cell = (Size) location * gathering->network->service_count + i;

		if (!gathering->usable[i])
			continue;
		if (gathering->cards[cell] && gathering->cards[cell]->band_count > 0)
			return EXCLUDED_WEIGHT;
		if (gathering->cards[cell] || gathering->zone_only[cell])
			reason = EXCLUDED_ZONE;
	}
	return reason;
}

/* Why no service of a location will do. */
static void
exclude_by_date(Gathering *gathering, int location)
{
	const int32 *days = days_of(gathering, location);
	int32		least = PG_INT32_MAX;
	bool		unknown = false;

	for (int i = 0; days && must_be_in_time(gathering) && i < gathering->network->service_count; i++)
	{
		const RateCard *card = gathering->cards[(Size) location * gathering->network->service_count + i];

		if (card == NULL || card->band_count == 0)
			continue;
		if (days[i] > 0)
			least = Min(least, days[i]);
		unknown |= days[i] == DAYS_UNKNOWN;
	}
	if (least < PG_INT32_MAX)
		exclude(gathering, gathering->location_of[location], EXCLUDED_LATE, least);
	else
	{
		ExclusionReason reason = unknown ? EXCLUDED_NO_DATE : missing_rate(gathering, location);

		exclude(gathering, gathering->location_of[location], reason, reason == EXCLUDED_WEIGHT ? gathering->steps[0] : 0);
	}
}

/* What the policy counts of a price and of being late; days that are not known cost nothing. */
static int64
counted(const Gathering *gathering, int64 price, int32 days)
{
	if (gathering->days_late == NULL)
		return price;
	return oms_weighted(price, gathering->policy->shipping_weight) + Max(days, 0) * gathering->policy->cost_per_day_late;
}

/* The cheapest service for a parcel; -1 where none carries it, or none in time. */
static int64
cheapest(Gathering *gathering, int location, int64 grams, int *service)
{
	Network    *network = gathering->network;
	const RateCard **cards = gathering->cards + (Size) location * network->service_count;
	const int32 *days = days_of(gathering, location);
	int64		best = -1;
	int64		least = 0;

	for (int i = 0; i < network->service_count; i++)
	{
		int64		price = gathering->usable[i] && cards[i] ? oms_rate(&network->services[i], cards[i], grams) : -1;

		if (price >= 0 && gathering->exchange)
			price = oms_exchange(price, gathering->exchange[i]);
		if (price < 0 || (days && (days[i] == DAYS_NEVER || (days[i] != 0 && must_be_in_time(gathering)))))
			continue;
		if (best < 0 || counted(gathering, price, days ? days[i] : 0) < least)
		{
			best = price;
			least = counted(gathering, price, days ? days[i] : 0);
			*service = i;
		}
	}
	return best;
}

/*
 * Makes the next tariff, of a location; false where it can send nothing.  A
 * parcel may be sent as a heavier one where that is cheaper, so what counts
 * never falls.
 */
static bool
make_tariff(Gathering *gathering, int location)
{
	RoutingDecision *decision = gathering->decision;
	RouteTariff *tariff = &decision->tariffs[decision->tariff_count];
	const int32 *days = days_of(gathering, location);
	int64	   *costs = palloc(sizeof(int64) * gathering->step_count);
	int32	   *days_late = palloc(sizeof(int32) * gathering->step_count);
	int64		above = -1;
	int32		late = 0;

	tariff->step_count = 0;
	for (int i = gathering->step_count - 1; i >= 0; i--)
	{
		int			service = -1;
		int64		price = cheapest(gathering, location, gathering->steps[i], &service);
		int32		price_late = price >= 0 && days ? Max(days[service], 0) : 0;

		if (above < 0 ||
			(price >= 0 && counted(gathering, price, price_late) < counted(gathering, above, late)))
		{
			above = price;
			late = price_late;
		}
		costs[i] = above;
		days_late[i] = late;
		if (above >= 0 && tariff->step_count == 0)
			tariff->step_count = i + 1;
	}
	tariff->limit_grams = gathering->steps;
	tariff->cost = costs;
	if (decision->dated)
		decision->days_late[decision->tariff_count] = days_late;
	decision->tariff_count += tariff->step_count > 0;
	return tariff->step_count > 0;
}

static void
choose_services(Gathering *gathering)
{
	Network    *network = gathering->network;
	const RoutingPolicy *policy = gathering->policy;
	const char *asked = gathering->request->service;

	gathering->usable = palloc0(sizeof(bool) * Max(1, network->service_count));
	gathering->usable_count = 0;
	gathering->exchange = policy->converts ? palloc(sizeof(int64) * Max(1, network->service_count)) : NULL;
	for (int i = 0; i < network->service_count; i++)
	{
		CarrierService *service = &network->services[i];

		gathering->usable[i] = oms_service_matches(service, asked, policy->converts ? NULL : policy->currency);
		if (policy->converts)
		{
			gathering->exchange[i] = oms_exchange_rate(network, service->currency, policy->currency,
													   gathering->request->ordered_at);
			gathering->usable[i] &= gathering->exchange[i] > 0;
		}
		gathering->usable_count += gathering->usable[i];
	}
}

/* Takes a location out of the problem. */
static void
drop_location(Gathering *gathering, int from, int to)
{
	RoutingDecision *decision = gathering->decision;

	decision->location_ids[to] = decision->location_ids[from];
	decision->distances[to] = decision->distances[from];
	decision->fixed_costs[to] = decision->fixed_costs[from];
	decision->unit_costs[to] = decision->unit_costs[from];
	decision->ranks[to] = decision->ranks[from];
	decision->tariff_of[to] = decision->tariff_of[from];
	memmove(decision->rule_costs + (Size) to * decision->rule_count,
			decision->rule_costs + (Size) from * decision->rule_count, sizeof(int64) * decision->rule_count);
	gathering->location_of[to] = gathering->location_of[from];
	memmove(gathering->cards + (Size) to * gathering->network->service_count,
			gathering->cards + (Size) from * gathering->network->service_count,
			sizeof(RateCard *) * gathering->network->service_count);
	memmove(gathering->zone_only + (Size) to * gathering->network->service_count,
			gathering->zone_only + (Size) from * gathering->network->service_count,
			sizeof(bool) * gathering->network->service_count);
	if (gathering->days_late)
		memmove(gathering->days_late + (Size) to * gathering->network->service_count, days_of(gathering, from),
				sizeof(int32) * gathering->network->service_count);
}

/* A tariff for the same cards and days exists already: its index, or -1. */
static int
tariff_of_cards(Gathering *gathering, int location)
{
	Size		row = gathering->network->service_count;

	for (int i = 0; i < location && row > 0; i++)
		if (memcmp(gathering->cards + i * row, gathering->cards + location * row, sizeof(RateCard *) * row) == 0 &&
			(gathering->days_late == NULL ||
			 memcmp(days_of(gathering, i), days_of(gathering, location), sizeof(int32) * row) == 0))
			return gathering->decision->tariff_of[i];
	return -1;
}

/* The tariff that a candidate had before: its index, or -1. */
static int
past_tariff(Gathering *gathering, int location, int *tariff_of_past)
{
	const RoutingDecision *past = gathering->past;
	RoutingDecision *decision = gathering->decision;
	int			candidate;
	int			tariff;

	if (!gathering->past_prices)
		return -1;
	candidate = gathering->past_kind[gathering->location_of[location]];
	if (candidate < 0 || (tariff = past->tariff_of[candidate]) < 0)
		return -1;
	if (tariff_of_past[tariff] < 0)
	{
		tariff_of_past[tariff] = decision->tariff_count;
		if (decision->dated)
			decision->days_late[decision->tariff_count] = past->days_late[tariff];
		decision->tariffs[decision->tariff_count++] = past->tariffs[tariff];
	}
	return tariff_of_past[tariff];
}

/* Without services nobody knows when anything arrives. */
static void
exclude_all_undated(Gathering *gathering)
{
	RoutingDecision *decision = gathering->decision;

	if (!decision->dated || !must_be_in_time(gathering))
		return;
	for (int i = 0; i < decision->location_count; i++)
		exclude(gathering, gathering->location_of[i], EXCLUDED_NO_DATE, 0);
	decision->location_count = 0;
}

/* Gives every candidate its tariff; those without one are excluded. */
static void
price_shipping(Gathering *gathering)
{
	RoutingDecision *decision = gathering->decision;
	Location  **locations = palloc(sizeof(Location *) * Max(1, decision->location_count));
	int		   *tariff_of_past = palloc(sizeof(int) * (gathering->past ? gathering->past->tariff_count + 1 : 1));
	int			kept = 0;

	decision->tariff_count = 0;
	gathering->cards = NULL;
	gathering->days_late = NULL;
	if (gathering->network->service_count == 0 && !gathering->past_prices)
	{
		exclude_all_undated(gathering);
		return;
	}
	if (gathering->policy->shipping_weight == 0 && !decision->dated)
		return;
	for (int i = 0; gathering->past && i < gathering->past->tariff_count; i++)
		tariff_of_past[i] = -1;
	choose_services(gathering);
	for (int i = 0; i < decision->location_count; i++)
		locations[i] = gathering->request->locations[gathering->location_of[i]];
	gathering->zone_only = palloc(sizeof(bool) * Max(1, (Size) decision->location_count * gathering->network->service_count));
	gathering->cards = oms_network_cards(gathering->network, locations, decision->location_count,
										 &gathering->request->destination, gathering->zone_only);
	find_steps(gathering);
	decision->tariffs = palloc(sizeof(RouteTariff) * Max(1, decision->location_count));
	if (decision->dated)
	{
		find_days_late(gathering, locations);
		decision->days_late = palloc(sizeof(int32 *) * Max(1, decision->location_count));
	}
	for (int i = 0; i < decision->location_count; i++)
	{
		drop_location(gathering, i, kept);
		decision->tariff_of[kept] = past_tariff(gathering, kept, tariff_of_past);
		if (decision->tariff_of[kept] < 0)
		{
			decision->tariff_of[kept] = gathering->past_prices ? -1 : tariff_of_cards(gathering, kept);
			gathering->lacked |= gathering->past ? LACKED_RATES : 0;
			if (decision->tariff_of[kept] < 0 && make_tariff(gathering, kept))
				decision->tariff_of[kept] = decision->tariff_count - 1;
		}
		if (decision->tariff_of[kept] >= 0)
			kept++;
		else
			exclude_by_date(gathering, kept);
	}
	decision->location_count = kept;
}

/* ---- Gathering ---- */

static void
set_terms(RoutingDecision *decision, const RoutingPolicy *policy)
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
		set_terms(decision, policy);
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

static void
gather(Gathering *gathering, int64 relaxed)
{
	const RoutingRequest *request = gathering->request;

	gathering->relaxed = relaxed;
	gathering->lacked = 0;
	gathering->decision = make_decision(request, gathering->policy, relaxed);
	gathering->location_of = gathering->decision->place_of = palloc(sizeof(int) * Max(1, request->location_count));
	gathering->past_prices = may_use_past_prices(gathering);
	choose_locations(gathering);
	choose_lines(gathering);
	if (gathering->past_prices && !has_past_lines(gathering))
	{
		gathering->past_prices = false;
		gathering->decision->location_count = gathering->decision->exclusion_count = 0;
		choose_locations(gathering);
		choose_lines(gathering);
	}
	price_shipping(gathering);
	choose_lines(gathering);
	price_scarcity(gathering);
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
			(void) cheapest(gathering, result->packages[i].location, result->packages[i].weight_grams, &service);
		decision->services[i] = service >= 0 ? unconstify(char *, gathering->network->services[service].code) : "";
	}
}

static bool
is_plan(RouteStatus status)
{
	return status == ROUTE_OPTIMAL || status == ROUTE_FEASIBLE;
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
		int			line = line_of_item(decision, past->item_ids[past->shares[i].line]);
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
			set_terms(decision, gathering->policy);
			break;
		case FALLBACK_NEAREST:
			decision->thumb = ROUTE_POLICY_NEAREST_COMPLETE + 1;
			break;
		case FALLBACK_REFUSE:
			gathering->strategy_failure = decision->strategy_failure;
			return false;
	}
	return is_plan(oms_decision_solve(decision, NULL, result));
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
			gather(gathering, relaxed);
		if (given_up ? last : gathering->complete || last)
		{
			if (gathering->decision->line_count == 0)
				return false;
			status = oms_decision_solve(gathering->decision, NULL, &result);
			if (is_plan(status))
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

/* Units that no candidate has: first from the locations of the plan. */
static void
add_backorders(const RoutingRequest *request, const bool *used, RoutingPlan *plan)
{
	for (int line = 0; line < request->line_count; line++)
		for (int round = 0; round < 2 && request->lines[line].backorder; round++)
			for (int j = 0; j < request->location_count && plan->missing[line] > 0; j++)
			{
				int32		units = Min(request->backorder[(Size) line * request->location_count + j],
										plan->missing[line]);

				if (used[j] == (round == 0) && units > 0)
					add_part(plan, line, j, units, true);
			}
}

static const char *
exclusion_text(const RoutingDecision *decision, const RoutingExclusion *exclusion)
{
	switch ((ExclusionReason) exclusion->reason)
	{
		case EXCLUDED_DISTANCE:
			return psprintf(INT64_FORMAT " km are too far", exclusion->detail);
		case EXCLUDED_NO_PLACE:
			return "the distance is not known";
		case EXCLUDED_NO_RATE:
			return "no service has a zone and a rate";
		case EXCLUDED_LATE:
			return psprintf(INT64_FORMAT " %s too late", exclusion->detail, exclusion->detail == 1 ? "day" : "days");
		case EXCLUDED_GROUP:
			return exclusion->detail ? "in a group that the policy leaves out" : "in no group of the policy";
		case EXCLUDED_NO_DATE:
			return "the day of delivery is not known";
		case EXCLUDED_NO_SERVICE:
			return "no service is what the order and the policy ask for";
		case EXCLUDED_ZONE:
			return "its zone has no rate";
		case EXCLUDED_WEIGHT:
			return psprintf("no rate for a parcel of " INT64_FORMAT " grams", exclusion->detail);
		case EXCLUDED_COUNT:
			break;
		case EXCLUDED_RULE:
			if (exclusion->detail >= 0 && exclusion->detail < decision->rule_count)
				return psprintf("rule \"%s\"", decision->rule_names[exclusion->detail]);
	}
	return "unknown reason";
}

/* Units of a line that all candidates together lack. */
static int32
units_short(const RoutingRequest *request, int line)
{
	int64		free = 0;

	for (int j = 0; j < request->location_count; j++)
		free += request->free[(Size) line * request->location_count + j];
	return (int32) Max(0, request->lines[line].quantity - free);
}

/* Too little stock, whatever the rules: say how much is there. */
static void
report_shortage(const RoutingRequest *request, RoutingPlan *plan)
{
	for (int i = 0; i < request->line_count; i++)
		plan->missing[i] = units_short(request, i);
}

/* How many more locations are excluded, by reason. */
static void
append_rest(StringInfo text, const RoutingDecision *decision, int from)
{
	static const char *const names[EXCLUDED_COUNT] = {
		[EXCLUDED_DISTANCE] = "too far",[EXCLUDED_NO_PLACE] = "at no known distance",
		[EXCLUDED_NO_RATE] = "without zone and rate",[EXCLUDED_RULE] = "by rules",[EXCLUDED_LATE] = "too late",
		[EXCLUDED_NO_DATE] = "without a day of delivery",[EXCLUDED_NO_SERVICE] = "without a service",
		[EXCLUDED_ZONE] = "in zones without a rate",[EXCLUDED_GROUP] = "by group",[EXCLUDED_WEIGHT] = "without a rate for the weight"
	};
	const char *separator = ": ";

	appendStringInfo(text, "\nand %d more", decision->exclusion_count - from);
	for (int reason = 1; reason < EXCLUDED_COUNT; reason++)
	{
		int			count = 0;

		for (int i = from; i < decision->exclusion_count; i++)
			count += decision->exclusions[i].reason == reason;
		if (count == 0)
			continue;
		appendStringInfo(text, "%s%d %s", separator, count, names[reason]);
		separator = ", ";
	}
}

/* What the kernel says about the candidates that are left; NULL: nothing. */
static const char *
kernel_reason(const Gathering *gathering)
{
	switch (gathering->reason)
	{
		case ROUTE_REASON_WEIGHT:
			return "A line is heavier than any parcel that the candidates send.";
		case ROUTE_REASON_WHOLE_LINE:
			return "No candidate has a line whole.";
		case ROUTE_REASON_PACKAGES:
			return "The candidates have the units, but not in as few packages as max_fulfillments allows.";
		case ROUTE_REASON_COMBINATION:
			return "The candidates have the units, but not in as few packages as max_fulfillments allows, with their limits of weight.";
		case ROUTE_REASON_COST:
			return "The candidates have the units, but no plan was found whose every package is worth as much as min_fulfillment_value asks.";
		default:
			return NULL;
	}
}

/* Why stock that exists cannot be used; NULL where there is too little of it. */
static const char *
find_refusal(const Gathering *gathering, const RoutingPlan *plan)
{
	const RoutingRequest *request = gathering->request;
	StringInfoData text;

	for (int i = 0; i < request->line_count; i++)
		if (units_short(request, i) > 0)
			return NULL;
	initStringInfo(&text);
	for (int i = 0; i < gathering->decision->exclusion_count; i++)
	{
		RoutingExclusion *exclusion = &gathering->decision->exclusions[i];
		Location   *location = oms_location_by_id(exclusion->location_id);

		if (i == REFUSAL_REASONS_MAX)
		{
			append_rest(&text, gathering->decision, i);
			break;
		}
		appendStringInfo(&text, "%s%s: %s", i > 0 ? "\n" : "", location ? location->code : "a location",
						 exclusion_text(gathering->decision, exclusion));
	}
	if (kernel_reason(gathering))
		appendStringInfo(&text, "%s%s", text.len > 0 ? "\n" : "", kernel_reason(gathering));
	if (text.len == 0 && gathering->decision->whole_lines)
		appendStringInfoString(&text, "No candidate has a line whole.");
	else if (text.len == 0)
		appendStringInfoString(&text, gathering->verdict
							   ? "The candidates have the units, but not within the split limits and the rules for lines."
							   : "The candidates have the units, but not within the split limits.");
	return text.data;
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
		return NULL;
	if (gathering->policy->rule_count > 0 && !(gathering->past && gathering->past->policy_id == gathering->policy->policy_id))
	{
		gathering->verdict = oms_rules_evaluate(gathering->policy, request);
		if (gathering->verdict->failure)
			return refused_plan(request, gathering->verdict->failure);
	}
	if (solve_with_rules(gathering))
		plan->decision = gathering->decision;
	else if (gathering->too_large)
		return NULL;
	else if (gathering->strategy_failure)
		return refused_plan(request, psprintf("The strategy of the policy gave no plan: %s.", gathering->strategy_failure));
	oms_routing_finish(request, plan);
	for (int i = 0; i < request->line_count; i++)
		missing += plan->missing[i];
	if (missing > 0 && (plan->refusal = find_refusal(gathering, plan)) == NULL)
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
	Gathering	gathering = {.request = request,.policy = oms_routing_policy(&request->scope),.network = oms_network()};

	return gathering.policy ? make_plan(&gathering) : NULL;
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
	gather(&gathering, 0);
	*lacked |= gathering.lacked;
	return gathering.decision;
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

	if (decision == NULL || decision->location_count + decision->exclusion_count < 2)
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

/* ---- Explaining ---- */

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

static void
explain_packages(Explanation *explanation, const char *kind, const RoutePackage *packages, int count, char **services,
				 const RouteShare *shares, int share_count)
{
	for (int i = 0; i < count; i++)
	{
		int64		location = explanation->decision->location_ids[packages[i].location];
		int32		late = oms_decision_days_late(explanation->decision, &packages[i]);
		int64		scarcity = oms_decision_scarcity(explanation->decision, shares, share_count, packages[i].location);

		explain_rules(explanation, kind, packages[i].location);
		explain(explanation, kind, location, "order",
				packages[i].fixed_cost - oms_decision_rule_cost(explanation->decision, packages[i].location), NULL);
		if (explanation->decision->scarcity)
			explain(explanation, kind, location, "scarcity", scarcity, "what the units are worth to later orders");
		explain(explanation, kind, location, "units", packages[i].unit_cost - scarcity,
				explanation->decision->volumetric_divisor > 0
				? psprintf(INT64_FORMAT " billable grams, of which a kilogram has at most " INT64_FORMAT " cubic centimetres",
						   packages[i].weight_grams, explanation->decision->volumetric_divisor)
				: psprintf(INT64_FORMAT " grams", packages[i].weight_grams));
		if (explanation->decision->tariff_count > 0)
			explain(explanation, kind, location, "shipping",
					packages[i].tariff_cost - late * explanation->decision->cost_per_day_late,
					services && services[i][0] ? services[i] : NULL);
		if (explanation->decision->dated)
			explain(explanation, kind, location, "lateness", late * explanation->decision->cost_per_day_late,
					psprintf("%d %s late", late, late == 1 ? "day" : "days"));
	}
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
		cost -= Min(oms_decision_days_late(decision, &plan->packages[i]), days) * decision->cost_per_day_late;
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

	if (!is_plan(status) || optimum.cost >= explanation->decision->cost)
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
	static const char *const rules[RULE_COUNT] = {
		[RULE_MAX_KILOMETRES] = "max_kilometres",[RULE_MAX_FULFILLMENTS] = "max_fulfillments",
		[RULE_WHOLE_LINES] = "whole_lines",[RULE_IN_TIME] = "in_time",[RULE_GROUPS] = "groups",
		[RULE_LEAST_VALUE] = "min_fulfillment_value"
	};
	RoutingDecision *decision = explanation->decision;

	explain(explanation, "policy", 0, "cost", decision->cost, explanation->policy);
	if (decision->strategy[0] != '\0')
		explain(explanation, "policy", 0, "strategy", PG_INT64_MIN, oms_decision_is_answer(decision) ? decision->strategy
				: psprintf("%s gave no plan: %s", decision->strategy, decision->strategy_failure));
	if (decision->term_count == 0)
		explain(explanation, "policy", 0, "lower bound", decision->lower_bound,
				decision->proven ? "proven" : oms_decision_is_answer(decision) ? "of the cheapest plan" : "search limit reached");
	for (int i = 0; i < RULE_COUNT + decision->rule_count; i++)
		if (decision->relaxed & (INT64CONST(1) << i))
			explain(explanation, "relaxed", 0, i < RULE_COUNT ? rules[i] : decision->rule_names[i - RULE_COUNT],
					PG_INT64_MIN, NULL);
	explain_packages(explanation, "plan", decision->packages, decision->package_count, decision->services, decision->shares,
					 decision->share_count);
	for (int i = 0; i < decision->location_count; i++)
		if (!is_used(decision->packages, decision->package_count, i))
			explain(explanation, "candidate", decision->location_ids[i], "order", oms_decision_fixed_cost(decision, i),
					decision->distances[i] < 0 ? NULL : psprintf(INT64_FORMAT " km", decision->distances[i] / 1000));
	for (int i = 0; i < decision->exclusion_count; i++)
		explain(explanation, "excluded", decision->exclusions[i].location_id, "rule", PG_INT64_MIN,
				exclusion_text(decision, &decision->exclusions[i]));
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
