/*
 * quota_tree_set.c
 *	  Saving trees of shares, and showing them.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/tuplestore.h"

#include "call.h"
#include "document.h"
#include "event.h"
#include "item.h"
#include "money.h"
#include "quota.h"
#include "quota_tree.h"
#include "relation.h"

#define RANK_DEFAULT 100

typedef struct ShareDocument
{
	char	   *channel;
	char	   *pool;
	char	   *parent;
	int32		rank;
	int32		units;
	int32		ratio;
	Numeric		percent;
	int8		lends;
	TimestampTz ends_at;
} ShareDocument;

typedef struct TreeDocument
{
	int32		units;
	TimestampTz ends_at;
	DocArray	shares;
} TreeDocument;

static const DocField share_fields[] = {
	{"channel", DOC_CODE, offsetof(ShareDocument, channel)},
	{"pool", DOC_CODE, offsetof(ShareDocument, pool)},
	{"parent", DOC_CODE, offsetof(ShareDocument, parent)},
	{"rank", DOC_INT, offsetof(ShareDocument, rank), .least = 0,.most = 1000000},
	{"units", DOC_INT, offsetof(ShareDocument, units), .least = 0,.most = OMS_QUANTITY_MAX},
	{"ratio", DOC_INT, offsetof(ShareDocument, ratio), .least = 1,.most = QUOTA_RATIO_MAX},
	{"percent", DOC_MONEY, offsetof(ShareDocument, percent)},
	{"lends", DOC_BOOL, offsetof(ShareDocument, lends)},
	{"ends_at", DOC_TIME, offsetof(ShareDocument, ends_at)},
};

static const DocShape share_shape = DOC_SHAPE_OF(ShareDocument, share_fields, "a share");

static const DocField tree_fields[] = {
	{"units", DOC_INT, offsetof(TreeDocument, units), .least = 0,.most = OMS_QUANTITY_MAX},
	{"ends_at", DOC_TIME, offsetof(TreeDocument, ends_at)},
	{"shares", DOC_ARRAY, offsetof(TreeDocument, shares), .required = true,.least = 1,.most = QUOTA_SHARES_MAX - 1,.shape = &share_shape},
};

static const DocShape tree_shape = DOC_SHAPE_OF(TreeDocument, tree_fields, "a tree of shares");

/* A share of the document. */
typedef struct ShareNode
{
	ShareDocument *document;
	const char *name;			/* NULL where it has none */
	Channel    *channel;		/* NULL: a pool */
	int			parent;			/* index of the node above, -1: the item itself */
	int			position;		/* in the table: parents first; 0: not placed yet */
} ShareNode;

typedef struct Tree
{
	CatalogItem *item;
	TreeDocument *document;
	Jsonb	   *source;
	ShareNode	   *nodes;
	int			count;
	int			order[QUOTA_SHARES_MAX];	/* index of the node at a position */
	FaultList	faults;
} Tree;

static OmsPlan get_plan = {
	.sql = "SELECT ends_at FROM {quota_trees} WHERE item_id = $2 AND tenant_id = $1 FOR UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan create_plan = {
	.sql = "INSERT INTO {quota_trees} (item_id, starts_at, ends_at, units, tenant_id)"
	" VALUES ($2, $3, $4, $5, $1)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID)
};

static OmsPlan change_plan = {
	.sql = "UPDATE {quota_trees} SET starts_at = CASE WHEN $6 THEN $3 ELSE starts_at END, ends_at = $4, units = $5,"
	" version = version + 1 WHERE item_id = $2 AND tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID, BOOLOID)
};

static OmsPlan restart_plan = {
	.sql = "UPDATE {quota_uses} SET used = 0 WHERE item_id = $2 AND tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

/* Its shares and uses go with it. */
static OmsPlan remove_plan = {
	.sql = "DELETE FROM {quota_trees} WHERE item_id = $2 AND tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan clear_plan = {
	.sql = "DELETE FROM {quota_shares} WHERE item_id = $2 AND tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan insert_plan = {
	.sql = "INSERT INTO {quota_shares} (item_id, channel_id, ends_at, tenant_id, position, parent, rank, units, ratio, lends,"
	" percent, pool) SELECT $2, u.channel_id, u.ends_at, $1, u.position, u.parent, u.rank, u.units, u.ratio, u.lends,"
	" u.percent, u.pool FROM unnest($3::bigint[], $4::timestamptz[], $5::int[], $6::int[], $7::int[], $8::int[], $9::bool[],"
	" $10::numeric[], $11::text[]) WITH ORDINALITY"
	" u(channel_id, ends_at, parent, rank, units, ratio, lends, percent, pool, position)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8ARRAYOID, TIMESTAMPTZARRAYOID, INT4ARRAYOID, INT4ARRAYOID, INT4ARRAYOID,
				 INT4ARRAYOID, BOOLARRAYOID, NUMERICARRAYOID, TEXTARRAYOID)
};

/* ---- Checking ---- */

static char *
place_of(int index, const char *field)
{
	return oms_document_place("shares", index, field);
}

static int
find_node(const Tree *tree, const char *name)
{
	for (int i = 0; i < tree->count; i++)
		if (tree->nodes[i].name && strcmp(tree->nodes[i].name, name) == 0)
			return i;
	return -1;
}

static void
check_name(Tree *tree, int index)
{
	ShareNode	   *node = &tree->nodes[index];
	ShareDocument *document = node->document;

	if ((document->channel == NULL) == (document->pool == NULL))
	{
		oms_fault(&tree->faults, ERRCODE_OMS_DOCUMENT, "A share belongs to a channel or is a pool.",
				  place_of(index, "channel"), "needs a channel or a pool, and not both");
		return;
	}
	if (document->channel && (node->channel = oms_channel_find(document->channel)) == NULL)
		oms_fault(&tree->faults, ERRCODE_OMS_UNKNOWN, "oms.upsert_channels makes channels.", place_of(index, "channel"),
				  "\"%s\" is not known", document->channel);
	if (find_node(tree, document->channel ? document->channel : document->pool) >= 0)
		oms_fault(&tree->faults, ERRCODE_OMS_DOCUMENT, "Name each channel and pool once.",
				  place_of(index, document->channel ? "channel" : "pool"), "\"%s\" is there already",
				  document->channel ? document->channel : document->pool);
	node->name = document->channel ? document->channel : document->pool;
}

static void
check_amount(Tree *tree, int index)
{
	ShareDocument *document = tree->nodes[index].document;

	if ((document->units != DOC_ABSENT) + (document->ratio != DOC_ABSENT) + (document->percent != NULL) > 1)
		oms_fault(&tree->faults, ERRCODE_OMS_DOCUMENT, "Give units, percent or ratio, or none to draw from the parent only.",
				  place_of(index, "percent"), "has more than one of units, percent and ratio");
	if (document->percent && (oms_money_compare(document->percent, int64_to_numeric(100)) > 0 ||
							  !oms_money_is_rounded(document->percent, 4)))
		oms_fault(&tree->faults, ERRCODE_OMS_DOCUMENT, "Percents have four decimals at most.", place_of(index, "percent"),
				  "is %s, must be 0 to 100", oms_money_text(document->percent));
}

/* Whether a node is below itself. */
static bool
is_cyclic(const Tree *tree, int index)
{
	int			above = tree->nodes[index].parent;

	for (int i = 0; i < tree->count && above >= 0 && above != index; i++)
		above = tree->nodes[above].parent;
	return above == index;
}

/* Finds the parents, and an order in which they come first. */
static void
check_parents(Tree *tree)
{
	int			placed = 0;
	bool		found = true;

	for (int i = 0; i < tree->count; i++)
	{
		const char *parent = tree->nodes[i].document->parent;

		tree->nodes[i].parent = parent ? find_node(tree, parent) : -1;
		if (parent && tree->nodes[i].parent < 0)
			oms_fault(&tree->faults, ERRCODE_OMS_DOCUMENT, "A parent is another share of the list.", place_of(i, "parent"),
					  "\"%s\" is not in the list", parent);
	}
	for (int i = 0; i < tree->count; i++)
		if (is_cyclic(tree, i))
			oms_fault(&tree->faults, ERRCODE_OMS_DOCUMENT, "Every share leads up to the item.", place_of(i, "parent"),
					  "\"%s\" is below itself", tree->nodes[i].name);
	while (found)
	{
		found = false;
		for (int i = 0; i < tree->count; i++)
		{
			ShareNode	   *node = &tree->nodes[i];

			if (node->position > 0 || (node->parent >= 0 && tree->nodes[node->parent].position == 0))
				continue;
			node->position = ++placed;
			tree->order[placed] = i;
			found = true;
		}
	}
}

static const char *
name_at(const Tree *tree, int position)
{
	return position == 0 ? psprintf("item \"%s\"", tree->item->sku) : psprintf("\"%s\"", tree->nodes[tree->order[position]].name);
}

static char *
place_at(const Tree *tree, int position)
{
	return position == 0 ? "shares" : place_of(tree->order[position], NULL);
}

/* Siblings must not have more than there is above them. */
static void
check_sum(Tree *tree, const QuotaTree *saved, int parent)
{
	int64		whole = saved->shares[parent].part;
	int64		percents = 0;
	int64		units = 0;

	for (int i = parent + 1; i < saved->count; i++)
	{
		if (saved->shares[i].parent != parent)
			continue;
		if (saved->shares[i].kind == QUOTA_SHARE_UNITS)
			units += saved->shares[i].amount;
		if (saved->shares[i].kind == QUOTA_SHARE_PERCENT)
			percents += saved->shares[i].amount;
	}
	if (percents > QUOTA_PERCENT_WHOLE)
		oms_fault(&tree->faults, ERRCODE_OMS_DOCUMENT, "They come to 100 at most.", place_at(tree, parent),
				  "the shares of %s come to %s percent", name_at(tree, parent), oms_money_text(oms_money_of_units(percents, 4)));
	else if (units + whole * percents / QUOTA_PERCENT_WHOLE > whole)
		oms_fault(&tree->faults, ERRCODE_OMS_DOCUMENT, "Where goods are still to come, say with \"units\" of the tree how many are divided.",
				  place_at(tree, parent), "the shares of %s come to " INT64_FORMAT " of " INT64_FORMAT " units",
				  name_at(tree, parent), units + whole * percents / QUOTA_PERCENT_WHOLE, whole);
}

static void
check_tree(Tree *tree)
{
	if (tree->item->kind != ITEM_STOCKED)
		oms_fault(&tree->faults, ERRCODE_OMS_DOCUMENT, "Only items of kind stocked have stock.", "sku",
				  "is a digital or service item, or a kit");
	if (tree->document->ends_at != DT_NOBEGIN && tree->document->ends_at <= oms_call->now)
		oms_fault(&tree->faults, ERRCODE_OMS_DOCUMENT, "Orders that were placed under it have been counted already.", "ends_at",
				  "is %s, which is past", timestamptz_to_str(tree->document->ends_at));
	for (int i = 0; i < tree->count; i++)
	{
		check_name(tree, i);
		check_amount(tree, i);
	}
	check_parents(tree);
	oms_faults_raise(&tree->faults, "tree is not valid");
}

/* ---- Saving ---- */

typedef struct Found
{
	bool		found;
	TimestampTz ends_at;
} Found;

static void
read_found(TupleTableSlot *slot, void *state)
{
	Found	   *found = state;
	bool		isnull;
	Datum		ends_at = oms_slot_datum(slot, 1, &isnull);

	found->found = true;
	found->ends_at = isnull ? DT_NOEND : DatumGetTimestampTz(ends_at);
}

/* Sets one element of the columns that are to be written. */
static void
put_share(const Tree *tree, int position, Datum **columns, bool **nulls)
{
	const ShareNode *node = &tree->nodes[tree->order[position]];
	const ShareDocument *document = node->document;
	int			at = position - 1;

	columns[0][at] = Int64GetDatum(node->channel ? node->channel->channel_id : 0);
	nulls[0][at] = node->channel == NULL;
	columns[1][at] = TimestampTzGetDatum(document->ends_at);
	nulls[1][at] = document->ends_at == DT_NOBEGIN;
	columns[2][at] = Int32GetDatum(node->parent < 0 ? 0 : tree->nodes[node->parent].position);
	columns[3][at] = Int32GetDatum(document->rank == DOC_ABSENT ? RANK_DEFAULT : document->rank);
	columns[4][at] = Int32GetDatum(document->units);
	nulls[4][at] = document->units == DOC_ABSENT;
	columns[5][at] = Int32GetDatum(document->ratio);
	nulls[5][at] = document->ratio == DOC_ABSENT;
	columns[6][at] = BoolGetDatum(document->lends == 1);
	columns[7][at] = NumericGetDatum(document->percent);
	nulls[7][at] = document->percent == NULL;
	columns[8][at] = node->channel ? (Datum) 0 : CStringGetTextDatum(document->pool);
	nulls[8][at] = node->channel != NULL;
}

static void
write_shares(const Tree *tree)
{
	static const Oid types[] = {INT8OID, TIMESTAMPTZOID, INT4OID, INT4OID, INT4OID, INT4OID, BOOLOID, NUMERICOID, TEXTOID};
	Datum	   *columns[lengthof(types)];
	bool	   *nulls[lengthof(types)];
	Datum		values[2 + lengthof(types)] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(tree->item->item_id)};

	for (int i = 0; i < lengthof(types); i++)
	{
		columns[i] = palloc(sizeof(Datum) * tree->count);
		nulls[i] = palloc0(sizeof(bool) * tree->count);
	}
	for (int position = 1; position <= tree->count; position++)
		put_share(tree, position, columns, nulls);
	for (int i = 0; i < lengthof(types); i++)
		values[2 + i] = oms_array_datum(columns[i], nulls[i], tree->count, types[i]);
	(void) oms_execute(&clear_plan, values, NULL);
	(void) oms_execute(&insert_plan, values, NULL);
}

/* Writes the tree while nothing is sold of the item. */
static void
write_tree(const Tree *tree, bool restart)
{
	const TreeDocument *document = tree->document;
	Datum		values[6] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(tree->item->item_id),
		TimestampTzGetDatum(oms_quotas_stop_sales(tree->item)), TimestampTzGetDatum(document->ends_at),
	Int32GetDatum(document->units), BoolGetDatum(restart)};
	char		nulls[7] = "      ";
	Found		found = {0};

	nulls[3] = document->ends_at == DT_NOBEGIN ? 'n' : ' ';
	nulls[4] = document->units == DOC_ABSENT ? 'n' : ' ';
	(void) oms_execute_each(&get_plan, values, NULL, read_found, &found);
	if (found.found && found.ends_at <= DatumGetTimestampTz(values[2]) && !restart)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_TRANSITION),
				 errmsg("the tree has ended"),
				 errdetail("ends_at: was %s", timestamptz_to_str(found.ends_at)),
				 errhint("Argument restart begins it anew, with nothing used.")));
	(void) oms_execute(found.found ? &change_plan : &create_plan, values, nulls);
	if (restart)
		(void) oms_execute(&restart_plan, values, NULL);
	write_shares(tree);
}

/* Checks the shares as they are saved against what there is to divide. */
static void
check_sums(Tree *tree)
{
	QuotaTrees *trees = oms_quota_trees_read(0, &tree->item->item_id, 1);
	QuotaTree  *saved = oms_quota_tree_of(trees, tree->item->item_id);

	if (saved == NULL)
		elog(ERROR, "the tree that was saved is not there");
	quota_shares_divide(saved->shares, saved->count, saved->shares[0].amount >= 0 ? saved->shares[0].amount : saved->whole);
	for (int i = 0; i < saved->count; i++)
		check_sum(tree, saved, i);
	oms_faults_raise(&tree->faults, "shares are above the whole");
}

static void
read_document(Tree *tree)
{
	tree->document = oms_document_read(tree->source, &tree_shape, &tree->faults);
	oms_faults_raise(&tree->faults, "tree is not valid");
	tree->count = tree->document->shares.count;
	tree->nodes = palloc0(sizeof(ShareNode) * tree->count);
	for (int i = 0; i < tree->count; i++)
		tree->nodes[i].document = (ShareDocument *) tree->document->shares.items + i;
}

/*
 * oms.set_quota_tree(sku, tree, restart, idempotency_key) -> void
 */
OMS_FUNCTION(oms_set_quota_tree, CALL_KEYED)
{
	Tree		tree = {.item = oms_item_get(oms_argument_required(fcinfo, 0, "sku"))};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(tree.item->item_id)};

	oms_faults_init(&tree.faults);
	if (PG_ARGISNULL(1))
	{
		(void) oms_quotas_stop_sales(tree.item);
		(void) oms_execute(&remove_plan, values, NULL);
	}
	else
	{
		tree.source = PG_GETARG_JSONB_P(1);
		read_document(&tree);
		check_tree(&tree);
		write_tree(&tree, !PG_ARGISNULL(2) && PG_GETARG_BOOL(2));
		check_sums(&tree);
	}
	oms_channel_levels_note(&tree.item->item_id, 1);
	oms_event(&(Event) {.object_id = tree.item->item_id,.object_type = "quota_tree",.type = "quota_tree.set",.data = tree.source});
	*isnull = true;
	return (Datum) 0;
}

/* ---- Showing ---- */

static OmsPlan names_plan = {
	.sql = "SELECT s.position, coalesce(s.pool, c.code) FROM {quota_shares} s LEFT JOIN {channels} c"
	" ON c.channel_id = s.channel_id AND c.tenant_id = $1 WHERE s.item_id = $2 AND s.tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static void
read_name(TupleTableSlot *slot, void *state)
{
	int32		position = oms_slot_int32(slot, 1);

	if (position < QUOTA_SHARES_MAX)
		((char **) state)[position] = oms_slot_text(slot, 2);
}

/*
 * oms.quota_tree(sku) -> setof (name, kind, parent, part, own, used, available)
 */
OMS_FUNCTION(oms_quota_tree, CALL_READ)
{
	ReturnSetInfo *result = (ReturnSetInfo *) fcinfo->resultinfo;
	CatalogItem *item = oms_item_get(oms_argument_required(fcinfo, 0, "sku"));
	QuotaTree  *tree = oms_quota_tree_of(oms_quota_trees_read(0, &item->item_id, 1), item->item_id);
	char	   *names[QUOTA_SHARES_MAX] = {item->sku};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(item->item_id)};

	(void) oms_execute_each(&names_plan, values, NULL, read_name, names);
	InitMaterializedSRF(fcinfo, 0);
	for (int i = 0; tree && i < tree->count; i++)
	{
		QuotaDraw	draw;
		bool		pool = i > 0 && tree->channels[i] == 0;
		int64		available = oms_quota_tree_draw(tree, tree->channels[i], &draw);
		const QuotaShare *share = &tree->shares[i];
		Datum		row[7] = {CStringGetTextDatum(names[i]), CStringGetTextDatum(i == 0 ? "item" : pool ? "pool" : "channel"),
			i > 0 ? CStringGetTextDatum(names[share->parent]) : (Datum) 0, Int64GetDatum(share->part), Int64GetDatum(share->own),
		Int64GetDatum(share->used), Int64GetDatum(available)};
		bool		nulls[7] = {[2] = i == 0,[5] = pool,[6] = pool};

		tuplestore_putvalues(result->setResult, result->setDesc, row, nulls);
	}
	*isnull = true;
	return (Datum) 0;
}
