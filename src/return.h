/*
 * return.h
 *	  Goods that come back.
 */
#ifndef OMS_RETURN_H
#define OMS_RETURN_H

#include "oms.h"

#include "document.h"
#include "order.h"

typedef struct ReturnLine
{
	int32		line_no;
	int64		item_id;
	bool		stocked;
	int32		requested;
	int32		received;
	int32		arriving;		/* of the running call */
	char	   *sku;
	bool		tracked;		/* its units have lots */
	char	   *lot;			/* that the line of the order asked for; NULL: none */
} ReturnLine;

typedef struct Return
{
	int64		return_id;
	int64		order_id;
	int64		location_id;	/* 0: no goods are among them */
	char	   *status;
	char	   *stage;			/* of the order's lines, that its units reach */
	int			line_count;
	ReturnLine *lines;			/* by line_no */
} Return;

/* A line that is to come back. */
typedef struct ReturnWish
{
	int32		line_no;
	int32		quantity;		/* DOC_ABSENT: all that can */
	char	   *reason;			/* NULL: that of the return */
} ReturnWish;

/* What a caller decides beside the rules. */
typedef struct ReturnOptions
{
	char	   *location;
	char	   *external_ref;
	char	   *refund_on;
	char	   *shipping_refund;
	Numeric		restocking_fee;
	Numeric		restocking_percent;
	Jsonb	   *attributes;
	int8		goods_back;		/* 0: the units are lost, or stay with the customer */
	const char *stage;			/* NULL: what goods_back says */
} ReturnOptions;

/* The fields of a document that say these options, for a struct that has them as a member. */
#define RETURN_OPTION_FIELDS(type, member) \
	{"location", DOC_CODE, offsetof(type, member.location)}, \
	{"external_ref", DOC_CODE, offsetof(type, member.external_ref)}, \
	{"refund_on", DOC_TEXT, offsetof(type, member.refund_on), .choices = oms_return_refund_times}, \
	{"shipping_refund", DOC_TEXT, offsetof(type, member.shipping_refund), .choices = oms_return_shipping_rules}, \
	{"restocking_fee", DOC_MONEY, offsetof(type, member.restocking_fee)}, \
	{"restocking_percent", DOC_MONEY, offsetof(type, member.restocking_percent)}, \
	{"attributes", DOC_OBJECT, offsetof(type, member.attributes)}, \
	{"goods_back", DOC_BOOL, offsetof(type, member.goods_back)}

extern const char *const oms_return_refund_times[];
extern const char *const oms_return_shipping_rules[];

/* What the units of a return are worth. */
typedef struct ReturnWorth
{
	Numeric		items;
	Numeric		discount;
	Numeric		tax;
	Numeric		included_tax;
	Numeric		total;			/* with charges, less the fee */
} ReturnWorth;

/* The stages that units of a return reach. */
#define STAGE_RETURNED "returned"
#define STAGE_WRITTEN_OFF "written_off"
#define STAGE_REPLACED "replaced"

extern ReturnWish *oms_return_wishes(Jsonb *document, int *count, FaultList *faults);
extern void oms_return_check_options(const ReturnOptions *options, const char *currency, FaultList *faults);
extern ReturnWorth oms_return_expect(Order *order, int64 return_id);
extern int64 oms_return_request(Order *order, ReturnWish *wishes, int count, const char *reason,
								const ReturnOptions *options);
extern bool oms_return_possible(Order *order, int32 line_no);
extern int64 oms_return_cancel(Order *order, Jsonb *document, const char *reason, DocWriter *answer);
extern Return *oms_return_get(int64 return_id);
extern Return *oms_return_lock(int64 return_id, Order **order);
extern ReturnLine *oms_return_line(Return *row, int32 line_no);
extern void oms_return_step(Return *row, const char *action, const char *reason, Jsonb *data);
extern void oms_return_count(int64 order_id, const int32 *numbers, const int32 *requested, const int32 *returned,
							 int count, const char *stage);
extern void oms_return_keep(Order *order, int64 return_id);
extern void oms_return_settle(Order *order, int64 return_id);
extern Jsonb *oms_return_document(int64 return_id);

#endif							/* OMS_RETURN_H */
