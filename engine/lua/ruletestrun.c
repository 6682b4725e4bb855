/* ruletestrun.c - the tests of a bundle: each rule's run three times, and must say the same each time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "lua/ruletest.h"
#include "pipeline/evaluate.h"

#define NAME_MAX_BYTES 200

/* Names the test and the transaction of the first line in which the traces differ. */
static int refuse_difference(const struct cw_rule *rule, const char *a, const char *b, const char *why,
                             struct cw_err *err)
{
	char name[NAME_MAX_BYTES + 1] = "";
	size_t len;

	for (;;) {
		len = strcspn(a, "\n");
		if (strncmp(a, "test ", 5) == 0)
			snprintf(name, sizeof(name), "%.*s", (int)len - 5, a + 5);
		if (len != strcspn(b, "\n") || memcmp(a, b, len) != 0 || a[len] == '\0' || b[len] == '\0')
			break;
		a += len + 1;
		b += len + 1;
	}
	return cw_err_set(err, CW_ERR_SCRIPT, "%s:%d: %s: test \"%s\": transaction %ld gives another result %s", rule->file,
	                  rule->line, rule->id, name, strtol(a, NULL, 10), why);
}

static int run_rule(struct cw_rules *on, struct cw_rules *off, uint32_t index, struct cw_state *scratch,
                    struct cw_buf traces[3], struct cw_err *err)
{
	struct cw_rule *rule = cw_rules_at(on, index);

	for (int i = 0; i < 3; i++)
		cw_buf_clear(&traces[i]);
	if (cw_ruletest_run(on, rule, scratch, &traces[0], err) != 0 ||
	    cw_ruletest_run(on, rule, scratch, &traces[1], err) != 0 ||
	    cw_ruletest_run(off, cw_rules_at(off, index), scratch, &traces[2], err) != 0)
		return -1;
	if (strcmp(traces[0].data, traces[1].data) != 0)
		return refuse_difference(rule, traces[0].data, traces[1].data,
		                         "when the test runs a second time: the rule keeps values outside of its state", err);
	if (strcmp(traces[0].data, traces[2].data) != 0)
		return refuse_difference(rule, traces[0].data, traces[2].data, "with the JIT off", err);
	return 0;
}

int cw_ruletest_bundle(const struct cw_bundle *bundle, const struct cw_rules_conf *conf, struct cw_state *scratch,
                       struct cw_rules *tell, struct cw_err *err)
{
	struct cw_bundle own = *bundle;
	struct cw_rules_conf with = *conf;
	struct cw_buf traces[3] = { CW_BUF_INIT, CW_BUF_INIT, CW_BUF_INIT };
	struct cw_rules *on, *off = NULL;
	int failed = -1;

	own.params_json = "{}";
	with.wall_us = 0;                 /* a busy machine must not fail a test */
	with.jit = true;
	on = cw_rules_load(&own, &with, err);
	with.jit = false;
	if (on != NULL)
		off = cw_rules_load(&own, &with, err);
	if (on != NULL && off != NULL)
		failed = 0;
	for (uint32_t i = 0; failed == 0 && i < cw_rules_count(on); i++)
		failed = run_rule(on, off, i, scratch, traces, err);
	for (uint32_t i = 0; failed == 0 && tell != NULL && i < cw_rules_count(tell); i++) {
		cw_free(cw_rules_at(tell, i)->fires);
		cw_rules_at(tell, i)->fires = cw_strdup(cw_rules_at(on, i)->fires != NULL ? cw_rules_at(on, i)->fires : "");
	}
	for (int i = 0; i < 3; i++)
		cw_buf_release(&traces[i]);
	cw_rules_free(&on);
	cw_rules_free(&off);
	return failed;
}

/* --- one by one, for people --- */

struct each {
	struct cw_rules *on, *off;
	const struct cw_bundle *bundle;
	const struct cw_rules_conf *conf;
	struct cw_state *scratch;
	cw_ruletest_fn *fn;
	void *arg;
};

/* Once more in a VM that traces; the transaction in question is the first that fired, or the last one. */
static void explain_failure(const struct each *e, int number, const struct cw_ruletest_outcome *was, struct cw_buf *out)
{
	struct cw_rules_conf conf = *e->conf;
	struct cw_buf trace = CW_BUF_INIT;
	struct cw_ruletest_outcome outcome = { .explain_at = was->first > 0 ? was->first : was->transactions, .explain = out };
	struct cw_rules *rules;
	struct cw_err err;

	conf.trace = true;
	conf.wall_us = 0;
	rules = cw_rules_load(e->bundle, &conf, &err);
	if (rules != NULL)
		(void)cw_ruletest_one(rules, cw_rules_at(rules, 0), number, e->scratch, &trace, &outcome, &err);
	cw_rules_free(&rules);
	cw_buf_release(&trace);
}

static void run_one(const struct each *e, int number, const char *filter, int *count)
{
	struct cw_rule *rule = cw_rules_at(e->on, 0);
	struct cw_ruletest_outcome outcome = { .explain_at = 0 }, again = { .explain_at = 0 };
	struct cw_buf traces[3] = { CW_BUF_INIT, CW_BUF_INIT, CW_BUF_INIT }, explain = CW_BUF_INIT;
	int64_t before = cw_clock_mono_us();
	struct cw_err err = { .code = CW_OK };
	int failed = cw_ruletest_one(e->on, rule, number, e->scratch, &traces[0], &outcome, &err);
	int64_t us = cw_clock_mono_us() - before;
	struct cw_ruletest_result result;

	if (filter == NULL || strstr(outcome.name, filter) != NULL) {
		if (failed == 0)
			failed = cw_ruletest_one(e->on, rule, number, e->scratch, &traces[1], &again, &err);
		if (failed == 0)
			failed = cw_ruletest_one(e->off, cw_rules_at(e->off, 0), number, e->scratch, &traces[2], &again, &err);
		if (failed == 0 && strcmp(traces[0].data, traces[1].data) != 0)
			failed = refuse_difference(rule, traces[0].data, traces[1].data,
			                           "when the test runs a second time: the rule keeps values outside of its state", &err);
		if (failed == 0 && strcmp(traces[0].data, traces[2].data) != 0)
			failed = refuse_difference(rule, traces[0].data, traces[2].data, "with the JIT off", &err);
		if (failed != 0 && outcome.transactions > 0)
			explain_failure(e, number, &outcome, &explain);
		result = (struct cw_ruletest_result){
			.file = e->bundle->rules[0].name, .rule = rule->id, .name = outcome.name, .number = number, .line = outcome.line,
			.failed = failed != 0, .message = failed != 0 ? err.msg : "", .transactions = outcome.transactions, .us = us,
			.explain = explain.data, .explained = outcome.first > 0 ? outcome.first : outcome.transactions,
		};
		e->fn(e->arg, &result);
		(*count)++;
	}
	for (int i = 0; i < 3; i++)
		cw_buf_release(&traces[i]);
	cw_buf_release(&explain);
}

static int run_file(const struct each *of, const struct cw_bundle_file *file, const char *rule, const char *filter)
{
	const struct cw_bundle bundle = { .rules = (struct cw_bundle_file *)(uintptr_t)file, .nrules = 1,
		                              .lists = of->bundle->lists, .nlists = of->bundle->nlists, .params_json = "{}" };
	struct each e = *of;
	struct cw_rules_conf conf = *of->conf;
	struct cw_err err = { .code = CW_OK };
	int count = 0;

	e.bundle = &bundle;
	conf.wall_us = 0;
	conf.jit = true;
	e.on = cw_rules_load(&bundle, &conf, &err);
	conf.jit = false;
	e.off = e.on != NULL ? cw_rules_load(&bundle, &conf, &err) : NULL;
	if (e.off == NULL) {
		const struct cw_ruletest_result result = { .file = file->name, .rule = "", .name = "the file loads", .line = 1,
			                                       .failed = true, .message = err.msg, .explain = "" };

		e.fn(e.arg, &result);
		count = 1;
	} else if (rule == NULL || strcmp(rule, cw_rules_at(e.on, 0)->id) == 0) {
		for (int i = 1; i <= cw_rules_at(e.on, 0)->ntests; i++)
			run_one(&e, i, filter, &count);
	}
	cw_rules_free(&e.on);
	cw_rules_free(&e.off);
	return count;
}

int cw_ruletest_each(const struct cw_bundle *bundle, const struct cw_rules_conf *conf, struct cw_state *scratch,
                     const char *rule, const char *filter, cw_ruletest_fn *fn, void *arg)
{
	const struct each e = { .bundle = bundle, .conf = conf, .scratch = scratch, .fn = fn, .arg = arg };
	int count = 0;

	for (int i = 0; i < bundle->nrules; i++)
		count += run_file(&e, &bundle->rules[i], rule, filter);
	return count;
}
