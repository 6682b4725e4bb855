/* The VM around scripts: limits of memory, stops that come too late, errors of every type, what the host may do wrong. */
#include "lua/vm.h"

#include <check.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <lauxlib.h>
#include <lua.h>

#include "base/err.h"
#include "base/log.h"
#include "lua/load.h"

static const struct cw_budget budget = { .ticks = 100000000, .time_us = 60000000 };
static struct cw_vm_conf conf = { .world = CW_WORLD_SCRIPTS, .soft_bytes = 8u << 20, .jit = true };
static struct cw_vm *vm;
static lua_State *L;
static struct cw_vm_report report;
static struct cw_err err;

static void setup(void)
{
	cw_vm_prepare_process();
	cw_log_set_level(NULL, CW_LOG_OFF);
	vm = cw_vm_new(&conf, &err);
	ck_assert_msg(vm != NULL, "%s", err.msg);
	L = cw_vm_state(vm);
}

static void teardown(void)
{
	cw_vm_free(&vm);
	ck_assert(vm == NULL);
	cw_vm_free(&vm);   /* of nothing: nothing */
}

static int run(const char *text)
{
	ck_assert_msg(cw_load(vm, "t.lua", text, strlen(text), &err) == 0, "%s", err.msg);
	return cw_vm_call(vm, L, 0, 1, &budget, &report);
}

START_TEST(errors_of_every_type_are_told)
{
	static const struct { const char *text, *message; } cases[] = {
		{ "error('mine')", "t.lua:1: mine" },
		{ "error('mine', 0)", "mine" },
		{ "error(5, 0)", "5" },
		{ "error()", "error value is a nil" },
		{ "error({})", "error value is a table" },
		{ "error(true)", "error value is a boolean" },
		{ "local x = nil + 1", "t.lua:1: attempt to perform arithmetic on a nil value" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		ck_assert_int_eq(run(cases[i].text), -1);
		ck_assert_int_eq(report.stop, CW_STOP_NONE);
		ck_assert_str_eq(report.message, cases[i].message);
		ck_assert_int_eq(lua_gettop(L), 0);
	}
}
END_TEST

/* The text of an error is the script's; a coroutine's dies with it. */
START_TEST(turns_end_as_calls_do)
{
	lua_State *co = lua_newthread(L);

	ck_assert_int_eq(luaL_loadstring(co, "error({ 1 })"), 0);
	ck_assert_int_eq(cw_vm_resume(vm, co, 0, &budget, &report), -1);
	ck_assert_str_eq(report.message, "error value is a table");
	co = lua_newthread(L);
	ck_assert_int_eq(luaL_loadstring(co, "return 1, 2"), 0);
	ck_assert_int_eq(cw_vm_resume(vm, co, 0, &budget, &report), 0);
	ck_assert_int_eq(lua_gettop(co), 2);
	lua_settop(L, 0);
}
END_TEST

static int l_trip(lua_State *at)
{
	cw_guard_trip(CW_STOP_TIME);
	lua_pushinteger(at, 7);
	return 1;
}

/* The watchdog raised its flag, and the script came to its end before a tick saw it: what it returned counts. */
START_TEST(a_stop_that_comes_too_late_is_none)
{
	lua_State *co;

	lua_pushcfunction(L, l_trip);
	ck_assert_int_eq(cw_vm_call(vm, L, 0, 1, &budget, &report), 0);
	ck_assert_int_eq(report.stop, CW_STOP_NONE);
	ck_assert_int_eq(lua_tointeger(L, -1), 7);
	lua_settop(L, 0);
	co = lua_newthread(L);
	lua_pushcfunction(co, l_trip);
	ck_assert_int_eq(cw_vm_resume(vm, co, 0, &budget, &report), 0);
	ck_assert_int_eq(report.stop, CW_STOP_NONE);
	ck_assert_int_eq(run("return 1"), 0);      /* it does not outlive the call */
	lua_settop(L, 0);
}
END_TEST

START_TEST(garbage_is_cleared_between_calls)
{
	size_t before, after;

	ck_assert_int_eq(run("keep = 3"), -1);     /* globals cannot be set: nothing stays */
	lua_gc(L, LUA_GCSTOP, 0);
	ck_assert_int_eq(run("local t = {} for i = 1, 60 do t[i] = ('x'):rep(1e5) .. i end return #t"), 0);
	lua_settop(L, 0);
	before = cw_vm_bytes(vm);
	ck_assert_uint_gt(before, 5u << 20);
	cw_vm_tidy(vm);
	after = cw_vm_bytes(vm);
	ck_assert_uint_lt(after, before / 2);
	cw_vm_tidy(vm);                            /* little is used: nothing is done */
	ck_assert_uint_eq(cw_vm_bytes(vm), after);
	/* And where much is alive, only when a quarter more has come. */
	ck_assert_int_eq(run("local t = {} for i = 1, 50 do t[i] = ('y'):rep(1e5) .. i end return t"), 0);
	cw_vm_tidy(vm);
	before = cw_vm_bytes(vm);
	ck_assert_uint_gt(before, 4u << 20);
	ck_assert_int_eq(run("return ('z'):rep(1e5)"), 0);
	lua_pop(L, 1);
	after = cw_vm_bytes(vm);
	cw_vm_tidy(vm);
	ck_assert_uint_eq(cw_vm_bytes(vm), after);
	lua_settop(L, 0);
}
END_TEST

static int *spoken;

static void last_words(void)
{
	*spoken = 1;
}

/* Memory that no guard sees, taken by the host on a script's behalf, ends the process where the hard limit is. */
START_TEST(the_hard_limit_ends_the_process)
{
	int status;
	pid_t pid;

	spoken = mmap(NULL, sizeof(*spoken), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (int words = 0; words < 2; words++) {
		pid = fork();
		if (pid == 0) {
			struct cw_vm_conf small = conf;
			struct cw_vm *other;

			small.hard_bytes = 16u << 20;
			small.on_hard_limit = words != 0 ? last_words : NULL;
			other = cw_vm_new(&small, &err);
			lua_newuserdata(cw_vm_state(other), 8u << 20);
			lua_newuserdata(cw_vm_state(other), 9u << 20);
			_exit(0);
		}
		ck_assert_int_eq(waitpid(pid, &status, 0), pid);
		ck_assert(WIFEXITED(status));
		ck_assert_int_eq(WEXITSTATUS(status), CW_VM_EXIT_MEMORY);
		ck_assert_int_eq(*spoken, words);
	}
	munmap(spoken, sizeof(*spoken));
}
END_TEST

START_TEST(an_error_outside_of_a_call_is_a_bug)
{
	lua_pushstring(L, "nobody catches this");
	lua_error(L);
}
END_TEST

START_TEST(what_it_tells_of_itself)
{
	struct cw_vm_conf plain = conf;
	struct cw_vm *other;

	ck_assert_int_eq(strncmp(cw_vm_version(), "LuaJIT ", 7), 0);
	ck_assert(cw_vm_jit(vm));
	ck_assert_int_eq(cw_vm_world(vm), CW_WORLD_SCRIPTS);
	ck_assert(cw_vm_of(L) == vm);
	ck_assert(cw_vm_owner(vm) == NULL);
	cw_vm_set_owner(vm, &err);
	ck_assert(cw_vm_owner(vm) == &err);
	cw_vm_push_hidden(L, "ffi");
	ck_assert(lua_istable(L, -1));
	lua_settop(L, 0);
	plain.jit = false;
	other = cw_vm_new(&plain, &err);
	ck_assert(!cw_vm_jit(other));
	cw_vm_push_hidden(cw_vm_state(other), "ffi");
	ck_assert(lua_isnil(cw_vm_state(other), -1));
	cw_vm_free(&other);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("vm");
	TCase *tc = tcase_create("vm");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, errors_of_every_type_are_told);
	tcase_add_test(tc, turns_end_as_calls_do);
	tcase_add_test(tc, a_stop_that_comes_too_late_is_none);
	tcase_add_test(tc, garbage_is_cleared_between_calls);
	tcase_add_test(tc, the_hard_limit_ends_the_process);
	tcase_add_test_raise_signal(tc, an_error_outside_of_a_call_is_a_bug, SIGABRT);
	tcase_add_test(tc, what_it_tells_of_itself);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
