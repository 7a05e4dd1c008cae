/*
 * lot_promise.h
 *	  Promises for a lot that a line asked for.
 */
#ifndef OMS_LOT_PROMISE_H
#define OMS_LOT_PROMISE_H

#include "oms.h"

#include "document.h"
#include "order_placement.h"

/* Units of an asked lot at a location that no promise for it has. */
typedef struct LotUnits
{
	int64		item_id;
	int64		location_id;
	const char *lot;
	int32		units;
	TimestampTz sell_until;
} LotUnits;

typedef struct LotUnitsList
{
	int			count;
	int			capacity;
	LotUnits   *rows;
} LotUnitsList;

extern void oms_lot_promises_check(Placement *placement, FaultList *faults);
extern bool oms_lot_promises_asked(const Placement *placement);
extern LotUnitsList *oms_lot_promises_read(const Placement *placement);
extern int32 oms_lot_promises_free(const LotUnitsList *list, const Placement *placement, const Demand *demand, int64 location_id);
extern void oms_lot_promises_whole(const Placement *placement, StockRow *rows, int count);
extern bool oms_lot_promises_stand(const Placement *placement);

#endif							/* OMS_LOT_PROMISE_H */
