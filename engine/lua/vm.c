#include "lua/vm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>
#include <luajit.h>
#include <lualib.h>

#include "base/assert.h"
#include "base/err.h"
#include "base/mem.h"
#include "lua/sandbox.h"

#define VM_MAGIC 0x766d4c75u
#define STACK_BYTES ((rlim_t)64 << 20)

struct cw_vm {
	uint32_t magic;
	struct cw_vm_conf conf;
	lua_State *L;
	void *owner;
	struct cw_trace *trace;
	size_t used;
	size_t live;             /* in use after the last full collection */
	char note[96];           /* "file:line" of the first stop in this call */
};

static char hidden_key;      /* registry: table of libraries that scripts do not see */

void cw_vm_prepare_process(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur >= STACK_BYTES)
		return;
	limit.rlim_cur = limit.rlim_max < STACK_BYTES ? limit.rlim_max : STACK_BYTES;
	setrlimit(RLIMIT_STACK, &limit);
}

static void end_process(struct cw_vm *vm)
{
	if (vm->conf.on_hard_limit != NULL)
		vm->conf.on_hard_limit();
	_exit(CW_VM_EXIT_MEMORY);
}

/* lua_Alloc. Shrinking and freeing always work; growing past the hard limit does not return. */
static void *allocate(void *ud, void *ptr, size_t old_size, size_t new_size)
{
	struct cw_vm *vm = ud;
	void *grown;

	if (new_size == 0) {
		free(ptr);
		vm->used -= old_size;
		return NULL;
	}
	if (new_size > old_size) {
		vm->used += new_size - old_size;
		if (vm->used > vm->conf.hard_bytes)
			end_process(vm);
		if (vm->used > vm->conf.soft_bytes)
			cw_guard_trip(CW_STOP_MEMORY);
	} else {
		vm->used -= old_size - new_size;
	}
	grown = realloc(ptr, new_size);
	if (grown == NULL) {
		cw_mem_relieve(new_size);
		grown = realloc(ptr, new_size);
	}
	if (grown == NULL)
		end_process(vm);
	return grown;
}

static int on_panic(lua_State *L)
{
	const char *text = lua_tostring(L, -1);

	cw_bug("lua error outside of a protected call: %s", text != NULL ? text : "?");
	abort();
}

static void open_library(lua_State *L, lua_CFunction open, const char *name)
{
	lua_pushcfunction(L, open);
	lua_pushstring(L, name);
	lua_call(L, 1, 0);
}

/* Keeps a library for the engine: registry[&hidden_key][name]. */
static void hide(lua_State *L, const char *name)
{
	lua_pushlightuserdata(L, &hidden_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
	lua_getfield(L, -1, name);
	lua_setfield(L, -3, name);
	lua_pop(L, 2);
}

static int open_protected(lua_State *L)
{
	struct cw_vm *vm = cw_vm_of(L);

	lua_pushlightuserdata(L, &hidden_key);
	lua_newtable(L);
	lua_rawset(L, LUA_REGISTRYINDEX);
	open_library(L, luaopen_base, "");
	open_library(L, luaopen_string, LUA_STRLIBNAME);
	open_library(L, luaopen_table, LUA_TABLIBNAME);
	open_library(L, luaopen_math, LUA_MATHLIBNAME);
	open_library(L, luaopen_bit, LUA_BITLIBNAME);
	open_library(L, luaopen_jit, LUA_JITLIBNAME);
	hide(L, LUA_JITLIBNAME);
	if (vm->conf.jit) {
		open_library(L, luaopen_ffi, LUA_FFILIBNAME);
		hide(L, LUA_FFILIBNAME);
		cw_vm_push_hidden(L, LUA_FFILIBNAME);
	}
	cw_guard_open(L, vm->conf.jit);
	/* After luaopen_jit, which switches the compiler on. */
	luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | (vm->conf.jit ? LUAJIT_MODE_ON : LUAJIT_MODE_OFF));
	cw_sandbox_open(L);
	return 0;
}

struct cw_vm *cw_vm_new(const struct cw_vm_conf *conf, struct cw_err *err)
{
	struct cw_vm *vm = cw_zalloc(sizeof(*vm));

	vm->magic = VM_MAGIC;
	vm->conf = *conf;
	if (vm->conf.hard_bytes == 0)
		vm->conf.hard_bytes = 5 * vm->conf.soft_bytes;
	vm->L = lua_newstate(allocate, vm);
	if (vm->L == NULL) {
		cw_err_set(err, CW_ERR_SYSTEM, "cannot make a Lua state");
		cw_free(vm);
		return NULL;
	}
	lua_atpanic(vm->L, on_panic);
	if (lua_cpcall(vm->L, open_protected, NULL) != 0) {
		cw_err_set(err, CW_ERR_INTERNAL, "cannot set up the Lua sandbox: %s", lua_tostring(vm->L, -1));
		cw_vm_free(&vm);
		return NULL;
	}
	lua_gc(vm->L, LUA_GCCOLLECT, 0);
	vm->live = vm->used;
	return vm;
}

void cw_vm_free(struct cw_vm **vm)
{
	struct cw_vm *v = *vm;

	*vm = NULL;
	if (v == NULL)
		return;
	CW_CAST(v, VM_MAGIC);
	lua_close(v->L);
	v->magic = 0;
	cw_free(v);
}

lua_State *cw_vm_state(const struct cw_vm *vm)
{
	return vm->L;
}

struct cw_vm *cw_vm_of(lua_State *L)
{
	void *ud;

	lua_getallocf(L, &ud);
	return CW_CAST(ud, VM_MAGIC);
}

enum cw_world cw_vm_world(const struct cw_vm *vm)
{
	return vm->conf.world;
}

bool cw_vm_jit(const struct cw_vm *vm)
{
	return vm->conf.jit;
}

size_t cw_vm_bytes(const struct cw_vm *vm)
{
	return vm->used;
}

void cw_vm_set_owner(struct cw_vm *vm, void *owner)
{
	vm->owner = owner;
}

void *cw_vm_owner(const struct cw_vm *vm)
{
	return vm->owner;
}

void cw_vm_set_trace(struct cw_vm *vm, struct cw_trace *trace)
{
	vm->trace = trace;
}

struct cw_trace *cw_vm_trace(const struct cw_vm *vm)
{
	return vm->trace;
}

void cw_vm_push_hidden(lua_State *L, const char *name)
{
	lua_pushlightuserdata(L, &hidden_key);
	lua_rawget(L, LUA_REGISTRYINDEX);
	lua_getfield(L, -1, name);
	lua_remove(L, -2);
}

const char *cw_vm_version(void)
{
	return LUAJIT_VERSION;
}

/* The innermost function that came from a file: engine chunks are named with '='. No Lua memory is needed. Looked for once
 * a call and not deep: lua_getstack walks to its level, and a stop may be raised again at each of 20,000 frames. */
#define NOTE_LEVELS 64
void cw_vm_note_stop(lua_State *L)
{
	struct cw_vm *vm = cw_vm_of(L);
	lua_Debug at;

	if (vm->note[0] != '\0')
		return;
	snprintf(vm->note, sizeof(vm->note), "script");
	for (int level = 0; level < NOTE_LEVELS && lua_getstack(L, level, &at) != 0; level++) {
		if (lua_getinfo(L, "Sl", &at) == 0 || at.source[0] != '@')
			continue;
		snprintf(vm->note, sizeof(vm->note), "%s:%d", at.source + 1, at.currentline);
		return;
	}
}

static void collect(struct cw_vm *vm)
{
	lua_gc(vm->L, LUA_GCCOLLECT, 0);
	lua_gc(vm->L, LUA_GCCOLLECT, 0);
	vm->live = vm->used;
}

/* What LuaJIT says when the Lua stack is full, with its place in front. A message of ours about a stop in a call below
 * is none. */
bool cw_vm_is_overflow(lua_State *L, int index)
{
	const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tostring(L, index) : "";

	return strstr(text, "stack overflow") != NULL && strstr(text, "stopped: ") == NULL;
}

/* The error value is on top of L; popped. Its metamethods are not called: they are the script's. */
static void report_failure(struct cw_vm *vm, lua_State *L, const struct cw_budget *budget, struct cw_vm_report *report)
{
	const char *note = vm->note[0] != '\0' ? vm->note : "script";

	if (report->stop == CW_STOP_NONE && cw_vm_is_overflow(L, -1))
		report->stop = CW_STOP_STACK;
	/* Where the stack was full depends on the JIT, so no place is named. */
	if (report->stop == CW_STOP_STACK)
		snprintf(report->message, sizeof(report->message), "stopped: %s", cw_stop_text(report->stop));
	else if (report->stop == CW_STOP_TICKS)
		snprintf(report->message, sizeof(report->message), "%s: stopped: more than %lld ticks", note,
		         (long long)budget->ticks);
	else if (report->stop == CW_STOP_TIME)
		snprintf(report->message, sizeof(report->message), "%s: stopped: time limit of %lld ms reached", note,
		         (long long)budget->time_us / 1000);
	else if (report->stop != CW_STOP_NONE)
		snprintf(report->message, sizeof(report->message), "%s: stopped: %s", note, cw_stop_text(report->stop));
	else if (lua_type(L, -1) == LUA_TSTRING || lua_type(L, -1) == LUA_TNUMBER)
		snprintf(report->message, sizeof(report->message), "%s", lua_tostring(L, -1));
	else
		snprintf(report->message, sizeof(report->message), "error value is a %s", luaL_typename(L, -1));
	lua_pop(L, 1);
	if (report->stop != CW_STOP_NONE)
		collect(vm);
}

int cw_vm_call(struct cw_vm *vm, lua_State *L, int nargs, int nresults, const struct cw_budget *budget,
               struct cw_vm_report *report)
{
	struct cw_guard_frame frame;
	int status;

	vm->note[0] = '\0';
	cw_guard_begin(&frame, budget);
	status = lua_pcall(L, nargs, nresults, 0);
	report->stop = cw_guard_end(&frame, &report->ticks);
	if (status == 0 && report->stop == CW_STOP_NONE)
		return 0;
	if (status == 0) {
		/* It was over before it saw the flag: what it returned counts. */
		report->stop = CW_STOP_NONE;
		collect(vm);
		return 0;
	}
	report_failure(vm, L, budget, report);
	return -1;
}

int cw_vm_resume(struct cw_vm *vm, lua_State *co, int nargs, const struct cw_budget *budget,
                 struct cw_vm_report *report)
{
	struct cw_guard_frame frame;
	int status;

	vm->note[0] = '\0';
	cw_guard_begin(&frame, budget);
	status = lua_resume(co, nargs);
	report->stop = cw_guard_end(&frame, &report->ticks);
	if (status == 0 || status == LUA_YIELD) {
		if (report->stop != CW_STOP_NONE)
			collect(vm);
		report->stop = CW_STOP_NONE;
		return status;
	}
	report_failure(vm, co, budget, report);
	return -1;
}

/* Half of the soft limit is taken as the sign that a rule leaves garbage faster than the steps of the collector clear
 * it; where so much is alive, only a quarter more than that. */
void cw_vm_tidy(struct cw_vm *vm)
{
	size_t bound = vm->conf.soft_bytes / 2;

	if (vm->live + vm->live / 4 > bound)
		bound = vm->live + vm->live / 4;
	if (vm->used > bound)
		collect(vm);
}
