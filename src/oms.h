/*
 * oms.h
 *	  Names that every file of the extension shares: limits, SQLSTATEs, the
 *	  frame of a call.
 */
#ifndef OMS_H
#define OMS_H

#include "postgres.h"

#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

#include "compat.h"

/* Limits of the contract; each has a test at it and one above it. */
#define OMS_LINES_PER_ORDER_MAX		5000
#define OMS_CODE_BYTES_MAX			200
#define OMS_QUANTITY_MAX			1000000000
#define OMS_DOCUMENT_BYTES_MAX		(8 * 1024 * 1024)
#define OMS_BULK_ROWS_MAX			100000
#define OMS_ORDERS_PER_CALL_MAX		10000
#define OMS_ADJUSTMENTS_MAX			20000
#define OMS_PAYMENTS_PER_ORDER_MAX	100
#define OMS_DELIVERIES_PER_ORDER_MAX	100
#define OMS_KIT_COMPONENTS_MAX		100
#define OMS_PACKAGES_MAX			1000

/* SQLSTATE class OM. */
#define ERRCODE_OMS_INSUFFICIENT_STOCK	MAKE_SQLSTATE('O', 'M', '0', '0', '1')
#define ERRCODE_OMS_TRANSITION			MAKE_SQLSTATE('O', 'M', '0', '0', '2')
#define ERRCODE_OMS_IDEMPOTENCY			MAKE_SQLSTATE('O', 'M', '0', '0', '3')
#define ERRCODE_OMS_HOLD				MAKE_SQLSTATE('O', 'M', '0', '0', '4')
#define ERRCODE_OMS_UNKNOWN				MAKE_SQLSTATE('O', 'M', '0', '0', '5')
#define ERRCODE_OMS_DOCUMENT			MAKE_SQLSTATE('O', 'M', '0', '0', '6')
#define ERRCODE_OMS_LIMIT				MAKE_SQLSTATE('O', 'M', '0', '0', '7')
#define ERRCODE_OMS_NO_LOCATION			MAKE_SQLSTATE('O', 'M', '0', '0', '8')
#define ERRCODE_OMS_MONEY				MAKE_SQLSTATE('O', 'M', '0', '0', '9')
#define ERRCODE_OMS_VERSION				MAKE_SQLSTATE('O', 'M', '0', '1', '0')
#define ERRCODE_OMS_CONCURRENT			MAKE_SQLSTATE('O', 'M', '0', '1', '1')
#define ERRCODE_OMS_NOT_PERMITTED		MAKE_SQLSTATE('O', 'M', '0', '1', '2')

/* Settings (oms.c). */
extern int	oms_tenant_setting;
extern char *oms_actor_setting;
extern char *oms_clock_setting;
extern int	oms_lock_timeout_setting;
extern int	oms_routing_rule_timeout_setting;
extern int	oms_stripe_waits;

/* True while a function of the extension runs: read by the guard triggers. */
extern bool oms_in_call;

/* True in calls that only read: their statements share the caller's snapshot. */
extern bool oms_read_only;

#endif							/* OMS_H */
