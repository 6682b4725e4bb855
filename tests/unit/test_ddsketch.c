/* Quantiles against sorted arrays: the promised relative error, collapses, merging, halving. */
#include "support/detect_env.h"

#include "detect/ddsketch.h"

#define N 20000

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static struct cw_ddsketch *sketch_new(uint32_t bins, double error)
{
	struct cw_ddsketch *s = calloc(1, cw_ddsketch_size(bins));

	cw_ddsketch_init(NULL, s, bins, error);
	return s;
}

/* kind 0: uniform, 1: log-normal, 2: Pareto over 20 decades, 3: a quarter zeros, 4: few values, 5: rising. */
static double draw(int kind, int i, uint64_t *rng)
{
	switch (kind) {
	case 0: return 1 + env_uniform(rng) * 99;
	case 1: return exp(env_normal(rng) * 2);
	case 2: return pow(env_uniform(rng), -4);
	case 3: return env_below(rng, 4) == 0 ? 0 : exp(env_normal(rng));
	case 4: return (double)(1 + env_below(rng, 5)) * 1e18;
	default: return 1e-3 * i + 1;
	}
}

static const double qs[] = { 0, 0.001, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1 };

static void check_quantiles(const struct cw_ddsketch *s, const double *sorted, int n)
{
	double error = cw_ddsketch_error(s);

	for (size_t i = 0; i < sizeof(qs) / sizeof(qs[0]); i++) {
		double want = sorted[(int)(qs[i] * (n - 1))], got = cw_ddsketch_quantile(s, qs[i]);

		ck_assert_msg(fabs(got - want) <= error * want * (1 + 1e-9), "q %g: %g, not %g within %g", qs[i], got, want, error);
	}
}

START_TEST(quantiles_keep_the_relative_error)
{
	static double x[N];
	static const uint32_t bins[] = { 4096, 512, 64, 16 };

	for (int kind = 0; kind < 6; kind++)
		for (int b = 0; b < 4; b++) {
			struct cw_ddsketch *s = sketch_new(bins[b], 0.01);
			uint64_t rng = (uint64_t)kind + 1;

			for (int i = 0; i < N; i++) {
				x[i] = draw(kind, i, &rng);
				cw_ddsketch_add(NULL, s, x[i]);
			}
			if (b == 0)
				ck_assert_msg(s->level <= 1, "kind %d: level %u", kind, s->level);
			qsort(x, N, sizeof(x[0]), compare);
			check_quantiles(s, x, N);
			free(s);
		}
}
END_TEST

START_TEST(ranks_are_shares)
{
	struct cw_ddsketch *s = sketch_new(2048, 0.005);

	ck_assert(isnan(cw_ddsketch_rank(s, 1)));
	ck_assert(isnan(cw_ddsketch_quantile(s, 0.5)));
	for (int i = 1; i <= 10000; i++)
		cw_ddsketch_add(NULL, s, i);
	for (int i = 100; i <= 10000; i += 100)
		ck_assert_double_eq_tol(cw_ddsketch_rank(s, i), i / 1e4, 0.011 * i / 1e4 + 2e-4);
	ck_assert_double_eq(cw_ddsketch_rank(s, 1e9), 1);
	ck_assert_double_eq(cw_ddsketch_rank(s, INFINITY), 1);
	ck_assert_double_eq(cw_ddsketch_rank(s, 0), 0);
	ck_assert_double_eq(cw_ddsketch_rank(s, -5), 0);
	free(s);
}
END_TEST

START_TEST(merging_equals_one_sketch_over_both)
{
	for (uint64_t seed = 1; seed <= 40; seed++) {
		struct cw_ddsketch *a = sketch_new(64, 0.01), *b = sketch_new(64, 0.01), *both = sketch_new(64, 0.01);
		uint64_t rng = seed;
		double spread = (double)(seed % 7);

		for (int i = 0; i < 500; i++) {
			double x = exp(env_normal(&rng) * spread), y = env_below(&rng, 9) == 0 ? 0 : exp(env_normal(&rng) * 2 + 5);

			cw_ddsketch_add(NULL, a, x);
			cw_ddsketch_add(NULL, both, x);
			if (seed % 5 == 0)
				continue;   /* b stays empty */
			cw_ddsketch_add(NULL, b, y);
			cw_ddsketch_add(NULL, both, y);
		}
		cw_ddsketch_merge(NULL, a, b);
		ck_assert_uint_eq(a->count, both->count);
		ck_assert_uint_eq(a->zeros, both->zeros);
		ck_assert_uint_eq(a->level, both->level);
		ck_assert_int_eq(a->low, both->low);
		ck_assert_int_eq(a->high, both->high);
		for (int32_t i = a->low; i <= a->high; i++)
			ck_assert_uint_eq(a->n[i - a->first], both->n[i - both->first]);
		cw_ddsketch_merge(NULL, b, a);   /* and into one that was coarser or empty */
		ck_assert_uint_eq(b->count, a->count + (seed % 5 == 0 ? 0 : 500));
		free(a);
		free(b);
		free(both);
	}
}
END_TEST

START_TEST(mad_agrees_with_a_sorted_array)
{
	static double x[N], d[N];

	for (int kind = 0; kind < 5; kind++)
		for (int log_scale = 0; log_scale < 2; log_scale++) {
			struct cw_ddsketch *s = sketch_new(4096, 0.002);
			uint64_t rng = 50 + (uint64_t)kind;
			double median, want, got, mean = 0;

			for (int i = 0; i < N; i++) {
				x[i] = draw(kind, i, &rng);
				cw_ddsketch_add(NULL, s, x[i]);
			}
			qsort(x, N, sizeof(x[0]), compare);
			median = x[N / 2];
			for (int i = 0; i < N; i++) {
				d[i] = log_scale ? fabs(log(fmax(x[i], 1)) - log(fmax(median, 1))) : fabs(x[i] - median);
				mean += d[i] / N;
			}
			qsort(d, N, sizeof(d[0]), compare);
			want = d[N / 2];
			got = cw_ddsketch_mad(s, median, log_scale);
			ck_assert_msg(fabs(got - want) <= (log_scale ? 0.01 : 0.01 * (median + want)), "kind %d/%d: %g, not %g", kind,
			              log_scale, got, want);
			ck_assert_double_eq_tol(cw_ddsketch_mean_deviation(s, median, log_scale), mean,
			                        log_scale ? 0.01 : 0.01 * (median + mean));
			free(s);
		}
}
END_TEST

START_TEST(halving_keeps_the_shape)
{
	struct cw_ddsketch *s = sketch_new(256, 0.01);
	uint64_t rng = 3;

	for (int i = 0; i < 100000; i++)
		cw_ddsketch_add(NULL, s, exp(env_normal(&rng)));
	cw_ddsketch_halve(NULL, s);
	ck_assert_uint_le(s->count, 50000);
	ck_assert_uint_ge(s->count, 49800);
	ck_assert_double_eq_tol(cw_ddsketch_quantile(s, 0.5), 1, 0.05);
	for (int i = 0; i < 20; i++)
		cw_ddsketch_halve(NULL, s);
	ck_assert_uint_eq(s->count, 0);
	ck_assert(isnan(cw_ddsketch_quantile(s, 0.5)));
	cw_ddsketch_add(NULL, s, 1e9);
	ck_assert_double_eq_tol(cw_ddsketch_quantile(s, 0.5), 1e9, 2e7);
	free(s);
}
END_TEST

START_TEST(odd_numbers_are_harmless)
{
	struct cw_ddsketch *s = sketch_new(16, 0.01);

	cw_ddsketch_add(NULL, s, NAN);
	cw_ddsketch_add(NULL, s, INFINITY);
	cw_ddsketch_add(NULL, s, -INFINITY);
	ck_assert_uint_eq(s->count, 0);
	cw_ddsketch_add(NULL, s, -5);
	cw_ddsketch_add(NULL, s, 5e-324);
	ck_assert_uint_eq(s->zeros, 2);
	cw_ddsketch_add(NULL, s, 1.7e308);
	cw_ddsketch_add(NULL, s, 2.3e-308);
	ck_assert_uint_eq(s->count, 4);
	ck_assert(cw_ddsketch_quantile(s, 1) > 1);
	free(s);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("ddsketch");
	TCase *tc = tcase_create("all");

	tcase_set_timeout(tc, 30);
	suite_add_tcase(suite, tc);
	tcase_add_test(tc, quantiles_keep_the_relative_error);
	tcase_add_test(tc, ranks_are_shares);
	tcase_add_test(tc, merging_equals_one_sketch_over_both);
	tcase_add_test(tc, mad_agrees_with_a_sorted_array);
	tcase_add_test(tc, halving_keeps_the_shape);
	tcase_add_test(tc, odd_numbers_are_harmless);
	return env_run(suite);
}
