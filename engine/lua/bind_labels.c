/* bind_labels.c - table `labels`: lists of labelled addresses read in scripts.
 *
 *   labels.read(text, { file=, format=, category=, source=, confidence=, chain_id=, skip_bad= })
 *       -> rows as JSON text for db.labels:import, report as JSON text | nil, what is wrong and where */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "lua/bind.h"
#include "source/labels.h"

#define TEXT_MAX ((size_t)64 << 20)

static const char *text_of(lua_State *L, const char *key, const char *otherwise)
{
	const char *text;

	lua_getfield(L, 2, key);
	text = lua_isnil(L, -1) ? otherwise : luaL_checkstring(L, -1);
	lua_pop(L, 1);               /* the table keeps it */
	return text;
}

static double number_of(lua_State *L, const char *key, double otherwise)
{
	double number;

	lua_getfield(L, 2, key);
	number = lua_isnil(L, -1) ? otherwise : luaL_checknumber(L, -1);
	lua_pop(L, 1);
	return number;
}

/* The memory hangs on a userdata, so that an error of Lua's frees it too. */
struct reading {
	struct cw_arena *arena;
	struct cw_buf rows, report;
};

static int reading_gc(lua_State *L)
{
	struct reading *r = lua_touserdata(L, 1);

	cw_arena_free(&r->arena);
	cw_buf_release(&r->rows);
	cw_buf_release(&r->report);
	return 0;
}

static struct reading *new_reading(lua_State *L)
{
	struct reading *r = lua_newuserdata(L, sizeof(*r));

	memset(r, 0, sizeof(*r));
	cw_buf_init(&r->rows);
	cw_buf_init(&r->report);
	lua_newtable(L);
	lua_pushcfunction(L, reading_gc);
	lua_setfield(L, -2, "__gc");
	lua_setmetatable(L, -2);
	r->arena = cw_arena_new();
	return r;
}

static int l_read(lua_State *L)
{
	struct cw_labels_conf conf = { .chain_id = -1 };
	struct cw_labels labels;
	struct cw_err err = { 0 };
	struct reading *r;
	size_t len;
	const char *text = luaL_checklstring(L, 1, &len);

	luaL_checktype(L, 2, LUA_TTABLE);
	conf.file = text_of(L, "file", "the body");
	if (!cw_labels_format_parse(text_of(L, "format", "auto"), &conf.format))
		return luaL_error(L, "labels.read: format is auto, csv, tagpack, ofac or plain");
	conf.category = text_of(L, "category", NULL);
	conf.source = text_of(L, "source", NULL);
	conf.confidence = number_of(L, "confidence", NAN);
	conf.chain_id = (int64_t)number_of(L, "chain_id", -1);
	lua_getfield(L, 2, "skip_bad");
	conf.skip_bad = lua_toboolean(L, -1) != 0;
	lua_pop(L, 1);
	if (len > TEXT_MAX)
		return luaL_error(L, "labels.read takes at most 64 MiB");
	r = new_reading(L);
	if (cw_labels_read(&labels, text, len, &conf, r->arena, &err) != 0) {
		lua_pushnil(L);
		lua_pushstring(L, err.msg);
	} else {
		cw_labels_put_rows(&labels, &r->rows);
		cw_buf_putc(&r->report, '{');
		cw_labels_put_report(&labels, &r->report);
		cw_buf_putc(&r->report, '}');
		lua_pushlstring(L, r->rows.data, r->rows.len);
		lua_pushlstring(L, r->report.data, r->report.len);
	}
	cw_arena_free(&r->arena);
	cw_buf_release(&r->rows);
	cw_buf_release(&r->report);
	return 2;
}

void cw_bind_labels(lua_State *L)
{
	static const luaL_Reg functions[] = { { "read", l_read }, { NULL, NULL } };

	lua_newtable(L);
	luaL_register(L, NULL, functions);
}
