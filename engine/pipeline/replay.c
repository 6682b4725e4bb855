/* Replay: the state of the detectors made anew from the store, in the recorded order, verdicts thrown away.
 *
 * At the start, when the arena is empty or older than the tables, and when the arena was lost. No group is evaluated
 * meanwhile. One page is read ahead while the evaluator works on the last. */
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "pg/result.h"
#include "pipeline/core.h"
#include "state/state.h"
#include "store/transactions.h"

#define PAGE 2000
#define CHUNK 256
#define AGAIN_MS 200                 /* after a failed query */

struct replay {
	uint64_t query;                  /* under way, 0: none */
	uint64_t begin, after, up_to;    /* identities: before the first, newest read, newest that there is */
	bool ranged;                     /* begin and up_to are known */
	bool at_end;                     /* the last page has been read */
	uint32_t n, submitted;           /* transactions of the page */
	uint32_t judging;                /* submitted, verdict not yet back */
	uint64_t done;
	int64_t started_us;
	struct cw_timer *again;
	struct cw_arena *arena;          /* the logs of the page */
	struct cw_tx page[PAGE];
};

static void replay_free(struct cw_pipeline *p)
{
	struct replay *r = p->replay;

	p->replay = NULL;
	if (r == NULL)
		return;
	if (r->query != 0)
		cw_pool_cancel(p->pool, r->query);
	cw_timer_free(&r->again);
	cw_arena_free(&r->arena);
	cw_free(r);
}

static void finish(struct cw_pipeline *p)
{
	struct replay *r = p->replay;

	if (r->done > 0)
		cw_log(CW_LOG_INFO, "pipeline", "history was replayed", "transactions=%llu seconds=%.3f",
		       (unsigned long long)r->done, (double)(cw_clock_mono_us() - r->started_us) / 1e6);
	p->stats.replayed += r->done;
	p->replayed = true;
	replay_free(p);
	cw_commit_kick(p);
}

static bool failed(struct cw_pipeline *p, const struct cw_err *err)
{
	p->replay->query = 0;
	if (err == NULL)
		return false;
	cw_log_err(CW_LOG_WARN, "pipeline", "history could not be read, trying again", err);
	cw_timer_set(p->replay->again, AGAIN_MS);
	return true;
}

static void on_range(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct replay *r = p->replay;
	uint64_t have = cw_state_seq(p->st);

	if (failed(p, err))
		return;
	r->begin = (uint64_t)cw_result_i64(res, 0, 0);
	r->up_to = (uint64_t)cw_result_i64(res, 0, 1);
	if (p->stats.committed_id < r->up_to)
		p->stats.committed_id = r->up_to;
	if (have > 0 && have < r->begin)
		cw_log(CW_LOG_WARN, "pipeline", "history is longer than what is replayed at most", "state=%llu first=%llu",
		       (unsigned long long)have, (unsigned long long)r->begin);
	if (have > r->begin)
		r->begin = have;
	r->after = r->begin;
	r->at_end = r->after >= r->up_to;
	r->ranged = true;
	cw_replay_step(p);
}

static void on_page(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct replay *r = p->replay;
	int rows;

	if (failed(p, err))
		return;
	rows = cw_result_rows(res);
	r->n = r->submitted = 0;
	cw_arena_clear(r->arena);
	for (int i = 0; i < rows && i < PAGE; i++) {
		r->after = (uint64_t)cw_result_i64(res, i, 0);
		if (cw_transactions_read(res, i, r->arena, &r->page[r->n]))
			r->n++;
		else
			cw_log(CW_LOG_ERROR, "pipeline", "a stored transaction makes no sense", "id=%llu",
			       (unsigned long long)r->after);
	}
	r->at_end = rows < PAGE || r->after >= r->up_to;
	cw_replay_step(p);
}

static void submit(struct cw_pipeline *p)
{
	struct replay *r = p->replay;

	cw_rules_boundary(p);
	if (p->next_gen != NULL)             /* let it run empty, so that the new rules can take over */
		return;
	while (r->submitted < r->n) {
		const struct cw_tx *txs[CHUNK];
		uint32_t room = cw_supervisor_room(p->supervisor), n = 0;

		while (n < room && n < CHUNK && r->submitted < r->n)
			txs[n++] = &r->page[r->submitted++];
		if (n == 0)
			return;
		r->judging += n;
		cw_supervisor_submit(p->supervisor, txs, n);
	}
}

/* Whatever can be done now: hand over what was read, read on, or end. */
void cw_replay_step(struct cw_pipeline *p)
{
	struct replay *r = p->replay;

	if (r == NULL)
		return;
	submit(p);
	if (r->query != 0 || r->submitted < r->n)
		return;
	if (!r->ranged)
		r->query = cw_transactions_replay_range(p->pool, p->conf.replay_max, on_range, p);
	else if (!r->at_end)
		r->query = cw_transactions_replay_page(p->pool, r->after, r->up_to, PAGE, on_page, p);
	else if (r->judging == 0)
		finish(p);
}

static void on_again(void *arg)
{
	cw_replay_step(CW_CAST(arg, PIPELINE_MAGIC));
}

void cw_replay_verdict(struct cw_pipeline *p, uint64_t seq)
{
	struct replay *r = p->replay;

	(void)seq;
	if (r->judging == 0) {
		cw_bug("a verdict that no replay waits for");
		return;
	}
	r->judging--;
	r->done++;
	if (r->judging == 0 || r->submitted < r->n)
		cw_replay_step(p);
}

bool cw_replay_judging(const struct cw_pipeline *p)
{
	return p->replay != NULL && p->replay->judging > 0;
}

double cw_replay_progress(const struct cw_pipeline *p)
{
	const struct replay *r = p->replay;

	if (r == NULL)
		return p->replayed ? 1 : 0;
	return r->up_to > r->begin ? (double)(r->after - r->begin) / (double)(r->up_to - r->begin) : 0;
}

void cw_replay_start(struct cw_pipeline *p)
{
	if (p->replay != NULL)
		return;
	if (p->gen == NULL || !cw_supervisor_ready(p->supervisor)) {
		cw_timer_set(p->again, 20);
		return;
	}
	p->replay_needed = false;
	if (p->conf.replay_max == 0) {
		p->replayed = true;
		cw_commit_kick(p);
		return;
	}
	p->replay = cw_zalloc(sizeof(*p->replay));
	p->replay->started_us = cw_clock_mono_us();
	p->replay->arena = cw_arena_new();
	p->replay->again = cw_timer_new(p->loop, on_again, p);
	cw_replay_step(p);
}

void cw_replay_restart(struct cw_pipeline *p)
{
	replay_free(p);
	p->replay_needed = true;
	cw_commit_kick(p);
}

void cw_replay_release(struct cw_pipeline *p)
{
	replay_free(p);
}
