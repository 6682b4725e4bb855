#include "lua/schedule.h"

#include <lauxlib.h>
#include <lua.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "lua/job.h"
#include "lua/vm.h"
#include "store/job_runs.h"

#define JOB_MAGIC      0x4a4f4253u
#define DAY            86400
#define JOBS_MAX       64
#define START_DELAY_MS 3000            /* after a start or reload: first things first */
#define SLEEP_MAX_MS   600000          /* clocks are set, machines sleep: look again */

struct job {
	uint32_t magic;
	struct cw_schedule *schedule;
	int ref;                           /* its declaration */
	char name[64];
	int64_t every_s, offset_s, jitter_s, timeout_ms;
	unsigned weekdays;                 /* bit 0: Sunday; 0: all */
	int64_t slot_s, due_ms;            /* the next one; due: wall clock, with its jitter */
	int64_t done_s;                    /* the newest that was run here */
	struct cw_timer *timer, *deadline;
	struct cw_job *running;
	struct cw_arena *arena;
};

struct cw_schedule {
	struct cw_schedule_conf conf;
	char worker[128];
	struct job *jobs[JOBS_MAX];
	int count, active;                 /* active: runs of this engine */
	struct cw_timer *beat;
	bool stopped;
	uint64_t random;
};

static int64_t wall_ms(void)
{
	return cw_clock_wall_us() / 1000;
}

static int64_t spread(struct cw_schedule *s, int64_t below_ms)
{
	s->random ^= s->random << 13;
	s->random ^= s->random >> 7;
	s->random ^= s->random << 17;
	return below_ms > 0 ? (int64_t)(s->random % (uint64_t)below_ms) : 0;
}

/* --- slots --- */

/* 1970-01-01 was a Thursday. */
static bool falls_on(const struct job *j, int64_t slot_s)
{
	return j->weekdays == 0 || (j->weekdays >> ((slot_s / DAY + 4) % 7) & 1) != 0;
}

/* The last slot that is not after `now`. */
static int64_t slot_at(const struct job *j, int64_t now_s)
{
	int64_t slot = (now_s - j->offset_s) / j->every_s * j->every_s + j->offset_s;

	if (slot > now_s)
		slot -= j->every_s;
	for (int i = 0; i < 7 && !falls_on(j, slot); i++)
		slot -= j->every_s;
	return slot;
}

static int64_t slot_after(const struct job *j, int64_t slot)
{
	do
		slot += j->every_s;
	while (!falls_on(j, slot));
	return slot;
}

static void arm(struct job *j)
{
	int64_t wait_ms = j->due_ms - wall_ms();

	cw_timer_set(j->timer, wait_ms < 0 ? 0 : wait_ms > SLEEP_MAX_MS ? SLEEP_MAX_MS : wait_ms);
}

static void plan(struct job *j, int64_t slot_s, int64_t delay_ms)
{
	j->slot_s = slot_s;
	j->due_ms = slot_s * 1000 + spread(j->schedule, j->jitter_s * 1000);
	if (j->due_ms < wall_ms() + delay_ms)
		j->due_ms = wall_ms() + delay_ms + spread(j->schedule, delay_ms);
	arm(j);
}

/* --- runs --- */

static void on_beat(void *arg)
{
	struct cw_schedule *s = arg;

	if (s->active == 0)
		return;
	cw_job_runs_beat(s->conf.pool, s->worker);
	cw_timer_set(s->beat, CW_JOB_BEAT_MS);
}

static void end(struct job *j)
{
	struct cw_schedule *s = j->schedule;

	j->running = NULL;
	cw_timer_clear(j->deadline);
	cw_arena_free(&j->arena);
	s->active--;
	s->conf.unhold(s->conf.owner);
}

static void on_end(void *arg, struct cw_job *job, lua_State *co, int n, const struct cw_vm_report *report)
{
	struct job *j = CW_CAST(arg, JOB_MAGIC);
	char text[800];

	(void)job;
	(void)co;
	if (n < 0) {                       /* boot.lua catches what a job raises: this one was stopped */
		cw_log(CW_LOG_ERROR, "script", "job stopped", "job=%s error=%s", j->name,
		       cw_log_quote(text, sizeof(text), report->message));
		cw_job_runs_abandon(j->schedule->conf.pool, j->schedule->worker, j->name, report->message);
	}
	end(j);
}

static void on_deadline(void *arg)
{
	struct job *j = CW_CAST(arg, JOB_MAGIC);
	struct cw_job *job = j->running;
	char why[80];

	snprintf(why, sizeof(why), "took longer than its %lld s", (long long)(j->timeout_ms / 1000));
	cw_log(CW_LOG_ERROR, "script", "job given up", "job=%s error=\"%s\"", j->name, why);
	cw_job_runs_abandon(j->schedule->conf.pool, j->schedule->worker, j->name, why);
	cw_job_cancel(job);
	end(j);
}

/* slot_s or run: the other is 0. Neither: its slot has had its run, but the clock was set back since. */
static void run(struct job *j, int64_t slot_s, int64_t claimed)
{
	struct cw_schedule *s = j->schedule;
	char slot[32];
	lua_State *co;

	s->conf.hold(s->conf.owner);
	if (s->active++ == 0)
		cw_timer_set(s->beat, CW_JOB_BEAT_MS);
	j->arena = cw_arena_new();
	j->running = cw_job_new(s->conf.jobs, j->arena, NULL, on_end, j);
	cw_timer_set(j->deadline, j->timeout_ms);
	co = cw_job_thread(j->running);
	lua_rawgeti(co, LUA_REGISTRYINDEX, s->conf.run_ref);
	lua_rawgeti(co, LUA_REGISTRYINDEX, j->ref);
	if (slot_s != 0) {
		snprintf(slot, sizeof(slot), "%lld", (long long)slot_s);
		lua_pushstring(co, slot);
	} else {
		lua_pushnil(co);
	}
	if (claimed != 0)
		lua_pushnumber(co, (lua_Number)claimed);
	else
		lua_pushnil(co);
	lua_pushstring(co, s->worker);
	cw_job_run(j->running, 4);
	cw_vm_tidy(s->conf.vm);
}

static void on_due(void *arg)
{
	struct job *j = CW_CAST(arg, JOB_MAGIC);
	int64_t slot = j->slot_s, now_ms = wall_ms(), last = slot_at(j, now_ms / 1000);

	if (now_ms < j->due_ms) {
		if (slot > slot_after(j, last))        /* the clock was set back */
			plan(j, slot_after(j, last), 0);
		else
			arm(j);
		return;
	}
	slot = last > slot ? last : slot;
	plan(j, slot_after(j, slot), 0);
	if (j->running != NULL)
		return;
	run(j, slot > j->done_s ? slot : 0, 0);
	j->done_s = slot > j->done_s ? slot : j->done_s;
}

/* --- public --- */

struct cw_schedule *cw_schedule_new(const struct cw_schedule_conf *conf)
{
	struct cw_schedule *s = cw_zalloc(sizeof(*s));
	char host[64] = "";

	s->conf = *conf;
	gethostname(host, sizeof(host) - 1);
	s->random = ((uint64_t)cw_clock_wall_us() ^ ((uint64_t)getpid() << 32)) | 1;
	snprintf(s->worker, sizeof(s->worker), "%s:%d:%llx:%s", host, (int)getpid(), (unsigned long long)spread(s, 1 << 30),
	         conf->instance != NULL ? conf->instance : "");
	s->beat = cw_timer_new(conf->loop, on_beat, s);
	return s;
}

static int64_t number(lua_State *L, const char *name)
{
	int64_t value;

	lua_getfield(L, -1, name);
	value = (int64_t)lua_tonumber(L, -1);
	lua_pop(L, 1);
	return value;
}

void cw_schedule_add(struct cw_schedule *s, lua_State *L)
{
	struct job *j;

	cw_assert(s->count < JOBS_MAX);    /* boot.lua refuses more */
	j = s->jobs[s->count++] = cw_zalloc(sizeof(*j));
	j->magic = JOB_MAGIC;
	j->schedule = s;
	lua_getfield(L, -1, "name");
	snprintf(j->name, sizeof(j->name), "%s", lua_tostring(L, -1));
	lua_pop(L, 1);
	j->every_s = number(L, "every_s");
	j->offset_s = number(L, "offset_s");
	j->jitter_s = number(L, "jitter_s");
	j->timeout_ms = number(L, "timeout_s") * 1000;
	j->weekdays = (unsigned)number(L, "weekdays");
	j->timer = cw_timer_new(s->conf.loop, on_due, j);
	j->deadline = cw_timer_new(s->conf.loop, on_deadline, j);
	j->ref = luaL_ref(L, LUA_REGISTRYINDEX);
}

void cw_schedule_start(struct cw_schedule *s)
{
	for (int i = 0; i < s->count; i++)
		plan(s->jobs[i], slot_at(s->jobs[i], wall_ms() / 1000), START_DELAY_MS);
}

void cw_schedule_stop(struct cw_schedule *s)
{
	s->stopped = true;
	for (int i = 0; i < s->count; i++)
		cw_timer_clear(s->jobs[i]->timer);
}

void cw_schedule_free(struct cw_schedule **schedule)
{
	struct cw_schedule *s = *schedule;

	*schedule = NULL;
	if (s == NULL)
		return;
	for (int i = 0; i < s->count; i++) {
		struct job *j = s->jobs[i];

		if (j->running != NULL) {
			cw_job_cancel(j->running);
			cw_arena_free(&j->arena);
		}
		cw_timer_free(&j->timer);
		cw_timer_free(&j->deadline);
		j->magic = 0;
		cw_free(j);
	}
	cw_timer_free(&s->beat);
	cw_free(s);
}

bool cw_schedule_run(struct cw_schedule *s, const char *name, int64_t claimed)
{
	for (int i = 0; i < s->count; i++) {
		struct job *j = s->jobs[i];

		if (strcmp(j->name, name) != 0)
			continue;
		if (j->running != NULL || s->stopped)
			return false;
		run(j, 0, claimed);
		return true;
	}
	return false;
}

const char *cw_schedule_worker(const struct cw_schedule *s)
{
	return s->worker;
}

void cw_schedule_push(const struct cw_schedule *s, lua_State *L)
{
	static const char *const fields[] = { "summary", "every", "at", "on", "file" };

	lua_newtable(L);
	for (int i = 0; i < s->count; i++) {
		const struct job *j = s->jobs[i];

		lua_createtable(L, 0, 8);
		lua_pushstring(L, j->name);
		lua_setfield(L, -2, "name");
		lua_rawgeti(L, LUA_REGISTRYINDEX, j->ref);
		for (size_t k = 0; k < sizeof(fields) / sizeof(*fields); k++) {
			lua_getfield(L, -1, fields[k]);
			lua_setfield(L, -3, fields[k]);
		}
		lua_pop(L, 1);
		lua_pushnumber(L, (lua_Number)j->due_ms / 1000);
		lua_setfield(L, -2, "due");
		lua_rawseti(L, -2, i + 1);
	}
}
