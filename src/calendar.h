/*
 * calendar.h
 *	  Calendars, and what locations and services say about time, as one
 *	  backend knows them.
 */
#ifndef OMS_CALENDAR_H
#define OMS_CALENDAR_H

#include "oms.h"

#include "promise.h"

/* A service's own times at a location. */
typedef struct SiteService
{
	const char *service;
	int32		cut_off;		/* -1: the location's */
	int32		collected_at;
} SiteService;

typedef struct Site
{
	int64		location_id;
	PromiseSite promise;
	bool		limited;		/* its days have a capacity */
	bool		by_units;		/* counted in units, not orders */
	int32		daily_capacity; /* of a day without a row; -1: no limit */
	int			service_count;
	SiteService *services;
} Site;

extern bool oms_calendar_exists(const char *code);
extern bool oms_dates_configured(void);
extern const Site *oms_dates_site(int64 location_id);
extern void oms_dates_carriage(const Site *site, const char *service, int32 days, int32 days_latest,
							   PromiseCarriage *carriage);
extern int32 oms_dates_local_day(const Site *site, TimestampTz at);

/* Reading texts of documents; false where they are none. */
extern bool oms_parse_time_of_day(const char *text, int32 *seconds);
extern bool oms_parse_day(const char *text, int32 *day);

#endif							/* OMS_CALENDAR_H */
