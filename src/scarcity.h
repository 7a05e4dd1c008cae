/*
 * scarcity.h
 *	  What a unit at a location is worth to orders that are yet to come.
 */
#ifndef OMS_SCARCITY_H
#define OMS_SCARCITY_H

#include "oms.h"

/*
 * Prices in thousandths by [item * location_count + location], zero where
 * there is none that was computed since then; NULL where none is there at all.
 */
extern int64 *oms_scarcity_read(const int64 *item_ids, int item_count, const int64 *location_ids, int location_count,
								TimestampTz since);

#endif							/* OMS_SCARCITY_H */
