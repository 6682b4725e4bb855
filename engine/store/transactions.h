/* transactions.h - the table of transactions: look-ups for scripts, and the recorded order for a replay. */
#ifndef CW_STORE_TRANSACTIONS_H
#define CW_STORE_TRANSACTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/conn.h"

struct cw_arena;
struct cw_pool;
struct cw_result;
struct cw_tx;

/* Where a replay begins and ends: answers one row, the identity before the `newest` newest transactions (0: that is
 * all of them) and the newest identity (0: there is none). */
uint64_t cw_transactions_replay_range(struct cw_pool *pool, uint64_t newest, cw_query_fn *fn, void *arg);
/* Where history for a rule that begins empty begins: one row, the identity before the first of the `newest` newest
 * transactions that are at most `hours` (0: any) of block time older than the newest. */
uint64_t cw_transactions_warm_range(struct cw_pool *pool, uint64_t newest, int64_t hours, cw_query_fn *fn, void *arg);
/* Canonical transactions with id > after and <= up_to, in the order of evaluation; read them with
 * cw_transactions_read. */
uint64_t cw_transactions_replay_page(struct cw_pool *pool, uint64_t after, uint64_t up_to, uint32_t limit,
                                     cw_query_fn *fn, void *arg);
/* The record as a rule sees it; seq is the identity, its logs are memory of the arena. false: the row does not make
 * sense. */
bool cw_transactions_read(const struct cw_result *res, int row, struct cw_arena *arena, struct cw_tx *out);

#endif
