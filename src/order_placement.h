/*
 * order_placement.h
 *	  An order on its way from document to rows: what the files that place it
 *	  (order_document.c, order_plan.c, order_promise.c, order_write.c,
 *	  order_draft.c, order_place.c) share.
 */
#ifndef OMS_ORDER_PLACEMENT_H
#define OMS_ORDER_PLACEMENT_H

#include "oms.h"

#include "allocation.h"
#include "answer.h"
#include "capacity.h"
#include "configuration.h"
#include "divided_line.h"
#include "document.h"
#include "fulfillment.h"
#include "hold.h"
#include "item.h"
#include "location.h"
#include "lot.h"
#include "order.h"
#include "quota.h"
#include "reservation.h"
#include "route.h"
#include "routing.h"
#include "running_stock.h"
#include "stock.h"
#include "supply.h"

/* ---- The document ---- */

typedef struct AdjustmentDocument
{
	char	   *type;
	char	   *code;
	Numeric		amount;
	int8		included;
} AdjustmentDocument;

typedef struct AddressDocument
{
	char	   *name;
	char	   *company;
	char	   *line1;
	char	   *line2;
	char	   *city;
	char	   *region;
	char	   *postal_code;
	char	   *country;
	char	   *phone;
	char	   *email;
	double		latitude;
	double		longitude;
} AddressDocument;

typedef struct CustomerDocument
{
	char	   *ref;
	char	   *name;
	char	   *email;
	char	   *phone;
	char	   *class;
} CustomerDocument;

typedef struct LineDocument
{
	int32		line_no;
	int32		delivery_no;
	int32		quantity;
	char	   *sku;
	char	   *name;
	char	   *external_ref;
	char	   *location;
	char	   *lot;
	char	   *together;
	Numeric		unit_price;
	Jsonb	   *attributes;
	int8		substitution;
	DocArray	adjustments;
	DocArray	deliveries;		/* of LinePart, in the place of delivery_no */
} LineDocument;

typedef struct DeliveryDocument
{
	int32		delivery_no;
	char	   *method;
	char	   *service;
	char	   *pickup_location;
	Jsonb	   *ship_to;
	TimestampTz requested_at;
} DeliveryDocument;

typedef struct OrderDocument
{
	char	   *channel;
	char	   *external_ref;
	char	   *currency;
	char	   *method;
	char	   *service;
	char	   *pickup_location;
	char	   *notes;
	char	   *ordered_by;
	CustomerDocument *customer;
	Jsonb	   *ship_to;
	Jsonb	   *bill_to;
	Jsonb	   *risk;
	Jsonb	   *attributes;
	Numeric		total;
	TimestampTz requested_at;
	TimestampTz valid_until;
	int64		reservation_id;
	DocArray	deliveries;
	DocArray	lines;
	DocArray	adjustments;
	DocArray	payments;
	int32		priority;		/* DOC_ABSENT: that of the channel */
	int8		allow_backorder;
	int8		ship_complete;
	int8		draft;
} OrderDocument;

/* ---- What becomes of it ---- */

/* A line that stands for its components. */
typedef struct PlacedKit
{
	int32		kit_no;			/* its number among the lines */
	int32		sets;
	CatalogItem *item;
	Numeric		unit_price;
	bool		together;		/* all at one location */
	bool		may_break;
	LineDocument *document;
	int32		divided_from;	/* the kit of the document that it is a part of; 0: it is whole */
} PlacedKit;

typedef struct PlacedLine
{
	LineDocument *document;
	CatalogItem *item;
	int			demand;			/* index into demands, -1 for items without stock */
	int32		line_no;
	Numeric		unit_price;
	Numeric		amount;
	int32		allocated;
	int32		backordered;
	PlacedKit  *kit;			/* that it is a component of; NULL: none */
	int32		per_set;		/* units in one set of it */
	int			position;		/* in the document, of a component that of its kit, of a part that of its line */
	int32		divided_from;	/* the line of the document that it is a part of; 0: it is whole, or the first part */
	const struct SubstituteRule *rule;	/* that put this item in the place of another; NULL: none */
	const CatalogItem *wanted;	/* that other */
	int32		wanted_no;		/* the line that it was wanted on */
	int32		wanted_units;
} PlacedLine;

/* Units of one item wanted by lines that may be served from the same places. */
typedef struct Demand
{
	CatalogItem *item;
	Location   *pinned;			/* NULL: anywhere */
	int32		quantity;
	PlacedKit  *together;		/* kit whose demands are served from one place; NULL: none */
	int32		company;		/* demands of equal number are served from one place; 0: as it comes */
	bool		whole;			/* for a kit or a lot: never backordered */
	const char *lot;			/* the only one that will do; NULL: any */
} Demand;

typedef struct Placement
{
	Jsonb	   *source;
	int64		hash;
	OrderDocument *document;
	AddressDocument *address;	/* NULL where there is none */
	RiskDocument *risk;
	Channel    *channel;
	Location   *pickup;
	const char *currency;
	int			digits;
	bool		backorder;
	bool		ship_complete;	/* all units from stock, or none */
	bool		later_only;		/* while it is planned that none are */
	bool		incomplete;		/* that is what has no plan */
	int32		priority;

	PlacedLine *lines;
	int			line_count;
	ItemSet    *items;			/* of many documents; NULL: to be read */
	RunningStock *running;		/* as orders of the same call leave it; NULL: counters are read */
	Demand	   *demands;
	int			demand_count;
	List	   *kits;			/* of PlacedKit */
	struct Substitution *substitution;	/* NULL: the lines are the document's */

	Numeric		item_total;
	Numeric		discount_total;
	Numeric		shipping_total;
	Numeric		fee_total;
	Numeric		tax_total;
	Numeric		total;

	Location  **candidates;		/* locations of the routing problem */
	int			candidate_count;
	RoutePart  *parts;			/* the plan, by demand and candidate */
	int			part_count;
	int32	   *missing;		/* per demand: units that nobody can promise */
	CapacityView *capacity;		/* of the locations that have any; NULL: none has a limit */
	int			barred_count;	/* candidates that only tell why they are none: the channel does not ship from there */
	int			full_count;		/* locations that have units but no day for them */
	RoutingPlan *routing;		/* NULL where no policy decided */
	LotHorizon *horizons;		/* until when lots must last, by location */
	int			horizon_count;
	SupplyList *in_time;		/* that units beyond those on hand may rest on, NULL: on any */
	SupplyList *supplies;		/* that its waiting units may rest on, NULL: none wait */
	bool		asks_supplies;	/* it was planned with units that come */
	HoldList   *holds;			/* holds that the order may use up, NULL: none */
	QuotaList  *quotas;			/* of the channel, NULL: none */

	int64		order_id;		/* 0 in a preview */
	TimestampTz placed_at;		/* of an order that is added to; 0: now */
	const char *status;
	const char *payment_status;
	const char *fulfillment_status;
	Fulfillment *fulfillments;
	int			fulfillment_count;
	TimestampTz promised_at;	/* when all has arrived; DT_NOBEGIN: not known */
	Allocation *allocations;
	int			allocation_count;
	int64	   *payment_ids;
	List	   *order_holds;	/* of PlacedHold: what the channel holds the order for */

	/*
	 * An order with several deliveries is planned group by group, each with
	 * its own address and what the groups before it take gone; then it is
	 * written as one.
	 */
	int32		delivery_no;
	bool		partial;		/* deliveries without lines are no fault: an addition */
	int			added;			/* of an addition: its last lines, which are the caller's new ones */
	struct Placement **groups;
	int			group_count;
	struct Placement *failed;	/* the group that cannot be planned */
	int			group_no;		/* of a group: how many are before it */
	struct Placement *whole;	/* of a group: the order */
	const StockRow *beside;		/* what the call takes and gives back for other orders, until that is written */
	int			beside_count;
	bool		leaves_holds;	/* does not use up those that have expired */
	struct Displacement *displacement;	/* orders that give way to this one; NULL: none */
	int			displacement_tries;
	StockRow   *taken;			/* by the groups before this one */
	int			taken_count;
	CapacityRow *taken_days;	/* likewise */
	int			taken_day_count;
	int		   *line_numbers;	/* of a group: where its lines stand in the order */
} Placement;

/* order_document.c */
extern int oms_line_number_compare(const void *left, const void *right);
extern char *oms_placement_place(const Placement *placement, int position, const char *field);
extern bool oms_line_weight(const Jsonb *attributes, int64 *grams);
extern void oms_line_weight_check(const Jsonb *attributes, const char *array, int index, FaultList *faults);
extern int32 oms_placement_next_line_no(const Placement *placement, int more, FaultList *faults);
extern Numeric oms_adjustment_signed_amount(const AdjustmentDocument *adjustment);
extern bool oms_placement_is_draft(const Placement *placement);
extern void oms_adjustments_spread(const LineDocument *source, LineDocument **parts, int count, const int64 *shares, int digits);
extern void oms_placement_divide(Placement *placement);
extern void oms_placement_read(Placement *placement, FaultList *faults);
extern Placement *oms_placement_of(Jsonb *document, FaultList *faults);

/* divided_line.c: parts in the place of lines that go to several deliveries. */
extern void oms_lines_divide(Placement *placement, FaultList *faults);
extern void oms_divided_lines_write(DocWriter *writer, const Placement *placement);

/* kit.c: components in the place of the lines of kits, which are resolved and numbered; rows of the kits. */
extern void oms_kits_expand(Placement *placement, FaultList *faults);
extern void oms_kits_insert(Placement *placement);

/* substitute.c: other items in the place of those that nobody can promise. */
typedef bool (*PlanLines) (Placement *placement);
extern bool oms_substitutes_plan(Placement *placement, PlanLines plan);
extern void oms_substitutes_undo(Placement *placement);
extern void oms_substitutes_insert(Placement *placement);
extern void oms_substitutes_write(DocWriter *writer, const Placement *placement);

/* displacement.c: units of orders of a lower priority for an order that would be short. */
extern bool oms_displacement_plan(Placement *placement, PlanLines plan);
extern bool oms_displacement_begin(Placement *placement);
extern bool oms_displacement_finish(Placement *placement);
extern void oms_displacement_write(DocWriter *writer, const Placement *placement);

/* order_plan.c */
extern int64 *oms_placement_weights(Placement *placement);
extern bool oms_placement_has_backorder(const Placement *placement);
extern bool oms_placement_may_use(const Placement *placement, int64 item_id, int64 location_id);
extern StockView *oms_placement_view(Placement *placement);
extern bool oms_placement_find_sources(Placement *placement);
extern Refusal oms_placement_refusal(Placement *placement);
extern void oms_placement_refuse(Placement *placement);
extern void oms_placement_record_routing(Placement *placement, int decision_no);

/* order_promise.c */
extern bool oms_placement_plan(Placement *placement);
extern void oms_placement_promise(Placement *placement);
extern void oms_placement_set_beside(Placement *placement, const StockRow *rows, int count);
extern bool oms_placement_take(Placement *placement);
extern void oms_placement_reserve(Placement *placement);
extern StockRow *oms_placement_counters(Placement *placement, int *count);
extern int	oms_placement_days(const Placement *placement, CapacityRow *rows);
extern bool oms_placement_rests_on_supplies(const Placement *placement);
extern bool oms_counter_covers(const StockRow *row);

/* order_write.c */
extern Datum oms_jsonb_or_null(Jsonb *document, char *null);
extern Jsonb *oms_placement_customer(const CustomerDocument *customer);
extern bool oms_placement_insert_order(Placement *placement);
extern bool oms_placements_insert_orders(Placement *const *placements, int count);
extern void oms_placements_insert_lines(Placement *const *placements, int count);
extern void oms_placements_insert_adjustments(Placement *const *placements, int placement_count, int32 last_no);
extern void oms_placements_write_deliveries(Placement *const *placements, int count);
extern void oms_placements_write_parts(Placement *const *placements, int count);
extern void oms_placement_insert_promises(Placement *placement);
extern void oms_placements_insert_promises(Placement *const *placements, int count);
extern void oms_placement_add_payments(Placement *placement);
extern Jsonb *oms_placement_answer(Placement *placement);

/* order_draft.c */
extern void oms_draft_describe(Placement *placement);
extern void oms_draft_set_validity(Placement *placement);
extern Jsonb *oms_draft_complete(Placement *placement);
extern Jsonb *oms_draft_write(Placement *placement);

/* order_place.c */
extern bool oms_placement_find_existing(Placement *placement, bool has_faults, Jsonb **answer, Refusal *refusal);
extern int oms_placement_take_step(Placement *placement);
extern Jsonb *oms_placement_complete(Placement *placement, int placed_event);

#endif							/* OMS_ORDER_PLACEMENT_H */
