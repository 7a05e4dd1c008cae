/*
 * item.h
 *	  Items.
 */
#ifndef OMS_ITEM_H
#define OMS_ITEM_H

#include "oms.h"

typedef enum ItemKind
{
	ITEM_STOCKED,
	ITEM_DIGITAL,
	ITEM_SERVICE,
	ITEM_KIT
} ItemKind;

typedef struct CatalogItem
{
	int64		item_id;
	ItemKind	kind;
	bool		active;
	bool		backorder;
	int32		weight_grams;
	int64		volume;			/* cubic millimetres, 0: not known */
	Numeric		price;			/* NULL where the item has none */
	char	   *sku;
	char	   *group;			/* NULL: none */
} CatalogItem;

/* Items of a document by SKU. */
typedef struct ItemSet ItemSet;

/* A hundred cubic metres. */
#define OMS_VOLUME_MAX INT64CONST(100000000000)

extern int64 oms_item_volume(int32 length, int32 width, int32 height);
extern ItemSet *oms_items_read(char *const *skus, int count);
extern CatalogItem *oms_items_find(ItemSet *items, const char *sku);
extern CatalogItem *oms_item_get(const char *sku);

struct OmsPlan;
extern void oms_items_write_parts(Jsonb *items, struct OmsPlan *faults, const char *hint, struct OmsPlan *remove,
								  struct OmsPlan *insert);

#endif							/* OMS_ITEM_H */
