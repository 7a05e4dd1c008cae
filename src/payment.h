/*
 * payment.h
 *	  Payments and balances.
 */
#ifndef OMS_PAYMENT_H
#define OMS_PAYMENT_H

#include "oms.h"

#include "document.h"
#include "order.h"

/* A payment as orders and oms.add_payment describe it. */
typedef struct PaymentDocument
{
	char	   *method;
	char	   *status;
	char	   *reference;
	char	   *currency;
	char	   *external_ref;
	Numeric		amount;			/* NULL: the order's total */
	char	   *account;		/* credit account that pays; NULL: a provider outside */
	int64		account_id;		/* found by oms_payment_check */
	TimestampTz expires_at;		/* DT_NOBEGIN: nobody says */
	Jsonb	   *attributes;
} PaymentDocument;

extern const DocShape oms_payment_shape;

/* What the events of an order's payments, its commands and its refunds add up to. */
typedef struct Balance
{
	Numeric		authorized;		/* and neither captured nor voided yet */
	Numeric		captured;
	Numeric		refunded;		/* and charged back */
	Numeric		ever_authorized;
	Numeric		unmatched;		/* refunded before the capture was reported */
	Numeric		capturing;		/* asked of the provider, not answered yet */
	Numeric		voiding;
	Numeric		refunding;
	Numeric		granted;		/* of the order: refunds granted, executed or not */
	Numeric		charged_back;	/* of what is refunded, more where it was not captured */
} Balance;

extern void oms_payment_execute(int64 payment_id, const char *type, Numeric amount, const char *reference);
extern void oms_payment_move_out(int64 payment_id, Numeric amount, const char *reference);
extern void oms_payment_transfer(Order *order, Numeric amount, int64 account_id, const char *reason);
extern Numeric oms_payment_movable(Order *order);
extern void oms_payment_give_back(int64 order_id);
extern void oms_payment_expire(int64 payment_id, TimestampTz end);
extern void oms_payment_resume(int64 order_id);
extern void oms_payment_void_all(int64 order_id);
extern void oms_payment_refund_excess(int64 order_id);
extern void oms_payment_overpaid(int64 order_id, bool is_news);
extern void oms_payment_capture(int64 order_id, const char *stage, bool tell);

extern void oms_payment_check(PaymentDocument *payment, const char *place, const char *currency,
							  FaultList *faults);
extern void oms_payments_check_references(const DocArray *payments);
extern int64 oms_payment_add(int64 order_id, const PaymentDocument *payment, const char *currency,
							 Numeric total);
extern void oms_balance_clear(Balance *balance);
extern void oms_balance_read(int64 order_id, Balance *balance);
extern Jsonb *oms_balance_document(int64 order_id);
extern Numeric oms_balance_owed(Numeric total, const Balance *balance);
extern Numeric oms_balance_due(Numeric total, const Balance *balance);
extern Numeric oms_balance_excess(Numeric total, const Balance *balance);
extern const char *oms_payment_status(Numeric total, const Balance *balance);
extern const char *oms_payment_status_of(int64 order_id, Numeric total);

#endif							/* OMS_PAYMENT_H */
