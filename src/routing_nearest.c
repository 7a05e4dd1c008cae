/*
 * routing_nearest.c
 *	  The built-in rule for a request that a policy could have planned.
 */
#include "oms.h"

#include <math.h>

#include "utils/memutils.h"

#include "route.h"
#include "routing.h"

/* The request must tell the distances. */
RoutingPlan *
oms_routing_nearest(const RoutingRequest *request)
{
	Size		cells = (Size) request->line_count * request->location_count;
	RouteLine  *lines = palloc(sizeof(RouteLine) * Max(1, request->line_count));
	RouteLocation *locations = palloc(sizeof(RouteLocation) * Max(1, request->location_count));
	RouteStock *stock = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(RouteStock) * Max(1, cells),
												   MCXT_ALLOC_HUGE);
	RouteProblem problem = {
		.line_count = request->line_count,.location_count = request->location_count,.lines = lines,
		.locations = locations,.stock = stock
	};
	RoutePlan	route = {.order = palloc(sizeof(int) * Max(1, request->location_count))};
	RoutingPlan *plan = palloc0(sizeof(RoutingPlan));

	for (int i = 0; i < request->line_count; i++)
		lines[i] = (RouteLine) {request->lines[i].quantity, request->lines[i].backorder, -1};
	for (int i = 0; i < request->location_count; i++)
		locations[i] = (RouteLocation) {request->locations[i]->location_id,
		request->metres[i] < 0 ? INFINITY : request->metres[i] / 1000.0, request->locations[i]->rank};
	for (Size i = 0; i < cells; i++)
		stock[i] = (RouteStock) {request->free[i], request->backorder[i]};
	route.parts = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(RoutePart) * 2 * (cells + 1), MCXT_ALLOC_HUGE);
	plan->missing = route.missing = palloc0(sizeof(int32) * Max(1, request->line_count));
	oms_route(&problem, &route);
	plan->part_count = route.part_count;
	plan->parts = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(RoutingPart) * (route.part_count + 1),
											 MCXT_ALLOC_HUGE);
	for (int i = 0; i < route.part_count; i++)
		plan->parts[i] = (RoutingPart) {route.parts[i].line, route.parts[i].location, route.parts[i].quantity,
		route.parts[i].backordered};
	return plan;
}
