#include "lua/job.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "lua/vm.h"

#define JOB_MAGIC 0x4a4f4221u
#define THREADS_KEPT 256         /* finished coroutines kept for the next jobs */
#define TURN_TICKS (INT64_MAX / 4)   /* a turn is bounded by CPU time */

struct thread {
	lua_State *co;
	int ref;
};

struct cw_jobs {
	struct cw_vm *vm;
	struct cw_list all;
	int count;
	struct cw_job *running;
	struct cw_budget budget;
	struct thread kept[THREADS_KEPT];
	int nkept;
};

struct cw_job {
	uint32_t magic;
	struct cw_list link;
	struct cw_jobs *jobs;
	struct thread thread;
	struct cw_arena *arena;
	struct cw_request *req;
	cw_job_end_fn *ended;
	void *arg;
	uint64_t ticket;
	bool waiting, cancelled;
	cw_job_cancel_fn *cancel;
	void *wait;
	void (*drop)(void *held);
	void *held;
};

struct cw_jobs *cw_jobs_new(struct cw_vm *vm, int64_t turn_us)
{
	struct cw_jobs *jobs = cw_zalloc(sizeof(*jobs));

	jobs->vm = vm;
	jobs->budget = (struct cw_budget){ .ticks = TURN_TICKS, .time_us = turn_us, .cpu_time = true };
	cw_list_init(&jobs->all);
	return jobs;
}

static struct thread take_thread(struct cw_jobs *jobs)
{
	lua_State *L = cw_vm_state(jobs->vm);
	struct thread t;

	if (jobs->nkept > 0)
		return jobs->kept[--jobs->nkept];
	t.co = lua_newthread(L);
	t.ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return t;
}

static void give_thread(struct cw_jobs *jobs, struct thread t, bool dead)
{
	lua_settop(t.co, 0);
	if (!dead && jobs->nkept < THREADS_KEPT)
		jobs->kept[jobs->nkept++] = t;
	else
		luaL_unref(cw_vm_state(jobs->vm), LUA_REGISTRYINDEX, t.ref);
}

static void job_free(struct cw_job *job, bool dead)
{
	struct cw_jobs *jobs = job->jobs;

	if (job->drop != NULL)
		job->drop(job->held);
	give_thread(jobs, job->thread, dead);
	cw_list_remove(&job->link);
	jobs->count--;
	job->magic = 0;
	cw_free(job);
}

void cw_jobs_free(struct cw_jobs **jobs)
{
	struct cw_jobs *j = *jobs;

	*jobs = NULL;
	if (j == NULL)
		return;
	while (!cw_list_empty(&j->all))
		cw_job_cancel(cw_list_entry(j->all.next, struct cw_job, link));
	cw_free(j);
}

int cw_jobs_count(const struct cw_jobs *jobs)
{
	return jobs->count;
}

struct cw_job *cw_job_new(struct cw_jobs *jobs, struct cw_arena *arena, struct cw_request *req, cw_job_end_fn *ended,
                          void *arg)
{
	struct cw_job *job = cw_zalloc(sizeof(*job));

	job->magic = JOB_MAGIC;
	job->jobs = jobs;
	job->thread = take_thread(jobs);
	job->arena = arena;
	job->req = req;
	job->ended = ended;
	job->arg = arg;
	job->ticket = 1;
	cw_list_append(&jobs->all, &job->link);
	jobs->count++;
	return job;
}

lua_State *cw_job_thread(const struct cw_job *job)
{
	return job->thread.co;
}

struct cw_request *cw_job_request(const struct cw_job *job)
{
	return job->req;
}

struct cw_arena *cw_job_arena(const struct cw_job *job)
{
	return job->arena;
}

void *cw_job_owner(const struct cw_job *job)
{
	return job->arg;
}

void cw_job_hold(struct cw_job *job, void (*drop)(void *held), void *held)
{
	cw_assert(drop == NULL || job->drop == NULL);
	job->drop = drop;
	job->held = held;
}

void *cw_job_held(const struct cw_job *job)
{
	return job->held;
}

void cw_job_run(struct cw_job *job, int nargs)
{
	struct cw_jobs *jobs = job->jobs;
	struct cw_vm_report report;
	struct cw_job *outer = jobs->running;
	int rc;

	jobs->running = job;
	rc = cw_vm_resume(jobs->vm, job->thread.co, nargs, &jobs->budget, &report);
	jobs->running = outer;
	if (job->cancelled) {
		job_free(job, rc != 0);
		return;
	}
	if (rc == LUA_YIELD) {
		if (job->waiting)
			return;
		rc = -1;
		report.stop = CW_STOP_NONE;
		snprintf(report.message, sizeof(report.message), "yielded without waiting for anything");
	}
	job->ticket++;
	job->ended(job->arg, job, job->thread.co, rc == 0 ? lua_gettop(job->thread.co) : -1, &report);
	job_free(job, rc != 0);
}

void cw_job_cancel(struct cw_job *job)
{
	CW_CAST(job, JOB_MAGIC);
	if (job->jobs->running == job) {
		job->cancelled = true;   /* freed when its turn is over */
		return;
	}
	if (job->waiting && job->cancel != NULL)
		job->cancel(job->wait);
	job_free(job, true);
}

struct cw_job *cw_job_current(lua_State *L)
{
	const struct cw_vm *vm = cw_vm_of(L);
	struct cw_jobs **jobs = cw_vm_owner(vm);

	return jobs != NULL && *jobs != NULL ? (*jobs)->running : NULL;
}

struct cw_job *cw_job_check_wait(lua_State *L)
{
	struct cw_job *job = cw_job_current(L);

	if (job == NULL) {
		luaL_error(L, "this waits for an answer: only possible while a request or a job is handled, not at load");
		__builtin_unreachable();   /* luaL_error jumps; its declaration does not say so */
	}
	if (job->thread.co != L)
		luaL_error(L, "this waits for an answer: not possible inside another coroutine");
	return job;
}

uint64_t cw_job_ticket(const struct cw_job *job)
{
	return job->ticket + 1;
}

int cw_job_wait(struct cw_job *job, cw_job_cancel_fn *cancel, void *wait)
{
	job->ticket++;
	job->waiting = true;
	job->cancel = cancel;
	job->wait = wait;
	return lua_yield(job->thread.co, 0);
}

void cw_job_resume(struct cw_job *job, uint64_t ticket)
{
	CW_CAST(job, JOB_MAGIC);
	if (!job->waiting || job->ticket != ticket)
		return;
	job->waiting = false;
	job->cancel = NULL;
	cw_job_run(job, 0);
}

void *cw_job_answer(lua_State *L)
{
	struct cw_job *job = cw_job_check_wait(L);

	return job->wait;
}
