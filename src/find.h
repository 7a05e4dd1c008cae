/*
 * find.h
 *	  What searches have in common.
 */
#ifndef OMS_FIND_H
#define OMS_FIND_H

#include "oms.h"

extern Datum oms_find_visible_channels(const char *code);

#endif							/* OMS_FIND_H */
