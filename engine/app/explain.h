/* explain.h - why a rule said what it said about one transaction, or why it said nothing.
 *
 * The rules run over everything before the transaction, as live traffic did (app/offline.h), and judge it with a trace.
 * The answer has for each rule the outcome, parameters, states, the steps with values on both sides of each comparison,
 * the condition that decided, the alert if there is one, and whether live traffic said the same. */
#ifndef CW_APP_EXPLAIN_H
#define CW_APP_EXPLAIN_H

#include <stdint.h>

#include "chain/tx.h"

struct cw_bundle;
struct cw_config;
struct cw_err;
struct cw_explain;
struct cw_loop;
struct cw_pool;
struct cw_zygote;

struct cw_explain_conf {
	struct cw_loop *loop;
	struct cw_zygote *zygote;
	const struct cw_config *config;      /* valid until the end */
	struct cw_pool *pool;                /* stored history; NULL: files */
	char *const *files;
	int nfiles;
	const char *hash;                    /* 0x and 64 digits */
	uint64_t chain;                      /* 0: any */
	const char *rule, *version;          /* "": all rules that are live; the version that is */
	/* Rules given as files, instead of the stored sources; its lists and parameters are used in any case. Valid until the
	 * end. */
	const struct cw_bundle *bundle;
	bool given;                          /* the rules of `bundle` are meant */
	int64_t deadline_ms;                 /* 0: none; CW_ERR_TIMEOUT */
};

/* Once; the JSON object, or why not: CW_ERR_NOT_FOUND (no such transaction, rule or version), CW_ERR_SCRIPT... */
typedef void cw_explain_fn(void *arg, const char *json, const struct cw_err *err);

/* NULL and CW_ERR_INVALID for a hash that is none. `fn` is never called before this has returned, and may free it. */
struct cw_explain *cw_explain_new(const struct cw_explain_conf *conf, cw_explain_fn *fn, void *arg, struct cw_err *err);
void cw_explain_free(struct cw_explain **explain);      /* also cancels */

#endif
