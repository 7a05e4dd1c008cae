/*
 * document.h
 *	  Documents: jsonb read into C structs by a declared shape, and jsonb
 *	  written.
 */
#ifndef OMS_DOCUMENT_H
#define OMS_DOCUMENT_H

#include "oms.h"

#include <math.h>

#include "error.h"

typedef enum DocType
{
	DOC_TEXT,					/* char *, NULL when absent */
	DOC_CODE,					/* char *, 1 to 200 bytes, NULL when absent */
	DOC_INT,					/* int32, DOC_ABSENT when absent */
	DOC_ID,						/* int64, 0 when absent */
	DOC_MONEY,					/* Numeric, NULL when absent; number or decimal text */
	DOC_DOUBLE,					/* double, NAN when absent */
	DOC_BOOL,					/* int8: 0, 1, -1 when absent */
	DOC_TIME,					/* TimestampTz, DT_NOBEGIN when absent */
	DOC_CHOICES,				/* int32: a bit for each of the choices that the array names, 0 when absent */
	DOC_OBJECT,					/* Jsonb *, any object, NULL when absent */
	DOC_SHAPE,					/* pointer to a struct, NULL when absent */
	DOC_ARRAY					/* DocArray of structs, empty when absent */
} DocType;

#define DOC_ABSENT PG_INT32_MIN

typedef struct DocArray
{
	int			count;
	bool		present;
	char	   *items;			/* count structs of the shape's size */
} DocArray;

struct DocShape;

typedef struct DocField
{
	const char *name;
	DocType		type;
	size_t		offset;
	bool		required;
	int64		least;			/* DOC_INT, and the length of DOC_ARRAY */
	int64		most;
	const struct DocShape *shape;	/* DOC_SHAPE, DOC_ARRAY */
	const char *const *choices; /* DOC_TEXT, DOC_CHOICES: the values allowed, NULL at the end */
	bool		minus;			/* DOC_MONEY: may be negative */
} DocField;

typedef struct DocShape
{
	const char *name;			/* what the document is, for messages */
	size_t		size;
	const DocField *fields;
	int			field_count;
} DocShape;

#define DOC_SHAPE_OF(struct_type, field_list, what) \
	{.name = what, .size = sizeof(struct_type), .fields = field_list, .field_count = lengthof(field_list)}

extern void *oms_document_read(Jsonb *document, const DocShape *shape, FaultList *faults);
extern void *oms_document_read_field(Jsonb *object, const DocShape *shape, const char *field, FaultList *faults);
extern DocArray oms_document_read_array(Jsonb *document, const DocShape *shape, int64 most,
										const char *place, FaultList *faults);
extern bool *oms_codes_repeated(char *const *codes, int count);
extern void oms_document_duplicates(DocArray *rows, const DocShape *shape, size_t code_offset,
									const char *array, const char *field, FaultList *faults);
extern char *oms_document_place(const char *array, int index, const char *field);

/* Writing. */
typedef struct DocWriter
{
	JsonbParseState *state;
	JsonbValue *result;
} DocWriter;

extern void oms_write_begin(DocWriter *writer);
extern void oms_write_end(DocWriter *writer);
extern void oms_write_begin_array(DocWriter *writer, const char *key);
extern void oms_write_end_array(DocWriter *writer);
extern void oms_write_begin_object(DocWriter *writer, const char *key);
extern void oms_write_text(DocWriter *writer, const char *key, const char *value);
extern void oms_write_int64(DocWriter *writer, const char *key, int64 value);
extern void oms_write_numeric(DocWriter *writer, const char *key, Numeric value);
extern void oms_write_jsonb(DocWriter *writer, const char *key, Jsonb *document);
extern void oms_write_bool(DocWriter *writer, const char *key, bool value);
extern void oms_write_null(DocWriter *writer, const char *key);
extern void oms_write_time(DocWriter *writer, const char *key, TimestampTz value);
extern Jsonb *oms_write_finish(DocWriter *writer);

#endif							/* OMS_DOCUMENT_H */
