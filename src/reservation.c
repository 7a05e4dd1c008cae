/*
 * reservation.c
 *	  Units held for carts: finding, extending, releasing and expiring
 *	  reservations.  reserve.c makes them; how holds are kept and end is told in
 *	  reservation_hold.c.
 */
#include "oms.h"

#include "utils/timestamp.h"

#include "call.h"
#include "event.h"
#include "machine.h"
#include "relation.h"
#include "reservation.h"
#include "scope.h"

/* How long a reservation that has ended is still known. */
#define ENDED_KEPT (30 * USECS_PER_DAY)

static OmsPlan get_plan = {
	.sql = "SELECT reservation_id, channel_id, status, expires_at FROM {reservations} WHERE reservation_id = $2 AND tenant_id = $1"
	" FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan exists_plan = {
	.sql = "SELECT reservation_id, channel_id FROM {reservations} WHERE reservation_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan due_plan = {
	.sql = "SELECT reservation_id FROM {reservations} WHERE tenant_id = $1 AND status = 'held' AND expires_at <= $2"
	" ORDER BY expires_at LIMIT $3",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, INT4OID)
};

/* A row that somebody else is removing is left to him. */
static OmsPlan purge_plan = {
	.sql = "DELETE FROM {reservations} r USING (SELECT reservation_id FROM {reservations} WHERE tenant_id = $1"
	" AND status <> 'held' AND expires_at <= $2 ORDER BY expires_at LIMIT $3 FOR UPDATE SKIP LOCKED) x"
	" WHERE r.reservation_id = x.reservation_id AND r.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, INT4OID)
};

static OmsPlan extend_plan = {
	.sql = "UPDATE {reservations} SET expires_at = $3 WHERE reservation_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID)
};

/* ---- One reservation ---- */

typedef struct Reservation
{
	int64		reservation_id;
	int64		channel_id;
	char	   *status;
	TimestampTz expires_at;
} Reservation;

static void
read_reservation(TupleTableSlot *slot, void *state)
{
	Reservation *reservation = state;
	bool		isnull;

	reservation->reservation_id = oms_slot_int64(slot, 1);
	reservation->channel_id = oms_slot_int64(slot, 2);
	reservation->status = oms_slot_text(slot, 3);
	reservation->expires_at = DatumGetTimestampTz(oms_slot_datum(slot, 4, &isnull));
}

static void
read_existence(TupleTableSlot *slot, void *state)
{
	*(bool *) state = oms_scope_channel(oms_slot_int64(slot, 2));
}

/* Whether there ever was such a reservation that the caller may see. */
bool
oms_reservation_exists(int64 reservation_id)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(reservation_id)};
	bool		exists = false;

	(void) oms_execute_each(&exists_plan, values, NULL, read_existence, &exists);
	return exists;
}

static OmsPlan state_plan = {
	.sql = "SELECT reservation_id, channel_id, status, expires_at FROM {reservations} WHERE reservation_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* Why a reservation holds nothing any more, as a clause; NULL while it holds. */
const char *
oms_reservation_loss(int64 reservation_id)
{
	Reservation reservation = {0};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(reservation_id)};

	(void) oms_execute_each(&state_plan, values, NULL, read_reservation, &reservation);
	if (reservation.reservation_id == 0)
		return NULL;
	if (oms_machine_final(MACHINE_RESERVATION, reservation.status) && strcmp(reservation.status, "expired") != 0)
		return psprintf("is %s", reservation.status);
	if (reservation.expires_at <= oms_call->now)
		return psprintf("expired at %s", timestamptz_to_str(reservation.expires_at));
	return NULL;
}

static Reservation
lock_reservation(int64 reservation_id)
{
	Reservation reservation = {0};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(reservation_id)};

	(void) oms_execute_each(&get_plan, values, NULL, read_reservation, &reservation);
	if (reservation.reservation_id == 0 || !oms_scope_channel(reservation.channel_id))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("reservation " INT64_FORMAT " is not known", reservation_id),
				 errdetail("reservation_id: " INT64_FORMAT, reservation_id),
				 errhint("oms.reserve answers with the reservation_id.")));
	return reservation;
}

/* Far beyond what any channel allows, where adding it to the clock could fail. */
static TimestampTz
ttl_ends(Interval *ttl)
{
	Interval	longest = {.day = 366};
	Interval	shortest = {.day = -366};

	if (DatumGetBool(DirectFunctionCall2(interval_gt, IntervalPGetDatum(ttl), IntervalPGetDatum(&longest))))
		return DT_NOEND;
	if (DatumGetBool(DirectFunctionCall2(interval_lt, IntervalPGetDatum(ttl), IntervalPGetDatum(&shortest))))
		return DT_NOBEGIN;
	return DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval, TimestampTzGetDatum(oms_call->now),
												   IntervalPGetDatum(ttl)));
}

/* When a hold of the channel ends: after the ttl of the call, else of the channel. */
TimestampTz
oms_reservation_expiry(FunctionCallInfo fcinfo, int argument, const Channel *channel)
{
	TimestampTz at;

	if (PG_ARGISNULL(argument))
		return oms_call->now + channel->reservation_ttl;
	at = ttl_ends(PG_GETARG_INTERVAL_P(argument));
	if (at <= oms_call->now)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("a reservation must last for some time"),
				 errdetail("ttl: must be more than nothing"),
				 errhint("oms.release_reservation ends one at once.")));
	if (at > oms_call->now + channel->reservation_ttl_max)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("reservation would last too long"),
				 errdetail("ttl: channel \"%s\" holds carts for " INT64_FORMAT " seconds at most", channel->code,
						   channel->reservation_ttl_max / USECS_PER_SEC),
				 errhint("Extend it while the cart is in use, or raise reservation_ttl_max of the channel.")));
	return at;
}

/* Gives the units of locked reservations back to their counters. */
static void
give_back(HoldList *list, const char *own_action)
{
	StockRow   *rows = palloc0(sizeof(StockRow) * Max(1, list->count));
	int			count;

	oms_holds_add_rows(list, rows);
	count = oms_stock_merge(rows, list->count);
	if (count > 0)
		oms_stock_lock(rows, count);
	for (int i = 0; i < count; i++)
		rows[i].reserved_delta = -rows[i].held;
	if (count > 0)
		oms_stock_apply(rows, count);
	oms_holds_end(list, own_action, 0);
}

static HoldList *
expired_on(int64 item_id, int64 location_id)
{
	HoldList   *list = oms_holds_read(0, &item_id, 1);
	int			kept = 0;

	for (int i = 0; i < list->count; i++)
		if (list->rows[i].location_id == location_id)
			list->rows[kept++] = list->rows[i];
	list->count = kept;
	return list;
}

bool
oms_holds_have_expired(int64 item_id, int64 location_id)
{
	return expired_on(item_id, location_id)->count > 0;
}

/*
 * Ends the expired holds on a counter, together with what they hold elsewhere.
 * The counter itself is locked with theirs, in order, if there are any.
 */
void
oms_holds_expire(int64 item_id, int64 location_id)
{
	HoldList   *list = expired_on(item_id, location_id);

	if (list->count == 0)
		return;
	oms_holds_lock(list);
	give_back(list, "expire");
}

/*
 * oms.extend_reservation(reservation_id, ttl, idempotency_key) -> timestamptz
 */
OMS_FUNCTION(oms_extend_reservation, CALL_KEYED)
{
	int64		id = oms_argument_id(fcinfo, 0, "reservation_id");
	Reservation reservation = lock_reservation(id);
	TimestampTz expires_at = oms_reservation_expiry(fcinfo, 1, oms_channel_by_id(reservation.channel_id));
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(id), TimestampTzGetDatum(expires_at)};

	if (oms_machine_final(MACHINE_RESERVATION, reservation.status) || reservation.expires_at <= oms_call->now)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("reservation " INT64_FORMAT " has ended", id),
				 errdetail("It is %s.", oms_machine_final(MACHINE_RESERVATION, reservation.status)
						   ? reservation.status : "expired"),
				 errhint("oms.reserve holds the units anew where they are still there.")));
	(void) oms_execute(&extend_plan, values, NULL);
	oms_event(&(Event) {.object_id = id,.object_type = MACHINE_RESERVATION,.type = "reservation.extended"});
	PG_RETURN_TIMESTAMPTZ(expires_at);
}

/*
 * oms.release_reservation(reservation_id, idempotency_key) -> boolean
 */
OMS_FUNCTION(oms_release_reservation, CALL_KEYED)
{
	HoldList	list = {.own = oms_argument_id(fcinfo, 0, "reservation_id")};

	if (oms_machine_final(MACHINE_RESERVATION, lock_reservation(list.own).status))
		PG_RETURN_BOOL(false);
	oms_holds_lock(&list);
	give_back(&list, "release");
	PG_RETURN_BOOL(true);
}

/*
 * oms.expire_reservations(max_count, idempotency_key) -> integer
 *
 * Tidies up; nothing waits for it.  Reservations that ended long ago are
 * removed in the same small portions: their events and movements stay.
 */
OMS_FUNCTION(oms_expire_reservations, CALL_KEYED)
{
	HoldList	list = {0};
	Datum		values[3] = {Int32GetDatum(oms_call->tenant), TimestampTzGetDatum(oms_call->now),
	PG_ARGISNULL(0) ? Int32GetDatum(1000) : PG_GETARG_DATUM(0)};

	if (DatumGetInt32(values[2]) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_DOCUMENT),
				 errmsg("max_count must be positive"),
				 errdetail("max_count: is %d", DatumGetInt32(values[2])),
				 errhint("Leave it out for 1000.")));
	(void) oms_execute_each(&due_plan, values, NULL, oms_holds_collect_id, &list);
	oms_holds_lock(&list);
	give_back(&list, "expire");
	values[1] = TimestampTzGetDatum(oms_call->now - ENDED_KEPT);
	(void) oms_execute(&purge_plan, values, NULL);
	PG_RETURN_INT32(list.id_count);
}
