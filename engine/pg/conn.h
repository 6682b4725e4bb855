/* conn.h - one asynchronous PostgreSQL connection in pipeline mode.
 *
 * Queries go out in order and their answers come back in order; several may be in flight. `cw_conn_sync` ends an
 * implicit transaction: after an error every query up to the next sync is answered with CW_ERR_CANCELLED. A lost
 * connection answers everything in flight with CW_ERR_DB, in order. Owned by the pool, or by who made it.
 *
 * Errors keep their SQLSTATE; the code follows from it: 23505 and 23503 CONFLICT, other 22xxx and 23xxx INVALID,
 * 42501 DENIED, 40001, 40P01, 55P03 BUSY (try again), 57014 TIMEOUT or CANCELLED, all else DB. Lost connections have
 * class 08 or 57P. */
#ifndef CW_PG_CONN_H
#define CW_PG_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "pg/query.h"

struct cw_conn;
struct cw_err;
struct cw_loop;
struct cw_result;

/* Exactly one call per query, never before the asking call has returned. `res` is valid during the call; NULL when
 * `err` is set, and for a sync. */
typedef void cw_query_fn(void *arg, const struct cw_result *res, const struct cw_err *err);
typedef void cw_conn_fn(void *arg, struct cw_conn *conn, const struct cw_err *err);

enum cw_conn_state { CW_CONN_CONNECTING = 0, CW_CONN_READY, CW_CONN_DEAD };

/* Starts to connect; `on_ready` is called once with err NULL, or with the reason why not (then the state is DEAD).
 * `timeout_ms` holds for each host of the connection string. Host names are resolved on a thread. */
struct cw_conn *cw_conn_new(struct cw_loop *loop, const char *conninfo, int64_t timeout_ms, cw_conn_fn *on_ready,
                            void *arg);
/* Answers what is in flight with CW_ERR_CANCELLED, closes. Allowed inside its own callbacks. */
void cw_conn_free(struct cw_conn **conn);
/* The same, but the struct stays, DEAD, and on_death is not called. */
void cw_conn_close(struct cw_conn *conn);
/* Called once when the connection dies after it was ready, after everything in flight was answered. */
void cw_conn_on_death(struct cw_conn *conn, cw_conn_fn *fn, void *arg);

enum cw_conn_state cw_conn_state(const struct cw_conn *conn);
int cw_conn_in_flight(const struct cw_conn *conn);         /* queries and syncs without answer */
int64_t cw_conn_created_us(const struct cw_conn *conn);    /* monotonic */
/* As the last answered sync told: outside any transaction. False while something is in flight. */
bool cw_conn_is_clean(const struct cw_conn *conn);

/* `params` may be NULL and is not needed after the call. `fn` may be NULL (errors then only abort up to the sync).
 * Nothing is sent for sure before the next cw_conn_sync or cw_conn_flush. */
void cw_conn_query(struct cw_conn *conn, const struct cw_stmt *stmt, const struct cw_params *params, cw_query_fn *fn,
                   void *arg);
/* One statement in a transaction of its own: cw_conn_query and cw_conn_sync, answered when it is committed (a statement's
 * own answer may come before that). */
void cw_conn_exec(struct cw_conn *conn, const struct cw_stmt *stmt, const struct cw_params *params, cw_query_fn *fn,
                  void *arg);
/* Asks the server to send what it has so far without ending the transaction (PQsendFlushRequest). */
void cw_conn_flush(struct cw_conn *conn);
/* Ends the implicit transaction. `fn` (may be NULL) is called when the sync is answered: with an error only if the commit
 * itself failed or the connection was lost. */
void cw_conn_sync(struct cw_conn *conn, cw_query_fn *fn, void *arg);
/* Forgets the callbacks of all queries in flight that carry `arg`; their answers are dropped. */
void cw_conn_forget(struct cw_conn *conn, void *arg);
/* Sends a cancel request for what is running, from a thread of its own (libpq's call blocks). */
void cw_conn_cancel(struct cw_conn *conn);

#endif
