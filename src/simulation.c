/*
 * simulation.c
 *	  Past routing decisions made again by another policy.
 *
 * Each record holds what was asked and what was there, so the decision is made
 * again against the stock of its time, by the code that places orders.  Each
 * order is looked at by itself: what the other policy would have left for the
 * next order is not carried on.  Records are read a page at a time.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/ps_status.h"

#include "call.h"
#include "location.h"
#include "network.h"
#include "relation.h"
#include "route_decision.h"
#include "routing.h"
#include "scope.h"

/* Records in memory at a time, and how often a long run says how far it is. */
#define PAGE_RECORDS		100
#define NOTICE_SECONDS		5

typedef struct PastDecision
{
	int64		order_id;
	int64		channel_id;
	TimestampTz at;
	bytea	   *record;
	char	   *channel;
	char	   *external_ref;
	char	   *customer;
	char	   *customer_class;
	Jsonb	   *attributes;
} PastDecision;

/* What a plan comes to.  Amounts in thousandths, without the policy's weights. */
typedef struct Outcome
{
	const char *refusal;		/* NULL: the order can be placed */
	int64		packages;
	int64		fulfillments;
	int64		backordered;	/* units */
	int64		shipping;
	int64		handling;
	int64		metres;
	bool		unpriced;		/* a package has no rate */
	bool		unplaced;		/* a package has no distance */
	bool		proven;
	bool		dated;			/* the plan counts days */
	int32		days_late;		/* of the last package */
} Outcome;

typedef struct Totals
{
	int64		orders;
	int64		refused;
	int64		backordered;
	int64		changed;
	int64		split;
	int64		packages;
	int64		fulfillments;
	int64		proven;
	int64		unpriced;
	int64		unplaced;
	int64		shipping;
	int64		handling;
	int64		metres;
	int64		lacking;
	int64		dated;
	int64		late;
	int64		days_late;
} Totals;

typedef struct Simulation
{
	RoutingPolicy *policy;
	char	   *name;
	TimestampTz from;
	TimestampTz to;
	int64		last_order_id;
	int64		matching;		/* decisions in the period */
	int			page_count;
	PastDecision page[PAGE_RECORDS];
	Totals		recorded;
	Totals		simulated;
	TimestampTz noticed_at;
	ReturnSetInfo *detail;		/* NULL: totals only */
} Simulation;

/* One order of the run. */
typedef struct Replanning
{
	const PastDecision *source;
	RoutingDecision *past;
	RoutingRequest request;
	RoutingPlan *recorded;
	RoutingPlan *plan;
	int			lacked;
} Replanning;

static OmsPlan policy_plan = {
	.sql = "SELECT policy_id, definition, code || ' version ' || version, owner FROM {routing_policies} WHERE tenant_id = $1"
	" AND (code = $2 OR code || '/' || version = $2)"
	" ORDER BY code = $2 DESC, status = 'active' DESC, version DESC LIMIT 1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

static OmsPlan first_plan = {
	.sql = "SELECT coalesce(min(order_id), 0), count(*) FROM {routing_decisions}"
	" WHERE tenant_id = $1 AND at >= $2 AND at < $3 AND decision_no = 1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID)
};

static OmsPlan page_plan = {
	.sql = "SELECT d.order_id, d.at, d.record, o.channel_id, c.code, o.external_ref, o.customer_ref, o.customer ->> 'class', o.attributes FROM {routing_decisions} d"
	" JOIN {orders} o ON o.order_id = d.order_id AND o.tenant_id = $1"
	" LEFT JOIN {channels} c ON c.channel_id = o.channel_id AND c.tenant_id = $1"
	" WHERE d.tenant_id = $1 AND d.order_id > $4 AND d.at >= $2 AND d.at < $3 AND d.decision_no = 1 ORDER BY d.order_id LIMIT $5",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT4OID)
};

static OmsPlan items_plan = {
	.sql = "SELECT i.item_id, i.sku, i.item_group, (SELECT l.attributes FROM {order_lines} l WHERE l.order_id = $3 AND l.tenant_id = $1"
	" AND l.item_id = i.item_id AND l.attributes IS NOT NULL ORDER BY l.line_no LIMIT 1)"
	" FROM {items} i WHERE i.tenant_id = $1 AND i.item_id = ANY ($2)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, INT8OID)
};

static void
read_policy(TupleTableSlot *slot, void *state)
{
	Simulation *simulation = state;
	bool		isnull;

	simulation->policy = oms_routing_policy_read(DatumGetJsonbPCopy(oms_slot_datum(slot, 2, &isnull)));
	simulation->policy->policy_id = oms_slot_int64(slot, 1);
	simulation->name = oms_slot_text(slot, 3);
	simulation->policy->owner = oms_slot_text(slot, 4);
}

static void
read_first(TupleTableSlot *slot, void *state)
{
	Simulation *simulation = state;

	simulation->last_order_id = oms_slot_int64(slot, 1) - 1;
	simulation->matching = oms_slot_int64(slot, 2);
}

static Jsonb *
jsonb_or_null(TupleTableSlot *slot, int column)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, column, &isnull);

	return isnull ? NULL : DatumGetJsonbPCopy(value);
}

static void
read_decision(TupleTableSlot *slot, void *state)
{
	Simulation *simulation = state;
	PastDecision *decision = &simulation->page[simulation->page_count];
	bool		isnull;

	decision->order_id = simulation->last_order_id = oms_slot_int64(slot, 1);
	decision->channel_id = oms_slot_int64(slot, 4);
	decision->at = DatumGetTimestampTz(oms_slot_datum(slot, 2, &isnull));
	decision->record = DatumGetByteaPCopy(oms_slot_datum(slot, 3, &isnull));
	decision->channel = oms_slot_text(slot, 5);
	decision->external_ref = oms_slot_text(slot, 6);
	decision->customer = oms_slot_text(slot, 7);
	decision->customer_class = oms_slot_text(slot, 8);
	decision->attributes = jsonb_or_null(slot, 9);
	simulation->page_count++;
}

/* ---- One order again ---- */

/*
 * Locations as they were for candidates, as they are for the others.  One that
 * does not exist any more keeps what the record knows.
 */
static void
rebuild_request(const RoutingPolicy *policy, Replanning *replanning)
{
	RoutingDecision *past = replanning->past;
	bool		ranks_known = !past->policy_ranks || past->policy_id == policy->policy_id;
	RoutingRequest *request = &replanning->request;
	Location   *places;
	int64	   *metres;

	*request = past->asked;
	request->ordered_at = replanning->source->at;
	places = palloc0(sizeof(Location) * Max(1, request->location_count));
	metres = palloc(sizeof(int64) * Max(1, request->location_count));
	request->locations = palloc(sizeof(Location *) * Max(1, request->location_count));
	for (int i = 0; i < request->location_count; i++)
	{
		Location   *now = oms_location_by_id(past->place_ids[i]);
		double		distance;

		if (now)
			places[i] = *now;
		else
			places[i].latitude = places[i].longitude = NAN;
		places[i].location_id = past->place_ids[i];
		places[i].code = now ? pstrdup(now->code) : psprintf("location " INT64_FORMAT, past->place_ids[i]);
		places[i].postal_code = now && now->postal_code ? pstrdup(now->postal_code) : NULL;
		distance = oms_location_distance(&places[i], request->destination.latitude, request->destination.longitude);
		metres[i] = isinf(distance) ? -1 : (int64) llround(distance * 1000);
		request->locations[i] = &places[i];
	}
	for (int i = 0; i < past->location_count; i++)
	{
		Location   *place = &places[past->place_of[i]];

		place->cost_per_order = past->fixed_costs[i];
		place->cost_per_line = past->line_costs[i];
		place->cost_per_unit = past->unit_costs[i];
		if (ranks_known)
			place->rank = past->ranks[i];
		metres[past->place_of[i]] = past->distances[i];
	}
	request->metres = metres;
	if (!ranks_known)
		replanning->lacked |= LACKED_PLACES;
}

static void
read_item(TupleTableSlot *slot, void *state)
{
	RoutingRequest *request = state;

	for (int i = 0; i < request->line_count; i++)
	{
		RoutingLine *line = unconstify(RoutingLine *, request->lines) + i;

		if (line->item_id != oms_slot_int64(slot, 1))
			continue;
		line->sku = oms_slot_text(slot, 2);
		line->item_group = oms_slot_text(slot, 3);
		line->attributes = jsonb_or_null(slot, 4);
	}
}

/* What a policy may ask for and no record holds. */
static void
add_arguments(Replanning *replanning)
{
	RoutingRequest *request = &replanning->request;
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, request->line_count));
	Datum		values[3];

	request->channel_code = replanning->source->channel;
	request->external_ref = replanning->source->external_ref;
	request->customer = replanning->source->customer;
	request->customer_class = replanning->source->customer_class;
	request->attributes = replanning->source->attributes;
	for (int i = 0; i < request->line_count; i++)
	{
		item_ids[i] = request->lines[i].item_id;
		unconstify(RoutingLine *, request->lines)[i].sku = "";
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(item_ids, request->line_count);
	values[2] = Int64GetDatum(replanning->source->order_id);
	(void) oms_execute_each(&items_plan, values, NULL, read_item, request);
}

static int
compare_parts(const void *left, const void *right)
{
	const RoutingPart *a = left;
	const RoutingPart *b = right;

	if (a->location != b->location)
		return a->location < b->location ? -1 : 1;
	if (a->line != b->line)
		return a->line < b->line ? -1 : 1;
	return (int) a->backordered - (int) b->backordered;
}

static bool
is_same_plan(const RoutingPlan *a, const RoutingPlan *b)
{
	if (a->part_count != b->part_count)
		return false;
	for (int i = 0; i < a->part_count; i++)
		if (compare_parts(&a->parts[i], &b->parts[i]) != 0 || a->parts[i].quantity != b->parts[i].quantity)
			return false;
	return true;
}

static void
replan(Simulation *simulation, Replanning *replanning)
{
	replanning->past = oms_decision_read(replanning->source->record);
	if (replanning->past == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_DATA_CORRUPTED),
				 errmsg("the routing decision of order " INT64_FORMAT " cannot be read", replanning->source->order_id),
				 errhint("oms.audit() names every such decision.")));
	rebuild_request(simulation->policy, replanning);
	if (simulation->policy->rule_count > 0 || simulation->policy->strategy || simulation->policy->groups_by_item ||
		simulation->policy->keep_count > 0)
		add_arguments(replanning);
	replanning->recorded = palloc0(sizeof(RoutingPlan));
	replanning->recorded->decision = replanning->past;
	replanning->recorded->bundles = replanning->past->asked_bundles;
	replanning->recorded->places_max = replanning->past->whole_lines ? 1 : replanning->past->places_max;
	oms_routing_finish(&replanning->request, replanning->recorded);
	replanning->plan = simulation->policy->nearest ? NULL
		: oms_routing_plan_again(&replanning->request, simulation->policy, replanning->past, &replanning->lacked);
	if (replanning->plan == NULL)
		replanning->plan = oms_routing_nearest(&replanning->request);
	qsort(replanning->recorded->parts, replanning->recorded->part_count, sizeof(RoutingPart), compare_parts);
	qsort(replanning->plan->parts, replanning->plan->part_count, sizeof(RoutingPart), compare_parts);
}

/* ---- What it comes to ---- */

/* The weight of what a plan sends from one place. */
static int64
package_weight(const Replanning *replanning, const RoutingPlan *plan, int place)
{
	const RoutingDecision *decision = plan->decision;
	int64		weight = 0;

	for (int i = 0; decision && i < decision->package_count; i++)
		if (decision->place_of[decision->packages[i].location] == place)
			return decision->packages[i].weight_grams;
	for (int i = 0; i < plan->part_count; i++)
	{
		const RoutingLine *line = &replanning->request.lines[plan->parts[i].line];
		int32		units = plan->parts[i].quantity;

		if (plan->parts[i].location == place && !plan->parts[i].backordered)
			weight += units == line->quantity ? line->weight_grams
				: (line->weight_grams + line->quantity - 1) / line->quantity * units;
	}
	return weight;
}

/* The price of a package; -1 where no rate has it. */
static int64
package_price(const RoutingDecision *prices, int place, int64 weight)
{
	for (int i = 0; i < prices->location_count; i++)
		if (prices->place_of[i] == place)
			return prices->tariff_count == 0 ? 0 : oms_tariff_cost(&prices->tariffs[prices->tariff_of[i]], weight);
	return -1;
}

static const char *
refusal_of(const Replanning *replanning, const RoutingPlan *plan)
{
	if (plan->refusal)
		return plan->refusal;
	for (int i = 0; i < replanning->request.line_count; i++)
		if (plan->missing[i] > 0)
			return "not enough stock";
	return NULL;
}

/* Parts are sorted by place. */
static void
judge(Replanning *replanning, const RoutingPlan *plan, Outcome *outcome, int *lacked)
{
	const RoutingRequest *request = &replanning->request;
	const RoutingDecision *prices = plan->decision;

	memset(outcome, 0, sizeof(*outcome));
	outcome->refusal = refusal_of(replanning, plan);
	if (outcome->refusal)
		return;
	outcome->proven = plan->decision && plan->decision->proven;
	outcome->dated = plan->decision && plan->decision->dated;
	for (int i = 0; outcome->dated && i < plan->decision->package_count; i++)
		outcome->days_late = Max(outcome->days_late, oms_decision_days_late(plan->decision, &plan->decision->packages[i]));
	if (prices == NULL || prices->shipping_weight == 0)
		prices = oms_routing_prices(request, replanning->past, lacked);
	for (int i = 0; i < plan->part_count;)
	{
		int			place = plan->parts[i].location;
		int64		units = 0;
		int64		lines = 0;
		int64		later = 0;
		int64		price;

		for (; i < plan->part_count && plan->parts[i].location == place; i++)
			if (plan->parts[i].backordered)
				later += plan->parts[i].quantity;
			else
			{
				units += plan->parts[i].quantity;
				lines++;
			}
		outcome->fulfillments += (units > 0) + (later > 0);
		outcome->backordered += later;
		if (units == 0)
			continue;
		outcome->packages++;
		outcome->handling += request->locations[place]->cost_per_order +
			request->locations[place]->cost_per_line * lines + request->locations[place]->cost_per_unit * units;
		outcome->metres += Max(request->metres[place], 0);
		outcome->unplaced |= request->metres[place] < 0;
		price = package_price(prices, place, package_weight(replanning, plan, place));
		outcome->shipping += Max(price, 0);
		outcome->unpriced |= price < 0;
	}
}

static void
add_outcome(Totals *totals, const Outcome *outcome, bool changed, int lacked)
{
	totals->orders++;
	totals->refused += outcome->refusal != NULL;
	totals->backordered += outcome->backordered > 0;
	totals->changed += changed;
	totals->split += outcome->packages > 1;
	totals->packages += outcome->packages;
	totals->fulfillments += outcome->fulfillments;
	totals->proven += outcome->proven;
	totals->unpriced += outcome->unpriced;
	totals->unplaced += outcome->unplaced;
	totals->shipping += outcome->shipping;
	totals->handling += outcome->handling;
	totals->metres += outcome->metres;
	totals->lacking += lacked != 0;
	totals->dated += outcome->dated;
	totals->late += outcome->days_late > 0;
	totals->days_late += outcome->days_late;
}

/* ---- Answers ---- */

static Datum
thousandths(int64 amount)
{
	return NumericGetDatum(int64_div_fast_to_numeric(amount, 3));
}

/* Units by location: "east 2, west 1 later". */
static char *
plan_text(const Replanning *replanning, const RoutingPlan *plan)
{
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < plan->part_count;)
	{
		int			place = plan->parts[i].location;
		int64		units[2] = {0, 0};

		for (; i < plan->part_count && plan->parts[i].location == place; i++)
			units[plan->parts[i].backordered] += plan->parts[i].quantity;
		for (int later = 0; later < 2; later++)
			if (units[later] > 0)
				appendStringInfo(&text, "%s%s " INT64_FORMAT "%s", text.len > 0 ? ", " : "",
								 replanning->request.locations[place]->code, units[later], later ? " later" : "");
	}
	return text.data;
}

/* Names what was read from the configuration. */
static char *
lacked_text(int lacked)
{
	static const char *const names[] = {"places", "rates", "rules", "strategy", "terms"};
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < lengthof(names); i++)
		if (lacked & (1 << i))
			appendStringInfo(&text, "%s%s", text.len > 0 ? ", " : "", names[i]);
	return text.data;
}

static void
put_detail(Simulation *simulation, const Replanning *replanning, const Outcome *recorded, const Outcome *simulated,
		   bool changed)
{
	Datum		values[15];
	bool		nulls[15] = {0};
	bool		refused = simulated->refusal != NULL;

	values[0] = Int64GetDatum(replanning->source->order_id);
	values[1] = TimestampTzGetDatum(replanning->source->at);
	values[2] = BoolGetDatum(changed);
	values[3] = CStringGetTextDatum(plan_text(replanning, replanning->recorded));
	values[4] = refused ? (Datum) 0 : CStringGetTextDatum(plan_text(replanning, replanning->plan));
	values[5] = refused ? CStringGetTextDatum(simulated->refusal) : (Datum) 0;
	values[6] = thousandths(recorded->shipping + recorded->handling);
	values[7] = thousandths(simulated->shipping + simulated->handling);
	values[8] = Int64GetDatum(recorded->packages);
	values[9] = Int64GetDatum(simulated->packages);
	values[10] = thousandths(recorded->metres);
	values[11] = thousandths(simulated->metres);
	values[12] = Int32GetDatum(recorded->days_late);
	values[13] = Int32GetDatum(simulated->days_late);
	values[14] = CStringGetTextDatum(lacked_text(replanning->lacked));
	nulls[4] = refused;
	nulls[5] = !refused;
	nulls[6] = recorded->unpriced;
	nulls[7] = refused || simulated->unpriced;
	nulls[9] = refused;
	nulls[10] = recorded->unplaced;
	nulls[11] = refused || simulated->unplaced;
	nulls[12] = !recorded->dated;
	nulls[13] = refused || !simulated->dated;
	nulls[14] = replanning->lacked == 0;
	tuplestore_putvalues(simulation->detail->setResult, simulation->detail->setDesc, values, nulls);
}

static void
put_totals(ReturnSetInfo *target, const char *name, const Totals *totals)
{
	int64		served = totals->orders - totals->refused;
	Datum		values[19];
	bool		nulls[19] = {0};

	values[0] = CStringGetTextDatum(name);
	values[1] = Int64GetDatum(totals->orders);
	values[2] = Int64GetDatum(totals->refused);
	values[3] = Int64GetDatum(totals->backordered);
	values[4] = Int64GetDatum(totals->changed);
	values[5] = Int64GetDatum(totals->packages);
	values[6] = Int64GetDatum(totals->fulfillments);
	values[7] = Int64GetDatum(totals->split);
	nulls[8] = served == 0;
	values[8] = NumericGetDatum(int64_div_fast_to_numeric(served ? (totals->split * 20000 / served + 1) / 2 : 0, 4));
	values[9] = thousandths(totals->shipping + totals->handling);
	values[10] = thousandths(totals->shipping);
	values[11] = thousandths(totals->handling);
	values[12] = thousandths(totals->metres);
	nulls[13] = nulls[14] = totals->dated == 0;
	values[13] = Int64GetDatum(totals->late);
	values[14] = Int64GetDatum(totals->days_late);
	values[15] = Int64GetDatum(totals->proven);
	values[16] = Int64GetDatum(totals->unpriced);
	values[17] = Int64GetDatum(totals->unplaced);
	values[18] = Int64GetDatum(totals->lacking);
	tuplestore_putvalues(target->setResult, target->setDesc, values, nulls);
}

/* ---- The run ---- */

static void
simulate_order(Simulation *simulation, const PastDecision *source)
{
	Replanning	replanning = {.source = source};
	Outcome		recorded;
	Outcome		simulated;
	int			lacked = 0;
	bool		changed;

	CHECK_FOR_INTERRUPTS();
	replan(simulation, &replanning);
	judge(&replanning, replanning.recorded, &recorded, &lacked);
	judge(&replanning, replanning.plan, &simulated, &replanning.lacked);
	changed = simulated.refusal != NULL || !is_same_plan(replanning.recorded, replanning.plan);
	add_outcome(&simulation->recorded, &recorded, false, lacked);
	add_outcome(&simulation->simulated, &simulated, changed, replanning.lacked);
	if (simulation->detail)
		put_detail(simulation, &replanning, &recorded, &simulated, changed);
}

/* In the process title always, as a message where it takes long. */
static void
show_progress(Simulation *simulation)
{
	TimestampTz now = GetCurrentTimestamp();
	char	   *text = psprintf("simulate_routing: " INT64_FORMAT " of " INT64_FORMAT " decisions",
								simulation->simulated.orders, simulation->matching);

	set_ps_display(text);
	if (!TimestampDifferenceExceeds(simulation->noticed_at, now, NOTICE_SECONDS * 1000))
		return;
	simulation->noticed_at = now;
	ereport(NOTICE, (errmsg("%s", text)));
}

static void
run(Simulation *simulation)
{
	MemoryContext outer = CurrentMemoryContext;
	MemoryContext page_context = AllocSetContextCreate(outer, "oms simulation page", ALLOCSET_DEFAULT_SIZES);
	MemoryContext order_context = AllocSetContextCreate(outer, "oms simulation order", ALLOCSET_DEFAULT_SIZES);
	Datum		values[5] = {Int32GetDatum(oms_call->tenant), TimestampTzGetDatum(simulation->from),
	TimestampTzGetDatum(simulation->to), 0, Int32GetDatum(PAGE_RECORDS)};
	uint64		found = PAGE_RECORDS;

	(void) oms_execute_each(&first_plan, values, NULL, read_first, simulation);
	simulation->noticed_at = GetCurrentTimestamp();
	while (found == PAGE_RECORDS && simulation->matching > 0)
	{
		MemoryContextReset(page_context);
		MemoryContextSwitchTo(page_context);
		simulation->page_count = 0;
		values[3] = Int64GetDatum(simulation->last_order_id);
		found = oms_execute_each(&page_plan, values, NULL, read_decision, simulation);
		MemoryContextSwitchTo(order_context);
		for (int i = 0; i < simulation->page_count; i++)
		{
			if (oms_scope_channel(simulation->page[i].channel_id))
				simulate_order(simulation, &simulation->page[i]);
			MemoryContextReset(order_context);
		}
		show_progress(simulation);
	}
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(page_context);
	MemoryContextDelete(order_context);
}

static void
begin(FunctionCallInfo fcinfo, Simulation *simulation)
{
	char	   *policy = oms_argument_required(fcinfo, 0, "policy");
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), CStringGetTextDatum(policy)};

	simulation->from = PG_ARGISNULL(1) ? DT_NOBEGIN : PG_GETARG_TIMESTAMPTZ(1);
	simulation->to = PG_ARGISNULL(2) ? DT_NOEND : PG_GETARG_TIMESTAMPTZ(2);
	if (simulation->from > simulation->to)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("the period ends before it begins"),
				 errhint("from is part of the period, to is not; null leaves an end open.")));
	if (oms_execute_each(&policy_plan, values, NULL, read_policy, simulation) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("routing policy \"%s\" is not known", policy),
				 errhint("Give a code, or code/version; a draft will do.")));
	InitMaterializedSRF(fcinfo, 0);
}

/*
 * oms.simulate_routing(policy text, "from" timestamptz, "to" timestamptz) -> setof
 */
OMS_FUNCTION(oms_simulate_routing, CALL_READ)
{
	ReturnSetInfo *target = (ReturnSetInfo *) fcinfo->resultinfo;
	Simulation *simulation = palloc0(sizeof(Simulation));

	begin(fcinfo, simulation);
	run(simulation);
	put_totals(target, "recorded", &simulation->recorded);
	put_totals(target, simulation->name, &simulation->simulated);
	*isnull = true;
	return (Datum) 0;
}

/*
 * oms.simulate_routing_orders(policy text, "from" timestamptz, "to" timestamptz) -> setof
 */
OMS_FUNCTION(oms_simulate_routing_orders, CALL_READ)
{
	Simulation *simulation = palloc0(sizeof(Simulation));

	begin(fcinfo, simulation);
	simulation->detail = (ReturnSetInfo *) fcinfo->resultinfo;
	run(simulation);
	*isnull = true;
	return (Datum) 0;
}
