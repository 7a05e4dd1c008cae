/*
 * forget.c
 *	  Erasing what is known of a person, keeping what was bought and paid.
 *
 * Which columns hold personal data is not a list that somebody has to remember
 * to extend: every table with an order_id is looked at, also columns that its
 * owner added.  First the words that identify the person are collected from
 * addresses and contacts, then those parts go, and the words go from free text.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/array.h"

#include "call.h"
#include "document.h"
#include "error.h"
#include "event.h"
#include "machine.h"
#include "relation.h"

PG_FUNCTION_INFO_V1(oms_forget_words);
PG_FUNCTION_INFO_V1(oms_forget_text);
PG_FUNCTION_INFO_V1(oms_forget_document);

/* Shorter words are looked for as whole values only: they stand in anything. */
#define WORD_BYTES_LEAST 4

/* Everything below these keys is about a person. */
static const char *const person_keys[] = {
	"customer", "ship_to", "bill_to", "address", "shipping_address", "billing_address", "contact", "recipient", NULL
};

/* These are personal wherever they stand. */
static const char *const contact_keys[] = {
	"email", "phone", "company", "first_name", "last_name", "line1", "line2", "gift_message", "ip", NULL
};

/* These go as well, but do not name anybody: they are not looked for elsewhere. */
static const char *const context_keys[] = {
	"notes", "postal_code", "latitude", "longitude", "data", NULL
};

/* What many people share: gone with the rest of an address, but not looked for elsewhere. */
static const char *const shared_keys[] = {
	"city", "region", "country", "postal_code", "class", "notes", NULL
};

static bool
is_one_of(const char *const *keys, const JsonbValue *key)
{
	for (; *keys; keys++)
		if (strlen(*keys) == key->val.string.len && memcmp(*keys, key->val.string.val, key->val.string.len) == 0)
			return true;
	return false;
}

/* ---- Words that identify a person ---- */

static void
collect_words(JsonbContainer *container, bool personal, List **words)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbIteratorToken token;
	JsonbValue	value;
	bool		below = personal;	/* the value that comes is about a person */
	bool		names = personal;	/* and tells who */

	check_stack_depth();
	(void) JsonbIteratorNext(&iterator, &value, true);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			below = personal || is_one_of(person_keys, &value);
			names = is_one_of(contact_keys, &value) || (personal && !is_one_of(shared_keys, &value));
		}
		else if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvBinary)
			collect_words(value.val.binary.data, below, words);
		else if ((token == WJB_VALUE || token == WJB_ELEM) && value.type == jbvString && names &&
				 value.val.string.len > 0)
			*words = lappend(*words, pnstrdup(value.val.string.val, value.val.string.len));
	}
}

/*
 * oms.forget_words(document jsonb, personal boolean) -> text[]
 */
Datum
oms_forget_words(PG_FUNCTION_ARGS)
{
	Jsonb	   *document = PG_GETARG_JSONB_P(0);
	List	   *words = NIL;
	ListCell   *cell;
	Datum	   *values;
	int			count = 0;

	collect_words(&document->root, PG_GETARG_BOOL(1), &words);
	values = palloc(sizeof(Datum) * Max(1, list_length(words)));
	foreach(cell, words)
		values[count++] = CStringGetTextDatum(lfirst(cell));
	PG_RETURN_ARRAYTYPE_P(construct_array(values, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/* ---- Taking them out ---- */

static bool
is_part_of_word(char c)
{
	return isalnum((unsigned char) c) || IS_HIGHBIT_SET(c);
}

/* Where the word stands by itself in text, letters of either case; NULL: nowhere. */
static const char *
find_word(const char *text, const char *start, const char *word)
{
	size_t		length = strlen(word);

	for (const char *p = start; strlen(p) >= length; p++)
		if (pg_strncasecmp(p, word, length) == 0 && (p == text || !is_part_of_word(p[-1])) &&
			!is_part_of_word(p[length]))
			return p;
	return NULL;
}

static char *
replace_word(char *text, const char *word, const char *token)
{
	StringInfoData buffer;
	const char *rest = text;
	const char *found;

	if (pg_strcasecmp(text, word) == 0)
		return pstrdup(token);
	if (strlen(word) < WORD_BYTES_LEAST || find_word(text, text, word) == NULL)
		return text;
	initStringInfo(&buffer);
	while ((found = find_word(text, rest, word)) != NULL)
	{
		appendBinaryStringInfo(&buffer, rest, found - rest);
		appendStringInfoString(&buffer, token);
		rest = found + strlen(word);
	}
	appendStringInfoString(&buffer, rest);
	return buffer.data;
}

/* The words as an array of C strings, in their order. */
static char **
words_of(ArrayType *array, int *count)
{
	Datum	   *values;
	char	  **words;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &values, NULL, count);
	words = palloc(sizeof(char *) * Max(1, *count));
	for (int i = 0; i < *count; i++)
		words[i] = TextDatumGetCString(values[i]);
	return words;
}

static char *
replace_words(char *text, char **words, int count, const char *token)
{
	for (int i = 0; i < count; i++)
		text = replace_word(text, words[i], token);
	return text;
}

/*
 * oms.forget_text(content text, words text[], token text) -> text
 */
Datum
oms_forget_text(PG_FUNCTION_ARGS)
{
	char	   *content = text_to_cstring(PG_GETARG_TEXT_PP(0));
	int			count;
	char	  **words = words_of(PG_GETARG_ARRAYTYPE_P(1), &count);

	PG_RETURN_TEXT_P(cstring_to_text(replace_words(content, words, count, text_to_cstring(PG_GETARG_TEXT_PP(2)))));
}

/*
 * oms.forget_document(document jsonb, words text[], token text) -> jsonb
 */
Datum
oms_forget_document(PG_FUNCTION_ARGS)
{
	Jsonb	   *document = PG_GETARG_JSONB_P(0);
	int			count;
	char	  **words = words_of(PG_GETARG_ARRAYTYPE_P(1), &count);
	char	   *token = text_to_cstring(PG_GETARG_TEXT_PP(2));
	JsonbIterator *iterator = JsonbIteratorInit(&document->root);
	JsonbParseState *state = NULL;
	JsonbValue *result = NULL;
	JsonbValue	value;
	JsonbIteratorToken part;

	while ((part = JsonbIteratorNext(&iterator, &value, false)) != WJB_DONE)
	{
		if (part == WJB_KEY && (is_one_of(person_keys, &value) || is_one_of(contact_keys, &value) ||
								is_one_of(context_keys, &value)))
		{
			(void) JsonbIteratorNext(&iterator, &value, true);
			continue;
		}
		if ((part == WJB_VALUE || part == WJB_ELEM) && value.type == jbvString)
		{
			value.val.string.val = replace_words(pnstrdup(value.val.string.val, value.val.string.len), words, count,
												 token);
			value.val.string.len = strlen(value.val.string.val);
		}
		result = pushJsonbValue(&state, part, part < WJB_BEGIN_ARRAY ||
								(part == WJB_BEGIN_ARRAY && value.val.array.rawScalar) ? &value : NULL);
	}
	PG_RETURN_JSONB_P(JsonbValueToJsonb(result));
}

/* ---- The call ---- */

static OmsPlan orders_plan = {
	.sql = "SELECT order_id, status FROM {orders} WHERE tenant_id = $1 AND customer_ref = $2 ORDER BY order_id"
	" FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

/*
 * The statements that collect the words of each table's documents, and those
 * that forget.  Columns of text are touched where people write into them: the
 * others hold codes and states.
 */
static OmsPlan statements_plan = {
	.sql = "SELECT string_agg(format('SELECT unnest(oms.forget_words(%I, %L)) FROM {%s} WHERE order_id = ANY ($2) AND tenant_id = $1',"
	" k.name, k.personal, k.relation), ' UNION ALL ') FILTER (WHERE k.document),"
	" format('UPDATE {%s} SET %s WHERE order_id = ANY ($2) AND tenant_id = $1', k.relation, string_agg(format('%I = %s', k.name,"
	" CASE WHEN k.personal AND NOT k.required THEN 'NULL'"
	" ELSE format('oms.forget_%s(%I, $3, $4)', CASE WHEN k.document THEN 'document' ELSE 'text' END, k.name) END), ', '))"
	" FROM (SELECT c.relname AS relation, a.attname AS name, a.attnotnull AS required, a.atttypid = 'jsonb'::regtype AS document,"
	" a.attname IN ('customer', 'bill_to', 'ship_to', 'address', 'notes') AS personal"
	" FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped"
	" WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'oms') AND c.relkind IN ('r', 'p')"
	" AND NOT c.relispartition AND (SELECT count(*) FROM pg_attribute x WHERE x.attrelid = c.oid"
	" AND x.attname IN ('order_id', 'tenant_id') AND NOT x.attisdropped) = 2"
	" AND (a.atttypid = 'jsonb'::regtype OR (a.atttypid = 'text'::regtype AND a.attname IN ('customer_ref', 'external_ref',"
	" 'reference', 'reason', 'note', 'notes', 'name', 'actor', 'placed_by', 'released_by', 'ordered_by', 'comment', 'message')))"
	") k GROUP BY k.relation ORDER BY k.relation",
	.kind = PLAN_FREE,
	.nargs = 0
};

/* Other tables that name a customer, as accounts do. */
static OmsPlan reference_statements_plan = {
	.sql = "SELECT NULL, format('UPDATE {%s} SET customer_ref = $4 WHERE customer_ref = $5 AND tenant_id = $1', c.relname)"
	" FROM pg_class c WHERE c.relnamespace = (SELECT oid FROM pg_namespace WHERE nspname = 'oms')"
	" AND c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relname <> 'customers'"
	" AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'customer_ref' AND NOT a.attisdropped)"
	" AND EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped)"
	" AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'order_id' AND NOT a.attisdropped)",
	.kind = PLAN_FREE,
	.nargs = 0
};

/* A record of routing holds where the goods went; without that it would not replay. */
static OmsPlan decisions_plan = {
	.sql = "DELETE FROM {routing_decisions} WHERE order_id = ANY ($2) AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan customer_plan = {
	.sql = "DELETE FROM {customers} WHERE customer_ref = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

/* Kept answers of calls on these orders, or that name the person: all answers are read. */
static OmsPlan answers_plan = {
	.sql = "UPDATE {idempotency_keys} SET answer = oms.forget_document(answer::jsonb, $3, $4)::text WHERE tenant_id = $1"
	" AND CASE WHEN answer ~ '^\\[?\\{\"[^\"]*\": ' THEN (answer ~ '^\\{' AND answer::jsonb->'order_id' = ANY ($5))"
	" OR oms.forget_text(answer, $3, $4) <> answer ELSE false END",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID, TEXTOID, JSONBARRAYOID)
};

static OmsPlan keys_plan = {
	.sql = "UPDATE {idempotency_keys} SET key = left(oms.forget_text(key, $3, $4 || ' ' || arguments_hash), 200)"
	" WHERE tenant_id = $1 AND oms.forget_text(key, $3, $4) <> key",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID, TEXTOID)
};

static OmsPlan carts_plan = {
	.sql = "UPDATE {reservations} SET reference = left(oms.forget_text(reference, $3, $4 || ' ' || reservation_id), 200)"
	" WHERE tenant_id = $1 AND oms.forget_text(reference, $3, $4) <> reference",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID, TEXTOID)
};

/* What carts moved stands under their references, without an order. */
static OmsPlan movements_plan = {
	.sql = "UPDATE {stock_movements} SET reference = oms.forget_text(reference, $3, $4)"
	" WHERE tenant_id = $1 AND order_id IS NULL AND oms.forget_text(reference, $3, $4) <> reference",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID, TEXTOID)
};

/*
 * Accounts of the person ($5) stay, under another code where theirs named him.
 * Events have the codes as well; entries that no order made have their reasons.
 */
static OmsPlan account_events_plan = {
	.sql = "UPDATE {events} e SET actor = oms.forget_text(e.actor, $3, $4), reason = oms.forget_text(e.reason, $3, $4),"
	" data = oms.forget_document(e.data, $3, $4) FROM {credit_accounts} c WHERE c.customer_ref = $5 AND c.tenant_id = $1"
	" AND e.object_type = 'credit_account' AND e.object_id = c.account_id AND e.order_id IS NULL AND e.tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID)
};

static OmsPlan account_entries_plan = {
	.sql = "UPDATE {credit_entries} e SET reason = oms.forget_text(e.reason, $3, $4) FROM {credit_accounts} c"
	" WHERE c.customer_ref = $5 AND c.tenant_id = $1 AND e.account_id = c.account_id AND e.order_id IS NULL AND e.tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID)
};

static OmsPlan accounts_plan = {
	.sql = "UPDATE {credit_accounts} SET code = left(oms.forget_text(code, $3, $4 || '-' || account_id), 200)"
	" WHERE customer_ref = $5 AND tenant_id = $1 AND oms.forget_text(code, $3, $4) <> code",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID)
};

typedef struct Forgetting
{
	char	   *reference;
	char	   *token;			/* what stands in its place */
	int64	   *order_ids;
	int			count;
	int			capacity;
	FaultList	faults;
	List	   *words;
	List	   *collecting;		/* statements */
	List	   *forgetting;
	Datum		values[5];
} Forgetting;

static void
collect_order(TupleTableSlot *slot, void *state)
{
	Forgetting *work = state;
	char	   *status = oms_slot_text(slot, 2);

	if (work->count == work->capacity)
	{
		work->capacity = Max(64, work->capacity * 2);
		work->order_ids = oms_grown(work->order_ids, sizeof(int64) * work->capacity);
	}
	work->order_ids[work->count++] = oms_slot_int64(slot, 1);
	if (!oms_machine_final(MACHINE_ORDER, status))
		oms_fault(&work->faults, ERRCODE_OMS_TRANSITION, "Complete or cancel these orders first.",
				  psprintf("order " INT64_FORMAT, oms_slot_int64(slot, 1)), "is %s", status);
}

static void
collect_statement(TupleTableSlot *slot, void *state)
{
	Forgetting *work = state;
	char	   *collecting = oms_slot_text(slot, 1);

	if (collecting != NULL)
		work->collecting = lappend(work->collecting, collecting);
	work->forgetting = lappend(work->forgetting, oms_slot_text(slot, 2));
}

static void
collect_word(TupleTableSlot *slot, void *state)
{
	Forgetting *work = state;
	char	   *word = oms_slot_text(slot, 1);
	ListCell   *cell;

	if (word == NULL)
		return;
	foreach(cell, work->words)
		if (strcmp(lfirst(cell), word) == 0)
			return;
	work->words = lappend(work->words, word);
}

/* Longer words first, so that none is left half by one that is part of it. */
static int
compare_words(const ListCell *left, const ListCell *right)
{
	int			difference = (int) strlen(lfirst(right)) - (int) strlen(lfirst(left));

	return difference != 0 ? difference : strcmp(lfirst(left), lfirst(right));
}

/* Runs one of the statements that were made for the tables as they are. */
static void
run(const char *sql, Forgetting *work, OmsRowCallback callback)
{
	OmsPlan		plan = {.sql = sql,.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TEXTARRAYOID, TEXTOID, TEXTOID)};

	CHECK_FOR_INTERRUPTS();
	if (callback != NULL)
		(void) oms_execute_each(&plan, work->values, NULL, callback, work);
	else
		(void) oms_execute(&plan, work->values, NULL);
	(void) SPI_freeplan(plan.plan);
}

static Datum
word_array(List *words)
{
	char	  **texts = palloc(sizeof(char *) * Max(1, list_length(words)));
	int			count = 0;
	ListCell   *cell;

	foreach(cell, words)
		texts[count++] = lfirst(cell);
	return oms_array_text(texts, count);
}

static void
begin(Forgetting *work)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), CStringGetTextDatum(work->reference)};

	oms_faults_init(&work->faults);
	(void) oms_execute_each(&orders_plan, values, NULL, collect_order, work);
	oms_faults_raise(&work->faults, "the customer has open orders");
	work->token = work->count > 0 ? psprintf("forgotten-" INT64_FORMAT, work->order_ids[0]) : "forgotten";
	work->words = list_make1(work->reference);
	(void) oms_execute_each(&statements_plan, NULL, NULL, collect_statement, work);
	(void) oms_execute_each(&reference_statements_plan, NULL, NULL, collect_statement, work);
	work->values[0] = values[0];
	work->values[1] = oms_array_int64(work->order_ids, work->count);
	work->values[2] = word_array(work->words);
	work->values[3] = CStringGetTextDatum(work->token);
	work->values[4] = values[1];
}

/* Answers are found by the ids that they name, as jsonb has them. */
static void
forget_answers(Forgetting *work)
{
	Datum		values[5] = {work->values[0], work->values[1], work->values[2], work->values[3]};
	Datum	   *ids = palloc(sizeof(Datum) * Max(1, work->count));
	bool	   *nulls = palloc0(sizeof(bool) * Max(1, work->count));

	for (int i = 0; i < work->count; i++)
		ids[i] = DirectFunctionCall1(jsonb_in, CStringGetDatum(psprintf(INT64_FORMAT, work->order_ids[i])));
	values[4] = oms_array_datum(ids, nulls, work->count, JSONBOID);
	(void) oms_execute(&answers_plan, values, NULL);
	(void) oms_execute(&keys_plan, values, NULL);
	(void) oms_execute(&carts_plan, values, NULL);
	(void) oms_execute(&movements_plan, values, NULL);
}

static Jsonb *
report(const Forgetting *work, bool known)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "customer", work->token);
	oms_write_int64(&writer, "orders", work->count);
	oms_write_bool(&writer, "known", known || work->count > 0);
	return oms_write_finish(&writer);
}

/*
 * oms.forget_customer(reference text, idempotency_key text) -> jsonb
 */
OMS_FUNCTION(oms_forget_customer, CALL_KEYED)
{
	Forgetting	work = {.reference = oms_argument_required(fcinfo, 0, "reference")};
	Jsonb	   *result;
	ListCell   *cell;
	bool		known;

	begin(&work);
	foreach(cell, work.collecting)
		run(lfirst(cell), &work, collect_word);
	list_sort(work.words, compare_words);
	work.values[2] = word_array(work.words);
	(void) oms_execute(&account_events_plan, work.values, NULL);
	(void) oms_execute(&account_entries_plan, work.values, NULL);
	(void) oms_execute(&accounts_plan, work.values, NULL);
	foreach(cell, work.forgetting)
		run(lfirst(cell), &work, NULL);
	(void) oms_execute(&decisions_plan, work.values, NULL);
	forget_answers(&work);
	work.values[1] = work.values[4];
	known = oms_execute(&customer_plan, work.values, NULL) > 0;
	result = report(&work, known);
	for (int i = 0; i < work.count; i++)
		oms_event(&(Event) {.order_id = work.order_ids[i],.object_id = work.order_ids[i],.object_type = "order",
							.type = "order.forgotten"});
	if (known || work.count > 0)
		oms_event(&(Event) {.object_type = "customer",.type = "customer.forgotten",.data = result});
	PG_RETURN_JSONB_P(result);
}
