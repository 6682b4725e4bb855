#include "source/rpc.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "chain/tx.h"
#include "http/client.h"
#include "loop/loop.h"

#define RPC_MAGIC 0x52504343u        /* "RPCC" */
#define DEPTH 16                     /* of an answer's JSON */
#define ASIDE_MIN_MS 250             /* after the first error; doubles */
#define ASIDE_MAX_MS 30000
#define WRONG_CHAIN_MS 10000
#define BEHIND_POLLS 10              /* in a row: an endpoint that stands behind another by less than lag_blocks is left then */
#define CALM_MIN 32                  /* full requests that succeed before a larger one is tried again; doubles */
#define CALM_MAX 8192
#define STREAK_PROVEN 4              /* requests as large as ever before that fail in a row, then less is asked for */
#define STREAK_SILENT 2              /* the same of new sizes, without an answer */

/* How an endpoint is asked for its chain; the next where it does not know a way. */
enum id_way { BY_CHAIN_ID = 0, BY_NET_VERSION, BY_FAITH };

struct endpoint {
	char *name, *url, *header;
	int weight;
	bool checked, wrong_chain;       /* has said which chain it is of; it is another one */
	int batch_max, refused;          /* calls of one request; the least that it did not take, 0: none */
	int calm, calm_need;             /* full requests that succeeded since */
	int proven;                      /* the largest that it took */
	int failing, streak;             /* the least of those that failed in a row */
	enum id_way id_way;
	bool said_chain;
	bool knows_latest, by_number;    /* block "latest"; it is asked for its number instead */
	enum id_way asked_way;           /* both as they were in the poll that is under way */
	bool asked_number;
	bool has_head;
	struct cw_rpc_head head;
	int inflight, failures;          /* failures in a row */
	int64_t aside_until_us;
	uint64_t requests, errors;
	double latency_s;
	char last_error[200];
	struct cw_metric *m_requests, *m_errors, *m_head;
};

struct cw_rpc {
	uint32_t magic;
	struct cw_loop *loop;
	struct cw_httpc *http;
	char *source;
	uint64_t chain_id;
	int64_t deadline_ms;
	size_t max_bytes;
	int lag_blocks;
	bool finalized;
	struct endpoint endpoints[CW_RPC_ENDPOINTS_MAX];
	int n, best;                     /* best: -1 none */
	int behind;                      /* polls in a row that saw another ahead of `best` */
	int telling;                     /* endpoint whose answer is being told; -1 none */
	struct cw_list calls;
	int polling;                     /* polls without answer */
	cw_rpc_poll_fn *poll_fn;
	void *poll_arg;
};

struct cw_rpc_call {
	struct cw_list link;
	struct cw_rpc *rpc;
	struct cw_httpc_call *http;
	enum cw_rpc_who who;
	uint64_t block;
	int endpoint, tries;
	bool fixed;                      /* a poll: this endpoint and no other */
	bool tried[CW_RPC_ENDPOINTS_MAX];
	struct cw_arena *arena;
	struct cw_rpc_ask *asks;
	struct cw_rpc_reply *replies;
	int n, at, part;                 /* `part` asks from `at` on are under way: as many as the endpoint takes at once */
	cw_rpc_fn *fn;
	void *arg;
	struct cw_err err;
};

static void send(struct cw_rpc_call *call);

/* --- endpoints --- */

static bool is_aside(const struct endpoint *e)
{
	return e->aside_until_us > cw_clock_mono_us();
}

/* A request of so many calls failed. Is it asked for less from now on? There are nodes that know no batches, take a few at a
 * time, answer the first ones, or take too long; and they say so in every way, or not at all. But what it took before may
 * fail now for any reason. */
static bool shrink(struct endpoint *e, int part, bool answered)
{
	if (part == 1)
		return false;
	e->failing = e->failing == 0 || part < e->failing ? part : e->failing;
	if (++e->streak < (part <= e->proven ? STREAK_PROVEN : answered ? 1 : STREAK_SILENT))
		return false;
	if (e->refused != 0)
		e->calm_need = e->calm_need < CALM_MAX ? 2 * e->calm_need : CALM_MAX;
	e->refused = e->refused == 0 || part < e->refused ? part : e->refused;
	e->batch_max = part / 2;
	e->calm = e->streak = e->failing = 0;
	e->proven = e->proven < part ? e->proven : part / 2;
	return true;
}

/* It took one. */
static void grow(struct endpoint *e, int part)
{
	e->proven = part > e->proven ? part : e->proven;
	if (part >= e->failing)
		e->streak = e->failing = 0;
	if (e->refused > 0 && part >= e->refused) {
		e->refused = 0;
		e->batch_max = CW_RPC_BATCH_MAX;
		e->calm_need = CALM_MIN;
	} else if (part == e->batch_max && part < CW_RPC_BATCH_MAX && ++e->calm >= e->calm_need) {
		e->batch_max = 2 * part;
		e->calm = 0;
	}
}

static void note_error(struct cw_rpc *rpc, struct endpoint *e, const char *why, int64_t retry_after_ms)
{
	int shift = e->failures < 8 ? e->failures : 8;
	int64_t aside_ms = (int64_t)ASIDE_MIN_MS << shift;
	char quoted[400];

	if (aside_ms > ASIDE_MAX_MS)
		aside_ms = ASIDE_MAX_MS;
	if (retry_after_ms >= 0)
		aside_ms = retry_after_ms > ASIDE_MIN_MS ? retry_after_ms : ASIDE_MIN_MS;
	if (e->failures++ == 0)
		cw_log(CW_LOG_WARN, "source", "an endpoint is set aside", "source=%s endpoint=%s reason=%s", rpc->source, e->name,
		       cw_log_quote(quoted, sizeof(quoted), why));
	e->aside_until_us = cw_clock_mono_us() + aside_ms * 1000;
	if (!e->said_chain)
		e->id_way = BY_CHAIN_ID;
	e->errors++;
	cw_metric_add(e->m_errors, 1);
	snprintf(e->last_error, sizeof(e->last_error), "%s", why);
}

static void note_success(struct cw_rpc *rpc, struct endpoint *e, int64_t took_us)
{
	if (e->failures > 0)
		cw_log(CW_LOG_INFO, "source", "an endpoint answers again", "source=%s endpoint=%s", rpc->source, e->name);
	e->failures = 0;
	e->aside_until_us = 0;
	e->latency_s = (double)took_us / 1e6;
}

static bool usable(const struct endpoint *e)
{
	return e->checked && !e->wrong_chain && !is_aside(e);
}

/* The endpoint that is followed: stays, unless it cannot be used or lags behind another. */
static void choose_best(struct cw_rpc *rpc)
{
	int best = -1;

	for (int i = 0; i < rpc->n; i++) {
		const struct endpoint *e = &rpc->endpoints[i], *b = best >= 0 ? &rpc->endpoints[best] : NULL;

		if (usable(e) && e->has_head && (b == NULL || e->head.number > b->head.number ||
		                                 (e->head.number == b->head.number && e->weight > b->weight)))
			best = i;
	}
	if (best >= 0 && rpc->best >= 0 && usable(&rpc->endpoints[rpc->best])) {
		uint64_t ours = rpc->endpoints[rpc->best].head.number, theirs = rpc->endpoints[best].head.number;

		rpc->behind = theirs > ours ? rpc->behind + 1 : 0;
		if (theirs <= ours + (uint64_t)rpc->lag_blocks && rpc->behind < BEHIND_POLLS)
			return;
	}
	rpc->behind = 0;
	if (best != rpc->best && best >= 0 && rpc->best >= 0)
		cw_log(CW_LOG_INFO, "source", "another endpoint is followed", "source=%s endpoint=%s", rpc->source,
		       rpc->endpoints[best].name);
	if (best >= 0)
		rpc->best = best;
}

/* Least busy for its weight; -1: none is left. */
static int choose(const struct cw_rpc *rpc, const struct cw_rpc_call *call)
{
	int found = -1;

	if (call->who == CW_RPC_BEST && rpc->best >= 0 && !call->tried[rpc->best] && usable(&rpc->endpoints[rpc->best]))
		return rpc->best;
	for (int i = 0; i < rpc->n; i++) {
		const struct endpoint *e = &rpc->endpoints[i];
		const struct endpoint *f = found >= 0 ? &rpc->endpoints[found] : NULL;

		if (call->tried[i] || !usable(e) || !e->has_head || e->head.number < call->block)
			continue;
		if (f == NULL || (e->inflight + 1) * f->weight < (f->inflight + 1) * e->weight)
			found = i;
	}
	return found;
}

/* --- calls --- */

static void call_free(struct cw_rpc_call *call)
{
	struct cw_arena *arena = call->arena;    /* the call lies in it */

	cw_list_remove(&call->link);
	if (call->http != NULL) {
		cw_httpc_cancel(&call->http);
		call->rpc->endpoints[call->endpoint].inflight--;
	}
	cw_arena_free(&arena);
}

static void finish(struct cw_rpc_call *call)
{
	struct cw_rpc *rpc = call->rpc;
	bool failed = call->err.code != CW_OK;

	rpc->telling = call->endpoint;
	cw_list_remove(&call->link);
	call->fn(call->arg, failed ? NULL : call->replies, call->n, failed ? &call->err : NULL);
	rpc->telling = -1;
	call_free(call);
}

static void finish_later(void *arg)
{
	finish(arg);
}

/* Another endpoint, or the end. */
static void try_another(struct cw_rpc_call *call)
{
	int next = call->fixed ? -1 : choose(call->rpc, call);

	if (next >= 0) {
		call->endpoint = next;
		call->err.code = CW_OK;
		call->at = 0;                /* what two of them say may not be of one fork */
		send(call);
		return;
	}
	if (call->err.code == CW_OK)
		cw_err_set(&call->err, CW_ERR_BUSY, "no endpoint of source \"%s\" can be asked now", call->rpc->source);
	call->err.code = CW_ERR_BUSY;
	finish(call);
}

static void set_aside(struct cw_rpc_call *call, int64_t retry_after_ms, const char *why)
{
	struct endpoint *e = &call->rpc->endpoints[call->endpoint];

	note_error(call->rpc, e, why, retry_after_ms);
	call->tried[call->endpoint] = true;
	cw_err_set(&call->err, CW_ERR_BUSY, "endpoint \"%s\": %s", e->name, why);
	try_another(call);
}

static void fail(struct cw_rpc_call *call, int64_t retry_after_ms, const char *why)
{
	shrink(&call->rpc->endpoints[call->endpoint], call->part, false);
	set_aside(call, retry_after_ms, why);
}

/* It answered, and not what was asked: perhaps because it was asked for too much. */
static void refuse(struct cw_rpc_call *call, const char *why)
{
	struct endpoint *e = &call->rpc->endpoints[call->endpoint];
	char quoted[400];

	bool first = e->refused == 0;

	if (!shrink(e, call->part, true)) {
		set_aside(call, -1, why);
		return;
	}
	if (first)
		cw_log(CW_LOG_INFO, "source", "an endpoint is asked for less at once", "source=%s endpoint=%s calls=%d reason=%s",
		       call->rpc->source, e->name, e->batch_max, cw_log_quote(quoted, sizeof(quoted), why));
	send(call);
}

/* --- answers --- */

static bool read_number(const struct cw_json *json, uint64_t *out)
{
	struct cw_u256 number;

	if (json == NULL || !cw_json_quantity(json, &number) || !cw_u256_fits_u64(&number) || number.w[0] > INT64_MAX)
		return false;
	*out = number.w[0];
	return true;
}

static void read_error(struct cw_rpc_reply *reply, const struct cw_json *error)
{
	const struct cw_json *code = cw_json_get(error, "code"), *message = cw_json_get(error, "message");

	*reply = (struct cw_rpc_reply){ .message = "no message" };
	if (code != NULL)
		cw_json_to_i64(code, &reply->code);
	if (message != NULL && message->type == CW_JSON_STRING)
		reply->message = message->text;
}

static bool read_reply(struct cw_rpc_reply *reply, const struct cw_json *answer)
{
	const struct cw_json *error = cw_json_get(answer, "error"), *result = cw_json_get(answer, "result");

	if (error != NULL && error->type != CW_JSON_NULL) {
		read_error(reply, error);
		return true;
	}
	*reply = (struct cw_rpc_reply){ .result = result };
	return result != NULL;
}

/* Says no to so much at once, or to this key: not the fault of what was asked. */
static bool is_overload(const struct cw_rpc_reply *reply)
{
	if (reply->result != NULL)
		return false;
	return reply->code == -32005 || reply->code == 429 || strcasestr(reply->message, "rate limit") != NULL ||
	       strcasestr(reply->message, "too many requests") != NULL ||
	       strcasestr(reply->message, "limit exceeded") != NULL || strcasestr(reply->message, "capacity") != NULL;
}

bool cw_rpc_is_unknown_method(const struct cw_rpc_reply *reply)
{
	static const char *const ways[] = { "not supported", "unsupported", "not found", "not available", "does not exist", "unknown" };

	if (reply->result != NULL || reply->code == -32601)
		return reply->result == NULL;
	/* "header not found" is of a block that is gone, not of a method. */
	for (size_t i = 0; i < sizeof(ways) / sizeof(*ways); i++)
		if (strcasestr(reply->message, ways[i]) != NULL)
			return strcasestr(reply->message, "method") != NULL;
	return false;
}

/* The answers of a batch may come in any order. NULL, or what is wrong. */
static const char *read_batch(struct cw_rpc_call *call, const struct cw_json *answers)
{
	struct cw_rpc_reply *replies = call->replies + call->at;
	int seen = 0;

	memset(replies, 0, (size_t)call->part * sizeof(*replies));
	for (const struct cw_json *a = answers->first; a != NULL; a = a->next) {
		uint64_t i;

		/* Some give it back as text. */
		if (!read_number(cw_json_get(a, "id"), &i) || i >= (uint64_t)call->part || replies[i].message != NULL ||
		    replies[i].result != NULL)
			return "an answer has an id that was not asked, or one twice";
		if (!read_reply(&replies[i], a))
			return "an answer has neither result nor error";
		seen++;
	}
	return seen == call->part ? NULL : "answers are missing";
}

/* All that was asked in one request has its answer. */
static void took(struct cw_rpc_call *call)
{
	for (int i = call->at; i < call->at + call->part; i++)
		if (is_overload(&call->replies[i])) {
			fail(call, -1, call->replies[i].message);
			return;
		}
	grow(&call->rpc->endpoints[call->endpoint], call->part);
	call->at += call->part;
	if (call->at < call->n)
		send(call);
	else
		finish(call);
}

static void on_answer(struct cw_rpc_call *call, const struct cw_json *answer)
{
	struct cw_rpc_reply reply;
	const char *wrong = "the answer is no JSON-RPC";

	if (call->part == 1) {
		if (answer->type == CW_JSON_OBJECT && read_reply(&call->replies[call->at], answer))
			took(call);
		else
			fail(call, -1, wrong);
		return;
	}
	if (answer->type == CW_JSON_OBJECT && read_reply(&reply, answer) && reply.result == NULL) {
		/* One error for the whole batch: it takes none, or not of this size. */
		if (is_overload(&reply))
			fail(call, -1, reply.message);
		else
			refuse(call, reply.message);
		return;
	}
	if (answer->type == CW_JSON_ARRAY)
		wrong = read_batch(call, answer);
	if (wrong != NULL)
		refuse(call, wrong);
	else
		took(call);
}

static void on_http(void *arg, const struct cw_httpc_answer *answer, const struct cw_err *err)
{
	struct cw_rpc_call *call = arg;
	struct endpoint *e = &call->rpc->endpoints[call->endpoint];
	const struct cw_json *json = NULL;
	struct cw_json_error fault = { .what = "" };
	char why[200];

	call->http = NULL;
	e->inflight--;
	if (err != NULL) {
		fail(call, -1, err->msg);
		return;
	}
	if (answer->len > 0)
		json = cw_json_parse(answer->body, answer->len, DEPTH, call->arena, &fault);
	/* Some give the error of a call with a status of its own, in JSON-RPC; a limit is a limit whatever the body says. */
	if (answer->status == 429 || (answer->status != 200 && (json == NULL || cw_json_get(json, "error") == NULL))) {
		snprintf(why, sizeof(why), "it answered with status %d", answer->status);
		if (answer->status == 429 || answer->retry_after_ms >= 0)
			fail(call, answer->retry_after_ms, why);
		else
			refuse(call, why);
		return;
	}
	if (json == NULL) {
		if (answer->len == 0)
			snprintf(why, sizeof(why), "the answer is empty");
		else
			snprintf(why, sizeof(why), "the answer is no JSON: %s at byte %zu", fault.what, fault.offset);
		refuse(call, why);
		return;
	}
	note_success(call->rpc, e, answer->took_us);
	on_answer(call, json);
}

static void put_ask(struct cw_buf *out, const struct cw_rpc_ask *ask, int id)
{
	cw_buf_printf(out, "{\"jsonrpc\":\"2.0\",\"id\":%d,\"method\":\"%s\",\"params\":%s}", id, ask->method, ask->params);
}

static void send(struct cw_rpc_call *call)
{
	struct endpoint *e = &call->rpc->endpoints[call->endpoint];
	const char *headers[2] = { "Content-Type: application/json", e->header };
	struct cw_buf body = CW_BUF_INIT;
	struct cw_httpc_request request = {
		.url = e->url, .headers = headers, .nheaders = e->header != NULL ? 2 : 1,
		.deadline_ms = call->rpc->deadline_ms, .max_bytes = call->rpc->max_bytes,
	};

	call->part = call->n - call->at < e->batch_max ? call->n - call->at : e->batch_max;
	if (call->part > 1)
		cw_buf_putc(&body, '[');
	for (int i = 0; i < call->part; i++) {
		if (i > 0)
			cw_buf_putc(&body, ',');
		put_ask(&body, &call->asks[call->at + i], i);
	}
	if (call->part > 1)
		cw_buf_putc(&body, ']');
	request.body = body.data;
	request.len = body.len;
	e->requests++;
	cw_metric_add(e->m_requests, 1);
	call->http = cw_httpc_start(call->rpc->http, &request, on_http, call, &call->err);
	cw_buf_release(&body);
	if (call->http != NULL)
		e->inflight++;
	else
		cw_loop_defer(call->rpc->loop, finish_later, call);    /* the URL was checked: a header that makes no sense */
}

static struct cw_rpc_call *call_new(struct cw_rpc *rpc, const struct cw_rpc_ask *asks, int n, cw_rpc_fn *fn, void *arg)
{
	struct cw_arena *arena = cw_arena_new();
	struct cw_rpc_call *call = cw_arena_zalloc(arena, sizeof(*call));

	cw_assert(n > 0 && n <= CW_RPC_BATCH_MAX);
	call->rpc = rpc;
	call->arena = arena;
	call->asks = cw_arena_alloc(arena, (size_t)n * sizeof(*asks));
	memcpy(call->asks, asks, (size_t)n * sizeof(*asks));
	call->replies = cw_arena_zalloc(arena, (size_t)n * sizeof(*call->replies));
	call->n = n;
	call->fn = fn;
	call->arg = arg;
	cw_list_init(&call->link);
	cw_list_append(&rpc->calls, &call->link);
	return call;
}

struct cw_rpc_call *cw_rpc_call(struct cw_rpc *rpc, enum cw_rpc_who who, uint64_t block, const struct cw_rpc_ask *asks,
                                int n, cw_rpc_fn *fn, void *arg)
{
	struct cw_rpc_call *call = call_new(rpc, asks, n, fn, arg);

	call->who = who;
	call->block = block;
	call->endpoint = choose(rpc, call);
	if (call->endpoint >= 0) {
		send(call);
		return call;
	}
	cw_err_set(&call->err, CW_ERR_BUSY, "no endpoint of source \"%s\" can be asked now", rpc->source);
	cw_loop_defer(rpc->loop, finish_later, call);
	return call;
}

void cw_rpc_cancel(struct cw_rpc_call **call)
{
	struct cw_rpc_call *c = *call;

	*call = NULL;
	if (c == NULL)
		return;
	cw_loop_undefer(c->rpc->loop, finish_later, c);
	call_free(c);
}

void cw_rpc_blame(struct cw_rpc *rpc, const char *why)
{
	if (rpc->telling >= 0)
		note_error(rpc, &rpc->endpoints[rpc->telling], why, -1);
}

int64_t cw_rpc_wait_ms(const struct cw_rpc *rpc)
{
	int64_t now = cw_clock_mono_us(), least = INT64_MAX;

	for (int i = 0; i < rpc->n; i++) {
		int64_t left = rpc->endpoints[i].aside_until_us - now;

		if (left < least)
			least = left;
	}
	return least > 0 ? least / 1000 + 1 : 0;
}

/* --- polling --- */

static bool read_head(const struct cw_json *block, struct cw_rpc_head *head)
{
	const struct cw_json *hash = cw_json_get(block, "hash");

	return read_number(cw_json_get(block, "number"), &head->number) && hash != NULL && hash->type == CW_JSON_STRING &&
	       cw_hash_parse(&head->hash, hash->text, hash->len);
}

static void note_chain(struct cw_rpc *rpc, struct endpoint *e, uint64_t chain_id)
{
	bool wrong = chain_id != rpc->chain_id;
	char why[128];

	if (wrong) {
		snprintf(why, sizeof(why), "it is of chain %" PRIu64 ", not %" PRIu64, chain_id, rpc->chain_id);
		if (!e->wrong_chain)
			cw_log(CW_LOG_ERROR, "source", "an endpoint is of another chain", "source=%s endpoint=%s chain_id=%" PRIu64
			       " expected=%" PRIu64, rpc->source, e->name, chain_id, rpc->chain_id);
		snprintf(e->last_error, sizeof(e->last_error), "%s", why);
		e->aside_until_us = cw_clock_mono_us() + WRONG_CHAIN_MS * 1000;
	}
	e->wrong_chain = wrong;
	e->checked = true;
}

static void polled_one(struct cw_rpc *rpc)
{
	if (--rpc->polling > 0)
		return;
	choose_best(rpc);
	rpc->poll_fn(rpc->poll_arg);
}

static void take_head(struct endpoint *e, const struct cw_rpc_head *head)
{
	e->head = *head;
	e->has_head = true;
	cw_metric_set(e->m_head, (double)head->number);
}

/* Blocks of the number that it told, and below: it may have told one that it cannot show yet. */
static void on_numbered(void *arg, const struct cw_rpc_reply *replies, int n, const struct cw_err *err)
{
	struct cw_rpc *rpc = CW_CAST(arg, RPC_MAGIC);
	struct endpoint *e = &rpc->endpoints[rpc->telling];
	struct cw_rpc_head head = { .number = 0 };
	bool found = false;

	for (int i = 0; err == NULL && i < n && !found; i++)
		found = replies[i].result != NULL && read_head(replies[i].result, &head);
	if (found)
		take_head(e, &head);
	else if (err == NULL)
		cw_rpc_blame(rpc, "it does not show the newest block that it tells");
	polled_one(rpc);
}

static void ask_numbered(struct cw_rpc *rpc, int endpoint, uint64_t number)
{
	struct cw_rpc_ask asks[3];
	struct cw_rpc_call *call;
	int n = 0;

	for (; n < 3 && (uint64_t)n <= number; n++) {
		asks[n].method = "eth_getBlockByNumber";
		snprintf(asks[n].params, sizeof(asks[n].params), "[\"0x%" PRIx64 "\",false]", number - (uint64_t)n);
	}
	call = call_new(rpc, asks, n, on_numbered, rpc);
	call->fixed = true;
	call->endpoint = endpoint;
	send(call);
}

static void ask_head(struct cw_rpc *rpc, int endpoint);

/* 1: it was asked again in another way; -1: it has been blamed. */
static int read_chain(struct cw_rpc *rpc, struct endpoint *e, const struct cw_rpc_reply *reply)
{
	uint64_t chain_id;

	if (read_number(reply->result, &chain_id)) {
		e->said_chain = true;
		note_chain(rpc, e, chain_id);
		return 0;
	}
	if (e->said_chain || (!cw_rpc_is_unknown_method(reply) && (reply->result == NULL || reply->result->type != CW_JSON_NULL))) {
		cw_rpc_blame(rpc, "it did not say its chain id");
		return -1;
	}
	e->id_way = e->asked_way + 1;
	if (e->id_way == BY_FAITH && !e->checked)
		cw_log(CW_LOG_WARN, "source", "an endpoint cannot say of which chain it is", "source=%s endpoint=%s believed=%" PRIu64,
		       rpc->source, e->name, rpc->chain_id);
	ask_head(rpc, (int)(e - rpc->endpoints));
	return 1;
}

/* As read_chain. */
static int read_newest(struct cw_rpc *rpc, struct endpoint *e, const struct cw_rpc_reply *reply, const struct cw_rpc_reply *final)
{
	struct cw_rpc_head head = { .number = 0 };
	uint64_t number;

	if (e->asked_number && read_number(reply->result, &number)) {
		ask_numbered(rpc, (int)(e - rpc->endpoints), number);
		return 1;
	}
	if (!e->asked_number && reply->result != NULL && read_head(reply->result, &head)) {
		e->knows_latest = true;
		if (final != NULL && final->result != NULL)
			head.has_finalized = read_number(cw_json_get(final->result, "number"), &head.finalized);
		take_head(e, &head);
		return 0;
	}
	if (!e->asked_number && !e->knows_latest) {
		e->by_number = true;
		ask_head(rpc, (int)(e - rpc->endpoints));
		return 1;
	}
	e->by_number = false;
	cw_rpc_blame(rpc, reply->result == NULL ? reply->message : "its newest block makes no sense");
	return -1;
}

static void on_poll(void *arg, const struct cw_rpc_reply *replies, int n, const struct cw_err *err)
{
	struct cw_rpc *rpc = CW_CAST(arg, RPC_MAGIC);
	struct endpoint *e = &rpc->endpoints[rpc->telling];
	int at = 0, rc = 0;

	/* Some break when they are asked for "latest". */
	if (err != NULL && !e->knows_latest && !e->has_head)
		e->by_number = !e->by_number;
	if (err == NULL && e->asked_way != BY_FAITH)
		rc = read_chain(rpc, e, &replies[at++]);
	else if (err == NULL)
		note_chain(rpc, e, rpc->chain_id);
	if (err == NULL && rc == 0)
		rc = read_newest(rpc, e, &replies[at], at + 1 < n ? &replies[at + 1] : NULL);
	if (rc <= 0)
		polled_one(rpc);
}

static void ask_head(struct cw_rpc *rpc, int endpoint)
{
	static const struct cw_rpc_ask ids[] = { { "eth_chainId", "[]" }, { "net_version", "[]" } };
	static const struct cw_rpc_ask latest = { "eth_getBlockByNumber", "[\"latest\",false]" };
	static const struct cw_rpc_ask finalized = { "eth_getBlockByNumber", "[\"finalized\",false]" };
	static const struct cw_rpc_ask number = { "eth_blockNumber", "[]" };
	struct endpoint *e = &rpc->endpoints[endpoint];
	struct cw_rpc_ask asks[3];
	struct cw_rpc_call *call;
	int n = 0;

	e->asked_way = e->id_way;
	e->asked_number = e->by_number;
	if (e->id_way != BY_FAITH)
		asks[n++] = ids[e->id_way];
	asks[n++] = e->by_number ? number : latest;
	if (rpc->finalized && !e->by_number)
		asks[n++] = finalized;
	call = call_new(rpc, asks, n, on_poll, rpc);
	call->fixed = true;
	call->endpoint = endpoint;
	send(call);
}

static void nobody_polled(void *arg)
{
	struct cw_rpc *rpc = CW_CAST(arg, RPC_MAGIC);

	rpc->poll_fn(rpc->poll_arg);
}

void cw_rpc_poll(struct cw_rpc *rpc, cw_rpc_poll_fn *fn, void *arg)
{
	cw_assert(rpc->polling == 0);
	rpc->poll_fn = fn;
	rpc->poll_arg = arg;
	for (int i = 0; i < rpc->n; i++)
		if (!is_aside(&rpc->endpoints[i])) {
			rpc->polling++;
			ask_head(rpc, i);
		}
	if (rpc->polling == 0)
		cw_loop_defer(rpc->loop, nobody_polled, rpc);
}

int cw_rpc_head(const struct cw_rpc *rpc, struct cw_rpc_head *head, struct cw_err *err)
{
	if (rpc->best >= 0 && usable(&rpc->endpoints[rpc->best])) {
		*head = rpc->endpoints[rpc->best].head;
		return 0;
	}
	for (int i = 0; i < rpc->n; i++)
		if (rpc->endpoints[i].last_error[0] != '\0')
			return cw_err_set(err, CW_ERR_BUSY, "endpoint \"%s\": %s", rpc->endpoints[i].name,
			                  rpc->endpoints[i].last_error);
	return cw_err_set(err, CW_ERR_BUSY, "no endpoint has answered yet");
}

/* --- the set --- */

static void add_endpoint(struct cw_rpc *rpc, const struct cw_rpc_endpoint_conf *conf)
{
	struct endpoint *e = &rpc->endpoints[rpc->n++];
	struct cw_buf labels = CW_BUF_INIT;
	char label[128];

	cw_httpc_label(conf->url, label, sizeof(label));
	e->name = cw_strdup(conf->name != NULL ? conf->name : label);
	e->url = cw_strdup(conf->url);
	e->header = conf->header != NULL ? cw_strdup(conf->header) : NULL;
	e->weight = conf->weight > 0 ? conf->weight : 1;
	e->batch_max = CW_RPC_BATCH_MAX;
	e->calm_need = CALM_MIN;
	cw_metric_label(&labels, "source", rpc->source);
	cw_metric_label(&labels, "endpoint", e->name);
	e->m_requests = cw_counter("chainwatch_source_requests_total", "HTTP requests to endpoints of sources", labels.data);
	e->m_errors = cw_counter("chainwatch_source_errors_total", "Requests that gave no answer worth reading", labels.data);
	e->m_head = cw_gauge("chainwatch_source_endpoint_head", "Newest block an endpoint has told", labels.data);
	cw_buf_release(&labels);
}

struct cw_rpc *cw_rpc_new(struct cw_loop *loop, struct cw_httpc *http, const struct cw_rpc_conf *conf,
                          struct cw_err *err)
{
	struct cw_rpc *rpc;

	if (conf->nendpoints < 1 || conf->nendpoints > CW_RPC_ENDPOINTS_MAX) {
		cw_err_set(err, CW_ERR_INVALID, "needs 1 to %d endpoints", CW_RPC_ENDPOINTS_MAX);
		return NULL;
	}
	for (int i = 0; i < conf->nendpoints; i++)
		if (cw_httpc_check_url(conf->endpoints[i].url, err) != 0) {
			cw_err_wrap(err, "endpoint %d", i + 1);
			return NULL;
		}
	rpc = cw_zalloc(sizeof(*rpc));
	rpc->magic = RPC_MAGIC;
	rpc->loop = loop;
	rpc->http = http;
	rpc->source = cw_strdup(conf->source);
	rpc->chain_id = conf->chain_id;
	rpc->deadline_ms = conf->deadline_ms > 0 ? conf->deadline_ms : 10000;
	rpc->max_bytes = conf->max_bytes > 0 ? conf->max_bytes : 64u << 20;
	rpc->lag_blocks = conf->lag_blocks > 0 ? conf->lag_blocks : 3;
	rpc->finalized = conf->finalized;
	rpc->best = rpc->telling = -1;
	cw_list_init(&rpc->calls);
	for (int i = 0; i < conf->nendpoints; i++)
		add_endpoint(rpc, &conf->endpoints[i]);
	return rpc;
}

void cw_rpc_free(struct cw_rpc **rpc)
{
	struct cw_rpc *r = *rpc;

	*rpc = NULL;
	if (r == NULL)
		return;
	cw_loop_undefer(r->loop, nobody_polled, r);
	while (!cw_list_empty(&r->calls)) {
		struct cw_rpc_call *call = cw_list_entry(r->calls.next, struct cw_rpc_call, link);

		cw_rpc_cancel(&call);
	}
	for (int i = 0; i < r->n; i++) {
		cw_free(r->endpoints[i].name);
		cw_free(r->endpoints[i].url);
		cw_free(r->endpoints[i].header);
	}
	cw_free(r->source);
	cw_free(r);
}

int cw_rpc_endpoints(const struct cw_rpc *rpc)
{
	return rpc->n;
}

struct cw_rpc_endpoint_stats cw_rpc_endpoint_stats(const struct cw_rpc *rpc, int i)
{
	const struct endpoint *e = &rpc->endpoints[i];
	int64_t left = e->aside_until_us - cw_clock_mono_us();

	return (struct cw_rpc_endpoint_stats){
		.name = e->name,
		.state = e->wrong_chain ? "wrong chain" : left > 0 ? "set aside" : !e->checked ? "new" :
		         i == rpc->best ? "followed" : "ok",
		.head = e->head.number, .requests = e->requests, .errors = e->errors,
		.wait_ms = left > 0 ? left / 1000 : 0, .latency_s = e->latency_s, .last_error = e->last_error,
	};
}
