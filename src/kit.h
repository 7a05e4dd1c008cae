/*
 * kit.h
 *	  Items that are sold as one and promised by their components.
 */
#ifndef OMS_KIT_H
#define OMS_KIT_H

#include "oms.h"

#include "nodes/pg_list.h"

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

/*
 * What broke a kit, as a return of which not all came, stays: the kits that a
 * locked order has broken already, by their numbers, and the check that a call
 * which has written its lines broke no other.
 */
extern List *oms_kits_broken(int64 order_id);
extern void oms_kits_check(int64 order_id, const List *broken);

#endif							/* OMS_KIT_H */
