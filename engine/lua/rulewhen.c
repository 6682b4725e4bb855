/* rulewhen.c - `when = { ... }` of a rule: conditions that are looked at in C before the rule is called at all.
 *
 * Calling a rule costs a tenth of a microsecond even when its first line returns; a condition here costs a hundredth.
 * All of them must hold. What a transaction lacks fulfils no condition. */
#include "lua/rulewhen.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "detect/lists.h"
#include "detect/primitive.h"
#include "lua/rule_internal.h"

#define SELECTORS_MAX 64
#define BOUNDS_MAX 8
#define ALTERNATIVES_MAX 8

enum kind { KIND_TRANSFER = 1, KIND_CALL = 2, KIND_CREATION = 4 };
static const char *const kinds[] = { "transfer", "call", "creation", NULL };

/* Whose category a condition is about. */
enum side { SIDE_FROM, SIDE_TO, SIDE_ANY, SIDES };
static const char *const sides[SIDES] = { "from_listed", "to_listed", "listed" };

/* Numbers in the order of cw_rules_numbers; NULL: not for a condition. */
static const char *const numbers[CW_RULE_NUMBERS] = { "value", "ether", "gas", "gas_price", "gas_price_gwei", "nonce",
	                                                  NULL, NULL, "input_size", "chain", NULL, "gas_used", "fee",
	                                                  "status", "index", "nlogs", "logs_total" };

struct bound {
	int number;
	double least, most;
};

/* What most transactions fail at comes first: it lies in one cache line. */
struct cw_when {
	struct cw_when *next;             /* or this: the alternatives of a list */
	uint8_t kinds;                    /* 0: all */
	uint8_t sides;                    /* bits of enum side: a condition about categories */
	uint8_t nselectors, nbounds;
	uint32_t logs;                    /* bits of enum cw_log_kind: one of them is there; 0: no condition */
	struct bound bounds[BOUNDS_MAX];
	uint32_t selectors[SELECTORS_MAX];
	char *categories[SIDES];          /* as they were given; NULL: no condition */
	void *lists[SIDES];               /* handles of list.contains */
};

static const struct cw_primitive *contains;
static cw_method_fn *has;

/* --- looking --- */

void cw_when_look(struct cw_when_view *view, const struct cw_tx *tx, const double *values)
{
	const struct cw_lists *lists = cw_lists_current();

	view->tx = tx;
	view->numbers = values;
	view->kind = (tx->has & CW_TX_HAS_TO) == 0 ? KIND_CREATION : tx->input_size == 0 ? KIND_TRANSFER : KIND_CALL;
	view->has_selector = tx->input_head_size >= 4;
	view->selector = (uint32_t)tx->input_head[0] << 24 | (uint32_t)tx->input_head[1] << 16 |
	                 (uint32_t)tx->input_head[2] << 8 | tx->input_head[3];
	view->logs = 0;
	for (uint32_t i = 0; tx->logs != NULL && i < tx->nlogs; i++)
		view->logs |= 1u << tx->logs[i].kind;
	view->listed[SIDE_FROM] = lists != NULL && cw_lists_know(lists, &tx->from);
	view->listed[SIDE_TO] = lists != NULL && (tx->has & CW_TX_HAS_TO) != 0 && cw_lists_know(lists, &tx->to);
}

static bool one_of(const uint32_t *selectors, int n, uint32_t selector)
{
	for (int i = 0; i < n; i++)
		if (selectors[i] == selector)
			return true;
	return false;
}

/* Most addresses are on no list at all, which the view knows. */
static bool on_list(const struct cw_when *when, const struct cw_when_view *view, enum side side)
{
	void *list = when->lists[side];

	if (list == NULL)
		return false;
	if (side != SIDE_TO && view->listed[SIDE_FROM] && has(list, view->tx, CW_FIELD_FROM, NAN) != 0)
		return true;
	return side != SIDE_FROM && view->listed[SIDE_TO] && has(list, view->tx, CW_FIELD_TO, NAN) != 0;
}

static bool all_hold(const struct cw_when *when, const struct cw_when_view *view)
{
	if (when->kinds != 0 && (when->kinds & view->kind) == 0)
		return false;
	if (when->logs != 0 && (when->logs & view->logs) == 0)
		return false;
	if (when->nselectors > 0 && (!view->has_selector || !one_of(when->selectors, when->nselectors, view->selector)))
		return false;
	for (int i = 0; i < when->nbounds; i++) {
		const struct bound *b = &when->bounds[i];
		double x = view->numbers[b->number];

		if (!(x >= b->least && x <= b->most))
			return false;
	}
	for (int side = 0; when->sides >> side != 0; side++)
		if ((when->sides >> side & 1) != 0 && !on_list(when, view, (enum side)side))
			return false;
	return true;
}

/* What holds for each alternative holds for all; a bound is kept only where there is one alternative. */
void cw_when_hint(const struct cw_when *when, struct cw_when_hint *hint)
{
	bool any_log = false, any_selector = false;

	*hint = (struct cw_when_hint){ .number = -1, .listed = true };
	if (when->next == NULL && when->nbounds > 0) {
		hint->number = (int16_t)when->bounds[0].number;
		hint->least = when->bounds[0].least;
		hint->most = when->bounds[0].most;
	}
	for (; when != NULL; when = when->next) {
		hint->kinds |= when->kinds != 0 ? when->kinds : KIND_TRANSFER | KIND_CALL | KIND_CREATION;
		hint->logs |= when->logs;
		any_log = any_log || when->logs == 0;
		any_selector = any_selector || when->nselectors == 0;
		hint->listed = hint->listed && when->sides != 0;
		for (int i = 0; i < when->nselectors; i++)
			hint->selectors |= 1ull << (when->selectors[i] % 64);
	}
	if (any_log)
		hint->logs = 0;
	if (any_selector)
		hint->selectors = UINT64_MAX;
}

bool cw_when_wants(const struct cw_when *when, const struct cw_when_view *view)
{
	if (when == NULL)
		return true;
	for (; when != NULL; when = when->next)
		if (all_hold(when, view))
			return true;
	return false;
}

/* --- telling --- */

static void put_number(struct cw_buf *out, double x)
{
	if (isfinite(x))
		cw_json_put_double(out, x);
	else
		cw_buf_puts(out, "null");
}

static void put_kinds(unsigned set, struct cw_buf *out)
{
	const char *comma = "";

	cw_buf_putc(out, '"');
	for (int i = 0; kinds[i] != NULL; i++)
		if (set & (1u << i)) {
			cw_buf_printf(out, "%s%s", comma, kinds[i]);
			comma = ", ";
		}
	cw_buf_putc(out, '"');
}

static void explain_all(const struct cw_when *when, const struct cw_when_view *view, struct cw_buf *out)
{
	const char *comma = "";

	cw_buf_putc(out, '[');
	if (when->kinds != 0) {
		cw_buf_puts(out, "{\"condition\":\"kind\",\"wanted\":");
		put_kinds(when->kinds, out);
		cw_buf_puts(out, ",\"is\":");
		put_kinds(view->kind, out);
		cw_buf_printf(out, ",\"holds\":%s}", (when->kinds & view->kind) != 0 ? "true" : "false");
		comma = ",";
	}
	if (when->logs != 0) {
		cw_buf_printf(out, "%s{\"condition\":\"logs\",\"holds\":%s}", comma, (when->logs & view->logs) != 0 ? "true" : "false");
		comma = ",";
	}
	if (when->nselectors > 0) {
		bool holds = view->has_selector && one_of(when->selectors, when->nselectors, view->selector);

		cw_buf_printf(out, "%s{\"condition\":\"selector\",\"wanted\":\"one of %d\",\"is\":", comma, when->nselectors);
		if (view->has_selector)
			cw_buf_printf(out, "\"0x%08x\"", view->selector);
		else
			cw_buf_puts(out, "null");
		cw_buf_printf(out, ",\"holds\":%s}", holds ? "true" : "false");
		comma = ",";
	}
	for (int i = 0; i < when->nbounds; i++) {
		const struct bound *b = &when->bounds[i];
		double x = view->numbers[b->number];

		cw_buf_printf(out, "%s{\"condition\":\"%s\",\"least\":", comma, numbers[b->number]);
		put_number(out, b->least);
		cw_buf_puts(out, ",\"most\":");
		put_number(out, b->most);
		cw_buf_puts(out, ",\"is\":");
		put_number(out, x);
		cw_buf_printf(out, ",\"holds\":%s}", x >= b->least && x <= b->most ? "true" : "false");
		comma = ",";
	}
	for (int side = 0; side < SIDES; side++) {
		if (when->categories[side] == NULL)
			continue;
		cw_buf_printf(out, "%s{\"condition\":\"%s\",\"wanted\":", comma, sides[side]);
		cw_json_put_cstring(out, when->categories[side]);
		cw_buf_printf(out, ",\"holds\":%s}", on_list(when, view, (enum side)side) ? "true" : "false");
		comma = ",";
	}
	cw_buf_putc(out, ']');
}

/* One list for each table of `when`: all of a list must hold, of one of them. */
void cw_when_explain(const struct cw_when *when, const struct cw_when_view *view, struct cw_buf *out)
{
	const char *comma = "";

	cw_buf_putc(out, '[');
	for (; when != NULL; when = when->next) {
		cw_buf_puts(out, comma);
		explain_all(when, view, out);
		comma = ",";
	}
	cw_buf_putc(out, ']');
}

/* --- reading --- */

static const struct cw_rule *rule_at_work;

#define fail(L, ...) do { \
	char what_[240]; \
	snprintf(what_, sizeof(what_), __VA_ARGS__); \
	luaL_error(L, "%s:%d: %s: when: %s", rule_at_work->file, rule_at_work->when_line, rule_at_work->id, what_); \
	abort();                          /* luaL_error does not return */ \
} while (0)

/* Calls `take` with the text on top, or with each text of the list on top. */
static void each_text(lua_State *L, const char *key, void (*take)(lua_State *, struct cw_when *, const char *),
                      struct cw_when *when)
{
	int n;

	if (lua_type(L, -1) == LUA_TSTRING) {
		take(L, when, lua_tostring(L, -1));
		return;
	}
	n = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;
	if (n == 0)
		fail(L, "\"%s\" must be text or a list of texts", key);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, -1, i);
		if (lua_type(L, -1) != LUA_TSTRING)
			fail(L, "\"%s\" must be text or a list of texts, element %d is a %s", key, i, luaL_typename(L, -1));
		take(L, when, lua_tostring(L, -1));
		lua_pop(L, 1);
	}
}

static void take_kind(lua_State *L, struct cw_when *when, const char *text)
{
	for (unsigned i = 0; kinds[i] != NULL; i++)
		if (strcmp(kinds[i], text) == 0) {
			when->kinds |= (uint8_t)(1u << i);
			return;
		}
	fail(L, "\"kind\" must be transfer, call or creation, not \"%.40s\"%s", text, cw_rule_suggest(text, kinds));
}

static void take_log(lua_State *L, struct cw_when *when, const char *text)
{
	const char *names[CW_LOG_KINDS + 1];
	enum cw_log_kind kind;

	if (cw_log_kind_parse(&kind, text, strlen(text))) {
		when->logs |= 1u << kind;
		return;
	}
	for (int i = 0; i < CW_LOG_KINDS; i++)
		names[i] = cw_log_kind_name((enum cw_log_kind)i);
	names[CW_LOG_KINDS] = NULL;
	fail(L, "there is no kind of logs \"%.40s\"%s", text, cw_rule_suggest(text, names));
}

static void take_selector(lua_State *L, struct cw_when *when, const char *text)
{
	uint8_t bytes[4];

	if (strlen(text) != 10 || strncmp(text, "0x", 2) != 0 || !cw_hex_decode(bytes, text + 2, 8))
		fail(L, "\"selector\" must be text like \"0xa9059cbb\", not \"%.40s\"", text);
	if (when->nselectors == SELECTORS_MAX)
		fail(L, "\"selector\" has more than %d entries", SELECTORS_MAX);
	when->selectors[when->nselectors++] = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
	                                      (uint32_t)bytes[2] << 8 | bytes[3];
}

static struct bound *bound_for(lua_State *L, struct cw_when *when, int number)
{
	for (int i = 0; i < when->nbounds; i++)
		if (when->bounds[i].number == number)
			return &when->bounds[i];
	if (when->nbounds == BOUNDS_MAX)
		fail(L, "has bounds for more than %d fields", BOUNDS_MAX);
	when->bounds[when->nbounds] = (struct bound){ number, -INFINITY, INFINITY };
	return &when->bounds[when->nbounds++];
}

/* min_ether, max_nonce, status: false if the key is none of these. */
static bool read_bound(lua_State *L, struct cw_when *when, const char *key)
{
	bool least = strncmp(key, "max_", 4) != 0, most = strncmp(key, "min_", 4) != 0;
	const char *name = least && most ? key : key + 4;

	for (int i = 0; i < CW_RULE_NUMBERS; i++) {
		struct bound *b;

		if (numbers[i] == NULL || strcmp(numbers[i], name) != 0)
			continue;
		if (lua_type(L, -1) != LUA_TNUMBER)
			fail(L, "\"%s\" must be a number, not a %s", key, luaL_typename(L, -1));
		b = bound_for(L, when, i);
		if (least)
			b->least = lua_tonumber(L, -1);
		if (most)
			b->most = lua_tonumber(L, -1);
		return true;
	}
	return false;
}

static bool read_category(lua_State *L, struct cw_when *when, const char *key)
{
	for (int side = 0; side < SIDES; side++) {
		if (strcmp(sides[side], key) != 0)
			continue;
		if (lua_type(L, -1) != LUA_TSTRING)
			fail(L, "\"%s\" must be categories of address lists, like \"mixer,sanctioned\"", key);
		when->categories[side] = cw_strdup(lua_tostring(L, -1));
		when->sides |= (uint8_t)(1u << side);
		return true;
	}
	return false;
}

static const char *near_key(const char *key)
{
	const char *names[2 * CW_RULE_NUMBERS + SIDES + 4];
	static char bounds[2 * CW_RULE_NUMBERS][24];
	int n = 0;

	for (int i = 0; i < CW_RULE_NUMBERS; i++)
		for (int upper = 0; upper < 2 && numbers[i] != NULL; upper++) {
			snprintf(bounds[n], sizeof(bounds[n]), "%s_%s", upper ? "max" : "min", numbers[i]);
			names[n] = bounds[n];
			n++;
		}
	for (int side = 0; side < SIDES; side++)
		names[n++] = sides[side];
	names[n++] = "kind";
	names[n++] = "selector";
	names[n++] = "logs";
	names[n] = NULL;
	return cw_rule_suggest(key, names);
}

/* The table on top. */
static void read_one(lua_State *L, struct cw_when **out)
{
	struct cw_when *when;

	if (!lua_istable(L, -1))
		fail(L, "must be a table, like { kind = \"transfer\", min_ether = 1 }, not a %s", luaL_typename(L, -1));
	*out = when = cw_zalloc(sizeof(*when));   /* freed with the bind, also when this raises */
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		const char *key = lua_type(L, -2) == LUA_TSTRING ? lua_tostring(L, -2) : "";

		if (strcmp(key, "kind") == 0)
			each_text(L, key, take_kind, when);
		else if (strcmp(key, "logs") == 0)
			each_text(L, key, take_log, when);
		else if (strcmp(key, "selector") == 0)
			each_text(L, key, take_selector, when);
		else if (!read_category(L, when, key) && !read_bound(L, when, key))
			fail(L, "there is no condition \"%.40s\"%s", key, near_key(key));
		lua_pop(L, 1);
	}
}

void cw_when_read(lua_State *L, const struct cw_rule *rule, struct cw_when **out)
{
	int n = lua_istable(L, -1) ? (int)lua_objlen(L, -1) : 0;

	rule_at_work = rule;
	if (n == 0) {
		read_one(L, out);
		return;
	}
	if (n > ALTERNATIVES_MAX)
		fail(L, "has more than %d alternatives", ALTERNATIVES_MAX);
	for (int i = 1; i <= n; i++) {
		lua_rawgeti(L, -1, i);
		read_one(L, out);
		out = &(*out)->next;
		lua_pop(L, 1);
	}
}

/* --- life --- */

static int open_lists(struct cw_when *when, struct cw_err *err)
{
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];

	for (int side = 0; side < SIDES; side++) {
		struct cw_raw_opt raw = { .name = "category", .type = CW_RAW_TEXT, .text = when->categories[side] };

		if (raw.text == NULL)
			continue;
		if (cw_primitive_read_options(contains, &raw, 1, vals, err) != 0)
			return -1;
		when->lists[side] = contains->open(NULL, NULL, vals, err);
		if (when->lists[side] == NULL)
			return -1;
	}
	return 0;
}

int cw_when_open(struct cw_when *when, struct cw_err *err)
{
	if (contains == NULL) {
		contains = cw_primitive_find("list", "contains");
		for (const struct cw_method *m = contains->methods; m->name != NULL; m++)
			if (strcmp(m->name, "has") == 0)
				has = m->fn;
	}
	for (; when != NULL; when = when->next)
		if (open_lists(when, err) != 0)
			return -1;
	return 0;
}

void cw_when_close(struct cw_when *when)
{
	for (; when != NULL; when = when->next)
		for (int side = 0; side < SIDES; side++) {
			if (when->lists[side] != NULL)
				contains->close(when->lists[side]);
			when->lists[side] = NULL;
		}
}

void cw_when_free(struct cw_when **when)
{
	struct cw_when *w = *when, *next;

	*when = NULL;
	cw_when_close(w);
	for (; w != NULL; w = next) {
		next = w->next;
		for (int side = 0; side < SIDES; side++)
			cw_free(w->categories[side]);
		cw_free(w);
	}
}
