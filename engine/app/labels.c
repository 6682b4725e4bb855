#include "app/labels.h"

#include <stdio.h>
#include <string.h>

#include "app/config.h"
#include "app/parts.h"
#include "base/arena.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "http/sse.h"
#include "loop/loop.h"
#include "pg/result.h"
#include "pipeline/evaluate.h"
#include "store/labels.h"

#define POLL_MS 1000             /* a label works on every engine within this, and the time of a swap */
#define BUSY_MS 50               /* something else is being loaded: look again */
#define AGAIN_MS 10000           /* after lists that could not be loaded */

enum step { STEP_IDLE = 0, STEP_STATE, STEP_READING, STEP_LOADING, STEP_SETTLING, STEP_TELLING };

struct waiter {
	struct cw_list link;
	cw_labels_live_fn *fn;
	void *arg;
};

struct cw_label_watch {
	struct cw_engine *e;
	struct cw_timer *timer;
	enum step step;
	uint64_t query;
	int64_t live, coming;        /* states: of the lists that are live, and that are being loaded */
	int64_t told, newest;        /* withdrawals */
	bool started;                /* told is known */
	bool none, none_coming;      /* no lists are live; there are none to be loaded */
	bool gone;                   /* its owner has let go of it */
	struct cw_list waiting, serving;   /* for the next look, for this one */
	struct cw_metric *lists, *swaps, *failures;
};

static void look(struct cw_label_watch *w);

/* --- documents --- */

struct cw_bundle_file *cw_labels_files(const struct cw_result *res, int *n, int64_t *state, struct cw_arena *arena)
{
	struct cw_bundle_file *files;

	*n = cw_result_rows(res);
	*state = *n > 0 ? cw_result_i64(res, 0, 2) : 0;
	files = cw_arena_zalloc(arena, ((size_t)*n + 1) * sizeof(*files));
	for (int i = 0; i < *n; i++) {
		struct cw_buf name = CW_BUF_INIT;
		const char *text = cw_result_text(res, i, 1, &files[i].len);

		cw_buf_printf(&name, "%s%s", CW_LISTS_STORED, cw_result_text(res, i, 0, NULL));
		files[i].name = cw_arena_strndup(arena, name.data, name.len);
		files[i].text = cw_arena_strndup(arena, text, files[i].len);
		cw_buf_release(&name);
	}
	return files;
}

/* --- who waits --- */

static void answer(struct cw_list *list, const struct cw_err *err)
{
	struct cw_list *link;

	while ((link = cw_list_take(list)) != NULL) {
		struct waiter *waiter = cw_list_entry(link, struct waiter, link);

		waiter->fn(waiter->arg, err);
		cw_free(waiter);
	}
}

static void rest(struct cw_label_watch *w, int ms)
{
	w->step = STEP_IDLE;
	cw_timer_set(w->timer, cw_list_empty(&w->waiting) ? ms : 1);
}

static void fail(struct cw_label_watch *w, const char *what, const struct cw_err *err)
{
	if (err->code != CW_ERR_CANCELLED)
		cw_log_err(CW_LOG_WARN, "labels", what, err);
	answer(&w->serving, err);
	rest(w, w->step == STEP_LOADING ? AGAIN_MS : POLL_MS);
}

/* --- what was opened again --- */

static void tell(struct cw_label_watch *w, const struct cw_result *res, int row)
{
	struct cw_buf data = CW_BUF_INIT;
	static const char *const keys[] = { "rule", "version", "title", "severity", "dedup_key", "list" };

	cw_buf_printf(&data, "{\"id\":%lld", (long long)cw_result_i64(res, row, 1));
	for (int i = 0; i < 6; i++) {
		cw_buf_printf(&data, ",\"%s\":", keys[i]);
		cw_json_put_cstring(&data, cw_result_text(res, row, 2 + i, NULL));
	}
	cw_buf_printf(&data, ",\"list_version\":%lld,\"address\":\"%s\",\"category\":", (long long)cw_result_i64(res, row, 8),
	              cw_result_text(res, row, 9, NULL));
	cw_json_put_cstring(&data, cw_result_text(res, row, 10, NULL));
	cw_buf_printf(&data, ",\"status\":\"open\",\"chainId\":\"%lld\"}", (long long)cw_result_i64(res, row, 11));
	cw_sse_publish(w->e->anomalies, 0, "anomaly.label_withdrawn", data.data, data.len);
	cw_buf_release(&data);
}

static void on_withdrawn(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_label_watch *w = arg;

	w->query = 0;
	if (err != NULL) {
		fail(w, "could not read which alerts were opened again", err);
		return;
	}
	for (int i = 0; i < cw_result_rows(res); i++)
		tell(w, res, i);
	w->told = w->newest;
	answer(&w->serving, NULL);
	rest(w, POLL_MS);
}

/* --- a swap --- */

static void on_settled(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_label_watch *w = arg;

	(void)res;
	w->query = 0;
	if (err != NULL) {
		fail(w, "could not look for alerts of labels that are gone", err);
		return;
	}
	w->step = STEP_IDLE;
	look(w);                         /* once more: what was opened again is to be told */
}

static void on_loaded(void *arg, const char *report, const struct cw_err *err)
{
	struct cw_label_watch *w = arg;

	(void)report;
	if (w->gone) {
		cw_free(w);
		return;
	}
	if (err != NULL) {
		cw_metric_add(w->failures, 1);
		fail(w, "lists could not be loaded, those before go on", err);
		return;
	}
	cw_metric_add(w->swaps, 1);
	cw_log(CW_LOG_INFO, "labels", "lists are live", "state=%lld", (long long)w->coming);
	w->live = w->coming;
	w->none = w->none_coming;
	w->step = STEP_SETTLING;
	w->query = cw_labels_settle(w->e->pool, w->e->config->deliver.n > 0, on_settled, w);
}

static void on_documents(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_label_watch *w = arg;
	struct cw_bundle_file *files;
	struct cw_arena *arena;
	struct cw_err fault;
	int64_t state;
	int n, rc;

	w->query = 0;
	if (err != NULL) {
		fail(w, "could not read the lists", err);
		return;
	}
	arena = cw_arena_new();
	files = cw_labels_files(res, &n, &state, arena);
	w->coming = n > 0 ? state : w->coming;
	w->none_coming = n == 0;
	cw_metric_set(w->lists, n);
	if (n == 0 && w->none) {         /* as at the first start: there is nothing to swap */
		cw_arena_free(&arena);
		w->live = w->coming;
		w->step = STEP_IDLE;
		look(w);
		return;
	}
	w->step = STEP_LOADING;
	rc = cw_pipeline_load_lists(w->e->pipeline, files, n, on_loaded, w, &fault);
	cw_arena_free(&arena);
	if (rc != 0 && fault.code == CW_ERR_BUSY) {
		w->step = STEP_IDLE;
		cw_timer_set(w->timer, BUSY_MS);
	} else if (rc != 0) {
		fail(w, "lists could not be loaded, those before go on", &fault);
	}
}

static void on_state(void *arg, const struct cw_result *res, const struct cw_err *err)
{
	struct cw_label_watch *w = arg;
	int64_t state;

	w->query = 0;
	if (err != NULL) {
		answer(&w->serving, err);
		rest(w, POLL_MS);
		return;
	}
	state = cw_result_i64(res, 0, 0);
	w->newest = cw_result_i64(res, 0, 1);
	if (!w->started)
		w->told = w->newest;
	w->started = true;
	if (state != w->live) {
		w->coming = state;
		w->step = STEP_READING;
		w->query = cw_labels_documents(w->e->pool, on_documents, w);
	} else if (w->newest > w->told) {
		w->step = STEP_TELLING;
		w->query = cw_labels_withdrawn(w->e->pool, w->told, on_withdrawn, w);
	} else {
		answer(&w->serving, NULL);
		rest(w, POLL_MS);
	}
}

static void look(struct cw_label_watch *w)
{
	struct cw_list *link;

	while ((link = cw_list_take(&w->waiting)) != NULL)
		cw_list_append(&w->serving, link);
	w->step = STEP_STATE;
	w->query = cw_labels_state(w->e->pool, on_state, w);
}

static void on_timer(void *arg)
{
	struct cw_label_watch *w = arg;

	if (w->step == STEP_IDLE)
		look(w);
}

struct cw_label_watch *cw_label_watch_new(struct cw_engine *e, int64_t state)
{
	struct cw_label_watch *w = cw_zalloc(sizeof(*w));

	w->e = e;
	w->live = state;
	w->none = state == 0;
	cw_list_init(&w->waiting);
	cw_list_init(&w->serving);
	w->lists = cw_gauge("chainwatch_label_lists", "Address lists of the database that were read last.", NULL);
	w->swaps = cw_counter("chainwatch_label_swaps_total", "Times that changed lists were swapped in.", NULL);
	w->failures = cw_counter("chainwatch_label_swap_failures_total", "Times that changed lists could not be loaded.", NULL);
	w->timer = cw_timer_new(e->loop, on_timer, w);
	cw_timer_set(w->timer, POLL_MS);
	return w;
}

void cw_label_watch_free(struct cw_label_watch **watch)
{
	static const struct cw_err stopped = { .code = CW_ERR_CANCELLED, .msg = "the engine is stopping" };
	struct cw_label_watch *w = *watch;

	*watch = NULL;
	if (w == NULL)
		return;
	if (w->query != 0)
		cw_pool_cancel(w->e->pool, w->query);
	answer(&w->serving, &stopped);
	answer(&w->waiting, &stopped);
	cw_timer_free(&w->timer);
	w->gone = true;
	if (w->step != STEP_LOADING)   /* else on_loaded is still to come, from the end of the pipeline at the latest */
		cw_free(w);
}

void cw_label_watch_refresh(struct cw_label_watch *w, cw_labels_live_fn *fn, void *arg)
{
	struct waiter *waiter = cw_zalloc(sizeof(*waiter));

	waiter->fn = fn;
	waiter->arg = arg;
	cw_list_append(&w->waiting, &waiter->link);
	if (w->step == STEP_IDLE)
		cw_timer_set(w->timer, 1);
}
