/*
 * svg_map.c
 *	  Maps as self-contained SVG.
 *
 * Longitudes are shrunk by the cosine of the middle latitude, so that
 * distances near the middle look right; there is no background map.  A label
 * stands where it covers no other label, no point that must be seen, and
 * nothing outside of the map; where there is no such place it is left out.
 * Letters are of one width, so that the room they need is known here.
 */
#include "oms.h"

#include <math.h>

#include "mb/pg_wchar.h"

#include "svg_map.h"

#define MAP_MARGIN		40
#define FONT_SIZE		11
#define LETTER_WIDTH	6.8
#define LINE_HEIGHT		14
#define TEXT_LETTERS_MAX	24

void
oms_map_init(SvgMap *map, int width, int height)
{
	memset(map, 0, sizeof(*map));
	map->width = width;
	map->height = height;
	map->west = 180;
	map->east = -180;
	map->south = 90;
	map->north = -90;
}

void
oms_map_include(SvgMap *map, double latitude, double longitude)
{
	if (isnan(latitude))
		return;
	map->west = Min(map->west, longitude);
	map->east = Max(map->east, longitude);
	map->south = Min(map->south, latitude);
	map->north = Max(map->north, latitude);
}

void
oms_map_fit(SvgMap *map)
{
	double		width;
	double		height;

	if (map->east < map->west)
	{
		map->west = map->east = 0;
		map->south = map->north = 0;
	}
	map->shrink = cos((map->south + map->north) / 2 * M_PI / 180);
	width = Max(0.01, (map->east - map->west) * map->shrink);
	height = Max(0.01, map->north - map->south);
	map->scale = Min((map->width - 2 * MAP_MARGIN) / width, (map->height - 2 * MAP_MARGIN) / height);
	map->left = (map->width - (map->east - map->west) * map->shrink * map->scale) / 2;
	map->top = (map->height - (map->north - map->south) * map->scale) / 2;
}

double
oms_map_x(const SvgMap *map, double longitude)
{
	return map->left + (longitude - map->west) * map->shrink * map->scale;
}

double
oms_map_y(const SvgMap *map, double latitude)
{
	return map->top + (map->north - latitude) * map->scale;
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

/* Opens the picture, which is higher than the map by what stands below. */
void
oms_map_begin(SvgMap *map, int footer, const char *title)
{
	initStringInfo(&map->svg);
	appendStringInfo(&map->svg, "<svg xmlns=\"http://www.w3.org/2000/svg\" role=\"img\" viewBox=\"0 0 %d %d\""
					 " font-family=\"DejaVu Sans Mono, monospace\" font-size=\"%d\">\n<title>", map->width,
					 map->height + footer, FONT_SIZE);
	append_escaped(&map->svg, title);
	appendStringInfoString(&map->svg, "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#f7fafc\"/>\n");
}

void
oms_map_point(SvgMap *map, double latitude, double longitude, double radius, const char *color, const char *title)
{
	appendStringInfo(&map->svg, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%.1f\" fill=\"%s\"", oms_map_x(map, longitude),
					 oms_map_y(map, latitude), radius, color);
	if (title == NULL)
	{
		appendStringInfoString(&map->svg, "/>\n");
		return;
	}
	appendStringInfoString(&map->svg, "><title>");
	append_escaped(&map->svg, title);
	appendStringInfoString(&map->svg, "</title></circle>\n");
}

void
oms_svg_text(StringInfo svg, double x, double y, const char *text)
{
	appendStringInfo(svg, "<text x=\"%.1f\" y=\"%.1f\" paint-order=\"stroke\" stroke=\"#f7fafc\" stroke-width=\"3\">", x, y);
	append_escaped(svg, text);
	appendStringInfoString(svg, "</text>\n");
}

/* Wide letters, as of Chinese, take two places; so does what may be one. */
double
oms_map_text_width(const char *text)
{
	double		width = 0;

	for (; *text; text += pg_mblen(text))
		width += pg_mblen(text) > 2 ? 2 * LETTER_WIDTH : LETTER_WIDTH;
	return width;
}

/* A text that would be too long for a map: its beginning and its end. */
char *
oms_map_short_text(const char *text)
{
	int			length = strlen(text);
	int			letters = pg_mbstrlen_with_len(text, length);
	int			head = pg_mbcharcliplen(text, length, TEXT_LETTERS_MAX / 2 - 1);

	if (letters <= TEXT_LETTERS_MAX)
		return pstrdup(text);
	return psprintf("%.*s..%s", head, text,
					text + pg_mbcharcliplen(text, length, letters - (TEXT_LETTERS_MAX / 2 - 1)));
}

static bool
is_free(const SvgMap *map, const SvgBox *box)
{
	if (box->left < 2 || box->top < 2 || box->right > map->width - 2 || box->bottom > map->height - 2)
		return false;
	for (int i = 0; i < map->box_count; i++)
	{
		const SvgBox *other = &map->boxes[i];

		if (box->left < other->right && other->left < box->right && box->top < other->bottom && other->top < box->bottom)
			return false;
	}
	return true;
}

static void
keep_box(SvgMap *map, SvgBox box)
{
	if (map->box_count < lengthof(map->boxes))
		map->boxes[map->box_count++] = box;
}

/* Labels drawn later will not cover the point. */
void
oms_map_keep_free(SvgMap *map, double latitude, double longitude, double radius)
{
	double		x = oms_map_x(map, longitude);
	double		y = oms_map_y(map, latitude);

	keep_box(map, (SvgBox) {x - radius, y - radius, x + radius, y + radius});
}

/*
 * Writes a label beside a point: right, left, above or below of it, else
 * farther away with a line to it.  False where there is no room.
 */
bool
oms_map_label(SvgMap *map, double latitude, double longitude, double radius, const char *label)
{
	double		x = oms_map_x(map, longitude);
	double		y = oms_map_y(map, latitude);
	double		width = oms_map_text_width(label);

	if (map->box_count == lengthof(map->boxes))
		return false;
	for (int ring = 0; ring < 8; ring++)
		for (int direction = 0; direction < 12; direction++)
		{
			double		angle = direction * M_PI / 6;
			double		away = radius + 3 + ring * 12;
			double		center = x + cos(angle) * (away + width / 2);
			double		middle = y + sin(angle) * (away + LINE_HEIGHT / 2.0);
			SvgBox		box = {center - width / 2, middle - LINE_HEIGHT / 2.0, center + width / 2, middle + LINE_HEIGHT / 2.0};

			if (!is_free(map, &box))
				continue;
			keep_box(map, box);
			if (ring > 0)
				appendStringInfo(&map->svg, "<path d=\"M%.1f %.1fL%.1f %.1f\" stroke=\"#718096\" stroke-width=\"0.5\"/>\n",
								 x, y, Max(box.left, Min(x, box.right)), Max(box.top, Min(y, box.bottom)));
			oms_svg_text(&map->svg, box.left, middle + 4, label);
			return true;
		}
	return false;
}
