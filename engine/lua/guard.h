/* guard.h - budgets for Lua code: guards written into the source, ticks, and the stop flag.
 *
 * Debug hooks do not fire in compiled traces, so the loader writes a guard into the source: after every `do` and
 * `repeat`, before every `goto`, at the head of every function body, and at the next statement once a `..` or 16 calls
 * and comparisons were passed. Each guard is a tick. With the JIT on it is a C function called through FFI (guard A),
 * with the JIT off a lua_CFunction (guard B); both count the same ticks, so a budget of ticks stops a program at the
 * same place in every mode and on every machine. Wall time and memory raise a stop flag that the next tick sees; those
 * stops are not deterministic and say so by their reason.
 *
 * A stop is sticky: once raised, every later tick raises it again until cw_guard_end(), and the sandbox's pcall and
 * xpcall never swallow it. The state is one per process, for the thread that runs Lua; only cw_guard_trip() may be
 * called from another thread or a signal handler. */
#ifndef CW_LUA_GUARD_H
#define CW_LUA_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cw_buf;
struct cw_err;
struct lua_State;

/* Names that start so are the guard's; a script that uses one is refused. */
#define CW_GUARD_PREFIX "__cw"

enum cw_stop {
	CW_STOP_NONE = 0,
	CW_STOP_TICKS,        /* deterministic */
	CW_STOP_TIME,         /* the watchdog, or the clock that the guard looks at every few ticks */
	CW_STOP_MEMORY,       /* the VM's soft limit (lua/vm.h) */
	CW_STOP_STACK,        /* stack overflow; its depth depends on the JIT, so it may not be caught */
};
const char *cw_stop_text(enum cw_stop why);   /* "tick budget used up", ... */

struct cw_budget {
	int64_t ticks;        /* loop turns, calls, and work of library functions; INT64_MAX / 2 at most */
	int64_t time_us;      /* 0: no limit; counted from the 64th tick on */
	bool cpu_time;        /* time_us is CPU time of this thread, else wall time */
};

/* What cw_guard_begin puts aside, so that budgets nest. On the caller's stack. */
struct cw_guard_frame {
	int64_t left, rest, total, time_us, deadline_us, looked_us, quantum;
	int stop;
	bool cpu_time;
};
/* Sets the budget for the Lua code that is entered next, clears the stop flag. */
void cw_guard_begin(struct cw_guard_frame *frame, const struct cw_budget *budget);
/* Restores what was there before. Returns why the code was to stop, NONE if it was not; `ticks` (or NULL) gets what was
 * counted. */
enum cw_stop cw_guard_end(const struct cw_guard_frame *frame, int64_t *ticks);

/* For C functions whose work grows with their input: counts ticks (one for about 50 ns of work). true: stop at once;
 * a lua_CFunction then calls cw_guard_raise(), others return. */
bool cw_guard_work(int64_t ticks);
bool cw_guard_stopped(void);
/* Raises the sticky stop as a Lua error; a reason must have been given by a tick, by work or by cw_guard_trip. */
int cw_guard_raise(struct lua_State *L);
/* Makes the running code stop at its next tick; nothing happens when none runs. Async-signal-safe, any thread. The
 * first reason stays. */
void cw_guard_trip(enum cw_stop why);

/* A word that another process or thread sets to 1 to stop the code that runs now; looked at together with the clock, set
 * to 0 by cw_guard_begin. NULL: none. */
void cw_guard_watch(volatile int *word);

/* Once per VM, in protected mode: makes guard A (`jit`, with the ffi library on top of the stack, popped) or B. */
void cw_guard_open(struct lua_State *L, bool jit);
/* Pushes the two values a guarded chunk gets: guard and stop function. */
void cw_guard_push(struct lua_State *L);

/* Appends `text` with guards, wrapped as a chunk that takes (guard, stop) and returns the script's main function; line
 * numbers stay. `text` must have compiled as it is before, which proves its blocks balanced; on other text this still
 * ends and never reads past it, but the output means nothing. Refuses (-1, CW_ERR_SCRIPT, "name:line: reason") names
 * with the reserved prefix, number literals that make cdata (1LL, 2i), and statements of more than 2000 calls and
 * operators, which would run for long between two guards. */
int cw_guard_rewrite(const char *text, size_t len, bool jit, const char *name, struct cw_buf *out, struct cw_err *err);

#endif
