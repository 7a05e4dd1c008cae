/*
 * backorder.h
 *	  Filling backordered lines: what the files that do it share.
 */
#ifndef OMS_BACKORDER_H
#define OMS_BACKORDER_H

#include "oms.h"

#include "nodes/pg_list.h"

#include "backorder_rules.h"
#include "channel.h"
#include "lot.h"
#include "quota.h"
#include "stock.h"

/* A line that waits. */
typedef struct Waiting
{
	int64		order_id;
	int64		item_id;
	int64		location_id;	/* the only one that may serve it, 0: any */
	int64		rank;			/* of its order, first come */
	int32		line_no;
	int32		delivery_no;
	int32		backordered;
	int32		left;			/* of these, once the plan is made */
	int32		weight_grams;
	bool		pickup;
	bool		locked;			/* its order is ours; else its share is only kept for it */
	bool		watched;		/* gets nothing in this run, but is not to be overtaken unseen */
	bool		barred;			/* a quota lets its channel take no more */
	int64		channel_id;
	Channel    *channel;
	QuotaList  *quotas;
	char	   *status;			/* of the order */
	char	   *sku;
} Waiting;

/* An open promise of an order. */
typedef struct Promise
{
	int64		order_id;
	int64		fulfillment_id;
	int64		item_id;
	int64		location_id;
	int32		line_no;
	int32		open;
	int			line;			/* that it is of, -1: one that does not wait */
	bool		backordered;
} Promise;

/* A counter as the plan uses it up. */
typedef struct Counter
{
	StockRow	row;
	int64		owed;			/* of reserved: promised beyond what is on hand */
	int64		cover;			/* units that may be firm beside those that are */
	int64		free;			/* of these: reserved for nobody */
	int64		claimed;		/* change of reserved, with what is only kept for orders that are not ours */
	int64		latest;			/* rank of the latest order that gets units */
	int32		taken;			/* change of reserved */
	bool		used;
} Counter;

/* Units of a line that become firm. */
typedef struct Fill
{
	const Waiting *line;
	const Promise *from;		/* NULL: no promise */
	int64		location_id;
	int64		fulfillment_id; /* once it is made */
	int32		quantity;
} Fill;

/* Whether units become firm where they were promised: they were never for sale. */
static inline bool
oms_fill_is_in_place(const Fill *fill)
{
	return fill->from != NULL && fill->from->location_id == fill->location_id;
}

/* Units of a backordered promise that give way to an order that goes before. */
typedef struct Yield
{
	const Promise *promise;
	int32		quantity;
} Yield;

typedef struct Filling
{
	BackorderRules rules;
	int			max_orders;
	int64	   *listed;			/* orders that may get units, sorted */
	int			listed_count;
	int64	   *orders;			/* those that are ours, sorted */
	int			order_count;
	int			order_capacity;
	int64	   *items;			/* sorted, each once */
	int			item_count;
	Waiting    *lines;			/* those that are not ours first, then in the order of filling */
	int			line_count;
	Promise    *promises;
	int			promise_count;
	Promise   **owed;			/* promises that may give way, by counter, the last line first */
	int			owed_count;
	Counter    *counters;		/* by item and location */
	int			counter_count;
	LotHorizon *horizons;
	int			horizon_count;
	Fill	   *fills;
	int			fill_count;
	Yield	   *yields;
	int			yield_count;
	int			capacity;		/* of whatever is being collected, or of fills */
	int			yield_capacity;
	List	   *refused;		/* of Waiting: lines whose channel may take no more of their item */
} Filling;

/* Makes room for one more row. */
static inline void *
oms_backorder_grow(void *rows, int count, int *capacity, Size size)
{
	if (rows != NULL && count < *capacity)
		return rows;
	*capacity = Max(64, *capacity * 2);
	return rows ? repalloc_huge(rows, size * *capacity) : palloc(size * *capacity);
}

/* backorder_plan.c */
extern void oms_backorder_index(Filling *filling);
extern void oms_backorder_look(Filling *filling);
extern void oms_backorder_lock(Filling *filling);
extern void oms_backorder_plan(Filling *filling);
extern int	oms_backorder_overtaken(const Filling *filling, int64 *orders);

/* backorder_write.c */
extern void oms_backorder_write(Filling *filling);

#endif							/* OMS_BACKORDER_H */
