/*
 * fulfillment.c
 *	  What one location ships together, from planned to delivered.
 *
 * Every call finds the fulfillment's order, locks that, and reads the
 * fulfillment again under the lock.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/date.h"

#include "allocation.h"
#include "call.h"
#include "capacity.h"
#include "document.h"
#include "event.h"
#include "fulfillment.h"
#include "heap.h"
#include "location.h"
#include "lot.h"
#include "machine.h"
#include "order.h"
#include "payment.h"
#include "reference_check.h"
#include "relation.h"
#include "scope.h"
#include "stock.h"

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {fulfillments} (fulfillment_id, order_id, location_id, planned_at, tenant_id, delivery_no,"
	" backordered, status, ship_by, earliest_at, promised_at, service, ship_day, capacity_taken, supplied_at)"
	" SELECT u.fulfillment_id, u.order_id, nullif(u.location_id, 0), $3, $1, u.delivery_no, u.backordered, $4, u.ship_by,"
	" u.earliest_at, u.promised_at, u.service, u.ship_day, u.capacity_taken, u.supplied_at"
	" FROM unnest($2::bigint[], $5::bigint[], $6::bigint[], $7::int[], $8::boolean[], $9::timestamptz[], $10::timestamptz[],"
	" $11::timestamptz[], $12::text[], $13::date[], $14::int[], $15::timestamptz[])"
	" u(order_id, fulfillment_id, location_id, delivery_no, backordered, ship_by, earliest_at, promised_at, service, ship_day,"
	" capacity_taken, supplied_at)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID, TIMESTAMPTZOID, TEXTOID, INT8ARRAYOID, INT8ARRAYOID, INT4ARRAYOID, BOOLARRAYOID,
				 TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TIMESTAMPTZARRAYOID, TEXTARRAYOID, DATEARRAYOID,
				 INT4ARRAYOID, TIMESTAMPTZARRAYOID)
};

static OmsPlan read_plan = {
	.sql = "SELECT fulfillment_id, order_id, location_id, delivery_no, backordered, status, capacity_taken,"
	" coalesce(ship_day, '2000-01-01')"
	" FROM {fulfillments} WHERE fulfillment_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan step_plan = {
	.sql = "UPDATE {fulfillments} SET status = $3, released_at = coalesce($4, released_at),"
	" shipped_at = coalesce($5, shipped_at), delivered_at = coalesce($6, delivered_at),"
	" carrier = coalesce($7, carrier), service = coalesce($8, service),"
	" tracking_number = coalesce($9, tracking_number)"
	" WHERE fulfillment_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID)
};

static OmsPlan copy_plan = {
	.sql = "INSERT INTO {fulfillments} (fulfillment_id, order_id, location_id, planned_at, supplied_at, ship_by, earliest_at, promised_at,"
	" released_at, tenant_id, delivery_no, backordered, status, service, attributes)"
	" SELECT $3, order_id, location_id, planned_at, supplied_at, ship_by, earliest_at, promised_at, released_at, tenant_id, delivery_no, backordered,"
	" status, service, attributes FROM {fulfillments} WHERE fulfillment_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID)
};

static OmsPlan empty_plan = {
	.sql = "SELECT f.fulfillment_id, f.order_id, f.location_id, f.delivery_no, f.backordered, f.status,"
	" f.capacity_taken, coalesce(f.ship_day, '2000-01-01')"
	" FROM {fulfillments} f WHERE f.order_id = $2 AND f.tenant_id = $1"
	" AND NOT EXISTS (SELECT FROM {allocations} a WHERE a.order_id = $2 AND a.fulfillment_id = f.fulfillment_id"
	" AND a.tenant_id = $1 AND a.promised > a.cancelled) ORDER BY f.fulfillment_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan packages_plan = {
	.sql = "INSERT INTO {packages} (fulfillment_id, order_id, packed_at, tenant_id, weight_grams, length_mm, width_mm,"
	" height_mm, carrier, service, tracking_number, external_ref, attributes)"
	" SELECT $2, $3, $4, $1, u.weight_grams, u.length_mm, u.width_mm, u.height_mm, u.carrier, u.service,"
	" u.tracking_number, u.external_ref, u.attributes"
	" FROM jsonb_to_recordset($5) u(weight_grams int, length_mm int, width_mm int, height_mm int, carrier text,"
	" service text, tracking_number text, external_ref text, attributes jsonb)",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, TIMESTAMPTZOID, JSONBOID)
};

/* A call's view of the fulfillment, its order and its promises, all locked. */
typedef struct Work
{
	Order	   *order;
	Fulfillment fulfillment;
	OrderLines *lines;
	AllocationList *allocations;	/* of the whole order */
} Work;

/* What a step writes besides the state. */
typedef struct StepValues
{
	TimestampTz released_at;
	TimestampTz shipped_at;
	TimestampTz delivered_at;
	char	   *carrier;
	char	   *service;
	char	   *tracking_number;
	int32	   *lines;			/* that the step takes; NULL: all of the fulfillment */
	int			line_count;
} StepValues;

static OmsHeap fulfillment_heap = {
	.relation = "fulfillments",
	.column_count = 15,
	.columns = {"fulfillment_id", "order_id", "location_id", "planned_at", "tenant_id", "delivery_no", "backordered",
	"status", "ship_by", "earliest_at", "promised_at", "service", "ship_day", "capacity_taken", "supplied_at"}
};

/* The dates of a planned fulfillment, and the service that they count on. */
static void
date_columns(const Fulfillment *row, Datum *values, bool *nulls)
{
	const ParcelDates *dates = &row->dates;

	values[0] = TimestampTzGetDatum(dates->ship_by);
	nulls[0] = !dates->ships;
	values[1] = TimestampTzGetDatum(dates->earliest_at);
	values[2] = TimestampTzGetDatum(dates->promised_at);
	nulls[1] = nulls[2] = !dates->arrives;
	values[3] = dates->service ? CStringGetTextDatum(dates->service) : (Datum) 0;
	nulls[3] = dates->service == NULL;
	values[4] = DateADTGetDatum(dates->ship_day);
	nulls[4] = !dates->ships;
	values[5] = Int32GetDatum(row->capacity_taken);
	nulls[5] = row->capacity_taken == 0;
	values[6] = TimestampTzGetDatum(row->supplied_at);
	nulls[6] = !row->backordered || row->supplied_at == DT_NOEND;
}

static void
insert_directly(const Fulfillment *rows, int count)
{
	Datum		status = CStringGetTextDatum(oms_machine_initial(MACHINE_FULFILLMENT));
	OmsHeapWork work;

	oms_heap_begin(&work, &fulfillment_heap, true);
	for (int i = 0; i < count; i++)
	{
		const Fulfillment *row = &rows[i];
		Datum		values[15] = {Int64GetDatum(row->fulfillment_id), Int64GetDatum(row->order_id),
			Int64GetDatum(row->location_id), TimestampTzGetDatum(oms_call->now), Int32GetDatum(oms_call->tenant),
		Int32GetDatum(row->delivery_no), BoolGetDatum(row->backordered), status};
		bool		nulls[15] = {[2] = row->location_id == 0};

		date_columns(row, &values[8], &nulls[8]);
		oms_heap_insert(&work, values, nulls);
	}
	oms_heap_end(&work);
}

/* Dates what a location sends, and says what it takes of its day. */
void
oms_fulfillment_date(const DateRequest *request, int64 grams, const char *planned, Fulfillment *row)
{
	const Site *site = oms_dates_site(row->location_id);

	oms_dates_of_parcel(request, oms_location_by_id(row->location_id), grams, planned, &row->dates);
	row->capacity_taken = row->dates.ships && oms_capacity_limits(request->capacity, site, row->dates.ship_day)
		? oms_capacity_need(site, request->units) : 0;
}

/* Inserts planned fulfillments, of one order or several. */
void
oms_fulfillments_insert(const Fulfillment *rows, int count)
{
	int64	   *ids = palloc(sizeof(int64) * count * 3);
	int32	   *deliveries = palloc(sizeof(int32) * count);
	Datum	   *backordered = palloc(sizeof(Datum) * count);
	bool	   *nulls = palloc0(sizeof(bool) * count);
	Datum	   *dates[7];
	bool	   *date_nulls[7];
	Datum		values[15];

	if (count == 0)
		return;
	if (oms_heap_is_plain(&fulfillment_heap))
	{
		insert_directly(rows, count);
		return;
	}
	for (int i = 0; i < 7; i++)
	{
		dates[i] = palloc(sizeof(Datum) * count);
		date_nulls[i] = palloc(sizeof(bool) * count);
	}
	for (int i = 0; i < count; i++)
	{
		Datum		row_dates[7];
		bool		row_nulls[7];

		date_columns(&rows[i], row_dates, row_nulls);
		for (int j = 0; j < 7; j++)
		{
			dates[j][i] = row_dates[j];
			date_nulls[j][i] = row_nulls[j];
		}
		ids[i] = rows[i].fulfillment_id;
		ids[count + i] = rows[i].location_id;
		ids[2 * count + i] = rows[i].order_id;
		deliveries[i] = rows[i].delivery_no;
		backordered[i] = BoolGetDatum(rows[i].backordered);
	}
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = oms_array_int64(ids + 2 * count, count);
	values[2] = TimestampTzGetDatum(oms_call->now);
	values[3] = CStringGetTextDatum(oms_machine_initial(MACHINE_FULFILLMENT));
	values[4] = oms_array_int64(ids, count);
	values[5] = oms_array_int64(ids + count, count);
	values[6] = oms_array_int32(deliveries, count);
	values[7] = oms_array_datum(backordered, nulls, count, BOOLOID);
	for (int i = 0; i < 3; i++)
		values[8 + i] = oms_array_datum(dates[i], date_nulls[i], count, TIMESTAMPTZOID);
	values[11] = oms_array_datum(dates[3], date_nulls[3], count, TEXTOID);
	values[12] = oms_array_datum(dates[4], date_nulls[4], count, DATEOID);
	values[13] = oms_array_datum(dates[5], date_nulls[5], count, INT4OID);
	values[14] = oms_array_datum(dates[6], date_nulls[6], count, TIMESTAMPTZOID);
	(void) oms_execute(&insert_plan, values, NULL);
}

static void
read_fulfillment(TupleTableSlot *slot, void *state)
{
	Fulfillment *row = state;
	bool		isnull;

	row->fulfillment_id = oms_slot_int64(slot, 1);
	row->order_id = oms_slot_int64(slot, 2);
	row->location_id = oms_slot_int64(slot, 3);
	row->delivery_no = oms_slot_int32(slot, 4);
	row->backordered = oms_slot_bool(slot, 5);
	row->status = oms_slot_text(slot, 6);
	row->capacity_taken = oms_slot_int32(slot, 7);
	row->dates.ship_day = DatumGetDateADT(oms_slot_datum(slot, 8, &isnull));
}

/* Reads a fulfillment that the caller may see. */
Fulfillment
oms_fulfillment_get(int64 fulfillment_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(fulfillment_id)};
	Fulfillment row = {0};

	(void) oms_execute_each(&read_plan, values, NULL, read_fulfillment, &row);
	if (row.fulfillment_id == 0 || (row.location_id != 0 && !oms_scope_location(row.location_id)))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("fulfillment " INT64_FORMAT " is not known", fulfillment_id),
				 errdetail("fulfillment_id: there is no fulfillment " INT64_FORMAT " that the caller may see", fulfillment_id),
				 errhint("oms.get_order shows the fulfillments of an order.")));
	return row;
}

/* The arguments of every call: the fulfillment first, then its own, if_version and the key last. */
static Work *
begin_work(FunctionCallInfo fcinfo)
{
	int64		fulfillment_id = oms_argument_id(fcinfo, 0, "fulfillment_id");
	Work	   *work = palloc0(sizeof(Work));

	work->order = oms_order_lock(oms_fulfillment_get(fulfillment_id).order_id);
	oms_order_check_version(work->order, fcinfo, PG_NARGS() - 2);
	work->fulfillment = oms_fulfillment_get(fulfillment_id);
	work->lines = oms_order_lines(work->order->order_id);
	work->allocations = oms_allocations_of_order(work->order->order_id);
	return work;
}

static bool
is_ours(const Work *work, const Allocation *row)
{
	return row->fulfillment_id == work->fulfillment.fulfillment_id;
}

static Datum
time_or_null(TimestampTz time, char *null)
{
	*null = time == 0 ? 'n' : ' ';
	return TimestampTzGetDatum(time);
}

/* Adds what a fulfillment that ended has taken of its day. */
static int
add_capacity(const Fulfillment *row, CapacityRow *rows, int count)
{
	if (row->capacity_taken > 0)
		rows[count++] = (CapacityRow) {row->location_id, row->dates.ship_day, row->capacity_taken};
	return count;
}

static void
take_step(Fulfillment *fulfillment, const char *action, const char *reason, Jsonb *data, const StepValues *extra)
{
	StepValues	none = {0};
	const StepValues *written = extra ? extra : &none;
	StepObject	object = {.type = MACHINE_FULFILLMENT,.id = fulfillment->fulfillment_id,
		.order_id = fulfillment->order_id,.reason = reason,.data = data,.lines = written->lines,
	.line_count = written->line_count};
	const Transition *transition = oms_machine_step(MACHINE_FULFILLMENT, fulfillment->status, action, &object);
	Datum		values[9];
	char		nulls[10] = "         ";

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(fulfillment->fulfillment_id);
	values[2] = CStringGetTextDatum(transition->to_state);
	values[3] = time_or_null(written->released_at, &nulls[3]);
	values[4] = time_or_null(written->shipped_at, &nulls[4]);
	values[5] = time_or_null(written->delivered_at, &nulls[5]);
	values[6] = oms_text_or_null(written->carrier, &nulls[6]);
	values[7] = oms_text_or_null(written->service, &nulls[7]);
	values[8] = oms_text_or_null(written->tracking_number, &nulls[8]);
	(void) oms_execute(&step_plan, values, nulls);
	fulfillment->status = pstrdup(transition->to_state);
}

/* Writes lines and promises, derives the order's statuses, and answers. */
static Datum
end_work(Work *work)
{
	oms_allocations_write(work->allocations);
	oms_order_lines_write(work->order->order_id, work->lines);
	oms_order_refresh(work->order->order_id);
	return JsonbPGetDatum(oms_order_document(work->order->order_id));
}

/* The same where units have reached a stage that a channel may capture at. */
static Datum
end_work_capturing(Work *work, const char *stage)
{
	oms_allocations_write(work->allocations);
	oms_order_lines_write(work->order->order_id, work->lines);
	oms_order_refresh(work->order->order_id);
	oms_payment_capture(work->order->order_id, stage, true);
	return JsonbPGetDatum(oms_order_document(work->order->order_id));
}

/* The lines and open units of a fulfillment, for its event. */
static Jsonb *
lines_document(Work *work, int32 (*units) (const Allocation *))
{
	Location   *location = work->fulfillment.location_id ? oms_location_by_id(work->fulfillment.location_id) : NULL;
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "location", location ? location->code : NULL);
	oms_write_begin_array(&writer, "lines");
	for (int i = 0; i < work->allocations->count; i++)
	{
		Allocation *row = &work->allocations->rows[i];

		if (!is_ours(work, row) || units(row) == 0)
			continue;
		oms_write_begin_object(&writer, NULL);
		oms_write_int64(&writer, "line_no", row->line_no);
		oms_write_int64(&writer, "item_id", row->item_id);
		oms_write_int64(&writer, "quantity", units(row));
		oms_write_end(&writer);
	}
	oms_write_end_array(&writer);
	return oms_write_finish(&writer);
}

static int32
open_units(const Allocation *row)
{
	return oms_allocation_open(row);
}

static int32
shipping_units(const Allocation *row)
{
	return row->delta.shipped;
}

static int32
picking_units(const Allocation *row)
{
	return row->delta.picked;
}

/* Notes the lines that a step takes: a hold on another line does not stop it. */
static void
note_lines(Work *work, StepValues *extra, int32 (*units) (const Allocation *))
{
	extra->lines = palloc(sizeof(int32) * Max(1, work->allocations->count));
	for (int i = 0; i < work->allocations->count; i++)
		if (is_ours(work, &work->allocations->rows[i]) && units(&work->allocations->rows[i]) > 0)
			extra->lines[extra->line_count++] = work->allocations->rows[i].line_no;
}

/*
 * oms.release_fulfillment(fulfillment_id, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_release_fulfillment, CALL_KEYED)
{
	Work	   *work = begin_work(fcinfo);
	StepValues	extra = {.released_at = oms_call->now};

	if (work->fulfillment.backordered)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("fulfillment " INT64_FORMAT " is backordered: release is not allowed",
						work->fulfillment.fulfillment_id),
				 errdetail("Its units are promised beyond what is on hand."),
				 errhint("oms.fill_backorders covers it when stock has arrived.")));
	oms_order_check_complete(work->order, work->lines);
	if (work->order->channel->confirmation && strcmp(work->order->status, "placed") == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " is placed: release is not allowed", work->order->order_id),
				 errdetail("Channel \"%s\" requires confirmation.", work->order->channel->code),
				 errhint("oms.confirm_order approves the order.")));
	take_step(&work->fulfillment, "release", NULL, lines_document(work, open_units), &extra);
	for (int i = 0; i < work->allocations->count; i++)
	{
		Allocation *row = &work->allocations->rows[i];

		if (is_ours(work, row))
			oms_order_line(work->lines, row->line_no)->delta.released += oms_allocation_open(row);
	}
	if (oms_machine_allows(MACHINE_ORDER, work->order->status, "start"))
		oms_order_step(work->order, "start", NULL, NULL);
	return end_work_capturing(work, "release");
}

/*
 * oms.accept_fulfillment(fulfillment_id, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_accept_fulfillment, CALL_KEYED)
{
	Work	   *work = begin_work(fcinfo);

	take_step(&work->fulfillment, "accept", NULL, NULL, NULL);
	return end_work(work);
}

static Allocation *
our_allocation(Work *work, int32 line_no, int position)
{
	for (int i = 0; i < work->allocations->count; i++)
		if (is_ours(work, &work->allocations->rows[i]) && work->allocations->rows[i].line_no == line_no)
			return &work->allocations->rows[i];
	ereport(ERROR,
			(errcode(ERRCODE_OMS_UNKNOWN),
			 errmsg("fulfillment " INT64_FORMAT " has no line %d", work->fulfillment.fulfillment_id, line_no),
			 errdetail("lines[%d].line_no: line %d is not known", position, line_no),
			 errhint("oms.get_order shows the lines of each fulfillment.")));
}

static void
refuse_quantity(const Allocation *row, const char *what, int32 wanted, int32 possible)
{
	ereport(ERROR,
			(errcode(ERRCODE_OMS_TRANSITION),
			 errmsg("line %d has %d units to %s, not %d", row->line_no, possible, what, wanted),
			 errdetail("lines: line %d has promised %d, picked %d, shipped %d, cancelled %d in this fulfillment.",
					   row->line_no, row->promised, row->picked, row->shipped, row->cancelled),
			 errhint("Leave lines out to take everything that is open.")));
}

static void
mark_picked(Work *work, const LineQuantity *wanted, int count)
{
	for (int i = 0; i < count; i++)
	{
		Allocation *row = our_allocation(work, wanted[i].line_no, wanted[i].position);
		int32		possible = oms_allocation_open(row) - row->picked;
		int32		quantity = wanted[i].quantity == DOC_ABSENT ? possible : wanted[i].quantity;

		if (quantity > possible)
			refuse_quantity(row, "pick", quantity, possible);
		row->delta.picked = quantity;
	}
	for (int i = 0; wanted == NULL && i < work->allocations->count; i++)
	{
		Allocation *row = &work->allocations->rows[i];

		if (is_ours(work, row))
			row->delta.picked = Max(0, oms_allocation_open(row) - row->picked);
	}
}

/*
 * oms.pick_fulfillment(fulfillment_id, lines, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_pick_fulfillment, CALL_KEYED)
{
	Work	   *work = begin_work(fcinfo);
	StepValues	extra = {0};
	int			count = 0;
	LineQuantity *wanted = PG_ARGISNULL(1) ? NULL : oms_line_quantities(PG_GETARG_JSONB_P(1), "lines", &count);

	mark_picked(work, wanted, count);
	if (wanted != NULL)
		note_lines(work, &extra, picking_units);
	take_step(&work->fulfillment, "pick", NULL, PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), &extra);
	return end_work(work);
}

typedef struct PackageDocument
{
	int32		weight_grams;
	int32		length_mm;
	int32		width_mm;
	int32		height_mm;
	char	   *carrier;
	char	   *service;
	char	   *tracking_number;
	char	   *external_ref;
	Jsonb	   *attributes;
} PackageDocument;

static const DocField package_fields[] = {
	{"weight_grams", DOC_INT, offsetof(PackageDocument, weight_grams), .least = 0,.most = OMS_QUANTITY_MAX},
	{"length_mm", DOC_INT, offsetof(PackageDocument, length_mm), .least = 0,.most = OMS_QUANTITY_MAX},
	{"width_mm", DOC_INT, offsetof(PackageDocument, width_mm), .least = 0,.most = OMS_QUANTITY_MAX},
	{"height_mm", DOC_INT, offsetof(PackageDocument, height_mm), .least = 0,.most = OMS_QUANTITY_MAX},
	{"carrier", DOC_CODE, offsetof(PackageDocument, carrier)},
	{"service", DOC_CODE, offsetof(PackageDocument, service)},
	{"tracking_number", DOC_CODE, offsetof(PackageDocument, tracking_number)},
	{"external_ref", DOC_CODE, offsetof(PackageDocument, external_ref)},
	{"attributes", DOC_OBJECT, offsetof(PackageDocument, attributes)},
};

static const DocShape package_shape = DOC_SHAPE_OF(PackageDocument, package_fields, "a package");

/*
 * oms.pack_fulfillment(fulfillment_id, packages, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_pack_fulfillment, CALL_KEYED)
{
	Work	   *work = begin_work(fcinfo);
	DocArray	packages = {0};
	ReferenceList references = {0};
	FaultList	faults;
	Datum		values[5];

	oms_faults_init(&faults);
	if (!PG_ARGISNULL(1))
		packages = oms_document_read_array(PG_GETARG_JSONB_P(1), &package_shape, OMS_PACKAGES_MAX, "packages", &faults);
	oms_faults_raise(&faults, "packages are not valid");
	take_step(&work->fulfillment, "pack", NULL, PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1), NULL);
	for (int i = 0; i < packages.count; i++)
		oms_reference_add(&references, ((PackageDocument *) packages.items)[i].external_ref,
						  oms_document_place("packages", i, "external_ref"), 0, NULL);
	oms_references_check("package", &references, 0, &faults);
	oms_faults_raise(&faults, "packages are not valid");
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(work->fulfillment.fulfillment_id);
	values[2] = Int64GetDatum(work->order->order_id);
	values[3] = TimestampTzGetDatum(oms_call->now);
	values[4] = PG_ARGISNULL(1) ? DirectFunctionCall1(jsonb_in, CStringGetDatum("[{}]")) : PG_GETARG_DATUM(1);
	(void) oms_execute(&packages_plan, values, NULL);
	return end_work(work);
}

/*
 * oms.ready_for_pickup(fulfillment_id, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_ready_for_pickup, CALL_KEYED)
{
	Work	   *work = begin_work(fcinfo);

	take_step(&work->fulfillment, "ready", NULL, NULL, NULL);
	return end_work(work);
}

/* Takes shipped units off hand and off the promise, where the promise stood. */
static void
take_stock(Work *work, const char *type)
{
	StockRow   *rows = palloc0(sizeof(StockRow) * Max(1, work->allocations->count));
	int			count = 0;

	for (int i = 0; i < work->allocations->count; i++)
	{
		Allocation *row = &work->allocations->rows[i];

		if (row->delta.shipped == 0 || row->location_id == 0)
			continue;
		rows[count].item_id = row->item_id;
		rows[count].location_id = row->location_id;
		rows[count].order_id = work->order->order_id;
		rows[count].on_hand_delta = -row->delta.shipped;
		rows[count].reserved_delta = -row->delta.shipped;
		count++;
	}
	count = oms_stock_merge(rows, count);
	oms_stock_change(rows, count, type, NULL,
					 psprintf("fulfillment " INT64_FORMAT, work->fulfillment.fulfillment_id));
}

typedef struct ShipmentDocument
{
	char	   *carrier;
	char	   *service;
	char	   *tracking_number;
	DocArray	lines;
} ShipmentDocument;

typedef struct ShipmentLine
{
	int32		line_no;
	int32		quantity;		/* DOC_ABSENT: all that is open */
	DocArray	lots;
} ShipmentLine;

static const DocField shipment_line_fields[] = {
	{"line_no", DOC_INT, offsetof(ShipmentLine, line_no), .required = true,.least = 1,.most = PG_INT32_MAX},
	{"quantity", DOC_INT, offsetof(ShipmentLine, quantity), .least = 1,.most = OMS_QUANTITY_MAX},
	{"lots", DOC_ARRAY, offsetof(ShipmentLine, lots), .least = 1,.most = OMS_BULK_ROWS_MAX,.shape = &oms_lot_shape},
};

static const DocShape shipment_line_shape =
DOC_SHAPE_OF(ShipmentLine, shipment_line_fields, "a line of a shipment");

static const DocField shipment_fields[] = {
	{"carrier", DOC_CODE, offsetof(ShipmentDocument, carrier)},
	{"service", DOC_CODE, offsetof(ShipmentDocument, service)},
	{"tracking_number", DOC_CODE, offsetof(ShipmentDocument, tracking_number)},
	{"lines", DOC_ARRAY, offsetof(ShipmentDocument, lines), .least = 1,.most = OMS_LINES_PER_ORDER_MAX,
	.shape = &shipment_line_shape},
};

static const DocShape shipment_shape = DOC_SHAPE_OF(ShipmentDocument, shipment_fields, "a shipment");

/* Notes the lots that a line of a shipment names; they must not be more than ship. */
static void
give_lots(const Allocation *row, const ShipmentLine *line, int32 quantity)
{
	LotDocument *lots = (LotDocument *) line->lots.items;
	int64		total = 0;

	for (int i = 0; i < line->lots.count; i++)
		total += lots[i].quantity == DOC_ABSENT ? 1 : lots[i].quantity;
	if (total > quantity)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("shipment is not valid"),
				 errdetail("lots: have " INT64_FORMAT " units, line %d ships %d", total, line->line_no, quantity),
				 errhint("Name at most the units that ship.")));
	for (int i = 0; row->lot && i < line->lots.count; i++)
		if (strcmp(lots[i].lot, row->lot) != 0)
			ereport(ERROR,
					(errcode(ERRCODE_OMS_DOCUMENT),
					 errmsg("line %d is promised of lot \"%s\"", line->line_no, row->lot),
					 errdetail("lots: \"%s\" is another", lots[i].lot),
					 errhint("Leave lots out for this line; oms.edit_order changes what it asks for.")));
	if (line->lots.count > 0 && row->lot == NULL)
		oms_lots_give(row->item_id, row->location_id, lots, line->lots.count, false);
}

/* Marks what ships; everything open where the shipment names no lines. */
static void
mark_shipped(Work *work, const ShipmentDocument *shipment)
{
	bool		whole = shipment == NULL || !shipment->lines.present;

	for (int i = 0; !whole && i < shipment->lines.count; i++)
	{
		ShipmentLine *wanted = (ShipmentLine *) shipment->lines.items + i;
		Allocation *row = our_allocation(work, wanted->line_no, i);
		int32		possible = oms_allocation_open(row);
		int32		quantity = wanted->quantity == DOC_ABSENT ? possible : wanted->quantity;

		if (quantity > possible)
			refuse_quantity(row, "ship", quantity, possible);
		row->delta.shipped += quantity;
		give_lots(row, wanted, quantity);
	}
	for (int i = 0; whole && i < work->allocations->count; i++)
	{
		Allocation *row = &work->allocations->rows[i];

		if (is_ours(work, row))
			row->delta.shipped = oms_allocation_open(row);
	}
	for (int i = 0; i < work->allocations->count; i++)
	{
		Allocation *row = &work->allocations->rows[i];

		if (row->delta.shipped > 0)
			oms_order_line(work->lines, row->line_no)->delta.shipped += row->delta.shipped;
		if (row->delta.shipped > 0 && row->lot)
			oms_lots_give_promised(row->item_id, row->location_id, row->lot, row->delta.shipped,
								   row->promised - row->shipped - row->cancelled);
	}
}

/*
 * Lets the open units of one line, or of all where line_no is 0, go on in a
 * fulfillment of their own: what stays behind when a part ships, for a shipment
 * is one event in the life of one fulfillment.  The promise moves with them, so
 * the counter stands still and the ledger shows both sides.
 */
static void
move_open(Work *work, int32 line_no, const char *what)
{
	Allocation *rest = palloc0(sizeof(Allocation) * Max(1, work->allocations->count));
	StockRow   *ledger = palloc0(sizeof(StockRow) * Max(1, work->allocations->count));
	int64		new_id = 0;
	int			count = 0;
	int			ledger_count = 0;
	Datum		values[3];

	for (int i = 0; i < work->allocations->count; i++)
	{
		Allocation *row = &work->allocations->rows[i];
		int32		open = oms_allocation_open(row);

		if (!is_ours(work, row) || open == 0 || (line_no != 0 && row->line_no != line_no))
			continue;
		if (new_id == 0)
			new_id = oms_next_id(SEQUENCE_FULFILLMENT);
		rest[count] = *row;
		rest[count].fulfillment_id = new_id;
		rest[count++].promised = open;
		row->delta.cancelled += open;
		if (row->location_id == 0)
			continue;
		ledger[ledger_count].item_id = row->item_id;
		ledger[ledger_count].location_id = row->location_id;
		ledger[ledger_count].order_id = work->order->order_id;
		ledger[ledger_count++].reserved_delta = -open;
	}
	if (count == 0)
		return;
	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = Int64GetDatum(work->fulfillment.fulfillment_id);
	values[2] = Int64GetDatum(new_id);
	(void) oms_execute(&copy_plan, values, NULL);
	oms_allocations_insert(rest, count);
	if (ledger_count > 0)
		oms_stock_record(ledger, ledger_count, "promise_moved", NULL,
						 psprintf("fulfillment " INT64_FORMAT, new_id));
	oms_event(&(Event) {.order_id = work->order->order_id,.object_id = new_id,.object_type = "fulfillment",
						.type = "fulfillment.split",.to_state = work->fulfillment.status,
						.reason = psprintf("%s of fulfillment " INT64_FORMAT, what, work->fulfillment.fulfillment_id)});
}

static bool
has_other_lines(Work *work, int32 line_no)
{
	for (int i = 0; i < work->allocations->count; i++)
		if (is_ours(work, &work->allocations->rows[i]) && work->allocations->rows[i].line_no != line_no &&
			oms_allocation_open(&work->allocations->rows[i]) > 0)
			return true;
	return false;
}

/*
 * Takes a line of a locked order out of the planned fulfillments that it shares
 * with others, so that these go on without it.  What a location works on
 * already stays together.
 */
void
oms_fulfillments_separate(Order *order, int32 line_no)
{
	Work		work = {.order = order,.allocations = oms_allocations_of_order(order->order_id)};
	const char *planned = oms_machine_initial(MACHINE_FULFILLMENT);

	for (int i = 0; i < work.allocations->count; i++)
	{
		Allocation *row = &work.allocations->rows[i];

		if (row->line_no != line_no || oms_allocation_open(row) == 0 || strcmp(row->status, planned) != 0)
			continue;
		work.fulfillment.fulfillment_id = row->fulfillment_id;
		work.fulfillment.status = row->status;
		if (has_other_lines(&work, line_no))
			move_open(&work, line_no, psprintf("line %d", line_no));
	}
	oms_allocations_write(work.allocations);
}

/*
 * oms.ship_fulfillment(fulfillment_id, shipment, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_ship_fulfillment, CALL_KEYED)
{
	Work	   *work = begin_work(fcinfo);
	StepValues	extra = {.shipped_at = oms_call->now};
	ShipmentDocument *shipment = NULL;
	FaultList	faults;

	oms_faults_init(&faults);
	if (!PG_ARGISNULL(1))
		shipment = oms_document_read(PG_GETARG_JSONB_P(1), &shipment_shape, &faults);
	oms_faults_raise(&faults, "shipment is not valid");
	if (shipment)
	{
		extra.carrier = shipment->carrier;
		extra.service = shipment->service;
		extra.tracking_number = shipment->tracking_number;
	}
	if (oms_machine_allows(MACHINE_FULFILLMENT, work->fulfillment.status, "ship"))
	{
		mark_shipped(work, shipment);
		if (shipment != NULL && shipment->lines.present)
			note_lines(work, &extra, shipping_units);
		move_open(work, 0, "rest");
	}
	take_step(&work->fulfillment, "ship", NULL, lines_document(work, shipping_units), &extra);
	take_stock(work, "ship");
	return end_work_capturing(work, "shipping");
}

/* Marks what shipped with this fulfillment as delivered. */
static void
mark_delivered(Work *work)
{
	for (int i = 0; i < work->allocations->count; i++)
	{
		Allocation *row = &work->allocations->rows[i];

		if (is_ours(work, row))
			oms_order_line(work->lines, row->line_no)->delta.delivered += row->shipped + row->delta.shipped;
	}
}

/* Notes the lots of what the customer takes, which is all of it. */
static void
give_picked_up(Work *work, Jsonb *document)
{
	FaultList	faults;
	DocArray	lines;

	oms_faults_init(&faults);
	lines = oms_document_read_array(document, &shipment_line_shape, OMS_LINES_PER_ORDER_MAX, "lines", &faults);
	oms_faults_raise(&faults, "lines are not valid");
	for (int i = 0; i < lines.count; i++)
	{
		ShipmentLine *line = (ShipmentLine *) lines.items + i;
		Allocation *row = our_allocation(work, line->line_no, i);

		for (int j = 0; j < i; j++)
			if (((ShipmentLine *) lines.items)[j].line_no == line->line_no)
				oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Name all lots of a line together.", oms_document_place("lines", i, "line_no"),
						  "line %d stands there twice", line->line_no);
		oms_faults_raise(&faults, "lines are not valid");
		if (line->quantity != DOC_ABSENT && line->quantity != row->delta.shipped)
			refuse_quantity(row, "pick up", line->quantity, row->delta.shipped);
		give_lots(row, line, row->delta.shipped);
	}
}

/*
 * oms.pick_up_fulfillment(fulfillment_id, lines, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_pick_up_fulfillment, CALL_KEYED)
{
	Work	   *work = begin_work(fcinfo);
	StepValues	extra = {.shipped_at = oms_call->now,.delivered_at = oms_call->now};

	if (oms_machine_allows(MACHINE_FULFILLMENT, work->fulfillment.status, "pick_up"))
	{
		mark_shipped(work, NULL);
		if (!PG_ARGISNULL(1))
			give_picked_up(work, PG_GETARG_JSONB_P(1));
	}
	take_step(&work->fulfillment, "pick_up", NULL, lines_document(work, shipping_units), &extra);
	mark_delivered(work);
	take_stock(work, "pick_up");
	return end_work_capturing(work, "shipping");
}

/* Digital and service items are released, shipped and delivered in one step. */
static void
mark_fulfilled(Work *work)
{
	mark_shipped(work, NULL);
	for (int i = 0; i < work->allocations->count; i++)
	{
		Allocation *row = &work->allocations->rows[i];
		OrderLine  *line = oms_order_line(work->lines, row->line_no);

		if (is_ours(work, row) && strcmp(work->fulfillment.status, "planned") == 0)
			line->delta.released += row->delta.shipped;
	}
	mark_delivered(work);
}

/*
 * oms.deliver_fulfillment(fulfillment_id, at, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_deliver_fulfillment, CALL_KEYED)
{
	Work	   *work = begin_work(fcinfo);
	StepValues	extra = {.delivered_at = PG_ARGISNULL(1) ? oms_call->now : PG_GETARG_TIMESTAMPTZ(1)};
	bool		goods = work->fulfillment.location_id != 0;

	if (!goods && oms_machine_allows(MACHINE_FULFILLMENT, work->fulfillment.status, "fulfill"))
		mark_fulfilled(work);
	else
		mark_delivered(work);
	take_step(&work->fulfillment, goods ? "deliver" : "fulfill", NULL, NULL, &extra);
	return end_work(work);
}

/* Takes a fulfillment of a locked order back from its location; the caller counts the units of its lines. */
void
oms_fulfillment_recall(int64 fulfillment_id, const char *reason)
{
	Fulfillment fulfillment = oms_fulfillment_get(fulfillment_id);

	take_step(&fulfillment, "recall", reason, NULL, NULL);
}

static void
collect_fulfillment(TupleTableSlot *slot, void *state)
{
	List	  **list = state;
	Fulfillment *row = palloc0(sizeof(Fulfillment));

	read_fulfillment(slot, row);
	*list = lappend(*list, row);
}

/* Cancels the fulfillments of an order that have no units left. */
void
oms_fulfillments_close_empty(int64 order_id, const char *reason)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};
	List	   *list = NIL;
	ListCell   *cell;
	CapacityRow *days;
	int			count = 0;

	(void) oms_execute_each(&empty_plan, values, NULL, collect_fulfillment, &list);
	days = palloc(sizeof(CapacityRow) * Max(1, list_length(list)));
	foreach(cell, list)
	{
		Fulfillment *row = lfirst(cell);

		if (!oms_machine_allows(MACHINE_FULFILLMENT, row->status, "cancel"))
			continue;
		take_step(row, "cancel", reason, NULL, NULL);
		count = add_capacity(row, days, count);
	}
	oms_capacity_give_back(days, count);
}

/*
 * oms.cancel_fulfillment(fulfillment_id, reason, if_version, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_cancel_fulfillment, CALL_KEYED)
{
	Work	   *work = begin_work(fcinfo);
	char	   *reason = oms_argument_text(fcinfo, 1);
	StockRow   *rows = palloc0(sizeof(StockRow) * Max(1, work->allocations->count));
	bool		released = strcmp(work->fulfillment.status, "planned") != 0;
	CapacityRow day;
	int			count = 0;

	take_step(&work->fulfillment, "cancel", reason, lines_document(work, open_units), NULL);
	for (int i = 0; i < work->allocations->count; i++)
	{
		Allocation *row = &work->allocations->rows[i];
		OrderLine  *line = oms_order_line(work->lines, row->line_no);
		int32		open = oms_allocation_open(row);

		if (!is_ours(work, row) || open == 0)
			continue;
		row->delta.cancelled = open;
		line->delta.cancelled += open;
		if (work->fulfillment.backordered)
			line->delta.backordered -= open;
		else
			line->delta.allocated -= open;
		if (released)
			line->delta.released -= open;
		if (row->location_id == 0)
			continue;
		rows[count].item_id = row->item_id;
		rows[count].location_id = row->location_id;
		rows[count].order_id = work->order->order_id;
		rows[count++].reserved_delta = -open;
	}
	count = oms_stock_merge(rows, count);
	oms_stock_change(rows, count, "cancel", reason, NULL);
	oms_capacity_give_back(&day, add_capacity(&work->fulfillment, &day, 0));
	(void) end_work(work);
	oms_payment_give_back(work->order->order_id);
	return JsonbPGetDatum(oms_order_document(work->order->order_id));
}
