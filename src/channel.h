/*
 * channel.h
 *	  Sales channels.
 */
#ifndef OMS_CHANNEL_H
#define OMS_CHANNEL_H

#include "oms.h"

/* The greatest priority of an order, and less than nothing the least; the greater goes first. */
#define OMS_PRIORITY_MAX 1000

/* Whether an order that would be short takes units of orders of a lower priority. */
typedef enum DisplacementRule
{
	DISPLACE_NEVER,
	DISPLACE_KEEP_DATE,			/* where those keep their date */
	DISPLACE_ALWAYS
} DisplacementRule;

typedef struct ClassPriority
{
	const char *class;
	int32		priority;
} ClassPriority;

typedef struct Channel
{
	int64		channel_id;
	bool		active;
	bool		backorder;
	bool		substitution;
	bool		ship_complete;	/* of its orders where the document does not say */
	bool		confirmation;	/* confirm_order is required before release */
	bool		restricted;		/* has rows in channel_locations */
	bool		looks_for_holds;	/* has rows in channel_holds */
	bool		has_timeouts;	/* its orders wait only so long */
	int64		reservation_ttl;	/* microseconds that a cart is held where the call does not say */
	int64		reservation_ttl_max;
	const char *code;
	const char *currency;
	const char *capture;
	const char *capture_order;	/* newest, oldest, proportional */
	const char *refund_order;	/* likewise */
	bool		refunds_excess; /* without being asked */
	const char *confirmation_role;	/* NULL: whoever may call confirm_order */
	int64		authorization_period;	/* microseconds; 0: authorizations do not end by themselves */
	int32		priority;
	DisplacementRule displacement;
	int			class_count;
	ClassPriority *classes;
} Channel;

extern Channel *oms_channel_find(const char *code);
extern Channel *oms_channel_get(const char *code);
extern Channel *oms_channel_by_id(int64 channel_id);
extern int32 oms_channel_priority(const Channel *channel, const char *customer_class);

#endif							/* OMS_CHANNEL_H */
