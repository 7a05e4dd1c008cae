/*
 * supply.h
 *	  Units that are expected, and by when.
 */
#ifndef OMS_SUPPLY_H
#define OMS_SUPPLY_H

#include "oms.h"

#include "allocation.h"
#include "document.h"
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

extern int64 oms_supply_of_transfer(int64 transfer_id, int64 item_id, int64 location_id, int32 quantity,
									TimestampTz expected_at, bool promisable);
extern void oms_supply_arrive(int64 supply_id, int32 quantity);
extern int	oms_supply_end(int64 supply_id, const char *reason, Withdrawal **withdrawn);
extern void oms_supply_date(int64 supply_id, TimestampTz expected_at);
extern void oms_withdrawals_write(DocWriter *writer, const Withdrawal *withdrawn, int count);

#endif							/* OMS_SUPPLY_H */
