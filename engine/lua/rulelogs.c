/* rulelogs.c - the logs of a transaction as rules see them: fields by name, numbers and texts made when asked for.
 *
 * A field is known by a number that rules.lua got at the start; the functions below are called through FFI with the JIT
 * on, as C functions with it off. */
#include <math.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "chain/abi.h"
#include "lua/rule_internal.h"
#include "lua/sandbox.h"

enum number { NUM_KIND, NUM_STANDARD, NUM_AMOUNT, NUM_AMOUNT_OUT, NUM_FEE, NUM_INDEX, NUM_DATA_SIZE, NUM_APPROVED,
	          NUM_ZERO_FOR_ONE, NUM_COUNT };
static const char *const number_names[NUM_COUNT] = {
	"kind", "standard", "amount", "amount_out", "fee", "index", "data_size", "approved", "zero_for_one",
};

enum text { TEXT_ADDRESS, TEXT_FROM, TEXT_TO, TEXT_SPENDER, TEXT_OPERATOR, TEXT_TOKEN, TEXT_AMOUNT, TEXT_AMOUNT_OUT,
	        TEXT_FEE, TEXT_TOKEN_ID, TEXT_ROLE, TEXT_TOPIC, TEXT_COUNT };
static const char *const text_names[TEXT_COUNT] = {
	"address", "from", "to", "spender", "operator", "token", "amount_text", "amount_out_text", "fee_text", "token_id",
	"role", "topic",
};

static const struct cw_tx_log *log_at(const struct cw_rules *rules, int i)
{
	return i >= 1 && (uint32_t)i <= rules->tx.nlogs ? &rules->tx.logs[i - 1] : NULL;
}

static double amount_of(const struct cw_tx_log *log, uint16_t flag, const struct cw_u256 *amount)
{
	return (log->has & flag) != 0 ? cw_u256_to_double(amount) : NAN;
}

static double flag_of(const struct cw_tx_log *log, enum cw_log_kind kind)
{
	return log->kind == kind && (log->has & CW_LOG_HAS_FLAG) != 0 ? (log->has & CW_LOG_FLAG) != 0 : NAN;
}

/* NaN: the log has none, or there is no such log. */
static double log_number(void *arg, int i, int which)
{
	const struct cw_tx_log *log = log_at(arg, i);

	if (log == NULL)
		return NAN;
	switch ((enum number)which) {
	case NUM_KIND: return log->kind;
	case NUM_STANDARD: return log->standard != CW_TOKEN_UNKNOWN ? log->standard : NAN;
	case NUM_AMOUNT: return amount_of(log, CW_LOG_HAS_AMOUNT, &log->amount);
	case NUM_AMOUNT_OUT: return log->kind == CW_LOG_SWAP ? amount_of(log, CW_LOG_HAS_EXTRA, &log->extra) : NAN;
	case NUM_FEE: return log->kind == CW_LOG_FLASH_LOAN ? amount_of(log, CW_LOG_HAS_EXTRA, &log->extra) : NAN;
	case NUM_INDEX: return log->index;
	case NUM_DATA_SIZE: return log->data_size;
	case NUM_APPROVED: return flag_of(log, CW_LOG_APPROVAL_FOR_ALL);
	case NUM_ZERO_FOR_ONE: return flag_of(log, CW_LOG_SWAP);
	case NUM_COUNT: break;
	}
	return NAN;
}

static int put_hex(char *out, const uint8_t *bytes, size_t len)
{
	out[0] = '0';
	out[1] = 'x';
	cw_hex_encode(out + 2, bytes, len);
	return 2 + 2 * (int)len;
}

static int put_address(char *out, const struct cw_tx_log *log, uint16_t flag, const struct cw_address *address)
{
	return (log->has & flag) != 0 ? put_hex(out, address->b, sizeof(address->b)) : -1;
}

static int put_amount(char *out, const struct cw_tx_log *log, uint16_t flag, const struct cw_u256 *amount)
{
	return (log->has & flag) != 0 ? (int)cw_u256_format_decimal(amount, out) : -1;
}

static int put_role(char *out, const struct cw_tx_log *log)
{
	uint8_t word[32];

	cw_u256_to_be(&log->extra, word);
	return put_hex(out, word, sizeof(word));
}

/* Length of the text, -1 if the log has none, or there is no such log. */
static int log_text(void *arg, int i, int which, char *out)
{
	const struct cw_tx_log *log = log_at(arg, i);
	enum cw_log_kind kind = log != NULL ? (enum cw_log_kind)log->kind : CW_LOG_OTHER;

	if (log == NULL)
		return -1;
	switch ((enum text)which) {
	case TEXT_ADDRESS: return put_hex(out, log->address.b, sizeof(log->address.b));
	case TEXT_FROM: return put_address(out, log, CW_LOG_HAS_FROM, &log->from);
	case TEXT_TO: return put_address(out, log, CW_LOG_HAS_TO, &log->to);
	case TEXT_SPENDER:
		return kind == CW_LOG_APPROVAL || kind == CW_LOG_APPROVAL_FOR_ALL
			? put_address(out, log, CW_LOG_HAS_TO, &log->to) : -1;
	case TEXT_OPERATOR:
		return kind == CW_LOG_TRANSFER ? put_address(out, log, CW_LOG_HAS_THIRD, &log->third) : -1;
	case TEXT_TOKEN:
		return kind == CW_LOG_FLASH_LOAN ? put_address(out, log, CW_LOG_HAS_THIRD, &log->third) : -1;
	case TEXT_AMOUNT: return put_amount(out, log, CW_LOG_HAS_AMOUNT, &log->amount);
	case TEXT_AMOUNT_OUT:
		return kind == CW_LOG_SWAP ? put_amount(out, log, CW_LOG_HAS_EXTRA, &log->extra) : -1;
	case TEXT_FEE:
		return kind == CW_LOG_FLASH_LOAN ? put_amount(out, log, CW_LOG_HAS_EXTRA, &log->extra) : -1;
	case TEXT_TOKEN_ID:
		return kind == CW_LOG_TRANSFER || kind == CW_LOG_APPROVAL
			? put_amount(out, log, CW_LOG_HAS_EXTRA, &log->extra) : -1;
	case TEXT_ROLE:
		return (kind == CW_LOG_ROLE_GRANTED || kind == CW_LOG_ROLE_REVOKED) && (log->has & CW_LOG_HAS_EXTRA) != 0
			? put_role(out, log) : -1;
	case TEXT_TOPIC: return (log->has & CW_LOG_HAS_TOPIC) != 0 ? put_hex(out, log->topic.b, sizeof(log->topic.b)) : -1;
	case TEXT_COUNT: break;
	}
	return -1;
}

/* The first log behind `i` of the kind (below 0: of any); 0: there is none. It is what fields of a log mean from now on. */
static int log_next(void *arg, int i, int kind)
{
	struct cw_rules *rules = arg;

	for (uint32_t at = (uint32_t)i; at < rules->tx.nlogs; at++)
		if (kind < 0 || rules->tx.logs[at].kind == kind)
			return (int)(rules->tx.log_at = at + 1);
	rules->tx.log_at = 0;
	return 0;
}

static int l_log_number(lua_State *L)
{
	lua_pushnumber(L, log_number(cw_rules_of(L), (int)lua_tointeger(L, 1), (int)lua_tointeger(L, 2)));
	return 1;
}

static int l_log_text(lua_State *L)
{
	char out[CW_RULE_LOG_TEXT_MAX];
	int len = log_text(cw_rules_of(L), (int)lua_tointeger(L, 1), (int)lua_tointeger(L, 2), out);

	if (len < 0)
		lua_pushnil(L);
	else
		lua_pushlstring(L, out, (size_t)len);
	return 1;
}

static int l_log_next(lua_State *L)
{
	lua_pushinteger(L, log_next(cw_rules_of(L), (int)lua_tointeger(L, 1), (int)lua_tointeger(L, 2)));
	return 1;
}

/* compare_amounts("10", "9") -> 1; -1, 0, 1: decimal texts below 2^256, exactly. */
static int l_compare(lua_State *L)
{
	struct cw_u256 amounts[2];

	for (int i = 0; i < 2; i++) {
		bool is_text = lua_type(L, i + 1) == LUA_TSTRING;   /* a number has lost digits, and would be made text */
		size_t len;
		const char *text = luaL_checklstring(L, i + 1, &len);

		if (!is_text || !cw_u256_parse_decimal(&amounts[i], text, len))
			return luaL_argerror(L, i + 1, "decimal text of an amount expected");
	}
	lua_pushinteger(L, cw_u256_cmp(&amounts[0], &amounts[1]));
	return 1;
}

static void set_names(lua_State *L, const char *field, const char *const *names, int n)
{
	lua_newtable(L);
	for (int i = 0; i < n; i++) {
		lua_pushinteger(L, i);
		lua_setfield(L, -2, names[i]);
	}
	lua_setfield(L, -2, field);
}

static void set_code(lua_State *L, const char *field, void *code)
{
	lua_pushlightuserdata(L, code);
	lua_setfield(L, -2, field);
}

void cw_rulelogs_open(lua_State *L)
{
	lua_pushcfunction(L, l_compare);
	cw_sandbox_expose(L, "compare_amounts");
}

void cw_rulelogs_host(struct cw_rules *rules, lua_State *L)
{
	double (*number)(void *, int, int) = log_number;
	int (*text)(void *, int, int, char *) = log_text;
	int (*next)(void *, int, int) = log_next;
	const char *kinds[CW_LOG_KINDS];

	for (int i = 0; i < CW_LOG_KINDS; i++)
		kinds[i] = cw_log_kind_name((enum cw_log_kind)i);
	set_names(L, "log_kinds", kinds, CW_LOG_KINDS);
	set_names(L, "log_numbers", number_names, NUM_COUNT);
	set_names(L, "log_texts", text_names, TEXT_COUNT);
	lua_pushinteger(L, CW_TX_LOGS_MAX);
	lua_setfield(L, -2, "logs_max");
	if (rules->conf.jit) {
		set_code(L, "log_number", *(void **)(void *)&number);
		set_code(L, "log_text", *(void **)(void *)&text);
		set_code(L, "log_next", *(void **)(void *)&next);
		return;
	}
	lua_pushcfunction(L, l_log_number);
	lua_setfield(L, -2, "log_number");
	lua_pushcfunction(L, l_log_text);
	lua_setfield(L, -2, "log_text");
	lua_pushcfunction(L, l_log_next);
	lua_setfield(L, -2, "log_next");
}
