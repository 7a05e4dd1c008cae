/*
 * stock.h
 *	  Counters of stock and their ledger.
 */
#ifndef OMS_STOCK_H
#define OMS_STOCK_H

#include "oms.h"

#include "access/htup.h"
#include "datatype/timestamp.h"
#include "storage/itemptr.h"

#include "channel.h"
#include "item.h"
#include "location.h"

/* Rows that the counter of a hot item is divided into. */
#define OMS_STOCK_STRIPES 32

/* One row of oms.stock_counters as it was read. */
typedef struct StockStripe
{
	int32		on_hand;
	int32		reserved;
	int32		safety;
	int32		backorder_limit;
	int32		reorder_point;
	int16		stripes;		/* of the first: how many there are */
	int16		waits;
	TimestampTz waited_at;
	ItemPointerData tid;
	HeapTuple	tuple;			/* the version read, with direct access */
} StockStripe;

/* One counter: the change wanted and, once locked, what stands there. */
typedef struct StockRow
{
	int64		item_id;
	int64		location_id;
	int64		order_id;		/* for the ledger; 0: none */
	int32		on_hand_delta;
	int32		reserved_delta;
	int32		safety_delta;
	int32		backorder_limit_delta;
	int32		reorder_point_delta;
	int32		firm;			/* units of the change that must be on hand, safety untouched */
	int32		held;			/* units of holds that end with the change */
	int32		kept;			/* units beside safety that firm ones must leave */
	int32		left;			/* what of these falls to the rows that are locked */
	bool		whole;			/* to be locked with all its stripes */
	bool		found;
	bool		waited;			/* somebody else held it */
	int32		on_hand;		/* of the stripe that is locked, or of all */
	int32		reserved;
	int32		safety;
	int32		backorder_limit;
	int32		reorder_point;
	int32		owed;			/* of reserved: promised as backordered, so not resting on units on hand */
	int			stripe_count;	/* rows that are locked */
	StockStripe *stripes;
} StockRow;

extern int	oms_stock_merge(StockRow *rows, int count);
extern int	oms_stock_compare(const void *left, const void *right);
extern StockRow *oms_stock_find(const StockRow *rows, int count, int64 item_id, int64 location_id);
extern void oms_stock_lock(StockRow *rows, int count);
extern void oms_stock_lock_one(StockRow *row);
extern void oms_stock_lock_all(StockRow *rows, int count);
extern int32 oms_stock_free(const StockRow *row);
extern void oms_stock_lock_free(StockRow *row, int32 change);
extern void oms_stock_refuse_overflow(const StockRow *row, const CatalogItem *item);
extern void oms_stock_refuse_limit(int64 limit, const char *sku, const char *place);
extern void oms_stock_apply(StockRow *rows, int count);
extern void oms_stock_apply_changed(const StockRow *rows, int count);
extern void oms_stock_record(const StockRow *rows, int count, const char *type,
							 const char *reason, const char *reference);
extern void oms_stock_record_count(const StockRow *rows, int count, const char *type,
								   const char *reference, TimestampTz counted_at);
extern void oms_stock_change(StockRow *rows, int count, const char *type,
							 const char *reason, const char *reference);

extern void oms_stock_levels(const StockRow *rows, int count);

/* What the functions of inventory begin with. */
extern StockRow oms_stock_row_of_arguments(FunctionCallInfo fcinfo, CatalogItem **item, Location **location);
extern void oms_stock_require_quantity(FunctionCallInfo fcinfo, int argument, const char *name, int32 least);

/* Unlocked counters of some items, for planning. */
typedef struct StockView
{
	int			count;
	int			capacity;
	StockRow   *rows;			/* sorted by item, location */
} StockView;

extern StockView *oms_stock_view(const int64 *item_ids, int count);
extern int	oms_stock_first(const StockView *view, int64 item_id);
extern void oms_stock_view_take(StockView *view, const StockRow *taken, int count);

#endif							/* OMS_STOCK_H */
