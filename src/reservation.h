/*
 * reservation.h
 *	  Units held for carts.
 */
#ifndef OMS_RESERVATION_H
#define OMS_RESERVATION_H

#include "oms.h"

#include "channel.h"
#include "stock.h"

/* How long a cart is held where neither call nor channel says, and at most. */
#define OMS_RESERVATION_TTL		(15 * USECS_PER_MINUTE)
#define OMS_RESERVATION_TTL_MAX	(30 * USECS_PER_DAY)

/* Units of one counter that a reservation holds. */
typedef struct Hold
{
	int64		reservation_id;
	int64		item_id;
	int64		location_id;
	int32		quantity;
} Hold;

/* Holds that a caller may use up: its own, and others' that have expired. */
typedef struct HoldList
{
	int64		own;			/* reservation of the caller, 0: none */
	int			id_count;
	int64	   *ids;			/* reservations that are locked, in order */
	int			count;
	int			capacity;
	Hold	   *rows;
} HoldList;

extern void oms_holds_collect_id(TupleTableSlot *slot, void *state);
extern HoldList *oms_holds_read(int64 own, const int64 *item_ids, int item_count);
extern bool oms_holds_of_others(const HoldList *list);
extern void oms_holds_credit(const HoldList *list, StockView *view);
extern void oms_holds_lock(HoldList *list);
extern void oms_holds_lock_ids(const int64 *ids, int count);
extern void oms_holds_add_rows(const HoldList *list, StockRow *rows);
extern void oms_holds_end(const HoldList *list, const char *own_action, int64 order_id);
extern bool oms_reservation_exists(int64 reservation_id);
extern const char *oms_reservation_loss(int64 reservation_id);
extern TimestampTz oms_reservation_expiry(FunctionCallInfo fcinfo, int argument, const Channel *channel);

extern bool oms_holds_have_expired(int64 item_id, int64 location_id);
extern void oms_holds_expire(int64 item_id, int64 location_id);

/* Holds on one counter that a count takes away. */
extern HoldList *oms_holds_lock_counters(const StockRow *rows, int count);
extern bool oms_holds_cut(const HoldList *locked, StockRow *row, int32 excess);

#endif							/* OMS_RESERVATION_H */
