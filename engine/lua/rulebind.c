/* rulebind.c - what rules see: the transaction, constructors of states, and a rule bound to parameters and states. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/suggest.h"
#include "lua/embed.h"
#include "lua/rule_internal.h"
#include "lua/rulejson.h"
#include "lua/sandbox.h"
#include "pipeline/living.h"
#include "lua/trace.h"

CW_EMBED(cw_rules_lua, "engine/lua/rules.lua");

/* Text fields of the view, made when a rule asks for them. */
enum text {
	TEXT_HASH, TEXT_FROM, TEXT_TO, TEXT_VALUE_WEI, TEXT_SELECTOR, TEXT_INPUT,
	TEXT_ARG1, TEXT_ARG2, TEXT_ARG3, TEXT_WORD1, TEXT_WORD2, TEXT_WORD3,
	TEXT_CREATED, TEXT_COUNT
};
static const char *const text_names[TEXT_COUNT] = { "hash", "from", "to", "value_wei", "selector", "input",
	                                                "arg1", "arg2", "arg3", "word1", "word2", "word3",
	                                                "created" };
#define TEXT_MAX 256                  /* 0x and the 100 bytes of the input's head */

static char declaration_key;          /* registry: metatable of what a constructor returns */

/* What `window.distinct { ... }` returns: a userdata that only state() can do something with. */
struct declaration {
	const struct cw_primitive *primitive;
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	size_t texts_len;
	char texts[];
};

/* --- the transaction --- */

static int format_hex(char *out, const uint8_t *bytes, size_t len)
{
	out[0] = '0';
	out[1] = 'x';
	cw_hex_encode(out + 2, bytes, len);
	return 2 + 2 * (int)len;
}

/* Length of the text, -1 if the transaction lacks it. Through FFI with the JIT on. */
static int format_text(void *arg, int which, char *out)
{
	const struct cw_tx *tx = &((struct cw_rules *)arg)->tx;

	switch ((enum text)which) {
	case TEXT_HASH: return format_hex(out, tx->hash.b, sizeof(tx->hash.b));
	case TEXT_FROM: return format_hex(out, tx->from.b, sizeof(tx->from.b));
	case TEXT_TO: return tx->has & CW_TX_HAS_TO ? format_hex(out, tx->to.b, sizeof(tx->to.b)) : -1;
	case TEXT_VALUE_WEI: return (int)cw_u256_format_decimal(&tx->value, out);
	case TEXT_SELECTOR: return tx->input_head_size >= 4 ? format_hex(out, tx->input_head, 4) : -1;
	case TEXT_INPUT:
		return tx->has & CW_TX_HAS_INPUT ? format_hex(out, tx->input_head, tx->input_head_size) : -1;
	case TEXT_ARG1:
	case TEXT_ARG2:
	case TEXT_ARG3: {
		const struct cw_address *a = cw_field_address(tx, (enum cw_field)(CW_FIELD_ARG1 + (which - TEXT_ARG1)));

		return a != NULL ? format_hex(out, a->b, sizeof(a->b)) : -1;
	}
	case TEXT_WORD1:
	case TEXT_WORD2:
	case TEXT_WORD3: {
		const uint8_t *word = cw_field_word(tx, (enum cw_field)(CW_FIELD_ARG1 + (which - TEXT_WORD1)));

		return word != NULL ? format_hex(out, word, 32) : -1;
	}
	case TEXT_CREATED:
		return tx->has & CW_TX_HAS_CREATED ? format_hex(out, tx->created.b, sizeof(tx->created.b)) : -1;
	case TEXT_COUNT: break;
	}
	return -1;
}

static int l_text(lua_State *L)
{
	char out[TEXT_MAX];
	int len = format_text(cw_rules_of(L), (int)luaL_checkinteger(L, 1), out);

	if (len < 0)
		lua_pushnil(L);
	else
		lua_pushlstring(L, out, (size_t)len);
	return 1;
}

static int l_numbers(lua_State *L)
{
	const struct cw_rules *rules = cw_rules_of(L);

	for (int i = 0; i < CW_RULE_NUMBERS; i++)
		lua_pushnumber(L, rules->numbers[i]);
	return CW_RULE_NUMBERS;
}

void cw_rules_numbers(const struct cw_tx *tx, double n[CW_RULE_NUMBERS])
{
	double price = cw_u256_to_double(&tx->gas_price);

	n[0] = cw_u256_to_double(&tx->value);
	n[1] = n[0] / 1e18;
	n[2] = (double)tx->gas;
	n[3] = price;
	n[4] = price / 1e9;
	n[5] = (double)tx->nonce;
	n[6] = (double)tx->block_number;
	n[7] = (double)tx->timestamp;
	n[8] = (double)tx->input_size;
	n[9] = (double)tx->chain_id;
	n[10] = (tx->has & CW_TX_HAS_TO) == 0;
	n[11] = tx->has & CW_TX_HAS_GAS_USED ? (double)tx->gas_used : NAN;
	n[12] = n[11] * price;
	n[13] = tx->has & CW_TX_HAS_STATUS ? (double)tx->status : NAN;
	n[14] = tx->has & CW_TX_HAS_INDEX ? (double)tx->index : NAN;
	n[15] = (double)tx->nlogs;
	n[16] = (double)tx->logs_total;
}

void cw_rules_set_tx(struct cw_rules *rules, const struct cw_tx *tx)
{
	lua_State *L = cw_vm_state(rules->vm);

	rules->tx = *tx;
	rules->plan = cw_rules_plan(rules, &rules->tx);
	memcpy(rules->numbers, rules->plan->numbers, sizeof(rules->numbers));
	rules->view = rules->plan->view;
	rules->view.numbers = rules->numbers;
	lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.fill);
	if (lua_pcall(L, 0, 0, 0) != 0)
		lua_pop(L, 1);
}

/* --- constructors of states --- */

/* Reads the options table at 1 as raw options; texts stay alive in it. */
static size_t read_raw(lua_State *L, const struct cw_primitive *p, struct cw_raw_opt raw[CW_PRIMITIVE_OPTS_MAX])
{
	size_t n = 0;

	lua_pushnil(L);
	while (lua_next(L, 1) != 0) {
		struct cw_raw_opt *r = &raw[n++];

		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "%s.%s: options have names, like span = \"10m\"", p->table, p->name);
		if (n > CW_PRIMITIVE_OPTS_MAX)
			luaL_error(L, "%s.%s: too many options", p->table, p->name);
		*r = (struct cw_raw_opt){ .name = lua_tostring(L, -2) };
		switch (lua_type(L, -1)) {
		case LUA_TNUMBER:
			r->type = CW_RAW_NUMBER;
			r->number = lua_tonumber(L, -1);
			break;
		case LUA_TBOOLEAN:
			r->type = CW_RAW_BOOL;
			r->number = lua_toboolean(L, -1);
			break;
		case LUA_TSTRING:
			r->type = CW_RAW_TEXT;
			r->text = lua_tostring(L, -1);
			break;
		default:
			luaL_error(L, "%s.%s: option \"%s\" cannot be a %s", p->table, p->name, r->name, luaL_typename(L, -1));
		}
		lua_pop(L, 1);
	}
	return n;
}

static size_t texts_size(const struct cw_primitive *p, const union cw_opt_value *vals)
{
	size_t size = 0;

	for (int i = 0; p->opts[i].name != NULL; i++)
		if (p->opts[i].type == CW_OPT_TEXT)
			size += strlen(vals[i].text) + 1;
	return size;
}

/* Copies the texts behind one another to `texts` and points the values there. */
static void move_texts(const struct cw_primitive *p, union cw_opt_value *vals, char *texts)
{
	for (int i = 0; p->opts[i].name != NULL; i++)
		if (p->opts[i].type == CW_OPT_TEXT) {
			size_t len = strlen(vals[i].text) + 1;

			memcpy(texts, vals[i].text, len);
			vals[i].text = texts;
			texts += len;
		}
}

/* window.distinct { key = "from", of = "to", span = "10m" }; upvalue 1 is the primitive. */
static int l_declare(lua_State *L)
{
	const struct cw_primitive *p = lua_touserdata(L, lua_upvalueindex(1));
	struct cw_raw_opt raw[CW_PRIMITIVE_OPTS_MAX + 1];
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct declaration *d;
	struct cw_err err;
	size_t n, size;

	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	n = read_raw(L, p, raw);
	if (cw_primitive_read_options(p, raw, n, vals, &err) != 0) {
		luaL_where(L, 1);
		lua_pushstring(L, err.msg);
		lua_concat(L, 2);
		return lua_error(L);
	}
	size = texts_size(p, vals);
	d = lua_newuserdata(L, sizeof(*d) + size);
	d->primitive = p;
	d->texts_len = size;
	memcpy(d->vals, vals, sizeof(vals));
	move_texts(p, d->vals, d->texts);
	lua_pushlightuserdata(L, &declaration_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_setmetatable(L, -2);
	return 1;
}

static const struct declaration *to_declaration(lua_State *L, int index)
{
	bool is;

	if (lua_type(L, index) != LUA_TUSERDATA || lua_getmetatable(L, index) == 0)
		return NULL;
	lua_pushlightuserdata(L, &declaration_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	is = lua_rawequal(L, -1, -2) != 0;
	lua_pop(L, 2);
	return is ? lua_touserdata(L, index) : NULL;
}

/* Turns the table on top into the view that strict(table, what) of rules.lua makes of it. */
__attribute__((format(printf, 3, 4)))
static void make_strict(struct cw_rules *rules, lua_State *L, const char *format, ...)
{
	char what[128];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.strict);
	lua_insert(L, -2);
	lua_pushstring(L, what);
	lua_call(L, 2, 1);
}

/* One global table for each table of primitives: window, stat, key, list, ... */
static void expose_primitives(struct cw_rules *rules, lua_State *L)
{
	lua_pushlightuserdata(L, &declaration_key);
	lua_newtable(L);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_rawset(L, LUA_REGISTRYINDEX);
	for (int i = 0; cw_primitives[i] != NULL; i++) {
		const char *table = cw_primitives[i]->table;
		bool seen = false;

		for (int j = 0; j < i; j++)
			seen = seen || strcmp(cw_primitives[j]->table, table) == 0;
		if (seen)
			continue;
		lua_newtable(L);
		for (int j = i; cw_primitives[j] != NULL; j++)
			if (strcmp(cw_primitives[j]->table, table) == 0) {
				lua_pushlightuserdata(L, (void *)(uintptr_t)cw_primitives[j]);
				lua_pushcclosure(L, l_declare, 1);
				lua_setfield(L, -2, cw_primitives[j]->name);
			}
		make_strict(rules, L, "table \"%s\"", table);
		cw_sandbox_expose(L, table);
	}
}

/* --- methods of states --- */

/* With the JIT off: upvalues are method, state and rules. */
static int l_method(lua_State *L)
{
	const struct cw_method *m = lua_touserdata(L, lua_upvalueindex(1));
	const struct cw_rule_state *state = lua_touserdata(L, lua_upvalueindex(2));
	struct cw_rules *rules = lua_touserdata(L, lua_upvalueindex(3));

	double a = lua_tonumber(L, 1), b = lua_tonumber(L, 2), result;
	int64_t before = rules->on_call != NULL ? cw_clock_mono_ns() : 0;

	result = m->fn(state->handle, &rules->tx, a, b);
	if (rules->on_call != NULL)
		rules->on_call(rules->call_arg, state->name, state->primitive->table, state->primitive->name, m->name,
		               (uint64_t)(cw_clock_mono_ns() - before));
	if (rules->trace != NULL)
		cw_trace_call(rules->trace, L, state->name, state->primitive, state->vals, state->handle, m, &rules->tx, a, b,
		              result);
	lua_pushnumber(L, result);
	return 1;
}

static int l_method_text(lua_State *L)
{
	const struct cw_rule_state *state = lua_touserdata(L, lua_upvalueindex(1));

	lua_pushstring(L, state->primitive->text(state->handle, (int)lua_tonumber(L, 1)));
	return 1;
}

static void set_code(lua_State *L, const char *name, void *address)
{
	lua_pushlightuserdata(L, address);
	lua_setfield(L, -2, name);
}

static void set_argument(lua_State *L, int i, enum cw_arg arg)
{
	static const char *const names[] = { [CW_ARG_NONE] = NULL, [CW_ARG_NUMBER] = "number", [CW_ARG_FIELD] = "field" };

	lua_pushstring(L, names[arg]);
	lua_rawseti(L, -2, i);
}

/* Pushes the spec that method() of rules.lua takes. */
static void push_spec(struct cw_rules *rules, lua_State *L, struct cw_rule_state *state, const struct cw_method *m)
{
	static const char *const results[] = { [CW_RESULT_NUMBER] = "number", [CW_RESULT_BOOL] = "bool",
		                                   [CW_RESULT_TEXT] = "text" };
	const struct cw_primitive *p = state->primitive;
	cw_method_fn *fn = m->fn;
	const char *(*text)(void *, int) = p->text;

	lua_newtable(L);
	lua_pushstring(L, m->name);
	lua_setfield(L, -2, "name");
	lua_pushfstring(L, "%s.%s", p->table, p->name);
	lua_setfield(L, -2, "primitive");
	lua_pushboolean(L, m->takes_tx);
	lua_setfield(L, -2, "takes_tx");
	lua_pushstring(L, results[m->result]);
	lua_setfield(L, -2, "result");
	set_argument(L, 1, m->a);
	set_argument(L, 2, m->b);
	if (rules->conf.jit) {
		set_code(L, "fn", *(void **)(void *)&fn);
		set_code(L, "box", state);
		if (text != NULL)
			set_code(L, "text", *(void **)(void *)&text);
		return;
	}
	lua_pushlightuserdata(L, (void *)(uintptr_t)m);
	lua_pushlightuserdata(L, state);
	lua_pushlightuserdata(L, rules);
	lua_pushcclosure(L, l_method, 3);
	lua_setfield(L, -2, "fn");
	lua_pushlightuserdata(L, state);
	lua_pushcclosure(L, l_method_text, 1);
	lua_setfield(L, -2, "text");
}

/* Pushes the view through which a rule uses the state. */
static void push_handle(struct cw_rules *rules, lua_State *L, struct cw_rule_state *state)
{
	const struct cw_primitive *p = state->primitive;

	lua_newtable(L);
	for (const struct cw_method *m = p->methods; m->name != NULL; m++) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.method);
		push_spec(rules, L, state, m);
		lua_call(L, 1, 1);
		lua_setfield(L, -2, m->name);
	}
	make_strict(rules, L, "%s.%s", p->table, p->name);
}

/* --- parameters --- */

static void fail_param(lua_State *L, const struct cw_rule *rule, const char *name, const char *what)
{
	luaL_error(L, "%s:%d: %s: parameter \"%s\" %s", rule->file, rule->line, rule->id, name, what);
}

/* Copies the value on top, tables deeply (numbers, text, booleans only); replaces it. */
static void copy_value(lua_State *L, int depth)
{
	int from = lua_gettop(L);

	if (lua_type(L, -1) != LUA_TTABLE)
		return;
	if (depth > CW_RULEJSON_DEPTH)
		luaL_error(L, "parameters are nested too deeply");
	luaL_checkstack(L, 8, "parameters");
	lua_newtable(L);
	lua_pushnil(L);
	while (lua_next(L, from) != 0) {
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		copy_value(L, depth + 1);
		lua_rawset(L, from + 1);
	}
	lua_remove(L, from);
}

/* The elements of the list on top must be of the type of the default's first. */
static void check_list(lua_State *L, const struct cw_rule *rule, const char *name, int def)
{
	char what[120];
	int type;

	lua_rawgeti(L, def, 1);
	type = lua_type(L, -1);
	lua_pop(L, 1);
	for (int i = 1, n = (int)lua_objlen(L, -1); i <= n && type != LUA_TNIL; i++) {
		lua_rawgeti(L, -1, i);
		if (lua_type(L, -1) != type) {
			snprintf(what, sizeof(what), "must hold %ss like its default, element %d is a %s", lua_typename(L, type), i,
			         luaL_typename(L, -1));
			fail_param(L, rule, name, what);
		}
		lua_pop(L, 1);
	}
}

/* The override on top against the default at `def`. */
static void check_override(lua_State *L, const struct cw_rule *rule, const char *name, int def)
{
	char what[120];

	if (lua_type(L, -1) != lua_type(L, def)) {
		snprintf(what, sizeof(what), "must be a %s like its default, not a %s", luaL_typename(L, def),
		         luaL_typename(L, -1));
		fail_param(L, rule, name, what);
	}
	if (lua_type(L, -1) == LUA_TNUMBER && !isfinite(lua_tonumber(L, -1)))
		fail_param(L, rule, name, "is not a finite number");
	if (lua_type(L, -1) == LUA_TTABLE)
		check_list(L, rule, name, def);
}

/* Pushes the parameters in force: the defaults, with the overrides at `overrides` (a table or nil). */
static void push_params(lua_State *L, const struct cw_rule *rule, int overrides)
{
	int params;

	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->params);
	copy_value(L, 0);
	params = lua_gettop(L);
	if (lua_type(L, overrides) != LUA_TTABLE)
		return;
	lua_pushnil(L);
	while (lua_next(L, overrides) != 0) {
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?";
		char what[120];

		lua_pushvalue(L, -2);
		lua_rawget(L, params);
		if (lua_isnil(L, -1)) {
			snprintf(what, sizeof(what), "does not exist%s", cw_rule_suggest_key(L, name, params));
			fail_param(L, rule, name, what);
		}
		lua_insert(L, -2);
		check_override(L, rule, name, lua_gettop(L) - 1);
		copy_value(L, 0);
		lua_remove(L, -2);
		lua_pushvalue(L, -2);
		lua_insert(L, -2);
		lua_rawset(L, params);
	}
}

/* --- binding --- */

struct job {
	struct cw_rules *rules;
	struct cw_rule_bind *bind;
	int overrides;                    /* registry reference */
};

static _Noreturn void fail_state(lua_State *L, const struct cw_rule *rule, const char *what)
{
	luaL_error(L, "%s:%d: %s: state %s", rule->file, rule->line, rule->id, what);
	abort();                          /* luaL_error does not return */
}

static bool is_state_name(const char *name)
{
	size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_");

	return len > 0 && len <= CW_RULE_STATE_NAME && name[len] == '\0' && (name[0] < '0' || name[0] > '9');
}

/* The declaration on top, its name below. */
static void add_state(struct job *job, lua_State *L)
{
	struct cw_rule_bind *bind = job->bind;
	const struct cw_rule *rule = bind->rule;
	const struct declaration *d = to_declaration(L, -1);
	const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";
	struct cw_rule_state *state;
	char what[160];

	if (!is_state_name(name))
		fail_state(L, rule, "needs names of up to 30 characters a-z, 0-9, _");
	snprintf(what, sizeof(what), "\"%s\" must come from a constructor like window.count { ... }, not be a %s", name,
	         luaL_typename(L, -1));
	if (d == NULL)
		fail_state(L, rule, what);
	if (bind->nstates == CW_RULE_STATES_MAX)
		fail_state(L, rule, "has more than 32 entries");
	state = cw_zalloc(sizeof(*state));
	bind->states[bind->nstates++] = state;
	snprintf(state->name, sizeof(state->name), "%s", name);
	state->primitive = d->primitive;
	state->texts = cw_alloc(d->texts_len);
	memcpy(state->vals, d->vals, sizeof(state->vals));
	move_texts(d->primitive, state->vals, state->texts);
	cw_primitive_digest(d->primitive, state->vals, state->digest);
}

static int compare_states(const void *a, const void *b)
{
	const struct cw_rule_state *x = *(struct cw_rule_state *const *)a, *y = *(struct cw_rule_state *const *)b;

	return strcmp(x->name, y->name);
}

/* The conditions: the table, or what the function returns for the parameters at `p`. */
static void read_when(struct job *job, lua_State *L, int p)
{
	const struct cw_rule *rule = job->bind->rule;

	if (rule->when == LUA_NOREF)
		return;
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->when);
	if (lua_isfunction(L, -1)) {
		lua_pushvalue(L, p);
		lua_call(L, 1, 1);
	}
	cw_when_read(L, rule, &job->bind->when);
	job->bind->when_table = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Calls state(p), p at `p`, and collects what it declares, in the order of the names. */
static void read_states(struct job *job, lua_State *L, int p)
{
	const struct cw_rule *rule = job->bind->rule;

	if (rule->state == LUA_NOREF)
		return;
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->state);
	lua_pushvalue(L, p);
	lua_call(L, 1, 1);
	if (lua_type(L, -1) != LUA_TTABLE)
		fail_state(L, rule, "must return a table of states");
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		add_state(job, L);
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	/* NOLINTNEXTLINE(bugprone-sizeof-expression): an array of pointers */
	qsort(job->bind->states, (size_t)job->bind->nstates, sizeof(job->bind->states[0]), compare_states);
}

static int bind_protected(lua_State *L)
{
	struct job *job = lua_touserdata(L, 1);
	struct cw_rules *rules = job->rules;
	struct cw_rule_bind *bind = job->bind;

	lua_rawgeti(L, LUA_REGISTRYINDEX, job->overrides);
	push_params(L, bind->rule, 2);
	lua_pushvalue(L, -1);
	bind->params = luaL_ref(L, LUA_REGISTRYINDEX);
	copy_value(L, 0);
	make_strict(rules, L, "%s: params", bind->rule->id);
	lua_pushvalue(L, -1);
	bind->p = luaL_ref(L, LUA_REGISTRYINDEX);
	read_when(job, L, lua_gettop(L));
	read_states(job, L, lua_gettop(L));
	lua_newtable(L);
	for (int i = 0; i < bind->nstates; i++) {
		push_handle(rules, L, bind->states[i]);
		lua_setfield(L, -2, bind->states[i]->name);
	}
	make_strict(rules, L, "%s: state", bind->rule->id);
	bind->s = luaL_ref(L, LUA_REGISTRYINDEX);
	return 0;
}

struct cw_rule_bind *cw_rule_bind_new(struct cw_rules *rules, struct cw_rule *rule, struct cw_err *err)
{
	lua_State *L = cw_vm_state(rules->vm);
	struct cw_rule_bind *bind = cw_zalloc(sizeof(*bind));
	struct job job = { .rules = rules, .bind = bind, .overrides = luaL_ref(L, LUA_REGISTRYINDEX) };
	int failed;

	*bind = (struct cw_rule_bind){ .rule = rule, .s = LUA_NOREF, .p = LUA_NOREF, .params = LUA_NOREF,
		                         .when_table = LUA_NOREF };
	failed = cw_rules_protected(rules, bind_protected, &job, err);
	luaL_unref(L, LUA_REGISTRYINDEX, job.overrides);
	if (failed) {
		cw_rule_name_file(err, rule);
		cw_rule_bind_free(rules, &bind);
	}
	return bind;
}

void cw_rule_bind_free(struct cw_rules *rules, struct cw_rule_bind **bind)
{
	lua_State *L = cw_vm_state(rules->vm);
	struct cw_rule_bind *b = *bind;

	*bind = NULL;
	if (b == NULL)
		return;
	cw_rule_bind_close(b);
	for (int i = 0; i < b->nstates; i++) {
		cw_free(b->states[i]->texts);
		cw_free(b->states[i]);
	}
	luaL_unref(L, LUA_REGISTRYINDEX, b->s);
	luaL_unref(L, LUA_REGISTRYINDEX, b->p);
	luaL_unref(L, LUA_REGISTRYINDEX, b->params);
	luaL_unref(L, LUA_REGISTRYINDEX, b->when_table);
	cw_when_free(&b->when);
	cw_free(b);
}

/* Which of its alerts live is state like any other. */
static int open_living(const struct cw_rules *rules, struct cw_rule_bind *bind, struct cw_state *st, struct cw_err *err)
{
	const struct cw_rule *rule = bind->rule;
	struct cw_state_root *root;
	char name[sizeof(root->name)];
	uint8_t digest[16];

	cw_living_digest(rule->cooldown_s, digest);
	snprintf(name, sizeof(name), "%s/" CW_LIVING_ROOT, rule->space);
	root = cw_state_root_open(st, name, digest);
	if (root == NULL)
		return cw_err_set(err, CW_ERR_BUSY, "%s: no room for state \"%s\" in the arena's directory", rule->file, name);
	if (rules->conf.state_bytes > 0)
		cw_state_set_cap(st, root->owner, rules->conf.state_bytes);
	bind->living = cw_living_open(st, root, rule->cooldown_s, err);
	return bind->living != NULL ? 0 : cw_err_wrap(err, "%s:%d: %s", rule->file, rule->line, name);
}

int cw_rule_bind_open(struct cw_rules *rules, struct cw_rule_bind *bind, struct cw_state *st, struct cw_err *err)
{
	const struct cw_rule *rule = bind->rule;

	for (int i = 0; i < CW_RULE_PLANS; i++)
		rules->plans[i].view.tx = NULL;       /* other lists may be in use now */
	if (cw_when_open(bind->when, err) != 0) {
		cw_err_wrap(err, "%s:%d: %s: when", rule->file, rule->when_line, rule->id);
		goto undo;
	}
	for (int i = 0; i < bind->nstates; i++) {
		struct cw_rule_state *state = bind->states[i];
		struct cw_state_root *root;
		char name[sizeof(root->name)];

		snprintf(name, sizeof(name), "%s/%s", rule->space, state->name);
		root = cw_state_root_open(st, name, state->digest);
		if (root == NULL) {
			cw_err_set(err, CW_ERR_BUSY, "%s: no room for state \"%s\" in the arena's directory", rule->file, name);
			goto undo;
		}
		if (rules->conf.state_bytes > 0)
			cw_state_set_cap(st, root->owner, rules->conf.state_bytes);
		state->handle = state->primitive->open(st, root, state->vals, err);
		if (state->handle == NULL) {
			cw_err_wrap(err, "%s:%d: %s", rule->file, rule->line, name);
			goto undo;
		}
	}
	if (open_living(rules, bind, st, err) == 0)
		return 0;
undo:
	cw_rule_bind_close(bind);
	return -1;
}

void cw_rule_bind_close(struct cw_rule_bind *bind)
{
	cw_when_close(bind->when);
	cw_living_close(&bind->living);
	for (int i = 0; i < bind->nstates; i++) {
		struct cw_rule_state *state = bind->states[i];

		if (state->handle != NULL)
			state->primitive->close(state->handle);
		state->handle = NULL;
	}
}

void cw_rule_bind_push(struct cw_rules *rules, const struct cw_rule_bind *bind)
{
	lua_State *L = cw_vm_state(rules->vm);

	lua_rawgeti(L, LUA_REGISTRYINDEX, bind->rule->evaluate);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.tx);
	lua_rawgeti(L, LUA_REGISTRYINDEX, bind->s);
	lua_rawgeti(L, LUA_REGISTRYINDEX, bind->p);
}

void cw_rule_bind_describe(struct cw_rules *rules, const struct cw_rule_bind *bind, struct cw_buf *out)
{
	lua_State *L = cw_vm_state(rules->vm);
	char hex[33];

	cw_buf_puts(out, "\"params\":");
	lua_rawgeti(L, LUA_REGISTRYINDEX, bind->params);
	cw_rulejson_write(L, lua_gettop(L), "params", out);
	lua_pop(L, 1);
	if (bind->when_table != LUA_NOREF) {
		cw_buf_puts(out, ",\"when\":");
		lua_rawgeti(L, LUA_REGISTRYINDEX, bind->when_table);
		cw_rulejson_write(L, lua_gettop(L), "when", out);
		lua_pop(L, 1);
	}
	cw_buf_puts(out, ",\"states\":[");
	for (int i = 0; i < bind->nstates; i++) {
		const struct cw_rule_state *state = bind->states[i];

		cw_hex_encode(hex, state->digest, sizeof(state->digest));
		cw_buf_printf(out, "%s{\"name\":\"%s\",\"primitive\":\"%s.%s\",\"digest\":\"%s\"}", i > 0 ? "," : "",
		              state->name, state->primitive->table, state->primitive->name, hex);
	}
	cw_buf_putc(out, ']');
}

/* --- opening --- */

/* seconds("10m") -> 600; numbers are taken as seconds. */
static int l_seconds(lua_State *L)
{
	double seconds;

	if (lua_type(L, 1) == LUA_TNUMBER)
		seconds = lua_tonumber(L, 1);
	else if (lua_type(L, 1) != LUA_TSTRING || !cw_span_parse(lua_tostring(L, 1), &seconds))
		return luaL_error(L, "seconds: needs a duration like \"90s\", \"10m\", \"36h\" or \"7d\"");
	lua_pushnumber(L, seconds);
	return 1;
}

/* suggest(word, table) of rules.lua. */
static int l_suggest(lua_State *L)
{
	lua_pushstring(L, cw_rule_suggest_key(L, luaL_checkstring(L, 1), 2));
	return 1;
}

/* jit.util, which luaopen_jit leaves in the registry's _PRELOAD. */
static void push_util(lua_State *L)
{
	lua_getfield(L, LUA_REGISTRYINDEX, "_PRELOAD");
	lua_getfield(L, -1, "jit.util");
	lua_remove(L, -2);
	lua_pushliteral(L, "jit.util");
	lua_call(L, 1, 1);
}

static void set_names(lua_State *L, const char *field, const char *const *names, int from, int n)
{
	lua_newtable(L);
	for (int i = from; i < n; i++) {
		lua_pushinteger(L, i);
		lua_setfield(L, -2, names[i]);
	}
	lua_setfield(L, -2, field);
}

static void push_host(struct cw_rules *rules, lua_State *L)
{
	const char *fields[CW_FIELD_COUNT];
	int (*format)(void *, int, char *) = format_text;

	for (int i = 0; i < CW_FIELD_COUNT; i++)
		fields[i] = cw_field_name((enum cw_field)i);
	lua_newtable(L);
	lua_pushcfunction(L, l_suggest);
	lua_setfield(L, -2, "suggest");
	push_util(L);
	lua_setfield(L, -2, "util");
	cw_rulelogs_host(rules, L);
	set_names(L, "texts", text_names, 0, TEXT_COUNT);
	set_names(L, "fields", fields, CW_FIELD_NONE + 1, CW_FIELD_COUNT);
	lua_pushboolean(L, rules->conf.jit);
	lua_setfield(L, -2, "jit");
	if (!rules->conf.jit) {
		lua_pushcfunction(L, l_text);
		lua_setfield(L, -2, "text");
		lua_pushcfunction(L, l_numbers);
		lua_setfield(L, -2, "numbers");
		return;
	}
	cw_vm_push_hidden(L, "ffi");
	lua_setfield(L, -2, "ffi");
	lua_pushinteger(L, TEXT_MAX);
	lua_setfield(L, -2, "text_max");
	set_code(L, "text", *(void **)(void *)&format);
	set_code(L, "self", rules);
	set_code(L, "tx", &rules->tx);
	set_code(L, "numbers", rules->numbers);
}

static int take_ref(lua_State *L, const char *field)
{
	lua_getfield(L, -1, field);
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

void cw_rulebind_open(struct cw_rules *rules, lua_State *L)
{
	if (luaL_loadbufferx(L, cw_rules_lua, cw_rules_lua_len, "=rules", "t") != 0)
		lua_error(L);
	push_host(rules, L);
	lua_call(L, 1, 1);
	rules->refs.tx = take_ref(L, "tx");
	rules->refs.fill = take_ref(L, "fill");
	rules->refs.method = take_ref(L, "method");
	rules->refs.strict = take_ref(L, "strict");
	rules->refs.assigned = take_ref(L, "assigned");
	rules->refs.fields = take_ref(L, "fields");
	lua_pop(L, 1);
	lua_pushcfunction(L, l_seconds);
	cw_sandbox_expose(L, "seconds");
	cw_rulelogs_open(L);
	expose_primitives(rules, L);
}

void cw_lua_push_json(lua_State *L, const struct cw_json *value)
{
	double number = 0;
	int i = 0;

	luaL_checkstack(L, 4, "JSON value");
	switch (value->type) {
	case CW_JSON_NULL: lua_pushnil(L); break;
	case CW_JSON_FALSE: lua_pushboolean(L, 0); break;
	case CW_JSON_TRUE: lua_pushboolean(L, 1); break;
	case CW_JSON_NUMBER:
		cw_json_to_double(value, &number);
		lua_pushnumber(L, number);
		break;
	case CW_JSON_STRING: lua_pushlstring(L, value->text, value->len); break;
	case CW_JSON_ARRAY:
		lua_newtable(L);
		for (const struct cw_json *e = value->first; e != NULL; e = e->next) {
			cw_lua_push_json(L, e);
			lua_rawseti(L, -2, ++i);
		}
		break;
	case CW_JSON_OBJECT:
		lua_newtable(L);
		for (const struct cw_json *m = value->first; m != NULL; m = m->next) {
			lua_pushlstring(L, m->key, m->key_len);
			cw_lua_push_json(L, m);
			lua_rawset(L, -3);
		}
		break;
	}
}
