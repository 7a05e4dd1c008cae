/*
 * lot.h
 *	  Lots and serial numbers of the items that ask for them.
 */
#ifndef OMS_LOT_H
#define OMS_LOT_H

#include "oms.h"

#include "document.h"
#include "item.h"
#include "stock.h"

/* Units of a lot as a document names them. */
typedef struct LotDocument
{
	char	   *lot;
	int32		quantity;		/* DOC_ABSENT: 1 */
	TimestampTz expires_at;
} LotDocument;

/* Until when what is promised of a location is there: its lots must last as long. */
typedef struct LotHorizon
{
	int64		location_id;
	TimestampTz at;
} LotHorizon;

extern const DocShape oms_lot_shape;

extern bool oms_lots_exist(void);
extern void oms_lots_give(int64 item_id, int64 location_id, const LotDocument *lots, int count, bool exact);
extern void oms_lots_give_promised(int64 item_id, int64 location_id, char *lot, int32 units, int32 promised);
extern void oms_lots_give_argument(FunctionCallInfo fcinfo, int argument, const StockRow *row, const CatalogItem *item,
								   int32 quantity, bool exact);
extern void oms_lots_follow(const StockRow *rows, int count, const char *type, const char *reference);
extern void oms_lots_discount(StockView *view);
extern void oms_lots_keep(StockRow *rows, int count);
extern void oms_lots_discount_until(StockView *view, const LotHorizon *horizons, int count);
extern void oms_lots_keep_until(StockRow *rows, int count, const LotHorizon *horizons, int horizon_count);
extern bool oms_lots_end(const int64 *item_ids, int count, const LotHorizon *horizons, int horizon_count);

#endif							/* OMS_LOT_H */
