/*
 * route_map.c
 *	  Where an order goes and from where, and where all go, as SVG.
 */
#include "oms.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/hsearch.h"

#include "call.h"
#include "configuration.h"
#include "location.h"
#include "network.h"
#include "order.h"
#include "postal_code.h"
#include "relation.h"
#include "scope.h"
#include "svg_map.h"

#define MAP_WIDTH	800
#define MAP_HEIGHT	500

typedef struct Shipment
{
	int64		location_id;
	int64		units;
	bool		backordered;
} Shipment;

typedef struct RouteMap
{
	SvgMap		map;
	char	   *country;		/* of the destination */
	char	   *postal_code;
	double		latitude;		/* NAN where unknown */
	double		longitude;
	int			shipment_count;
	Shipment   *shipments;
} RouteMap;

static OmsPlan destination_plan = {
	.sql = "SELECT CASE WHEN jsonb_typeof(address -> 'latitude') = 'number' THEN (address ->> 'latitude')::float8 END,"
	" CASE WHEN jsonb_typeof(address -> 'longitude') = 'number' THEN (address ->> 'longitude')::float8 END,"
	" address ->> 'country', address ->> 'postal_code' FROM {order_deliveries}"
	" WHERE order_id = $2 AND tenant_id = $1 AND address IS NOT NULL ORDER BY delivery_no LIMIT 1",
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
	RouteMap   *route = state;
	bool		no_latitude;
	bool		no_longitude;
	double		latitude = DatumGetFloat8(oms_slot_datum(slot, 1, &no_latitude));
	double		longitude = DatumGetFloat8(oms_slot_datum(slot, 2, &no_longitude));

	if (!no_latitude && !no_longitude)
	{
		route->latitude = latitude;
		route->longitude = longitude;
	}
	route->country = oms_slot_text(slot, 3);
	route->postal_code = oms_slot_text(slot, 4);
}

static void
read_shipment(TupleTableSlot *slot, void *state)
{
	RouteMap   *route = state;

	route->shipments = route->shipments
		? repalloc(route->shipments, sizeof(Shipment) * (route->shipment_count + 1)) : palloc(sizeof(Shipment));
	route->shipments[route->shipment_count++] = (Shipment)
	{
		oms_slot_int64(slot, 1), oms_slot_int64(slot, 2), oms_slot_bool(slot, 3)
	};
}

/* The location of a shipment, where it has a place on the map. */
static Location *
place_of(const Shipment *shipment)
{
	Location   *location = oms_location_by_id(shipment->location_id);

	return location && !isnan(location->latitude) ? location : NULL;
}

/* Every active location of the caller's scope: included in the extent, or drawn. */
static void
each_location(SvgMap *map, bool draw)
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
			oms_map_point(map, location->latitude, location->longitude, 3, "#a0aec0", location->code);
		else
			oms_map_include(map, location->latitude, location->longitude);
	}
}

static void
draw_shipments(RouteMap *route)
{
	SvgMap	   *map = &route->map;
	Location   *location;

	for (int i = 0; i < route->shipment_count; i++)
	{
		if ((location = place_of(&route->shipments[i])) == NULL)
			continue;
		if (!isnan(route->latitude))
			appendStringInfo(&map->svg, "<line x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\" stroke=\"#2b6cb0\""
							 " stroke-width=\"2\"%s/>\n", oms_map_x(map, location->longitude),
							 oms_map_y(map, location->latitude), oms_map_x(map, route->longitude),
							 oms_map_y(map, route->latitude),
							 route->shipments[i].backordered ? " stroke-dasharray=\"6 4\"" : "");
		oms_map_point(map, location->latitude, location->longitude, 6, "#2b6cb0", location->code);
		oms_map_keep_free(map, location->latitude, location->longitude, 6);
	}
}

static void
label_shipments(RouteMap *route)
{
	int			missing = 0;
	Location   *location;

	for (int i = 0; i < route->shipment_count; i++)
		if ((location = place_of(&route->shipments[i])) == NULL ||
			!oms_map_label(&route->map, location->latitude, location->longitude, 6,
						   psprintf("%s: " INT64_FORMAT "%s", oms_map_short_text(location->code),
									route->shipments[i].units, route->shipments[i].backordered ? " later" : "")))
			missing++;
	if (missing > 0)
		oms_svg_text(&route->map.svg, 10, MAP_HEIGHT + 14, psprintf("and %d without room or place on the map", missing));
}

/*
 * oms.route_map(order_id bigint) -> text
 */
OMS_FUNCTION(oms_route_map, CALL_READ)
{
	int64		order_id = oms_argument_id(fcinfo, 0, "order_id");
	RouteMap	route = {.latitude = NAN,.longitude = NAN};
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), Int64GetDatum(order_id)};

	(void) oms_order_read(order_id);
	(void) oms_execute_each(&destination_plan, values, NULL, read_destination, &route);
	(void) oms_execute_each(&shipments_plan, values, NULL, read_shipment, &route);
	if (isnan(route.latitude))
		(void) oms_postal_code_locate(route.country, route.postal_code, &route.latitude, &route.longitude);
	oms_map_init(&route.map, MAP_WIDTH, MAP_HEIGHT);
	oms_map_include(&route.map, route.latitude, route.longitude);
	each_location(&route.map, false);
	oms_map_fit(&route.map);
	oms_map_begin(&route.map, 20, psprintf("Route of order " INT64_FORMAT, order_id));
	each_location(&route.map, true);
	draw_shipments(&route);
	if (!isnan(route.latitude))
	{
		oms_map_point(&route.map, route.latitude, route.longitude, 7, "#c53030", "destination");
		oms_map_keep_free(&route.map, route.latitude, route.longitude, 7);
		(void) oms_map_label(&route.map, route.latitude, route.longitude, 7, "destination");
	}
	label_shipments(&route);
	appendStringInfoString(&route.map.svg, "</svg>\n");
	PG_RETURN_TEXT_P(cstring_to_text_with_len(route.map.svg.data, route.map.svg.len));
}
