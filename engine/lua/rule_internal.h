/* rule_internal.h - what rule.c, ruledecl.c, rulebind.c and ruletest.c share; nobody else includes it. */
#ifndef CW_LUA_RULE_INTERNAL_H
#define CW_LUA_RULE_INTERNAL_H

#include <lua.h>

#include "chain/tx.h"
#include "detect/primitive.h"
#include "lua/rule.h"
#include "lua/rulewhen.h"

#define CW_RULES_MAGIC 0x72756c65u
#define CW_RULE_NUMBERS 17            /* numeric fields of the view, in the order of `store` in rules.lua */
#define CW_RULE_LOG_TEXT_MAX 96       /* of a text field of a log: 78 digits */
#define CW_RULE_STATES_MAX 32         /* of one rule */
#define CW_RULE_STATE_NAME 30

/* Registry references to what rules.lua returned and to marks. */
struct cw_rule_refs {
	int tx, fill, method, strict, assigned;
	int fields;                       /* names of all fields of the view, as keys */
	int token;                        /* what rule{} returns */
	int alert;                        /* metatable of what alert{} returns */
	int spec;                         /* metatable of what tx{} and txs{} return */
	int each;                         /* the mark `each` */
};

/* What is known of a transaction before it is judged: made when it is first prefetched, used again until then. */
#define CW_RULE_PLANS 16              /* more than prefetch looks ahead */
#define CW_RULE_WORDS (CW_RULES_MAX / 64)
struct cw_rule_plan {
	uint64_t seq;
	struct cw_hash hash;
	double numbers[CW_RULE_NUMBERS];
	struct cw_when_view view;
	uint64_t wanted[CW_RULE_WORDS];       /* bit i: the conditions of rule i hold */
};

/* A state that can be prefetched; those of rule i stand from first_fetch[i] up to first_fetch[i + 1]. */
struct cw_rule_fetch {
	void (*fn)(void *handle, const struct cw_tx *tx, int stage);
	void *handle;
};

struct cw_rules {
	uint32_t magic;
	struct cw_vm *vm;
	struct cw_rules_conf conf;
	struct cw_rule *rules;
	uint32_t n;
	struct cw_rule *loading;          /* the file at work, and its text */
	const char *text;
	size_t text_len;
	struct cw_rule_refs refs;
	struct cw_tx tx;
	double numbers[CW_RULE_NUMBERS];
	struct cw_when_view view;
	struct cw_rule_plan plans[CW_RULE_PLANS];
	uint64_t always[CW_RULE_WORDS];       /* rules without conditions */
	struct cw_when_hint *hints;           /* by rule */
	struct cw_rule_fetch *fetches;        /* while states are open */
	uint32_t first_fetch[CW_RULES_MAX + 1];
	const struct cw_rule_plan *plan;      /* of `tx` */
	struct cw_vm_report report;
	struct cw_trace *trace;           /* NULL: none */
	cw_rule_call_fn *on_call;         /* told of each call of a state; NULL: nobody */
	void *call_arg;
	struct cw_buf features, explanation, labels;
	char dedup[CW_VERDICT_DEDUP_MAX + 1];
	char message[CW_VERDICT_MESSAGE_MAX + 1];
};

/* One state of a bound rule. Its address is known to compiled code: it does not move. */
struct cw_rule_state {
	void *handle;                     /* first: what the methods get */
	char name[CW_RULE_STATE_NAME + 1];
	const struct cw_primitive *primitive;
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	char *texts;                      /* that vals point into */
	uint8_t digest[16];
};

struct cw_rule_bind {
	struct cw_rule *rule;
	int s, p, params;                 /* views for the rule; the table behind p */
	int when_table;                   /* what `when` came to, for reports */
	struct cw_when *when;
	struct cw_rule_state *states[CW_RULE_STATES_MAX];
	int nstates;
	struct cw_living *living;         /* while it is open */
};

/* The numbers of a transaction, in the order of `store` in rules.lua; NaN where it lacks one. */
void cw_rules_numbers(const struct cw_tx *tx, double out[CW_RULE_NUMBERS]);
/* The plan of a transaction. Its view points to `tx`. */
struct cw_rule_plan *cw_rules_plan(struct cw_rules *rules, const struct cw_tx *tx);
static inline bool cw_rule_plan_wants(const struct cw_rule_plan *plan, uint32_t rule)
{
	return (plan->wanted[rule / 64] >> (rule % 64) & 1) != 0;
}
/* Opens rules.lua and exposes everything rules see. In protected mode. */
void cw_rulebind_open(struct cw_rules *rules, lua_State *L);
/* What rules.lua needs for the logs, into the table on the stack (rulelogs.c). */
void cw_rulelogs_host(struct cw_rules *rules, lua_State *L);
void cw_rulelogs_open(lua_State *L);                              /* `compare_amounts` */
/* `rule`, `alert`. */
void cw_ruledecl_open(struct cw_rules *rules, lua_State *L);
/* `tx`, `txs`, `each`, A .. Z. */
void cw_ruletest_open(struct cw_rules *rules, lua_State *L);
/* Checks the list of tests at `index` of the rule that is loaded; returns their number. Raises. */
int cw_ruletest_check(struct cw_rules *rules, lua_State *L, int index);

/* Is it what tx{} or txs{} returned? */
bool cw_ruletest_is_spec(const struct cw_rules *rules, lua_State *L, int index);
/* Appends the value on top to the list at `list`, lists in it one after another; popped. */
void cw_ruletest_flatten(const struct cw_rules *rules, lua_State *L, int list, int depth);
int cw_ruletest_seq(lua_State *L);

/* Runs a C function in protected mode under the budget of loading; `job` is its only argument. */
int cw_rules_protected(struct cw_rules *rules, lua_CFunction fn, void *job, struct cw_err *err);
/* Puts the place of the rule in front of a message that does not name it. Returns -1. */
int cw_rule_name_file(struct cw_err *err, const struct cw_rule *rule);

/* " (did you mean "x"?)" or "": among the text keys of the table at `index`. In a static buffer. */
const char *cw_rule_suggest_key(lua_State *L, const char *word, int index);
const char *cw_rule_suggest(const char *word, const char *const *names);
/* Whether the table at `index` has a key that is not in `names` (ends with NULL). */
struct cw_rule_bad_key { char key[64], what[160]; };
bool cw_rule_find_bad_key(lua_State *L, int index, const char *const *names, struct cw_rule_bad_key *bad);
/* The line at or after `after` in which `word` stands before `{`, `(` or `=` for the nth time; `after` if it does not.
 * Comments do not count. */
int cw_rule_find_line(const char *text, size_t len, const char *word, int after, int nth);

/* Keys of `rule { }` and `alert { }`, and of the tables in tests; each list ends with NULL. */
extern const char *const cw_rule_keys[], *const cw_rule_alert_keys[];
extern const char *const cw_ruletest_test_keys[], *const cw_ruletest_expect_keys[], *const cw_ruletest_tx_keys[];
extern const char *const cw_ruletest_txs_keys[];
/* A duration ("1h", or a number of seconds) at `index`, for alerts to live on; false: it is none, or out of bounds. */
bool cw_rule_read_cooldown(lua_State *L, int index, int64_t *out);

struct cw_rules *cw_rules_of(lua_State *L);

#endif
