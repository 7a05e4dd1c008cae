/*
 * postal_code.h
 *	  Where postal codes are.
 */
#ifndef OMS_POSTAL_CODE_H
#define OMS_POSTAL_CODE_H

#include "oms.h"

extern bool oms_postal_code_locate(const char *country, const char *postal_code, double *latitude, double *longitude);

#endif							/* OMS_POSTAL_CODE_H */
