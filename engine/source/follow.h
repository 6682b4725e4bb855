/* follow.h - a follower of one chain: reads blocks from its nodes and hands them to the pipeline, through every reorg.
 *
 * Polling is the truth: every poll_ms the nodes are asked for their head, and blocks up to it (less `confirmations`) are
 * fetched in batches, several at a time, in a bounded window, and submitted in order. The cursor goes into the database
 * transaction of the last row of each submission, so a restart goes on where the tables end.
 *
 * A reorg is seen by a parent hash that is not the last block's, by a head that shrinks (for several polls: nodes behind one
 * address need not agree), by another hash at the same height, and at the start, when the nodes no longer know the
 * cursor's block. The newest block that both know is looked for, what stands above it is taken back
 * (cw_pipeline_rewind), and reading goes on from there. Loop thread only. */
#ifndef CW_SOURCE_FOLLOW_H
#define CW_SOURCE_FOLLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "source/rpc.h"

struct cw_buf;
struct cw_err;
struct cw_follow;
struct cw_httpc;
struct cw_loop;
struct cw_pipeline;
struct cw_pool;

enum cw_receipts {
	CW_RECEIPTS_AUTO = 0,         /* eth_getBlockReceipts, one by one where a node does not know it */
	CW_RECEIPTS_BLOCK,
	CW_RECEIPTS_SINGLE,
	CW_RECEIPTS_NONE,             /* no status, gas used, logs */
};

#define CW_FOLLOW_LATEST (-1)     /* start: at the head, when it is first seen */
#define CW_FOLLOW_FINALIZED (-1)  /* final_blocks: as the nodes say it ("finalized") */

struct cw_follow_conf {
	const char *name;             /* of the source; also of its cursor */
	uint64_t chain_id;
	const struct cw_rpc_endpoint_conf *endpoints;
	int nendpoints;
	const char *ws;               /* where new blocks are announced (source/heads.h); NULL: nowhere */
	int64_t start;                /* first block, where there is no cursor; CW_FOLLOW_LATEST */
	int64_t confirmations;        /* blocks to stay behind the head, 0 */
	int64_t final_blocks;         /* a block so far behind the head is final, 64; CW_FOLLOW_FINALIZED */
	int64_t poll_ms;              /* 2000 */
	int64_t batch;                /* blocks in a call, 4 */
	int64_t parallel;             /* calls at a time, 4 */
	int64_t window;               /* blocks fetched ahead, 256 */
	int64_t deadline_ms;          /* of a call, 10000 */
	int64_t max_reorg;            /* deeper ones stop the source, 10000 */
	enum cw_receipts receipts;
};
extern const struct cw_follow_conf cw_follow_conf_default;

/* Starts by itself. NULL and CW_ERR_INVALID if the settings make no sense; they are copied. */
struct cw_follow *cw_follow_new(struct cw_loop *loop, struct cw_httpc *http, struct cw_pool *pool,
                                struct cw_pipeline *pipeline, const struct cw_follow_conf *conf, struct cw_err *err);
/* Submissions go on. A rewind that is under way is waited for: until then a shell of the follower lives on, so the
 * pipeline has to outlive it or cancel the rewind. */
void cw_follow_free(struct cw_follow **follow);

/* There may be a new head: ask now. */
void cw_follow_kick(struct cw_follow *follow);
const char *cw_follow_name(const struct cw_follow *follow);
/* {"name","chain_id","kind":"chain","state","error","head","block","lag","final","reorgs","deepest","transactions","skipped","announced","endpoints"} */
void cw_follow_status(const struct cw_follow *follow, struct cw_buf *out);

#endif
