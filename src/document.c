/*
 * document.c
 *	  Documents: jsonb read into C structs by a declared shape, and jsonb
 *	  written.
 *
 * A shape is a table of fields.  The reader walks a document once, stores what
 * fits and notes a fault with its place for everything that does not: a wrong
 * type, a missing or unknown field, a value out of range.  JSON null counts as
 * absent.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/datetime.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/json.h"
#include "utils/memutils.h"

#include "document.h"

/* Where the reader stands, for messages; only rendered when a fault is found. */
typedef struct Place
{
	const struct Place *parent;
	const char *name;			/* field, or NULL for an array element */
	int			index;
} Place;

static void read_object(JsonbContainer *container, const DocShape *shape, char *target,
						const Place *place, FaultList *faults);

static void
append_place(StringInfo buffer, const Place *place)
{
	if (place == NULL)
		return;
	append_place(buffer, place->parent);
	if (place->name == NULL)
		appendStringInfo(buffer, "[%d]", place->index);
	else
		appendStringInfo(buffer, "%s%s", buffer->len > 0 ? "." : "", place->name);
}

static char *
render_place(const Place *place)
{
	StringInfoData buffer;

	initStringInfo(&buffer);
	append_place(&buffer, place);
	return buffer.len > 0 ? buffer.data : "document";
}

/* "lines[3].sku": the place of a field of an array element. */
char *
oms_document_place(const char *array, int index, const char *field)
{
	return field ? psprintf("%s[%d].%s", array, index, field) : psprintf("%s[%d]", array, index);
}

static void pg_attribute_printf(3, 4)
fault_at(FaultList *faults, const Place *place, const char *format,...)
{
	char		buffer[1024];
	va_list		arguments;

	va_start(arguments, format);
	(void) vsnprintf(buffer, sizeof(buffer), format, arguments);
	va_end(arguments);
	oms_fault(faults, ERRCODE_OMS_DOCUMENT,
			  "docs/reference.md shows the shape of each document.",
			  render_place(place), "%s", buffer);
}

static const char *
kind_of(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull:
			return "null";
		case jbvString:
			return "a text";
		case jbvNumeric:
			return "a number";
		case jbvBool:
			return "true or false";
		case jbvBinary:
			return JsonContainerIsArray(value->val.binary.data) ? "an array" : "an object";
		default:
			return "something else";
	}
}

static char *
copy_text(const JsonbValue *value)
{
	return pnstrdup(value->val.string.val, value->val.string.len);
}

static void
read_text(const DocField *field, const JsonbValue *value, char **target,
		  const Place *place, FaultList *faults)
{
	if (value->type != jbvString)
	{
		fault_at(faults, place, "must be a text, not %s", kind_of(value));
		return;
	}
	if (field->type == DOC_CODE && value->val.string.len == 0)
	{
		fault_at(faults, place, "must not be empty");
		return;
	}
	if (field->type == DOC_CODE && value->val.string.len > OMS_CODE_BYTES_MAX)
	{
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Codes have at most 200 bytes.", render_place(place),
				  "has %d bytes, at most %d are allowed", value->val.string.len, OMS_CODE_BYTES_MAX);
		return;
	}
	*target = copy_text(value);
	if (field->choices)
	{
		for (const char *const *choice = field->choices; *choice; choice++)
			if (strcmp(*choice, *target) == 0)
				return;
		fault_at(faults, place, "\"%s\" is not one of the allowed values", *target);
	}
}

/* A whole number inside the field's range. */
static bool
read_whole(const DocField *field, const JsonbValue *value, int64 least, int64 most, int64 *target,
		   const Place *place, FaultList *faults)
{
	Numeric		number;
	Numeric		whole;
	Numeric		low;
	Numeric		high;

	if (value->type != jbvNumeric)
	{
		fault_at(faults, place, "must be a whole number, not %s", kind_of(value));
		return false;
	}
	number = value->val.numeric;
	low = int64_to_numeric(least);
	high = int64_to_numeric(most);
	if (DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(number), NumericGetDatum(low))) < 0 ||
		DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(number), NumericGetDatum(high))) > 0)
	{
		fault_at(faults, place, "must be between " INT64_FORMAT " and " INT64_FORMAT, least, most);
		return false;
	}
	*target = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(number)));
	whole = int64_to_numeric(*target);
	if (DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(number), NumericGetDatum(whole))) != 0)
	{
		fault_at(faults, place, "must be a whole number");
		return false;
	}
	return true;
}

/* Whether text is a plain decimal number: sign, digits, point, digits. */
static bool
is_decimal(const char *text, int length)
{
	int			digits = 0;
	int			points = 0;

	for (int i = 0; i < length; i++)
	{
		if (text[i] >= '0' && text[i] <= '9')
			digits++;
		else if (text[i] == '.')
			points++;
		else if (!(i == 0 && text[i] == '-'))
			return false;
	}
	return digits > 0 && points <= 1 && length <= 40;
}

/*
 * Amounts may come as text: many systems write "12.30" because a JSON number
 * passes through floating point on their side.
 */
static void
read_money(const DocField *field, const JsonbValue *value, Numeric *target,
		   const Place *place, FaultList *faults)
{
	static Numeric bound = NULL;
	Numeric		amount;
	Numeric		magnitude;

	if (bound == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		bound = int64_to_numeric(INT64CONST(1000000000000000));
		MemoryContextSwitchTo(old);
	}
	if (value->type == jbvNumeric)
		amount = DatumGetNumericCopy(NumericGetDatum(value->val.numeric));
	else if (value->type == jbvString && is_decimal(value->val.string.val, value->val.string.len))
		amount = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(copy_text(value)),
													 ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	else
	{
		fault_at(faults, place, "must be an amount, not %s", kind_of(value));
		return;
	}
	if (!field->minus && numeric_is_nan(amount))
		fault_at(faults, place, "must be an amount");
	magnitude = DatumGetNumeric(DirectFunctionCall1(numeric_abs, NumericGetDatum(amount)));
	if (DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(magnitude), NumericGetDatum(bound))) > 0)
		fault_at(faults, place, "must be at most 1000000000000000");
	else if (!field->minus &&
			 DatumGetBool(DirectFunctionCall2(numeric_lt, NumericGetDatum(amount),
											  NumericGetDatum(int64_to_numeric(0)))))
		fault_at(faults, place, "must not be negative");
	*target = amount;
}

static void
read_time(const JsonbValue *value, TimestampTz *target, const Place *place, FaultList *faults)
{
	char	   *text;
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *fields[MAXDATEFIELDS];
	int			types[MAXDATEFIELDS];
	int			field_count;
	int			type;
	int			zone = 0;
	fsec_t		fraction;
	struct pg_tm tm;

	if (value->type != jbvString)
	{
		fault_at(faults, place, "must be a time such as \"2026-03-01T12:00:00Z\", not %s", kind_of(value));
		return;
	}
	text = copy_text(value);
	if (strlen(text) > MAXDATELEN ||
		ParseDateTime(text, work, sizeof(work), fields, types, MAXDATEFIELDS, &field_count) != 0 ||
		DecodeDateTime(fields, types, field_count, &type, &tm, &fraction, &zone) != 0 ||
		type != DTK_DATE || tm2timestamp(&tm, fraction, &zone, target) != 0)
		fault_at(faults, place, "\"%s\" is not a time such as \"2026-03-01T12:00:00Z\"", text);
}

static void
read_double(const DocField *field, const JsonbValue *value, double *target,
			const Place *place, FaultList *faults)
{
	if (value->type != jbvNumeric)
	{
		fault_at(faults, place, "must be a number, not %s", kind_of(value));
		return;
	}
	*target = DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
												 NumericGetDatum(value->val.numeric)));
	if (*target < field->least || *target > field->most)
		fault_at(faults, place, "must be between " INT64_FORMAT " and " INT64_FORMAT,
				 field->least, field->most);
}

static DocArray
read_array(JsonbContainer *container, const DocShape *shape, int64 most,
		   const Place *place, FaultList *faults)
{
	DocArray	array = {.present = true};
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbValue	value;
	JsonbIteratorToken token;
	int			index = 0;

	array.count = JsonContainerSize(container);
	if (array.count > most)
	{
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Send the rest in another call.", render_place(place),
				  "has %d elements, at most " INT64_FORMAT " are allowed", array.count, most);
		array.count = 0;
		return array;
	}
	array.items = MemoryContextAllocExtended(CurrentMemoryContext,
											 Max(1, shape->size * array.count),
											 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
	{
		Place		here = {.parent = place, .name = NULL, .index = index};

		CHECK_FOR_INTERRUPTS();
		if (token != WJB_ELEM)
			continue;
		if (value.type != jbvBinary || !JsonContainerIsObject(value.val.binary.data))
			fault_at(faults, &here, "must be an object, not %s", kind_of(&value));
		else
			read_object(value.val.binary.data, shape, array.items + shape->size * index, &here, faults);
		index++;
	}
	return array;
}

/* What stands in the struct for a field that the document does not have. */
static void
set_absent(const DocField *field, char *target)
{
	switch (field->type)
	{
		case DOC_INT:
			*(int32 *) target = DOC_ABSENT;
			break;
		case DOC_DOUBLE:
			*(double *) target = NAN;
			break;
		case DOC_BOOL:
			*(int8 *) target = -1;
			break;
		case DOC_TIME:
			*(TimestampTz *) target = DT_NOBEGIN;
			break;
		default:
			break;				/* zero, as the struct was made */
	}
}

/* An array of at least one of the field's choices. */
static void
read_choices(const DocField *field, const JsonbValue *value, int32 *target, const Place *place, FaultList *faults)
{
	JsonbContainer *container = value->type == jbvBinary ? value->val.binary.data : NULL;

	if (container == NULL || !JsonContainerIsArray(container))
	{
		fault_at(faults, place, "must be an array, not %s", kind_of(value));
		return;
	}
	if (JsonContainerSize(container) == 0)
		fault_at(faults, place, "must have at least 1 element");
	for (uint32 i = 0; i < JsonContainerSize(container); i++)
	{
		Place		here = {.parent = place,.index = i};
		char	   *text = NULL;

		read_text(field, getIthJsonbValueFromContainer(container, i), &text, &here, faults);
		for (int bit = 0; text && field->choices[bit]; bit++)
			if (strcmp(field->choices[bit], text) == 0)
				*target |= 1 << bit;
	}
}

static void
read_nested(const DocField *field, const JsonbValue *value, char *target,
			const Place *place, FaultList *faults)
{
	bool		wants_array = field->type == DOC_ARRAY;

	if (value->type != jbvBinary ||
		wants_array != (bool) JsonContainerIsArray(value->val.binary.data))
	{
		fault_at(faults, place, "must be %s, not %s", wants_array ? "an array" : "an object",
				 kind_of(value));
		return;
	}
	if (wants_array)
	{
		DocArray   *array = (DocArray *) target;
		int			before = faults->count;

		*array = read_array(value->val.binary.data, field->shape, field->most, place, faults);
		if (array->count < field->least && faults->count == before)
			fault_at(faults, place, "must have at least " INT64_FORMAT " element%s",
					 field->least, field->least == 1 ? "" : "s");
	}
	else if (field->type == DOC_OBJECT)
	{
		JsonbValue	copy = *value;

		*(Jsonb **) target = JsonbValueToJsonb(&copy);
	}
	else
	{
		char	   *nested = palloc0(field->shape->size);

		read_object(value->val.binary.data, field->shape, nested, place, faults);
		*(char **) target = nested;
	}
}

static void
read_field(const DocField *field, const JsonbValue *value, char *target,
		   const Place *place, FaultList *faults)
{
	int64		number;

	switch (field->type)
	{
		case DOC_TEXT:
		case DOC_CODE:
			read_text(field, value, (char **) target, place, faults);
			break;
		case DOC_INT:
			if (read_whole(field, value, field->least, field->most, &number, place, faults))
				*(int32 *) target = (int32) number;
			break;
		case DOC_ID:
			if (read_whole(field, value, 1, INT64CONST(9007199254740991), &number, place, faults))
				*(int64 *) target = number;
			break;
		case DOC_MONEY:
			read_money(field, value, (Numeric *) target, place, faults);
			break;
		case DOC_DOUBLE:
			read_double(field, value, (double *) target, place, faults);
			break;
		case DOC_BOOL:
			if (value->type == jbvBool)
				*(int8 *) target = value->val.boolean;
			else
				fault_at(faults, place, "must be true or false, not %s", kind_of(value));
			break;
		case DOC_TIME:
			read_time(value, (TimestampTz *) target, place, faults);
			break;
		case DOC_CHOICES:
			read_choices(field, value, (int32 *) target, place, faults);
			break;
		case DOC_OBJECT:
		case DOC_SHAPE:
		case DOC_ARRAY:
			read_nested(field, value, target, place, faults);
			break;
	}
}

static const DocField *
find_field(const DocShape *shape, const JsonbValue *key)
{
	for (int i = 0; i < shape->field_count; i++)
		if (strlen(shape->fields[i].name) == key->val.string.len &&
			memcmp(shape->fields[i].name, key->val.string.val, key->val.string.len) == 0)
			return &shape->fields[i];
	return NULL;
}

static void
read_object(JsonbContainer *container, const DocShape *shape, char *target,
			const Place *place, FaultList *faults)
{
	JsonbIterator *iterator = JsonbIteratorInit(container);
	JsonbValue	key;
	JsonbValue	value;
	uint64		seen = 0;

	Assert(shape->field_count <= 64);
	check_stack_depth();
	for (int i = 0; i < shape->field_count; i++)
		set_absent(&shape->fields[i], target + shape->fields[i].offset);

	/* Skipping nested containers gives each of them as one binary value. */
	(void) JsonbIteratorNext(&iterator, &value, true);
	while (JsonbIteratorNext(&iterator, &key, true) == WJB_KEY)
	{
		const DocField *field = find_field(shape, &key);
		Place		here = {.parent = place};

		(void) JsonbIteratorNext(&iterator, &value, true);
		if (field == NULL)
		{
			here.name = copy_text(&key);
			fault_at(faults, &here, "is not a field of %s", shape->name);
			continue;
		}
		if (value.type == jbvNull)
			continue;
		here.name = field->name;
		seen |= UINT64CONST(1) << (field - shape->fields);
		read_field(field, &value, target + field->offset, &here, faults);
	}
	for (int i = 0; i < shape->field_count; i++)
	{
		Place		here = {.parent = place, .name = shape->fields[i].name};

		if (shape->fields[i].required && !(seen & (UINT64CONST(1) << i)))
			fault_at(faults, &here, "is required");
	}
}

static void
check_size(Jsonb *document, FaultList *faults)
{
	if (VARSIZE_ANY(document) > OMS_DOCUMENT_BYTES_MAX)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "A document has at most 8 MiB.", "document",
				  "has %zu bytes, at most %d are allowed",
				  (size_t) VARSIZE_ANY(document), OMS_DOCUMENT_BYTES_MAX);
}

/* Reads an object into a new struct of the shape. */
void *
oms_document_read(Jsonb *document, const DocShape *shape, FaultList *faults)
{
	char	   *target = palloc0(shape->size);

	check_size(document, faults);
	if (!JB_ROOT_IS_OBJECT(document))
		fault_at(faults, NULL, "must be an object");
	else if (faults->count == 0)
		read_object(&document->root, shape, target, NULL, faults);
	return target;
}

/* The same for an object that is kept as it came, in the named field. */
void *
oms_document_read_field(Jsonb *object, const DocShape *shape, const char *field, FaultList *faults)
{
	char	   *target = palloc0(shape->size);
	Place		place = {.name = field};

	read_object(&object->root, shape, target, &place, faults);
	return target;
}

/* Reads an array of objects; place is the argument's name, for messages. */
DocArray
oms_document_read_array(Jsonb *document, const DocShape *shape, int64 most,
						const char *place, FaultList *faults)
{
	DocArray	array = {0};
	Place		here = {.name = place};

	if (!JB_ROOT_IS_ARRAY(document) || JB_ROOT_IS_SCALAR(document))
		fault_at(faults, &here, "must be an array of objects");
	else
		array = read_array(&document->root, shape, most, &here, faults);
	return array;
}

/* Which codes stand before in their list; those that are NULL do not. */
bool *
oms_codes_repeated(char *const *codes, int count)
{
	HASHCTL		control = {.keysize = OMS_CODE_BYTES_MAX + 1,.entrysize = OMS_CODE_BYTES_MAX + 1,.hcxt = CurrentMemoryContext};
	bool	   *repeated = palloc0(sizeof(bool) * Max(1, count));
	HTAB	   *seen;

	if (count < 2)
		return repeated;
	seen = hash_create("codes of a call", Max(16, count), &control, HASH_ELEM | HASH_STRINGS | HASH_CONTEXT);
	for (int i = 0; i < count; i++)
		if (codes[i] != NULL)
			(void) hash_search(seen, codes[i], HASH_ENTER, &repeated[i]);
	hash_destroy(seen);
	return repeated;
}

/* Notes rows whose code stands in the array before; both would write one row. */
void
oms_document_duplicates(DocArray *rows, const DocShape *shape, size_t code_offset,
						const char *array, const char *field, FaultList *faults)
{
	char	  **codes = palloc_extended(sizeof(char *) * Max(1, rows->count), MCXT_ALLOC_HUGE);
	bool	   *repeated;

	for (int i = 0; i < rows->count; i++)
		codes[i] = *(char **) (rows->items + shape->size * i + code_offset);
	repeated = oms_codes_repeated(codes, rows->count);
	for (int i = 0; i < rows->count; i++)
		if (repeated[i])
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each row may stand once in a call.",
					  oms_document_place(array, i, field), "\"%s\" stands there already", codes[i]);
}

static void
write_key(DocWriter *writer, const char *key)
{
	JsonbValue	value;

	if (key == NULL)
		return;					/* an array element */
	value.type = jbvString;
	value.val.string.val = unconstify(char *, key);
	value.val.string.len = strlen(key);
	(void) pushJsonbValue(&writer->state, WJB_KEY, &value);
}

static void
write_value(DocWriter *writer, const char *key, JsonbValue *value)
{
	write_key(writer, key);
	writer->result = pushJsonbValue(&writer->state, key ? WJB_VALUE : WJB_ELEM, value);
}

void
oms_write_begin(DocWriter *writer)
{
	memset(writer, 0, sizeof(*writer));
	(void) pushJsonbValue(&writer->state, WJB_BEGIN_OBJECT, NULL);
}

void
oms_write_end(DocWriter *writer)
{
	writer->result = pushJsonbValue(&writer->state, WJB_END_OBJECT, NULL);
}

void
oms_write_begin_object(DocWriter *writer, const char *key)
{
	write_key(writer, key);
	(void) pushJsonbValue(&writer->state, WJB_BEGIN_OBJECT, NULL);
}

void
oms_write_begin_array(DocWriter *writer, const char *key)
{
	write_key(writer, key);
	(void) pushJsonbValue(&writer->state, WJB_BEGIN_ARRAY, NULL);
}

void
oms_write_end_array(DocWriter *writer)
{
	writer->result = pushJsonbValue(&writer->state, WJB_END_ARRAY, NULL);
}

/* A NULL text is left out. */
void
oms_write_text(DocWriter *writer, const char *key, const char *text)
{
	JsonbValue	value;

	if (text == NULL)
		return;
	value.type = jbvString;
	value.val.string.val = unconstify(char *, text);
	value.val.string.len = strlen(text);
	write_value(writer, key, &value);
}

void
oms_write_int64(DocWriter *writer, const char *key, int64 number)
{
	JsonbValue	value;

	value.type = jbvNumeric;
	value.val.numeric = int64_to_numeric(number);
	write_value(writer, key, &value);
}

void
oms_write_numeric(DocWriter *writer, const char *key, Numeric number)
{
	JsonbValue	value;

	if (number == NULL)
		return;
	value.type = jbvNumeric;
	value.val.numeric = number;
	write_value(writer, key, &value);
}

/* An object or array as it is. */
void
oms_write_jsonb(DocWriter *writer, const char *key, Jsonb *document)
{
	JsonbValue	value;

	if (document == NULL)
		return;
	value.type = jbvBinary;
	value.val.binary.data = &document->root;
	value.val.binary.len = VARSIZE(document) - VARHDRSZ;
	write_value(writer, key, &value);
}

void
oms_write_bool(DocWriter *writer, const char *key, bool truth)
{
	JsonbValue	value;

	value.type = jbvBool;
	value.val.boolean = truth;
	write_value(writer, key, &value);
}

void
oms_write_null(DocWriter *writer, const char *key)
{
	JsonbValue	value;

	value.type = jbvNull;
	write_value(writer, key, &value);
}

/* ISO 8601 with the session's offset; an absent time is left out. */
void
oms_write_time(DocWriter *writer, const char *key, TimestampTz time)
{
	char		buffer[MAXDATELEN + 1];

	if (TIMESTAMP_NOT_FINITE(time))
		return;
	(void) JsonEncodeDateTime(buffer, TimestampTzGetDatum(time), TIMESTAMPTZOID, NULL);
	oms_write_text(writer, key, pstrdup(buffer));
}

Jsonb *
oms_write_finish(DocWriter *writer)
{
	oms_write_end(writer);
	return JsonbValueToJsonb(writer->result);
}
