/*
 * route_kernel_scan.c
 *	  Step 1: a first plan, first prices, and the locations that these
 *	  prices drop; small orders often end here.
 */
#include "route_kernel_work.h"

#include <string.h>

/* Units of demand that one package from the location can hold. */
static int32_t
weight_room(const RouteTariff *tariff, int64_t weight, int32_t room)
{
	int64_t		limit = tariff->limit_grams[tariff->step_count - 1];

	if (weight == 0 || weight * room <= limit)
		return room;
	return (int32_t) (limit / weight);
}

/*
 * Collect where the line can be served.  Places dearer than leaving it out
 * are no use; places exactly as dear are kept, since serving is preferred.
 */
static bool
scan_line(Scan *scan, int32_t l)
{
	const RouteProblem *problem = scan->problem;
	Line	   *line = &scan->lines[l];
	const int32_t *stock = problem->stock
		+ (size_t) l * problem->location_count;
	const int64_t *unit_cost = problem->unit_cost
		+ (size_t) l * problem->location_count;
	int32_t		need = line->whole ? line->quantity : 1;
	int64_t		unit_max = ROUTE_AMOUNT_MAX / line->quantity;
	int64_t		worth = line->must ? unit_max : line_penalty(problem, l);
	Entry	   *next = line->entries;
	int32_t		negative = 0;
	bool		outside = false;
	int32_t		i;

	/*
	 * Presence of stock is as good as random, so this counts instead of
	 * branching; it writes one entry too many at most.
	 */
	for (i = 0; i < problem->location_count; i++)
	{
		int64_t		cost = unit_cost[i];
		bool		enough = stock[i] >= need;
		bool		beyond = cost > unit_max || cost < -unit_max;

		negative |= stock[i];
		outside |= beyond & (stock[i] > 0);
		next->cost = cost;
		next->location = i;
		next->room = stock[i];
		next += enough & (cost <= worth);
	}
	line->entry_count = (int32_t) (next - line->entries);
	return negative >= 0 && !outside;
}

/* Turn stock and costs into room and costs per unit of demand. */
static void
line_scale_entries(Line *line)
{
	int32_t		e;

	for (e = 0; e < line->entry_count; e++)
	{
		Entry	   *entry = &line->entries[e];

		entry->room = line->whole ? 1 : Min(entry->room, line->quantity);
		if (line->whole)
			entry->cost *= line->quantity;
	}
}

/* Keep only what fits into a package. */
static void
line_fit_entries(const RouteProblem *problem, Line *line)
{
	Entry	   *kept = line->entries;
	int32_t		e;

	for (e = 0; e < line->entry_count; e++)
	{
		Entry		entry = line->entries[e];
		const RouteTariff *tariff = location_tariff(problem, entry.location);

		if (tariff != NULL)
			entry.room = weight_room(tariff, line->weight, entry.room);
		if (entry.room > 0)
			*kept++ = entry;
	}
	line->entry_count = (int32_t) (kept - line->entries);
}

/*
 * With linear tariffs a line that every place could serve in full is never
 * divided by an optimal plan, so it may be treated as whole.
 */
static void
line_make_whole(Line *line)
{
	int32_t		e;

	for (e = 0; e < line->entry_count; e++)
		if (line->entries[e].room < line->demand)
			return;
	for (e = 0; e < line->entry_count; e++)
	{
		line->entries[e].cost *= line->quantity;
		line->entries[e].room = 1;
	}
	line->whole = true;
	line->demand = 1;
	line->penalty *= line->quantity;
	line->weight *= line->quantity;
}

static void
line_begin(Scan *scan, int32_t l)
{
	const RouteProblem *problem = scan->problem;
	Line	   *line = &scan->lines[l];
	int32_t		factor;

	line->quantity = problem->quantity[l];
	line->whole = line_whole(problem, l);
	line->demand = line->whole ? 1 : line->quantity;
	line->must = line_must(problem, l);
	factor = line->whole ? line->quantity : 1;
	line->penalty = line_penalty(problem, l) * factor;
	line->weight = line_weight(problem, l) * factor;
	scan->any_must |= line->must;
}

/* What a package costs at every location before its tariff. */
static void
scan_packages(Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	int32_t		m = problem->location_count;
	int32_t		i;

	memcpy(scan->package, problem->fixed_cost, sizeof(int64_t) * (size_t) m);
	if (problem->late_cost != NULL)
		for (i = 0; i < m; i++)
			scan->package[i] += problem->late_cost[i];
}

/*
 * Steps that packages of the location can reach: from its lightest piece to
 * all that it has.
 */
static void
scan_steps(Scan *scan, int64_t *lightest, int64_t *heaviest)
{
	const RouteProblem *problem = scan->problem;
	int32_t		i;
	int32_t		l;

	for (i = 0; i < problem->location_count; i++)
	{
		lightest[i] = INT64_MAX;
		heaviest[i] = 0;
	}
	for (l = 0; l < problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
		{
			i = line->entries[e].location;
			lightest[i] = Min(lightest[i], line->weight);
			heaviest[i] += line->weight * line->entries[e].room;
		}
	}
	for (i = 0; i < problem->location_count; i++)
	{
		const RouteTariff *tariff = location_tariff(problem, i);

		scan->step_low[i] = scan->step_high[i] = 0;
		if (tariff == NULL || lightest[i] == INT64_MAX)
			continue;
		scan->step_low[i] = tariff_step(tariff, lightest[i]);
		scan->step_high[i] = Min(tariff_step(tariff, heaviest[i]),
								 tariff->step_count - 1);
	}
}

/*
 * The line through the last step in play that lies below the others: it is
 * the best one for a package of all that the location has.  The slope is
 * taken down to whole numbers, so the fixed part is found afterwards.
 */
static int64_t
scan_slope(const RouteTariff *tariff, int32_t low, int32_t high)
{
	double		limit = (double) tariff->limit_grams[high];
	double		cost = (double) tariff->cost[high];
	double		slope = 0;
	int32_t		k;

	for (k = low; k < high; k++)
		slope = Max(slope, (cost - (double) tariff->cost[k])
					/ (limit - (double) tariff->limit_grams[k]));
	for (k = low; k <= high; k++)
		if (slope * (double) tariff->limit_grams[k] > (double) tariff->cost[k])
			slope = (double) tariff->cost[k] / (double) tariff->limit_grams[k];
	return (int64_t) slope;
}

/* Replace tariffs by lines below them: a fixed part, and a part by weight. */
static void
scan_linearise(Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	int32_t		i;
	int32_t		l;

	for (i = 0; i < problem->location_count; i++)
	{
		const RouteTariff *tariff = location_tariff(problem, i);
		int64_t		least = INT64_MAX;
		int32_t		k;

		scan->slope[i] = 0;
		if (tariff == NULL)
			continue;
		scan->slope[i] = scan_slope(tariff, scan->step_low[i],
									scan->step_high[i]);
		for (k = scan->step_low[i]; k <= scan->step_high[i]; k++)
			least = Min(least, tariff->cost[k]
						- scan->slope[i] * tariff->limit_grams[k]);
		scan->package[i] += Max(least, 0);
	}
	for (l = 0; l < problem->line_count; l++)
	{
		Line	   *line = &scan->lines[l];
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
			line->entries[e].cost += line->weight
				* scan->slope[line->entries[e].location];
	}
}

/* The entry's cost without the part that stands for the tariff. */
int64_t
kernel_entry_cost(const Scan *scan, const Line *line, const Entry *entry)
{
	return scan->stepped
		? entry->cost - line->weight * scan->slope[entry->location]
		: entry->cost;
}

/* Price of a package of this weight, which the caller knows to fit. */
int64_t
kernel_package_price(const Scan *scan, int32_t location, int64_t weight)
{
	int64_t		price = scan->package[location];

	if (scan->stepped)
	{
		const RouteTariff *tariff = location_tariff(scan->problem, location);

		price = location_fixed(scan->problem, location);
		if (tariff != NULL)
			price += tariff->cost[tariff_step(tariff, weight)];
	}
	return price;
}

/* Where the line would be shipped to on its own, if in full. */
static void
line_cheapest(const Scan *scan, Line *line)
{
	int64_t		full = line->must ? INT64_MAX : line->penalty * line->demand;
	int32_t		e;

	line->full_location = -1;
	for (e = 0; e < line->entry_count; e++)
	{
		const Entry *entry = &line->entries[e];
		int64_t		alone;

		if (entry->room < line->demand)
			continue;
		alone = kernel_entry_cost(scan, line, entry) * line->demand
			+ kernel_package_price(scan, entry->location, line->weight * line->demand);
		if (alone < full ||
			(alone == full &&
			 rank_before(scan->problem, entry->location, line->full_location)))
		{
			full = alone;
			line->full_location = entry->location;
		}
	}
	line->full = full;
}

/*
 * An amount above the cost of every plan, so that "no plan yet" is just a
 * dear plan.
 */
static int64_t
scan_ceiling(const Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	int64_t		packages = problem->location_count;
	int64_t		package_max = 0;
	int64_t		tariff_max = 0;
	int64_t		units = 0;
	int64_t		sum = 1;
	int32_t		i;

	for (i = 0; i < problem->location_count; i++)
		package_max = Max(package_max, scan->package[i]);
	for (i = 0; i < problem->tariff_count; i++)
		tariff_max = Max(tariff_max, problem->tariffs[i].cost
						 [problem->tariffs[i].step_count - 1]);
	for (i = 0; i < problem->line_count; i++)
	{
		const Line *line = &scan->lines[i];
		int64_t		most = line->must ? 0 : line->penalty;
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
		{
			int64_t		cost = line->entries[e].cost;

			most = Max(most, cost < 0 ? -cost : cost);
		}
		units += line->demand;
		sum += most * line->demand;
	}
	packages = Min(packages, units);
	if (problem->packages_max > 0)
		packages = Min(packages, problem->packages_max);
	if (packages > 0 &&
		package_max + tariff_max > (SCALED_MAX - sum) / 2 / packages)
		return SCALED_MAX;
	return sum + packages * (package_max + tariff_max)
		+ (problem->late_table == NULL ? 0
		   : problem->late_table[problem->late_table_count - 1]);
}

/*
 * First prices: each location asks every unit it could serve for an equal
 * part of its package, and each line takes the cheapest offer.  No location
 * is then paid more than its package, so the prices are a bound.
 */
static void
scan_prices(Scan *scan)
{
	int32_t		m = scan->problem->location_count;
	int64_t    *part = scan->gain;
	int32_t		i;
	int32_t		l;

	for (i = 0; i < m; i++)
	{
		scan->slack[i] = scan->package[i];
		part[i] = scan->room[i] <= 1 ? scan->slack[i]
			: scan->slack[i] / scan->room[i];
	}
	scan->bound = 0;
	for (l = 0; l < scan->problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int64_t		price = line->must ? scan->ceiling / line->demand
			: line->penalty;
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
			price = Min(price, line->entries[e].cost
						+ part[line->entries[e].location]);
		for (e = 0; e < line->entry_count; e++)
		{
			const Entry *entry = &line->entries[e];
			int64_t		paid = price - entry->cost;

			scan->slack[entry->location] -= Max(paid, 0) * entry->room;
		}
		scan->price[l] = price;
		scan->bound += price * line->demand;
	}
}

/*
 * Drop the entries of locations that the prices exclude, and count again what
 * the others could serve.  Raising prices later adds at least as much to the
 * bound as it takes from any slack, so what is excluded now stays excluded.
 */
static void
scan_drop_entries(Scan *scan)
{
	int32_t		l;
	int32_t		e;

	for (l = 0; l < scan->problem->line_count; l++)
		for (e = 0; e < scan->lines[l].entry_count; e++)
			scan->room[scan->lines[l].entries[e].location] = 0;
	for (l = 0; l < scan->problem->line_count; l++)
	{
		Line	   *line = &scan->lines[l];
		Entry	   *kept = line->entries;

		for (e = 0; e < line->entry_count; e++)
		{
			Entry		entry = line->entries[e];

			if (scan->bound + scan->slack[entry.location] > scan->best)
				continue;
			scan->room[entry.location] += entry.room;
			*kept++ = entry;
		}
		line->entry_count = (int32_t) (kept - line->entries);
	}
}

/*
 * One more round of prices: each location offers its slack in equal parts to
 * what it could serve, and each line rises as far as all offers allow.
 */
static void
scan_raise_prices(Scan *scan)
{
	int64_t    *part = scan->gain;
	int32_t		l;
	int32_t		e;

	/* the entries left name few locations, so go by them */
	for (l = 0; l < scan->problem->line_count; l++)
		for (e = 0; e < scan->lines[l].entry_count; e++)
		{
			int32_t		i = scan->lines[l].entries[e].location;

			part[i] = scan->room[i] == 1 ? scan->slack[i]
				: scan->slack[i] / scan->room[i];
		}
	for (l = 0; l < scan->problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int64_t		old = scan->price[l];
		int64_t		price = line->must ? scan->ceiling / line->demand
			: line->penalty;

		for (e = 0; e < line->entry_count; e++)
		{
			const Entry *entry = &line->entries[e];

			price = Min(price, Max(old, entry->cost) + part[entry->location]);
		}
		if (price <= old)
			continue;
		for (e = 0; e < line->entry_count; e++)
		{
			const Entry *entry = &line->entries[e];
			int64_t		paid = price - Max(old, entry->cost);

			scan->slack[entry->location] -= Max(paid, 0) * entry->room;
		}
		scan->price[l] = price;
		scan->bound += (price - old) * line->demand;
	}
}

/* Raise prices as long as that still moves the bound. */
static void
scan_more_prices(Scan *scan)
{
	int32_t		round;

	for (round = 0; round < PRICE_ROUNDS && scan->bound < scan->best; round++)
	{
		int64_t		before = scan->bound;

		scan_drop_entries(scan);
		scan_raise_prices(scan);
		if (scan->bound - before < (scan->best - before) / 16)
			break;
	}
}

/* Price the plan in scan->plan with full lines; false when it is no plan. */
static bool
scan_price_plan(const Scan *scan, int64_t *load, int64_t *price)
{
	const RouteProblem *problem = scan->problem;
	int64_t		sum = 0;
	int32_t		days = 0;
	int32_t		packages = 0;
	int32_t		l;

	for (l = 0; l < problem->line_count; l++)
		if (scan->plan[l] >= 0)
			load[scan->plan[l]] = 0;
	for (l = 0; l < problem->line_count; l++)
		if (scan->plan[l] >= 0)
			load[scan->plan[l]] += scan->lines[l].weight * scan->lines[l].demand;
	for (l = 0; l < problem->line_count; l++)
	{
		int32_t		location = scan->plan[l];
		const RouteTariff *tariff;

		if (location < 0)
		{
			sum += scan->lines[l].penalty * scan->lines[l].demand;
			continue;
		}
		sum += problem->unit_cost[(size_t) l * problem->location_count
								  + location] * scan->lines[l].quantity;
		if (load[location] < 0)
			continue;
		tariff = location_tariff(problem, location);
		if (tariff != NULL && load[location] >
			tariff->limit_grams[tariff->step_count - 1])
			return false;
		sum += kernel_package_price(scan, location, load[location]);
		days = Max(days, location_days(problem, location));
		load[location] = -1;
		packages++;
	}
	if (packages > 0)
		sum += late_price(problem, days);
	*price = sum;
	return problem->packages_max == 0 || packages <= problem->packages_max;
}

/* The plan without any package; it alone pays no late_table. */
static void
scan_empty_plan(Scan *scan)
{
	int64_t		price;

	memset(scan->plan, 0xff, sizeof(int32_t) * (size_t) scan->problem->line_count);
	if (!scan->any_must && scan_price_plan(scan, scan->gain, &price) &&
		price < scan->best)
	{
		scan->best = price;
		scan->have_plan = true;
	}
}

/*
 * The location that saves most against what lines cost now, or -1.  now is
 * the cost of each line in full, INT64_MAX where there is no way yet.
 */
static int32_t
scan_most_saving(Scan *scan, const int64_t *now)
{
	int32_t		m = scan->problem->location_count;
	int64_t		least = 0;
	int32_t		opened = -1;
	int32_t		i;
	int32_t		l;

	memset(scan->gain, 0, sizeof(int64_t) * (size_t) m);
	for (l = 0; l < scan->problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
		{
			const Entry *entry = &line->entries[e];
			int64_t		saved = now[l] - entry->cost * line->demand;

			if (entry->room == line->demand)
				scan->gain[entry->location] += Max(saved, 0);
		}
	}
	for (i = 0; i < m; i++)
	{
		int64_t		added;

		if (scan->gain[i] == 0)
			continue;
		added = scan->package[i] - scan->gain[i];
		if (added < least ||
			(added == least && rank_before(scan->problem, i, opened)))
		{
			least = added;
			opened = i;
		}
	}
	return opened;
}

/* Send to the opened location every line that is cheaper there than now. */
static void
scan_assign(Scan *scan, int64_t *now, int32_t opened)
{
	int32_t		l;

	for (l = 0; l < scan->problem->line_count; l++)
	{
		const Line *line = &scan->lines[l];
		int32_t		e;

		for (e = 0; e < line->entry_count; e++)
		{
			const Entry *entry = &line->entries[e];

			if (entry->location != opened)
				continue;
			if (entry->room == line->demand &&
				entry->cost * line->demand < now[l])
			{
				now[l] = entry->cost * line->demand;
				scan->plan[l] = opened;
			}
			break;
		}
	}
}

/*
 * First plan: begin with each line shipped alone, then open locations while
 * that saves something.
 */
static void
scan_first_plan(Scan *scan, int64_t *now, int32_t *kept)
{
	int32_t		n = scan->problem->line_count;
	int32_t		round;
	int64_t		price;
	int32_t		l;

	scan_empty_plan(scan);
	memcpy(kept, scan->plan, sizeof(int32_t) * (size_t) n);
	for (l = 0; l < n; l++)
	{
		if (scan->lines[l].must && scan->lines[l].full_location < 0)
			return;
		scan->plan[l] = scan->lines[l].full_location;
		now[l] = scan->lines[l].full;
	}
	for (round = 0; round < FIRST_PLAN_ROUNDS && n > 1; round++)
	{
		int32_t		opened = scan_most_saving(scan, now);

		if (opened < 0)
			break;
		scan_assign(scan, now, opened);
	}
	if (scan_price_plan(scan, scan->gain, &price) && price < scan->best)
	{
		scan->best = price;
		scan->have_plan = true;
	}
	else
		memcpy(scan->plan, kept, sizeof(int32_t) * (size_t) n);
}

RouteStatus
kernel_scan_problem(Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	Arena	   *arena = scan->arena;
	int32_t		n = problem->line_count;
	int32_t		m = problem->location_count;
	Entry	   *entries;
	int32_t		l;

	scan->lines = TAKE(arena, Line, n);
	scan->plan = TAKE(arena, int32_t, n);
	scan->price = TAKE(arena, int64_t, n);
	scan->room = TAKE_ZEROED(arena, int64_t, m);
	scan->slack = TAKE(arena, int64_t, m);
	scan->gain = TAKE(arena, int64_t, m);
	scan->package = TAKE(arena, int64_t, m);
	scan->stepped = problem->tariff_of != NULL && problem->tariff_count > 0;
	scan->slope = scan->stepped ? TAKE(arena, int64_t, m) : NULL;
	scan->step_low = scan->stepped ? TAKE(arena, int32_t, m) : NULL;
	scan->step_high = scan->stepped ? TAKE(arena, int32_t, m) : NULL;
	entries = TAKE(arena, Entry, (size_t) n * m + 1);
	if (arena->failed)
		return ROUTE_OUT_OF_MEMORY;
	scan->any_must = false;
	scan->have_plan = false;
	for (l = 0; l < n; l++)
	{
		Line	   *line = &scan->lines[l];
		int32_t		e;

		line_begin(scan, l);
		line->entries = entries;
		if (!scan_line(scan, l))
		{
			scan->bad_input = "stock or unit cost";
			return ROUTE_BAD_INPUT;
		}
		line_scale_entries(line);
		if (scan->stepped)
			line_fit_entries(problem, line);
		entries += line->entry_count;
		if (!line->whole && !scan->stepped)
			line_make_whole(line);
		for (e = 0; e < line->entry_count; e++)
			scan->room[line->entries[e].location] += line->entries[e].room;
	}
	scan_packages(scan);
	scan->ceiling = scan_ceiling(scan);
	if (scan->stepped)
	{
		scan_steps(scan, scan->slack, scan->gain);
		scan_linearise(scan);
	}
	if (scan->ceiling > SCALED_MAX / (4 * n + 8))
	{
		scan->bad_input = "sum of amounts";
		return ROUTE_BAD_INPUT;
	}
	return ROUTE_OPTIMAL;
}

/* List the locations that can be part of a plan as cheap as the first one. */
static bool
scan_survivors(Scan *scan)
{
	const RouteProblem *problem = scan->problem;
	int64_t		most = scan->best - scan->bound;
	int32_t		count = 0;
	int32_t		i;

	scan->survivors = TAKE(scan->arena, int32_t, problem->location_count + 1);
	if (scan->survivors == NULL)
		return false;
	for (i = 0; i < problem->location_count; i++)
	{
		scan->survivors[count] = i;
		count += scan->room[i] > 0 && scan->slack[i] <= most;
	}
	scan->survivor_count = count;
	if (problem->late_table == NULL || problem->days_late == NULL)
		return true;
	for (i = 0, count = 0; i < scan->survivor_count; i++)
	{
		int32_t		location = scan->survivors[i];

		if (scan->slack[location] +
			late_price(problem, problem->days_late[location]) <= most)
			scan->survivors[count++] = location;
	}
	scan->survivor_count = count;
	return true;
}

bool
kernel_scan_bounds(Scan *scan, const RouteControl *control)
{
	int32_t		n = scan->problem->line_count;
	int64_t    *now = TAKE(scan->arena, int64_t, n);
	int32_t    *kept = TAKE(scan->arena, int32_t, n);
	int32_t		l;

	if (scan->arena->failed)
		return false;
	for (l = 0; l < n; l++)
		line_cheapest(scan, &scan->lines[l]);
	scan->best = scan->ceiling;
	if (control->has_cost_below)
		scan->best = Min(scan->best, control->cost_below);
	scan_prices(scan);
	scan_first_plan(scan, now, kept);
	if (scan->problem->location_count >= PRICE_LOCATIONS)
		scan_more_prices(scan);
	return scan_survivors(scan);
}
