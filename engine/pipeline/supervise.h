/* supervise.h - zygote, evaluator processes, rings: verdicts exactly once, whatever dies.
 *
 * cw_zygote_start() is the first act of main, before configuration and secrets are read. Evaluators are forked from it
 * as children of the engine, get their sources through shared memory, load and test them, lock themselves in with
 * seccomp and work on the state arena. A dead or stuck one is replaced: rewind to the last verdict received, the rule
 * that was running is quarantined, the rest of the ring is evaluated again.
 *
 * What death means: SIGKILL, a hang (then killed) or an exit leave an arena that the undo log repairs. SIGSEGV, SIGBUS,
 * SIGILL, SIGFPE, SIGABRT, SIGSYS or a log that makes no sense: the arena is not trusted, see CW_STATE_LOST. The rule that
 * was running is quarantined at once, but for a SIGKILL that was not ours (out of memory, an operator) and for a process that
 * stood still without using CPU time (SIGSTOP): only when it strikes twice in a row while the same rule works, for 20 ms or
 * more, on the same transaction.
 *
 * Loop thread only. Callbacks come from the loop, never from within a call, and must not free the supervisor. */
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

/* Forks; call it single-threaded, before anything else. The zygote ends with this process (with the thread that
 * called, to be exact), and evaluators do. `ops` must stay valid. One zygote serves any number of supervisors. */
struct cw_zygote *cw_zygote_start(const struct cw_evaluator_ops *ops, struct cw_err *err);
/* Lets it be started again should it die: from this very program, with the arguments "--zygote FD", upon which main calls
 * cw_zygote_main. Right after cw_zygote_start. */
#define CW_ZYGOTE_OPTION "--zygote"
void cw_zygote_keep_program(struct cw_zygote *zygote);
_Noreturn void cw_zygote_main(int fd, const struct cw_evaluator_ops *ops);
void cw_zygote_stop(struct cw_zygote **zygote);

struct cw_supervisor_conf {
	uint32_t ring_slots;          /* transactions in flight, 4096 */
	int64_t hang_ms;              /* no progress for this long: kill, 500 */
	int64_t wall_ms;              /* one rule call longer than this gets the stop flag, 50; 0: never */
	int quarantine_after;         /* faults of one rule since it was loaded, 0: never */
	int64_t load_ms;              /* for loading and testing a generation, 30000 */
	size_t scratch_bytes;         /* arena for the rules' tests, 256 MiB */
};
extern const struct cw_supervisor_conf cw_supervisor_conf_default;

/* A verdict as bytes, in the order of submission; cw_verdict_read will not fail on them. */
typedef void cw_verdict_fn(void *arg, uint64_t seq, const void *bytes, size_t len);
/* Once: the report, or the reason why not. */
typedef void cw_load_fn(void *arg, const char *report_json, const struct cw_err *err);
enum cw_supervisor_event {
	CW_EVALUATOR_REPLACED,        /* `reason` is what ended the old one; the new one is at work */
	CW_RULE_QUARANTINED,          /* `rule` is switched off until cw_supervisor_enable or a new generation */
	CW_STATE_LOST,                /* the arena has been reset and the ring is empty. No evaluator lives during the call:
	                               * restore a checkpoint here, or cw_supervisor_pause and do it later. Then submit
	                               * history again, and after it what was submitted and has no verdict yet. */
	CW_ACTIVATED,                 /* the new generation is at work: verdicts from here on are its */
	CW_ACTIVATION_FAILED,         /* it could not attach: the old generation goes on */
};
/* `rule` is an index in the live generation, or -1. */
typedef void cw_supervisor_event_fn(void *arg, enum cw_supervisor_event event, int rule, const char *reason);

/* `conf` is copied; 0 in ring_slots, hang_ms, load_ms or scratch_bytes takes the default. */
struct cw_supervisor *cw_supervisor_new(struct cw_loop *loop, struct cw_zygote *zygote, struct cw_state *st,
                                        const struct cw_supervisor_conf *conf, cw_verdict_fn *on_verdict,
                                        cw_supervisor_event_fn *on_event, void *arg, struct cw_err *err);
/* Kills and reaps the evaluators, calls nothing back. The arena is left at the last verdict received. */
void cw_supervisor_free(struct cw_supervisor **supervisor);
/* Takes over all but ring_slots. */
void cw_supervisor_reconfigure(struct cw_supervisor *s, const struct cw_supervisor_conf *conf);

/* Starts a new evaluator aside with this bundle (one that is `tested` is not tested again). When it is loaded and tested, `fn` gets the report and the evaluator
 * waits for cw_supervisor_activate (which makes it the live one at a batch boundary; the old one exits) or
 * cw_supervisor_discard. One load at a time, until it is activated for good: CW_ERR_BUSY. */
int cw_supervisor_load(struct cw_supervisor *s, const struct cw_bundle *bundle, cw_load_fn *fn, void *arg,
                       struct cw_err *err);
/* The bundle of the live generation, as it was loaded: texts in a mapping, to be released with both. -1: none is live. */
int cw_supervisor_bundle(const struct cw_supervisor *s, struct cw_bundle *bundle, void **bytes, size_t *size);
/* `disabled` lists rule indexes that start quarantined. What was submitted before is judged by the old generation, what
 * comes after by the new: CW_ACTIVATED (or CW_ACTIVATION_FAILED) is told between the two. */
void cw_supervisor_activate(struct cw_supervisor *s, const uint32_t *disabled, int ndisabled);
/* Kills what was loaded and not activated; its `fn` is not called any more. */
void cw_supervisor_discard(struct cw_supervisor *s);

/* Ends the evaluator when everything submitted so far has its verdict, then calls `fn`: no evaluator lives, the arena
 * is the owner's to rewind, restore or reset. What is submitted meanwhile waits in the ring. One pause at a time. */
void cw_supervisor_pause(struct cw_supervisor *s, void (*fn)(void *arg), void *arg);
void cw_supervisor_resume(struct cw_supervisor *s);

/* Free slots in the ring. */
uint32_t cw_supervisor_room(const struct cw_supervisor *s);
/* Copies the transactions (their seq must rise) and wakes the evaluator; n <= room. */
void cw_supervisor_submit(struct cw_supervisor *s, const struct cw_tx *const *txs, uint32_t n);
/* Switches a rule of the live generation; read by the evaluator before its next batch. Enabling forgets its faults. */
void cw_supervisor_enable(struct cw_supervisor *s, uint32_t rule, bool enabled);
/* What has been counted for a rule of the live generation, by all evaluators it has had. False: none is live. */
bool cw_supervisor_meter(const struct cw_supervisor *s, uint32_t rule, struct cw_rule_meter *out);
/* Told instead of the verdict function for what was submitted with CW_TX_WARM. Such transactions may have any seq and
 * leave that of the arena as it is. */
typedef void cw_warmed_fn(void *arg, uint64_t seq);
void cw_supervisor_on_warmed(struct cw_supervisor *s, cw_warmed_fn *fn);
/* An evaluator is live, or its successor is on its way and has not failed several times. */
bool cw_supervisor_ready(const struct cw_supervisor *s);
struct cw_supervisor_stats {
	uint64_t replaced, hangs, stops;       /* evaluators that died; of these stuck; rule calls given the stop flag */
	uint64_t lost;                         /* arenas dropped */
	uint64_t submitted, verdicts;
	int64_t pid;                           /* of the live evaluator, 0: none */
};
struct cw_supervisor_stats cw_supervisor_stats(const struct cw_supervisor *s);

#endif
