/* What scripts reach is exactly the allow list; nothing of it can be changed; results are bounded; nothing of the
 * process shows. */
#include <stdlib.h>

#include "base/buf.h"
#include "lua/run.h"
#include "lua/sandbox.h"
#include "support/script.h"

static struct cw_vm *vms[2];     /* JIT off, JIT on */
static struct cw_vm *scripts;

static void setup(void)
{
	vms[0] = script_vm(CW_WORLD_RULES, false);
	vms[1] = script_vm(CW_WORLD_RULES, true);
	scripts = script_vm(CW_WORLD_SCRIPTS, true);
}

static void teardown(void)
{
	cw_vm_free(&vms[0]);
	cw_vm_free(&vms[1]);
	cw_vm_free(&scripts);
}

/* --- everything reachable --- */

struct names { char *list[256]; int n; };

static int compare(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_name(struct names *names, const char *prefix, const char *name)
{
	char full[128];

	snprintf(full, sizeof(full), "%s%s", prefix, name);
	ck_assert_int_lt(names->n, 256);
	names->list[names->n++] = strdup(full);
}

/* The table behind the frozen view on top; replaces it. The view itself must be empty and hide its metatable. */
static void open_view(lua_State *L, const char *name)
{
	lua_pushnil(L);
	ck_assert_msg(lua_next(L, -2) == 0, "the view of %s is not empty", name);
	ck_assert_msg(lua_getmetatable(L, -1) != 0, "%s is a plain table", name);
	lua_getfield(L, -1, "__metatable");
	ck_assert_msg(lua_isboolean(L, -1) && !lua_toboolean(L, -1), "%s shows its metatable", name);
	lua_pop(L, 1);
	lua_getfield(L, -1, "__newindex");
	ck_assert_msg(lua_isfunction(L, -1), "%s can be written", name);
	lua_pop(L, 1);
	lua_getfield(L, -1, "__index");
	ck_assert(lua_istable(L, -1));
	lua_replace(L, -3);
	lua_pop(L, 1);
}

static void walk(lua_State *L, struct names *names, const char *prefix)
{
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		char name[64];

		ck_assert_int_eq(lua_type(L, -2), LUA_TSTRING);
		snprintf(name, sizeof(name), "%s%s", prefix, lua_tostring(L, -2));
		if (lua_istable(L, -1)) {
			char inner[80];

			snprintf(inner, sizeof(inner), "%s.", name);
			open_view(L, name);
			walk(L, names, inner);
		} else {
			ck_assert_msg(lua_isfunction(L, -1) || lua_isnumber(L, -1), "%s is a %s", name, luaL_typename(L, -1));
			add_name(names, "", name);
		}
		lua_pop(L, 1);
	}
}

static void check_reachable(struct cw_vm *vm, const char *allowed)
{
	lua_State *L = cw_vm_state(vm);
	struct names names = { .n = 0 };
	struct cw_buf got = CW_BUF_INIT;
	struct cw_err err;

	ck_assert_int_eq(cw_load(vm, "t.lua", "return 1", 8, &err), 0);
	lua_getfenv(L, -1);
	open_view(L, "environment");
	walk(L, &names, "");
	lua_pop(L, 2);
	qsort(names.list, (size_t)names.n, sizeof(names.list[0]), compare);
	for (int i = 0; i < names.n; i++) {
		cw_buf_printf(&got, "%s ", names.list[i]);
		free(names.list[i]);
	}
	ck_assert_str_eq(got.data, allowed);
	cw_buf_release(&got);
}

#define BASE_1 "assert bit.arshift bit.band bit.bnot bit.bor bit.bswap bit.bxor bit.lshift bit.rol bit.ror bit.rshift " \
	"bit.tobit bit.tohex error getmetatable ipairs math.abs math.acos math.asin math.atan math.atan2 math.ceil math.cos " \
	"math.cosh math.deg math.exp math.floor math.fmod math.frexp math.huge math.ldexp math.log math.log10 math.max " \
	"math.min math.modf math.pi math.pow math.rad "
#define BASE_2 "math.sin math.sinh math.sqrt math.tan math.tanh next pairs pcall rawequal rawget rawset select " \
	"setmetatable string.byte string.char string.find string.format string.gmatch string.gsub string.len string.lower " \
	"string.match string.rep string.reverse string.sub string.upper table.concat table.insert table.maxn table.remove " \
	"table.sort tonumber tostring type unpack xpcall "

START_TEST(reachable_is_the_allow_list)
{
	check_reachable(vms[0], BASE_1 BASE_2);
	check_reachable(vms[1], BASE_1 BASE_2);
	check_reachable(scripts, BASE_1 "math.random " BASE_2);
}
END_TEST

/* --- ways out --- */

static const struct { const char *text, *result; } attempts[] = {
	{ "return io", "t.lua:1: \"io\" is not available in rules" },
	{ "return os.time()", "t.lua:1: \"os\" is not available in rules" },
	{ "return require 'ffi'", "t.lua:1: \"require\" is not available in rules" },
	{ "return _G", "t.lua:1: \"_G\" is not available in rules" },
	{ "return coroutine", "t.lua:1: \"coroutine\" is not available in rules" },
	{ "return collectgarbage", "t.lua:1: \"collectgarbage\" is not available in rules" },
	{ "return getfenv", "t.lua:1: \"getfenv\" is not available in rules" },
	{ "return nosuch", "t.lua:1: variable \"nosuch\" is not declared" },
	{ "x = 1", "t.lua:1: cannot set global \"x\"; use a local" },
	{ "math = nil", "t.lua:1: cannot set global \"math\"; use a local" },
	{ "function pairs() end", "t.lua:1: cannot set global \"pairs\"; use a local" },
	{ "math.floor = nil", "t.lua:1: cannot change a read-only table (field \"floor\")" },
	{ "string.rep = nil", "t.lua:1: cannot change a read-only table (field \"rep\")" },
	{ "rawset(math, 'floor', 1)", "t.lua:1: 'rawset' cannot change a read-only table" },
	{ "table.insert(math, 1)", "t.lua:1: 'insert' cannot change a read-only table" },
	{ "table.sort(string)", "t.lua:1: 'sort' cannot change a read-only table" },
	{ "table.remove(bit)", "t.lua:1: 'remove' cannot change a read-only table" },
	{ "setmetatable(math, {})", "t.lua:1: cannot change a protected metatable" },
	{ "return rawget(math, 'floor')", "ok: nil" },
	{ "return next(math)", "ok: nil" },
	{ "return getmetatable(math)", "ok: false" },
	{ "return getmetatable('')", "ok: false" },
	{ "('').x.y = 1", "t.lua:1: attempt to index field 'x' (a nil value)" },
	{ "return ('').dump", "ok: nil" },
	{ "return string.dump", "ok: nil" },
	{ "local t = setmetatable({}, { __mode = 'k' })", "t.lua:1: weak tables are not available in rules" },
	{ "return tostring({})", "ok: table" },
	{ "return tostring(print)", "t.lua:1: \"print\" is not available in rules" },
	{ "return tostring(pairs)", "ok: function" },
	{ "return ('%s'):format({})", "ok: table" },
	{ "return ('%s %s'):format(true, nil)", "ok: true nil" },
	{ "local s = ('%p'):format({})", "t.lua:1: invalid conversion '%p' to 'format'" },
	{ "local s = ('\\0%s'):format(pairs) return s:sub(2)", "ok: function" },
	{ "return tostring(setmetatable({}, { __tostring = function() return 'mine' end }))", "ok: mine" },
	{ "local s = tostring(setmetatable({}, { __tostring = function() return {} end }))",
	  "t.lua:1: 'tostring' must return a string" },
	{ "return type(tonumber('1LL'))", "ok: nil" },
	{ "return type(tonumber('0x10ULL'))", "ok: nil" },
	{ "return type(tonumber('2i'))", "ok: nil" },
	{ "return #bit.tohex(1, -2147483648)", "ok: 254" },
	{ "local t = {} t[0/0] = 1", "t.lua:1: table index is NaN" },
	{ "return pcall(error)", "ok: false" },
	{ "error({})", "error value is a table" },
	{ "error(setmetatable({}, { __tostring = function() while true do end end }))", "error value is a table" },
	{ "error()", "error value is a nil" },
	{ "return select(2, pcall(error, 'x', 0))", "ok: x" },
	{ "return select(2, xpcall(error, function(e) return e .. '!' end, 'x', 0))", "ok: x!" },
	{ "return select(2, xpcall(error, function(e) error('y', 0) end, 'x', 0))", "ok: y" },
	{ "return select('#', pcall(pcall, error, 1))", "ok: 3" },
	/* limits */
	{ "local s = ('x'):rep(2e6)", "t.lua:1: 'rep' returns at most 1048576 bytes" },
	{ "local s = ('x'):rep(1e308)", "t.lua:1: 'rep' returns at most 1048576 bytes" },
	{ "local s = ('x'):rep(0/0) return s", "t.lua:1: 'rep' returns at most 1048576 bytes" },
	{ "return #('x'):rep(-1)", "ok: 0" },
	{ "return #('xyz'):rep(3)", "ok: 9" },
	{ "return #(''):rep(1e300)", "ok: 0" },
	{ "local a = unpack({}, 1, 1e9)", "t.lua:1: 'unpack' returns at most 250 values" },
	{ "local a = unpack({}, -1e9, 1e9)", "t.lua:1: 'unpack' returns at most 250 values" },
	{ "local a = unpack({}, 2147483647, -2147483648) return a", "ok: nil" },
	{ "local a = unpack({}, 0/0, 1)", "t.lua:1: 'unpack' returns at most 250 values" },
	{ "return select('#', unpack({ 1, nil, 3 }, 1, 3))", "ok: 3" },
	{ "local a = ('x'):rep(1000):byte(1, -1)", "t.lua:1: 'byte' returns at most 250 values" },
	{ "return select('#', ('abc'):byte(1, -1))", "ok: 3" },
	{ "return ('abc'):byte(-1)", "ok: 99" },
	{ "return select('#', ('abc'):byte(10))", "ok: 0" },
	{ "local t = {} for i = 1, 20 do t[i] = ('x'):rep(1e5) end local s = table.concat(t)",
	  "t.lua:1: 'concat' returns at most 1048576 bytes" },
	{ "local s = table.concat({ 1, {} })", "t.lua:1: invalid value (table) at index 2 in table for 'concat'" },
	{ "return table.concat({ 1, 'a', 2.5 }, '-')", "ok: 1-a-2.5" },
	{ "return table.concat({ 1, 2, 3 }, ',', 2, 3)", "ok: 2,3" },
	{ "return table.concat({})", "ok: " },
	{ "local s = table.concat({}, '', -2147483648, 2147483647)", "t.lua:1: 'concat' has limits out of range" },
	{ "local s = ('%s'):format(('x'):rep(5e5))", "t.lua:1: 'format' returns at most 262144 bytes" },
	{ "return ('%5.2f|%d|%x|%q'):format(3.14159, 42, 255, 'a\"b')", "ok:  3.14|42|ff|\"a\\\"b\"" },
	{ "return ('%%'):format()", "ok: %" },
	{ "return ('%s'):format(1)", "ok: 1" },
	{ "table.sort({ 1, 'a' })", "t.lua:1: attempt to compare number with string" },
	{ "table.sort({ true, false })", "t.lua:1: attempt to compare boolean with boolean" },
	{ "local t = { 3, 1, 2 } table.sort(t, function(a, b) return true end) return #t", "ok: 3" },
	{ "local t = { 5, 2, 8, 1 } table.sort(t) return table.concat(t, ' ')", "ok: 1 2 5 8" },
	{ "local t = { 1, 2, 3 } table.insert(t, 2, 9) return table.concat(t, ' ')", "ok: 1 9 2 3" },
	{ "local t = { 1, 2, 3 } return table.remove(t, 1) + #t", "ok: 3" },
	{ "table.insert({ 1 }, 5, 1)", "t.lua:1: 'insert' needs a position between 1 and 2" },
	{ "return table.maxn({ 1, 2, [10] = 3 })", "ok: 10" },
	{ "return ('x'):upper() .. ('Y'):lower() .. ('ab'):reverse()", "ok: Xyba" },
};

START_TEST(attempt_ends_as_it_should)
{
	for (int jit = 0; jit < 2; jit++) {
		const char *got = script_text(vms[jit], attempts[_i].text);

		ck_assert_msg(strcmp(got, attempts[_i].result) == 0, "%s\nis   %s\nwant %s", attempts[_i].text, got,
		              attempts[_i].result);
	}
}
END_TEST

/* --- order of keys --- */

START_TEST(pairs_goes_in_the_order_of_keys)
{
	static const char text[] =
		"local t = { z = 1, a = 2, m = 3, [10] = 4, [1] = 5, [-1.5] = 6, [true] = 7, [false] = 8 }\n"
		"local out = {}\n"
		"for k, v in pairs(t) do out[#out + 1] = tostring(k) .. '=' .. v end\n"
		"return table.concat(out, ' ')\n";

	for (int jit = 0; jit < 2; jit++)
		ck_assert_str_eq(script_text(vms[jit], text), "ok: -1.5=6 1=5 10=4 a=2 m=3 z=1 false=8 true=7");
}
END_TEST

START_TEST(next_goes_in_the_order_of_keys)
{
	static const char text[] =
		"local t, out, k = { z = 1, a = 2, [3] = 3, [1] = 4 }, {}, nil\n"
		"repeat k = next(t, k) out[#out + 1] = tostring(k) until k == nil\n"
		"return table.concat(out, ' ')\n";

	for (int jit = 0; jit < 2; jit++)
		ck_assert_str_eq(script_text(vms[jit], text), "ok: 1 3 a z nil");
}
END_TEST

START_TEST(pairs_may_clear_while_it_goes)
{
	static const char text[] = "local t, n = { a = 1, b = 2, c = 3, 4, 5 }, 0\n"
		"for k in pairs(t) do t[k] = nil t.c = nil n = n + 1 end return n .. tostring(next(t))\n";

	for (int jit = 0; jit < 2; jit++)
		ck_assert_str_eq(script_text(vms[jit], text), "ok: 4nil");
}
END_TEST

START_TEST(pairs_refuses_keys_without_order)
{
	ck_assert_str_eq(script_text(vms[1], "for k in pairs({ [{}] = 1 }) do end"),
	                 "t.lua:1: 'pairs' needs keys that are numbers, strings or booleans, this table has a table");
}
END_TEST

/* --- one script and the next --- */

START_TEST(nothing_of_one_script_shows_in_the_next)
{
	for (int jit = 0; jit < 2; jit++) {
		script_text(vms[jit], "local t = getmetatable({}) rawset({}, 'x', 1) pcall(function() string.x = 1 end)");
		script_text(vms[jit], "pcall(setmetatable, string, nil) pcall(rawset, string, 'x', 1)");
		ck_assert_str_eq(script_text(vms[jit], "return rawget(string, 'x')"), "ok: nil");
		ck_assert_str_eq(script_text(vms[jit], "return ('').x"), "ok: nil");
	}
}
END_TEST

START_TEST(exposed_values_reach_every_environment)
{
	lua_State *L = cw_vm_state(vms[1]);

	lua_newtable(L);
	lua_pushinteger(L, 7);
	lua_setfield(L, -2, "seven");
	cw_sandbox_freeze(L);
	cw_sandbox_expose(L, "mine");
	ck_assert_str_eq(script_text(vms[1], "return mine.seven"), "ok: 7");
	ck_assert_str_eq(script_text(vms[1], "mine.seven = 8"), "t.lua:1: cannot change a read-only table (field \"seven\")");
}
END_TEST

START_TEST(scripts_have_plain_pairs_and_random)
{
	ck_assert_str_eq(script_text(scripts, "for k in pairs({ [{}] = 1 }) do return type(k) end"), "ok: table");
	ck_assert_str_eq(script_text(scripts, "return math.random() < 1"), "ok: true");
	ck_assert_str_eq(script_text(scripts, "return #('x'):rep(2e6)"), "ok: 2000000");
}
END_TEST

static int l_wait(lua_State *L)
{
	return lua_yield(L, 0);
}

/* 1000 ticks before the wait and 1000 after it, with 1500 for each turn. */
START_TEST(each_turn_has_its_own_budget)
{
	static const char text[] = "local ok = pcall(function() for i = 1, 1000 do end wait() error('x') end)\n"
		"for i = 1, 1000 do end return tostring(ok)";
	struct cw_budget budget = { .ticks = 1500 };
	lua_State *L = cw_vm_state(scripts), *co = lua_newthread(L);
	struct cw_vm_report report;
	struct cw_err err;

	lua_pushcfunction(L, l_wait);
	cw_sandbox_expose(L, "wait");
	ck_assert_int_eq(cw_load(scripts, "t.lua", text, strlen(text), &err), 0);
	lua_xmove(L, co, 1);
	ck_assert_int_eq(cw_vm_resume(scripts, co, 0, &budget, &report), LUA_YIELD);
	ck_assert_int_eq(cw_vm_resume(scripts, co, 0, &budget, &report), 0);
	ck_assert_str_eq(lua_tostring(co, -1), "false");
	lua_pop(L, 1);
}
END_TEST

START_TEST(breach_ends_the_turn)
{
	static const char text[] = "wait() while true do pcall(function() while true do end end) end";
	struct cw_budget budget = { .ticks = 1500 };
	lua_State *L = cw_vm_state(scripts), *co = lua_newthread(L);
	struct cw_vm_report report;
	struct cw_err err;

	lua_pushcfunction(L, l_wait);
	cw_sandbox_expose(L, "wait");
	ck_assert_int_eq(cw_load(scripts, "t.lua", text, strlen(text), &err), 0);
	lua_xmove(L, co, 1);
	ck_assert_int_eq(cw_vm_resume(scripts, co, 0, &budget, &report), LUA_YIELD);
	ck_assert_int_eq(cw_vm_resume(scripts, co, 0, &budget, &report), -1);
	ck_assert_int_eq(report.stop, CW_STOP_TICKS);
	ck_assert_str_eq(report.message, "t.lua:1: stopped: more than 1500 ticks");
	lua_pop(L, 1);
	ck_assert_str_eq(script_text(scripts, "return 1"), "ok: 1");
}
END_TEST

/* --- running a file by hand --- */

static const char *run_by_hand(enum cw_world world, const char *text)
{
	static char result[512];
	const struct cw_run_conf conf = { .world = world, .jit = true };
	struct cw_buf printed = CW_BUF_INIT;
	struct cw_err err;

	if (cw_lua_run(&conf, "try.lua", text, strlen(text), &printed, &err) != 0)
		snprintf(result, sizeof(result), "%s", err.msg);
	else
		snprintf(result, sizeof(result), "%s", printed.data);
	cw_buf_release(&printed);
	return result;
}

START_TEST(run_prints_what_is_returned)
{
	ck_assert_str_eq(run_by_hand(CW_WORLD_SCRIPTS, "return 1, 'two', { b = 1, a = { 1, 2 } }, nil, true, pairs"),
	                 "1\ntwo\n{\"a\":[1,2],\"b\":1}\nnil\ntrue\nfunction\n");
	ck_assert_str_eq(run_by_hand(CW_WORLD_RULES, "return seconds '10m'"), "600\n");
	ck_assert_str_eq(run_by_hand(CW_WORLD_RULES, "local t = {} t.t = t return t"), "table\n");
	ck_assert_str_eq(run_by_hand(CW_WORLD_RULES, "return"), "");
}
END_TEST

START_TEST(run_stops_and_refuses_like_production)
{
	ck_assert_str_eq(run_by_hand(CW_WORLD_RULES, "while true do end"), "try.lua:1: stopped: more than 1000000 ticks");
	ck_assert_str_eq(run_by_hand(CW_WORLD_RULES, "return io"), "try.lua:1: \"io\" is not available in rules");
	ck_assert_str_eq(run_by_hand(CW_WORLD_SCRIPTS, "return io"), "try.lua:1: \"io\" is not available in scripts");
	ck_assert_str_eq(run_by_hand(CW_WORLD_SCRIPTS, "x ="), "try.lua:1: unexpected symbol near '<eof>'");
}
END_TEST

START_TEST(run_has_limits_of_its_own)
{
	struct cw_run_conf conf = { .world = CW_WORLD_SCRIPTS, .jit = true, .ticks = 2000, .wall_us = 5000000,
		                        .memory_bytes = (size_t)16 << 20 };
	static const char loop[] = "for i = 1, 5000 do end return false", most[] = "local t = {} for i = 1, 100 do t[i] = ('x'):rep(1e6) .. i end";
	static const char many[] = "local t = {} for i = 1, 240 do t[i] = i end return unpack(t)";
	struct cw_buf printed = CW_BUF_INIT;
	struct cw_err err;
	int lines = 0;

	ck_assert_int_eq(cw_lua_run(&conf, "try.lua", loop, strlen(loop), &printed, &err), -1);
	ck_assert_str_eq(err.msg, "try.lua:1: stopped: more than 2000 ticks");
	conf.ticks = 0;                               /* as in production */
	ck_assert_int_eq(cw_lua_run(&conf, "try.lua", loop, strlen(loop), &printed, &err), 0);
	ck_assert_str_eq(printed.data, "false\n");
	for (int world = 0; world < 2; world++) {
		conf.world = world != 0 ? CW_WORLD_RULES : CW_WORLD_SCRIPTS;
		ck_assert_int_eq(cw_lua_run(&conf, "try.lua", most, strlen(most), &printed, &err), -1);
		ck_assert_str_eq(err.msg, "try.lua:1: stopped: memory limit reached");
	}
	cw_buf_clear(&printed);
	ck_assert_int_eq(cw_lua_run(&conf, "try.lua", many, strlen(many), &printed, &err), 0);
	for (const char *p = printed.data; (p = strchr(p, '\n')) != NULL; p++)
		lines++;
	ck_assert_int_eq(lines, 200);
	cw_buf_release(&printed);
}
END_TEST

/* A file may have 200 locals; the guards of its loops need one. */
START_TEST(guards_have_to_fit)
{
	char text[6000];
	struct cw_buf printed = CW_BUF_INIT;
	struct cw_run_conf conf = { .world = CW_WORLD_RULES, .jit = true };
	struct cw_err err;
	int fitted = 0;

	for (int n = 190; n <= 201; n++) {
		size_t len = 0;

		for (int i = 0; i < n; i++)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "local v%d = %d ", i, i);
		len += (size_t)snprintf(text + len, sizeof(text) - len, "while false do end return v%d", n - 1);
		ck_assert_uint_lt(len, sizeof(text));
		cw_buf_clear(&printed);
		if (cw_lua_run(&conf, "try.lua", text, len, &printed, &err) == 0) {
			ck_assert_int_eq(atoi(printed.data), n - 1);
			fitted = n;
		} else {
			ck_assert_msg(strstr(err.msg, "more than 200 local variables") != NULL, "%s", err.msg);
			ck_assert_msg((strstr(err.msg, "(with budget guards)") != NULL) == (n <= 200), "%d: %s", n, err.msg);
		}
	}
	ck_assert_int_ge(fitted, 195);
	ck_assert_int_lt(fitted, 201);
	cw_buf_release(&printed);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("sandbox");
	TCase *tc = tcase_create("sandbox");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, reachable_is_the_allow_list);
	tcase_add_loop_test(tc, attempt_ends_as_it_should, 0, (int)(sizeof(attempts) / sizeof(attempts[0])));
	tcase_add_test(tc, pairs_goes_in_the_order_of_keys);
	tcase_add_test(tc, next_goes_in_the_order_of_keys);
	tcase_add_test(tc, pairs_may_clear_while_it_goes);
	tcase_add_test(tc, pairs_refuses_keys_without_order);
	tcase_add_test(tc, nothing_of_one_script_shows_in_the_next);
	tcase_add_test(tc, exposed_values_reach_every_environment);
	tcase_add_test(tc, scripts_have_plain_pairs_and_random);
	tcase_add_test(tc, each_turn_has_its_own_budget);
	tcase_add_test(tc, breach_ends_the_turn);
	tcase_add_test(tc, run_prints_what_is_returned);
	tcase_add_test(tc, run_stops_and_refuses_like_production);
	tcase_add_test(tc, run_has_limits_of_its_own);
	tcase_add_test(tc, guards_have_to_fit);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
