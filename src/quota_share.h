/*
 * quota_share.h
 *	  How the units of one item are divided among channels, and what a channel
 *	  may still draw.  Pure arithmetic, no server code.
 */
#ifndef OMS_QUOTA_SHARE_H
#define OMS_QUOTA_SHARE_H

#include <stdbool.h>
#include <stdint.h>

/* Shares of one tree, its root included. */
#define QUOTA_SHARES_MAX 101

/* Percents are counted in ten-thousandths of one. */
#define QUOTA_PERCENT_UNIT 10000
#define QUOTA_PERCENT_WHOLE ((int64_t) 100 * QUOTA_PERCENT_UNIT)

#define QUOTA_RATIO_MAX 1000000

/* Units beyond which a whole is cut: so that no product overflows. */
#define QUOTA_WHOLE_MAX INT64_C(9000000000000)

typedef enum QuotaShareKind
{
	QUOTA_SHARE_NONE,			/* draws from those above only */
	QUOTA_SHARE_UNITS,
	QUOTA_SHARE_PERCENT,		/* of the part of its parent */
	QUOTA_SHARE_RATIO			/* of what units and percents leave there */
} QuotaShareKind;

/*
 * A node of the tree: a channel or a pool.  The root stands first, every parent
 * before its children.
 */
typedef struct QuotaShare
{
	int			parent;			/* of the root: -1 */
	int32_t		rank;			/* the lower, the more important */
	QuotaShareKind kind;
	int64_t		amount;			/* units (root: -1 for all there is), ten-thousandths of a percent, or weight */
	bool		ended;			/* its part has fallen back to its parent */
	bool		lends;			/* channels of a better rank may draw from it */
	int64_t		used;			/* by its channel, carts included */
	int64_t		part;			/* what it and those below it are given */
	int64_t		own;			/* of that, not given to those below */
} QuotaShare;

/* What a channel may still draw, by where the units come from. */
typedef struct QuotaDraw
{
	int64_t		own;
	int64_t		above;			/* parents, grandparents, ... */
	int64_t		lower;			/* lent by those of a worse rank */
} QuotaDraw;

extern void quota_shares_divide(QuotaShare *shares, int count, int64_t whole);
extern int64_t quota_shares_draw(const QuotaShare *shares, int count, int asker, QuotaDraw *draw);

#endif							/* OMS_QUOTA_SHARE_H */
