/*
 * credit.c
 *	  Credit accounts: gift cards, store credit, customer credit.
 *
 * A payment with an account is executed here and not by a provider: authorizing
 * holds an amount, capturing takes it, voiding frees it, refunding gives it
 * back.  balance is what the account has, held what payments hold of it; the
 * database itself forbids that less than nothing is left.  Every change is an
 * entry beside it, and audit() adds them up.
 *
 * Lock order: after the order and after its stock, accounts by account_id.
 */
#include "oms.h"

#include "catalog/pg_type.h"
#include "utils/timestamp.h"

#include "call.h"
#include "credit.h"
#include "document.h"
#include "event.h"
#include "money.h"
#include "payment.h"
#include "relation.h"

static OmsPlan find_plan = {
	.sql = "SELECT account_id, currency, balance, held, active, coalesce(expires_at, 'infinity'), kind, customer_ref"
	" FROM {credit_accounts} WHERE code = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TEXTOID)
};

static OmsPlan lock_plan = {
	.sql = "SELECT account_id, currency, balance, held, active, coalesce(expires_at, 'infinity'), kind, customer_ref"
	" FROM {credit_accounts} WHERE account_id = ANY ($2) AND tenant_id = $1 ORDER BY account_id FOR NO KEY UPDATE",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8ARRAYOID)
};

static OmsPlan open_plan = {
	.sql = "INSERT INTO {credit_accounts} (opened_at, tenant_id, code, kind, currency, customer_ref, expires_at)"
	" VALUES ($2, $1, $3, $4, $5, $6, $7) ON CONFLICT (code, tenant_id) DO NOTHING",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, TIMESTAMPTZOID, TEXTOID, TEXTOID, TEXTOID, TEXTOID, TIMESTAMPTZOID)
};

static OmsPlan move_plan = {
	.sql = "UPDATE {credit_accounts} SET balance = balance + $3, held = held + $4 WHERE account_id = $2 AND tenant_id = $1",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, NUMERICOID, NUMERICOID)
};

static OmsPlan entry_plan = {
	.sql = "INSERT INTO {credit_entries} (account_id, order_id, payment_id, at, tenant_id, type, balance_change, held_change,"
	" reason) VALUES ($2, nullif($3, 0), nullif($4, 0), $5, $1, $6, $7, $8, $9) RETURNING entry_id",
	.kind = PLAN_INDEXED,
	OMS_ARGTYPES(INT4OID, INT8OID, INT8OID, INT8OID, TIMESTAMPTZOID, TEXTOID, NUMERICOID, NUMERICOID, TEXTOID)
};

typedef struct Account
{
	int64		account_id;
	char	   *currency;
	Numeric		balance;
	Numeric		held;
	bool		active;
	TimestampTz expires_at;
	char	   *kind;
	char	   *customer_ref;
} Account;

static void
read_account(TupleTableSlot *slot, void *state)
{
	Account    *account = state;
	bool		isnull;

	account->account_id = oms_slot_int64(slot, 1);
	account->currency = oms_slot_text(slot, 2);
	account->balance = oms_slot_numeric(slot, 3);
	account->held = oms_slot_numeric(slot, 4);
	account->active = oms_slot_bool(slot, 5);
	account->expires_at = DatumGetTimestampTz(oms_slot_datum(slot, 6, &isnull));
	account->kind = oms_slot_text(slot, 7);
	account->customer_ref = oms_slot_text(slot, 8);
}

static bool
find_account(const char *code, Account *account)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant), CStringGetTextDatum(code)};

	memset(account, 0, sizeof(*account));
	(void) oms_execute_each(&find_plan, values, NULL, read_account, account);
	return account->account_id != 0;
}

static void
get_account(const char *code, Account *account)
{
	if (!find_account(code, account))
		ereport(ERROR,
				(errcode(ERRCODE_OMS_UNKNOWN),
				 errmsg("credit account \"%s\" is not known", code),
				 errdetail("account: there is no \"%s\"", code),
				 errhint("oms.issue_credit opens it.")));
}

/* Why nothing can be taken from an account; NULL: it can. */
static const char *
refusal_of(const Account *account)
{
	if (!account->active)
		return "is closed";
	if (account->expires_at <= oms_call->now)
		return "has expired";
	return NULL;
}

/* Looks an account up, without a lock, for the checks of a document; 0 where there is none. */
int64
oms_credit_find(const char *code, char **currency, Numeric *available, const char **refusal)
{
	Account		account;

	if (!find_account(code, &account))
		return 0;
	*currency = account.currency;
	*available = oms_money_subtract(account.balance, account.held);
	*refusal = refusal_of(&account);
	return account.account_id;
}

/* The account of a code, opened where it is not there. */
int64
oms_credit_open(const char *code, const char *kind, const char *currency, const char *customer_ref)
{
	Account		account;
	Datum		values[7] = {Int32GetDatum(oms_call->tenant), TimestampTzGetDatum(oms_call->now), CStringGetTextDatum(code),
		CStringGetTextDatum(kind), CStringGetTextDatum(currency)};
	char		nulls[8] = "      n";

	values[5] = oms_text_or_null(customer_ref, &nulls[5]);
	if (!find_account(code, &account))
		(void) oms_execute(&open_plan, values, nulls);
	get_account(code, &account);
	return account.account_id;
}

/* Locks several accounts in their order, before the first of them moves. */
void
oms_credit_lock(int64 *account_ids, int count)
{
	Datum		values[2] = {Int32GetDatum(oms_call->tenant)};

	if (count == 0)
		return;
	values[1] = oms_array_int64(account_ids, count);
	(void) oms_execute(&lock_plan, values, NULL);
}

static void
read_id(TupleTableSlot *slot, void *state)
{
	*(int64 *) state = oms_slot_int64(slot, 1);
}

/* Moves money of an account under its lock, and writes the entry; returns its entry_id. */
int64
oms_credit_move(const CreditMove *move)
{
	Account		account = {0};
	Numeric		zero = oms_money_zero();
	int64		account_id = move->account_id;
	int64		entry_id = 0;
	Numeric		available;
	Numeric		taken = oms_money_subtract(move->held, move->balance);
	Datum		values[9] = {Int32GetDatum(oms_call->tenant)};
	char		nulls[10] = "         ";

	values[1] = oms_array_int64(&account_id, 1);
	(void) oms_execute_each(&lock_plan, values, NULL, read_account, &account);
	available = oms_money_subtract(account.balance, account.held);
	if (oms_money_compare(taken, zero) > 0 && oms_money_compare(taken, available) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_MONEY),
				 errmsg("the credit account has %s left, not %s", oms_money_text(available), oms_money_text(taken)),
				 errdetail("amount: at most %s is possible: the balance is %s, held are %s", oms_money_text(available),
						   oms_money_text(account.balance), oms_money_text(account.held)),
				 errhint("Pay the rest with another payment.")));
	if (oms_money_compare(taken, zero) > 0 && refusal_of(&account) != NULL && strcmp(move->type, "adjust") != 0)
		ereport(ERROR,
				(errcode(ERRCODE_OMS_MONEY),
				 errmsg("the credit account %s", refusal_of(&account)),
				 errdetail("account: pays nothing any more"),
				 errhint("Use another payment.")));
	values[1] = Int64GetDatum(account_id);
	values[2] = NumericGetDatum(move->balance);
	values[3] = NumericGetDatum(move->held);
	(void) oms_execute(&move_plan, values, NULL);
	values[2] = Int64GetDatum(move->order_id);
	values[3] = Int64GetDatum(move->payment_id);
	values[4] = TimestampTzGetDatum(oms_call->now);
	values[5] = CStringGetTextDatum(move->type);
	values[6] = NumericGetDatum(move->balance);
	values[7] = NumericGetDatum(move->held);
	values[8] = oms_text_or_null(move->reason, &nulls[8]);
	(void) oms_execute_each(&entry_plan, values, nulls, read_id, &entry_id);
	return entry_id;
}

/*
 * Does on the account what an event of its payment says.  held: what is captured
 * was authorized before.
 */
void
oms_credit_follow(int64 account_id, int64 order_id, int64 payment_id, const char *type, Numeric amount, bool held)
{
	Numeric		zero = oms_money_zero();
	Numeric		less = oms_money_subtract(zero, amount);
	CreditMove	move = {.account_id = account_id,.type = type,.balance = zero,.held = zero,.order_id = order_id,
	.payment_id = payment_id};

	if (strcmp(type, "authorize") == 0)
		move.held = amount;
	else if (strcmp(type, "capture") == 0)
	{
		move.balance = less;
		move.held = held ? less : zero;
	}
	else if (strcmp(type, "void") == 0)
		move.held = less;
	else if (strcmp(type, "refund") == 0)
		move.balance = amount;
	(void) oms_credit_move(&move);
}

static Jsonb *
account_document(const char *code)
{
	Account		account;
	int			digits;
	DocWriter	writer;

	get_account(code, &account);
	digits = oms_currency_digits(account.currency);
	oms_write_begin(&writer);
	oms_write_text(&writer, "account", code);
	oms_write_text(&writer, "kind", account.kind);
	oms_write_text(&writer, "currency", account.currency);
	oms_write_numeric(&writer, "balance", oms_money_round(account.balance, digits));
	oms_write_numeric(&writer, "held", oms_money_round(account.held, digits));
	oms_write_numeric(&writer, "available",
					  oms_money_round(oms_money_subtract(account.balance, account.held), digits));
	oms_write_bool(&writer, "active", account.active);
	oms_write_text(&writer, "customer", account.customer_ref);
	if (!TIMESTAMP_IS_NOEND(account.expires_at))
		oms_write_time(&writer, "expires_at", account.expires_at);
	return oms_write_finish(&writer);
}

static Jsonb *
move_document(const char *code, const Account *account, Numeric amount)
{
	DocWriter	writer;

	oms_write_begin(&writer);
	oms_write_text(&writer, "kind", account->kind);
	oms_write_text(&writer, "customer", account->customer_ref);
	oms_write_numeric(&writer, "amount", amount);
	oms_write_text(&writer, "currency", account->currency);
	return oms_write_finish(&writer);
}

/* The amount of a call, which moves something and is rounded to the currency. */
static Numeric
amount_argument(FunctionCallInfo fcinfo, int argument, const char *currency, bool negative)
{
	FaultList	faults;
	Numeric		amount = PG_ARGISNULL(argument) ? NULL : PG_GETARG_NUMERIC(argument);

	oms_faults_init(&faults);
	if (amount == NULL)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Give the amount that moves.", "amount", "is null");
	else if (numeric_is_nan(amount) || numeric_is_inf(amount) ||
			 oms_money_compare(amount, oms_money_zero()) == 0 ||
			 (!negative && oms_money_compare(amount, oms_money_zero()) < 0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "oms.adjust_credit takes money away.", "amount",
				  negative ? "must not be zero" : "must be above zero");
	else if (!oms_money_is_rounded(amount, oms_currency_digits(currency)))
		oms_fault(&faults, ERRCODE_OMS_MONEY, "Round amounts to the currency.", "amount",
				  "%s has more decimals than %s", oms_money_text(amount), currency);
	oms_faults_raise(&faults, "amount is not valid");
	return amount;
}

static void
check_issue(const char *code, const char *currency, const char *kind, const Account *account)
{
	FaultList	faults;

	oms_faults_init(&faults);
	if (strlen(code) < 1 || strlen(code) > OMS_CODE_BYTES_MAX)
		oms_fault(&faults, ERRCODE_OMS_LIMIT, "Codes have 1 to 200 bytes.", "account", "has %zu bytes", strlen(code));
	if (account->account_id == 0 && (currency == NULL || oms_currency_digits(currency) < 0))
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Use an ISO 4217 code such as EUR.", "currency",
				  "is required to open an account, and has to be one");
	if (account->account_id != 0 && currency != NULL && strcmp(currency, account->currency) != 0)
		oms_fault(&faults, ERRCODE_OMS_MONEY, "An account keeps its currency.", "currency",
				  "\"%s\" is not the currency of the account, which is %s", currency, account->currency);
	if (kind != NULL && strcmp(kind, "gift_card") != 0 && strcmp(kind, "store_credit") != 0 &&
		strcmp(kind, "customer_credit") != 0)
		oms_fault(&faults, ERRCODE_OMS_DOCUMENT, "Kinds are gift_card, store_credit and customer_credit.", "kind",
				  "\"%s\" is not a kind of account", kind);
	oms_faults_raise(&faults, "credit account is not valid");
}

/* Opens an account that is not there; another transaction may be faster. */
static void
open_account(FunctionCallInfo fcinfo, const char *code, const char *currency, const char *kind)
{
	Datum		values[7];
	char		nulls[8] = "       ";

	values[0] = Int32GetDatum(oms_call->tenant);
	values[1] = TimestampTzGetDatum(oms_call->now);
	values[2] = CStringGetTextDatum(code);
	values[3] = CStringGetTextDatum(kind ? kind : "gift_card");
	values[4] = CStringGetTextDatum(currency);
	values[5] = oms_text_or_null(oms_argument_text(fcinfo, 4), &nulls[5]);
	values[6] = PG_ARGISNULL(5) ? (Datum) 0 : PG_GETARG_DATUM(5);
	nulls[6] = PG_ARGISNULL(5) ? 'n' : ' ';
	(void) oms_execute(&open_plan, values, nulls);
}

/*
 * oms.issue_credit(account, amount, currency, kind, customer, expires_at, reason, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_issue_credit, CALL_KEYED)
{
	char	   *code = oms_argument_required(fcinfo, 0, "account");
	char	   *currency = oms_argument_text(fcinfo, 2);
	char	   *kind = oms_argument_text(fcinfo, 3);
	Account		account;
	Numeric		amount;

	(void) find_account(code, &account);
	check_issue(code, currency, kind, &account);
	amount = amount_argument(fcinfo, 1, account.account_id ? account.currency : currency, false);
	if (account.account_id == 0)
	{
		open_account(fcinfo, code, currency, kind);
		get_account(code, &account);
		check_issue(code, currency, kind, &account);
	}
	(void) oms_credit_move(&(CreditMove) {.account_id = account.account_id,.type = "issue",.balance = amount,
										  .held = oms_money_zero(),.reason = oms_argument_text(fcinfo, 6)});
	oms_event(&(Event) {.object_id = account.account_id,.object_type = "credit_account",.type = "credit.issued",
						.reason = oms_argument_text(fcinfo, 6),.data = move_document(code, &account, amount)});
	PG_RETURN_JSONB_P(account_document(code));
}

/*
 * oms.adjust_credit(account, amount, reason, idempotency_key) -> jsonb
 */
OMS_FUNCTION(oms_adjust_credit, CALL_KEYED)
{
	char	   *code = oms_argument_required(fcinfo, 0, "account");
	Account		account;
	Numeric		amount;

	get_account(code, &account);
	amount = amount_argument(fcinfo, 1, account.currency, true);
	(void) oms_credit_move(&(CreditMove) {.account_id = account.account_id,.type = "adjust",.balance = amount,
										  .held = oms_money_zero(),.reason = oms_argument_text(fcinfo, 2)});
	oms_event(&(Event) {.object_id = account.account_id,.object_type = "credit_account",.type = "credit.adjusted",
						.reason = oms_argument_text(fcinfo, 2),.data = move_document(code, &account, amount)});
	PG_RETURN_JSONB_P(account_document(code));
}

/*
 * oms.credit_balance(account text) -> jsonb
 */
OMS_FUNCTION(oms_credit_balance, CALL_READ)
{
	PG_RETURN_JSONB_P(account_document(oms_argument_required(fcinfo, 0, "account")));
}
