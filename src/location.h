/*
 * location.h
 *	  Locations, and which channel may use which.
 */
#ifndef OMS_LOCATION_H
#define OMS_LOCATION_H

#include "oms.h"

#include "channel.h"

typedef struct Location
{
	int64		location_id;
	double		latitude;		/* NAN where unknown */
	double		longitude;
	int64		cost_per_order; /* thousandths of the currency unit */
	int64		cost_per_line;
	int64		cost_per_unit;
	int32		rank;
	bool		active;
	bool		ships;
	bool		pickup;
	bool		returns;		/* takes goods back */
	int32		daily_returns;	/* units that it takes back in a day; -1: no limit */
	TimestampTz closed_until;	/* DT_NOBEGIN where it is open */
	int			group_count;
	const char **groups;
	const char *code;
	const char *postal_code;	/* NULL where unknown */
} Location;

/* What a channel uses a location for: bits. */
#define PURPOSE_SHIP	1
#define PURPOSE_PICKUP	2
#define PURPOSE_RETURN	4

extern Location *oms_location_find(const char *code);
extern Location *oms_location_get(const char *code);
extern Location *oms_location_by_id(int64 location_id);
extern bool oms_location_group_exists(const char *group);
extern bool oms_location_in_group(const Location *location, const char *group);
extern const char *oms_location_exclusion(const Location *location, const Channel *channel, int purposes);
extern bool oms_location_linked(const Location *location, const Channel *channel, int purposes);
extern bool oms_location_bars(const Location *location, const Channel *channel, int purposes);
extern bool oms_location_serves(const Location *location, const Channel *channel, int purposes);
extern double oms_location_distance(const Location *location, double latitude, double longitude);

#endif							/* OMS_LOCATION_H */
