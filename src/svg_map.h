/*
 * svg_map.h
 *	  Maps as self-contained SVG: projection, points, labels that do not cover
 *	  one another.
 */
#ifndef OMS_SVG_MAP_H
#define OMS_SVG_MAP_H

#include "oms.h"

#include "lib/stringinfo.h"

/* More labels than this nobody reads. */
#define SVG_LABELS_MAX 100

typedef struct SvgBox
{
	double		left;
	double		top;
	double		right;
	double		bottom;
} SvgBox;

typedef struct SvgMap
{
	int			width;
	int			height;			/* of the map; what stands below it is not part of it */
	double		west;
	double		east;
	double		south;
	double		north;
	double		scale;
	double		shrink;			/* of longitudes */
	double		left;			/* of what is drawn, so that it is in the middle */
	double		top;
	int			box_count;
	SvgBox		boxes[2 * SVG_LABELS_MAX];	/* labels, and the points that they must not cover */
	StringInfoData svg;
} SvgMap;

extern void oms_map_init(SvgMap *map, int width, int height);
extern void oms_map_include(SvgMap *map, double latitude, double longitude);
extern void oms_map_fit(SvgMap *map);
extern void oms_map_begin(SvgMap *map, int footer, const char *title);
extern double oms_map_x(const SvgMap *map, double longitude);
extern double oms_map_y(const SvgMap *map, double latitude);
extern void oms_map_point(SvgMap *map, double latitude, double longitude, double radius, const char *color,
						  const char *title);
extern void oms_map_keep_free(SvgMap *map, double latitude, double longitude, double radius);
extern bool oms_map_label(SvgMap *map, double latitude, double longitude, double radius, const char *label);
extern char *oms_map_short_text(const char *text);
extern double oms_map_text_width(const char *text);
extern void oms_svg_text(StringInfo svg, double x, double y, const char *text);

#endif							/* OMS_SVG_MAP_H */
