/*
 * routing_refusal.c
 *	  Why an order has no plan, in words.
 */
#include "oms.h"

#include "routing_gather.h"

/* Excluded locations that an error names. */
#define REFUSAL_REASONS_MAX 20

const char *
oms_routing_exclusion_text(const RoutingDecision *decision, const RoutingExclusion *exclusion)
{
	switch ((ExclusionReason) exclusion->reason)
	{
		case EXCLUDED_DISTANCE:
			return psprintf(INT64_FORMAT " km are too far", exclusion->detail);
		case EXCLUDED_NO_PLACE:
			return "the distance is not known";
		case EXCLUDED_NO_RATE:
			return "no service has a zone and a rate";
		case EXCLUDED_LATE:
			return psprintf(INT64_FORMAT " %s too late", exclusion->detail, exclusion->detail == 1 ? "day" : "days");
		case EXCLUDED_GROUP:
			return exclusion->detail ? "in a group that the policy leaves out" : "in no group of the policy";
		case EXCLUDED_NO_DATE:
			return "the day of delivery is not known";
		case EXCLUDED_NO_SERVICE:
			return "no service is what the order and the policy ask for";
		case EXCLUDED_ZONE:
			return "its zone has no rate";
		case EXCLUDED_WEIGHT:
			return psprintf("no rate for a parcel of " INT64_FORMAT " grams", exclusion->detail);
		case EXCLUDED_FLOOR:
			return psprintf("its last " INT64_FORMAT " %s of each item are kept", exclusion->detail,
							exclusion->detail == 1 ? "unit" : "units");
		case EXCLUDED_PURPOSE:
			return "the channel does not ship from the location";
		case EXCLUDED_COUNT:
			break;
		case EXCLUDED_RULE:
			if (exclusion->detail >= 0 && exclusion->detail < decision->rule_count)
				return psprintf("rule \"%s\"", decision->rule_names[exclusion->detail]);
	}
	return "unknown reason";
}

/* Units of a line that all candidates together lack. */
int32
oms_routing_units_short(const RoutingRequest *request, int line)
{
	int64		free = 0;

	for (int j = 0; j < request->location_count; j++)
		free += request->free[(Size) line * request->location_count + j];
	return (int32) Max(0, request->lines[line].quantity - free);
}

/* How many more locations are excluded, by reason. */
static void
append_rest(StringInfo text, const RoutingDecision *decision, int from)
{
	static const char *const names[EXCLUDED_COUNT] = {
		[EXCLUDED_DISTANCE] = "too far",[EXCLUDED_NO_PLACE] = "at no known distance",
		[EXCLUDED_NO_RATE] = "without zone and rate",[EXCLUDED_RULE] = "by rules",[EXCLUDED_LATE] = "too late",
		[EXCLUDED_NO_DATE] = "without a day of delivery",[EXCLUDED_NO_SERVICE] = "without a service",
		[EXCLUDED_ZONE] = "in zones without a rate",[EXCLUDED_GROUP] = "by group",[EXCLUDED_WEIGHT] = "without a rate for the weight",
		[EXCLUDED_FLOOR] = "with what is kept there",[EXCLUDED_PURPOSE] = "from which the channel does not ship"
	};
	const char *separator = ": ";

	appendStringInfo(text, "\nand %d more", decision->exclusion_count - from);
	for (int reason = 1; reason < EXCLUDED_COUNT; reason++)
	{
		int			count = 0;

		for (int i = from; i < decision->exclusion_count; i++)
			count += decision->exclusions[i].reason == reason;
		if (count == 0)
			continue;
		appendStringInfo(text, "%s%d %s", separator, count, names[reason]);
		separator = ", ";
	}
}

/* What the kernel says about the candidates that are left; NULL: nothing. */
static const char *
kernel_reason(const Gathering *gathering)
{
	switch (gathering->reason)
	{
		case ROUTE_REASON_WEIGHT:
			return "A line is heavier than any parcel that the candidates send.";
		case ROUTE_REASON_WHOLE_LINE:
			return "No candidate has a line whole.";
		case ROUTE_REASON_PACKAGES:
			return "The candidates have the units, but not in as few packages as max_fulfillments allows.";
		case ROUTE_REASON_COMBINATION:
			return "The candidates have the units, but not in as few packages as max_fulfillments allows, with their limits of weight.";
		case ROUTE_REASON_PLACES:
			return "The candidates have the units, but not with each line from as few locations as max_places_per_line allows.";
		case ROUTE_REASON_COST:
			return "The candidates have the units, but no plan was found whose every package is worth as much as min_fulfillment_value asks.";
		default:
			return NULL;
	}
}

/* Why stock that exists cannot be used; NULL where there is too little of it. */
const char *
oms_routing_refusal(const Gathering *gathering, const RoutingPlan *plan)
{
	const RoutingRequest *request = gathering->request;
	StringInfoData text;

	for (int i = 0; i < request->line_count; i++)
		if (oms_routing_units_short(request, i) > 0)
			return NULL;
	initStringInfo(&text);
	for (int i = 0; i < gathering->decision->exclusion_count; i++)
	{
		RoutingExclusion *exclusion = &gathering->decision->exclusions[i];
		Location   *location = oms_location_by_id(exclusion->location_id);

		if (i == REFUSAL_REASONS_MAX)
		{
			append_rest(&text, gathering->decision, i);
			break;
		}
		appendStringInfo(&text, "%s%s: %s", i > 0 ? "\n" : "", location ? location->code : "a location",
						 oms_routing_exclusion_text(gathering->decision, exclusion));
	}
	if (kernel_reason(gathering))
		appendStringInfo(&text, "%s%s", text.len > 0 ? "\n" : "", kernel_reason(gathering));
	if (gathering->ship_complete && !gathering->complete)
		appendStringInfo(&text, "%sNot every unit can be served now, and the order ships complete.", text.len > 0 ? "\n" : "");
	if (!gathering->complete && gathering->decision->asked_bundles)
		appendStringInfo(&text, "%sNo candidate has all that stays together.", text.len > 0 ? "\n" : "");
	if (text.len == 0 && gathering->decision->places_max > 0 && !gathering->complete)
		appendStringInfoString(&text, "The candidates have the units, but not with each line from as few locations as max_places_per_line allows.");
	if (text.len == 0 && gathering->decision->whole_lines)
		appendStringInfoString(&text, "No candidate has a line whole.");
	else if (text.len == 0)
		appendStringInfoString(&text, gathering->verdict || gathering->policy->groups_by_item
							   ? "The candidates have the units, but not within the split limits and the rules for lines."
							   : "The candidates have the units, but not within the split limits.");
	return text.data;
}
