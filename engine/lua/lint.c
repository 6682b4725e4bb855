/* lint.c - a run over the files of a bundle: each read as a tree and checked, then given to the loader; findings. */
#include "lua/lint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "lua/lint_internal.h"
#include "lua/rule_internal.h"
#include "lua/sandbox.h"
#include "pipeline/evaluate.h"

#define FINDINGS_MAX 2000

bool lint_listed(const char *word, const char *const *names)
{
	while (*names != NULL && strcmp(*names, word) != 0)
		names++;
	return *names != NULL;
}

bool lint_is_global(const struct cw_node *node, const char *name)
{
	return node->kind == CW_NODE_NAME && node->declared == NULL && strcmp(node->text, name) == 0;
}

/* Does the line end in "-- lint:allow code"? */
static bool is_allowed(const struct lint_file *f, int line, const char *code)
{
	const char *p = f->text, *end = f->text + f->len, *allow;
	size_t len;

	for (int i = 1; i < line && p != NULL && p < end; i++) {
		p = memchr(p, '\n', (size_t)(end - p));
		p = p != NULL ? p + 1 : NULL;
	}
	if (p == NULL || p >= end)
		return false;
	len = strcspn(p, "\n");
	allow = memmem(p, len, "lint:allow", 10);
	return allow != NULL && memmem(allow, len - (size_t)(allow - p), code, strlen(code)) != NULL;
}

bool lint_has(const struct lint_file *f, int line, int column)
{
	for (int i = 0; i < f->lint->n; i++)
		if (f->lint->list[i].line == line && f->lint->list[i].column == column &&
		    strcmp(f->lint->list[i].file, f->name) == 0)
			return true;
	return false;
}

void lint_add(struct lint_file *f, int line, int column, const char *code, bool error,
              const char *format, ...)
{
	struct lint *l = f->lint;
	char message[400];
	va_list args;

	if (l->n == FINDINGS_MAX || (f->text != NULL && is_allowed(f, line, code)))
		return;
	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	for (int i = 0; i < l->n; i++)
		if (l->list[i].line == line && l->list[i].column == column && strcmp(l->list[i].file, f->name) == 0 &&
		    strcmp(l->list[i].message, message) == 0)
			return;
	if (l->n == l->room) {
		int room = l->room > 0 ? 2 * l->room : 64;
		struct cw_finding *grown = cw_arena_alloc(l->arena, (size_t)room * sizeof(*grown));

		if (l->n > 0)
			memcpy(grown, l->list, (size_t)l->n * sizeof(*grown));
		l->list = grown;
		l->room = room;
	}
	l->list[l->n++] = (struct cw_finding){ f->name, line, column, code, error,
		                                   cw_arena_strndup(l->arena, message, strlen(message)) };
}

/* --- what the API has: asked of a VM --- */

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The text keys of the table on top; popped. */
static void take_names(struct lint *l, lua_State *L, const char **names)
{
	int n = 0;

	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		if (lua_type(L, -2) == LUA_TSTRING && n < LINT_NAMES_MAX - 1)
			names[n++] = cw_arena_strndup(l->arena, lua_tostring(L, -2), lua_objlen(L, -2));
		lua_pop(L, 1);
	}
	lua_pop(L, 1);
	qsort(names, (size_t)n, sizeof(*names), compare_names);
	names[n] = NULL;
}

static bool learn_api(struct lint *l, struct cw_err *err)
{
	const struct cw_bundle none = { .params_json = "{}" };
	struct cw_rules *rules = cw_rules_load(&none, &cw_rules_conf_default, err);
	lua_State *L;

	if (rules == NULL)
		return false;
	L = cw_vm_state(cw_rules_vm(rules));
	cw_sandbox_base(L);
	take_names(l, L, l->globals);
	lua_rawgeti(L, LUA_REGISTRYINDEX, rules->refs.fields);
	take_names(l, L, l->fields);
	cw_rules_free(&rules);
	return true;
}

/* --- the loader's word --- */

/* "name:line: what" -> line and what; the message as it is with line 1 if it names no place in the file. */
static const char *split_message(const char *message, const char *name, int *line)
{
	size_t len = strlen(name);
	char *end;
	long number;

	*line = 1;
	if (strncmp(message, name, len) != 0 || message[len] != ':')
		return message;
	number = strtol(message + len + 1, &end, 10);
	if (number < 1 || *end != ':')
		return message;
	*line = (int)number;
	return end[1] == ' ' ? end + 2 : end + 1;
}

static bool has_error_on(const struct lint *l, const char *name, int line)
{
	for (int i = 0; i < l->n; i++)
		if (l->list[i].error && strcmp(l->list[i].file, name) == 0 && (line == 0 || l->list[i].line == line))
			return true;
	return false;
}

/* What the checks have not said already. */
static void add_refusal(struct lint_file *f, const struct cw_err *err, const char *code)
{
	int line, column = 1;
	const char *what = split_message(err->msg, f->name, &line);

	if (has_error_on(f->lint, f->name, 0))
		return;
	lint_add(f, line, column, code, true, "%s", what);
}

static void load_alone(struct lint_file *f)
{
	struct cw_bundle_file file = { f->name, f->text, f->len };
	const struct cw_bundle bundle = { .rules = &file, .nrules = 1, .params_json = "{}" };
	struct cw_err err;
	struct cw_rules *rules = cw_rules_load(&bundle, &cw_rules_conf_default, &err);

	if (rules == NULL)
		add_refusal(f, &err, "refused");
	cw_rules_free(&rules);
}

/* --- one file --- */

/* Compiled by LuaJIT first: its words for what is no Lua at all. */
static bool compiles(struct lint_file *f)
{
	lua_State *L = luaL_newstate();
	bool ok = L != NULL && luaL_loadbufferx(L, f->text, f->len, "=", "t") == 0;
	int line = 1;
	const char *message = L != NULL && !ok ? lua_tostring(L, -1) : "no memory", *what;

	if (!ok) {
		/* ":3: what", or "line:what" behind an empty chunk name */
		const char *colon = strchr(message, ':');
		char *end;

		line = colon != NULL ? (int)strtol(colon + 1, &end, 10) : 1;
		what = colon != NULL && strncmp(end, ": ", 2) == 0 ? end + 2 : message;
		lint_add(f, line > 0 ? line : 1, 1, "syntax", true, "%s", what);
	}
	if (L != NULL)
		lua_close(L);
	return ok;
}

static void lint_file(struct lint_file *f)
{
	struct cw_err err;
	bool ok;

	if (!compiles(f))
		return;
	f->tree = cw_syntax_parse(f->text, f->len, f->name, f->lint->arena, &ok, &err);
	if (!ok) {
		add_refusal(f, &err, "syntax");
		return;
	}
	lint_learn(f);
	if (f->rule == NULL) {
		lint_add(f, 1, 1, "no-rule", true, "the file must return rule { ... }");
		return;
	}
	lint_check_rule(f);
	lint_check_uses(f);
	load_alone(f);
}

/* --- files together --- */

static void check_ids(struct lint_file *files, int n)
{
	for (int i = 0; i < n; i++)
		for (int j = 0; j < i; j++)
			if (files[i].id != NULL && files[j].id != NULL && strcmp(files[i].id, files[j].id) == 0) {
				const struct cw_node *at = cw_node_field(files[i].rule, "id");

				LINT_ERROR(&files[i], at, "duplicate-id", "rule id \"%s\" is already used in %s", files[i].id,
				           files[j].name);
			}
}

/* "number", "text", ... of a literal; NULL: not known. */
static const char *literal_type(struct lint_file *f, struct cw_node *node)
{
	node = lint_value_of(f, node);
	switch (node != NULL ? node->kind : CW_NODE_NIL) {
	case CW_NODE_NUMBER: case CW_NODE_UNARY: return "number";
	case CW_NODE_STRING: return "text";
	case CW_NODE_TRUE: case CW_NODE_FALSE: return "boolean";
	case CW_NODE_TABLE: return "list";
	default: return NULL;
	}
}

static void check_override(struct lint_file *conf, struct lint_file *rule, const struct cw_node *field)
{
	struct lint_param *param = lint_param_named(rule, field->a->text);
	const char *given = literal_type(conf, field->b), *wanted;
	const char *names[LINT_PARAMS_MAX + 1];
	int n = 0;

	if (param == NULL) {
		for (; n < rule->nparams; n++)
			names[n] = rule->params[n].name;
		names[n] = NULL;
		if (rule->params_known)
			LINT_ERROR(conf, field->a, "unknown-param", "rule \"%s\" has no parameter \"%s\"%s", rule->id, field->a->text,
			           cw_rule_suggest(field->a->text, names));
		return;
	}
	wanted = literal_type(rule, (struct cw_node *)(uintptr_t)param->value);
	if (given != NULL && wanted != NULL && strcmp(given, wanted) != 0)
		LINT_ERROR(conf, field->b, "bad-param", "parameter \"%s\" of \"%s\" must be a %s like its default, not a %s",
		           param->name, rule->id, wanted, given);
}

/* conf/rules.lua: return { ["eth.fan_out"] = { receivers = 30 } }. */
static void check_overrides(struct lint_file *conf, struct lint_file *files, int n)
{
	struct cw_node *table = NULL;
	const char *ids[CW_RULES_MAX + 1];
	struct cw_err err;
	int nids = 0;
	bool ok;

	conf->tree = cw_syntax_parse(conf->text, conf->len, conf->name, conf->lint->arena, &ok, &err);
	for (struct cw_node *s = conf->tree; s != NULL; s = s->next)
		if (s->kind == CW_NODE_RETURN)
			table = cw_node_bare(s->a);
	for (int i = 0; i < n; i++)
		if (files[i].id != NULL)
			ids[nids++] = files[i].id;
	ids[nids] = NULL;
	if (table == NULL || table->kind != CW_NODE_TABLE)
		return;
	for (struct cw_node *r = table->a; r != NULL; r = r->next) {
		struct lint_file *rule = NULL;

		if (r->a == NULL || r->a->kind != CW_NODE_STRING)
			continue;
		for (int i = 0; i < n; i++)
			if (files[i].id != NULL && strcmp(files[i].id, r->a->text) == 0)
				rule = &files[i];
		if (rule == NULL) {
			LINT_ERROR(conf, r->a, "unknown-rule", "parameters are given for rule \"%s\", which does not exist%s", r->a->text,
			           cw_rule_suggest(r->a->text, ids));
			continue;
		}
		if (r->b->kind != CW_NODE_TABLE)
			continue;
		for (const struct cw_node *p = r->b->a; p != NULL; p = p->next)
			if (p->a != NULL && p->a->kind == CW_NODE_STRING)
				check_override(conf, rule, p);
	}
}

/* All of them with the overrides: what only shows together. */
static void load_together(struct lint *l, const struct cw_bundle *bundle, struct lint_file *conf)
{
	struct cw_err err;
	struct cw_rules *rules;

	for (int i = 0; i < l->n; i++)
		if (l->list[i].error)
			return;
	rules = cw_rules_load(bundle, &cw_rules_conf_default, &err);
	if (rules == NULL) {
		struct lint_file at = { .lint = l, .name = conf->name };

		for (int i = 0; i < bundle->nrules; i++)
			if (strncmp(err.msg, bundle->rules[i].name, strlen(bundle->rules[i].name)) == 0)
				at.name = bundle->rules[i].name;
		add_refusal(&at, &err, "refused");
	}
	cw_rules_free(&rules);
}

static int compare_findings(const void *a, const void *b)
{
	const struct cw_finding *x = a, *y = b;
	int by_file = strcmp(x->file, y->file);

	if (by_file != 0)
		return by_file;
	if (x->line != y->line)
		return x->line - y->line;
	return x->column != y->column ? x->column - y->column : strcmp(x->code, y->code);
}

void cw_lint_bundle(const struct cw_bundle *bundle, const char *params_file, const char *params_text,
                    struct cw_arena *arena, struct cw_lint *out)
{
	struct lint *l = cw_arena_zalloc(arena, sizeof(*l));
	struct lint_file *files = cw_arena_zalloc(arena, ((size_t)bundle->nrules + 1) * sizeof(*files));
	struct lint_file conf = { .lint = l, .name = params_file != NULL ? params_file : "parameters" };
	struct cw_err err;

	l->arena = arena;
	if (!learn_api(l, &err)) {
		lint_add(&conf, 1, 1, "internal", true, "%s", err.msg);
		bundle = &(const struct cw_bundle){ .nrules = 0 };
	}
	for (int i = 0; i < bundle->nrules; i++) {
		const struct cw_bundle_file *file = &bundle->rules[i];

		files[i] = (struct lint_file){ .lint = l, .name = file->name, .text = file->text, .len = file->len };
		lint_file(&files[i]);
	}
	check_ids(files, bundle->nrules);
	if (params_text != NULL) {
		conf.text = params_text;
		conf.len = strlen(params_text);
		check_overrides(&conf, files, bundle->nrules);
	}
	if (bundle->nrules > 0)
		load_together(l, bundle, &conf);
	*out = (struct cw_lint){ .list = l->list, .n = l->n };
	if (l->n > 1)
		qsort(l->list, (size_t)l->n, sizeof(*l->list), compare_findings);
	for (int i = 0; i < l->n; i++) {
		out->errors += l->list[i].error;
		out->warnings += !l->list[i].error;
	}
}

/* --- output --- */

void cw_lint_put_text(const struct cw_lint *lint, struct cw_buf *out)
{
	for (int i = 0; i < lint->n; i++) {
		const struct cw_finding *f = &lint->list[i];

		cw_buf_printf(out, "%s:%d:%d: %s: %s [%s]\n", f->file, f->line, f->column, f->error ? "error" : "warning",
		              f->message, f->code);
	}
}

void cw_lint_put_json(const struct cw_lint *lint, struct cw_buf *out)
{
	cw_buf_puts(out, "{\"findings\":[");
	for (int i = 0; i < lint->n; i++) {
		const struct cw_finding *f = &lint->list[i];

		cw_buf_printf(out, "%s{\"file\":", i > 0 ? "," : "");
		cw_json_put_cstring(out, f->file);
		cw_buf_printf(out, ",\"line\":%d,\"column\":%d,\"code\":\"%s\",\"severity\":\"%s\",\"message\":", f->line,
		              f->column, f->code, f->error ? "error" : "warning");
		cw_json_put_cstring(out, f->message);
		cw_buf_putc(out, '}');
	}
	cw_buf_printf(out, "],\"errors\":%d,\"warnings\":%d}", lint->errors, lint->warnings);
}
