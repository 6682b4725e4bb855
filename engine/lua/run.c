#include "lua/run.h"

#include <lua.h>

#include "base/buf.h"
#include "base/err.h"
#include "lua/load.h"
#include "lua/rule.h"
#include "lua/rulejson.h"
#include "pipeline/evaluate.h"

#define VALUES_MAX 200        /* results that are printed */

static void put_value(lua_State *L, int index, struct cw_buf *out)
{
	size_t len, before = out->len;
	const char *text;

	switch (lua_type(L, index)) {
	case LUA_TNIL:
		cw_buf_puts(out, "nil");
		break;
	case LUA_TBOOLEAN:
		cw_buf_puts(out, lua_toboolean(L, index) ? "true" : "false");
		break;
	case LUA_TNUMBER:
	case LUA_TSTRING:
		lua_pushvalue(L, index);          /* lua_tolstring would turn a number on the stack into text */
		text = lua_tolstring(L, -1, &len);
		cw_buf_add(out, text, len);
		lua_pop(L, 1);
		break;
	case LUA_TTABLE:
		if (cw_rulejson_write(L, index, "table", out) == NULL)
			break;
		out->len = before;
		cw_buf_puts(out, "table");
		break;
	default:
		cw_buf_puts(out, lua_typename(L, lua_type(L, index)));
	}
	cw_buf_putc(out, '\n');
}

static int run(struct cw_vm *vm, const struct cw_run_conf *conf, const char *name, const char *text, size_t len,
               struct cw_buf *out, struct cw_err *err)
{
	const struct cw_budget budget = { .ticks = conf->ticks > 0 ? conf->ticks : cw_rules_conf_default.ticks,
		                              .time_us = conf->wall_us > 0 ? conf->wall_us : 1000000 };
	lua_State *L = cw_vm_state(vm);
	struct cw_vm_report report;
	int top = lua_gettop(L);

	if (cw_load(vm, name, text, len, err) != 0)
		return -1;
	if (cw_vm_call(vm, L, 0, LUA_MULTRET, &budget, &report) != 0)
		return cw_err_set(err, CW_ERR_SCRIPT, "%s", report.message);
	for (int i = top + 1; i <= lua_gettop(L) && i <= top + VALUES_MAX; i++)
		put_value(L, i, out);
	return 0;
}

static int run_as_rule(const struct cw_run_conf *conf, const char *name, const char *text, size_t len,
                       struct cw_buf *out, struct cw_err *err)
{
	struct cw_rules_conf with = cw_rules_conf_default;
	const struct cw_bundle none = { .params_json = "{}" };
	struct cw_rules *rules;
	int rc;

	with.jit = conf->jit;
	if (conf->memory_bytes > 0)
		with.memory_bytes = conf->memory_bytes;
	rules = cw_rules_load(&none, &with, err);
	if (rules == NULL)
		return -1;
	rc = run(cw_rules_vm(rules), conf, name, text, len, out, err);
	cw_rules_free(&rules);
	return rc;
}

int cw_lua_run(const struct cw_run_conf *conf, const char *name, const char *text, size_t len, struct cw_buf *out,
               struct cw_err *err)
{
	const struct cw_vm_conf scripts = { .world = CW_WORLD_SCRIPTS, .jit = conf->jit,
		                                .soft_bytes = conf->memory_bytes > 0 ? conf->memory_bytes : (size_t)64 << 20 };
	struct cw_vm *vm;
	int rc;

	if (conf->world == CW_WORLD_RULES)
		return run_as_rule(conf, name, text, len, out, err);
	vm = cw_vm_new(&scripts, err);
	if (vm == NULL)
		return -1;
	rc = run(vm, conf, name, text, len, out, err);
	cw_vm_free(&vm);
	return rc;
}
