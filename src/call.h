/*
 * call.h
 *	  The frame around every public function.
 */
#ifndef OMS_CALL_H
#define OMS_CALL_H

#include "oms.h"

#include "nodes/pg_list.h"
#include "utils/resowner.h"

#include "channel_level.h"

typedef enum OmsCallMode
{
	CALL_READ,
	CALL_WRITE,					/* no idempotency key */
	CALL_KEYED					/* the last argument is the idempotency key */
} OmsCallMode;

/* What a running call knows.  One at a time, nested calls keep the outer one. */
typedef struct OmsCall
{
	int32		tenant;
	TimestampTz now;
	char	   *actor;
	Oid			user;			/* who called; the call itself runs as the owner */
	MemoryContext context;		/* lives as long as the call */
	struct OmsCall *outer;		/* the call that this one runs in, NULL: none */
	bool		unscoped;		/* counts for everybody what the caller need not see */
	bool		configured;		/* holds pointers into the configuration */
	bool		plans_once;		/* a plan that is stale is an error: whoever placed the order undoes all and tries again */
	struct EventList *events;
	List	   *hooks;			/* of steps that the call took (machine.c) */
	struct LotList *lots;		/* that the caller names, NULL: none (lot.c) */
	LevelItems	level_items;	/* see channel_level.c */
	bool		dry_run;		/* it keeps nothing, nor its key: the call itself may be made with it */
	bool		waits_for_orders;	/* it holds no lock yet that others who hold an order may wait for */
	int64		unheld_order;	/* locked order that has no hold: see hold.c */
	uint64		unheld_since;
} OmsCall;

extern OmsCall *oms_call;

typedef Datum (*OmsBody) (FunctionCallInfo fcinfo, bool *isnull);

extern Datum oms_call_run(FunctionCallInfo fcinfo, OmsCallMode mode, OmsBody body);

/* Defines the SQL-callable wrapper of a body. */
#define OMS_FUNCTION(name, mode) \
	PG_FUNCTION_INFO_V1(name); \
	static Datum name##_body(FunctionCallInfo fcinfo, bool *isnull); \
	Datum \
	name(PG_FUNCTION_ARGS) \
	{ \
		return oms_call_run(fcinfo, mode, name##_body); \
	} \
	static Datum \
	name##_body(FunctionCallInfo fcinfo, bool *isnull)

/* A part of a call that can be undone by itself: see oms_attempt_begin. */
typedef struct OmsAttempt
{
	MemoryContext context;
	ResourceOwner owner;
	int			events;
	int			notes;
	int			hooks;
	int			level_items;
} OmsAttempt;

extern void oms_attempt_begin(OmsAttempt *attempt);
extern void oms_attempt_keep(OmsAttempt *attempt);
extern void oms_attempt_undo(OmsAttempt *attempt);
extern ErrorData *oms_attempt_try(void (*work) (void *), void *state);
extern char *oms_attempt_run(void (*work) (void *), void *state);
extern char *oms_attempt_plan(void (*work) (void *), void *state);

/* Arguments. */
/* Whether the caller belongs to a role; one that is gone leaves superusers. */
extern bool oms_call_has_role(const char *role_name);

extern char *oms_argument_text(FunctionCallInfo fcinfo, int argument);
extern char *oms_argument_required(FunctionCallInfo fcinfo, int argument, const char *name);
extern char *oms_argument_optional(FunctionCallInfo fcinfo, int argument, const char *name);
extern int64 oms_argument_id(FunctionCallInfo fcinfo, int argument, const char *name);
extern void oms_argument_positive(int32 value, const char *name);

#endif							/* OMS_CALL_H */
