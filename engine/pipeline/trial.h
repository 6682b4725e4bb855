/* trial.h - rules judge a stream aside: an evaluator process and an arena of their own, the very code of live traffic.
 *
 * Backtest, explain, warm-up and shadow runs are trials. Nothing of the live engine is touched: the evaluator comes from
 * the same zygote, the arena is the trial's and dies with it, verdicts go to the owner and nowhere else. The same
 * transactions in the same order give the same verdicts as live.
 *
 *   cw_trial_new -> [fill cw_trial_state from a checkpoint] -> cw_trial_load -> ready() -> cw_trial_go
 *                -> cw_trial_submit as room() allows -> verdict() ... -> cw_trial_free
 *
 * Another bundle may be loaded later; what was submitted before cw_trial_go is judged by the old one, what comes after it
 * by the new one, over the same arena. Loop thread only. */
#ifndef CW_PIPELINE_TRIAL_H
#define CW_PIPELINE_TRIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pipeline/supervise.h"

struct cw_err;
struct cw_history;
struct cw_loop;
struct cw_pool;
struct cw_state;
struct cw_trial;
struct cw_verdict;
struct cw_zygote;

struct cw_trial_conf {
	size_t state_bytes;           /* of the arena; sparse: costs what is used. 0: 1 GiB */
	size_t journal_bytes;         /* 0: 16 MiB */
	uint64_t hash_seed;           /* of the arena; does not change verdicts */
	struct cw_supervisor_conf supervisor;   /* zero: defaults */
};

struct cw_trial_fns {
	/* A bundle is loaded and tested; call cw_trial_go. May free the trial. */
	void (*ready)(void *arg, const char *report_json);
	/* In the order of submission; the record without its logs. `bytes` are what the evaluator wrote for this
	 * transaction: equal bytes are equal verdicts. All valid during the call. May submit, must not free the trial. */
	void (*verdict)(void *arg, const struct cw_tx *tx, const struct cw_verdict *v, const void *bytes, size_t len);
	/* At least half of the ring is free again, or nothing is under way, or a bundle has begun its work. May submit, must not free. May be NULL. */
	void (*room)(void *arg);
	/* A rule was switched off within the trial (it hung, or failed too often). May be NULL. */
	void (*quarantined)(void *arg, int rule, const char *reason);
	/* The bundle was refused, or the arena was lost, or evaluators die one after the other. The trial does nothing more.
	 * Once. May free the trial. */
	void (*failed)(void *arg, const struct cw_err *err);
};

/* NULL and an error if memory for the arena is not to be had. */
struct cw_trial *cw_trial_new(struct cw_loop *loop, struct cw_zygote *zygote, const struct cw_trial_conf *conf,
                              const struct cw_trial_fns *fns, void *arg, struct cw_err *err);
/* Also cancels: kills the evaluator, calls nothing back. */
void cw_trial_free(struct cw_trial **trial);

/* The arena. Without a writer, so to be filled or looked at, before the first cw_trial_go. */
struct cw_state *cw_trial_state(struct cw_trial *trial);
/* Starts loading; CW_ERR_BUSY while another bundle is being loaded and not yet at work
 * (cw_trial_active). */
int cw_trial_load(struct cw_trial *trial, const struct cw_bundle *bundle, struct cw_err *err);
/* Puts the bundle that is ready to work. `disabled` are indexes of rules that stay off. */
void cw_trial_go(struct cw_trial *trial, const uint32_t *disabled, int ndisabled);

uint32_t cw_trial_room(const struct cw_trial *trial);
/* Copies; n <= room; seq rises. */
void cw_trial_submit(struct cw_trial *trial, const struct cw_tx *const *txs, uint32_t n);
bool cw_trial_active(const struct cw_trial *trial);               /* what cw_trial_go put to work is at work */
bool cw_trial_idle(const struct cw_trial *trial);                 /* everything submitted has its verdict */
uint64_t cw_trial_seq(const struct cw_trial *trial);              /* of the last verdict; 0: none yet */
int64_t cw_trial_cpu_us(const struct cw_trial *trial);            /* CPU time of its evaluator; -1: none lives */
/* What a rule has done so far, by its index; false: nothing is known. */
bool cw_trial_meter(const struct cw_trial *trial, uint32_t rule, struct cw_rule_meter *out);
int64_t cw_trial_pid(const struct cw_trial *trial);               /* of its evaluator; 0: none */
/* Writes the arena as it was after the last verdict to `path` (state/checkpoint.h). Blocks while it writes. */
int cw_trial_save(struct cw_trial *trial, const uint8_t digest[32], const char *path, struct cw_err *err);

/* --- stored history as the stream --- */

/* Submits the canonical transactions with after < id <= up_to, in the order in which they were evaluated. Call
 * cw_history_step when it was made and from room(). `done` once: all were submitted (verdicts may still be on their
 * way), or err: a page could not be read after several tries. It may free the history. */
typedef void cw_history_fn(void *arg, const struct cw_err *err);
struct cw_history *cw_history_new(struct cw_loop *loop, struct cw_pool *pool, struct cw_trial *trial, uint64_t after,
                                  uint64_t up_to, cw_history_fn *done, void *arg);
void cw_history_free(struct cw_history **history);
void cw_history_step(struct cw_history *history);
uint64_t cw_history_position(const struct cw_history *history);   /* identity of the last one submitted, or `after` */

#endif
