/*
 * refund_share.c
 *	  What returned units are worth, as plain C without any server header.
 *
 * What belongs to the whole order (discounts, taxes, shipping, fees) is first
 * spread over the lines by their value, so that the parts add up exactly.  A
 * line's share is then a function of how many of its units are back: the
 * rounded part of the line's amount.  Whoever refunds the difference to what
 * was refunded before has, after the last unit, refunded the line to the cent,
 * in whatever steps the units came.
 */
#include "refund_share.h"

/* amount * part / whole, halves away from zero. */
int64_t
refund_share_round(int64_t amount, int64_t part, int64_t whole)
{
	__int128	product = (__int128) amount * part;

	if (whole <= 0)
		return 0;
	if (product >= 0)
		return (int64_t) ((product + whole / 2) / whole);
	return -(int64_t) ((-product + whole / 2) / whole);
}

/*
 * Divides an amount by weights, which are not negative.  Each part is the
 * difference of two rounded sums, so the parts add up to the amount and none is
 * a whole unit off.  Without any weight the first part gets all.
 */
void
refund_share_spread(int64_t amount, const int64_t *weights, int count, int64_t *parts)
{
	int64_t		whole = 0;
	int64_t		reached = 0;
	int64_t		given = 0;

	for (int i = 0; i < count; i++)
		whole += weights[i];
	for (int i = 0; i < count; i++)
	{
		int64_t		until;

		reached += weights[i];
		until = whole > 0 ? refund_share_round(amount, reached, whole) : amount;
		parts[i] = until - given;
		given = until;
	}
}

/* One amount of the order on top of those of its lines; parts is scratch. */
static void
add_spread(int64_t amount, const int64_t *weights, int64_t *parts, RefundLine *lines, int count, size_t offset)
{
	if (amount == 0)
		return;
	refund_share_spread(amount, weights, count, parts);
	for (int i = 0; i < count; i++)
		*(int64_t *) ((char *) &lines[i].amounts + offset) += parts[i];
}

/*
 * Adds the order's own amounts to its lines.  weights and parts are scratch of
 * count elements.
 */
void
refund_share_prepare(const RefundAmounts *order, RefundLine *lines, int count, int64_t *weights, int64_t *parts)
{
	int64_t		worth = 0;

	for (int i = 0; i < count; i++)
		worth += lines[i].amounts.items;
	for (int i = 0; i < count; i++)
		weights[i] = worth > 0 ? lines[i].amounts.items : lines[i].units;
	add_spread(order->discount, weights, parts, lines, count, offsetof(RefundAmounts, discount));
	add_spread(order->tax, weights, parts, lines, count, offsetof(RefundAmounts, tax));
	add_spread(order->included_tax, weights, parts, lines, count, offsetof(RefundAmounts, included_tax));
	add_spread(order->charges, weights, parts, lines, count, offsetof(RefundAmounts, charges));
}

/* What the returned units of a prepared line are worth, shipping and fees in proportion. */
RefundAmounts
refund_share_line(const RefundLine *line)
{
	RefundAmounts share = {
		.items = refund_share_round(line->amounts.items, line->returned, line->units),
		.discount = refund_share_round(line->amounts.discount, line->returned, line->units),
		.tax = refund_share_round(line->amounts.tax, line->returned, line->units),
		.included_tax = refund_share_round(line->amounts.included_tax, line->returned, line->units),
		.charges = refund_share_round(line->amounts.charges, line->returned, line->units)
	};

	return share;
}

/* What all returned units of prepared lines are worth. */
RefundAmounts
refund_share_order(const RefundLine *lines, int count)
{
	RefundAmounts sum = {0};

	for (int i = 0; i < count; i++)
	{
		RefundAmounts share = refund_share_line(&lines[i]);

		sum.items += share.items;
		sum.discount += share.discount;
		sum.tax += share.tax;
		sum.included_tax += share.included_tax;
		sum.charges += share.charges;
	}
	return sum;
}

/*
 * Shipping and fees that have to be refunded by now, of which part is their
 * share in proportion and before was refunded already.  What was once refunded
 * stays refunded.
 */
int64_t
refund_share_charges(RefundCharges rule, const RefundLine *lines, int count, int64_t part, int64_t before)
{
	int64_t		all = 0;
	int64_t		wanted = 0;
	bool		complete = true;

	for (int i = 0; i < count; i++)
	{
		all += lines[i].amounts.charges;
		complete &= lines[i].returned >= lines[i].units;
	}
	if (rule == REFUND_CHARGES_PROPORTIONAL)
		wanted = part;
	else if (rule == REFUND_CHARGES_COMPLETE && complete)
		wanted = all;
	return wanted > before ? wanted : before;
}

/* Price less discount plus the tax on top: what the goods alone cost. */
int64_t
refund_share_goods(const RefundAmounts *share)
{
	return share->items - share->discount + share->tax;
}

/* A percentage, given in hundredths, of what comes back; nothing of nothing. */
int64_t
refund_share_percent(int64_t amount, int32_t hundredths)
{
	return amount > 0 ? refund_share_round(amount, hundredths, 10000) : 0;
}
