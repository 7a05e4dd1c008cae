/*
 * expiry.h
 *	  Orders that wait for something only so long.
 */
#ifndef OMS_EXPIRY_H
#define OMS_EXPIRY_H

#include "oms.h"

extern void oms_deadlines_set(int64 order_id, int64 channel_id, bool unpaid, bool backordered);
extern void oms_deadline_set(int64 order_id, const char *kind, TimestampTz due_at);

#endif							/* OMS_EXPIRY_H */
