/*
 * scope.h
 *	  Which tenant, channels and locations the calling role may act for.
 */
#ifndef OMS_SCOPE_H
#define OMS_SCOPE_H

#include "oms.h"

extern void oms_scope_check(void);
extern bool oms_scope_channel(int64 channel_id);
extern bool oms_scope_location(int64 location_id);

#endif							/* OMS_SCOPE_H */
