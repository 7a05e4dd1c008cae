/*
 * refund.h
 *	  Refunds: granted, and apart from that executed.
 */
#ifndef OMS_REFUND_H
#define OMS_REFUND_H

#include "oms.h"

#include "order.h"

/*
 * Grants a refund on a locked order, for a return where return_id is not 0;
 * returns its refund_id.  The order's payment status follows with the caller's
 * oms_order_refresh.  OM009 where the customer would owe less than nothing.
 */
extern int64 oms_refund_grant(Order *order, Numeric amount, const char *reason, int64 return_id);

/* Takes back what was granted and not executed; the caller refreshes. */
extern void oms_refund_revoke(Order *order, int64 refund_id, const char *reason);

/* Lets the grants of a locked order follow what was asked of the provider and what he paid. */
extern void oms_refund_follow(int64 order_id);

#endif							/* OMS_REFUND_H */
