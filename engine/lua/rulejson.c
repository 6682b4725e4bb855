#include "lua/rulejson.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lua.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"

struct writer {
	lua_State *L;
	struct cw_buf *out;
	char path[128];
	char fault[256];
};

static bool refuse(struct writer *w, const char *what)
{
	if (w->fault[0] == '\0')
		snprintf(w->fault, sizeof(w->fault), "%s %s", w->path, what);
	return false;
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* UTF-8 without NUL: otherwise two keys could become the same one. */
static bool is_text(lua_State *L)
{
	size_t len;
	const char *key = lua_tolstring(L, -1, &len);

	return strlen(key) == len && cw_utf8_check(key, len) == len;
}

/* The text keys in order; -1 if there are others or too many. Tables with keys 1 .. n give 0 and *list. */
static int read_keys(lua_State *L, int index, const char *keys[CW_RULEJSON_KEYS], bool *list)
{
	int n = 0, numbers = 0, size = (int)lua_objlen(L, index);

	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		lua_pop(L, 1);
		if (lua_type(L, -1) == LUA_TNUMBER && lua_tonumber(L, -1) >= 1 && lua_tonumber(L, -1) <= size)
			numbers++;
		else if (lua_type(L, -1) == LUA_TSTRING && n < CW_RULEJSON_KEYS && is_text(L))
			keys[n++] = lua_tostring(L, -1);
		else
			n = CW_RULEJSON_KEYS + 1;
		if (n > CW_RULEJSON_KEYS || numbers > CW_RULEJSON_KEYS) {
			lua_pop(L, 1);
			return -1;
		}
	}
	if (numbers > 0 && (n > 0 || numbers != size))
		return -1;
	*list = numbers > 0;
	if (n > 1)
		qsort(keys, (size_t)n, sizeof(*keys), compare_keys);
	return n;
}

static bool write_value(struct writer *w, int depth);

/* Writes the value on top of the stack below a longer path; pops it. */
static bool write_member(struct writer *w, int depth, const char *key, int number)
{
	size_t len = strlen(w->path);
	bool ok;

	if (key != NULL)
		snprintf(w->path + len, sizeof(w->path) - len, ".%s", key);
	else
		snprintf(w->path + len, sizeof(w->path) - len, "[%d]", number);
	ok = write_value(w, depth);
	w->path[len] = '\0';
	lua_pop(w->L, 1);
	return ok;
}

static bool write_list(struct writer *w, int table, int depth)
{
	int size = (int)lua_objlen(w->L, table);

	cw_buf_putc(w->out, '[');
	for (int i = 1; i <= size; i++) {
		if (i > 1)
			cw_buf_putc(w->out, ',');
		lua_rawgeti(w->L, table, i);
		if (!write_member(w, depth, NULL, i))
			return false;
	}
	cw_buf_putc(w->out, ']');
	return true;
}

static bool write_table(struct writer *w, int depth)
{
	const char *keys[CW_RULEJSON_KEYS];
	int table = lua_gettop(w->L), n;
	bool list = false;

	if (depth >= CW_RULEJSON_DEPTH)
		return refuse(w, "is nested too deeply");
	n = read_keys(w->L, table, keys, &list);
	if (n < 0)
		return refuse(w, "needs keys that are all text (UTF-8), or 1 to n, at most 64 of them");
	if (list)
		return write_list(w, table, depth + 1);
	cw_buf_putc(w->out, '{');
	for (int i = 0; i < n; i++) {
		if (i > 0)
			cw_buf_putc(w->out, ',');
		cw_json_put_cstring(w->out, keys[i]);
		cw_buf_putc(w->out, ':');
		lua_pushstring(w->L, keys[i]);
		lua_rawget(w->L, table);
		if (!write_member(w, depth + 1, keys[i], 0))
			return false;
	}
	cw_buf_putc(w->out, '}');
	return true;
}

/* What jsonb cannot hold, NUL, becomes U+FFFD, as do bytes that are not UTF-8. */
static void put_text(struct cw_buf *out, const char *text, size_t len)
{
	struct cw_buf clean = CW_BUF_INIT;

	if (memchr(text, '\0', len) == NULL) {
		cw_json_put_string(out, text, len);
		return;
	}
	for (size_t i = 0; i < len; i++)
		cw_buf_putc(&clean, text[i] != '\0' ? text[i] : '\xff');
	cw_json_put_string(out, clean.data, clean.len);
	cw_buf_release(&clean);
}

/* The value on top of the stack; stays there. */
static bool write_value(struct writer *w, int depth)
{
	size_t len;
	const char *text;
	char what[120];

	if (!lua_checkstack(w->L, 8))
		return refuse(w, "is nested too deeply");
	switch (lua_type(w->L, -1)) {
	case LUA_TNUMBER:
		cw_json_put_double(w->out, lua_tonumber(w->L, -1));
		return true;
	case LUA_TBOOLEAN:
		cw_buf_puts(w->out, lua_toboolean(w->L, -1) ? "true" : "false");
		return true;
	case LUA_TSTRING:
		text = lua_tolstring(w->L, -1, &len);
		put_text(w->out, text, len);
		return true;
	case LUA_TTABLE:
		return write_table(w, depth);
	default:
		snprintf(what, sizeof(what), "is a %s; only numbers, text, booleans and tables can be kept",
		         lua_typename(w->L, lua_type(w->L, -1)));
		return refuse(w, what);
	}
}

const char *cw_rulejson_write(lua_State *L, int index, const char *what, struct cw_buf *out)
{
	static struct writer w;

	w.L = L;
	w.out = out;
	w.fault[0] = '\0';
	snprintf(w.path, sizeof(w.path), "%s", what);
	if (!lua_checkstack(L, 8))
		return "the stack is full";
	lua_pushvalue(L, index);
	write_value(&w, 0);
	lua_pop(L, 1);
	return w.fault[0] != '\0' ? w.fault : NULL;
}

static void put_for_people(lua_State *L, struct cw_buf *out)
{
	double number = lua_tonumber(L, -1);

	if (lua_type(L, -1) == LUA_TSTRING)
		cw_buf_printf(out, "%.80s", lua_tostring(L, -1));
	else if (lua_type(L, -1) == LUA_TBOOLEAN)
		cw_buf_puts(out, lua_toboolean(L, -1) ? "yes" : "no");
	else if (number == floor(number) && fabs(number) < 1e15)
		cw_buf_printf(out, "%.0f", number);
	else
		cw_buf_printf(out, "%.6g", number);
}

void cw_rulejson_sentence(lua_State *L, int index, struct cw_buf *out)
{
	const char *keys[CW_RULEJSON_KEYS], *comma = "";
	bool list;
	int n = read_keys(L, index, keys, &list);

	for (int i = 0; i < n; i++) {
		lua_pushstring(L, keys[i]);
		lua_rawget(L, index);
		if (lua_type(L, -1) != LUA_TTABLE) {
			cw_buf_puts(out, comma);
			for (const char *p = keys[i]; *p != '\0'; p++)
				cw_buf_putc(out, *p == '_' ? ' ' : *p);
			cw_buf_putc(out, ' ');
			put_for_people(L, out);
			comma = ", ";
		}
		lua_pop(L, 1);
	}
}
