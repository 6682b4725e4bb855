/* bind_jobs.c - what boot.lua needs for jobs: sleep, and the schedule of this generation. */
#include <lauxlib.h>
#include <lua.h>

#include "base/arena.h"
#include "base/clock.h"
#include "loop/loop.h"
#include "lua/bind.h"
#include "lua/job.h"
#include "lua/schedule.h"
#include "lua/scripts.h"

struct nap {
	struct cw_job *job;
	struct cw_timer *timer;
	uint64_t ticket;
};

static void nap_over(void *arg)
{
	struct nap *n = arg;

	cw_timer_free(&n->timer);
	cw_job_resume(n->job, n->ticket);
}

static void nap_cancel(void *arg)
{
	struct nap *n = arg;

	cw_timer_free(&n->timer);
}

/* sleep(seconds). Waits. */
static int l_sleep(lua_State *L)
{
	double seconds = luaL_checknumber(L, 1);
	struct cw_job *job = cw_job_check_wait(L);
	struct nap *n;

	if (!(seconds >= 0 && seconds <= 3600))
		return luaL_error(L, "time.sleep takes 0 to 3600 seconds");
	n = cw_arena_zalloc(cw_job_arena(job), sizeof(*n));
	n->job = job;
	n->ticket = cw_job_ticket(job);
	n->timer = cw_timer_new(cw_bind_generation(L)->env->loop, nap_over, n);
	cw_timer_set_us(n->timer, (int64_t)(seconds * 1e6));
	return cw_job_wait(job, nap_cancel, n);
}

static int l_slept(lua_State *L)
{
	(void)L;
	return 0;
}

/* list() -> { {name=, summary=, every=, at=, on=, due=}, ... } */
static int l_list(lua_State *L)
{
	const struct cw_generation *gen = cw_bind_generation(L);

	if (gen->schedule == NULL)
		lua_newtable(L);
	else
		cw_schedule_push(gen->schedule, L);
	return 1;
}

/* run(name, run_id) -> was it started */
static int l_run(lua_State *L)
{
	struct cw_generation *gen = cw_bind_generation(L);

	lua_pushboolean(L, gen->schedule != NULL &&
	                   cw_schedule_run(gen->schedule, luaL_checkstring(L, 1), (int64_t)luaL_checknumber(L, 2)));
	return 1;
}

static int l_worker(lua_State *L)
{
	const struct cw_generation *gen = cw_bind_generation(L);

	lua_pushstring(L, gen->schedule != NULL ? cw_schedule_worker(gen->schedule) : "");
	return 1;
}

void cw_bind_jobs(lua_State *L)
{
	static const luaL_Reg functions[] = {
		{ "sleep", l_sleep }, { "slept", l_slept }, { "list", l_list }, { "run", l_run }, { "worker", l_worker },
		{ NULL, NULL },
	};

	lua_newtable(L);
	luaL_register(L, NULL, functions);
}
