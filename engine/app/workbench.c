#include "app/workbench.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/backtest.h"
#include "app/config.h"
#include "app/explain.h"
#include "app/parts.h"
#include "app/reload.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "loop/work.h"
#include "pg/pool.h"
#include "pg/result.h"
#include "store/workbench.h"

#define EXPLAIN_MS 30000         /* below http.reply_ms, so that the answer says why */
#define ALERTS_TOLD 1000         /* of a backtest, in its row */
#define ALERTS_BYTES (4u << 20)

enum kind { KIND_EXPLAIN, KIND_BACKTEST, KIND_QUERY };

/* One operation, until it is answered; a backtest lives on after that. */
struct job {
	struct cw_list link;
	struct cw_workbench *bench;
	enum kind kind;
	struct cw_arena *arena;
	struct cw_config config;             /* a copy: a reload replaces the engine's */
	struct cw_bundle bundle;             /* lists and overrides of the files, rules of the store */
	struct cw_err err;
	int read_rc;
	bool reading, dead;                  /* dead: a worker still has it */
	cw_ops_done_fn *done;                /* NULL: answered */
	void *arg;
	struct cw_buf answer;
	bool failed;
	uint64_t query;
	/* what is asked */
	const char *hash, *rule, *version, *source;
	uint64_t chain;
	int64_t from_us, to_us, warm_us, id;
	struct cw_explain *explain;
	struct cw_backtest *backtest;
	struct cw_buf request, alerts;
	int nalerts;
};

struct cw_workbench {
	struct cw_engine *engine;
	struct cw_list jobs;
	int explains, backtests;
	uint64_t interrupt;                  /* query at the start */
	char name[400];                      /* of this engine, in rows: host and data directory */
};

/* --- jobs --- */

static void job_free(struct job *j)
{
	struct cw_workbench *w = j->bench;

	if (j->query != 0)
		cw_pool_cancel(w->engine->pool, j->query);
	j->query = 0;
	if (!j->dead && j->kind != KIND_QUERY)
		(*(j->kind == KIND_EXPLAIN ? &w->explains : &w->backtests))--;
	if (!j->dead)
		cw_list_remove(&j->link);
	cw_explain_free(&j->explain);
	cw_backtest_free(&j->backtest);
	if (j->reading) {                    /* the worker's `done` frees the rest */
		j->dead = true;
		return;
	}
	cw_buf_release(&j->answer);
	cw_buf_release(&j->request);
	cw_buf_release(&j->alerts);
	cw_arena_free(&j->arena);
	cw_free(j);
}

/* At the end of the turn. A backtest that has begun goes on, everything else is over. */
static void answer(void *arg)
{
	struct job *j = arg;
	cw_ops_done_fn *done = j->done;
	bool lives = j->kind == KIND_BACKTEST && !j->failed && j->backtest != NULL;

	j->done = NULL;
	if (done != NULL)
		done(j->arg, j->failed ? NULL : j->answer.data, j->failed ? &j->err : NULL);
	if (!lives)
		job_free(j);
}

static void finish(struct job *j, const struct cw_err *err)
{
	if (err != NULL) {
		j->failed = true;
		j->err = *err;
	}
	cw_loop_undefer(j->bench->engine->loop, answer, j);
	cw_loop_defer(j->bench->engine->loop, answer, j);
}

static char *keep(struct job *j, const char *text)
{
	return cw_arena_strndup(j->arena, text, strlen(text));
}

/* --- arguments --- */

static const char *read_text(struct job *j, const struct cw_json *args, const char *name)
{
	const struct cw_json *v = cw_json_get(args, name);

	return v != NULL && v->type == CW_JSON_STRING ? keep(j, v->text) : "";
}

static int read_time(const struct cw_json *args, const char *name, int64_t *us, struct cw_err *err)
{
	const struct cw_json *v = cw_json_get(args, name);
	double seconds;

	if (v == NULL || v->type == CW_JSON_NULL)
		return 0;
	if (v->type == CW_JSON_STRING && cw_time_parse(v->text, us) == 0)
		return 0;
	if (v->type == CW_JSON_NUMBER && cw_json_to_double(v, &seconds) && seconds >= 0 && seconds < 253402300800) {
		*us = (int64_t)(seconds * 1e6);
		return 0;
	}
	return cw_err_set(err, CW_ERR_INVALID, "\"%s\" must be a time (RFC 3339, or seconds since 1970)", name);
}

static int read_arguments(struct job *j, const struct cw_json *args, struct cw_err *err)
{
	const char *warm = read_text(j, args, "warm");
	const struct cw_json *id = cw_json_get(args, "id"), *chain = cw_json_get(args, "chain");
	double number = 0;

	j->hash = read_text(j, args, "hash");
	j->rule = read_text(j, args, "rule");
	j->version = read_text(j, args, "version");
	j->source = read_text(j, args, "source");
	j->from_us = INT64_MIN;
	j->to_us = INT64_MAX;
	j->warm_us = -1;
	if (id != NULL && cw_json_to_double(id, &number))
		j->id = (int64_t)number;
	number = 0;
	if (chain != NULL && cw_json_to_double(chain, &number))
		j->chain = (uint64_t)number;
	if (warm[0] != '\0' && !cw_backtest_warm(warm, &j->warm_us))
		return cw_err_set(err, CW_ERR_INVALID, "\"warm\" must be a duration like \"7d\", or \"all\"");
	if (j->version[0] != '\0' && j->rule[0] == '\0')
		return cw_err_set(err, CW_ERR_INVALID, "\"version\" goes with \"rule\"");
	if (read_time(args, "from", &j->from_us, err) != 0 || read_time(args, "to", &j->to_us, err) != 0)
		return -1;
	if (j->from_us >= j->to_us)
		return cw_err_set(err, CW_ERR_INVALID, "\"from\" must be before \"to\"");
	return 0;
}

/* --- reading the bundle, then what was asked --- */

static void read_bundle(void *arg)
{
	struct job *j = arg;

	j->read_rc = cw_reload_read_bundle(&j->config, &j->bundle, j->arena, &j->err);
}

static void begin_explain(struct job *j);
static void begin_backtest(struct job *j);

static bool query_failed(struct job *j, const struct cw_err *err)
{
	j->query = 0;
	if (err != NULL)
		finish(j, err);
	return err != NULL;
}

static void on_sources(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct job *j = arg;
	struct cw_err none;
	int n;

	if (query_failed(j, err))
		return;
	n = cw_result_rows(res);
	if (n == 0) {
		cw_err_set(&none, CW_ERR_NOT_FOUND, "no source of rule \"%s\"%s%s is stored", j->rule,
		           j->version[0] != '\0' ? ", version " : "", j->version);
		finish(j, &none);
		return;
	}
	j->bundle.rules = cw_arena_zalloc(j->arena, (size_t)n * sizeof(*j->bundle.rules));
	for (int i = 0; i < n; i++) {
		char name[160];

		snprintf(name, sizeof(name), "%s@%s", cw_result_text(res, i, 0, NULL), cw_result_text(res, i, 1, NULL));
		j->bundle.rules[i].name = keep(j, name);
		j->bundle.rules[i].text = keep(j, cw_result_text(res, i, 3, NULL));
		j->bundle.rules[i].len = strlen(j->bundle.rules[i].text);
	}
	j->bundle.nrules = n;
	begin_backtest(j);
}

static void on_read(void *arg, bool ran)
{
	struct job *j = arg;

	j->reading = false;
	if (j->dead) {
		job_free(j);
		return;
	}
	if (!ran)
		cw_err_set(&j->err, CW_ERR_CANCELLED, "the engine is stopping");
	if (!ran || j->read_rc != 0) {
		finish(j, &j->err);
		return;
	}
	cw_pipeline_join_lists(j->bench->engine->pipeline, &j->bundle, j->arena);
	if (j->kind == KIND_EXPLAIN) {
		begin_explain(j);
	} else if (j->source[0] != '\0') {
		j->bundle.rules = cw_arena_zalloc(j->arena, sizeof(*j->bundle.rules));
		j->bundle.rules[0] = (struct cw_bundle_file){ "source.lua", j->source, strlen(j->source) };
		j->bundle.nrules = 1;
		begin_backtest(j);
	} else {
		j->query = cw_workbench_sources(j->bench->engine->pool, j->rule, j->version, on_sources, j);
	}
}

/* --- explain --- */

static void on_explained(void *arg, const char *json, const struct cw_err *err)
{
	struct job *j = arg;

	if (err == NULL)
		cw_buf_puts(&j->answer, json);
	finish(j, err);
}

static void begin_explain(struct job *j)
{
	struct cw_engine *e = j->bench->engine;
	const struct cw_explain_conf conf = {
		.loop = e->loop, .zygote = e->zygote, .config = &j->config, .pool = e->pool, .hash = j->hash, .chain = j->chain,
		.rule = j->rule, .version = j->version, .bundle = &j->bundle, .deadline_ms = EXPLAIN_MS,
	};
	struct cw_err err;

	j->explain = cw_explain_new(&conf, on_explained, j, &err);
	if (j->explain == NULL)
		finish(j, &err);
}

/* --- backtests --- */

static void on_ended(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct job *j = arg;

	(void)res;
	j->query = 0;
	if (err != NULL)
		cw_log_err(CW_LOG_ERROR, "app", "could not store the end of a backtest", err);
	cw_backtest_free(&j->backtest);
	if (j->done == NULL)
		job_free(j);
}

/* {"engine":...,"request":{...},"report":{...},"alerts":[...]} */
static void put_detail(struct job *j, struct cw_buf *out)
{
	cw_buf_puts(out, "{\"engine\":");
	cw_json_put_cstring(out, j->bench->name);
	cw_buf_printf(out, ",\"request\":%s", j->request.data);
	if (j->backtest != NULL) {
		cw_buf_puts(out, ",\"report\":");
		cw_backtest_put_json(j->backtest, out);
		cw_buf_printf(out, ",\"alerts\":[%s]", j->alerts.data);
	}
	cw_buf_putc(out, '}');
}

static void store_end(struct job *j, const char *status, const char *error)
{
	struct cw_buf detail = CW_BUF_INIT;

	put_detail(j, &detail);
	if (j->query == 0)
		j->query = cw_workbench_end(j->bench->engine->pool, j->id, status, detail.data, error, on_ended, j);
	cw_buf_release(&detail);
}

static void on_backtested(void *arg, const struct cw_err *err)
{
	struct job *j = arg;

	store_end(j, err == NULL ? "succeeded" : "failed", err != NULL ? err->msg : NULL);
}

static void on_fire(void *arg, const struct cw_backtest_fire *f)
{
	struct job *j = arg;
	char hash[CW_HASH_TEXT];

	if (j->nalerts >= ALERTS_TOLD || j->alerts.len > ALERTS_BYTES)
		return;
	cw_buf_puts(&j->alerts, j->nalerts++ > 0 ? ",{\"rule\":" : "{\"rule\":");
	cw_json_put_cstring(&j->alerts, f->rule);
	cw_buf_puts(&j->alerts, ",\"version\":");
	cw_json_put_cstring(&j->alerts, f->version);
	cw_buf_printf(&j->alerts, ",\"hash\":\"%s\",\"timestamp\":%" PRId64 ",\"severity\":\"%s\",\"score\":",
	              cw_hash_format(&f->tx->hash, hash), f->tx->timestamp, cw_severity_name(f->alert->severity));
	cw_json_put_double(&j->alerts, f->alert->score);
	cw_buf_puts(&j->alerts, ",\"dedup\":");
	cw_json_put_cstring(&j->alerts, f->alert->dedup);
	cw_buf_printf(&j->alerts, ",\"new\":%s,\"occurrences\":%u,\"explanation\":",
	              f->alert->founder == f->tx->seq ? "true" : "false", f->alert->occurrences);
	cw_json_put_cstring(&j->alerts, f->alert->explanation);
	cw_buf_printf(&j->alerts, ",\"features\":%s}", f->alert->features);
}

static void on_started(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct job *j = arg;
	struct cw_engine *e = j->bench->engine;
	const struct cw_backtest_conf conf = {
		.loop = e->loop, .zygote = e->zygote, .config = &j->config, .bundle = &j->bundle, .run_tests = true,
		.pool = e->pool, .from_us = j->from_us, .to_us = j->to_us, .warm_us = j->warm_us,
	};
	struct cw_err fault;

	if (query_failed(j, err))
		return;
	j->id = cw_result_i64(res, 0, 0);
	j->backtest = cw_backtest_new(&conf, on_backtested, j, &fault);
	if (j->backtest == NULL) {
		store_end(j, "failed", fault.msg);
		finish(j, &fault);
		return;
	}
	cw_backtest_on_fire(j->backtest, on_fire, j);
	cw_buf_printf(&j->answer, "{\"id\":%" PRId64 ",\"status\":\"running\"}", j->id);
	finish(j, NULL);
}

static void begin_backtest(struct job *j)
{
	struct cw_buf detail = CW_BUF_INIT;

	put_detail(j, &detail);
	j->query = cw_workbench_start(j->bench->engine->pool, detail.data, on_started, j);
	cw_buf_release(&detail);
}

static struct job *running(struct cw_workbench *w, int64_t id)
{
	struct cw_list *link, *tmp;

	cw_list_each(link, tmp, &w->jobs) {
		struct job *j = cw_list_entry(link, struct job, link);

		if (j->kind == KIND_BACKTEST && j->id == id && j->backtest != NULL)
			return j;
	}
	return NULL;
}

/* A stored row; one that runs here says how far it is. */
static void put_row(struct cw_workbench *w, const char *row, struct cw_arena *arena, struct cw_buf *out)
{
	struct cw_json_error fault;
	const struct cw_json *json = cw_json_parse(row, strlen(row), CW_JSON_DEPTH_DEFAULT, arena, &fault), *id;
	struct job *run = NULL;
	double number = 0;

	id = json != NULL ? cw_json_get(json, "id") : NULL;
	if (id != NULL && cw_json_to_double(id, &number))
		run = running(w, (int64_t)number);
	cw_buf_puts(out, row);
	if (run == NULL)
		return;
	out->data[--out->len] = '\0';
	cw_buf_printf(out, ",\"progress\":%.4f,\"transactions\":%" PRIu64 ",\"alerts_so_far\":%" PRIu64 "}",
	              cw_backtest_progress(run->backtest), cw_backtest_transactions(run->backtest),
	              cw_backtest_alerts(run->backtest));
}

static void on_rows(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct job *j = arg;
	struct cw_err none;
	bool one = j->id != 0;

	if (query_failed(j, err))
		return;
	if (one && cw_result_rows(res) == 0) {
		cw_err_set(&none, CW_ERR_NOT_FOUND, "there is no backtest %" PRId64, j->id);
		finish(j, &none);
		return;
	}
	if (!one)
		cw_buf_puts(&j->answer, "{\"items\":[");
	for (int i = 0; i < cw_result_rows(res); i++) {
		if (i > 0)
			cw_buf_putc(&j->answer, ',');
		put_row(j->bench, cw_result_text(res, i, 0, NULL), j->arena, &j->answer);
	}
	if (!one)
		cw_buf_puts(&j->answer, "],\"next\":null}");
	finish(j, NULL);
}

static int cancel(struct job *j, struct cw_err *err)
{
	struct job *run = running(j->bench, j->id);

	if (run == NULL)
		return cw_err_set(err, CW_ERR_NOT_FOUND, "no backtest %" PRId64 " is running here", j->id);
	store_end(run, "interrupted", "cancelled");
	cw_backtest_free(&run->backtest);
	cw_buf_printf(&j->answer, "{\"id\":%" PRId64 ",\"status\":\"interrupted\"}", j->id);
	finish(j, NULL);
	return 0;
}

/* --- operations --- */

static int start(struct job *j, const char *name, const struct cw_json *args, struct cw_err *err)
{
	struct cw_workbench *w = j->bench;

	if (read_arguments(j, args, err) != 0)
		return -1;
	if (strcmp(name, "backtest.cancel") == 0)
		return cancel(j, err);
	if (strcmp(name, "backtest.list") == 0 || strcmp(name, "backtest.get") == 0) {
		j->query = cw_workbench_runs(w->engine->pool, j->id, on_rows, j);
		return 0;
	}
	if (j->kind == KIND_EXPLAIN && w->explains > CW_EXPLAINS_AT_ONCE)
		return cw_err_set(err, CW_ERR_BUSY, "%d explanations are being made already", CW_EXPLAINS_AT_ONCE);
	if (j->kind == KIND_BACKTEST && w->backtests > CW_BACKTESTS_AT_ONCE)
		return cw_err_set(err, CW_ERR_BUSY, "a backtest is running already");
	cw_json_put_value(&j->request, args);
	if (cw_work_submit(w->engine->work, read_bundle, on_read, j) != 0)
		return cw_err_set(err, CW_ERR_BUSY, "too much work is waiting");
	j->reading = true;
	return 0;
}

static void copy_config(struct job *j, const struct cw_config *config)
{
	j->config = *config;
	j->config.data_dir = keep(j, config->data_dir);
	j->config.rules_dir = keep(j, config->rules_dir);
	j->config.rules_conf = keep(j, config->rules_conf);
	j->config.lists_dir = keep(j, config->lists_dir);
}

bool cw_workbench_call(struct cw_workbench *w, const char *name, const char *args_json, cw_ops_done_fn *done, void *arg)
{
	static const char *const names[] = { "explain", "backtest.start", "backtest.list", "backtest.get", "backtest.cancel" };
	const struct cw_json *args;
	struct cw_json_error fault;
	struct cw_err err;
	struct job *j;
	size_t i = 0;

	while (i < 5 && strcmp(names[i], name) != 0)
		i++;
	if (i == 5)
		return false;
	j = cw_zalloc(sizeof(*j));
	j->bench = w;
	j->kind = i == 0 ? KIND_EXPLAIN : i == 1 ? KIND_BACKTEST : KIND_QUERY;
	j->done = done;
	j->arg = arg;
	j->arena = cw_arena_new();
	j->answer = j->request = j->alerts = (struct cw_buf)CW_BUF_INIT;
	cw_list_append(&w->jobs, &j->link);
	w->explains += j->kind == KIND_EXPLAIN;
	w->backtests += j->kind == KIND_BACKTEST;
	copy_config(j, w->engine->config);
	args = cw_json_parse(args_json, strlen(args_json), CW_JSON_DEPTH_DEFAULT, j->arena, &fault);
	if (args == NULL || args->type != CW_JSON_OBJECT) {
		cw_err_set(&err, CW_ERR_INVALID, "arguments are not an object");
		finish(j, &err);
	} else if (start(j, name, args, &err) != 0) {
		finish(j, &err);
	}
	return true;
}

/* --- open, close --- */

static void on_interrupted(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_workbench *w = arg;

	w->interrupt = 0;
	if (err != NULL)
		cw_log_err(CW_LOG_WARN, "app", "could not look for backtests that were interrupted", err);
	else if (cw_result_affected(res) > 0)
		cw_log(CW_LOG_INFO, "app", "backtests of the last run were interrupted", "n=%" PRId64, cw_result_affected(res));
}

struct cw_workbench *cw_workbench_open(struct cw_engine *e)
{
	struct cw_workbench *w = cw_zalloc(sizeof(*w));
	char host[100] = "";

	w->engine = e;
	cw_list_init(&w->jobs);
	(void)gethostname(host, sizeof(host) - 1);
	snprintf(w->name, sizeof(w->name), "%s:%.250s", host, e->config->data_dir);
	w->interrupt = cw_workbench_interrupt(e->pool, w->name, on_interrupted, w);
	return w;
}

void cw_workbench_close(struct cw_workbench **workbench)
{
	struct cw_workbench *w = *workbench;

	*workbench = NULL;
	if (w == NULL)
		return;
	if (w->interrupt != 0)
		cw_pool_cancel(w->engine->pool, w->interrupt);
	while (!cw_list_empty(&w->jobs)) {
		struct job *j = cw_list_entry(w->jobs.next, struct job, link);
		cw_ops_done_fn *done = j->done;

		cw_loop_undefer(w->engine->loop, answer, j);
		cw_err_set(&j->err, CW_ERR_CANCELLED, "the engine is stopping");
		j->done = NULL;
		if (done != NULL)
			done(j->arg, NULL, &j->err);
		job_free(j);
	}
	cw_free(w);
}
