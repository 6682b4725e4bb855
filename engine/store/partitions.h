/* partitions.h - the months of predictions, audit_logs and system_metrics. */
#ifndef CW_STORE_PARTITIONS_H
#define CW_STORE_PARTITIONS_H

#include <stdint.h>

#include "pg/conn.h"

struct cw_pool;

#define CW_PARTITIONS_AHEAD 3     /* months: an engine that is asked to do so once a day may fail for a quarter */

/* Makes the partitions of this month and `months` to come where they are missing; their number is the first column.
 * Ingest waits for it for some milliseconds when there is one to make. Cancel with cw_pool_cancel. */
uint64_t cw_partitions_ahead(struct cw_pool *pool, int months, cw_query_fn *fn, void *arg);

#endif
