/* backup_job.h - in the running engine: the daily backup at its time, and when the last good ones were, as metrics.
 *
 * The work is done by `chainwatch backup run` and `backup verify` in a process of their own. */
#ifndef CW_APP_BACKUP_JOB_H
#define CW_APP_BACKUP_JOB_H

struct cw_backup_job;
struct cw_engine;

struct cw_backup_job *cw_backup_job_start(struct cw_engine *engine);
/* Stops a backup that runs; the next one cleans up after it. */
void cw_backup_job_stop(struct cw_backup_job **job);

#endif
