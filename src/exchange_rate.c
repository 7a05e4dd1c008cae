/*
 * exchange_rate.c
 *	  Exchange rates: loading them.  network.c reads them for routing.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "calendar.h"
#include "call.h"
#include "document.h"
#include "event.h"
#include "money.h"
#include "network.h"
#include "relation.h"

typedef struct ExchangeDocument
{
	char	   *key;			/* put together from the row: who it is */
	char	   *from;
	char	   *to;
	char	   *valid_from;
	Numeric		rate;
} ExchangeDocument;

static const DocField exchange_fields[] = {
	{"from", DOC_TEXT, offsetof(ExchangeDocument, from), .required = true},
	{"to", DOC_TEXT, offsetof(ExchangeDocument, to), .required = true},
	{"valid_from", DOC_TEXT, offsetof(ExchangeDocument, valid_from), .required = true},
	{"rate", DOC_MONEY, offsetof(ExchangeDocument, rate), .required = true},
};

static const DocShape exchange_shape = DOC_SHAPE_OF(ExchangeDocument, exchange_fields, "an exchange rate");

static OmsPlan upsert_plan = {
	.sql = "INSERT INTO {exchange_rates} (tenant_id, from_currency, to_currency, valid_from, rate)"
	" SELECT $1, u.\"from\", u.\"to\", u.valid_from, u.rate"
	" FROM jsonb_to_recordset($2) u(\"from\" text, \"to\" text, valid_from date, rate numeric)"
	" ORDER BY 2, 3, 4 ON CONFLICT (tenant_id, from_currency, to_currency, valid_from) DO UPDATE SET rate = excluded.rate",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static void
check_currency(const char *currency, const char *place, FaultList *faults)
{
	if (oms_currency_digits(currency) < 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Use an ISO 4217 code such as EUR.", place, "\"%s\" is not a currency",
				  currency);
}

static void
check_rate(ExchangeDocument *row, int index, FaultList *faults)
{
	int32		day;

	check_currency(row->from, oms_document_place("rates", index, "from"), faults);
	check_currency(row->to, oms_document_place("rates", index, "to"), faults);
	if (strcmp(row->from, row->to) == 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A currency needs no rate to itself.",
				  oms_document_place("rates", index, "to"), "is the currency itself");
	if (!oms_parse_day(row->valid_from, &day))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Write YYYY-MM-DD.", oms_document_place("rates", index, "valid_from"),
				  "\"%s\" is not a day", row->valid_from);
	if (oms_money_compare(oms_money_multiply(row->rate, EXCHANGE_ONE), int64_to_numeric(1)) < 0 ||
		oms_money_compare(row->rate, int64_to_numeric(EXCHANGE_ONE)) > 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "How much of the second currency one of the first is.",
				  oms_document_place("rates", index, "rate"), "must be between 0.000000001 and 1000000000");
	row->key = psprintf("%s %s %s", row->from, row->to, row->valid_from);
}

/*
 * oms.load_exchange_rates(rates jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_load_exchange_rates, CALL_KEYED)
{
	FaultList	faults;
	DocArray	rows = {0};
	Datum		values[2];
	bool		readable;

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of rates.", "rates", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(0), &exchange_shape, OMS_BULK_ROWS_MAX, "rates", &faults);
	readable = faults.count == 0;
	for (int i = 0; readable && i < rows.count; i++)
		check_rate((ExchangeDocument *) rows.items + i, i, &faults);
	if (readable)
		oms_document_duplicates(&rows, &exchange_shape, offsetof(ExchangeDocument, key), "rates", NULL, &faults);
	oms_faults_raise(&faults, "exchange rates are not valid");

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = PG_GETARG_DATUM(0);
	(void) oms_execute(&upsert_plan, values, NULL);
	oms_event(&(Event) {.object_type = "carrier",.type = "exchange_rates.loaded",.data = PG_GETARG_JSONB_P(0)});
	PG_RETURN_INT64(rows.count);
}
