/*
 * dated_promise.h
 *	  Units promised beyond what is on hand, by the date that they wait for.
 */
#ifndef OMS_DATED_PROMISE_H
#define OMS_DATED_PROMISE_H

#include "oms.h"

#include "datatype/timestamp.h"

/* Units of a counter that promises take at a time; DT_NOEND: nobody knows when. */
typedef struct DatedUnits
{
	int64		item_id;
	int64		location_id;
	TimestampTz supplied_at;
	int64		units;
	int64		entries;		/* rows of the table that they are the sum of */
} DatedUnits;

typedef struct DatedList
{
	int			count;
	int			capacity;
	DatedUnits *rows;			/* by item, location, time */
} DatedList;

extern DatedList *oms_dated_promises_read(const int64 *item_ids, int count);
extern void oms_dated_promises_add(const DatedUnits *rows, int count);
extern void oms_dated_promises_tidy(const DatedList *list, int64 item_id, int64 location_id);

#endif							/* OMS_DATED_PROMISE_H */
