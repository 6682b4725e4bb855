/* trail.h - which blocks a source has been through: what a reorg is recognised by. Pure but for its allocations.
 *
 * The newest TRAIL_DENSE blocks are remembered one by one, older ones ever more sparsely, back to the first. A block that
 * is remembered and still in the chain is an ancestor of both branches: where the newest such block lies further back than
 * need be, more is taken back than need be, never less. The text form is what stands in `cursors`. */
#ifndef CW_SOURCE_TRAIL_H
#define CW_SOURCE_TRAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/hex.h"

struct cw_buf;
struct cw_err;
struct cw_trail;

struct cw_trail *cw_trail_new(void);
void cw_trail_free(struct cw_trail **trail);
bool cw_trail_empty(const struct cw_trail *trail);

/* Blocks come in order; numbers may be left out. What is at or above `number` is forgotten first. */
void cw_trail_add(struct cw_trail *trail, uint64_t number, const struct cw_hash *hash);
/* Forgets everything above `number`. */
void cw_trail_cut(struct cw_trail *trail, uint64_t number);
void cw_trail_clear(struct cw_trail *trail);

/* The newest block; false: there is none. */
bool cw_trail_tip(const struct cw_trail *trail, uint64_t *number, struct cw_hash *hash);
bool cw_trail_find(const struct cw_trail *trail, uint64_t number, struct cw_hash *hash);
/* The newest remembered block below `number`; false: there is none. */
bool cw_trail_before(const struct cw_trail *trail, uint64_t number, uint64_t *found, struct cw_hash *hash);

/* {"chain_id":"1","block":"20","hash":"0x..","before":[["19","0x.."],...]} of what is at or below `number`. */
void cw_trail_to_json(const struct cw_trail *trail, uint64_t chain_id, uint64_t number, struct cw_buf *out);
/* -1 and CW_ERR_INVALID: it is none, or of another chain. */
int cw_trail_from_json(struct cw_trail *trail, uint64_t chain_id, const char *text, size_t len, struct cw_err *err);

#endif
