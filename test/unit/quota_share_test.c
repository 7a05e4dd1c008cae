/* sources: src/quota_share.c */
/*
 * quota_share_test.c
 *	  Shares of a whole: known values, and random trees, whose parts must add up
 *	  to the unit and whose draws must be those of every set of channels tried.
 */
#include "../../src/quota_share.h"

#include <stdio.h>
#include <string.h>

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

static QuotaShare
share(int parent, QuotaShareKind kind, int64_t amount)
{
	return (QuotaShare) {.parent = parent,.rank = 100,.kind = kind,.amount = amount};
}

static void
test_divide(void)
{
	QuotaShare	tree[] = {share(-1, QUOTA_SHARE_NONE, -1), share(0, QUOTA_SHARE_UNITS, 3), share(0, QUOTA_SHARE_PERCENT, 500000),
	share(0, QUOTA_SHARE_RATIO, 2), share(0, QUOTA_SHARE_RATIO, 1), share(2, QUOTA_SHARE_PERCENT, 333333), share(2, QUOTA_SHARE_NONE, 0)};

	quota_shares_divide(tree, 7, 11);
	expect("units", tree[1].part, 3);
	expect("half of eleven", tree[2].part, 5);
	expect("two of three", tree[3].part, 2);
	expect("one of three", tree[4].part, 1);
	expect("nothing is left", tree[0].own, 0);
	expect("a third of five", tree[5].part, 1);
	expect("the rest of five", tree[2].own, 4);
	tree[2].ended = tree[3].ended = true;
	quota_shares_divide(tree, 7, 11);
	expect("what ended falls back", tree[0].own, 7);
	expect("with what is below it", tree[5].part, 0);
	expect("and nobody else gets it", tree[4].part, 1);
	tree[0].amount = 4;
	quota_shares_divide(tree, 7, 11);
	expect("more than planned is for all", tree[0].own, 8);
	quota_shares_divide(tree, 7, -5);
	expect("nothing", tree[0].own + tree[1].part, 0);
}

static void
test_rounding(void)
{
	QuotaShare	tree[] = {share(-1, QUOTA_SHARE_NONE, -1), share(0, QUOTA_SHARE_PERCENT, 333333), share(0, QUOTA_SHARE_PERCENT, 333333),
	share(0, QUOTA_SHARE_PERCENT, 333334)};
	QuotaShare	large[] = {share(-1, QUOTA_SHARE_NONE, -1), share(0, QUOTA_SHARE_RATIO, QUOTA_RATIO_MAX), share(0, QUOTA_SHARE_RATIO, 1)};

	quota_shares_divide(tree, 4, 100);
	expect("largest remainder", tree[3].part, 34);
	expect("nothing lost", tree[0].own, 0);
	quota_shares_divide(tree, 4, 101);
	expect("then the first of equal ones", tree[1].part, 34);
	tree[2].rank = 1;
	quota_shares_divide(tree, 4, 101);
	expect("or the better rank", tree[2].part, 34);
	quota_shares_divide(large, 3, INT64_MAX);
	expect("the largest whole", large[1].part + large[2].part, QUOTA_WHOLE_MAX);
}

static void
test_draw(void)
{
	/* A pool of 4 with two channels of 3 and 1, and a lender of 2. */
	QuotaShare	tree[] = {share(-1, QUOTA_SHARE_NONE, -1), share(0, QUOTA_SHARE_UNITS, 8), share(1, QUOTA_SHARE_UNITS, 3),
	share(1, QUOTA_SHARE_UNITS, 1), share(0, QUOTA_SHARE_UNITS, 2)};
	QuotaDraw	draw;

	tree[4].lends = true;
	tree[2].rank = 10;
	quota_shares_divide(tree, 5, 11);
	expect("all that may be drawn", quota_shares_draw(tree, 5, 2, &draw), 3 + 4 + 1 + 2);
	expect("its own", draw.own, 3);
	expect("those above", draw.above, 5);
	expect("lent", draw.lower, 2);
	expect("equal ranks lend nothing", quota_shares_draw(tree, 5, 3, &draw), 1 + 4 + 1);
	expect("who is not in the tree", quota_shares_draw(tree, 5, 0, &draw), 1);
	tree[2].used = 8;
	expect("the pool is used up", quota_shares_draw(tree, 5, 3, &draw), 1 + 1 + 2 - 1);
	expect("the lender has its own while others do without", quota_shares_draw(tree, 5, 4, &draw), 2);
	tree[3].used = 2;
	expect("and gives way where they cannot", quota_shares_draw(tree, 5, 4, &draw), 1);
	tree[2].used = 20;
	expect("overdrawn", quota_shares_draw(tree, 5, 2, &draw), 0);
	expect("and nobody pays for it twice", quota_shares_draw(tree, 5, 4, &draw), 0);
}

/* ---- Every set of channels ---- */

#define NODES_MAX 9

static unsigned seed = 7;

static int
up_to(int most)
{
	seed = seed * 1103515245u + 12345u;
	return (int) ((seed >> 8) % (unsigned) (most + 1));
}

static bool
may_draw(const QuotaShare *tree, int channel, int node)
{
	for (int i = channel; i >= 0; i = tree[i].parent)
		if (i == node)
			return true;
	return channel > 0 && node > 0 && tree[node].lends && tree[node].rank > tree[channel].rank;
}

/*
 * The most units that can be laid: for every set of channels, those outside it
 * bring at most what they use, those inside at most what their shares have.
 */
static int64_t
most_laid(const QuotaShare *tree, int count, const int64_t *used)
{
	int64_t		most = INT64_MAX;

	for (int set = 0; set < 1 << count; set++)
	{
		int64_t		bound = 0;

		for (int i = 0; i < count; i++)
		{
			bool		reached = false;

			for (int j = 0; j < count; j++)
				reached |= (set >> j & 1) && may_draw(tree, j, i);
			bound += (reached ? tree[i].own : 0) + (set >> i & 1 ? 0 : used[i]);
		}
		most = bound < most ? bound : most;
	}
	return most;
}

static void
check_tree(const QuotaShare *tree, int count, int64_t whole)
{
	int64_t		used[NODES_MAX];
	int64_t		sum = 0;
	QuotaDraw	draw;

	for (int i = 0; i < count; i++)
	{
		used[i] = tree[i].used;
		sum += tree[i].own;
		expect("no share is negative", tree[i].own >= 0 && tree[i].part >= 0, 1);
	}
	expect("the shares are the whole", sum, whole);
	for (int i = 0; i < count; i++)
	{
		int64_t		before = most_laid(tree, count, used);
		int64_t		after;

		used[i] += 1000000;
		after = most_laid(tree, count, used);
		used[i] -= 1000000;
		expect("a draw", quota_shares_draw(tree, count, i, &draw), after - before);
		expect("by where it comes from", draw.own >= 0 && draw.above >= 0 && draw.lower >= 0, 1);
	}
}

/* A random tree whose siblings come to at most a hundred percent. */
static int
make_tree(QuotaShare *tree)
{
	int			count = 1 + up_to(NODES_MAX - 1);
	int64_t		percents[NODES_MAX] = {0};

	for (int i = 0; i < count; i++)
	{
		tree[i] = share(i == 0 ? -1 : up_to(i - 1), QUOTA_SHARE_NONE, -1);
		tree[i].used = up_to(2) == 0 ? 0 : up_to(9);
		if (i == 0)
		{
			tree[0].amount = up_to(2) == 0 ? up_to(40) : -1;
			continue;
		}
		tree[i].rank = up_to(3);
		tree[i].lends = up_to(2) == 0;
		tree[i].ended = up_to(6) == 0;
		tree[i].kind = (QuotaShareKind) up_to(3);
		tree[i].amount = tree[i].kind == QUOTA_SHARE_UNITS ? up_to(9) : 1 + up_to(5);
		if (tree[i].kind == QUOTA_SHARE_PERCENT)
		{
			tree[i].amount = up_to((int) (QUOTA_PERCENT_WHOLE - percents[tree[i].parent]));
			percents[tree[i].parent] += tree[i].amount;
		}
	}
	return count;
}

int
main(void)
{
	test_divide();
	test_rounding();
	test_draw();
	for (int i = 0; i < 1500; i++)
	{
		QuotaShare	tree[NODES_MAX];
		int			count = make_tree(tree);
		int64_t		whole = up_to(50);

		quota_shares_divide(tree, count, whole);
		check_tree(tree, count, whole);
	}
	printf("quota_share: %d checks, %d failed\n", checks, failures);
	return failures > 0;
}
