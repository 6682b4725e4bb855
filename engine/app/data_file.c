#include "app/data_file.h"

#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "app/bundle.h"
#include "app/systemd.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "lua/load.h"
#include "lua/sandbox.h"
#include "lua/vm.h"

#define FILE_MAX (1u << 20)
#define SECRET_MAX (64u << 10)
#define DEPTH_MAX 16

static int l_env(lua_State *L)
{
	const char *name = luaL_checkstring(L, 1), *value = getenv(name);

	if (value == NULL)
		return luaL_error(L, "environment variable \"%s\" is not set", name);
	lua_pushstring(L, value);
	return 1;
}

/* The first line of a file: secrets are mounted so. */
static int push_secret(lua_State *L, const char *path)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_err err;
	size_t len;
	const char *text = cw_file_read(path, SECRET_MAX, &len, arena, &err);

	if (text != NULL)
		lua_pushlstring(L, text, strcspn(text, "\r\n"));
	cw_arena_free(&arena);
	return text != NULL ? 1 : luaL_error(L, "%s", err.msg);
}

static int l_file(lua_State *L)
{
	return push_secret(L, luaL_checkstring(L, 1));
}

/* credential("name"): a secret that systemd loaded for the service. */
static int l_credential(lua_State *L)
{
	char path[4096];
	struct cw_err err;

	if (cw_systemd_credential(luaL_checkstring(L, 1), path, sizeof(path), &err) != 0)
		return luaL_error(L, "%s", err.msg);
	return push_secret(L, path);
}

/* Leaves the file's table on the stack. */
static int evaluate(struct cw_vm *vm, const char *path, const char *text, size_t len, struct cw_err *err)
{
	/* A file of settings has no loop worth the name: a tenth of a second of work is a mistake. */
	static const struct cw_budget budget = { .ticks = 1000000, .time_us = 1000000 };
	struct lua_State *L = cw_vm_state(vm);
	struct cw_vm_report report;

	lua_pushcfunction(L, l_env);
	cw_sandbox_expose(L, "env");
	lua_pushcfunction(L, l_file);
	cw_sandbox_expose(L, "file");
	lua_pushcfunction(L, l_credential);
	cw_sandbox_expose(L, "credential");
	if (cw_load(vm, path, text, len, err) != 0) {
		err->code = CW_ERR_INVALID;
		return -1;
	}
	if (cw_vm_call(vm, L, 0, 1, &budget, &report) != 0)
		return cw_err_set(err, CW_ERR_INVALID, "%s", report.message);
	if (!lua_istable(L, -1))
		return cw_err_set(err, CW_ERR_INVALID, "%s:1: the file must return a table", path);
	return 0;
}

int cw_data_file_run(const char *path, cw_data_file_fn *fn, void *arg, struct cw_err *err)
{
	static const struct cw_vm_conf conf = { .world = CW_WORLD_SCRIPTS, .soft_bytes = 64u << 20, .jit = false };
	struct cw_arena *arena = cw_arena_new();
	struct cw_vm *vm = NULL;
	size_t len;
	const char *text = cw_file_read(path, FILE_MAX, &len, arena, err);
	int rc = -1;

	if (text != NULL)
		vm = cw_vm_new(&conf, err);
	if (vm != NULL && evaluate(vm, path, text, len, err) == 0)
		rc = fn(arg, cw_vm_state(vm), text, err);
	cw_vm_free(&vm);
	cw_arena_free(&arena);
	return rc;
}

int cw_data_file_line(const char *source, const char *section, const char *key)
{
	const char *p = source, *from = section != NULL ? strstr(source, section) : source;
	size_t n = strlen(key);
	int line = 1;

	for (const char *at = from != NULL ? strstr(from, key) : NULL; at != NULL; at = strstr(at + 1, key)) {
		const char *after = at + n;

		after += strspn(after, " \t\"']");
		if (*after != '=')
			continue;
		for (; p < at; p++)
			line += *p == '\n';
		return line;
	}
	return 1;
}

struct walk {
	struct cw_buf *out;
	struct cw_err *err;
	const char *path;
};

static int put_table(struct walk *w, lua_State *L, int depth);

/* The value on top of the stack. */
static int put_value(struct walk *w, lua_State *L, int depth)
{
	size_t len;
	const char *text;

	switch (lua_type(L, -1)) {
	case LUA_TNIL: cw_buf_puts(w->out, "null"); return 0;
	case LUA_TBOOLEAN: cw_buf_puts(w->out, lua_toboolean(L, -1) ? "true" : "false"); return 0;
	case LUA_TNUMBER:
		if (!isfinite(lua_tonumber(L, -1)))
			return cw_err_set(w->err, CW_ERR_INVALID, "%s: a number that is not finite", w->path);
		cw_json_put_double(w->out, lua_tonumber(L, -1));
		return 0;
	case LUA_TSTRING:
		text = lua_tolstring(L, -1, &len);
		cw_json_put_string(w->out, text, len);
		return 0;
	case LUA_TTABLE: return put_table(w, L, depth + 1);
	default:
		return cw_err_set(w->err, CW_ERR_INVALID, "%s: a %s is not data", w->path, luaL_typename(L, -1));
	}
}

static int put_array(struct walk *w, lua_State *L, int depth)
{
	size_t n = lua_objlen(L, -1);

	cw_buf_putc(w->out, '[');
	for (size_t i = 1; i <= n; i++) {
		int rc;

		if (i > 1)
			cw_buf_putc(w->out, ',');
		lua_rawgeti(L, -1, (int)i);
		rc = put_value(w, L, depth);
		lua_pop(L, 1);
		if (rc != 0)
			return -1;
	}
	cw_buf_putc(w->out, ']');
	return 0;
}

static int put_object(struct walk *w, lua_State *L, int depth)
{
	bool first = true;

	cw_buf_putc(w->out, '{');
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		if (lua_type(L, -2) != LUA_TSTRING)
			return cw_err_set(w->err, CW_ERR_INVALID, "%s: a table mixes names and positions", w->path);
		if (!first)
			cw_buf_putc(w->out, ',');
		first = false;
		cw_json_put_cstring(w->out, lua_tostring(L, -2));
		cw_buf_putc(w->out, ':');
		if (put_value(w, L, depth) != 0)
			return -1;
		lua_pop(L, 1);
	}
	cw_buf_putc(w->out, '}');
	return 0;
}

static int put_table(struct walk *w, lua_State *L, int depth)
{
	if (depth > DEPTH_MAX)
		return cw_err_set(w->err, CW_ERR_INVALID, "%s: nested deeper than %d", w->path, DEPTH_MAX);
	return lua_objlen(L, -1) > 0 ? put_array(w, L, depth) : put_object(w, L, depth);
}

static int to_json(void *arg, struct lua_State *L, const char *source, struct cw_err *err)
{
	struct walk *w = arg;

	(void)source;
	w->err = err;
	return put_table(w, L, 0);
}

int cw_data_file_to_json(const char *path, struct cw_buf *out, struct cw_err *err)
{
	struct walk w = { .out = out, .path = path };

	return cw_data_file_run(path, to_json, &w, err);
}
