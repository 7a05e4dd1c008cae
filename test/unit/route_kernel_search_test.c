/* libs: -lm */
/*
 * route_kernel_search_test.c
 *	  All tests of the router once more, with the cover by packages switched
 *	  off, so that whole lines too go through branch and bound.
 */
#define COLUMN_LINES_USED	0

#include "../../src/route_kernel.c"

#include "route_kernel_test.c"
