/* supervise.h - zygote, evaluator processes, rings: verdicts exactly once, whatever dies.
 *
 * cw_zygote_start() is the first act of main, before configuration and secrets are read. Evaluators are forked from it
 * as children of the engine, get their sources through shared memory, load and test them, lock themselves in with
 * seccomp and work on the state arena. A dead or stuck one is replaced: rewind to the last verdict received, the rule
 * that was running is quarantined, the rest of the ring is evaluated again. See research notes in docs/decisions. */
#ifndef CW_PIPELINE_SUPERVISE_H
#define CW_PIPELINE_SUPERVISE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/evaluate.h"

struct cw_err;
struct cw_loop;
struct cw_state;
struct cw_supervisor;
struct cw_zygote;

/* Forks; call it single-threaded, before anything else. The zygote ends with this process. */
struct cw_zygote *cw_zygote_start(const struct cw_evaluator_ops *ops, struct cw_err *err);
void cw_zygote_stop(struct cw_zygote **zygote);

struct cw_supervisor_conf {
	uint32_t ring_slots;          /* transactions in flight, 4096 */
	int64_t hang_ms;              /* no progress for this long: kill, 500 */
	int quarantine_after;         /* faults of one rule since it was loaded, 0: never */
	int64_t load_ms;              /* for loading and testing a generation, 30000 */
};

/* A verdict as bytes, in the order of submission. */
typedef void cw_verdict_fn(void *arg, uint64_t seq, const void *bytes, size_t len);
typedef void cw_load_fn(void *arg, const char *report_json, const struct cw_err *err);
/* Told about each change: a rule was quarantined, an evaluator was replaced, or the arena had to be dropped (then the
 * owner replays history before it submits again). */
enum cw_supervisor_event { CW_EVALUATOR_REPLACED, CW_RULE_QUARANTINED, CW_STATE_LOST };
typedef void cw_supervisor_event_fn(void *arg, enum cw_supervisor_event event, int rule, const char *reason);

struct cw_supervisor *cw_supervisor_new(struct cw_loop *loop, struct cw_zygote *zygote, struct cw_state *st,
                                        const struct cw_supervisor_conf *conf, cw_verdict_fn *on_verdict,
                                        cw_supervisor_event_fn *on_event, void *arg, struct cw_err *err);
void cw_supervisor_free(struct cw_supervisor **supervisor);

/* Starts a new evaluator aside with this bundle. When it is loaded and tested, `fn` gets the report and the evaluator
 * waits for cw_supervisor_activate (which makes it the live one at a batch boundary; the old one exits) or
 * cw_supervisor_discard. One load at a time: CW_ERR_BUSY. */
int cw_supervisor_load(struct cw_supervisor *s, const struct cw_bundle *bundle, cw_load_fn *fn, void *arg,
                       struct cw_err *err);
/* `disabled` lists rule indexes that start quarantined. */
void cw_supervisor_activate(struct cw_supervisor *s, const uint32_t *disabled, int ndisabled);
void cw_supervisor_discard(struct cw_supervisor *s);

/* Free slots in the ring. */
uint32_t cw_supervisor_room(const struct cw_supervisor *s);
/* Copies the transactions (their seq must rise) and wakes the evaluator; n <= room. */
void cw_supervisor_submit(struct cw_supervisor *s, const struct cw_tx *const *txs, uint32_t n);
/* Switches a rule of the live generation. */
void cw_supervisor_enable(struct cw_supervisor *s, uint32_t rule, bool enabled);
bool cw_supervisor_ready(const struct cw_supervisor *s);   /* an evaluator is live */
struct cw_supervisor_stats { uint64_t replaced, hangs, submitted, verdicts; int64_t pid; };
struct cw_supervisor_stats cw_supervisor_stats(const struct cw_supervisor *s);

#endif
