/*
 * answer.h
 *	  Answers of outside services to commands.
 */
#ifndef OMS_ANSWER_H
#define OMS_ANSWER_H

#include "oms.h"

#include "document.h"

#define COMMAND_FRAUD_CHECK "fraud_check.requested"

/* What a fraud check says of an order. */
typedef struct RiskDocument
{
	char	   *decision;		/* accept, review, reject */
	char	   *reason;
	char	   *reference;
	double		score;
	Jsonb	   *data;
} RiskDocument;

extern const DocShape oms_risk_shape;

#endif							/* OMS_ANSWER_H */
