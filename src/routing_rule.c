/*
 * routing_rule.c
 *	  Rules of a routing policy that are SQL expressions of its owner.
 *
 * All rules of a policy are one statement, or two where some look at each line:
 * it runs once per order, over all locations that have anything of it.  Where
 * it fails the order has no plan, and the reason says why.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "executor/spi_priv.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/optimizer.h"
#include "parser/parser.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

#include "call.h"
#include "network.h"
#include "relation.h"
#include "routing_owner.h"
#include "routing_rule.h"

/* A cost beyond this is a mistake, and the kernel's limits are not far. */
#define COST_MAX		1000000000

/* As for the ranks of locations. */
#define RANK_MAX		1000000

typedef enum RuleScope
{
	SCOPE_LOCATION,
	SCOPE_LINE
} RuleScope;

/* ---- The statement ---- */

/* What an expression may name, besides the tables of its owner. */
#define ORDER_COLUMNS \
	"$5::text AS channel, $6::text AS external_ref, $7::text AS customer, $8::text AS customer_class," \
	" $9::text AS country, $10::text AS postal_code, $11::float8 AS latitude, $12::float8 AS longitude," \
	" $13::text AS service, $14::timestamptz AS at, $15::text[] AS skus, $16::int[] AS quantities, $17::jsonb AS attributes"

#define LOCATION_COLUMNS \
	"l.n AS location_n, l.location_id, l.location, l.kilometres"

static Oid argument_types[] = {
	INT8ARRAYOID, TEXTARRAYOID, FLOAT8ARRAYOID, INT4ARRAYOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
	FLOAT8OID, FLOAT8OID, TEXTOID, TIMESTAMPTZOID, TEXTARRAYOID, INT4ARRAYOID, JSONBOID, JSONBARRAYOID, JSONBARRAYOID,
	JSONBARRAYOID
};

#define ARGUMENT_COUNT lengthof(argument_types)

/* Attributes that only a statement which names them has, and what gives them. */
typedef struct AttributeColumn
{
	const char *name;
	RuleScope	scope;
	int			argument;		/* $n: an array of jsonb */
	const char *place;			/* in the array */
} AttributeColumn;

enum
{
	OF_LOCATIONS,
	OF_LINES,
	OF_ITEMS
};

static const AttributeColumn attribute_columns[] = {
	[OF_LOCATIONS] = {"location_attributes", SCOPE_LOCATION, 18, "l.n"},
	[OF_LINES] = {"line_attributes", SCOPE_LINE, 19, "i.n"},
	[OF_ITEMS] = {"item_attributes", SCOPE_LINE, 20, "i.n"},
};

static OmsPlan location_attributes_plan = {
	.sql = "SELECT u.n, x.attributes FROM unnest($2::bigint[]) WITH ORDINALITY u(id, n)"
	" JOIN {locations} x ON x.location_id = u.id AND x.tenant_id = $1 WHERE x.attributes <> '{}'",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan item_attributes_plan = {
	.sql = "SELECT u.n, x.attributes FROM unnest($2::bigint[]) WITH ORDINALITY u(id, n)"
	" JOIN {items} x ON x.item_id = u.id AND x.tenant_id = $1 WHERE x.attributes <> '{}'",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static bool
in_scope(const PolicyRule *rule, RuleScope scope)
{
	return rule->per_line == (scope == SCOPE_LINE);
}

/* Whether an expression may mean the column: one that has its name in a string gets it for nothing. */
static bool
names_column(const PolicyRule *rules, int count, const AttributeColumn *column)
{
	for (int i = 0; i < count; i++)
		if (strcasestr(rules[i].expression, column->name) && (column->scope == SCOPE_LOCATION || rules[i].per_line))
			return true;
	return false;
}

/*
 * The statement of the given rules.  An expression ends with its line, so that
 * a comment in it does not swallow what follows.
 */
static char *
make_statement(const PolicyRule *rules, int count, RuleScope scope)
{
	StringInfoData sql;

	initStringInfo(&sql);
	appendStringInfoString(&sql, scope == SCOPE_LINE ? "SELECT this.location_n, this.line_n" : "SELECT this.location_n, 0::bigint");
	for (int i = 0; i < count; i++)
		if (in_scope(&rules[i], scope))
			appendStringInfo(&sql, ", (%s\n)%s", rules[i].expression, rules[i].cost || rules[i].rank ? "::pg_catalog.numeric" : "");
	appendStringInfoString(&sql, " FROM (SELECT " LOCATION_COLUMNS ", " ORDER_COLUMNS);
	if (scope == SCOPE_LINE)
		appendStringInfoString(&sql, ", i.n AS line_n, i.sku, i.quantity, ($4::int[])[(i.n - 1) * cardinality($1) + l.n] AS free");
	for (int i = 0; i < lengthof(attribute_columns); i++)
		if (attribute_columns[i].scope <= scope && names_column(rules, count, &attribute_columns[i]))
			appendStringInfo(&sql, ", ($%d::jsonb[])[%s] AS %s", attribute_columns[i].argument, attribute_columns[i].place,
							 attribute_columns[i].name);
	appendStringInfoString(&sql, " FROM unnest($1::bigint[], $2::text[], $3::float8[]) WITH ORDINALITY l(location_id, location,"
						   " kilometres, n)");
	if (scope == SCOPE_LINE)
		appendStringInfoString(&sql, " CROSS JOIN unnest($15::text[], $16::int[]) WITH ORDINALITY i(sku, quantity, n)");
	appendStringInfoString(&sql, ") AS this");
	return sql.data;
}

/* Whether a text is one expression, whatever stands around it. */
static bool
is_expression(const char *text)
{
	List	   *parsed = raw_parser(text, RAW_PARSE_PLPGSQL_EXPR);
	RawStmt    *raw = linitial_node(RawStmt, parsed);
	SelectStmt *select = (SelectStmt *) raw->stmt;

	return list_length(parsed) == 1 && IsA(select, SelectStmt) && select->op == SETOP_NONE &&
		list_length(select->targetList) == 1 && !IsA(linitial_node(ResTarget, select->targetList)->val, SetToDefault) &&
		select->distinctClause == NIL && select->fromClause == NIL && select->whereClause == NULL &&
		select->groupClause == NIL && select->havingClause == NULL && select->windowClause == NIL &&
		select->sortClause == NIL && select->limitOffset == NULL && select->limitCount == NULL &&
		select->lockingClause == NIL && select->withClause == NULL && select->valuesLists == NIL &&
		linitial_node(ResTarget, select->targetList)->name == NULL;
}

static bool
find_fault(Node *node, void *context)
{
	const char **fault = context;

	if (node == NULL || *fault)
		return false;
	if (IsA(node, Query))
	{
		Query	   *query = (Query *) node;
		ListCell   *cell;

		if (query->commandType != CMD_SELECT || query->hasModifyingCTE || query->rowMarks != NIL)
			*fault = "changes or locks rows";
		foreach(cell, query->rtable)
		{
			RangeTblEntry *entry = lfirst_node(RangeTblEntry, cell);

			if (entry->rtekind == RTE_RELATION && get_rel_persistence(entry->relid) == RELPERSISTENCE_TEMP)
				*fault = "reads a temporary table";
		}
		return query_tree_walker(query, find_fault, context, 0);
	}
	return expression_tree_walker(node, find_fault, context);
}

/* Why the statement may not run; NULL: it may. */
static const char *
find_statement_fault(SPIPlanPtr plan)
{
	CachedPlanSource *source = linitial(plan->plancache_list);
	Query	   *query;
	const char *fault = NULL;

	if (list_length(plan->plancache_list) != 1 || list_length(source->query_list) != 1)
		return "is no single expression";
	query = linitial_node(Query, source->query_list);
	if (query->hasAggs || query->hasWindowFuncs || query->hasTargetSRFs)
		return "has an aggregate, a window or a set of rows outside of a sub-select";
	if (contain_volatile_functions((Node *) query))
		return "calls a volatile function";
	(void) find_fault((Node *) query, &fault);
	return fault;
}

/* Prepares a statement of checked expressions, in the text's own lexical rules. */
static SPIPlanPtr
prepare(const PolicyRule *rules, int count, RuleScope scope)
{
	bool		conforming = standard_conforming_strings;
	SPIPlanPtr	plan = NULL;
	const char *fault;

	standard_conforming_strings = true;
	PG_TRY();
	{
		for (int i = 0; i < count; i++)
			if (!is_expression(rules[i].expression))
				ereport(ERROR,
						(errcode(ERRCODE_SYNTAX_ERROR),
						 errmsg("it is no single expression")));
		plan = SPI_prepare(make_statement(rules, count, scope), ARGUMENT_COUNT, argument_types);
	}
	PG_FINALLY();
	{
		standard_conforming_strings = conforming;
	}
	PG_END_TRY();
	if (plan == NULL)
		elog(ERROR, "statement could not be prepared: %s", SPI_result_code_string(SPI_result));
	fault = find_statement_fault(plan);
	if (fault)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("it %s", fault)));
	return plan;
}

static SPIPlanPtr
kept_statement(const RoutingPolicy *policy, RuleScope scope, Oid role)
{
	char	   *sql = make_statement(policy->rules, policy->rule_count, scope);
	SPIPlanPtr	plan = oms_owner_kept(sql, role);

	if (plan)
		return plan;
	plan = prepare(policy->rules, policy->rule_count, scope);
	oms_owner_keep(sql, role, plan);
	return plan;
}

/* ---- Evaluating ---- */

typedef struct Evaluation
{
	const RoutingPolicy *policy;
	const RoutingRequest *request;
	RuleVerdict *verdict;
	int		   *places;			/* those that have anything */
	int			place_count;
	Datum		values[ARGUMENT_COUNT];
	char		nulls[ARGUMENT_COUNT + 1];
} Evaluation;

static Datum
double_or_null(double number, char *null)
{
	*null = isnan(number) ? 'n' : ' ';
	return Float8GetDatum(number);
}

typedef struct AttributeList
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
} AttributeList;

static AttributeList
make_attributes(int count)
{
	AttributeList list = {palloc(sizeof(Datum) * Max(1, count)), palloc(Max(1, count)), count};

	for (int i = 0; i < count; i++)
		list.nulls[i] = true;
	return list;
}

static void
collect_attributes(TupleTableSlot *slot, void *state)
{
	AttributeList *list = state;
	int64		n = oms_slot_int64(slot, 1) - 1;

	list->values[n] = JsonbPGetDatum(DatumGetJsonbPCopy(oms_slot_datum(slot, 2, &list->nulls[n])));
}

static Datum
attributes_of_rows(OmsPlan *plan, const int64 *ids, int count)
{
	AttributeList list = make_attributes(count);
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(ids, count)};

	(void) oms_execute_each(plan, values, NULL, collect_attributes, &list);
	return oms_array_datum(list.values, list.nulls, count, JSONBOID);
}

static Datum
attributes_of_lines(const RoutingRequest *request)
{
	AttributeList list = make_attributes(request->line_count);

	for (int i = 0; i < list.count; i++)
	{
		list.nulls[i] = request->lines[i].attributes == NULL;
		list.values[i] = JsonbPGetDatum(request->lines[i].attributes);
	}
	return oms_array_datum(list.values, list.nulls, list.count, JSONBOID);
}

/* Reads those attributes that an expression of the policy names; the check of a rule has no policy and needs none. */
static void
fill_attributes(Evaluation *evaluation)
{
	const RoutingPolicy *policy = evaluation->policy;
	const RoutingRequest *request = evaluation->request;
	int64	   *ids = palloc(sizeof(int64) * Max(1, Max(request->line_count, evaluation->place_count)));

	for (int i = 0; i < lengthof(attribute_columns); i++)
	{
		int			argument = attribute_columns[i].argument - 1;

		evaluation->nulls[argument] = 'n';
		if (policy == NULL || !names_column(policy->rules, policy->rule_count, &attribute_columns[i]))
			continue;
		evaluation->nulls[argument] = ' ';
		if (i == OF_LINES)
		{
			evaluation->values[argument] = attributes_of_lines(request);
			continue;
		}
		for (int line = 0; i == OF_ITEMS && line < request->line_count; line++)
			ids[line] = request->lines[line].item_id;
		for (int place = 0; i == OF_LOCATIONS && place < evaluation->place_count; place++)
			ids[place] = request->locations[evaluation->places[place]]->location_id;
		evaluation->values[argument] = i == OF_ITEMS
			? attributes_of_rows(&item_attributes_plan, ids, request->line_count)
			: attributes_of_rows(&location_attributes_plan, ids, evaluation->place_count);
	}
}

/* Finds the places, and what the statements are given. */
static void
fill_arguments(Evaluation *evaluation)
{
	const RoutingRequest *request = evaluation->request;
	int			count = 0;
	int64	   *ids = palloc(sizeof(int64) * Max(1, request->location_count));
	char	  **codes = palloc(sizeof(char *) * Max(1, request->location_count));
	Datum	   *distances = palloc(sizeof(Datum) * Max(1, request->location_count));
	bool	   *unknown = palloc(sizeof(bool) * Max(1, request->location_count));
	char	  **skus = palloc(sizeof(char *) * Max(1, request->line_count));
	int32	   *quantities = palloc(sizeof(int32) * Max(1, request->line_count));
	int32	   *free;
	Datum	   *values = evaluation->values;
	char	   *nulls = evaluation->nulls;

	for (int i = 0; i < request->location_count; i++)
	{
		int64		metres;
		bool		has_any = false;

		for (int line = 0; line < request->line_count && !has_any; line++)
			has_any = request->free[(Size) line * request->location_count + i] > 0;
		if (!has_any)
			continue;
		metres = oms_routing_metres(request, i);
		ids[count] = request->locations[i]->location_id;
		codes[count] = unconstify(char *, request->locations[i]->code);
		distances[count] = Float8GetDatum(metres / 1000.0);
		unknown[count] = metres < 0;
		evaluation->places[count++] = i;
	}
	evaluation->place_count = count;
	free = palloc(sizeof(int32) * Max(1, (Size) request->line_count * count));
	for (int line = 0; line < request->line_count; line++)
	{
		skus[line] = unconstify(char *, request->lines[line].sku);
		quantities[line] = request->lines[line].quantity;
		for (int i = 0; i < count; i++)
			free[line * count + i] = request->free[(Size) line * request->location_count + evaluation->places[i]];
	}
	memset(nulls, ' ', ARGUMENT_COUNT);
	values[0] = oms_array_int64(ids, count);
	values[1] = oms_array_text(codes, count);
	values[2] = oms_array_datum(distances, unknown, count, FLOAT8OID);
	values[3] = oms_array_int32(free, request->line_count * count);
	values[4] = oms_text_or_null(request->channel_code, &nulls[4]);
	values[5] = oms_text_or_null(request->external_ref, &nulls[5]);
	values[6] = oms_text_or_null(request->customer, &nulls[6]);
	values[7] = oms_text_or_null(request->customer_class, &nulls[7]);
	values[8] = oms_text_or_null(request->destination.country, &nulls[8]);
	values[9] = oms_text_or_null(request->destination.postal_code, &nulls[9]);
	values[10] = double_or_null(request->destination.latitude, &nulls[10]);
	values[11] = double_or_null(request->destination.longitude, &nulls[11]);
	values[12] = oms_text_or_null(request->service, &nulls[12]);
	values[13] = TimestampTzGetDatum(oms_call->now);
	values[14] = oms_array_text(skus, request->line_count);
	values[15] = oms_array_int32(quantities, request->line_count);
	nulls[16] = request->attributes ? ' ' : 'n';
	values[16] = JsonbPGetDatum(request->attributes);
	fill_attributes(evaluation);
}

static int64
cost_of(const PolicyRule *rule, const char *location, Datum value)
{
	Numeric		amount = DatumGetNumeric(value);
	double		number;

	if (numeric_is_nan(amount) || numeric_is_inf(amount))
		number = -1;
	else
		number = DatumGetFloat8(DirectFunctionCall1(numeric_float8, value)) * rule->weight;
	if (number < 0 || number > COST_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("rule \"%s\" gives %s for location \"%s\", not 0 to %d", rule->name,
						numeric_normalize(amount), location, COST_MAX)));
	return (int64) llround(number * 1000);
}

/* Without a rank a location comes last. */
static int32
rank_of(const PolicyRule *rule, const char *location, Datum value, bool isnull)
{
	bool		overflows = false;
	int32		rank;

	if (isnull)
		return RANK_MAX;
	rank = numeric_int4_opt_error(DatumGetNumeric(value), &overflows);
	if (overflows || rank < 0 || rank > RANK_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				 errmsg("rule \"%s\" gives %s for location \"%s\", not 0 to %d", rule->name,
						numeric_normalize(DatumGetNumeric(value)), location, RANK_MAX)));
	return rank;
}

/* What a row says about a place, and in SCOPE_LINE about a line. */
static void
keep_row(Evaluation *evaluation, RuleScope scope, HeapTuple tuple, TupleDesc descriptor)
{
	const RoutingRequest *request = evaluation->request;
	bool		isnull;
	int64		place_no = DatumGetInt64(SPI_getbinval(tuple, descriptor, 1, &isnull)) - 1;
	int64		line_no = DatumGetInt64(SPI_getbinval(tuple, descriptor, 2, &isnull)) - 1;
	int			place = evaluation->places[place_no];
	int			column = 3;

	for (int rule = 0; rule < evaluation->policy->rule_count; rule++)
	{
		const PolicyRule *row = &evaluation->policy->rules[rule];
		Datum		value;

		if (!in_scope(row, scope))
			continue;
		value = SPI_getbinval(tuple, descriptor, column++, &isnull);
		if (row->rank)
			evaluation->verdict->ranks[place] = rank_of(row, request->locations[place]->code, value, isnull);
		if (row->rank)
			continue;
		if (row->cost)
		{
			if (!isnull)
				evaluation->verdict->costs[(Size) rule * request->location_count + place] =
					cost_of(row, request->locations[place]->code, value);
			continue;
		}
		for (int line = 0; line < request->line_count; line++)
			if (scope == SCOPE_LOCATION || line == line_no)
				evaluation->verdict->allowed[((Size) rule * request->line_count + line) * request->location_count + place] =
					!isnull && DatumGetBool(value);
	}
}

static void
evaluate(void *state, Oid role)
{
	Evaluation *evaluation = state;

	for (RuleScope scope = SCOPE_LOCATION; scope <= SCOPE_LINE; scope++)
	{
		bool		any = false;
		int			count;

		for (int i = 0; i < evaluation->policy->rule_count; i++)
			any |= in_scope(&evaluation->policy->rules[i], scope);
		if (!any)
			continue;
		count = oms_owner_query(kept_statement(evaluation->policy, scope, role), evaluation->values, evaluation->nulls);
		for (int i = 0; i < count; i++)
			keep_row(evaluation, scope, SPI_tuptable->vals[i], SPI_tuptable->tupdesc);
		SPI_freetuptable(SPI_tuptable);
	}
}

RuleVerdict *
oms_rules_evaluate(const RoutingPolicy *policy, const RoutingRequest *request)
{
	Evaluation	evaluation = {.policy = policy,.request = request};
	Size		cells = (Size) policy->rule_count * request->location_count;
	char	   *failure;

	evaluation.verdict = palloc0(sizeof(RuleVerdict));
	evaluation.verdict->allowed = MemoryContextAllocExtended(CurrentMemoryContext, Max(1, cells * request->line_count),
															 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	evaluation.verdict->costs = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(int64) * Max(1, cells),
														   MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	if (policy->has_rank_rule)
		evaluation.verdict->ranks = palloc0(sizeof(int32) * Max(1, request->location_count));
	evaluation.places = palloc(sizeof(int) * Max(1, request->location_count));
	fill_arguments(&evaluation);
	if (evaluation.place_count == 0)
		return evaluation.verdict;
	failure = oms_owner_run(policy->owner, evaluate, &evaluation);
	if (failure)
		evaluation.verdict->failure = psprintf("The rules of the policy could not be evaluated: %s.", failure);
	return evaluation.verdict;
}

/* ---- Checking ---- */

static bool
is_number(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID || type == NUMERICOID || type == FLOAT4OID ||
		type == FLOAT8OID;
}

/* Prepares, checks and runs one rule, over no location. */
static void
check_rule(void *state, Oid role)
{
	PolicyRule	plain = *(PolicyRule *) state;
	bool		number = plain.cost || plain.rank;
	Evaluation	evaluation = {0};
	RoutingRequest request = {.destination = {.latitude = NAN,.longitude = NAN}};
	SPIPlanPtr	plan;
	CachedPlanSource *source;
	Oid			type;

	/* Without its cast, so that the type is the expression's own. */
	plain.cost = plain.rank = false;
	plan = prepare(&plain, 1, plain.per_line ? SCOPE_LINE : SCOPE_LOCATION);
	source = linitial(plan->plancache_list);
	type = TupleDescAttr(source->resultDesc, 2)->atttypid;
	if (number ? !is_number(type) : type != BOOLOID)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("it is of type %s, not %s", format_type_be(type), number ? "a number" : "boolean")));
	evaluation.request = &request;
	fill_arguments(&evaluation);
	(void) oms_owner_query(plan, evaluation.values, evaluation.nulls);
	SPI_freetuptable(SPI_tuptable);
	SPI_freeplan(plan);
}

/* Names every rule that cannot run. */
void
oms_rules_check(const RoutingPolicy *policy, FaultList *faults)
{
	for (int i = 0; i < policy->rule_count; i++)
	{
		char	   *failure = oms_owner_run(policy->owner, check_rule, &policy->rules[i]);

		if (failure)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT,
					  "A rule is one expression without side effects; tables and functions outside pg_catalog need their schema.",
					  psprintf("definition.rules[%d].expression", i), "%s", failure);
	}
}
