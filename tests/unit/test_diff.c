/* Two versions of a rule on the same stream, and the meters of rules: what one says and the other does not. */
#include "pipeline/diff.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "pipeline/evaluate.h"

static struct cw_buf out;

static void setup(void)
{
	cw_buf_init(&out);
}

static void teardown(void)
{
	cw_buf_release(&out);
}

static struct cw_diff_alert alert(uint64_t seq, bool candidate, const char *entity, const char *severity)
{
	return (struct cw_diff_alert){ .seq = seq, .candidate = candidate, .hash = "0x1", .entity = entity, .severity = severity,
		                           .explanation = "{\"n\":1}", .score = 0.5 };
}

START_TEST(nothing_is_no_difference)
{
	struct cw_diff_counts counts = cw_diff_alerts((struct cw_diff_alert[]){ { 0 } }, 0, 10, &out);

	ck_assert_uint_eq(counts.live + counts.candidate + counts.common + counts.added + counts.removed, 0);
	ck_assert_str_eq(out.data, "\"live\":0,\"candidate\":0,\"common\":0,\"added\":0,\"removed\":0,\"severity_changed\":0,"
	                 "\"entities\":[],\"alerts\":{\"added\":[],\"removed\":[]}");
}
END_TEST

START_TEST(alerts_of_one_transaction_are_the_same)
{
	/* Out of order, as they may come: 1 of both, 2 only live, 3 of both with another severity, 4 only the candidate's. */
	struct cw_diff_alert alerts[] = {
		alert(4, true, "b", "low"), alert(3, true, "a", "high"), alert(1, true, "a", "low"),
		alert(3, false, "a", "low"), alert(2, false, "c", "low"), alert(1, false, "a", "low"),
	};
	struct cw_diff_counts counts = cw_diff_alerts(alerts, 6, 10, &out);

	ck_assert_uint_eq(counts.live, 3);
	ck_assert_uint_eq(counts.candidate, 3);
	ck_assert_uint_eq(counts.common, 2);
	ck_assert_uint_eq(counts.added, 1);
	ck_assert_uint_eq(counts.removed, 1);
	ck_assert_uint_eq(counts.severity_changed, 1);
	ck_assert_str_eq(out.data,
		"\"live\":3,\"candidate\":3,\"common\":2,\"added\":1,\"removed\":1,\"severity_changed\":1,\"entities\":["
		"{\"entity\":\"b\",\"live\":0,\"candidate\":1,\"added\":1,\"removed\":0},"
		"{\"entity\":\"c\",\"live\":1,\"candidate\":0,\"added\":0,\"removed\":1},"
		"{\"entity\":\"a\",\"live\":2,\"candidate\":2,\"added\":0,\"removed\":0}],\"alerts\":{"
		"\"added\":[{\"hash\":\"0x1\",\"entity\":\"b\",\"severity\":\"low\",\"score\":0.5,\"explanation\":\"{\\\"n\\\":1}\"}],"
		"\"removed\":[{\"hash\":\"0x1\",\"entity\":\"c\",\"severity\":\"low\",\"score\":0.5,\"explanation\":\"{\\\"n\\\":1}\"}]}");
}
END_TEST

START_TEST(lists_are_cut_and_counts_are_not)
{
	struct cw_diff_alert alerts[40];
	struct cw_diff_counts counts;
	char names[20][4];
	int entities = 0;

	for (size_t i = 0; i < 20; i++) {
		snprintf(names[i], sizeof(names[i]), "e%zu", i);
		alerts[2 * i] = alert(2 * i, true, names[i], "low");
		alerts[2 * i + 1] = alert(2 * i + 1, false, names[i], "low");
	}
	counts = cw_diff_alerts(alerts, 40, 3, &out);
	ck_assert_uint_eq(counts.added, 20);
	ck_assert_uint_eq(counts.removed, 20);
	for (const char *p = out.data; (p = strstr(p, "\"entity\":")) != NULL; p++)
		entities++;
	ck_assert_int_eq(entities, 9);   /* 3 entities, 3 added, 3 removed */
}
END_TEST

START_TEST(meters_add_up_and_come_apart)
{
	struct cw_rule_meter a = { .calls = 10, .fires = 3, .faults = { 1, 0, 2 }, .ticks = 500, .sampled = 2, .sampled_ns = 900,
		                       .buckets = { 1, 1 }, .warmed = 4 };
	struct cw_rule_meter b = { .calls = 5, .fires = 1, .faults = { 0, 1, 1 }, .ticks = 100, .sampled = 1, .sampled_ns = 300,
		                       .buckets = { 0, 1 }, .warmed = 1 }, sum = a;

	cw_meter_add(&sum, &b);
	ck_assert_uint_eq(sum.calls, 15);
	ck_assert_uint_eq(sum.fires, 4);
	ck_assert_uint_eq(sum.faults[2], 3);
	ck_assert_uint_eq(sum.ticks, 600);
	ck_assert_uint_eq(sum.sampled_ns, 1200);
	ck_assert_uint_eq(sum.buckets[1], 2);
	ck_assert_uint_eq(sum.warmed, 5);
	cw_meter_subtract(&sum, &b);
	ck_assert_int_eq(memcmp(&sum, &a, sizeof(a)), 0);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("diff");
	TCase *tc = tcase_create("diff");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, nothing_is_no_difference);
	tcase_add_test(tc, alerts_of_one_transaction_are_the_same);
	tcase_add_test(tc, lists_are_cut_and_counts_are_not);
	tcase_add_test(tc, meters_add_up_and_come_apart);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
