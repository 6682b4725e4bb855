/* fill.h - what a partial export leaves out of a transaction, worked out from what it says.
 *
 * Data sets about chains often lack what every node gives: the time of the block, the gas limit, its price, the nonce. A
 * transaction cannot be judged without them. What is put in is no knowledge and is counted, so that it can be told:
 * - the time: that of the record before, if it is of the same block; on Ethereum mainnet (chain 1) by the number of the
 *   block, between blocks whose times are known (six hours off at most before block 19.9 million, then 12 s a block); else
 *   that of the record before
 * - the gas limit: the gas used, 21000 at least
 * - the gas price: the effective one, else 0
 * - the nonce: counted by sender from 100, which is neither a new account nor a service to any rule */
#ifndef CW_SOURCE_FILL_H
#define CW_SOURCE_FILL_H

#include <stdint.h>

struct cw_buf;
struct cw_fill;

#define CW_FILL_NONCE 100

struct cw_fill_stats { uint64_t records, times, gas, prices, nonces; };      /* records: in which anything was filled in */

struct cw_fill *cw_fill_new(uint64_t default_chain_id);
void cw_fill_free(struct cw_fill **fill);
/* Completes the text of one JSON object in `record`. What is no object, what is complete, and whatever has no block number or
 * no sender stays as it is. null counts as absent. */
void cw_fill_record(struct cw_fill *fill, struct cw_buf *record);
struct cw_fill_stats cw_fill_stats(const struct cw_fill *fill);
/* One sentence about what was filled in, for people; nothing if nothing was. */
void cw_fill_tell(const struct cw_fill *fill, struct cw_buf *out);

#endif
