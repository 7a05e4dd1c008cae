/*
 * channel.h
 *	  Sales channels.
 */
#ifndef OMS_CHANNEL_H
#define OMS_CHANNEL_H

#include "oms.h"

typedef struct Channel
{
	int64		channel_id;
	bool		active;
	bool		backorder;
	bool		substitution;
	bool		confirmation;	/* confirm_order is required before release */
	bool		restricted;		/* has rows in channel_locations */
	bool		looks_for_holds;	/* has rows in channel_holds */
	bool		has_timeouts;	/* its orders wait only so long */
	int64		reservation_ttl;	/* microseconds that a cart is held where the call does not say */
	int64		reservation_ttl_max;
	const char *code;
	const char *currency;
	const char *capture;
} Channel;

extern Channel *oms_channel_find(const char *code);
extern Channel *oms_channel_get(const char *code);
extern Channel *oms_channel_by_id(int64 channel_id);

#endif							/* OMS_CHANNEL_H */
