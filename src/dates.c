/*
 * dates.c
 *	  When parcels of an order leave and arrive: promise.h with the network.
 */
#include "oms.h"

#include <math.h>

#include "dates.h"

/* Whether a location opens at all within the horizon. */
bool
oms_dates_opens(const Location *location, TimestampTz at)
{
	const Site *site = oms_dates_site(location->location_id);
	int32		day;

	if (site == NULL || site->promise.calendar == NULL)
		return true;
	day = oms_dates_local_day(site, at);
	return promise_next_open(site->promise.calendar, &day);
}

static void
keep_dates(const PromiseDates *found, bool pickup, ParcelDates *dates)
{
	dates->ships = true;
	dates->ship_day = found->ship_day;
	dates->ship_by = found->ship_by;
	if (pickup)
	{
		dates->arrives = true;
		dates->latest_day = found->ship_day;
		dates->earliest_at = dates->promised_at = found->pickup_at;
	}
	else if (found->delivered)
	{
		dates->arrives = true;
		dates->latest_day = found->latest_day;
		dates->earliest_at = found->earliest_at;
		dates->promised_at = found->latest_at;
	}
}

/* Moves on to the first day that has room. */
static PromiseStatus
find_day_with_room(const DateRequest *request, const Site *site, const PromiseCarriage *carriage, PromiseDates *found)
{
	int32		need = oms_capacity_need(site, request->units);
	int32		first = PG_INT32_MIN / 2;
	int32		last = oms_dates_local_day(site, request->ordered_at) + PROMISE_HORIZON_DAYS;
	PromiseStatus status;

	for (;;)
	{
		status = promise_dates(&site->promise, carriage, request->ordered_at, first, found);
		if (status != PROMISE_OK || need == 0 ||
			oms_capacity_has_room(request->capacity, site, found->ship_day, need))
			return status;
		first = found->ship_day + 1;
		if (first > last)
			return PROMISE_NO_SHIP_DAY;
	}
}

/* The dates of a parcel by a service (NULL: not known which). */
PromiseStatus
oms_dates_by_service(const DateRequest *request, const Location *location, const CarrierService *service,
					 const RateCard *card, ParcelDates *dates)
{
	const Site *site = oms_dates_site(location->location_id);
	PromiseCarriage carriage;
	PromiseDates found;
	PromiseStatus status;
	int32		days = -1;
	int32		latest = -1;

	memset(dates, 0, sizeof(*dates));
	if (site == NULL)
		return PROMISE_NO_OPEN_DAY;
	if (service)
	{
		(void) oms_transit(service, card, oms_location_distance(location, request->destination.latitude,
																request->destination.longitude), &days, &latest);
		dates->service = service->code;
	}
	oms_dates_carriage(site, dates->service, days, latest, &carriage);
	status = find_day_with_room(request, site, request->pickup ? NULL : &carriage, &found);
	if (status == PROMISE_OK)
		keep_dates(&found, request->pickup, dates);
	return status;
}

/*
 * The service that no policy chose: the cheapest that carries the parcel, then
 * the one that arrives first.
 */
static bool
choose_service(const DateRequest *request, Location *location, int64 grams, const char *planned,
			   ParcelDates *dates)
{
	Network    *network = oms_network();
	const RateCard **cards = oms_network_cards(network, &location, 1, &request->destination, NULL);
	int64		best_price = PG_INT64_MAX;
	bool		chosen = false;

	for (int i = 0; i < network->service_count; i++)
	{
		CarrierService *service = &network->services[i];
		int64		price = cards[i] ? oms_rate(service, cards[i], grams) : -1;
		ParcelDates found;

		if (planned ? strcmp(service->code, planned) != 0 : !oms_service_matches(service, request->service, NULL))
			continue;
		price = price < 0 ? PG_INT64_MAX : price;
		if ((cards[i] == NULL && service->transit_count == 0) || price > best_price ||
			oms_dates_by_service(request, location, service, cards[i], &found) != PROMISE_OK)
			continue;
		if (chosen && price == best_price &&
			(dates->arrives ? !found.arrives || found.promised_at >= dates->promised_at : !found.arrives))
			continue;
		*dates = found;
		best_price = price;
		chosen = true;
	}
	return chosen;
}

/*
 * The dates of what a location sends, by the service that a plan names, else by
 * the one that would be taken.  Without any only the day of shipping is known.
 */
void
oms_dates_of_parcel(const DateRequest *request, Location *location, int64 grams, const char *planned,
					ParcelDates *dates)
{
	if (!request->pickup && choose_service(request, location, grams, planned, dates))
		return;
	(void) oms_dates_by_service(request, location, NULL, NULL, dates);
}
