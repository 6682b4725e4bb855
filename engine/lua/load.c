#include "lua/load.h"

#include <lauxlib.h>
#include <lua.h>

#include "base/buf.h"
#include "base/err.h"
#include "lua/guard.h"
#include "lua/sandbox.h"
#include "lua/trace.h"
#include "lua/vm.h"

static char result_key;      /* lua_cpcall returns nothing: the function passes through the registry */

struct job {
	struct cw_vm *vm;
	const char *name, *text;
	size_t len;
	struct cw_buf guarded, traced;
	struct cw_err *err;
	int result;
};

/* The guarded function is on top; it gives way to one that tells the trace what it compares, if that can be compiled. */
static void load_traced(struct job *job, lua_State *L, const char *chunk)
{
	struct cw_trace *trace = cw_vm_trace(job->vm);
	struct cw_buf *traced = &job->traced;

	if (trace == NULL || !cw_trace_rewrite(trace, job->name, job->guarded.data, job->guarded.len, traced))
		return;
	if (luaL_loadbufferx(L, traced->data, traced->len, chunk, "t") == 0)
		lua_remove(L, -2);
	else
		lua_pop(L, 1);
}

/* LuaJIT's own limits (200 locals, 60 upvalues or more, jump distance) move by one or two through the guards; what
 * only fails with them says so. */
static int load_protected(lua_State *L)
{
	struct job *job = lua_touserdata(L, 1);
	const char *chunk = lua_pushfstring(L, "@%s", job->name);

	if (luaL_loadbufferx(L, job->text, job->len, chunk, "t") != 0) {
		job->result = cw_err_set(job->err, CW_ERR_SCRIPT, "%s", lua_tostring(L, -1));
		return 0;
	}
	lua_pop(L, 1);
	if (cw_guard_rewrite(job->text, job->len, cw_vm_jit(job->vm), job->name, &job->guarded, job->err) != 0) {
		job->result = -1;
		return 0;
	}
	if (luaL_loadbufferx(L, job->guarded.data, job->guarded.len, chunk, "t") != 0) {
		job->result = cw_err_set(job->err, CW_ERR_SCRIPT, "%s (with budget guards)", lua_tostring(L, -1));
		return 0;
	}
	load_traced(job, L, chunk);
	cw_sandbox_env(L);
	lua_setfenv(L, -2);
	cw_guard_push(L);
	cw_trace_push(cw_vm_trace(job->vm), L);
	lua_call(L, 3, 1);
	lua_pushlightuserdata(L, &result_key);
	lua_insert(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
	return 0;
}

int cw_load(struct cw_vm *vm, const char *name, const char *text, size_t len, struct cw_err *err)
{
	lua_State *L = cw_vm_state(vm);
	struct job job = { .vm = vm, .name = name, .text = text, .len = len, .guarded = CW_BUF_INIT, .traced = CW_BUF_INIT,
		               .err = err };

	if (len > CW_LOAD_MAX)
		return cw_err_set(err, CW_ERR_SCRIPT, "%s:1: file has %zu bytes, more than %zu", name, len, CW_LOAD_MAX);
	if (lua_cpcall(L, load_protected, &job) != 0) {
		job.result = cw_err_set(err, CW_ERR_SCRIPT, "%s:1: %s", name, lua_tostring(L, -1));
		lua_pop(L, 1);
	}
	cw_buf_release(&job.guarded);
	cw_buf_release(&job.traced);
	if (job.result != 0)
		return -1;
	lua_pushlightuserdata(L, &result_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_pushlightuserdata(L, &result_key);
	lua_pushnil(L);
	lua_rawset(L, LUA_REGISTRYINDEX);
	return 0;
}
