/* db_stats.h - what PostgreSQL knows of itself, as gauges and counters chainwatch_db_*: sizes, dead rows, use of indexes,
 * transactions, replication, archive. One statement; cheap enough for every 15 seconds. */
#ifndef CW_STORE_DB_STATS_H
#define CW_STORE_DB_STATS_H

#include <stdint.h>

struct cw_loop;
struct cw_pool;
struct cw_db_stats;

/* Asks at once and then every `every_s`. chainwatch_db_up is 0 while the last answer was an error. */
struct cw_db_stats *cw_db_stats_new(struct cw_loop *loop, struct cw_pool *pool, int64_t every_s);
/* Before the pool. */
void cw_db_stats_free(struct cw_db_stats **stats);

#endif
