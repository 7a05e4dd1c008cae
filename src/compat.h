/*
 * compat.h
 *	  The one place that knows about differences between PostgreSQL majors.
 */
#ifndef OMS_COMPAT_H
#define OMS_COMPAT_H

#if PG_VERSION_NUM < 150000
#error "oms needs PostgreSQL 15 or later"
#endif

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#endif							/* OMS_COMPAT_H */
