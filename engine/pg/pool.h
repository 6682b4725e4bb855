/* pool.h - PostgreSQL connections, lent out one query or transaction at a time.
 *
 * Single-threaded: call it from the loop only. Waiters are served in order of arrival; when the queue is full they get
 * CW_ERR_BUSY, because a late "no" costs more than an early one; after the wait time CW_ERR_TIMEOUT. Connections are
 * recycled by age (give or take a tenth, so that not all go at once), checked before use when they were idle, and reconnected with backoff and jitter. Knows libpq and
 * the loop; nothing of HTTP or Lua. */
#ifndef CW_PG_POOL_H
#define CW_PG_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/conn.h"

struct cw_pool;
struct cw_lease;

struct cw_pool_conf {
	const char *conninfo;        /* URI or key/value; several hosts and target_session_attrs are honoured */
	int size;                    /* kept open, 20 */
	int overflow;                /* opened above that under load, closed when idle, 10 */
	int64_t wait_ms;             /* for a connection, 30000 */
	int64_t recycle_s;           /* 3600 */
	int64_t check_idle_s;        /* checked with an empty query after this idle time, 30 */
	int64_t connect_ms;          /* 5000 */
	int64_t statement_ms;        /* statement_timeout set on each connection, 30000 */
	int queue_limit;             /* waiters, 1000 */
};
/* Connections are opened on demand: up to `size` when the open ones are busy, `overflow` more when those are leased,
 * slow, or have a pipeline of some length. Metrics: chainwatch_db_pool_* and chainwatch_db_query_seconds by statement
 * name. */
extern const struct cw_pool_conf cw_pool_conf_default;

/* Returns NULL and fills `err` if the settings make no sense; does not connect yet. */
struct cw_pool *cw_pool_new(struct cw_loop *loop, const struct cw_pool_conf *conf, struct cw_err *err);
/* Pending queries and waiters are answered with CW_ERR_CANCELLED first. */
void cw_pool_free(struct cw_pool **pool);
/* New sizes and times hold at once, a new conninfo for new connections. */
int cw_pool_reconfigure(struct cw_pool *pool, const struct cw_pool_conf *conf, struct cw_err *err);

/* One statement in its own transaction, answered when it is committed. Statement and `params` (NULL: none) are copied.
 * When all connections are busy, several such queries share one in pipeline mode. If the connection is lost the answer
 * is an error (class 08 or 57P) and whether the statement took effect is unknown: only the caller knows if it may be
 * repeated. Returns a number for cw_pool_cancel. */
uint64_t cw_pool_query(struct cw_pool *pool, const struct cw_stmt *stmt, const struct cw_params *params,
                       cw_query_fn *fn, void *arg);
/* The same for a statement that only reads, faster under load: reads that wait together share a transaction and a round
 * trip (each still sees what was committed when it ran, and fails alone), and when the connection is lost before the
 * answer the read is asked once more on another one. */
uint64_t cw_pool_read(struct cw_pool *pool, const struct cw_stmt *stmt, const struct cw_params *params,
                      cw_query_fn *fn, void *arg);
/* `fn` will not be called any more. A long statement that is running is cancelled on the server. */
void cw_pool_cancel(struct cw_pool *pool, uint64_t query);

/* A whole connection for a transaction. */
typedef void cw_lease_fn(void *arg, struct cw_lease *lease, const struct cw_err *err);
uint64_t cw_pool_lease(struct cw_pool *pool, cw_lease_fn *fn, void *arg);   /* cancel with cw_pool_cancel */
struct cw_conn *cw_lease_conn(struct cw_lease *lease);    /* check its state: it may have died meanwhile */
/* A connection with an open transaction or an error in it is thrown away, not lent again (`clean` 0: throw it away
 * anyway). What is still in flight is waited for first, so it may follow directly on sending COMMIT and a sync. Allowed
 * after the pool is gone, too: a lease outlives it, with a dead connection. */
void cw_lease_release(struct cw_lease **lease, int clean);

/* True for the error of a session that may only read (SQLSTATE 25006): its server has become a standby, or the database was
 * read-only when it began. It would never heal, so all are opened anew, every 5 s at most; a lease is to be thrown away. */
bool cw_pool_outlived(struct cw_pool *pool, const struct cw_err *err);

struct cw_pool_stats { int size, busy, idle, connecting, waiting; uint64_t checkouts, timeouts, refused, recycled, failed; };
struct cw_pool_stats cw_pool_stats(const struct cw_pool *pool);
/* false after a failed attempt to connect with no connection left, until an attempt succeeds; tried again and again
 * with backoff, needed or not. */
int cw_pool_healthy(const struct cw_pool *pool);

#endif
