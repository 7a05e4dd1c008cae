/*
 * order.h
 *	  Orders: the locked row, the ledger of its lines, its derived statuses.
 */
#ifndef OMS_ORDER_H
#define OMS_ORDER_H

#include "oms.h"

#include "allocation.h"
#include "channel.h"

typedef struct Order
{
	int64		order_id;
	int64		channel_id;
	int32		version;
	char	   *status;
	char	   *payment_status;
	char	   *fulfillment_status;
	char	   *currency;
	char	   *external_ref;
	Numeric		total;
	Channel    *channel;
	int32		holds;			/* not lifted yet, on the order and its parts */
	TimestampTz placed_at;
	bool		ship_complete;	/* nothing is released before all is promised from stock */
} Order;

/* One line's ledger, and the change wanted. */
typedef struct OrderLine
{
	int32		line_no;
	int64		item_id;
	bool		stocked;
	int32		ordered;
	int32		allocated;
	int32		backordered;
	int32		released;
	int32		shipped;
	int32		delivered;
	int32		cancelled;
	struct
	{
		int32		ordered;
		int32		allocated;
		int32		backordered;
		int32		released;
		int32		shipped;
		int32		delivered;
		int32		cancelled;
	}			delta;
} OrderLine;

typedef struct OrderLines
{
	int			count;
	int			capacity;
	OrderLine  *rows;			/* by line_no */
} OrderLines;

extern void oms_order_check_complete(const Order *order, const OrderLines *lines);
extern Order *oms_order_lock(int64 order_id);
extern Order *oms_order_lock_free(int64 order_id);
extern Order *oms_order_read(int64 order_id);
extern void oms_order_check_version(const Order *order, FunctionCallInfo fcinfo, int argument);
extern OrderLines *oms_order_lines(int64 order_id);
extern OrderLine *oms_order_line(OrderLines *lines, int32 line_no);
extern void oms_order_lines_write(int64 order_id, OrderLines *lines);
extern void oms_order_lines_write_counted(int64 order_id, OrderLines *lines);
extern void oms_order_step(Order *order, const char *action, const char *reason, Jsonb *data);
extern void oms_order_cancel(Order *order, Jsonb *lines, const char *action, const char *reason);
extern void oms_order_give_up(Order *order, OrderLines *lines, AllocationList *allocations, const char *reason);
extern void oms_order_cancel_units(OrderLine *line, int32 quantity, AllocationList *allocations);
extern int32 oms_order_open_units(const OrderLine *line);
extern void oms_order_keep_version(const Order *order);
extern void oms_order_refresh(int64 order_id);
extern void oms_order_refresh_all(int64 order_id);
extern Jsonb *oms_order_document(int64 order_id);

/* {"line_no", "quantity"} lists, as several calls take them. */
typedef struct LineQuantity
{
	int32		line_no;
	int32		quantity;		/* DOC_ABSENT: all that is open */
	int32		position;		/* in the document */
} LineQuantity;

extern OrderLine *oms_order_line_wanted(const Order *order, OrderLines *lines, const LineQuantity *wanted);
extern LineQuantity *oms_line_quantities(Jsonb *document, const char *place, int *count);

#endif							/* OMS_ORDER_H */
