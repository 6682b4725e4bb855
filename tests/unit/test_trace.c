/* The trace of a rule's call: it tells what was compared and what states held, and changes nothing. */
#include "lua/trace.h"

#include <dirent.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/json.h"
#include "lua/ruletest.h"
#include "lua/vm.h"
#include "support/rules.h"

static struct cw_state *arena_st, *scratch;
static struct cw_arena *arena;

static void setup(void)
{
	cw_vm_prepare_process();
	arena_st = rules_arena();
	scratch = rules_arena();
	arena = cw_arena_new();
}

static void teardown(void)
{
	cw_state_close(&arena_st);
	cw_state_close(&scratch);
	cw_arena_free(&arena);
}

static struct cw_rules *load(const char *name, const char *text, size_t len, bool trace)
{
	struct cw_bundle_file file = { name, text, len };
	const struct cw_bundle bundle = { .rules = &file, .nrules = 1, .params_json = "{}" };
	struct cw_rules_conf conf = cw_rules_conf_default;
	struct cw_rules *rules;
	struct cw_err err;

	conf.trace = trace;
	conf.wall_us = 0;
	rules = cw_rules_load(&bundle, &conf, &err);
	ck_assert_msg(rules != NULL, "%s", err.msg);
	return rules;
}

/* --- the same verdicts, the same ticks --- */

/* Every transaction of every test: alerts, scores, ticks, messages. */
static void compare(const char *path)
{
	static char text[1 << 17];
	FILE *f = fopen(path, "r");
	struct cw_buf plain = CW_BUF_INIT, traced = CW_BUF_INIT;
	struct cw_rules *a, *b;
	struct cw_err err;
	size_t len;

	ck_assert_msg(f != NULL, "%s", path);
	len = fread(text, 1, sizeof(text), f);
	fclose(f);
	a = load(path, text, len, false);
	b = load(path, text, len, true);
	ck_assert_msg(cw_ruletest_run(a, cw_rules_at(a, 0), scratch, &plain, &err) == 0, "%s", err.msg);
	ck_assert_msg(cw_ruletest_run(b, cw_rules_at(b, 0), scratch, &traced, &err) == 0, "%s", err.msg);
	ck_assert_msg(plain.len == traced.len && memcmp(plain.data, traced.data, plain.len) == 0, "%s: traced verdicts differ",
	              path);
	cw_rules_free(&a);
	cw_rules_free(&b);
	cw_buf_release(&plain);
	cw_buf_release(&traced);
}

START_TEST(shipped_rules_judge_the_same)
{
	static const char *const folders[] = { "rules", "rules/optional" };
	int n = 0;

	for (int i = 0; i < 2; i++) {
		DIR *dir = opendir(folders[i]);
		struct dirent *e;

		while (dir != NULL && (e = readdir(dir)) != NULL) {
			char path[300];

			if (strstr(e->d_name, ".lua") == NULL)
				continue;
			snprintf(path, sizeof(path), "%s/%s", folders[i], e->d_name);
			compare(path);
			n++;
		}
		if (dir != NULL)
			closedir(dir);
	}
	ck_assert_int_ge(n, 8);
}
END_TEST

#define HEAD "return rule { id = 'x.a', version = '1.0.0', severity = 'low', title = 'T', description = 'D',\n" \
	"params = { limit = 3 }, state = function(p) return { n = window.count { key = 'from', span = '1h' },\n" \
	"  l = window.last { key = 'from', of = 'value', n = 4 } } end,\n" \
	"evaluate = function(tx, s, p)\n"
#define TAIL "\nend, tests = { { name = 'a', given = txs { n = 5, from = Y }, expect = 'alert' },\n" \
	"{ name = 'q', given = tx { from = Z }, expect = 'quiet' } } }\n"

static struct cw_rules *rules;
static struct cw_rule_result result;
static char fault_message[512];      /* its message outlives the rules */

/* Evaluates n transactions; the explanation of the last one as JSON. */
static const struct cw_json *explain(const char *body, int n)
{
	char text[4000];
	struct cw_buf out = CW_BUF_INIT;
	struct cw_json_error fault;
	const struct cw_json *json;
	struct cw_err err;

	snprintf(text, sizeof(text), "%s%s%s", HEAD, body, TAIL);
	rules = load("rules/a.lua", text, strlen(text), true);
	ck_assert_msg(cw_rules_attach(rules, arena_st, &err) == 0, "%s", err.msg);
	for (int i = 1; i <= n; i++) {
		struct cw_tx tx = { .seq = (uint64_t)i, .chain_id = 1, .gas = 21000, .timestamp = 1700000000 + 60 * i,
			                .has = CW_TX_HAS_TO, .value = cw_u256_from_u64((uint64_t)(100 * i)) };

		memset(tx.from.b, 'Y', sizeof(tx.from.b));
		cw_rules_set_tx(rules, &tx);
		cw_rule_run(rules, cw_rules_at(rules, 0)->live, &result);
		cw_state_mark(arena_st, tx.seq, 0);
	}
	cw_rule_explain(rules, cw_rules_at(rules, 0)->live, &result, &out);
	snprintf(fault_message, sizeof(fault_message), "%s", result.kind == CW_RULE_FAILED ? result.fault.message : "");
	json = cw_json_parse(out.data, out.len, 32, arena, &fault);
	ck_assert_msg(json != NULL, "%s in %s", fault.what, out.data);
	if (getenv("CW_TEST_LOG") != NULL)
		puts(out.data);
	cw_buf_release(&out);
	cw_rules_free(&rules);
	return json;
}

static const struct cw_json *at(const struct cw_json *list, int i)
{
	const struct cw_json *e = list->first;

	while (i-- > 0 && e != NULL)
		e = e->next;
	ck_assert(e != NULL);
	return e;
}

static const char *text_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *v = cw_json_get(object, name);

	return v != NULL && v->text != NULL ? v->text : "";
}

static double number_of(const struct cw_json *object, const char *name)
{
	double x = -1;
	const struct cw_json *v = cw_json_get(object, name);

	ck_assert_msg(v != NULL && cw_json_to_double(v, &x), "%s", name);
	return x;
}

static bool flag_of(const struct cw_json *object, const char *name)
{
	const struct cw_json *v = cw_json_get(object, name);

	ck_assert_msg(v != NULL, "%s", name);
	return v->type == CW_JSON_TRUE;
}

START_TEST(quiet_and_firing_tell_the_comparison)
{
	for (int n = 2; n <= 3; n++) {
		const struct cw_json *json = explain("local n = s.n:add(tx)\nif n == nil or n < p.limit then return end\n"
		                                     "return alert { score = 1, explain = { n = n } }", n), *steps, *d, *call;

		ck_assert_str_eq(text_of(json, "outcome"), n == 2 ? "quiet" : "alert");
		ck_assert(flag_of(json, "comparisons"));
		ck_assert_int_eq((int)number_of(json, "returned"), n == 2 ? 6 : 7);
		steps = cw_json_get(json, "steps");
		call = at(steps, 0);
		ck_assert_str_eq(text_of(call, "state"), "n");
		ck_assert_str_eq(text_of(call, "primitive"), "window.count");
		ck_assert_str_eq(text_of(call, "method"), "add");
		ck_assert_int_eq((int)number_of(call, "result"), n);
		ck_assert_int_eq((int)number_of(call, "line"), 5);
		ck_assert_str_eq(text_of(cw_json_get(call, "contents"), "key"), "from=0x5959595959595959595959595959595959595959");
		ck_assert_int_eq((int)number_of(cw_json_get(call, "contents"), "get"), n);
		ck_assert(cw_json_get(cw_json_get(call, "contents"), "buckets")->first != NULL);
		ck_assert_str_eq(text_of(at(steps, 1), "source"), "n == nil");
		ck_assert(!flag_of(at(steps, 1), "result"));
		d = cw_json_get(json, "decision");
		ck_assert_str_eq(text_of(d, "source"), "n == nil or n < p.limit");
		ck_assert_int_eq((int)number_of(d, "line"), 6);
		ck_assert(flag_of(d, "result") == (n == 2));
		d = at(cw_json_get(d, "comparisons"), 1);
		ck_assert_str_eq(text_of(d, "source"), "n < p.limit");
		ck_assert_str_eq(text_of(d, "operator"), "<");
		ck_assert_int_eq((int)number_of(d, "left"), n);
		ck_assert_int_eq((int)number_of(d, "right"), 3);
		ck_assert_int_eq((int)number_of(cw_json_get(json, "params"), "limit"), 3);
		cw_state_reset(arena_st);
	}
}
END_TEST

START_TEST(last_values_are_told)
{
	const struct cw_json *json = explain("s.l:add(tx)", 6), *values;

	values = cw_json_get(cw_json_get(at(cw_json_get(json, "steps"), 0), "contents"), "values");
	ck_assert(values != NULL);
	ck_assert_str_eq(at(at(values, 0), 1)->text, "600");
	ck_assert_str_eq(at(at(values, 3), 0)->text, "180");
	ck_assert_str_eq(at(at(values, 3), 1)->text, "300");
	ck_assert(cw_json_get(json, "returned")->type == CW_JSON_NULL);
	ck_assert(cw_json_get(json, "decision")->type == CW_JSON_NULL);
}
END_TEST

/* Odd places for comparisons: nested, in arguments, in tables, in returns, chained, over lines. */
START_TEST(values_pass_through_unchanged)
{
	const struct cw_json *json = explain(
		"local function f(...) return select('#', ...), ... end\n"
		"local a, b = f(1 < 2, 2 <= 1)\n"
		"local t = { 1 == 1, x = 2 ~= 2, [3 > 2] = 'k' }\n"
		"local chain = (1 < 2) == (3 >= 2) == true\n"
		"local multi = 1 -- a comment\n < -- another\n 2\n"
		"while a > 5 do a = a - 1 end repeat local z = a until z == 2\n"
		"if not (a == 2 and b == true and t[1] == true and t.x == false and t[true] == 'k' and chain == true and multi) then\n"
		"  return end\n"
		"for i = 1, 3 do if i == 2 then return alert { score = 0.5, explain = { a = a, hit = i == 2 } } end end", 1);

	ck_assert_str_eq(text_of(json, "outcome"), "alert");
	ck_assert_int_eq((int)number_of(json, "returned"), 15);
	ck_assert_str_eq(text_of(cw_json_get(json, "decision"), "source"), "i == 2");
	ck_assert_int_eq((int)number_of(at(cw_json_get(cw_json_get(json, "decision"), "comparisons"), 0), "left"), 2);
}
END_TEST

START_TEST(errors_of_comparisons_are_the_authors)
{
	explain("local x = nil\n\nreturn x < 3", 1);
	ck_assert_int_eq(result.kind, CW_RULE_FAILED);
	ck_assert_str_eq(fault_message, "rules/a.lua:7: attempt to compare nil with number");
	cw_state_reset(arena_st);
	explain("local x = {}\nlocal ok, what = pcall(function() return x < {} end)\nif ok then return end\n"
	        "error(what, 0)", 1);
	ck_assert_str_eq(fault_message, "rules/a.lua:6: attempt to compare two table values");
}
END_TEST

START_TEST(long_calls_keep_beginning_and_end)
{
	const struct cw_json *json = explain("local x = 0\nfor i = 1, 10000 do if i > 3 then x = x + 1 end end\n"
	                                     "if x == 9997 then return alert { score = 1 } end", 1);
	int n = 0;

	for (const struct cw_json *s = cw_json_get(json, "steps")->first; s != NULL; s = s->next)
		n++;
	ck_assert_int_eq(n, 400);
	ck_assert_int_gt((int)number_of(json, "steps_left_out"), 19000);
	ck_assert_int_eq((int)number_of(json, "returned"), 7);
	ck_assert_str_eq(text_of(cw_json_get(json, "decision"), "source"), "x == 9997");
}
END_TEST

/* A helper's return and conditions are not evaluate's. */
START_TEST(helpers_do_not_decide)
{
	const struct cw_json *json = explain("local function half(x) if x > 100 then return 1 end return x / 2 end\n"
	                                     "if tx.value > 50 then return alert { score = half(1) } end", 1);

	ck_assert_int_eq((int)number_of(json, "returned"), 6);
	ck_assert_str_eq(text_of(cw_json_get(json, "decision"), "source"), "tx.value > 50");
	cw_state_reset(arena_st);
	json = explain("local function big(x) if x > 1e6 then return true end return false end\nif big(tx.value) then return end", 1);
	ck_assert(cw_json_get(json, "returned")->type == CW_JSON_NULL);
	ck_assert_str_eq(text_of(cw_json_get(json, "decision"), "source"), "big(tx.value)");
}
END_TEST

/* 60 upvalues are all LuaJIT allows: one more for the trace is too many, so the function runs as it is. */
START_TEST(what_cannot_be_rewritten_runs_as_it_is)
{
	struct cw_buf body = CW_BUF_INIT;
	const struct cw_json *json;

	cw_buf_puts(&body, "local v0 = 1");
	for (int i = 1; i < 58; i++)
		cw_buf_printf(&body, " local v%d = 1", i);
	cw_buf_puts(&body, "\nlocal function sum() return v0");
	for (int i = 1; i < 58; i++)
		cw_buf_printf(&body, " + v%d", i);
	cw_buf_puts(&body, " < 1000 end\nif sum() then return alert { score = 1 } end");
	json = explain(body.data, 1);
	ck_assert_str_eq(text_of(json, "outcome"), "alert");
	cw_buf_release(&body);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("trace");
	TCase *tc = tcase_create("trace");
	SRunner *runner;
	int failed;

	tcase_set_timeout(tc, 120);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, shipped_rules_judge_the_same);
	tcase_add_test(tc, quiet_and_firing_tell_the_comparison);
	tcase_add_test(tc, last_values_are_told);
	tcase_add_test(tc, values_pass_through_unchanged);
	tcase_add_test(tc, errors_of_comparisons_are_the_authors);
	tcase_add_test(tc, long_calls_keep_beginning_and_end);
	tcase_add_test(tc, helpers_do_not_decide);
	tcase_add_test(tc, what_cannot_be_rewritten_runs_as_it_is);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed != 0;
}
