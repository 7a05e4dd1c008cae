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

extern const DocShape oms_lot_shape;

extern bool oms_lots_exist(void);
extern void oms_lots_give(int64 item_id, int64 location_id, const LotDocument *lots, int count, bool exact);
extern void oms_lots_give_argument(FunctionCallInfo fcinfo, int argument, const StockRow *row, const CatalogItem *item,
								   int32 quantity, bool exact);
extern void oms_lots_follow(const StockRow *rows, int count, const char *type, const char *reference);
extern void oms_lots_discount(StockView *view);
extern void oms_lots_keep(StockRow *rows, int count);

#endif							/* OMS_LOT_H */
