/*
 * customer.c
 *	  The little that orders need to know of customers.
 */
#include "oms.h"

#include "catalog/pg_type.h"

#include "call.h"
#include "customer.h"
#include "document.h"
#include "event.h"
#include "money.h"
#include "relation.h"

typedef struct CustomerDocument
{
	char	   *ref;
	char	   *currency;
	char	   *external_ref;
	Numeric		credit_limit;
	Jsonb	   *attributes;
} CustomerDocument;

static const DocField customer_fields[] = {
	{"ref", DOC_CODE, offsetof(CustomerDocument, ref), .required = true},
	{"credit_limit", DOC_MONEY, offsetof(CustomerDocument, credit_limit)},
	{"currency", DOC_TEXT, offsetof(CustomerDocument, currency)},
	{"external_ref", DOC_CODE, offsetof(CustomerDocument, external_ref)},
	{"attributes", DOC_OBJECT, offsetof(CustomerDocument, attributes)},
};

static const DocShape customer_shape = DOC_SHAPE_OF(CustomerDocument, customer_fields, "a customer");

#define CUSTOMER_ROWS \
	" FROM jsonb_to_recordset($2) u(ref text, credit_limit numeric, currency text, external_ref text, attributes jsonb)"

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {customers} (tenant_id, customer_ref)"
	" SELECT $1, u.ref" CUSTOMER_ROWS " ORDER BY u.ref ON CONFLICT (tenant_id, customer_ref) DO NOTHING",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan update_plan = {
	.sql = "UPDATE {customers} c SET currency = coalesce(u.currency, c.currency),"
	" credit_limit = coalesce(u.credit_limit, c.credit_limit), external_ref = coalesce(u.external_ref, c.external_ref),"
	" attributes = coalesce(u.attributes, c.attributes)"
	CUSTOMER_ROWS " WHERE c.tenant_id = $1 AND c.customer_ref = u.ref",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

/* Locks the customer of an order, so that two orders cannot use one limit. */
static OmsPlan limit_plan = {
	.sql = "SELECT c.customer_ref, c.credit_limit, c.currency, o.currency FROM {orders} o"
	" JOIN {customers} c ON c.customer_ref = o.customer_ref AND c.tenant_id = $1"
	" WHERE o.order_id = $2 AND o.tenant_id = $1 AND c.credit_limit IS NOT NULL"
	" AND o.payment_status IN ('unpaid', 'partially_paid') FOR NO KEY UPDATE OF c",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* What a customer's orders still have to be paid, beyond what is authorized. */
static OmsPlan exposure_plan = {
	.sql = "SELECT coalesce(sum(greatest(o.total - p.secured, 0)), 0) FROM {orders} o CROSS JOIN LATERAL ("
	"SELECT coalesce(sum(greatest(e.authorized - e.voided, e.captured) - e.refunded), 0) AS secured FROM (SELECT"
	" coalesce(sum(x.amount) FILTER (WHERE x.type = 'authorize'), 0) AS authorized,"
	" coalesce(sum(x.amount) FILTER (WHERE x.type IN ('void', 'expire')), 0) AS voided,"
	" coalesce(sum(x.amount) FILTER (WHERE x.type = 'capture'), 0) AS captured,"
	" coalesce(sum(x.amount) FILTER (WHERE x.type IN ('refund', 'charge_back', 'transfer')), 0) AS refunded FROM {payment_events} x"
	" WHERE x.order_id = o.order_id AND x.tenant_id = $1 GROUP BY x.payment_id) e) p"
	" WHERE o.tenant_id = $1 AND o.customer_ref = $2 AND o.currency = $3 AND o.status NOT IN ('draft', 'cancelled')"
	" AND o.payment_status IN ('unpaid', 'partially_paid')",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID, TEXTOID)
};

/*
 * oms.upsert_customers(customers jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_upsert_customers, CALL_KEYED)
{
	FaultList	faults;
	DocArray	rows = {0};
	Datum		values[2];

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of customers.", "customers", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(0), &customer_shape, OMS_BULK_ROWS_MAX, "customers", &faults);
	oms_document_duplicates(&rows, &customer_shape, offsetof(CustomerDocument, ref), "customers", "ref", &faults);
	for (int i = 0; i < rows.count; i++)
	{
		CustomerDocument *row = (CustomerDocument *) rows.items + i;

		if (row->currency && oms_currency_digits(row->currency) < 0)
			oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Use an ISO 4217 code such as EUR.",
					  oms_document_place("customers", i, "currency"), "\"%s\" is not a currency", row->currency);
		if (row->credit_limit && row->currency == NULL)
			oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give the currency of the limit with it.",
					  oms_document_place("customers", i, "currency"), "is required with a credit_limit");
	}
	oms_faults_raise(&faults, "customers are not valid");
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = PG_GETARG_DATUM(0);
	(void) oms_execute(&insert_plan, values, NULL);
	(void) oms_execute(&update_plan, values, NULL);

	/* Without the rows: what is written of a person must be erasable, and these hold nothing but the sum. */
	oms_event(&(Event) {.object_type = "customer",.type = "customers.upserted",
						.reason = psprintf("%d customers", rows.count)});
	PG_RETURN_INT64(rows.count);
}

typedef struct CreditLimit
{
	char	   *customer_ref;
	char	   *currency;
	char	   *order_currency;
	Numeric		amount;
} CreditLimit;

static void
read_limit(TupleTableSlot *slot, void *state)
{
	CreditLimit	   *limit = state;

	limit->customer_ref = oms_slot_text(slot, 1);
	limit->amount = oms_slot_numeric(slot, 2);
	limit->currency = oms_slot_text(slot, 3);
	limit->order_currency = oms_slot_text(slot, 4);
}

static void
read_exposure(TupleTableSlot *slot, void *state)
{
	*(Numeric *) state = oms_slot_numeric(slot, 1);
}

/* Why an order that has been written goes beyond its customer's limit; NULL: it does not. */
char *
oms_customer_credit_fault(int64 order_id)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};
	CreditLimit		limit = {0};
	Numeric		exposure = oms_money_zero();

	(void) oms_execute_each(&limit_plan, values, NULL, read_limit, &limit);
	if (limit.amount == NULL)
		return NULL;
	if (strcmp(limit.currency, limit.order_currency) != 0)
		return psprintf("the credit limit is in %s, the order in %s", limit.currency, limit.order_currency);
	values[1] = CStringGetTextDatum(limit.customer_ref);
	values[2] = CStringGetTextDatum(limit.currency);
	(void) oms_execute_each(&exposure_plan, values, NULL, read_exposure, &exposure);
	if (oms_money_compare(exposure, limit.amount) <= 0)
		return NULL;
	return psprintf("open orders of %s %s exceed the credit limit of %s", oms_money_text(exposure), limit.currency,
					oms_money_text(limit.amount));
}
