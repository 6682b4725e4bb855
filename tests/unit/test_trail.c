#include "source/trail.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

static struct cw_trail *trail;
static struct cw_buf out;
static struct cw_err err;

static void setup(void)
{
	trail = cw_trail_new();
	cw_buf_init(&out);
}

static void teardown(void)
{
	cw_trail_free(&trail);
	cw_buf_release(&out);
}

static struct cw_hash hash_of(uint64_t number)
{
	struct cw_hash hash = { .b = { 0xab } };

	memcpy(hash.b + 8, &number, sizeof(number));
	return hash;
}

static void add(uint64_t from, uint64_t to)
{
	for (uint64_t n = from; n <= to; n++) {
		struct cw_hash hash = hash_of(n);

		cw_trail_add(trail, n, &hash);
	}
}

START_TEST(remembers_and_cuts)
{
	struct cw_hash hash;
	uint64_t number;

	ck_assert(cw_trail_empty(trail));
	ck_assert(!cw_trail_tip(trail, &number, &hash));
	add(0, 10);
	ck_assert(cw_trail_tip(trail, &number, &hash));
	ck_assert_uint_eq(number, 10);
	ck_assert(cw_trail_before(trail, 10, &number, &hash));
	ck_assert_uint_eq(number, 9);
	cw_trail_cut(trail, 4);
	ck_assert(!cw_trail_find(trail, 5, &hash));
	ck_assert(cw_trail_find(trail, 4, &hash));
	hash = hash_of(99);
	cw_trail_add(trail, 2, &hash);
	ck_assert(cw_trail_tip(trail, &number, &hash));
	ck_assert_uint_eq(number, 2);
	ck_assert(!cw_trail_before(trail, 0, &number, &hash));
	cw_trail_add(trail, 0, &hash);
	ck_assert(!cw_trail_find(trail, 2, &hash));
}
END_TEST

START_TEST(goes_back_to_the_first_block)
{
	struct cw_hash hash, right;
	uint64_t number = 100001, last, gap;

	add(7, 100000);
	for (uint64_t n = 100000; n > 100000 - 1000; n--)
		ck_assert_msg(cw_trail_find(trail, n, &hash), "%lu", (unsigned long)n);
	while (last = number, cw_trail_before(trail, number, &number, &hash)) {
		right = hash_of(number);
		ck_assert_mem_eq(&hash, &right, sizeof(hash));
		gap = last - number;
		/* What is remembered of old blocks is never much sparser than they are old. */
		ck_assert_msg(gap <= 1 || gap <= 100001 - number, "%lu %lu", (unsigned long)number, (unsigned long)gap);
	}
	ck_assert_uint_eq(number, 7);
}
END_TEST

START_TEST(text_form_is_short_and_comes_back)
{
	struct cw_trail *again = cw_trail_new();
	struct cw_hash hash, right;
	uint64_t number;
	int n = 0;

	add(7, 100000);
	cw_trail_to_json(trail, 5, 99990, &out);
	ck_assert_uint_lt(out.len, 8000);
	ck_assert_msg(cw_trail_from_json(again, 5, out.data, out.len, &err) == 0, "%s", err.msg);
	ck_assert(cw_trail_tip(again, &number, &hash));
	ck_assert_uint_eq(number, 99990);
	for (uint64_t k = 99990; k > 99990 - 32; k--)
		ck_assert(cw_trail_find(again, k, &hash));
	while (n++, cw_trail_before(again, number, &number, &hash)) {
		right = hash_of(number);
		ck_assert_mem_eq(&hash, &right, sizeof(hash));
	}
	ck_assert_uint_eq(number, 7);
	ck_assert_int_lt(n, 90);
	cw_trail_free(&again);
}
END_TEST

START_TEST(empty_trail_has_a_text_too)
{
	cw_trail_to_json(trail, 5, 100, &out);
	ck_assert_str_eq(out.data, "{\"chain_id\":\"5\",\"before\":[]}");
	add(1, 2);
	ck_assert_int_eq(cw_trail_from_json(trail, 5, out.data, out.len, &err), 0);
	ck_assert(cw_trail_empty(trail));
}
END_TEST

START_TEST(nonsense_is_refused)
{
	static const char *const bad[] = {
		"", "[]", "{}", "{\"chain_id\":\"6\",\"before\":[]}", "{\"chain_id\":\"5\",\"block\":\"1\",\"before\":[]}",
		"{\"chain_id\":\"5\",\"block\":\"1\",\"hash\":\"0x12\",\"before\":[]}",
		"{\"chain_id\":\"5\",\"block\":\"1\",\"hash\":\"0x" "1111111111111111111111111111111111111111111111111111111111111111"
		"\",\"before\":[[\"1\",\"0x1111111111111111111111111111111111111111111111111111111111111111\"]]}",
		"{\"chain_id\":\"5\",\"block\":\"1\",\"hash\":\"0x" "1111111111111111111111111111111111111111111111111111111111111111"
		"\",\"before\":[[]]}",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ck_assert_msg(cw_trail_from_json(trail, 5, bad[i], strlen(bad[i]), &err) == -1, "%s", bad[i]);
		ck_assert(cw_trail_empty(trail));
	}
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("trail");
	TCase *tc = tcase_create("trail");
	SRunner *runner;
	int failed;

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, remembers_and_cuts);
	tcase_add_test(tc, goes_back_to_the_first_block);
	tcase_add_test(tc, text_form_is_short_and_comes_back);
	tcase_add_test(tc, empty_trail_has_a_text_too);
	tcase_add_test(tc, nonsense_is_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_ENV);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
