/* verdicts.h - what was decided on transactions that are known: prediction and anomalies, by key. */
#ifndef CW_STORE_VERDICTS_H
#define CW_STORE_VERDICTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/conn.h"

struct cw_pool;
struct cw_result;
struct cw_tx;

/* Asks for `n` transactions at once. The answer has rows in the order of `txs`, none for an unknown one and one for
 * each anomaly otherwise; read them with cw_verdicts_row. Returns a number for cw_pool_cancel. */
uint64_t cw_verdicts_find(struct cw_pool *pool, const struct cw_tx *const *txs, size_t n, cw_query_fn *fn, void *arg);

struct cw_verdict_row {
	size_t index;                 /* into `txs` */
	int64_t transaction_id;
	bool judged;                  /* it has a prediction: */
	bool is_anomaly;
	double score, confidence;
	const char *ruleset;          /* digest */
	int64_t anomaly_id;           /* 0: no anomaly in this row */
	double anomaly_score, anomaly_confidence;
	const char *severity, *rule, *version, *title, *explanation, *features;   /* as they were on this transaction */
	const char *role, *entity;    /* of the alert; the entity as text, "" if there is none */
	const char *labels;           /* JSON array of entries of lists that the alert rests on, on all its transactions */
	bool founded, suppressed;     /* the alert began here; nobody was to be told of it */
};
/* Strings are valid as long as the result. */
void cw_verdicts_row(const struct cw_result *res, int row, struct cw_verdict_row *out);

#endif
