/* The bounded matcher agrees with the library's string functions wherever those end, and ends where they do not. */
#include <stdlib.h>

#include <lualib.h>

#include "support/script.h"

static struct cw_vm *vm;
static lua_State *oracle;        /* a plain state with the library's own string functions */

static void setup(void)
{
	vm = script_vm(CW_WORLD_RULES, false);
	oracle = luaL_newstate();
	luaL_openlibs(oracle);
}

static void teardown(void)
{
	cw_vm_free(&vm);
	lua_close(oracle);
}

/* What a plain state makes of the text, in the form of script_run. */
static const char *oracle_text(const char *text)
{
	static char out[1024];

	if (luaL_loadbufferx(oracle, text, strlen(text), "@t.lua", "t") != 0 || lua_pcall(oracle, 0, 1, 0) != 0)
		snprintf(out, sizeof(out), "%s", lua_tostring(oracle, -1));
	else
		snprintf(out, sizeof(out), "ok: %s", lua_tostring(oracle, -1));
	lua_settop(oracle, 0);
	return out;
}

/* Calls every function that takes a pattern with these, and puts all results into one text. */
static const char frame[] =
	"local function show(...)\n"
	"  local t = {}\n"
	"  for i = 1, select('#', ...) do t[i] = tostring((select(i, ...))) end\n"
	"  return '[' .. table.concat(t, ',') .. ']'\n"
	"end\n"
	"local function try(f, ...)\n"
	"  local s = show(pcall(f, ...))\n"
	"  return (s:gsub('^(%%[false),.*$', '%%1'))\n"
	"end\n"
	"local s, p = %s, %s\n"
	"local out = { try(string.find, s, p), try(string.find, s, p, 2), try(string.find, s, p, -3),\n"
	"  try(string.find, s, p, 1, true), try(string.match, s, p), try(string.match, s, p, 3),\n"
	"  try(string.gsub, s, p, '<%%1%%0>'), try(string.gsub, s, p, '%%1!', 2),\n"
	"  try(string.gsub, s, p, { a = 'A', b = false, hello = 1 }),\n"
	"  try(string.gsub, s, p, function(a, b) if a == 'x' then return nil end return (b or '') .. '-' end) }\n"
	"local g = {}\n"
	"local ok = pcall(function() for a, b in string.gmatch(s, p) do g[#g + 1] = show(a, b) if #g > 50 then break end end end)\n"
	"out[#out + 1] = tostring(ok) .. table.concat(g)\n"
	"return table.concat(out, ' ')\n";

static const struct { const char *s, *p; } pairs[] = {
	{ "'hello world'", "'o'" }, { "'hello world'", "'l+'" }, { "'hello world'", "'(%a+) (%a+)'" },
	{ "'hello world'", "'()o()'" }, { "'hello world'", "'.-o'" }, { "'hello world'", "'^h'" },
	{ "'hello world'", "'d$'" }, { "'hello world'", "'^$'" }, { "''", "'^$'" }, { "''", "''" }, { "'abc'", "''" },
	{ "'abc'", "'b*'" }, { "'abc'", "'%w*'" }, { "'  trim  '", "'^%s*(.-)%s*$'" }, { "'a.b.c'", "'%.'" },
	{ "'a.b.c'", "'.'" }, { "'key = value'", "'(%w+)%s*=%s*(%w+)'" }, { "'f(a(b)c)d'", "'%b()'" },
	{ "'((('", "'%b()'" }, { "'THE (quick) fox'", "'%f[%a]%a+'" }, { "'THE (quick) fox'", "'%f[%w]'" },
	{ "'abcabc'", "'(abc)%1'" }, { "'abcabd'", "'(ab)(c)%1'" }, { "'x\"y\"x'", "'([\"\\'])(.-)%1'" },
	{ "'[x]'", "'[]x[]'" }, { "'a-z'", "'[a%-z]+'" }, { "'a-z'", "'[a-]'" }, { "'a]b'", "'[^]]+'" },
	{ "'0x1F 0xfg'", "'0x%x+'" }, { "'tab\\there'", "'%c'" }, { "'a\\0b'", "'%z'" }, { "'UPPER lower'", "'%u%U'" },
	{ "'a,b,,c'", "'([^,]*)'" }, { "'a,b,,c'", "'[^,]+'" }, { "'2024-01-02'", "'(%d%d%d%d)-(%d%d)-(%d%d)'" },
	{ "'aaa'", "'a-'" }, { "'aaa'", "'a-$'" }, { "'aaa'", "'a?a?a?a?'" }, { "'aaab'", "'a*ab'" }, { "'$100'", "'%$%d+'" },
	{ "'100%'", "'%d+%%'" }, { "'a^b'", "'a^b'" }, { "'a$b'", "'a$b'" }, { "'^x'", "'^^x'" }, { "'x'", "'(x)(y?)'" },
	{ "'x'", "'(()x())'" }, { "'hello'", "'(h)(e)(l)(l)(o)'" }, { "'\\255\\254'", "'[\\250-\\255]+'" },
	{ "'%d'", "'%%d'" }, { "'word word'", "'(%w+) %1'" }, { "'ab'", "'.-b?'" }, { "'punct!?.'", "'%p+'" },
	{ "'a b'", "'%S+'" }, { "'line\\nline'", "'[^\\n]+'" }, { "'path/to/file'", "'([^/]+)$'" }, { "12345", "'3'" },
	/* malformed: both must refuse */
	{ "'abc'", "'[a'" }, { "'abc'", "'[a%'" }, { "'abc'", "'%'" }, { "'abc'", "'(a'" }, { "'abc'", "'a)'" },
	{ "'abc'", "'%1'" }, { "'abc'", "'(a%1)'" }, { "'abc'", "'%b'" }, { "'abc'", "'%ba'" }, { "'abc'", "'%f'" },
	{ "'abc'", "'%fa'" }, { "'abc'", "'[]'" }, { "'abc'", "'[^]'" }, { "'abc'", "'(()'" }, { "'abc'", "'a%2'" },
	{ "('a'):rep(40)", "('(a)'):rep(33)" }, { "'a'", "'[%'" }, { "'a'", "'[a-%'" }, { "'a'", "'[%a-z]'" },
};

START_TEST(agrees_with_the_library)
{
	char text[4096], want[1024];

	snprintf(text, sizeof(text), frame, pairs[_i].s, pairs[_i].p);
	snprintf(want, sizeof(want), "%s", oracle_text(text));
	ck_assert_msg(strcmp(script_text(vm, text), want) == 0, "s = %s p = %s\nis   %s\nwant %s", pairs[_i].s, pairs[_i].p,
	              script_text(vm, text), want);
}
END_TEST

/* The library looks at captures only when they are used, and so takes some patterns with one left open. */
static bool is_closed(const char *p)
{
	int open = 0;

	for (; *p != '\0'; p++)
		open += (*p == '(') - (*p == ')');
	return open == 0;
}

/* Patterns and texts drawn from few characters, so that they meet. */
START_TEST(agrees_on_random_patterns)
{
	static const char pattern_of[] = "ab.*+-?%()[]^$1", text_of[] = "aabb(]-";
	unsigned state = 12345;

	for (int n = 0; n < 4000; n++) {
		char p[16], s[16], quoted_s[24], quoted_p[24], text[4096], want[1024];
		int plen = 0, slen = 0;

		for (int i = 0; i < 7; i++) {
			state = state * 1664525u + 1013904223u;
			p[plen++] = pattern_of[(state >> 16) % (sizeof(pattern_of) - 1)];
			state = state * 1664525u + 1013904223u;
			s[slen++] = text_of[(state >> 16) % (sizeof(text_of) - 1)];
			if (state >> 28 == 0)
				break;
		}
		p[plen] = s[slen] = '\0';
		if (!is_closed(p))
			continue;
		snprintf(quoted_s, sizeof(quoted_s), "'%s'", s);
		snprintf(quoted_p, sizeof(quoted_p), "'%s'", p);
		snprintf(text, sizeof(text), frame, quoted_s, quoted_p);
		snprintf(want, sizeof(want), "%s", oracle_text(text));
		ck_assert_msg(strcmp(script_text(vm, text), want) == 0, "s = %s p = %s\nis   %s\nwant %s", s, p,
		              script_text(vm, text), want);
	}
}
END_TEST

START_TEST(backtracking_bombs_stop)
{
	static const char *const bombs[] = {
		"return ('a'):rep(50000):find(('a-'):rep(40) .. 'b')",
		"return ('a'):rep(50000):find(('a*'):rep(30) .. 'b')",
		"return ('a'):rep(50000):match(('.-'):rep(50) .. 'b')",
		"return (('a'):rep(50000):gsub(('a?'):rep(30) .. ('a-'):rep(10) .. 'b', ''))",
		"for w in ('a'):rep(50000):gmatch(('a-'):rep(30) .. 'b') do end",
		"return ('('):rep(100000):find('%b()')",
	};

	for (size_t i = 0; i < sizeof(bombs) / sizeof(bombs[0]); i++) {
		struct cw_vm_report report;

		script_run(vm, bombs[i], strlen(bombs[i]), 100000, 0, &report);
		ck_assert_msg(report.stop == CW_STOP_TICKS, "%s: %s", bombs[i], report.message);
	}
}
END_TEST

START_TEST(deep_patterns_are_refused)
{
	ck_assert_str_eq(script_text(vm, "local i = ('a'):rep(1000):find(('a?'):rep(300))"), "t.lua:1: pattern too complex");
}
END_TEST

START_TEST(results_are_bounded)
{
	ck_assert_str_eq(script_text(vm, "local s = ('a'):rep(2000):gsub('a', ('b'):rep(1000))"),
	                 "t.lua:1: 'gsub' returns at most 1048576 bytes");
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
	ck_assert_str_eq(script_text(vm, "local s = ('a'):gsub('a', true)"),
	                 "t.lua:1: bad argument #3 to 'gsub' (string, function or table expected, got boolean)");
	ck_assert_str_eq(script_text(vm, "local s = ('a'):gsub('a', '%2')"), "t.lua:1: invalid capture index in replacement string");
	ck_assert_str_eq(script_text(vm, "local s = ('a'):gsub('a', function() return {} end)"),
	                 "t.lua:1: invalid replacement value (a table)");
	ck_assert_str_eq(script_text(vm, "local s = ('a'):gsub({}, 'a')"),
	                 "t.lua:1: bad argument #2 to 'gsub' (string expected, got table)");
	ck_assert_str_eq(script_text(vm, "local s = string.find(nil, 'a')"),
	                 "t.lua:1: bad argument #1 to 'find' (string expected, got nil)");
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("match");
	TCase *tc = tcase_create("match");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, agrees_with_the_library, 0, (int)(sizeof(pairs) / sizeof(pairs[0])));
	tcase_add_test(tc, agrees_on_random_patterns);
	tcase_add_test(tc, backtracking_bombs_stop);
	tcase_add_test(tc, deep_patterns_are_refused);
	tcase_add_test(tc, results_are_bounded);
	tcase_add_test(tc, wrong_arguments_are_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
