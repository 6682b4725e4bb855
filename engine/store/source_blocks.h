/* source_blocks.h - which blocks of which branch a source has handed over, and how far it has read.
 *
 * A block is put on the list before the first of its rows is written, so that no row of a dropped block is ever overlooked,
 * and none that somebody else has told of another block at that height is dropped with it (store/reorgs.h). The cursor is
 * written by the pipeline, in the transaction of the last row. */
#ifndef CW_STORE_SOURCE_BLOCKS_H
#define CW_STORE_SOURCE_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/hex.h"
#include "pg/conn.h"

struct cw_pool;
struct cw_result;

struct cw_source_block {
	uint64_t number;
	struct cw_hash hash;
};

/* Puts blocks on the list, each in place of the one at its height, and forgets those below `oldest`. No row. */
uint64_t cw_source_blocks_add(struct cw_pool *pool, const char *source, const struct cw_source_block *blocks, size_t n,
                              uint64_t oldest, cw_query_fn *fn, void *arg);

/* The cursor, if there is one, then the newest `max` blocks in rising order: rows for cw_source_blocks_row. */
uint64_t cw_source_blocks_load(struct cw_pool *pool, const char *source, int max, cw_query_fn *fn, void *arg);
/* True: a block. False: the cursor; *position is its JSON, memory of the result. */
bool cw_source_blocks_row(const struct cw_result *res, int row, struct cw_source_block *out, const char **position,
                          size_t *len);

#endif
