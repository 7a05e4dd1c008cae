/*
 * routing_value.c
 *	  What counts beside handling and shipping: how full a day is, what units
 *	  are worth where they are, and which lines stay together.
 */
#include "oms.h"

#include <math.h>

#include "utils/memutils.h"

#include "calendar.h"
#include "capacity.h"
#include "routing_gather.h"
#include "scarcity.h"
#include "unit_value.h"

/* Units that last longer than this many days, or sell no more, count like this. */
#define SUPPLY_DAYS_MAX 3650

static bool
is_same_policy(const Gathering *gathering)
{
	return gathering->past && gathering->past->policy_id == gathering->policy->policy_id;
}

/* The candidate that a candidate was in the decision that is made again; -1: none. */
static int
past_candidate(const Gathering *gathering, int candidate)
{
	return Max(-1, gathering->past_kind[gathering->location_of[candidate]]);
}

/* ---- What stays together ---- */

static bool
is_kept(const Gathering *gathering, const RoutingLine *line, int *number)
{
	const RoutingPolicy *policy = gathering->policy;

	for (int i = 0; line->item_group && i < policy->keep_count; i++)
		if (strcmp(policy->keep[i], line->item_group) == 0)
		{
			*number = i;
			return true;
		}
	return false;
}

static void
join(int32 *bundles, int count, int32 from, int32 to)
{
	for (int i = 0; i < count; i++)
		if (bundles[i] == from)
			bundles[i] = to;
}

/*
 * Numbers the lines that stay together, because the order says so or the
 * policy keeps their group of items together; a line in both joins them.
 */
static int32 *
name_bundles(const Gathering *gathering)
{
	const RoutingRequest *request = gathering->request;
	bool		kept = gathering->policy->keep_count > 0 && oms_routing_holds(gathering, RULE_KEEP_TOGETHER);
	int32	   *bundles = palloc(sizeof(int32) * Max(1, request->line_count));
	bool		any = false;
	int			number;

	for (int i = 0; i < request->line_count; i++)
	{
		bundles[i] = request->lines[i].together > 0 ? request->lines[i].together : -1;
		any |= bundles[i] >= 0;
	}
	for (int i = 0; kept && i < request->line_count; i++)
	{
		int32		bundle;

		if (!is_kept(gathering, &request->lines[i], &number))
			continue;
		/* above all numbers that the order gives */
		bundle = PG_INT32_MAX / 2 + number;
		if (bundles[i] >= 0)
			join(bundles, request->line_count, bundles[i], bundle);
		bundles[i] = bundle;
		any = true;
	}
	return any ? bundles : NULL;
}

/* Small numbers make small records. */
static int32 *
number_bundles(const int32 *bundles, int count)
{
	int32	   *numbers = palloc(sizeof(int32) * Max(1, count));
	int32		next = 0;

	for (int i = 0; i < count; i++)
	{
		int			first = 0;

		while (bundles[first] != bundles[i])
			first++;
		numbers[i] = bundles[i] < 0 ? -1 : first < i ? numbers[first] : next++;
	}
	return numbers;
}

void
oms_routing_bundle(Gathering *gathering)
{
	RoutingDecision *decision = gathering->decision;
	int			count = gathering->request->line_count;
	int32	   *bundles;

	if (is_same_policy(gathering))
		decision->asked_bundles = gathering->past->asked_bundles;
	else
	{
		if (gathering->past && gathering->policy->keep_count > 0)
			gathering->lacked |= LACKED_TERMS;
		bundles = name_bundles(gathering);
		decision->asked_bundles = bundles ? number_bundles(bundles, count) : NULL;
	}
	if (decision->asked_bundles)
		decision->bundles = palloc(sizeof(int32) * Max(1, count));
}

/* ---- Load ---- */

/* What a package costs more where so much of a day is taken already; below zero: nobody knows. */
static int64
load_cost(const RoutingPolicy *policy, double load)
{
	if (load <= policy->load_threshold)
		return 0;
	return (int64) llround(policy->load_cost * pow(load, policy->load_exponent));
}

void
oms_routing_price_load(Gathering *gathering)
{
	const RoutingRequest *request = gathering->request;
	RoutingDecision *decision = gathering->decision;

	if (gathering->policy->load_cost == 0)
		return;
	decision->load_costs = palloc0(sizeof(int64) * Max(1, decision->location_count));
	gathering->lacked |= gathering->past && !is_same_policy(gathering) ? LACKED_TERMS : 0;
	for (int j = 0; j < decision->location_count; j++)
	{
		const Site *site = gathering->past ? NULL : oms_dates_site(decision->location_ids[j]);
		int			before = is_same_policy(gathering) ? past_candidate(gathering, j) : -1;

		if (site)
			decision->load_costs[j] = load_cost(gathering->policy, oms_capacity_load(request->capacity, site,
																					oms_dates_local_day(site, request->ordered_at)));
		else if (before >= 0 && gathering->past->load_costs)
			decision->load_costs[j] = gathering->past->load_costs[before];
	}
}

/* ---- Units ---- */

static int64 *
new_cells(const RoutingDecision *decision)
{
	return MemoryContextAllocExtended(CurrentMemoryContext,
									  sizeof(int64) * Max(1, (Size) decision->line_count * decision->location_count),
									  MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

/* What the past decision counted for the same line and place; what it did not ask for is nothing. */
static int64 *
past_unit_term(const Gathering *gathering, UnitTerm term)
{
	const RoutingDecision *past = gathering->past;
	const RoutingDecision *decision = gathering->decision;
	int64	   *amounts;

	if (past->unit_terms[term] == NULL)
		return NULL;
	amounts = new_cells(decision);
	for (int i = 0; i < decision->line_count; i++)
	{
		int			line = oms_routing_line_of_item(past, decision->item_ids[i]);

		for (int j = 0; line >= 0 && j < decision->location_count; j++)
		{
			int			candidate = past_candidate(gathering, j);

			if (candidate >= 0)
				amounts[(Size) i * decision->location_count + j] =
					past->unit_terms[term][(Size) line * past->location_count + candidate];
		}
	}
	return amounts;
}

static int64 *
weigh(const RoutingDecision *decision, int64 *amounts, double weight)
{
	for (Size i = 0; amounts && i < (Size) decision->line_count * decision->location_count; i++)
		amounts[i] = oms_weighted(amounts[i], weight);
	return amounts;
}

/* Free units of a line of the problem at a candidate, whatever the policy makes of them. */
static int32
free_units(const Gathering *gathering, int item_line, int candidate)
{
	const RoutingRequest *request = gathering->request;

	return request->free[(Size) item_line * request->location_count + gathering->location_of[candidate]];
}

/* The request's line with the item of a line of the problem. */
static int
asked_line(const Gathering *gathering, int line)
{
	const RoutingRequest *request = gathering->request;
	int			asked = 0;

	while (request->lines[asked].item_id != gathering->decision->item_ids[line])
		asked++;
	return asked;
}

/* The fewer are free, compared with where most are, the more a unit costs. */
static int64 *
price_stock(const Gathering *gathering)
{
	const RoutingDecision *decision = gathering->decision;
	int64	   *amounts = new_cells(decision);

	for (int i = 0; i < decision->line_count; i++)
	{
		int			asked = asked_line(gathering, i);
		int32		most = 1;

		for (int j = 0; j < decision->location_count; j++)
			most = Max(most, free_units(gathering, asked, j));
		for (int j = 0; j < decision->location_count; j++)
			amounts[(Size) i * decision->location_count + j] =
				(int64) llround(gathering->policy->stock_cost * (1 - (double) free_units(gathering, asked, j) / most));
	}
	return amounts;
}

/* Days that the free units of a line last at a candidate, by what is sold there a week. */
static double
supply_days(const Gathering *gathering, const int64 *sales, int line, int asked, int candidate)
{
	int64		sold = sales ? sales[(Size) line * gathering->decision->location_count + candidate] : 0;

	if (sold == 0)
		return SUPPLY_DAYS_MAX;
	return Min(SUPPLY_DAYS_MAX, free_units(gathering, asked, candidate) * 7000.0 / sold);
}

/* The fewer weeks they last, of those that are enough, the more a unit costs. */
static int64 *
price_supply(const Gathering *gathering, const int64 *sales)
{
	const RoutingDecision *decision = gathering->decision;
	int64	   *amounts = new_cells(decision);

	for (int i = 0; i < decision->line_count; i++)
	{
		int			asked = asked_line(gathering, i);

		for (int j = 0; j < decision->location_count; j++)
		{
			double		weeks = supply_days(gathering, sales, i, asked, j) / 7;

			amounts[(Size) i * decision->location_count + j] =
				(int64) llround(gathering->policy->supply_cost * Max(0, 1 - weeks / gathering->policy->supply_weeks));
		}
	}
	return amounts;
}

static int64 *
read_sales(const Gathering *gathering)
{
	const RoutingDecision *decision = gathering->decision;

	return oms_sales_rates_read(decision->item_ids, decision->line_count, decision->location_ids, decision->location_count);
}

static void
price_values(Gathering *gathering)
{
	const RoutingPolicy *policy = gathering->policy;
	RoutingDecision *decision = gathering->decision;
	int64	   *costs;
	int64	   *markdowns;

	oms_unit_values_read(decision->item_ids, decision->line_count, decision->location_ids, decision->location_count, &costs,
						 &markdowns);
	if (policy->margin_weight > 0)
		decision->unit_terms[UNIT_MARGIN] = weigh(decision, costs, policy->margin_weight);
	if (policy->markdown_weight > 0)
		decision->unit_terms[UNIT_MARKDOWN] = weigh(decision, markdowns, -policy->markdown_weight);
}

/* What a unit costs beyond its handling, by each term that the policy counts. */
void
oms_routing_price_units(Gathering *gathering)
{
	const RoutingPolicy *policy = gathering->policy;
	RoutingDecision *decision = gathering->decision;
	bool		recorded = is_same_policy(gathering);

	for (int i = 0; recorded && i < UNIT_TERM_COUNT; i++)
		decision->unit_terms[i] = past_unit_term(gathering, i);
	if (recorded || decision->line_count == 0 || decision->location_count == 0)
		return;
	if (policy->scarcity_weight > 0)
		decision->unit_terms[UNIT_SCARCITY] =
			weigh(decision, oms_scarcity_read(decision->item_ids, decision->line_count, decision->location_ids,
											  decision->location_count, gathering->request->ordered_at - policy->scarcity_max_age),
				  policy->scarcity_weight);
	if (policy->margin_weight > 0 || policy->markdown_weight > 0)
		price_values(gathering);
	if (policy->stock_cost > 0)
		decision->unit_terms[UNIT_STOCK] = price_stock(gathering);
	if (policy->supply_cost > 0)
		decision->unit_terms[UNIT_SUPPLY] = price_supply(gathering, read_sales(gathering));
	if (gathering->past && (policy->margin_weight > 0 || policy->markdown_weight > 0 || policy->stock_cost > 0 ||
							policy->supply_cost > 0))
		gathering->lacked |= LACKED_TERMS;
}

/* ---- Ranking by what is there ---- */

/* How many of the order's units are free, over all its lines. */
static int64
total_free(const Gathering *gathering, int candidate)
{
	int64		units = 0;

	for (int i = 0; i < gathering->decision->line_count; i++)
		units += free_units(gathering, asked_line(gathering, i), candidate);
	return units;
}

/* Days that the first of the order's items to run out lasts there. */
static int64
least_days(const Gathering *gathering, const int64 *sales, int candidate)
{
	double		least = SUPPLY_DAYS_MAX;

	for (int i = 0; i < gathering->decision->line_count; i++)
	{
		int			asked = asked_line(gathering, i);

		if (free_units(gathering, asked, candidate) > 0)
			least = Min(least, supply_days(gathering, sales, i, asked, candidate));
	}
	return (int64) floor(least);
}

/* A ranking makes numbers small: how much less there is than where there is most. */
static void
turn_round(int64 *values, int count)
{
	int64		most = 0;

	for (int j = 0; j < count; j++)
		most = Max(most, values[j]);
	for (int j = 0; j < count; j++)
		values[j] = most - values[j];
}

static int64 *
rank_values(Gathering *gathering, int term)
{
	const RoutingDecision *decision = gathering->decision;
	RankingSource source = gathering->policy->terms[term].source;
	bool		recorded = is_same_policy(gathering) && gathering->past->term_count > term;
	int64	   *values = palloc0(sizeof(int64) * Max(1, decision->location_count));
	int64	   *sales = source == RANKING_SUPPLY && !recorded ? read_sales(gathering) : NULL;

	for (int j = 0; j < decision->location_count; j++)
		if (recorded)
			values[j] = past_candidate(gathering, j) >= 0 ? gathering->past->terms[term].value[past_candidate(gathering, j)] : 0;
		else
			values[j] = source == RANKING_STOCK ? total_free(gathering, j) : least_days(gathering, sales, j);
	if (!recorded)
	{
		gathering->lacked |= gathering->past ? LACKED_TERMS : 0;
		turn_round(values, decision->location_count);
	}
	return values;
}

/* Gives terms by what a location has their numbers. */
void
oms_routing_rank(Gathering *gathering)
{
	RoutingDecision *decision = gathering->decision;

	for (int i = 0; i < decision->term_count; i++)
		if (decision->terms[i].kind == ROUTE_TERM_VALUE)
			decision->terms[i].value = rank_values(gathering, i);
}
