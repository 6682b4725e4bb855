/* eval.h - one file run by hand in an evaluator of its own: sandbox, guards, budgets and seccomp of production.
 *
 * A process for each, forked from the zygote and killed afterwards, so that nothing of one is there for the next and
 * whatever it does, the engine and the live rules do not notice. For `admin.allow_eval` (see conf/chainwatch.lua). */
#ifndef CW_APP_EVAL_H
#define CW_APP_EVAL_H

#include <stddef.h>

#include "lua/vm.h"

struct cw_engine;
struct cw_err;

#define CW_EVAL_TEXT_MAX ((size_t)1 << 20)
#define CW_EVAL_AT_ONCE 2

/* What it returned, one value a line, or why not: CW_ERR_SCRIPT "eval.lua:line: reason". */
typedef void cw_eval_fn(void *arg, const char *report_json, const struct cw_err *err);

/* Once `fn`, never before this call has returned, with {"output":"..."}. -1: CW_ERR_BUSY above CW_EVAL_AT_ONCE,
 * CW_ERR_INVALID for a text that is too long. */
int cw_eval_start(struct cw_engine *e, enum cw_world world, const char *text, size_t len, cw_eval_fn *fn, void *arg,
                  struct cw_err *err);
/* At shutdown: kills what runs and answers CW_ERR_CANCELLED. */
void cw_eval_stop(struct cw_engine *e);

#endif
