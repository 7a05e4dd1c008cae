/*
 * postal_code.c
 *	  Where postal codes are: an optional data set that locates what has a
 *	  postal code and no coordinates.
 *
 * Codes are compared without spaces, hyphens and case.  A code that is not
 * loaded is where a loaded one is that it begins with (an extended code), else
 * in the middle of those that begin like it (a code that is new).
 */
#include "oms.h"

#include <ctype.h>
#include <math.h>

#include "catalog/pg_type.h"

#include "call.h"
#include "configuration.h"
#include "document.h"
#include "event.h"
#include "postal_code.h"
#include "relation.h"

/* Fewer characters say too little about where something is. */
#define PREFIX_LEAST	3
#define CODE_MOST		20

typedef struct PostalCodeDocument
{
	char	   *country;
	char	   *postal_code;
	double		latitude;
	double		longitude;
	char	   *key;			/* country and normal code */
} PostalCodeDocument;

static const DocField postal_code_fields[] = {
	{"country", DOC_TEXT, offsetof(PostalCodeDocument, country), .required = true},
	{"postal_code", DOC_CODE, offsetof(PostalCodeDocument, postal_code), .required = true},
	{"latitude", DOC_DOUBLE, offsetof(PostalCodeDocument, latitude), .required = true,.least = -90,.most = 90},
	{"longitude", DOC_DOUBLE, offsetof(PostalCodeDocument, longitude), .required = true,.least = -180,.most = 180},
};

static const DocShape postal_code_shape = DOC_SHAPE_OF(PostalCodeDocument, postal_code_fields, "a postal code");

static OmsPlan delete_plan = {
	.sql = "DELETE FROM {postal_codes} WHERE tenant_id = $1 AND country = ANY ($2)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTARRAYOID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {postal_codes} (tenant_id, country, postal_code, latitude, longitude)"
	" SELECT $1, u.country, u.postal_code, u.latitude, u.longitude"
	" FROM unnest($2::text[], $3::text[], $4::float8[], $5::float8[]) u(country, postal_code, latitude, longitude)"
	" ON CONFLICT (country, postal_code, tenant_id) DO UPDATE SET latitude = excluded.latitude, longitude = excluded.longitude",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TEXTARRAYOID, TEXTARRAYOID, FLOAT8ARRAYOID, FLOAT8ARRAYOID)
};

static OmsPlan find_plan = {
	.sql = "SELECT latitude, longitude FROM {postal_codes} WHERE tenant_id = $1 AND country = $2"
	" AND postal_code = ANY ($3) ORDER BY octet_length(postal_code) DESC LIMIT 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID, TEXTARRAYOID)
};

static OmsPlan around_plan = {
	.sql = "SELECT avg(latitude), avg(longitude) FROM {postal_codes} WHERE tenant_id = $1 AND country = $2"
	" AND postal_code >= $3 AND postal_code < $3 || '~' HAVING count(*) > 0",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID, TEXTOID)
};

typedef struct Centroid
{
	double		latitude;
	double		longitude;
} Centroid;

static void
read_point(TupleTableSlot *slot, void *state)
{
	Centroid   *point = state;
	bool		isnull;

	point->latitude = DatumGetFloat8(oms_slot_datum(slot, 1, &isnull));
	point->longitude = DatumGetFloat8(oms_slot_datum(slot, 2, &isnull));
}

/* Letters and digits, letters large; NULL where nothing or too much is left. */
static char *
normal_code(const char *code)
{
	char		normal[CODE_MOST + 1];
	int			length = 0;

	for (; *code; code++)
	{
		if (*code == ' ' || *code == '-')
			continue;
		if (!isalnum((unsigned char) *code) || length == CODE_MOST)
			return NULL;
		normal[length++] = pg_ascii_toupper((unsigned char) *code);
	}
	return length > 0 ? pnstrdup(normal, length) : NULL;
}

/* Finds the middle of a postal code; false where nothing is known of it. */
bool
oms_postal_code_locate(const char *country, const char *postal_code, double *latitude, double *longitude)
{
	char	   *code = country && postal_code && oms_configuration()->has_postal_codes ? normal_code(postal_code) : NULL;
	char	   *prefixes[CODE_MOST];
	int			length = code ? strlen(code) : 0;
	int			count = 0;
	Centroid	point;
	Datum		values[3];
	uint64		found;

	if (length < PREFIX_LEAST)
		return false;
	for (int i = PREFIX_LEAST; i <= length; i++)
		prefixes[count++] = pnstrdup(code, i);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = CStringGetTextDatum(country);
	values[2] = oms_array_text(prefixes, count);
	found = oms_execute_each(&find_plan, values, NULL, read_point, &point);
	for (int i = count - 2; i >= 0 && found == 0; i--)
	{
		values[2] = CStringGetTextDatum(prefixes[i]);
		found = oms_execute_each(&around_plan, values, NULL, read_point, &point);
	}
	if (found == 0)
		return false;
	*latitude = point.latitude;
	*longitude = point.longitude;
	return true;
}

static void
check_row(PostalCodeDocument *row, int index, FaultList *faults)
{
	char	   *code = row->postal_code ? normal_code(row->postal_code) : NULL;

	if (row->country && !(strlen(row->country) == 2 && strspn(row->country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 2))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Use an ISO 3166 code such as DE.",
				  oms_document_place("codes", index, "country"), "\"%s\" is not a country", row->country);
	if (row->postal_code && (code == NULL || strlen(code) < PREFIX_LEAST))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Letters and digits, 3 to 20 of them; spaces and hyphens do not count.",
				  oms_document_place("codes", index, "postal_code"), "\"%s\" is not a postal code", row->postal_code);
	row->postal_code = code;
	row->key = psprintf("%s %s", row->country ? row->country : "", code ? code : "");
}

static void
insert_rows(const DocArray *rows, const char *mode)
{
	char	  **countries = palloc(sizeof(char *) * Max(1, rows->count));
	char	  **codes = palloc(sizeof(char *) * Max(1, rows->count));
	Datum	   *latitudes = palloc(sizeof(Datum) * Max(1, rows->count));
	Datum	   *longitudes = palloc(sizeof(Datum) * Max(1, rows->count));
	Datum		values[5];

	for (int i = 0; i < rows->count; i++)
	{
		PostalCodeDocument *row = (PostalCodeDocument *) rows->items + i;

		countries[i] = row->country;
		codes[i] = row->postal_code;
		latitudes[i] = Float8GetDatum(row->latitude);
		longitudes[i] = Float8GetDatum(row->longitude);
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_text(countries, rows->count);
	values[2] = oms_array_text(codes, rows->count);
	values[3] = oms_array_datum(latitudes, NULL, rows->count, FLOAT8OID);
	values[4] = oms_array_datum(longitudes, NULL, rows->count, FLOAT8OID);
	if (strcmp(mode, "replace") == 0)
		(void) oms_execute(&delete_plan, values, NULL);
	(void) oms_execute(&insert_plan, values, NULL);
}

/*
 * oms.load_postal_codes(codes jsonb, mode text, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_load_postal_codes, CALL_KEYED)
{
	char	   *mode = oms_argument_required(fcinfo, 1, "mode");
	FaultList	faults;
	DocArray	rows = {0};

	oms_faults_init(&faults);
	if (strcmp(mode, "replace") != 0 && strcmp(mode, "add") != 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Use replace or add.", "mode", "\"%s\" is no mode", mode);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of rows.", "codes", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(0), &postal_code_shape, OMS_BULK_ROWS_MAX, "codes", &faults);
	for (int i = 0; i < rows.count; i++)
		check_row((PostalCodeDocument *) rows.items + i, i, &faults);
	if (faults.count == 0)
		oms_document_duplicates(&rows, &postal_code_shape, offsetof(PostalCodeDocument, key), "codes", "postal_code", &faults);
	oms_faults_raise(&faults, "postal codes are not valid");
	insert_rows(&rows, mode);
	oms_event(&(Event) {.object_type = "location",.type = "postal_codes.loaded"});
	PG_RETURN_INT64(rows.count);
}
