/* job.h - one coroutine for one request or schedule: start, wait, resume, cancel.
 *
 * A job runs on a thread (coroutine) of its generation's VM. A C function that waits is two halves joined by a line of
 * Lua: `start` checks its arguments, sends, and ends with cw_job_wait(), which yields; the answer's callback keeps what
 * it got in the job's arena and calls cw_job_resume(); `collect` then runs inside the coroutine and pushes results, so
 * that an error while pushing is an ordinary Lua error and never a jump through a callback's frames.
 *
 * A ticket is raised at each wait and at the end: a late answer with an old ticket is dropped. Finished threads are
 * used again, one that ended in an error is not. */
#ifndef CW_LUA_JOB_H
#define CW_LUA_JOB_H

#include <stdbool.h>
#include <stdint.h>

struct cw_arena;
struct cw_job;
struct cw_jobs;
struct cw_request;
struct cw_vm;
struct cw_vm_report;
struct lua_State;

/* All jobs of one VM. `turn_us` is the CPU time of one turn. */
struct cw_jobs *cw_jobs_new(struct cw_vm *vm, int64_t turn_us);
/* Cancels what runs; `ended` of those is not called. */
void cw_jobs_free(struct cw_jobs **jobs);
int cw_jobs_count(const struct cw_jobs *jobs);

/* The end of a job: the results are on top of `co` (n of them), or `report` says why it failed (n is -1). The job is
 * gone after this call. */
typedef void cw_job_end_fn(void *arg, struct cw_job *job, struct lua_State *co, int n,
                           const struct cw_vm_report *report);

/* A job with its thread; push the function and its arguments on cw_job_thread(), then run. `arena` outlives the job
 * and is where answers are kept. */
struct cw_job *cw_job_new(struct cw_jobs *jobs, struct cw_arena *arena, struct cw_request *req, cw_job_end_fn *ended,
                          void *arg);
struct lua_State *cw_job_thread(const struct cw_job *job);
struct cw_request *cw_job_request(const struct cw_job *job);
struct cw_arena *cw_job_arena(const struct cw_job *job);
void *cw_job_owner(const struct cw_job *job);          /* `arg` of cw_job_new */
void cw_job_run(struct cw_job *job, int nargs);
/* Cancels what it waits for and forgets it; `ended` is not called. Not from inside its own turn. */
void cw_job_cancel(struct cw_job *job);

/* Something that must not outlive the job, however it ends (an open database transaction): `drop(held)` is called at its
 * end unless cw_job_hold(job, NULL, NULL) came before. One thing at a time. */
void cw_job_hold(struct cw_job *job, void (*drop)(void *held), void *held);
void *cw_job_held(const struct cw_job *job);

/* --- for C functions that wait --- */

typedef void cw_job_cancel_fn(void *wait);
/* The running job of this coroutine. Raises at load and in a coroutine that is not the job's own. */
struct cw_job *cw_job_check_wait(struct lua_State *L);
/* NULL outside of a job. */
struct cw_job *cw_job_current(struct lua_State *L);
/* Yields. `wait` is given to `cancel` (may be NULL) if the job is cancelled meanwhile, and to cw_job_answer() after. */
int cw_job_wait(struct cw_job *job, cw_job_cancel_fn *cancel, void *wait);
/* The ticket that belongs to the next cw_job_wait(). */
uint64_t cw_job_ticket(const struct cw_job *job);
/* Goes on with a job that waits; dropped if it has moved on. Only from the loop, never from within its own turn. */
void cw_job_resume(struct cw_job *job, uint64_t ticket);
/* In `collect`: the `wait` that has just been answered. */
void *cw_job_answer(struct lua_State *L);

#endif
