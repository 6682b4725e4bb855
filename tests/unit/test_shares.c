/* Histogram, Benford, entropy, running quantile, baselines by the clock. */
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

START_TEST(histogram_counts_its_bins)
{
	struct env_handle e = env_open(st, "stat.histogram", "key=from;lo=0;hi=100;bins=10;warm=1");
	struct cw_tx tx = env_tx(1, 2, 1000, 0);

	ck_assert(isnan(env_call1(&e, "add", &tx, 55)));
	for (int i = 0; i < 98; i++)
		env_call1(&e, "add", &tx, 50 + i % 10);
	env_call1(&e, "add", &tx, -1);
	ck_assert_double_eq(env_call1(&e, "share", &tx, 50), 0.99);
	ck_assert_double_eq(env_call1(&e, "share", &tx, 59.999), 0.99);
	ck_assert_double_eq(env_call1(&e, "share", &tx, 60), 0);
	ck_assert_double_eq(env_call1(&e, "share", &tx, -1e9), 0.01);
	ck_assert_double_eq(env_call1(&e, "share", &tx, 100), 0);
	/* 12 classes, 100 known */
	ck_assert_double_eq_tol(env_call1(&e, "surprise", &tx, 55), -log2(99.5 / 106), 1e-12);
	ck_assert_double_eq_tol(env_call1(&e, "add", &tx, 1e9), -log2(0.5 / 106), 1e-12);
	ck_assert_double_eq(env_call(&e, "count", &tx), 101);
	env_close(&e);
}
END_TEST

START_TEST(histogram_on_a_log_scale)
{
	struct env_handle e = env_open(st, "stat.histogram", "lo=1;hi=1000;bins=3;scale=log;warm=1");
	struct cw_tx tx = env_tx(1, 2, 1000, 0);

	env_call1(&e, "add", &tx, 2);
	env_call1(&e, "add", &tx, 50);
	env_call1(&e, "add", &tx, 51);
	env_call1(&e, "add", &tx, 0);
	ck_assert_double_eq(env_call1(&e, "share", &tx, 9), 0.25);
	ck_assert_double_eq(env_call1(&e, "share", &tx, 99), 0.5);
	ck_assert_double_eq(env_call1(&e, "share", &tx, 101), 0);
	ck_assert_double_eq(env_call1(&e, "share", &tx, -5), 0.25);
	env_close(&e);
}
END_TEST

static void refused(const char *name, char *options, const char *message)
{
	const struct cw_primitive *p = cw_primitive_find("stat", name);
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct cw_state_root root = { .name = "r/s" };
	struct cw_err err = { 0 };

	ck_assert_msg(env_read(p, options, vals, &err) == 0, "%s", err.msg);
	ck_assert_ptr_null(p->open(st, &root, vals, &err));
	ck_assert_str_eq(err.msg, message);
}

START_TEST(nonsense_is_refused)
{
	char a[] = "lo=5;hi=5", b[] = "lo=0;hi=5;scale=log", c[] = "lo=0;hi=5;scale=loglog";
	char d[] = "clock=moon", f[] = "bins=2";

	refused("histogram", a, "stat.histogram: option \"lo\" must be below \"hi\"");
	refused("histogram", b, "stat.histogram: option \"lo\" must be below \"hi\" and above 0");
	refused("histogram", c, "stat.histogram: option \"scale\" must be \"log\" or \"linear\", not \"loglog\"");
	refused("activity", d, "stat.activity: option \"clock\" must be \"hour of day\", \"day of week\" or \"hour of week\", "
	                       "not \"moon\"");
	refused("quantile", f, "stat.quantile: option \"bins\" must be 0 or at least 16");
}
END_TEST

START_TEST(benford_knows_powers_from_made_up_numbers)
{
	struct env_handle e = env_open(st, "stat.benford", "key=from;of=value");
	uint64_t rng = 1;
	struct cw_tx tx;

	for (int i = 0; i < 5000; i++) {
		tx = env_tx(1, 2, 1000, (uint64_t)exp(env_uniform(&rng) * 41.4 + 2.3));   /* over 18 decades */
		env_call(&e, "add", &tx);
		tx = env_tx(2, 2, 1000, 1 + env_below(&rng, 999999));                    /* uniform digits */
		env_call(&e, "add", &tx);
	}
	ck_assert_double_ge(env_call(&e, "deviation", &tx), 0.04);
	ck_assert_double_ge(env_call(&e, "chi2", &tx), 1000);
	tx = env_tx(1, 2, 1000, 1);
	ck_assert_double_le(env_call(&e, "deviation", &tx), 0.008);
	ck_assert_double_le(env_call(&e, "chi2", &tx), 26.1);   /* 0.1 % */
	ck_assert_double_eq_tol(env_call(&e, "share", &tx), log10(2), 0.02);
	tx.value = cw_u256_from_u64(0);
	ck_assert(isnan(env_call(&e, "add", &tx)));   /* zero has no digit */
	env_close(&e);
}
END_TEST

START_TEST(digits_of_large_and_small_numbers)
{
	static const struct { double x; int digit; } cases[] = {
		{ 1, 1 }, { 9.99, 9 }, { 10, 1 }, { 1e16, 1 }, { 9e15, 9 }, { 2e77, 2 }, { 0.05, 5 }, { 1e-5, 1 }, { 3e18, 3 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct env_handle e = env_open(st, "stat.benford", "key=from");
		struct cw_tx tx = env_tx(i + 1, 2, 1000, 0);

		env_call1(&e, "add", &tx, cases[i].x);
		ck_assert_msg(env_call1(&e, "share", &tx, cases[i].digit) == 1, "%g", cases[i].x);
		env_close(&e);
	}
}
END_TEST

START_TEST(entropy_agrees_with_its_definition)
{
	struct env_handle e = env_open(st, "stat.entropy", "key=from;of=to;cells=4096;warm=1");
	int n[5] = { 0 };
	uint64_t rng = 2;
	double want = 0;
	struct cw_tx tx;

	for (int i = 0; i < 2000; i++) {
		uint64_t to = env_below(&rng, 5) * env_below(&rng, 2);

		tx = env_tx(1, 100 + to, 1000, 0);
		env_call(&e, "add", &tx);
		n[to]++;
	}
	for (int i = 0; i < 5; i++)
		want -= n[i] / 2000.0 * log2(n[i] / 2000.0);
	ck_assert_double_eq_tol(env_call(&e, "bits", &tx), want, 1e-9);
	tx = env_tx(1, 100, 1000, 0);
	ck_assert_double_eq(env_call(&e, "share", &tx), n[0] / 2000.0);
	tx = env_tx(1, 999, 1000, 0);
	ck_assert_double_gt(env_call(&e, "surprise", &tx), 10);
	tx = env_tx(7, 999, 1000, 0);
	ck_assert(isnan(env_call(&e, "bits", &tx)));
	env_call(&e, "add", &tx);
	ck_assert_double_eq(env_call(&e, "bits", &tx), 0);
	env_close(&e);
}
END_TEST

START_TEST(memory_halves)
{
	struct env_handle e = env_open(st, "stat.entropy", "key=from;of=to;memory=1000");
	struct cw_tx tx;

	for (uint64_t i = 0; i < 5000; i++) {
		tx = env_tx(1, 100 + i % 2, 1000, 0);
		env_call(&e, "add", &tx);
		ck_assert_double_le(env_call(&e, "count", &tx), 1000);
	}
	ck_assert_double_eq_tol(env_call(&e, "bits", &tx), 1, 1e-5);
	env_close(&e);
}
END_TEST

START_TEST(quantile_is_a_limit)
{
	struct env_handle e = env_open(st, "stat.quantile", "q=0.9;warm=50;error=0.005");
	struct cw_tx tx = env_tx(1, 2, 1000, 0);
	uint64_t rng = 3;
	int above = 0;

	for (int i = 0; i < 20000; i++) {
		double x = 1 + env_uniform(&rng) * 999;

		if (i < 50)
			ck_assert(isnan(env_call(&e, "get", &tx)));
		above += env_call1(&e, "add", &tx, x) == 1;
	}
	ck_assert_double_eq_tol(env_call(&e, "get", &tx), 900, 12);
	ck_assert_double_eq_tol(env_call1(&e, "get", &tx, 0.5), 500, 12);
	ck_assert_double_eq_tol(env_call1(&e, "rank", &tx, 250), 0.25, 0.01);
	ck_assert_int_ge(above, 1800);
	ck_assert_int_le(above, 2200);
	ck_assert_double_eq(env_call1(&e, "above", &tx, 950), 1);
	ck_assert_double_eq(env_call1(&e, "above", &tx, 850), 0);
	ck_assert_double_eq(env_call(&e, "count", &tx), 20000);
	env_close(&e);
}
END_TEST

START_TEST(season_has_a_baseline_for_each_hour)
{
	struct env_handle e = env_open(st, "stat.season", "key=from;of=value;alpha=0.001;warm=10");
	int64_t midnight = 86400 * 19000;
	uint64_t rng = 4;
	struct cw_tx tx;

	for (int day = 0; day < 30; day++)
		for (int hour = 0; hour < 24; hour++)
			for (int i = 0; i < 4; i++) {
				tx = env_tx(1, 2, midnight + day * 86400 + hour * 3600 + i, 1000 + (uint64_t)hour * 1000 + env_below(&rng, 101));
				env_call(&e, "add", &tx);
			}
	tx = env_tx(1, 2, midnight + 31 * 86400 + 5 * 3600, 6050);
	ck_assert_double_le(fabs(env_call(&e, "score", &tx)), 0.5);
	ck_assert_double_eq_tol(env_call(&e, "mean", &tx), 6050, 12);
	ck_assert_double_eq_tol(env_call(&e, "sd", &tx), 29, 6);
	tx.timestamp += 3600;   /* the same number an hour later is far too small */
	ck_assert_double_le(env_call(&e, "score", &tx), -20);
	tx.timestamp += 18 * 3600 + 7 * 86400;
	ck_assert_double_ge(env_call(&e, "add", &tx), 50);
	env_close(&e);
}
END_TEST

START_TEST(activity_compares_hours_with_hours)
{
	struct env_handle e = env_open(st, "stat.activity", "key=to");
	int64_t midnight = 86400 * 19000;
	struct cw_tx tx;
	double z = NAN;

	for (int day = 0; day < 20; day++) {
		for (int i = 0; i < 10; i++) {   /* ten in the first hour of each day, none later */
			tx = env_tx(1, 2, midnight + day * 86400 + i * 300, 0);
			z = env_call(&e, "add", &tx);
		}
		if (day < 5)
			ck_assert(isnan(z));
	}
	ck_assert_double_le(fabs(z), 0.01);
	ck_assert_double_eq_tol(env_call(&e, "mean", &tx), 10, 1e-9);
	for (int i = 0; i < 40; i++) {       /* fifty in one hour */
		tx.timestamp = midnight + 19 * 86400 + 3000 + i;
		z = env_call(&e, "add", &tx);
	}
	ck_assert_double_eq(env_call(&e, "count", &tx), 50);
	ck_assert_double_eq_tol(z, 40 / sqrt(10), 1e-6);
	tx.timestamp = midnight + 20 * 86400 + 5 * 3600;   /* an hour that was always empty */
	ck_assert_double_eq(env_call(&e, "count", &tx), 0);
	ck_assert_double_eq(env_call(&e, "add", &tx), 1);
	ck_assert_double_eq(env_call(&e, "mean", &tx), 0);
	env_close(&e);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("shares");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, histogram_counts_its_bins);
	tcase_add_test(tc, histogram_on_a_log_scale);
	tcase_add_test(tc, nonsense_is_refused);
	tcase_add_test(tc, benford_knows_powers_from_made_up_numbers);
	tcase_add_test(tc, digits_of_large_and_small_numbers);
	tcase_add_test(tc, entropy_agrees_with_its_definition);
	tcase_add_test(tc, memory_halves);
	tcase_add_test(tc, quantile_is_a_limit);
	tcase_add_test(tc, season_has_a_baseline_for_each_hour);
	tcase_add_test(tc, activity_compares_hours_with_hours);
	return env_run(suite);
}
