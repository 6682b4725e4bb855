/* lockdown.h - what an evaluator gives up before it runs a line of a rule. */
#ifndef CW_PIPELINE_LOCKDOWN_H
#define CW_PIPELINE_LOCKDOWN_H

#include <stdint.h>

struct cw_err;

#define CW_STACK_BYTES (64ul << 20)    /* C stack of an evaluator: LuaJIT recurses in C (gsub, sort, metamethods) */

/* Descriptors that an evaluator keeps; all others are closed. */
enum { CW_FD_WORDS = 2 /* a bounded memory file */, CW_FD_WAKE = 3, CW_FD_ENGINE = 4, CW_FD_FIRST_CLOSED = 5 };

/* Zygote: name, death with the parent `pid` (checked), no dumps, stack limit, signals of the terminal and of service
 * managers ignored (the engine decides when it is time). */
int cw_lockdown_begin(const char *name, int64_t parent, struct cw_err *err);
/* Evaluator: from here on no system call works but read on CW_FD_WAKE, write on CW_FD_ENGINE and CW_FD_WORDS, memory
 * (never writable and executable at once), futex, clocks, getrandom, close, exit and abort. All others kill with SIGSYS. */
int cw_lockdown_finish(struct cw_err *err);

#endif
