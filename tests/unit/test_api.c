/* What rules and scripts really reach is what lua/api.c lists, and docs/LUA_API.md and scripts/meta say so.
 * `make docs` (CHAINWATCH_UPDATE_DOCS=1 build/unit/test_api) writes them anew. Run from the top of the repository. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "detect/primitive.h"
#include "lua/api.h"
#include "lua/load.h"
#include "lua/rule.h"
#include "lua/vm.h"
#include "pipeline/evaluate.h"
#include "support/rules.h"

/* --- sets of names --- */

struct names { char *list[1024]; int n; };

static void add(struct names *names, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct names *names, const char *format, ...)
{
	char name[160];
	va_list args;

	va_start(args, format);
	vsnprintf(name, sizeof(name), format, args);
	va_end(args);
	ck_assert_int_lt(names->n, 1024);
	names->list[names->n++] = strdup(name);
}

static bool has(const struct names *names, const char *name)
{
	for (int i = 0; i < names->n; i++)
		if (strcmp(names->list[i], name) == 0)
			return true;
	return false;
}

static void release(struct names *names)
{
	for (int i = 0; i < names->n; i++)
		free(names->list[i]);
	names->n = 0;
}

static void compare(const struct names *found, const struct names *listed, const char *world)
{
	for (int i = 0; i < found->n; i++)
		ck_assert_msg(has(listed, found->list[i]), "%s reach \"%s\", which lua/api.c does not list", world, found->list[i]);
	for (int i = 0; i < listed->n; i++)
		ck_assert_msg(has(found, listed->list[i]), "lua/api.c lists \"%s\", which %s do not reach", listed->list[i], world);
}

static void list_globals(enum cw_api_world world, struct names *names)
{
	for (const struct cw_api_item *i = cw_api_items; i->name != NULL; i++)
		if ((i->world & world) != 0 && i->kind != CW_API_FIELD)
			add(names, "%s", i->name);
}

/* --- rules: everything reachable from the environment, through the frozen views --- */

/* The table behind the frozen view on top; replaces it. */
static void open_view(lua_State *L, const char *name)
{
	lua_pushnil(L);
	ck_assert_msg(lua_next(L, -2) == 0, "the view of %s is not empty", name);
	ck_assert_msg(lua_getmetatable(L, -1) != 0, "%s is a plain table", name);
	lua_getfield(L, -1, "__metatable");
	ck_assert_msg(lua_isboolean(L, -1) && !lua_toboolean(L, -1), "%s shows its metatable", name);
	lua_pop(L, 1);
	lua_getfield(L, -1, "__index");
	ck_assert_msg(lua_istable(L, -1), "%s has an __index that is no table", name);
	lua_replace(L, -3);
	lua_pop(L, 1);
}

static void walk(lua_State *L, struct names *names, const char *prefix, int depth)
{
	ck_assert_int_lt(depth, 4);
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		char name[128], inner[136];

		ck_assert_int_eq(lua_type(L, -2), LUA_TSTRING);
		snprintf(name, sizeof(name), "%s%s", prefix, lua_tostring(L, -2));
		ck_assert_msg(lua_type(L, -1) != 10, "%s is a cdata", name);
		ck_assert_msg(!lua_isuserdata(L, -1), "%s is a userdata", name);
		ck_assert_msg(!lua_isthread(L, -1), "%s is a thread", name);
		if (lua_istable(L, -1) && strcmp(name, "each") != 0) {
			snprintf(inner, sizeof(inner), "%s.", name);
			open_view(L, name);
			walk(L, names, inner, depth + 1);
		} else {
			add(names, "%s", name);
		}
		lua_pop(L, 1);
	}
}

static void list_primitives(struct names *names)
{
	for (const struct cw_primitive *const *p = cw_primitives; *p != NULL; p++)
		add(names, "%s.%s", (*p)->table, (*p)->name);
	for (char letter = 'B'; letter <= 'Z'; letter++)
		add(names, "%c", letter);
}

START_TEST(rules_reach_what_is_listed)
{
	struct cw_rules_conf conf = cw_rules_conf_default;
	const struct cw_bundle none = { .params_json = "{}" };
	struct names found = { .n = 0 }, listed = { .n = 0 };
	struct cw_rules *rules;
	struct cw_err err;
	lua_State *L;

	conf.jit = _i == 1;
	cw_vm_prepare_process();
	rules = cw_rules_load(&none, &conf, &err);
	ck_assert_msg(rules != NULL, "%s", err.msg);
	L = cw_vm_state(cw_rules_vm(rules));
	ck_assert_int_eq(cw_load(cw_rules_vm(rules), "t.lua", "return 1", 8, &err), 0);
	lua_getfenv(L, -1);
	open_view(L, "environment");
	walk(L, &found, "", 0);
	list_globals(CW_API_RULES, &listed);
	list_primitives(&listed);
	compare(&found, &listed, "rules");
	release(&found);
	release(&listed);
	cw_rules_free(&rules);
}
END_TEST

/* Every field that is listed can be read; one that is not listed is an error. */
START_TEST(fields_of_a_transaction_are_there)
{
	struct cw_buf text = CW_BUF_INIT;
	struct cw_bundle_file file;
	struct cw_bundle bundle = { .rules = &file, .nrules = 1, .params_json = "{}" };
	struct cw_rule_result result;
	struct cw_tx tx = { 0 };
	struct cw_rules *rules;
	struct cw_state *st = rules_arena();
	struct cw_err err;

	cw_buf_puts(&text, RULES_HEAD "evaluate = function(tx)\n");
	for (const struct cw_api_item *i = cw_api_items; i->name != NULL; i++)
		if (strncmp(i->name, "cw.Tx.", 6) == 0)
			cw_buf_printf(&text, "do local _ = tx.%s end\n", i->name + 6);
	cw_buf_puts(&text, "end,\n" RULES_TESTS);
	file = (struct cw_bundle_file){ "rules/x.lua", text.data, text.len };
	rules = cw_rules_load(&bundle, &cw_rules_conf_default, &err);
	ck_assert_msg(rules != NULL, "%s", err.msg);
	ck_assert_int_eq(cw_rules_attach(rules, st, &err), 0);
	cw_rules_set_tx(rules, &tx);
	cw_rule_run(rules, cw_rules_at(rules, 0)->live, &result);
	ck_assert_msg(result.kind == CW_RULE_QUIET, "%s", result.fault.message);
	cw_rules_free(&rules);
	cw_state_close(&st);
	cw_buf_release(&text);
}
END_TEST

/* --- scripts: what boot.lua gives them, with C functions that are not called --- */

static const char boot_with[] =
	"local boot = ...\n"
	"local function any() return setmetatable({}, { __index = function() return function() end end }) end\n"
	"local C = setmetatable({ json = any(), request = any(), predict = any(), auth = any(), http = any(), crypto = any(),\n"
	"  labels = any(), transaction = any(), jobs = any(),\n"
	"  db = { audit_logs = { append = print } } },\n"
	"  { __index = function() return function() end end })\n"
	"C.engine = setmetatable({ version = '1', settings = {}, log = { debug = 1, info = 1, warn = 1, error = 1 } },\n"
	"  { __index = function() return function() end end })\n"
	"C.json.null = 0\n"
	"C.load_retention = function() return { declare = print, plan = print, run = print } end\n"
	"local list = {}\n"
	"for name, value in pairs(boot(C).globals) do\n"
	"  if type(value) == 'table' then\n"
	"    for inner, what in pairs(value) do\n"
	"      if name ~= 'db' or type(what) ~= 'table' then list[#list + 1] = name .. '.' .. inner end\n"
	"    end\n"
	"  else list[#list + 1] = name end\n"
	"end\n"
	"return list\n";

START_TEST(scripts_reach_what_is_listed)
{
	struct names found = { .n = 0 }, listed = { .n = 0 };
	lua_State *L = luaL_newstate();

	luaL_openlibs(L);
	ck_assert_int_eq(luaL_loadstring(L, boot_with), 0);
	ck_assert_int_eq(luaL_loadfile(L, "engine/lua/boot.lua"), 0);
	ck_assert_msg(lua_pcall(L, 1, 1, 0) == 0, "%s", lua_tostring(L, -1));
	for (int i = 1; i <= (int)lua_objlen(L, -1); i++) {
		lua_rawgeti(L, -1, i);
		add(&found, "%s", lua_tostring(L, -1));
		lua_pop(L, 1);
	}
	for (const struct cw_api_item *i = cw_api_items; i->name != NULL; i++)
		if (i->world == CW_API_SCRIPTS && i->kind == CW_API_GLOBAL)
			add(&listed, "%s", i->name);
	compare(&found, &listed, "scripts");
	release(&found);
	release(&listed);
	lua_close(L);
}
END_TEST

/* --- the pages --- */

static void check_page(const char *path, const struct cw_buf *want)
{
	struct cw_buf got = CW_BUF_INIT;
	char part[4096];
	size_t n;
	FILE *f = fopen(path, "r");

	while (f != NULL && (n = fread(part, 1, sizeof(part), f)) > 0)
		cw_buf_add(&got, part, n);
	if (f != NULL)
		fclose(f);
	if (getenv("CHAINWATCH_UPDATE_DOCS") != NULL && strcmp(got.data, want->data) != 0) {
		f = fopen(path, "w");
		ck_assert_msg(f != NULL, "cannot write %s", path);
		fwrite(want->data, 1, want->len, f);
		fclose(f);
		printf("%s written\n", path);
	} else {
		ck_assert_msg(strcmp(got.data, want->data) == 0, "%s is not what the engine has: make docs", path);
	}
	cw_buf_release(&got);
}

START_TEST(page_is_what_the_engine_has)
{
	struct cw_buf want = CW_BUF_INIT;

	cw_api_markdown(&want);
	check_page("docs/LUA_API.md", &want);
	cw_buf_release(&want);
}
END_TEST

START_TEST(stubs_are_what_the_engine_has)
{
	struct cw_buf want = CW_BUF_INIT;
	const char *name;

	for (int i = 0; (name = cw_api_stub(i, &want)) != NULL; i++) {
		char path[64];

		snprintf(path, sizeof(path), "scripts/meta/%s", name);
		check_page(path, &want);
		ck_assert_msg(luaL_loadstring(luaL_newstate(), want.data) == 0, "%s is not Lua", name);
		cw_buf_clear(&want);
	}
	cw_buf_release(&want);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("api");
	TCase *c = tcase_create("api");
	SRunner *r;
	int failed;

	tcase_set_timeout(c, 30);
	tcase_add_loop_test(c, rules_reach_what_is_listed, 0, 2);
	tcase_add_test(c, fields_of_a_transaction_are_there);
	tcase_add_test(c, scripts_reach_what_is_listed);
	tcase_add_test(c, page_is_what_the_engine_has);
	tcase_add_test(c, stubs_are_what_the_engine_has);
	suite_add_tcase(s, c);
	r = srunner_create(s);
	srunner_run_all(r, CK_NORMAL);
	failed = srunner_ntests_failed(r);
	srunner_free(r);
	return failed > 0;
}
