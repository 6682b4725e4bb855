/* ruledecl.c - `rule { ... }` read and checked, and `alert { ... }`. */
#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/mem.h"
#include "base/suggest.h"
#include "base/utf8.h"
#include "detect/primitive.h"
#include "lua/rule_internal.h"
#include "lua/rulejson.h"
#include "lua/sandbox.h"
#include "pipeline/living.h"

#define ID_MAX 64
#define TITLE_MAX 120
#define TEXT_MAX 4000
#define TEXTS_MAX 32

const char *const cw_rule_keys[] = { "id", "version", "severity", "status", "title", "description", "references",
	                                     "false_positives", "tags", "params", "cooldown", "role", "when", "expect", "state", "evaluate",
	                                     "investigate", "tests", NULL };
static const char *const statuses[] = { [CW_RULE_STABLE] = "stable", [CW_RULE_EXPERIMENTAL] = "experimental",
	                                    [CW_RULE_SHADOW] = "shadow", [CW_RULE_SHADOW + 1] = NULL };

const char *cw_rule_status_name(enum cw_rule_status status)
{
	return statuses[status];
}

/* --- helpers shared with the other files --- */

struct cw_rules *cw_rules_of(lua_State *L)
{
	return cw_vm_owner(cw_vm_of(L));
}

const char *cw_rule_suggest(const char *word, const char *const *names)
{
	static char out[128];
	const char *near = cw_suggest(word, names);

	out[0] = '\0';
	if (near != NULL)
		snprintf(out, sizeof(out), " (did you mean \"%s\"?)", near);
	return out;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, so that of two equally near names it is always the same. */
const char *cw_rule_suggest_key(lua_State *L, const char *word, int index)
{
	const char *names[129];
	int n = 0;

	lua_pushnil(L);
	while (n < 128 && lua_next(L, index) != 0) {
		if (lua_type(L, -2) == LUA_TSTRING)
			names[n++] = lua_tostring(L, -2);
		lua_pop(L, 1);
	}
	if (n == 128)
		lua_pop(L, 1);
	names[n] = NULL;
	qsort(names, (size_t)n, sizeof(*names), compare_names);
	return cw_rule_suggest(word, names);
}

static bool is_one_of(const char *word, const char *const *names)
{
	while (*names != NULL && strcmp(*names, word) != 0)
		names++;
	return *names != NULL;
}

bool cw_rule_find_bad_key(lua_State *L, int index, const char *const *names, struct cw_rule_bad_key *bad)
{
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : NULL;

		if (key == NULL || !is_one_of(key, names)) {
			snprintf(bad->key, sizeof(bad->key), "%s", key != NULL ? key : "");
			if (key != NULL)
				snprintf(bad->what, sizeof(bad->what), "unknown key \"%.60s\"%s", key, cw_rule_suggest(key, names));
			else
				snprintf(bad->what, sizeof(bad->what), "has a key that is a %s; keys have names here",
				         luaL_typename(L, -2));
			lua_pop(L, 2);
			return true;
		}
		lua_pop(L, 1);
	}
	return false;
}

/* Is there the word at `p`, and then one of `{ ( =`? */
static bool is_used(const char *text, const char *p, const char *end, const char *word)
{
	size_t len = strlen(word);

	if ((size_t)(end - p) <= len || memcmp(p, word, len) != 0)
		return false;
	if (p > text && (isalnum((unsigned char)p[-1]) || p[-1] == '_' || p[-1] == '.'))
		return false;
	for (p += len; p < end && (*p == ' ' || *p == '\t'); p++)
		;
	return p < end && (*p == '{' || *p == '(' || (*p == '=' && p[1] != '='));
}

bool cw_rule_read_cooldown(lua_State *L, int index, int64_t *out)
{
	double seconds = -1;

	if (lua_type(L, index) == LUA_TNUMBER)
		seconds = lua_tonumber(L, index);
	else if (lua_type(L, index) != LUA_TSTRING || !cw_span_parse(lua_tostring(L, index), &seconds))
		return false;
	if (!(seconds >= 0 && seconds <= CW_LIVING_MAX_S))
		return false;
	*out = (int64_t)seconds;
	return true;
}

int cw_rule_find_line(const char *text, size_t len, const char *word, int after, int nth)
{
	const char *end = text + len;
	int line = 1;

	for (const char *p = text; p < end; p++) {
		if (p + 1 < end && p[0] == '-' && p[1] == '-')
			while (p < end && *p != '\n')
				p++;
		if (p < end && *p == '\n')
			line++;
		else if (line >= after && is_used(text, p, end, word) && --nth == 0)
			return line;
	}
	return after > 0 ? after : 1;
}

/* --- reading the declaration, the table is at 1. `return rule { ... }` is a tail call, after which Lua knows no line:
 * the text is searched for it. --- */

__attribute__((format(printf, 3, 4), noreturn))
static void fail(lua_State *L, const char *key, const char *format, ...)
{
	const struct cw_rules *rules = cw_rules_of(L);
	const struct cw_rule *rule = rules->loading;
	char what[320];
	va_list args;

	va_start(args, format);
	vsnprintf(what, sizeof(what), format, args);
	va_end(args);
	lua_pushfstring(L, "%s:%d: rule: %s", rule->file,
	                key[0] != '\0' ? cw_rule_find_line(rules->text, rules->text_len, key, rule->line, 1) : rule->line, what);
	lua_error(L);
	abort();                          /* lua_error does not return */
}

/* The text `key`, NULL if it is not there and need not be. Stays on the stack. */
static const char *read_text(lua_State *L, const char *key, size_t max, bool required)
{
	const char *text;
	size_t len;

	lua_getfield(L, 1, key);
	if (lua_isnil(L, -1) && !required)
		return NULL;
	if (lua_isnil(L, -1))
		fail(L, "", "\"%s\" is missing", key);
	if (lua_type(L, -1) != LUA_TSTRING)
		fail(L, key, "\"%s\" must be text, not a %s", key, luaL_typename(L, -1));
	text = lua_tolstring(L, -1, &len);
	if (len == 0 || strspn(text, " \t\r\n") == len)
		fail(L, key, "\"%s\" is empty", key);
	if (len > max)
		fail(L, key, "\"%s\" has more than %d bytes", key, (int)max);
	if (strlen(text) != len || cw_utf8_check(text, len) != len)
		fail(L, key, "\"%s\" is not valid UTF-8 text", key);
	return text;
}

/* Words of a-z, 0-9 and _, each starting with a letter, two or more of them joined with dots. */
static bool is_id(const char *id)
{
	int words = 0;

	for (;;) {
		size_t len = strspn(id, "abcdefghijklmnopqrstuvwxyz0123456789_");

		if (len == 0 || *id < 'a')
			return false;
		words++;
		id += len;
		if (*id == '\0')
			return words >= 2;
		if (*id++ != '.')
			return false;
	}
}

/* Digits without a leading zero. */
static const char *skip_number(const char *p)
{
	size_t len = strspn(p, "0123456789");

	return len > 0 && len < 10 && (p[0] != '0' || len == 1) ? p + len : NULL;
}

/* MAJOR.MINOR.PATCH with an optional -tag or +build (semver.org, version 2.0.0). */
static bool is_version(const char *p)
{
	for (int i = 0; i < 3; i++) {
		p = skip_number(p);
		if (p == NULL)
			return false;
		if (i < 2 && *p++ != '.')
			return false;
	}
	if (*p == '\0')
		return true;
	if (*p != '-' && *p != '+')
		return false;
	p++;
	return *p != '\0' && p[strspn(p, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-")] == '\0';
}

static void read_identity(lua_State *L, struct cw_rule *rule)
{
	const char *text = read_text(L, "id", ID_MAX, true);

	if (!is_id(text))
		fail(L, "id", "\"id\" must be words of a-z, 0-9, _ joined with dots, like \"eth.fan_out\", not \"%s\"", text);
	rule->id = cw_strdup(text);
	text = read_text(L, "version", 32, true);
	if (!is_version(text))
		fail(L, "version", "\"version\" must be like \"1.0.0\", not \"%s\"", text);
	rule->version = cw_strdup(text);
	text = read_text(L, "severity", 32, true);
	if (!cw_severity_parse(text, &rule->severity))
		fail(L, "severity", "\"severity\" must be low, medium, high or critical, not \"%s\"", text);
	text = read_text(L, "status", 32, false);
	if (text != NULL && !is_one_of(text, statuses))
		fail(L, "status", "\"status\" must be stable, experimental or shadow, not \"%s\"", text);
	for (int i = CW_RULE_STABLE; i <= CW_RULE_SHADOW; i++)
		if (text != NULL && strcmp(statuses[i], text) == 0)
			rule->status = (enum cw_rule_status)i;
	rule->title = cw_strdup(read_text(L, "title", TITLE_MAX, true));
	rule->description = cw_strdup(read_text(L, "description", TEXT_MAX, true));
}

static void read_texts(lua_State *L, const char *key, struct cw_rule_texts *texts)
{
	int n;

	lua_getfield(L, 1, key);
	if (lua_isnil(L, -1))
		return;
	if (lua_type(L, -1) != LUA_TTABLE)
		fail(L, key, "\"%s\" must be a list of texts, not a %s", key, luaL_typename(L, -1));
	n = (int)lua_objlen(L, -1);
	if (n > TEXTS_MAX)
		fail(L, key, "\"%s\" has more than %d entries", key, TEXTS_MAX);
	texts->items = cw_zalloc((size_t)n * sizeof(char *));
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		if (lua_type(L, -2) != LUA_TNUMBER || lua_type(L, -1) != LUA_TSTRING || texts->n == n)
			fail(L, key, "\"%s\" must be a list of texts", key);
		if (lua_objlen(L, -1) > TEXT_MAX)
			fail(L, key, "\"%s\" has a text of more than %d bytes", key, TEXT_MAX);
		texts->items[texts->n++] = cw_strdup(lua_tostring(L, -1));
		lua_pop(L, 1);
	}
}

/* How long an alert lives on after its last fire. */
/* expect = { per_day = { min = 1, max = 50 } } */
static void read_expect(lua_State *L, struct cw_rule *rule)
{
	static const char *const keys[] = { "per_day", NULL }, *const day_keys[] = { "min", "max", NULL };
	struct cw_rule_bad_key bad;
	double range[2];

	lua_getfield(L, 1, "expect");
	if (lua_isnil(L, -1))
		return;
	if (!lua_istable(L, -1))
		fail(L, "expect", "\"expect\" must be a table, like { per_day = { min = 1, max = 50 } }");
	if (cw_rule_find_bad_key(L, lua_gettop(L), keys, &bad))
		fail(L, "expect", "\"expect\": %s", bad.what);
	lua_getfield(L, -1, "per_day");
	if (!lua_istable(L, -1))
		fail(L, "expect", "\"expect\" must have per_day = { min = 1, max = 50 }");
	if (cw_rule_find_bad_key(L, lua_gettop(L), day_keys, &bad))
		fail(L, "expect", "\"expect\": per_day: %s", bad.what);
	for (int i = 0; i < 2; i++) {
		lua_getfield(L, -1, day_keys[i]);
		range[i] = lua_tonumber(L, -1);
		if (lua_type(L, -1) != LUA_TNUMBER || !(range[i] >= 0 && range[i] <= 1e9))
			fail(L, "expect", "\"expect\": per_day needs min and max, numbers of alerts from 0 on");
		lua_pop(L, 1);
	}
	if (range[0] > range[1])
		fail(L, "expect", "\"expect\": per_day: min is above max");
	rule->expects = true;
	rule->expect_min = range[0];
	rule->expect_max = range[1];
	lua_pop(L, 2);
}

static void read_cooldown(lua_State *L, struct cw_rule *rule)
{
	lua_getfield(L, 1, "cooldown");
	if (lua_isnil(L, -1))
		return;
	if (!cw_rule_read_cooldown(L, lua_gettop(L), &rule->cooldown_s))
		fail(L, "cooldown", "\"cooldown\" must be a duration from \"0s\" to \"30d\", like \"1h\"");
}

/* What the address that its alerts are about has done, unless an alert says otherwise. */
static void read_role(lua_State *L, struct cw_rule *rule)
{
	const char *text = read_text(L, "role", 32, false);

	if (text == NULL)
		return;
	if (!cw_alert_role_parse(text, &rule->default_role))
		fail(L, "role", "\"role\" must be actor, victim, counterparty or unknown, not \"%s\"", text);
	rule->has_role = true;
}

/* A reference to the function `key`, LUA_NOREF if there is none. */
static int read_function(lua_State *L, const char *key, bool required)
{
	lua_getfield(L, 1, key);
	if (lua_isnil(L, -1) && required)
		fail(L, "", "\"%s\" is missing", key);
	if (lua_isnil(L, -1))
		return LUA_NOREF;
	if (lua_type(L, -1) != LUA_TFUNCTION)
		fail(L, key, "\"%s\" must be a function, not a %s", key, luaL_typename(L, -1));
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Defaults are numbers, text, booleans, or tables of them. */
static int read_params(lua_State *L)
{
	struct cw_buf scratch = CW_BUF_INIT;
	const char *fault;

	lua_getfield(L, 1, "params");
	if (lua_isnil(L, -1)) {
		lua_newtable(L);
		return luaL_ref(L, LUA_REGISTRYINDEX);
	}
	if (lua_type(L, -1) != LUA_TTABLE)
		fail(L, "params", "\"params\" must be a table of defaults, not a %s", luaL_typename(L, -1));
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		if (lua_type(L, -1) == LUA_TNUMBER && !isfinite(lua_tonumber(L, -1)))
			fail(L, lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "params", "parameter \"%s\" is not a finite number",
			     lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "?");
		if (lua_type(L, -1) == LUA_TTABLE)
			for (int i = 1, n = (int)lua_objlen(L, -1); i <= n; i++) {
				lua_rawgeti(L, -1, i);
				if (lua_type(L, -1) == LUA_TNUMBER && !isfinite(lua_tonumber(L, -1)))
					fail(L, "params", "a parameter holds a number that is not finite");
				lua_pop(L, 1);
			}
		lua_pop(L, 1);
	}
	fault = cw_rulejson_write(L, lua_gettop(L), "params", &scratch);
	cw_buf_release(&scratch);
	if (fault != NULL)
		fail(L, "params", "%s", fault);
	if (lua_objlen(L, -1) > 0)
		fail(L, "params", "\"params\" needs names, like { window = \"10m\" }");
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* A table, or a function of the parameters; read when the rule is bound. */
static int read_when(lua_State *L)
{
	lua_getfield(L, 1, "when");
	if (lua_isnil(L, -1))
		return LUA_NOREF;
	if (lua_type(L, -1) != LUA_TTABLE && lua_type(L, -1) != LUA_TFUNCTION)
		fail(L, "when", "\"when\" must be a table of conditions, or a function that returns one, not a %s",
		     luaL_typename(L, -1));
	return luaL_ref(L, LUA_REGISTRYINDEX);
}

/* A local of the file that evaluate, or a function of the file it uses, assigns: its value would not be there after a
 * restart, and a replay would not give the same verdicts. */
static void check_assignments(struct cw_rules *rules, lua_State *L, int function, int depth)
{
	lua_Debug info;

	lua_pushvalue(L, function);
	if (depth > 16 || lua_getinfo(L, ">S", &info) == 0 || info.source[0] != '@')
		return;
	luaL_checkstack(L, 8, "functions of a rule");
	lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.assigned);
	lua_pushvalue(L, function);
	lua_call(L, 1, 1);
	if (!lua_isnil(L, -1))
		fail(L, "evaluate", "the function at line %d assigns \"%s\", a variable of the file; keep values between "
		              "transactions in state", info.linedefined, lua_tostring(L, -1));
	lua_pop(L, 1);
	for (int i = 1; lua_getupvalue(L, function, i) != NULL; i++) {
		if (lua_type(L, -1) == LUA_TFUNCTION && lua_rawequal(L, -1, function) == 0)
			check_assignments(rules, L, lua_gettop(L), depth + 1);
		lua_pop(L, 1);
	}
}

/* rule { ... } -> the mark that the file returns. */
static int l_rule(lua_State *L)
{
	struct cw_rules *rules = cw_rules_of(L);
	struct cw_rule *rule = rules->loading;
	struct cw_rule_bad_key bad;
	int investigate;

	if (rule == NULL)
		return luaL_error(L, "rule: can only be called while its file is loaded");
	rule->line = cw_rule_find_line(rules->text, rules->text_len, "rule", 1, 1);
	rule->alert_line = cw_rule_find_line(rules->text, rules->text_len, "alert", rule->line, 1);
	if (rule->id != NULL)
		fail(L, "", "a file declares one rule");
	if (lua_type(L, 1) != LUA_TTABLE)
		fail(L, "", "needs a table, like rule { id = ... }");
	lua_settop(L, 1);
	if (cw_rule_find_bad_key(L, 1, cw_rule_keys, &bad))
		fail(L, bad.key, "%s", bad.what);
	read_identity(L, rule);
	read_texts(L, "references", &rule->references);
	read_texts(L, "false_positives", &rule->false_positives);
	read_texts(L, "tags", &rule->tags);
	rule->params = read_params(L);
	rule->when = read_when(L);
	rule->when_line = cw_rule_find_line(rules->text, rules->text_len, "when", rule->line, 1);
	read_cooldown(L, rule);
	read_role(L, rule);
	read_expect(L, rule);
	rule->state = read_function(L, "state", false);
	rule->evaluate = read_function(L, "evaluate", true);
	investigate = read_function(L, "investigate", false);
	rule->investigates = investigate != LUA_NOREF;
	luaL_unref(L, LUA_REGISTRYINDEX, investigate);
	lua_settop(L, 1);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rule->evaluate);
	check_assignments(rules, L, 2, 0);
	lua_settop(L, 1);
	lua_getfield(L, 1, "tests");
	if (lua_isnil(L, -1))
		fail(L, "", "\"tests\" is missing");
	rule->ntests = cw_ruletest_check(rules, L, 2);
	rule->tests = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.token);
	return 1;
}

/* alert { ... } -> the same table, marked. Its contents are read when evaluate has returned it. */
static int l_alert(lua_State *L)
{
	if (lua_type(L, 1) != LUA_TTABLE)
		return luaL_error(L, "alert: needs a table, like alert { score = 0.8, explain = { ... } }");
	lua_settop(L, 1);
	if (lua_getmetatable(L, 1) != 0)
		return luaL_error(L, "alert: needs a plain table without a metatable");
	lua_rawgeti(L, LUA_REGISTRYINDEX, cw_rules_of(L)->refs.alert);
	lua_setmetatable(L, 1);
	return 1;
}

void cw_ruledecl_open(struct cw_rules *rules, lua_State *L)
{
	lua_newtable(L);
	cw_sandbox_freeze(L);
	rules->refs.token = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_newtable(L);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	rules->refs.alert = luaL_ref(L, LUA_REGISTRYINDEX);
	lua_pushcfunction(L, l_rule);
	cw_sandbox_expose(L, "rule");
	lua_pushcfunction(L, l_alert);
	cw_sandbox_expose(L, "alert");
}
