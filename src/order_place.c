/*
 * order_place.c
 *	  Placing an order: one document, one transaction.
 *
 * The way of a document:
 *	  read by shape -> items looked up -> totals -> counters read and routed
 *	  -> order row (its unique key decides who places it) -> counters locked,
 *	  checked and written -> lines, delivery, adjustments, fulfillments,
 *	  promises, payments -> one flush of events, whose order.placed holds the
 *	  answer.
 * One statement per table, whatever the number of lines.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"

#include "allocation.h"
#include "answer.h"
#include "call.h"
#include "configuration.h"
#include "credit.h"
#include "dates.h"
#include "document.h"
#include "event.h"
#include "expiry.h"
#include "fulfillment.h"
#include "heap.h"
#include "hold.h"
#include "item.h"
#include "location.h"
#include "machine.h"
#include "money.h"
#include "order.h"
#include "order_place.h"
#include "payment.h"
#include "postal_code.h"
#include "quota.h"
#include "relation.h"
#include "reservation.h"
#include "route.h"
#include "routing.h"
#include "stock.h"
#include "supply.h"

/* Plans made anew because the counters had changed before they were locked. */
#define PLAN_ATTEMPTS_MAX 20

/* ---- The document ---- */

typedef struct AdjustmentDocument
{
	char	   *type;
	char	   *code;
	Numeric		amount;
	int8		included;
} AdjustmentDocument;

typedef struct AddressDocument
{
	char	   *name;
	char	   *company;
	char	   *line1;
	char	   *line2;
	char	   *city;
	char	   *region;
	char	   *postal_code;
	char	   *country;
	char	   *phone;
	char	   *email;
	double		latitude;
	double		longitude;
} AddressDocument;

typedef struct CustomerDocument
{
	char	   *ref;
	char	   *name;
	char	   *email;
	char	   *phone;
	char	   *class;
} CustomerDocument;

typedef struct LineDocument
{
	int32		line_no;
	int32		delivery_no;
	int32		quantity;
	char	   *sku;
	char	   *name;
	char	   *external_ref;
	char	   *location;
	Numeric		unit_price;
	Jsonb	   *attributes;
	DocArray	adjustments;
} LineDocument;

typedef struct DeliveryDocument
{
	int32		delivery_no;
	char	   *method;
	char	   *service;
	char	   *pickup_location;
	Jsonb	   *ship_to;
	TimestampTz requested_at;
} DeliveryDocument;

typedef struct OrderDocument
{
	char	   *channel;
	char	   *external_ref;
	char	   *currency;
	char	   *method;
	char	   *service;
	char	   *pickup_location;
	char	   *notes;
	char	   *ordered_by;
	CustomerDocument *customer;
	Jsonb	   *ship_to;
	Jsonb	   *bill_to;
	Jsonb	   *risk;
	Jsonb	   *attributes;
	Numeric		total;
	TimestampTz requested_at;
	TimestampTz valid_until;
	int64		reservation_id;
	DocArray	deliveries;
	DocArray	lines;
	DocArray	adjustments;
	DocArray	payments;
	int8		allow_backorder;
	int8		draft;
} OrderDocument;

static const char *const adjustment_types[] = {"discount", "tax", "shipping", "fee", NULL};
static const char *const methods[] = {"ship", "pickup", NULL};

static const DocField adjustment_fields[] = {
	{"type", DOC_TEXT, offsetof(AdjustmentDocument, type), .required = true,.choices = adjustment_types},
	{"code", DOC_CODE, offsetof(AdjustmentDocument, code)},
	{"amount", DOC_MONEY, offsetof(AdjustmentDocument, amount), .required = true,.minus = true},
	{"included", DOC_BOOL, offsetof(AdjustmentDocument, included)},
};

static const DocShape adjustment_shape = DOC_SHAPE_OF(AdjustmentDocument, adjustment_fields, "an adjustment");

static const DocField address_fields[] = {
	{"name", DOC_TEXT, offsetof(AddressDocument, name)},
	{"company", DOC_TEXT, offsetof(AddressDocument, company)},
	{"line1", DOC_TEXT, offsetof(AddressDocument, line1)},
	{"line2", DOC_TEXT, offsetof(AddressDocument, line2)},
	{"city", DOC_TEXT, offsetof(AddressDocument, city)},
	{"region", DOC_TEXT, offsetof(AddressDocument, region)},
	{"postal_code", DOC_TEXT, offsetof(AddressDocument, postal_code)},
	{"country", DOC_TEXT, offsetof(AddressDocument, country)},
	{"phone", DOC_TEXT, offsetof(AddressDocument, phone)},
	{"email", DOC_TEXT, offsetof(AddressDocument, email)},
	{"latitude", DOC_DOUBLE, offsetof(AddressDocument, latitude), .least = -90,.most = 90},
	{"longitude", DOC_DOUBLE, offsetof(AddressDocument, longitude), .least = -180,.most = 180},
};

static const DocShape address_shape = DOC_SHAPE_OF(AddressDocument, address_fields, "an address");

static const DocField customer_fields[] = {
	{"ref", DOC_CODE, offsetof(CustomerDocument, ref)},
	{"name", DOC_TEXT, offsetof(CustomerDocument, name)},
	{"email", DOC_TEXT, offsetof(CustomerDocument, email)},
	{"phone", DOC_TEXT, offsetof(CustomerDocument, phone)},
	{"class", DOC_CODE, offsetof(CustomerDocument, class)},
};

static const DocShape customer_shape = DOC_SHAPE_OF(CustomerDocument, customer_fields, "a customer");

static const DocField line_fields[] = {
	{"sku", DOC_CODE, offsetof(LineDocument, sku), .required = true},
	{"quantity", DOC_INT, offsetof(LineDocument, quantity), .required = true,.least = 1,.most = OMS_QUANTITY_MAX},
	{"unit_price", DOC_MONEY, offsetof(LineDocument, unit_price)},
	{"line_no", DOC_INT, offsetof(LineDocument, line_no), .least = 1,.most = PG_INT32_MAX},
	{"delivery_no", DOC_INT, offsetof(LineDocument, delivery_no), .least = 1,.most = PG_INT32_MAX},
	{"name", DOC_TEXT, offsetof(LineDocument, name)},
	{"external_ref", DOC_CODE, offsetof(LineDocument, external_ref)},
	{"location", DOC_CODE, offsetof(LineDocument, location)},
	{"attributes", DOC_OBJECT, offsetof(LineDocument, attributes)},
	{"adjustments", DOC_ARRAY, offsetof(LineDocument, adjustments), .most = 100,.shape = &adjustment_shape},
};

const DocShape oms_order_line_shape = DOC_SHAPE_OF(LineDocument, line_fields, "an order line");

static const DocField delivery_fields[] = {
	{"delivery_no", DOC_INT, offsetof(DeliveryDocument, delivery_no), .required = true,.least = 1,.most = PG_INT32_MAX},
	{"method", DOC_TEXT, offsetof(DeliveryDocument, method), .choices = methods},
	{"service", DOC_CODE, offsetof(DeliveryDocument, service)},
	{"pickup_location", DOC_CODE, offsetof(DeliveryDocument, pickup_location)},
	{"ship_to", DOC_OBJECT, offsetof(DeliveryDocument, ship_to)},
	{"requested_at", DOC_TIME, offsetof(DeliveryDocument, requested_at)},
};

static const DocShape delivery_shape = DOC_SHAPE_OF(DeliveryDocument, delivery_fields, "a delivery");

static const DocField order_fields[] = {
	{"channel", DOC_CODE, offsetof(OrderDocument, channel)},
	{"external_ref", DOC_CODE, offsetof(OrderDocument, external_ref), .required = true},
	{"currency", DOC_TEXT, offsetof(OrderDocument, currency)},
	{"customer", DOC_SHAPE, offsetof(OrderDocument, customer), .shape = &customer_shape},
	{"ship_to", DOC_OBJECT, offsetof(OrderDocument, ship_to)},
	{"bill_to", DOC_OBJECT, offsetof(OrderDocument, bill_to)},
	{"method", DOC_TEXT, offsetof(OrderDocument, method), .choices = methods},
	{"service", DOC_CODE, offsetof(OrderDocument, service)},
	{"pickup_location", DOC_CODE, offsetof(OrderDocument, pickup_location)},
	{"requested_at", DOC_TIME, offsetof(OrderDocument, requested_at)},
	{"reservation_id", DOC_ID, offsetof(OrderDocument, reservation_id)},
	{"deliveries", DOC_ARRAY, offsetof(OrderDocument, deliveries), .most = OMS_DELIVERIES_PER_ORDER_MAX,
	.shape = &delivery_shape},
	{"lines", DOC_ARRAY, offsetof(OrderDocument, lines), .required = true,.least = 1,.most = OMS_LINES_PER_ORDER_MAX,
	.shape = &oms_order_line_shape},
	{"adjustments", DOC_ARRAY, offsetof(OrderDocument, adjustments), .most = 1000,.shape = &adjustment_shape},
	{"payments", DOC_ARRAY, offsetof(OrderDocument, payments), .most = OMS_PAYMENTS_PER_ORDER_MAX,
	.shape = &oms_payment_shape},
	{"total", DOC_MONEY, offsetof(OrderDocument, total)},
	{"allow_backorder", DOC_BOOL, offsetof(OrderDocument, allow_backorder)},
	{"notes", DOC_TEXT, offsetof(OrderDocument, notes)},
	{"attributes", DOC_OBJECT, offsetof(OrderDocument, attributes)},
	{"risk", DOC_OBJECT, offsetof(OrderDocument, risk)},
	{"ordered_by", DOC_CODE, offsetof(OrderDocument, ordered_by)},
	{"draft", DOC_BOOL, offsetof(OrderDocument, draft)},
	{"valid_until", DOC_TIME, offsetof(OrderDocument, valid_until)},
};

static const DocShape order_shape = DOC_SHAPE_OF(OrderDocument, order_fields, "an order");

/* ---- What becomes of it ---- */

typedef struct PlacedLine
{
	LineDocument *document;
	CatalogItem *item;
	int			demand;			/* index into demands, -1 for items without stock */
	int32		line_no;
	Numeric		unit_price;
	Numeric		amount;
	int32		allocated;
	int32		backordered;
} PlacedLine;

/* Units of one item wanted by lines that may be served from the same places. */
typedef struct Demand
{
	CatalogItem *item;
	Location   *pinned;			/* NULL: anywhere */
	int32		quantity;
} Demand;

typedef struct Placement
{
	Jsonb	   *source;
	int64		hash;
	OrderDocument *document;
	AddressDocument *address;	/* NULL where there is none */
	RiskDocument *risk;
	Channel    *channel;
	Location   *pickup;
	const char *currency;
	int			digits;
	bool		backorder;

	PlacedLine *lines;
	int			line_count;
	Demand	   *demands;
	int			demand_count;

	Numeric		item_total;
	Numeric		discount_total;
	Numeric		shipping_total;
	Numeric		fee_total;
	Numeric		tax_total;
	Numeric		total;

	Location  **candidates;		/* locations of the routing problem */
	int			candidate_count;
	RoutePart  *parts;			/* the plan, by demand and candidate */
	int			part_count;
	int32	   *missing;		/* per demand: units that nobody can promise */
	CapacityView *capacity;		/* of the locations that have any; NULL: none has a limit */
	int			full_count;		/* locations that have units but no day for them */
	RoutingPlan *routing;		/* NULL where no policy decided */
	HoldList   *holds;			/* holds that the order may use up, NULL: none */
	QuotaList  *quotas;			/* of the channel, NULL: none */

	int64		order_id;		/* 0 in a preview */
	const char *status;
	const char *payment_status;
	const char *fulfillment_status;
	Fulfillment *fulfillments;
	int			fulfillment_count;
	TimestampTz promised_at;	/* when all has arrived; DT_NOBEGIN: not known */
	Allocation *allocations;
	int			allocation_count;
	int64	   *payment_ids;
	List	   *order_holds;	/* of PlacedHold: what the channel holds the order for */

	/*
	 * An order with several deliveries is planned group by group, each with
	 * its own address and what the groups before it take gone; then it is
	 * written as one.
	 */
	int32		delivery_no;
	bool		partial;		/* deliveries without lines are no fault: an addition */
	struct Placement **groups;
	int			group_count;
	struct Placement *failed;	/* the group that cannot be planned */
	StockRow   *taken;			/* by the groups before this one */
	int			taken_count;
	int		   *line_numbers;	/* of a group: where its lines stand in the order */
} Placement;

static OmsPlan existing_plan = {
	.sql = "SELECT order_id, document_hash FROM {orders} WHERE tenant_id = $1 AND channel_id = $2 AND external_ref = $3",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

static OmsPlan first_answer_plan = {
	.sql = "SELECT data FROM {events} WHERE order_id = $2 AND tenant_id = $1 AND type IN ('order.placed', 'order.drafted')"
	" ORDER BY event_id LIMIT 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan insert_order_plan = {
	.sql = "INSERT INTO {orders} (tenant_id, channel_id, external_ref, order_id, placed_at, document_hash, status,"
	" payment_status, fulfillment_status, currency, item_total, discount_total, shipping_total, fee_total, tax_total,"
	" total, customer_ref, customer, bill_to, attributes, notes, risk, ordered_by,"
	" valid_until)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,"
	" $24)"
	" ON CONFLICT (tenant_id, channel_id, external_ref) DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, INT8OID, TIMESTAMPTZOID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TEXTOID,
				 NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, TEXTOID, JSONBOID, JSONBOID,
				 JSONBOID, TEXTOID, JSONBOID, TEXTOID, TIMESTAMPTZOID)
};

static OmsPlan correct_status_plan = {
	.sql = "UPDATE {orders} SET fulfillment_status = $3 WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

static OmsPlan insert_lines_plan = {
	.sql = "INSERT INTO {order_lines} (order_id, item_id, tenant_id, line_no, delivery_no, ordered, allocated,"
	" backordered, unit_price, amount, name, external_ref, attributes, location_id)"
	" SELECT $2, u.item_id, $1, u.line_no, u.delivery_no, u.ordered, u.allocated, u.backordered, u.unit_price, u.amount, u.name,"
	" u.external_ref, u.attributes, nullif(u.location_id, 0)"
	" FROM unnest($3::bigint[], $4::int[], $5::int[], $6::int[], $7::int[], $8::numeric[], $9::numeric[], $10::text[],"
	" $11::text[], $12::jsonb[], $13::bigint[], $14::int[])"
	" u(item_id, line_no, ordered, allocated, backordered, unit_price, amount, name, external_ref, attributes,"
	" location_id, delivery_no)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
				 NUMERICARRAYOID, NUMERICARRAYOID, TEXTARRAYOID, TEXTARRAYOID, JSONBARRAYOID, INT8ARRAYOID, INT4ARRAYOID)
};

static OmsPlan insert_delivery_plan = {
	.sql = "INSERT INTO {order_deliveries} (order_id, pickup_location_id, requested_at, tenant_id, delivery_no, method,"
	" service, address, promised_at) VALUES ($2, $3, $4, $1, $8, $5, $6, $7, $9)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, JSONBOID, INT4OID, TIMESTAMPTZOID)
};

static OmsPlan insert_adjustments_plan = {
	.sql = "INSERT INTO {order_adjustments} (order_id, tenant_id, adjustment_no, line_no, included, type, code, amount)"
	" SELECT $2, $1, u.n + (SELECT coalesce(max(a.adjustment_no), 0) FROM {order_adjustments} a"
	" WHERE a.order_id = $2 AND a.tenant_id = $1), nullif(u.line_no, 0), u.included, u.type, u.code, u.amount"
	" FROM unnest($3::int[], $4::boolean[], $5::text[], $6::text[], $7::numeric[]) WITH ORDINALITY"
	" u(line_no, included, type, code, amount, n)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4ARRAYOID, BOOLARRAYOID, TEXTARRAYOID, TEXTARRAYOID, NUMERICARRAYOID)
};

static OmsPlan validity_plan = {
	.sql = "SELECT $3 + draft_timeout FROM {channels} WHERE channel_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

static OmsPlan insert_draft_plan = {
	.sql = "INSERT INTO {order_drafts} (order_id, tenant_id, document) VALUES ($2, $1, $3)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID)
};

static OmsPlan draft_plan = {
	.sql = "SELECT d.document, o.valid_until FROM {order_drafts} d JOIN {orders} o ON o.order_id = d.order_id"
	" AND o.tenant_id = $1 WHERE d.order_id = $2 AND d.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan replace_draft_plan = {
	.sql = "UPDATE {order_drafts} SET document = $3 WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, JSONBOID)
};

static OmsPlan delete_draft_plan = {
	.sql = "DELETE FROM {order_drafts} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan quoted_plan = {
	.sql = "SELECT line_no, unit_price FROM {order_lines} WHERE order_id = $2 AND tenant_id = $1 ORDER BY line_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan place_draft_plan = {
	.sql = "UPDATE {orders} SET status = $3, payment_status = $4, fulfillment_status = $5, placed_at = $6,"
	" version = version + 1 WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID)
};

static OmsPlan update_draft_plan = {
	.sql = "UPDATE {orders} SET payment_status = $3, currency = $4, item_total = $5, discount_total = $6,"
	" shipping_total = $7, fee_total = $8, tax_total = $9, total = $10, customer_ref = $11, customer = $12, bill_to = $13,"
	" attributes = $14, notes = $15, risk = $16, ordered_by = $17, valid_until = $18, version = version + 1"
	" WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, TEXTOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID, NUMERICOID,
				 NUMERICOID, TEXTOID, JSONBOID, JSONBOID, JSONBOID, TEXTOID, JSONBOID, TEXTOID, TIMESTAMPTZOID)
};

static OmsPlan delete_lines_plan = {
	.sql = "DELETE FROM {order_lines} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan delete_deliveries_plan = {
	.sql = "DELETE FROM {order_deliveries} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan delete_adjustments_plan = {
	.sql = "DELETE FROM {order_adjustments} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* ---- Reading ---- */

static void
fault_unknown(FaultList *faults, const char *place, const char *what, const char *code, const char *hint)
{
	oms_fault(faults, ERRCODE_OMS_UNKNOWN, hint, place, "%s \"%s\" is not known", what, code);
}

/* Resolves channel and pickup point, and what follows from them. */
/* The place of a field of a line, which may be one of a group's. */
static const char *
line_place(const Placement *placement, int index, const char *field)
{
	int			position = (int) (placement->lines[index].document - (LineDocument *) placement->document->lines.items);

	return oms_document_place("lines", position, field);
}

static void
resolve_pickup(Placement *placement, FaultList *faults)
{
	OrderDocument *document = placement->document;

	if (document->pickup_location)
	{
		placement->pickup = oms_location_find(document->pickup_location);
		if (placement->pickup == NULL)
			fault_unknown(faults, "pickup_location", "location", document->pickup_location,
						  "oms.upsert_locations adds a location.");
		else if (!placement->pickup->pickup)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Set pickup for the location.", "pickup_location",
					  "location \"%s\" is no pickup point", document->pickup_location);
	}
	if ((document->method && strcmp(document->method, "pickup") == 0) != (document->pickup_location != NULL))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Method pickup and pickup_location go together.", "pickup_location",
				  document->pickup_location ? "needs method \"pickup\"" : "is required for method \"pickup\"");
}

static void
resolve_header(Placement *placement, FaultList *faults)
{
	OrderDocument *document = placement->document;
	const char *code = document->channel ? document->channel : "default";

	placement->channel = oms_channel_find(code);
	if (placement->channel == NULL)
	{
		fault_unknown(faults, "channel", "channel", code, "oms.upsert_channels adds a channel.");
		return;
	}
	if (!placement->channel->active)
		oms_fault(faults, ERRCODE_OMS_NOT_PERMITTED, "Its open orders go on; new ones come through another channel.",
				  "channel", "channel \"%s\" is switched off", code);
	placement->currency = document->currency ? document->currency : placement->channel->currency;
	placement->digits = oms_currency_digits(placement->currency);
	if (placement->digits < 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Use an ISO 4217 code such as EUR.", "currency",
				  "\"%s\" is not a currency", placement->currency);
	placement->backorder = placement->channel->backorder && document->allow_backorder != 0;
	if (document->deliveries.count == 0)
		resolve_pickup(placement, faults);
}

static Location *
pinned_location(Placement *placement, int index, FaultList *faults)
{
	LineDocument *document = placement->lines[index].document;
	Location   *location;

	if (document->location == NULL)
		return placement->pickup;
	location = oms_location_find(document->location);
	if (location == NULL)
		fault_unknown(faults, line_place(placement, index, "location"), "location", document->location,
					  "oms.upsert_locations adds a location.");
	else if (!oms_location_serves(location, placement->channel))
		oms_fault(faults, ERRCODE_OMS_NO_LOCATION, "Link it in channel_locations or leave the location out.",
				  line_place(placement, index, "location"),
				  "channel \"%s\" may not use location \"%s\"", placement->channel->code, document->location);
	return location;
}

/* Adds a line's units to the demand for its item at its place. */
static void
add_demand(Placement *placement, int index, Location *pinned, FaultList *faults)
{
	PlacedLine *line = &placement->lines[index];
	int64		sum;

	line->demand = -1;
	if (line->item->kind != ITEM_STOCKED)
		return;
	for (int i = 0; i < placement->demand_count; i++)
		if (placement->demands[i].item == line->item && placement->demands[i].pinned == pinned)
			line->demand = i;
	if (line->demand < 0)
	{
		line->demand = placement->demand_count++;
		placement->demands[line->demand] = (Demand) {line->item, pinned, 0};
	}
	sum = (int64) placement->demands[line->demand].quantity + line->document->quantity;
	if (sum > OMS_QUANTITY_MAX)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Place the units in several orders.",
				  line_place(placement, index, "quantity"),
				  "the order has " INT64_FORMAT " units of \"%s\", at most %d are allowed", sum, line->item->sku,
				  OMS_QUANTITY_MAX);
	else
		placement->demands[line->demand].quantity = (int32) sum;
}

static void
price_line(Placement *placement, int index, FaultList *faults)
{
	PlacedLine *line = &placement->lines[index];

	line->unit_price = line->document->unit_price;
	if (line->unit_price == NULL)
	{
		line->unit_price = line->item->price ? line->item->price : oms_money_zero();
		if (line->item->price && strcmp(placement->currency, placement->channel->currency) != 0)
			oms_fault(faults, ERRCODE_OMS_MONEY, "Prices of items are in the currency of the channel.",
					  oms_document_place("lines", index, "unit_price"), "is required in an order in %s",
					  placement->currency);
	}
	line->amount = oms_money_round(oms_money_multiply(line->unit_price, line->document->quantity),
								   placement->digits);
}

static int
compare_line_numbers(const void *left, const void *right)
{
	int32		a = *(const int32 *) left;
	int32		b = *(const int32 *) right;

	return a < b ? -1 : a > b;
}

/* Lines are numbered by the document, or all of them by their place in it. */
static void
number_lines(Placement *placement, FaultList *faults)
{
	int32	   *numbers = palloc(sizeof(int32) * placement->line_count);
	int			given = 0;

	for (int i = 0; i < placement->line_count; i++)
	{
		int32		number = placement->lines[i].document->line_no;

		given += number != DOC_ABSENT;
		placement->lines[i].line_no = numbers[i] = number == DOC_ABSENT ? i + 1 : number;
	}
	if (given == 0)
		return;
	if (given != placement->line_count)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Number all lines or none.", "lines",
				  "%d of %d lines have a line_no", given, placement->line_count);
	qsort(numbers, placement->line_count, sizeof(int32), compare_line_numbers);
	for (int i = 1; i < placement->line_count; i++)
		if (numbers[i] == numbers[i - 1])
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each line has a number of its own.", "lines",
					  "line_no %d stands there twice", numbers[i]);
}

static void
resolve_lines(Placement *placement, FaultList *faults)
{
	DocArray   *array = &placement->document->lines;
	char	  **skus = palloc0(sizeof(char *) * array->count);
	ItemSet    *items;

	placement->line_count = array->count;
	placement->lines = palloc0(sizeof(PlacedLine) * array->count);
	placement->demands = palloc0(sizeof(Demand) * array->count);
	for (int i = 0; i < array->count; i++)
	{
		placement->lines[i].document = (LineDocument *) array->items + i;
		skus[i] = placement->lines[i].document->sku;
	}
	items = oms_items_read(skus, array->count);
	number_lines(placement, faults);
	oms_document_duplicates(array, &oms_order_line_shape, offsetof(LineDocument, external_ref), "lines", "external_ref", faults);
	for (int i = 0; i < array->count; i++)
	{
		PlacedLine *line = &placement->lines[i];

		CHECK_FOR_INTERRUPTS();
		line->item = oms_items_find(items, skus[i]);
		if (line->item == NULL)
			fault_unknown(faults, oms_document_place("lines", i, "sku"), "SKU", skus[i],
						  "oms.upsert_items adds an item.");
		else if (!line->item->active)
			oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_items switches an item on again.",
					  oms_document_place("lines", i, "sku"), "SKU \"%s\" is no longer sold", skus[i]);
		if (line->item == NULL || placement->channel == NULL || placement->digits < 0)
			continue;
		line->demand = -1;
		if (placement->document->deliveries.count == 0)
			add_demand(placement, i, pinned_location(placement, i, faults), faults);
		price_line(placement, i, faults);
	}
}

/* ---- Money ---- */

static void
check_adjustments(DocArray *adjustments, const char *place, Placement *placement, FaultList *faults)
{
	for (int i = 0; i < adjustments->count; i++)
	{
		AdjustmentDocument *adjustment = (AdjustmentDocument *) adjustments->items + i;

		if (adjustment->amount == NULL || adjustment->type == NULL)
			continue;
		if (!oms_money_is_rounded(adjustment->amount, placement->digits))
			oms_fault(faults, ERRCODE_OMS_MONEY, "Round amounts to the currency.",
					  psprintf("%s[%d].amount", place, i), "%s has more decimals than %s",
					  oms_money_text(adjustment->amount), placement->currency);
		if (strcmp(adjustment->type, "discount") != 0 &&
			oms_money_compare(adjustment->amount, oms_money_zero()) < 0)
			oms_fault(faults, ERRCODE_OMS_MONEY, "Only discounts lower a total.", psprintf("%s[%d].amount", place, i),
					  "a %s must not be negative", adjustment->type);
		if (adjustment->included == 1 && strcmp(adjustment->type, "tax") != 0)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Only taxes can be included in prices.",
					  psprintf("%s[%d].included", place, i), "a %s cannot be included", adjustment->type);
	}
}

/* Discounts are stored negative; documents may give them with either sign. */
static Numeric
signed_amount(const AdjustmentDocument *adjustment)
{
	if (strcmp(adjustment->type, "discount") == 0 &&
		oms_money_compare(adjustment->amount, oms_money_zero()) > 0)
		return oms_money_subtract(oms_money_zero(), adjustment->amount);
	return adjustment->amount;
}

static void
add_adjustments(DocArray *adjustments, Placement *placement)
{
	for (int i = 0; i < adjustments->count; i++)
	{
		AdjustmentDocument *adjustment = (AdjustmentDocument *) adjustments->items + i;
		Numeric		amount = signed_amount(adjustment);

		if (strcmp(adjustment->type, "discount") == 0)
			placement->discount_total = oms_money_subtract(placement->discount_total, amount);
		else if (strcmp(adjustment->type, "shipping") == 0)
			placement->shipping_total = oms_money_add(placement->shipping_total, amount);
		else if (strcmp(adjustment->type, "fee") == 0)
			placement->fee_total = oms_money_add(placement->fee_total, amount);
		else
			placement->tax_total = oms_money_add(placement->tax_total, amount);
		if (!(strcmp(adjustment->type, "tax") == 0 && adjustment->included == 1))
			placement->total = oms_money_add(placement->total, amount);
	}
}

static void
check_total(Placement *placement, FaultList *faults)
{
	Numeric		expected = placement->document->total;

	if (oms_money_compare(placement->total, oms_money_zero()) < 0)
		oms_fault(faults, ERRCODE_OMS_MONEY, "Discounts may take off what the order costs.", "total",
				  "the order would cost %s", oms_money_text(placement->total));
	if (expected && oms_money_compare(expected, placement->total) != 0)
		oms_fault(faults, ERRCODE_OMS_MONEY, "Total is lines + adjustments, without taxes that prices include.",
				  "total", "is %s, but lines and adjustments give %s", oms_money_text(expected),
				  oms_money_text(placement->total));
}

static void
sum_totals(Placement *placement, FaultList *faults)
{
	OrderDocument *document = placement->document;
	int			before = faults->count;
	Numeric		zero = oms_money_zero();

	check_adjustments(&document->adjustments, "adjustments", placement, faults);
	for (int i = 0; i < placement->line_count; i++)
		if (placement->lines[i].document->adjustments.count > 0)
			check_adjustments(&placement->lines[i].document->adjustments,
							  psprintf("lines[%d].adjustments", i), placement, faults);
	if (faults->count > before)
		return;
	placement->item_total = placement->discount_total = placement->shipping_total = zero;
	placement->fee_total = placement->tax_total = placement->total = zero;
	for (int i = 0; i < placement->line_count; i++)
	{
		placement->item_total = oms_money_add(placement->item_total, placement->lines[i].amount);
		add_adjustments(&placement->lines[i].document->adjustments, placement);
	}
	add_adjustments(&document->adjustments, placement);
	placement->total = oms_money_add(placement->total, placement->item_total);
	check_total(placement, faults);
}

/* What the payments of the document will have authorized and captured. */
static void
derive_payment_status(Placement *placement)
{
	DocArray   *payments = &placement->document->payments;
	Balance		balance;

	oms_balance_clear(&balance);
	for (int i = 0; i < payments->count; i++)
	{
		PaymentDocument *payment = (PaymentDocument *) payments->items + i;
		Numeric		amount = payment->amount ? payment->amount : placement->total;

		if (payment->status == NULL || strcmp(payment->status, "authorized") == 0)
			balance.authorized = oms_money_add(balance.authorized, amount);
		else if (strcmp(payment->status, "captured") == 0)
			balance.captured = oms_money_add(balance.captured, amount);
	}
	placement->payment_status = oms_payment_status(placement->total, &balance);
}

static bool
is_draft(const Placement *placement)
{
	return placement->document->draft == 1;
}

/* A draft promises nothing and moves no money. */
static void
check_draft(Placement *placement, FaultList *faults)
{
	OrderDocument *document = placement->document;
	bool		ends = !TIMESTAMP_NOT_FINITE(document->valid_until);

	if (ends && !is_draft(placement))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Only drafts end by themselves: set draft.", "valid_until", "is for drafts");
	if (!is_draft(placement))
		return;
	if (ends && document->valid_until <= oms_call->now)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give a time to come, or leave it out.", "valid_until",
				  "%s has passed", timestamptz_to_str(document->valid_until));
	if (document->payments.count > 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "oms.add_payment adds them once the order is placed.", "payments",
				  "a draft takes no payments");
	if (document->reservation_id != 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "A draft promises nothing.", "reservation_id",
				  "a draft takes no reservation");
}

/* Which delivery each line belongs to, and what is wrong with that. */
static void
check_deliveries(Placement *placement, FaultList *faults)
{
	OrderDocument *document = placement->document;
	DeliveryDocument *deliveries = (DeliveryDocument *) document->deliveries.items;
	LineDocument *lines = (LineDocument *) document->lines.items;

	if (document->ship_to || document->method || document->service || document->pickup_location ||
		!TIMESTAMP_NOT_FINITE(document->requested_at))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each delivery has its own.", "deliveries",
				  "ship_to, method, service, pickup_location and requested_at stand there, not beside it");
	for (int i = 0; i < document->deliveries.count; i++)
	{
		bool		used = false;

		for (int j = 0; j < i; j++)
			if (deliveries[j].delivery_no == deliveries[i].delivery_no)
				oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each delivery has a number of its own.",
						  oms_document_place("deliveries", i, "delivery_no"), "%d stands there twice",
						  deliveries[i].delivery_no);
		for (int j = 0; j < document->lines.count; j++)
		{
			if (lines[j].delivery_no == DOC_ABSENT)
				lines[j].delivery_no = deliveries[0].delivery_no;
			used |= lines[j].delivery_no == deliveries[i].delivery_no;
		}
		if (!used && !placement->partial)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Leave it out.", oms_document_place("deliveries", i, NULL),
					  "no line has delivery_no %d", deliveries[i].delivery_no);
	}
	for (int j = 0; j < document->lines.count; j++)
	{
		bool		known = false;

		for (int i = 0; i < document->deliveries.count; i++)
			known |= lines[j].delivery_no == deliveries[i].delivery_no;
		if (!known)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Lines name one of the deliveries.",
					  oms_document_place("lines", j, "delivery_no"), "there is no delivery %d", lines[j].delivery_no);
	}
}

/* The placement of one delivery: the order's, with its address and its lines. */
static void
add_group(Placement *placement, int index, FaultList *faults)
{
	DeliveryDocument *delivery = (DeliveryDocument *) placement->document->deliveries.items + index;
	Placement  *group = palloc(sizeof(Placement));
	int			faults_before = faults->count;

	*group = *placement;
	group->document = palloc(sizeof(OrderDocument));
	*group->document = *placement->document;
	group->document->ship_to = delivery->ship_to;
	group->document->method = delivery->method;
	group->document->service = delivery->service;
	group->document->pickup_location = delivery->pickup_location;
	group->document->requested_at = delivery->requested_at;
	group->delivery_no = delivery->delivery_no;
	group->group_count = 0;
	group->groups = NULL;
	if (delivery->ship_to)
		group->address = oms_document_read_field(delivery->ship_to, &address_shape,
												 oms_document_place("deliveries", index, "ship_to"), faults);
	resolve_pickup(group, faults);
	if (faults->count > faults_before)
		return;
	group->lines = palloc(sizeof(PlacedLine) * placement->line_count);
	group->line_numbers = palloc(sizeof(int) * placement->line_count);
	group->demands = palloc0(sizeof(Demand) * placement->line_count);
	group->line_count = 0;
	for (int i = 0; i < placement->line_count; i++)
		if (placement->lines[i].document->delivery_no == delivery->delivery_no)
		{
			group->line_numbers[group->line_count] = i;
			group->lines[group->line_count] = placement->lines[i];
			add_demand(group, group->line_count, pinned_location(group, group->line_count, faults), faults);
			group->line_count++;
		}
	if (group->line_count > 0 || !placement->partial)
		placement->groups[placement->group_count++] = group;
}

static void
read_document(Placement *placement, FaultList *faults)
{
	OrderDocument *document = placement->document;

	if (document->ship_to)
		placement->address = oms_document_read_field(document->ship_to, &address_shape, "ship_to", faults);
	if (placement->address && isnan(placement->address->latitude))
		(void) oms_postal_code_locate(placement->address->country, placement->address->postal_code,
									  &placement->address->latitude, &placement->address->longitude);
	if (document->bill_to)
		(void) oms_document_read_field(document->bill_to, &address_shape, "bill_to", faults);
	check_draft(placement, faults);
	if (document->risk)
		placement->risk = oms_document_read_field(document->risk, &oms_risk_shape, "risk", faults);
	if (faults->count > 0)
		return;
	resolve_header(placement, faults);
	if (document->reservation_id != 0 && !oms_reservation_exists(document->reservation_id))
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.reserve answers with the reservation_id.", "reservation_id",
				  "reservation " INT64_FORMAT " is not known", document->reservation_id);
	if (document->deliveries.count > 0)
		check_deliveries(placement, faults);
	resolve_lines(placement, faults);
	if (faults->count > 0)
		return;
	placement->groups = palloc(sizeof(Placement *) * Max(1, document->deliveries.count));
	for (int i = 0; i < document->deliveries.count; i++)
		add_group(placement, i, faults);
	sum_totals(placement, faults);
	for (int i = 0; i < document->payments.count; i++)
		oms_payment_check((PaymentDocument *) document->payments.items + i, oms_document_place("payments", i, NULL),
						  placement->currency, faults);
	if (faults->count == 0)
		derive_payment_status(placement);
}

/* ---- An order that exists already ---- */

typedef struct Existing
{
	int64		order_id;
	int64		hash;
} Existing;

static void
read_existing(TupleTableSlot *slot, void *state)
{
	Existing   *existing = state;

	existing->order_id = oms_slot_int64(slot, 1);
	existing->hash = oms_slot_int64(slot, 2);
}

static void
read_answer(TupleTableSlot *slot, void *state)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, 1, &isnull);

	if (!isnull)
		*(Jsonb **) state = DatumGetJsonbPCopy(value);
}

/*
 * The first answer to the same document; NULL where the reference is new.  A
 * reference that belongs to a different document is an error, unless the
 * document has faults of its own to report.
 */
static Jsonb *
answer_of_existing(Placement *placement, bool has_faults)
{
	const char *code = placement->document->channel ? placement->document->channel : "default";
	Channel    *channel = oms_channel_find(code);
	Existing	existing = {0};
	Jsonb	   *answer = NULL;
	Datum		values[3];

	if (channel == NULL || placement->document->external_ref == NULL)
		return NULL;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(channel->channel_id);
	values[2] = CStringGetTextDatum(placement->document->external_ref);
	(void) oms_execute_each(&existing_plan, values, NULL, read_existing, &existing);
	if (existing.order_id == 0)
		return NULL;
	if (existing.hash != placement->hash && has_faults)
		return NULL;
	if (existing.hash != placement->hash)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_IDEMPOTENCY),
				 errmsg("order \"%s\" of channel \"%s\" exists with another document",
						placement->document->external_ref, code),
				 errdetail("external_ref: belongs to order " INT64_FORMAT, existing.order_id),
				 errhint("Use a new external_ref for a new order.")));
	values[1] = Int64GetDatum(existing.order_id);
	(void) oms_execute_each(&first_answer_plan, values, NULL, read_answer, &answer);
	if (answer == NULL || getKeyJsonValueFromContainer(&answer->root, "order_id", 8, NULL) == NULL)
		answer = oms_order_document(existing.order_id); /* too large for an event */
	return answer;
}

/* ---- Routing ---- */

/* Finds the place of a location among the candidates, adding it when new. */
static int
candidate_index(Placement *placement, HTAB *index, Location *location, int *count)
{
	bool		found;
	struct
	{
		int64		id;
		int			position;
	}		   *entry = hash_search(index, &location->location_id, HASH_ENTER, &found);

	if (!found)
	{
		entry->position = (*count)++;
		placement->candidates[entry->position] = location;
	}
	return entry->position;
}

static bool
is_candidate(const Placement *placement, const Location *location)
{
	if (location == NULL || !oms_location_serves(location, placement->channel))
		return false;
	if (oms_dates_configured() && !oms_dates_opens(location, oms_call->now))
		return false;
	return placement->pickup ? location == placement->pickup : location->ships;
}

/* Reads what is left of the days of all locations that have units. */
static void
read_capacity(Placement *placement, StockView *view)
{
	int64	   *location_ids;
	int			count = 0;

	placement->capacity = NULL;
	placement->full_count = 0;
	if (!oms_dates_configured())
		return;
	location_ids = palloc(sizeof(int64) * Max(1, view->count));
	for (int i = 0; i < view->count; i++)
		location_ids[i] = view->rows[i].location_id;
	qsort(location_ids, view->count, sizeof(int64), oms_compare_int64);
	for (int i = 0; i < view->count; i++)
		if (count == 0 || location_ids[count - 1] != location_ids[i])
			location_ids[count++] = location_ids[i];
	placement->capacity = oms_capacity_view(location_ids, count, oms_call->now);
}

/* Whether a location has a day for anything at all. */
static bool
has_day(Placement *placement, const Location *location)
{
	DateRequest request = {.ordered_at = oms_call->now,.pickup = placement->pickup != NULL,.capacity = placement->capacity,
	.units = 1};
	ParcelDates dates;

	if (placement->capacity == NULL ||
		oms_dates_by_service(&request, location, NULL, NULL, &dates) == PROMISE_OK)
		return true;
	placement->full_count++;
	return false;
}

/* Collects the candidate locations of a view of the counters. */
static int
collect_candidates(Placement *placement, StockView *view, int *position_of_row)
{
	HASHCTL		control = {.keysize = sizeof(int64),.entrysize = 16,.hcxt = CurrentMemoryContext};
	HTAB	   *index = hash_create("candidates", 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	int			count = 0;

	placement->candidates = palloc(sizeof(Location *) * Max(1, view->count));
	for (int i = 0; i < view->count; i++)
	{
		Location   *location = oms_location_by_id(view->rows[i].location_id);

		position_of_row[i] = is_candidate(placement, location) && has_day(placement, location)
			? candidate_index(placement, index, location, &count) : -1;
	}
	hash_destroy(index);
	return count;
}

static RouteStock
promisable(const StockRow *row)
{
	int64		free = (int64) row->on_hand - row->reserved - row->safety;
	int64		headroom = (int64) row->on_hand + row->backorder_limit - row->reserved;
	RouteStock	stock;

	stock.free = (int32) Max(0, free);
	stock.backorder = (int32) Max(0, Min(headroom - stock.free, row->backorder_limit));
	return stock;
}


/* The routing problem as it is being solved; stock shrinks as units are given away. */
typedef struct Sourcing
{
	StockView  *view;
	RouteStock *stock;			/* [demand * candidate_count + candidate] */
	int			parts_max;
} Sourcing;

static RouteStock *
stock_of(Placement *placement, Sourcing *sourcing, int demand, int candidate)
{
	return &sourcing->stock[(size_t) demand * placement->candidate_count + candidate];
}

/* Fills the matrix of what each candidate can promise of each demand. */
static void
fill_matrix(Placement *placement, Sourcing *sourcing, const int *position_of_row)
{
	StockView  *view = sourcing->view;
	Size		cells = (Size) placement->demand_count * Max(1, placement->candidate_count);

	sourcing->stock = MemoryContextAllocExtended(CurrentMemoryContext, cells * sizeof(RouteStock),
												 MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
	for (int demand = 0; demand < placement->demand_count; demand++)
	{
		CatalogItem *item = placement->demands[demand].item;
		int			low = 0;
		int			high = view->count;

		/* First row of the item: the view is sorted by item. */
		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (view->rows[middle].item_id < item->item_id)
				low = middle + 1;
			else
				high = middle;
		}
		for (; low < view->count && view->rows[low].item_id == item->item_id; low++)
		{
			RouteStock	stock = promisable(&view->rows[low]);

			if (position_of_row[low] < 0)
				continue;
			if (!placement->backorder || !item->backorder)
				stock.backorder = 0;
			*stock_of(placement, sourcing, demand, position_of_row[low]) = stock;
		}
	}
}

static void
add_part(Placement *placement, int demand, int candidate, int32 quantity, bool backordered)
{
	if (quantity > 0)
		placement->parts[placement->part_count++] = (RoutePart)
	{
		demand, candidate, quantity, backordered
	};
}

/*
 * Demands with a place of their own take from there first.  Another demand for
 * the same item sees what they leave.
 */
static void
serve_pinned(Placement *placement, Sourcing *sourcing)
{
	for (int i = 0; i < placement->demand_count; i++)
	{
		Demand	   *demand = &placement->demands[i];
		int			candidate = 0;
		RouteStock	taken;

		if (demand->pinned == NULL)
			continue;
		while (candidate < placement->candidate_count && placement->candidates[candidate] != demand->pinned)
			candidate++;
		if (candidate == placement->candidate_count)
			continue;
		taken = *stock_of(placement, sourcing, i, candidate);
		taken.free = Min(taken.free, placement->missing[i]);
		taken.backorder = Min(taken.backorder, placement->missing[i] - taken.free);
		add_part(placement, i, candidate, taken.free, false);
		add_part(placement, i, candidate, taken.backorder, true);
		placement->missing[i] -= taken.free + taken.backorder;
		for (int j = i + 1; j < placement->demand_count; j++)
			if (placement->demands[j].item == demand->item)
			{
				stock_of(placement, sourcing, j, candidate)->free -= taken.free;
				stock_of(placement, sourcing, j, candidate)->backorder -= taken.backorder;
			}
		for (int j = 0; j < i; j++)
			if (placement->demands[j].item == demand->item)
			{
				stock_of(placement, sourcing, j, candidate)->free -= taken.free;
				stock_of(placement, sourcing, j, candidate)->backorder -= taken.backorder;
			}
	}
}

/*
 * Weight of all units of each demand.  A line's attribute weight_grams, for
 * goods that are weighed, replaces the weight of its item.
 */
static int64 *
demand_weights(Placement *placement)
{
	int64	   *weights = palloc0(sizeof(int64) * Max(1, placement->demand_count));

	for (int i = 0; i < placement->line_count; i++)
	{
		PlacedLine *line = &placement->lines[i];
		Jsonb	   *attributes = line->document->attributes;
		JsonbValue	found;

		if (line->demand < 0)
			continue;
		if (attributes && getKeyJsonValueFromContainer(&attributes->root, "weight_grams", 12, &found) &&
			found.type == jbvNumeric)
			weights[line->demand] += Max(0, numeric_int4_opt_error(found.val.numeric, NULL));
		else
			weights[line->demand] += (int64) line->item->weight_grams * line->document->quantity;
	}
	return weights;
}

/* Routes by the channel's policy; false where the built-in rule must decide. */
static bool
serve_by_policy(Placement *placement, Sourcing *sourcing, const int *demand_of_line, int line_count)
{
	Size		cells = (Size) line_count * placement->candidate_count;
	RoutingLine *lines = palloc(sizeof(RoutingLine) * line_count);
	int32	   *units = MemoryContextAllocExtended(CurrentMemoryContext, sizeof(int32) * 2 * cells, MCXT_ALLOC_HUGE);
	int64	   *weights = demand_weights(placement);
	AddressDocument *address = placement->address;
	RoutingRequest request = {
		.channel = placement->channel,.service = placement->document->service,
		.channel_code = placement->channel->code,.external_ref = placement->document->external_ref,
		.customer = placement->document->customer ? placement->document->customer->ref : NULL,
		.customer_class = placement->document->customer ? placement->document->customer->class : NULL,
		.destination = {.latitude = NAN,.longitude = NAN},
		.ordered_at = oms_call->now,.requested_at = placement->document->requested_at,.capacity = placement->capacity,
		.line_count = line_count,.lines = lines,.location_count = placement->candidate_count,
		.locations = placement->candidates,.free = units,.backorder = units + cells
	};

	if (address)
		request.destination = (Destination) {address->country, address->postal_code, address->latitude,
		address->longitude};
	for (int i = 0; i < line_count; i++)
	{
		Demand	   *demand = &placement->demands[demand_of_line[i]];

		lines[i] = (RoutingLine) {demand->item->item_id, weights[demand_of_line[i]],
		demand->quantity, placement->backorder && demand->item->backorder, demand->item->sku};
	}
	for (Size i = 0; i < cells; i++)
	{
		units[i] = sourcing->stock[i].free;
		units[cells + i] = sourcing->stock[i].backorder;
	}
	placement->routing = oms_routing_plan(&request);
	if (placement->routing == NULL)
		return false;
	for (int i = 0; i < placement->routing->part_count; i++)
	{
		RoutingPart *part = &placement->routing->parts[i];

		add_part(placement, demand_of_line[part->line], part->location, part->quantity, part->backordered);
	}
	for (int i = 0; i < line_count; i++)
		placement->missing[demand_of_line[i]] = placement->routing->missing[i];
	return true;
}

/* Routes the demands that may be served from anywhere. */
static void
serve_free(Placement *placement, Sourcing *sourcing)
{
	int			count = placement->demand_count;
	int			candidates = placement->candidate_count;
	int		   *demand_of_line = palloc(sizeof(int) * Max(1, count));
	RouteLine  *lines = palloc(sizeof(RouteLine) * Max(1, count));
	RouteLocation *locations = palloc(sizeof(RouteLocation) * Max(1, candidates));
	RouteProblem problem = {.lines = lines,.locations = locations,.location_count = candidates};
	RoutePlan	plan = {0};

	for (int i = 0; i < count; i++)
	{
		Demand	   *demand = &placement->demands[i];

		if (demand->pinned != NULL)
			continue;
		/* Rows of the matrix close up over the pinned demands. */
		if (problem.line_count != i)
			memmove(stock_of(placement, sourcing, problem.line_count, 0), stock_of(placement, sourcing, i, 0),
					sizeof(RouteStock) * candidates);
		demand_of_line[problem.line_count] = i;
		lines[problem.line_count++] = (RouteLine) {demand->quantity, placement->backorder && demand->item->backorder, -1};
	}
	if (problem.line_count == 0)
		return;
	if (oms_routing_applies(placement->channel, candidates) &&
		serve_by_policy(placement, sourcing, demand_of_line, problem.line_count))
		return;
	for (int i = 0; i < candidates; i++)
	{
		Location   *location = placement->candidates[i];

		locations[i].id = location->location_id;
		locations[i].rank = location->rank;
		locations[i].distance = placement->address
			? oms_location_distance(location, placement->address->latitude, placement->address->longitude)
			: INFINITY;
	}
	problem.stock = sourcing->stock;
	plan.parts = palloc(sizeof(RoutePart) * sourcing->parts_max);
	plan.missing = palloc0(sizeof(int32) * problem.line_count);
	plan.order = palloc(sizeof(int) * Max(1, candidates));
	oms_route(&problem, &plan);
	for (int i = 0; i < plan.part_count; i++)
		add_part(placement, demand_of_line[plan.parts[i].line], plan.parts[i].location, plan.parts[i].quantity,
				 plan.parts[i].backordered);
	for (int i = 0; i < problem.line_count; i++)
		placement->missing[demand_of_line[i]] = plan.missing[i];
}

static void
refuse_shortage(Placement *placement)
{
	FaultList	faults;

	oms_faults_init(&faults);
	for (int i = 0; i < placement->demand_count; i++)
	{
		Demand	   *demand = &placement->demands[i];
		int			line = 0;

		if (placement->missing[i] == 0)
			continue;
		while (placement->lines[line].demand != i)
			line++;
		oms_fault(&faults, ERRCODE_OMS_INSUFFICIENT_STOCK, "oms.available shows what each location can promise.",
				  oms_document_place("lines", line, "sku"), "\"%s\"%s%s%s: wanted %d, available %d",
				  demand->item->sku, demand->pinned ? " at \"" : "", demand->pinned ? demand->pinned->code : "",
				  demand->pinned ? "\"" : "", demand->quantity, demand->quantity - placement->missing[i]);
	}
	oms_faults_raise(&faults, "not enough stock");
}

/* Whether any location at all may ship for the channel, stock or not. */
static void
refuse_no_location(Placement *placement)
{
	Configuration *configuration = oms_configuration();
	HASH_SEQ_STATUS scan;
	LocationById *entry;
	bool		found = false;

	hash_seq_init(&scan, configuration->locations_by_id);
	while ((entry = hash_seq_search(&scan)) != NULL)
		found |= is_candidate(placement, entry->location);
	if (!found)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_NO_LOCATION),
				 errmsg("no location can serve the order"),
				 errdetail("Channel \"%s\" has no active location that %s.", placement->channel->code,
						   placement->pickup ? "is the pickup point" : "ships"),
				 errhint("channel_locations links locations; active and ships switch them on.")));
}

/* Says why no plan was found. */
static void
refuse_plan(Placement *placement)
{
	if (placement->candidate_count == 0)
		refuse_no_location(placement);
	if (placement->candidate_count == 0 && placement->full_count > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_NO_LOCATION),
				 errmsg("no location has a day left for the order"),
				 errdetail("Every location that has units is full on all of its next %d days.", PROMISE_HORIZON_DAYS),
				 errhint("location_capacity shows the days; oms.load_location_capacity changes them.")));
	if (placement->routing && placement->routing->refusal)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_NO_LOCATION),
				 errmsg("no plan meets the rules of the routing policy"),
				 errdetail("%s", placement->routing->refusal),
				 errhint("Rules listed in \"relax\" of the policy give way.")));
	refuse_shortage(placement);
}

static int64
wanted_of(const Placement *placement, int64 item_id)
{
	int64		wanted = 0;

	for (int i = 0; i < placement->demand_count; i++)
		if (placement->demands[i].item->item_id == item_id)
			wanted += placement->demands[i].quantity;
	return wanted;
}

/* Whether a demand for the row's item may take from it. */
static bool
is_usable(const StockRow *row, void *state)
{
	const Placement *placement = state;
	Location   *location = oms_location_by_id(row->location_id);
	bool		wanted = false;

	for (int i = 0; i < placement->demand_count; i++)
		wanted |= placement->demands[i].item->item_id == row->item_id &&
			(placement->demands[i].pinned == NULL || placement->demands[i].pinned == location);
	return wanted && is_candidate(placement, location);
}

/* Reads the counters and plans; false where not every unit can be promised. */
static bool
plan_sources(Placement *placement)
{
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, placement->demand_count));
	Sourcing	sourcing = {0};
	int		   *position_of_row;
	int64		missing = 0;

	placement->part_count = 0;
	placement->routing = NULL;
	if (placement->demand_count == 0)
		return true;
	for (int i = 0; i < placement->demand_count; i++)
		item_ids[i] = placement->demands[i].item->item_id;
	sourcing.view = oms_quotas_view(placement->channel, placement->document->reservation_id, item_ids,
									placement->demand_count, &placement->quotas);
	if (placement->holds)
		oms_holds_credit(placement->holds, sourcing.view);
	oms_stock_view_take(sourcing.view, placement->taken, placement->taken_count);
	for (int i = 0; placement->quotas && i < placement->demand_count; i++)
		oms_quotas_trim(placement->quotas, sourcing.view, item_ids[i], wanted_of(placement, item_ids[i]), is_usable,
						placement);
	read_capacity(placement, sourcing.view);
	position_of_row = palloc(sizeof(int) * Max(1, sourcing.view->count));
	placement->candidate_count = collect_candidates(placement, sourcing.view, position_of_row);
	fill_matrix(placement, &sourcing, position_of_row);

	/* A part uses up a counter's units or completes a demand. */
	sourcing.parts_max = 2 * (sourcing.view->count + placement->demand_count) + 2;
	placement->parts = palloc(sizeof(RoutePart) * sourcing.parts_max);
	placement->missing = palloc(sizeof(int32) * placement->demand_count);
	for (int i = 0; i < placement->demand_count; i++)
		placement->missing[i] = placement->demands[i].quantity;
	serve_pinned(placement, &sourcing);
	serve_free(placement, &sourcing);
	for (int i = 0; i < placement->demand_count; i++)
		missing += placement->missing[i];
	return missing == 0;
}

static bool
has_backordered_part(const Placement *placement)
{
	for (int i = 0; i < placement->part_count; i++)
		if (placement->parts[i].backordered)
			return true;
	return false;
}

/*
 * Plans, with the units of the document's own reservation.  Where units on hand
 * do not suffice, those of expired holds are looked up and counted as free.
 */
static bool
find_sources(Placement *placement)
{
	int64		own = placement->document->reservation_id;
	int64	   *item_ids;
	bool		possible;

	placement->holds = own != 0 ? oms_holds_read(own, NULL, 0) : NULL;
	possible = plan_sources(placement);
	if ((possible && !has_backordered_part(placement)) || placement->demand_count == 0)
		return possible;
	item_ids = palloc(sizeof(int64) * placement->demand_count);
	for (int i = 0; i < placement->demand_count; i++)
		item_ids[i] = placement->demands[i].item->item_id;
	placement->holds = oms_holds_read(own, item_ids, placement->demand_count);
	return oms_holds_of_others(placement->holds) ? plan_sources(placement) : possible;
}

/* ---- From plan to promises ---- */

/* The fulfillment of a location; backordered units wait in one of their own. */
static int
fulfillment_index(Placement *placement, Location *location, bool backordered)
{
	int64		location_id = location ? location->location_id : 0;
	Fulfillment *row;

	for (int i = 0; i < placement->fulfillment_count; i++)
		if (placement->fulfillments[i].location_id == location_id &&
			placement->fulfillments[i].backordered == backordered)
			return i;
	row = &placement->fulfillments[placement->fulfillment_count];
	row->order_id = placement->order_id;
	row->location_id = location_id;
	row->delivery_no = Max(1, placement->delivery_no);
	row->backordered = backordered;
	return placement->fulfillment_count++;
}

/* fulfillment_id holds the index until ids are given out. */
static void
add_allocation(Placement *placement, PlacedLine *line, int fulfillment, int32 quantity)
{
	Allocation *row = &placement->allocations[placement->allocation_count++];

	memset(row, 0, sizeof(*row));
	row->order_id = placement->order_id;
	row->fulfillment_id = fulfillment;
	row->item_id = line->item->item_id;
	row->location_id = placement->fulfillments[fulfillment].location_id;
	row->line_no = line->line_no;
	row->promised = quantity;
	if (placement->fulfillments[fulfillment].backordered)
		line->backordered += quantity;
	else
		line->allocated += quantity;
}

/* Deals the parts of the plan out to the lines, in line order. */
static void
deal_parts(Placement *placement)
{
	int		   *first = palloc(sizeof(int) * Max(1, placement->demand_count));
	int		   *next = palloc(sizeof(int) * Max(1, placement->line_count));

	for (int i = 0; i < placement->demand_count; i++)
		first[i] = -1;
	for (int i = placement->line_count - 1; i >= 0; i--)
		if (placement->lines[i].demand >= 0)
		{
			next[i] = first[placement->lines[i].demand];
			first[placement->lines[i].demand] = i;
		}
	for (int i = 0; i < placement->part_count; i++)
	{
		RoutePart  *part = &placement->parts[i];
		int			fulfillment = fulfillment_index(placement, placement->candidates[part->location],
													part->backordered);
		int32		left = part->quantity;

		while (left > 0)
		{
			PlacedLine *line = &placement->lines[first[part->line]];
			int32		open = line->document->quantity - line->allocated - line->backordered;
			int32		take = Min(open, left);

			if (take > 0)
				add_allocation(placement, line, fulfillment, take);
			left -= take;
			if (take == open)
				first[part->line] = next[first[part->line]];
		}
	}
}

static int
compare_allocations(const void *left, const void *right)
{
	const Allocation *a = left;
	const Allocation *b = right;

	if (a->fulfillment_id != b->fulfillment_id)
		return a->fulfillment_id < b->fulfillment_id ? -1 : 1;
	return a->line_no < b->line_no ? -1 : a->line_no > b->line_no;
}

/* ---- Dates ---- */

/* The weight of what a location sends now, or later. */
static int64
parcel_weight(const Placement *placement, const int64 *demand_weights, int64 location_id, bool backordered)
{
	int64		weight = 0;

	for (int i = 0; i < placement->part_count; i++)
	{
		RoutePart  *part = &placement->parts[i];
		int64		whole = demand_weights[part->line];
		int32		quantity = placement->demands[part->line].quantity;

		if (part->backordered == backordered && placement->candidates[part->location]->location_id == location_id)
			weight += part->quantity == quantity ? whole : (whole + quantity - 1) / quantity * part->quantity;
	}
	return weight;
}

static int64
units_of(const Placement *placement, int64 location_id)
{
	int64		units = 0;

	for (int i = 0; i < placement->part_count; i++)
	{
		RoutePart  *part = &placement->parts[i];

		if (!part->backordered && placement->candidates[part->location]->location_id == location_id)
			units += part->quantity;
	}
	return units;
}

/*
 * When the supplies of its location complete a backordered fulfillment.  What was
 * promised there before comes first, so they must cover that as well.
 */
static TimestampTz
supplied_at(const Placement *placement, int fulfillment, const SupplyList *supplies, const StockView *view)
{
	int64		location_id = placement->fulfillments[fulfillment].location_id;
	TimestampTz at = DT_NOBEGIN;

	for (int i = 0; i < view->count; i++)
	{
		const StockRow *row = &view->rows[i];
		int64		needed = (int64) row->reserved + row->safety - row->on_hand;
		int64		wanted = 0;

		for (int j = 0; j < placement->allocation_count && row->location_id == location_id; j++)
		{
			const Allocation *promise = &placement->allocations[j];

			if (promise->item_id != row->item_id || promise->location_id != location_id)
				continue;
			needed += promise->promised;
			if (promise->fulfillment_id == fulfillment)
				wanted += promise->promised;
		}
		if (wanted > 0)
			at = Max(at, oms_supplies_cover(supplies, row->item_id, location_id, needed));
	}
	return at;
}

/* Dates the backordered fulfillments by the supplies that they wait for. */
static void
date_backorders(Placement *placement, DateRequest request, const int64 *weights)
{
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, placement->demand_count));
	SupplyList *supplies;
	StockView  *view;

	for (int i = 0; i < placement->demand_count; i++)
		item_ids[i] = placement->demands[i].item->item_id;
	supplies = oms_supplies_read(item_ids, placement->demand_count, DT_NOEND);
	if (supplies->count == 0)
		return;
	view = oms_stock_view(item_ids, placement->demand_count);
	if (placement->holds)
		oms_holds_credit(placement->holds, view);

	/* What arrives is made ready and sent like an order of that moment; its days are not full yet. */
	request.capacity = NULL;
	for (int i = 0; i < placement->fulfillment_count; i++)
	{
		Fulfillment *row = &placement->fulfillments[i];
		TimestampTz at = row->backordered ? supplied_at(placement, i, supplies, view) : DT_NOBEGIN;
		Location   *location = oms_location_by_id(row->location_id);

		if (TIMESTAMP_NOT_FINITE(at))
			continue;
		request.ordered_at = at;
		if (weights)
			oms_dates_of_parcel(&request, location, parcel_weight(placement, weights, row->location_id, true),
								oms_routing_service(placement->routing, row->location_id), &row->dates);
		if (!row->dates.ships || row->dates.ship_by < at)
		{
			row->dates.ships = true;
			row->dates.ship_by = at;
		}
	}
}

/*
 * Dates every fulfillment.  Backordered units have the date of the supply that
 * they wait for; without one nobody knows yet when they come.
 */
static void
date_promises(Placement *placement)
{
	AddressDocument *address = placement->address;
	DateRequest request = {
		.ordered_at = oms_call->now,.service = placement->document->service,.pickup = placement->pickup != NULL,
		.destination = {.latitude = NAN,.longitude = NAN}
	};
	int64	   *weights;

	request.capacity = placement->capacity;
	placement->promised_at = DT_NOBEGIN;
	if (!oms_dates_configured())
	{
		if (has_backordered_part(placement))
			date_backorders(placement, request, NULL);
		return;
	}
	if (address)
		request.destination = (Destination) {address->country, address->postal_code, address->latitude,
		address->longitude};
	weights = demand_weights(placement);
	for (int i = 0; i < placement->fulfillment_count; i++)
	{
		Fulfillment *row = &placement->fulfillments[i];

		if (row->location_id == 0 || row->backordered)
			continue;
		request.units = units_of(placement, row->location_id);
		oms_fulfillment_date(&request, parcel_weight(placement, weights, row->location_id, false),
							 oms_routing_service(placement->routing, row->location_id), row);
	}
	if (has_backordered_part(placement))
		date_backorders(placement, request, weights);
	for (int i = 0; i < placement->fulfillment_count; i++)
	{
		Fulfillment *row = &placement->fulfillments[i];

		if (row->location_id == 0)
			continue;
		if (!row->dates.arrives)
		{
			placement->promised_at = DT_NOBEGIN;
			return;
		}
		placement->promised_at = Max(placement->promised_at, row->dates.promised_at);
	}
}

/* Turns the plan into fulfillments and promises, and derives the status. */
static void
make_promises(Placement *placement)
{
	int			room = placement->part_count + placement->line_count;
	bool		backordered = false;

	placement->fulfillments = palloc0(sizeof(Fulfillment) * (placement->part_count + 1));
	placement->allocations = palloc(sizeof(Allocation) * room);
	placement->fulfillment_count = placement->allocation_count = 0;
	for (int i = 0; i < placement->line_count; i++)
		placement->lines[i].allocated = placement->lines[i].backordered = 0;
	deal_parts(placement);
	for (int i = 0; i < placement->line_count; i++)
		if (placement->lines[i].demand < 0)
			add_allocation(placement, &placement->lines[i], fulfillment_index(placement, NULL, false),
						   placement->lines[i].document->quantity);
	qsort(placement->allocations, placement->allocation_count, sizeof(Allocation), compare_allocations);
	for (int i = 0; i < placement->line_count; i++)
		backordered |= placement->lines[i].backordered > 0;
	placement->fulfillment_status = backordered ? "backordered" : "allocated";
	date_promises(placement);
}

/* The units that a plan takes, by counter. */
static int
rows_of_plan(const Placement *placement, StockRow *rows)
{
	for (int i = 0; i < placement->part_count; i++)
	{
		RoutePart  *part = &placement->parts[i];

		rows[i].item_id = placement->demands[part->line].item->item_id;
		rows[i].location_id = placement->candidates[part->location]->location_id;
		rows[i].reserved_delta = part->quantity;
		rows[i].firm = part->backordered ? 0 : part->quantity;
	}
	return placement->part_count;
}

/* The holds that groups use up, read once for all of them. */
static HoldList *
holds_of_groups(const Placement *placement)
{
	int64	   *items = palloc(sizeof(int64) * placement->line_count);
	bool		others = false;
	int			count = 0;

	for (int i = 0; i < placement->group_count; i++)
		others |= placement->groups[i]->holds != NULL && oms_holds_of_others(placement->groups[i]->holds);
	for (int i = 0; i < placement->line_count && others; i++)
		items[count++] = placement->lines[i].item->item_id;
	return oms_holds_read(placement->document->reservation_id, items, count);
}

/* Plans all deliveries of an order, each seeing what those before it take; false where one is not possible. */
static bool
plan_order(Placement *placement)
{
	StockRow   *taken;
	int			count = 0;
	int			room = 0;

	if (placement->group_count == 0)
		return find_sources(placement);
	placement->part_count = 0;
	placement->holds = NULL;
	taken = palloc(1);
	for (int i = 0; i < placement->group_count; i++)
	{
		Placement  *group = placement->groups[i];

		CHECK_FOR_INTERRUPTS();
		group->taken = taken;
		group->taken_count = count;
		if (!find_sources(group))
		{
			placement->failed = group;
			return false;
		}
		room = count + group->part_count;
		taken = repalloc(taken, sizeof(StockRow) * Max(1, room));
		memset(taken + count, 0, sizeof(StockRow) * group->part_count);
		count += rows_of_plan(group, taken + count);
		placement->part_count += group->part_count;
		if (group->holds)
			placement->holds = group->holds;
	}
	if (placement->holds)
		placement->holds = holds_of_groups(placement);
	return true;
}

/* Makes one order of the promises of its groups. */
static void
join_groups(Placement *placement)
{
	int			fulfillments = 0;
	int			allocations = 0;
	bool		backordered = false;

	for (int i = 0; i < placement->group_count; i++)
	{
		fulfillments += placement->groups[i]->fulfillment_count;
		allocations += placement->groups[i]->allocation_count;
	}
	placement->fulfillments = palloc(sizeof(Fulfillment) * Max(1, fulfillments));
	placement->allocations = palloc(sizeof(Allocation) * Max(1, allocations));
	placement->fulfillment_count = placement->allocation_count = 0;
	placement->promised_at = DT_NOEND;
	for (int i = 0; i < placement->group_count; i++)
	{
		Placement  *group = placement->groups[i];

		for (int j = 0; j < group->allocation_count; j++)
		{
			Allocation *row = &placement->allocations[placement->allocation_count++];

			*row = group->allocations[j];
			row->fulfillment_id += placement->fulfillment_count;
		}
		memcpy(placement->fulfillments + placement->fulfillment_count, group->fulfillments,
			   sizeof(Fulfillment) * group->fulfillment_count);
		placement->fulfillment_count += group->fulfillment_count;
		for (int j = 0; j < group->line_count; j++)
		{
			placement->lines[group->line_numbers[j]].allocated = group->lines[j].allocated;
			placement->lines[group->line_numbers[j]].backordered = group->lines[j].backordered;
			backordered |= group->lines[j].backordered > 0;
		}
		if (TIMESTAMP_NOT_FINITE(group->promised_at) || placement->promised_at == DT_NOBEGIN)
			placement->promised_at = DT_NOBEGIN;
		else if (placement->promised_at == DT_NOEND || placement->promised_at < group->promised_at)
			placement->promised_at = group->promised_at;
	}
	placement->fulfillment_status = backordered ? "backordered" : "allocated";
}

static void
promise_order(Placement *placement)
{
	if (placement->group_count == 0)
	{
		make_promises(placement);
		return;
	}
	for (int i = 0; i < placement->group_count; i++)
	{
		placement->groups[i]->order_id = placement->order_id;
		make_promises(placement->groups[i]);
	}
	join_groups(placement);
}

static void
refuse_order(Placement *placement)
{
	refuse_plan(placement->failed ? placement->failed : placement);
}

static void
record_routing(Placement *placement, int decision_no)
{
	if (placement->group_count == 0 && placement->routing)
		oms_routing_record(placement->routing, placement->order_id, decision_no);
	for (int i = 0; i < placement->group_count; i++)
		if (placement->groups[i]->routing)
			oms_routing_record(placement->groups[i]->routing, placement->order_id, decision_no + i);
}

/* The counters of the plan and of the holds it uses up, merged and in lock order. */
static StockRow *
counters_of_plan(Placement *placement, int *count)
{
	int			hold_count = placement->holds ? placement->holds->count : 0;
	StockRow   *rows = palloc0(sizeof(StockRow) * Max(1, placement->part_count + hold_count));

	if (placement->group_count == 0)
		(void) rows_of_plan(placement, rows);
	for (int i = 0, used = 0; i < placement->group_count; i++)
		used += rows_of_plan(placement->groups[i], rows + used);
	if (hold_count > 0)
		oms_holds_add_rows(placement->holds, rows + placement->part_count);
	*count = oms_stock_merge(rows, placement->part_count + hold_count);
	return rows;
}

/* Sums the units of each item: rows are sorted by item. */
static bool
take_quotas(Placement *placement, const StockRow *rows, int count)
{
	QuotaTake  *takes = palloc(sizeof(QuotaTake) * Max(1, count));
	int			kept = 0;

	for (int i = 0; i < count; i++)
	{
		if (kept == 0 || takes[kept - 1].item_id != rows[i].item_id)
			takes[kept++] = (QuotaTake) {rows[i].item_id, 0, 0};
		takes[kept - 1].firm += rows[i].firm;
		takes[kept - 1].total += rows[i].reserved_delta;
	}
	return oms_quotas_take(placement->channel, placement->holds, takes, kept, true);
}

/* Takes of the capacity of each day that something ships on; false where one is full. */
static bool
take_days(const Placement *placement)
{
	CapacityRow *rows = palloc(sizeof(CapacityRow) * Max(1, placement->fulfillment_count));
	int			count = 0;

	for (int i = 0; i < placement->fulfillment_count; i++)
	{
		Fulfillment *row = &placement->fulfillments[i];

		if (row->capacity_taken > 0)
			rows[count++] = (CapacityRow) {row->location_id, row->dates.ship_day, row->capacity_taken};
	}
	return oms_capacity_take(rows, count);
}

/* Locks the plan's counters and takes the units; false where they, or days to ship them, are gone. */
static bool
take_units(Placement *placement)
{
	int			count;
	StockRow   *rows;

	if (placement->holds)
		oms_holds_lock(placement->holds);
	rows = counters_of_plan(placement, &count);
	if (placement->group_count == 0)
		oms_quotas_keep(placement->quotas, rows, count);
	for (int i = 0; i < placement->group_count; i++)
		oms_quotas_keep(placement->groups[i]->quotas, rows, count);
	oms_stock_lock(rows, count);
	if (!take_quotas(placement, rows, count))
		return false;
	for (int i = 0; i < count; i++)
	{
		StockRow   *row = &rows[i];

		if (!row->found ||
			(row->firm > 0 && (int64) row->on_hand - row->reserved + row->held - row->safety - row->left < row->firm) ||
			(int64) row->on_hand + row->backorder_limit - row->reserved + row->held < row->reserved_delta)
			return false;
		row->reserved_delta -= row->held;
	}
	oms_stock_apply(rows, count);
	if (placement->holds)
		oms_holds_end(placement->holds, "convert", placement->order_id);
	return take_days(placement);
}

/*
 * Takes the units of the plan.  When counters have changed since they were
 * read, their locks go back and the plan is made anew from what is there now.
 */
static void
reserve(Placement *placement)
{
	for (int attempt_no = 0; attempt_no < PLAN_ATTEMPTS_MAX; attempt_no++)
	{
		OmsAttempt	attempt;

		CHECK_FOR_INTERRUPTS();
		if (placement->part_count == 0 && placement->holds == NULL)
			return;
		oms_attempt_begin(&attempt);
		if (take_units(placement))
		{
			oms_attempt_keep(&attempt);
			return;
		}
		oms_attempt_undo(&attempt);
		if (!plan_order(placement))
			refuse_order(placement);
		promise_order(placement);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OMS_CONCURRENT),
			 errmsg("the stock of this order keeps changing"),
			 errhint("Repeat the transaction.")));
}

/* ---- Writing ---- */

static Datum
jsonb_or_null(Jsonb *document, char *null)
{
	*null = document ? ' ' : 'n';
	return JsonbPGetDatum(document);
}

static Jsonb *
customer_document(const CustomerDocument *customer)
{
	DocWriter	writer;

	if (customer == NULL || !(customer->name || customer->email || customer->phone || customer->class))
		return NULL;
	oms_write_begin(&writer);
	oms_write_text(&writer, "name", customer->name);
	oms_write_text(&writer, "email", customer->email);
	oms_write_text(&writer, "phone", customer->phone);
	oms_write_text(&writer, "class", customer->class);
	return oms_write_finish(&writer);
}

/* The key stands first; the rest in the order of insert_order_plan. */
static OmsHeap order_heap = {
	.relation = "orders",
	.key_count = 3,
	.column_count = 24,
	.columns = {"tenant_id", "channel_id", "external_ref", "order_id", "placed_at", "document_hash", "status",
		"payment_status", "fulfillment_status", "currency", "item_total", "discount_total", "shipping_total",
	"fee_total", "tax_total", "total", "customer_ref", "customer", "bill_to", "attributes", "notes", "risk",
	"ordered_by", "valid_until"}
};

/* Writes the order's row; false where the reference exists already. */
static bool
insert_order(Placement *placement)
{
	OrderDocument *document = placement->document;
	Datum		values[24];
	char		nulls[25];

	memset(nulls, ' ', 24);
	nulls[24] = '\0';
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->channel->channel_id);
	values[2] = CStringGetTextDatum(document->external_ref);
	values[3] = Int64GetDatum(placement->order_id);
	values[4] = TimestampTzGetDatum(oms_call->now);
	values[5] = Int64GetDatum(placement->hash);
	values[6] = CStringGetTextDatum(placement->status);
	values[7] = CStringGetTextDatum(placement->payment_status);
	values[8] = CStringGetTextDatum(placement->fulfillment_status);
	values[9] = CStringGetTextDatum(placement->currency);
	values[10] = NumericGetDatum(placement->item_total);
	values[11] = NumericGetDatum(placement->discount_total);
	values[12] = NumericGetDatum(placement->shipping_total);
	values[13] = NumericGetDatum(placement->fee_total);
	values[14] = NumericGetDatum(placement->tax_total);
	values[15] = NumericGetDatum(placement->total);
	values[16] = oms_text_or_null(document->customer ? document->customer->ref : NULL, &nulls[16]);
	values[17] = jsonb_or_null(customer_document(document->customer), &nulls[17]);
	values[18] = jsonb_or_null(document->bill_to, &nulls[18]);
	values[19] = jsonb_or_null(document->attributes, &nulls[19]);
	values[20] = oms_text_or_null(document->notes, &nulls[20]);
	values[21] = jsonb_or_null(document->risk, &nulls[21]);
	values[22] = oms_text_or_null(document->ordered_by, &nulls[22]);
	values[23] = TimestampTzGetDatum(document->valid_until);
	nulls[23] = TIMESTAMP_NOT_FINITE(document->valid_until) ? 'n' : ' ';
	if (oms_heap_is_plain(&order_heap))
		return oms_heap_insert_new(&order_heap, values, nulls);
	return oms_execute(&insert_order_plan, values, nulls) == 1;
}

static OmsHeap line_heap = {
	.relation = "order_lines",
	.column_count = 14,
	.columns = {"order_id", "item_id", "tenant_id", "line_no", "delivery_no", "ordered", "allocated", "backordered",
	"unit_price", "amount", "name", "external_ref", "attributes", "location_id"}
};

/* The location that the document names for a line, 0 where it leaves that open. */
static int64
named_location(const PlacedLine *line)
{
	return line->document->location ? oms_location_find(line->document->location)->location_id : 0;
}

static Datum
text_datum(const char *text)
{
	return text ? CStringGetTextDatum(text) : (Datum) 0;
}

/* The delivery of a line; one that the order does not name is the first. */
static int32
delivery_of(const Placement *placement, const PlacedLine *line)
{
	return placement->document->deliveries.count > 0 ? line->document->delivery_no : 1;
}

static void
insert_lines_directly(Placement *placement)
{
	OmsHeapWork work;

	oms_heap_begin(&work, &line_heap, true);
	for (int i = 0; i < placement->line_count; i++)
	{
		PlacedLine *line = &placement->lines[i];
		LineDocument *document = line->document;
		int64		location_id = named_location(line);
		Datum		values[14] = {Int64GetDatum(placement->order_id), Int64GetDatum(line->item->item_id),
			Int32GetDatum(oms_call->tenant), Int32GetDatum(line->line_no),
			Int32GetDatum(delivery_of(placement, line)),
			Int32GetDatum(document->quantity), Int32GetDatum(line->allocated), Int32GetDatum(line->backordered),
			NumericGetDatum(line->unit_price), NumericGetDatum(line->amount), text_datum(document->name),
			text_datum(document->external_ref), JsonbPGetDatum(document->attributes), Int64GetDatum(location_id)};
		bool		nulls[14] = {[10] = document->name == NULL,[11] = document->external_ref == NULL,
		[12] = document->attributes == NULL,[13] = location_id == 0};

		CHECK_FOR_INTERRUPTS();
		oms_heap_insert(&work, values, nulls);
	}
	oms_heap_end(&work);
}

static void
insert_lines(Placement *placement)
{
	int			count = placement->line_count;
	int64	   *items = palloc(sizeof(int64) * count * 2);
	int32	   *numbers = palloc(sizeof(int32) * count * 5);
	Datum	   *prices = palloc(sizeof(Datum) * count);
	Datum	   *amounts = palloc(sizeof(Datum) * count);
	Datum	   *attributes = palloc(sizeof(Datum) * count);
	bool	   *no_nulls = palloc0(sizeof(bool) * count);
	bool	   *no_attributes = palloc(sizeof(bool) * count);
	char	  **names = palloc(sizeof(char *) * count);
	char	  **references = palloc(sizeof(char *) * count);
	Datum		values[14];

	if (oms_heap_is_plain(&line_heap))
	{
		insert_lines_directly(placement);
		return;
	}
	for (int i = 0; i < count; i++)
	{
		PlacedLine *line = &placement->lines[i];

		items[i] = line->item->item_id;
		items[count + i] = named_location(line);
		numbers[i] = line->line_no;
		numbers[count + i] = line->document->quantity;
		numbers[2 * count + i] = line->allocated;
		numbers[3 * count + i] = line->backordered;
		numbers[4 * count + i] = delivery_of(placement, line);
		prices[i] = NumericGetDatum(line->unit_price);
		amounts[i] = NumericGetDatum(line->amount);
		attributes[i] = JsonbPGetDatum(line->document->attributes);
		no_attributes[i] = line->document->attributes == NULL;
		names[i] = line->document->name;
		references[i] = line->document->external_ref;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->order_id);
	values[2] = oms_array_int64(items, count);
	for (int i = 0; i < 4; i++)
		values[3 + i] = oms_array_int32(numbers + i * count, count);
	values[7] = oms_array_datum(prices, no_nulls, count, NUMERICOID);
	values[8] = oms_array_datum(amounts, no_nulls, count, NUMERICOID);
	values[9] = oms_array_text(names, count);
	values[10] = oms_array_text(references, count);
	values[11] = oms_array_datum(attributes, no_attributes, count, JSONBOID);
	values[12] = oms_array_int64(items + count, count);
	values[13] = oms_array_int32(numbers + 4 * count, count);
	(void) oms_execute(&insert_lines_plan, values, NULL);
}

static OmsHeap delivery_heap = {
	.relation = "order_deliveries",
	.column_count = 9,
	.columns = {"tenant_id", "order_id", "pickup_location_id", "requested_at", "method", "service", "address",
	"delivery_no", "promised_at"}
};

static void
insert_delivery(Placement *placement)
{
	OrderDocument *document = placement->document;
	Datum		values[9];
	char		nulls[10] = "         ";

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->order_id);
	values[2] = Int64GetDatum(placement->pickup ? placement->pickup->location_id : 0);
	nulls[2] = placement->pickup ? ' ' : 'n';
	values[3] = TimestampTzGetDatum(document->requested_at);
	nulls[3] = TIMESTAMP_NOT_FINITE(document->requested_at) ? 'n' : ' ';
	values[4] = CStringGetTextDatum(document->method ? document->method : "ship");
	values[5] = oms_text_or_null(document->service, &nulls[5]);
	values[6] = jsonb_or_null(document->ship_to, &nulls[6]);
	values[7] = Int32GetDatum(Max(1, placement->delivery_no));
	values[8] = TimestampTzGetDatum(placement->promised_at);
	nulls[8] = TIMESTAMP_NOT_FINITE(placement->promised_at) ? 'n' : ' ';
	if (oms_heap_is_plain(&delivery_heap))
		oms_heap_insert_one(&delivery_heap, values, nulls);
	else
		(void) oms_execute(&insert_delivery_plan, values, nulls);
}

typedef struct AdjustmentRows
{
	int			count;
	int32	   *line_numbers;
	Datum	   *included;
	char	  **types;
	char	  **codes;
	Datum	   *amounts;
} AdjustmentRows;

static void
collect_adjustments(AdjustmentRows *rows, DocArray *adjustments, int32 line_no)
{
	for (int i = 0; i < adjustments->count; i++)
	{
		AdjustmentDocument *adjustment = (AdjustmentDocument *) adjustments->items + i;

		rows->line_numbers[rows->count] = line_no;
		rows->included[rows->count] = BoolGetDatum(adjustment->included == 1);
		rows->types[rows->count] = adjustment->type;
		rows->codes[rows->count] = adjustment->code;
		rows->amounts[rows->count++] = NumericGetDatum(signed_amount(adjustment));
	}
}

static void
insert_adjustments(Placement *placement)
{
	AdjustmentRows rows = {0};
	int			count = placement->document->adjustments.count;
	bool	   *no_nulls;
	Datum		values[7];

	for (int i = 0; i < placement->line_count; i++)
		count += placement->lines[i].document->adjustments.count;
	if (count == 0)
		return;
	rows.line_numbers = palloc(sizeof(int32) * count);
	rows.included = palloc(sizeof(Datum) * count);
	rows.types = palloc(sizeof(char *) * count);
	rows.codes = palloc(sizeof(char *) * count);
	rows.amounts = palloc(sizeof(Datum) * count);
	no_nulls = palloc0(sizeof(bool) * count);
	for (int i = 0; i < placement->line_count; i++)
		collect_adjustments(&rows, &placement->lines[i].document->adjustments, placement->lines[i].line_no);
	collect_adjustments(&rows, &placement->document->adjustments, 0);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->order_id);
	values[2] = oms_array_int32(rows.line_numbers, count);
	values[3] = oms_array_datum(rows.included, no_nulls, count, BOOLOID);
	values[4] = oms_array_text(rows.types, count);
	values[5] = oms_array_text(rows.codes, count);
	values[6] = oms_array_datum(rows.amounts, no_nulls, count, NUMERICOID);
	(void) oms_execute(&insert_adjustments_plan, values, NULL);
}

static void
insert_promises(Placement *placement)
{
	for (int i = 0; i < placement->fulfillment_count; i++)
		placement->fulfillments[i].fulfillment_id = oms_next_id(SEQUENCE_FULFILLMENT);
	for (int i = 0; i < placement->allocation_count; i++)
		placement->allocations[i].fulfillment_id =
			placement->fulfillments[placement->allocations[i].fulfillment_id].fulfillment_id;
	oms_fulfillments_insert(placement->fulfillments, placement->fulfillment_count);
	oms_allocations_insert(placement->allocations, placement->allocation_count);
}

static void
add_payments(Placement *placement)
{
	DocArray   *payments = &placement->document->payments;

	int64	   *accounts = palloc(sizeof(int64) * Max(1, payments->count));
	int			account_count = 0;

	placement->payment_ids = palloc(sizeof(int64) * Max(1, payments->count));
	for (int i = 0; i < payments->count; i++)
		if (((PaymentDocument *) payments->items + i)->account_id != 0)
			accounts[account_count++] = ((PaymentDocument *) payments->items + i)->account_id;
	oms_credit_lock(accounts, account_count);
	for (int i = 0; i < payments->count; i++)
		placement->payment_ids[i] = oms_payment_add(placement->order_id, (PaymentDocument *) payments->items + i,
													placement->currency, placement->total);
}

/* ---- The answer ---- */

static void
write_totals(DocWriter *writer, Placement *placement)
{
	oms_write_begin_object(writer, "totals");
	oms_write_numeric(writer, "items", placement->item_total);
	oms_write_numeric(writer, "discount", placement->discount_total);
	oms_write_numeric(writer, "shipping", placement->shipping_total);
	oms_write_numeric(writer, "fee", placement->fee_total);
	oms_write_numeric(writer, "tax", placement->tax_total);
	oms_write_numeric(writer, "total", placement->total);
	oms_write_end(writer);
}

static void
write_dates(DocWriter *writer, const ParcelDates *dates)
{
	oms_write_text(writer, "service", dates->service);
	if (dates->ships)
		oms_write_time(writer, "ship_by", dates->ship_by);
	if (!dates->arrives)
		return;
	oms_write_time(writer, "earliest_at", dates->earliest_at);
	oms_write_time(writer, "promised_at", dates->promised_at);
}

/* Promises are sorted by fulfillment, so each takes its run of them. */
static void
write_fulfillments(DocWriter *writer, Placement *placement)
{
	int			row = 0;

	oms_write_begin_array(writer, "fulfillments");
	for (int i = 0; i < placement->fulfillment_count; i++)
	{
		Fulfillment *fulfillment = &placement->fulfillments[i];
		int64		key = placement->order_id ? fulfillment->fulfillment_id : i;

		oms_write_begin_object(writer, NULL);
		if (placement->order_id)
			oms_write_int64(writer, "fulfillment_id", fulfillment->fulfillment_id);
		if (fulfillment->location_id)
			oms_write_text(writer, "location", oms_location_by_id(fulfillment->location_id)->code);
		if (placement->group_count > 0)
			oms_write_int64(writer, "delivery_no", fulfillment->delivery_no);
		if (fulfillment->backordered)
			oms_write_bool(writer, "backordered", true);
		write_dates(writer, &fulfillment->dates);
		oms_write_begin_array(writer, "lines");
		for (; row < placement->allocation_count && placement->allocations[row].fulfillment_id == key; row++)
		{
			oms_write_begin_object(writer, NULL);
			oms_write_int64(writer, "line_no", placement->allocations[row].line_no);
			oms_write_int64(writer, "quantity", placement->allocations[row].promised);
			oms_write_end(writer);
		}
		oms_write_end_array(writer);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}

static void
write_holds(DocWriter *writer, Placement *placement)
{
	ListCell   *cell;

	if (placement->order_holds == NIL)
		return;
	oms_write_begin_array(writer, "holds");
	foreach(cell, placement->order_holds)
	{
		PlacedHold *hold = lfirst(cell);

		oms_write_begin_object(writer, NULL);
		oms_write_int64(writer, "hold_id", hold->hold_id);
		oms_write_text(writer, "type", hold->type);
		oms_write_text(writer, "reason", hold->reason);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}

static Jsonb *
answer(Placement *placement)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	if (placement->order_id)
		oms_write_int64(&writer, "order_id", placement->order_id);
	oms_write_text(&writer, "channel", placement->channel->code);
	oms_write_text(&writer, "external_ref", placement->document->external_ref);
	oms_write_text(&writer, "status", placement->status);
	oms_write_text(&writer, "payment_status", placement->payment_status);
	oms_write_text(&writer, "fulfillment_status", placement->fulfillment_status);
	oms_write_text(&writer, "currency", placement->currency);
	write_totals(&writer, placement);
	if (!TIMESTAMP_NOT_FINITE(placement->promised_at))
		oms_write_time(&writer, "promised_at", placement->promised_at);
	if (!TIMESTAMP_NOT_FINITE(placement->document->valid_until))
		oms_write_time(&writer, "valid_until", placement->document->valid_until);
	if (placement->fulfillments)
		write_fulfillments(&writer, placement);
	if (placement->order_id && placement->document->payments.count > 0)
	{
		oms_write_begin_array(&writer, "payments");
		for (int i = 0; i < placement->document->payments.count; i++)
			oms_write_int64(&writer, NULL, placement->payment_ids[i]);
		oms_write_end_array(&writer);
	}
	write_holds(&writer, placement);
	return oms_write_finish(&writer);
}

/* ---- The calls ---- */

static Placement *
begin_placement(FunctionCallInfo fcinfo, FaultList *faults)
{
	Placement  *placement = palloc0(sizeof(Placement));

	oms_faults_init(faults);
	if (PG_ARGISNULL(0))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give an object with external_ref and lines.", "document", "is null");
	oms_faults_raise(faults, "order is not valid");
	placement->source = PG_GETARG_JSONB_P(0);
	placement->hash = DatumGetInt64(DirectFunctionCall2(jsonb_hash_extended, JsonbPGetDatum(placement->source),
														Int64GetDatum(0)));
	placement->document = oms_document_read(placement->source, &order_shape, faults);
	return placement;
}

static void
correct_status(Placement *placement)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(placement->order_id),
	CStringGetTextDatum(placement->fulfillment_status)};

	(void) oms_execute(&correct_status_plan, values, NULL);
}

/* An order that says nothing of its delivery, and of which nothing is promised, has no row. */
static void
write_delivery(Placement *placement)
{
	for (int i = 0; i < placement->group_count; i++)
		insert_delivery(placement->groups[i]);
	if (placement->group_count > 0)
		return;
	if (placement->document->ship_to || placement->document->method || placement->document->service ||
		!TIMESTAMP_NOT_FINITE(placement->document->requested_at) || !TIMESTAMP_NOT_FINITE(placement->promised_at))
		insert_delivery(placement);
}

static void
write_parts(Placement *placement)
{
	insert_lines(placement);
	write_delivery(placement);
	insert_adjustments(placement);
}

/* Writes a planned order; false where its reference was taken meanwhile. */
static bool
write_order(Placement *placement)
{
	const char *expected_status = placement->fulfillment_status;

	if (!insert_order(placement))
		return false;
	reserve(placement);
	if (strcmp(expected_status, placement->fulfillment_status) != 0)
		correct_status(placement);
	write_parts(placement);
	insert_promises(placement);
	record_routing(placement, 1);
	return true;
}

/* The step draft to placed; its event will hold the answer. */
static int
take_place_step(Placement *placement)
{
	StepObject	object = {.type = MACHINE_ORDER,.id = placement->order_id,.order_id = placement->order_id};

	placement->status = oms_machine_step(MACHINE_ORDER, oms_machine_initial(MACHINE_ORDER), "place", &object)->to_state;
	return oms_call->events->count - 1;
}

/* ---- Drafts ---- */

/* What a draft has in place of a plan. */
static void
describe_draft(Placement *placement)
{
	placement->status = oms_machine_initial(MACHINE_ORDER);
	placement->fulfillment_status = "unallocated";
	placement->promised_at = DT_NOBEGIN;
}

static void
read_time(TupleTableSlot *slot, void *state)
{
	bool		isnull;
	Datum		value = oms_slot_datum(slot, 1, &isnull);

	if (!isnull)
		*(TimestampTz *) state = DatumGetTimestampTz(value);
}

/* A draft that names no end has the one of its channel, which may have none. */
static void
set_validity(Placement *placement)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(placement->channel->channel_id),
	TimestampTzGetDatum(oms_call->now)};

	if (TIMESTAMP_NOT_FINITE(placement->document->valid_until))
		(void) oms_execute_each(&validity_plan, values, NULL, read_time, &placement->document->valid_until);
}

static Jsonb *
report_draft(Placement *placement, const char *type)
{
	Jsonb	   *result = answer(placement);
	bool		ends = !TIMESTAMP_NOT_FINITE(placement->document->valid_until);

	oms_deadline_set(placement->order_id, "draft", ends ? placement->document->valid_until : DT_NOEND);
	oms_event(&(Event) {.order_id = placement->order_id,.object_id = placement->order_id,.object_type = MACHINE_ORDER,
						.type = type,.to_state = placement->status,.data = result});
	return result;
}

/* Writes a draft; NULL where the reference was taken meanwhile. */
static Jsonb *
draft_order(Placement *placement)
{
	Datum		values[3];

	set_validity(placement);
	describe_draft(placement);
	if (!insert_order(placement))
		return NULL;
	write_parts(placement);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->order_id);
	values[2] = JsonbPGetDatum(placement->source);
	(void) oms_execute(&insert_draft_plan, values, NULL);
	return report_draft(placement, "order.drafted");
}

/* What follows once promises are written; the answer goes into the event, too. */
static Jsonb *
complete_placing(Placement *placement, int placed_event)
{
	Jsonb	   *result;

	add_payments(placement);
	if (placement->document->payments.count > 0)
	{
		oms_payment_capture(placement->order_id, "placing", true);
		/* Credit accounts have paid by now. */
		if (strcmp(placement->channel->capture, "placing") == 0)
			placement->payment_status = oms_order_read(placement->order_id)->payment_status;
	}
	if (placement->channel->has_timeouts)
		oms_deadlines_set(placement->order_id, placement->channel->channel_id,
						  strcmp(placement->payment_status, "unpaid") == 0,
						  strcmp(placement->fulfillment_status, "backordered") == 0);
	if (placement->channel->looks_for_holds)
		placement->order_holds = oms_hold_new_order(oms_order_read(placement->order_id),
													placement->risk ? placement->risk->decision : NULL);
	result = answer(placement);
	oms_event_set_data(placed_event, result);
	return result;
}

/* NULL where the reference was taken meanwhile. */
static Jsonb *
place_new_order(Placement *placement)
{
	int			placed_event;

	promise_order(placement);
	placed_event = take_place_step(placement);
	return write_order(placement) ? complete_placing(placement, placed_event) : NULL;
}

/*
 * oms.place_order(doc jsonb, idempotency_key text) -> jsonb
 */
OMS_FUNCTION(oms_place_order, CALL_KEYED)
{
	FaultList	faults;
	Placement  *placement = begin_placement(fcinfo, &faults);
	int			events = oms_call->events->count;
	Jsonb	   *result;
	bool		possible = false;

	if (faults.count == 0)
		read_document(placement, &faults);
	if (faults.count == 0)
		possible = is_draft(placement) || plan_order(placement);

	/* A document that was placed once is answered even if it could not be today. */
	if (!possible && (result = answer_of_existing(placement, faults.count > 0)) != NULL)
		PG_RETURN_JSONB_P(result);
	oms_faults_raise(&faults, "order is not valid");
	if (!possible)
		refuse_order(placement);
	placement->order_id = oms_next_id(SEQUENCE_ORDER);
	oms_hold_note(placement->order_id, 0);
	result = is_draft(placement) ? draft_order(placement) : place_new_order(placement);
	if (result == NULL)
	{
		oms_call->events->count = events;
		result = answer_of_existing(placement, false);
	}
	if (result == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_CONCURRENT),
				 errmsg("another transaction is placing the same order"),
				 errhint("Repeat the transaction.")));
	PG_RETURN_JSONB_P(result);
}

/*
 * oms.preview_order(doc jsonb) -> jsonb
 */
OMS_FUNCTION(oms_preview_order, CALL_READ)
{
	FaultList	faults;
	Placement  *placement = begin_placement(fcinfo, &faults);

	if (faults.count == 0)
		read_document(placement, &faults);
	oms_faults_raise(&faults, "order is not valid");
	if (is_draft(placement))
	{
		set_validity(placement);
		describe_draft(placement);
		PG_RETURN_JSONB_P(answer(placement));
	}
	if (!plan_order(placement))
		refuse_order(placement);
	promise_order(placement);
	placement->status = oms_machine_initial(MACHINE_ORDER);
	PG_RETURN_JSONB_P(answer(placement));
}

/* ---- Working with a draft ---- */

typedef struct Draft
{
	Order	   *order;
	Jsonb	   *document;		/* NULL: the order is no draft */
	TimestampTz valid_until;	/* DT_NOEND: forever */
} Draft;

static void
read_draft(TupleTableSlot *slot, void *state)
{
	Draft	   *draft = state;
	bool		isnull;
	Datum		value = oms_slot_datum(slot, 1, &isnull);

	draft->document = DatumGetJsonbPCopy(value);
	value = oms_slot_datum(slot, 2, &isnull);
	draft->valid_until = isnull ? DT_NOEND : DatumGetTimestampTz(value);
}

/* Locks an order and reads it as a draft; refuses what is none. */
static Draft
lock_draft(int64 order_id, const char *action)
{
	Draft		draft = {.order = oms_order_lock(order_id)};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	if (strcmp(draft.order->status, oms_machine_initial(MACHINE_ORDER)) == 0)
		(void) oms_execute_each(&draft_plan, values, NULL, read_draft, &draft);
	if (draft.document == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " is %s: %s is not allowed", order_id, draft.order->status, action),
				 errdetail("order_id: order " INT64_FORMAT " is no draft", order_id),
				 errhint("oms.place_order makes drafts from documents with draft.")));
	return draft;
}

typedef struct Quoted
{
	int			count;
	int			capacity;
	int32	   *line_numbers;
	Numeric    *prices;
} Quoted;

static void
collect_quoted(TupleTableSlot *slot, void *state)
{
	Quoted	   *quoted = state;

	if (quoted->count == quoted->capacity)
		return;
	quoted->line_numbers[quoted->count] = oms_slot_int32(slot, 1);
	quoted->prices[quoted->count++] = oms_slot_numeric(slot, 2);
}

/* Lines that name no price keep the one that was quoted, whatever the item costs today. */
static void
keep_quoted_prices(Placement *placement, int64 order_id)
{
	DocArray   *lines = &placement->document->lines;
	Quoted		quoted = {.capacity = OMS_LINES_PER_ORDER_MAX};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	quoted.line_numbers = palloc(sizeof(int32) * quoted.capacity);
	quoted.prices = palloc(sizeof(Numeric) * quoted.capacity);
	(void) oms_execute_each(&quoted_plan, values, NULL, collect_quoted, &quoted);
	for (int i = 0; i < lines->count; i++)
	{
		LineDocument *line = (LineDocument *) lines->items + i;
		int32		number = line->line_no == DOC_ABSENT ? i + 1 : line->line_no;
		int32	   *found = bsearch(&number, quoted.line_numbers, quoted.count, sizeof(int32), compare_line_numbers);

		if (line->unit_price == NULL && found != NULL)
			line->unit_price = quoted.prices[found - quoted.line_numbers];
	}
}

static Placement *
placement_of(Jsonb *document, FaultList *faults)
{
	Placement  *placement = palloc0(sizeof(Placement));

	oms_faults_init(faults);
	placement->source = document;
	placement->document = oms_document_read(document, &order_shape, faults);
	return placement;
}

/* What the plan gives each line, written to the lines that the draft has. */
static void
write_planned_lines(Placement *placement)
{
	OrderLines *lines = oms_order_lines(placement->order_id);

	for (int i = 0; i < placement->line_count; i++)
	{
		OrderLine  *line = oms_order_line(lines, placement->lines[i].line_no);

		if (line == NULL || line->ordered != placement->lines[i].document->quantity)
			elog(ERROR, "draft " INT64_FORMAT " differs from its lines", placement->order_id);
		line->delta.allocated = placement->lines[i].allocated;
		line->delta.backordered = placement->lines[i].backordered;
	}
	oms_order_lines_write(placement->order_id, lines);
}

static void
write_placed_draft(Placement *placement)
{
	Datum		values[6];

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->order_id);
	values[2] = CStringGetTextDatum(placement->status);
	values[3] = CStringGetTextDatum(oms_payment_status_of(placement->order_id, placement->total));
	values[4] = CStringGetTextDatum(placement->fulfillment_status);
	values[5] = TimestampTzGetDatum(oms_call->now);
	(void) oms_execute(&place_draft_plan, values, NULL);
	(void) oms_execute(&delete_draft_plan, values, NULL);
	oms_deadline_set(placement->order_id, "draft", DT_NOEND);
	placement->payment_status = TextDatumGetCString(values[3]);
	write_planned_lines(placement);

	/* Written again: now it has dates. */
	(void) oms_execute(&delete_deliveries_plan, values, NULL);
	write_delivery(placement);
	insert_promises(placement);
	record_routing(placement, 1);
}

/*
 * oms.place_draft(order_id bigint, idempotency_key text) -> jsonb
 *
 * The whole of placing against today's stock, at the prices of the draft.
 */
OMS_FUNCTION(oms_place_draft, CALL_KEYED)
{
	Draft		draft = lock_draft(oms_argument_id(fcinfo, 0, "order_id"), "place");
	FaultList	faults;
	Placement  *placement;
	int			placed_event;

	if (draft.valid_until <= oms_call->now)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("draft " INT64_FORMAT " is no longer valid", draft.order->order_id),
				 errdetail("order_id: it was valid until %s", timestamptz_to_str(draft.valid_until)),
				 errhint("oms.edit_draft with a new valid_until and prices makes a new quote of it.")));
	placement = placement_of(draft.document, &faults);
	if (faults.count == 0)
	{
		keep_quoted_prices(placement, draft.order->order_id);
		read_document(placement, &faults);
	}
	oms_faults_raise(&faults, "draft is not valid");
	placement->order_id = draft.order->order_id;
	placement->document->valid_until = DT_NOBEGIN;
	if (!plan_order(placement))
		refuse_order(placement);
	promise_order(placement);
	placed_event = take_place_step(placement);
	reserve(placement);
	write_placed_draft(placement);
	PG_RETURN_JSONB_P(complete_placing(placement, placed_event));
}

/* Writes the header of a changed draft. */
static void
update_draft(Placement *placement)
{
	OrderDocument *document = placement->document;
	Datum		values[18];
	char		nulls[19] = "                  ";

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(placement->order_id);
	values[2] = CStringGetTextDatum(oms_payment_status_of(placement->order_id, placement->total));
	values[3] = CStringGetTextDatum(placement->currency);
	values[4] = NumericGetDatum(placement->item_total);
	values[5] = NumericGetDatum(placement->discount_total);
	values[6] = NumericGetDatum(placement->shipping_total);
	values[7] = NumericGetDatum(placement->fee_total);
	values[8] = NumericGetDatum(placement->tax_total);
	values[9] = NumericGetDatum(placement->total);
	values[10] = oms_text_or_null(document->customer ? document->customer->ref : NULL, &nulls[10]);
	values[11] = jsonb_or_null(customer_document(document->customer), &nulls[11]);
	values[12] = jsonb_or_null(document->bill_to, &nulls[12]);
	values[13] = jsonb_or_null(document->attributes, &nulls[13]);
	values[14] = oms_text_or_null(document->notes, &nulls[14]);
	values[15] = jsonb_or_null(document->risk, &nulls[15]);
	values[16] = oms_text_or_null(document->ordered_by, &nulls[16]);
	values[17] = TimestampTzGetDatum(document->valid_until);
	nulls[17] = TIMESTAMP_NOT_FINITE(document->valid_until) ? 'n' : ' ';
	(void) oms_execute(&update_draft_plan, values, nulls);
	(void) oms_execute(&delete_lines_plan, values, NULL);
	(void) oms_execute(&delete_deliveries_plan, values, NULL);
	(void) oms_execute(&delete_adjustments_plan, values, NULL);
	values[2] = JsonbPGetDatum(placement->source);
	(void) oms_execute(&replace_draft_plan, values, NULL);
	placement->payment_status = oms_payment_status_of(placement->order_id, placement->total);
}

/* The document of a draft with the changed fields; the order's key stays. */
static Placement *
changed_draft(const Draft *draft, Jsonb *changes, FaultList *faults)
{
	Datum		document = DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(draft->document), JsonbPGetDatum(changes));
	Placement  *placement = placement_of(DatumGetJsonbP(document), faults);
	OrderDocument *changed = placement->document;
	const char *code = changed->channel ? changed->channel : "default";

	if (faults->count > 0)
		return placement;
	if (strcmp(code, draft->order->channel->code) != 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Cancel the draft and make another one.", "channel",
				  "a draft stays in its channel, which is \"%s\"", draft->order->channel->code);
	if (strcmp(changed->external_ref, draft->order->external_ref) != 0)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Cancel the draft and make another one.", "external_ref",
				  "a draft keeps its reference, which is \"%s\"", draft->order->external_ref);
	if (changed->draft != 1)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "oms.place_draft places it.", "draft", "must stay true");
	return placement;
}

/*
 * oms.edit_draft(order_id bigint, changes jsonb, idempotency_key text) -> jsonb
 *
 * Fields of the document are replaced by those of the changes, null removes
 * one.  Lines without a price are priced anew.
 */
OMS_FUNCTION(oms_edit_draft, CALL_KEYED)
{
	Draft		draft = lock_draft(oms_argument_id(fcinfo, 0, "order_id"), "edit");
	FaultList	faults;
	Placement  *placement;

	oms_faults_init(&faults);
	if (PG_ARGISNULL(1) || !JB_ROOT_IS_OBJECT(PG_GETARG_JSONB_P(1)))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give the fields of the document that change.", "changes",
				  PG_ARGISNULL(1) ? "is null" : "must be an object");
	oms_faults_raise(&faults, "changes are not valid");
	oms_hold_check(draft.order->order_id, "order.edit", 0, NULL, 0);
	placement = changed_draft(&draft, PG_GETARG_JSONB_P(1), &faults);
	if (faults.count == 0)
		read_document(placement, &faults);
	oms_faults_raise(&faults, "draft is not valid");
	placement->order_id = draft.order->order_id;
	set_validity(placement);
	describe_draft(placement);
	update_draft(placement);
	write_parts(placement);
	PG_RETURN_JSONB_P(report_draft(placement, "order.draft_edited"));
}

/* ---- Adding to a placed order ---- */

void
oms_order_check_address(Jsonb *address, const char *place, FaultList *faults)
{
	(void) oms_document_read_field(address, &address_shape, place, faults);
}

/* Notes what is wrong with the parts that an edit replaces. */
void
oms_order_check_parts(Jsonb *ship_to, Jsonb *bill_to, Jsonb *customer, FaultList *faults)
{
	if (ship_to)
		(void) oms_document_read_field(ship_to, &address_shape, "ship_to", faults);
	if (bill_to)
		(void) oms_document_read_field(bill_to, &address_shape, "bill_to", faults);
	if (customer)
		(void) oms_document_read_field(customer, &customer_shape, "customer", faults);
}

/* Writes the new lines, and to those that were there what they got. */
static void
write_added_lines(Placement *placement)
{
	OrderLines *lines = oms_order_lines(placement->order_id);
	Placement	added = *placement;

	added.lines = palloc(sizeof(PlacedLine) * placement->line_count);
	added.line_count = 0;
	for (int i = 0; i < placement->line_count; i++)
	{
		OrderLine  *line = oms_order_line(lines, placement->lines[i].line_no);

		if (line == NULL)
		{
			added.lines[added.line_count++] = placement->lines[i];
			continue;
		}
		line->delta.allocated = placement->lines[i].allocated;
		line->delta.backordered = placement->lines[i].backordered;
	}
	oms_order_lines_write(placement->order_id, lines);
	if (added.line_count > 0)
	{
		insert_lines(&added);
		insert_adjustments(&added);
	}
}

static OmsPlan next_decision_plan = {
	.sql = "SELECT coalesce(max(decision_no), 0) + 1 FROM {routing_decisions} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static void
read_decision_no(TupleTableSlot *slot, void *state)
{
	*(int *) state = oms_slot_int32(slot, 1);
}

void
oms_order_add(Order *order, Jsonb *document)
{
	FaultList	faults;
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order->order_id)};
	int			decision_no = 1;
	Placement  *placement = placement_of(document, &faults);

	placement->partial = true;
	if (faults.count == 0)
		read_document(placement, &faults);
	oms_faults_raise(&faults, "changes are not valid");
	placement->order_id = order->order_id;
	if (!plan_order(placement))
		refuse_order(placement);
	promise_order(placement);
	reserve(placement);
	write_added_lines(placement);
	insert_promises(placement);
	(void) oms_execute_each(&next_decision_plan, values, NULL, read_decision_no, &decision_no);
	record_routing(placement, decision_no);
}
