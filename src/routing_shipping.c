/*
 * routing_shipping.c
 *	  What parcels from each candidate cost: its tariff by weight, of the services
 *	  that may carry the order, and the days that they need.
 */
#include "oms.h"

#include "dates.h"
#include "routing_gather.h"

/* Steps of all tariffs of one order together. */
#define TARIFF_CELLS_MAX 1000000

/* A service that a location cannot use, and one of which nobody knows when it arrives. */
#define DAYS_NEVER		(-1)
#define DAYS_UNKNOWN	(-2)

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
	return gathering->policy->in_time && oms_routing_holds(gathering, RULE_IN_TIME);
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
		oms_routing_exclude(gathering, gathering->location_of[location], EXCLUDED_LATE, least);
	else
	{
		ExclusionReason reason = unknown ? EXCLUDED_NO_DATE : missing_rate(gathering, location);

		oms_routing_exclude(gathering, gathering->location_of[location], reason, reason == EXCLUDED_WEIGHT ? gathering->steps[0] : 0);
	}
}

/* What the policy counts of a price and of being late; days that are not known cost nothing. */
static int64
counted(const Gathering *gathering, int64 price, int32 days)
{
	if (gathering->days_late == NULL)
		return price;
	return oms_weighted(price, gathering->policy->shipping_weight) + oms_late_cost(gathering->policy->cost_late, gathering->policy->cost_per_day_late, days);
}

/* The cheapest service for a parcel; -1 where none carries it, or none in time. */
int64
oms_routing_cheapest(Gathering *gathering, int location, int64 grams, int *service)
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
		int64		price = oms_routing_cheapest(gathering, location, gathering->steps[i], &service);
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
	decision->line_costs[to] = decision->line_costs[from];
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
		oms_routing_exclude(gathering, gathering->location_of[i], EXCLUDED_NO_DATE, 0);
	decision->location_count = 0;
}

/* Gives every candidate its tariff; those without one are excluded. */
void
oms_routing_price_shipping(Gathering *gathering)
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
