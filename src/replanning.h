/*
 * replanning.h
 *	  Promises that a count or a lost supply withdrew, made anew in the same call.
 */
#ifndef OMS_REPLANNING_H
#define OMS_REPLANNING_H

#include "oms.h"

#include "allocation.h"
#include "document.h"
#include "repromise.h"
#include "stock.h"

typedef struct Replanning
{
	const char *reason;			/* for the events */
	bool		active;			/* the tenant wants it */
	StockRow   *places;			/* further counters that are locked for it, in lock order */
	int			place_count;
	Repromise  *orders;
	int		   *turns;			/* indexes, in which order they are promised anew */
	int			count;
} Replanning;

extern bool oms_replanning_plan(Replanning *replanning, const StockRow *rows, int count, const AllocationList *withdrawn);
extern void oms_replanning_drop(Replanning *replanning);
extern void oms_replanning_write(Replanning *replanning);
extern void oms_replanning_describe(DocWriter *writer, const Replanning *replanning);

#endif							/* OMS_REPLANNING_H */
