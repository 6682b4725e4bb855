/* evaluate.h - the evaluator as the pipeline sees it: a bundle of sources goes in, verdicts come out.
 *
 * The operations run in the evaluator process (pipeline/supervise.h), on a C stack of 64 MiB and locked in by seccomp
 * before load: no files, no new descriptors, no threads, no signals; memory, futex, clocks and getrandom are all there
 * is, and what is written to stderr becomes the reason in the engine's log. Lua implements them (lua/evaluator.h), and
 * a C implementation serves tests (tests/support/c_evaluator.h). Plugged in by app. */
#ifndef CW_PIPELINE_EVALUATE_H
#define CW_PIPELINE_EVALUATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/tx.h"
#include "pipeline/verdict.h"

struct cw_buf;
struct cw_err;
struct cw_state;

/* Everything a generation of rules is made of, in one block of memory that is copied to the evaluator. */
struct cw_bundle_file { const char *name; const char *text; size_t len; };    /* "rules/fan_out.lua" */
struct cw_bundle {
	struct cw_bundle_file *rules;   int nrules;      /* the files of rules/, sorted by name */
	struct cw_bundle_file *lists;   int nlists;      /* address lists: CSV address,category,name,source */
	const char *params_json;        /* overrides by rule id, from conf/rules.lua; "{}" */
	const char *options_json;       /* budgets: {"ticks","wall_ms","memory_bytes","jit","run_tests"} */
	bool tested;                    /* has passed its tests before: do not run them (a dead evaluator is replaced) */
};

struct cw_evaluator_ops {
	/* Loads, checks and tests. `report` gets the ruleset as JSON: {"digest","rules":[{"index","id","version","sha256",
	 * "severity","status","title","description","tags",...,"tests":n}]}. NULL and an error with file, line and reason
	 * otherwise. The bundle is valid during the call. `scratch` is an empty arena of this process for the rules'
	 * tests, to be reset (cw_state_reset) between them; NULL when the bundle is `tested`. An arena cannot be made in
	 * here: that takes system calls the filter forbids. `scratch` is closed after load. */
	void *(*load)(const struct cw_bundle *bundle, struct cw_state *scratch, struct cw_buf *report, struct cw_err *err);
	/* Attaches the loaded rules to the live arena. Once, right before the first transaction. */
	int (*attach)(void *ctx, struct cw_state *st, struct cw_err *err);
	/* Appends one verdict for the transaction (pipeline/verdict.h). Does not fail: a rule that does is a fault in it.
	 * `running` is where it notes the index of the rule at work (+1; 0 = none), for the supervisor. */
	void (*evaluate)(void *ctx, const struct cw_tx *tx, struct cw_buf *out, volatile uint32_t *running);
	/* Hints that `tx` will come in about 8 (stage 0) and 4 (stage 1) transactions. Must not change state. May be NULL. */
	void (*prefetch)(void *ctx, const struct cw_tx *tx, int stage);
	/* Switches rules off and on by index without a reload (quarantine). */
	void (*set_enabled)(void *ctx, uint32_t rule, bool enabled);
	void (*free)(void *ctx);
	/* Before load: where the supervisor will say that the rule at work must stop soon, because one call has taken
	 * longer than wall_ms. It becomes 1 from outside at any time; guards look at it, and `evaluate` sets it to 0 before
	 * each rule. Nothing raises it during load: tests are bounded by ticks and by load_ms. May be NULL. */
	void (*bind_stop)(volatile int *stop);
};

#endif
