/*
 * lot.c
 *	  Lots and serial numbers of the items that ask for them.
 *
 * An item with tracking has its sellable units in oms.lots, which add up to the
 * counter.  Promises are made of the counter, as for any item; the lot is chosen
 * when units leave, in the order that the item says, unless the call names lots.
 * Units whose time on sale is over are kept back from every new promise from
 * that instant, though they are still on hand until somebody takes them away,
 * and before it from a promise for a day on which it is over.
 *
 * Every change of on hand passes oms_lots_follow, which runs under the lock of
 * the counter, so no path can forget the lots.  A tenant without tracked items
 * pays one look at the cached configuration.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

#include "call.h"
#include "configuration.h"
#include "lot.h"
#include "relation.h"

static const DocField lot_fields[] = {
	{"lot", DOC_CODE, offsetof(LotDocument, lot), .required = true},
	{"quantity", DOC_INT, offsetof(LotDocument, quantity), .least = 1,.most = OMS_QUANTITY_MAX},
	{"expires_at", DOC_TIME, offsetof(LotDocument, expires_at)},
};

const DocShape oms_lot_shape = DOC_SHAPE_OF(LotDocument, lot_fields, "a lot");

/* Lots that the running call names. */
typedef struct GivenLot
{
	int64		item_id;
	int64		location_id;	/* 0: wherever the units are */
	const char *lot;
	int32		quantity;		/* still to be used */
	int32		promised;		/* that a promise of the order for the lot has */
	TimestampTz expires_at;
} GivenLot;

struct LotList
{
	bool		exact;			/* nothing else is there */
	int			count;
	int			capacity;
	GivenLot   *rows;
};

/* An item whose on hand changes. */
typedef struct Tracked
{
	const StockRow *row;
	bool		serial;
	bool		required;		/* who ships it says which units */
	int32		minimum_life_days;
	char	   *sku;
	char	   *order;			/* in which its lots leave for customers */
	const char *type;
	const char *reference;
} Tracked;

/* Units of a lot that are there, or that an order took. */
typedef struct Lot
{
	char	   *lot;
	int32		quantity;
	int32		promised;		/* to orders that asked for the lot, those that the call ships left out */
	TimestampTz expires_at;		/* DT_NOEND: never */
} Lot;

typedef struct LotRows
{
	int			count;
	int			capacity;
	Lot		   *rows;
} LotRows;

static OmsPlan tracked_plan = {
	.sql = "SELECT u.n, i.tracking = 'serial', i.minimum_life_days, i.sku, i.lot_order, i.lots_required"
	" FROM unnest($2::bigint[]) WITH ORDINALITY u(item_id, n) CROSS JOIN LATERAL (SELECT x.tracking, x.minimum_life_days, x.sku,"
	" x.lot_order, x.lots_required"
	" FROM {items} x WHERE x.item_id = u.item_id AND x.tenant_id = $1 AND x.tracking <> 'none' OFFSET 0) i",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

/* Units of a lot that open promises name. */
#define PROMISED_OF(lots) \
	" coalesce((SELECT sum(a.promised - a.shipped - a.cancelled) FROM {allocations} a WHERE a.item_id = " lots ".item_id" \
	" AND a.location_id = " lots ".location_id AND a.lot = " lots ".lot AND a.tenant_id = $1" \
	" AND a.promised > a.shipped + a.cancelled), 0)"

/* The same without those ($4, $5) whose shipping is the running call. */
#define PROMISED_TO_OTHERS \
	PROMISED_OF("l") " - coalesce((SELECT sum(o.units) FROM unnest($4::text[], $5::int[]) o(lot, units) WHERE o.lot = l.lot), 0)"

#define LOT_COLUMNS "SELECT lot, quantity, coalesce(expires_at, 'infinity'), (" PROMISED_TO_OTHERS ")::int FROM {lots} l" \
	" WHERE item_id = $2 AND location_id = $3 AND tenant_id = $1"

#define FIRST_TO_EXPIRE " ORDER BY expires_at NULLS LAST, received_at, lot"

/* The order that an item says: fefo, fifo or lifo. */
#define IN_ORDER(rule) " ORDER BY CASE WHEN " rule " = 'fefo' THEN expires_at END NULLS LAST," \
	" CASE WHEN " rule " = 'lifo' THEN received_at END DESC, received_at, expires_at NULLS LAST, lot"

static OmsPlan all_plan = {
	.sql = LOT_COLUMNS FIRST_TO_EXPIRE " FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTARRAYOID, INT4ARRAYOID)
};

static OmsPlan named_plan = {
	.sql = LOT_COLUMNS " AND lot = ANY ($6)" FIRST_TO_EXPIRE " FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTARRAYOID, INT4ARRAYOID, TEXTARRAYOID)
};

/* Lots with units that nobody asked for; each has at least one, so as many lots as units are enough. */
static OmsPlan first_plan = {
	.sql = LOT_COLUMNS " AND (expires_at IS NULL OR expires_at > $6) AND quantity >" PROMISED_TO_OTHERS
	IN_ORDER("$8") " LIMIT $7 FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTARRAYOID, INT4ARRAYOID, TIMESTAMPTZOID, INT4OID, TEXTOID)
};

/* What an order has of an item and could send back; what its lines asked for is theirs, so it comes last. */
static OmsPlan of_order_plan = {
	.sql = "SELECT m.lot, (-sum(m.delta))::int, max(coalesce(m.expires_at, 'infinity')), 0 FROM {lot_movements} m"
	" WHERE m.order_id = $2 AND m.item_id = $3 AND m.tenant_id = $1 GROUP BY m.lot HAVING sum(m.delta) < 0"
	" ORDER BY EXISTS (SELECT FROM {order_lines} l WHERE l.order_id = $2 AND l.lot = m.lot AND l.tenant_id = $1),"
	" max(m.movement_id) DESC",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {lots} (item_id, location_id, tenant_id, quantity, serial, received_at, expires_at, sell_until, lot)"
	" VALUES ($2, $3, $1, $4, $5, $6, nullif($7, 'infinity'), nullif($8, 'infinity'), $9)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT4OID, BOOLOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID)
};

static OmsPlan update_plan = {
	.sql = "UPDATE {lots} SET quantity = $4 WHERE item_id = $2 AND location_id = $3 AND lot = $5 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT4OID, TEXTOID)
};

static OmsPlan delete_plan = {
	.sql = "DELETE FROM {lots} WHERE item_id = $2 AND location_id = $3 AND lot = $4 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TEXTOID)
};

static OmsPlan elsewhere_plan = {
	.sql = "SELECT FROM {lots} WHERE item_id = $2 AND lot = $3 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

/* Where a serial number is that went to a customer and nothing has been heard of since: the order and the line. */
static OmsPlan with_customer_plan = {
	.sql = "SELECT m.order_id, l.line_no FROM (SELECT x.order_id, x.delta FROM {lot_movements} x WHERE x.item_id = $2 AND x.lot = $3"
	" AND x.tenant_id = $1 ORDER BY x.at DESC, x.movement_id DESC LIMIT 1) m"
	" JOIN {order_lines} l ON l.order_id = m.order_id AND l.item_id = $2 AND l.tenant_id = $1"
	" WHERE m.delta < 0 AND l.shipped > l.returned ORDER BY l.lot IS DISTINCT FROM $3, l.line_no LIMIT 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

static OmsPlan record_plan = {
	.sql = "INSERT INTO {lot_movements} (item_id, location_id, order_id, at, expires_at, tenant_id, delta, lot, type, reference)"
	" VALUES ($2, $3, nullif($4, 0), $5, nullif($6, 'infinity'), $1, $7, $8, $9, $10)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, TEXTOID, TEXTOID, TEXTOID)
};

static OmsPlan stale_plan = {
	.sql = "SELECT item_id, location_id, sum(greatest(0, quantity -" PROMISED_OF("l") "))::bigint FROM {lots} l"
	" WHERE item_id = ANY ($2) AND tenant_id = $1 AND sell_until <= $3 GROUP BY item_id, location_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID)
};

/* Whether the tenant tracks lots at all: without them nothing here costs anything. */
bool
oms_lots_exist(void)
{
	return oms_configuration()->has_lots;
}

/* ---- Lots that a call names ---- */

/* Notes lots for the changes that the running call makes; exact: they are all that is there. */
void
oms_lots_give(int64 item_id, int64 location_id, const LotDocument *lots, int count, bool exact)
{
	if (oms_call->lots == NULL)
		oms_call->lots = palloc0(sizeof(struct LotList));
	oms_call->lots->exact |= exact;
	for (int i = 0; i < count; i++)
	{
		struct LotList *list = oms_call->lots;

		if (list->count == list->capacity)
		{
			list->capacity = Max(16, list->capacity * 2);
			list->rows = oms_grown(list->rows, sizeof(GivenLot) * list->capacity);
		}
		list->rows[list->count++] = (GivenLot)
		{
			.item_id = item_id,.location_id = location_id,.lot = lots[i].lot,
				.quantity = lots[i].quantity == DOC_ABSENT ? 1 : lots[i].quantity,.expires_at = lots[i].expires_at
		};
	}
}

/* Notes that units leave that were promised of a lot, by a promise that then has none left. */
void
oms_lots_give_promised(int64 item_id, int64 location_id, char *lot, int32 units, int32 promised)
{
	LotDocument document = {.lot = lot,.quantity = units,.expires_at = DT_NOBEGIN};

	oms_lots_give(item_id, location_id, &document, 1, false);
	oms_call->lots->rows[oms_call->lots->count - 1].promised = promised;
}

/* The same from an argument, which must name quantity units of an item that is tracked. */
void
oms_lots_give_argument(FunctionCallInfo fcinfo, int argument, const StockRow *row, const CatalogItem *item, int32 quantity,
					   bool exact)
{
	FaultList	faults;
	DocArray	array;
	int64		total = 0;
	int64		item_id = row->item_id;
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), oms_array_int64(&item_id, 1)};

	if (PG_ARGISNULL(argument))
		return;
	oms_faults_init(&faults);
	array = oms_document_read_array(PG_GETARG_JSONB_P(argument), &oms_lot_shape, OMS_BULK_ROWS_MAX, "lots", &faults);
	oms_document_duplicates(&array, &oms_lot_shape, offsetof(LotDocument, lot), "lots", "lot", &faults);
	oms_faults_raise(&faults, "lots are not valid");
	for (int i = 0; i < array.count; i++)
	{
		LotDocument *lot = (LotDocument *) array.items + i;

		total += lot->quantity == DOC_ABSENT ? 1 : lot->quantity;
	}
	if (total != quantity)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Name a lot for every unit.", "lots",
				  "have " INT64_FORMAT " units, the call %d", total, quantity);
	if (!oms_lots_exist() || oms_query(&tracked_plan, values, NULL) == 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "items.tracking says which items have lots.", "lots",
				  "\"%s\" has no lots", item->sku);
	oms_faults_raise(&faults, "lots are not valid");
	oms_lots_give(row->item_id, row->location_id, (LotDocument *) array.items, array.count, exact);
}

static bool
is_given(const Tracked *tracked, const GivenLot *given)
{
	return given->item_id == tracked->row->item_id && given->quantity > 0 &&
		(given->location_id == 0 || given->location_id == tracked->row->location_id);
}

/* ---- Changing lots ---- */

static void
collect(TupleTableSlot *slot, void *state)
{
	LotRows    *list = state;
	bool		isnull;

	if (list->count == list->capacity)
	{
		list->capacity = Max(16, list->capacity * 2);
		list->rows = oms_grown(list->rows, sizeof(Lot) * list->capacity);
	}
	list->rows[list->count++] = (Lot)
	{
		.lot = oms_slot_text(slot, 1),.quantity = oms_slot_int32(slot, 2),
			.expires_at = DatumGetTimestampTz(oms_slot_datum(slot, 3, &isnull)),.promised = oms_slot_int32(slot, 4)
	};
}

static void
read_lots(const Tracked *tracked, OmsPlan *plan, Datum *values, LotRows *lots)
{
	struct LotList *named = oms_call->lots;
	char	  **own = palloc(sizeof(char *) * (named ? named->count + 1 : 1));
	int32	   *units = palloc(sizeof(int32) * (named ? named->count + 1 : 1));
	int			count = 0;

	for (int i = 0; named && i < named->count; i++)
		if (named->rows[i].promised > 0 && named->rows[i].item_id == tracked->row->item_id &&
			named->rows[i].location_id == tracked->row->location_id)
		{
			own[count] = unconstify(char *, named->rows[i].lot);
			units[count++] = named->rows[i].promised;
		}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(tracked->row->item_id);
	values[2] = Int64GetDatum(tracked->row->location_id);
	values[3] = oms_array_text(own, count);
	values[4] = oms_array_int32(units, count);
	lots->count = 0;
	(void) oms_execute_each(plan, values, NULL, collect, lots);
}

/* Reads and locks the lots that the call names, and others if given. */
static void
read_named(const Tracked *tracked, const LotRows *others, LotRows *lots)
{
	struct LotList *named = oms_call->lots;
	char	  **codes = palloc(sizeof(char *) * ((named ? named->count : 0) + (others ? others->count : 0) + 1));
	int			count = 0;
	Datum		values[6];

	for (int i = 0; named && i < named->count; i++)
		if (is_given(tracked, &named->rows[i]))
			codes[count++] = unconstify(char *, named->rows[i].lot);
	for (int i = 0; others && i < others->count; i++)
		codes[count++] = others->rows[i].lot;
	values[5] = oms_array_text(codes, count);
	if (count > 0)
		read_lots(tracked, &named_plan, values, lots);
}

static Lot *
find_lot(LotRows *lots, const char *code)
{
	for (int i = 0; i < lots->count; i++)
		if (strcmp(lots->rows[i].lot, code) == 0)
			return &lots->rows[i];
	return NULL;
}

static void
record(const Tracked *tracked, const char *lot, TimestampTz expires_at, int32 delta)
{
	Datum		values[10] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(tracked->row->item_id),
		Int64GetDatum(tracked->row->location_id), Int64GetDatum(tracked->row->order_id), TimestampTzGetDatum(oms_call->now),
	TimestampTzGetDatum(expires_at), Int32GetDatum(delta), CStringGetTextDatum(lot), CStringGetTextDatum(tracked->type)};
	char		nulls[11] = "          ";

	values[9] = oms_text_or_null(tracked->reference, &nulls[9]);
	(void) oms_execute(&record_plan, values, nulls);
}

/* Takes units from a lot that is there; a lot without units has no row. */
static void
take(const Tracked *tracked, Lot *lot, int32 units)
{
	Datum		values[5] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(tracked->row->item_id),
		Int64GetDatum(tracked->row->location_id), Int32GetDatum(lot->quantity - units), CStringGetTextDatum(lot->lot)};

	lot->quantity -= units;
	if (lot->quantity > 0)
		(void) oms_execute(&update_plan, values, NULL);
	else
	{
		values[3] = values[4];
		(void) oms_execute(&delete_plan, values, NULL);
	}
	record(tracked, lot->lot, lot->expires_at, -units);
}

typedef struct WithCustomer
{
	int64		order_id;		/* 0: it is not */
	int32		line_no;
} WithCustomer;

static void
read_with_customer(TupleTableSlot *slot, void *state)
{
	*(WithCustomer *) state = (WithCustomer) {oms_slot_int64(slot, 1), oms_slot_int32(slot, 2)};
}

/* What is with a customer comes back as a return, so that the order knows; a correction says why it does not. */
static void
refuse_with_customer(const Tracked *tracked, const char *lot, Datum *values)
{
	WithCustomer with = {0};

	if (strcmp(tracked->type, "receive") != 0 && strcmp(tracked->type, "receive_supply") != 0)
		return;
	(void) oms_execute_each(&with_customer_plan, values, NULL, read_with_customer, &with);
	if (with.order_id == 0)
		return;
	ereport(ERROR,
			(errcode(ERRCODE_OMS_TRANSITION),
			 errmsg("serial number \"%s\" of \"%s\" is with a customer", lot, tracked->sku),
			 errdetail("lots: \"%s\" left with order " INT64_FORMAT ", line %d, and is not back", lot, with.order_id, with.line_no),
			 errhint("oms.receive_return takes it back; oms.adjust_stock brings it in with a reason.")));
}

static void
refuse_serial(const Tracked *tracked, const char *lot, int32 units)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(tracked->row->item_id), CStringGetTextDatum(lot)};

	if (units == 1 && oms_query(&elsewhere_plan, values, NULL) == 0)
	{
		refuse_with_customer(tracked, lot, values);
		return;
	}
	ereport(ERROR,
			(errcode(ERRCODE_OMS_DOCUMENT),
			 errmsg("serial number \"%s\" of \"%s\" %s", lot, tracked->sku, units == 1 ? "is there already" : "is one unit"),
			 errdetail("lots: \"%s\"", lot),
			 errhint("A serial number stands for one unit, at one location.")));
}

/* Adds units to a lot, which is made if it is not there. */
static void
put(const Tracked *tracked, LotRows *lots, const char *code, TimestampTz expires_at, int32 units)
{
	Lot		   *lot = find_lot(lots, code);
	TimestampTz until = expires_at;
	Datum		values[9] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(tracked->row->item_id),
		Int64GetDatum(tracked->row->location_id), Int32GetDatum(units)};

	if (tracked->serial)
		refuse_serial(tracked, code, units);
	if (lot != NULL && lot->quantity > 0)
	{
		if (expires_at != DT_NOBEGIN && expires_at != lot->expires_at)
			ereport(ERROR,
					(errcode(ERRCODE_OMS_DOCUMENT),
					 errmsg("lot \"%s\" of \"%s\" is there with another expiry", code, tracked->sku),
					 errdetail("lots: \"%s\"", code),
					 errhint("Leave expires_at out, or give the lot another code.")));
		lot->quantity += units;
		values[3] = Int32GetDatum(lot->quantity);
		values[4] = CStringGetTextDatum(code);
		(void) oms_execute(&update_plan, values, NULL);
		record(tracked, code, lot->expires_at, units);
		return;
	}
	if (expires_at == DT_NOBEGIN)
		expires_at = until = DT_NOEND;
	if (expires_at != DT_NOEND)
		until = expires_at - tracked->minimum_life_days * USECS_PER_DAY;
	values[4] = BoolGetDatum(tracked->serial);
	values[5] = TimestampTzGetDatum(oms_call->now);
	values[6] = TimestampTzGetDatum(expires_at);
	values[7] = TimestampTzGetDatum(until);
	values[8] = CStringGetTextDatum(code);
	(void) oms_execute(&insert_plan, values, NULL);
	record(tracked, code, expires_at, units);
}

/* What leaves for a customer must not have expired. */
static bool
may_leave(const Tracked *tracked, const Lot *lot)
{
	return tracked->row->order_id == 0 || lot->expires_at > oms_call->now;
}

static void
take_given(const Tracked *tracked, LotRows *lots, GivenLot *given, int32 units)
{
	Lot		   *lot = find_lot(lots, given->lot);

	if (lot && may_leave(tracked, lot) && lot->quantity >= units && lot->quantity - lot->promised < units)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
				 errmsg("%d of the %d units of lot \"%s\" of \"%s\" are promised to orders that asked for it", lot->promised,
						lot->quantity, given->lot, tracked->sku),
				 errdetail("lots: \"%s\"", given->lot),
				 errhint("oms.allocations names the lot; cancel or edit those orders first.")));
	if (lot == NULL || lot->quantity < units || !may_leave(tracked, lot))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
				 errmsg("lot \"%s\" of \"%s\" has %d units that may leave, not %d", given->lot, tracked->sku,
						lot && may_leave(tracked, lot) ? lot->quantity : 0, units),
				 errdetail("lots: \"%s\"", given->lot),
				 errhint("oms.lots shows what is where and when it expires.")));
	take(tracked, lot, units);
	given->quantity -= units;
}

/* Takes units from the lots whose turn it is; what does not leave for a customer goes by expiry. */
static int32
take_first(const Tracked *tracked, int32 units)
{
	LotRows		lots = {0};
	Datum		values[8];

	/* Lots that others emptied while we waited are left out, so an answer without rows is asked again. */
	for (int empty = 0; units > 0 && empty < 3;)
	{
		CHECK_FOR_INTERRUPTS();
		values[5] = TimestampTzGetDatum(tracked->row->order_id == 0 ? DT_NOBEGIN : oms_call->now);
		values[6] = Int32GetDatum(units);
		values[7] = CStringGetTextDatum(tracked->row->order_id == 0 ? "fefo" : tracked->order);
		read_lots(tracked, &first_plan, values, &lots);
		empty = lots.count == 0 ? empty + 1 : 0;
		for (int i = 0; i < lots.count && units > 0; i++)
		{
			int32		taken = Min(units, lots.rows[i].quantity - lots.rows[i].promised);

			take(tracked, &lots.rows[i], taken);
			units -= taken;
		}
	}
	return units;
}

static void
require_lots(const Tracked *tracked, int32 units)
{
	if (units > 0 && tracked->required && tracked->row->order_id != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("\"%s\" does not leave without %s", tracked->sku, tracked->serial ? "a serial number" : "a lot"),
				 errdetail("lots: %d units of \"%s\" are named by none", units, tracked->sku),
				 errhint("Name them in the lines of the call, such as [{\"line_no\":1,\"lots\":[{\"lot\":\"A7\"}]}].")));
}

/* Named lots first, then those whose turn it is. */
static void
take_units(const Tracked *tracked, int32 units)
{
	struct LotList *named = oms_call->lots;
	LotRows		lots = {0};

	read_named(tracked, NULL, &lots);
	for (int i = 0; named && i < named->count && units > 0; i++)
		if (is_given(tracked, &named->rows[i]))
		{
			int32		taken = Min(units, named->rows[i].quantity);

			take_given(tracked, &lots, &named->rows[i], taken);
			units -= taken;
		}
	require_lots(tracked, units);
	units = take_first(tracked, units);
	if (units > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
				 errmsg("%d units of \"%s\" are missing in lots that may leave", units, tracked->sku),
				 errdetail("The rest has expired or belongs to no lot."),
				 errhint("oms.lots shows what is where and when it expires; oms.count_stock takes expired units away.")));
}

/* A lot that is said to come back must have left with the order, as far as its lots were known then. */
static TimestampTz
take_back(const Tracked *tracked, LotRows *sent, const char *code, int32 units)
{
	Lot		   *lot = find_lot(sent, code);

	if (lot == NULL || lot->quantity < units)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("%d units of lot \"%s\" of \"%s\" cannot come back from order " INT64_FORMAT, units, code, tracked->sku,
						tracked->row->order_id),
				 errdetail("lots: \"%s\" left with %d units that are not back", code, lot ? lot->quantity : 0),
				 errhint("oms.lot_movements shows what an order took.")));
	lot->quantity -= units;
	return lot->expires_at;
}

/* What the call names for other locations does not come back here. */
static void
leave_given(const Tracked *tracked, LotRows *sent)
{
	struct LotList *named = oms_call->lots;

	for (int i = 0; named && i < named->count; i++)
	{
		Lot		   *lot = find_lot(sent, named->rows[i].lot);

		if (lot != NULL && named->rows[i].item_id == tracked->row->item_id && !is_given(tracked, &named->rows[i]))
			lot->quantity -= Min(lot->quantity, named->rows[i].quantity);
	}
}

/* Named lots first; what comes back from an order goes into the lots that it came from. */
static void
put_units(const Tracked *tracked, int32 units)
{
	struct LotList *named = oms_call->lots;
	LotRows		lots = {0};
	LotRows		sent = {0};
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(tracked->row->order_id),
	Int64GetDatum(tracked->row->item_id)};

	if (tracked->row->order_id != 0)
		(void) oms_execute_each(&of_order_plan, values, NULL, collect, &sent);
	read_named(tracked, &sent, &lots);
	for (int i = 0; named && i < named->count && units > 0; i++)
		if (is_given(tracked, &named->rows[i]))
		{
			int32		added = Min(units, named->rows[i].quantity);
			TimestampTz expires_at = named->rows[i].expires_at;

			if (sent.count > 0)
				expires_at = take_back(tracked, &sent, named->rows[i].lot, added);
			if (sent.count > 0 && find_lot(&lots, named->rows[i].lot))
				expires_at = DT_NOBEGIN;
			put(tracked, &lots, named->rows[i].lot, expires_at, added);
			named->rows[i].quantity -= added;
			units -= added;
		}
	leave_given(tracked, &sent);
	for (int i = 0; i < sent.count && units > 0; i++)
	{
		int32		added = Min(units, sent.rows[i].quantity);

		if (added == 0)
			continue;
		put(tracked, &lots, sent.rows[i].lot, find_lot(&lots, sent.rows[i].lot) ? DT_NOBEGIN : sent.rows[i].expires_at, added);
		units -= added;
	}
	if (units > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("\"%s\" asks for a lot", tracked->sku),
				 errdetail("lots: %d units come without one", units),
				 errhint("Give lots such as [{\"lot\":\"A7\",\"quantity\":%d,\"expires_at\":\"2027-01-31\"}].", units)));
}

/* What is left of a lot must be what orders were promised that asked for it: no other will do for them. */
static void
refuse_promised(const Tracked *tracked, const Lot *lot, int32 counted)
{
	ereport(ERROR,
			(errcode(ERRCODE_OMS_INSUFFICIENT_STOCK),
			 errmsg("%d units of lot \"%s\" of \"%s\" are promised to orders that asked for it, %d are counted", lot->promised,
					lot->lot, tracked->sku, counted),
			 errdetail("lots: \"%s\"", lot->lot),
			 errhint("oms.allocations names the lot; cancel or edit those orders first.")));
}

/* A count that names its lots makes them what is there, each of them. */
static void
set_lots(const Tracked *tracked)
{
	struct LotList *named = oms_call->lots;
	LotRows		lots = {0};
	Datum		values[5];

	read_lots(tracked, &all_plan, values, &lots);
	for (int i = 0; i < lots.count; i++)
	{
		int32		counted = 0;

		for (int j = 0; j < named->count; j++)
			if (strcmp(named->rows[j].lot, lots.rows[i].lot) == 0)
				counted = named->rows[j].quantity;
		if (counted < lots.rows[i].promised)
			refuse_promised(tracked, &lots.rows[i], counted);
		if (counted < lots.rows[i].quantity)
			take(tracked, &lots.rows[i], lots.rows[i].quantity - counted);
	}
	for (int j = 0; j < named->count; j++)
	{
		Lot		   *lot = find_lot(&lots, named->rows[j].lot);
		int32		there = lot ? lot->quantity : 0;

		if (named->rows[j].quantity > there)
			put(tracked, &lots, named->rows[j].lot, named->rows[j].expires_at, named->rows[j].quantity - there);
	}
}

static void
follow(const Tracked *tracked)
{
	CHECK_FOR_INTERRUPTS();
	if (oms_call->lots && oms_call->lots->exact)
		set_lots(tracked);
	else if (tracked->row->on_hand_delta < 0)
		take_units(tracked, -tracked->row->on_hand_delta);
	else
		put_units(tracked, tracked->row->on_hand_delta);
}

typedef struct TrackedList
{
	const StockRow **rows;
	int			count;
	Tracked    *tracked;
} TrackedList;

static void
read_tracked(TupleTableSlot *slot, void *state)
{
	TrackedList *list = state;

	list->tracked[list->count++] = (Tracked)
	{
		.row = list->rows[oms_slot_int64(slot, 1) - 1],.serial = oms_slot_bool(slot, 2),
			.minimum_life_days = oms_slot_int32(slot, 3),.sku = oms_slot_text(slot, 4),.order = oms_slot_text(slot, 5),
			.required = oms_slot_bool(slot, 6)
	};
}

/* Makes the lots of tracked items follow a change of on hand, under the lock of the counters. */
void
oms_lots_follow(const StockRow *rows, int count, const char *type, const char *reference)
{
	TrackedList list = {0};
	int64	   *items;
	int			changed = 0;
	Datum		values[2];

	if (!oms_lots_exist())
		return;
	list.rows = palloc_extended(sizeof(StockRow *) * Max(1, count), MCXT_ALLOC_HUGE);
	list.tracked = palloc_extended(sizeof(Tracked) * Max(1, count), MCXT_ALLOC_HUGE);
	items = palloc_extended(sizeof(int64) * Max(1, count), MCXT_ALLOC_HUGE);
	for (int i = 0; i < count; i++)
		if (rows[i].on_hand_delta != 0 || (oms_call->lots && oms_call->lots->exact))
		{
			items[changed] = rows[i].item_id;
			list.rows[changed++] = &rows[i];
		}
	if (changed == 0)
		return;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items, changed);
	(void) oms_execute_each(&tracked_plan, values, NULL, read_tracked, &list);
	for (int i = 0; i < list.count; i++)
	{
		list.tracked[i].type = type;
		list.tracked[i].reference = reference;
		follow(&list.tracked[i]);
	}
}

/* ---- Units whose time is over ---- */

typedef struct Stale
{
	StockRow   *rows;			/* by item, location */
	int			count;
	bool		locked;
} Stale;

static void
read_stale(TupleTableSlot *slot, void *state)
{
	Stale	   *stale = state;
	int32		units = (int32) Min(oms_slot_int64(slot, 3), OMS_QUANTITY_MAX);

	for (int i = 0; i < stale->count; i++)
	{
		StockRow   *row = &stale->rows[i];

		if (row->item_id != oms_slot_int64(slot, 1) || row->location_id != oms_slot_int64(slot, 2))
			continue;
		if (stale->locked)
			row->kept += units;
		else
			row->safety += units;
	}
}

static void
find_stale(StockRow *rows, int count, bool locked)
{
	Stale		stale = {rows, count, locked};
	int64	   *items;
	Datum		values[3];

	if (count == 0 || !oms_lots_exist())
		return;
	items = palloc(sizeof(int64) * count);
	for (int i = 0; i < count; i++)
		items[i] = rows[i].item_id;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(items, count);
	values[2] = TimestampTzGetDatum(oms_call->now);
	(void) oms_execute_each(&stale_plan, values, NULL, read_stale, &stale);
}

/* Keeps units back that are no longer for sale: as safety where counters were read to plan. */
void
oms_lots_discount(StockView *view)
{
	find_stale(view->rows, view->count, false);
}

/* The same for counters that are about to be locked. */
void
oms_lots_keep(StockRow *rows, int count)
{
	find_stale(rows, count, true);
}

/* Units whose time on sale ends from now until some time. */
static OmsPlan ending_plan = {
	.sql = "SELECT item_id, location_id, sell_until, sum(greatest(0, quantity -" PROMISED_OF("l") "))::bigint FROM {lots} l WHERE item_id = ANY ($2) AND tenant_id = $1"
	" AND sell_until > $3 AND sell_until <= $4 GROUP BY item_id, location_id, sell_until",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID, TIMESTAMPTZOID)
};

/* What a reading of lots whose time ends looks for. */
typedef struct Ending
{
	StockRow   *rows;
	int			count;
	const LotHorizon *horizons;
	int			horizon_count;
	bool		locked;
	bool		found;
} Ending;

/* Until when lots of a location must last. */
static TimestampTz
horizon_at(const LotHorizon *horizons, int count, int64 location_id)
{
	TimestampTz at = DT_NOBEGIN;

	for (int i = 0; i < count; i++)
		if (horizons[i].location_id == location_id)
			at = Max(at, horizons[i].at);
	return at;
}

static void
read_ending(TupleTableSlot *slot, void *state)
{
	Ending	   *ending = state;
	bool		isnull;
	TimestampTz sell_until = DatumGetTimestampTz(oms_slot_datum(slot, 3, &isnull));
	int32		units = (int32) Min(oms_slot_int64(slot, 4), OMS_QUANTITY_MAX);

	if (sell_until > horizon_at(ending->horizons, ending->horizon_count, oms_slot_int64(slot, 2)))
		return;
	ending->found = true;
	for (int i = 0; i < ending->count; i++)
	{
		StockRow   *row = &ending->rows[i];

		if (row->item_id != oms_slot_int64(slot, 1) || row->location_id != oms_slot_int64(slot, 2))
			continue;
		if (ending->locked)
			row->kept += units;
		else
			row->safety += units;
	}
}

static bool
find_ending(Ending *ending, const int64 *item_ids, int count)
{
	TimestampTz last = DT_NOBEGIN;
	Datum		values[4];

	for (int i = 0; i < ending->horizon_count; i++)
		last = Max(last, ending->horizons[i].at);
	if (count == 0 || last <= oms_call->now || !oms_lots_exist())
		return false;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(item_ids, count);
	values[2] = TimestampTzGetDatum(oms_call->now);
	values[3] = TimestampTzGetDatum(last);
	(void) oms_execute_each(&ending_plan, values, NULL, read_ending, ending);
	return ending->found;
}

static bool
find_ending_of_rows(Ending *ending)
{
	int64	   *item_ids = palloc(sizeof(int64) * Max(1, ending->count));

	for (int i = 0; i < ending->count; i++)
		item_ids[i] = ending->rows[i].item_id;
	return find_ending(ending, item_ids, ending->count);
}

/* Keeps units back, beside those that are over now, whose time ends before what is promised of a location is there. */
void
oms_lots_discount_until(StockView *view, const LotHorizon *horizons, int count)
{
	(void) find_ending_of_rows(&(Ending) {.rows = view->rows,.count = view->count,.horizons = horizons,.horizon_count = count});
}

/* The same for counters that are about to be locked, or are. */
void
oms_lots_keep_until(StockRow *rows, int count, const LotHorizon *horizons, int horizon_count)
{
	(void) find_ending_of_rows(&(Ending) {.rows = rows,.count = count,.horizons = horizons,.horizon_count = horizon_count,
							   .locked = true});
}

/* Whether some lot of some items would not last. */
bool
oms_lots_end(const int64 *item_ids, int count, const LotHorizon *horizons, int horizon_count)
{
	return find_ending(&(Ending) {.horizons = horizons,.horizon_count = horizon_count}, item_ids, count);
}

/* What is promised of a lot, and of the others as much as the rest wants, in the order of the item. */
static OmsPlan suggest_plan = {
	.sql = "WITH wanted AS (SELECT item_id, location_id, lot, sum(promised - shipped - cancelled) AS units FROM {allocations}"
	" WHERE tenant_id = $1 AND fulfillment_id = $2"
	" AND order_id = (SELECT order_id FROM {fulfillments} WHERE fulfillment_id = $2 AND tenant_id = $1)"
	" GROUP BY item_id, location_id, lot)"
	" SELECT sku, lot, units::int, expires_at FROM (SELECT i.sku, w.lot, least(w.units, l.quantity) AS units, l.expires_at, 0::bigint AS before"
	" FROM wanted w JOIN {items} i ON i.item_id = w.item_id AND i.tenant_id = $1 JOIN {lots} l ON l.item_id = w.item_id"
	" AND l.location_id = w.location_id AND l.lot = w.lot AND l.tenant_id = $1 WHERE l.expires_at IS NULL OR l.expires_at > $3"
	" UNION ALL SELECT i.sku, x.lot, least(x.units, w.units - x.before), x.expires_at, x.before + 1 FROM wanted w"
	" JOIN {items} i ON i.item_id = w.item_id AND i.tenant_id = $1 CROSS JOIN LATERAL (SELECT lot, units, expires_at,"
	" sum(units) OVER (" IN_ORDER("i.lot_order") " ROWS UNBOUNDED PRECEDING) - units AS before FROM (SELECT l.lot, l.expires_at,"
	" l.received_at, l.quantity -" PROMISED_OF("l") " AS units FROM {lots} l WHERE l.item_id = w.item_id AND l.location_id = w.location_id"
	" AND l.tenant_id = $1 AND (l.expires_at IS NULL OR l.expires_at > $3)) l WHERE units > 0) x"
	" WHERE w.lot IS NULL AND i.tracking <> 'none' AND x.before < w.units) s ORDER BY sku, before, lot",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

/*
 * oms.suggest_lots(fulfillment_id) -> setof (sku, lot, quantity, expires_at)
 *
 * What shipping takes where it names no lots.
 */
OMS_FUNCTION(oms_suggest_lots, CALL_READ)
{
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(oms_argument_id(fcinfo, 0, "fulfillment_id")),
	TimestampTzGetDatum(oms_call->now)};

	oms_return_rows(fcinfo, &suggest_plan, values, NULL);
	*isnull = true;
	return (Datum) 0;
}
