/*
 * machine.c
 *	  State machines: data in oms.state_machines and oms.transitions, checked
 *	  when changed, cached per backend, the same code for our objects and for
 *	  any table of the user's.
 *
 * A changed row reaches every backend through the invalidation that the
 * tables' triggers send; a machine is then read again at the next step.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/pg_list.h"
#include "parser/parse_func.h"
#include "utils/fmgroids.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/rel.h"

#include "call.h"
#include "error.h"
#include "event.h"
#include "document.h"
#include "hold.h"
#include "machine.h"
#include "relation.h"

PG_FUNCTION_INFO_V1(oms_enforce_transitions);

typedef struct State
{
	const char *name;
	const char *kind;
} State;

/* What a step leaves to be done at the end of its call. */
typedef struct Hook
{
	const char *function;
	Jsonb	   *argument;
} Hook;

typedef struct Machine
{
	const char *name;
	List	   *states;			/* of State */
	List	   *transitions;	/* of Transition, by id */
} Machine;

static struct
{
	MemoryContext context;
	uint64		generation;
	int32		tenant;
	List	   *machines;		/* of Machine: a handful, so a list is enough */
}			cache;

static OmsPlan states_plan = {
	.sql = "SELECT machine, state, kind FROM {state_machines} WHERE tenant_id = $1 ORDER BY machine, state",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan transitions_plan = {
	.sql = "SELECT machine, transition_id, from_state, action, to_state, guard, after_hook"
	" FROM {transitions} WHERE tenant_id = $1 ORDER BY machine, transition_id",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static Machine *
machine_in(List *machines, const char *name)
{
	ListCell   *cell;

	foreach(cell, machines)
		if (strcmp(((Machine *) lfirst(cell))->name, name) == 0)
			return lfirst(cell);
	return NULL;
}

static void
collect_state(TupleTableSlot *slot, void *state)
{
	List	  **machines = state;
	char	   *name = oms_slot_text(slot, 1);
	Machine    *machine = machine_in(*machines, name);
	State	   *entry = palloc(sizeof(State));

	if (machine == NULL)
	{
		machine = palloc0(sizeof(Machine));
		machine->name = name;
		*machines = lappend(*machines, machine);
	}
	entry->name = oms_slot_text(slot, 2);
	entry->kind = oms_slot_text(slot, 3);
	machine->states = lappend(machine->states, entry);
}

static void
collect_transition(TupleTableSlot *slot, void *state)
{
	List	  **machines = state;
	Machine    *machine = machine_in(*machines, oms_slot_text(slot, 1));
	Transition *entry = palloc(sizeof(Transition));

	if (machine == NULL)
		return;					/* the deferred foreign key will refuse it */
	entry->id = oms_slot_int64(slot, 2);
	entry->from_state = oms_slot_text(slot, 3);
	entry->action = oms_slot_text(slot, 4);
	entry->to_state = oms_slot_text(slot, 5);
	entry->guard = oms_slot_text(slot, 6);
	entry->after_hook = oms_slot_text(slot, 7);
	machine->transitions = lappend(machine->transitions, entry);
}

static List *
load_machines(int32 tenant)
{
	List	   *machines = NIL;
	Datum		values[1] = {Int32GetDatum(tenant)};

	(void) oms_execute_latest(&states_plan, values, collect_state, &machines);
	(void) oms_execute_latest(&transitions_plan, values, collect_transition, &machines);
	return machines;
}

static Machine *
machine_named(const char *name)
{
	Machine    *machine;

	if (cache.generation != oms_configuration_generation() || cache.tenant != oms_call->tenant)
	{
		uint64		generation = oms_configuration_generation();
		MemoryContext old;

		if (cache.context == NULL)
			cache.context = AllocSetContextCreate(TopMemoryContext, "oms state machines",
												  ALLOCSET_DEFAULT_SIZES);
		cache.generation = 0;
		MemoryContextReset(cache.context);
		old = MemoryContextSwitchTo(cache.context);
		cache.machines = load_machines(oms_call->tenant);
		MemoryContextSwitchTo(old);
		cache.tenant = oms_call->tenant;
		cache.generation = generation;
	}
	machine = machine_in(cache.machines, name);
	if (machine == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("state machine \"%s\" is not known", name),
				 errhint("Insert its states into oms.state_machines and its transitions into oms.transitions.")));
	return machine;
}

/* The state that new objects have. */
const char *
oms_machine_initial(const char *name)
{
	Machine    *machine = machine_named(name);
	ListCell   *cell;

	foreach(cell, machine->states)
	{
		State	   *state = lfirst(cell);

		if (strcmp(state->kind, "initial") == 0)
			return state->name;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OMS_TRANSITION),
			 errmsg("state machine \"%s\" has no initial state", name),
			 errhint("Set kind to initial for one of its states.")));
}

bool
oms_machine_final(const char *name, const char *state_name)
{
	Machine    *machine = machine_named(name);
	ListCell   *cell;

	foreach(cell, machine->states)
	{
		State	   *state = lfirst(cell);

		if (strcmp(state->name, state_name) == 0)
			return strcmp(state->kind, "final") == 0;
	}
	return false;
}

static const Transition *
find_transition(Machine *machine, const char *from_state, const char *action)
{
	ListCell   *cell;

	foreach(cell, machine->transitions)
	{
		Transition *transition = lfirst(cell);

		if (strcmp(transition->from_state, from_state) == 0 &&
			strcmp(transition->action, action) == 0)
			return transition;
	}
	return NULL;
}

bool
oms_machine_allows(const char *name, const char *from_state, const char *action)
{
	return find_transition(machine_named(name), from_state, action) != NULL;
}

/* Whether the action leads from the one state to the other. */
bool
oms_machine_leads(const char *name, const char *from_state, const char *action, const char *to_state)
{
	const Transition *transition = find_transition(machine_named(name), from_state, action);

	return transition != NULL && strcmp(transition->to_state, to_state) == 0;
}

/* Whether the step asks a guard or a hook, which may look at anything; also where it is not allowed. */
bool
oms_machine_asks(const char *name, const char *from_state, const char *action)
{
	const Transition *transition = find_transition(machine_named(name), from_state, action);

	return transition == NULL || transition->guard != NULL || transition->after_hook != NULL;
}

/* Where an action leads to; the state itself where it is not allowed. */
const char *
oms_machine_target(const char *name, const char *from_state, const char *action)
{
	const Transition *transition = find_transition(machine_named(name), from_state, action);

	return transition ? transition->to_state : from_state;
}

static char *
allowed_actions(Machine *machine, const char *from_state)
{
	StringInfoData buffer;
	ListCell   *cell;

	initStringInfo(&buffer);
	foreach(cell, machine->transitions)
	{
		Transition *transition = lfirst(cell);

		if (strcmp(transition->from_state, from_state) == 0)
			appendStringInfo(&buffer, "%s%s", buffer.len ? ", " : "", transition->action);
	}
	return buffer.len ? buffer.data : "nothing";
}

static void
refuse_step(Machine *machine, const char *from_state, const char *action, const StepObject *object)
{
	ereport(ERROR,
			(errcode(ERRCODE_OMS_TRANSITION),
			 object->id
			 ? errmsg("%s " INT64_FORMAT " is %s: %s is not allowed", object->type, object->id,
					  from_state, action)
			 : errmsg("%s is %s: %s is not allowed", object->type, from_state, action),
			 errdetail("State %s allows: %s.", from_state, allowed_actions(machine, from_state)),
			 errhint("SELECT oms.state_diagram('%s') shows the machine.", machine->name)));
}

/* Calls a user's function by the name that a row of configuration gives. */
Datum
oms_user_function(const char *name, Jsonb *argument, Oid expected)
{
	List	   *names = stringToQualifiedNameList(name);
	Oid			argtypes[1] = {JSONBOID};
	Oid			function = LookupFuncName(names, 1, argtypes, true);
	FmgrInfo	lookup;
	volatile Datum result = (Datum) 0;
	bool		outer_in_call = oms_in_call;
	LOCAL_FCINFO(call, 1);

	if (!OidIsValid(function) ||
		(OidIsValid(expected) && get_func_rettype(function) != expected))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("function %s(jsonb)%s does not exist", name,
						expected == BOOLOID ? " returning boolean" : ""),
				 errhint("A row of configuration names it; create it or change the row.")));
	fmgr_info(function, &lookup);
	InitFunctionCallInfoData(*call, &lookup, 1, InvalidOid, NULL, NULL);
	call->args[0].value = JsonbPGetDatum(argument);
	call->args[0].isnull = false;

	/* What it writes is the user's word, not that of our code: the guards of the tables look at it. */
	oms_in_call = false;
	PG_TRY();
	{
		result = FunctionCallInvoke(call);
	}
	PG_FINALLY();
	{
		oms_in_call = outer_in_call;
	}
	PG_END_TRY();

	/* A guard that does not say yes says no; what a hook returns is not looked at. */
	return call->isnull ? (Datum) 0 : result;
}

static Jsonb *
step_document(const char *machine, const Transition *transition, const StepObject *object)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "machine", machine);
	oms_write_text(&writer, "object_type", object->type);
	oms_write_int64(&writer, "object_id", object->id);
	oms_write_int64(&writer, "order_id", object->order_id);
	oms_write_text(&writer, "from_state", transition->from_state);
	oms_write_text(&writer, "action", transition->action);
	oms_write_text(&writer, "to_state", transition->to_state);
	oms_write_text(&writer, "reason", object->reason);
	if (object->document)
		oms_write_jsonb(&writer, "document", object->document);
	return oms_write_finish(&writer);
}

static void
run_guard(const char *machine, const Transition *transition, const StepObject *object, Jsonb *argument)
{
	if (transition->guard == NULL)
		return;
	if (!DatumGetBool(oms_user_function(transition->guard, argument, BOOLOID)))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("%s%s is %s: %s is refused by %s", object->type,
						object->id ? psprintf(" " INT64_FORMAT, object->id) : "", transition->from_state, transition->action,
						transition->guard),
				 errdetail("Transition " INT64_FORMAT " of machine %s has that guard.",
						   transition->id, machine),
				 errhint("The guard decides with the rows of the database as they are now.")));
}

/* A hook runs when the call has written what the step is about: see oms_machine_run_hooks. */
static void
note_hook(const char *function, Jsonb *argument)
{
	Hook	   *hook = palloc(sizeof(Hook));

	*hook = (Hook) {function, argument};
	oms_call->hooks = lappend(oms_call->hooks, hook);
}

/* Runs the hooks of the call's steps, and those of steps that they lead to in calls of their own. */
void
oms_machine_run_hooks(void)
{
	List	   *hooks = oms_call->hooks;
	ListCell   *cell;

	oms_call->hooks = NIL;
	foreach(cell, hooks)
	{
		Hook	   *hook = lfirst(cell);

		CHECK_FOR_INTERRUPTS();
		(void) oms_user_function(hook->function, hook->argument, InvalidOid);
	}
}

/*
 * Refuses what the step's guard would refuse, for previews.  The object has no
 * id yet, and whatever the guard did is undone.
 */
void
oms_machine_ask(const char *name, const char *from_state, const char *action, const StepObject *object)
{
	Machine    *machine = machine_named(name);
	const Transition *found = find_transition(machine, from_state, action);
	Transition	transition;
	OmsAttempt	attempt;

	if (found == NULL)
		refuse_step(machine, from_state, action, object);
	if (found->guard == NULL)
		return;
	transition = *found;
	transition.guard = pstrdup(found->guard);
	transition.from_state = pstrdup(found->from_state);
	transition.action = pstrdup(found->action);
	oms_attempt_begin(&attempt);
	run_guard(name, &transition, object, step_document(name, &transition, object));
	oms_attempt_undo(&attempt);
}

static const char *
event_type_of(const char *object_type, const char *to_state)
{
	return psprintf("%s.%s", object_type, to_state);
}

/*
 * The one place where every change of state meets the holds.  Steps of payments
 * are let through: they report what the provider has done already.
 */
static void
refuse_held(const char *machine, const char *action, const StepObject *object)
{
	bool		fulfillment = strcmp(machine, MACHINE_FULFILLMENT) == 0;

	if (object->order_id == 0 || !oms_hold_possible(object->order_id) || strcmp(machine, MACHINE_PAYMENT) == 0)
		return;
	oms_hold_check(object->order_id, psprintf("%s.%s", machine, action), fulfillment ? object->id : 0,
				   object->lines, object->line_count);
}

/*
 * Takes one step: finds the transition or refuses, asks holds and guard, notes
 * the event and the hook.  The caller writes the new state.
 */
const Transition *
oms_machine_step(const char *name, const char *from_state, const char *action,
				 const StepObject *object)
{
	Machine    *machine = machine_named(name);
	const Transition *found = find_transition(machine, from_state, action);
	Transition *transition;
	Event		event = {0};

	if (found == NULL)
		refuse_step(machine, from_state, action, object);
	refuse_held(name, action, object);

	/* A copy: guard and hook may change configuration and so drop the cache. */
	transition = palloc(sizeof(Transition));
	*transition = *found;
	transition->from_state = pstrdup(found->from_state);
	transition->action = pstrdup(found->action);
	transition->to_state = pstrdup(found->to_state);
	if (found->guard || found->after_hook)
	{
		Jsonb	   *argument = object->data && found->guard && strcmp(object->type, "row") == 0
			? object->data : step_document(name, found, object);

		transition->guard = found->guard ? pstrdup(found->guard) : NULL;
		transition->after_hook = found->after_hook ? pstrdup(found->after_hook) : NULL;
		run_guard(name, transition, object, argument);
		if (transition->after_hook)
			note_hook(transition->after_hook, argument);
	}
	event.order_id = object->order_id;
	event.object_id = object->id;
	event.rule = transition->id;
	event.object_type = object->type;
	event.type = event_type_of(object->type, transition->to_state);
	event.action = transition->action;
	event.from_state = transition->from_state;
	event.to_state = transition->to_state;
	event.reason = object->reason;
	event.data = object->data;
	oms_event(&event);
	return transition;
}

/*
 * The step from one state to another when only the states are known, as in an
 * UPDATE by hand: the first transition by id that leads there and whose guard
 * agrees.
 */
static void
step_by_states(const char *name, const char *from_state, const char *to_state,
			   const StepObject *object)
{
	Machine    *machine = machine_named(name);
	ListCell   *cell;

	foreach(cell, machine->transitions)
	{
		Transition *transition = lfirst(cell);

		if (strcmp(transition->from_state, from_state) == 0 &&
			strcmp(transition->to_state, to_state) == 0)
		{
			(void) oms_machine_step(name, from_state, transition->action, object);
			return;
		}
	}
	refuse_step(machine, from_state, psprintf("a change to %s", to_state), object);
}

static int64
id_from_row(Jsonb *row, const char *machine)
{
	JsonbValue	buffer;
	char	   *key = psprintf("%s_id", machine);
	JsonbValue *value;

	if (row == NULL || !JB_ROOT_IS_OBJECT(row))
		return 0;
	value = getKeyJsonValueFromContainer(&row->root, key, strlen(key), &buffer);
	if (value == NULL || value->type != jbvNumeric)
		return 0;
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(value->val.numeric)));
}

/*
 * oms.check_transition(machine text, from_state text, to_state text, object jsonb) -> void
 */
OMS_FUNCTION(oms_check_transition, CALL_WRITE)
{
	char	   *machine = oms_argument_required(fcinfo, 0, "machine");
	StepObject	object = {0};

	object.type = machine;
	object.reason = "changed by hand";
	if (!PG_ARGISNULL(3))
	{
		Jsonb	   *row = PG_GETARG_JSONB_P(3);

		object.id = id_from_row(row, machine);
		object.order_id = id_from_row(row, "order");
	}
	step_by_states(machine, oms_argument_required(fcinfo, 1, "from_state"),
				   oms_argument_required(fcinfo, 2, "to_state"), &object);
	PG_RETURN_VOID();
}

/* The trigger's work, inside the frame of a call. */
OMS_FUNCTION(oms_enforce_row, CALL_WRITE)
{
	char	   *machine = oms_argument_required(fcinfo, 0, "machine");
	char	   *from_state = oms_argument_text(fcinfo, 1);
	char	   *to_state = oms_argument_required(fcinfo, 2, "state");
	StepObject	object = {0};

	object.type = machine;
	object.data = PG_GETARG_JSONB_P(3);
	object.id = id_from_row(object.data, machine);
	if (from_state != NULL)
		step_by_states(machine, from_state, to_state, &object);
	else if (strcmp(oms_machine_initial(machine), to_state) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("a new %s cannot be %s", machine, to_state),
				 errdetail("The initial state of machine %s is %s.", machine, oms_machine_initial(machine)),
				 errhint("Insert it with its initial state and let it step from there.")));
	PG_RETURN_VOID();
}

/*
 * oms.enforce_transitions() -> trigger
 *
 * Row trigger before insert or update: arguments machine [, column].
 */
Datum
oms_enforce_transitions(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	LOCAL_FCINFO(inner, 4);
	FmgrInfo	function;
	TupleDesc	descriptor;
	HeapTuple	row;
	const char *column = "status";
	char	   *from_state = NULL;
	char	   *to_state;
	int			attribute;
	bool		is_update;
	Datum		json;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_FOR_ROW(trigger->tg_event) ||
		TRIGGER_FIRED_BY_DELETE(trigger->tg_event) || trigger->tg_trigger->tgnargs < 1)
		ereport(ERROR,
				(errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				 errmsg("oms.enforce_transitions is a row trigger for INSERT and UPDATE with the machine as argument"),
				 errhint("CREATE TRIGGER t BEFORE INSERT OR UPDATE ON ... FOR EACH ROW EXECUTE FUNCTION oms.enforce_transitions('machine');")));
	is_update = TRIGGER_FIRED_BY_UPDATE(trigger->tg_event);
	row = is_update ? trigger->tg_newtuple : trigger->tg_trigtuple;
	descriptor = RelationGetDescr(trigger->tg_relation);
	if (trigger->tg_trigger->tgnargs > 1)
		column = trigger->tg_trigger->tgargs[1];
	attribute = SPI_fnumber(descriptor, column);
	if (attribute <= 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_COLUMN),
				 errmsg("table \"%s\" has no column \"%s\"",
						RelationGetRelationName(trigger->tg_relation), column),
				 errhint("Name the state column as second argument of the trigger.")));
	to_state = SPI_getvalue(row, descriptor, attribute);
	if (is_update)
	{
		from_state = SPI_getvalue(trigger->tg_trigtuple, descriptor, attribute);
		if (from_state && to_state && strcmp(from_state, to_state) == 0)
			return PointerGetDatum(row);
	}

	fmgr_info(fcinfo->flinfo->fn_oid, &function);
	InitFunctionCallInfoData(*inner, &function, 4, InvalidOid, NULL, NULL);
	inner->args[0].value = CStringGetTextDatum(trigger->tg_trigger->tgargs[0]);
	inner->args[0].isnull = false;
	inner->args[1].value = from_state ? CStringGetTextDatum(from_state) : (Datum) 0;
	inner->args[1].isnull = from_state == NULL;
	inner->args[2].value = to_state ? CStringGetTextDatum(to_state) : (Datum) 0;
	inner->args[2].isnull = to_state == NULL;
	json = OidFunctionCall1(F_ROW_TO_JSON_RECORD, heap_copy_tuple_as_datum(row, descriptor));
	inner->args[3].value = DirectFunctionCall1(jsonb_in, CStringGetDatum(TextDatumGetCString(json)));
	inner->args[3].isnull = false;
	(void) oms_enforce_row(inner);
	return PointerGetDatum(row);
}

/* ---- Check of a whole machine ---- */

static void
note_reachable(Machine *machine, const char *state, List **reached)
{
	ListCell   *cell;

	check_stack_depth();
	foreach(cell, *reached)
		if (strcmp(lfirst(cell), state) == 0)
			return;
	*reached = lappend(*reached, unconstify(char *, state));
	foreach(cell, machine->transitions)
	{
		Transition *transition = lfirst(cell);

		if (strcmp(transition->from_state, state) == 0)
			note_reachable(machine, transition->to_state, reached);
	}
}

static bool
is_in(List *names, const char *name)
{
	ListCell   *cell;

	foreach(cell, names)
		if (strcmp(lfirst(cell), name) == 0)
			return true;
	return false;
}

static bool
leads_on(Machine *machine, const char *state)
{
	ListCell   *cell;

	foreach(cell, machine->transitions)
	{
		Transition *transition = lfirst(cell);

		if (strcmp(transition->from_state, state) == 0 && strcmp(transition->to_state, state) != 0)
			return true;
	}
	return false;
}

static void
check_function(const char *name, Oid expected, const char *place, FaultList *faults)
{
	Oid			argtypes[1] = {JSONBOID};
	Oid			function;

	if (name == NULL)
		return;
	function = LookupFuncName(stringToQualifiedNameList(name), 1, argtypes, true);
	if (!OidIsValid(function))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Create the function first.", place,
				  "function %s(jsonb) does not exist", name);
	else if (OidIsValid(expected) && get_func_rettype(function) != expected)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A guard returns boolean.", place,
				  "function %s(jsonb) does not return boolean", name);
}

static void
check_states(Machine *machine, FaultList *faults)
{
	const char *hint = "A machine is checked whole at the end of the transaction that changes it.";
	List	   *reached = NIL;
	int			initial = 0;
	ListCell   *cell;

	foreach(cell, machine->states)
	{
		State	   *state = lfirst(cell);

		if (strcmp(state->kind, "initial") == 0)
		{
			initial++;
			note_reachable(machine, state->name, &reached);
		}
	}
	if (initial != 1)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, hint, machine->name,
				  "has %d initial states, exactly one is needed", initial);
	foreach(cell, machine->states)
	{
		State	   *state = lfirst(cell);

		if (initial == 1 && !is_in(reached, state->name))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, hint, state->name,
					  "cannot be reached from the initial state");
		if (strcmp(state->kind, "final") != 0 && !leads_on(machine, state->name))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, hint, state->name,
					  "is a dead end and not final");
	}
	foreach(cell, machine->transitions)
	{
		Transition *transition = lfirst(cell);
		char	   *place = psprintf("transition " INT64_FORMAT, transition->id);

		check_function(transition->guard, BOOLOID, place, faults);
		check_function(transition->after_hook, InvalidOid, place, faults);
	}
}

/*
 * oms.check_state_machine(tenant integer, machine text) -> void
 *
 * A machine without any row is no machine and passes.
 */
OMS_FUNCTION(oms_check_state_machine, CALL_WRITE)
{
	List	   *machines = load_machines(PG_GETARG_INT32(0));
	Machine    *machine = machine_in(machines, text_to_cstring(PG_GETARG_TEXT_PP(1)));
	FaultList	faults;

	oms_faults_init(&faults);
	if (machine != NULL)
		check_states(machine, &faults);
	oms_faults_raise(&faults, machine ? psprintf("state machine \"%s\" is not sound", machine->name) : "");
	PG_RETURN_VOID();
}

/* ---- Pictures ---- */

static void
draw_mermaid(Machine *machine, StringInfo out)
{
	ListCell   *cell;

	appendStringInfoString(out, "stateDiagram-v2\n");
	foreach(cell, machine->states)
	{
		State	   *state = lfirst(cell);

		if (strcmp(state->kind, "initial") == 0)
			appendStringInfo(out, "    [*] --> %s\n", state->name);
	}
	foreach(cell, machine->transitions)
	{
		Transition *transition = lfirst(cell);

		appendStringInfo(out, "    %s --> %s: %s\n", transition->from_state, transition->to_state,
						 transition->action);
	}
	foreach(cell, machine->states)
	{
		State	   *state = lfirst(cell);

		if (strcmp(state->kind, "final") == 0)
			appendStringInfo(out, "    %s --> [*]\n", state->name);
	}
}

static void
draw_dot(Machine *machine, StringInfo out)
{
	ListCell   *cell;

	appendStringInfo(out, "digraph \"%s\" {\n", machine->name);
	foreach(cell, machine->states)
	{
		State	   *state = lfirst(cell);

		appendStringInfo(out, "    \"%s\" [shape=%s];\n", state->name,
						 strcmp(state->kind, "final") == 0 ? "doublecircle" :
						 strcmp(state->kind, "initial") == 0 ? "box" : "ellipse");
	}
	foreach(cell, machine->transitions)
	{
		Transition *transition = lfirst(cell);

		appendStringInfo(out, "    \"%s\" -> \"%s\" [label=\"%s\"];\n", transition->from_state,
						 transition->to_state, transition->action);
	}
	appendStringInfoString(out, "}\n");
}

/*
 * oms.state_diagram(machine text, format text) -> text
 */
OMS_FUNCTION(oms_state_diagram, CALL_READ)
{
	Machine    *machine = machine_named(text_to_cstring(PG_GETARG_TEXT_PP(0)));
	char	   *format = text_to_cstring(PG_GETARG_TEXT_PP(1));
	StringInfoData out;

	initStringInfo(&out);
	if (strcmp(format, "mermaid") == 0)
		draw_mermaid(machine, &out);
	else if (strcmp(format, "dot") == 0)
		draw_dot(machine, &out);
	else
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("diagram format \"%s\" is not known", format),
				 errhint("The formats are mermaid and dot.")));
	PG_RETURN_TEXT_P(cstring_to_text(out.data));
}
