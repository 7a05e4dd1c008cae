/*
 * clock.h
 *	  The one source of time.
 */
#ifndef OMS_CLOCK_H
#define OMS_CLOCK_H

#include "oms.h"

extern TimestampTz oms_now(void);

#endif							/* OMS_CLOCK_H */
