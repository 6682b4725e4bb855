/* Two-sample statistics against SciPy's results on shared data, against permutations, and on cases done by hand. */
#include "support/detect_env.h"

#include "detect/twosample.h"

#define PAIRS 6

static struct {
	const char *name;
	double ks, p_exact, p_large, psi, wasserstein;
} expected[PAIRS] = {
	{ "same", 0.032, 0.6854967337920594, 0.6729558276468233, 0.007958057491163049, 0.04247616759945748 },
	{ "shift_0.1", 0.05400000000000002, 0.1082872208757189, 0.10439107607489606,
	  0.026163805566242083, 0.0824443771544281 },
	{ "shift_0.5", 0.22324999999999995, 6.980605269054994e-20, 6.387896926347477e-20,
	  0.2865696847383957, 0.5410562506556533 },
	{ "scale_1.5", 0.12, 0.001478117952199697, 0.0013550102442608863, 0.1414777991047314, 0.35651824106052454 },
	{ "heavy_tail", 0.098, 0.00013349301651925088, 0.00012431634685645978, 0.3125867432458421, 0.7356084932353213 },
	{ "ties", 0.24833333333333335, 9.347772213115558e-10, 8.924714102912831e-10, 0.324207611507682, 1.0541666666666667 },
};

START_TEST(agrees_with_scipy)
{
	static double x[PAIRS][2][1000];
	size_t n[PAIRS][2] = { { 0 } };
	FILE *f = env_data("drift/two_sample.csv");
	char line[160], name[32], sample[8];

	if (f == NULL)
		return;
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), f));
	while (fgets(line, sizeof(line), f) != NULL) {
		int pair = 0, side;

		ck_assert_int_eq(sscanf(line, "%31[^,],%7[^,],", name, sample), 2);
		while (strcmp(expected[pair].name, name) != 0)
			ck_assert_int_lt(++pair, PAIRS);
		side = strcmp(sample, "cur") == 0;
		x[pair][side][n[pair][side]++] = strtod(strrchr(line, ',') + 1, NULL);
	}
	fclose(f);
	for (int i = 0; i < PAIRS; i++) {
		struct cw_two_sample got;

		cw_two_sample(x[i][0], n[i][0], x[i][1], n[i][1], &got);
		ck_assert_double_eq_tol(got.ks, expected[i].ks, 1e-12);
		ck_assert_double_eq_tol(got.ks_p, expected[i].p_exact, 1e-6);
		ck_assert_double_eq_tol(got.ks_p / expected[i].p_exact, 1, 1e-9);
		ck_assert_double_eq_tol(cw_ks_p_large(n[i][0], n[i][1], got.ks), expected[i].p_large, 1e-6);
		ck_assert_double_eq_tol(got.psi, expected[i].psi, 1e-9);
		ck_assert_double_eq_tol(got.wasserstein, expected[i].wasserstein, 1e-9);
	}
}
END_TEST

START_TEST(small_cases_by_hand)
{
	const double a[] = { 1, 2, 3 }, b[] = { 2, 3, 4, 5 }, same[] = { 1, 1, 1 };

	ck_assert_double_eq_tol(cw_ks_statistic(a, 3, b, 4), 0.5, 1e-15);
	ck_assert_double_eq_tol(cw_wasserstein(a, 3, b, 4), 1.5, 1e-15);
	ck_assert_double_eq(cw_ks_statistic(same, 3, same, 3), 0);
	ck_assert_double_eq(cw_wasserstein(same, 3, same, 3), 0);
	ck_assert_double_eq(cw_psi(a, 3, a, 3, 10, 1e-6), 0);
	/* two against two: the six orders are alike likely; D = 1 in two of them, D >= 1/2 always */
	ck_assert_double_eq_tol(cw_ks_p_exact(2, 2, 1), 2.0 / 6, 1e-15);
	ck_assert_double_eq_tol(cw_ks_p_exact(2, 2, 0.5), 1, 1e-15);
	ck_assert_double_eq(cw_ks_p_exact(5, 7, 0), 1);
	ck_assert_double_eq(cw_ks_p_exact(5, 7, 1.1), 0);
	/* one number against many: D >= d in the outer places */
	ck_assert_double_eq_tol(cw_ks_p_exact(1, 9, 1), 2.0 / 10, 1e-15);
}
END_TEST

/* Every way to deal 5 + 6 numbers, counted. */
START_TEST(exact_p_counts_all_orders)
{
	int hits[64] = { 0 }, total = 0;
	const int n = 5, m = 6;

	for (unsigned mask = 0; mask < 1u << (n + m); mask++) {
		double a[5], b[6];
		int na = 0, nb = 0, at;

		if (__builtin_popcount(mask) != n)
			continue;
		for (int i = 0; i < n + m; i++)
			if (mask >> i & 1)
				a[na++] = i;
			else
				b[nb++] = i;
		at = (int)lround(cw_ks_statistic(a, 5, b, 6) * n * m);
		for (int k = 0; k <= at; k++)
			hits[k]++;
		total++;
	}
	for (int k = 1; k <= n * m; k++)
		ck_assert_double_eq_tol(cw_ks_p_exact(5, 6, k / 30.0), (double)hits[k] / total, 1e-12);
}
END_TEST

START_TEST(both_p_values_meet_for_large_samples)
{
	for (double d = 0.01; d < 0.09; d += 0.01)
		ck_assert_double_eq_tol(cw_ks_p_exact(3000, 2999, d), cw_ks_p_large(3000, 2999, d), 0.008);
	ck_assert_double_eq(cw_ks_p_large(100000, 100000, 1e-9), 1);
	ck_assert_double_le(cw_ks_p_large(100000, 100000, 0.5), 1e-100);
}
END_TEST

START_TEST(psi_grows_with_the_shift)
{
	static double a[2000], b[2000];
	uint64_t rng = 9;
	double last = 0;

	for (int shift = 0; shift < 5; shift++) {
		double psi;

		for (int i = 0; i < 2000; i++) {
			a[i] = env_normal(&rng);
			b[i] = env_normal(&rng) + shift * 0.3;
		}
		cw_sort_doubles(a, 2000);
		cw_sort_doubles(b, 2000);
		psi = cw_psi(a, 2000, b, 2000, 10, 1e-6);
		ck_assert_double_gt(psi, last);
		last = psi;
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("twosample");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, agrees_with_scipy);
	tcase_add_test(tc, small_cases_by_hand);
	tcase_add_test(tc, exact_p_counts_all_orders);
	tcase_add_test(tc, both_p_values_meet_for_large_samples);
	tcase_add_test(tc, psi_grows_with_the_shift);
	return env_run(suite);
}
