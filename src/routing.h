/*
 * routing.h
 *	  Orders planned by a routing policy: gathering the problem, solving it,
 *	  recording the decision.  Where no policy is active, route.h decides.
 */
#ifndef OMS_ROUTING_H
#define OMS_ROUTING_H

#include "oms.h"

#include "capacity.h"
#include "channel.h"
#include "location.h"
#include "network.h"

/* Units of one item that may come from any candidate. */
typedef struct RoutingLine
{
	int64		item_id;
	int64		weight_grams;	/* of all units */
	int64		volume;			/* of all units, in cubic millimetres; 0: not known */
	int64		value;			/* of all units, thousandths of the currency unit */
	int32		quantity;
	int32		together;		/* lines of equal number come from one place; 0: as it comes */
	bool		backorder;
	const char *sku;			/* not recorded, as are the next ones */
	const char *item_group;		/* NULL: none */
	Jsonb	   *attributes;		/* of the first line of the item that has any; NULL: none */
} RoutingLine;

typedef struct RoutingRequest
{
	const Channel *channel;
	const char *channel_code;	/* this and the next four: for rules, not recorded */
	const char *external_ref;
	const char *customer;
	Jsonb	   *attributes;		/* NULL: none */
	PolicyScope scope;			/* which policy it is for: not recorded */
	const char *customer_class;
	const char *service;		/* service or level; NULL: any */
	Destination destination;
	int			line_count;
	const RoutingLine *lines;
	int			location_count;
	Location  **locations;
	const int32 *free;			/* [line * location_count + location] */
	const int32 *backorder;		/* units that may be promised beyond */
	const bool *barred;			/* by location: from which the channel does not ship, with nothing free; NULL: none; not recorded */
	const int64 *metres;		/* by location, -1: unknown; NULL: by coordinates */
	TimestampTz ordered_at;
	bool		ship_complete;	/* all units now, or none */
	const CapacityView *capacity;	/* not recorded */
	TimestampTz requested_at;	/* to arrive on its day at the latest; DT_NOBEGIN: as it comes */
} RoutingRequest;

typedef struct RoutingPart
{
	int			line;
	int			location;
	int32		quantity;
	bool		backordered;
} RoutingPart;

typedef struct RoutingPlan
{
	int			part_count;
	RoutingPart *parts;
	int32	   *missing;		/* by line */
	const int32 *bundles;		/* lines of equal number stay together; -1: alone; NULL: all are */
	int64		places_max;		/* locations per line; 0: any */
	const char *refusal;		/* why the hard rules leave no plan; NULL: they do */
	struct RoutingDecision *decision;	/* NULL: nothing could be served */
	bool		has_rules;		/* its policy asks expressions or a function, which may read anything */
} RoutingPlan;

/* What a plan made again did not find in the record of the first one. */
#define LACKED_PLACES	1		/* distance, costs and rank of a location */
#define LACKED_RATES	2
#define LACKED_RULES	4
#define LACKED_STRATEGY 8
#define LACKED_TERMS	16		/* what items cost, sell or belong to, loads, and free units beyond those wanted */

/* Units of an item that a location has promised. */
typedef struct RoutingUnits
{
	int64		item_id;
	int64		location_id;
	int32		quantity;
} RoutingUnits;

typedef struct RoutingComparison
{
	int			order;			/* above 0: the plan is better than the units; below 0: worse */
	bool		priced;			/* both costs are known */
	int64		old_cost;
	int64		cost;
} RoutingComparison;

extern int64 oms_routing_metres(const RoutingRequest *request, int place);
extern bool oms_routing_applies(const PolicyScope *order, int candidates, bool company);
extern RoutingPlan *oms_routing_plan(const RoutingRequest *request);
extern RoutingPlan *oms_routing_plan_again(const RoutingRequest *request, const struct RoutingPolicy *policy,
										   const struct RoutingDecision *past, int *lacked);
extern struct RoutingDecision *oms_routing_prices(const RoutingRequest *request, const struct RoutingDecision *past,
												  int *lacked);
extern RoutingComparison oms_routing_compare(const RoutingPlan *plan, const RoutingUnits *units, int count);
extern RoutingPlan *oms_routing_nearest(const RoutingRequest *request);
extern void oms_routing_finish(const RoutingRequest *request, RoutingPlan *plan);
extern List *oms_routing_relaxed(const RoutingPlan *plan, List *names);
extern const char *oms_routing_service(const RoutingPlan *plan, int64 location_id);
extern void oms_routing_record(const RoutingPlan *plan, int64 order_id, int decision_no);

#endif							/* OMS_ROUTING_H */
