/* backtest.h - what rules would have found in a stretch of history, or in files: a report, and every alert as a line.
 *
 * The rules run aside (app/offline.h) over everything from the beginning (or `warm`) to the end of the range; what they say on
 * transactions of the range counts. So the backtest of a rule that was live in the range gives what live traffic gave,
 * living alerts included. Memory is bounded: alerts go to a file, tables of entities and time are capped. */
#ifndef CW_APP_BACKTEST_H
#define CW_APP_BACKTEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "pipeline/evaluate.h"

struct cw_backtest;
struct cw_buf;
struct cw_config;
struct cw_err;
struct cw_loop;
struct cw_pool;
struct cw_zygote;

struct cw_backtest_conf {
	struct cw_loop *loop;
	struct cw_zygote *zygote;
	const struct cw_config *config;      /* read by cw_backtest_new only */
	const struct cw_bundle *bundle;      /* valid until the end */
	bool run_tests;
	struct cw_pool *pool;                /* stored history, else files */
	char *const *files;
	int nfiles;
	int64_t from_us, to_us;              /* block times: from <= t < to; INT64_MIN and INT64_MAX: open */
	int64_t warm_us;                     /* history before `from` that warms: so much; negative: all there is */
	const char *labels;                  /* CSV text of addresses: address,category,... ; NULL: the labels table */
	const char *alerts;                  /* file for the alerts, one JSON object a line; NULL: none */
	/* Where an interrupted run is kept (a folder); NULL: it is not. `resume`: go on from there. */
	const char *state_dir;
	bool resume;
};

/* Once: the stream is over, or why not. */
typedef void cw_backtest_fn(void *arg, const struct cw_err *err);

struct cw_backtest *cw_backtest_new(const struct cw_backtest_conf *conf, cw_backtest_fn *fn, void *arg,
                                    struct cw_err *err);
void cw_backtest_free(struct cw_backtest **backtest);      /* also cancels */
double cw_backtest_progress(const struct cw_backtest *b);  /* 0 to 1; negative: unknown */
uint64_t cw_backtest_transactions(const struct cw_backtest *b);
uint64_t cw_backtest_alerts(const struct cw_backtest *b);
/* The report, at any time. */
void cw_backtest_put_json(const struct cw_backtest *b, struct cw_buf *out);
void cw_backtest_put_text(const struct cw_backtest *b, struct cw_buf *out);
/* Keeps state and position in state_dir; blocks while it writes. Nothing to keep yet: CW_ERR_INVALID. */
int cw_backtest_save(struct cw_backtest *b, struct cw_err *err);
/* Removes what was kept. */
void cw_backtest_forget(const struct cw_backtest *b);

/* "7d", "0", "all" (-1) as `warm_us`; false: none of them. */
bool cw_backtest_warm(const char *text, int64_t *us);

/* --- for diff: each fire of the range, as it comes --- */
struct cw_backtest_fire {
	const struct cw_tx *tx;
	const struct cw_alert *alert;
	const char *rule, *version;
	const char *label;                   /* "" */
};
typedef void cw_backtest_fire_fn(void *arg, const struct cw_backtest_fire *fire);
void cw_backtest_on_fire(struct cw_backtest *b, cw_backtest_fire_fn *fn, void *arg);
/* Mean time of one call of the rule at this index, nanoseconds; 0: not known. */
double cw_backtest_rule_ns(const struct cw_backtest *b, int rule);
int cw_backtest_rules(const struct cw_backtest *b);
const char *cw_backtest_rule_id(const struct cw_backtest *b, int rule);

#endif
