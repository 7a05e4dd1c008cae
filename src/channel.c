/*
 * channel.c
 *	  Sales channels.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/acl.h"
#include "utils/datetime.h"

#include "call.h"
#include "channel.h"
#include "configuration.h"
#include "document.h"
#include "event.h"
#include "money.h"
#include "relation.h"
#include "reservation.h"
#include "scope.h"

typedef struct ChannelDocument
{
	char	   *code;
	char	   *name;
	char	   *currency;
	char	   *time_zone;
	char	   *capture;
	char	   *capture_order;
	char	   *refund_order;
	char	   *refund_excess;
	char	   *confirmation;
	char	   *confirmation_role;
	char	   *authorization_period;
	char	   *external_ref;
	char	   *payment_timeout;
	char	   *confirmation_timeout;
	char	   *backorder_timeout;
	char	   *draft_timeout;
	char	   *reservation_ttl;
	char	   *reservation_ttl_max;
	Jsonb	   *attributes;
	int8		active;
	int8		backorder;
	int8		substitution;
	int8		ship_complete;
	int32		priority;
	int32		displacement_lock_hours;
	char	   *displacement;
	DocArray	refund_methods;
	DocArray	class_priorities;
} ChannelDocument;

typedef struct ClassPriorityDocument
{
	char	   *class;
	int32		priority;
} ClassPriorityDocument;

typedef struct RefundMethodDocument
{
	char	   *method;
} RefundMethodDocument;

static const char *const capture_choices[] = {"placing", "release", "shipping", "manual", NULL};
static const char *const payment_order_choices[] = {"newest", "oldest", "proportional", NULL};
static const char *const refund_excess_choices[] = {"manual", "automatic", NULL};
static const char *const confirmation_choices[] = {"none", "required", NULL};
static const char *const displacement_choices[] = {"never", "keep_date", "always", NULL};

static const DocField class_priority_fields[] = {
	{"class", DOC_CODE, offsetof(ClassPriorityDocument, class), .required = true},
	{"priority", DOC_INT, offsetof(ClassPriorityDocument, priority), .required = true,.least = -OMS_PRIORITY_MAX,.most = OMS_PRIORITY_MAX},
};

static const DocShape class_priority_shape =
DOC_SHAPE_OF(ClassPriorityDocument, class_priority_fields, "a priority of a class");

static const DocField refund_method_fields[] = {
	{"method", DOC_CODE, offsetof(RefundMethodDocument, method), .required = true},
};

static const DocShape refund_method_shape =
DOC_SHAPE_OF(RefundMethodDocument, refund_method_fields, "a method of refunds");

static const DocField channel_fields[] = {
	{"code", DOC_CODE, offsetof(ChannelDocument, code), .required = true},
	{"name", DOC_TEXT, offsetof(ChannelDocument, name)},
	{"currency", DOC_TEXT, offsetof(ChannelDocument, currency)},
	{"time_zone", DOC_TEXT, offsetof(ChannelDocument, time_zone)},
	{"capture", DOC_TEXT, offsetof(ChannelDocument, capture), .choices = capture_choices},
	{"capture_order", DOC_TEXT, offsetof(ChannelDocument, capture_order), .choices = payment_order_choices},
	{"refund_order", DOC_TEXT, offsetof(ChannelDocument, refund_order), .choices = payment_order_choices},
	{"refund_excess", DOC_TEXT, offsetof(ChannelDocument, refund_excess), .choices = refund_excess_choices},
	{"refund_methods", DOC_ARRAY, offsetof(ChannelDocument, refund_methods), .most = 100,.shape = &refund_method_shape},
	{"confirmation", DOC_TEXT, offsetof(ChannelDocument, confirmation), .choices = confirmation_choices},
	{"confirmation_role", DOC_CODE, offsetof(ChannelDocument, confirmation_role)},
	{"authorization_period", DOC_TEXT, offsetof(ChannelDocument, authorization_period)},
	{"active", DOC_BOOL, offsetof(ChannelDocument, active)},
	{"backorder", DOC_BOOL, offsetof(ChannelDocument, backorder)},
	{"substitution", DOC_BOOL, offsetof(ChannelDocument, substitution)},
	{"ship_complete", DOC_BOOL, offsetof(ChannelDocument, ship_complete)},
	{"external_ref", DOC_CODE, offsetof(ChannelDocument, external_ref)},
	{"payment_timeout", DOC_TEXT, offsetof(ChannelDocument, payment_timeout)},
	{"confirmation_timeout", DOC_TEXT, offsetof(ChannelDocument, confirmation_timeout)},
	{"backorder_timeout", DOC_TEXT, offsetof(ChannelDocument, backorder_timeout)},
	{"draft_timeout", DOC_TEXT, offsetof(ChannelDocument, draft_timeout)},
	{"reservation_ttl", DOC_TEXT, offsetof(ChannelDocument, reservation_ttl)},
	{"reservation_ttl_max", DOC_TEXT, offsetof(ChannelDocument, reservation_ttl_max)},
	{"attributes", DOC_OBJECT, offsetof(ChannelDocument, attributes)},
	{"priority", DOC_INT, offsetof(ChannelDocument, priority), .least = -OMS_PRIORITY_MAX,.most = OMS_PRIORITY_MAX},
	{"class_priorities", DOC_ARRAY, offsetof(ChannelDocument, class_priorities), .most = 100,.shape = &class_priority_shape},
	{"displacement", DOC_TEXT, offsetof(ChannelDocument, displacement), .choices = displacement_choices},
	{"displacement_lock_hours", DOC_INT, offsetof(ChannelDocument, displacement_lock_hours), .least = 0,.most = 8760},
};

static const DocShape channel_shape = DOC_SHAPE_OF(ChannelDocument, channel_fields, "a channel");

#define CHANNEL_ROWS \
	" FROM jsonb_to_recordset($2) u(code text, name text, currency text, time_zone text, capture text, refund_order text," \
	" confirmation text, active boolean, backorder boolean, substitution boolean, ship_complete boolean, external_ref text, attributes jsonb," \
	" payment_timeout interval, confirmation_timeout interval, backorder_timeout interval, draft_timeout interval," \
	" reservation_ttl interval, reservation_ttl_max interval, capture_order text, refund_excess text, refund_methods jsonb," \
	" confirmation_role text, authorization_period interval, priority int, class_priorities jsonb, displacement text," \
	" displacement_lock_hours int)"

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {channels} (tenant_id, code)"
	" SELECT $1, u.code" CHANNEL_ROWS " ORDER BY u.code ON CONFLICT (tenant_id, code) DO NOTHING",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

static OmsPlan update_plan = {
	.sql = "UPDATE {channels} c SET name = coalesce(u.name, c.name), currency = coalesce(u.currency, c.currency),"
	" time_zone = coalesce(u.time_zone, c.time_zone), capture = coalesce(u.capture, c.capture), refund_order = coalesce(u.refund_order, c.refund_order),"
	" confirmation = coalesce(u.confirmation, c.confirmation), active = coalesce(u.active, c.active),"
	" substitution = coalesce(u.substitution, c.substitution), backorder = coalesce(u.backorder, c.backorder), external_ref = coalesce(u.external_ref, c.external_ref),"
	" attributes = coalesce(u.attributes, c.attributes), ship_complete = coalesce(u.ship_complete, c.ship_complete),"
	" payment_timeout = coalesce(u.payment_timeout, c.payment_timeout),"
	" confirmation_timeout = coalesce(u.confirmation_timeout, c.confirmation_timeout),"
	" backorder_timeout = coalesce(u.backorder_timeout, c.backorder_timeout),"
	" draft_timeout = coalesce(u.draft_timeout, c.draft_timeout),"
	" reservation_ttl = coalesce(u.reservation_ttl, c.reservation_ttl),"
	" reservation_ttl_max = coalesce(u.reservation_ttl_max, c.reservation_ttl_max),"
	" capture_order = coalesce(u.capture_order, c.capture_order), refund_excess = coalesce(u.refund_excess, c.refund_excess),"
	" refund_methods = coalesce(u.refund_methods, c.refund_methods),"
	" confirmation_role = coalesce(u.confirmation_role, c.confirmation_role),"
	" authorization_period = coalesce(u.authorization_period, c.authorization_period),"
	" priority = coalesce(u.priority, c.priority), class_priorities = coalesce(u.class_priorities, c.class_priorities),"
	" displacement = coalesce(u.displacement, c.displacement),"
	" displacement_lock_hours = coalesce(u.displacement_lock_hours, c.displacement_lock_hours)"
	CHANNEL_ROWS " WHERE c.tenant_id = $1 AND c.code = u.code",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, JSONBOID)
};

/* Whether text is an interval longer than nothing, before the server reads it; months count 30 days. */
static bool
is_timeout(const char *text, int64 *microseconds)
{
	char		work[MAXDATELEN + MAXDATEFIELDS];
	char	   *fields[MAXDATEFIELDS];
	int			types[MAXDATEFIELDS];
	int			field_count;
	int			type;
	struct pg_itm_in parts = {0};
	Interval	span;

	if (strlen(text) > MAXDATELEN ||
		ParseDateTime(text, work, sizeof(work), fields, types, MAXDATEFIELDS, &field_count) != 0 ||
		DecodeInterval(fields, types, field_count, INTERVAL_FULL_RANGE, &type, &parts) != 0 ||
		type != DTK_DELTA || itmin2interval(&parts, &span) != 0)
		return false;
	*microseconds = ((int64) span.month * DAYS_PER_MONTH + span.day) * USECS_PER_DAY + span.time;
	return span.month >= 0 && span.day >= 0 && span.time >= 0 && *microseconds > 0;
}

static void
check_timeout(const char *text, int row, const char *field, FaultList *faults)
{
	int64		span;

	if (text != NULL && !is_timeout(text, &span))
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Write it as in \"30 minutes\" or \"2 days\".",
				  oms_document_place("channels", row, field), "\"%s\" is not a time span", text);
}

/* How long carts are held: the default within the longest, that within the limit of all channels. */
static void
check_reservation(const ChannelDocument *row, int position, FaultList *faults)
{
	Channel    *channel = oms_channel_find(row->code);
	int64		ttl = channel ? channel->reservation_ttl : OMS_RESERVATION_TTL;
	int64		most = channel ? channel->reservation_ttl_max : OMS_RESERVATION_TTL_MAX;

	check_timeout(row->reservation_ttl, position, "reservation_ttl", faults);
	check_timeout(row->reservation_ttl_max, position, "reservation_ttl_max", faults);
	if ((row->reservation_ttl && !is_timeout(row->reservation_ttl, &ttl)) ||
		(row->reservation_ttl_max && !is_timeout(row->reservation_ttl_max, &most)))
		return;
	if (most > OMS_RESERVATION_TTL_MAX)
		oms_fault(faults, ERRCODE_OMS_LIMIT, "Carts are held for 30 days at most.",
				  oms_document_place("channels", position, "reservation_ttl_max"), "\"%s\" is too long", row->reservation_ttl_max);
	else if (ttl > most)
		oms_fault(faults, ERRCODE_OMS_DOCUMENT, "The default may be as long as the longest, not longer.",
				  oms_document_place("channels", position, "reservation_ttl"), "is longer than reservation_ttl_max");
}

static void
check_classes(const ChannelDocument *row, int position, FaultList *faults)
{
	ClassPriorityDocument *classes = (ClassPriorityDocument *) row->class_priorities.items;

	for (int i = 0; i < row->class_priorities.count; i++)
		for (int j = 0; j < i && classes[i].class; j++)
			if (classes[j].class && strcmp(classes[i].class, classes[j].class) == 0)
				oms_fault(faults, ERRCODE_OMS_DOCUMENT, "Each class has one priority.",
						  oms_document_place("channels", position, "class_priorities"), "\"%s\" stands there twice",
						  classes[i].class);
}

/*
 * oms.upsert_channels(channels jsonb, idempotency_key text) -> bigint
 */
OMS_FUNCTION(oms_upsert_channels, CALL_KEYED)
{
	FaultList	faults;
	DocArray	rows = {0};
	Datum		values[2];

	oms_faults_init(&faults);
	if (PG_ARGISNULL(0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give an array of channels.", "channels", "is null");
	else
		rows = oms_document_read_array(PG_GETARG_JSONB_P(0), &channel_shape, OMS_BULK_ROWS_MAX, "channels", &faults);
	oms_document_duplicates(&rows, &channel_shape, offsetof(ChannelDocument, code), "channels", "code", &faults);
	for (int i = 0; i < rows.count; i++)
	{
		ChannelDocument *row = (ChannelDocument *) rows.items + i;

		if (row->currency && oms_currency_digits(row->currency) < 0)
			oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Use an ISO 4217 code such as EUR.",
					  oms_document_place("channels", i, "currency"), "\"%s\" is not a currency", row->currency);
		check_timeout(row->payment_timeout, i, "payment_timeout", &faults);
		check_timeout(row->confirmation_timeout, i, "confirmation_timeout", &faults);
		check_timeout(row->backorder_timeout, i, "backorder_timeout", &faults);
		check_timeout(row->draft_timeout, i, "draft_timeout", &faults);
		check_timeout(row->authorization_period, i, "authorization_period", &faults);
		check_reservation(row, i, &faults);
		check_classes(row, i, &faults);
		if (row->confirmation_role && !OidIsValid(get_role_oid(row->confirmation_role, true)))
			oms_fault(&faults, ERRCODE_OMS_UNKNOWN, "CREATE ROLE makes it.", oms_document_place("channels", i, "confirmation_role"),
					  "there is no role \"%s\", so nobody could confirm", row->confirmation_role);
	}
	oms_faults_raise(&faults, "channels are not valid");

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = PG_GETARG_DATUM(0);
	(void) oms_execute(&insert_plan, values, NULL);
	(void) oms_execute(&update_plan, values, NULL);
	oms_event(&(Event) {.object_type = "channel",.type = "channels.upserted",.data = PG_GETARG_JSONB_P(0)});
	PG_RETURN_INT64(rows.count);
}

/* The priority of an order of the channel that names none. */
int32
oms_channel_priority(const Channel *channel, const char *customer_class)
{
	for (int i = 0; customer_class && i < channel->class_count; i++)
		if (strcmp(channel->classes[i].class, customer_class) == 0)
			return channel->classes[i].priority;
	return channel->priority;
}

/* NULL where it is unknown or out of the caller's scope. */
Channel *
oms_channel_find(const char *code)
{
	ListCell   *cell;

	foreach(cell, oms_configuration()->channels)
	{
		Channel    *channel = lfirst(cell);

		if (strcmp(channel->code, code) == 0)
			return oms_scope_channel(channel->channel_id) ? channel : NULL;
	}
	return NULL;
}

Channel *
oms_channel_get(const char *code)
{
	Channel    *channel = oms_channel_find(code);

	if (channel == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("channel \"%s\" is not known", code),
				 errdetail("channel: there is no \"%s\" that the caller may see", code),
				 errhint("oms.upsert_channels adds it.")));
	return channel;
}

Channel *
oms_channel_by_id(int64 channel_id)
{
	ListCell   *cell;

	foreach(cell, oms_configuration()->channels)
	{
		Channel    *channel = lfirst(cell);

		if (channel->channel_id == channel_id)
			return oms_scope_channel(channel_id) ? channel : NULL;
	}
	return NULL;
}
