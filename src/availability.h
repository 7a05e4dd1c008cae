/*
 * availability.h
 *	  What a channel may promise.
 */
#ifndef OMS_AVAILABILITY_H
#define OMS_AVAILABILITY_H

#include "oms.h"

#include "channel.h"
#include "stock.h"

extern StockView *oms_availability_view(const Channel *channel, int64 own, const int64 *item_ids, int count);
extern int64 oms_availability_free(const StockRow *row);

#endif							/* OMS_AVAILABILITY_H */
