/*
 * capacity.h
 *	  What locations can ship in a day.
 */
#ifndef OMS_CAPACITY_H
#define OMS_CAPACITY_H

#include "oms.h"

#include "calendar.h"

/* Room of a location on a day that has a row. */
typedef struct CapacityRoom
{
	int64		location_id;
	int32		day;
	int32		left;
	int32		capacity;
} CapacityRoom;

typedef struct CapacityView
{
	int			count;
	CapacityRoom *rooms;		/* by location and day */
} CapacityView;

/* A change of what is used. */
typedef struct CapacityRow
{
	int64		location_id;
	int32		day;
	int32		amount;
} CapacityRow;

extern CapacityView *oms_capacity_view(const int64 *location_ids, int count, TimestampTz from);
extern void oms_capacity_view_take(CapacityView *view, const CapacityRow *rows, int count);
extern int	oms_capacity_merge(CapacityRow *rows, int count);
extern double oms_capacity_load(const CapacityView *view, const Site *site, int32 day);
extern int32 oms_capacity_need(const Site *site, int64 units);
extern bool oms_capacity_limits(const CapacityView *view, const Site *site, int32 day);
extern bool oms_capacity_has_room(const CapacityView *view, const Site *site, int32 day, int32 need);
extern bool oms_capacity_take(CapacityRow *rows, int count);
extern void oms_capacity_give_back(CapacityRow *rows, int count);
extern void oms_capacity_follow(Datum document);

#endif							/* OMS_CAPACITY_H */
