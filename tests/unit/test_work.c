#include "loop/work.h"

#include <check.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "loop/loop.h"
#include "support/slow.h"

static struct cw_loop *loop;
static struct cw_work_pool *pool;

struct job {
	struct cw_work_pool **pool;   /* not NULL: submit again from `done` */
	struct job *again;
	pthread_t runner;
	bool finished, ran;
	int order;
};

static atomic_int entered;
static atomic_bool gate_open;
static int finished;
static pthread_t loop_thread;

static void setup(void)
{
	loop = cw_loop_new();
	loop_thread = pthread_self();
	finished = 0;
	atomic_store(&entered, 0);
	atomic_store(&gate_open, false);
}

static void teardown(void)
{
	cw_work_pool_free(&pool);
	cw_loop_free(&loop);
}

static void run(void *arg)
{
	struct job *job = arg;

	job->runner = pthread_self();
	atomic_fetch_add(&entered, 1);
}

static void run_behind_gate(void *arg)
{
	run(arg);
	while (!atomic_load(&gate_open))
		usleep(100);
}

static void done(void *arg, bool ran)
{
	struct job *job = arg;

	ck_assert(pthread_equal(pthread_self(), loop_thread));
	job->finished = true;
	job->ran = ran;
	job->order = finished++;
	if (job->pool != NULL && *job->pool != NULL)
		ck_assert_int_eq(cw_work_submit(*job->pool, run, done, job->again), 0);
}

static void wait_for(int count)
{
	while (finished < count)
		cw_loop_run_once(loop);
}

START_TEST(runs_elsewhere_and_answers_on_the_loop)
{
	struct job jobs[50] = { { 0 } };

	pool = cw_work_pool_new(loop, 3, 50);
	for (int i = 0; i < 50; i++)
		ck_assert_int_eq(cw_work_submit(pool, run, done, &jobs[i]), 0);
	ck_assert_int_eq(finished, 0);   /* never before the submitting call has returned, nor before a turn */
	wait_for(50);
	for (int i = 0; i < 50; i++)
		ck_assert(jobs[i].ran && !pthread_equal(jobs[i].runner, loop_thread));
}
END_TEST

START_TEST(one_thread_keeps_the_order)
{
	struct job jobs[20] = { { 0 } };

	pool = cw_work_pool_new(loop, 1, 20);
	for (int i = 0; i < 20; i++)
		cw_work_submit(pool, run, done, &jobs[i]);
	wait_for(20);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(jobs[i].order, i);
}
END_TEST

START_TEST(full_queue_says_no)
{
	struct job jobs[4] = { { 0 } };

	pool = cw_work_pool_new(loop, 1, 2);
	ck_assert_int_eq(cw_work_submit(pool, run_behind_gate, done, &jobs[0]), 0);
	while (atomic_load(&entered) == 0)
		usleep(100);
	ck_assert_int_eq(cw_work_submit(pool, run, done, &jobs[1]), 0);
	ck_assert_int_eq(cw_work_submit(pool, run, done, &jobs[2]), 0);
	ck_assert_int_eq(cw_work_submit(pool, run, done, &jobs[3]), -1);
	atomic_store(&gate_open, true);
	wait_for(3);
	ck_assert(!jobs[3].finished);
	ck_assert_int_eq(cw_work_submit(pool, run, done, &jobs[3]), 0);   /* room again */
	wait_for(4);
}
END_TEST

static void *open_gate_soon(void *arg)
{
	usleep(20000 * (unsigned)slow_factor());     /* the other thread is in cw_work_pool_free() by then */
	atomic_store(&gate_open, true);
	return arg;
}

START_TEST(free_answers_everything)
{
	struct job jobs[3] = { { 0 } };
	pthread_t opener;

	pool = cw_work_pool_new(loop, 1, 10);
	cw_work_submit(pool, run_behind_gate, done, &jobs[0]);
	while (atomic_load(&entered) == 0)
		usleep(100);
	cw_work_submit(pool, run, done, &jobs[1]);
	cw_work_submit(pool, run, done, &jobs[2]);
	ck_assert_int_eq(pthread_create(&opener, NULL, open_gate_soon, NULL), 0);
	cw_work_pool_free(&pool);
	ck_assert_ptr_null(pool);
	ck_assert(jobs[0].ran);
	ck_assert(jobs[1].finished && !jobs[1].ran);
	ck_assert(jobs[2].finished && !jobs[2].ran);
	pthread_join(opener, NULL);
	cw_work_pool_free(&pool);
}
END_TEST

START_TEST(done_may_submit)
{
	struct job second = { .pool = NULL }, first = { .pool = &pool, .again = &second };

	pool = cw_work_pool_new(loop, 1, 1);
	cw_work_submit(pool, run, done, &first);
	wait_for(2);
	ck_assert(second.ran);
}
END_TEST

static struct cw_work_pool *closing;
static int refused;

static void done_submits_to_closing(void *arg, bool ran)
{
	(void)ran;
	if (cw_work_submit(closing, run, done, arg) != 0)
		refused++;
}

START_TEST(no_work_is_taken_while_freeing)
{
	struct job job = { 0 };

	pool = closing = cw_work_pool_new(loop, 1, 10);
	cw_work_submit(pool, run_behind_gate, done, &job);
	while (atomic_load(&entered) == 0)
		usleep(100);
	cw_work_submit(pool, run, done_submits_to_closing, &job);
	atomic_store(&gate_open, true);
	cw_work_pool_free(&pool);
	ck_assert_int_eq(refused, 1);
}
END_TEST

static atomic_bool blocked;

static void look_at_mask(void *arg)
{
	sigset_t mask;

	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	atomic_store(&blocked, sigismember(&mask, SIGTERM) == 1 && sigismember(&mask, SIGHUP) == 1);
	run(arg);
}

START_TEST(threads_block_signals)
{
	struct job job = { 0 };
	sigset_t mask;

	pool = cw_work_pool_new(loop, 1, 1);
	cw_work_submit(pool, look_at_mask, done, &job);
	wait_for(1);
	ck_assert(atomic_load(&blocked));
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	ck_assert_int_eq(sigismember(&mask, SIGTERM), 0);   /* the loop's own is as it was */
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("work");
	TCase *t = tcase_create("work");

	tcase_set_timeout(t, 20);
	tcase_add_checked_fixture(t, setup, teardown);
	tcase_add_test(t, runs_elsewhere_and_answers_on_the_loop);
	tcase_add_test(t, one_thread_keeps_the_order);
	tcase_add_test(t, full_queue_says_no);
	tcase_add_test(t, free_answers_everything);
	tcase_add_test(t, done_may_submit);
	tcase_add_test(t, no_work_is_taken_while_freeing);
	tcase_add_test(t, threads_block_signals);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
