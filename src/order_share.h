/*
 * order_share.h
 *	  What some units of an order are worth, as plain C without any server header.
 *
 * Amounts are in the smallest unit of the currency.  Discounts are positive.
 */
#ifndef ORDER_SHARE_H
#define ORDER_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No amount may be larger, so that sums over an order stay within 64 bits. */
#define ORDER_SHARE_MAX INT64_C(1000000000000000)

typedef struct ShareAmounts
{
	int64_t		items;
	int64_t		discount;
	int64_t		tax;			/* on top of prices */
	int64_t		included_tax;	/* contained in items */
	int64_t		charges;		/* shipping and fees */
} ShareAmounts;

typedef struct ShareLine
{
	int64_t		items;			/* price of the units that are asked about, rounded */
	int64_t		all_items;		/* of all units */
	int32_t		units;			/* not cancelled */
	int32_t		reached;		/* of them, the units that are asked about: shipped, returned */
} ShareLine;

typedef enum ShareKind
{
	SHARE_DISCOUNT,
	SHARE_TAX,
	SHARE_INCLUDED_TAX,
	SHARE_CHARGE
} ShareKind;

typedef struct ShareAdjustment
{
	ShareKind	kind;
	int			line;			/* position in the lines; -1: of the whole order */
	int64_t		amount;
	int64_t		basis;			/* what it was agreed for: units of the line, or price of the order's items */
	int64_t		basis_parts;	/* parts of the smallest unit that basis is in: 1, or where edits made it finer, 1000 */
} ShareAdjustment;

typedef struct ShareOrder
{
	ShareLine  *lines;
	int			line_count;
	ShareAdjustment *adjustments;
	int			adjustment_count;
} ShareOrder;

/* How much of shipping and fees counts. */
typedef enum ShareCharges
{
	SHARE_CHARGES_NONE,
	SHARE_CHARGES_FIRST,		/* those of a line with its units, those of the order with the first unit of all */
	SHARE_CHARGES_PROPORTIONAL,	/* the share of the goods */
	SHARE_CHARGES_COMPLETE		/* all, with the last unit of all */
} ShareCharges;

extern int64_t order_share_round(int64_t amount, int64_t part, int64_t whole);
extern void order_share_spread(int64_t amount, const int64_t *weights, int count, int64_t *parts);
extern ShareAmounts order_share(const ShareOrder *order, ShareCharges charges);
extern void order_share_of_lines(const ShareOrder *order, int64_t *goods);
extern int64_t order_share_goods(const ShareAmounts *share);
extern int64_t order_share_percent(int64_t amount, int32_t hundredths);

#endif							/* ORDER_SHARE_H */
