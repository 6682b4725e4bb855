/* The window of a follower: which blocks are asked for, which are there. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/assert.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "source/follow_internal.h"

#define HELD_MAX (96u << 20)         /* bytes of blocks that wait to be submitted */
#define NEAR_HEAD 64                 /* blocks this near to the head are asked of the endpoint that is followed */
#define AGAIN_MS 200                 /* after an answer that was of no use */
#define OTHER_WAY_US 3000000         /* an index of receipts is not so far behind its blocks */

struct cw_follow_slot *cw_follow_slot(struct cw_follow *f, uint64_t number)
{
	return &f->slots[number % (uint64_t)f->conf.window];
}

void cw_follow_slot_clear(struct cw_follow *f, struct cw_follow_slot *slot)
{
	if (slot->arena != NULL)
		f->held_bytes -= cw_arena_bytes(slot->arena);
	cw_arena_free(&slot->arena);
	slot->state = CW_SLOT_EMPTY;
}

void cw_follow_fetch_reset(struct cw_follow *f)
{
	for (int i = 0; i < CW_FOLLOW_PARALLEL_MAX; i++)
		cw_rpc_cancel(&f->fetches[i].call);
	for (int64_t i = 0; i < f->conf.window; i++) {
		cw_follow_slot_clear(f, &f->slots[i]);
		f->slots[i].best = false;
	}
	f->asked = f->next;
	cw_follow_list_reset(f);
}

/* --- answers --- */

/* Asked for and not usable: asked again, after a while. */
static void give_back(struct cw_follow *f, uint64_t number)
{
	struct cw_follow_slot *slot = cw_follow_slot(f, number);

	if (slot->state == CW_SLOT_ASKED)
		slot->state = CW_SLOT_EMPTY;
	if (number < f->asked)
		f->asked = number;
}

static bool keep_block(struct cw_follow *f, uint64_t number, const struct cw_json *block, const struct cw_json *receipts,
                       struct cw_err *err)
{
	struct cw_follow_slot *slot = cw_follow_slot(f, number);
	struct cw_arena *arena = cw_arena_new();

	if (cw_block_read(&slot->block, number, f->conf.chain_id, block, receipts, arena, err) != 0) {
		cw_arena_free(&arena);
		return false;
	}
	slot->arena = arena;
	slot->state = CW_SLOT_READY;
	f->held_bytes += cw_arena_bytes(arena);
	return true;
}

static bool is_null(const struct cw_rpc_reply *reply)
{
	return reply->result != NULL && reply->result->type == CW_JSON_NULL;
}

/* Error of a reply as ours. */
static bool is_error(const struct cw_rpc_reply *reply, const char *method, struct cw_err *err)
{
	if (reply->result != NULL)
		return false;
	cw_err_set(err, CW_ERR_BUSY, "%s: %s (%" PRId64 ")", method, reply->message, reply->code);
	return true;
}

/* Receipts did not come, or none that are of use, though their block is there: an index that is behind, or a node that does
 * not know this way and does not say so. The other way is tried when it has been so for a while. */
static void note_no_receipts(struct cw_follow *f)
{
	int64_t now = cw_clock_mono_us();

	if (f->receipts_missing_us == 0)
		f->receipts_missing_us = now;
	if (f->conf.receipts != CW_RECEIPTS_AUTO || now - f->receipts_missing_us < OTHER_WAY_US)
		return;
	f->single_receipts = !f->single_receipts;
	f->receipts_missing_us = 0;
	cw_log(CW_LOG_INFO, "source", "receipts are asked for in another way", "source=%s method=%s reason=\"none came\"", f->name,
	       f->single_receipts ? "eth_getTransactionReceipt" : "eth_getBlockReceipts");
}

/* A block and its receipts. False: `err`, or OK where the node has no such block (yet, or any more). */
static bool take_block(struct cw_follow *f, uint64_t number, const struct cw_rpc_reply *block,
                       const struct cw_rpc_reply *receipts, struct cw_err *err)
{
	const struct cw_json *list = NULL;
	const char *hash;

	err->code = CW_OK;
	if (is_error(block, "eth_getBlockByNumber", err) || is_null(block))
		return false;
	if (receipts != NULL && receipts->result == NULL && f->conf.receipts == CW_RECEIPTS_AUTO &&
	    cw_rpc_is_unknown_method(receipts)) {
		if (!f->single_receipts)
			cw_log(CW_LOG_INFO, "source", "receipts are asked for one by one", "source=%s reason=\"%s\"", f->name,
			       "eth_getBlockReceipts is not known");
		f->single_receipts = true;
		return false;
	}
	if (receipts != NULL && is_error(receipts, "eth_getBlockReceipts", err)) {
		note_no_receipts(f);
		return false;
	}
	if (receipts != NULL && cw_block_hashes(block->result, &hash, 1) > 0) {
		list = receipts->result;
		if (list->type != CW_JSON_ARRAY || list->count == 0) {
			note_no_receipts(f);
			return false;
		}
		f->receipts_missing_us = 0;
		f->had_receipts = true;
	}
	return keep_block(f, number, block->result, list, err);
}

static void on_blocks(void *arg, const struct cw_rpc_reply *replies, int n, const struct cw_err *err)
{
	struct cw_follow_fetch *fetch = arg;
	struct cw_follow *f = fetch->follow;
	int each = n / fetch->n;
	struct cw_err fault = { .code = CW_OK };
	bool all = true;

	fetch->call = NULL;
	for (int i = 0; i < fetch->n; i++) {
		uint64_t number = fetch->first + (uint64_t)i;

		if (err == NULL && take_block(f, number, &replies[i * each], each > 1 ? &replies[i * each + 1] : NULL, &fault))
			continue;
		all = false;
		give_back(f, number);
		if (fault.code == CW_ERR_INVALID)
			cw_rpc_blame(f->rpc, fault.msg);
		if (fault.code != CW_OK)
			cw_follow_note(f, &fault);
	}
	/* Some break when they are asked for what they do not know. */
	if (err != NULL && each > 1 && !f->had_receipts)
		note_no_receipts(f);
	if (err != NULL)
		cw_follow_note(f, err);
	else if (all)
		cw_follow_note(f, NULL);
	if (all || f->single_receipts)
		cw_follow_pump(f);
	else
		cw_follow_pump_later(f, cw_rpc_wait_ms(f->rpc) > AGAIN_MS ? cw_rpc_wait_ms(f->rpc) : AGAIN_MS);
}

/* --- receipts one by one: the block again, and its receipts, in one call --- */

static void on_receipts(void *arg, const struct cw_rpc_reply *replies, int n, const struct cw_err *err)
{
	struct cw_follow_fetch *fetch = arg;
	struct cw_follow *f = fetch->follow;
	struct cw_err fault = { .code = CW_OK };
	struct cw_json list = { .type = CW_JSON_ARRAY, .count = (uint32_t)(n - 1) }, *nodes;
	bool good = err == NULL && !is_error(&replies[0], "eth_getBlockByNumber", &fault) && !is_null(&replies[0]);

	fetch->call = NULL;
	nodes = cw_alloc((size_t)n * sizeof(*nodes));
	for (int i = 1; good && i < n; i++) {
		good = !is_error(&replies[i], "eth_getTransactionReceipt", &fault) && !is_null(&replies[i]);
		if (!good)
			note_no_receipts(f);
		if (good)
			nodes[i] = *replies[i].result;
		nodes[i].next = i + 1 < n ? &nodes[i + 1] : NULL;
	}
	list.first = n > 1 ? &nodes[1] : NULL;
	good = good && keep_block(f, fetch->first, replies[0].result, &list, &fault);
	if (good && n > 1)
		f->receipts_missing_us = 0;
	cw_free(nodes);
	if (!good)
		give_back(f, fetch->first);
	if (fault.code == CW_ERR_INVALID)
		cw_rpc_blame(f->rpc, fault.msg);
	if (err != NULL || fault.code != CW_OK)
		cw_follow_note(f, err != NULL ? err : &fault);
	if (good)
		cw_follow_pump(f);
	else
		cw_follow_pump_later(f, AGAIN_MS);
}

static enum cw_rpc_who who_to_ask(struct cw_follow *f, uint64_t number)
{
	return cw_follow_slot(f, number)->best || number + NEAR_HEAD > f->head.number ? CW_RPC_BEST : CW_RPC_ANY;
}

static void on_hashes(void *arg, const struct cw_rpc_reply *replies, int n, const struct cw_err *err)
{
	struct cw_follow_fetch *fetch = arg;
	struct cw_follow *f = fetch->follow;
	const struct cw_json *block = err == NULL ? replies[0].result : NULL;
	const char **hashes;
	struct cw_rpc_ask *asks;
	size_t ntxs;

	(void)n;
	fetch->call = NULL;
	if (block == NULL || block->type != CW_JSON_OBJECT || (ntxs = cw_block_hashes(block, NULL, 0)) >= CW_RPC_BATCH_MAX) {
		give_back(f, fetch->first);
		if (err != NULL)
			cw_follow_note(f, err);
		cw_follow_pump_later(f, AGAIN_MS);
		return;
	}
	hashes = cw_alloc((ntxs + 1) * sizeof(*hashes));
	asks = cw_zalloc((ntxs + 1) * sizeof(*asks));
	cw_block_hashes(block, hashes, ntxs);
	asks[0].method = "eth_getBlockByNumber";
	snprintf(asks[0].params, sizeof(asks[0].params), "[\"0x%" PRIx64 "\",true]", fetch->first);
	for (size_t i = 0; i < ntxs; i++) {
		asks[i + 1].method = "eth_getTransactionReceipt";
		snprintf(asks[i + 1].params, sizeof(asks[i + 1].params), "[\"%.66s\"]", hashes[i]);
	}
	fetch->call = cw_rpc_call(f->rpc, who_to_ask(f, fetch->first), fetch->first, asks, (int)ntxs + 1, on_receipts, fetch);
	cw_free(hashes);
	cw_free(asks);
}

/* --- asking --- */

static void ask_singles(struct cw_follow *f, struct cw_follow_fetch *fetch)
{
	struct cw_rpc_ask ask = { .method = "eth_getBlockByNumber" };

	snprintf(ask.params, sizeof(ask.params), "[\"0x%" PRIx64 "\",false]", fetch->first);
	fetch->call = cw_rpc_call(f->rpc, who_to_ask(f, fetch->first), fetch->first, &ask, 1, on_hashes, fetch);
}

static void ask_blocks(struct cw_follow *f, struct cw_follow_fetch *fetch)
{
	struct cw_rpc_ask asks[2 * 64];
	int n = 0;

	for (int i = 0; i < fetch->n; i++) {
		uint64_t number = fetch->first + (uint64_t)i;

		asks[n].method = "eth_getBlockByNumber";
		snprintf(asks[n].params, sizeof(asks[n].params), "[\"0x%" PRIx64 "\",true]", number);
		n++;
		if (f->conf.receipts == CW_RECEIPTS_NONE)
			continue;
		asks[n].method = "eth_getBlockReceipts";
		snprintf(asks[n].params, sizeof(asks[n].params), "[\"0x%" PRIx64 "\"]", number);
		n++;
	}
	fetch->call = cw_rpc_call(f->rpc, who_to_ask(f, fetch->first), fetch->first + (uint64_t)fetch->n - 1, asks, n,
	                          on_blocks, fetch);
}

/* The next run of blocks that nobody has asked for. */
static bool next_run(struct cw_follow *f, uint64_t *first, int *n, int max)
{
	uint64_t end = f->next + (uint64_t)f->conf.window;

	if (end > f->target + 1)
		end = f->target + 1;
	while (f->asked < end && cw_follow_slot(f, f->asked)->state != CW_SLOT_EMPTY)
		f->asked++;
	*first = f->asked;
	*n = 0;
	while (f->asked < end && *n < max && cw_follow_slot(f, f->asked)->state == CW_SLOT_EMPTY) {
		cw_follow_slot(f, f->asked++)->state = CW_SLOT_ASKED;
		(*n)++;
	}
	return *n > 0;
}

void cw_follow_fetch(struct cw_follow *f)
{
	if (f->asked < f->next)
		f->asked = f->next;
	for (int i = 0; i < (int)f->conf.parallel; i++) {
		struct cw_follow_fetch *fetch = &f->fetches[i];
		bool singles = f->conf.receipts == CW_RECEIPTS_SINGLE || f->single_receipts;

		if (fetch->call != NULL)
			continue;
		if (f->held_bytes > HELD_MAX && cw_follow_slot(f, f->next)->state != CW_SLOT_EMPTY)
			return;
		if (!next_run(f, &fetch->first, &fetch->n, singles ? 1 : (int)f->conf.batch))
			return;
		fetch->follow = f;
		if (singles)
			ask_singles(f, fetch);
		else
			ask_blocks(f, fetch);
	}
}
