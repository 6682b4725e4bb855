#include "loop/loop.h"

#include <check.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char order[32];
static struct cw_loop *loop;

static void note(char c)
{
	size_t n = strlen(order);

	ck_assert_uint_lt(n, sizeof(order) - 1);
	order[n] = c;
	order[n + 1] = '\0';
}

static void note_a(void *arg)
{
	(void)arg;
	note('a');
}

static void note_b(void *arg)
{
	(void)arg;
	note('b');
}

static void setup(void)
{
	loop = cw_loop_new();
	order[0] = '\0';
}

static void teardown(void)
{
	cw_loop_free(&loop);
	ck_assert_ptr_null(loop);
}

static void defer_again(void *arg)
{
	(void)arg;
	note('(');
	cw_loop_defer(loop, note_a, NULL);
	note(')');
}

START_TEST(deferred_calls_run_at_the_end_of_the_turn)
{
	cw_loop_defer(loop, note_a, NULL);
	cw_loop_defer(loop, note_b, NULL);
	ck_assert_str_eq(order, "");
	cw_loop_poll(loop);
	ck_assert_str_eq(order, "ab");
}
END_TEST

START_TEST(what_is_deferred_meanwhile_runs_a_turn_later)
{
	cw_loop_defer(loop, defer_again, NULL);
	cw_loop_poll(loop);
	ck_assert_str_eq(order, "()");
	cw_loop_run_once(loop);   /* does not wait for an event */
	ck_assert_str_eq(order, "()a");
}
END_TEST

static void forget_b(void *arg)
{
	(void)arg;
	cw_loop_undefer(loop, note_b, NULL);
}

START_TEST(undefer_forgets_also_in_the_same_turn)
{
	cw_loop_defer(loop, note_a, NULL);
	cw_loop_undefer(loop, note_a, NULL);
	cw_loop_defer(loop, forget_b, NULL);
	cw_loop_defer(loop, note_b, NULL);
	cw_loop_poll(loop);
	cw_loop_poll(loop);
	ck_assert_str_eq(order, "");
}
END_TEST

static int ready;

static void on_ready(void *arg, int fd, int flags)
{
	(void)arg;
	(void)fd;
	ck_assert_int_eq(flags, CW_WATCH_READ);
	if (++ready == 100)
		cw_loop_stop(loop);
}

static void on_late(void *arg)
{
	(void)arg;
	ck_assert_int_eq(ready, 1);
	note('d');
}

/* A descriptor that is always ready must not keep deferred calls from running. */
START_TEST(deferred_calls_do_not_starve_under_load)
{
	struct cw_watch *watch;
	int ends[2];

	ck_assert_int_eq(pipe(ends), 0);
	ck_assert_int_eq(write(ends[1], "x", 1), 1);
	watch = cw_watch_new(loop, ends[0], on_ready, NULL);
	cw_watch_set(watch, CW_WATCH_READ);
	cw_loop_defer(loop, on_late, NULL);
	cw_loop_run(loop);
	ck_assert_str_eq(order, "d");
	cw_watch_free(&watch);
	close(ends[0]);
	close(ends[1]);
}
END_TEST

static void stop(void *arg)
{
	(void)arg;
	note('s');
	cw_loop_stop(loop);
}

START_TEST(timers_fire_once_and_can_be_moved_and_cleared)
{
	struct cw_timer *a = cw_timer_new(loop, note_a, NULL), *b = cw_timer_new(loop, note_b, NULL);
	struct cw_timer *end = cw_timer_new(loop, stop, NULL);

	cw_timer_set(a, 1);
	cw_timer_set(b, 1);
	cw_timer_set(end, 20);
	ck_assert(cw_timer_pending(b));
	cw_timer_clear(b);
	ck_assert(!cw_timer_pending(b));
	cw_loop_run(loop);
	ck_assert_str_eq(order, "as");
	cw_timer_free(&a);
	cw_timer_free(&b);
	cw_timer_free(&end);
}
END_TEST

START_TEST(stop_from_a_deferred_call)
{
	cw_loop_defer(loop, stop, NULL);
	cw_loop_run(loop);
	ck_assert_str_eq(order, "s");
}
END_TEST

static int pipes[2];
static int watch_flags;

static void on_watch(void *arg, int fd, int flags)
{
	(void)arg;
	(void)fd;
	watch_flags |= flags;
	note('w');
}

START_TEST(watches_are_level_triggered_and_can_sleep)
{
	struct cw_watch *watch;
	char byte;

	ck_assert_int_eq(pipe(pipes), 0);
	watch = cw_watch_new(loop, pipes[0], on_watch, NULL);
	ck_assert_int_eq(write(pipes[1], "x", 1), 1);
	cw_loop_poll(loop);
	ck_assert_str_eq(order, "");   /* registered, but asleep */
	cw_watch_set(watch, CW_WATCH_READ);
	cw_loop_poll(loop);
	cw_loop_poll(loop);
	ck_assert_str_eq(order, "ww");
	ck_assert_int_eq(watch_flags, CW_WATCH_READ);
	cw_watch_set(watch, 0);
	cw_loop_poll(loop);
	ck_assert_str_eq(order, "ww");
	cw_watch_set(watch, CW_WATCH_READ);
	ck_assert_int_eq(read(pipes[0], &byte, 1), 1);
	cw_loop_poll(loop);
	ck_assert_str_eq(order, "ww");
	cw_watch_free(&watch);
	ck_assert_ptr_null(watch);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

START_TEST(a_watch_may_wait_for_both)
{
	struct cw_watch *watch;
	int pair[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	watch = cw_watch_new(loop, pair[0], on_watch, NULL);
	cw_watch_set(watch, CW_WATCH_READ | CW_WATCH_WRITE);
	cw_loop_poll(loop);
	ck_assert_int_eq(watch_flags, CW_WATCH_WRITE);
	ck_assert_int_eq(write(pair[1], "x", 1), 1);
	cw_loop_poll(loop);
	ck_assert_int_eq(watch_flags, CW_WATCH_READ | CW_WATCH_WRITE);
	cw_watch_free(&watch);
	close(pair[0]);
	close(pair[1]);
}
END_TEST

static void free_watch(void *arg, int fd, int flags)
{
	(void)fd;
	(void)flags;
	note('f');
	cw_watch_free(arg);
}

static void free_timer(void *arg)
{
	note('t');
	cw_timer_free(arg);
}

START_TEST(a_callback_may_free_its_own)
{
	struct cw_watch *watch;
	struct cw_timer *timer;

	ck_assert_int_eq(pipe(pipes), 0);
	watch = cw_watch_new(loop, pipes[0], free_watch, &watch);
	cw_watch_set(watch, CW_WATCH_READ);
	ck_assert_int_eq(write(pipes[1], "x", 1), 1);
	timer = cw_timer_new(loop, free_timer, &timer);
	cw_timer_set(timer, 0);
	cw_loop_poll(loop);
	cw_loop_poll(loop);
	ck_assert_ptr_null(watch);
	ck_assert_ptr_null(timer);
	ck_assert_uint_eq(strlen(order), 2);
	close(pipes[0]);
	close(pipes[1]);
}
END_TEST

static void on_signal(void *arg, int signal)
{
	(void)arg;
	ck_assert_int_eq(signal, SIGUSR1);
	note('s');
}

START_TEST(signals_come_through_the_loop)
{
	cw_loop_on_signal(loop, SIGUSR1, on_signal, NULL);
	raise(SIGUSR1);
	ck_assert_str_eq(order, "");
	cw_loop_run_once(loop);
	ck_assert_str_eq(order, "s");
	raise(SIGUSR1);
	cw_loop_run_once(loop);
	ck_assert_str_eq(order, "ss");
	raise(SIGPIPE);   /* ignored since cw_loop_new */
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("loop");
	TCase *tc = tcase_create("loop");
	SRunner *runner = srunner_create(suite);
	int failed;

	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, deferred_calls_run_at_the_end_of_the_turn);
	tcase_add_test(tc, what_is_deferred_meanwhile_runs_a_turn_later);
	tcase_add_test(tc, undefer_forgets_also_in_the_same_turn);
	tcase_add_test(tc, deferred_calls_do_not_starve_under_load);
	tcase_add_test(tc, timers_fire_once_and_can_be_moved_and_cleared);
	tcase_add_test(tc, stop_from_a_deferred_call);
	tcase_add_test(tc, watches_are_level_triggered_and_can_sleep);
	tcase_add_test(tc, a_watch_may_wait_for_both);
	tcase_add_test(tc, a_callback_may_free_its_own);
	tcase_add_test(tc, signals_come_through_the_loop);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
