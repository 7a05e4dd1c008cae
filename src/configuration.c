/*
 * configuration.c
 *	  The tenant's channels and locations as one backend knows them.
 *
 * They change rarely and every order needs them, so they are read once and
 * kept until a trigger of their tables says that something changed.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/memutils.h"


#include "call.h"
#include "configuration.h"
#include "relation.h"

static struct
{
	MemoryContext context;
	uint64		generation;
	int32		tenant;
	Configuration configuration;
}			cache;

static OmsPlan channels_plan = {
	.sql = "SELECT c.channel_id, c.active, c.backorder, c.confirmation = 'required',"
	" EXISTS (SELECT FROM {channel_locations} l WHERE l.channel_id = c.channel_id AND l.tenant_id = $1),"
	" c.code, c.currency, c.capture,"
	" EXISTS (SELECT FROM {channel_holds} h WHERE h.channel_id = c.channel_id AND h.tenant_id = $1),"
	" coalesce(c.payment_timeout, c.confirmation_timeout, c.backorder_timeout) IS NOT NULL,"
	" (extract(epoch FROM c.reservation_ttl) * 1000000)::bigint, (extract(epoch FROM c.reservation_ttl_max) * 1000000)::bigint, c.substitution,"
	" c.capture_order, c.refund_order, c.refund_excess = 'automatic', c.confirmation_role,"
	" coalesce((extract(epoch FROM c.authorization_period) * 1000000)::bigint, 0), c.priority, c.displacement, c.ship_complete"
	" FROM {channels} c WHERE c.tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan class_priorities_plan = {
	.sql = "SELECT c.channel_id, u.class, u.priority FROM {channels} c"
	" CROSS JOIN LATERAL jsonb_to_recordset(c.class_priorities) u(class text, priority int)"
	" WHERE c.tenant_id = $1 AND c.class_priorities <> '[]'",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan locations_plan = {
	.sql = "SELECT l.location_id, coalesce(l.latitude, p.latitude), coalesce(l.longitude, p.longitude), rank, active, ships, pickup, code, l.postal_code,"
	" least(round(cost_per_order * 1000), 1e12)::bigint, least(round(cost_per_unit * 1000), 1e12)::bigint,"
	" coalesce(closed_until, '-infinity'), returns, coalesce(daily_returns, -1), least(round(cost_per_line * 1000), 1e12)::bigint"
	" FROM {locations} l LEFT JOIN LATERAL (SELECT latitude, longitude FROM {postal_codes} p WHERE p.tenant_id = $1"
	" AND p.country = l.country AND p.postal_code = ANY (ARRAY(SELECT left(upper(translate(l.postal_code, ' -', '')), n)"
	" FROM generate_series(3, 20) n)) ORDER BY octet_length(p.postal_code) DESC LIMIT 1) p ON l.latitude IS NULL"
	" WHERE l.tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan channel_locations_plan = {
	.sql = "SELECT channel_id, location_id, rank, ships::int + 2 * pickup::int + 4 * returns::int FROM {channel_locations} WHERE tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan postal_codes_plan = {
	.sql = "SELECT EXISTS (SELECT FROM {postal_codes} WHERE tenant_id = $1)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan lots_plan = {
	.sql = "SELECT EXISTS (SELECT FROM {items} WHERE tenant_id = $1 AND tracking <> 'none')",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan kits_plan = {
	.sql = "SELECT EXISTS (SELECT FROM {kit_components} WHERE tenant_id = $1) OR EXISTS (SELECT FROM {order_kits} WHERE tenant_id = $1)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan quotas_plan = {
	.sql = "SELECT EXISTS (SELECT FROM {channel_quotas} WHERE tenant_id = $1),"
	" EXISTS (SELECT FROM {quota_trees} WHERE tenant_id = $1),"
	" EXISTS (SELECT FROM {channel_levels} WHERE tenant_id = $1)",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static OmsPlan groups_plan = {
	.sql = "SELECT location_id, location_group FROM {location_group_members} WHERE tenant_id = $1",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID)
};

static void
collect_channel(TupleTableSlot *slot, void *state)
{
	Channel    *channel = palloc(sizeof(Channel));
	char	   *displacement;

	channel->channel_id = oms_slot_int64(slot, 1);
	channel->active = oms_slot_bool(slot, 2);
	channel->backorder = oms_slot_bool(slot, 3);
	channel->confirmation = oms_slot_bool(slot, 4);
	channel->restricted = oms_slot_bool(slot, 5);
	channel->code = oms_slot_text(slot, 6);
	channel->currency = oms_slot_text(slot, 7);
	channel->capture = oms_slot_text(slot, 8);
	channel->looks_for_holds = oms_slot_bool(slot, 9);
	channel->has_timeouts = oms_slot_bool(slot, 10);
	channel->reservation_ttl = oms_slot_int64(slot, 11);
	channel->reservation_ttl_max = oms_slot_int64(slot, 12);
	channel->substitution = oms_slot_bool(slot, 13);
	channel->capture_order = oms_slot_text(slot, 14);
	channel->refund_order = oms_slot_text(slot, 15);
	channel->refunds_excess = oms_slot_bool(slot, 16);
	channel->confirmation_role = oms_slot_text(slot, 17);
	channel->authorization_period = oms_slot_int64(slot, 18);
	channel->priority = oms_slot_int32(slot, 19);
	displacement = oms_slot_text(slot, 20);
	channel->displacement = strcmp(displacement, "always") == 0 ? DISPLACE_ALWAYS
		: strcmp(displacement, "keep_date") == 0 ? DISPLACE_KEEP_DATE : DISPLACE_NEVER;
	channel->ship_complete = oms_slot_bool(slot, 21);
	channel->class_count = 0;
	channel->classes = NULL;
	cache.configuration.channels = lappend(cache.configuration.channels, channel);
}

static void
collect_class_priority(TupleTableSlot *slot, void *state)
{
	ListCell   *cell;

	foreach(cell, cache.configuration.channels)
	{
		Channel    *channel = lfirst(cell);

		if (channel->channel_id != oms_slot_int64(slot, 1))
			continue;
		channel->classes = channel->classes
			? repalloc(channel->classes, sizeof(ClassPriority) * (channel->class_count + 1)) : palloc(sizeof(ClassPriority));
		channel->classes[channel->class_count++] = (ClassPriority) {oms_slot_text(slot, 2), oms_slot_int32(slot, 3)};
	}
}

static void
collect_location(TupleTableSlot *slot, void *state)
{
	Location   *location = palloc0(sizeof(Location));
	LocationById *by_id;
	LocationByCode *by_code;
	bool		isnull;
	char		code[OMS_CODE_BYTES_MAX + 1] = {0};

	location->location_id = oms_slot_int64(slot, 1);
	location->latitude = oms_slot_double(slot, 2);
	location->longitude = oms_slot_double(slot, 3);
	location->rank = oms_slot_int32(slot, 4);
	location->active = oms_slot_bool(slot, 5);
	location->ships = oms_slot_bool(slot, 6);
	location->pickup = oms_slot_bool(slot, 7);
	location->code = oms_slot_text(slot, 8);
	location->postal_code = oms_slot_text(slot, 9);
	location->cost_per_order = oms_slot_int64(slot, 10);
	location->cost_per_unit = oms_slot_int64(slot, 11);
	location->closed_until = DatumGetTimestampTz(oms_slot_datum(slot, 12, &isnull));
	location->returns = oms_slot_bool(slot, 13);
	location->daily_returns = oms_slot_int32(slot, 14);
	location->cost_per_line = oms_slot_int64(slot, 15);
	strlcpy(code, location->code, sizeof(code));
	by_id = hash_search(cache.configuration.locations_by_id, &location->location_id, HASH_ENTER, NULL);
	by_id->location = location;
	by_code = hash_search(cache.configuration.locations_by_code, code, HASH_ENTER, NULL);
	by_code->location = location;
}

static void
collect_group(TupleTableSlot *slot, void *state)
{
	int64		location_id = oms_slot_int64(slot, 1);
	LocationById *entry = hash_search(cache.configuration.locations_by_id, &location_id, HASH_FIND, NULL);
	Location   *location;

	if (entry == NULL)
		return;
	location = entry->location;
	location->groups = location->groups
		? repalloc(location->groups, sizeof(char *) * (location->group_count + 1)) : palloc(sizeof(char *));
	location->groups[location->group_count++] = oms_slot_text(slot, 2);
}

static void
collect_channel_location(TupleTableSlot *slot, void *state)
{
	ChannelLocation key = {0};
	ChannelLocation *entry;
	bool		isnull;

	key.channel_id = oms_slot_int64(slot, 1);
	key.location_id = oms_slot_int64(slot, 2);
	entry = hash_search(cache.configuration.channel_locations, &key, HASH_ENTER, NULL);
	(void) oms_slot_datum(slot, 3, &isnull);
	entry->rank = isnull ? PG_INT32_MAX : oms_slot_int32(slot, 3);
	entry->purposes = oms_slot_int32(slot, 4);
}

static void
read_has_postal_codes(TupleTableSlot *slot, void *state)
{
	cache.configuration.has_postal_codes = oms_slot_bool(slot, 1);
}

static void
read_has_quotas(TupleTableSlot *slot, void *state)
{
	cache.configuration.has_quotas = oms_slot_bool(slot, 1);
	cache.configuration.has_quota_trees = oms_slot_bool(slot, 2);
	cache.configuration.has_channel_levels = oms_slot_bool(slot, 3);
}

static void
read_has_kits(TupleTableSlot *slot, void *state)
{
	cache.configuration.has_kits = oms_slot_bool(slot, 1);
}

static void
read_has_lots(TupleTableSlot *slot, void *state)
{
	cache.configuration.has_lots = oms_slot_bool(slot, 1);
}

static HTAB *
make_hash(const char *name, Size key_size, Size entry_size, int flags)
{
	HASHCTL		control = {.keysize = key_size, .entrysize = entry_size, .hcxt = cache.context};

	return hash_create(name, 64, &control, HASH_ELEM | HASH_CONTEXT | flags);
}

static void
load(void)
{
	Datum		values[1] = {Int32GetDatum(oms_call->tenant)};

	memset(&cache.configuration, 0, sizeof(cache.configuration));
	cache.configuration.locations_by_id =
		make_hash("oms locations by id", sizeof(int64), sizeof(LocationById), HASH_BLOBS);
	cache.configuration.locations_by_code =
		make_hash("oms locations by code", OMS_CODE_BYTES_MAX + 1, sizeof(LocationByCode), HASH_STRINGS);
	cache.configuration.channel_locations =
		make_hash("oms channel locations", 2 * sizeof(int64), sizeof(ChannelLocation), HASH_BLOBS);
	(void) oms_execute_latest(&channels_plan, values, collect_channel, NULL);
	(void) oms_execute_latest(&class_priorities_plan, values, collect_class_priority, NULL);
	(void) oms_execute_latest(&locations_plan, values, collect_location, NULL);
	(void) oms_execute_latest(&groups_plan, values, collect_group, NULL);
	(void) oms_execute_latest(&channel_locations_plan, values, collect_channel_location, NULL);
	(void) oms_execute_latest(&postal_codes_plan, values, read_has_postal_codes, NULL);
	(void) oms_execute_latest(&quotas_plan, values, read_has_quotas, NULL);
	(void) oms_execute_latest(&kits_plan, values, read_has_kits, NULL);
	(void) oms_execute_latest(&lots_plan, values, read_has_lots, NULL);
}

/*
 * Channels and locations may change while a call runs, which goes on with those
 * that it has seen: the old ones live as long as the outermost such call.
 */
static void
leave_to_calls(void)
{
	OmsCall    *holder = NULL;

	for (OmsCall *call = oms_call; call != NULL; call = call->outer)
		if (call->configured)
			holder = call;
	if (holder == NULL || cache.context == NULL)
		return;
	MemoryContextSetParent(cache.context, holder->context);
	cache.context = NULL;
}

/* The configuration of the call's tenant. */
Configuration *
oms_configuration(void)
{
	uint64		generation = oms_configuration_generation();
	MemoryContext old;

	if (cache.generation == generation && cache.tenant == oms_call->tenant)
	{
		oms_call->configured = true;
		return &cache.configuration;
	}
	leave_to_calls();
	oms_call->configured = true;
	if (cache.context == NULL)
		cache.context = AllocSetContextCreate(TopMemoryContext, "oms configuration",
											  ALLOCSET_DEFAULT_SIZES);
	cache.generation = 0;
	MemoryContextReset(cache.context);
	old = MemoryContextSwitchTo(cache.context);
	load();
	MemoryContextSwitchTo(old);
	cache.tenant = oms_call->tenant;
	cache.generation = generation;
	return &cache.configuration;
}
