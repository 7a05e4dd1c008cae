/*
 * credit.h
 *	  Credit accounts: gift cards, store credit, customer credit.
 */
#ifndef OMS_CREDIT_H
#define OMS_CREDIT_H

#include "oms.h"

#include "order.h"

/* Why the money of an account moves. */
typedef struct CreditMove
{
	int64		account_id;
	const char *type;
	Numeric		balance;		/* changes */
	Numeric		held;
	int64		order_id;		/* 0: none */
	int64		payment_id;		/* 0: none */
	const char *reason;
} CreditMove;

extern int64 oms_credit_find(const char *code, char **currency, Numeric *available, const char **refusal);
extern int64 oms_credit_open(const char *code, const char *kind, const char *currency, const char *customer_ref);
extern void oms_credit_lock(int64 *account_ids, int count);
extern int64 oms_credit_move(const CreditMove *move);
extern void oms_credit_follow(int64 account_id, int64 order_id, int64 payment_id, const char *type, Numeric amount,
							  bool held);

#endif							/* OMS_CREDIT_H */
