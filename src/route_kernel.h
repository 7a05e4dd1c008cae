/*
 * route_kernel.h
 *	  The exact router for one order, as plain C without any server header.
 *
 * A problem is n order lines and m candidate locations.  A plan says how many
 * units of each line each location sends; every location that sends anything
 * sends exactly one package.  The cost of a plan is
 *
 *	   sum over packages	fixed_cost + late_cost + tariff by package weight
 *	 + sum over shares		unit_cost * units + line_cost
 *	 + sum over lines		penalty * units left unassigned
 *	 + late_table[largest days_late over the packages]
 *
 * and route_solve() returns a plan of least cost, with a proof where the
 * limits allow one, or the best plan and bound found when they do not.
 *
 * Amounts are int64 in thousandths of the currency unit.  A package heavier
 * than the last step of its tariff cannot be sent; sending two packages from
 * one location is outside this model.
 *
 * The kernel keeps no state and never calls malloc: all memory comes from the
 * caller's arena, so a callback may leave by longjmp without leaking.
 */
#ifndef ROUTE_KERNEL_H
#define ROUTE_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Limits on input; a problem outside them is refused as ROUTE_BAD_INPUT. */
#define ROUTE_LINES_MAX			1024
#define ROUTE_LOCATIONS_MAX		100000
#define ROUTE_QUANTITY_MAX		1000000
#define ROUTE_STEPS_MAX			1024
#define ROUTE_LATE_DAYS_MAX		3660
#define ROUTE_TERMS_MAX			8

/*
 * Every amount, an amount per unit times the line's quantity included, and
 * every weight times its quantity, is at most this in absolute value.
 */
#define ROUTE_AMOUNT_MAX		((int64_t) 1 << 50)

/* Used when RouteControl.memory_max or nodes_max is zero. */
#define ROUTE_MEMORY_DEFAULT	((size_t) 64 * 1024 * 1024)
#define ROUTE_NODES_DEFAULT		((int64_t) 1000000)

/*
 * A rate card: a package of weight w costs cost[k] for the first step k with
 * w <= limit_grams[k].  Limits rise strictly, costs never fall; a card on
 * which a heavier package is cheaper is to be brought into that form first.
 */
typedef struct RouteTariff
{
	int32_t		step_count;
	const int64_t *limit_grams;
	const int64_t *cost;
} RouteTariff;

/*
 * Matrices are stored line by line: entry (line, location) is at
 * [line * location_count + location].  Pointers marked "or NULL" may be left
 * out, which means zero, false or "none" for every element.
 */
typedef struct RouteProblem
{
	int32_t		line_count;
	int32_t		location_count;

	/* by line */
	const int32_t *quantity;	/* units wanted, at least 1 */
	const int64_t *penalty;		/* per unit left out, not negative; or NULL */
	const bool *must_serve;		/* no unit may be left out; or NULL */
	const bool *whole;			/* line must not be divided; or NULL */
	const int64_t *weight_grams;	/* per unit; or NULL */
	const int32_t *places_max;	/* locations it may come from, 0 = no limit; or NULL */

	/* by line and location */
	const int32_t *stock;		/* units usable there, 0 = not eligible */
	const int64_t *unit_cost;	/* may be negative; read only where stock > 0 */
	const int64_t *line_cost;	/* where anything of the line comes from there,
								 * -1 = nothing, and places_max does not count
								 * it; or NULL */

	/* by location */
	const int64_t *fixed_cost;	/* per package, not negative */
	const int64_t *late_cost;	/* lateness of the package; or NULL */
	const int32_t *days_late;	/* or NULL */
	const int32_t *tariff_of;	/* index in tariffs, -1 = none; or NULL */
	const int32_t *rank;		/* lower wins a tie; or NULL */

	/* shared tables */
	const RouteTariff *tariffs;
	int32_t		tariff_count;
	const int64_t *late_table;	/* by days late, never falling; or NULL */
	int32_t		late_table_count;	/* days_late is below this */

	/* the whole order */
	int32_t		packages_max;	/* 0 = no limit */
	bool		whole_lines;	/* no line may be divided */
	bool		ship_complete;	/* every unit of every line, or nothing */
} RouteProblem;

typedef struct RouteControl
{
	/* Arena; returns zeroed or unzeroed memory aligned for int64, or NULL. */
	void	   *(*alloc) (void *alloc_context, size_t size);
	void	   *alloc_context;

	/* Asked at least every 256 search nodes; may leave by longjmp; or NULL. */
	bool		(*should_stop) (void *stop_context);
	void	   *stop_context;

	int64_t		nodes_max;		/* search nodes; 0 = default */
	size_t		memory_max;		/* bytes per call; 0 = default */

	/*
	 * Look only for plans cheaper than cost_below.  When there is none, the
	 * answer is ROUTE_INFEASIBLE with ROUTE_REASON_COST.
	 */
	bool		has_cost_below;
	int64_t		cost_below;
} RouteControl;

typedef enum RouteStatus
{
	ROUTE_OPTIMAL,				/* proven */
	ROUTE_FEASIBLE,				/* a plan, with a gap */
	ROUTE_INFEASIBLE,			/* proven that no plan obeys the hard rules */
	ROUTE_UNKNOWN,				/* stopped before any plan was found */
	ROUTE_BAD_INPUT,			/* see RouteResult.bad_input */
	ROUTE_OUT_OF_MEMORY,		/* memory_max reached or the arena refused */
	ROUTE_UNSUPPORTED			/* this list of terms has no exact method here */
} RouteStatus;

/* Which hard rule leaves no plan, as far as that can be told. */
typedef enum RouteReason
{
	ROUTE_REASON_NONE,
	ROUTE_REASON_STOCK,			/* reason_line: not enough eligible stock */
	ROUTE_REASON_WHOLE_LINE,	/* reason_line: enough, but in no one place */
	ROUTE_REASON_WEIGHT,		/* reason_line (or -1): above the last step */
	ROUTE_REASON_PACKAGES,		/* packages_max */
	ROUTE_REASON_COMBINATION,	/* weight steps and packages_max together */
	ROUTE_REASON_COST,			/* nothing below RouteControl.cost_below */
	ROUTE_REASON_PLACES			/* reason_line (or -1): places_max */
} RouteReason;

typedef enum RouteProof
{
	ROUTE_PROOF_NONE,
	ROUTE_PROOF_DUAL,			/* route_verify() re-derives the bound */
	ROUTE_PROOF_ENUMERATION,	/* the search was finished */
	ROUTE_PROOF_LEXICOGRAPHIC	/* optimal term by term, not by cost alone */
} RouteProof;

/* How ties in cost were broken; less only for amounts near the limits. */
typedef enum RouteTieRule
{
	ROUTE_TIE_PACKAGES_RANK,	/* fewer packages, lower sum of rank places */
	ROUTE_TIE_PACKAGES,			/* fewer packages */
	ROUTE_TIE_NONE
} RouteTieRule;

typedef struct RouteShare
{
	int32_t		line;
	int32_t		location;
	int32_t		units;
} RouteShare;

typedef struct RoutePackage
{
	int32_t		location;
	int64_t		units;
	int64_t		weight_grams;
	int64_t		fixed_cost;
	int64_t		late_cost;
	int64_t		tariff_cost;
	int64_t		unit_cost;
	int64_t		line_cost;
} RoutePackage;

/* The terms of a plan's cost; they sum to it. */
typedef struct RouteTerms
{
	int64_t		fixed;
	int64_t		tariff;
	int64_t		unit;
	int64_t		line;
	int64_t		penalty;
	int64_t		lateness;		/* late_table once, late_cost per package */
} RouteTerms;

typedef struct RouteResult
{
	RouteStatus status;
	const char *bad_input;		/* static text with ROUTE_BAD_INPUT */
	RouteReason reason;
	int32_t		reason_line;	/* -1 when no single line is to blame */

	/* the plan, by location and then line, both ascending */
	int32_t		share_count;
	int32_t		package_count;
	RouteShare *shares;
	RoutePackage *packages;
	int32_t    *unassigned;		/* by line */
	int32_t		days_late;		/* largest over the packages, 0 without any */
	int64_t		units_unassigned;
	int64_t		cost;
	RouteTerms	terms;

	/* the proof */
	bool		proven;
	RouteProof	proof;
	RouteTieRule tie_rule;
	int64_t		lower_bound;	/* of cost over all plans */
	int64_t		gap;			/* cost - lower_bound */
	int64_t		nodes;
	size_t		memory_used;

	/*
	 * Certificate.  Prices are per unit, or for the line as a whole where
	 * dual_whole is set.  first_prices, in the cost unit, exclude locations
	 * that no plan as cheap as this can use.  Then for each level of lateness
	 * (locations at most level_days late) duals holds one price per line, in
	 * 1/dual_scale of the cost unit.  dual_bound is the bound that follows
	 * from these prices alone; it reaches cost with ROUTE_PROOF_DUAL.
	 */
	int64_t		dual_scale;
	int32_t		level_count;
	int32_t    *level_days;
	bool	   *dual_whole;
	int64_t    *first_prices;	/* by line */
	int64_t    *duals;			/* [level * line_count + line] */
	int64_t		dual_bound;
} RouteResult;

/* Terms of a lexicographic ranking, each to be made small. */
typedef enum RouteTermKind
{
	ROUTE_TERM_COST,
	ROUTE_TERM_PACKAGES,
	ROUTE_TERM_DAYS_LATE,
	ROUTE_TERM_UNASSIGNED,		/* units */
	ROUTE_TERM_DISTANCE,		/* sum over packages of distance[location] */
	ROUTE_TERM_RANK,			/* sum over packages of rank - lowest rank */
	ROUTE_TERM_VALUE			/* sum over packages of value[location] */
} RouteTermKind;

typedef struct RouteTerm
{
	RouteTermKind kind;
	int64_t		tolerance;		/* values this far above the least are equal */
	const int64_t *value;		/* of ROUTE_TERM_VALUE: by location, not negative */
} RouteTerm;

/* Rules of thumb that other systems use, for comparison. */
typedef enum RoutePolicy
{
	ROUTE_POLICY_NEAREST,		/* by distance, take all that is there */
	ROUTE_POLICY_PRIORITY,		/* the same by rank */
	ROUTE_POLICY_FEWEST_SPLITS, /* most units, fewest packages, then cost */
	ROUTE_POLICY_NEAREST_COMPLETE	/* nearest with all, else fewest splits */
} RoutePolicy;

/* What route_verify() found; ROUTE_VERIFY_OK and the first fault otherwise. */
typedef enum RouteVerify
{
	ROUTE_VERIFY_OK,			/* plan, terms and optimality all re-derived */
	ROUTE_VERIFY_PLAN_ONLY,		/* plan, terms and dual_bound; the rest of the
								 * bound rests on a finished enumeration */
	ROUTE_VERIFY_BAD_PLAN,		/* breaks stock, quantity, weight or a rule */
	ROUTE_VERIFY_BAD_TERMS,		/* amounts do not follow from the plan */
	ROUTE_VERIFY_BAD_BOUND,		/* bound, gap or flags contradict each other */
	ROUTE_VERIFY_NO_PLAN		/* the result holds no plan to check */
} RouteVerify;

/*
 * Find a plan of least cost.  Ties go to fewer packages, then to the lower
 * sum of rank places, then to what the search meets first with locations in
 * order of (rank, index); so the answer does not depend on the order of the
 * input as far as ranks differ.
 */
extern RouteStatus route_solve(const RouteProblem *problem,
							   const RouteControl *control,
							   RouteResult *result);

/*
 * The best plan whose set of used locations differs from winner's.
 * ROUTE_INFEASIBLE when there is no other.
 */
extern RouteStatus route_runner_up(const RouteProblem *problem,
								   const RouteControl *control,
								   const RouteResult *winner,
								   RouteResult *result);

/*
 * Compare plans term by term.  Exact for
 *	 - any order of terms without tolerance;
 *	 - a tolerance on packages or days late, anywhere in the list;
 *	 - a tolerance on one other term when only packages and days late follow.
 * Any other list gives ROUTE_UNSUPPORTED.  The last term's tolerance counts
 * for nothing, since no term follows it.  Plans equal in all terms go to the
 * lower cost, unless a term other than cost, packages and days late has a
 * tolerance.  distance is by location, not negative, and needed for its term
 * only.  The amounts of all terms together must stay below ROUTE_AMOUNT_MAX
 * when each counts more than all that follow; otherwise ROUTE_BAD_INPUT.
 * ROUTE_TERM_VALUE may stand several times, with other values each.
 */
extern RouteStatus route_solve_lexicographic(const RouteProblem *problem,
											 const RouteControl *control,
											 const RouteTerm *terms,
											 int32_t term_count,
											 const int64_t *distance,
											 RouteResult *result);

/* A rule of thumb's plan, priced like any other; not proven, no bound. */
extern RouteStatus route_policy(const RouteProblem *problem,
								const RouteControl *control,
								RoutePolicy policy,
								const int64_t *distance,
								RouteResult *result);

/* Why a plan that somebody else made is none. */
typedef enum RoutePlanFault
{
	ROUTE_PLAN_OK,
	ROUTE_PLAN_PROBLEM,			/* the problem is outside the limits */
	ROUTE_PLAN_SHARE,			/* no such line or location, or no units */
	ROUTE_PLAN_STOCK,			/* more units than the location has */
	ROUTE_PLAN_TOO_MANY,		/* more units than the line wants */
	ROUTE_PLAN_TOO_FEW,			/* units that must be served are not */
	ROUTE_PLAN_WHOLE_LINE,		/* a line is divided that must not be */
	ROUTE_PLAN_PACKAGES,		/* more than packages_max */
	ROUTE_PLAN_WEIGHT,			/* a package beyond the last step */
	ROUTE_PLAN_PLACES			/* a line from more than places_max */
} RoutePlanFault;

/*
 * Check a plan against the hard rules and price it like any other; not proven,
 * no bound.  A fault names line and location, -1 where it is of neither.
 */
extern RoutePlanFault route_price(const RouteProblem *problem,
								  const RouteControl *control,
								  const RouteShare *shares, int32_t count,
								  RouteResult *result,
								  int32_t *line, int32_t *location);

/*
 * Check a result against its problem with code of its own.  The control's
 * arena serves for scratch.  Checks the bound by the prices in the
 * certificate, over all locations, by exact packing for at most
 * ROUTE_VERIFY_PACK_LINES whole lines and by the fractional knapsack bound
 * otherwise.
 */
#define ROUTE_VERIFY_PACK_LINES 13

extern RouteVerify route_verify(const RouteProblem *problem,
								const RouteControl *control,
								const RouteResult *result);

/*
 * Upper bound of the bytes route_solve() takes from the arena; twice that with
 * line_cost or places_max.
 */
extern size_t route_memory_bound(int32_t line_count, int32_t location_count);

#endif							/* ROUTE_KERNEL_H */
