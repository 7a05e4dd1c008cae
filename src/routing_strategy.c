/*
 * routing_strategy.c
 *	  Whole plans by a function of the policy's owner.
 *
 * The function is given the problem as the router has it, after the hard rules
 * have taken candidates away, and answers which location sends how many units
 * of which line.  Whoever asks checks the answer against units, stock and rules
 * before anything is promised: the function can choose badly, never wrongly.
 */
#include "oms.h"

#include <math.h>

#include "catalog/namespace.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "parser/parse_func.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/regproc.h"
#include "utils/varlena.h"

#include "call.h"
#include "document.h"
#include "money.h"
#include "network.h"
#include "routing_owner.h"
#include "routing_strategy.h"

/* Rows of an answer: a plan that is worth anything has far fewer. */
#define ANSWER_ROWS_MAX 100000

typedef struct ShareDocument
{
	int32		line;
	char	   *location;
	int32		quantity;
} ShareDocument;

static const DocField share_fields[] = {
	{"line", DOC_INT, offsetof(ShareDocument, line), .required = true,.least = 1,.most = PG_INT32_MAX},
	{"location", DOC_CODE, offsetof(ShareDocument, location), .required = true},
	{"quantity", DOC_INT, offsetof(ShareDocument, quantity), .least = 1,.most = OMS_QUANTITY_MAX},
};

static const DocShape share_shape = DOC_SHAPE_OF(ShareDocument, share_fields, "a part of a plan");

/* ---- What it is given ---- */

static void
write_double(DocWriter *writer, const char *key, double number)
{
	if (!isnan(number))
		oms_write_numeric(writer, key, DatumGetNumeric(DirectFunctionCall1(float8_numeric, Float8GetDatum(number))));
}

static void
write_amount(DocWriter *writer, const char *key, int64 thousandths)
{
	oms_write_numeric(writer, key, int64_div_fast_to_numeric(thousandths, 3));
}

static void
write_optional(DocWriter *writer, const char *key, const char *text)
{
	if (text)
		oms_write_text(writer, key, text);
}

static void
write_order(DocWriter *writer, const RoutingDecision *decision)
{
	const RoutingRequest *request = &decision->asked;

	write_optional(writer, "channel", request->channel_code);
	write_optional(writer, "external_ref", request->external_ref);
	write_optional(writer, "customer", request->customer);
	write_optional(writer, "customer_class", request->customer_class);
	write_optional(writer, "service", request->service);
	write_optional(writer, "country", request->destination.country);
	write_optional(writer, "postal_code", request->destination.postal_code);
	write_double(writer, "latitude", request->destination.latitude);
	write_double(writer, "longitude", request->destination.longitude);
	oms_write_time(writer, "at", request->ordered_at);
	if (!TIMESTAMP_NOT_FINITE(request->requested_at))
		oms_write_time(writer, "requested_at", request->requested_at);
	oms_write_bool(writer, "whole_lines", decision->whole_lines != 0);
	if (decision->packages_max > 0)
		oms_write_int64(writer, "max_fulfillments", decision->packages_max);
	if (decision->places_max > 0)
		oms_write_int64(writer, "max_places_per_line", decision->places_max);
	if (decision->least_value > 0)
		write_amount(writer, "min_fulfillment_value", decision->least_value);
}

/* Lines that can be served, with the units that must be. */
static void
write_lines(DocWriter *writer, const RoutingDecision *decision)
{
	oms_write_begin_array(writer, "lines");
	for (int i = 0, asked = 0; i < decision->line_count; i++, asked++)
	{
		while (decision->asked.lines[asked].item_id != decision->item_ids[i])
			asked++;
		oms_write_begin_object(writer, NULL);
		oms_write_int64(writer, "line", i + 1);
		oms_write_text(writer, "sku", decision->asked.lines[asked].sku);
		oms_write_int64(writer, "quantity", (int64) decision->units[i] * decision->factors[i]);
		oms_write_int64(writer, "weight_grams", decision->weights[i] * decision->units[i]);
		write_amount(writer, "value", decision->values[i] * decision->units[i]);
		if (decision->bundles && decision->bundles[i] >= 0)
			oms_write_int64(writer, "together", decision->bundles[i] + 1);
		if (decision->later_costs && decision->later_costs[i] >= 0)
			write_amount(writer, "cost_per_unit_later", decision->later_costs[i]);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}

static void
write_candidate(DocWriter *writer, const RoutingDecision *decision, int location)
{
	oms_write_begin_object(writer, NULL);
	oms_write_text(writer, "location", decision->asked.locations[decision->place_of[location]]->code);
	oms_write_int64(writer, "location_id", decision->location_ids[location]);
	if (decision->distances[location] >= 0)
		write_double(writer, "kilometres", decision->distances[location] / 1000.0);
	oms_write_int64(writer, "rank", decision->ranks[location]);
	write_amount(writer, "cost", oms_decision_fixed_cost(decision, location));
	write_amount(writer, "cost_per_line", oms_decision_line_cost(decision, location));
	if (decision->tariff_count > 0 && decision->tariff_of[location] >= 0)
		oms_write_int64(writer, "tariff", decision->tariff_of[location]);
	oms_write_begin_array(writer, "free");
	for (int i = 0; i < decision->line_count; i++)
		oms_write_int64(writer, NULL, (int64) decision->stock[(Size) i * decision->location_count + location] *
						decision->factors[i]);
	oms_write_end_array(writer);
	oms_write_begin_array(writer, "per_unit");
	for (int i = 0; i < decision->line_count; i++)
		write_amount(writer, NULL, oms_decision_unit_cost(decision, i, location));
	oms_write_end_array(writer);
	oms_write_end(writer);
}

/* Prices of the parcels that can come up, by weight. */
static void
write_tariffs(DocWriter *writer, const RoutingDecision *decision)
{
	oms_write_begin_array(writer, "tariffs");
	for (int i = 0; i < decision->tariff_count; i++)
	{
		const RouteTariff *tariff = &decision->tariffs[i];

		oms_write_begin_array(writer, NULL);
		for (int j = 0; j < tariff->step_count; j++)
		{
			oms_write_begin_object(writer, NULL);
			oms_write_int64(writer, "to_grams", tariff->limit_grams[j]);
			write_amount(writer, "price", oms_weighted(tariff->cost[j], decision->shipping_weight));
			if (decision->dated)
				oms_write_int64(writer, "days_late", decision->days_late[i][j]);
			oms_write_end(writer);
		}
		oms_write_end_array(writer);
	}
	oms_write_end_array(writer);
}

static Jsonb *
describe_problem(const RoutingDecision *decision)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	write_order(&writer, decision);
	write_lines(&writer, decision);
	oms_write_begin_array(&writer, "candidates");
	for (int i = 0; i < decision->location_count; i++)
		write_candidate(&writer, decision, i);
	oms_write_end_array(&writer);
	write_tariffs(&writer, decision);
	return oms_write_finish(&writer);
}

/* ---- What it answers ---- */

/* A candidate by its code. */
typedef struct NamedCandidate
{
	const char *code;
	int			index;
} NamedCandidate;

static int
compare_names(const void *left, const void *right)
{
	return strcmp(((const NamedCandidate *) left)->code, ((const NamedCandidate *) right)->code);
}

static NamedCandidate *
name_candidates(const RoutingDecision *decision)
{
	NamedCandidate *names = palloc(sizeof(NamedCandidate) * Max(1, decision->location_count));

	for (int i = 0; i < decision->location_count; i++)
		names[i] = (NamedCandidate) {decision->asked.locations[decision->place_of[i]]->code, i};
	qsort(names, decision->location_count, sizeof(NamedCandidate), compare_names);
	return names;
}

/* Reads one row; where it names what is not there it is a fault. */
static void
read_share(const RoutingDecision *decision, const NamedCandidate *names, const ShareDocument *row, int index,
		   RouteShare *share, FaultList *faults)
{
	NamedCandidate key = {row->location};
	NamedCandidate *found;
	int64		quantity;
	int			line = row->line - 1;

	if (line >= decision->line_count)
	{
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, NULL, oms_document_place("plan", index, "line"), "there is no line %d", row->line);
		return;
	}
	found = bsearch(&key, names, decision->location_count, sizeof(NamedCandidate), compare_names);
	if (found == NULL)
	{
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, NULL, oms_document_place("plan", index, "location"),
				  "\"%s\" is no candidate", row->location);
		return;
	}
	quantity = row->quantity == DOC_ABSENT ? (int64) decision->units[line] * decision->factors[line] : row->quantity;
	if (quantity % decision->factors[line] != 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, NULL, oms_document_place("plan", index, "quantity"),
				  "line %d is not to be divided", row->line);
	*share = (RouteShare) {line, found->index, (int32) (quantity / decision->factors[line])};
}

static void
read_answer(const RoutingDecision *decision, Jsonb *document, StrategyAnswer *answer)
{
	FaultList	faults;
	DocArray	rows;
	NamedCandidate *names = name_candidates(decision);

	oms_faults_init(&faults);
	rows = oms_document_read_array(document, &share_shape, ANSWER_ROWS_MAX, "plan", &faults);
	answer->shares = palloc(sizeof(RouteShare) * Max(1, rows.count));
	answer->share_count = rows.count;
	for (int i = 0; i < rows.count && faults.count == 0; i++)
		read_share(decision, names, (ShareDocument *) rows.items + i, i, &answer->shares[i], &faults);
	if (faults.count > 0)
		answer->failure = pnstrdup(faults.detail.data, strcspn(faults.detail.data, "\n"));
}

/* ---- Asking ---- */

typedef struct Asking
{
	const char *function;
	Datum		problem;
	MemoryContext context;		/* that the answer is kept in */
	Jsonb	   *answer;			/* NULL: null */
} Asking;

/* The function by name: it may be replaced while the policy is active. */
static Oid
find_function(const char *name)
{
	static const Oid argument_types[] = {JSONBOID};
	List	   *names = stringToQualifiedNameList(name);
	Oid			function;

	if (list_length(names) != 2)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_NAME),
				 errmsg("\"%s\" is not a name with its schema", name)));
	function = LookupFuncName(names, 1, argument_types, true);
	if (!OidIsValid(function))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_FUNCTION),
				 errmsg("there is no function %s(jsonb)", name)));
	return function;
}

static char *
make_statement(Oid function)
{
	return psprintf("SELECT %s($1)", quote_qualified_identifier(get_namespace_name(get_func_namespace(function)),
																get_func_name(function)));
}

static SPIPlanPtr
prepare(const char *sql)
{
	Oid			argument_types[] = {JSONBOID};
	SPIPlanPtr	plan = SPI_prepare(sql, lengthof(argument_types), argument_types);

	if (plan == NULL)
		elog(ERROR, "\"%s\" could not be prepared: %s", sql, SPI_result_code_string(SPI_result));
	return plan;
}

/* Why the function can be no strategy. */
static void
check_function(Oid function, const char *name, Oid role)
{
	if (get_func_rettype(function) != JSONBOID || get_func_retset(function) || get_func_prokind(function) != PROKIND_FUNCTION)
		ereport(ERROR,
				(errcode(ERRCODE_DATATYPE_MISMATCH),
				 errmsg("%s(jsonb) is no function that returns one jsonb", name)));
	if (func_volatile(function) == PROVOLATILE_VOLATILE)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("%s(jsonb) is volatile: it must be declared STABLE or IMMUTABLE", name)));
	if (pg_proc_aclcheck(function, role, ACL_EXECUTE) != ACLCHECK_OK)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				 errmsg("role \"%s\" may not execute %s(jsonb)", GetUserNameFromId(role, false), name)));
}

static void
ask(void *state, Oid role)
{
	Asking	   *asking = state;
	Oid			function = find_function(asking->function);
	char	   *sql = make_statement(function);
	SPIPlanPtr	plan = oms_owner_kept(sql, role);
	bool		isnull;
	Datum		answer;
	MemoryContext old;

	check_function(function, asking->function, role);
	if (plan == NULL)
		oms_owner_keep(sql, role, plan = prepare(sql));
	(void) oms_owner_query(plan, &asking->problem, NULL);
	answer = SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull);
	old = MemoryContextSwitchTo(asking->context);
	asking->answer = isnull ? NULL : DatumGetJsonbPCopy(answer);
	MemoryContextSwitchTo(old);
	SPI_freetuptable(SPI_tuptable);
}

StrategyAnswer *
oms_strategy_ask(const RoutingPolicy *policy, const RoutingDecision *decision)
{
	StrategyAnswer *answer = palloc0(sizeof(StrategyAnswer));
	Asking		asking = {.function = policy->strategy,.context = CurrentMemoryContext};

	asking.problem = JsonbPGetDatum(describe_problem(decision));
	answer->failure = oms_owner_run(policy->owner, ask, &asking);
	if (answer->failure == NULL && asking.answer == NULL)
		answer->failure = "it has no plan";
	else if (answer->failure == NULL)
		read_answer(decision, asking.answer, answer);
	return answer;
}

/* ---- Checking ---- */

static void
check(void *state, Oid role)
{
	const char *name = state;
	Oid			function = find_function(name);

	check_function(function, name, role);
	SPI_freeplan(prepare(make_statement(function)));
}

/* Says why a function cannot be a strategy of an owner. */
void
oms_strategy_check(const char *function, const char *owner, FaultList *faults)
{
	char	   *failure = oms_owner_run(owner, check, unconstify(char *, function));

	if (failure)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT,
				  "A strategy is schema.function(jsonb) returning jsonb, which the owner of the policy may execute.",
				  "definition.strategy", "%s", failure);
}
