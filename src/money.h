/*
 * money.h
 *	  Exact amounts: decimal arithmetic and the rounding of each currency.
 */
#ifndef OMS_MONEY_H
#define OMS_MONEY_H

#include "oms.h"

/* Amounts of which shares are computed, in the smallest unit: order_share.h. */
#define OMS_MONEY_UNITS_MAX INT64CONST(1000000000000000)

extern int	oms_currency_digits(const char *currency);
extern Numeric oms_money_zero(void);
extern Numeric oms_money_add(Numeric a, Numeric b);
extern Numeric oms_money_subtract(Numeric a, Numeric b);
extern Numeric oms_money_multiply(Numeric a, int64 quantity);
extern Numeric oms_money_share(Numeric amount, Numeric part, Numeric whole);
extern Numeric oms_money_round(Numeric amount, int digits);
extern int	oms_money_compare(Numeric a, Numeric b);
extern bool oms_money_is_rounded(Numeric amount, int digits);
extern int64 oms_money_units(Numeric amount, int digits);
extern Numeric oms_money_of_units(int64 units, int digits);
extern char *oms_money_text(Numeric amount);

#endif							/* OMS_MONEY_H */
