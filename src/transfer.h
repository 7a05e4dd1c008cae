/*
 * transfer.h
 *	  Units on their way from one location to another.
 */
#ifndef OMS_TRANSFER_H
#define OMS_TRANSFER_H

#include "oms.h"

extern char *oms_transfer_reference(int64 transfer_id);

#endif							/* OMS_TRANSFER_H */
