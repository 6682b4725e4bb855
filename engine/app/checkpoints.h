/* checkpoints.h - detector state kept over a restart: <data_dir>/state.ckpt, written every now and then and at the end.
 *
 * A checkpoint holds what is committed, never more. It belongs to one database: with another one, or one that is behind
 * it (restored from a backup), it is not used and history is replayed instead. So are a missing and a damaged one: a
 * longer start, never a wrong one. */
#ifndef CW_APP_CHECKPOINTS_H
#define CW_APP_CHECKPOINTS_H

#include <stdint.h>

struct cw_checkpoints;
struct cw_engine;
struct cw_err;

/* `database` names the database, `newest` is its newest transaction. Loads the file into the engine's empty arena. */
struct cw_checkpoints *cw_checkpoints_open(struct cw_engine *e, const char *database, int64_t newest);
/* When the pipeline is there: writes one every rules.checkpoint_s on a worker thread, and answers for a lost arena. */
void cw_checkpoints_start(struct cw_checkpoints *c);
/* The evaluators have ended: writes the last one, if `save`. */
void cw_checkpoints_close(struct cw_checkpoints **c, int save);

#endif
