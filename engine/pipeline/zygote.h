/* zygote.h - the engine's way to ask the zygote for an evaluator (started by cw_zygote_start, pipeline/supervise.h). */
#ifndef CW_PIPELINE_ZYGOTE_H
#define CW_PIPELINE_ZYGOTE_H

#include <stdbool.h>
#include <sys/types.h>

#include "pipeline/evaluator_child.h"

struct cw_err;
struct cw_zygote;

/* Forks an evaluator as a child of this process; waits for it, about a millisecond and a second at most. A zygote that is
 * dead, was stopped by a signal or twice did not answer is replaced first. The descriptors stay the caller's. The zygote fills in `engine_pid`. -1 and CW_ERR_INTERNAL if it is gone or cannot. */
pid_t cw_zygote_spawn(struct cw_zygote *zygote, const struct cw_spawn *spawn, const int fds[CW_PASS_COUNT],
                      struct cw_err *err);

/* Whether a child of this process was stopped by a signal: it waits for another one, which may never come. */
bool cw_child_is_stopped(pid_t pid);

#endif
