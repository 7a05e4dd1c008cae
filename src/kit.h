/*
 * kit.h
 *	  Items that are sold as one and promised by their components.
 */
#ifndef OMS_KIT_H
#define OMS_KIT_H

#include "oms.h"

#include "document.h"
#include "item.h"

typedef struct KitComponent
{
	int64		kit_id;
	bool		ship_together;
	bool		may_break;
	int32		quantity;		/* in one set */
	CatalogItem item;
} KitComponent;

typedef struct KitList
{
	int			count;
	int			capacity;
	KitComponent *rows;			/* by kit, then in the order of the kit */
} KitList;

extern const DocShape oms_kit_component_shape;

extern void oms_kits_update(Jsonb *items);
extern KitList *oms_kits_read(const int64 *kit_ids, int count);

/* The components of one kit; NULL where it has none. */
extern KitComponent *oms_kit_components(const KitList *list, int64 kit_id, int *count);

extern void oms_kits_delete(int64 order_id);

/* Refuses what would break a kit of a locked order whose lines are written. */
extern void oms_kits_check(int64 order_id);

#endif							/* OMS_KIT_H */
