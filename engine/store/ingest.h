/* ingest.h - the statements of the commit stream: a group of transactions, their predictions, cursors (their
 * alerts are in store/alerts.h).
 *
 * All go out on one connection in pipeline mode, arrays in binary through unnest; nothing is sent twice. The order of a
 * group's rows is kept: identities rise with it, and so are the recorded evaluation order. */
#ifndef CW_STORE_INGEST_H
#define CW_STORE_INGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/tx.h"
#include "pg/conn.h"

struct cw_arena;
struct cw_result;

void cw_ingest_begin(struct cw_conn *conn, cw_query_fn *fn, void *arg);
void cw_ingest_commit(struct cw_conn *conn, cw_query_fn *fn, void *arg);
void cw_ingest_rollback(struct cw_conn *conn, cw_query_fn *fn, void *arg);

/* Before a retry with identities up to `id`: moves the sequence past them. A server that crashed forgets identities it
 * has given out and not committed, and would give them out again. */
void cw_ingest_reserve(struct cw_conn *conn, int64_t id, struct cw_arena *arena, cw_query_fn *fn, void *arg);

/* Inserts the group; hashes must be unique within it. The answer has one row for each transaction that was not there
 * yet, in the order of the group (cw_ingest_match walks it). `keep_ids`: a retry of transactions that have been
 * evaluated: tx.seq is their identity. `arena` holds the parameters during the call. */
void cw_ingest_transactions(struct cw_conn *conn, const struct cw_tx_in *const *txs, size_t n, bool keep_ids,
                            struct cw_arena *arena, cw_query_fn *fn, void *arg);

/* Row `row` of that answer if it belongs to `tx`: its identity; 0 if it is another's, or there are no more rows. */
int64_t cw_ingest_match(const struct cw_result *res, int row, const struct cw_tx *tx);

struct cw_new_prediction {
	int64_t transaction_id, model_version_id;
	int64_t user_id;              /* 0: none */
	const char *request_id;       /* "": none */
	double score, confidence, response_time_ms;
	const char *faults;           /* JSON array of the rules that failed on it; NULL: none */
	bool is_anomaly;
};
void cw_ingest_predictions(struct cw_conn *conn, const struct cw_new_prediction *rows, size_t n,
                           struct cw_arena *arena, cw_query_fn *fn, void *arg);

/* How far sources have read, each name once. */
struct cw_new_cursor { const char *name, *position; /* JSON */ };
void cw_ingest_cursors(struct cw_conn *conn, const struct cw_new_cursor *rows, size_t n, struct cw_arena *arena,
                       cw_query_fn *fn, void *arg);

#endif
