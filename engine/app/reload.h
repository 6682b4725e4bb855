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
/* The same with a change of what rule_sources says (app/rule_sources.h); copied. On success the change, filled in, is
 * valid during `fn`. A refused candidate is an error here. */
struct cw_rule_change;
typedef void cw_reload_change_fn(void *arg, const struct cw_rule_change *change, const char *message,
                                 const struct cw_err *err);
void cw_reload_change(struct cw_engine *e, const struct cw_rule_change *change, cw_reload_change_fn *fn, void *arg);
/* What the last reload has changed, JSON: {"rules":[...],"settings":[...],...}; kept by the engine. */
const char *cw_reload_changes(const struct cw_engine *e);
void cw_reload_cancel(struct cw_engine *e);
/* In dev mode: watches folders, settings and parameters, and reloads a moment after a change; says on stderr what came of
 * it. */
void cw_reload_watch(struct cw_engine *e);

/* The files of a generation of rules by these settings; blocks on them. `params_json` of the bundle is made here too. */
int cw_reload_read_bundle(const struct cw_config *config, struct cw_bundle *bundle, struct cw_arena *arena,
                          struct cw_err *err);
/* Of these only params_json and options_json. */
int cw_reload_read_params(const struct cw_config *config, struct cw_bundle *bundle, struct cw_arena *arena,
                          struct cw_err *err);

#endif
