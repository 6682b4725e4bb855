#include "app/audit_export.h"

#include <stdio.h>
#include <string.h>

#include "app/config.h"
#include "app/identity.h"
#include "app/parts.h"
#include "auth/audit_head.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "loop/work.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "store/identity.h"

#define FIRST_MS 1000
#define OFF_MS   60000 /* looks whether it was switched on */
#define CHECK_MS 2000  /* looks how far the log has come */
#define LAST_MS  1000  /* at the end */

enum finishing { GOES_ON = 0, WANTS_LAST, READS_LAST };

struct cw_audit_export {
	struct cw_loop *loop;
	struct cw_pool *pool;
	struct cw_work_pool *work;
	struct cw_timer *timer;
	struct cw_audit_key key;
	struct cw_audit_head last; /* the last one written; n 0: none */
	char path[512];
	int64_t every_s, every_rows;
	int64_t written_us; /* when the last head was found up to date or written; monotonic */
	enum finishing finishing;
	void (*done)(void *arg);
	void *done_arg;
	uint64_t query;
	struct append *append; /* under way */
	bool failing;
	bool broken; /* the file is not what we wrote: nothing is appended to it */
};

/* On a worker thread; owns what it needs. */
struct append {
	struct cw_audit_export *x; /* NULL: gone meanwhile */
	struct cw_audit_head head;
	char path[512];
	struct cw_buf line;
	struct cw_err err;
	int rc;
};

static void begin(void *arg);

static void rest(struct cw_audit_export *x)
{
	if (x->finishing == WANTS_LAST) {
		x->finishing = READS_LAST;
		begin(x);
	} else if (x->finishing == READS_LAST) {
		cw_timer_clear(x->timer);
		x->done(x->done_arg);
	} else {
		cw_timer_set(x->timer, x->every_s == 0 ? OFF_MS : 1000 * x->every_s < CHECK_MS ? 1000 * x->every_s : CHECK_MS);
	}
}

/* Time, or enough entries, or the end. */
static bool is_due(const struct cw_audit_export *x, const struct cw_audit_head *head)
{
	return x->last.n == 0 || x->finishing != GOES_ON || head->seq - x->last.seq >= x->every_rows ||
	       cw_clock_mono_us() - x->written_us >= 1000000 * x->every_s;
}

static void say(struct cw_audit_export *x, const struct cw_err *err)
{
	if (err != NULL && !x->failing)
		cw_log_err(CW_LOG_ERROR, "audit", "could not export the head of the audit log", err);
	if (err == NULL && x->failing)
		cw_log(CW_LOG_INFO, "audit", "the head of the audit log is exported again", NULL);
	x->failing = err != NULL;
}

static void run_append(void *arg)
{
	struct append *a = arg;

	a->rc = cw_audit_heads_append(a->path, a->line.data, a->line.len, &a->err);
}

static void on_appended(void *arg, bool ran)
{
	struct append *a = arg;
	struct cw_audit_export *x = a->x;

	if (x != NULL) {
		x->append = NULL;
		if (ran) {
			say(x, a->rc != 0 ? &a->err : NULL);
			if (a->rc == 0) {
				x->last = a->head;
				x->written_us = cw_clock_mono_us();
				cw_metric_set(cw_gauge("chainwatch_audit_exported_seq",
				                       "Entry of the audit log up to which a signed head "
				                       "was exported.",
				                       NULL),
				              (double)a->head.seq);
			}
		}
		rest(x);
	}
	cw_buf_release(&a->line);
	cw_free(a);
}

static void write_head(struct cw_audit_export *x, const struct cw_audit_head *head)
{
	struct append *a = cw_zalloc(sizeof(*a));

	a->x = x;
	a->head = *head;
	memcpy(a->path, x->path, sizeof(a->path));
	cw_buf_init(&a->line);
	cw_audit_head_sign(head, &x->key, &a->line);
	x->append = a;
	if (cw_work_submit(x->work, run_append, on_appended, a) == 0)
		return;
	x->append = NULL; /* busy: next time */
	cw_buf_release(&a->line);
	cw_free(a);
	rest(x);
}

/* The chain goes on from the head that was signed last. If it does not, signing would bless what was done to it. */
static bool goes_on(const struct cw_audit_export *x, const struct cw_audit_head *head, const struct cw_result *res)
{
	const uint8_t *before;
	size_t len = 0;

	if (x->last.n == 0 || x->last.seq == 0)
		return true;
	if (x->last.seq < head->anchor_seq)
		return true; /* retention has taken that entry */
	if (x->last.seq == head->anchor_seq)
		return memcmp(x->last.hash, head->anchor_hash, 32) == 0;
	if (head->seq < x->last.seq || cw_result_is_null(res, 0, CW_HEAD_BEFORE))
		return false;
	before = cw_result_bytea(res, 0, CW_HEAD_BEFORE, &len);
	return len == 32 && memcmp(before, x->last.hash, 32) == 0;
}

static void on_head(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_audit_export *x = arg;
	struct cw_audit_head head = { .n = x->last.n + 1, .time_us = cw_clock_wall_us() };
	const uint8_t *hash, *anchor;
	size_t len;

	x->query = 0;
	if (err != NULL || cw_result_rows(res) != 1) {
		if (err != NULL)
			say(x, err);
		rest(x);
		return;
	}
	head.seq = cw_result_i64(res, 0, CW_HEAD_SEQ);
	head.anchor_seq = cw_result_i64(res, 0, CW_HEAD_ANCHOR_SEQ);
	hash = cw_result_bytea(res, 0, CW_HEAD_HASH, &len);
	memcpy(head.hash, hash, 32);
	anchor = cw_result_bytea(res, 0, CW_HEAD_ANCHOR_HASH, &len);
	memcpy(head.anchor_hash, anchor, 32);
	if (!goes_on(x, &head, res)) {
		struct cw_err broken;

		cw_err_set(&broken, CW_ERR_DENIED,
		           "the log does not go on from entry %lld, whose head was signed: it was cut off, "
		           "written anew, or restored from a backup; see \"chainwatch audit verify\"",
		           (long long)x->last.seq);
		say(x, &broken);
		cw_metric_set(cw_gauge("chainwatch_audit_broken",
		                       "1: the audit log does not continue the head that was signed last.", NULL),
		              1);
		rest(x);
		return;
	}
	cw_metric_set(
	    cw_gauge("chainwatch_audit_broken", "1: the audit log does not continue the head that was signed last.", NULL),
	    0);
	if (head.seq == 0 || (head.seq == x->last.seq && memcmp(head.hash, x->last.hash, 32) == 0)) {
		x->written_us = cw_clock_mono_us();
		say(x, NULL);
		rest(x);
	} else if (is_due(x, &head)) {
		write_head(x, &head);
	} else {
		rest(x);
	}
}

static void begin(void *arg)
{
	struct cw_audit_export *x = arg;

	if (x->query != 0 || x->append != NULL)
		return;
	if (x->every_s == 0 || x->broken)
		rest(x);
	else
		x->query = cw_identity_audit_head(x->pool, x->last.seq, on_head, x);
}

/* Goes on where the file ends. One that was tampered with is left alone, for whoever looks into it. */
static void read_last(struct cw_audit_export *x)
{
	struct cw_err err;

	x->broken = cw_audit_heads_last(x->path, &x->key, &x->last, &err) != 0;
	if (x->broken)
		cw_log_err(CW_LOG_ERROR, "audit", "heads of the audit log are not exported: the file is not as it was left", &err);
}

struct cw_audit_export *cw_audit_export_new(struct cw_engine *e, struct cw_err *err)
{
	struct cw_audit_export *x = cw_zalloc(sizeof(*x));
	char path[512];

	x->loop = e->loop;
	x->pool = e->pool;
	x->work = e->work;
	x->timer = cw_timer_new(e->loop, begin, x);
	cw_identity_path(e->config->data_dir, e->config->audit_key, "audit.key", path, sizeof(path));
	if (e->config->audit_heads[0] != '\0')
		snprintf(x->path, sizeof(x->path), "%s", e->config->audit_heads);
	else
		snprintf(x->path, sizeof(x->path), "%s/audit.heads", e->config->data_dir);
	if (cw_audit_key_load(&x->key, path, e->config->audit_key[0] == '\0', err) != 0) {
		cw_err_wrap(err, "could not set up the export of the audit log's head");
		cw_audit_export_free(&x);
		return NULL;
	}
	read_last(x);
	x->every_s = e->config->audit_export_s;
	x->every_rows = e->config->audit_export_rows;
	cw_timer_set(x->timer, FIRST_MS);
	return x;
}

static void on_last_late(void *arg)
{
	struct cw_audit_export *x = arg;

	if (x->query != 0)
		cw_pool_cancel(x->pool, x->query);
	x->query = 0;
	cw_log(CW_LOG_WARN, "audit", "the last head of the audit log could not be exported in time", NULL);
	x->done(x->done_arg);
}

bool cw_audit_export_finish(struct cw_audit_export *x, void (*done)(void *arg), void *arg)
{
	if (x == NULL || x->every_s == 0 || x->broken || x->finishing != GOES_ON)
		return false;
	x->done = done;
	x->done_arg = arg;
	x->finishing = WANTS_LAST;
	cw_timer_free(&x->timer);
	x->timer = cw_timer_new(x->loop, on_last_late, x);
	cw_timer_set(x->timer, LAST_MS);
	if (x->query == 0 && x->append == NULL)
		rest(x);
	return true;
}

void cw_audit_export_apply(struct cw_audit_export *x, const struct cw_config *config)
{
	if (x == NULL)
		return;
	x->every_rows = config->audit_export_rows;
	if (x->every_s == config->audit_export_s || x->finishing != GOES_ON)
		return;
	x->every_s = config->audit_export_s;
	cw_timer_set(x->timer, FIRST_MS);
}

void cw_audit_export_free(struct cw_audit_export **export)
{
	struct cw_audit_export *x = *export;

	*export = NULL;
	if (x == NULL)
		return;
	if (x->query != 0)
		cw_pool_cancel(x->pool, x->query);
	if (x->append != NULL)
		x->append->x = NULL;
	cw_timer_free(&x->timer);
	cw_audit_key_release(&x->key);
	cw_free(x);
}
