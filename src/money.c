/*
 * money.c
 *	  Exact amounts: decimal arithmetic and the rounding of each currency.
 *
 * Amounts are numeric throughout; nothing here or elsewhere passes through
 * floating point.  Halves round away from zero, as numeric rounds.
 */
#include "oms.h"

#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

#include "money.h"

/* ISO 4217 codes by the number of their decimals. */
static const char *const no_decimals =
	"BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF ";
static const char *const two_decimals =
	"AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF"
	" CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD"
	" HKD HNL HRK HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK"
	" MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB"
	" SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN"
	" UYU UZS VES WST XCD YER ZAR ZMW ZWG ";
static const char *const three_decimals = "BHD IQD JOD KWD LYD OMR TND ";

static const int64 powers_of_ten[] = {1, 10, 100, 1000};

static Numeric
numeric_abs_of(Numeric amount)
{
	return DatumGetNumeric(DirectFunctionCall1(numeric_abs, NumericGetDatum(amount)));
}

static bool
listed(const char *list, const char *currency)
{
	const char *found = strstr(list, currency);

	return found != NULL && (found == list || found[-1] == ' ') && found[3] == ' ';
}

/* Decimals of a currency's smallest unit; -1 where there is no such currency. */
int
oms_currency_digits(const char *currency)
{
	if (strlen(currency) != 3)
		return -1;
	if (listed(two_decimals, currency))
		return 2;
	if (listed(no_decimals, currency))
		return 0;
	if (listed(three_decimals, currency))
		return 3;
	return -1;
}

Numeric
oms_money_zero(void)
{
	static Numeric zero = NULL;

	if (zero == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

		zero = int64_to_numeric(0);
		MemoryContextSwitchTo(old);
	}
	return zero;
}

Numeric
oms_money_add(Numeric a, Numeric b)
{
	return numeric_add_opt_error(a, b, NULL);
}

Numeric
oms_money_subtract(Numeric a, Numeric b)
{
	return numeric_sub_opt_error(a, b, NULL);
}

Numeric
oms_money_multiply(Numeric a, int64 quantity)
{
	return numeric_mul_opt_error(a, int64_to_numeric(quantity), NULL);
}

/* amount * part / whole, not rounded to a currency. */
Numeric
oms_money_share(Numeric amount, Numeric part, Numeric whole)
{
	return numeric_div_opt_error(numeric_mul_opt_error(amount, part, NULL), whole, NULL);
}

Numeric
oms_money_round(Numeric amount, int digits)
{
	return DatumGetNumeric(DirectFunctionCall2(numeric_round, NumericGetDatum(amount), Int32GetDatum(digits)));
}

int
oms_money_compare(Numeric a, Numeric b)
{
	return DatumGetInt32(DirectFunctionCall2(numeric_cmp, NumericGetDatum(a), NumericGetDatum(b)));
}

/* Whether an amount has no finer part than its currency. */
bool
oms_money_is_rounded(Numeric amount, int digits)
{
	return oms_money_compare(amount, oms_money_round(amount, digits)) == 0;
}

/* An amount in the smallest unit of its currency. */
int64
oms_money_units(Numeric amount, int digits)
{
	Numeric		units = DatumGetNumeric(DirectFunctionCall2(numeric_mul, NumericGetDatum(amount),
															NumericGetDatum(int64_to_numeric(powers_of_ten[digits]))));

	units = oms_money_round(units, 0);
	if (oms_money_compare(numeric_abs_of(units), int64_to_numeric(OMS_MONEY_UNITS_MAX)) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_LIMIT),
				 errmsg("amount %s is too large to be divided", oms_money_text(amount)),
				 errdetail("Parts are computed of amounts up to " INT64_FORMAT " of the smallest unit.", OMS_MONEY_UNITS_MAX),
				 errhint("Divide the order.")));
	return DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(units)));
}

Numeric
oms_money_of_units(int64 units, int digits)
{
	return digits == 0 ? int64_to_numeric(units) : int64_div_fast_to_numeric(units, digits);
}

char *
oms_money_text(Numeric amount)
{
	return DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(amount)));
}
