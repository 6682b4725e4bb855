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

#endif
