/*
 * quota.h
 *	  Units that a channel leaves to others, may count on, or must not exceed.
 */
#ifndef OMS_QUOTA_H
#define OMS_QUOTA_H

#include "oms.h"

#include "channel.h"
#include "quota_tree.h"
#include "relation.h"
#include "reservation.h"
#include "stock.h"

typedef struct Quota
{
	int64		quota_id;
	int64		channel_id;
	int64		item_id;		/* 0: any item */
	int64		location_id;	/* 0: any location */
	int32		safety;			/* kept from the channel at each location */
	int32		network_safety; /* kept from the channel over all locations */
	int32		guaranteed;		/* kept for the channel */
	int32		cap;			/* -1: none */
	int32		used;			/* promised to orders of the channel */
	int64		version;		/* counts the changes of anything that the figures depend on */
	int64		held;			/* by carts of the channel, without the asker's own */
	char	   *group;			/* of locations; NULL: none */
} Quota;

typedef struct QuotaList
{
	const Channel *channel;
	int			count;
	int			capacity;
	Quota	   *rows;			/* by item */
	QuotaTrees *trees;			/* of the items, NULL: none */
} QuotaList;

/* What a channel may promise of an item over all locations, and why not more. */
typedef struct QuotaLimit
{
	int64		free;			/* at the locations of the channel */
	int64		unshipped;		/* of these, where it does not ship from */
	int64		network_safety;
	int64		guaranteed;		/* to other channels, and not used yet */
	int64		cap;			/* units left below the cap, PG_INT64_MAX: none */
	bool		tree;			/* the item is divided among channels */
	QuotaDraw	draw;
	int64		drawn;			/* what the channel may draw of shares, PG_INT64_MAX: no tree */
	int64		firm;			/* what may be promised from what is on hand */
} QuotaLimit;

/* Units of an item that a call takes. */
typedef struct QuotaTake
{
	int64		item_id;
	int32		firm;
	int32		covered;		/* backordered units for which there are free ones at their location */
	int32		total;			/* with backordered units */
} QuotaTake;

extern bool oms_quotas_exist(void);
extern StockView *oms_quotas_view(const Channel *channel, int64 own, const int64 *item_ids, int count,
								  QuotaList **quotas);
extern void oms_quotas_keep(const QuotaList *quotas, StockRow *rows, int count);
extern int32 oms_quotas_safety(const QuotaList *quotas, int64 item_id, int64 location_id);
extern bool oms_quotas_limit(const QuotaList *quotas, const StockView *view, int64 item_id, QuotaLimit *limit);
extern void oms_quotas_trim(const QuotaList *quotas, StockView *view, int64 item_id, int64 wanted,
							bool (*usable) (const StockRow *row, void *state), void *state);
extern void oms_quotas_count(QuotaList *quotas, const StockRow *taken, int count);
extern int	oms_quotas_sum(const StockRow *rows, int count, QuotaTake *takes);
extern bool oms_quotas_lock(const int64 *item_ids, int count);
extern bool oms_quotas_take(const Channel *channel, const HoldList *holds, const QuotaTake *takes, int count,
							TimestampTz placed_at);
extern bool oms_quotas_hold(const Channel *channel, const int64 *item_ids, int count);
extern void oms_quotas_touch(const int64 *item_ids, int count);
extern void oms_quotas_line_change(int64 order_id, const int64 *item_ids, const int32 *units, const int32 *firm,
								   int count);
extern void oms_quotas_items(const int64 *quota_ids, int count, OmsRowCallback callback, void *state);
extern void oms_quotas_recount(const int64 *item_ids, int count);
extern TimestampTz oms_quotas_stop_sales(const CatalogItem *item);

#endif							/* OMS_QUOTA_H */
