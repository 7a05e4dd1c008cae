/*
 * network.h
 *	  Carriers, zones, rates and routing policies as one backend knows them.
 */
#ifndef OMS_NETWORK_H
#define OMS_NETWORK_H

#include "oms.h"

#include "channel.h"
#include "location.h"

typedef struct RateBand
{
	int64		from_grams;
	int64		to_grams;
	int64		amount;			/* thousandths of the currency unit */
	int64		per_kilogram;	/* millionths */
	int64		minimum;		/* thousandths */
} RateBand;

typedef struct RateCard
{
	const char *zone;
	int32		transit_days;	/* -1: the zone has no transit time */
	int32		transit_latest;
	int			band_count;
	int			band_capacity;
	RateBand   *bands;			/* rising; none where the zone has only a transit time */
} RateCard;

typedef struct TransitBand
{
	double		from;			/* kilometres */
	double		to;
	int32		days;
	int32		latest;
} TransitBand;

typedef struct CarrierService
{
	const char *code;
	const char *level;			/* NULL: none */
	const char *currency;
	int			chart;			/* index */
	int64		surcharge;		/* thousandths */
	int64		surcharge_percent;	/* hundredths of a percent */
	int32		volumetric_divisor; /* cubic centimetres per kilogram, 0: weight alone counts */
	int			card_count;
	int			card_capacity;
	RateCard   *cards;			/* by zone */
	int			transit_count;
	int			transit_capacity;
	TransitBand *transits;		/* by distance, for zones without a time of their own */
} CarrierService;

/* Exchange rates are in billionths. */
#define EXCHANGE_ONE INT64CONST(1000000000)

typedef struct ExchangeRate
{
	const char *from;
	const char *to;
	int32		valid_from;		/* day */
	int64		rate;
} ExchangeRate;

typedef struct DistanceBand
{
	int			chart;
	double		from;
	double		to;
	const char *zone;
} DistanceBand;

/* Rules that may be given up, in the order that a policy declares. */
typedef enum RoutingRule
{
	RULE_MAX_KILOMETRES,
	RULE_MAX_FULFILLMENTS,
	RULE_WHOLE_LINES,
	RULE_IN_TIME,
	RULE_GROUPS,
	RULE_LEAST_VALUE,
	RULE_PLACES,
	RULE_SHIP_COMPLETE,
	RULE_KEEP_TOGETHER,
	RULE_FLOORS,
	RULE_COUNT
} RoutingRule;

/* Where the numbers of a ranking's ROUTE_TERM_VALUE come from. */
typedef enum RankingSource
{
	RANKING_PLAIN,				/* another kind of term */
	RANKING_STOCK,				/* units of the order's items that are not free there */
	RANKING_SUPPLY				/* days that they last less */
} RankingSource;

typedef struct RankingTerm
{
	int32		kind;			/* RouteTermKind */
	RankingSource source;
	int64		tolerance;
} RankingTerm;

/* Units of each item that stay at locations. */
typedef struct PolicyFloor
{
	const char *group;			/* NULL: any location */
	int32		units;
} PolicyFloor;

#define RANKING_TERMS_MAX 8

#define POLICY_RULES_MAX 32

/* A rule of the user's own: an SQL expression. */
typedef struct PolicyRule
{
	const char *name;
	const char *expression;
	bool		cost;			/* a price of the location, */
	bool		rank;			/* or its rank, else a condition */
	bool		per_line;
	double		weight;
} PolicyRule;

/* What orders a policy is for, and what an order is. */
typedef struct PolicyScope
{
	int64		channel_id;		/* 0: any */
	const char *service;		/* NULL here and below: any, or none */
	const char *customer_class;
	const char *item_group;		/* that all items to be routed are of */
	const char *country;		/* where the order goes */
	const char *postal_prefix;	/* of a policy: how postal codes begin; of an order: the whole code */
} PolicyScope;

/* A group of locations that a policy names, for all items or those of a group. */
typedef struct PolicyGroup
{
	const char *group;
	const char *item_group;		/* NULL: any */
} PolicyGroup;

/* What plans where a strategy's answer is not taken. */
typedef enum RoutingFallback
{
	FALLBACK_COST,
	FALLBACK_RANKING,
	FALLBACK_NEAREST,
	FALLBACK_REFUSE
} RoutingFallback;

typedef struct RoutingPolicy
{
	int64		policy_id;
	PolicyScope scope;
	bool		nearest;		/* the built-in rule, no costs */
	int32		thumb;			/* a rule of thumb: RoutePolicy + 1; 0: none */
	bool		whole_lines;
	const char *currency;		/* NULL: any */
	bool		converts;		/* services of other currencies by their exchange rate */
	double		shipping_weight;
	double		order_weight;
	double		line_weight;
	double		unit_weight;
	double		margin_weight;	/* here and below, 0: does not count */
	double		markdown_weight;
	int64		stock_cost;		/* of a unit from where none is left free, thousandths */
	int64		supply_cost;	/* of a unit from where it lasts no time */
	double		supply_weeks;	/* that are enough */
	int64		load_cost;		/* of a package on a full day, thousandths */
	double		load_threshold;
	double		load_exponent;
	int64		later_cost;		/* of a unit left for later, thousandths */
	double		later_value_weight; /* likewise, of what it is sold for */
	double		scarcity_weight;
	int64		scarcity_max_age;	/* microseconds */
	int64		cost_per_kilometre; /* thousandths */
	int64		cost_late;		/* of a package that is late at all, thousandths */
	int64		cost_per_day_late;	/* of a package, thousandths */
	int			only_count;		/* groups that may serve; 0: all */
	PolicyGroup *only;
	int			without_count;	/* groups that may not */
	PolicyGroup *without;
	bool		groups_by_item; /* some are for a group of items only */
	int			prefer_count;	/* groups whose order ranks the locations; 0: their own ranks do */
	PolicyGroup *prefer;
	bool		in_time;		/* nothing arrives later than it is asked for */
	double		max_kilometres; /* NAN: no limit */
	int64		unknown_metres; /* what stands for a distance that is not known; -1: nothing */
	int32		max_places;		/* per line; 0: no limit */
	bool		ship_complete;
	int			keep_count;		/* item groups that stay together */
	const char **keep;
	int			floor_count;
	PolicyFloor *floors;		/* the first that is for a location counts */
	int32		max_fulfillments;	/* 0: no limit */
	int64		least_value;	/* of the goods of a fulfillment, thousandths; 0: any */
	int64		search_nodes;
	int			term_count;
	RankingTerm terms[RANKING_TERMS_MAX];
	int			relax_count;
	int			relax[RULE_COUNT + POLICY_RULES_MAX];	/* RoutingRule, then RULE_COUNT + index of rules */
	int			rule_count;
	PolicyRule *rules;
	bool		has_rank_rule;
	const char *strategy;		/* function that plans; NULL: the objective does */
	RoutingFallback fallback;
	const char *owner;			/* role that rules and strategy run as */
} RoutingPolicy;

typedef struct Network
{
	int			service_count;
	int			service_capacity;
	CarrierService *services;
	int			chart_count;
	int			chart_capacity;
	const char **charts;
	int			band_count;
	int			band_capacity;
	DistanceBand *bands;
	int			exchange_count;
	int			exchange_capacity;
	ExchangeRate *exchanges;	/* the latest first */
	int			prefix_length;	/* of the longest destination prefix; -1: no chart goes by prefix or location */
	List	   *policies;		/* active ones */
	TimestampTz policies_from;	/* when they became so, */
	TimestampTz policies_until; /* and when others follow */
} Network;

/* Where a parcel goes. */
typedef struct Destination
{
	const char *country;		/* NULL where unknown */
	const char *postal_code;
	double		latitude;		/* NAN where unknown */
	double		longitude;
} Destination;

/* By RoutingRule, and a NULL behind. */
extern const char *const oms_routing_rule_names[];

extern Network *oms_network(void);
extern const RoutingPolicy *oms_routing_policy(const PolicyScope *order);
extern RoutingPolicy *oms_routing_policy_read(Jsonb *definition);
extern void oms_routing_policy_check(Jsonb *definition, const char *owner);
extern const RateCard **oms_network_cards(Network *network, Location *const *locations, int count,
										   const Destination *destination, bool *zone_only);
extern bool oms_service_matches(const CarrierService *service, const char *asked, const char *currency);
extern bool oms_transit(const CarrierService *service, const RateCard *card, double distance, int32 *days,
						int32 *latest);
extern int64 oms_exchange_rate(const Network *network, const char *from, const char *to, TimestampTz at);
extern int64 oms_exchange(int64 amount, int64 rate);
extern int64 oms_rate(const CarrierService *service, const RateCard *card, int64 grams);

#endif							/* OMS_NETWORK_H */
