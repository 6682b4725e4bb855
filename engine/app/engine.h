/* engine.h - the whole engine, wired: database, evaluator, scripts, HTTP. One a process.
 *
 * cw_engine_start() brings it up in order and runs the loop while it waits; after it, cw_engine_run() serves until a
 * signal ends it. */
#ifndef CW_APP_ENGINE_H
#define CW_APP_ENGINE_H

#include <stdbool.h>

struct cw_config;
struct cw_engine;
struct cw_err;
struct cw_zygote;


/* Takes the config. NULL: why it could not start, with what had been started stopped again. */
struct cw_engine *cw_engine_start(struct cw_config **config, const char *const *sets, int nsets,
                                  struct cw_zygote *zygote, struct cw_err *err);
/* Until SIGTERM or SIGINT; then drains. Returns the exit code, or CW_ENGINE_RESTART after SIGUSR2: the process is to
 * start itself again, as the database was put back to another time under it. */
enum { CW_ENGINE_RESTART = -2 };
int cw_engine_run(struct cw_engine *engine);
void cw_engine_free(struct cw_engine **engine);

#endif
