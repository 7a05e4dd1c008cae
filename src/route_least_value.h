/*
 * route_least_value.h
 *	  The cheapest plan without a package of too little worth.
 */
#ifndef OMS_ROUTE_LEAST_VALUE_H
#define OMS_ROUTE_LEAST_VALUE_H

#include "oms.h"

#include "route_kernel.h"

extern bool route_obeys_least_value(const RouteProblem *problem, const int64 *values, int64 least,
									const RouteResult *result);
extern RouteStatus route_solve_least_value(RouteProblem *problem, const RouteControl *control, const int64 *values,
										   int64 least, int32 *stock, RouteResult *result);

#endif							/* OMS_ROUTE_LEAST_VALUE_H */
