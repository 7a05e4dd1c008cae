/*
 * event.h
 *	  Events of the running call.
 */
#ifndef OMS_EVENT_H
#define OMS_EVENT_H

#include "oms.h"

typedef struct Event
{
	int64		event_id;		/* given when it is written */
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

/* Something for the last event of an order in this call, whichever that will be. */
typedef struct EventNote
{
	int64		order_id;
	Jsonb	   *data;			/* an object with one key */
} EventNote;

typedef struct EventList
{
	int			count;
	int			capacity;
	Event	   *items;
	int			note_count;
	int			note_capacity;
	EventNote  *notes;
} EventList;

extern void oms_events_init(EventList *events);
extern void oms_event(const Event *event);
extern void oms_event_set_data(int position, Jsonb *data);
extern void oms_event_note(int64 order_id, Jsonb *data);
extern void oms_events_flush(void);

#endif							/* OMS_EVENT_H */
