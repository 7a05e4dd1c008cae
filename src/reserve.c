/*
 * reserve.c
 *	  Making a reservation: reading what a cart asks for, choosing the counters
 *	  that serve it, and taking the units.
 */
#include "oms.h"

#include "miscadmin.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "kit.h"
#include "machine.h"
#include "quota.h"
#include "relation.h"
#include "scope.h"

/* Plans made anew because the counters had changed before they were locked. */
#define RESERVE_ATTEMPTS_MAX 20

static OmsPlan of_cart_plan = {
	.sql = "SELECT reservation_id FROM {reservations} WHERE tenant_id = $1 AND channel_id = $2 AND reference = $3"
	" AND status = 'held'",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {reservations} (reservation_id, channel_id, created_at, expires_at, tenant_id, status, reference)"
	" VALUES ($2, $3, $4, $5, $1, $6, $7) ON CONFLICT (tenant_id, channel_id, reference) WHERE status = 'held' DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID)
};

static OmsPlan insert_lines_plan = {
	.sql = "INSERT INTO {reservation_lines} (reservation_id, item_id, location_id, tenant_id, quantity)"
	" SELECT $2, u.item_id, u.location_id, $1, u.quantity"
	" FROM unnest($3::bigint[], $4::bigint[], $5::int[]) u(item_id, location_id, quantity)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID)
};

typedef struct LineDocument
{
	char	   *sku;
	char	   *location;
	char	   *group;
	int32		quantity;
	int32		least;
} LineDocument;

static const DocField line_fields[] = {
	{"sku", DOC_CODE, offsetof(LineDocument, sku), .required = true},
	{"quantity", DOC_INT, offsetof(LineDocument, quantity), .required = true,.least = 1,.most = OMS_QUANTITY_MAX},
	{"location", DOC_CODE, offsetof(LineDocument, location)},
	{"group", DOC_CODE, offsetof(LineDocument, group)},
	{"least", DOC_INT, offsetof(LineDocument, least), .least = 1,.most = OMS_QUANTITY_MAX},
};

static const DocShape line_shape = DOC_SHAPE_OF(LineDocument, line_fields, "a line");

typedef struct WantedLine
{
	LineDocument *document;
	CatalogItem *item;
	Location   *pinned;			/* NULL: anywhere, or in the group that the document names */
	int			position;		/* in the call, of a component that of its kit */
	const struct WantedLine *together;	/* the line of a kit that is held at one location; NULL: none */
	int32		missing;
} WantedLine;

/* Units of a line at a counter. */
typedef struct Taken
{
	int			line;
	StockRow   *row;			/* of the view */
	int32		quantity;
} Taken;

typedef struct Request
{
	Channel    *channel;
	char	   *reference;
	bool		partial;
	TimestampTz expires_at;
	int64		reservation_id;
	int			line_count;
	WantedLine *lines;
	HoldList   *holds;
	QuotaList  *quotas;
	StockView  *view;
	int			taken_count;
	int			taken_capacity;
	Taken	   *taken;
} Request;

/* Least is what a partial line is worth having for. */
static void
check_least(const Request *request, int index, FaultList *faults)
{
	const LineDocument *document = request->lines[index].document;

	if (document->least == DOC_ABSENT)
		return;
	if (!request->partial)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Without partial every line is held whole.",
				  oms_document_place("lines", index, "least"), "needs the argument partial");
	else if (document->least > document->quantity)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Give no more than the quantity.",
				  oms_document_place("lines", index, "least"), "is %d of %d units", document->least, document->quantity);
}

static void
resolve_line(Request *request, int index, ItemSet *items, FaultList *faults)
{
	WantedLine *line = &request->lines[index];
	const char *code = line->document->location;

	line->item = oms_items_find(items, line->document->sku);
	if (line->item == NULL)
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_items adds an item.",
				  oms_document_place("lines", index, "sku"), "SKU \"%s\" is not known", line->document->sku);
	else if (!line->item->active)
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_items switches an item on again.",
				  oms_document_place("lines", index, "sku"), "SKU \"%s\" is no longer sold", line->document->sku);
	check_least(request, index, faults);
	if (line->document->group && code)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Leave one of them out.", oms_document_place("lines", index, "group"),
				  "a line names a location or a group");
	else if (line->document->group && !oms_location_group_exists(line->document->group))
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations with groups makes it.",
				  oms_document_place("lines", index, "group"), "group \"%s\" is not known", line->document->group);
	if (code == NULL)
		return;
	line->pinned = oms_location_find(code);
	if (line->pinned == NULL)
		oms_fault(faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_locations adds a location.",
				  oms_document_place("lines", index, "location"), "location \"%s\" is not known", code);
	else if (!oms_location_serves(line->pinned, request->channel, PURPOSE_SHIP | PURPOSE_PICKUP))
		oms_fault(faults, ERRCODE_OMS_NO_LOCATION, "Link it in channel_locations or leave the location out.",
				  oms_document_place("lines", index, "location"), "channel \"%s\" may not use location \"%s\"",
				  request->channel->code, code);
}

/* Lines of a kit: its components, each with what the kit's line says. */
static void
expand_line(const WantedLine *line, int position, const KitList *list, WantedLine *lines, int *count, FaultList *faults)
{
	int			components;
	KitComponent *rows = oms_kit_components(list, line->item->item_id, &components);

	if (rows == NULL)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "oms.upsert_items with components says what is in it.",
				  oms_document_place("lines", position, "sku"), "kit \"%s\" has no components", line->item->sku);
	for (int i = 0; i < components; i++)
	{
		WantedLine *part = &lines[(*count)++];

		*part = *line;
		part->together = rows[i].ship_together && line->pinned == NULL ? line : NULL;
		part->document = palloc(sizeof(LineDocument));
		*part->document = *line->document;
		part->item = &rows[i].item;
		part->document->sku = rows[i].item.sku;
		if ((int64) line->document->quantity * rows[i].quantity > OMS_QUANTITY_MAX)
			oms_fault(faults, ERRCODE_OMS_LIMIT, "Hold fewer sets.", oms_document_place("lines", position, "quantity"),
					  "is more than %d units of \"%s\"", OMS_QUANTITY_MAX, rows[i].item.sku);
		else
			part->document->quantity *= rows[i].quantity;
	}
}

/* Kits are held by their components, whole sets of them. */
static void
expand_kits(Request *request, FaultList *faults)
{
	int64	   *ids = palloc(sizeof(int64) * request->line_count);
	int			kit_count = 0;
	int			count = 0;
	KitList    *list;
	WantedLine *lines;

	for (int i = 0; i < request->line_count; i++)
		if (request->lines[i].item->kind == ITEM_KIT)
			ids[kit_count++] = request->lines[i].item->item_id;
	if (kit_count == 0)
		return;
	if (request->partial)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Leave partial out, or hold the components.", "partial",
				  "a kit is held whole or not at all");
	list = oms_kits_read(ids, kit_count);
	lines = MemoryContextAllocHuge(CurrentMemoryContext, sizeof(WantedLine) *
								   (request->line_count + (Size) kit_count * OMS_KIT_COMPONENTS_MAX));
	for (int i = 0; i < request->line_count; i++)
	{
		if (request->lines[i].item->kind == ITEM_KIT)
			expand_line(&request->lines[i], i, list, lines, &count, faults);
		else
			lines[count++] = request->lines[i];
	}
	request->lines = lines;
	request->line_count = count;
}

static void
read_request(FunctionCallInfo fcinfo, Request *request)
{
	FaultList	faults;
	DocArray	array;
	char	  **skus;
	ItemSet    *items;

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of lines.", "lines", "is null");
	oms_faults_raise(&faults, "reservation is not valid");
	array = oms_document_read_array(PG_GETARG_JSONB_P(0), &line_shape, OMS_LINES_PER_ORDER_MAX, "lines", &faults);
	if (faults.count == 0 && array.count == 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give at least one line.", "lines", "is empty");
	oms_faults_raise(&faults, "reservation is not valid");
	request->channel = oms_channel_get(PG_ARGISNULL(2) ? "default" : oms_argument_text(fcinfo, 2));
	request->expires_at = oms_reservation_expiry(fcinfo, 1, request->channel);
	request->reference = PG_ARGISNULL(3) ? NULL : oms_argument_required(fcinfo, 3, "reference");
	request->partial = !PG_ARGISNULL(4) && PG_GETARG_BOOL(4);
	request->line_count = array.count;
	request->lines = palloc0(sizeof(WantedLine) * array.count);
	skus = palloc(sizeof(char *) * array.count);
	for (int i = 0; i < array.count; i++)
	{
		request->lines[i].document = (LineDocument *) array.items + i;
		request->lines[i].position = i;
		skus[i] = request->lines[i].document->sku;
	}
	items = oms_items_read(skus, array.count);
	for (int i = 0; i < array.count; i++)
		resolve_line(request, i, items, &faults);
	oms_faults_raise(&faults, "reservation is not valid");
	expand_kits(request, &faults);
	oms_faults_raise(&faults, "reservation is not valid");
}

static int64
free_units(const StockRow *row)
{
	return (int64) row->on_hand - row->reserved - row->safety;
}

static void
take(Request *request, int line, StockRow *row, int32 quantity)
{
	if (quantity <= 0)
		return;
	if (request->taken_count == request->taken_capacity)
	{
		request->taken_capacity *= 2;
		request->taken = repalloc_huge(request->taken, sizeof(Taken) * request->taken_capacity);
	}
	request->taken[request->taken_count++] = (Taken) {line, row, quantity};
	row->reserved += quantity;
	request->lines[line].missing -= quantity;
}

/* Whether a is the better place for the units: it has them all, then rank, then more of them. */
static bool
is_better(const StockRow *a, const StockRow *b, int32 wanted)
{
	bool		a_whole = free_units(a) >= wanted;
	bool		b_whole = free_units(b) >= wanted;
	int32		a_rank = oms_location_by_id(a->location_id)->rank;
	int32		b_rank = oms_location_by_id(b->location_id)->rank;

	if (a_whole != b_whole)
		return a_whole;
	if (a_rank != b_rank)
		return a_rank < b_rank;
	return free_units(a) > free_units(b);
}

/* Whether the line may be served from the location.  One that it names may be for pickup. */
static bool
is_allowed(const Request *request, const WantedLine *line, const Location *location)
{
	return location && (line->pinned == NULL || line->pinned == location) &&
		(line->document->group == NULL || oms_location_in_group(location, line->document->group)) &&
		oms_location_serves(location, request->channel, line->pinned ? PURPOSE_SHIP | PURPOSE_PICKUP : PURPOSE_SHIP);
}

static StockRow *
best_row(const Request *request, const WantedLine *line)
{
	StockRow   *best = NULL;

	for (int i = 0; i < request->view->count; i++)
	{
		StockRow   *row = &request->view->rows[i];

		if (row->item_id != line->item->item_id || free_units(row) <= 0 ||
			!is_allowed(request, line, oms_location_by_id(row->location_id)))
			continue;
		if (best == NULL || is_better(row, best, line->missing))
			best = row;
	}
	return best;
}

/* A counter of the line's item that its units could come from if another line gave them up. */
typedef struct Step
{
	int			row;			/* of the view */
	int			from;			/* the step before, -1: the line itself wants this row */
	int			taken;			/* units at the row before that would move here */
} Step;

/* Adds the rows not seen yet that the line may be served from; true where the last one has units. */
static bool
add_steps(Request *request, int line, int from, int taken, Step *steps, int *count, bool *seen)
{
	for (int i = 0; i < request->view->count; i++)
	{
		StockRow   *row = &request->view->rows[i];

		if (seen[i] || row->item_id != request->lines[line].item->item_id ||
			!is_allowed(request, &request->lines[line], oms_location_by_id(row->location_id)))
			continue;
		seen[i] = true;
		steps[(*count)++] = (Step) {i, from, taken};
		if (free_units(row) > 0)
			return true;
	}
	return false;
}

/* The same where the line may have units of that row already. */
static void
take_more(Request *request, int line, StockRow *row, int32 quantity)
{
	for (int i = 0; i < request->taken_count; i++)
	{
		Taken	   *taken = &request->taken[i];

		if (taken->line != line || taken->row != row || taken->quantity == 0)
			continue;
		taken->quantity += quantity;
		row->reserved += quantity;
		request->lines[line].missing -= quantity;
		return;
	}
	take(request, line, row, quantity);
}

/* Moves units along the steps that end at a row with free ones, and gives the line what that frees. */
static void
move_along(Request *request, int index, const Step *steps, int last)
{
	int64		quantity = Min(request->lines[index].missing, free_units(&request->view->rows[steps[last].row]));

	for (int i = last; steps[i].from >= 0; i = steps[i].from)
		quantity = Min(quantity, request->taken[steps[i].taken].quantity);
	for (int i = last; i >= 0; i = steps[i].from)
	{
		StockRow   *row = &request->view->rows[steps[i].row];
		int			line = index;

		if (steps[i].from >= 0)
		{
			Taken	   *taken = &request->taken[steps[i].taken];

			line = taken->line;
			taken->quantity -= quantity;
			taken->row->reserved -= quantity;
			request->lines[line].missing += quantity;
		}
		take_more(request, line, row, quantity);
	}
}

/*
 * Groups may overlap, so a line may miss units that another line has taken and
 * need not have.  Looks for the shortest chain of lines, each of which can move
 * to a counter that the next one leaves, up to one with free units.
 */
static bool
make_room(Request *request, int index)
{
	int			rows = request->view->count;
	Step	   *steps = palloc(sizeof(Step) * Max(1, rows));
	bool	   *seen = palloc0(Max(1, rows));
	int			count = 0;
	bool		found = add_steps(request, index, -1, -1, steps, &count, seen);

	for (int i = 0; i < count && !found; i++)
		for (int j = 0; j < request->taken_count && !found; j++)
			if (request->taken[j].quantity > 0 && request->taken[j].row == &request->view->rows[steps[i].row] &&
				request->lines[request->taken[j].line].together == NULL)
				found = add_steps(request, request->taken[j].line, i, j, steps, &count, seen);
	if (found)
		move_along(request, index, steps, count - 1);
	pfree(steps);
	pfree(seen);
	return found;
}

/* Forgets the units taken for a line, or those moved away where no line is named. */
static void
forget_taken(Request *request, int line)
{
	int			kept = 0;

	for (int i = 0; i < request->taken_count; i++)
	{
		Taken	   *taken = &request->taken[i];

		if (taken->line == line)
			taken->row->reserved -= taken->quantity;
		else if (taken->quantity > 0)
			request->taken[kept++] = *taken;
	}
	request->taken_count = kept;
}

static void
serve_line(Request *request, int index)
{
	WantedLine *line = &request->lines[index];
	StockRow   *row;

	while (line->missing > 0 && (row = best_row(request, line)) != NULL)
		take(request, index, row, (int32) Min(line->missing, free_units(row)));
	while (line->missing > 0 && line->document->group != NULL && make_room(request, index))
		CHECK_FOR_INTERRUPTS();
	if (line->document->least != DOC_ABSENT && line->document->quantity - line->missing < line->document->least)
	{
		line->missing = line->document->quantity;
		forget_taken(request, index);
	}
}

/* The counter of a line's item at a location, where it has all that the line wants; NULL: it has not. */
static StockRow *
row_with_all(const Request *request, const WantedLine *line, const Location *location)
{
	for (int i = 0; i < request->view->count; i++)
	{
		StockRow   *row = &request->view->rows[i];

		if (row->item_id == line->item->item_id && row->location_id == location->location_id)
			return free_units(row) >= line->missing ? row : NULL;
	}
	return NULL;
}

/* Whether one location has what is left of all components of a kit, which begin at a line. */
static bool
has_kit(const Request *request, int first, const Location *location)
{
	for (int i = first; i < request->line_count && request->lines[i].together == request->lines[first].together; i++)
		if (request->lines[i].missing > 0 && row_with_all(request, &request->lines[i], location) == NULL)
			return false;
	return is_allowed(request, &request->lines[first], location);
}

/* Holds a kit that ships together at one location, the best by rank; where none has it all, nothing is held. */
static void
serve_kit(Request *request, int first)
{
	const Location *best = NULL;

	for (int i = 0; i < request->view->count; i++)
	{
		const Location *location = oms_location_by_id(request->view->rows[i].location_id);

		if (location && (best == NULL || location->rank < best->rank) && has_kit(request, first, location))
			best = location;
	}
	for (int i = first; best && i < request->line_count && request->lines[i].together == request->lines[first].together; i++)
		if (request->lines[i].missing > 0)
			take(request, i, row_with_all(request, &request->lines[i], best), request->lines[i].missing);
}

/* Lines with fewer places go first: 3 a location, 2 a kit that ships together, 1 a group, 0 anywhere. */
static int
strictness(const WantedLine *line)
{
	return line->pinned ? 3 : line->together ? 2 : line->document->group ? 1 : 0;
}

static int64
wanted_of(const Request *request, int64 item_id)
{
	int64		wanted = 0;

	for (int i = 0; i < request->line_count; i++)
		if (request->lines[i].item->item_id == item_id)
			wanted += request->lines[i].document->quantity;
	return wanted;
}

/* Whether a line of the row's item may take from it. */
static bool
is_usable(const StockRow *row, void *state)
{
	const Request *request = state;
	Location   *location = oms_location_by_id(row->location_id);
	bool		wanted = false;

	for (int i = 0; i < request->line_count; i++)
		wanted |= request->lines[i].item->item_id == row->item_id && is_allowed(request, &request->lines[i], location);
	return wanted;
}

/* Plans from unlocked counters; false where units are missing. */
static bool
plan(Request *request, bool with_expired)
{
	int64	   *item_ids = palloc(sizeof(int64) * request->line_count);
	int			count = 0;
	int64		missing = 0;

	for (int i = 0; i < request->line_count; i++)
		if (request->lines[i].item->kind == ITEM_STOCKED)
			item_ids[count++] = request->lines[i].item->item_id;
	request->holds = oms_holds_read(request->holds->own, item_ids, with_expired ? count : 0);
	request->view = oms_quotas_view(request->channel, request->holds->own, item_ids, count, &request->quotas);
	oms_holds_credit(request->holds, request->view);
	for (int i = 0; request->quotas && i < count; i++)
		oms_quotas_trim(request->quotas, request->view, item_ids[i], wanted_of(request, item_ids[i]), is_usable, request);
	request->taken_count = 0;
	request->taken_capacity = 16;
	request->taken = palloc(sizeof(Taken) * request->taken_capacity);
	for (int i = 0; i < request->line_count; i++)
		request->lines[i].missing = request->lines[i].item->kind == ITEM_STOCKED
			? request->lines[i].document->quantity : 0;
	for (int pass = 3; pass >= 0; pass--)
		for (int i = 0; i < request->line_count; i++)
		{
			if (strictness(&request->lines[i]) != pass)
				continue;
			if (pass != 2)
				serve_line(request, i);
			else if (i == 0 || request->lines[i - 1].together != request->lines[i].together)
				serve_kit(request, i);
		}
	forget_taken(request, -1);
	for (int i = 0; i < request->line_count; i++)
		missing += request->lines[i].missing;
	return missing == 0;
}

static void
refuse_shortage(const Request *request)
{
	FaultList	faults;

	oms_faults_init(&faults);
	for (int i = 0; i < request->line_count; i++)
	{
		WantedLine *line = &request->lines[i];
		const char *place = oms_document_place("lines", line->position, "sku");

		if (line->missing == 0 || (line->together && i > 0 && line->together == line[-1].together && line[-1].missing > 0))
			continue;
		if (line->together)
			oms_fault(&faults, ERRCODE_OMS_INSUFFICIENT_STOCK, "oms.available shows how many sets each location has.", place,
					  "\"%s\": no location has all components of %d sets", line->together->item->sku,
					  line->together->document->quantity);
		else
			oms_fault(&faults, ERRCODE_OMS_INSUFFICIENT_STOCK, "Argument partial holds what is there.", place,
					  "\"%s\": wanted %d, available %d", line->item->sku, line->document->quantity,
					  line->document->quantity - line->missing);
	}
	oms_faults_raise(&faults, "not enough stock");
}

static void
read_cart(TupleTableSlot *slot, void *state)
{
	*(int64 *) state = oms_slot_int64(slot, 1);
}

/* The reservation that the cart has already, 0 where it has none. */
static int64
of_cart(const Request *request)
{
	int64		id = 0;
	Datum		values[3];

	if (request->reference == NULL)
		return 0;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(request->channel->channel_id);
	values[2] = CStringGetTextDatum(request->reference);
	(void) oms_execute_each(&of_cart_plan, values, NULL, read_cart, &id);
	return id;
}

/* Writes the new reservation; false where the cart was given one meanwhile. */
static bool
insert_reservation(Request *request, const StockRow *rows, const int32 *wanted, int count)
{
	StockRow   *ledger = palloc(sizeof(StockRow) * Max(1, count));
	int64	   *ids = palloc(sizeof(int64) * Max(1, count) * 2);
	int32	   *units = palloc(sizeof(int32) * Max(1, count));
	Datum		values[7];
	int			kept = 0;

	request->reservation_id = oms_next_id(SEQUENCE_RESERVATION);
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(request->reservation_id);
	values[2] = Int64GetDatum(request->channel->channel_id);
	values[3] = TimestampTzGetDatum(oms_call->now);
	values[4] = TimestampTzGetDatum(request->expires_at);
	values[5] = CStringGetTextDatum(oms_machine_initial(MACHINE_RESERVATION));
	values[6] = request->reference ? CStringGetTextDatum(request->reference) : (Datum) 0;
	if (oms_execute(&insert_plan, values, request->reference ? NULL : "      n") == 0)
		return false;
	for (int i = 0; i < count; i++)
	{
		if (wanted[i] == 0)
			continue;
		ids[kept] = rows[i].item_id;
		ids[count + kept] = rows[i].location_id;
		units[kept] = wanted[i];
		ledger[kept] = (StockRow)
		{
			.item_id = rows[i].item_id,.location_id = rows[i].location_id,.reserved_delta = wanted[i]
		};
		kept++;
	}
	if (kept == 0)
		return true;
	values[2] = oms_array_int64(ids, kept);
	values[3] = oms_array_int64(ids + count, kept);
	values[4] = oms_array_int32(units, kept);
	(void) oms_execute(&insert_lines_plan, values, NULL);
	oms_stock_record(ledger, kept, "hold", NULL, request->reference);
	return true;
}

/* Locks, checks and takes the planned units; false where they are gone. */
static bool
take_units(Request *request)
{
	HoldList   *holds = request->holds;
	StockRow   *rows;
	QuotaTake  *takes;
	int32	   *wanted;
	int			count;

	if (holds->own != 0 || holds->count > 0)
		oms_holds_lock(holds);
	count = holds->count + request->taken_count;
	rows = palloc0(sizeof(StockRow) * Max(1, count));
	oms_holds_add_rows(holds, rows);
	for (int i = 0; i < request->taken_count; i++)
		rows[holds->count + i] = (StockRow)
	{
		.item_id = request->taken[i].row->item_id,.location_id = request->taken[i].row->location_id,
			.reserved_delta = request->taken[i].quantity,.firm = request->taken[i].quantity
	};
	count = oms_stock_merge(rows, count);
	oms_quotas_keep(request->quotas, rows, count);
	if (count > 0)
		oms_stock_lock(rows, count);
	takes = palloc(sizeof(QuotaTake) * Max(1, count));
	if (!oms_quotas_take(request->channel, holds, takes, oms_quotas_sum(rows, count, takes), DT_NOBEGIN))
		return false;
	for (int i = 0; i < count; i++)
		if (!rows[i].found || (rows[i].firm > 0 && free_units(&rows[i]) - rows[i].left + rows[i].held < rows[i].firm))
			return false;
	wanted = palloc(sizeof(int32) * Max(1, count));
	for (int i = 0; i < count; i++)
	{
		wanted[i] = rows[i].firm;
		rows[i].reserved_delta -= rows[i].held;
	}
	if (count > 0)
		oms_stock_apply(rows, count);
	oms_holds_end(holds, "release", 0);
	return insert_reservation(request, rows, wanted, count);
}

static Jsonb *
answer(const Request *request)
{
	DocWriter	writer;
	bool		complete = true;

	for (int i = 0; i < request->line_count; i++)
		complete &= request->lines[i].missing == 0;
	oms_write_begin(&writer);
	oms_write_int64(&writer, "reservation_id", request->reservation_id);
	oms_write_time(&writer, "expires_at", request->expires_at);
	oms_write_bool(&writer, "complete", complete);
	oms_write_begin_array(&writer, "lines");
	for (int i = 0; i < request->line_count; i++)
	{
		WantedLine *line = &request->lines[i];

		oms_write_begin_object(&writer, NULL);
		oms_write_text(&writer, "sku", line->item->sku);
		oms_write_int64(&writer, "granted", line->document->quantity - line->missing);
		oms_write_int64(&writer, "missing", line->missing);
		oms_write_begin_array(&writer, "from");
		for (int j = 0; j < request->taken_count; j++)
			if (request->taken[j].line == i)
			{
				oms_write_begin_object(&writer, NULL);
				oms_write_text(&writer, "location", oms_location_by_id(request->taken[j].row->location_id)->code);
				oms_write_int64(&writer, "quantity", request->taken[j].quantity);
				oms_write_end(&writer);
			}
		oms_write_end_array(&writer);
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	return oms_write_finish(&writer);
}

/*
 * oms.reserve(lines, ttl, channel, reference, partial, idempotency_key) -> jsonb
 *
 * A cart that reserves again replaces what it held: its old units count as
 * free for the new ones.
 */
OMS_FUNCTION(oms_reserve, CALL_KEYED)
{
	Request		request = {0};

	read_request(fcinfo, &request);
	for (int attempt_no = 0; attempt_no < RESERVE_ATTEMPTS_MAX; attempt_no++)
	{
		HoldList	own = {.own = of_cart(&request)};
		OmsAttempt	attempt;

		CHECK_FOR_INTERRUPTS();
		request.holds = &own;
		if (!plan(&request, false) && !plan(&request, true) && !request.partial)
			refuse_shortage(&request);
		oms_attempt_begin(&attempt);
		if (take_units(&request))
		{
			Jsonb	   *result = answer(&request);

			oms_attempt_keep(&attempt);
			oms_event(&(Event) {.object_id = request.reservation_id,.object_type = MACHINE_RESERVATION,
								.type = "reservation.held",.data = result});
			PG_RETURN_JSONB_P(result);
		}
		oms_attempt_undo(&attempt);
	}
	ereport(ERROR,
			(errcode(ERRCODE_OMS_CONCURRENT),
			 errmsg("the stock of this reservation keeps changing"),
			 errhint("Repeat the transaction.")));
}
