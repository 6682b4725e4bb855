/* Warm-up: rules whose state lacks history are given it while live traffic goes on.
 *
 * The evaluator knows how far the state of each rule reaches (struct cw_rule_meter, `gap`); rules that lack something do
 * not judge. From the first transaction that one of them lacks, stored history goes through the ring between live
 * transactions, marked, in slices; nothing comes back but its count. Near the end new groups are held back for a moment,
 * until what was judged is committed and read as well: then the rules lack nothing, and what they say from there on is what
 * they would have said had they been there all along (within the history that is given: rules.warm_max, warm_hours).
 *
 * A death, a rewind or a reload in between need no care here: the gap is state, and history that was taken in before is
 * skipped by the evaluator. */
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/result.h"
#include "pipeline/core.h"
#include "state/state.h"
#include "store/transactions.h"

#define PAGE 2000
#define SLICE 256                    /* in the evaluator's hands at a time: what a live transaction may have to wait for */
#define LOOK_MS 250                  /* for rules that lack something */
#define HOLD_MS 1000                 /* new groups wait no longer than this; then it tries again */
#define END_SEQ (UINT64_MAX - 1)

enum warm_phase {
	WARM_IDLE = 0,
	WARM_RANGE,                      /* where history begins is being asked */
	WARM_READING,                    /* page by page, traffic goes on */
	WARM_HOLDING,                    /* no new groups: what was judged commits, the last pages are read */
	WARM_ENDING,                     /* the end mark is in the ring */
};

struct warm {
	enum warm_phase phase;
	uint64_t query;                  /* under way, 0: none */
	uint64_t begin, after;           /* identities: before the first, newest read */
	bool last_page;
	uint32_t n, submitted;           /* of the page */
	uint32_t judging;                /* in the ring, not yet told */
	uint64_t done;
	int64_t started_us, hold_us;
	struct cw_timer *timer;
	struct cw_tx page[PAGE];
	struct cw_arena *arena;          /* its logs */
};

static void step(struct cw_pipeline *p);

/* What rules that are on have seen: the least of it, `begin` for one that begins empty. False when none lacks any. */
static bool lacking(const struct cw_pipeline *p, uint64_t begin, uint64_t *after)
{
	bool any = false;

	for (uint32_t i = 0; p->gen != NULL && i < p->gen->nrules; i++) {
		struct cw_rule_meter meter;

		uint64_t seen;

		if (p->gen->rules[i].disabled || !cw_supervisor_meter(p->supervisor, i, &meter) || meter.gap == 0)
			continue;
		seen = meter.gap > 1 ? meter.gap - 1 : begin;
		if (!any || seen < *after)
			*after = seen;
		any = true;
	}
	return any;
}

static void end_run(struct cw_pipeline *p)
{
	struct warm *w = p->warm;
	bool held = w->phase >= WARM_HOLDING;

	if (w->query != 0)
		cw_pool_cancel(p->pool, w->query);
	w->query = 0;
	w->phase = WARM_IDLE;
	w->n = w->submitted = 0;
	cw_timer_set(w->timer, LOOK_MS);
	if (held)
		cw_commit_kick(p);
}

/* True: a query has failed, and the run with it; the timer begins another. */
static bool failed(struct cw_pipeline *p, const struct cw_err *err)
{
	p->warm->query = 0;
	if (err == NULL)
		return false;
	cw_log_err(CW_LOG_WARN, "pipeline", "history for rules that warm up could not be read, trying again", err);
	end_run(p);
	return true;
}

static void on_range(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct warm *w = p->warm;

	if (failed(p, err))
		return;
	w->begin = (uint64_t)cw_result_i64(res, 0, 0);
	if (!lacking(p, w->begin, &w->after)) {
		end_run(p);
		return;
	}
	w->begin = w->after;
	w->phase = WARM_READING;
	w->last_page = false;
	step(p);
}

static void on_page(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct warm *w = p->warm;
	int rows;

	if (failed(p, err))
		return;
	rows = cw_result_rows(res);
	w->n = w->submitted = 0;
	cw_arena_clear(w->arena);
	for (int i = 0; i < rows && i < PAGE; i++) {
		w->after = (uint64_t)cw_result_i64(res, i, 0);
		if (cw_transactions_read(res, i, w->arena, &w->page[w->n]))
			w->page[w->n++].has |= CW_TX_WARM;
	}
	w->last_page = rows < PAGE;
	step(p);
}

/* As much of the page as the evaluator may have at a time. */
static void submit(struct cw_pipeline *p)
{
	struct warm *w = p->warm;

	while (w->submitted < w->n && w->judging < SLICE) {
		const struct cw_tx *txs[SLICE];
		uint32_t room = cw_supervisor_room(p->supervisor), n = 0;

		while (n < room && n + w->judging < SLICE && w->submitted < w->n)
			txs[n++] = &w->page[w->submitted++];
		if (n == 0)
			return;
		w->judging += n;
		cw_supervisor_submit(p->supervisor, txs, n);
	}
}

static void submit_end(struct cw_pipeline *p)
{
	struct warm *w = p->warm;
	const struct cw_tx end = { .seq = END_SEQ, .has = CW_TX_WARM | CW_TX_WARM_END };
	const struct cw_tx *txs[1] = { &end };

	if (cw_supervisor_room(p->supervisor) == 0)
		return;
	w->phase = WARM_ENDING;
	w->judging++;
	cw_supervisor_submit(p->supervisor, txs, 1);
}

/* Nothing that was judged is still to be committed. */
static bool is_settled(const struct cw_pipeline *p)
{
	return p->front == NULL && p->committing == NULL && cw_list_empty(&p->kept);
}

static void step(struct cw_pipeline *p)
{
	struct warm *w = p->warm;

	/* While a reorg rewinds the arena nothing may wait in the ring: it would come before what the rewind took away. */
	if (w->phase < WARM_READING || p->next_gen != NULL || p->activating || p->reorg != NULL)
		return;
	submit(p);
	if (w->query != 0 || w->submitted < w->n || w->phase == WARM_ENDING)
		return;
	if (w->phase == WARM_READING && w->last_page) {
		w->phase = WARM_HOLDING;
		w->last_page = false;
		w->hold_us = cw_clock_mono_us();
	}
	if (w->phase == WARM_HOLDING && !is_settled(p))
		return;                      /* comes back with the next commit, or by the timer */
	if (w->phase == WARM_HOLDING && w->last_page)
		submit_end(p);
	else
		w->query = cw_transactions_replay_page(p->pool, w->after, INT64_MAX, PAGE, on_page, p);
}

static void on_warmed(void *arg, uint64_t seq)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct warm *w = p->warm;

	if (w->judging == 0) {
		cw_bug("history that nobody has given");
		return;
	}
	w->judging--;
	cw_commit_evaluate(p);               /* room in the ring: what is live comes before more of history */
	if (seq != END_SEQ) {
		w->done++;
		p->stats.warmed++;
	} else if (w->phase == WARM_ENDING) {
		cw_log(CW_LOG_INFO, "rules", "rules are warm", "transactions=%llu seconds=%.3f held_ms=%.1f",
		       (unsigned long long)w->done, (double)(cw_clock_mono_us() - w->started_us) / 1e6,
		       (double)(cw_clock_mono_us() - w->hold_us) / 1e3);
		end_run(p);
		return;
	}
	if (w->judging == 0 && p->next_gen != NULL)
		cw_commit_kick(p);           /* the ring is empty: the new rules can take over */
	else if (w->judging < SLICE / 2)
		step(p);
}

static void begin_run(struct cw_pipeline *p)
{
	struct warm *w = p->warm;
	uint64_t after;

	if (p->gen == NULL || p->next_gen != NULL || p->activating || p->replay_needed || p->replay != NULL ||
	    p->reorg != NULL || p->draining ||
	    w->judging > 0 || !cw_supervisor_ready(p->supervisor) || !lacking(p, 0, &after))
		return;
	w->phase = WARM_RANGE;
	w->done = 0;
	w->started_us = cw_clock_mono_us();
	w->query = cw_transactions_warm_range(p->pool, p->conf.warm_max, p->conf.warm_hours, on_range, p);
}

static void on_timer(void *arg)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct warm *w = p->warm;

	cw_timer_set(w->timer, LOOK_MS);
	if (w->phase == WARM_IDLE)
		begin_run(p);
	else if (w->phase == WARM_HOLDING && cw_clock_mono_us() - w->hold_us > HOLD_MS * 1000)
		end_run(p);                  /* the database is slow now */
	else
		step(p);
}

void cw_warm_step(struct cw_pipeline *p)
{
	if (p->warm->phase == WARM_IDLE)
		begin_run(p);
	else
		step(p);
}

/* Which rules lack what may be otherwise now. */
void cw_warm_restart(struct cw_pipeline *p, bool ring_is_empty)
{
	if (ring_is_empty)
		p->warm->judging = 0;
	if (p->warm->phase != WARM_IDLE)
		end_run(p);
	begin_run(p);
}

bool cw_warm_judging(const struct cw_pipeline *p)
{
	return p->warm->judging > 0;
}

bool cw_warm_holds(const struct cw_pipeline *p)
{
	return p->warm->phase >= WARM_HOLDING;
}

double cw_warm_progress(const struct cw_pipeline *p, uint64_t gap)
{
	const struct warm *w = p->warm;
	uint64_t end = p->stats.committed_id, seen = gap - 1;

	if (gap == 0)
		return 1;
	if (w->phase < WARM_READING || seen <= w->begin || end <= w->begin)
		return 0;
	return seen >= end ? 1 : (double)(seen - w->begin) / (double)(end - w->begin);
}

void cw_warm_init(struct cw_pipeline *p)
{
	p->warm = cw_zalloc(sizeof(*p->warm));
	p->warm->arena = cw_arena_new();
	p->warm->timer = cw_timer_new(p->loop, on_timer, p);
	cw_supervisor_on_warmed(p->supervisor, on_warmed);
	cw_timer_set(p->warm->timer, LOOK_MS);
}

void cw_warm_release(struct cw_pipeline *p)
{
	struct warm *w = p->warm;

	if (w->query != 0)
		cw_pool_cancel(p->pool, w->query);
	cw_timer_free(&w->timer);
	cw_arena_free(&w->arena);
	cw_free(w);
	p->warm = NULL;
}
