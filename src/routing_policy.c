/*
 * routing_policy.c
 *	  Definitions of routing policies: reading, checking and saving them.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "money.h"
#include "network.h"
#include "relation.h"
#include "route_kernel.h"
#include "routing_rule.h"
#include "routing_strategy.h"

#define SEARCH_NODES_DEFAULT 20000

typedef struct RankingDocument
{
	char	   *term;
	int32		tolerance;
} RankingDocument;

typedef struct RelaxDocument
{
	char	   *rule;
} RelaxDocument;

typedef struct RuleDocument
{
	char	   *name;
	char	   *kind;
	char	   *per;
	char	   *expression;
	double		weight;
} RuleDocument;

typedef struct GroupDocument
{
	char	   *group;
	char	   *item_group;
} GroupDocument;

/* How old a scarcity price may be where the policy does not say. */
#define SCARCITY_HOURS_DEFAULT INT64CONST(24)

typedef struct ItemGroupDocument
{
	char	   *item_group;
} ItemGroupDocument;

typedef struct FloorDocument
{
	char	   *group;
	int32		units;
} FloorDocument;

#define SUPPLY_WEEKS_DEFAULT 4.0

typedef struct PolicyDocument
{
	char	   *objective;
	char	   *currency;
	double		shipping_weight;
	double		order_weight;
	double		line_weight;
	double		unit_weight;
	double		margin_weight;
	double		markdown_weight;
	double		scarcity_weight;
	int32		scarcity_max_hours;
	double		supply_weeks;
	double		load_threshold;
	double		load_exponent;
	double		later_value_weight;
	double		max_kilometres;
	double		unknown_kilometres;
	Numeric		cost_of_low_stock;
	Numeric		cost_of_low_supply;
	Numeric		cost_of_load;
	Numeric		cost_per_unit_later;
	Numeric		cost_per_kilometre;
	Numeric		cost_late;
	Numeric		cost_per_day_late;
	Numeric		min_fulfillment_value;
	DocArray	ranking;
	DocArray	relax;
	DocArray	rules;
	DocArray	only_groups;
	DocArray	without_groups;
	DocArray	prefer_groups;
	DocArray	keep_together;
	DocArray	floors;
	char	   *strategy;
	char	   *fallback;
	int32		max_fulfillments;
	int32		max_places_per_line;
	int32		search_nodes;
	int8		ship_complete;
	int8		whole_lines;
	int8		in_time;
	int8		convert;
} PolicyDocument;

/* Behind "ranking" the rules of thumb, in the order of RoutePolicy. */
static const char *const objectives[] = {"nearest", "cost", "strategy", "ranking", "nearest_first", "priority", "fewest_splits",
"nearest_complete", NULL};
#define OBJECTIVE_RANKING 3

/* In the order of RoutingFallback. */
static const char *const fallbacks[] = {"cost", "ranking", "nearest", "refuse", NULL};

static const char *const term_names[] = {"cost", "fulfillments", "distance", "rank", "stock", "supply", NULL};
static const RouteTermKind term_kinds[] = {ROUTE_TERM_COST, ROUTE_TERM_PACKAGES, ROUTE_TERM_DISTANCE, ROUTE_TERM_RANK,
ROUTE_TERM_VALUE, ROUTE_TERM_VALUE};
static const RankingSource term_sources[] = {RANKING_PLAIN, RANKING_PLAIN, RANKING_PLAIN, RANKING_PLAIN, RANKING_STOCK,
RANKING_SUPPLY};

const char *const oms_routing_rule_names[RULE_COUNT + 1] = {
	[RULE_MAX_KILOMETRES] = "max_kilometres",[RULE_MAX_FULFILLMENTS] = "max_fulfillments",
	[RULE_WHOLE_LINES] = "whole_lines",[RULE_IN_TIME] = "in_time",[RULE_GROUPS] = "groups",
	[RULE_LEAST_VALUE] = "min_fulfillment_value",[RULE_PLACES] = "max_places_per_line",
	[RULE_SHIP_COMPLETE] = "ship_complete",[RULE_KEEP_TOGETHER] = "keep_together",[RULE_FLOORS] = "floors"
};

static const DocField ranking_fields[] = {
	{"term", DOC_TEXT, offsetof(RankingDocument, term), .required = true,.choices = term_names},
	{"tolerance", DOC_INT, offsetof(RankingDocument, tolerance), .least = 0,.most = OMS_QUANTITY_MAX},
};

static const DocShape ranking_shape = DOC_SHAPE_OF(RankingDocument, ranking_fields, "a term of a ranking");

static const DocField relax_fields[] = {
	{"rule", DOC_CODE, offsetof(RelaxDocument, rule), .required = true},
};

static const DocShape relax_shape = DOC_SHAPE_OF(RelaxDocument, relax_fields, "a soft rule");

static const char *const rule_kinds[] = {"require", "cost", "rank", NULL};
static const char *const rule_scopes[] = {"location", "line", NULL};

static const DocField rule_fields[] = {
	{"name", DOC_CODE, offsetof(RuleDocument, name), .required = true},
	{"kind", DOC_TEXT, offsetof(RuleDocument, kind), .required = true,.choices = rule_kinds},
	{"per", DOC_TEXT, offsetof(RuleDocument, per), .choices = rule_scopes},
	{"expression", DOC_TEXT, offsetof(RuleDocument, expression), .required = true},
	{"weight", DOC_DOUBLE, offsetof(RuleDocument, weight), .least = 0,.most = 1000},
};

static const DocShape rule_shape = DOC_SHAPE_OF(RuleDocument, rule_fields, "a rule of a routing policy");

static const DocField group_fields[] = {
	{"group", DOC_CODE, offsetof(GroupDocument, group), .required = true},
	{"item_group", DOC_CODE, offsetof(GroupDocument, item_group)},
};

static const DocShape group_shape = DOC_SHAPE_OF(GroupDocument, group_fields, "a group");

/* Without the items, in a struct of the same kind. */
static const DocShape preferred_shape = {.name = "a group",.size = sizeof(GroupDocument),.fields = group_fields,.field_count = 1};

static const DocField item_group_fields[] = {
	{"item_group", DOC_CODE, offsetof(ItemGroupDocument, item_group), .required = true},
};

static const DocShape item_group_shape = DOC_SHAPE_OF(ItemGroupDocument, item_group_fields, "a group of items");

static const DocField floor_fields[] = {
	{"group", DOC_CODE, offsetof(FloorDocument, group)},
	{"units", DOC_INT, offsetof(FloorDocument, units), .required = true,.least = 0,.most = OMS_QUANTITY_MAX},
};

static const DocShape floor_shape = DOC_SHAPE_OF(FloorDocument, floor_fields, "a floor");

static const DocField policy_fields[] = {
	{"objective", DOC_TEXT, offsetof(PolicyDocument, objective), .required = true,.choices = objectives},
	{"strategy", DOC_CODE, offsetof(PolicyDocument, strategy)},
	{"fallback", DOC_TEXT, offsetof(PolicyDocument, fallback), .choices = fallbacks},
	{"currency", DOC_TEXT, offsetof(PolicyDocument, currency)},
	{"convert", DOC_BOOL, offsetof(PolicyDocument, convert)},
	{"shipping_weight", DOC_DOUBLE, offsetof(PolicyDocument, shipping_weight), .least = 0,.most = 1000},
	{"order_weight", DOC_DOUBLE, offsetof(PolicyDocument, order_weight), .least = 0,.most = 1000},
	{"line_weight", DOC_DOUBLE, offsetof(PolicyDocument, line_weight), .least = 0,.most = 1000},
	{"unit_weight", DOC_DOUBLE, offsetof(PolicyDocument, unit_weight), .least = 0,.most = 1000},
	{"margin_weight", DOC_DOUBLE, offsetof(PolicyDocument, margin_weight), .least = 0,.most = 1000},
	{"markdown_weight", DOC_DOUBLE, offsetof(PolicyDocument, markdown_weight), .least = 0,.most = 1000},
	{"cost_of_low_stock", DOC_MONEY, offsetof(PolicyDocument, cost_of_low_stock)},
	{"cost_of_low_supply", DOC_MONEY, offsetof(PolicyDocument, cost_of_low_supply)},
	{"supply_weeks", DOC_DOUBLE, offsetof(PolicyDocument, supply_weeks), .least = 1,.most = 520},
	{"cost_of_load", DOC_MONEY, offsetof(PolicyDocument, cost_of_load)},
	{"load_threshold", DOC_DOUBLE, offsetof(PolicyDocument, load_threshold), .least = 0,.most = 1},
	{"load_exponent", DOC_DOUBLE, offsetof(PolicyDocument, load_exponent), .least = 0,.most = 10},
	{"cost_per_unit_later", DOC_MONEY, offsetof(PolicyDocument, cost_per_unit_later)},
	{"later_value_weight", DOC_DOUBLE, offsetof(PolicyDocument, later_value_weight), .least = 0,.most = 1000},
	{"scarcity_weight", DOC_DOUBLE, offsetof(PolicyDocument, scarcity_weight), .least = 0,.most = 1000},
	{"scarcity_max_hours", DOC_INT, offsetof(PolicyDocument, scarcity_max_hours), .least = 1,.most = 8760},
	{"cost_per_kilometre", DOC_MONEY, offsetof(PolicyDocument, cost_per_kilometre)},
	{"max_kilometres", DOC_DOUBLE, offsetof(PolicyDocument, max_kilometres), .least = 0,.most = 50000},
	{"unknown_kilometres", DOC_DOUBLE, offsetof(PolicyDocument, unknown_kilometres), .least = 0,.most = 50000},
	{"max_fulfillments", DOC_INT, offsetof(PolicyDocument, max_fulfillments), .least = 1,.most = 1000},
	{"max_places_per_line", DOC_INT, offsetof(PolicyDocument, max_places_per_line), .least = 1,.most = 1000},
	{"ship_complete", DOC_BOOL, offsetof(PolicyDocument, ship_complete)},
	{"keep_together", DOC_ARRAY, offsetof(PolicyDocument, keep_together), .most = 1000,.shape = &item_group_shape},
	{"floors", DOC_ARRAY, offsetof(PolicyDocument, floors), .most = 1000,.shape = &floor_shape},
	{"min_fulfillment_value", DOC_MONEY, offsetof(PolicyDocument, min_fulfillment_value)},
	{"cost_late", DOC_MONEY, offsetof(PolicyDocument, cost_late)},
	{"cost_per_day_late", DOC_MONEY, offsetof(PolicyDocument, cost_per_day_late)},
	{"only_groups", DOC_ARRAY, offsetof(PolicyDocument, only_groups), .most = 1000,.shape = &group_shape},
	{"without_groups", DOC_ARRAY, offsetof(PolicyDocument, without_groups), .most = 1000,.shape = &group_shape},
	{"prefer_groups", DOC_ARRAY, offsetof(PolicyDocument, prefer_groups), .most = 1000,.shape = &preferred_shape},
	{"in_time", DOC_BOOL, offsetof(PolicyDocument, in_time)},
	{"whole_lines", DOC_BOOL, offsetof(PolicyDocument, whole_lines)},
	{"search_nodes", DOC_INT, offsetof(PolicyDocument, search_nodes), .least = 1,.most = 100000000},
	{"ranking", DOC_ARRAY, offsetof(PolicyDocument, ranking), .most = RANKING_TERMS_MAX,.shape = &ranking_shape},
	{"relax", DOC_ARRAY, offsetof(PolicyDocument, relax), .most = RULE_COUNT + POLICY_RULES_MAX,
	.shape = &relax_shape},
	{"rules", DOC_ARRAY, offsetof(PolicyDocument, rules), .most = POLICY_RULES_MAX,.shape = &rule_shape},
};

static const DocShape policy_shape = DOC_SHAPE_OF(PolicyDocument, policy_fields, "a routing policy");

static int
index_of(const char *const *names, const char *name)
{
	int			index = 0;

	while (names[index] && strcmp(names[index], name) != 0)
		index++;
	return index;
}

static double
or_one(double weight)
{
	return isnan(weight) ? 1 : weight;
}

static double
or_zero(double weight)
{
	return isnan(weight) ? 0 : weight;
}

static int64
thousandths(Numeric amount)
{
	if (amount == NULL)
		return 0;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(oms_money_multiply(amount, 1000))));
}

/* A rule by name, built in or of the policy; -1: none. */
static int
find_rule(const PolicyDocument *document, const char *name)
{
	int			index = index_of(oms_routing_rule_names, name);

	if (index < RULE_COUNT)
		return index;
	for (int i = 0; i < document->rules.count; i++)
		if (strcmp(((RuleDocument *) document->rules.items)[i].name, name) == 0)
			return RULE_COUNT + i;
	return -1;
}

static PolicyGroup *
policy_groups(const DocArray *groups, bool *by_item)
{
	PolicyGroup *rows = palloc(sizeof(PolicyGroup) * Max(1, groups->count));

	for (int i = 0; i < groups->count; i++)
	{
		GroupDocument *row = (GroupDocument *) groups->items + i;

		rows[i] = (PolicyGroup) {row->group, row->item_group};
		*by_item |= row->item_group != NULL;
	}
	return rows;
}

/* Locations and items that its rules name. */
static void
set_groups_of_policy(RoutingPolicy *policy, const PolicyDocument *document)
{
	policy->only_count = document->only_groups.count;
	policy->only = policy_groups(&document->only_groups, &policy->groups_by_item);
	policy->without_count = document->without_groups.count;
	policy->without = policy_groups(&document->without_groups, &policy->groups_by_item);
	policy->prefer_count = document->prefer_groups.count;
	policy->prefer = policy_groups(&document->prefer_groups, &policy->groups_by_item);
	policy->keep_count = document->keep_together.count;
	policy->keep = palloc(sizeof(char *) * Max(1, policy->keep_count));
	for (int i = 0; i < policy->keep_count; i++)
		policy->keep[i] = ((ItemGroupDocument *) document->keep_together.items)[i].item_group;
	policy->floor_count = document->floors.count;
	policy->floors = palloc(sizeof(PolicyFloor) * Max(1, policy->floor_count));
	for (int i = 0; i < policy->floor_count; i++)
	{
		FloorDocument *row = (FloorDocument *) document->floors.items + i;

		policy->floors[i] = (PolicyFloor) {row->group, row->units};
	}
}

/* What it ranks by, which rules give way, and rules of the user's own. */
static void
set_lists_of_policy(RoutingPolicy *policy, const PolicyDocument *document)
{
	for (int i = 0; i < document->ranking.count; i++)
	{
		RankingDocument *term = (RankingDocument *) document->ranking.items + i;
		int			index = index_of(term_names, term->term);

		policy->terms[i] = (RankingTerm) {term_kinds[index], term_sources[index],
		term->tolerance == DOC_ABSENT ? 0 : term->tolerance};
	}
	policy->term_count = document->ranking.count;
	for (int i = 0; i < document->relax.count; i++)
		policy->relax[i] = find_rule(document, ((RelaxDocument *) document->relax.items)[i].rule);
	policy->relax_count = document->relax.count;
	policy->rule_count = document->rules.count;
	policy->rules = palloc0(sizeof(PolicyRule) * Max(1, document->rules.count));
	for (int i = 0; i < document->rules.count; i++)
	{
		RuleDocument *rule = (RuleDocument *) document->rules.items + i;

		policy->rules[i] = (PolicyRule)
		{
			rule->name, rule->expression, strcmp(rule->kind, "cost") == 0, strcmp(rule->kind, "rank") == 0,
				rule->per && strcmp(rule->per, "line") == 0, or_one(rule->weight)
		};
		policy->has_rank_rule |= policy->rules[i].rank;
	}
}

static RoutingPolicy *
policy_of_document(PolicyDocument *document)
{
	RoutingPolicy *policy = palloc0(sizeof(RoutingPolicy));

	policy->nearest = strcmp(document->objective, "nearest") == 0;
	policy->thumb = Max(0, index_of(objectives, document->objective) - OBJECTIVE_RANKING);
	policy->strategy = document->strategy;
	policy->fallback = document->fallback ? index_of(fallbacks, document->fallback) : FALLBACK_COST;
	policy->whole_lines = document->whole_lines == 1;
	policy->currency = document->currency;
	policy->converts = document->convert == 1;
	policy->shipping_weight = or_one(document->shipping_weight);
	policy->order_weight = or_one(document->order_weight);
	policy->line_weight = or_one(document->line_weight);
	policy->unit_weight = or_one(document->unit_weight);
	policy->margin_weight = or_zero(document->margin_weight);
	policy->markdown_weight = or_zero(document->markdown_weight);
	policy->stock_cost = thousandths(document->cost_of_low_stock);
	policy->supply_cost = thousandths(document->cost_of_low_supply);
	policy->supply_weeks = isnan(document->supply_weeks) ? SUPPLY_WEEKS_DEFAULT : document->supply_weeks;
	policy->load_cost = thousandths(document->cost_of_load);
	policy->load_threshold = or_zero(document->load_threshold);
	policy->load_exponent = or_one(document->load_exponent);
	policy->later_cost = thousandths(document->cost_per_unit_later);
	policy->later_value_weight = or_zero(document->later_value_weight);
	policy->scarcity_weight = or_zero(document->scarcity_weight);
	policy->scarcity_max_age = (document->scarcity_max_hours == DOC_ABSENT ? SCARCITY_HOURS_DEFAULT
								: document->scarcity_max_hours) * USECS_PER_HOUR;
	policy->max_kilometres = document->max_kilometres;
	policy->unknown_metres = isnan(document->unknown_kilometres) ? -1 : (int64) llround(document->unknown_kilometres * 1000);
	policy->max_places = document->max_places_per_line == DOC_ABSENT ? 0 : document->max_places_per_line;
	policy->ship_complete = document->ship_complete == 1;
	set_groups_of_policy(policy, document);
	policy->max_fulfillments = document->max_fulfillments == DOC_ABSENT ? 0 : document->max_fulfillments;
	policy->search_nodes = document->search_nodes == DOC_ABSENT ? SEARCH_NODES_DEFAULT : document->search_nodes;
	policy->in_time = document->in_time == 1;
	policy->cost_per_kilometre = thousandths(document->cost_per_kilometre);
	policy->cost_late = thousandths(document->cost_late);
	policy->cost_per_day_late = thousandths(document->cost_per_day_late);
	policy->least_value = thousandths(document->min_fulfillment_value);
	set_lists_of_policy(policy, document);
	return policy;
}

/* A definition that was checked when it was saved. */
RoutingPolicy *
oms_routing_policy_read(Jsonb *definition)
{
	FaultList	faults;
	PolicyDocument *document;

	oms_faults_init(&faults);
	document = oms_document_read(definition, &policy_shape, &faults);
	oms_faults_raise(&faults, "routing policy is not valid");
	return policy_of_document(document);
}

static void *
allocate(void *context, size_t size)
{
	return MemoryContextAllocExtended(context, size, MCXT_ALLOC_NO_OOM);
}

/* The user's own rules: each by itself, then what runs as they will. */
static void
check_rules(PolicyDocument *document, const char *owner, FaultList *faults)
{
	RoutingPolicy *policy;
	int			before;
	int			ranks = document->prefer_groups.count > 0;

	oms_document_duplicates(&document->rules, &rule_shape, offsetof(RuleDocument, name), "definition.rules", "name", faults);
	before = faults->count;
	for (int i = 0; i < document->rules.count; i++)
	{
		RuleDocument *rule = (RuleDocument *) document->rules.items + i;

		if (index_of(oms_routing_rule_names, rule->name) < RULE_COUNT)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give the rule another name.",
					  psprintf("definition.rules[%d].name", i), "\"%s\" is a rule of its own", rule->name);
		if (strcmp(rule->kind, "require") != 0 && rule->per && strcmp(rule->per, "line") == 0)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A cost or rank is of the package: leave out per, and use skus.",
					  psprintf("definition.rules[%d].per", i), "a %s cannot be per line", rule->kind);
		if (strcmp(rule->kind, "cost") != 0 && !isnan(rule->weight))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Only a cost has a weight.",
					  psprintf("definition.rules[%d].weight", i), "is given for a %s", strcmp(rule->kind, "rank") == 0 ? "rank" : "condition");
		if (strcmp(rule->kind, "rank") == 0 && ranks++ > 0)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Ranks come from one rule, or from prefer_groups.",
					  psprintf("definition.rules[%d].kind", i), "ranks are given already");
	}
	for (int i = 0; i < document->relax.count; i++)
	{
		char	   *name = ((RelaxDocument *) document->relax.items)[i].rule;
		int			index = find_rule(document, name);

		if (index < 0 || (index >= RULE_COUNT &&
						  strcmp(((RuleDocument *) document->rules.items)[index - RULE_COUNT].kind, "require") != 0))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT,
					  "Use the name of a field that is a hard rule (groups for only_groups and without_groups) or of a condition in rules.",
					  psprintf("definition.relax[%d].rule", i), "\"%s\" is no condition", name);
	}
	if (faults->count > before)
		return;
	policy = policy_of_document(document);
	policy->owner = owner;
	oms_rules_check(policy, faults);
}

/* Whether the kernel has an exact method for a list of terms: a tiny problem tells. */
static bool
is_ranking_supported(const RoutingPolicy *policy)
{
	int32		one = 1;
	int64		zero = 0;
	RouteTerm	terms[RANKING_TERMS_MAX];
	RouteProblem problem = {
		.line_count = 1,.location_count = 1,.quantity = &one,.stock = &one,.unit_cost = &zero,.fixed_cost = &zero
	};
	RouteControl control = {.alloc = allocate,.alloc_context = CurrentMemoryContext};
	RouteResult result = {0};

	for (int i = 0; i < policy->term_count; i++)
		terms[i] = (RouteTerm) {policy->terms[i].kind, policy->terms[i].tolerance, &zero};
	return route_solve_lexicographic(&problem, &control, terms, policy->term_count, &zero, &result) == ROUTE_OPTIMAL;
}

/* Every service that is there must have a rate today. */
static void
check_conversion(const PolicyDocument *document, FaultList *faults)
{
	Network    *network = oms_network();

	if (document->convert != 1)
		return;
	if (document->currency == NULL)
	{
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Prices are converted to it.", "definition.currency",
				  "is required with convert");
		return;
	}
	for (int i = 0; i < network->service_count; i++)
		if (oms_exchange_rate(network, network->services[i].currency, document->currency, oms_call->now) == 0)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "oms.load_exchange_rates adds a rate.", "definition.convert",
					  "service \"%s\" has no exchange rate from %s to %s today", network->services[i].code,
					  network->services[i].currency, document->currency);
}

static bool
is_same_group(const GroupDocument *a, const GroupDocument *b)
{
	return strcmp(a->group, b->group) == 0 &&
		(a->item_group && b->item_group ? strcmp(a->item_group, b->item_group) == 0 : a->item_group == b->item_group);
}

static void
check_groups(const DocArray *groups, const DocArray *others, const char *field, FaultList *faults)
{
	for (int i = 0; i < groups->count; i++)
	{
		const GroupDocument *row = (GroupDocument *) groups->items + i;
		const char *group = row->group;

		if (!oms_location_group_exists(group))
			oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations with groups makes it.",
					  psprintf("definition.%s[%d].group", field, i), "group \"%s\" is not known", group);
		for (int j = 0; others && j < others->count; j++)
			if (is_same_group((GroupDocument *) others->items + j, row))
				oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A group is either in or out.",
						  psprintf("definition.%s[%d].group", field, i), "\"%s\" is in only_groups too", group);
	}
}

/* Whether the policy has the built-in rule of an index. */
static bool
has_rule(const PolicyDocument *document, int rule)
{
	switch ((RoutingRule) rule)
	{
		case RULE_MAX_KILOMETRES:
			return !isnan(document->max_kilometres);
		case RULE_MAX_FULFILLMENTS:
			return document->max_fulfillments != DOC_ABSENT;
		case RULE_WHOLE_LINES:
			return document->whole_lines == 1;
		case RULE_IN_TIME:
			return document->in_time == 1;
		case RULE_GROUPS:
			return document->only_groups.count + document->without_groups.count > 0;
		case RULE_LEAST_VALUE:
			return document->min_fulfillment_value != NULL;
		case RULE_PLACES:
			return document->max_places_per_line != DOC_ABSENT;
		case RULE_SHIP_COMPLETE:
			return document->ship_complete == 1;
		case RULE_KEEP_TOGETHER:
			return document->keep_together.count > 0;
		case RULE_FLOORS:
			return document->floors.count > 0;
		default:
			return true;		/* its own: check_rules */
	}
}

/* Whether the plan costs anything, so that one can be the cheapest. */
static bool
has_costs(const RoutingPolicy *policy)
{
	for (int i = 0; i < policy->rule_count; i++)
		if (policy->rules[i].cost && policy->rules[i].weight > 0)
			return true;
	return policy->shipping_weight > 0 || policy->order_weight > 0 || policy->unit_weight > 0 ||
		policy->line_weight > 0 || policy->scarcity_weight > 0 || policy->margin_weight > 0 || policy->markdown_weight > 0 ||
		policy->stock_cost > 0 || policy->supply_cost > 0 || policy->load_cost > 0 || policy->later_cost > 0 ||
		policy->later_value_weight > 0 || policy->cost_per_kilometre > 0 || policy->cost_late > 0 ||
		policy->cost_per_day_late > 0;
}

/* The search for plans that obey a least value needs whole lines and a cost. */
static void
check_least_value(const PolicyDocument *document, const RoutingPolicy *policy, FaultList *faults)
{
	bool		given_up = false;

	if (policy->least_value == 0)
		return;
	if (strcmp(document->objective, "cost") != 0 &&
		(policy->strategy == NULL || policy->fallback == FALLBACK_RANKING || policy->fallback == FALLBACK_NEAREST))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Use objective \"cost\", or a strategy with fallback cost or refuse.",
				  "definition.min_fulfillment_value", "needs objective \"cost\"");
	if (!policy->whole_lines)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give whole_lines, too.", "definition.min_fulfillment_value",
				  "needs whole_lines");
	for (int i = 0; i < document->relax.count; i++)
	{
		given_up |= policy->relax[i] == RULE_LEAST_VALUE;
		if (policy->relax[i] == RULE_WHOLE_LINES && !given_up)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Let min_fulfillment_value give way before it.",
					  psprintf("definition.relax[%d].rule", i), "min_fulfillment_value needs whole_lines");
	}
}

/* A field that means nothing without others. */
static void
check_needed(bool given, bool needed, const char *field, const char *others, FaultList *faults)
{
	if (given && !needed)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, psprintf("Give %s, too.", others), psprintf("definition.%s", field),
				  "means nothing without %s", others);
}

/* Terms that have a number of their own beside their price. */
static void
check_terms(const PolicyDocument *document, const RoutingPolicy *policy, FaultList *faults)
{
	bool		by_supply = policy->supply_cost > 0;
	bool		by_distance = !isnan(policy->max_kilometres) || policy->cost_per_kilometre > 0 || policy->thumb > 0;

	for (int i = 0; i < policy->term_count; i++)
		by_distance |= policy->terms[i].kind == ROUTE_TERM_DISTANCE;
	check_needed(document->scarcity_max_hours != DOC_ABSENT, policy->scarcity_weight > 0, "scarcity_max_hours",
				 "scarcity_weight", faults);
	check_needed(!isnan(document->supply_weeks), by_supply, "supply_weeks", "cost_of_low_supply", faults);
	check_needed(!isnan(document->load_threshold), policy->load_cost > 0, "load_threshold", "cost_of_load", faults);
	check_needed(!isnan(document->load_exponent), policy->load_cost > 0, "load_exponent", "cost_of_load", faults);
	check_needed(policy->unknown_metres >= 0, by_distance, "unknown_kilometres",
				 "max_kilometres, cost_per_kilometre or a ranking by distance", faults);
}

/* Limits on how a line or an order is divided. */
static void
check_splits(const PolicyDocument *document, const RoutingPolicy *policy, FaultList *faults)
{
	int			whole_given_up = -1;
	int			places_given_up = -1;

	for (int i = 0; i < document->relax.count; i++)
	{
		if (policy->relax[i] == RULE_WHOLE_LINES)
			whole_given_up = i;
		if (policy->relax[i] == RULE_PLACES)
			places_given_up = i;
	}
	if (policy->max_places > 0 && policy->whole_lines &&
		(whole_given_up < 0 || (places_given_up >= 0 && places_given_up < whole_given_up)))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Leave one of them out, or let whole_lines give way before it.",
				  "definition.max_places_per_line", "whole_lines allows one location per line already");
	if (policy->ship_complete && (policy->later_cost > 0 || policy->later_value_weight > 0))
	{
		bool		given_up = false;

		for (int i = 0; i < document->relax.count; i++)
			given_up |= policy->relax[i] == RULE_SHIP_COMPLETE;
		if (!given_up)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Leave out what units cost that wait.", "definition.ship_complete",
					  "no unit may wait while others are sent");
	}
	for (int i = 0; i < policy->keep_count; i++)
		for (int j = 0; j < i; j++)
			if (strcmp(policy->keep[i], policy->keep[j]) == 0)
				oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each group stands once.",
						  psprintf("definition.keep_together[%d].item_group", i), "stands there already");
}

/* A floor behind one for all locations is never reached. */
static void
check_floors(const PolicyDocument *document, FaultList *faults)
{
	for (int i = 0; i < document->floors.count; i++)
	{
		FloorDocument *row = (FloorDocument *) document->floors.items + i;

		if (row->group && !oms_location_group_exists(row->group))
			oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations with groups makes it.",
					  psprintf("definition.floors[%d].group", i), "group \"%s\" is not known", row->group);
		if (i > 0 && ((FloorDocument *) document->floors.items)[i - 1].group == NULL)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "The one without a group stands last.",
					  psprintf("definition.floors[%d].group", i), "comes behind the floor of all locations");
	}
}

/* Rules that contradict each other, or nothing at all. */
static void
check_contradictions(PolicyDocument *document, Jsonb *definition, FaultList *faults)
{
	RoutingPolicy *policy = policy_of_document(document);

	if (policy->nearest && JB_ROOT_COUNT(definition) > 1)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "nearest_complete is nearly the same rule, and obeys the others.",
				  "definition.objective", "the built-in rule \"nearest\" obeys no other rule");
	if (policy->thumb > 0 && strcmp(document->objective, "fewest_splits") != 0 && policy->max_fulfillments > 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Use cost, ranking or fewest_splits.", "definition.max_fulfillments",
				  "a rule of thumb does not obey it");
	check_terms(document, policy, faults);
	check_splits(document, policy, faults);
	check_least_value(document, policy, faults);
	if (strcmp(document->objective, "cost") == 0 && !has_costs(policy))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give a weight, a price or a rule of kind cost.", "definition.objective",
				  "every plan costs nothing");
	for (int i = 0; i < document->relax.count; i++)
		if (!has_rule(document, policy->relax[i]))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A rule that the policy does not have cannot give way.",
					  psprintf("definition.relax[%d].rule", i), "the policy does not have it");
	for (int i = 0; i < policy->term_count; i++)
		for (int j = 0; j < i; j++)
			if (policy->terms[i].kind == policy->terms[j].kind && policy->terms[i].source == policy->terms[j].source)
				oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each term stands once.", psprintf("definition.ranking[%d].term", i),
						  "stands there already");
}

/* The function, and what plans where its answer is not taken. */
static void
check_strategy(const PolicyDocument *document, const char *owner, FaultList *faults)
{
	bool		planned = strcmp(document->objective, "strategy") == 0;

	if (planned != (document->strategy != NULL))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Objective strategy and the name in strategy go together.",
				  "definition.strategy", planned ? "is required" : "needs objective \"strategy\"");
	if (planned != (document->fallback != NULL))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A strategy may fail: fallback is cost, ranking, nearest or refuse.",
				  "definition.fallback", planned ? "is required" : "needs objective \"strategy\"");
	if (planned && document->strategy)
		oms_strategy_check(document->strategy, owner, faults);
}

static void
check_policy(PolicyDocument *document, Jsonb *definition, const char *owner, FaultList *faults)
{
	bool		ranked = strcmp(document->objective, "ranking") == 0 ||
		(document->fallback && strcmp(document->fallback, "ranking") == 0);

	check_conversion(document, faults);
	check_groups(&document->only_groups, NULL, "only_groups", faults);
	check_groups(&document->without_groups, &document->only_groups, "without_groups", faults);
	check_groups(&document->prefer_groups, NULL, "prefer_groups", faults);
	oms_document_duplicates(&document->prefer_groups, &preferred_shape, offsetof(GroupDocument, group), "definition.prefer_groups",
							"group", faults);
	check_floors(document, faults);
	if (document->currency && oms_currency_digits(document->currency) < 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Use an ISO 4217 code such as EUR.", "definition.currency",
				  "\"%s\" is not a currency", document->currency);
	if (ranked != (document->ranking.count > 0))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Objective or fallback ranking and the list ranking go together.",
				  "definition.ranking", ranked ? "is required" : "needs objective or fallback \"ranking\"");
	check_strategy(document, owner, faults);
	oms_document_duplicates(&document->relax, &relax_shape, offsetof(RelaxDocument, rule), "definition.relax", "rule",
							faults);
	check_rules(document, owner, faults);
	if (faults->count == 0)
		check_contradictions(document, definition, faults);
	if (faults->count == 0 && ranked && !is_ranking_supported(policy_of_document(document)))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT,
				  "A tolerance on another term than fulfillments may be followed by fulfillments only.",
				  "definition.ranking", "has no exact method in this order of terms");
}

/* Names every fault of a definition that somebody saves, or that is to become active. */
void
oms_routing_policy_check(Jsonb *definition, const char *owner)
{
	FaultList	faults;
	PolicyDocument *document = NULL;

	oms_faults_init(&faults);
	if (definition == NULL)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an object with objective.", "definition", "is null");
	else
		document = oms_document_read(definition, &policy_shape, &faults);
	if (faults.count == 0)
		check_policy(document, definition, owner, &faults);
	oms_faults_raise(&faults, "routing policy is not valid");
}

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {routing_policy_versions} (tenant_id, code, version, definition, created_at, owner)"
	" SELECT $1, $2, coalesce(max(version), 0) + 1, $3, $4, $5 FROM {routing_policy_versions}"
	" WHERE tenant_id = $1 AND code = $2 RETURNING version",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID, JSONBOID, TIMESTAMPTZOID, TEXTOID)
};

/* A draft is saved anew in its place. */
static OmsPlan replace_plan = {
	.sql = "UPDATE {routing_policy_versions} SET definition = $3, created_at = $4, owner = $5"
	" WHERE tenant_id = $1 AND code = $2 AND version = $6 AND active_from IS NULL RETURNING version",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID, JSONBOID, TIMESTAMPTZOID, TEXTOID, INT4OID)
};

static void
read_version(TupleTableSlot *slot, void *state)
{
	*(int32 *) state = oms_slot_int32(slot, 1);
}

/* A version that is a draft; others stay what they are. */
static void
refuse_version(const char *code, int32 version)
{
	ereport(ERROR,
			(errcode(ERRCODE_OMS_TRANSITION),
			 errmsg("policy \"%s\" has no draft of version %d", code, version),
			 errdetail("version: is not there, or scheduled, active or archived"),
			 errhint("Only drafts change: leave version out for a new one.")));
}

/*
 * oms.save_routing_policy(code text, definition jsonb, version integer, idempotency_key text) -> integer
 */
OMS_FUNCTION(oms_save_routing_policy, CALL_KEYED)
{
	char	   *code = oms_argument_required(fcinfo, 0, "code");
	char	   *owner = GetUserNameFromId(oms_call->user, false);
	Datum		values[6];
	int32		version = 0;

	oms_routing_policy_check(PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), owner);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = CStringGetTextDatum(code);
	values[2] = PG_GETARG_DATUM(1);
	values[3] = TimestampTzGetDatum(oms_call->now);
	values[4] = CStringGetTextDatum(owner);
	values[5] = PG_GETARG_DATUM(2);
	if (oms_execute_each(PG_ARGISNULL(2) ? &insert_plan : &replace_plan, values, NULL, read_version, &version) == 0)
		refuse_version(code, PG_GETARG_INT32(2));
	oms_event(&(Event) {.object_type = "routing_policy",.type = "routing_policy.saved",.reason = code,
			.data = PG_GETARG_JSONB_P(1)});
	PG_RETURN_INT32(version);
}
