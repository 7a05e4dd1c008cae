/*
 * transfer.h
 *	  Units on their way from one location to another.
 */
#ifndef OMS_TRANSFER_H
#define OMS_TRANSFER_H

#include "oms.h"

#include "lib/stringinfo.h"

extern char *oms_transfer_reference(int64 transfer_id);
extern int64 oms_transfers_open_units(int64 item_id, int64 location_id, const char *state, StringInfo detail);

#endif							/* OMS_TRANSFER_H */
