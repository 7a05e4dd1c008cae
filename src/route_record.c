/*
 * route_record.c
 *	  The compact record of a routing problem with its solution.
 *
 * A record holds the whole problem, so a replay needs nothing else.  Numbers
 * are written in as many groups of seven bits as they need; one routine walks
 * the parts for writing and for reading.
 */
#include "oms.h"

#include <math.h>

#include "lib/stringinfo.h"
#include "utils/memutils.h"

#include "route_decision.h"

#define RECORD_LAYOUT 10

PG_FUNCTION_INFO_V1(oms_route_replays);

typedef struct Codec
{
	bool		writing;
	bool		broken;			/* what is read is no record */
	StringInfoData buffer;		/* written, or read up to cursor */
} Codec;

static void
code(Codec *codec, int64 *number)
{
	uint64		bits = ((uint64) *number << 1) ^ (uint64) (*number >> 63);
	int			shift = 0;

	if (codec->writing)
	{
		for (; bits >= 0x80; bits >>= 7)
			appendStringInfoCharMacro(&codec->buffer, (char) (bits | 0x80));
		appendStringInfoCharMacro(&codec->buffer, (char) bits);
		return;
	}
	bits = 0;
	while (codec->buffer.cursor < codec->buffer.len && shift < 64)
	{
		unsigned char byte = codec->buffer.data[codec->buffer.cursor++];

		bits |= (uint64) (byte & 0x7f) << shift;
		shift += 7;
		if (byte < 0x80)
		{
			*number = (int64) (bits >> 1) ^ -(int64) (bits & 1);
			return;
		}
	}
	codec->broken = true;
	*number = 0;
}

static void
code_int32(Codec *codec, int32 *number)
{
	int64		wide = *number;

	code(codec, &wide);
	if (wide < PG_INT32_MIN || wide > PG_INT32_MAX)
		codec->broken = true;
	*number = codec->broken && !codec->writing ? 0 : (int32) wide;
}

/* A count whose elements take a byte each at least. */
static void
code_count(Codec *codec, int *count)
{
	code_int32(codec, count);
	if (!codec->writing && (*count < 0 || *count > codec->buffer.len - codec->buffer.cursor))
	{
		codec->broken = true;
		*count = 0;
	}
}

static void *
room(Codec *codec, void *items, Size count, Size size)
{
	if (codec->writing)
		return items;
	return MemoryContextAllocExtended(CurrentMemoryContext, Max(1, count) * size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static void
code_int64s(Codec *codec, int64 **items, Size count)
{
	*items = room(codec, *items, count, sizeof(int64));
	for (Size i = 0; i < count && !codec->broken; i++)
		code(codec, &(*items)[i]);
}

static void
code_int32s(Codec *codec, int32 **items, Size count)
{
	*items = room(codec, *items, count, sizeof(int32));
	for (Size i = 0; i < count && !codec->broken; i++)
		code_int32(codec, &(*items)[i]);
}

static void
code_text(Codec *codec, char **text)
{
	int			length = codec->writing ? strlen(*text) : 0;

	code_count(codec, &length);
	if (codec->writing)
	{
		appendBinaryStringInfo(&codec->buffer, *text, length);
		return;
	}
	*text = pnstrdup(codec->buffer.data + codec->buffer.cursor, length);
	codec->buffer.cursor += length;
}

/* Doubles as their bits; those of 1 take one byte. */
static void
code_double(Codec *codec, double *number)
{
	double		one = 1;
	int64		bits;
	int64		bits_of_one;

	memcpy(&bits_of_one, &one, sizeof(bits_of_one));
	memcpy(&bits, number, sizeof(bits));
	bits ^= bits_of_one;
	code(codec, &bits);
	bits ^= bits_of_one;
	memcpy(number, &bits, sizeof(bits));
}

static void
code_tariff(Codec *codec, RouteTariff *tariff)
{
	int64	   *limits = unconstify(int64 *, tariff->limit_grams);
	int64	   *costs = unconstify(int64 *, tariff->cost);

	code_count(codec, &tariff->step_count);
	code_int64s(codec, &limits, tariff->step_count);
	code_int64s(codec, &costs, tariff->step_count);
	tariff->limit_grams = limits;
	tariff->cost = costs;
}

/* Most rules are conditions: only those with costs have them written. */
static void
code_rules(Codec *codec, RoutingDecision *decision)
{
	int			rules;

	code_count(codec, &decision->rule_count);
	rules = decision->rule_count;
	decision->rule_names = room(codec, decision->rule_names, rules, sizeof(char *));
	decision->rule_costs = room(codec, decision->rule_costs, (Size) rules * decision->location_count, sizeof(int64));
	for (int i = 0; i < rules && !codec->broken; i++)
	{
		int64		priced = 0;

		code_text(codec, &decision->rule_names[i]);
		for (int j = 0; j < decision->location_count && codec->writing; j++)
			priced |= decision->rule_costs[(Size) j * rules + i] != 0;
		code(codec, &priced);
		for (int j = 0; j < decision->location_count && priced && !codec->broken; j++)
			code(codec, &decision->rule_costs[(Size) j * rules + i]);
	}
}

/* When it was ordered and is wanted, where that plays a part. */
static void
code_times(Codec *codec, RoutingDecision *decision)
{
	int32		wanted = !TIMESTAMP_NOT_FINITE(decision->asked.requested_at);
	int32		dated = decision->dated;

	code_int32(codec, &wanted);
	decision->asked.requested_at = codec->writing ? decision->asked.requested_at : DT_NOBEGIN;
	if (!wanted)
		return;
	code(codec, &decision->asked.ordered_at);
	code(codec, &decision->asked.requested_at);
	code_int32(codec, &dated);
	decision->dated = dated != 0;
	if (decision->dated)
		code(codec, &decision->cost_per_day_late);
}

/* What few policies use: bits of one number say which of it there is. */
enum
{
	PART_LATE_STEP = 1,
	PART_UNKNOWN_METRES = 2,
	PART_PLACES = 4,
	PART_LINES = 8,
	PART_LOAD = 16,
	PART_LATER = 32,
	PART_BUNDLES = 64,
	PART_FLOORS = 128,
	PART_UNIT_TERM = 256		/* this and the next for each unit term */
};

static int64
parts_of(const RoutingDecision *decision)
{
	int64		parts = (decision->cost_late > 0 ? PART_LATE_STEP : 0) | (decision->unknown_metres >= 0 ? PART_UNKNOWN_METRES : 0) |
		(decision->places_max > 0 ? PART_PLACES : 0) | (decision->load_costs ? PART_LOAD : 0) |
		(decision->later_costs ? PART_LATER : 0) | (decision->asked_bundles ? PART_BUNDLES : 0) |
		(decision->has_floors ? PART_FLOORS : 0);

	for (int j = 0; j < decision->location_count; j++)
		if (decision->line_costs[j] != 0)
			parts |= PART_LINES;
	for (int i = 0; i < UNIT_TERM_COUNT; i++)
		if (decision->unit_terms[i])
			parts |= PART_UNIT_TERM << i;
	return parts;
}

static void
code_line_costs(Codec *codec, RoutingDecision *decision, bool there)
{
	if (there)
	{
		code_double(codec, &decision->line_weight);
		code_int64s(codec, &decision->line_costs, decision->location_count);
	}
	else if (!codec->writing)
	{
		decision->line_weight = 1;
		decision->line_costs = palloc0(sizeof(int64) * Max(1, decision->location_count));
	}
}

static void
code_parts(Codec *codec, RoutingDecision *decision)
{
	int64		parts = codec->writing ? parts_of(decision) : 0;
	Size		cells = (Size) decision->line_count * decision->location_count;

	code(codec, &parts);
	if (!codec->writing)
		decision->unknown_metres = -1;
	if (parts & PART_LATE_STEP)
		code(codec, &decision->cost_late);
	if (parts & PART_UNKNOWN_METRES)
		code(codec, &decision->unknown_metres);
	if (parts & PART_PLACES)
		code(codec, &decision->places_max);
	code_line_costs(codec, decision, (parts & PART_LINES) != 0);
	if (parts & PART_LOAD)
		code_int64s(codec, &decision->load_costs, decision->location_count);
	if (parts & PART_LATER)
		code_int64s(codec, &decision->later_costs, decision->line_count);
	if (parts & PART_BUNDLES)
		code_int32s(codec, &decision->asked_bundles, decision->asked.line_count);
	decision->has_floors = (parts & PART_FLOORS) != 0;
	for (int i = 0; i < UNIT_TERM_COUNT; i++)
		if (parts & (PART_UNIT_TERM << i))
			code_int64s(codec, &decision->unit_terms[i], cells);
}

/* Terms of a ranking by what a location has: a number each. */
static void
code_term_values(Codec *codec, RoutingDecision *decision)
{
	for (int i = 0; i < decision->term_count; i++)
	{
		int64	   *values = unconstify(int64 *, decision->terms[i].value);

		if (decision->terms[i].kind != ROUTE_TERM_VALUE)
			continue;
		code_int64s(codec, &values, decision->location_count);
		decision->terms[i].value = values;
	}
}

static void
code_problem(Codec *codec, RoutingDecision *decision)
{
	code(codec, &decision->policy_id);
	code(codec, &decision->nodes_max);
	code(codec, &decision->packages_max);
	code(codec, &decision->relaxed);
	code(codec, &decision->thumb);
	code(codec, &decision->whole_lines);
	code(codec, &decision->converts);
	code(codec, &decision->groups_by_item);
	code(codec, &decision->policy_ranks);
	code(codec, &decision->cost_per_kilometre);
	code(codec, &decision->volumetric_divisor);
	code(codec, &decision->least_value);
	code_text(codec, &decision->strategy);
	code_text(codec, &decision->strategy_failure);
	code_times(codec, decision);
	code_double(codec, &decision->shipping_weight);
	code_double(codec, &decision->order_weight);
	code_double(codec, &decision->unit_weight);
	code_text(codec, &decision->currency);
	code_count(codec, &decision->term_count);
	if (decision->term_count > RANKING_TERMS_MAX)
	{
		codec->broken = true;
		return;
	}
	for (int i = 0; i < decision->term_count; i++)
	{
		int32		kind = decision->terms[i].kind;

		code_int32(codec, &kind);
		decision->terms[i].kind = kind;
		code(codec, &decision->terms[i].tolerance);
	}
	code_count(codec, &decision->line_count);
	code_int64s(codec, &decision->item_ids, decision->line_count);
	code_int32s(codec, &decision->units, decision->line_count);
	code_int32s(codec, &decision->factors, decision->line_count);
	code_int64s(codec, &decision->weights, decision->line_count);
	if (decision->least_value > 0)
		code_int64s(codec, &decision->values, decision->line_count);
	code_count(codec, &decision->location_count);
	code_int64s(codec, &decision->location_ids, decision->location_count);
	code_int64s(codec, &decision->fixed_costs, decision->location_count);
	code_int64s(codec, &decision->unit_costs, decision->location_count);
	code_int64s(codec, &decision->distances, decision->location_count);
	code_int32s(codec, &decision->ranks, decision->location_count);
	code_int32s(codec, &decision->tariff_of, decision->location_count);
	code_term_values(codec, decision);
	code_rules(codec, decision);
	if (!codec->writing && (Size) decision->line_count * decision->location_count > codec->buffer.len - codec->buffer.cursor)
	{
		codec->broken = true;
		return;
	}
	code_int32s(codec, &decision->stock, (Size) decision->line_count * decision->location_count);
	code_count(codec, &decision->tariff_count);
	decision->tariffs = room(codec, decision->tariffs, decision->tariff_count, sizeof(RouteTariff));
	for (int i = 0; i < decision->tariff_count; i++)
		code_tariff(codec, &decision->tariffs[i]);
	if (decision->dated)
		decision->days_late = room(codec, decision->days_late, decision->tariff_count, sizeof(int32 *));
	for (int i = 0; decision->dated && i < decision->tariff_count; i++)
		code_int32s(codec, &decision->days_late[i], decision->tariffs[i].step_count);
}

static void
code_plan(Codec *codec, RoutingDecision *decision)
{
	code_count(codec, &decision->exclusion_count);
	decision->exclusions = room(codec, decision->exclusions, decision->exclusion_count, sizeof(RoutingExclusion));
	for (int i = 0; i < decision->exclusion_count; i++)
	{
		code(codec, &decision->exclusions[i].location_id);
		code(codec, &decision->exclusions[i].reason);
		code(codec, &decision->exclusions[i].detail);
	}
	code(codec, &decision->proven);
	code(codec, &decision->cost);
	code(codec, &decision->lower_bound);
	code_count(codec, &decision->share_count);
	decision->shares = room(codec, decision->shares, decision->share_count, sizeof(RouteShare));
	for (int i = 0; i < decision->share_count; i++)
	{
		code_int32(codec, &decision->shares[i].line);
		code_int32(codec, &decision->shares[i].location);
		code_int32(codec, &decision->shares[i].units);
		if (decision->shares[i].line < 0 || decision->shares[i].line >= decision->line_count ||
			decision->shares[i].location < 0 || decision->shares[i].location >= decision->location_count)
			codec->broken = true;
	}
	code_count(codec, &decision->package_count);
	decision->packages = room(codec, decision->packages, decision->package_count, sizeof(RoutePackage));
	decision->services = room(codec, decision->services, decision->package_count, sizeof(char *));
	for (int i = 0; i < decision->package_count; i++)
	{
		RoutePackage *package = &decision->packages[i];

		code_int32(codec, &package->location);
		code(codec, &package->units);
		code(codec, &package->weight_grams);
		code(codec, &package->fixed_cost);
		code(codec, &package->tariff_cost);
		code(codec, &package->unit_cost);
		code_text(codec, &decision->services[i]);
		if (package->location < 0 || package->location >= decision->location_count)
			codec->broken = true;
	}
}

/* ---- What was asked and what was there ---- */

/* Whether the order wants lines to stay together. */
static bool
has_company(const RoutingRequest *asked)
{
	for (int i = 0; i < asked->line_count; i++)
		if (asked->lines[i].together != 0)
			return true;
	return false;
}

static void
code_lines(Codec *codec, RoutingRequest *asked)
{
	RoutingLine *lines = unconstify(RoutingLine *, asked->lines);

	int32		wishes = (asked->ship_complete ? 1 : 0) | (codec->writing && has_company(asked) ? 2 : 0);

	code_int32(codec, &wishes);
	asked->ship_complete = (wishes & 1) != 0;
	code_count(codec, &asked->line_count);
	asked->lines = lines = room(codec, lines, asked->line_count, sizeof(RoutingLine));
	for (int i = 0; i < asked->line_count; i++)
	{
		int32		backorder = lines[i].backorder;

		code(codec, &lines[i].item_id);
		code(codec, &lines[i].weight_grams);
		code(codec, &lines[i].volume);
		code(codec, &lines[i].value);
		code_int32(codec, &lines[i].quantity);
		code_int32(codec, &backorder);
		lines[i].backorder = backorder != 0;
		if (wishes & 2)
			code_int32(codec, &lines[i].together);
	}
}

static void
code_optional_text(Codec *codec, const char **text)
{
	char	   *value = unconstify(char *, *text ? *text : "");

	code_text(codec, &value);
	*text = value[0] ? value : NULL;
}

static void
code_destination(Codec *codec, RoutingRequest *asked)
{
	Destination *destination = &asked->destination;
	int32		located = !isnan(destination->latitude);

	code_optional_text(codec, &asked->service);
	code_optional_text(codec, &destination->country);
	code_optional_text(codec, &destination->postal_code);
	code_int32(codec, &located);
	if (located)
	{
		code_double(codec, &destination->latitude);
		code_double(codec, &destination->longitude);
	}
	else
		destination->latitude = destination->longitude = NAN;
}

/* What a place is: the next candidate, an exclusion by index + 1, or neither. */
#define PLACE_CANDIDATE		0
#define PLACE_OTHER			(-1)
#define PLACE_NOT_RECORDED	(-2)

static bool
has_backorder(const RoutingRequest *asked, int place)
{
	for (int i = 0; i < asked->line_count; i++)
		if (asked->lines[i].backorder && asked->backorder[(Size) i * asked->location_count + place] > 0)
			return true;
	return false;
}

/* Names what each place is; places that had nothing are not recorded. */
static int
name_places(const RoutingDecision *decision, int32 *kinds)
{
	const RoutingRequest *asked = &decision->asked;
	int			recorded = decision->location_count + decision->exclusion_count;

	for (int i = 0; i < asked->location_count; i++)
		kinds[i] = PLACE_NOT_RECORDED;
	for (int i = 0; i < decision->location_count; i++)
		kinds[decision->place_of[i]] = PLACE_CANDIDATE;
	for (int i = 0; i < decision->exclusion_count; i++)
		kinds[decision->exclusions[i].place] = i + 1;
	for (int i = 0; i < asked->location_count; i++)
		if (kinds[i] == PLACE_NOT_RECORDED && has_backorder(asked, i))
		{
			kinds[i] = PLACE_OTHER;
			recorded++;
		}
	return recorded;
}

static void
code_places(Codec *codec, RoutingDecision *decision, int32 *kinds, int count)
{
	int			candidate = 0;
	int			place = 0;

	for (int i = 0; place < count && !codec->broken; i++)
	{
		int32		kind = codec->writing ? kinds[i] : PLACE_CANDIDATE;
		int64		id = 0;

		if (kind == PLACE_NOT_RECORDED)
			continue;
		if (count > decision->location_count)
			code_int32(codec, &kind);
		if (kind == PLACE_OTHER)
		{
			if (codec->writing)
				id = decision->asked.locations[i]->location_id;
			code(codec, &id);
		}
		if (!codec->writing)
		{
			if (kind < PLACE_OTHER || kind > decision->exclusion_count ||
				(kind == PLACE_CANDIDATE && candidate == decision->location_count))
			{
				codec->broken = true;
				return;
			}
			kinds[place] = kind;
			if (kind == PLACE_CANDIDATE)
				id = decision->location_ids[candidate];
			else if (kind > 0)
				id = decision->exclusions[kind - 1].location_id;
			decision->place_ids[place] = id;
			if (kind == PLACE_CANDIDATE)
				decision->place_of[candidate] = place;
			else if (kind > 0)
				decision->exclusions[kind - 1].place = place;
		}
		candidate += kind == PLACE_CANDIDATE;
		place++;
	}
	if (candidate != decision->location_count)
		codec->broken = true;
}

/*
 * Free units of a line by place, up to what it wants.  Where lines may divide
 * and nothing forbids a place to a line, those of candidates are the problem's
 * stock and not written again.
 */
static void
code_free(Codec *codec, RoutingDecision *decision, const int32 *kinds, int line, int problem_line)
{
	RoutingRequest *asked = &decision->asked;
	int32	   *free = unconstify(int32 *, asked->free) + (Size) line * asked->location_count;
	int32	   *backorder = unconstify(int32 *, asked->backorder) + (Size) line * asked->location_count;
	int			candidate = 0;

	for (int i = 0; i < asked->location_count && !codec->broken; i++)
	{
		int32		units = codec->writing ? Min(free[i], asked->lines[line].quantity) : 0;
		int32		later = codec->writing ? Min(backorder[i], asked->lines[line].quantity) : 0;

		if (kinds[i] == PLACE_NOT_RECORDED)
			continue;
		if (decision->whole_lines || decision->rule_count > 0 || decision->groups_by_item || decision->has_floors ||
			kinds[i] != PLACE_CANDIDATE)
			code_int32(codec, &units);
		else if (problem_line >= 0)
			units = decision->stock[(Size) problem_line * decision->location_count + candidate];
		if (asked->lines[line].backorder)
			code_int32(codec, &later);
		candidate += kinds[i] == PLACE_CANDIDATE;
		if (!codec->writing)
		{
			free[i] = units;
			backorder[i] = later;
		}
	}
}

/* What is read has its bundles by line of the problem, too. */
static void
name_bundles(Codec *codec, RoutingDecision *decision)
{
	if (codec->writing || codec->broken || decision->asked_bundles == NULL)
		return;
	decision->bundles = palloc(sizeof(int32) * Max(1, decision->line_count));
	oms_decision_name_bundles(decision);
}

static void
code_asked(Codec *codec, RoutingDecision *decision)
{
	RoutingRequest *asked = &decision->asked;
	int			count = 0;
	int			problem_line = 0;
	int32	   *kinds = NULL;

	code_lines(codec, asked);
	code_parts(codec, decision);
	name_bundles(codec, decision);
	code_destination(codec, asked);
	if (codec->writing)
	{
		kinds = palloc(sizeof(int32) * Max(1, asked->location_count));
		count = name_places(decision, kinds);
	}
	code_int32(codec, &count);
	if (!codec->writing)
	{
		if (codec->broken || count < decision->location_count ||
			count - decision->location_count > codec->buffer.len - codec->buffer.cursor)
		{
			codec->broken = true;
			return;
		}
		kinds = palloc(sizeof(int32) * Max(1, count));
		asked->location_count = count;
		decision->place_ids = palloc0(sizeof(int64) * Max(1, count));
		decision->place_of = palloc0(sizeof(int32) * Max(1, decision->location_count));
		asked->free = room(codec, NULL, (Size) asked->line_count * count, sizeof(int32));
		asked->backorder = room(codec, NULL, (Size) asked->line_count * count, sizeof(int32));
	}
	code_places(codec, decision, kinds, count);
	for (int i = 0; i < asked->line_count && !codec->broken; i++)
	{
		bool		served = problem_line < decision->line_count &&
			decision->item_ids[problem_line] == asked->lines[i].item_id;

		code_free(codec, decision, kinds, i, served ? problem_line : -1);
		problem_line += served;
	}
}

static void
code_decision(Codec *codec, RoutingDecision *decision)
{
	int64		layout = RECORD_LAYOUT;

	code(codec, &layout);
	if (layout != RECORD_LAYOUT)
		codec->broken = true;
	if (!codec->broken)
		code_problem(codec, decision);
	if (!codec->broken)
		code_plan(codec, decision);
	if (!codec->broken)
		code_asked(codec, decision);
}

bytea *
oms_decision_write(RoutingDecision *decision)
{
	Codec		codec = {.writing = true};
	bytea	   *record;

	initStringInfo(&codec.buffer);
	code_decision(&codec, decision);
	record = palloc(VARHDRSZ + codec.buffer.len);
	SET_VARSIZE(record, VARHDRSZ + codec.buffer.len);
	memcpy(VARDATA(record), codec.buffer.data, codec.buffer.len);
	return record;
}

/* NULL where the bytes are no record. */
RoutingDecision *
oms_decision_read(bytea *record)
{
	Codec		codec = {.writing = false};
	RoutingDecision *decision = palloc0(sizeof(RoutingDecision));

	codec.buffer.data = VARDATA_ANY(record);
	codec.buffer.len = VARSIZE_ANY_EXHDR(record);
	code_decision(&codec, decision);
	return codec.broken || codec.buffer.cursor != codec.buffer.len ? NULL : decision;
}

static bool
is_same_plan(const RoutingDecision *decision, const RouteResult *result)
{
	if (result->cost != decision->cost || result->lower_bound != decision->lower_bound ||
		result->proven != (decision->proven != 0) || result->share_count != decision->share_count ||
		result->package_count != decision->package_count)
		return false;
	for (int i = 0; i < decision->share_count; i++)
		if (result->shares[i].line != decision->shares[i].line ||
			result->shares[i].location != decision->shares[i].location ||
			result->shares[i].units != decision->shares[i].units)
			return false;
	for (int i = 0; i < decision->package_count; i++)
		if (result->packages[i].tariff_cost != decision->packages[i].tariff_cost ||
			result->packages[i].fixed_cost != decision->packages[i].fixed_cost ||
			result->packages[i].unit_cost != decision->packages[i].unit_cost ||
			result->packages[i].weight_grams != decision->packages[i].weight_grams)
			return false;
	return true;
}

/*
 * oms.route_replays(record bytea) -> boolean
 *
 * Whether solving the recorded problem again gives the recorded plan.
 */
Datum
oms_route_replays(PG_FUNCTION_ARGS)
{
	RoutingDecision *decision = oms_decision_read(PG_GETARG_BYTEA_PP(0));
	RouteResult result = {0};
	RouteStatus status;

	if (decision == NULL)
		PG_RETURN_BOOL(false);
	status = oms_decision_solve(decision, NULL, &result);
	PG_RETURN_BOOL((status == ROUTE_OPTIMAL || status == ROUTE_FEASIBLE) && is_same_plan(decision, &result));
}
