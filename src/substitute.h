/*
 * substitute.h
 *	  Other items in the place of those that nobody can promise.
 */
#ifndef OMS_SUBSTITUTE_H
#define OMS_SUBSTITUTE_H

#include "oms.h"

#include "document.h"

/* Substitutes of one item. */
#define OMS_SUBSTITUTES_MAX 20

extern const DocShape oms_substitute_shape;

extern void oms_substitutes_update(Jsonb *items);

#endif							/* OMS_SUBSTITUTE_H */
