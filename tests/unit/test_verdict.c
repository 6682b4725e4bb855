#include "pipeline/verdict.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"

static struct cw_arena *arena;
static struct cw_buf buf;
static struct cw_verdict v;
static struct cw_err err;
static size_t consumed;

static void setup(void)
{
	arena = cw_arena_new();
	cw_buf_init(&buf);
	cw_err_clear(&err);
}

static void teardown(void)
{
	cw_arena_free(&arena);
	cw_buf_release(&buf);
}

static int read_back(void)
{
	return cw_verdict_read(&v, buf.data, buf.len, &consumed, arena, &err);
}

static void put_sample(uint64_t seq)
{
	cw_verdict_begin(&buf, seq);
	cw_verdict_alert(&buf, &(struct cw_alert){ .rule = 3, .severity = CW_SEVERITY_HIGH, .score = 0.75,
		.confidence = 0.5, .dedup = "0xabc", .features = "{\"n\":[1,2]}", .explanation = "too many \xe2\x82\xac" });
	cw_verdict_fault(&buf, &(struct cw_rule_fault){ .rule = 4, .kind = CW_FAULT_TICKS, .message = "out of ticks" });
	cw_verdict_alert(&buf, &(struct cw_alert){ .rule = 1023, .flags = CW_ALERT_SHADOW, .severity = CW_SEVERITY_LOW,
		.score = 1, .confidence = 1 });
	cw_verdict_end(&buf);
}

START_TEST(quiet_verdict)
{
	cw_verdict_begin(&buf, 42);
	cw_verdict_end(&buf);
	ck_assert_int_eq(read_back(), 0);
	ck_assert_uint_eq(consumed, buf.len);
	ck_assert_uint_eq(v.seq, 42);
	ck_assert_uint_eq(v.nalerts + v.nfaults, 0);
	ck_assert(v.score == 0 && v.confidence == 0);
}
END_TEST

START_TEST(everything_comes_back)
{
	put_sample(UINT64_MAX);
	ck_assert_msg(read_back() == 0, "%s", err.msg);
	ck_assert_uint_eq(consumed, buf.len);
	ck_assert_uint_eq(v.seq, UINT64_MAX);
	ck_assert_uint_eq(v.nalerts, 2);
	ck_assert_uint_eq(v.nfaults, 1);
	ck_assert_uint_eq(v.alerts[0].rule, 3);
	ck_assert_int_eq(v.alerts[0].severity, CW_SEVERITY_HIGH);
	ck_assert(v.alerts[0].score == 0.75 && v.alerts[0].confidence == 0.5);
	ck_assert_str_eq(v.alerts[0].dedup, "0xabc");
	ck_assert_str_eq(v.alerts[0].features, "{\"n\":[1,2]}");
	ck_assert_str_eq(v.alerts[0].explanation, "too many \xe2\x82\xac");
	ck_assert_uint_eq(v.alerts[1].rule, 1023);
	ck_assert_uint_eq(v.alerts[1].flags, CW_ALERT_SHADOW);
	ck_assert_str_eq(v.alerts[1].dedup, "");
	ck_assert_str_eq(v.alerts[1].features, "{}");
	ck_assert_uint_eq(v.faults[0].rule, 4);
	ck_assert_int_eq(v.faults[0].kind, CW_FAULT_TICKS);
	ck_assert_str_eq(v.faults[0].message, "out of ticks");
}
END_TEST

START_TEST(shadow_alerts_do_not_count)
{
	put_sample(1);
	ck_assert_int_eq(read_back(), 0);
	ck_assert_msg(v.score == 0.75, "the shadow alert has 1");
	ck_assert(v.confidence == 0.5);
}
END_TEST

START_TEST(highest_score_brings_its_confidence)
{
	static const double rows[][2] = { { 0.2, 0.9 }, { 0.8, 0.3 }, { 0.8, 0.6 }, { 0.8, 0.1 } };

	cw_verdict_begin(&buf, 1);
	for (int i = 0; i < 4; i++)
		cw_verdict_alert(&buf, &(struct cw_alert){ .score = rows[i][0], .confidence = rows[i][1] });
	cw_verdict_end(&buf);
	ck_assert_int_eq(read_back(), 0);
	ck_assert(v.score == 0.8 && v.confidence == 0.6);
}
END_TEST

START_TEST(scores_are_clipped)
{
	static const double in[] = { -1, 7, NAN, INFINITY, -INFINITY, 0.5 };
	static const double want[] = { 0, 1, 0, 1, 0, 0.5 };

	cw_verdict_begin(&buf, 1);
	for (int i = 0; i < 6; i++)
		cw_verdict_alert(&buf, &(struct cw_alert){ .score = in[i], .confidence = in[i] });
	cw_verdict_end(&buf);
	ck_assert_int_eq(read_back(), 0);
	for (int i = 0; i < 6; i++)
		ck_assert(v.alerts[i].score == want[i] && v.alerts[i].confidence == want[i]);
}
END_TEST

START_TEST(text_is_made_storable)
{
	static const struct { const char *in, *out; } cases[] = {
		{ "\xff" "a", "\xef\xbf\xbd" "a" },
		{ "\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd" },              /* overlong */
		{ "\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },   /* surrogate */
		{ "\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd" },   /* beyond U+10FFFF */
		{ "ab\xe2\x82", "ab\xef\xbf\xbd\xef\xbf\xbd" },          /* cut */
		{ "\xf0\x9f\x92\xa9", "\xf0\x9f\x92\xa9" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		cw_buf_clear(&buf);
		cw_verdict_begin(&buf, 1);
		cw_verdict_alert(&buf, &(struct cw_alert){ .dedup = cases[i].in, .explanation = cases[i].in });
		cw_verdict_fault(&buf, &(struct cw_rule_fault){ .kind = CW_FAULT_ERROR, .message = cases[i].in });
		cw_verdict_end(&buf);
		ck_assert_msg(read_back() == 0, "%zu: %s", i, err.msg);
		ck_assert_str_eq(v.alerts[0].dedup, cases[i].out);
		ck_assert_str_eq(v.alerts[0].explanation, cases[i].out);
		ck_assert_str_eq(v.faults[0].message, cases[i].out);
	}
}
END_TEST

START_TEST(long_text_is_cut_between_characters)
{
	char *text = cw_alloc(3 * 9000 + 1), *features = cw_alloc(CW_VERDICT_FEATURES_MAX + 10);

	for (int i = 0; i < 9000; i++)
		memcpy(text + 3 * i, "\xe2\x82\xac", 3);
	text[3 * 9000] = '\0';
	memset(features, ' ', CW_VERDICT_FEATURES_MAX + 10);
	features[0] = '{';
	memcpy(features + CW_VERDICT_FEATURES_MAX + 8, "}", 2);
	cw_verdict_begin(&buf, 1);
	cw_verdict_alert(&buf, &(struct cw_alert){ .dedup = text, .features = features, .explanation = text });
	cw_verdict_fault(&buf, &(struct cw_rule_fault){ .kind = CW_FAULT_ERROR, .message = text });
	cw_verdict_end(&buf);
	ck_assert_msg(read_back() == 0, "%s", err.msg);
	ck_assert_uint_eq(strlen(v.alerts[0].dedup), CW_VERDICT_DEDUP_MAX / 3 * 3);
	ck_assert_uint_eq(strlen(v.alerts[0].explanation), CW_VERDICT_EXPLANATION_MAX / 3 * 3);
	ck_assert_uint_eq(strlen(v.faults[0].message), CW_VERDICT_MESSAGE_MAX / 3 * 3);
	ck_assert_str_eq(v.alerts[0].features, "{\"truncated\":true}");
	cw_free(text);
	cw_free(features);
}
END_TEST

START_TEST(shrink_keeps_what_fits)
{
	char text[2001], features[9000];

	memset(text, 'x', 2000);
	text[2000] = '\0';
	memset(features, ' ', sizeof(features));
	features[0] = '{';
	memcpy(features + sizeof(features) - 2, "}", 2);
	cw_verdict_begin(&buf, 9);
	for (uint32_t i = 0; i < 400; i++)
		cw_verdict_alert(&buf, &(struct cw_alert){ .rule = i, .score = 0.5, .features = features,
			.explanation = text });
	cw_verdict_fault(&buf, &(struct cw_rule_fault){ .rule = 7, .kind = CW_FAULT_STACK, .message = text });
	cw_verdict_end(&buf);
	ck_assert_uint_gt(buf.len, CW_VERDICT_MAX);
	ck_assert_msg(read_back() != 0, "what is longer than the limit is refused");
	cw_verdict_shrink(&buf);
	ck_assert_uint_le(buf.len, CW_VERDICT_MAX);
	ck_assert_msg(read_back() == 0, "%s", err.msg);
	ck_assert_uint_eq(v.seq, 9);
	ck_assert_uint_eq(v.nalerts, 400);
	ck_assert_uint_eq(v.nfaults, 1);
	ck_assert_uint_eq(v.alerts[399].rule, 399);
	ck_assert_str_eq(v.alerts[399].features, "{\"truncated\":true}");
	ck_assert_uint_eq(strlen(v.alerts[399].explanation), 2000);
	ck_assert_uint_eq(strlen(v.faults[0].message), 1000 + 24);
}
END_TEST

START_TEST(shrink_drops_the_last_when_nothing_else_helps)
{
	char text[2001];

	memset(text, 'x', 2000);
	text[2000] = '\0';
	cw_verdict_begin(&buf, 9);
	for (uint32_t i = 0; i < 1000; i++)
		cw_verdict_alert(&buf, &(struct cw_alert){ .rule = i, .explanation = text });
	cw_verdict_end(&buf);
	cw_verdict_shrink(&buf);
	ck_assert_uint_le(buf.len, CW_VERDICT_MAX);
	ck_assert_msg(read_back() == 0, "%s", err.msg);
	ck_assert_uint_gt(v.nalerts, 400);
	ck_assert_uint_lt(v.nalerts, 1000);
	ck_assert_uint_eq(v.alerts[v.nalerts - 1].rule, v.nalerts - 1);
}
END_TEST

START_TEST(several_in_a_row)
{
	size_t at = 0;

	for (uint64_t seq = 1; seq <= 3; seq++)
		put_sample(seq);
	for (uint64_t seq = 1; seq <= 3; seq++) {
		ck_assert_int_eq(cw_verdict_read(&v, buf.data + at, buf.len - at, &consumed, arena, &err), 0);
		ck_assert_uint_eq(v.seq, seq);
		at += consumed;
	}
	ck_assert_uint_eq(at, buf.len);
}
END_TEST

START_TEST(every_truncation_is_refused)
{
	put_sample(5);
	for (size_t len = 0; len < buf.len; len++) {
		char *copy = cw_memdup(buf.data, len);   /* its own block, so that a sanitizer sees reads beyond */

		ck_assert_int_eq(cw_verdict_read(&v, copy, len, &consumed, arena, &err), -1);
		ck_assert_int_eq(err.code, CW_ERR_INTERNAL);
		ck_assert_msg(strncmp(err.msg, "cannot read verdict: ", 21) == 0, "%s", err.msg);
		cw_free(copy);
	}
}
END_TEST

/* Whatever is read from damaged bytes keeps the promises of the header. */
static void check_promises(void)
{
	for (uint32_t i = 0; i < v.nalerts; i++) {
		const struct cw_alert *a = &v.alerts[i];

		ck_assert(a->rule < CW_RULES_MAX && (unsigned)a->severity <= CW_SEVERITY_CRITICAL);
		ck_assert(a->score >= 0 && a->score <= 1 && a->confidence >= 0 && a->confidence <= 1);
		ck_assert(strlen(a->dedup) <= CW_VERDICT_DEDUP_MAX && a->features[0] == '{');
		ck_assert_uint_le(strlen(a->explanation), CW_VERDICT_EXPLANATION_MAX);
	}
	for (uint32_t i = 0; i < v.nfaults; i++)
		ck_assert(v.faults[i].rule < CW_RULES_MAX && strlen(v.faults[i].message) <= CW_VERDICT_MESSAGE_MAX);
}

START_TEST(damage_never_crashes)
{
	unsigned refused = 0, rounds = 40000;

	put_sample(5);
	srand(1);
	for (unsigned i = 0; i < rounds; i++) {
		char *copy = cw_memdup(buf.data, buf.len);

		for (int n = 1 + rand() % 3; n > 0; n--)
			copy[(size_t)rand() % buf.len] = (char)rand();
		if (cw_verdict_read(&v, copy, buf.len, &consumed, arena, &err) == 0)
			check_promises();
		else
			refused++;
		cw_arena_clear(arena);
		cw_free(copy);
	}
	ck_assert_uint_gt(refused, rounds / 4);
}
END_TEST

START_TEST(garbage_never_crashes)
{
	char bytes[512];

	srand(2);
	for (int i = 0; i < 20000; i++) {
		for (size_t k = 0; k < sizeof(bytes); k++)
			bytes[k] = (char)(rand() >> 7);
		if (i % 2 == 0)
			memcpy(bytes, "cvw1\0\0\0\0", 8);
		ck_assert_int_eq(cw_verdict_read(&v, bytes, sizeof(bytes), &consumed, arena, &err), -1);
	}
}
END_TEST

/* Writes 4 bytes at `at` over a good verdict with one alert (item at 16: kind, size, rule, flags, severity, lengths). */
static void refuse(size_t at, const void *bytes, size_t n, const char *what)
{
	cw_buf_clear(&buf);
	cw_verdict_begin(&buf, 1);
	cw_verdict_alert(&buf, &(struct cw_alert){ .dedup = "key", .features = "{\"a\":1}", .explanation = "why" });
	cw_verdict_end(&buf);
	ck_assert_int_eq(read_back(), 0);
	memcpy(buf.data + at, bytes, n);
	ck_assert_int_eq(read_back(), -1);
	ck_assert_msg(strstr(err.msg, what) != NULL, "\"%s\" instead of \"%s\"", err.msg, what);
}

START_TEST(nonsense_is_named)
{
	double two = 2, nan = NAN;
	size_t text = 16 + 96;

	refuse(0, "x", 1, "no head");
	refuse(16, &(uint32_t){ 9 }, 4, "bad item at byte 16");
	refuse(20, &(uint32_t){ 0 }, 4, "bad item at byte 16");
	refuse(20, &(uint32_t){ 13 }, 4, "bad item size at byte 16");
	refuse(20, &(uint32_t){ 0xfffffff8 }, 4, "bad item size at byte 16");
	refuse(24, &(uint32_t){ CW_RULES_MAX }, 4, "rule index out of range");
	refuse(28, &(uint32_t){ 8 }, 4, "bad severity or flags");
	refuse(32, &(uint32_t){ 4 }, 4, "bad severity or flags");
	refuse(36, &(uint32_t){ 0xffffffff }, 4, "bad dedup");
	refuse(36, &(uint32_t){ 2 }, 4, "bad dedup");
	refuse(40, &(uint32_t){ 6 }, 4, "bad features");
	refuse(44, &(uint32_t){ 2 }, 4, "bad explanation");
	refuse(48, &two, 8, "score or confidence out of range");
	refuse(56, &nan, 8, "score or confidence out of range");
	refuse(64, &(uint64_t){ 2 }, 8, "alert founded by a later transaction");
	refuse(text, "\0", 1, "bad dedup");
	refuse(text, "\xff", 1, "bad dedup");
	refuse(text + 4, "[", 1, "bad features");
	refuse(text + 4, "[\"a\",1]", 7, "bad features");
	refuse(76, &(uint32_t){ 4 }, 4, "bad role");
	refuse(80, &(uint32_t){ 9 }, 4, "bad labels");
	refuse(84, &(uint32_t){ 2 }, 4, "bad list");
	refuse(text + 16, "{}", 2, "bad labels");
}
END_TEST

static const char *label(const char *members)
{
	static char text[400];

	snprintf(text, sizeof(text), "[{\"list\":\"ofac\",\"version\":3,\"file\":\"\",\"address\":"
	         "\"0x00000000000000000000000000000000000000a1\",\"chain\":0,\"category\":\"x\",\"name\":\"\",\"source\":\"\","
	         "\"confidence\":1%s}]", members);
	return text;
}

static int read_labels(const char *labels)
{
	cw_buf_clear(&buf);
	cw_verdict_begin(&buf, 1);
	cw_verdict_alert(&buf, &(struct cw_alert){ .dedup = "key", .labels = labels, .hidden_by = "own",
		                                       .role = CW_ALERT_VICTIM, .flags = CW_ALERT_HAS_ENTITY, .entity = { { 7 } } });
	cw_verdict_end(&buf);
	return read_back();
}

START_TEST(labels_role_and_entity_travel)
{
	ck_assert_int_eq(read_labels(label(",\"use\":\"evidence\"")), 0);
	ck_assert_str_eq(v.alerts[0].labels, label(",\"use\":\"evidence\""));
	ck_assert_str_eq(v.alerts[0].hidden_by, "own");
	ck_assert_int_eq(v.alerts[0].role, CW_ALERT_VICTIM);
	ck_assert_uint_eq(v.alerts[0].flags, CW_ALERT_HAS_ENTITY);
	ck_assert_uint_eq(v.alerts[0].entity.b[0], 7);
	ck_assert_int_eq(read_labels(NULL), 0);
	ck_assert_str_eq(v.alerts[0].labels, "[]");
	ck_assert_int_eq(read_labels(label(",\"use\":\"both\"")), -1);
	ck_assert_int_eq(read_labels(label("")), -1);
	ck_assert_int_eq(read_labels("[1]"), -1);
	ck_assert_int_eq(read_labels("[{\"list\":1}]"), -1);
}
END_TEST

START_TEST(names)
{
	enum cw_severity s;

	ck_assert_str_eq(cw_severity_name(CW_SEVERITY_MEDIUM), "medium");
	ck_assert(cw_severity_parse("critical", &s) && s == CW_SEVERITY_CRITICAL);
	ck_assert(!cw_severity_parse("Critical", &s));
	ck_assert(!cw_severity_parse("", &s));
	ck_assert_str_eq(cw_severity_name((enum cw_severity)99), "unknown");
	ck_assert_str_eq(cw_rule_fault_name(CW_FAULT_MEMORY), "memory");
	ck_assert_str_eq(cw_rule_fault_name((enum cw_rule_fault_kind)99), "unknown");
}
END_TEST

START_TEST(note_comes_back_unless_it_is_too_long_or_no_object)
{
	struct cw_buf bytes = CW_BUF_INIT, big = CW_BUF_INIT;
	struct cw_arena *own = cw_arena_new();
	struct cw_verdict got;
	struct cw_err fault;
	size_t used;

	cw_verdict_begin(&bytes, 7);
	cw_verdict_note(&bytes, "{\"rules\":[]}");
	cw_verdict_end(&bytes);
	ck_assert_msg(cw_verdict_read(&got, bytes.data, bytes.len, &used, own, &fault) == 0, "%s", fault.msg);
	ck_assert_uint_eq(used, bytes.len);
	ck_assert_str_eq(got.note, "{\"rules\":[]}");
	cw_buf_puts(&big, "{\"x\":\"");
	while (big.len <= CW_VERDICT_NOTE_MAX)
		cw_buf_putc(&big, 'x');
	cw_buf_puts(&big, "\"}");
	cw_buf_clear(&bytes);
	cw_verdict_begin(&bytes, 8);
	cw_verdict_note(&bytes, big.data);
	cw_verdict_end(&bytes);
	ck_assert(cw_verdict_read(&got, bytes.data, bytes.len, &used, own, &fault) == 0);
	ck_assert(got.note == NULL);
	cw_buf_clear(&bytes);
	cw_verdict_begin(&bytes, 9);
	cw_verdict_note(&bytes, "[1]");
	cw_verdict_end(&bytes);
	ck_assert(cw_verdict_read(&got, bytes.data, bytes.len, &used, own, &fault) != 0);
	cw_buf_release(&bytes);
	cw_buf_release(&big);
	cw_arena_free(&own);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("verdict");
	TCase *tc = tcase_create("verdict");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 30);
	tcase_add_test(tc, note_comes_back_unless_it_is_too_long_or_no_object);
	tcase_add_test(tc, quiet_verdict);
	tcase_add_test(tc, everything_comes_back);
	tcase_add_test(tc, shadow_alerts_do_not_count);
	tcase_add_test(tc, highest_score_brings_its_confidence);
	tcase_add_test(tc, scores_are_clipped);
	tcase_add_test(tc, text_is_made_storable);
	tcase_add_test(tc, long_text_is_cut_between_characters);
	tcase_add_test(tc, shrink_keeps_what_fits);
	tcase_add_test(tc, shrink_drops_the_last_when_nothing_else_helps);
	tcase_add_test(tc, several_in_a_row);
	tcase_add_test(tc, every_truncation_is_refused);
	tcase_add_test(tc, damage_never_crashes);
	tcase_add_test(tc, garbage_never_crashes);
	tcase_add_test(tc, nonsense_is_named);
	tcase_add_test(tc, labels_role_and_entity_travel);
	tcase_add_test(tc, names);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
