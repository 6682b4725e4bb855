/* Lint: each fault at its place with its code, and nothing where nothing is wrong; the parser below it. */
#include "lua/lint.h"

#include <check.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "lua/syntax.h"
#include "lua/vm.h"
#include "pipeline/evaluate.h"

static struct cw_arena *arena;
static struct cw_lint result;
static struct cw_buf text;

static void setup(void)
{
	cw_vm_prepare_process();
	arena = cw_arena_new();
	cw_buf_init(&text);
}

static void teardown(void)
{
	cw_arena_free(&arena);
	cw_buf_release(&text);
}

static void lint(const char *source, const char *params)
{
	struct cw_bundle_file file = { "rules/a.lua", source, strlen(source) };
	struct cw_bundle bundle = { .rules = &file, .nrules = 1, .params_json = "{}" };

	cw_lint_bundle(&bundle, "conf/rules.lua", params, arena, &result);
	cw_buf_clear(&text);
	cw_lint_put_text(&result, &text);
}

/* A rule without fault around: a parameter, a state, a line of evaluate (line 6), an alert. */
static char *rule(const char *params, const char *state, const char *line, const char *alert)
{
	static char out[4096];

	snprintf(out, sizeof(out),
	         "return rule { id = 'x.a', version = '1.0.0', severity = 'low', title = 'Title',\n"
	         "description = 'What it finds, and why.', references = { 'r' }, false_positives = { 'f' }, tags = { 't' },\n"
	         "params = { limit = 3%s },\n"
	         "state = function(p) return { n = window.count { key = 'from', span = '1h' }%s } end,\n"
	         "evaluate = function(tx, s, p) local n = s.n:add(tx) or 0\n"
	         "%s\n"
	         "if n >= p.limit then return alert { %s } end end,\n"
	         "tests = { { name = 'q', given = tx { from = A }, expect = 'quiet' },\n"
	         "{ name = 'a', given = txs { n = 3, from = A }, expect = 'alert' } } }\n", params, state, line, alert);
	return out;
}
#define GOOD_ALERT "score = 0.5, dedup = tx.from, explain = { n = n }"

/* The only finding, as "line:column code". */
static void expect(const char *source, const char *place)
{
	char got[200];

	lint(source, NULL);
	ck_assert_msg(result.n == 1, "%s: %d findings\n%s", place, result.n, text.data);
	snprintf(got, sizeof(got), "%d:%d %s", result.list[0].line, result.list[0].column, result.list[0].code);
	ck_assert_str_eq(got, place);
}

START_TEST(a_good_rule_has_no_findings)
{
	lint(rule("", "", "", GOOD_ALERT), NULL);
	ck_assert_msg(result.n == 0, "%s", text.data);
}
END_TEST

static const struct { const char *params, *state, *line, *alert, *place; } uses[] = {
	{ "", "", "if tx.valeu then return end", GOOD_ALERT, "6:7 unknown-field" },
	{ "", "", "local v = tx['valeu'] n = v", GOOD_ALERT, "6:14 unknown-field" },
	{ "", "", "local t = tx n = t.form", GOOD_ALERT, "6:20 unknown-field" },
	{ "", "", "if s.m:add(tx) then end", GOOD_ALERT, "6:6 unknown-state" },
	{ "", "", "if s.n:sum(tx) then end", GOOD_ALERT, "6:8 unknown-method" },
	{ "", "", "if s.n.get(tx) then end", GOOD_ALERT, "6:8 call-with-dot" },
	{ "", "", "if s.n:get() then end", GOOD_ALERT, "6:8 bad-argument" },
	{ "", "", "if s.n:get('from') then end", GOOD_ALERT, "6:8 bad-argument" },
	{ "", "", "if s.n:get(tx, 'form') then end", GOOD_ALERT, "6:16 unknown-field" },
	{ "", ", m = window.count { key = 'to', span = '1h' }", "if s.m:get(tx) > 3 then end", GOOD_ALERT, "6:4 may-be-nil" },
	{ "", ", m = stat.robust { of = 'value' }", "if s.m:add(tx) > 3 then end", GOOD_ALERT, "6:4 may-be-nil" },
	{ "", "", "if tx.fee > 3 then end", GOOD_ALERT, "6:4 may-be-nil" },
	{ "", "", "n = n + p.limti", GOOD_ALERT, "6:11 unknown-param" },
	{ "", "", "tx.value = 3", GOOD_ALERT, "6:1 read-only" },
	{ "", "", "p.limit = 3", GOOD_ALERT, "6:1 read-only" },
	{ "", "", "count = 3", GOOD_ALERT, "6:1 global-write" },
	{ "", "", "n = maths.log(n)", GOOD_ALERT, "6:5 unknown-global" },
	{ "", "", "n = os.time()", GOOD_ALERT, "6:5 unknown-global" },
	{ "", "", "local y = 3", GOOD_ALERT, "6:7 unused-variable" },
	{ "", "", "if n == 0 then return { score = 1 } end", GOOD_ALERT, "6:23 bad-alert" },
	{ "", "", "if n == 0 then return true end", GOOD_ALERT, "6:23 bad-alert" },
	{ "", "", "", "score = 0.5, dedup = tx.hash, explain = { n = n }", "7:58 unbounded-dedup" },
	{ "", "", "", "score = 0.5, dedup = 'x' .. tx.hash, explain = { n = n }", "7:58 unbounded-dedup" },
	{ "", "", "local d = tx.hash", "score = 0.5, dedup = d, explain = { n = n }", "7:58 unbounded-dedup" },
	{ "", "", "", "score = 0.5, explain = { n = n }", "7:29 no-dedup" },
	{ "", "", "", "score = 0.5, dedup = tx.from", "7:29 no-explain" },
	{ "", "", "", "dedup = tx.from, explain = { n = n }", "7:29 bad-alert" },
	{ "", "", "", "score = 2, dedup = tx.from, explain = { n = n }", "7:45 bad-alert" },
	{ "", "", "", "scor = 1, score = 1, dedup = tx.from, explain = { n = n }", "7:37 unknown-key" },
	{ "", "", "", "score = 1, severity = 'hgih', dedup = tx.from, explain = { n = n }", "7:59 bad-value" },
	{ ", x = 0/0", "", "n = n + p.x", GOOD_ALERT, "3:27 bad-param" },
	{ ", x = -1/0", "", "n = n + p.x", GOOD_ALERT, "3:27 bad-param" },
	{ ", x = math.huge", "", "n = n + p.x", GOOD_ALERT, "3:27 bad-param" },
	{ ", x = 3", "", "", GOOD_ALERT, "3:23 unused-param" },
	{ "", ", m = window.count { span = '1h' }", "", GOOD_ALERT, "4:78 unused-state" },
	{ "", ", m = window.cuont { span = '1h' }", "s.m:add(tx)", GOOD_ALERT, "4:89 unknown-primitive" },
	{ "", ", m = window.count { spam = 1, span = '1h' }", "s.m:add(tx)", GOOD_ALERT, "4:97 unknown-option" },
	{ "", ", m = window.count { span = '1 hour' }", "s.m:add(tx)", GOOD_ALERT, "4:104 bad-option" },
	{ ", w = 'soon'", ", m = window.count { span = p.w }", "s.m:add(tx)", GOOD_ALERT, "4:104 bad-option" },
	{ "", ", m = window.count { key = 'from' }", "s.m:add(tx)", GOOD_ALERT, "4:82 bad-option" },
	{ "", ", m = window.count { key = 'form', span = '1h' }", "s.m:add(tx)", GOOD_ALERT, "4:103 bad-option" },
	{ "", ", m = window.count { key = 'hash', span = '1h' }", "s.m:add(tx)", GOOD_ALERT, "4:103 unbounded-key" },
	{ "", "", "local function h(t) return t.valu end if h(tx) then return end", GOOD_ALERT, "6:30 unknown-field" },
	{ "", "", "", "score = 'x', dedup = tx.from, explain = { n = n }", "7:45 bad-alert" },
	{ "", "", "", "score = {}, dedup = tx.from, explain = { n = n }", "7:45 bad-alert" },
	{ "", "", "", "score = true, dedup = tx.from, explain = { n = n }", "7:45 bad-alert" },
	{ "", "", "", "score = -math.huge, dedup = tx.from, explain = { n = n }", "7:45 bad-alert" },
	{ "", "", "", "score = 1, confidence = false, dedup = tx.from, explain = { n = n }", "7:61 bad-alert" },
	{ "", "", "", "score = 1, confidence = 7, dedup = tx.from, explain = { n = n }", "7:61 bad-alert" },
	{ "", "", "", "score = 1, dedup = tx.from, explain = 'many'", "7:75 bad-alert" },
	{ "", "", "", "score = 1, dedup = tx.from, explain = 3", "7:75 bad-alert" },
	{ "", "", "", "score = 1, severity = 3, dedup = tx.from, explain = { n = n }", "7:59 bad-value" },
	{ "", "", "", "'high', score = 1, dedup = tx.from, explain = { n = n }", "7:37 unknown-key" },
	{ "", "", "if n == 9 then return alert() end", GOOD_ALERT, "6:23 bad-alert" },
	{ "", "", "if n == 9 then return alert 'high' end", GOOD_ALERT, "6:23 bad-alert" },
	{ "", "", "if n == 9 then return 'high' end", GOOD_ALERT, "6:23 bad-alert" },
	{ "", "", "if n == 9 then return 3 end", GOOD_ALERT, "6:23 bad-alert" },
	{ "", "", "function count() end", GOOD_ALERT, "6:10 global-write" },
	{ "", "", "s.n = 3", GOOD_ALERT, "6:1 read-only" },
	{ "", "", "s.n.x = 3", GOOD_ALERT, "6:1 read-only" },
	{ "", "", "if s.n:get(3) then end", GOOD_ALERT, "6:8 bad-argument" },
	{ "", "", "if s.n:get(nil) then end", GOOD_ALERT, "6:8 bad-argument" },
	{ "", "", "if s.n:get(p) then end", GOOD_ALERT, "6:8 bad-argument" },
	{ "", "", "if s.n:get(tx, 'from', 1) then end", GOOD_ALERT, "6:24 bad-argument" },
	{ "", "", "if s.n:get(tx, 3) then end", GOOD_ALERT, "6:16 bad-argument" },
	{ "", ", m = stat.robust { of = 'value' }", "s.m:add(tx, 'much')", GOOD_ALERT, "6:13 bad-argument" },
	{ "", ", m = stat.robust { of = 'value' }", "s.m:add(tx, {})", GOOD_ALERT, "6:13 bad-argument" },
	{ "", ", m = window.count()", "s.m:add(tx)", GOOD_ALERT, "4:82 bad-option" },
	{ "", ", m = window.count { 'from', span = '1h' }", "s.m:add(tx)", GOOD_ALERT, "4:97 bad-option" },
	{ "", ", m = window.count { span = true }", "s.m:add(tx)", GOOD_ALERT, "4:104 bad-option" },
	{ ", w = false", ", m = window.count { span = p.w }", "s.m:add(tx)", GOOD_ALERT, "4:104 bad-option" },
	{ ", w = -1", ", m = window.count { span = p.w }", "s.m:add(tx)", GOOD_ALERT, "4:1 refused" },
	{ "", ", m = graph.cuont { }", "s.m:add(tx)", GOOD_ALERT, "4:88 unknown-primitive" },
	{ ", k = 'from'", ", m = window.count { key = p.k, span = '1h' }", "if s.m:get(tx) > 3 then end", GOOD_ALERT,
	  "6:4 may-be-nil" },
	{ "", ", m = window.count { key = 'from+to', span = '1h' }", "if 3 < (s.m:get(tx)) then end", GOOD_ALERT,
	  "6:9 may-be-nil" },
	{ "", "", "if 3 < tx.gas_used then end", GOOD_ALERT, "6:8 may-be-nil" },
	{ ", x = function() end", "", "n = n + p.x", GOOD_ALERT, "3:27 bad-param" },
	{ ", x = nil", "", "n = n + p.x", GOOD_ALERT, "3:27 bad-param" },
	{ "", "", "local function h(c, t) return c:get(t, 'form') end if h(s.n, tx) == 1 then return end", GOOD_ALERT,
	  "6:40 unknown-field" },
	{ "", "", "local a, b = s.n, p if a:get(tx) == b.limti then return end", GOOD_ALERT, "6:39 unknown-param" },
	{ "", "", "local function h(c) return c:gett(tx) end if h(s.n) then return end", GOOD_ALERT, "6:30 unknown-method" },
};

START_TEST(each_use_is_named_at_its_place)
{
	expect(rule(uses[_i].params, uses[_i].state, uses[_i].line, uses[_i].alert), uses[_i].place);
}
END_TEST

static const struct { const char *line; } silent[] = {
	{ "if (s.n:get(tx) or 0) > 3 then return end" },
	{ "if s.n:get(tx) > 3 then return end" },
	{ "if (tx.fee or 0) > 3 then return end" },
	{ "for k, v in pairs({ 1 }) do n = n + k + v end" },
	{ "local key = 'val' .. 'ue' if tx[key] == 0 then return end" },
	{ "goto done ::done::" },
	{ "local _, y = math.modf(n) n = y" },
	{ "local name = 'n' if s[name]:get(tx) == 1 then return end" },
	{ "local name = 'limit' if p[name] == 1 then return end" },
	{ "local a = n local b = a local c = b if c == 3 then return end" },
	{ "local function h() return 3 end if h() == 3 then return end" },
	{ "--[[ a comment\nof two lines ]] --[==[ and ]] another ]==]" },
	{ "local t = {} t.x = 3 t.x.y = 4" },
	{ "local v = tx.valeu -- lint:allow unused-variable unknown-field" },
	{ "if tx.fee == nil then return end" },
	{ "local e = { score = 1, dedup = tx.from, explain = {} } if n == 9 then return alert(e) end" },
	{ "local function make(e) return alert(e) end if n == 9 then return make({ score = 1 }) end" },
	{ "local x = tx x = { valeu = 3 } if x.valeu == 3 then return end" },
	{ "if tx.valeu then return end -- lint:allow unknown-field" },
	{ "local function h(all) return all end if h(s).n:get(tx) == 1 then return end" },
};

START_TEST(nothing_is_said_where_nothing_is_wrong)
{
	lint(rule("", "", silent[_i].line, GOOD_ALERT), NULL);
	ck_assert_msg(result.n == 0, "%s\n%s", silent[_i].line, text.data);
}
END_TEST

static const struct { const char *source, *place; } files[] = {
	{ "return rule {", "1:1 syntax" },
	{ "return 3", "1:1 no-rule" },
	{ "", "1:1 no-rule" },
	{ "x = = 3", "1:1 syntax" },
	{ "\n\nlocal s = 'abc\n", "3:1 syntax" },
	{ "return 'x'", "1:1 no-rule" },
	{ "return rule('x')", "1:1 no-rule" },
	{ "local s = [[ never ends", "1:1 syntax" },
	{ "local s = [==[ wrong end ]=]", "1:1 syntax" },
	{ "--[[ never ends", "1:1 syntax" },
	{ "local s = 'a\\", "1:1 syntax" },
	{ "local s = '\\300'", "1:1 syntax" },
	{ "local s = '\\xg0'", "1:1 syntax" },
	{ "x = 1e", "1:1 syntax" },
	{ "x = 0x", "1:1 syntax" },
	{ "x = 3y", "1:1 syntax" },
	{ "goto nowhere", "1:1 syntax" },
	{ "x = \"\xff\" @", "1:1 syntax" },
	{ "\x1bLJ\x02\n", "1:1 syntax" },
};

START_TEST(files_that_are_no_rules)
{
	expect(files[_i].source, files[_i].place);
}
END_TEST

START_TEST(declaration_is_checked)
{
	lint("return rule { id = 'x.a', version = '1.0.0', severity = 'hgih', titel = 'x', status = 'x',\n"
	     "evaluate = function(tx) end, tests = { { given = tx { form = A }, expect = 'quiet' } } }", NULL);
	ck_assert(strstr(text.data, "rules/a.lua:1:57: error: \"severity\" must be low, medium, high or critical, not \"hgih\" "
	                 "(did you mean \"high\"?) [bad-value]\n") != NULL);
	ck_assert(strstr(text.data, "rules/a.lua:1:65: error: rule: unknown key \"titel\" (did you mean \"title\"?)") != NULL);
	ck_assert(strstr(text.data, "error: rule: \"title\" is missing [missing-key]") != NULL);
	ck_assert(strstr(text.data, "error: rule: \"description\" is missing [missing-key]") != NULL);
	ck_assert(strstr(text.data, "warning: rule: no \"references\"") != NULL);
	ck_assert(strstr(text.data, ":2:55: error: tx: unknown key \"form\" (did you mean \"from\"?)") != NULL);
	ck_assert(strstr(text.data, "error: test: \"name\" is missing") != NULL);
	ck_assert(strstr(text.data, "[missing-tests]") != NULL);
}
END_TEST

START_TEST(what_the_loader_refuses_is_a_finding)
{
	expect(rule("", "", "if n > 5 then n = 1LL end", GOOD_ALERT), "6:1 refused");
	expect("local c = 0\nlocal function up() c = c + 1 return c end\nreturn rule { id = 'x.a', version = '1.0.0', severity ="
	       " 'low', title = 'T', description = 'What it finds, and why.', references = { 'r' }, false_positives = { 'f' },"
	       " tags = { 't' }, evaluate = function(tx) if tx.value == up() then return alert { score = 1, dedup = tx.from,"
	       " explain = {} } end end,\ntests = { { name = 'q', given = tx { from = A }, expect = 'quiet' },\n"
	       "{ name = 'a', given = txs { n = 3, from = A }, expect = 'alert' } } }", "3:1 refused");
}
END_TEST

START_TEST(values_kept_in_the_file_are_refused)
{
	char source[4200];

	snprintf(source, sizeof(source), "local last\n%s", rule("", "", "last = tx.from", GOOD_ALERT));
	lint(source, NULL);
	ck_assert_msg(strstr(text.data, "rules/a.lua:7:1: error: \"last\" is a variable of the file") != NULL, "%s", text.data);
}
END_TEST

static const struct { const char *params, *place; } overrides[] = {
	{ "return { ['x.a'] = { limit = 5 } }", NULL },
	{ "return { ['x.b'] = { limit = 5 } }", "conf/rules.lua:1:11: error: parameters are given for rule \"x.b\", which does "
	  "not exist (did you mean \"x.a\"?) [unknown-rule]\n" },
	{ "return {\n  ['x.a'] = { limti = 5 } }", "conf/rules.lua:2:15: error: rule \"x.a\" has no parameter \"limti\" (did you "
	  "mean \"limit\"?) [unknown-param]\n" },
	{ "return 3", NULL },
	{ "return {", NULL },                                  /* the loader of parameters says it */
	{ "return { 'x.a', ['x.a'] = 3, [1] = {} }", NULL },
	{ "return { ['x.a'] = { 5, ['limit'] = 5 } }", NULL },
	{ "return { ['x.a'] = { limit = -5 } }", NULL },
	{ "return { ['x.a'] = { limit = 2 * 3 } }", NULL },
	{ "return { ['x.a'] = { limit = {} } }", "conf/rules.lua:1:30: error: parameter \"limit\" of \"x.a\" must be a number like "
	  "its default, not a list [bad-param]\n" },
	{ "return { ['x.a'] = { limit = true } }", "conf/rules.lua:1:30: error: parameter \"limit\" of \"x.a\" must be a number "
	  "like its default, not a boolean [bad-param]\n" },
	{ "return { ['x.a'] = { limit = '5' } }", "conf/rules.lua:1:30: error: parameter \"limit\" of \"x.a\" must be a number like "
	  "its default, not a text [bad-param]\n" },
};

START_TEST(overrides_are_held_against_the_rules)
{
	lint(rule("", "", "", GOOD_ALERT), overrides[_i].params);
	ck_assert_str_eq(text.data, overrides[_i].place != NULL ? overrides[_i].place : "");
}
END_TEST

/* Declarations that are odd but for the rest good: what they say, and where. */
static const struct { const char *head, *tests, *said; } heads[] = {
	{ "description = 'Short.'", NULL, "a.lua:2:15: warning: rule: the description says little" },
	{ "description = 'What it finds, and why.', status = 3", NULL, "error: \"status\" must be stable, experimental or shadow [bad-v" },
	{ "description = 'What it finds, and why.', 'x'", NULL, "a.lua:2:42: error: rule: an entry without a name [unknown-key]" },
	{ "description = 'What it finds, and why.', references = {}", NULL, "warning: rule: no \"references\"" },
	{ "description = 'What it finds, and why.'", "{ { name = 'q', given = tx {}, expect = 'quiet' } }",
	  "\"tests\" needs at least one that fires and one that stays quiet: 0 fire, 1 stay quiet [missing-tests]" },
	{ "description = 'What it finds, and why.'", "{ { name = 'q', given = tx {}, expect = { alerts = 0 } } }",
	  "0 fire, 1 stay quiet [missing-tests]" },
	{ "description = 'What it finds, and why.'", "{ { name = 'q', given = tx {}, expect = { alerts = 2 } } }",
	  "1 fire, 0 stay quiet [missing-tests]" },
	{ "description = 'What it finds, and why.'", "{ { name = 'q', given = tx {}, expect = 3 } }", "[refused]" },
	{ "description = 'What it finds, and why.'", "{ 3 }", "[refused]" },
	{ "description = 'What it finds, and why.'", "3", "[refused]" },
	{ "description = 'What it finds, and why.'", "{ { name = 'q', given = tx {}, expect = { alrets = 1 } } }",
	  "expect: unknown key \"alrets\" (did you mean \"alerts\"?)" },
	{ "description = 'What it finds, and why.', params = 3", NULL, "[refused]" },
	{ "description = 'What it finds, and why.', params = { 3 }", NULL, "[refused]" },
	{ "description = 'What it finds, and why.', state = function() return 3 end", NULL, "[refused]" },
	{ "description = 'What it finds, and why.', state = function() return { window.count { span = '1h' } } end", NULL,
	  "[refused]" },
	{ "description = 'What it finds, and why.', state = 3", NULL, "[refused]" },
	{ "description = 'What it finds, and why.', params = { limit = 1 }, when = function(p) return { min_ether = p.limti } end", NULL,
	  "[unknown-param]" },
	{ "description = 'What it finds, and why.', params = { limit = 0 }, when = function(p) return { min_ether = p.limit } end", NULL,
	  NULL },
	{ "description = 'What it finds, and why.', state = function(p) if p then return {} end return {} end", NULL, NULL },
	{ "description = 'What it finds, and why.', state = function() local function s() return { 3 } end s() return {} end", NULL,
	  NULL },
	{ "description = 'What it finds, ' .. 'and why.'", NULL, NULL },
	{ "description = 'What it finds, and why.', status = 'shadow'", NULL, NULL },
	{ "description = 'What it finds, and why.'", "(function() return { { name = 'q', given = tx { value = 4 }, expect = 'quiet' }, "
	  "{ name = 'a', given = tx { value = 3 }, expect = 'alert' } } end)()", NULL },
	{ "description = 'What it finds, and why.', [1 + 1] = 3", NULL, "[refused]" },
	{ "description = 'What it finds, and why.', id = 'x.b'", NULL, NULL },
};

START_TEST(odd_declarations_are_told)
{
	char source[2000];

	snprintf(source, sizeof(source), "return rule { id = 'x.a', version = '1.0.0', severity = 'low', title = 'Title',\n%s,\n"
	         "references = { 'r' }, false_positives = { 'f' }, tags = { 't' },\n"
	         "evaluate = function(tx) if tx.value == 3 then return alert { score = 1, dedup = tx.from, explain = {} } end end,\n"
	         "tests = %s }", heads[_i].head, heads[_i].tests != NULL ? heads[_i].tests :
	         "{ { name = 'q', given = tx { value = 4 }, expect = 'quiet' }, { name = 'a', given = tx { value = 3 }, expect = 'alert' } }");
	lint(source, NULL);
	if (heads[_i].said == NULL)
		ck_assert_msg(result.n == 0, "%s", text.data);
	else
		ck_assert_msg(strstr(text.data, heads[_i].said) != NULL, "%s\n%s", heads[_i].said, text.data);
}
END_TEST

/* A rule of fields that come out of locals and functions is followed as far as the text goes, and no further. */
START_TEST(parts_that_are_named_are_found)
{
	lint("local keys = { score = 1, dedup = 'x', explain = {} }\n"
	     "local function evaluate(tx) if tx.valeu == 3 then return alert(keys) end end\n"
	     "local text = 'What it finds, and why.'\n"
	     "local same = text\n"
	     "local tests = { { name = 'q', given = tx { value = 4 }, expect = 'quiet' } }\n"
	     "local r = { id = 'x.a', version = '1.0.0', severity = 'low', title = 'Title', description = same,\n"
	     "references = { 'r' }, false_positives = { 'f' }, tags = { 't' }, evaluate = evaluate, tests = tests }\n"
	     "return rule(r)", NULL);
	ck_assert_msg(strstr(text.data, "rules/a.lua:2:35: error: the transaction has no field \"valeu\"") != NULL, "%s", text.data);
	ck_assert_msg(strstr(text.data, "rules/a.lua:5:15: error: \"tests\" needs at least one that fires") != NULL, "%s", text.data);
	ck_assert_int_eq(result.n, 2);
}
END_TEST

START_TEST(the_same_id_twice)
{
	char *source = rule("", "", "", GOOD_ALERT);
	struct cw_bundle_file two[] = { { "rules/a.lua", source, strlen(source) }, { "rules/b.lua", source, strlen(source) } };
	struct cw_bundle bundle = { .rules = two, .nrules = 2, .params_json = "{}" };

	cw_lint_bundle(&bundle, NULL, NULL, arena, &result);
	ck_assert_int_eq(result.n, 1);
	ck_assert_str_eq(result.list[0].file, "rules/b.lua");
	ck_assert_str_eq(result.list[0].code, "duplicate-id");
}
END_TEST

START_TEST(json_is_the_same)
{
	struct cw_buf json = CW_BUF_INIT;

	lint(rule("", "", "if tx.valeu then return end", GOOD_ALERT), NULL);
	cw_lint_put_json(&result, &json);
	ck_assert_str_eq(json.data, "{\"findings\":[{\"file\":\"rules/a.lua\",\"line\":6,\"column\":7,\"code\":\"unknown-field\","
	                 "\"severity\":\"error\",\"message\":\"the transaction has no field \\\"valeu\\\" (did you mean "
	                 "\\\"value\\\"?)\"}],\"errors\":1,\"warnings\":0}");
	cw_buf_release(&json);
}
END_TEST

/* --- the parser --- */

static void parse_file(const char *path)
{
	static char source[1 << 20];
	FILE *f = fopen(path, "r");
	struct cw_err err;
	size_t len;
	bool ok;

	ck_assert_msg(f != NULL, "%s", path);
	len = fread(source, 1, sizeof(source), f);
	fclose(f);
	cw_syntax_parse(source, len, path, arena, &ok, &err);
	ck_assert_msg(ok, "%s", err.msg);
}

START_TEST(all_lua_of_the_repository_is_read)
{
	static const char *const folders[] = { "rules", "rules/optional", "scripts/api", "scripts/lib", "scripts/ops", "engine/lua",
		                                   "tests/scenario", "tests/support", "tests/fault", "conf" };
	int n = 0;

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		DIR *dir = opendir(folders[i]);
		struct dirent *e;

		while (dir != NULL && (e = readdir(dir)) != NULL) {
			char path[512];

			if (strlen(e->d_name) < 5 || strcmp(e->d_name + strlen(e->d_name) - 4, ".lua") != 0)
				continue;
			snprintf(path, sizeof(path), "%s/%s", folders[i], e->d_name);
			parse_file(path);
			n++;
		}
		if (dir != NULL)
			closedir(dir);
	}
	ck_assert_int_gt(n, 30);
}
END_TEST

static void parse(const char *source, bool good)
{
	struct cw_err err;
	bool ok;

	cw_syntax_parse(source, strlen(source), "x", arena, &ok, &err);
	ck_assert_msg(ok == good, "%s: %s", source, ok ? "was read" : err.msg);
}

START_TEST(odd_texts_are_read_or_refused_and_never_crash)
{
	static const char *const good[] = { "", ";", "return", "return;", "f{}", "f''", "a.b:c[[x]]",
		"goto = 3", "local goto = 1 goto = goto + 1", "while true do break end", "repeat local x until x", "::a:: goto a",
		"local t = { [1] = 2; x = 3, 4 }", "a = -2^-3 .. 'x' == not #t", "local s = [==[ ]] ]==]", "x = 0x1p4 + 1e-5 + .5",
		"local function f(...) return ... end", "function a.b.c:d(x) return self, x end", "for i = 1, 2, 3 do end",
		"for k, v in pairs(t) do end", "(f or g)(1)", "a, b.c, d[1] = 1, 2", "local s = 'a\\z\n  b\\x41\\065\\n\\\n'",
		"#!/usr/bin/lua\nreturn 1" };
	static const char *const bad[] = { "x", "x = ", "if", "f(", "{", "a.1 = 3", "local 1", "return return", "end", "'abc",
		"x = }", "for i do end", "a b", "f() = 1 x", "((((((((", "local function", "::a", "x = 'a\nb'" };
	char deep[2000];

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		parse(good[i], true);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		parse(bad[i], false);
	memset(deep, '(', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	parse(deep, false);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("lint");
	TCase *tc = tcase_create("lint");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 60);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_good_rule_has_no_findings);
	tcase_add_loop_test(tc, each_use_is_named_at_its_place, 0, (int)(sizeof(uses) / sizeof(uses[0])));
	tcase_add_loop_test(tc, nothing_is_said_where_nothing_is_wrong, 0, (int)(sizeof(silent) / sizeof(silent[0])));
	tcase_add_loop_test(tc, files_that_are_no_rules, 0, (int)(sizeof(files) / sizeof(files[0])));
	tcase_add_test(tc, declaration_is_checked);
	tcase_add_test(tc, what_the_loader_refuses_is_a_finding);
	tcase_add_test(tc, values_kept_in_the_file_are_refused);
	tcase_add_loop_test(tc, overrides_are_held_against_the_rules, 0, (int)(sizeof(overrides) / sizeof(overrides[0])));
	tcase_add_loop_test(tc, odd_declarations_are_told, 0, (int)(sizeof(heads) / sizeof(heads[0])));
	tcase_add_test(tc, parts_that_are_named_are_found);
	tcase_add_test(tc, the_same_id_twice);
	tcase_add_test(tc, json_is_the_same);
	tcase_add_test(tc, all_lua_of_the_repository_is_read);
	tcase_add_test(tc, odd_texts_are_read_or_refused_and_never_crash);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
