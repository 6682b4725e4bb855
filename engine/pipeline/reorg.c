/* A chain takes blocks back: what they held is dropped, and the detectors go back to where they were before it.
 *
 *   quiet -> where does it begin -> pause the evaluator, rewind the arena -> drop it in the tables -> judge the rest again
 *
 * Nothing is judged meanwhile. The arena goes first and the tables follow, asked again until they have it: should the
 * engine die in between, the arena dies with it, and what the tables say then is what is replayed. Checkpoints that hold
 * what is dropped are removed before either. Where the undo log does not reach back, an older checkpoint is loaded, or
 * none, and history is judged again from there; so is always what came after the first dropped transaction and stays. */
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pg/result.h"
#include "pipeline/core.h"
#include "state/state.h"
#include "store/reorgs.h"

#define AGAIN_FIRST_MS 20
#define AGAIN_MAX_MS 1000
#define LOOK_MS 20                   /* for the end of something that tells nobody */

enum reorg_phase {
	REORG_QUIET = 0,                 /* waits for the groups that are under way */
	REORG_ASKING,                    /* for the first transaction to be dropped */
	REORG_DISCARDING,                /* a checkpoint that is being written ends first */
	REORG_PAUSING,                   /* the evaluator ends, the arena is rewound */
	REORG_APPLYING,                  /* in the tables */
	REORG_JUDGING,                   /* what stays, again */
	REORG_READING,                   /* what was retracted */
};

struct reorg {
	enum reorg_phase phase;
	uint64_t chain_id, from_block;
	char *source, *cursor;           /* NULL: none */
	cw_rewound_fn *fn;
	void *arg;
	uint64_t query;                  /* under way, 0: none */
	int failures;                    /* in a row */
	struct cw_timer *timer;
	int64_t id;                      /* reorgs.id */
	uint64_t first;                  /* transaction to be dropped, 0: none */
	uint64_t replayed_before;
	int64_t started_us;
};

static void step(struct cw_pipeline *p);

static void reorg_free(struct cw_pipeline *p)
{
	struct reorg *r = p->reorg;

	p->reorg = NULL;
	if (r->query != 0)
		cw_pool_cancel(p->pool, r->query);
	cw_timer_free(&r->timer);
	cw_free(r->source);
	cw_free(r->cursor);
	cw_free(r);
}

static void on_timer(void *arg)
{
	step(CW_CAST(arg, PIPELINE_MAGIC));
}

/* True: the query has failed; it is asked again. */
static bool failed(struct cw_pipeline *p, const struct cw_err *err)
{
	struct reorg *r = p->reorg;
	int64_t ms = (int64_t)AGAIN_FIRST_MS << (r->failures < 6 ? r->failures : 6);

	r->query = 0;
	if (err == NULL) {
		r->failures = 0;
		return false;
	}
	if (r->failures++ == 0)
		cw_log_err(CW_LOG_WARN, "pipeline", "a reorg could not be written, trying again", err);
	cw_timer_set(r->timer, ms < AGAIN_MAX_MS ? ms : AGAIN_MAX_MS);
	return true;
}

/* Nothing is judged, and nothing that was judged is still to be committed. */
static bool is_quiet(const struct cw_pipeline *p)
{
	return p->front == NULL && p->committing == NULL && cw_list_empty(&p->kept) && p->gen != NULL && p->next_gen == NULL &&
	       !p->activating && p->replay == NULL && !p->replay_needed && !cw_pipeline_judging(p) &&
	       cw_supervisor_ready(p->supervisor);
}

static void on_begun(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct reorg *r = p->reorg;

	if (failed(p, err))
		return;
	r->id = cw_result_i64(res, 0, 0);
	r->first = (uint64_t)cw_result_i64(res, 0, 1);
	r->phase = REORG_DISCARDING;
	step(p);
}

/* No evaluator lives: the arena as it was before the first transaction that is dropped. */
static void go_back(struct cw_pipeline *p)
{
	struct reorg *r = p->reorg;
	struct cw_err err = { 0 };
	struct cw_state_mark mark;

	if (r->first == 0 || cw_state_seq(p->st) < r->first)
		return;
	if (cw_state_find_seq(p->st, r->first - 1, &mark) && cw_state_rewind(p->st, &mark, &err) == 0) {
		cw_log(CW_LOG_INFO, "pipeline", "the state of the detectors was rewound", "chain=%llu block=%llu seq=%llu",
		       (unsigned long long)r->chain_id, (unsigned long long)r->from_block, (unsigned long long)mark.seq);
		return;
	}
	if (err.code != CW_OK)
		cw_log_err(CW_LOG_WARN, "pipeline", "the state of the detectors could not be rewound", &err);
	cw_log(CW_LOG_WARN, "pipeline", "a reorg is deeper than the undo log, history is replayed", "chain=%llu block=%llu",
	       (unsigned long long)r->chain_id, (unsigned long long)r->from_block);
	cw_state_reset(p->st);
	if (p->restore != NULL)
		p->restore(p->restore_arg, p->st);
	if (cw_state_seq(p->st) >= r->first)      /* a checkpoint that should not be there */
		cw_state_reset(p->st);
}

static void on_paused(void *arg)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct reorg *r = p->reorg;

	go_back(p);
	r->phase = REORG_APPLYING;
	cw_supervisor_resume(p->supervisor);
	step(p);
}

static void on_applied(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct reorg *r = p->reorg;

	(void)res;
	if (failed(p, err))
		return;
	cw_recent_resize(p->recent, p->conf.recent_hashes);
	r->replayed_before = p->stats.replayed;
	r->phase = REORG_JUDGING;
	if (r->first != 0)
		p->replay_needed = true;
	cw_commit_kick(p);
}

static void tell(struct cw_pipeline *p, const struct cw_result *res)
{
	for (int i = 0; i < cw_result_rows(res); i++) {
		struct cw_retraction told = { .reorg_id = p->reorg->id };
		struct cw_reorg_row row;

		cw_reorgs_row(res, i, &row);
		if (row.anomaly_id == 0 || p->retract == NULL)
			continue;
		told.anomaly_id = row.anomaly_id;
		told.chain_id = row.chain_id;
		told.rule = row.rule;
		told.version = row.version;
		told.title = row.title;
		told.dedup = row.dedup_key;
		if (!cw_severity_parse(row.severity, &told.severity))
			told.severity = CW_SEVERITY_LOW;
		p->retract(p->retract_arg, &told);
	}
}

static void on_read(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);
	struct reorg *r = p->reorg;
	struct cw_rewound what = { 0 };
	struct cw_reorg_row row;
	cw_rewound_fn *fn = r->fn;
	void *fn_arg = r->arg;

	if (failed(p, err))
		return;
	if (cw_result_rows(res) > 0) {
		cw_reorgs_row(res, 0, &row);
		what.transactions = row.transactions;
		what.retracted = row.retracted;
	}
	what.judged_again = p->stats.replayed - r->replayed_before;
	tell(p, res);
	p->stats.reorgs++;
	cw_metric_add(p->metrics.reorgs, 1);
	cw_metric_add(p->metrics.retracted, (double)what.retracted);
	cw_log(CW_LOG_WARN, "pipeline", "a chain took blocks back",
	       "chain=%llu from_block=%llu transactions=%llu alerts_retracted=%llu judged_again=%llu seconds=%.3f",
	       (unsigned long long)r->chain_id, (unsigned long long)r->from_block, (unsigned long long)what.transactions,
	       (unsigned long long)what.retracted, (unsigned long long)what.judged_again,
	       (double)(cw_clock_mono_us() - r->started_us) / 1e6);
	reorg_free(p);
	cw_commit_kick(p);
	if (fn != NULL)
		fn(fn_arg, &what, NULL);
}

/* A checkpoint with what is dropped must be gone, and none may be made, before anything else happens. */
static void pause_when_discarded(struct cw_pipeline *p)
{
	struct reorg *r = p->reorg;

	if (!is_quiet(p)) {              /* an evaluator died meanwhile */
		r->phase = REORG_QUIET;
		cw_timer_set(r->timer, LOOK_MS);
		return;
	}
	if (r->first != 0 && p->discard != NULL && !p->discard(p->discard_arg, r->first)) {
		cw_timer_set(r->timer, LOOK_MS);
		return;
	}
	r->phase = REORG_PAUSING;
	cw_supervisor_pause(p->supervisor, on_paused, p);
}

static void step(struct cw_pipeline *p)
{
	struct reorg *r = p->reorg;

	if (r == NULL || r->query != 0)
		return;
	switch (r->phase) {
	case REORG_QUIET:
		if (!is_quiet(p)) {
			cw_timer_set(r->timer, LOOK_MS);
			return;
		}
		r->phase = REORG_ASKING;     /* falls through */
	case REORG_ASKING:
		r->query = cw_reorgs_begin(p->pool, r->chain_id, r->from_block, r->source, on_begun, p);
		return;
	case REORG_DISCARDING:
		pause_when_discarded(p);
		return;
	case REORG_PAUSING:
		return;
	case REORG_APPLYING:
		r->query = cw_reorgs_apply(p->pool, r->id, r->chain_id, r->from_block, r->source, r->cursor, p->want_events,
		                           on_applied, p);
		return;
	case REORG_JUDGING:
		if (p->replay_needed || p->replay != NULL)
			return;                  /* the pump comes by */
		r->phase = REORG_READING;    /* falls through */
	case REORG_READING:
		r->query = cw_reorgs_read(p->pool, r->id, on_read, p);
		return;
	}
}

void cw_reorg_step(struct cw_pipeline *p)
{
	step(p);
}

bool cw_reorg_holds(const struct cw_pipeline *p)
{
	return p->reorg != NULL && p->reorg->phase >= REORG_PAUSING && p->reorg->phase <= REORG_APPLYING;
}

static char *copy(const char *text)
{
	return text != NULL ? cw_strdup(text) : NULL;
}

int cw_pipeline_rewind(struct cw_pipeline *pipeline, const struct cw_reorg *reorg, cw_rewound_fn *fn, void *arg,
                       struct cw_err *err)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);
	struct reorg *r;

	if (p->reorg != NULL || p->draining)
		return cw_err_set(err, CW_ERR_BUSY, p->draining ? "the engine is stopping" : "another chain takes blocks back");
	if (reorg->chain_id > INT64_MAX || reorg->from_block > INT64_MAX)
		return cw_err_set(err, CW_ERR_INVALID, "chain or block number is out of range");
	r = cw_zalloc(sizeof(*r));
	r->chain_id = reorg->chain_id;
	r->from_block = reorg->from_block;
	r->source = copy(reorg->source);
	r->cursor = copy(reorg->cursor);
	r->fn = fn;
	r->arg = arg;
	r->started_us = cw_clock_mono_us();
	r->timer = cw_timer_new(p->loop, on_timer, p);
	p->reorg = r;
	cw_warm_restart(p, false);
	cw_commit_kick(p);
	return 0;
}

void cw_reorg_release(struct cw_pipeline *p)
{
	static const struct cw_err stopped = { .code = CW_ERR_CANCELLED, .msg = "the engine is stopping" };
	cw_rewound_fn *fn;
	void *arg;

	if (p->reorg == NULL)
		return;
	fn = p->reorg->fn;
	arg = p->reorg->arg;
	reorg_free(p);
	if (fn != NULL)
		fn(arg, NULL, &stopped);
}

static void on_final(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	(void)arg;
	(void)res;
	if (err != NULL && err->code != CW_ERR_CANCELLED)
		cw_log_err(CW_LOG_WARN, "pipeline", "alerts could not be made final, the next head will", err);
}

void cw_pipeline_finalise(struct cw_pipeline *pipeline, uint64_t chain_id, uint64_t up_to_block)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);

	cw_reorgs_finalise(p->pool, chain_id, up_to_block, on_final, NULL);
}

void cw_pipeline_want_events(struct cw_pipeline *pipeline, bool wanted)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);

	p->want_events = wanted;
}

void cw_pipeline_on_retract(struct cw_pipeline *pipeline, cw_retract_fn *fn, void *arg)
{
	pipeline->retract = fn;
	pipeline->retract_arg = arg;
}

void cw_pipeline_on_discard(struct cw_pipeline *pipeline, cw_discard_fn *fn, void *arg)
{
	pipeline->discard = fn;
	pipeline->discard_arg = arg;
}
