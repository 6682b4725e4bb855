/* blocks.h - blocks as a node gives them, checked and turned into transactions. Pure but for its allocations.
 *
 * A node is not trusted to answer two questions from the same chain: block and receipts must name the same hash, and the
 * receipts must be those of the transactions. */
#ifndef CW_SOURCE_BLOCKS_H
#define CW_SOURCE_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/tx.h"

struct cw_arena;
struct cw_err;
struct cw_json;

struct cw_block {
	uint64_t number;
	struct cw_hash hash, parent;
	int64_t timestamp;
	struct cw_tx_in *txs;         /* in order; memory of the arena */
	size_t ntxs;
	size_t skipped;               /* transactions that make no sense by themselves */
};

/* Number, hash, parent, timestamp. -1 and CW_ERR_INVALID. */
int cw_block_read_header(struct cw_block *out, const struct cw_json *block, struct cw_err *err);
/* How many transactions the block has, and their hashes as the node wrote them ("0x...", memory of the JSON). */
size_t cw_block_hashes(const struct cw_json *block, const char **hashes, size_t max);
/* The whole block with full transactions, and the list of its receipts (NULL: taken without). -1 and CW_ERR_INVALID if it is
 * not block `number`, or the parts do not fit together: another node should be asked. */
int cw_block_read(struct cw_block *out, uint64_t number, uint64_t chain_id, const struct cw_json *block,
                  const struct cw_json *receipts, struct cw_arena *arena, struct cw_err *err);

#endif
