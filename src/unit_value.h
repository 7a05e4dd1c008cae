/*
 * unit_value.h
 *	  What units cost and may lose at each location, and how fast they sell.
 */
#ifndef OMS_UNIT_VALUE_H
#define OMS_UNIT_VALUE_H

#include "oms.h"

/* Thousandths by item and location; NULL where there is no row. */
extern void oms_unit_values_read(const int64 *item_ids, int item_count, const int64 *location_ids, int location_count,
								 int64 **costs, int64 **markdowns);

/* Thousandths of a unit sold a week, by item and location; NULL where there is no row. */
extern int64 *oms_sales_rates_read(const int64 *item_ids, int item_count, const int64 *location_ids, int location_count);

#endif							/* OMS_UNIT_VALUE_H */
