/*
 * clock.c
 *	  The one source of time.
 *
 * A statement has one time: every row that a call writes carries it.  The
 * setting oms.clock replaces it, so that history can be replayed and tests can
 * stand at any moment.
 */
#include "oms.h"

#include "access/xact.h"

#include "clock.h"

PG_FUNCTION_INFO_V1(oms_current_time);

TimestampTz
oms_now(void)
{
	if (likely(oms_clock_setting == NULL || oms_clock_setting[0] == '\0'))
		return GetCurrentStatementStartTimestamp();
	return DatumGetTimestampTz(DirectFunctionCall3(timestamptz_in,
												   CStringGetDatum(oms_clock_setting),
												   ObjectIdGetDatum(InvalidOid),
												   Int32GetDatum(-1)));
}

/*
 * oms.current_time() -> timestamptz
 */
Datum
oms_current_time(PG_FUNCTION_ARGS)
{
	PG_RETURN_TIMESTAMPTZ(oms_now());
}
