/* Sessions and fixed periods. */
#include "support/detect_env.h"

static struct cw_state *st;

static void up(void)
{
	st = env_state();
}

static void down(void)
{
	cw_state_close(&st);
}

START_TEST(a_pause_ends_a_session)
{
	struct env_handle e = env_open(st, "window.session", "key=from;gap=60s;of=value");
	struct cw_tx tx;

	for (int i = 0; i < 5; i++) {
		tx = env_tx(1, 2, 1000 + i * 60, 10);   /* exactly the gap: still one session */
		ck_assert_double_eq(env_call(&e, "add", &tx), i + 1);
	}
	ck_assert_double_eq(env_call(&e, "length", &tx), 240);
	ck_assert_double_eq(env_call(&e, "sum", &tx), 50);
	tx.timestamp = 1240 + 61;
	ck_assert_double_eq(env_call(&e, "count", &tx), 0);
	ck_assert(isnan(env_call(&e, "length", &tx)));
	ck_assert_double_eq(env_call1(&e, "add", &tx, 7), 1);
	ck_assert_double_eq(env_call(&e, "sum", &tx), 7);
	ck_assert_double_eq(env_call(&e, "length", &tx), 0);
	env_close(&e);
}
END_TEST

START_TEST(late_ones_stretch_a_session_or_are_left_out)
{
	struct env_handle e = env_open(st, "window.session", "key=from;gap=60s");
	struct cw_tx now = env_tx(1, 2, 5000, 0), late = env_tx(1, 2, 4950, 0), old = env_tx(1, 2, 4800, 0);

	env_call(&e, "add", &now);
	ck_assert_double_eq(env_call(&e, "add", &late), 2);
	ck_assert_double_eq(env_call(&e, "length", &now), 50);
	ck_assert_double_eq(env_call(&e, "add", &old), 2);
	ck_assert_double_eq(env_call(&e, "length", &now), 50);
	env_close(&e);
}
END_TEST

START_TEST(periods_follow_the_clock)
{
	struct env_handle e = env_open(st, "window.tumbling", "key=from;span=1d;of=value");
	int64_t midnight = 86400 * 19000;
	struct cw_tx a = env_tx(1, 2, midnight - 1, 5), b = env_tx(1, 2, midnight, 3), c = env_tx(1, 2, midnight + 10, 9);
	struct cw_tx next = env_tx(1, 2, midnight + 86400, 1), later = env_tx(1, 2, midnight + 3 * 86400, 1);

	ck_assert_double_eq(env_call(&e, "before_count", &a), 0);
	ck_assert(isnan(env_call(&e, "min", &a)));
	ck_assert_double_eq(env_call(&e, "add", &a), 1);
	ck_assert_double_eq(env_call(&e, "add", &b), 1);
	ck_assert_double_eq(env_call(&e, "add", &c), 2);
	ck_assert_double_eq(env_call(&e, "sum", &c), 12);
	ck_assert_double_eq(env_call(&e, "min", &c), 3);
	ck_assert_double_eq(env_call(&e, "max", &c), 9);
	ck_assert_double_eq(env_call(&e, "before_count", &c), 1);
	ck_assert_double_eq(env_call(&e, "before_sum", &c), 5);
	/* a late one counts in its own period, the one before */
	ck_assert_double_eq(env_call(&e, "add", &a), 2);
	ck_assert_double_eq(env_call(&e, "before_sum", &c), 10);
	/* asked from the next day without adding */
	ck_assert_double_eq(env_call(&e, "count", &next), 0);
	ck_assert_double_eq(env_call(&e, "before_count", &next), 2);
	ck_assert_double_eq(env_call(&e, "before_sum", &later), 0);
	ck_assert_double_eq(env_call(&e, "add", &later), 1);
	ck_assert_double_eq(env_call(&e, "before_count", &later), 0);
	env_close(&e);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("window_session");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, a_pause_ends_a_session);
	tcase_add_test(tc, late_ones_stretch_a_session_or_are_left_out);
	tcase_add_test(tc, periods_follow_the_clock);
	return env_run(suite);
}
