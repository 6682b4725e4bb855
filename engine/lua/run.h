/* run.h - one file in the very sandbox, guards and budgets of production, for people who try something. */
#ifndef CW_LUA_RUN_H
#define CW_LUA_RUN_H

#include <stddef.h>
#include <stdint.h>

#include "lua/vm.h"

struct cw_buf;
struct cw_err;

struct cw_run_conf {
	enum cw_world world;      /* rules: with the constructors of states, seconds, alert; scripts: the base alone */
	bool jit;
	int64_t ticks;            /* 0: that of a rule, 1,000,000 */
	int64_t wall_us;          /* 0: 1 s */
	size_t memory_bytes;      /* 0: 64 MiB */
};

/* Runs the text as a main function in a VM of its own. Appends what it returns to `out`, one value a line: text as it
 * is, tables as JSON with sorted keys. -1 and CW_ERR_SCRIPT "name:line: reason" otherwise. */
int cw_lua_run(const struct cw_run_conf *conf, const char *name, const char *text, size_t len, struct cw_buf *out,
               struct cw_err *err);

#endif
