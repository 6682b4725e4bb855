#include "lua/trace.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "detect/primitive.h"
#include "lua/embed.h"
#include "lua/syntax.h"
#include "lua/vm.h"

CW_EMBED(cw_trace_lua, "engine/lua/trace.lua");

#define SITES_MAX 4000
#define SOURCE_MAX 160           /* of a site's text */
#define VALUE_MAX 96             /* of a text that was compared */
#define FIRST_MAX 200            /* steps kept from the beginning; from the end as many */
#define LAST_MAX 200
#define CONTENTS_MAX 4096        /* of what a state tells about itself */

enum site_kind { SITE_COMPARE, SITE_CONDITION, SITE_RETURN };
static const char *const op_names[] = { [CW_OP_LT] = "lt", [CW_OP_GT] = "gt", [CW_OP_LE] = "le", [CW_OP_GE] = "ge",
	                                    [CW_OP_NE] = "ne", [CW_OP_EQ] = "eq" };
static const char *const op_signs[] = { [CW_OP_LT] = "<", [CW_OP_GT] = ">", [CW_OP_LE] = "<=", [CW_OP_GE] = ">=",
	                                    [CW_OP_NE] = "~=", [CW_OP_EQ] = "==" };

struct site {
	enum site_kind kind;
	enum cw_node_op op;
	int line;
	int outer;                   /* the condition a comparison stands in; -1 */
	char *source;
};

enum step_kind { STEP_COMPARE, STEP_CONDITION, STEP_RETURN, STEP_CALL };
struct step {
	enum step_kind kind;
	int site;                    /* of a CALL: its line */
	bool result;
	char *json;                  /* of a COMPARE: left and right; of a CALL: all of it */
};

struct cw_trace {
	struct site *sites;
	int nsites, room;
	bool incomplete;             /* some file was not rewritten */
	int table;                   /* registry: the functions */
	bool active;
	struct step first[FIRST_MAX], last[LAST_MAX];   /* last: by number modulo its size */
	size_t nsteps;
};

struct cw_trace *cw_trace_new(void)
{
	struct cw_trace *t = cw_zalloc(sizeof(*t));

	t->table = LUA_NOREF;
	return t;
}

static void forget_steps(struct cw_trace *t)
{
	for (size_t i = 0; i < FIRST_MAX; i++) {
		cw_free(t->first[i].json);
		t->first[i].json = NULL;
	}
	for (size_t i = 0; i < LAST_MAX; i++) {
		cw_free(t->last[i].json);
		t->last[i].json = NULL;
	}
	t->nsteps = 0;
}

void cw_trace_free(struct cw_trace **trace)
{
	struct cw_trace *t = *trace;

	*trace = NULL;
	if (t == NULL)
		return;
	forget_steps(t);
	for (int i = 0; i < t->nsites; i++)
		cw_free(t->sites[i].source);
	cw_free(t->sites);
	cw_free(t);
}

/* --- rewriting --- */

struct edit { uint32_t at, skip; int order; char text[64]; };

struct rewriter {
	struct cw_trace *trace;
	const char *text;
	struct edit *edits;
	int n, room, order;
	int outer;
};

static void put_edit(struct rewriter *w, uint32_t at, uint32_t skip, const char *text, bool closing)
{
	if (w->n == w->room) {
		w->room = w->room > 0 ? 2 * w->room : 128;
		w->edits = cw_realloc(w->edits, (size_t)w->room * sizeof(*w->edits));
	}
	/* At one place what closes comes before what opens; opens go from outer to inner, closes from inner to outer. */
	w->edits[w->n] = (struct edit){ .at = at, .skip = skip, .order = closing ? -w->order : w->order };
	snprintf(w->edits[w->n++].text, sizeof(w->edits[0].text), "%s", text);
}

/* The author's text: without guards, white space as one blank. */
static char *source_of(const char *text, uint32_t from, uint32_t to)
{
	static const char guard[] = " __cwG(); ";
	char out[SOURCE_MAX + 4];
	size_t n = 0;

	for (const char *p = text + from; p < text + to && n < SOURCE_MAX; p++) {
		if ((size_t)(text + to - p) > sizeof(guard) && strncmp(p, guard, sizeof(guard) - 1) == 0)
			p += sizeof(guard) - 2;
		else if (*p != ' ' && *p != '\t' && *p != '\n' && *p != '\r')
			out[n++] = *p;
		else if (n > 0 && out[n - 1] != ' ')
			out[n++] = ' ';
	}
	if (n == SOURCE_MAX) {
		memcpy(out + n, "...", 3);
		n += 3;
	}
	out[n] = '\0';
	return cw_strdup(out);
}

static int add_site(struct rewriter *w, enum site_kind kind, const struct cw_node *node)
{
	struct cw_trace *t = w->trace;

	if (t->nsites == t->room) {
		t->room = t->room > 0 ? 2 * t->room : 64;
		t->sites = cw_realloc(t->sites, (size_t)t->room * sizeof(*t->sites));
	}
	t->sites[t->nsites] = (struct site){ kind, node->op, node->line, w->outer, source_of(w->text, node->from, node->to) };
	return t->nsites++;
}

static void rewrite_list(struct rewriter *w, struct cw_node *list);

static void wrap(struct rewriter *w, struct cw_node *node, const char *function, int site)
{
	char open[64];

	snprintf(open, sizeof(open), "(__cwT.%s(%d,(", function, site);   /* in brackets: never a tail call */
	w->order++;
	put_edit(w, node->from, 0, open, false);
	put_edit(w, node->to, 0, ")))", true);
}

static void rewrite_condition(struct rewriter *w, struct cw_node *condition)
{
	int outer = w->outer;

	if (condition == NULL)
		return;
	w->outer = add_site(w, SITE_CONDITION, condition);
	wrap(w, condition, "when", w->outer);
	rewrite_list(w, condition);
	w->outer = outer;
}

static void rewrite_node(struct rewriter *w, struct cw_node *n)
{
	int outer = w->outer;

	switch (n->kind) {
	case CW_NODE_BINARY:
		if (cw_op_compares(n->op)) {
			wrap(w, n, op_names[n->op], add_site(w, SITE_COMPARE, n));
			w->order++;
			put_edit(w, n->at, n->at_to - n->at, "),(", false);
		}
		break;
	case CW_NODE_CLAUSE:
	case CW_NODE_WHILE:
	case CW_NODE_REPEAT:
		rewrite_condition(w, n->a);
		rewrite_list(w, n->b);
		return;
	case CW_NODE_FUNCTION:
		w->outer = -1;
		break;
	case CW_NODE_RETURN: {
		char text[64];

		snprintf(text, sizeof(text), " __cwT.back(%d) ", add_site(w, SITE_RETURN, n));
		w->order++;
		put_edit(w, n->from, 0, text, false);
		break;
	}
	default: break;
	}
	rewrite_list(w, n->a);
	rewrite_list(w, n->c);
	rewrite_list(w, n->b);
	w->outer = outer;
}

static void rewrite_list(struct rewriter *w, struct cw_node *list)
{
	for (struct cw_node *n = list; n != NULL && w->trace->nsites < SITES_MAX; n = n->next)
		rewrite_node(w, n);
}

static int compare_edits(const void *a, const void *b)
{
	const struct edit *x = a, *y = b;

	if (x->at != y->at)
		return x->at < y->at ? -1 : 1;
	return x->order < y->order ? -1 : x->order > y->order;
}

bool cw_trace_rewrite(struct cw_trace *trace, const char *name, const char *guarded, size_t len, struct cw_buf *out)
{
	static const char prologue[] = "local __cwG,__cwS=...", ours[] = "local __cwG,__cwS,__cwT=...";
	struct cw_arena *arena = cw_arena_new();
	struct rewriter w = { .trace = trace, .text = guarded, .outer = -1 };
	struct cw_err err;
	struct cw_node *tree;
	uint32_t at = sizeof(prologue) - 1;
	bool ok;

	tree = cw_syntax_parse(guarded, len, name, arena, &ok, &err);
	ok = ok && strncmp(guarded, prologue, sizeof(prologue) - 1) == 0;
	if (ok) {
		rewrite_list(&w, tree);
		ok = trace->nsites < SITES_MAX;
	}
	if (w.n > 1)
		qsort(w.edits, (size_t)w.n, sizeof(*w.edits), compare_edits);
	cw_buf_puts(out, ours);
	for (int i = 0; i < w.n && ok; i++) {
		cw_buf_add(out, guarded + at, w.edits[i].at - at);
		cw_buf_puts(out, w.edits[i].text);
		at = w.edits[i].at + w.edits[i].skip;
	}
	cw_buf_add(out, guarded + at, len - at);
	cw_free(w.edits);
	cw_arena_free(&arena);
	trace->incomplete = trace->incomplete || !ok;
	return ok;
}

/* --- noting --- */

void cw_trace_begin(struct cw_trace *trace)
{
	forget_steps(trace);
	trace->active = true;
}

void cw_trace_end(struct cw_trace *trace)
{
	trace->active = false;
}

/* Takes over `json`. */
static void add_step(struct cw_trace *t, enum step_kind kind, int site, bool result, char *json)
{
	struct step *s = t->nsteps < FIRST_MAX ? &t->first[t->nsteps] : &t->last[(t->nsteps - FIRST_MAX) % LAST_MAX];

	cw_free(s->json);
	*s = (struct step){ kind, site, result, json };
	t->nsteps++;
}

/* Numbers that JSON lacks are written as text. */
static void put_number(struct cw_buf *out, double x)
{
	if (isnan(x))
		cw_buf_puts(out, "\"nan\"");
	else if (isinf(x))
		cw_buf_puts(out, x > 0 ? "\"inf\"" : "\"-inf\"");
	else
		cw_json_put_double(out, x);
}

static void put_value(struct cw_buf *out, lua_State *L, int index)
{
	const char *text;
	size_t len;

	switch (lua_type(L, index)) {
	case LUA_TNIL:
	case LUA_TNONE: cw_buf_puts(out, "null"); break;
	case LUA_TBOOLEAN: cw_buf_puts(out, lua_toboolean(L, index) ? "true" : "false"); break;
	case LUA_TNUMBER: put_number(out, lua_tonumber(L, index)); break;
	case LUA_TSTRING:
		text = lua_tolstring(L, index, &len);
		if (memchr(text, '\0', len) == NULL && len <= VALUE_MAX) {
			cw_json_put_string(out, text, len);
			break;
		}
		cw_buf_printf(out, "\"(%zu bytes of text)\"", len);
		break;
	default: cw_buf_printf(out, "\"(%s)\"", luaL_typename(L, index));
	}
}

/* Is it evaluate itself that runs, and not a function that it calls? */
static bool is_outermost(lua_State *L)
{
	lua_Debug at;
	int ours = 0;

	for (int level = 0; lua_getstack(L, level, &at) != 0; level++)
		if (lua_getinfo(L, "S", &at) != 0 && at.source[0] == '@')
			ours++;
	return ours == 1;
}

/* note(site, result, a, b); the trace is the upvalue. */
static int l_note(lua_State *L)
{
	struct cw_trace *t = lua_touserdata(L, lua_upvalueindex(1));
	int number = (int)lua_tointeger(L, 1);
	struct cw_buf json = CW_BUF_INIT;
	const struct site *site;

	if (!t->active || number < 0 || number >= t->nsites)
		return 0;
	site = &t->sites[number];
	if (site->kind == SITE_COMPARE) {
		cw_buf_puts(&json, "\"left\":");
		put_value(&json, L, 3);
		cw_buf_puts(&json, ",\"right\":");
		put_value(&json, L, 4);
	} else if (site->kind == SITE_CONDITION && lua_type(L, 2) != LUA_TBOOLEAN) {
		cw_buf_puts(&json, "\"value\":");
		put_value(&json, L, 2);
	}
	add_step(t, site->kind == SITE_COMPARE ? STEP_COMPARE : site->kind == SITE_CONDITION ? STEP_CONDITION : STEP_RETURN,
	         number, site->kind == SITE_RETURN ? is_outermost(L) : lua_toboolean(L, 2) != 0, cw_buf_take(&json, NULL));
	return 0;
}

void cw_trace_open(struct cw_trace *trace, lua_State *L)
{
	if (luaL_loadbufferx(L, cw_trace_lua, cw_trace_lua_len, "=trace", "t") != 0)
		lua_error(L);
	lua_pushlightuserdata(L, trace);
	lua_pushcclosure(L, l_note, 1);
	lua_getglobal(L, "pcall");
	lua_getglobal(L, "error");
	lua_getglobal(L, "type");
	lua_getglobal(L, "string");
	lua_getfield(L, -1, "match");
	lua_remove(L, -2);
	lua_call(L, 5, 1);
	trace->table = luaL_ref(L, LUA_REGISTRYINDEX);
}

void cw_trace_push(const struct cw_trace *trace, lua_State *L)
{
	if (trace != NULL)
		lua_rawgeti(L, LUA_REGISTRYINDEX, trace->table);
	else
		lua_pushnil(L);
}

static void put_argument(struct cw_buf *out, enum cw_arg arg, double value, const char **comma)
{
	if (arg == CW_ARG_NONE || isnan(value))
		return;
	cw_buf_puts(out, *comma);
	*comma = ",";
	if (arg == CW_ARG_FIELD && value >= 0 && value < CW_FIELD_COUNT)
		cw_json_put_cstring(out, cw_field_name((enum cw_field)value));
	else
		put_number(out, value);
}

static void put_result(struct cw_buf *out, const struct cw_primitive *p, void *handle, const struct cw_method *m,
                       double result)
{
	const char *text;

	if (isnan(result)) {
		cw_buf_puts(out, "null");
	} else if (m->result == CW_RESULT_BOOL) {
		cw_buf_puts(out, result != 0 ? "true" : "false");
	} else if (m->result == CW_RESULT_TEXT && p->text != NULL && (text = p->text(handle, (int)result)) != NULL) {
		cw_json_put_cstring(out, text);
	} else {
		put_number(out, result);
	}
}

/* The line of the rule that called. */
static int calling_line(lua_State *L)
{
	lua_Debug at;

	for (int level = 0; lua_getstack(L, level, &at) != 0; level++)
		if (lua_getinfo(L, "Sl", &at) != 0 && at.source[0] == '@')
			return at.currentline;
	return 0;
}

void cw_trace_call(struct cw_trace *trace, lua_State *L, const char *state, const struct cw_primitive *p,
                   const union cw_opt_value *vals, void *handle, const struct cw_method *m, const struct cw_tx *tx,
                   double a, double b, double result)
{
	struct cw_buf json = CW_BUF_INIT, contents = CW_BUF_INIT;
	const char *comma = "";

	if (!trace->active)
		return;
	cw_buf_printf(&json, "\"state\":\"%s\",\"primitive\":\"%s.%s\",\"method\":\"%s\",\"arguments\":[", state, p->table,
	              p->name, m->name);
	put_argument(&json, m->a, a, &comma);
	put_argument(&json, m->b, b, &comma);
	cw_buf_puts(&json, "],\"result\":");
	put_result(&json, p, handle, m, result);
	cw_primitive_describe(p, vals, handle, tx, m->a == CW_ARG_FIELD ? a : NAN, &contents);
	if (contents.len <= CONTENTS_MAX)
		cw_buf_printf(&json, ",\"contents\":{%s}", contents.data);
	else
		cw_buf_puts(&json, ",\"contents\":{\"truncated\":true}");
	cw_buf_release(&contents);
	add_step(trace, STEP_CALL, calling_line(L), true, cw_buf_take(&json, NULL));
}

/* --- telling --- */

static const struct step *step_at(const struct cw_trace *t, size_t i)
{
	return i < FIRST_MAX ? &t->first[i] : &t->last[(i - FIRST_MAX) % LAST_MAX];
}

/* Is the step still kept? */
static bool is_kept(const struct cw_trace *t, size_t i)
{
	return i < FIRST_MAX || i + LAST_MAX >= t->nsteps;
}

static void put_source(const struct cw_trace *t, const struct step *s, struct cw_buf *out)
{
	const struct site *site = &t->sites[s->site];

	cw_buf_printf(out, "\"line\":%d,\"source\":", site->line);
	cw_json_put_cstring(out, site->source);
}

static void put_comparison(const struct cw_trace *t, const struct step *s, struct cw_buf *out)
{
	put_source(t, s, out);
	cw_buf_printf(out, ",\"operator\":\"%s\",%s,\"result\":%s", op_signs[t->sites[s->site].op], s->json,
	              s->result ? "true" : "false");
}

static void put_step(const struct cw_trace *t, const struct step *s, struct cw_buf *out)
{
	switch (s->kind) {
	case STEP_COMPARE:
		cw_buf_puts(out, "{\"kind\":\"comparison\",");
		put_comparison(t, s, out);
		break;
	case STEP_CONDITION:
		cw_buf_puts(out, "{\"kind\":\"condition\",");
		put_source(t, s, out);
		cw_buf_printf(out, "%s%s,\"result\":%s", s->json[0] != '\0' ? "," : "", s->json, s->result ? "true" : "false");
		break;
	case STEP_RETURN:
		cw_buf_puts(out, "{\"kind\":\"return\",");
		put_source(t, s, out);
		break;
	case STEP_CALL:
		cw_buf_printf(out, "{\"kind\":\"call\",\"line\":%d,%s", s->site, s->json);
		break;
	}
	cw_buf_putc(out, '}');
}

/* Where evaluate returned: the number of the step, or of steps when it ran to its end. What comes behind it was done by
 * the expressions of the return. */
static size_t end_of(const struct cw_trace *t)
{
	for (size_t i = t->nsteps; i-- > 0 && is_kept(t, i);)
		if (step_at(t, i)->kind == STEP_RETURN && step_at(t, i)->result)
			return i;
	return t->nsteps;
}

/* The last condition before the end, and the comparisons made in it. */
static void put_decision(const struct cw_trace *t, struct cw_buf *out)
{
	size_t at = end_of(t), from;
	const char *comma = "";

	while (at > 0 && is_kept(t, at - 1) && step_at(t, at - 1)->kind != STEP_CONDITION)
		at--;
	if (at == 0 || !is_kept(t, at - 1)) {
		cw_buf_puts(out, "null");
		return;
	}
	at--;
	/* Back to when the same condition was looked at before, in a loop. */
	for (from = at; from > 0 && is_kept(t, from - 1); from--)
		if (step_at(t, from - 1)->kind == STEP_CONDITION && step_at(t, from - 1)->site == step_at(t, at)->site)
			break;
	cw_buf_putc(out, '{');
	put_source(t, step_at(t, at), out);
	cw_buf_printf(out, ",\"result\":%s,\"comparisons\":[", step_at(t, at)->result ? "true" : "false");
	for (size_t i = from; i < at; i++) {
		const struct step *s = step_at(t, i);

		if (s->kind != STEP_COMPARE || t->sites[s->site].outer != step_at(t, at)->site)
			continue;
		cw_buf_printf(out, "%s{", comma);
		put_comparison(t, s, out);
		cw_buf_putc(out, '}');
		comma = ",";
	}
	cw_buf_puts(out, "]}");
}

void cw_trace_put_json(const struct cw_trace *trace, struct cw_buf *out)
{
	size_t end = end_of(trace);
	size_t left_out = 0;
	const char *comma = "";

	cw_buf_puts(out, "\"steps\":[");
	for (size_t i = 0; i < trace->nsteps; i++) {
		if (!is_kept(trace, i)) {
			left_out++;
			continue;
		}
		cw_buf_puts(out, comma);
		put_step(trace, step_at(trace, i), out);
		comma = ",";
	}
	cw_buf_printf(out, "],\"steps_left_out\":%zu,\"comparisons\":%s,\"decision\":", left_out,
	              trace->incomplete ? "false" : "true");
	put_decision(trace, out);
	if (end < trace->nsteps)
		cw_buf_printf(out, ",\"returned\":%d", trace->sites[step_at(trace, end)->site].line);
	else
		cw_buf_puts(out, ",\"returned\":null");
}
