/* join.h - transactions with their receipts and logs out of three files, as ethereum-etl exports them.
 *
 * All three stand in the order of the chain (block number, transaction index, log index); they are read side by side, one
 * record of each in memory. What is out of order is an error that says where: it could not be told from what is missing.
 * CSV or NDJSON, names in snake_case or as in JSON-RPC. Synchronous, for CLI verbs. */
#ifndef CW_SOURCE_JOIN_H
#define CW_SOURCE_JOIN_H

#include <stdbool.h>
#include <stdint.h>

struct cw_buf;
struct cw_err;
struct cw_join;
struct cw_records;

/* `transactions` stays the caller's, `path` names it in messages; `receipts` or `logs` may be NULL. NULL and `err`: a file
 * cannot be read. */
struct cw_join *cw_join_new(struct cw_records *transactions, const char *path, const char *receipts, const char *logs,
                            struct cw_err *err);
void cw_join_free(struct cw_join **join);

/* As cw_records_next, with what the receipt says and `logs` in the object. After an error cw_join_failed tells whether
 * reading can go on. */
int cw_join_next(struct cw_join *join, struct cw_buf *out, struct cw_err *err);
bool cw_join_failed(const struct cw_join *join);
uint64_t cw_join_line(const struct cw_join *join);            /* of the transaction */

struct cw_join_stats {
	uint64_t bare;                /* transactions without a receipt */
	uint64_t lost_receipts, lost_logs;   /* of transactions that were not there */
};
struct cw_join_stats cw_join_stats(struct cw_join *join);     /* at the end: reads what is left */

#endif
