/* work.h - worker threads for what takes CPU and no Lua: password hashes, forest training, compression.
 *
 * `run` is called on a worker and touches nothing but what `arg` owns; `done` is called on the loop afterwards, also
 * for work that was cancelled before it began (then `run` was not called). Queue bounded: submit may say no. */
#ifndef CW_LOOP_WORK_H
#define CW_LOOP_WORK_H

#include <stdbool.h>

struct cw_loop;
struct cw_work_pool;

typedef void cw_work_fn(void *arg);
typedef void cw_work_done_fn(void *arg, bool ran);

/* Threads block all signals, so that those reach the loop. */
struct cw_work_pool *cw_work_pool_new(struct cw_loop *loop, int threads, int queue_limit);
/* Waits for what is running, answers what is queued with ran = false, from within this call. */
void cw_work_pool_free(struct cw_work_pool **pool);
/* -1: the queue is full (CW_ERR_BUSY), or the pool is being freed; `done` will not be called. */
int cw_work_submit(struct cw_work_pool *pool, cw_work_fn *run, cw_work_done_fn *done, void *arg);

#endif
