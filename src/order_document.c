/*
 * order_document.c
 *	  The document of an order: its shapes, what its codes mean, its lines as
 *	  demands, and its totals to the cent.
 *
 * All faults of a document are noted before any is raised.
 */
#include "oms.h"

#include "miscadmin.h"

#include "call.h"
#include "divided_line.h"
#include "kit.h"
#include "lot_promise.h"
#include "money.h"
#include "order_place.h"
#include "order_placement.h"
#include "order_share.h"
#include "payment.h"
#include "postal_code.h"

/* ---- Shapes ---- */

static const char *const adjustment_types[] = {"discount", "tax", "shipping", "fee", NULL};
const char *const oms_delivery_methods[] = {"ship", "pickup", NULL};

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
	{"lot", DOC_CODE, offsetof(LineDocument, lot)},
	{"together", DOC_CODE, offsetof(LineDocument, together)},
	{"substitution", DOC_BOOL, offsetof(LineDocument, substitution)},
	{"attributes", DOC_OBJECT, offsetof(LineDocument, attributes)},
	{"adjustments", DOC_ARRAY, offsetof(LineDocument, adjustments), .most = 100,.shape = &adjustment_shape},
	{"deliveries", DOC_ARRAY, offsetof(LineDocument, deliveries), .least = 1,.most = OMS_DELIVERIES_PER_ORDER_MAX,
	.shape = &oms_line_part_shape},
};

const DocShape oms_order_line_shape = DOC_SHAPE_OF(LineDocument, line_fields, "an order line");

static const DocField delivery_fields[] = {
	{"delivery_no", DOC_INT, offsetof(DeliveryDocument, delivery_no), .required = true,.least = 1,.most = PG_INT32_MAX},
	{"method", DOC_TEXT, offsetof(DeliveryDocument, method), .choices = oms_delivery_methods},
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
	{"method", DOC_TEXT, offsetof(OrderDocument, method), .choices = oms_delivery_methods},
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
	{"ship_complete", DOC_BOOL, offsetof(OrderDocument, ship_complete)},
	{"notes", DOC_TEXT, offsetof(OrderDocument, notes)},
	{"attributes", DOC_OBJECT, offsetof(OrderDocument, attributes)},
	{"risk", DOC_OBJECT, offsetof(OrderDocument, risk)},
	{"ordered_by", DOC_CODE, offsetof(OrderDocument, ordered_by)},
	{"priority", DOC_INT, offsetof(OrderDocument, priority), .least = -OMS_PRIORITY_MAX,.most = OMS_PRIORITY_MAX},
	{"draft", DOC_BOOL, offsetof(OrderDocument, draft)},
	{"valid_until", DOC_TIME, offsetof(OrderDocument, valid_until)},
};

static const DocShape order_shape = DOC_SHAPE_OF(OrderDocument, order_fields, "an order");

/* ---- Reading ---- */

static void
fault_unknown(FaultList *faults, const char *place, const char *what, const char *code, const char *hint)
{
	oms_fault(faults, ERRCODE_OMS_UNKNOWN, hint, place, "%s \"%s\" is not known", what, code);
}

/*
 * The place of a field of a line in the document that the caller wrote: the new
 * lines of an edit stand behind those that get more units.
 */
char *
oms_placement_place(const Placement *placement, int position, const char *field)
{
	int			before = placement->document->lines.count - placement->added;

	if (placement->added == 0 || position < before)
		return oms_document_place("lines", position, field);
	return oms_document_place("add", position - before, field);
}

/* The same of a line, which may be one of a group's. */
static const char *
line_place(const Placement *placement, int index, const char *field)
{
	return oms_placement_place(placement, placement->lines[index].position, field);
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

/* Resolves channel and pickup point, and what follows from them. */
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
	placement->ship_complete = document->ship_complete == 1 ||
		(document->ship_complete != 0 && placement->channel->ship_complete);
	placement->priority = document->priority != DOC_ABSENT ? document->priority
		: oms_channel_priority(placement->channel, document->customer ? document->customer->class : NULL);
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
	if (location == NULL && placement->lines[index].divided_from == 0)
		fault_unknown(faults, line_place(placement, index, "location"), "location", document->location,
					  "oms.upsert_locations adds a location.");
	else if (location && !oms_location_serves(location, placement->channel, placement->pickup ? PURPOSE_PICKUP : PURPOSE_SHIP))
		oms_fault(faults, ERRCODE_OMS_NO_LOCATION, "Link it in channel_locations or leave the location out.",
				  line_place(placement, index, "location"),
				  "channel \"%s\" may not use location \"%s\"", placement->channel->code, document->location);
	return location;
}

static bool
is_same_lot(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* Adds a line's units to the demand for its item at its place. */
static void
add_demand(Placement *placement, int index, Location *pinned, FaultList *faults)
{
	PlacedLine *line = &placement->lines[index];
	PlacedKit  *together = line->kit && line->kit->together && pinned == NULL ? line->kit : NULL;
	const char *lot = line->document->lot;
	int64		sum;

	line->demand = -1;
	if (line->item->kind != ITEM_STOCKED)
		return;
	for (int i = 0; i < placement->demand_count; i++)
		if (placement->demands[i].item->item_id == line->item->item_id && placement->demands[i].pinned == pinned &&
			placement->demands[i].together == together && is_same_lot(placement->demands[i].lot, lot))
			line->demand = i;
	if (line->demand < 0)
	{
		line->demand = placement->demand_count++;
		placement->demands[line->demand] = (Demand) {.item = line->item,.pinned = pinned,.together = together,.lot = lot};
	}
	placement->demands[line->demand].whole |= line->kit != NULL || lot != NULL;
	sum = (int64) placement->demands[line->demand].quantity + line->document->quantity;
	if (sum > OMS_QUANTITY_MAX)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Place the units in several orders.",
				  line_place(placement, index, "quantity"),
				  "the order has " INT64_FORMAT " units of \"%s\", at most %d are allowed", sum, line->item->sku,
				  OMS_QUANTITY_MAX);
	else
		placement->demands[line->demand].quantity = (int32) sum;
}

/* Demands of two lines come from one place, and so do those that come from one with either. */
static void
keep_company(Placement *placement, int line, int other)
{
	int32		from = placement->demands[placement->lines[line].demand].company;
	int32		to = placement->demands[placement->lines[other].demand].company;

	for (int i = 0; i < placement->demand_count; i++)
		if (placement->demands[i].company == from)
			placement->demands[i].company = to;
}

/* A place that one of them names is that of all; where two name others there is none. */
static void
pin_company(Placement *placement, FaultList *faults)
{
	for (int i = 0; i < placement->line_count; i++)
	{
		Demand	   *demand = placement->lines[i].demand < 0 ? NULL : &placement->demands[placement->lines[i].demand];

		for (int j = 0; demand && demand->company > 0 && j < placement->demand_count; j++)
		{
			Location   *pinned = placement->demands[j].pinned;

			if (placement->demands[j].company != demand->company || pinned == NULL)
				continue;
			if (demand->pinned && demand->pinned != pinned)
				oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Name one location, or none.", line_place(placement, i, "location"),
						  "lines that stay together come from \"%s\" and \"%s\"", demand->pinned->code, pinned->code);
			demand->pinned = pinned;
		}
	}
}

/* Lines with the same mark stay together. */
static void
join_lines(Placement *placement, FaultList *faults)
{
	bool		any = false;

	for (int i = 0; i < placement->line_count; i++)
	{
		PlacedLine *line = &placement->lines[i];
		int			first = 0;

		if (line->document->together == NULL || line->demand < 0)
			continue;
		any = true;
		if (line->document->lot && placement->demands[line->demand].pinned == NULL)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give the location that has the lot, too: it is that of all.",
					  line_place(placement, i, "together"), "needs a location on a line that asks for a lot");
		if (placement->demands[line->demand].company == 0)
			placement->demands[line->demand].company = line->demand + 1;
		while (placement->lines[first].document->together == NULL || placement->lines[first].demand < 0 ||
			   strcmp(placement->lines[first].document->together, line->document->together) != 0)
			first++;
		CHECK_FOR_INTERRUPTS();
		if (first < i)
			keep_company(placement, i, first);
	}
	if (any)
		pin_company(placement, faults);
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
					  line_place(placement, index, "unit_price"), "is required in an order in %s",
					  placement->currency);
	}
	line->amount = oms_money_round(oms_money_multiply(line->unit_price, line->document->quantity),
								   placement->digits);
}

int
oms_line_number_compare(const void *left, const void *right)
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
	qsort(numbers, placement->line_count, sizeof(int32), oms_line_number_compare);
	for (int i = 1; i < placement->line_count; i++)
		if (numbers[i] == numbers[i - 1])
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each line has a number of its own.", "lines",
					  "line_no %d stands there twice", numbers[i]);
}

/* The number after those of all lines; a fault where more of them do not fit behind it. */
int32
oms_placement_next_line_no(const Placement *placement, int more, FaultList *faults)
{
	int32		last = 0;

	for (int i = 0; i < placement->line_count; i++)
		last = Max(last, placement->lines[i].line_no);
	if (more > PG_INT32_MAX - last)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Number the lines lower.", "lines",
				  "%d more numbers are needed after %d, and the last is %d", more, last, PG_INT32_MAX);
	return last + 1;
}

/* The demands of an order without deliveries; those of the others are their groups'. */
static void
add_demands(Placement *placement, FaultList *faults)
{
	placement->demands = palloc0(sizeof(Demand) * placement->line_count);
	placement->demand_count = 0;
	for (int i = 0; placement->document->deliveries.count == 0 && i < placement->line_count; i++)
		if (placement->lines[i].item)
			add_demand(placement, i, pinned_location(placement, i, faults), faults);
	if (placement->demand_count > 0)
		join_lines(placement, faults);
}

/* What the attribute weight_grams of a line says, rounded to whole grams; false where it says nothing of use. */
bool
oms_line_weight(const Jsonb *attributes, int64 *grams)
{
	JsonbValue	found;
	bool		overflows = false;

	if (attributes == NULL ||
		getKeyJsonValueFromContainer(&((Jsonb *) attributes)->root, "weight_grams", 12, &found) == NULL || found.type != jbvNumeric)
		return false;
	*grams = numeric_int4_opt_error(found.val.numeric, &overflows);
	return !overflows && *grams >= 0 && *grams <= OMS_QUANTITY_MAX;
}

/* Routing counts on the attribute, so what cannot be a weight is a fault and no other attribute is looked at. */
void
oms_line_weight_check(const Jsonb *attributes, const char *array, int index, FaultList *faults)
{
	JsonbValue	found;
	int64		grams;

	if (attributes == NULL || oms_line_weight(attributes, &grams) ||
		getKeyJsonValueFromContainer(&((Jsonb *) attributes)->root, "weight_grams", 12, &found) == NULL || found.type == jbvNull)
		return;
	oms_fault(faults, ERRCODE_OMS_DOCUMENT, "It is the weight of all units of the line, in place of that of their item.",
			  oms_document_place(array, index, "attributes.weight_grams"), "must be a number between 0 and %d", OMS_QUANTITY_MAX);
}

static void
resolve_lines(Placement *placement, FaultList *faults)
{
	DocArray   *array = &placement->document->lines;
	char	  **skus = palloc0(sizeof(char *) * array->count);
	ItemSet    *items;

	placement->line_count = array->count;
	placement->lines = palloc0(sizeof(PlacedLine) * array->count);
	for (int i = 0; i < array->count; i++)
	{
		placement->lines[i].document = (LineDocument *) array->items + i;
		skus[i] = placement->lines[i].document->sku;
	}
	items = placement->items ? placement->items : oms_items_read(skus, array->count);
	number_lines(placement, faults);
	oms_document_duplicates(array, &oms_order_line_shape, offsetof(LineDocument, external_ref), "lines", "external_ref", faults);
	for (int i = 0; i < array->count; i++)
	{
		PlacedLine *line = &placement->lines[i];

		CHECK_FOR_INTERRUPTS();
		if (line->document->attributes)
			oms_line_weight_check(line->document->attributes, "lines", i, faults);
		line->item = oms_items_find(items, skus[i]);
		if (line->item == NULL)
			fault_unknown(faults, oms_placement_place(placement, i, "sku"), "SKU", skus[i],
						  "oms.upsert_items adds an item.");
		else if (!line->item->active)
			oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_items switches an item on again.",
					  oms_placement_place(placement, i, "sku"), "SKU \"%s\" is no longer sold", skus[i]);
		if (line->item == NULL || placement->channel == NULL || placement->digits < 0)
			continue;
		line->demand = -1;
		line->position = i;
		if (line->item && line->item->kind == ITEM_KIT && line->document->together)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Items of kind kit have ship_together.",
					  oms_placement_place(placement, i, "together"), "is given for a kit");
		price_line(placement, i, faults);
	}
	if (placement->channel == NULL || placement->digits < 0)
		return;
	oms_lines_divide(placement, faults);
	oms_lot_promises_check(placement, faults);
	oms_kits_expand(placement, faults);
	add_demands(placement, faults);
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
Numeric
oms_adjustment_signed_amount(const AdjustmentDocument *adjustment)
{
	if (strcmp(adjustment->type, "discount") == 0 &&
		oms_money_compare(adjustment->amount, oms_money_zero()) > 0)
		return oms_money_subtract(oms_money_zero(), adjustment->amount);
	return adjustment->amount;
}

/* Spreads what was adjusted on a line over the lines that take its place, by shares of its price. */
void
oms_adjustments_spread(const LineDocument *source, LineDocument **parts, int count, const int64 *shares, int digits)
{
	int			capacity = source->adjustments.count;
	int64	   *amounts = palloc(sizeof(int64) * count);
	int64	   *weights = palloc(sizeof(int64) * count);
	int64		sum = 0;

	for (int i = 0; i < count; i++)
	{
		parts[i]->adjustments = (DocArray) {.count = 0,.present = source->adjustments.present,
			.items = palloc(sizeof(AdjustmentDocument) * Max(1, capacity))};
		sum += weights[i] = shares[i];
	}
	for (int i = 0; sum == 0 && i < count; i++)
		weights[i] = 1;
	for (int j = 0; j < capacity; j++)
	{
		AdjustmentDocument *whole = (AdjustmentDocument *) source->adjustments.items + j;
		bool		divides = whole->amount && oms_money_is_rounded(whole->amount, digits);

		if (divides)
			order_share_spread(oms_money_units(whole->amount, digits), weights, count, amounts);
		for (int i = 0; i < (divides ? count : 1); i++)
		{
			AdjustmentDocument *part = (AdjustmentDocument *) parts[i]->adjustments.items + parts[i]->adjustments.count;

			if (divides && amounts[i] == 0)
				continue;
			*part = *whole;
			if (divides)
				part->amount = oms_money_of_units(amounts[i], digits);
			parts[i]->adjustments.count++;
		}
	}
}

static void
add_adjustments(DocArray *adjustments, Placement *placement)
{
	for (int i = 0; i < adjustments->count; i++)
	{
		AdjustmentDocument *adjustment = (AdjustmentDocument *) adjustments->items + i;
		Numeric		amount = oms_adjustment_signed_amount(adjustment);

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
	LineDocument *lines = (LineDocument *) document->lines.items;
	int			before = faults->count;
	Numeric		zero = oms_money_zero();

	check_adjustments(&document->adjustments, "adjustments", placement, faults);
	for (int i = 0; i < document->lines.count; i++)
		if (lines[i].adjustments.count > 0)
			check_adjustments(&lines[i].adjustments, oms_placement_place(placement, i, "adjustments"), placement, faults);
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

bool
oms_placement_is_draft(const Placement *placement)
{
	return placement->document->draft == 1;
}

/* A draft promises nothing and moves no money. */
static void
check_draft(Placement *placement, FaultList *faults)
{
	OrderDocument *document = placement->document;
	bool		ends = !TIMESTAMP_NOT_FINITE(document->valid_until);

	if (ends && !oms_placement_is_draft(placement))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Only drafts end by themselves: set draft.", "valid_until", "is for drafts");
	if (!oms_placement_is_draft(placement))
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

/* Notes that units go to a delivery; false where the order has none of that number. */
static bool
use_delivery(const OrderDocument *document, int32 number, bool *used)
{
	bool		known = false;

	for (int i = 0; i < document->deliveries.count; i++)
		if (((DeliveryDocument *) document->deliveries.items + i)->delivery_no == number)
			known = used[i] = true;
	return known;
}

/* The deliveries that a divided line goes to. */
static void
use_deliveries(const Placement *placement, int index, bool *used, FaultList *faults)
{
	const LineDocument *line = (LineDocument *) placement->document->lines.items + index;
	const LinePart *parts = (LinePart *) line->deliveries.items;
	const char *place = oms_placement_place(placement, index, "deliveries");

	oms_line_parts_check(&line->deliveries, line->quantity, line->delivery_no, place, faults);
	for (int i = 0; i < line->deliveries.count; i++)
		if (!use_delivery(placement->document, parts[i].delivery_no, used))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Lines name one of the deliveries.",
					  psprintf("%s[%d].delivery_no", place, i), "there is no delivery %d", parts[i].delivery_no);
}

/* Which deliveries the lines go to, and what is wrong with that. */
static void
check_deliveries(Placement *placement, FaultList *faults)
{
	OrderDocument *document = placement->document;
	DeliveryDocument *deliveries = (DeliveryDocument *) document->deliveries.items;
	LineDocument *lines = (LineDocument *) document->lines.items;
	bool	   *used = palloc0(sizeof(bool) * document->deliveries.count);

	if (document->ship_to || document->method || document->service || document->pickup_location ||
		!TIMESTAMP_NOT_FINITE(document->requested_at))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each delivery has its own.", "deliveries",
				  "ship_to, method, service, pickup_location and requested_at stand there, not beside it");
	for (int i = 0; i < document->lines.count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (lines[i].delivery_no == DOC_ABSENT && !lines[i].deliveries.present)
			lines[i].delivery_no = deliveries[0].delivery_no;
		if (lines[i].deliveries.present)
			use_deliveries(placement, i, used, faults);
		else if (!use_delivery(document, lines[i].delivery_no, used))
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Lines name one of the deliveries.",
					  oms_placement_place(placement, i, "delivery_no"), "there is no delivery %d", lines[i].delivery_no);
	}
	for (int i = 0; i < document->deliveries.count; i++)
	{
		for (int j = 0; j < i; j++)
			if (deliveries[j].delivery_no == deliveries[i].delivery_no)
				oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each delivery has a number of its own.",
						  oms_document_place("deliveries", i, "delivery_no"), "%d stands there twice",
						  deliveries[i].delivery_no);
		if (!used[i] && !placement->partial)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Leave it out.", oms_document_place("deliveries", i, NULL),
					  "no line has delivery_no %d", deliveries[i].delivery_no);
	}
}

/* Lines are divided over deliveries that the order lists. */
static void
check_not_divided(Placement *placement, FaultList *faults)
{
	const DocArray *lines = &placement->document->lines;

	for (int i = 0; i < lines->count; i++)
		if (((LineDocument *) lines->items + i)->deliveries.present)
			oms_fault(faults, ERRCODE_OMS_DOCUMENT, "List them in deliveries of the order.",
					  oms_placement_place(placement, i, "deliveries"), "the order has no deliveries");
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
	if (group->line_count > 0)
		join_lines(group, faults);
	if (group->line_count > 0 || !placement->partial)
		placement->groups[placement->group_count++] = group;
}

static void
add_groups(Placement *placement, FaultList *faults)
{
	int			count = placement->document->deliveries.count;

	placement->groups = palloc(sizeof(Placement *) * Max(1, count));
	placement->group_count = 0;
	for (int i = 0; i < count; i++)
		add_group(placement, i, faults);
}

/* What is to be planned, of lines that are others than the document's. */
void
oms_placement_divide(Placement *placement)
{
	FaultList	faults;

	oms_faults_init(&faults);
	add_demands(placement, &faults);
	add_groups(placement, &faults);
	oms_faults_raise(&faults, "order is not valid");
}

void
oms_placement_read(Placement *placement, FaultList *faults)
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
	else
		check_not_divided(placement, faults);
	resolve_lines(placement, faults);
	if (faults->count > 0)
		return;
	add_groups(placement, faults);
	sum_totals(placement, faults);
	for (int i = 0; i < document->payments.count; i++)
		oms_payment_check((PaymentDocument *) document->payments.items + i, oms_document_place("payments", i, NULL),
						  placement->currency, faults);
	if (faults->count == 0)
		derive_payment_status(placement);
}

Placement *
oms_placement_of(Jsonb *document, FaultList *faults)
{
	Placement  *placement = palloc0(sizeof(Placement));

	oms_faults_init(faults);
	placement->source = document;
	placement->hash = DatumGetInt64(DirectFunctionCall2(jsonb_hash_extended, JsonbPGetDatum(document), Int64GetDatum(0)));
	placement->document = oms_document_read(document, &order_shape, faults);
	return placement;
}

/* ---- Parts of it that an edit replaces ---- */

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
