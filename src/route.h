/*
 * route.h
 *	  Which location serves which units of an order.  Pure: no SPI, no
 *	  tables, so that it can be tested by itself.
 */
#ifndef OMS_ROUTE_H
#define OMS_ROUTE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct RouteLine
{
	int32_t		quantity;
	bool		backorder;		/* what nobody has may be promised later */
	int			pinned;			/* index of the only location allowed, or -1 */
} RouteLine;

typedef struct RouteLocation
{
	int64_t		id;
	double		distance;		/* kilometres; infinity where unknown */
	int32_t		rank;
} RouteLocation;

/* Units of one line at one location. */
typedef struct RouteStock
{
	int32_t		free;			/* on hand and not promised */
	int32_t		backorder;		/* may be promised beyond that */
} RouteStock;

typedef struct RouteProblem
{
	int			line_count;
	int			location_count;
	const RouteLine *lines;
	const RouteLocation *locations;
	const RouteStock *stock;	/* [line * location_count + location] */
} RouteProblem;

typedef struct RoutePart
{
	int			line;
	int			location;
	int32_t		quantity;
	bool		backordered;
} RoutePart;

typedef struct RoutePlan
{
	int			part_count;
	RoutePart  *parts;			/* room for 2 * line_count * location_count */
	int32_t    *missing;		/* per line: units that nobody can promise */
	int		   *order;			/* work space: location_count */
} RoutePlan;

extern void oms_route(const RouteProblem *problem, RoutePlan *plan);

#endif							/* OMS_ROUTE_H */
