/*
 * backorder_date.h
 *	  New dates for promises that wait, when what they wait for changes.
 */
#ifndef OMS_BACKORDER_DATE_H
#define OMS_BACKORDER_DATE_H

#include "oms.h"

#include "allocation.h"
#include "stock.h"

struct Redated;

/* What a change of supplies does to the promises that wait at some counters. */
typedef struct Redating
{
	const char *reason;			/* for the events */
	StockRow   *companions;		/* counters of other items that wait together with theirs, in lock order */
	int			companion_count;
	struct Redated *rows;		/* fulfillments that get another date */
	int			count;
} Redating;

extern bool oms_redating_plan(Redating *redating, const StockRow *rows, int count, const AllocationList *withdrawn);
extern int	oms_redating_orders(const Redating *redating, int64 *order_ids);
extern void oms_redating_write(const Redating *redating);

#endif							/* OMS_BACKORDER_DATE_H */
