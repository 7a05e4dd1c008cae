/*
 * supply.h
 *	  Units that are expected, and by when.
 */
#ifndef OMS_SUPPLY_H
#define OMS_SUPPLY_H

#include "oms.h"

#include "allocation.h"
#include "dated_promise.h"
#include "document.h"
#include "replanning.h"
#include "schedule.h"
#include "stock.h"

/* Units that will be at a counter at a time. */
typedef struct SupplyUnits
{
	int64		item_id;
	int64		location_id;
	TimestampTz expected_at;
	int64		units;
	int64		wait;			/* how long they may wait for the rest of a promise */
	TimestampTz announced_for;	/* before now where the supply is late */
} SupplyUnits;

typedef struct SupplyList
{
	TimestampTz until;			/* that a caller asks for */
	int			count;
	int			capacity;
	SupplyUnits *rows;			/* by item, location, time */
	DatedList  *dated;			/* what is promised of them; NULL: not read */
} SupplyList;

/* What comes to a counter and what is promised of it, by time. */
typedef struct CounterSchedule
{
	int			count;
	int64		wait;			/* how long units may wait for the rest of a promise */
	int64		base;			/* on hand, neither kept back nor firmly promised; negative: owed */
	ScheduleStep *steps;
} CounterSchedule;

/* What units that do not come take with them. */
typedef struct SupplyLoss
{
	Withdrawal *withdrawn;
	int			count;
	Replanning	replanning;
} SupplyLoss;

extern SupplyList *oms_supplies_read(const int64 *item_ids, int count);
extern SupplyList *oms_supplies_read_with_promises(const int64 *item_ids, int count, TimestampTz until);
extern CounterSchedule oms_supplies_schedule(const SupplyList *list, const StockRow *row, const DatedUnits *others, int count);
extern int64 oms_supplies_promisable(const SupplyList *list, const StockRow *row, int64 firm);
extern bool oms_supplies_reach(const SupplyList *list, int64 item_id, int64 location_id);
extern TimestampTz oms_supplies_cover(const SupplyList *list, int64 item_id, int64 location_id, int64 needed);
extern int32 oms_supplies_headroom(int64 item_id, int64 location_id);

extern int64 oms_supply_of_transfer(int64 transfer_id, int64 item_id, int64 location_id, int32 quantity,
									TimestampTz expected_at, bool promisable);
extern void oms_supply_arrive(int64 supply_id, int32 quantity);
extern void oms_supply_end(int64 supply_id, const char *reason, SupplyLoss *loss);
extern void oms_supply_date(int64 supply_id, TimestampTz expected_at);
extern void oms_supply_loss_finish(SupplyLoss *loss);
extern void oms_supply_loss_write(DocWriter *writer, const SupplyLoss *loss);

#endif							/* OMS_SUPPLY_H */
