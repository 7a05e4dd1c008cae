/*
 * allocation.h
 *	  Promises: units of a line at a location.
 */
#ifndef OMS_ALLOCATION_H
#define OMS_ALLOCATION_H

#include "oms.h"

#include "stock.h"

typedef struct Allocation
{
	int64		order_id;
	int64		fulfillment_id;
	int64		item_id;
	int64		location_id;	/* 0: digital and service items have none */
	int32		line_no;
	int32		promised;
	int32		picked;
	int32		shipped;
	int32		cancelled;
	bool		backordered;	/* of its fulfillment */
	TimestampTz supplied_at;	/* of its fulfillment, where that is backordered; DT_NOEND: nobody knows when */
	char	   *status;			/* of its fulfillment */
	int32		priority;		/* of its order, where promises of a counter are read */
	TimestampTz promised_at;	/* likewise, of its fulfillment; DT_NOEND: not known */
	int32		ship_day;		/* likewise; what it has taken of that day's capacity */
	int32		capacity_taken;
	char	   *lot;			/* that was asked for; NULL: any */
	struct
	{
		int32		picked;
		int32		shipped;
		int32		cancelled;
	}			delta;
} Allocation;

typedef struct AllocationList
{
	int			count;
	int			capacity;
	Allocation *rows;
} AllocationList;

/* Promises that a count took away. */
typedef struct Withdrawal
{
	int64		order_id;
	int64		fulfillment_id;
	int64		item_id;
	int64		location_id;
	int32		line_no;
	int32		quantity;
} Withdrawal;

struct Redating;
struct Replanning;

/* Says, by on_hand_delta, what locked counters are to become. */
typedef void (*StockTarget) (StockRow *rows, int count, void *state);

extern AllocationList *oms_allocations_of_order(int64 order_id);
extern AllocationList *oms_allocations_of_stock(int64 item_id, int64 location_id);
extern int32 oms_allocations_owed(const StockRow *row);
extern int32 oms_allocation_open(const Allocation *allocation);
extern void oms_allocations_insert(const Allocation *rows, int count);
extern void oms_allocations_write(AllocationList *list);
extern int	oms_allocations_settle(StockRow *rows, int count, StockTarget target, void *state, const char *reason,
								   struct Redating *redating, struct Replanning *replanning, Withdrawal **withdrawn);
extern void oms_withdrawals_refresh(const Withdrawal *withdrawn, int count);

#endif							/* OMS_ALLOCATION_H */
