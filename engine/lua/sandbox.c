#include "lua/sandbox.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "lua/embed.h"
#include "lua/guard.h"
#include "lua/match.h"
#include "lua/vm.h"

/* The base is built in Lua. */
CW_EMBED(cw_sandbox_lua, "engine/lua/sandbox.lua");

static char base_key, freeze_key, env_key;     /* their addresses are keys of the registry */

static size_t max_string(lua_State *L)
{
	return cw_vm_world(cw_vm_of(L)) == CW_WORLD_RULES ? CW_SANDBOX_STRING_RULES : CW_SANDBOX_STRING_SCRIPTS;
}

/* --- host functions --- */

/* Through FFI, for compiled code: a double needs no boxing there. */
static int work_ffi(double ticks)
{
	return cw_guard_work((int64_t)ticks);
}

static int stopped_ffi(void)
{
	return cw_guard_stopped();
}

static int l_work(lua_State *L)
{
	return cw_guard_work((int64_t)luaL_checknumber(L, 1)) ? cw_guard_raise(L) : 0;
}

static int l_stopped(lua_State *L)
{
	lua_pushinteger(L, cw_guard_stopped());
	return 1;
}

static int l_raise(lua_State *L)
{
	return cw_guard_raise(L);
}

/* overflow(error) -> is it a stack overflow? Its depth depends on the JIT, so it becomes a stop. */
static int l_overflow(lua_State *L)
{
	bool yes = cw_vm_is_overflow(L, 1);

	if (yes)
		cw_guard_trip(CW_STOP_STACK);
	lua_pushboolean(L, yes);
	return 1;
}

/* concat(t [, separator [, from [, to]]]): sizes are summed before anything is copied. */
static int l_concat(lua_State *L)
{
	size_t separator_len, len, total = 0, limit = max_string(L);
	const char *separator = luaL_optlstring(L, 2, "", &separator_len);
	luaL_Buffer out;
	lua_Integer from, to;

	luaL_checktype(L, 1, LUA_TTABLE);
	from = luaL_optinteger(L, 3, 1);
	to = luaL_opt(L, luaL_checkinteger, 4, (lua_Integer)lua_objlen(L, 1));
	if (to < from) {
		lua_pushliteral(L, "");
		return 1;
	}
	if (from < INT32_MIN / 2 || to > INT32_MAX / 2)
		return luaL_error(L, "'concat' has limits out of range");
	for (lua_Integer i = from; i <= to; i++) {
		lua_rawgeti(L, 1, (int)i);
		if (!lua_isstring(L, -1))
			return luaL_error(L, "invalid value (%s) at index %d in table for 'concat'",
			                  luaL_typename(L, -1), (int)i);
		lua_tolstring(L, -1, &len);
		total += len + (i < to ? separator_len : 0);
		lua_pop(L, 1);
		if (total > limit)
			return luaL_error(L, "'concat' returns at most %d bytes", (int)limit);
		if (i % 16 == 0 && cw_guard_work(1))
			return cw_guard_raise(L);
	}
	if (cw_guard_work((int64_t)(total / 1024)))
		return cw_guard_raise(L);
	luaL_buffinit(L, &out);
	for (lua_Integer i = from; i <= to; i++) {
		lua_rawgeti(L, 1, (int)i);
		luaL_addvalue(&out);
		if (i < to)
			luaL_addlstring(&out, separator, separator_len);
	}
	luaL_pushresult(&out);
	return 1;
}

/* %s takes any value without showing an address; %p is refused. */
static void check_format_argument(lua_State *L, int arg, char conversion)
{
	int type = lua_type(L, arg);

	if (conversion != 's' || type == LUA_TSTRING || type == LUA_TNUMBER || type == LUA_TNONE)
		return;
	if (type == LUA_TBOOLEAN)
		lua_pushstring(L, lua_toboolean(L, arg) ? "true" : "false");
	else
		lua_pushstring(L, type == LUA_TNIL ? "nil" : lua_typename(L, type));
	lua_replace(L, arg);
}

/* format(format, ...) in front of the library's own (upvalue 1): its results are bounded. */
static int l_format(lua_State *L)
{
	size_t total, len;
	const char *p = luaL_checklstring(L, 1, &total), *end = p + total;
	int arg = 1, n = lua_gettop(L);

	while ((p = memchr(p, '%', (size_t)(end - p))) != NULL) {
		p++;
		if (*p == '%') {
			p++;
			continue;
		}
		p += strspn(p, "-+ #0123456789.");
		if (*p == '\0' || strchr("cdiouxXeEfgGaAqs", *p) == NULL)
			return luaL_error(L, "invalid conversion '%%%c' to 'format'", *p);
		check_format_argument(L, ++arg, *p);
		total += 128;        /* widths and precisions have two digits */
	}
	for (int i = 2; i <= n; i++)
		if (lua_type(L, i) == LUA_TSTRING) {
			lua_tolstring(L, i, &len);
			total += 4 * len;
		}
	if (total > max_string(L))
		return luaL_error(L, "'format' returns at most %d bytes", (int)(max_string(L) / 4));
	if (total > 4096 && cw_guard_work((int64_t)(total / 1024)))
		return cw_guard_raise(L);
	lua_pushvalue(L, lua_upvalueindex(1));
	lua_insert(L, 1);
	lua_call(L, n, 1);
	return 1;
}

/* --- opening --- */

static void registry_set(lua_State *L, void *key)
{
	lua_pushlightuserdata(L, key);
	lua_insert(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

static void registry_get(lua_State *L, void *key)
{
	lua_pushlightuserdata(L, key);
	lua_rawget(L, LUA_REGISTRYINDEX);
}

/* host[name] = the C function at `address` as an FFI function of the C type. */
static void set_ffi(lua_State *L, const char *name, const char *type, void *address)
{
	cw_vm_push_hidden(L, LUA_FFILIBNAME);
	lua_getfield(L, -1, "cast");
	lua_pushstring(L, type);
	lua_pushlightuserdata(L, address);
	lua_call(L, 2, 1);
	lua_setfield(L, -3, name);
	lua_pop(L, 1);
}

static void push_host(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "work", l_work },
		{ "stopped", l_stopped },
		{ "raise", l_raise },
		{ "overflow", l_overflow },
		{ "concat", l_concat },
		{ "find", cw_match_find },
		{ "match", cw_match_match },
		{ "search", cw_match_search },
		{ NULL, NULL },
	};
	struct cw_vm *vm = cw_vm_of(L);

	lua_newtable(L);
	luaL_setfuncs(L, functions, 0);
	if (cw_vm_jit(vm)) {
		int (*work)(double) = work_ffi;
		int (*is_stopped)(void) = stopped_ffi;

		set_ffi(L, "work", "int (*)(double)", *(void **)(void *)&work);
		set_ffi(L, "stopped", "int (*)(void)", *(void **)(void *)&is_stopped);
	}
	lua_getglobal(L, "string");
	lua_getfield(L, -1, "format");
	lua_remove(L, -2);
	lua_pushcclosure(L, l_format, 1);
	lua_setfield(L, -2, "format");
	lua_getglobal(L, "unpack");
	lua_setfield(L, -2, "unpack");
	lua_pushboolean(L, cw_vm_jit(vm));
	lua_setfield(L, -2, "jit");
	lua_pushboolean(L, cw_vm_world(vm) == CW_WORLD_RULES);
	lua_setfield(L, -2, "rules");
	lua_pushnumber(L, (lua_Number)max_string(L));
	lua_setfield(L, -2, "max_string");
	lua_pushinteger(L, CW_SANDBOX_VALUES);
	lua_setfield(L, -2, "max_values");
}

void cw_sandbox_open(lua_State *L)
{
	if (luaL_loadbufferx(L, cw_sandbox_lua, cw_sandbox_lua_len, "=sandbox", "t") != 0)
		lua_error(L);
	push_host(L);
	lua_call(L, 1, 3);
	registry_set(L, &env_key);
	registry_set(L, &freeze_key);
	registry_set(L, &base_key);
}

void cw_sandbox_env(lua_State *L)
{
	registry_get(L, &env_key);
	lua_call(L, 0, 1);
}

void cw_sandbox_base(lua_State *L)
{
	registry_get(L, &base_key);
}

void cw_sandbox_expose(lua_State *L, const char *name)
{
	registry_get(L, &base_key);
	lua_insert(L, -2);
	lua_pushstring(L, name);
	lua_insert(L, -2);
	lua_rawset(L, -3);
	lua_pop(L, 1);
}

void cw_sandbox_freeze(lua_State *L)
{
	registry_get(L, &freeze_key);
	lua_insert(L, -2);
	lua_call(L, 1, 1);
}
