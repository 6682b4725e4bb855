/* What happens when an evaluator dies: who is to blame, what becomes of the arena, and whether to hurry. */
#include "pipeline/supervise_internal.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/err.h"
#include "chain/tx.h"
#include "pipeline/ring.h"
#include "state/state.h"

/* Deaths in a row without a verdict between them that are met at once; after that it waits, longer each time, and says
 * so once. */
#define RETRIES_AT_ONCE 3
#define RETRY_FIRST_MS 10
#define RETRY_MAX_MS 5000

bool cw_supervisor_is_failing(const struct cw_supervisor *s)
{
	return s->failures > RETRIES_AT_ONCE;
}

void cw_supervisor_note_failure(struct cw_supervisor *s)
{
	int64_t wait_ms = RETRY_FIRST_MS;

	if (++s->failures == RETRIES_AT_ONCE + 1)
		cw_log(CW_LOG_ERROR, "evaluator", "cannot keep an evaluator alive, requests wait", "failures=%d", s->failures);
	if (!cw_supervisor_is_failing(s))
		return;
	for (int i = RETRIES_AT_ONCE + 1; i < s->failures && wait_ms < RETRY_MAX_MS; i++)
		wait_ms *= 2;
	s->retry_us = cw_clock_mono_us() + (wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS) * 1000;
	cw_watchdog_soon(s);
}

void cw_supervisor_note_recovery(struct cw_supervisor *s)
{
	if (cw_supervisor_is_failing(s))
		cw_log(CW_LOG_INFO, "evaluator", "evaluator is back", "pid=%" PRId64 " failures=%d", s->stats.pid, s->failures);
	s->failures = 0;
}

static void activation_failed(struct cw_supervisor *s, const char *reason)
{
	cw_generation_free(&s->coming);
	s->activate_at = CW_NEVER;
	if (s->generation == NULL && s->pause_at != CW_NEVER)
		s->pause_at = s->received;
	cw_supervisor_log(CW_LOG_ERROR, "new rules could not be activated", -1, reason);
	cw_supervisor_tell(s, CW_ACTIVATION_FAILED, -1, reason);
}

/* The ring forgets everything, the arena too; the owner replays. */
static void lose_state(struct cw_supervisor *s, const char *reason)
{
	s->stats.lost++;
	cw_supervisor_log(CW_LOG_ERROR, "detector state dropped, history is to be replayed", -1, reason);
	cw_state_reset(s->st);
	s->received = s->sent;
	cw_supervisor_tell(s, CW_STATE_LOST, -1, reason);
}

/* Back to the mark of the last verdict that was received. */
int cw_supervisor_rewind(struct cw_supervisor *s, struct cw_err *err)
{
	struct cw_state_mark mark;

	if (!cw_state_find_seq(s->st, s->acked, &mark) || mark.seq != s->acked)
		return cw_err_set(err, CW_ERR_INTERNAL, "the undo log has no mark of %" PRIu64, s->acked);
	return cw_state_rewind(s->st, &mark, err);
}

static void repair(struct cw_supervisor *s, const struct cw_worker *w, const struct cw_obituary *o)
{
	struct cw_err err = { .code = CW_OK };
	char reason[1100];

	if (w->state < CW_ROLE_STARTING)
		return;                       /* it never had the turn, the arena was out of its reach */
	if (o->death == CW_DEATH_CRASHED) {
		lose_state(s, o->err.msg);
	} else if (cw_supervisor_rewind(s, &err) != 0) {
		snprintf(reason, sizeof(reason), "%s%s%s", o->err.msg, o->err.msg[0] != '\0' ? "; " : "", err.msg);
		lose_state(s, reason);
	}
}

/* A rule whose call the process did not survive; -1 if none is to blame. A SIGKILL that was not ours is a rule's fault
 * (out of memory) when it struck twice in a row in the same call, and the call was long enough to be seen by the watchdog:
 * one that was hit by chance was not. The same holds where nothing moved because there was no CPU time (stopped by a signal,
 * frozen, a machine that does not get to it). */
static int culprit(struct cw_supervisor *s, const struct cw_worker *w, const struct cw_obituary *o)
{
	int last_rule = s->killed_rule;
	uint64_t last_position = s->killed_position;

	s->killed_rule = -1;
	if (w->state != CW_ROLE_LIVE || o->rule < 0)
		return -1;
	if (o->death != CW_DEATH_KILLED && !w->idle)
		return o->rule;
	if (s->glimpse.begun != o->position + 1 || s->glimpse.running != o->rule)
		return -1;
	s->killed_rule = o->rule;
	s->killed_position = o->position;
	return last_rule == o->rule && last_position == o->position ? o->rule : -1;
}

static void blame(struct cw_supervisor *s, struct cw_worker *w, int rule, struct cw_obituary *o)
{
	char reason[sizeof(o->err.msg)];

	snprintf(reason, sizeof(reason), "%.400s, while the rule worked on transaction %" PRIu64, o->err.msg,
	         cw_ring_tx(s->ring, o->position)->seq);
	cw_supervisor_quarantine(s, w, (uint32_t)rule, reason);
	s->failures = 0;
}

/* What the process itself cannot tell. */
static void correct(const struct cw_supervisor *s, const struct cw_worker *w, struct cw_obituary *o)
{
	if (w->nonsense.code != CW_OK) {
		o->death = CW_DEATH_CRASHED;
		o->err = w->nonsense;
	} else if (o->death == CW_DEATH_DONE && s->received < cw_supervisor_limit(s)) {
		o->death = CW_DEATH_EXITED;
		cw_err_set(&o->err, CW_ERR_INTERNAL, "the evaluator ended before its time");
	}
}

void cw_supervisor_on_live_death(struct cw_supervisor *s, struct cw_worker *w, const struct cw_obituary *obituary)
{
	struct cw_obituary o = *obituary;
	int rule;

	s->busy = true;
	cw_supervisor_take(s);
	correct(s, w, &o);
	rule = culprit(s, w, &o);
	s->live = NULL;
	s->stats.pid = 0;
	if (o.death != CW_DEATH_DONE) {
		s->stats.replaced++;
		s->stats.hangs += o.death == CW_DEATH_STUCK;
		if (!cw_supervisor_is_failing(s))
			cw_supervisor_log(CW_LOG_WARN, "evaluator died", o.rule, o.err.msg);
		snprintf(s->reason, sizeof(s->reason), "%s", o.err.msg);
		cw_supervisor_note_failure(s);
	}
	if (rule >= 0)
		blame(s, w, rule, &o);
	if (cw_worker_is_fresh(s, w))
		activation_failed(s, o.err.msg);
	repair(s, w, &o);
	if (w->state == CW_ROLE_LIVE)
		cw_supervisor_keep_meters(w);
	cw_worker_free(&w);
	s->busy = false;
}

void cw_supervisor_on_next_death(struct cw_supervisor *s, struct cw_worker *w, const struct cw_obituary *o)
{
	struct cw_err err = o->err;

	s->next = NULL;
	cw_worker_free(&w);
	if (s->load_fn == NULL)
		return;                       /* loaded and told; should it be activated, another one is started */
	cw_generation_free(&s->coming);
	if (err.code == CW_OK)
		cw_err_set(&err, CW_ERR_INTERNAL, "the evaluator ended before it had loaded the rules");
	cw_supervisor_tell_load(s, NULL, &err);
}
