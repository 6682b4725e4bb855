/* guard.c - counting and stopping; guardtext.c writes the guards. */
#include "lua/guard.h"

#include <stdatomic.h>
#include <time.h>

#include <lua.h>

#include "base/clock.h"
#include "lua/vm.h"

/* Ticks between two looks at the clock, which cost 25 ns each. A tick is 2 to 50 ns of work as a rule, but 16
 * comparisons of long strings are one too; so it begins low, doubles while the steps are short and halves when not. */
#define QUANTUM_FIRST 64
#define QUANTUM_MIN 8
#define QUANTUM_MAX 1024
#define STEP_SHORT_US 100
#define STEP_LONG_US 1000

static volatile int nobody;           /* watched unless cw_guard_watch names another word */

/* `left` counts down within the quantum, `rest` is granted later: what is left of the budget is left + rest. */
static struct {
	int64_t left, rest, total;
	int64_t time_us, deadline_us, looked_us, quantum;
	bool cpu_time;
	atomic_int depth;
	atomic_int stop;
	volatile int *watched;
} guard = { .watched = &nobody };

static const char *const reasons[] = {
	[CW_STOP_NONE] = "not stopped",
	[CW_STOP_TICKS] = "tick budget used up",
	[CW_STOP_TIME] = "time limit reached",
	[CW_STOP_MEMORY] = "memory limit reached",
	[CW_STOP_STACK] = "stack overflow",
};

const char *cw_stop_text(enum cw_stop why)
{
	return reasons[why];
}

static int64_t now_us(void)
{
	struct timespec ts;

	if (!guard.cpu_time)
		return cw_clock_mono_us();
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* Moves ticks from the budget into the quantum. */
static void grant(int64_t have)
{
	guard.left = have < guard.quantum ? have : guard.quantum;
	guard.rest = have - guard.left;
}

/* Only this thread changes it; a signal handler reads. So no locked instruction is needed. */
static void add_depth(int by)
{
	atomic_store_explicit(&guard.depth, atomic_load_explicit(&guard.depth, memory_order_relaxed) + by, memory_order_relaxed);
}

void cw_guard_begin(struct cw_guard_frame *frame, const struct cw_budget *budget)
{
	*frame = (struct cw_guard_frame){
		.left = guard.left, .rest = guard.rest, .total = guard.total, .time_us = guard.time_us,
		.deadline_us = guard.deadline_us, .looked_us = guard.looked_us, .quantum = guard.quantum,
		.stop = atomic_load_explicit(&guard.stop, memory_order_relaxed), .cpu_time = guard.cpu_time,
	};
	guard.total = budget->ticks;
	guard.time_us = budget->time_us;
	guard.deadline_us = 0;
	guard.quantum = QUANTUM_FIRST;
	guard.cpu_time = budget->cpu_time;
	grant(budget->ticks);
	if (*guard.watched != 0)
		*guard.watched = 0;
	atomic_store_explicit(&guard.stop, CW_STOP_NONE, memory_order_relaxed);
	add_depth(1);
}

enum cw_stop cw_guard_end(const struct cw_guard_frame *frame, int64_t *ticks)
{
	enum cw_stop why = (enum cw_stop)atomic_load_explicit(&guard.stop, memory_order_relaxed);

	if (ticks != NULL)
		*ticks = guard.total - guard.left - guard.rest;
	guard.left = frame->left;
	guard.rest = frame->rest;
	guard.total = frame->total;
	guard.time_us = frame->time_us;
	guard.deadline_us = frame->deadline_us;
	guard.looked_us = frame->looked_us;
	guard.quantum = frame->quantum;
	guard.cpu_time = frame->cpu_time;
	add_depth(-1);
	atomic_store_explicit(&guard.stop, frame->stop, memory_order_relaxed);
	return why;
}

void cw_guard_watch(volatile int *word)
{
	guard.watched = word != NULL ? word : &nobody;
}

void cw_guard_trip(enum cw_stop why)
{
	int none = CW_STOP_NONE;

	if (guard.depth > 0)
		atomic_compare_exchange_strong_explicit(&guard.stop, &none, (int)why, memory_order_relaxed,
		                                        memory_order_relaxed);
}

static void look_at_the_clock(void)
{
	int64_t now = now_us();

	if (guard.deadline_us == 0)
		guard.deadline_us = now + guard.time_us;
	else if (now > guard.deadline_us)
		cw_guard_trip(CW_STOP_TIME);
	else if (now - guard.looked_us < STEP_SHORT_US && guard.quantum < QUANTUM_MAX)
		guard.quantum *= 2;
	else if (now - guard.looked_us > STEP_LONG_US && guard.quantum > QUANTUM_MIN)
		guard.quantum /= 2;
	guard.looked_us = now;
}

/* The quantum is used up: grants the next one, or trips. */
static void refill(void)
{
	int64_t have = guard.left + guard.rest;

	if (have < 0) {
		guard.left = have;
		guard.rest = 0;
		cw_guard_trip(CW_STOP_TICKS);
		return;
	}
	if (guard.time_us > 0)
		look_at_the_clock();
	else if (guard.quantum < QUANTUM_MAX)
		guard.quantum *= 2;
	if (*guard.watched != 0)
		cw_guard_trip(CW_STOP_TIME);
	grant(have);
}

/* Guard A. Called through FFI from compiled code: may not raise, call Lua or touch a lua_State. */
static int tick(void)
{
	if (__builtin_expect(--guard.left < 0, 0))
		refill();
	return atomic_load_explicit(&guard.stop, memory_order_relaxed);
}

bool cw_guard_work(int64_t ticks)
{
	guard.left -= ticks;
	if (guard.left < 0)
		refill();
	return cw_guard_stopped();
}

bool cw_guard_stopped(void)
{
	return atomic_load_explicit(&guard.stop, memory_order_relaxed) != CW_STOP_NONE;
}

/* The first time, the vm notes where. The texts are in the registry: no allocation on the way out of a deep stack. */
int cw_guard_raise(lua_State *L)
{
	const char *reason = reasons[atomic_load_explicit(&guard.stop, memory_order_relaxed)];

	cw_vm_note_stop(L);
	lua_pushlightuserdata(L, (void *)(uintptr_t)reason);
	lua_rawget(L, LUA_REGISTRYINDEX);
	return lua_error(L);
}

static int l_stop(lua_State *L)
{
	return cw_guard_raise(L);
}

/* Guard B. */
static int l_tick(lua_State *L)
{
	return tick() != 0 ? cw_guard_raise(L) : 0;
}

static char guard_key, stop_key;     /* their addresses are keys of the registry */

static void keep(lua_State *L, void *key)
{
	lua_pushlightuserdata(L, key);
	lua_insert(L, -2);
	lua_rawset(L, LUA_REGISTRYINDEX);
}

/* ffi.cast("int (*)(void)", address) is folded to a constant in traces, so no symbol has to be exported. */
static void push_guard_a(lua_State *L)
{
	int (*address)(void) = tick;

	lua_getfield(L, -1, "cast");
	lua_remove(L, -2);
	lua_pushliteral(L, "int (*)(void)");
	lua_pushlightuserdata(L, *(void **)(void *)&address);
	lua_call(L, 2, 1);
}

void cw_guard_open(lua_State *L, bool jit)
{
	for (int i = CW_STOP_NONE; i <= CW_STOP_STACK; i++) {
		lua_pushstring(L, reasons[i]);
		keep(L, (void *)(uintptr_t)reasons[i]);
	}
	if (jit)
		push_guard_a(L);
	else
		lua_pushcfunction(L, l_tick);
	keep(L, &guard_key);
	lua_pushcfunction(L, l_stop);
	keep(L, &stop_key);
}

void cw_guard_push(lua_State *L)
{
	lua_pushlightuserdata(L, &guard_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_pushlightuserdata(L, &stop_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
}
