/* schedule.h - the jobs of one generation of scripts: when they are due, and their runs as coroutines.
 *
 * A job is due at its slots: multiples of `every` since 1970, or a time of day (UTC) on some weekdays. Slots are the same
 * on every engine, so the row that claims one (store/job_runs.c) makes it run once. A slot that was missed while no engine
 * ran is caught up once. Jitter spreads the start behind the slot. Private to lua/. */
#ifndef CW_LUA_SCHEDULE_H
#define CW_LUA_SCHEDULE_H

#include <stdbool.h>
#include <stdint.h>

struct cw_err;
struct cw_jobs;
struct cw_loop;
struct cw_pool;
struct cw_schedule;
struct cw_vm;
struct lua_State;

struct cw_schedule_conf {
	struct cw_loop *loop;
	struct cw_pool *pool;
	struct cw_vm *vm;
	struct cw_jobs *jobs;
	const char *instance;              /* of the engine, the same after a restart; workers end with it */
	int run_ref;                       /* boot.lua's run_job(decl, slot, run, worker) */
	/* The generation must live while a run does. */
	void (*hold)(void *owner), (*unhold)(void *owner);
	void *owner;
};

struct cw_schedule *cw_schedule_new(const struct cw_schedule_conf *conf);
/* The declaration is on top of the stack, checked by boot.lua; popped. */
void cw_schedule_add(struct cw_schedule *s, struct lua_State *L);
void cw_schedule_start(struct cw_schedule *s);
/* Nothing is started any more; what runs goes on. */
void cw_schedule_stop(struct cw_schedule *s);
/* Runs are cancelled. Before the jobs and the VM go. */
void cw_schedule_free(struct cw_schedule **s);

/* For scripts: starts a run that was claimed in the database already; false: there is no such job. */
bool cw_schedule_run(struct cw_schedule *s, const char *name, int64_t run);
const char *cw_schedule_worker(const struct cw_schedule *s);
/* Pushes a list of { name, summary, every, at, next }. */
void cw_schedule_push(const struct cw_schedule *s, struct lua_State *L);

#endif
