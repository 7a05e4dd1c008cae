/*
 * stock_state.h
 *	  Units that are not for sale: damaged, held for quality, in transit.
 */
#ifndef OMS_STOCK_STATE_H
#define OMS_STOCK_STATE_H

#include "oms.h"

#include "item.h"
#include "location.h"
#include "stock.h"

/* The name of what oms.stock counts. */
#define STATE_SELLABLE "sellable"

#define STATE_DAMAGED "damaged"
#define STATE_QUALITY_HOLD "quality_hold"
#define STATE_IN_TRANSIT "in_transit"
#define STATE_SET_ASIDE "set_aside"

extern void oms_stock_state_check(const char *state, const char *place);
extern int32 oms_stock_state_add(int64 item_id, int64 location_id, int64 order_id, const char *state, int32 quantity,
								 const char *type, const char *reason, const char *reference);
extern void oms_stock_state_move(StockRow *row, const CatalogItem *item, const Location *location, const char *from,
								 const char *to, int32 quantity, const char *type, const char *reason,
								 const char *reference);

#endif							/* OMS_STOCK_STATE_H */
