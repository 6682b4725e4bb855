/* evaluator.h - one evaluator process as the engine sees it: start, turn, kill, and what it died of.
 *
 * Owned by the supervisor. Everything read from the shared page is checked here: the other side ran scripts. */
#ifndef CW_PIPELINE_EVALUATOR_H
#define CW_PIPELINE_EVALUATOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "pipeline/evaluator_child.h"

struct cw_buf;
struct cw_evaluator;
struct cw_zygote;

struct cw_evaluator_start {
	struct cw_zygote *zygote;
	const struct cw_state *state;
	int ring_fd, engine_fd, bundle_fd;
	size_t bundle_size, scratch_bytes;
	bool tested;
};

enum cw_death {
	CW_DEATH_DONE = 1,        /* it came to its limit, or was told to go */
	CW_DEATH_FAILED,          /* load or attach said no: `err` */
	CW_DEATH_KILLED,          /* SIGKILL that was not ours, and other signals that are not the process's own doing */
	CW_DEATH_STUCK,           /* our SIGKILL */
	CW_DEATH_EXITED,          /* it ended itself */
	CW_DEATH_CRASHED,         /* memory is not to be trusted */
};

struct cw_obituary {
	enum cw_death death;
	int rule;                 /* at work, or -1 */
	uint64_t position;        /* of the transaction at work */
	struct cw_err err;        /* FAILED; for all but DONE a message that reads alone */
};

/* NULL and an error if it cannot be forked. Phase LOADING. */
struct cw_evaluator *cw_evaluator_start(const struct cw_evaluator_start *how, struct cw_err *err);
/* Kills and reaps it if need be. */
void cw_evaluator_free(struct cw_evaluator **evaluator);

pid_t cw_evaluator_pid(const struct cw_evaluator *e);
int cw_evaluator_pidfd(const struct cw_evaluator *e);        /* readable when it is dead */
int cw_evaluator_wake_fd(const struct cw_evaluator *e);
enum cw_phase cw_evaluator_phase(const struct cw_evaluator *e);
int64_t cw_evaluator_cpu_us(const struct cw_evaluator *e);   /* CPU time used; -1 when unknown */
uint64_t cw_evaluator_begun(const struct cw_evaluator *e);
int cw_evaluator_running(const struct cw_evaluator *e);      /* rule at work, or -1 */
/* What it has counted for a rule so far. */
void cw_evaluator_meter(const struct cw_evaluator *e, uint32_t rule, struct cw_rule_meter *out);
void cw_evaluator_report(const struct cw_evaluator *e, struct cw_buf *out);

/* Its turn: from this position on. */
void cw_evaluator_go(struct cw_evaluator *e, uint64_t start, uint64_t limit);
void cw_evaluator_limit(struct cw_evaluator *e, uint64_t limit);
void cw_evaluator_switch(struct cw_evaluator *e, uint32_t rule, bool enabled);
void cw_evaluator_stop_rule(struct cw_evaluator *e);
/* `why` reads after "the evaluator": "made no progress for 500 ms". Its death will be reported as STUCK. */
void cw_evaluator_kill_stuck(struct cw_evaluator *e, const char *why);

/* False while it lives. */
bool cw_evaluator_reap(struct cw_evaluator *e, struct cw_obituary *obituary);

#endif
