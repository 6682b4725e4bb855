/* The trial: a supervisor over an arena of its own, and a copy of what is under way, so that the owner gets each
 * transaction back with its verdict. */
#include "pipeline/trial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "state/checkpoint.h"
#include "state/state.h"

#define STATE_BYTES ((size_t)1 << 30)
#define JOURNAL_BYTES ((size_t)16 << 20)
#define DEATHS_MAX 32            /* of evaluators within one trial; each costs about 10 ms */
#define LOOK_MS 500
#define ABSENT_MAX 20            /* looks without an evaluator, then nobody will come */

struct cw_trial {
	struct cw_loop *loop;
	struct cw_state *st;
	struct cw_supervisor *supervisor;
	struct cw_trial_fns fns;
	void *arg;
	struct cw_timer *timer;
	struct cw_tx *window;        /* what is under way, by position modulo slots */
	uint32_t slots;
	uint64_t sent, received, seq;
	struct cw_arena *arena;      /* of the verdict at hand */
	struct cw_buf report;
	struct cw_err err;
	int absent;
	bool loaded, started, active, failed;
};

static void tell_ready(void *arg)
{
	struct cw_trial *t = arg;

	if (!t->failed)
		t->fns.ready(t->arg, t->report.data);
}

static void tell_failed(void *arg)
{
	struct cw_trial *t = arg;

	t->fns.failed(t->arg, &t->err);
}

/* Told at the end of the turn, so that the owner may free us. */
static void fail(struct cw_trial *t, const struct cw_err *err)
{
	if (t->failed)
		return;
	t->failed = true;
	t->err = *err;
	cw_timer_clear(t->timer);
	cw_loop_defer(t->loop, tell_failed, t);
}

static void on_loaded(void *arg, const char *report, const struct cw_err *err)
{
	struct cw_trial *t = arg;

	if (err != NULL) {
		fail(t, err);
		return;
	}
	cw_buf_clear(&t->report);
	cw_buf_puts(&t->report, report);
	t->loaded = true;
	cw_loop_defer(t->loop, tell_ready, t);
}

static void on_verdict(void *arg, uint64_t seq, const void *bytes, size_t len)
{
	struct cw_trial *t = arg;
	const struct cw_tx *tx = &t->window[t->received % t->slots];
	struct cw_verdict v;
	size_t consumed;

	if (t->failed)
		return;
	if (cw_verdict_read(&v, bytes, len, &consumed, t->arena, &t->err) != 0) {
		cw_bug("a verdict that was checked cannot be read: %s", t->err.msg);
		return;
	}
	t->received++;
	t->seq = seq;
	t->fns.verdict(t->arg, tx, &v, bytes, len);
	cw_arena_clear(t->arena);
	if (t->fns.room != NULL && (t->received == t->sent || t->sent - t->received == t->slots / 2))
		t->fns.room(t->arg);
}

static void on_event(void *arg, enum cw_supervisor_event event, int rule, const char *reason)
{
	struct cw_trial *t = arg;
	struct cw_err err;

	switch (event) {
	case CW_RULE_QUARANTINED:
		if (t->fns.quarantined != NULL && !t->failed)
			t->fns.quarantined(t->arg, rule, reason);
		return;
	case CW_STATE_LOST:
		cw_err_set(&err, CW_ERR_SYSTEM, "the state of the trial was lost: %s", reason);
		break;
	case CW_ACTIVATION_FAILED:
		cw_err_set(&err, CW_ERR_SYSTEM, "the rules could not be put to work: %s", reason);
		break;
	case CW_EVALUATOR_REPLACED:
		if (cw_supervisor_stats(t->supervisor).replaced <= DEATHS_MAX)
			return;
		cw_err_set(&err, CW_ERR_SYSTEM, "evaluators died %d times, the last one: %s", DEATHS_MAX, reason);
		break;
	case CW_ACTIVATED:
		t->active = true;
		if (t->fns.room != NULL && !t->failed)
			t->fns.room(t->arg);
		return;
	default:
		return;
	}
	fail(t, &err);
}

/* No evaluator may be to be had at all; then no event comes. */
static void look(void *arg)
{
	struct cw_trial *t = arg;
	struct cw_err err;

	t->absent = t->started && !cw_supervisor_ready(t->supervisor) ? t->absent + 1 : 0;
	cw_timer_set(t->timer, LOOK_MS);
	if (t->absent < ABSENT_MAX)
		return;
	cw_err_set(&err, CW_ERR_SYSTEM, "no evaluator could be started");
	fail(t, &err);
}

struct cw_trial *cw_trial_new(struct cw_loop *loop, struct cw_zygote *zygote, const struct cw_trial_conf *conf,
                              const struct cw_trial_fns *fns, void *arg, struct cw_err *err)
{
	const struct cw_state_conf state = {
		.max_bytes = conf->state_bytes > 0 ? conf->state_bytes : STATE_BYTES,
		.journal_bytes = conf->journal_bytes > 0 ? conf->journal_bytes : JOURNAL_BYTES,
		.hash_seed = conf->hash_seed,
	};
	struct cw_trial *t = cw_zalloc(sizeof(*t));

	t->loop = loop;
	t->fns = *fns;
	t->arg = arg;
	t->report = (struct cw_buf)CW_BUF_INIT;
	t->arena = cw_arena_new();
	t->timer = cw_timer_new(loop, look, t);
	t->st = cw_state_new(&state, err);
	if (t->st != NULL)
		t->supervisor = cw_supervisor_new(loop, zygote, t->st, &conf->supervisor, on_verdict, on_event, t, err);
	if (t->supervisor == NULL) {
		cw_trial_free(&t);
		return NULL;
	}
	t->slots = cw_supervisor_room(t->supervisor);
	t->window = cw_alloc(t->slots * sizeof(*t->window));
	cw_timer_set(t->timer, LOOK_MS);
	return t;
}

void cw_trial_free(struct cw_trial **trial)
{
	struct cw_trial *t = *trial;

	*trial = NULL;
	if (t == NULL)
		return;
	cw_loop_undefer(t->loop, tell_ready, t);
	cw_loop_undefer(t->loop, tell_failed, t);
	cw_timer_free(&t->timer);
	cw_supervisor_free(&t->supervisor);
	cw_state_close(&t->st);
	cw_buf_release(&t->report);
	cw_arena_free(&t->arena);
	cw_free(t->window);
	cw_free(t);
}

struct cw_state *cw_trial_state(struct cw_trial *trial)
{
	return trial->st;
}

int cw_trial_load(struct cw_trial *trial, const struct cw_bundle *bundle, struct cw_err *err)
{
	trial->loaded = false;
	return cw_supervisor_load(trial->supervisor, bundle, on_loaded, trial, err);
}

void cw_trial_go(struct cw_trial *trial, const uint32_t *disabled, int ndisabled)
{
	if (trial->failed)
		return;
	if (!trial->loaded) {
		cw_bug("no rules are loaded for this trial");
		return;
	}
	trial->loaded = trial->active = false;
	trial->started = true;
	cw_supervisor_activate(trial->supervisor, disabled, ndisabled);
}

uint32_t cw_trial_room(const struct cw_trial *trial)
{
	return trial->failed ? 0 : cw_supervisor_room(trial->supervisor);
}

void cw_trial_submit(struct cw_trial *trial, const struct cw_tx *const *txs, uint32_t n)
{
	if (trial->failed)
		return;
	for (uint32_t i = 0; i < n; i++) {
		struct cw_tx *kept = &trial->window[trial->sent++ % trial->slots];

		*kept = *txs[i];
		kept->logs = NULL;       /* the caller's memory; the evaluator has got them */
		kept->nlogs = 0;
	}
	cw_supervisor_submit(trial->supervisor, txs, n);
}

bool cw_trial_active(const struct cw_trial *trial)
{
	return trial->active;
}

bool cw_trial_idle(const struct cw_trial *trial)
{
	return trial->received == trial->sent;
}

uint64_t cw_trial_seq(const struct cw_trial *trial)
{
	return trial->seq;
}

bool cw_trial_meter(const struct cw_trial *trial, uint32_t rule, struct cw_rule_meter *out)
{
	return cw_supervisor_meter(trial->supervisor, rule, out);
}

int64_t cw_trial_pid(const struct cw_trial *trial)
{
	return cw_supervisor_stats(trial->supervisor).pid;
}

int64_t cw_trial_cpu_us(const struct cw_trial *trial)
{
	int64_t pid = cw_trial_pid(trial);
	struct timespec used;
	clockid_t clock;

	if (pid <= 0 || clock_getcpuclockid((pid_t)pid, &clock) != 0 || clock_gettime(clock, &used) != 0)
		return -1;
	return (int64_t)used.tv_sec * 1000000 + used.tv_nsec / 1000;
}

int cw_trial_save(struct cw_trial *trial, const uint8_t digest[32], const char *path, struct cw_err *err)
{
	struct cw_checkpoint *copy = cw_checkpoint_new();
	int rc = cw_checkpoint_save(copy, trial->st, trial->seq, digest, path, err);

	cw_checkpoint_free(&copy);
	return rc;
}
