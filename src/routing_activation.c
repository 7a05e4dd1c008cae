/*
 * routing_activation.c
 *	  When routing policies are active, and for what.
 *
 * What a policy is for is its scope: a channel, a service and so on, or
 * anything.  The periods of the policies of a scope follow one another: each
 * ends when the next begins, and only the last has no end.  So a policy that is
 * scheduled needs nobody to switch it on: whoever routes an order takes the
 * one whose period holds the moment of the call.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "channel.h"
#include "event.h"
#include "network.h"
#include "relation.h"

/* $2 to $7: the scope. */
#define SAME_SCOPE \
	"tenant_id = $1 AND active_from IS NOT NULL AND channel_id IS NOT DISTINCT FROM $2 AND service IS NOT DISTINCT FROM $3" \
	" AND customer_class IS NOT DISTINCT FROM $4 AND item_group IS NOT DISTINCT FROM $5 AND country IS NOT DISTINCT FROM $6" \
	" AND postal_prefix IS NOT DISTINCT FROM $7"

#define SCOPE_ARGTYPES INT4OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID

/* Who changes periods does so alone; orders read on. */
static OmsPlan lock_plan = {
	.sql = "LOCK TABLE {routing_policy_versions} IN SHARE ROW EXCLUSIVE MODE",
	.kind = PLAN_FREE,
	.nargs = 0
};

static OmsPlan version_plan = {
	.sql = "SELECT definition, owner, active_from, active_until, channel_id, service, customer_class, item_group, country, postal_prefix"
	" FROM {routing_policy_versions} WHERE tenant_id = $1 AND code = $2 AND version = $3",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID, INT4OID)
};

static OmsPlan next_plan = {
	.sql = "SELECT coalesce(min(active_from) FILTER (WHERE active_from > $8), 'infinity'),"
	" coalesce(bool_or(active_from = $8 AND active_from IS DISTINCT FROM active_until), false)"
	" FROM {routing_policy_versions} WHERE " SAME_SCOPE,
	.kind = PLAN_FREE,
	OMS_ARGTYPES(SCOPE_ARGTYPES, TIMESTAMPTZOID)
};

/* The one whose period holds the moment $8 ends then. */
static OmsPlan end_plan = {
	.sql = "UPDATE {routing_policy_versions} SET active_until = $8 WHERE " SAME_SCOPE
	" AND active_from <= $8 AND (active_until IS NULL OR active_until > $8)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(SCOPE_ARGTYPES, TIMESTAMPTZOID)
};

static OmsPlan begin_plan = {
	.sql = "UPDATE {routing_policy_versions} SET channel_id = $2, service = $3, customer_class = $4, item_group = $5, country = $6,"
	" postal_prefix = $7, active_from = $8, active_until = nullif($9, 'infinity')"
	" WHERE tenant_id = $1 AND code = $10 AND version = $11",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(SCOPE_ARGTYPES, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT4OID)
};

static OmsPlan withdraw_plan = {
	.sql = "UPDATE {routing_policy_versions} SET channel_id = NULL, service = NULL, customer_class = NULL, item_group = NULL,"
	" country = NULL, postal_prefix = NULL, active_from = NULL, active_until = NULL"
	" WHERE tenant_id = $1 AND code = $2 AND version = $3",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID, INT4OID)
};

/* The one before goes on until the one that is taken back would have ended. */
static OmsPlan extend_plan = {
	.sql = "UPDATE {routing_policy_versions} SET active_until = nullif($9, 'infinity') WHERE " SAME_SCOPE
	" AND active_until = $8 AND active_from < $8",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(SCOPE_ARGTYPES, TIMESTAMPTZOID, TIMESTAMPTZOID)
};

static OmsPlan at_plan = {
	.sql = "SELECT p.policy_id, p.code, p.version, c.code, p.service, p.customer_class, p.item_group, p.country, p.postal_prefix,"
	" p.active_from, p.active_until FROM {routing_policy_versions} p"
	" LEFT JOIN {channels} c ON c.channel_id = p.channel_id AND c.tenant_id = $1"
	" WHERE p.tenant_id = $1 AND p.active_from <= $2 AND (p.active_until IS NULL OR p.active_until > $2)"
	" ORDER BY c.code COLLATE \"C\" NULLS FIRST, p.service COLLATE \"C\" NULLS FIRST, p.customer_class COLLATE \"C\" NULLS FIRST,"
	" p.item_group COLLATE \"C\" NULLS FIRST, p.country COLLATE \"C\" NULLS FIRST, p.postal_prefix COLLATE \"C\" NULLS FIRST",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID)
};

static OmsPlan currency_plan = {
	.sql = "SELECT FROM {carrier_services} s WHERE s.tenant_id = $1 AND s.active"
	" HAVING count(*) > 0 AND count(*) FILTER (WHERE s.currency = $2) = 0",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

/* What a call of this file is about: a version, its scope and its period. */
typedef struct Activation
{
	char	   *code;
	int32		version;
	Datum		values[11];		/* tenant, scope, from, until, code, version */
	char		nulls[12];
	bool		found;
	Jsonb	   *definition;
	char	   *owner;
	bool		draft;
	TimestampTz from;
	TimestampTz until;			/* DT_NOEND: none */
	bool		taken;			/* another one begins at the same moment */
} Activation;

static void
begin_activation(FunctionCallInfo fcinfo, Activation *activation)
{
	memset(activation, 0, sizeof(*activation));
	memset(activation->nulls, ' ', lengthof(activation->values));
	activation->code = oms_argument_required(fcinfo, 0, "code");
	activation->version = PG_ARGISNULL(1) ? 0 : PG_GETARG_INT32(1);
	activation->values[0] = Int32GetDatum(oms_call->tenant);
	activation->values[9] = CStringGetTextDatum(activation->code);
	activation->values[10] = Int32GetDatum(activation->version);
	(void) oms_execute(&lock_plan, NULL, NULL);
}

static void
read_scope(TupleTableSlot *slot, Activation *activation)
{
	for (int i = 0; i < 6; i++)
	{
		bool		isnull;
		Datum		value = oms_slot_datum(slot, 5 + i, &isnull);

		activation->nulls[1 + i] = isnull ? 'n' : ' ';
		activation->values[1 + i] = isnull || i == 0 ? value : CStringGetTextDatum(oms_slot_text(slot, 5 + i));
	}
}

static void
read_version(TupleTableSlot *slot, void *state)
{
	Activation *activation = state;
	bool		isnull;
	Datum		value;

	activation->found = true;
	activation->definition = DatumGetJsonbPCopy(oms_slot_datum(slot, 1, &isnull));
	activation->owner = oms_slot_text(slot, 2);
	value = oms_slot_datum(slot, 3, &isnull);
	activation->draft = isnull;
	if (isnull)
		return;
	activation->from = DatumGetTimestampTz(value);
	value = oms_slot_datum(slot, 4, &isnull);
	activation->until = isnull ? DT_NOEND : DatumGetTimestampTz(value);
	read_scope(slot, activation);
}

static void
find_version(Activation *activation)
{
	Datum		values[3] = {activation->values[0], activation->values[9], activation->values[10]};

	(void) oms_execute_each(&version_plan, values, NULL, read_version, activation);
}

/* ---- Activating ---- */

static void
read_next(TupleTableSlot *slot, void *state)
{
	Activation *activation = state;
	bool		isnull;

	activation->until = DatumGetTimestampTz(oms_slot_datum(slot, 1, &isnull));
	activation->taken = oms_slot_bool(slot, 2);
}

/* With services in other currencies only, such a policy refuses every order. */
static void
check_currency(const Activation *activation)
{
	const char *currency = oms_routing_policy_read(activation->definition)->currency;
	Datum		values[2] = {activation->values[0]};

	if (currency == NULL)
		return;
	values[1] = CStringGetTextDatum(currency);
	if (oms_execute(&currency_plan, values, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("policy \"%s\" could serve no order", activation->code),
				 errdetail("No active service charges in %s.", currency),
				 errhint("oms.upsert_carriers adds services; a policy without a currency takes them all.")));
}

/* The arguments that say what the policy is for. */
static void
take_scope(FunctionCallInfo fcinfo, Activation *activation)
{
	static const char *const scopes[] = {"service", "customer_class", "item_group", "country", "postal_prefix"};
	char	   *channel = oms_argument_text(fcinfo, 2);
	char	   *country;

	activation->values[1] = Int64GetDatum(channel ? oms_channel_get(channel)->channel_id : 0);
	activation->nulls[1] = channel ? ' ' : 'n';
	for (int i = 0; i < lengthof(scopes); i++)
		activation->values[2 + i] = oms_text_or_null(PG_ARGISNULL(3 + i) ? NULL : oms_argument_required(fcinfo, 3 + i, scopes[i]),
													 &activation->nulls[2 + i]);
	country = oms_argument_text(fcinfo, 6);
	if (country && !(strlen(country) == 2 && strspn(country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 2))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("\"%s\" is not a country", country),
				 errdetail("country: is \"%s\"", country),
				 errhint("Use an ISO 3166 code such as DE.")));
	if (country == NULL && !PG_ARGISNULL(7))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("postal_prefix needs a country"),
				 errdetail("country: is null"),
				 errhint("Postal codes of different countries begin alike.")));
}

static void
take_moment(FunctionCallInfo fcinfo, Activation *activation)
{
	activation->from = PG_ARGISNULL(8) ? oms_call->now : PG_GETARG_TIMESTAMPTZ(8);
	if (activation->from < oms_call->now || TIMESTAMP_NOT_FINITE(activation->from))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("a policy becomes active now or later"),
				 errdetail("active_from: is %s", TIMESTAMP_NOT_FINITE(activation->from) ? "no moment" : "in the past"),
				 errhint("Leave active_from out for now; oms.simulate_routing shows what a policy would have done.")));
	activation->values[7] = TimestampTzGetDatum(activation->from);
	(void) oms_execute_each(&next_plan, activation->values, activation->nulls, read_next, activation);
	activation->values[8] = TimestampTzGetDatum(activation->until);
	if (activation->taken && activation->from > oms_call->now)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("another policy is scheduled for the same orders and moment"),
				 errdetail("active_from: is taken"),
				 errhint("oms.withdraw_routing_policy takes it back.")));
}

/*
 * oms.activate_routing_policy(code text, version integer, channel text, service text, customer_class text, item_group text,
 *		country text, postal_prefix text, active_from timestamptz, idempotency_key text) -> void
 */
OMS_FUNCTION(oms_activate_routing_policy, CALL_KEYED)
{
	Activation	activation;
	bool		later;

	begin_activation(fcinfo, &activation);
	find_version(&activation);
	if (!activation.found || !activation.draft)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("policy \"%s\" has no draft of version %d", activation.code, activation.version),
				 errhint("oms.save_routing_policy makes a draft and returns its version.")));
	take_scope(fcinfo, &activation);
	take_moment(fcinfo, &activation);
	oms_routing_policy_check(activation.definition, activation.owner);
	check_currency(&activation);
	(void) oms_execute(&end_plan, activation.values, activation.nulls);
	(void) oms_execute(&begin_plan, activation.values, activation.nulls);
	later = activation.from > oms_call->now;
	oms_event(&(Event) {.object_type = "routing_policy",.type = later ? "routing_policy.scheduled" : "routing_policy.activated",
			.reason = later ? psprintf("%s version %d from %s", activation.code, activation.version, timestamptz_to_str(activation.from))
			: psprintf("%s version %d", activation.code, activation.version)});
	PG_RETURN_VOID();
}

/*
 * oms.withdraw_routing_policy(code text, version integer, idempotency_key text) -> void
 */
OMS_FUNCTION(oms_withdraw_routing_policy, CALL_KEYED)
{
	Activation	activation;
	Datum		values[3];

	begin_activation(fcinfo, &activation);
	find_version(&activation);
	if (!activation.found)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("policy \"%s\" has no version %d", activation.code, activation.version),
				 errhint("oms.routing_policies shows all versions.")));
	if (activation.draft || activation.from <= oms_call->now)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("policy \"%s\" version %d is not scheduled", activation.code, activation.version),
				 errdetail("version: is %s", activation.draft ? "a draft" : "active or archived"),
				 errhint("An active policy ends when another one is activated for the same orders.")));
	values[0] = activation.values[0];
	values[1] = activation.values[9];
	values[2] = activation.values[10];
	(void) oms_execute(&withdraw_plan, values, NULL);
	activation.values[7] = TimestampTzGetDatum(activation.from);
	activation.values[8] = TimestampTzGetDatum(activation.until);
	(void) oms_execute(&extend_plan, activation.values, activation.nulls);
	oms_event(&(Event) {.object_type = "routing_policy",.type = "routing_policy.withdrawn",
			.reason = psprintf("%s version %d", activation.code, activation.version)});
	PG_RETURN_VOID();
}

/*
 * oms.routing_policies_at(at timestamptz) -> setof (policy_id, code, version, scope, active_from, active_until)
 */
OMS_FUNCTION(oms_routing_policies_at, CALL_READ)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), PG_ARGISNULL(0) ? TimestampTzGetDatum(oms_call->now) : PG_GETARG_DATUM(0)};

	oms_return_rows(fcinfo, &at_plan, values, NULL);
	*isnull = true;
	return (Datum) 0;
}
