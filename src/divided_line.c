/*
 * divided_line.c
 *	  Lines whose units go to several deliveries.
 *
 * Each part becomes a line of its own: promises, shipments, returns and refunds
 * count by line, and need to know nothing of parts.  The first part keeps the
 * line's number and reference, the others are numbered after the last line and
 * name the line that they were divided from.  What the line has in all (its
 * adjustments, the weight of what is weighed) is spread over the parts by
 * their units and adds up to the cent; so do their prices, or the line is not
 * divided.
 */
#include "oms.h"

#include "miscadmin.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"

#include "divided_line.h"
#include "money.h"
#include "order_placement.h"
#include "order_share.h"

static const DocField part_fields[] = {
	{"delivery_no", DOC_INT, offsetof(LinePart, delivery_no), .required = true,.least = 1,.most = PG_INT32_MAX},
	{"quantity", DOC_INT, offsetof(LinePart, quantity), .required = true,.least = 1,.most = OMS_QUANTITY_MAX},
};

const DocShape oms_line_part_shape = DOC_SHAPE_OF(LinePart, part_fields, "a part of a line");

void
oms_line_parts_check(const DocArray *array, int32 quantity, int32 delivery_no, const char *place, FaultList *faults)
{
	const LinePart *parts = (LinePart *) array->items;
	int64		units = 0;

	if (delivery_no != DOC_ABSENT)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give one of them.", place, "stands beside delivery_no");
	for (int i = 0; i < array->count; i++)
	{
		units += parts[i].quantity;
		for (int j = 0; j < i; j++)
			if (parts[j].delivery_no == parts[i].delivery_no)
				oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each delivery has one part of a line.",
						  psprintf("%s[%d].delivery_no", place, i), "%d stands there twice", parts[i].delivery_no);
	}
	if (units != quantity)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "The quantities of the parts add up to that of the line.", place,
				  "the parts have " INT64_FORMAT " units, the line has %d", units, quantity);
}

/* The attribute is the weight of all units of a line. */
static void
share_weight(const LineDocument *source, LineDocument **parts, int count, const int64 *units)
{
	int64		whole;
	int64	   *grams = palloc(sizeof(int64) * count);

	if (!oms_line_weight(source->attributes, &whole))
		return;
	order_share_spread(whole, units, count, grams);
	for (int i = 0; i < count; i++)
	{
		DocWriter	writer;

		oms_write_begin(&writer);
		oms_write_int64(&writer, "weight_grams", grams[i]);
		parts[i]->attributes = DatumGetJsonbP(DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(source->attributes),
																  JsonbPGetDatum(oms_write_finish(&writer))));
	}
}

/* Puts the parts of a line into lines. */
static void
divide_line(const Placement *placement, const PlacedLine *source, PlacedLine *lines, int32 *next_no, FaultList *faults)
{
	const LinePart *parts = (LinePart *) source->document->deliveries.items;
	int			count = source->document->deliveries.count;
	LineDocument **documents = palloc(sizeof(LineDocument *) * count);
	int64	   *units = palloc(sizeof(int64) * count);
	Numeric		amount = oms_money_zero();

	for (int i = 0; i < count; i++)
	{
		PlacedLine *line = &lines[i];

		*line = *source;
		line->document = documents[i] = palloc(sizeof(LineDocument));
		*line->document = *source->document;
		line->document->delivery_no = parts[i].delivery_no;
		line->document->quantity = parts[i].quantity;
		units[i] = parts[i].quantity;
		line->amount = oms_money_round(oms_money_multiply(line->unit_price, parts[i].quantity), placement->digits);
		amount = oms_money_add(amount, line->amount);
		if (i == 0)
			continue;
		line->document->external_ref = NULL;
		line->line_no = (*next_no)++;
		line->divided_from = source->line_no;
	}
	if (oms_money_compare(amount, source->amount) != 0)
		oms_fault(faults, ERRCODE_OMS_MONEY, "Round unit_price to the currency, or write a line for each delivery.",
				  oms_placement_place(placement, source->position, "deliveries"), "the parts cost %s, the line costs %s",
				  oms_money_text(amount), oms_money_text(source->amount));
	oms_adjustments_spread(source->document, documents, count, units, placement->digits);
	share_weight(source->document, documents, count, units);
}

/* The lines that an order has with the parts of its lines; faults where there are too many. */
static int
count_lines(Placement *placement, FaultList *faults)
{
	int			count = 0;

	for (int i = 0; i < placement->line_count; i++)
		count += Max(1, placement->lines[i].document->deliveries.count);
	if (count > OMS_LINES_PER_ORDER_MAX)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Place the lines in several orders.", "lines",
				  "divided over deliveries the order has %d lines, at most %d are allowed", count, OMS_LINES_PER_ORDER_MAX);
	return count;
}

/* Puts parts into the place of the lines that are divided, which are priced and numbered. */
void
oms_lines_divide(Placement *placement, FaultList *faults)
{
	PlacedLine *lines;
	int32		next_no;
	int			count = 0;
	int			room = 0;
	bool		any = false;

	for (int i = 0; i < placement->line_count; i++)
		any |= placement->lines[i].document->deliveries.present;
	if (any)
		room = count_lines(placement, faults);
	if (!any || faults->count > 0)
		return;
	next_no = oms_placement_next_line_no(placement, room - placement->line_count, faults);
	lines = palloc(sizeof(PlacedLine) * room);
	for (int i = 0; i < placement->line_count; i++)
	{
		const PlacedLine *line = &placement->lines[i];

		CHECK_FOR_INTERRUPTS();
		if (line->document->deliveries.count > 0)
			divide_line(placement, line, lines + count, &next_no, faults);
		else
			lines[count] = *line;
		count += Max(1, line->document->deliveries.count);
	}
	placement->lines = lines;
	placement->line_count = count;
}

/* The number of the line, or of the kit that it stands for with others, that is a part; 0 for other lines. */
static int32
part_number(const PlacedLine *line)
{
	if (line->kit == NULL)
		return line->divided_from != 0 ? line->line_no : 0;
	return line->kit->divided_from != 0 && line->line_no == line->kit->kit_no ? line->line_no : 0;
}

/* Which lines the parts have become. */
void
oms_divided_lines_write(DocWriter *writer, const Placement *placement)
{
	bool		any = false;

	for (int i = 0; i < placement->line_count; i++)
	{
		const PlacedLine *line = &placement->lines[i];

		if (part_number(line) == 0)
			continue;
		if (!any)
			oms_write_begin_array(writer, "divided");
		any = true;
		oms_write_begin_object(writer, NULL);
		oms_write_int64(writer, "line_no", line->line_no);
		oms_write_int64(writer, "divided_from", line->kit ? line->kit->divided_from : line->divided_from);
		oms_write_int64(writer, "delivery_no", line->document->delivery_no);
		oms_write_int64(writer, "quantity", line->kit ? line->kit->sets : line->document->quantity);
		oms_write_end(writer);
	}
	if (any)
		oms_write_end_array(writer);
}
