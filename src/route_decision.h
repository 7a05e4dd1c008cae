/*
 * route_decision.h
 *	  A routing problem with its solution, as it is solved and recorded.
 */
#ifndef OMS_ROUTE_DECISION_H
#define OMS_ROUTE_DECISION_H

#include "oms.h"

#include "network.h"
#include "route_kernel.h"
#include "routing.h"

/* Why a location is no candidate.  Numbers are recorded: only add at the end. */
typedef enum ExclusionReason
{
	EXCLUDED_DISTANCE = 1,		/* detail: kilometres */
	EXCLUDED_NO_PLACE,			/* its distance is not known */
	EXCLUDED_NO_RATE,			/* no service has a zone and a rate */
	EXCLUDED_RULE,				/* detail: index of rule_names */
	EXCLUDED_LATE,				/* detail: days too late by the fastest service */
	EXCLUDED_NO_DATE,			/* nobody knows when it would arrive */
	EXCLUDED_GROUP,				/* detail: 1 in a group left out, 0 in none of those named */
	EXCLUDED_NO_SERVICE,		/* no service is what order and policy ask for */
	EXCLUDED_ZONE,				/* its zone has no rate */
	EXCLUDED_WEIGHT,			/* detail: grams of the lightest parcel, which no band has */
	EXCLUDED_FLOOR,				/* detail: units of each item that stay there */
	EXCLUDED_PURPOSE,			/* the channel does not ship from there */
	EXCLUDED_COUNT
} ExclusionReason;

typedef struct RoutingExclusion
{
	int64		location_id;
	int64		reason;
	int64		detail;
	int32		place;
} RoutingExclusion;

/* What a unit costs at a location beyond its handling; recorded by number. */
typedef enum UnitTerm
{
	UNIT_SCARCITY,				/* worth to later orders */
	UNIT_MARGIN,				/* what the goods cost there */
	UNIT_MARKDOWN,				/* what they would lose there, taken off */
	UNIT_STOCK,					/* few are free there */
	UNIT_SUPPLY,				/* they last for few weeks there */
	UNIT_TERM_COUNT
} UnitTerm;

typedef struct RoutingDecision
{
	int64		policy_id;
	int64		nodes_max;
	int64		packages_max;
	int64		relaxed;		/* bit by RoutingRule */
	int64		thumb;			/* as in RoutingPolicy */
	int64		whole_lines;
	int64		converts;
	int64		groups_by_item; /* groups forbid places to some lines only */
	int64		policy_ranks;	/* ranks are the policy's, not the locations' own */
	int64		cost_per_kilometre;
	int64		cost_late;		/* of a package that is late at all */
	int64		cost_per_day_late;
	int64		unknown_metres; /* what stands for a distance that is not known; -1: nothing */
	int64		places_max;		/* locations per line; 0: any */
	int64		least_value;	/* of the goods of a package; 0: any */
	char	   *strategy;		/* function that was asked for the plan; empty: none */
	char	   *strategy_failure;	/* why its answer was not taken; empty: it was */
	int64		volumetric_divisor; /* that weights were made with; 0: none */
	bool		dated;			/* days of delivery counted */
	double		shipping_weight;
	double		order_weight;
	double		unit_weight;
	double		line_weight;
	bool		has_floors;		/* units are kept at locations: stock is not what is free */
	int			term_count;
	RouteTerm	terms[RANKING_TERMS_MAX];
	char	   *currency;		/* of the services considered; empty: any */

	/* Whole lines are one unit for the kernel, of factor units. */
	int			line_count;
	int64	   *item_ids;
	int32	   *units;
	int32	   *factors;
	int64	   *weights;		/* grams per unit of the kernel */
	int64	   *values;			/* of the goods in a unit of the kernel */
	int64	   *later_costs;	/* of a unit of the item that is left for later; -1: none may be; NULL: of no line */
	int32	   *bundles;		/* lines of equal number stay together; -1: alone; NULL: all are */

	/* Candidates.  Amounts are as configured; the weights come on top. */
	int			location_count;
	int64	   *location_ids;
	int64	   *fixed_costs;
	int64	   *line_costs;		/* per line */
	int64	   *unit_costs;		/* per unit of the item */
	int64	   *load_costs;		/* per package, by how full the day is; NULL: do not count */
	int64	   *distances;		/* metres, -1: unknown */
	int32	   *ranks;
	int32	   *tariff_of;		/* -1: none */
	int32	   *stock;			/* [line * location_count + location] */
	int64	   *unit_terms[UNIT_TERM_COUNT];	/* likewise, per unit of the item, already weighed; NULL: none */

	/* Expressions of the policy: what they cost, already weighed. */
	int			rule_count;
	char	  **rule_names;
	int64	   *rule_costs;		/* [location * rule_count + rule] */

	int			tariff_count;
	RouteTariff *tariffs;
	int32	  **days_late;		/* by tariff and step; NULL unless dated */

	int			exclusion_count;
	RoutingExclusion *exclusions;

	/*
	 * What was asked and what was there, whatever the policy made of it: lines,
	 * places with their free units up to what the line wants, and the units
	 * that may be promised beyond.  asked.locations is NULL in what is read.
	 */
	RoutingRequest asked;
	int32	   *asked_bundles;	/* bundles, by line of asked */
	int64	   *place_ids;
	int32	   *place_of;		/* by candidate: index of asked.locations */

	/* The plan. */
	int64		proven;
	int64		cost;
	int64		lower_bound;
	int			share_count;
	RouteShare *shares;
	int			package_count;
	RoutePackage *packages;
	char	  **services;		/* by package; empty: none */
} RoutingDecision;

extern RouteStatus oms_decision_solve(RoutingDecision *decision, const RouteResult *winner, RouteResult *result);
extern RouteStatus oms_decision_optimum(RoutingDecision *decision, RouteResult *result);
extern const char *oms_decision_price(RoutingDecision *decision, const RouteShare *shares, int count, RouteResult *result);
extern bool oms_decision_is_answer(const RoutingDecision *decision);
extern int64 oms_decision_unit_term(const RoutingDecision *decision, UnitTerm term, const RouteShare *shares, int count,
									int location);
extern int64 oms_decision_unit_costs(const RoutingDecision *decision, const RouteShare *shares, int count, int location);
extern int64 oms_decision_line_cost(const RoutingDecision *decision, int location);
extern int64 oms_decision_unit_cost(const RoutingDecision *decision, int line, int location);
extern int64 oms_decision_line_costs(const RoutingDecision *decision, const RouteShare *shares, int count, int location);
extern int64 oms_decision_later_cost(const RoutingDecision *decision, const RouteShare *shares, int count, int64 *units);
extern int64 oms_decision_metres(const RoutingDecision *decision, int location);
extern int64 oms_decision_order_cost(const RoutingDecision *decision, int location);
extern int64 oms_decision_distance_cost(const RoutingDecision *decision, int location);
extern int64 oms_decision_late_cost(const RoutingDecision *decision, int32 days);
extern int64 oms_late_cost(int64 cost_late, int64 cost_per_day_late, int32 days);
extern int64 oms_decision_rule_cost(const RoutingDecision *decision, int location);
extern int64 oms_weighted(int64 amount, double weight);
extern int64 oms_decision_fixed_cost(const RoutingDecision *decision, int location);
extern int32 oms_decision_days_late(const RoutingDecision *decision, const RoutePackage *package);
extern int64 oms_tariff_cost(const RouteTariff *tariff, int64 grams);
extern void oms_decision_name_bundles(RoutingDecision *decision);
extern List *oms_decision_relaxed(const RoutingDecision *decision, List *names);
extern bytea *oms_decision_write(RoutingDecision *decision);
extern RoutingDecision *oms_decision_read(bytea *record);

#endif							/* OMS_ROUTE_DECISION_H */
