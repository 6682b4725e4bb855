/* When the chain changes its mind: find the newest block that both know, take back what stands above it.
 *
 * Blocks that are remembered are compared with the node's from the newest down, 16 a call and then more. The node may change
 * its mind again meanwhile: then the next block will not fit either, and all this begins again. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/metrics.h"
#include "loop/loop.h"
#include "pipeline/pipeline.h"
#include "source/follow_internal.h"

#define FIRST_CALL 16                /* blocks compared in the first call, then as many as fit */
#define AGAIN_MS 200
#define FALSE_ALARMS_MAX 5           /* in a row, then the source says that its nodes contradict themselves */

static void found(struct cw_follow *f)
{
	struct cw_hash hash;
	uint64_t tip;

	if (f->has_ancestor && cw_trail_tip(f->trail, &tip, &hash) && tip == f->ancestor) {
		/* All is as it was: a node has told a block of another branch, or is in the middle of a change. */
		f->verified = true;
		if (++f->false_alarms > FALSE_ALARMS_MAX) {
			struct cw_err err;

			cw_err_set(&err, CW_ERR_CONFLICT, "a node names a parent of block %" PRIu64 " that is not its block %" PRIu64,
			           f->next, f->ancestor);
			cw_follow_note(f, &err);
		}
		cw_follow_set_state(f, CW_FOLLOW_RUNNING);
		cw_follow_pump_later(f, f->false_alarms > 1 ? AGAIN_MS : 0);
		return;
	}
	cw_follow_set_state(f, CW_FOLLOW_DRAINING);
	cw_follow_pump(f);
}

/* How deep the reorg is; 0: not at all. */
static uint64_t depth(const struct cw_follow *f)
{
	uint64_t below = f->has_ancestor ? f->ancestor + 1 : 0, top = f->next, tip;
	struct cw_hash hash;

	if (cw_trail_tip(f->trail, &tip, &hash) && tip + 1 > top)
		top = tip + 1;
	return top > below ? top - below : 0;
}

/* The first block that is taken back. */
static uint64_t from_block(const struct cw_follow *f)
{
	return f->has_ancestor ? f->ancestor + 1 : f->conf.start >= 0 ? (uint64_t)f->conf.start : f->locate_from;
}

static void halt(struct cw_follow *f)
{
	struct cw_err err;

	cw_err_set(&err, CW_ERR_CONFLICT, "the chain differs from what was stored further back than max_reorg = %" PRId64
	           " blocks; is it another network? Raise max_reorg to take back that much", f->conf.max_reorg);
	cw_follow_note(f, &err);
	cw_follow_set_state(f, CW_FOLLOW_HALTED);
}

static void decide(struct cw_follow *f)
{
	if (depth(f) > (uint64_t)f->conf.max_reorg)
		halt(f);
	else
		found(f);
}

static void on_compared(void *arg, const struct cw_rpc_reply *replies, int n, const struct cw_err *err)
{
	struct cw_follow *f = CW_CAST(arg, CW_FOLLOW_MAGIC);

	f->locate = NULL;
	if (err != NULL) {
		cw_follow_note(f, err);
		cw_follow_pump_later(f, cw_rpc_wait_ms(f->rpc) > AGAIN_MS ? cw_rpc_wait_ms(f->rpc) : AGAIN_MS);
		return;
	}
	for (int i = 0; i < n; i++) {
		struct cw_hash ours;
		struct cw_block theirs;

		if (replies[i].result == NULL) {
			cw_rpc_blame(f->rpc, replies[i].message);
			cw_follow_pump_later(f, AGAIN_MS);
			return;
		}
		if (replies[i].result->type == CW_JSON_NULL || cw_block_read_header(&theirs, replies[i].result, NULL) != 0 ||
		    !cw_trail_find(f->trail, f->locate_numbers[i], &ours) || theirs.number != f->locate_numbers[i] ||
		    memcmp(&ours, &theirs.hash, sizeof(ours)) != 0)
			continue;
		f->has_ancestor = true;
		f->ancestor = theirs.number;
		decide(f);
		return;
	}
	f->locate_from = f->locate_numbers[n - 1];
	cw_follow_locate_step(f);
}

void cw_follow_locate_step(struct cw_follow *f)
{
	int max = f->locate_n == 0 ? FIRST_CALL : (int)(sizeof(f->locate_numbers) / sizeof(*f->locate_numbers));
	struct cw_rpc_ask asks[sizeof(f->locate_numbers) / sizeof(*f->locate_numbers)];
	struct cw_hash hash;
	uint64_t number = f->locate_from;
	int n = 0;

	if (f->locate != NULL)
		return;
	for (; n < max && cw_trail_before(f->trail, number, &number, &hash); n++) {
		f->locate_numbers[n] = number;
		asks[n].method = "eth_getBlockByNumber";
		snprintf(asks[n].params, sizeof(asks[n].params), "[\"0x%" PRIx64 "\",false]", number);
	}
	if (n == 0) {
		decide(f);               /* not one block in common */
		return;
	}
	f->locate_n += n;
	f->locate = cw_rpc_call(f->rpc, CW_RPC_BEST, 0, asks, n, on_compared, f);
}

void cw_follow_locate(struct cw_follow *f, const char *why)
{
	uint64_t tip = 0;
	struct cw_hash hash;

	cw_trail_tip(f->trail, &tip, &hash);
	cw_log(CW_LOG_DEBUG, "source", "looking for the newest common block", "source=%s block=%" PRIu64 " reason=\"%s\"",
	       f->name, tip, why);
	cw_follow_fetch_reset(f);
	cw_follow_set_state(f, CW_FOLLOW_LOCATING);
	f->shrunk = 0;
	f->has_ancestor = false;
	f->locate_from = tip + 1;
	f->locate_n = 0;
	cw_follow_locate_step(f);
}

/* --- taking back --- */

static void on_rewound(void *arg, const struct cw_rewound *what, const struct cw_err *err)
{
	struct cw_follow *f = CW_CAST(arg, CW_FOLLOW_MAGIC);
	uint64_t deep = depth(f);

	if (f->freed) {
		cw_follow_release(f);
		return;
	}
	if (err != NULL) {
		cw_follow_note(f, err);
		cw_follow_locate(f, "taking back failed");
		return;
	}
	f->reorgs++;
	f->deepest = deep > f->deepest ? deep : f->deepest;
	f->false_alarms = 0;
	f->verified = true;
	cw_metric_add(f->m_reorgs, 1);
	cw_metric_set(f->m_depth, (double)deep);
	cw_log(CW_LOG_WARN, "source", "the chain has changed its mind", "source=%s common_block=%" PRId64 " depth=%" PRIu64
	       " transactions=%" PRIu64 " retracted=%" PRIu64 " judged_again=%" PRIu64, f->name,
	       f->has_ancestor ? (int64_t)f->ancestor : -1, deep, what->transactions, what->retracted, what->judged_again);
	if (f->has_ancestor)
		cw_trail_cut(f->trail, f->ancestor);
	else
		cw_trail_clear(f->trail);
	/* Blocks below may have to come again: all that is sure of them is that they were listed. */
	if (f->committed > from_block(f) || !f->has_ancestor)
		f->committed = from_block(f);
	f->next = f->committed;
	cw_follow_fetch_reset(f);
	cw_follow_note(f, NULL);
	cw_follow_set_state(f, CW_FOLLOW_RUNNING);
	cw_follow_pump(f);
}

void cw_follow_rewind(struct cw_follow *f)
{
	struct cw_reorg reorg = { .chain_id = f->conf.chain_id, .source = f->name };
	struct cw_buf cursor = CW_BUF_INIT;
	struct cw_trail *none = f->has_ancestor && f->committed > 0 ? NULL : cw_trail_new();
	struct cw_err err;
	uint64_t last = f->committed > from_block(f) ? from_block(f) : f->committed;

	reorg.from_block = from_block(f);
	cw_trail_to_json(none != NULL ? none : f->trail, f->conf.chain_id, last > 0 ? last - 1 : 0, &cursor);
	cw_trail_free(&none);
	reorg.cursor = cursor.data;
	if (cw_pipeline_rewind(f->pipeline, &reorg, on_rewound, f, &err) == 0)
		cw_follow_set_state(f, CW_FOLLOW_REWINDING);
	else
		cw_follow_pump_later(f, 50);     /* another source is at it */
	cw_buf_release(&cursor);
}
