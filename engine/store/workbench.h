/* workbench.h - what the analyst's workbench asks the tables: what was said of a transaction, ranges of history by block
 * time, old versions of rules, reviews, labels, and the rows of backtests in job_runs. */
#ifndef CW_STORE_WORKBENCH_H
#define CW_STORE_WORKBENCH_H

#include <stdint.h>

#include "pg/conn.h"

struct cw_hash;
struct cw_pool;
struct cw_result;

/* One row, or none: the transaction, and what live rules said of it as JSON. chain 0: any. */
uint64_t cw_workbench_find(struct cw_pool *pool, const struct cw_hash *hash, uint64_t chain, cw_query_fn *fn, void *arg);
enum { CW_WORKBENCH_ID = 0, CW_WORKBENCH_CHAIN, CW_WORKBENCH_CANONICAL, CW_WORKBENCH_TX, CW_WORKBENCH_ALERTS,
	   CW_WORKBENCH_PREDICTION };

/* One row: the identity before the first and the last one with from_us <= block time < to_us, and how many there are. */
uint64_t cw_workbench_range(struct cw_pool *pool, int64_t from_us, int64_t to_us, cw_query_fn *fn, void *arg);

/* Sources of rules: of `rule` the version that `version` names or begins, the deployed one (else the newest) when it is "";
 * with rule "" all that are deployed. Rows of id, version, checksum, source, deployed; ordered by id. */
uint64_t cw_workbench_sources(struct cw_pool *pool, const char *rule, const char *version, cw_query_fn *fn, void *arg);

/* Reviewed fires with after < transaction id <= up_to: transaction id, rule, false positive. */
uint64_t cw_workbench_reviews(struct cw_pool *pool, uint64_t after, uint64_t up_to, cw_query_fn *fn, void *arg);
/* Addresses of the label lists, but for services: address, category. */
uint64_t cw_workbench_labels(struct cw_pool *pool, cw_query_fn *fn, void *arg);

/* Rows of job_runs by the name "backtest". The answer of a start is the id; of a list at most 100 rows, newest first, or the
 * one with this id: id, status, detail, error, times as one JSON object a row. */
uint64_t cw_workbench_start(struct cw_pool *pool, const char *detail, cw_query_fn *fn, void *arg);
uint64_t cw_workbench_end(struct cw_pool *pool, int64_t id, const char *status, const char *detail, const char *error,
                          cw_query_fn *fn, void *arg);
uint64_t cw_workbench_runs(struct cw_pool *pool, int64_t id, cw_query_fn *fn, void *arg);
/* Backtests that an earlier life of this engine ("engine" of their detail) has left running: interrupted. */
uint64_t cw_workbench_interrupt(struct cw_pool *pool, const char *engine, cw_query_fn *fn, void *arg);

#endif
