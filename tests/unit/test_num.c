/* Logarithm and exponential against the C library, the cubic against its promises. */
#include "support/detect_env.h"

#include "detect/num.h"

static double ulps(double got, double want)
{
	return fabs(got - want) / (nextafter(fabs(want), INFINITY) - fabs(want));
}

START_TEST(ln_is_within_two_units)
{
	uint64_t rng = 1;
	double worst = 0;

	for (int i = 0; i < 200000; i++) {
		double x = i % 2 == 0 ? exp(env_uniform(&rng) * 1400 - 700) : 0.5 + env_uniform(&rng) * 1.5;
		double u = ulps(cw_ln(x), log(x));

		worst = fmax(worst, u);
	}
	ck_assert_msg(worst <= 2, "%g units", worst);
	ck_assert_double_eq(cw_ln(1), 0);
	ck_assert(isinf(cw_ln(0)) && cw_ln(0) < 0);
	ck_assert(isinf(cw_ln(-1)) && cw_ln(-1) < 0);
	ck_assert(isinf(cw_ln(INFINITY)));
	ck_assert(isnan(cw_ln(NAN)));
	ck_assert_double_eq_tol(cw_ln(5e-324), log(5e-324), 1e-12);
}
END_TEST

START_TEST(exp_is_within_two_units)
{
	uint64_t rng = 2;
	double worst = 0;

	for (int i = 0; i < 200000; i++) {
		double x = i % 2 == 0 ? env_uniform(&rng) * 1400 - 700 : env_uniform(&rng) * 2 - 1;

		worst = fmax(worst, ulps(cw_exp(x), exp(x)));
	}
	ck_assert_msg(worst <= 2, "%g units", worst);
	ck_assert_double_eq(cw_exp(0), 1);
	ck_assert_double_eq(cw_exp(-1000), 0);
	ck_assert(isinf(cw_exp(1000)));
	ck_assert(isnan(cw_exp(NAN)));
}
END_TEST

START_TEST(cubic_rises_and_keeps_its_slope)
{
	double last = -INFINITY, furthest = 0, steepest = 0, inverse = 0;
	int falls = 0;

	for (int i = 0; i < 100000; i++) {
		double x = exp(i * 0.0008 - 40), next = x * 1.0001;
		double y = cw_log2_cubic(x), step = cw_log2_cubic(next) - y;

		falls += y <= last;
		last = y;
		furthest = fmax(furthest, fabs(y - log2(x)));
		steepest = fmax(steepest, log(next / x) / step);
		inverse = fmax(inverse, fabs(cw_log2_cubic_inverse(y) / x - 1));
	}
	ck_assert_int_eq(falls, 0);
	ck_assert_double_le(furthest, 0.0102);
	ck_assert_double_le(steepest, CW_LOG2_CUBIC_STEP * (1 + 2e-4));
	ck_assert_double_le(inverse, 1e-14);
}
END_TEST

START_TEST(pow_agrees)
{
	ck_assert_double_eq_tol(cw_pow(2, 10), 1024, 1e-9);
	ck_assert_double_eq_tol(cw_pow(10, -3), 0.001, 1e-15);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("num");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, ln_is_within_two_units);
	tcase_add_test(tc, exp_is_within_two_units);
	tcase_add_test(tc, cubic_rises_and_keeps_its_slope);
	tcase_add_test(tc, pow_agrees);
	return env_run(suite);
}
