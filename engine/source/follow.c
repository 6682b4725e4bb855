/* The follower: heads, the order of blocks, submissions. What is fetched is in follow_fetch.c, what is listed
 * in follow_list.c, reorgs in follow_reorg.c. */
#include "source/follow.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pg/pool.h"
#include "pipeline/pipeline.h"
#include "source/follow_internal.h"
#include "source/heads.h"

#define IN_FLIGHT_MAX 8192           /* transactions submitted and not answered */
#define SUBMIT_TXS 1000              /* of one submission, as far as whole blocks allow */
#define SUBMIT_BLOCKS 64
#define SPLIT_TXS 2000               /* a block of more is submitted in parts */
#define SHRUNK_POLLS 10              /* a lower head is believed after so many: of two nodes behind one address, one may lag */
#define ROOM_MS 5                    /* the queue is full */
#define AGAIN_MS 500                 /* a submission failed */

const struct cw_follow_conf cw_follow_conf_default = {
	.start = CW_FOLLOW_LATEST,
	.final_blocks = 64,
	.poll_ms = 2000,
	.batch = 4,
	.parallel = 4,
	.window = 256,
	.deadline_ms = 10000,
	.max_reorg = 10000,
};

static const char *const state_names[] = { "loading", "waiting", "running", "locating", "draining", "rewinding", "halted" };

/* --- state --- */

void cw_follow_set_state(struct cw_follow *f, enum cw_follow_state state)
{
	f->state = state;
}

void cw_follow_note(struct cw_follow *f, const struct cw_err *err)
{
	char quoted[700];

	if (err == NULL) {
		if (f->error.code != CW_OK && f->state != CW_FOLLOW_HALTED)
			cw_log(CW_LOG_INFO, "source", "goes on", "source=%s block=%" PRIu64, f->name, f->next);
		f->error.code = CW_OK;
		f->error.msg[0] = '\0';
		return;
	}
	if (f->error.code == CW_OK || (f->state == CW_FOLLOW_HALTED && strcmp(f->error.msg, err->msg) != 0))
		cw_log(f->state == CW_FOLLOW_HALTED ? CW_LOG_ERROR : CW_LOG_WARN, "source", "held up", "source=%s block=%" PRIu64
		       " reason=%s", f->name, f->next, cw_log_quote(quoted, sizeof(quoted), err->msg));
	f->error = *err;
}

void cw_follow_pump_later(struct cw_follow *f, int64_t after_ms)
{
	cw_timer_set(f->pump_timer, after_ms);
}

static void on_pump_timer(void *arg)
{
	cw_follow_pump(CW_CAST(arg, CW_FOLLOW_MAGIC));
}

static void show(struct cw_follow *f)
{
	cw_metric_set(f->m_block, f->committed > 0 ? (double)(f->committed - 1) : 0);
	if (!f->has_head)
		return;
	cw_metric_set(f->m_head, (double)f->head.number);
	cw_metric_set(f->m_lag, f->head.number + 1 > f->committed ? (double)(f->head.number + 1 - f->committed) : 0);
}

/* --- submissions --- */

static bool is_poison(const struct cw_follow *f, const struct cw_hash *hash)
{
	for (int i = 0; i < f->npoison; i++)
		if (memcmp(&f->poison[i], hash, sizeof(*hash)) == 0)
			return true;
	return false;
}

/* A row that the database refuses for what it is would hold up the chain for ever. */
static void note_refused(struct cw_follow *f, const struct cw_outcome *o)
{
	char hash[CW_HASH_TEXT], quoted[700];

	if (!cw_is_data_error(o->err) || f->npoison == CW_FOLLOW_POISON_MAX || is_poison(f, &o->tx->hash))
		return;
	f->poison[f->npoison++] = o->tx->hash;
	cw_log(CW_LOG_ERROR, "source", "a transaction is left out", "source=%s hash=%s reason=%s", f->name,
	       cw_hash_format(&o->tx->hash, hash), cw_log_quote(quoted, sizeof(quoted), o->err->msg));
	f->skipped++;
	cw_metric_add(f->m_skipped, 1);
}

static void batch_free(struct cw_follow_batch *b)
{
	cw_list_remove(&b->link);
	b->follow->in_flight -= b->n;
	cw_free(b);
}

static void on_outcomes(void *arg, const struct cw_outcome *outcomes, size_t n)
{
	struct cw_follow_batch *b = arg;
	struct cw_follow *f = b->follow;
	bool good = true;
	const struct cw_err *why = NULL;

	for (size_t i = 0; i < n; i++)
		if (outcomes[i].err != NULL) {
			good = false;
			why = outcomes[i].err;
			note_refused(f, &outcomes[i]);
		}
	if (!good) {
		cw_follow_note(f, why);
		f->failed = true;
	} else if (!f->failed) {
		if (b->whole)
			f->committed = b->last + 1;
		f->transactions += n;
		cw_metric_add(f->m_transactions, (double)n);
	}
	batch_free(b);
	show(f);
	if (f->failed && cw_list_empty(&f->batches))
		cw_follow_pump_later(f, AGAIN_MS);
	else
		cw_follow_pump_later(f, 0);
}

/* 0: taken. 1: not now. */
static int submit(struct cw_follow *f, const struct cw_tx_in *txs, size_t n, uint64_t last, bool whole)
{
	struct cw_source source = { .name = f->name, .provisional = true };
	struct cw_origin origin = { .source = &source, .start_us = cw_clock_mono_us() };
	struct cw_follow_batch *b = cw_zalloc(sizeof(*b));
	struct cw_buf cursor = CW_BUF_INIT;
	struct cw_err err;

	b->follow = f;
	b->last = last;
	b->whole = whole;
	b->n = n;
	if (whole) {
		cw_trail_to_json(f->trail, f->conf.chain_id, last, &cursor);
		source.cursor = cursor.data;
	}
	b->submission = cw_pipeline_submit(f->pipeline, txs, n, &origin, on_outcomes, b, &err);
	cw_buf_release(&cursor);
	if (b->submission == 0) {
		cw_free(b);
		if (err.code != CW_ERR_BUSY)
			cw_follow_note(f, &err);
		return 1;
	}
	f->in_flight += n;
	cw_list_init(&b->link);
	cw_list_append(&f->batches, &b->link);
	return 0;
}

/* Whole blocks from `next` on that are here and follow one another; what their transactions are. */
struct run {
	uint64_t first, last;
	size_t ntxs;
};

/* A block fits its parent, and where it was submitted before, in part or in whole, it is the same one still. */
bool cw_follow_fits(const struct cw_follow *f, const struct cw_block *block)
{
	struct cw_hash known;

	if (cw_trail_find(f->trail, block->number, &known) && memcmp(&known, &block->hash, sizeof(known)) != 0)
		return false;
	return block->number == 0 || !cw_trail_find(f->trail, block->number - 1, &known) ||
	       memcmp(&known, &block->parent, sizeof(known)) == 0;
}

static void find_run(struct cw_follow *f, struct run *run)
{
	const struct cw_follow_slot *slot, *before = NULL;

	*run = (struct run){ .first = f->next, .last = f->next };
	for (uint64_t at = f->next; at < f->next + SUBMIT_BLOCKS && at < f->listed; at++) {
		slot = cw_follow_slot(f, at);
		if (before != NULL && run->ntxs + slot->block.ntxs > SUBMIT_TXS)
			break;
		run->ntxs += slot->block.ntxs;
		run->last = at;
		before = slot;
	}
}

/* All transactions of the run in one list. */
static struct cw_tx_in *gather(struct cw_follow *f, const struct run *run, size_t *n)
{
	struct cw_tx_in *txs = cw_alloc((run->ntxs + 1) * sizeof(*txs));
	struct cw_hash known;

	*n = 0;
	for (uint64_t at = run->first; at <= run->last; at++) {
		const struct cw_block *block = &cw_follow_slot(f, at)->block;

		if (!cw_trail_find(f->trail, at, &known))
			cw_trail_add(f->trail, at, &block->hash);
		for (size_t i = 0; i < block->ntxs; i++)
			if (!is_poison(f, &block->txs[i].tx.hash))
				txs[(*n)++] = block->txs[i];
	}
	return txs;
}

static void forget(struct cw_follow *f, const struct run *run)
{
	for (uint64_t at = run->first; at <= run->last; at++) {
		struct cw_follow_slot *slot = cw_follow_slot(f, at);

		f->skipped += slot->block.skipped;
		if (slot->block.skipped > 0)
			cw_metric_add(f->m_skipped, (double)slot->block.skipped);
		cw_follow_slot_clear(f, slot);
		slot->best = false;
	}
	f->next = run->last + 1;
	f->false_alarms = 0;
}

/* Submits the run; a block that is larger than SPLIT_TXS in parts, the cursor with the last. False: no room. */
static bool submit_run(struct cw_follow *f, const struct run *run)
{
	size_t n, at = 0;
	struct cw_tx_in *txs;

	if (run->ntxs > cw_pipeline_room(f->pipeline) && f->in_flight > 0)
		return false;
	txs = gather(f, run, &n);
	do {
		size_t part = n - at < SPLIT_TXS ? n - at : SPLIT_TXS;

		if (submit(f, txs + at, part, run->last, at + part == n) != 0)
			break;
		at += part;
		if (at == n) {
			forget(f, run);
			cw_free(txs);
			return true;
		}
	} while (at < n);
	/* Parts that were taken come again with the whole block: they are known then. */
	cw_free(txs);
	return false;
}

static void submit_ready(struct cw_follow *f)
{
	struct run run;

	while (f->state == CW_FOLLOW_RUNNING && f->in_flight < IN_FLIGHT_MAX &&
	       cw_follow_slot(f, f->next)->state == CW_SLOT_READY && f->next <= f->target) {
		if (!cw_follow_fits(f, &cw_follow_slot(f, f->next)->block)) {
			cw_follow_locate(f, "the next block does not fit those before it");
			cw_follow_slot(f, f->next)->best = true;
			return;
		}
		if (f->listed <= f->next) {
			cw_follow_list(f);
			return;
		}
		find_run(f, &run);
		if (!submit_run(f, &run)) {
			cw_follow_pump_later(f, ROOM_MS);
			return;
		}
	}
}

/* Everything submitted has its outcome, and one was bad: again from the last good one. The trail keeps what may be stored
 * in part. */
static void begin_again(struct cw_follow *f)
{
	f->failed = false;
	f->next = f->committed;
	cw_follow_fetch_reset(f);
}

void cw_follow_pump(struct cw_follow *f)
{
	if (f->failed && !cw_list_empty(&f->batches))
		return;
	if (f->failed)
		begin_again(f);
	switch (f->state) {
	case CW_FOLLOW_RUNNING:
		if (!f->has_target)
			return;
		submit_ready(f);
		if (f->state == CW_FOLLOW_RUNNING)
			cw_follow_fetch(f);
		return;
	case CW_FOLLOW_LOCATING:
		cw_follow_locate_step(f);
		return;
	case CW_FOLLOW_DRAINING:
		if (cw_list_empty(&f->batches) && f->list_query == 0)
			cw_follow_rewind(f);
		return;
	case CW_FOLLOW_LOADING:
	case CW_FOLLOW_WAITING:
	case CW_FOLLOW_REWINDING:
	case CW_FOLLOW_HALTED:
		return;
	}
}

/* --- heads --- */

static void finalise(struct cw_follow *f)
{
	uint64_t final;

	if (f->conf.final_blocks == CW_FOLLOW_FINALIZED) {
		if (!f->head.has_finalized)
			return;
		final = f->head.finalized;
	} else {
		if (f->head.number < (uint64_t)f->conf.final_blocks)
			return;
		final = f->head.number - (uint64_t)f->conf.final_blocks;
	}
	if (final >= f->committed) {
		if (f->committed == 0)
			return;
		final = f->committed - 1;
	}
	cw_pipeline_finalise(f->pipeline, f->conf.chain_id, final);
	f->final = final + 1;
}

/* Where to begin, if nothing was read yet. */
static void begin(struct cw_follow *f)
{
	if (f->state != CW_FOLLOW_WAITING)
		return;
	if (!cw_trail_empty(f->trail)) {
		cw_follow_locate(f, "at the start");
		return;
	}
	if (f->conf.start >= 0)
		f->next = (uint64_t)f->conf.start;
	else if (f->has_target)
		f->next = f->target;
	else
		return;
	f->committed = f->listed = f->next;
	cw_follow_set_state(f, CW_FOLLOW_RUNNING);
}

/* Does the head say that blocks we have are gone? */
static void compare_head(struct cw_follow *f)
{
	struct cw_hash ours;
	uint64_t tip;

	if (f->state != CW_FOLLOW_RUNNING || !cw_trail_tip(f->trail, &tip, &ours))
		return;
	if (f->head.number < tip) {
		/* One that grows is of a node that lags. */
		f->shrunk = f->head.number > f->last_head ? 0 : f->shrunk + 1;
		if (f->shrunk >= SHRUNK_POLLS)
			cw_follow_locate(f, "the head has shrunk");
		return;
	}
	f->shrunk = 0;
	if (cw_trail_find(f->trail, f->head.number, &ours) && memcmp(&ours, &f->head.hash, sizeof(ours)) != 0)
		cw_follow_locate(f, "the head has another hash");
}

static void next_poll(struct cw_follow *f)
{
	int64_t wait = f->kicked ? 0 : f->conf.poll_ms, aside = f->has_head && f->error.code == CW_OK ? 0 : cw_rpc_wait_ms(f->rpc);

	f->kicked = false;
	cw_timer_set(f->poll_timer, wait > aside ? wait : aside);
}

static void on_polled(void *arg)
{
	struct cw_follow *f = CW_CAST(arg, CW_FOLLOW_MAGIC);
	struct cw_err err;

	f->polling = false;
	if (cw_rpc_head(f->rpc, &f->head, &err) != 0) {
		cw_follow_note(f, &err);
		next_poll(f);
		return;
	}
	f->has_head = true;
	f->has_target = f->head.number >= (uint64_t)f->conf.confirmations;
	f->target = f->has_target ? f->head.number - (uint64_t)f->conf.confirmations : 0;
	if (f->state == CW_FOLLOW_HALTED && !cw_trail_empty(f->trail))
		cw_follow_locate(f, "looking again");
	begin(f);
	compare_head(f);
	f->last_head = f->head.number;
	if (f->state == CW_FOLLOW_RUNNING && f->next > f->target)
		cw_follow_note(f, NULL);
	finalise(f);
	show(f);
	next_poll(f);
	cw_follow_pump(f);
}

void cw_follow_poll(struct cw_follow *f)
{
	if (f->polling || f->state == CW_FOLLOW_LOADING)
		return;
	f->polling = true;
	cw_rpc_poll(f->rpc, on_polled, f);
}

void cw_follow_kick(struct cw_follow *f)
{
	if (f->polling)
		f->kicked = true;
	else if (f->state != CW_FOLLOW_LOADING)
		cw_timer_set(f->poll_timer, 0);
}

/* --- the start --- */

static void on_announced(void *arg)
{
	cw_follow_kick(CW_CAST(arg, CW_FOLLOW_MAGIC));
}

static void on_poll_timer(void *arg)
{
	struct cw_follow *f = CW_CAST(arg, CW_FOLLOW_MAGIC);

	if (f->state == CW_FOLLOW_LOADING)
		cw_follow_load(f);
	else
		cw_follow_poll(f);
}

static void take_conf(struct cw_follow *f, const struct cw_follow_conf *conf)
{
	const struct cw_follow_conf *normal = &cw_follow_conf_default;

	f->conf = *conf;
	f->conf.endpoints = NULL;
	f->conf.ws = NULL;
	f->conf.name = f->name;
	f->conf.poll_ms = conf->poll_ms > 0 ? conf->poll_ms : normal->poll_ms;
	f->conf.batch = conf->batch > 0 ? conf->batch : normal->batch;
	f->conf.batch = f->conf.batch < 64 ? f->conf.batch : 64;
	f->conf.parallel = conf->parallel > 0 ? conf->parallel : normal->parallel;
	f->conf.parallel = f->conf.parallel < CW_FOLLOW_PARALLEL_MAX ? f->conf.parallel : CW_FOLLOW_PARALLEL_MAX;
	f->conf.window = conf->window > 0 ? conf->window : normal->window;
	f->conf.deadline_ms = conf->deadline_ms > 0 ? conf->deadline_ms : normal->deadline_ms;
	f->conf.max_reorg = conf->max_reorg > 0 ? conf->max_reorg : normal->max_reorg;
}

static void make_metrics(struct cw_follow *f)
{
	struct cw_buf labels = CW_BUF_INIT;

	cw_metric_label(&labels, "source", f->name);
	f->m_block = cw_gauge("chainwatch_source_block", "Newest block that is stored", labels.data);
	f->m_head = cw_gauge("chainwatch_source_head", "Newest block of the chain, as the endpoint that is followed says",
	                     labels.data);
	f->m_lag = cw_gauge("chainwatch_source_lag_blocks", "Blocks of the chain that are not stored yet", labels.data);
	f->m_reorgs = cw_counter("chainwatch_source_reorgs_total", "Times blocks were taken back", labels.data);
	f->m_depth = cw_gauge("chainwatch_source_reorg_depth", "Blocks taken back the last time", labels.data);
	f->m_transactions = cw_counter("chainwatch_source_transactions_total", "Transactions read and stored", labels.data);
	f->m_skipped = cw_counter("chainwatch_source_skipped_total", "Transactions left out because they make no sense",
	                          labels.data);
	cw_buf_release(&labels);
}

struct cw_follow *cw_follow_new(struct cw_loop *loop, struct cw_httpc *http, struct cw_pool *pool,
                                struct cw_pipeline *pipeline, const struct cw_follow_conf *conf, struct cw_err *err)
{
	const struct cw_rpc_conf rpc = {
		.source = conf->name, .chain_id = conf->chain_id, .endpoints = conf->endpoints, .nendpoints = conf->nendpoints,
		.deadline_ms = conf->deadline_ms, .finalized = conf->final_blocks == CW_FOLLOW_FINALIZED,
	};
	struct cw_rpc *nodes = cw_rpc_new(loop, http, &rpc, err);
	struct cw_follow *f;

	if (nodes == NULL) {
		cw_err_wrap(err, "source \"%s\"", conf->name);
		return NULL;
	}
	f = cw_zalloc(sizeof(*f));
	f->magic = CW_FOLLOW_MAGIC;
	f->loop = loop;
	f->pool = pool;
	f->pipeline = pipeline;
	f->rpc = nodes;
	f->name = cw_strdup(conf->name);
	take_conf(f, conf);
	f->trail = cw_trail_new();
	f->slots = cw_zalloc((size_t)f->conf.window * sizeof(*f->slots));
	cw_list_init(&f->batches);
	f->poll_timer = cw_timer_new(loop, on_poll_timer, f);
	f->pump_timer = cw_timer_new(loop, on_pump_timer, f);
	make_metrics(f);
	if (conf->ws != NULL) {
		f->heads = cw_heads_new(loop, f->name, conf->ws, on_announced, f, err);
		if (f->heads == NULL) {
			cw_err_wrap(err, "source \"%s\", ws", conf->name);
			cw_follow_free(&f);
			return NULL;
		}
	}
	cw_follow_load(f);
	return f;
}

void cw_follow_release(struct cw_follow *f)
{
	cw_trail_free(&f->trail);
	cw_free(f->name);
	cw_free(f);
}

void cw_follow_free(struct cw_follow **follow)
{
	struct cw_follow *f = *follow;

	*follow = NULL;
	if (f == NULL)
		return;
	if (f->query != 0)
		cw_pool_cancel(f->pool, f->query);
	if (f->list_query != 0)
		cw_pool_cancel(f->pool, f->list_query);
	while (!cw_list_empty(&f->batches)) {
		struct cw_follow_batch *b = cw_list_entry(f->batches.next, struct cw_follow_batch, link);

		cw_pipeline_cancel(f->pipeline, b->submission);
		batch_free(b);
	}
	cw_heads_free(&f->heads);
	cw_follow_fetch_reset(f);
	cw_rpc_cancel(&f->locate);
	cw_rpc_free(&f->rpc);
	cw_timer_free(&f->poll_timer);
	cw_timer_free(&f->pump_timer);
	cw_free(f->slots);
	if (f->state == CW_FOLLOW_REWINDING)
		f->freed = true;
	else
		cw_follow_release(f);
}

/* --- status --- */

const char *cw_follow_name(const struct cw_follow *f)
{
	return f->name;
}

static void put_number(struct cw_buf *out, const char *name, uint64_t value, bool there)
{
	cw_buf_printf(out, ",\"%s\":", name);
	if (there)
		cw_buf_uint(out, value);
	else
		cw_buf_puts(out, "null");
}

static void put_endpoint(struct cw_buf *out, const struct cw_rpc_endpoint_stats *e)
{
	cw_buf_puts(out, "{\"name\":");
	cw_json_put_cstring(out, e->name);
	cw_buf_printf(out, ",\"state\":\"%s\"", e->state);
	put_number(out, "head", e->head, e->head > 0);
	put_number(out, "requests", e->requests, true);
	put_number(out, "errors", e->errors, true);
	put_number(out, "wait_ms", (uint64_t)e->wait_ms, true);
	cw_buf_puts(out, ",\"latency_s\":");
	cw_json_put_double(out, e->latency_s);
	cw_buf_puts(out, ",\"last_error\":");
	if (e->last_error[0] != '\0')
		cw_json_put_cstring(out, e->last_error);
	else
		cw_buf_puts(out, "null");
	cw_buf_putc(out, '}');
}

void cw_follow_status(const struct cw_follow *f, struct cw_buf *out)
{
	bool some = f->committed > 0 && f->state != CW_FOLLOW_LOADING;
	uint64_t lag = f->head.number + 1 > f->committed ? f->head.number + 1 - f->committed : 0;

	cw_buf_puts(out, "{\"name\":");
	cw_json_put_cstring(out, f->name);
	put_number(out, "chain_id", f->conf.chain_id, true);
	cw_buf_printf(out, ",\"kind\":\"chain\",\"state\":\"%s\",\"error\":", state_names[f->state]);
	if (f->error.code != CW_OK)
		cw_json_put_cstring(out, f->error.msg);
	else
		cw_buf_puts(out, "null");
	put_number(out, "head", f->head.number, f->has_head);
	put_number(out, "block", f->committed - 1, some);
	put_number(out, "lag", lag, f->has_head && some);
	put_number(out, "final", f->final - 1, f->final > 0);
	put_number(out, "reorgs", f->reorgs, true);
	put_number(out, "deepest", f->deepest, true);
	put_number(out, "transactions", f->transactions, true);
	put_number(out, "skipped", f->skipped, true);
	put_number(out, "announced", f->heads != NULL ? cw_heads_seen(f->heads) : 0, f->heads != NULL);
	cw_buf_puts(out, ",\"endpoints\":[");
	for (int i = 0; i < cw_rpc_endpoints(f->rpc); i++) {
		struct cw_rpc_endpoint_stats e = cw_rpc_endpoint_stats(f->rpc, i);

		if (i > 0)
			cw_buf_putc(out, ',');
		put_endpoint(out, &e);
	}
	cw_buf_puts(out, "]}");
}
