/*
 * event.c
 *	  Events of the running call.  They are collected and written together at
 *	  its end, in the same transaction as the change they report.
 *
 * Ids come from a sequence without cache, taken while the order's row is
 * locked, so the events of one order are in the order of its changes.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "heap.h"
#include "relation.h"

/* Payload of one event. */
#define EVENT_DATA_BYTES_MAX (64 * 1024)

/* The columns of an event in the order of oms_heap_insert's values. */
static OmsHeap events_heap = {
	.relation = "events",
	.partitioned = true,
	.column_count = 14,
	.columns = {"event_id", "order_id", "object_id", "rule", "at", "tenant_id", "object_type", "type", "action",
	"from_state", "to_state", "actor", "reason", "data"}
};

/* Finds the partition, and serves where rows cannot be written directly. */
static OmsPlan insert_plan = {
	.sql = "INSERT INTO {events} (event_id, order_id, object_id, rule, at, tenant_id, object_type, type,"
	" action, from_state, to_state, actor, reason, data)"
	" SELECT u.event_id, u.order_id, u.object_id, u.rule, $11, $12, u.object_type, u.type,"
	" u.action, u.from_state, u.to_state, $13, u.reason, u.data"
	" FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::text[],"
	" $7::text[], $8::text[], $9::text[], $10::text[], $14::jsonb[])"
	" u(event_id, order_id, object_id, rule, object_type, type, action, from_state, to_state, reason, data)"
	" RETURNING tableoid",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, INT8ARRAYOID, TEXTARRAYOID, TEXTARRAYOID,
				 TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TEXTARRAYOID, TIMESTAMPTZOID, INT4OID,
				 TEXTOID, JSONBARRAYOID)
};

void
oms_events_init(EventList *events)
{
	memset(events, 0, sizeof(*events));
}

/* What stands in the place of a payload that is too large. */
static Jsonb *
within_limit(Jsonb *data)
{
	DocWriter	writer;

	if (data == NULL || VARSIZE_ANY(data) <= EVENT_DATA_BYTES_MAX)
		return data;
	oms_write_begin(&writer);
	oms_write_bool(&writer, "truncated", true);
	oms_write_int64(&writer, "bytes", VARSIZE_ANY(data));
	return oms_write_finish(&writer);
}

/* Notes an event; the texts it points to must live until the call ends. */
void
oms_event(const Event *event)
{
	EventList  *events = oms_call->events;

	if (events->count == events->capacity)
	{
		events->capacity = Max(8, events->capacity * 2);
		events->items = events->items
			? repalloc(events->items, sizeof(Event) * events->capacity)
			: MemoryContextAlloc(oms_call->context, sizeof(Event) * events->capacity);
	}
	events->items[events->count] = *event;
	events->items[events->count++].data = within_limit(event->data);
}

/* Gives a noted event its payload, for payloads that later steps complete. */
void
oms_event_set_data(int position, Jsonb *data)
{
	Assert(position < oms_call->events->count);
	oms_call->events->items[position].data = within_limit(data);
}

static Datum
id_array(const EventList *events, size_t offset)
{
	Datum	   *values = palloc(sizeof(Datum) * events->count);
	bool	   *nulls = palloc(sizeof(bool) * events->count);

	for (int i = 0; i < events->count; i++)
	{
		int64		id = *(int64 *) ((char *) &events->items[i] + offset);

		values[i] = Int64GetDatum(id);
		nulls[i] = id == 0;
	}
	return oms_array_datum(values, nulls, events->count, INT8OID);
}

static Datum
text_array(const EventList *events, size_t offset)
{
	char	  **texts = palloc(sizeof(char *) * events->count);

	for (int i = 0; i < events->count; i++)
		texts[i] = *(char **) ((char *) &events->items[i] + offset);
	return oms_array_text(texts, events->count);
}

static void
read_partition(TupleTableSlot *slot, void *state)
{
	bool		isnull;

	*(Oid *) state = DatumGetObjectId(oms_slot_datum(slot, 1, &isnull));
}

static void
insert_by_statement(const EventList *events)
{
	Datum		values[14];
	Datum	   *data = palloc(sizeof(Datum) * events->count);
	bool	   *nulls = palloc(sizeof(bool) * events->count);
	Oid			partition = InvalidOid;

	for (int i = 0; i < events->count; i++)
	{
		data[i] = JsonbPGetDatum(events->items[i].data);
		nulls[i] = events->items[i].data == NULL;
	}
	values[0] = id_array(events, offsetof(Event, event_id));
	values[1] = id_array(events, offsetof(Event, order_id));
	values[2] = id_array(events, offsetof(Event, object_id));
	values[3] = id_array(events, offsetof(Event, rule));
	values[4] = text_array(events, offsetof(Event, object_type));
	values[5] = text_array(events, offsetof(Event, type));
	values[6] = text_array(events, offsetof(Event, action));
	values[7] = text_array(events, offsetof(Event, from_state));
	values[8] = text_array(events, offsetof(Event, to_state));
	values[9] = text_array(events, offsetof(Event, reason));
	values[10] = TimestampTzGetDatum(oms_call->now);
	values[11] = Int32GetDatum(oms_call->tenant);
	values[12] = CStringGetTextDatum(oms_call->actor);
	values[13] = oms_array_datum(data, nulls, events->count, JSONBOID);
	(void) oms_execute_each(&insert_plan, values, NULL, read_partition, &partition);
	oms_heap_use_partition(&events_heap, partition);
}

static Datum
id_or_null(int64 id, bool *isnull)
{
	*isnull = id == 0;
	return Int64GetDatum(id);
}

static Datum
text_or_null(const char *text, bool *isnull)
{
	*isnull = text == NULL;
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

static bool
insert_directly(OmsHeapWork *work, const Event *event, Datum actor)
{
	Datum		values[14];
	bool		nulls[14] = {0};

	values[0] = Int64GetDatum(event->event_id);
	values[1] = id_or_null(event->order_id, &nulls[1]);
	values[2] = id_or_null(event->object_id, &nulls[2]);
	values[3] = id_or_null(event->rule, &nulls[3]);
	values[4] = TimestampTzGetDatum(oms_call->now);
	values[5] = Int32GetDatum(oms_call->tenant);
	values[6] = CStringGetTextDatum(event->object_type);
	values[7] = CStringGetTextDatum(event->type);
	values[8] = text_or_null(event->action, &nulls[8]);
	values[9] = text_or_null(event->from_state, &nulls[9]);
	values[10] = text_or_null(event->to_state, &nulls[10]);
	values[11] = actor;
	values[12] = text_or_null(event->reason, &nulls[12]);
	values[13] = JsonbPGetDatum(event->data);
	nulls[13] = event->data == NULL;
	return oms_heap_insert_fitting(work, values, nulls);
}

/*
 * Writes events to the partition that took the last ones, up to the first that
 * belongs to another; returns how many.
 */
static int
insert_into_partition(const EventList *events)
{
	OmsHeapWork work;
	Datum		actor = CStringGetTextDatum(oms_call->actor);
	int			written = 0;

	if (!oms_heap_is_plain(&events_heap))
		return 0;
	oms_heap_begin(&work, &events_heap, true);
	while (written < events->count && insert_directly(&work, &events->items[written], actor))
		written++;
	oms_heap_end(&work);
	return written;
}

/* Every call writes events, so most are written without a statement. */
static void
insert_events(const EventList *events)
{
	int			written = insert_into_partition(events);
	EventList	rest = {.count = events->count - written,.items = events->items + written};

	if (rest.count > 0)
		insert_by_statement(&rest);
}

/*
 * Notes how an order changed (quantities of its lines, totals and derived
 * statuses): it rides in the payload of the order's last event of this call, so
 * that the past can be read from the events without a row of its own.
 */
void
oms_event_note(int64 order_id, Jsonb *data)
{
	EventList  *events = oms_call->events;

	if (events->note_count == events->note_capacity)
	{
		events->note_capacity = Max(8, events->note_capacity * 2);
		events->notes = events->notes
			? repalloc(events->notes, sizeof(EventNote) * events->note_capacity)
			: MemoryContextAlloc(oms_call->context, sizeof(EventNote) * events->note_capacity);
	}
	events->notes[events->note_count++] = (EventNote) {order_id, data};
}

/* Adds a note to the payload of an event, unless the same key stands there or it would be too large. */
static bool
attach(Event *event, const EventNote *note)
{
	Datum		had;
	Jsonb	   *both;

	if (event->data == NULL)
	{
		event->data = note->data;
		return true;
	}
	had = DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(note->data), JsonbPGetDatum(event->data));
	both = DatumGetJsonbP(had);
	if (VARSIZE_ANY(both) > EVENT_DATA_BYTES_MAX || JB_ROOT_COUNT(both) == JB_ROOT_COUNT(event->data))
		return false;
	event->data = both;
	return true;
}

/* Each note goes to the last event of its order, or becomes one where that has no room. */
static void
place_notes(EventList *events)
{
	for (int i = 0; i < events->note_count; i++)
	{
		EventNote  *note = &events->notes[i];
		int			last = events->count - 1;

		/* The payloads of these two are answers that are given again. */
		while (last >= 0 && (events->items[last].order_id != note->order_id ||
							 strcmp(events->items[last].type, "order.placed") == 0 ||
							 strcmp(events->items[last].type, "order.drafted") == 0))
			last--;
		if (last < 0 || !attach(&events->items[last], note))
			oms_event(&(Event) {.order_id = note->order_id,.object_id = note->order_id,.object_type = "order",
								.type = "order.changed",.data = note->data});
	}
	events->note_count = 0;
}

/* Writes the collected events. */
void
oms_events_flush(void)
{
	EventList  *events = oms_call->events;

	if (events->note_count > 0)
		place_notes(events);

	for (int i = 0; i < events->count; i++)
		events->items[i].event_id = oms_next_id(SEQUENCE_EVENT);
	if (events->count > 0)
		insert_events(events);
	events->count = 0;
}
