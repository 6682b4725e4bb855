/* vm.h - one lua_State with its own allocator, sandboxed, and calls into it under a budget.
 *
 * Allocation never fails inside Lua, because running out of memory in a compiled trace can crash LuaJIT: past the soft
 * limit the allocator trips the guard (lua/guard.h), past the hard one the process ends. The owner creates and frees
 * the VM; a VM belongs to one thread. Lua runs best on 64 MiB of C stack: see cw_vm_prepare_process().
 *
 * The way in:
 *	vm = cw_vm_new(&conf, err);                       the sandbox of its world is set up (lua/sandbox.h)
 *	lua_State *L = cw_vm_state(vm);
 *	... cw_sandbox_expose(L, "name") ...             what scripts shall see beyond the base
 *	cw_load(vm, "api/x.lua", text, len, err)          pushes the guarded main function (lua/load.h)
 *	cw_vm_call(vm, L, 0, 1, &budget, &report)         runs it; or cw_vm_resume for a coroutine's turn */
#ifndef CW_LUA_VM_H
#define CW_LUA_VM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lua/guard.h"

struct cw_err;
struct cw_vm;
struct lua_State;

enum cw_world { CW_WORLD_RULES = 0, CW_WORLD_SCRIPTS };

struct cw_vm_conf {
	enum cw_world world;
	size_t soft_bytes;        /* trips the guard; 64 MiB for rules, 256 MiB for scripts */
	size_t hard_bytes;        /* ends the process; 0: five times the soft limit */
	bool jit;
	/* Last words before the process ends at the hard limit, or NULL. May not come back to Lua, may not allocate. */
	void (*on_hard_limit)(void);
};
#define CW_VM_EXIT_MEMORY 88      /* exit status at the hard limit */

/* Raises the soft limit of the main thread's stack to 64 MiB where it is lower. Call it once at the start of main, or
 * in a child before it is locked in. */
void cw_vm_prepare_process(void);

struct cw_vm *cw_vm_new(const struct cw_vm_conf *conf, struct cw_err *err);
void cw_vm_free(struct cw_vm **vm);

struct lua_State *cw_vm_state(const struct cw_vm *vm);
/* The VM of a state or coroutine, in constant time. */
struct cw_vm *cw_vm_of(struct lua_State *L);
enum cw_world cw_vm_world(const struct cw_vm *vm);
bool cw_vm_jit(const struct cw_vm *vm);
size_t cw_vm_bytes(const struct cw_vm *vm);               /* in use now */
/* A pointer for the owner, found again with cw_vm_of in C functions. */
void cw_vm_set_owner(struct cw_vm *vm, void *owner);
void *cw_vm_owner(const struct cw_vm *vm);

/* For explain: what is loaded from here on tells the trace which comparisons it makes (lua/trace.h). NULL: no more. */
struct cw_trace;
void cw_vm_set_trace(struct cw_vm *vm, struct cw_trace *trace);
struct cw_trace *cw_vm_trace(const struct cw_vm *vm);

/* How a call ended. */
struct cw_vm_report {
	enum cw_stop stop;        /* NONE: an ordinary error, or none */
	int64_t ticks;            /* counted in this call */
	char message[384];        /* on failure: "rules/x.lua:12: reason"; stops name the place too, but for
	                           * a stack overflow */
};

/* As lua_pcall: the function and `nargs` arguments are on top of L, replaced by `nresults` results; 0. On an error or
 * a stop: -1, nothing is left of them and `report` tells. After a stop garbage is collected twice, so that the next
 * caller does not pay for it. `report` may not be NULL. */
int cw_vm_call(struct cw_vm *vm, struct lua_State *L, int nargs, int nresults, const struct cw_budget *budget,
               struct cw_vm_report *report);
/* As lua_resume for one turn of a coroutine with its own budget: LUA_OK (results on `co`), LUA_YIELD, or -1 with
 * `report`; then the coroutine is dead. A breach does not outlive the turn. */
int cw_vm_resume(struct cw_vm *vm, struct lua_State *co, int nargs, const struct cw_budget *budget,
                 struct cw_vm_report *report);

/* Between calls: collects when more than half of the soft limit is in use and it can help. */
void cw_vm_tidy(struct cw_vm *vm);

/* Pushes a library that is open but hidden from scripts ("ffi", "jit"); nil when the JIT is off and
 * `name` is "ffi". For engine code only. */
void cw_vm_push_hidden(struct lua_State *L, const char *name);

/* "LuaJIT 2.1.0-beta3", for `chainwatch version`. */
const char *cw_vm_version(void);

/* Used by lua/guard.c and lua/sandbox.c: notes where the first stop of a call happened; whether the error value at
 * `index` says that the Lua stack is full. */
void cw_vm_note_stop(struct lua_State *L);
bool cw_vm_is_overflow(struct lua_State *L, int index);

#endif
