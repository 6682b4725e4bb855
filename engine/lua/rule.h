/* rule.h - the rules of one generation in one VM: declarations read and checked, bound to state, run.
 *
 * A file of rules/ returns one `rule { ... }`: data, `evaluate`, perhaps `state`, and tests. What may stand in it, with
 * all limits, is on one page in rules/README.md. Everything wrong is an error with file, line and key. A set is made
 * from a bundle, attached to one arena, and evaluates one transaction at a time; rules see the transaction through a
 * read-only view and their state through the primitives of detect/primitive.h. */
#ifndef CW_LUA_RULE_H
#define CW_LUA_RULE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "lua/vm.h"
#include "pipeline/verdict.h"

struct cw_bundle;
struct cw_err;
struct cw_json;
struct cw_rule_bind;
struct cw_rules;
struct cw_state;
struct cw_tx;

enum cw_rule_status { CW_RULE_STABLE = 0, CW_RULE_EXPERIMENTAL, CW_RULE_SHADOW };
const char *cw_rule_status_name(enum cw_rule_status status);

/* A candidate runs beside the live version of its rule, with state of its own; its alerts are shadow whatever its status
 * says. It is a file of the folder candidates/, or one with status "shadow" where another file has the rule live. */
enum cw_rule_role { CW_RULE_LIVE = 0, CW_RULE_CANDIDATE };
#define CW_RULE_CANDIDATES "candidates/"
#define CW_RULE_PROMOTED "promoted/"     /* its text may say "shadow" still */

struct cw_rule_texts { char **items; int n; };

struct cw_rule {
	uint32_t index;
	char *file;                       /* "rules/fan_out.lua" */
	int line, alert_line, when_line;  /* of `rule {`, of the first `alert {` in it, of `when` */
	char *id, *version, *title, *description;
	enum cw_severity severity;
	enum cw_rule_status status;
	enum cw_rule_role role;
	char space[65];                   /* of its state: its id, "~" in front for a candidate */
	struct cw_rule_texts references, false_positives, tags;
	char sha256[65];                  /* of the file's text */
	bool expects;                     /* per_day: */
	double expect_min, expect_max;    /* alerts a day that are ordinary */
	int64_t cooldown_s;               /* of its alerts, see pipeline/living.h */
	bool has_role;                    /* else it is derived from the address that an alert is about */
	enum cw_alert_role default_role;
	int ntests;
	char *fires;                      /* what its tests fired on: objects "chain", "from", "to", "dedup", with commas between;
	                                   * NULL: they have not run */
	int nfires;
	bool investigates;                /* has `investigate`, which the scripts VM runs */
	bool enabled;
	struct cw_rule_record *record;    /* in the arena: how complete its state is; NULL: it has none (lua/rulestate.h) */
	bool warming;                     /* it lacks history: it does not judge */
	/* Lua registry references */
	int evaluate, state, params, when, tests;
	struct cw_rule_bind *live;        /* with the configured parameters */
};

struct cw_rules_conf {
	int64_t ticks;                    /* of one rule on one transaction */
	int64_t wall_us;                  /* the same by the clock; 0: no limit */
	size_t memory_bytes;              /* soft limit of the VM */
	size_t state_bytes;               /* cap of one rule's state in the arena; 0: none */
	bool jit;
	bool trace;                       /* notes what rules do (lua/trace.h); the JIT is off then */
	bool loose_params;                /* overrides for rules that are not there are passed over, not refused */
};
extern const struct cw_rules_conf cw_rules_conf_default;   /* 1,000,000 ticks, 50 ms, 64 MiB, no cap, JIT on */

/* Loads all files or none, checks the parameters of bundle->params_json against the defaults, binds states. Neither
 * the tests run nor is an arena touched. */
struct cw_rules *cw_rules_load(const struct cw_bundle *bundle, const struct cw_rules_conf *conf, struct cw_err *err);
void cw_rules_free(struct cw_rules **rules);

uint32_t cw_rules_count(const struct cw_rules *rules);
struct cw_rule *cw_rules_at(const struct cw_rules *rules, uint32_t index);
struct cw_vm *cw_rules_vm(const struct cw_rules *rules);
const struct cw_rules_conf *cw_rules_conf(const struct cw_rules *rules);

/* Opens the states of all rules in the arena: found again by "<space>/<state name>" and digest, else made. */
int cw_rules_attach(struct cw_rules *rules, struct cw_state *st, struct cw_err *err);

/* Makes `tx` the current transaction: what the view shows and primitives read. Copied. */
void cw_rules_set_tx(struct cw_rules *rules, const struct cw_tx *tx);
void cw_rules_prefetch(struct cw_rules *rules, const struct cw_tx *tx, int stage);
/* Bit i % 64 of word i / 64: the conditions of rule i hold for the current transaction, or it is to be explained why
 * they do not (conf.trace). */
uint64_t cw_rules_wanted(const struct cw_rules *rules, uint32_t word);

/* What one rule said about the current transaction. Valid until the next call. */
struct cw_rule_result {
	enum { CW_RULE_QUIET = 0, CW_RULE_ALERTED, CW_RULE_FAILED } kind;
	bool skipped;                     /* quiet because its `when` did not hold: it was not called */
	struct cw_alert alert;            /* says which living alert it founds or continues */
	struct cw_rule_fault fault;
	int64_t ticks;
};
bool cw_rule_is_shadow(const struct cw_rule *rule);
void cw_rule_run(struct cw_rules *rules, struct cw_rule_bind *bind, struct cw_rule_result *result);

/* Tells the time of every call of a state, with the clock's own cost in it. Only without the JIT (conf.jit false), whose
 * code calls states directly. */
typedef void cw_rule_call_fn(void *arg, const char *state, const char *table, const char *primitive, const char *method,
                             uint64_t ns);
void cw_rules_on_call(struct cw_rules *rules, cw_rule_call_fn *fn, void *arg);

/* Appends as one JSON object how the result came about: rule, version, outcome (alert, quiet, skipped, fault), params,
 * states with their options, the conditions of `when`, and the trace of the call (conf.trace). */
void cw_rule_explain(struct cw_rules *rules, struct cw_rule_bind *bind, const struct cw_rule_result *result,
                     struct cw_buf *out);

/* Appends the JSON object of one rule to the report of a ruleset: index, id, version, sha256, severity, status, title,
 * description, references, false_positives, tags, file, params (in force), states with primitive and digest, tests. */
void cw_rule_describe(struct cw_rules *rules, const struct cw_rule *rule, struct cw_buf *out);

/* --- bindings: a rule with its parameters and states (lua/rulebind.c) --- */

/* Takes a table of parameter overrides (or nil) off the stack, runs state(p), makes the views `s` and `p`. */
struct cw_rule_bind *cw_rule_bind_new(struct cw_rules *rules, struct cw_rule *rule, struct cw_err *err);
void cw_rule_bind_free(struct cw_rules *rules, struct cw_rule_bind **bind);
/* Opens its states in the arena; on failure none is open. */
int cw_rule_bind_open(struct cw_rules *rules, struct cw_rule_bind *bind, struct cw_state *st, struct cw_err *err);
void cw_rule_bind_close(struct cw_rule_bind *bind);      /* handles only; the state stays */
void cw_rule_bind_push(struct cw_rules *rules, const struct cw_rule_bind *bind);   /* evaluate, tx, s, p */
void cw_rule_bind_describe(struct cw_rules *rules, const struct cw_rule_bind *bind, struct cw_buf *out);

/* Pushes a JSON value as Lua value (null as nil). */
void cw_lua_push_json(struct lua_State *L, const struct cw_json *value);

#endif
