/* The watchdog: while there is work, a timer compares what the evaluator says it is doing with what it said before. No
 * signal and no thread in the evaluator: a rule that takes long is asked to stop by a word in shared memory, and a process
 * that does not move is killed. */
#include "pipeline/supervise_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "loop/loop.h"
#include "pipeline/zygote.h"

/* How often it looks: hangs are found this much late at most, stops twice. */
#define LOOK_MS 20
/* An evaluator that gets no CPU is not stuck. It is after all when this many limits have passed. */
#define PATIENCE 4
/* One that has lived so long without work is well again. */
#define WELL_US 1000000

/* It has something to do: transactions, or to end. */
static bool has_work(const struct cw_supervisor *s)
{
	return s->received < s->sent || s->received >= cw_supervisor_limit(s);
}

void cw_watchdog_glimpse(struct cw_supervisor *s, int64_t now)
{
	const struct cw_evaluator *e = s->live->evaluator;

	s->glimpse = (struct cw_glimpse){
		.begun = cw_evaluator_begun(e),
		.running = cw_evaluator_running(e),
		.received = s->received,
		.since_us = now,
		.cpu_us = cw_evaluator_cpu_us(e),
	};
}

/* The first look after idle time starts to count from now. */
void cw_watchdog_soon(struct cw_supervisor *s)
{
	if (cw_timer_pending(s->timer))
		return;
	if (s->live != NULL && s->live->state == CW_ROLE_LIVE)
		cw_watchdog_glimpse(s, cw_clock_mono_us());
	cw_timer_set(s->timer, LOOK_MS);
}

static bool has_moved(const struct cw_supervisor *s)
{
	const struct cw_evaluator *e = s->live->evaluator;

	return s->glimpse.begun != cw_evaluator_begun(e) || s->glimpse.running != cw_evaluator_running(e) ||
	       s->glimpse.received != s->received;
}

/* By a signal from outside, for so long. */
static bool stands_still(const struct cw_supervisor *s, struct cw_worker *w, int64_t now)
{
	if (!cw_child_is_stopped(cw_evaluator_pid(w->evaluator)))
		w->stopped_us = 0;
	else if (w->stopped_us == 0)
		w->stopped_us = now;
	return w->stopped_us != 0 && now - w->stopped_us >= s->conf.hang_ms * 1000;
}

static void kill_standing(const struct cw_supervisor *s, struct cw_worker *w)
{
	char why[64];

	w->idle = true;
	snprintf(why, sizeof(why), "was stopped by a signal for %" PRId64 " ms", s->conf.hang_ms);
	cw_evaluator_kill_stuck(w->evaluator, why);
}

static bool stuck_for(const struct cw_supervisor *s, int64_t now, int64_t limit_ms)
{
	int64_t stuck = now - s->glimpse.since_us, limit = limit_ms * 1000;
	int64_t cpu;

	if (stuck < limit)
		return false;
	cpu = cw_evaluator_cpu_us(s->live->evaluator);
	return cpu < 0 || cpu - s->glimpse.cpu_us >= limit / 2 || stuck >= PATIENCE * limit;
}

static void watch_live(struct cw_supervisor *s, int64_t now)
{
	struct cw_worker *w = s->live;
	int64_t cpu;
	char why[64];

	if (!has_work(s) || has_moved(s)) {
		cw_watchdog_glimpse(s, now);
		return;
	}
	if (stands_still(s, w, now)) {
		kill_standing(s, w);
		return;
	}
	if (s->conf.wall_ms > 0 && s->glimpse.running >= 0 && !s->glimpse.stop_sent && stuck_for(s, now, s->conf.wall_ms)) {
		s->glimpse.stop_sent = true;
		s->stats.stops++;
		cw_evaluator_stop_rule(w->evaluator);
	}
	if (!stuck_for(s, now, s->conf.hang_ms))
		return;
	cpu = cw_evaluator_cpu_us(w->evaluator);
	w->idle = cpu >= 0 && cpu - s->glimpse.cpu_us < s->conf.hang_ms * 1000 / 2;
	snprintf(why, sizeof(why), "made no progress for %" PRId64 " ms", s->conf.hang_ms);
	cw_evaluator_kill_stuck(w->evaluator, why);
}

static void watch_loading(struct cw_supervisor *s, struct cw_worker *w, int64_t now)
{
	char why[80];

	if (stands_still(s, w, now))
		kill_standing(s, w);
	if (now - w->since_us < s->conf.load_ms * 1000)
		return;
	snprintf(why, sizeof(why), "timed out after %" PRId64 " ms while it %s the rules", s->conf.load_ms,
	         w->state == CW_ROLE_LOADING ? "loaded and tested" : "attached");
	cw_evaluator_kill_stuck(w->evaluator, why);
}

void cw_watchdog_look(void *arg)
{
	struct cw_supervisor *s = arg;
	int64_t now = cw_clock_mono_us();
	bool again = false;

	cw_supervisor_take(s);
	if (s->live != NULL && s->live->state == CW_ROLE_LIVE) {
		watch_live(s, now);
		if (s->failures > 0 && now - s->live->since_us > WELL_US)
			cw_supervisor_note_recovery(s);
		again = has_work(s) || s->failures > 0;
	} else if (s->live != NULL) {
		watch_loading(s, s->live, now);
		again = true;
	} else if (s->retry_us > now) {
		again = true;
	}
	if (s->next != NULL && s->next->state == CW_ROLE_LOADING) {
		watch_loading(s, s->next, now);
		again = true;
	}
	if (again)
		cw_timer_set(s->timer, LOOK_MS);
	cw_supervisor_step(s);
}
