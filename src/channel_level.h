/*
 * channel_level.h
 *	  Events of stock that is getting low, gone, or back for a channel.
 */
#ifndef OMS_CHANNEL_LEVEL_H
#define OMS_CHANNEL_LEVEL_H

#include "oms.h"

#include "stock.h"

/* Items whose units the running call has changed. */
typedef struct LevelItems
{
	int			count;
	int			capacity;
	int64	   *ids;
} LevelItems;

extern void oms_channel_levels_note(const int64 *item_ids, int count);
extern void oms_channel_levels_note_rows(const StockRow *rows, int count);
extern void oms_channel_levels_write(void);
extern void oms_channel_levels_restore(const int64 *level_ids, int count);

#endif							/* OMS_CHANNEL_LEVEL_H */
