#include "pipeline/bundle.h"

#include <check.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "pipeline/evaluate.h"

static struct cw_bundle_file rules[] = { { "rules/a.lua", "return 1", 8 }, { "rules/b.lua", "a\0b", 3 } };
static struct cw_bundle_file lists[] = { { "lists/x.csv", "", 0 } };
static struct cw_bundle bundle = { .rules = rules, .nrules = 2, .lists = lists, .nlists = 1, .params_json = "{\"a\":1}",
	.options_json = "{\"jit\":true}", .tested = true };
static struct cw_bundle out;
static struct cw_err err;

/* The sample's bytes, in a block of their own. */
static char *pack(size_t *size)
{
	int fd = cw_bundle_pack(&bundle, size, &err);
	char *bytes = cw_alloc(*size);

	ck_assert_msg(fd >= 0, "%s", err.msg);
	ck_assert_int_eq(pread(fd, bytes, *size, 0), (ssize_t)*size);
	close(fd);
	return bytes;
}

START_TEST(everything_comes_back)
{
	size_t size;
	char *bytes = pack(&size);

	ck_assert_int_eq(cw_bundle_unpack(&out, bytes, size), 0);
	ck_assert_int_eq(out.nrules, 2);
	ck_assert_str_eq(out.rules[0].name, "rules/a.lua");
	ck_assert_str_eq(out.rules[0].text, "return 1");
	ck_assert_uint_eq(out.rules[1].len, 3);
	ck_assert(memcmp(out.rules[1].text, "a\0b", 4) == 0);
	ck_assert_int_eq(out.nlists, 1);
	ck_assert_str_eq(out.lists[0].name, "lists/x.csv");
	ck_assert_uint_eq(out.lists[0].len, 0);
	ck_assert_str_eq(out.params_json, "{\"a\":1}");
	ck_assert_str_eq(out.options_json, "{\"jit\":true}");
	ck_assert_msg(!out.tested, "said elsewhere");
	cw_bundle_release(&out);
	cw_free(bytes);
}
END_TEST

START_TEST(nothing_is_a_bundle_too)
{
	struct cw_bundle none = { 0 };
	char bytes[256];
	size_t size;
	int fd = cw_bundle_pack(&none, &size, &err);

	ck_assert_int_eq(pread(fd, bytes, sizeof(bytes), 0), (ssize_t)size);
	ck_assert_int_eq(cw_bundle_unpack(&out, bytes, size), 0);
	ck_assert_int_eq(out.nrules + out.nlists, 0);
	ck_assert_str_eq(out.params_json, "{}");
	ck_assert_str_eq(out.options_json, "{}");
	cw_bundle_release(&out);
	close(fd);
}
END_TEST

START_TEST(the_file_is_sealed)
{
	size_t size;
	int fd = cw_bundle_pack(&bundle, &size, &err);

	ck_assert_int_lt(pwrite(fd, "x", 1, 0), 0);
	ck_assert_int_eq(errno, EPERM);
	ck_assert_int_ne(ftruncate(fd, 1), 0);
	close(fd);
}
END_TEST

START_TEST(truncations_are_refused)
{
	size_t size;
	char *bytes = pack(&size);

	for (size_t n = 0; n < size; n++) {
		char *part = cw_memdup(bytes, n);

		ck_assert_int_eq(cw_bundle_unpack(&out, part, n), -1);
		ck_assert_ptr_null(out.rules);
		cw_free(part);
	}
	cw_free(bytes);
}
END_TEST

START_TEST(damage_never_crashes)
{
	size_t size;
	char *bytes = pack(&size), *copy = cw_alloc(size);

	srand(1);
	for (int i = 0; i < 20000; i++) {
		memcpy(copy, bytes, size);
		for (int n = 1 + rand() % 3; n > 0; n--)
			copy[(size_t)rand() % size] = (char)(rand() >> 5);
		if (cw_bundle_unpack(&out, copy, size) == 0)
			cw_bundle_release(&out);
	}
	cw_free(copy);
	cw_free(bytes);
}
END_TEST

START_TEST(too_much_is_refused)
{
	static struct cw_bundle_file many[CW_RULES_MAX + 1];
	struct cw_bundle_file huge = { "lists/huge.csv", "", CW_BUNDLE_MAX };
	struct cw_bundle big = { .rules = many, .nrules = CW_RULES_MAX + 1 };
	size_t size;

	ck_assert_int_eq(cw_bundle_pack(&big, &size, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
	ck_assert_str_eq(err.msg, "1025 rules are too many, the limit is 1024");
	big = (struct cw_bundle){ .lists = &huge, .nlists = 1 };
	ck_assert_int_eq(cw_bundle_pack(&big, &size, &err), -1);
	ck_assert_int_eq(err.code, CW_ERR_INVALID);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("bundle");
	TCase *tc = tcase_create("bundle");
	SRunner *runner;
	int failed;

	tcase_add_test(tc, everything_comes_back);
	tcase_add_test(tc, nothing_is_a_bundle_too);
	tcase_add_test(tc, the_file_is_sealed);
	tcase_add_test(tc, truncations_are_refused);
	tcase_add_test(tc, damage_never_crashes);
	tcase_add_test(tc, too_much_is_refused);
	suite_add_tcase(suite, tc);
	runner = srunner_create(suite);
	srunner_run_all(runner, CK_NORMAL);
	failed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return failed == 0 ? 0 : 1;
}
