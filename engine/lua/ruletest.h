/* ruletest.h - the tests a rule carries, run under a virtual clock on an empty arena.
 *
 * `given` is a list of transactions made by tx { ... } and txs { n = ..., ... }; `expect` is "quiet", "alert" or a table
 * with exact counts. Tests run with the rule's own defaults, whatever is configured, so that a rule is right or wrong by
 * itself; `params` in a test overrides them. Every test runs with the JIT on, again in the same VM, and with the JIT
 * off: any difference is refused. rules/README.md has the whole of it. */
#ifndef CW_LUA_RULETEST_H
#define CW_LUA_RULETEST_H

#include "lua/rule.h"

struct cw_bundle;
struct cw_buf;
struct cw_err;
struct cw_state;

/* Runs all tests of all rules of the bundle in VMs of their own, and notes in `tell` (the same rules, or NULL) what they
 * fired on. `scratch` is reset for each test and left in some state. -1 and CW_ERR_SCRIPT "file:line: rule: test "name": reason" at the first that fails. */
int cw_ruletest_bundle(const struct cw_bundle *bundle, const struct cw_rules_conf *conf, struct cw_state *scratch,
                       struct cw_rules *tell, struct cw_err *err);

/* Runs the tests of one rule. Appends to `trace` a line for each transaction with everything the rule said; two runs
 * are equal if their traces are. */
int cw_ruletest_run(struct cw_rules *rules, struct cw_rule *rule, struct cw_state *scratch, struct cw_buf *trace,
                    struct cw_err *err);

/* One test, by its number from 1. */
struct cw_ruletest_outcome {
	uint64_t explain_at;              /* given: the transaction that is explained; 0: none */
	struct cw_buf *explain;           /* gets the JSON of cw_rule_explain */
	char name[201];
	int line, fires;
	uint64_t transactions, first;     /* made; the number of the first that fired, 0: none */
};
int cw_ruletest_one(struct cw_rules *rules, struct cw_rule *rule, int number, struct cw_state *scratch,
                    struct cw_buf *trace, struct cw_ruletest_outcome *outcome, struct cw_err *err);

/* What became of a test, in the words of `chainwatch rules test`. A file that does not load is one failure with number 0. */
struct cw_ruletest_result {
	const char *file;                 /* the bundle's; what follows lives until the callback returns */
	const char *rule, *name;
	int number, line;
	bool failed;
	const char *message;              /* "file:line: ..."; "" */
	uint64_t transactions;
	int64_t us;
	const char *explain;              /* of a test that failed: what the rule saw on the transaction in question, JSON; "" */
	uint64_t explained;               /* which transaction that is */
};
typedef void cw_ruletest_fn(void *arg, const struct cw_ruletest_result *result);
/* Runs the tests of each file of the bundle by itself, those of `rule` (NULL: all) whose name contains `filter` (NULL: all),
 * three times as cw_ruletest_bundle does. Returns how many there were. */
int cw_ruletest_each(const struct cw_bundle *bundle, const struct cw_rules_conf *conf, struct cw_state *scratch,
                     const char *rule, const char *filter, cw_ruletest_fn *fn, void *arg);

#endif
