/*
 * quota_share.c
 *	  How the units of one item are divided among channels, and what a channel
 *	  may still draw.
 *
 * Dividing goes from the root down.  Of the part of a node its children are
 * given first their units, in the order of rank, then their percents of the
 * part, then by ratio what is left; the rest stays with the node and is there
 * for everything below it.  Percents and ratios are rounded by the largest
 * remainder, so the parts add up to the unit.
 *
 * Drawing does not remember which unit came from where.  A state is allowed if
 * the units that all channels use can be laid on shares so that each lies on
 * one that its channel may draw from: its own, one above it, or one that a
 * worse rank lends.  So what a channel may still draw depends on nothing but
 * what is used, in whatever order orders came and went, and a channel is
 * refused only where no such laying exists.  That is a flow: units are laid in
 * the order own, above (nearest first), lent, and moved on along the shortest
 * chain where somebody else needs the place.
 */
#include "quota_share.h"

#include <string.h>

/* ---- Dividing ---- */

/* Whether a goes before b where units are dealt one by one: better rank, then the order of the list. */
static bool
goes_before(const QuotaShare *shares, int a, int b)
{
	return shares[a].rank != shares[b].rank ? shares[a].rank < shares[b].rank : a < b;
}

/* The best-ranked child of a kind that no pass has dealt with yet; -1: none. */
static int
next_child(const QuotaShare *shares, int count, int parent, QuotaShareKind kind, const bool *done)
{
	int			best = -1;

	for (int i = parent + 1; i < count; i++)
		if (shares[i].parent == parent && shares[i].kind == kind && !done[i] && (best < 0 || goes_before(shares, i, best)))
			best = i;
	return best;
}

/* Gives children their units, the better rank first, as far as they go; returns what is left. */
static int64_t
give_units(QuotaShare *shares, int count, int parent, int64_t left)
{
	bool		done[QUOTA_SHARES_MAX] = {false};
	int			child;

	while ((child = next_child(shares, count, parent, QUOTA_SHARE_UNITS, done)) >= 0)
	{
		shares[child].part = shares[child].amount < left ? shares[child].amount : left;
		left -= shares[child].part;
		done[child] = true;
	}
	return left;
}

/*
 * Gives children of a kind the parts base * amount / scale, so rounded that
 * they add up to the whole units of their sum.
 */
static void
give_proportions(QuotaShare *shares, int count, int parent, QuotaShareKind kind, int64_t base, int64_t scale)
{
	bool		done[QUOTA_SHARES_MAX] = {false};
	int64_t		amounts = 0;
	int64_t		given = 0;

	for (int i = parent + 1; i < count; i++)
	{
		if (shares[i].parent != parent || shares[i].kind != kind)
			continue;
		shares[i].part = base * shares[i].amount / scale;
		given += shares[i].part;
		amounts += shares[i].amount;
	}
	/* All of it, or a part whose product fits. */
	for (int64_t rest = (amounts == scale ? base : base * amounts / scale) - given; rest > 0; rest--)
	{
		int			best = -1;

		for (int i = parent + 1; i < count; i++)
		{
			int64_t		remainder = base * shares[i].amount % scale;
			int64_t		most = best < 0 ? 0 : base * shares[best].amount % scale;

			if (shares[i].parent == parent && shares[i].kind == kind && !done[i] &&
				(best < 0 || remainder > most || (remainder == most && goes_before(shares, i, best))))
				best = i;
		}
		shares[best].part++;
		done[best] = true;
	}
}

/* Cuts percents to what units have left of the part, the better rank first; returns what is left. */
static int64_t
cut_percents(QuotaShare *shares, int count, int parent, int64_t left)
{
	bool		done[QUOTA_SHARES_MAX] = {false};
	int			child;

	while ((child = next_child(shares, count, parent, QUOTA_SHARE_PERCENT, done)) >= 0)
	{
		if (shares[child].part > left)
			shares[child].part = left;
		left -= shares[child].part;
		done[child] = true;
	}
	return left;
}

static int64_t
sum_of_ratios(const QuotaShare *shares, int count, int parent)
{
	int64_t		sum = 0;

	for (int i = parent + 1; i < count; i++)
		if (shares[i].parent == parent && shares[i].kind == QUOTA_SHARE_RATIO)
			sum += shares[i].amount;
	return sum;
}

/* Divides base among the children of a node; returns what they are given and have not given back. */
static int64_t
divide_node(QuotaShare *shares, int count, int parent, int64_t base)
{
	int64_t		left = give_units(shares, count, parent, base);
	int64_t		ratios = sum_of_ratios(shares, count, parent);
	int64_t		given = 0;

	give_proportions(shares, count, parent, QUOTA_SHARE_PERCENT, base, QUOTA_PERCENT_WHOLE);
	left = cut_percents(shares, count, parent, left);
	if (ratios > 0)
		give_proportions(shares, count, parent, QUOTA_SHARE_RATIO, left, ratios);
	for (int i = parent + 1; i < count; i++)
	{
		if (shares[i].parent != parent)
			continue;
		if (shares[i].ended)
			shares[i].part = 0;
		given += shares[i].part;
	}
	return given;
}

/* Finds the part of every share, and what of it is its own. */
void
quota_shares_divide(QuotaShare *shares, int count, int64_t whole)
{
	for (int i = 1; i < count; i++)
		shares[i].part = 0;
	shares[0].part = whole < 0 ? 0 : whole > QUOTA_WHOLE_MAX ? QUOTA_WHOLE_MAX : whole;
	for (int i = 0; i < count; i++)
	{
		int64_t		base = shares[i].part;

		/* Units of the root that are more than planned are for all. */
		if (i == 0 && shares[0].amount >= 0 && shares[0].amount < base)
			base = shares[0].amount;
		shares[i].own = shares[i].part - divide_node(shares, count, i, base);
	}
}

/* ---- Drawing ---- */

/* Units of each channel as they lie on shares. */
typedef struct Layout
{
	const QuotaShare *shares;
	int			count;
	int64_t		left[QUOTA_SHARES_MAX]; /* room on each share */
	int64_t		laid[QUOTA_SHARES_MAX * QUOTA_SHARES_MAX];	/* [channel * count + share] */
} Layout;

static int64_t *
laid_on(Layout *layout, int channel, int share)
{
	return &layout->laid[channel * layout->count + share];
}

/* How far a share is from a channel: 0 its own, 1 above it, 2 lent by a worse rank; 3: it may not draw there. */
static int
reach(const Layout *layout, int channel, int share)
{
	const QuotaShare *shares = layout->shares;

	if (channel == share)
		return 0;
	for (int i = shares[channel].parent; i >= 0; i = shares[i].parent)
		if (i == share)
			return 1;
	return channel > 0 && share > 0 && shares[share].lends && shares[share].rank > shares[channel].rank ? 2 : 3;
}

/* Lays units of a channel on one share as far as there is room; returns how many found none. */
static int64_t
lay(Layout *layout, int channel, int share, int64_t units)
{
	int64_t		fitting = units < layout->left[share] ? units : layout->left[share];

	*laid_on(layout, channel, share) += fitting;
	layout->left[share] -= fitting;
	return units - fitting;
}

/* Lays what a channel uses on free room, nearest first; returns what finds none. */
static int64_t
lay_simply(Layout *layout, int channel, int64_t units)
{
	for (int i = channel; i >= 0; i = layout->shares[i].parent)
		units = lay(layout, channel, i, units);
	for (int i = 1; i < layout->count && units > 0; i++)
		if (reach(layout, channel, i) == 2)
			units = lay(layout, channel, i, units);
	return units;
}

/* A share that can be reached by moving what lies on others. */
typedef struct Visit
{
	int			share;
	int			from;			/* index of the visit whose share gives way; -1: the channel itself draws here */
	int			channel;		/* whose units lie here after the move */
} Visit;

/* Moves units along the visits that end at a share with room, up to a number; returns how many. */
static int64_t
move_along(Layout *layout, const Visit *visits, int last, int64_t units)
{
	if (units > layout->left[visits[last].share])
		units = layout->left[visits[last].share];
	for (int i = last; visits[i].from >= 0; i = visits[i].from)
	{
		int64_t		lying = *laid_on(layout, visits[i].channel, visits[visits[i].from].share);

		if (units > lying)
			units = lying;
	}
	layout->left[visits[last].share] -= units;
	for (int i = last; i >= 0; i = visits[i].from)
	{
		*laid_on(layout, visits[i].channel, visits[i].share) += units;
		if (visits[i].from >= 0)
			*laid_on(layout, visits[i].channel, visits[visits[i].from].share) -= units;
	}
	return units;
}

/* Notes the shares that a channel may put units on, which come from the share of a visit. */
static void
visit_reach(const Layout *layout, int channel, int from, int most, bool *seen, Visit *visits, int *count)
{
	for (int i = 0; i < layout->count; i++)
	{
		if (seen[i] || reach(layout, channel, i) > most)
			continue;
		seen[i] = true;
		visits[(*count)++] = (Visit) {i, from, channel};
	}
}

/*
 * Lays units of a channel on shares at most so far from it, moving on what lies
 * there where its owner can do without; returns how many find no place.
 */
static int64_t
lay_moving(Layout *layout, int channel, int most, int64_t units)
{
	while (units > 0)
	{
		Visit		visits[QUOTA_SHARES_MAX];
		bool		seen[QUOTA_SHARES_MAX] = {false};
		int			count = 0;
		int			at = 0;

		visit_reach(layout, channel, -1, most, seen, visits, &count);
		for (; at < count && layout->left[visits[at].share] == 0; at++)
			for (int other = 0; other < layout->count; other++)
				if (*laid_on(layout, other, visits[at].share) > 0)
					visit_reach(layout, other, at, other == channel ? most : 2, seen, visits, &count);
		if (at == count)
			break;
		units -= move_along(layout, visits, at, units);
	}
	return units;
}

/* Units that the channel of a share may still draw, with the shares divided. */
int64_t
quota_shares_draw(const QuotaShare *shares, int count, int asker, QuotaDraw *draw)
{
	Layout		layout;
	int64_t		open[QUOTA_SHARES_MAX];

	layout.shares = shares;
	layout.count = count;
	memset(layout.laid, 0, sizeof(int64_t) * count * count);
	for (int i = 0; i < count; i++)
		layout.left[i] = shares[i].own;
	for (int i = 0; i < count; i++)
		open[i] = shares[i].used > 0 ? lay_simply(&layout, i, shares[i].used) : 0;

	/* What finds no place is overdrawn: shares have become smaller since. */
	for (int i = 0; i < count; i++)
		(void) lay_moving(&layout, i, 2, open[i]);
	draw->own = QUOTA_WHOLE_MAX - lay_moving(&layout, asker, 0, QUOTA_WHOLE_MAX);
	draw->above = QUOTA_WHOLE_MAX - lay_moving(&layout, asker, 1, QUOTA_WHOLE_MAX);
	draw->lower = QUOTA_WHOLE_MAX - lay_moving(&layout, asker, 2, QUOTA_WHOLE_MAX);
	return draw->own + draw->above + draw->lower;
}
