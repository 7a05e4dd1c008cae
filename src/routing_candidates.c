/*
 * routing_candidates.c
 *	  Which locations may serve an order, and which of its units.
 */
#include "oms.h"

#include <math.h>

#include "routing_gather.h"

/* A heavier line counts as this heavy: no rate card goes so far. */
#define LINE_GRAMS_MAX (INT64CONST(1) << 38)

bool
oms_routing_holds(const Gathering *gathering, int rule)
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

void
oms_routing_exclude(Gathering *gathering, int place, ExclusionReason reason, int64 detail)
{
	RoutingDecision *decision = gathering->decision;

	decision->exclusions[decision->exclusion_count++] = (RoutingExclusion)
	{
		gathering->request->locations[place]->location_id, reason, detail, place
	};
}

static bool
is_for_line(const PolicyGroup *group, const RoutingLine *line)
{
	return group->item_group == NULL || (line->item_group && strcmp(group->item_group, line->item_group) == 0);
}

/* Whether the policy's groups keep a line from a location; detail says how. */
static bool
is_line_left_out(const RoutingPolicy *policy, const Location *location, const RoutingLine *line, int64 *detail)
{
	bool		asked = false;
	bool		named = false;

	for (int i = 0; i < policy->only_count && !named; i++)
		if (is_for_line(&policy->only[i], line))
		{
			asked = true;
			named = oms_location_in_group(location, policy->only[i].group);
		}
	*detail = 0;
	if (asked && !named)
		return true;
	for (int i = 0; i < policy->without_count; i++)
		if (is_for_line(&policy->without[i], line) && oms_location_in_group(location, policy->without[i].group))
		{
			*detail = 1;
			return true;
		}
	return false;
}

/* Whether groups leave a location out for each line that it has anything of. */
static bool
is_left_out(const Gathering *gathering, int place, int64 *detail)
{
	const RoutingRequest *request = gathering->request;
	const RoutingPolicy *policy = gathering->policy;

	if (policy->only_count + policy->without_count == 0 || !oms_routing_holds(gathering, RULE_GROUPS))
		return false;
	for (int line = 0; line < request->line_count; line++)
	{
		if (request->free[(Size) line * request->location_count + place] == 0)
			continue;
		if (!is_line_left_out(policy, request->locations[place], &request->lines[line], detail))
			return false;
		/* Where no group is for some items only, one line tells for all. */
		if (!policy->groups_by_item)
			return true;
	}
	return true;
}

/* Whether groups keep a line from a location that may serve others. */
static bool
is_kept_from(const Gathering *gathering, int line, int place)
{
	const RoutingRequest *request = gathering->request;
	int64		detail;

	return gathering->policy->groups_by_item && oms_routing_holds(gathering, RULE_GROUPS) &&
		is_line_left_out(gathering->policy, request->locations[place], &request->lines[line], &detail);
}

/* Units of each item that stay at a location. */
static int32
floor_at(const Gathering *gathering, int place)
{
	const RoutingPolicy *policy = gathering->policy;

	for (int i = 0; i < policy->floor_count && oms_routing_holds(gathering, RULE_FLOORS); i++)
		if (policy->floors[i].group == NULL ||
			oms_location_in_group(gathering->request->locations[place], policy->floors[i].group))
			return policy->floors[i].units;
	return 0;
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
		if (!gathering->policy->rules[i].cost && !gathering->policy->rules[i].rank && oms_routing_holds(gathering, RULE_COUNT + i) &&
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
		if (request->free[(Size) line * request->location_count + place] > 0 && !is_kept_from(gathering, line, place) &&
			(rule = forbidding_rule(gathering, line, place)) < 0)
			return -1;
	return rule;
}

/* The index of a problem's line with an item, or -1. */
int
oms_routing_line_of_item(const RoutingDecision *decision, int64 item_id)
{
	for (int i = 0; i < decision->line_count; i++)
		if (decision->item_ids[i] == item_id)
			return i;
	return -1;
}

/*
 * Free units less those that stay.  A record has free units up to what its
 * line wanted only: where it has as many, there may be more.
 */
static int32
above_floor(const Gathering *gathering, int line, int place, int32 free)
{
	int32		floor = floor_at(gathering, place);

	if (gathering->past && free >= gathering->request->lines[line].quantity)
		return free;
	return Max(0, free - floor);
}

/*
 * Free units that rules and groups leave.  Those of the same policy are not
 * asked again: what they left is in the record.
 */
static int32
usable_units(const Gathering *gathering, int line, int place)
{
	const RoutingRequest *request = gathering->request;
	const RoutingDecision *past = gathering->past;
	int32		free = request->free[(Size) line * request->location_count + place];
	int			candidate;
	int			past_line;

	if (free == 0 || (gathering->policy->rule_count == 0 && !gathering->policy->groups_by_item &&
					  gathering->policy->floor_count == 0))
		return free;
	if (past == NULL || past->policy_id != gathering->policy->policy_id)
		return forbidding_rule(gathering, line, place) >= 0 || is_kept_from(gathering, line, place) ? 0
			: above_floor(gathering, line, place, free);
	candidate = gathering->past_kind[place];
	past_line = oms_routing_line_of_item(past, request->lines[line].item_id);
	if (candidate < 0 || past_line < 0)
		return 0;
	if (past->whole_lines && free < request->lines[line].quantity)
		return free;			/* no matter: too few for the line */
	if (past->whole_lines)
		return past->stock[(Size) past_line * past->location_count + candidate] > 0 ? free : 0;
	return Min(free, past->stock[(Size) past_line * past->location_count + candidate]);
}

/* Whether so many units stay at a place that none is left of any line. */
static bool
is_below_floor(const Gathering *gathering, int place)
{
	const RoutingRequest *request = gathering->request;

	if (floor_at(gathering, place) == 0)
		return false;
	for (int line = 0; line < request->line_count; line++)
		if (usable_units(gathering, line, place) > 0)
			return false;
	return true;
}

/*
 * The rank of a candidate: what a rule says, the place of its first group in
 * the policy's order (others last), or its own.  In what is made again by the
 * same policy its own is that of the record.
 */
static int32
rank_of(const Gathering *gathering, int place)
{
	const RoutingPolicy *policy = gathering->policy;
	const Location *location = gathering->request->locations[place];
	int			position = 0;

	if (policy->prefer_count == 0 || (gathering->past && gathering->past->policy_id == policy->policy_id))
		return gathering->verdict && gathering->verdict->ranks ? gathering->verdict->ranks[place] : location->rank;
	while (position < policy->prefer_count && !oms_location_in_group(location, policy->prefer[position].group))
		position++;
	return position;
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
void
oms_routing_choose_locations(Gathering *gathering)
{
	const RoutingRequest *request = gathering->request;
	const RoutingPolicy *policy = gathering->policy;
	RoutingDecision *decision = gathering->decision;
	bool		by_same_policy = gathering->past && gathering->past->policy_id == policy->policy_id;
	bool		far_excluded = !isnan(policy->max_kilometres) && oms_routing_holds(gathering, RULE_MAX_KILOMETRES);
	bool		needs_distance = far_excluded || policy->cost_per_kilometre > 0 || ranks_by_distance(policy);

	/* Groups are those of today, where the record does not tell who was in them. */
	if (gathering->past && !by_same_policy && policy->only_count + policy->without_count + policy->prefer_count > 0)
		gathering->lacked |= LACKED_PLACES;
	for (int i = 0; i < request->location_count; i++)
	{
		Location   *location = request->locations[i];
		const RoutingExclusion *before = past_exclusion(gathering, i);
		int64		metres;
		int64		counted;
		int64		detail;
		int			rule;
		int			position = decision->location_count;

		if ((request->barred && request->barred[i]) || (before && before->reason == EXCLUDED_PURPOSE))
		{
			oms_routing_exclude(gathering, i, EXCLUDED_PURPOSE, 0);
			continue;
		}
		if (!has_stock(request, i))
			continue;
		metres = oms_routing_metres(request, i);
		counted = metres >= 0 ? metres : policy->unknown_metres;
		rule = excluding_rule(gathering, i);
		if (before && (is_missing_rate(before->reason) ? gathering->past_prices : by_same_policy))
			oms_routing_exclude(gathering, i, before->reason, before->detail);
		else if (!by_same_policy && is_left_out(gathering, i, &detail))
			oms_routing_exclude(gathering, i, EXCLUDED_GROUP, detail);
		else if (needs_distance && counted < 0)
			oms_routing_exclude(gathering, i, EXCLUDED_NO_PLACE, 0);
		else if (far_excluded && counted > policy->max_kilometres * 1000)
			oms_routing_exclude(gathering, i, EXCLUDED_DISTANCE, counted / 1000);
		else if (rule >= 0)
			oms_routing_exclude(gathering, i, EXCLUDED_RULE, rule);
		else if (!by_same_policy && is_below_floor(gathering, i))
			oms_routing_exclude(gathering, i, EXCLUDED_FLOOR, floor_at(gathering, i));
		else
		{
			decision->location_ids[position] = location->location_id;
			decision->distances[position] = metres;
			decision->fixed_costs[position] = location->cost_per_order;
			decision->line_costs[position] = location->cost_per_line;
			decision->unit_costs[position] = location->cost_per_unit;
			decision->ranks[position] = rank_of(gathering, i);
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

/* ---- Lines ---- */

/* Units of a line at a candidate that count for it: all or none where it must not be divided. */
static int32
units_at_candidate(const Gathering *gathering, int line, int candidate)
{
	int32		wanted = gathering->request->lines[line].quantity;
	int32		units = usable_units(gathering, line, gathering->location_of[candidate]);

	if (gathering->decision->whole_lines && units < wanted)
		return 0;
	return Min(units, wanted);
}

/* Whether a candidate has all of the lines that stay together with one. */
static bool
has_company(const Gathering *gathering, int line, int candidate)
{
	const int32 *bundles = gathering->decision->asked_bundles;

	for (int i = 0; i < gathering->request->line_count; i++)
		if (bundles[i] == bundles[line] &&
			units_at_candidate(gathering, i, candidate) < gathering->request->lines[i].quantity)
			return false;
	return true;
}

static int
compare_units(const void *left, const void *right)
{
	return *(const int32 *) right - *(const int32 *) left;
}

/* The most units that as few candidates have as a line may come from. */
static int64
most_from_few(const Gathering *gathering, const int32 *units)
{
	int			count = gathering->decision->location_count;
	int			places = gathering->decision->places_max > 0 ? Min(count, (int) gathering->decision->places_max) : count;
	int64		sum = 0;

	if (places < count)
	{
		int32	   *sorted = palloc(sizeof(int32) * count);

		memcpy(sorted, units, sizeof(int32) * count);
		qsort(sorted, count, sizeof(int32), compare_units);
		units = sorted;
	}
	for (int i = 0; i < places; i++)
		sum += units[i];
	return sum;
}

/* What a unit costs that waits though it could be served; -1: it must not. */
static int64
later_cost(const Gathering *gathering, int line)
{
	const RoutingRequest *request = gathering->request;
	const RoutingPolicy *policy = gathering->policy;
	const RoutingLine *wanted = &request->lines[line];
	bool		one_place = policy->whole_lines || policy->max_places > 0;
	int64		room = 0;

	if (!wanted->backorder || (gathering->decision->asked_bundles && gathering->decision->asked_bundles[line] >= 0))
		return -1;
	for (int j = 0; j < request->location_count; j++)
	{
		int32		units = request->backorder[(Size) line * request->location_count + j];

		room = one_place ? Max(room, units) : room + units;
	}
	if (room < wanted->quantity)
		return -1;
	return policy->later_cost + (int64) llround((double) wanted->value / wanted->quantity * policy->later_value_weight);
}

/*
 * The lines that can be served: whole where the policy wants it or they stay
 * together, else as many units as the candidates have.
 */
void
oms_routing_choose_lines(Gathering *gathering)
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
		bool		bundled = decision->asked_bundles && decision->asked_bundles[i] >= 0;
		int64		served;

		for (int j = 0; j < locations; j++)
			stock[j] = bundled && !has_company(gathering, i, j) ? 0 : units_at_candidate(gathering, i, j);
		served = Min(most_from_few(gathering, stock), line->quantity);
		gathering->complete &= served == line->quantity;
		if (served == 0)
			continue;
		for (int j = 0; j < locations && whole; j++)
			stock[j] = stock[j] > 0;
		decision->item_ids[position] = line->item_id;
		decision->units[position] = whole ? 1 : (int32) served;
		decision->factors[position] = whole ? line->quantity : 1;
		decision->weights[position] = whole ? weight : (weight + line->quantity - 1) / line->quantity;
		decision->values[position] = whole ? line->value : line->value / line->quantity;
		if (decision->later_costs)
			decision->later_costs[position] = later_cost(gathering, i);
		decision->line_count++;
	}
	if (decision->bundles)
		oms_decision_name_bundles(decision);
}
