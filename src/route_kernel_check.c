/*
 * route_kernel_check.c
 *	  What a problem must be before it is solved.
 */
#include "route_kernel_work.h"

#include <string.h>

bool
kernel_amount_ok(int64_t amount)
{
	return amount >= 0 && amount <= ROUTE_AMOUNT_MAX;
}

static const char *
check_tables(const RouteProblem *problem)
{
	int32_t		t;
	int32_t		k;

	if (problem->tariff_count < 0 ||
		(problem->tariff_count > 0 && problem->tariffs == NULL))
		return "tariffs";
	for (t = 0; t < problem->tariff_count; t++)
	{
		const RouteTariff *tariff = &problem->tariffs[t];

		if (tariff->step_count < 1 || tariff->step_count > ROUTE_STEPS_MAX)
			return "tariff step count";
		for (k = 0; k < tariff->step_count; k++)
		{
			if (!kernel_amount_ok(tariff->cost[k]) ||
				!kernel_amount_ok(tariff->limit_grams[k]))
				return "tariff amount";
			if (k > 0 && (tariff->cost[k] < tariff->cost[k - 1] ||
						  tariff->limit_grams[k] <= tariff->limit_grams[k - 1]))
				return "tariff steps are not in order";
		}
	}
	if (problem->late_table != NULL)
	{
		if (problem->late_table_count < 1 ||
			problem->late_table_count > ROUTE_LATE_DAYS_MAX)
			return "late table size";
		for (k = 0; k < problem->late_table_count; k++)
			if (!kernel_amount_ok(problem->late_table[k]) ||
				(k > 0 && problem->late_table[k] < problem->late_table[k - 1]))
				return "late table amount";
	}
	return NULL;
}

static const char *
check_lines(const RouteProblem *problem)
{
	int32_t		l;

	for (l = 0; l < problem->line_count; l++)
	{
		int32_t		quantity = problem->quantity[l];

		if (quantity < 1 || quantity > ROUTE_QUANTITY_MAX)
			return "quantity";
		if (line_penalty(problem, l) < 0 ||
			line_penalty(problem, l) > ROUTE_AMOUNT_MAX / quantity)
			return "penalty";
		if (line_weight(problem, l) < 0 ||
			line_weight(problem, l) > ROUTE_AMOUNT_MAX / quantity)
			return "weight";
	}
	return NULL;
}

static const char *
check_locations(const RouteProblem *problem)
{
	int32_t		days_max = problem->late_table == NULL
		? ROUTE_LATE_DAYS_MAX : problem->late_table_count;
	int32_t		i;

	for (i = 0; i < problem->location_count; i++)
		if (!kernel_amount_ok(problem->fixed_cost[i]))
			return "fixed cost";
	if (problem->late_cost != NULL)
		for (i = 0; i < problem->location_count; i++)
			if (!kernel_amount_ok(problem->late_cost[i]))
				return "late cost";
	if (problem->days_late != NULL)
		for (i = 0; i < problem->location_count; i++)
			if (problem->days_late[i] < 0 || problem->days_late[i] >= days_max)
				return "days late";
	if (problem->tariff_of != NULL)
		for (i = 0; i < problem->location_count; i++)
			if (problem->tariff_of[i] >= problem->tariff_count)
				return "tariff index";
	return NULL;
}

/* What the scan looks at on its way: not called where that runs. */
const char *
kernel_check_cells(const RouteProblem *problem)
{
	int32_t		l;
	int32_t		i;

	for (l = 0; l < problem->line_count; l++)
	{
		int64_t		most = ROUTE_AMOUNT_MAX / problem->quantity[l];

		if (problem->places_max != NULL && problem->places_max[l] < 0)
			return "places max";
		for (i = 0; i < problem->location_count; i++)
		{
			size_t		cell = (size_t) l * problem->location_count + i;

			if (problem->stock[cell] < 0 ||
				(problem->stock[cell] > 0 &&
				 (problem->unit_cost[cell] > most ||
				  problem->unit_cost[cell] < -most)))
				return "stock or unit cost";
			if (problem->line_cost != NULL && problem->stock[cell] > 0 &&
				(problem->line_cost[cell] < -1 || problem->line_cost[cell] > ROUTE_AMOUNT_MAX))
				return "line cost";
		}
	}
	return NULL;
}

const char *
kernel_check_problem(const RouteProblem *problem)
{
	const char *fault;

	if (problem->line_count < 1 || problem->line_count > ROUTE_LINES_MAX)
		return "line count";
	if (problem->location_count < 0 ||
		problem->location_count > ROUTE_LOCATIONS_MAX)
		return "location count";
	if (problem->packages_max < 0)
		return "packages max";
	fault = check_tables(problem);
	if (fault == NULL)
		fault = check_lines(problem);
	if (fault == NULL)
		fault = check_locations(problem);
	return fault;
}
