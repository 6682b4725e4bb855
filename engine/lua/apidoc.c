/* apidoc.c - docs/LUA_API.md and the LuaLS stubs, from lua/api.c, the primitives and the repositories. */
#include <stdbool.h>
#include <string.h>

#include "base/buf.h"
#include "detect/primitive.h"
#include "lua/api.h"
#include "lua/apidoc.h"

/* --- names --- */

/* Length of "cw.Tx" in "cw.Tx.value", of "json" in "json.encode"; 0 for a name without a dot. */
static size_t owner_len(const char *name)
{
	const char *dot = strrchr(name, '.');

	return dot != NULL ? (size_t)(dot - name) : 0;
}

static bool same_owner(const struct cw_api_item *a, const struct cw_api_item *b)
{
	size_t n = owner_len(a->name);

	return a->kind == b->kind && n == owner_len(b->name) && strncmp(a->name, b->name, n) == 0;
}

static bool is_function(const char *type)
{
	return strncmp(type, "fun(", 4) == 0;
}

/* --- primitives --- */

static const char *option_type(const struct cw_opt *option)
{
	switch (option->type) {
	case CW_OPT_KEY:
	case CW_OPT_FIELD: return "string";
	case CW_OPT_SPAN: return "string|number";
	case CW_OPT_COUNT: return "integer";
	case CW_OPT_NUMBER: return "number";
	case CW_OPT_BOOL: return "boolean";
	case CW_OPT_TEXT: return "string";
	}
	return "any";
}

static const char *result_type(const struct cw_method *method)
{
	switch (method->result) {
	case CW_RESULT_NUMBER: return "number?";
	case CW_RESULT_BOOL: return "boolean?";
	case CW_RESULT_TEXT: return "string?";
	}
	return "any";
}

static void put_argument(struct cw_buf *out, enum cw_arg arg, const char *name)
{
	if (arg != CW_ARG_NONE)
		cw_buf_printf(out, ", %s?: %s", name, arg == CW_ARG_NUMBER ? "number" : "string");
}

static void put_method_type(struct cw_buf *out, const struct cw_primitive *p, const struct cw_method *method)
{
	cw_buf_printf(out, "fun(self: cw.%s.%s", p->table, p->name);
	if (method->takes_tx)
		cw_buf_puts(out, ", tx: cw.Tx");
	put_argument(out, method->a, method->a == CW_ARG_FIELD ? "field" : "x");
	put_argument(out, method->b, method->b == CW_ARG_FIELD ? "field2" : "y");
	cw_buf_printf(out, "): %s", result_type(method));
}

static bool first_of_table(const struct cw_primitive *const *p)
{
	for (const struct cw_primitive *const *o = cw_primitives; o < p; o++)
		if (strcmp((*o)->table, (*p)->table) == 0)
			return false;
	return true;
}

/* --- stubs --- */

void cw_apidoc_stub_head(struct cw_buf *out, const char *what)
{
	cw_buf_printf(out, "---@meta\n-- %s For editors (lua-language-server); never loaded.\n"
	                   "-- Written by `make docs`, or by `chainwatch lua stubs DIR` for the engine that one has.\n\n", what);
}

/* One parameter of "a: T, b?: U" at `p`: its end, at depth 0 of brackets. */
static const char *parameter_end(const char *p)
{
	int depth = 0;

	for (; *p != '\0'; p++) {
		if (strchr("({[<", *p) != NULL)
			depth++;
		else if (strchr(")}]>", *p) != NULL && depth-- == 0)
			return p;
		else if (*p == ',' && depth == 0)
			return p;
	}
	return p;
}

/* "fun(a: T, b?: U): R" as ---@param and ---@return lines; the names go to `names`. */
static void put_signature(struct cw_buf *out, const char *type, struct cw_buf *names)
{
	const char *p = type + 4;

	while (*p != ')' && *p != '\0') {
		const char *end = parameter_end(p);
		size_t name = strcspn(p, ":?");

		cw_buf_printf(out, "---@param %.*s\n", (int)(end - p), p);
		cw_buf_printf(names, "%s%.*s", names->len > 0 ? ", " : "", (int)name, p);
		p = *end == ',' ? end + 2 : end;
	}
	if (p[0] == ')' && p[1] == ':')
		cw_buf_printf(out, "---@return %s\n", p + 3);
}

/* LuaLS writes "---@param name type", "name? type": without the colon. */
static void drop_colons(struct cw_buf *out, size_t from)
{
	char *p = out->data + from;

	while ((p = strstr(p, "---@param ")) != NULL) {
		char *colon = strchr(p, ':');

		memmove(colon, colon + 1, out->len - (size_t)(colon + 1 - out->data) + 1);
		out->len--;
		p += 10;
	}
}

static void put_global_stub(struct cw_buf *out, const struct cw_api_item *item)
{
	struct cw_buf names = CW_BUF_INIT;
	size_t from = out->len;

	if (item->doc[0] != '\0')
		cw_buf_printf(out, "---%s\n", item->doc);
	if (!is_function(item->type)) {
		cw_buf_printf(out, "---@type %s\n%s = nil\n\n", item->type, item->name);
		return;
	}
	cw_buf_puts(out, "");
	put_signature(out, item->type, &names);
	drop_colons(out, from);
	cw_buf_printf(out, "function %s(%s) end\n\n", item->name, names.len > 0 ? names.data : "");
	cw_buf_release(&names);
}

static void put_class_stub(struct cw_buf *out, const struct cw_api_item *item)
{
	if (item == cw_api_items || !same_owner(item - 1, item))
		cw_buf_printf(out, "---@class %.*s\n", (int)owner_len(item->name), item->name);
	cw_buf_printf(out, "---@field %s %s", item->name + owner_len(item->name) + 1, item->type);
	cw_buf_printf(out, item->doc[0] != '\0' ? " # %s\n" : "%s\n", item->doc);
	if (!same_owner(item, item + 1))
		cw_buf_putc(out, '\n');
}

/* Tables of globals are declared once, before their first member. */
static void put_table_stub(struct cw_buf *out, const struct cw_api_item *item)
{
	size_t n = owner_len(item->name);

	for (const struct cw_api_item *i = cw_api_items; n > 0 && i < item; i++)
		if (same_owner(i, item))
			return;
	if (n > 0)
		cw_buf_printf(out, "%.*s = {}\n\n", (int)n, item->name);
}

static void put_items_stub(struct cw_buf *out, enum cw_api_world world)
{
	for (const struct cw_api_item *i = cw_api_items; i->name != NULL; i++) {
		if (i->world != world || i->kind == CW_API_PLAIN)
			continue;
		if (i->kind == CW_API_FIELD) {
			put_class_stub(out, i);
			continue;
		}
		put_table_stub(out, i);
		put_global_stub(out, i);
	}
}

static void put_primitive_stub(struct cw_buf *out, const struct cw_primitive *p)
{
	cw_buf_printf(out, "---%s\n---@class cw.%s.%s: cw.State\n", p->doc, p->table, p->name);
	for (const struct cw_method *m = p->methods; m->name != NULL; m++) {
		cw_buf_printf(out, "---@field %s ", m->name);
		put_method_type(out, p, m);
		cw_buf_printf(out, " # %s\n", m->doc);
	}
	cw_buf_printf(out, "---@class cw.options.%s.%s\n", p->table, p->name);
	for (const struct cw_opt *o = p->opts; o->name != NULL; o++)
		cw_buf_printf(out, "---@field %s %s%s # %s\n", o->name, option_type(o), o->required ? "" : "?", o->doc);
	cw_buf_printf(out, "---%s\n---@param options cw.options.%s.%s\n---@return cw.%s.%s\nfunction %s.%s(options) end\n\n",
	              p->doc, p->table, p->name, p->table, p->name, p->table, p->name);
}

static void put_detectors_stub(struct cw_buf *out)
{
	cw_apidoc_stub_head(out, "Constructors of states, for the `state` function of a rule.");
	cw_buf_puts(out, "---@class cw.State\n\n");
	for (const struct cw_primitive *const *p = cw_primitives; *p != NULL; p++) {
		if (first_of_table(p))
			cw_buf_printf(out, "%s = {}\n\n", (*p)->table);
		put_primitive_stub(out, *p);
	}
}

const char *cw_api_stub(int index, struct cw_buf *out)
{
	static const char *const names[] = { "rules.lua", "detectors.lua", "scripts.lua", "db.lua" };

	switch (index) {
	case 0:
		cw_apidoc_stub_head(out, "What rules see.");
		put_items_stub(out, CW_API_RULES);
		break;
	case 1: put_detectors_stub(out); break;
	case 2:
		cw_apidoc_stub_head(out, "What endpoints, jobs and policies see.");
		cw_buf_puts(out, "db = {}\n\n");
		put_items_stub(out, CW_API_SCRIPTS);
		break;
	case 3: cw_apidoc_db_stub(out); break;
	default: return NULL;
	}
	while (out->len > 1 && strcmp(out->data + out->len - 2, "\n\n") == 0)
		out->data[--out->len] = '\0';
	return names[index];
}

/* --- the page --- */

/* A bar would end the cell. */
void cw_apidoc_cell(struct cw_buf *out, const char *text)
{
	for (; *text != '\0'; text++) {
		if (*text == '|')
			cw_buf_putc(out, '\\');
		cw_buf_putc(out, *text);
	}
}

static const char *short_type(const char *type)
{
	return is_function(type) ? type + 3 : type;
}

static void put_rows(struct cw_buf *out, enum cw_api_world world, enum cw_api_kind kind, const char *owner)
{
	size_t n = strlen(owner);

	cw_buf_puts(out, "| | | |\n| --- | --- | --- |\n");
	for (const struct cw_api_item *i = cw_api_items; i->name != NULL; i++) {
		if (i->world != world || i->kind != kind || owner_len(i->name) != n || strncmp(i->name, owner, n) != 0)
			continue;
		cw_buf_printf(out, "| `%s` | `", kind == CW_API_FIELD ? i->name + n + 1 : i->name);
		cw_apidoc_cell(out, short_type(i->type));
		cw_buf_puts(out, "` | ");
		cw_apidoc_cell(out, i->doc);
		cw_buf_puts(out, " |\n");
	}
	cw_buf_putc(out, '\n');
}

static void put_plain(struct cw_buf *out, enum cw_api_world world)
{
	size_t line = 0;

	for (const struct cw_api_item *i = cw_api_items; i->name != NULL; i++) {
		if (i->kind != CW_API_PLAIN || i->world != world)
			continue;
		line += strlen(i->name) + 3;
		cw_buf_printf(out, "`%s`%s", i->name, line > 110 ? "\n" : " ");
		if (line > 110)
			line = 0;
	}
	out->data[out->len - 1] = '\n';
	cw_buf_putc(out, '\n');
}

static void put_primitives(struct cw_buf *out)
{
	cw_buf_puts(out, "| state | methods |\n| --- | --- |\n");
	for (const struct cw_primitive *const *p = cw_primitives; *p != NULL; p++) {
		cw_buf_printf(out, "| `%s.%s {", (*p)->table, (*p)->name);
		for (const struct cw_opt *o = (*p)->opts; o->name != NULL; o++)
			cw_buf_printf(out, "%s%s%s", o == (*p)->opts ? " " : ", ", o->name, o->required ? "" : "?");
		cw_buf_puts(out, " }` |");
		for (const struct cw_method *m = (*p)->methods; m->name != NULL; m++) {
			cw_buf_printf(out, " `%s(%s", m->name, m->takes_tx ? "tx" : "");
			if (m->a != CW_ARG_NONE)
				cw_buf_printf(out, "%s%s?", m->takes_tx ? ", " : "", m->a == CW_ARG_FIELD ? "field" : "x");
			if (m->b != CW_ARG_NONE)
				cw_buf_printf(out, ", %s?", m->b == CW_ARG_FIELD ? "field" : "y");
			cw_buf_puts(out, ")`");
		}
		cw_buf_puts(out, " |\n");
	}
	cw_buf_putc(out, '\n');
}

/* A section for each class or table, in the order of the list. */
static void put_sections(struct cw_buf *out, enum cw_api_world world)
{
	for (const struct cw_api_item *i = cw_api_items; i->name != NULL; i++) {
		const struct cw_api_item *before = cw_api_items;
		char owner[64];
		size_t n = owner_len(i->name);

		if (i->world != world || i->kind == CW_API_PLAIN)
			continue;
		while (before < i && !(before->world == world && same_owner(before, i)))
			before++;
		if (before < i || n >= sizeof(owner))
			continue;
		memcpy(owner, i->name, n);
		owner[n] = '\0';
		cw_buf_printf(out, "### %s\n\n", n > 0 ? owner : "Functions and values");
		put_rows(out, world, i->kind, owner);
	}
}

void cw_api_markdown(struct cw_buf *out)
{
	cw_buf_puts(out,
		"# Lua API\n\n"
		"Everything that rules and scripts can see, written by `make docs` from the engine's own tables. The same for editors\n"
		"(lua-language-server) is in `scripts/meta/`; `chainwatch lua stubs DIR` writes it for the engine that one has. How to write a\n"
		"rule: [RULES.md](RULES.md); endpoints, jobs, retention: [SCRIPTS.md](SCRIPTS.md); what each detector does and costs:\n"
		"[DETECTORS.md](DETECTORS.md).\n\n"
		"Types are in the notation of LuaLS: `number?` may be nil, `x?` may be left out. A function that *waits* gives other requests\n"
		"their turn; it works under `pcall`, in iterators and metamethods, not in callbacks of `table.sort` and `string.gsub`.\n"
		"What can happen is returned as `nil, err` (a `cw.Err`), misuse raises.\n\n"
		"## Both worlds: the base\n\n"
		"LuaJIT (Lua 5.1 with `goto`) without a way out: no files, processes, modules of the system, coroutines or chunks made of text. Globals\n"
		"cannot be set, libraries cannot be changed. Patterns are Lua's, matched with a bound. In rules results of `rep`, `format`,\n"
		"`concat`, `gsub` end at 1 MB (scripts: 16 MB), `unpack` and `byte` give 250 values at most; `pairs` and `next` go in the order of the\n"
		"keys; weak tables are refused.\n\n");
	put_plain(out, CW_API_BOTH);
	cw_buf_puts(out, "Scripts have further ");
	put_plain(out, CW_API_SCRIPTS);
	cw_buf_puts(out, "`require \"lib.page\"` loads `scripts/lib/page.lua` once and gives what it returns; nothing else can be loaded.\n\n"
	                 "## Rules\n\n");
	put_sections(out, CW_API_RULES);
	cw_buf_puts(out, "### States\n\nMade in `state`, used in `evaluate`: `s.seen:add(tx)`. Options and methods in full: "
	                 "[DETECTORS.md](DETECTORS.md).\n\n");
	put_primitives(out);
	cw_buf_puts(out, "## Scripts\n\n");
	put_sections(out, CW_API_SCRIPTS);
	cw_buf_puts(out,
		"### db: repositories\n\n"
		"`db.anomalies:list { severity = \"high\" }`. Every operation waits and gives `nil, err` when it fails; one with rows has a twin\n"
		"`_json` that gives JSON text, without a Lua table for each row. A `cw.Page` is `{ items = {...}, next = cursor }`: `next` is the\n"
		"argument `cursor` of the page after it, `json.null` on the last. Times are RFC 3339 or seconds; hashes, addresses and\n"
		"amounts are text.\n\n");
	cw_apidoc_operations(out);
	while (out->len > 1 && strcmp(out->data + out->len - 2, "\n\n") == 0)
		out->data[--out->len] = '\0';
}
