/* The supervisor: which evaluator works and what is in the ring. Its time limits are in watchdog.c, what happens when one
 * dies in death.c. */
#include "pipeline/supervise.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pipeline/bundle.h"
#include "pipeline/ring.h"
#include "pipeline/supervise_internal.h"
#include "state/state.h"

const struct cw_supervisor_conf cw_supervisor_conf_default = {
	.ring_slots = 4096,
	.hang_ms = 500,
	.wall_ms = 50,
	.quarantine_after = 0,
	.load_ms = 30000,
	.scratch_bytes = 256ul << 20,
};

/* --- generations --- */

void cw_generation_free(struct cw_generation **generation)
{
	if (*generation != NULL)
		close((*generation)->bundle_fd);
	cw_free(*generation);
	*generation = NULL;
}

static struct cw_generation *generation_new(const struct cw_bundle *bundle, struct cw_err *err)
{
	size_t size;
	int fd = cw_bundle_pack(bundle, &size, err);
	struct cw_generation *generation;

	if (fd < 0)
		return NULL;
	generation = cw_zalloc(sizeof(*generation));
	generation->bundle_fd = fd;
	generation->bundle_size = size;
	return generation;
}

/* --- workers --- */

void cw_worker_free(struct cw_worker **worker)
{
	struct cw_worker *w = *worker;

	*worker = NULL;
	if (w == NULL)
		return;
	cw_watch_free(&w->watch);
	cw_evaluator_free(&w->evaluator);
	cw_free(w);
}

static void on_death(void *arg, int fd, int flags)
{
	struct cw_worker *w = arg;
	struct cw_supervisor *s = w->s;
	struct cw_obituary obituary;

	(void)fd;
	(void)flags;
	if (!cw_evaluator_reap(w->evaluator, &obituary))
		return;
	if (w == s->live)
		cw_supervisor_on_live_death(s, w, &obituary);
	else
		cw_supervisor_on_next_death(s, w, &obituary);
	cw_supervisor_step(s);
}

static struct cw_worker *worker_new(struct cw_supervisor *s, struct cw_generation *generation, bool tested,
                                    struct cw_err *err)
{
	const struct cw_evaluator_start how = {
		.zygote = s->zygote,
		.state = s->st,
		.ring_fd = cw_ring_fd(s->ring),
		.engine_fd = s->engine_fd,
		.bundle_fd = generation->bundle_fd,
		.bundle_size = generation->bundle_size,
		.scratch_bytes = s->conf.scratch_bytes,
		.tested = tested,
	};
	struct cw_evaluator *evaluator = cw_evaluator_start(&how, err);
	struct cw_worker *w;

	if (evaluator == NULL)
		return NULL;
	w = cw_zalloc(sizeof(*w));
	w->s = s;
	w->evaluator = evaluator;
	w->generation = generation;
	w->since_us = cw_clock_mono_us();
	w->watch = cw_watch_new(s->loop, cw_evaluator_pidfd(evaluator), on_death, w);
	cw_watch_set(w->watch, CW_WATCH_READ);
	return w;
}

static void worker_set(struct cw_worker *w, enum cw_role state)
{
	w->state = state;
	w->since_us = cw_clock_mono_us();
}

bool cw_worker_is_fresh(const struct cw_supervisor *s, const struct cw_worker *w)
{
	return w->generation == s->coming;
}

/* --- verdicts --- */

uint64_t cw_supervisor_limit(const struct cw_supervisor *s)
{
	return s->activate_at < s->pause_at ? s->activate_at : s->pause_at;
}

void cw_supervisor_log(enum cw_log_level level, const char *msg, int rule, const char *reason)
{
	char quoted[1200];

	cw_log(level, "evaluator", msg, "rule=%d reason=%s", rule, cw_log_quote(quoted, sizeof(quoted), reason));
}

void cw_supervisor_tell(struct cw_supervisor *s, enum cw_supervisor_event event, int rule, const char *reason)
{
	if (s->on_event != NULL)
		s->on_event(s->arg, event, rule, reason);
}

void cw_supervisor_quarantine(struct cw_supervisor *s, struct cw_worker *w, uint32_t rule, const char *reason)
{
	if (w->generation->disabled[rule])
		return;
	w->generation->disabled[rule] = true;
	if (w == s->live)
		cw_evaluator_switch(w->evaluator, rule, false);
	cw_supervisor_log(CW_LOG_WARN, "rule quarantined", (int)rule, reason);
	cw_supervisor_tell(s, CW_RULE_QUARANTINED, (int)rule, reason);
}

static void count_faults(struct cw_supervisor *s, struct cw_worker *w, const struct cw_verdict *v)
{
	char reason[256];

	for (uint32_t i = 0; i < v->nfaults; i++) {
		uint32_t rule = v->faults[i].rule;
		uint32_t n = ++w->generation->faults[rule];

		if (s->conf.quarantine_after <= 0 || n < (uint32_t)s->conf.quarantine_after)
			continue;
		snprintf(reason, sizeof(reason), "%u faults, the last one: %s", n, v->faults[i].message);
		cw_supervisor_quarantine(s, w, rule, reason);
	}
}

/* The evaluator has attached, which for a fresh one is the moment of the change. */
static void on_attached(struct cw_supervisor *s, struct cw_worker *w)
{
	worker_set(w, CW_ROLE_LIVE);
	cw_watchdog_glimpse(s, w->since_us);
	s->stats.pid = cw_evaluator_pid(w->evaluator);
	if (cw_worker_is_fresh(s, w)) {
		cw_generation_free(&s->generation);
		s->generation = s->coming;
		s->coming = NULL;
		s->activate_at = CW_NEVER;
		s->reason[0] = '\0';
		cw_log(CW_LOG_INFO, "evaluator", "rules activated", "pid=%" PRId64, s->stats.pid);
		cw_supervisor_tell(s, CW_ACTIVATED, -1, "");
		return;
	}
	if (s->reason[0] == '\0')
		return;
	cw_supervisor_tell(s, CW_EVALUATOR_REPLACED, -1, s->reason);
	s->reason[0] = '\0';
}

static void note_phase(struct cw_supervisor *s, struct cw_worker *w)
{
	enum cw_phase phase = cw_evaluator_phase(w->evaluator);

	if (w->state == CW_ROLE_LOADING && phase >= CW_PHASE_LOADED && phase != CW_PHASE_FAILED)
		worker_set(w, CW_ROLE_LOADED);
	if (w->state == CW_ROLE_STARTING && (phase == CW_PHASE_LIVE || phase == CW_PHASE_DONE))
		on_attached(s, w);
}

/* One verdict at the front of what was taken; false when it is nonsense. */
static bool deliver(struct cw_supervisor *s, struct cw_worker *w, const char *bytes, size_t len, size_t *consumed,
                    struct cw_err *err)
{
	struct cw_verdict v;
	uint64_t seq = cw_ring_tx(s->ring, s->received)->seq;
	bool warm;

	if (cw_verdict_read(&v, bytes, len, consumed, s->arena, err) != 0)
		return false;
	if (s->received == s->sent || v.seq != seq) {
		cw_err_set(err, CW_ERR_INTERNAL, "verdict for %" PRIu64 " comes out of turn", v.seq);
		return false;
	}
	warm = (cw_ring_tx(s->ring, s->received)->has & CW_TX_WARM) != 0;
	s->received++;
	if (!warm)
		s->acked = seq;
	s->stats.verdicts++;
	cw_supervisor_note_recovery(s);
	if (warm) {
		if (s->on_warmed != NULL)
			s->on_warmed(s->arg, seq);
		return true;
	}
	s->on_verdict(s->arg, seq, bytes, *consumed);
	if (v.nfaults > 0)
		count_faults(s, w, &v);
	if (v.nalerts + v.nfaults > 0)
		cw_arena_clear(s->arena);
	return true;
}

/* The bytes were taken before the phase is looked at: a verdict means that its evaluator has attached. */
void cw_supervisor_take(struct cw_supervisor *s)
{
	struct cw_worker *w = s->live;
	size_t consumed;
	bool good;

	if (w == NULL || w->state < CW_ROLE_STARTING || w->nonsense.code != CW_OK)
		return;
	cw_buf_clear(&s->bytes);
	good = cw_ring_take(s->ring, &s->bytes, &w->nonsense) >= 0;
	note_phase(s, w);
	for (size_t at = 0; good && at < s->bytes.len; at += consumed)
		good = deliver(s, w, s->bytes.data + at, s->bytes.len - at, &consumed, &w->nonsense);
	if (good)
		return;
	cw_err_wrap(&w->nonsense, "the evaluator sent nonsense");
	cw_evaluator_kill_stuck(w->evaluator, w->nonsense.msg);
}

void cw_supervisor_tell_load(struct cw_supervisor *s, const char *report, const struct cw_err *err)
{
	cw_load_fn *fn = s->load_fn;

	s->load_fn = NULL;
	if (fn != NULL)
		fn(s->load_arg, report, err);
}

static void note_loaded(struct cw_supervisor *s)
{
	struct cw_buf report = CW_BUF_INIT;

	note_phase(s, s->next);
	if (s->next->state != CW_ROLE_LOADED || s->load_fn == NULL)
		return;
	cw_evaluator_report(s->next->evaluator, &report);
	cw_supervisor_tell_load(s, report.data, NULL);
	cw_buf_release(&report);
}

static void on_engine_fd(void *arg, int fd, int flags)
{
	struct cw_supervisor *s = arg;
	uint64_t count;

	(void)flags;
	if (read(fd, &count, sizeof(count)) < 0 && errno != EAGAIN && errno != EINTR)
		cw_bug("could not read an eventfd: %s", strerror(errno));
	cw_ring_engine_sleeps(s->ring);
	if (s->live != NULL && s->live->state < CW_ROLE_STARTING)
		note_phase(s, s->live);
	cw_supervisor_take(s);
	if (s->next != NULL)
		note_loaded(s);
	cw_supervisor_step(s);
}

/* --- who works --- */

static void give_turn(struct cw_supervisor *s, struct cw_worker *w)
{
	worker_set(w, CW_ROLE_STARTING);
	s->acked = cw_state_seq(s->st);
	if (cw_worker_is_fresh(s, w))
		s->activate_at = CW_NEVER;
	for (uint32_t rule = 0; rule < CW_RULES_MAX; rule++)
		if (w->generation->disabled[rule])
			cw_evaluator_switch(w->evaluator, rule, false);
	cw_ring_set_wake(s->ring, cw_evaluator_wake_fd(w->evaluator));
	cw_ring_reset(s->ring);
	cw_ring_publish(s->ring, s->sent);
	cw_ring_engine_sleeps(s->ring);
	cw_evaluator_go(w->evaluator, s->received, cw_supervisor_limit(s));
	cw_watchdog_soon(s);
}

static void start_worker(struct cw_supervisor *s, struct cw_generation *generation)
{
	struct cw_err err = { .code = CW_OK };

	s->live = worker_new(s, generation, true, &err);
	if (s->live != NULL) {
		cw_watchdog_soon(s);
		return;
	}
	if (!cw_supervisor_is_failing(s))
		cw_log_err(CW_LOG_ERROR, "evaluator", "could not start an evaluator", &err);
	cw_supervisor_note_failure(s);
	cw_watchdog_soon(s);
}

static void pause_begins(void *arg)
{
	struct cw_supervisor *s = arg;
	void (*fn)(void *) = s->pause_fn;

	s->pause_fn = NULL;
	if (fn != NULL)
		fn(s->pause_arg);
}

void cw_supervisor_step(struct cw_supervisor *s)
{
	if (s->busy)
		return;
	if (s->live != NULL) {
		if (s->live->state == CW_ROLE_LOADED)
			give_turn(s, s->live);
		else if (s->live->state >= CW_ROLE_STARTING)
			cw_evaluator_limit(s->live->evaluator, cw_supervisor_limit(s));
		return;
	}
	if (s->received >= s->pause_at) {
		s->pause_at = CW_NEVER;
		s->paused = true;
		cw_loop_defer(s->loop, pause_begins, s);
	}
	if (s->paused || s->retry_us > cw_clock_mono_us())
		return;
	if (s->received >= s->activate_at && s->next != NULL) {
		s->live = s->next;
		s->next = NULL;
		if (s->live->state == CW_ROLE_LOADED)
			give_turn(s, s->live);
	} else if (s->received >= s->activate_at) {
		start_worker(s, s->coming);   /* the one that was loaded has died while it waited */
	} else if (s->generation != NULL) {
		start_worker(s, s->generation);
	}
}

/* --- public --- */

static void take_conf(struct cw_supervisor *s, const struct cw_supervisor_conf *conf)
{
	const struct cw_supervisor_conf *normal = &cw_supervisor_conf_default;

	s->conf = *conf;
	s->conf.ring_slots = conf->ring_slots > 0 ? conf->ring_slots : normal->ring_slots;
	s->conf.hang_ms = conf->hang_ms > 0 ? conf->hang_ms : normal->hang_ms;
	s->conf.load_ms = conf->load_ms > 0 ? conf->load_ms : normal->load_ms;
	s->conf.scratch_bytes = conf->scratch_bytes > 0 ? conf->scratch_bytes : normal->scratch_bytes;
}

struct cw_supervisor *cw_supervisor_new(struct cw_loop *loop, struct cw_zygote *zygote, struct cw_state *st,
                                        const struct cw_supervisor_conf *conf, cw_verdict_fn *on_verdict,
                                        cw_supervisor_event_fn *on_event, void *arg, struct cw_err *err)
{
	struct cw_supervisor *s = cw_zalloc(sizeof(*s));

	s->loop = loop;
	s->zygote = zygote;
	s->st = st;
	take_conf(s, conf);
	s->on_verdict = on_verdict;
	s->on_event = on_event;
	s->arg = arg;
	s->activate_at = s->pause_at = CW_NEVER;
	s->killed_rule = -1;
	s->bytes = (struct cw_buf)CW_BUF_INIT;
	s->arena = cw_arena_new();
	s->timer = cw_timer_new(loop, cw_watchdog_look, s);
	s->engine_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	s->ring = cw_ring_new(s->conf.ring_slots, err);
	if (s->ring == NULL || s->engine_fd < 0) {
		if (s->ring != NULL)
			cw_err_set(err, CW_ERR_SYSTEM, "could not make an eventfd: %s", strerror(errno));
		cw_supervisor_free(&s);
		return NULL;
	}
	s->engine_watch = cw_watch_new(loop, s->engine_fd, on_engine_fd, s);
	cw_watch_set(s->engine_watch, CW_WATCH_READ);
	return s;
}

void cw_supervisor_free(struct cw_supervisor **supervisor)
{
	struct cw_supervisor *s = *supervisor;
	bool had_turn;

	*supervisor = NULL;
	if (s == NULL)
		return;
	cw_loop_undefer(s->loop, pause_begins, s);
	had_turn = s->live != NULL && s->live->state >= CW_ROLE_STARTING;
	cw_worker_free(&s->live);
	cw_worker_free(&s->next);
	if (had_turn && cw_supervisor_rewind(s, NULL) != 0)
		cw_state_reset(s->st);
	cw_generation_free(&s->generation);
	cw_generation_free(&s->coming);
	cw_watch_free(&s->engine_watch);
	cw_timer_free(&s->timer);
	cw_ring_free(&s->ring);
	if (s->engine_fd >= 0)
		close(s->engine_fd);
	cw_buf_release(&s->bytes);
	cw_arena_free(&s->arena);
	cw_free(s);
}

void cw_supervisor_reconfigure(struct cw_supervisor *s, const struct cw_supervisor_conf *conf)
{
	uint32_t slots = s->conf.ring_slots;

	take_conf(s, conf);
	s->conf.ring_slots = slots;
}

int cw_supervisor_load(struct cw_supervisor *s, const struct cw_bundle *bundle, cw_load_fn *fn, void *arg,
                       struct cw_err *err)
{
	if (s->coming != NULL)
		return cw_err_set(err, CW_ERR_BUSY, "another set of rules is being loaded");
	s->coming = generation_new(bundle, err);
	if (s->coming == NULL)
		return -1;
	s->next = worker_new(s, s->coming, bundle->tested, err);
	if (s->next == NULL) {
		cw_generation_free(&s->coming);
		return -1;
	}
	s->load_fn = fn;
	s->load_arg = arg;
	cw_watchdog_soon(s);
	return 0;
}

int cw_supervisor_bundle(const struct cw_supervisor *s, struct cw_bundle *bundle, void **bytes, size_t *size)
{
	const struct cw_generation *generation = s->generation;

	if (generation == NULL)
		return -1;
	*size = generation->bundle_size;
	*bytes = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, generation->bundle_fd, 0);
	if (*bytes == MAP_FAILED)
		return -1;
	if (cw_bundle_unpack(bundle, *bytes, *size) == 0)
		return 0;
	munmap(*bytes, *size);
	return -1;
}

/* What was submitted so far gets its verdict first, if there is anybody to give it. */
static uint64_t judged_until(const struct cw_supervisor *s)
{
	return s->generation != NULL || s->live != NULL ? s->sent : s->received;
}

void cw_supervisor_activate(struct cw_supervisor *s, const uint32_t *disabled, int ndisabled)
{
	if (s->coming == NULL || s->load_fn != NULL || s->activate_at != CW_NEVER ||
	    (s->live != NULL && cw_worker_is_fresh(s, s->live))) {
		cw_bug("no loaded rules to activate");
		return;
	}
	for (int i = 0; i < ndisabled; i++)
		if (disabled[i] < CW_RULES_MAX)
			s->coming->disabled[disabled[i]] = true;
	s->activate_at = judged_until(s);
	cw_watchdog_soon(s);
	cw_supervisor_step(s);
}

void cw_supervisor_discard(struct cw_supervisor *s)
{
	if (s->activate_at != CW_NEVER || s->coming == NULL || (s->live != NULL && cw_worker_is_fresh(s, s->live)))
		return;
	s->load_fn = NULL;
	cw_worker_free(&s->next);
	cw_generation_free(&s->coming);
}

void cw_supervisor_pause(struct cw_supervisor *s, void (*fn)(void *arg), void *arg)
{
	if (s->paused || s->pause_at != CW_NEVER) {
		cw_bug("paused already");
		return;
	}
	s->pause_fn = fn;
	s->pause_arg = arg;
	s->pause_at = judged_until(s);
	cw_watchdog_soon(s);
	cw_supervisor_step(s);
}

void cw_supervisor_resume(struct cw_supervisor *s)
{
	cw_loop_undefer(s->loop, pause_begins, s);
	s->pause_fn = NULL;
	s->pause_at = CW_NEVER;
	s->paused = false;
	cw_supervisor_step(s);
}

uint32_t cw_supervisor_room(const struct cw_supervisor *s)
{
	return cw_ring_slots(s->ring) - (uint32_t)(s->sent - s->received);
}

void cw_supervisor_submit(struct cw_supervisor *s, const struct cw_tx *const *txs, uint32_t n)
{
	cw_assert(n <= cw_supervisor_room(s));
	for (uint32_t i = 0; i < n; i++)
		cw_ring_put(s->ring, s->sent++, txs[i]);
	s->stats.submitted += n;
	cw_ring_publish(s->ring, s->sent);
	cw_watchdog_soon(s);
}

void cw_supervisor_enable(struct cw_supervisor *s, uint32_t rule, bool enabled)
{
	if (s->generation == NULL || rule >= CW_RULES_MAX)
		return;
	s->generation->disabled[rule] = !enabled;
	if (enabled)
		s->generation->faults[rule] = 0;
	if (s->live != NULL && s->live->generation == s->generation)
		cw_evaluator_switch(s->live->evaluator, rule, enabled);
}

void cw_supervisor_keep_meters(struct cw_worker *w)
{
	for (uint32_t rule = 0; rule < CW_RULES_MAX; rule++) {
		struct cw_rule_meter meter;

		cw_evaluator_meter(w->evaluator, rule, &meter);
		cw_meter_add(&w->generation->meters[rule], &meter);
	}
}

bool cw_supervisor_meter(const struct cw_supervisor *s, uint32_t rule, struct cw_rule_meter *out)
{
	struct cw_rule_meter meter;

	*out = (struct cw_rule_meter){ .gap = 0 };
	if (s->generation == NULL || rule >= CW_RULES_MAX)
		return false;
	*out = s->generation->meters[rule];
	if (s->live == NULL || s->live->state != CW_ROLE_LIVE || s->live->generation != s->generation)
		return false;
	cw_evaluator_meter(s->live->evaluator, rule, &meter);
	cw_meter_add(out, &meter);
	return true;
}

void cw_supervisor_on_warmed(struct cw_supervisor *s, cw_warmed_fn *fn)
{
	s->on_warmed = fn;
}

bool cw_supervisor_ready(const struct cw_supervisor *s)
{
	return s->generation != NULL && !s->paused && !cw_supervisor_is_failing(s);
}

struct cw_supervisor_stats cw_supervisor_stats(const struct cw_supervisor *s)
{
	return s->stats;
}
