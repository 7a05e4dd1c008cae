/*
 * refund_share.h
 *	  What returned units are worth, as plain C without any server header.
 *
 * Amounts are in the smallest unit of the currency.  Discounts are positive.
 */
#ifndef REFUND_SHARE_H
#define REFUND_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* No amount may be larger, so that sums over an order stay within 64 bits. */
#define REFUND_SHARE_MAX INT64_C(1000000000000000)

typedef struct RefundAmounts
{
	int64_t		items;
	int64_t		discount;
	int64_t		tax;			/* on top of prices */
	int64_t		included_tax;	/* contained in items */
	int64_t		charges;		/* shipping and fees */
} RefundAmounts;

typedef struct RefundLine
{
	RefundAmounts amounts;		/* of all its units */
	int32_t		units;			/* not cancelled */
	int32_t		returned;
} RefundLine;

/* How much of shipping and fees comes back. */
typedef enum RefundCharges
{
	REFUND_CHARGES_NONE,
	REFUND_CHARGES_PROPORTIONAL,	/* the share of the goods */
	REFUND_CHARGES_COMPLETE		/* all, once every unit is back */
} RefundCharges;

extern int64_t refund_share_round(int64_t amount, int64_t part, int64_t whole);
extern void refund_share_spread(int64_t amount, const int64_t *weights, int count, int64_t *parts);
extern void refund_share_prepare(const RefundAmounts *order, RefundLine *lines, int count, int64_t *weights,
								 int64_t *parts);
extern RefundAmounts refund_share_line(const RefundLine *line);
extern RefundAmounts refund_share_order(const RefundLine *lines, int count);
extern int64_t refund_share_charges(RefundCharges rule, const RefundLine *lines, int count, int64_t part,
									int64_t before);
extern int64_t refund_share_goods(const RefundAmounts *share);
extern int64_t refund_share_percent(int64_t amount, int32_t hundredths);

#endif							/* REFUND_SHARE_H */
