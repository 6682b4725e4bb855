/* pipeline_env.h - a pipeline with everything it needs: PostgreSQL, zygote, state, rules in C, a loop that is turned by
 * the test; and its clients. */
#ifndef CW_TESTS_PIPELINE_ENV_H
#define CW_TESTS_PIPELINE_ENV_H

#include <stdbool.h>

#include "base/err.h"
#include "pipeline/pipeline.h"

struct cw_loop;
struct cw_pool;
struct cw_state;

struct pipeline_env {
	struct cw_loop *loop;
	struct cw_zygote *zygote;
	struct cw_state *st;
	struct cw_pool *pool;
	struct cw_pipeline *p;
	struct cw_pipeline_conf conf;
	struct cw_supervisor_conf supervisor;
	bool loaded;                     /* the last load has ended: */
	struct cw_err load_err;
	char report[2048];
};

/* An outcome that outlives its callback. */
struct seen {
	struct cw_err err;               /* code CW_OK: it has one */
	bool duplicate, is_anomaly;
	int64_t id;
	double score;
	enum cw_severity severity;
	char ruleset[64];
	int nalerts;
	struct { int64_t id; char rule[32], version[32], title[32], features[128], explanation[64]; double score; } alerts[4];
};

/* One submission. Make it with call_new; it fills itself. */
struct call {
	bool done;
	size_t n;
	uint64_t id;
	struct seen *seen;
};

extern struct pipeline_env env;

/* Zygote first, before threads and connections; then rules "v1" unless `version` says otherwise (NULL: none). */
void env_up(const char *conninfo, const char *version);
void env_down(void);
/* The engine is killed and starts again on the same tables: arena, pipeline, pool and evaluator are new. */
void env_restart(const char *conninfo, const char *version);
void env_load(const char *version);              /* waits until the load has ended */
void env_on_load(void *arg, const char *report, const struct cw_err *err);   /* cw_load_fn that notes it in `env` */
/* Turns the loop until `*flag`, fails the test after `ms`. */
void env_until(const bool *flag, int ms);
void env_turn(void);                             /* once, 5 ms at most */
void env_idle(int ms);                           /* for so long */
void env_until_ready(void);

struct call *call_new(size_t n);
/* Submits; fails the test if it is refused. */
struct call *call_send(const struct cw_tx_in *txs, size_t n);
struct call *call_one(uint64_t n, uint64_t told);    /* store_env_tx(n) with gas = told */
/* Waits for it. */
const struct seen *call_wait(struct call *call);
void call_free(struct call **call);
void call_answer(void *arg, const struct cw_outcome *outcomes, size_t n);    /* cw_outcomes_fn, arg is the call */

#endif
