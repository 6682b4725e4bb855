/* bind_db.c - table `db`: every operation of the repositories (store/repo.h), bound in one loop.
 *
 *   db.anomalies:list { severity = "high", limit = 50 } -> {items = {...}, next = cursor | json.null} | nil, err
 *   db.transactions:get { hash = "0x..." }              -> row | nil, err (err.code "not_found" if there is none)
 *   db.anomalies:review { ... }                         -> row | nil, err; without columns: the number of rows
 *   db.anomalies:list_json { ... }                      -> the same as JSON text, without a Lua table a row
 *
 * They wait: only inside a request or a job. A wrong argument is an error of code "invalid". */
#include <lauxlib.h>
#include <lua.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "lua/bind.h"
#include "lua/job.h"
#include "lua/scripts.h"
#include "lua/transaction.h"
#include "store/repo.h"

struct wait {
	struct cw_job *job;
	struct cw_transaction *tx;   /* NULL: the statement is a transaction of its own */
	struct cw_call *call;
	const struct cw_op *op;
	uint64_t ticket;
	bool as_json, none;
	int64_t affected;
	struct cw_buf json;
	struct cw_err err;
};

static void wait_release(void *arg)
{
	struct wait *w = arg;

	cw_buf_release(&w->json);
}

static void wait_cancel(void *arg)
{
	struct wait *w = arg;

	cw_repo_cancel(&w->call);
}

static void on_rows(void *arg, const struct cw_rows *rows, const struct cw_err *err)
{
	struct wait *w = arg;

	w->call = NULL;
	if (err != NULL) {
		w->err = *err;
		if (w->tx != NULL)
			cw_transaction_failed(w->tx, &w->err);
	} else if (w->op->kind == CW_OP_PAGE || w->op->kind == CW_OP_ROWS) {
		cw_rows_put_page(rows, &w->json);
	} else {
		w->affected = rows->affected;
		w->none = rows->count == 0;
		if (rows->count > 0)
			cw_rows_put_json(rows, 0, &w->json);
	}
	cw_job_resume(w->job, w->ticket);
}

static void buf_release(void *arg)
{
	cw_buf_release(arg);
}

/* true, nil, err for boot.lua: answered at once. */
static int refuse(lua_State *L, const struct cw_err *err)
{
	lua_pushboolean(L, 1);
	lua_pushnil(L);
	cw_bind_push_error(L, err, NULL);
	return 3;
}

/* A table where JSON is wanted; one without a JSON form raises. */
static int set_json(lua_State *L, struct cw_args *args, const char *name, struct cw_err *err)
{
	struct cw_job *job = cw_job_current(L);
	struct cw_buf *text = cw_arena_zalloc(cw_job_arena(job), sizeof(*text));

	cw_buf_init(text);
	cw_arena_cleanup(cw_job_arena(job), buf_release, text);
	cw_bind_put_json(L, lua_gettop(L), text);
	return cw_args_set(args, name, text->data, text->len, err);
}

static int set_value(lua_State *L, struct cw_args *args, const char *name, struct cw_err *err)
{
	char number[40];
	const char *text;
	size_t len;
	double n;

	switch (lua_type(L, -1)) {
	case LUA_TSTRING:
		text = lua_tolstring(L, -1, &len);
		return cw_args_set(args, name, text, len, err);
	case LUA_TBOOLEAN:
		text = lua_toboolean(L, -1) ? "true" : "false";
		return cw_args_set(args, name, text, strlen(text), err);
	case LUA_TNUMBER:
		n = lua_tonumber(L, -1);
		snprintf(number, sizeof(number), n == floor(n) && fabs(n) < 1e15 ? "%.0f" : "%.17g", n);
		return cw_args_set(args, name, number, strlen(number), err);
	case LUA_TLIGHTUSERDATA: return 0;   /* json.null: not given */
	case LUA_TTABLE:
		if (cw_args_type(args, name) == CW_ARG_JSON)
			return set_json(L, args, name, err);
		for (size_t i = 1, count = lua_objlen(L, -1); i <= count; i++) {
			int rc;

			lua_rawgeti(L, -1, (int)i);
			rc = lua_istable(L, -1) ? cw_err_set(err, CW_ERR_INVALID, "argument \"%s\": a list in a list", name)
			                        : set_value(L, args, name, err);
			lua_pop(L, 1);
			if (rc != 0)
				return -1;
		}
		return 0;
	default:
		return cw_err_set(err, CW_ERR_INVALID, "argument \"%s\" cannot be a %s", name, luaL_typename(L, -1));
	}
}

/* The table of arguments is at index 2: db.repo:name{...}. */
static int read_args(lua_State *L, struct cw_args *args, struct cw_err *err)
{
	if (lua_isnoneornil(L, 2))
		return 0;
	luaL_checktype(L, 2, LUA_TTABLE);
	lua_pushnil(L);
	while (lua_next(L, 2) != 0) {
		if (lua_type(L, -2) != LUA_TSTRING)
			return luaL_error(L, "arguments have names: { name = value }");
		if (set_value(L, args, lua_tostring(L, -2), err) != 0)
			return -1;
		lua_pop(L, 1);
	}
	return 0;
}

/* Inside db.transaction() on its connection, else on any. */
static struct cw_call *begin(struct wait *w, struct cw_pool *pool, const struct cw_args *args, struct cw_err *err)
{
	struct cw_conn *conn;

	w->tx = cw_transaction_of(w->job);
	if (w->tx == NULL)
		return cw_repo_call(pool, args, on_rows, w, err);
	conn = cw_transaction_conn(w->tx, err);
	return conn != NULL ? cw_repo_call_on(conn, args, on_rows, w, err) : NULL;
}

/* Upvalues: the operation, and whether JSON text is wanted. */
static int l_start(lua_State *L)
{
	const struct cw_op *op = lua_touserdata(L, lua_upvalueindex(1));
	const struct cw_script_env *env = cw_bind_generation(L)->env;
	struct cw_job *job = cw_job_check_wait(L);
	struct cw_arena *arena = cw_job_arena(job);
	struct cw_args *args = cw_arena_alloc(arena, sizeof(*args));
	struct cw_err err;
	struct wait *w;

	if (lua_type(L, 1) != LUA_TTABLE)
		return luaL_error(L, "call it with a colon: db.%s:%s{...}", op->repo, op->name);
	cw_args_init(args, op, arena);
	if (read_args(L, args, &err) != 0)
		return refuse(L, &err);
	w = cw_arena_zalloc(arena, sizeof(*w));
	w->job = job;
	w->op = op;
	w->as_json = lua_toboolean(L, lua_upvalueindex(2));
	w->ticket = cw_job_ticket(job);
	cw_buf_init(&w->json);
	cw_arena_cleanup(arena, wait_release, w);
	w->call = begin(w, env->pool, args, &err);
	if (w->call == NULL)
		return refuse(L, &err);
	return cw_job_wait(job, wait_cancel, w);
}

static int push_value(lua_State *L, const struct wait *w, struct cw_arena *arena)
{
	struct cw_json_error error;
	const struct cw_json *value;

	if (w->as_json) {
		lua_pushlstring(L, w->json.data, w->json.len);
		return 1;
	}
	value = cw_json_parse(w->json.data, w->json.len, CW_JSON_DEPTH_DEFAULT, arena, &error);
	if (value == NULL)
		return luaL_error(L, "could not read the rows: %s", error.what);
	cw_bind_push_json(L, value);
	return 1;
}

int cw_bind_db_collect(lua_State *L)
{
	struct wait *w = cw_job_answer(L);
	struct cw_arena *arena = cw_job_arena(cw_job_check_wait(L));

	if (w->err.code == CW_OK && w->none && (w->op->kind == CW_OP_ONE || w->op->ncolumns > 0))
		cw_err_set(&w->err, CW_ERR_NOT_FOUND, "%s: there is no such row", w->op->repo);
	if (w->err.code != CW_OK) {
		lua_pushnil(L);
		cw_bind_push_error(L, &w->err, NULL);
		return 2;
	}
	if (w->op->kind == CW_OP_EXEC && w->op->ncolumns == 0) {
		lua_pushnumber(L, (lua_Number)w->affected);
		return 1;
	}
	return push_value(L, w, arena);
}

static void add_function(lua_State *L, const struct cw_op *op, bool as_json)
{
	lua_pushlightuserdata(L, (void *)(uintptr_t)op);
	lua_pushboolean(L, as_json);
	lua_pushcclosure(L, l_start, 2);
	if (as_json)
		lua_pushfstring(L, "%s_json", op->name);
	else
		lua_pushstring(L, op->name);
	lua_insert(L, -2);
	lua_rawset(L, -3);
}

void cw_bind_db(lua_State *L)
{
	lua_newtable(L);
	for (const struct cw_op *const *op = cw_ops; *op != NULL; op++) {
		lua_getfield(L, -1, (*op)->repo);
		if (lua_isnil(L, -1)) {
			lua_pop(L, 1);
			lua_newtable(L);
			lua_pushvalue(L, -1);
			lua_setfield(L, -3, (*op)->repo);
		}
		add_function(L, *op, false);
		if ((*op)->ncolumns > 0)
			add_function(L, *op, true);
		lua_pop(L, 1);
	}
}
