/* job_runs.h - what the scheduler tells the database without being asked by a script. */
#ifndef CW_STORE_JOB_RUNS_H
#define CW_STORE_JOB_RUNS_H

#include <stdint.h>

struct cw_pool;

#define CW_JOB_BEAT_MS 20000          /* claim takes a run for dead after four and a half of them */

/* Nobody is told how they end: the next beat, or the next claim, puts right what went wrong. */
/* At the start of an engine: what it had running and was sending when it died. Workers end with ":" and its instance. */
void cw_job_runs_orphaned(struct cw_pool *pool, const char *instance);
void cw_job_runs_beat(struct cw_pool *pool, const char *worker);
/* Ends what this worker has running under that name. */
void cw_job_runs_abandon(struct cw_pool *pool, const char *worker, const char *name, const char *why);

#endif
