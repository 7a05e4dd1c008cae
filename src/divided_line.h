/*
 * divided_line.h
 *	  Lines whose units go to several deliveries.
 */
#ifndef OMS_DIVIDED_LINE_H
#define OMS_DIVIDED_LINE_H

#include "oms.h"

#include "document.h"
#include "order.h"

/* Units of a line that go to one delivery. */
typedef struct LinePart
{
	int32		delivery_no;
	int32		quantity;
} LinePart;

extern const DocShape oms_line_part_shape;

/* Notes what is wrong with the parts of a line of that quantity, which may name a delivery itself. */
extern void oms_line_parts_check(const DocArray *parts, int32 quantity, int32 delivery_no, const char *place,
								 FaultList *faults);

/* A line of a placed order that an edit divides. */
typedef struct LineDivision
{
	OrderLine  *line;
	const LinePart *parts;
	int			count;			/* 0: the line is left whole */
	int			stays;			/* the part that goes on under the line's number */
	int32		quantity;		/* of all parts */
	Numeric		unit_price;		/* NULL: as it is */
	const char *place;
} LineDivision;

extern void oms_line_divisions_check(const Order *order, const LineDivision *divisions, int count, FaultList *faults);
extern void oms_line_divisions_write(const Order *order, const LineDivision *divisions, int count, int new_lines, int32 last_no);

#endif							/* OMS_DIVIDED_LINE_H */
