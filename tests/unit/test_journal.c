/* The undo log: rewinds, marks, refusals, and processes killed at random times. test_journal_steps.c kills them between
 * any two stores. CW_LONG=1 does ten times as much. */
#include "state/state.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/mem.h"
#include "state/state_internal.h"
#include "support/statework.h"

static struct cw_state *st, *twin;
static struct cw_err err;
static cw_ref cells;

static void setup(void)
{
	st = statework_arena(4 << 20);
	twin = statework_arena(4 << 20);
	cw_err_clear(&err);
	cells = 0;
}

static void teardown(void)
{
	cw_state_close(&st);
	cw_state_close(&twin);
}

static struct cw_state_mark mark_of(uint64_t seq)
{
	struct cw_state_mark mark;

	ck_assert_msg(cw_state_find_seq(st, seq, &mark), "no mark up to seq %lu", (unsigned long)seq);
	return mark;
}

/* One granule of its own for each number. */
static uint64_t *cell(uint64_t number)
{
	if (cells == 0)
		cells = cw_state_alloc(st, 0, 1 << 20);
	return (uint64_t *)cw_state_ptr(st, cells) + number * 8;
}

static void put(uint64_t number, uint64_t value)
{
	uint64_t *at = cell(number);

	cw_state_touch(st, at, sizeof(*at));
	*at = value;
}

START_TEST(rewind_restores_every_byte)
{
	unsigned rounds = statework_rounds(60, 1500);
	uint64_t random = 42, at = 0;

	for (unsigned round = 0; round < rounds; round++) {
		uint64_t to = at + statework_random(&random) % 40, back = statework_random(&random) % 60;
		struct cw_state_mark mark;
		struct statework *work;

		statework_run(st, 5, at, to);
		if (statework_random(&random) % 2 == 0 && to > 0) {
			work = statework_open(st);
			statework_part(work, 5, to + 1);
			statework_close(&work);
		}
		ck_assert(cw_state_find_seq(st, back < to ? to - back : 0, &mark));
		ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
		at = cw_state_seq(st);
		ck_assert_uint_eq(at, back < to ? to - back : 0);
		ck_assert(statework_clean(st));
		if (round % 10 == 0) {
			cw_state_reset(twin);
			statework_run(twin, 5, 0, at);
			statework_same(st, twin, "rewound and fresh");
		}
	}
}
END_TEST

START_TEST(rewind_to_the_empty_arena)
{
	struct cw_state_mark mark;

	statework_run(st, 1, 0, 20);
	mark = mark_of(0);
	ck_assert_uint_eq(mark.seq, 0);
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
	statework_same(st, twin, "rewound to nothing and new");
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
	statework_same(st, twin, "rewound twice and new");
}
END_TEST

START_TEST(rewind_undoes_an_open_batch)
{
	struct cw_state_mark mark;

	put(0, 1);
	cw_state_mark(st, 1, 1);
	put(1, 2);
	put(0, 3);
	mark = mark_of(1);
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
	ck_assert_uint_eq(*cell(0), 1);
	ck_assert_uint_eq(*cell(1), 0);
	ck_assert(statework_clean(st));
}
END_TEST

START_TEST(seq_and_block_are_state)
{
	struct cw_state_mark mark;

	ck_assert_uint_eq(cw_state_seq(st), 0);
	cw_state_mark(st, 7, 100);
	cw_state_mark(st, 9, 101);
	ck_assert_uint_eq(cw_state_seq(st), 9);
	ck_assert_uint_eq(cw_state_block(st), 101);
	mark = mark_of(8);
	ck_assert_uint_eq(mark.seq, 7);
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
	ck_assert_uint_eq(cw_state_seq(st), 7);
	ck_assert_uint_eq(cw_state_block(st), 100);
}
END_TEST

START_TEST(marks_are_found_by_seq_and_block)
{
	static const struct { uint64_t seq, block; } given[] = { { 10, 5 }, { 20, 5 }, { 30, 6 }, { 40, 5 }, { 50, 8 } };
	struct cw_state_mark mark;

	for (size_t i = 0; i < sizeof(given) / sizeof(given[0]); i++)
		cw_state_mark(st, given[i].seq, given[i].block);
	ck_assert(cw_state_find_seq(st, 1000, &mark) && mark.seq == 50);
	ck_assert(cw_state_find_seq(st, 39, &mark) && mark.seq == 30);
	ck_assert(cw_state_find_seq(st, 9, &mark) && mark.seq == 0);
	ck_assert(cw_state_find_block(st, 8, &mark) && mark.seq == 50);
	ck_assert(cw_state_find_block(st, 7, &mark) && mark.seq == 40);
	/* The late batch of block 5 came after block 6: undoing block 6 undoes it too. */
	ck_assert(cw_state_find_block(st, 5, &mark) && mark.seq == 20);
	ck_assert(cw_state_find_block(st, 4, &mark) && mark.seq == 0);
	ck_assert_uint_eq(cw_state_journal_blocks(st), 8);
}
END_TEST

START_TEST(the_newest_mark_after_a_rewind_is_its_target)
{
	struct cw_state_mark mark, gone;

	for (uint64_t n = 1; n <= 10; n++)
		cw_state_mark(st, n, n);
	gone = mark_of(9);
	mark = mark_of(4);
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
	ck_assert_uint_eq(mark_of(1000).seq, 4);
	ck_assert_int_eq(cw_state_rewind(st, &gone, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert_str_eq(err.msg, "cannot rewind to seq 9: the undo log does not reach back to it");
	ck_assert_uint_eq(cw_state_seq(st), 4);
}
END_TEST

START_TEST(a_mark_that_never_was_is_refused)
{
	struct cw_state_mark mark, wrong;

	put(0, 1);
	cw_state_mark(st, 3, 1);
	put(1, 1);
	cw_state_mark(st, 4, 1);
	mark = mark_of(3);
	wrong = mark;
	wrong.position += sizeof(struct cw_record);
	ck_assert_int_eq(cw_state_rewind(st, &wrong, &err), -1);
	wrong = mark;
	wrong.seq = 4;
	ck_assert_int_eq(cw_state_rewind(st, &wrong, &err), -1);
	wrong = mark;
	wrong.position = UINT64_MAX;
	ck_assert_int_eq(cw_state_rewind(st, &wrong, &err), -1);
	ck_assert_uint_eq(cw_state_seq(st), 4);
}
END_TEST

START_TEST(positions_out_of_reach_are_refused)
{
	struct cw_state_mark first, mark;
	struct cw_state_conf conf = { .max_bytes = 4 << 20, .journal_bytes = 16 << 10 };

	cw_state_close(&st);
	st = cw_state_new(&conf, &err);
	put(0, 0);
	cw_state_mark(st, 1, 1);
	first = mark_of(1);
	for (uint64_t n = 2; n <= 100; n++) {
		for (uint64_t i = 0; i < 10; i++)
			put(i, n);
		cw_state_mark(st, n, n);
	}
	ck_assert_int_eq(cw_state_rewind(st, &first, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_NOT_FOUND);
	ck_assert(!cw_state_find_seq(st, 1, &mark));
	ck_assert(!cw_state_find_block(st, 1, &mark));
	/* 16 KiB hold 227 records, a batch is 11. */
	ck_assert(cw_state_find_seq(st, 80, &mark) && mark.seq == 80);
	ck_assert(!cw_state_find_seq(st, 79, &mark));
	ck_assert_uint_eq(cw_state_journal_depth(st), 20 * 11 * 72);
	ck_assert_uint_eq(cw_state_journal_blocks(st), 20);
	ck_assert(cw_state_find_seq(st, 80, &mark));
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
	ck_assert_uint_eq(*cell(3), 80);
}
END_TEST

START_TEST(a_batch_larger_than_the_log_is_told)
{
	struct cw_state_mark mark;
	struct cw_state_conf conf = { .max_bytes = 4 << 20, .journal_bytes = 16 << 10 };

	cw_state_close(&st);
	st = cw_state_new(&conf, &err);
	put(0, 0);
	cw_state_mark(st, 1, 1);
	mark = mark_of(1);
	for (uint64_t i = 0; i < 226; i++)
		put(i, 1);
	ck_assert(!cw_state_overflowed(st));
	put(226, 1);
	ck_assert(cw_state_overflowed(st));
	ck_assert(!cw_state_find_seq(st, 1, &mark));
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), -1);
	ck_assert_uint_eq(*cell(226), 1);

	for (uint64_t i = 227; i < 1000; i++)
		put(i, 1);
	ck_assert_uint_eq(cw_state_overflows(st), 0);
	cw_state_mark(st, 2, 2);
	ck_assert(!cw_state_overflowed(st));
	ck_assert_uint_eq(cw_state_overflows(st), 1);
	/* From the next mark on all is well again. */
	mark = mark_of(2);
	for (uint64_t i = 0; i < 100; i++)
		put(i * 7, 5);
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
	for (uint64_t i = 1; i < 1000; i++)
		ck_assert_uint_eq(*cell(i), 1);
}
END_TEST

START_TEST(more_marks_than_slots)
{
	struct cw_state_mark mark;
	struct cw_state_conf conf = { .max_bytes = 1 << 20, .journal_bytes = 1 << 20 };

	cw_state_close(&st);
	st = cw_state_new(&conf, &err);
	for (uint64_t n = 1; n <= 5000; n++)
		cw_state_mark(st, n, n);
	ck_assert(cw_state_find_seq(st, 5000 - 1022, &mark));
	ck_assert_uint_eq(mark.seq, 5000 - 1022);
	ck_assert(!cw_state_find_seq(st, 5000 - 1023, &mark));
	ck_assert(cw_state_find_seq(st, 5000 - 1022, &mark));
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
	ck_assert_uint_eq(cw_state_seq(st), 5000 - 1022);
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), 0);
}
END_TEST

START_TEST(a_log_that_makes_no_sense_changes_nothing)
{
	struct cw_state_mark mark;
	struct cw_record *record;

	put(0, 1);
	cw_state_mark(st, 1, 1);
	for (uint64_t i = 1; i < 50; i++)
		put(i, i);
	mark = mark_of(1);
	record = cw_record_at(st, mark.position + 20 * sizeof(struct cw_record));
	record->granule = st->granules;
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INTERNAL);
	ck_assert_msg(strstr(err.msg, "names granule 262144 of 262144") != NULL, "%s", err.msg);
	for (uint64_t i = 1; i < 50; i++)
		ck_assert_uint_eq(*cell(i), i);

	st->control->head += 8;
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INTERNAL);
	st->control->head = 0;
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), -1);
	st->control->head = UINT64_MAX / 72 * 72;
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), -1);
	st->control->nmarks = UINT64_MAX;
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), -1);
	st->control->nmarks = 0;
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), -1);
	ck_assert_uint_eq(cw_state_journal_depth(st), 0);
}
END_TEST

START_TEST(an_arena_that_does_not_match_its_log_is_told)
{
	struct cw_state_mark mark;

	cw_state_mark(st, 1, 1);
	mark = mark_of(1);
	cw_arena_head(st)->seq = 77;   /* a wild store */
	ck_assert_int_eq(cw_state_rewind(st, &mark, &err), -1);
	ck_assert_str_eq(err.msg, "arena is damaged: rewound to seq 1 it says seq 77");
}
END_TEST

/* ---------------------------------------------------------------- killed at random times */

#define SEED 9

static void nap_us(uint64_t us)
{
	struct timespec span = { .tv_sec = 0, .tv_nsec = (long)us * 1000 };

	nanosleep(&span, NULL);
}

static pid_t spawn(void (*body)(uint64_t arg), uint64_t arg)
{
	pid_t pid = fork();

	ck_assert_int_ge(pid, 0);
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	body(arg);
	_exit(0);
}

static void reap(pid_t pid)
{
	int status;

	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_msg((WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) ||
	              (WIFEXITED(status) && WEXITSTATUS(status) == 0), "child ended with status %x", (unsigned)status);
}

static void evaluate_forever(uint64_t seq)
{
	statework_run(st, SEED, seq, UINT64_MAX);
}

static void repair(uint64_t acked)
{
	struct cw_state_mark mark;

	if (!cw_state_find_seq(st, acked, &mark) || cw_state_rewind(st, &mark, NULL) != 0)
		_exit(1);
}

START_TEST(killed_processes_leave_no_trace)
{
	unsigned kills = statework_rounds(2000, 20000), done, open_batch = 0, repairers = 0;
	int64_t limit = cw_clock_mono_us() + (int64_t)statework_rounds(6, 600) * 1000000;
	uint64_t random = 77, seq = 0;

	for (done = 0; done < kills && cw_clock_mono_us() < limit; done++) {
		pid_t pid = spawn(evaluate_forever, seq);
		struct cw_state_mark newest;

		nap_us(50 + statework_random(&random) % 1500);
		kill(pid, SIGKILL);
		reap(pid);
		/* The engine rewinds to the last verdict it got, which may be one batch behind the newest mark. */
		ck_assert(cw_state_find_seq(st, UINT64_MAX, &newest));
		open_batch += st->control->head != newest.position;
		if (statework_random(&random) % 4 == 0 && newest.seq > seq)
			newest.seq--;
		for (uint64_t tries = statework_random(&random) % 3; tries > 0; tries--, repairers++) {
			pid = spawn(repair, newest.seq);
			nap_us(statework_random(&random) % 400);
			kill(pid, SIGKILL);
			reap(pid);
		}
		repair(newest.seq);
		ck_assert_uint_eq(cw_state_seq(st), newest.seq);
		ck_assert(statework_clean(st));
		statework_run(twin, SEED, seq, newest.seq);
		seq = newest.seq;
		statework_same(st, twin, "after a kill");
	}
	statework_run(st, SEED, seq, seq + 20);
	statework_run(twin, SEED, seq, seq + 20);
	statework_same(st, twin, "evaluated on");
	printf("%u kills, %u in an open batch, %u repairers killed, %lu batches\n", done, open_batch, repairers,
	       (unsigned long)seq);
	ck_assert_uint_gt(open_batch, 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("journal");
	TCase *tc = tcase_create("rewind"), *kills = tcase_create("kills");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 600);
	tcase_add_test(tc, rewind_restores_every_byte);
	tcase_add_test(tc, rewind_to_the_empty_arena);
	tcase_add_test(tc, rewind_undoes_an_open_batch);
	tcase_add_test(tc, seq_and_block_are_state);
	tcase_add_test(tc, marks_are_found_by_seq_and_block);
	tcase_add_test(tc, the_newest_mark_after_a_rewind_is_its_target);
	tcase_add_test(tc, a_mark_that_never_was_is_refused);
	tcase_add_test(tc, positions_out_of_reach_are_refused);
	tcase_add_test(tc, a_batch_larger_than_the_log_is_told);
	tcase_add_test(tc, more_marks_than_slots);
	tcase_add_test(tc, a_log_that_makes_no_sense_changes_nothing);
	tcase_add_test(tc, an_arena_that_does_not_match_its_log_is_told);
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(kills, setup, teardown);
	tcase_set_timeout(kills, 900);
	tcase_add_test(kills, killed_processes_leave_no_trace);
	suite_add_tcase(suite, kills);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
