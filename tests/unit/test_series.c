/* The series detector: finds level, spread, season and shape, keeps silent after an alert, does not care about scale. */
#include "support/detect_env.h"

#include <zlib.h>

#include "detect/series.h"

static struct cw_series *s;

static void up(void)
{
	s = calloc(1, sizeof(*s));
}

static void down(void)
{
	free(s);
}

/* A day's rhythm with noise, a row every five minutes. */
static double usual(uint64_t *rng, int i)
{
	return 100 + 20 * sin(i * 2 * M_PI / 288) + env_normal(rng);
}

static int alerts(int from, int to, double (*value)(uint64_t *, int), double factor, double offset)
{
	uint64_t rng = 77;
	int n = 0;

	memset(s, 0, sizeof(*s));
	for (int i = 0; i < to; i++) {
		double score = cw_series_add(NULL, s, 1700000000 + i * 300, value(&rng, i) * factor + offset);

		ck_assert(score >= 0 && score <= 1);
		n += i >= from && score >= 0.5;
	}
	return n;
}

static double spike(uint64_t *rng, int i) { return usual(rng, i) + (i == 2500 ? 200 : 0); }
static double drop_at_peak(uint64_t *rng, int i) { return i >= 2310 && i < 2450 ? 100 + env_normal(rng) : usual(rng, i); }
static double noisy(uint64_t *rng, int i) { double x = usual(rng, i); return i >= 2500 ? x + 12 * env_normal(rng) : x; }
static double constant(uint64_t *rng, int i) { (void)rng; (void)i; return 5; }
static double stepped(uint64_t *rng, int i) { (void)rng; return i < 2500 ? 5 : 6; }

START_TEST(quiet_on_the_usual)
{
	ck_assert_int_le(alerts(600, 4000, usual, 1, 0), 4);
	ck_assert_int_eq(alerts(0, 4000, constant, 1, 0), 0);
}
END_TEST

START_TEST(finds_a_spike)
{
	ck_assert_int_eq(alerts(2500, 2501, spike, 1, 0), 1);
	/* it is a record, and makes the last hours vary more than ever */
	ck_assert(cw_series_reason(s) == CW_SERIES_VALUE || cw_series_reason(s) == CW_SERIES_SPREAD);
	ck_assert_double_gt(s->memory[CW_SERIES_VALUE], 1);
	ck_assert_str_eq(cw_series_witness_name(CW_SERIES_VALUE), "value");
	ck_assert_str_eq(cw_series_witness_name(CW_SERIES_WITNESSES), "");
}
END_TEST

START_TEST(finds_a_missing_peak)
{
	ck_assert_int_ge(alerts(2310, 2500, drop_at_peak, 1, 0), 1);
}
END_TEST

START_TEST(finds_unrest)
{
	ck_assert_int_ge(alerts(2500, 2600, noisy, 1, 0), 1);
}
END_TEST

START_TEST(finds_the_first_change_of_a_constant)
{
	ck_assert_int_ge(alerts(2500, 2520, stepped, 1, 0), 1);
}
END_TEST

START_TEST(scale_and_offset_do_not_matter)
{
	uint64_t rng = 1;
	static double plain[3000];

	for (int i = 0; i < 3000; i++)
		plain[i] = cw_series_add(NULL, s, i * 300, rint(spike(&rng, i) * 64));
	rng = 1;
	memset(s, 0, sizeof(*s));
	for (int i = 0; i < 3000; i++)
		ck_assert_double_eq_tol(plain[i], cw_series_add(NULL, s, i * 300, rint(spike(&rng, i) * 64) * 1024 + 65536), 1e-6);
}
END_TEST

START_TEST(silence_after_an_alert)
{
	uint64_t rng = 3;
	int last = -1000;

	for (int i = 0; i < 6000; i++) {
		double x = usual(&rng, i) * (i > 1000 && i % 150 == 0 ? i : 1);

		if (cw_series_add(NULL, s, i * 300, x) < 0.5)
			continue;
		ck_assert_int_gt(i - last, CW_SERIES_SILENCE);
		last = i;
	}
	ck_assert_int_gt(last, 1000);
}
END_TEST

START_TEST(scores_around_the_threshold)
{
	ck_assert_double_eq(cw_series_score(CW_SERIES_ALERT, false), 0.5);
	ck_assert_double_lt(cw_series_score(CW_SERIES_ALERT - 1e-9, false), 0.5);
	ck_assert_double_lt(cw_series_score(1e6, true), 0.5 + 1e-12);
	ck_assert_double_lt(cw_series_score(0, false), cw_series_score(1, false));
}
END_TEST

START_TEST(what_is_not_finite_is_not_taken)
{
	uint64_t rng = 4;

	for (int i = 0; i < 500; i++)
		cw_series_add(NULL, s, -100000 + i * 300, usual(&rng, i));   /* times before 1970 too */
	struct cw_series before = *s;

	ck_assert(isnan(cw_series_add(NULL, s, 0, NAN)));
	ck_assert(isnan(cw_series_add(NULL, s, 0, INFINITY)));
	ck_assert(memcmp(&before, s, sizeof(before)) == 0);
	for (int i = 0; i < 500; i++)
		ck_assert(isfinite(cw_series_add(NULL, s, i, i % 2 == 0 ? 1e300 : -1e300)));
}
END_TEST

START_TEST(primitive_scores_like_the_detector)
{
	struct cw_state *st = env_state();
	struct env_handle e = env_open(st, "series.score", "key=from");
	uint64_t rng = 5;

	for (int i = 0; i < 3000; i++) {
		struct cw_tx tx = env_tx(1, 2, 1700000000 + i * 300, 0), other = env_tx(2, 1, 1700000000 + i * 300, 0);
		double x = spike(&rng, i), want = cw_series_add(NULL, s, tx.timestamp, x);

		ck_assert(env_call1(&e, "add", &tx, x) == want);
		ck_assert(env_call(&e, "last", &tx) == want);
		env_call1(&e, "add", &other, 1);
		if (i == 2500)
			ck_assert_int_eq((int)env_call(&e, "reason", &tx), (int)cw_series_reason(s));
		cw_state_mark(st, (uint64_t)i, 0);
	}
	ck_assert_str_eq(e.p->text(e.h, CW_SERIES_SEASON), "season");
	env_close(&e);
	cw_state_close(&st);
}
END_TEST

/* Two of the benchmark's files: the failures of a machine are found. */
START_TEST(machine_temperature)
{
	FILE *there = env_data("nab/data/realKnownCause/machine_temperature_system_failure.csv");
	char line[128];
	int n = 0, found = 0;

	if (there == NULL)
		return;
	ck_assert_ptr_nonnull(fgets(line, sizeof(line), there));
	for (int i = 0; fgets(line, sizeof(line), there) != NULL; i++) {
		int hour = atoi(line + 11), minute = atoi(line + 14);
		bool alert = cw_series_add(NULL, s, hour * 3600 + minute * 60, atof(strchr(line, ',') + 1)) >= 0.5;

		n += alert;
		/* the planned shutdown of 16 December and the failure of 8 February */
		found |= alert && strncmp(line, "2013-12-1", 9) == 0 ? 1 : 0;
		found |= alert && strncmp(line, "2014-02-0", 9) == 0 ? 2 : 0;
	}
	fclose(there);
	ck_assert_int_eq(found, 3);
	ck_assert_int_le(n, 40);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("series");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, up, down);
	tcase_set_timeout(tc, 20);
	tcase_add_test(tc, quiet_on_the_usual);
	tcase_add_test(tc, finds_a_spike);
	tcase_add_test(tc, finds_a_missing_peak);
	tcase_add_test(tc, finds_unrest);
	tcase_add_test(tc, finds_the_first_change_of_a_constant);
	tcase_add_test(tc, scale_and_offset_do_not_matter);
	tcase_add_test(tc, silence_after_an_alert);
	tcase_add_test(tc, scores_around_the_threshold);
	tcase_add_test(tc, what_is_not_finite_is_not_taken);
	tcase_add_test(tc, primitive_scores_like_the_detector);
	tcase_add_test(tc, machine_temperature);
	suite_add_tcase(suite, tc);
	return env_run(suite);
}
