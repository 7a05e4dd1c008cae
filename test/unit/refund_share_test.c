/* sources: src/refund_share.c */
/*
 * refund_share_test.c
 *	  Shares of returned units: known values, and random orders whose parts must
 *	  add up to the whole in whatever steps the units come back.
 */
#include "../../src/refund_share.h"

#include <stdio.h>
#include <string.h>

#define LINES_MAX 40

static int	failures;
static int	checks;

static void
expect(const char *what, int64_t found, int64_t expected)
{
	checks++;
	if (found == expected)
		return;
	failures++;
	printf("%s: expected %lld, found %lld\n", what, (long long) expected, (long long) found);
}

static void
test_round(void)
{
	expect("nothing", refund_share_round(100, 0, 3), 0);
	expect("a third", refund_share_round(100, 1, 3), 33);
	expect("two thirds", refund_share_round(100, 2, 3), 67);
	expect("half a unit goes up", refund_share_round(1, 1, 2), 1);
	expect("half a unit goes away from zero", refund_share_round(-1, 1, 2), -1);
	expect("just under half", refund_share_round(499, 1, 1000), 0);
	expect("no whole", refund_share_round(5, 1, 0), 0);
	expect("large", refund_share_round(REFUND_SHARE_MAX, 999999999, 1000000000), INT64_C(999999999000000));
	expect("percent", refund_share_percent(1999, 1500), 300);
	expect("percent of a loss", refund_share_percent(-5, 1500), 0);
	expect("all of it", refund_share_percent(1999, 10000), 1999);
}

static void
test_spread(void)
{
	int64_t		weights[] = {1, 1, 1};
	int64_t		none[] = {0, 0, 0};
	int64_t		parts[3];

	refund_share_spread(100, weights, 3, parts);
	expect("thirds: first", parts[0], 33);
	expect("thirds: second", parts[1], 34);
	expect("thirds: third", parts[2], 33);
	refund_share_spread(-100, weights, 3, parts);
	expect("negative", parts[0] + parts[1] + parts[2], -100);
	refund_share_spread(7, none, 3, parts);
	expect("no weights: first", parts[0], 7);
	expect("no weights: second", parts[1], 0);
	refund_share_spread(7, weights, 0, parts);
}

/* Two lines, 10 % off the order, tax on top, 5.00 of shipping. */
static void
test_order(void)
{
	RefundAmounts order = {.discount = 1000,.tax = 1710,.charges = 500};
	RefundLine	lines[] = {
		{.amounts = {.items = 6000},.units = 3},
		{.amounts = {.items = 4000},.units = 7}
	};
	int64_t		weights[2];
	int64_t		parts[2];
	RefundAmounts share;

	refund_share_prepare(&order, lines, 2, weights, parts);
	expect("discount of the first", lines[0].amounts.discount, 600);
	expect("tax of the second", lines[1].amounts.tax, 684);
	expect("shipping of the second", lines[1].amounts.charges, 200);
	lines[0].returned = 1;
	share = refund_share_order(lines, 2);
	expect("items of one", share.items, 2000);
	expect("discount of one", share.discount, 200);
	expect("tax of one", share.tax, 342);
	expect("goods of one", refund_share_goods(&share), 2142);
	expect("no shipping", refund_share_charges(REFUND_CHARGES_NONE, lines, 2, share.charges, 0), 0);
	expect("shipping in proportion", refund_share_charges(REFUND_CHARGES_PROPORTIONAL, lines, 2, share.charges, 0), 100);
	expect("shipping not before all is back", refund_share_charges(REFUND_CHARGES_COMPLETE, lines, 2, share.charges, 0), 0);
	expect("refunded shipping stays", refund_share_charges(REFUND_CHARGES_NONE, lines, 2, share.charges, 120), 120);
	lines[0].returned = 3;
	lines[1].returned = 7;
	share = refund_share_order(lines, 2);
	expect("all goods", refund_share_goods(&share), 10000 - 1000 + 1710);
	expect("all shipping", refund_share_charges(REFUND_CHARGES_COMPLETE, lines, 2, share.charges, 0), 500);
	expect("all shipping in proportion", refund_share_charges(REFUND_CHARGES_PROPORTIONAL, lines, 2, share.charges, 0), 500);
}

/* Gifts: no value to spread by, so units decide. */
static void
test_free(void)
{
	RefundAmounts order = {.charges = 300};
	RefundLine	lines[] = {{.units = 1}, {.units = 2}};
	int64_t		weights[2];
	int64_t		parts[2];

	refund_share_prepare(&order, lines, 2, weights, parts);
	expect("first gift", lines[0].amounts.charges, 100);
	expect("second gift", lines[1].amounts.charges, 200);
}

static uint64_t state = 42;

static int64_t
random_below(int64_t limit)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (int64_t) ((state >> 33) % (uint64_t) limit);
}

static void
check_sum(const char *what, int64_t found, int64_t expected)
{
	if (found != expected)
		expect(what, found, expected);
	else
		checks++;
}

/* A random order; its units come back one by one in random order. */
static void
test_random(void)
{
	RefundAmounts order = {.discount = random_below(2000),.tax = random_below(3000),.included_tax = random_below(900),
	.charges = random_below(1500)};
	RefundLine	lines[LINES_MAX];
	RefundAmounts total = order;
	RefundAmounts before = {0};
	RefundAmounts share;
	RefundAmounts sum = {0};
	int64_t		weights[LINES_MAX];
	int64_t		parts[LINES_MAX];
	int64_t		charged = 0;
	int			count = 1 + (int) random_below(LINES_MAX);
	int			open = 0;

	memset(lines, 0, sizeof(lines));
	for (int i = 0; i < count; i++)
	{
		lines[i].units = 1 + (int32_t) random_below(9);
		lines[i].amounts.items = random_below(5000) * lines[i].units;
		lines[i].amounts.discount = random_below(lines[i].amounts.items / 4 + 1);
		lines[i].amounts.tax = random_below(500);
		open += lines[i].units;
		total.items += lines[i].amounts.items;
		total.discount += lines[i].amounts.discount;
		total.tax += lines[i].amounts.tax;
	}
	refund_share_prepare(&order, lines, count, weights, parts);
	for (; open > 0; open--)
	{
		int			line = (int) random_below(count);

		while (lines[line].returned == lines[line].units)
			line = (line + 1) % count;
		lines[line].returned++;
		share = refund_share_order(lines, count);
		sum.items += share.items - before.items;
		sum.discount += share.discount - before.discount;
		sum.tax += share.tax - before.tax;
		sum.included_tax += share.included_tax - before.included_tax;
		check_sum("items never fall", share.items >= before.items, 1);
		charged = refund_share_charges(REFUND_CHARGES_PROPORTIONAL, lines, count, share.charges, charged);
		before = share;
	}
	check_sum("items of all steps", sum.items, total.items);
	check_sum("discount of all steps", sum.discount, total.discount);
	check_sum("tax of all steps", sum.tax, total.tax);
	check_sum("included tax of all steps", sum.included_tax, total.included_tax);
	check_sum("shipping of all steps", charged, total.charges);
}

int
main(void)
{
	test_round();
	test_spread();
	test_order();
	test_free();
	for (int i = 0; i < 2000; i++)
		test_random();
	printf("%d checks, %d failed\n", checks, failures);
	return failures > 0;
}
