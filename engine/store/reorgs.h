/* reorgs.h - blocks that a chain takes back: what they held is dropped from the tables, once. */
#ifndef CW_STORE_REORGS_H
#define CW_STORE_REORGS_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/conn.h"

struct cw_pool;
struct cw_result;

/* One row: a new identity for the reorg, and the identity of the first transaction that it drops (0: none). Which ones: see
 * cw_reorgs_apply. */
uint64_t cw_reorgs_begin(struct cw_pool *pool, uint64_t chain_id, uint64_t from_block, const char *source, cw_query_fn *fn,
                         void *arg);

/* Drops the canonical transactions of blocks of the chain from `from_block` on which `source` has handed over
 * (store/source_blocks.h; below the oldest of them, and where it has none: all that name a block), withdraws them as
 * evidence, forgets these blocks, and moves the source's cursor to `position` (NULL: it has none). One statement; asked again
 * under the same identity it does not do it twice. */
uint64_t cw_reorgs_apply(struct cw_pool *pool, int64_t id, uint64_t chain_id, uint64_t from_block, const char *source,
                         const char *position, bool events, cw_query_fn *fn, void *arg);

/* What it did: rows for cw_reorgs_row, one at least. */
uint64_t cw_reorgs_read(struct cw_pool *pool, int64_t id, cw_query_fn *fn, void *arg);
struct cw_reorg_row {
	uint64_t transactions, retracted;
	int64_t anomaly_id;           /* 0: none was told of */
	const char *rule, *version, *title, *severity, *dedup_key;
	uint64_t chain_id;
};
void cw_reorgs_row(const struct cw_result *res, int row, struct cw_reorg_row *out);

/* Alerts founded in blocks up to this one are final. */
uint64_t cw_reorgs_finalise(struct cw_pool *pool, uint64_t chain_id, uint64_t up_to_block, cw_query_fn *fn, void *arg);

#endif
