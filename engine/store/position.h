/* position.h - where the database stands: which one it is, and the newest transaction in it. */
#ifndef CW_STORE_POSITION_H
#define CW_STORE_POSITION_H

#include <stdint.h>

#include "pg/conn.h"

struct cw_pool;

/* One row: text that names the cluster and the database (another one has another), and the highest id of transactions
 * and of anomalies, or 0. */
uint64_t cw_position(struct cw_pool *pool, cw_query_fn *fn, void *arg);
enum { CW_POSITION_DATABASE = 0, CW_POSITION_NEWEST, CW_POSITION_ANOMALY };

#endif
