#include "lua/batch.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/list.h"
#include "base/mem.h"
#include "http/reply.h"
#include "http/request.h"
#include "loop/loop.h"
#include "lua/scripts.h"
#include "lua/verdict_json.h"
#include "pipeline/pipeline.h"

#define BATCH_MAGIC 0x42415443u
#define JSON_MAX 1000            /* transactions in {"transactions": [...]} */
#define JSON_BYTES_MAX (64u << 20)
#define PART_MAX 500             /* lines that go to the pipeline together */
#define PARTS_MAX 6              /* parts in flight; above it the client waits */
#define LINE_MAX (4u << 20)
#define UNSENT_MAX (512u << 10)  /* bytes the client has not taken; above it we wait for it */
#define HELD_MAX (1u << 20)      /* answers are held back so long: one that begins before the body ends costs the
                                  * connection, since it must be closed after it */
#define RETRY_MS 10              /* the pipeline was full */

/* Lines that were read together: each has a transaction in `txs`, or the text of its problem. */
struct part {
	struct cw_list link;
	struct batch *batch;
	struct cw_arena *arena;
	struct cw_tx_in *txs;
	size_t ntxs, nlines;
	char *problems[PART_MAX];    /* NULL: the next transaction */
	uint64_t submission;
	bool done;
	struct cw_buf out;
};

struct batch {
	uint32_t magic;
	const struct cw_script_env *env;
	struct cw_request *req;
	struct cw_buf body;          /* what has not been cut into lines yet; or the whole JSON body */
	struct cw_buf held;          /* answers that wait for the end of a small body */
	struct cw_list parts;        /* in order; answered from the front */
	int nparts;
	struct part *waiting;        /* ready, but the pipeline was full */
	struct cw_timer *retry;
	uint64_t line, submission;
	bool ndjson, paused, begun, last, too_big;
};

void cw_origin_of(const struct cw_request *req, struct cw_origin *origin)
{
	*origin = (struct cw_origin){ .user_id = req->user_id };
	snprintf(origin->request_id, sizeof(origin->request_id), "%s", req->id);
	origin->start_us = req->start_us;
}

static uint64_t default_chain(const struct batch *b)
{
	return b->env->chain_id != NULL ? *b->env->chain_id : 1;
}

static void part_free(struct part *part)
{
	if (part->submission != 0)
		cw_pipeline_cancel(part->batch->env->pipeline, part->submission);
	cw_list_remove(&part->link);
	cw_buf_release(&part->out);
	cw_arena_free(&part->arena);
	cw_free(part);
}

static void forget(struct batch *b)
{
	while (!cw_list_empty(&b->parts))
		part_free(cw_list_entry(b->parts.next, struct part, link));
	if (b->waiting != NULL)
		part_free(b->waiting);
	b->waiting = NULL;
	if (b->submission != 0)
		cw_pipeline_cancel(b->env->pipeline, b->submission);
	b->submission = 0;
}

/* Also the end of a request that was answered: the batch hangs on the request's arena. */
static void batch_release(void *arg)
{
	struct batch *b = CW_CAST(arg, BATCH_MAGIC);

	forget(b);
	cw_timer_free(&b->retry);
	cw_buf_release(&b->body);
	cw_buf_release(&b->held);
	b->magic = 0;
}

/* The client has gone: what was submitted goes on, nobody waits for it. */
static void on_abort(void *arg, struct cw_request *req)
{
	struct batch *b = CW_CAST(arg, BATCH_MAGIC);
	struct cw_problem problem = { .status = 503, .code = "cancelled", .detail = "the request was given up" };

	forget(b);
	if (b->begun)
		cw_reply_cut(req);
	else
		cw_reply_problem(req, &problem);
}

/* --- NDJSON --- */

static void go_on(struct batch *b);

static void put_problem(struct cw_buf *out, int status, const char *code, const char *detail, const char *errors)
{
	cw_buf_printf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\",\"detail\":",
	              cw_status_text(status), status, code);
	cw_json_put_cstring(out, detail);
	if (errors != NULL)
		cw_buf_printf(out, ",\"errors\":%s", errors);
	cw_buf_puts(out, "}");
}

static char *take_text(struct cw_buf *buf, struct cw_arena *arena)
{
	char *text = cw_arena_strndup(arena, buf->data, buf->len);

	cw_buf_release(buf);
	return text;
}

static char *fault_problem(const struct cw_tx_faults *faults, struct cw_arena *arena)
{
	struct cw_buf errors = CW_BUF_INIT, out = CW_BUF_INIT;
	int count = 0;

	cw_buf_putc(&errors, '[');
	cw_put_tx_faults(&errors, "", faults, &count);
	cw_buf_putc(&errors, ']');
	put_problem(&out, 422, "transaction_invalid", "the transaction is not valid", errors.data);
	cw_buf_release(&errors);
	return take_text(&out, arena);
}

static char *json_problem(const struct cw_json_error *error, struct cw_arena *arena)
{
	struct cw_buf detail = CW_BUF_INIT, out = CW_BUF_INIT;
	const char *code;
	int status = cw_json_error_status(error, &code);

	cw_put_json_error(&detail, error);
	put_problem(&out, status, code, detail.data, NULL);
	cw_buf_release(&detail);
	return take_text(&out, arena);
}

static char *err_problem(const struct cw_err *err, struct cw_arena *arena)
{
	struct cw_buf out = CW_BUF_INIT;
	int status = cw_code_http_status(err->code);
	bool hidden = (status >= 500 && status != 503 && status != 507) || err->code == CW_ERR_SYSTEM;

	put_problem(&out, status, cw_code_name(err->code), hidden ? "internal error" : err->msg, NULL);
	return take_text(&out, arena);
}

static struct part *part_new(struct batch *b)
{
	struct part *part = cw_zalloc(sizeof(*part));

	part->batch = b;
	part->arena = cw_arena_new();
	part->txs = cw_arena_alloc(part->arena, PART_MAX * sizeof(*part->txs));
	cw_list_init(&part->link);
	cw_buf_init(&part->out);
	return part;
}

static void add_line(struct part *part, const char *text, size_t len)
{
	struct cw_json_error error;
	struct cw_tx_faults faults;
	const struct cw_json *value = cw_json_parse(text, len, CW_JSON_DEPTH_DEFAULT, part->arena, &error);
	char **problem = &part->problems[part->nlines++];

	if (value == NULL)
		*problem = json_problem(&error, part->arena);
	else if (cw_tx_from_json(&part->txs[part->ntxs], value, default_chain(part->batch), part->arena, &faults) != 0)
		*problem = fault_problem(&faults, part->arena);
	else
		part->ntxs++;
}

/* Cuts lines off the body; the part, or NULL if there is no whole line. Blank lines are skipped. */
static struct part *next_part(struct batch *b)
{
	struct part *part = NULL;
	const char *p = b->body.data, *end = p + b->body.len;

	while (p < end && (part == NULL || part->nlines < PART_MAX)) {
		const char *eol = memchr(p, '\n', (size_t)(end - p));
		const char *stop = eol != NULL ? eol : end;
		size_t len = (size_t)(stop - p);

		if (eol == NULL && !b->last)
			break;
		if (len > 0 && p[len - 1] == '\r')
			len--;
		if (strspn(p, " \t") < len) {
			if (part == NULL)
				part = part_new(b);
			add_line(part, p, len);
		}
		p = eol != NULL ? eol + 1 : end;
	}
	memmove(b->body.data, p, (size_t)(end - p));
	b->body.len = (size_t)(end - p);
	if (b->body.cap > 0)
		b->body.data[b->body.len] = '\0';
	return part;
}

static void send_held(struct batch *b)
{
	if (!b->begun)
		cw_reply_begin(b->req, 200, "application/x-ndjson");
	b->begun = true;
	if (b->held.len > 0 && cw_reply_piece(b->req, b->held.data, b->held.len) > UNSENT_MAX)
		b->paused = true;
	cw_buf_clear(&b->held);
}

/* Writes what is done, from the front. */
static void answer_parts(struct batch *b)
{
	while (!cw_list_empty(&b->parts)) {
		struct part *part = cw_list_entry(b->parts.next, struct part, link);

		if (!part->done)
			return;
		b->nparts--;
		cw_list_remove(&part->link);
		cw_buf_add(&b->held, part->out.data, part->out.len);
		part_free(part);
		if (b->begun || b->last || b->held.len > HELD_MAX)
			send_held(b);
	}
}

static void finish_part(struct part *part, const struct cw_outcome *outcomes)
{
	size_t at = 0;

	for (size_t i = 0; i < part->nlines; i++) {
		if (part->problems[i] != NULL) {
			cw_buf_puts(&part->out, part->problems[i]);
		/* NOLINTNEXTLINE(clang-analyzer-core.NullDereference): NULL comes when each line has a problem. */
		} else if (outcomes[at].err != NULL) {
			cw_buf_puts(&part->out, err_problem(outcomes[at].err, part->arena));
			at++;
		} else {
			cw_put_verdict(&part->out, &outcomes[at++]);
		}
		cw_buf_putc(&part->out, '\n');
	}
	part->done = true;
	part->submission = 0;
}

static void on_part(void *arg, const struct cw_outcome *outcomes, size_t n)
{
	struct part *part = arg;
	struct batch *b = part->batch;

	(void)n;
	finish_part(part, outcomes);
	go_on(b);
}

/* false: the pipeline is full, try again later. */
static bool submit_part(struct batch *b, struct part *part)
{
	struct cw_origin origin;
	struct cw_err err;

	if (part->ntxs == 0) {
		finish_part(part, NULL);
	} else {
		cw_origin_of(b->req, &origin);
		part->submission = cw_pipeline_submit(b->env->pipeline, part->txs, part->ntxs, &origin, on_part, part, &err);
		if (part->submission == 0)
			return false;
	}
	cw_list_append(&b->parts, &part->link);
	b->nparts++;
	return true;
}

static void on_retry(void *arg)
{
	go_on(CW_CAST(arg, BATCH_MAGIC));
}

static void on_drain(void *arg, struct cw_request *req)
{
	struct batch *b = CW_CAST(arg, BATCH_MAGIC);

	(void)req;
	b->paused = false;
	go_on(b);
}

static void end_stream(struct batch *b)
{
	send_held(b);
	cw_reply_end(b->req);
}

static void go_on(struct batch *b)
{
	struct part *part;

	answer_parts(b);
	while (!b->paused && b->nparts < PARTS_MAX) {
		part = b->waiting != NULL ? b->waiting : next_part(b);
		b->waiting = NULL;
		if (part == NULL)
			break;
		if (!submit_part(b, part)) {
			b->waiting = part;
			cw_timer_set(b->retry, RETRY_MS);
			break;
		}
	}
	answer_parts(b);
	if (b->last && b->body.len == 0 && b->waiting == NULL && cw_list_empty(&b->parts)) {
		end_stream(b);
		return;
	}
	/* Otherwise what is left of the body is the beginning of a line, and only reading on can end it. */
	if (b->nparts >= PARTS_MAX || b->waiting != NULL || b->paused)
		cw_request_pause(b->req);
	else if (!b->last)
		cw_request_resume(b->req);
}

static void on_line_bytes(struct batch *b, const char *piece, size_t len)
{
	cw_buf_add(&b->body, piece, len);
	if (b->body.len > LINE_MAX && memchr(b->body.data, '\n', b->body.len) == NULL) {
		struct part *part = part_new(b);
		struct cw_buf out = CW_BUF_INIT;

		/* A line without an end: say so and read no further. */
		put_problem(&out, 413, "line_too_long", "a line is longer than 4 MiB", NULL);
		part->problems[part->nlines++] = take_text(&out, part->arena);
		cw_buf_clear(&b->body);
		b->last = true;
		submit_part(b, part);
	}
	go_on(b);
}

/* --- {"transactions": [...]} --- */

static void answer_problem(struct batch *b, int status, const char *code, const char *detail, const char *errors)
{
	struct cw_problem problem = { .status = status, .code = code, .detail = detail, .errors_json = errors };

	cw_reply_problem(b->req, &problem);
}

static void on_all(void *arg, const struct cw_outcome *outcomes, size_t n)
{
	struct batch *b = CW_CAST(arg, BATCH_MAGIC);
	struct cw_buf out = CW_BUF_INIT;
	size_t anomalies = 0, duplicates = 0;

	b->submission = 0;
	cw_buf_puts(&out, "{\"results\":[");
	for (size_t i = 0; i < n; i++) {
		if (outcomes[i].err != NULL) {
			cw_buf_release(&out);
			cw_reply_error(b->req, outcomes[i].err);
			return;
		}
		if (i > 0)
			cw_buf_putc(&out, ',');
		cw_put_verdict(&out, &outcomes[i]);
		anomalies += outcomes[i].is_anomaly;
		duplicates += outcomes[i].duplicate;
	}
	cw_buf_printf(&out, "],\"count\":%zu,\"anomalies\":%zu,\"duplicates\":%zu}", n, anomalies, duplicates);
	cw_reply_json(b->req, 200, out.data, out.len);
	cw_buf_release(&out);
}

/* All transactions, or NULL after the answer that names every fault. */
static struct cw_tx_in *read_all(struct batch *b, const struct cw_json *list)
{
	struct cw_tx_in *txs = cw_arena_alloc(b->req->arena, (list->count + 1) * sizeof(*txs));
	struct cw_buf errors = CW_BUF_INIT;
	struct cw_tx_faults faults;
	size_t n = 0, bad = 0;
	char prefix[40], detail[112];
	int count = 0;

	cw_buf_putc(&errors, '[');
	for (const struct cw_json *e = list->first; e != NULL; e = e->next, n++) {
		if (cw_tx_from_json(&txs[n], e, default_chain(b), b->req->arena, &faults) == 0)
			continue;
		bad++;
		if (count > 100)
			continue;
		snprintf(prefix, sizeof(prefix), "/transactions/%zu", n);
		cw_put_tx_faults(&errors, prefix, &faults, &count);
	}
	cw_buf_putc(&errors, ']');
	if (bad > 0) {
		snprintf(detail, sizeof(detail), "%zu of %zu transactions are not valid; none was taken", bad, n);
		answer_problem(b, 422, "transaction_invalid", detail, errors.data);
	}
	cw_buf_release(&errors);
	return bad == 0 ? txs : NULL;
}

static void answer_busy(struct batch *b, const struct cw_err *err)
{
	struct cw_problem problem = { .status = cw_code_http_status(err->code), .code = cw_code_name(err->code),
		                          .detail = err->msg, .retry_after_s = 1 };

	cw_reply_problem(b->req, &problem);
}

static void judge_all(struct batch *b)
{
	struct cw_json_error error;
	const struct cw_json *body = cw_json_parse(b->body.data, b->body.len, CW_JSON_DEPTH_DEFAULT, b->req->arena, &error);
	const struct cw_json *list = cw_json_get(body, "transactions");
	struct cw_origin origin;
	struct cw_tx_in *txs;
	struct cw_err err;

	if (body == NULL) {
		struct cw_buf detail = CW_BUF_INIT;
		const char *code;
		int status = cw_json_error_status(&error, &code);

		cw_put_json_error(&detail, &error);
		answer_problem(b, status, code, detail.data, NULL);
		cw_buf_release(&detail);
		return;
	}
	if (list == NULL || list->type != CW_JSON_ARRAY || list->count == 0 || list->count > JSON_MAX) {
		answer_problem(b, 422, "body_invalid",
		               list == NULL || list->type != CW_JSON_ARRAY
		                   ? "the body must be {\"transactions\": [...]}"
		                   : "\"transactions\" must have 1 to 1000 elements; longer streams go as application/x-ndjson",
		               "[{\"pointer\":\"/transactions\",\"detail\":\"must be an array of 1 to 1000 transactions\"}]");
		return;
	}
	txs = read_all(b, list);
	if (txs == NULL)
		return;
	cw_origin_of(b->req, &origin);
	b->submission = cw_pipeline_submit(b->env->pipeline, txs, list->count, &origin, on_all, b, &err);
	if (b->submission == 0)
		answer_busy(b, &err);
}

/* --- both --- */

static void on_body(void *arg, struct cw_request *req, const char *piece, size_t len, bool last)
{
	struct batch *b = CW_CAST(arg, BATCH_MAGIC);

	(void)req;
	b->last = b->last || last;
	if (b->ndjson) {
		on_line_bytes(b, piece, len);
		return;
	}
	if (b->too_big)
		return;
	cw_buf_add(&b->body, piece, len);
	if (b->body.len > JSON_BYTES_MAX) {
		b->too_big = true;
		answer_problem(b, 413, "body_too_large", "a batch may have 64 MiB; longer ones go as application/x-ndjson", NULL);
	} else if (last) {
		judge_all(b);
	}
}

void cw_batch_take(const struct cw_script_env *env, struct cw_request *req)
{
	struct cw_slice kind = cw_request_header(req, "Content-Type");
	struct batch *b = cw_arena_zalloc(req->arena, sizeof(*b));

	b->magic = BATCH_MAGIC;
	b->env = env;
	b->req = req;
	b->ndjson = cw_media_is(kind, "application/x-ndjson");
	cw_buf_init(&b->body);
	cw_buf_init(&b->held);
	cw_list_init(&b->parts);
	b->retry = cw_timer_new(env->loop, on_retry, b);
	cw_arena_cleanup(req->arena, batch_release, b);
	if (!b->ndjson && !cw_media_json(kind)) {
		answer_problem(b, 415, "media_type", "the body must be application/json or application/x-ndjson", NULL);
		return;
	}
	cw_request_on_abort(req, on_abort, b);
	cw_reply_on_drain(req, on_drain, b);
	cw_request_on_body(req, on_body, b);
}
