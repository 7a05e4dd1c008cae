/* sources: src/order_share.c */
/*
 * order_share_test.c
 *	  What some units of an order are worth: known values, and random orders whose
 *	  units go in whatever steps, against the price of an order that has no others.
 */
#include "../../src/order_share.h"

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
	expect("nothing", order_share_round(100, 0, 3), 0);
	expect("a third", order_share_round(100, 1, 3), 33);
	expect("two thirds", order_share_round(100, 2, 3), 67);
	expect("half a unit goes up", order_share_round(1, 1, 2), 1);
	expect("half a unit goes away from zero", order_share_round(-1, 1, 2), -1);
	expect("just under half", order_share_round(499, 1, 1000), 0);
	expect("no whole", order_share_round(5, 1, 0), 0);
	expect("large", order_share_round(ORDER_SHARE_MAX, 999999999, 1000000000), INT64_C(999999999000000));
	expect("percent", order_share_percent(1999, 1500), 300);
	expect("percent of a loss", order_share_percent(-5, 1500), 0);
	expect("all of it", order_share_percent(1999, 10000), 1999);
}

static void
test_spread(void)
{
	int64_t		weights[] = {1, 1, 1};
	int64_t		none[] = {0, 0, 0};
	int64_t		parts[3];

	order_share_spread(100, weights, 3, parts);
	expect("thirds: first", parts[0], 33);
	expect("thirds: second", parts[1], 34);
	expect("thirds: third", parts[2], 33);
	order_share_spread(-100, weights, 3, parts);
	expect("negative", parts[0] + parts[1] + parts[2], -100);
	order_share_spread(7, none, 3, parts);
	expect("no weights: first", parts[0], 7);
	expect("no weights: second", parts[1], 0);
	order_share_spread(7, weights, 0, parts);
}

/* Two lines, 10 % off the order, tax on top, 5.00 of shipping, and on the first line 0.20 off and a fee of 1.00. */
static void
test_order(void)
{
	ShareLine	lines[] = {{.units = 3,.all_items = 6000}, {.units = 7,.all_items = 4000}};
	ShareAdjustment adjustments[] = {
		{SHARE_DISCOUNT, -1, 1000, 10000, 1}, {SHARE_TAX, -1, 1710, 10000, 1}, {SHARE_INCLUDED_TAX, 1, 700, 7, 1},
		{SHARE_CHARGE, -1, 500, 10000, 1}, {SHARE_DISCOUNT, 0, 20, 3, 1}, {SHARE_CHARGE, 0, 100, 3, 1}
	};
	ShareOrder	order = {lines, 2, adjustments, 6};
	ShareAmounts share = order_share(&order, SHARE_CHARGES_FIRST);
	int64_t		goods[2];

	expect("nothing before the first unit", order_share_goods(&share) + share.charges, 0);
	lines[0].reached = 1;
	lines[0].items = 2000;
	share = order_share(&order, SHARE_CHARGES_FIRST);
	expect("items of one", share.items, 2000);
	expect("discount of one", share.discount, 200 + 7);
	expect("tax of one", share.tax, 342);
	expect("goods of one", order_share_goods(&share), 2135);
	expect("shipping with the first, the fee by units", share.charges, 533);
	order_share_of_lines(&order, goods);
	expect("the first line's own", goods[0], 1993);
	expect("the second line's own", goods[1], 0);
	expect("no charges", order_share(&order, SHARE_CHARGES_NONE).charges, 0);
	expect("charges in proportion", order_share(&order, SHARE_CHARGES_PROPORTIONAL).charges, 100 + 33);
	expect("charges not before all", order_share(&order, SHARE_CHARGES_COMPLETE).charges, 0);
	lines[0].reached = 3;
	lines[0].items = 6000;
	lines[1].reached = 7;
	lines[1].items = 4000;
	share = order_share(&order, SHARE_CHARGES_COMPLETE);
	expect("all goods", order_share_goods(&share), 10000 - 1000 - 20 + 1710);
	expect("contained tax", share.included_tax, 700);
	expect("all charges", share.charges, 600);
	expect("all charges in proportion", order_share(&order, SHARE_CHARGES_PROPORTIONAL).charges, 600);
}

/* Units beyond those that an amount was agreed for do not raise it; nor do prices of a basis in thousandths. */
static void
test_beyond(void)
{
	ShareLine	line = {.units = 5,.all_items = 500,.reached = 2,.items = 200};
	ShareAdjustment adjustments[] = {{SHARE_TAX, 0, 90, 3, 1}, {SHARE_DISCOUNT, -1, 30, 300001, 1000}};
	ShareOrder	order = {&line, 1, adjustments, 2};

	expect("two of three", order_share(&order, SHARE_CHARGES_FIRST).tax, 60);
	expect("by price", order_share(&order, SHARE_CHARGES_FIRST).discount, 20);
	line.reached = 3;
	line.items = 300;
	expect("three of three", order_share(&order, SHARE_CHARGES_FIRST).tax, 90);
	line.reached = 4;
	line.items = 400;
	expect("four of three", order_share(&order, SHARE_CHARGES_FIRST).tax, 90);
	expect("beyond the price", order_share(&order, SHARE_CHARGES_FIRST).discount, 30);
}

/* Gifts: what was agreed for free items comes with the first of them, charges in proportion by units. */
static void
test_free(void)
{
	ShareLine	lines[] = {{.units = 1,.reached = 1}, {.units = 2}};
	ShareAdjustment adjustments[] = {{SHARE_TAX, -1, 300, 0, 1}, {SHARE_CHARGE, -1, 300, 0, 1}};
	ShareOrder	order = {lines, 2, adjustments, 2};

	expect("tax with the first gift", order_share(&order, SHARE_CHARGES_FIRST).tax, 300);
	expect("charges with the first gift", order_share(&order, SHARE_CHARGES_FIRST).charges, 300);
	expect("charges by units", order_share(&order, SHARE_CHARGES_PROPORTIONAL).charges, 100);
	lines[1].reached = 2;
	expect("tax with the last gift", order_share(&order, SHARE_CHARGES_FIRST).tax, 300);
	expect("charges of all", order_share(&order, SHARE_CHARGES_PROPORTIONAL).charges, 300);
	lines[0].reached = lines[1].reached = 0;
	expect("no gift", order_share(&order, SHARE_CHARGES_FIRST).tax, 0);
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

static int64_t
worth(const ShareOrder *order, ShareCharges charges)
{
	ShareAmounts share = order_share(order, charges);

	return order_share_goods(&share) + share.charges;
}

/* An order as it stands at the customer's: prices in thousandths of the smallest unit, units that went. */
typedef struct Model
{
	int64_t		prices[LINES_MAX];
	int32_t		units[LINES_MAX];
	ShareLine	lines[LINES_MAX];
	ShareAdjustment adjustments[3 * LINES_MAX];
	ShareOrder	order;
} Model;

/* amount * part / whole by long division, digit by digit: nothing of what is tested. */
static int64_t
plain_part(int64_t amount, int64_t part, int64_t whole)
{
	int64_t		quotient = 0;
	int64_t		rest = 0;
	int64_t		factor = amount < 0 ? -amount : amount;

	for (int bit = 62; bit >= 0; bit--)
	{
		quotient *= 2;
		rest *= 2;
		if ((factor >> bit) & 1)
			rest += part;
		quotient += rest / whole;
		rest %= whole;
	}
	quotient += rest * 2 >= whole;
	return amount < 0 ? -quotient : quotient;
}

/* What an order of so many units of each line costs, without any other. */
static int64_t
plain_cost(const Model *model, const int32_t *units)
{
	int64_t		items = 0;
	int64_t		all = 0;
	int64_t		cost;

	for (int i = 0; i < model->order.line_count; i++)
	{
		items += plain_part(model->prices[i], units[i], 1000);
		all += units[i];
	}
	cost = items;
	for (int i = 0; all > 0 && i < model->order.adjustment_count; i++)
	{
		const ShareAdjustment *one = &model->adjustments[i];
		int64_t		count = one->line >= 0 ? units[one->line] : items * one->basis_parts;
		int64_t		part = one->basis <= 0 ? (one->line >= 0 ? 0 : one->amount)
			: one->kind == SHARE_CHARGE && one->line < 0 ? one->amount
			: count > one->basis ? one->amount : plain_part(one->amount, count, one->basis);

		if (one->kind != SHARE_INCLUDED_TAX)
			cost += one->kind == SHARE_DISCOUNT ? -part : part;
	}
	return cost;
}

static void
reach(Model *model, int line, int32_t units)
{
	model->lines[line].reached = units;
	model->lines[line].items = plain_part(model->prices[line], units, 1000);
}

static void
make_model(Model *model)
{
	int64_t		items = 0;
	int			count = 0;

	memset(model, 0, sizeof(Model));
	model->order = (ShareOrder) {model->lines, 1 + (int) random_below(LINES_MAX), model->adjustments, 0};
	for (int i = 0; i < model->order.line_count; i++)
	{
		model->units[i] = model->lines[i].units = 1 + (int32_t) random_below(9);
		model->prices[i] = random_below(10) == 0 ? 0 : random_below(5000000);
		model->lines[i].all_items = plain_part(model->prices[i], model->units[i], 1000);
		items += model->lines[i].all_items;
		if (random_below(3) == 0)
			model->adjustments[count++] = (ShareAdjustment) {random_below(4), i, random_below(500), model->units[i] + random_below(3) - 1, 1};
	}
	for (int i = (int) random_below(5); i > 0; i--)
	{
		int64_t		parts = random_below(3) == 0 ? 1000 : 1;

		model->adjustments[count++] = (ShareAdjustment) {random_below(4), -1, random_below(3000),
		items * parts + (parts > 1 ? random_below(2000) - 1000 : 0), parts};
	}
	model->order.adjustment_count = count;
}

/*
 * The units of a random order go one by one in random order, and some of those
 * that have not gone are cancelled.  At each step what has gone costs what an
 * order of it alone costs; so cancelling changes nothing, and in the end what
 * was taken step by step is the price of what is left.
 */
static void
test_random(void)
{
	static Model model;
	int32_t		gone[LINES_MAX] = {0};
	int64_t		taken = 0;
	int64_t		charges = 0;
	int			open = 0;

	make_model(&model);
	for (int i = 0; i < model.order.line_count; i++)
		open += model.units[i];
	for (; open > 0; open--)
	{
		int			line = (int) random_below(model.order.line_count);

		while (gone[line] == model.units[line])
			line = (line + 1) % model.order.line_count;
		if (random_below(5) == 0)
		{
			model.lines[line].units = --model.units[line];
			model.lines[line].all_items = plain_part(model.prices[line], model.units[line], 1000);
			check_sum("cancelling changes nothing", worth(&model.order, SHARE_CHARGES_FIRST), taken);
			continue;
		}
		reach(&model, line, ++gone[line]);
		taken = worth(&model.order, SHARE_CHARGES_FIRST);
		check_sum("as if there were no others", taken, plain_cost(&model, gone));
	}
	check_sum("all is the total", taken, plain_cost(&model, model.units));
	check_sum("all in proportion", worth(&model.order, SHARE_CHARGES_PROPORTIONAL), taken);
	check_sum("all with the last", worth(&model.order, SHARE_CHARGES_COMPLETE), taken);
	charges = order_share(&model.order, SHARE_CHARGES_FIRST).charges;
	check_sum("goods without charges", worth(&model.order, SHARE_CHARGES_NONE), taken - charges);
}

int
main(void)
{
	test_round();
	test_spread();
	test_order();
	test_beyond();
	test_free();
	for (int i = 0; i < 2000; i++)
		test_random();
	printf("%d checks, %d failed\n", checks, failures);
	return failures > 0;
}
