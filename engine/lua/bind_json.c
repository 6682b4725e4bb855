/* bind_json.c - table `json`: strict reader and exact writer (base/json.h) for scripts.
 *
 *   json.encode(value) -> text         tables with #t > 0 or marked by json.array() are arrays, others objects
 *   json.decode(text) -> value | nil, message
 *   json.array(t) -> t                 marks a table as an array, so that an empty one is [] and not {}
 *   json.raw(text) -> value            text that is JSON already; encode puts it in as it is
 *   json.null */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "lua/bind.h"
#include "lua/guard.h"

#define DEPTH_MAX 32
#define ARRAY_MT "cw.json.array"
#define RAW_MT "cw.json.raw"

static bool has_mt(lua_State *L, int index, const char *name)
{
	bool same;

	if (!lua_getmetatable(L, index))
		return false;
	luaL_getmetatable(L, name);
	same = lua_rawequal(L, -1, -2);
	lua_pop(L, 2);
	return same;
}

static void put_value(lua_State *L, int index, struct cw_buf *out, int depth);

static void put_number(lua_State *L, double n, struct cw_buf *out)
{
	if (!isfinite(n))
		luaL_error(L, "could not encode as JSON: a number that is not finite");
	if (n == floor(n) && fabs(n) <= 9007199254740992.0)
		cw_buf_printf(out, "%.0f", n == 0 ? 0.0 : n);
	else
		cw_json_put_double(out, n);
}

static void put_array(lua_State *L, int index, struct cw_buf *out, int depth)
{
	size_t n = lua_objlen(L, index);

	cw_buf_putc(out, '[');
	for (size_t i = 1; i <= n; i++) {
		if (i > 1)
			cw_buf_putc(out, ',');
		lua_rawgeti(L, index, (int)i);
		put_value(L, lua_gettop(L), out, depth);
		lua_pop(L, 1);
	}
	cw_buf_putc(out, ']');
}

static void put_object(lua_State *L, int index, struct cw_buf *out, int depth)
{
	bool first = true;
	size_t len;

	cw_buf_putc(out, '{');
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		const char *key;

		if (lua_type(L, -2) != LUA_TSTRING)
			luaL_error(L, "could not encode as JSON: a table with a key that is a %s", luaL_typename(L, -2));
		if (!first)
			cw_buf_putc(out, ',');
		first = false;
		key = lua_tolstring(L, -2, &len);
		cw_json_put_string(out, key, len);
		cw_buf_putc(out, ':');
		put_value(L, lua_gettop(L), out, depth);
		lua_pop(L, 1);
	}
	cw_buf_putc(out, '}');
}

static void put_table(lua_State *L, int index, struct cw_buf *out, int depth)
{
	size_t len;

	if (depth > DEPTH_MAX)
		luaL_error(L, "could not encode as JSON: nested deeper than %d (or it contains itself)", DEPTH_MAX);
	luaL_checkstack(L, 6, "JSON");
	if (has_mt(L, index, RAW_MT)) {
		const char *text;

		lua_rawgeti(L, index, 1);
		text = lua_tolstring(L, -1, &len);
		cw_buf_add(out, text, len);
		lua_pop(L, 1);
	} else if (lua_objlen(L, index) > 0 || has_mt(L, index, ARRAY_MT)) {
		put_array(L, index, out, depth);
	} else {
		put_object(L, index, out, depth);
	}
}

static void put_value(lua_State *L, int index, struct cw_buf *out, int depth)
{
	const char *text;
	size_t len;

	switch (lua_type(L, index)) {
	case LUA_TNIL: cw_buf_puts(out, "null"); return;
	case LUA_TBOOLEAN: cw_buf_puts(out, lua_toboolean(L, index) ? "true" : "false"); return;
	case LUA_TNUMBER: put_number(L, lua_tonumber(L, index), out); return;
	case LUA_TSTRING:
		text = lua_tolstring(L, index, &len);
		cw_json_put_string(out, text, len);
		return;
	case LUA_TTABLE: put_table(L, index, out, depth + 1); return;
	case LUA_TLIGHTUSERDATA:
		if (lua_touserdata(L, index) == NULL) {
			cw_buf_puts(out, "null");
			return;
		}
		/* fall through */
	default: luaL_error(L, "could not encode as JSON: a %s", luaL_typename(L, index));
	}
}

void cw_bind_put_json(lua_State *L, int index, struct cw_buf *out)
{
	put_value(L, index, out, 0);
}

void cw_bind_push_json(lua_State *L, const struct cw_json *value)
{
	double n;
	int i = 0;

	luaL_checkstack(L, 4, "JSON");
	switch (value->type) {
	case CW_JSON_NULL: lua_pushlightuserdata(L, NULL); return;
	case CW_JSON_FALSE: lua_pushboolean(L, 0); return;
	case CW_JSON_TRUE: lua_pushboolean(L, 1); return;
	case CW_JSON_STRING: lua_pushlstring(L, value->text, value->len); return;
	case CW_JSON_NUMBER:
		if (cw_json_to_double(value, &n) && (!cw_json_is_integer(value) || fabs(n) <= 9007199254740992.0))
			lua_pushnumber(L, n);
		else
			lua_pushlstring(L, value->text, value->len);
		return;
	case CW_JSON_ARRAY:
		lua_createtable(L, (int)value->count, 0);
		for (const struct cw_json *e = value->first; e != NULL; e = e->next) {
			cw_bind_push_json(L, e);
			lua_rawseti(L, -2, ++i);
		}
		luaL_getmetatable(L, ARRAY_MT);
		lua_setmetatable(L, -2);
		return;
	case CW_JSON_OBJECT:
		lua_createtable(L, 0, (int)value->count);
		for (const struct cw_json *m = value->first; m != NULL; m = m->next) {
			lua_pushlstring(L, m->key, m->key_len);
			cw_bind_push_json(L, m);
			lua_rawset(L, -3);
		}
		return;
	}
}

bool cw_bind_is_array(lua_State *L, int index)
{
	return lua_istable(L, index) && has_mt(L, index, ARRAY_MT);
}

/* The buffer is owned by a userdata, so that an error while encoding leaks nothing. */
static int buf_gc(lua_State *L)
{
	cw_buf_release(lua_touserdata(L, 1));
	return 0;
}

static struct cw_buf *push_buf(lua_State *L)
{
	struct cw_buf *buf = lua_newuserdata(L, sizeof(*buf));

	cw_buf_init(buf);
	if (luaL_newmetatable(L, "cw.buf")) {
		lua_pushcfunction(L, buf_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	return buf;
}

static int l_encode(lua_State *L)
{
	struct cw_buf *buf;

	luaL_checkany(L, 1);
	lua_settop(L, 1);
	buf = push_buf(L);
	cw_bind_put_json(L, 1, buf);
	lua_pushlstring(L, buf->data, buf->len);
	cw_buf_release(buf);
	return 1;
}

static int arena_gc(lua_State *L)
{
	cw_arena_free(lua_touserdata(L, 1));
	return 0;
}

static int l_decode(lua_State *L)
{
	struct cw_json_error error;
	const struct cw_json *value;
	struct cw_arena **arena;
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);

	if (cw_guard_work((int64_t)(len / 64) + 1))
		return cw_guard_raise(L);
	arena = lua_newuserdata(L, sizeof(*arena));
	*arena = NULL;
	if (luaL_newmetatable(L, "cw.arena")) {
		lua_pushcfunction(L, arena_gc);
		lua_setfield(L, -2, "__gc");
	}
	lua_setmetatable(L, -2);
	*arena = cw_arena_new();
	value = cw_json_parse(text, len, DEPTH_MAX, *arena, &error);
	if (value != NULL) {
		cw_bind_push_json(L, value);
		cw_arena_free(arena);
		return 1;
	}
	cw_arena_free(arena);
	lua_pushnil(L);
	lua_pushfstring(L, "line %d, column %d: %s", (int)error.line, (int)error.column, error.what);
	return 2;
}

static int l_array(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	lua_settop(L, 1);
	luaL_getmetatable(L, ARRAY_MT);
	lua_setmetatable(L, 1);
	return 1;
}

static int l_raw(lua_State *L)
{
	luaL_checkstring(L, 1);
	lua_createtable(L, 1, 0);
	lua_pushvalue(L, 1);
	lua_rawseti(L, -2, 1);
	luaL_getmetatable(L, RAW_MT);
	lua_setmetatable(L, -2);
	return 1;
}

/* A metatable that scripts cannot look at. */
static void make_mt(lua_State *L, const char *name)
{
	luaL_newmetatable(L, name);
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);
}

void cw_bind_json(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "encode", l_encode }, { "decode", l_decode }, { "array", l_array }, { "raw", l_raw }, { NULL, NULL },
	};

	make_mt(L, ARRAY_MT);
	make_mt(L, RAW_MT);
	lua_newtable(L);
	luaL_register(L, NULL, functions);
	lua_pushlightuserdata(L, NULL);
	lua_setfield(L, -2, "null");
}
