/*
 * network_map.c
 *	  Where everything goes: locations, the flows of units from them, and the
 *	  zones that the flows are in, as SVG.
 *
 * A flow is what one location sends to one area, the first three characters
 * of postal codes or a degree square; its color is the zone that the first
 * service gives it, its width the units.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "mb/pg_wchar.h"
#include "utils/hsearch.h"

#include "call.h"
#include "configuration.h"
#include "location.h"
#include "network.h"
#include "relation.h"
#include "scope.h"
#include "svg_map.h"

#define MAP_WIDTH		1000
#define MAP_HEIGHT		600
#define LEGEND_HEIGHT	44

/* Orders looked at, the latest of the period; flows drawn, the largest; labels. */
#define FLOW_ORDERS_MAX	10000
#define FLOWS_MAX		400
#define LABELS_MAX		40

/* Zones with a color of their own; all others share one. */
#define ZONE_COLORS		8

static const char *const zone_colors[] = {
	"#2b6cb0", "#c05621", "#2f855a", "#b83280", "#6b46c1", "#b7791f", "#2c7a7b", "#9b2c2c"
};
static const char *const no_zone_color = "#718096";

typedef struct Flow
{
	int64		location_id;
	int64		units;
	char	   *country;
	char	   *postal_code;
	double		latitude;
	double		longitude;
	const char *zone;			/* NULL: none */
} Flow;

typedef struct NetworkMap
{
	SvgMap		map;
	int			flow_count;
	int			flow_capacity;
	Flow	   *flows;
	int			zone_count;
	const char *zones[ZONE_COLORS];
	bool		other_zones;
	bool		no_zones;
	Location  **locations;		/* drawn, those that send most first */
	int64	   *sent;			/* by location */
	int			location_count;
} NetworkMap;

static OmsPlan flows_plan = {
	.sql = "SELECT location_id, channel_id, country, area, avg(latitude), avg(longitude), sum(units)::bigint FROM ("
	"SELECT f.location_id, o.channel_id, d.address ->> 'country' AS country,"
	" left(upper(translate(d.address ->> 'postal_code', ' -', '')), 3) AS area,"
	" CASE WHEN jsonb_typeof(d.address -> 'latitude') = 'number' THEN (d.address ->> 'latitude')::float8 ELSE p.latitude END AS latitude,"
	" CASE WHEN jsonb_typeof(d.address -> 'longitude') = 'number' THEN (d.address ->> 'longitude')::float8 ELSE p.longitude END AS longitude,"
	" a.promised - a.cancelled AS units"
	" FROM (SELECT order_id, channel_id FROM {orders} WHERE tenant_id = $1 AND ($2 IS NULL OR placed_at >= $2)"
	" AND ($3 IS NULL OR placed_at < $3) ORDER BY order_id DESC LIMIT $4) o"
	" JOIN {fulfillments} f ON f.order_id = o.order_id AND f.tenant_id = $1 AND f.location_id IS NOT NULL"
	" JOIN {allocations} a ON a.order_id = f.order_id AND a.fulfillment_id = f.fulfillment_id AND a.tenant_id = $1"
	" JOIN {order_deliveries} d ON d.order_id = o.order_id AND d.tenant_id = $1 AND d.delivery_no = 1 AND d.address IS NOT NULL"
	" LEFT JOIN {postal_codes} p ON p.tenant_id = $1 AND p.country = d.address ->> 'country'"
	" AND p.postal_code = upper(translate(d.address ->> 'postal_code', ' -', '')) COLLATE \"C\""
	" WHERE a.promised > a.cancelled) x WHERE latitude IS NOT NULL AND longitude IS NOT NULL"
	" GROUP BY location_id, channel_id, country, area, CASE WHEN area IS NULL THEN floor(latitude) END,"
	" CASE WHEN area IS NULL THEN floor(longitude) END ORDER BY 7 DESC, 1, 3, 4",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, TIMESTAMPTZOID, INT4OID)
};

typedef struct FlowRow
{
	NetworkMap *network;
	int64	   *channels;		/* by flow */
} FlowRow;

static void
read_flow(TupleTableSlot *slot, void *state)
{
	FlowRow    *rows = state;
	NetworkMap *network = rows->network;
	bool		isnull;

	if (network->flow_count == network->flow_capacity)
	{
		network->flow_capacity = Max(256, network->flow_capacity * 2);
		network->flows = oms_grown(network->flows, sizeof(Flow) * network->flow_capacity);
		rows->channels = oms_grown(rows->channels, sizeof(int64) * network->flow_capacity);
	}
	rows->channels[network->flow_count] = oms_slot_int64(slot, 2);
	network->flows[network->flow_count++] = (Flow)
	{
		.location_id = oms_slot_int64(slot, 1),.country = oms_slot_text(slot, 3),.postal_code = oms_slot_text(slot, 4),
			.latitude = DatumGetFloat8(oms_slot_datum(slot, 5, &isnull)),
			.longitude = DatumGetFloat8(oms_slot_datum(slot, 6, &isnull)),.units = oms_slot_int64(slot, 7)
	};
}

/* The largest flows that the caller may see, with a place at both ends. */
static void
read_flows(NetworkMap *network, Datum *period, const char *nulls)
{
	FlowRow		rows = {.network = network};
	int			kept = 0;

	(void) oms_execute_each(&flows_plan, period, nulls, read_flow, &rows);
	for (int i = 0; i < network->flow_count && kept < FLOWS_MAX; i++)
	{
		Location   *location = oms_location_by_id(network->flows[i].location_id);

		if (location && !isnan(location->latitude) && oms_scope_location(location->location_id) &&
			oms_scope_channel(rows.channels[i]))
			network->flows[kept++] = network->flows[i];
	}
	network->flow_count = kept;
}

/* The zone that the first service with one gives a flow. */
static void
find_zones(NetworkMap *network)
{
	Network    *carriers = oms_network();

	for (int i = 0; i < network->flow_count; i++)
	{
		Flow	   *flow = &network->flows[i];
		Location   *location = oms_location_by_id(flow->location_id);
		Destination destination = {flow->country, flow->postal_code, flow->latitude, flow->longitude};
		const RateCard **cards = oms_network_cards(carriers, &location, 1, &destination, NULL);

		for (int j = 0; j < carriers->service_count && flow->zone == NULL; j++)
			if (cards[j])
				flow->zone = pstrdup(cards[j]->zone);
		pfree(cards);
	}
}

static const char *
zone_color(NetworkMap *network, const char *zone)
{
	if (zone == NULL)
	{
		network->no_zones = true;
		return no_zone_color;
	}
	for (int i = 0; i < network->zone_count; i++)
		if (strcmp(network->zones[i], zone) == 0)
			return zone_colors[i];
	if (network->zone_count == ZONE_COLORS)
	{
		network->other_zones = true;
		return no_zone_color;
	}
	network->zones[network->zone_count] = zone;
	return zone_colors[network->zone_count++];
}

static int
compare_texts(const void *left, const void *right)
{
	return strcmp(*(const char *const *) left, *(const char *const *) right);
}

/* The zones of the largest flows get the colors, in the order of their names. */
static void
choose_colors(NetworkMap *network)
{
	for (int i = 0; i < network->flow_count; i++)
		(void) zone_color(network, network->flows[i].zone);
	qsort(network->zones, network->zone_count, sizeof(char *), compare_texts);
}

static void
collect_locations(NetworkMap *network)
{
	HTAB	   *locations = oms_configuration()->locations_by_id;
	HASH_SEQ_STATUS scan;
	LocationById *entry;

	network->locations = palloc(sizeof(Location *) * Max(1, hash_get_num_entries(locations)));
	hash_seq_init(&scan, locations);
	while ((entry = hash_seq_search(&scan)) != NULL)
		if (entry->location->active && !isnan(entry->location->latitude) &&
			oms_scope_location(entry->location->location_id))
			network->locations[network->location_count++] = entry->location;
}

static int64
units_from(const NetworkMap *network, const Location *location)
{
	int64		units = 0;

	for (int i = 0; i < network->flow_count; i++)
		if (network->flows[i].location_id == location->location_id)
			units += network->flows[i].units;
	return units;
}

typedef struct Sender
{
	Location   *location;
	int64		units;
} Sender;

static int
compare_senders(const void *left, const void *right)
{
	const Sender *a = left;
	const Sender *b = right;

	if (a->units != b->units)
		return a->units > b->units ? -1 : 1;
	return strcmp(a->location->code, b->location->code);
}

/* Those that send most first, the others by code. */
static void
sort_locations(NetworkMap *network)
{
	Sender	   *senders = palloc(sizeof(Sender) * Max(1, network->location_count));

	network->sent = palloc(sizeof(int64) * Max(1, network->location_count));
	for (int i = 0; i < network->location_count; i++)
		senders[i] = (Sender) {network->locations[i], units_from(network, network->locations[i])};
	qsort(senders, network->location_count, sizeof(Sender), compare_senders);
	for (int i = 0; i < network->location_count; i++)
	{
		network->locations[i] = senders[i].location;
		network->sent[i] = senders[i].units;
	}
}

static void
draw_flows(NetworkMap *network)
{
	SvgMap	   *map = &network->map;
	double		most = network->flow_count > 0 ? network->flows[0].units : 1;

	/* The largest last, so that they lie on top. */
	for (int i = network->flow_count - 1; i >= 0; i--)
	{
		Flow	   *flow = &network->flows[i];
		Location   *location = oms_location_by_id(flow->location_id);
		const char *color = zone_color(network, flow->zone);

		appendStringInfo(&map->svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"%s\""
						 " stroke-width=\"%.1f\" stroke-opacity=\"0.6\"/>\n", oms_map_x(map, location->longitude),
						 oms_map_y(map, location->latitude), oms_map_x(map, flow->longitude), oms_map_y(map, flow->latitude),
						 color, 0.7 + 5 * sqrt(flow->units / most));
		appendStringInfo(&map->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" fill=\"%s\"/>\n",
						 oms_map_x(map, flow->longitude), oms_map_y(map, flow->latitude), color);
	}
}

static void
draw_locations(NetworkMap *network)
{
	int			labels = Min(network->location_count, LABELS_MAX);

	for (int i = network->location_count - 1; i >= 0; i--)
	{
		Location   *location = network->locations[i];
		double		radius = network->sent[i] > 0 ? 5 : 2.5;

		oms_map_point(&network->map, location->latitude, location->longitude, radius,
					  network->sent[i] > 0 ? "#1a365d" : "#a0aec0",
					  psprintf("%s: " INT64_FORMAT, location->code, network->sent[i]));
		if (i < labels)
			oms_map_keep_free(&network->map, location->latitude, location->longitude, radius);
	}
	for (int i = 0; i < labels; i++)
	{
		Location   *location = network->locations[i];
		char	   *code = oms_map_short_text(location->code);

		(void) oms_map_label(&network->map, location->latitude, location->longitude, 5,
							 network->sent[i] > 0 ? psprintf("%s: " INT64_FORMAT, code, network->sent[i]) : code);
	}
}

/* One entry of the legend; it moves on, and to the next line. */
static void
draw_key(NetworkMap *network, double *x, double *y, const char *color, bool point, const char *text)
{
	StringInfo	svg = &network->map.svg;
	double		width = 26 + oms_map_text_width(text) + 14;

	if (*x + width > MAP_WIDTH && *x > 10)
	{
		*x = 10;
		*y += 18;
	}
	if (point)
		appendStringInfo(svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"5\" fill=\"%s\"/>\n", *x + 10, *y - 4, color);
	else
		appendStringInfo(svg, "<rect x=\"%.1f\" y=\"%.1f\" width=\"20\" height=\"4\" fill=\"%s\"/>\n", *x, *y - 6, color);
	oms_svg_text(svg, *x + 26, *y, text);
	*x += width;
}

static void
draw_legend(NetworkMap *network)
{
	double		x = 10;
	double		y = MAP_HEIGHT + 16;

	draw_key(network, &x, &y, "#1a365d", true, "sends: units");
	draw_key(network, &x, &y, "#a0aec0", true, "sends nothing");
	for (int i = 0; i < network->zone_count; i++)
	{
		char	   *zone = oms_map_short_text(network->zones[i]);

		draw_key(network, &x, &y, zone_colors[i], false, psprintf("zone %.*s", pg_mbcliplen(zone, strlen(zone), 10), zone));
	}
	if (network->other_zones || network->no_zones)
		draw_key(network, &x, &y, no_zone_color, false, network->other_zones ? "other zones" : "no zone");
}

/*
 * oms.network_map("from" timestamptz, "to" timestamptz) -> text
 */
OMS_FUNCTION(oms_network_map, CALL_READ)
{
	NetworkMap *network = palloc0(sizeof(NetworkMap));
	Datum		values[4] = {Int32GetDatum(oms_call->tenant)};
	char		nulls[5] = "    ";

	for (int i = 0; i < 2; i++)
	{
		nulls[i + 1] = PG_ARGISNULL(i) ? 'n' : ' ';
		values[i + 1] = PG_ARGISNULL(i) ? (Datum) 0 : PG_GETARG_DATUM(i);
	}
	values[3] = Int32GetDatum(FLOW_ORDERS_MAX);
	read_flows(network, values, nulls);
	find_zones(network);
	choose_colors(network);
	collect_locations(network);
	sort_locations(network);
	oms_map_init(&network->map, MAP_WIDTH, MAP_HEIGHT);
	for (int i = 0; i < network->location_count; i++)
		oms_map_include(&network->map, network->locations[i]->latitude, network->locations[i]->longitude);
	for (int i = 0; i < network->flow_count; i++)
		oms_map_include(&network->map, network->flows[i].latitude, network->flows[i].longitude);
	oms_map_fit(&network->map);
	oms_map_begin(&network->map, LEGEND_HEIGHT, psprintf("%d locations, %d flows", network->location_count,
														 network->flow_count));
	draw_flows(network);
	draw_locations(network);
	draw_legend(network);
	appendStringInfoString(&network->map.svg, "</svg>\n");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(network->map.svg.data, network->map.svg.len));
}
