/*
 * order_place.h
 *	  What editing an order needs of placing one.
 */
#ifndef OMS_ORDER_PLACE_H
#define OMS_ORDER_PLACE_H

#include "oms.h"

#include "document.h"
#include "order.h"

extern const DocShape oms_order_line_shape;
extern const char *const oms_delivery_methods[];
extern void oms_order_check_address(Jsonb *address, const char *place, FaultList *faults);
extern void oms_order_check_parts(Jsonb *ship_to, Jsonb *bill_to, Jsonb *customer, FaultList *faults);

/* Places the order of a document, NULL: there is none, or writes it as a draft; the answer. */
extern Jsonb *oms_order_place(Jsonb *document);

/* Places a draft; NULL where that is not possible now and not required. */
extern Jsonb *oms_draft_place(int64 order_id, bool required);

#endif							/* OMS_ORDER_PLACE_H */
