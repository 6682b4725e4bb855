/* batch.h - POST /predict/batch: a request with many transactions, answered from C.
 *
 * application/json: {"transactions": [...]}, all checked before any is taken, one answer with all verdicts in order.
 * application/x-ndjson: a stream of any length; each line is answered by a line, in order, a verdict or a problem
 * document; the client is read only as fast as transactions are committed. */
#ifndef CW_LUA_BATCH_H
#define CW_LUA_BATCH_H

#include <stdbool.h>

#include "http/parser.h"

struct cw_origin;
struct cw_request;
struct cw_script_env;

/* Takes over a request whose route streams its body; answers it, or forgets it when the client goes. */
void cw_batch_take(const struct cw_script_env *env, struct cw_request *req);
/* Who sent it, for the pipeline. */
void cw_origin_of(const struct cw_request *req, struct cw_origin *origin);

#endif
