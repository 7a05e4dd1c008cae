/*
 * configuration.h
 *	  The tenant's channels and locations as one backend knows them.
 */
#ifndef OMS_CONFIGURATION_H
#define OMS_CONFIGURATION_H

#include "oms.h"

#include "nodes/pg_list.h"
#include "utils/hsearch.h"

#include "channel.h"
#include "location.h"

typedef struct ChannelLocation
{
	int64		channel_id;		/* the key: both ids */
	int64		location_id;
	int32		rank;			/* PG_INT32_MAX: the location's own */
	int32		purposes;		/* bits */
} ChannelLocation;

typedef struct LocationById
{
	int64		location_id;
	Location   *location;
} LocationById;

typedef struct LocationByCode
{
	char		code[OMS_CODE_BYTES_MAX + 1];
	Location   *location;
} LocationByCode;

typedef struct Configuration
{
	List	   *channels;		/* of Channel */
	HTAB	   *locations_by_id;
	HTAB	   *locations_by_code;
	HTAB	   *channel_locations;
	bool		has_postal_codes;
	bool		has_quotas;
	bool		has_quota_trees;
	bool		has_channel_levels;	/* some channel has a threshold */
	bool		has_kits;
	bool		has_lots;		/* some item is tracked by lot or serial number */
} Configuration;

extern Configuration *oms_configuration(void);

#endif							/* OMS_CONFIGURATION_H */
