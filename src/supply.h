/*
 * supply.h
 *	  Units that are expected, and by when.
 */
#ifndef OMS_SUPPLY_H
#define OMS_SUPPLY_H

#include "oms.h"

#include "stock.h"

/* Units that will be at a counter at a time. */
typedef struct SupplyUnits
{
	int64		item_id;
	int64		location_id;
	TimestampTz expected_at;
	int64		units;
} SupplyUnits;

typedef struct SupplyList
{
	int			count;
	int			capacity;
	SupplyUnits *rows;			/* by item, location, time */
} SupplyList;

extern SupplyList *oms_supplies_read(const int64 *item_ids, int count, TimestampTz until);
extern int64 oms_supplies_sum(const SupplyList *list, int64 item_id, int64 location_id);
extern TimestampTz oms_supplies_cover(const SupplyList *list, int64 item_id, int64 location_id, int64 needed);
extern int32 oms_supplies_headroom(int64 item_id, int64 location_id);

#endif							/* OMS_SUPPLY_H */
