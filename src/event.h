/*
 * event.h
 *	  Events of the running call.
 */
#ifndef OMS_EVENT_H
#define OMS_EVENT_H

#include "oms.h"

typedef struct Event
{
	int64		order_id;		/* 0: of no order */
	int64		object_id;
	int64		rule;			/* transition_id, 0 where no transition made it */
	const char *object_type;
	const char *type;
	const char *action;
	const char *from_state;
	const char *to_state;
	const char *reason;
	Jsonb	   *data;
} Event;

typedef struct EventList
{
	int			count;
	int			capacity;
	Event	   *items;
} EventList;

extern void oms_events_init(EventList *events);
extern void oms_event(const Event *event);
extern void oms_event_set_data(int position, Jsonb *data);
extern void oms_events_flush(void);

#endif							/* OMS_EVENT_H */
