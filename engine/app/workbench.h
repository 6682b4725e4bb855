/* workbench.h - explain and backtests in a running engine: operations that scripts call (engine.call), run aside and
 * bounded: so many at a time, each with an end, cancelled at shutdown.
 *
 *   explain          {"hash","chain","rule","version"} -> the object of app/explain.h
 *   backtest.start   {"rule","version","source","from","to","warm","user"} -> {"id"}; the run goes on by itself
 *   backtest.list    {} -> {"items":[...]}, newest first
 *   backtest.get     {"id"} -> one, with report and first alerts, or progress
 *   backtest.cancel  {"id"} -> {"id","status"} */
#ifndef CW_APP_WORKBENCH_H
#define CW_APP_WORKBENCH_H

#include <stdbool.h>

#include "app/ops.h"

struct cw_engine;
struct cw_workbench;

#define CW_EXPLAINS_AT_ONCE 2
#define CW_BACKTESTS_AT_ONCE 1

struct cw_workbench *cw_workbench_open(struct cw_engine *e);
/* Answers what waits with CW_ERR_CANCELLED, ends the runs. The pool must live. */
void cw_workbench_close(struct cw_workbench **workbench);
/* False: no such operation. `done` is called once, never from within this call. */
bool cw_workbench_call(struct cw_workbench *workbench, const char *name, const char *args_json, cw_ops_done_fn *done,
                       void *arg);

#endif
