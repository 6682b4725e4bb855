/* Token buckets and failed logins: time is an argument, so it is ours. */
#include <check.h>
#include <stdio.h>
#include <string.h>

#include "auth/attempts.h"
#include "auth/limit.h"

#define SECOND INT64_C(1000000)
#define START  (1000 * SECOND)

START_TEST(burst_then_rate)
{
	struct cw_limits *limits = cw_limits_new();
	struct cw_rate rate = { .per_s = 10, .burst = 5 };
	struct cw_limit_state state;
	int got = 0;

	for (int i = 0; i < 5; i++) {
		ck_assert(cw_limits_take(limits, 'k', "a", 1, &rate, START, &state));
		ck_assert_int_eq(state.limit, 5);
		ck_assert_int_eq(state.remaining, 4 - i);
	}
	ck_assert(!cw_limits_take(limits, 'k', "a", 1, &rate, START, &state));
	ck_assert_int_eq(state.remaining, 0);
	ck_assert_int_eq(state.retry_s, 1);
	ck_assert(cw_limits_take(limits, 'k', "b", 1, &rate, START, &state)); /* another name, */
	ck_assert(cw_limits_take(limits, 'u', "a", 1, &rate, START, &state)); /* another kind */
	for (int ms = 1; ms <= 10000; ms++)
		got += cw_limits_take(limits, 'k', "a", 1, &rate, START + 1000 * ms, &state);
	ck_assert_int_ge(got, 99);
	ck_assert_int_le(got, 100);
	cw_limits_free(&limits);
}
END_TEST

START_TEST(peek_takes_nothing)
{
	struct cw_limits *limits = cw_limits_new();
	struct cw_rate rate = { .per_s = 1, .burst = 1 };
	struct cw_limit_state state;

	for (int i = 0; i < 3; i++)
		ck_assert(cw_limits_peek(limits, 'k', "a", 1, &rate, START, &state));
	ck_assert(cw_limits_take(limits, 'k', "a", 1, &rate, START, &state));
	ck_assert(!cw_limits_peek(limits, 'k', "a", 1, &rate, START, &state));
	cw_limits_free(&limits);
}
END_TEST

/* A million strangers do not grow the table, and do not free a bucket that is in use from its limit for free. */
START_TEST(memory_is_bounded)
{
	struct cw_limits *limits = cw_limits_new();
	struct cw_rate rate = { .per_s = 1, .burst = 3 };
	struct cw_limit_state state;
	char name[32];

	for (int i = 0; i < 3; i++)
		ck_assert(cw_limits_take(limits, 'k', "victim", 6, &rate, START, &state));
	for (int i = 0; i < 10000; i++) {
		snprintf(name, sizeof(name), "stranger %d", i);
		cw_limits_take(limits, 'k', name, strlen(name), &rate, START, &state);
	}
	ck_assert(!cw_limits_take(limits, 'k', "victim", 6, &rate, START, &state));
	cw_limits_free(&limits);
}
END_TEST

START_TEST(waits_double)
{
	struct cw_attempts_conf conf = { .free = 2, .max_wait_s = 5, .forget_s = 100 };
	struct cw_attempts *a = cw_attempts_new(&conf);
	static const int64_t waits[] = { 0, 1000, 2000, 4000, 5000, 5000 };
	int64_t now = START;

	for (int i = 0; i < 6; i++) {
		ck_assert_int_eq(cw_attempts_begin(a, "x", 1, now), 0);
		ck_assert_int_eq(cw_attempts_failed(a, "x", 1, now), waits[i]);
		if (waits[i] > 0)
			ck_assert_int_gt(cw_attempts_begin(a, "x", 1, now + 1000 * waits[i] - 1000), 0);
		now += 1000 * waits[i];
	}
	ck_assert_int_eq(cw_attempts_begin(a, "y", 1, now), 0);
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, now), 0);
	cw_attempts_passed(a, "x", 1);
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, now), 0);
	ck_assert_int_eq(cw_attempts_failed(a, "x", 1, now), 0);
	cw_attempts_free(&a);
}
END_TEST

/* Sent side by side, attempts do not get around the wait. */
START_TEST(one_at_a_time_once_there_is_a_wait)
{
	struct cw_attempts *a = cw_attempts_new(&(struct cw_attempts_conf){ .free = 1, .max_wait_s = 5, .forget_s = 100 });

	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START), 0);
	ck_assert_int_eq(cw_attempts_failed(a, "x", 1, START), 1000);
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START + 2 * SECOND), 0);
	ck_assert_int_gt(cw_attempts_begin(a, "x", 1, START + 2 * SECOND), 0);
	cw_attempts_dropped(a, "x", 1);
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START + 2 * SECOND), 0);
	cw_attempts_free(&a);
}
END_TEST

START_TEST(failures_are_forgotten)
{
	struct cw_attempts *a = cw_attempts_new(&(struct cw_attempts_conf){ .free = 1, .max_wait_s = 5, .forget_s = 100 });

	for (int i = 0; i < 5; i++)
		cw_attempts_failed(a, "x", 1, START);
	ck_assert_int_gt(cw_attempts_begin(a, "x", 1, START), 0);
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START + 101 * SECOND), 0);
	ck_assert_int_eq(cw_attempts_failed(a, "x", 1, START + 101 * SECOND), 1000);
	cw_attempts_free(&a);
}
END_TEST

START_TEST(what_others_counted_holds_too)
{
	struct cw_attempts_conf conf = { .free = 2, .max_wait_s = 100, .forget_s = 1000 };
	struct cw_attempts *a = cw_attempts_new(&conf);

	cw_attempts_merge(a, "x", 1, 0, START);               /* nothing: no place is taken */
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START), 0);
	cw_attempts_dropped(a, "x", 1);
	cw_attempts_merge(a, "x", 1, 4, START);
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START), 4001);
	cw_attempts_merge(a, "x", 1, 3, START + SECOND);      /* the larger count and the later time */
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START + SECOND), 4001);
	cw_attempts_merge(a, "x", 1, 2, START - SECOND);
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START + SECOND), 4001);
	cw_attempts_merge(a, "x", 1, INT64_MAX, START);
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START + SECOND), 100001);
	conf.max_wait_s = 7;
	cw_attempts_configure(a, &conf);
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START + SECOND), 7001);
	/* The end of attempts that never began, or were forgotten. */
	cw_attempts_passed(a, "nobody", 6);
	cw_attempts_dropped(a, "nobody", 6);
	cw_attempts_passed(a, "x", 1);
	ck_assert_int_eq(cw_attempts_begin(a, "x", 1, START + SECOND), 0);
	cw_attempts_free(&a);
}
END_TEST

/* Many names at once: the quietest make room, those that fail now stay. */
START_TEST(attempts_are_bounded)
{
	struct cw_attempts *a = cw_attempts_new(&(struct cw_attempts_conf){ .free = 1, .max_wait_s = 5, .forget_s = 1000 });
	char name[32];

	for (int i = 0; i < 50000; i++) {
		snprintf(name, sizeof(name), "stranger %d", i);
		cw_attempts_failed(a, name, strlen(name), START + i * 10);
		if (i % 100 == 0)
			cw_attempts_failed(a, "victim", 6, START + i * 10);
	}
	ck_assert_int_gt(cw_attempts_begin(a, "victim", 6, START + SECOND / 2), 0);
	cw_attempts_free(&a);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("limit");
	TCase *tc = tcase_create("limit");
	SRunner *runner = srunner_create(suite);
	int failed;

	tcase_add_test(tc, burst_then_rate);
	tcase_add_test(tc, peek_takes_nothing);
	tcase_add_test(tc, memory_is_bounded);
	tcase_add_test(tc, waits_double);
	tcase_add_test(tc, one_at_a_time_once_there_is_a_wait);
	tcase_add_test(tc, failures_are_forgotten);
	tcase_add_test(tc, what_others_counted_holds_too);
	tcase_add_test(tc, attempts_are_bounded);
	suite_add_tcase(suite, tc);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed > 0;
}
