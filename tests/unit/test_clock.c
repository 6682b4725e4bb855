#include "base/clock.h"

#include <check.h>
#include <string.h>

static int64_t fake_us;

static int64_t fake(void)
{
	return fake_us;
}

START_TEST(tests_can_turn_it)
{
	static const struct cw_clock clock = { fake, fake };
	int64_t real = cw_clock_wall_us(), mono = cw_clock_mono_us();

	ck_assert_int_gt(real, 1700000000000000);
	ck_assert_int_ge(cw_clock_mono_us(), mono);
	fake_us = 42;
	cw_clock_set(&clock);
	ck_assert_int_eq(cw_clock_wall_us(), 42);
	ck_assert_int_eq(cw_clock_mono_us(), 42);
	cw_clock_set(NULL);
	ck_assert_int_ge(cw_clock_wall_us(), real);
}
END_TEST

START_TEST(formats)
{
	static const struct { int64_t us; const char *want; } cases[] = {
		{ 0, "1970-01-01T00:00:00Z" }, { 1769903999123456, "2026-01-31T23:59:59.123456Z" }, { 1, "1970-01-01T00:00:00.000001Z" },
		{ -1, "1969-12-31T23:59:59.999999Z" }, { -1000000, "1969-12-31T23:59:59Z" }, { 253402300799999999, "9999-12-31T23:59:59.999999Z" },
		{ INT64_MAX, "294247-01-10T04:00:54.775807Z" }, { INT64_MIN, "-290308-12-21T19:59:05.224192Z" },
	};
	char out[32];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_str_eq(cw_time_format(cases[i].us, out), cases[i].want);
}
END_TEST

START_TEST(parses)
{
	static const struct { const char *text; int64_t want; } cases[] = {
		{ "1970-01-01T00:00:00Z", 0 }, { "2026-01-31T23:59:59.123456Z", 1769903999123456 },
		{ "2026-02-01t01:59:59.123456789+02:00", 1769903999123456 }, { "2026-01-31 18:59:59.1-05:00", 1769903999100000 },
		{ "1969-12-31T23:59:59.5Z", -500000 }, { "2024-02-29T00:00:00z", 1709164800000000 }, { "0000-01-01T00:00:00Z", -62167219200000000 },
		{ "2000-02-29T00:00:00+00:00", 951782400000000 },
	};
	int64_t us;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ck_assert_msg(cw_time_parse(cases[i].text, &us) == 0, "%s", cases[i].text);
		ck_assert_int_eq(us, cases[i].want);
	}
}
END_TEST

START_TEST(refuses_what_is_no_time)
{
	static const char *const cases[] = {
		"", "2026", "2026-01-31", "2026-01-31T23:59:59", "2026-01-31T23:59:59.Z", "2026-01-31T24:00:00Z", "2026-13-01T00:00:00Z",
		"2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-01-31T23:60:00Z", "2026-01-31T23:59:60Z",
		"2026-01-31T23:59:59Zx", "2026-01-31T23:59:59+0200", "2026-01-31T23:59:59+24:00", "2026-01-31T23:59:59+02:60",
		" 2026-01-31T23:59:59Z", "+2026-01-31T23:59:59Z", "2026-1-31T23:59:59Z", "2026-01-31T23:59:59,5Z", "12026-01-31T23:59:59Z",
	};
	int64_t us;

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
		ck_assert_msg(cw_time_parse(cases[i], &us) == -1, "%s", cases[i]);
}
END_TEST

START_TEST(what_is_formatted_parses)
{
	char out[32];
	int64_t us;

	for (int64_t t = -62167219200000000; t < 253402300800000000; t += 86399999999999 * 7) {
		cw_time_format(t, out);
		if (cw_time_parse(out, &us) != 0 || us != t)
			ck_abort_msg("%s", out);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("clock");
	TCase *t = tcase_create("clock");

	tcase_add_test(t, tests_can_turn_it);
	tcase_add_test(t, formats);
	tcase_add_test(t, parses);
	tcase_add_test(t, refuses_what_is_no_time);
	tcase_add_test(t, what_is_formatted_parses);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	SRunner *runner = srunner_create(suite());
	int failed;

	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
