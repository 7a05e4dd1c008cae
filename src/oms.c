/*
 * oms.c
 *	  Start of the library: settings, and nothing else.
 */
#include "oms.h"

#include "utils/guc.h"

#include "heap.h"
#include "relation.h"

PG_MODULE_MAGIC;

PG_FUNCTION_INFO_V1(oms_version);

int			oms_tenant_setting = 1;
char	   *oms_actor_setting = NULL;
char	   *oms_clock_setting = NULL;
int			oms_lock_timeout_setting = 10000;
int			oms_routing_rule_timeout_setting = 200;
int			oms_stripe_waits = 16;
bool		oms_in_call = false;
bool		oms_read_only = false;

/* What oms.in_call shows; the variable behind the setting never changes. */
static bool in_call_setting = false;

void		_PG_init(void);

static const char *
show_in_call(void)
{
	return oms_in_call ? "on" : "off";
}

static bool
check_clock(char **newval, void **extra, GucSource source)
{
	MemoryContext context = CurrentMemoryContext;
	volatile bool good = true;

	if (*newval == NULL || **newval == '\0')
		return true;

	/*
	 * The input function can only say no by an error.  Settings are checked
	 * outside any work of ours, so catching it here loses nothing.
	 */
	PG_TRY();
	{
		(void) DirectFunctionCall3(timestamptz_in, CStringGetDatum(*newval),
								   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
	}
	PG_CATCH();
	{
		MemoryContextSwitchTo(context);
		FlushErrorState();
		good = false;
	}
	PG_END_TRY();

	if (!good)
		GUC_check_errdetail("\"%s\" is not a timestamp with time zone.", *newval);
	return good;
}

void
_PG_init(void)
{
	DefineCustomStringVariable("oms.actor",
							   "Who acts, for the record; the session user where it is empty.",
							   NULL, &oms_actor_setting, "",
							   PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomStringVariable("oms.clock",
							   "A fixed time that replaces the clock, for replaying history and for tests.",
							   NULL, &oms_clock_setting, "",
							   PGC_SUSET, 0, check_clock, NULL, NULL);
	DefineCustomBoolVariable("oms.in_call",
							 "On while a function of oms runs.",
							 NULL, &in_call_setting, false,
							 PGC_INTERNAL, GUC_NO_SHOW_ALL | GUC_NOT_IN_SAMPLE | GUC_DISALLOW_IN_FILE,
							 NULL, NULL, show_in_call);
	DefineCustomIntVariable("oms.lock_timeout",
							"Longest wait of a call for a row lock; lock_timeout wins where it is set.",
							NULL, &oms_lock_timeout_setting, 10000, 1, 3600000,
							PGC_USERSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("oms.routing_rule_timeout",
							"Longest time that the expressions of a routing policy may take for one order.",
							NULL, &oms_routing_rule_timeout_setting, 200, 1, 60000,
							PGC_SUSET, GUC_UNIT_MS, NULL, NULL, NULL);
	DefineCustomIntVariable("oms.stripe_waits",
							"Waits at a stock row, each soon after the one before, after which it is divided; 0 never divides.",
							NULL, &oms_stripe_waits, 16, 0, 10000,
							PGC_USERSET, 0, NULL, NULL, NULL);
	DefineCustomIntVariable("oms.tenant",
							"The merchant that calls act for.",
							NULL, &oms_tenant_setting, 1, 1, PG_INT32_MAX,
							PGC_USERSET, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("oms");

	oms_relation_init();
	oms_heap_init();
}

/*
 * oms.version() -> text
 */
Datum
oms_version(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(OMS_VERSION));
}
