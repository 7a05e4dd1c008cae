/*
 * substitute.c
 *	  Other items in the place of those that nobody can promise.
 *
 * An order is planned with its own items first.  Where some of their units can
 * be promised nowhere, not even as backorders, these units move to the first
 * substitute of the item, what that lacks to the second, and so on; each time
 * the order is planned anew, so substitutes are routed, limited by quotas and
 * promised like everything else.  Units only ever move to a later substitute,
 * so it ends, and no substitute is asked for one of its own.
 *
 * A line then stands for the units that its item covers, and further lines for
 * those of substitutes, at the price that was ordered; what was adjusted on the
 * line is spread over them.  So the totals are those of the document.  Where
 * substitutes do not help either, the lines are as they were.
 *
 * Components of kits and lines of goods that are weighed are not substituted,
 * nor are units that an edit adds to a placed order.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "call.h"
#include "money.h"
#include "order_placement.h"
#include "relation.h"
#include "substitute.h"

typedef struct SubstituteDocument
{
	char	   *sku;
	int32		ratio;
	int32		rank;
	TimestampTz valid_from;
	TimestampTz valid_until;
} SubstituteDocument;

static const DocField substitute_fields[] = {
	{"sku", DOC_CODE, offsetof(SubstituteDocument, sku), .required = true},
	{"ratio", DOC_INT, offsetof(SubstituteDocument, ratio), .least = 1,.most = 1000000},
	{"rank", DOC_INT, offsetof(SubstituteDocument, rank), .least = PG_INT32_MIN + 1,.most = PG_INT32_MAX},
	{"valid_from", DOC_TIME, offsetof(SubstituteDocument, valid_from)},
	{"valid_until", DOC_TIME, offsetof(SubstituteDocument, valid_until)},
};

const DocShape oms_substitute_shape = DOC_SHAPE_OF(SubstituteDocument, substitute_fields, "a substitute");

#define ITEM_ROWS \
	" FROM jsonb_array_elements($2) WITH ORDINALITY d(item, n) JOIN {items} w ON w.tenant_id = $1 AND w.sku = d.item ->> 'sku'"
#define SUBSTITUTE_ROWS \
	ITEM_ROWS " CROSS JOIN LATERAL jsonb_array_elements(CASE jsonb_typeof(d.item -> 'substitutes') WHEN 'array'" \
	" THEN d.item -> 'substitutes' ELSE '[]' END) WITH ORDINALITY s(part, position)"

/* What is wrong with substitutes after the items are written: place, what, and whether a SKU is not known. */
static OmsPlan faults_plan = {
	.sql = "SELECT format('items[%s].substitutes[%s].%s', d.n - 1, s.position - 1,"
	" CASE WHEN i.kind = 'stocked' AND i.item_id <> w.item_id AND NOT r.again THEN 'valid_until' ELSE 'sku' END),"
	" CASE WHEN i.item_id IS NULL THEN format('SKU \"%s\" is not known', s.part ->> 'sku')"
	" WHEN i.kind <> 'stocked' THEN format('\"%s\" has no stock', i.sku)"
	" WHEN i.item_id = w.item_id THEN format('\"%s\" cannot stand for itself', i.sku)"
	" WHEN r.again THEN format('\"%s\" stands there twice', i.sku)"
	" ELSE 'must be after valid_from' END, i.item_id IS NULL"
	SUBSTITUTE_ROWS " LEFT JOIN {items} i ON i.tenant_id = $1 AND i.sku = s.part ->> 'sku'"
	" CROSS JOIN LATERAL (SELECT EXISTS (SELECT FROM jsonb_array_elements(d.item -> 'substitutes') WITH ORDINALITY o(part, position)"
	" WHERE o.part ->> 'sku' = i.sku AND o.position < s.position) AS again) r"
	" WHERE i.item_id IS NULL OR i.kind <> 'stocked' OR i.item_id = w.item_id OR r.again"
	" OR (s.part ->> 'valid_from')::timestamptz >= (s.part ->> 'valid_until')::timestamptz"
	" UNION ALL SELECT format('items[%s].substitutes', d.n - 1), format('\"%s\" has no stock', w.sku), false"
	ITEM_ROWS " WHERE jsonb_array_length(CASE jsonb_typeof(d.item -> 'substitutes') WHEN 'array' THEN d.item -> 'substitutes'"
	" ELSE '[]' END) > 0 AND w.kind <> 'stocked' ORDER BY 1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan remove_plan = {
	.sql = "DELETE FROM {item_substitutes} s USING (SELECT w.item_id" ITEM_ROWS " WHERE jsonb_typeof(d.item -> 'substitutes') = 'array') w"
	" WHERE s.item_id = w.item_id AND s.tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan add_plan = {
	.sql = "INSERT INTO {item_substitutes} (item_id, substitute_id, valid_from, valid_until, tenant_id, rank, ratio)"
	" SELECT w.item_id, i.item_id, (s.part ->> 'valid_from')::timestamptz, (s.part ->> 'valid_until')::timestamptz, $1,"
	" coalesce((s.part ->> 'rank')::int, s.position::int), coalesce((s.part ->> 'ratio')::int, 1)"
	SUBSTITUTE_ROWS " JOIN {items} i ON i.tenant_id = $1 AND i.sku = s.part ->> 'sku'",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan read_plan = {
	.sql = "SELECT s.item_id, s.rank, s.ratio, i.item_id, i.backorder, i.weight_grams, i.sku, i.length_mm, i.width_mm, i.height_mm, i.item_group"
	" FROM {item_substitutes} s CROSS JOIN LATERAL (SELECT * FROM {items} x WHERE x.item_id = s.substitute_id"
	" AND x.tenant_id = $1 AND x.active OFFSET 0) i WHERE s.item_id = ANY ($2) AND s.tenant_id = $1"
	" AND (s.valid_from IS NULL OR s.valid_from <= $3) AND (s.valid_until IS NULL OR s.valid_until > $3)"
	" ORDER BY s.item_id, s.rank, i.sku",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {order_substitutes} (order_id, wanted_item_id, tenant_id, line_no, wanted_line_no, quantity, rank, ratio)"
	" SELECT $2, u.item_id, $1, u.line_no, u.wanted_no, u.quantity, u.rank, u.ratio FROM unnest($3::bigint[], $4::int[], $5::int[],"
	" $6::int[], $7::int[], $8::int[]) u(item_id, line_no, wanted_no, quantity, rank, ratio)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID)
};

/* ---- What may stand for what ---- */

/* The substitutes of items that were just written; where an item names none, it keeps those that it has. */
void
oms_substitutes_update(Jsonb *items)
{
	oms_items_write_parts(items, &faults_plan, "Items of kind stocked stand for one another, each named once.", &remove_plan,
						  &add_plan);
}

/* ---- Planning ---- */

typedef struct SubstituteRule
{
	int64		item_id;		/* that the rule's own item stands for */
	int32		rank;
	int32		ratio;			/* units of its item for one unit of the other */
	CatalogItem item;
} SubstituteRule;

/* Units of a line of the document that one item serves. */
typedef struct Share
{
	int			rule;			/* -1: the item that is wanted */
	int32		units;			/* of the wanted item */
} Share;

/* A line of the document, and by what its units are served. */
typedef struct WantedLine
{
	PlacedLine	line;
	int			first_rule;
	int			rule_count;		/* 0: this line takes nothing else */
	Share		shares[OMS_SUBSTITUTES_MAX + 1];
	int			share_count;
} WantedLine;

typedef struct Substitution
{
	WantedLine *wanted;
	int			wanted_count;
	SubstituteRule *rules;		/* by item, in the order in which they are tried */
	int			rule_count;
	int			rule_capacity;
	int			line_count;		/* of the placement's lines: where each comes from */
	int		   *wanted_of_line;
	int		   *share_of_line;
} Substitution;

static void
collect_rule(TupleTableSlot *slot, void *state)
{
	Substitution *work = state;
	SubstituteRule *rule;

	if (work->rule_count == work->rule_capacity)
	{
		work->rule_capacity = Max(16, work->rule_capacity * 2);
		work->rules = work->rules ? repalloc(work->rules, sizeof(SubstituteRule) * work->rule_capacity)
			: palloc(sizeof(SubstituteRule) * work->rule_capacity);
	}
	rule = &work->rules[work->rule_count++];
	*rule = (SubstituteRule)
	{
		.item_id = oms_slot_int64(slot, 1),.rank = oms_slot_int32(slot, 2),.ratio = oms_slot_int32(slot, 3),
			.item = {.item_id = oms_slot_int64(slot, 4),.kind = ITEM_STOCKED,.active = true,.backorder = oms_slot_bool(slot, 5),
			.weight_grams = oms_slot_int32(slot, 6),.sku = oms_slot_text(slot, 7),
			.volume = oms_item_volume(oms_slot_int32(slot, 8), oms_slot_int32(slot, 9), oms_slot_int32(slot, 10)),
		.group = oms_slot_text(slot, 11)}
	};
}

static bool
may_be_substituted(const Placement *placement, const PlacedLine *line)
{
	const Jsonb *attributes = line->document->attributes;

	return line->item->kind == ITEM_STOCKED && line->kit == NULL && line->document->substitution != 0 && line->document->lot == NULL &&
		oms_money_is_rounded(line->unit_price, placement->digits) &&
		(attributes == NULL ||
		 getKeyJsonValueFromContainer(unconstify(JsonbContainer *, &attributes->root), "weight_grams", 12, NULL) == NULL);
}

static void
find_rules(const Substitution *work, WantedLine *wanted)
{
	for (int i = 0; i < work->rule_count; i++)
		if (work->rules[i].item_id == wanted->line.item->item_id && wanted->rule_count++ == 0)
			wanted->first_rule = i;
	wanted->rule_count = Min(wanted->rule_count, OMS_SUBSTITUTES_MAX);
}

/* NULL where no line has a substitute. */
static Substitution *
begin_substitution(const Placement *placement)
{
	Substitution *work = palloc0(sizeof(Substitution));
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, placement->line_count));
	int			count = 0;
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), 0, TimestampTzGetDatum(oms_call->now)};

	for (int i = 0; i < placement->line_count; i++)
		if (may_be_substituted(placement, &placement->lines[i]))
			item_ids[count++] = placement->lines[i].item->item_id;
	values[1] = oms_array_int64(item_ids, count);
	if (count > 0)
		(void) oms_execute_each(&read_plan, values, NULL, collect_rule, work);
	if (work->rule_count == 0)
		return NULL;
	work->wanted_count = work->line_count = placement->line_count;
	work->wanted = palloc0_array(WantedLine, placement->line_count);
	work->wanted_of_line = palloc_array(int, placement->line_count);
	work->share_of_line = palloc0_array(int, placement->line_count);
	for (int i = 0; i < placement->line_count; i++)
	{
		WantedLine *wanted = &work->wanted[i];

		wanted->line = placement->lines[i];
		wanted->shares[wanted->share_count++] = (Share) {-1, wanted->line.document->quantity};
		work->wanted_of_line[i] = i;
		if (may_be_substituted(placement, &wanted->line))
			find_rules(work, wanted);
	}
	return work;
}

/* Moves units of a share, as many as are short of its item, to the next substitute; what is covered by that. */
static int64
move_units(const Substitution *work, WantedLine *wanted, int share_no, int64 missing)
{
	Share	   *share = &wanted->shares[share_no];
	int			next = share->rule < 0 ? wanted->first_rule : share->rule + 1;
	int32		ratio = share->rule < 0 ? 1 : work->rules[share->rule].ratio;
	int32		units = (int32) Min(share->units, (missing + ratio - 1) / ratio);
	int			target = 0;

	if (next >= wanted->first_rule + wanted->rule_count || units == 0)
		return 0;
	while (target < wanted->share_count && wanted->shares[target].rule != next)
		target++;
	if (target == wanted->share_count)
		wanted->shares[wanted->share_count++] = (Share) {next, 0};
	share->units -= units;
	wanted->shares[target].units += units;
	return (int64) units * ratio;
}

/* Moves every unit that the last plan missed; false where one has nowhere to go. */
static bool
move_shortage(const Substitution *work, const Placement *placement)
{
	const Placement *lacking = placement->group_count > 0 ? placement->failed : placement;

	if (lacking->routing && lacking->routing->refusal)
		return false;
	for (int i = 0; i < lacking->demand_count; i++)
	{
		int64		missing = lacking->missing[i];

		/* The last first: further lines, which stand for others, give way to what was ordered. */
		for (int j = lacking->line_count - 1; j >= 0 && missing > 0; j--)
		{
			int			line = placement->group_count > 0 ? lacking->line_numbers[j] : j;

			if (lacking->lines[j].demand == i)
				missing -= move_units(work, &work->wanted[work->wanted_of_line[line]], work->share_of_line[line], missing);
		}
		if (missing > 0)
			return false;
	}
	return true;
}

/* ---- The lines that come of it ---- */

/* The line that a share becomes: units of the item at the price of the wanted one. */
static void
fill_line(const Placement *placement, const Substitution *work, const WantedLine *wanted, const Share *share, PlacedLine *line)
{
	const SubstituteRule *rule = share->rule < 0 ? NULL : &work->rules[share->rule];
	LineDocument *document = palloc(sizeof(LineDocument));

	*line = wanted->line;
	*document = *wanted->line.document;
	line->document = document;
	document->quantity = share->units;
	line->amount = oms_money_round(oms_money_multiply(line->unit_price, share->units), placement->digits);
	if (rule == NULL)
		return;
	if ((int64) share->units * rule->ratio > OMS_QUANTITY_MAX)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("\"%s\" would stand for %d units of \"%s\"", rule->item.sku, share->units, wanted->line.item->sku),
				 errdetail("quantity: each is %d units of it, at most %d are allowed", rule->ratio, OMS_QUANTITY_MAX),
				 errhint("Place the units in several orders.")));
	document->quantity = share->units * rule->ratio;
	document->sku = rule->item.sku;
	document->name = NULL;
	line->item = unconstify(CatalogItem *, &rule->item);
	line->rule = rule;
	line->wanted = wanted->line.item;
	line->wanted_no = wanted->line.line_no;
	line->wanted_units = share->units;
	if (rule->ratio == 1)
		return;
	line->unit_price = oms_money_share(line->unit_price, int64_to_numeric(1), int64_to_numeric(rule->ratio));
	line->unit_price = DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(line->unit_price)));
}

/* Puts the shares of a wanted line into its place, and further ones behind all lines. */
static void
put_shares(Placement *placement, Substitution *work, int index, int32 *next_no)
{
	WantedLine *wanted = &work->wanted[index];
	LineDocument *parts[OMS_SUBSTITUTES_MAX + 1];
	int64		amounts[OMS_SUBSTITUTES_MAX + 1];
	int			count = 0;

	for (int i = 0; i < wanted->share_count; i++)
	{
		int			position = count == 0 ? index : work->line_count;
		PlacedLine *line = &placement->lines[position];

		if (wanted->shares[i].units == 0)
			continue;
		fill_line(placement, work, wanted, &wanted->shares[i], line);
		work->wanted_of_line[position] = index;
		work->share_of_line[position] = i;
		parts[count] = line->document;
		amounts[count] = oms_money_units(line->amount, placement->digits);
		if (count++ == 0)
			continue;
		line->line_no = line->document->line_no = (*next_no)++;
		line->document->external_ref = NULL;
		line->divided_from = 0;
		work->line_count++;
	}
	if (count > 1)
		oms_adjustments_spread(wanted->line.document, parts, count, amounts, placement->digits);
}

/* Makes the lines anew; false where there would be too many. */
static bool
make_lines(Placement *placement, Substitution *work)
{
	int			total = 0;
	int32		next_no = 1;

	for (int i = 0; i < work->wanted_count; i++)
	{
		int			kept = 0;

		for (int j = 0; j < work->wanted[i].share_count; j++)
			kept += work->wanted[i].shares[j].units > 0;
		total += kept;
		next_no = Max(next_no, work->wanted[i].line.line_no + 1);
	}
	if (total > OMS_LINES_PER_ORDER_MAX || next_no < 1 || next_no > PG_INT32_MAX - total)
		return false;
	work->wanted_of_line = palloc_array(int, total);
	work->share_of_line = palloc0_array(int, total);
	placement->lines = palloc0_array(PlacedLine, total);
	work->line_count = work->wanted_count;
	for (int i = 0; i < work->wanted_count; i++)
	{
		CHECK_FOR_INTERRUPTS();
		put_shares(placement, work, i, &next_no);
	}
	placement->line_count = work->line_count;
	oms_placement_divide(placement);
	return true;
}

/* The lines are those of the document again. */
void
oms_substitutes_undo(Placement *placement)
{
	Substitution *work = placement->substitution;

	if (work == NULL)
		return;
	placement->substitution = NULL;
	placement->line_count = work->wanted_count;
	placement->lines = palloc_array(PlacedLine, work->wanted_count);
	for (int i = 0; i < work->wanted_count; i++)
		placement->lines[i] = work->wanted[i].line;
	oms_placement_divide(placement);
}

/*
 * Plans with substitutes for what the last plan missed; false where they do not
 * help, and then the plan is that of the document's lines again.
 */
bool
oms_substitutes_plan(Placement *placement, PlanLines plan)
{
	Substitution *work;

	if (!placement->channel->substitution || placement->partial || (work = begin_substitution(placement)) == NULL)
		return false;
	placement->substitution = work;
	while (move_shortage(work, placement) && make_lines(placement, work))
	{
		CHECK_FOR_INTERRUPTS();
		if (plan(placement))
			return true;
	}
	oms_substitutes_undo(placement);
	return plan(placement);
}

/* ---- What the order keeps of it ---- */

void
oms_substitutes_insert(Placement *placement)
{
	int64	   *items;
	int32	   *numbers;
	int			room = placement->line_count;
	int			count = 0;
	Datum		values[8] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(placement->order_id)};

	if (placement->substitution == NULL)
		return;
	items = palloc(sizeof(int64) * room);
	numbers = palloc(sizeof(int32) * 5 * room);
	for (int i = 0; i < room; i++)
	{
		const PlacedLine *line = &placement->lines[i];

		if (line->rule == NULL)
			continue;
		items[count] = line->wanted->item_id;
		numbers[count] = line->line_no;
		numbers[room + count] = line->wanted_no;
		numbers[2 * room + count] = line->wanted_units;
		numbers[3 * room + count] = line->rule->rank;
		numbers[4 * room + count++] = line->rule->ratio;
	}
	values[2] = oms_array_int64(items, count);
	for (int i = 0; i < 5; i++)
		values[3 + i] = oms_array_int32(numbers + i * room, count);
	(void) oms_execute(&insert_plan, values, NULL);
}

/* What the answer says of it. */
void
oms_substitutes_write(DocWriter *writer, const Placement *placement)
{
	if (placement->substitution == NULL)
		return;
	oms_write_begin_array(writer, "substitutions");
	for (int i = 0; i < placement->line_count; i++)
	{
		const PlacedLine *line = &placement->lines[i];

		if (line->rule == NULL)
			continue;
		oms_write_begin_object(writer, NULL);
		oms_write_int64(writer, "line_no", line->line_no);
		oms_write_text(writer, "sku", line->item->sku);
		oms_write_int64(writer, "quantity", line->document->quantity);
		oms_write_int64(writer, "wanted_line_no", line->wanted_no);
		oms_write_text(writer, "wanted_sku", line->wanted->sku);
		oms_write_int64(writer, "wanted_quantity", line->wanted_units);
		oms_write_int64(writer, "rank", line->rule->rank);
		oms_write_end(writer);
	}
	oms_write_end_array(writer);
}
