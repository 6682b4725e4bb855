/* child.h - runs a program to its end and keeps what it says. Blocks: for CLI verbs, start-up and worker threads.
 *
 * The child gets /dev/null as standard input, no descriptors but 0 to 2, default signals, and dies with its parent. */
#ifndef CW_BASE_CHILD_H
#define CW_BASE_CHILD_H

#include <stdbool.h>
#include <sys/types.h>

struct cw_buf;
struct cw_err;

struct cw_child {
	const char *const *argv;     /* argv[0] is looked for in PATH; NULL-terminated */
	const char *const *env;      /* "NAME=VALUE" on top of the environment, NULL-terminated; may be NULL */
	bool as_user;                /* change to uid and gid first (as root) */
	uid_t uid;
	gid_t gid;
	struct cw_buf *out, *err;    /* appended; NULL: ours. The same buffer for both is allowed */
};

/* Returns the exit code (128 + n: by signal n), or -1 if it could not be run. */
int cw_child_run(const struct cw_child *child, struct cw_err *err);

#endif
