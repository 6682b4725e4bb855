/* rulestate.h - what a generation of rules finds in the arena: whose state is whose, how complete it is, and what nobody
 * wants any more.
 *
 * Each rule with state, and each candidate, has a record in the arena: the version that last used it, how each of its states was declared,
 * and up to which transaction they are complete. So state that is left behind can be dropped by any later generation
 * (state with a gap in it must not be found again: it would give other verdicts than a replay), a rule whose state
 * begins empty knows what it lacks, and a candidate whose version goes live brings its state with it. All of it is
 * journaled like other state: rewind, crash repair and checkpoints need nothing more. */
#ifndef CW_LUA_RULESTATE_H
#define CW_LUA_RULESTATE_H

#include <stdbool.h>
#include <stdint.h>

struct cw_err;
struct cw_rule;
struct cw_rules;
struct cw_state;

/* Before the rules are opened. A live rule whose very version was the candidate takes over the candidate's state. State
 * that no rule of this generation declares is dropped; so is all state of a rule that declares some that is not there,
 * for history goes to all of a rule's states or to none. */
void cw_rulestate_tidy(struct cw_rules *rules, struct cw_state *st);
/* Opens the states of a rule; sets `record` and `warming`. */
int cw_rulestate_open(struct cw_rules *rules, struct cw_rule *rule, struct cw_state *st, struct cw_err *err);

/* How far the state of a rule is complete: up to a seq, which only ever rises, or wholly. */
#define CW_RULESTATE_COMPLETE UINT64_MAX
uint64_t cw_rulestate_seen(const struct cw_rule *rule);
void cw_rulestate_set_seen(struct cw_rule *rule, struct cw_state *st, uint64_t seq);
/* The seq after which this version judges; 0 where nobody keeps that. */
uint64_t cw_rulestate_from(const struct cw_rule *rule);
void cw_rulestate_set_from(struct cw_rule *rule, struct cw_state *st, uint64_t seq);
uint32_t cw_rulestate_owner(const struct cw_rule *rule);

#endif
