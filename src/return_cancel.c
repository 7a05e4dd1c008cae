/*
 * return_cancel.c
 *	  Cancelling units of which some have shipped: what can still be stopped is
 *	  stopped, the rest is to come back.
 */
#include "oms.h"

#include "call.h"
#include "document.h"
#include "kit.h"
#include "order.h"
#include "return.h"

/* What becomes of each line that the call names. */
typedef struct Division
{
	int32		line_no;
	int32		stopped;
	int32		shipped;
} Division;

static Division *
divide(Order *order, Jsonb *document, int *count)
{
	OrderLines *lines = oms_order_lines(order->order_id);
	int			wanted_count = 0;
	LineQuantity *wanted = document ? oms_line_quantities(document, "lines", &wanted_count) : NULL;
	Division   *parts = palloc0(sizeof(Division) * Max(1, Max(wanted_count, lines->count)));

	*count = document ? wanted_count : lines->count;
	for (int i = 0; i < *count; i++)
	{
		OrderLine  *line = wanted ? oms_order_line_wanted(order, lines, &wanted[i]) : &lines->rows[i];
		int32		open;

		open = line->ordered - line->cancelled - line->shipped;
		parts[i].line_no = line->line_no;
		if (wanted == NULL || wanted[i].quantity == DOC_ABSENT)
		{
			parts[i].stopped = open;
			parts[i].shipped = DOC_ABSENT;
		}
		else
		{
			parts[i].stopped = Min(open, wanted[i].quantity);
			parts[i].shipped = wanted[i].quantity - parts[i].stopped;
		}
		if (line->shipped == 0 && parts[i].shipped == DOC_ABSENT)
			parts[i].shipped = 0;
	}
	return parts;
}

static void
write_line(DocWriter *writer, int32 line_no, int32 quantity)
{
	oms_write_begin_object(writer, NULL);
	oms_write_int64(writer, "line_no", line_no);
	oms_write_int64(writer, "quantity", quantity);
	oms_write_end(writer);
}

/* The units that are stopped, as oms_order_cancel takes them; NULL: none. */
static Jsonb *
stopped_document(const Division *parts, int count)
{
	JsonbParseState *state = NULL;
	JsonbValue *result;
	bool		any = false;

	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (int i = 0; i < count; i++)
	{
		DocWriter	writer = {.state = state};

		if (parts[i].stopped == 0)
			continue;
		write_line(&writer, parts[i].line_no, parts[i].stopped);
		state = writer.state;
		any = true;
	}
	result = pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return any ? JsonbValueToJsonb(result) : NULL;
}

static ReturnWish *
wishes_of(const Division *parts, int parts_count, int *count)
{
	ReturnWish *wishes = palloc0(sizeof(ReturnWish) * Max(1, parts_count));

	*count = 0;
	for (int i = 0; i < parts_count; i++)
		if (parts[i].shipped != 0)
		{
			wishes[*count].line_no = parts[i].line_no;
			wishes[(*count)++].quantity = parts[i].shipped;
		}
	return wishes;
}

/* A line of which all has come back already needs no wish where nobody named a quantity. */
static int
drop_returned(Order *order, ReturnWish *wishes, int count)
{
	int			kept = 0;

	for (int i = 0; i < count; i++)
		if (wishes[i].quantity != DOC_ABSENT || oms_return_possible(order, wishes[i].line_no))
			wishes[kept++] = wishes[i];
	return kept;
}

/*
 * Cancels what has not shipped and requests the return of what has; the id of
 * that return, 0 where there is nothing to send back.  The answer lists what
 * was stopped.
 */
int64
oms_return_cancel(Order *order, Jsonb *document, const char *reason, DocWriter *answer)
{
	ReturnOptions none = {.goods_back = 1};
	int			count;
	int			wish_count;
	Division   *parts = divide(order, document, &count);
	ReturnWish *wishes = wishes_of(parts, count, &wish_count);
	Jsonb	   *stopped = stopped_document(parts, count);
	List	   *broken = document != NULL ? oms_kits_broken(order->order_id) : NIL;
	int64		return_id = 0;

	wish_count = drop_returned(order, wishes, wish_count);
	if (stopped == NULL && wish_count == 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("order " INT64_FORMAT " has nothing left to cancel or to return", order->order_id),
				 errdetail("Everything is cancelled, on its way back, or back."),
				 errhint("oms.get_order shows the lines.")));
	if (wish_count > 0)
		return_id = oms_return_request(order, wishes, wish_count, reason, &none);
	if (stopped != NULL)
		oms_order_cancel(order, stopped, "cancel", reason);
	if (document != NULL)
		oms_kits_check(order->order_id, broken);
	oms_order_refresh(order->order_id);
	oms_write_begin_array(answer, "stopped");
	for (int i = 0; i < count; i++)
		if (parts[i].stopped > 0)
			write_line(answer, parts[i].line_no, parts[i].stopped);
	oms_write_end_array(answer);
	return return_id;
}
