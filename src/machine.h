/*
 * machine.h
 *	  State machines.
 */
#ifndef OMS_MACHINE_H
#define OMS_MACHINE_H

#include "oms.h"

#define MACHINE_ORDER		"order"
#define MACHINE_FULFILLMENT "fulfillment"
#define MACHINE_PAYMENT		"payment"
#define MACHINE_RETURN		"return"
#define MACHINE_RESERVATION "reservation"
#define MACHINE_REFUND		"refund"
#define MACHINE_SUPPLY		"supply"
#define MACHINE_TRANSFER	"transfer"

typedef struct Transition
{
	int64		id;
	const char *from_state;
	const char *action;
	const char *to_state;
	const char *guard;			/* NULL: none */
	const char *after_hook;		/* NULL: none */
} Transition;

/* What a step is about, for guards, hooks, events and messages. */
typedef struct StepObject
{
	const char *type;			/* "order" */
	int64		id;
	int64		order_id;
	const char *reason;
	Jsonb	   *data;			/* goes into the event; guards of rows see it too */
	Jsonb	   *document;		/* guards and hooks see it, NULL: none */
	const int32 *lines;			/* lines that a fulfillment's step takes; NULL: all of it */
	int			line_count;
} StepObject;

extern const char *oms_machine_initial(const char *machine);
extern bool oms_machine_final(const char *machine, const char *state);
extern bool oms_machine_allows(const char *machine, const char *from_state, const char *action);
extern const char *oms_machine_target(const char *machine, const char *from_state, const char *action);
extern bool oms_machine_leads(const char *machine, const char *from_state, const char *action,
							  const char *to_state);
extern bool oms_machine_asks(const char *machine, const char *from_state, const char *action);
extern const Transition *oms_machine_step(const char *machine, const char *from_state,
										  const char *action, const StepObject *object);

extern void oms_machine_ask(const char *machine, const char *from_state, const char *action, const StepObject *object);
extern void oms_machine_run_hooks(void);
extern Datum oms_user_function(const char *name, Jsonb *argument, Oid expected);

#endif							/* OMS_MACHINE_H */
