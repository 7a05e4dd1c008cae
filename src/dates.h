/*
 * dates.h
 *	  When parcels of an order leave and arrive: promise.h with the network.
 */
#ifndef OMS_DATES_H
#define OMS_DATES_H

#include "oms.h"

#include "calendar.h"
#include "capacity.h"
#include "location.h"
#include "network.h"

/* What an order asks of its dates. */
typedef struct DateRequest
{
	TimestampTz ordered_at;
	const char *service;		/* service or level; NULL: any */
	Destination destination;
	bool		pickup;			/* somebody comes for it */
	const CapacityView *capacity;	/* of days that may be full; NULL: none is looked at */
	int64		units;			/* that the location would ship */
} DateRequest;

typedef struct ParcelDates
{
	const char *service;		/* that the dates count on; NULL: none */
	bool		ships;			/* ship_by is known */
	bool		arrives;		/* the rest too */
	int32		ship_day;		/* local days */
	int32		latest_day;
	TimestampTz ship_by;
	TimestampTz earliest_at;
	TimestampTz promised_at;
} ParcelDates;

extern PromiseStatus oms_dates_by_service(const DateRequest *request, const Location *location,
										  const CarrierService *service, const RateCard *card, ParcelDates *dates);
extern void oms_dates_of_parcel(const DateRequest *request, Location *location, int64 grams, const char *planned,
								ParcelDates *dates);
extern bool oms_dates_opens(const Location *location, TimestampTz at);

#endif							/* OMS_DATES_H */
