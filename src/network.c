/*
 * network.c
 *	  Carriers, zones, rates and routing policies as one backend knows them.
 *
 * Services, rate cards, distance bands and active policies are small and read
 * whole.  Zone charts by prefix have one row per origin and destination, so
 * only what orders ask for is read: the rate cards of a location towards a
 * destination are kept until the configuration changes or too many are there.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/date.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "call.h"
#include "configuration.h"
#include "network.h"
#include "relation.h"

#define LANES_MAX			20000
#define PREFIX_BYTES_MAX	20
#define EXCHANGED_MAX		(INT64CONST(1) << 50)

/* A location and where a parcel goes from there. */
typedef struct LaneKey
{
	int64		location_id;
	char		destination[PREFIX_BYTES_MAX + 4];	/* country and postal code */
} LaneKey;

typedef struct Lane
{
	LaneKey		key;
	const RateCard **cards;		/* by service; NULL: no zone, or no rate */
} Lane;

static struct
{
	MemoryContext context;
	uint64		generation;
	int32		tenant;
	MemoryContext lane_context; /* a child: the lanes and their cards */
	HTAB	   *lanes;
	Network		network;
}			cache;

static OmsPlan services_plan = {
	.sql = "SELECT s.code, s.level, s.currency, s.zone_chart, least(round(s.surcharge * 1000), 1e12)::bigint,"
	" round(s.surcharge_percent * 100)::bigint, coalesce(s.volumetric_divisor, 0)"
	" FROM {carrier_services} s JOIN {carriers} c ON c.tenant_id = $1 AND c.code = s.carrier"
	" WHERE s.tenant_id = $1 AND s.active AND c.active ORDER BY s.code COLLATE \"C\"",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan rates_plan = {
	.sql = "SELECT service, zone, from_grams, to_grams, least(round(amount * 1000), 1e12)::bigint,"
	" least(round(per_kilogram * 1000000), 1e12)::bigint, least(round(minimum * 1000), 1e12)::bigint"
	" FROM {shipping_rates} WHERE tenant_id = $1 ORDER BY service COLLATE \"C\", zone COLLATE \"C\", to_grams",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan transit_plan = {
	.sql = "SELECT service, zone, days, days_latest, distance_from, distance_to FROM {transit_times}"
	" WHERE tenant_id = $1 ORDER BY service COLLATE \"C\", zone COLLATE \"C\", distance_from",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan exchanges_plan = {
	.sql = "SELECT from_currency, to_currency, valid_from, round(rate * 1000000000)::bigint FROM {exchange_rates}"
	" WHERE tenant_id = $1 ORDER BY valid_from DESC",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan bands_plan = {
	.sql = "SELECT chart, zone, distance_from, distance_to FROM {shipping_zones}"
	" WHERE tenant_id = $1 AND distance_to IS NOT NULL",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan prefix_length_plan = {
	.sql = "SELECT coalesce(max(octet_length(destination_prefix)), -1) FROM {shipping_zones}"
	" WHERE tenant_id = $1 AND distance_to IS NULL",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan policies_plan = {
	.sql = "SELECT policy_id, channel_id, definition, owner, service, customer_class, item_group, country, postal_prefix"
	" FROM {routing_policy_versions} WHERE tenant_id = $1 AND active_from <= $2 AND (active_until IS NULL OR active_until > $2)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID)
};

/* The moments before and after $2 at which a policy begins or ends. */
static OmsPlan moments_plan = {
	.sql = "SELECT coalesce(max(m.at) FILTER (WHERE m.at <= $2), '-infinity'), coalesce(min(m.at) FILTER (WHERE m.at > $2), 'infinity')"
	" FROM {routing_policy_versions} p CROSS JOIN LATERAL (VALUES (p.active_from), (p.active_until)) m(at) WHERE p.tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID)
};

/* OFFSET 0 keeps the planner from reading the whole chart while it looks small. */
static OmsPlan pairs_plan = {
	.sql = "SELECT z.* FROM unnest($2) p(prefix) CROSS JOIN LATERAL (SELECT z.chart, z.zone, z.origin_location,"
	" z.origin_prefix, z.destination_prefix, z.destination_country <> '' FROM {shipping_zones} z WHERE z.tenant_id = $1"
	" AND z.destination_prefix = p.prefix AND z.destination_country IN ('', $3) AND z.distance_to IS NULL OFFSET 0) z",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTARRAYOID, TEXTOID)
};

/* Makes room for one more element of an array that grows. */
static void *
grow(void *items, int count, int *capacity, Size size)
{
	if (count < *capacity)
		return items;
	*capacity = Max(16, *capacity * 2);
	return oms_grown(items, size * *capacity);
}

static int
chart_index(const char *chart, bool add)
{
	Network    *network = &cache.network;

	for (int i = 0; i < network->chart_count; i++)
		if (strcmp(network->charts[i], chart) == 0)
			return i;
	if (!add)
		return -1;
	network->charts = grow(network->charts, network->chart_count, &network->chart_capacity, sizeof(char *));
	network->charts[network->chart_count] = chart;
	return network->chart_count++;
}

static void
collect_service(TupleTableSlot *slot, void *state)
{
	Network    *network = &cache.network;
	CarrierService *service;

	network->services = grow(network->services, network->service_count, &network->service_capacity,
							 sizeof(CarrierService));
	service = &network->services[network->service_count++];
	memset(service, 0, sizeof(*service));
	service->code = oms_slot_text(slot, 1);
	service->level = oms_slot_text(slot, 2);
	service->currency = oms_slot_text(slot, 3);
	service->chart = chart_index(oms_slot_text(slot, 4), true);
	service->surcharge = oms_slot_int64(slot, 5);
	service->surcharge_percent = oms_slot_int64(slot, 6);
	service->volumetric_divisor = oms_slot_int32(slot, 7);
}

/* Rows come by service, like the services: position counts along them.  NULL: switched off. */
static CarrierService *
next_service(const char *code, int *position)
{
	Network    *network = &cache.network;

	while (*position < network->service_count && strcmp(network->services[*position].code, code) < 0)
		(*position)++;
	if (*position == network->service_count || strcmp(network->services[*position].code, code) != 0)
		return NULL;
	return &network->services[*position];
}

static void
collect_rate(TupleTableSlot *slot, void *state)
{
	char	   *zone = oms_slot_text(slot, 2);
	CarrierService *service = next_service(oms_slot_text(slot, 1), state);
	RateCard   *card;

	if (service == NULL)
		return;
	if (service->card_count == 0 || strcmp(service->cards[service->card_count - 1].zone, zone) != 0)
	{
		service->cards = grow(service->cards, service->card_count, &service->card_capacity, sizeof(RateCard));
		service->cards[service->card_count++] = (RateCard) {.zone = zone,.transit_days = -1};
	}
	card = &service->cards[service->card_count - 1];
	card->bands = grow(card->bands, card->band_count, &card->band_capacity, sizeof(RateBand));
	card->bands[card->band_count++] = (RateBand)
	{
		oms_slot_int64(slot, 3), oms_slot_int64(slot, 4), oms_slot_int64(slot, 5), oms_slot_int64(slot, 6),
			oms_slot_int64(slot, 7)
	};
}

/* The card of a zone, made where there are no rates for it. */
static RateCard *
card_for_transit(CarrierService *service, const char *zone)
{
	int			position = 0;

	while (position < service->card_count && strcmp(service->cards[position].zone, zone) < 0)
		position++;
	if (position < service->card_count && strcmp(service->cards[position].zone, zone) == 0)
		return &service->cards[position];
	service->cards = grow(service->cards, service->card_count, &service->card_capacity, sizeof(RateCard));
	memmove(service->cards + position + 1, service->cards + position,
			sizeof(RateCard) * (service->card_count - position));
	service->card_count++;
	service->cards[position] = (RateCard) {.zone = zone};
	return &service->cards[position];
}

static void
collect_transit(TupleTableSlot *slot, void *state)
{
	CarrierService *service = next_service(oms_slot_text(slot, 1), state);
	char	   *zone = oms_slot_text(slot, 2);
	bool		isnull;

	if (service == NULL)
		return;
	if (zone[0] != '\0')
	{
		RateCard   *card = card_for_transit(service, zone);

		card->transit_days = oms_slot_int32(slot, 3);
		card->transit_latest = oms_slot_int32(slot, 4);
		return;
	}
	service->transits = grow(service->transits, service->transit_count, &service->transit_capacity,
							 sizeof(TransitBand));
	service->transits[service->transit_count++] = (TransitBand)
	{
		DatumGetFloat8(oms_slot_datum(slot, 5, &isnull)), DatumGetFloat8(oms_slot_datum(slot, 6, &isnull)),
			oms_slot_int32(slot, 3), oms_slot_int32(slot, 4)
	};
}

static void
collect_exchange(TupleTableSlot *slot, void *state)
{
	Network    *network = &cache.network;
	bool		isnull;

	network->exchanges = grow(network->exchanges, network->exchange_count, &network->exchange_capacity,
							  sizeof(ExchangeRate));
	network->exchanges[network->exchange_count++] = (ExchangeRate)
	{
		oms_slot_text(slot, 1), oms_slot_text(slot, 2), DatumGetDateADT(oms_slot_datum(slot, 3, &isnull)),
			oms_slot_int64(slot, 4)
	};
}

static void
collect_band(TupleTableSlot *slot, void *state)
{
	Network    *network = &cache.network;
	bool		isnull;
	DistanceBand *band;

	network->bands = grow(network->bands, network->band_count, &network->band_capacity, sizeof(DistanceBand));
	band = &network->bands[network->band_count++];
	band->chart = chart_index(oms_slot_text(slot, 1), true);
	band->zone = oms_slot_text(slot, 2);
	band->from = DatumGetFloat8(oms_slot_datum(slot, 3, &isnull));
	band->to = DatumGetFloat8(oms_slot_datum(slot, 4, &isnull));
}

static void
collect_prefix_length(TupleTableSlot *slot, void *state)
{
	cache.network.prefix_length = oms_slot_int32(slot, 1);
}

static void
collect_policy(TupleTableSlot *slot, void *state)
{
	bool		isnull;
	Jsonb	   *definition = DatumGetJsonbPCopy(oms_slot_datum(slot, 3, &isnull));
	RoutingPolicy *policy = oms_routing_policy_read(definition);

	policy->policy_id = oms_slot_int64(slot, 1);
	policy->scope = (PolicyScope)
	{
		oms_slot_int64(slot, 2), oms_slot_text(slot, 5), oms_slot_text(slot, 6), oms_slot_text(slot, 7), oms_slot_text(slot, 8),
			oms_slot_text(slot, 9)
	};
	policy->owner = oms_slot_text(slot, 4);
	cache.network.policies = lappend(cache.network.policies, policy);
}

static void
collect_moments(TupleTableSlot *slot, void *state)
{
	bool		isnull;

	cache.network.policies_from = DatumGetTimestampTz(oms_slot_datum(slot, 1, &isnull));
	cache.network.policies_until = DatumGetTimestampTz(oms_slot_datum(slot, 2, &isnull));
}

static void
make_lanes(void)
{
	HASHCTL		control = {.keysize = sizeof(LaneKey),.entrysize = sizeof(Lane)};

	cache.lane_context = control.hcxt = AllocSetContextCreate(cache.context, "oms lanes", ALLOCSET_DEFAULT_SIZES);
	cache.lanes = hash_create("oms lanes", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

static void
load(void)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), TimestampTzGetDatum(oms_call->now)};
	int			position = 0;

	memset(&cache.network, 0, sizeof(cache.network));
	(void) oms_execute_latest(&moments_plan, values, collect_moments, NULL);
	(void) oms_execute_latest(&policies_plan, values, collect_policy, NULL);
	(void) oms_execute_latest(&services_plan, values, collect_service, NULL);
	(void) oms_execute_latest(&rates_plan, values, collect_rate, &position);
	position = 0;
	(void) oms_execute_latest(&transit_plan, values, collect_transit, &position);
	(void) oms_execute_latest(&exchanges_plan, values, collect_exchange, NULL);
	(void) oms_execute_latest(&bands_plan, values, collect_band, NULL);
	(void) oms_execute_latest(&prefix_length_plan, values, collect_prefix_length, NULL);
	make_lanes();
}

/* The network of the call's tenant. */
Network *
oms_network(void)
{
	uint64		generation = oms_configuration_generation();
	MemoryContext old;

	/* A policy that is scheduled takes over at its moment, by the clock of the call. */
	if (likely(cache.generation == generation && cache.tenant == oms_call->tenant &&
			   oms_call->now >= cache.network.policies_from && oms_call->now < cache.network.policies_until))
		return &cache.network;
	if (cache.context == NULL)
		cache.context = AllocSetContextCreate(TopMemoryContext, "oms network", ALLOCSET_DEFAULT_SIZES);
	cache.generation = 0;
	MemoryContextReset(cache.context);
	old = MemoryContextSwitchTo(cache.context);
	load();
	MemoryContextSwitchTo(old);
	cache.tenant = oms_call->tenant;
	cache.generation = generation;
	return &cache.network;
}

static bool
begins_with(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool
is_for(const char *wanted, const char *given)
{
	return wanted == NULL || (given != NULL && strcmp(wanted, given) == 0);
}

/* How closely a policy fits: by how much it says, then by what; -1 where it is for others. */
static int
fit(const PolicyScope *policy, const PolicyScope *order)
{
	int			said[] = {policy->country != NULL, policy->item_group != NULL, policy->customer_class != NULL, policy->service != NULL,
	policy->channel_id != 0};
	int			closeness = 0;

	if ((policy->channel_id != 0 && policy->channel_id != order->channel_id) || !is_for(policy->service, order->service) ||
		!is_for(policy->customer_class, order->customer_class) || !is_for(policy->item_group, order->item_group) ||
		!is_for(policy->country, order->country) ||
		(policy->postal_prefix && !begins_with(order->postal_prefix ? order->postal_prefix : "", policy->postal_prefix)))
		return -1;
	for (int i = 0; i < lengthof(said); i++)
		closeness += said[i] * ((1 << lengthof(said)) + (1 << i));

	/* A part of a country is closer than all of it, by the length of its prefix. */
	return closeness * (OMS_CODE_BYTES_MAX + 1) + (policy->postal_prefix ? (int) strlen(policy->postal_prefix) : 0);
}

/* The active policy that fits an order most closely; NULL where it goes to the nearest. */
const RoutingPolicy *
oms_routing_policy(const PolicyScope *order)
{
	const RoutingPolicy *found = NULL;
	int			closest = -1;
	ListCell   *cell;

	foreach(cell, oms_network()->policies)
	{
		const RoutingPolicy *policy = lfirst(cell);
		int			closeness = fit(&policy->scope, order);

		if (closeness > closest)
		{
			found = policy;
			closest = closeness;
		}
	}
	return found && !found->nearest ? found : NULL;
}

static const RateCard *
card_of_zone(const CarrierService *service, const char *zone)
{
	int			low = 0;
	int			high = service->card_count - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		int			order = strcmp(service->cards[middle].zone, zone);

		if (order == 0)
			return &service->cards[middle];
		if (order < 0)
			low = middle + 1;
		else
			high = middle - 1;
	}
	return NULL;
}

/* What a lane has that is in a zone without rates. */
static const RateCard no_rates = {.zone = "",.transit_days = -1};

static const RateCard *
card_or_none(const CarrierService *service, const char *zone)
{
	const RateCard *card = card_of_zone(service, zone);

	return card ? card : &no_rates;
}

/* ---- Lanes ---- */

typedef struct LaneSearch
{
	Location  **locations;		/* those without a lane yet */
	int			count;
	Lane	  **lanes;
	int		   *scores;			/* [lane * chart_count + chart] of the best row so far */
	char	  **zones;
} LaneSearch;

/* A row that names the location wins, then the longer destination, then the longer origin. */
static void
consider_pair(TupleTableSlot *slot, void *state)
{
	LaneSearch *search = state;
	int			chart = chart_index(oms_slot_text(slot, 1), false);
	char	   *zone = oms_slot_text(slot, 2);
	char	   *origin_location = oms_slot_text(slot, 3);
	char	   *origin_prefix = oms_slot_text(slot, 4);
	int			score = 1 + (int) strlen(oms_slot_text(slot, 5)) * 100 + (oms_slot_bool(slot, 6) ? 50 : 0) +
		(int) strlen(origin_prefix);

	if (chart < 0)
		return;
	if (origin_location[0] != '\0')
		score += 1000000;
	for (int i = 0; i < search->count; i++)
	{
		int			cell = i * cache.network.chart_count + chart;
		const char *postal_code = search->locations[i]->postal_code;

		if (search->scores[cell] >= score)
			continue;
		if (origin_location[0] != '\0' && strcmp(search->locations[i]->code, origin_location) != 0)
			continue;
		if (!begins_with(postal_code ? postal_code : "", origin_prefix))
			continue;
		search->scores[cell] = score;
		search->zones[cell] = zone;
	}
}

/* Every beginning of a code, from the empty one to the longest in use. */
static int
list_prefixes(char **prefixes, const char *code)
{
	int			length = code ? Min(strlen(code), Min(cache.network.prefix_length, PREFIX_BYTES_MAX)) : 0;

	for (int i = 0; i <= length; i++)
		prefixes[i] = pnstrdup(code ? code : "", i);
	return length + 1;
}

/* Reads the zones of lanes that are not known yet, in one statement. */
static void
read_lanes(LaneSearch *search, const Destination *destination)
{
	Network    *network = &cache.network;
	int			cells = search->count * Max(1, network->chart_count);
	char	   *prefixes[PREFIX_BYTES_MAX + 1];
	Datum		values[3];

	search->scores = palloc0(sizeof(int) * cells);
	search->zones = palloc0(sizeof(char *) * cells);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_text(prefixes, list_prefixes(prefixes, destination->postal_code));
	values[2] = CStringGetTextDatum(destination->country ? destination->country : "");
	(void) oms_execute_latest(&pairs_plan, values, consider_pair, search);
	for (int i = 0; i < search->count; i++)
		for (int service = 0; service < network->service_count; service++)
		{
			char	   *zone = search->zones[i * network->chart_count + network->services[service].chart];

			search->lanes[i]->cards[service] = zone ? card_or_none(&network->services[service], zone) : NULL;
		}
}

/*
 * Fills in the cards of each location by prefix or name.  A lane enters the
 * cache only with its cards: an error in between must not leave an empty one.
 */
static void
find_lanes(Location *const *locations, int count, const Destination *destination, const RateCard **cards)
{
	int			services = cache.network.service_count;
	LaneSearch	search = {0};
	LaneKey		key = {0};

	/* What no chart looks at would only make more lanes of the same cards. */
	snprintf(key.destination, sizeof(key.destination), "%.2s %.*s", destination->country ? destination->country : "",
			 Min(cache.network.prefix_length, PREFIX_BYTES_MAX),
			 destination->postal_code ? destination->postal_code : "");
	search.locations = palloc(sizeof(Location *) * count);
	search.lanes = palloc(sizeof(Lane *) * count);
	for (int i = 0; i < count; i++)
	{
		Lane	   *lane;

		key.location_id = locations[i]->location_id;
		lane = hash_search(cache.lanes, &key, HASH_FIND, NULL);
		if (lane)
		{
			memcpy(cards + (Size) i * services, lane->cards, sizeof(RateCard *) * services);
			continue;
		}
		lane = palloc(sizeof(Lane));
		lane->key = key;
		lane->cards = cards + (Size) i * services;
		search.locations[search.count] = locations[i];
		search.lanes[search.count++] = lane;
	}
	if (search.count == 0)
		return;
	read_lanes(&search, destination);
	if (hash_get_num_entries(cache.lanes) + search.count > LANES_MAX)
	{
		MemoryContextDelete(cache.lane_context);
		make_lanes();
	}
	for (int i = 0; i < search.count; i++)
	{
		const RateCard **kept = MemoryContextAlloc(cache.lane_context, sizeof(RateCard *) * services);
		Lane	   *lane = hash_search(cache.lanes, &search.lanes[i]->key, HASH_ENTER, NULL);

		memcpy(kept, search.lanes[i]->cards, sizeof(RateCard *) * services);
		lane->cards = kept;
	}
}

/* The cards that go by distance, where no prefix gave one. */
static void
find_bands(const Location *location, const Destination *destination, const RateCard **cards)
{
	Network    *network = &cache.network;
	double		distance = oms_location_distance(location, destination->latitude, destination->longitude);

	for (int i = 0; i < network->band_count; i++)
	{
		DistanceBand *band = &network->bands[i];

		if (!(distance >= band->from && distance < band->to))
			continue;
		for (int service = 0; service < network->service_count; service++)
			if ((cards[service] == NULL || cards[service] == &no_rates) && network->services[service].chart == band->chart)
				cards[service] = card_or_none(&network->services[service], band->zone);
	}
}

/*
 * [location * service_count + service]: the card that prices a parcel; NULL
 * where there is none.  zone_only, unless it is NULL, is told where there is a
 * zone at least.
 */
const RateCard **
oms_network_cards(Network *network, Location *const *locations, int count, const Destination *destination,
				  bool *zone_only)
{
	Size		cells = (Size) count * network->service_count;
	const RateCard **cards = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(RateCard *) * Max(1, cells),
														MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);

	if (network->service_count > 0 && network->prefix_length >= 0)
		find_lanes(locations, count, destination, cards);
	for (int i = 0; i < count && network->band_count > 0; i++)
		find_bands(locations[i], destination, cards + (Size) i * network->service_count);
	for (Size i = 0; i < cells; i++)
	{
		if (zone_only)
			zone_only[i] = cards[i] == &no_rates;
		if (cards[i] == &no_rates)
			cards[i] = NULL;
	}
	return cards;
}

/* Whether an order that asks for a service or a level (NULL: any) may go by it. */
bool
oms_service_matches(const CarrierService *service, const char *asked, const char *currency)
{
	if (asked && strcmp(service->code, asked) != 0 && (service->level == NULL || strcmp(service->level, asked) != 0))
		return false;
	return currency == NULL || strcmp(currency, service->currency) == 0;
}

/*
 * Working days from collection to delivery; false where they are not known.
 * An infinite distance, which is one that is not known, lies in the last band.
 */
bool
oms_transit(const CarrierService *service, const RateCard *card, double distance, int32 *days, int32 *latest)
{
	if (card && card->transit_days >= 0)
	{
		*days = card->transit_days;
		*latest = card->transit_latest;
		return true;
	}
	for (int i = 0; i < service->transit_count; i++)
	{
		const TransitBand *band = &service->transits[i];

		if (distance < band->from || (distance >= band->to && !isinf(band->to)))
			continue;
		*days = band->days;
		*latest = band->latest;
		return true;
	}
	return false;
}

/* How much one of a currency is of another on the day of a moment; 0: not known. */
int64
oms_exchange_rate(const Network *network, const char *from, const char *to, TimestampTz at)
{
	int32		day = (int32) (at / USECS_PER_DAY) - (at % USECS_PER_DAY < 0);

	if (strcmp(from, to) == 0)
		return EXCHANGE_ONE;
	for (int i = 0; i < network->exchange_count; i++)
	{
		const ExchangeRate *exchange = &network->exchanges[i];

		if (exchange->valid_from <= day && strcmp(exchange->from, from) == 0 && strcmp(exchange->to, to) == 0)
			return exchange->rate;
	}
	return 0;
}

/* Half a thousandth is rounded up; more than the router can count is its limit. */
int64
oms_exchange(int64 amount, int64 rate)
{
	int128		exact = ((int128) amount * rate + EXCHANGE_ONE / 2) / EXCHANGE_ONE;

	return exact > EXCHANGED_MAX ? EXCHANGED_MAX : (int64) exact;
}

/* Price of a parcel in thousandths; -1 where no band has its weight. */
int64
oms_rate(const CarrierService *service, const RateCard *card, int64 grams)
{
	int			low = 0;
	int			high = card->band_count - 1;

	while (low <= high)
	{
		int			middle = (low + high) / 2;
		const RateBand *band = &card->bands[middle];

		if (grams < band->from_grams)
			high = middle - 1;
		else if (grams > band->to_grams)
			low = middle + 1;
		else
		{
			int128		linear = (int128) band->per_kilogram * grams;
			int64		price = band->amount + (int64) ((linear + 500000) / 1000000);

			price = Max(price, band->minimum);
			price += (int64) (((int128) price * service->surcharge_percent + 5000) / 10000);
			return price + service->surcharge;
		}
	}
	return -1;
}
