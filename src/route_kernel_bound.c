/*
 * route_kernel_bound.c
 *	  The bound that follows from a certificate, and verifying a result by it.
 */
#include "route_kernel_work.h"

#include <string.h>

/* ----------------------------------------------------------------
 *		The bound that follows from a certificate
 *
 * This reads the problem as it was given, all locations included, and knows
 * nothing of scan, work or search.
 * ----------------------------------------------------------------
 */

/* Units of the line that one package from the location can take. */
static int64_t
certificate_units(const RouteProblem *problem, int32_t l, int32_t i)
{
	const RouteTariff *tariff = location_tariff(problem, i);
	int64_t		weight = line_weight(problem, l);
	int64_t		units = problem->stock[(size_t) l * problem->location_count
									   + i];

	units = Min(units, (int64_t) problem->quantity[l]);
	if (tariff != NULL && weight > 0)
		units = Min(units, tariff->limit_grams[tariff->step_count - 1]
					/ weight);
	return line_whole(problem, l) && units < problem->quantity[l] ? 0 : units;
}

/* The line's item at the location; false when it pays nothing there. */
static bool
certificate_item(const Certificate *c, int32_t l, int32_t i, Item *item)
{
	const RouteProblem *problem = c->problem;
	size_t		cell = (size_t) l * problem->location_count + i;
	int64_t		quantity = problem->quantity[l];
	int64_t		units = certificate_units(problem, l, i);
	int64_t		weight = line_weight(problem, l);

	if (units <= 0)
		return false;
	if (c->result->dual_whole[l])
	{
		item->profit = c->duals[l]
			- problem->unit_cost[cell] * quantity * c->scale;
		item->weight = weight * quantity;
		item->pieces = 1;
	}
	else
	{
		item->profit = c->duals[l]
			- problem->unit_cost[cell] * c->scale;
		item->weight = weight;
		item->pieces = units;
	}
	return item->profit > 0;
}

/*
 * Can a plan worth having serve the line there?  Not when that is dearer than
 * leaving it out.
 */
static bool
certificate_worth(const Certificate *c, int32_t l, int32_t i)
{
	const RouteProblem *problem = c->problem;
	size_t		cell = (size_t) l * problem->location_count + i;

	return problem->stock[cell] > 0 &&
		(line_must(problem, l) || c->every_plan ||
		 problem->unit_cost[cell] <= line_penalty(problem, l)) &&
		certificate_units(problem, l, i) > 0;
}

/*
 * Would any plan worth having use the location?  If so, find the steps that
 * its packages can reach: from the lightest piece to everything together.
 */
static bool
certificate_useful(Certificate *c, int32_t i)
{
	const RouteProblem *problem = c->problem;
	const RouteTariff *tariff = location_tariff(problem, i);
	int64_t		lightest = INT64_MAX;
	int64_t		heaviest = 0;
	int32_t		l;

	for (l = 0; l < problem->line_count; l++)
	{
		int64_t		weight = line_weight(problem, l);

		if (!certificate_worth(c, l, i))
			continue;
		heaviest += weight * certificate_units(problem, l, i);
		if (line_whole(problem, l))
			weight *= problem->quantity[l];
		if (weight < lightest)
			lightest = weight;
	}
	if (lightest == INT64_MAX)
		return false;
	if (tariff == NULL)
		return true;
	for (c->step_low = 0; tariff->limit_grams[c->step_low] < lightest;)
		c->step_low++;
	for (c->step_high = c->step_low; c->step_high < tariff->step_count - 1 &&
		 tariff->limit_grams[c->step_high] < heaviest;)
		c->step_high++;
	return true;
}

/* Least of package cost minus profits over all sets of items, exactly. */
static int64_t
certificate_pack(const Certificate *c, const RouteTariff *tariff, int32_t count)
{
	int64_t		least = INT64_MAX;
	uint32_t	set;

	for (set = 0; set < (uint32_t) 1 << count; set++)
	{
		int64_t		weight = 0;
		int64_t		profit = 0;
		int32_t		step;
		int32_t		k;

		for (k = 0; k < count; k++)
			if (set & ((uint32_t) 1 << k))
			{
				weight += c->items[k].weight;
				profit += c->items[k].profit;
			}
		step = Max(tariff_step(tariff, weight), c->step_low);
		if (step < tariff->step_count)
			least = Min(least, tariff->cost[step] * c->scale
						- profit);
	}
	return least;
}

/* The same bound with a price per gram instead of the steps. */
static int64_t
certificate_at_slope(const Certificate *c, const RouteTariff *tariff,
					 int32_t count, int64_t slope)
{
	int64_t		least = INT64_MAX;
	int32_t		k;

	for (k = c->step_low; k <= c->step_high; k++)
		least = Min(least, tariff->cost[k] * c->scale
					- slope * tariff->limit_grams[k]);
	for (k = 0; k < count; k++)
	{
		int64_t		left = c->items[k].profit - slope * c->items[k].weight;

		if (left > 0)
			least -= left * c->items[k].pieces;
	}
	return least;
}

/* Its maximum over slopes: the function is concave, so search by halves. */
static int64_t
certificate_slope(const Certificate *c, const RouteTariff *tariff,
				  int32_t count)
{
	int64_t		limit = tariff->limit_grams[tariff->step_count - 1];
	int64_t		low = 0;
	int64_t		high = SCALED_MAX / 4 / Max(limit, 1);

	while (low < high)
	{
		int64_t		middle = low + (high - low) / 2;

		if (certificate_at_slope(c, tariff, count, middle + 1) >
			certificate_at_slope(c, tariff, count, middle))
			low = middle + 1;
		else
			high = middle;
	}
	return certificate_at_slope(c, tariff, count, low);
}

void
kernel_certificate_slack(Certificate *c)
{
	const RouteProblem *problem = c->problem;
	int32_t		i;

	for (i = 0; i < problem->location_count; i++)
	{
		const RouteTariff *tariff = location_tariff(problem, i);
		int64_t		slack = location_fixed(problem, i)
			* c->scale;
		int32_t		count = 0;
		int32_t		l;

		if (c->excluded[i] || !certificate_useful(c, i))
		{
			c->excluded[i] = true;
			continue;
		}
		for (l = 0; l < problem->line_count; l++)
		{
			Item	   *item = &c->items[count];

			if (!certificate_item(c, l, i, item))
				continue;
			if (tariff == NULL)
				slack -= item->profit * item->pieces;
			else
				count++;
		}
		if (tariff != NULL)
			slack += c->pack && count <= ROUTE_VERIFY_PACK_LINES
				? certificate_pack(c, tariff, count)
				: certificate_slope(c, tariff, count);
		c->slack[i] = slack;
	}
}

/*
 * Bound for plans whose latest location is exactly days late, from the slack
 * of the locations: every unit pays its price, each location at most gives
 * its negative slack back, at most packages_max of them do, and one location
 * of these days is used.  INT64_MAX when no location has these days.
 */
static int64_t
certificate_days(Certificate *c, int32_t days)
{
	const RouteProblem *problem = c->problem;
	int64_t		sum = late_price(problem, days) * c->scale;
	int64_t		forced = INT64_MAX;
	int32_t		count = 0;
	int32_t		i;

	for (i = 0; i < problem->location_count; i++)
	{
		if (c->excluded[i] || location_days(problem, i) > days)
			continue;
		if (location_days(problem, i) == days)
			forced = Min(forced, Max(c->slack[i], 0));
		if (c->slack[i] >= 0)
			continue;
		c->order[count].cost = c->slack[i];
		c->order[count].location = i;
		count++;
	}
	if (forced == INT64_MAX)
		return INT64_MAX;
	if (problem->packages_max > 0 && count > problem->packages_max)
	{
		entry_sort(c->order, count);
		count = problem->packages_max;
	}
	for (i = 0; i < count; i++)
		sum += c->order[i].cost;
	for (i = 0; i < problem->line_count; i++)
		sum += c->duals[i] * (c->result->dual_whole[i] ? 1
							  : problem->quantity[i]);
	return sum + forced;
}

/* Prices above the penalty would not be a bound; below zero is harmless. */
static bool
certificate_prices_valid(const Certificate *c)
{
	int32_t		l;

	for (l = 0; l < c->problem->line_count; l++)
		if (!line_must(c->problem, l) && c->duals[l] >
			line_penalty(c->problem, l) * c->scale *
			(c->result->dual_whole[l] ? c->problem->quantity[l] : 1))
			return false;
	return true;
}

/* Cost of leaving everything out, or INT64_MAX where that is not allowed. */
static int64_t
empty_plan_cost(const RouteProblem *problem)
{
	int64_t		sum = 0;
	int32_t		l;

	for (l = 0; l < problem->line_count; l++)
	{
		if (line_must(problem, l))
			return INT64_MAX;
		sum += line_penalty(problem, l) * problem->quantity[l];
	}
	return sum;
}

bool
kernel_certificate_begin(Certificate *c, const RouteProblem *problem, Arena *arena,
				  const RouteResult *result)
{
	int32_t		l;

	c->problem = problem;
	c->result = result;
	c->items = TAKE(arena, Item, problem->line_count);
	c->slack = TAKE(arena, int64_t, problem->location_count);
	c->excluded = TAKE_ZEROED(arena, bool, problem->location_count);
	c->order = TAKE(arena, Entry, problem->location_count);
	c->pack = true;
	c->every_plan = false;
	for (l = 0; l < problem->line_count; l++)
		if (!result->dual_whole[l])
			c->pack = false;
	return !arena->failed;
}

/*
 * Exclude the locations which the first prices show to be in no plan as
 * cheap as the result.
 */
static void
certificate_exclude(Certificate *c)
{
	const RouteProblem *problem = c->problem;
	int64_t		bound = 0;
	int32_t		i;

	c->duals = c->result->first_prices;
	c->scale = 1;
	if (!certificate_prices_valid(c))
		return;
	kernel_certificate_slack(c);
	for (i = 0; i < problem->line_count; i++)
		bound += c->duals[i] * (c->result->dual_whole[i] ? 1
								: problem->quantity[i]);
	for (i = 0; i < problem->location_count; i++)
		if (!c->excluded[i])
			bound += Min(c->slack[i], 0);
	for (i = 0; i < problem->location_count; i++)
		c->excluded[i] |= bound + Max(c->slack[i], 0)
			+ late_price(problem, location_days(problem, i))
			> c->result->cost;
}

/*
 * The certificate's bound: every plan costs at least this, or more than the
 * result does.  Each number of days late is bounded with the prices of the
 * first level that includes it, or of the last.  INT64_MIN when the
 * certificate is not valid.
 */
static int64_t
certificate_bound(const RouteProblem *problem, Arena *arena,
				  const RouteResult *result)
{
	Certificate c;
	int64_t		bound = Min(empty_plan_cost(problem), result->cost);
	int32_t		days = 0;
	int32_t		last = 0;
	int32_t		level;
	int32_t		i;

	if (result->level_count < 1 || result->dual_scale < 1 ||
		!kernel_certificate_begin(&c, problem, arena, result))
		return INT64_MIN;
	certificate_exclude(&c);
	c.scale = result->dual_scale;
	for (i = 0; i < problem->location_count; i++)
		last = Max(last, location_days(problem, i));
	for (level = 0; level < result->level_count; level++)
	{
		int32_t		until = level == result->level_count - 1 ? last
			: Min(result->level_days[level], last);

		c.duals = result->duals + (size_t) level * problem->line_count;
		if (!certificate_prices_valid(&c))
			return INT64_MIN;
		kernel_certificate_slack(&c);
		for (; days <= until; days++)
		{
			int64_t		here = certificate_days(&c, days);

			if (here != INT64_MAX)
				bound = Min(bound, -floor_div(-here, c.scale));
		}
	}
	return bound;
}

/* ----------------------------------------------------------------
 *		route_verify
 * ----------------------------------------------------------------
 */

/* Whether a line comes from no more locations than it may. */
static bool
verify_places(const RouteProblem *problem, const RouteResult *result, int32_t l)
{
	int32_t		places = 0;
	int32_t		s;

	if (problem->places_max == NULL || problem->places_max[l] == 0)
		return true;
	for (s = 0; s < result->share_count; s++)
		if (result->shares[s].line == l &&
			(problem->line_cost == NULL ||
			 problem->line_cost[(size_t) l * problem->location_count + result->shares[s].location] >= 0))
			places++;
	return places <= problem->places_max[l];
}

/* Shares in order, within stock and quantity, whole where they must be. */
static bool
verify_shares(const RouteProblem *problem, const RouteResult *result,
			  int64_t *served)
{
	int32_t		n = problem->line_count;
	int32_t		m = problem->location_count;
	int64_t		left_out = 0;
	int32_t		s;
	int32_t		l;

	for (s = 0; s < result->share_count; s++)
	{
		const RouteShare *share = &result->shares[s];
		const RouteShare *last = s > 0 ? share - 1 : NULL;

		if (share->line < 0 || share->line >= n || share->location < 0 ||
			share->location >= m || share->units < 1 ||
			share->units > problem->stock[(size_t) share->line * m
										  + share->location])
			return false;
		if (last != NULL && (last->location > share->location ||
							 (last->location == share->location &&
							  last->line >= share->line)))
			return false;
		if (line_whole(problem, share->line) &&
			share->units != problem->quantity[share->line])
			return false;
		served[share->line] += share->units;
	}
	for (l = 0; l < n; l++)
	{
		if (result->unassigned[l] < 0 ||
			served[l] + result->unassigned[l] != problem->quantity[l] ||
			(result->unassigned[l] > 0 && line_must(problem, l)) ||
			(!line_whole(problem, l) && !verify_places(problem, result, l)))
			return false;
		left_out += result->unassigned[l];
	}
	return left_out == result->units_unassigned;
}

/* Re-add one package from its shares; moves *next past them. */
static bool
verify_package(const RouteProblem *problem, const RouteResult *result,
			   const RoutePackage *package, int32_t *next, bool *fits)
{
	const RouteTariff *tariff;
	int64_t		units = 0;
	int64_t		weight = 0;
	int64_t		cost = 0;
	int64_t		line_cost = 0;
	int64_t		tariff_cost = 0;

	for (; *next < result->share_count &&
		 result->shares[*next].location == package->location; (*next)++)
	{
		const RouteShare *share = &result->shares[*next];

		units += share->units;
		weight += share->units * line_weight(problem, share->line);
		cost += share->units * problem->unit_cost[(size_t) share->line *
												  problem->location_count
												  + share->location];
		if (problem->line_cost != NULL &&
			problem->line_cost[(size_t) share->line * problem->location_count + share->location] > 0)
			line_cost += problem->line_cost[(size_t) share->line * problem->location_count + share->location];
	}
	*fits = units > 0;
	if (units == 0)
		return false;
	tariff = location_tariff(problem, package->location);
	if (tariff != NULL)
	{
		int32_t		k = 0;

		while (k < tariff->step_count && tariff->limit_grams[k] < weight)
			k++;
		*fits = k < tariff->step_count;
		tariff_cost = *fits ? tariff->cost[k] : 0;
	}
	return package->units == units && package->weight_grams == weight &&
		package->unit_cost == cost && package->line_cost == line_cost &&
		package->tariff_cost == tariff_cost &&
		package->fixed_cost == problem->fixed_cost[package->location] &&
		package->late_cost == (problem->late_cost == NULL ? 0
							   : problem->late_cost[package->location]);
}

static RouteVerify
verify_packages(const RouteProblem *problem, const RouteResult *result)
{
	RouteTerms	sum = {0};
	bool		terms_ok = true;
	int32_t		days = 0;
	int32_t		next = 0;
	int32_t		k;

	if (problem->packages_max > 0 &&
		result->package_count > problem->packages_max)
		return ROUTE_VERIFY_BAD_PLAN;
	for (k = 0; k < result->package_count; k++)
	{
		const RoutePackage *package = &result->packages[k];
		bool		fits;

		if (package->location < 0 ||
			package->location >= problem->location_count)
			return ROUTE_VERIFY_BAD_PLAN;
		terms_ok &= verify_package(problem, result, package, &next, &fits);
		if (!fits)
			return ROUTE_VERIFY_BAD_PLAN;
		sum.fixed += package->fixed_cost;
		sum.tariff += package->tariff_cost;
		sum.unit += package->unit_cost;
		sum.line += package->line_cost;
		sum.lateness += package->late_cost;
		if (location_days(problem, package->location) > days)
			days = location_days(problem, package->location);
	}
	if (next != result->share_count)
		return ROUTE_VERIFY_BAD_PLAN;
	if (result->package_count > 0)
		sum.lateness += late_price(problem, days);
	for (k = 0; k < problem->line_count; k++)
		sum.penalty += line_penalty(problem, k) * result->unassigned[k];
	if (!terms_ok || days != result->days_late ||
		sum.fixed != result->terms.fixed ||
		sum.tariff != result->terms.tariff ||
		sum.unit != result->terms.unit ||
		sum.line != result->terms.line ||
		sum.penalty != result->terms.penalty ||
		sum.lateness != result->terms.lateness ||
		sum.fixed + sum.tariff + sum.unit + sum.line + sum.penalty + sum.lateness
		!= result->cost)
		return ROUTE_VERIFY_BAD_TERMS;
	return ROUTE_VERIFY_OK;
}

/* Do status, flags, bound and gap agree with each other? */
static bool
verify_claims(const RouteResult *result)
{
	bool		has_bound = result->lower_bound != INT64_MIN;

	if (result->bad_input != NULL || result->reason != ROUTE_REASON_NONE ||
		result->reason_line != -1 || result->nodes < 0)
		return false;
	if (result->proven != (result->status == ROUTE_OPTIMAL) ||
		result->proven != (result->proof != ROUTE_PROOF_NONE))
		return false;
	if (has_bound ? result->lower_bound > result->cost ||
		result->gap != result->cost - result->lower_bound
		: result->gap != INT64_MAX)
		return false;
	if (result->dual_bound > result->lower_bound)
		return false;
	switch (result->proof)
	{
		case ROUTE_PROOF_NONE:
			return true;
		case ROUTE_PROOF_DUAL:
			return result->dual_bound == result->cost &&
				result->lower_bound == result->cost;
		case ROUTE_PROOF_ENUMERATION:
			return result->dual_bound < result->cost &&
				result->lower_bound == result->cost;
		case ROUTE_PROOF_LEXICOGRAPHIC:
			return !has_bound;
	}
	return false;
}

RouteVerify
route_verify(const RouteProblem *problem, const RouteControl *control,
			 const RouteResult *result)
{
	Arena		arena;
	int64_t    *served;
	RouteVerify found;

	if (result->status != ROUTE_OPTIMAL && result->status != ROUTE_FEASIBLE)
		return ROUTE_VERIFY_NO_PLAN;
	arena_begin(&arena, control);
	served = TAKE_ZEROED(&arena, int64_t, problem->line_count);
	if (served == NULL)
		return ROUTE_VERIFY_NO_PLAN;
	if (kernel_check_problem(problem) != NULL ||
		!verify_shares(problem, result, served))
		return ROUTE_VERIFY_BAD_PLAN;
	found = verify_packages(problem, result);
	if (found != ROUTE_VERIFY_OK)
		return found;
	if (!verify_claims(result))
		return ROUTE_VERIFY_BAD_BOUND;
	if (result->level_count > 0 || result->proof == ROUTE_PROOF_DUAL)
	{
		if (result->dual_bound > certificate_bound(problem, &arena, result))
			return ROUTE_VERIFY_BAD_BOUND;
	}
	return result->proof == ROUTE_PROOF_DUAL
		? ROUTE_VERIFY_OK : ROUTE_VERIFY_PLAN_ONLY;
}

/*
 * What route_solve() may take: cells for the scan, the scaled copy, the rows
 * and the plans; prices by depth and by level; packages for the cover.
 */
size_t
route_memory_bound(int32_t line_count, int32_t location_count)
{
	size_t		n = (size_t) line_count;
	size_t		m = (size_t) location_count;
	size_t		levels = Min(m, (size_t) ROUTE_LATE_DAYS_MAX) + 1;

	return n * m * 272
		+ n * (sizeof(Line) + 128 + 8 * (levels + DEPTH_MAX + 1))
		+ m * (256 + 8 * ((size_t) kernel_stepped_depth_max(location_count) + 1))
		+ 4 * DEPTH_MAX * sizeof(Change)
		+ (COLUMNS_FEW + COLUMNS_MAX) * sizeof(Column)
		+ (sizeof(Memo) << MEMO_BITS) + sizeof(Cover) + 16 * CHUNK_SIZE;
}
