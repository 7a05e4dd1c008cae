/* libs: -lm */
/*
 * route_kernel_search_test.c
 *	  All tests of the router once more, with the cover by packages switched
 *	  off, so that whole lines too go through branch and bound.
 */
#define COLUMN_LINES_USED	0

#include "../../src/route_kernel.c"
#include "../../src/route_kernel_bound.c"
#include "../../src/route_kernel_check.c"
#include "../../src/route_kernel_cover.c"
#include "../../src/route_kernel_dual.c"
#include "../../src/route_kernel_plan.c"
#include "../../src/route_kernel_policy.c"
#include "../../src/route_kernel_price.c"
#include "../../src/route_kernel_rank.c"
#include "../../src/route_kernel_scan.c"
#include "../../src/route_kernel_search.c"
#include "../../src/route_kernel_series.c"
#include "../../src/route_kernel_split.c"
#include "../../src/route_kernel_work.c"

#include "route_kernel_test.c"
