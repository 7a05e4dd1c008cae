/*
 * repromise.h
 *	  Units of placed orders that lose their promise, planned anew in the same
 *	  call.
 */
#ifndef OMS_REPROMISE_H
#define OMS_REPROMISE_H

#include "oms.h"

#include "capacity.h"
#include "document.h"
#include "order.h"
#include "stock.h"

struct Placement;

/* Units of a promise that are taken away. */
typedef struct Cut
{
	int64		order_id;
	int64		fulfillment_id;
	int64		item_id;
	int64		location_id;
	int32		line_no;
	int32		quantity;
	TimestampTz promised_at;	/* of the fulfillment; DT_NOEND: not known */
	TimestampTz ship_by;		/* likewise */
	CapacityRow day;			/* that it has taken of; amount 0: of none */
} Cut;

/* An order that loses units, and what it is promised in their place. */
typedef struct Repromise
{
	int64		order_id;
	Cut		   *cuts;
	int			cut_count;
	bool		stays;			/* nothing is promised anew */
	Order	   *order;
	OrderLines *lines;
	int32	   *more;			/* by line: units that are promised anew */
	struct Placement *placement;	/* NULL: none are */
} Repromise;

extern void oms_repromise_plan(Repromise *repromise, const StockRow *beside, int count);
extern bool oms_repromise_keeps_dates(const Repromise *repromise);
extern int	oms_repromise_counters(const Repromise *repromise, StockRow **rows);
extern int	oms_repromise_days(const Repromise *repromise, CapacityRow **rows);
extern void oms_repromise_give_up(Repromise *repromise, const char *reason);
extern void oms_repromise_take_back(Repromise *repromise);
extern bool oms_repromise_write(Repromise *repromise);
extern void oms_repromise_drop(Repromise *repromise);
extern void oms_repromise_describe(DocWriter *writer, const Repromise *repromise);

#endif							/* OMS_REPROMISE_H */
