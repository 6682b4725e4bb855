/* stat.welford, stat.ewma, stat.robust and key.first_seen against sums over the whole past. */
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

START_TEST(welford_agrees_with_two_passes)
{
	struct env_handle e = env_open(st, "stat.welford", "key=from;warm=2");
	static double x[1000];
	uint64_t rng = 1;

	for (int i = 0; i < 1000; i++) {
		struct cw_tx tx = env_tx(1, 2, 1000 + i, 0);
		double mean = 0, var = 0, z;

		x[i] = 1e9 + env_normal(&rng) * 3;   /* where naive sums of squares lose all digits */
		z = env_call1(&e, "add", &tx, x[i]);
		for (int j = 0; j < i; j++)
			mean += x[j] / i;
		for (int j = 0; j < i; j++)
			var += (x[j] - mean) * (x[j] - mean) / (i - 1);
		if (i < 2)
			ck_assert(isnan(z));
		else
			ck_assert_double_eq_tol(z, (x[i] - mean) / sqrt(var), 1e-4);
		ck_assert_double_eq(env_call(&e, "count", &tx), i + 1);
	}
	env_close(&e);
}
END_TEST

START_TEST(score_takes_nothing)
{
	struct env_handle e = env_open(st, "stat.welford", "key=from;of=value;warm=2");
	struct cw_tx tx = env_tx(1, 2, 1000, 10);

	env_call1(&e, "add", &tx, 8);
	env_call1(&e, "add", &tx, 12);
	ck_assert_double_eq(env_call(&e, "score", &tx), 0);
	ck_assert_double_eq_tol(env_call1(&e, "score", &tx, 14), 4 / sqrt(8), 1e-12);
	ck_assert_double_eq(env_call(&e, "count", &tx), 2);
	ck_assert_double_eq(env_call(&e, "mean", &tx), 10);
	ck_assert(isnan(env_call1(&e, "add", &tx, INFINITY)));
	ck_assert_double_eq(env_call(&e, "count", &tx), 2);
	env_close(&e);
}
END_TEST

START_TEST(ewma_agrees_with_weighted_sums)
{
	struct env_handle e = env_open(st, "stat.ewma", "key=from;warm=2;alpha=0.05");
	static double x[600];
	uint64_t rng = 2;
	int n = 600;
	struct cw_tx tx = env_tx(1, 2, 1000, 0);
	double weight[600], mean = 0, var = 0;

	for (int i = 0; i < n; i++) {
		x[i] = env_normal(&rng) * 2 + 5;
		env_call1(&e, "add", &tx, x[i]);
	}
	/* each new number gets alpha (or 1/i at first), all others shrink by the rest */
	for (int i = 0; i < n; i++) {
		double a = fmax(0.05, 1.0 / (i + 1));

		for (int j = 0; j < i; j++)
			weight[j] *= 1 - a;
		weight[i] = a;
	}
	for (int i = 0; i < n; i++)
		mean += weight[i] * x[i];
	for (int i = 0; i < n; i++)
		var += weight[i] * (x[i] - mean) * (x[i] - mean);
	ck_assert_double_eq_tol(env_call(&e, "mean", &tx), mean, 1e-10);
	ck_assert_double_eq_tol(env_call(&e, "sd", &tx), sqrt(var), 1e-10);
	env_close(&e);
}
END_TEST

START_TEST(ewma_fades_with_time)
{
	struct env_handle e = env_open(st, "stat.ewma", "key=from;warm=2;half_life=100s");
	struct { double x; int64_t t; } in[300];
	int64_t time = 5000;
	uint64_t rng = 3;
	double sum = 0, mean = 0, var = 0;
	struct cw_tx tx;

	for (int i = 0; i < 300; i++) {
		in[i].x = env_normal(&rng);
		in[i].t = time += (int64_t)env_below(&rng, 20);
		tx = env_tx(1, 2, time, 0);
		env_call1(&e, "add", &tx, in[i].x);
	}
	for (int i = 0; i < 300; i++)
		sum += pow(0.5, (double)(time - in[i].t) / 100);
	for (int i = 0; i < 300; i++)
		mean += pow(0.5, (double)(time - in[i].t) / 100) * in[i].x / sum;
	for (int i = 0; i < 300; i++)
		var += pow(0.5, (double)(time - in[i].t) / 100) * (in[i].x - mean) * (in[i].x - mean) / sum;
	ck_assert_double_eq_tol(env_call(&e, "mean", &tx), mean, 1e-10);
	ck_assert_double_eq_tol(env_call(&e, "sd", &tx), sqrt(var), 1e-10);
	env_close(&e);
}
END_TEST

START_TEST(constant_past_is_cut_not_infinite)
{
	struct env_handle e = env_open(st, "stat.ewma", "key=from;warm=2");
	struct cw_tx tx = env_tx(1, 2, 1000, 0);

	for (int i = 0; i < 50; i++)
		env_call1(&e, "add", &tx, 7);
	ck_assert_double_eq(env_call1(&e, "score", &tx, 7), 0);
	ck_assert_double_eq(env_call1(&e, "score", &tx, 8), 1e6);
	ck_assert_double_eq(env_call1(&e, "score", &tx, 6), -1e6);
	env_close(&e);
}
END_TEST

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Median and MAD of n numbers, on a log or a linear scale. */
static void robust_exact(const double *x, int n, bool log_scale, double *median, double *spread)
{
	static double y[5000];

	for (int i = 0; i < n; i++)
		y[i] = log_scale ? log(fmax(x[i], 1)) : x[i];
	qsort(y, (size_t)n, sizeof(y[0]), compare);
	*median = y[(n - 1) / 2];
	for (int i = 0; i < n; i++)
		y[i] = fabs((log_scale ? log(fmax(x[i], 1)) : x[i]) - *median);
	qsort(y, (size_t)n, sizeof(y[0]), compare);
	*spread = 1.4826 * y[n / 2];
}

static void check_robust(const char *options, bool log_scale, double tolerance)
{
	struct env_handle e = env_open(st, "stat.robust", options);
	static double x[5000];
	uint64_t rng = 4;
	double median, spread, z = NAN, probe = exp(46);
	struct cw_tx tx;

	for (int i = 0; i < 5000; i++) {
		x[i] = floor(exp(env_normal(&rng) * (log_scale ? 2 : 0.3) + 40));
		if (i % 11 == 0)
			x[i] *= 1e6;   /* wild ones, which must not matter */
		tx = env_tx(1, 2, 1000 + i, 0);
		z = env_call1(&e, "add", &tx, x[i]);
		ck_assert(isnan(z) == (i < 30));
	}
	robust_exact(x, 5000, log_scale, &median, &spread);
	z = (log_scale ? log(probe) - median : probe - median) / spread;
	ck_assert_double_eq_tol(env_call1(&e, "score", &tx, probe) / z, 1, tolerance);
	ck_assert_double_eq_tol(env_call(&e, "median", &tx) / (log_scale ? exp(median) : median), 1, tolerance);
	ck_assert_double_eq_tol(env_call(&e, "spread", &tx) / spread, 1, tolerance);
	env_close(&e);
}

START_TEST(robust_agrees_with_sorting)
{
	check_robust("memory=100000;error=0.002", true, 0.05);
	check_robust("memory=100000;error=0.002;scale=linear", false, 0.06);
	check_robust("key=from;memory=100000;bins=256", true, 0.12);
}
END_TEST

START_TEST(robust_forgets)
{
	struct env_handle e = env_open(st, "stat.robust", "key=from;memory=1000");
	struct cw_tx tx = env_tx(1, 2, 1000, 0);
	uint64_t rng = 5;

	for (int i = 0; i < 3000; i++)
		env_call1(&e, "add", &tx, exp(env_normal(&rng) + 10));
	ck_assert_double_gt(env_call1(&e, "score", &tx, exp(20)), 5);
	for (int i = 0; i < 6000; i++)
		env_call1(&e, "add", &tx, exp(env_normal(&rng) + 20));
	ck_assert_double_le(fabs(env_call1(&e, "score", &tx, exp(20))), 0.5);
	ck_assert_double_le(env_call(&e, "count", &tx), 1000);
	env_close(&e);
}
END_TEST

START_TEST(robust_with_one_value_for_most)
{
	struct env_handle e = env_open(st, "stat.robust", "key=from");
	struct env_handle floored = env_open(st, "stat.robust", "key=from;min_spread=1");
	struct cw_tx tx = env_tx(1, 2, 1000, 0);

	for (int i = 0; i < 300; i++) {
		env_call1(&e, "add", &tx, i % 10 == 0 ? 2e18 : 1e18);
		env_call1(&floored, "add", &tx, 1e18);
	}
	/* MAD is 0; the mean deviation is ln 2 / 10 */
	ck_assert_double_eq_tol(env_call(&e, "spread", &tx), 1.2533 * log(2) / 10, 0.01);
	ck_assert_double_eq_tol(env_call1(&floored, "score", &tx, exp(3) * 1e18), 3, 0.05);
	env_close(&e);
	env_close(&floored);
}
END_TEST

START_TEST(robust_leaves_small_numbers_out)
{
	struct env_handle e = env_open(st, "stat.robust", "of=value;min=1");
	struct cw_tx tx = env_tx(1, 2, 1000, 0), paid = env_tx(1, 2, 1000, 5);

	for (int i = 0; i < 100; i++) {
		ck_assert(isnan(env_call(&e, "add", &tx)));
		env_call(&e, "add", &paid);
	}
	ck_assert_double_eq(env_call(&e, "count", &tx), 100);
	ck_assert_double_eq_tol(env_call(&e, "median", &tx), 5, 0.06);
	env_close(&e);
}
END_TEST

START_TEST(robust_refuses_nonsense)
{
	const struct cw_primitive *p = cw_primitive_find("stat", "robust");
	union cw_opt_value vals[CW_PRIMITIVE_OPTS_MAX];
	struct cw_state_root root = { .name = "r/s" };
	struct cw_err err = { 0 };
	char a[] = "scale=cubic", b[] = "bins=3";

	ck_assert_int_eq(env_read(p, a, vals, &err), 0);
	ck_assert_ptr_null(p->open(st, &root, vals, &err));
	ck_assert_str_eq(err.msg, "stat.robust: option \"scale\" must be \"log\" or \"linear\", not \"cubic\"");
	ck_assert_int_eq(env_read(p, b, vals, &err), 0);
	ck_assert_ptr_null(p->open(st, &root, vals, &err));
	ck_assert_str_eq(err.msg, "stat.robust: option \"bins\" must be 0 or at least 16");
}
END_TEST

START_TEST(first_seen_tells_age_and_idleness)
{
	struct env_handle e = env_open(st, "key.first_seen", "key=from");
	struct cw_tx a = env_tx(1, 2, 1000, 0), b = env_tx(1, 2, 1500, 0), c = env_tx(2, 1, 2000, 0);
	struct cw_tx late = env_tx(1, 2, 900, 0);

	ck_assert_double_eq(env_call(&e, "is_new", &a), 1);
	ck_assert(isnan(env_call(&e, "age", &a)));
	ck_assert(isnan(env_call(&e, "idle", &a)));
	ck_assert_double_eq(env_call(&e, "add", &a), 1);
	ck_assert_double_eq(env_call(&e, "is_new", &a), 0);
	ck_assert_double_eq(env_call(&e, "idle", &b), 500);
	ck_assert_double_eq(env_call(&e, "add", &b), 0);
	ck_assert_double_eq(env_call1(&e, "age", &c, CW_FIELD_TO), 1000);
	ck_assert_double_eq(env_call1(&e, "idle", &c, CW_FIELD_TO), 500);
	ck_assert_double_eq(env_call(&e, "is_new", &c), 1);
	ck_assert_double_eq(env_call(&e, "count", &b), 2);
	env_call(&e, "add", &late);
	ck_assert_double_eq(env_call(&e, "age", &b), 600);
	ck_assert_double_eq(env_call(&e, "idle", &a), 0);   /* seen later than this: not idle */
	env_close(&e);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("moments");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, welford_agrees_with_two_passes);
	tcase_add_test(tc, score_takes_nothing);
	tcase_add_test(tc, ewma_agrees_with_weighted_sums);
	tcase_add_test(tc, ewma_fades_with_time);
	tcase_add_test(tc, constant_past_is_cut_not_infinite);
	tcase_add_test(tc, robust_agrees_with_sorting);
	tcase_add_test(tc, robust_forgets);
	tcase_add_test(tc, robust_with_one_value_for_most);
	tcase_add_test(tc, robust_leaves_small_numbers_out);
	tcase_add_test(tc, robust_refuses_nonsense);
	tcase_add_test(tc, first_seen_tells_age_and_idleness);
	return env_run(suite);
}
