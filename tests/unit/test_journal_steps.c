/* The undo log, killed between any two of its stores, while it works and while it repairs. The log is compiled into
 * this test with a step counter in it and takes the library's place at link time. Then the same with the order of
 * stores changed: a test that does not notice that is no test. */
static void step(void);
#define CW_JOURNAL_STEP()   step()
#define cw_state_touch_slow right_touch_slow
#include "state/journal.c"
#undef cw_state_touch_slow

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "support/slow.h"
#include "support/statework.h"

#define SEED  31
#define START 10                /* batches before the first trial: the first ones are the largest */
#define REACH 6000              /* steps of two or three batches */

void cw_state_touch_slow(struct cw_state *state, uint64_t granule);

enum mutant { NONE = 0, HEAD_LATE, BIT_FIRST, HEAD_FIRST, REWIND_HEAD_FIRST };

static struct cw_state *st, *twin;
static enum mutant mutant;
static uint64_t steps_left;     /* 0: no end */

static void step(void)
{
	if (steps_left != 0 && --steps_left == 0)
		raise(SIGKILL);
}

static void save(struct cw_state *state, uint64_t head, uint64_t granule)
{
	struct cw_record *record = cw_record_at(state, head);

	record->granule = granule;
	memcpy(record->old, state->hot.base + granule * CW_GRANULE, CW_GRANULE);
}

static void set_bit(struct cw_state *state, uint64_t granule)
{
	state->hot.dirty[granule >> 6] |= 1ull << (granule & 63);
}

/* What the state, the allocator and the dictionary call. */
void cw_state_touch_slow(struct cw_state *state, uint64_t granule)
{
	static uint64_t late;       /* records of this process that are not published yet: 0 or 1 */
	uint64_t head = load_head(state);

	switch (mutant) {
	case HEAD_LATE:
		atomic_store(&state->control->head, head + late * RECORD);
		save(state, head + late * RECORD, granule);
		late = 1;
		step();
		set_bit(state, granule);
		step();
		break;
	case BIT_FIRST:
		set_bit(state, granule);
		step();
		save(state, head, granule);
		atomic_store(&state->control->head, head + RECORD);
		step();
		break;
	case HEAD_FIRST:
		atomic_store(&state->control->head, head + RECORD);
		step();
		save(state, head, granule);
		set_bit(state, granule);
		step();
		break;
	default:
		right_touch_slow(state, granule);
	}
}

static void rewind_to(const struct cw_state_mark *mark)
{
	uint64_t head = load_head(st);

	if (mutant != REWIND_HEAD_FIRST) {
		if (cw_state_rewind(st, mark, NULL) != 0)
			_exit(1);
		return;
	}
	atomic_store(&st->control->head, mark->position);
	step();
	undo_records(st, mark->position, head);
}

static void repair(void)
{
	struct cw_state_mark mark;

	if (!cw_state_find_seq(st, UINT64_MAX, &mark))
		_exit(1);
	rewind_to(&mark);
}

static void evaluate(void)
{
	statework_run(st, SEED, cw_state_seq(st), UINT64_MAX);
}

/* True when the child came to its end or was killed at its step; anything else is damage that it has met. */
static bool child(void (*body)(void), uint64_t steps)
{
	pid_t pid = fork();
	int status;

	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		steps_left = steps;
		if (mutant != NONE)
			fclose(stderr);
		body();
		_exit(0);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	return (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) || (WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Evaluates and dies at a step, repairs and dies at a step (up to twice), repairs; true when nothing of it is left. */
static bool survives(uint64_t steps, uint64_t *random)
{
	uint64_t before = cw_state_seq(st);

	if (!child(evaluate, steps))
		return false;
	for (uint64_t tries = statework_random(random) % 3; tries > 0; tries--)
		if (!child(repair, 1 + statework_random(random) % 200))
			return false;
	if (!child(repair, 0) || cw_state_seq(st) < before)
		return false;
	statework_run(twin, SEED, before, cw_state_seq(st));
	return statework_equal(st, twin) && statework_clean(st);
}

static int64_t started_us;

/* Busy machines do fewer trials. */
static bool time_left(unsigned seconds, unsigned seconds_long)
{
	return cw_clock_mono_us() - started_us < (int64_t)statework_rounds(seconds, seconds_long) * 1000000;
}

static void setup(void)
{
	started_us = cw_clock_mono_us();
	st = statework_arena(4 << 20);
	twin = statework_arena(4 << 20);
	mutant = NONE;
	statework_run(st, SEED, 0, START);
	statework_run(twin, SEED, 0, START);
}

static void teardown(void)
{
	cw_state_close(&st);
	cw_state_close(&twin);
}

START_TEST(every_step_can_be_the_last)
{
	uint64_t random = 5;
	unsigned each = statework_rounds(400, 10000), trials = statework_rounds(900, 20000);

	for (unsigned n = 1; n <= trials && time_left(4, 600); n++) {
		uint64_t steps = n % 2 == 0 && n / 2 <= each ? n / 2 : 1 + statework_random(&random) % REACH;

		ck_assert_msg(survives(steps, &random), "not repaired: killed at step %lu after seq %lu", (unsigned long)steps,
		              (unsigned long)cw_state_seq(st));
	}
	printf("killed at each step and at random ones up to seq %lu\n", (unsigned long)cw_state_seq(st));
}
END_TEST

/* The twin is written by this process, so only the children may have the mutant. */
static bool mutant_survives(enum mutant which, unsigned *trials)
{
	unsigned slow = (unsigned)slow_factor();
	uint64_t random = 6;
	bool well = true;

	for (*trials = 0; well && *trials < 400 && time_left(3 * slow, 60 * slow); ++*trials) {
		uint64_t before = cw_state_seq(st), steps = 1 + statework_random(&random) % REACH;

		mutant = which;
		well = child(evaluate, steps);
		for (uint64_t tries = statework_random(&random) % 3; well && tries > 0; tries--)
			well = child(repair, 1 + statework_random(&random) % 200);
		mutant = which == REWIND_HEAD_FIRST ? which : NONE;
		well = well && child(repair, 0) && cw_state_seq(st) >= before;
		mutant = NONE;
		if (well)
			statework_run(twin, SEED, before, cw_state_seq(st));
		well = well && statework_equal(st, twin) && statework_clean(st);
	}
	return well;
}

START_TEST(a_wrong_order_is_noticed)
{
	static const char *const names[] = { "none", "head late", "bit first", "head first", "rewind: head first" };
	unsigned trials;

	ck_assert_msg(!mutant_survives((enum mutant)_i, &trials), "mutant \"%s\" was not noticed", names[_i]);
	printf("mutant \"%s\" noticed at trial %u\n", names[_i], trials);
}
END_TEST

START_TEST(the_right_order_passes_the_same_trials)
{
	unsigned trials;

	ck_assert(mutant_survives(NONE, &trials));
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("journal_steps");
	TCase *tc = tcase_create("steps");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 900);
	tcase_add_test(tc, every_step_can_be_the_last);
	tcase_add_loop_test(tc, a_wrong_order_is_noticed, HEAD_LATE, REWIND_HEAD_FIRST + 1);
	tcase_add_test(tc, the_right_order_passes_the_same_trials);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
