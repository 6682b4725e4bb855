/* Guards: every loop stops, valid programs stay valid, ticks are the same with the JIT on and off. */
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lualib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "support/script.h"

static struct cw_vm *vms[2];     /* JIT off, JIT on */

static void setup(void)
{
	vms[0] = script_vm(CW_WORLD_RULES, false);
	vms[1] = script_vm(CW_WORLD_RULES, true);
}

static void teardown(void)
{
	cw_vm_free(&vms[0]);
	cw_vm_free(&vms[1]);
}

/* --- programs that must go on working: text, result --- */

static const struct { const char *text, *result; } valid[] = {
	/* a guard after a label would make this "jumps into the scope of local" */
	{ "local n = 0 for i = 1, 10 do if i % 2 == 0 then goto continue end local x = i n = n + x ::continue:: end "
	  "return n", "25" },
	{ "local n = 0 for i = 1, 10 do if i % 2 == 0 then goto continue end local x = i .. '' n = n + x ::continue:: end "
	  "return n", "25" },
	{ "local i = 0 repeat local j = i .. '' i = i + 1 if i == 3 then goto c end j = 1 ::c:: until i > 5 return i", "6" },
	{ "local i = 0 repeat local done = i > 4 i = i + 1 until done return i", "6" },
	{ "do goto a end do return 1 end ::a:: return 2", "2" },
	{ "local n = 0 ::top:: do local x = n .. '' n = n + 1 if n < 3 then goto top end end return n", "3" },
	/* goto is an ordinary name too */
	{ "local goto = 3 return goto", "3" },
	{ "local t = { goto = 4 } return t.goto", "4" },
	{ "local goto = function(x) return x end return goto(5)", "5" },
	{ "local t = { goto = function(self, x) return x end } return t:goto(6)", "6" },
	{ "local goto = 1 goto = goto + 1 local y = goto return y", "2" },
	{ "local function f(goto) return goto end return f 'x'", "x" },
	{ "local a, goto = 1, 2 return goto", "2" },
	{ "local x = 1 goto done ::done:: return x", "1" },
	{ "local a = 1 local b = a goto c do b = 9 end ::c:: return b", "1" },
	/* concatenation in places where nothing may follow */
	{ "local function f(s) return s .. s end return f 'ab'", "abab" },
	{ "local function f(s) return function() return s .. s end end return f 'x' ()", "xx" },
	{ "for i = 1, 3 do local s = 'a' .. i if i == 2 then return s .. '!' end end", "a2!" },
	{ "for i = 1, 3 do local s = 'a' .. i if s .. '' == 'a2' then break end end return 'x' .. 'y'", "xy" },
	{ "local s = '' while #s .. '' ~= '3' do s = s .. 'a' end return s", "aaa" },
	{ "local s = 'a' if s .. s == 'b' then return 1 elseif s .. s == 'aa' then return 2 else return 3 end", "2" },
	{ "return ('a' .. 'b'):upper()", "AB" },
	{ "return 'a' .. (function() return 'b' .. 'c' end)() .. 'd'", "abcd" },
	/* the end of the text, newlines, comments, marks */
	{ "return 1 -- comment at the end", "1" },
	{ "return 1 --[[ long ]]", "1" },
	{ "#!/usr/bin/lua\nreturn 1", "1" },
	{ "\xef\xbb\xbfreturn 1", "1" },
	{ "\xef\xbb\xbf#!x\nreturn 2", "2" },
	{ "local s = [==[ do end ]] ]==] return #s", "11" },
	{ "local s = 'do \\' do' return #s", "7" },
	{ "local s = \"a\\z \n  b\" return #s", "2" },
	{ "local s = 'a\\\nb' return #s", "3" },
	{ "return 0x1p4 + 1e+1 + .5 + 3.", "29.5" },
	{ "return ({ 1, 2; 3, x = 4; })[3]", "3" },
	{ "local t = { f = function() return 1 end, 2; g = function() return 'a' .. 'b' end } return t.g()", "ab" },
	{ "local t = {} function t.a() return 1 end function t:b() return self.a() end return t:b()", "1" },
	{ "return select('#', ...)", "0" },
	{ "do end do end ; return 7", "7" },
	{ "local a = 1 ; local b = a ; (function() a = 5 end)() return a + b", "6" },
	{ "if true then end if false then else end return 1", "1" },
	{ "local f = function(...) return ... end return f(1)", "1" },
	{ "return #'\xc3\xa4' .. '' ", "2" },
	{ "local \xc3\xa4 = 4 return \xc3\xa4", "4" },
};

START_TEST(valid_programs_stay_valid)
{
	for (int jit = 0; jit < 2; jit++) {
		const char *got = script_text(vms[jit], valid[_i].text);
		char want[64];

		snprintf(want, sizeof(want), "ok: %s", valid[_i].result);
		ck_assert_msg(strcmp(got, want) == 0, "%s\n%s, not %s", valid[_i].text, got, want);
	}
}
END_TEST

START_TEST(line_numbers_stay)
{
	static const char text[] = "#!x\nlocal a = 1\r\nfor i = 1, 2 do\n  a = a .. 'x'\n\n  if i == 2 then error('here') end\nend";

	for (int jit = 0; jit < 2; jit++)
		ck_assert_str_eq(script_text(vms[jit], text), "t.lua:6: here");
}
END_TEST

/* --- refusals --- */

static const struct { const char *text, *message; } refused[] = {
	{ "return 1LL", "t.lua:1: 64-bit and imaginary number literals are not allowed near '1LL'" },
	{ "\nreturn 0x10ull", "t.lua:2: 64-bit and imaginary number literals are not allowed near '0x10ull'" },
	{ "return 2i", "t.lua:1: 64-bit and imaginary number literals are not allowed near '2i'" },
	{ "__cwG = nil", "t.lua:1: names that start with \"__cw\" are reserved near '__cwG'" },
	{ "local __cwS = 1", "t.lua:1: names that start with \"__cw\" are reserved near '__cwS'" },
	{ "return t.__cwx", "t.lua:1: names that start with \"__cw\" are reserved near '__cwx'" },
	{ "end evil() do", "t.lua:1: '<eof>' expected near 'end'" },
	{ "x = ", "t.lua:1: unexpected symbol near '<eof>'" },
	{ "\x1bLJ\x02", "attempt to load chunk with wrong mode" },
	{ "goto nowhere", "t.lua:1: undefined label 'nowhere'" },
	{ "x = 1", "t.lua:1: cannot set global \"x\"; use a local" },
};

START_TEST(refused_with_message)
{
	for (int jit = 0; jit < 2; jit++)
		ck_assert_str_eq(script_text(vms[jit], refused[_i].text), refused[_i].message);
}
END_TEST

START_TEST(reserved_name_in_string_is_harmless)
{
	ck_assert_str_eq(script_text(vms[1], "return '__cwG' --__cwG"), "ok: __cwG");
}
END_TEST

START_TEST(file_over_the_limit_is_refused)
{
	char *text = cw_alloc(CW_LOAD_MAX + 1);
	struct cw_err err;

	memset(text, ' ', CW_LOAD_MAX + 1);
	ck_assert_int_eq(cw_load(vms[0], "big.lua", text, CW_LOAD_MAX + 1, &err), -1);
	ck_assert_str_eq(err.msg, "big.lua:1: file has 262145 bytes, more than 262144");
	cw_free(text);
}
END_TEST

START_TEST(huge_statement_is_refused)
{
	struct cw_buf text = CW_BUF_INIT;
	struct cw_vm_report report;

	cw_buf_puts(&text, "local a, b = 1, 2 local x = a<b");
	for (int i = 0; i < 2100; i++)
		cw_buf_puts(&text, "\n and a<b");
	ck_assert_str_eq(script_run(vms[0], text.data, text.len, 1000, 0, &report),
	                 "t.lua:2001: too many operators and calls in one statement near '<'");
	cw_buf_release(&text);
}
END_TEST

/* --- runaway programs --- */

static const char *const hostile[] = {
	"while true do end",
	"repeat until false",
	"for i = 1, 1e18 do end",
	"for i = 1, math.huge do local x = i end",
	"::a:: goto a",
	"::a:: do local x = 1 goto a end",
	"local function f() return f() end f()",
	"local function f() f() end f()",
	"local f, g function f() return g() end function g() return f() end f()",
	"local function fib(n) if n < 2 then return n end return fib(n - 1) + fib(n - 2) end fib(60)",
	"while true do pcall(function() while true do end end) end",
	"local function f() pcall(f) while true do pcall(f) end end f()",
	"local function f() return pcall(f) end while true do f() end",
	"while true do xpcall(function() while true do end end, function() while true do end end) end",
	"xpcall(function() error('x') end, function() while true do end end)",
	"local t = setmetatable({}, { __index = function(t, k) return t[k + 1] end }) local x = t[1]",
	"local t = setmetatable({}, { __index = function(t, k) while true do end end }) local x = t[1]",
	"local t = setmetatable({}, { __add = function(a, b) return a + b end }) local x = t + t",
	"local t = setmetatable({}, { __concat = function(a, b) while true do end end }) local x = t .. t",
	"local t = setmetatable({}, { __eq = function() while true do end end }) local x = t == setmetatable({}, "
	"getmetatable(t))",
	"local t = setmetatable({}, { __lt = function() while true do end end }) local x = t < t",
	"local t = setmetatable({}, { __call = function(self) return self() end }) t()",
	"local t = setmetatable({}, { __newindex = function(t, k, v) t[k + 1] = v end }) t[1] = 1",
	"local t = setmetatable({}, { __tostring = function() while true do end end }) tostring(t)",
	"for k in function() return 1 end do end",
	"local t = {} for i = 1, 1000 do t[i] = -i end table.sort(t, function(a, b) while true do end end)",
	"local t = {} for i = 1, 50000 do t[i] = (i * 7919) % 50021 end while true do table.sort(t) end",
	"local s = ('x'):rep(1000) while true do s:gsub('.', function(c) while true do end end) end",
	"local s = ('x'):rep(1000) local f f = function() return (s:gsub('.', f)) end f()",
	"while true do for k, v in pairs({ 1, 2, a = 3 }) do end end",
	"while true do local s = 'a' .. 1 end",
	"while true do local t = {} end",
	"while true do local f = function() end end",
	"('a'):rep(50000):find(('a-'):rep(40) .. 'b')",
	"('a'):rep(100000):find(('a*'):rep(30) .. 'b')",
	"while true do ('x'):rep(1e6):find('y', 1, true) end",
	"while true do ('x'):rep(1e6):upper() end",
	"while true do string.format('%s', ('x'):rep(1e5)) end",
	"while true do ('x'):rep(1e6) end",
	"local t = {} for i = 1, 1000 do t[i] = ('x'):rep(1000) end while true do table.concat(t) end",
	"local t = {} while true do table.insert(t, 1, 1) end",
	"local t = {} for i = 1, 1e5 do t[i] = i end while true do next(t, 5) end",
	"local a = {} for i = 1, 100 do a[i] = i end while true do select('#', unpack(a)) end",
	"while true do local ok = pcall(error, {}) end",
	"while true do tostring(1.5) end",
	"local x = 0 while true do x = x + 1 if x > 1e9 then break end end",
	"while (function() return true end)() do end",
	"repeat local x = 1 until (function() return false end)()",
	"if (function() while true do end end)() then end",
	"return (function() while true do end end)()",
	"local t = { (function() while true do end end)() }",
	"local goto = 1 ::x:: goto = goto + 1 goto x",
	"while true do if true then goto c end local y ::c:: end",
	/* From here on by the clock only: a tick costs too much. */
	"local a = ('x'):rep(1e6) local b = a .. 'y' a = a .. 'x' while true do local c = a < b end",
	"local a = ('x'):rep(1e6) local b = a .. 'y' a = a .. 'x' local c while true do c = a<b and a<b and a<b and a<b and "
	"a<b and a<b and a<b and a<b and a<b and a<b and a<b and a<b and a<b and a<b and a<b end",
	"local a, b = ('x'):rep(1e6), ('x'):rep(9e5) while true do local c = a .. b end",
};
#define NHOSTILE (int)(sizeof(hostile) / sizeof(hostile[0]))
#define NDEAR 3

START_TEST(runaway_is_stopped_by_ticks)
{
	int64_t counted[2];

	for (int jit = 0; jit < 2; jit++) {
		struct cw_vm_report report;
		const char *got = script_run(vms[jit], hostile[_i], strlen(hostile[_i]), 300000, 0, &report);

		if (report.stop == CW_STOP_STACK)      /* its depth depends on the JIT; still a breach */
			return;
		ck_assert_msg(report.stop == CW_STOP_TICKS, "%s\n%s", hostile[_i], got);
		ck_assert_msg(strstr(got, "t.lua:1: stopped: more than 300000 ticks") == got, "%s", got);
		counted[jit] = report.ticks;
		ck_assert_str_eq(script_text(vms[jit], "return 1"), "ok: 1");
	}
	ck_assert_msg(counted[0] == counted[1], "%s\n%lld and %lld ticks", hostile[_i], (long long)counted[0],
	              (long long)counted[1]);
}
END_TEST

START_TEST(runaway_is_stopped_by_the_clock)
{
	struct timespec from, to;
	struct cw_vm_report report;
	double ms;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);      /* the machine may be busy */
	script_run(vms[1], hostile[_i], strlen(hostile[_i]), INT64_MAX / 4, 20000, &report);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &to);
	ms = (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
	ck_assert_msg(report.stop != CW_STOP_NONE, "%s", hostile[_i]);
	ck_assert_msg(ms < 1000, "%s\ntook %.0f ms", hostile[_i], ms);   /* 20 ms, and what one C call may take */
}
END_TEST

/* No loop in sight: doubling a string 60 times. */
START_TEST(straight_line_concatenation_is_stopped)
{
	struct cw_buf text = CW_BUF_INIT;

	cw_buf_puts(&text, "local s = 'xxxxxxxxxxxxxxxx'\n");
	for (int i = 0; i < 60; i++)
		cw_buf_puts(&text, _i == 0 ? "s=s..s\n" : _i == 1 ? "if s..s then s=s..s end\n" : "s=(function() return s..s end)()\n");
	for (int jit = 0; jit < 2; jit++) {
		struct cw_vm_report report;

		script_run(vms[jit], text.data, text.len, 1000000, 0, &report);
		ck_assert_int_eq(report.stop, CW_STOP_MEMORY);
		/* Collected after the stop; LuaJIT halves its string buffer with each collection. */
		ck_assert_int_lt((int)(cw_vm_bytes(vms[jit]) >> 20), 17);
	}
	cw_buf_release(&text);
}
END_TEST

START_TEST(memory_bomb_is_stopped)
{
	static const char *const bombs[] = {
		"local t = {} for i = 1, 1e9 do t[i] = { i } end",
		"local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end",
		"local s = 'x' while true do s = s .. s end",
		"local t = {} while true do pcall(function() while true do t[#t + 1] = { t } end end) end",
		"local function f(...) return f(1, ...) end f()",
	};

	for (int jit = 0; jit < 2; jit++)
		for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
			struct cw_vm_report report;

			script_run(vms[jit], bombs[i], strlen(bombs[i]), INT64_MAX / 4, 0, &report);
			ck_assert_msg(report.stop == CW_STOP_MEMORY || report.stop == CW_STOP_STACK, "%s: %s", bombs[i],
			              report.message);
			ck_assert_str_eq(script_text(vms[jit], "return 1"), "ok: 1");
		}
}
END_TEST

/* More in one operation than the hard limit allows: no guard comes between, so the process ends, with its own status. */
START_TEST(hard_limit_ends_the_process)
{
	struct cw_buf text = CW_BUF_INIT;
	struct cw_vm_report report;

	cw_buf_puts(&text, "local s = ('x'):rep(1e6) s = s .. s .. s .. s .. s .. s .. s .. s return #(s");
	for (int i = 0; i < 100; i++)
		cw_buf_puts(&text, " .. s");
	cw_buf_puts(&text, ")");
	script_run(vms[_i], text.data, text.len, 1000000, 0, &report);
	ck_abort_msg("it came back");
}
END_TEST

START_TEST(stack_overflow_cannot_be_caught)
{
	static const char text[] = "local function f() return 1 + f() end local ok = pcall(f) return 'went on'";

	for (int jit = 0; jit < 2; jit++) {
		struct cw_vm_report report;

		script_run(vms[jit], text, strlen(text), INT64_MAX / 4, 0, &report);
		ck_assert_int_eq(report.stop, CW_STOP_STACK);
		ck_assert_str_eq(report.message, "stopped: stack overflow");
	}
}
END_TEST

/* --- ticks --- */

static const char *const counted[] = {
	"for i = 1, 1000 do end return 1",
	"local n = 0 for i = 1, 300 do for j = 1, 30 do n = n + j end end return n",
	"local t = {} for i = 1, 500 do t[i] = i * 3 % 17 end table.sort(t) return t[1]",
	"local t = {} for i = 1, 300 do t[i] = i * 7 % 31 end table.sort(t, function(a, b) return a > b end) return t[1]",
	"local t = { a = 1, b = 2, c = 3, [1] = 4, [true] = 5 } local n = 0 for i = 1, 100 do for k, v in pairs(t) do n = n + v "
	"end end return n",
	"local i = 0 ::a:: i = i + 1 if i < 1000 then goto a end return i",
	"local i = 0 repeat i = i + 1 until i == 1000 return i",
	"local n = 0 for i = 1, 200 do local ok = pcall(function() if i % 3 == 0 then error('x') end n = n + 1 end) end return n",
	"local n = 0 for i = 1, 200 do xpcall(function() error('x') end, function() n = n + 1 end) end return n",
	"local function f(n) if n == 0 then return 0 end return 1 + f(n - 1) end local n = 0 for i = 1, 50 do n = n + f(50) end "
	"return n",
	"local function f(n) if n == 0 then return 0 end return f(n - 1) end for i = 1, 100 do f(100) end return 1",
	"local s = 0 for w in ('the quick brown fox'):rep(30, ' '):gmatch('%a+') do s = s + #w end return s",
	"local s = ('abc'):rep(500):gsub('b', function(c) return c .. c end) return #s",
	"local t = setmetatable({}, { __index = function(t, k) return k * 2 end }) local n = 0 for i = 1, 500 do n = n + t[i] end "
	"return n",
	"local s = '' for i = 1, 300 do s = s .. i end return #s",
	"local t = {} for i = 1, 200 do table.insert(t, 1, i) end for i = 1, 100 do table.remove(t, 1) end return #t",
	"local function g(...) return select('#', ...) end local n = 0 for i = 1, 300 do n = n + g(1, 2, i) end return n",
	"local n = 0 for i = 1, 100 do local f = function() n = n + 1 return n end f() f() end return n",
	"local x = ('x'):rep(200000) local n = 0 for i = 1, 50 do n = n + #x:upper() + (x:find('y', 1, true) or 0) end return n",
};

START_TEST(ticks_do_not_depend_on_the_jit)
{
	struct cw_vm_report off, on;
	char first[256];

	snprintf(first, sizeof(first), "%s", script_run(vms[0], counted[_i], strlen(counted[_i]), 10000000, 0, &off));
	ck_assert_str_eq(script_run(vms[1], counted[_i], strlen(counted[_i]), 10000000, 0, &on), first);
	ck_assert_msg(strncmp(first, "ok: ", 4) == 0, "%s", first);
	ck_assert_int_eq(off.ticks, on.ticks);
	/* One less than it takes stops it, in both. */
	for (int jit = 0; jit < 2; jit++) {
		script_run(vms[jit], counted[_i], strlen(counted[_i]), on.ticks - 1, 0, &off);
		ck_assert_int_eq(off.stop, CW_STOP_TICKS);
		script_run(vms[jit], counted[_i], strlen(counted[_i]), on.ticks, 0, &off);
		ck_assert_int_eq(off.stop, CW_STOP_NONE);
	}
}
END_TEST

START_TEST(interrupt_stops_at_the_next_tick)
{
	struct cw_budget budget = { .ticks = 100 };
	struct cw_guard_frame frame;

	cw_guard_trip(CW_STOP_TIME);                     /* nothing runs: nothing happens */
	ck_assert(!cw_guard_stopped());
	cw_guard_begin(&frame, &budget);
	cw_guard_trip(CW_STOP_TIME);
	cw_guard_trip(CW_STOP_MEMORY);                   /* the first reason stays */
	ck_assert(cw_guard_work(1));
	ck_assert_int_eq(cw_guard_end(&frame, NULL), CW_STOP_TIME);
	ck_assert(!cw_guard_stopped());
}
END_TEST

START_TEST(budgets_nest)
{
	struct cw_budget outer = { .ticks = 100 }, inner = { .ticks = 5 };
	struct cw_guard_frame a, b;
	int64_t ticks;

	cw_guard_begin(&a, &outer);
	ck_assert(!cw_guard_work(60));
	cw_guard_begin(&b, &inner);
	ck_assert(cw_guard_work(6));
	ck_assert_int_eq(cw_guard_end(&b, &ticks), CW_STOP_TICKS);
	ck_assert_int_eq(ticks, 6);
	ck_assert(!cw_guard_work(40));
	ck_assert(cw_guard_work(1));
	ck_assert_int_eq(cw_guard_end(&a, &ticks), CW_STOP_TICKS);
	ck_assert_int_eq(ticks, 101);
}
END_TEST

/* LuaJIT issue 827: the distribution's default library counts most of these wrongly with the JIT on. Runs on the
 * linked library; "luajit" as a command is another one. */
START_TEST(library_computes_nested_pairs)
{
	static const char text[] =
		"local t = {}\n"
		"for i = 1, 10 do t['k' .. i] = { 1, 2, 3 } end\n"
		"local wrong = 0\n"
		"for n = 1, 100000 do\n"
		"  local count = 0\n"
		"  for _, list in pairs(t) do\n"
		"    for _, v in pairs(list) do\n"
		"      if v then count = count + 1 end\n"
		"    end\n"
		"  end\n"
		"  if count ~= 30 then wrong = wrong + 1 end\n"
		"end\n"
		"return wrong\n";
	lua_State *L = luaL_newstate();

	ck_assert(L != NULL);
	luaL_openlibs(L);
	ck_assert_int_eq(luaL_loadbufferx(L, text, strlen(text), "=nested", "t"), 0);
	ck_assert_int_eq(lua_pcall(L, 0, 1, 0), 0);
	ck_assert_msg(lua_tointeger(L, -1) == 0, "%d of 100000 loops were wrong: link with libluajit2-5.1",
	              (int)lua_tointeger(L, -1));
	lua_close(L);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("guard");
	TCase *tc = tcase_create("guard");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, valid_programs_stay_valid, 0, (int)(sizeof(valid) / sizeof(valid[0])));
	tcase_add_test(tc, line_numbers_stay);
	tcase_add_loop_test(tc, refused_with_message, 0, (int)(sizeof(refused) / sizeof(refused[0])));
	tcase_add_test(tc, reserved_name_in_string_is_harmless);
	tcase_add_test(tc, file_over_the_limit_is_refused);
	tcase_add_test(tc, huge_statement_is_refused);
	tcase_add_loop_test(tc, runaway_is_stopped_by_ticks, 0, NHOSTILE - NDEAR);
	tcase_add_loop_test(tc, runaway_is_stopped_by_the_clock, 0, NHOSTILE);
	tcase_add_loop_test(tc, straight_line_concatenation_is_stopped, 0, 3);
	tcase_add_test(tc, memory_bomb_is_stopped);
	tcase_add_loop_exit_test(tc, hard_limit_ends_the_process, CW_VM_EXIT_MEMORY, 0, 2);
	tcase_add_test(tc, stack_overflow_cannot_be_caught);
	tcase_add_loop_test(tc, ticks_do_not_depend_on_the_jit, 0, (int)(sizeof(counted) / sizeof(counted[0])));
	tcase_add_test(tc, interrupt_stops_at_the_next_tick);
	tcase_add_test(tc, budgets_nest);
	tcase_add_test(tc, library_computes_nested_pairs);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
