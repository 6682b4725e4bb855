#include "lua/ruletest.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "chain/abi.h"
#include "detect/lists.h"
#include "lua/rule_internal.h"
#include "lua/sandbox.h"
#include "pipeline/evaluate.h"

#define START_S 1700000000            /* the virtual clock starts on 2023-11-14 */
#define START_BLOCK 18000000
#define BLOCK_S 12
#define TXS_MAX 200000                /* of one test */
#define NAME_MAX_BYTES 200
#define FIRES_MAX 64                  /* of one rule that are noted */

const char *const cw_ruletest_test_keys[] = { "name", "given", "expect", "params", "lists", NULL };
const char *const cw_ruletest_expect_keys[] = { "alerts", "living", "first", "severity", "dedup", "min_score",
	                                            "max_score", NULL };
#define TX_KEYS "from", "to", "value", "ether", "gas", "gas_price", "gas_price_gwei", "gas_used", "nonce", "block", \
	"timestamp", "at", "after", "selector", "arg1", "arg2", "arg3", "input_size", "status", "creation", "chain", "index", \
	"created", "logs"
static const char *const log_keys[] = { "kind", "standard", "address", "from", "to", "spender", "operator", "token",
	"amount", "amount_out", "fee", "token_id", "role", "approved", "zero_for_one", "topic", NULL };
const char *const cw_ruletest_tx_keys[] = { TX_KEYS, NULL };
const char *const cw_ruletest_txs_keys[] = { TX_KEYS, "n", "every", NULL };

static char line_key, many_key;       /* hidden keys of what tx{} and txs{} return */

/* --- declaring: tx{}, txs{}, and the shape of tests; luaL_error adds file and line --- */

static int make_spec(lua_State *L, const char *what, const char *const *keys, bool many)
{
	lua_Debug at = { .currentline = 0 };
	struct cw_rule_bad_key bad;

	if (lua_type(L, 1) != LUA_TTABLE)
		return luaL_error(L, "%s: needs a table, like %s { from = A, to = B }", what, what);
	lua_settop(L, 1);
	if (lua_getmetatable(L, 1) != 0)
		return luaL_error(L, "%s: needs a plain table", what);
	if (cw_rule_find_bad_key(L, 1, keys, &bad))
		return luaL_error(L, "%s: %s", what, bad.what);
	if (lua_getstack(L, 1, &at) != 0)
		lua_getinfo(L, "l", &at);
	lua_pushlightuserdata(L, &line_key);
	lua_pushinteger(L, at.currentline);
	lua_rawset(L, 1);
	lua_pushlightuserdata(L, &many_key);
	lua_pushboolean(L, many);
	lua_rawset(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, cw_rules_of(L)->refs.spec);
	lua_setmetatable(L, 1);
	return 1;
}

static int l_tx(lua_State *L)
{
	return make_spec(L, "tx", cw_ruletest_tx_keys, false);
}

static int l_txs(lua_State *L)
{
	return make_spec(L, "txs", cw_ruletest_txs_keys, true);
}

static bool is_each(const struct cw_rules *rules, lua_State *L, int index)
{
	bool is;

	lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.each);
	is = lua_rawequal(L, -1, index < 0 ? index - 1 : index) != 0;
	lua_pop(L, 1);
	return is;
}

static void push_raw(lua_State *L, int table, const char *key)
{
	lua_pushstring(L, key);
	lua_rawget(L, table < 0 ? table - 1 : table);
}

/* The transactions of the test at `test`: a spec, or a list of specs and lists. Pushes a flat list. */
static int push_given(const struct cw_rules *rules, lua_State *L, int test)
{
	int list;

	lua_newtable(L);
	list = lua_gettop(L);
	push_raw(L, test < 0 ? test - 1 : test, "given");
	cw_ruletest_flatten(rules, L, list, 0);
	return (int)lua_objlen(L, list);
}

/* Raises for the nth test of the rule that is loaded. Its line is where its `name` stands. */
__attribute__((format(printf, 3, 4), noreturn))
static void refuse(lua_State *L, int nth, const char *format, ...)
{
	const struct cw_rules *rules = cw_rules_of(L);
	const struct cw_rule *rule = rules->loading;
	int line = cw_rule_find_line(rules->text, rules->text_len, "tests", rule->line, 1);
	char what[256];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	if (nth > 0)
		lua_pushfstring(L, "%s:%d: rule: test %d: %s", rule->file,
		                cw_rule_find_line(rules->text, rules->text_len, "name", line, nth), nth, what);
	else
		lua_pushfstring(L, "%s:%d: rule: \"tests\" %s", rule->file, line, what);
	lua_error(L);
	abort();                          /* lua_error does not return */
}

static void check_given(const struct cw_rules *rules, lua_State *L, int test, int nth)
{
	int n;

	push_raw(L, test, "given");
	if (lua_type(L, -1) != LUA_TTABLE)
		refuse(L, nth, "\"given\" must be tx { ... }, txs { ... } or a list of them");
	n = push_given(rules, L, test);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, -1, i);
		if (!cw_ruletest_is_spec(rules, L, -1))
			refuse(L, nth, "\"given\" must be tx { ... }, txs { ... } or a list of them");
		lua_pop(L, 1);
	}
	if (n == 0)
		refuse(L, nth, "\"given\" is empty");
}

/* Whether the test expects an alert. */
static bool check_expect(lua_State *L, int test, int nth)
{
	struct cw_rule_bad_key bad;
	const char *word;

	push_raw(L, test, "expect");
	if (lua_type(L, -1) == LUA_TTABLE) {
		if (cw_rule_find_bad_key(L, lua_gettop(L), cw_ruletest_expect_keys, &bad))
			refuse(L, nth, "expect: %s", bad.what);
		push_raw(L, -1, "alerts");
		return lua_isnil(L, -1) || lua_tonumber(L, -1) > 0;
	}
	word = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
	if (strcmp(word, "quiet") != 0 && strcmp(word, "alert") != 0)
		refuse(L, nth, "\"expect\" must be \"quiet\", \"alert\" or a table like { alerts = 1 }");
	return word[0] == 'a';
}

static bool check_test(const struct cw_rules *rules, lua_State *L, int test, int nth)
{
	struct cw_rule_bad_key bad;
	bool fires;

	if (lua_type(L, test) != LUA_TTABLE)
		refuse(L, nth, "must be a table, like { name = ..., given = ..., expect = ... }");
	if (cw_rule_find_bad_key(L, test, cw_ruletest_test_keys, &bad))
		refuse(L, nth, "%s", bad.what);
	push_raw(L, test, "name");
	if (lua_type(L, -1) != LUA_TSTRING || lua_objlen(L, -1) == 0 || lua_objlen(L, -1) > NAME_MAX_BYTES)
		refuse(L, nth, "\"name\" must be text of 1 to %d bytes", NAME_MAX_BYTES);
	check_given(rules, L, test, nth);
	fires = check_expect(L, test, nth);
	lua_settop(L, test);
	return fires;
}

int cw_ruletest_check(struct cw_rules *rules, lua_State *L, int index)
{
	int n, firing = 0;

	if (lua_type(L, index) != LUA_TTABLE)
		refuse(L, 0, "must be a list, not a %s", luaL_typename(L, index));
	n = (int)lua_objlen(L, index);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, index, i);
		firing += check_test(rules, L, lua_gettop(L), i);
		lua_pop(L, 1);
	}
	if (firing == 0 || firing == n)
		refuse(L, 0, "needs at least one test that fires and one that stays quiet");
	return n;
}

void cw_ruletest_open(struct cw_rules *rules, lua_State *L)
{
	char address[CW_ADDRESS_TEXT], name[2] = "A";

	lua_newtable(L);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	rules->refs.spec = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	cw_sandbox_freeze(L);
	lua_pushvalue(L, -1);
	rules->refs.each = luaL_ref(L, LUA_REGISTRYINDEX);
	cw_sandbox_expose(L, "each");
	lua_pushcfunction(L, l_tx);
	cw_sandbox_expose(L, "tx");
	lua_pushcfunction(L, l_txs);
	cw_sandbox_expose(L, "txs");
	lua_pushcfunction(L, cw_ruletest_seq);
	cw_sandbox_expose(L, "seq");
	for (name[0] = 'A'; name[0] <= 'Z'; name[0]++) {
		struct cw_address a;

		memset(a.b, name[0], sizeof(a.b));
		lua_pushstring(L, cw_address_format(&a, address));
		cw_sandbox_expose(L, name);
	}
}

/* --- making transactions --- */

/* One test at work. What it holds is released by release_job, whatever happens. */
struct job {
	struct cw_rules *rules;
	struct cw_rule *rule;
	struct cw_state *scratch;
	struct cw_buf *trace;
	int number;                       /* of the test, from 1 */
	int line;
	char name[NAME_MAX_BYTES + 1];
	struct cw_rule_bind *bind;
	struct cw_lists *lists;
	const struct cw_lists *lists_before;
	bool uses_lists;
	int64_t now;                      /* the virtual clock, seconds */
	uint64_t made;                    /* transactions so far */
	uint64_t each;                    /* addresses made by `each` so far */
	/* what came of it */
	int alerts, living;               /* fires; alerts that they make, by the rule's cool-down */
	uint64_t first;                   /* number of the transaction that fired first */
	struct cw_alert alert;            /* of it */
	char dedup[CW_VERDICT_DEDUP_MAX + 1];
	struct cw_tx_log logs[CW_TX_LOGS_MAX];   /* of the transaction that was made last */
	uint64_t explain_at;              /* number of the transaction to explain, 0: none */
	struct cw_buf *explain;
};

__attribute__((format(printf, 3, 4), noreturn))
static void fail(struct job *job, lua_State *L, const char *format, ...)
{
	char what[300];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	luaL_error(L, "%s:%d: %s: test \"%s\": %s", job->rule->file, job->line, job->rule->id, job->name, what);
	abort();                          /* luaL_error does not return */
}

/* Pushes spec[key]; a list gives its elements in turn, a function is called with the number from 1. Whether there is something. */
static bool push_field(struct job *job, lua_State *L, int spec, const char *key, uint64_t i)
{
	push_raw(L, spec, key);
	if (lua_type(L, -1) == LUA_TFUNCTION) {
		lua_pushnumber(L, (double)i + 1);
		lua_call(L, 1, 1);
	}
	if (lua_type(L, -1) == LUA_TTABLE && !is_each(job->rules, L, -1)) {
		size_t n = lua_objlen(L, -1);

		if (n == 0)
			fail(job, L, "\"%s\" is an empty list", key);
		lua_rawgeti(L, -1, (int)(i % n) + 1);
		lua_remove(L, -2);
	}
	if (!lua_isnil(L, -1))
		return true;
	lua_pop(L, 1);
	return false;
}

static bool read_number(struct job *job, lua_State *L, int spec, const char *key, uint64_t i, double *out)
{
	if (!push_field(job, L, spec, key, i))
		return false;
	if (lua_type(L, -1) != LUA_TNUMBER || !(lua_tonumber(L, -1) >= 0) || lua_tonumber(L, -1) > 9e15)
		fail(job, L, "\"%s\" must be a number from 0 to 9e15", key);
	*out = lua_tonumber(L, -1);
	lua_pop(L, 1);
	return true;
}

static bool read_whole(struct job *job, lua_State *L, int spec, const char *key, uint64_t i, uint64_t *out)
{
	double number;

	if (!read_number(job, L, spec, key, i, &number))
		return false;
	if (number != floor(number))
		fail(job, L, "\"%s\" must be a whole number", key);
	*out = (uint64_t)number;
	return true;
}

static bool read_span(struct job *job, lua_State *L, int spec, const char *key, double *out)
{
	push_raw(L, spec, key);
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		return false;
	}
	if (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) >= 0 && lua_tonumber(L, -1) < 1e10)
		*out = lua_tonumber(L, -1);
	else if (lua_type(L, -1) != LUA_TSTRING || !cw_span_parse(lua_tostring(L, -1), out))
		fail(job, L, "\"%s\" must be seconds or a duration like \"10m\"", key);
	lua_pop(L, 1);
	return true;
}

/* Wei as a number or a decimal string, times `unit`. */
static bool read_amount(struct job *job, lua_State *L, int spec, const char *key, uint64_t i, double unit,
                        struct cw_u256 *out)
{
	char digits[400];
	bool ok;

	if (!push_field(job, L, spec, key, i))
		return false;
	if (lua_type(L, -1) == LUA_TSTRING && unit == 1) {
		size_t len;
		const char *text = lua_tolstring(L, -1, &len);

		ok = cw_u256_parse_decimal(out, text, len);
	} else {
		double number = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) * unit : -1;

		ok = number >= 0 && number < 1e77;
		if (ok) {
			int len = snprintf(digits, sizeof(digits), "%.0f", number);

			ok = cw_u256_parse_decimal(out, digits, (size_t)len);
		}
	}
	if (!ok)
		fail(job, L, "\"%s\" must be an amount: a number or decimal text", key);
	lua_pop(L, 1);
	return true;
}

static bool read_address(struct job *job, lua_State *L, int spec, const char *key, uint64_t i, struct cw_address *out)
{
	size_t len;
	const char *text;

	if (!push_field(job, L, spec, key, i))
		return false;
	if (is_each(job->rules, L, -1)) {
		uint64_t number = ++job->each;

		*out = (struct cw_address){ .b = { 0xea, 0xc4 } };
		for (int k = 0; k < 8; k++)
			out->b[19 - k] = (uint8_t)(number >> (8 * k));
	} else {
		text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &len) : (len = 0, "");
		if (cw_address_parse(out, text, len) != CW_ADDRESS_OK)
			fail(job, L, "\"%s\" must be an address, A to Z, or each", key);
	}
	lua_pop(L, 1);
	return true;
}

/* Word `number` of the call data: an address, 32 bytes in hex, or an amount. */
static bool read_word(struct job *job, lua_State *L, int spec, const char *key, uint64_t i, uint8_t out[32])
{
	struct cw_address address;
	struct cw_u256 amount;
	const char *text;

	if (!push_field(job, L, spec, key, i))
		return false;
	memset(out, 0, 32);
	text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
	if (strlen(text) == 66 && strncmp(text, "0x", 2) == 0 && cw_hex_decode(out, text + 2, 64)) {
		lua_pop(L, 1);
		return true;
	}
	if (is_each(job->rules, L, -1) || (strlen(text) == 42 && strncmp(text, "0x", 2) == 0)) {
		lua_pop(L, 1);
		read_address(job, L, spec, key, i, &address);
		memcpy(out + 12, address.b, sizeof(address.b));
		return true;
	}
	lua_pop(L, 1);
	read_amount(job, L, spec, key, i, 1, &amount);
	cw_u256_to_be(&amount, out);
	return true;
}

static void read_arguments(struct job *job, lua_State *L, int spec, uint64_t i, struct cw_tx *tx)
{
	static const char *const keys[] = { "arg1", "arg2", "arg3" };

	for (uint32_t k = 0; k < 3; k++)
		if (read_word(job, L, spec, keys[k], i, tx->input_head + 4 + 32 * (size_t)k))
			tx->input_size = tx->input_head_size = 36 + 32 * k;
	if (tx->input_size > 4)
		tx->has |= CW_TX_HAS_INPUT;
}

static void read_input(struct job *job, lua_State *L, int spec, uint64_t i, struct cw_tx *tx)
{
	uint64_t size;

	if (push_field(job, L, spec, "selector", i)) {
		const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";

		if (strlen(text) != 10 || strncmp(text, "0x", 2) != 0 || !cw_hex_decode(tx->input_head, text + 2, 8))
			fail(job, L, "\"selector\" must be text like \"0xa9059cbb\"");
		lua_pop(L, 1);
		tx->has |= CW_TX_HAS_INPUT;
		tx->input_size = tx->input_head_size = 4;
	}
	read_arguments(job, L, spec, i, tx);
	if (!read_whole(job, L, spec, "input_size", i, &size))
		return;
	if (size > UINT32_MAX || size < tx->input_head_size)
		fail(job, L, "\"input_size\" is out of range");
	tx->has |= CW_TX_HAS_INPUT;
	tx->input_size = (uint32_t)size;
	tx->input_head_size = (uint32_t)(size < CW_TX_INPUT_HEAD ? size : CW_TX_INPUT_HEAD);
}

static void read_receipt(struct job *job, lua_State *L, int spec, uint64_t i, struct cw_tx *tx)
{
	uint64_t number;

	if (read_whole(job, L, spec, "gas_used", i, &tx->gas_used))
		tx->has |= CW_TX_HAS_GAS_USED;
	if (read_whole(job, L, spec, "status", i, &number)) {
		tx->has |= CW_TX_HAS_STATUS;
		tx->status = number != 0;
	}
	if (read_whole(job, L, spec, "index", i, &number)) {
		if (number > UINT32_MAX)
			fail(job, L, "\"index\" is out of range");
		tx->has |= CW_TX_HAS_INDEX;
		tx->index = (uint32_t)number;
	}
	if (read_address(job, L, spec, "created", i, &tx->created))
		tx->has |= CW_TX_HAS_CREATED;
}

/* --- logs: every transaction gets all of them; a field that is a list gives its elements in turn --- */

/* Text of spec[key] for that transaction, on the stack; NULL: there is none. */
static const char *push_text(struct job *job, lua_State *L, int spec, const char *key, uint64_t i)
{
	if (!push_field(job, L, spec, key, i))
		return NULL;
	if (lua_type(L, -1) != LUA_TSTRING)
		fail(job, L, "\"%s\" of a log must be text", key);
	return lua_tostring(L, -1);
}

static bool read_log_word(struct job *job, lua_State *L, int spec, const char *key, uint64_t i, struct cw_hash *out)
{
	const char *text = push_text(job, L, spec, key, i);

	if (text == NULL)
		return false;
	if (!cw_hash_parse(out, text, strlen(text)))
		fail(job, L, "\"%s\" of a log must be 0x and 64 hex digits", key);
	lua_pop(L, 1);
	return true;
}

static void read_log_kind(struct job *job, lua_State *L, int spec, uint64_t i, struct cw_tx_log *log)
{
	const char *text = push_text(job, L, spec, "kind", i);
	enum cw_log_kind kind;

	if (text == NULL)
		fail(job, L, "a log needs a kind");
	if (!cw_log_kind_parse(&kind, text, strlen(text)))
		fail(job, L, "there is no kind of logs \"%s\"", text);
	log->kind = (uint8_t)kind;
	lua_pop(L, 1);
	text = push_text(job, L, spec, "standard", i);
	if (text == NULL)
		return;
	for (int s = CW_TOKEN_ERC20; s <= CW_TOKEN_ERC1155; s++)
		if (strcmp(text, cw_log_standard_name((uint8_t)s)) == 0)
			log->standard = (uint8_t)s;
	if (log->standard == CW_TOKEN_UNKNOWN)
		fail(job, L, "\"standard\" of a log must be erc20, erc721 or erc1155");
	lua_pop(L, 1);
}

static void read_log_extra(struct job *job, lua_State *L, int spec, uint64_t i, struct cw_tx_log *log)
{
	const char *extra = cw_log_extra_name(log->kind);
	struct cw_hash role;

	if (extra == NULL)
		return;
	extra = strcmp(extra, "tokenId") == 0 ? "token_id" : strcmp(extra, "amountOut") == 0 ? "amount_out" : extra;
	if (strcmp(extra, "role") != 0) {
		log->has |= read_amount(job, L, spec, extra, i, 1, &log->extra) ? CW_LOG_HAS_EXTRA : 0;
	} else if (read_log_word(job, L, spec, extra, i, &role)) {
		log->extra = cw_u256_from_be(role.b, sizeof(role.b));
		log->has |= CW_LOG_HAS_EXTRA;
	}
}

static void read_log(struct job *job, lua_State *L, int spec, uint64_t i, struct cw_tx_log *log)
{
	const char *third, *flag;
	struct cw_rule_bad_key bad;

	memset(log, 0, sizeof(*log));
	if (cw_rule_find_bad_key(L, spec, log_keys, &bad))
		fail(job, L, "log: %s", bad.what);
	read_log_kind(job, L, spec, i, log);
	memset(log->address.b, 'T', sizeof(log->address.b));
	read_address(job, L, spec, "address", i, &log->address);
	log->has |= read_address(job, L, spec, "from", i, &log->from) ? CW_LOG_HAS_FROM : 0;
	log->has |= read_address(job, L, spec, "to", i, &log->to) ? CW_LOG_HAS_TO : 0;
	log->has |= read_address(job, L, spec, "spender", i, &log->to) ? CW_LOG_HAS_TO : 0;
	third = cw_log_third_name(log->kind);
	log->has |= third != NULL && read_address(job, L, spec, third, i, &log->third) ? CW_LOG_HAS_THIRD : 0;
	log->has |= read_amount(job, L, spec, "amount", i, 1, &log->amount) ? CW_LOG_HAS_AMOUNT : 0;
	read_log_extra(job, L, spec, i, log);
	flag = log->kind == CW_LOG_SWAP ? "zero_for_one" : "approved";
	push_raw(L, spec, flag);
	if (!lua_isnil(L, -1))
		log->has |= CW_LOG_HAS_FLAG | (lua_toboolean(L, -1) ? CW_LOG_FLAG : 0);
	lua_pop(L, 1);
	log->has |= read_log_word(job, L, spec, "topic", i, &log->topic) ? CW_LOG_HAS_TOPIC : 0;
}

static void read_logs(struct job *job, lua_State *L, int spec, uint64_t i, struct cw_tx *tx)
{
	struct cw_logs logs = { .list = job->logs };
	struct cw_tx_log log;
	size_t n;

	push_raw(L, spec, "logs");
	if (lua_isnil(L, -1)) {
		lua_pop(L, 1);
		return;
	}
	if (!lua_istable(L, -1))
		fail(job, L, "\"logs\" must be a list of logs, like { { kind = \"transfer\", from = A, to = B } }");
	n = lua_objlen(L, -1);
	for (size_t k = 1; k <= n; k++) {
		lua_rawgeti(L, -1, (int)k);
		if (lua_type(L, -1) != LUA_TTABLE)
			fail(job, L, "a log must be a table, like { kind = \"transfer\", from = A, to = B }");
		read_log(job, L, lua_gettop(L), i, &log);
		log.index = (uint32_t)k - 1;
		cw_logs_add(&logs, &log);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	tx->has |= CW_TX_HAS_LOGS;
	tx->logs = logs.list;
	tx->nlogs = logs.n;
	tx->logs_total = logs.total;
}

/* The i-th transaction (from 0) of the spec at `spec`. */
static void make_tx(struct job *job, lua_State *L, int spec, uint64_t i, struct cw_tx *tx)
{
	uint64_t number = ++job->made, timestamp;

	*tx = (struct cw_tx){ .seq = number, .chain_id = 1, .gas = 21000, .nonce = number, .has = CW_TX_HAS_TO };
	for (int k = 0; k < 8; k++)
		tx->hash.b[31 - k] = (uint8_t)(number >> (8 * k));
	memset(tx->from.b, 'A', sizeof(tx->from.b));
	memset(tx->to.b, 'B', sizeof(tx->to.b));
	tx->value = cw_u256_from_u64(1000000000000000000u);
	tx->gas_price = cw_u256_from_u64(20000000000u);
	read_address(job, L, spec, "from", i, &tx->from);
	read_address(job, L, spec, "to", i, &tx->to);
	if (!read_amount(job, L, spec, "value", i, 1, &tx->value))
		read_amount(job, L, spec, "ether", i, 1e18, &tx->value);
	if (!read_amount(job, L, spec, "gas_price", i, 1, &tx->gas_price))
		read_amount(job, L, spec, "gas_price_gwei", i, 1e9, &tx->gas_price);
	read_whole(job, L, spec, "gas", i, &tx->gas);
	read_whole(job, L, spec, "nonce", i, &tx->nonce);
	read_whole(job, L, spec, "chain", i, &tx->chain_id);
	if (read_whole(job, L, spec, "timestamp", i, &timestamp))
		job->now = (int64_t)timestamp;
	tx->timestamp = job->now;
	tx->block_number = (uint64_t)(START_BLOCK + (job->now - START_S) / BLOCK_S);
	read_whole(job, L, spec, "block", i, &tx->block_number);
	read_input(job, L, spec, i, tx);
	read_receipt(job, L, spec, i, tx);
	read_logs(job, L, spec, i, tx);
	push_raw(L, spec, "creation");
	if (lua_toboolean(L, -1))
		tx->has &= ~(uint32_t)CW_TX_HAS_TO;
	lua_pop(L, 1);
}

/* --- running --- */

/* What a suppression would have to match in order to hide it. */
static void note_fire(struct job *job, const struct cw_tx *tx, const struct cw_alert *alert)
{
	struct cw_buf out = CW_BUF_INIT;
	struct cw_rule *rule = job->rule;
	char text[CW_ADDRESS_TEXT];

	if (rule->nfires >= FIRES_MAX)
		return;
	cw_buf_puts(&out, rule->fires != NULL ? rule->fires : "");
	cw_buf_printf(&out, "%s{\"chain\":%llu,\"from\":\"%s\"", rule->nfires++ > 0 ? "," : "",
	              (unsigned long long)tx->chain_id, cw_address_format(&tx->from, text));
	if ((tx->has & CW_TX_HAS_TO) != 0)
		cw_buf_printf(&out, ",\"to\":\"%s\"", cw_address_format(&tx->to, text));
	cw_buf_puts(&out, ",\"dedup\":");
	cw_json_put_cstring(&out, alert->dedup);
	cw_buf_putc(&out, '}');
	cw_free(rule->fires);
	rule->fires = cw_strdup(out.data);
	cw_buf_release(&out);
}

static void note_alert(struct job *job, const struct cw_tx *tx, const struct cw_alert *alert)
{
	note_fire(job, tx, alert);
	job->living += alert->founder == tx->seq;
	cw_buf_printf(job->trace, "alert %.17g %.17g %s %s %s %s", alert->score, alert->confidence,
	              cw_severity_name(alert->severity), alert->dedup, alert->features, alert->explanation);
	if (job->alerts++ > 0)
		return;
	job->first = job->made;
	job->alert = *alert;
	snprintf(job->dedup, sizeof(job->dedup), "%s", alert->dedup);
	job->alert.dedup = job->dedup;
}

static void run_tx(struct job *job, lua_State *L, const struct cw_tx *tx)
{
	struct cw_rule_result result;

	cw_rules_set_tx(job->rules, tx);
	cw_rule_run(job->rules, job->bind, &result);
	cw_state_mark(job->scratch, tx->seq, tx->block_number);
	cw_vm_tidy(cw_rules_vm(job->rules));
	if (job->made == job->explain_at)
		cw_rule_explain(job->rules, job->bind, &result, job->explain);
	if (result.kind == CW_RULE_FAILED)
		fail(job, L, "failed on transaction %llu: %s", (unsigned long long)job->made, result.fault.message);
	cw_buf_printf(job->trace, "%llu %lld ", (unsigned long long)job->made, (long long)result.ticks);
	if (result.kind == CW_RULE_ALERTED)
		note_alert(job, tx, &result.alert);
	cw_buf_putc(job->trace, '\n');
}

static uint64_t read_count(struct job *job, lua_State *L, int spec)
{
	uint64_t n = 1;
	bool many;

	lua_pushlightuserdata(L, &many_key);
	lua_rawget(L, spec);
	many = lua_toboolean(L, -1) != 0;
	lua_pop(L, 1);
	if (many && !read_whole(job, L, spec, "n", 0, &n))
		fail(job, L, "txs needs \"n\", the number of transactions");
	if (n == 0 || n + job->made > TXS_MAX)
		fail(job, L, "a test has 1 to %d transactions", TXS_MAX);
	return n;
}

static void note_line(struct job *job, lua_State *L, int spec)
{
	lua_pushlightuserdata(L, &line_key);
	lua_rawget(L, spec);
	job->line = (int)lua_tointeger(L, -1);
	lua_pop(L, 1);
}

static void run_spec(struct job *job, lua_State *L, int spec)
{
	double every = 1, after = 1, at;
	uint64_t n;

	note_line(job, L, spec);
	n = read_count(job, L, spec);
	read_span(job, L, spec, "every", &every);
	if (job->made == 0)
		after = 0;
	read_span(job, L, spec, "after", &after);
	job->now += (int64_t)after;
	if (read_span(job, L, spec, "at", &at))
		job->now = START_S + (int64_t)at;
	for (uint64_t i = 0; i < n; i++) {
		struct cw_tx tx;

		if (i > 0)
			job->now += (int64_t)every;
		make_tx(job, L, spec, i, &tx);
		run_tx(job, L, &tx);
	}
}

/* lists = { ["0x..."] = "mixer" }: an address list of the test's own; the surest of all categories. */
static void use_lists(struct job *job, lua_State *L, int test)
{
	struct cw_list_entry entry = { .label = "test", .source = "test", .confidence = 1 };
	struct cw_err err;

	job->lists = cw_lists_new();
	push_raw(L, test, "lists");
	if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TTABLE)
		fail(job, L, "\"lists\" must be a table like { [A] = \"mixer\" }");
	if (lua_istable(L, -1)) {
		lua_pushnil(L);
		while (lua_next(L, -2) != 0) {
			size_t len = 0;
			const char *text = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : "";

			if (cw_address_parse(&entry.address, text, len) != CW_ADDRESS_OK || lua_type(L, -1) != LUA_TSTRING)
				fail(job, L, "\"lists\" must be a table like { [A] = \"mixer\" }");
			entry.category = lua_tostring(L, -1);
			if (cw_lists_add(job->lists, "test", &entry, &err) != 0)
				fail(job, L, "%s", err.msg);
			lua_pop(L, 1);
		}
	}
	lua_pop(L, 1);
	cw_lists_seal(job->lists);
	job->lists_before = cw_lists_use(job->lists);
	job->uses_lists = true;
}

static void check_number(struct job *job, lua_State *L, int expect, const char *key, double got)
{
	push_raw(L, expect, key);
	if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TNUMBER)
		fail(job, L, "expect: \"%s\" must be a number, not a %s", key, luaL_typename(L, -1));
	if (!lua_isnil(L, -1) && lua_tonumber(L, -1) != got)
		fail(job, L, "expected %s = %s, got %.15g", key, lua_tostring(L, -1), got);
	lua_pop(L, 1);
}

static void check_text(struct job *job, lua_State *L, int expect, const char *key, const char *got)
{
	push_raw(L, expect, key);
	if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TSTRING)
		fail(job, L, "expect: \"%s\" must be text, not a %s", key, luaL_typename(L, -1));
	if (!lua_isnil(L, -1) && strcmp(lua_tostring(L, -1), got) != 0)
		fail(job, L, "expected %s = \"%s\", got \"%s\"", key, lua_tostring(L, -1), got);
	lua_pop(L, 1);
}

static void check_bounds(struct job *job, lua_State *L, int expect)
{
	double low = 0, high = 1;

	read_number(job, L, expect, "min_score", 0, &low);
	read_number(job, L, expect, "max_score", 0, &high);
	if (job->alert.score < low || job->alert.score > high)
		fail(job, L, "expected a score from %.6g to %.6g, got %.6g", low, high, job->alert.score);
}

/* `expect` is on top. */
static void check_expectation(struct job *job, lua_State *L)
{
	int expect = lua_gettop(L);
	const char *word = lua_type(L, expect) == LUA_TSTRING ? lua_tostring(L, expect) : "";

	if (strcmp(word, "quiet") == 0 && job->alerts > 0)
		fail(job, L, "expected quiet, got %d alerts, the first at transaction %llu with score %.6g", job->alerts,
		     (unsigned long long)job->first, job->alert.score);
	if (strcmp(word, "alert") == 0 && job->alerts == 0)
		fail(job, L, "expected an alert, %llu transactions gave none", (unsigned long long)job->made);
	if (word[0] != '\0')
		return;
	check_number(job, L, expect, "alerts", job->alerts);
	push_raw(L, expect, "alerts");
	if (lua_isnil(L, -1) && job->alerts == 0)
		fail(job, L, "expected an alert, %llu transactions gave none", (unsigned long long)job->made);
	if (job->alerts == 0)
		return;
	check_number(job, L, expect, "living", job->living);
	check_number(job, L, expect, "first", (double)job->first);
	check_text(job, L, expect, "severity", cw_severity_name(job->alert.severity));
	check_text(job, L, expect, "dedup", job->alert.dedup);
	check_bounds(job, L, expect);
}

static int run_protected(lua_State *L)
{
	struct job *job = lua_touserdata(L, 1);
	struct cw_err err;
	int test, n;

	lua_rawgeti(L, LUA_REGISTRYINDEX, job->rule->tests);
	lua_rawgeti(L, -1, job->number);
	test = lua_gettop(L);
	push_raw(L, test, "name");
	snprintf(job->name, sizeof(job->name), "%s", lua_tostring(L, -1));
	cw_buf_printf(job->trace, "test %s\n", job->name);
	push_given(job->rules, L, test);
	lua_rawgeti(L, -1, 1);
	note_line(job, L, lua_gettop(L));
	use_lists(job, L, test);
	push_raw(L, test, "params");
	if (!lua_isnil(L, -1) && lua_type(L, -1) != LUA_TTABLE)
		fail(job, L, "\"params\" must be a table");
	job->bind = cw_rule_bind_new(job->rules, job->rule, &err);
	if (job->bind == NULL)
		fail(job, L, "%s", err.msg);
	cw_state_reset(job->scratch);
	if (cw_rule_bind_open(job->rules, job->bind, job->scratch, &err) != 0)
		fail(job, L, "%s", err.msg);
	n = push_given(job->rules, L, test);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, -1, i);
		run_spec(job, L, lua_gettop(L));
		lua_pop(L, 1);
	}
	push_raw(L, test, "expect");
	check_expectation(job, L);
	return 0;
}

static void release_job(struct job *job)
{
	cw_rule_bind_free(job->rules, &job->bind);
	if (job->uses_lists)
		cw_lists_use(job->lists_before);
	cw_lists_free(&job->lists);
}

int cw_ruletest_one(struct cw_rules *rules, struct cw_rule *rule, int number, struct cw_state *scratch,
                    struct cw_buf *trace, struct cw_ruletest_outcome *outcome, struct cw_err *err)
{
	struct job job = { .rules = rules, .rule = rule, .scratch = scratch, .trace = trace, .number = number,
		               .line = rule->line, .now = START_S, .explain_at = outcome->explain_at,
		               .explain = outcome->explain };
	int failed = cw_rules_protected(rules, run_protected, &job, err);

	snprintf(outcome->name, sizeof(outcome->name), "%s", job.name);
	outcome->line = job.line;
	outcome->transactions = job.made;
	outcome->fires = job.alerts;
	outcome->first = job.first;
	release_job(&job);
	return failed != 0 ? -1 : 0;
}

int cw_ruletest_run(struct cw_rules *rules, struct cw_rule *rule, struct cw_state *scratch, struct cw_buf *trace,
                    struct cw_err *err)
{
	cw_free(rule->fires);
	rule->fires = NULL;
	rule->nfires = 0;
	for (int i = 1; i <= rule->ntests; i++) {
		struct cw_ruletest_outcome outcome = { .explain_at = 0 };

		if (cw_ruletest_one(rules, rule, i, scratch, trace, &outcome, err) != 0)
			return -1;
	}
	return 0;
}
