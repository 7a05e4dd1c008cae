/*
 * item.c
 *	  Items.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "common/hashfn.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "heap.h"
#include "item.h"
#include "kit.h"
#include "reference_check.h"
#include "relation.h"
#include "substitute.h"

typedef struct ItemDocument
{
	char	   *sku;
	char	   *name;
	char	   *kind;
	char	   *unit;
	char	   *external_ref;
	Numeric		price;
	char	   *item_group;
	Jsonb	   *attributes;
	int32		weight_grams;
	int32		length_mm;
	int32		width_mm;
	int32		height_mm;
	int8		active;
	int8		backorder;
	char	   *tracking;
	char	   *lot_order;
	int8		lots_required;
	int32		minimum_life_days;
	int8		ship_together;
	int8		may_break;
	DocArray	components;
	DocArray	substitutes;
} ItemDocument;

static const char *const kind_choices[] = {"stocked", "digital", "service", "kit", NULL};

static const char *const tracking_choices[] = {"none", "lot", "serial", NULL};

static const char *const lot_order_choices[] = {"fefo", "fifo", "lifo", NULL};

static const DocField item_fields[] = {
	{"sku", DOC_CODE, offsetof(ItemDocument, sku), .required = true},
	{"name", DOC_TEXT, offsetof(ItemDocument, name)},
	{"kind", DOC_TEXT, offsetof(ItemDocument, kind), .choices = kind_choices},
	{"unit", DOC_CODE, offsetof(ItemDocument, unit)},
	{"price", DOC_MONEY, offsetof(ItemDocument, price)},
	{"weight_grams", DOC_INT, offsetof(ItemDocument, weight_grams), .least = 0, .most = OMS_QUANTITY_MAX},
	{"length_mm", DOC_INT, offsetof(ItemDocument, length_mm), .least = 0, .most = OMS_QUANTITY_MAX},
	{"width_mm", DOC_INT, offsetof(ItemDocument, width_mm), .least = 0, .most = OMS_QUANTITY_MAX},
	{"height_mm", DOC_INT, offsetof(ItemDocument, height_mm), .least = 0, .most = OMS_QUANTITY_MAX},
	{"active", DOC_BOOL, offsetof(ItemDocument, active)},
	{"backorder", DOC_BOOL, offsetof(ItemDocument, backorder)},
	{"external_ref", DOC_CODE, offsetof(ItemDocument, external_ref)},
	{"item_group", DOC_CODE, offsetof(ItemDocument, item_group)},
	{"tracking", DOC_TEXT, offsetof(ItemDocument, tracking), .choices = tracking_choices},
	{"lot_order", DOC_TEXT, offsetof(ItemDocument, lot_order), .choices = lot_order_choices},
	{"lots_required", DOC_BOOL, offsetof(ItemDocument, lots_required)},
	{"minimum_life_days", DOC_INT, offsetof(ItemDocument, minimum_life_days), .least = 0,.most = 36500},
	{"ship_together", DOC_BOOL, offsetof(ItemDocument, ship_together)},
	{"may_break", DOC_BOOL, offsetof(ItemDocument, may_break)},
	{"components", DOC_ARRAY, offsetof(ItemDocument, components), .least = 1,.most = OMS_KIT_COMPONENTS_MAX,
	.shape = &oms_kit_component_shape},
	{"substitutes", DOC_ARRAY, offsetof(ItemDocument, substitutes), .most = OMS_SUBSTITUTES_MAX,.shape = &oms_substitute_shape},
	{"attributes", DOC_OBJECT, offsetof(ItemDocument, attributes)},
};

static const DocShape item_shape = DOC_SHAPE_OF(ItemDocument, item_fields, "an item");

#define ITEM_ROWS \
	" FROM jsonb_to_recordset($2) u(sku text, name text, kind text, unit text, price numeric," \
	" weight_grams int, length_mm int, width_mm int, height_mm int, active boolean, backorder boolean," \
	" external_ref text, item_group text, tracking text, lot_order text, lots_required boolean," \
	" minimum_life_days int, ship_together boolean, may_break boolean, attributes jsonb)"

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {items} (tenant_id, sku)"
	" SELECT $1, u.sku" ITEM_ROWS " ORDER BY u.sku ON CONFLICT (tenant_id, sku) DO NOTHING",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan update_plan = {
	.sql = "UPDATE {items} i SET name = coalesce(u.name, i.name), kind = coalesce(u.kind, i.kind),"
	" unit = coalesce(u.unit, i.unit), price = coalesce(u.price, i.price),"
	" weight_grams = coalesce(u.weight_grams, i.weight_grams), length_mm = coalesce(u.length_mm, i.length_mm),"
	" width_mm = coalesce(u.width_mm, i.width_mm), height_mm = coalesce(u.height_mm, i.height_mm),"
	" active = coalesce(u.active, i.active), backorder = coalesce(u.backorder, i.backorder),"
	" external_ref = coalesce(u.external_ref, i.external_ref), item_group = coalesce(u.item_group, i.item_group), tracking = coalesce(u.tracking, i.tracking),"
	" lot_order = coalesce(u.lot_order, i.lot_order), lots_required = coalesce(u.lots_required, i.lots_required),"
	" minimum_life_days = coalesce(u.minimum_life_days, i.minimum_life_days),"
	" ship_together = coalesce(u.ship_together, i.ship_together), may_break = coalesce(u.may_break, i.may_break), attributes = coalesce(u.attributes, i.attributes)"
	ITEM_ROWS " WHERE i.tenant_id = $1 AND i.sku = u.sku",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan read_plan = {
	.sql = "SELECT item_id, kind, active, backorder, weight_grams, price, sku, length_mm, width_mm, height_mm,"
	" item_group FROM {items} WHERE tenant_id = $1 AND sku = ANY ($2)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTARRAYOID)
};

/* Lots add up to on hand, so there must be none when an item gets lots or loses them. */
static OmsPlan retracked_plan = {
	.sql = "SELECT u.n - 1, i.sku FROM jsonb_array_elements($2) WITH ORDINALITY u(item, n)"
	" JOIN {items} i ON i.sku = u.item ->> 'sku' AND i.tenant_id = $1"
	" WHERE u.item ->> 'tracking' <> i.tracking AND EXISTS (SELECT FROM {stock} s WHERE s.item_id = i.item_id"
	" AND s.tenant_id = $1 AND s.on_hand > 0) ORDER BY u.n",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static void
refuse_retracked(TupleTableSlot *slot, void *state)
{
	oms_fault(state, ERRCODE_OMS_DOCUMENT, "Count the item to 0 first.",
			  oms_document_place("items", oms_slot_int64(slot, 1), "tracking"), "\"%s\" has units on hand",
			  oms_slot_text(slot, 2));
}

static bool
names_tracking(const DocArray *rows)
{
	for (int i = 0; i < rows->count; i++)
		if (((ItemDocument *) rows->items)[i].tracking != NULL)
			return true;
	return false;
}

/* Whether the call may make, change or unmake a kit. */
static bool
names_kits(const DocArray *rows)
{
	for (int i = 0; i < rows->count; i++)
		if (((ItemDocument *) rows->items)[i].kind != NULL || ((ItemDocument *) rows->items)[i].components.count > 0)
			return true;
	return false;
}

static bool
names_substitutes(const DocArray *rows)
{
	for (int i = 0; i < rows->count; i++)
		if (((ItemDocument *) rows->items)[i].substitutes.present)
			return true;
	return false;
}

static void
check_references(const DocArray *rows, FaultList *faults)
{
	ReferenceList references = {0};

	for (int i = 0; i < rows->count; i++)
	{
		ItemDocument *row = (ItemDocument *) rows->items + i;

		if (row->external_ref != NULL)
			oms_reference_add(&references, row->external_ref, oms_document_place("items", i, "external_ref"), 0, row->sku);
	}
	oms_references_check("item", &references, 0, faults);
}

/* What is wrong with what items name, and what to do about it. */
typedef struct PartFaults
{
	FaultList	list;
	const char *hint;
} PartFaults;

static void
note_part(TupleTableSlot *slot, void *state)
{
	PartFaults *faults = state;
	bool		unknown = oms_slot_bool(slot, 3);

	oms_fault(&faults->list, unknown ? ERRCODE_OMS_UNKNOWN : ERRCODE_OMS_DOCUMENT,
			  unknown ? "oms.upsert_items adds an item." : faults->hint, oms_slot_text(slot, 1), "%s", oms_slot_text(slot, 2));
}

/*
 * Items that others name, as components or substitutes: checks what is written by
 * a plan whose rows are place, fault and whether a SKU is not known, and replaces
 * what the items had.
 */
void
oms_items_write_parts(Jsonb *items, OmsPlan *faults, const char *hint, OmsPlan *remove, OmsPlan *insert)
{
	PartFaults	found = {.hint = hint};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), JsonbPGetDatum(items)};

	oms_faults_init(&found.list);
	(void) oms_execute_each(faults, values, NULL, note_part, &found);
	oms_faults_raise(&found.list, "items are not valid");
	(void) oms_execute(remove, values, NULL);
	(void) oms_execute(insert, values, NULL);
}

/*
 * oms.upsert_items(items jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_upsert_items, CALL_KEYED)
{
	FaultList	faults;
	DocArray	rows = {0};
	Datum		values[2];

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of items.", "items", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(0), &item_shape, OMS_BULK_ROWS_MAX, "items", &faults);
	oms_document_duplicates(&rows, &item_shape, offsetof(ItemDocument, sku), "items", "sku", &faults);
	oms_faults_raise(&faults, "items are not valid");

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = PG_GETARG_DATUM(0);
	if (names_tracking(&rows))
		(void) oms_execute_each(&retracked_plan, values, NULL, refuse_retracked, &faults);
	check_references(&rows, &faults);
	oms_faults_raise(&faults, "items are not valid");
	(void) oms_execute(&insert_plan, values, NULL);
	(void) oms_execute(&update_plan, values, NULL);
	if (names_kits(&rows))
		oms_kits_update(PG_GETARG_JSONB_P(0));
	if (names_substitutes(&rows))
		oms_substitutes_update(PG_GETARG_JSONB_P(0));
	oms_event(&(Event) {.object_type = "item",.type = "items.upserted",.data = PG_GETARG_JSONB_P(0)});
	PG_RETURN_INT64(rows.count);
}

typedef struct ItemEntry
{
	const char *sku;			/* the key: compared as text */
	CatalogItem item;
} ItemEntry;

/* Open addressing with linear probing: a power of two at least twice the count. */
struct ItemSet
{
	uint32		mask;
	ItemEntry  *entries;
};

static uint32
text_hash(const char *text)
{
	return hash_bytes((const unsigned char *) text, strlen(text));
}

static ItemEntry *
entry_of(ItemSet *items, const char *sku)
{
	uint32		position = text_hash(sku) & items->mask;

	while (items->entries[position].sku != NULL && strcmp(items->entries[position].sku, sku) != 0)
		position = (position + 1) & items->mask;
	return &items->entries[position];
}

static ItemKind
kind_named(const char *name)
{
	if (strcmp(name, "stocked") == 0)
		return ITEM_STOCKED;
	if (strcmp(name, "kit") == 0)
		return ITEM_KIT;
	return strcmp(name, "digital") == 0 ? ITEM_DIGITAL : ITEM_SERVICE;
}

/* Cubic millimetres of what has all three sides; more than a hundred cubic metres are no parcel. */
int64
oms_item_volume(int32 length, int32 width, int32 height)
{
	double		volume = (double) length * width * height;

	return volume > OMS_VOLUME_MAX ? OMS_VOLUME_MAX : (int64) volume;
}

static void
collect_item(TupleTableSlot *slot, void *state)
{
	ItemSet    *items = state;
	char	   *sku = oms_slot_text(slot, 7);
	ItemEntry  *entry = entry_of(items, sku);

	entry->sku = sku;
	entry->item.item_id = oms_slot_int64(slot, 1);
	entry->item.kind = kind_named(oms_slot_text(slot, 2));
	entry->item.active = oms_slot_bool(slot, 3);
	entry->item.backorder = oms_slot_bool(slot, 4);
	entry->item.weight_grams = oms_slot_int32(slot, 5);
	entry->item.price = oms_slot_numeric(slot, 6);
	entry->item.volume = oms_item_volume(oms_slot_int32(slot, 8), oms_slot_int32(slot, 9), oms_slot_int32(slot, 10));
	entry->item.sku = sku;
	entry->item.group = oms_slot_text(slot, 11);
}

/* The same by direct access; the key's columns stand first. */
static OmsHeap item_heap = {
	.relation = "items",
	.key_count = 2,
	.column_count = 12,
	.columns = {"tenant_id", "sku", "item_id", "kind", "active", "backorder", "weight_grams", "price", "length_mm", "width_mm",
	"height_mm", "item_group"}
};

static void
collect_item_directly(TupleTableSlot *slot, void *state)
{
	AttrNumber *column = item_heap.attributes;
	char	   *sku = oms_slot_text(slot, column[1]);
	ItemEntry  *entry = entry_of(state, sku);

	entry->sku = sku;
	entry->item.item_id = oms_slot_int64(slot, column[2]);
	entry->item.kind = kind_named(oms_slot_text(slot, column[3]));
	entry->item.active = oms_slot_bool(slot, column[4]);
	entry->item.backorder = oms_slot_bool(slot, column[5]);
	entry->item.weight_grams = oms_slot_int32(slot, column[6]);
	entry->item.price = oms_slot_numeric(slot, column[7]);
	entry->item.volume = oms_item_volume(oms_slot_int32(slot, column[8]), oms_slot_int32(slot, column[9]),
										 oms_slot_int32(slot, column[10]));
	entry->item.sku = sku;
	entry->item.group = oms_slot_text(slot, column[11]);
}

static void
read_directly(ItemSet *items, char *const *skus, int count)
{
	OmsHeapWork work;

	oms_heap_begin(&work, &item_heap, false);
	for (int i = 0; i < count; i++)
	{
		Datum		keys[2] = {Int32GetDatum(oms_call->tenant), (Datum) 0};

		if (skus[i] == NULL || entry_of(items, skus[i])->sku != NULL)
			continue;
		keys[1] = CStringGetTextDatum(skus[i]);
		oms_heap_scan(&work, keys, 2, collect_item_directly, items);
	}
	oms_heap_end(&work);
}

/* Reads the items of all given SKUs; NULL elements are skipped. */
ItemSet *
oms_items_read(char *const *skus, int count)
{
	ItemSet    *items = palloc(sizeof(ItemSet));
	uint32		size = 8;
	Datum		values[2];

	while (size < (uint32) count * 2)
		size *= 2;
	items->mask = size - 1;
	items->entries = palloc0(sizeof(ItemEntry) * size);
	if (oms_heap_is_plain(&item_heap))
	{
		read_directly(items, skus, count);
		return items;
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_text(skus, count);
	(void) oms_execute_each(&read_plan, values, NULL, collect_item, items);
	return items;
}

/* NULL where there is no such item. */
CatalogItem *
oms_items_find(ItemSet *items, const char *sku)
{
	ItemEntry  *entry = entry_of(items, sku);

	return entry->sku ? &entry->item : NULL;
}

CatalogItem *
oms_item_get(const char *sku)
{
	char	   *skus[1] = {unconstify(char *, sku)};
	CatalogItem *item = oms_items_find(oms_items_read(skus, 1), sku);

	if (item == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("SKU \"%s\" is not known", sku),
				 errdetail("sku: there is no \"%s\"", sku),
				 errhint("oms.upsert_items adds it.")));
	return item;
}
