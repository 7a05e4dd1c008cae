/*
 * order_share.c
 *	  What some units of an order are worth, as plain C without any server header.
 *
 * Shipped units are captured and returned units refunded by this one function,
 * so a unit that comes back alone is worth what it was when it left alone.
 *
 * Units are worth what the order would cost if it had no others.  A line gives
 * their price and, of what was adjusted on it, the part by units; what was
 * adjusted on the whole order counts by the price of the units.  Each amount is
 * rounded once.  So the worth of what has shipped does not change when the rest
 * is cancelled, and all units are worth the order's total: whoever takes the
 * difference to what was taken before has, with the last unit, taken the order
 * to the cent, in whatever steps the units went.
 */
#include "order_share.h"

/* amount * part / whole, halves away from zero. */
int64_t
order_share_round(int64_t amount, int64_t part, int64_t whole)
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
order_share_spread(int64_t amount, const int64_t *weights, int count, int64_t *parts)
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
		until = whole > 0 ? order_share_round(amount, reached, whole) : amount;
		parts[i] = until - given;
		given = until;
	}
}

/* The units that are asked about, beside all. */
typedef struct Reach
{
	int64_t		items;
	int64_t		all_items;
	int64_t		units;
	int64_t		all_units;
} Reach;

static Reach
reach_of(const ShareOrder *order)
{
	Reach		reach = {0};

	for (int i = 0; i < order->line_count; i++)
	{
		reach.items += order->lines[i].items;
		reach.all_items += order->lines[i].all_items;
		reach.units += order->lines[i].reached;
		reach.all_units += order->lines[i].units;
	}
	return reach;
}

/* Units beyond those that it was agreed for do not raise an amount. */
static int64_t
part_of_line(const ShareAdjustment *adjustment, int32_t units)
{
	return order_share_round(adjustment->amount, units < adjustment->basis ? units : adjustment->basis, adjustment->basis);
}

/* Discounts and taxes of the whole order follow the price of its items; agreed for free ones, they come with the first unit. */
static int64_t
part_of_order(const ShareAdjustment *adjustment, const Reach *reach)
{
	if (reach->units == 0)
		return 0;
	if (adjustment->basis <= 0 || reach->items > (adjustment->basis - 1) / adjustment->basis_parts)
		return adjustment->amount;
	return order_share_round(adjustment->amount, reach->items * adjustment->basis_parts, adjustment->basis);
}

static int64_t
part_of_charge(const ShareAdjustment *adjustment, const ShareLine *line, const Reach *reach, ShareCharges rule)
{
	int64_t		all = line ? part_of_line(adjustment, line->units) : adjustment->amount;

	if (rule == SHARE_CHARGES_NONE || reach->units == 0)
		return 0;
	if (rule == SHARE_CHARGES_COMPLETE)
		return reach->units >= reach->all_units ? all : 0;
	if (line != NULL)
		return part_of_line(adjustment, line->reached);
	if (rule == SHARE_CHARGES_FIRST)
		return all;
	return reach->all_items > 0 ? order_share_round(all, reach->items, reach->all_items)
		: order_share_round(all, reach->units, reach->all_units);
}

static void
add(ShareAmounts *share, ShareKind kind, int64_t amount)
{
	if (kind == SHARE_DISCOUNT)
		share->discount += amount;
	else if (kind == SHARE_TAX)
		share->tax += amount;
	else if (kind == SHARE_INCLUDED_TAX)
		share->included_tax += amount;
	else
		share->charges += amount;
}

/* What the units are worth that lines and reached of an order name. */
ShareAmounts
order_share(const ShareOrder *order, ShareCharges charges)
{
	Reach		reach = reach_of(order);
	ShareAmounts share = {.items = reach.items};

	for (int i = 0; i < order->adjustment_count; i++)
	{
		const ShareAdjustment *adjustment = &order->adjustments[i];
		const ShareLine *line = adjustment->line < 0 ? NULL : &order->lines[adjustment->line];

		if (adjustment->kind == SHARE_CHARGE)
			add(&share, adjustment->kind, part_of_charge(adjustment, line, &reach, charges));
		else
			add(&share, adjustment->kind, line ? part_of_line(adjustment, line->reached) : part_of_order(adjustment, &reach));
	}
	return share;
}

/* What the goods of each line are worth by what is the line's own. */
void
order_share_of_lines(const ShareOrder *order, int64_t *goods)
{
	for (int i = 0; i < order->line_count; i++)
		goods[i] = order->lines[i].items;
	for (int i = 0; i < order->adjustment_count; i++)
	{
		const ShareAdjustment *adjustment = &order->adjustments[i];
		int64_t		part;

		if (adjustment->line < 0)
			continue;
		part = part_of_line(adjustment, order->lines[adjustment->line].reached);
		if (adjustment->kind == SHARE_DISCOUNT)
			goods[adjustment->line] -= part;
		else if (adjustment->kind == SHARE_TAX)
			goods[adjustment->line] += part;
	}
}

/* Price less discount plus the tax on top: what the goods alone cost. */
int64_t
order_share_goods(const ShareAmounts *share)
{
	return share->items - share->discount + share->tax;
}

/* A percentage, given in hundredths, of what comes back; nothing of nothing. */
int64_t
order_share_percent(int64_t amount, int32_t hundredths)
{
	return amount > 0 ? order_share_round(amount, hundredths, 10000) : 0;
}
