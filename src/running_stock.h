/*
 * running_stock.h
 *	  Counters and days as the orders of one call leave them for the next ones.
 */
#ifndef OMS_RUNNING_STOCK_H
#define OMS_RUNNING_STOCK_H

#include "oms.h"

#include "utils/hsearch.h"

#include "capacity.h"
#include "stock.h"

typedef struct RunningStock
{
	MemoryContext context;
	HTAB	   *items;			/* counters by item */
	int			day_count;
	int			day_room;
	CapacityRow *days;			/* taken so far */
} RunningStock;

extern RunningStock *oms_running_stock(void);
extern void oms_running_load(RunningStock *running, const int64 *item_ids, int count);
extern StockView *oms_running_view(RunningStock *running, const int64 *item_ids, int count);
extern void oms_running_take(RunningStock *running, const StockRow *rows, int count);
extern void oms_running_take_days(RunningStock *running, const CapacityRow *rows, int count);
extern void oms_running_restart(RunningStock *running, const StockRow *locked, int count);
extern StockRow *oms_running_taken(RunningStock *running, int *count);

#endif							/* OMS_RUNNING_STOCK_H */
