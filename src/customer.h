/*
 * customer.h
 *	  Customers.
 */
#ifndef OMS_CUSTOMER_H
#define OMS_CUSTOMER_H

#include "oms.h"

extern char *oms_customer_credit_fault(int64 order_id);

#endif							/* OMS_CUSTOMER_H */
