/* reload.h - new rules, lists, scripts and settings while running: all of them or nothing.
 *
 * Settings and scripts are built aside first, then the rules are loaded and tested by a new evaluator; only when all is
 * well are they made live, at a batch boundary. Anything wrong: nothing has changed, and the error names file, line and
 * reason. */
#ifndef CW_APP_RELOAD_H
#define CW_APP_RELOAD_H

#include <stdbool.h>

struct cw_arena;
struct cw_bundle;
struct cw_config;
struct cw_engine;
struct cw_err;

/* Once; `message` says in a line what is live now. */
typedef void cw_reload_fn(void *arg, const char *message, const struct cw_err *err);

/* `fn` may be NULL; the outcome is logged anyhow. While one runs another asks for a turn after it (fn NULL) or gets
 * CW_ERR_BUSY. */
void cw_reload_start(struct cw_engine *e, cw_reload_fn *fn, void *arg);
void cw_reload_cancel(struct cw_engine *e);
/* In dev mode: watches the folders and reloads a moment after a change. */
void cw_reload_watch(struct cw_engine *e);

/* All of a generation of rules by these settings; blocks on files. `params_json` of the bundle is made here too. */
int cw_reload_read_bundle(const struct cw_config *config, struct cw_bundle *bundle, struct cw_arena *arena,
                          struct cw_err *err);
/* Of these only params_json and options_json. */
int cw_reload_read_params(const struct cw_config *config, struct cw_bundle *bundle, struct cw_arena *arena,
                          struct cw_err *err);

#endif
