/*
 * fulfillment.h
 *	  What one location ships together.
 */
#ifndef OMS_FULFILLMENT_H
#define OMS_FULFILLMENT_H

#include "oms.h"

#include "dates.h"

#include "order.h"

typedef struct Fulfillment
{
	int64		fulfillment_id;
	int64		order_id;
	int64		location_id;	/* 0: digital and service items */
	int32		delivery_no;
	bool		backordered;
	TimestampTz supplied_at;	/* of a backordered one; DT_NOEND: nobody knows when */
	char	   *status;
	ParcelDates dates;			/* of what is being planned; only ship_day is read again */
	int32		capacity_taken;	/* of that day */
} Fulfillment;

extern Fulfillment oms_fulfillment_get(int64 fulfillment_id);
extern void oms_fulfillment_date(const DateRequest *request, int64 grams, const char *planned, Fulfillment *row);
extern void oms_fulfillments_insert(const Fulfillment *rows, int count);
extern void oms_fulfillments_separate(Order *order, int32 line_no);
extern void oms_fulfillment_recall(int64 fulfillment_id, const char *reason);
extern void oms_fulfillments_close_empty(int64 order_id, const char *reason);

#endif							/* OMS_FULFILLMENT_H */
