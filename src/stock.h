/*
 * stock.h
 *	  Counters of stock and their ledger.
 */
#ifndef OMS_STOCK_H
#define OMS_STOCK_H

#include "oms.h"

#include "access/htup.h"
#include "storage/itemptr.h"

#include "channel.h"

/* One counter row: the change wanted and, once locked, what stands there. */
typedef struct StockRow
{
	int64		item_id;
	int64		location_id;
	int64		order_id;		/* for the ledger; 0: none */
	int32		on_hand_delta;
	int32		reserved_delta;
	int32		held;			/* units of holds that end with the change */
	bool		found;
	int32		on_hand;
	int32		reserved;
	int32		safety;
	int32		backorder_limit;
	ItemPointerData tid;
	HeapTuple	tuple;			/* the locked version, with direct access */
} StockRow;

extern int	oms_stock_merge(StockRow *rows, int count);
extern void oms_stock_lock(StockRow *rows, int count);
extern void oms_stock_lock_one(StockRow *row);
extern void oms_stock_apply(StockRow *rows, int count);
extern void oms_stock_record(const StockRow *rows, int count, const char *type,
							 const char *reason, const char *reference);
extern void oms_stock_change(StockRow *rows, int count, const char *type,
							 const char *reason, const char *reference);

/* Unlocked counters of some items, for planning. */
typedef struct StockView
{
	int			count;
	int			capacity;
	StockRow   *rows;			/* sorted by item, location */
} StockView;

extern StockView *oms_stock_view(const int64 *item_ids, int count);

#endif							/* OMS_STOCK_H */
