/* Declarations: what is taken, and every refusal with its exact message. */
#include <stdlib.h>

#include "base/buf.h"
#include "detect/primitive.h"
#include "lua/rule.h"
#include "lua/ruletest.h"
#include "lua/vm.h"
#include "support/rules.h"

static struct cw_state *scratch;

static void setup(void)
{
	cw_vm_prepare_process();
	scratch = rules_arena();
}

static void teardown(void)
{
	cw_state_close(&scratch);
}

/* Loads and tests the one rule; "" or the message. */
static const char *try_rule(const char *text, const char *params)
{
	static struct cw_err err;
	struct cw_bundle_file file = { "rules/x.lua", text, strlen(text) };
	struct cw_bundle bundle = { .rules = &file, .nrules = 1, .params_json = params };
	struct cw_rules *rules = cw_rules_load(&bundle, &cw_rules_conf_default, &err);

	if (rules == NULL)
		return err.msg;
	cw_rules_free(&rules);
	return cw_ruletest_bundle(&bundle, &cw_rules_conf_default, scratch, NULL, &err) == 0 ? "" : err.msg;
}

/* A whole rule without the "return" in front. */
#define RULES_REST(parts) "rule { id = 'x.a', version = '1.0.0', severity = 'low', title = 'Title', description = 'About.', " parts

static const struct { const char *text, *message; } declarations[] = {
	{ RULES_HEAD RULES_EVALUATE RULES_TESTS, "" },
	{ RULES_HEAD "status = 'shadow', references = { 'a', 'b' }, false_positives = {}, tags = { 't' }, investigate = "
	  "function() end, params = { n = 1, t = 'x', list = { 1, 2 }, flag = true },\n" RULES_EVALUATE RULES_TESTS, "" },
	{ "return 1", "rules/x.lua:1: the file must return rule { ... }" },
	{ "", "rules/x.lua:1: the file must return rule { ... }" },
	{ "rule {}", "rules/x.lua:1: rule: \"id\" is missing" },
	{ "return rule 'x'", "rule: needs a table, like rule { id = ... }" },
	{ RULES_HEAD RULES_EVALUATE "serverity = 'x', " RULES_TESTS,
	  "rule: unknown key \"serverity\" (did you mean \"severity\"?)" },
	{ RULES_HEAD RULES_EVALUATE "'x', " RULES_TESTS, "rule: has a key that is a number; keys have names here" },
	{ "\n\nlocal r = rule { id = 'Foo' }", "rules/x.lua:3: rule: \"id\" must be words of a-z, 0-9, _ joined with dots, like "
	  "\"eth.fan_out\", not \"Foo\"" },
	{ "local r = rule { id = 'foo' }", "rules/x.lua:1: rule: \"id\" must be words of a-z, 0-9, _ joined with dots, like "
	  "\"eth.fan_out\", not \"foo\"" },
	{ "local r = rule { id = 'a..b' }", "rules/x.lua:1: rule: \"id\" must be words of a-z, 0-9, _ joined with dots, like "
	  "\"eth.fan_out\", not \"a..b\"" },
	{ "local r = rule { id = 1 }", "rules/x.lua:1: rule: \"id\" must be text, not a number" },
	{ "local r = rule { id = '' }", "rules/x.lua:1: rule: \"id\" is empty" },
	{ "local r = rule { id = 'a.b' }", "rules/x.lua:1: rule: \"version\" is missing" },
	{ "local r = rule { id = 'a.b', version = '1.0' }", "rules/x.lua:1: rule: \"version\" must be like \"1.0.0\", not "
	  "\"1.0\"" },
	{ "local r = rule { id = 'a.b', version = '01.0.0' }", "rules/x.lua:1: rule: \"version\" must be like \"1.0.0\", not "
	  "\"01.0.0\"" },
	{ "local r = rule { id = 'a.b', version = '1.0.0' }", "rules/x.lua:1: rule: \"severity\" is missing" },
	{ "local r = rule { id = 'a.b', version = '1.0.0-rc.1', severity = 'urgent' }",
	  "rules/x.lua:1: rule: \"severity\" must be low, medium, high or critical, not \"urgent\"" },
	{ "local r = rule { id = 'a.b', version = '1.0.0', severity = 'low', status = 'live' }",
	  "rules/x.lua:1: rule: \"status\" must be stable, experimental or shadow, not \"live\"" },
	{ "local r = rule { id = 'a.b', version = '1.0.0', severity = 'low' }", "rules/x.lua:1: rule: \"title\" is missing" },
	{ "local r = rule { id = 'a.b', version = '1.0.0', severity = 'low', title = ' ' }",
	  "rules/x.lua:1: rule: \"title\" is empty" },
	{ "local r = rule { id = 'a.b', version = '1.0.0', severity = 'low', title = ('x'):rep(121) }",
	  "rules/x.lua:1: rule: \"title\" has more than 120 bytes" },
	{ "local r = rule { id = 'a.b', version = '1.0.0', severity = 'low', title = '\\255' }",
	  "rules/x.lua:1: rule: \"title\" is not valid UTF-8 text" },
	{ "local r = rule { id = 'a.b', version = '1.0.0', severity = 'low', title = 't' }",
	  "rules/x.lua:1: rule: \"description\" is missing" },
	{ RULES_HEAD "tags = 'x', " RULES_EVALUATE RULES_TESTS, "rule: \"tags\" must be a list of texts, not a string" },
	{ RULES_HEAD "tags = { 1 }, " RULES_EVALUATE RULES_TESTS, "rule: \"tags\" must be a list of texts" },
	{ RULES_HEAD "tags = { a = 'x' }, " RULES_EVALUATE RULES_TESTS, "rule: \"tags\" must be a list of texts" },
	{ RULES_HEAD "params = 5, " RULES_EVALUATE RULES_TESTS, "rule: \"params\" must be a table of defaults, not a number" },
	{ RULES_HEAD "params = { 1, 2 }, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"params\" needs names, like { window = \"10m\" }" },
	{ RULES_HEAD "params = { f = function() end }, " RULES_EVALUATE RULES_TESTS,
	  "rule: params.f is a function; only numbers, text, booleans and tables can be kept" },
	{ RULES_HEAD RULES_TESTS, "rule: \"evaluate\" is missing" },
	{ RULES_HEAD "evaluate = 1, " RULES_TESTS, "rule: \"evaluate\" must be a function, not a number" },
	{ RULES_HEAD "state = {}, " RULES_EVALUATE RULES_TESTS, "rule: \"state\" must be a function, not a table" },
	{ RULES_HEAD "investigate = true, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"investigate\" must be a function, not a boolean" },
	{ RULES_HEAD RULES_EVALUATE "}", "rule: \"tests\" is missing" },
	{ RULES_HEAD RULES_EVALUATE "tests = {} }",
	  "rule: \"tests\" needs at least one test that fires and one that stays quiet" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = tx {}, expect = 'alert' } } }",
	  "rule: \"tests\" needs at least one test that fires and one that stays quiet" },
	{ RULES_HEAD RULES_EVALUATE "tests = { 1 } }",
	  "rule: test 1: must be a table, like { name = ..., given = ..., expect = ... }" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = tx {}, expect = 'fires' } } }",
	  "rule: test 1: \"expect\" must be \"quiet\", \"alert\" or a table like { alerts = 1 }" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = {}, expect = 'quiet' } } }", "rule: test 1: \"given\" is empty" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = { { from = A } }, expect = 'quiet' } } }",
	  "rule: test 1: \"given\" must be tx { ... }, txs { ... } or a list of them" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', give = tx {}, expect = 'quiet' } } }",
	  "rule: test 1: unknown key \"give\" (did you mean \"given\"?)" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = '', given = tx {}, expect = 'quiet' } } }",
	  "rule: test 1: \"name\" must be text of 1 to 200 bytes" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = ('x'):rep(201), given = tx {}, expect = 'quiet' } } }",
	  "rule: test 1: \"name\" must be text of 1 to 200 bytes" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = 3, expect = 'quiet' } } }",
	  "rule: test 1: \"given\" must be tx { ... }, txs { ... } or a list of them" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = tx {}, expect = 3 } } }",
	  "rule: test 1: \"expect\" must be \"quiet\", \"alert\" or a table like { alerts = 1 }" },
	{ RULES_HEAD RULES_EVALUATE "tests = 3 }", "rule: \"tests\" must be a list, not a number" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = tx 'A', expect = 'quiet' } } }",
	  "rules/x.lua:3: tx: needs a table, like tx { from = A, to = B }" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = txs(setmetatable({}, {})), expect = 'quiet' } } }",
	  "rules/x.lua:3: txs: needs a plain table" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { given = tx {}, expect = 'quiet' } } }",
	  "rule: test 1: \"name\" must be text of 1 to 200 bytes" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = tx { form = A }, expect = 'quiet' } } }",
	  "rules/x.lua:3: tx: unknown key \"form\" (did you mean \"from\"?)" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = seq { tx {}, tims = 3 }, expect = 'quiet' } } }",
	  "seq: unknown key \"tims\" (did you mean \"times\"?)" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = seq { 3 }, expect = 'quiet' } } }",
	  "seq: holds tx { ... }, txs { ... } and lists of them only" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = tx { n = 2 }, expect = 'quiet' } } }",
	  "rules/x.lua:3: tx: unknown key \"n\"" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'a', given = tx {}, expect = { alert = 1 } } } }",
	  "rule: test 1: expect: unknown key \"alert\" (did you mean \"alerts\"?)" },
	{ "rule { id = 'a.b' } " RULES_HEAD RULES_EVALUATE RULES_TESTS, "rules/x.lua:1: rule: \"version\" is missing" },
	{ "local r = rule { id = 'a.1' }", "rules/x.lua:1: rule: \"id\" must be words of a-z, 0-9, _ joined with dots, like "
	  "\"eth.fan_out\", not \"a.1\"" },
	{ "local r = rule { id = 'a.b-c' }", "rules/x.lua:1: rule: \"id\" must be words of a-z, 0-9, _ joined with dots, like "
	  "\"eth.fan_out\", not \"a.b-c\"" },
	{ "local r = rule { id = 'a.b', version = '1.0.0x' }", "rules/x.lua:1: rule: \"version\" must be like \"1.0.0\", not "
	  "\"1.0.0x\"" },
	{ "local r = rule { id = 'a.b', version = '1.0.0-' }", "rules/x.lua:1: rule: \"version\" must be like \"1.0.0\", not "
	  "\"1.0.0-\"" },
	{ "local r = rule { id = 'a.b', version = '1.0.0-rc!' }", "rules/x.lua:1: rule: \"version\" must be like \"1.0.0\", not "
	  "\"1.0.0-rc!\"" },
	{ "local r = rule { id = 'a.b', version = '1.0.1234567890' }", "rules/x.lua:1: rule: \"version\" must be like \"1.0.0\", not "
	  "\"1.0.1234567890\"" },
	{ "local r = rule { id = 'a.b', version = '1.0.0+build.5' }", "rules/x.lua:1: rule: \"severity\" is missing" },
	{ "local r = rule { id = 'a\\0.b' }", "rules/x.lua:1: rule: \"id\" is not valid UTF-8 text" },
	{ RULES_HEAD "tags = (function() local t = {} for i = 1, 33 do t[i] = 'x' end return t end)(), " RULES_EVALUATE RULES_TESTS,
	  "rule: \"tags\" has more than 32 entries" },
	{ RULES_HEAD "tags = { ('x'):rep(4001) }, " RULES_EVALUATE RULES_TESTS, "rule: \"tags\" has a text of more than 4000 bytes" },
	{ RULES_HEAD "params = { n = 1/0 }, " RULES_EVALUATE RULES_TESTS, "rule: parameter \"n\" is not a finite number" },
	{ RULES_HEAD "params = { 0/0 }, " RULES_EVALUATE RULES_TESTS, "rule: parameter \"?\" is not a finite number" },
	{ RULES_HEAD "params = { list = { 1, -1/0 } }, " RULES_EVALUATE RULES_TESTS,
	  "rule: a parameter holds a number that is not finite" },
	{ "local first = " RULES_REST(RULES_EVALUATE RULES_TESTS) RULES_HEAD RULES_EVALUATE RULES_TESTS,
	  "rule: a file declares one rule" },
	{ RULES_HEAD "expect = 3, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"expect\" must be a table, like { per_day = { min = 1, max = 50 } }" },
	{ RULES_HEAD "expect = { per_dya = {} }, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"expect\": unknown key \"per_dya\" (did you mean \"per_day\"?)" },
	{ RULES_HEAD "expect = {}, " RULES_EVALUATE RULES_TESTS, "rule: \"expect\" must have per_day = { min = 1, max = 50 }" },
	{ RULES_HEAD "expect = { per_day = { mni = 1 } }, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"expect\": per_day: unknown key \"mni\" (did you mean \"min\"?)" },
	{ RULES_HEAD "expect = { per_day = { min = 1 } }, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"expect\": per_day needs min and max, numbers of alerts from 0 on" },
	{ RULES_HEAD "expect = { per_day = { min = -1, max = 3 } }, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"expect\": per_day needs min and max, numbers of alerts from 0 on" },
	{ RULES_HEAD "expect = { per_day = { min = 1, max = 1e10 } }, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"expect\": per_day needs min and max, numbers of alerts from 0 on" },
	{ RULES_HEAD "expect = { per_day = { min = 0/0, max = 3 } }, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"expect\": per_day needs min and max, numbers of alerts from 0 on" },
	{ RULES_HEAD "expect = { per_day = { min = 5, max = 3 } }, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"expect\": per_day: min is above max" },
	{ RULES_HEAD "expect = { per_day = { min = 0, max = 3 } }, " RULES_EVALUATE RULES_TESTS, "" },
	/* cooldown */
	{ RULES_HEAD "cooldown = '0s', " RULES_EVALUATE RULES_TESTS, "" },
	{ RULES_HEAD "cooldown = 90, " RULES_EVALUATE RULES_TESTS, "" },
	{ RULES_HEAD "\ncooldown = 'soon', " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:3: rule: \"cooldown\" must be a duration from \"0s\" to \"30d\", like \"1h\"" },
	{ RULES_HEAD "cooldown = '31d', " RULES_EVALUATE RULES_TESTS,
	  "rule: \"cooldown\" must be a duration from \"0s\" to \"30d\", like \"1h\"" },
	{ RULES_HEAD "cooldown = -1, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"cooldown\" must be a duration from \"0s\" to \"30d\", like \"1h\"" },
	{ RULES_HEAD "cooldown = true, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"cooldown\" must be a duration from \"0s\" to \"30d\", like \"1h\"" },
	{ RULES_HEAD "cooldown = '10m', evaluate = function(tx) if tx.from == Z then return end return alert { score = 1, dedup = "
	  "tx.from } end,\ntests = { { name = 'quiet', given = tx { from = Z }, expect = 'quiet' }, { name = 'lives', given = txs { "
	  "n = 4, every = '9m' }, expect = { alerts = 4, living = 1 } }, { name = 'ends', given = txs { n = 4, every = '10m' }, "
	  "expect = { alerts = 4, living = 4 } } } }", "" },
	{ RULES_HEAD RULES_EVALUATE "tests = { { name = 'quiet', given = tx { from = Z }, expect = 'quiet' }, { name = 'alone', "
	  "given = txs { n = 2 }, expect = { living = 1 } } } }", "test \"alone\": expected living = 1, got 2" },
	/* when */
	{ RULES_HEAD "when = 5, " RULES_EVALUATE RULES_TESTS,
	  "rule: \"when\" must be a table of conditions, or a function that returns one, not a number" },
	{ RULES_HEAD "\nwhen = { kind = 'creations' }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:3: x.y: when: \"kind\" must be transfer, call or creation, not \"creations\" (did you mean \"creation\"?)" },
	{ RULES_HEAD "when = { kind = 5 }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: \"kind\" must be text or a list of texts" },
	{ RULES_HEAD "when = { kind = {} }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: \"kind\" must be text or a list of texts" },
	{ RULES_HEAD "when = { min_eter = 1 }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: there is no condition \"min_eter\" (did you mean \"min_ether\"?)" },
	{ RULES_HEAD "when = { min_timestamp = 1 }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: there is no condition \"min_timestamp\"" },
	{ RULES_HEAD "when = { { kind = 'call' }, 5 }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: must be a table, like { kind = \"transfer\", min_ether = 1 }, not a number" },
	{ RULES_HEAD "when = { { kind = 'call' }, { min_eter = 1 } }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: there is no condition \"min_eter\" (did you mean \"min_ether\"?)" },
	{ RULES_HEAD "when = { logs = 'transfers' }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: there is no kind of logs \"transfers\" (did you mean \"transfer\"?)" },
	{ RULES_HEAD "when = { min_ether = '1' }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: \"min_ether\" must be a number, not a string" },
	{ RULES_HEAD "when = { selector = { '0xa9059cbb', 'transfer' } }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: \"selector\" must be text like \"0xa9059cbb\", not \"transfer\"" },
	{ RULES_HEAD "when = { listed = { 'mixer' } }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: \"listed\" must be categories of address lists, like \"mixer,sanctioned\"" },
	{ RULES_HEAD "when = function(p) return 1 end, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: when: must be a table, like { kind = \"transfer\", min_ether = 1 }, not a number" },
	{ RULES_HEAD "when = function(p) return { min_ether = p.last } end, params = { least = 1 }, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: x.y: params has no \"last\" (did you mean \"least\"?)" },
	/* state(p) */
	{ RULES_HEAD "state = function() return 1 end, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:1: x.y: state must return a table of states" },
	{ RULES_HEAD "state = function() return { a = 1 } end, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:1: x.y: state \"a\" must come from a constructor like window.count { ... }, not be a number" },
	{ RULES_HEAD "state = function() return { window.count { span = '1h' } } end, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:1: x.y: state needs names of up to 30 characters a-z, 0-9, _" },
	{ RULES_HEAD "state = function() local d = window.count { spam = '1h' } return { a = d } end, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: window.count: unknown option \"spam\"; it takes key, max_keys, span, buckets" },
	{ RULES_HEAD "state = function() local d = window.count { span = 'soon' } return { a = d } end, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: window.count: option \"span\" must be a duration like \"90s\", \"10m\", \"36h\" or \"7d\", not \"soon\"" },
	{ RULES_HEAD "state = function() local d = window.count { span = {} } return { a = d } end, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: window.count: option \"span\" cannot be a table" },
	{ RULES_HEAD "state = function() local d = window.cuont { span = 1 } return { a = d } end, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: table \"window\" has no \"cuont\" (did you mean \"count\"?)" },
	{ RULES_HEAD "state = function(p) return { a = window.count { span = p.windw } } end, params = { window = '1h' }, "
	  RULES_EVALUATE RULES_TESTS, "rules/x.lua:2: x.y: params has no \"windw\" (did you mean \"window\"?)" },
	{ RULES_HEAD "state = function() while true do end end, " RULES_EVALUATE RULES_TESTS,
	  "rules/x.lua:2: stopped: more than 50000000 ticks" },
	{ "while true do end", "rules/x.lua:1: stopped: more than 50000000 ticks" },
	/* values outside of state */
	{ "local n = 0\n" RULES_HEAD "evaluate = function(tx) n = n + 1 if n > 5 then return alert { score = 1 } end end, " RULES_TESTS,
	  "rules/x.lua:3: rule: the function at line 3 assigns \"n\", a variable of the file; keep values between transactions in "
	  "state" },
	{ "local n = 0\nlocal function count() n = n + 1 return n end\n" RULES_HEAD
	  "evaluate = function(tx) if count() > 5 then return alert { score = 1 } end end, " RULES_TESTS,
	  "rules/x.lua:4: rule: the function at line 2 assigns \"n\", a variable of the file; keep values between transactions in "
	  "state" },
	{ "local t = {}\n" RULES_HEAD "evaluate = function(tx) t[#t + 1] = 1 if #t < 2 then return alert { score = 1 } end end,\n"
	  "tests = { { name = 'fires', given = tx {}, expect = 'alert' }, { name = 'q', given = tx {}, expect = 'quiet' } } }",
	  "rules/x.lua:4: x.y: test \"fires\": expected an alert, 1 transactions gave none" },
	{ "local t = {}\n" RULES_HEAD "evaluate = function(tx) t[#t + 1] = 1 return alert { score = 1, explain = { n = #t } } end,\n"
	  "tests = { { name = 'fires', given = tx {}, expect = 'alert' }, { name = 'q', given = tx {}, expect = { alerts = 0 } } } }",
	  "rules/x.lua:4: x.y: test \"q\": expected alerts = 0, got 1" },
	{ "local t = {}\n" RULES_HEAD "evaluate = function(tx) t[#t + 1] = 1\n"
	  "  if tx.from ~= Z then return alert { score = 1, explain = { n = #t } } end end,\n" RULES_TESTS,
	  "rules/x.lua:2: x.y: test \"fires\": transaction 1 gives another result when the test runs a second time: the rule keeps "
	  "values outside of its state" },
};

/* luaL_where adds the place; messages that start with it are compared whole, others as the end of it. */
START_TEST(declaration_is_taken_or_refused)
{
	const char *got = try_rule(declarations[_i].text, NULL), *want = declarations[_i].message;
	size_t got_len = strlen(got), want_len = strlen(want);

	if (strncmp(want, "rules/", 6) != 0 && want_len > 0) {
		ck_assert_msg(strncmp(got, "rules/x.lua:", 12) == 0 || strncmp(got, "rule: ", 6) == 0, "%s", got);
		got += got_len > want_len ? got_len - want_len : 0;
	}
	/* Loading has a second; on a busy machine its ticks take longer than that. */
	if (strstr(want, "more than 50000000 ticks") != NULL && strstr(got, "time limit of 1000 ms") != NULL)
		return;
	ck_assert_msg(strcmp(got, want) == 0, "%s\nis   %s\nwant %s", declarations[_i].text, got, want);
}
END_TEST

/* --- tests of a rule --- */

#define COUNTER RULES_HEAD "params = { limit = 3 }, state = function(p) return { n = window.count { key = 'from', span = '1m' } } end,\n" \
	"evaluate = function(tx, s, p)\n" \
	"  local n = s.n:add(tx)\n" \
	"  if n >= p.limit then return alert { score = n / 10, dedup = tx.from, severity = n > 5 and 'high' or nil, explain = { n = n } } end\n" \
	"end,\n"
#define QUIET ", { name = 'quiet', given = tx {}, expect = 'quiet' } } }"

static const struct { const char *test, *message; } expectations[] = {
	{ "given = txs { n = 3 }, expect = 'alert'", "" },
	{ "given = txs { n = 5 }, expect = { alerts = 3, first = 3, severity = 'low', dedup = A, min_score = 0.3, max_score = "
	  "0.3 }", "" },
	{ "given = { txs { n = 2 }, tx {} }, expect = { alerts = 1, first = 3 }", "" },
	{ "given = { { tx {}, { tx {} } }, tx {} }, expect = { alerts = 1, first = 3 }", "" },
	{ "given = seq { times = 2, tx {}, txs { n = 2 } }, expect = { alerts = 4, first = 3 }", "" },
	{ "given = { seq { times = 3, pause = '5m', txs { n = 2 } } }, expect = { alerts = 0 }", "" },
	{ "given = seq { times = 3, pause = '1s', tx {} }, expect = { alerts = 1, first = 3 }", "" },
	{ "given = txs { n = 4, from = function(i) if i == 1 then return B end return A end }, expect = { first = 4 }", "" },
	{ "given = txs { n = 3, ether = function(i) return 'x' end }, expect = 'alert'", "rules/x.lua:7: x.y: test \"it\": \"ether\" must be an amount: a number or "
	  "decimal text" },
	{ "given = txs { n = 3, from = each }, expect = { alerts = 0 }", "" },
	{ "given = txs { n = 9, from = { A, B, C } }, expect = { alerts = 3, first = 7 }", "" },
	{ "given = txs { n = 3, every = '2m' }, expect = { alerts = 0 }", "" },
	{ "given = { txs { n = 2 }, tx { after = '5m' } }, expect = { alerts = 0 }", "" },
	{ "given = { txs { n = 2 }, tx { at = '10m' } }, expect = { alerts = 0 }", "" },
	{ "given = txs { n = 2 }, params = { limit = 2 }, expect = { alerts = 1 }", "" },
	{ "given = txs { n = 2 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": expected an alert, 2 transactions gave none" },
	{ "given = txs { n = 4 }, expect = 'quiet'",
	  "rules/x.lua:7: x.y: test \"it\": expected quiet, got 2 alerts, the first at transaction 3 with score 0.3" },
	{ "given = txs { n = 4 }, expect = { alerts = 1 }", "rules/x.lua:7: x.y: test \"it\": expected alerts = 1, got 2" },
	{ "given = txs { n = 4 }, expect = { first = 4 }", "rules/x.lua:7: x.y: test \"it\": expected first = 4, got 3" },
	{ "given = txs { n = 4 }, expect = { severity = 'high' }",
	  "rules/x.lua:7: x.y: test \"it\": expected severity = \"high\", got \"low\"" },
	{ "given = txs { n = 4 }, expect = { min_score = 0.5 }",
	  "rules/x.lua:7: x.y: test \"it\": expected a score from 0.5 to 1, got 0.3" },
	{ "given = txs { n = 4 }, expect = { dedup = 'x' }",
	  "rules/x.lua:7: x.y: test \"it\": expected dedup = \"x\", got \"0x4141414141414141414141414141414141414141\"" },
	{ "given = txs {}, expect = 'alert'", "rules/x.lua:7: x.y: test \"it\": txs needs \"n\", the number of transactions" },
	{ "given = txs { n = 0 }, expect = 'alert'", "rules/x.lua:7: x.y: test \"it\": a test has 1 to 200000 transactions" },
	{ "given = txs { n = 1.5 }, expect = 'alert'", "rules/x.lua:7: x.y: test \"it\": \"n\" must be a whole number" },
	{ "given = txs { n = 3, from = 'x' }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"from\" must be an address, A to Z, or each" },
	{ "given = txs { n = 3, value = -1 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"value\" must be an amount: a number or decimal text" },
	{ "given = txs { n = 3, every = 'often' }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"every\" must be seconds or a duration like \"10m\"" },
	{ "given = txs { n = 3, from = {} }, expect = 'alert'", "rules/x.lua:7: x.y: test \"it\": \"from\" is an empty list" },
	{ "given = txs { n = 3, selector = 'transfer' }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"selector\" must be text like \"0xa9059cbb\"" },
	{ "given = txs { n = 3 }, params = { limt = 2 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": rules/x.lua:1: x.y: parameter \"limt\" does not exist (did you mean \"limit\"?)" },
	{ "given = txs { n = 3, timestamp = { 1700000000, 1700000010, 1700000070 } }, expect = { alerts = 0 }", "" },
	{ "given = txs { n = 3, index = 5e9 }, expect = 'alert'", "rules/x.lua:7: x.y: test \"it\": \"index\" is out of range" },
	{ "given = txs { n = 3, gas = 'much' }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"gas\" must be a number from 0 to 9e15" },
	{ "given = txs { n = 3, gas = -1 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"gas\" must be a number from 0 to 9e15" },
	{ "given = txs { n = 3, gas = 1e16 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"gas\" must be a number from 0 to 9e15" },
	{ "given = txs { n = 3, nonce = 0/0 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"nonce\" must be a number from 0 to 9e15" },
	{ "given = txs { n = 3, ether = 1e60 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"ether\" must be an amount: a number or decimal text" },
	{ "given = txs { n = 3, input_size = 5e9 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"input_size\" is out of range" },
	{ "given = txs { n = 3, selector = '0xa9059cbb', input_size = 3 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"input_size\" is out of range" },
	{ "given = txs { n = 3, selector = '0xa9059cb' }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"selector\" must be text like \"0xa9059cbb\"" },
	{ "given = txs { n = 3, selector = 'ya9059cbby' }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"selector\" must be text like \"0xa9059cbb\"" },
	{ "given = txs { n = 3, selector = '0xa9059cbb', arg1 = 'x' }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"arg1\" must be an amount: a number or decimal text" },
	{ "given = txs { n = 3, selector = '0xa9059cbb', arg1 = each, arg2 = 5 }, expect = 'alert'", "" },
	{ "given = txs { n = 3, every = 1e11 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"every\" must be seconds or a duration like \"10m\"" },
	{ "given = txs { n = 3, every = true }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"every\" must be seconds or a duration like \"10m\"" },
	{ "given = { txs { n = 150000 }, txs { n = 150000 } }, expect = 'quiet'",
	  "rules/x.lua:7: x.y: test \"it\": a test has 1 to 200000 transactions" },
	{ "given = txs { n = 3 }, params = 5, expect = 'alert'", "rules/x.lua:7: x.y: test \"it\": \"params\" must be a table" },
	{ "given = txs { n = 3 }, lists = 5, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"lists\" must be a table like { [A] = \"mixer\" }" },
	{ "given = txs { n = 3 }, lists = { [A] = 5 }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"lists\" must be a table like { [A] = \"mixer\" }" },
	{ "given = txs { n = 3 }, expect = { alerts = '1' }", "rules/x.lua:7: x.y: test \"it\": expect: \"alerts\" must be a number, not a string" },
	{ "given = txs { n = 3 }, expect = { severity = 3 }", "rules/x.lua:7: x.y: test \"it\": expect: \"severity\" must be text, not a number" },
	{ "given = txs { n = 3 }, expect = { max_score = 0.2 }",
	  "rules/x.lua:7: x.y: test \"it\": expected a score from 0 to 0.2, got 0.3" },
	{ "given = txs { n = 2 }, expect = { min_score = 0.2 }",
	  "rules/x.lua:7: x.y: test \"it\": expected an alert, 2 transactions gave none" },
	{ "given = txs { n = 3 }, lists = { x = 'mixer' }, expect = 'alert'",
	  "rules/x.lua:7: x.y: test \"it\": \"lists\" must be a table like { [A] = \"mixer\" }" },
};

START_TEST(expectation_holds_or_says_why)
{
	char text[2048];
	const char *got;

	snprintf(text, sizeof(text), COUNTER "tests = { { name = 'always', given = txs { n = 3 }, expect = 'alert' }, { name = 'it', "
	         "%s }" QUIET, expectations[_i].test);
	got = try_rule(text, NULL);
	ck_assert_msg(strcmp(got, expectations[_i].message) == 0, "%s\nis   %s\nwant %s", expectations[_i].test, got,
	              expectations[_i].message);
}
END_TEST

START_TEST(fields_of_given_reach_the_rule)
{
	static const char text[] = RULES_HEAD
		"evaluate = function(tx, s, p)\n"
		"  if tx.from == Z then return end\n"
		"  assert(tx.from == B and tx.to == C, 'addresses')\n"
		"  assert(tx.value == 5e20 and tx.ether == 500 and tx.value_wei == '500000000000000000000', tx.value_wei)\n"
		"  assert(tx.gas == 90000 and tx.gas_price == 3e9 and tx.gas_price_gwei == 3 and tx.gas_used == 60000, 'gas')\n"
		"  assert(tx.fee == 18e13 and tx.nonce == 7 and tx.block == 123 and tx.timestamp == 1700000600, 'numbers')\n"
		"  assert(tx.selector == '0xa9059cbb' and tx.input_size == 68 and tx.status == 0 and tx.index == 3, 'input')\n"
		"  assert(tx.input == '0xa9059cbb' .. ('00'):rep(64), tx.input)\n"
		"  assert(tx.chain == 137 and tx.is_creation == false and #tx.hash == 66, 'rest')\n"
		"  return alert { score = 1 }\n"
		"end,\n"
		"tests = { { name = 'all', given = tx { from = B, to = C, ether = 500, gas = 90000, gas_price_gwei = 3, gas_used = 60000,\n"
		"  nonce = 7, block = 123, at = '10m', selector = '0xa9059cbb', input_size = 68, status = 0, index = 3, chain = 137 },\n"
		"  expect = 'alert' }, { name = 'quiet', given = tx { from = Z }, expect = 'quiet' } } }";

	ck_assert_str_eq(try_rule(text, NULL), "");
}
END_TEST

/* --- when: conditions that are looked at before the rule is called --- */

static const struct { const char *when, *given; int called; } whens[] = {
	{ "{}", "", 1 },
	{ "{ kind = 'transfer' }", "", 1 },
	{ "{ kind = 'transfer' }", "selector = '0xa9059cbb'", 0 },
	{ "{ kind = 'call' }", "selector = '0xa9059cbb'", 1 },
	{ "{ kind = { 'call', 'transfer' } }", "creation = true", 0 },
	{ "{ kind = 'creation' }", "creation = true", 1 },
	{ "{ selector = '0xa9059cbb' }", "selector = '0xa9059cbb'", 1 },
	{ "{ selector = { '0x095ea7b3', '0xa9059cbb' } }", "selector = '0xa9059cbb'", 1 },
	{ "{ selector = '0x095ea7b3' }", "selector = '0xa9059cbb'", 0 },
	{ "{ selector = '0x00000000' }", "", 0 },
	{ "{ min_ether = 1 }", "ether = 1", 1 },
	{ "{ min_ether = 1 }", "ether = 0.999", 0 },
	{ "{ max_ether = 1, min_ether = 0.5 }", "ether = 0.7", 1 },
	{ "{ max_ether = 1, min_ether = 0.5 }", "ether = 1.1", 0 },
	{ "{ max_nonce = 2, min_gas_price_gwei = 20 }", "nonce = 2, gas_price_gwei = 20", 1 },
	{ "{ max_nonce = 2 }", "nonce = 3", 0 },
	{ "{ status = 0 }", "status = 0", 1 },
	{ "{ status = 0 }", "status = 1", 0 },
	{ "{ status = 0 }", "", 0 },                     /* not known: no condition holds */
	{ "{ max_gas_used = 1e9 }", "", 0 },
	{ "{ min_input_size = 36 }", "selector = '0xa9059cbb', arg1 = C", 1 },
	{ "{ from_listed = 'mixer' }", "from = L", 1 },
	{ "{ from_listed = 'mixer' }", "to = L", 0 },
	{ "{ to_listed = 'scam,mixer' }", "to = L", 1 },
	{ "{ to_listed = 'scam' }", "to = L", 0 },
	{ "{ listed = 'mixer' }", "to = L", 1 },
	{ "{ listed = 'mixer' }", "", 0 },
	{ "{ listed = 'mixer' }", "to = L, creation = true", 0 },
	{ "{ listed = '' }", "from = L", 1 },            /* any category */
	{ "{ { kind = 'creation' }, { from_listed = 'mixer' } }", "from = L", 1 },
	{ "{ { kind = 'creation' }, { from_listed = 'mixer' } }", "creation = true", 1 },
	{ "{ { kind = 'creation' }, { from_listed = 'mixer' } }", "to = L", 0 },
	{ "{ logs = 'paused' }", "logs = { { kind = 'other' }, { kind = 'paused', from = A } }", 1 },
	{ "{ logs = { 'paused', 'other' } }", "logs = { { kind = 'other' } }", 1 },
	{ "{ logs = 'paused' }", "logs = { { kind = 'other' } }", 0 },
	{ "{ logs = 'paused' }", "", 0 },
	{ "{ min_ether = p.limit }", "ether = 3", 1 },
	{ "{ min_ether = p.limit }", "ether = 2.9", 0 },
};

START_TEST(when_holds_or_not)
{
	char text[2048];
	const char *got;

	/* The last two tests are there because a rule needs one that fires and one that does not. */
	snprintf(text, sizeof(text), RULES_HEAD "params = { limit = 3, what = 0 }, when = function(p)\n"
	         "  if p.what == 1 then return {} elseif p.what == 2 then return { min_ether = 1e9 } end return %s end,\n"
	         "evaluate = function(tx, s, p) return alert { score = 1 } end,\n"
	         "tests = { { name = 'it', lists = { [L] = 'mixer' }, given = tx { %s }, expect = { alerts = %d } },\n"
	         "  { name = 'fires', params = { what = 1 }, given = tx {}, expect = 'alert' },\n"
	         "  { name = 'quiet', params = { what = 2 }, given = tx {}, expect = 'quiet' } } }",
	         whens[_i].when, whens[_i].given, whens[_i].called);
	got = try_rule(text, NULL);
	ck_assert_msg(got[0] == '\0', "%s with %s: %s", whens[_i].when, whens[_i].given, got);
}
END_TEST

START_TEST(arguments_of_calls_reach_the_rule)
{
	static const char text[] = RULES_HEAD
		"evaluate = function(tx, s, p)\n"
		"  if tx.from == Z then assert(tx.arg1 == nil and tx.word1 == nil) return end\n"
		"  assert(tx.arg1 == C and tx.arg2 == nil and tx.arg3 == D, 'arguments')\n"
		"  assert(tx.word2 == '0x' .. ('f'):rep(64) and #tx.word1 == 66 and tx.input_size == 100, 'words')\n"
		"  return alert { score = 1 }\n"
		"end,\n"
		"tests = { { name = 'all', given = tx { selector = '0x23b872dd', arg1 = C, arg3 = D, arg2 = '0x' .. ('f'):rep(64) },\n"
		"  expect = 'alert' }, { name = 'quiet', given = tx { from = Z, selector = '0x23b872dd' }, expect = 'quiet' } } }";

	ck_assert_str_eq(try_rule(text, NULL), "");
}
END_TEST

/* In a loop over logs, states see the log that it has reached; outside of it none. */
START_TEST(states_see_the_log_at_hand)
{
	static const char text[] = RULES_HEAD
		"state = function() return { owners = window.distinct { key = 'log_to', of = 'log_from', span = '1h' },\n"
		"  most = window.max { key = 'log_address', of = 'log_amount', span = '1h' }, bad = list.contains { category = 'x' } } end,\n"
		"evaluate = function(tx, s, p)\n"
		"  local n, most, bad = 0\n"
		"  assert(s.owners:add(tx) == nil and not s.bad:has(tx, 'log_to'))\n"
		"  for _, log in tx.logs('approval') do\n"
		"    n, most, bad = s.owners:add(tx), s.most:add(tx), s.bad:has(tx, 'log_to')\n"
		"    assert(s.owners:get(tx, 'log_from') == 0, log.from)\n"
		"  end\n"
		"  assert(s.owners:add(tx) == nil and s.most:get(tx) == nil)\n"
		"  for _, log in tx.logs() do assert(s.most:get(tx) == (log.kind == 'approval' and most or nil)) end\n"
		"  if n >= 3 then return alert { score = 1, explain = { n = n, most = most, bad = bad } } end\n"
		"end,\n"
		"tests = { { name = 'three owners', lists = { [Z] = 'x' }, given = { tx { logs = { { kind = 'other', address = Y },\n"
		"  { kind = 'approval', from = A, spender = Z, amount = 7 }, { kind = 'approval', from = B, spender = Z, amount = 5 },\n"
		"  { kind = 'approval', from = A, spender = Z, amount = 6 } } },\n"
		"  tx { logs = { { kind = 'approval', from = C, spender = Z, amount = 1 } } } }, expect = { alerts = 1, first = 2 } },\n"
		"  { name = 'no logs', given = tx {}, expect = 'quiet' } } }";

	ck_assert_str_eq(try_rule(text, NULL), "");
}
END_TEST

START_TEST(absent_fields_are_nil)
{
	static const char text[] = RULES_HEAD
		"evaluate = function(tx, s, p)\n"
		"  if tx.from == Z then return end\n"
		"  assert(tx.to == nil and tx.is_creation, 'to')\n"
		"  assert(tx.gas_used == nil and tx.fee == nil and tx.status == nil and tx.index == nil, 'receipt')\n"
		"  assert(tx.selector == nil and tx.input == nil and tx.input_size == 0, 'input')\n"
		"  return alert { score = 1 }\n"
		"end,\n"
		"tests = { { name = 'all', given = tx { creation = true }, expect = 'alert' },\n"
		"  { name = 'quiet', given = tx { from = Z }, expect = 'quiet' } } }";

	ck_assert_str_eq(try_rule(text, NULL), "");
}
END_TEST

START_TEST(huge_amounts_are_exact_as_text)
{
	static const char text[] = RULES_HEAD
		"evaluate = function(tx, s, p)\n"
		"  if tx.from == Z then return end\n"
		"  assert(tx.value_wei == '115792089237316195423570985008687907853269984665640564039457584007913129639935')\n"
		"  return alert { score = 1 }\n"
		"end,\n"
		"tests = { { name = 'all', given = tx { value =\n"
		"  '115792089237316195423570985008687907853269984665640564039457584007913129639935' }, expect = 'alert' },\n"
		"  { name = 'quiet', given = tx { from = Z }, expect = 'quiet' } } }";

	ck_assert_str_eq(try_rule(text, NULL), "");
}
END_TEST

/* --- what evaluate may do: its body, and how the test that runs it ends --- */

static const struct { const char *body, *message; } bodies[] = {
	{ "return alert { score = 1 }", "" },
	{ "return { score = 1 }", "rules/x.lua:1: evaluate returned a plain table; write return alert { ... }" },
	{ "return 5", "rules/x.lua:1: evaluate returned a number; it must return nothing or alert { ... }" },
	{ "return true", "rules/x.lua:1: evaluate returned a boolean; it must return nothing or alert { ... }" },
	{ "return tx", "rules/x.lua:1: evaluate returned a plain table; write return alert { ... }" },
	{ "local a = alert {} return a", "rules/x.lua:2: alert: \"score\" must be a number from 0 to 1" },
	{ "local a = alert { score = 'x' } return a", "rules/x.lua:2: alert: \"score\" must be a number from 0 to 1" },
	{ "local a = alert { score = 0/0 } return a", "rules/x.lua:2: alert: \"score\" must be a number from 0 to 1" },
	{ "local a = alert { scor = 1 } return a",
	  "rules/x.lua:2: alert: unknown key \"scor\" (did you mean \"score\"?)" },
	{ "local a = alert { score = 1, confidence = 'x' } return a",
	  "rules/x.lua:2: alert: \"confidence\" must be a number from 0 to 1" },
	{ "local a = alert { score = 1, severity = 'bad' } return a",
	  "rules/x.lua:2: alert: \"severity\" must be low, medium, high or critical" },
	{ "local a = alert { score = 1, dedup = {} } return a",
	  "rules/x.lua:2: alert: \"dedup\" must be text of at most 256 bytes" },
	{ "local a = alert { score = 1, explain = 'x' } return a",
	  "rules/x.lua:2: alert: \"explain\" must be a table with names, like { receivers = n }" },
	{ "local a = alert { score = 1, explain = { 1, 2 } } return a",
	  "rules/x.lua:2: alert: \"explain\" must be a table with names, like { receivers = n }" },
	{ "local a = alert { score = 1, explain = { f = pairs } } return a",
	  "rules/x.lua:2: alert: explain.f is a function; only numbers, text, booleans and tables can be kept" },
	{ "local a = alert { score = 1, explain = { a = { b = { c = { d = { e = 1 } } } } } } return a",
	  "rules/x.lua:2: alert: explain.a.b.c.d is nested too deeply" },
	{ "local e = {} e.e = e local a = alert { score = 1, explain = e } return a",
	  "rules/x.lua:2: alert: explain.e.e.e.e is nested too deeply" },
	{ "local a = alert { score = 1, explain = { t = ('x'):rep(20000) } } return a",
	  "rules/x.lua:2: alert: \"explain\" has more than 16384 bytes" },
	{ "local a = alert { score = 1, text = ('x'):rep(3000) } return a",
	  "rules/x.lua:2: alert: \"text\" must be text of at most 2048 bytes" },
	{ "local a = alert { score = 1, explain = { a = { 1, x = 2 } } } return a", "rules/x.lua:2: alert: explain.a needs keys that "
	  "are all text (UTF-8), or 1 to n, at most 64 of them" },
	{ "local a = alert { score = 1, explain = { a = { [1.5] = 2 } } } return a", "rules/x.lua:2: alert: explain.a needs keys that "
	  "are all text (UTF-8), or 1 to n, at most 64 of them" },
	{ "local a = alert { score = 1, explain = { a = { 1, 2, [1.5] = 2 } } } return a", "rules/x.lua:2: alert: explain.a needs keys "
	  "that are all text (UTF-8), or 1 to n, at most 64 of them" },
	{ "local a = alert { score = 1, explain = { a = { [true] = 2 } } } return a", "rules/x.lua:2: alert: explain.a needs keys that "
	  "are all text (UTF-8), or 1 to n, at most 64 of them" },
	{ "local a = alert { score = 1, explain = { a = { ['\\255'] = 2 } } } return a", "rules/x.lua:2: alert: explain.a needs keys "
	  "that are all text (UTF-8), or 1 to n, at most 64 of them" },
	{ "local a = alert { score = 1, explain = { a = { ['b\\0c'] = 2 } } } return a", "rules/x.lua:2: alert: explain.a needs keys "
	  "that are all text (UTF-8), or 1 to n, at most 64 of them" },
	{ "local t = {} for i = 1, 65 do t[i] = i end local a = alert { score = 1, explain = { a = t } } return a",
	  "rules/x.lua:2: alert: explain.a needs keys that are all text (UTF-8), or 1 to n, at most 64 of them" },
	{ "local t = {} for i = 1, 65 do t['k' .. i] = i end local a = alert { score = 1, explain = { a = t } } return a",
	  "rules/x.lua:2: alert: explain.a needs keys that are all text (UTF-8), or 1 to n, at most 64 of them" },
	{ "local t = {} for i = 1, 64 do t[i] = i end return alert { score = 1, explain = { a = t, b = true, c = 'x\\0y', d = 1e20 } }",
	  "" },
	{ "local a = alert { score = 1, explain = { a = { 1, { 2, pairs } } } } return a",
	  "rules/x.lua:2: alert: explain.a[2][2] is a function; only numbers, text, booleans and tables can be kept" },
	{ "return alert { score = 1, explain = { n = 0 / 0, m = 1 / 0 } }", "" },
	{ "return alert { score = -1 }", "" },
	{ "return alert { score = 7, confidence = 9 }", "" },
	{ "return alert { score = 1 }, 3", "" },
	{ "error(5)", "rules/x.lua:2: 5" },
	{ "error(nil)", "rules/x.lua:1: error value is a nil" },
	{ "error(setmetatable({}, { __tostring = function() return 'mine' end }))", "rules/x.lua:1: error value is a table" },
	{ "local a = alert(5)", "rules/x.lua:2: alert: needs a table, like alert { score = 0.8, explain = { ... } }" },
	{ "local a = alert(setmetatable({}, { __index = { score = 1 } }))",
	  "rules/x.lua:2: alert: needs a plain table without a metatable" },
	{ "local x = tx.vlaue", "rules/x.lua:2: the transaction has no field \"vlaue\" (did you mean \"value\"?)" },
	{ "local x = tx[1]", "rules/x.lua:2: the transaction has no field that is a number" },
	{ "tx.value = 1", "rules/x.lua:2: cannot change a read-only table (field \"value\")" },
	{ "rawset(tx, 'value', 1)", "rules/x.lua:2: 'rawset' cannot change a read-only table" },
	{ "s.n = 1", "rules/x.lua:2: cannot change a read-only table (field \"n\")" },
	{ "p.limit = 1", "rules/x.lua:2: cannot change a read-only table (field \"limit\")" },
	{ "local x = s.m", "rules/x.lua:2: x.y: state has no \"m\" (did you mean \"n\"?)" },
	{ "local x = p.limt", "rules/x.lua:2: x.y: params has no \"limt\" (did you mean \"limit\"?)" },
	{ "s.n:addd(tx)", "rules/x.lua:2: window.count has no \"addd\" (did you mean \"add\"?)" },
	{ "s.n.add = 1", "rules/x.lua:2: cannot change a read-only table (field \"add\")" },
	{ "s.n:add()", "rules/x.lua:2: method window.count:add needs the transaction as its first argument, not nothing" },
	{ "s.n:add({})", "rules/x.lua:2: method window.count:add needs the transaction as its first argument, not a table" },
	{ "s.n:get(tx, 'frm')", "rules/x.lua:2: method window.count:get: there is no field \"frm\" (did you mean \"from\"?)" },
	{ "s.n:get(tx, 5)", "rules/x.lua:2: method window.count:get: argument 1 must be the name of a field, not a number" },
	{ "s.w:add(tx, 'x')", "rules/x.lua:2: method stat.welford:add: argument 1 must be a number, not a string" },
	{ "local r = rule {}", "rules/x.lua:2: rule: can only be called while its file is loaded" },
	{ "local x = seconds('soon')",
	  "rules/x.lua:2: seconds: needs a duration like \"90s\", \"10m\", \"36h\" or \"7d\"" },
	{ "error('mine')", "rules/x.lua:2: mine" },
	{ "error({})", "rules/x.lua:1: error value is a table" },
	{ "while true do end", "rules/x.lua:2: stopped: more than 1000000 ticks" },
	{ "local function f() return 1 + f() end f()", "rules/x.lua:1: stopped: stack overflow" },
	{ "local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end", "rules/x.lua:2: stopped: memory limit reached" },
};

START_TEST(evaluate_is_taken_or_refused)
{
	char text[2048];
	const char *got, *what;

	snprintf(text, sizeof(text), RULES_HEAD "evaluate = function(tx, s, p) if tx.from == Z then return end %s end,\n"
	         "params = { limit = 3 }, state = function(p) return { n = window.count { key = 'from', span = '1m' },\n"
	         "  w = stat.welford { warm = 2 } } end,\n" RULES_TESTS, bodies[_i].body);
	got = try_rule(text, NULL);
	what = strstr(got, "failed on transaction 1: ");
	if (bodies[_i].message[0] == '\0')
		ck_assert_str_eq(got, "");
	else
		ck_assert_msg(what != NULL && strcmp(what + 25, bodies[_i].message) == 0, "%s\nis   %s\nwant %s", bodies[_i].body, got,
		              bodies[_i].message);
}
END_TEST

/* --- parameters --- */

static const struct { const char *params, *message; } overrides[] = {
	{ "{}", "" },
	{ "{\"x.y\":{}}", "" },
	{ "{\"x.y\":{\"limit\":5,\"window\":\"5m\",\"on\":false,\"list\":[4]}}", "" },
	{ "{\"x.y\":{\"cooldown\":\"6h\"}}", "" },
	{ "{\"x.y\":{\"cooldown\":\"soon\"}}", "parameter \"cooldown\" of rule \"x.y\" must be a duration from \"0s\" to \"30d\", "
	  "like \"1h\"" },
	{ "{\"x.z\":{}}", "parameters are given for rule \"x.z\", which does not exist (did you mean \"x.y\"?)" },
	{ "{\"x.y\":5}", "parameters of rule \"x.y\" must be an object" },
	{ "{\"x.y\":{\"limt\":5}}", "rules/x.lua:1: x.y: parameter \"limt\" does not exist (did you mean \"limit\"?)" },
	{ "{\"x.y\":{\"limit\":\"5\"}}", "rules/x.lua:1: x.y: parameter \"limit\" must be a number like its default, not a string" },
	{ "{\"x.y\":{\"window\":5}}", "rules/x.lua:1: x.y: parameter \"window\" must be a string like its default, not a number" },
	{ "{\"x.y\":{\"on\":1}}", "rules/x.lua:1: x.y: parameter \"on\" must be a boolean like its default, not a number" },
	{ "{\"x.y\":{\"list\":5}}", "rules/x.lua:1: x.y: parameter \"list\" must be a table like its default, not a number" },
	{ "{\"x.y\":{\"list\":[1,\"a\"]}}",
	  "rules/x.lua:1: x.y: parameter \"list\" must hold numbers like its default, element 2 is a string" },
	{ "{\"x.y\":{\"window\":\"soon\"}}",
	  "rules/x.lua:3: window.count: option \"span\" must be a duration like \"90s\", \"10m\", \"36h\" or \"7d\", not \"soon\"" },
	{ "[]", "parameters of rules are not a JSON object: another type" },
};

START_TEST(override_is_taken_or_refused)
{
	static const char text[] = RULES_HEAD RULES_EVALUATE
		"params = { limit = 3, window = '10m', on = true, list = { 1, 2 } },"
		"state = function(p) local c = window.count { span = p.window } return { n = c } end,\n"
		RULES_TESTS;

	ck_assert_str_eq(try_rule(text, overrides[_i].params), overrides[_i].message);
}
END_TEST

/* Every primitive there is: its example declares it, all its methods are called, with and without their optional
 * arguments, and give the same with the JIT on and off. */
static void put_calls(struct cw_buf *out, const struct cw_primitive *p)
{
	static const char *const args[] = { [CW_ARG_NONE] = NULL, [CW_ARG_NUMBER] = "tx.gas % 5 + 1", [CW_ARG_FIELD] = "'from'" };

	for (const struct cw_method *m = p->methods; m->name != NULL; m++)
		for (int given = 0; given < 3; given++) {
			const char *a = given > 0 ? args[m->a] : NULL, *b = given > 1 ? args[m->b] : NULL;

			if ((given > 0 && a == NULL) || (given > 1 && b == NULL))
				break;
			cw_buf_printf(out, "    %s_%d = s.x:%s(%s%s%s%s%s),\n", m->name, given, m->name, m->takes_tx ? "tx" : "",
			              m->takes_tx && a != NULL ? ", " : "", a != NULL ? a : "", b != NULL ? ", " : "",
			              b != NULL ? b : "");
		}
}

START_TEST(every_primitive_is_bound)
{
	for (int i = 0; cw_primitives[i] != NULL; i++) {
		const struct cw_primitive *p = cw_primitives[i];
		const char *call = strchr(p->example, '='), *end = strstr(p->example, "--");
		struct cw_buf text = CW_BUF_INIT;
		const char *got;

		ck_assert_msg(call != NULL, "%s.%s: example is no declaration: %s", p->table, p->name, p->example);
		cw_buf_printf(&text, RULES_HEAD "state = function(p) return { x %.*s } end,\nevaluate = function(tx, s, p)\n"
		              "  local e = {\n", end != NULL ? (int)(end - call) : 1000, call);
		put_calls(&text, p);
		cw_buf_puts(&text, "  }\n  if tx.from == Z then return end\n  return alert { score = 1, explain = e }\nend,\n"
		            "tests = { { name = 'all', given = { txs { n = 90, from = { A, B, C }, to = { D, E }, ether = { 1, 2, 5 },\n"
		            "  gas = { 21000, 30001, 40002 }, status = { 1, 1, 0 }, index = { 0, 1, 2 }, selector = '0xa9059cbb' },\n"
		            "  tx { creation = true } }, expect = { alerts = 91 } },\n"
		            "  { name = 'quiet', given = tx { from = Z }, expect = 'quiet' } } }\n");
		got = try_rule(text.data, NULL);
		/* What needs a list or a model beside it says so when it is opened. */
		ck_assert_msg(got[0] == '\0' || strstr(got, "there is no list") != NULL, "%s.%s: %s\n%s", p->table, p->name, got,
		              text.data);
		cw_buf_release(&text);
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("rule");
	TCase *tc = tcase_create("rule");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_loop_test(tc, declaration_is_taken_or_refused, 0, (int)(sizeof(declarations) / sizeof(declarations[0])));
	tcase_add_loop_test(tc, expectation_holds_or_says_why, 0, (int)(sizeof(expectations) / sizeof(expectations[0])));
	tcase_add_test(tc, fields_of_given_reach_the_rule);
	tcase_add_loop_test(tc, when_holds_or_not, 0, (int)(sizeof(whens) / sizeof(whens[0])));
	tcase_add_test(tc, arguments_of_calls_reach_the_rule);
	tcase_add_test(tc, states_see_the_log_at_hand);
	tcase_add_test(tc, absent_fields_are_nil);
	tcase_add_test(tc, huge_amounts_are_exact_as_text);
	tcase_add_loop_test(tc, evaluate_is_taken_or_refused, 0, (int)(sizeof(bodies) / sizeof(bodies[0])));
	tcase_add_loop_test(tc, override_is_taken_or_refused, 0, (int)(sizeof(overrides) / sizeof(overrides[0])));
	tcase_add_test(tc, every_primitive_is_bound);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
