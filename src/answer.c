/*
 * answer.c
 *	  Answers of outside services to commands.
 *
 * No service is called from a transaction.  A command leaves as an event whose
 * type ends in .requested; the answer names that event.  Both are kept, and an
 * answer that comes twice is one answer.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/fmgrprotos.h"

#include "answer.h"
#include "call.h"
#include "event.h"
#include "hold.h"
#include "machine.h"
#include "order.h"
#include "relation.h"

static OmsPlan command_plan = {
	.sql = "SELECT order_id, object_type, object_id, type FROM {events} WHERE event_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan known_plan = {
	.sql = "SELECT answer, outcome FROM {answers} WHERE command_event_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {answers} (command_event_id, order_id, at, tenant_id, type, actor, answer, outcome)"
	" VALUES ($2, $3, $4, $1, $5, $6, $7, $8) ON CONFLICT (command_event_id, tenant_id) DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID)
};

static OmsPlan replace_plan = {
	.sql = "UPDATE {answers} SET at = $4, actor = $6, answer = $7, outcome = $8"
	" WHERE command_event_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, JSONBOID, JSONBOID)
};

static OmsPlan risk_plan = {
	.sql = "UPDATE {orders} SET risk = $3 WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID)
};

static const char *const decisions[] = {"accept", "review", "reject", NULL};

static const DocField risk_fields[] = {
	{"decision", DOC_TEXT, offsetof(RiskDocument, decision), .required = true,.choices = decisions},
	{"score", DOC_DOUBLE, offsetof(RiskDocument, score), .least = -1000000,.most = 1000000},
	{"reason", DOC_TEXT, offsetof(RiskDocument, reason)},
	{"reference", DOC_CODE, offsetof(RiskDocument, reference)},
	{"data", DOC_OBJECT, offsetof(RiskDocument, data)},
};

const DocShape oms_risk_shape = DOC_SHAPE_OF(RiskDocument, risk_fields, "a fraud check's answer");

/* The event that asked. */
typedef struct Command
{
	int64		event_id;
	int64		order_id;		/* 0: of no order */
	int64		object_id;
	char	   *object_type;
	char	   *type;
} Command;

static void
read_command(TupleTableSlot *slot, void *state)
{
	Command    *command = state;

	command->order_id = oms_slot_int64(slot, 1);
	command->object_type = oms_slot_text(slot, 2);
	command->object_id = oms_slot_int64(slot, 3);
	command->type = oms_slot_text(slot, 4);
}

static bool
is_command(const char *type)
{
	const char *point = strrchr(type, '.');

	return point != NULL && strcmp(point, ".requested") == 0;
}

static Command
get_command(int64 event_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(event_id)};
	Command		command = {.event_id = event_id};

	(void) oms_execute_each(&command_plan, values, NULL, read_command, &command);
	if (command.type == NULL || !is_command(command.type))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("command " INT64_FORMAT " is not known", event_id),
				 command.type
				 ? errdetail("command_event_id: event " INT64_FORMAT " is %s", event_id, command.type)
				 : errdetail("command_event_id: there is no event " INT64_FORMAT, event_id),
				 errhint("Commands are the events whose type ends in .requested.")));
	return command;
}

typedef struct Known
{
	Jsonb	   *answer;
	Jsonb	   *outcome;
} Known;

static void
read_known(TupleTableSlot *slot, void *state)
{
	Known	   *known = state;
	bool		isnull;
	Datum		value = oms_slot_datum(slot, 1, &isnull);

	known->answer = DatumGetJsonbPCopy(value);
	value = oms_slot_datum(slot, 2, &isnull);
	known->outcome = isnull ? NULL : DatumGetJsonbPCopy(value);
}

/* Whether an answer only says that somebody looks at it, so that another one follows. */
static bool
is_provisional(Jsonb *answer)
{
	JsonbValue	buffer;
	JsonbValue *decision = getKeyJsonValueFromContainer(&answer->root, "decision", 8, &buffer);

	return decision != NULL && decision->type == jbvString && decision->val.string.len == 6 &&
		memcmp(decision->val.string.val, "review", 6) == 0;
}

/* True for an answer that is kept already; another one after a final one is refused. */
static bool
is_repeated(const Command *command, const Known *known, Jsonb *answer)
{
	if (known->answer == NULL)
		return false;
	if (compareJsonbContainers(&known->answer->root, &answer->root) == 0)
		return true;
	if (!is_provisional(known->answer))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_IDEMPOTENCY),
				 errmsg("command " INT64_FORMAT " was answered otherwise", command->event_id),
				 errdetail("answer: differs from the one that is kept"),
				 errhint("Only an answer whose decision is review can be followed by another.")));
	return false;
}

/* What a fraud check says: the holds that asked go, stay, or end the order. */
static Jsonb *
fraud_checked(const Command *command, Jsonb *answer)
{
	Order	   *order = oms_order_lock(command->order_id);
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(command->order_id), JsonbPGetDatum(answer)};
	RiskDocument *risk;
	FaultList	faults;
	DocWriter	writer;
	bool		cancelled = false;
	int			lifted = 0;

	oms_faults_init(&faults);
	risk = oms_document_read_field(answer, &oms_risk_shape, "answer", &faults);
	oms_faults_raise(&faults, "answer is not valid");
	(void) oms_execute(&risk_plan, values, NULL);
	if (strcmp(risk->decision, "accept") == 0)
		lifted = oms_hold_answered(command->order_id, command->object_id, risk->reason);
	else if (strcmp(risk->decision, "reject") == 0)
		cancelled = oms_hold_rejected(order, command->object_id, risk->reason);
	if (!cancelled)
		oms_hold_risk_changed(order);
	oms_write_begin(&writer);
	oms_write_int64(&writer, "order_id", command->order_id);
	oms_write_text(&writer, "decision", risk->decision);
	oms_write_int64(&writer, "holds_lifted", lifted);
	oms_write_bool(&writer, "cancelled", cancelled);
	return oms_write_finish(&writer);
}

/* Commands whose answers do something; the others' are kept and reported. */
static const struct
{
	const char *command;
	Jsonb	   *(*answered) (const Command *command, Jsonb *answer);
}			handlers[] = {
	{COMMAND_FRAUD_CHECK, fraud_checked},
};

static Jsonb *
act_on(const Command *command, Jsonb *answer)
{
	for (int i = 0; i < lengthof(handlers); i++)
		if (strcmp(handlers[i].command, command->type) == 0)
			return handlers[i].answered(command, answer);
	return NULL;
}

/* "fraud_check.requested" becomes "fraud_check.answered". */
static const char *
answered_type(const char *type)
{
	return psprintf("%.*s.answered", (int) (strrchr(type, '.') - type), type);
}

static void
keep(const Command *command, Jsonb *answer, Jsonb *outcome, bool replace)
{
	Datum		values[8];
	char		nulls[9] = "        ";

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(command->event_id);
	values[2] = Int64GetDatum(command->order_id);
	nulls[2] = command->order_id ? ' ' : 'n';
	values[3] = TimestampTzGetDatum(oms_call->now);
	values[4] = CStringGetTextDatum(command->type);
	values[5] = CStringGetTextDatum(oms_call->actor);
	values[6] = JsonbPGetDatum(answer);
	values[7] = JsonbPGetDatum(outcome);
	nulls[7] = outcome ? ' ' : 'n';
	if (oms_execute(replace ? &replace_plan : &insert_plan, values, nulls) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("another transaction is answering command " INT64_FORMAT, command->event_id),
				 errhint("Repeat the transaction.")));
}

/*
 * oms.record_answer(command_event_id bigint, answer jsonb, idempotency_key text) -> jsonb
 */
OMS_FUNCTION(oms_record_answer, CALL_KEYED)
{
	Command		command = get_command(oms_argument_id(fcinfo, 0, "command_event_id"));
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(command.event_id)};
	Known		known = {0};
	Jsonb	   *answer;
	Jsonb	   *outcome;

	if (PG_ARGISNULL(1) || !JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("answer is not valid"),
				 errdetail("answer: %s", PG_ARGISNULL(1) ? "is null" : "must be an object"),
				 errhint("Give the service's answer as an object.")));
	answer = PG_GETARG_JSONB_P(1);
	if (command.order_id != 0)
		(void) oms_order_lock(command.order_id);
	(void) oms_execute_each(&known_plan, values, NULL, read_known, &known);
	outcome = known.outcome;
	if (!is_repeated(&command, &known, answer))
	{
		outcome = act_on(&command, answer);
		keep(&command, answer, outcome, known.answer != NULL);
		oms_event(&(Event) {.order_id = command.order_id,.object_id = command.object_id,
							.object_type = command.object_type,.type = answered_type(command.type),
							.reason = psprintf("command " INT64_FORMAT, command.event_id),.data = answer});
	}
	*isnull = outcome == NULL;
	PG_RETURN_JSONB_P(outcome);
}
