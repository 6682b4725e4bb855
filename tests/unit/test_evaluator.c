/* The operations of the evaluator, in one process: load, attach, evaluate, faults, budgets, quarantine, digest, and
 * that state and verdicts are the same whatever happens in between. */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"
#include "lua/evaluator.h"
#include "lua/vm.h"
#include "pipeline/verdict.h"
#include "support/rules.h"

static const struct cw_evaluator_ops *ops = &cw_lua_evaluator;
static struct cw_state *scratch, *live;
static struct cw_arena *arena;
static struct cw_buf report, out;
static volatile uint32_t running;

static void setup(void)
{
	cw_vm_prepare_process();
	scratch = rules_arena();
	live = rules_arena();
	arena = cw_arena_new();
	cw_buf_init(&report);
	cw_buf_init(&out);
}

static void teardown(void)
{
	cw_state_close(&scratch);
	cw_state_close(&live);
	cw_arena_free(&arena);
	cw_buf_release(&report);
	cw_buf_release(&out);
}

struct set { struct cw_bundle bundle; struct cw_bundle_file files[8]; };

static struct set *make_set(struct set *set, const char *options)
{
	*set = (struct set){ .bundle = { .rules = set->files, .options_json = options } };
	return set;
}

static void add(struct set *set, const char *name, const char *text)
{
	set->files[set->bundle.nrules++] = (struct cw_bundle_file){ name, text, strlen(text) };
}

static void *load(struct set *set)
{
	struct cw_err err;
	void *ctx;

	cw_buf_clear(&report);
	ctx = ops->load(&set->bundle, scratch, &report, &err);
	ck_assert_msg(ctx != NULL, "%s", err.msg);
	return ctx;
}

static void *load_attached(struct set *set)
{
	struct cw_err err;
	void *ctx = load(set);

	ck_assert_msg(ops->attach(ctx, live, &err) == 0, "%s", err.msg);
	return ctx;
}

static const char *load_error(struct set *set)
{
	static struct cw_err err;

	cw_buf_clear(&report);
	ck_assert(ops->load(&set->bundle, scratch, &report, &err) == NULL);
	return err.msg;
}

static struct cw_verdict evaluate(void *ctx, const struct cw_tx *tx)
{
	struct cw_verdict v;
	struct cw_err err;
	size_t used;

	cw_buf_clear(&out);
	ops->evaluate(ctx, tx, &out, &running);
	ck_assert_uint_eq(running, 0);
	ck_assert_msg(cw_verdict_read(&v, out.data, out.len, &used, arena, &err) == 0, "%s", err.msg);
	ck_assert_uint_eq(used, out.len);
	ck_assert_uint_eq(v.seq, tx->seq);
	cw_state_mark(live, tx->seq, tx->block_number);
	return v;
}

/* A rule with an id of its own around a body of evaluate and a state. */
#define RULE(id, more, body) "return rule { id = '" id "', version = '1.0.0', severity = 'medium', title = 'Title',\n" \
	"description = 'About.', " more "\nevaluate = function(tx, s, p) " body " end,\n" \
	"tests = { { name = 'fires', given = tx { from = Y }, expect = 'alert' },\n" \
	"  { name = 'quiet', given = tx { from = Z }, expect = 'quiet' } } }\n"
#define FIRE_FOR_Y "if tx.from == Z then return end if tx.from == Y then return alert { score = 0.5 } end "
#define COUNT "state = function() return { n = window.count { key = 'from', span = '1h' } } end,"

START_TEST(report_describes_the_ruleset)
{
	const struct cw_json *json, *rules, *rule;
	struct cw_json_error fault;
	struct set set;
	void *ctx;

	add(make_set(&set, NULL), "rules/a.lua", RULE("x.a", COUNT " params = { limit = 3, t = 'x' }, tags = { 'a', 'b' }, "
	    "status = 'shadow', references = { 'see \"there\"' },", FIRE_FOR_Y));
	add(&set, "rules/b.lua", RULE("x.b", "", FIRE_FOR_Y));
	set.bundle.params_json = "{\"x.a\":{\"limit\":7}}";
	ctx = load(&set);
	json = cw_json_parse(report.data, report.len, 32, arena, &fault);
	ck_assert_msg(json != NULL, "%s at %zu in %s", fault.what, fault.offset, report.data);
	ck_assert_uint_eq(cw_json_get(json, "digest")->len, 64);
	rules = cw_json_get(json, "rules");
	ck_assert_uint_eq(rules->count, 2);
	rule = rules->first;
	ck_assert_str_eq(cw_json_get(rule, "id")->text, "x.a");
	ck_assert_str_eq(cw_json_get(rule, "index")->text, "0");
	ck_assert_str_eq(cw_json_get(rule, "version")->text, "1.0.0");
	ck_assert_str_eq(cw_json_get(rule, "severity")->text, "medium");
	ck_assert_str_eq(cw_json_get(rule, "status")->text, "shadow");
	ck_assert_str_eq(cw_json_get(rule, "title")->text, "Title");
	ck_assert_str_eq(cw_json_get(rule, "file")->text, "rules/a.lua");
	ck_assert_str_eq(cw_json_get(rule, "tests")->text, "2");
	ck_assert_uint_eq(cw_json_get(rule, "sha256")->len, 64);
	ck_assert_uint_eq(cw_json_get(rule, "tags")->count, 2);
	ck_assert_str_eq(cw_json_get(rule, "references")->first->text, "see \"there\"");
	ck_assert_str_eq(cw_json_get(cw_json_get(rule, "params"), "limit")->text, "7");
	ck_assert_str_eq(cw_json_get(cw_json_get(rule, "params"), "t")->text, "x");
	ck_assert_str_eq(cw_json_get(cw_json_get(rule, "states")->first, "primitive")->text, "window.count");
	ck_assert_str_eq(cw_json_get(rules->first->next, "status")->text, "stable");
	ops->free(ctx);
}
END_TEST

START_TEST(digest_is_of_files_and_parameters)
{
	char base[65], other[65];
	struct set set;

	add(make_set(&set, NULL), "a.lua", "one");
	add(&set, "b.lua", "two");
	cw_lua_bundle_digest(&set.bundle, base);
	ck_assert_uint_eq(strlen(base), 64);
	set.files[2] = set.files[0];     /* the order in which they come does not matter */
	set.files[0] = set.files[1];
	set.files[1] = set.files[2];
	cw_lua_bundle_digest(&set.bundle, other);
	ck_assert_str_eq(base, other);
	set.bundle.options_json = "{\"ticks\":5000}";
	cw_lua_bundle_digest(&set.bundle, other);
	ck_assert_str_eq(base, other);
	set.bundle.params_json = "{\"x\":{}}";
	cw_lua_bundle_digest(&set.bundle, other);
	ck_assert_str_ne(base, other);
	set.bundle.params_json = NULL;
	set.files[0].text = "twO";
	cw_lua_bundle_digest(&set.bundle, other);
	ck_assert_str_ne(base, other);
	set.files[0].text = "two";
	set.files[0].name = "c.lua";
	cw_lua_bundle_digest(&set.bundle, other);
	ck_assert_str_ne(base, other);
}
END_TEST

START_TEST(empty_set_is_quiet)
{
	struct set set;
	void *ctx = load_attached(make_set(&set, "{}"));
	struct cw_tx tx = rules_tx(1, 'Y', 'B');
	struct cw_verdict v = evaluate(ctx, &tx);

	ck_assert_uint_eq(v.nalerts + v.nfaults, 0);
	ops->free(ctx);
}
END_TEST

START_TEST(all_files_or_nothing)
{
	struct set set;

	add(make_set(&set, NULL), "rules/a.lua", RULE("x.a", "", FIRE_FOR_Y));
	add(&set, "rules/b.lua", "return rule { id = 'x.b'");
	ck_assert_str_eq(load_error(&set), "rules/b.lua:1: '}' expected near '<eof>'");
	set.bundle.nrules = 1;
	add(&set, "rules/b.lua", RULE("x.a", "", FIRE_FOR_Y));
	ck_assert_str_eq(load_error(&set), "rules/b.lua:1: rule id \"x.a\" is already used in rules/a.lua");
	set.bundle.nrules = 1;
	add(&set, "rules/b.lua", RULE("x.b", "", "return alert { score = 1 }"));
	ck_assert_str_eq(load_error(&set), "rules/b.lua:5: x.b: test \"quiet\": expected quiet, got 1 alerts, the first at "
	                                   "transaction 1 with score 1");
	ck_assert_uint_eq(report.len, 0);
}
END_TEST

START_TEST(tested_bundle_is_not_tested_again)
{
	struct set set;
	struct cw_err err;
	void *ctx;

	add(make_set(&set, NULL), "rules/b.lua", RULE("x.b", "", "return alert { score = 1 }"));
	set.bundle.tested = true;
	ctx = ops->load(&set.bundle, NULL, &report, &err);
	ck_assert_msg(ctx != NULL, "%s", err.msg);
	ops->free(ctx);
	set.bundle.tested = false;
	set.bundle.options_json = "{\"run_tests\":false}";
	ops->free(load(&set));
}
END_TEST

static const struct { const char *options, *message; } wrong_options[] = {
	{ "{\"tick\":1}", "rules: unknown option \"tick\"" },
	{ "{\"ticks\":1}", "rules: option \"ticks\" must be a number from 1000 to 1000000000000" },
	{ "{\"ticks\":\"many\"}", "rules: option \"ticks\" must be a number from 1000 to 1000000000000" },
	{ "{\"wall_ms\":-1}", "rules: option \"wall_ms\" must be a number from 0 to 60000" },
	{ "{\"memory_bytes\":1000}", "rules: option \"memory_bytes\" must be a number from 8388608 to 1000000000000" },
	{ "{\"run\":\"shell\"}", "rules: option \"run\" must be rules or scripts" },
	{ "{\"run\":1}", "rules: option \"run\" must be rules or scripts" },
	{ "{\"run_tests\":null}", "rules: option \"run_tests\" must be true or false" },
	{ "{\"loose_params\":\"yes\"}", "rules: option \"loose_params\" must be true or false" },
	{ "{\"trace\":0}", "rules: option \"trace\" must be true or false" },
	{ "{\"state_bytes\":-1}", "rules: option \"state_bytes\" must be a number from 0 to 10000000000000" },
	{ "{\"ticks\":1e999}", "rules: option \"ticks\" must be a number from 1000 to 1000000000000" },
	{ "{\"jit\":1}", "rules: option \"jit\" must be true or false" },
	{ "[]", "rules: options are not a JSON object" },
	{ "{", "rules: options are not a JSON object" },
};

START_TEST(wrong_option_is_refused)
{
	struct set set;

	ck_assert_str_eq(load_error(make_set(&set, wrong_options[_i].options)), wrong_options[_i].message);
}
END_TEST

START_TEST(alert_carries_what_the_rule_said)
{
	struct cw_tx tx = rules_tx(9, 'Y', 'B');
	struct cw_verdict v;
	struct set set;
	void *ctx;

	add(make_set(&set, NULL), "rules/a.lua", RULE("x.a", "", "if tx.from == Y then return alert { score = 1.7, confidence = "
	    "0.25, severity = 'critical', dedup = tx.from, explain = { receivers = 31, limit = 25, ok = true, of = { 1, 'b' }, "
	    "note_text = 'x' } } end"));
	add(&set, "rules/b.lua", RULE("x.b", "status = 'shadow',", "if tx.from == Y then return alert { score = 0.5 } end"));
	add(&set, "rules/c.lua", RULE("x.c", "", "if tx.from == Y then return alert { score = -3, text = 'mine', dedup = 7 } end"));
	ctx = load_attached(&set);
	v = evaluate(ctx, &tx);
	ck_assert_uint_eq(v.nalerts, 3);
	ck_assert_uint_eq(v.nfaults, 0);
	ck_assert_uint_eq(v.alerts[0].rule, 0);
	ck_assert_double_eq(v.alerts[0].score, 1);
	ck_assert_double_eq(v.alerts[0].confidence, 0.25);
	ck_assert_int_eq(v.alerts[0].severity, CW_SEVERITY_CRITICAL);
	ck_assert_str_eq(v.alerts[0].dedup, "0x5959595959595959595959595959595959595959");
	ck_assert_str_eq(v.alerts[0].features, "{\"limit\":25,\"note_text\":\"x\",\"of\":[1,\"b\"],\"ok\":true,\"receivers\":31}");
	ck_assert_str_eq(v.alerts[0].explanation, "Title: limit 25, note text x, ok yes, receivers 31");
	ck_assert_uint_eq(v.alerts[0].flags, CW_ALERT_HAS_ENTITY);
	ck_assert_int_eq(v.alerts[0].role, CW_ALERT_ACTOR);
	ck_assert_uint_eq(v.alerts[1].flags, CW_ALERT_SHADOW | CW_ALERT_HAS_ENTITY);
	ck_assert_double_eq(v.alerts[1].confidence, 0.5);
	ck_assert_int_eq(v.alerts[1].severity, CW_SEVERITY_MEDIUM);
	ck_assert_str_eq(v.alerts[1].features, "{}");
	ck_assert_str_eq(v.alerts[1].explanation, "Title");
	ck_assert_str_eq(v.alerts[1].dedup, "");
	ck_assert_double_eq(v.alerts[2].score, 0);
	ck_assert_str_eq(v.alerts[2].explanation, "mine");
	ck_assert_str_eq(v.alerts[2].dedup, "7");
	ops->free(ctx);
}
END_TEST

/* One rule fails in every way there is; the one after it goes on as if nothing was. */
START_TEST(faults_are_told_apart_and_hit_no_other)
{
	static const struct { const char *body; enum cw_rule_fault_kind kind; const char *message; } faults[] = {
		{ "error('mine')", CW_FAULT_ERROR, "rules/a.lua:3: mine" },
		{ "return 5", CW_FAULT_ERROR, "rules/a.lua:3: evaluate returned a number; it must return nothing or alert { ... }" },
		{ "local x = tx.to.from.to", CW_FAULT_ERROR, "rules/a.lua:3: attempt to index a nil value" },
		{ "while true do end", CW_FAULT_TICKS, "rules/a.lua:3: stopped: more than 100000 ticks" },
		{ "while true do pcall(function() while true do end end) end", CW_FAULT_TICKS,
		  "rules/a.lua:3: stopped: more than 100000 ticks" },
		{ "local t = {} while true do t[#t + 1] = ('x'):rep(1e6) .. #t end", CW_FAULT_MEMORY,
		  "rules/a.lua:3: stopped: memory limit reached" },
		{ "local function f() return 1 + f() end f()", CW_FAULT_STACK, "rules/a.lua:1: stopped: stack overflow" },
		/* They change places, so that the comparison is not moved out of the loop. */
		{ "local a, b = ('x'):rep(1e6), ('x'):rep(999999) .. 'y' while true do a, b = b, a local c = a < b end", CW_FAULT_TIME,
		  "rules/a.lua:3: stopped: time limit of 20 ms reached" },
	};

	for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
		for (int jit = 0; jit < 2; jit++) {
			char text[1024], limits[96];
			struct set set;
			void *ctx;

			/* Only the last one is about the clock; a busy machine must not decide the others. */
			snprintf(text, sizeof(text), RULE("x.a", "", FIRE_FOR_Y " %s"), faults[i].body);
			snprintf(limits, sizeof(limits), "{\"ticks\":%s,\"wall_ms\":%d,\"jit\":%s}",
			         faults[i].kind == CW_FAULT_TIME ? "1000000000000" : "100000",
			         faults[i].kind == CW_FAULT_TIME ? 20 : 60000, jit ? "true" : "false");
			add(make_set(&set, limits), "rules/a.lua", text);
			add(&set, "rules/b.lua", RULE("x.b", COUNT, FIRE_FOR_Y "if s.n:add(tx) == 3 then return alert { score = 1 } end"));
			cw_state_reset(live);
			ctx = load_attached(&set);
			for (uint64_t n = 1; n <= 4; n++) {
				struct cw_tx tx = rules_tx(n, 'C', 'B');
				struct cw_verdict v = evaluate(ctx, &tx);

				ck_assert_uint_eq(v.nfaults, 1);
				ck_assert_uint_eq(v.faults[0].rule, 0);
				ck_assert_msg(v.faults[0].kind == faults[i].kind, "%s: %s", faults[i].body, v.faults[0].message);
				if (i != 2)      /* whose wording is LuaJIT's */
					ck_assert_str_eq(v.faults[0].message, faults[i].message);
				ck_assert_uint_eq(v.nalerts, n == 3);
			}
			ops->free(ctx);
		}
}
END_TEST

/* The word of bind_stop stops the rule at work and no other. */
static volatile int stop_word;

static void *raise_later(void *arg)
{
	struct timespec wait = { .tv_nsec = 30000000 };

	(void)arg;
	nanosleep(&wait, NULL);
	stop_word = 1;
	return NULL;
}

START_TEST(stop_word_stops_the_rule_at_work)
{
	struct cw_tx tx = rules_tx(1, 'C', 'B');
	struct cw_verdict v;
	pthread_t thread;
	struct set set;
	void *ctx;

	add(make_set(&set, "{\"ticks\":1000000000000,\"wall_ms\":0}"), "rules/a.lua",
	    RULE("x.a", "", FIRE_FOR_Y " while true do end"));
	add(&set, "rules/b.lua", RULE("x.b", "", FIRE_FOR_Y "return alert { score = 1 }"));
	ops->bind_stop(&stop_word);
	ctx = load_attached(&set);
	pthread_create(&thread, NULL, raise_later, NULL);
	v = evaluate(ctx, &tx);
	pthread_join(thread, NULL);
	ops->bind_stop(NULL);
	ck_assert_uint_eq(v.nfaults, 1);
	ck_assert_int_eq(v.faults[0].kind, CW_FAULT_TIME);
	ck_assert_uint_eq(v.nalerts, 1);
	ops->free(ctx);
}
END_TEST

START_TEST(disabled_rule_is_skipped)
{
	struct cw_tx tx = rules_tx(1, 'Y', 'B');
	struct set set;
	void *ctx;

	add(make_set(&set, NULL), "rules/a.lua", RULE("x.a", "", FIRE_FOR_Y));
	add(&set, "rules/b.lua", RULE("x.b", "", FIRE_FOR_Y));
	ctx = load_attached(&set);
	ops->set_enabled(ctx, 0, false);
	ops->set_enabled(ctx, 77, false);      /* no such rule: nothing */
	ck_assert_uint_eq(evaluate(ctx, &tx).nalerts, 1);
	ck_assert_uint_eq(evaluate(ctx, &tx).alerts[0].rule, 1);
	ops->set_enabled(ctx, 0, true);
	ck_assert_uint_eq(evaluate(ctx, &tx).nalerts, 2);
	ops->free(ctx);
}
END_TEST

static const char counter[] = RULE("x.a", COUNT, FIRE_FOR_Y
	"local n = s.n:add(tx) return alert { score = 0, explain = { n = n } }");

static const char *features_of(void *ctx, uint64_t seq)
{
	struct cw_tx tx = rules_tx(seq, 'C', 'B');
	struct cw_verdict v = evaluate(ctx, &tx);

	ck_assert_uint_eq(v.nalerts, 1);
	return v.alerts[0].features;
}

static void warm(void *ctx, uint64_t seq, bool end)
{
	const struct cw_tx tx = rules_tx(seq, 'C', 'B');

	ops->warm(ctx, &tx, end, &running);
}

/* A new generation goes on with the state of the old one, if the declaration is the same. */
START_TEST(state_survives_a_reload)
{
	struct cw_tx tx;
	struct set set;
	void *ctx;

	add(make_set(&set, NULL), "rules/a.lua", counter);
	ctx = load_attached(&set);
	ck_assert_str_eq(features_of(ctx, 1), "{\"n\":1}");
	ck_assert_str_eq(features_of(ctx, 2), "{\"n\":2}");
	ops->free(ctx);
	make_set(&set, "{\"jit\":false}");
	add(&set, "rules/other.lua", RULE("x.a", COUNT " params = { more = 1 },", FIRE_FOR_Y
	    "local n = s.n:add(tx) return alert { score = 0, explain = { n = n } } --[[ changed ]]"));
	ctx = load_attached(&set);
	ck_assert_str_eq(features_of(ctx, 3), "{\"n\":3}");
	ops->free(ctx);
	make_set(&set, NULL);
	add(&set, "rules/a.lua", RULE("x.a", "state = function() return { n = window.count { key = 'to', span = '1h' } } end,",
	    FIRE_FOR_Y "local n = s.n:add(tx) return alert { score = 0, explain = { n = n } }"));
	ctx = load_attached(&set);
	/* Another declaration begins empty, and does not judge before it has been given what it lacks. */
	ck_assert_uint_eq(evaluate(ctx, &(struct cw_tx){ .seq = 4 }).nalerts, 0);
	for (uint64_t seq = 1; seq <= 3; seq++)
		warm(ctx, seq, false);
	warm(ctx, 2, false);                   /* given twice: taken once */
	tx = rules_tx(5, 'C', 'B');
	ck_assert_uint_eq(evaluate(ctx, &tx).nalerts, 0);
	warm(ctx, 4, false);
	warm(ctx, 5, false);
	ck_assert_str_eq(features_of(ctx, 6), "{\"n\":6}");
	ops->free(ctx);
}
END_TEST

/* A rule that was off lacks what it did not see; the end mark says that there is no more. */
START_TEST(rule_that_was_off_is_given_what_it_missed)
{
	struct cw_tx tx = rules_tx(3, 'C', 'B');
	struct set set;
	void *ctx;

	add(make_set(&set, NULL), "rules/a.lua", counter);
	ctx = load_attached(&set);
	features_of(ctx, 1);
	ops->set_enabled(ctx, 0, false);
	for (tx.seq = 2; tx.seq <= 4; tx.seq++)
		ck_assert_uint_eq(evaluate(ctx, &tx).nalerts, 0);
	ops->set_enabled(ctx, 0, true);
	tx.seq = 5;
	ck_assert_uint_eq(evaluate(ctx, &tx).nalerts, 0);
	warm(ctx, 2, false);
	warm(ctx, 3, false);                   /* 4 and 5 were never stored */
	warm(ctx, UINT64_MAX - 1, true);
	ck_assert_str_eq(features_of(ctx, 6), "{\"n\":4}");
	ops->free(ctx);
}
END_TEST

/* State that nobody declares any more is gone: found again it would have a gap. */
START_TEST(state_of_a_rule_that_went_is_dropped)
{
	const struct cw_state_root *root;
	uint64_t before;
	struct set set;
	void *ctx;

	add(make_set(&set, NULL), "rules/b.lua", RULE("x.b", "", FIRE_FOR_Y));
	ops->free(load_attached(&set));
	cw_state_mark(live, 0, 0);
	before = cw_state_account(live, 1).bytes;
	add(make_set(&set, NULL), "rules/a.lua", counter);
	ctx = load_attached(&set);
	ck_assert_str_eq(features_of(ctx, 1), "{\"n\":1}");
	ck_assert(cw_state_account(live, 1).bytes > before);
	ops->free(ctx);
	add(make_set(&set, NULL), "rules/b.lua", RULE("x.b", "", FIRE_FOR_Y));
	ops->free(load_attached(&set));
	ck_assert_uint_eq(cw_state_account(live, 1).bytes, before);
	root = cw_state_root_next(live, NULL);
	ck_assert_str_eq(root->name, "x.b/!alerts");
	ck_assert_ptr_null(cw_state_root_next(live, root));
}
END_TEST

/* A candidate has state of its own; the version takes it along when it goes live. */
START_TEST(candidate_brings_its_state)
{
	static const char next[] = RULE("x.a", "state = function() return { m = window.count { key = 'to', span = '1h' } } "
	    "end,", FIRE_FOR_Y "local n = s.m:add(tx) return alert { score = 1, explain = { m = n } }");
	struct cw_tx tx = rules_tx(1, 'C', 'B');
	struct cw_verdict v;
	struct set set;
	void *ctx;

	add(make_set(&set, NULL), "candidates/x.a.lua", next);
	add(&set, "rules/a.lua", counter);
	ctx = load_attached(&set);
	for (tx.seq = 1; tx.seq <= 3; tx.seq++) {
		v = evaluate(ctx, &tx);
		ck_assert_uint_eq(v.nalerts, 2);
		ck_assert_uint_eq(v.alerts[0].flags & CW_ALERT_SHADOW, CW_ALERT_SHADOW);
		ck_assert_uint_eq(v.alerts[1].flags & CW_ALERT_SHADOW, 0);
		ck_assert_double_eq(v.score, 0);
	}
	ops->free(ctx);
	add(make_set(&set, NULL), "rules/a.lua", next);
	ctx = load_attached(&set);
	ck_assert_str_eq(features_of(ctx, 4), "{\"m\":4}");
	ops->free(ctx);
}
END_TEST

START_TEST(rewound_state_gives_the_same_verdicts)
{
	struct cw_state_mark mark;
	struct cw_err err;
	struct set set;
	void *ctx;

	add(make_set(&set, NULL), "rules/a.lua", counter);
	ctx = load_attached(&set);
	for (uint64_t i = 1; i <= 10; i++)
		features_of(ctx, i);
	ck_assert(cw_state_find_seq(live, 4, &mark));
	ck_assert_int_eq(cw_state_rewind(live, &mark, &err), 0);
	ck_assert_str_eq(features_of(ctx, 5), "{\"n\":5}");
	ops->free(ctx);
}
END_TEST

static const char *const list_rule = RULE("x.a", "state = function() return { bad = list.contains { category = 'mixer' } } end,",
	FIRE_FOR_Y "if s.bad:has(tx) then return alert { score = 1, explain = { category = s.bad:category(tx), name = "
	"s.bad:name(tx), source = s.bad:source(tx), none = s.bad:name(tx, 'from') } } end");

START_TEST(lists_reach_the_rules)
{
	static const char csv[] = "address,category,name,source\n"
		"0x4242424242424242424242424242424242424242,mixer,\"A, mixer\",here\n"
		"0x4343434343434343434343434343434343434343,exchange,B,there\n";
	struct cw_bundle_file list = { "lists/labels.csv", csv, sizeof(csv) - 1 };

	for (int jit = 0; jit < 2; jit++) {
		struct cw_tx tx = rules_tx(1, 'A', 'B'), other = rules_tx(2, 'A', 'C');
		struct set set;
		void *ctx;

		add(make_set(&set, jit ? "{}" : "{\"jit\":false}"), "rules/a.lua", list_rule);
		set.bundle.lists = &list;
		set.bundle.nlists = 1;
		ctx = load_attached(&set);
		ck_assert_str_eq(evaluate(ctx, &tx).alerts[0].features,
		                 "{\"category\":\"mixer\",\"name\":\"A, mixer\",\"source\":\"here\"}");
		ck_assert_uint_eq(evaluate(ctx, &other).nalerts, 0);
		ops->free(ctx);
	}
}
END_TEST

START_TEST(broken_list_is_refused)
{
	static const char csv[] = "address,category\nnonsense,mixer\n";
	struct cw_bundle_file list = { "lists/labels.csv", csv, sizeof(csv) - 1 };
	struct set set;

	add(make_set(&set, NULL), "rules/a.lua", list_rule);
	set.bundle.lists = &list;
	set.bundle.nlists = 1;
	ck_assert_ptr_nonnull(strstr(load_error(&set), "lists/labels.csv: "));
}
END_TEST

/* A stream with faults, hostile rules and prefetch gives the same verdicts and the same bytes of state with the JIT on
 * and off, and again. */
static uint64_t hash_stream(const char *options, bool prefetch, struct cw_buf *state)
{
	uint64_t hash = 14695981039346656037u;
	struct set set;
	void *ctx;

	cw_state_reset(live);
	add(make_set(&set, options), "rules/a.lua", RULE("x.a",
	    "state = function() return { n = window.count { key = 'from', span = '10m' }, d = window.distinct { key = 'from', "
	    "of = 'to', span = '1h' }, r = stat.robust { of = 'value', warm = 10 }, e = stat.ewma { key = 'to', of = 'gas_price' } } end,",
	    "if tx.from == Z then return end if tx.from == Y then return alert { score = 1 } end "
	    "local t = { a = s.n:add(tx), b = s.d:add(tx), c = s.r:add(tx), d = s.e:add(tx) } local sum = 0 "
	    "for k, v in pairs(t) do sum = sum * 0.37 + v end if sum > 3 then return alert { score = sum / 10, explain = t } end"));
	add(&set, "rules/b.lua", RULE("x.b", COUNT, FIRE_FOR_Y "local n = s.n:add(tx) if n % 7 == 0 then error('n is ' .. n) end "
	    "if n % 31 == 0 then while true do n = n + 1 end end"));
	ctx = load_attached(&set);
	for (uint64_t i = 1; i <= 3000; i++) {
		struct cw_tx tx = rules_tx(i, (uint8_t)('a' + i * i % 17), (uint8_t)('A' + i * 7 % 23));

		tx.value = cw_u256_from_u64(1000000000000000u * (i * i % 1009 + 1));
		tx.gas_price = cw_u256_from_u64(1000000000u * (i % 13 + 1));
		if (prefetch) {
			ops->prefetch(ctx, &tx, 0);
			ops->prefetch(ctx, &tx, 1);
		}
		cw_buf_clear(&out);
		ops->evaluate(ctx, &tx, &out, &running);
		cw_state_mark(live, i, tx.block_number);
		for (size_t k = 0; k < out.len; k++)
			hash = (hash ^ (uint8_t)out.data[k]) * 1099511628211u;
	}
	cw_buf_clear(state);
	cw_buf_add(state, cw_state_base(live), cw_state_used(live));
	ops->free(ctx);
	return hash;
}

START_TEST(verdicts_and_state_do_not_depend_on_the_jit)
{
	struct cw_buf first = CW_BUF_INIT, second = CW_BUF_INIT;
	uint64_t hash = hash_stream("{\"ticks\":50000,\"wall_ms\":0}", false, &first);

	ck_assert(hash_stream("{\"ticks\":50000,\"wall_ms\":0}", true, &second) == hash);
	ck_assert(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	ck_assert(hash_stream("{\"ticks\":50000,\"wall_ms\":0,\"jit\":false}", false, &second) == hash);
	ck_assert(first.len == second.len && memcmp(first.data, second.data, first.len) == 0);
	cw_buf_release(&first);
	cw_buf_release(&second);
}
END_TEST

/* The rules that ship load, and their tests pass. */
START_TEST(shipped_rules_pass_their_tests)
{
	static const char *const names[] = { "fan_in", "fan_out", "gas_spike", "listed_address", "new_wallet", "value_outlier" };
	static char texts[6][65536];
	struct set set;

	make_set(&set, NULL);
	for (int i = 0; i < 6; i++) {
		char path[64];
		FILE *f;
		size_t len;

		snprintf(path, sizeof(path), "rules/%s.lua", names[i]);
		f = fopen(path, "r");
		ck_assert_msg(f != NULL, "run from the top of the repository: %s", path);
		len = fread(texts[i], 1, sizeof(texts[i]) - 1, f);
		texts[i][len] = '\0';
		fclose(f);
		add(&set, names[i], texts[i]);
	}
	ops->free(load(&set));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("evaluator");
	TCase *tc = tcase_create("evaluator");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, report_describes_the_ruleset);
	tcase_add_test(tc, digest_is_of_files_and_parameters);
	tcase_add_test(tc, empty_set_is_quiet);
	tcase_add_test(tc, all_files_or_nothing);
	tcase_add_test(tc, tested_bundle_is_not_tested_again);
	tcase_add_loop_test(tc, wrong_option_is_refused, 0, (int)(sizeof(wrong_options) / sizeof(wrong_options[0])));
	tcase_add_test(tc, alert_carries_what_the_rule_said);
	tcase_add_test(tc, faults_are_told_apart_and_hit_no_other);
	tcase_add_test(tc, stop_word_stops_the_rule_at_work);
	tcase_add_test(tc, disabled_rule_is_skipped);
	tcase_add_test(tc, state_survives_a_reload);
	tcase_add_test(tc, rule_that_was_off_is_given_what_it_missed);
	tcase_add_test(tc, state_of_a_rule_that_went_is_dropped);
	tcase_add_test(tc, candidate_brings_its_state);
	tcase_add_test(tc, rewound_state_gives_the_same_verdicts);
	tcase_add_test(tc, lists_reach_the_rules);
	tcase_add_test(tc, broken_list_is_refused);
	tcase_add_test(tc, verdicts_and_state_do_not_depend_on_the_jit);
	tcase_add_test(tc, shipped_rules_pass_their_tests);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
