/* script.h - running bits of Lua in a VM of the engine, for unit tests. */
#ifndef CW_TESTS_SUPPORT_SCRIPT_H
#define CW_TESTS_SUPPORT_SCRIPT_H

#include <stdio.h>
#include <string.h>

#include <check.h>
#include <lauxlib.h>
#include <lua.h>

#include "base/err.h"
#include "lua/load.h"
#include "lua/vm.h"

static inline struct cw_vm *script_vm(enum cw_world world, bool jit)
{
	struct cw_vm_conf conf = { .world = world, .soft_bytes = (size_t)64 << 20, .jit = jit };
	struct cw_err err;
	struct cw_vm *vm;

	cw_vm_prepare_process();
	vm = cw_vm_new(&conf, &err);
	ck_assert_msg(vm != NULL, "%s", err.msg);
	return vm;
}

/* What running the text gave: "ok: <value>", or the message. In a static buffer. */
static inline const char *script_run(struct cw_vm *vm, const char *text, size_t len, int64_t ticks, int64_t time_us,
                                     struct cw_vm_report *report)
{
	static char out[1024];
	struct cw_budget budget = { .ticks = ticks, .time_us = time_us };
	lua_State *L = cw_vm_state(vm);
	int top = lua_gettop(L);
	struct cw_err err;

	*report = (struct cw_vm_report){ 0 };
	if (cw_load(vm, "t.lua", text, len, &err) != 0) {
		snprintf(out, sizeof(out), "%s", err.msg);
	} else if (cw_vm_call(vm, L, 0, 1, &budget, report) != 0) {
		snprintf(out, sizeof(out), "%s", report->message);
	} else {
		const char *value = lua_isboolean(L, -1) ? (lua_toboolean(L, -1) ? "true" : "false") :
		                    lua_isstring(L, -1) ? lua_tostring(L, -1) : luaL_typename(L, -1);

		snprintf(out, sizeof(out), "ok: %s", value);
		lua_pop(L, 1);
	}
	ck_assert_int_eq(lua_gettop(L), top);
	return out;
}

static inline const char *script_text(struct cw_vm *vm, const char *text)
{
	struct cw_vm_report report;

	return script_run(vm, text, strlen(text), 10000000, 5000000, &report);
}

#endif
