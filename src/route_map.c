/*
 * route_map.c
 *	  Where an order goes and from where, as a self-contained SVG.
 *
 * Longitudes are shrunk by the cosine of the middle latitude, so that
 * distances near the middle look right; there is no background map.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/hsearch.h"

#include "call.h"
#include "configuration.h"
#include "location.h"
#include "order.h"
#include "relation.h"
#include "scope.h"

#define MAP_WIDTH	800
#define MAP_HEIGHT	500
#define MAP_MARGIN	40

typedef struct Shipment
{
	int64		location_id;
	int64		units;
	bool		backordered;
} Shipment;

typedef struct Map
{
	double		latitude;		/* of the destination, NAN where unknown */
	double		longitude;
	int			shipment_count;
	Shipment   *shipments;
	double		west;
	double		east;
	double		south;
	double		north;
	double		scale;
	double		shrink;			/* of longitudes */
	StringInfoData svg;
} Map;

static OmsPlan destination_plan = {
	.sql = "SELECT (address ->> 'latitude')::float8, (address ->> 'longitude')::float8 FROM {order_deliveries}"
	" WHERE order_id = $2 AND tenant_id = $1 AND jsonb_typeof(address -> 'latitude') = 'number'"
	" AND jsonb_typeof(address -> 'longitude') = 'number' ORDER BY delivery_no LIMIT 1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static OmsPlan shipments_plan = {
	.sql = "SELECT f.location_id, sum(a.promised - a.cancelled), f.backordered FROM {fulfillments} f"
	" JOIN {allocations} a ON a.order_id = f.order_id AND a.fulfillment_id = f.fulfillment_id AND a.tenant_id = $1"
	" WHERE f.order_id = $2 AND f.tenant_id = $1 AND f.location_id IS NOT NULL"
	" GROUP BY f.location_id, f.backordered HAVING sum(a.promised - a.cancelled) > 0 ORDER BY 1, 3",
	.kind = PLAN_FREE,
	OMS_ARGTYPES(INT4OID, INT8OID)
};

static void
read_destination(TupleTableSlot *slot, void *state)
{
	Map		   *map = state;
	bool		isnull;

	map->latitude = DatumGetFloat8(oms_slot_datum(slot, 1, &isnull));
	map->longitude = DatumGetFloat8(oms_slot_datum(slot, 2, &isnull));
}

static void
read_shipment(TupleTableSlot *slot, void *state)
{
	Map		   *map = state;

	map->shipments = map->shipments
		? repalloc(map->shipments, sizeof(Shipment) * (map->shipment_count + 1)) : palloc(sizeof(Shipment));
	map->shipments[map->shipment_count++] = (Shipment)
	{
		oms_slot_int64(slot, 1), oms_slot_int64(slot, 2), oms_slot_bool(slot, 3)
	};
}

static void
include(Map *map, double latitude, double longitude)
{
	if (isnan(latitude))
		return;
	map->west = Min(map->west, longitude);
	map->east = Max(map->east, longitude);
	map->south = Min(map->south, latitude);
	map->north = Max(map->north, latitude);
}

static void
fit(Map *map)
{
	double		width;
	double		height;

	map->shrink = cos((map->south + map->north) / 2 * M_PI / 180);
	width = Max(0.01, (map->east - map->west) * map->shrink);
	height = Max(0.01, map->north - map->south);
	map->scale = Min((MAP_WIDTH - 2 * MAP_MARGIN) / width, (MAP_HEIGHT - 2 * MAP_MARGIN) / height);
}

static double
x_of(const Map *map, double longitude)
{
	return MAP_MARGIN + (longitude - map->west) * map->shrink * map->scale;
}

static double
y_of(const Map *map, double latitude)
{
	return MAP_MARGIN + (map->north - latitude) * map->scale;
}

static void
append_escaped(StringInfo buffer, const char *text)
{
	for (; *text; text++)
		switch (*text)
		{
			case '&':
				appendStringInfoString(buffer, "&amp;");
				break;
			case '<':
				appendStringInfoString(buffer, "&lt;");
				break;
			case '>':
				appendStringInfoString(buffer, "&gt;");
				break;
			default:
				/* Control characters have no place in XML. */
				appendStringInfoChar(buffer, (unsigned char) *text < ' ' ? ' ' : *text);
		}
}

static void
draw_point(Map *map, double latitude, double longitude, int radius, const char *color, const char *label)
{
	appendStringInfo(&map->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%d\" fill=\"%s\"/>\n", x_of(map, longitude),
					 y_of(map, latitude), radius, color);
	if (label == NULL)
		return;
	appendStringInfo(&map->svg, "<text x=\"%.1f\" y=\"%.1f\">", x_of(map, longitude) + radius + 3,
					 y_of(map, latitude) + 4);
	append_escaped(&map->svg, label);
	appendStringInfoString(&map->svg, "</text>\n");
}

static void
draw_shipment(Map *map, const Shipment *shipment)
{
	Location   *location = oms_location_by_id(shipment->location_id);

	if (location == NULL || isnan(location->latitude))
		return;
	if (!isnan(map->latitude))
		appendStringInfo(&map->svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#2b6cb0\""
						 " stroke-width=\"2\"%s/>\n", x_of(map, location->longitude), y_of(map, location->latitude),
						 x_of(map, map->longitude), y_of(map, map->latitude),
						 shipment->backordered ? " stroke-dasharray=\"6 4\"" : "");
	draw_point(map, location->latitude, location->longitude, 6, "#2b6cb0",
			   psprintf("%s: " INT64_FORMAT "%s", location->code, shipment->units,
						shipment->backordered ? " later" : ""));
}

/* Every active location of the caller's scope: included in the extent, or drawn. */
static void
each_location(Map *map, bool draw)
{
	HASH_SEQ_STATUS scan;
	LocationById *entry;

	hash_seq_init(&scan, oms_configuration()->locations_by_id);
	while ((entry = hash_seq_search(&scan)) != NULL)
	{
		Location   *location = entry->location;

		if (!location->active || isnan(location->latitude) || !oms_scope_location(location->location_id))
			continue;
		if (draw)
			draw_point(map, location->latitude, location->longitude, 3, "#a0aec0", NULL);
		else
			include(map, location->latitude, location->longitude);
	}
}

/*
 * oms.route_map(order_id bigint) -> text
 */
OMS_FUNCTION(oms_route_map, CALL_READ)
{
	int64		order_id = oms_argument_id(fcinfo, 0, "order_id");
	Map			map = {.latitude = NAN,.longitude = NAN,.west = 180,.east = -180,.south = 90,.north = -90};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	(void) oms_order_read(order_id);
	(void) oms_execute_each(&destination_plan, values, NULL, read_destination, &map);
	(void) oms_execute_each(&shipments_plan, values, NULL, read_shipment, &map);
	include(&map, map.latitude, map.longitude);
	each_location(&map, false);
	fit(&map);
	initStringInfo(&map.svg);
	appendStringInfo(&map.svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\""
					 " font-size=\"12\">\n<title>Route of order " INT64_FORMAT "</title>\n"
					 "<rect width=\"100%%\" height=\"100%%\" fill=\"#f7fafc\"/>\n", MAP_WIDTH, MAP_HEIGHT, order_id);
	each_location(&map, true);
	for (int i = 0; i < map.shipment_count; i++)
		draw_shipment(&map, &map.shipments[i]);
	if (!isnan(map.latitude))
		draw_point(&map, map.latitude, map.longitude, 7, "#c53030", "destination");
	appendStringInfoString(&map.svg, "</svg>\n");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(map.svg.data, map.svg.len));
}
