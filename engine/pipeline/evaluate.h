/* evaluate.h - the evaluator as the pipeline sees it: a bundle of sources goes in, verdicts come out.
 *
 * The operations run in the evaluator process (pipeline/supervise.h); Lua implements them (lua/evaluator.h), and a C
 * implementation serves tests. Plugged in by app. */
#ifndef CW_PIPELINE_EVALUATE_H
#define CW_PIPELINE_EVALUATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/tx.h"

struct cw_buf;
struct cw_err;
struct cw_state;

/* Everything a generation of rules is made of, in one block of memory that is copied to the evaluator. */
struct cw_bundle_file { const char *name; const char *text; size_t len; };    /* "rules/fan_out.lua" */
struct cw_bundle {
	struct cw_bundle_file *rules;   int nrules;      /* rules/*.lua, sorted by name */
	struct cw_bundle_file *lists;   int nlists;      /* address lists: CSV address,category,name,source */
	const char *params_json;        /* overrides by rule id, from conf/rules.lua; "{}" */
	const char *options_json;       /* budgets: {"ticks","wall_ms","memory_bytes","jit","run_tests"} */
};

struct cw_evaluator_ops {
	/* Loads, checks and tests. `report` gets the ruleset as JSON: {"digest","rules":[{"index","id","version","sha256",
	 * "severity","status","title","description","tags",...,"tests":n}]}. NULL and an error with file, line and reason
	 * otherwise. Called in a process that has no secrets; may use CPU and memory, no files. */
	void *(*load)(const struct cw_bundle *bundle, struct cw_buf *report, struct cw_err *err);
	/* Attaches the loaded rules to the live arena (after load used private arenas for tests). */
	int (*attach)(void *ctx, struct cw_state *st, struct cw_err *err);
	/* Appends one verdict for the transaction (pipeline/verdict.h). Does not fail: a rule that does is a fault in it.
	 * `running` is where it notes the index of the rule at work (+1; 0 = none), for the supervisor. */
	void (*evaluate)(void *ctx, const struct cw_tx *tx, struct cw_buf *out, volatile uint32_t *running);
	void (*prefetch)(void *ctx, const struct cw_tx *tx, int stage);
	/* Switches rules off and on by index without a reload (quarantine). */
	void (*set_enabled)(void *ctx, uint32_t rule, bool enabled);
	void (*free)(void *ctx);
	/* Asked from another thread or a signal handler: make the rule that is running stop soon. */
	void (*interrupt)(void);
};

#endif
