/*
 * quota_tree.h
 *	  Trees of shares: how the units of an item are divided among channels.
 */
#ifndef OMS_QUOTA_TREE_H
#define OMS_QUOTA_TREE_H

#include "oms.h"

#include "channel.h"
#include "item.h"
#include "quota_share.h"

/* The tree of one item as it was read. */
typedef struct QuotaTree
{
	int64		item_id;
	int64		version;		/* counts the changes of what is used and held, and of the shares */
	int64		whole;			/* units used, and those that are for sale or in carts now */
	int			count;
	QuotaShare *shares;			/* the root first */
	int64	   *channels;		/* of the shares; 0: a pool */
} QuotaTree;

typedef struct QuotaTrees
{
	int			count;
	QuotaTree  *rows;			/* by item */
} QuotaTrees;

extern bool oms_quota_trees_exist(void);
extern QuotaTrees *oms_quota_trees_read(int64 own, const int64 *item_ids, int count);
extern QuotaTree *oms_quota_tree_of(const QuotaTrees *trees, int64 item_id);
extern int	oms_quota_tree_share(const QuotaTree *tree, int64 channel_id);
extern int64 oms_quota_tree_draw(const QuotaTree *tree, int64 channel_id, QuotaDraw *draw);
extern void oms_quota_tree_count(QuotaTree *tree, int64 channel_id, int64 units, bool were_there);
extern bool oms_quota_trees_lock(const int64 *item_ids, int count);
extern void oms_quota_trees_take(const Channel *channel, TimestampTz placed_at, const int64 *item_ids, const int64 *units,
								 int count);
extern void oms_quota_trees_touch(const int64 *item_ids, int count);
extern void oms_quota_trees_line_change(int64 order_id, const int64 *item_ids, const int32 *units, int count);
extern void oms_quota_trees_recount(const int64 *item_ids, int count);

#endif							/* OMS_QUOTA_TREE_H */
