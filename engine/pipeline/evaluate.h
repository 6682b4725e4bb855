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
	const char *fires_json;         /* then: what they fired on, {SHA-256 of a rule's text: [...]}; NULL: not known */
};

/* In cw_tx.has, between engine and evaluator alone: this transaction is history that rules still lack (see `warm`), or,
 * with both, a mark without a transaction: there is no history up to its seq that they have not been given. */
#define CW_TX_WARM (1u << 30)
#define CW_TX_WARM_END (1u << 31)

/* What the evaluator counts for each rule, in memory that the engine reads. Sampled: the time of one call in 16. */
#define CW_METER_BUCKETS 12
#define CW_METER_SAMPLE 16u
struct cw_rule_meter {
	uint64_t calls, fires;
	uint64_t faults[6];             /* by enum cw_rule_fault_kind; [0] is unused */
	uint64_t ticks;
	uint64_t sampled, sampled_ns;
	uint64_t buckets[CW_METER_BUCKETS];   /* of sampled calls: up to cw_meter_bounds_ns[i], the last without a bound */
	uint64_t warmed;                /* transactions of history */
	uint64_t gap;                   /* the first seq that its state may lack; 0: it lacks nothing. Not a count */
	uint64_t from;                  /* it judges what comes after this seq; 0: not known. Not a count */
	uint32_t owner;                 /* of its state in the arena; 0: none. Not a count */
};
extern const uint64_t cw_meter_bounds_ns[CW_METER_BUCKETS - 1];
/* Adds the counts of `from`; takes over what is none. */
void cw_meter_add(struct cw_rule_meter *meter, const struct cw_rule_meter *from);
void cw_meter_subtract(struct cw_rule_meter *meter, const struct cw_rule_meter *from);   /* counts only */

#define CW_PREFETCH_STAGES 3

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
	/* Hints that `tx` will come in about 9 (stage 0), 6 (1) and 3 (2) transactions. Must not change state. May be NULL. */
	void (*prefetch)(void *ctx, const struct cw_tx *tx, int stage);
	/* Switches rules off and on by index without a reload (quarantine). One that was off lacks what it has not seen: it
	 * is warmed with it before it judges again. */
	void (*set_enabled)(void *ctx, uint32_t rule, bool enabled);
	void (*free)(void *ctx);
	/* Before load: where the supervisor will say that the rule at work must stop soon, because one call has taken
	 * longer than wall_ms. It becomes 1 from outside at any time; guards look at it, and `evaluate` sets it to 0 before
	 * each rule. Nothing raises it during load: tests are bounded by ticks and by load_ms. May be NULL. */
	void (*bind_stop)(volatile int *stop);
	/* Before load: where to count, CW_RULES_MAX meters, all zero. May be NULL. */
	void (*bind_meters)(struct cw_rule_meter *meters);
	/* History for rules whose state lacks it: those that have not seen this seq take it in, their alerts are dropped.
	 * A rule that has seen what the last `evaluate` gave is warm and takes part from then on; `end` says that there is
	 * nothing more up to tx->seq, whatever became of the transactions in between. May be NULL. */
	void (*warm)(void *ctx, const struct cw_tx *tx, bool end, volatile uint32_t *running);
};

#endif
