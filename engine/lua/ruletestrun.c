/* ruletestrun.c - the tests of a bundle: each rule's run three times, and must say the same each time. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
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
