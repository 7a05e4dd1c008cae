/*
 * return_location.h
 *	  Where returned goods go.
 */
#ifndef OMS_RETURN_LOCATION_H
#define OMS_RETURN_LOCATION_H

#include "oms.h"

#include "order.h"

/* Units of one line that come back as goods. */
typedef struct ReturnPart
{
	int32		line_no;
	int64		item_id;
	int32		quantity;
	const char *reason;			/* NULL: none */
	int64		shipped_from;	/* most of them; 0: nobody knows */
} ReturnPart;

typedef struct ReturnPlace
{
	int64		location_id;	/* 0: no goods are among them */
	const char *why;
	int32		room_taken;		/* units of its day; 0: it takes any number */
	int32		room_day;
	Jsonb	   *decision;
} ReturnPlace;

/* What a rule asks of a line and of the order's channel; l is the line, i its item, u has reason and location. */
#define RETURN_RULE_FITS(channel, currency) \
	"(r.channel_id IS NULL OR r.channel_id = " channel ")" \
	" AND (r.item_id IS NULL OR r.item_id = l.item_id) AND (r.item_group IS NULL OR r.item_group = i.item_group)" \
	" AND (r.reason IS NULL OR r.reason = u.reason)" \
	" AND (r.currency IS NULL OR (r.currency = " currency " AND l.unit_price >= coalesce(r.least_value, 0)" \
	" AND l.unit_price <= coalesce(r.most_value, 'Infinity')))"

extern ReturnPlace oms_return_place(Order *order, const ReturnPart *parts, int count, const char *code);
extern void oms_return_room_give_back(int64 return_id);

#endif							/* OMS_RETURN_LOCATION_H */
