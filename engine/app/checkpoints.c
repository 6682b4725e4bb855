#include "app/checkpoints.h"

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/config.h"
#include "app/parts.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "loop/work.h"
#include "pipeline/pipeline.h"
#include "state/checkpoint.h"
#include "state/state.h"

#define RETRY_MS 1000            /* a rewind came in between, or the log ran round */

struct cw_checkpoints {
	struct cw_engine *engine;
	struct cw_checkpoint *copy;  /* a worker's while it is busy */
	struct cw_timer *timer;
	char path[512];
	uint8_t digest[CW_CHECKPOINT_DIGEST];
	uint64_t seq, kept_seq;      /* being written; in the file */
	int64_t started_us;
	bool busy, closing;
	int rc;
	struct cw_err err;
};

static int load(struct cw_checkpoints *c, struct cw_state *st)
{
	struct cw_checkpoint_info info;
	struct cw_err err;

	if (cw_checkpoint_load(st, c->path, c->digest, &info, &err) != 0) {
		if (err.code != CW_ERR_NOT_FOUND)
			cw_log_err(CW_LOG_WARN, "state", "the checkpoint is not used, history is replayed", &err);
		return -1;
	}
	c->kept_seq = info.seq;
	cw_log(CW_LOG_INFO, "state", "checkpoint loaded", "seq=%llu bytes=%llu", (unsigned long long)info.seq,
	       (unsigned long long)info.bytes);
	return 0;
}

struct cw_checkpoints *cw_checkpoints_open(struct cw_engine *e, const char *database, int64_t newest)
{
	struct cw_checkpoints *c = cw_zalloc(sizeof(*c));

	c->engine = e;
	c->copy = cw_checkpoint_new();
	snprintf(c->path, sizeof(c->path), "%s/state.ckpt", e->config->data_dir);
	crypto_hash_sha256(c->digest, (const uint8_t *)database, strlen(database));
	if (load(c, e->state) == 0 && c->kept_seq > (uint64_t)newest) {
		cw_log(CW_LOG_WARN, "state", "the checkpoint is ahead of the database, history is replayed",
		       "seq=%llu newest=%lld", (unsigned long long)c->kept_seq, (long long)newest);
		cw_state_reset(e->state);
		c->kept_seq = 0;
	}
	return c;
}

static void count(const struct cw_checkpoints *c)
{
	struct cw_checkpoint_info info = cw_checkpoint_info(c->copy);

	cw_metric_set(cw_gauge("chainwatch_checkpoint_timestamp_seconds", "When state was last written to disk.", NULL),
	              (double)cw_clock_wall_us() / 1e6);
	cw_metric_set(cw_gauge("chainwatch_checkpoint_size_bytes", "Detector state in the last checkpoint.", NULL),
	              (double)info.bytes);
	cw_metric_set(cw_gauge("chainwatch_checkpoint_duration_seconds", "How long the last checkpoint took.", NULL),
	              (double)(cw_clock_mono_us() - c->started_us) / 1e6);
}

static void write_copy(void *arg)
{
	struct cw_checkpoints *c = arg;

	c->rc = cw_checkpoint_save(c->copy, c->engine->state, c->seq, c->digest, c->path, &c->err);
}

static void on_written(void *arg, bool ran)
{
	struct cw_checkpoints *c = arg;
	bool again = false;

	c->busy = false;
	if (ran && c->rc == 0) {
		c->kept_seq = c->seq;
		count(c);
	} else if (ran) {
		again = c->err.code == CW_ERR_CONFLICT || c->err.code == CW_ERR_NOT_FOUND;
		cw_log_err(again ? CW_LOG_DEBUG : CW_LOG_ERROR, "state", "could not write a checkpoint", &c->err);
	}
	if (!c->closing)
		cw_timer_set(c->timer, again ? RETRY_MS : c->engine->config->checkpoint_s * 1000);
}

static void on_timer(void *arg)
{
	struct cw_checkpoints *c = arg;

	struct cw_pipeline_stats stats = cw_pipeline_stats(c->engine->pipeline);

	c->seq = stats.committed_id;
	c->started_us = cw_clock_mono_us();
	c->busy = c->seq > c->kept_seq && !stats.replaying && cw_work_submit(c->engine->work, write_copy, on_written, c) == 0;
	if (!c->busy)
		cw_timer_set(c->timer, c->engine->config->checkpoint_s * 1000);
}

static void on_lost(void *arg, struct cw_state *st)
{
	load(arg, st);
}

/* For good: a crash must not bring the file back, so the folder is flushed as well. */
static bool on_discard(void *arg, uint64_t seq)
{
	struct cw_checkpoints *c = arg;
	int dir;

	if (c->busy)
		return false;
	if (c->kept_seq < seq)
		return true;
	if (unlink(c->path) != 0 && errno != ENOENT) {
		struct cw_err err;

		cw_err_set(&err, CW_ERR_SYSTEM, "could not remove \"%s\": %s", c->path, strerror(errno));
		cw_log_err(CW_LOG_ERROR, "state", "a checkpoint of blocks that were taken back stays, trying again", &err);
		return false;
	}
	dir = open(c->engine->config->data_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0) {
		fsync(dir);
		close(dir);
	}
	c->kept_seq = 0;
	return true;
}

void cw_checkpoints_start(struct cw_checkpoints *c)
{
	cw_pipeline_on_state_lost(c->engine->pipeline, on_lost, c);
	cw_pipeline_on_discard(c->engine->pipeline, on_discard, c);
	c->timer = cw_timer_new(c->engine->loop, on_timer, c);
	if (c->engine->config->checkpoint_s > 0)
		cw_timer_set(c->timer, c->engine->config->checkpoint_s * 1000);
}

void cw_checkpoints_close(struct cw_checkpoints **checkpoints, int save)
{
	struct cw_checkpoints *c = *checkpoints;
	struct cw_err err;

	*checkpoints = NULL;
	if (c == NULL)
		return;
	c->closing = true;
	cw_timer_free(&c->timer);
	while (c->busy)
		cw_loop_run_once(c->engine->loop);
	c->seq = cw_state_seq(c->engine->state);
	if (save && c->engine->config->checkpoint_s > 0 && c->seq > c->kept_seq) {
		if (cw_checkpoint_save(c->copy, c->engine->state, c->seq, c->digest, c->path, &err) == 0)
			cw_log(CW_LOG_INFO, "state", "checkpoint written", "seq=%llu", (unsigned long long)c->seq);
		else
			cw_log_err(CW_LOG_WARN, "state", "could not write a checkpoint, the next start will replay", &err);
	}
	cw_checkpoint_free(&c->copy);
	cw_free(c);
}
