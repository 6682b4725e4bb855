/* offline.h - a set of rules over a stream, aside: what explain, backtest and diff have in common, in the command line and
 * in the engine.
 *
 * The stream is stored history or files; the rules run as a trial (pipeline/trial.h), so their verdicts are those of live
 * traffic. With `explain` the stream ends at one transaction, and the same rules judge that one with a trace (its verdict
 * carries a note). Nothing outside is changed. Loop thread only. */
#ifndef CW_APP_OFFLINE_H
#define CW_APP_OFFLINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "chain/tx.h"
#include "pipeline/evaluate.h"

struct cw_buf;
struct cw_config;
struct cw_err;
struct cw_loop;
struct cw_offline;
struct cw_pool;
struct cw_zygote;

struct cw_offline_conf {
	struct cw_loop *loop;
	struct cw_zygote *zygote;
	const struct cw_config *config;      /* budgets and sizes; read by cw_offline_new only */
	const struct cw_bundle *bundle;      /* rules and lists; its options are not used. Valid until the end */
	bool run_tests;                      /* refuse rules whose tests fail */
	/* Stored history: identities after < id <= up_to; or files. */
	struct cw_pool *pool;
	uint64_t after, up_to;
	char *const *files;
	int nfiles;
	uint64_t chain_id;                   /* of records in files that name none */
	/* The transaction to explain, which ends the stream: its identity, or its hash in files. */
	uint64_t explain_id;
	const struct cw_hash *explain_hash;
	/* State to begin with: a checkpoint of the engine, taken when it fits (`after` then moves to it), or one of
	 * cw_offline_save, which must. */
	const char *checkpoint;
	uint8_t digest[32];
	bool resume;
};

/* What is known of a transaction beside it: from the fields "label" and "incident" of a record in a file. */
struct cw_offline_label { char name[32]; uint64_t incident; };

struct cw_offline_fns {
	void (*loaded)(void *arg, const char *report_json);
	/* In the order of evaluation; valid during the call. `label` is "" where there is none. */
	void (*verdict)(void *arg, const struct cw_tx *tx, const struct cw_verdict *v, const struct cw_offline_label *label);
	void (*quarantined)(void *arg, int rule, const char *reason);
	/* A record of a file that was judged before the run was interrupted. May be NULL. */
	void (*passed)(void *arg, const struct cw_tx *tx, const struct cw_offline_label *label);
	/* Once, the last call: err NULL when the stream has ended and every verdict is in. May free the run. */
	void (*done)(void *arg, const struct cw_err *err);
};

struct cw_offline *cw_offline_new(const struct cw_offline_conf *conf, const struct cw_offline_fns *fns, void *arg,
                                  struct cw_err *err);
void cw_offline_free(struct cw_offline **run);        /* also cancels; calls nothing back */
double cw_offline_progress(const struct cw_offline *run);          /* 0 to 1; negative: unknown */
uint64_t cw_offline_seq(const struct cw_offline *run);             /* of the last verdict */
uint64_t cw_offline_after(const struct cw_offline *run);           /* where the stream began (a checkpoint moves it) */
uint64_t cw_offline_skipped(const struct cw_offline *run);         /* records that were no transactions, or known ones */
void cw_offline_tell_filled(const struct cw_offline *run, struct cw_buf *out);   /* what partial records of files were given */
const char *cw_offline_skip_reason(const struct cw_offline *run);  /* of the first of them; "" */
int64_t cw_offline_cpu_us(const struct cw_offline *run);
bool cw_offline_meter(const struct cw_offline *run, uint32_t rule, struct cw_rule_meter *out);
/* State after the last verdict, for `resume`. */
int cw_offline_save(struct cw_offline *run, const char *path, struct cw_err *err);

#endif
