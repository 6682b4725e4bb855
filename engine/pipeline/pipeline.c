#include "pipeline/pipeline.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pipeline/core.h"

#define STALLED_US 5000000       /* a group that takes longer: transactions cannot be taken now */

const struct cw_pipeline_conf cw_pipeline_conf_default = {
	.queue_limit = 16384,
	.group_max = 1000,
	.insert_rows = 128,
	.commit_linger_us = 0,
	.commit_lanes = 2,
	.lane_rows = 256,
	.recent_hashes = 1 << 16,
	.wait_ms = 30000,
	.replay_max = 1000000,
	.warm_max = 1000000,
	.warm_hours = 168,
	.rate_check_ms = 60000,
};

static void on_verdict(void *arg, uint64_t seq, const void *bytes, size_t len)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);

	if (p->replay != NULL)
		cw_replay_verdict(p, seq);
	else
		cw_commit_verdict(p, seq, bytes, len);
}

static void on_event(void *arg, enum cw_supervisor_event event, int rule, const char *reason)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);

	switch (event) {
	case CW_EVALUATOR_REPLACED:
		cw_commit_kick(p);
		return;
	case CW_RULE_QUARANTINED:
		cw_rules_quarantined(p, rule, reason);
		return;
	case CW_STATE_LOST:
		cw_log(CW_LOG_ERROR, "pipeline", "the state of the detectors was lost, history is replayed", "reason=\"%s\"",
		       reason != NULL ? reason : "");
		if (p->restore != NULL)
			p->restore(p->restore_arg, p->st);
		cw_warm_restart(p, true);
		if (p->replay != NULL)
			cw_replay_restart(p);
		else
			cw_commit_state_lost(p);
		return;
	case CW_ACTIVATED:
	case CW_ACTIVATION_FAILED:
		cw_rules_activated(p, event == CW_ACTIVATED, reason);
		cw_warm_restart(p, false);
		cw_commit_evaluate(p);
		cw_replay_step(p);
		cw_commit_kick(p);
		return;
	}
}

void cw_pipeline_on_state_lost(struct cw_pipeline *pipeline, cw_restore_fn *fn, void *arg)
{
	pipeline->restore = fn;
	pipeline->restore_arg = arg;
}

bool cw_pipeline_judging(const struct cw_pipeline *p)
{
	return cw_replay_judging(p) || cw_warm_judging(p) ||
	       (p->front != NULL && p->front->state == GROUP_EVALUATING && p->front->judged < p->front->n);
}

static void collect(void *arg)
{
	struct cw_pipeline *p = CW_CAST(arg, PIPELINE_MAGIC);

	cw_metric_set(p->metrics.queued, p->load);
	cw_rules_collect(p);
}

static void register_metrics(struct pipeline_metrics *m)
{
	static const double sizes[] = { 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000 };
	static const char total[] = "chainwatch_transactions_total", what[] = "Transactions that have their outcome.";
	static const char anomalies[] = "chainwatch_anomalies_total", alerts[] = "Anomalies stored, without shadow ones.";

	m->fresh = cw_counter(total, what, "result=\"new\"");
	m->duplicate = cw_counter(total, what, "result=\"duplicate\"");
	m->failed = cw_counter(total, what, "result=\"failed\"");
	m->severity[CW_SEVERITY_LOW] = cw_counter(anomalies, alerts, "severity=\"low\"");
	m->severity[CW_SEVERITY_MEDIUM] = cw_counter(anomalies, alerts, "severity=\"medium\"");
	m->severity[CW_SEVERITY_HIGH] = cw_counter(anomalies, alerts, "severity=\"high\"");
	m->severity[CW_SEVERITY_CRITICAL] = cw_counter(anomalies, alerts, "severity=\"critical\"");
	m->reorgs = cw_counter("chainwatch_reorgs_total", "Times that a chain took judged blocks back.", NULL);
	m->retracted = cw_counter("chainwatch_anomalies_retracted_total", "Alerts that went with them.", NULL);
	m->queued = cw_gauge("chainwatch_pipeline_transactions", "Transactions admitted and not done yet.", NULL);
	m->group_size = cw_histogram("chainwatch_commit_group_size", "Transactions in a commit.", NULL, sizes,
	                             sizeof(sizes) / sizeof(sizes[0]));
	m->commit_seconds = cw_histogram("chainwatch_commit_seconds", "From sending a group to its commit.", NULL,
	                                 cw_seconds_bounds, cw_seconds_nbounds);
}

static int check(const struct cw_pipeline_conf *conf, struct cw_err *err)
{
	if (conf->queue_limit == 0)
		return cw_err_set(err, CW_ERR_INVALID, "pipeline.queue_limit must be at least 1");
	if (conf->group_max == 0)
		return cw_err_set(err, CW_ERR_INVALID, "pipeline.group_max must be at least 1");
	if (conf->wait_ms <= 0)
		return cw_err_set(err, CW_ERR_INVALID, "pipeline.wait_ms must be at least 1");
	if (conf->commit_linger_us < 0)
		return cw_err_set(err, CW_ERR_INVALID, "pipeline.commit_linger_us must not be negative");
	return 0;
}

struct cw_pipeline *cw_pipeline_new(struct cw_loop *loop, struct cw_pool *pool, struct cw_zygote *zygote,
                                    struct cw_state *st, const struct cw_pipeline_conf *conf,
                                    const struct cw_supervisor_conf *supervisor, struct cw_err *err)
{
	struct cw_pipeline *p;

	if (check(conf, err) != 0)
		return NULL;
	p = cw_zalloc(sizeof(*p));
	p->magic = PIPELINE_MAGIC;
	p->loop = loop;
	p->pool = pool;
	p->st = st;
	p->conf = *conf;
	p->supervisor = cw_supervisor_new(loop, zygote, st, supervisor, on_verdict, on_event, p, err);
	if (p->supervisor == NULL) {
		cw_free(p);
		return NULL;
	}
	cw_buf_init(&p->ruleset);
	cw_buf_init(&p->changes);
	cw_buf_puts(&p->changes, "[]");
	register_metrics(&p->metrics);
	cw_metrics_on_collect(collect, p);
	cw_admit_init(p);
	cw_known_init(p);
	cw_commit_init(p);
	cw_warm_init(p);
	cw_rates_init(p);
	return p;
}

void cw_pipeline_free(struct cw_pipeline **pipeline)
{
	struct cw_pipeline *p = *pipeline;

	*pipeline = NULL;
	if (p == NULL)
		return;
	cw_supervisor_free(&p->supervisor);
	cw_metrics_off_collect(collect, p);
	cw_replay_release(p);
	cw_reorg_release(p);
	cw_warm_release(p);
	cw_rates_release(p);
	cw_commit_release(p);
	cw_known_release(p);
	cw_admit_release(p);
	cw_rules_release(p);
	p->magic = 0;
	cw_free(p);
}

void cw_pipeline_reconfigure(struct cw_pipeline *pipeline, const struct cw_pipeline_conf *conf)
{
	struct cw_pipeline *p = CW_CAST(pipeline, PIPELINE_MAGIC);
	struct cw_err err = { 0 };

	if (check(conf, &err) != 0) {
		cw_log_err(CW_LOG_ERROR, "pipeline", "settings refused", &err);
		return;
	}
	if (conf->recent_hashes != p->conf.recent_hashes)
		cw_recent_resize(p->recent, conf->recent_hashes);
	p->conf = *conf;
	cw_rates_reconfigured(p);
}

/* A database that hangs breaks no connection: it is seen by a group that is not done. */
static bool is_stalled(const struct cw_pipeline *p)
{
	const struct group *oldest = p->committing != NULL ? p->committing : p->front;

	return oldest != NULL && cw_clock_mono_us() - oldest->started_us > STALLED_US;
}

bool cw_pipeline_ready(const struct cw_pipeline *pipeline)
{
	return pipeline->gen != NULL && pipeline->replayed && pipeline->replay == NULL && !pipeline->replay_needed &&
	       !pipeline->draining && pipeline->stream.state == STREAM_OPEN && !is_stalled(pipeline) &&
	       cw_supervisor_ready(pipeline->supervisor);
}

struct cw_pipeline_stats cw_pipeline_stats(const struct cw_pipeline *pipeline)
{
	struct cw_pipeline_stats stats = pipeline->stats;

	stats.queued = pipeline->queued;
	stats.load = pipeline->load;
	stats.replaying = pipeline->replay != NULL || pipeline->replay_needed || pipeline->reorg != NULL;
	stats.replay_progress = cw_replay_progress(pipeline);
	return stats;
}

struct cw_supervisor_stats cw_pipeline_supervisor_stats(const struct cw_pipeline *pipeline)
{
	return cw_supervisor_stats(pipeline->supervisor);
}
