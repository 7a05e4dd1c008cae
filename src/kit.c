/*
 * kit.c
 *	  Items that are sold as one and promised by their components.
 *
 * A kit has no stock.  Placing puts its components in the place of its line,
 * with shares of its price that add up to it in every number of sets; from
 * there on they are lines like any other, so promises, shipments, returns and
 * refunds need to know nothing of kits.  The order keeps which lines are which
 * kit (order_kits, order_kit_lines), as it was placed, whatever the kit
 * consists of afterwards.  A kit that may not be broken is cancelled and
 * returned in whole sets.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

#include "call.h"
#include "configuration.h"
#include "document.h"
#include "kit.h"
#include "money.h"
#include "order_placement.h"
#include "order_share.h"
#include "relation.h"

typedef struct ComponentDocument
{
	char	   *sku;
	int32		quantity;
} ComponentDocument;

static const DocField component_fields[] = {
	{"sku", DOC_CODE, offsetof(ComponentDocument, sku), .required = true},
	{"quantity", DOC_INT, offsetof(ComponentDocument, quantity), .required = true,.least = 1,.most = 1000000},
};

const DocShape oms_kit_component_shape = DOC_SHAPE_OF(ComponentDocument, component_fields, "a component");

#define COMPONENT_ROWS \
	" FROM jsonb_array_elements($2) WITH ORDINALITY d(item, n) JOIN {items} k ON k.tenant_id = $1 AND k.sku = d.item ->> 'sku'" \
	" CROSS JOIN LATERAL jsonb_array_elements(d.item -> 'components') WITH ORDINALITY c(part, position)"

/* What is wrong with kits after the items are written: place, what, and whether a SKU is not known. */
static OmsPlan faults_plan = {
	.sql = "SELECT format('items[%s].components[%s].sku', d.n - 1, c.position - 1),"
	" CASE WHEN i.item_id IS NULL THEN format('SKU \"%s\" is not known', c.part ->> 'sku')"
	" WHEN i.kind = 'kit' THEN format('\"%s\" is a kit itself', i.sku)"
	" ELSE format('\"%s\" stands there twice', i.sku) END, i.item_id IS NULL"
	COMPONENT_ROWS " LEFT JOIN {items} i ON i.tenant_id = $1 AND i.sku = c.part ->> 'sku'"
	" WHERE i.item_id IS NULL OR i.kind = 'kit' OR EXISTS (SELECT FROM jsonb_array_elements(d.item -> 'components')"
	" WITH ORDINALITY o(part, position) WHERE o.part ->> 'sku' = i.sku AND o.position < c.position)"
	" UNION ALL SELECT format('items[%s].components', d.n - 1), format('\"%s\" is no kit', k.sku), false"
	" FROM jsonb_array_elements($2) WITH ORDINALITY d(item, n) JOIN {items} k ON k.tenant_id = $1 AND k.sku = d.item ->> 'sku'"
	" WHERE d.item ? 'components' AND k.kind <> 'kit'"
	" UNION ALL SELECT format('items[%s].kind', d.n - 1), CASE WHEN k.kind <> 'kit' THEN format('kit \"%s\" has components', k.sku)"
	" WHEN EXISTS (SELECT FROM {kit_components} c WHERE c.item_id = k.item_id AND c.tenant_id = $1)"
	" THEN format('\"%s\" is a component of a kit', k.sku) ELSE format('\"%s\" has stock', k.sku) END, false"
	" FROM jsonb_array_elements($2) WITH ORDINALITY d(item, n) JOIN {items} k ON k.tenant_id = $1 AND k.sku = d.item ->> 'sku'"
	" WHERE d.item ? 'kind' AND CASE WHEN k.kind = 'kit'"
	" THEN EXISTS (SELECT FROM {stock} s WHERE s.item_id = k.item_id AND s.tenant_id = $1 AND (s.on_hand > 0 OR s.reserved > 0))"
	" OR EXISTS (SELECT FROM {kit_components} c WHERE c.item_id = k.item_id AND c.tenant_id = $1)"
	" ELSE EXISTS (SELECT FROM {kit_components} c WHERE c.kit_id = k.item_id AND c.tenant_id = $1) END ORDER BY 1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan remove_plan = {
	.sql = "DELETE FROM {kit_components} c USING (SELECT k.item_id FROM jsonb_array_elements($2) d(item)"
	" JOIN {items} k ON k.tenant_id = $1 AND k.sku = d.item ->> 'sku' WHERE d.item ? 'components') k"
	" WHERE c.kit_id = k.item_id AND c.tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {kit_components} (kit_id, item_id, tenant_id, position, quantity)"
	" SELECT k.item_id, i.item_id, $1, c.position, (c.part ->> 'quantity')::int"
	COMPONENT_ROWS " JOIN {items} i ON i.tenant_id = $1 AND i.sku = c.part ->> 'sku' WHERE d.item ? 'components'",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan read_plan = {
	.sql = "SELECT c.kit_id, k.ship_together, k.may_break, c.quantity, i.item_id, i.kind, i.active, i.backorder, i.weight_grams,"
	" i.price, i.sku, i.length_mm, i.width_mm, i.height_mm, i.item_group FROM {kit_components} c"
	" CROSS JOIN LATERAL (SELECT * FROM {items} x WHERE x.item_id = c.kit_id AND x.tenant_id = $1 OFFSET 0) k"
	" CROSS JOIN LATERAL (SELECT * FROM {items} x WHERE x.item_id = c.item_id AND x.tenant_id = $1 OFFSET 0) i"
	" WHERE c.kit_id = ANY ($2) AND c.tenant_id = $1 ORDER BY c.kit_id, c.position",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan insert_kits_plan = {
	.sql = "INSERT INTO {order_kits} (order_id, item_id, tenant_id, kit_no, sets, may_break, unit_price, name, external_ref,"
	" attributes, divided_from) SELECT $2, u.item_id, $1, u.kit_no, u.sets, u.may_break, u.unit_price, u.name, u.external_ref,"
	" u.attributes, nullif(u.divided_from, 0)"
	" FROM unnest($3::bigint[], $4::int[], $5::int[], $6::boolean[], $7::numeric[], $8::text[], $9::text[], $10::jsonb[], $11::int[])"
	" u(item_id, kit_no, sets, may_break, unit_price, name, external_ref, attributes, divided_from)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID, BOOLARRAYOID, NUMERICARRAYOID, TEXTARRAYOID,
				 TEXTARRAYOID, JSONBARRAYOID, INT4ARRAYOID)
};

static OmsPlan insert_lines_plan = {
	.sql = "INSERT INTO {order_kit_lines} (order_id, tenant_id, kit_no, line_no, per_set) SELECT $2, $1, u.kit_no, u.line_no, u.per_set"
	" FROM unnest($3::int[], $4::int[], $5::int[]) u(kit_no, line_no, per_set)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID)
};

static OmsPlan delete_lines_plan = {
	.sql = "DELETE FROM {order_kit_lines} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan delete_plan = {
	.sql = "DELETE FROM {order_kits} WHERE order_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* Kits of which the customer would not have whole sets in the end. */
static OmsPlan broken_plan = {
	.sql = "SELECT k.kit_no, i.sku, b.sets FROM {order_kits} k"
	" CROSS JOIN LATERAL (SELECT x.sku FROM {items} x WHERE x.item_id = k.item_id AND x.tenant_id = $1 OFFSET 0) i"
	" CROSS JOIN LATERAL (SELECT string_agg(format('line %s x %s', x.line_no, x.per_set), ', ' ORDER BY x.line_no) AS sets,"
	" bool_or(u.stay % x.per_set <> 0) OR min(u.stay / x.per_set) <> max(u.stay / x.per_set) AS broken"
	" FROM {order_kit_lines} x JOIN {order_lines} l ON l.order_id = $2 AND l.line_no = x.line_no AND l.tenant_id = $1"
	" CROSS JOIN LATERAL (SELECT l.ordered - l.cancelled"
	" - l.return_requested - l.returned - l.written_off - l.replaced AS stay) u"
	" WHERE x.order_id = $2 AND x.kit_no = k.kit_no AND x.tenant_id = $1) b"
	" WHERE k.order_id = $2 AND k.tenant_id = $1 AND NOT k.may_break AND b.broken ORDER BY k.kit_no",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* ---- What kits consist of ---- */

/* The components of items that were just written. */
void
oms_kits_update(Jsonb *items)
{
	oms_items_write_parts(items, &faults_plan, "A kit has kind kit, and components that are no kits.", &remove_plan, &insert_plan);
}

static void
collect_component(TupleTableSlot *slot, void *state)
{
	KitList    *list = state;
	KitComponent *row;
	char	   *kind = oms_slot_text(slot, 6);

	if (list->count == list->capacity)
	{
		list->capacity = Max(16, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(KitComponent) * list->capacity);
	}
	row = &list->rows[list->count++];
	memset(row, 0, sizeof(*row));
	row->kit_id = oms_slot_int64(slot, 1);
	row->ship_together = oms_slot_bool(slot, 2);
	row->may_break = oms_slot_bool(slot, 3);
	row->quantity = oms_slot_int32(slot, 4);
	row->item.item_id = oms_slot_int64(slot, 5);
	row->item.kind = strcmp(kind, "stocked") == 0 ? ITEM_STOCKED : strcmp(kind, "digital") == 0 ? ITEM_DIGITAL : ITEM_SERVICE;
	row->item.active = oms_slot_bool(slot, 7);
	row->item.backorder = oms_slot_bool(slot, 8);
	row->item.weight_grams = oms_slot_int32(slot, 9);
	row->item.price = oms_slot_numeric(slot, 10);
	row->item.sku = oms_slot_text(slot, 11);
	row->item.group = oms_slot_text(slot, 15);
	row->item.volume = oms_item_volume(oms_slot_int32(slot, 12), oms_slot_int32(slot, 13), oms_slot_int32(slot, 14));
}

KitList *
oms_kits_read(const int64 *kit_ids, int count)
{
	KitList    *list = palloc0(sizeof(KitList));
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(kit_ids, count)};

	if (count > 0)
		(void) oms_execute_each(&read_plan, values, NULL, collect_component, list);
	return list;
}

KitComponent *
oms_kit_components(const KitList *list, int64 kit_id, int *count)
{
	int			low = 0;
	int			high = list->count;

	while (low < high)
	{
		int			middle = (low + high) / 2;

		if (list->rows[middle].kit_id < kit_id)
			low = middle + 1;
		else
			high = middle;
	}
	*count = 0;
	while (low + *count < list->count && list->rows[low + *count].kit_id == kit_id)
		(*count)++;
	return *count > 0 ? &list->rows[low] : NULL;
}

/* ---- Placing ---- */

/* The lines as they become. */
typedef struct Expansion
{
	Placement  *placement;
	FaultList  *faults;
	int			count;
	int32		next_no;		/* of a component after the first */
	PlacedLine *lines;
} Expansion;

/*
 * What one set's price gives each component: by what they cost alone, else by
 * their units.  In the smallest unit of the currency, so that any number of
 * sets adds up.
 */
static int64 *
shares_of(const KitComponent *rows, int count, Numeric price, int digits)
{
	int64	   *weights = palloc(sizeof(int64) * count);
	int64	   *shares = palloc(sizeof(int64) * count);
	int64		sum = 0;

	for (int i = 0; i < count; i++)
		sum += weights[i] = rows[i].item.price ? oms_money_units(oms_money_multiply(rows[i].item.price, rows[i].quantity), digits) : 0;
	for (int i = 0; sum == 0 && i < count; i++)
		weights[i] = rows[i].quantity;
	order_share_spread(oms_money_units(price, digits), weights, count, shares);
	return shares;
}

static void
fault_kit(Expansion *work, int index, const char *field, int code, const char *hint, const char *what)
{
	oms_fault(work->faults, code, hint, oms_placement_place(work->placement, work->placement->lines[index].position, field), "%s", what);
}

/* What keeps a kit from being sold. */
static void
check_kit(Expansion *work, int index, const KitComponent *rows, int count)
{
	PlacedLine *line = &work->placement->lines[index];

	if (rows == NULL)
		fault_kit(work, index, "sku", ERRCODE_OMS_DOCUMENT, "oms.upsert_items with components says what is in it.",
				  psprintf("kit \"%s\" has no components", line->item->sku));
	if (!oms_money_is_rounded(line->unit_price, work->placement->digits))
		fault_kit(work, index, "unit_price", ERRCODE_OMS_MONEY, "Round the price of a set to the currency.",
				  psprintf("%s cannot be divided over the components", oms_money_text(line->unit_price)));
	for (int i = 0; i < count; i++)
	{
		if (!rows[i].item.active)
			fault_kit(work, index, "sku", ERRCODE_OMS_UNKNOWN, "oms.upsert_items switches an item on again.",
					  psprintf("component \"%s\" is no longer sold", rows[i].item.sku));
		if ((int64) rows[i].quantity * line->document->quantity > OMS_QUANTITY_MAX)
			fault_kit(work, index, "quantity", ERRCODE_OMS_LIMIT, "Place the units in several orders.",
					  psprintf("the kit has more than %d units of \"%s\"", OMS_QUANTITY_MAX, rows[i].item.sku));
	}
}

static PlacedKit *
kit_of_line(const PlacedLine *line, const KitComponent *rows)
{
	PlacedKit  *kit = palloc0(sizeof(PlacedKit));

	kit->item = line->item;
	kit->kit_no = line->line_no;
	kit->sets = line->document->quantity;
	kit->together = rows[0].ship_together;
	kit->may_break = rows[0].may_break;
	kit->unit_price = line->unit_price;
	kit->document = line->document;
	kit->divided_from = line->divided_from;
	return kit;
}

static void
expand_line(Expansion *work, int index, KitComponent *rows, int count)
{
	Placement  *placement = work->placement;
	PlacedLine *source = &placement->lines[index];
	LineDocument **parts = palloc(sizeof(LineDocument *) * count);
	int64	   *shares = shares_of(rows, count, source->unit_price, placement->digits);
	PlacedKit  *kit = kit_of_line(source, rows);

	placement->kits = lappend(placement->kits, kit);
	for (int i = 0; i < count; i++)
	{
		PlacedLine *line = &work->lines[work->count++];

		parts[i] = palloc0(sizeof(LineDocument));
		parts[i]->line_no = i == 0 ? source->line_no : work->next_no++;
		parts[i]->delivery_no = source->document->delivery_no;
		parts[i]->quantity = rows[i].quantity * source->document->quantity;
		parts[i]->sku = rows[i].item.sku;
		parts[i]->location = source->document->location;
		*line = (PlacedLine)
		{
			.document = parts[i],.item = &rows[i].item,.demand = -1,.line_no = parts[i]->line_no,.kit = kit,
				.per_set = rows[i].quantity,.position = source->position
		};
		line->unit_price = oms_money_share(oms_money_of_units(shares[i], placement->digits), int64_to_numeric(1),
										   int64_to_numeric(rows[i].quantity));
		line->unit_price = DatumGetNumeric(DirectFunctionCall1(numeric_trim_scale, NumericGetDatum(line->unit_price)));
		line->amount = oms_money_round(oms_money_multiply(line->unit_price, parts[i]->quantity), placement->digits);
	}
	oms_adjustments_spread(source->document, parts, count, shares, placement->digits);
}

static void
expand_lines(Expansion *work, const KitList *list)
{
	Placement  *placement = work->placement;
	int			total = 0;
	int			count;

	for (int i = 0; i < placement->line_count; i++)
	{
		PlacedLine *line = &placement->lines[i];

		if (line->item->kind == ITEM_KIT)
		{
			KitComponent *rows = oms_kit_components(list, line->item->item_id, &count);

			check_kit(work, i, rows, count);
			total += count;
		}
		else
			total++;
	}
	if (total > OMS_LINES_PER_ORDER_MAX)
		oms_fault(work->faults, ERRCODE_OMS_LIMIT, "Place the kits in several orders.", "lines",
				  "with the components of kits the order has %d lines, at most %d are allowed", total, OMS_LINES_PER_ORDER_MAX);
	work->next_no = oms_placement_next_line_no(placement, total - placement->line_count, work->faults);
	if (work->faults->count > 0)
		return;
	work->lines = palloc(sizeof(PlacedLine) * total);
	for (int i = 0; i < placement->line_count; i++)
	{
		PlacedLine *line = &placement->lines[i];
		KitComponent *rows = line->item->kind == ITEM_KIT ? oms_kit_components(list, line->item->item_id, &count) : NULL;

		CHECK_FOR_INTERRUPTS();
		if (rows != NULL)
			expand_line(work, i, rows, count);
		else
			work->lines[work->count++] = *line;
	}
	placement->lines = work->lines;
	placement->line_count = work->count;
}

void
oms_kits_expand(Placement *placement, FaultList *faults)
{
	Expansion	work = {.placement = placement,.faults = faults};
	int64	   *ids = palloc(sizeof(int64) * Max(1, placement->line_count));
	int			count = 0;

	for (int i = 0; i < placement->line_count; i++)
		if (placement->lines[i].item && placement->lines[i].item->kind == ITEM_KIT)
			ids[count++] = placement->lines[i].item->item_id;
	if (count > 0 && faults->count == 0)
		expand_lines(&work, oms_kits_read(ids, count));
}

/* ---- The kits of an order ---- */

static void
insert_kit_lines(Placement *placement)
{
	int32	   *numbers = palloc(sizeof(int32) * 3 * placement->line_count);
	int			capacity = placement->line_count;
	int			count = 0;
	Datum		values[5] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(placement->order_id)};

	for (int i = 0; i < placement->line_count; i++)
	{
		const PlacedLine *line = &placement->lines[i];

		if (line->kit == NULL)
			continue;
		numbers[count] = line->kit->kit_no;
		numbers[capacity + count] = line->line_no;
		numbers[2 * capacity + count++] = line->per_set;
	}
	for (int i = 0; i < 3; i++)
		values[2 + i] = oms_array_int32(numbers + i * capacity, count);
	(void) oms_execute(&insert_lines_plan, values, NULL);
}

void
oms_kits_insert(Placement *placement)
{
	int			count = list_length(placement->kits);
	int64	   *items = palloc(sizeof(int64) * Max(1, count));
	int32	   *numbers = palloc(sizeof(int32) * 3 * Max(1, count));
	Datum	   *datums = palloc0(sizeof(Datum) * 5 * Max(1, count));
	bool	   *nulls = palloc0(sizeof(bool) * 5 * Max(1, count));
	Datum		values[11] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(placement->order_id)};

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
	{
		const PlacedKit *kit = list_nth(placement->kits, i);
		const LineDocument *document = kit->document;

		items[i] = kit->item->item_id;
		numbers[i] = kit->kit_no;
		numbers[count + i] = kit->sets;
		numbers[2 * count + i] = kit->divided_from;
		datums[i] = BoolGetDatum(kit->may_break);
		datums[count + i] = NumericGetDatum(kit->unit_price);
		nulls[2 * count + i] = document->name == NULL;
		datums[2 * count + i] = document->name ? CStringGetTextDatum(document->name) : (Datum) 0;
		nulls[3 * count + i] = document->external_ref == NULL;
		datums[3 * count + i] = document->external_ref ? CStringGetTextDatum(document->external_ref) : (Datum) 0;
		nulls[4 * count + i] = document->attributes == NULL;
		datums[4 * count + i] = JsonbPGetDatum(document->attributes);
	}
	values[2] = oms_array_int64(items, count);
	values[3] = oms_array_int32(numbers, count);
	values[4] = oms_array_int32(numbers + count, count);
	values[5] = oms_array_datum(datums, nulls, count, BOOLOID);
	values[6] = oms_array_datum(datums + count, nulls + count, count, NUMERICOID);
	values[7] = oms_array_datum(datums + 2 * count, nulls + 2 * count, count, TEXTOID);
	values[8] = oms_array_datum(datums + 3 * count, nulls + 3 * count, count, TEXTOID);
	values[9] = oms_array_datum(datums + 4 * count, nulls + 4 * count, count, JSONBOID);
	values[10] = oms_array_int32(numbers + 2 * count, count);
	(void) oms_execute(&insert_kits_plan, values, NULL);
	insert_kit_lines(placement);
}

void
oms_kits_delete(int64 order_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	if (!oms_configuration()->has_kits)
		return;
	(void) oms_execute(&delete_lines_plan, values, NULL);
	(void) oms_execute(&delete_plan, values, NULL);
}

static void
note_broken(TupleTableSlot *slot, void *state)
{
	*(List **) state = lappend_int(*(List **) state, oms_slot_int32(slot, 1));
}

/* What a check goes on with: kits that were broken before, and what it finds. */
typedef struct KitCheck
{
	const List *broken;
	FaultList	faults;
} KitCheck;

static void
note_newly_broken(TupleTableSlot *slot, void *state)
{
	KitCheck   *check = state;

	if (list_member_int(check->broken, oms_slot_int32(slot, 1)))
		return;
	oms_fault(&check->faults, ERRCODE_OMS_TRANSITION,
			  "Name all its lines, with whole sets of each; may_break of the item allows less.",
			  psprintf("kit %d", oms_slot_int32(slot, 1)), "\"%s\" stays in whole sets: %s", oms_slot_text(slot, 2),
			  oms_slot_text(slot, 3));
}

List *
oms_kits_broken(int64 order_id)
{
	List	   *broken = NIL;
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	if (oms_configuration()->has_kits)
		(void) oms_execute_each(&broken_plan, values, NULL, note_broken, &broken);
	return broken;
}

void
oms_kits_check(int64 order_id, const List *broken)
{
	KitCheck	check = {.broken = broken};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	if (!oms_configuration()->has_kits)
		return;
	oms_faults_init(&check.faults);
	(void) oms_execute_each(&broken_plan, values, NULL, note_newly_broken, &check);
	oms_faults_raise(&check.faults, psprintf("order " INT64_FORMAT " has a kit that may not be broken", order_id));
}
